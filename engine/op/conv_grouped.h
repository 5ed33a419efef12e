/* 1x1 convolutions by groups, stride 1, shuffled or not: variants of the three directions (cl/conv_grouped.cl), which
 * take all extras. */
#ifndef WALSH_ENGINE_OP_CONV_GROUPED_H
#define WALSH_ENGINE_OP_CONV_GROUPED_H

#include "engine/op/conv.h"

extern const walsh_variant walsh_conv_forward_grouped;
extern const walsh_variant walsh_conv_data_grouped;
extern const walsh_variant walsh_conv_filter_grouped;

#endif
