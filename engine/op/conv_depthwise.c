#include "engine/op/conv_depthwise.h"

#include "engine/op/batchnorm.h"
#include "engine/op/channels.h"
#include "engine/op/conv_filter.h"
#include "engine/op/conv_finish.h"

static int suits(const walsh_device *device, const void *problem)
{
    (void)device;
    const walsh_conv *c = problem;
    bool fits = c->kh == 3 && c->kw == 3 && c->pad == 1 && (c->stride == 1 || c->stride == 2);
    return walsh_conv_is_depthwise(c) && fits && walsh_finish_knows(c) ? 3 : 0;
}

/* CPUs: vectors of a register each, since nine weights and the tile's sums are to stay in registers; the last one may
 * overlap the one before. */
static walsh_channels channels_for(const walsh_device *device, int c)
{
    if (walsh_tiles_are_gpu(device->tiles)) return walsh_channels_for(device, c);
    int vector = device->tiles == WALSH_TILES_WIDE_CPU ? 16 : 8, padded = walsh_pad(c);
    while (vector > padded) vector /= 2;
    return (walsh_channels){.options = vector == 16  ? "-DVW=16"
                                       : vector == 8 ? "-DVW=8"
                                                     : "-DVW=4",
                            .vectors = (padded + vector - 1) / vector,
                            .local = {1, 1}};
}

static walsh_launch launch_of(walsh_list *list, const walsh_conv *c, const char *function, int groups)
{
    const walsh_channels on = channels_for(walsh_list_device(list), c->ic);
    walsh_launch launch = walsh_channels_groups(&on, (size_t)groups);
    launch.file = "conv_depthwise", launch.function = function;
    walsh_conv_cost(c, &launch.flops, &launch.bytes);
    return launch;
}

static walsh_status forward_emit(walsh_list *list, const void *problem, const walsh_view *operand,
                                 const walsh_view *workspace)
{
    (void)workspace;
    const walsh_conv *c = problem;
    const walsh_view *x = &operand[WALSH_CONV_FORWARD_X], *saved = &operand[WALSH_CONV_FORWARD_SAVED];
    const walsh_view *w = &operand[WALSH_CONV_FORWARD_W], *y = &operand[WALSH_CONV_FORWARD_Y];
    const walsh_view *y_saved = &operand[WALSH_CONV_FORWARD_Y_SAVED], *res = &operand[WALSH_CONV_FORWARD_RES];
    const walsh_view *partial = &operand[WALSH_CONV_FORWARD_PARTIAL];
    int oh = walsh_conv_oh(c), ow = walsh_conv_ow(c), each = walsh_bn_group_lines(c->n, oh, ow);
    bool affine = c->fuse & WALSH_FUSE_AFFINE;
    walsh_launch launch = launch_of(list, c, "conv_depthwise_forward", walsh_bn_groups(c->n, oh, ow));
    WALSH_TRY(WALSH_LAUNCH(list, launch, WALSH_TENSOR(x), WALSH_TENSOR(saved), WALSH_TENSOR(w),
                           WALSH_TENSOR(&operand[WALSH_CONV_FORWARD_BIAS]), WALSH_TENSOR(y), WALSH_TENSOR(y_saved),
                           WALSH_TENSOR(res), WALSH_TENSOR(partial), WALSH_INT(affine), WALSH_INT(affine && !c->linear),
                           WALSH_INT((c->fuse & WALSH_FUSE_BIAS) != 0), WALSH_INT(walsh_finish_of(c)),
                           WALSH_INT(c->stride), WALSH_INT(c->n * oh), WALSH_INT(each), WALSH_INT(walsh_pad(c->ic)),
                           WALSH_INT(c->h), WALSH_INT(c->w), WALSH_INT(oh), WALSH_INT(ow), WALSH_INT(x->shape.pitch),
                           WALSH_INT(saved->shape.pitch), WALSH_INT(w->shape.pitch), WALSH_INT(y->shape.pitch),
                           WALSH_INT(y_saved->shape.pitch), WALSH_INT(res->shape.pitch),
                           WALSH_INT(partial->shape.pitch)));
    return walsh_finish_statistics(list, c, y, partial);
}

