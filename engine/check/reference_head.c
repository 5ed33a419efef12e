#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/check/reference.h"
#include "engine/check/reference_loss.h"
#include "engine/nn/head.h"
#include "engine/op/fixed_head.h"
#include "engine/op/fused_head.h"
#include "engine/op/fwht.h"
#include "engine/op/logit_loss.h"

static walsh_status fwht(const void *problem, double *const *operand)
{
    const walsh_fwht_problem *p = problem;
    size_t n = (size_t)p->n;
    const double *sign = operand[WALSH_FWHT_SIGN];
    for (size_t row = 0; row < (size_t)p->rows; row++) {
        double *x = operand[WALSH_FWHT_X] + row * n, *y = operand[WALSH_FWHT_Y] + row * n;
        for (size_t i = 0; i < n; i++)
            y[i] = x[i] * (double)p->scale * (p->sign == WALSH_FWHT_SIGN_INPUT ? sign[i] : 1);
        for (size_t half = 1; half < n; half *= 2)
            for (size_t i = 0; i < n; i++) {
                if (i & half) continue;
                double a = y[i], b = y[i + half];
                y[i] = a + b, y[i + half] = a - b;
            }
        for (size_t i = 0; p->sign == WALSH_FWHT_SIGN_OUTPUT && i < n; i++) y[i] *= sign[i];
    }
    return WALSH_OK;
}

static walsh_status logit_loss(const void *problem, double *const *operand)
{
    const walsh_logit_loss_problem *p = problem;
    int valid = (int)operand[WALSH_LOGIT_LOSS_VALID][0];
    for (int i = 0; i < p->b; i++) {
        double *metrics = operand[WALSH_LOGIT_LOSS_METRICS] + (size_t)i * WALSH_METRICS;
        double *g = operand[WALSH_LOGIT_LOSS_G] ? operand[WALSH_LOGIT_LOSS_G] + (size_t)i * (size_t)p->c : NULL;
        const double *y = operand[WALSH_LOGIT_LOSS_LOGITS] + (size_t)i * (size_t)p->c;
        int label = (int)operand[WALSH_LOGIT_LOSS_LABELS][i];
        memset(metrics, 0, WALSH_METRICS * sizeof *metrics);
        if (i < valid && p->cosine) walsh_reference_cosine_row(y, p->c, label, g, metrics);
        if (i < valid && !p->cosine)
            walsh_reference_softmax_row(y, p->c, label, (double)p->label_smoothing, g, metrics);
        for (int k = 0; g && k < p->c; k++) g[k] = i < valid ? g[k] / valid : 0;
    }
    for (int k = 0; p->fuse & WALSH_FUSE_COLUMN_SUMS && k < p->c; k++) {
        double *sum = &operand[WALSH_LOGIT_LOSS_SUMS][k];
        *sum = 0;
        for (int i = 0; i < p->b; i++) *sum += operand[WALSH_LOGIT_LOSS_G][(size_t)i * (size_t)p->c + (size_t)k];
    }
    return WALSH_OK;
}

/* Labels that are classes, and one row that does not count. */
static void draw_labels(double *labels, double *valid, int rows, int classes)
{
    for (int i = 0; i < rows; i++) labels[i] = i * 37 % classes;
    valid[0] = rows > 1 ? rows - 1 : 1;
}

static walsh_status arrange_loss(const void *problem, double *const *operand)
{
    const walsh_logit_loss_problem *p = problem;
    draw_labels(operand[WALSH_LOGIT_LOSS_LABELS], operand[WALSH_LOGIT_LOSS_VALID], p->b, p->c);
    return WALSH_OK;
}

static walsh_status normalise(const void *problem, double *const *operand)
{
    const walsh_fixed_head_problem *p = problem;
    for (int i = 0; i < p->b; i++) {
        const double *x = operand[WALSH_HEAD_NORMALISE_X] + (size_t)i * (size_t)p->n;
        double squares = 1e-16, *norm = operand[WALSH_HEAD_NORMALISE_NORM] + 2 * i;
        for (int k = 0; k < p->n; k++) squares += x[k] * x[k];
        norm[0] = sqrt(squares), norm[1] = 1 / norm[0];
        for (int k = 0; k < p->n; k++)
            operand[WALSH_HEAD_NORMALISE_XHAT][(size_t)i * (size_t)p->n + (size_t)k] = x[k] / norm[0];
    }
    return WALSH_OK;
}

/* Row of the transform that class c uses, and its sign. */
static int row_of(const walsh_fixed_head_problem *p, int c)
{
    return c % p->m;
}
static int sign_of(const walsh_fixed_head_problem *p, int c)
{
    return c < p->m ? 1 : -1;
}

