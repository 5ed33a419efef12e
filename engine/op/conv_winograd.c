#include "engine/op/conv_winograd.h"

#include "engine/op/batchnorm.h"
#include "engine/op/conv_finish.h"
#include "engine/op/conv_winograd_2x2.h"

/* 128 KiB of input, 192 KiB of planes, and 72 KiB of products: too much for a worker's stack, whose size users limit. A
 * CPU's local memory is memory like any other; drivers offer as much of it as the second-level cache holds. */
#define PLANES_TEXT "49152"
#define TILES_TEXT "32"
enum {
    PLANES = 49152,  /* floats */
    TILES = 32,      /* at a time, at most */
    LEAST_TILES = 4, /* at a time; the weights, four times the filter's, come from memory for each few */
    SPARE = 4,       /* that a product of so many at a time reads past the last, at most */
    PLANE_COUNT = 36,
    BLOCK = WALSH_PACKED_BLOCK
};
/* Planes that are far: tiles of which there are some at a time, tiles of a convolution for which they pay (weights are
 * transformed once for each), what numbers of them are multiples of, and channels that are taken at a time. */
enum { FAR_TILES = 128, LEAST_FAR_TILES = 32, FAR_FEW = 4, FAR_SLICE = 64 };

/* The sums of MANY tiles, a vector of weights and a broadcast fit the registers. */
#define OPTIONS(many, more)                                                                                            \
    "-DPREFETCH=1 -DVW=16 -DSHARED=__local -DSTAGED=" WALSH_STAGED_TEXT " -DTILES=" TILES_TEXT " -DMANY=" many more
#define NEAR(many) OPTIONS(many, " -DPLANES=" PLANES_TEXT)
#define FAR(many) OPTIONS(many, " -DFAR=1")
static const char *const options[WALSH_TILES_KINDS][2] = {
    [WALSH_TILES_CPU] = {NEAR("6"), FAR("6")},
    [WALSH_TILES_WIDE_CPU] = {NEAR("8"), FAR("8")},
};

static int across(const walsh_passage *p)
{
    return walsh_divide_up(p->w, 4);
}

/* Tiles of which the planes have room beside the kernel, and SPARE ones behind the last; 0: not for one row of them. */
static int room_of(const walsh_passage *p)
{
    int tiles = ((PLANES - SPARE * p->in) / PLANE_COUNT - BLOCK) / p->in;
    if (tiles > TILES) tiles = TILES;
    return tiles < across(p) || 6 * (4 * across(p) + 2) * p->in > WALSH_STAGED ? 0 : tiles;
}

/* Groups of lines, and the tiles of one at most: lines of several images begin rows of tiles in each. */
typedef struct grouping {
    int lines, count, tiles;
    int at_once; /* groups whose planes are far at a time; 0: they are near */
} grouping;

static grouping grouping_of(const walsh_conv *c, const walsh_passage *p)
{
    int lines = walsh_bn_group_lines(c->n, p->h, p->w), rows = lines / 4 + (lines - 1) / p->h + 2;
    if (lines % p->h == 0) rows = lines / p->h * walsh_divide_up(p->h, 4);
    grouping g = {lines, walsh_divide_up(c->n * p->h, lines), rows * across(p), 0};
    if (room_of(p) >= LEAST_TILES) return g;
    g.at_once = walsh_smaller(g.count, g.tiles < FAR_TILES ? FAR_TILES / g.tiles : 1);
    return g;
}

bool walsh_winograd_takes(const walsh_conv *c)
{
    return walsh_conv_is_common(c) && c->kh == 3 && c->kw == 3 && c->stride == 1 && c->pad <= 2;
}

bool walsh_winograd_pays(const walsh_device *device, const walsh_conv *c, int h, int w)
{
    if (walsh_tiles_are_gpu(device->tiles) || device->info.local_memory < WALSH_WINOGRAD_LOCAL_BYTES) return false;
    return walsh_winograd_takes(c) && walsh_divide_up(h, 4) * walsh_divide_up(w, 4) * PLANE_COUNT <= 9 * h * w;
}

int walsh_winograd_suits(const walsh_device *device, const walsh_conv *c, walsh_walk walk)
{
    if (walsh_tiles_are_gpu(device->tiles)) return walsh_winograd_2x2_suits(device, c, walk);
    walsh_passage p = walsh_passage_of(c, walk);
    if (!walsh_winograd_pays(device, c, p.h, p.w) || p.in % BLOCK) return 0;
    if (room_of(&p) >= LEAST_TILES) return 4;
    bool fits = across(&p) <= TILES && 6 * (4 * across(&p) + 2) * FAR_SLICE <= WALSH_STAGED;
    return fits && c->n * walsh_divide_up(p.h, 4) * across(&p) >= LEAST_FAR_TILES ? 4 : 0;
}