static walsh_status data_emit(walsh_list *list, const void *problem, const walsh_view *operand,
                              const walsh_view *workspace)
{
    (void)workspace;
    const walsh_conv *c = problem;
    const walsh_view *dy = &operand[WALSH_CONV_DATA_DY], *y = &operand[WALSH_CONV_DATA_Y];
    const walsh_view *factors = &operand[WALSH_CONV_DATA_FACTORS], *w = &operand[WALSH_CONV_DATA_W];
    const walsh_view *dx = &operand[WALSH_CONV_DATA_DX], *u = &operand[WALSH_CONV_DATA_U];
    const walsh_view *saved = &operand[WALSH_CONV_DATA_SAVED], *z = &operand[WALSH_CONV_DATA_Z];
    const walsh_view *partial = &operand[WALSH_CONV_DATA_PARTIAL];
    walsh_launch launch = launch_of(list, c, "conv_depthwise_data", walsh_bn_groups(c->n, c->h, c->w));
    return WALSH_LAUNCH(list, launch, WALSH_TENSOR(dy), WALSH_TENSOR(y), WALSH_TENSOR(factors), WALSH_TENSOR(w),
                        WALSH_TENSOR(dx), WALSH_TENSOR(u), WALSH_TENSOR(saved), WALSH_TENSOR(z), WALSH_TENSOR(partial),
                        WALSH_INT((c->fuse & WALSH_FUSE_NORM_GRADIENT) != 0), WALSH_INT(walsh_finish_of(c)),
                        WALSH_INT((c->fuse & WALSH_FUSE_ACCUMULATE) != 0), WALSH_INT(c->stride), WALSH_INT(c->n * c->h),
                        WALSH_INT(walsh_bn_group_lines(c->n, c->h, c->w)), WALSH_INT(walsh_pad(c->ic)), WALSH_INT(c->h),
                        WALSH_INT(c->w), WALSH_INT(walsh_conv_oh(c)), WALSH_INT(walsh_conv_ow(c)),
                        WALSH_INT(dy->shape.pitch), WALSH_INT(y->shape.pitch), WALSH_INT(factors->shape.pitch),
                        WALSH_INT(w->shape.pitch), WALSH_INT(dx->shape.pitch), WALSH_INT(u->shape.pitch),
                        WALSH_INT(saved->shape.pitch), WALSH_INT(z->shape.pitch), WALSH_INT(partial->shape.pitch));
}

static walsh_status filter_emit(walsh_list *list, const void *problem, const walsh_view *operand,
                                const walsh_view *workspace)
{
    const walsh_conv *c = problem;
    const walsh_view *x = &operand[WALSH_CONV_FILTER_X], *saved = &operand[WALSH_CONV_FILTER_SAVED];
    const walsh_view *dy = &operand[WALSH_CONV_FILTER_DY], *y = &operand[WALSH_CONV_FILTER_Y];
    const walsh_view *factors = &operand[WALSH_CONV_FILTER_FACTORS];
    int oh = walsh_conv_oh(c), ow = walsh_conv_ow(c);
    bool affine = c->fuse & WALSH_FUSE_AFFINE;
    walsh_launch launch = launch_of(list, c, "conv_depthwise_filter", walsh_filter_groups(c, 1));
    WALSH_TRY(WALSH_LAUNCH(list, launch, WALSH_TENSOR(x), WALSH_TENSOR(saved), WALSH_TENSOR(dy), WALSH_TENSOR(y),
                           WALSH_TENSOR(factors), WALSH_TENSOR(workspace), WALSH_INT(affine),
                           WALSH_INT(affine && !c->linear), WALSH_INT((c->fuse & WALSH_FUSE_NORM_GRADIENT) != 0),
                           WALSH_INT(c->stride), WALSH_INT(c->n * oh), WALSH_INT(walsh_filter_group_lines(c, 1)),
                           WALSH_INT(walsh_pad(c->ic)), WALSH_INT(c->h), WALSH_INT(c->w), WALSH_INT(oh), WALSH_INT(ow),
                           WALSH_INT(x->shape.pitch), WALSH_INT(saved->shape.pitch), WALSH_INT(dy->shape.pitch),
                           WALSH_INT(y->shape.pitch), WALSH_INT(factors->shape.pitch),
                           WALSH_INT(walsh_filter_width(walsh_list_device(list), c))));
    return walsh_filter_reduce(list, c, walsh_filter_groups(c, 1), workspace, &operand[WALSH_CONV_FILTER_DW]);
}

const walsh_variant walsh_conv_forward_depthwise = {.name = "conv_forward_depthwise",
                                                    .fuses = WALSH_FUSE_BIAS | WALSH_FUSE_AFFINE | WALSH_FUSE_STATS |
                                                             WALSH_FUSE_NORMALISE,
                                                    .suits = suits,
                                                    .emit = forward_emit};

const walsh_variant walsh_conv_data_depthwise = {.name = "conv_data_depthwise",
                                                 .fuses = WALSH_FUSE_ACCUMULATE | WALSH_FUSE_NORM_GRADIENT |
                                                          WALSH_FUSE_NORM_SUMS,
                                                 .suits = suits,
                                                 .emit = data_emit};

const walsh_variant walsh_conv_filter_depthwise = {.name = "conv_filter_depthwise",
                                                   .fuses = WALSH_FUSE_AFFINE | WALSH_FUSE_NORM_GRADIENT,
                                                   .suits = suits,
                                                   .workspace = walsh_filter_workspace,
                                                   .emit = filter_emit};
