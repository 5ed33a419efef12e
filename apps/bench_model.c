#include "apps/bench_model.h"

#include "apps/bench_op.h"
#include "apps/values.h"
#include "engine/base/rng.h"

#include <stdlib.h>

enum { UNDER_WAY = 2 }; /* steps enqueued ahead of their metrics, as in training */

const struct argp_option walsh_options_bench_model[] = {
    {NULL, 0, NULL, 0, "What to measure:", 0},
    {"model", WALSH_OPTION_MODEL, "NAME", 0, WALSH_MODEL_HELP, 0},
    {"image-size", WALSH_OPTION_IMAGE_SIZE, "S", 0, "pixels a side (default: the model's)", 0},
    {"batch", WALSH_OPTION_BATCH, "B", 0, "images a step (default: 128)", 0},
    {"head", WALSH_OPTION_HEAD, "HEAD", 0, "learned (default), orthonormal, hadamard or hadamard-plain", 0},
    {"classes", WALSH_OPTION_CLASSES, "C", 0, "number of classes (default: 10)", 0},
    {"math", WALSH_OPTION_MATH, "MATH", 0, WALSH_MATH_HELP, 0},
    {"store", WALSH_OPTION_STORE, "TYPE", 0, WALSH_STORE_HELP, 0},
    {0},
};

/* The time does not depend on them. */
static walsh_status make_batch(walsh_bench_model *m)
{
    const walsh_model_info *info = walsh_model_describe(m->model);
    size_t count = (size_t)m->batch * (size_t)info->image_size * (size_t)info->image_size * 4;
    const walsh_rng rng = {.seed = 1};
    WALSH_TRY(walsh_alloc(&m->pixels, count, 1, "a batch"));
    WALSH_TRY(walsh_alloc(&m->labels, (size_t)m->batch, sizeof *m->labels, "a batch"));
    for (size_t i = 0; i < count; i++) m->pixels[i] = i % 4 == 3 ? 0 : (uint8_t)walsh_rng_below(rng, i, 256);
    for (int i = 0; i < m->batch; i++) m->labels[i] = i % info->classes;
    return WALSH_OK;
}

walsh_status walsh_bench_model_open(const walsh_arguments *arguments, walsh_bench *bench, bool trains,
                                    walsh_bench_model *m)
{
    const char *head = walsh_argument(arguments, WALSH_OPTION_HEAD);
    walsh_model_options options = {.classes = 10, .trains = trains};
    *m = (walsh_bench_model){.batch = 128};
    WALSH_TRY(walsh_argument_required(arguments, WALSH_OPTION_MODEL, &options.name));
    WALSH_TRY(walsh_value_int(arguments, WALSH_OPTION_IMAGE_SIZE, 1, &options.image_size));
    WALSH_TRY(walsh_value_int(arguments, WALSH_OPTION_BATCH, 1, &m->batch));
    WALSH_TRY(walsh_value_int(arguments, WALSH_OPTION_CLASSES, 1, &options.classes));
    if (head) WALSH_TRY(walsh_head_kind_parse(head, &options.head));
    WALSH_TRY(walsh_model_create(bench->device, &options, &m->model));
    WALSH_TRY(walsh_model_initialise(m->model, 1));
    walsh_network_consult(m->model->network, &bench->wisdom);
    walsh_network_purpose purpose = {.batch = m->batch, .train = trains, .exact = bench->exact};
    WALSH_TRY(walsh_value_store(arguments, &purpose.half));
    if (purpose.exact && purpose.half) WALSH_FAIL(WALSH_E_ARGUMENT, WALSH_STORE_CONTRADICTS_MATH);
    m->half = purpose.half;
    WALSH_TRY(walsh_network_prepare(m->model->network, &purpose));
    return make_batch(m);
}

const walsh_plan *walsh_bench_model_plan(const walsh_bench_model *m, bool train)
{
    return walsh_network_plan(m->model->network, train ? WALSH_NETWORK_TRAIN : WALSH_NETWORK_EVALUATE);
}

walsh_contender walsh_bench_model_contender(const walsh_bench_model *m, bool train)
{
    const walsh_model_info *info = walsh_model_describe(m->model);
    walsh_contender c = {.row = cJSON_CreateObject(), .images = m->batch};
    walsh_bench_cost(walsh_bench_model_plan(m, train), true, &c.flops, &c.bytes);
    cJSON_AddStringToObject(c.row, "op", train ? "step_train" : "step_evaluate");
    cJSON_AddStringToObject(c.row, "variant", info->name);
    cJSON_AddStringToObject(c.row, "head", walsh_head_kind_name(info->head.kind));
    cJSON_AddNumberToObject(c.row, "batch", m->batch);
    cJSON_AddStringToObject(c.row, "store", m->half ? "f16" : "f32");
    cJSON_AddNumberToObject(c.row, "image_size", info->image_size);
    cJSON_AddNumberToObject(c.row, "classes", info->classes);
    cJSON_AddNumberToObject(c.row, "parameters", (double)info->parameters);
    cJSON_AddNumberToObject(c.row, "arena_bytes", (double)walsh_network_arena_bytes(m->model->network));
    return c;
}

static walsh_status enqueue(const walsh_bench_model *m, bool train)
{
    static const walsh_hyper hyper = {.lr = 1e-3f, .momentum = 0.9f, .weight_decay = 1e-4f};
    walsh_network *network = m->model->network;
    size_t batch = (size_t)m->batch;
    return train ? walsh_network_train(network, m->pixels, m->labels, batch, &hyper)
                 : walsh_network_evaluate(network, m->pixels, m->labels, batch);
}

walsh_status walsh_bench_model_run(const walsh_bench_model *m, bool train, int times)
{
    walsh_batch_metrics metrics;
    for (int enqueued = 0, done = 0; done < times;) {
        if (enqueued < times && enqueued - done < UNDER_WAY) {
            WALSH_TRY(enqueue(m, train));
            enqueued++;
        } else {
            WALSH_TRY(walsh_network_metrics(m->model->network, &metrics));
            done++;
        }
    }
    return WALSH_OK;
}

void walsh_bench_model_close(walsh_bench_model *m)
{
    if (m->model) walsh_network_drain(m->model->network); /* batches under way read the pixels */
    walsh_model_destroy(&m->model);
    free(m->pixels);
    free(m->labels);
}
