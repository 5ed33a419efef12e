/* Convolution as a gather, like conv_gather.cl, from a private copy of the input with its zero halo: no tap asks
 * whether it is inside, the taps of a row are one run of memory, and the copy is where relu(scale*x + shift) is
 * applied.
 *
 * A work-item takes a group of lines of output, and for some blocks of channels all of them: so it can finish that
 * group's batch-norm statistics while its output is still in cache. The private copy is a CPU's stack; there is no form
 * for GPUs here, whose private memory is neither large nor fast. */

/* Output pixels of a work-item's tile: TX + 1 vectors and one more must fit a CPU's registers. */
#ifndef TX
#define TX 4
#endif
#include "conv_stage.clh"

/* Mean and sum of squared deviations of `rows` rows at y: bn_stats_plain's corrected two-pass algorithm, with the rows
 * dealt to two sums in turn, which hides the latency of an addition. */
INLINE void statistics(__global const float *y, const int rows, const int pitch, const int room,
                       __global float *mean_at, __global float *squares_at)
{
    floatv sum[2], deviations[2], squares[2];
#pragma unroll
    for (int k = 0; k < 2; k++) sum[k] = deviations[k] = squares[k] = (floatv)(0.0f);
    const int even = rows & ~1;
    for (int r = 0; r < even; r += 2)
#pragma unroll
        for (int k = 0; k < 2; k++) sum[k] += load_part(y + (size_t)(r + k) * pitch, room);
    if (even < rows) sum[0] += load_part(y + (size_t)even * pitch, room);
    const floatv mean = (sum[0] + sum[1]) / (float)rows;
    for (int r = 0; r < even; r += 2)
#pragma unroll
        for (int k = 0; k < 2; k++) {
            const floatv d = load_part(y + (size_t)(r + k) * pitch, room) - mean;
            deviations[k] += d;
            squares[k] += d * d;
        }
    if (even < rows) {
        const floatv d = load_part(y + (size_t)even * pitch, room) - mean;
        deviations[0] += d;
        squares[0] += d * d;
    }
    const floatv all = deviations[0] + deviations[1], error = all / (float)rows;
    store_part(mean + error, mean_at, room);
    store_part(squares[0] + squares[1] - all * error, squares_at, room);
}

/* acc += x * (weights of one input channel) */
#define STEP(lane)                                                                                     \
    {                                                                                                  \
        const floatv wv = LOADV(weights + (lane) * VW);                                                \
        _Pragma("unroll") for (int j = 0; j < TX; j++) acc[j] += from[j][c + (lane)] * wv;             \
    }

/* Lines of output are the images' q_h lines one after the other, `lines` of them, in groups of group_lines; of these at
 * most strip_lines are staged at a time, as rows of `cols` pixels. Weights are as conv_gather_pack leaves them, block
 * by block. Pixel q of the grid (q_step*q + q_y, ...) reads the taps_h x taps_w staged pixels from step*q on, with the
 * weights of tap t_first + i*t_row + k*t_col. saved_pitch and partial_pitch are 0 where the extra is not asked for. */
__kernel void conv_direct(__global const float *x, const ulong x_at, __global const float *packed,
                          const ulong packed_at, __global float *y, const ulong y_at, __global const float *saved,
                          const ulong saved_at, __global float *partial, const ulong partial_at, const int lines,
                          const int group_lines, const int strip_lines, const int blocks_each, const int in,
                          const int out, const int p_block, const int x_h, const int x_w, const int x_pitch,
                          const int skip, const int step, const int x_y, const int x_x, const int cols, const int y_h,
                          const int y_w, const int y_pitch, const int q_h, const int q_w, const int q_step,
                          const int q_y, const int q_x, const int taps_h, const int taps_w, const int t_first,
                          const int t_row, const int t_col, const int accumulate, const int saved_pitch,
                          const int partial_pitch)
{
    float staged[STAGED];
    const int group = (int)get_global_id(1), line_end = min((group + 1) * group_lines, lines);
    const int o_first = VW * blocks_each * (int)get_global_id(0), o_end = min(o_first + VW * blocks_each, out);
    /* Taps that are neighbours in both memories are gathered as one of as many channels. */
    const int runs = t_col == 1 ? 1 : taps_w, run = t_col == 1 ? taps_w * in : in;
    y += y_at;

    for (int line = group * group_lines, count; line < line_end; line += count) {
        const int image = line / q_h, top = line % q_h;
        count = min(min(strip_lines, line_end - line), q_h - top);
        stage(x + x_at + (long)image * x_h * x_w * x_pitch, staged, (count - 1) * step + taps_h, cols, in,
              skip * step * top + x_y, x_x, skip, x_h, x_w, x_pitch, saved + saved_at + 2 * saved_pitch, saved_pitch);
        for (int o = o_first; o < o_end; o += VW) {
            __global const float *block = packed + packed_at + in + (size_t)(o / VW) * p_block;
            const int room = out - o, pixels = count * q_w;
            int qx = 0, qy = 0;
            for (int first = 0; first < pixels; first += TX) {
                const float *at[TX]; /* where tap 0, 0 is staged */
                int to[TX];          /* the output pixel */
#pragma unroll
                for (int j = 0; j < TX; j++) {
                    at[j] = staged + step * (qy * cols + qx) * in;
                    to[j] = (image * y_h + q_step * (top + qy) + q_y) * y_w + q_step * qx + q_x;
                    if (first + j + 1 < pixels && ++qx == q_w) qx = 0, qy++; /* past the end the last one is repeated */
                }
                floatv acc[TX];
#pragma unroll
                for (int j = 0; j < TX; j++) acc[j] = (floatv)(0.0f);
                for (int i = 0; i < taps_h; i++)
                    for (int k = 0; k < runs; k++) {
                        __global const float *weights =
                            block + (size_t)(t_first + i * t_row + k * t_col) * in * VW;
                        const float *from[TX];
#pragma unroll
                        for (int j = 0; j < TX; j++) from[j] = at[j] + (i * cols + k) * in;
                        for (int c = 0; c < run; c += 4) {
                            STEP(0)
                            STEP(1)
                            STEP(2)
                            STEP(3)
                            weights += 4 * VW;
                        }
                    }
#pragma unroll
                for (int j = 0; j < TX; j++) {
                    __global float *p = y + (size_t)to[j] * y_pitch + o;
                    if (first + j >= pixels) continue;
                    if (accumulate) acc[j] += load_part(p, room);
                    store_part(acc[j], p, room);
                }
            }
        }
    }
    if (!partial_pitch) return;
    const int row = group * group_lines * q_w, rows = line_end * q_w - row;
    partial += partial_at + (size_t)group * 2 * partial_pitch;
    for (int o = o_first; o < o_end; o += VW)
        statistics(y + (size_t)row * y_pitch + o, rows, y_pitch, out - o, partial + o, partial + partial_pitch + o);
}
