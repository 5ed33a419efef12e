#include "apps/profile.h"

#include "apps/bench_op.h"
#include "apps/table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const walsh_column columns[] = {
    {"layer", "layer", NULL, 0},      {"op", "operation", NULL, 0},
    {"kernel", "kernel", NULL, 0},    {"launches", "launches", "%.0f", 1},
    {"ms", "ms", "%.3f", 1},          {"share", "share", "%.1f %%", 100},
    {"gflops", "GFLOP/s", "%.2f", 1}, {"gbs", "GB/s", "%.2f", 1},
    {"bound", "bound", NULL, 0},      {"peak_share", "of bound", "%.1f %%", 100},
};

static void add_line(walsh_profile_line *to, const walsh_profile_line *line)
{
    to->launches += line->launches;
    to->seconds += line->seconds;
    to->flops += line->flops;
    to->bytes += line->bytes;
}

/* By operation and kernel alone: sums over the layers, in place. Returns how many lines are left. */
static size_t merge_layers(walsh_profile_line *lines, size_t count)
{
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        size_t k = 0;
        while (k < kept && (strcmp(lines[k].operation, lines[i].operation) || strcmp(lines[k].kernel, lines[i].kernel)))
            k++;
        if (k < kept) {
            add_line(&lines[k], &lines[i]);
        } else {
            lines[kept] = lines[i];
            lines[kept++].layer[0] = 0;
        }
    }
    return kept;
}

static int longest_first(const void *left, const void *right)
{
    const walsh_profile_line *a = left, *b = right;
    return (a->seconds < b->seconds) - (a->seconds > b->seconds);
}

static void add_row(cJSON *rows, const walsh_profile_line *line, double total, const walsh_peaks *peaks)
{
    double runs = (double)line->runs;
    cJSON *row = cJSON_CreateObject();
    if (line->layer[0]) cJSON_AddStringToObject(row, "layer", line->layer);
    cJSON_AddStringToObject(row, "op", line->operation);
    cJSON_AddStringToObject(row, "kernel", line->kernel);
    cJSON_AddNumberToObject(row, "launches", (double)line->launches / runs);
    cJSON_AddNumberToObject(row, "ms", 1e3 * line->seconds / runs);
    cJSON_AddNumberToObject(row, "share", total > 0 ? line->seconds / total : 0);
    walsh_bench_add_rates(row, peaks, line->seconds, line->flops, line->bytes);
    cJSON_AddItemToArray(rows, row);
}

static void print_lines(walsh_profile_line *lines, size_t count, const walsh_peaks *peaks)
{
    walsh_profile_line total = {.layer = "total", .runs = lines[0].runs};
    cJSON *rows = cJSON_CreateArray();
    qsort(lines, count, sizeof *lines, longest_first);
    for (size_t i = 0; i < count; i++) add_line(&total, &lines[i]);
    for (size_t i = 0; i < count; i++) add_row(rows, &lines[i], total.seconds, peaks);
    if (!lines[0].layer[0]) { /* "total" stands in the first column that there is */
        total.layer[0] = 0;
        strcpy(total.operation, "total");
    }
    add_row(rows, &total, total.seconds, peaks);
    walsh_table_print(rows, columns, sizeof columns / sizeof *columns);
    cJSON_Delete(rows);
}

static walsh_status print_totals(const walsh_profile_line *lines, size_t count, const walsh_peaks *peaks)
{
    walsh_profile_line *sums = NULL;
    WALSH_TRY(walsh_alloc(&sums, count, sizeof *sums, "a profile"));
    memcpy(sums, lines, count * sizeof *sums);
    print_lines(sums, merge_layers(sums, count), peaks);
    free(sums);
    return WALSH_OK;
}

static void print_title(const walsh_profile_line *line, const char *by)
{
    const char *runs = !strcmp(line->phase, "evaluation")     ? "batches"
                       : !strcmp(line->phase, "accumulation") ? "parts of steps"
                       : !strcmp(line->phase, "preparation")  ? "times"
                                                              : "steps";
    printf("\n%s, %llu %s: launches and ms of one, by %s\n", line->phase, (unsigned long long)line->runs, runs, by);
}

/* Lines of the phase that *lines begins with. */
static size_t phase_length(const walsh_profile_line *lines, size_t count)
{
    size_t length = 1;
    while (length < count && !strcmp(lines[length].phase, lines[0].phase)) length++;
    return length;
}

walsh_status walsh_profile_print(walsh_device *device, walsh_profile_line *lines, size_t count)
{
    walsh_peaks peaks;
    size_t length;
    WALSH_TRY(walsh_bench_measure_peaks(device, &peaks));
    printf("\nbounds, measured now: %.1f GFLOP/s of multiply-adds, %.1f GB/s of memory\n", 1e-9 * peaks.flops,
           1e-9 * peaks.bytes);
    for (size_t at = 0; at < count; at += length) {
        length = phase_length(lines + at, count - at);
        if (!lines[at].runs) continue;
        print_title(&lines[at], "operation and kernel");
        WALSH_TRY(print_totals(lines + at, length, &peaks));
    }
    for (size_t at = 0; at < count; at += length) {
        length = phase_length(lines + at, count - at);
        if (!lines[at].runs) continue;
        print_title(&lines[at], "layer");
        print_lines(lines + at, length, &peaks);
    }
    return WALSH_OK;
}
