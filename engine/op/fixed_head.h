/* What stands around the transform of a fixed head; the transform Z = Q x̂ itself is a FWHT or a product with Q.
 *
 * Class c < 2m uses row r = c mod m of the transform with sign s = + for c < m and - from m on, so that m rows serve up
 * to 2m classes. A dense Q has m = c and no sign. Four operations, in order of use. */
#ifndef WALSH_ENGINE_OP_FIXED_HEAD_H
#define WALSH_ENGINE_OP_FIXED_HEAD_H

#include "engine/op/op.h"

typedef struct walsh_fixed_head_problem {
    unsigned fuse;
    int b;           /* rows */
    int n;           /* features: normalise and its gradient */
    int m, c;        /* rows of the transform and classes, c <= 2m: logits and fold */
    int alpha, bias; /* 0: the operand is absent, alpha is 1 or the bias 0 */
} walsh_fixed_head_problem;

/* x̂ = x/norm, norm = sqrt(Σx² + 1e-16): X [b][n] -> XHAT [b][n], NORM [b][2] (norm and 1/norm). XHAT may be X. */
extern const walsh_op walsh_head_normalise;
enum { WALSH_HEAD_NORMALISE_X, WALSH_HEAD_NORMALISE_XHAT, WALSH_HEAD_NORMALISE_NORM, WALSH_HEAD_NORMALISE_OPERANDS };

/* y_c = alpha s_c z_r(c) + b_c: Z [b][m], ALPHA [1], BIAS [c] -> Y [b][c]; Y may be Z where m = c. Without alpha and
 * with m = c it is the broadcast addition of a bias. */
extern const walsh_op walsh_head_logits;
enum {
    WALSH_HEAD_LOGITS_Z,
    WALSH_HEAD_LOGITS_ALPHA,
    WALSH_HEAD_LOGITS_BIAS,
    WALSH_HEAD_LOGITS_Y,
    WALSH_HEAD_LOGITS_OPERANDS
};

/* The transpose: u_r = g_r - g_(r+m) (absent classes count 0): G [b][c], Z [b][m] -> U [b][m], and
 * DOT [b][1] = Σ_c g_c s_c z_r(c), whose sum over the rows is the gradient of alpha. U may be Z, or G where m = c. */
extern const walsh_op walsh_head_fold;
enum { WALSH_HEAD_FOLD_G, WALSH_HEAD_FOLD_Z, WALSH_HEAD_FOLD_U, WALSH_HEAD_FOLD_DOT, WALSH_HEAD_FOLD_OPERANDS };

/* dx = (alpha/norm)(h - x̂ dot) with h = Q^T u: H, XHAT [b][n], NORM [b][2], DOT [b][1], ALPHA [1] -> DX [b][n];
 * DX may be H or XHAT. */
extern const walsh_op walsh_head_normalise_backward;
enum {
    WALSH_HEAD_NORMALISE_BACKWARD_H,
    WALSH_HEAD_NORMALISE_BACKWARD_XHAT,
    WALSH_HEAD_NORMALISE_BACKWARD_NORM,
    WALSH_HEAD_NORMALISE_BACKWARD_DOT,
    WALSH_HEAD_NORMALISE_BACKWARD_ALPHA,
    WALSH_HEAD_NORMALISE_BACKWARD_DX,
    WALSH_HEAD_NORMALISE_BACKWARD_OPERANDS
};

#endif
