/* The fused Hadamard head against dense double-precision heads: every structure, sizes around every border, blocks,
 * label smoothing, rows that do not count, the cosine loss, huge alpha, and the five best. The tables are random: the
 * operation must not rest on what is in them, and cores that are not symmetric prove the transpose. */
#include "tests/op_case.h"

#include <math.h>

#include "engine/base/rng.h"
#include "engine/op/fused_head.h"
#include "engine/op/logit_loss.h"
#include "engine/check/reference_loss.h"

/* Which operations, and by which variants beside the plain one: those that are built anew for each size cost a second
 * or more apiece. */
enum { TRAIN = 1, PREDICT = 2, LANES = 4, GROUP = 8 };

typedef struct fused_case {
    walsh_fused_head_problem p;
    int valid;
    float *x, *constant, *bias, alpha;
    int32_t *labels;
    double *q, *xd, *bd; /* dense Q [c][n]; x and bias in double precision */
    walsh_reference_head ref;
} fused_case;

static double sign_at(const fused_case *f, size_t i)
{
    return f->constant[i];
}

/* ---- T by its definition: row r as T^T e_r is built column by column, t [n][n] = T. ---- */

static void hadamard_rows(double *t, int n, int first, int power)
{
    /* t = H_P t on rows first .. first+P-1. */
    double *rows = op_doubles((size_t)power * (size_t)n);
    memcpy(rows, t + (size_t)first * (size_t)n, (size_t)power * (size_t)n * sizeof *rows);
    for (int r = 0; r < power; r++)
        for (int k = 0; k < n; k++) {
            double sum = 0;
            for (int j = 0; j < power; j++)
                sum += (__builtin_popcount((unsigned)(r & j)) & 1 ? -1 : 1) * rows[j * n + k];
            t[(first + r) * n + k] = sum;
        }
    free(rows);
}

static void overlapped(const fused_case *f, double *t)
{
    int n = f->p.n, power = f->p.power;
    for (int i = 0; i < n; i++) t[i * n + i] = 1;
    for (int step = 0; step < 6; step++) {
        int first = (const int[]){0, n - power, (n - power) / 2}[step % 3];
        for (int j = 0; j < power; j++)
            for (int k = 0; k < n; k++) t[(first + j) * n + k] *= sign_at(f, (size_t)(step * power + j));
        hadamard_rows(t, n, first, power);
    }
}

static void kronecker(const fused_case *f, double *t)
{
    int n = f->p.n;
    for (int r = 0; r < n; r++)
        for (int k = 0; k < n; k++) {
            double v = __builtin_popcount((unsigned)(r % f->p.power & k % f->p.power)) & 1 ? -1 : 1;
            size_t table = 0;
            for (int i = 0, stride = n; i < f->p.cores; i++) {
                int order = f->p.order[i];
                stride /= order;
                v *= sign_at(f, table + (size_t)(r / stride % order * order + k / stride % order));
                table += 2 * (size_t)(order * order);
            }
            t[r * n + k] = v / sqrt(n);
        }
}

static void build_q(fused_case *f)
{
    int n = f->p.n;
    double *t = op_doubles((size_t)n * (size_t)n);
    if (f->p.structure == WALSH_STRUCTURE_OVERLAPPED)
        overlapped(f, t);
    else
        kronecker(f, t);
    size_t signs = (size_t)walsh_fused_head_tables(&f->p);
    for (int c = 0; c < f->p.c; c++)
        for (int k = 0; k < n; k++)
            f->q[(size_t)c * (size_t)n + (size_t)k] = (c / n % 2 ? -1 : 1) * t[c % n * n + k] *
                                                      sign_at(f, signs + (size_t)(c / (2 * n)) * (size_t)n + (size_t)k);
    free(t);
}

static float uniform(uint64_t seed, size_t i)
{
    return 2 * walsh_rng_uniform((walsh_rng){seed, 3}, i) - 1;
}