static walsh_status logits(const void *problem, double *const *operand)
{
    const walsh_fixed_head_problem *p = problem;
    for (int i = 0; i < p->b; i++)
        for (int c = 0; c < p->c; c++)
            operand[WALSH_HEAD_LOGITS_Y][i * p->c + c] = (p->alpha ? operand[WALSH_HEAD_LOGITS_ALPHA][0] : 1) *
                                                             sign_of(p, c) *
                                                             operand[WALSH_HEAD_LOGITS_Z][i * p->m + row_of(p, c)] +
                                                         (p->bias ? operand[WALSH_HEAD_LOGITS_BIAS][c] : 0);
    return WALSH_OK;
}

static walsh_status fold(const void *problem, double *const *operand)
{
    const walsh_fixed_head_problem *p = problem;
    double *u = operand[WALSH_HEAD_FOLD_U], *dot = operand[WALSH_HEAD_FOLD_DOT];
    memset(u, 0, (size_t)p->b * (size_t)p->m * sizeof *u);
    memset(dot, 0, (size_t)p->b * sizeof *dot);
    for (int i = 0; i < p->b; i++)
        for (int c = 0; c < p->c; c++) {
            double g = sign_of(p, c) * operand[WALSH_HEAD_FOLD_G][i * p->c + c];
            u[i * p->m + row_of(p, c)] += g;
            dot[i] += g * operand[WALSH_HEAD_FOLD_Z][i * p->m + row_of(p, c)];
        }
    return WALSH_OK;
}

static walsh_status normalise_backward(const void *problem, double *const *operand)
{
    const walsh_fixed_head_problem *p = problem;
    double alpha = p->alpha ? operand[WALSH_HEAD_NORMALISE_BACKWARD_ALPHA][0] : 1;
    for (int i = 0; i < p->b * p->n; i++)
        operand[WALSH_HEAD_NORMALISE_BACKWARD_DX][i] =
            alpha * operand[WALSH_HEAD_NORMALISE_BACKWARD_NORM][i / p->n * 2 + 1] *
            (operand[WALSH_HEAD_NORMALISE_BACKWARD_H][i] -
             operand[WALSH_HEAD_NORMALISE_BACKWARD_XHAT][i] * operand[WALSH_HEAD_NORMALISE_BACKWARD_DOT][i / p->n]);
    return WALSH_OK;
}

static walsh_head_spec spec_of(const walsh_fused_head_problem *p)
{
    return (walsh_head_spec){.kind = WALSH_HEAD_HADAMARD, .features = p->n, .classes = p->c};
}

/* What the two fused operations share: the operands of both begin alike. */
static walsh_status arrange_fused(const void *problem, double *const *operand)
{
    const walsh_fused_head_problem *p = problem;
    const walsh_head_spec spec = spec_of(p);
    size_t count = (size_t)walsh_head_shapes_of(&spec).constant.c;
    float *constant = NULL;
    WALSH_TRY(walsh_alloc(&constant, count, sizeof *constant, "a reference"));
    walsh_status status = walsh_head_constant(&spec, constant);
    for (size_t i = 0; i < count && !status; i++) operand[WALSH_FUSED_HEAD_CONSTANT][i] = constant[i];
    free(constant);
    if (operand[WALSH_FUSED_HEAD_ALPHA]) operand[WALSH_FUSED_HEAD_ALPHA][0] = 10;
    draw_labels(operand[WALSH_FUSED_HEAD_LABELS], operand[WALSH_FUSED_HEAD_VALID], p->b, p->c);
    return status;
}
_Static_assert((int)WALSH_FUSED_HEAD_VALID == (int)WALSH_HEAD_PREDICT_VALID, "both begin with the same operands");

/* The head as a dense one; `memory` [c] labels, [c][n] Q, [c] zeros is the caller's to free. */
typedef struct dense {
    walsh_reference_head head;
    double *q, *zeros;
    int32_t *labels;
} dense;

static void dense_close(dense *d)
{
    free(d->q), free(d->zeros), free(d->labels);
}

static walsh_status dense_open(const walsh_fused_head_problem *p, double *const *operand, dense *d)
{
    const walsh_head_spec spec = spec_of(p);
    size_t n = (size_t)p->n, c = (size_t)p->c;
    float *row = NULL;
    *d = (dense){.q = NULL};
    walsh_status status = walsh_alloc(&d->q, c * n, sizeof *d->q, "a reference");
    if (!status) status = walsh_alloc(&d->zeros, c, sizeof *d->zeros, "a reference");
    if (!status) status = walsh_alloc(&d->labels, (size_t)p->b, sizeof *d->labels, "a reference");
    if (!status) status = walsh_alloc(&row, c * n, sizeof *row, "a reference");
    if (!status) status = walsh_head_rows(&spec, 0, p->c, row);
    for (size_t i = 0; i < c * n && !status; i++) d->q[i] = row[i];
    for (int i = 0; i < p->b && !status; i++) d->labels[i] = (int32_t)operand[WALSH_FUSED_HEAD_LABELS][i];
    free(row);
    const double *alpha = operand[WALSH_FUSED_HEAD_ALPHA], *bias = operand[WALSH_FUSED_HEAD_BIAS];
    d->head = (walsh_reference_head){.b = p->b,
                                     .n = p->n,
                                     .c = p->c,
                                     .valid = (int)operand[WALSH_FUSED_HEAD_VALID][0],
                                     .fixed = true,
                                     .cosine = p->cosine,
                                     .smoothing = (double)p->label_smoothing,
                                     .alpha = alpha ? alpha[0] : 1,
                                     .q = d->q,
                                     .bias = bias ? bias : d->zeros,
                                     .labels = d->labels};
    if (status) dense_close(d);
    return status;
}

