#include "engine/op/conv_gather.h"

/* Tile of a work-item, and how work-items are grouped; the options repeat it for the kernel. */
typedef struct tiling {
    const char *options;
    int pixels;            /* TX */
    walsh_packing packing; /* of blocks of OV*VW; interleaved where neighbouring work-items read neighbours */
    size_t group;          /* work-items of a work-group */
} tiling;

/* AVX2: 6 pixels of 16 channels fill the registers (twelve sums, two weights, one input). AVX-512: 8 sums hide the
 * latency of a multiply-add. A CPU reads one block of weights from end to end. GPU: the kernel's own defaults. */
static const tiling tilings[WALSH_TILES_KINDS] = {
    [WALSH_TILES_CPU] = {"-DVW=16 -DOV=1 -DTX=6", 6, {16, false}, 16},
    [WALSH_TILES_WIDE_CPU] = {"-DVW=16 -DOV=1 -DTX=8", 8, {16, false}, 16},
    [WALSH_TILES_GPU] = {"", 4, {8, true}, 128},
};

static const tiling *tiling_of(const walsh_device *device)
{
    return WALSH_TILES_ENTRY(tilings, device->tiles);
}

walsh_packing walsh_gather_packing(const walsh_device *device)
{
    return tiling_of(device)->packing;
}

static int blocks_of(walsh_packing p, int out)
{
    return (out + p.block - 1) / p.block;
}

/* Strides of the packed weights, in floats: from block to block, and from one (tap, in) to the next. */
static void packed_strides(walsh_packing p, int taps, int in, int out, int *by_block, int *by_row)
{
    *by_block = p.interleaved ? p.block : taps * in * p.block;
    *by_row = p.interleaved ? p.block * blocks_of(p, out) : p.block;
}

size_t walsh_packed_bytes(int taps, int in, int out)
{
    size_t block = WALSH_PACKED_BLOCK, padded = ((size_t)out + block - 1) / block * block;
    return sizeof(float) * (size_t)in * (1 + (size_t)taps * padded);
}

walsh_status walsh_gather_pack(walsh_list *list, walsh_packing p, const walsh_gather_weights *w,
                               const walsh_view *packed)
{
    int by_block, by_row, rows = w->taps * w->in, blocks = blocks_of(p, w->out);
    packed_strides(p, w->taps, w->in, w->out, &by_block, &by_row);
    walsh_launch launch = {.file = "conv_gather",
                           .function = "conv_gather_pack",
                           .options = tiling_of(walsh_list_device(list))->options,
                           .global = {(size_t)p.block / 4, (size_t)rows, (size_t)blocks},
                           .local = {(size_t)p.block / 4, 16, 1},
                           .bytes = 8.0 * p.block * blocks * rows};
    walsh_view from = *w->w;
    from.offset += (size_t)w->first;
    return WALSH_LAUNCH(list, launch, WALSH_TENSOR(&from), WALSH_TENSOR(packed), WALSH_INT(rows), WALSH_INT(w->in),
                        WALSH_INT(w->out), WALSH_INT(w->by_tap), WALSH_INT(w->by_in), WALSH_INT(w->by_out),
                        WALSH_INT(p.block), WALSH_INT(by_block), WALSH_INT(by_row));
}

/* Where weights are interleaved, work-items that share a tile of pixels stand in one work-group, up to 16 blocks of
 * them; a CPU's work-group is a loop over tiles that use the same block of weights. */
static void group_of(const tiling *t, size_t blocks, size_t local[2])
{
    local[0] = 1;
    while (t->packing.interleaved && local[0] < blocks && local[0] < 16) local[0] *= 2;
    local[1] = t->group / local[0];
}

walsh_status walsh_gather_emit(walsh_list *list, const walsh_gather *g, const walsh_view *x, const walsh_view *packed,
                               const walsh_view *y)
{
    const tiling *t = tiling_of(walsh_list_device(list));
    size_t pixels = (size_t)g->images * (size_t)g->y.count * (size_t)g->x.count;
    size_t blocks = (size_t)blocks_of(t->packing, g->out);
    int by_block, by_row;
    packed_strides(t->packing, g->kh * g->kw, g->in, g->out, &by_block, &by_row);
    walsh_launch launch = {.file = "conv_gather",
                           .function = "conv_gather_plain",
                           .options = t->options,
                           .global = {blocks, (pixels + (size_t)t->pixels - 1) / (size_t)t->pixels},
                           .flops = g->flops,
                           .bytes = g->bytes};
    group_of(t, blocks, launch.local);
    const walsh_view none = {.shape = walsh_shape_absent}, *bias = g->bias ? g->bias : &none;
    return WALSH_LAUNCH(list, launch, WALSH_TENSOR(x), WALSH_TENSOR(packed), WALSH_TENSOR(bias), WALSH_TENSOR(y),
                        WALSH_INT(g->bias && !walsh_shape_is_absent(g->bias->shape)), WALSH_INT(g->images),
                        WALSH_INT(g->in), WALSH_INT(g->out), WALSH_INT(by_block), WALSH_INT(by_row), WALSH_INT(g->y.in),
                        WALSH_INT(g->x.in), WALSH_INT(x->shape.pitch), WALSH_INT(g->in_step), WALSH_INT(g->y.in_first),
                        WALSH_INT(g->x.in_first), WALSH_INT(g->y.out), WALSH_INT(g->x.out), WALSH_INT(y->shape.pitch),
                        WALSH_INT(g->y.count), WALSH_INT(g->x.count), WALSH_INT(g->out_step), WALSH_INT(g->y.first),
                        WALSH_INT(g->x.first), WALSH_INT(g->y.taps), WALSH_INT(g->x.taps),
                        WALSH_INT(g->y.tap_first * g->kw + g->x.tap_first), WALSH_INT(g->tap_by * g->kw),
                        WALSH_INT(g->tap_by), WALSH_INT(g->accumulate));
}