/* Floats of the packed weights of so many input channels, or of the products of so many tiles. */
static size_t floats_out(const walsh_passage *p, int rows)
{
    return PLANE_COUNT * (size_t)rows * (size_t)(walsh_divide_up(p->out, BLOCK) * BLOCK);
}

/* What is far of so many groups: tiles, and floats of a slice's plane, which are no power of two, and of all planes. */
typedef struct far_planes {
    int tiles, plane;
    size_t floats;
} far_planes;

static far_planes far_of(const walsh_passage *p, const grouping *g, int groups)
{
    int tiles = walsh_divide_up(groups * g->tiles, FAR_FEW) * FAR_FEW, plane = tiles * FAR_SLICE + BLOCK;
    return (far_planes){tiles, plane, PLANE_COUNT * (size_t)plane * (size_t)walsh_divide_up(p->in, FAR_SLICE)};
}

size_t walsh_winograd_bytes(const walsh_device *device, const walsh_conv *c, walsh_walk walk)
{
    if (walsh_tiles_are_gpu(device->tiles)) return walsh_winograd_2x2_bytes(c, walk);
    walsh_passage p = walsh_passage_of(c, walk);
    grouping g = grouping_of(c, &p);
    if (!g.at_once) return sizeof(float) * floats_out(&p, p.in);
    far_planes far = far_of(&p, &g, g.at_once);
    return sizeof(float) * (far.floats + floats_out(&p, far.tiles));
}

walsh_status walsh_winograd_pack(walsh_list *list, const walsh_conv *c, walsh_walk walk, const walsh_gather_weights *w,
                                 const walsh_view *packed)
{
    if (walsh_tiles_are_gpu(walsh_list_device(list)->tiles)) return walsh_winograd_2x2_pack(list, c, w, packed);
    walsh_passage p = walsh_passage_of(c, walk);
    if (grouping_of(c, &p).at_once) return WALSH_OK;
    size_t blocks = (size_t)walsh_divide_up(w->out, BLOCK);
    walsh_launch launch = {.file = "conv_winograd",
                           .function = "conv_winograd_pack",
                           .options = options[walsh_list_device(list)->tiles][0],
                           .global = {(size_t)(w->in / BLOCK), blocks},
                           .local = {1, 1},
                           .flops = (double)BLOCK * (double)blocks * w->in * 9 * 20,
                           .bytes = 4.0 * BLOCK * (double)blocks * w->in * (9 + PLANE_COUNT)};
    walsh_view from = *w->w;
    from.offset += (size_t)w->first;
    return WALSH_LAUNCH(list, launch, WALSH_TENSOR(&from), WALSH_TENSOR(packed), WALSH_INT(w->in), WALSH_INT(w->out),
                        WALSH_INT(w->by_tap), WALSH_INT(w->by_in), WALSH_INT(w->by_out));
}

/* The planes of the `count` groups from `first` on. */
static walsh_status emit_planes(walsh_list *list, const walsh_conv *c, const walsh_passage *p, const grouping *g,
                                int first, int count, const walsh_direct *o, const walsh_view *planes)
{
    const far_planes far = far_of(p, g, count);
    walsh_launch launch = {.file = "conv_winograd",
                           .function = "conv_winograd_planes",
                           .options = options[walsh_list_device(list)->tiles][1],
                           .global = {(size_t)walsh_divide_up(p->in, FAR_SLICE), (size_t)count},
                           .local = {1, 1},
                           .flops = (double)count * g->tiles * p->in * 12 * 12,
                           .bytes = 4.0 * count * g->tiles * p->in * (16 + PLANE_COUNT)};
    return WALSH_LAUNCH(list, launch, WALSH_TENSOR(&o->x), WALSH_TENSOR(&o->with), WALSH_TENSOR(&o->rows),
                        WALSH_TENSOR(planes), WALSH_INT(walsh_stage_mode(c->fuse)), WALSH_INT(c->n * p->h),
                        WALSH_INT(g->lines), WALSH_INT(first), WALSH_INT(g->tiles), WALSH_INT(far.plane),
                        WALSH_INT(p->in), WALSH_INT(p->in_h), WALSH_INT(p->in_w), WALSH_INT(o->x.shape.pitch),
                        WALSH_INT(o->with.shape.pitch), WALSH_INT(o->rows.shape.pitch), WALSH_INT(p->h),
                        WALSH_INT(p->w), WALSH_INT(p->shift));
}

/* The products of the planes of `count` groups: a block of output channels is a work-item, or some where these would be
 * few, each of which transforms the weights. */
