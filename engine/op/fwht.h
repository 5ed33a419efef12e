/* Fast Walsh-Hadamard transform of every row: Y = scale * H (D X) or scale * D (H X), H the Sylvester matrix with
 * entries
 * (-1)^popcount(row & column), D a diagonal of signs. H is symmetric, so the second is the transpose of the first. */
#ifndef WALSH_ENGINE_OP_FWHT_H
#define WALSH_ENGINE_OP_FWHT_H

#include "engine/op/op.h"

enum { WALSH_FWHT_MAX = 1 << 24 };

/* Where the diagonal stands. */
enum { WALSH_FWHT_NO_SIGN, WALSH_FWHT_SIGN_INPUT, WALSH_FWHT_SIGN_OUTPUT };

typedef struct walsh_fwht_problem {
    unsigned fuse;
    int rows;
    int n; /* a power of two, 2 .. WALSH_FWHT_MAX */
    float scale;
    int sign;
} walsh_fwht_problem;

/* X, Y [rows][n] (Y may be X); SIGN [n], absent without a diagonal. */
extern const walsh_op walsh_fwht_rows;
enum { WALSH_FWHT_X, WALSH_FWHT_SIGN, WALSH_FWHT_Y, WALSH_FWHT_OPERANDS };

#endif
