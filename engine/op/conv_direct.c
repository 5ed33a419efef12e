#include "engine/op/conv_direct.h"

#include <stdio.h>

#include "engine/op/batchnorm.h"
#include "engine/op/conv_finish.h"

const walsh_packing walsh_direct_packing = {.block = WALSH_PACKED_BLOCK};

enum { LEAST_PIXELS = 32 }; /* of a strip; fewer do not pay */

/* AVX2: 6 pixels of 16 channels fill the registers (twelve sums, two weights, one input). AVX-512: 16 sums of its 32,
 * so that strips need more pixels for few of a last tile to be idle, and have twice the room: 272 KiB of second-level
 * caches of 1 MiB and more.
 * GPU: 32 tiles of 6 pixels, each by 4 vectors of 4 channels, which is what Intel's registers hold; 18 KiB of local
 * memory leave room for several groups. Others have room for two steps over the input channels at a time. */
#define CPU_STRIP(staged, least)                                                                                       \
    .floats = staged, .pixels = 512, .enough = least, .lanes = 1, .gap = 16, .gap_each = 512
#define CPU_OPTIONS "-DPREFETCH=1 -DVW=16 -DPIXELS=512 -DSTAGED="
#define WIDE_OPTIONS CPU_OPTIONS "69632 -DTX="
#define WIDE_STRIP CPU_STRIP(69632, 240)
#define GPU_STRIP                                                                                                      \
    .floats = 3200, .pixels = 192, .enough = 192, .lanes = 128, .local = 18 << 10, .slice = 16, .gap = 4,              \
    .gap_each = 16, .weights = 48
#define GPU_OPTIONS "-DLANES=128 -DACROSS=4 -DVW=4 -DTX=6 -DPIXELS=192 -DSTAGED=3200 -DWEIGHTS=768"
static const walsh_staging stagings[WALSH_TILES_KINDS] = {
    [WALSH_TILES_CPU] = {.options = CPU_OPTIONS WALSH_STAGED_TEXT " -DTX=6", CPU_STRIP(WALSH_STAGED, 96)},
    [WALSH_TILES_WIDE_CPU] = {.options = WIDE_OPTIONS "16", WIDE_STRIP},
    [WALSH_TILES_GPU] = {.options = GPU_OPTIONS, GPU_STRIP},
    [WALSH_TILES_AMD] = {.options = GPU_OPTIONS " -DQUADS=2", GPU_STRIP},
    [WALSH_TILES_NVIDIA] = {.options = GPU_OPTIONS " -DQUADS=2", GPU_STRIP},
};
/* AVX-512, lines of a multiple of 7 pixels, as those of most networks for ImageNet are: tiles with none idle. */
static const walsh_staging sevens = {.options = WIDE_OPTIONS "14", WIDE_STRIP};

walsh_passage walsh_passage_of(const walsh_conv *c, walsh_walk walk)
{
    int oh = walsh_conv_oh(c), ow = walsh_conv_ow(c), ic = walsh_pad(c->ic), oc = walsh_pad(c->oc);
    return walk == WALSH_WALK_BACK ? (walsh_passage){oh, ow, c->h, c->w, oc, ic, c->pad - c->kh + 1}
                                   : (walsh_passage){c->h, c->w, oh, ow, ic, oc, -c->pad};
}

static const walsh_staging *staging_of(const walsh_device *device, const walsh_conv *c, walsh_walk walk)
{
    if (device->tiles == WALSH_TILES_WIDE_CPU && walsh_passage_of(c, walk).w % 7 == 0) return &sevens;
    return WALSH_TILES_ENTRY(stagings, device->tiles);
}

int walsh_strip_skip(const walsh_conv *c)
{
    return c->kh <= 1 && c->kw <= 1 ? c->stride : 1;
}

int walsh_staged_channels(const walsh_staging *s, const walsh_conv *c, walsh_walk walk)
{
    bool few = s->lanes == 1 && walk == WALSH_WALK_FORWARD && c->ic < 4 && c->kw * c->ic >= 4;
    return few ? c->ic : walsh_passage_of(c, walk).in;
}

