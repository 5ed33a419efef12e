#include "engine/op/fixed_head.h"

#include "engine/op/rows.h"

/* Sizes that the four operations share; each uses some of them. */
static walsh_status check(const walsh_fixed_head_problem *p, bool classes)
{
    if (p->b < 1) WALSH_FAIL(WALSH_E_ARGUMENT, "fixed head: %d rows, expected at least 1", p->b);
    if (!classes && p->n < 1) WALSH_FAIL(WALSH_E_ARGUMENT, "fixed head: %d features, expected at least 1", p->n);
    if (classes && (p->m < 1 || p->c < 1 || p->c > 2 * (long long)p->m))
        WALSH_FAIL(WALSH_E_ARGUMENT,
                   "fixed head: %d classes from %d rows of the transform, expected 1 to twice as many", p->c, p->m);
    return WALSH_OK;
}

static walsh_shape optional(int present, int elements)
{
    return present ? walsh_shape_vector(elements) : walsh_shape_absent;
}

static walsh_status normalise_shapes(const void *problem, walsh_shape *operand)
{
    const walsh_fixed_head_problem *p = problem;
    WALSH_TRY(check(p, false));
    operand[WALSH_HEAD_NORMALISE_X] = operand[WALSH_HEAD_NORMALISE_XHAT] = walsh_shape_matrix(p->b, p->n);
    operand[WALSH_HEAD_NORMALISE_NORM] = walsh_shape_matrix(p->b, 2);
    return WALSH_OK;
}

static walsh_status logits_shapes(const void *problem, walsh_shape *operand)
{
    const walsh_fixed_head_problem *p = problem;
    WALSH_TRY(check(p, true));
    operand[WALSH_HEAD_LOGITS_Z] = walsh_shape_matrix(p->b, p->m);
    operand[WALSH_HEAD_LOGITS_ALPHA] = optional(p->alpha, 1);
    operand[WALSH_HEAD_LOGITS_BIAS] = optional(p->bias, p->c);
    operand[WALSH_HEAD_LOGITS_Y] = walsh_shape_matrix(p->b, p->c);
    return WALSH_OK;
}

static walsh_status fold_shapes(const void *problem, walsh_shape *operand)
{
    const walsh_fixed_head_problem *p = problem;
    WALSH_TRY(check(p, true));
    operand[WALSH_HEAD_FOLD_G] = walsh_shape_matrix(p->b, p->c);
    operand[WALSH_HEAD_FOLD_Z] = operand[WALSH_HEAD_FOLD_U] = walsh_shape_matrix(p->b, p->m);
    operand[WALSH_HEAD_FOLD_DOT] = walsh_shape_matrix(p->b, 1);
    return WALSH_OK;
}

static walsh_status backward_shapes(const void *problem, walsh_shape *operand)
{
    const walsh_fixed_head_problem *p = problem;
    WALSH_TRY(check(p, false));
    operand[WALSH_HEAD_NORMALISE_BACKWARD_H] = operand[WALSH_HEAD_NORMALISE_BACKWARD_XHAT] =
        operand[WALSH_HEAD_NORMALISE_BACKWARD_DX] = walsh_shape_matrix(p->b, p->n);
    operand[WALSH_HEAD_NORMALISE_BACKWARD_NORM] = walsh_shape_matrix(p->b, 2);
    operand[WALSH_HEAD_NORMALISE_BACKWARD_DOT] = walsh_shape_matrix(p->b, 1);
    operand[WALSH_HEAD_NORMALISE_BACKWARD_ALPHA] = optional(p->alpha, 1);
    return WALSH_OK;
}

static void normalise_cost(const void *problem, double *flops, double *bytes)
{
    const walsh_fixed_head_problem *p = problem;
    *flops = 3.0 * p->b * p->n;
    *bytes = 8.0 * p->b * p->n;
}

static void logits_cost(const void *problem, double *flops, double *bytes)
{
    const walsh_fixed_head_problem *p = problem;
    *flops = 2.0 * p->b * p->c;
    *bytes = 4.0 * p->b * ((double)p->m + p->c);
}

static void fold_cost(const void *problem, double *flops, double *bytes)
{
    const walsh_fixed_head_problem *p = problem;
    *flops = p->b * ((double)p->c + 2.0 * p->m);
    *bytes = 4.0 * p->b * (2.0 * p->m + p->c);
}

