/* walsh tune: measures the variants of a model's operations on a device, and keeps the fastest for later runs. */
#include "apps/commands.h"
#include "apps/progress.h"
#include "apps/signals.h"
#include "apps/values.h"
#include "engine/base/status.h"

#include <stdio.h>
#include <string.h>

typedef struct totals {
    walsh_bar bar;
    int problems, changed, refused;
    double by_rule_ms, fastest_ms; /* over all problems, one run of each */
} totals;

static bool observe(void *context, const walsh_tuning_step *step)
{
    totals *t = context;
    char after[96];
    bool same = !strcmp(step->by_rule, step->fastest);
    t->problems++;
    t->changed += !same;
    t->refused += step->refused;
    t->by_rule_ms += step->by_rule_ms;
    t->fastest_ms += step->fastest_ms;
    snprintf(after, sizeof after, "%d/%d %s", step->done, step->problems, step->operation);
    walsh_bar_draw(&t->bar, "tuning", step->done, step->problems, after);
    if (!same)
        walsh_note("%s: %s %.3f ms instead of %s %.3f ms", step->operation, step->fastest, step->fastest_ms,
                   step->by_rule, step->by_rule_ms);
    return walsh_signals_caught();
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
    totals t = {0};
    walsh_train_options options;
    walsh_device_options device_options;
    walsh_device *device = NULL;
    double seconds = 30;
    WALSH_TRY(walsh_bar_begin(arguments, &t.bar));
    WALSH_TRY(read_options(arguments, &options, &seconds, &device_options));
    WALSH_TRY(walsh_device_open(&device_options, &device));
    walsh_status status = walsh_tune_training(device, &options, seconds, observe, &t);
    walsh_bar_clear();
    if (!status)
        printf("%s, batch %d, on %s: %d problems, %d with a faster variant than the rule's, %d variants refused;"
               " %.1f ms by rule, %.1f ms tuned\n",
               options.model.name, options.batch, walsh_device_describe(device)->name, t.problems, t.changed, t.refused,
               t.by_rule_ms, t.fastest_ms);
    walsh_device_close(&device);
    return status;
}

static const struct argp_option what[] = {
    {NULL, 0, NULL, 0, "What to tune:", 0},
    {"model", WALSH_OPTION_MODEL, "NAME", 0, "resnet20, resnet32, resnet44, resnet56 or resnet110", 0},
    {"head", WALSH_OPTION_HEAD, "HEAD", 0, "learned (default), orthonormal or hadamard", 0},
    {"batch", WALSH_OPTION_BATCH, "B", 0, "images a step (default: 128)", 0},
    {"data", WALSH_OPTION_DATA, "DATA", 0, "the data set, for its number of classes (default: sample)", 0},
    {"seconds", WALSH_OPTION_SECONDS, "S", 0, "time to measure for (default: 30)", 0},
    {0},
};

const walsh_command walsh_command_tune = {
    .name = "tune",
    .summary = "measures kernels on a device and keeps what it learns",
    .synopsis = "--model NAME",
    .about = "Measures every variant of every operation that a model needs, refuses those whose results are not the"
             " plain variant's, and keeps the fastest as the device's wisdom, which later runs consult."
             "\vExamples:\n"
             "  walsh tune --model resnet56\n"
             "  walsh tune --model resnet20 --head hadamard --batch 64 --seconds 10\n",
    .groups = (const struct argp_option *const[]){what, walsh_options_device, walsh_options_progress, NULL},
    .run = run,
};
