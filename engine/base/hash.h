/* Names of cache files and sums over their content: not for anything that an adversary may choose. */
#ifndef WALSH_ENGINE_BASE_HASH_H
#define WALSH_ENGINE_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

/* FNV-1a, 64 bits (Fowler, Noll, Vo). */
uint64_t walsh_hash(const void *bytes, size_t size);

#endif
