/* The direct kernel that conv_forward and conv_data share on CPUs (cl/conv_direct.cl): a gather (conv_gather.h) from a
 * private copy of the input, with the extras that this makes possible. Weights are packed by walsh_gather_pack.
 *
 * An absent view of `saved` or `partial` says that the extra is not asked for; `partial` takes the groups of
 * walsh_bn_group_rows, and needs a gather that writes every pixel. */
#ifndef WALSH_ENGINE_OP_CONV_DIRECT_H
#define WALSH_ENGINE_OP_CONV_DIRECT_H

#include "engine/op/conv_gather.h"

/* Floats of the private copy, 128 KiB: on the worker's stack, and small beside a second-level cache. */
#define WALSH_STAGED 32768
#define WALSH_STAGED_TEXT "32768"

/* How input is staged: every skip-th pixel of it, of which neighbouring outputs are `step` apart, `cols` in a line. */
typedef struct walsh_staging {
    int skip, step, cols;
    int lines; /* of output at a time: an even share of those wanted; 0: not even one fits */
} walsh_staging;

/* For lines of `pixels` outputs with taps_h x taps_w taps each, of `in` channels; at most `lines` of them at a time. */
walsh_staging walsh_stage(int taps_h, int taps_w, int stride, int pixels, int in, int lines);

/* Blocks of channels of a work-item: all of them, so that its input is staged once, unless too few work-items would
 * remain beside the groups. This changes no sum. */
int walsh_blocks_each(const walsh_device *device, int blocks, int groups);

/* walsh_variant.suits on CPUs, beside a plain variant that answers 2: 0 where lines of input do not fit the private
 * copy; 1 where so few pixels are staged at a time that it does not pay. */
int walsh_staging_suits(const walsh_staging *s, int pixels);

/* The same for a gather, 0 on anything but a CPU. */
int walsh_direct_suits(const walsh_device *device, const walsh_gather *gather);

walsh_status walsh_direct_emit(walsh_list *list, const walsh_gather *gather, const walsh_view *x,
                               const walsh_view *packed, const walsh_view *y, const walsh_view *saved,
                               const walsh_view *partial);

#endif
