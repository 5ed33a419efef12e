/* ReLU and its gradient against double precision, in both layouts, in place, and with NaN. */
#include "tests/op_case.h"

#include <math.h>

#include "engine/op/relu.h"

static void one(const walsh_relu *p, int extra, bool in_place)
{
    op_case f, b;
    if (op_case_left_out(&walsh_relu_forward, NULL, p) && op_case_left_out(&walsh_relu_backward, NULL, p)) return;
    op_case_open(&f, &walsh_relu_forward, p, extra);
    op_case_open(&b, &walsh_relu_backward, p, extra);
    if (in_place) {
        op_case_alias(&f, WALSH_RELU_FORWARD_Y, WALSH_RELU_FORWARD_X);
        op_case_alias(&b, WALSH_RELU_BACKWARD_DX, WALSH_RELU_BACKWARD_DY);
    }
    size_t count = op_case_count(&f, WALSH_RELU_FORWARD_X);
    float *x = op_floats(count), *y = op_floats(count), *dy = op_floats(count), *dx = op_floats(count);
    double *want_y = op_doubles(count), *want_dx = op_doubles(count);
    for (const walsh_variant *const *v = walsh_relu_forward.variants; *v; v++) {
        if (!in_place) op_case_poison(&f, WALSH_RELU_FORWARD_Y);
        op_case_random(&f, WALSH_RELU_FORWARD_X, 1, x);
        op_case_run(&f, *v);
        op_case_get(&f, WALSH_RELU_FORWARD_Y, y);
        for (size_t i = 0; i < count; i++) want_y[i] = x[i] > 0 ? x[i] : 0;
        assert_true(op_error(y, want_y, count) == 0);
    }
    for (const walsh_variant *const *v = walsh_relu_backward.variants; *v; v++) {
        if (!in_place) op_case_poison(&b, WALSH_RELU_BACKWARD_DX);
        op_case_random(&b, WALSH_RELU_BACKWARD_DY, 2, dy);
        op_case_set(&b, WALSH_RELU_BACKWARD_Y, y);
        op_case_run(&b, *v);
        op_case_get(&b, WALSH_RELU_BACKWARD_DX, dx);
        for (size_t i = 0; i < count; i++) want_dx[i] = y[i] > 0 ? dy[i] : 0;
        assert_true(op_error(dx, want_dx, count) == 0);
    }
    op_case_close(&f);
    op_case_close(&b);
    free(x), free(y), free(dy), free(dx), free(want_y), free(want_dx);
}

static void shapes(void **state)
{
    (void)state;
    static const int sizes[][4] = {{1, 1, 1, 1},  {2, 5, 7, 3},   {3, 8, 8, 64},  {1, 3, 2, 30},  {2, 9, 9, 16},
                                   {1, 13, 1, 4}, {5, 1, 1, 342}, {2, 11, 13, 6}, {1, 40, 33, 24},
                                   {1, 512, 513, 16}, {1, 512, 400, 16}, {1, 512, 400, 24}}; /* larger than caches */
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        walsh_relu p = {.n = sizes[i][0], .h = sizes[i][1], .w = sizes[i][2], .c = sizes[i][3]};
        one(&p, i % 2 ? 0 : 12, i % 3 == 2);
    }
}

static void nan_is_not_hidden(void **state)
{
    (void)state;
    walsh_relu p = {.n = 1, .h = 1, .w = 1, .c = 4};
    const float x[4] = {NAN, -INFINITY, INFINITY, -0.0f}, dy[4] = {1, 2, 3, 4};
    float y[4], dx[4];
    op_case f, b;
    op_case_open(&f, &walsh_relu_forward, &p, 0);
    op_case_set(&f, WALSH_RELU_FORWARD_X, x);
    op_case_run(&f, walsh_relu_forward.variants[0]);
    op_case_get(&f, WALSH_RELU_FORWARD_Y, y);
    assert_true(isnan(y[0]) && y[1] == 0 && y[2] == INFINITY && y[3] == 0);
    op_case_open(&b, &walsh_relu_backward, &p, 0);
    op_case_set(&b, WALSH_RELU_BACKWARD_Y, y);
    op_case_set(&b, WALSH_RELU_BACKWARD_DY, dy);
    op_case_run(&b, walsh_relu_backward.variants[0]);
    op_case_get(&b, WALSH_RELU_BACKWARD_DX, dx);
    assert_true(dx[0] == 1 && dx[1] == 0 && dx[2] == 3 && dx[3] == 0);
    op_case_close(&f);
    op_case_close(&b);
}

static void wrong_sizes(void **state)
{
    (void)state;
    walsh_shape operand[WALSH_RELU_BACKWARD_OPERANDS];
    walsh_relu none = {.n = 1, .h = 0, .w = 1, .c = 4}, huge = {.n = 1 << 16, .h = 1 << 15, .w = 1, .c = 4};
    assert_fails(WALSH_E_ARGUMENT, "at least 1, found 1x0x1x4", walsh_relu_forward.shapes(&none, operand));
    assert_fails(WALSH_E_ARGUMENT, "at least 1, found 1x0x1x4", walsh_relu_backward.shapes(&none, operand));
    assert_fails(WALSH_E_ARGUMENT, "2^30 rows", walsh_relu_forward.shapes(&huge, operand));
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
