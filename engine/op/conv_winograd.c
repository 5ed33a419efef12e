#include "engine/op/conv_winograd.h"

#include "engine/op/batchnorm.h"
#include "engine/op/conv_finish.h"

/* 128 KiB of input, 192 KiB of planes, and 72 KiB of products: too much for a worker's stack, whose size users limit. A
 * CPU's local memory is memory like any other; drivers offer as much of it as the second-level cache holds. */
#define PLANES_TEXT "49152"
#define TILES_TEXT "32"
enum {
    PLANES = 49152,  /* floats */
    TILES = 32,      /* at a time, at most */
    LEAST_TILES = 4, /* at a time; the weights, four times the filter's, come from memory for each few */
    PLANE_COUNT = 36,
    BLOCK = WALSH_PACKED_BLOCK
};
/* TB tiles' sums, as many broadcasts and a vector of weights fit the registers; TB divides the tiles that a group of
 * batch norm's lines has in most networks. */
#define OPTIONS(tb)                                                                                                    \
    "-DPREFETCH=1 -DVW=16 -DSHARED=__local -DSTAGED=" WALSH_STAGED_TEXT " -DPLANES=" PLANES_TEXT                       \
    " -DTILES=" TILES_TEXT " -DTB=" tb
static const char *const options[WALSH_TILES_KINDS] = {
    [WALSH_TILES_CPU] = OPTIONS("4"), [WALSH_TILES_WIDE_CPU] = OPTIONS("8"), [WALSH_TILES_GPU] = NULL};

/* Seen the way that it is walked: the image that is written, channels in and out. */
typedef struct passage {
    int in_h, in_w, h, w, in, out, shift;
} passage;

static passage passage_of(const walsh_conv *c, walsh_walk walk)
{
    int oh = walsh_conv_oh(c), ow = walsh_conv_ow(c), ic = walsh_pad(c->ic), oc = walsh_pad(c->oc);
    return walk == WALSH_WALK_BACK ? (passage){oh, ow, c->h, c->w, oc, ic, c->pad - 2}
                                   : (passage){c->h, c->w, oh, ow, ic, oc, -c->pad};
}

/* Tiles of which the planes have room; 0: not for one row of them. */
static int room_of(const passage *p)
{
    int across = walsh_divide_up(p->w, 4), tiles = (PLANES / PLANE_COUNT - BLOCK) / p->in;
    if (tiles > TILES) tiles = TILES;
    return tiles < across || 6 * (4 * across + 2) * p->in > WALSH_STAGED ? 0 : tiles;
}

bool walsh_winograd_pays(const walsh_device *device, const walsh_conv *c, int h, int w)
{
    if (walsh_tiles_are_gpu(device->tiles) || device->info.local_memory < WALSH_WINOGRAD_LOCAL_BYTES) return false;
    if (!walsh_conv_is_common(c) || c->kh != 3 || c->kw != 3 || c->stride != 1 || c->pad > 2) return false;
    return walsh_divide_up(h, 4) * walsh_divide_up(w, 4) * PLANE_COUNT <= 9 * h * w;
}

int walsh_winograd_suits(const walsh_device *device, const walsh_conv *c, walsh_walk walk)
{
    passage p = passage_of(c, walk);
    if (!walsh_winograd_pays(device, c, p.h, p.w) || p.in % BLOCK) return 0;
    return room_of(&p) < LEAST_TILES ? 0 : 4;
}

size_t walsh_winograd_bytes(const walsh_conv *c, walsh_walk walk)
{
    passage p = passage_of(c, walk);
    return sizeof(float) * PLANE_COUNT * (size_t)p.in * (size_t)(walsh_divide_up(p.out, BLOCK) * BLOCK);
}

walsh_status walsh_winograd_pack(walsh_list *list, const walsh_gather_weights *w, const walsh_view *packed)
{
    size_t quads = (size_t)(walsh_divide_up(w->out, BLOCK) * BLOCK / 4);
    walsh_launch launch = {.file = "conv_winograd",
                           .function = "conv_winograd_pack",
                           .options = options[walsh_list_device(list)->tiles],
                           .global = {quads, (size_t)w->in},
                           .local = {4, 4},
                           .flops = 4.0 * quads * w->in * 9 * 20,
                           .bytes = 4.0 * 4 * quads * w->in * (9 + PLANE_COUNT)};
    walsh_view from = *w->w;
    from.offset += (size_t)w->first;
    return WALSH_LAUNCH(list, launch, WALSH_TENSOR(&from), WALSH_TENSOR(packed), WALSH_INT(w->in), WALSH_INT(w->out),
                        WALSH_INT(w->by_tap), WALSH_INT(w->by_in), WALSH_INT(w->by_out));
}

walsh_status walsh_winograd_emit(walsh_list *list, const walsh_conv *c, walsh_walk walk, const walsh_direct *o)
{
    const passage p = passage_of(c, walk);
    int lines = c->n * p.h, group = walsh_bn_group_rows(c->n, p.h, p.w) / p.w, groups = walsh_divide_up(lines, group);
    const walsh_device *device = walsh_list_device(list);
    int blocks = walsh_divide_up(p.out, BLOCK), each = walsh_blocks_each(device, blocks, groups);
    walsh_launch launch = {.file = "conv_winograd",
                           .function = "conv_winograd",
                           .options = options[device->tiles],
                           .global = {(size_t)walsh_divide_up(blocks, each), (size_t)groups},
                           .local = {1, 1}};
    walsh_conv_cost(c, &launch.flops, &launch.bytes);
    return WALSH_LAUNCH(list, launch, WALSH_TENSOR(&o->x), WALSH_TENSOR(&o->with), WALSH_TENSOR(&o->rows),
                        WALSH_TENSOR(&o->packed), WALSH_TENSOR(&o->bias), WALSH_TENSOR(&o->y), WALSH_TENSOR(&o->u),
                        WALSH_TENSOR(&o->saved), WALSH_TENSOR(&o->z), WALSH_TENSOR(&o->partial),
                        WALSH_INT(walsh_stage_mode(c->fuse)), WALSH_INT(walsh_finish_of(c)),
                        WALSH_INT((c->fuse & WALSH_FUSE_BIAS) != 0), WALSH_INT((c->fuse & WALSH_FUSE_ACCUMULATE) != 0),
                        WALSH_INT(lines), WALSH_INT(group), WALSH_INT(room_of(&p)), WALSH_INT(each), WALSH_INT(p.in),
                        WALSH_INT(p.out), WALSH_INT(p.in_h), WALSH_INT(p.in_w), WALSH_INT(o->x.shape.pitch),
                        WALSH_INT(o->with.shape.pitch), WALSH_INT(o->rows.shape.pitch), WALSH_INT(p.h), WALSH_INT(p.w),
                        WALSH_INT(o->y.shape.pitch), WALSH_INT(o->u.shape.pitch), WALSH_INT(o->saved.shape.pitch),
                        WALSH_INT(o->z.shape.pitch), WALSH_INT(o->partial.shape.pitch), WALSH_INT(p.shift));
}
