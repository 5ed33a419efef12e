/* A classifier head in a plan: from features to the loss, its gradient and those of the parameters, or to predictions.
 *
 * learned:      Y = X W^T + b
 * orthonormal:  Y = alpha * X̂ Q^T + b, Q [c][n] dense; hadamard-plain likewise
 * hadamard:     the same with a structured Q that is never stored, in one operation that keeps no logits
 * with X̂ = X/sqrt(ΣX² + 1e-16), row by row. Loss: mean cross-entropy of Y, or mean 1 - q_t . x̂ (cosine; fixed heads
 * only), which uses neither alpha nor the bias. */
#ifndef WALSH_ENGINE_NN_HEAD_H
#define WALSH_ENGINE_NN_HEAD_H

#include <walsh/head.h>

#include "engine/op/plan.h"

typedef struct walsh_head {
    walsh_head_spec spec;
    walsh_loss loss;
    float label_smoothing; /* cross-entropy only, as PyTorch's; 0: none */
} walsh_head;

/* WALSH_E_ARGUMENT where the head cannot be built: as walsh_head_check; cosine with a learned head or with label
 * smoothing; a label smoothing outside [0, 1). */
walsh_status walsh_head_valid(const walsh_head *head);

/* Shapes of what the head needs from outside, absent where it has none. */
typedef struct walsh_head_shapes {
    walsh_shape weight;   /* learned: [c][n] */
    walsh_shape alpha;    /* fixed: [1] */
    walsh_shape bias;     /* [c] */
    walsh_shape constant; /* Q [c][n]; hadamard: tables and signs, a vector (engine/op/fused_head.h) */
} walsh_head_shapes;
walsh_head_shapes walsh_head_shapes_of(const walsh_head_spec *spec);

/* Writes the constant, dense, as its shape says; a head without one is left alone. */
walsh_status walsh_head_constant(const walsh_head_spec *spec, float *dense);

/* The values of a head in one plan. Start from walsh_head_no_parts. */
typedef struct walsh_head_parts {
    /* From the caller. */
    walsh_value features; /* [b][n] */
    walsh_value labels;   /* int32 array [b] */
    walsh_value valid;    /* int32 array [4]: element 0 is the number of rows that count */
    walsh_value weight;   /* as walsh_head_shapes says, each */
    walsh_value alpha, bias, constant;
    walsh_value d_weight, d_bias; /* gradients of the mean loss, overwritten */
    walsh_value d_alpha;          /* none: alpha stays as it is */
    /* From the caller or, where none, made in the arena. */
    walsh_value metrics;    /* [b][4]: loss, top-1 wrong, top-5 wrong (0 or 1), 0; zeros beyond the valid rows */
    walsh_value d_features; /* training: [b][n] */
    walsh_value logits;     /* [b][c]; with the cosine loss the cosines, without alpha and bias. A hadamard head has
                               none in training, and in evaluation only where the caller gives them */
    walsh_value best;       /* evaluation of a hadamard head: the five best, [b][8] */
    walsh_value classes;    /* and their classes, int32 array [8 b] (engine/op/fused_head.h) */
    /* Between forward and loss; not for the caller. */
    walsh_value unit, norm, z;
} walsh_head_parts;
extern const walsh_head_parts walsh_head_no_parts;

/* Appends metrics, the gradients of the parameters and d_features (training). The cosine loss leaves d_bias and d_alpha
 * unwritten: both are zero, let them be. Failures show at walsh_plan_layout. */
void walsh_head_train(walsh_plan *plan, const walsh_head *head, walsh_head_parts *parts);

/* Appends metrics, and logits or the five best (evaluation). Failures show at walsh_plan_layout. */
void walsh_head_evaluate(walsh_plan *plan, const walsh_head *head, walsh_head_parts *parts);

#endif
