/* walsh bench: how fast operations, heads, steps and loaders run, beside what the device can do at most. */
#include "apps/bench_commands.h"
#include "apps/bench_op.h"
#include "apps/commands.h"
#include "apps/values.h"
#include "engine/model/builders.h"
#include "engine/nn/lower.h"
#include "engine/op/batchnorm.h"
#include "engine/op/conv.h"
#include "engine/op/fwht.h"
#include "engine/op/gemm.h"
#include "engine/op/pool.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

enum { FIELDS = 9, OPS = 7, MOST_PROBLEM = 96 };

/* An int of a problem struct. */
typedef struct field {
    const char *name;
    size_t at, again; /* again: where the same number stands a second time; 0: nowhere */
} field;

/* Operations that share a problem struct, the shape that they are given on the command line, and the struct's values
 * where the shape leaves them out. */
typedef struct family {
    const walsh_op *ops[OPS + 1];
    const char *heading; /* of the shape: the fields' names */
    field fields[FIELDS + 1];
    int needed; /* fields that must be given */
    const void *defaults;
    int option;                                                    /* that takes a shape */
    walsh_status (*more)(walsh_bench *bench, const void *problem); /* adds contenders to a shape's; may be NULL */
} family;

#define FIELD(type, name)                                                                                              \
    {                                                                                                                  \
#name, offsetof(type, name), 0                                                                                 \
    }

static const family convolutions = {
    .ops = {&walsh_conv_forward, &walsh_conv_data, &walsh_conv_filter},
    .heading = "N,H,W,IC,OC,K,STRIDE,PAD,GROUPS",
    .fields = {FIELD(walsh_conv, n),
               FIELD(walsh_conv, h),
               FIELD(walsh_conv, w),
               FIELD(walsh_conv, ic),
               FIELD(walsh_conv, oc),
               {"k", offsetof(walsh_conv, kh), offsetof(walsh_conv, kw)},
               FIELD(walsh_conv, stride),
               FIELD(walsh_conv, pad),
               FIELD(walsh_conv, groups)},
    .needed = 8,
    .defaults = &(const walsh_conv){.groups = 1},
    .option = WALSH_OPTION_SHAPE,
};

static const family pools = {
    .ops = {&walsh_pool_forward, &walsh_pool_backward},
    .heading = "N,H,W,C,WINDOW,STRIDE,PAD,KIND",
    .fields = {FIELD(walsh_pool, n), FIELD(walsh_pool, h), FIELD(walsh_pool, w), FIELD(walsh_pool, c),
               FIELD(walsh_pool, window), FIELD(walsh_pool, stride), FIELD(walsh_pool, pad), FIELD(walsh_pool, kind)},
    .needed = 7,
    .defaults = &(const walsh_pool){0},
    .option = WALSH_OPTION_SHAPE,
};

static const family norms = {
    .ops = {&walsh_bn_stats, &walsh_bn_finalize, &walsh_bn_eval, &walsh_bn_apply, &walsh_bn_backward_sums,
            &walsh_bn_backward_finalize, &walsh_bn_backward_apply},
    .heading = "N,H,W,C,RELU,RESIDUAL",
    .fields = {FIELD(walsh_bn, n), FIELD(walsh_bn, h), FIELD(walsh_bn, w), FIELD(walsh_bn, c), FIELD(walsh_bn, relu),
               FIELD(walsh_bn, residual)},
    .needed = 4,
    .defaults = &(const walsh_bn){.relu = 1},
    .option = WALSH_OPTION_SHAPE,
};

static const family gemms = {
    .ops = {&walsh_gemm},
    .heading = "M,N,K,TA,TB",
    .fields = {FIELD(walsh_gemm_problem, m), FIELD(walsh_gemm_problem, n), FIELD(walsh_gemm_problem, k),
               FIELD(walsh_gemm_problem, ta), FIELD(walsh_gemm_problem, tb)},
    .needed = 3,
    .defaults = &(const walsh_gemm_problem){0},
    .option = WALSH_OPTION_SIZE,
};

