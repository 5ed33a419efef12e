/* The two losses are the same operation but for a formula; so are their checks. */
#ifndef WALSH_TESTS_LOSS_CASE_H
#define WALSH_TESTS_LOSS_CASE_H

#include "tests/op_case.h"

#include <math.h>

#include "engine/op/softmax.h"

/* Operands of walsh_softmax and walsh_cosine have the same order. */
enum {
    LOGITS = WALSH_SOFTMAX_LOGITS,
    LABELS = WALSH_SOFTMAX_LABELS,
    VALID = WALSH_SOFTMAX_VALID,
    G = WALSH_SOFTMAX_G,
    METRICS = WALSH_SOFTMAX_METRICS
};

typedef void (*loss_reference)(const double *y, int c, int label, double *g, double *metrics);

typedef struct loss_case {
    op_case k;
    int b, c, valid;
    float *logits, *g, *metrics;
    int32_t *labels;
    double *want_g, *want_metrics;
} loss_case;

static void loss_open(loss_case *l, const walsh_op *op, const void *problem, int b, int c, int valid)
{
    size_t count = (size_t)b * (size_t)c;
    *l = (loss_case){.b = b, .c = c, .valid = valid};
    op_case_open(&l->k, op, problem, 8);
    l->logits = op_floats(count), l->g = op_floats(count), l->metrics = op_floats(4 * (size_t)b);
    l->want_g = op_doubles(count), l->want_metrics = op_doubles(4 * (size_t)b);
    l->labels = calloc((size_t)b, sizeof *l->labels);
    assert_non_null(l->labels);
    op_case_random(&l->k, LOGITS, 1, l->logits);
    for (int i = 0; i < b; i++) l->labels[i] = i * 7 % c;
}

/* Uploads what the test has set. */
static void loss_set(loss_case *l)
{
    const int32_t valid[4] = {l->valid, -1, -1, -1};
    op_case_set(&l->k, LOGITS, l->logits);
    op_case_set_raw(&l->k, LABELS, l->labels);
    op_case_set_raw(&l->k, VALID, valid);
}

static void loss_close(loss_case *l)
{
    op_case_close(&l->k);
    free(l->logits), free(l->g), free(l->metrics), free(l->labels), free(l->want_g), free(l->want_metrics);
}

static void loss_want(loss_case *l, loss_reference reference)
{
    for (int i = 0; i < l->valid; i++) {
        double *y = op_doubles((size_t)l->c);
        for (int k = 0; k < l->c; k++) y[k] = l->logits[i * l->c + k];
        reference(y, l->c, l->labels[i], l->want_g + i * l->c, l->want_metrics + 4 * i);
        for (int k = 0; k < l->c; k++) l->want_g[i * l->c + k] /= l->valid;
        free(y);
    }
}

/* Runs every variant, the gradient apart, in place (G is LOGITS) and absent, and compares; `forward` is the same
 * problem without G. */
static void loss_run(loss_case *l, loss_reference reference, const void *forward, double tolerance)
{
    size_t count = (size_t)l->b * (size_t)l->c;
    const void *problem = l->k.problem;
    walsh_tensor *g = l->k.tensor[G];
    loss_want(l, reference);
    for (const walsh_variant *const *v = l->k.op->variants; *v; v++)
        for (int way = 0; way < 3; way++) {
            loss_set(l);
            l->k.tensor[G] = g;
            op_case_poison(&l->k, G);
            op_case_poison(&l->k, METRICS);
            l->k.tensor[G] = way == 0 ? g : way == 1 ? l->k.tensor[LOGITS] : NULL;
            l->k.problem = way == 2 ? forward : problem;
            op_case_run(&l->k, *v);
            op_case_get(&l->k, METRICS, l->metrics);
            assert_true(op_error(l->metrics, l->want_metrics, 4 * (size_t)l->b) < tolerance);
            for (int i = 0; i < l->b; i++)
                for (int k = 1; k < 4; k++) assert_true(l->metrics[4 * i + k] == l->want_metrics[4 * i + k]);
            if (way == 2) continue;
            op_case_get(&l->k, G, l->g);
            assert_true(op_error(l->g, l->want_g, count) < tolerance);
        }
    l->k.tensor[G] = g;
    l->k.problem = problem;
}

#endif
