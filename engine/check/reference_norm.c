#include "engine/check/reference_norm.h"

#include <math.h>
#include <string.h>

#include "engine/check/reference.h"

double walsh_reference_affine(const double *saved, size_t c, const double *x, size_t i, bool relu)
{
    double y = saved[WALSH_BN_SCALE * c + i % c] * x[i] + saved[WALSH_BN_SHIFT * c + i % c];
    return relu ? fmax(y, 0) : y;
}

static size_t rows_of(const walsh_bn *p)
{
    return (size_t)p->n * (size_t)p->h * (size_t)p->w;
}

/* Rows [first, end) of one channel, and where their two sums go: partial[0] and partial[c]. */
typedef struct group {
    size_t first, end, channel, c;
    double *partial;
} group;

/* The `index`-th pair of a group of rows and a channel; false where there is none. */
static bool group_at(const walsh_bn *p, double *partial, size_t index, group *g)
{
    size_t c = (size_t)p->c, rows = rows_of(p), each = (size_t)walsh_bn_group_rows(p->n, p->h, p->w), at = index / c;
    *g = (group){.first = at * each, .end = (at + 1) * each, .channel = index % c, .c = c};
    if (g->first >= rows) return false;
    if (g->end > rows) g->end = rows;
    g->partial = partial + at * 2 * c + g->channel;
    return true;
}

void walsh_reference_statistics(const walsh_bn *p, const double *x, double *partial)
{
    group g;
    for (size_t index = 0; group_at(p, partial, index, &g); index++) {
        double mean = 0, squares = 0;
        for (size_t r = g.first; r < g.end; r++) mean += x[r * g.c + g.channel] / (double)(g.end - g.first);
        for (size_t r = g.first; r < g.end; r++) squares += pow(x[r * g.c + g.channel] - mean, 2);
        g.partial[0] = mean, g.partial[g.c] = squares;
    }
}

void walsh_reference_sums(const walsh_bn *p, const double *gradient, const double *u, const double *saved,
                          double *partial)
{
    group g;
    for (size_t index = 0; group_at(p, partial, index, &g); index++) {
        double mean = saved[WALSH_BN_MEAN * g.c + g.channel], invstd = saved[WALSH_BN_INVSTD * g.c + g.channel];
        g.partial[0] = g.partial[g.c] = 0;
        for (size_t i = g.first * g.c + g.channel; i < g.end * g.c; i += g.c) {
            g.partial[0] += gradient[i];
            g.partial[g.c] += gradient[i] * (u[i] - mean) * invstd;
        }
    }
}

static walsh_status stats(const void *problem, double *const *operand)
{
    walsh_reference_statistics(problem, operand[WALSH_BN_STATS_X], operand[WALSH_BN_STATS_PARTIAL]);
    return WALSH_OK;
}

/* SAVED of channel k. */
static void save(double *saved, size_t c, size_t k, double gamma, double beta, double mean, double var)
{
    double invstd = 1 / sqrt(var + (double)WALSH_BN_EPSILON);
    saved[WALSH_BN_MEAN * c + k] = mean, saved[WALSH_BN_INVSTD * c + k] = invstd;
    saved[WALSH_BN_SCALE * c + k] = gamma * invstd, saved[WALSH_BN_SHIFT * c + k] = beta - mean * gamma * invstd;
}

