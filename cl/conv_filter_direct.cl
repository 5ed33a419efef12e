/* Gradient of a convolution's weights from private copies of the input and of the output's gradient; what the two stand
 * for is computed on the way there. The first of two stages, conv_filter_reduce of conv_filter.cl being the second. */

/* Vectors of output channels, and rows of dW, of a work-item's tile: TI * OV sums, OV vectors of dY and one more must
 * fit a CPU's registers. */
#ifndef OV
#define OV 1
#endif
#ifndef TI
#define TI 4
#endif
#include "conv_stage.clh"
#define BLOCK (ACROSS * OV * VW)
/* That a loop takes in a turn. */
#ifndef PIXELS_AT_ONCE
#define PIXELS_AT_ONCE 2
#endif

/* to_add += the tile of dW of `n` pixels, at least one: x[at[p]] times dy[p]. A CPU broadcasts scalars of x as it loads
 * them, a GPU loads four at once. */
INLINE void accumulate(floatv to_add[TI][OV], SHARED const float *x, SHARED const int *at, SHARED const float *dy,
                       const int n)
{
    sum acc[TI][OV];
#pragma unroll
    for (int i = 0; i < TI; i++)
#pragma unroll
        for (int b = 0; b < OV; b++) acc[i][b] = SUM(to_add[i][b]);
    int p = 0;
#pragma unroll PIXELS_AT_ONCE
    do {
        SHARED const float *from = x + at[p];
        floatv d[OV];
#pragma unroll
        for (int b = 0; b < OV; b++) d[b] = LOAD_STAGED(dy + p * BLOCK + b * VW);
#if LANES > 1
#pragma unroll
        for (int i = 0; i < TI; i += 4) {
            const float4 four = LOAD_STAGED(from + i);
#pragma unroll
            for (int b = 0; b < OV; b++) {
                acc[i][b] = multiply_add(acc[i][b], four.s0, d[b]);
                acc[i + 1][b] = multiply_add(acc[i + 1][b], four.s1, d[b]);
                acc[i + 2][b] = multiply_add(acc[i + 2][b], four.s2, d[b]);
                acc[i + 3][b] = multiply_add(acc[i + 3][b], four.s3, d[b]);
            }
        }
#else
#pragma unroll
        for (int i = 0; i < TI; i++)
#pragma unroll
            for (int b = 0; b < OV; b++) acc[i][b] = multiply_add(acc[i][b], from[i], d[b]);
#endif
    } while (++p < n);
#pragma unroll
    for (int i = 0; i < TI; i++)
#pragma unroll
        for (int b = 0; b < OV; b++) to_add[i][b] = VECTOR(acc[i][b]);
}

/* The rows of dW that a tile begins at: a run has only the slice's channels of each tap, dW has all. */
typedef struct rows {
    int row, left; /* the next row, and how many more its tap has in the slice */
} rows;
INLINE rows rows_of(const slice *c, const int t, const int ic)
{
    const int count = c->end - c->first, tap = t / count;
    return (rows){t + tap * (ic - count), (tap + 1) * count - t};
}
INLINE int next_row(rows *r, const slice *c, const int ic)
{
    const int row = r->row++;
    if (--r->left == 0) r->left = c->end - c->first, r->row += ic - r->left;
    return row;
}

/* acc = rows of dW from `sum` on, `width` floats each; or the reverse. */
INLINE void load_tile(floatv acc[TI][OV], __global const float *sum, rows r, const slice *c, const int ic,
                      const int width, const int count)
{
#pragma unroll
    for (int i = 0; i < TI; i++) {
        __global const float *row = sum + (size_t)next_row(&r, c, ic) * width;
#pragma unroll
        for (int b = 0; b < OV; b++) acc[i][b] = i < count ? LOADV(row + b * VW) : (floatv)(0.0f);
    }
}
INLINE void store_tile(floatv acc[TI][OV], __global float *sum, rows r, const slice *c, const int ic, const int width,
                       const int count)
{
#pragma unroll
    for (int i = 0; i < TI; i++) {
        __global float *row = sum + (size_t)next_row(&r, c, ic) * width;
#pragma unroll
        for (int b = 0; b < OV; b++)
            if (i < count) STOREV(acc[i][b], row + b * VW);
    }
}

INLINE void zero_row(__global float *row, const int count)
{
    for (int o = 0; o < count; o += VW) STOREV((floatv)(0.0f), row + o);
}

/* partial[group][ky][kx][ic][vectors], a work-group blocks_each blocks of one group of lines of dY, counted through all
 * images, strip_lines at a time as in conv_direct, slice_each of the input's channels. The input pixels of a
 * line of taps lie one after the other, so (kx, ic) are `run` rows of dW that are taken TI at a time, whatever the tap;
 * only where there is one, there may be a gap after each pixel. Of ic channels a CPU may leave out pad lanes.
 * `mode` is how X is staged, dy_mode dY. */
