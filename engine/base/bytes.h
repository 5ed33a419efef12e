/* Amounts of memory in messages. */
#ifndef WALSH_ENGINE_BASE_BYTES_H
#define WALSH_ENGINE_BASE_BYTES_H

#include <stdint.h>

typedef struct walsh_bytes_text {
    char text[24];
} walsh_bytes_text;

/* "812 KiB", "98 MiB", "1.2 GiB". Write walsh_show_bytes(n).text. */
walsh_bytes_text walsh_show_bytes(uint64_t bytes);

#endif