static void open_case(fused_case *f, walsh_fused_head_problem p, int valid, float alpha)
{
    size_t n = (size_t)p.n, c = (size_t)p.c, b = (size_t)p.b, table = 0;
    walsh_shape shapes[WALSH_MAX_OPERANDS];
    assert_ok(walsh_fused_head.shapes(&p, shapes));
    size_t constants = (size_t)shapes[WALSH_FUSED_HEAD_CONSTANT].c;
    *f = (fused_case){.p = p, .valid = valid, .alpha = alpha};
    f->x = op_floats(b * n), f->xd = op_doubles(b * n), f->bias = op_floats(c), f->bd = op_doubles(c);
    f->constant = op_floats(constants), f->q = op_doubles(c * n);
    f->labels = calloc(b, sizeof *f->labels);
    for (size_t i = 0; i < b * n; i++) f->xd[i] = f->x[i] = uniform(1, i);
    for (size_t i = 0; i < c; i++) f->bd[i] = f->bias[i] = 0.3f * uniform(2, i);
    for (size_t i = 0; i < b; i++) f->labels[i] = (int32_t)(i * 37 % c);
    for (size_t i = 0; i < constants; i++) f->constant[i] = uniform(3, i) < 0 ? -1 : 1;
    for (int i = 0; p.structure == WALSH_STRUCTURE_OVERLAPPED && i < 6 * p.power; i++)
        f->constant[i] /= sqrtf((float)p.power);
    for (int i = 0; i < p.cores; i++, table += 2 * (size_t)(p.order[i - 1] * p.order[i - 1]))
        for (int r = 0; r < p.order[i]; r++)
            for (int k = 0; k < p.order[i]; k++)
                f->constant[table + (size_t)((p.order[i] + k) * p.order[i] + r)] =
                    f->constant[table + (size_t)(r * p.order[i] + k)];
    build_q(f);
    f->ref = (walsh_reference_head){.b = p.b,
                                    .n = p.n,
                                    .c = p.c,
                                    .valid = valid,
                                    .fixed = true,
                                    .cosine = p.cosine,
                                    .smoothing = p.label_smoothing,
                                    .alpha = alpha,
                                    .q = f->q,
                                    .bias = f->bd,
                                    .labels = f->labels};
}

static void close_case(fused_case *f)
{
    free(f->x), free(f->xd), free(f->bias), free(f->bd), free(f->constant), free(f->q), free(f->labels);
}

/* Uploads the inputs and poisons the outputs. */
static void set(fused_case *f, op_case *k)
{
    const int32_t valid[4] = {f->valid, -1, -1, -1};
    op_case_set(k, WALSH_FUSED_HEAD_X, f->x);
    op_case_set(k, WALSH_FUSED_HEAD_CONSTANT, f->constant);
    if (!f->p.cosine) {
        op_case_set(k, WALSH_FUSED_HEAD_ALPHA, &f->alpha);
        op_case_set(k, WALSH_FUSED_HEAD_BIAS, f->bias);
    }
    op_case_set_raw(k, WALSH_FUSED_HEAD_LABELS, f->labels);
    op_case_set_raw(k, WALSH_FUSED_HEAD_VALID, valid);
    for (int i = 0; i < walsh_op_operands(k->op); i++)
        if (k->tensor[i] && k->op->operands[i].role == WALSH_WRITE) op_case_poison(k, i);
}

static void expect(op_case *k, int operand, const double *want, double tolerance)
{
    if (!k->tensor[operand]) return;
    size_t count = op_case_count(k, operand);
    float *got = op_floats(count);
    op_case_get(k, operand, got);
    double error = op_error(got, want, count);
    const walsh_fused_head_problem *p = k->problem;
    if (!(error < tolerance))
        fail_msg("%s of %dx%d, %d classes: error %g in %s", k->op->name, p->b, p->n, p->c, error,
                 k->op->operands[operand].name);
    free(got);
}

/* Variants are listed as lanes, group, plain. */
static bool wanted(int what, const walsh_variant *const *variants, const walsh_variant *const *v)
{
    return v - variants == 0 ? what & LANES : v - variants == 1 ? what & GROUP : true;
}

