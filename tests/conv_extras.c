#include "tests/conv_extras.h"

#include <math.h>

#include "engine/op/batchnorm.h"

int conv_operand(const walsh_op *op, const char *name)
{
    for (int i = 0; i < walsh_op_operands(op); i++)
        if (!strcmp(op->operands[i].name, name)) return i;
    return -1;
}

static void put(op_case *k, const char *name, const double *values)
{
    int operand = conv_operand(k->op, name);
    size_t count = op_case_count(k, operand);
    float *narrow = op_floats(count);
    for (size_t i = 0; i < count; i++) narrow[i] = (float)values[i];
    op_case_set(k, operand, narrow);
    free(narrow);
}

static float *get(op_case *k, const char *name)
{
    int operand = conv_operand(k->op, name);
    float *values = op_floats(op_case_count(k, operand));
    op_case_get(k, operand, values);
    return values;
}

/* Only SAVED's rows scale and shift are used. */
static void affine(op_case *k, const walsh_conv *c, double *x)
{
    size_t ic = (size_t)c->ic, count = ref_conv_x(c);
    double *saved = ref_conv_draw(WALSH_BN_SAVED_ROWS * ic, 4);
    const double *scale = saved + WALSH_BN_SCALE * ic, *shift = saved + WALSH_BN_SHIFT * ic;
    for (size_t i = 0; i < WALSH_BN_SCALE * ic; i++) saved[i] = NAN;
    put(k, "saved", saved);
    for (size_t i = 0; i < count; i++) x[i] = fmax(scale[i % ic] * x[i] + shift[i % ic], c->linear ? -INFINITY : 0);
    free(saved);
}

static void norm_gradient(op_case *k, const walsh_conv *c, double *dy)
{
    size_t oc = (size_t)c->oc, count = ref_conv_y(c);
    double *factors = ref_conv_draw(WALSH_BN_FACTOR_ROWS * oc, 5), *y = ref_conv_draw(count, 6);
    put(k, "factors", factors);
    put(k, "y", y);
    for (size_t i = 0; i < count; i++) {
        const double *f = factors + i % oc;
        dy[i] =
            f[WALSH_BN_FACTOR_SCALE * oc] * dy[i] -
            (f[WALSH_BN_FACTOR_OFFSET * oc] + f[WALSH_BN_FACTOR_SLOPE * oc] * (y[i] - f[WALSH_BN_FACTOR_MEAN * oc]));
    }
    free(factors), free(y);
}

static void bias(op_case *k, const walsh_conv *c)
{
    double *values = ref_conv_draw((size_t)c->oc, 13);
    put(k, "bias", values);
    free(values);
}

void conv_extras_inputs(op_case *k, const walsh_conv *c, double *x, double *dy)
{
    if (c->fuse & WALSH_FUSE_AFFINE) affine(k, c, x);
    if (c->fuse & WALSH_FUSE_BIAS) bias(k, c);
    if (c->fuse & WALSH_FUSE_NORM_GRADIENT) norm_gradient(k, c, dy);
}

void conv_extras_gate(op_case *k, const walsh_conv *c, double *dx, const double *before)
{
    if (!(c->fuse & WALSH_FUSE_NORM_SUMS)) return;
    bool stored = c->gate == WALSH_GATE_STORED, open = c->gate == WALSH_GATE_OPEN;
    bool scaled = c->gate == WALSH_GATE_SCALED;
    size_t ic = (size_t)c->ic, count = ref_conv_x(c);
    double *saved = ref_conv_draw(WALSH_BN_SAVED_ROWS * ic, 7), *u = ref_conv_draw(count, 8);
    double *z = ref_conv_draw(count, 9), *scale = saved + WALSH_BN_SCALE * ic, *shift = saved + WALSH_BN_SHIFT * ic;
    for (size_t i = 0; i < ic; i++) scale[i] = (float)(scale[i] + copysign(0.5, scale[i]));
    for (size_t i = 0; i < count; i++) {
        size_t o = i % ic;
        while (!stored && fabs(scale[o] * u[i] + shift[o]) < 1e-3) u[i] += 0.25;
        z[i] = fmax(stored ? z[i] : scale[o] * u[i] + shift[o], 0);
        if (scaled)
            dx[i] = (z[i] > 0 ? scale[o] * (dx[i] - before[i]) : 0) + before[i];
        else if (!open && !(z[i] > 0))
            dx[i] = 0;
    }
    for (size_t i = 0; (stored || open) && i < ic; i++) scale[i] = shift[i] = NAN; /* not to be used */
    put(k, "saved", saved);
    put(k, "u", u);
    if (stored) put(k, "z", z);
    free(saved), free(u), free(z);
}

