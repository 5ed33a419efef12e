/* Plain double-precision classifier heads: the losses, and whole heads with dense matrices. */
#ifndef WALSH_TESTS_REF_HEAD_H
#define WALSH_TESTS_REF_HEAD_H

#include <stdbool.h>
#include <stdint.h>

/* One row: loss, top-1 wrong, top-5 wrong into metrics [3]; gradient of the loss into g [c] (NULL: not wanted). */
void ref_softmax_row(const double *y, int c, int label, double smoothing, double *g, double *metrics);
void ref_cosine_row(const double *z, int c, int label, double *g, double *metrics);

typedef struct ref_head {
    int b, n, c;
    int valid;        /* rows that count */
    bool fixed;       /* y = alpha q x/norm + bias, else y = q x + bias */
    bool cosine;      /* loss 1 - q_t . x/norm, logits without alpha and bias */
    double smoothing; /* of the cross-entropy */
    double alpha;
    const double *q; /* [c][n], learned or fixed */
    const double *bias;
    const int32_t *labels;
} ref_head;

/* x [b][n] -> logits [b][c]. */
void ref_head_logits(const ref_head *h, const double *x, double *logits);

/* Mean loss of the valid rows; metrics [b][4] where not NULL. */
double ref_head_loss(const ref_head *h, const double *x, double *metrics);

/* Gradients of the mean loss: dx [b][n], dq [c][n], dbias [c], *dalpha. */
void ref_head_backward(const ref_head *h, const double *x, double *dx, double *dq, double *dbias, double *dalpha);

#endif
