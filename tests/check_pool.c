/* Pooling, forward and backward, against double precision; the reference's gradients against finite differences. */
#include "tests/op_case.h"

#include <math.h>

#include "engine/base/rng.h"
#include "engine/op/batchnorm.h"
#include "engine/op/pool.h"

/* The input pixels of one output pixel's window. */
typedef struct window {
    int first_y, end_y, first_x, end_x;
    double area; /* what an average divides by */
} window;

static window window_of(const walsh_pool *p, int oy, int ox)
{
    if (p->kind == WALSH_POOL_GLOBAL) return (window){0, p->h, 0, p->w, (double)p->h * p->w};
    int y = oy * p->stride - p->pad, x = ox * p->stride - p->pad;
    int end_y = y + p->window < p->h ? y + p->window : p->h, end_x = x + p->window < p->w ? x + p->window : p->w;
    return (window){y > 0 ? y : 0, end_y, x > 0 ? x : 0, end_x, (double)p->window * p->window};
}

/* Index of channel k of pixel (y, x) of image i in dense h x w x c. */
static size_t at(int h, int w, int c, int i, int y, int x, int k)
{
    return (size_t)(((i * h + y) * w + x) * c + k);
}

/* One output element; if dx is not NULL, adds dy to the gradients instead. */
static double ref_element(const walsh_pool *p, const double *in, int i, int oy, int ox, int k, double dy, double *dx)
{
    window s = window_of(p, oy, ox);
    double sum = 0, largest = -INFINITY;
    size_t largest_at = 0;
    for (int y = s.first_y; y < s.end_y; y++) {
        for (int x = s.first_x; x < s.end_x; x++) {
            size_t e = at(p->h, p->w, p->c, i, y, x, k);
            sum += in[e];
            if (dx && p->kind != WALSH_POOL_MAX) dx[e] += dy / s.area;
            if (in[e] > largest || (isnan(in[e]) && !isnan(largest))) largest = in[e], largest_at = e;
        }
    }
    if (dx && p->kind == WALSH_POOL_MAX) dx[largest_at] += dy;
    return p->kind == WALSH_POOL_MAX ? largest : sum / s.area;
}

/* y from x, or, with dx, dx += from dy. */
static void ref(const walsh_pool *p, const double *x, double *y, const double *dy, double *dx)
{
    int oh = walsh_pool_oh(p), ow = walsh_pool_ow(p);
    for (int i = 0; i < p->n; i++)
        for (int oy = 0; oy < oh; oy++)
            for (int ox = 0; ox < ow; ox++)
                for (int k = 0; k < p->c; k++) {
                    size_t e = at(oh, ow, p->c, i, oy, ox, k);
                    double v = ref_element(p, x, i, oy, ox, k, dx ? dy[e] : 0, dx);
                    if (y) y[e] = v;
                }
}

/* Values of a few steps only, so that maxima tie; exact in float. */
static void coarse(float *x, double *exact, size_t count, uint64_t seed, double steps)
{
    walsh_rng rng = {seed, 0};
    for (size_t i = 0; i < count; i++) {
        x[i] = (float)(floor(steps * walsh_rng_uniform(rng, i)) / 8 - 1);
        exact[i] = x[i];
    }
}

/* SAVED [4][c]: such scales and shifts that coarse values are exact, and never 0, behind them. */
static float *draw_saved(const walsh_pool *p)
{
    size_t c = (size_t)p->c;
    float *saved = op_floats(WALSH_BN_SAVED_ROWS * c);
    walsh_rng rng = {5, 0};
    for (size_t i = 0; i < c; i++) {
        saved[i] = walsh_rng_uniform(rng, i) - 0.5f;
        saved[c + i] = 1 + walsh_rng_uniform(rng, c + i);
        saved[2 * c + i] = (i % 2 ? -1.0f : 1.0f) / (float)(1 + i % 3 / 2);
        saved[3 * c + i] = (float)(i % 7) / 16 - 5.0f / 32;
    }
    return saved;
}

/* What enters the ReLU for element i of X. */
static double affine(const walsh_pool *p, const float *saved, const double *x, size_t i)
{
    size_t c = (size_t)p->c, k = i % c;
    return saved[WALSH_BN_SCALE * c + k] * x[i] + saved[WALSH_BN_SHIFT * c + k];
}

