/* The direct kernel that conv_forward and conv_data share on CPUs (cl/conv_direct.cl): a gather (conv_gather.h) from a
 * private copy of the input, with the extras that this makes possible. Weights are packed by walsh_gather_pack.
 *
 * An absent view of `saved` or `partial` says that the extra is not asked for; `partial` takes the groups of
 * walsh_bn_group_rows, and a gather that writes every pixel. */
#ifndef WALSH_ENGINE_OP_CONV_DIRECT_H
#define WALSH_ENGINE_OP_CONV_DIRECT_H

#include "engine/op/conv_gather.h"

/* walsh_variant.suits beside a plain variant that answers 2: 0 on anything but a CPU, and where lines of input do not fit
 * the private copy; 1 where so few pixels are staged at a time that tiles stay half empty. */
int walsh_direct_suits(const walsh_device *device, const walsh_gather *gather);

walsh_status walsh_direct_emit(walsh_list *list, const walsh_gather *gather, const walsh_view *x,
                               const walsh_view *packed, const walsh_view *y, const walsh_view *saved,
                               const walsh_view *partial);

#endif
