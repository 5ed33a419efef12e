/* Convolution and its gradients as the sums are written in books, without extras. */
#ifndef WALSH_ENGINE_CHECK_REFERENCE_CONV_H
#define WALSH_ENGINE_CHECK_REFERENCE_CONV_H

#include "engine/op/conv.h"

typedef enum walsh_direction { WALSH_FORWARD, WALSH_DATA, WALSH_FILTER } walsh_direction;

/* Writes Y, X or W from the other two. W has `depth` rows of oc values a tap: ic/groups, or that with pad rows after
 * them, which are not read, and written as zeros. */
void walsh_reference_conv(walsh_direction direction, const walsh_conv *c, int depth, double *x, double *w, double *y);

#endif
