/* Convolution against double precision; the reference itself, against its definition. */
#include "tests/conv_case.h"
#include "tests/ref_conv.h"

static void against_double(void **state)
{
    (void)state;
    conv_case_check(&walsh_conv_forward, WALSH_FUSE_BIAS | WALSH_FUSE_AFFINE | WALSH_FUSE_STATS | WALSH_FUSE_NORMALISE);
}

static void lets_nan_through(void **state)
{
    (void)state;
    conv_case_nan(&walsh_conv_forward, WALSH_FUSE_AFFINE, "x");
    conv_case_nan(&walsh_conv_forward, WALSH_FUSE_NORMALISE, "x");
}

static void exact_does_without(void **state)
{
    (void)state;
    conv_case_exact(&walsh_conv_forward);
}

static void any_number_of_threads(void **state)
{
    (void)state;
    conv_case_threads(&walsh_conv_forward);
}

/* One output worked out by hand: 3x3 input 1..9, 2x2 filter 1, 2, 3, 4, stride 1, pad 1. Correlation: not flipped. */
static void reference_by_hand(void **state)
{
    (void)state;
    const walsh_conv c = {.n = 1, .h = 3, .w = 3, .ic = 1, .oc = 1, .kh = 2, .kw = 2, .stride = 1, .pad = 1};
    double x[9] = {1, 2, 3, 4, 5, 6, 7, 8, 9}, w[4] = {1, 2, 3, 4};
    const double want[16] = {4, 11, 18, 9, 18, 37, 47, 21, 36, 67, 77, 33, 14, 23, 26, 9};
    double y[16];
    assert_int_equal(walsh_conv_oh(&c), 4);
    ref_conv(WALSH_FORWARD, &c, x, w, y);
    for (int i = 0; i < 16; i++) assert_true(y[i] == want[i]);
}

static void wrong_sizes(void **state)
{
    (void)state;
    walsh_shape operand[WALSH_CONV_FORWARD_OPERANDS];
    const walsh_conv good = {.n = 1, .h = 3, .w = 3, .ic = 1, .oc = 1, .kh = 3, .kw = 3, .stride = 1};
    walsh_conv c = good;
    assert_ok(walsh_conv_forward.shapes(&c, operand));
    c.stride = 0;
    assert_fails(WALSH_E_ARGUMENT, "at least 1", walsh_conv_forward.shapes(&c, operand));
    c = good, c.pad = -1;
    assert_fails(WALSH_E_ARGUMENT, "-1", walsh_conv_forward.shapes(&c, operand));
    c = good, c.w = 2;
    assert_fails(WALSH_E_ARGUMENT, "3x3 does not fit an input of 3x2", walsh_conv_forward.shapes(&c, operand));
    c = good, c.gate = 4;
    assert_fails(WALSH_E_ARGUMENT, "the gate must be 0 to 3, and is 4", walsh_conv_forward.shapes(&c, operand));
    c = good, c.fuse = WALSH_FUSE_STATS | WALSH_FUSE_NORMALISE;
    assert_fails(WALSH_E_ARGUMENT, "statistics of a normalised output", walsh_conv_forward.shapes(&c, operand));
    c = good, c.groups = 2;
    assert_fails(WALSH_E_ARGUMENT, "2 groups do not divide 1 input", walsh_conv_forward.shapes(&c, operand));
    c = good, c.n = 1 << 30;
    assert_fails(WALSH_E_ARGUMENT, "2^30", walsh_conv_forward.shapes(&c, operand));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reference_by_hand),     cmocka_unit_test(against_double),
        cmocka_unit_test(lets_nan_through),      cmocka_unit_test(exact_does_without),
        cmocka_unit_test(any_number_of_threads), cmocka_unit_test(wrong_sizes),
    };
    return cmocka_run_group_tests(tests, NULL, op_device_close);
}
