/* Batch normalisation, forward, against double precision in both layouts. */
#include "tests/batchnorm_sizes.h"
#include "tests/op_case.h"

#include <math.h>

#include "engine/base/rng.h"

/* Mean and mean square deviation of rows first..end of one channel. */
static void ref_moments(const float *x, size_t c, size_t k, size_t first, size_t end, double *mean, double *var)
{
    double sum = 0, squares = 0, n = (double)(end - first);
    for (size_t r = first; r < end; r++) sum += x[r * c + k];
    for (size_t r = first; r < end; r++) squares += (x[r * c + k] - sum / n) * (x[r * c + k] - sum / n);
    *mean = sum / n;
    *var = squares / n;
}

/* Values around `mean`, deviation about 1. */
static void around(float *x, size_t count, double mean)
{
    walsh_rng rng = {5, 1};
    for (size_t i = 0; i < count; i++) x[i] = (float)(mean + 3.4641 * (walsh_rng_uniform(rng, i) - 0.5));
}

static double relative(double got, double want)
{
    return fabs(got - want) / (fabs(want) > 1e-3 ? fabs(want) : 1e-3);
}

/* Bounds on errors: of means, absolute; of a group's and of all rows' variance, relative. */
struct within {
    double mean, group_var, var;
};

/* PARTIAL against each group's moments. */
static void check_groups(const walsh_bn *p, const float *x, const float *partial, struct within within)
{
    size_t c = (size_t)p->c, rows = rows_of(p), each = (size_t)walsh_bn_group_rows(p->n, p->h, p->w);
    for (size_t g = 0; g * each < rows; g++) {
        size_t first = g * each, end = first + each < rows ? first + each : rows;
        for (size_t k = 0; k < c; k++) {
            double mean, var;
            ref_moments(x, c, k, first, end, &mean, &var);
            assert_true(fabs(partial[2 * g * c + k] - mean) <= within.mean);
            assert_true(relative(partial[(2 * g + 1) * c + k], var * (double)(end - first)) <= within.group_var);
        }
    }
}

static void check_saved(const walsh_bn *p, const float *x, op_case *k, struct within within, const float *gamma,
                        const float *beta, const float *old_mean, const float *old_var)
{
    size_t c = (size_t)p->c, n = rows_of(p);
    float *saved = op_floats(4 * c), *run_mean = op_floats(c), *run_var = op_floats(c);
    op_case_get(k, WALSH_BN_FINALIZE_SAVED, saved);
    op_case_get(k, WALSH_BN_FINALIZE_RUN_MEAN, run_mean);
    op_case_get(k, WALSH_BN_FINALIZE_RUN_VAR, run_var);
    for (size_t i = 0; i < c; i++) {
        double mean, var;
        ref_moments(x, c, i, 0, n, &mean, &var);
        double invstd = 1 / sqrt(var + 1e-5), unbiased = n > 1 ? var * (double)n / (double)(n - 1) : var;
        assert_true(fabs(saved[i] - mean) <= within.mean);
        assert_true(relative(saved[c + i], invstd) <= within.var);
        assert_true(relative(saved[2 * c + i], gamma[i] * invstd) <= within.var);
        assert_true(fabs(saved[3 * c + i] - (beta[i] - saved[i] * (double)saved[2 * c + i])) <=
                    1e-6 + 1e-7 * fabs(mean));
        assert_true(fabs(run_mean[i] - (0.9 * old_mean[i] + 0.1 * mean)) <= within.mean);
        assert_true(fabs(run_var[i] - (0.9 * old_var[i] + 0.1 * unbiased)) <=
                    within.var * (fabs(old_var[i]) + unbiased));
    }
    free(saved), free(run_mean), free(run_var);
}

/* bn_stats and bn_finalize, one after the other as in a network. */
static void statistics_of(const walsh_bn *p, const float *x, int extra, struct within within)
{
    op_case stats, finalize;
    if (op_case_left_out(&walsh_bn_stats, NULL, p) && op_case_left_out(&walsh_bn_finalize, NULL, p)) return;
    op_case_open(&stats, &walsh_bn_stats, p, extra);
    op_case_open(&finalize, &walsh_bn_finalize, p, extra);
    size_t c = (size_t)p->c;
    float *partial = op_floats(op_case_count(&stats, WALSH_BN_STATS_PARTIAL));
    float *gamma = op_floats(c), *beta = op_floats(c), *run_mean = op_floats(c), *run_var = op_floats(c);
    op_case_set(&stats, WALSH_BN_STATS_X, x);
    for (const walsh_variant *const *v = walsh_bn_stats.variants; *v; v++) {
        op_case_poison(&stats, WALSH_BN_STATS_PARTIAL);
        op_case_run(&stats, *v);
        op_case_get(&stats, WALSH_BN_STATS_PARTIAL, partial);
        check_groups(p, x, partial, within);
    }
    op_case_set(&finalize, WALSH_BN_FINALIZE_PARTIAL, partial);
    op_case_random(&finalize, WALSH_BN_FINALIZE_GAMMA, 2, gamma);
    op_case_random(&finalize, WALSH_BN_FINALIZE_BETA, 3, beta);
    for (const walsh_variant *const *v = walsh_bn_finalize.variants; *v; v++) {
        op_case_random(&finalize, WALSH_BN_FINALIZE_RUN_MEAN, 4, run_mean);
        op_case_random(&finalize, WALSH_BN_FINALIZE_RUN_VAR, 5, run_var);
        op_case_poison(&finalize, WALSH_BN_FINALIZE_SAVED);
        op_case_run(&finalize, *v);
        check_saved(p, x, &finalize, within, gamma, beta, run_mean, run_var);
    }
    op_case_close(&stats);
    op_case_close(&finalize);
    free(partial), free(gamma), free(beta), free(run_mean), free(run_var);
}

