/* The generator: known answers, moments, and independence of streams. */
#include "tests/check.h"

#include "engine/base/rng.h"

#include <math.h>

/* Known answers of Random123's Philox4x32-10: all zeros, and all ones. */
static void known_answers(void **state)
{
    (void)state;
    uint32_t word[4];
    walsh_rng_words((walsh_rng){0, 0}, 0, word);
    const uint32_t zeros[4] = {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8};
    assert_memory_equal(word, zeros, sizeof zeros);
    walsh_rng_words((walsh_rng){UINT64_MAX, UINT64_MAX}, UINT64_MAX, word);
    const uint32_t ones[4] = {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd};
    assert_memory_equal(word, ones, sizeof ones);
}

static void normal_moments(void **state)
{
    (void)state;
    const int n = 100000;
    walsh_rng rng = walsh_rng_make(7, WALSH_RNG_INIT, 3);
    double sum = 0, square = 0, fourth = 0;
    for (int i = 0; i < n; i++) {
        double v = walsh_rng_normal(rng, (uint64_t)i);
        sum += v, square += v * v, fourth += v * v * v * v;
    }
    /* Five standard errors: 1/sqrt(n), sqrt(2/n), sqrt(96/n). */
    assert_true(fabs(sum / n) < 5 / sqrt(n));
    assert_true(fabs(square / n - 1) < 5 * sqrt(2.0 / n));
    assert_true(fabs(fourth / n - 3) < 5 * sqrt(96.0 / n));
}

static void below_is_uniform(void **state)
{
    (void)state;
    const uint32_t bound = 7;
    int count[7] = {0};
    walsh_rng rng = walsh_rng_make(1, WALSH_RNG_SHUFFLE, 0);
    for (int i = 0; i < 70000; i++) {
        uint32_t v = walsh_rng_below(rng, (uint64_t)i, bound);
        assert_true(v < bound);
        count[v]++;
    }
    for (int i = 0; i < 7; i++) assert_true(abs(count[i] - 10000) < 500);
    assert_int_equal(walsh_rng_below(rng, 3, 1), 0);
}

static void streams_differ(void **state)
{
    (void)state;
    uint32_t a[4], b[4];
    walsh_rng_words(walsh_rng_make(1, WALSH_RNG_INIT, 0), 0, a);
    walsh_rng_words(walsh_rng_make(1, WALSH_RNG_INIT, 1), 0, b);
    assert_memory_not_equal(a, b, sizeof a);
    walsh_rng_words(walsh_rng_make(1, WALSH_RNG_SHUFFLE, 0), 0, b);
    assert_memory_not_equal(a, b, sizeof a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_answers),
        cmocka_unit_test(normal_moments),
        cmocka_unit_test(below_is_uniform),
        cmocka_unit_test(streams_differ),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