static walsh_status emit_products(walsh_list *list, const walsh_conv *c, const walsh_passage *p, const grouping *g,
                                  int count, const walsh_gather_weights *w, const walsh_view *planes,
                                  const walsh_view *products)
{
    const walsh_device *device = walsh_list_device(list);
    const far_planes far = far_of(p, g, count);
    int blocks = walsh_divide_up(p->out, BLOCK);
    int each = walsh_blocks_each(device, far.tiles / FAR_FEW, blocks) * FAR_FEW;
    if (each < LEAST_FAR_TILES) each = LEAST_FAR_TILES;
    walsh_launch launch = {.file = "conv_winograd",
                           .function = "conv_winograd_products",
                           .options = options[device->tiles][1],
                           .global = {(size_t)blocks, (size_t)walsh_divide_up(far.tiles, each)},
                           .local = {1, 1}};
    walsh_conv_cost(c, &launch.flops, &launch.bytes);
    launch.flops *= (double)count / g->count, launch.bytes *= (double)count / g->count;
    walsh_view from = *w->w;
    from.offset += (size_t)w->first;
    return WALSH_LAUNCH(list, launch, WALSH_TENSOR(&from), WALSH_TENSOR(planes), WALSH_TENSOR(products),
                        WALSH_INT(w->in), WALSH_INT(w->out), WALSH_INT(w->by_tap), WALSH_INT(w->by_in),
                        WALSH_INT(w->by_out), WALSH_INT(far.plane), WALSH_INT(far.tiles), WALSH_INT(each));
}

/* The outputs of the `count` groups from `first` on, from packed weights, or products. */
static walsh_status emit_groups(walsh_list *list, const walsh_conv *c, const walsh_passage *p, const grouping *g,
                                int first, int count, const walsh_direct *o, const walsh_view *packed)
{
    const walsh_device *device = walsh_list_device(list);
    int blocks = walsh_divide_up(p->out, BLOCK), each = walsh_blocks_each(device, blocks, count);
    walsh_launch launch = {.file = "conv_winograd",
                           .function = "conv_winograd",
                           .options = options[device->tiles][g->at_once > 0],
                           .global = {(size_t)walsh_divide_up(blocks, each), (size_t)count},
                           .local = {1, 1}};
    if (g->at_once) {
        double elements = (double)count * g->tiles * p->out;
        launch.flops = elements * 10 * 12, launch.bytes = 4 * elements * (PLANE_COUNT + 16);
    } else {
        walsh_conv_cost(c, &launch.flops, &launch.bytes);
    }
    return WALSH_LAUNCH(
        list, launch, WALSH_TENSOR(&o->x), WALSH_TENSOR(&o->with), WALSH_TENSOR(&o->rows), WALSH_TENSOR(packed),
        WALSH_TENSOR(&o->bias), WALSH_TENSOR(&o->y), WALSH_TENSOR(&o->u), WALSH_TENSOR(&o->saved), WALSH_TENSOR(&o->z),
        WALSH_TENSOR(&o->partial), WALSH_INT(walsh_stage_mode(c->fuse)), WALSH_INT(walsh_finish_of(c)),
        WALSH_INT((c->fuse & WALSH_FUSE_BIAS) != 0), WALSH_INT((c->fuse & WALSH_FUSE_ACCUMULATE) != 0),
        WALSH_INT(c->n * p->h), WALSH_INT(g->lines), WALSH_INT(g->at_once ? TILES : room_of(p)), WALSH_INT(each),
        WALSH_INT(p->in), WALSH_INT(p->out), WALSH_INT(p->in_h), WALSH_INT(p->in_w), WALSH_INT(o->x.shape.pitch),
        WALSH_INT(o->with.shape.pitch), WALSH_INT(o->rows.shape.pitch), WALSH_INT(p->h), WALSH_INT(p->w),
        WALSH_INT(o->y.shape.pitch), WALSH_INT(o->u.shape.pitch), WALSH_INT(o->saved.shape.pitch),
        WALSH_INT(o->z.shape.pitch), WALSH_INT(o->partial.shape.pitch), WALSH_INT(p->shift), WALSH_INT(first),
        WALSH_INT(g->tiles), WALSH_INT(far_of(p, g, count).tiles));
}

walsh_status walsh_winograd_emit(walsh_list *list, const walsh_conv *c, walsh_walk walk, const walsh_gather_weights *w,
                                 const walsh_direct *o)
{
    if (walsh_tiles_are_gpu(walsh_list_device(list)->tiles)) return walsh_winograd_2x2_emit(list, c, walk, o);
    const walsh_passage p = walsh_passage_of(c, walk);
    const grouping g = grouping_of(c, &p);
    if (!g.at_once) return emit_groups(list, c, &p, &g, 0, g.count, o, &o->packed);
    const walsh_view *planes = &o->packed;
    walsh_view products = *planes;
    products.offset += far_of(&p, &g, g.at_once).floats;
    for (int first = 0; first < g.count; first += g.at_once) {
        int count = walsh_smaller(g.at_once, g.count - first);
        WALSH_TRY(emit_planes(list, c, &p, &g, first, count, o, planes));
        WALSH_TRY(emit_products(list, c, &p, &g, count, w, planes, &products));
        WALSH_TRY(emit_groups(list, c, &p, &g, first, count, o, &products));
    }
    return WALSH_OK;
}
