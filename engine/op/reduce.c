#include "engine/op/reduce.h"

enum { ONE_STAGE = 64 }; /* rows that a single launch adds up */

static int at_least_one(int size)
{
    return size > 1 ? size : 1;
}
static int rows_of(const walsh_reduce_problem *p)
{
    return p->rows * at_least_one(p->h) * at_least_one(p->w);
}

static walsh_status shapes(const void *problem, walsh_shape *operand)
{
    const walsh_reduce_problem *p = problem;
    if (p->rows < 1 || p->c < 1 || p->h < 0 || p->w < 0)
        WALSH_FAIL(WALSH_E_ARGUMENT, "reduce: %d rows of %d, expected at least 1", p->rows, p->c);
    if ((double)p->rows * at_least_one(p->h) * at_least_one(p->w) > 1 << 30)
        WALSH_FAIL(WALSH_E_ARGUMENT, "reduce: %dx%dx%d are more rows than 2^30", p->rows, p->h, p->w);
    operand[WALSH_REDUCE_X] = walsh_shape_nhwc(p->rows, at_least_one(p->h), at_least_one(p->w), p->c);
    operand[WALSH_REDUCE_S] = walsh_shape_vector(p->c);
    return WALSH_OK;
}

static void cost(const void *problem, double *flops, double *bytes)
{
    const walsh_reduce_problem *p = problem;
    *flops = (double)rows_of(p) * p->c;
    *bytes = 4.0 * p->c * (rows_of(p) + 1.0);
}

static int suits(const walsh_device *device, const void *problem)
{
    (void)device, (void)problem;
    return 1;
}

/* Rows that one item of the first stage adds up: about the square root, so that both stages' sums are equally long. */
static int rows_of_a_group(const walsh_reduce_problem *p)
{
    if (rows_of(p) <= ONE_STAGE) return rows_of(p);
    int group = 8;
    while ((double)group * group < rows_of(p)) group *= 2;
    return group;
}

static int groups(const walsh_reduce_problem *p)
{
    int group = rows_of_a_group(p);
    return rows_of(p) / group + (rows_of(p) % group > 0);
}

static size_t workspace_bytes(const walsh_device *device, const void *problem)
{
    (void)device;
    const walsh_reduce_problem *p = problem;
    return groups(p) > 1 ? (size_t)groups(p) * (size_t)walsh_pad(p->c) * sizeof(float) : 0;
}

walsh_status walsh_reduce_stage(walsh_list *list, const walsh_view *x, const walsh_view *s, int rows, int group,
                                bool accumulate)
{
    bool gpu = walsh_tiles_are_gpu(walsh_list_device(list)->tiles);
    int quads = walsh_pad(x->shape.c) / 4, each = gpu ? 1 : 4, out = rows / group + (rows % group > 0);
    walsh_launch launch = {.file = "reduce",
                           .function = "reduce_plain",
                           .options = gpu ? "-DQUADS=1" : "-DQUADS=4",
                           .global = {(size_t)((quads + each - 1) / each), (size_t)out},
                           .local = {gpu ? 8 : 1, gpu ? 8 : 4},
                           .flops = (double)rows * x->shape.c,
                           .bytes = 4.0 * x->shape.c * ((double)rows + out)};
    return WALSH_LAUNCH(list, launch, WALSH_TENSOR(x), WALSH_TENSOR(s), WALSH_INT(rows), WALSH_INT(group),
                        WALSH_INT(quads), WALSH_INT(x->shape.pitch), WALSH_INT(s->shape.pitch), WALSH_INT(accumulate));
}

static walsh_status emit(walsh_list *list, const void *problem, const walsh_view *operand, const walsh_view *workspace)
{
    const walsh_reduce_problem *p = problem;
    const walsh_view *x = &operand[WALSH_REDUCE_X], *s = &operand[WALSH_REDUCE_S];
    bool accumulate = p->fuse & WALSH_FUSE_ACCUMULATE;
    int parts = groups(p);
    if (parts == 1) return walsh_reduce_stage(list, x, s, rows_of(p), rows_of(p), accumulate);
    walsh_view partial = *workspace;
    partial.shape = walsh_shape_matrix(parts, p->c);
    WALSH_TRY(walsh_reduce_stage(list, x, &partial, rows_of(p), rows_of_a_group(p), false));
    return walsh_reduce_stage(list, &partial, s, parts, parts, accumulate);
}

static const walsh_variant plain = {
    .name = "reduce_plain", .fuses = WALSH_FUSE_ACCUMULATE, .suits = suits, .workspace = workspace_bytes, .emit = emit};

const walsh_op walsh_reduce = {
    .name = "reduce",
    .problem_size = sizeof(walsh_reduce_problem),
    .operands = {{"x", WALSH_READ}, {"s", WALSH_WRITE}},
    .shapes = shapes,
    .cost = cost,
    .variants = (const walsh_variant *const[]){&plain, NULL},
};
