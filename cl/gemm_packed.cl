/* Matrix product C [m][n] = op(A) op(B) + extras on CPUs, after Goto and van de Geijn ("Anatomy of high-performance
 * matrix multiplication", 2008): k in blocks that keep a panel of B in the first-level cache and a block of A in the
 * second, register tiles inside. Both operands are packed into panels: MR rows of A, NR columns of B, a line for each k.
 *
 * gemm_panels packs all of B, for gemm_packed with SHARED to read; without it, a work-group packs each panel of B when
 * it comes to it, which is as good where few groups read the same. A work-group of gemm_packed, one item, packs its own
 * rows of A and computes tile_m x tile_n of C.
 *
 * Every sum over k has one order whatever the tiles, so that the numbers do not depend on how the work is shared. */
#ifndef VW
#define VW 8
#endif
#define PREFETCH 1 /* for CPUs only */
#include "walsh.clh"

#ifndef SHARED
#define SHARED 0
#endif
#ifndef MR
#define MR 6 /* rows of a register tile: 12 vectors of sums, 2 of B and 1 of A are AVX2's 16 registers */
#endif
#define NR (2 * VW)
#ifndef KC
#define KC 256 /* the largest block of k */
#endif
#ifndef MC
#define MC 240 /* the largest tile_m, a multiple of MR */
#endif
/* Floats from a panel of A to the next: a gap, for what packing spills and so that panels differ in the sets of caches
 * that they use. */
#define PANEL_A (KC * MR + 16)

/* Lines of a panel for `count` of k. */
#define LINES(count) (((count) + 3) & ~3)

#if SHARED
#define PANEL_B __global const
#else
#define PANEL_B __local const
#endif
#define PANEL(p) AT(__local, unalignedv, p)
#define STORE_PANEL(v, p) (AT(__local, unaligned8, p) = (v))

/* The lanes of two vectors in turns: of the lower and of the upper half of each four. */
#define LOWER(a, b) (float8)(a.s0, b.s0, a.s1, b.s1, a.s4, b.s4, a.s5, b.s5)
#define UPPER(a, b) (float8)(a.s2, b.s2, a.s3, b.s3, a.s6, b.s6, a.s7, b.s7)

/* Two quads, and two vectors' first or second pair of each four, one after the other: assigned, since a literal of
 * vectors is what Oclgrind's check fails on (engine/device/quirks.h). */
INLINE float8 both(const float4 a, const float4 b)
{
    float8 v;
    v.lo = a, v.hi = b;
    return v;
}
INLINE float8 first_pairs(const float8 a, const float8 b)
{
    float8 v;
    v.s0145 = a.s0145, v.s2367 = b.s0145;
    return v;
}
INLINE float8 second_pairs(const float8 a, const float8 b)
{
    float8 v;
    v.s0145 = a.s2367, v.s2367 = b.s2367;
    return v;
}

/* Rows x0.. of a matrix [x][k] into a panel [count][width]; those past the end are copies of the last, and k is rounded
 * up to fours: eight rows of four are transposed at once. Where width is not a multiple of 8, each last eight spill
 * into the next line, which what follows puts right (hence from last to first), and past the panel. */
INLINE void pack_transposed(__local float *panel, const int width, __global const float *from, const size_t pitch,
                            const int count, const int x0, const int end)
{
    const int last = min(x0 + width, end) - 1;
#pragma unroll
    for (int q = (width - 1) / 8 * 8; q >= 0; q -= 8) {
        __global const float *row[8];
#pragma unroll
        for (int i = 0; i < 8; i++) row[i] = from + min(x0 + q + i, last) * pitch;
        for (int k = 0; k < count; k += 4) {
            const float8 r04 = both(LOAD4(row[0] + k), LOAD4(row[4] + k));
            const float8 r15 = both(LOAD4(row[1] + k), LOAD4(row[5] + k));
            const float8 r26 = both(LOAD4(row[2] + k), LOAD4(row[6] + k));
            const float8 r37 = both(LOAD4(row[3] + k), LOAD4(row[7] + k));
            const float8 a = LOWER(r04, r15), b = UPPER(r04, r15), c = LOWER(r26, r37), d = UPPER(r26, r37);
            __local float *to = panel + k * width + q;
            STORE_PANEL(first_pairs(a, c), to);
            STORE_PANEL(second_pairs(a, c), to + width);
            STORE_PANEL(first_pairs(b, d), to + 2 * width);
            STORE_PANEL(second_pairs(b, d), to + 3 * width);
        }
    }
}

/* Rows row0.. of A [m][k] into panels. */
INLINE void pack_rows(__local float *panel, __global const float *a, const size_t pitch, const int count,
                      const int row0, const int row1, const int m)
{
    for (int row = row0; row < row1; row += MR, panel += PANEL_A)
        pack_transposed(panel, MR, a, pitch, count, row, m);
}