static void check_forward(walsh_pool p, int extra, const float *x, const double *exact, unsigned fuse)
{
    p.fuse = fuse;
    if (op_case_left_out(&walsh_pool_forward, NULL, &p)) return;
    op_case k;
    op_case_open(&k, &walsh_pool_forward, &p, extra);
    size_t count = op_case_count(&k, WALSH_POOL_FORWARD_Y), inputs = op_case_count(&k, WALSH_POOL_FORWARD_X);
    float *y = op_floats(count), *saved = draw_saved(&p);
    double *want = op_doubles(count), *meant = op_doubles(inputs);
    for (size_t i = 0; i < inputs; i++) meant[i] = fuse ? fmax(affine(&p, saved, exact, i), 0) : exact[i];
    ref(&p, meant, want, NULL, NULL);
    op_case_set(&k, WALSH_POOL_FORWARD_X, x);
    if (fuse) op_case_set(&k, WALSH_POOL_FORWARD_SAVED, saved);
    for (const walsh_variant *const *v = walsh_pool_forward.variants; *v; v++) {
        op_case_poison(&k, WALSH_POOL_FORWARD_Y);
        op_case_run(&k, *v);
        op_case_get(&k, WALSH_POOL_FORWARD_Y, y);
        assert_true(op_error(y, want, count) < (p.kind == WALSH_POOL_MAX ? 1e-12 : 1e-6));
    }
    op_case_close(&k);
    free(y), free(want), free(saved), free(meant);
}

/* Y of the maximum, as the forward pass leaves it. */
static void set_output(op_case *k, const walsh_pool *p, const double *exact, size_t outputs)
{
    double *y = op_doubles(outputs);
    float *rounded = op_floats(outputs);
    ref(p, exact, y, NULL, NULL);
    for (size_t i = 0; i < outputs; i++) rounded[i] = (float)y[i];
    op_case_set(k, WALSH_POOL_BACKWARD_Y, rounded);
    free(y), free(rounded);
}

/* Masks the gradient g by the ReLU, and compares PARTIAL with its sums. */
static void check_sums(op_case *k, const walsh_pool *p, const float *saved, const double *u, double *g)
{
    size_t c = (size_t)p->c, rows = (size_t)p->n * (size_t)p->h * (size_t)p->w;
    size_t each = (size_t)walsh_bn_group_rows(p->n, p->h, p->w);
    float *partial = op_floats(op_case_count(k, WALSH_POOL_BACKWARD_PARTIAL));
    op_case_get(k, WALSH_POOL_BACKWARD_PARTIAL, partial);
    for (size_t i = 0; i < rows * c; i++)
        if (affine(p, saved, u, i) < 0) g[i] = 0;
    for (size_t first = 0; first < rows; first += each)
        for (size_t o = 0; o < c; o++) {
            double sum = 0, with_u = 0, size = 0;
            for (size_t r = first; r < first + each && r < rows; r++) {
                double term = g[r * c + o] * (u[r * c + o] - saved[o]) * saved[c + o];
                sum += g[r * c + o], with_u += term, size += fabs(g[r * c + o]) + fabs(term);
            }
            const float *got = partial + first / each * 2 * c + o;
            assert_true(fabs(got[0] - sum) <= 1e-6 * size && fabs(got[c] - with_u) <= 1e-6 * size);
        }
    free(partial);
}

/* WALSH_FUSE_NORM_SUMS: x is what the batch norm read. */
static void check_through(walsh_pool p, int extra, const float *x, const double *exact, unsigned fuse, int scaled)
{
    op_case k;
    p.fuse = fuse, p.scaled = scaled;
    if (op_case_left_out(&walsh_pool_backward, walsh_pool_backward.variants[0], &p)) return;
    op_case_open(&k, &walsh_pool_backward, &p, extra);
    size_t inputs = op_case_count(&k, WALSH_POOL_BACKWARD_DX), outputs = op_case_count(&k, WALSH_POOL_BACKWARD_DY);
    float *dy = op_floats(outputs), *dx = op_floats(inputs), *before = op_floats(inputs), *saved = draw_saved(&p);
    double *dy_exact = op_doubles(outputs), *want = op_doubles(inputs), *start = op_doubles(inputs);
    coarse(dy, dy_exact, outputs, 7, 160);
    coarse(before, start, inputs, 8, 16);
    op_case_set(&k, WALSH_POOL_BACKWARD_DY, dy);
    op_case_set(&k, WALSH_POOL_BACKWARD_U, x);
    op_case_set(&k, WALSH_POOL_BACKWARD_SAVED, saved);
    op_case_poison(&k, WALSH_POOL_BACKWARD_DX);
    op_case_poison(&k, WALSH_POOL_BACKWARD_PARTIAL);
    if (fuse & WALSH_FUSE_ACCUMULATE) op_case_set(&k, WALSH_POOL_BACKWARD_DX, before);
    op_case_run(&k, walsh_pool_backward.variants[0]);
    op_case_get(&k, WALSH_POOL_BACKWARD_DX, dx);
    double *meant = op_doubles(inputs);
    for (size_t i = 0; i < inputs; i++) meant[i] = fmax(affine(&p, saved, exact, i), 0);
    ref(&p, meant, NULL, dy_exact, want);
    check_sums(&k, &p, saved, exact, want);
    for (size_t i = 0; i < inputs; i++) {
        if (scaled) want[i] *= saved[WALSH_BN_SCALE * (size_t)p.c + i % (size_t)p.c];
        if (fuse & WALSH_FUSE_ACCUMULATE) want[i] += start[i];
    }
    assert_true(op_error(dx, want, inputs) < 1e-6);
    op_case_close(&k);
    free(dy), free(dx), free(before), free(saved), free(dy_exact), free(want), free(start), free(meant);
}