static void train(fused_case *f, int what, double tolerance)
{
    int b = f->p.b, n = f->p.n, c = f->p.c;
    op_case k;
    op_case_open(&k, &walsh_fused_head, &f->p, 8);
    double *dx = op_doubles((size_t)(b * n)), *dq = op_doubles((size_t)n * (size_t)c), *dbias = op_doubles((size_t)c),
           *metrics = op_doubles((size_t)(4 * b)), dalpha;
    walsh_reference_head_backward(&f->ref, f->xd, dx, dq, dbias, &dalpha);
    walsh_reference_head_loss(&f->ref, f->xd, metrics);
    for (const walsh_variant *const *v = walsh_fused_head.variants; *v; v++) {
        if (!wanted(what, walsh_fused_head.variants, v) || !walsh_op_takes(op_device(), &walsh_fused_head, *v, &f->p) ||
            op_case_left_out(&walsh_fused_head, *v, &f->p))
            continue;
        set(f, &k);
        op_case_run(&k, *v);
        expect(&k, WALSH_FUSED_HEAD_METRICS, metrics, tolerance);
        expect(&k, WALSH_FUSED_HEAD_DX, dx, tolerance);
        expect(&k, WALSH_FUSED_HEAD_D_BIAS, dbias, tolerance);
        if (k.tensor[WALSH_FUSED_HEAD_D_ALPHA]) {
            float got;
            op_case_get(&k, WALSH_FUSED_HEAD_D_ALPHA, &got);
            assert_true(fabs(got - dalpha) < tolerance * (1 + fabs(dalpha)));
        }
    }
    op_case_close(&k);
    free(dx), free(dq), free(dbias), free(metrics);
}

/* The five largest of logits y, by sorting them out. */
static void five_best(const double *y, int c, double *best, int *at)
{
    for (int i = 0; i < 5; i++) {
        best[i] = -INFINITY, at[i] = INT32_MAX;
        for (int k = 0; k < c; k++) {
            bool taken = false;
            for (int j = 0; j < i; j++) taken |= at[j] == k;
            if (!taken && (y[k] > best[i])) best[i] = y[k], at[i] = k;
        }
    }
}

static void compare_best(fused_case *f, op_case *k, const double *logits, double tolerance)
{
    int b = f->p.b, c = f->p.c, *classes = calloc((size_t)(8 * b), sizeof *classes);
    float *best = op_floats((size_t)(8 * b));
    op_case_get(k, WALSH_HEAD_PREDICT_BEST, best);
    assert_ok(walsh_view_read(op_device(), &k->tensor[WALSH_HEAD_PREDICT_CLASSES]->view, classes));
    for (int i = 0; i < b; i++) {
        double want[5], sum = 0, span = tolerance * (1 + fabs((double)f->alpha));
        int at[5];
        const double *y = logits + i * c;
        five_best(y, c, want, at);
        for (int j = 0; j < 5 && j < c; j++) {
            /* Two that lie closer than rounding may change places. */
            assert_true(classes[8 * i + j] >= 0 && classes[8 * i + j] < c);
            assert_true(fabs(best[8 * i + j] - want[j]) < span && fabs(y[classes[8 * i + j]] - want[j]) < span);
            for (int l = 0; l < j; l++) assert_true(classes[8 * i + j] != classes[8 * i + l]);
        }
        for (int j = c; j < 5; j++) assert_true(isinf(best[8 * i + j]));
        for (int j = 0; j < c; j++) sum += exp(y[j] - want[0]);
        double lse = f->p.cosine ? 0 : want[0] + log(sum);
        assert_true(fabs(best[8 * i + WALSH_HEAD_BEST_LSE] - lse) < span);
    }
    free(best), free(classes);
}

static void predict(fused_case *f, int what, double tolerance)
{
    int b = f->p.b, c = f->p.c;
    walsh_fused_head_problem p = f->p;
    double *logits = op_doubles((size_t)b * (size_t)c), *metrics = op_doubles((size_t)(4 * b));
    walsh_reference_head_logits(&f->ref, f->xd, logits);
    walsh_reference_head_loss(&f->ref, f->xd, metrics);
    for (p.all = 0; p.all < 2; p.all++) {
        op_case k;
        op_case_open(&k, &walsh_head_predict, &p, 8);
        for (const walsh_variant *const *v = walsh_head_predict.variants; *v; v++) {
            if (!wanted(what, walsh_head_predict.variants, v) ||
                !walsh_op_takes(op_device(), &walsh_head_predict, *v, &p) ||
                op_case_left_out(&walsh_head_predict, *v, &p))
                continue;
            set(f, &k);
            op_case_run(&k, *v);
            expect(&k, WALSH_HEAD_PREDICT_METRICS, metrics, tolerance);
            expect(&k, WALSH_HEAD_PREDICT_LOGITS, logits, tolerance);
            compare_best(f, &k, logits, tolerance);
        }
        op_case_close(&k);
    }
    free(logits), free(metrics);
}

