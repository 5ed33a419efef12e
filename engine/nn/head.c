#include "engine/nn/head.h"

#include <math.h>
#include <string.h>

#include "engine/nn/head_basis.h"
#include "engine/op/cosine.h"
#include "engine/op/fixed_head.h"
#include "engine/op/fwht.h"
#include "engine/op/gemm.h"
#include "engine/op/reduce.h"
#include "engine/op/softmax.h"

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

/* Whether the transform is a single FWHT; the matrix of any other fixed head is kept dense. */
static bool is_fwht(const walsh_head_spec *spec)
{
    if (spec->kind != WALSH_HEAD_HADAMARD) return false;
    walsh_head_form form = walsh_head_form_of(spec);
    return form.transform == WALSH_TRANSFORM_SYLVESTER && form.blocks == 1;
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
    } else {
        shapes.constant = is_fwht(spec) ? walsh_shape_vector(spec->features) : matrix;
    }
    return shapes;
}

walsh_status walsh_head_constant(const walsh_head_spec *spec, float *dense)
{
    WALSH_TRY(walsh_head_check(spec));
    if (spec->kind == WALSH_HEAD_LEARNED) return WALSH_OK;
    if (!is_fwht(spec)) return walsh_head_rows(spec, 0, spec->classes, dense);
    walsh_head_basis *basis;
    WALSH_TRY(walsh_head_basis_open(spec, &basis));
    memcpy(dense, basis->signs, (size_t)spec->features * sizeof *dense);
    walsh_head_basis_close(&basis);
    return WALSH_OK;
}

static int batch(const walsh_plan *plan, const walsh_head_parts *p)
{
    return walsh_plan_shape(plan, p->features).n;
}

/* Rows of the transform: a FWHT gives all N, a product with Q one for each class. */
static int transform_rows(const walsh_head *head)
{
    return is_fwht(&head->spec) ? head->spec.features : head->spec.classes;
}

static walsh_fixed_head_problem around(const walsh_plan *plan, const walsh_head *head, const walsh_head_parts *p)
{
    int trained = head->loss == WALSH_LOSS_CROSS_ENTROPY; /* alpha and bias enter the logits */
    return (walsh_fixed_head_problem){.b = batch(plan, p),
                                      .n = head->spec.features,
                                      .m = transform_rows(head),
                                      .c = head->spec.classes,
                                      .alpha = trained,
                                      .bias = trained};
}

static walsh_value made(walsh_plan *plan, walsh_value given, int rows, int columns)
{
    return given >= 0 ? given : walsh_plan_value(plan, walsh_shape_matrix(rows, columns));
}

/* to = from Q^T (`transposed` 0: of features) or from Q (1: of gradients); with a hadamard head by a transform. */
static void transform(walsh_plan *plan, const walsh_head *head, walsh_value constant, int transposed, walsh_value from,
                      walsh_value to)
{
    int b = walsh_plan_shape(plan, from).n, n = head->spec.features, c = head->spec.classes;
    if (is_fwht(&head->spec)) {
        walsh_fwht_problem p = {.rows = b,
                                .n = n,
                                .scale = (float)(1 / sqrt(n)),
                                .sign = transposed ? WALSH_FWHT_SIGN_OUTPUT : WALSH_FWHT_SIGN_INPUT};
        walsh_plan_add(plan, "head", &walsh_fwht_rows, &p,
                       (walsh_value[]){[WALSH_FWHT_X] = from, [WALSH_FWHT_SIGN] = constant, [WALSH_FWHT_Y] = to});
    } else {
        walsh_gemm_problem p = {.m = b, .n = transposed ? n : c, .k = transposed ? c : n, .tb = !transposed};
        walsh_plan_add(plan, "head", &walsh_gemm, &p,
                       (walsh_value[]){[WALSH_GEMM_A] = from,
                                       [WALSH_GEMM_B] = constant,
                                       [WALSH_GEMM_BIAS] = WALSH_NO_VALUE,
                                       [WALSH_GEMM_C] = to});
    }
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
    transform(plan, head, p->constant, 0, p->unit, p->z);
    scale_and_shift(plan, &problem, p->z, p->alpha, p->bias, p->logits);
}

