/* Batch normalisation (Ioffe and Szegedy, 2015) over the rows of X [n][h][w][c], in the passes that a plan can fuse.
 *
 * Training, forward: bn_stats -> bn_finalize -> bn_apply; evaluation: bn_eval -> bn_apply; backward: bn_backward_sums
 * -> bn_backward_finalize -> bn_backward_apply. Statistics are never E[x^2] - E[x]^2: each group of rows gives its mean
 * and its sum of squared deviations, and groups are merged in a fixed order (Chan, Golub, LeVeque, 1983). */
#ifndef WALSH_ENGINE_OP_BATCHNORM_H
#define WALSH_ENGINE_OP_BATCHNORM_H

#include "engine/op/op.h"

/* eps and the momentum of the running statistics: interface.md's, the same for every network. */
#define WALSH_BN_EPSILON 1e-5f
#define WALSH_BN_MOMENTUM 0.1f

/* What the later passes need, [4][c]: rows mean, 1/sqrt(var + eps), scale = gamma/sqrt(var + eps),
 * shift = beta - mean*scale. Matrix of 4 rows. */
enum { WALSH_BN_MEAN, WALSH_BN_INVSTD, WALSH_BN_SCALE, WALSH_BN_SHIFT, WALSH_BN_SAVED_ROWS };

/* What turns a gradient of the output into one of the input, [4][c]: dX = scale*g - (offset + slope*(X - mean)), with
 * offset = scale*dBETA/rows and slope = scale*invstd*dGAMMA/rows. Matrix of 4 rows. */
enum {
    WALSH_BN_FACTOR_MEAN,
    WALSH_BN_FACTOR_SCALE,
    WALSH_BN_FACTOR_OFFSET,
    WALSH_BN_FACTOR_SLOPE,
    WALSH_BN_FACTOR_ROWS
};

/* How the rows are cut into groups, a function of the sizes alone, never of the device or its threads: group i holds
 * rows i*group_rows up to (i + 1)*group_rows or the last. That is a whole number of images where one image is small,
 * else of lines: about 256 rows, or more where there would be over 4096 groups; less, but more than half, where that
 * makes groups more even, as a group is what a CPU's threads have to share. */
int walsh_bn_group_rows(int n, int h, int w);
int walsh_bn_groups(int n, int h, int w);
/* Lines of a group: group_rows / w. */
int walsh_bn_group_lines(int n, int h, int w);

/* Work-items of a work-group of cl/batchnorm_merge.cl: a constant, so that groups are merged alike everywhere. */
enum { WALSH_BN_MERGE_LANES = 64 };

typedef struct walsh_bn {
    unsigned fuse;
    int n, h, w, c;
    int relu;     /* bn_apply: Y = max(0, .); bn_backward_*: mask dY by Y > 0, computed again from X */
    int residual; /* bn_apply: 0 none, 1 adds RES, 2 adds RES normalised by RES_SAVED */
    int rest;     /* bn_backward_finalize: FACTORS are for a gradient that scale has been applied to */
} walsh_bn;

/* WALSH_E_ARGUMENT unless the problem's sizes and options are possible. */
walsh_status walsh_bn_check(const walsh_bn *p);

/* The shape of what is summed up over each group of rows, [groups][2][c]: n = groups, h = 2. */
walsh_shape walsh_bn_partial_shape(const walsh_bn *p);

/* PARTIAL [groups][2][c]: mean and sum of squared deviations of each group of rows. */
extern const walsh_op walsh_bn_stats;
enum { WALSH_BN_STATS_X, WALSH_BN_STATS_PARTIAL, WALSH_BN_STATS_OPERANDS };

/* Merges the groups; updates the running statistics (unbiased variance; with one row the biased one). */
extern const walsh_op walsh_bn_finalize;
enum {
    WALSH_BN_FINALIZE_PARTIAL,
    WALSH_BN_FINALIZE_GAMMA,    /* [c] */
    WALSH_BN_FINALIZE_BETA,     /* [c] */
    WALSH_BN_FINALIZE_RUN_MEAN, /* [c], updated */
    WALSH_BN_FINALIZE_RUN_VAR,  /* [c], updated */
    WALSH_BN_FINALIZE_SAVED,    /* [4][c] */
    WALSH_BN_FINALIZE_OPERANDS
};

/* SAVED from the running statistics, which are only read. */
extern const walsh_op walsh_bn_eval;
enum {
    WALSH_BN_EVAL_GAMMA,
    WALSH_BN_EVAL_BETA,
    WALSH_BN_EVAL_RUN_MEAN,
    WALSH_BN_EVAL_RUN_VAR,
    WALSH_BN_EVAL_SAVED,
    WALSH_BN_EVAL_OPERANDS
};

/* Y = [relu](scale*X + shift [+ RES | + res_scale*RES + res_shift]): normalise, residual add and ReLU in one pass.
 * Pad lanes stay zero because gamma and beta are zero there. Y may be X or RES. */
extern const walsh_op walsh_bn_apply;
enum {
    WALSH_BN_APPLY_X,
    WALSH_BN_APPLY_SAVED,
    WALSH_BN_APPLY_RES,
    WALSH_BN_APPLY_RES_SAVED,
    WALSH_BN_APPLY_Y,
    WALSH_BN_APPLY_OPERANDS
};

/* Backward. With g = dY, or with `relu` dY where scale*X + shift > 0 and else 0 (NaN counts as > 0), and xhat =
 * (X - mean)*invstd: dBETA = sum g, dGAMMA = sum g*xhat, dX = scale*(g - dBETA/rows - xhat*dGAMMA/rows).
 *
 * PARTIAL [groups][2][c]: sum g and sum g*xhat of each group of rows. */
extern const walsh_op walsh_bn_backward_sums;
enum {
    WALSH_BN_BACKWARD_SUMS_DY,
    WALSH_BN_BACKWARD_SUMS_X,
    WALSH_BN_BACKWARD_SUMS_SAVED,
    WALSH_BN_BACKWARD_SUMS_PARTIAL,
    WALSH_BN_BACKWARD_SUMS_OPERANDS
};

/* Merges the groups. With `rest`, FACTORS' scale is 1: what is left to do for a gradient that already holds scale*g.
 * WALSH_FUSE_ACCUMULATE, with `rest` only: to offset and slope those of this batch norm are added, so that FACTORS are
 * the rest for all that read the same X, whose mean they share. */
extern const walsh_op walsh_bn_backward_finalize;
enum {
    WALSH_BN_BACKWARD_FINALIZE_PARTIAL,
    WALSH_BN_BACKWARD_FINALIZE_SAVED,
    WALSH_BN_BACKWARD_FINALIZE_DGAMMA,  /* [c] */
    WALSH_BN_BACKWARD_FINALIZE_DBETA,   /* [c] */
    WALSH_BN_BACKWARD_FINALIZE_FACTORS, /* [4][c] */
    WALSH_BN_BACKWARD_FINALIZE_OPERANDS
};

/* dX, which may be dY or X. SAVED is there with `relu` only, and its scale is that of FACTORS. WALSH_FUSE_ACCUMULATE:
 * dX += . */
extern const walsh_op walsh_bn_backward_apply;
enum {
    WALSH_BN_BACKWARD_APPLY_DY,
    WALSH_BN_BACKWARD_APPLY_X,
    WALSH_BN_BACKWARD_APPLY_FACTORS,
    WALSH_BN_BACKWARD_APPLY_SAVED,
    WALSH_BN_BACKWARD_APPLY_DX,
    WALSH_BN_BACKWARD_APPLY_OPERANDS
};

#endif
