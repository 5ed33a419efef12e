/* Softmax cross-entropy and the cosine loss against double precision: gradients, label smoothing, ranks with ties, NaN,
 * rows that do not count. */
#include "tests/op_case.h"

#include <math.h>

#include "engine/op/logit_loss.h"
#include "engine/check/reference_loss.h"

enum {
    LOGITS = WALSH_LOGIT_LOSS_LOGITS,
    LABELS = WALSH_LOGIT_LOSS_LABELS,
    VALID = WALSH_LOGIT_LOSS_VALID,
    G = WALSH_LOGIT_LOSS_G,
    METRICS = WALSH_LOGIT_LOSS_METRICS,
    SUMS = WALSH_LOGIT_LOSS_SUMS
};

typedef void (*loss_reference)(const double *y, int c, int label, double *g, double *metrics);

typedef struct loss_case {
    op_case k;
    int b, c, valid;
    float *logits, *g, *metrics;
    int32_t *labels;
    double *want_g, *want_metrics;
} loss_case;

static void loss_open(loss_case *l, const walsh_logit_loss_problem *problem, int b, int c, int valid)
{
    size_t count = (size_t)b * (size_t)c;
    *l = (loss_case){.b = b, .c = c, .valid = valid};
    op_case_open(&l->k, &walsh_logit_loss, problem, 8);
    l->logits = op_floats(count), l->g = op_floats(count), l->metrics = op_floats(4 * (size_t)b);
    l->want_g = op_doubles(count), l->want_metrics = op_doubles(4 * (size_t)b);
    l->labels = calloc((size_t)b, sizeof *l->labels);
    assert_non_null(l->labels);
    op_case_random(&l->k, LOGITS, 1, l->logits);
    for (int i = 0; i < b; i++) l->labels[i] = i * 7 % c;
}

/* Uploads what the test has set. */
static void loss_set(loss_case *l)
{
    const int32_t valid[4] = {l->valid, -1, -1, -1};
    op_case_set(&l->k, LOGITS, l->logits);
    op_case_set_raw(&l->k, LABELS, l->labels);
    op_case_set_raw(&l->k, VALID, valid);
}

static void loss_close(loss_case *l)
{
    op_case_close(&l->k);
    free(l->logits), free(l->g), free(l->metrics), free(l->labels), free(l->want_g), free(l->want_metrics);
}

static void loss_want(loss_case *l, loss_reference reference)
{
    for (int i = 0; i < l->valid; i++) {
        double *y = op_doubles((size_t)l->c);
        for (int k = 0; k < l->c; k++) y[k] = l->logits[i * l->c + k];
        reference(y, l->c, l->labels[i], l->want_g + i * l->c, l->want_metrics + 4 * i);
        for (int k = 0; k < l->c; k++) l->want_g[i * l->c + k] /= l->valid;
        free(y);
    }
}

/* The sums of the gradient's columns, as they are against as they should be; an error counts beside what was added up.
 */
static void loss_sums(loss_case *l, double tolerance)
{
    float *sums = op_floats((size_t)l->c);
    double error = 0, most = 0;
    op_case_get(&l->k, SUMS, sums);
    for (int k = 0; k < l->c; k++) {
        double sum = 0, size = 0;
        for (int i = 0; i < l->b; i++) sum += l->want_g[i * l->c + k], size += fabs(l->want_g[i * l->c + k]);
        error = fmax(error, fabs(sums[k] - sum)), most = fmax(most, size);
        assert_false(isnan(sums[k]));
    }
    assert_true(error <= tolerance * most);
    free(sums);
}

/* Runs every variant that is meant for such a problem, the gradient apart, in place (G is LOGITS) and absent, and
 * compares; `forward` is the same problem without G, or NULL. */
