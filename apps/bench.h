/* Benchmarks: contenders are timed in turns, so that drift hits all alike, and reported beside the device's peaks,
 * which take part in the same turns. */
#ifndef WALSH_APPS_BENCH_H
#define WALSH_APPS_BENCH_H

#include "apps/options.h"

#include <cjson/cJSON.h>
#include <stddef.h>

#include "engine/op/wisdom.h"

/* Something to time. A row is what will be reported: `op`, sizes and `variant` first; the figures are added to it. */
typedef struct walsh_contender {
    cJSON *row;
    /* Before the first run: makes the launches. May be NULL. */
    walsh_status (*prepare)(void *context);
    /* Runs it `times` times and waits for the end. */
    walsh_status (*run)(void *context, int times);
    /* Instead: the seconds that one run of it took as a part of what was added before it and has just run. Both NULL:
     * the row alone is reported, without figures. */
    walsh_status (*read)(void *context, double *seconds);
    void (*destroy)(void *context);
    void *context;
    double flops, bytes; /* of one run; 0: not known */
    double seconds;      /* that one timing shall take at least: short runs are repeated within it */
    int least_times;     /* and so many runs; 0: one */
    int images;          /* of one run; 0: not counted */
    enum { WALSH_CONTENDER_ROW, WALSH_CONTENDER_FMA, WALSH_CONTENDER_STREAM } kind; /* the latter two: a peak */
    /* What walsh_bench_run finds. */
    int times;       /* runs in one timing */
    double *timings; /* [repeats] seconds of one run */
    double median, least;
} walsh_contender;

/* What the device does at most in a second; 0: not known. */
typedef struct walsh_peaks {
    double flops, bytes;
} walsh_peaks;

typedef struct walsh_bench {
    walsh_device *device; /* NULL: nothing here runs on one */
    walsh_wisdom *wisdom; /* what runs on that device consult */
    int repeats;
    bool exact; /* --math */
    walsh_contender *contenders;
    size_t count;
    struct walsh_bench_memory *memory; /* see bench_op.h */
    walsh_peaks peaks;                 /* found by walsh_bench_run */
} walsh_bench;

extern const struct argp_option walsh_options_bench[]; /* --repeats */

/* Where a benchmark runs; the last: on a device that times every launch. */
typedef enum walsh_bench_place { WALSH_BENCH_HOST, WALSH_BENCH_DEVICE, WALSH_BENCH_PROFILE } walsh_bench_place;

/* Reads --repeats and --math and opens the device and its wisdom. Call walsh_bench_close even where it fails. */
walsh_status walsh_bench_open(const walsh_arguments *arguments, walsh_bench_place place, walsh_bench *bench);

/* Adds a contender and takes its row and context over, also where it fails. */
walsh_status walsh_bench_add(walsh_bench *bench, const walsh_contender *contender);

/* Prepares, warms up and times all contenders, and fills in their rows. */
walsh_status walsh_bench_run(walsh_bench *bench);

/* Adds to a row what `seconds` of so many operations and bytes come to: `gflops`, `gbs`, `bound` ("fma" or "memory",
 * whichever would take longer at its peak; null where neither is known) and `peak_share`, the share of it reached. */
void walsh_bench_add_rates(cJSON *row, const walsh_peaks *peaks, double seconds, double flops, double bytes);

/* A figure of a row; 0 where it has none. */
double walsh_bench_number(const cJSON *row, const char *key);

/* Prints the rows: JSON where asked for, else a table, whose `shape` column is headed `shape_heading`. */
walsh_status walsh_bench_report(const walsh_arguments *arguments, walsh_bench *bench, const char *shape_heading);

void walsh_bench_close(walsh_bench *bench);

#endif
