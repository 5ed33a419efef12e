/* A Hadamard head in one operation: features to loss and gradients (walsh_fused_head), or to the likeliest classes
 * (walsh_head_predict), without logits in memory: what is needed beyond the operands grows with b n, and with c only by
 * partial sums of the bias' gradient.
 *
 * The matrix is that of engine/nn/head_basis.h, where the numbering of classes and the transforms are described; here
 * its description comes with the problem and its tables in one operand. Losses and metrics are those of
 * engine/op/logit_loss.h. x̂ = x/sqrt(Σx² + 1e-16), y = alpha Q x̂ + bias. */
#ifndef WALSH_ENGINE_OP_FUSED_HEAD_H
#define WALSH_ENGINE_OP_FUSED_HEAD_H

#include "engine/op/op.h"

enum { WALSH_STRUCTURE_SYLVESTER, WALSH_STRUCTURE_PALEY, WALSH_STRUCTURE_OVERLAPPED };

typedef struct walsh_fused_head_problem {
    unsigned fuse;
    int b, n, c;
    int structure;
    int power;     /* P: sylvester n, else the power of two that the transform uses */
    int cores;     /* paley: how many tables, 1 .. 4 */
    int order[4];  /* paley: their sides K; K_1 ... K_cores P = n */
    int cosine;    /* the cosine loss: alpha and bias, and their gradients, are absent */
    int fixed;     /* D_ALPHA is absent */
    int all;       /* walsh_head_predict: LOGITS is there */
    float label_smoothing;
} walsh_fused_head_problem;

/* CONSTANT is a vector: for each paley table H_K [K][K] and its transpose, or the overlapped flips [6][P] over sqrt(P); then the
 * sign diagonals [ceil(c/2n)][n]. This many floats come before the diagonals. */
int walsh_fused_head_tables(const walsh_fused_head_problem *problem);

/* X [b][n], ALPHA [1], BIAS [c], LABELS int32 [b], VALID int32 [4] -> DX [b][n], D_ALPHA [1], D_BIAS [c] (gradients of
 * the mean loss), METRICS [b][WALSH_METRICS]. */
extern const walsh_op walsh_fused_head;
enum {
    WALSH_FUSED_HEAD_X,
    WALSH_FUSED_HEAD_CONSTANT,
    WALSH_FUSED_HEAD_ALPHA,
    WALSH_FUSED_HEAD_BIAS,
    WALSH_FUSED_HEAD_LABELS,
    WALSH_FUSED_HEAD_VALID,
    WALSH_FUSED_HEAD_DX,
    WALSH_FUSED_HEAD_D_ALPHA,
    WALSH_FUSED_HEAD_D_BIAS,
    WALSH_FUSED_HEAD_METRICS,
    WALSH_FUSED_HEAD_OPERANDS
};

/* Of each row the five largest logits, falling (equal ones: the lower class first; -infinity where there are fewer
 * classes), then logsumexp (cosine: 0): BEST [b][8]; their classes: CLASSES int32 [8 b], 8 a row. LOGITS [b][c] only
 * on demand. */
extern const walsh_op walsh_head_predict;
enum {
    WALSH_HEAD_PREDICT_X,
    WALSH_HEAD_PREDICT_CONSTANT,
    WALSH_HEAD_PREDICT_ALPHA,
    WALSH_HEAD_PREDICT_BIAS,
    WALSH_HEAD_PREDICT_LABELS,
    WALSH_HEAD_PREDICT_VALID,
    WALSH_HEAD_PREDICT_METRICS,
    WALSH_HEAD_PREDICT_BEST,
    WALSH_HEAD_PREDICT_CLASSES,
    WALSH_HEAD_PREDICT_LOGITS,
    WALSH_HEAD_PREDICT_OPERANDS
};
enum { WALSH_HEAD_BEST = 5, WALSH_HEAD_BEST_LSE = 5, WALSH_HEAD_BEST_PITCH = 8 };

#endif
