#include "engine/op/batchnorm.h"

#include "engine/op/channels.h"

enum {
    GROUP_ROWS = 256,  /* of 16 channels: half of a small first-level cache, so that the second sweep is free */
    MOST_GROUPS = 4096 /* bounds the work of merging them */
};

/* Of `count` things, how many a group has: as many as `most` allow, without halving it to divide them evenly. */
static size_t group_of(size_t count, size_t most)
{
    for (size_t d = most; 2 * d > most; d--)
        if (count % d == 0) return d;
    size_t groups = (count + most - 1) / most;
    return (count + groups - 1) / groups;
}

int walsh_bn_group_rows(int n, int h, int w)
{
    size_t line = (size_t)w, image = (size_t)h * line, rows = (size_t)n * image;
    size_t wanted = (rows + MOST_GROUPS - 1) / MOST_GROUPS;
    if (wanted < GROUP_ROWS) wanted = GROUP_ROWS;
    if (image <= wanted) return (int)(group_of((size_t)n, wanted / image) * image);
    return (int)(group_of((size_t)h, wanted > line ? wanted / line : 1) * line);
}

int walsh_bn_group_lines(int n, int h, int w)
{
    return walsh_bn_group_rows(n, h, w) / w;
}

int walsh_bn_groups(int n, int h, int w)
{
    size_t rows = (size_t)n * (size_t)h * (size_t)w, each = (size_t)walsh_bn_group_rows(n, h, w);
    return (int)((rows + each - 1) / each);
}

walsh_status walsh_bn_check(const walsh_bn *p)
{
    WALSH_TRY(walsh_channels_check("batch norm", p->n, p->h, p->w, p->c));
    if (p->residual < 0 || p->residual > 2)
        WALSH_FAIL(WALSH_E_ARGUMENT, "batch norm: residual must be 0, 1 or 2, found %d", p->residual);
    return WALSH_OK;
}

walsh_shape walsh_bn_partial_shape(const walsh_bn *p)
{
    return walsh_shape_nhwc(walsh_bn_groups(p->n, p->h, p->w), 2, 1, p->c);
}

static int rows_of(const walsh_bn *p)
{
    return p->n * p->h * p->w;
}
static walsh_shape image_shape(const walsh_bn *p)
{
    return walsh_shape_nhwc(p->n, p->h, p->w, p->c);
}
static walsh_shape saved_shape(const walsh_bn *p)
{
    return walsh_shape_matrix(WALSH_BN_SAVED_ROWS, p->c);
}

static int suits(const walsh_device *device, const void *problem)
{
    (void)device, (void)problem;
    return 1;
}

static walsh_status stats_shapes(const void *problem, walsh_shape *operand)
{
    const walsh_bn *p = problem;
    WALSH_TRY(walsh_bn_check(p));
    operand[WALSH_BN_STATS_X] = image_shape(p);
    operand[WALSH_BN_STATS_PARTIAL] = walsh_bn_partial_shape(p);
    return WALSH_OK;
}

static void stats_cost(const void *problem, double *flops, double *bytes)
{
    const walsh_bn *p = problem;
    double elements = (double)rows_of(p) * p->c;
    *flops = 4 * elements; /* a sum, a difference, a fused multiply-add */
    *bytes = 4 * elements;
}

static walsh_status stats_emit(walsh_list *list, const void *problem, const walsh_view *operand,
                               const walsh_view *workspace)
{
    (void)workspace;
    const walsh_bn *p = problem;
    const walsh_view *x = &operand[WALSH_BN_STATS_X], *partial = &operand[WALSH_BN_STATS_PARTIAL];
    walsh_channels on = walsh_channels_for(walsh_list_device(list), p->c);
    walsh_launch launch = walsh_channels_groups(&on, (size_t)partial->shape.n);
    launch.file = "batchnorm", launch.function = "bn_stats_plain";
    stats_cost(p, &launch.flops, &launch.bytes);
    return WALSH_LAUNCH(list, launch, WALSH_TENSOR(x), WALSH_TENSOR(partial), WALSH_INT(rows_of(p)),
                        WALSH_INT(walsh_bn_group_rows(p->n, p->h, p->w)), WALSH_INT(on.vectors),
                        WALSH_INT(x->shape.pitch), WALSH_INT(partial->shape.pitch));
}