static void backward_cost(const void *problem, double *flops, double *bytes)
{
    const walsh_fixed_head_problem *p = problem;
    *flops = 3.0 * p->b * p->n;
    *bytes = 12.0 * p->b * p->n;
}

static walsh_status normalise_emit(walsh_list *list, const void *problem, const walsh_view *operand,
                                   walsh_rows_form form)
{
    const walsh_fixed_head_problem *p = problem;
    const walsh_view *x = &operand[WALSH_HEAD_NORMALISE_X], *xhat = &operand[WALSH_HEAD_NORMALISE_XHAT];
    const walsh_view *norm = &operand[WALSH_HEAD_NORMALISE_NORM];
    walsh_launch launch = walsh_rows_launch("fixed_head", "head_normalise_rows", p->b, form);
    normalise_cost(problem, &launch.flops, &launch.bytes);
    return WALSH_LAUNCH(list, launch, WALSH_TENSOR(x), WALSH_TENSOR(xhat), WALSH_TENSOR(norm), WALSH_INT(p->b),
                        WALSH_INT(walsh_pad(p->n)), WALSH_INT(x->shape.pitch), WALSH_INT(xhat->shape.pitch),
                        WALSH_INT(norm->shape.pitch));
}

static walsh_status normalise_plain_emit(walsh_list *list, const void *problem, const walsh_view *operand,
                                         const walsh_view *workspace)
{
    (void)workspace;
    return normalise_emit(list, problem, operand, WALSH_ROWS_PLAIN);
}

static walsh_status normalise_group_emit(walsh_list *list, const void *problem, const walsh_view *operand,
                                         const walsh_view *workspace)
{
    (void)workspace;
    return normalise_emit(list, problem, operand, WALSH_ROWS_GROUP);
}

static walsh_status logits_emit(walsh_list *list, const void *problem, const walsh_view *operand,
                                const walsh_view *workspace)
{
    (void)workspace;
    const walsh_fixed_head_problem *p = problem;
    const walsh_view *z = &operand[WALSH_HEAD_LOGITS_Z], *y = &operand[WALSH_HEAD_LOGITS_Y];
    walsh_launch launch = {.file = "fixed_head",
                           .function = "head_logits_plain",
                           .global = {(size_t)walsh_pad(p->c) / 4, (size_t)p->b},
                           .local = {16, 4}};
    logits_cost(problem, &launch.flops, &launch.bytes);
    return WALSH_LAUNCH(list, launch, WALSH_TENSOR(z), WALSH_TENSOR(&operand[WALSH_HEAD_LOGITS_ALPHA]),
                        WALSH_TENSOR(&operand[WALSH_HEAD_LOGITS_BIAS]), WALSH_TENSOR(y), WALSH_INT(p->b),
                        WALSH_INT(p->m), WALSH_INT(p->c), WALSH_INT(z->shape.pitch), WALSH_INT(y->shape.pitch));
}

static walsh_status fold_emit(walsh_list *list, const void *problem, const walsh_view *operand, walsh_rows_form form)
{
    const walsh_fixed_head_problem *p = problem;
    const walsh_view *g = &operand[WALSH_HEAD_FOLD_G], *z = &operand[WALSH_HEAD_FOLD_Z];
    const walsh_view *u = &operand[WALSH_HEAD_FOLD_U], *dot = &operand[WALSH_HEAD_FOLD_DOT];
    walsh_launch launch = walsh_rows_launch("fixed_head", "head_fold_rows", p->b, form);
    fold_cost(problem, &launch.flops, &launch.bytes);
    return WALSH_LAUNCH(list, launch, WALSH_TENSOR(g), WALSH_TENSOR(z), WALSH_TENSOR(u), WALSH_TENSOR(dot),
                        WALSH_INT(p->b), WALSH_INT(p->m), WALSH_INT(p->c), WALSH_INT(g->shape.pitch),
                        WALSH_INT(z->shape.pitch), WALSH_INT(u->shape.pitch), WALSH_INT(dot->shape.pitch));
}

static walsh_status fold_plain_emit(walsh_list *list, const void *problem, const walsh_view *operand,
                                    const walsh_view *workspace)
{
    (void)workspace;
    return fold_emit(list, problem, operand, WALSH_ROWS_PLAIN);
}

static walsh_status fold_group_emit(walsh_list *list, const void *problem, const walsh_view *operand,
                                    const walsh_view *workspace)
{
    (void)workspace;
    return fold_emit(list, problem, operand, WALSH_ROWS_GROUP);
}

