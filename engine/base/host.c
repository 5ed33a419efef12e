#include "engine/base/host.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

/* The number that a file holds; the largest where there is none ("max" says no limit). */
static uint64_t limit_in(const char *path)
{
    uint64_t limit = UINT64_MAX;
    FILE *file = fopen(path, "r");
    if (!file) return limit;
    if (fscanf(file, "%" SCNu64, &limit) != 1) limit = UINT64_MAX;
    fclose(file);
    return limit;
}

uint64_t walsh_host_memory(void)
{
    static const char *const limits[] = {"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"};
    uint64_t memory = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
    for (int i = 0; i < 2; i++) {
        uint64_t limit = limit_in(limits[i]);
        if (limit < memory) memory = limit;
    }
    return memory;
}
