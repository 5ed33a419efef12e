#include "engine/op/cosine.h"

#include "engine/op/rows.h"
#include "engine/op/softmax.h"

static walsh_status shapes(const void *problem, walsh_shape *operand)
{
    const walsh_cosine_problem *p = problem;
    if (p->b < 1 || p->c < 1)
        WALSH_FAIL(WALSH_E_ARGUMENT, "cosine: %d rows of %d classes, expected at least 1 of each", p->b, p->c);
    operand[WALSH_COSINE_Z] = walsh_shape_matrix(p->b, p->c);
    operand[WALSH_COSINE_LABELS] = walsh_shape_array(WALSH_I32, p->b);
    operand[WALSH_COSINE_VALID] = walsh_shape_array(WALSH_I32, 4);
    operand[WALSH_COSINE_G] = p->forward_only ? walsh_shape_absent : walsh_shape_matrix(p->b, p->c);
    operand[WALSH_COSINE_METRICS] = walsh_shape_matrix(p->b, WALSH_METRICS);
    return WALSH_OK;
}

static void cost(const void *problem, double *flops, double *bytes)
{
    const walsh_cosine_problem *p = problem;
    double elements = (double)p->b * p->c;
    *flops = elements; /* comparisons */
    *bytes = elements * (p->forward_only ? 4 : 8) + 20.0 * p->b;
}

static walsh_status emit(walsh_list *list, const void *problem, const walsh_view *operand, walsh_rows_form form)
{
    const walsh_cosine_problem *p = problem;
    walsh_launch launch = walsh_rows_launch("cosine", "cosine_rows", p->b, form);
    cost(problem, &launch.flops, &launch.bytes);
    return WALSH_LAUNCH(list, launch, WALSH_TENSOR(&operand[WALSH_COSINE_Z]),
                        WALSH_TENSOR(&operand[WALSH_COSINE_LABELS]), WALSH_TENSOR(&operand[WALSH_COSINE_VALID]),
                        WALSH_TENSOR(&operand[WALSH_COSINE_G]), WALSH_TENSOR(&operand[WALSH_COSINE_METRICS]),
                        WALSH_INT(p->b), WALSH_INT(p->c), WALSH_INT(operand[WALSH_COSINE_Z].shape.pitch),
                        WALSH_INT(operand[WALSH_COSINE_G].shape.pitch),
                        WALSH_INT(operand[WALSH_COSINE_METRICS].shape.pitch));
}

static walsh_status plain_emit(walsh_list *list, const void *problem, const walsh_view *operand,
                               const walsh_view *workspace)
{
    (void)workspace;
    return emit(list, problem, operand, WALSH_ROWS_PLAIN);
}

static walsh_status group_emit(walsh_list *list, const void *problem, const walsh_view *operand,
                               const walsh_view *workspace)
{
    (void)workspace;
    return emit(list, problem, operand, WALSH_ROWS_GROUP);
}

static const walsh_variant group = {.name = "cosine_group", .suits = walsh_rows_group_suits, .emit = group_emit};
static const walsh_variant plain = {.name = "cosine_plain", .suits = walsh_rows_plain_suits, .emit = plain_emit};

const walsh_op walsh_cosine = {
    .name = "cosine",
    .problem_size = sizeof(walsh_cosine_problem),
    .operands = {{"z", WALSH_READ},
                 {"labels", WALSH_READ},
                 {"valid", WALSH_READ},
                 {"g", WALSH_WRITE},
                 {"metrics", WALSH_WRITE}},
    .shapes = shapes,
    .cost = cost,
    .variants = (const walsh_variant *const[]){&group, &plain, NULL},
};
