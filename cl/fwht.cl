/* Fast Walsh-Hadamard transforms of rows. Stage h adds and subtracts elements whose numbers differ in bit h; the stages
 * commute, so each kernel takes them in the order that suits its memory.
 *
 * Which kernels, by options: -DROW -DN=... -DFIRST=... -DR1=... -DR2=..., -DCOLUMNS -DRADIX=... -DSTRIP=... (CPUs),
 * -DGROUP -DN=... -DR=... -DSHARE=... (GPUs), or none of these. A row longer than N is cut into blocks of N elements,
 * and fwht_columns or fwht_pass take the stages that are left. `mode` says where the signs are applied; NULL pointers
 * are not read. */
#include "walsh.clh"

enum { SIGN_INPUT = 1, SIGN_OUTPUT = 2 };

/* Stages over `count` private values, those with h < limit. `count` is a constant. */
#define BUTTERFLIES(type, v, count, limit)                                                                             \
    _Pragma("unroll") for (int h_ = 1; h_ < (count); h_ *= 2)                                                          \
    {                                                                                                                  \
        _Pragma("unroll") for (int i_ = 0; i_ < (count); i_++)                                                         \
        {                                                                                                              \
            if (!(i_ & h_) && h_ < (limit)) {                                                                          \
                const type a_ = v[i_], b_ = v[i_ | h_];                                                                \
                v[i_] = a_ + b_;                                                                                       \
                v[i_ | h_] = a_ - b_;                                                                                  \
            }                                                                                                          \
        }                                                                                                              \
    }

/* Aligned as quads are, whose loads GPUs have. */
typedef float8 quads __attribute__((aligned(16)));
#define LOAD8(p) AT(__global const, quads, p)
#define STORE8(v, p) (AT(__global, quads, p) = (v))

/* Multiplies by the signs where this is the last pass over the row and it has them. */
INLINE float8 leave(const float8 v, __global const float *sign, const size_t k, const int mode, const int last)
{
    return last && mode == SIGN_OUTPUT ? v * LOAD8(sign + k) : v;
}

#if defined(ROW)
/* ---- CPUs: a work-item takes whole rows, or blocks of N elements of them, through its caches, in passes over vectors
 * of 8 in registers: FIRST neighbours from X to Y, then R1, R2 and R3 of Y that are FIRST, FIRST*R1, ... vectors apart,
 * all within BASE elements before the next BASE, and last TOP vectors that are BASE elements apart. ---- */
#ifndef R1
#define R1 1
#endif
#ifndef R2
#define R2 1
#endif
#define BASE (8 * FIRST * R1 * R2)
#define TOP (N / BASE)

/* The stages h = 4 and then 2 and 1 within a vector: a shuffle and a multiply-add each. */
#define HALVES ((float8)(1.0f, 1.0f, 1.0f, 1.0f, -1.0f, -1.0f, -1.0f, -1.0f))

INLINE float8 near_stages(float8 v)
{
    v = v * (float8)(1.0f, 1.0f, -1.0f, -1.0f, 1.0f, 1.0f, -1.0f, -1.0f) + v.s23016745;
    return v * (float8)(1.0f, -1.0f, 1.0f, -1.0f, 1.0f, -1.0f, 1.0f, -1.0f) + v.s10325476;
}

INLINE float8 lane_stages(const float8 v)
{
    return near_stages(v * HALVES + v.s45670123);
}

/* All three from memory: the halves, loaded twice, need no shuffle. */
INLINE float8 load_stages(__global const float *x)
{
    const float4 low = LOAD4(x), high = LOAD4(x + 4);
    return near_stages(high.s01230123 * HALVES + low.s01230123);
}

/* `radix` vectors that are `stride` vectors apart, throughout the `size` vectors from y on. */
#define PASS(radix, stride, size)                                                                                      \
    for (int block = 0; block < (size); block += (radix) * (stride)) {                                                 \
        for (int j = block; j < block + (stride); j++) {                                                               \
            float8 v[radix];                                                                                           \
            _Pragma("unroll") for (int i = 0; i < (radix); i++) v[i] = LOAD8(y + 8 * (j + i * (stride)));              \
            BUTTERFLIES(float8, v, radix, radix)                                                                       \
            _Pragma("unroll") for (int i = 0; i < (radix); i++)                                                        \
                STORE8(leave(v[i], sign, 8 * (j + i * (stride)), mode, 8 * (radix) * (stride) == N),                   \
                       y + 8 * (j + i * (stride)));                                                                    \
        }                                                                                                              \
    }

