#include "engine/op/sgd.h"

enum { QUADS = 4 }; /* of four elements an item, on a CPU */

static walsh_status shapes(const void *problem, walsh_shape *operand)
{
    const walsh_sgd_problem *p = problem;
    if (p->elements < 4 || p->elements % 4)
        WALSH_FAIL(WALSH_E_ARGUMENT, "sgd: the number of elements is %d, expected a multiple of 4", p->elements);
    if (p->decayed < 0 || p->decayed > p->elements || p->decayed % 4)
        WALSH_FAIL(WALSH_E_ARGUMENT, "sgd: %d of %d elements decay, expected a multiple of 4 among them", p->decayed,
                   p->elements);
    for (int i = 0; i < WALSH_SGD_OPERANDS; i++) operand[i] = walsh_shape_vector(p->elements);
    operand[WALSH_SGD_HYPER] = walsh_shape_vector(4);
    return WALSH_OK;
}

static void cost(const void *problem, double *flops, double *bytes)
{
    const walsh_sgd_problem *p = problem;
    *flops = (p->nesterov ? 9.0 : 7.0) * p->elements;
    *bytes = 20.0 * p->elements; /* reads g, v, w; writes v, w */
}

static int suits(const walsh_device *device, const void *problem)
{
    (void)device, (void)problem;
    return 1;
}

static walsh_status emit(walsh_list *list, const void *problem, const walsh_view *operand, const walsh_view *workspace)
{
    (void)workspace;
    const walsh_sgd_problem *p = problem;
    int each = walsh_tiles_are_gpu(walsh_list_device(list)->tiles) ? 1 : QUADS, quads = p->elements / 4;
    walsh_launch launch = {
        .file = "sgd", .function = "sgd_plain", .global = {(size_t)((quads + each - 1) / each)}, .local = {64}};
    cost(problem, &launch.flops, &launch.bytes);
    return WALSH_LAUNCH(list, launch, WALSH_TENSOR(&operand[WALSH_SGD_HYPER]), WALSH_TENSOR(&operand[WALSH_SGD_G]),
                        WALSH_TENSOR(&operand[WALSH_SGD_V]), WALSH_TENSOR(&operand[WALSH_SGD_W]), WALSH_INT(quads),
                        WALSH_INT(each), WALSH_INT(p->decayed / 4), WALSH_INT(p->nesterov));
}

static const walsh_variant plain = {.name = "sgd_plain", .suits = suits, .emit = emit};

const walsh_op walsh_sgd = {
    .name = "sgd",
    .problem_size = sizeof(walsh_sgd_problem),
    .operands = {{"hyper", WALSH_READ}, {"g", WALSH_READ}, {"v", WALSH_UPDATE}, {"w", WALSH_UPDATE}},
    .shapes = shapes,
    .cost = cost,
    .variants = (const walsh_variant *const[]){&plain, NULL},
};