static walsh_status backward_emit(walsh_list *list, const void *problem, const walsh_view *operand,
                                  const walsh_view *workspace)
{
    (void)workspace;
    const walsh_fixed_head_problem *p = problem;
    const walsh_view *h = &operand[WALSH_HEAD_NORMALISE_BACKWARD_H],
                     *xhat = &operand[WALSH_HEAD_NORMALISE_BACKWARD_XHAT];
    const walsh_view *norm = &operand[WALSH_HEAD_NORMALISE_BACKWARD_NORM],
                     *dot = &operand[WALSH_HEAD_NORMALISE_BACKWARD_DOT];
    const walsh_view *dx = &operand[WALSH_HEAD_NORMALISE_BACKWARD_DX];
    walsh_launch launch = {.file = "fixed_head",
                           .function = "head_normalise_backward_plain",
                           .global = {(size_t)walsh_pad(p->n) / 4, (size_t)p->b},
                           .local = {16, 4}};
    backward_cost(problem, &launch.flops, &launch.bytes);
    return WALSH_LAUNCH(list, launch, WALSH_TENSOR(h), WALSH_TENSOR(xhat), WALSH_TENSOR(norm), WALSH_TENSOR(dot),
                        WALSH_TENSOR(&operand[WALSH_HEAD_NORMALISE_BACKWARD_ALPHA]), WALSH_TENSOR(dx), WALSH_INT(p->b),
                        WALSH_INT(walsh_pad(p->n)), WALSH_INT(h->shape.pitch), WALSH_INT(xhat->shape.pitch),
                        WALSH_INT(norm->shape.pitch), WALSH_INT(dot->shape.pitch), WALSH_INT(dx->shape.pitch));
}

static const walsh_variant normalise_group = {
    .name = "head_normalise_group", .suits = walsh_rows_group_suits, .emit = normalise_group_emit};
static const walsh_variant normalise_plain = {
    .name = "head_normalise_plain", .suits = walsh_rows_plain_suits, .emit = normalise_plain_emit};
static const walsh_variant logits_plain = {
    .name = "head_logits_plain", .suits = walsh_rows_plain_suits, .emit = logits_emit};
static const walsh_variant fold_group = {
    .name = "head_fold_group", .suits = walsh_rows_group_suits, .emit = fold_group_emit};
static const walsh_variant fold_plain = {
    .name = "head_fold_plain", .suits = walsh_rows_plain_suits, .emit = fold_plain_emit};
static const walsh_variant backward_plain = {
    .name = "head_normalise_backward_plain", .suits = walsh_rows_plain_suits, .emit = backward_emit};

const walsh_op walsh_head_normalise = {
    .name = "head_normalise",
    .problem_size = sizeof(walsh_fixed_head_problem),
    .operands = {{"x", WALSH_READ}, {"xhat", WALSH_WRITE}, {"norm", WALSH_WRITE}},
    .shapes = normalise_shapes,
    .cost = normalise_cost,
    .variants = (const walsh_variant *const[]){&normalise_group, &normalise_plain, NULL},
};

const walsh_op walsh_head_logits = {
    .name = "head_logits",
    .problem_size = sizeof(walsh_fixed_head_problem),
    .operands = {{"z", WALSH_READ}, {"alpha", WALSH_READ}, {"bias", WALSH_READ}, {"y", WALSH_WRITE}},
    .shapes = logits_shapes,
    .cost = logits_cost,
    .variants = (const walsh_variant *const[]){&logits_plain, NULL},
};

const walsh_op walsh_head_fold = {
    .name = "head_fold",
    .problem_size = sizeof(walsh_fixed_head_problem),
    .operands = {{"g", WALSH_READ}, {"z", WALSH_READ}, {"u", WALSH_WRITE}, {"dot", WALSH_WRITE}},
    .shapes = fold_shapes,
    .cost = fold_cost,
    .variants = (const walsh_variant *const[]){&fold_group, &fold_plain, NULL},
};

const walsh_op walsh_head_normalise_backward = {
    .name = "head_normalise_backward",
    .problem_size = sizeof(walsh_fixed_head_problem),
    .operands = {{"h", WALSH_READ},
                 {"xhat", WALSH_READ},
                 {"norm", WALSH_READ},
                 {"dot", WALSH_READ},
                 {"alpha", WALSH_READ},
                 {"dx", WALSH_WRITE}},
    .shapes = backward_shapes,
    .cost = backward_cost,
    .variants = (const walsh_variant *const[]){&backward_plain, NULL},
};
