/* Convolution and its transpose as a gather, like conv_gather.cl, from a copy of the input with its zero halo:
 * no tap asks whether it is inside, the taps of a row are one run of memory, and what the input stands for is computed
 * on the way there.
 *
 * A work-group takes a group of lines of output, and for some blocks of channels all of them: so it can finish that
 * group's batch-norm statistics or sums. */

/* Output pixels of a work-item's tile: TX vectors of sums, one of weights and one input must fit a CPU's registers. */
#ifndef TX
#define TX 4
#endif
#include "conv_tile.clh"

/* Floats of a line of taps of a slice's weights, where lanes share them. */
#ifndef WEIGHTS
#define WEIGHTS (LANES > 1 ? 768 : 1)
#endif

/* Weights of a line of taps for all the lanes, which a GPU reads from local memory; a CPU's cache has them anyway. */
#if LANES > 1
#define WEIGHTS_AT SHARED
INLINE void stage_weights(SHARED float *to, __global const float *from, const int count)
{
    for (int i = 4 * LANE; i < count; i += 4 * LANES) STAGE4(LOAD4(from + i), to + i);
}
#define LOAD_WEIGHTS(p) LOAD_STAGED(p)
#else
#define WEIGHTS_AT __global
#define LOAD_WEIGHTS(p) LOADV(p)
#endif

/* `packed` begins with a pixel that only conv_gather.cl reads. */
#define FIRST_WEIGHT(in) (LANES > 1 ? (in) : PADDED(in))

/* acc += x * (weights of an input channel), and of four. A CPU broadcasts scalars of x as it loads them, channel by channel;
 * a GPU loads four at once, pixel by pixel, which holds fewest registers. */
INLINE void add_channel(sum *acc, SHARED const float **from, const int p, WEIGHTS_AT const float *weights)
{
    const floatv wv = LOAD_WEIGHTS(weights);
#pragma unroll
    for (int j = 0; j < TX; j++) acc[j] = multiply_add(acc[j], from[j][p], wv);
}
INLINE void add_quad(sum *acc, SHARED const float **from, const int p, WEIGHTS_AT const float *weights)
{
#if LANES > 1
    floatv wv[4];
#pragma unroll
    for (int i = 0; i < 4; i++) wv[i] = LOAD_WEIGHTS(weights + i * BLOCK);
#pragma unroll
    for (int j = 0; j < TX; j++) {
        const float4 four = LOAD_STAGED(from[j] + p);
        acc[j] = multiply_add(acc[j], four.s0, wv[0]);
        acc[j] = multiply_add(acc[j], four.s1, wv[1]);
        acc[j] = multiply_add(acc[j], four.s2, wv[2]);
        acc[j] = multiply_add(acc[j], four.s3, wv[3]);
    }
#else
#pragma unroll
    for (int i = 0; i < 4; i++) add_channel(acc, from, p + i, weights + i * BLOCK);
#endif
}

/* Input channels of a tap between two times that a CPU is asked for more. */
#define SHARE 64

/* What the next strip, the next tile and the next block will read and write: asked for bit by bit, while sums are
 * computed. */
typedef struct coming {
    const source *from;
    const slice *all;
    const ahead *strip;
    int part; /* of the strip; negative: none */
    SHARED const int *to;
    int valid, apart; /* of the tile, as prefetch_tile's */
    __global const float *y;
    int y_pitch, epilogue;
    const gate *g;
    int block, tile, tiles; /* floats from a block's weights to the next one's, of which each tile asks for its share */
} coming;
INLINE void prefetch_coming(const coming *c, const int i, const int of, __global const float *weights, const int lines)
{
    if (c->part >= 0) prefetch_part(c->from, c->all, c->strip, c->part, i, of);
    prefetch_tile(c->to, c->valid, c->apart, c->y, c->y_pitch, c->epilogue, c->g, i, of);
    for (int l = lines * c->tile / c->tiles; l < lines * (c->tile + 1) / c->tiles; l++)
        WALSH_PREFETCH(weights + c->block + l * BLOCK);
}

/* Of the k-th tap of line i of those that gather() goes through. */
#define WEIGHTS_OF(k) (block + ((size_t)((h.tap + i * out_step) * kw + w.tap + (k) * out_step) * in + c->first) * BLOCK)

/* to_add += sums of the pixels at `at` of the slice of channels in `staged`, over h and w's taps, of which there are
 * some; a line of `staged` is `line` floats. `block` are all of a block's weights, of which the lanes stage a line of
 * taps at a time. */
