#include "engine/op/batchnorm.h"
#include "engine/op/channels.h"

static walsh_shape image_shape(const walsh_bn *p)
{
    return walsh_shape_nhwc(p->n, p->h, p->w, p->c);
}
static walsh_shape saved_shape(const walsh_bn *p)
{
    return walsh_shape_matrix(WALSH_BN_SAVED_ROWS, p->c);
}

static double elements(const walsh_bn *p)
{
    return (double)p->n * p->h * p->w * p->c;
}

static int suits(const walsh_device *device, const void *problem)
{
    (void)device, (void)problem;
    return 1;
}

static walsh_status sums_shapes(const void *problem, walsh_shape *operand)
{
    const walsh_bn *p = problem;
    WALSH_TRY(walsh_bn_check(p));
    operand[WALSH_BN_BACKWARD_SUMS_DY] = operand[WALSH_BN_BACKWARD_SUMS_X] = image_shape(p);
    operand[WALSH_BN_BACKWARD_SUMS_SAVED] = saved_shape(p);
    operand[WALSH_BN_BACKWARD_SUMS_PARTIAL] = walsh_bn_partial_shape(p);
    return WALSH_OK;
}

static void sums_cost(const void *problem, double *flops, double *bytes)
{
    const walsh_bn *p = problem;
    *flops = elements(p) * (4 + (p->relu ? 2 : 0));
    *bytes = 8 * elements(p);
}

static walsh_status sums_emit(walsh_list *list, const void *problem, const walsh_view *operand,
                              const walsh_view *workspace)
{
    (void)workspace;
    const walsh_bn *p = problem;
    const walsh_view *dy = &operand[WALSH_BN_BACKWARD_SUMS_DY], *x = &operand[WALSH_BN_BACKWARD_SUMS_X];
    const walsh_view *saved = &operand[WALSH_BN_BACKWARD_SUMS_SAVED];
    const walsh_view *partial = &operand[WALSH_BN_BACKWARD_SUMS_PARTIAL];
    walsh_channels on = walsh_channels_for(walsh_list_device(list), p->c);
    walsh_launch launch = walsh_channels_groups(&on, (size_t)partial->shape.n);
    launch.file = "batchnorm_backward", launch.function = "bn_backward_sums_plain";
    sums_cost(p, &launch.flops, &launch.bytes);
    return WALSH_LAUNCH(list, launch, WALSH_TENSOR(dy), WALSH_TENSOR(x), WALSH_TENSOR(saved), WALSH_TENSOR(partial),
                        WALSH_INT((int)walsh_shape_rows(x->shape)), WALSH_INT(walsh_bn_group_rows(p->n, p->h, p->w)),
                        WALSH_INT(on.vectors), WALSH_INT(dy->shape.pitch), WALSH_INT(x->shape.pitch),
                        WALSH_INT(saved->shape.pitch), WALSH_INT(partial->shape.pitch), WALSH_INT(p->relu));
}

static walsh_status finalize_shapes(const void *problem, walsh_shape *operand)
{
    const walsh_bn *p = problem;
    WALSH_TRY(walsh_bn_check(p));
    operand[WALSH_BN_BACKWARD_FINALIZE_PARTIAL] = walsh_bn_partial_shape(p);
    operand[WALSH_BN_BACKWARD_FINALIZE_SAVED] = saved_shape(p);
    operand[WALSH_BN_BACKWARD_FINALIZE_DGAMMA] = walsh_shape_vector(p->c);
    operand[WALSH_BN_BACKWARD_FINALIZE_DBETA] = walsh_shape_vector(p->c);
    operand[WALSH_BN_BACKWARD_FINALIZE_FACTORS] = walsh_shape_matrix(WALSH_BN_FACTOR_ROWS, p->c);
    return WALSH_OK;
}

static void finalize_cost(const void *problem, double *flops, double *bytes)
{
    const walsh_bn *p = problem;
    double sums = 2.0 * walsh_bn_groups(p->n, p->h, p->w) * p->c;
    *flops = sums;
    *bytes = 4 * sums;
}

static walsh_status finalize_emit(walsh_list *list, const void *problem, const walsh_view *operand,
                                  const walsh_view *workspace)
{
    (void)workspace;
    const walsh_bn *p = problem;
    const walsh_view *partial = &operand[WALSH_BN_BACKWARD_FINALIZE_PARTIAL];
    const walsh_view *saved = &operand[WALSH_BN_BACKWARD_FINALIZE_SAVED];
    const walsh_view *factors = &operand[WALSH_BN_BACKWARD_FINALIZE_FACTORS];
    walsh_launch launch = {.file = "batchnorm_merge",
                           .function = "bn_backward_finalize_plain",
                           .global = {(size_t)walsh_pad(p->c) / 4, WALSH_BN_MERGE_LANES},
                           .local = {1, WALSH_BN_MERGE_LANES}};
    finalize_cost(p, &launch.flops, &launch.bytes);
    return WALSH_LAUNCH(list, launch, WALSH_TENSOR(partial), WALSH_TENSOR(saved),
                        WALSH_TENSOR(&operand[WALSH_BN_BACKWARD_FINALIZE_DGAMMA]),
                        WALSH_TENSOR(&operand[WALSH_BN_BACKWARD_FINALIZE_DBETA]), WALSH_TENSOR(factors),
                        WALSH_INT(partial->shape.n), WALSH_INT(p->n * p->h * p->w), WALSH_INT(p->c),
                        WALSH_INT(partial->shape.pitch), WALSH_INT(saved->shape.pitch), WALSH_INT(factors->shape.pitch),
                        WALSH_INT(p->rest), WALSH_INT((p->fuse & WALSH_FUSE_ACCUMULATE) != 0));
}

