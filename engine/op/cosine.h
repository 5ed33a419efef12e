/* The cosine loss of a fixed head (Hoffer, Hubara, Soudry, 2018), on rows of cosines z = Q x̂: loss = 1 - z_t and
 * G = -onehot(t) / valid, the gradient of the mean loss. */
#ifndef WALSH_ENGINE_OP_COSINE_H
#define WALSH_ENGINE_OP_COSINE_H

#include "engine/op/op.h"

typedef struct walsh_cosine_problem {
    unsigned fuse;
    int b, c;
    int forward_only; /* G is absent */
} walsh_cosine_problem;

/* Z [b][c]; the others as in softmax.h, METRICS with this loss. */
extern const walsh_op walsh_cosine;
enum {
    WALSH_COSINE_Z,
    WALSH_COSINE_LABELS,
    WALSH_COSINE_VALID,
    WALSH_COSINE_G,
    WALSH_COSINE_METRICS,
    WALSH_COSINE_OPERANDS
};

#endif
