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
#define BLOCK (OV * VW)

/* acc += the tile of dW of `n` pixels: x[at[p]] times dy[p]. */
INLINE void accumulate(floatv acc[TI][OV], const float *x, const int *at, const float *dy, const int n)
{
#pragma unroll 2
    for (int p = 0; p < n; p++) {
        const float *from = x + at[p];
        floatv d[OV];
#pragma unroll
        for (int b = 0; b < OV; b++) d[b] = PRIVATE_LOAD(VW, dy + p * BLOCK + b * VW);
#pragma unroll
        for (int i = 0; i < TI; i++)
#pragma unroll
            for (int b = 0; b < OV; b++) acc[i][b] += from[i] * d[b];
    }
}

/* partial[group][ky][kx][ic][blocks*BLOCK], a work-item blocks_each blocks of one group of lines of dY, counted through
 * all images, strip_lines at a time as in conv_direct. The input pixels of a line of taps lie one after the other, so
 * (kx, ic) are `run` rows of dW that are taken TI at a time, whatever the tap. `mode` is how X is staged, dy_mode dY. */
__kernel void conv_filter_direct(__global const float *x, const ulong x_at, __global const float *saved,
                                 const ulong saved_at, __global const float *dy, const ulong dy_at,
                                 __global const float *y, const ulong y_at, __global const float *factors,
                                 const ulong factors_at, __global float *partial, const ulong partial_at,
                                 const int mode, const int dy_mode, const int lines, const int group_lines,
                                 const int strip_lines, const int blocks_each, const int ic, const int oc, const int h,
                                 const int w, const int x_pitch, const int saved_pitch, const int oh, const int ow,
                                 const int dy_pitch, const int y_pitch, const int factors_pitch, const int kh,
                                 const int kw, const int stride, const int pad, const int skip)
{
    /* The last tile of a run reads past its pixel. */
    float staged[STAGED + TI] __attribute__((aligned(64)));
    float block[PIXELS * BLOCK] __attribute__((aligned(64)));
    int at[PIXELS], to[PIXELS];
    const source input = {x + x_at, x + x_at, saved + saved_at, mode, ic, h, w, x_pitch, x_pitch, saved_pitch};
    const source output = {dy + dy_at, y + y_at, factors + factors_at, dy_mode, oc, oh, ow, dy_pitch, y_pitch,
                           factors_pitch};
    const walk on = {stride, 1, -pad, 0, skip};
    const int group = (int)get_global_id(1), first = group * group_lines, end = min(first + group_lines, lines);
    const int o_first = BLOCK * blocks_each * (int)get_global_id(0), o_end = min(o_first + BLOCK * blocks_each, oc);
    const int run = kw * ic, parts = kh * ((run + TI - 1) / TI);
    const int width = (oc + BLOCK - 1) / BLOCK * BLOCK, line_floats = inputs(&on, 0, ow, kw) * ic;

    for (int line = first, count; line < end; line += count) {
        count = min(strip_lines, end - line);
        if (strip_lines < oh) count = min(count, oh - line % oh);
        stage_lines(&input, &on, staged, line, count, oh, ow, kh, kw);
        const int n = list_pixels(&on, at, to, line, count, oh, ow, kh, kw, ic, 0, 0);
        /* About what the next strip reads. */
        const ahead next = ahead_of(&input, (long)(line + count) * stride * w, count * stride * w, parts);
        const ahead next_dy = ahead_of(&output, (long)(line + count) * ow, count * ow, parts);
        for (int o = o_first; o < o_end; o += BLOCK) {
            if (o + BLOCK > oc) stage_zeros(block, n * BLOCK);
            stage_pixels(&output, (long)line * ow, 1, n, o, min(o + BLOCK, oc), block, BLOCK);
            for (int ky = 0, part = 0; ky < kh; ky++)
                for (int t = 0; t < run; t += TI, part++) {
                    if (o == o_first) {
                        prefetch_part(&input, &next, part);
                        prefetch_part(&output, &next_dy, part);
                    }
                    __global float *sum = partial + partial_at +
                                          (((size_t)group * kh + ky) * run + t) * (size_t)width + o;
                    floatv acc[TI][OV];
#pragma unroll
                    for (int i = 0; i < TI; i++)
#pragma unroll
                        for (int b = 0; b < OV; b++)
                            acc[i][b] =
                                line > first && t + i < run ? LOADV(sum + i * width + b * VW) : (floatv)(0.0f);
                    accumulate(acc, staged + ky * line_floats + t, at, block, n);
#pragma unroll
                    for (int i = 0; i < TI; i++)
#pragma unroll
                        for (int b = 0; b < OV; b++)
                            if (t + i < run) STOREV(acc[i][b], sum + i * width + b * VW);
                }
        }
    }
}
