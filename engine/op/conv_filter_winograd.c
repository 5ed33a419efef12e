#include "engine/op/conv_filter.h"
#include "engine/op/conv_winograd.h"

/* In local memory, as in conv_winograd.c: planes of 16 tiles, and products, of so many channels each way. Of 64 they
 * are 1 MiB, which not every CPU's second-level cache holds, of 32 a third of it. A group has tiles enough for what
 * transforming its sums takes not to show. */
enum { CHANNELS = 32, MORE_CHANNELS = 64, TILES = 16, GROUP_TILES = 64, BLOCK = WALSH_PACKED_BLOCK };
#define MORE_LOCAL_BYTES ((size_t)1 << 20)
_Static_assert(6 * (4 * TILES + 2) * MORE_CHANNELS <= WALSH_STAGED, "a row of tiles is staged as a whole");
#define OPTIONS(channels, many)                                                                                        \
    "-DPREFETCH=1 -DVW=16 -DSHARED=__local -DTILES=16 -DSTAGED=" WALSH_STAGED_TEXT " -DCHANNELS=" channels             \
    " -DMANY=" many
static const char *const options[WALSH_TILES_KINDS][2] = {
    [WALSH_TILES_CPU] = {OPTIONS("32", "6"), OPTIONS("64", "6")},
    [WALSH_TILES_WIDE_CPU] = {OPTIONS("32", "8"), OPTIONS("64", "8")},
};

static bool takes_more(const walsh_device *device)
{
    return device->info.local_memory >= MORE_LOCAL_BYTES;
}

/* Channels that a work-item takes each way: as many as there are, as long as every compute unit has work. */
static int channels_of(const walsh_device *device, const walsh_conv *c, int groups)
{
    int ic = walsh_pad(c->ic), least = ic < c->oc ? ic : c->oc;
    if (least <= BLOCK) return BLOCK;
    int items = groups * walsh_divide_up(ic, MORE_CHANNELS) * walsh_divide_up(c->oc, MORE_CHANNELS);
    bool enough = items >= 4 * (int)device->info.compute_units;
    return least > CHANNELS && enough && takes_more(device) ? MORE_CHANNELS : CHANNELS;
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
    return across > TILES ? 0 : 4;
}

static walsh_status emit(walsh_list *list, const void *problem, const walsh_view *operand, const walsh_view *partial)
{
    const walsh_conv *c = problem;
    const walsh_view *x = &operand[WALSH_CONV_FILTER_X], *saved = &operand[WALSH_CONV_FILTER_SAVED];
    const walsh_view *dy = &operand[WALSH_CONV_FILTER_DY], *y = &operand[WALSH_CONV_FILTER_Y];
    const walsh_view *factors = &operand[WALSH_CONV_FILTER_FACTORS];
    const walsh_device *device = walsh_list_device(list);
    int oh = walsh_conv_oh(c), ow = walsh_conv_ow(c), ic = walsh_pad(c->ic), width = walsh_filter_width(device, c);
    int least = least_lines(c), groups = walsh_filter_groups(c, least), channels = channels_of(device, c, groups);
    walsh_launch launch = {
        .file = "conv_filter_winograd",
        .function = "conv_filter_winograd",
        .options = options[device->tiles][takes_more(device)],
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
