#include "engine/op/pool.h"

#include "engine/op/batchnorm.h"
#include "engine/op/channels.h"

static int outputs(const walsh_pool *p, int inputs)
{
    return p->kind == WALSH_POOL_GLOBAL ? 1 : (inputs + 2 * p->pad - p->window) / p->stride + 1;
}

int walsh_pool_oh(const walsh_pool *p)
{
    return outputs(p, p->h);
}
int walsh_pool_ow(const walsh_pool *p)
{
    return outputs(p, p->w);
}

static walsh_status check(const walsh_pool *p)
{
    WALSH_TRY(walsh_channels_check("pool", p->n, p->h, p->w, p->c));
    if (p->kind != WALSH_POOL_MAX && p->kind != WALSH_POOL_AVERAGE && p->kind != WALSH_POOL_GLOBAL)
        WALSH_FAIL(WALSH_E_ARGUMENT, "pool: there is no kind %d", (int)p->kind);
    if (p->kind == WALSH_POOL_GLOBAL) return WALSH_OK;
    if (p->window < 1 || p->stride < 1 || p->pad < 0 || p->pad > p->window / 2)
        WALSH_FAIL(WALSH_E_ARGUMENT,
                   "pool: window and stride must be at least 1 and pad at most window/2, found %d, %d, %d", p->window,
                   p->stride, p->pad);
    if (p->window > 4096) /* positions in a window are exact in float32 */
        WALSH_FAIL(WALSH_E_ARGUMENT, "pool: a window of at most 4096 is possible, found %d", p->window);
    if (p->h + 2 * p->pad < p->window || p->w + 2 * p->pad < p->window)
        WALSH_FAIL(WALSH_E_ARGUMENT, "pool: a window of %d does not fit into %dx%d pixels with pad %d", p->window, p->h,
                   p->w, p->pad);
    return WALSH_OK;
}

static walsh_shape input(const walsh_pool *p)
{
    return walsh_shape_nhwc(p->n, p->h, p->w, p->c);
}
static walsh_shape output(const walsh_pool *p)
{
    return walsh_shape_nhwc(p->n, walsh_pool_oh(p), walsh_pool_ow(p), p->c);
}

/* SAVED, where an extra needs it. */
static walsh_shape saved(const walsh_pool *p, unsigned extra)
{
    return p->fuse & extra ? walsh_shape_matrix(WALSH_BN_SAVED_ROWS, p->c) : walsh_shape_absent;
}

static walsh_shape partial(const walsh_pool *p)
{
    const walsh_bn bn = {.n = p->n, .h = p->h, .w = p->w, .c = p->c};
    return p->fuse & WALSH_FUSE_NORM_SUMS ? walsh_bn_partial_shape(&bn) : walsh_shape_absent;
}

static walsh_status forward_shapes(const void *problem, walsh_shape *operand)
{
    const walsh_pool *p = problem;
    WALSH_TRY(check(p));
    operand[WALSH_POOL_FORWARD_X] = input(p);
    operand[WALSH_POOL_FORWARD_Y] = output(p);
    operand[WALSH_POOL_FORWARD_SAVED] = saved(p, WALSH_FUSE_AFFINE);
    return WALSH_OK;
}

static walsh_status backward_shapes(const void *problem, walsh_shape *operand)
{
    const walsh_pool *p = problem;
    WALSH_TRY(check(p));
    operand[WALSH_POOL_BACKWARD_DY] = output(p);
    bool compares = p->kind == WALSH_POOL_MAX && !(p->fuse & WALSH_FUSE_NORM_SUMS);
    operand[WALSH_POOL_BACKWARD_X] = compares ? input(p) : walsh_shape_absent;
    operand[WALSH_POOL_BACKWARD_Y] = compares ? output(p) : walsh_shape_absent;
    operand[WALSH_POOL_BACKWARD_DX] = input(p);
    operand[WALSH_POOL_BACKWARD_U] = p->fuse & WALSH_FUSE_NORM_SUMS ? input(p) : walsh_shape_absent;
    operand[WALSH_POOL_BACKWARD_SAVED] = saved(p, WALSH_FUSE_NORM_SUMS);
    operand[WALSH_POOL_BACKWARD_PARTIAL] = partial(p);
    return WALSH_OK;
}

