/* What the filter direction's variants share: partial sums of groups of lines of dY, and the launch that adds them up
 * in order. */
#ifndef WALSH_ENGINE_OP_CONV_FILTER_H
#define WALSH_ENGINE_OP_CONV_FILTER_H

#include "engine/op/conv.h"

/* Lines of dY (n*oh of them) in a group of `least` lines or more, and groups, by the sizes alone; whole images where it
 * is more than one. */
int walsh_filter_group_lines(const walsh_conv *c, int least);
int walsh_filter_groups(const walsh_conv *c, int least);

/* Rows of dW, and of a group's partial sums: one for each tap and input channel. */
int walsh_filter_rows(const walsh_conv *c);

/* Floats of such a row: whole blocks of output channels. */
int walsh_filter_width(const walsh_device *device, const walsh_conv *c);

/* walsh_variant.workspace: partial sums [groups][rows][width], of groups of any size. */
size_t walsh_filter_workspace(const walsh_device *device, const void *problem);

/* walsh_variant.suits of the direct variant. */
int walsh_filter_direct_suits(const walsh_device *device, const void *problem);

/* dW = sum over the groups. */
walsh_status walsh_filter_reduce(walsh_list *list, const walsh_conv *c, int groups, const walsh_view *partial,
                                 const walsh_view *dw);

#endif
