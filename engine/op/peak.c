#include "engine/op/peak.h"

#include <stdio.h>

/* Vector width and chains of the kernels. Chains of 16 floats fill the registers of AVX-512, of 8 those of AVX2; on a
 * GPU a lane is a work-item. */
typedef struct tiling {
    int vector, chains;
} tiling;
static const tiling wide = {16, 12}, medium = {8, 12}, narrow = {4, 8};

static bool is_gpu(const walsh_device *device)
{
    return walsh_tiles_are_gpu(device->tiles);
}

static const char *options_for(const walsh_device *device, tiling t, char out[64])
{
    snprintf(out, 64, "-DVW=%d -DCHAINS=%d -DGROUP=%d", t.vector, t.chains, is_gpu(device) ? WALSH_PEAK_GROUP : 1);
    return out;
}

static walsh_status fma_shapes(const void *problem, walsh_shape *operand)
{
    const walsh_peak_fma_problem *p = problem;
    if (p->items < 1 || p->items % WALSH_PEAK_GROUP || p->fmas < 1 || p->fmas % WALSH_PEAK_START)
        WALSH_FAIL(WALSH_E_ARGUMENT, "peak_fma: %d items of %d multiply-adds, expected multiples of %d and %d",
                   p->items, p->fmas, WALSH_PEAK_GROUP, WALSH_PEAK_START);
    operand[WALSH_PEAK_FMA_START] = walsh_shape_vector(WALSH_PEAK_START);
    operand[WALSH_PEAK_FMA_LINE] = walsh_shape_vector(4);
    operand[WALSH_PEAK_FMA_Y] = walsh_shape_vector(p->items);
    return WALSH_OK;
}

static void fma_cost(const void *problem, double *flops, double *bytes)
{
    const walsh_peak_fma_problem *p = problem;
    *flops = 2.0 * p->items * p->fmas;
    *bytes = 4.0 * (WALSH_PEAK_START + p->items);
}

static walsh_status fma_emit(walsh_list *list, const void *problem, const walsh_view *operand, tiling t)
{
    const walsh_peak_fma_problem *p = problem;
    const walsh_device *device = walsh_list_device(list);
    char options[64];
    walsh_launch launch = {.file = "peak",
                           .function = "peak_fma",
                           .options = options_for(device, t, options),
                           .global = {(size_t)p->items},
                           .local = {is_gpu(device) ? WALSH_PEAK_GROUP : 1}};
    fma_cost(p, &launch.flops, &launch.bytes);
    return WALSH_LAUNCH(list, launch, WALSH_TENSOR(&operand[WALSH_PEAK_FMA_START]),
                        WALSH_TENSOR(&operand[WALSH_PEAK_FMA_LINE]), WALSH_TENSOR(&operand[WALSH_PEAK_FMA_Y]),
                        WALSH_INT(p->fmas / (t.vector * t.chains)));
}

static walsh_status emit_wide(walsh_list *list, const void *problem, const walsh_view *operand,
                              const walsh_view *workspace)
{
    (void)workspace;
    return fma_emit(list, problem, operand, wide);
}

static walsh_status emit_medium(walsh_list *list, const void *problem, const walsh_view *operand,
                                const walsh_view *workspace)
{
    (void)workspace;
    return fma_emit(list, problem, operand, medium);
}

static walsh_status emit_narrow(walsh_list *list, const void *problem, const walsh_view *operand,
                                const walsh_view *workspace)
{
    (void)workspace;
    return fma_emit(list, problem, operand, narrow);
}

static int suits_cpu(const walsh_device *device, const void *problem)
{
    (void)problem;
    return is_gpu(device) ? 0 : 2;
}

static int suits_all(const walsh_device *device, const void *problem)
{
    (void)device, (void)problem;
    return 1;
}

