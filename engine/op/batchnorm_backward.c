#include "engine/op/batchnorm.h"
#include "engine/op/channels.h"

static walsh_status shapes(const void *problem, walsh_shape *operand)
{
    const walsh_bn *p = problem;
    walsh_shape image = walsh_shape_nhwc(p->n, p->h, p->w, p->c);
    WALSH_TRY(walsh_bn_check(p));
    operand[WALSH_BN_BACKWARD_DY] = operand[WALSH_BN_BACKWARD_X] = operand[WALSH_BN_BACKWARD_DX] = image;
    operand[WALSH_BN_BACKWARD_SAVED] = walsh_shape_matrix(WALSH_BN_SAVED_ROWS, p->c);
    operand[WALSH_BN_BACKWARD_DGAMMA] = operand[WALSH_BN_BACKWARD_DBETA] = walsh_shape_vector(p->c);
    return WALSH_OK;
}

static double elements(const walsh_bn *p)
{
    return (double)p->n * p->h * p->w * p->c;
}

/* Bytes of one sweep over dY and X. */
static double sweep_bytes(const walsh_bn *p)
{
    return 8 * elements(p);
}

static void cost(const void *problem, double *flops, double *bytes)
{
    const walsh_bn *p = problem;
    *flops = elements(p) * (9 + (p->relu ? 4 : 0));
    *bytes = sweep_bytes(p) + 4 * elements(p); /* were everything kept in cache between the sweeps */
}

static int suits(const walsh_device *device, const void *problem)
{
    (void)device, (void)problem;
    return 1;
}

/* The sums of each group of rows, [groups][2][pad(c)]. */
static size_t workspace_bytes(const walsh_device *device, const void *problem)
{
    (void)device;
    const walsh_bn *p = problem;
    return (size_t)walsh_bn_groups(p->n, p->h, p->w) * 2 * (size_t)walsh_pad(p->c) * sizeof(float);
}

static walsh_status emit_sums(walsh_list *list, const walsh_bn *p, const walsh_view *operand, const walsh_view *partial)
{
    const walsh_view *dy = &operand[WALSH_BN_BACKWARD_DY], *x = &operand[WALSH_BN_BACKWARD_X];
    const walsh_view *saved = &operand[WALSH_BN_BACKWARD_SAVED];
    walsh_channels on = walsh_channels_for(walsh_list_device(list), p->c);
    walsh_launch launch = walsh_channels_groups(&on, (size_t)walsh_bn_groups(p->n, p->h, p->w));
    launch.file = "batchnorm_backward", launch.function = "bn_backward_sums_plain";
    launch.flops = 4 * elements(p), launch.bytes = sweep_bytes(p);
    return WALSH_LAUNCH(list, launch, WALSH_TENSOR(dy), WALSH_TENSOR(x), WALSH_TENSOR(saved), WALSH_TENSOR(partial),
                        WALSH_INT((int)walsh_shape_rows(x->shape)), WALSH_INT(walsh_bn_group_rows(p->n, p->h, p->w)),
                        WALSH_INT(on.vectors), WALSH_INT(dy->shape.pitch), WALSH_INT(x->shape.pitch),
                        WALSH_INT(saved->shape.pitch), WALSH_INT(walsh_pad(p->c)), WALSH_INT(p->relu));
}

static walsh_status emit_merge(walsh_list *list, const walsh_bn *p, const walsh_view *operand,
                               const walsh_view *partial)
{
    int groups = walsh_bn_groups(p->n, p->h, p->w);
    walsh_launch launch = {.file = "batchnorm_merge",
                           .function = "bn_backward_merge_plain",
                           .global = {(size_t)walsh_pad(p->c) / 4, WALSH_BN_MERGE_LANES},
                           .local = {1, WALSH_BN_MERGE_LANES}};
    launch.flops = 2.0 * groups * p->c, launch.bytes = 8.0 * groups * p->c;
    return WALSH_LAUNCH(list, launch, WALSH_TENSOR(partial), WALSH_TENSOR(&operand[WALSH_BN_BACKWARD_DGAMMA]),
                        WALSH_TENSOR(&operand[WALSH_BN_BACKWARD_DBETA]), WALSH_INT(groups), WALSH_INT(walsh_pad(p->c)));
}

static walsh_status emit_data(walsh_list *list, const walsh_bn *p, const walsh_view *operand)
{
    const walsh_view *dy = &operand[WALSH_BN_BACKWARD_DY], *x = &operand[WALSH_BN_BACKWARD_X];
    const walsh_view *saved = &operand[WALSH_BN_BACKWARD_SAVED];
    const walsh_view *dx = &operand[WALSH_BN_BACKWARD_DX];
    size_t rows = walsh_shape_rows(x->shape);
    walsh_channels on = walsh_channels_for(walsh_list_device(list), p->c);
    walsh_launch launch = walsh_channels_rows(&on, rows);
    launch.file = "batchnorm_backward", launch.function = "bn_backward_data_plain";
    launch.flops = 5 * elements(p), launch.bytes = sweep_bytes(p) + 4 * elements(p);
    return WALSH_LAUNCH(
        list, launch, WALSH_TENSOR(dy), WALSH_TENSOR(x), WALSH_TENSOR(saved),
        WALSH_TENSOR(&operand[WALSH_BN_BACKWARD_DGAMMA]), WALSH_TENSOR(&operand[WALSH_BN_BACKWARD_DBETA]),
        WALSH_TENSOR(dx), WALSH_INT((int)rows), WALSH_INT(on.vectors), WALSH_INT(on.each), WALSH_INT(dy->shape.pitch),
        WALSH_INT(x->shape.pitch), WALSH_INT(saved->shape.pitch), WALSH_INT(dx->shape.pitch), WALSH_INT(p->relu));
}

static walsh_status emit(walsh_list *list, const void *problem, const walsh_view *operand, const walsh_view *workspace)
{
    WALSH_TRY(emit_sums(list, problem, operand, workspace));
    WALSH_TRY(emit_merge(list, problem, operand, workspace));
    return emit_data(list, problem, operand);
}

static const walsh_variant plain = {
    .name = "bn_backward_plain", .suits = suits, .workspace = workspace_bytes, .emit = emit};

const walsh_op walsh_bn_backward = {
    .name = "bn_backward",
    .problem_size = sizeof(walsh_bn),
    .operands = {{"dy", WALSH_READ},
                 {"x", WALSH_READ},
                 {"saved", WALSH_READ},
                 {"dgamma", WALSH_WRITE},
                 {"dbeta", WALSH_WRITE},
                 {"dx", WALSH_WRITE}},
    .shapes = shapes,
    .cost = cost,
    .variants = (const walsh_variant *const[]){&plain, NULL},
};
