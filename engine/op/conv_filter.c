#include "engine/op/conv_filter.h"

#include "engine/op/conv_clblast.h"
#include "engine/op/conv_depthwise.h"
#include "engine/op/conv_direct.h"
#include "engine/op/conv_grouped.h"
#include "engine/op/conv_groups.h"
#include "engine/op/conv_winograd.h"

/* Partial sums are cut into groups of rows of dY, by the sizes alone: enough to keep many work-items busy, and no more
 * partial sums than PARTIAL_FLOATS (where one group is not already more). */
enum { MAX_GROUPS = 64, PARTIAL_FLOATS = 1 << 20 };

/* Pixels of a strip of the direct kernel, and values of X: so few that a block of dY's channels and a tile's share of X
 * stay in the first cache, where pixels that are far apart take only some of the sets. A filter of one tap does too
 * little with a block for that: there the strip is in the second cache. The input channels that a work-item takes at
 * once leave so many pixels that fetching a tile's sums does not show. */
enum { STRIP_PIXELS = 128, STRIP_VALUES = 4096, SLICE = 64, SLICE_OF_ONE_TAP = 256 };
#define DIRECT(vectors)                                                                                                \
    {                                                                                                                  \
        .options = "-DPREFETCH=1 -DVW=16 -DTI=6 -DPIXELS=512 -DSTAGED=" WALSH_STAGED_TEXT " -DOV=" vectors,            \
        .floats = WALSH_STAGED, .pixels = 512, .enough = 1, .lanes = 1                                                 \
    }
/* A GPU's 3x3 taps of 16 input channels are 12 tiles of 12 rows of dW, by 4 vectors of 4 output channels. */
#define GPU_DIRECT                                                                                                     \
    {                                                                                                                  \
        .options = "-DLANES=64 -DACROSS=4 -DVW=4 -DOV=1 -DTI=12 -DPIXELS=64 -DSTAGED=2240", .floats = 2240,            \
        .pixels = 64, .enough = 64, .lanes = 64, .local = 14 << 10, .slice = 16                                        \
    }

/* How work is cut on a device; this does not change the order of any sum. */
typedef struct tiling {
    const char *options;  /* of conv_filter.cl */
    int vector, run;      /* VW, RUN */
    int block;            /* OV*VW output channels of a work-item */
    int span;             /* input channels of a work-item at most */
    int cached;           /* floats of X and dY that a work-item goes through again and again; 0: no limit */
    size_t local[2];      /* work-items of a work-group */
    walsh_staging direct; /* of conv_filter_direct.cl */
    int direct_block;     /* ACROSS*OV*VW output channels of its work-group */
} tiling;

static const tiling tilings[WALSH_TILES_KINDS] = {
    [WALSH_TILES_CPU] = {"-DVW=16 -DOV=1 -DRUN=16", 16, 16, 16, 64, 6144, {1, 1}, DIRECT("1"), 16},
    [WALSH_TILES_WIDE_CPU] = {"-DVW=16 -DOV=2 -DRUN=16", 16, 16, 32, 64, 6144, {1, 1}, DIRECT("2"), 32},
    [WALSH_TILES_GPU] = {"", 4, 1, 4, 4, 0, {16, 8}, GPU_DIRECT, 16},
};

static const tiling *tiling_of(const walsh_device *device, const walsh_conv *c)
{
    walsh_tiles tiles = device->tiles;
    if (tiles == WALSH_TILES_WIDE_CPU && c->oc <= 16) tiles = WALSH_TILES_CPU; /* half of a block would be idle */
    return WALSH_TILES_ENTRY(tilings, tiles);
}

static walsh_status shapes(const void *problem, walsh_shape *operand)
{
    const walsh_conv *c = problem;
    WALSH_TRY(walsh_conv_shapes(c, &operand[WALSH_CONV_FILTER_X], &operand[WALSH_CONV_FILTER_DW],
                                &operand[WALSH_CONV_FILTER_DY]));
    operand[WALSH_CONV_FILTER_SAVED] = walsh_conv_saved_shape(c);
    operand[WALSH_CONV_FILTER_Y] =
        c->fuse & WALSH_FUSE_NORM_GRADIENT ? operand[WALSH_CONV_FILTER_DY] : walsh_shape_absent;
    operand[WALSH_CONV_FILTER_FACTORS] = walsh_conv_factors_shape(c);
    return WALSH_OK;
}

static int plain_suits(const walsh_device *device, const void *problem)
{
    (void)device, (void)problem;
    return 2;
}

int walsh_filter_rows(const walsh_conv *c)
{
    return c->kh * c->kw * (walsh_conv_is_depthwise(c) ? 1 : walsh_pad(c->ic / walsh_conv_groups(c)));
}

int walsh_filter_group_lines(const walsh_conv *c, int least)
{
    size_t weights = (size_t)walsh_filter_rows(c) * (size_t)walsh_pad(c->oc);
    int rows = c->n * walsh_conv_oh(c), groups = weights < PARTIAL_FLOATS ? (int)(PARTIAL_FLOATS / weights) : 1;
    int each = walsh_divide_up(rows, walsh_smaller(groups, MAX_GROUPS)), image = walsh_conv_oh(c);
    if (each < least) each = least;
    return each > image ? walsh_divide_up(each, image) * image : each;
}

