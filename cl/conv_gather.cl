/* Convolution as a gather: each output pixel sums, over the filter's taps, an input pixel times that tap's weights.
 * conv_forward and conv_data are both of this form (engine/op/conv_gather.h); they differ in which pixels and taps.
 *
 * A work-item holds TX pixels x OV vectors of VW output channels in registers. Pixels are counted through all images,
 * so that no row length leaves lanes idle; a tap that falls outside the image reads from a block of zeros instead, so
 * that the inner loop has no condition. */

/* Output pixels of a work-item. (TX + 1) * OV vectors and one more must fit a CPU's registers. */
#ifndef TX
#define TX 4
#endif
/* Vectors of output channels of a work-item. */
#ifndef OV
#define OV 2
#endif
#include "conv.clh"

#define BLOCK (OV * VW)
/* A coordinate that stays outside of every image whatever tap is added. */
#define OUTSIDE (-(1 << 30))

/* Writes what conv_gather_plain and conv_direct read as `packed`: a zero pixel of `in` channels, padded, then the weights,
 * where output channel o of row r = tap*in + i goes to (o / block)*p_block + r*p_row + o % block, zeros for o >= out.
 * In W it lies at tap*w_tap + i*w_in + o*w_out. One work-item four output channels of one row. */
__kernel void conv_gather_pack(__global const float *w, const ulong w_at, __global float *packed, const ulong packed_at,
                               const int rows, const int in, const int out, const int w_tap, const int w_in,
                               const int w_out, const int block, const int p_block, const int p_row)
{
    const int r = (int)get_global_id(1), b = (int)get_global_id(2), in_block = 4 * (int)get_global_id(0);
    const int o = block * b + in_block;
    if (r >= rows) return;
    __global const float *from = w + w_at + (long)(r / in) * w_tap + (size_t)(r % in) * w_in + (size_t)o * w_out;
    float4 v = (float4)(0.0f);
    if (o < out) v = (float4)(from[0], from[w_out], from[2 * w_out], from[3 * w_out]);
    STORE4(v, packed + packed_at + PADDED(in) + (size_t)b * p_block + (size_t)r * p_row + in_block);
    if (o == 0 && 4 * r < in) STORE4((float4)(0.0f), packed + packed_at + 4 * r);
}

/* acc += x * (weights of one input channel); LANE is that channel of the four at c. */
#if VW == 4
#define X_DECLARE float4 v[TX]
#define X_FETCH(j, p) v[j] = LOAD4(p)
#define X_LANE(j, lane) v[j].s##lane
#else
/* Scalars from memory: a CPU broadcasts them as it loads. */
#define X_DECLARE
#define X_FETCH(j, p)
#define X_LANE(j, lane) from[j][c + lane]
#endif
#define STEP(lane)                                                                            \
    {                                                                                         \
        floatv wv[OV];                                                                        \
        _Pragma("unroll") for (int b = 0; b < OV; b++) wv[b] = LOADV(weights + b * VW);       \
        _Pragma("unroll") for (int j = 0; j < TX; j++)                                        \
            _Pragma("unroll") for (int b = 0; b < OV; b++) acc[j][b] = multiply_add(acc[j][b], X_LANE(j, lane), wv[b]); \
        weights += p_row;                                                                     \
    }

/* Output pixels are the q_h x q_w grid (q_step*qy + q_y, q_step*qx + q_x) of each of `images` images of y_h x y_w
 * pixels. Tap (i, k) of taps_h x taps_w reads the input pixel (x_step*qy + x_y + i, x_step*qx + x_x + k),
 * and its weights are those of tap t_first + i*t_row + k*t_col of `packed`. Channels (in, out) are padded ones. */
SUB_GROUP
__kernel void conv_gather_plain(__global const float *x, const ulong x_at, __global const float *packed,
                                const ulong packed_at, __global const float *bias, const ulong bias_at,
                                __global float *y, const ulong y_at, const int biased, const int images,
                                const int in, const int out, const int p_block, const int p_row,
                                const int x_h, const int x_w, const int x_pitch, const int x_step, const int x_y,
                                const int x_x, const int y_h, const int y_w, const int y_pitch, const int q_h,
                                const int q_w, const int q_step, const int q_y, const int q_x, const int taps_h,
                                const int taps_w, const int t_first, const int t_row,
                                const int t_col, const int accumulate)
{
    const int o = BLOCK * (int)get_global_id(0), first = TX * (int)get_global_id(1), count = images * q_h * q_w;
    if (o >= out || first >= count) return;
    x += x_at;
    __global const float *zeros = packed + packed_at;
    __global const float *block = zeros + in + (size_t)(o / BLOCK) * p_block;

    int iy[TX], ix[TX]; /* input pixel of tap 0, 0, and its place */
    long at[TX];
    int to[TX]; /* the output pixel */
    int qx = first % q_w, qy = first / q_w % q_h, image = first / q_w / q_h;
#pragma unroll
    for (int j = 0; j < TX; j++) {
        iy[j] = x_step * qy + x_y;
        ix[j] = x_step * qx + x_x;
        at[j] = ((long)(image * x_h + iy[j]) * x_w + ix[j]) * x_pitch;
        to[j] = (image * y_h + q_step * qy + q_y) * y_w + q_step * qx + q_x;
        if (first + j + 1 < count && ++qx == q_w) { /* past the last pixel, the last one is repeated */
            qx = 0;
            if (++qy == q_h) qy = 0, image++;
        }
    }

    sum acc[TX][OV];
#pragma unroll
    for (int j = 0; j < TX; j++)
#pragma unroll
        for (int b = 0; b < OV; b++)
            {
            const floatv start = biased ? load_part(bias + bias_at + o + b * VW, out - o - b * VW) : (floatv)(0.0f);
            acc[j][b] = SUM(start);
        }

    for (int i = 0; i < taps_h; i++) {
        int left[TX];
#pragma unroll
        for (int j = 0; j < TX; j++) left[j] = (uint)(iy[j] + i) < (uint)x_h ? ix[j] : OUTSIDE;
        for (int k = 0; k < taps_w; k++) {
            const long shift = (long)(i * x_w + k) * x_pitch;
            __global const float *weights = block + (size_t)(t_first + i * t_row + k * t_col) * in * p_row;
            __global const float *from[TX];
#pragma unroll
            for (int j = 0; j < TX; j++) from[j] = (uint)(left[j] + k) < (uint)x_w ? x + at[j] + shift : zeros;
            int c = 0;
            do {
                X_DECLARE;
#pragma unroll
                for (int j = 0; j < TX; j++) {
                    X_FETCH(j, from[j] + c);
                }
                STEP(0)
                STEP(1)
                STEP(2)
                STEP(3)
                c += 4;
            } while (c < in);
        }
    }

#pragma unroll
    for (int j = 0; j < TX; j++)
#pragma unroll
        for (int b = 0; b < OV; b++) {
            const int room = out - o - b * VW;
            __global float *p = y + y_at + (size_t)to[j] * y_pitch + o + b * VW;
            if (first + j >= count || room <= 0) continue;
            floatv v = VECTOR(acc[j][b]);
            if (accumulate) v += load_part(p, room);
            store_part(v, p, room);
        }
}