/* `side` panels of columns of A [k][m], side by side: neighbours share lines of the cache. Lines spill as above. */
INLINE void pack_side(__local float *panel, const int side, __global const float *a, const size_t pitch,
                      const int count)
{
    for (int k = 0; k < count; k++)
#pragma unroll
        for (int j = 0; j < side; j++) PANEL(panel + j * PANEL_A + k * MR) = LOADV(a + k * pitch + j * MR);
}

/* Columns row0.. of A [k][m] into panels; those past the end are copies of the last. */
INLINE void pack_columns(__local float *panel, __global const float *a, const size_t pitch, const int count,
                         const int row0, const int row1, const int m)
{
    enum { SIDE = 8 };
    int row = row0;
    for (; row + MR * SIDE <= row1 && row + MR * (SIDE - 1) + VW <= m; row += MR * SIDE, panel += PANEL_A * SIDE)
        pack_side(panel, SIDE, a + row, pitch, count);
    for (; row < row1 && row + VW <= m; row += MR, panel += PANEL_A) pack_side(panel, 1, a + row, pitch, count);
    for (; row < row1; row += MR, panel += PANEL_A)
        for (int k = 0; k < count; k++)
#pragma unroll
            for (int i = 0; i < MR; i++) panel[k * MR + i] = a[k * pitch + min(row + i, m - 1)];
}

/* Columns `column`.. of B [k][n] into a panel [count][NR]. Fours of columns past the end are copies of the last. */
INLINE void pack_b(__local float *panel, __global const float *b, const size_t pitch, const int count, const int column,
                   const int n)
{
    if (column + NR <= n) {
        for (int k = 0; k < count; k++) {
            PANEL(panel + k * NR) = LOADV(b + k * pitch + column);
            PANEL(panel + k * NR + VW) = LOADV(b + k * pitch + column + VW);
        }
        return;
    }
    for (int k = 0; k < count; k++)
        for (int q = 0; q < NR; q += 4)
            vstore4(LOAD4(b + k * pitch + min(column + q, (n - 1) & ~3)), 0, panel + k * NR + q);
}

/* Adds up a register tile, and what is fused: `bias` and `add` apply to this block of k. Columns beyond n are pad
 * lanes, zero whatever came out. */
INLINE void store_tile(floatv sum[MR][2], __global float *c, const size_t pitch, __global const float *bias,
                       const int add, const int rows, const int columns)
{
    if (rows >= MR && columns >= NR) {
        if (bias) {
            const floatv b0 = LOADV(bias), b1 = LOADV(bias + VW);
#pragma unroll
            for (int i = 0; i < MR; i++) sum[i][0] += b0, sum[i][1] += b1;
        }
        if (add)
#pragma unroll
            for (int i = 0; i < MR; i++) sum[i][0] += LOADV(c + i * pitch), sum[i][1] += LOADV(c + i * pitch + VW);
#pragma unroll
        for (int i = 0; i < MR; i++) {
            STOREV(sum[i][0], c + i * pitch);
            STOREV(sum[i][1], c + i * pitch + VW);
        }
        return;
    }
    float edge[MR * NR];
#pragma unroll
    for (int i = 0; i < MR; i++) {
        AT(__private, unalignedv, edge + i * NR) = sum[i][0];
        AT(__private, unalignedv, edge + i * NR + VW) = sum[i][1];
    }
    for (int i = 0; i < min(rows, MR); i++)
        for (int q = 0; q < min(columns, NR); q += 4) {
            float4 v = vload4(0, edge + i * NR + q);
            if (bias) v += LOAD4(bias + q);
            v = select((float4)(0.0f), v, (int4)(q, q + 1, q + 2, q + 3) < columns);
            if (add) v += LOAD4(c + i * pitch + q);
            STORE4(v, c + i * pitch + q);
        }
}

INLINE void multiply(floatv sum[MR][2], __local const float *panel_a, PANEL_B float *panel_b, const int count)
{
#pragma unroll
    for (int i = 0; i < MR; i++) sum[i][0] = sum[i][1] = (floatv)(0.0f);
#pragma unroll 4
    for (int p = 0; p < count; p++) {
        const floatv b0 = AT(PANEL_B, unalignedv, panel_b + p * NR);
        const floatv b1 = AT(PANEL_B, unalignedv, panel_b + p * NR + VW);
#pragma unroll
        for (int i = 0; i < MR; i++) {
            const floatv one = (floatv)(panel_a[p * MR + i]);
            sum[i][0] += one * b0;
            sum[i][1] += one * b1;
        }
    }
}

/* Brings near a share of what is packed or read next, lines `first` to `end` - 1 of it: rows of B, which lie too far
 * apart for the hardware to guess, or of its panel. */
INLINE void look_ahead(__global const float *b, const size_t pitch, const int first, const int end)
{
    for (int p = first; p < end; p++) WALSH_PREFETCH(b + p * pitch);
}

