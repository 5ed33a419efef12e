#include "engine/check/reference_loss.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static double rank_of(const double *y, int c, int label)
{
    int before = 0;
    for (int k = 0; k < c; k++) before += y[k] > y[label] || (y[k] == y[label] && k < label);
    return before;
}

static void errors(const double *y, int c, int label, double *metrics)
{
    bool nan = isnan(metrics[0]);
    metrics[1] = nan || rank_of(y, c, label) >= 1;
    metrics[2] = nan || rank_of(y, c, label) >= 5;
}

void walsh_reference_softmax_row(const double *y, int c, int label, double smoothing, double *g, double *metrics)
{
    double most = y[0], sum = 0;
    for (int k = 1; k < c; k++) most = y[k] > most ? y[k] : most;
    for (int k = 0; k < c; k++) sum += exp(y[k] - most);
    metrics[0] = 0;
    for (int k = 0; k < c; k++) {
        double share = (k == label ? 1 - smoothing : 0) + smoothing / c;
        if (share > 0) metrics[0] -= share * (y[k] - most - log(sum));
        if (g) g[k] = exp(y[k] - most) / sum - share;
    }
    errors(y, c, label, metrics);
}

void walsh_reference_cosine_row(const double *z, int c, int label, double *g, double *metrics)
{
    metrics[0] = 1 - z[label];
    for (int k = 0; k < c && g; k++) g[k] = k == label ? -1 : 0;
    errors(z, c, label, metrics);
}

static double norm_of(const walsh_reference_head *h, const double *x)
{
    double square = 1e-16;
    for (int k = 0; k < h->n; k++) square += x[k] * x[k];
    return h->fixed ? sqrt(square) : 1;
}

void walsh_reference_head_logits(const walsh_reference_head *h, const double *x, double *logits)
{
    for (int i = 0; i < h->b; i++)
        for (int c = 0; c < h->c; c++) {
            double dot = 0, norm = norm_of(h, x + (size_t)i * (size_t)h->n);
            for (int k = 0; k < h->n; k++) dot += h->q[c * h->n + k] * x[i * h->n + k] / norm;
            logits[i * h->c + c] = h->cosine ? dot : (h->fixed ? h->alpha : 1) * dot + h->bias[c];
        }
}

/* Losses of every row, and their gradients by the logits where g [b][c] is wanted. */
static double losses(const walsh_reference_head *h, const double *x, double *g, double *metrics)
{
    double *y = calloc((size_t)(h->b * h->c), sizeof *y), total = 0;
    if (!y) return NAN;
    walsh_reference_head_logits(h, x, y);
    if (metrics) memset(metrics, 0, (size_t)h->b * 4 * sizeof *metrics);
    for (int i = 0; i < h->valid; i++) {
        double row[3];
        double *gradient = g ? g + i * h->c : NULL;
        if (h->cosine)
            walsh_reference_cosine_row(y + i * h->c, h->c, h->labels[i], gradient, row);
        else
            walsh_reference_softmax_row(y + i * h->c, h->c, h->labels[i], h->smoothing, gradient, row);
        total += row[0] / h->valid;
        if (metrics) memcpy(metrics + 4 * i, row, sizeof row);
    }
    free(y);
    return total;
}

double walsh_reference_head_loss(const walsh_reference_head *h, const double *x, double *metrics)
{
    return losses(h, x, NULL, metrics);
}

/* Of one row: with u = dloss/d(q_c . x̂), dx = (Σ_c u_c q_c - x̂ (x̂ . Σ_c u_c q_c))/norm; no projection if learned. */
static void backward_row(const walsh_reference_head *h, const double *x, const double *g, double *dx, double *dq,
                         double *dbias, double *dalpha)
{
    double norm = norm_of(h, x), along = 0;
    memset(dx, 0, (size_t)h->n * sizeof *dx);
    for (int c = 0; c < h->c; c++) {
        double share = g[c] / h->valid, dot = 0, u = share * (h->fixed && !h->cosine ? h->alpha : 1);
        for (int k = 0; k < h->n; k++) {
            dot += h->q[c * h->n + k] * x[k] / norm;
            dx[k] += u * h->q[c * h->n + k];
            dq[c * h->n + k] += u * x[k] / norm;
        }
        if (!h->cosine) dbias[c] += share, *dalpha += share * dot;
    }
    if (!h->fixed) return;
    for (int k = 0; k < h->n; k++) along += dx[k] * x[k] / norm;
    for (int k = 0; k < h->n; k++) dx[k] = (dx[k] - along * x[k] / norm) / norm;
}

void walsh_reference_head_backward(const walsh_reference_head *h, const double *x, double *dx, double *dq,
                                   double *dbias, double *dalpha)
{
    double *g = calloc((size_t)(h->b * h->c), sizeof *g);
    *dalpha = NAN;
    if (!g) return;
    memset(dq, 0, (size_t)(h->c * h->n) * sizeof *dq);
    memset(dbias, 0, (size_t)h->c * sizeof *dbias);
    *dalpha = 0;
    losses(h, x, g, NULL);
    for (int i = 0; i < h->b; i++) backward_row(h, x + i * h->n, g + i * h->c, dx + i * h->n, dq, dbias, dalpha);
    free(g);
}
