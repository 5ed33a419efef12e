#include "engine/op/conv_grouped.h"

#include "engine/op/batchnorm.h"
#include "engine/op/conv_filter.h"
#include "engine/op/conv_finish.h"

/* conv_grouped.cl's macros, and how much is staged at a time. */
typedef struct tiling {
    const char *options;
    int vector, rows, dealt, across; /* VW, TX, DEALT and ACROSS */
    int ins;                         /* rows of dW of a work-group; 0: all */
    int block;                       /* BLOCK */
    int staged, strip;               /* floats of STAGED that the forward direction uses, and rows at most */
    int filter_staged;               /* and the filter direction */
    int slice;                       /* channels staged at a time; 0: all */
    size_t local;                    /* bytes of local memory, about */
} tiling;

/* AVX2: 6 rows of 2 vectors fill the registers; 24 KiB are staged, which stay in the first cache, for dW more. A GPU's
 * work-group takes 64 rows of 16 channels. */
static const tiling tilings[WALSH_TILES_KINDS] = {
    [WALSH_TILES_CPU] = {"-DPREFETCH=1 -DVW=8 -DOV=2 -DTX=6 -DTI=5 -DSTAGED=12288", 8, 6, 1, 1, 0, 16, 6144, 96, 12288,
                         0, 0},
    [WALSH_TILES_WIDE_CPU] = {"-DPREFETCH=1 -DVW=8 -DOV=2 -DTX=8 -DTI=8 -DSTAGED=12288", 8, 8, 1, 1, 0, 16, 6144, 96,
                              12288, 0, 0},
    [WALSH_TILES_GPU] = {"-DLANES=64 -DACROSS=4 -DVW=4 -DOV=1 -DTX=4 -DTI=4 -DSTAGED=2560", 4, 4, 16, 4, 64, 16, 2560,
                         64, 2560, 32, 13 << 10},
};

static const tiling *tiling_of(const walsh_device *device)
{
    return WALSH_TILES_ENTRY(tilings, device->tiles);
}

typedef enum direction { FORWARD, DATA } direction;

static int in_each(const walsh_conv *c, direction d)
{
    return (d == DATA ? c->oc : c->ic) / walsh_conv_groups(c);
}
static int out_each(const walsh_conv *c, direction d)
{
    return (d == DATA ? c->ic : c->oc) / walsh_conv_groups(c);
}

/* Rows that are staged at a time: a multiple of a tile's. */
static int strip_rows(const tiling *t, const walsh_conv *c, direction d)
{
    int width = in_each(c, d), tile = t->rows * t->dealt;
    if (t->slice) width = walsh_smaller(width, t->slice);
    return walsh_smaller(t->strip, t->staged / width) / tile * tile;
}

/* Rows of X and of dY that are staged at a time for dW. */
static int filter_strip(const tiling *t, const walsh_conv *c)
{
    int ins = in_each(c, FORWARD), outs = out_each(c, FORWARD);
    if (t->ins) ins = walsh_smaller(ins, t->ins), outs = walsh_smaller(outs, t->block);
    return walsh_smaller(t->strip, (t->filter_staged - 4) / (ins + outs));
}

/* Vectors of channels must not leave their group, and be aligned but where a shuffle scatters them anyway. */
static int suits(const walsh_device *device, const walsh_conv *c, direction d)
{
    const tiling *t = tiling_of(device);
    int out = out_each(c, d);
    bool lies = out >= t->vector && (out % 4 == 0 || (d == DATA && c->shuffled));
    bool runs = t->dealt == 1 ||
                (device->info.local_memory >= t->local && device->info.max_group >= (size_t)(t->dealt * t->across));
    return c->groups > 1 && c->kh == 1 && c->kw == 1 && c->stride == 1 && !c->pad && lies && runs;
}

static int forward_suits(const walsh_device *device, const void *problem)
{
    return suits(device, problem, FORWARD) && strip_rows(tiling_of(device), problem, FORWARD) > 0 ? 3 : 0;
}

static int data_suits(const walsh_device *device, const void *problem)
{
    if (!walsh_finish_knows(problem)) return 0;
    return suits(device, problem, DATA) && strip_rows(tiling_of(device), problem, DATA) > 0 ? 3 : 0;
}

static int filter_suits(const walsh_device *device, const void *problem)
{
    return suits(device, problem, FORWARD) && filter_strip(tiling_of(device), problem) >= 8 ? 3 : 0;
}

/* Sets of vectors of a group's output channels. */
static int sets_of(const tiling *t, const walsh_conv *c, direction d)
{
    return walsh_divide_up(out_each(c, d), t->block);
}

static size_t workspace_bytes(const walsh_device *device, const walsh_conv *c, direction d)
{
    const tiling *t = tiling_of(device);
    return sizeof(float) * (size_t)(c->groups * sets_of(t, c, d)) * (size_t)in_each(c, d) * (size_t)t->block;
}

static size_t forward_workspace(const walsh_device *device, const void *problem)
{
    return workspace_bytes(device, problem, FORWARD);
}

static size_t data_workspace(const walsh_device *device, const void *problem)
{
    return workspace_bytes(device, problem, DATA);
}

