/* Wisdom: remembered, written, read back, and never believed where it is damaged or of another device. */
#include "tests/op_case.h"

#include "engine/op/add.h"
#include "engine/op/gemm.h"
#include "engine/op/wisdom.h"
#include "tests/temp.h"

static const walsh_gemm_problem small = {.m = 3, .n = 4, .k = 5}, large = {.m = 30, .n = 40, .k = 50, .tb = 1};

static void remembers_problems(void **state)
{
    (void)state;
    walsh_wisdom *wisdom = NULL;
    const walsh_add_problem sum = {.n = 3, .h = 4, .w = 5};
    assert_ok(walsh_wisdom_create(&wisdom));
    assert_null(walsh_wisdom_find(wisdom, &walsh_gemm, &small));
    assert_ok(walsh_wisdom_set(wisdom, &walsh_gemm, &small, "gemm_plain"));
    assert_ok(walsh_wisdom_set(wisdom, &walsh_gemm, &large, "gemm_packed"));
    assert_ok(walsh_wisdom_set(wisdom, &walsh_gemm, &small, "gemm_clblast"));
    assert_int_equal(walsh_wisdom_count(wisdom), 2);
    assert_string_equal(walsh_wisdom_find(wisdom, &walsh_gemm, &small), "gemm_clblast");
    assert_string_equal(walsh_wisdom_find(wisdom, &walsh_gemm, &large), "gemm_packed");
    assert_null(walsh_wisdom_find(wisdom, &walsh_add, &sum));
    walsh_wisdom_destroy(&wisdom);
}

/* The order of learning does not show. */
static void text_comes_back(void **state)
{
    (void)state;
    walsh_wisdom *a = NULL, *b = NULL;
    char *one = NULL, *two = NULL;
    assert_ok(walsh_wisdom_create(&a));
    assert_ok(walsh_wisdom_create(&b));
    assert_ok(walsh_wisdom_set(a, &walsh_gemm, &small, "gemm_plain"));
    assert_ok(walsh_wisdom_set(a, &walsh_gemm, &large, "gemm_packed"));
    assert_ok(walsh_wisdom_set(b, &walsh_gemm, &large, "gemm_packed"));
    assert_ok(walsh_wisdom_text(a, &one));
    assert_int_not_equal(walsh_wisdom_count(b), walsh_wisdom_count(a));
    assert_ok(walsh_wisdom_parse(b, one, "a test"));
    assert_ok(walsh_wisdom_text(b, &two));
    assert_string_equal(one, two);
    free(one), free(two);
    walsh_wisdom_destroy(&a), walsh_wisdom_destroy(&b);
}

static void damaged_text_is_refused(void **state)
{
    (void)state;
    static const char *const damaged[] = {
        "gemm", "gemm 00ff gemm_plain",           "gemm 00ff\n", "gemm xyz gemm_plain\n", "gemm 00 a b\n",
        "\n",   "gemm 00 gemm_plain\nGEMM 00 x\n"};
    walsh_wisdom *wisdom = NULL;
    assert_ok(walsh_wisdom_create(&wisdom));
    for (size_t i = 0; i < sizeof damaged / sizeof *damaged; i++)
        assert_fails(WALSH_E_FORMAT, "a test: line", walsh_wisdom_parse(wisdom, damaged[i], "a test"));
    walsh_wisdom_destroy(&wisdom);
}

static void files_are_of_one_device(void **state)
{
    (void)state;
    walsh_wisdom *wisdom = NULL, *again = NULL;
    walsh_device *device = op_device();
    assert_int_equal(setenv("WALSH_CACHE", "cache", 1), 0);
    assert_ok(walsh_wisdom_load(device, &wisdom)); /* nothing there yet */
    assert_int_equal(walsh_wisdom_count(wisdom), 0);
    assert_ok(walsh_wisdom_set(wisdom, &walsh_gemm, &small, "gemm_plain"));
    assert_ok(walsh_wisdom_save(device, wisdom));
    assert_ok(walsh_wisdom_load(device, &again));
    assert_string_equal(walsh_wisdom_find(again, &walsh_gemm, &small), "gemm_plain");
    walsh_wisdom_destroy(&again);
    /* The same file with another device's line on top, or cut short, counts for nothing and does no harm. */
    assert_int_equal(system("for f in cache/*.wisdom; do { echo 'other device'; tail -n +2 $f; } > x; mv x $f; done"),
                     0);
    assert_ok(walsh_wisdom_load(device, &again));
    assert_int_equal(walsh_wisdom_count(again), 0);
    walsh_wisdom_destroy(&again);
    assert_ok(walsh_wisdom_save(device, wisdom));
    assert_int_equal(system("for f in cache/*.wisdom; do head -c -3 $f > x; mv x $f; done"), 0);
    assert_ok(walsh_wisdom_load(device, &again));
    assert_int_equal(walsh_wisdom_count(again), 0);
    walsh_wisdom_destroy(&again);
    walsh_wisdom_destroy(&wisdom);
    assert_int_equal(unsetenv("WALSH_CACHE"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(remembers_problems),
        cmocka_unit_test(text_comes_back),
        cmocka_unit_test(damaged_text_is_refused),
        cmocka_unit_test_setup_teardown(files_are_of_one_device, temp_enter, temp_leave),
    };
    return cmocka_run_group_tests(tests, NULL, op_device_close);
}
