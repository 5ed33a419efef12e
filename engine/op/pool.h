/* Pooling over windows of X [n][h][w][c]: maximum, average (zeros of the padding counted, as torchvision's models have
 * it), and the global average as the window that covers the image. */
#ifndef WALSH_ENGINE_OP_POOL_H
#define WALSH_ENGINE_OP_POOL_H

#include "engine/op/op.h"

typedef enum walsh_pool_kind { WALSH_POOL_MAX, WALSH_POOL_AVERAGE, WALSH_POOL_GLOBAL } walsh_pool_kind;

typedef struct walsh_pool {
    unsigned fuse;
    walsh_pool_kind kind;
    int n, h, w, c;
    int window, stride, pad; /* ignored for WALSH_POOL_GLOBAL; window <= 4096, pad <= window/2 */
    int scaled;              /* with WALSH_FUSE_NORM_SUMS */
} walsh_pool;

/* Output pixels: floor((h + 2 pad - window) / stride) + 1; 1 for the global average. */
int walsh_pool_oh(const walsh_pool *p);
int walsh_pool_ow(const walsh_pool *p);

/* The maximum of a window that holds NaN is NaN. WALSH_FUSE_AFFINE: X stands for relu(scale*X + shift), scale and shift
 * being rows of SAVED [4][c] (batchnorm.h). */
extern const walsh_op walsh_pool_forward;
enum { WALSH_POOL_FORWARD_X, WALSH_POOL_FORWARD_Y, WALSH_POOL_FORWARD_SAVED, WALSH_POOL_FORWARD_OPERANDS };

/* dX from dY. The maximum's gradient goes to the first largest element of each window in reading order (as PyTorch's; a
 * NaN is largest); X and Y are there for it alone (a variant may read but one). With WALSH_FUSE_ACCUMULATE, dX += .
 *
 * WALSH_FUSE_NORM_SUMS: X is relu(batchnorm(U)), and is absent, as is Y. Its gradient, masked by the ReLU, is what dX
 * becomes or is added, and goes into PARTIAL, as walsh_bn_backward_sums would compute it from that, U and SAVED. With
 * `scaled`, dX takes scale times it: U's gradient, but for what walsh_bn_backward_finalize gives as the rest of it. */
extern const walsh_op walsh_pool_backward;
enum {
    WALSH_POOL_BACKWARD_DY,
    WALSH_POOL_BACKWARD_X,
    WALSH_POOL_BACKWARD_Y,
    WALSH_POOL_BACKWARD_DX,
    WALSH_POOL_BACKWARD_U,     /* as X */
    WALSH_POOL_BACKWARD_SAVED, /* [4][c] */
    WALSH_POOL_BACKWARD_PARTIAL,
    WALSH_POOL_BACKWARD_OPERANDS
};

#endif
