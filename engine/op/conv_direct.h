/* The direct kernels: cl/conv_direct.cl, which conv_forward and conv_data share, and what conv_filter_direct.cl has in
 * common with it. Each works on a strip: some lines of output, whose input is staged in a CPU's private memory or a
 * GPU's local memory, where what a tensor stands for is computed (engine/op/conv.h). */
#ifndef WALSH_ENGINE_OP_CONV_DIRECT_H
#define WALSH_ENGINE_OP_CONV_DIRECT_H

#include "engine/op/conv_gather.h"

/* Floats of a CPU's copy, 128 KiB: on the worker's stack, and small beside a second-level cache. */
#define WALSH_STAGED 32768
#define WALSH_STAGED_TEXT "32768"

/* How a tensor is staged; the numbers of conv_stage.clh. */
enum { WALSH_STAGE_AS_IT_IS, WALSH_STAGE_NORMALISED, WALSH_STAGE_NORM_GRADIENT };
int walsh_stage_mode(unsigned fuse);

/* Which way a convolution is walked: from X to Y (forward; filter, too), or from dY to dX. */
typedef enum walsh_walk { WALSH_WALK_FORWARD, WALSH_WALK_BACK } walsh_walk;

/* Seen the way that it is walked: the image that is read and the one that is written, channels in and out, padded; and
 * the first input that output 0 reads, where the stride is 1. */
typedef struct walsh_passage {
    int in_h, in_w, h, w, in, out, shift;
} walsh_passage;
walsh_passage walsh_passage_of(const walsh_conv *c, walsh_walk walk);

/* A kernel's options, and what follows from them. */
typedef struct walsh_staging {
    const char *options;
    int floats, pixels; /* STAGED and PIXELS */
    int enough;         /* pixels of a strip for which a thinner slice is not taken */
    int lanes;          /* LANES: work-items of a work-group */
    size_t local;       /* bytes of local memory, about */
    int slice;          /* most input channels staged at a time; 0: all of them where enough pixels fit */
    int gap, gap_each; /* floats after a pixel of n*gap_each channels: neighbours are in other banks or sets of lines */
    int weights;       /* most input channels of a line of taps whose weights are staged; 0: they are not */
} walsh_staging;

typedef struct walsh_strip {
    int lines;        /* of output, within an image or a whole number of images; 0: not even one fits */
    int slice, pitch; /* input channels staged at a time, and floats from pixel to pixel */
} walsh_strip;

/* Input channels that are staged, and walked through: padded ones, but on CPUs of images as many as there are, 1 to 3,
 * where a line of taps has 4 or more: a quarter less to do for colours. */
int walsh_staged_channels(const walsh_staging *s, const walsh_conv *c, walsh_walk walk);

/* As many lines as fit, not more than `most` pixels: an even share of a group of `group` lines. Where input channels
 * are staged in slices, so few of them that they do not limit the strip more than it can bear. */
walsh_strip walsh_strip_of(const walsh_staging *s, const walsh_conv *c, walsh_walk walk, int group, int most);

/* Every which pixel of the input is staged: with taps that are apart, those between are never read. */
int walsh_strip_skip(const walsh_conv *c);

/* walsh_variant.suits for such a strip of lines of `pixels` each, beside a plain variant that answers 2: 0 where
 * nothing fits, 1 where so few pixels are staged at a time that it does not pay, else 3. */
int walsh_strip_suits(const walsh_device *device, const walsh_staging *s, const walsh_strip *strip, int pixels);

/* Blocks of channels of a work-group: on CPUs all of them, so that its input is staged once, unless too few would
 * remain beside the groups of lines; on GPUs one. This changes no sum. */
int walsh_blocks_each(const walsh_device *device, int blocks, int groups);

/* The operands of conv_direct. Only those that the problem's extras name are not absent; FORWARD or BACK, `x` is read
 * and `y` written. */
typedef struct walsh_direct {
    walsh_view x, with, rows; /* X and SAVED; or dY, Y and FACTORS */
    walsh_view bias;          /* of WALSH_FUSE_BIAS */
    walsh_view packed, y;     /* weights, by walsh_gather_pack with walsh_direct_packing */
    walsh_view u, saved, z;   /* of WALSH_FUSE_NORM_SUMS; the latter two of WALSH_FUSE_NORMALISE: Y_SAVED and RES */
    walsh_view partial;       /* of WALSH_FUSE_STATS or WALSH_FUSE_NORM_SUMS */
} walsh_direct;

extern const walsh_packing walsh_direct_packing;

/* Input channels of the weights that conv_direct reads. */
int walsh_direct_channels(const walsh_device *device, const walsh_conv *c, walsh_walk walk);

/* walsh_variant.suits: as walsh_strip_suits. */
int walsh_direct_suits(const walsh_device *device, const walsh_conv *c, walsh_walk walk);

walsh_status walsh_direct_emit(walsh_list *list, const walsh_conv *c, walsh_walk walk, const walsh_direct *operands);

#endif