static const walsh_variant fma_wide = {.name = "peak_fma_wide", .suits = suits_cpu, .emit = emit_wide};
static const walsh_variant fma_medium = {.name = "peak_fma_medium", .suits = suits_cpu, .emit = emit_medium};
static const walsh_variant fma_plain = {.name = "peak_fma_plain", .suits = suits_all, .emit = emit_narrow};

const walsh_op walsh_peak_fma = {
    .name = "peak_fma",
    .problem_size = sizeof(walsh_peak_fma_problem),
    .operands = {{"start", WALSH_READ}, {"line", WALSH_READ}, {"y", WALSH_WRITE}},
    .shapes = fma_shapes,
    .cost = fma_cost,
    .variants = (const walsh_variant *const[]){&fma_medium, &fma_wide, &fma_plain, NULL},
};

static walsh_status stream_shapes(const void *problem, walsh_shape *operand)
{
    const walsh_peak_stream_problem *p = problem;
    if (p->elements < 1 || p->elements % (4 * WALSH_PEAK_BLOCK))
        WALSH_FAIL(WALSH_E_ARGUMENT, "peak_stream: %d elements, expected a multiple of %d", p->elements,
                   4 * WALSH_PEAK_BLOCK);
    walsh_shape all = walsh_shape_vector(p->elements);
    operand[WALSH_PEAK_STREAM_X] = all;
    operand[WALSH_PEAK_STREAM_Z] = p->kind == WALSH_PEAK_TRIAD ? all : walsh_shape_absent;
    operand[WALSH_PEAK_STREAM_Y] =
        p->kind == WALSH_PEAK_READ ? walsh_shape_vector(p->elements / WALSH_PEAK_BLOCK) : all;
    return WALSH_OK;
}

static void stream_cost(const void *problem, double *flops, double *bytes)
{
    const walsh_peak_stream_problem *p = problem;
    *flops = (double)p->elements * (p->kind == WALSH_PEAK_COPY ? 0 : p->kind == WALSH_PEAK_READ ? 1 : 2);
    *bytes = 4.0 * p->elements * (p->kind == WALSH_PEAK_COPY ? 2 : p->kind == WALSH_PEAK_READ ? 1 : 3);
}

static walsh_status stream_emit(walsh_list *list, const void *problem, const walsh_view *operand,
                                const walsh_view *workspace)
{
    (void)workspace;
    static const char *const functions[] = {"peak_read", "peak_copy", "peak_triad"};
    const walsh_peak_stream_problem *p = problem;
    const walsh_device *device = walsh_list_device(list);
    const walsh_view *x = &operand[WALSH_PEAK_STREAM_X], *z = &operand[WALSH_PEAK_STREAM_Z];
    const walsh_view *y = &operand[WALSH_PEAK_STREAM_Y];
    size_t group = is_gpu(device) ? WALSH_PEAK_GROUP : 1;
    char options[64];
    walsh_launch launch = {.file = "peak",
                           .function = functions[p->kind],
                           .options = options_for(device, is_gpu(device) ? narrow : medium, options),
                           .global = {(size_t)p->elements / WALSH_PEAK_BLOCK * group},
                           .local = {group}};
    stream_cost(p, &launch.flops, &launch.bytes);
    if (p->kind == WALSH_PEAK_TRIAD)
        return WALSH_LAUNCH(list, launch, WALSH_TENSOR(x), WALSH_TENSOR(z), WALSH_TENSOR(y));
    return WALSH_LAUNCH(list, launch, WALSH_TENSOR(x), WALSH_TENSOR(y));
}

static const walsh_variant stream_plain = {.name = "peak_stream_plain", .suits = suits_all, .emit = stream_emit};

const walsh_op walsh_peak_stream = {
    .name = "peak_stream",
    .problem_size = sizeof(walsh_peak_stream_problem),
    .operands = {{"x", WALSH_READ}, {"z", WALSH_READ}, {"y", WALSH_WRITE}},
    .shapes = stream_shapes,
    .cost = stream_cost,
    .variants = (const walsh_variant *const[]){&stream_plain, NULL},
};