static walsh_fused_head_problem problem_of(int b, int n, int c)
{
    walsh_fused_head_problem p = {.b = b, .n = n, .c = c, .power = n};
    static const int orders[] = {12, 20, 28, 36, 44, 52, 60};
    if (!(n & (n - 1))) return p;
    for (int i = 0; i < 7; i++)
        if (n % orders[i] == 0 && !((n / orders[i]) & (n / orders[i] - 1))) {
            p.structure = WALSH_STRUCTURE_PALEY, p.power = n / orders[i], p.cores = 1, p.order[0] = orders[i];
            return p;
        }
    p.structure = WALSH_STRUCTURE_OVERLAPPED;
    while (p.power & (p.power - 1)) p.power &= p.power - 1;
    return p;
}

static void one(walsh_fused_head_problem p, int valid, float alpha, int what, double tolerance)
{
    fused_case f;
    open_case(&f, p, valid, alpha);
    if (what & TRAIN) train(&f, what, tolerance);
    if (what & PREDICT) predict(&f, what, tolerance);
    close_case(&f);
}

/* ---- Tests. ---- */

/* Every N from 2 to 130 by the form that serves all sizes with one program; the others at chosen ones. */
static void all_sizes(void **state)
{
    (void)state;
    for (int n = 2; n <= 130; n += op_cases_are_few() ? 21 : 1) {
        const int classes[] = {1, 2, n - 1, n, n + 1, 2 * n, 2 * n + 1, 5 * n};
        for (int i = 0; i < 8; i++) one(problem_of(1 + (n + i) % 3, n, classes[i]), 1, 4, TRAIN, 4e-6);
        one(problem_of(2, n, classes[n % 8]), 2, 3, PREDICT, 4e-6);
    }
}

/* By each form, each structure with all classes in one block and in several; then small and odd sizes. */
static void every_form(void **state)
{
    (void)state;
    const int sizes[][3] = {{16, 64, 10}, {9, 64, 200}, {8, 12, 20}, {5, 24, 120}, {11, 7, 13},
                            {2, 33, 140}, {1, 2, 3},    {3, 2, 1},   {17, 8, 41},  {13, 128, 64}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        walsh_fused_head_problem p = problem_of(sizes[i][0], sizes[i][1], sizes[i][2]);
        p.label_smoothing = i % 2 ? 0.125f : 0;
        one(p, i % 3 ? p.b : (p.b + 1) / 2, 7.5f, i < 6 ? TRAIN | PREDICT | LANES | GROUP : TRAIN | LANES, 4e-6);
    }
}

static void several_cores(void **state)
{
    (void)state;
    walsh_fused_head_problem p = {
        .b = 3, .n = 480, .c = 1000, .structure = WALSH_STRUCTURE_PALEY, .power = 2, .cores = 2, .order = {12, 20}};
    one(p, 3, 5, TRAIN | LANES, 1e-5);
}

static void large_heads(void **state)
{
    (void)state;
    const int sizes[][2] = {{342, 100}, {960, 1000}, {1664, 1000}, {2048, 1000}, {512, 4000}};
    for (int i = 0; i < 5; i++) {
        walsh_fused_head_problem p = problem_of(2, sizes[i][0], sizes[i][1]);
        one(p, 2, 10, TRAIN | LANES, 2e-5);
    }
}

static void cosine_loss(void **state)
{
    (void)state;
    const int sizes[][2] = {{64, 10}, {16, 90}, {33, 70}, {12, 31}};
    for (int i = 0; i < 4; i++) {
        walsh_fused_head_problem p = problem_of(9, sizes[i][0], sizes[i][1]);
        p.cosine = 1;
        one(p, 7, 1, TRAIN | PREDICT | LANES | (i < 2 ? GROUP : 0), 4e-6);
    }
}

static void alpha_may_be_fixed(void **state)
{
    (void)state;
    walsh_fused_head_problem p = problem_of(9, 64, 100);
    p.fixed = 1;
    one(p, 9, 10, TRAIN | LANES, 4e-6);
}

