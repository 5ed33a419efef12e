#include "engine/op/conv_winograd_2x2.h"

#include <stdio.h>

#include "engine/op/batchnorm.h"
#include "engine/op/conv_finish.h"

enum {
    TILES = 32,   /* of 2x2 outputs, at a time */
    PIXELS = 256, /* of the input, that they read */
    PLANE_COUNT = 16,
    BLOCK = WALSH_PACKED_BLOCK,
    LOCAL_BYTES = 19 << 10
};

/* A lane has 4 tiles by 8 channels of a plane, which is what Intel's registers hold; others have room for 8 tiles. */
typedef struct layout {
    const char *options;
    int lanes; /* work-items of a work-group */
} layout;
static const layout layouts[WALSH_TILES_KINDS] = {
    [WALSH_TILES_GPU] = {"-DLANES=256 -DSET=4", 256},
    [WALSH_TILES_AMD] = {"-DLANES=128 -DSET=8", 128},
    [WALSH_TILES_NVIDIA] = {"-DLANES=128 -DSET=8", 128},
};

static const layout *layout_on(const walsh_list *list)
{
    return WALSH_TILES_ENTRY(layouts, walsh_list_device(list)->tiles);
}

/* The options of the program that both launches are from, in `text`. */
static const char *options_of(const layout *on, const walsh_conv *c, char text[static 64])
{
    snprintf(text, 64, "%s -DMODE=%d -DEPILOGUE=%d", on->options, walsh_stage_mode(c->fuse), walsh_finish_of(c));
    return text;
}

int walsh_winograd_2x2_suits(const walsh_device *device, const walsh_conv *c, walsh_walk walk)
{
    if (!walsh_winograd_takes(c) || device->info.local_memory < LOCAL_BYTES) return 0;
    if (device->info.max_group < (size_t)WALSH_TILES_ENTRY(layouts, device->tiles)->lanes) return 0;
    return walsh_direct_suits(device, c, walk) > 1;
}

size_t walsh_winograd_2x2_bytes(const walsh_conv *c, walsh_walk walk)
{
    walsh_passage p = walsh_passage_of(c, walk);
    return sizeof(float) * PLANE_COUNT * (size_t)p.in * (size_t)(walsh_divide_up(p.out, BLOCK) * BLOCK);
}

walsh_status walsh_winograd_2x2_pack(walsh_list *list, const walsh_conv *c, const walsh_gather_weights *w,
                                     const walsh_view *packed)
{
    char options[64];
    int quads = walsh_divide_up(w->out, BLOCK) * BLOCK / 4;
    walsh_launch launch = {.file = "conv_winograd_2x2",
                           .function = "conv_winograd_2x2_pack",
                           .options = options_of(layout_on(list), c, options),
                           .global = {(size_t)w->in, (size_t)quads},
                           .local = {64, 1},
                           .flops = 4.0 * quads * w->in * 7 * 5,
                           .bytes = 4.0 * 4 * quads * w->in * (9 + PLANE_COUNT)};
    walsh_view from = *w->w;
    from.offset += (size_t)w->first;
    return WALSH_LAUNCH(list, launch, WALSH_TENSOR(&from), WALSH_TENSOR(packed), WALSH_INT(w->in), WALSH_INT(w->out),
                        WALSH_INT(w->by_tap), WALSH_INT(w->by_in), WALSH_INT(w->by_out));
}

/* Columns of output that are taken at a time: an even share where a row of tiles, with its halo, has no room. */
static int columns(const walsh_passage *p)
{
    int across = walsh_divide_up(p->w, 2), most = walsh_smaller(TILES, PIXELS / 4 / 2 - 1);
    return 2 * walsh_divide_up(across, walsh_divide_up(across, most));
}

walsh_status walsh_winograd_2x2_emit(walsh_list *list, const walsh_conv *c, walsh_walk walk, const walsh_direct *o)
{
    const walsh_passage p = walsh_passage_of(c, walk);
    const int lines = c->n * p.h, group = walsh_bn_group_lines(c->n, p.h, p.w);
    const size_t lanes = (size_t)layout_on(list)->lanes;
    char options[64];
    walsh_launch launch = {
        .file = "conv_winograd_2x2",
        .function = "conv_winograd_2x2",
        .options = options_of(layout_on(list), c, options),
        .global = {lanes * (size_t)walsh_divide_up(p.out, BLOCK), (size_t)walsh_divide_up(lines, group)},
        .local = {lanes, 1}};
    walsh_conv_cost(c, &launch.flops, &launch.bytes);
    return WALSH_LAUNCH(list, launch, WALSH_TENSOR(&o->x), WALSH_TENSOR(&o->with), WALSH_TENSOR(&o->rows),
                        WALSH_TENSOR(&o->packed), WALSH_TENSOR(&o->bias), WALSH_TENSOR(&o->y), WALSH_TENSOR(&o->u),
                        WALSH_TENSOR(&o->saved), WALSH_TENSOR(&o->z), WALSH_TENSOR(&o->partial),
                        WALSH_INT(walsh_stage_mode(c->fuse)), WALSH_INT(walsh_finish_of(c)),
                        WALSH_INT((c->fuse & WALSH_FUSE_BIAS) != 0), WALSH_INT((c->fuse & WALSH_FUSE_ACCUMULATE) != 0),
                        WALSH_INT(lines), WALSH_INT(group), WALSH_INT(columns(&p)), WALSH_INT(p.in), WALSH_INT(p.out),
                        WALSH_INT(p.in_h), WALSH_INT(p.in_w), WALSH_INT(o->x.shape.pitch),
                        WALSH_INT(o->with.shape.pitch), WALSH_INT(o->rows.shape.pitch), WALSH_INT(p.h), WALSH_INT(p.w),
                        WALSH_INT(o->y.shape.pitch), WALSH_INT(o->u.shape.pitch), WALSH_INT(o->saved.shape.pitch),
                        WALSH_INT(o->z.shape.pitch), WALSH_INT(o->partial.shape.pitch), WALSH_INT(p.shift));
}