static walsh_status fused_head(const void *problem, double *const *operand)
{
    const walsh_fused_head_problem *p = problem;
    double alpha = 0, *dq = NULL, *dbias = NULL;
    dense d;
    WALSH_TRY(dense_open(p, operand, &d));
    walsh_status status = walsh_alloc(&dq, (size_t)p->c * (size_t)p->n, sizeof *dq, "a reference");
    if (!status) status = walsh_alloc(&dbias, (size_t)p->c, sizeof *dbias, "a reference");
    if (!status) {
        double *x = operand[WALSH_FUSED_HEAD_X];
        memset(operand[WALSH_FUSED_HEAD_DX], 0, (size_t)p->b * (size_t)p->n * sizeof *dq);
        walsh_reference_head_loss(&d.head, x, operand[WALSH_FUSED_HEAD_METRICS]);
        walsh_reference_head_backward(&d.head, x, operand[WALSH_FUSED_HEAD_DX], dq, dbias, &alpha);
        if (operand[WALSH_FUSED_HEAD_D_ALPHA]) operand[WALSH_FUSED_HEAD_D_ALPHA][0] = alpha;
        if (operand[WALSH_FUSED_HEAD_D_BIAS])
            memcpy(operand[WALSH_FUSED_HEAD_D_BIAS], dbias, (size_t)p->c * sizeof *dbias);
    }
    free(dq), free(dbias);
    dense_close(&d);
    return status;
}

/* Of one row the five best, falling, and logsumexp; what else BEST and CLASSES hold is undefined. */
static void best_of(const walsh_fused_head_problem *p, const double *y, double *best, double *classes)
{
    double sum = 0;
    for (int i = 0; i < WALSH_HEAD_BEST_PITCH; i++) best[i] = classes[i] = NAN;
    for (int i = 0; i < WALSH_HEAD_BEST && i < p->c; i++) {
        for (int c = 0; c < p->c; c++) {
            bool lower = i == 0 || y[c] < best[i - 1] || (y[c] == best[i - 1] && c > classes[i - 1]);
            if (lower && !(y[c] <= best[i])) best[i] = y[c], classes[i] = c;
        }
    }
    for (int c = 0; c < p->c; c++) sum += exp(y[c] - best[0]);
    best[WALSH_HEAD_BEST_LSE] = p->cosine ? NAN : best[0] + log(sum);
}

static walsh_status predict(const void *problem, double *const *operand)
{
    const walsh_fused_head_problem *p = problem;
    double *y = NULL, *x = operand[WALSH_HEAD_PREDICT_X];
    dense d;
    WALSH_TRY(dense_open(p, operand, &d));
    walsh_status status = walsh_alloc(&y, (size_t)p->b * (size_t)p->c, sizeof *y, "a reference");
    if (!status) {
        walsh_reference_head_loss(&d.head, x, operand[WALSH_HEAD_PREDICT_METRICS]);
        walsh_reference_head_logits(&d.head, x, y);
        for (int i = 0; i < p->b; i++)
            best_of(p, y + (size_t)i * (size_t)p->c, operand[WALSH_HEAD_PREDICT_BEST] + i * WALSH_HEAD_BEST_PITCH,
                    operand[WALSH_HEAD_PREDICT_CLASSES] + i * WALSH_HEAD_BEST_PITCH);
        if (operand[WALSH_HEAD_PREDICT_LOGITS])
            memcpy(operand[WALSH_HEAD_PREDICT_LOGITS], y, (size_t)p->b * (size_t)p->c * sizeof *y);
    }
    free(y);
    dense_close(&d);
    return status;
}

const walsh_reference walsh_reference_heads[] = {
    {.op = &walsh_fwht_rows, .compute = fwht},
    {.op = &walsh_logit_loss, .compute = logit_loss, .arrange = arrange_loss, .fine = true},
    {.op = &walsh_head_normalise, .compute = normalise},
    {.op = &walsh_head_logits, .compute = logits},
    {.op = &walsh_head_fold, .compute = fold},
    {.op = &walsh_head_normalise_backward, .compute = normalise_backward},
    {.op = &walsh_fused_head, .compute = fused_head, .arrange = arrange_fused, .fine = true},
    {.op = &walsh_head_predict, .compute = predict, .arrange = arrange_fused, .fine = true, .leaves_some = true},
    {.op = NULL},
};