void conv_extras_bias(const walsh_conv *c, double *y)
{
    if (!(c->fuse & WALSH_FUSE_BIAS)) return;
    size_t oc = (size_t)c->oc, count = ref_conv_y(c);
    double *values = ref_conv_draw(oc, 13);
    for (size_t i = 0; i < count; i++) y[i] += (float)values[i % oc];
    free(values);
}

void conv_extras_normalise(op_case *k, const walsh_conv *c, double *y)
{
    if (!(c->fuse & WALSH_FUSE_NORMALISE)) return;
    size_t oc = (size_t)c->oc, count = ref_conv_y(c);
    double *saved = ref_conv_draw(WALSH_BN_SAVED_ROWS * oc, 10), *res = ref_conv_draw(count, 11);
    const double *scale = saved + WALSH_BN_SCALE * oc, *shift = saved + WALSH_BN_SHIFT * oc;
    for (size_t i = 0; i < WALSH_BN_SCALE * oc; i++) saved[i] = NAN;
    put(k, "y_saved", saved);
    if (c->add) put(k, "res", res);
    for (size_t i = 0; i < count; i++) {
        y[i] = scale[i % oc] * y[i] + shift[i % oc] + (c->add ? res[i] : 0);
        if (c->relu) y[i] = fmax(y[i], 0);
    }
    free(saved), free(res);
}

/* The group of rows [first, end) of a tensor of `c` channels, and channel o. */
typedef struct group {
    size_t first, end, c, o;
} group;

static bool statistics_agree(const group *g, const float *y, const float *partial)
{
    double sum = 0, squares = 0, largest = 0;
    for (size_t i = g->first * g->c + g->o; i < g->end * g->c; i += g->c)
        sum += y[i], largest = fmax(largest, fabs(y[i]));
    double mean = sum / (double)(g->end - g->first);
    for (size_t i = g->first * g->c + g->o; i < g->end * g->c; i += g->c) squares += (y[i] - mean) * (y[i] - mean);
    return fabs(partial[0] - mean) <= 3e-7 * largest && fabs(partial[g->c] - squares) <= 3e-6 * squares;
}

/* `before`: NULL unless dX is scaled. */
static bool sums_agree(const group *g, const float *dx, const double *before, const float *u, const float *saved,
                       const float *partial)
{
    double mean = saved[g->o], invstd = saved[g->c + g->o], scale = before ? saved[2 * g->c + g->o] : 1;
    double sum = 0, with_u = 0, size = 0, size_u = 0;
    for (size_t i = g->first * g->c + g->o; i < g->end * g->c; i += g->c) {
        double was = before ? (float)before[i] : 0, masked = (dx[i] - was) / scale, xhat = (u[i] - mean) * invstd;
        sum += masked, with_u += masked * xhat;
        size += fabs(masked) + fabs(was), size_u += (fabs(masked) + fabs(was)) * fabs(xhat);
    }
    return fabs(partial[0] - sum) <= 1e-6 * size && fabs(partial[g->c] - with_u) <= 1e-6 * size_u;
}

void conv_extras_compare(op_case *k, const walsh_conv *c, const char *variant, const double *before)
{
    bool statistics = c->fuse & WALSH_FUSE_STATS, sums = c->fuse & WALSH_FUSE_NORM_SUMS;
    if (!statistics && !sums) return;
    int h = sums ? c->h : walsh_conv_oh(c), w = sums ? c->w : walsh_conv_ow(c);
    size_t rows = (size_t)c->n * (size_t)h * (size_t)w, each = (size_t)walsh_bn_group_rows(c->n, h, w);
    float *out = get(k, sums ? "dx" : "y"), *partial = get(k, "partial");
    float *u = sums ? get(k, "u") : NULL, *saved = sums ? get(k, "saved") : NULL;
    if (c->gate != WALSH_GATE_SCALED) before = NULL;
    group g = {.c = (size_t)(sums ? c->ic : c->oc)};
    for (; g.first < rows; g.first += each) {
        g.end = g.first + each < rows ? g.first + each : rows;
        for (g.o = 0; g.o < g.c; g.o++) {
            const float *got = partial + g.first / each * 2 * g.c + g.o;
            if (!(sums ? sums_agree(&g, out, before, u, saved, got) : statistics_agree(&g, out, got)))
                fail_msg("%s: %dx%dx%d, channel %zu, rows %zu to %zu: partial sums %g and %g", variant, c->n, h, w, g.o,
                         g.first, g.end, got[0], got[g.c]);
        }
    }
    free(out), free(partial), free(u), free(saved);
}