static walsh_status finalize_shapes(const void *problem, walsh_shape *operand)
{
    const walsh_bn *p = problem;
    WALSH_TRY(walsh_bn_check(p));
    for (int i = 0; i < WALSH_BN_FINALIZE_OPERANDS; i++) operand[i] = walsh_shape_vector(p->c);
    operand[WALSH_BN_FINALIZE_PARTIAL] = walsh_bn_partial_shape(p);
    operand[WALSH_BN_FINALIZE_SAVED] = saved_shape(p);
    return WALSH_OK;
}

static void finalize_cost(const void *problem, double *flops, double *bytes)
{
    const walsh_bn *p = problem;
    double means = (double)walsh_bn_groups(p->n, p->h, p->w) * p->c;
    *flops = 7 * means;
    *bytes = 8 * means;
}

static walsh_status finalize_emit(walsh_list *list, const void *problem, const walsh_view *operand,
                                  const walsh_view *workspace)
{
    (void)workspace;
    const walsh_bn *p = problem;
    const walsh_view *partial = &operand[WALSH_BN_FINALIZE_PARTIAL], *saved = &operand[WALSH_BN_FINALIZE_SAVED];
    walsh_launch launch = {.file = "batchnorm_merge",
                           .function = "bn_finalize_plain",
                           .global = {(size_t)walsh_pad(p->c) / 4, WALSH_BN_MERGE_LANES},
                           .local = {1, WALSH_BN_MERGE_LANES}};
    finalize_cost(p, &launch.flops, &launch.bytes);
    return WALSH_LAUNCH(list, launch, WALSH_TENSOR(partial), WALSH_TENSOR(&operand[WALSH_BN_FINALIZE_GAMMA]),
                        WALSH_TENSOR(&operand[WALSH_BN_FINALIZE_BETA]),
                        WALSH_TENSOR(&operand[WALSH_BN_FINALIZE_RUN_MEAN]),
                        WALSH_TENSOR(&operand[WALSH_BN_FINALIZE_RUN_VAR]), WALSH_TENSOR(saved),
                        WALSH_INT(partial->shape.n), WALSH_INT(walsh_bn_group_rows(p->n, p->h, p->w)),
                        WALSH_INT(rows_of(p)), WALSH_INT(p->c), WALSH_INT(partial->shape.pitch),
                        WALSH_INT(saved->shape.pitch), WALSH_FLOAT(WALSH_BN_MOMENTUM), WALSH_FLOAT(WALSH_BN_EPSILON));
}

static walsh_status eval_shapes(const void *problem, walsh_shape *operand)
{
    const walsh_bn *p = problem;
    WALSH_TRY(walsh_bn_check(p));
    for (int i = 0; i < WALSH_BN_EVAL_OPERANDS; i++) operand[i] = walsh_shape_vector(p->c);
    operand[WALSH_BN_EVAL_SAVED] = saved_shape(p);
    return WALSH_OK;
}

static void eval_cost(const void *problem, double *flops, double *bytes)
{
    const walsh_bn *p = problem;
    *flops = 6.0 * p->c;
    *bytes = 4.0 * (4 + WALSH_BN_SAVED_ROWS) * p->c;
}

static walsh_status eval_emit(walsh_list *list, const void *problem, const walsh_view *operand,
                              const walsh_view *workspace)
{
    (void)workspace;
    const walsh_bn *p = problem;
    const walsh_view *saved = &operand[WALSH_BN_EVAL_SAVED];
    walsh_launch launch = {.file = "batchnorm_merge",
                           .function = "bn_eval_plain",
                           .global = {(size_t)walsh_pad(p->c) / 4},
                           .local = {WALSH_BN_MERGE_LANES}};
    eval_cost(p, &launch.flops, &launch.bytes);
    return WALSH_LAUNCH(list, launch, WALSH_TENSOR(&operand[WALSH_BN_EVAL_GAMMA]),
                        WALSH_TENSOR(&operand[WALSH_BN_EVAL_BETA]), WALSH_TENSOR(&operand[WALSH_BN_EVAL_RUN_MEAN]),
                        WALSH_TENSOR(&operand[WALSH_BN_EVAL_RUN_VAR]), WALSH_TENSOR(saved), WALSH_INT(p->c),
                        WALSH_INT(saved->shape.pitch), WALSH_FLOAT(WALSH_BN_EPSILON));
}

static walsh_status apply_shapes(const void *problem, walsh_shape *operand)
{
    const walsh_bn *p = problem;
    WALSH_TRY(walsh_bn_check(p));
    operand[WALSH_BN_APPLY_X] = operand[WALSH_BN_APPLY_Y] = image_shape(p);
    operand[WALSH_BN_APPLY_SAVED] = saved_shape(p);
    operand[WALSH_BN_APPLY_RES] = p->residual ? image_shape(p) : walsh_shape_absent;
    operand[WALSH_BN_APPLY_RES_SAVED] = p->residual == 2 ? saved_shape(p) : walsh_shape_absent;
    return WALSH_OK;
}

