/* Fast Walsh-Hadamard transforms of rows. Stage h adds and subtracts elements whose numbers differ in bit h; the stages
 * commute, so each kernel takes them in the order that suits its memory.
 *
 * One of three kernels, by options: -DROW -DN=..., -DGROUP -DN=... -DR=... -DSHARE=..., or neither. A row longer than N
 * is cut into blocks of N elements, and fwht_pass takes the stages that are left. `mode` says where the signs are
 * applied; NULL pointers are not read. */
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

#if defined(ROW)
/* ---- CPUs: a work-item takes a row (or a block of N elements of one) into private memory. N = 8 .. 4096. ---- */
#define COUNT (N / 8) /* vectors of 8 */
#define FIRST (COUNT < 8 ? COUNT : 8)
#define SECOND (COUNT / 8 < 8 ? COUNT / 8 : 8)
#define THIRD (COUNT / 64)

INLINE float8 vector_stages(float8 v)
{
    v = v.s10325476 + v * (float8)(1.0f, -1.0f, 1.0f, -1.0f, 1.0f, -1.0f, 1.0f, -1.0f);
    v = v.s23016745 + v * (float8)(1.0f, 1.0f, -1.0f, -1.0f, 1.0f, 1.0f, -1.0f, -1.0f);
    return v.s45670123 + v * (float8)(1.0f, 1.0f, 1.0f, 1.0f, -1.0f, -1.0f, -1.0f, -1.0f);
}

INLINE float8 leave(float8 v, __global const float *sign, const int k, const float scale, const int mode)
{
    v *= scale;
    return mode == SIGN_OUTPUT ? v * vload8(k, sign) : v;
}

/* `radix` vectors `stride` apart, for every place in t; the last pass writes the row out. */
#define PASS(radix, stride, last)                                                                                      \
    for (int block = 0; block < COUNT; block += (radix) * (stride)) {                                                  \
        for (int j = block; j < block + (stride); j++) {                                                               \
            float8 v[radix];                                                                                           \
            _Pragma("unroll") for (int i = 0; i < (radix); i++) v[i] = t[j + i * (stride)];                            \
            BUTTERFLIES(float8, v, radix, radix)                                                                       \
            _Pragma("unroll") for (int i = 0; i < (radix); i++)                                                        \
            {                                                                                                          \
                const int k = j + i * (stride);                                                                        \
                if (last)                                                                                              \
                    vstore8(leave(v[i], sign, k, scale, mode), k, y);                                                  \
                else                                                                                                   \
                    t[k] = v[i];                                                                                       \
            }                                                                                                          \
        }                                                                                                              \
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
    float8 t[COUNT];
    for (int block = 0; block < COUNT; block += FIRST) {
        float8 v[FIRST];
#pragma unroll
        for (int i = 0; i < FIRST; i++) {
            v[i] = vload8(block + i, x);
            if (mode == SIGN_INPUT) v[i] *= vload8(block + i, sign);
            v[i] = vector_stages(v[i]);
        }
        BUTTERFLIES(float8, v, FIRST, FIRST)
#pragma unroll
        for (int i = 0; i < FIRST; i++) {
            if (COUNT <= 8)
                vstore8(leave(v[i], sign, i, scale, mode), i, y);
            else
                t[block + i] = v[i];
        }
    }
#if COUNT > 8
    PASS(SECOND, 8, COUNT <= 64)
#endif
#if COUNT > 64
    PASS(THIRD, 64, 1)
#endif
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
        barrier(CLK_LOCAL_MEM_FENCE);
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

/* With two elements a row, the quad's upper half is pad lanes. */
INLINE float4 pair_stage(const float4 v)
{
    return (float4)(v.s0 + v.s1, v.s0 - v.s1, 0.0f, 0.0f);
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
                        const int rows, const int n, const int stride, const int y_pitch, const int mode)
{
    const int at = VW * (int)get_global_id(0), k = at / stride * stride * RADIX + at % stride;
    const size_t row = get_global_id(1);
    if (k >= n || row >= (size_t)rows) return;
    y += y_at + row * y_pitch + k;
    floatv v[RADIX];
#pragma unroll
    for (int i = 0; i < RADIX; i++) v[i] = LOADV(y + i * stride);
    BUTTERFLIES(floatv, v, RADIX, RADIX)
#pragma unroll
    for (int i = 0; i < RADIX; i++) {
        if (mode == SIGN_OUTPUT) v[i] *= LOADV(sign + sign_at + k + i * stride);
        STOREV(v[i], y + i * stride);
    }
}
#endif
