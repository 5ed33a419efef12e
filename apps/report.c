#include "apps/report.h"

#include "engine/base/status.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

walsh_status walsh_report_json(cJSON *json)
{
    char *text = json ? cJSON_Print(json) : NULL;
    cJSON_Delete(json);
    if (!text) WALSH_FAIL(WALSH_E_MEMORY, "out of memory for the results");
    puts(text);
    cJSON_free(text);
    return WALSH_OK;
}

static int longest_first(const void *left, const void *right)
{
    const walsh_profile_line *a = left, *b = right;
    if (a->milliseconds != b->milliseconds) return a->milliseconds < b->milliseconds ? 1 : -1;
    return strcmp(a->label, b->label);
}

void walsh_report_profile(walsh_profile_line *lines, size_t count)
{
    double total = 0;
    int width = 5;
    for (size_t i = 0; i < count; i++) {
        int length = (int)strlen(lines[i].label);
        if (length > width) width = length;
        total += lines[i].milliseconds;
    }
    if (count) qsort(lines, count, sizeof *lines, longest_first);
    printf("%-*s %9s %11s %7s %9s %8s\n", width, "label", "launches", "ms", "share", "GFLOP/s", "GB/s");
    for (size_t i = 0; i < count; i++) {
        const walsh_profile_line *line = &lines[i];
        printf("%-*s %9llu %11.2f %6.1f%% %9.2f %8.2f\n", width, line->label, (unsigned long long)line->launches,
               line->milliseconds, total > 0 ? 100 * line->milliseconds / total : 0, line->gflops, line->gbs);
    }
    printf("%-*s %9s %11.2f\n", width, "total", "", total);
}
