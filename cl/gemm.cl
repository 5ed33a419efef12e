/* Matrix product C [m][n] = op(A) op(B) + extras, after Goto and van de Geijn ("Anatomy of high-performance matrix
 * multiplication", 2008): k in blocks that keep a panel of B in the first-level cache, register tiles inside.
 *
 * gemm_packed: CPUs. A work-group is one item, which packs panels of A and B and computes tile_m x tile_n of C.
 * gemm_plain: everywhere. A work-group of 16x16 items stages 128x16 of A and 16x64 of B in local memory, an item 8x4.
 * gemm_start: beside CLBlast.
 *
 * Every sum over k has one order whatever the tiles, so that the numbers do not depend on how the work is shared. */
#include "walsh.clh"
#include "sum.clh"

#ifndef TA
#define TA 0 /* A is stored [k][m] */
#endif
#ifndef TB
#define TB 0 /* B is stored [n][k] */
#endif

/* Four lanes of the result for columns from `column` on: beyond n they are pad lanes, zero whatever came out. */
INLINE float4 only_columns(const float4 v, const int column, const int n)
{
    return select((float4)(0.0f), v, (int4)(column, column + 1, column + 2, column + 3) < n);
}

/* Columns of a group's tile, and rows of each of its two halves; its step in k; and a line of it in local memory. */
enum { SIDE = 64, HALVES = 2, DEPTH = 16, STRIDE = SIDE + 4 };

/* Stages k0.. and x0.. of a matrix stored [k][x], or [x][k] where `along`, as [DEPTH][STRIDE]: a quad an item. What
 * lies outside is 0. */
INLINE void stage(__local float *to, __global const float *from, const size_t pitch, const int along, const int x0,
                  const int x_count, const int k0, const int k_count)
{
    const int item = (int)(get_local_id(1) * 16 + get_local_id(0));
    const int x = along ? item / 4 : item % 16 * 4;
    const int k = along ? item % 4 * 4 : item / 16;
    float4 v = (float4)(0.0f);
    if (x0 + x < x_count && k0 + k < k_count)
        v = LOAD4(from + (along ? (x0 + x) * pitch + k0 + k : (k0 + k) * pitch + x0 + x));
    if (along) {
        to[k * STRIDE + x] = v.x;
        to[(k + 1) * STRIDE + x] = v.y;
        to[(k + 2) * STRIDE + x] = v.z;
        to[(k + 3) * STRIDE + x] = v.w;
    } else {
        *(__local float4 *)(to + k * STRIDE + x) = v;
    }
}

__kernel void gemm_plain(__global const float *a, const ulong a_at, __global const float *b, const ulong b_at,
                         __global const float *bias, const ulong bias_at, __global float *c, const ulong c_at,
                         const int m, const int n, const int k, const int a_pitch, const int b_pitch, const int c_pitch,
                         const int accumulate)
{
    __local float tile_a[HALVES * DEPTH * STRIDE] __attribute__((aligned(16)));
    __local float tile_b[DEPTH * STRIDE] __attribute__((aligned(16)));
    const int x = 4 * (int)get_local_id(0), y = 4 * (int)get_local_id(1);
    const int row = (int)get_group_id(1) * HALVES * SIDE, column = (int)get_group_id(0) * SIDE;
    sum acc[HALVES][4];
#pragma unroll
    for (int h = 0; h < HALVES; h++)
#pragma unroll
        for (int i = 0; i < 4; i++) acc[h][i] = SUM((float4)(0.0f));
    int k0 = 0;
    do {
#pragma unroll
        for (int h = 0; h < HALVES; h++)
            stage(tile_a + h * DEPTH * STRIDE, a + a_at, a_pitch, !TA, row + h * SIDE, m, k0, k);
        stage(tile_b, b + b_at, b_pitch, TB, column, n, k0, k);
        barrier(CLK_LOCAL_MEM_FENCE);
#pragma unroll
        for (int p = 0; p < DEPTH; p++) {
            const float4 vb = *(__local const float4 *)(tile_b + p * STRIDE + x);
#pragma unroll
            for (int h = 0; h < HALVES; h++) {
                const float4 va = *(__local const float4 *)(tile_a + (h * DEPTH + p) * STRIDE + y);
                acc[h][0] = multiply_add(acc[h][0], va.x, vb);
                acc[h][1] = multiply_add(acc[h][1], va.y, vb);
                acc[h][2] = multiply_add(acc[h][2], va.z, vb);
                acc[h][3] = multiply_add(acc[h][3], va.w, vb);
            }
        }
        barrier(CLK_LOCAL_MEM_FENCE);
    } while ((k0 += DEPTH) < k);
    if (column + x >= n) return;
#pragma unroll
    for (int h = 0; h < HALVES; h++)
#pragma unroll
        for (int i = 0; i < 4; i++) {
            const int at = row + h * SIDE + y + i;
            if (at >= m) continue;
            __global float *to = c + c_at + at * (size_t)c_pitch + column + x;
            float4 v = VECTOR(acc[h][i]);
            if (bias) v += LOAD4(bias + bias_at + column + x);
            v = only_columns(v, column + x, n);
            if (accumulate) v += LOAD4(to);
            STORE4(v, to);
        }
}

/* What a library's product leaves to do, before it is added up: C = BIAS or 0 (or C += BIAS), pad lanes zero. */
__kernel void gemm_start(__global const float *bias, const ulong bias_at, __global float *c, const ulong c_at,
                         const int m, const int quads, const int c_pitch, const int accumulate)
{
    const int quad = (int)get_global_id(0);
    const size_t row = get_global_id(1);
    if (quad >= quads || row >= (size_t)m) return;
    __global float *to = c + c_at + row * c_pitch + 4 * quad;
    float4 v = bias ? LOAD4(bias + bias_at + 4 * quad) : (float4)(0.0f);
    if (accumulate) v += LOAD4(to);
    STORE4(v, to);
}