static walsh_status apply_shapes(const void *problem, walsh_shape *operand)
{
    const walsh_bn *p = problem;
    WALSH_TRY(walsh_bn_check(p));
    operand[WALSH_BN_BACKWARD_APPLY_DY] = operand[WALSH_BN_BACKWARD_APPLY_X] = image_shape(p);
    operand[WALSH_BN_BACKWARD_APPLY_FACTORS] = walsh_shape_matrix(WALSH_BN_FACTOR_ROWS, p->c);
    operand[WALSH_BN_BACKWARD_APPLY_SAVED] = p->relu ? saved_shape(p) : walsh_shape_absent;
    operand[WALSH_BN_BACKWARD_APPLY_DX] = image_shape(p);
    return WALSH_OK;
}

static void apply_cost(const void *problem, double *flops, double *bytes)
{
    const walsh_bn *p = problem;
    *flops = elements(p) * (5 + (p->relu ? 2 : 0));
    *bytes = (p->fuse & WALSH_FUSE_ACCUMULATE ? 16 : 12) * elements(p);
}

static walsh_status apply_emit(walsh_list *list, const void *problem, const walsh_view *operand,
                               const walsh_view *workspace)
{
    (void)workspace;
    const walsh_bn *p = problem;
    const walsh_view *dy = &operand[WALSH_BN_BACKWARD_APPLY_DY], *x = &operand[WALSH_BN_BACKWARD_APPLY_X];
    const walsh_view *factors = &operand[WALSH_BN_BACKWARD_APPLY_FACTORS];
    const walsh_view *saved = &operand[WALSH_BN_BACKWARD_APPLY_SAVED], *dx = &operand[WALSH_BN_BACKWARD_APPLY_DX];
    size_t rows = walsh_shape_rows(x->shape);
    walsh_channels on = walsh_channels_for(walsh_list_device(list), p->c);
    walsh_launch launch = walsh_channels_rows(&on, rows);
    launch.file = "batchnorm_backward", launch.function = "bn_backward_apply_plain";
    apply_cost(p, &launch.flops, &launch.bytes);
    return WALSH_LAUNCH(list, launch, WALSH_TENSOR(dy), WALSH_TENSOR(x), WALSH_TENSOR(factors), WALSH_TENSOR(saved),
                        WALSH_TENSOR(dx), WALSH_INT((int)rows), WALSH_INT(on.vectors), WALSH_INT(on.each),
                        WALSH_INT(dy->shape.pitch), WALSH_INT(x->shape.pitch), WALSH_INT(factors->shape.pitch),
                        WALSH_INT(saved->shape.pitch), WALSH_INT(dx->shape.pitch), WALSH_INT(p->relu),
                        WALSH_INT((p->fuse & WALSH_FUSE_ACCUMULATE) != 0));
}

static const walsh_variant sums_plain = {.name = "bn_backward_sums_plain", .suits = suits, .emit = sums_emit};
static const walsh_variant finalize_plain = {
    .name = "bn_backward_finalize_plain", .fuses = WALSH_FUSE_ACCUMULATE, .suits = suits, .emit = finalize_emit};
static const walsh_variant apply_plain = {
    .name = "bn_backward_apply_plain", .fuses = WALSH_FUSE_ACCUMULATE, .suits = suits, .emit = apply_emit};

const walsh_op walsh_bn_backward_sums = {
    .name = "bn_backward_sums",
    .problem_size = sizeof(walsh_bn),
    .operands = {{"dy", WALSH_READ}, {"x", WALSH_READ}, {"saved", WALSH_READ}, {"partial", WALSH_WRITE}},
    .shapes = sums_shapes,
    .cost = sums_cost,
    .variants = (const walsh_variant *const[]){&sums_plain, NULL},
};

const walsh_op walsh_bn_backward_finalize = {
    .name = "bn_backward_finalize",
    .problem_size = sizeof(walsh_bn),
    .operands = {{"partial", WALSH_READ},
                 {"saved", WALSH_READ},
                 {"dgamma", WALSH_WRITE},
                 {"dbeta", WALSH_WRITE},
                 {"factors", WALSH_WRITE}},
    .shapes = finalize_shapes,
    .cost = finalize_cost,
    .variants = (const walsh_variant *const[]){&finalize_plain, NULL},
};

const walsh_op walsh_bn_backward_apply = {
    .name = "bn_backward_apply",
    .problem_size = sizeof(walsh_bn),
    .operands =
        {{"dy", WALSH_READ}, {"x", WALSH_READ}, {"factors", WALSH_READ}, {"saved", WALSH_READ}, {"dx", WALSH_WRITE}},
    .shapes = apply_shapes,
    .cost = apply_cost,
    .variants = (const walsh_variant *const[]){&apply_plain, NULL},
};
