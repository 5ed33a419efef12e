/* Batch normalisation, backward, against double precision in both layouts; the reference against finite differences. */
#include "tests/batchnorm_sizes.h"
#include "tests/op_case.h"

#include <math.h>

#include "engine/base/rng.h"

enum { APART = -1 }; /* dX has memory of its own */

/* The forward pass as a whole, and the gradients of sum(dy*y). y is computed first: its sign masks if p->relu. */
typedef struct reference {
    double *x, *gamma, *beta, *dy, *y, *dx, *dgamma, *dbeta;
} reference;

static reference reference_make(const walsh_bn *p)
{
    size_t c = (size_t)p->c, count = count_of(p);
    return (reference){op_doubles(count), op_doubles(c),     op_doubles(c), op_doubles(count),
                       op_doubles(count), op_doubles(count), op_doubles(c), op_doubles(c)};
}

static void reference_free(reference *f)
{
    free(f->x), free(f->gamma), free(f->beta), free(f->dy), free(f->y), free(f->dx), free(f->dgamma), free(f->dbeta);
}

static double ref_forward(const walsh_bn *p, reference *f)
{
    size_t c = (size_t)p->c, rows = rows_of(p);
    double loss = 0;
    for (size_t k = 0; k < c; k++) {
        double mean = 0, var = 0;
        for (size_t i = k; i < rows * c; i += c) mean += f->x[i] / (double)rows;
        for (size_t i = k; i < rows * c; i += c) var += (f->x[i] - mean) * (f->x[i] - mean) / (double)rows;
        for (size_t i = k; i < rows * c; i += c) {
            f->y[i] = f->gamma[k] * (f->x[i] - mean) / sqrt(var + 1e-5) + f->beta[k];
            if (p->relu && f->y[i] < 0) f->y[i] = 0;
            loss += f->y[i] * f->dy[i];
        }
    }
    return loss;
}

/* From mean and invstd [c] of the forward pass. */
static void ref_backward(const walsh_bn *p, reference *f, const double *mean, const double *invstd)
{
    size_t c = (size_t)p->c, rows = rows_of(p);
    for (size_t k = 0; k < c; k++) {
        f->dgamma[k] = f->dbeta[k] = 0;
        for (size_t i = k; i < rows * c; i += c) {
            double g = p->relu && !(f->y[i] > 0) ? 0 : f->dy[i];
            f->dbeta[k] += g;
            f->dgamma[k] += g * (f->x[i] - mean[k]) * invstd[k];
        }
        for (size_t i = k; i < rows * c; i += c) {
            double g = p->relu && !(f->y[i] > 0) ? 0 : f->dy[i], xhat = (f->x[i] - mean[k]) * invstd[k];
            f->dx[i] = f->gamma[k] * invstd[k] * (g - f->dbeta[k] / (double)rows - xhat * f->dgamma[k] / (double)rows);
        }
    }
}

static double slope(const walsh_bn *p, reference *f, double *parameter)
{
    double kept = *parameter, step = 1e-5;
    *parameter = kept + step;
    double above = ref_forward(p, f);
    *parameter = kept - step;
    double below = ref_forward(p, f);
    *parameter = kept;
    return (above - below) / (2 * step);
}

static void fill(double *to, size_t count, uint64_t stream, double least)
{
    walsh_rng rng = {21, stream};
    for (size_t i = 0; i < count; i++) to[i] = least + walsh_rng_uniform(rng, i);
}

static void moments_of(const walsh_bn *p, const double *x, double *mean, double *invstd)
{
    size_t c = (size_t)p->c, rows = rows_of(p);
    for (size_t k = 0; k < c; k++) {
        double var = 0;
        mean[k] = 0;
        for (size_t i = k; i < rows * c; i += c) mean[k] += x[i] / (double)rows;
        for (size_t i = k; i < rows * c; i += c) var += (x[i] - mean[k]) * (x[i] - mean[k]) / (double)rows;
        invstd[k] = 1 / sqrt(var + 1e-5);
    }
}