static double elements(walsh_shape s)
{
    return (double)walsh_shape_rows(s) * s.c;
}

/* One operation for each element of each window. */
static double window_flops(const walsh_pool *p)
{
    return p->kind == WALSH_POOL_GLOBAL ? elements(input(p)) : elements(output(p)) * p->window * p->window;
}

static void forward_cost(const void *problem, double *flops, double *bytes)
{
    const walsh_pool *p = problem;
    *flops = window_flops(p);
    *bytes = 4 * (elements(input(p)) + elements(output(p)));
}

static void backward_cost(const void *problem, double *flops, double *bytes)
{
    const walsh_pool *p = problem;
    double passes = p->kind == WALSH_POOL_MAX ? 2 : 1; /* X with dX, Y with dY */
    double update = p->fuse & WALSH_FUSE_ACCUMULATE ? elements(input(p)) : 0;
    if (p->fuse & WALSH_FUSE_NORM_SUMS) update += elements(input(p));
    *flops = window_flops(p);
    *bytes = 4 * (passes * (elements(input(p)) + elements(output(p))) + update);
}

static int suits(const walsh_device *device, const void *problem)
{
    (void)device, (void)problem;
    return 1;
}

static walsh_status forward_emit(walsh_list *list, const void *problem, const walsh_view *operand,
                                 const walsh_view *workspace)
{
    (void)workspace;
    const walsh_pool *p = problem;
    const walsh_view *x = &operand[WALSH_POOL_FORWARD_X], *y = &operand[WALSH_POOL_FORWARD_Y];
    const walsh_view *bn = &operand[WALSH_POOL_FORWARD_SAVED];
    int affine = (p->fuse & WALSH_FUSE_AFFINE) != 0;
    size_t rows = walsh_shape_rows(y->shape);
    bool global = p->kind == WALSH_POOL_GLOBAL;
    walsh_channels on = walsh_channels_for(walsh_list_device(list), p->c);
    walsh_launch launch = global ? walsh_channels_groups(&on, rows) : walsh_channels_rows(&on, rows);
    launch.file = "pool", launch.function = global ? "pool_forward_global_plain" : "pool_forward_plain";
    forward_cost(p, &launch.flops, &launch.bytes);
    if (global)
        return WALSH_LAUNCH(list, launch, WALSH_TENSOR(x), WALSH_TENSOR(y), WALSH_TENSOR(bn), WALSH_INT(on.vectors),
                            WALSH_INT(p->h * p->w), WALSH_INT(x->shape.pitch), WALSH_INT(y->shape.pitch),
                            WALSH_INT(bn->shape.pitch), WALSH_INT(affine));
    return WALSH_LAUNCH(list, launch, WALSH_TENSOR(x), WALSH_TENSOR(y), WALSH_TENSOR(bn), WALSH_INT((int)rows),
                        WALSH_INT(on.vectors), WALSH_INT(on.each), WALSH_INT(p->h), WALSH_INT(p->w),
                        WALSH_INT(y->shape.h), WALSH_INT(y->shape.w), WALSH_INT(p->window), WALSH_INT(p->stride),
                        WALSH_INT(p->pad), WALSH_INT(x->shape.pitch), WALSH_INT(y->shape.pitch),
                        WALSH_INT(bn->shape.pitch), WALSH_INT(p->kind == WALSH_POOL_MAX), WALSH_INT(affine));
}

/* The maximum's positions, [n*oh*ow][pad(c)]. */
static size_t backward_workspace(const walsh_device *device, const void *problem)
{
    (void)device;
    const walsh_pool *p = problem;
    return p->kind == WALSH_POOL_MAX ? walsh_shape_bytes(output(p)) : 0;
}

