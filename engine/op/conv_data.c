#include "engine/op/conv_clblast.h"
#include "engine/op/conv_depthwise.h"
#include "engine/op/conv_direct.h"
#include "engine/op/conv_gather.h"
#include "engine/op/conv_grouped.h"
#include "engine/op/conv_groups.h"
#include "engine/op/conv_winograd.h"

static walsh_status shapes(const void *problem, walsh_shape *operand)
{
    const walsh_conv *c = problem;
    WALSH_TRY(
        walsh_conv_shapes(c, &operand[WALSH_CONV_DATA_DX], &operand[WALSH_CONV_DATA_W], &operand[WALSH_CONV_DATA_DY]));
    bool gradient = c->fuse & WALSH_FUSE_NORM_GRADIENT, sums = c->fuse & WALSH_FUSE_NORM_SUMS;
    operand[WALSH_CONV_DATA_Y] = gradient ? operand[WALSH_CONV_DATA_DY] : walsh_shape_absent;
    operand[WALSH_CONV_DATA_FACTORS] = walsh_conv_factors_shape(c);
    operand[WALSH_CONV_DATA_U] = sums ? operand[WALSH_CONV_DATA_DX] : walsh_shape_absent;
    operand[WALSH_CONV_DATA_SAVED] = walsh_conv_saved_shape(c);
    operand[WALSH_CONV_DATA_Z] =
        sums && c->gate == WALSH_GATE_STORED ? operand[WALSH_CONV_DATA_DX] : walsh_shape_absent;
    operand[WALSH_CONV_DATA_PARTIAL] = walsh_conv_partial_shape(c);
    return WALSH_OK;
}

static size_t workspace_bytes(const walsh_device *device, const void *problem)
{
    (void)device;
    const walsh_conv *c = problem;
    return walsh_conv_is_common(c) ? walsh_packed_bytes(c->kh * c->kw, walsh_pad(c->oc), walsh_pad(c->ic)) : 0;
}

/* The pixels of dX that are `rest` modulo the stride. Pixel rest + stride*q and tap k meet at the pixel
 * (rest + stride*q + pad - k) / stride of dY, for the taps that make this whole: every stride-th one. The last of them
 * reads the first pixel; packed, tap k is number taps - 1 - k. */
static walsh_gather_axis axis(const walsh_conv *c, int rest, int dy, int dx, int taps)
{
    int least = (rest + c->pad) % c->stride, used = least < taps ? (taps - 1 - least) / c->stride + 1 : 0;
    return (walsh_gather_axis){.in = dy,
                               .out = dx,
                               .first = rest,
                               .count = rest < dx ? (dx - 1 - rest) / c->stride + 1 : 0,
                               .in_first = (rest + c->pad - least) / c->stride - (used - 1),
                               .tap_first = used ? taps - 1 - (least + (used - 1) * c->stride) : 0,
                               .taps = used};
}

/* One class of pixels; its share of the work is its share of (pixel, tap) pairs. */
static walsh_gather gather_of(const walsh_conv *c, int y, int x)
{
    walsh_gather gather = {.y = axis(c, y, walsh_conv_oh(c), c->h, c->kh),
                           .x = axis(c, x, walsh_conv_ow(c), c->w, c->kw),
                           .in_step = 1,
                           .out_step = c->stride,
                           .tap_by = c->stride,
                           .images = c->n,
                           .kh = c->kh,
                           .kw = c->kw,
                           .in = walsh_pad(c->oc),
                           .out = walsh_pad(c->ic),
                           .accumulate = (c->fuse & WALSH_FUSE_ACCUMULATE) != 0};
    walsh_conv_cost(c, &gather.flops, &gather.bytes);
    gather.flops *= (double)gather.y.taps * gather.x.taps / ((double)c->kh * c->kw);
    gather.bytes /= (double)c->stride * c->stride;
    return gather;
}

/* Whether it writes anything. */
static bool is_empty(const walsh_gather *g)
{
    return !g->y.count || !g->x.count || (g->accumulate && (!g->y.taps || !g->x.taps));
}

static int plain_suits(const walsh_device *device, const void *problem)
{
    (void)device, (void)problem;
    return 2;
}

static int direct_suits(const walsh_device *device, const void *problem)
{
    const walsh_conv *c = problem;
    return walsh_conv_is_common(c) ? walsh_direct_suits(device, c, WALSH_WALK_BACK) : 0;
}

static walsh_gather_weights weights_of(const walsh_conv *c, const walsh_view *w)
{
    int taps = c->kh * c->kw, tap = walsh_pad(c->ic) * w->shape.pitch;
    return (walsh_gather_weights){.w = w,
                                  .first = (taps - 1) * tap,
                                  .taps = taps,
                                  .in = walsh_pad(c->oc),
                                  .out = walsh_pad(c->ic),
                                  .by_tap = -tap,
                                  .by_in = 1,
                                  .by_out = w->shape.pitch};
}