static void check_backward(walsh_pool p, int extra, const float *x, const double *exact, unsigned fuse)
{
    op_case k;
    p.fuse = fuse;
    if (op_case_left_out(&walsh_pool_backward, NULL, &p)) return;
    op_case_open(&k, &walsh_pool_backward, &p, extra);
    size_t inputs = op_case_count(&k, WALSH_POOL_BACKWARD_DX), outputs = op_case_count(&k, WALSH_POOL_BACKWARD_DY);
    float *dy = op_floats(outputs), *dx = op_floats(inputs), *before = op_floats(inputs);
    double *dy_exact = op_doubles(outputs), *want = op_doubles(inputs), *start = op_doubles(inputs);
    coarse(dy, dy_exact, outputs, 7, 160);
    coarse(before, start, inputs, 8, 16);
    if (fuse & WALSH_FUSE_ACCUMULATE) memcpy(want, start, inputs * sizeof *want);
    ref(&p, exact, NULL, dy_exact, want);
    op_case_set(&k, WALSH_POOL_BACKWARD_DY, dy);
    if (p.kind == WALSH_POOL_MAX) {
        op_case_set(&k, WALSH_POOL_BACKWARD_X, x);
        set_output(&k, &p, exact, outputs);
    }
    for (const walsh_variant *const *v = walsh_pool_backward.variants; *v; v++) {
        if (fuse & ~(*v)->fuses) continue;
        if (fuse & WALSH_FUSE_ACCUMULATE)
            op_case_set(&k, WALSH_POOL_BACKWARD_DX, before);
        else
            op_case_poison(&k, WALSH_POOL_BACKWARD_DX);
        op_case_run(&k, *v);
        op_case_get(&k, WALSH_POOL_BACKWARD_DX, dx);
        assert_true(op_error(dx, want, inputs) < 1e-6);
    }
    op_case_close(&k);
    free(dy), free(dx), free(before), free(dy_exact), free(want), free(start);
}

static void one(const walsh_pool *p, int extra)
{
    size_t count = (size_t)p->n * (size_t)p->h * (size_t)p->w * (size_t)p->c;
    float *x = op_floats(count);
    double *exact = op_doubles(count);
    coarse(x, exact, count, 3, 16);
    check_forward(*p, extra, x, exact, 0);
    check_forward(*p, extra, x, exact, WALSH_FUSE_AFFINE);
    check_backward(*p, extra, x, exact, 0);
    check_backward(*p, extra, x, exact, WALSH_FUSE_ACCUMULATE);
    for (int scaled = 0; scaled < 2; scaled++) {
        check_through(*p, extra, x, exact, WALSH_FUSE_NORM_SUMS, scaled);
        check_through(*p, extra, x, exact, WALSH_FUSE_NORM_SUMS | WALSH_FUSE_ACCUMULATE, scaled);
    }
    free(x), free(exact);
}

/* n, h, w, c, window, stride, pad */
static const int sizes[][7] = {{1, 1, 1, 1, 1, 1, 0},  {2, 8, 8, 16, 2, 2, 0}, {1, 7, 9, 3, 3, 2, 1},
                               {3, 5, 6, 30, 3, 1, 1}, {1, 11, 4, 6, 2, 3, 1}, {2, 6, 13, 64, 5, 2, 2},
                               {1, 9, 9, 4, 4, 1, 2},  {1, 3, 3, 24, 3, 3, 0}, {5, 17, 15, 8, 3, 2, 1},
                               {1, 512, 513, 16, 3, 2, 1}}; /* larger than caches */

static void shapes(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        const int *s = sizes[i];
        walsh_pool p = {.n = s[0], .h = s[1], .w = s[2], .c = s[3], .window = s[4], .stride = s[5], .pad = s[6]};
        for (p.kind = WALSH_POOL_MAX; p.kind <= WALSH_POOL_GLOBAL; p.kind++) one(&p, i % 2 ? 8 : 0);
    }
}

