/* How the engine reports failures: return WALSH_FAIL(code, "what, expected, found"), forward with WALSH_TRY. */
#ifndef WALSH_ENGINE_BASE_STATUS_H
#define WALSH_ENGINE_BASE_STATUS_H

#include <walsh/status.h>
#include <stddef.h>

/* Sets this thread's message (printf format) and returns `status`. */
walsh_status walsh_fail(walsh_status status, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define WALSH_FAIL(status, ...) return walsh_fail((status), __VA_ARGS__)

#define WALSH_TRY(call)                                                                                                \
    do {                                                                                                               \
        walsh_status walsh_try_status_ = (call);                                                                       \
        if (walsh_try_status_) return walsh_try_status_;                                                               \
    } while (0)

/* Allocate zeroed memory for `count` elements into *pointer, or fail with WALSH_E_MEMORY saying what it was for. */
walsh_status walsh_alloc(void *pointer, size_t count, size_t size, const char *what);

/* Makes room for one more element in the array *pointer, which holds `count` elements of `size` bytes and was only ever
 * made by this function (start with NULL and 0); it doubles now and then, so that appending stays cheap. The new
 * element's content is undefined. Fails as walsh_alloc; the array is then as it was. */
walsh_status walsh_grow(void *pointer, size_t count, size_t size, const char *what);

#endif
