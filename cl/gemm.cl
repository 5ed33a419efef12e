/* Matrix product C [m][n] = op(A) op(B) + extras, after Goto and van de Geijn ("Anatomy of high-performance matrix
 * multiplication", 2008): k in blocks that keep a panel of B in the first-level cache, register tiles inside.
 *
 * gemm_packed: CPUs. A work-group is one item, which packs panels of A and B and computes tile_m x tile_n of C.
 * gemm_plain: everywhere. A work-group of 16x16 items stages 64x16 of A and 16x64 of B in local memory, an item 4x4.
 * gemm_start: beside CLBlast.
 *
 * Every sum over k has one order whatever the tiles, so that the numbers do not depend on how the work is shared. */
#define VW 8
#include "walsh.clh"

#ifndef PACKED
#define PACKED 0 /* 1: gemm_packed; 0: the others */
#endif
/* Arguments of gemm_packed, which is slow to compile; macros for gemm_plain. */
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

#if PACKED
/* OpenCL's own prefetch() does nothing in POCL. */
#if defined(__has_builtin)
#if __has_builtin(__builtin_prefetch)
#define PREFETCH(p) __builtin_prefetch((const void *)(size_t)(p))
#endif
#endif
#ifndef PREFETCH
#define PREFETCH(p)
#endif

#ifndef KC
#define KC 256 /* the largest block of k */
#endif
#ifndef MC
#define MC 240 /* the largest tile_m */
#endif
enum { MR = 6, NR = 16 }; /* register tile: 12 vectors of sums, 2 of B and 1 of A are AVX2's 16 registers */

/* Rows x0.. of a matrix [x][k], transposed in squares of 4x4 into panel [count][width]; those past the end are copies
 * of the last. k is rounded up to fours. Where width is not a multiple of 4, the last squares spill into the next line
 * (and past the panel by 2), which the squares after them put right: hence from last to first. */
INLINE void pack_transposed(__local float *panel, const int width, __global const float *from, const size_t pitch,
                            const int count, const int x0, const int end)
{
#pragma unroll
    for (int q = (width - 1) / 4 * 4; q >= 0; q -= 4) {
        __global const float *r0 = from + min(x0 + q, end - 1) * pitch;
        __global const float *r1 = from + min(x0 + q + 1, end - 1) * pitch;
        __global const float *r2 = from + min(x0 + q + 2, end - 1) * pitch;
        __global const float *r3 = from + min(x0 + q + 3, end - 1) * pitch;
        for (int k = 0; k < count; k += 4) {
            const float4 v0 = LOAD4(r0 + k), v1 = LOAD4(r1 + k), v2 = LOAD4(r2 + k), v3 = LOAD4(r3 + k);
            __local float *to = panel + k * width + q;
            vstore4((float4)(v0.x, v1.x, v2.x, v3.x), 0, to);
            vstore4((float4)(v0.y, v1.y, v2.y, v3.y), 0, to + width);
            vstore4((float4)(v0.z, v1.z, v2.z, v3.z), 0, to + 2 * width);
            vstore4((float4)(v0.w, v1.w, v2.w, v3.w), 0, to + 3 * width);
        }
    }
}

/* Columns `column`.. of B [k][n] into panel [count][NR]. Fours of columns past the end of C are copies of its last. */
INLINE void pack_b(__local float *panel, __global const float *b, const size_t pitch, const int count, const int column,
                   const int n)
{
    if (column + NR <= n) {
        for (int k = 0; k < count; k++, panel += NR, b += pitch) {
            vstore8(vload8(0, b + column), 0, panel);
            vstore8(vload8(1, b + column), 1, panel);
        }
        return;
    }
    const int last = (n - 1) & ~3;
    for (int k = 0; k < count; k++, panel += NR, b += pitch)
        for (int q = 0; q < NR; q += 4) vstore4(LOAD4(b + min(column + q, last)), 0, panel + q);
}

/* Columns `row`.. of A [k][m] into panel [count][MR]; those past the end are copies of the last. */
INLINE void pack_a(__local float *panel, __global const float *a, const size_t pitch, const int count, const int row,
                   const int m)
{
    int at[MR];
#pragma unroll
    for (int i = 0; i < MR; i++) at[i] = min(row + i, m - 1);
    for (int k = 0; k < count; k++, panel += MR, a += pitch) {
#pragma unroll
        for (int i = 0; i < MR; i++) panel[i] = a[at[i]];
    }
}

/* Writes the sums of a register tile: first says that it is the first block of k, which brings in what is fused. */
INLINE void store_tile(float8 sum[MR][2], __global float *c, const size_t pitch, __global const float *bias,
                       const int accumulate, const int first, const int row, const int m, const int column, const int n)
{
    const int rows = min(MR, m - row);
    if (first && bias) bias += column;
    c += row * pitch + column;
    if (column + NR <= n) {
        const float8 b0 = first && bias ? vload8(0, bias) : (float8)(0.0f);
        const float8 b1 = first && bias ? vload8(1, bias) : (float8)(0.0f);
#pragma unroll
        for (int i = 0; i < MR; i++) {
            if (i >= rows) continue;
            float8 v0 = sum[i][0] + b0, v1 = sum[i][1] + b1;
            if (accumulate || !first) v0 += vload8(0, c + i * pitch), v1 += vload8(1, c + i * pitch);
            vstore8(v0, 0, c + i * pitch);
            vstore8(v1, 1, c + i * pitch);
        }
        return;
    }
#pragma unroll
    for (int i = 0; i < MR; i++) {
        const float4 quad[4] = {sum[i][0].lo, sum[i][0].hi, sum[i][1].lo, sum[i][1].hi};
        if (i >= rows) continue;
#pragma unroll
        for (int q = 0; q < 4; q++) {
            if (column + 4 * q >= n) continue;
            float4 v = quad[q];
            if (first && bias) v += LOAD4(bias + 4 * q);
            v = only_columns(v, column + 4 * q, n);
            if (accumulate || !first) v += LOAD4(c + i * pitch + 4 * q);
            STORE4(v, c + i * pitch + 4 * q);
        }
    }
}