int walsh_filter_groups(const walsh_conv *c, int least)
{
    return walsh_divide_up(c->n * walsh_conv_oh(c), walsh_filter_group_lines(c, least));
}

int walsh_filter_width(const walsh_device *device, const walsh_conv *c)
{
    int block = tiling_of(device, c)->block;
    return walsh_divide_up(c->oc, block) * block;
}

size_t walsh_filter_workspace(const walsh_device *device, const void *problem)
{
    const walsh_conv *c = problem;
    return sizeof(float) * (size_t)walsh_filter_groups(c, 1) * (size_t)walsh_filter_rows(c) *
           (size_t)walsh_filter_width(device, c);
}

static walsh_status emit_partial(walsh_list *list, const walsh_conv *c, const walsh_view *x, const walsh_view *dy,
                                 const walsh_view *partial)
{
    const tiling *t = tiling_of(walsh_list_device(list), c);
    int ic = walsh_pad(c->ic), oc = walsh_pad(c->oc), oh = walsh_conv_oh(c), ow = walsh_conv_ow(c);
    int group = walsh_filter_group_lines(c, 1), span = walsh_smaller(ic, t->span), depth = group;
    if (t->cached) depth = walsh_smaller(group, 1 + t->cached / (ow * (span + t->block)));
    walsh_launch launch = {.file = "conv_filter",
                           .function = "conv_filter_plain",
                           .options = t->options,
                           .global = {(size_t)walsh_divide_up(oc, t->block),
                                      (size_t)(c->kh * c->kw * walsh_divide_up(ic, span)),
                                      (size_t)walsh_filter_groups(c, 1)},
                           .local = {t->local[0], t->local[1], 1}};
    walsh_conv_cost(c, &launch.flops, &launch.bytes);
    return WALSH_LAUNCH(list, launch, WALSH_TENSOR(x), WALSH_TENSOR(dy), WALSH_TENSOR(partial), WALSH_INT(c->n * oh),
                        WALSH_INT(group), WALSH_INT(depth), WALSH_INT(ic), WALSH_INT(oc), WALSH_INT(span),
                        WALSH_INT(c->h), WALSH_INT(c->w), WALSH_INT(x->shape.pitch), WALSH_INT(oh), WALSH_INT(ow),
                        WALSH_INT(dy->shape.pitch), WALSH_INT(c->kh), WALSH_INT(c->kw), WALSH_INT(c->stride),
                        WALSH_INT(c->pad));
}

walsh_status walsh_filter_reduce(walsh_list *list, const walsh_conv *c, int groups, const walsh_view *partial,
                                 const walsh_view *dw)
{
    const tiling *t = tiling_of(walsh_list_device(list), c);
    int oc = walsh_pad(c->oc), rows = walsh_filter_rows(c);
    int vectors = rows * walsh_filter_width(walsh_list_device(list), c) / t->vector;
    double elements = (double)rows * oc;
    walsh_launch launch = {.file = "conv_filter",
                           .function = "conv_filter_reduce",
                           .options = t->options,
                           .global = {(size_t)walsh_divide_up(vectors, t->run)},
                           .local = {t->run > 1 ? 1 : 64},
                           .flops = elements * groups,
                           .bytes = 4 * elements * (groups + 1)};
    return WALSH_LAUNCH(list, launch, WALSH_TENSOR(partial), WALSH_TENSOR(dw), WALSH_INT(groups), WALSH_INT(rows),
                        WALSH_INT(oc), WALSH_INT(dw->shape.pitch));
}

static walsh_strip strip_of(const walsh_staging *staging, const walsh_conv *c)
{
    if (staging->lanes > 1)
        return walsh_strip_of(staging, c, WALSH_WALK_FORWARD, walsh_filter_group_lines(c, 1), staging->pixels);
    bool one_tap = c->kh * c->kw == 1;
    walsh_staging sliced = *staging;
    sliced.slice = one_tap ? SLICE_OF_ONE_TAP : SLICE;
    sliced.gap = one_tap ? 16 : 0, sliced.gap_each = 16;
    int line = walsh_smaller(walsh_conv_ow(c), staging->pixels), slice = walsh_smaller(walsh_pad(c->ic), sliced.slice);
    int few = one_tap ? STRIP_PIXELS : walsh_smaller(STRIP_PIXELS, STRIP_VALUES / slice);
    return walsh_strip_of(&sliced, c, WALSH_WALK_FORWARD, walsh_filter_group_lines(c, 1), few > line ? few : line);
}

int walsh_filter_direct_suits(const walsh_device *device, const void *problem)
{
    const walsh_conv *c = problem;
    const walsh_staging *staging = &tiling_of(device, c)->direct;
    if (!walsh_conv_is_common(c)) return 0;
    walsh_strip strip = strip_of(staging, c);
    return walsh_strip_suits(device, staging, &strip, walsh_conv_ow(c));
}

