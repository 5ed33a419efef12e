#include "engine/op/fwht.h"

#include <stdio.h>

enum {
    GROUP_BLOCK = 4096, /* longest block that a work-group transforms in local memory */
    ROW_BLOCK = 32768,  /* longest that a CPU's work-item does in its second-level cache */
    SPAN = 1 << 21,     /* elements that a CPU takes through all their launches before the next, in its last cache */
    RADIX = 8,          /* streams that a CPU follows at once: as many as its caches have ways */
    STRIP = 1024        /* columns of a CPU's work-item */
};

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
static walsh_status emit_passes(walsh_list *list, const walsh_fwht_problem *p, const walsh_view *operand, int stride)
{
    int left = log2_of(p->n / stride);
    while (left > 0) {
        int passes = (left + 3) / 4, stages = (left + passes - 1) / passes;
        char options[48];
        snprintf(options, sizeof options, "-DRADIX=%d", 1 << stages);
        left -= stages;
        walsh_launch launch = {.file = "fwht",
                               .function = "fwht_pass",
                               .options = options,
                               .global = {(size_t)(p->n / 4) >> stages, (size_t)p->rows},
                               .local = {64},
                               .flops = (double)p->rows * p->n * stages,
                               .bytes = 8.0 * p->rows * p->n};
        WALSH_TRY(WALSH_LAUNCH(list, launch, WALSH_TENSOR(&operand[WALSH_FWHT_SIGN]),
                               WALSH_TENSOR(&operand[WALSH_FWHT_Y]), WALSH_INT(p->rows), WALSH_INT(p->n),
                               WALSH_INT(log2_of(stride)), WALSH_INT(operand[WALSH_FWHT_Y].shape.pitch),
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
    return p->n < 8 || walsh_tiles_are_gpu(device->tiles) ? 0 : 10;
}

/* How a work-item takes a block of N elements, by log2 N: vectors of its first pass, then the radix of two more; see
 * cl/fwht.cl. What is left is the radix of the last. */
static const struct {
    int first, radix[2];
} row_passes[] = {
    [3] = {1, {1, 1}},  [4] = {2, {1, 1}},  [5] = {4, {1, 1}},   [6] = {8, {1, 1}},  [7] = {16, {1, 1}},
    [8] = {8, {4, 1}},  [9] = {8, {8, 1}},  [10] = {8, {16, 1}}, [11] = {8, {8, 4}}, [12] = {8, {8, 8}},
    [13] = {8, {8, 4}}, [14] = {8, {8, 8}}, [15] = {8, {8, 16}},
};

/* The stages within blocks of every row. */
static walsh_status emit_rows(walsh_list *list, const walsh_fwht_problem *p, const walsh_view *operand, int block)
{
    int m = log2_of(block);
    char options[80];
    snprintf(options, sizeof options, "-DROW=1 -DN=%d -DFIRST=%d -DR1=%d -DR2=%d", block, row_passes[m].first,
             row_passes[m].radix[0], row_passes[m].radix[1]);
    /* A work-group of short rows has several, so that starting it costs little beside its work. */
    size_t share = block <= 64 ? 64 : block < 4096 ? 4096 / (size_t)block : 1;
    walsh_launch launch = {.function = "fwht_row",
                           .options = options,
                           .global = {(size_t)(p->n / block), (size_t)p->rows},
                           .local = {1, share}};
    return emit_blocks(list, p, operand, block, launch);
}

/* The stages from `stride` on: of blocks of Y, strips of columns. */
static walsh_status emit_columns(walsh_list *list, const walsh_fwht_problem *p, const walsh_view *operand, int stride,
                                 int mode)
{
    const int most = log2_of(RADIX);
    for (int left = log2_of(p->n / stride); left > 0;) {
        int passes = (left + most - 1) / most, stages = (left + passes - 1) / passes;
        char options[64];
        snprintf(options, sizeof options, "-DCOLUMNS=1 -DRADIX=%d -DSTRIP=%d", 1 << stages, STRIP);
        left -= stages;
        walsh_launch launch = {.file = "fwht",
                               .function = "fwht_columns",
                               .options = options,
                               .global = {(size_t)(stride / STRIP), (size_t)(p->n / stride) >> stages, (size_t)p->rows},
                               .flops = (double)p->rows * p->n * stages,
                               .bytes = 8.0 * p->rows * p->n};
        WALSH_TRY(WALSH_LAUNCH(list, launch, WALSH_TENSOR(&operand[WALSH_FWHT_SIGN]),
                               WALSH_TENSOR(&operand[WALSH_FWHT_Y]), WALSH_INT(stride),
                               WALSH_INT(operand[WALSH_FWHT_Y].shape.pitch), WALSH_INT(left ? 0 : mode)));
        stride <<= stages;
    }
    return WALSH_OK;
}

/* The operands from element `at` of row `row` on. */
static void shift(const walsh_view *operand, int row, int at, walsh_view *shifted)
{
    for (int i = 0; i < WALSH_FWHT_OPERANDS; i++) {
        shifted[i] = operand[i];
        if (!operand[i].memory) continue;
        shifted[i].offset += (size_t)at + (i == WALSH_FWHT_SIGN ? 0 : (size_t)row * (size_t)operand[i].shape.pitch);
    }
}

/* Depth first: what fits into the last cache gets all its stages before the next is begun. */
static walsh_status row_emit(walsh_list *list, const void *problem, const walsh_view *operand,
                             const walsh_view *workspace)
{
    (void)workspace;
    const walsh_fwht_problem *p = problem;
    if (p->n <= ROW_BLOCK) return emit_rows(list, p, operand, p->n);
    int span = p->n < SPAN ? p->n : SPAN, at_once = SPAN / span;
    for (int row = 0; row < p->rows; row += at_once) {
        walsh_fwht_problem part = *p;
        walsh_view here[WALSH_FWHT_OPERANDS];
        part.rows = p->rows - row < at_once ? p->rows - row : at_once;
        part.n = span;
        for (int at = 0; at < p->n; at += span) {
            shift(operand, row, at, here);
            WALSH_TRY(emit_rows(list, &part, here, ROW_BLOCK));
            WALSH_TRY(emit_columns(list, &part, here, ROW_BLOCK, mode_of(p, span == p->n)));
        }
        part.n = p->n;
        shift(operand, row, 0, here);
        WALSH_TRY(emit_columns(list, &part, here, span, mode_of(p, true)));
    }
    return WALSH_OK;
}

static int group_suits(const walsh_device *device, const void *problem)
{
    const walsh_fwht_problem *p = problem;
    if (p->n < 4 || device->info.max_group < 256 || device->info.local_memory < 20 * 1024) return 0;
    return walsh_tiles_are_gpu(device->tiles) ? 10 : 2;
}

static walsh_status group_emit(walsh_list *list, const void *problem, const walsh_view *operand,
                               const walsh_view *workspace)
{
    (void)workspace;
    const walsh_fwht_problem *p = problem;
    int block = p->n < GROUP_BLOCK ? p->n : GROUP_BLOCK;
    int values = block >= 2048 ? 16 : block >= 8 ? 8 : 4, items = block / values, share = items < 64 ? 64 / items : 1;
    char options[64];
    snprintf(options, sizeof options, "-DGROUP=1 -DN=%d -DR=%d -DSHARE=%d", block, values, share);
    walsh_launch launch = {.function = "fwht_group",
                           .options = options,
                           .global = {(size_t)(p->n / values), (size_t)p->rows},
                           .local = {(size_t)items, (size_t)share}};
    WALSH_TRY(emit_blocks(list, p, operand, block, launch));
    return emit_passes(list, p, operand, block);
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
                           .options = "-DRADIX=16",
                           .global = {(size_t)walsh_pad(p->n) / 4, (size_t)p->rows},
                           .local = {p->n <= 4 ? 1 : 16, p->n <= 4 ? 64 : 4},
                           .flops = 2.0 * p->rows * p->n,
                           .bytes = 8.0 * p->rows * p->n};
    WALSH_TRY(WALSH_LAUNCH(list, launch, WALSH_TENSOR(x), WALSH_TENSOR(&operand[WALSH_FWHT_SIGN]), WALSH_TENSOR(y),
                           WALSH_INT(p->rows), WALSH_INT(p->n), WALSH_INT(x->shape.pitch), WALSH_INT(y->shape.pitch),
                           WALSH_FLOAT(p->scale), WALSH_INT(mode_of(p, p->n <= 4))));
    return emit_passes(list, p, operand, p->n < 4 ? p->n : 4);
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
