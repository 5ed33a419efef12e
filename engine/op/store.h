/* Activations that wait for the backward pass in half the memory: packed as halves, rounded to the nearest, ties to
 * even, and unpacked before they are read again. What is finite stays so: beyond 65504 it becomes that; infinities and
 * NaN stay. Arithmetic is float32's everywhere. */
#ifndef WALSH_ENGINE_OP_STORE_H
#define WALSH_ENGINE_OP_STORE_H

#include "engine/op/op.h"

typedef struct walsh_store {
    unsigned fuse;
    int n, h, w, c;
} walsh_store;

/* X in float32, Y in float16. */
extern const walsh_op walsh_store_pack;
enum { WALSH_STORE_PACK_X, WALSH_STORE_PACK_Y, WALSH_STORE_PACK_OPERANDS };

/* X in float16, Y in float32. */
extern const walsh_op walsh_store_unpack;
enum { WALSH_STORE_UNPACK_X, WALSH_STORE_UNPACK_Y, WALSH_STORE_UNPACK_OPERANDS };

#endif
