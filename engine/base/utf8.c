#include "engine/base/utf8.h"

#include <stdint.h>
#include <string.h>

/* Bytes of the character that begins with `lead`, 0 if none does. */
static size_t length_of(unsigned char lead)
{
    if (lead < 0x80) return 1;
    if (lead >= 0xC2 && lead <= 0xDF) return 2;
    if (lead >= 0xE0 && lead <= 0xEF) return 3;
    return lead >= 0xF0 && lead <= 0xF4 ? 4 : 0;
}

bool walsh_utf8_valid(const char *text, size_t size)
{
    const unsigned char *byte = (const unsigned char *)text;
    for (size_t i = 0, length; i < size; i += length) {
        length = length_of(byte[i]);
        if (!length || length > size - i) return false;
        uint32_t code = length == 1 ? byte[i] : byte[i] & (0x7Fu >> length);
        for (size_t k = 1; k < length; k++) {
            if ((byte[i + k] & 0xC0) != 0x80) return false;
            code = code << 6 | (byte[i + k] & 0x3Fu);
        }
        if (length == 3 && (code < 0x800 || (code >= 0xD800 && code <= 0xDFFF))) return false;
        if (length == 4 && (code < 0x10000 || code > 0x10FFFF)) return false;
    }
    return true;
}

walsh_shown walsh_show(const char *text)
{
    walsh_shown s = {""};
    size_t length = strlen(text), kept = length < 80 ? length : 80;
    bool valid = walsh_utf8_valid(text, length);
    if (kept < length) /* not in the middle of a character */
        while (kept && ((unsigned char)text[kept] & 0xC0) == 0x80) kept--;
    for (size_t i = 0; i < kept; i++) {
        unsigned char c = (unsigned char)text[i];
        s.text[i] = c < ' ' || c == 0x7F || (c > 0x7F && !valid) ? '?' : text[i];
    }
    if (kept < length) strcpy(s.text + kept, "...");
    return s;
}
