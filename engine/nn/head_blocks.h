/* The sign diagonals of a Hadamard head's blocks, by the rules of head_basis.h. */
#ifndef WALSH_ENGINE_NN_HEAD_BLOCKS_H
#define WALSH_ENGINE_NN_HEAD_BLOCKS_H

#include "engine/nn/head_basis.h"

/* Signs number 0 .. count-1 of draw `draw`. */
void walsh_head_draw(uint64_t seed, uint32_t draw, size_t count, float *signs);

/* Fills basis->signs; everything else of the basis is there. Fails with WALSH_E_ARGUMENT where draws no longer find a
 * block that repeats no row. */
walsh_status walsh_head_blocks(walsh_head_basis *basis, uint64_t seed);

#endif
