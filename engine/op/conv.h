/* 2-D convolution (cross-correlation, as every framework has it), NHWC, zero padding: three operations.
 *
 * Shapes: X [n][h][w][ic], W [kh][kw][pad(ic)][oc], Y [n][oh][ow][oc].
 *
 * With groups, output channel o sums over the ic/groups input channels of group o / (oc/groups), and W is
 * [kh][kw][pad(ic/groups)][oc]; where each channel is a group of its own (depthwise), [kh][kw][1][oc]. */
#ifndef WALSH_ENGINE_OP_CONV_H
#define WALSH_ENGINE_OP_CONV_H

#include "engine/op/op.h"

/* Where WALSH_FUSE_NORM_SUMS finds what a ReLU let through; open: there is no ReLU. Scaled: dX goes through the batch
 * norm, too. */
enum { WALSH_GATE_COMPUTED, WALSH_GATE_STORED, WALSH_GATE_OPEN, WALSH_GATE_SCALED };

typedef struct walsh_conv {
    unsigned fuse; /* WALSH_FUSE_*; first in every problem */
    int n, h, w;   /* images, and input pixels of one */
    int ic, oc;    /* input and output channels */
    int kh, kw;
    int stride, pad; /* the same in both directions */
    int gate;        /* WALSH_GATE_*; with WALSH_FUSE_NORM_SUMS */
    int add, relu;   /* 0 or 1; with WALSH_FUSE_NORMALISE */
    int linear;      /* 1: no ReLU; with WALSH_FUSE_AFFINE */
    int groups;      /* 0, 1: one */
    int shuffled;    /* 1: X's channels are still in the order before a shuffle (Zhang et al., 2017): channel c of the
                        order that W knows is X's channel c % groups * (ic/groups) + c / groups */
} walsh_conv;

int walsh_conv_groups(const walsh_conv *c);

/* Whether each channel is a group. */
bool walsh_conv_is_depthwise(const walsh_conv *c);

/* Neither groups, shuffle nor a batch norm without ReLU before it: what every variant for one group knows. */
bool walsh_conv_is_common(const walsh_conv *c);

/* Output pixels: floor((h + 2 pad - kh) / stride) + 1. */
int walsh_conv_oh(const walsh_conv *c);
int walsh_conv_ow(const walsh_conv *c);

/* What the three directions share: the shapes of X, W and Y, or WALSH_E_ARGUMENT; and flops and least bytes. */
walsh_status walsh_conv_shapes(const walsh_conv *c, walsh_shape *x, walsh_shape *w, walsh_shape *y);
void walsh_conv_cost(const void *problem, double *flops, double *bytes);

/* The shapes of what extras add, absent where the problem does not ask for them: SAVED, Y_SAVED, FACTORS, and PARTIAL
 * of the forward direction (statistics of Y) or of data (sums over dX). */
walsh_shape walsh_conv_saved_shape(const walsh_conv *c);
walsh_shape walsh_conv_y_saved_shape(const walsh_conv *c);
walsh_shape walsh_conv_factors_shape(const walsh_conv *c);
walsh_shape walsh_conv_partial_shape(const walsh_conv *c);

/* Y = X * W. Extras that a variant may fuse:
 * WALSH_FUSE_BIAS: + BIAS [oc], before what else follows.
 * WALSH_FUSE_AFFINE: X stands for relu(scale*X + shift), or `linear` for scale*X + shift, the two being rows of SAVED
 * [4][ic] (batchnorm.h); zero padding pads that, so a pixel outside is 0 and not relu(shift). WALSH_FUSE_STATS:
 * PARTIAL, as walsh_bn_stats would compute it from Y. WALSH_FUSE_NORMALISE, not together with statistics: Y =
 * [relu](scale*(X*W) + shift [+ RES]), scale and shift being rows of Y_SAVED [4][oc]; pad lanes of these are zero. */
extern const walsh_op walsh_conv_forward;
enum {
    WALSH_CONV_FORWARD_X,
    WALSH_CONV_FORWARD_W,
    WALSH_CONV_FORWARD_Y,
    WALSH_CONV_FORWARD_SAVED,
    WALSH_CONV_FORWARD_PARTIAL,
    WALSH_CONV_FORWARD_Y_SAVED,
    WALSH_CONV_FORWARD_RES, /* as Y; absent unless `add` */
    WALSH_CONV_FORWARD_BIAS,
    WALSH_CONV_FORWARD_OPERANDS
};

/* dX from dY and W: the gradient of the input (transposed convolution). Extras that a variant may fuse:
 *
 * WALSH_FUSE_ACCUMULATE: dX += .
 *
 * WALSH_FUSE_NORM_GRADIENT: the operand DY holds G, the gradient of the output of the batch norm that reads Y; dY is
 * then scale*G - (offset + slope*(Y - mean)), from FACTORS [4][oc] (batchnorm.h), and stored nowhere. A pixel outside
 * the image is 0.
 *
 * WALSH_FUSE_NORM_SUMS: X is z = relu(batchnorm(U)) or z = relu(batchnorm(U) + something), or with the gate
 * WALSH_GATE_OPEN batchnorm(U), and nothing is masked. dX, after accumulation, is
 * masked by that ReLU before it is stored: kept where scale*U + shift > 0 (gate WALSH_GATE_COMPUTED, scale and shift
 * being rows of SAVED [4][ic]) or where Z > 0 (WALSH_GATE_STORED: z itself), else 0; NaN counts as > 0. PARTIAL, as
 * walsh_bn_backward_sums would compute it from the masked dX, U and SAVED. WALSH_GATE_SCALED masks as
 * WALSH_GATE_COMPUTED does, but before accumulation; what is stored in dX, or added to it, is scale times what is
 * summed up: U's gradient, but for what walsh_bn_backward_finalize gives as the rest of it. */
extern const walsh_op walsh_conv_data;
enum {
    WALSH_CONV_DATA_DY,
    WALSH_CONV_DATA_W,
    WALSH_CONV_DATA_DX,
    WALSH_CONV_DATA_Y,
    WALSH_CONV_DATA_FACTORS,
    WALSH_CONV_DATA_U, /* as X */
    WALSH_CONV_DATA_SAVED,
    WALSH_CONV_DATA_Z, /* as X; absent unless the gate is stored */
    WALSH_CONV_DATA_PARTIAL,
    WALSH_CONV_DATA_OPERANDS
};

/* dW from X and dY: the gradient of the weights, summed over images and pixels. WALSH_FUSE_AFFINE as in the forward
 * direction, WALSH_FUSE_NORM_GRADIENT as in data. */
extern const walsh_op walsh_conv_filter;
enum {
    WALSH_CONV_FILTER_X,
    WALSH_CONV_FILTER_DY,
    WALSH_CONV_FILTER_DW,
    WALSH_CONV_FILTER_SAVED,
    WALSH_CONV_FILTER_Y,
    WALSH_CONV_FILTER_FACTORS,
    WALSH_CONV_FILTER_OPERANDS
};

#endif
