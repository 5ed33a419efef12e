#include "engine/nn/head.h"

#include <math.h>
#include <string.h>

#include "engine/nn/head_basis.h"
#include "engine/op/fixed_head.h"
#include "engine/op/fused_head.h"
#include "engine/op/gemm.h"
#include "engine/op/logit_loss.h"
#include "engine/op/reduce.h"

const walsh_head_parts walsh_head_no_parts = {
    .features = WALSH_NO_VALUE,
    .labels = WALSH_NO_VALUE,
    .valid = WALSH_NO_VALUE,
    .weight = WALSH_NO_VALUE,
    .alpha = WALSH_NO_VALUE,
    .bias = WALSH_NO_VALUE,
    .constant = WALSH_NO_VALUE,
    .d_weight = WALSH_NO_VALUE,
    .d_bias = WALSH_NO_VALUE,
    .d_alpha = WALSH_NO_VALUE,
    .logits = WALSH_NO_VALUE,
    .metrics = WALSH_NO_VALUE,
    .best = WALSH_NO_VALUE,
    .classes = WALSH_NO_VALUE,
    .d_features = WALSH_NO_VALUE,
    .unit = WALSH_NO_VALUE,
    .norm = WALSH_NO_VALUE,
    .z = WALSH_NO_VALUE,
};

walsh_status walsh_head_valid(const walsh_head *head)
{
    WALSH_TRY(walsh_head_check(&head->spec));
    if (!(head->label_smoothing >= 0 && head->label_smoothing < 1))
        WALSH_FAIL(WALSH_E_ARGUMENT, "label smoothing %g, expected 0 <= e < 1", (double)head->label_smoothing);
    if (head->loss != WALSH_LOSS_COSINE) return WALSH_OK;
    if (head->spec.kind == WALSH_HEAD_LEARNED)
        WALSH_FAIL(WALSH_E_ARGUMENT,
                   "the cosine loss needs a fixed head (orthonormal, hadamard or hadamard-plain), found learned");
    if (head->label_smoothing > 0)
        WALSH_FAIL(WALSH_E_ARGUMENT, "the cosine loss takes no label smoothing, found %g",
                   (double)head->label_smoothing);
    return WALSH_OK;
}

/* The problem of a Hadamard head's one operation. */
static walsh_fused_head_problem fused_problem(const walsh_head_spec *spec, int b)
{
    walsh_head_form form = walsh_head_form_of(spec);
    walsh_fused_head_problem p = {
        .b = b, .n = spec->features, .c = spec->classes, .power = form.power, .cores = form.cores};
    p.structure = form.transform == WALSH_TRANSFORM_SYLVESTER ? WALSH_STRUCTURE_SYLVESTER
                  : form.transform == WALSH_TRANSFORM_PALEY   ? WALSH_STRUCTURE_PALEY
                                                              : WALSH_STRUCTURE_OVERLAPPED;
    memcpy(p.order, form.order, sizeof p.order);
    return p;
}

walsh_head_shapes walsh_head_shapes_of(const walsh_head_spec *spec)
{
    walsh_shape matrix = walsh_shape_matrix(spec->classes, spec->features);
    walsh_head_shapes shapes = {.weight = walsh_shape_absent,
                                .alpha = walsh_shape_vector(1),
                                .bias = walsh_shape_vector(spec->classes),
                                .constant = walsh_shape_absent};
    if (spec->kind == WALSH_HEAD_LEARNED) {
        shapes.weight = matrix;
        shapes.alpha = walsh_shape_absent;
    } else if (spec->kind == WALSH_HEAD_HADAMARD) {
        walsh_fused_head_problem p = fused_problem(spec, 1);
        shapes.constant = walsh_op_shape(&walsh_fused_head, &p, WALSH_FUSED_HEAD_CONSTANT);
    } else {
        shapes.constant = matrix;
    }
    return shapes;
}

