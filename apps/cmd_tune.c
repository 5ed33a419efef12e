/* walsh tune: measures the variants of a model's operations on a device, and keeps the fastest for later runs. */
#include "apps/commands.h"
#include "apps/progress.h"
#include "apps/report.h"
#include "apps/signals.h"
#include "apps/table.h"
#include "apps/values.h"
#include "engine/base/status.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct row {
    walsh_tuning_step step; /* operation NULL: not measured */
    char layer[64];
} row;

typedef struct table {
    walsh_bar bar;
    row *rows; /* by number, from 1 */
    int count;
} table;

static bool observe(void *context, const walsh_tuning_step *step)
{
    table *t = context;
    char after[96];
    if (!t->rows && walsh_alloc(&t->rows, (size_t)step->problems, sizeof *t->rows, "the table")) return true;
    t->count = step->problems;
    row *r = &t->rows[step->number - 1];
    r->step = *step;
    snprintf(r->layer, sizeof r->layer, "%s", step->layer);
    snprintf(after, sizeof after, "%d/%d %s", step->number, step->problems, step->operation);
    walsh_bar_draw(&t->bar, "tuning", step->number, step->problems, after);
    return walsh_signals_caught();
}

/* What the rule's choice takes, over the fastest; 0 where the rule's gave wrong results. */
static double ratio(const walsh_tuning_step *step)
{
    return step->fastest_ms > 0 ? step->by_rule_ms / step->fastest_ms : 0;
}

typedef struct totals {
    int problems, changed, refused;
    double by_rule_ms, fastest_ms; /* of a training step; what the rule has wrong counts as the fastest */
    const row *worst;              /* NULL: there are no rows */
} totals;

static totals sum(const table *t)
{
    totals all = {0};
    for (int i = 0; i < t->count; i++) {
        const row *r = &t->rows[i];
        const walsh_tuning_step *step = &r->step;
        if (!step->operation) continue;
        all.problems++;
        all.changed += !!strcmp(step->by_rule, step->fastest);
        all.refused += step->refused;
        all.by_rule_ms += step->uses * (step->by_rule_ms > 0 ? step->by_rule_ms : step->fastest_ms);
        all.fastest_ms += step->uses * step->fastest_ms;
        if (!all.worst || ratio(step) > ratio(&all.worst->step)) all.worst = r;
    }
    return all;
}

static const walsh_column columns[] = {
    {"op", "operation", NULL, 0},    {"layer", "first layer", NULL, 0},  {"uses", "uses", "%.0f", 1},
    {"by_rule", "by rule", NULL, 0}, {"by_rule_ms", "ms", "%.3f", 1},    {"fastest", "fastest", NULL, 0},
    {"fastest_ms", "ms", "%.3f", 1}, {"ratio", "rule/tuned", "%.2f", 1},
};

static cJSON *make_rows(const table *t)
{
    cJSON *array = cJSON_CreateArray();
    for (int i = 0; i < t->count; i++) {
        const walsh_tuning_step *step = &t->rows[i].step;
        if (!step->operation) continue;
        cJSON *object = cJSON_CreateObject();
        cJSON_AddStringToObject(object, "op", step->operation);
        cJSON_AddStringToObject(object, "layer", t->rows[i].layer);
        cJSON_AddNumberToObject(object, "uses", step->uses);
        cJSON_AddStringToObject(object, "by_rule", step->by_rule);
        cJSON_AddNumberToObject(object, "by_rule_ms", step->by_rule_ms);
        cJSON_AddStringToObject(object, "fastest", step->fastest);
        cJSON_AddNumberToObject(object, "fastest_ms", step->fastest_ms);
        cJSON_AddNumberToObject(object, "ratio", ratio(step));
        cJSON_AddNumberToObject(object, "refused", step->refused);
        cJSON_AddItemToArray(array, object);
    }
    return array;
}

static void print_totals(const walsh_train_options *options, const walsh_device *device, const totals *all)
{
    printf("%s, batch %d, on %s: %d problems, %d with a faster variant than the rule's, %d variants refused;"
           " a training step's take %.1f ms by rule, %.1f ms tuned",
           options->model.name, options->batch, walsh_device_describe(device)->name, all->problems, all->changed,
           all->refused, all->by_rule_ms, all->fastest_ms);
    if (all->fastest_ms > 0)
        printf(": %.2f times; at worst %.2f times, %s of %s", all->by_rule_ms / all->fastest_ms,
               ratio(&all->worst->step), all->worst->step.operation, all->worst->layer);
    puts("");
}

