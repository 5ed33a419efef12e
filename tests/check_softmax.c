/* Softmax cross-entropy against double precision: gradients, label smoothing, ranks with ties, NaN, rows that do not
 * count. */
#include "tests/loss_case.h"
#include "tests/ref_head.h"

static double smoothing;

static void reference(const double *y, int c, int label, double *g, double *metrics)
{
    ref_softmax_row(y, c, label, smoothing, g, metrics);
}

static void one(int b, int c, int valid, double e, double scale)
{
    smoothing = e;
    walsh_softmax_problem p = {.b = b, .c = c, .label_smoothing = (float)e}, forward = p;
    forward.forward_only = 1;
    loss_case l;
    loss_open(&l, &walsh_softmax, &p, b, c, valid);
    for (int i = 0; i < b * c; i++) l.logits[i] *= (float)scale;
    loss_run(&l, reference, &forward, 2e-6);
    loss_close(&l);
}

static void shapes(void **state)
{
    (void)state;
    const double half = 0.5, tenth = 0.125; /* exact in float32 */
    one(1, 1, 1, 0, 1);
    one(1, 2, 1, half, 3);
    one(3, 10, 3, 0, 5);
    one(16, 10, 16, tenth, 5);
    one(9, 100, 9, 0, 20);
    one(2, 1003, 2, tenth, 10);
    one(5, 257, 5, 0, 1);
}

static void rows_that_do_not_count(void **state)
{
    (void)state;
    one(7, 10, 4, 0, 3);
    one(7, 101, 1, 0.125, 3);
}

/* Logits of a thousand: their exponentials overflow unless the maximum is subtracted. */
static void large_logits(void **state)
{
    (void)state;
    one(4, 12, 4, 0, 1000);
    one(4, 12, 4, 0.125, 1000);
}

static void ties(void **state)
{
    (void)state;
    smoothing = 0;
    walsh_softmax_problem p = {.b = 9, .c = 9}, forward = {.b = 9, .c = 9, .forward_only = 1};
    loss_case l;
    loss_open(&l, &walsh_softmax, &p, 9, 9, 9);
    for (int i = 0; i < 81; i++) l.logits[i] = 2;
    for (int i = 0; i < 9; i++) l.labels[i] = i;
    loss_run(&l, reference, &forward, 1e-6);
    /* All equal: class t has t classes before it. */
    for (int i = 0; i < 9; i++) assert_true(l.metrics[4 * i + 1] == (i >= 1) && l.metrics[4 * i + 2] == (i >= 5));
    loss_close(&l);
}

static void broken_rows_show(void **state)
{
    (void)state;
    walsh_softmax_problem p = {.b = 4, .c = 10};
    loss_case l;
    loss_open(&l, &walsh_softmax, &p, 4, 10, 4);
    l.logits[3] = NAN;
    l.logits[10 + 9] = INFINITY;
    l.labels[2] = 10;
    loss_set(&l);
    for (const walsh_variant *const *v = walsh_softmax.variants; *v; v++) {
        op_case_run(&l.k, *v);
        op_case_get(&l.k, METRICS, l.metrics);
        for (int i = 0; i < 3; i++) {
            assert_true(isnan(l.metrics[4 * i]));
            assert_true(l.metrics[4 * i + 1] == 1 && l.metrics[4 * i + 2] == 1);
        }
        assert_true(isfinite(l.metrics[12]));
    }
    loss_close(&l);
}

/* The reference itself, by central differences. */
static void reference_gradient(void **state)
{
    (void)state;
    double y[7] = {0.3, -1, 2, 0.1, 0, 1.5, -0.7}, g[7], metrics[3], up[3], down[3];
    for (double e = 0; e < 0.6; e += 0.25) {
        ref_softmax_row(y, 7, 4, e, g, metrics);
        for (int k = 0; k < 7; k++) {
            double kept = y[k];
            y[k] = kept + 1e-6, ref_softmax_row(y, 7, 4, e, NULL, up);
            y[k] = kept - 1e-6, ref_softmax_row(y, 7, 4, e, NULL, down);
            y[k] = kept;
            assert_true(fabs((up[0] - down[0]) / 2e-6 - g[k]) < 1e-8);
        }
    }
}

static void wrong_problems(void **state)
{
    (void)state;
    walsh_shape operand[WALSH_SOFTMAX_OPERANDS];
    walsh_softmax_problem p = {.b = 1, .c = 0};
    assert_fails(WALSH_E_ARGUMENT, "0 classes", walsh_softmax.shapes(&p, operand));
    p.c = 3, p.label_smoothing = 1;
    assert_fails(WALSH_E_ARGUMENT, "label smoothing 1", walsh_softmax.shapes(&p, operand));
    p.label_smoothing = NAN;
    assert_fails(WALSH_E_ARGUMENT, "label smoothing", walsh_softmax.shapes(&p, operand));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reference_gradient),     cmocka_unit_test(shapes), cmocka_unit_test(large_logits),
        cmocka_unit_test(rows_that_do_not_count), cmocka_unit_test(ties),   cmocka_unit_test(broken_rows_show),
        cmocka_unit_test(wrong_problems),
    };
    return cmocka_run_group_tests(tests, NULL, op_device_close);
}
