/* Fixed matrices Q that are kept dense, and what can be built at all. Weights files depend on every rule here
 * (head_version 1), so a rule, once published, stays.
 *
 * Orthonormal: G [C][N], entry (c, n) draw number c*N + n of walsh_rng_normal(walsh_rng_make(seed, WALSH_RNG_HEAD, 0)),
 * in double precision; for C <= N its rows are made orthonormal in their order, for C > N its columns (the Q of
 * a QR decomposition where R has a positive diagonal: orthonormal.h); then rounded to float32.
 *
 * Plain Hadamard, what the paper's published code does: row c, column k of a Sylvester matrix, (-1)^popcount(c & k),
 * over sqrt(N). Rows that are equal modulo the least power of two >= N are identical. */
#ifndef WALSH_ENGINE_NN_HEAD_MATRIX_H
#define WALSH_ENGINE_NN_HEAD_MATRIX_H

#include <walsh/head.h>

/* Limits of this version. */
enum { WALSH_HEAD_MAX_ENTRIES = 1 << 28, WALSH_HEAD_MAX_SIDE = 1 << 30 };

/* Writes the whole orthonormal Q [C][N]. Takes 8 bytes an entry meanwhile, and 2 min(C, N)² more. */
walsh_status walsh_head_orthonormal(const walsh_head_spec *spec, float *q);

/* The least power of two >= N: after so many classes a plain Hadamard head repeats itself. */
int walsh_head_plain_order(int features);

#endif
