/* UTF-8 text (RFC 3629), and foreign text in messages. */
#ifndef WALSH_ENGINE_BASE_UTF8_H
#define WALSH_ENGINE_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>

/* Whether text[size] is well-formed UTF-8: no overlong form, no surrogate, nothing above U+10FFFF. A NUL is a
 * character. */
bool walsh_utf8_valid(const char *text, size_t size);

typedef struct walsh_shown {
    char text[100];
} walsh_shown;

/* What a message can show of text from elsewhere: one line, cut with "..." after 80 bytes, '?' for control characters
 * and, where it is not UTF-8, for every byte above 0x7E. Write walsh_show(name).text. */
walsh_shown walsh_show(const char *text);

#endif
