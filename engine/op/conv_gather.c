#include "engine/op/conv_gather.h"

/* Tile of a work-item, and how work-items are grouped; the options repeat it for the kernel. */
typedef struct tiling {
    const char *options;
    int pixels, block; /* TX, OV*VW */
    bool interleaved;  /* packed weights are [tap][in][out]: neighbouring work-items read neighbours; else by blocks */
    size_t group;      /* work-items of a work-group */
} tiling;

/* AVX2: 6 pixels of 16 channels fill the registers (twelve sums, two weights, one input). AVX-512: 8 sums hide the
 * latency of a multiply-add. A CPU reads one block of weights from end to end. GPU: the kernel's own defaults. */
static const tiling tilings[WALSH_TILES_KINDS] = {
    [WALSH_TILES_CPU] = {"-DVW=16 -DOV=1 -DTX=6", 6, 16, false, 16},
    [WALSH_TILES_WIDE_CPU] = {"-DVW=16 -DOV=1 -DTX=8", 8, 16, false, 16},
    [WALSH_TILES_GPU] = {NULL, 4, 8, true, 128},
};

static const tiling *tiling_of(const walsh_device *device)
{
    return &tilings[device->tiles];
}

static int blocks_of(const tiling *t, int out)
{
    return (out + t->block - 1) / t->block;
}

/* Strides of the packed weights, in floats: from block to block, and from one (tap, in) to the next. */
static void packed_strides(const tiling *t, int taps, int in, int out, int *by_block, int *by_row)
{
    *by_block = t->interleaved ? t->block : taps * in * t->block;
    *by_row = t->interleaved ? t->block * blocks_of(t, out) : t->block;
}

size_t walsh_gather_workspace(const walsh_device *device, int taps, int in, int out)
{
    const tiling *t = tiling_of(device);
    return sizeof(float) * (size_t)in * (1 + (size_t)taps * (size_t)(blocks_of(t, out) * t->block));
}

walsh_status walsh_gather_pack(walsh_list *list, const walsh_gather_weights *w, const walsh_view *packed)
{
    const tiling *t = tiling_of(walsh_list_device(list));
    int by_block, by_row, rows = w->taps * w->in;
    packed_strides(t, w->taps, w->in, w->out, &by_block, &by_row);
    size_t quads = (size_t)(blocks_of(t, w->out) * t->block / 4);
    walsh_launch launch = {.file = "conv_gather",
                           .function = "conv_gather_pack",
                           .options = t->options,
                           .global = {quads, (size_t)rows},
                           .local = {4, 16},
                           .bytes = 32.0 * (double)quads * rows};
    walsh_view from = *w->w;
    from.offset += (size_t)w->first;
    return WALSH_LAUNCH(list, launch, WALSH_TENSOR(&from), WALSH_TENSOR(packed), WALSH_INT(rows), WALSH_INT(w->in),
                        WALSH_INT(w->out), WALSH_INT(w->by_tap), WALSH_INT(w->by_in), WALSH_INT(w->by_out),
                        WALSH_INT(by_block), WALSH_INT(by_row));
}

/* Where weights are interleaved, work-items that share a tile of pixels stand in one work-group, up to 16 blocks of
 * them; a CPU's work-group is a loop over tiles that use the same block of weights. */
static void group_of(const tiling *t, size_t blocks, size_t local[2])
{
    local[0] = 1;
    while (t->interleaved && local[0] < blocks && local[0] < 16) local[0] *= 2;
    local[1] = t->group / local[0];
}

walsh_status walsh_gather_emit(walsh_list *list, const walsh_gather *g, const walsh_view *x, const walsh_view *packed,
                               const walsh_view *y)
{
    const tiling *t = tiling_of(walsh_list_device(list));
    size_t pixels = (size_t)g->images * (size_t)g->y.count * (size_t)g->x.count, blocks = (size_t)blocks_of(t, g->out);
    int by_block, by_row;
    packed_strides(t, g->kh * g->kw, g->in, g->out, &by_block, &by_row);
    walsh_launch launch = {.file = "conv_gather",
                           .function = "conv_gather_plain",
                           .options = t->options,
                           .global = {blocks, (pixels + (size_t)t->pixels - 1) / (size_t)t->pixels},
                           .flops = g->flops,
                           .bytes = g->bytes};
    group_of(t, blocks, launch.local);
    return WALSH_LAUNCH(list, launch, WALSH_TENSOR(x), WALSH_TENSOR(packed), WALSH_TENSOR(y), WALSH_INT(g->images),
                        WALSH_INT(g->in), WALSH_INT(g->out), WALSH_INT(by_block), WALSH_INT(by_row), WALSH_INT(g->y.in),
                        WALSH_INT(g->x.in), WALSH_INT(x->shape.pitch), WALSH_INT(g->in_step), WALSH_INT(g->y.in_first),
                        WALSH_INT(g->x.in_first), WALSH_INT(g->y.out), WALSH_INT(g->x.out), WALSH_INT(y->shape.pitch),
                        WALSH_INT(g->y.count), WALSH_INT(g->x.count), WALSH_INT(g->out_step), WALSH_INT(g->y.first),
                        WALSH_INT(g->x.first), WALSH_INT(g->y.taps), WALSH_INT(g->x.taps),
                        WALSH_INT(g->y.tap_first * g->kw + g->x.tap_first), WALSH_INT(g->tap_by * g->kw),
                        WALSH_INT(g->tap_by), WALSH_INT(g->accumulate));
}
