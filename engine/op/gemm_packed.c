#include "engine/op/gemm_packed.h"

#include <stdio.h>

enum {
    MC = 240,             /* the largest tile of rows, a multiple of any `mr` */
    NC = 2048,            /* the largest tile of columns */
    LEAST_ROWS = 60,      /* of a tile: fewer use a panel of B too little */
    LEAST_TILE = 1 << 17, /* multiply-adds that are worth handing to another thread */
    SHARED_PANELS = 4,    /* of B, that an item of gemm_panels packs, as in cl/gemm_packed.cl */
    WORKSPACE = 16 << 20, /* bytes that it packs at once */
    GAP = 16,             /* floats between panels of A, as there */
};

/* What the vectors and registers of a device allow, as in cl/gemm_packed.cl: a register tile, and the largest block of
 * k, with which `nr` columns of B fill half of a first-level cache (three quarters where vectors are wide), and MC rows
 * of A half of a second-level one. */
typedef struct blocking {
    int mr, nr, kc;
} blocking;

typedef struct tiling {
    blocking by;
    bool shared;        /* B is packed by launches of its own */
    int block_k;        /* of k at once */
    int part_k;         /* of k in one launch: whole blocks */
    int tile_m, tile_n; /* of C that a work-group computes */
} tiling;

static int round_up(int size, int multiple)
{
    return walsh_divide_up(size, multiple) * multiple;
}

static blocking blocking_of(const walsh_device *device)
{
    bool wide = device->tiles == WALSH_TILES_WIDE_CPU;
    return wide ? (blocking){.mr = 12, .nr = 32, .kc = 192} : (blocking){.mr = 6, .nr = 16, .kc = 256};
}

static int tiles(const walsh_gemm_problem *p, const tiling *t)
{
    return walsh_divide_up(p->m, t->tile_m) * walsh_divide_up(p->n, t->tile_n);
}

static bool worth_halving(const walsh_gemm_problem *p, const tiling *t)
{
    return (double)t->tile_m * t->tile_n * p->k > 2 * LEAST_TILE;
}

static tiling tile(const walsh_device *device, const walsh_gemm_problem *p)
{
    tiling t = {.by = blocking_of(device)};
    int units = (int)device->info.compute_units, mr = t.by.mr, nr = t.by.nr;
    t.block_k = round_up(walsh_divide_up(p->k, walsh_divide_up(p->k, t.by.kc)), 4);
    size_t block_bytes = sizeof(float) * (size_t)round_up(p->n, nr) * (size_t)t.block_k;
    t.shared = p->m > MC && block_bytes <= WORKSPACE;
    int blocks = t.shared ? (int)(WORKSPACE / block_bytes) : 0;
    t.part_k = t.shared && blocks < walsh_divide_up(p->k, t.block_k) ? blocks * t.block_k : p->k;
    /* A panel of B that is packed already suits low tiles too: let each unit have as many. */
    int rows = walsh_divide_up(p->m, MC), low = t.shared ? round_up(rows, 4 * units) : rows;
    if (low > rows && p->m / low < LEAST_ROWS) low = walsh_divide_up(p->m, LEAST_ROWS);
    t.tile_m = round_up(walsh_divide_up(p->m, low), mr);
    t.tile_n = round_up(p->n < NC ? p->n : NC, nr);
    /* Every unit should have several tiles; but narrower ones pack A more often, lower ones B. */
    while (tiles(p, &t) < 4 * units && t.tile_n > 8 * nr && worth_halving(p, &t)) t.tile_n = round_up(t.tile_n / 2, nr);
    while (tiles(p, &t) < units && t.tile_n > 2 * nr && worth_halving(p, &t)) t.tile_n = round_up(t.tile_n / 2, nr);
    while (tiles(p, &t) < units && t.tile_m > 2 * mr && worth_halving(p, &t)) t.tile_m = round_up(t.tile_m / 2, mr);
    return t;
}

static int suits(const walsh_device *device, const void *problem)
{
    (void)problem;
    if (walsh_tiles_are_gpu(device->tiles)) return 0;
    blocking by = blocking_of(device);
    size_t floats = (size_t)(MC / by.mr * (by.kc * by.mr + GAP) + by.kc * by.nr);
    return device->info.local_memory >= floats * sizeof(float) ? 20 : 0;
}

