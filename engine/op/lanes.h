/* Channels between concatenations that keep lanes free in between (engine/nn/graph.h) and rows without holes. */
#ifndef WALSH_ENGINE_OP_LANES_H
#define WALSH_ENGINE_OP_LANES_H

#include "engine/op/op.h"

enum { WALSH_LANE_RUNS = 4 };

/* Channels [from, from + count) of X are channels [to, to + count) of Y; count 0: no run. */
typedef struct walsh_lane_run {
    int from, to, count;
} walsh_lane_run;

typedef struct walsh_lanes_problem {
    unsigned fuse;
    int rows;
    int in, out; /* channels of X and of Y */
    walsh_lane_run run[WALSH_LANE_RUNS];
} walsh_lanes_problem;

/* Y [rows][out] from X [rows][in], by runs of channels; zero where no run goes. Fails with WALSH_E_ARGUMENT where a run
 * leaves X or Y. The gradient is the same operation with `from` and `to` in each other's place. */
extern const walsh_op walsh_lanes;
enum { WALSH_LANES_X, WALSH_LANES_Y, WALSH_LANES_OPERANDS };

#endif
