#include "engine/op/conv_filter.h"
#include "engine/op/conv_winograd.h"

#include <stdio.h>

/* Input channels of a work-group, and output channels where there are more than half as many; rows of tiles of 2x2
 * pixels of dY that it takes at a time, and tiles of a group of its lines, so many that transforming the sums does not
 * show. */
enum { ROWS = 16, BLOCK = 32, DEPTH = 4, GROUP_TILES = 64, PLANE_COUNT = 16, LOCAL_BYTES = 17 << 10 };

/* A lane has 4 input channels by 8 output channels of a plane, which is what Intel's registers hold; others have room
 * for 8 by 8. */
typedef struct layout {
    const char *options;
    int sums; /* of a lane */
} layout;
static const layout layouts[WALSH_TILES_KINDS] = {
    [WALSH_TILES_GPU] = {"-DSET=4", 4 * 8},
    [WALSH_TILES_AMD] = {"-DSET=8", 8 * 8},
    [WALSH_TILES_NVIDIA] = {"-DSET=8", 8 * 8},
};

/* Output channels of a work-group, and its work-items. */
static int block_of(const walsh_conv *c)
{
    return c->oc <= BLOCK / 2 ? BLOCK / 2 : BLOCK; /* half of its lanes would be idle */
}
static int lanes_of(const walsh_device *device, const walsh_conv *c)
{
    return PLANE_COUNT * ROWS * block_of(c) / WALSH_TILES_ENTRY(layouts, device->tiles)->sums;
}

static int least_lines(const walsh_conv *c)
{
    int rows = walsh_divide_up(GROUP_TILES, walsh_divide_up(walsh_conv_ow(c), 2));
    return 2 * walsh_divide_up(rows, DEPTH) * DEPTH;
}

/* 1 where the direct kernel suits, which comes before it: never chosen by rule, since it has been timed on no GPU, but
 * taken where `walsh tune` finds it faster. */
static int suits(const walsh_device *device, const void *problem)
{
    if (!walsh_tiles_are_gpu(device->tiles) || !walsh_winograd_takes(problem)) return 0;
    if (device->info.local_memory < LOCAL_BYTES) return 0;
    if (device->info.max_group < (size_t)lanes_of(device, problem)) return 0;
    return walsh_filter_direct_suits(device, problem) > 0;
}

static walsh_status emit(walsh_list *list, const void *problem, const walsh_view *operand, const walsh_view *partial)
{
    const walsh_conv *c = problem;
    const walsh_view *x = &operand[WALSH_CONV_FILTER_X], *saved = &operand[WALSH_CONV_FILTER_SAVED];
    const walsh_view *dy = &operand[WALSH_CONV_FILTER_DY], *y = &operand[WALSH_CONV_FILTER_Y];
    const walsh_view *factors = &operand[WALSH_CONV_FILTER_FACTORS];
    const walsh_device *device = walsh_list_device(list);
    int oh = walsh_conv_oh(c), ow = walsh_conv_ow(c), ic = walsh_pad(c->ic), width = walsh_filter_width(device, c);
    int mode = walsh_stage_mode(c->fuse & WALSH_FUSE_AFFINE), least = least_lines(c);
    int dy_mode = walsh_stage_mode(c->fuse & WALSH_FUSE_NORM_GRADIENT), groups = walsh_filter_groups(c, least);
    int block = block_of(c), lanes = lanes_of(device, c);
    char options[96];
    snprintf(options, sizeof options, "%s -DLANES=%d -DACROSS=%d -DMODE=%d -DDY_MODE=%d",
             WALSH_TILES_ENTRY(layouts, device->tiles)->options, lanes, block / 4, mode, dy_mode);
    walsh_launch launch = {
        .file = "conv_filter_winograd_2x2",
        .function = "conv_filter_winograd_2x2",
        .options = options,
        .global = {(size_t)(lanes * walsh_divide_up(c->oc, block)), (size_t)groups, (size_t)walsh_divide_up(ic, ROWS)},
        .local = {(size_t)lanes, 1, 1}};
    walsh_conv_cost(c, &launch.flops, &launch.bytes);
    WALSH_TRY(WALSH_LAUNCH(list, launch, WALSH_TENSOR(x), WALSH_TENSOR(saved), WALSH_TENSOR(dy), WALSH_TENSOR(y),
                           WALSH_TENSOR(factors), WALSH_TENSOR(partial), WALSH_INT(mode), WALSH_INT(dy_mode),
                           WALSH_INT(c->n * oh), WALSH_INT(walsh_filter_group_lines(c, least)), WALSH_INT(ic),
                           WALSH_INT(walsh_pad(c->oc)), WALSH_INT(width), WALSH_INT(c->h), WALSH_INT(c->w),
                           WALSH_INT(x->shape.pitch), WALSH_INT(saved->shape.pitch), WALSH_INT(oh), WALSH_INT(ow),
                           WALSH_INT(dy->shape.pitch), WALSH_INT(y->shape.pitch), WALSH_INT(factors->shape.pitch),
                           WALSH_INT(c->pad)));
    return walsh_filter_reduce(list, c, groups, partial, &operand[WALSH_CONV_FILTER_DW]);
}

const walsh_variant walsh_conv_filter_winograd_2x2 = {.name = "conv_filter_winograd_2x2",
                                                      .fuses = WALSH_FUSE_AFFINE | WALSH_FUSE_NORM_GRADIENT,
                                                      .approximate = true,
                                                      .suits = suits,
                                                      .workspace = walsh_filter_workspace,
                                                      .emit = emit};
