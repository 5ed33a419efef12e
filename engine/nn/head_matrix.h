/* The matrices Q of fixed heads, on the host: where the construction is chosen. Weights files depend on every rule here
 * (head_version 1), so a rule, once published, stays.
 *
 * Hadamard, N = 2^m: classes are numbered along the + rows of block 1, its - rows, the + rows of block 2, and so on;
 * class (a, s, r) is s * H_r * D_a / sqrt(N), with H_r row r of the Sylvester matrix and D_a a diagonal of signs.
 *
 *   m even (Kerdock, 1972), a < N/2, largest |cos| between blocks 1/sqrt(N):
 *     D_a[x] = (-1)^f, x = 2z + e, z and a in GF(2^(m-1)), f = Σ_{j=1}^{(m-2)/2} Tr((az)^(1+2^j)) + e Tr(az);
 *   m odd (Gold, 1968), a < N, sqrt(2/N):
 *     D_a[x] = (-1)^Tr(a x^3), x and a in GF(2^m).
 *
 * An integer stands for the polynomial with its bits as coefficients; the field GF(2^k) is built on the smallest
 * primitive polynomial as an integer.
 *
 * Orthonormal: G [C][N], entry (c, n) draw number c*N + n of walsh_rng_normal(walsh_rng_make(seed, WALSH_RNG_HEAD, 0)),
 * in double precision; for C <= N its rows are made orthonormal in their order, for C > N its columns (modified
 * Gram-Schmidt, each vector twice against all earlier ones: what a QR decomposition with a positive diagonal of R
 * gives); then rounded to float32. */
#ifndef WALSH_ENGINE_NN_HEAD_MATRIX_H
#define WALSH_ENGINE_NN_HEAD_MATRIX_H

#include <walsh/head.h>

/* Limits of this version. */
enum { WALSH_HEAD_MAX_FEATURES = 1 << 24, WALSH_HEAD_MAX_ENTRIES = 1 << 28, WALSH_HEAD_MAX_SIDE = 1 << 30 };

typedef enum walsh_construction {
    WALSH_CONSTRUCTION_LEARNED,
    WALSH_CONSTRUCTION_ORTHONORMAL_ROWS,
    WALSH_CONSTRUCTION_ORTHONORMAL_COLUMNS,
    WALSH_CONSTRUCTION_KERDOCK,
    WALSH_CONSTRUCTION_GOLD
} walsh_construction;

/* Chooses the construction of a head, or fails with WALSH_E_ARGUMENT: the one place that knows what can be built. */
walsh_status walsh_head_choose(const walsh_head_spec *spec, walsh_construction *construction);

/* Where class c of a Hadamard head with N features is: block from 1, sign +1 or -1, row of H. */
typedef struct walsh_head_class {
    int block, sign, row;
} walsh_head_class;
walsh_head_class walsh_head_locate(int features, int class_index);

/* The signs D_a (1 or -1) of block a: N = 2^m from 2 to 2^24. Fails with WALSH_E_ARGUMENT for an N that is no power of
 * two, and for a beyond N/2 - 1 (m even) or N - 1 (m odd). */
walsh_status walsh_head_signs(int features, int block, float *signs);

/* The smallest primitive polynomial of degree k (1..24) over GF(2), as an integer with bit k set. */
uint32_t walsh_primitive_polynomial(int degree);

/* Writes the whole orthonormal Q [C][N]. Takes 8 bytes an entry meanwhile. */
walsh_status walsh_head_orthonormal(const walsh_head_spec *spec, float *q);

#endif