static const family transforms = {
    .ops = {&walsh_fwht_rows},
    .heading = "ROWS,N",
    .fields = {FIELD(walsh_fwht_problem, rows), FIELD(walsh_fwht_problem, n)},
    .needed = 2,
    .defaults = &(const walsh_fwht_problem){.scale = 1},
    .option = WALSH_OPTION_SIZE,
    .more = walsh_bench_add_fwht,
};

static int *number_at(void *problem, size_t at)
{
    return (int *)(void *)((char *)problem + at);
}

/* Reads "128,32,32,16,16,3,1,1" into a problem. */
static walsh_status read_shape(const walsh_arguments *arguments, const family *f, void *problem)
{
    int values[FIELDS], given = 0, most = 0;
    while (f->fields[most].name) most++;
    WALSH_TRY(walsh_value_list(arguments, f->option, f->heading, 0, f->needed, most, values, &given));
    memcpy(problem, f->defaults, f->ops[0]->problem_size);
    for (int i = 0; i < given; i++) {
        *number_at(problem, f->fields[i].at) = values[i];
        if (f->fields[i].again) *number_at(problem, f->fields[i].again) = values[i];
    }
    return WALSH_OK;
}

static void add_shape(cJSON *row, const family *f, const void *problem)
{
    char text[128];
    int used = 0;
    for (const field *g = f->fields; g->name; g++) {
        int value;
        memcpy(&value, (const char *)problem + g->at, sizeof value);
        used += snprintf(text + used, sizeof text - (size_t)used, "%s%d", used ? "," : "", value);
        cJSON_AddNumberToObject(row, g->name, value);
    }
    cJSON_AddStringToObject(row, "shape", text);
}

static void add_fused(cJSON *row, unsigned fuse)
{
    static const char *const names[] = {"bias",          "accumulate", "stats",    "affine",
                                        "norm gradient", "norm sums",  "normalise"};
    cJSON *array = cJSON_AddArrayToObject(row, "fused");
    for (unsigned i = 0; i < sizeof names / sizeof *names; i++)
        if (fuse >> i & 1) cJSON_AddItemToArray(array, cJSON_CreateString(names[i]));
}

/* What is asked for: a variant by name, all of them, or the one that a run would take. */
typedef struct wish {
    const char *variant;
    bool all;
    int found; /* contenders that fit it */
} wish;

static walsh_status add_problem(walsh_bench *bench, wish *w, const family *f, const walsh_op *op, const void *problem,
                                const char *layer, int layers)
{
    const walsh_variant *chosen = NULL;
    unsigned fuse;
    memcpy(&fuse, problem, sizeof fuse);
    WALSH_TRY(walsh_wisdom_choose(bench->wisdom, bench->device, op, problem, &chosen));
    for (const walsh_variant *const *v = op->variants; *v; v++) {
        bool wanted = w->variant ? !strcmp((*v)->name, w->variant) : w->all || *v == chosen;
        if (!wanted || !walsh_op_takes(bench->device, op, *v, problem)) continue;
        cJSON *row = cJSON_CreateObject();
        cJSON_AddStringToObject(row, "op", op->name);
        cJSON_AddStringToObject(row, "variant", (*v)->name);
        add_shape(row, f, problem);
        add_fused(row, fuse);
        if (layers) cJSON_AddStringToObject(row, "layer", layer);
        if (layers) cJSON_AddNumberToObject(row, "layers", layers);
        cJSON_AddBoolToObject(row, "chosen", *v == chosen);
        WALSH_TRY(walsh_bench_add_variant(bench, row, op, problem, *v, WALSH_CONTENDER_ROW));
        w->found++;
    }
    return WALSH_OK;
}

static bool is_same(const walsh_op *op, const void *problem, walsh_planned step)
{
    return step.op == op && !memcmp(step.problem, problem, op->problem_size);
}

