/* Gradient of a convolution's weights from a private copy of the input, where relu(scale*x + shift) can be applied; the
 * first of two stages, conv_filter_reduce of conv_filter.cl being the second. */

/* Vectors of output channels, and rows of dW, of a work-item's tile: TI * OV sums, OV vectors of dY and one more must
 * fit a CPU's registers. */
#ifndef OV
#define OV 1
#endif
#ifndef TI
#define TI 4
#endif
/* Pixels of dY that are staged at a time. */
#ifndef PIXELS
#define PIXELS 16
#endif
#include "conv_stage.clh"
#define BLOCK (OV * VW)

/* staged[pixels][BLOCK]: one block of dY's channels, zeros past the last. */
INLINE void stage_block(__global const float *dy, float *staged, const int pixels, const int pitch, const int room)
{
    for (int p = 0; p < pixels; p++)
#pragma unroll
        for (int b = 0; b < OV; b++)
            PRIVATE_STOREV(load_part(dy + (size_t)p * pitch + b * VW, room - b * VW), staged + p * BLOCK + b * VW);
}

/* partial[group][ky][kx][ic][blocks*BLOCK], a work-item blocks_each blocks of one group of lines of dY, counted through
 * all images. The input pixels of a line of taps lie one after the other, so (kx, ic) are `run` rows of dW that are
 * taken TI at a time, whatever the tap. */
__kernel void conv_filter_direct(__global const float *x, const ulong x_at, __global const float *dy, const ulong dy_at,
                                 __global float *partial, const ulong partial_at, __global const float *saved,
                                 const ulong saved_at, const int lines, const int group_lines, const int strip_lines,
                                 const int blocks_each, const int ic, const int oc, const int h, const int w,
                                 const int x_pitch, const int skip, const int step, const int cols, const int oh,
                                 const int ow, const int dy_pitch, const int kh, const int kw, const int pad,
                                 const int saved_pitch)
{
    float staged[STAGED + TI], block[PIXELS * BLOCK]; /* the last tile of a run reads past it */
    const int group = (int)get_global_id(1), first = group * group_lines, end = min(first + group_lines, lines);
    const int o_first = BLOCK * blocks_each * (int)get_global_id(0), o_end = min(o_first + BLOCK * blocks_each, oc);
    const int run = kw * ic, width = (oc + BLOCK - 1) / BLOCK * BLOCK;

    for (int line = first, count; line < end; line += count) {
        const int image = line / oh, top = line % oh;
        count = min(min(strip_lines, end - line), oh - top);
        stage(x + x_at + (long)image * h * w * x_pitch, staged, (count - 1) * step + kh, cols, ic,
              skip * step * top - pad, -pad, skip, h, w, x_pitch, saved + saved_at + 2 * saved_pitch, saved_pitch);
        for (int o = o_first; o < o_end; o += BLOCK) {
            stage_block(dy + dy_at + (size_t)line * ow * dy_pitch + o, block, count * ow, dy_pitch, oc - o);
            for (int ky = 0; ky < kh; ky++)
                for (int t = 0; t < run; t += TI) {
                    __global float *sum =
                        partial + partial_at + (((size_t)group * kh + ky) * run + t) * (size_t)width + o;
                    floatv acc[TI][OV];
#pragma unroll
                    for (int i = 0; i < TI; i++)
#pragma unroll
                        for (int b = 0; b < OV; b++)
                            acc[i][b] =
                                line > first && t + i < run ? LOADV(sum + i * width + b * VW) : (floatv)(0.0f);
                    for (int l = 0; l < count; l++) {
                        const float *from = staged + (l * step + ky) * cols * ic + t, *d = block + l * ow * BLOCK;
#pragma unroll 2
                        for (int ox = 0; ox < ow; ox++) {
                            floatv dv[OV];
#pragma unroll
                            for (int b = 0; b < OV; b++) dv[b] = PRIVATE_LOADV(d + b * VW);
#pragma unroll
                            for (int i = 0; i < TI; i++)
#pragma unroll
                                for (int b = 0; b < OV; b++) acc[i][b] += from[i] * dv[b];
                            from += step * ic;
                            d += BLOCK;
                        }
                    }
#pragma unroll
                    for (int i = 0; i < TI; i++)
#pragma unroll
                        for (int b = 0; b < OV; b++)
                            if (t + i < run) STOREV(acc[i][b], sum + i * width + b * VW);
                }
        }
    }
}
