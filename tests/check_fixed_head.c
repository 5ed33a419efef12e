/* What stands around a fixed head's transform, operation by operation; check_head proves their sum by finite
 * differences. */
#include "tests/op_case.h"

#include <math.h>

#include "engine/op/fixed_head.h"

enum { MOST = WALSH_MAX_OPERANDS };

/* An operation's operands on the host, inputs random. */
typedef struct host {
    op_case k;
    float *x[MOST];
} host;

static void host_open(host *h, const walsh_op *op, const walsh_fixed_head_problem *p)
{
    memset(h, 0, sizeof *h);
    op_case_open(&h->k, op, p, 8);
    for (int i = 0; i < walsh_op_operands(op); i++) {
        if (!h->k.tensor[i]) continue;
        h->x[i] = op_floats(op_case_count(&h->k, i));
        if (op->operands[i].role == WALSH_READ) op_case_random(&h->k, i, 11, h->x[i]);
    }
}

static void host_close(host *h)
{
    op_case_close(&h->k);
    for (int i = 0; i < MOST; i++) free(h->x[i]);
}

/* Runs a variant and fetches the outputs; output `into` shares memory with input `onto` (both -1: all are apart). */
static void host_run(host *h, const walsh_variant *variant, int into, int onto)
{
    const walsh_op *op = h->k.op;
    walsh_tensor *apart = NULL;
    for (int i = 0; i < walsh_op_operands(op); i++) {
        if (!h->k.tensor[i]) continue;
        if (op->operands[i].role == WALSH_READ)
            op_case_set(&h->k, i, h->x[i]);
        else
            op_case_poison(&h->k, i);
    }
    if (into >= 0 && onto >= 0) apart = h->k.tensor[into], h->k.tensor[into] = h->k.tensor[onto];
    op_case_run(&h->k, variant);
    for (int i = 0; i < walsh_op_operands(op); i++)
        if (h->k.tensor[i] && op->operands[i].role == WALSH_WRITE) op_case_get(&h->k, i, h->x[i]);
    if (into >= 0) h->k.tensor[into] = apart;
}

static void expect(host *h, int operand, const double *want)
{
    size_t count = op_case_count(&h->k, operand);
    assert_true(op_error(h->x[operand], want, count) < 1e-6);
}

static void normalise(int b, int n, float scale, int onto)
{
    walsh_fixed_head_problem p = {.b = b, .n = n};
    if (op_case_left_out(&walsh_head_normalise, NULL, &p)) return;
    host h;
    host_open(&h, &walsh_head_normalise, &p);
    float *x = h.x[WALSH_HEAD_NORMALISE_X];
    for (int i = 0; i < b * n; i++) x[i] *= scale;
    double *xhat = op_doubles((size_t)(b * n)), *norm = op_doubles((size_t)(2 * b));
    for (int i = 0; i < b; i++) {
        double square = 1e-16;
        for (int k = 0; k < n; k++) square += (double)x[i * n + k] * x[i * n + k];
        norm[2 * i] = sqrt(square), norm[2 * i + 1] = 1 / sqrt(square);
        for (int k = 0; k < n; k++) xhat[i * n + k] = x[i * n + k] / sqrt(square);
    }
    for (const walsh_variant *const *v = walsh_head_normalise.variants; *v; v++) {
        host_run(&h, *v, onto < 0 ? -1 : WALSH_HEAD_NORMALISE_XHAT, onto);
        expect(&h, WALSH_HEAD_NORMALISE_XHAT, xhat);
        for (int i = 0; i < 2 * b; i++) assert_true(fabs(h.x[WALSH_HEAD_NORMALISE_NORM][i] / norm[i] - 1) < 1e-6);
    }
    host_close(&h);
    free(xhat), free(norm);
}

static void normalises(void **state)
{
    (void)state;
    normalise(1, 1, 1, -1);
    normalise(3, 2, 1, WALSH_HEAD_NORMALISE_X);
    normalise(9, 64, 100, -1);
    normalise(2, 342, 1e-6f, WALSH_HEAD_NORMALISE_X);
    normalise(5, 1027, 1, -1);
    normalise(2, 64, 0, -1); /* zero features: norm 1e-8 */
}

static double sign_of(int c, int m)
{
    return c < m ? 1 : -1;
}

static void logits(int b, int m, int c, int alpha, int bias, int onto)
{
    walsh_fixed_head_problem p = {.b = b, .m = m, .c = c, .alpha = alpha, .bias = bias};
    if (op_case_left_out(&walsh_head_logits, NULL, &p)) return;
    host h;
    host_open(&h, &walsh_head_logits, &p);
    double *want = op_doubles((size_t)(b * c));
    for (int i = 0; i < b; i++)
        for (int k = 0; k < c; k++)
            want[i * c + k] = (alpha ? h.x[WALSH_HEAD_LOGITS_ALPHA][0] : 1) * sign_of(k, m) *
                                  h.x[WALSH_HEAD_LOGITS_Z][i * m + k % m] +
                              (bias ? h.x[WALSH_HEAD_LOGITS_BIAS][k] : 0);
    for (const walsh_variant *const *v = walsh_head_logits.variants; *v; v++) {
        host_run(&h, *v, onto < 0 ? -1 : WALSH_HEAD_LOGITS_Y, onto);
        expect(&h, WALSH_HEAD_LOGITS_Y, want);
    }
    host_close(&h);
    free(want);
}

