#include "engine/op/conv_gather.h"

static walsh_status shapes(const void *problem, walsh_shape *operand)
{
    return walsh_conv_shapes(problem, &operand[WALSH_CONV_DATA_DX], &operand[WALSH_CONV_DATA_W],
                             &operand[WALSH_CONV_DATA_DY]);
}

static int suits(const walsh_device *device, const void *problem)
{
    (void)device, (void)problem;
    return 1;
}

static size_t workspace_bytes(const walsh_device *device, const void *problem)
{
    const walsh_conv *c = problem;
    return walsh_gather_workspace(device, c->kh * c->kw, walsh_pad(c->oc), walsh_pad(c->ic));
}

/* The pixels of dX that are `rest` modulo the stride. Pixel rest + stride*q and tap k meet at the pixel
 * (rest + stride*q + pad - k) / stride of dY, for the taps that make this whole: every stride-th one. */
static walsh_gather_axis axis(const walsh_conv *c, int rest, int dy, int dx, int taps)
{
    int tap_first = (rest + c->pad) % c->stride;
    return (walsh_gather_axis){.in = dy,
                               .out = dx,
                               .first = rest,
                               .count = rest < dx ? (dx - 1 - rest) / c->stride + 1 : 0,
                               .in_first = (rest + c->pad - tap_first) / c->stride,
                               .tap_first = tap_first,
                               .taps = tap_first < taps ? (taps - 1 - tap_first) / c->stride + 1 : 0};
}

/* One class of pixels; its share of the work is its share of (pixel, tap) pairs. */
static walsh_status emit_class(walsh_list *list, const walsh_conv *c, const walsh_view *operand,
                               const walsh_view *packed, int y, int x)
{
    walsh_gather gather = {.y = axis(c, y, walsh_conv_oh(c), c->h, c->kh),
                           .x = axis(c, x, walsh_conv_ow(c), c->w, c->kw),
                           .in_step = 1,
                           .out_step = c->stride,
                           .tap_by = c->stride,
                           .tap_reads = -1,
                           .images = c->n,
                           .kh = c->kh,
                           .kw = c->kw,
                           .in = walsh_pad(c->oc),
                           .out = walsh_pad(c->ic),
                           .accumulate = (c->fuse & WALSH_FUSE_ACCUMULATE) != 0};
    bool has_taps = gather.y.taps && gather.x.taps;
    if (!gather.y.count || !gather.x.count || (!has_taps && gather.accumulate)) return WALSH_OK;
    walsh_conv_cost(c, &gather.flops, &gather.bytes);
    gather.flops *= (double)gather.y.taps * gather.x.taps / ((double)c->kh * c->kw);
    gather.bytes /= (double)c->stride * c->stride;
    return walsh_gather_emit(list, &gather, &operand[WALSH_CONV_DATA_DY], packed, &operand[WALSH_CONV_DATA_DX]);
}

static walsh_status emit(walsh_list *list, const void *problem, const walsh_view *operand, const walsh_view *workspace)
{
    const walsh_conv *c = problem;
    const walsh_view *w = &operand[WALSH_CONV_DATA_W];
    const walsh_gather_weights weights = {.w = w,
                                          .taps = c->kh * c->kw,
                                          .in = walsh_pad(c->oc),
                                          .out = walsh_pad(c->ic),
                                          .by_tap = walsh_pad(c->ic) * w->shape.pitch,
                                          .by_in = 1,
                                          .by_out = w->shape.pitch};
    WALSH_TRY(walsh_gather_pack(list, &weights, workspace));
    for (int y = 0; y < c->stride; y++)
        for (int x = 0; x < c->stride; x++) WALSH_TRY(emit_class(list, c, operand, workspace, y, x));
    return WALSH_OK;
}

static const walsh_variant plain = {.name = "conv_data_plain",
                                    .fuses = WALSH_FUSE_ACCUMULATE,
                                    .suits = suits,
                                    .workspace = workspace_bytes,
                                    .emit = emit};

const walsh_op walsh_conv_data = {
    .name = "conv_data",
    .problem_size = sizeof(walsh_conv),
    .operands = {{"dy", WALSH_READ}, {"w", WALSH_READ}, {"dx", WALSH_WRITE}},
    .shapes = shapes,
    .cost = walsh_conv_cost,
    .variants = (const walsh_variant *const[]){&plain, NULL},
};