static void reference_by_finite_differences(void **state)
{
    (void)state;
    walsh_bn p = {.n = 2, .h = 3, .w = 5, .c = 3};
    for (p.relu = 0; p.relu < 2; p.relu++) {
        size_t count = count_of(&p);
        double mean[3], invstd[3];
        reference f = reference_make(&p);
        fill(f.x, count, 1, -0.5), fill(f.dy, count, 2, -0.5), fill(f.gamma, 3, 3, 0.5), fill(f.beta, 3, 4, -0.5);
        moments_of(&p, f.x, mean, invstd);
        ref_forward(&p, &f);
        ref_backward(&p, &f, mean, invstd);
        for (size_t i = 0; i < count; i++) assert_true(fabs(slope(&p, &f, &f.x[i]) - f.dx[i]) < 1e-6);
        for (int k = 0; k < 3; k++) {
            assert_true(fabs(slope(&p, &f, &f.gamma[k]) - f.dgamma[k]) < 1e-6);
            assert_true(fabs(slope(&p, &f, &f.beta[k]) - f.dbeta[k]) < 1e-6);
        }
        reference_free(&f);
    }
}

/* SAVED holds the reference's moments rounded to float, and the reference goes on from the rounded values; its y is
 * what the forward pass gives from them, which is the mask of a ReLU. */
static void draw_saved(const walsh_bn *p, reference *f, float *saved, double *mean, double *invstd)
{
    size_t c = (size_t)p->c, count = count_of(p);
    moments_of(p, f->x, mean, invstd);
    fill(f->gamma, c, 3, 0.5);
    fill(f->beta, c, 4, -0.5);
    for (size_t i = 0; i < c; i++) {
        saved[i] = (float)mean[i], saved[c + i] = (float)invstd[i], saved[2 * c + i] = (float)(f->gamma[i] * invstd[i]);
        mean[i] = saved[i], invstd[i] = saved[c + i], f->gamma[i] = saved[2 * c + i] / invstd[i];
        saved[3 * c + i] = (float)(f->beta[i] - mean[i] * saved[2 * c + i]);
    }
    for (size_t i = 0; i < count; i++) f->y[i] = (double)saved[2 * c + i % c] * f->x[i] + saved[3 * c + i % c];
}

/* What goes from one of the three operations to the next. */
typedef struct passed {
    float *x, *dy, *saved, *partial, *factors;
} passed;

/* Each group's two sums; their error is relative to the sum of magnitudes. */
static void compare_groups(const walsh_bn *p, const passed *with)
{
    size_t c = (size_t)p->c, rows = rows_of(p), each = (size_t)walsh_bn_group_rows(p->n, p->h, p->w);
    for (size_t first = 0; first < rows; first += each)
        for (size_t k = 0; k < c; k++) {
            const float *got = with->partial + first / each * 2 * c + k, *bn = with->saved + k;
            double sum = 0, with_x = 0, size = 0, size_x = 0;
            for (size_t r = first; r < first + each && r < rows; r++) {
                double x = with->x[r * c + k], xhat = (x - bn[0]) * bn[c];
                double g = p->relu && (double)bn[2 * c] * x + bn[3 * c] <= 0 ? 0 : with->dy[r * c + k];
                sum += g, with_x += g * xhat, size += fabs(g), size_x += fabs(g * xhat);
            }
            assert_true(fabs(got[0] - sum) <= 5e-7 * size);
            assert_true(fabs(got[c] - with_x) <= 1e-6 * size_x + 1e-6 * size);
        }
}

