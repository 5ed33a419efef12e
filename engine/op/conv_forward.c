#include "engine/op/conv_gather.h"

static walsh_status shapes(const void *problem, walsh_shape *operand)
{
    operand[WALSH_CONV_FORWARD_SAVED] = walsh_conv_saved_shape(problem);
    operand[WALSH_CONV_FORWARD_PARTIAL] = walsh_conv_partial_shape(problem);
    return walsh_conv_shapes(problem, &operand[WALSH_CONV_FORWARD_X], &operand[WALSH_CONV_FORWARD_W],
                             &operand[WALSH_CONV_FORWARD_Y]);
}

static int suits(const walsh_device *device, const void *problem)
{
    (void)device, (void)problem;
    return 1;
}

static size_t workspace_bytes(const walsh_device *device, const void *problem)
{
    const walsh_conv *c = problem;
    return walsh_gather_workspace(device, c->kh * c->kw, walsh_pad(c->ic), walsh_pad(c->oc));
}

static walsh_gather_axis axis(const walsh_conv *c, int in, int out, int taps)
{
    return (walsh_gather_axis){.in = in, .out = out, .count = out, .in_first = -c->pad, .taps = taps};
}

static walsh_status emit(walsh_list *list, const void *problem, const walsh_view *operand, const walsh_view *workspace)
{
    const walsh_conv *c = problem;
    const walsh_view *w = &operand[WALSH_CONV_FORWARD_W];
    int in = walsh_pad(c->ic), out = walsh_pad(c->oc);
    const walsh_gather_weights weights = {.w = w,
                                          .taps = c->kh * c->kw,
                                          .in = in,
                                          .out = out,
                                          .by_tap = in * w->shape.pitch,
                                          .by_in = w->shape.pitch,
                                          .by_out = 1};
    walsh_gather gather = {.y = axis(c, c->h, walsh_conv_oh(c), c->kh),
                           .x = axis(c, c->w, walsh_conv_ow(c), c->kw),
                           .in_step = c->stride,
                           .out_step = 1,
                           .tap_by = 1,
                           .tap_reads = 1,
                           .images = c->n,
                           .kh = c->kh,
                           .kw = c->kw,
                           .in = in,
                           .out = out};
    walsh_conv_cost(c, &gather.flops, &gather.bytes);
    WALSH_TRY(walsh_gather_pack(list, &weights, workspace));
    return walsh_gather_emit(list, &gather, &operand[WALSH_CONV_FORWARD_X], workspace, &operand[WALSH_CONV_FORWARD_Y]);
}

static const walsh_variant plain = {
    .name = "conv_forward_plain", .suits = suits, .workspace = workspace_bytes, .emit = emit};

const walsh_op walsh_conv_forward = {
    .name = "conv_forward",
    .problem_size = sizeof(walsh_conv),
    .operands = {{"x", WALSH_READ}, {"w", WALSH_READ}, {"y", WALSH_WRITE}, {"saved", WALSH_READ}, {"partial", WALSH_WRITE}},
    .shapes = shapes,
    .cost = walsh_conv_cost,
    .variants = (const walsh_variant *const[]){&plain, NULL},
};