static void loss_run(loss_case *l, loss_reference reference, const void *forward, double tolerance)
{
    size_t count = (size_t)l->b * (size_t)l->c;
    const void *problem = l->k.problem;
    walsh_tensor *g = l->k.tensor[G];
    loss_want(l, reference);
    unsigned fuse = *(const unsigned *)problem;
    for (const walsh_variant *const *v = l->k.op->variants; *v; v++)
        for (int way = 0; way < (forward ? 3 : 2) && (*v)->fuses == fuse; way++) {
            loss_set(l);
            l->k.tensor[G] = g;
            op_case_poison(&l->k, G);
            op_case_poison(&l->k, METRICS);
            if (fuse) op_case_poison(&l->k, SUMS);
            l->k.tensor[G] = way == 0 ? g : way == 1 ? l->k.tensor[LOGITS] : NULL;
            l->k.problem = way == 2 ? forward : problem;
            op_case_run(&l->k, *v);
            op_case_get(&l->k, METRICS, l->metrics);
            assert_true(op_error(l->metrics, l->want_metrics, 4 * (size_t)l->b) < tolerance);
            for (int i = 0; i < l->b; i++)
                for (int k = 1; k < 4; k++) assert_true(l->metrics[4 * i + k] == l->want_metrics[4 * i + k]);
            if (way == 2) continue;
            op_case_get(&l->k, G, l->g);
            assert_true(op_error(l->g, l->want_g, count) < tolerance);
            if (fuse) loss_sums(l, tolerance);
        }
    l->k.tensor[G] = g;
    l->k.problem = problem;
}
#include "engine/check/reference_loss.h"

static double smoothing;

static void reference(const double *y, int c, int label, double *g, double *metrics)
{
    walsh_reference_softmax_row(y, c, label, smoothing, g, metrics);
}

static void one(int b, int c, int valid, double e, double scale)
{
    smoothing = e;
    walsh_logit_loss_problem p = {.b = b, .c = c, .label_smoothing = (float)e}, forward = p;
    forward.forward_only = 1;
    if (op_case_left_out(&walsh_logit_loss, NULL, &p) && op_case_left_out(&walsh_logit_loss, NULL, &forward)) return;
    loss_case l;
    loss_open(&l, &p, b, c, valid);
    for (int i = 0; i < b * c; i++) l.logits[i] *= (float)scale;
    loss_run(&l, reference, &forward, 2e-6);
    loss_close(&l);
    p.fuse = WALSH_FUSE_COLUMN_SUMS;
    loss_open(&l, &p, b, c, valid);
    for (int i = 0; i < b * c; i++) l.logits[i] *= (float)scale;
    loss_run(&l, reference, NULL, 2e-6);
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
    one(128, 10, 128, 0, 5);
    one(64, 65, 64, tenth, 5); /* where sums are in blocks */
    one(70, 100, 70, 0, 5);
}