static walsh_status pack(walsh_list *list, const walsh_conv *c, direction d, const walsh_view *w,
                         const walsh_view *packed)
{
    const tiling *t = tiling_of(walsh_list_device(list));
    int in = in_each(c, d), out = out_each(c, d), sets = sets_of(t, c, d), pitch = w->shape.pitch;
    walsh_launch launch = {
        .file = "conv_grouped",
        .function = "conv_grouped_pack",
        .options = t->options,
        .global = {(size_t)(t->block / t->vector), ((size_t)in + 15) / 16 * 16, (size_t)(c->groups * sets)},
        .local = {(size_t)(t->block / t->vector), 16, 1},
        .bytes = 8.0 * c->groups * sets * t->block * in};
    return WALSH_LAUNCH(list, launch, WALSH_TENSOR(w), WALSH_TENSOR(packed), WALSH_INT(in), WALSH_INT(out),
                        WALSH_INT(sets), WALSH_INT(c->oc / c->groups), WALSH_INT(d == DATA ? 1 : pitch),
                        WALSH_INT(d == DATA ? pitch : 1));
}

/* What both directions read and write: X and SAVED or dY, Y and FACTORS; what u, saved and z are, conv_grouped.cl says.
 */
typedef struct operands {
    const walsh_view *x, *with, *rows, *bias, *y, *u, *saved, *z, *partial;
} operands;

/* As the kernels number what a tensor stands for. */
enum { AS_IT_IS, NORMALISED, NORMALISED_RELU, NORM_GRADIENT };

static int x_mode(const walsh_conv *c)
{
    return !(c->fuse & WALSH_FUSE_AFFINE) ? AS_IT_IS : c->linear ? NORMALISED : NORMALISED_RELU;
}
static int dy_mode(const walsh_conv *c)
{
    return c->fuse & WALSH_FUSE_NORM_GRADIENT ? NORM_GRADIENT : AS_IT_IS;
}

static walsh_status emit(walsh_list *list, const walsh_conv *c, direction d, const operands *o,
                         const walsh_view *packed)
{
    const tiling *t = tiling_of(walsh_list_device(list));
    bool lanes = t->dealt > 1;
    int in = in_each(c, d), sets = sets_of(t, c, d);
    walsh_launch launch = {.file = "conv_grouped",
                           .function = "conv_grouped",
                           .options = t->options,
                           .global = {(size_t)(t->across * c->groups * (lanes ? sets : 1)),
                                      (size_t)(t->dealt * walsh_bn_groups(c->n, c->h, c->w))},
                           .local = {(size_t)t->across, (size_t)t->dealt}};
    walsh_conv_cost(c, &launch.flops, &launch.bytes);
    return WALSH_LAUNCH(
        list, launch, WALSH_TENSOR(o->x), WALSH_TENSOR(o->with), WALSH_TENSOR(o->rows), WALSH_TENSOR(packed),
        WALSH_TENSOR(o->bias), WALSH_TENSOR(o->y), WALSH_TENSOR(o->u), WALSH_TENSOR(o->saved), WALSH_TENSOR(o->z),
        WALSH_TENSOR(o->partial), WALSH_INT(d == DATA ? dy_mode(c) : x_mode(c)), WALSH_INT(walsh_finish_of(c)),
        WALSH_INT((c->fuse & WALSH_FUSE_BIAS) != 0), WALSH_INT((c->fuse & WALSH_FUSE_ACCUMULATE) != 0),
        WALSH_INT(c->n * c->h * c->w), WALSH_INT(walsh_bn_group_rows(c->n, c->h, c->w)), WALSH_INT(strip_rows(t, c, d)),
        WALSH_INT(c->groups), WALSH_INT(in), WALSH_INT(out_each(c, d)), WALSH_INT(d == FORWARD && c->shuffled),
        WALSH_INT(d == DATA && c->shuffled), WALSH_INT(t->slice ? walsh_smaller(t->slice, in) : in),
        WALSH_INT(o->x->shape.pitch), WALSH_INT(o->with->shape.pitch), WALSH_INT(o->rows->shape.pitch),
        WALSH_INT(o->y->shape.pitch), WALSH_INT(o->u->shape.pitch), WALSH_INT(o->saved->shape.pitch),
        WALSH_INT(o->z->shape.pitch), WALSH_INT(o->partial->shape.pitch));
}

static walsh_status forward_pack(walsh_list *list, const void *problem, const walsh_view *operand,
                                 const walsh_view *workspace)
{
    return pack(list, problem, FORWARD, &operand[WALSH_CONV_FORWARD_W], workspace);
}