static walsh_status emit_direct(walsh_list *list, const walsh_conv *c, const walsh_view *operand,
                                const walsh_view *partial)
{
    const walsh_device *device = walsh_list_device(list);
    const tiling *t = tiling_of(device, c);
    const walsh_view *x = &operand[WALSH_CONV_FILTER_X], *saved = &operand[WALSH_CONV_FILTER_SAVED];
    const walsh_view *dy = &operand[WALSH_CONV_FILTER_DY], *y = &operand[WALSH_CONV_FILTER_Y];
    const walsh_view *factors = &operand[WALSH_CONV_FILTER_FACTORS];
    int oh = walsh_conv_oh(c), ow = walsh_conv_ow(c);
    int mode = walsh_stage_mode(c->fuse & WALSH_FUSE_AFFINE);
    int dy_mode = c->fuse & WALSH_FUSE_NORM_GRADIENT ? WALSH_STAGE_NORM_GRADIENT : WALSH_STAGE_AS_IT_IS;
    const walsh_strip strip = strip_of(&t->direct, c);
    int blocks = walsh_divide_up(c->oc, t->direct_block), groups = walsh_filter_groups(c, 1);
    int slices = walsh_divide_up(walsh_staged_channels(&t->direct, c, WALSH_WALK_FORWARD), strip.slice);
    int each = walsh_blocks_each(device, blocks, groups * slices);
    size_t lanes = (size_t)t->direct.lanes;
    walsh_launch launch = {.file = "conv_filter_direct",
                           .function = "conv_filter_direct",
                           .options = t->direct.options,
                           .global = {lanes * (size_t)walsh_divide_up(blocks, each), (size_t)groups, (size_t)slices},
                           .local = {lanes, 1, 1}};
    walsh_conv_cost(c, &launch.flops, &launch.bytes);
    return WALSH_LAUNCH(list, launch, WALSH_TENSOR(x), WALSH_TENSOR(saved), WALSH_TENSOR(dy), WALSH_TENSOR(y),
                        WALSH_TENSOR(factors), WALSH_TENSOR(partial), WALSH_INT(mode), WALSH_INT(dy_mode),
                        WALSH_INT(c->n * oh), WALSH_INT(walsh_filter_group_lines(c, 1)), WALSH_INT(strip.lines),
                        WALSH_INT(each), WALSH_INT(walsh_pad(c->ic)), WALSH_INT(walsh_pad(c->oc)), WALSH_INT(c->h),
                        WALSH_INT(c->w), WALSH_INT(x->shape.pitch), WALSH_INT(saved->shape.pitch), WALSH_INT(oh),
                        WALSH_INT(ow), WALSH_INT(dy->shape.pitch), WALSH_INT(y->shape.pitch),
                        WALSH_INT(factors->shape.pitch), WALSH_INT(c->kh), WALSH_INT(c->kw), WALSH_INT(c->stride),
                        WALSH_INT(c->pad), WALSH_INT(walsh_strip_skip(c)), WALSH_INT(strip.slice),
                        WALSH_INT(strip.pitch - strip.slice));
}

static walsh_status direct_emit(walsh_list *list, const void *problem, const walsh_view *operand,
                                const walsh_view *workspace)
{
    WALSH_TRY(emit_direct(list, problem, operand, workspace));
    return walsh_filter_reduce(list, problem, walsh_filter_groups(problem, 1), workspace,
                               &operand[WALSH_CONV_FILTER_DW]);
}

static walsh_status plain_emit(walsh_list *list, const void *problem, const walsh_view *operand,
                               const walsh_view *workspace)
{
    if (!walsh_conv_is_common(problem)) return walsh_groups_filter(list, problem, operand);
    WALSH_TRY(emit_partial(list, problem, &operand[WALSH_CONV_FILTER_X], &operand[WALSH_CONV_FILTER_DY], workspace));
    return walsh_filter_reduce(list, problem, walsh_filter_groups(problem, 1), workspace,
                               &operand[WALSH_CONV_FILTER_DW]);
}

static const walsh_variant direct = {.name = "conv_filter_direct",
                                     .fuses = WALSH_FUSE_AFFINE | WALSH_FUSE_NORM_GRADIENT,
                                     .suits = walsh_filter_direct_suits,
                                     .workspace = walsh_filter_workspace,
                                     .emit = direct_emit};
static const walsh_variant plain = {
    .name = "conv_filter_plain", .suits = plain_suits, .workspace = walsh_filter_workspace, .emit = plain_emit};

const walsh_op walsh_conv_filter = {
    .name = "conv_filter",
    .problem_size = sizeof(walsh_conv),
    .operands = {{"x", WALSH_READ},
                 {"dy", WALSH_READ},
                 {"dw", WALSH_WRITE},
                 {"saved", WALSH_READ},
                 {"y", WALSH_READ},
                 {"factors", WALSH_READ}},
    .shapes = shapes,
    .cost = walsh_conv_cost,
    .variants = (const walsh_variant *const[]){&walsh_conv_filter_winograd, &direct, &walsh_conv_filter_winograd_2x2,
                                               &walsh_conv_filter_depthwise, &walsh_conv_filter_grouped,
                                               &walsh_conv_filter_clblast, &plain, NULL},
};
