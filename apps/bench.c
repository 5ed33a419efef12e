#include "apps/bench.h"

#include "apps/bench_op.h"
#include "apps/report.h"
#include "apps/signals.h"
#include "apps/table.h"
#include "apps/values.h"
#include "engine/base/clock.h"
#include "engine/base/status.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    MOST_TIMES = 100000,
    PEAK_TRIES = 4 /* timings of a peak in one turn, of which the best counts: a pause would flatter all shares */
};

const struct argp_option walsh_options_bench[] = {
    {NULL, 0, NULL, 0, "Measuring:", 0},
    {"repeats", WALSH_OPTION_REPEATS, "R", 0, "timings of each contender, in turns (default: 5)", 0},
    {0},
};

walsh_status walsh_bench_open(const walsh_arguments *arguments, walsh_bench_place place, walsh_bench *bench)
{
    int threads = 0;
    *bench = (walsh_bench){.repeats = 5};
    WALSH_TRY(walsh_value_int(arguments, WALSH_OPTION_REPEATS, 1, &bench->repeats));
    WALSH_TRY(walsh_value_math(arguments, &bench->exact));
    if (place == WALSH_BENCH_HOST) return WALSH_OK;
    WALSH_TRY(walsh_value_int(arguments, WALSH_OPTION_THREADS, 1, &threads));
    const walsh_device_options options = {.selector = walsh_argument(arguments, WALSH_OPTION_DEVICE),
                                          .threads = (unsigned)threads,
                                          .profile = place == WALSH_BENCH_PROFILE};
    WALSH_TRY(walsh_device_open(&options, &bench->device));
    bench->device->exact = bench->exact;
    return walsh_wisdom_load(bench->device, &bench->wisdom);
}

static void release(walsh_contender *c)
{
    cJSON_Delete(c->row);
    if (c->destroy) c->destroy(c->context);
    free(c->timings);
}

walsh_status walsh_bench_add(walsh_bench *bench, const walsh_contender *contender)
{
    walsh_contender c = *contender;
    walsh_status status = walsh_alloc(&c.timings, (size_t)bench->repeats, sizeof *c.timings, "timings");
    if (!status) status = walsh_grow(&bench->contenders, bench->count, sizeof *bench->contenders, "a benchmark");
    if (status) {
        release(&c);
        return status;
    }
    bench->contenders[bench->count++] = c;
    return WALSH_OK;
}

static walsh_status time_once(const walsh_contender *c, double *seconds)
{
    if (walsh_signals_caught()) WALSH_FAIL(WALSH_E_STOPPED, "stopped");
    double start = walsh_clock();
    WALSH_TRY(c->run(c->context, c->times));
    *seconds = (walsh_clock() - start) / c->times;
    return WALSH_OK;
}

/* The first run carries compilation and first touches; the second tells how many fill a timing. */
static walsh_status warm_up(walsh_contender *c)
{
    double seconds = 0;
    c->times = 1;
    if (c->read) return c->read(c->context, &seconds);
    if (!c->run) return WALSH_OK;
    if (c->prepare) WALSH_TRY(c->prepare(c->context));
    WALSH_TRY(time_once(c, &seconds));
    WALSH_TRY(time_once(c, &seconds));
    double wanted = seconds > 0 ? ceil(c->seconds / seconds) : 1;
    if (wanted < c->least_times) wanted = c->least_times;
    c->times = wanted < 1 ? 1 : wanted > MOST_TIMES ? MOST_TIMES : (int)wanted;
    return WALSH_OK;
}

static walsh_status take_turn(const walsh_contender *c, double *seconds)
{
    double once = INFINITY;
    if (c->read) return c->read(c->context, seconds);
    if (!c->run) return WALSH_OK;
    WALSH_TRY(time_once(c, seconds));
    for (int i = 1; i < PEAK_TRIES && c->kind != WALSH_CONTENDER_ROW; i++) {
        WALSH_TRY(time_once(c, &once));
        if (once < *seconds) *seconds = once;
    }
    return WALSH_OK;
}

