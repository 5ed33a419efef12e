/* Depthwise convolutions 3x3, padded by 1, stride 1 or 2: variants of the three directions (cl/conv_depthwise.cl), which
 * take all extras. */
#ifndef WALSH_ENGINE_OP_CONV_DEPTHWISE_H
#define WALSH_ENGINE_OP_CONV_DEPTHWISE_H

#include "engine/op/conv.h"

extern const walsh_variant walsh_conv_forward_depthwise;
extern const walsh_variant walsh_conv_data_depthwise;
extern const walsh_variant walsh_conv_filter_depthwise;

#endif
