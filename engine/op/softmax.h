/* Softmax cross-entropy of rows of logits: loss, errors and gradient in one operation.
 *
 * With e the label smoothing (as PyTorch's cross_entropy): loss = logsumexp(y) - (1-e) y_t - e mean(y), and
 * G = (softmax(y) - (1-e) onehot(t) - e/c) / valid, the gradient of the mean loss. */
#ifndef WALSH_ENGINE_OP_SOFTMAX_H
#define WALSH_ENGINE_OP_SOFTMAX_H

#include "engine/op/op.h"

typedef struct walsh_softmax_problem {
    unsigned fuse;
    int b, c;
    float label_smoothing; /* 0 <= e < 1 */
    int forward_only;      /* G is absent */
} walsh_softmax_problem;

/* What a row of metrics holds: a logit is among the k best if fewer than k others are larger, or equal with a lower
 * class. A NaN loss counts as wrong. Summed over the rows they are the totals of the batch. */
enum { WALSH_METRIC_LOSS, WALSH_METRIC_TOP1_WRONG, WALSH_METRIC_TOP5_WRONG, WALSH_METRIC_UNUSED, WALSH_METRICS };

/* LOGITS [b][c]; LABELS int32 [b]; VALID int32 [4], element 0: rows that count, the others give zero loss and gradient;
 * G [b][c], may be LOGITS; METRICS [b][WALSH_METRICS]. A NaN logit, or a label that is no class, gives a NaN loss. */
extern const walsh_op walsh_softmax;
enum {
    WALSH_SOFTMAX_LOGITS,
    WALSH_SOFTMAX_LABELS,
    WALSH_SOFTMAX_VALID,
    WALSH_SOFTMAX_G,
    WALSH_SOFTMAX_METRICS,
    WALSH_SOFTMAX_OPERANDS
};

#endif
