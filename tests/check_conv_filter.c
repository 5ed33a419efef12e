/* The gradient of a convolution's weights against double precision; the reference by finite differences and as an
 * adjoint. */
#include "tests/op_case.h"
#include "tests/ref_conv.h"

#include <math.h>

static void against_double(void **state)
{
    (void)state;
    ref_conv_check(&walsh_conv_filter, WALSH_FUSE_AFFINE);
}

static void lets_nan_through(void **state)
{
    (void)state;
    ref_conv_check_nan(&walsh_conv_filter);
}

static void any_number_of_threads(void **state)
{
    (void)state;
    ref_conv_check_threads(&walsh_conv_filter);
}

/* Convolution is linear in W, so a central difference of L = <Y, dY> is its derivative up to rounding. */
static void reference_by_differences(void **state)
{
    (void)state;
    const walsh_conv c = {.n = 2, .h = 6, .w = 5, .ic = 3, .oc = 2, .kh = 3, .kw = 2, .stride = 2, .pad = 1};
    size_t nx = ref_conv_x(&c), nw = ref_conv_w(&c), ny = ref_conv_y(&c);
    double *x = ref_conv_draw(nx, 1), *w = ref_conv_draw(nw, 2), *dy = ref_conv_draw(ny, 3);
    double *y = op_doubles(ny), *gradient = op_doubles(nw);
    ref_conv_filter(&c, x, dy, gradient);
    for (size_t i = 0; i < nw; i++) {
        double difference = 0;
        for (int side = -1; side <= 1; side += 2) {
            w[i] += 0.5 * side;
            ref_conv_forward(&c, x, w, y);
            w[i] -= 0.5 * side;
            for (size_t k = 0; k < ny; k++) difference += side * y[k] * dy[k];
        }
        assert_true(fabs(gradient[i] - difference) < 1e-12);
    }
    free(x), free(w), free(dy), free(y), free(gradient);
}

/* <conv(x, w), dy> = <w, conv_filter(x, dy)>. */
static void reference_is_adjoint(void **state)
{
    (void)state;
    const walsh_conv c = {.n = 3, .h = 9, .w = 7, .ic = 5, .oc = 6, .kh = 2, .kw = 3, .stride = 3, .pad = 2};
    size_t nx = ref_conv_x(&c), nw = ref_conv_w(&c), ny = ref_conv_y(&c);
    double *x = ref_conv_draw(nx, 4), *w = ref_conv_draw(nw, 5), *dy = ref_conv_draw(ny, 6);
    double *y = op_doubles(ny), *gradient = op_doubles(nw), left = 0, right = 0;
    ref_conv_forward(&c, x, w, y);
    ref_conv_filter(&c, x, dy, gradient);
    for (size_t i = 0; i < ny; i++) left += y[i] * dy[i];
    for (size_t i = 0; i < nw; i++) right += w[i] * gradient[i];
    assert_true(fabs(left) > 1e-3);
    assert_true(fabs(left - right) < 1e-12 * fabs(left) * (double)ny);
    free(x), free(w), free(dy), free(y), free(gradient);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reference_by_differences), cmocka_unit_test(reference_is_adjoint),
        cmocka_unit_test(against_double),           cmocka_unit_test(lets_nan_through),
        cmocka_unit_test(any_number_of_threads),
    };
    return cmocka_run_group_tests(tests, NULL, op_device_close);
}