static void check_sums(const walsh_bn *p, int extra, passed *with)
{
    op_case k;
    op_case_open(&k, &walsh_bn_backward_sums, p, extra);
    op_case_set(&k, WALSH_BN_BACKWARD_SUMS_DY, with->dy);
    op_case_set(&k, WALSH_BN_BACKWARD_SUMS_X, with->x);
    op_case_set(&k, WALSH_BN_BACKWARD_SUMS_SAVED, with->saved);
    for (const walsh_variant *const *v = walsh_bn_backward_sums.variants; *v; v++) {
        op_case_poison(&k, WALSH_BN_BACKWARD_SUMS_PARTIAL);
        op_case_run(&k, *v);
        op_case_get(&k, WALSH_BN_BACKWARD_SUMS_PARTIAL, with->partial);
        compare_groups(p, with);
    }
    op_case_close(&k);
}

/* The sum of magnitudes is a square root above the sum. */
static void check_finalize(const walsh_bn *p, int extra, passed *with, const reference *f)
{
    size_t c = (size_t)p->c;
    double bound = 1e-7 * (2 + sqrt((double)rows_of(p)));
    float *got = op_floats(c);
    op_case k;
    op_case_open(&k, &walsh_bn_backward_finalize, p, extra);
    op_case_set(&k, WALSH_BN_BACKWARD_FINALIZE_PARTIAL, with->partial);
    op_case_set(&k, WALSH_BN_BACKWARD_FINALIZE_SAVED, with->saved);
    for (const walsh_variant *const *v = walsh_bn_backward_finalize.variants; *v; v++) {
        for (int i = WALSH_BN_BACKWARD_FINALIZE_DGAMMA; i <= WALSH_BN_BACKWARD_FINALIZE_FACTORS; i++)
            op_case_poison(&k, i);
        op_case_run(&k, *v);
        op_case_get(&k, WALSH_BN_BACKWARD_FINALIZE_DBETA, got);
        assert_true(op_error(got, f->dbeta, c) < bound);
        op_case_get(&k, WALSH_BN_BACKWARD_FINALIZE_DGAMMA, got);
        if (rows_of(p) > 1) assert_true(op_error(got, f->dgamma, c) < bound);
        op_case_get(&k, WALSH_BN_BACKWARD_FINALIZE_FACTORS, with->factors);
    }
    op_case_close(&k);
    free(got);
}

/* What is left for a gradient that scale has been applied to; of two batch norms that read the same, twice as much. */
static void check_rest(walsh_bn p, int extra, const passed *with)
{
    size_t c = (size_t)p.c;
    float *got = op_floats(4 * c);
    op_case k;
    p.rest = 1;
    for (int times = 1; times <= 2; times++) {
        p.fuse = times > 1 ? WALSH_FUSE_ACCUMULATE : 0;
        op_case_open(&k, &walsh_bn_backward_finalize, &p, extra);
        op_case_set(&k, WALSH_BN_BACKWARD_FINALIZE_PARTIAL, with->partial);
        op_case_set(&k, WALSH_BN_BACKWARD_FINALIZE_SAVED, with->saved);
        if (p.fuse) op_case_set(&k, WALSH_BN_BACKWARD_FINALIZE_FACTORS, got);
        op_case_run(&k, walsh_bn_backward_finalize.variants[0]);
        op_case_get(&k, WALSH_BN_BACKWARD_FINALIZE_FACTORS, got);
        for (size_t i = 0; i < c; i++) {
            assert_true(got[i] == with->factors[i] && got[c + i] == 1);
            for (size_t row = 2; row < 4; row++)
                assert_true(got[row * c + i] == (float)times * with->factors[row * c + i]);
        }
        op_case_close(&k);
    }
    free(got);
}

