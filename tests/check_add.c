/* Residual addition, with and without ReLU, against double precision. */
#include "tests/op_case.h"

#include "engine/op/add.h"

static void one(int n, int h, int w, int c, int relu)
{
    walsh_add_problem p = {.n = n, .h = h, .w = w, .c = c, .relu = relu};
    op_case k;
    if (op_case_left_out(&walsh_add, NULL, &p)) return;
    op_case_open(&k, &walsh_add, &p, 8);
    size_t count = op_case_count(&k, WALSH_ADD_Y);
    float *a = op_floats(count), *b = op_floats(count), *y = op_floats(count);
    double *want = op_doubles(count);
    op_case_random(&k, WALSH_ADD_A, 1, a);
    op_case_random(&k, WALSH_ADD_B, 2, b);
    for (size_t i = 0; i < count; i++) {
        want[i] = (double)a[i] + b[i];
        if (relu && want[i] < 0) want[i] = 0;
    }
    for (const walsh_variant *const *v = walsh_add.variants; *v; v++) {
        op_case_poison(&k, WALSH_ADD_Y);
        op_case_run(&k, *v);
        op_case_get(&k, WALSH_ADD_Y, y);
        assert_true(op_error(y, want, count) < 1e-7);
    }
    op_case_close(&k);
    free(a), free(b), free(y), free(want);
}

static void shapes(void **state)
{
    (void)state;
    for (int relu = 0; relu < 2; relu++) {
        one(1, 1, 1, 1, relu);
        one(2, 5, 7, 3, relu);
        one(3, 8, 8, 64, relu);
        one(1, 3, 2, 342, relu);
    }
}

/* In place, and NaN must come through a ReLU. */
static void nan_is_not_hidden(void **state)
{
    (void)state;
    walsh_add_problem p = {.n = 1, .h = 1, .w = 1, .c = 4, .relu = 1};
    op_case k;
    op_case_open(&k, &walsh_add, &p, 0);
    const float a[4] = {0.0f / 0.0f, -1, 2, -0.5f}, b[4] = {1, 0, 1, 0.25f};
    float y[4];
    op_case_set(&k, WALSH_ADD_A, a);
    op_case_set(&k, WALSH_ADD_B, b);
    op_case_run(&k, walsh_add.variants[0]);
    op_case_get(&k, WALSH_ADD_Y, y);
    assert_true(y[0] != y[0]);
    assert_true(y[1] == 0 && y[2] == 3 && y[3] == 0);
    op_case_close(&k);
}

static void wrong_sizes(void **state)
{
    (void)state;
    walsh_add_problem p = {.n = 0, .h = 1, .w = 1, .c = 4};
    walsh_shape operand[WALSH_ADD_OPERANDS];
    assert_fails(WALSH_E_ARGUMENT, "at least 1", walsh_add.shapes(&p, operand));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shapes),
        cmocka_unit_test(nan_is_not_hidden),
        cmocka_unit_test(wrong_sizes),
    };
    return cmocka_run_group_tests(tests, NULL, op_device_close);
}
