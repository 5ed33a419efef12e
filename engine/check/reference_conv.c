#include "engine/check/reference_conv.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/check/reference.h"
#include "engine/check/reference_norm.h"

static size_t count_x(const walsh_conv *c)
{
    return (size_t)c->n * (size_t)c->h * (size_t)c->w * (size_t)c->ic;
}
static size_t count_y(const walsh_conv *c)
{
    return (size_t)c->n * (size_t)walsh_conv_oh(c) * (size_t)walsh_conv_ow(c) * (size_t)c->oc;
}

/* What an input value x, and a row of `count` weights and outputs, mean to each other. */
typedef void row_function(double *x, double *w, double *y, int count);

static void forward_row(double *x, double *w, double *y, int count)
{
    for (int o = 0; o < count; o++) y[o] += *x * w[o];
}

static void data_row(double *x, double *w, double *y, int count)
{
    for (int o = 0; o < count; o++) *x += y[o] * w[o];
}

static void filter_row(double *x, double *w, double *y, int count)
{
    for (int o = 0; o < count; o++) w[o] += *x * y[o];
}

/* The channel of X that is input i of group g. */
static int channel(const walsh_conv *c, int i, int g)
{
    int groups = walsh_conv_groups(c), each = c->ic / groups, of = g * each + i;
    return c->shuffled ? of % groups * each + of / groups : of;
}

/* An input pixel, a tap and an output pixel that meet: where their channels begin. */
static void each_row(const walsh_conv *c, row_function *row, double *x, double *w, double *y)
{
    int groups = walsh_conv_groups(c), depth = c->ic / groups, width = c->oc / groups;
    for (int g = 0; g < groups; g++)
        for (int i = 0; i < depth; i++) row(x + channel(c, i, g), w + i * c->oc + g * width, y + g * width, width);
}

void walsh_reference_conv(walsh_direction direction, const walsh_conv *c, int depth, double *x, double *w, double *y)
{
    static row_function *const rows[] = {forward_row, data_row, filter_row};
    size_t ic = (size_t)c->ic, oc = (size_t)c->oc, tap = (size_t)depth * oc;
    int oh = walsh_conv_oh(c), ow = walsh_conv_ow(c);
    if (direction == WALSH_FORWARD) memset(y, 0, count_y(c) * sizeof *y);
    if (direction == WALSH_DATA) memset(x, 0, count_x(c) * sizeof *x);
    if (direction == WALSH_FILTER) memset(w, 0, (size_t)(c->kh * c->kw) * tap * sizeof *w);
    for (int n = 0; n < c->n; n++)
        for (int oy = 0; oy < oh; oy++)
            for (int ox = 0; ox < ow; ox++)
                for (int k = 0; k < c->kh * c->kw; k++) {
                    int iy = oy * c->stride + k / c->kw - c->pad, ix = ox * c->stride + k % c->kw - c->pad;
                    if (iy < 0 || iy >= c->h || ix < 0 || ix >= c->w) continue;
                    each_row(c, rows[direction], x + (size_t)((n * c->h + iy) * c->w + ix) * ic, w + (size_t)k * tap,
                             y + (size_t)((n * oh + oy) * ow + ox) * oc);
                }
}

static int depth_of(const walsh_conv *c)
{
    walsh_shape x, w, y;
    return walsh_conv_shapes(c, &x, &w, &y) == WALSH_OK ? w.w : 0;
}

/* X as WALSH_FUSE_AFFINE has it, in place. */
static void prologue_x(const walsh_conv *c, double *x, const double *saved)
{
    if (!(c->fuse & WALSH_FUSE_AFFINE)) return;
    for (size_t i = 0; i < count_x(c); i++) x[i] = walsh_reference_affine(saved, (size_t)c->ic, x, i, !c->linear);
}

/* dY from G as WALSH_FUSE_NORM_GRADIENT has it, in place. */
static void prologue_dy(const walsh_conv *c, double *dy, const double *y, const double *factors)
{
    size_t oc = (size_t)c->oc;
    if (!(c->fuse & WALSH_FUSE_NORM_GRADIENT)) return;
    for (size_t i = 0; i < count_y(c); i++) {
        const double *f = factors + i % oc;
        dy[i] = f[WALSH_BN_FACTOR_SCALE * oc] * dy[i] -
                (f[WALSH_BN_FACTOR_OFFSET * oc] + f[WALSH_BN_FACTOR_SLOPE * oc] * (y[i] - f[0]));
    }
}

