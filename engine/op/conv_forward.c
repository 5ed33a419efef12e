#include "engine/op/conv_clblast.h"
#include "engine/op/conv_depthwise.h"
#include "engine/op/conv_direct.h"
#include "engine/op/conv_gather.h"
#include "engine/op/conv_grouped.h"
#include "engine/op/conv_groups.h"
#include "engine/op/conv_winograd.h"

static walsh_status shapes(const void *problem, walsh_shape *operand)
{
    WALSH_TRY(walsh_conv_shapes(problem, &operand[WALSH_CONV_FORWARD_X], &operand[WALSH_CONV_FORWARD_W],
                                &operand[WALSH_CONV_FORWARD_Y]));
    operand[WALSH_CONV_FORWARD_SAVED] = walsh_conv_saved_shape(problem);
    operand[WALSH_CONV_FORWARD_PARTIAL] = walsh_conv_partial_shape(problem);
    operand[WALSH_CONV_FORWARD_Y_SAVED] = walsh_conv_y_saved_shape(problem);
    const walsh_conv *c = problem;
    bool adds = c->fuse & WALSH_FUSE_NORMALISE && c->add;
    operand[WALSH_CONV_FORWARD_RES] = adds ? operand[WALSH_CONV_FORWARD_Y] : walsh_shape_absent;
    operand[WALSH_CONV_FORWARD_BIAS] = c->fuse & WALSH_FUSE_BIAS ? walsh_shape_vector(c->oc) : walsh_shape_absent;
    return WALSH_OK;
}

static size_t workspace_bytes(const walsh_device *device, const void *problem)
{
    (void)device;
    const walsh_conv *c = problem;
    return walsh_conv_is_common(c) ? walsh_packed_bytes(c->kh * c->kw, walsh_pad(c->ic), walsh_pad(c->oc)) : 0;
}

static walsh_gather_axis axis(const walsh_conv *c, int in, int out, int taps)
{
    return (walsh_gather_axis){.in = in, .out = out, .count = out, .in_first = -c->pad, .taps = taps};
}

static walsh_gather gather_of(const walsh_conv *c)
{
    walsh_gather gather = {.y = axis(c, c->h, walsh_conv_oh(c), c->kh),
                           .x = axis(c, c->w, walsh_conv_ow(c), c->kw),
                           .in_step = c->stride,
                           .out_step = 1,
                           .tap_by = 1,
                           .images = c->n,
                           .kh = c->kh,
                           .kw = c->kw,
                           .in = walsh_pad(c->ic),
                           .out = walsh_pad(c->oc)};
    walsh_conv_cost(c, &gather.flops, &gather.bytes);
    return gather;
}

static int plain_suits(const walsh_device *device, const void *problem)
{
    (void)device, (void)problem;
    return 2;
}

static int direct_suits(const walsh_device *device, const void *problem)
{
    return walsh_conv_is_common(problem) ? walsh_direct_suits(device, problem, WALSH_WALK_FORWARD) : 0;
}

static walsh_gather_weights weights_of(const walsh_conv *c, const walsh_view *w)
{
    int in = walsh_pad(c->ic), out = walsh_pad(c->oc);
    return (walsh_gather_weights){.w = w,
                                  .taps = c->kh * c->kw,
                                  .in = in,
                                  .out = out,
                                  .by_tap = in * w->shape.pitch,
                                  .by_in = w->shape.pitch,
                                  .by_out = 1};
}

static walsh_status plain_pack(walsh_list *list, const void *problem, const walsh_view *operand,
                               const walsh_view *workspace)
{
    if (!walsh_conv_is_common(problem)) return WALSH_OK;
    const walsh_gather_weights weights = weights_of(problem, &operand[WALSH_CONV_FORWARD_W]);
    return walsh_gather_pack(list, walsh_gather_packing(walsh_list_device(list)), &weights, workspace);
}

static walsh_status plain_emit(walsh_list *list, const void *problem, const walsh_view *operand,
                               const walsh_view *workspace)
{
    if (!walsh_conv_is_common(problem)) return walsh_groups_forward(list, problem, operand);
    walsh_gather gather = gather_of(problem);
    gather.bias = &operand[WALSH_CONV_FORWARD_BIAS];
    return walsh_gather_emit(list, &gather, &operand[WALSH_CONV_FORWARD_X], workspace, &operand[WALSH_CONV_FORWARD_Y]);
}