/* Each distinct problem of one operation in a plan. */
static walsh_status add_from_plan(walsh_bench *bench, wish *w, const family *f, const walsh_op *op,
                                  const walsh_plan *plan)
{
    int count = walsh_plan_count(plan);
    for (int i = 0; i < count; i++) {
        walsh_planned step = walsh_plan_at(plan, i);
        int layers = 0;
        bool first = step.op == op;
        for (int j = 0; j < i && first; j++) first = !is_same(op, step.problem, walsh_plan_at(plan, j));
        if (!first) continue;
        for (int j = i; j < count; j++) layers += is_same(op, step.problem, walsh_plan_at(plan, j));
        WALSH_TRY(add_problem(bench, w, f, op, step.problem, step.label, layers));
    }
    return WALSH_OK;
}

/* The forward and backward pass of a model that trains, as operations. What lies outside the plan has no memory: it is
 * never run. */
static walsh_status plan_model(const walsh_bench *bench, walsh_graph *graph, int batch, walsh_plan **plan)
{
    const walsh_layer *input = walsh_graph_layer(graph, 0);
    walsh_lowering *lowering = NULL;
    walsh_arena *arena = NULL;
    WALSH_TRY(walsh_graph_check(graph));
    WALSH_TRY(walsh_parameters_allocate(walsh_graph_parameters(graph), bench->device, true));
    WALSH_TRY(walsh_plan_create(bench->device, plan));
    walsh_plan_consult(*plan, bench->wisdom);
    WALSH_TRY(walsh_lowering_create(*plan, graph, batch, true, &lowering));
    walsh_view image = {.shape = walsh_shape_nhwc(batch, input->h, input->w, input->c)};
    walsh_value features = walsh_lower_forward(lowering, walsh_plan_bind(*plan, &image));
    walsh_view gradient = {.shape = walsh_plan_shape(*plan, features)};
    walsh_lower_backward(lowering, walsh_plan_bind(*plan, &gradient));
    walsh_lowering_destroy(&lowering);
    WALSH_TRY(walsh_arena_create(bench->device, &arena));
    walsh_status status = walsh_plan_layout(*plan, arena); /* tells the first failure */
    walsh_arena_destroy(&arena);
    return status;
}

static walsh_status add_model(const walsh_arguments *arguments, walsh_bench *bench, wish *w, const family *f)
{
    const walsh_builder *builder = NULL;
    walsh_graph *graph = NULL;
    walsh_plan *plan = NULL;
    int batch = 128;
    WALSH_TRY(walsh_value_int(arguments, WALSH_OPTION_BATCH, 1, &batch));
    WALSH_TRY(walsh_builder_find(walsh_argument(arguments, WALSH_OPTION_MODEL), &builder));
    WALSH_TRY(walsh_graph_create(builder->image_size, builder->image_size, 3, &graph));
    builder->build(graph, builder->size);
    walsh_status status = plan_model(bench, graph, batch, &plan);
    for (int i = 0; f->ops[i] && !status; i++) status = add_from_plan(bench, w, f, f->ops[i], plan);
    walsh_plan_destroy(&plan);
    walsh_graph_destroy(&graph);
    return status;
}

static walsh_status unknown_variant(const family *f, const char *name)
{
    char known[512] = "";
    for (int i = 0; f->ops[i]; i++)
        for (const walsh_variant *const *v = f->ops[i]->variants; *v; v++) {
            if (!strcmp((*v)->name, name)) WALSH_FAIL(WALSH_E_ARGUMENT, "--variant %s: it suits nothing here", name);
            size_t used = strlen(known);
            snprintf(known + used, sizeof known - used, "%s%s", used ? ", " : "", (*v)->name);
        }
    WALSH_FAIL(WALSH_E_ARGUMENT, "--variant %s: expected one of %s", name, known);
}

