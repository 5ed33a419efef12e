/* The kernels that measure peaks do what they claim, so that no compiler has found a shorter way. */
#include "tests/op_case.h"

#include <math.h>

#include "engine/op/peak.h"

static void fma_one(int items, int fmas)
{
    const walsh_peak_fma_problem p = {.items = items, .fmas = fmas};
    const float line[4] = {0.75f, 0.5f};
    const double first = -3, limit = 0.5 / (1 - 0.75);
    if (op_case_left_out(&walsh_peak_fma, NULL, &p)) return;
    float start[WALSH_PEAK_START], *y = op_floats((size_t)items);
    double *want = op_doubles((size_t)items);
    op_case k;
    op_case_open(&k, &walsh_peak_fma, &p, 0);
    for (int i = 0; i < WALSH_PEAK_START; i++) start[i] = (float)first;
    op_case_set(&k, WALSH_PEAK_FMA_START, start);
    op_case_set(&k, WALSH_PEAK_FMA_LINE, line);
    for (const walsh_variant *const *v = walsh_peak_fma.variants; *v; v++) {
        /* Elements of an item: vectors of 16, 8 or 4, in 12 or 8 chains. */
        int elements = strstr((*v)->name, "wide") ? 192 : strstr((*v)->name, "medium") ? 96 : 32;
        if (!(*v)->suits(k.device, &p)) continue;
        for (int i = 0; i < items; i++) want[i] = limit + (first - limit) * pow(0.75, fmas / elements);
        op_case_poison(&k, WALSH_PEAK_FMA_Y);
        op_case_run(&k, *v);
        op_case_get(&k, WALSH_PEAK_FMA_Y, y);
        assert_true(op_error(y, want, (size_t)items) < 1e-6);
    }
    op_case_close(&k);
    free(y), free(want);
}

static void chains(void **state)
{
    (void)state;
    fma_one(256, 192);
    fma_one(512, 1152);
}

static void stream_one(walsh_peak_stream_kind kind, int elements)
{
    const walsh_peak_stream_problem p = {.kind = kind, .elements = elements};
    op_case k;
    if (op_case_left_out(&walsh_peak_stream, NULL, &p)) return;
    op_case_open(&k, &walsh_peak_stream, &p, 0);
    size_t count = op_case_count(&k, WALSH_PEAK_STREAM_Y), each = (size_t)elements / count;
    float *x = op_floats((size_t)elements), *z = op_floats((size_t)elements), *y = op_floats(count);
    double *want = op_doubles(count);
    op_case_random(&k, WALSH_PEAK_STREAM_X, 1, x);
    if (kind == WALSH_PEAK_TRIAD) op_case_random(&k, WALSH_PEAK_STREAM_Z, 2, z);
    for (size_t i = 0; i < (size_t)elements; i++) want[i / each] += x[i] + 0.5 * z[i];
    op_case_poison(&k, WALSH_PEAK_STREAM_Y);
    op_case_run(&k, walsh_peak_stream.variants[0]);
    op_case_get(&k, WALSH_PEAK_STREAM_Y, y);
    assert_true(op_error(y, want, count) < 1e-5);
    op_case_close(&k);
    free(x), free(z), free(y), free(want);
}

static void stream(void **state)
{
    (void)state;
    for (int k = 0; k < WALSH_PEAK_STREAM_KINDS; k++) {
        stream_one((walsh_peak_stream_kind)k, 4 * WALSH_PEAK_BLOCK);
        stream_one((walsh_peak_stream_kind)k, 12 * WALSH_PEAK_BLOCK);
    }
}

static void wrong_sizes(void **state)
{
    (void)state;
    walsh_shape operand[WALSH_MAX_OPERANDS];
    assert_fails(WALSH_E_ARGUMENT, "multiples of 256 and 192",
                 walsh_peak_fma.shapes(&(walsh_peak_fma_problem){.items = 255, .fmas = 192}, operand));
    assert_fails(WALSH_E_ARGUMENT, "a multiple of 65536",
                 walsh_peak_stream.shapes(&(walsh_peak_stream_problem){.elements = 100}, operand));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chains),
        cmocka_unit_test(stream),
        cmocka_unit_test(wrong_sizes),
    };
    return cmocka_run_group_tests(tests, NULL, op_device_close);
}