static double loss(const walsh_pool *p, const double *x, const double *dy, double *y, size_t outputs)
{
    double sum = 0;
    ref(p, x, y, NULL, NULL);
    for (size_t i = 0; i < outputs; i++) sum += y[i] * dy[i];
    return sum;
}

/* The reference itself: its gradients are those of its own forward pass. */
static void reference_by_finite_differences(void **state)
{
    (void)state;
    walsh_rng rng = {11, 0};
    walsh_pool p = {.n = 2, .h = 5, .w = 6, .c = 3, .window = 3, .stride = 2, .pad = 1};
    for (p.kind = WALSH_POOL_MAX; p.kind <= WALSH_POOL_GLOBAL; p.kind++) {
        size_t inputs = 2 * 5 * 6 * 3, outputs = 2 * 3 * (size_t)(walsh_pool_oh(&p) * walsh_pool_ow(&p));
        double *x = op_doubles(inputs), *dy = op_doubles(outputs), *y = op_doubles(outputs), *dx = op_doubles(inputs);
        for (size_t i = 0; i < inputs; i++) x[i] = walsh_rng_uniform(rng, i);
        for (size_t i = 0; i < outputs; i++) dy[i] = walsh_rng_uniform(rng, 1000 + i) - 0.5;
        ref(&p, x, NULL, dy, dx);
        for (size_t i = 0; i < inputs; i++) {
            double kept = x[i], step = 1e-6;
            x[i] = kept + step;
            double above = loss(&p, x, dy, y, outputs);
            x[i] = kept - step;
            double below = loss(&p, x, dy, y, outputs);
            x[i] = kept;
            assert_true(fabs((above - below) / (2 * step) - dx[i]) < 1e-7);
        }
        free(x), free(dy), free(y), free(dx);
    }
}

/* A 2x2 window with NaN in two places: the maximum is NaN, the first takes the gradient. */
static void nan_is_not_hidden(void **state)
{
    (void)state;
    walsh_pool p = {.kind = WALSH_POOL_MAX, .n = 1, .h = 2, .w = 2, .c = 1, .window = 2, .stride = 2};
    const float x[4] = {5, NAN, NAN, 7}, dy = 3;
    float y, dx[4];
    op_case f, b;
    op_case_open(&f, &walsh_pool_forward, &p, 0);
    op_case_set(&f, WALSH_POOL_FORWARD_X, x);
    op_case_run(&f, walsh_pool_forward.variants[0]);
    op_case_get(&f, WALSH_POOL_FORWARD_Y, &y);
    assert_true(isnan(y));
    op_case_open(&b, &walsh_pool_backward, &p, 0);
    op_case_set(&b, WALSH_POOL_BACKWARD_X, x);
    op_case_set(&b, WALSH_POOL_BACKWARD_Y, &y);
    op_case_set(&b, WALSH_POOL_BACKWARD_DY, &dy);
    op_case_run(&b, walsh_pool_backward.variants[0]);
    op_case_get(&b, WALSH_POOL_BACKWARD_DX, dx);
    assert_true(dx[0] == 0 && dx[1] == 3 && dx[2] == 0 && dx[3] == 0);
    op_case_close(&f);
    op_case_close(&b);
}

static void wrong_problems(void **state)
{
    (void)state;
    walsh_shape operand[WALSH_POOL_BACKWARD_OPERANDS];
    const walsh_pool good = {
        .kind = WALSH_POOL_MAX, .n = 1, .h = 4, .w = 4, .c = 4, .window = 3, .stride = 2, .pad = 1};
    walsh_pool p = good;
    assert_ok(walsh_pool_forward.shapes(&p, operand));
    p.c = 0;
    assert_fails(WALSH_E_ARGUMENT, "at least 1", walsh_pool_forward.shapes(&p, operand));
    p = good, p.pad = 2;
    assert_fails(WALSH_E_ARGUMENT, "found 3, 2, 2", walsh_pool_backward.shapes(&p, operand));
    p = good, p.stride = 0;
    assert_fails(WALSH_E_ARGUMENT, "found 3, 0, 1", walsh_pool_forward.shapes(&p, operand));
    p = good, p.window = 4097;
    assert_fails(WALSH_E_ARGUMENT, "at most 4096", walsh_pool_forward.shapes(&p, operand));
    p = good, p.window = 7;
    assert_fails(WALSH_E_ARGUMENT, "window of 7 does not fit into 4x4 pixels", walsh_pool_forward.shapes(&p, operand));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shapes),
        cmocka_unit_test(reference_by_finite_differences),
        cmocka_unit_test(nan_is_not_hidden),
        cmocka_unit_test(wrong_problems),
    };
    return cmocka_run_group_tests(tests, NULL, op_device_close);
}