static void statistics(void **state)
{
    (void)state;
    for (size_t i = 0; i < SIZES; i++) {
        walsh_bn p = problem(i);
        float *x = op_floats(count_of(&p));
        around(x, count_of(&p), 0.25);
        statistics_of(&p, x, i % 2 ? 0 : 8, (struct within){1e-6, 1e-6, 1e-6});
        around(x, count_of(&p), 1e4);
        if (rows_of(&p) > 8) statistics_of(&p, x, i % 2 ? 8 : 0, (struct within){2e-3, 2e-6, 2e-4});
        free(x);
    }
}

/* The reference of bn_apply's and bn_backward_*'s arithmetic starts from these, as the operations do. */
static void random_saved(op_case *k, int operand, const walsh_bn *p, uint64_t seed, float *saved)
{
    walsh_rng rng = {seed, 9};
    for (size_t i = 0; i < 4 * (size_t)p->c; i++)
        saved[i] = walsh_rng_uniform(rng, i) + (i < (size_t)p->c ? -0.5f : 0.25f);
    op_case_set(k, operand, saved);
}

static void evaluation(void **state)
{
    (void)state;
    for (size_t i = 0; i < SIZES; i++) {
        walsh_bn p = problem(i);
        if (op_case_left_out(&walsh_bn_eval, NULL, &p)) continue;
        size_t c = (size_t)p.c;
        float *gamma = op_floats(c), *beta = op_floats(c), *mean = op_floats(c), *var = op_floats(c),
              *saved = op_floats(4 * c);
        double *want = op_doubles(4 * c);
        op_case k;
        op_case_open(&k, &walsh_bn_eval, &p, 4);
        op_case_random(&k, WALSH_BN_EVAL_GAMMA, 1, gamma);
        op_case_random(&k, WALSH_BN_EVAL_BETA, 2, beta);
        op_case_random(&k, WALSH_BN_EVAL_RUN_MEAN, 3, mean);
        op_case_random(&k, WALSH_BN_EVAL_RUN_VAR, 4, var);
        for (size_t j = 0; j < c; j++) var[j] *= var[j];
        op_case_set(&k, WALSH_BN_EVAL_RUN_VAR, var);
        for (size_t j = 0; j < c; j++) {
            want[j] = mean[j];
            want[c + j] = 1 / sqrt(var[j] + 1e-5);
            want[2 * c + j] = gamma[j] * want[c + j];
            want[3 * c + j] = beta[j] - mean[j] * want[2 * c + j];
        }
        for (const walsh_variant *const *v = walsh_bn_eval.variants; *v; v++) {
            op_case_poison(&k, WALSH_BN_EVAL_SAVED);
            op_case_run(&k, *v);
            op_case_get(&k, WALSH_BN_EVAL_SAVED, saved);
            for (size_t row = 0; row < 4; row++) assert_true(op_error(saved + row * c, want + row * c, c) < 1e-6);
        }
        op_case_close(&k);
        free(gamma), free(beta), free(mean), free(var), free(saved), free(want);
    }
}

enum { APART = -1 };

