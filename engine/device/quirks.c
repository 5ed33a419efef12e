#include "engine/device/quirks.h"

#include <stddef.h>
#include <string.h>

static const struct {
    const char *platform; /* a part of its name */
    unsigned quirks;
} known[] = {
    {"Portable Computing Language", WALSH_QUIRK_CACHES | WALSH_QUIRK_COMPILES_ALONE},
    {"rusticl", WALSH_QUIRK_AS_GPU | WALSH_QUIRK_NO_UNROLL_COUNTS},
    {"Oclgrind", WALSH_QUIRK_BLIND_TO_FILLS},
};

unsigned walsh_quirks(const char *platform)
{
    unsigned quirks = 0;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strstr(platform, known[i].platform)) quirks |= known[i].quirks;
    return quirks;
}
