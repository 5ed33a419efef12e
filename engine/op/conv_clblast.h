/* Convolutions as matrix products by CLBlast, a variant of each operation of conv.h: directly where the filter is 1x1
 * with stride 1 and no padding, else through im2col.h, a slice of the images at a time.
 *
 * On GPUs a tuned contender for every shape; on CPUs only one to compare with, chosen by no rule. */
#ifndef WALSH_ENGINE_OP_CONV_CLBLAST_H
#define WALSH_ENGINE_OP_CONV_CLBLAST_H

#include "engine/op/conv.h"

extern const walsh_variant walsh_conv_forward_clblast;
extern const walsh_variant walsh_conv_data_clblast; /* takes WALSH_FUSE_ACCUMULATE */
extern const walsh_variant walsh_conv_filter_clblast;

#endif
