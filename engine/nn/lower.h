/* From a graph to operations: forward and backward passes in a plan. */
#ifndef WALSH_ENGINE_NN_LOWER_H
#define WALSH_ENGINE_NN_LOWER_H

#include "engine/nn/graph.h"
#include "engine/op/plan.h"

typedef struct walsh_lowering walsh_lowering;

/* Prepares to add a graph's operations to `plan` for `batch` images. `train`: batch norm uses and updates the batch's
 * statistics, and a backward pass may follow; otherwise it uses the running ones, and parameters are constant to the
 * plan (walsh_plan_bind_constant). The graph's parameters are allocated. */
walsh_status walsh_lowering_create(walsh_plan *plan, const walsh_graph *graph, int batch, bool train,
                                   walsh_lowering **lowering);

/* Adds the forward pass from the input image's value [batch][h][w][c] and returns the features' [batch][1][1][N].
 * Normalise, residual add and ReLU become one pass where they follow each other. */
walsh_value walsh_lower_forward(walsh_lowering *lowering, walsh_value image);

/* Between the passes: what the backward pass reads of what the forward pass has computed waits for it as float16
 * (walsh_plan_store_half). */
void walsh_lower_store_half(walsh_lowering *lowering);

/* Adds the backward pass from the features' gradient; gradients land in the parameters' gradient buffer. */
void walsh_lower_backward(walsh_lowering *lowering, walsh_value gradient);

void walsh_lowering_destroy(walsh_lowering **lowering);

#endif
