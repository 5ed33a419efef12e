#include "engine/op/fwht.h"

#include <stdio.h>

#include <walsh/head.h>

/* Longest block that a work-item (CPU) or work-group (GPU) transforms in its own memory. */
enum { BLOCK = 4096 };

static int log2_of(int n)
{
    int m = 0;
    while (1 << m < n) m++;
    return m;
}

static walsh_status shapes(const void *problem, walsh_shape *operand)
{
    const walsh_fwht_problem *p = problem;
    if (p->rows < 1) WALSH_FAIL(WALSH_E_ARGUMENT, "fwht: %d rows, expected at least 1", p->rows);
    if (p->n < 2 || p->n > WALSH_FWHT_MAX || (p->n & (p->n - 1)))
        WALSH_FAIL(WALSH_E_ARGUMENT, "fwht: rows of %d elements, expected a power of two from 2 to %d", p->n,
                   WALSH_FWHT_MAX);
    if (p->sign < WALSH_FWHT_NO_SIGN || p->sign > WALSH_FWHT_SIGN_OUTPUT)
        WALSH_FAIL(WALSH_E_ARGUMENT, "fwht: sign mode %d, expected 0, 1 or 2", p->sign);
    operand[WALSH_FWHT_X] = operand[WALSH_FWHT_Y] = walsh_shape_matrix(p->rows, p->n);
    operand[WALSH_FWHT_SIGN] = p->sign ? walsh_shape_vector(p->n) : walsh_shape_absent;
    return WALSH_OK;
}

static void cost(const void *problem, double *flops, double *bytes)
{
    const walsh_fwht_problem *p = problem;
    *flops = (double)p->rows * p->n * log2_of(p->n);
    *bytes = 8.0 * p->rows * p->n;
}

/* The last launch of a transform applies the signs of the output; earlier ones must not. */
static int mode_of(const walsh_fwht_problem *p, bool last)
{
    return last || p->sign == WALSH_FWHT_SIGN_INPUT ? p->sign : 0;
}

/* The stages from `stride` on, up to four in one pass over Y. */
static walsh_status emit_passes(walsh_list *list, const walsh_fwht_problem *p, const walsh_view *operand, int stride,
                                int vector)
{
    int left = log2_of(p->n / stride);
    while (left > 0) {
        int passes = (left + 3) / 4, stages = (left + passes - 1) / passes;
        char options[48];
        snprintf(options, sizeof options, "-DRADIX=%d -DVW=%d", 1 << stages, vector);
        left -= stages;
        walsh_launch launch = {.file = "fwht",
                               .function = "fwht_pass",
                               .options = options,
                               .global = {(size_t)(p->n / vector) >> stages, (size_t)p->rows},
                               .local = {64},
                               .flops = (double)p->rows * p->n * stages,
                               .bytes = 8.0 * p->rows * p->n};
        WALSH_TRY(WALSH_LAUNCH(list, launch, WALSH_TENSOR(&operand[WALSH_FWHT_SIGN]),
                               WALSH_TENSOR(&operand[WALSH_FWHT_Y]), WALSH_INT(p->rows), WALSH_INT(p->n),
                               WALSH_INT(stride), WALSH_INT(operand[WALSH_FWHT_Y].shape.pitch),
                               WALSH_INT(left ? 0 : mode_of(p, true))));
        stride <<= stages;
    }
    return WALSH_OK;
}

/* The first launch of a variant: the stages within blocks, from X to Y. */
static walsh_status emit_blocks(walsh_list *list, const walsh_fwht_problem *p, const walsh_view *operand, int block,
                                walsh_launch launch)
{
    const walsh_view *x = &operand[WALSH_FWHT_X], *y = &operand[WALSH_FWHT_Y];
    launch.file = "fwht";
    launch.flops = (double)p->rows * p->n * log2_of(block);
    launch.bytes = 8.0 * p->rows * p->n;
    return WALSH_LAUNCH(list, launch, WALSH_TENSOR(x), WALSH_TENSOR(&operand[WALSH_FWHT_SIGN]), WALSH_TENSOR(y),
                        WALSH_INT(p->rows), WALSH_INT(x->shape.pitch), WALSH_INT(y->shape.pitch), WALSH_FLOAT(p->scale),
                        WALSH_INT(mode_of(p, block == p->n)));
}

static int row_suits(const walsh_device *device, const void *problem)
{
    const walsh_fwht_problem *p = problem;
    return p->n < 8 ? 0 : device->tiles == WALSH_TILES_GPU ? 2 : 10;
}

static walsh_status row_emit(walsh_list *list, const void *problem, const walsh_view *operand,
                             const walsh_view *workspace)
{
    (void)workspace;
    const walsh_fwht_problem *p = problem;
    int block = p->n < BLOCK ? p->n : BLOCK;
    char options[48];
    snprintf(options, sizeof options, "-DROW=1 -DN=%d", block);
    /* A work-group of short rows has several, so that starting it costs little beside its work. */
    size_t share = block <= 64 ? 16 : block <= 512 ? 1024 / (size_t)block : 1;
    walsh_launch launch = {.function = "fwht_row",
                           .options = options,
                           .global = {(size_t)(p->n / block), (size_t)p->rows},
                           .local = {1, share}};
    WALSH_TRY(emit_blocks(list, p, operand, block, launch));
    return emit_passes(list, p, operand, block, 8);
}