void walsh_head_forward(walsh_plan *plan, const walsh_head *head, walsh_head_parts *parts)
{
    walsh_status status = walsh_head_valid(head);
    walsh_plan_fail(plan, status);
    if (status) return;
    parts->logits = made(plan, parts->logits, batch(plan, parts), head->spec.classes);
    if (head->spec.kind == WALSH_HEAD_LEARNED)
        learned_forward(plan, head, parts);
    else
        fixed_forward(plan, head, parts);
}

/* Metrics and, where g is a value, the gradient of the mean loss by the logits. */
static void add_loss(walsh_plan *plan, const walsh_head *head, walsh_head_parts *p, walsh_value g)
{
    int b = batch(plan, p), c = head->spec.classes, forward_only = g < 0;
    p->metrics = made(plan, p->metrics, b, WALSH_METRICS);
    if (head->loss == WALSH_LOSS_COSINE) {
        walsh_cosine_problem problem = {.b = b, .c = c, .forward_only = forward_only};
        walsh_plan_add(plan, "loss", &walsh_cosine, &problem,
                       (walsh_value[]){[WALSH_COSINE_Z] = p->logits,
                                       [WALSH_COSINE_LABELS] = p->labels,
                                       [WALSH_COSINE_VALID] = p->valid,
                                       [WALSH_COSINE_G] = g,
                                       [WALSH_COSINE_METRICS] = p->metrics});
    } else {
        walsh_softmax_problem problem = {
            .b = b, .c = c, .label_smoothing = head->label_smoothing, .forward_only = forward_only};
        walsh_plan_add(plan, "loss", &walsh_softmax, &problem,
                       (walsh_value[]){[WALSH_SOFTMAX_LOGITS] = p->logits,
                                       [WALSH_SOFTMAX_LABELS] = p->labels,
                                       [WALSH_SOFTMAX_VALID] = p->valid,
                                       [WALSH_SOFTMAX_G] = g,
                                       [WALSH_SOFTMAX_METRICS] = p->metrics});
    }
}

void walsh_head_metrics(walsh_plan *plan, const walsh_head *head, walsh_head_parts *parts)
{
    add_loss(plan, head, parts, WALSH_NO_VALUE);
}

static void sum_rows(walsh_plan *plan, walsh_value x, walsh_value sum)
{
    walsh_shape shape = walsh_plan_shape(plan, x);
    walsh_reduce_problem problem = {.rows = shape.n, .c = shape.c};
    if (sum >= 0)
        walsh_plan_add(plan, "head", &walsh_reduce, &problem,
                       (walsh_value[]){[WALSH_REDUCE_X] = x, [WALSH_REDUCE_S] = sum});
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
    sum_rows(plan, g, p->d_bias);
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
    if (head->loss == WALSH_LOSS_CROSS_ENTROPY) {
        sum_rows(plan, g, p->d_bias);
        sum_rows(plan, dot, p->d_alpha);
    }
    transform(plan, head, p->constant, 1, p->z, p->d_features);
    walsh_plan_add(plan, "head", &walsh_head_normalise_backward, &problem,
                   (walsh_value[]){[WALSH_HEAD_NORMALISE_BACKWARD_H] = p->d_features,
                                   [WALSH_HEAD_NORMALISE_BACKWARD_XHAT] = p->unit,
                                   [WALSH_HEAD_NORMALISE_BACKWARD_NORM] = p->norm,
                                   [WALSH_HEAD_NORMALISE_BACKWARD_DOT] = dot,
                                   [WALSH_HEAD_NORMALISE_BACKWARD_ALPHA] = problem.alpha ? p->alpha : WALSH_NO_VALUE,
                                   [WALSH_HEAD_NORMALISE_BACKWARD_DX] = p->d_features});
}

void walsh_head_backward(walsh_plan *plan, const walsh_head *head, walsh_head_parts *parts)
{
    int b = batch(plan, parts);
    walsh_value g = walsh_plan_value(plan, walsh_shape_matrix(b, head->spec.classes));
    add_loss(plan, head, parts, g);
    parts->d_features = made(plan, parts->d_features, b, head->spec.features);
    if (head->spec.kind == WALSH_HEAD_LEARNED)
        learned_backward(plan, head, parts, g);
    else
        fixed_backward(plan, head, parts, g);
}
