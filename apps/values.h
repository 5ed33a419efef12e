/* Strict reading of the command line's values. Each function leaves *value as it is where the option was not given, and
 * fails with WALSH_E_ARGUMENT and a line like `--lr nan: expected a positive number`. */
#ifndef WALSH_APPS_VALUES_H
#define WALSH_APPS_VALUES_H

#include "apps/options.h"

#include <stdint.h>

/* A whole number of at least `least`. */
walsh_status walsh_value_int(const walsh_arguments *arguments, int option, int least, int *value);
walsh_status walsh_value_u64(const walsh_arguments *arguments, int option, uint64_t least, uint64_t *value);

/* Whole numbers from `least` to 2^28 with commas between them, from `needed` to `most` of them, as `form` ("N,C")
 * shows; their number in *count, unless NULL. */
walsh_status walsh_value_list(const walsh_arguments *arguments, int option, const char *form, int least, int needed,
                              int most, int *values, int *count);

/* An amount of memory above 0, in bytes: a number and KiB, MiB, GiB or TiB (or K, M, G, T), or KB, MB, GB, TB. */
walsh_status walsh_value_bytes(const walsh_arguments *arguments, int option, uint64_t *value);

typedef enum walsh_range {
    WALSH_RANGE_POSITIVE,
    WALSH_RANGE_NOT_NEGATIVE,
    WALSH_RANGE_BELOW_ONE /* 0 <= value < 1 */
} walsh_range;

/* A finite decimal number in a range. */
walsh_status walsh_value_real(const walsh_arguments *arguments, int option, walsh_range range, double *value);

/* One of the words in `names`, which NULL ends; *value is its place there. */
walsh_status walsh_value_choice(const walsh_arguments *arguments, int option, const char *const *names, int *value);

/* --math: whether it is exact. */
walsh_status walsh_value_math(const walsh_arguments *arguments, bool *exact);

/* --store: whether it is f16. */
walsh_status walsh_value_store(const walsh_arguments *arguments, bool *half);

#endif