/* The tables and diagonals of a Hadamard head as its operation takes them. */
static void copy_basis(const walsh_head_basis *basis, float *to)
{
    const walsh_head_form *form = &basis->form;
    for (int i = 0; i < form->cores; i++) {
        int k = form->order[i];
        memcpy(to, basis->core[i], (size_t)(k * k) * sizeof *to);
        for (int r = 0; r < k; r++)
            for (int j = 0; j < k; j++) to[k * k + j * k + r] = basis->core[i][r * k + j];
        to += 2 * k * k;
    }
    if (form->transform == WALSH_TRANSFORM_OVERLAPPED)
        for (int i = 0; i < WALSH_HEAD_STEPS * form->power; i++)
            *to++ = (float)((double)basis->flips[i] / sqrt(form->power));
    memcpy(to, basis->signs, (size_t)form->blocks * (size_t)form->features * sizeof *to);
}

walsh_status walsh_head_constant(const walsh_head_spec *spec, float *dense)
{
    WALSH_TRY(walsh_head_check(spec));
    if (spec->kind == WALSH_HEAD_LEARNED) return WALSH_OK;
    if (spec->kind != WALSH_HEAD_HADAMARD) return walsh_head_rows(spec, 0, spec->classes, dense);
    walsh_head_basis *basis;
    WALSH_TRY(walsh_head_basis_open(spec, &basis));
    copy_basis(basis, dense);
    walsh_head_basis_close(&basis);
    return WALSH_OK;
}

static int batch(const walsh_plan *plan, const walsh_head_parts *p)
{
    return walsh_plan_shape(plan, p->features).n;
}

static walsh_fixed_head_problem around(const walsh_plan *plan, const walsh_head *head, const walsh_head_parts *p)
{
    int trained = head->loss == WALSH_LOSS_CROSS_ENTROPY; /* alpha and bias enter the logits */
    return (walsh_fixed_head_problem){.b = batch(plan, p),
                                      .n = head->spec.features,
                                      .m = head->spec.classes,
                                      .c = head->spec.classes,
                                      .alpha = trained,
                                      .bias = trained};
}

static walsh_value made(walsh_plan *plan, walsh_value given, int rows, int columns)
{
    return given >= 0 ? given : walsh_plan_value(plan, walsh_shape_matrix(rows, columns));
}

/* to = from Q^T (`transposed` 0: of features) or from Q (1: of gradients), with a dense Q. */
static void product(walsh_plan *plan, const walsh_head *head, walsh_value q, int transposed, walsh_value from,
                    walsh_value to)
{
    int b = walsh_plan_shape(plan, from).n, n = head->spec.features, c = head->spec.classes;
    walsh_gemm_problem p = {.m = b, .n = transposed ? n : c, .k = transposed ? c : n, .tb = !transposed};
    walsh_plan_add(plan, "head", &walsh_gemm, &p,
                   (walsh_value[]){[WALSH_GEMM_A] = from,
                                   [WALSH_GEMM_B] = q,
                                   [WALSH_GEMM_BIAS] = WALSH_NO_VALUE,
                                   [WALSH_GEMM_C] = to});
}

static void scale_and_shift(walsh_plan *plan, const walsh_fixed_head_problem *p, walsh_value z, walsh_value alpha,
                            walsh_value bias, walsh_value y)
{
    walsh_plan_add(plan, "head", &walsh_head_logits, p,
                   (walsh_value[]){[WALSH_HEAD_LOGITS_Z] = z,
                                   [WALSH_HEAD_LOGITS_ALPHA] = p->alpha ? alpha : WALSH_NO_VALUE,
                                   [WALSH_HEAD_LOGITS_BIAS] = p->bias ? bias : WALSH_NO_VALUE,
                                   [WALSH_HEAD_LOGITS_Y] = y});
}