INLINE void gather(floatv *to_add, const slice *c, SHARED const float *staged, SHARED const int *at, const int valid,
                   __global const float *block, SHARED float *shared_weights, const reach h, const reach w,
                   const int out_step, const int kw, const int line, const int in, const coming *soon)
{
    /* Taps that are neighbours in both memories are gathered as one of as many channels, where a CPU's are few. */
    const int together = (LANES > 1 || in < VW) && out_step == 1 && c->end - c->first == in && c->pitch == in;
    const int runs = together ? 1 : w.taps, run = together ? w.taps * in : c->end - c->first;
    const int shares = (run + SHARE - 1) / SHARE; /* of a run, between which more is asked for */
    sum acc[TX];
    SHARED const float *from[TX];
#pragma unroll
    for (int j = 0; j < TX; j++) {
        acc[j] = SUM(to_add[j]);
        from[j] = staged + at[NTH(j, valid)];
    }
    int i = 0; /* each of these loops is run: a compiler that knows needs no copies of the sums */
    do {
        int k = 0;
#if LANES > 1
        WEIGHTS_AT const float *weights = shared_weights + VW * O_LANE;
        for (; k < runs; k++)
            stage_weights(shared_weights + k * run * BLOCK, WEIGHTS_OF(k), run * BLOCK);
        BARRIER;
        k = 0;
#endif
        do {
#if LANES == 1
            WEIGHTS_AT const float *weights = WEIGHTS_OF(k);
#endif
            int p = k * c->pitch;
            const int end = p + run;
            int share = (i * runs + k) * shares;
            do {
                const int share_end = LANES > 1 ? end : min(p + SHARE, end);
#if LANES == 1
                prefetch_coming(soon, share++, h.taps * runs * shares, weights, share_end - p);
#endif
#ifdef QUADS
#pragma unroll QUADS
#endif
                do {
                    add_quad(acc, from, p, weights);
                    weights += 4 * BLOCK;
                    p += 4;
                } while (p + (LANES > 1 ? 0 : 3) < share_end);
#if LANES == 1
                for (; p < share_end; p++, weights += BLOCK) add_channel(acc, from, p, weights);
#endif
            } while (LANES == 1 && p < end);
        } while (++k < runs);
        BARRIER; /* all have read what the lanes share */
#pragma unroll
        for (int j = 0; j < TX; j++) from[j] += line;
    } while (++i < h.taps);
#pragma unroll
    for (int j = 0; j < TX; j++) to_add[j] = VECTOR(acc[j]);
}

/* Lines of output are the images' y_h lines one after the other, `lines` of them, in groups of group_lines; of these at
 * most strip_lines are staged at a time, of one image or of whole ones, slice_each input channels of them, pixels
 * slice_pitch floats apart. `in` channels are padded ones, but on a CPU 1 to 3 where a line of taps has 4 or more. Where these are not all, a CPU goes over the strip once for each slice, and adds to what it
 * has written; lanes stage each slice anew for each tile. Weights are as conv_gather_pack leaves them, block by block.
 * `mode` is how the input is staged (rows: SAVED or FACTORS), `epilogue` what follows; the other arguments are a
 * walk's. Tensors that these do not need are never read. */
