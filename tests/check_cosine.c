/* The cosine loss against double precision. */
#include "tests/loss_case.h"

#include "engine/op/cosine.h"
#include "tests/ref_head.h"

static void one(int b, int c, int valid)
{
    walsh_cosine_problem p = {.b = b, .c = c}, forward = {.b = b, .c = c, .forward_only = 1};
    loss_case l;
    loss_open(&l, &walsh_cosine, &p, b, c, valid);
    loss_run(&l, ref_cosine_row, &forward, 1e-7);
    loss_close(&l);
}

static void shapes(void **state)
{
    (void)state;
    one(1, 1, 1);
    one(1, 10, 1);
    one(5, 10, 3);
    one(9, 100, 9);
    one(3, 1003, 2);
}

static void broken_rows_show(void **state)
{
    (void)state;
    walsh_cosine_problem p = {.b = 3, .c = 6};
    loss_case l;
    loss_open(&l, &walsh_cosine, &p, 3, 6, 3);
    l.logits[l.labels[0]] = NAN;
    l.labels[1] = -1;
    loss_set(&l);
    for (const walsh_variant *const *v = walsh_cosine.variants; *v; v++) {
        op_case_run(&l.k, *v);
        op_case_get(&l.k, METRICS, l.metrics);
        for (int i = 0; i < 2; i++) assert_true(isnan(l.metrics[4 * i]) && l.metrics[4 * i + 1] == 1);
        assert_true(isfinite(l.metrics[8]));
    }
    loss_close(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(shapes), cmocka_unit_test(broken_rows_show)};
    return cmocka_run_group_tests(tests, NULL, op_device_close);
}
