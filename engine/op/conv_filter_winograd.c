#include "engine/op/conv_filter.h"
#include "engine/op/conv_winograd.h"

/* In local memory, as in conv_winograd.c: planes of 16 tiles, and products, of 32 channels each way. A group has tiles
 * enough for what transforming its sums takes not to show. */
enum { CHANNELS = 32, TILES = 16, GROUP_TILES = 64, BLOCK = WALSH_PACKED_BLOCK };
#define OPTIONS "-DPREFETCH=1 -DVW=16 -DSHARED=__local -DTILES=16 -DSTAGED=" WALSH_STAGED_TEXT " -DCHANNELS=32"

/* Channels that a work-item takes, each way. */
static int channels_of(const walsh_conv *c)
{
    return walsh_pad(c->ic) > BLOCK && c->oc > BLOCK ? CHANNELS : BLOCK;
}

static int least_lines(const walsh_conv *c)
{
    return 4 * walsh_divide_up(GROUP_TILES, walsh_divide_up(walsh_conv_ow(c), 4));
}

static int suits(const walsh_device *device, const void *problem)
{
    const walsh_conv *c = problem;
    int oh = walsh_conv_oh(c), ow = walsh_conv_ow(c), across = walsh_divide_up(ow, 4);
    if (!walsh_winograd_pays(device, c, oh, ow) || walsh_pad(c->ic) % BLOCK) return 0;
    return across > TILES || 6 * (4 * across + 2) * channels_of(c) > WALSH_STAGED ? 0 : 4;
}

static walsh_status emit(walsh_list *list, const void *problem, const walsh_view *operand, const walsh_view *partial)
{
    const walsh_conv *c = problem;
    const walsh_view *x = &operand[WALSH_CONV_FILTER_X], *saved = &operand[WALSH_CONV_FILTER_SAVED];
    const walsh_view *dy = &operand[WALSH_CONV_FILTER_DY], *y = &operand[WALSH_CONV_FILTER_Y];
    const walsh_view *factors = &operand[WALSH_CONV_FILTER_FACTORS];
    int oh = walsh_conv_oh(c), ow = walsh_conv_ow(c), channels = channels_of(c), ic = walsh_pad(c->ic);
    int width = walsh_filter_width(walsh_list_device(list), c), least = least_lines(c);
    int groups = walsh_filter_groups(c, least);
    walsh_launch launch = {
        .file = "conv_filter_winograd",
        .function = "conv_filter_winograd",
        .options = OPTIONS,
        .global = {(size_t)walsh_divide_up(width, channels), (size_t)groups, (size_t)walsh_divide_up(ic, channels)},
        .local = {1, 1, 1}};
    walsh_conv_cost(c, &launch.flops, &launch.bytes);
    WALSH_TRY(WALSH_LAUNCH(
        list, launch, WALSH_TENSOR(x), WALSH_TENSOR(saved), WALSH_TENSOR(dy), WALSH_TENSOR(y), WALSH_TENSOR(factors),
        WALSH_TENSOR(partial), WALSH_INT(walsh_stage_mode(c->fuse & WALSH_FUSE_AFFINE)),
        WALSH_INT(c->fuse & WALSH_FUSE_NORM_GRADIENT ? WALSH_STAGE_NORM_GRADIENT : WALSH_STAGE_AS_IT_IS),
        WALSH_INT(c->n * oh), WALSH_INT(walsh_filter_group_lines(c, least)), WALSH_INT(ic), WALSH_INT(walsh_pad(c->oc)),
        WALSH_INT(width), WALSH_INT(c->h), WALSH_INT(c->w), WALSH_INT(x->shape.pitch), WALSH_INT(saved->shape.pitch),
        WALSH_INT(oh), WALSH_INT(ow), WALSH_INT(dy->shape.pitch), WALSH_INT(y->shape.pitch),
        WALSH_INT(factors->shape.pitch), WALSH_INT(c->pad), WALSH_INT(channels)));
    return walsh_filter_reduce(list, c, groups, partial, &operand[WALSH_CONV_FILTER_DW]);
}

const walsh_variant walsh_conv_filter_winograd = {.name = "conv_filter_winograd",
                                                  .fuses = WALSH_FUSE_AFFINE | WALSH_FUSE_NORM_GRADIENT,
                                                  .approximate = true,
                                                  .suits = suits,
                                                  .workspace = walsh_filter_workspace,
                                                  .emit = emit};
