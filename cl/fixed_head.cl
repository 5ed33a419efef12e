/* What stands around the transform of a fixed head (engine/op/fixed_head.h). Kernels with a sum over the row share it
 * among LANES work-items; the others have one work-item for four elements. */
#include "rows.clh"

/* Keeps 1/norm finite for a row of zeros, smoothly. */
#define EPSILON_SQUARED 1e-16f

__kernel void head_normalise_rows(__global const float *x, const ulong x_at, __global float *xhat, const ulong xhat_at,
                                  __global float *norm, const ulong norm_at, const int rows, const int padded,
                                  const int x_pitch, const int xhat_pitch, const int norm_pitch)
{
    __local float scratch[LANES];
    const int lane = (int)get_local_id(0);
    const size_t row = get_global_id(1);
    if (row >= (size_t)rows) return;
    x += x_at + row * x_pitch;
    xhat += xhat_at + row * xhat_pitch;
    float4 squares = (float4)(0.0f);
    FOR_QUADS(k, lane, padded)
    {
        const float4 v = LOAD4(x + k);
        squares += v * v;
    }
    const float length = sqrt(lanes_sum(sum4(squares), scratch, lane) + EPSILON_SQUARED), inverse = 1.0f / length;
    FOR_QUADS(k, lane, padded) STORE4(LOAD4(x + k) * inverse, xhat + k);
    if (lane == 0) STORE4((float4)(length, inverse, 0.0f, 0.0f), norm + norm_at + row * norm_pitch);
}

/* s_c z_r(c) of classes k .. k+3. A quad crosses row m only where m is no multiple of 4. */
INLINE float4 signed_rows(__global const float *z, const int k, const int m, const int c)
{
    if (k + 4 <= m || c <= m) return LOAD4(z + k);
    if (m % 4 == 0) return -LOAD4(z + k - m);
    float v[4];
#pragma unroll
    for (int i = 0; i < 4; i++) v[i] = k + i < m ? z[k + i] : k + i < c ? -z[k + i - m] : 0.0f;
    return (float4)(v[0], v[1], v[2], v[3]);
}

__kernel void head_logits_plain(__global const float *z, const ulong z_at, __global const float *alpha,
                                const ulong alpha_at, __global const float *bias, const ulong bias_at,
                                __global float *y, const ulong y_at, const int rows, const int m, const int c,
                                const int z_pitch, const int y_pitch)
{
    const int k = 4 * (int)get_global_id(0);
    const size_t row = get_global_id(1);
    if (k >= c || row >= (size_t)rows) return;
    const float scale = alpha ? alpha[alpha_at] : 1.0f;
    const float4 shift = bias ? LOAD4(bias + bias_at + k) : (float4)(0.0f);
    const float4 v = signed_rows(z + z_at + row * z_pitch, k, m, c) * scale + shift;
    STORE4(mask4(v, k, c, 0.0f), y + y_at + row * y_pitch + k);
}

/* g of classes k .. k+3, zero for those that do not exist; k need not be a multiple of 4. */
INLINE float4 gradients(__global const float *g, const int k, const int c)
{
    if (k >= c) return (float4)(0.0f);
    if (k % 4 == 0) return LOAD4(g + k);
    float v[4];
#pragma unroll
    for (int i = 0; i < 4; i++) v[i] = k + i < c ? g[k + i] : 0.0f;
    return (float4)(v[0], v[1], v[2], v[3]);
}

__kernel void head_fold_rows(__global const float *g, const ulong g_at, __global const float *z, const ulong z_at,
                             __global float *u, const ulong u_at, __global float *dot_of, const ulong dot_at,
                             const int rows, const int m, const int c, const int g_pitch, const int z_pitch,
                             const int u_pitch, const int dot_pitch)
{
    __local float scratch[LANES];
    const int lane = (int)get_local_id(0), padded = (m + 3) & ~3;
    const size_t row = get_global_id(1);
    if (row >= (size_t)rows) return;
    g += g_at + row * g_pitch;
    z += z_at + row * z_pitch;
    u += u_at + row * u_pitch;
    float4 sums = (float4)(0.0f);
    FOR_QUADS(k, lane, padded)
    {
        const float4 folded = mask4(gradients(g, k, c) - gradients(g, k + m, c), k, m, 0.0f);
        sums += folded * LOAD4(z + k);
        STORE4(folded, u + k);
    }
    const float sum = lanes_sum(sum4(sums), scratch, lane);
    if (lane == 0) STORE4((float4)(sum, 0.0f, 0.0f, 0.0f), dot_of + dot_at + row * dot_pitch);
}

__kernel void head_normalise_backward_plain(__global const float *h, const ulong h_at, __global const float *xhat,
                                            const ulong xhat_at, __global const float *norm, const ulong norm_at,
                                            __global const float *dot_of, const ulong dot_at,
                                            __global const float *alpha, const ulong alpha_at, __global float *dx,
                                            const ulong dx_at, const int rows, const int padded, const int h_pitch,
                                            const int xhat_pitch, const int norm_pitch, const int dot_pitch,
                                            const int dx_pitch)
{
    const int k = 4 * (int)get_global_id(0);
    const size_t row = get_global_id(1);
    if (k >= padded || row >= (size_t)rows) return;
    const float scale = (alpha ? alpha[alpha_at] : 1.0f) * norm[norm_at + row * norm_pitch + 1];
    const float4 along = LOAD4(xhat + xhat_at + row * xhat_pitch + k) * dot_of[dot_at + row * dot_pitch];
    STORE4((LOAD4(h + h_at + row * h_pitch + k) - along) * scale, dx + dx_at + row * dx_pitch + k);
}
