#include "engine/op/add.h"

static walsh_status shapes(const void *problem, walsh_shape *operand)
{
    const walsh_add_problem *p = problem;
    if (p->n < 1 || p->h < 1 || p->w < 1 || p->c < 1)
        WALSH_FAIL(WALSH_E_ARGUMENT, "add: every size must be at least 1");
    for (int i = 0; i < WALSH_ADD_OPERANDS; i++) operand[i] = walsh_shape_nhwc(p->n, p->h, p->w, p->c);
    return WALSH_OK;
}

static void cost(const void *problem, double *flops, double *bytes)
{
    const walsh_add_problem *p = problem;
    double elements = (double)p->n * p->h * p->w * p->c;
    *flops = elements;
    *bytes = 12 * elements;
}

static int suits(const walsh_device *device, const void *problem)
{
    (void)device, (void)problem;
    return 1;
}

static walsh_status emit(walsh_list *list, const void *problem, const walsh_view *operand, const walsh_view *workspace)
{
    (void)workspace;
    const walsh_add_problem *p = problem;
    const walsh_view *a = &operand[WALSH_ADD_A], *b = &operand[WALSH_ADD_B], *y = &operand[WALSH_ADD_Y];
    int rows = (int)walsh_shape_rows(y->shape), quads = walsh_pad(p->c) / 4;
    walsh_launch launch = {.file = "add",
                           .function = "add_plain",
                           .options = p->relu ? "-DRELU=1" : NULL,
                           .global = {(size_t)quads, (size_t)rows},
                           .local = {4, 16}};
    cost(problem, &launch.flops, &launch.bytes);
    return WALSH_LAUNCH(list, launch, WALSH_TENSOR(a), WALSH_TENSOR(b), WALSH_TENSOR(y), WALSH_INT(rows),
                        WALSH_INT(quads), WALSH_INT(a->shape.pitch), WALSH_INT(b->shape.pitch),
                        WALSH_INT(y->shape.pitch));
}

static const walsh_variant plain = {.name = "add_plain", .suits = suits, .emit = emit};

const walsh_op walsh_add = {
    .name = "add",
    .problem_size = sizeof(walsh_add_problem),
    .operands = {{"a", WALSH_READ}, {"b", WALSH_READ}, {"y", WALSH_WRITE}},
    .shapes = shapes,
    .cost = cost,
    .variants = (const walsh_variant *const[]){&plain, NULL},
};