static int ascending(const void *left, const void *right)
{
    double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

static void take_median(walsh_contender *c, int repeats)
{
    qsort(c->timings, (size_t)repeats, sizeof *c->timings, ascending);
    c->median = (c->timings[(repeats - 1) / 2] + c->timings[repeats / 2]) / 2;
    c->least = c->timings[0];
}

void walsh_bench_add_rates(cJSON *row, const walsh_peaks *peaks, double seconds, double flops, double bytes)
{
    double at_peak = 0; /* seconds, were it at the bound */
    const char *bound = NULL;
    if (peaks->flops > 0 && flops > 0) at_peak = flops / peaks->flops, bound = "fma";
    if (peaks->bytes > 0 && bytes / peaks->bytes > at_peak) at_peak = bytes / peaks->bytes, bound = "memory";
    cJSON_AddNumberToObject(row, "gflops", seconds > 0 ? 1e-9 * flops / seconds : 0);
    cJSON_AddNumberToObject(row, "gbs", seconds > 0 ? 1e-9 * bytes / seconds : 0);
    if (bound && seconds > 0) { /* a device's clock may be too coarse for a launch */
        cJSON_AddStringToObject(row, "bound", bound);
        cJSON_AddNumberToObject(row, "peak_share", at_peak / seconds);
    } else {
        cJSON_AddNullToObject(row, "bound");
        cJSON_AddNullToObject(row, "peak_share");
    }
}

static void fill_row(const walsh_bench *bench, walsh_contender *c)
{
    static const char *const figures[] = {"ms", "ms_min", "gflops", "gbs", "bound", "peak_share", "peak_share_best"};
    bool timed = c->run || c->read;
    for (size_t i = 0; i < sizeof figures / sizeof *figures && !timed; i++) cJSON_AddNullToObject(c->row, figures[i]);
    if (!timed) return;
    cJSON_AddNumberToObject(c->row, "ms", 1e3 * c->median);
    cJSON_AddNumberToObject(c->row, "ms_min", 1e3 * c->least);
    if (c->images) cJSON_AddNumberToObject(c->row, "images_per_second", c->images / c->median);
    walsh_bench_add_rates(c->row, &bench->peaks, c->median, c->flops, c->bytes);
    cJSON_AddNumberToObject(c->row, "repeats", bench->repeats);
    const cJSON *share = cJSON_GetObjectItemCaseSensitive(c->row, "peak_share");
    if (cJSON_IsNumber(share))
        cJSON_AddNumberToObject(c->row, "peak_share_best", share->valuedouble * c->median / c->least);
    else
        cJSON_AddNullToObject(c->row, "peak_share_best");
}

/* Of the contenders that measure a peak, only the fastest is reported. A peak is what was reached at best; its row, of
 * medians like every other, shows how steady the machine was. */
static void keep_best(walsh_bench *bench, int kind, double *peak)
{
    walsh_contender *best = NULL;
    for (size_t i = 0; i < bench->count; i++) {
        walsh_contender *c = &bench->contenders[i];
        if ((int)c->kind != kind) continue;
        double rate = (kind == WALSH_CONTENDER_FMA ? c->flops : c->bytes) / c->least;
        walsh_contender *worse = rate > *peak ? best : c;
        if (rate > *peak) *peak = rate, best = c;
        if (worse) {
            cJSON_Delete(worse->row);
            worse->row = NULL;
        }
    }
}

walsh_status walsh_bench_run(walsh_bench *bench)
{
    for (size_t i = 0; i < bench->count; i++) WALSH_TRY(warm_up(&bench->contenders[i]));
    for (int r = 0; r < bench->repeats; r++)
        for (size_t i = 0; i < bench->count; i++)
            WALSH_TRY(take_turn(&bench->contenders[i], &bench->contenders[i].timings[r]));
    for (size_t i = 0; i < bench->count; i++) take_median(&bench->contenders[i], bench->repeats);
    keep_best(bench, WALSH_CONTENDER_FMA, &bench->peaks.flops);
    keep_best(bench, WALSH_CONTENDER_STREAM, &bench->peaks.bytes);
    for (size_t i = 0; i < bench->count; i++)
        if (bench->contenders[i].row) fill_row(bench, &bench->contenders[i]);
    return WALSH_OK;
}

static const walsh_column columns[] = {
    {"op", "operation", NULL, 0},
    {"variant", "variant", NULL, 0},
    {"shape", "shape", NULL, 0},
    {"fused", "fused", NULL, 0},
    {"layer", "layer", NULL, 0},
    {"layers", "layers", "%.0f", 1},
    {"pass", "pass", NULL, 0},
    {"share", "share", "%.1f %%", 100},
    {"ms", "ms", "%.3f", 1},
    {"ms_min", "ms min", "%.3f", 1},
    {"images_per_second", "images/s", "%.0f", 1},
    {"images_per_core_second", "images/core second", "%.0f", 1},
    {"gflops", "GFLOP/s", "%.2f", 1},
    {"gbs", "GB/s", "%.2f", 1},
    {"bound", "bound", NULL, 0},
    {"peak_share", "of bound", "%.1f %%", 100},
    {"parameters", "parameters", "%.0f", 1},
    {"optimizer_bytes", "optimizer KiB", "%.1f", 1.0 / 1024},
    {"arena_bytes", "arena MiB", "%.1f", 1.0 / (1 << 20)},
    {"memory_bytes", "memory MiB", "%.2f", 1.0 / (1 << 20)},
    {"moved_bytes", "moved MiB", "%.2f", 1.0 / (1 << 20)},
    {"peak_rss_bytes", "process MiB", "%.0f", 1.0 / (1 << 20)},
    {"first_step_ms", "first step ms", "%.0f", 1},
    {"note", "", NULL, 0},
};
enum { COLUMNS = sizeof columns / sizeof *columns };

static void print_table(const cJSON *rows, const char *shape_heading)
{
    walsh_column shown[COLUMNS];
    memcpy(shown, columns, sizeof columns);
    for (int i = 0; i < COLUMNS; i++)
        if (!strcmp(shown[i].key, "shape")) shown[i].heading = shape_heading;
    walsh_table_print(rows, shown, COLUMNS);
}

double walsh_bench_number(const cJSON *row, const char *key)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(row, key);
    return cJSON_IsNumber(item) ? item->valuedouble : 0;
}

