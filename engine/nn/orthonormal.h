/* Orthonormal vectors from independent ones, on the host, fast enough for tens of thousands of classes. */
#ifndef WALSH_ENGINE_NN_ORTHONORMAL_H
#define WALSH_ENGINE_NN_ORTHONORMAL_H

#include <stddef.h>
#include <walsh/status.h>

/* Vectors stand in panels of WALSH_PANEL: entry i of vector v at [v / WALSH_PANEL][i][v % WALSH_PANEL], so that both
 * a panel's vectors and a vector's entries are next to each other. */
enum { WALSH_PANEL = 16 };

/* How many vectors and entries that takes: whole panels, and whole quads of entries. */
size_t walsh_panel_vectors(size_t count);
size_t walsh_panel_length(size_t length);

/* Makes `count` linearly independent vectors of `length` >= count orthonormal, in their order: vector v becomes the
 * part of it that is orthogonal to all earlier ones, at length 1. That is the Q of a QR decomposition where R has a
 * positive diagonal, to rounding. What fills up panels and quads must be 0, and stays so.
 *
 * Gram-Schmidt by blocks: the first half of the panels is made orthonormal, the second half made orthogonal to it, then
 * orthonormal itself, each half by the same rule; a panel by the modified Gram-Schmidt process. Nearly all of the
 * 2*length*count² operations are in products of large matrices. This leaves the vectors orthogonal up to rounding times
 * the condition number (Björck, 1967; Jalby, Philippe, 1991, for blocks), which for Gaussian vectors of twice as many
 * entries is below 6 (Davidson, Szarek, 2001) but has no bound for as many entries as vectors: from there up to twice
 * as many it is all done a second time, after which they are orthogonal to full precision (Giraud, Langou, Rozložník,
 * 2005).
 *
 * Runs on all of the process's processors. The order of every sum is fixed: neither they nor the width of their vectors
 * change a bit. Fails with WALSH_E_MEMORY. */
walsh_status walsh_orthonormalise(double *panels, size_t count, size_t length);

#endif