static walsh_status finalize(const void *problem, double *const *operand)
{
    const walsh_bn *p = problem;
    const double momentum = (double)WALSH_BN_MOMENTUM, rows = (double)rows_of(p);
    double *partial = operand[WALSH_BN_FINALIZE_PARTIAL];
    group g;
    for (size_t k = 0; k < (size_t)p->c; k++) {
        double mean = 0, squares = 0;
        for (size_t i = k; group_at(p, partial, i, &g); i += g.c)
            mean += g.partial[0] * (double)(g.end - g.first) / rows;
        for (size_t i = k; group_at(p, partial, i, &g); i += g.c)
            squares += g.partial[g.c] + (double)(g.end - g.first) * pow(g.partial[0] - mean, 2);
        double *running_mean = operand[WALSH_BN_FINALIZE_RUN_MEAN] + k,
               *running = operand[WALSH_BN_FINALIZE_RUN_VAR] + k;
        *running_mean += momentum * (mean - *running_mean);
        *running += momentum * (squares / fmax(rows - 1, 1) - *running);
        save(operand[WALSH_BN_FINALIZE_SAVED], (size_t)p->c, k, operand[WALSH_BN_FINALIZE_GAMMA][k],
             operand[WALSH_BN_FINALIZE_BETA][k], mean, squares / rows);
    }
    return WALSH_OK;
}

static walsh_status eval(const void *problem, double *const *operand)
{
    const walsh_bn *p = problem;
    for (size_t k = 0; k < (size_t)p->c; k++)
        save(operand[WALSH_BN_EVAL_SAVED], (size_t)p->c, k, operand[WALSH_BN_EVAL_GAMMA][k],
             operand[WALSH_BN_EVAL_BETA][k], operand[WALSH_BN_EVAL_RUN_MEAN][k], operand[WALSH_BN_EVAL_RUN_VAR][k]);
    return WALSH_OK;
}

static walsh_status apply(const void *problem, double *const *operand)
{
    const walsh_bn *p = problem;
    size_t c = (size_t)p->c;
    double *y = operand[WALSH_BN_APPLY_Y], *res = operand[WALSH_BN_APPLY_RES];
    for (size_t i = 0; i < rows_of(p) * c; i++) {
        y[i] = walsh_reference_affine(operand[WALSH_BN_APPLY_SAVED], c, operand[WALSH_BN_APPLY_X], i, false);
        if (p->residual == 1) y[i] += res[i];
        if (p->residual == 2) y[i] += walsh_reference_affine(operand[WALSH_BN_APPLY_RES_SAVED], c, res, i, false);
        if (p->relu) y[i] = fmax(y[i], 0);
    }
    return WALSH_OK;
}

/* Masks dy, in place, where the batch norm's ReLU did not let x through. */
static void mask(const walsh_bn *p, double *dy, const double *x, const double *saved)
{
    size_t c = (size_t)p->c;
    for (size_t i = 0; p->relu && i < rows_of(p) * c; i++)
        if (!(walsh_reference_affine(saved, c, x, i, false) > 0)) dy[i] = 0;
}

static walsh_status backward_sums(const void *problem, double *const *operand)
{
    double *dy = operand[WALSH_BN_BACKWARD_SUMS_DY], *x = operand[WALSH_BN_BACKWARD_SUMS_X];
    double *saved = operand[WALSH_BN_BACKWARD_SUMS_SAVED];
    mask(problem, dy, x, saved);
    walsh_reference_sums(problem, dy, x, saved, operand[WALSH_BN_BACKWARD_SUMS_PARTIAL]);
    return WALSH_OK;
}

static walsh_status backward_finalize(const void *problem, double *const *operand)
{
    const walsh_bn *p = problem;
    size_t c = (size_t)p->c;
    double *partial = operand[WALSH_BN_BACKWARD_FINALIZE_PARTIAL], rows = (double)rows_of(p);
    group g;
    for (size_t k = 0; k < c; k++) {
        const double *saved = operand[WALSH_BN_BACKWARD_FINALIZE_SAVED] + k;
        double dbeta = 0, dgamma = 0, *factors = operand[WALSH_BN_BACKWARD_FINALIZE_FACTORS] + k;
        for (size_t i = k; group_at(p, partial, i, &g); i += c) dbeta += g.partial[0], dgamma += g.partial[c];
        operand[WALSH_BN_BACKWARD_FINALIZE_DBETA][k] = dbeta, operand[WALSH_BN_BACKWARD_FINALIZE_DGAMMA][k] = dgamma;
        double scale = saved[WALSH_BN_SCALE * c], add = p->fuse & WALSH_FUSE_ACCUMULATE ? 1 : 0;
        double *offset = factors + WALSH_BN_FACTOR_OFFSET * c, *slope = factors + WALSH_BN_FACTOR_SLOPE * c;
        factors[WALSH_BN_FACTOR_MEAN * c] = saved[WALSH_BN_MEAN * c];
        factors[WALSH_BN_FACTOR_SCALE * c] = p->rest ? 1 : scale;
        *offset = (add > 0 ? *offset : 0) + scale * dbeta / rows;
        *slope = (add > 0 ? *slope : 0) + scale * saved[WALSH_BN_INVSTD * c] * dgamma / rows;
    }
    return WALSH_OK;
}

