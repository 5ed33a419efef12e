/* Sums of `group` rows of X [rows][4*quads] each, an item QUADS neighbouring quads of one sum. Eight rows are added up
 * as a tree before they meet the running sum: that is what keeps long sums accurate, and the adders busy. */
#include "walsh.clh"

#ifndef QUADS
#define QUADS 1 /* 4 on a CPU: a whole cache line */
#endif

__kernel void reduce_plain(__global const float *x, const ulong x_at, __global float *s, const ulong s_at, const int rows,
                           const int group, const int quads, const int x_pitch, const int s_pitch, const int accumulate)
{
    const int first = (int)get_global_id(0) * QUADS;
    const int row = (int)get_global_id(1) * group;
    if (first >= quads || row >= rows) return;
    const int count = min(group, rows - row);
    const size_t pitch = (size_t)x_pitch;
    __global const float *from = x + x_at + row * pitch;
    __global float *to = s + s_at + get_global_id(1) * s_pitch;
    float4 sum[QUADS];
    int at[QUADS];
#pragma unroll
    for (int q = 0; q < QUADS; q++) {
        sum[q] = (float4)(0.0f);
        at[q] = 4 * min(first + q, quads - 1); /* past the end: the last one again, not stored */
    }
    int r = 0;
    for (; r + 8 <= count; r += 8, from += 8 * pitch) {
#pragma unroll
        for (int q = 0; q < QUADS; q++) {
            __global const float *p = from + at[q];
            sum[q] += ((LOAD4(p) + LOAD4(p + pitch)) + (LOAD4(p + 2 * pitch) + LOAD4(p + 3 * pitch))) +
                      ((LOAD4(p + 4 * pitch) + LOAD4(p + 5 * pitch)) + (LOAD4(p + 6 * pitch) + LOAD4(p + 7 * pitch)));
        }
    }
    for (; r < count; r++, from += pitch) {
#pragma unroll
        for (int q = 0; q < QUADS; q++) sum[q] += LOAD4(from + at[q]);
    }
#pragma unroll
    for (int q = 0; q < QUADS; q++) {
        if (first + q >= quads) continue;
        if (accumulate) sum[q] += LOAD4(to + at[q]);
        STORE4(sum[q], to + at[q]);
    }
}