/* WALSH_E_ARGUMENT unless exactly one of model and shape is given, and options that only one of them takes fit. */
static walsh_status check_source(const walsh_arguments *arguments, const family *f)
{
    const char *text;
    bool model = f->option == WALSH_OPTION_SHAPE && walsh_argument(arguments, WALSH_OPTION_MODEL);
    if (f->option == WALSH_OPTION_SIZE) return walsh_argument_required(arguments, f->option, &text);
    if (model == !!walsh_argument(arguments, f->option))
        WALSH_FAIL(WALSH_E_ARGUMENT, "expected either --model NAME or --shape %s", f->heading);
    if (!model && walsh_argument(arguments, WALSH_OPTION_BATCH))
        WALSH_FAIL(WALSH_E_ARGUMENT, "--batch goes with --model; a shape has its own");
    return WALSH_OK;
}

static walsh_status add_all(const walsh_arguments *arguments, const family *f, walsh_bench *bench)
{
    wish w = {.variant = walsh_argument(arguments, WALSH_OPTION_VARIANT),
              .all = walsh_argument(arguments, WALSH_OPTION_ALL)};
    if (w.variant && w.all) WALSH_FAIL(WALSH_E_ARGUMENT, "--all and --variant exclude each other");
    WALSH_TRY(walsh_bench_add_peaks(bench));
    if (walsh_argument(arguments, f->option)) {
        _Alignas(max_align_t) char problem[MOST_PROBLEM];
        walsh_shape shapes[WALSH_MAX_OPERANDS];
        WALSH_TRY(read_shape(arguments, f, problem));
        for (int i = 0; f->ops[i]; i++) {
            WALSH_TRY(f->ops[i]->shapes(problem, shapes));
            WALSH_TRY(add_problem(bench, &w, f, f->ops[i], problem, NULL, 0));
        }
        if (f->more && !w.variant) WALSH_TRY(f->more(bench, problem));
    } else {
        WALSH_TRY(add_model(arguments, bench, &w, f));
    }
    if (!w.found && w.variant) return unknown_variant(f, w.variant);
    return WALSH_OK;
}

static walsh_status run_family(const walsh_arguments *arguments, const family *f)
{
    walsh_bench bench = {0};
    WALSH_TRY(check_source(arguments, f));
    walsh_status status = walsh_bench_open(arguments, WALSH_BENCH_DEVICE, &bench);
    if (!status) status = add_all(arguments, f, &bench);
    if (!status) status = walsh_bench_run(&bench);
    if (!status) status = walsh_bench_report(arguments, &bench, f->heading);
    walsh_bench_close(&bench);
    return status;
}

static walsh_status run_conv(const walsh_arguments *arguments)
{
    return run_family(arguments, &convolutions);
}
static walsh_status run_pool(const walsh_arguments *arguments)
{
    return run_family(arguments, &pools);
}
static walsh_status run_norm(const walsh_arguments *arguments)
{
    return run_family(arguments, &norms);
}
static walsh_status run_gemm(const walsh_arguments *arguments)
{
    return run_family(arguments, &gemms);
}
static walsh_status run_fwht(const walsh_arguments *arguments)
{
    return run_family(arguments, &transforms);
}

static const struct argp_option of_model[] = {
    {NULL, 0, NULL, 0, "What to measure:", 0},
    {"model", WALSH_OPTION_MODEL, "NAME", 0, "every distinct layer of a model that trains: the first that has it", 0},
    {"batch", WALSH_OPTION_BATCH, "B", 0, "images a batch of the model (default: 128)", 0},
    {"shape", WALSH_OPTION_SHAPE, "N,...", 0, "one shape instead: see below", 0},
    {0},
};

static const struct argp_option of_size[] = {
    {NULL, 0, NULL, 0, "What to measure:", 0},
    {"size", WALSH_OPTION_SIZE, "SIZES", 0, "sizes: see below", 0},
    {0},
};

static const struct argp_option variants[] = {
    {"variant", WALSH_OPTION_VARIANT, "NAME", 0, "this variant (default: the one that runs take, by wisdom or by rule)",
     0},
    {"all", WALSH_OPTION_ALL, NULL, 0, "every variant that suits", 0},
    {"math", WALSH_OPTION_MATH, "MATH", 0, WALSH_MATH_HELP, 0},
    {0},
};

