#include "apps/values.h"

#include "engine/base/status.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static walsh_status refuse(const walsh_arguments *arguments, int option, const char *expected)
{
    const char *name = walsh_argument_name(arguments, option), *text = walsh_argument(arguments, option);
    WALSH_FAIL(WALSH_E_ARGUMENT, "--%s %s: expected %s", name, *text ? text : "''", expected);
}

/* The text, if it is a whole number of at most `most`, as decimal digits alone. */
static int whole(const char *text, uint64_t most, uint64_t *value)
{
    if (!*text || text[strspn(text, "0123456789")]) return 0;
    errno = 0;
    unsigned long long read = strtoull(text, NULL, 10);
    *value = read;
    return !errno && read <= most;
}

walsh_status walsh_value_u64(const walsh_arguments *arguments, int option, uint64_t least, uint64_t *value)
{
    const char *text = walsh_argument(arguments, option);
    uint64_t read;
    if (!text) return WALSH_OK;
    if (!whole(text, UINT64_MAX, &read) || read < least) {
        char expected[80];
        snprintf(expected, sizeof expected, "a whole number of at least %llu", (unsigned long long)least);
        return refuse(arguments, option, expected);
    }
    *value = read;
    return WALSH_OK;
}

walsh_status walsh_value_int(const walsh_arguments *arguments, int option, int least, int *value)
{
    const char *text = walsh_argument(arguments, option);
    uint64_t read;
    if (!text) return WALSH_OK;
    if (!whole(text, INT_MAX, &read) || (int)read < least) {
        char expected[80];
        snprintf(expected, sizeof expected, "a whole number from %d to %d", least, INT_MAX);
        return refuse(arguments, option, expected);
    }
    *value = (int)read;
    return WALSH_OK;
}

walsh_status walsh_value_list(const walsh_arguments *arguments, int option, const char *form, int least, int needed,
                              int most, int *values, int *count)
{
    const char *at = walsh_argument(arguments, option);
    enum { LARGEST = 1 << 28 }; /* sizes of tensors: shape rules may add some of them without overflow */
    int found = 0;
    bool right = at;
    while (right) {
        char word[16];
        size_t length = strcspn(at, ",");
        uint64_t read = 0;
        snprintf(word, sizeof word, "%.*s", (int)length, at);
        right = found < most && length < sizeof word && whole(word, LARGEST, &read) && read >= (uint64_t)least;
        if (right) values[found++] = (int)read;
        if (!at[length]) break;
        at += length + 1;
    }
    if (at && (!right || found < needed)) {
        char expected[96];
        snprintf(expected, sizeof expected, "%s, whole numbers from %d to %d%s", form, least, LARGEST,
                 needed < most ? "; the last may be left out" : "");
        return refuse(arguments, option, expected);
    }
    if (count) *count = found;
    return WALSH_OK;
}

walsh_status walsh_value_real(const walsh_arguments *arguments, int option, walsh_range range, double *value)
{
    static const char *const expected[] = {"a positive number", "a number of at least 0", "a number from 0 to below 1"};
    const char *text = walsh_argument(arguments, option);
    if (!text) return WALSH_OK;
    char *end = NULL;
    double read = text[strspn(text, "0123456789+-.eE")] ? NAN : strtod(text, &end);
    if (!*text || !end || *end || !isfinite(read) || read < 0 || (range == WALSH_RANGE_POSITIVE && read == 0) ||
        (range == WALSH_RANGE_BELOW_ONE && read >= 1))
        return refuse(arguments, option, expected[range]);
    *value = read;
    return WALSH_OK;
}

/* What a unit of memory stands for, in bytes; 0: it is none. */
static double unit(const char *text)
{
    static const char letters[] = "KMGT";
    const char *letter = *text ? strchr(letters, *text) : NULL;
    double base = !letter ? 0 : !text[1] || !strcmp(text + 1, "iB") ? 1024 : !strcmp(text + 1, "B") ? 1000 : 0;
    return base > 0 ? pow(base, (double)(letter - letters + 1)) : 0;
}

walsh_status walsh_value_bytes(const walsh_arguments *arguments, int option, uint64_t *value)
{
    const char *text = walsh_argument(arguments, option);
    if (!text) return WALSH_OK;
    char *end = NULL;
    size_t digits = strspn(text, "0123456789.");
    double read = digits && strspn(text + digits, "KMGT") ? strtod(text, &end) : 0;
    double bytes = end == text + digits ? read * unit(end) : 0;
    if (!(bytes >= 1 && bytes < 0x1p63)) return refuse(arguments, option, "an amount of memory, as 800MiB or 1.5GiB");
    *value = (uint64_t)bytes;
    return WALSH_OK;
}

walsh_status walsh_value_choice(const walsh_arguments *arguments, int option, const char *const *names, int *value)
{
    const char *text = walsh_argument(arguments, option);
    if (!text) return WALSH_OK;
    char expected[256] = "";
    for (int i = 0; names[i]; i++) {
        if (!strcmp(text, names[i])) {
            *value = i;
            return WALSH_OK;
        }
        size_t used = strlen(expected);
        snprintf(expected + used, sizeof expected - used, "%s%s", !i ? "" : names[i + 1] ? ", " : " or ", names[i]);
    }
    return refuse(arguments, option, expected);
}

/* One of two words: whether it is the second. */
static walsh_status either(const walsh_arguments *arguments, int option, const char *first, const char *second,
                           bool *value)
{
    const char *const names[] = {first, second, NULL};
    int chosen = *value;
    WALSH_TRY(walsh_value_choice(arguments, option, names, &chosen));
    *value = chosen;
    return WALSH_OK;
}

walsh_status walsh_value_math(const walsh_arguments *arguments, bool *exact)
{
    return either(arguments, WALSH_OPTION_MATH, "fast", "exact", exact);
}

walsh_status walsh_value_store(const walsh_arguments *arguments, bool *half)
{
    return either(arguments, WALSH_OPTION_STORE, "f32", "f16", half);
}
