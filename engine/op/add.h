/* Sum of two tensors, with an optional ReLU: the residual connection, and the pass that adds what a variant cannot
 * accumulate. Y may be A or B. */
#ifndef WALSH_ENGINE_OP_ADD_H
#define WALSH_ENGINE_OP_ADD_H

#include "engine/op/op.h"

typedef struct walsh_add_problem {
    unsigned fuse;
    int n, h, w, c;
    int relu; /* Y = max(0, A + B) */
} walsh_add_problem;

extern const walsh_op walsh_add;
enum { WALSH_ADD_A, WALSH_ADD_B, WALSH_ADD_Y, WALSH_ADD_OPERANDS };

#endif