static int group_suits(const walsh_device *device, const void *problem)
{
    const walsh_fwht_problem *p = problem;
    if (p->n < 4 || device->info.max_group < 256 || device->info.local_memory < 20 * 1024) return 0;
    return device->tiles == WALSH_TILES_GPU ? 10 : 2;
}

static walsh_status group_emit(walsh_list *list, const void *problem, const walsh_view *operand,
                               const walsh_view *workspace)
{
    (void)workspace;
    const walsh_fwht_problem *p = problem;
    int block = p->n < BLOCK ? p->n : BLOCK;
    int values = block >= 2048 ? 16 : block >= 8 ? 8 : 4, items = block / values, share = items < 64 ? 64 / items : 1;
    char options[64];
    snprintf(options, sizeof options, "-DGROUP=1 -DN=%d -DR=%d -DSHARE=%d", block, values, share);
    walsh_launch launch = {.function = "fwht_group",
                           .options = options,
                           .global = {(size_t)(p->n / values), (size_t)p->rows},
                           .local = {(size_t)items, (size_t)share}};
    WALSH_TRY(emit_blocks(list, p, operand, block, launch));
    return emit_passes(list, p, operand, block, 4);
}

static int plain_suits(const walsh_device *device, const void *problem)
{
    (void)device, (void)problem;
    return 1;
}

static walsh_status plain_emit(walsh_list *list, const void *problem, const walsh_view *operand,
                               const walsh_view *workspace)
{
    (void)workspace;
    const walsh_fwht_problem *p = problem;
    const walsh_view *x = &operand[WALSH_FWHT_X], *y = &operand[WALSH_FWHT_Y];
    walsh_launch launch = {.file = "fwht",
                           .function = "fwht_quads",
                           .options = "-DRADIX=16 -DVW=4",
                           .global = {(size_t)walsh_pad(p->n) / 4, (size_t)p->rows},
                           .local = {16, 4},
                           .flops = 2.0 * p->rows * p->n,
                           .bytes = 8.0 * p->rows * p->n};
    WALSH_TRY(WALSH_LAUNCH(list, launch, WALSH_TENSOR(x), WALSH_TENSOR(&operand[WALSH_FWHT_SIGN]), WALSH_TENSOR(y),
                           WALSH_INT(p->rows), WALSH_INT(p->n), WALSH_INT(x->shape.pitch), WALSH_INT(y->shape.pitch),
                           WALSH_FLOAT(p->scale), WALSH_INT(mode_of(p, p->n <= 4))));
    return emit_passes(list, p, operand, p->n < 4 ? p->n : 4, 4);
}

static const walsh_variant row = {.name = "fwht_row", .suits = row_suits, .emit = row_emit};
static const walsh_variant group = {.name = "fwht_group", .suits = group_suits, .emit = group_emit};
static const walsh_variant plain = {.name = "fwht_plain", .suits = plain_suits, .emit = plain_emit};

const walsh_op walsh_fwht_rows = {
    .name = "fwht",
    .problem_size = sizeof(walsh_fwht_problem),
    .operands = {{"x", WALSH_READ}, {"sign", WALSH_READ}, {"y", WALSH_WRITE}},
    .shapes = shapes,
    .cost = cost,
    .variants = (const walsh_variant *const[]){&row, &group, &plain, NULL},
};

walsh_status walsh_fwht(walsh_device *device, walsh_tensor *x)
{
    walsh_shape s = x->view.shape;
    size_t rows = walsh_shape_rows(s);
    if (rows > INT32_MAX) WALSH_FAIL(WALSH_E_ARGUMENT, "fwht: %zu rows, expected at most %d", rows, INT32_MAX);
    walsh_fwht_problem problem = {.rows = (int)rows, .n = s.c, .scale = 1};
    walsh_view operand[WALSH_FWHT_OPERANDS] = {[WALSH_FWHT_X] = x->view, [WALSH_FWHT_Y] = x->view};
    operand[WALSH_FWHT_X].shape.n = operand[WALSH_FWHT_Y].shape.n = (int)rows;
    operand[WALSH_FWHT_X].shape.h = operand[WALSH_FWHT_Y].shape.h = 1;
    operand[WALSH_FWHT_X].shape.w = operand[WALSH_FWHT_Y].shape.w = 1;
    const walsh_view absent = {.shape = walsh_shape_absent};
    const walsh_variant *variant;
    WALSH_TRY(walsh_op_check(&walsh_fwht_rows, &problem, operand));
    WALSH_TRY(walsh_op_choose(device, &walsh_fwht_rows, &problem, &variant));
    walsh_list *list = NULL;
    WALSH_TRY(walsh_list_create(device, &list));
    walsh_status status = variant->emit(list, &problem, operand, &absent);
    if (!status) status = walsh_list_run(list);
    walsh_list_destroy(&list);
    WALSH_TRY(status);
    WALSH_CL(clFinish(device->queue));
    return WALSH_OK;
}
