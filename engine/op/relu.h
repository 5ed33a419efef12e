/* ReLU and its gradient, over any shape. */
#ifndef WALSH_ENGINE_OP_RELU_H
#define WALSH_ENGINE_OP_RELU_H

#include "engine/op/op.h"

typedef struct walsh_relu {
    unsigned fuse;
    int n, h, w, c;
} walsh_relu;

/* Y = max(0, X), NaN where X is NaN. Y may be X. */
extern const walsh_op walsh_relu_forward;
enum { WALSH_RELU_FORWARD_X, WALSH_RELU_FORWARD_Y, WALSH_RELU_FORWARD_OPERANDS };

/* dX = dY where Y > 0, else 0; where Y is NaN, dY. dX may be dY. */
extern const walsh_op walsh_relu_backward;
enum { WALSH_RELU_BACKWARD_DY, WALSH_RELU_BACKWARD_Y, WALSH_RELU_BACKWARD_DX, WALSH_RELU_BACKWARD_OPERANDS };

#endif
