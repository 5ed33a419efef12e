/* 3x3 convolutions of stride 1 by Winograd's minimal filtering. On CPUs a quarter of the multiplications, for an error
 * about ten times the direct kernels': forward and back by F(4x4, 3x3) (cl/conv_winograd.cl). On GPUs, 16 of 36: by
 * F(2x2, 3x3) (conv_winograd_2x2.h). */
#ifndef WALSH_ENGINE_OP_CONV_WINOGRAD_H
#define WALSH_ENGINE_OP_CONV_WINOGRAD_H

#include "engine/op/conv_direct.h"

/* Whether it is a convolution of that kind. */
bool walsh_winograd_takes(const walsh_conv *c);

/* Local memory that the largest of the CPU's kernels takes. */
#define WALSH_WINOGRAD_LOCAL_BYTES (430 << 10)

/* Whether tiles of 4x4 cover h x w pixels with fewer multiplications than direct kernels, in a convolution and on a
 * device that they can be had for. */
bool walsh_winograd_pays(const walsh_device *device, const walsh_conv *c, int h, int w);

/* walsh_variant.suits: 0 where it cannot, or with too few tiles at a time to be faster than direct kernels, else 4; on
 * GPUs, 1. */
int walsh_winograd_suits(const walsh_device *device, const walsh_conv *c, walsh_walk walk);

/* Bytes of workspace for the transformed weights; or, of many channels, for inputs and products of some tiles. */
size_t walsh_winograd_bytes(const walsh_device *device, const walsh_conv *c, walsh_walk walk);

/* Appends the launch that transforms the weights into the workspace, and those that convolve with `packed` ones; of
 * many channels the latter transform `weights` themselves, some at a time. */
walsh_status walsh_winograd_pack(walsh_list *list, const walsh_conv *c, walsh_walk walk,
                                 const walsh_gather_weights *weights, const walsh_view *packed);
walsh_status walsh_winograd_emit(walsh_list *list, const walsh_conv *c, walsh_walk walk,
                                 const walsh_gather_weights *weights, const walsh_direct *operands);

/* The gradient of the weights: on CPUs by F(3x3, 4x4) (cl/conv_filter_winograd.cl), on GPUs by F(3x3, 2x2)
 * (cl/conv_filter_winograd_2x2.cl). */
extern const walsh_variant walsh_conv_filter_winograd, walsh_conv_filter_winograd_2x2;

#endif
