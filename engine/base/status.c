#include "engine/base/status.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A compiler's log can be long; everything else is one line. */
static _Thread_local char message[4096];

const char *walsh_message(void)
{
    return message;
}

const char *walsh_status_name(walsh_status status)
{
    static const char *const names[] = {"ok",     "argument", "file",   "format",     "no device",
                                        "memory", "build",    "OpenCL", "not finite", "stopped"};
    size_t i = (size_t)status;
    return i < sizeof names / sizeof *names ? names[i] : "unknown";
}

walsh_status walsh_fail(walsh_status status, const char *format, ...)
{
    /* Formatted aside: an argument may be the previous message itself. */
    char text[sizeof message];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    memcpy(message, text, sizeof text);
    return status;
}

walsh_status walsh_alloc(void *pointer, size_t count, size_t size, const char *what)
{
    void *memory = calloc(count ? count : 1, size ? size : 1);
    if (!memory) WALSH_FAIL(WALSH_E_MEMORY, "out of memory: %zu x %zu bytes for %s", count, size, what);
    memcpy(pointer, &memory, sizeof memory);
    return WALSH_OK;
}

/* An array has room for 16 elements, or for as many as the power of two above its count: that need not be kept. */
walsh_status walsh_grow(void *pointer, size_t count, size_t size, const char *what)
{
    enum { FIRST = 16 };
    void *memory;
    size_t bytes;
    if (count && (count < FIRST || count & (count - 1))) return WALSH_OK;
    memcpy(&memory, pointer, sizeof memory);
    bool fits = !__builtin_mul_overflow(count ? 2 * count : FIRST, size, &bytes) && bytes <= PTRDIFF_MAX;
    memory = fits ? realloc(memory, bytes) : NULL;
    if (!memory) WALSH_FAIL(WALSH_E_MEMORY, "out of memory: %zu x %zu bytes for %s", count + 1, size, what);
    memcpy(pointer, &memory, sizeof memory);
    return WALSH_OK;
}