/* Of X, or where `bn` is not absent of relu(scale*X + shift). */
static walsh_status emit_positions(walsh_list *list, const walsh_pool *p, const walsh_view *x, const walsh_view *bn,
                                   const walsh_view *position)
{
    walsh_shape y = output(p);
    size_t rows = walsh_shape_rows(y);
    walsh_channels on = walsh_channels_for(walsh_list_device(list), p->c);
    walsh_launch launch = walsh_channels_rows(&on, rows);
    launch.file = "pool", launch.function = "pool_backward_positions_plain";
    forward_cost(p, &launch.flops, &launch.bytes);
    return WALSH_LAUNCH(list, launch, WALSH_TENSOR(x), WALSH_TENSOR(bn), WALSH_TENSOR(position), WALSH_INT((int)rows),
                        WALSH_INT(on.vectors), WALSH_INT(on.each), WALSH_INT(p->h), WALSH_INT(p->w), WALSH_INT(y.h),
                        WALSH_INT(y.w), WALSH_INT(p->window), WALSH_INT(p->stride), WALSH_INT(p->pad),
                        WALSH_INT(x->shape.pitch), WALSH_INT(bn->shape.pitch),
                        WALSH_INT(!walsh_shape_is_absent(bn->shape)));
}

/* A window that covers the image is the global average's. */
static walsh_pool windowed(const walsh_pool *p)
{
    walsh_pool w = *p;
    if (p->kind == WALSH_POOL_GLOBAL) w.window = w.stride = p->h > p->w ? p->h : p->w, w.pad = 0;
    return w;
}

/* What the sum over a window is multiplied by. */
static float factor(const walsh_pool *p)
{
    if (p->kind == WALSH_POOL_MAX) return 1;
    return 1 / (float)(p->kind == WALSH_POOL_GLOBAL ? p->h * p->w : p->window * p->window);
}

static walsh_status emit_gradient(walsh_list *list, const walsh_pool *p, const walsh_view *dy,
                                  const walsh_view *position, const walsh_view *dx)
{
    int rows = (int)walsh_shape_rows(dx->shape), accumulate = (p->fuse & WALSH_FUSE_ACCUMULATE) != 0;
    walsh_channels on = walsh_channels_for(walsh_list_device(list), p->c);
    walsh_launch launch = walsh_channels_rows(&on, (size_t)rows);
    launch.file = "pool";
    backward_cost(p, &launch.flops, &launch.bytes);
    if (p->kind == WALSH_POOL_GLOBAL) {
        launch.function = "pool_backward_global_plain";
        return WALSH_LAUNCH(list, launch, WALSH_TENSOR(dy), WALSH_TENSOR(dx), WALSH_INT(rows), WALSH_INT(on.vectors),
                            WALSH_INT(on.each), WALSH_INT(p->h * p->w), WALSH_INT(dy->shape.pitch),
                            WALSH_INT(dx->shape.pitch), WALSH_INT(accumulate));
    }
    launch.function = "pool_backward_plain";
    if (p->kind == WALSH_POOL_MAX) launch.bytes -= 4 * elements(input(p)); /* X: read by the positions' launch */
    return WALSH_LAUNCH(list, launch, WALSH_TENSOR(dy), WALSH_TENSOR(position), WALSH_TENSOR(dx), WALSH_INT(rows),
                        WALSH_INT(on.vectors), WALSH_INT(on.each), WALSH_INT(p->h), WALSH_INT(p->w),
                        WALSH_INT(dy->shape.h), WALSH_INT(dy->shape.w), WALSH_INT(p->window), WALSH_INT(p->stride),
                        WALSH_INT(p->pad), WALSH_FLOAT(factor(p)), WALSH_INT(dy->shape.pitch),
                        WALSH_INT(dx->shape.pitch), WALSH_INT(accumulate));
}

