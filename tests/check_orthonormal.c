/* Orthonormal vectors: against the plain Gram-Schmidt process, and the same bits on any number of processors. */
#include "tests/check.h"

#include <math.h>
#include <sched.h>
#include <stdbool.h>

#include "engine/base/rng.h"
#include "engine/nn/orthonormal.h"

static double *at(double *panels, size_t length, size_t v, size_t i)
{
    return &panels[(v / WALSH_PANEL * walsh_panel_length(length) + i) * WALSH_PANEL + v % WALSH_PANEL];
}

static size_t room(size_t count, size_t length)
{
    return walsh_panel_vectors(count) * walsh_panel_length(length);
}

static double *gaussian(size_t count, size_t length)
{
    double *panels = calloc(room(count, length), sizeof *panels);
    for (size_t v = 0; v < count; v++)
        for (size_t i = 0; i < length; i++)
            *at(panels, length, v, i) = walsh_rng_normal((walsh_rng){7, 0}, v * length + i);
    return panels;
}

/* One vector after the other, each twice against all before it, one entry at a time. */
static void plainly(double *panels, size_t count, size_t length)
{
    for (size_t v = 0; v < count; v++)
        for (size_t round = 0; round <= 2 * v; round++) {
            const bool last = round == 2 * v;
            const size_t other = last ? v : round % v;
            double product = 0;
            for (size_t i = 0; i < length; i++) product += *at(panels, length, v, i) * *at(panels, length, other, i);
            for (size_t i = 0; i < length; i++)
                if (last)
                    *at(panels, length, v, i) /= sqrt(product);
                else
                    *at(panels, length, v, i) -= product * *at(panels, length, other, i);
        }
}

static void like_gram_schmidt(void **state)
{
    (void)state;
    const size_t sizes[][2] = {{1, 1},   {1, 7},    {2, 2},     {15, 40},   {16, 64},  {17, 34},
                               {33, 33}, {64, 130}, {150, 151}, {100, 517}, {260, 300}};
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
        const size_t count = sizes[k][0], length = sizes[k][1];
        double *got = gaussian(count, length), *want = gaussian(count, length), sum = 0;
        assert_ok(walsh_orthonormalise(got, count, length));
        plainly(want, count, length);
        for (size_t i = 0; i < room(count, length); i++) {
            sum += got[i] * got[i];
            if (fabs(got[i] - want[i]) > 1e-10) fail_msg("%zu x %zu: %g, not %g", count, length, got[i], want[i]);
        }
        assert_true(fabs(sum - (double)count) < 1e-10); /* what fills up is 0 still */
        for (size_t v = 0; v < count; v++)
            for (size_t other = 0; other <= v; other++) {
                double product = 0;
                for (size_t i = 0; i < length; i++) product += *at(got, length, v, i) * *at(got, length, other, i);
                assert_true(fabs(product - (v == other)) < 1e-13);
            }
        free(got), free(want);
    }
}

/* Vectors that are nearly equal, which one pass does not tell apart well enough. */
static void nearly_dependent(void **state)
{
    (void)state;
    enum { COUNT = 40, LENGTH = 60 };
    double *got = gaussian(COUNT, LENGTH);
    for (size_t v = 1; v < COUNT; v++)
        for (size_t i = 0; i < LENGTH; i++)
            *at(got, LENGTH, v, i) = *at(got, LENGTH, 0, i) + 1e-6 * *at(got, LENGTH, v, i);
    assert_ok(walsh_orthonormalise(got, COUNT, LENGTH));
    for (size_t v = 0; v < COUNT; v++)
        for (size_t other = 0; other <= v; other++) {
            double product = 0;
            for (size_t i = 0; i < LENGTH; i++) product += *at(got, LENGTH, v, i) * *at(got, LENGTH, other, i);
            assert_true(fabs(product - (v == other)) < 1e-13);
        }
    free(got);
}

static void same_bits_on_one_processor(void **state)
{
    (void)state;
    enum { COUNT = 200, LENGTH = 700 };
    cpu_set_t all, one;
    assert_int_equal(sched_getaffinity(0, sizeof all, &all), 0);
    CPU_ZERO(&one);
    for (int cpu = 0; cpu < CPU_SETSIZE && !CPU_COUNT(&one); cpu++)
        if (CPU_ISSET(cpu, &all)) CPU_SET(cpu, &one);
    double *shared = gaussian(COUNT, LENGTH), *alone = gaussian(COUNT, LENGTH);
    assert_ok(walsh_orthonormalise(shared, COUNT, LENGTH));
    assert_int_equal(sched_setaffinity(0, sizeof one, &one), 0);
    assert_ok(walsh_orthonormalise(alone, COUNT, LENGTH));
    assert_int_equal(sched_setaffinity(0, sizeof all, &all), 0);
    assert_memory_equal(shared, alone, sizeof *alone * room(COUNT, LENGTH));
    free(shared), free(alone);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(like_gram_schmidt),
        cmocka_unit_test(nearly_dependent),
        cmocka_unit_test(same_bits_on_one_processor),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
