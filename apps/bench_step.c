/* walsh bench step: whole training steps and evaluated batches of a model, from pixels in host memory. */
#include "apps/bench_commands.h"
#include "apps/bench_op.h"
#include "apps/values.h"
#include "engine/base/clock.h"
#include "engine/base/rng.h"
#include "engine/model/model.h"

#include <stdlib.h>
#include <sys/resource.h>

enum {
    UNDER_WAY = 2, /* steps enqueued ahead of their metrics, as in training */
    WARM_UPS = 2   /* runs of a contender before the next one's first */
};

/* One model and batch, which both contenders use. */
typedef struct stage {
    walsh_model *model;
    uint8_t *pixels;
    int32_t *labels;
    double began, first_step; /* walsh_clock() before anything, and after the first step */
    double rss;               /* bytes; see note_memory */
} stage;

typedef struct mode {
    stage *stage;
    bool train;
    int runs;
} mode;

static walsh_status enqueue(const mode *m)
{
    static const walsh_hyper hyper = {.lr = 1e-3f, .momentum = 0.9f, .weight_decay = 1e-4f};
    walsh_network *network = m->stage->model->network;
    size_t batch = (size_t)walsh_network_batch(network);
    return m->train ? walsh_network_train(network, m->stage->pixels, m->stage->labels, batch, &hyper)
                    : walsh_network_evaluate(network, m->stage->pixels, m->stage->labels, batch);
}

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
    walsh_batch_metrics metrics;
    for (int enqueued = 0, done = 0; done < times;) {
        if (enqueued < times && enqueued - done < UNDER_WAY) {
            WALSH_TRY(enqueue(m));
            enqueued++;
        } else {
            WALSH_TRY(walsh_network_metrics(m->stage->model->network, &metrics));
            done++;
        }
    }
    if (m->stage->first_step == 0) m->stage->first_step = walsh_clock();
    note_memory(m);
    return WALSH_OK;
}

static cJSON *make_row(const stage *s, bool train, int batch)
{
    const walsh_model_info *info = walsh_model_describe(s->model);
    cJSON *row = cJSON_CreateObject();
    cJSON_AddStringToObject(row, "op", train ? "step_train" : "step_evaluate");
    cJSON_AddStringToObject(row, "variant", info->name);
    cJSON_AddStringToObject(row, "head", walsh_head_kind_name(info->head.kind));
    cJSON_AddNumberToObject(row, "batch", batch);
    cJSON_AddNumberToObject(row, "image_size", info->image_size);
    cJSON_AddNumberToObject(row, "classes", info->classes);
    cJSON_AddNumberToObject(row, "parameters", (double)info->parameters);
    cJSON_AddNumberToObject(row, "arena_bytes", (double)walsh_network_arena_bytes(s->model->network));
    return row;
}

static walsh_status add(walsh_bench *bench, stage *s, bool train, int batch, int steps)
{
    mode *m = NULL;
    WALSH_TRY(walsh_alloc(&m, 1, sizeof *m, "a benchmark"));
    *m = (mode){.stage = s, .train = train};
    walsh_contender c = {.row = make_row(s, train, batch),
                         .run = run,
                         .destroy = free,
                         .context = m,
                         .images = batch,
                         .least_times = steps};
    walsh_bench_cost(walsh_network_plan(s->model->network, train ? WALSH_NETWORK_TRAIN : WALSH_NETWORK_EVALUATE), true,
                     &c.flops, &c.bytes);
    return walsh_bench_add(bench, &c);
}

/* Pixels and labels of no meaning: the time does not depend on them. */
static walsh_status make_batch(stage *s, int batch)
{
    const walsh_model_info *info = walsh_model_describe(s->model);
    size_t count = (size_t)batch * (size_t)info->image_size * (size_t)info->image_size * 4;
    const walsh_rng rng = {.seed = 1};
    WALSH_TRY(walsh_alloc(&s->pixels, count, 1, "a batch"));
    WALSH_TRY(walsh_alloc(&s->labels, (size_t)batch, sizeof *s->labels, "a batch"));
    for (size_t i = 0; i < count; i++) s->pixels[i] = i % 4 == 3 ? 0 : (uint8_t)walsh_rng_below(rng, i, 256);
    for (int i = 0; i < batch; i++) s->labels[i] = i % info->classes;
    return WALSH_OK;
}

static walsh_status build(const walsh_arguments *arguments, walsh_bench *bench, stage *s)
{
    static const char *const modes[] = {"both", "train", "evaluate", NULL};
    int batch = 128, classes = 10, steps = 1, only = 0;
    const char *head = walsh_argument(arguments, WALSH_OPTION_HEAD);
    walsh_model_options options = {.trains = true};
    WALSH_TRY(walsh_argument_required(arguments, WALSH_OPTION_MODEL, &options.name));
    WALSH_TRY(walsh_value_int(arguments, WALSH_OPTION_BATCH, 1, &batch));
    WALSH_TRY(walsh_value_int(arguments, WALSH_OPTION_CLASSES, 1, &classes));
    WALSH_TRY(walsh_value_int(arguments, WALSH_OPTION_STEPS, 1, &steps));
    WALSH_TRY(walsh_value_choice(arguments, WALSH_OPTION_MODE, modes, &only));
    if (head) WALSH_TRY(walsh_head_kind_parse(head, &options.head));
    options.classes = classes;
    options.trains = only != 2;
    WALSH_TRY(walsh_model_create(bench->device, &options, &s->model));
    WALSH_TRY(walsh_model_initialise(s->model, 1));
    walsh_network_consult(s->model->network, &bench->wisdom);
    const walsh_network_purpose purpose = {.batch = batch, .train = options.trains};
    WALSH_TRY(walsh_network_prepare(s->model->network, &purpose));
    WALSH_TRY(make_batch(s, batch));
    if (only != 2) WALSH_TRY(add(bench, s, true, batch, steps));
    if (only != 1) WALSH_TRY(add(bench, s, false, batch, steps));
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
    walsh_status status = walsh_bench_open(arguments, true, &bench);
    if (!status) status = build(arguments, &bench, &s);
    if (!status) status = walsh_bench_run(&bench);
    if (!status) complete_rows(&bench, &s);
    if (!status) status = walsh_bench_report(arguments, &bench, "shape");
    if (s.model) walsh_network_drain(s.model->network); /* batches under way read the pixels */
    walsh_model_destroy(&s.model);
    free(s.pixels);
    free(s.labels);
    walsh_bench_close(&bench);
    return status;
}

static const struct argp_option own[] = {
    {NULL, 0, NULL, 0, "What to measure:", 0},
    {"model", WALSH_OPTION_MODEL, "NAME", 0, WALSH_MODEL_HELP, 0},
    {"batch", WALSH_OPTION_BATCH, "B", 0, "images a step (default: 128)", 0},
    {"mode", WALSH_OPTION_MODE, "MODE", 0, "train, evaluate or both (default)", 0},
    {"head", WALSH_OPTION_HEAD, "HEAD", 0, "learned (default), orthonormal, hadamard or hadamard-plain", 0},
    {"classes", WALSH_OPTION_CLASSES, "C", 0, "number of classes (default: 10)", 0},
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
    .groups =
        (const struct argp_option *const[]){own, walsh_options_bench, walsh_options_device, walsh_options_json, NULL},
    .run = run_step,
};