/* Rows of the transform and classes: fewer, equal, between, twice as many; m of 2 and odd m, where quads straddle. */
static const int sizes[][2] = {{64, 10}, {64, 64}, {64, 100}, {64, 128}, {2, 1},     {2, 3}, {2, 4},
                               {1, 2},   {10, 10}, {7, 11},   {6, 12},   {100, 100}, {4, 7}, {342, 500}};
enum { SIZES = sizeof sizes / sizeof *sizes };

static void all_logits(void **state)
{
    (void)state;
    for (int i = 0; i < SIZES; i++)
        for (int present = 0; present < 4; present++)
            logits(1 + i % 5, sizes[i][0], sizes[i][1], present & 1, present >> 1, -1);
    logits(3, 10, 10, 0, 1, WALSH_HEAD_LOGITS_Z);
    logits(3, 100, 100, 1, 1, WALSH_HEAD_LOGITS_Z);
}

static void fold(int b, int m, int c, int onto)
{
    walsh_fixed_head_problem p = {.b = b, .m = m, .c = c};
    if (op_case_left_out(&walsh_head_fold, NULL, &p)) return;
    host h;
    host_open(&h, &walsh_head_fold, &p);
    const float *g = h.x[WALSH_HEAD_FOLD_G], *z = h.x[WALSH_HEAD_FOLD_Z];
    double *u = op_doubles((size_t)(b * m)), *dot = op_doubles((size_t)b);
    for (int i = 0; i < b; i++)
        for (int k = 0; k < c; k++) {
            u[i * m + k % m] += sign_of(k, m) * g[i * c + k];
            dot[i] += sign_of(k, m) * g[i * c + k] * z[i * m + k % m];
        }
    for (const walsh_variant *const *v = walsh_head_fold.variants; *v; v++) {
        host_run(&h, *v, onto < 0 ? -1 : WALSH_HEAD_FOLD_U, onto);
        expect(&h, WALSH_HEAD_FOLD_U, u);
        for (int i = 0; i < b; i++) assert_true(fabs(h.x[WALSH_HEAD_FOLD_DOT][i] - dot[i]) < 1e-6 * (m + 1));
    }
    host_close(&h);
    free(u), free(dot);
}

static void folds(void **state)
{
    (void)state;
    for (int i = 0; i < SIZES; i++) {
        fold(1 + i % 5, sizes[i][0], sizes[i][1], -1);
        fold(2, sizes[i][0], sizes[i][1], WALSH_HEAD_FOLD_Z);
    }
    fold(3, 10, 10, WALSH_HEAD_FOLD_G);
}

static void backward(int b, int n, int alpha, int onto)
{
    walsh_fixed_head_problem p = {.b = b, .n = n, .alpha = alpha};
    if (op_case_left_out(&walsh_head_normalise_backward, NULL, &p)) return;
    host h;
    host_open(&h, &walsh_head_normalise_backward, &p);
    double *want = op_doubles((size_t)(b * n));
    for (int i = 0; i < b; i++)
        for (int k = 0; k < n; k++)
            want[i * n + k] = (alpha ? h.x[WALSH_HEAD_NORMALISE_BACKWARD_ALPHA][0] : 1) *
                              h.x[WALSH_HEAD_NORMALISE_BACKWARD_NORM][2 * i + 1] *
                              (h.x[WALSH_HEAD_NORMALISE_BACKWARD_H][i * n + k] -
                               (double)h.x[WALSH_HEAD_NORMALISE_BACKWARD_XHAT][i * n + k] *
                                   h.x[WALSH_HEAD_NORMALISE_BACKWARD_DOT][i]);
    for (const walsh_variant *const *v = walsh_head_normalise_backward.variants; *v; v++) {
        host_run(&h, *v, onto < 0 ? -1 : WALSH_HEAD_NORMALISE_BACKWARD_DX, onto);
        expect(&h, WALSH_HEAD_NORMALISE_BACKWARD_DX, want);
    }
    host_close(&h);
    free(want);
}

static void backwards(void **state)
{
    (void)state;
    backward(1, 1, 1, -1);
    backward(3, 2, 0, -1);
    backward(17, 64, 1, WALSH_HEAD_NORMALISE_BACKWARD_H);
    backward(2, 342, 1, WALSH_HEAD_NORMALISE_BACKWARD_XHAT);
}

static void wrong_problems(void **state)
{
    (void)state;
    walsh_shape operand[WALSH_MAX_OPERANDS];
    walsh_fixed_head_problem p = {.b = 1, .n = 8, .m = 8, .c = 17};
    assert_fails(WALSH_E_ARGUMENT, "17 classes", walsh_head_logits.shapes(&p, operand));
    assert_fails(WALSH_E_ARGUMENT, "17 classes", walsh_head_fold.shapes(&p, operand));
    p.n = 0;
    assert_fails(WALSH_E_ARGUMENT, "0 features", walsh_head_normalise.shapes(&p, operand));
    p.b = 0;
    assert_fails(WALSH_E_ARGUMENT, "0 rows", walsh_head_normalise_backward.shapes(&p, operand));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(normalises), cmocka_unit_test(all_logits),     cmocka_unit_test(folds),
        cmocka_unit_test(backwards),  cmocka_unit_test(wrong_problems),
    };
    return cmocka_run_group_tests(tests, NULL, op_device_close);
}