static walsh_status report(const walsh_arguments *arguments, const walsh_train_options *options,
                           const walsh_device *device, const table *t)
{
    cJSON *rows = make_rows(t);
    totals all = sum(t);
    if (walsh_argument(arguments, WALSH_OPTION_JSON)) return walsh_report_json(rows);
    walsh_table_print(rows, columns, sizeof columns / sizeof *columns);
    print_totals(options, device, &all);
    cJSON_Delete(rows);
    return WALSH_OK;
}

static walsh_status read_options(const walsh_arguments *arguments, walsh_train_options *options, double *seconds,
                                 walsh_device_options *device)
{
    const char *model, *head = walsh_argument(arguments, WALSH_OPTION_HEAD),
                       *data = walsh_argument(arguments, WALSH_OPTION_DATA);
    int threads = 0;
    WALSH_TRY(walsh_argument_required(arguments, WALSH_OPTION_MODEL, &model));
    WALSH_TRY(walsh_train_defaults(model, data ? data : "sample", options));
    options->batch = 128;
    if (head) WALSH_TRY(walsh_head_kind_parse(head, &options->model.head));
    WALSH_TRY(walsh_value_int(arguments, WALSH_OPTION_BATCH, 1, &options->batch));
    WALSH_TRY(walsh_value_real(arguments, WALSH_OPTION_SECONDS, WALSH_RANGE_POSITIVE, seconds));
    WALSH_TRY(walsh_value_int(arguments, WALSH_OPTION_THREADS, 1, &threads));
    *device = (walsh_device_options){.selector = walsh_argument(arguments, WALSH_OPTION_DEVICE),
                                     .threads = (unsigned)threads};
    return WALSH_OK;
}

static walsh_status run(const walsh_arguments *arguments)
{
    table t = {0};
    walsh_train_options options;
    walsh_device_options device_options;
    walsh_device *device = NULL;
    double seconds = 25;
    WALSH_TRY(walsh_bar_begin(arguments, &t.bar));
    WALSH_TRY(read_options(arguments, &options, &seconds, &device_options));
    WALSH_TRY(walsh_device_open(&device_options, &device));
    walsh_status status = walsh_tune_training(device, &options, seconds, observe, &t);
    walsh_bar_clear();
    if (!status) status = report(arguments, &options, device, &t);
    walsh_device_close(&device);
    free(t.rows);
    return status;
}

static const struct argp_option what[] = {
    {NULL, 0, NULL, 0, "What to tune:", 0},
    {"model", WALSH_OPTION_MODEL, "NAME", 0, WALSH_MODEL_HELP, 0},
    {"head", WALSH_OPTION_HEAD, "HEAD", 0, "learned (default), orthonormal, hadamard or hadamard-plain", 0},
    {"batch", WALSH_OPTION_BATCH, "B", 0, "images a step (default: 128)", 0},
    {"data", WALSH_OPTION_DATA, "DATA", 0, "the data set, for its number of classes (default: sample)", 0},
    {"seconds", WALSH_OPTION_SECONDS, "S", 0, "time to measure for (default: 25)", 0},
    {0},
};

const walsh_command walsh_command_tune = {
    .name = "tune",
    .summary = "measures kernels on a device and keeps what it learns",
    .synopsis = "--model NAME",
    .about =
        "Measures every variant of every operation that a model needs, refuses those whose results are not the"
        " plain variant's, and keeps the fastest as the device's wisdom, which later runs consult. Prints, for each"
        " distinct operation, what the variant takes that runs choose without wisdom, over the fastest's time."
        "\vExamples:\n"
        "  walsh tune --model resnet56\n"
        "  walsh tune --model resnet20 --head hadamard --batch 64 --seconds 10\n",
    .groups = (const struct argp_option *const[]){what, walsh_options_device, walsh_options_progress,
                                                  walsh_options_json, NULL},
    .run = run,
};