/* Y = X W^T + b: the bias in the product where a variant takes it, else in a pass of its own. */
static void learned_forward(walsh_plan *plan, const walsh_head *head, walsh_head_parts *p)
{
    int b = batch(plan, p), n = head->spec.features, c = head->spec.classes;
    walsh_gemm_problem gemm = {.fuse = WALSH_FUSE_BIAS, .m = b, .n = c, .k = n, .tb = 1};
    bool fused = walsh_op_can(walsh_plan_device(plan), &walsh_gemm, &gemm);
    if (!fused) gemm.fuse = 0;
    walsh_plan_add(plan, "head", &walsh_gemm, &gemm,
                   (walsh_value[]){[WALSH_GEMM_A] = p->features,
                                   [WALSH_GEMM_B] = p->weight,
                                   [WALSH_GEMM_BIAS] = fused ? p->bias : WALSH_NO_VALUE,
                                   [WALSH_GEMM_C] = p->logits});
    if (fused) return;
    walsh_fixed_head_problem shift = {.b = b, .n = n, .m = c, .c = c, .bias = 1};
    scale_and_shift(plan, &shift, p->logits, WALSH_NO_VALUE, p->bias, p->logits);
}

static void fixed_forward(walsh_plan *plan, const walsh_head *head, walsh_head_parts *p)
{
    walsh_fixed_head_problem problem = around(plan, head, p);
    p->unit = walsh_plan_value(plan, walsh_shape_matrix(problem.b, problem.n));
    p->norm = walsh_plan_value(plan, walsh_shape_matrix(problem.b, 2));
    p->z = walsh_plan_value(plan, walsh_shape_matrix(problem.b, problem.m));
    walsh_plan_add(plan, "head", &walsh_head_normalise, &problem,
                   (walsh_value[]){[WALSH_HEAD_NORMALISE_X] = p->features,
                                   [WALSH_HEAD_NORMALISE_XHAT] = p->unit,
                                   [WALSH_HEAD_NORMALISE_NORM] = p->norm});
    product(plan, head, p->constant, 0, p->unit, p->z);
    scale_and_shift(plan, &problem, p->z, p->alpha, p->bias, p->logits);
}

/* The logits, in memory: of every head but a Hadamard one. */
static void dense_forward(walsh_plan *plan, const walsh_head *head, walsh_head_parts *p)
{
    p->logits = made(plan, p->logits, batch(plan, p), head->spec.classes);
    if (head->spec.kind == WALSH_HEAD_LEARNED)
        learned_forward(plan, head, p);
    else
        fixed_forward(plan, head, p);
}

static void sum_rows(walsh_plan *plan, walsh_value x, walsh_value sum)
{
    walsh_shape shape = walsh_plan_shape(plan, x);
    walsh_reduce_problem problem = {.rows = shape.n, .c = shape.c};
    if (sum >= 0)
        walsh_plan_add(plan, "head", &walsh_reduce, &problem,
                       (walsh_value[]){[WALSH_REDUCE_X] = x, [WALSH_REDUCE_S] = sum});
}

/* Metrics and, where g is a value, the gradient of the mean loss by the logits and by the bias, which a variant may sum
 * up on the way. */
static void add_loss(walsh_plan *plan, const walsh_head *head, walsh_head_parts *p, walsh_value g)
{
    int b = batch(plan, p), c = head->spec.classes, forward_only = g < 0;
    bool biased = g >= 0 && p->d_bias >= 0 && head->loss == WALSH_LOSS_CROSS_ENTROPY;
    p->metrics = made(plan, p->metrics, b, WALSH_METRICS);
    walsh_logit_loss_problem problem = {.b = b,
                                        .c = c,
                                        .cosine = head->loss == WALSH_LOSS_COSINE,
                                        .label_smoothing = head->label_smoothing,
                                        .forward_only = forward_only};
    if (biased) problem.fuse = WALSH_FUSE_COLUMN_SUMS;
    bool fused = biased && walsh_op_can(walsh_plan_device(plan), &walsh_logit_loss, &problem);
    if (!fused) problem.fuse = 0;
    walsh_plan_add(plan, "loss", &walsh_logit_loss, &problem,
                   (walsh_value[]){[WALSH_LOGIT_LOSS_LOGITS] = p->logits,
                                   [WALSH_LOGIT_LOSS_LABELS] = p->labels,
                                   [WALSH_LOGIT_LOSS_VALID] = p->valid,
                                   [WALSH_LOGIT_LOSS_G] = g,
                                   [WALSH_LOGIT_LOSS_METRICS] = p->metrics,
                                   [WALSH_LOGIT_LOSS_SUMS] = fused ? p->d_bias : WALSH_NO_VALUE});
    if (biased && !fused) sum_rows(plan, g, p->d_bias);
}