/* The first pass over 8*FIRST elements. The scale goes into its last stage, as multiply-adds. */
INLINE void first_pass(__global const float *x, __global const float *sign, __global float *y, const float scale,
                       const int mode)
{
    float8 v[FIRST];
    if (mode == SIGN_INPUT) {
#pragma unroll
        for (int i = 0; i < FIRST; i++) v[i] = lane_stages(LOAD8(x + 8 * i) * LOAD8(sign + 8 * i));
    } else {
#pragma unroll
        for (int i = 0; i < FIRST; i++) v[i] = load_stages(x + 8 * i);
    }
#if FIRST > 1
    BUTTERFLIES(float8, v, FIRST, FIRST / 2)
#pragma unroll
    for (int i = 0; i < FIRST / 2; i++) {
        const float8 b = v[i + FIRST / 2] * scale;
        v[i + FIRST / 2] = v[i] * scale - b;
        v[i] = v[i] * scale + b;
    }
#else
    v[0] *= scale;
#endif
#pragma unroll
    for (int i = 0; i < FIRST; i++) STORE8(leave(v[i], sign, 8 * i, mode, 8 * FIRST == N), y + 8 * i);
}

INLINE void base_stages(__global const float *x, __global const float *sign, __global float *y, const float scale,
                        const int mode)
{
    for (int k = 0; k < BASE; k += 8 * FIRST) first_pass(x + k, sign + k, y + k, scale, mode);
#if R1 > 1
    PASS(R1, FIRST, BASE / 8)
#endif
#if R2 > 1
    PASS(R2, FIRST * R1, BASE / 8)
#endif
}

__kernel void fwht_row(__global const float *x, const ulong x_at, __global const float *sign, const ulong sign_at,
                       __global float *y, const ulong y_at, const int rows, const int x_pitch, const int y_pitch,
                       const float scale, const int mode)
{
    const size_t row = get_global_id(1), part = get_global_id(0) * N;
    if (row >= (size_t)rows) return;
    x += x_at + row * x_pitch + part;
    y += y_at + row * y_pitch + part;
    sign += sign_at + part; /* not read where it is NULL */
    for (int k = 0; k < N; k += BASE) base_stages(x + k, sign + k, y + k, scale, mode);
#if TOP > 1
    PASS(TOP, BASE / 8, N / 8)
#endif
}
#elif defined(COLUMNS)
/* ---- CPUs: what is left of rows that are longer than a block: the stages over RADIX blocks of `stride` elements each,
 * of STRIP columns a work-item. Its streams, powers of two apart, share their places in the caches: RADIX is at most
 * their ways. ---- */
__kernel void fwht_columns(__global const float *sign, const ulong sign_at, __global float *y, const ulong y_at,
                           const int stride, const int y_pitch, const int mode)
{
    const size_t row = get_global_id(2), at = get_global_id(1) * RADIX * stride + get_global_id(0) * STRIP;
    y += y_at + row * y_pitch + at;
    sign += sign_at + at;
    for (int j = 0; j < STRIP; j += 8) {
        float8 v[RADIX];
#pragma unroll
        for (int i = 0; i < RADIX; i++) v[i] = LOAD8(y + (size_t)i * stride + j);
        BUTTERFLIES(float8, v, RADIX, RADIX)
#pragma unroll
        for (int i = 0; i < RADIX; i++) {
            const size_t k = (size_t)i * stride + j;
            STORE8(leave(v[i], sign, k, mode, 1), y + k);
        }
    }
}
#elif defined(GROUP)
/* ---- GPUs: N/R work-items share a row (or block), R values each, which they exchange through local memory; SHARE rows
 * a group. R is a power of two, 4 <= R <= N. ---- */
#define ITEMS (N / R)
/* A word in 33 is left out, so that strided accesses spread over the banks. */
#define PLACE(i) ((i) + ((i) >> 5))

/* Where value i of an item lies when the values of an item are s apart. */
#define ELEMENT(item, i, s) (((item) / (s)) * (s) * R + (item) % (s) + (i) * (s))

