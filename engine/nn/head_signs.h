/* Diagonals of signs for Sylvester's matrix of order n = 2^m, between whose blocks H D all cosines are small. Block
 * number b 2^k + a, with a and b in GF(2^k), has D[x] = (-1)^f:
 *
 *   m even, k = m-1, x = 2z + e with z in GF(2^k):
 *     f = Σ_{j=1}^{(m-2)/2} Tr((az)^(1+2^j)) + e Tr(az) + Tr(b z^3);
 *     b = 0: Kerdock's set (1972), largest |cos| 1/sqrt(n), the least that two bases of n vectors can have;
 *     any b: Delsarte and Goethals' (1975), 2/sqrt(n);
 *   m odd, k = m, x in GF(2^k):
 *     f = Tr(a x^3) + Tr(b x^5);
 *     b = 0: Gold's set (1968), sqrt(2/n); any b: the dual of the BCH code that corrects three errors, sqrt(8/n).
 *
 * An integer stands for the polynomial with its bits as coefficients; the field GF(2^k) is built on the smallest
 * primitive polynomial as an integer. */
#ifndef WALSH_ENGINE_NN_HEAD_SIGNS_H
#define WALSH_ENGINE_NN_HEAD_SIGNS_H

#include <walsh/status.h>
#include <stdint.h>

enum { WALSH_HEAD_MAX_FEATURES = 1 << 24 };

/* How many such diagonals there are: n a power of two from 1 (none) on; at most 2^30. The first of them, with b = 0,
 * are walsh_head_close_blocks; for n <= 8 they are all. */
int walsh_head_sign_blocks(int n);
int walsh_head_close_blocks(int n);

/* Writes D_first .. D_(first+count-1), each n numbers 1 or -1. Fails with WALSH_E_ARGUMENT for an n that is no power of
 * two from 2 to 2^24, and for blocks beyond 1 .. walsh_head_sign_blocks(n). */
walsh_status walsh_head_signs(int n, int first, int count, float *signs);

/* The smallest primitive polynomial of degree k (1..24) over GF(2), as an integer with bit k set. */
uint32_t walsh_primitive_polynomial(int degree);

#endif
