#include "engine/op/logit_loss.h"

#include "engine/op/reduce.h"
#include "engine/op/rows.h"

/* Rows that one work-item takes where it sums them up: of few logits all, which costs less than a second launch. */
enum { LOGITS_OF_ONE = 4096 };
static int rows_of_a_block(const walsh_logit_loss_problem *p)
{
    if ((double)p->b * p->c <= LOGITS_OF_ONE) return p->b;
    int block = 8;
    while ((double)block * block < p->b) block *= 2;
    return block;
}

static int blocks(const walsh_logit_loss_problem *p)
{
    int block = rows_of_a_block(p);
    return p->b / block + (p->b % block > 0);
}

static walsh_status shapes(const void *problem, walsh_shape *operand)
{
    const walsh_logit_loss_problem *p = problem;
    if (p->b < 1 || p->c < 1)
        WALSH_FAIL(WALSH_E_ARGUMENT, "loss: %d rows of %d classes, expected at least 1 of each", p->b, p->c);
    if (p->cosine ? p->label_smoothing != 0 : !(p->label_smoothing >= 0 && p->label_smoothing < 1))
        WALSH_FAIL(WALSH_E_ARGUMENT, "loss: label smoothing %g, expected %s", (double)p->label_smoothing,
                   p->cosine ? "0 with the cosine loss" : "0 <= e < 1");
    bool sums = p->fuse & WALSH_FUSE_COLUMN_SUMS;
    if (sums && (p->cosine || p->forward_only))
        WALSH_FAIL(WALSH_E_ARGUMENT, "loss: sums of the gradient, expected the softmax and its gradient");
    operand[WALSH_LOGIT_LOSS_LOGITS] = walsh_shape_matrix(p->b, p->c);
    operand[WALSH_LOGIT_LOSS_LABELS] = walsh_shape_array(WALSH_I32, p->b);
    operand[WALSH_LOGIT_LOSS_VALID] = walsh_shape_array(WALSH_I32, 4);
    operand[WALSH_LOGIT_LOSS_G] = p->forward_only ? walsh_shape_absent : walsh_shape_matrix(p->b, p->c);
    operand[WALSH_LOGIT_LOSS_METRICS] = walsh_shape_matrix(p->b, WALSH_METRICS);
    operand[WALSH_LOGIT_LOSS_SUMS] = sums ? walsh_shape_vector(p->c) : walsh_shape_absent;
    return WALSH_OK;
}

static void cost(const void *problem, double *flops, double *bytes)
{
    const walsh_logit_loss_problem *p = problem;
    double elements = (double)p->b * p->c;
    *flops = elements * (p->cosine ? 1 : p->forward_only ? 4 : 6); /* maximum, subtraction, exponential, sum; G */
    *bytes = elements * (p->forward_only ? 4 : 8) + 20.0 * p->b;
    if (p->fuse & WALSH_FUSE_COLUMN_SUMS) *flops += elements, *bytes += 4.0 * p->c;
}