int walsh_direct_channels(const walsh_device *device, const walsh_conv *c, walsh_walk walk)
{
    return walsh_staged_channels(staging_of(device, c, walk), c, walk);
}

/* Inputs along one axis that `count` neighbouring outputs can read, wherever they begin. */
static long inputs(const walsh_conv *c, walsh_walk walk, int count, int taps)
{
    if (walk == WALSH_WALK_BACK) return (count - 1) / c->stride + (taps - 1) / c->stride + 2;
    return walsh_strip_skip(c) > 1 ? count : (long)(count - 1) * c->stride + taps;
}

/* Lines of a strip whose pixels take `pitch` floats each; 0: not even one fits. */
static int lines_of(const walsh_conv *c, walsh_walk walk, int group, int most, long room, int pitch)
{
    const walsh_passage p = walsh_passage_of(c, walk);
    int h = p.h, w = p.w;
    long line = inputs(c, walk, w, c->kw) * pitch;
    long images = room / line / inputs(c, walk, h, c->kh), lines = walsh_smaller(group, h);
    if ((long)h * w * images > most) images = most / h / w;
    if (images && group >= h) return h * walsh_divide_up(group / h, walsh_divide_up(group / h, (int)images));
    while (lines && (lines * w > most || inputs(c, walk, (int)lines, c->kh) * line > room)) lines--;
    return lines ? walsh_divide_up(walsh_smaller(group, h), walsh_divide_up(walsh_smaller(group, h), (int)lines)) : 0;
}

walsh_strip walsh_strip_of(const walsh_staging *s, const walsh_conv *c, walsh_walk walk, int group, int most)
{
    const walsh_passage p = walsh_passage_of(c, walk);
    int in = walsh_staged_channels(s, c, walk), slice = in, most_slice = s->slice;
    if (s->weights && c->kw > s->weights / 4) return (walsh_strip){0};
    if (s->weights) most_slice = walsh_smaller(most_slice, s->weights / c->kw / 4 * 4);
    if (most_slice && most_slice < in) slice = walsh_pad(walsh_divide_up(in, walsh_divide_up(in, most_slice)));
    int wanted = lines_of(c, walk, group, most, 1 << 30, slice);
    for (;; slice = walsh_pad(walsh_divide_up(slice, 2))) {
        walsh_strip strip = {.slice = slice, .pitch = slice + (s->gap_each && slice % s->gap_each == 0 ? s->gap : 0)};
        strip.lines = lines_of(c, walk, group, most, s->floats, strip.pitch);
        if (strip.lines >= wanted || strip.lines * p.w >= s->enough || slice <= 4) return strip;
    }
}

int walsh_strip_suits(const walsh_device *device, const walsh_staging *s, const walsh_strip *strip, int pixels)
{
    if (s->lanes > 1 && (device->info.local_memory < s->local || device->info.max_group < (size_t)s->lanes)) return 0;
    return !strip->lines ? 0 : (long)strip->lines * pixels < LEAST_PIXELS ? 1 : 3;
}

int walsh_blocks_each(const walsh_device *device, int blocks, int groups)
{
    if (walsh_tiles_are_gpu(device->tiles)) return 1;
    int wanted = walsh_divide_up(4 * (int)device->info.compute_units, groups);
    return wanted > 1 ? walsh_divide_up(blocks, wanted) : blocks;
}

/* Of groups of batch norm's lines, which are a work-item's each. */
static walsh_strip strip_of(const walsh_device *device, const walsh_conv *c, walsh_walk walk)
{
    const walsh_staging *s = staging_of(device, c, walk);
    const walsh_passage p = walsh_passage_of(c, walk);
    return walsh_strip_of(s, c, walk, walsh_bn_group_lines(c->n, p.h, p.w), s->pixels);
}

