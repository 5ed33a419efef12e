/* The losses of rows of logits: value, errors and gradient in one operation.
 *
 * Softmax cross-entropy, with e the label smoothing (as PyTorch's cross_entropy): loss = logsumexp(y) - (1-e) y_t -
 * e mean(y), and G = (softmax(y) - (1-e) onehot(t) - e/c) / valid, the gradient of the mean loss. Or the cosine loss of
 * a fixed head (Hoffer, Hubara, Soudry, 2018), on rows of cosines z = Q x̂: loss = 1 - z_t and G = -onehot(t) / valid.
 */
#ifndef WALSH_ENGINE_OP_LOGIT_LOSS_H
#define WALSH_ENGINE_OP_LOGIT_LOSS_H

#include "engine/op/op.h"

typedef struct walsh_logit_loss_problem {
    unsigned fuse; /* WALSH_FUSE_COLUMN_SUMS: SUMS; with the softmax and G alone */
    int b, c;
    int cosine;            /* the cosine loss, which takes no label smoothing */
    float label_smoothing; /* 0 <= e < 1 */
    int forward_only;      /* G is absent */
} walsh_logit_loss_problem;

/* What a row of metrics holds: a logit is among the k best if fewer than k others are larger, or equal with a lower
 * class. A NaN loss counts as wrong. Summed over the rows they are the totals of the batch. */
enum { WALSH_METRIC_LOSS, WALSH_METRIC_TOP1_WRONG, WALSH_METRIC_TOP5_WRONG, WALSH_METRIC_UNUSED, WALSH_METRICS };

/* LOGITS [b][c], or cosines; LABELS int32 [b]; VALID int32 [4], element 0: rows that count, the others give zero loss
 * and gradient; G [b][c], may be LOGITS; METRICS [b][WALSH_METRICS]; SUMS [c], of the rows of G, in blocks whose
 * partition depends on the sizes alone. A NaN logit (cosine: of the target), or a label
 * that is no class, gives a NaN loss. */
extern const walsh_op walsh_logit_loss;
enum {
    WALSH_LOGIT_LOSS_LOGITS,
    WALSH_LOGIT_LOSS_LABELS,
    WALSH_LOGIT_LOSS_VALID,
    WALSH_LOGIT_LOSS_G,
    WALSH_LOGIT_LOSS_METRICS,
    WALSH_LOGIT_LOSS_SUMS,
    WALSH_LOGIT_LOSS_OPERANDS
};

#endif