static walsh_status backward_apply(const void *problem, double *const *operand)
{
    const walsh_bn *p = problem;
    size_t c = (size_t)p->c;
    double *dy = operand[WALSH_BN_BACKWARD_APPLY_DY], *x = operand[WALSH_BN_BACKWARD_APPLY_X];
    mask(p, dy, x, operand[WALSH_BN_BACKWARD_APPLY_SAVED]);
    for (size_t i = 0; i < rows_of(p) * c; i++) {
        const double *f = operand[WALSH_BN_BACKWARD_APPLY_FACTORS] + i % c;
        double *dx = operand[WALSH_BN_BACKWARD_APPLY_DX] + i;
        *dx = (p->fuse & WALSH_FUSE_ACCUMULATE ? *dx : 0) + f[WALSH_BN_FACTOR_SCALE * c] * dy[i] -
              (f[WALSH_BN_FACTOR_OFFSET * c] + f[WALSH_BN_FACTOR_SLOPE * c] * (x[i] - f[0]));
    }
    return WALSH_OK;
}

static void make_positive(double *values, size_t count)
{
    for (size_t i = 0; i < count; i++) values[i] = fabs(values[i]) + 0.25;
}

static walsh_status arrange_finalize(const void *problem, double *const *operand)
{
    const walsh_bn *p = problem;
    walsh_shape partial = walsh_bn_partial_shape(p);
    make_positive(operand[WALSH_BN_FINALIZE_PARTIAL], walsh_shape_rows(partial) * (size_t)partial.c);
    make_positive(operand[WALSH_BN_FINALIZE_RUN_VAR], (size_t)p->c);
    return WALSH_OK;
}

static walsh_status arrange_eval(const void *problem, double *const *operand)
{
    make_positive(operand[WALSH_BN_EVAL_RUN_VAR], (size_t)((const walsh_bn *)problem)->c);
    return WALSH_OK;
}

/* The scale that dY is multiplied by is the one of the ReLU's mask. */
static walsh_status arrange_apply(const void *problem, double *const *operand)
{
    const walsh_bn *p = problem;
    size_t c = (size_t)p->c;
    if (p->relu)
        memcpy(operand[WALSH_BN_BACKWARD_APPLY_FACTORS] + WALSH_BN_FACTOR_SCALE * c,
               operand[WALSH_BN_BACKWARD_APPLY_SAVED] + WALSH_BN_SCALE * c, c * sizeof(double));
    return WALSH_OK;
}

const walsh_reference walsh_reference_norms[] = {
    {.op = &walsh_bn_stats, .compute = stats},
    {.op = &walsh_bn_finalize, .compute = finalize, .arrange = arrange_finalize},
    {.op = &walsh_bn_eval, .compute = eval, .arrange = arrange_eval},
    {.op = &walsh_bn_apply, .compute = apply},
    {.op = &walsh_bn_backward_sums, .compute = backward_sums},
    {.op = &walsh_bn_backward_finalize, .compute = backward_finalize},
    {.op = &walsh_bn_backward_apply, .compute = backward_apply, .arrange = arrange_apply},
    {.op = NULL},
};