INLINE void multiply(float8 sum[MR][2], __local const float *panel_a, __local const float *panel_b, const int count)
{
#pragma unroll
    for (int i = 0; i < MR; i++) sum[i][0] = sum[i][1] = (float8)(0.0f);
    for (int p = 0; p < count; p++) {
        const float8 b0 = vload8(2 * p, panel_b), b1 = vload8(2 * p + 1, panel_b);
#pragma unroll
        for (int i = 0; i < MR; i++) {
            const float8 one = (float8)(panel_a[p * MR + i]);
            sum[i][0] += one * b0;
            sum[i][1] += one * b1;
        }
    }
}

/* Brings near what comes next: this tile's rows of C, and a share of the rows of the next panel of B, which lie too far
 * apart for the hardware to guess. */
INLINE void look_ahead(__global const float *c, const size_t c_pitch, const int rows, __global const float *b,
                       const size_t b_pitch, const int first, const int end)
{
#pragma unroll
    for (int i = 0; i < MR; i++) PREFETCH(c + min(i, rows - 1) * c_pitch);
    for (int p = first; p < end; p++) PREFETCH(b + p * b_pitch);
}

__kernel void gemm_packed(__global const float *a, const ulong a_at, __global const float *b, const ulong b_at,
                          __global const float *bias, const ulong bias_at, __global float *c, const ulong c_at,
                          const int m, const int n, const int k, const int a_pitch, const int b_pitch,
                          const int c_pitch, const int accumulate, const int ta, const int tb, const int tile_m,
                          const int tile_n, const int block_k)
{
    const int row0 = (int)get_group_id(1) * tile_m, row1 = min(row0 + tile_m, m);
    const int column0 = (int)get_group_id(0) * tile_n, column1 = min(column0 + tile_n, n);
    __local float panel_b[KC * NR] __attribute__((aligned(64)));
    __local float panels_a[MC * KC + 2] __attribute__((aligned(64)));
    if (bias) bias += bias_at;
    c += c_at;
    for (int k0 = 0; k0 < k; k0 += block_k) {
        const int count = min(block_k, k - k0), share = (count * MR) / (row1 - row0) + 1;
        const int stride = (count + 3) & ~3; /* of the panels of A, a row */
        __global const float *block_a = a + a_at + (ta ? k0 * (size_t)a_pitch : (size_t)k0);
        __global const float *block_b = b + b_at + (tb ? (size_t)k0 : k0 * (size_t)b_pitch);
        for (int row = row0; row < row1; row += MR) {
            __local float *panel_a = panels_a + (row - row0) * stride;
            if (ta) pack_a(panel_a, block_a, a_pitch, count, row, m);
            else pack_transposed(panel_a, MR, block_a, a_pitch, count, row, m);
        }
        for (int column = column0; column < column1; column += NR) {
            if (tb) pack_transposed(panel_b, NR, block_b, b_pitch, count, column, n);
            else pack_b(panel_b, block_b, b_pitch, count, column, n);
            for (int row = row0, ahead = 0; row < row1; row += MR, ahead += share) {
                float8 sum[MR][2];
                look_ahead(c + row * (size_t)c_pitch + column, c_pitch, row1 - row, block_b + min(column + NR, n - 1),
                           b_pitch, ahead, tb ? ahead : min(ahead + share, count));
                multiply(sum, panels_a + (row - row0) * stride, panel_b, count);
                store_tile(sum, c, c_pitch, bias, accumulate, k0 == 0, row, m, column, n);
            }
        }
    }
}

#else
enum { SIDE = 64, DEPTH = 16, STRIDE = SIDE + 4 }; /* a group's tile, its step in k, and a row of it in local memory */

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
    __local float tile_a[DEPTH * STRIDE] __attribute__((aligned(16)));
    __local float tile_b[DEPTH * STRIDE] __attribute__((aligned(16)));
    const int x = 4 * (int)get_local_id(0), y = 4 * (int)get_local_id(1);
    const int row = (int)get_group_id(1) * SIDE, column = (int)get_group_id(0) * SIDE;
    float4 sum[4] = {(float4)(0.0f), (float4)(0.0f), (float4)(0.0f), (float4)(0.0f)};
    for (int k0 = 0; k0 < k; k0 += DEPTH) {
        stage(tile_a, a + a_at, a_pitch, !TA, row, m, k0, k);
        stage(tile_b, b + b_at, b_pitch, TB, column, n, k0, k);
        barrier(CLK_LOCAL_MEM_FENCE);
#pragma unroll
        for (int p = 0; p < DEPTH; p++) {
            const float4 va = *(__local const float4 *)(tile_a + p * STRIDE + y);
            const float4 vb = *(__local const float4 *)(tile_b + p * STRIDE + x);
            sum[0] += va.x * vb;
            sum[1] += va.y * vb;
            sum[2] += va.z * vb;
            sum[3] += va.w * vb;
        }
        barrier(CLK_LOCAL_MEM_FENCE);
    }
    if (column + x >= n) return;
#pragma unroll
    for (int i = 0; i < 4; i++) {
        if (row + y + i >= m) continue;
        __global float *to = c + c_at + (row + y + i) * (size_t)c_pitch + column + x;
        float4 v = sum[i];
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
#endif
