/* Convolutions by groups in their plain form (cl/conv_groups.cl): the launches of the plain variants where a problem is
 * not walsh_conv_is_common. Forward takes WALSH_FUSE_BIAS, data WALSH_FUSE_ACCUMULATE. */
#ifndef WALSH_ENGINE_OP_CONV_GROUPS_H
#define WALSH_ENGINE_OP_CONV_GROUPS_H

#include "engine/op/conv.h"

walsh_status walsh_groups_forward(walsh_list *list, const walsh_conv *c, const walsh_view *operand);
walsh_status walsh_groups_data(walsh_list *list, const walsh_conv *c, const walsh_view *operand);
walsh_status walsh_groups_filter(walsh_list *list, const walsh_conv *c, const walsh_view *operand);

#endif
