#include "engine/op/arena.h"

#include <stdlib.h>

enum { ALIGNMENT = 256, MAX_CHUNKS = 64 };

struct walsh_arena {
    walsh_device *device;
    int chunks;
    size_t bytes[MAX_CHUNKS];
    cl_mem memory[MAX_CHUNKS];
};

walsh_status walsh_arena_create(walsh_device *device, walsh_arena **arena)
{
    WALSH_TRY(walsh_alloc(arena, 1, sizeof **arena, "an arena"));
    (*arena)->device = device;
    return WALSH_OK;
}

static int by_size(const void *a, const void *b)
{
    const walsh_block *x = *(walsh_block *const *)a, *y = *(walsh_block *const *)b;
    if (x->bytes != y->bytes) return x->bytes < y->bytes ? 1 : -1;
    return x < y ? -1 : x > y; /* a total order: layouts must not depend on the sort */
}

static int by_place(const void *a, const void *b)
{
    const walsh_block *x = *(walsh_block *const *)a, *y = *(walsh_block *const *)b;
    if (x->chunk != y->chunk) return x->chunk < y->chunk ? -1 : 1;
    return x->offset < y->offset ? -1 : x->offset > y->offset;
}

static size_t aligned(size_t bytes)
{
    return (bytes + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
}

/* The lowest gap of `need` bytes in `chunk` between `others` (sorted by place; `*at` is left past the last of them). */
static bool find_gap(walsh_block *const *others, size_t count, int chunk, size_t need, size_t limit, size_t *at)
{
    *at = 0;
    for (size_t i = 0; i < count; i++) {
        if (others[i]->chunk != chunk) continue;
        if (*at + need <= others[i]->offset) return true;
        size_t end = others[i]->offset + aligned(others[i]->bytes);
        if (end > *at) *at = end;
    }
    return *at + need <= limit;
}

/* Puts `block` in the first chunk that has room beside `others`, the placed blocks whose lives overlap its own. */
static walsh_status place(walsh_arena *arena, walsh_block *block, walsh_block *const *others, size_t count)
{
    size_t limit = (size_t)arena->device->info.max_alloc, need = aligned(block->bytes), at = 0;
    int chunk = 0;
    while (chunk < MAX_CHUNKS && !find_gap(others, count, chunk, need, limit, &at)) chunk++;
    if (chunk == MAX_CHUNKS)
        WALSH_FAIL(WALSH_E_MEMORY,
                   "activations and workspaces need over %d buffers of %zu MiB, the largest that %s allows: use a "
                   "smaller batch",
                   MAX_CHUNKS, limit >> 20, arena->device->info.name);
    block->chunk = chunk;
    block->offset = at;
    if (chunk >= arena->chunks) arena->chunks = chunk + 1;
    if (at + need > arena->bytes[chunk]) arena->bytes[chunk] = at + need;
    return WALSH_OK;
}

static walsh_status place_all(walsh_arena *arena, walsh_block **order, walsh_block **overlapping, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        walsh_block *block = order[i];
        if (aligned(block->bytes) > arena->device->info.max_alloc)
            WALSH_FAIL(WALSH_E_MEMORY, "a tensor of %zu MiB is needed; %s allows %zu MiB at most: use a smaller batch",
                       block->bytes >> 20, arena->device->info.name, (size_t)arena->device->info.max_alloc >> 20);
        size_t n = 0;
        for (size_t j = 0; j < i; j++)
            if (order[j]->first <= block->last && block->first <= order[j]->last) overlapping[n++] = order[j];
        qsort(overlapping, n, sizeof *overlapping, by_place);
        WALSH_TRY(place(arena, block, overlapping, n));
    }
    return WALSH_OK;
}

walsh_status walsh_arena_place(walsh_arena *arena, walsh_block *blocks, size_t count)
{
    walsh_block **order = NULL;
    WALSH_TRY(walsh_alloc(&order, 2 * count, sizeof *order, "a memory plan"));
    for (size_t i = 0; i < count; i++) order[i] = &blocks[i];
    qsort(order, count, sizeof *order, by_size);
    walsh_status status = place_all(arena, order, order + count, count);
    free(order);
    return status;
}

size_t walsh_arena_bytes(const walsh_arena *arena)
{
    size_t bytes = 0;
    for (int i = 0; i < arena->chunks; i++) bytes += arena->bytes[i];
    return bytes;
}

walsh_status walsh_arena_commit(walsh_arena *arena)
{
    size_t bytes = walsh_arena_bytes(arena);
    if (bytes > arena->device->info.memory)
        WALSH_FAIL(WALSH_E_MEMORY, "activations and workspaces need %zu MiB; %s has %zu MiB: use a smaller batch",
                   bytes >> 20, arena->device->info.name, (size_t)arena->device->info.memory >> 20);
    for (int i = 0; i < arena->chunks; i++)
        WALSH_TRY(walsh_buffer_create(arena->device, arena->bytes[i], "the arena of activations", &arena->memory[i]));
    return WALSH_OK;
}

cl_mem walsh_arena_memory(const walsh_arena *arena, int chunk)
{
    return arena->memory[chunk];
}

void walsh_arena_destroy(walsh_arena **arena)
{
    if (!*arena) return;
    for (int i = 0; i < (*arena)->chunks; i++) walsh_buffer_release(&(*arena)->memory[i]);
    free(*arena);
    *arena = NULL;
}
