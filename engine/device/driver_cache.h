/* Which kernels the driver's own cache is known to hold: a file in the cache's folder, so that both are lost together.
 * For drivers of WALSH_QUIRK_COMPILES_ALONE, whose folder is POCL's. */
#ifndef WALSH_ENGINE_DEVICE_DRIVER_CACHE_H
#define WALSH_ENGINE_DEVICE_DRIVER_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <walsh/status.h>

typedef struct walsh_driver_cache {
    char path[4096]; /* of the file */
    char *held;      /* its text: a key in hexadecimal digits a line */
} walsh_driver_cache;

/* Looks for the folder; false where there is none to write to, or the driver is told to keep nothing. */
bool walsh_driver_cache_open(walsh_driver_cache *cache);

bool walsh_driver_cache_holds(const walsh_driver_cache *cache, uint64_t key);

/* Adds keys to the file. What cannot be written is compiled ahead again, at worst. */
void walsh_driver_cache_add(const walsh_driver_cache *cache, const uint64_t *keys, size_t count);

void walsh_driver_cache_close(walsh_driver_cache *cache);

#endif