WORK_GROUP
__kernel void conv_filter_direct(__global const float *x, const ulong x_at, __global const float *saved,
                                 const ulong saved_at, __global const float *dy, const ulong dy_at,
                                 __global const float *y, const ulong y_at, __global const float *factors,
                                 const ulong factors_at, __global float *partial, const ulong partial_at,
                                 const int mode, const int dy_mode, const int lines, const int group_lines,
                                 const int strip_lines, const int blocks_each, const int ic, const int oc, const int h,
                                 const int w, const int x_pitch, const int saved_pitch, const int oh, const int ow,
                                 const int dy_pitch, const int y_pitch, const int factors_pitch, const int kh,
                                 const int kw, const int stride, const int pad, const int skip, const int slice_each,
                                 const int gap)
{
    /* The last tile of a run reads past its pixel. */
    SHARED float staged[STAGED + TI] __attribute__((aligned(64)));
    SHARED float block[PIXELS * BLOCK] __attribute__((aligned(64)));
    SHARED int at[PIXELS], to[PIXELS];
    const source input = {x + x_at, x + x_at, saved + saved_at, mode, ic, h, w, x_pitch, x_pitch, saved_pitch};
    const source output = {dy + dy_at, y + y_at, factors + factors_at, dy_mode, oc, oh, ow, dy_pitch, y_pitch,
                           factors_pitch};
    const walk on = {stride, 1, -pad, 0, skip};
    const int group = (int)get_group_id(1), first = group * group_lines, end = min(first + group_lines, lines);
    const int o_first = BLOCK * blocks_each * (int)get_group_id(0), o_end = min(o_first + BLOCK * blocks_each, oc);
    const int c_first = slice_each * (int)get_group_id(2), c_count = min(slice_each, ic - c_first);
    const slice c = {c_first, c_first + c_count, c_count + gap};
    const int run = kw * c_count, tiles = (run + TI - 1) / TI, parts = kh * tiles;
    const int width = (oc + OV * VW - 1) / (OV * VW) * (OV * VW), line_floats = inputs(&on, 0, ow, kw) * c.pitch;
    partial += partial_at + (size_t)group * kh * kw * ic * width;
    if (LANES == 1 && get_num_groups(2) == 1)
        for (int row = 0; row < kh * kw * ic; row++)
            if (row % ic >= c.end) zero_row(partial + (size_t)row * width + o_first, min(o_end, width) - o_first);

    for (int line = first, count; line < end; line += count) {
        count = min(strip_lines, end - line);
        if (strip_lines < oh) count = min(count, oh - line % oh);
        BARRIER; /* the last strip has been read */
        stage_lines(&input, &c, &on, staged, line, count, oh, ow, kh, kw);
        const int n = list_pixels(&on, at, to, line, count, oh, ow, kh, kw, c.pitch, 0, 0);
        /* About what the next strip reads. */
        const int blocks = (o_end - o_first + BLOCK - 1) / BLOCK;
        const slice c_dy = {o_first, min(o_end, oc), BLOCK};
        const ahead next = ahead_of(&c, (long)(line + count) * stride * w, count * stride * w, blocks * parts);
        const ahead next_dy = ahead_of(&c_dy, (long)(line + count) * ow, count * ow, blocks * parts);
        for (int o_block = o_first; o_block < o_end; o_block += BLOCK) {
            const int o = o_block + OV * VW * O_LANE;
            if (o_block + BLOCK > oc) stage_zeros(block, n * BLOCK, LANE, LANES);
            BARRIER;
            stage_pixels(&output, (long)line * ow, 1, n, o_block, min(o_block + BLOCK, oc), block, BLOCK,
                         LANE / QUAD_LANES, LANES / QUAD_LANES);
            BARRIER;
            const int part_end = o < width ? parts : 0;
            int ky = 0, t = TI * TILE_LANE;
            for (int part = TILE_LANE; part < part_end; part += DEALT, t += TI * DEALT) {
                for (; t >= TI * tiles; t -= TI * tiles) ky++; /* not a division: a CPU's tile may take little longer */
                prefetch_part(&input, &c, &next, (o_block - o_first) / BLOCK * parts + part, 0, 1);
                prefetch_part(&output, &c_dy, &next_dy, (o_block - o_first) / BLOCK * parts + part, 0, 1);
                __global float *sum = partial + (size_t)(ky * kw * ic + c_first) * width + o;
                const rows its = rows_of(&c, t, ic);
                floatv acc[TI][OV];
                load_tile(acc, sum, its, &c, ic, width, line > first ? run - t : 0);
                accumulate(acc, staged + ky * line_floats + t, at, block + OV * VW * O_LANE, n);
                store_tile(acc, sum, its, &c, ic, width, run - t);
            }
            BARRIER; /* the block has been read */
        }
    }
}