static void learned_backward(walsh_plan *plan, const walsh_head *head, walsh_head_parts *p, walsh_value g)
{
    int b = batch(plan, p), n = head->spec.features, c = head->spec.classes;
    walsh_gemm_problem weights = {.m = c, .n = n, .k = b, .ta = 1}, features = {.m = b, .n = n, .k = c};
    walsh_plan_add(plan, "head", &walsh_gemm, &weights,
                   (walsh_value[]){[WALSH_GEMM_A] = g,
                                   [WALSH_GEMM_B] = p->features,
                                   [WALSH_GEMM_BIAS] = WALSH_NO_VALUE,
                                   [WALSH_GEMM_C] = p->d_weight});
    walsh_plan_add(plan, "head", &walsh_gemm, &features,
                   (walsh_value[]){[WALSH_GEMM_A] = g,
                                   [WALSH_GEMM_B] = p->weight,
                                   [WALSH_GEMM_BIAS] = WALSH_NO_VALUE,
                                   [WALSH_GEMM_C] = p->d_features});
}

static void fixed_backward(walsh_plan *plan, const walsh_head *head, walsh_head_parts *p, walsh_value g)
{
    walsh_fixed_head_problem problem = around(plan, head, p);
    walsh_value dot = walsh_plan_value(plan, walsh_shape_matrix(problem.b, 1));
    walsh_plan_add(plan, "head", &walsh_head_fold, &problem,
                   (walsh_value[]){[WALSH_HEAD_FOLD_G] = g,
                                   [WALSH_HEAD_FOLD_Z] = p->z,
                                   [WALSH_HEAD_FOLD_U] = p->z,
                                   [WALSH_HEAD_FOLD_DOT] = dot});
    if (head->loss == WALSH_LOSS_CROSS_ENTROPY) sum_rows(plan, dot, p->d_alpha);
    product(plan, head, p->constant, 1, p->z, p->d_features);
    walsh_plan_add(plan, "head", &walsh_head_normalise_backward, &problem,
                   (walsh_value[]){[WALSH_HEAD_NORMALISE_BACKWARD_H] = p->d_features,
                                   [WALSH_HEAD_NORMALISE_BACKWARD_XHAT] = p->unit,
                                   [WALSH_HEAD_NORMALISE_BACKWARD_NORM] = p->norm,
                                   [WALSH_HEAD_NORMALISE_BACKWARD_DOT] = dot,
                                   [WALSH_HEAD_NORMALISE_BACKWARD_ALPHA] = problem.alpha ? p->alpha : WALSH_NO_VALUE,
                                   [WALSH_HEAD_NORMALISE_BACKWARD_DX] = p->d_features});
}

static void dense_train(walsh_plan *plan, const walsh_head *head, walsh_head_parts *p)
{
    int b = batch(plan, p);
    bool keeps_logits = p->logits >= 0;
    dense_forward(plan, head, p);
    walsh_value g = keeps_logits ? walsh_plan_value(plan, walsh_shape_matrix(b, head->spec.classes)) : p->logits;
    add_loss(plan, head, p, g);
    p->d_features = made(plan, p->d_features, b, head->spec.features);
    if (head->spec.kind == WALSH_HEAD_LEARNED)
        learned_backward(plan, head, p, g);
    else
        fixed_backward(plan, head, p, g);
}

