/* Winograd's F(2x2, 3x3) for GPUs (cl/conv_winograd_2x2.cl): what conv_winograd.h answers with there, whose functions
 * these are. Smaller tiles than a CPU's: a work-group's planes must fit 32 KiB of local memory, and their sums its
 * registers. */
#ifndef WALSH_ENGINE_OP_CONV_WINOGRAD_2X2_H
#define WALSH_ENGINE_OP_CONV_WINOGRAD_2X2_H

#include "engine/op/conv_winograd.h"

/* 1 where the direct kernel suits: never chosen by rule, since it has been timed on no GPU, but taken where `walsh
 * tune` finds it faster. Refuses what the direct kernel refuses, so that it is no fallback either. */
int walsh_winograd_2x2_suits(const walsh_device *device, const walsh_conv *c, walsh_walk walk);

size_t walsh_winograd_2x2_bytes(const walsh_conv *c, walsh_walk walk);
walsh_status walsh_winograd_2x2_pack(walsh_list *list, const walsh_conv *c, const walsh_gather_weights *weights,
                                     const walsh_view *packed);
walsh_status walsh_winograd_2x2_emit(walsh_list *list, const walsh_conv *c, walsh_walk walk,
                                     const walsh_direct *operands);

#endif
