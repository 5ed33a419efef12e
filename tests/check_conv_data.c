/* The gradient of a convolution's input against double precision; the reference by finite differences and as an
 * adjoint. */
#include "tests/conv_case.h"
#include "tests/ref_conv.h"

static void against_double(void **state)
{
    (void)state;
    conv_case_check(&walsh_conv_data, WALSH_FUSE_ACCUMULATE | WALSH_FUSE_NORM_GRADIENT | WALSH_FUSE_NORM_SUMS);
}

static void lets_nan_through(void **state)
{
    (void)state;
    conv_case_nan(&walsh_conv_data, WALSH_FUSE_NORM_GRADIENT, "y");
    conv_case_nan_gate(WALSH_GATE_COMPUTED);
    conv_case_nan_gate(WALSH_GATE_STORED);
    conv_case_nan_gate(WALSH_GATE_SCALED);
}

static void exact_does_without(void **state)
{
    (void)state;
    conv_case_exact(&walsh_conv_data);
}

static void any_number_of_threads(void **state)
{
    (void)state;
    conv_case_threads(&walsh_conv_data);
}

static void reference_by_differences(void **state)
{
    (void)state;
    ref_conv_prove_differences(REF_CONV_X, 1);
    ref_conv_prove_differences(REF_CONV_X, 3);
}

static void reference_is_adjoint(void **state)
{
    (void)state;
    ref_conv_prove_adjoint(REF_CONV_X);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reference_by_differences), cmocka_unit_test(reference_is_adjoint),
        cmocka_unit_test(against_double),           cmocka_unit_test(lets_nan_through),
        cmocka_unit_test(exact_does_without),
        cmocka_unit_test(any_number_of_threads),
    };
    return cmocka_run_group_tests(tests, NULL, op_device_close);
}
