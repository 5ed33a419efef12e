/* walsh bench head: one batch through each head: forward, loss, backward, update of its parameters. */
#include "apps/bench_commands.h"
#include "apps/bench_op.h"
#include "apps/values.h"
#include "engine/base/rng.h"
#include "engine/nn/head.h"
#include "engine/nn/parameters.h"
#include "engine/op/gemm.h"
#include "engine/op/gemm_clblast.h"
#include "engine/op/sgd.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* One head with all that it needs. */
typedef struct stage {
    walsh_device *device;
    walsh_head head;
    int batch;
    const char *gemm; /* the variant that matrix products shall take where they can; NULL: the plan's choice */
    walsh_parameters *parameters;
    int weight, alpha, bias; /* numbers there; -1: none */
    walsh_tensor *features, *labels, *valid, *constant, *hyper;
    walsh_plan *plan;
    walsh_arena *arena;
} stage;

static void destroy(void *context)
{
    stage *s = context;
    clFinish(s->device->queue);
    walsh_plan_destroy(&s->plan);
    walsh_arena_destroy(&s->arena);
    walsh_tensor **tensors[] = {&s->features, &s->labels, &s->valid, &s->constant, &s->hyper};
    for (size_t i = 0; i < sizeof tensors / sizeof *tensors; i++) walsh_tensor_destroy(tensors[i]);
    walsh_parameters_destroy(&s->parameters);
    free(s);
}

static walsh_status add_parameter(stage *s, const char *name, walsh_layout layout, const int dims[2], float value,
                                  int *index)
{
    walsh_parameter p = {.layout = layout,
                         .role = WALSH_ROLE_TRAINED,
                         .rank = dims[1] ? 2 : 1,
                         .dims = {dims[0], dims[1]},
                         .init = layout == WALSH_LAYOUT_LINEAR ? WALSH_INIT_UNIFORM : WALSH_INIT_VALUE,
                         .init_value = value};
    snprintf(p.name, sizeof p.name, "%s", name);
    return walsh_parameters_add(s->parameters, &p, index);
}

static walsh_status make_parameters(stage *s)
{
    const walsh_head_spec *spec = &s->head.spec;
    s->weight = s->alpha = s->bias = -1;
    WALSH_TRY(walsh_parameters_create(&s->parameters));
    if (spec->kind == WALSH_HEAD_LEARNED)
        WALSH_TRY(add_parameter(s, "weight", WALSH_LAYOUT_LINEAR, (const int[2]){spec->classes, spec->features},
                                1 / sqrtf((float)spec->features), &s->weight));
    else
        WALSH_TRY(add_parameter(s, "scale", WALSH_LAYOUT_VECTOR, (const int[2]){1, 0}, 10, &s->alpha));
    WALSH_TRY(add_parameter(s, "bias", WALSH_LAYOUT_VECTOR, (const int[2]){spec->classes, 0}, 0, &s->bias));
    WALSH_TRY(walsh_parameters_allocate(s->parameters, s->device, true));
    return walsh_parameters_initialise(s->parameters, 1);
}

static walsh_status upload_constant(stage *s)
{
    walsh_shape shape = walsh_head_shapes_of(&s->head.spec).constant;
    float *dense = NULL;
    if (walsh_shape_is_absent(shape)) return WALSH_OK;
    WALSH_TRY(walsh_tensor_make(s->device, shape, &s->constant));
    WALSH_TRY(walsh_alloc(&dense, walsh_shape_rows(shape) * (size_t)shape.c, sizeof *dense, "the fixed classifier"));
    walsh_status status = walsh_head_constant(&s->head.spec, dense);
    if (!status) status = walsh_tensor_upload(s->constant, dense);
    free(dense);
    return status;
}

