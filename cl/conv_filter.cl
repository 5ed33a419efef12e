/* Gradient of a convolution's weights in two stages. The rows of dY are cut into groups, by the problem's sizes alone;
 * conv_filter_plain sums X * dY over the rows of one group, conv_filter_reduce adds up the groups in order. */
/* Vectors of a work-item of the reduction: a CPU reads 1 KiB of each group in one go, a GPU's work-items stand side by
 * side. */
#ifndef RUN
#define RUN 1
#endif
#include "conv.clh"

/* Vectors of output channels of a work-item: (4 + 1) * OV and one more must fit a CPU's registers, and 4 * OV sums
 * should hide the latency of a multiply-add. */
#ifndef OV
#define OV 1
#endif
#define BLOCK (OV * VW)

/* acc[lane] += value * d */
#define STEP(lane, value) _Pragma("unroll") for (int b = 0; b < OV; b++) acc[lane][b] += (value) * d[b];

/* partial[group][tap][ic][blocks*BLOCK], a work-item one tap, `span` input channels and BLOCK output channels of one
 * group; tiles of four input channels at a time in registers. Rows are taken `depth` at a time through all of the span,
 * so that they stay in the cache: this does not change the order in which an element is summed. */
__kernel void conv_filter_plain(__global const float *x, const ulong x_at, __global const float *dy, const ulong dy_at,
                                __global float *partial, const ulong partial_at, const int rows, const int group_rows,
                                const int depth, const int ic, const int oc, const int span, const int h, const int w,
                                const int x_pitch, const int oh, const int ow, const int dy_pitch, const int kh,
                                const int kw, const int stride, const int pad)
{
    const int blocks = (oc + BLOCK - 1) / BLOCK, spans = (ic + span - 1) / span;
    const int block = (int)get_global_id(0), part = (int)get_global_id(1), group = (int)get_global_id(2);
    if (block >= blocks || part >= kh * kw * spans || group * group_rows >= rows) return;
    const int tap = part / spans, ky = tap / kw, kx = tap % kw;
    const int c_first = part % spans * span, c_end = min(c_first + span, ic), room = oc - BLOCK * block;
    const int row_first = group * group_rows, row_end = min(row_first + group_rows, rows);
    /* Output pixels of a row whose tap lies within the image. */
    const int ox_first = max(0, (pad - kx + stride - 1) / stride);
    const int ox_end = w - 1 + pad - kx < 0 ? 0 : min(ow, (w - 1 + pad - kx) / stride + 1);

    for (int r0 = row_first; r0 < row_end; r0 += depth) {
        const int r1 = min(r0 + depth, row_end);
        for (int c = c_first; c < c_end; c += 4) {
            __global float *sum = partial + partial_at +
                                  (((size_t)group * kh * kw + tap) * ic + c) * (size_t)(blocks * BLOCK) + BLOCK * block;
            floatv acc[4][OV];
#pragma unroll
            for (int i = 0; i < 4; i++)
#pragma unroll
                for (int b = 0; b < OV; b++)
                    acc[i][b] = r0 > row_first ? LOADV(sum + i * blocks * BLOCK + b * VW) : (floatv)(0.0f);
            int image = r0 / oh, oy = r0 % oh;
            for (int r = r0; r < r1; r++) {
                const int iy = oy * stride - pad + ky;
                if ((uint)iy < (uint)h) {
                    __global const float *xp =
                        x + x_at + ((long)(image * h + iy) * w + ox_first * stride - pad + kx) * x_pitch + c;
                    __global const float *dp = dy + dy_at + ((long)r * ow + ox_first) * dy_pitch + BLOCK * block;
#pragma unroll 2
                    for (int ox = ox_first; ox < ox_end; ox++) {
                        floatv d[OV];
#pragma unroll
                        for (int b = 0; b < OV; b++) d[b] = load_part(dp + b * VW, room - b * VW);
#if VW == 4
                        const float4 v = LOAD4(xp);
                        STEP(0, v.s0) STEP(1, v.s1) STEP(2, v.s2) STEP(3, v.s3)
#else /* scalars from memory: a CPU broadcasts them as it loads */
                        STEP(0, xp[0]) STEP(1, xp[1]) STEP(2, xp[2]) STEP(3, xp[3])
#endif
                        xp += stride * x_pitch;
                        dp += dy_pitch;
                    }
                }
                if (++oy == oh) oy = 0, image++;
            }
#pragma unroll
            for (int i = 0; i < 4; i++)
#pragma unroll
                for (int b = 0; b < OV; b++) STOREV(acc[i][b], sum + i * blocks * BLOCK + b * VW);
        }
    }
}

/* dW = sum over the groups; a work-item RUN vectors of VW output channels that lie one after the other: rows (tap, ic)
 * of `width` channels, whole blocks of them, of which oc are kept. */
__kernel void conv_filter_reduce(__global const float *partial, const ulong partial_at, __global float *dw,
                                 const ulong dw_at, const int groups, const int rows, const int oc, const int dw_pitch)
{
    const int each = (oc + BLOCK - 1) / BLOCK * OV, vectors = rows * each; /* of a row, and of a group */
    const int first = RUN * (int)get_global_id(0), count = min(RUN, vectors - first);
    __global const float *p = partial + partial_at + (size_t)first * VW;
    floatv sum[RUN];
    for (int v = 0; v < count; v++) sum[v] = LOADV(p + v * VW);
    for (int g = 1; g < groups; g++) {
        p += (size_t)vectors * VW;
        for (int v = 0; v < count; v++) sum[v] += LOADV(p + v * VW);
    }
    for (int v = 0; v < count; v++) {
        const int row = (first + v) / each, o = VW * (first + v - row * each);
        if (o < oc) store_part(sum[v], dw + dw_at + (size_t)row * dw_pitch + o, oc - o);
    }
}