int walsh_direct_suits(const walsh_device *device, const walsh_conv *c, walsh_walk walk)
{
    const walsh_passage p = walsh_passage_of(c, walk);
    walsh_strip strip = strip_of(device, c, walk);
    bool whole = !walsh_tiles_are_gpu(device->tiles) && strip.slice >= walsh_direct_channels(device, c, walk);
    /* What is masked before it meets what was there cannot be written before: not by a GPU, which masks what it has
     * stored, nor slice by slice. */
    if (c->fuse & WALSH_FUSE_NORM_SUMS && c->gate == WALSH_GATE_SCALED && !whole) return 0;
    return walsh_strip_suits(device, staging_of(device, c, walk), &strip, p.w);
}

int walsh_stage_mode(unsigned fuse)
{
    if (fuse & WALSH_FUSE_NORM_GRADIENT) return WALSH_STAGE_NORM_GRADIENT;
    return fuse & WALSH_FUSE_AFFINE ? WALSH_STAGE_NORMALISED : WALSH_STAGE_AS_IT_IS;
}

walsh_status walsh_direct_emit(walsh_list *list, const walsh_conv *c, walsh_walk walk, const walsh_direct *o)
{
    const walsh_device *device = walsh_list_device(list);
    const walsh_staging *staging = staging_of(device, c, walk);
    const walsh_strip strip = strip_of(device, c, walk);
    bool back = walk == WALSH_WALK_BACK;
    const walsh_passage p = walsh_passage_of(c, walk);
    int lines = c->n * p.h, group = walsh_bn_group_lines(c->n, p.h, p.w), groups = walsh_divide_up(lines, group);
    int blocks = walsh_divide_up(p.out, walsh_direct_packing.block), each = walsh_blocks_each(device, blocks, groups);
    char options[160];
    snprintf(options, sizeof options, staging->lanes > 1 ? "%s -DMODE=%d -DEPILOGUE=%d" : "%s", staging->options,
             walsh_stage_mode(c->fuse), walsh_finish_of(c));
    walsh_launch launch = {.file = "conv_direct",
                           .function = "conv_direct",
                           .options = options,
                           .global = {(size_t)(staging->lanes * walsh_divide_up(blocks, each)), (size_t)groups},
                           .local = {(size_t)staging->lanes, 1}};
    walsh_conv_cost(c, &launch.flops, &launch.bytes);
    return WALSH_LAUNCH(
        list, launch, WALSH_TENSOR(&o->x), WALSH_TENSOR(&o->with), WALSH_TENSOR(&o->rows), WALSH_TENSOR(&o->packed),
        WALSH_TENSOR(&o->bias), WALSH_TENSOR(&o->y), WALSH_TENSOR(&o->u), WALSH_TENSOR(&o->saved), WALSH_TENSOR(&o->z),
        WALSH_TENSOR(&o->partial), WALSH_INT(walsh_stage_mode(c->fuse)), WALSH_INT(walsh_finish_of(c)),
        WALSH_INT((c->fuse & WALSH_FUSE_BIAS) != 0), WALSH_INT((c->fuse & WALSH_FUSE_ACCUMULATE) != 0),
        WALSH_INT(lines), WALSH_INT(group), WALSH_INT(strip.lines), WALSH_INT(each),
        WALSH_INT(walsh_staged_channels(staging, c, walk)), WALSH_INT(p.out),
        WALSH_INT(p.in_h), WALSH_INT(p.in_w), WALSH_INT(o->x.shape.pitch), WALSH_INT(o->with.shape.pitch),
        WALSH_INT(o->rows.shape.pitch), WALSH_INT(p.h), WALSH_INT(p.w), WALSH_INT(o->y.shape.pitch),
        WALSH_INT(o->u.shape.pitch), WALSH_INT(o->saved.shape.pitch), WALSH_INT(o->z.shape.pitch),
        WALSH_INT(o->partial.shape.pitch), WALSH_INT(c->kh), WALSH_INT(c->kw), WALSH_INT(back ? 1 : c->stride),
        WALSH_INT(back ? c->stride : 1), WALSH_INT(back ? c->pad : -c->pad), WALSH_INT(back),
        WALSH_INT(back ? 1 : walsh_strip_skip(c)), WALSH_INT(strip.slice), WALSH_INT(strip.pitch));
}