static walsh_status emit(walsh_list *list, const void *problem, const walsh_view *operand, walsh_rows_form form)
{
    const walsh_logit_loss_problem *p = problem;
    walsh_launch launch = walsh_rows_launch("logit_loss", p->cosine ? "cosine_rows" : "softmax_rows", p->b, form);
    if (form == WALSH_ROWS_PLAIN) launch.options = "-DVW=8";
    cost(problem, &launch.flops, &launch.bytes);
    return WALSH_LAUNCH(list, launch, WALSH_TENSOR(&operand[WALSH_LOGIT_LOSS_LOGITS]),
                        WALSH_TENSOR(&operand[WALSH_LOGIT_LOSS_LABELS]), WALSH_TENSOR(&operand[WALSH_LOGIT_LOSS_VALID]),
                        WALSH_TENSOR(&operand[WALSH_LOGIT_LOSS_G]), WALSH_TENSOR(&operand[WALSH_LOGIT_LOSS_METRICS]),
                        WALSH_INT(p->b), WALSH_INT(p->c), WALSH_INT(operand[WALSH_LOGIT_LOSS_LOGITS].shape.pitch),
                        WALSH_INT(operand[WALSH_LOGIT_LOSS_G].shape.pitch),
                        WALSH_INT(operand[WALSH_LOGIT_LOSS_METRICS].shape.pitch), WALSH_FLOAT(p->label_smoothing));
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

/* On GPUs, where a group takes a row, too few groups would be left. */
static int sums_suits(const walsh_device *device, const void *problem)
{
    const walsh_logit_loss_problem *p = problem;
    return !walsh_tiles_are_gpu(device->tiles) && p->fuse & WALSH_FUSE_COLUMN_SUMS ? 10 : 0;
}

static size_t sums_workspace(const walsh_device *device, const void *problem)
{
    (void)device;
    const walsh_logit_loss_problem *p = problem;
    return blocks(p) > 1 ? (size_t)blocks(p) * (size_t)walsh_pad(p->c) * sizeof(float) : 0;
}

/* Sums of blocks of rows, and their sums. */
static walsh_status sums_emit(walsh_list *list, const void *problem, const walsh_view *operand,
                              const walsh_view *workspace)
{
    const walsh_logit_loss_problem *p = problem;
    walsh_launch launch = walsh_rows_launch("logit_loss", "softmax_blocks", blocks(p), WALSH_ROWS_PLAIN);
    walsh_view sums = operand[WALSH_LOGIT_LOSS_SUMS], partial = sums;
    if (blocks(p) > 1) {
        partial = *workspace;
        partial.shape = walsh_shape_matrix(blocks(p), p->c);
    }
    launch.options = "-DVW=8";
    launch.local[1] = 1;
    cost(problem, &launch.flops, &launch.bytes);
    WALSH_TRY(WALSH_LAUNCH(
        list, launch, WALSH_TENSOR(&operand[WALSH_LOGIT_LOSS_LOGITS]), WALSH_TENSOR(&operand[WALSH_LOGIT_LOSS_LABELS]),
        WALSH_TENSOR(&operand[WALSH_LOGIT_LOSS_VALID]), WALSH_TENSOR(&operand[WALSH_LOGIT_LOSS_G]),
        WALSH_TENSOR(&operand[WALSH_LOGIT_LOSS_METRICS]), WALSH_TENSOR(&partial), WALSH_INT(p->b), WALSH_INT(p->c),
        WALSH_INT(operand[WALSH_LOGIT_LOSS_LOGITS].shape.pitch), WALSH_INT(operand[WALSH_LOGIT_LOSS_G].shape.pitch),
        WALSH_INT(operand[WALSH_LOGIT_LOSS_METRICS].shape.pitch), WALSH_INT(partial.shape.pitch),
        WALSH_FLOAT(p->label_smoothing), WALSH_INT(rows_of_a_block(p))));
    return blocks(p) > 1 ? walsh_reduce_stage(list, &partial, &sums, blocks(p), blocks(p), false) : WALSH_OK;
}

static const walsh_variant sums = {.name = "logit_loss_sums",
                                   .fuses = WALSH_FUSE_COLUMN_SUMS,
                                   .suits = sums_suits,
                                   .workspace = sums_workspace,
                                   .emit = sums_emit};
static const walsh_variant group = {.name = "logit_loss_group", .suits = walsh_rows_group_suits, .emit = group_emit};
static const walsh_variant plain = {.name = "logit_loss_plain", .suits = walsh_rows_plain_suits, .emit = plain_emit};

const walsh_op walsh_logit_loss = {
    .name = "logit_loss",
    .problem_size = sizeof(walsh_logit_loss_problem),
    .operands = {{"logits", WALSH_READ},
                 {"labels", WALSH_READ},
                 {"valid", WALSH_READ},
                 {"g", WALSH_WRITE},
                 {"metrics", WALSH_WRITE},
                 {"sums", WALSH_WRITE}},
    .shapes = shapes,
    .cost = cost,
    .variants = (const walsh_variant *const[]){&sums, &group, &plain, NULL},
};
