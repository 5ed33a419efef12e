#include "engine/op/relu.h"

#include "engine/op/channels.h"

static walsh_status shapes(const walsh_relu *p, walsh_shape *operand, int count)
{
    WALSH_TRY(walsh_channels_check("relu", p->n, p->h, p->w, p->c));
    for (int i = 0; i < count; i++) operand[i] = walsh_shape_nhwc(p->n, p->h, p->w, p->c);
    return WALSH_OK;
}

static walsh_status forward_shapes(const void *problem, walsh_shape *operand)
{
    return shapes(problem, operand, WALSH_RELU_FORWARD_OPERANDS);
}

static walsh_status backward_shapes(const void *problem, walsh_shape *operand)
{
    return shapes(problem, operand, WALSH_RELU_BACKWARD_OPERANDS);
}

static double elements(const walsh_relu *p)
{
    return (double)p->n * p->h * p->w * p->c;
}

static void forward_cost(const void *problem, double *flops, double *bytes)
{
    *flops = elements(problem);
    *bytes = 8 * elements(problem);
}

static void backward_cost(const void *problem, double *flops, double *bytes)
{
    *flops = elements(problem);
    *bytes = 12 * elements(problem);
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
    const walsh_view *x = &operand[WALSH_RELU_FORWARD_X], *y = &operand[WALSH_RELU_FORWARD_Y];
    size_t rows = walsh_shape_rows(y->shape);
    walsh_channels on = walsh_channels_for(walsh_list_device(list), y->shape.c);
    walsh_launch launch = walsh_channels_rows(&on, rows);
    launch.file = "relu", launch.function = "relu_forward_plain";
    forward_cost(problem, &launch.flops, &launch.bytes);
    return WALSH_LAUNCH(list, launch, WALSH_TENSOR(x), WALSH_TENSOR(y), WALSH_INT((int)rows), WALSH_INT(on.vectors),
                        WALSH_INT(on.each), WALSH_INT(x->shape.pitch), WALSH_INT(y->shape.pitch));
}

static walsh_status backward_emit(walsh_list *list, const void *problem, const walsh_view *operand,
                                  const walsh_view *workspace)
{
    (void)workspace;
    const walsh_view *dy = &operand[WALSH_RELU_BACKWARD_DY], *y = &operand[WALSH_RELU_BACKWARD_Y];
    const walsh_view *dx = &operand[WALSH_RELU_BACKWARD_DX];
    size_t rows = walsh_shape_rows(dx->shape);
    walsh_channels on = walsh_channels_for(walsh_list_device(list), dx->shape.c);
    walsh_launch launch = walsh_channels_rows(&on, rows);
    launch.file = "relu", launch.function = "relu_backward_plain";
    backward_cost(problem, &launch.flops, &launch.bytes);
    return WALSH_LAUNCH(list, launch, WALSH_TENSOR(dy), WALSH_TENSOR(y), WALSH_TENSOR(dx), WALSH_INT((int)rows),
                        WALSH_INT(on.vectors), WALSH_INT(on.each), WALSH_INT(dy->shape.pitch),
                        WALSH_INT(y->shape.pitch), WALSH_INT(dx->shape.pitch));
}

static const walsh_variant forward_plain = {.name = "relu_forward_plain", .suits = suits, .emit = forward_emit};
static const walsh_variant backward_plain = {.name = "relu_backward_plain", .suits = suits, .emit = backward_emit};

const walsh_op walsh_relu_forward = {
    .name = "relu_forward",
    .problem_size = sizeof(walsh_relu),
    .operands = {{"x", WALSH_READ}, {"y", WALSH_WRITE}},
    .shapes = forward_shapes,
    .cost = forward_cost,
    .variants = (const walsh_variant *const[]){&forward_plain, NULL},
};

const walsh_op walsh_relu_backward = {
    .name = "relu_backward",
    .problem_size = sizeof(walsh_relu),
    .operands = {{"dy", WALSH_READ}, {"y", WALSH_READ}, {"dx", WALSH_WRITE}},
    .shapes = backward_shapes,
    .cost = backward_cost,
    .variants = (const walsh_variant *const[]){&backward_plain, NULL},
};