#define FIGURES                                                                                                        \
    " Reports the median and the least of several timings, GFLOP/s, GB/s, whether the device's multiply-adds or its"   \
    " memory bound the time, and the share of that bound that was reached; data that stays in caches can exceed the"   \
    " memory's. Both peaks are the best of the same run."

#define GROUPS(what)                                                                                                   \
    (const struct argp_option *const[])                                                                                \
    {                                                                                                                  \
        (what), variants, walsh_options_bench, walsh_options_device, walsh_options_json, NULL                          \
    }

static const walsh_command conv = {
    .name = "bench conv",
    .summary = "convolutions: forward, gradient of the data, gradient of the filter",
    .synopsis = "--model NAME",
    .about = "Times convolutions, forward and both gradients." FIGURES
             "\vA shape is N,H,W,IC,OC,K,STRIDE,PAD,GROUPS: images, input height and width, input and output channels,"
             " filter of K x K, groups (1 if not given).\n\nExamples:\n"
             "  walsh bench conv --model resnet56 --batch 128\n"
             "  walsh bench conv --model resnet20 --all --json\n"
             "  walsh bench conv --shape 128,32,32,16,16,3,1,1 --variant conv_forward_plain\n",
    .groups = GROUPS(of_model),
    .run = run_conv,
};

static const walsh_command pool = {
    .name = "bench pool",
    .summary = "pooling, forward and backward",
    .synopsis = "--model NAME",
    .about = "Times pooling, forward and backward." FIGURES
             "\vA shape is N,H,W,C,WINDOW,STRIDE,PAD[,KIND]; KIND is 0 for the maximum (default), 1 for the average and"
             " 2 for the global average.\n\nExamples:\n"
             "  walsh bench pool --model resnet20\n"
             "  walsh bench pool --shape 32,112,112,64,3,2,1\n",
    .groups = GROUPS(of_model),
    .run = run_pool,
};

static const walsh_command norm = {
    .name = "bench norm",
    .summary = "batch normalisation: statistics, application, backward",
    .synopsis = "--model NAME",
    .about = "Times the passes of batch normalisation." FIGURES
             "\vA shape is N,H,W,C[,RELU[,RESIDUAL]]: RELU is 0 or 1 (default); RESIDUAL is 0 (default), 1 to add"
             " another tensor and 2 to add a normalised one.\n\nExamples:\n"
             "  walsh bench norm --model resnet56\n"
             "  walsh bench norm --shape 128,32,32,16,1,1\n",
    .groups = GROUPS(of_model),
    .run = run_norm,
};

static const walsh_command gemm = {
    .name = "bench gemm",
    .summary = "matrix products",
    .synopsis = "--size M,N,K",
    .about = "Times matrix products C [M][N] = A B." FIGURES
             "\vSizes are M,N,K[,TA[,TB]]; TA = 1: A is stored [K][M], TB = 1: B is stored [N][K].\n\nExamples:\n"
             "  walsh bench gemm --size 1024,1024,1024\n"
             "  walsh bench gemm --size 128,1000,2048,0,1 --all\n",
    .groups = GROUPS(of_size),
    .run = run_gemm,
};

static const walsh_command fwht = {
    .name = "bench fwht",
    .summary = "fast Walsh-Hadamard transforms",
    .synopsis = "--size ROWS,N",
    .about =
        "Times fast Walsh-Hadamard transforms of ROWS rows of N numbers: the operation, from one buffer to another,"
        " and the library's two functions, in place, on the device's memory and on the host's." FIGURES "\vExamples:\n"
        "  walsh bench fwht --size 128,2048\n"
        "  walsh bench fwht --size 1,1048576 --all\n",
    .groups = GROUPS(of_size),
    .run = run_fwht,
};

const walsh_command walsh_command_bench = {
    .name = "bench",
    .summary = "measures operations, heads, steps, layers and data beside the device's peaks",
    .members = (const walsh_command *const[]){&conv, &pool, &norm, &gemm, &fwht, &walsh_command_bench_head,
                                              &walsh_command_bench_step, &walsh_command_bench_layers,
                                              &walsh_command_bench_data, NULL},
};