static walsh_status forward_emit(walsh_list *list, const void *problem, const walsh_view *operand,
                                 const walsh_view *workspace)
{
    const operands o = {.x = &operand[WALSH_CONV_FORWARD_X],
                        .with = &operand[WALSH_CONV_FORWARD_X],
                        .rows = &operand[WALSH_CONV_FORWARD_SAVED],
                        .bias = &operand[WALSH_CONV_FORWARD_BIAS],
                        .y = &operand[WALSH_CONV_FORWARD_Y],
                        .u = &operand[WALSH_CONV_FORWARD_RES],
                        .saved = &operand[WALSH_CONV_FORWARD_Y_SAVED],
                        .z = &operand[WALSH_CONV_FORWARD_RES],
                        .partial = &operand[WALSH_CONV_FORWARD_PARTIAL]};
    WALSH_TRY(emit(list, problem, FORWARD, &o, workspace));
    return walsh_finish_statistics(list, problem, o.y, o.partial);
}

static walsh_status data_emit(walsh_list *list, const void *problem, const walsh_view *operand,
                              const walsh_view *workspace)
{
    const walsh_view none = {.shape = walsh_shape_absent};
    const operands o = {.x = &operand[WALSH_CONV_DATA_DY],
                        .with = &operand[WALSH_CONV_DATA_Y],
                        .rows = &operand[WALSH_CONV_DATA_FACTORS],
                        .bias = &none,
                        .y = &operand[WALSH_CONV_DATA_DX],
                        .u = &operand[WALSH_CONV_DATA_U],
                        .saved = &operand[WALSH_CONV_DATA_SAVED],
                        .z = &operand[WALSH_CONV_DATA_Z],
                        .partial = &operand[WALSH_CONV_DATA_PARTIAL]};
    WALSH_TRY(pack(list, problem, DATA, &operand[WALSH_CONV_DATA_W], workspace));
    return emit(list, problem, DATA, &o, workspace);
}

static walsh_status filter_emit(walsh_list *list, const void *problem, const walsh_view *operand,
                                const walsh_view *workspace)
{
    const walsh_conv *c = problem;
    const walsh_device *device = walsh_list_device(list);
    const tiling *t = tiling_of(device);
    const walsh_view *x = &operand[WALSH_CONV_FILTER_X], *saved = &operand[WALSH_CONV_FILTER_SAVED];
    const walsh_view *dy = &operand[WALSH_CONV_FILTER_DY], *y = &operand[WALSH_CONV_FILTER_Y];
    const walsh_view *factors = &operand[WALSH_CONV_FILTER_FACTORS];
    int in = in_each(c, FORWARD), parts = t->ins ? sets_of(t, c, FORWARD) * walsh_divide_up(in, t->ins) : 1;
    walsh_launch launch = {
        .file = "conv_grouped",
        .function = "conv_grouped_filter",
        .options = t->options,
        .global = {(size_t)(t->across * c->groups * parts), (size_t)(t->dealt * walsh_filter_groups(c, 1))},
        .local = {(size_t)t->across, (size_t)t->dealt}};
    walsh_conv_cost(c, &launch.flops, &launch.bytes);
    WALSH_TRY(WALSH_LAUNCH(
        list, launch, WALSH_TENSOR(x), WALSH_TENSOR(saved), WALSH_TENSOR(dy), WALSH_TENSOR(y), WALSH_TENSOR(factors),
        WALSH_TENSOR(workspace), WALSH_INT(x_mode(c)), WALSH_INT(dy_mode(c)), WALSH_INT(c->n * c->h * c->w),
        WALSH_INT(walsh_filter_group_lines(c, 1) * c->w), WALSH_INT(filter_strip(t, c)), WALSH_INT(c->groups),
        WALSH_INT(in), WALSH_INT(out_each(c, FORWARD)), WALSH_INT(c->shuffled), WALSH_INT(walsh_filter_rows(c)),
        WALSH_INT(walsh_filter_width(device, c)), WALSH_INT(x->shape.pitch), WALSH_INT(saved->shape.pitch),
        WALSH_INT(dy->shape.pitch), WALSH_INT(y->shape.pitch), WALSH_INT(factors->shape.pitch)));
    return walsh_filter_reduce(list, c, walsh_filter_groups(c, 1), workspace, &operand[WALSH_CONV_FILTER_DW]);
}

const walsh_variant walsh_conv_forward_grouped = {.name = "conv_forward_grouped",
                                                  .fuses = WALSH_FUSE_BIAS | WALSH_FUSE_AFFINE | WALSH_FUSE_STATS |
                                                           WALSH_FUSE_NORMALISE,
                                                  .suits = forward_suits,
                                                  .workspace = forward_workspace,
                                                  .emit = forward_emit,
                                                  .pack = forward_pack,
                                                  .packs = 1 << WALSH_CONV_FORWARD_W};

const walsh_variant walsh_conv_data_grouped = {.name = "conv_data_grouped",
                                               .fuses = WALSH_FUSE_ACCUMULATE | WALSH_FUSE_NORM_GRADIENT |
                                                        WALSH_FUSE_NORM_SUMS,
                                               .suits = data_suits,
                                               .workspace = data_workspace,
                                               .emit = data_emit};

const walsh_variant walsh_conv_filter_grouped = {.name = "conv_filter_grouped",
                                                 .fuses = WALSH_FUSE_AFFINE | WALSH_FUSE_NORM_GRADIENT,
                                                 .suits = filter_suits,
                                                 .workspace = walsh_filter_workspace,
                                                 .emit = filter_emit};
