#include "engine/op/gemm.h"

#include <stdio.h>

#include "engine/op/gemm_clblast.h"

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

enum {
    MR = 6,
    NR = 16,              /* register tile of gemm_packed, as in cl/gemm.cl */
    KC = 256,             /* its largest block of k: 16 columns of B fill half of a first-level cache */
    MC = 240,             /* its largest tile of rows: with KC half of a second-level cache */
    NC = 512,             /* its largest tile of columns */
    LEAST_TILE = 1 << 17, /* multiply-adds that are worth handing to another thread */
    SIDE = 64,            /* of the square that a work-group of gemm_plain computes */
};

static int parts(int size, int largest)
{
    return (size + largest - 1) / largest;
}

static int round_up(int size, int multiple)
{
    return parts(size, multiple) * multiple;
}

/* The arguments that both kernels begin with, and the five that only gemm_packed has. */
enum { PLAIN_ARGS = 11, PACKED_ARGS = 16 };

static walsh_status launch_kernel(walsh_list *list, walsh_launch launch, const walsh_gemm_problem *p,
                                  const walsh_view *operand, size_t args, int tile_m, int tile_n, int block_k)
{
    const walsh_view *a = &operand[WALSH_GEMM_A], *b = &operand[WALSH_GEMM_B], *c = &operand[WALSH_GEMM_C];
    const walsh_arg arg[PACKED_ARGS] = {WALSH_TENSOR(a),
                                        WALSH_TENSOR(b),
                                        WALSH_TENSOR(&operand[WALSH_GEMM_BIAS]),
                                        WALSH_TENSOR(c),
                                        WALSH_INT(p->m),
                                        WALSH_INT(p->n),
                                        WALSH_INT(p->k),
                                        WALSH_INT(a->shape.pitch),
                                        WALSH_INT(b->shape.pitch),
                                        WALSH_INT(c->shape.pitch),
                                        WALSH_INT((p->fuse & WALSH_FUSE_ACCUMULATE) != 0),
                                        WALSH_INT(p->ta != 0),
                                        WALSH_INT(p->tb != 0),
                                        WALSH_INT(tile_m),
                                        WALSH_INT(tile_n),
                                        WALSH_INT(block_k)};
    cost(p, &launch.flops, &launch.bytes);
    return walsh_list_kernel(list, &launch, arg, args);
}

static int packed_suits(const walsh_device *device, const void *problem)
{
    (void)problem;
    size_t local = ((size_t)(MC + NR) * KC + 16) * sizeof(float);
    return device->info.kind == WALSH_DEVICE_CPU && device->info.local_memory >= local ? 20 : 0;
}

static walsh_status packed_emit(walsh_list *list, const void *problem, const walsh_view *operand,
                                const walsh_view *workspace)
{
    (void)workspace;
    const walsh_gemm_problem *p = problem;
    int units = (int)walsh_list_device(list)->info.compute_units;
    int tile_m = round_up(parts(p->m, parts(p->m, MC)), MR), tile_n = p->n < NC ? round_up(p->n, NR) : NC;
    /* Narrower tiles cost little, and every unit should have several; lower ones pack B more often. */
    while (parts(p->m, tile_m) * parts(p->n, tile_n) < 4 * units && tile_n > 4 * NR &&
           (double)tile_m * tile_n * p->k > 2 * LEAST_TILE)
        tile_n = round_up(tile_n / 2, NR);
    while (parts(p->m, tile_m) * parts(p->n, tile_n) < units && tile_m > 4 * MR &&
           (double)tile_m * tile_n * p->k > 2 * LEAST_TILE)
        tile_m = round_up(tile_m / 2, MR);
    char options[96];
    snprintf(options, sizeof options, "-DPACKED=1 -DKC=%d -DMC=%d", KC, MC);
    const walsh_launch launch = {.file = "gemm",
                                 .function = "gemm_packed",
                                 .options = options,
                                 .global = {(size_t)parts(p->n, tile_n), (size_t)parts(p->m, tile_m)},
                                 .local = {1, 1}};
    return launch_kernel(list, launch, p, operand, PACKED_ARGS, tile_m, tile_n,
                         round_up(parts(p->k, parts(p->k, KC)), 4));
}

static const walsh_variant packed = {.name = "gemm_packed",
                                     .fuses = WALSH_FUSE_BIAS | WALSH_FUSE_ACCUMULATE,
                                     .suits = packed_suits,
                                     .emit = packed_emit};

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
    const walsh_launch launch = {.file = "gemm",
                                 .function = "gemm_plain",
                                 .options = options,
                                 .global = {(size_t)(16 * parts(p->n, SIDE)), (size_t)(16 * parts(p->m, SIDE))},
                                 .local = {16, 16}};
    return launch_kernel(list, launch, p, operand, PLAIN_ARGS, 0, 0, 0);
}

static const walsh_variant plain = {
    .name = "gemm_plain", .fuses = WALSH_FUSE_BIAS | WALSH_FUSE_ACCUMULATE, .suits = plain_suits, .emit = plain_emit};

const walsh_op walsh_gemm = {
    .name = "gemm",
    .problem_size = sizeof(walsh_gemm_problem),
    .operands = {{"a", WALSH_READ}, {"b", WALSH_READ}, {"bias", WALSH_READ}, {"c", WALSH_WRITE}},
    .shapes = shapes,
    .cost = cost,
    .variants = (const walsh_variant *const[]){&packed, &walsh_gemm_clblast, &plain, NULL},
};