/* Logits whose exponentials overflow, or underflow below the bound: the online maximum. */
static void large_alpha(void **state)
{
    (void)state;
    const float alphas[] = {45, 1000, 1e30f};
    for (int i = 0; i < 3; i++)
        for (int c = 10; c <= 100; c += 90)
            one(problem_of(9, 16, c), 9, alphas[i], TRAIN | LANES | (i ? 0 : GROUP), i ? 1e-3 : 2e-5);
}

static void zero_features(void **state)
{
    (void)state;
    for (int c = 10; c <= 100; c += 90) {
        fused_case f;
        open_case(&f, problem_of(9, 16, c), 9, 10);
        memset(f.x, 0, 9 * 16 * sizeof *f.x);
        memset(f.xd, 0, 9 * 16 * sizeof *f.xd);
        train(&f, LANES, 1e-5);
        close_case(&f);
    }
}

/* A label that is no class shows in the loss of its row, and harms nothing else. */
static void wrong_labels_show(void **state)
{
    (void)state;
    for (int c = 10; c <= 100; c += 90) {
        fused_case f;
        op_case k;
        float metrics[36], dx[9 * 16];
        open_case(&f, problem_of(9, 16, c), 9, 10);
        f.labels[3] = c, f.labels[5] = -1;
        op_case_open(&k, &walsh_fused_head, &f.p, 8);
        for (const walsh_variant *const *v = walsh_fused_head.variants; *v; v++) {
            if (!wanted(LANES, walsh_fused_head.variants, v)) continue;
            set(&f, &k);
            op_case_run(&k, *v);
            op_case_get(&k, WALSH_FUSED_HEAD_METRICS, metrics);
            op_case_get(&k, WALSH_FUSED_HEAD_DX, dx);
            for (int i = 0; i < 9; i++) {
                assert_true(!isnan(metrics[4 * i]) == (i != 3 && i != 5));
                if (i == 3 || i == 5) assert_true(metrics[4 * i + 1] == 1 && metrics[4 * i + 2] == 1);
            }
            for (int i = 0; i < 9 * 16; i++) assert_true(isfinite(dx[i]));
        }
        op_case_close(&k);
        close_case(&f);
    }
}

static void a_broken_alpha_shows(void **state)
{
    (void)state;
    fused_case f;
    op_case k;
    float metrics[8];
    open_case(&f, problem_of(2, 16, 10), 2, NAN);
    op_case_open(&k, &walsh_fused_head, &f.p, 8);
    for (const walsh_variant *const *v = walsh_fused_head.variants; *v; v++) {
        if (!wanted(LANES, walsh_fused_head.variants, v)) continue;
        set(&f, &k);
        op_case_run(&k, *v);
        op_case_get(&k, WALSH_FUSED_HEAD_METRICS, metrics);
        assert_true(isnan(metrics[0]) && metrics[1] == 1 && metrics[2] == 1);
    }
    op_case_close(&k);
    close_case(&f);
}

static void wrong_problems(void **state)
{
    (void)state;
    walsh_shape operand[WALSH_MAX_OPERANDS];
    walsh_fused_head_problem p = problem_of(1, 64, 0);
    assert_fails(WALSH_E_ARGUMENT, "0 classes", walsh_fused_head.shapes(&p, operand));
    p = problem_of(1, 64, 10), p.power = 32;
    assert_fails(WALSH_E_ARGUMENT, "does not make 64 features", walsh_fused_head.shapes(&p, operand));
    p = problem_of(1, 64, 10), p.label_smoothing = NAN;
    assert_fails(WALSH_E_ARGUMENT, "label smoothing", walsh_head_predict.shapes(&p, operand));
    p = problem_of(1, 1 << 24, 1 << 30);
    assert_ok(walsh_fused_head.shapes(&p, operand));
    p = problem_of(1, 1 << 20, INT32_MAX);
    assert_ok(walsh_fused_head.shapes(&p, operand));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_sizes),         cmocka_unit_test(every_form),
        cmocka_unit_test(several_cores),     cmocka_unit_test(large_heads),
        cmocka_unit_test(cosine_loss),       cmocka_unit_test(alpha_may_be_fixed),
        cmocka_unit_test(large_alpha),       cmocka_unit_test(zero_features),
        cmocka_unit_test(wrong_labels_show), cmocka_unit_test(a_broken_alpha_shows),
        cmocka_unit_test(wrong_problems),
    };
    return cmocka_run_group_tests(tests, NULL, op_device_close);
}
