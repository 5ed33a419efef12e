/* Matrix product C [m][n] = op(A) op(B), row-major with pitches; the engine's own kernel, or CLBlast's. */
#ifndef WALSH_ENGINE_OP_GEMM_H
#define WALSH_ENGINE_OP_GEMM_H

#include "engine/op/op.h"

typedef struct walsh_gemm_problem {
    unsigned fuse; /* WALSH_FUSE_BIAS: + BIAS [n] on every row; WALSH_FUSE_ACCUMULATE: C += */
    int m, n, k;
    int ta, tb; /* A is stored [m][k], or [k][m] if ta; B [k][n], or [n][k] if tb */
} walsh_gemm_problem;

/* Pad lanes of C (columns n .. pad(n)-1) come out zero: those of B (or its pad rows, if tb) never enter them. */
extern const walsh_op walsh_gemm;
enum { WALSH_GEMM_A, WALSH_GEMM_B, WALSH_GEMM_BIAS, WALSH_GEMM_C, WALSH_GEMM_OPERANDS };

#endif