static walsh_status forward(const void *problem, double *const *operand)
{
    const walsh_conv *c = problem;
    size_t oc = (size_t)c->oc;
    double *y = operand[WALSH_CONV_FORWARD_Y];
    prologue_x(c, operand[WALSH_CONV_FORWARD_X], operand[WALSH_CONV_FORWARD_SAVED]);
    walsh_reference_conv(WALSH_FORWARD, c, depth_of(c), operand[WALSH_CONV_FORWARD_X], operand[WALSH_CONV_FORWARD_W],
                         y);
    for (size_t i = 0; c->fuse & WALSH_FUSE_BIAS && i < count_y(c); i++)
        y[i] += operand[WALSH_CONV_FORWARD_BIAS][i % oc];
    const walsh_bn rows = {.n = c->n, .h = walsh_conv_oh(c), .w = walsh_conv_ow(c), .c = c->oc};
    if (c->fuse & WALSH_FUSE_STATS) walsh_reference_statistics(&rows, y, operand[WALSH_CONV_FORWARD_PARTIAL]);
    for (size_t i = 0; c->fuse & WALSH_FUSE_NORMALISE && i < count_y(c); i++) {
        y[i] = walsh_reference_affine(operand[WALSH_CONV_FORWARD_Y_SAVED], oc, y, i, false);
        if (c->add) y[i] += operand[WALSH_CONV_FORWARD_RES][i];
        if (c->relu) y[i] = fmax(y[i], 0);
    }
    return WALSH_OK;
}

/* Whether the ReLU that WALSH_FUSE_NORM_SUMS asks for lets element i through. */
static bool is_open(const walsh_conv *c, double *const *operand, size_t i)
{
    if (!(c->fuse & WALSH_FUSE_NORM_SUMS) || c->gate == WALSH_GATE_OPEN) return true;
    if (c->gate == WALSH_GATE_STORED) return operand[WALSH_CONV_DATA_Z][i] > 0;
    return walsh_reference_affine(operand[WALSH_CONV_DATA_SAVED], (size_t)c->ic, operand[WALSH_CONV_DATA_U], i, false) >
           0;
}

static walsh_status data(const void *problem, double *const *operand)
{
    const walsh_conv *c = problem;
    bool sums = c->fuse & WALSH_FUSE_NORM_SUMS, scaled = sums && c->gate == WALSH_GATE_SCALED;
    bool accumulate = c->fuse & WALSH_FUSE_ACCUMULATE;
    double *dx = operand[WALSH_CONV_DATA_DX], *before = NULL;
    size_t count = count_x(c), ic = (size_t)c->ic;
    WALSH_TRY(walsh_alloc(&before, count, sizeof *before, "a reference"));
    if (accumulate) memcpy(before, dx, count * sizeof *dx);
    prologue_dy(c, operand[WALSH_CONV_DATA_DY], operand[WALSH_CONV_DATA_Y], operand[WALSH_CONV_DATA_FACTORS]);
    walsh_reference_conv(WALSH_DATA, c, depth_of(c), dx, operand[WALSH_CONV_DATA_W], operand[WALSH_CONV_DATA_DY]);
    for (size_t i = 0; i < count; i++) {
        if (!scaled) dx[i] += before[i];
        if (!is_open(c, operand, i)) dx[i] = 0;
    }
    const walsh_bn rows = {.n = c->n, .h = c->h, .w = c->w, .c = c->ic};
    if (sums)
        walsh_reference_sums(&rows, dx, operand[WALSH_CONV_DATA_U], operand[WALSH_CONV_DATA_SAVED],
                             operand[WALSH_CONV_DATA_PARTIAL]);
    for (size_t i = 0; scaled && i < count; i++)
        dx[i] = before[i] + operand[WALSH_CONV_DATA_SAVED][WALSH_BN_SCALE * ic + i % ic] * dx[i];
    free(before);
    return WALSH_OK;
}

static walsh_status filter(const void *problem, double *const *operand)
{
    const walsh_conv *c = problem;
    prologue_x(c, operand[WALSH_CONV_FILTER_X], operand[WALSH_CONV_FILTER_SAVED]);
    prologue_dy(c, operand[WALSH_CONV_FILTER_DY], operand[WALSH_CONV_FILTER_Y], operand[WALSH_CONV_FILTER_FACTORS]);
    walsh_reference_conv(WALSH_FILTER, c, depth_of(c), operand[WALSH_CONV_FILTER_X], operand[WALSH_CONV_FILTER_DW],
                         operand[WALSH_CONV_FILTER_DY]);
    return WALSH_OK;
}

/* Pad rows of W are zero. */
static walsh_status arrange(const void *problem, double *const *operand)
{
    const walsh_conv *c = problem;
    size_t depth = (size_t)depth_of(c), used = (size_t)(c->ic / walsh_conv_groups(c)), oc = (size_t)c->oc;
    double *w = operand[WALSH_CONV_FORWARD_W]; /* and WALSH_CONV_DATA_W */
    for (size_t tap = 0; tap < (size_t)(c->kh * c->kw); tap++)
        memset(w + (tap * depth + used) * oc, 0, (depth - used) * oc * sizeof *w);
    return WALSH_OK;
}
_Static_assert((int)WALSH_CONV_FORWARD_W == (int)WALSH_CONV_DATA_W, "both have W at the same place");

const walsh_reference walsh_reference_convolutions[] = {
    {.op = &walsh_conv_forward, .compute = forward, .arrange = arrange},
    {.op = &walsh_conv_data, .compute = data, .arrange = arrange},
    {.op = &walsh_conv_filter, .compute = filter},
    {.op = NULL},
};