/* Features like a ReLU's, labels over all classes. */
static walsh_status upload_batch(stage *s)
{
    static const float hyper[4] = {1e-3f, 0.9f, 1e-4f, 1};
    const int32_t valid[4] = {s->batch};
    size_t features = (size_t)s->head.spec.features, count = (size_t)s->batch * features;
    const walsh_rng rng = {.seed = 2};
    float *dense = NULL;
    int32_t *labels = NULL;
    WALSH_TRY(walsh_tensor_make(s->device, walsh_shape_matrix(s->batch, s->head.spec.features), &s->features));
    WALSH_TRY(walsh_tensor_make(s->device, walsh_shape_array(WALSH_I32, s->batch), &s->labels));
    WALSH_TRY(walsh_tensor_make(s->device, walsh_shape_array(WALSH_I32, 4), &s->valid));
    WALSH_TRY(walsh_tensor_make(s->device, walsh_shape_vector(4), &s->hyper));
    WALSH_TRY(walsh_view_write(s->device, &s->valid->view, valid));
    WALSH_TRY(walsh_tensor_upload(s->hyper, hyper));
    walsh_status status = walsh_alloc(&dense, count, sizeof *dense, "features");
    if (!status) status = walsh_alloc(&labels, (size_t)s->batch, sizeof *labels, "labels");
    for (size_t i = 0; i < count && !status; i++) dense[i] = walsh_rng_uniform(rng, i);
    for (int i = 0; i < s->batch && !status; i++)
        labels[i] = (int32_t)walsh_rng_below(rng, count + (size_t)i, (uint32_t)s->head.spec.classes);
    if (!status) status = walsh_tensor_upload(s->features, dense);
    if (!status) status = walsh_view_write(s->device, &s->labels->view, labels);
    free(dense);
    free(labels);
    return status;
}

static walsh_value bind(const stage *s, walsh_copy copy, int index)
{
    if (index < 0) return WALSH_NO_VALUE;
    walsh_view view = walsh_parameters_view(s->parameters, copy, index);
    return walsh_plan_bind(s->plan, &view);
}

static void plan_sgd(stage *s)
{
    walsh_sgd_problem p = {.elements = walsh_parameters_trained_extent(s->parameters),
                           .decayed = walsh_parameters_decayed_extent(s->parameters)};
    walsh_view g = walsh_parameters_trained_view(s->parameters, WALSH_COPY_GRADIENT);
    walsh_view v = walsh_parameters_trained_view(s->parameters, WALSH_COPY_MOMENTUM);
    walsh_view w = walsh_parameters_trained_view(s->parameters, WALSH_COPY_WEIGHTS);
    const walsh_value operands[] = {walsh_plan_bind(s->plan, &s->hyper->view), walsh_plan_bind(s->plan, &g),
                                    walsh_plan_bind(s->plan, &v), walsh_plan_bind(s->plan, &w)};
    walsh_plan_add(s->plan, "sgd", &walsh_sgd, &p, operands);
}

static walsh_status build_plan(stage *s, const walsh_wisdom *wisdom)
{
    walsh_head_parts parts = walsh_head_no_parts;
    WALSH_TRY(walsh_plan_create(s->device, &s->plan));
    walsh_plan_consult(s->plan, wisdom);
    WALSH_TRY(walsh_arena_create(s->device, &s->arena));
    parts.features = walsh_plan_bind(s->plan, &s->features->view);
    parts.labels = walsh_plan_bind(s->plan, &s->labels->view);
    parts.valid = walsh_plan_bind(s->plan, &s->valid->view);
    if (s->constant) parts.constant = walsh_plan_bind(s->plan, &s->constant->view);
    parts.weight = bind(s, WALSH_COPY_WEIGHTS, s->weight);
    parts.alpha = bind(s, WALSH_COPY_WEIGHTS, s->alpha);
    parts.bias = bind(s, WALSH_COPY_WEIGHTS, s->bias);
    parts.d_weight = bind(s, WALSH_COPY_GRADIENT, s->weight);
    parts.d_alpha = bind(s, WALSH_COPY_GRADIENT, s->alpha);
    parts.d_bias = bind(s, WALSH_COPY_GRADIENT, s->bias);
    walsh_head_train(s->plan, &s->head, &parts);
    plan_sgd(s);
    return walsh_plan_layout(s->plan, s->arena);
}

/* Builds the plan anew with s->gemm for every matrix product that can take it. */
static walsh_status plan_with_gemm(stage *s)
{
    walsh_wisdom *wisdom = NULL;
    WALSH_TRY(walsh_wisdom_create(&wisdom));
    walsh_status status = WALSH_OK;
    for (int i = 0; i < walsh_plan_count(s->plan) && !status; i++) {
        walsh_planned step = walsh_plan_at(s->plan, i);
        if (step.op == &walsh_gemm) status = walsh_wisdom_set(wisdom, step.op, step.problem, s->gemm);
    }
    walsh_plan_destroy(&s->plan);
    walsh_arena_destroy(&s->arena);
    if (!status) status = build_plan(s, wisdom);
    if (!status) walsh_plan_consult(s->plan, NULL);
    walsh_wisdom_destroy(&wisdom);
    return status;
}