/* Y lies in the memory of operand `in_place`, or APART. */
static void apply_one(const walsh_bn *p, int extra, int in_place)
{
    if (op_case_left_out(&walsh_bn_apply, NULL, p)) return;
    size_t c = (size_t)p->c, count = count_of(p);
    float *x = op_floats(count), *res = op_floats(count), *y = op_floats(count);
    float *saved = op_floats(4 * c), *res_saved = op_floats(4 * c);
    double *want = op_doubles(count);
    op_case k;
    op_case_open(&k, &walsh_bn_apply, p, extra);
    if (in_place != APART) op_case_alias(&k, WALSH_BN_APPLY_Y, in_place);
    for (const walsh_variant *const *v = walsh_bn_apply.variants; *v; v++) {
        if (in_place == APART) op_case_poison(&k, WALSH_BN_APPLY_Y);
        op_case_random(&k, WALSH_BN_APPLY_X, 1, x);
        random_saved(&k, WALSH_BN_APPLY_SAVED, p, 2, saved);
        if (p->residual) op_case_random(&k, WALSH_BN_APPLY_RES, 3, res);
        if (p->residual == 2) random_saved(&k, WALSH_BN_APPLY_RES_SAVED, p, 4, res_saved);
        for (size_t i = 0; i < count; i++) {
            size_t j = i % c;
            want[i] = saved[2 * c + j] * (double)x[i] + saved[3 * c + j] + (p->residual == 1 ? res[i] : 0);
            if (p->residual == 2) want[i] += res_saved[2 * c + j] * (double)res[i] + res_saved[3 * c + j];
            if (p->relu && want[i] < 0) want[i] = 0;
        }
        /* scale and shift of pad lanes are zero in the tensor, as bn_finalize leaves them */
        op_case_run(&k, *v);
        op_case_get(&k, WALSH_BN_APPLY_Y, y);
        assert_true(op_error(y, want, count) < 3e-7);
    }
    op_case_close(&k);
    free(x), free(res), free(y), free(saved), free(res_saved), free(want);
}

static void apply(void **state)
{
    (void)state;
    for (size_t i = 0; i < SIZES; i++) {
        walsh_bn p = problem(i);
        for (p.residual = 0; p.residual < 3; p.residual++)
            for (p.relu = 0; p.relu < 2; p.relu++) {
                apply_one(&p, i % 2 ? 8 : 0, APART);
                apply_one(&p, i % 2 ? 8 : 0, p.residual && i % 3 ? WALSH_BN_APPLY_RES : WALSH_BN_APPLY_X);
            }
    }
    const walsh_bn larger_than_caches = {.n = 1, .h = 512, .w = 513, .c = 16, .residual = 1};
    apply_one(&larger_than_caches, 0, APART);
}

/* Groups are whole lines or whole images, about 256 rows each, and even. */
static void grouping(void **state)
{
    (void)state;
    assert_int_equal(walsh_bn_groups(128, 32, 32), 512);
    assert_int_equal(walsh_bn_group_rows(128, 8, 8), 256);
    assert_int_equal(walsh_bn_group_rows(256, 112, 112), 7 * 112);
    assert_int_equal(walsh_bn_group_rows(3, 7, 7), 3 * 49);
    assert_int_equal(walsh_bn_group_rows(16, 7, 7), 4 * 49);
    assert_int_equal(walsh_bn_group_rows(13, 7, 7), 5 * 49);
    assert_int_equal(walsh_bn_group_rows(31, 7, 7), 5 * 49);
    assert_int_equal(walsh_bn_group_rows(2, 17, 17), 9 * 17);
    assert_int_equal(walsh_bn_group_rows(1, 2, 700), 700);
    assert_true(walsh_bn_groups(1024, 1023, 1021) < 2 * 4096);
}

static void nan_is_not_hidden(void **state)
{
    (void)state;
    walsh_bn p = {.n = 1, .h = 1, .w = 1, .c = 4, .relu = 1};
    const float x[4] = {NAN, -1, 1, 2};
    float saved[16], y[4];
    op_case k;
    op_case_open(&k, &walsh_bn_apply, &p, 0);
    op_case_set(&k, WALSH_BN_APPLY_X, x);
    random_saved(&k, WALSH_BN_APPLY_SAVED, &p, 1, saved);
    op_case_run(&k, walsh_bn_apply.variants[0]);
    op_case_get(&k, WALSH_BN_APPLY_Y, y);
    assert_true(isnan(y[0]) && !isnan(y[1]) && !isnan(y[2]) && !isnan(y[3]));
    op_case_close(&k);
}

static void wrong_problems(void **state)
{
    (void)state;
    const walsh_op *const ops[] = {&walsh_bn_stats, &walsh_bn_finalize, &walsh_bn_eval, &walsh_bn_apply};
    walsh_shape operand[WALSH_MAX_OPERANDS];
    walsh_bn none = {.n = 1, .h = 1, .w = 1, .c = 0}, odd = {.n = 1, .h = 1, .w = 1, .c = 4, .residual = 3};
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++) {
        assert_fails(WALSH_E_ARGUMENT, "batch norm: every size", ops[i]->shapes(&none, operand));
        assert_fails(WALSH_E_ARGUMENT, "found 3", ops[i]->shapes(&odd, operand));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(statistics), cmocka_unit_test(evaluation),        cmocka_unit_test(apply),
        cmocka_unit_test(grouping),   cmocka_unit_test(nan_is_not_hidden), cmocka_unit_test(wrong_problems),
    };
    return cmocka_run_group_tests(tests, NULL, op_device_close);
}
