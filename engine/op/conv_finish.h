/* What follows the sums in cl/conv_direct.cl, cl/conv_depthwise.cl and cl/conv_grouped.cl. */
#ifndef WALSH_ENGINE_OP_CONV_FINISH_H
#define WALSH_ENGINE_OP_CONV_FINISH_H

#include "engine/op/conv.h"

/* Whether the latter two do: all but WALSH_GATE_SCALED. */
bool walsh_finish_knows(const walsh_conv *c);

/* By the number of cl/conv_epilogue.clh. */
int walsh_finish_of(const walsh_conv *c);

/* Where work-items share a group's rows: the statistics of Y, if they are asked for, as a launch of their own. */
walsh_status walsh_finish_statistics(walsh_list *list, const walsh_conv *c, const walsh_view *y,
                                     const walsh_view *partial);

#endif