static size_t workspace_bytes(const walsh_device *device, const void *problem)
{
    const walsh_gemm_problem *p = problem;
    tiling t = tile(device, p);
    return t.shared ? sizeof(float) * (size_t)round_up(p->n, t.by.nr) * (size_t)round_up(t.part_k, 4) : 0;
}

/* Adds up p->k of the sum, from views of A and B that begin there. */
static walsh_status emit_part(walsh_list *list, const walsh_gemm_problem *p, const tiling *t, const walsh_view *a,
                              walsh_view b, const walsh_view *bias, const walsh_view *c, const walsh_view *panels)
{
    char options[96];
    snprintf(options, sizeof options, "-DVW=%d -DMR=%d -DKC=%d -DMC=%d -DSHARED=%d", t->by.nr / 2, t->by.mr, t->by.kc,
             MC, t->shared);
    walsh_launch launch = {.file = "gemm_packed", .function = "gemm_panels", .options = options, .local = {1, 1}};
    if (t->shared) {
        launch.global[0] = (size_t)walsh_divide_up(p->n, SHARED_PANELS * t->by.nr);
        launch.global[1] = (size_t)walsh_divide_up(p->k, t->block_k);
        launch.bytes = 2.0 * sizeof(float) * p->n * p->k;
        WALSH_TRY(WALSH_LAUNCH(list, launch, WALSH_TENSOR(&b), WALSH_TENSOR(panels), WALSH_INT(p->n), WALSH_INT(p->k),
                               WALSH_INT(b.shape.pitch), WALSH_INT(p->tb != 0), WALSH_INT(t->block_k)));
        b = *panels;
        b.shape.pitch = round_up(p->n, t->by.nr);
    }
    walsh_gemm.cost(p, &launch.flops, &launch.bytes);
    launch.function = "gemm_packed";
    launch.global[0] = (size_t)walsh_divide_up(p->n, t->tile_n),
    launch.global[1] = (size_t)walsh_divide_up(p->m, t->tile_m);
    return WALSH_LAUNCH(
        list, launch, WALSH_TENSOR(a), WALSH_TENSOR(&b), WALSH_TENSOR(bias), WALSH_TENSOR(c), WALSH_INT(p->m),
        WALSH_INT(p->n), WALSH_INT(p->k), WALSH_INT(a->shape.pitch), WALSH_INT(b.shape.pitch),
        WALSH_INT(c->shape.pitch), WALSH_INT((p->fuse & WALSH_FUSE_ACCUMULATE) != 0), WALSH_INT(p->ta != 0),
        WALSH_INT(p->tb != 0 && !t->shared), WALSH_INT(t->tile_m), WALSH_INT(t->tile_n), WALSH_INT(t->block_k));
}

static walsh_status emit(walsh_list *list, const void *problem, const walsh_view *operand, const walsh_view *workspace)
{
    walsh_gemm_problem part = *(const walsh_gemm_problem *)problem;
    const int k = part.k;
    const tiling t = tile(walsh_list_device(list), &part);
    walsh_view a = operand[WALSH_GEMM_A], b = operand[WALSH_GEMM_B], bias = operand[WALSH_GEMM_BIAS];
    for (int k0 = 0; k0 < k; k0 += t.part_k) {
        part.k = k - k0 < t.part_k ? k - k0 : t.part_k;
        WALSH_TRY(emit_part(list, &part, &t, &a, b, &bias, &operand[WALSH_GEMM_C], workspace));
        a.offset += (size_t)t.part_k * (size_t)(part.ta ? a.shape.pitch : 1);
        b.offset += (size_t)t.part_k * (size_t)(part.tb ? 1 : b.shape.pitch);
        bias = (walsh_view){.shape = walsh_shape_absent};
        part.fuse = WALSH_FUSE_ACCUMULATE;
    }
    return WALSH_OK;
}

const walsh_variant walsh_gemm_packed = {.name = "gemm_packed",
                                         .fuses = WALSH_FUSE_BIAS | WALSH_FUSE_ACCUMULATE,
                                         .suits = suits,
                                         .workspace = workspace_bytes,
                                         .emit = emit};