static walsh_status make_plan(stage *s, const walsh_wisdom *wisdom)
{
    WALSH_TRY(build_plan(s, wisdom));
    if (s->gemm) WALSH_TRY(plan_with_gemm(s));
    return walsh_arena_commit(s->arena);
}

static walsh_status prepare(void *context)
{
    stage *s = context;
    return walsh_plan_emit(s->plan, s->arena);
}

static walsh_status run(void *context, int times)
{
    stage *s = context;
    for (int i = 0; i < times; i++) WALSH_TRY(walsh_plan_run(s->plan));
    WALSH_CL(clFinish(s->device->queue));
    return WALSH_OK;
}

/* All that the head keeps on the device, but for the features: weights, gradients and momentum, its matrix, arena. */
static size_t memory(const stage *s)
{
    size_t bytes = walsh_arena_bytes(s->arena);
    bytes += 3 * (size_t)walsh_parameters_trained_extent(s->parameters) * sizeof(float);
    return bytes + (s->constant ? walsh_shape_bytes(s->constant->view.shape) : 0);
}

static cJSON *describe(const walsh_head_spec *spec, int batch, const char *gemm, double parameters)
{
    char shape[48], variant[64];
    cJSON *row = cJSON_CreateObject();
    snprintf(shape, sizeof shape, "%d,%d,%d", batch, spec->features, spec->classes);
    snprintf(variant, sizeof variant, "%s%s%s", walsh_head_kind_name(spec->kind), gemm ? " " : "", gemm ? gemm : "");
    cJSON_AddStringToObject(row, "op", "head");
    cJSON_AddStringToObject(row, "variant", variant);
    cJSON_AddStringToObject(row, "shape", shape);
    cJSON_AddNumberToObject(row, "batch", batch);
    cJSON_AddNumberToObject(row, "features", spec->features);
    cJSON_AddNumberToObject(row, "classes", spec->classes);
    cJSON_AddNumberToObject(row, "parameters", parameters);
    cJSON_AddNumberToObject(row, "optimizer_bytes", parameters * sizeof(float));
    return row;
}

static walsh_status add(walsh_bench *bench, const walsh_head_spec *spec, int batch, const char *gemm)
{
    stage *s = NULL;
    WALSH_TRY(walsh_alloc(&s, 1, sizeof *s, "a benchmark"));
    *s = (stage){.device = bench->device, .head = {.spec = *spec}, .batch = batch, .gemm = gemm};
    walsh_status status = make_parameters(s);
    if (!status) status = upload_constant(s);
    if (!status) status = upload_batch(s);
    if (!status) status = make_plan(s, bench->wisdom);
    if (status) {
        destroy(s);
        return status;
    }
    walsh_contender c = {
        .prepare = prepare, .run = run, .destroy = destroy, .context = s, .images = batch, .seconds = 2e-3};
    walsh_bench_cost(s->plan, false, &c.flops, &c.bytes);
    c.row = describe(spec, batch, gemm, (double)walsh_parameters_trained(s->parameters));
    cJSON_AddNumberToObject(c.row, "memory_bytes", (double)memory(s));
    cJSON_AddNumberToObject(c.row, "moved_bytes", c.bytes);
    return walsh_bench_add(bench, &c);
}

/* Sizes that are measured where none is asked for, learned against Hadamard: heads of networks for CIFAR and ImageNet,
 * of a vocabulary, of 18291 and of a million classes. */
static const int usual[][2] = {{64, 10},     {64, 100},    {342, 100},   {512, 1000},   {960, 1000},
                               {1664, 1000}, {2048, 1000}, {512, 33278}, {2048, 18291}, {512, 1000000}};
enum { USUAL = sizeof usual / sizeof *usual, MOST_BYTES = 1 << 30 };

/* A learned head that keeps too much in memory: what it would take, in a row without timings. */
static walsh_status add_too_large(walsh_bench *bench, const walsh_head_spec *spec, int batch, double bytes)
{
    char note[64];
    double parameters = ((double)spec->features + 1) * spec->classes;
    cJSON *row = describe(spec, batch, NULL, parameters);
    snprintf(note, sizeof note, "not measured: needs %.1f GiB", bytes / (1 << 30));
    cJSON_AddNumberToObject(row, "memory_bytes", bytes);
    cJSON_AddStringToObject(row, "note", note);
    return walsh_bench_add(bench, &(walsh_contender){.row = row});
}

