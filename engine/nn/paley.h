/* Hadamard matrices of orders that no power of two reaches (Paley, "On orthogonal matrices", 1933).
 *
 * With q a power of an odd prime, chi the quadratic character of GF(q) (0, 1 for squares, else -1) and
 * R[a][b] = chi(a - b):
 *   I   order q + 1, q = 3 mod 4: I + S, S = [0 1; -1 R] (R and S skew: not symmetric)
 *   II  order 2(q + 1), q = 1 mod 4: S (x) [1 1; 1 -1] + I (x) [1 -1; -1 -1], S = [0 1; 1 R] (symmetric)
 * An element of GF(p^k) is the integer whose digits to base p are its coefficients; elements stand in the order of
 * these integers; the field is built on the smallest primitive polynomial as an integer. */
#ifndef WALSH_ENGINE_NN_PALEY_H
#define WALSH_ENGINE_NN_PALEY_H

#include <stdbool.h>
#include <walsh/status.h>

enum { WALSH_PALEY_MAX = 64 };

/* Whether construction I or II gives a matrix of that order, from 4 to WALSH_PALEY_MAX. */
bool walsh_paley_exists(int order);

/* Writes it, by I where both exist: h [order][order], 1 or -1. Fails with WALSH_E_ARGUMENT for another order. */
walsh_status walsh_paley(int order, float *h);

#endif