__kernel __attribute__((reqd_work_group_size(ITEMS, SHARE, 1))) void
fwht_group(__global const float *x, const ulong x_at, __global const float *sign, const ulong sign_at,
           __global float *y, const ulong y_at, const int rows, const int x_pitch, const int y_pitch, const float scale,
           const int mode)
{
    __local float shared[SHARE * (PLACE(N) + 1)];
    const int item = (int)get_local_id(0);
    const size_t row = get_global_id(1), block = get_group_id(0) * N;
    const bool exists = row < (size_t)rows; /* no early return: barriers follow */
    __local float *t = shared + get_local_id(1) * (PLACE(N) + 1);
    x += x_at + row * x_pitch + block;
    y += y_at + row * y_pitch + block;

    float v[R];
#pragma unroll
    for (int i = 0; i < R; i++) {
        v[i] = exists ? x[item + i * ITEMS] : 0.0f;
        if (mode == SIGN_INPUT) v[i] *= sign[sign_at + block + item + i * ITEMS];
    }
    BUTTERFLIES(float, v, R, R)
    /* Values `apart` from each other have had their stages; the next ones are closer. */
    for (int apart = ITEMS; apart > 1;) {
        const int next = apart > R ? apart / R : 1;
#pragma unroll
        for (int i = 0; i < R; i++) t[PLACE(ELEMENT(item, i, apart))] = v[i];
        barrier(CLK_LOCAL_MEM_FENCE | CLK_GLOBAL_MEM_FENCE); /* y may be x, which others have read */
#pragma unroll
        for (int i = 0; i < R; i++) v[i] = t[PLACE(ELEMENT(item, i, next))];
        BUTTERFLIES(float, v, R, apart / next)
        apart = next;
        barrier(CLK_LOCAL_MEM_FENCE);
    }

    if (!exists) return;
#pragma unroll
    for (int i = 0; i < R; i += 4) {
        float4 out = (float4)(v[i], v[i + 1], v[i + 2], v[i + 3]) * scale;
        if (mode == SIGN_OUTPUT) out *= LOAD4(sign + sign_at + block + item * R + i);
        STORE4(out, y + item * R + i);
    }
}

#else
/* ---- Any device: passes over global memory, the first of single quads, the others of RADIX vectors `stride` floats
 * apart, in place. ---- */
#ifndef RADIX
#define RADIX 16
#endif

INLINE float4 quad_stages(float4 v)
{
    v = v.s1032 + v * (float4)(1.0f, -1.0f, 1.0f, -1.0f);
    return v.s2301 + v * (float4)(1.0f, 1.0f, -1.0f, -1.0f);
}

/* Rows of two elements: the upper half of a quad is pad lanes, which stay zero, or the next row. */
INLINE float4 pair_stage(const float4 v)
{
    return v.s1032 + v * (float4)(1.0f, -1.0f, 1.0f, -1.0f);
}

__kernel void fwht_quads(__global const float *x, const ulong x_at, __global const float *sign, const ulong sign_at,
                         __global float *y, const ulong y_at, const int rows, const int n, const int x_pitch,
                         const int y_pitch, const float scale, const int mode)
{
    const int k = 4 * (int)get_global_id(0);
    const size_t row = get_global_id(1);
    if (k >= n || row >= (size_t)rows) return;
    float4 v = LOAD4(x + x_at + row * x_pitch + k) * scale;
    if (mode == SIGN_INPUT) v *= LOAD4(sign + sign_at + k);
    v = n == 2 ? pair_stage(v) : quad_stages(v);
    if (mode == SIGN_OUTPUT) v *= LOAD4(sign + sign_at + k);
    STORE4(v, y + y_at + row * y_pitch + k);
}

__kernel void fwht_pass(__global const float *sign, const ulong sign_at, __global float *y, const ulong y_at,
                        const int rows, const int n, const int log2_stride, const int y_pitch, const int mode)
{
    const int stride = 1 << log2_stride, at = 4 * (int)get_global_id(0);
    const int k = ((at >> log2_stride << log2_stride) * RADIX) | (at & (stride - 1));
    const size_t row = get_global_id(1);
    if (k >= n || row >= (size_t)rows) return;
    y += y_at + row * y_pitch + k;
    float4 v[RADIX];
#pragma unroll
    for (int i = 0; i < RADIX; i++) v[i] = LOAD4(y + i * stride);
    BUTTERFLIES(float4, v, RADIX, RADIX)
#pragma unroll
    for (int i = 0; i < RADIX; i++) {
        if (mode == SIGN_OUTPUT) v[i] *= LOAD4(sign + sign_at + k + i * stride);
        STORE4(v[i], y + i * stride);
    }
}
#endif
