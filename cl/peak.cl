/* What a device can do at most: chains of fused multiply-adds that stay in registers, and streams through memory. */
#include "walsh.clh"

/* Independent chains: enough to hide the latency of a multiply-add, few enough to stay in registers. */
#ifndef CHAINS
#define CHAINS 8
#endif
/* Work-items of a work-group. */
#ifndef GROUP
#define GROUP 1
#endif
/* Floats that a work-group streams. */
#define BLOCK 16384
#define VECTORS (BLOCK / VW) /* a multiple of 4*GROUP */

INLINE float sum4(float4 v)
{
    return (v.x + v.y) + (v.z + v.w);
}

INLINE float sum_lanes(floatv v)
{
#if VW == 4
    return sum4(v);
#elif VW == 8
    return sum4(v.lo + v.hi);
#else
    float4 part[4];
    AT(__private, unalignedv, part) = v;
    return sum4(part[0] + part[1] + part[2] + part[3]);
#endif
}

/* v = factor*v + term, `rounds` times in each element of each chain; y: the elements' mean. The start comes from memory,
 * so that no compiler can tell that chains are alike. */
__kernel void peak_fma(__global const float *start, const ulong start_at, __global const float *line,
                       const ulong line_at, __global float *y, const ulong y_at, const int rounds)
{
    const float factor = line[line_at], term = line[line_at + 1];
    floatv chain[CHAINS], sum = 0.0f;
#pragma unroll
    for (int i = 0; i < CHAINS; i++) chain[i] = LOADV(start + start_at + VW * i);
    for (int r = 0; r < rounds; r++) {
#pragma unroll
        for (int i = 0; i < CHAINS; i++) chain[i] = factor * chain[i] + term;
    }
#pragma unroll
    for (int i = 0; i < CHAINS; i++) sum += chain[i];
    y[y_at + get_global_id(0)] = sum_lanes(sum) / (float)(CHAINS * VW);
}

/* y: the sum of each block. */
__kernel void peak_read(__global const float *x, const ulong x_at, __global float *y, const ulong y_at)
{
    __local float scratch[GROUP];
    const int item = (int)get_local_id(0);
    __global const float *from = x + x_at + get_group_id(0) * (size_t)BLOCK;
    floatv a = 0.0f, b = 0.0f, c = 0.0f, d = 0.0f;
    for (int v = item; v < VECTORS; v += 4 * GROUP) {
        a += LOADV(from + VW * v);
        b += LOADV(from + VW * (v + GROUP));
        c += LOADV(from + VW * (v + 2 * GROUP));
        d += LOADV(from + VW * (v + 3 * GROUP));
    }
    scratch[item] = sum_lanes((a + b) + (c + d));
    barrier(CLK_LOCAL_MEM_FENCE);
    if (item != 0) return;
    float sum = 0.0f;
    for (int i = 0; i < GROUP; i++) sum += scratch[i];
    y[y_at + get_group_id(0)] = sum;
}

__kernel void peak_copy(__global const float *x, const ulong x_at, __global float *y, const ulong y_at)
{
    const size_t block = get_group_id(0) * (size_t)BLOCK;
    __global const float *from = x + x_at + block;
    __global float *to = y + y_at + block;
    for (int v = (int)get_local_id(0); v < VECTORS; v += GROUP) {
        const floatv value = LOADV(from + VW * v);
        STOREV(value, to + VW * v);
    }
}

/* y = x + z/2. */
__kernel void peak_triad(__global const float *x, const ulong x_at, __global const float *z, const ulong z_at,
                         __global float *y, const ulong y_at)
{
    const size_t block = get_group_id(0) * (size_t)BLOCK;
    __global const float *from = x + x_at + block, *other = z + z_at + block;
    __global float *to = y + y_at + block;
    for (int v = (int)get_local_id(0); v < VECTORS; v += GROUP) {
        const floatv value = LOADV(from + VW * v) + 0.5f * LOADV(other + VW * v);
        STOREV(value, to + VW * v);
    }
}