/* Where SHARED, B is what gemm_panels wrote, b_pitch = n rounded up to NR. */
__kernel void gemm_packed(__global const float *a, const ulong a_at, __global const float *b, const ulong b_at,
                          __global const float *bias, const ulong bias_at, __global float *c, const ulong c_at,
                          const int m, const int n, const int k, const int a_pitch, const int b_pitch,
                          const int c_pitch, const int accumulate, const int ta, const int tb, const int tile_m,
                          const int tile_n, const int block_k)
{
    const int row0 = (int)get_group_id(1) * tile_m, row1 = min(row0 + tile_m, m);
    const int column0 = (int)get_group_id(0) * tile_n, column1 = min(column0 + tile_n, n);
    __local float panels_a[MC / MR * PANEL_A] __attribute__((aligned(64)));
#if !SHARED
    __local float panel_b[KC * NR] __attribute__((aligned(64)));
#endif
    for (int k0 = 0; k0 < k; k0 += block_k) {
        const int count = min(block_k, k - k0), share = count * MR / (row1 - row0) + 1;
        __global const float *block_a = a + a_at + (ta ? k0 * (size_t)a_pitch : (size_t)k0);
        if (ta) pack_columns(panels_a, block_a, a_pitch, count, row0, row1, m);
        else pack_rows(panels_a, block_a, a_pitch, count, row0, row1, m);
        for (int column = column0; column < column1; column += NR) {
#if SHARED
            PANEL_B float *panel_b = b + b_at + (size_t)k0 * b_pitch + (size_t)column * LINES(count);
            __global const float *next = panel_b + NR * LINES(count);
            const size_t next_pitch = NR;
#else
            __global const float *block_b = b + b_at + (tb ? (size_t)k0 : k0 * (size_t)b_pitch);
            if (tb) pack_transposed(panel_b, NR, block_b, b_pitch, count, column, n);
            else pack_b(panel_b, block_b, b_pitch, count, column, n);
            __global const float *next = block_b + column + NR;
            const size_t next_pitch = b_pitch;
#endif
            const int lines = tb || column + NR >= column1 ? 0 : count;
            __local const float *panel_a = panels_a;
            __global float *to = c + c_at + row0 * (size_t)c_pitch + column;
            for (int row = row0, ahead = 0; row < row1; row += MR, ahead += share) {
                floatv sum[MR][2];
#pragma unroll
                for (int i = 0; i < MR; i++) WALSH_PREFETCH(to + i * (size_t)c_pitch);
                look_ahead(next, next_pitch, ahead, min(ahead + share, lines));
                multiply(sum, panel_a, panel_b, count);
                store_tile(sum, to, c_pitch, bias && k0 == 0 ? bias + bias_at + column : 0, accumulate || k0 > 0,
                           m - row, n - column);
                panel_a += PANEL_A;
                to += MR * (size_t)c_pitch;
            }
        }
    }
}

#if SHARED
enum { SIDE_BY_SIDE_B = 4 };

/* Columns `column`.. of B [k][n] into panels: each row of B is four neighbouring lines of the cache. */
INLINE void copy_panels(__global float *panels, __global const float *b, const size_t pitch, const int count)
{
    enum { AHEAD = 8 };
    for (int k = 0; k < count; k++)
#pragma unroll
        for (int j = 0; j < SIDE_BY_SIDE_B; j++) {
            __global const float *from = b + k * pitch + j * NR;
            __global float *to = panels + (j * LINES(count) + k) * NR;
            WALSH_PREFETCH(from + AHEAD * pitch);
            STOREV(LOADV(from), to);
            STOREV(LOADV(from + VW), to + VW);
        }
}

/* Packs B into PANELS [block of k][panel][LINES(block_k)][NR]. An item takes some panels of a block. */
__kernel void gemm_panels(__global const float *b, const ulong b_at, __global float *panels, const ulong panels_at,
                          const int n, const int k, const int b_pitch, const int tb, const int block_k)
{
    __local float panel[KC * NR] __attribute__((aligned(64)));
    const int k0 = (int)get_group_id(1) * block_k, count = min(block_k, k - k0);
    const int column0 = (int)get_group_id(0) * SIDE_BY_SIDE_B * NR, column1 = column0 + SIDE_BY_SIDE_B * NR;
    __global const float *from = b + b_at + (tb ? (size_t)k0 : k0 * (size_t)b_pitch);
    __global float *to = panels + panels_at + (size_t)k0 * ((n + NR - 1) / NR * NR) + (size_t)column0 * LINES(count);
    if (!tb && column1 <= n) {
        copy_panels(to, from + column0, b_pitch, count);
        return;
    }
    for (int column = column0; column < min(column1, n); column += NR, to += NR * LINES(count)) {
        if (tb) pack_transposed(panel, NR, from, b_pitch, count, column, n);
        else pack_b(panel, from, b_pitch, count, column, n);
        for (int i = 0; i < count * NR; i += VW) STOREV(PANEL(panel + i), to + i);
    }
}
#endif
