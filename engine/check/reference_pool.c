#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/check/reference.h"
#include "engine/check/reference_norm.h"
#include "engine/op/pool.h"

/* Output pixel (i, oy, ox): the input pixels of its window, and what an average divides by. */
typedef struct window {
    int first_y, end_y, first_x, end_x;
    double area;
} window;

static int least(int a, int b)
{
    return a < b ? a : b;
}

static window window_of(const walsh_pool *p, int oy, int ox)
{
    if (p->kind == WALSH_POOL_GLOBAL) return (window){0, p->h, 0, p->w, (double)p->h * p->w};
    int y = oy * p->stride - p->pad, x = ox * p->stride - p->pad;
    return (window){y > 0 ? y : 0, least(y + p->window, p->h), x > 0 ? x : 0, least(x + p->window, p->w),
                    (double)p->window * p->window};
}

/* Output element e from x, or, where dx is not NULL, dx += the gradient of it. */
static void element(const walsh_pool *p, size_t e, const double *x, double *y, const double *dy, double *dx)
{
    size_t c = (size_t)p->c, ow = (size_t)walsh_pool_ow(p), oh = (size_t)walsh_pool_oh(p);
    const window s = window_of(p, (int)(e / c / ow % oh), (int)(e / c % ow));
    double sum = 0, largest = -INFINITY;
    size_t largest_at = 0, image = e / c / ow / oh;
    for (int iy = s.first_y; iy < s.end_y; iy++)
        for (int ix = s.first_x; ix < s.end_x; ix++) {
            size_t at = ((image * (size_t)p->h + (size_t)iy) * (size_t)p->w + (size_t)ix) * c + e % c;
            if (dx && p->kind != WALSH_POOL_MAX) dx[at] += dy[e] / s.area;
            if (!x) continue;
            sum += x[at];
            if (x[at] > largest) largest = x[at], largest_at = at;
        }
    if (dx && p->kind == WALSH_POOL_MAX) dx[largest_at] += dy[e];
    if (y) y[e] = p->kind == WALSH_POOL_MAX ? largest : sum / s.area;
}

static size_t outputs(const walsh_pool *p)
{
    return (size_t)p->n * (size_t)walsh_pool_oh(p) * (size_t)walsh_pool_ow(p) * (size_t)p->c;
}

static size_t inputs(const walsh_pool *p)
{
    return (size_t)p->n * (size_t)p->h * (size_t)p->w * (size_t)p->c;
}

static walsh_status forward(const void *problem, double *const *operand)
{
    const walsh_pool *p = problem;
    double *x = operand[WALSH_POOL_FORWARD_X];
    for (size_t i = 0; p->fuse & WALSH_FUSE_AFFINE && i < inputs(p); i++)
        x[i] = walsh_reference_affine(operand[WALSH_POOL_FORWARD_SAVED], (size_t)p->c, x, i, true);
    for (size_t e = 0; e < outputs(p); e++) element(p, e, x, operand[WALSH_POOL_FORWARD_Y], NULL, NULL);
    return WALSH_OK;
}

static walsh_status backward(const void *problem, double *const *operand)
{
    const walsh_pool *p = problem;
    size_t count = inputs(p), c = (size_t)p->c;
    double *dx = operand[WALSH_POOL_BACKWARD_DX], *before = NULL;
    const double *u = operand[WALSH_POOL_BACKWARD_U], *saved = operand[WALSH_POOL_BACKWARD_SAVED];
    WALSH_TRY(walsh_alloc(&before, count, sizeof *before, "a reference"));
    if (p->fuse & WALSH_FUSE_ACCUMULATE) memcpy(before, dx, count * sizeof *dx);
    memset(dx, 0, count * sizeof *dx);
    double *x = operand[WALSH_POOL_BACKWARD_X], *z = NULL;
    if (u) {
        walsh_status status = walsh_alloc(&z, count, sizeof *z, "a reference");
        if (status) free(before);
        WALSH_TRY(status);
        for (size_t i = 0; i < count; i++) z[i] = walsh_reference_affine(saved, c, u, i, true);
    }
    for (size_t e = 0; e < outputs(p); e++) element(p, e, u ? z : x, NULL, operand[WALSH_POOL_BACKWARD_DY], dx);
    if (p->fuse & WALSH_FUSE_NORM_SUMS) {
        const walsh_bn rows = {.n = p->n, .h = p->h, .w = p->w, .c = p->c};
        for (size_t i = 0; i < count; i++)
            if (!(walsh_reference_affine(saved, c, u, i, false) > 0)) dx[i] = 0;
        walsh_reference_sums(&rows, dx, u, saved, operand[WALSH_POOL_BACKWARD_PARTIAL]);
        for (size_t i = 0; p->scaled && i < count; i++) dx[i] *= saved[WALSH_BN_SCALE * c + i % c];
    }
    for (size_t i = 0; i < count; i++) dx[i] += before[i];
    free(before), free(z);
    return WALSH_OK;
}

/* Y is what the forward pass gives. */
static walsh_status arrange_backward(const void *problem, double *const *operand)
{
    const walsh_pool *p = problem;
    const double *x = operand[WALSH_POOL_BACKWARD_X];
    for (size_t e = 0; x && operand[WALSH_POOL_BACKWARD_Y] && e < outputs(p); e++)
        element(p, e, x, operand[WALSH_POOL_BACKWARD_Y], NULL, NULL);
    return WALSH_OK;
}

const walsh_reference walsh_reference_pools[] = {
    {.op = &walsh_pool_forward, .compute = forward},
    {.op = &walsh_pool_backward, .compute = backward, .arrange = arrange_backward},
    {.op = NULL},
};