static void rows_that_do_not_count(void **state)
{
    (void)state;
    one(7, 10, 4, 0, 3);
    one(7, 101, 1, 0.125, 3);
    one(70, 100, 66, 0.125, 3);
    one(300, 33, 250, 0, 3); /* all of some blocks */
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
    walsh_logit_loss_problem p = {.b = 9, .c = 9}, forward = {.b = 9, .c = 9, .forward_only = 1};
    loss_case l;
    loss_open(&l, &p, 9, 9, 9);
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
    walsh_logit_loss_problem p = {.b = 4, .c = 10};
    loss_case l;
    loss_open(&l, &p, 4, 10, 4);
    l.logits[3] = NAN;
    l.logits[10 + 9] = INFINITY;
    l.labels[2] = 10;
    loss_set(&l);
    for (const walsh_variant *const *v = walsh_logit_loss.variants; *v; v++) {
        if ((*v)->fuses) continue;
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

static void cosine_one(int b, int c, int valid)
{
    walsh_logit_loss_problem p = {.b = b, .c = c, .cosine = 1}, forward = p;
    forward.forward_only = 1;
    if (op_case_left_out(&walsh_logit_loss, NULL, &p) && op_case_left_out(&walsh_logit_loss, NULL, &forward)) return;
    loss_case l;
    loss_open(&l, &p, b, c, valid);
    loss_run(&l, walsh_reference_cosine_row, &forward, 1e-7);
    loss_close(&l);
}

static void cosine_shapes(void **state)
{
    (void)state;
    cosine_one(1, 1, 1);
    cosine_one(1, 10, 1);
    cosine_one(5, 10, 3);
    cosine_one(9, 100, 9);
    cosine_one(3, 1003, 2);
}

static void broken_cosines_show(void **state)
{
    (void)state;
    walsh_logit_loss_problem p = {.b = 3, .c = 6, .cosine = 1};
    loss_case l;
    loss_open(&l, &p, 3, 6, 3);
    l.logits[l.labels[0]] = NAN;
    l.labels[1] = -1;
    loss_set(&l);
    for (const walsh_variant *const *v = walsh_logit_loss.variants; *v; v++) {
        if ((*v)->fuses) continue;
        op_case_run(&l.k, *v);
        op_case_get(&l.k, METRICS, l.metrics);
        for (int i = 0; i < 2; i++) assert_true(isnan(l.metrics[4 * i]) && l.metrics[4 * i + 1] == 1);
        assert_true(isfinite(l.metrics[8]));
    }
    loss_close(&l);
}

/* The reference itself, by central differences. */
static void reference_gradient(void **state)
{
    (void)state;
    double y[7] = {0.3, -1, 2, 0.1, 0, 1.5, -0.7}, g[7], metrics[3], up[3], down[3];
    for (double e = 0; e < 0.6; e += 0.25) {
        walsh_reference_softmax_row(y, 7, 4, e, g, metrics);
        for (int k = 0; k < 7; k++) {
            double kept = y[k];
            y[k] = kept + 1e-6, walsh_reference_softmax_row(y, 7, 4, e, NULL, up);
            y[k] = kept - 1e-6, walsh_reference_softmax_row(y, 7, 4, e, NULL, down);
            y[k] = kept;
            assert_true(fabs((up[0] - down[0]) / 2e-6 - g[k]) < 1e-8);
        }
    }
}

static void wrong_problems(void **state)
{
    (void)state;
    walsh_shape operand[WALSH_LOGIT_LOSS_OPERANDS];
    walsh_logit_loss_problem p = {.b = 1, .c = 0};
    assert_fails(WALSH_E_ARGUMENT, "0 classes", walsh_logit_loss.shapes(&p, operand));
    p.c = 3, p.label_smoothing = 1;
    assert_fails(WALSH_E_ARGUMENT, "label smoothing 1", walsh_logit_loss.shapes(&p, operand));
    p.label_smoothing = 0.5f, p.cosine = 1;
    assert_fails(WALSH_E_ARGUMENT, "0 with the cosine loss", walsh_logit_loss.shapes(&p, operand));
    p.label_smoothing = NAN, p.cosine = 0;
    assert_fails(WALSH_E_ARGUMENT, "label smoothing", walsh_logit_loss.shapes(&p, operand));
    p.label_smoothing = 0, p.fuse = WALSH_FUSE_COLUMN_SUMS, p.forward_only = 1;
    assert_fails(WALSH_E_ARGUMENT, "sums of the gradient", walsh_logit_loss.shapes(&p, operand));
    p.forward_only = 0, p.cosine = 1;
    assert_fails(WALSH_E_ARGUMENT, "sums of the gradient", walsh_logit_loss.shapes(&p, operand));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reference_gradient),
        cmocka_unit_test(shapes),
        cmocka_unit_test(large_logits),
        cmocka_unit_test(rows_that_do_not_count),
        cmocka_unit_test(ties),
        cmocka_unit_test(broken_rows_show),
        cmocka_unit_test(wrong_problems),
        cmocka_unit_test(cosine_shapes),
        cmocka_unit_test(broken_cosines_show),
    };
    return cmocka_run_group_tests(tests, NULL, op_device_close);
}