static walsh_direct operands_of(const walsh_view *operand, const walsh_view *workspace)
{
    return (walsh_direct){.x = operand[WALSH_CONV_DATA_DY],
                          .with = operand[WALSH_CONV_DATA_Y],
                          .rows = operand[WALSH_CONV_DATA_FACTORS],
                          .packed = *workspace,
                          .y = operand[WALSH_CONV_DATA_DX],
                          .u = operand[WALSH_CONV_DATA_U],
                          .saved = operand[WALSH_CONV_DATA_SAVED],
                          .z = operand[WALSH_CONV_DATA_Z],
                          .partial = operand[WALSH_CONV_DATA_PARTIAL]};
}

static walsh_status direct_emit(walsh_list *list, const void *problem, const walsh_view *operand,
                                const walsh_view *workspace)
{
    const walsh_gather_weights weights = weights_of(problem, &operand[WALSH_CONV_DATA_W]);
    const walsh_direct operands = operands_of(operand, workspace);
    WALSH_TRY(walsh_gather_pack(list, walsh_direct_packing, &weights, workspace));
    return walsh_direct_emit(list, problem, WALSH_WALK_BACK, &operands);
}

static int winograd_suits(const walsh_device *device, const void *problem)
{
    return walsh_winograd_suits(device, problem, WALSH_WALK_BACK);
}

static size_t winograd_bytes(const walsh_device *device, const void *problem)
{
    return walsh_winograd_bytes(device, problem, WALSH_WALK_BACK);
}

static walsh_status winograd_emit(walsh_list *list, const void *problem, const walsh_view *operand,
                                  const walsh_view *workspace)
{
    const walsh_gather_weights weights = weights_of(problem, &operand[WALSH_CONV_DATA_W]);
    const walsh_direct operands = operands_of(operand, workspace);
    WALSH_TRY(walsh_winograd_pack(list, problem, WALSH_WALK_BACK, &weights, workspace));
    return walsh_winograd_emit(list, problem, WALSH_WALK_BACK, &weights, &operands);
}

static walsh_status plain_emit(walsh_list *list, const void *problem, const walsh_view *operand,
                               const walsh_view *workspace)
{
    const walsh_conv *c = problem;
    if (!walsh_conv_is_common(c)) return walsh_groups_data(list, c, operand);
    const walsh_packing packing = walsh_gather_packing(walsh_list_device(list));
    const walsh_gather_weights weights = weights_of(c, &operand[WALSH_CONV_DATA_W]);
    WALSH_TRY(walsh_gather_pack(list, packing, &weights, workspace));
    for (int i = 0; i < c->stride * c->stride; i++) {
        walsh_gather gather = gather_of(c, i / c->stride, i % c->stride);
        if (is_empty(&gather)) continue;
        WALSH_TRY(
            walsh_gather_emit(list, &gather, &operand[WALSH_CONV_DATA_DY], workspace, &operand[WALSH_CONV_DATA_DX]));
    }
    return WALSH_OK;
}

static const walsh_variant winograd = {.name = "conv_data_winograd",
                                       .fuses = WALSH_FUSE_ACCUMULATE | WALSH_FUSE_NORM_GRADIENT | WALSH_FUSE_NORM_SUMS,
                                       .approximate = true,
                                       .suits = winograd_suits,
                                       .workspace = winograd_bytes,
                                       .emit = winograd_emit};
static const walsh_variant direct = {.name = "conv_data_direct",
                                     .fuses = WALSH_FUSE_ACCUMULATE | WALSH_FUSE_NORM_GRADIENT | WALSH_FUSE_NORM_SUMS,
                                     .suits = direct_suits,
                                     .workspace = workspace_bytes,
                                     .emit = direct_emit};
static const walsh_variant plain = {.name = "conv_data_plain",
                                    .fuses = WALSH_FUSE_ACCUMULATE,
                                    .suits = plain_suits,
                                    .workspace = workspace_bytes,
                                    .emit = plain_emit};

const walsh_op walsh_conv_data = {
    .name = "conv_data",
    .problem_size = sizeof(walsh_conv),
    .operands = {{"dy", WALSH_READ},
                 {"w", WALSH_READ},
                 {"dx", WALSH_WRITE},
                 {"y", WALSH_READ},
                 {"factors", WALSH_READ},
                 {"u", WALSH_READ},
                 {"saved", WALSH_READ},
                 {"z", WALSH_READ},
                 {"partial", WALSH_WRITE}},
    .shapes = shapes,
    .cost = walsh_conv_cost,
    .variants = (const walsh_variant *const[]){&winograd, &direct, &walsh_conv_data_depthwise, &walsh_conv_data_grouped,
                                               &walsh_conv_data_clblast, &plain, NULL},
};