static void check_apply(const walsh_bn *p, int extra, int in_place, const passed *with, const reference *f)
{
    size_t count = count_of(p);
    float *got = op_floats(count);
    double *want = op_doubles(count);
    for (size_t i = 0; i < count; i++) want[i] = f->dx[i] + (p->fuse ? with->x[i] : 0);
    op_case k;
    op_case_open(&k, &walsh_bn_backward_apply, p, extra);
    if (in_place != APART) op_case_alias(&k, WALSH_BN_BACKWARD_APPLY_DX, in_place);
    for (const walsh_variant *const *v = walsh_bn_backward_apply.variants; *v; v++) {
        op_case_poison(&k, WALSH_BN_BACKWARD_APPLY_DX);
        op_case_set(&k, WALSH_BN_BACKWARD_APPLY_DY, with->dy);
        op_case_set(&k, WALSH_BN_BACKWARD_APPLY_X, with->x);
        op_case_set(&k, WALSH_BN_BACKWARD_APPLY_FACTORS, with->factors);
        if (p->relu) op_case_set(&k, WALSH_BN_BACKWARD_APPLY_SAVED, with->saved);
        if (p->fuse) op_case_set(&k, WALSH_BN_BACKWARD_APPLY_DX, with->x); /* any values */
        op_case_run(&k, *v);
        op_case_get(&k, WALSH_BN_BACKWARD_APPLY_DX, got);
        if (rows_of(p) > 1) assert_true(op_error(got, want, count) < 2e-6);
    }
    op_case_close(&k);
    free(got), free(want);
}

static void backward_one(const walsh_bn *p, int extra, int in_place)
{
    walsh_bn onto = *p;
    onto.fuse = WALSH_FUSE_ACCUMULATE;
    if (op_case_left_out(&walsh_bn_backward_sums, NULL, p) && op_case_left_out(&walsh_bn_backward_finalize, NULL, p) &&
        op_case_left_out(&walsh_bn_backward_apply, NULL, p) && op_case_left_out(&walsh_bn_backward_apply, NULL, &onto))
        return;
    size_t c = (size_t)p->c, count = count_of(p), groups = (size_t)walsh_bn_groups(p->n, p->h, p->w);
    passed with = {op_floats(count), op_floats(count), op_floats(4 * c), op_floats(2 * groups * c), op_floats(4 * c)};
    double *mean = op_doubles(c), *invstd = op_doubles(c);
    reference f = reference_make(p);
    fill(f.x, count, 1, -0.5), fill(f.dy, count, 2, -0.5);
    for (size_t i = 0; i < count; i++) {
        f.x[i] = with.x[i] = (float)f.x[i];
        f.dy[i] = with.dy[i] = (float)f.dy[i];
    }
    draw_saved(p, &f, with.saved, mean, invstd);
    ref_backward(p, &f, mean, invstd);
    check_sums(p, extra, &with);
    check_finalize(p, extra, &with, &f);
    check_rest(*p, extra, &with);
    check_apply(p, extra, in_place, &with, &f);
    check_apply(&onto, extra, APART, &with, &f);
    reference_free(&f);
    free(with.x), free(with.dy), free(with.saved), free(with.partial), free(with.factors), free(mean), free(invstd);
}

static void backward(void **state)
{
    (void)state;
    for (size_t i = 0; i < SIZES; i++) {
        walsh_bn p = problem(i);
        for (p.relu = 0; p.relu < 2; p.relu++) {
            backward_one(&p, i % 2 ? 0 : 8, APART);
            backward_one(&p, i % 2 ? 0 : 8, i % 3 ? WALSH_BN_BACKWARD_APPLY_DY : WALSH_BN_BACKWARD_APPLY_X);
        }
    }
    const walsh_bn larger_than_caches = {.n = 1, .h = 512, .w = 513, .c = 16};
    backward_one(&larger_than_caches, 0, APART);
}

static void wrong_problems(void **state)
{
    (void)state;
    const walsh_op *const ops[] = {&walsh_bn_backward_sums, &walsh_bn_backward_finalize, &walsh_bn_backward_apply};
    walsh_shape operand[WALSH_MAX_OPERANDS];
    walsh_bn none = {.n = 1, .h = 1, .w = 1, .c = 0};
    for (int i = 0; i < 3; i++)
        assert_fails(WALSH_E_ARGUMENT, "batch norm: every size", ops[i]->shapes(&none, operand));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reference_by_finite_differences),
        cmocka_unit_test(backward),
        cmocka_unit_test(wrong_problems),
    };
    return cmocka_run_group_tests(tests, NULL, op_device_close);
}
