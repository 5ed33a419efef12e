#include "engine/op/gemm.h"

#include <stdio.h>

#include "engine/op/gemm_clblast.h"
#include "engine/op/gemm_packed.h"

static walsh_status shapes(const void *problem, walsh_shape *operand)
{
    const walsh_gemm_problem *p = problem;
    if (p->m < 1 || p->n < 1 || p->k < 1)
        WALSH_FAIL(WALSH_E_ARGUMENT, "gemm: m %d, n %d, k %d, expected at least 1 each", p->m, p->n, p->k);
    operand[WALSH_GEMM_A] = p->ta ? walsh_shape_matrix(p->k, p->m) : walsh_shape_matrix(p->m, p->k);
    operand[WALSH_GEMM_B] = p->tb ? walsh_shape_matrix(p->n, p->k) : walsh_shape_matrix(p->k, p->n);
    operand[WALSH_GEMM_BIAS] = p->fuse & WALSH_FUSE_BIAS ? walsh_shape_vector(p->n) : walsh_shape_absent;
    operand[WALSH_GEMM_C] = walsh_shape_matrix(p->m, p->n);
    return WALSH_OK;
}

static void cost(const void *problem, double *flops, double *bytes)
{
    const walsh_gemm_problem *p = problem;
    double m = p->m, n = p->n, k = p->k;
    *flops = 2 * m * n * k;
    *bytes = 4 * (m * k + k * n + (p->fuse & WALSH_FUSE_ACCUMULATE ? 2 : 1) * m * n);
}

enum { ROWS = 128, COLUMNS = 64 }; /* of the product that a work-group of gemm_plain computes */

/* Above what gemm_clblast answers where no rule shall choose it. */
static int plain_suits(const walsh_device *device, const void *problem)
{
    (void)device, (void)problem;
    return 2;
}

static walsh_status plain_emit(walsh_list *list, const void *problem, const walsh_view *operand,
                               const walsh_view *workspace)
{
    (void)workspace;
    const walsh_gemm_problem *p = problem;
    char options[32];
    snprintf(options, sizeof options, "-DTA=%d -DTB=%d", p->ta != 0, p->tb != 0);
    walsh_launch launch = {
        .file = "gemm",
        .function = "gemm_plain",
        .options = options,
        .global = {(size_t)(16 * walsh_divide_up(p->n, COLUMNS)), (size_t)(16 * walsh_divide_up(p->m, ROWS))},
        .local = {16, 16}};
    const walsh_view *a = &operand[WALSH_GEMM_A], *b = &operand[WALSH_GEMM_B], *c = &operand[WALSH_GEMM_C];
    cost(p, &launch.flops, &launch.bytes);
    return WALSH_LAUNCH(list, launch, WALSH_TENSOR(a), WALSH_TENSOR(b), WALSH_TENSOR(&operand[WALSH_GEMM_BIAS]),
                        WALSH_TENSOR(c), WALSH_INT(p->m), WALSH_INT(p->n), WALSH_INT(p->k), WALSH_INT(a->shape.pitch),
                        WALSH_INT(b->shape.pitch), WALSH_INT(c->shape.pitch),
                        WALSH_INT((p->fuse & WALSH_FUSE_ACCUMULATE) != 0));
}

static const walsh_variant plain = {
    .name = "gemm_plain", .fuses = WALSH_FUSE_BIAS | WALSH_FUSE_ACCUMULATE, .suits = plain_suits, .emit = plain_emit};

const walsh_op walsh_gemm = {
    .name = "gemm",
    .problem_size = sizeof(walsh_gemm_problem),
    .operands = {{"a", WALSH_READ}, {"b", WALSH_READ}, {"bias", WALSH_READ}, {"c", WALSH_WRITE}},
    .shapes = shapes,
    .cost = cost,
    .variants = (const walsh_variant *const[]){&walsh_gemm_packed, &walsh_gemm_clblast, &plain, NULL},
};