static void apply_cost(const void *problem, double *flops, double *bytes)
{
    const walsh_bn *p = problem;
    double elements = (double)rows_of(p) * p->c;
    *flops = elements * (2 + (p->residual == 2 ? 3 : p->residual) + (p->relu != 0));
    *bytes = 4 * elements * (p->residual ? 3 : 2);
}

static walsh_status apply_emit(walsh_list *list, const void *problem, const walsh_view *operand,
                               const walsh_view *workspace)
{
    (void)workspace;
    const walsh_bn *p = problem;
    const walsh_view *x = &operand[WALSH_BN_APPLY_X], *saved = &operand[WALSH_BN_APPLY_SAVED];
    const walsh_view *res = &operand[WALSH_BN_APPLY_RES], *res_saved = &operand[WALSH_BN_APPLY_RES_SAVED];
    const walsh_view *y = &operand[WALSH_BN_APPLY_Y];
    walsh_channels on = walsh_channels_for(walsh_list_device(list), p->c);
    walsh_launch launch = walsh_channels_rows(&on, (size_t)rows_of(p));
    launch.file = "batchnorm", launch.function = "bn_apply_plain";
    apply_cost(p, &launch.flops, &launch.bytes);
    return WALSH_LAUNCH(list, launch, WALSH_TENSOR(x), WALSH_TENSOR(saved), WALSH_TENSOR(res), WALSH_TENSOR(res_saved),
                        WALSH_TENSOR(y), WALSH_INT(rows_of(p)), WALSH_INT(on.vectors), WALSH_INT(on.each),
                        WALSH_INT(x->shape.pitch), WALSH_INT(saved->shape.pitch), WALSH_INT(res->shape.pitch),
                        WALSH_INT(res_saved->shape.pitch), WALSH_INT(y->shape.pitch), WALSH_INT(p->residual),
                        WALSH_INT(p->relu));
}

static const walsh_variant stats_plain = {.name = "bn_stats_plain", .suits = suits, .emit = stats_emit};
static const walsh_variant finalize_plain = {.name = "bn_finalize_plain", .suits = suits, .emit = finalize_emit};
static const walsh_variant eval_plain = {.name = "bn_eval_plain", .suits = suits, .emit = eval_emit};
static const walsh_variant apply_plain = {.name = "bn_apply_plain", .suits = suits, .emit = apply_emit};

const walsh_op walsh_bn_stats = {
    .name = "bn_stats",
    .problem_size = sizeof(walsh_bn),
    .operands = {{"x", WALSH_READ}, {"partial", WALSH_WRITE}},
    .shapes = stats_shapes,
    .cost = stats_cost,
    .variants = (const walsh_variant *const[]){&stats_plain, NULL},
};

const walsh_op walsh_bn_finalize = {
    .name = "bn_finalize",
    .problem_size = sizeof(walsh_bn),
    .operands = {{"partial", WALSH_READ},
                 {"gamma", WALSH_READ},
                 {"beta", WALSH_READ},
                 {"run_mean", WALSH_UPDATE},
                 {"run_var", WALSH_UPDATE},
                 {"saved", WALSH_WRITE}},
    .shapes = finalize_shapes,
    .cost = finalize_cost,
    .variants = (const walsh_variant *const[]){&finalize_plain, NULL},
};

const walsh_op walsh_bn_eval = {
    .name = "bn_eval",
    .problem_size = sizeof(walsh_bn),
    .operands = {{"gamma", WALSH_READ},
                 {"beta", WALSH_READ},
                 {"run_mean", WALSH_READ},
                 {"run_var", WALSH_READ},
                 {"saved", WALSH_WRITE}},
    .shapes = eval_shapes,
    .cost = eval_cost,
    .variants = (const walsh_variant *const[]){&eval_plain, NULL},
};

const walsh_op walsh_bn_apply = {
    .name = "bn_apply",
    .problem_size = sizeof(walsh_bn),
    .operands =
        {{"x", WALSH_READ}, {"saved", WALSH_READ}, {"res", WALSH_READ}, {"res_saved", WALSH_READ}, {"y", WALSH_WRITE}},
    .shapes = apply_shapes,
    .cost = apply_cost,
    .variants = (const walsh_variant *const[]){&apply_plain, NULL},
};