static walsh_status direct_pack(walsh_list *list, const void *problem, const walsh_view *operand,
                                const walsh_view *workspace)
{
    walsh_gather_weights weights = weights_of(problem, &operand[WALSH_CONV_FORWARD_W]);
    weights.in = walsh_direct_channels(walsh_list_device(list), problem, WALSH_WALK_FORWARD);
    return walsh_gather_pack(list, walsh_direct_packing, &weights, workspace);
}

static walsh_direct operands_of(const walsh_view *operand, const walsh_view *workspace)
{
    return (walsh_direct){.x = operand[WALSH_CONV_FORWARD_X],
                          .rows = operand[WALSH_CONV_FORWARD_SAVED],
                          .packed = *workspace,
                          .bias = operand[WALSH_CONV_FORWARD_BIAS],
                          .y = operand[WALSH_CONV_FORWARD_Y],
                          .saved = operand[WALSH_CONV_FORWARD_Y_SAVED],
                          .z = operand[WALSH_CONV_FORWARD_RES],
                          .partial = operand[WALSH_CONV_FORWARD_PARTIAL]};
}

static walsh_status direct_emit(walsh_list *list, const void *problem, const walsh_view *operand,
                                const walsh_view *workspace)
{
    const walsh_direct operands = operands_of(operand, workspace);
    return walsh_direct_emit(list, problem, WALSH_WALK_FORWARD, &operands);
}

static int winograd_suits(const walsh_device *device, const void *problem)
{
    return walsh_winograd_suits(device, problem, WALSH_WALK_FORWARD);
}

static size_t winograd_bytes(const walsh_device *device, const void *problem)
{
    return walsh_winograd_bytes(device, problem, WALSH_WALK_FORWARD);
}

static walsh_status winograd_pack(walsh_list *list, const void *problem, const walsh_view *operand,
                                  const walsh_view *workspace)
{
    const walsh_gather_weights weights = weights_of(problem, &operand[WALSH_CONV_FORWARD_W]);
    return walsh_winograd_pack(list, problem, WALSH_WALK_FORWARD, &weights, workspace);
}

static walsh_status winograd_emit(walsh_list *list, const void *problem, const walsh_view *operand,
                                  const walsh_view *workspace)
{
    const walsh_gather_weights weights = weights_of(problem, &operand[WALSH_CONV_FORWARD_W]);
    const walsh_direct operands = operands_of(operand, workspace);
    return walsh_winograd_emit(list, problem, WALSH_WALK_FORWARD, &weights, &operands);
}

static const walsh_variant winograd = {.name = "conv_forward_winograd",
                                       .fuses = WALSH_FUSE_BIAS | WALSH_FUSE_AFFINE | WALSH_FUSE_STATS |
                                                WALSH_FUSE_NORMALISE,
                                       .approximate = true,
                                       .suits = winograd_suits,
                                       .workspace = winograd_bytes,
                                       .emit = winograd_emit,
                                       .pack = winograd_pack,
                                       .packs = 1 << WALSH_CONV_FORWARD_W};
static const walsh_variant direct = {.name = "conv_forward_direct",
                                     .fuses =
                                         WALSH_FUSE_BIAS | WALSH_FUSE_AFFINE | WALSH_FUSE_STATS | WALSH_FUSE_NORMALISE,
                                     .suits = direct_suits,
                                     .workspace = workspace_bytes,
                                     .emit = direct_emit,
                                     .pack = direct_pack,
                                     .packs = 1 << WALSH_CONV_FORWARD_W};
static const walsh_variant plain = {.name = "conv_forward_plain",
                                    .fuses = WALSH_FUSE_BIAS,
                                    .suits = plain_suits,
                                    .workspace = workspace_bytes,
                                    .emit = plain_emit,
                                    .pack = plain_pack,
                                    .packs = 1 << WALSH_CONV_FORWARD_W};

const walsh_op walsh_conv_forward = {
    .name = "conv_forward",
    .problem_size = sizeof(walsh_conv),
    .operands = {{"x", WALSH_READ},
                 {"w", WALSH_READ},
                 {"y", WALSH_WRITE},
                 {"saved", WALSH_READ},
                 {"partial", WALSH_WRITE},
                 {"y_saved", WALSH_READ},
                 {"res", WALSH_READ},
                 {"bias", WALSH_READ}},
    .shapes = shapes,
    .cost = walsh_conv_cost,
    .variants = (const walsh_variant *const[]){&winograd, &direct, &walsh_conv_forward_depthwise,
                                               &walsh_conv_forward_grouped, &walsh_conv_forward_clblast, &plain, NULL},
};
