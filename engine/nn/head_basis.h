/* The structured matrix Q of a Hadamard head, on the host: an orthonormal N x N transform T with a fast algorithm, and
 * diagonals of signs D_a that make further classes of it.
 *
 * Classes are numbered along the + rows of block 1, its - rows, the + rows of block 2, and so on:
 *   class c = ((a - 1)*2 + (sign < 0))*N + r,   q_c = sign * T_r * D_a,   a >= 1, r < N.
 * So z = T (D_a x̂) holds the products of x̂ with all + rows of block a, and Q^T u = Σ_a D_a T^T (u_a+ - u_a-).
 *
 * T, rows r and columns k:
 *
 * - SYLVESTER, N = P = 2^m: H_P/sqrt(N), H_P[r][k] = (-1)^popcount(r & k). Symmetric.
 *
 * - PALEY, N = K_1 ... K_j P: (H_K1 (x) ... (x) H_Kj (x) H_P)/sqrt(N), so that column k is the mixed-radix number (k_1,
 *   ..., k_j, p) with p the fastest; K_i x K_i tables of +-1 that need NOT be symmetric: T^T takes the transposed
 *   tables. The orders K are those with the least sum. Only where C <= 2^(N/2): few blocks of a flat matrix fit beside
 *   each other, so that beyond it the overlapped transform stands in.
 *
 * - OVERLAPPED, any other N, P the largest power of two below N: WALSH_HEAD_STEPS steps in order; step i takes the
 *   window of entries offset[i] .. offset[i]+P-1, multiplies entry j of the window by flips[i][j], then applies
 *   F = H_P/sqrt(P) to it; entries outside stay. T^T: the steps from the last to the first, each F, then the flip.
 *   Windows: the first P entries, the last P, the middle, twice over. (First and last alone mix badly where they share
 *   few entries: at N = 1023, |T| reaches 7/sqrt(N) in place of 5.)
 *
 * A head of WALSH_HEAD_HADAMARD_PLAIN has none of this: its matrix is kept dense, as an orthonormal one.
 *
 * The diagonals (weights files depend on them: head_version 1), with draws numbered from 1:
 *
 * - SYLVESTER: those of head_signs.h as far as they go, then draws.
 *
 * - PALEY: where P = 2^m with m even, S_a (x) D_a, D_a of head_signs.h for P up to walsh_head_close_blocks(P) and S_a
 *   the first K_1...K_j signs of draw a; then draws. Against draws alone the largest cosine between blocks is lower by
 *   a quarter to a third with K = 12, by a tenth to a third with K = 20.
 *
 * - OVERLAPPED: draws.
 *
 * Draw d is signs from walsh_rng_make(seed of the head, WALSH_RNG_HEAD, d): number i is bit i % 32 of word i/32 % 4 at
 * position i/128, 1 for -1. With N <= WALSH_HEAD_CROWDED a draw is skipped that would repeat a row, but for its sign,
 * of an earlier block; with more features that does not happen (odds below 2^-38 at 2^30 classes). Flips of step i are
 * draw 2^31 + i; where with them draws come to find no room, 2^31 + 6 + i are tried, and so on. */
#ifndef WALSH_ENGINE_NN_HEAD_BASIS_H
#define WALSH_ENGINE_NN_HEAD_BASIS_H

#include <walsh/head.h>

typedef enum walsh_transform {
    WALSH_TRANSFORM_SYLVESTER,
    WALSH_TRANSFORM_PALEY,
    WALSH_TRANSFORM_OVERLAPPED
} walsh_transform;

enum { WALSH_HEAD_MAX_CORES = 4, WALSH_HEAD_MAX_CORE = 60, WALSH_HEAD_STEPS = 6, WALSH_HEAD_CROWDED = 96 };

/* What T is and how many blocks there are: known from the description alone, without a table. */
typedef struct walsh_head_form {
    walsh_transform transform;
    int features, classes;           /* N, C */
    int power;                       /* P >= 1 */
    int cores;                       /* PALEY: j, 1 .. WALSH_HEAD_MAX_CORES; else 0 */
    int order[WALSH_HEAD_MAX_CORES]; /* PALEY: K_1 .. K_j, each 12, 20, 28, 36, 44, 52 or 60 */
    int offset[WALSH_HEAD_STEPS];    /* OVERLAPPED: where each step's window begins */
    int blocks;                      /* ceil(C/2N) >= 1; the last may be partly used */
} walsh_head_form;

/* Of a Hadamard head that walsh_head_check accepts. */
walsh_head_form walsh_head_form_of(const walsh_head_spec *spec);

typedef struct walsh_head_basis {
    walsh_head_form form;
    float *core[WALSH_HEAD_MAX_CORES]; /* PALEY: H_K1 .. H_Kj, each [K][K], row by row, 1 or -1; else NULL */
    float *flips;                      /* OVERLAPPED: [WALSH_HEAD_STEPS][P], 1 or -1; else NULL */
    float *signs;                      /* [blocks][N]: the diagonals D_1 .. D_blocks, 1 or -1 */
} walsh_head_basis;

/* Builds the tables; fails as walsh_head_check, with WALSH_E_ARGUMENT for a head that is not WALSH_HEAD_HADAMARD, or
 * for lack of memory; then *basis is NULL. The caller closes it. */
walsh_status walsh_head_basis_open(const walsh_head_spec *spec, walsh_head_basis **basis);

/* Frees a basis and sets the pointer to NULL; NULL is accepted. */
void walsh_head_basis_close(walsh_head_basis **basis);

/* x = T x or, `transposed`, T^T x, in place and in double precision: x [N]. */
void walsh_head_basis_apply(const walsh_head_basis *basis, bool transposed, double *x);

/* How many of the first diagonals come from head_signs.h, times S or not. */
int walsh_head_structured_blocks(const walsh_head_form *form);

/* Multiply-adds of one transform. */
double walsh_head_transform_cost(const walsh_head_form *form);

#endif
