/* Plain double-precision classifier heads: the losses, and whole heads with dense matrices. */
#ifndef WALSH_ENGINE_CHECK_REFERENCE_LOSS_H
#define WALSH_ENGINE_CHECK_REFERENCE_LOSS_H

#include <stdbool.h>
#include <stdint.h>

/* One row: loss, top-1 wrong, top-5 wrong into metrics [3]; gradient of the loss into g [c] (NULL: not wanted). */
void walsh_reference_softmax_row(const double *y, int c, int label, double smoothing, double *g, double *metrics);
void walsh_reference_cosine_row(const double *z, int c, int label, double *g, double *metrics);

typedef struct walsh_reference_head {
    int b, n, c;
    int valid;        /* rows that count */
    bool fixed;       /* y = alpha q x/norm + bias, else y = q x + bias */
    bool cosine;      /* loss 1 - q_t . x/norm, logits without alpha and bias */
    double smoothing; /* of the cross-entropy */
    double alpha;
    const double *q; /* [c][n], learned or fixed */
    const double *bias;
    const int32_t *labels;
} walsh_reference_head;

/* x [b][n] -> logits [b][c]. */
void walsh_reference_head_logits(const walsh_reference_head *h, const double *x, double *logits);

/* Mean loss of the valid rows; metrics [b][4] where not NULL. */
double walsh_reference_head_loss(const walsh_reference_head *h, const double *x, double *metrics);

/* Gradients of the mean loss: dx [b][n], dq [c][n], dbias [c], *dalpha. */
void walsh_reference_head_backward(const walsh_reference_head *h, const double *x, double *dx, double *dq,
                                   double *dbias, double *dalpha);

#endif
