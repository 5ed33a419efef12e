/* Sums of rows against double precision: exact sizes, accumulation, and how errors grow with the length. */
#include "tests/op_case.h"

#include "engine/op/reduce.h"

/* All-positive terms, so that a plain running sum over many rows would show. */
static void one(const walsh_variant *variant, int rows, int c, unsigned fuse)
{
    walsh_reduce_problem p = {.fuse = fuse, .rows = rows, .c = c};
    if (rows % 8 == 0) p.rows /= 8, p.h = 2, p.w = 4;
    if (op_case_left_out(&walsh_reduce, variant, &p)) return;
    op_case k;
    op_case_open(&k, &walsh_reduce, &p, 8);
    size_t count = op_case_count(&k, WALSH_REDUCE_X), columns = (size_t)c;
    float *x = op_floats(count), *s = op_floats(columns);
    double *want = op_doubles(columns);
    op_case_random(&k, WALSH_REDUCE_X, 1, x);
    for (size_t i = 0; i < count; i++) x[i] = 1.1f + 0.1f * x[i];
    op_case_set(&k, WALSH_REDUCE_X, x);
    if (fuse & WALSH_FUSE_ACCUMULATE)
        op_case_random(&k, WALSH_REDUCE_S, 2, s);
    else
        op_case_poison(&k, WALSH_REDUCE_S);
    for (size_t j = 0; j < columns; j++) want[j] = s[j];
    for (size_t i = 0; i < count; i++) want[i % columns] += x[i];
    op_case_run(&k, variant);
    op_case_get(&k, WALSH_REDUCE_S, s);
    double error = op_error(s, want, columns);
    if (!(error < 4e-7)) fail_msg("%s: %d rows of %d: error %g", variant->name, rows, c, error);
    op_case_close(&k);
    free(x), free(s), free(want);
}

static void against_double(void **state)
{
    static const int cases[][2] = {{1, 1},    {1, 7},      {7, 1},    {8, 16},      {64, 10},   {65, 17},
                                   {128, 10}, {1000, 342}, {4099, 3}, {131072, 16}, {500000, 1}};
    (void)state;
    for (const walsh_variant *const *v = walsh_reduce.variants; *v; v++)
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            one(*v, cases[i][0], cases[i][1], 0);
            one(*v, cases[i][0], cases[i][1], WALSH_FUSE_ACCUMULATE);
        }
}

static void wrong_sizes(void **state)
{
    walsh_shape operand[WALSH_REDUCE_OPERANDS];
    const walsh_reduce_problem p = {.rows = 0, .c = 4};
    (void)state;
    assert_fails(WALSH_E_ARGUMENT, "0 rows", walsh_reduce.shapes(&p, operand));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(against_double),
        cmocka_unit_test(wrong_sizes),
    };
    return cmocka_run_group_tests(tests, NULL, op_device_close);
}
