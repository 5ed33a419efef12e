/* walsh bench step: whole training steps and evaluated batches of a model, from pixels in host memory. */
#include "apps/bench_commands.h"
#include "apps/bench_model.h"
#include "apps/bench_op.h"
#include "apps/values.h"
#include "engine/base/clock.h"

#include <stdlib.h>
#include <sys/resource.h>

enum { WARM_UPS = 2 }; /* runs of a contender before the next one's first */

/* One model and batch, which both contenders use. */
typedef struct stage {
    walsh_bench_model model;
    double began, first_step; /* walsh_clock() before anything, and after the first step */
    double rss;               /* bytes; see note_memory */
} stage;

typedef struct mode {
    stage *stage;
    bool train;
    int runs;
} mode;

/* What the process has occupied at most, noted while it warms up: before the measuring of peaks takes buffers too. */
static void note_memory(mode *m)
{
    struct rusage usage;
    if (m->runs++ >= WARM_UPS) return;
    getrusage(RUSAGE_SELF, &usage);
    m->stage->rss = 1024.0 * (double)usage.ru_maxrss;
}

static walsh_status run(void *context, int times)
{
    mode *m = context;
    WALSH_TRY(walsh_bench_model_run(&m->stage->model, m->train, times));
    if (m->stage->first_step == 0) m->stage->first_step = walsh_clock();
    note_memory(m);
    return WALSH_OK;
}

static walsh_status add(walsh_bench *bench, stage *s, bool train, int steps)
{
    mode *m = NULL;
    WALSH_TRY(walsh_alloc(&m, 1, sizeof *m, "a benchmark"));
    *m = (mode){.stage = s, .train = train};
    walsh_contender c = walsh_bench_model_contender(&s->model, train);
    c.run = run;
    c.destroy = free;
    c.context = m;
    c.least_times = steps;
    return walsh_bench_add(bench, &c);
}

static walsh_status build(const walsh_arguments *arguments, walsh_bench *bench, stage *s)
{
    static const char *const modes[] = {"both", "train", "evaluate", NULL};
    int steps = 1, only = 0;
    WALSH_TRY(walsh_value_int(arguments, WALSH_OPTION_STEPS, 1, &steps));
    WALSH_TRY(walsh_value_choice(arguments, WALSH_OPTION_MODE, modes, &only));
    WALSH_TRY(walsh_bench_model_open(arguments, bench, only != 2, &s->model));
    if (only != 2) WALSH_TRY(add(bench, s, true, steps));
    if (only != 1) WALSH_TRY(add(bench, s, false, steps));
    return walsh_bench_add_peaks(bench);
}

/* What is known at the end, of the whole process. */
static void complete_rows(walsh_bench *bench, const stage *s)
{
    for (size_t i = 0; i < bench->count; i++) {
        const walsh_contender *c = &bench->contenders[i];
        if (c->kind != WALSH_CONTENDER_ROW) continue;
        if (i == 0) cJSON_AddNumberToObject(c->row, "first_step_ms", 1e3 * (s->first_step - s->began));
        cJSON_AddNumberToObject(c->row, "peak_rss_bytes", s->rss);
    }
}

static walsh_status run_step(const walsh_arguments *arguments)
{
    stage s = {.began = walsh_clock()};
    walsh_bench bench = {0};
    walsh_status status = walsh_bench_open(arguments, WALSH_BENCH_DEVICE, &bench);
    if (!status) status = build(arguments, &bench, &s);
    if (!status) status = walsh_bench_run(&bench);
    if (!status) complete_rows(&bench, &s);
    if (!status) status = walsh_bench_report(arguments, &bench, "shape");
    walsh_bench_model_close(&s.model);
    walsh_bench_close(&bench);
    return status;
}

static const struct argp_option own[] = {
    {"mode", WALSH_OPTION_MODE, "MODE", 0, "train, evaluate or both (default)", 0},
    {"steps", WALSH_OPTION_STEPS, "K", 0, "steps of one timing, at least (default: 1)", 0},
    {0},
};

const walsh_command walsh_command_bench_step = {
    .name = "bench step",
    .summary = "whole training steps and evaluated batches of a model",
    .synopsis = "--model NAME",
    .about = "Times whole training steps (copy, forward, loss, backward, update) and evaluated batches of a model."
             " GFLOP/s count its convolutions and matrix products alone, as if computed directly; GB/s what its passes"
             " must move at least. The first step's time includes opening the device and compiling."
             "\vExamples:\n"
             "  walsh bench step --model resnet56 --batch 128\n"
             "  walsh bench step --model resnet20 --head hadamard --mode train --steps 5 --json\n",
    .groups = (const struct argp_option *const[]){walsh_options_bench_model, own, walsh_options_bench,
                                                  walsh_options_device, walsh_options_json, NULL},
    .run = run_step,
};