/* Learned heads beyond MOST_BYTES are not tried, so that any device can make the table. */
static walsh_status add_usual(walsh_bench *bench, int batch)
{
    for (int i = 0; i < USUAL; i++) {
        walsh_head_spec spec = {.kind = WALSH_HEAD_LEARNED, .features = usual[i][0], .classes = usual[i][1]};
        double bytes = sizeof(float) * (double)spec.classes * (3.0 * (spec.features + 1) + batch);
        if (bytes > MOST_BYTES) {
            WALSH_TRY(add_too_large(bench, &spec, batch, bytes));
        } else {
            WALSH_TRY(add(bench, &spec, batch, NULL));
            WALSH_TRY(add(bench, &spec, batch, walsh_gemm_clblast.name));
        }
        spec.kind = WALSH_HEAD_HADAMARD;
        WALSH_TRY(add(bench, &spec, batch, NULL));
    }
    return WALSH_OK;
}

/* The head asked for, or every one that can be built with these sizes; the plain one only for the asking. */
static walsh_status add_size(const walsh_arguments *arguments, walsh_bench *bench, int batch)
{
    static const walsh_head_kind kinds[] = {WALSH_HEAD_LEARNED, WALSH_HEAD_ORTHONORMAL, WALSH_HEAD_HADAMARD,
                                            WALSH_HEAD_HADAMARD_PLAIN};
    const char *wanted = walsh_argument(arguments, WALSH_OPTION_HEAD);
    int sizes[2];
    walsh_head_kind only = WALSH_HEAD_LEARNED;
    WALSH_TRY(walsh_value_list(arguments, WALSH_OPTION_SIZE, "N,C", 1, 2, 2, sizes, NULL));
    if (wanted) WALSH_TRY(walsh_head_kind_parse(wanted, &only));
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        const walsh_head_spec spec = {.kind = kinds[i], .features = sizes[0], .classes = sizes[1]};
        if (wanted ? kinds[i] != only : kinds[i] == WALSH_HEAD_HADAMARD_PLAIN) continue;
        walsh_status status = walsh_head_check(&spec);
        if (status && (wanted || kinds[i] == WALSH_HEAD_LEARNED)) return status;
        if (!status) WALSH_TRY(add(bench, &spec, batch, NULL));
    }
    return WALSH_OK;
}

static walsh_status add_heads(const walsh_arguments *arguments, walsh_bench *bench)
{
    int batch = 128;
    WALSH_TRY(walsh_value_int(arguments, WALSH_OPTION_BATCH, 1, &batch));
    if (walsh_argument(arguments, WALSH_OPTION_SIZE))
        WALSH_TRY(add_size(arguments, bench, batch));
    else if (walsh_argument(arguments, WALSH_OPTION_HEAD))
        WALSH_FAIL(WALSH_E_ARGUMENT, "--head goes with --size");
    else
        WALSH_TRY(add_usual(bench, batch));
    return walsh_bench_add_peaks(bench);
}

static walsh_status run_head(const walsh_arguments *arguments)
{
    walsh_bench bench = {0};
    walsh_status status = walsh_bench_open(arguments, WALSH_BENCH_DEVICE, &bench);
    if (!status) status = add_heads(arguments, &bench);
    if (!status) status = walsh_bench_run(&bench);
    if (!status) status = walsh_bench_report(arguments, &bench, "BATCH,N,C");
    walsh_bench_close(&bench);
    return status;
}

static const struct argp_option own[] = {
    {NULL, 0, NULL, 0, "What to measure:", 0},
    {"size", WALSH_OPTION_SIZE, "N,C", 0, "features and classes (default: ten usual pairs, learned and hadamard)", 0},
    {"head", WALSH_OPTION_HEAD, "HEAD", 0, "learned, orthonormal or hadamard (default: each that can be built)", 0},
    {"batch", WALSH_OPTION_BATCH, "B", 0, "rows a batch (default: 128)", 0},
    {0},
};

const walsh_command walsh_command_bench_head = {
    .name = "bench head",
    .summary = "heads: forward, loss, backward and update of one batch",
    .synopsis = "[--size N,C]",
    .about = "Times one batch through each head: forward, loss, backward and the update of its parameters."
             "\vExamples:\n"
             "  walsh bench head\n"
             "  walsh bench head --size 64,100\n"
             "  walsh bench head --size 2048,1000 --head learned --batch 32 --json\n",
    .groups =
        (const struct argp_option *const[]){own, walsh_options_bench, walsh_options_device, walsh_options_json, NULL},
    .run = run_head,
};
