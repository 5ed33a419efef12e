/* 2-D convolution (cross-correlation, as every framework has it), NHWC, zero padding, no bias: three operations.
 *
 * Shapes: X [n][h][w][ic], W [kh][kw][pad(ic)][oc], Y [n][oh][ow][oc]. */
#ifndef WALSH_ENGINE_OP_CONV_H
#define WALSH_ENGINE_OP_CONV_H

#include "engine/op/op.h"

typedef struct walsh_conv {
    unsigned fuse; /* WALSH_FUSE_*; first in every problem */
    int n, h, w;   /* images, and input pixels of one */
    int ic, oc;    /* input and output channels */
    int kh, kw;
    int stride, pad; /* the same in both directions */
} walsh_conv;

/* Output pixels: floor((h + 2 pad - kh) / stride) + 1. */
int walsh_conv_oh(const walsh_conv *c);
int walsh_conv_ow(const walsh_conv *c);

/* What the three directions share: the shapes of X, W and Y, or WALSH_E_ARGUMENT; and flops and least bytes. */
walsh_status walsh_conv_shapes(const walsh_conv *c, walsh_shape *x, walsh_shape *w, walsh_shape *y);
void walsh_conv_cost(const void *problem, double *flops, double *bytes);

/* The shape of SAVED and PARTIAL where the problem asks for them, else absent. */
walsh_shape walsh_conv_saved_shape(const walsh_conv *c);
walsh_shape walsh_conv_partial_shape(const walsh_conv *c);

/* Which of the plain kernels' tilings suits a device: a CPU whose vectors hold less than 16 floats (16 registers of 8
 * in AVX2), one with 32 registers of 16 floats (AVX-512), or anything else. */
typedef enum walsh_conv_class {
    WALSH_CONV_CPU,
    WALSH_CONV_WIDE_CPU,
    WALSH_CONV_GPU,
    WALSH_CONV_CLASSES
} walsh_conv_class;
walsh_conv_class walsh_conv_classify(const walsh_device *device);

/* Y = X * W. Extras that a variant may fuse:
 * WALSH_FUSE_AFFINE: X stands for relu(scale*X + shift), scale and shift being rows of SAVED [4][ic] (batchnorm.h);
 * zero padding pads that, so a pixel outside is 0 and not relu(shift). WALSH_FUSE_STATS: PARTIAL, as walsh_bn_stats
 * would compute it from Y. */
extern const walsh_op walsh_conv_forward;
enum {
    WALSH_CONV_FORWARD_X,
    WALSH_CONV_FORWARD_W,
    WALSH_CONV_FORWARD_Y,
    WALSH_CONV_FORWARD_SAVED,
    WALSH_CONV_FORWARD_PARTIAL,
    WALSH_CONV_FORWARD_OPERANDS
};

/* dX from dY and W: the gradient of the input (transposed convolution). With WALSH_FUSE_ACCUMULATE, dX += . */
extern const walsh_op walsh_conv_data;
enum { WALSH_CONV_DATA_DY, WALSH_CONV_DATA_W, WALSH_CONV_DATA_DX, WALSH_CONV_DATA_OPERANDS };

/* dW from X and dY: the gradient of the weights, summed over images and pixels. WALSH_FUSE_AFFINE as in the forward
 * direction. */
extern const walsh_op walsh_conv_filter;
enum {
    WALSH_CONV_FILTER_X,
    WALSH_CONV_FILTER_DY,
    WALSH_CONV_FILTER_DW,
    WALSH_CONV_FILTER_SAVED,
    WALSH_CONV_FILTER_OPERANDS
};

#endif
