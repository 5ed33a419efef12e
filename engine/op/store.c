#include "engine/op/store.h"

#include "engine/op/channels.h"

static walsh_status shapes(const walsh_store *p, walsh_type from, walsh_type to, walsh_shape *operand)
{
    WALSH_TRY(walsh_channels_check("store", p->n, p->h, p->w, p->c));
    operand[0] = operand[1] = walsh_shape_nhwc(p->n, p->h, p->w, p->c);
    operand[0].type = from, operand[1].type = to;
    return WALSH_OK;
}

static walsh_status pack_shapes(const void *problem, walsh_shape *operand)
{
    return shapes(problem, WALSH_F32, WALSH_F16, operand);
}

static walsh_status unpack_shapes(const void *problem, walsh_shape *operand)
{
    return shapes(problem, WALSH_F16, WALSH_F32, operand);
}

static void cost(const void *problem, double *flops, double *bytes)
{
    const walsh_store *p = problem;
    double elements = (double)p->n * p->h * p->w * p->c;
    *flops = elements;
    *bytes = 6 * elements;
}

static int suits(const walsh_device *device, const void *problem)
{
    (void)device, (void)problem;
    return 1;
}

static walsh_status emit(walsh_list *list, const void *problem, const char *function, const walsh_view *operand)
{
    const walsh_view *x = &operand[0], *y = &operand[1];
    size_t rows = walsh_shape_rows(y->shape);
    walsh_channels on = walsh_channels_for(walsh_list_device(list), y->shape.c);
    walsh_launch launch = walsh_channels_rows(&on, rows);
    launch.file = "store", launch.function = function;
    cost(problem, &launch.flops, &launch.bytes);
    return WALSH_LAUNCH(list, launch, WALSH_TENSOR(x), WALSH_TENSOR(y), WALSH_INT((int)rows), WALSH_INT(on.vectors),
                        WALSH_INT(on.each), WALSH_INT(x->shape.pitch), WALSH_INT(y->shape.pitch));
}

static walsh_status pack_emit(walsh_list *list, const void *problem, const walsh_view *operand,
                              const walsh_view *workspace)
{
    (void)workspace;
    return emit(list, problem, "store_pack_plain", operand);
}

static walsh_status unpack_emit(walsh_list *list, const void *problem, const walsh_view *operand,
                                const walsh_view *workspace)
{
    (void)workspace;
    return emit(list, problem, "store_unpack_plain", operand);
}

static const walsh_variant pack_plain = {.name = "store_pack_plain", .suits = suits, .emit = pack_emit};
static const walsh_variant unpack_plain = {.name = "store_unpack_plain", .suits = suits, .emit = unpack_emit};

const walsh_op walsh_store_pack = {
    .name = "store_pack",
    .problem_size = sizeof(walsh_store),
    .operands = {{"x", WALSH_READ}, {"y", WALSH_WRITE}},
    .shapes = pack_shapes,
    .cost = cost,
    .variants = (const walsh_variant *const[]){&pack_plain, NULL},
};

const walsh_op walsh_store_unpack = {
    .name = "store_unpack",
    .problem_size = sizeof(walsh_store),
    .operands = {{"x", WALSH_READ}, {"y", WALSH_WRITE}},
    .shapes = unpack_shapes,
    .cost = cost,
    .variants = (const walsh_variant *const[]){&unpack_plain, NULL},
};