WORK_GROUP
__kernel void conv_direct(__global const float *x, const ulong x_at, __global const float *with, const ulong with_at,
                          __global const float *rows, const ulong rows_at, __global const float *packed,
                          const ulong packed_at, __global const float *bias, const ulong bias_at, __global float *y,
                          const ulong y_at, __global const float *u, const ulong u_at, __global const float *saved,
                          const ulong saved_at, __global const float *z, const ulong z_at, __global float *partial,
                          const ulong partial_at, const int mode, const int epilogue, const int biased,
                          const int accumulate, const int lines, const int group_lines,
                          const int strip_lines, const int blocks_each, const int in, const int out, const int x_h,
                          const int x_w, const int x_pitch, const int with_pitch, const int rows_pitch, const int y_h,
                          const int y_w, const int y_pitch, const int u_pitch, const int saved_pitch, const int z_pitch,
                          const int partial_pitch, const int kh, const int kw, const int in_step, const int out_step,
                          const int shift, const int back, const int skip, const int slice_each, const int slice_pitch)
{
    SHARED float staged[STAGED + (LANES > 1 ? 0 : 4)] __attribute__((aligned(64))); /* pixels of 3 end with a lane more */
    SHARED int at[PIXELS], to[PIXELS];
    SHARED float weights[WEIGHTS] __attribute__((aligned(64)));
    const source from = {x + x_at, with + with_at, rows + rows_at, MODE, in, x_h, x_w, x_pitch, with_pitch, rows_pitch};
    /* Only gradients are staged as such, and these go back, where no input is skipped. */
    const int gradient = MODE == NORM_GRADIENT;
    const walk on = {gradient ? 1 : in_step, out_step, shift, gradient || back, gradient ? 1 : skip};
    const int group = (int)get_group_id(1), first_line = group * group_lines;
    const int line_end = min(first_line + group_lines, lines);
    const int o_first = BLOCK * blocks_each * (int)get_group_id(0), o_end = min(o_first + BLOCK * blocks_each, out);
    const int blocks = (o_end - o_first + BLOCK - 1) / BLOCK, slices = (in + slice_each - 1) / slice_each;
    const int passes = LANES > 1 ? 1 : slices, in_pass = LANES > 1 ? slices : 1;
    const int line_floats = inputs(&on, 0, y_w, kw) * slice_pitch;
    /* With lanes what follows the sums comes when all are stored: within a tile it would take registers from them. */
    const int in_tile = LANES > 1 ? STORE_ONLY : EPILOGUE;
    y += y_at;
    partial += partial_at + (size_t)group * 2 * partial_pitch;

    for (int line = first_line, count; line < line_end; line += count) {
        count = min(strip_lines, line_end - line);
        if (strip_lines < y_h) count = min(count, y_h - line % y_h);
        int staged_slice = -1;
        for (int turn = 0; turn < passes * out_step * out_step; turn++) {
            const int pass = turn / (out_step * out_step), class = turn % (out_step * out_step);
            const int class_y = class / out_step, class_x = class % out_step;
            const reach h = reach_of(&on, class_y, kh), w = reach_of(&on, class_x, kw);
            const int read = h.taps > 0 && w.taps > 0; /* else there is nothing to add, but the last pass */
            if (!read && pass < passes - 1) continue;
            const int add = accumulate || (read && pass > 0), epilogue_now = pass < passes - 1 ? STORE_ONLY : in_tile;
            BARRIER; /* the last list has been read */
            const int n = list_pixels(&on, at, to, line, count, y_h, y_w, kh, kw, slice_pitch, class_y, class_x);
            BARRIER;
            /* About what the next strip reads. */
            const slice all = {0, in, in};
            const int tiles = n / TX + 1;
            const ahead next = ahead_of(&all, (long)(line + count) * x_h / y_h * x_w, count * x_h / y_h * x_w,
                                        tiles * blocks * passes);
            for (int o_block = o_first; o_block < o_end; o_block += BLOCK) {
                const int o = o_block + VW * O_LANE, room = out - o;
                const int part = ((o_block - o_first) / BLOCK + pass * blocks) * tiles;
                __global const float *block =
                    packed + packed_at + FIRST_WEIGHT(in) + (size_t)(o_block / BLOCK) * kh * kw * in * BLOCK;
                const gate g = {u + u_at + o, saved + saved_at + o, z + z_at + o, u_pitch, saved_pitch, z_pitch};
                const floatv start = biased && !pass ? load_part(bias + bias_at + o, room) : (floatv)(0.0f);
                floatv sums[2] = {(floatv)(0.0f), (floatv)(0.0f)};
                for (int first = 0; first < n; first += TX * DEALT) {
                    SHARED const int *its_at = at + first + TILE_LANE, *its_to = to + first + TILE_LANE;
                    const int valid = n - first - TILE_LANE;
                    floatv acc[TX];
#pragma unroll
                    for (int j = 0; j < TX; j++) acc[j] = start;
                    const int next_first = first + TX * DEALT < n ? first + TX * DEALT : 0;
                    const coming soon = {.from = &from,
                                         .all = &all,
                                         .strip = &next,
                                         .part = class ? -1 : part + first / TX,
                                         .to = to + next_first + TILE_LANE,
                                         .valid = n - next_first - TILE_LANE,
                                         .apart = next_first ? 0 : BLOCK,
                                         .y = y + o,
                                         .y_pitch = y_pitch,
                                         .epilogue = epilogue_now,
                                         .g = &g,
                                         .block = kh * kw * in * BLOCK,
                                         .tile = first / TX,
                                         .tiles = tiles};
                    for (int i = 0; i < in_pass; i++) {
                        const int its_slice = pass + i, begin = its_slice * slice_each;
                        const slice c = {begin, min(begin + slice_each, in), slice_pitch};
                        if (!read) break;
                        if (its_slice != staged_slice) {
                            stage_lines(&from, &c, &on, staged, line, count, y_h, y_w, kh, kw);
                            staged_slice = its_slice;
                        }
                        gather(acc, &c, staged, its_at, valid, block, weights, h, w, out_step, kw, line_floats, in,
                               &soon);
                    }
                    finish(acc, its_to, valid, y + o, y_pitch, room, add, epilogue_now, &g, sums);
                }
                if (SUMS(epilogue_now))
                    store_sums(sums, &g, partial + o, partial_pitch, room, line > first_line || class);
            }
        }
    }
    const int row = first_line * y_w, row_count = (line_end - first_line) * y_w;
    y += (size_t)row * y_pitch;
    if (EPILOGUE == STATISTICS) {
        BARRIER_GLOBAL;
        for (int o_block = o_first; o_block < o_end; o_block += BLOCK) {
            const int o = o_block + VW * O_LANE;
            statistics(y + o, row_count, y_pitch, out - o, partial + o, partial_pitch, staged);
        }
        return;
    }
    if (in_tile == EPILOGUE) return;
    BARRIER_GLOBAL;
    for (int o_block = o_first; o_block < o_end; o_block += BLOCK) {
        const int o = o_block + VW * O_LANE;
        const gate g = {u + u_at + o, saved + saved_at + o, z + z_at + o, u_pitch, saved_pitch, z_pitch};
        finish_rows(y + o, row, row_count, y_pitch, out - o, EPILOGUE, &g, partial + o, partial_pitch, staged);
    }
}
