#include "apps/device_check.h"
#include "apps/progress.h"
#include "apps/report.h"
#include "apps/signals.h"
#include "apps/table.h"
#include "engine/base/clock.h"
#include "engine/base/status.h"
#include "engine/check/check.h"
#include "engine/device/device.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* Rows of the table: a variant each, with what went wrong first. */
typedef struct outcome {
    walsh_bar bar;
    cJSON *rows;
    int problems, runs, wrong; /* runs: of a variant on a problem */
    double began;
} outcome;

static cJSON *row_of(outcome *o, const walsh_checked *checked)
{
    cJSON *row;
    cJSON_ArrayForEach(row, o->rows)
    {
        if (!strcmp(cJSON_GetObjectItem(row, "variant")->valuestring, checked->variant->name)) return row;
    }
    row = cJSON_CreateObject();
    cJSON_AddStringToObject(row, "op", checked->op->name);
    cJSON_AddStringToObject(row, "variant", checked->variant->name);
    cJSON_AddNumberToObject(row, "problems", 0);
    cJSON_AddNumberToObject(row, "wrong", 0);
    cJSON_AddNumberToObject(row, "error", 0);
    cJSON_AddStringToObject(row, "verdict", "right");
    cJSON_AddItemToArray(o->rows, row);
    return row;
}

static void count(cJSON *row, const char *key)
{
    cJSON *number = cJSON_GetObjectItem(row, key);
    cJSON_SetNumberValue(number, number->valuedouble + 1);
}

/* "WRONG: resnet50, layer1.0.conv2: error 0.4", or what the device said. */
static void add_complaint(cJSON *row, const walsh_checked *checked)
{
    char text[320], error[64];
    snprintf(error, sizeof error, "error %.1e", checked->error);
    snprintf(text, sizeof text, "WRONG: %s, %s: %s", checked->model, checked->layer,
             checked->failure ? checked->failure : error);
    cJSON_ReplaceItemInObject(row, "verdict", cJSON_CreateString(text));
}

static bool observe(void *context, const walsh_checked *checked)
{
    outcome *o = context;
    char after[96];
    cJSON *row = row_of(o, checked), *error = cJSON_GetObjectItem(row, "error");
    count(row, "problems");
    if (!(checked->error <= error->valuedouble) && isfinite(checked->error))
        cJSON_SetNumberValue(error, checked->error);
    o->problems = checked->problems;
    o->runs++;
    if (!walsh_checked_agrees(checked)) {
        if (!cJSON_GetObjectItem(row, "wrong")->valueint) add_complaint(row, checked);
        count(row, "wrong");
        o->wrong++;
    }
    snprintf(after, sizeof after, "%d/%d %s", checked->number, checked->problems, checked->variant->name);
    walsh_bar_draw(&o->bar, "checking", checked->number, checked->problems, after);
    return walsh_signals_caught();
}

static const walsh_column columns[] = {
    {"op", "operation", NULL, 0},  {"variant", "variant", NULL, 0},       {"problems", "problems", "%.0f", 0},
    {"wrong", "wrong", "%.0f", 0}, {"error", "largest error", "%.1e", 0}, {"verdict", "verdict", NULL, 0},
};

static void print_verdict(const outcome *o, const walsh_device *device)
{
    const walsh_device_info *info = walsh_device_describe(device);
    char took[WALSH_DURATION];
    printf("\n%s (%s, driver %s): ", info->name, info->platform_version, info->driver);
    if (!o->wrong) {
        printf("right. %d problems, %d runs of kernels, against double precision, in %s.\n", o->problems, o->runs,
               walsh_duration(walsh_clock() - o->began, took));
        return;
    }
    printf("%d of %d runs of kernels are wrong: do not train on it.\n"
           "Please report the lines above and the output of `walsh devices --json`. WALSH_DISABLE=VARIANT,... does "
           "without variants, but for those named *_plain.\n",
           o->wrong, o->runs);
}

static walsh_status report(const walsh_arguments *arguments, outcome *o, const walsh_device *device)
{
    if (walsh_argument(arguments, WALSH_OPTION_JSON)) {
        cJSON *rows = o->rows;
        o->rows = NULL;
        WALSH_TRY(walsh_report_json(rows));
    } else {
        walsh_table_print(o->rows, columns, sizeof columns / sizeof *columns);
        print_verdict(o, device);
    }
    if (o->wrong)
        WALSH_FAIL(WALSH_E_OPENCL, "%s: %d of %d runs of kernels gave wrong results",
                   walsh_device_describe(device)->name, o->wrong, o->runs);
    return WALSH_OK;
}

walsh_status walsh_device_check(const walsh_arguments *arguments)
{
    const walsh_device_options options = {.selector = walsh_argument(arguments, WALSH_OPTION_DEVICE)};
    outcome o = {.began = walsh_clock()};
    walsh_device *device = NULL;
    WALSH_TRY(walsh_bar_begin(arguments, &o.bar));
    WALSH_TRY(walsh_device_open(&options, &device));
    o.rows = cJSON_CreateArray();
    walsh_status status = walsh_check_models(device, observe, &o);
    walsh_bar_clear();
    if (!status) status = report(arguments, &o, device);
    cJSON_Delete(o.rows);
    walsh_device_close(&device);
    return status;
}