static const char *op_of(const cJSON *row)
{
    return cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(row, "op"));
}

/* How many layers of a model a row stands for; 0: it is none's. */
static double layers_of(const cJSON *row)
{
    if (!cJSON_HasObjectItem(row, "layer")) return 0;
    return cJSON_HasObjectItem(row, "layers") ? walsh_bench_number(row, "layers") : 1;
}

/* Where rows stand for layers of a model: what all that an operation has take, by the variants that a run takes, and
 * the share of their bounds that they reach together. */
static void print_total(const cJSON *rows, const char *op)
{
    double ms = 0, at_bound = 0, flops = 0, bytes = 0, layers = 0;
    const cJSON *row;
    cJSON_ArrayForEach(row, rows)
    {
        if (strcmp(op_of(row), op) || !cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(row, "chosen"))) continue;
        double all = walsh_bench_number(row, "ms") * layers_of(row);
        ms += all;
        at_bound += all * walsh_bench_number(row, "peak_share");
        flops += all * walsh_bench_number(row, "gflops");
        bytes += all * walsh_bench_number(row, "gbs");
        layers += layers_of(row);
    }
    if (layers > 0)
        printf("%s, %.0f layer%s: %.3f ms, %.2f GFLOP/s, %.2f GB/s, %.1f %% of bound\n", op, layers,
               layers > 1 ? "s" : "", ms, flops / ms, bytes / ms, 100 * at_bound / ms);
}

/* One total for each operation, in the order of their first rows. */
static void print_totals(const cJSON *rows)
{
    const cJSON *row, *other;
    cJSON_ArrayForEach(row, rows)
    {
        for (other = rows->child; other != row && strcmp(op_of(other), op_of(row));) other = other->next;
        if (other == row) print_total(rows, op_of(row));
    }
}

walsh_status walsh_bench_report(const walsh_arguments *arguments, walsh_bench *bench, const char *shape_heading)
{
    cJSON *rows = cJSON_CreateArray();
    if (!rows) WALSH_FAIL(WALSH_E_MEMORY, "out of memory for the results");
    for (size_t i = 0; i < bench->count; i++) {
        if (bench->contenders[i].row) cJSON_AddItemToArray(rows, bench->contenders[i].row);
        bench->contenders[i].row = NULL;
    }
    if (walsh_argument(arguments, WALSH_OPTION_JSON)) return walsh_report_json(rows);
    print_table(rows, shape_heading);
    print_totals(rows);
    cJSON_Delete(rows);
    return WALSH_OK;
}

void walsh_bench_close(walsh_bench *bench)
{
    for (size_t i = 0; i < bench->count; i++) release(&bench->contenders[i]);
    free(bench->contenders);
    walsh_bench_memory_destroy(&bench->memory);
    walsh_wisdom_destroy(&bench->wisdom);
    walsh_device_close(&bench->device);
}