/* WALSH_FUSE_NORM_SUMS. */
static walsh_status emit_through(walsh_list *list, const walsh_pool *p, const walsh_view *operand,
                                 const walsh_view *position)
{
    const walsh_view *dy = &operand[WALSH_POOL_BACKWARD_DY], *u = &operand[WALSH_POOL_BACKWARD_U];
    const walsh_view *bn = &operand[WALSH_POOL_BACKWARD_SAVED], *dx = &operand[WALSH_POOL_BACKWARD_DX];
    const walsh_view *sums = &operand[WALSH_POOL_BACKWARD_PARTIAL];
    const walsh_pool over = windowed(p);
    walsh_channels on = walsh_channels_for(walsh_list_device(list), p->c);
    walsh_launch launch = walsh_channels_groups(&on, (size_t)sums->shape.n);
    launch.file = "pool", launch.function = "pool_backward_through_plain";
    backward_cost(p, &launch.flops, &launch.bytes);
    return WALSH_LAUNCH(list, launch, WALSH_TENSOR(dy), WALSH_TENSOR(position), WALSH_TENSOR(u), WALSH_TENSOR(bn),
                        WALSH_TENSOR(dx), WALSH_TENSOR(sums), WALSH_INT((int)walsh_shape_rows(dx->shape)),
                        WALSH_INT(walsh_bn_group_rows(p->n, p->h, p->w)), WALSH_INT(on.vectors), WALSH_INT(p->h),
                        WALSH_INT(p->w), WALSH_INT(dy->shape.h), WALSH_INT(dy->shape.w), WALSH_INT(over.window),
                        WALSH_INT(over.stride), WALSH_INT(over.pad), WALSH_FLOAT(factor(p)), WALSH_INT(dy->shape.pitch),
                        WALSH_INT(u->shape.pitch), WALSH_INT(bn->shape.pitch), WALSH_INT(dx->shape.pitch),
                        WALSH_INT(sums->shape.pitch), WALSH_INT(p->scaled),
                        WALSH_INT((p->fuse & WALSH_FUSE_ACCUMULATE) != 0));
}

static walsh_status backward_emit(walsh_list *list, const void *problem, const walsh_view *operand,
                                  const walsh_view *workspace)
{
    const walsh_pool *p = problem;
    bool through = p->fuse & WALSH_FUSE_NORM_SUMS;
    const walsh_view *x = &operand[through ? WALSH_POOL_BACKWARD_U : WALSH_POOL_BACKWARD_X];
    if (p->kind == WALSH_POOL_MAX)
        WALSH_TRY(emit_positions(list, p, x, &operand[WALSH_POOL_BACKWARD_SAVED], workspace));
    if (through) return emit_through(list, p, operand, workspace);
    return emit_gradient(list, p, &operand[WALSH_POOL_BACKWARD_DY], workspace, &operand[WALSH_POOL_BACKWARD_DX]);
}

static const walsh_variant forward_plain = {
    .name = "pool_forward_plain", .fuses = WALSH_FUSE_AFFINE, .suits = suits, .emit = forward_emit};
static const walsh_variant backward_plain = {.name = "pool_backward_plain",
                                             .fuses = WALSH_FUSE_ACCUMULATE | WALSH_FUSE_NORM_SUMS,
                                             .suits = suits,
                                             .workspace = backward_workspace,
                                             .emit = backward_emit};

const walsh_op walsh_pool_forward = {
    .name = "pool_forward",
    .problem_size = sizeof(walsh_pool),
    .operands = {{"x", WALSH_READ}, {"y", WALSH_WRITE}, {"saved", WALSH_READ}},
    .shapes = forward_shapes,
    .cost = forward_cost,
    .variants = (const walsh_variant *const[]){&forward_plain, NULL},
};

const walsh_op walsh_pool_backward = {
    .name = "pool_backward",
    .problem_size = sizeof(walsh_pool),
    .operands = {{"dy", WALSH_READ},
                 {"x", WALSH_READ},
                 {"y", WALSH_READ},
                 {"dx", WALSH_WRITE},
                 {"u", WALSH_READ},
                 {"saved", WALSH_READ},
                 {"partial", WALSH_WRITE}},
    .shapes = backward_shapes,
    .cost = backward_cost,
    .variants = (const walsh_variant *const[]){&backward_plain, NULL},
};
