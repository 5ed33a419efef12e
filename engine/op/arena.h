/* The memory that plans share: a few large buffers, each at most the device's largest allocation. */
#ifndef WALSH_ENGINE_OP_ARENA_H
#define WALSH_ENGINE_OP_ARENA_H

#include "engine/device/device.h"

typedef struct walsh_arena walsh_arena;

/* Something to place: `bytes` needed during steps first..last (both included); placed at `offset` of buffer `chunk`. */
typedef struct walsh_block {
    size_t bytes;
    int first, last;
    int chunk;
    size_t offset; /* bytes, a multiple of 256 */
} walsh_block;

walsh_status walsh_arena_create(walsh_device *device, walsh_arena **arena);

/* Places blocks so that no two whose lives overlap share memory (largest first, lowest fitting offset: within a few per
 * cent of the lower bound for networks), and makes the arena large enough. Plans that do not run at the same time may
 * all be placed in one arena. Fails with WALSH_E_MEMORY for a block larger than one allocation of the device. */
walsh_status walsh_arena_place(walsh_arena *arena, walsh_block *blocks, size_t count);

/* Bytes in all chunks. */
size_t walsh_arena_bytes(const walsh_arena *arena);

/* Allocates the chunks; content undefined. Fails with WALSH_E_MEMORY, saying what is needed and what the device has. */
walsh_status walsh_arena_commit(walsh_arena *arena);

/* The buffer of a chunk; NULL before commit. */
cl_mem walsh_arena_memory(const walsh_arena *arena, int chunk);

void walsh_arena_destroy(walsh_arena **arena);

#endif