static void fused_train(walsh_plan *plan, const walsh_head *head, walsh_head_parts *p)
{
    int b = batch(plan, p), cosine = head->loss == WALSH_LOSS_COSINE;
    walsh_fused_head_problem problem = fused_problem(&head->spec, b);
    problem.cosine = cosine, problem.fixed = p->d_alpha < 0, problem.label_smoothing = head->label_smoothing;
    p->metrics = made(plan, p->metrics, b, WALSH_METRICS);
    p->d_features = made(plan, p->d_features, b, head->spec.features);
    walsh_plan_add(plan, "head", &walsh_fused_head, &problem,
                   (walsh_value[]){[WALSH_FUSED_HEAD_X] = p->features,
                                   [WALSH_FUSED_HEAD_CONSTANT] = p->constant,
                                   [WALSH_FUSED_HEAD_ALPHA] = cosine ? WALSH_NO_VALUE : p->alpha,
                                   [WALSH_FUSED_HEAD_BIAS] = cosine ? WALSH_NO_VALUE : p->bias,
                                   [WALSH_FUSED_HEAD_LABELS] = p->labels,
                                   [WALSH_FUSED_HEAD_VALID] = p->valid,
                                   [WALSH_FUSED_HEAD_DX] = p->d_features,
                                   [WALSH_FUSED_HEAD_D_ALPHA] = cosine ? WALSH_NO_VALUE : p->d_alpha,
                                   [WALSH_FUSED_HEAD_D_BIAS] = cosine ? WALSH_NO_VALUE : p->d_bias,
                                   [WALSH_FUSED_HEAD_METRICS] = p->metrics});
}

static void fused_evaluate(walsh_plan *plan, const walsh_head *head, walsh_head_parts *p)
{
    int b = batch(plan, p), cosine = head->loss == WALSH_LOSS_COSINE;
    walsh_fused_head_problem problem = fused_problem(&head->spec, b);
    problem.cosine = cosine, problem.all = p->logits >= 0, problem.label_smoothing = head->label_smoothing;
    p->metrics = made(plan, p->metrics, b, WALSH_METRICS);
    p->best = made(plan, p->best, b, WALSH_HEAD_BEST_PITCH);
    if (p->classes < 0)
        p->classes = walsh_plan_value(plan, walsh_shape_array(WALSH_I32, b * WALSH_HEAD_BEST_PITCH));
    walsh_plan_add(plan, "head", &walsh_head_predict, &problem,
                   (walsh_value[]){[WALSH_HEAD_PREDICT_X] = p->features,
                                   [WALSH_HEAD_PREDICT_CONSTANT] = p->constant,
                                   [WALSH_HEAD_PREDICT_ALPHA] = cosine ? WALSH_NO_VALUE : p->alpha,
                                   [WALSH_HEAD_PREDICT_BIAS] = cosine ? WALSH_NO_VALUE : p->bias,
                                   [WALSH_HEAD_PREDICT_LABELS] = p->labels,
                                   [WALSH_HEAD_PREDICT_VALID] = p->valid,
                                   [WALSH_HEAD_PREDICT_METRICS] = p->metrics,
                                   [WALSH_HEAD_PREDICT_BEST] = p->best,
                                   [WALSH_HEAD_PREDICT_CLASSES] = p->classes,
                                   [WALSH_HEAD_PREDICT_LOGITS] = p->logits});
}

/* Whether the head can be built; else the plan remembers. */
static bool accepts(walsh_plan *plan, const walsh_head *head)
{
    walsh_status status = walsh_head_valid(head);
    walsh_plan_fail(plan, status);
    return !status;
}

void walsh_head_train(walsh_plan *plan, const walsh_head *head, walsh_head_parts *parts)
{
    if (!accepts(plan, head)) return;
    if (head->spec.kind == WALSH_HEAD_HADAMARD)
        fused_train(plan, head, parts);
    else
        dense_train(plan, head, parts);
}

void walsh_head_evaluate(walsh_plan *plan, const walsh_head *head, walsh_head_parts *parts)
{
    if (!accepts(plan, head)) return;
    if (head->spec.kind == WALSH_HEAD_HADAMARD) {
        fused_evaluate(plan, head, parts);
    } else {
        dense_forward(plan, head, parts);
        add_loss(plan, head, parts, WALSH_NO_VALUE);
    }
}
