/* Stochastic gradient descent with momentum for all parameters in one launch (interface.md):
 * d = scale*g + wd*w; v = momentum*v + d; w -= lr*v, or lr*(d + momentum*v) with Nesterov's momentum.
 * Elements from `decayed` on get no weight decay. */
#ifndef WALSH_ENGINE_OP_SGD_H
#define WALSH_ENGINE_OP_SGD_H

#include "engine/op/op.h"

typedef struct walsh_sgd_problem {
    unsigned fuse;
    int elements; /* of the three vectors, a multiple of 4 */
    int decayed;  /* the first ones, which decay; a multiple of 4 */
    int nesterov;
} walsh_sgd_problem;

/* HYPER [4]: lr, momentum, weight decay, scale: read at each run, so that a schedule costs no new launch. */
extern const walsh_op walsh_sgd;
enum { WALSH_SGD_HYPER, WALSH_SGD_G, WALSH_SGD_V, WALSH_SGD_W, WALSH_SGD_OPERANDS };

#endif
