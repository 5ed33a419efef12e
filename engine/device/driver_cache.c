#include "engine/device/driver_cache.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/base/file.h"
#include "engine/base/log.h"

enum { LINE = 17 }; /* 16 digits and the end */

/* As POCL finds its folder. */
static void find_folder(char *out, size_t size)
{
    const char *own = getenv("POCL_CACHE_DIR"), *xdg = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    if (own)
        snprintf(out, size, "%s", own);
    else if (xdg && *xdg)
        snprintf(out, size, "%s/pocl/kcache", xdg);
    else
        snprintf(out, size, home ? "%s/.cache/pocl/kcache" : "/tmp/pocl/kcache", home);
}

bool walsh_driver_cache_open(walsh_driver_cache *cache)
{
    const char *kept = getenv("POCL_KERNEL_CACHE");
    char folder[4000];
    size_t size;
    *cache = (walsh_driver_cache){0};
    find_folder(folder, sizeof folder);
    if ((kept && strcmp(kept, "1")) || access(folder, W_OK | X_OK)) return false;
    snprintf(cache->path, sizeof cache->path, "%s/walsh-kernels", folder);
    if (!access(cache->path, F_OK) && walsh_file_read(cache->path, &cache->held, &size))
        walsh_log(WALSH_LOG_DEBUG, "%s", walsh_message());
    return true;
}

static void write_key(char line[LINE + 1], uint64_t key)
{
    snprintf(line, LINE + 1, "%016llx\n", (unsigned long long)key);
}

bool walsh_driver_cache_holds(const walsh_driver_cache *cache, uint64_t key)
{
    char line[LINE + 1];
    write_key(line, key);
    return cache->held && strstr(cache->held, line);
}

void walsh_driver_cache_add(const walsh_driver_cache *cache, const uint64_t *keys, size_t count)
{
    char *lines = count ? malloc(count * LINE + 1) : NULL;
    if (!lines) return;
    for (size_t i = 0; i < count; i++) write_key(lines + i * LINE, keys[i]);
    /* One write, so that those of several processes do not mix. */
    int file = open(cache->path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
    if (file < 0 || write(file, lines, count * LINE) < 0) walsh_log(WALSH_LOG_DEBUG, "%s: not written", cache->path);
    if (file >= 0) close(file);
    free(lines);
}

void walsh_driver_cache_close(walsh_driver_cache *cache)
{
    free(cache->held);
    *cache = (walsh_driver_cache){0};
}
