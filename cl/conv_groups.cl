/* Convolution by groups as the sums are written, for whatever sizes: what the fast kernels of conv_grouped.cl and
 * conv_depthwise.cl are held against, and what stands in where they do not apply. */
#include "walsh.clh"

/* Sizes, shared by the three directions (engine/op/conv.h); in_each, out_each: channels of a group, w_in: rows of a tap
 * of W. */
#define SIZES                                                                                                       \
    const int n, const int h, const int w, const int ic, const int oh, const int ow, const int oc, const int kh,    \
        const int kw, const int stride, const int pad, const int groups, const int shuffled, const int w_in,        \
        const int x_pitch, const int w_pitch, const int y_pitch

/* Where channel c of X lies, and which channel lies at a lane. */
#define LANE_OF(c) (shuffled ? (c) % groups * (ic / groups) + (c) / groups : (c))
#define CHANNEL_AT(lane) (shuffled ? (lane) % (ic / groups) * groups + (lane) / (ic / groups) : (lane))

/* Work-item (o, p): output channel o of pixel p; pad lanes become zero. */
__kernel void conv_groups_forward(__global const float *x, const ulong x_at, __global const float *f, const ulong f_at,
                                  __global const float *bias, const ulong bias_at, __global float *y, const ulong y_at,
                                  const int biased, SIZES)
{
    const int o = (int)get_global_id(0), p = (int)get_global_id(1);
    if (o >= (oc + 3) / 4 * 4 || p >= n * oh * ow) return;
    const int in_each = ic / groups, out_each = oc / groups, first = o / out_each * in_each;
    const int image = p / (oh * ow), oy = p / ow % oh, ox = p % ow;
    float sum = 0.0f;
    for (int ky = 0; ky < kh && o < oc; ky++)
        for (int kx = 0; kx < kw; kx++) {
            const int iy = oy * stride - pad + ky, ix = ox * stride - pad + kx;
            if ((uint)iy >= (uint)h || (uint)ix >= (uint)w) continue;
            __global const float *from = x + x_at + ((size_t)(image * h + iy) * w + ix) * x_pitch;
            __global const float *weights = f + f_at + (size_t)(ky * kw + kx) * w_in * w_pitch + o;
            for (int i = 0; i < in_each; i++) sum += from[LANE_OF(first + i)] * weights[(size_t)i * w_pitch];
        }
    if (biased && o < oc) sum += bias[bias_at + o];
    y[y_at + (size_t)p * y_pitch + o] = sum;
}

/* Work-item (lane, p): a lane of pixel p of dX. */
__kernel void conv_groups_data(__global const float *dy, const ulong dy_at, __global const float *f, const ulong f_at,
                               __global float *dx, const ulong dx_at, const int accumulate, SIZES)
{
    const int lane = (int)get_global_id(0), p = (int)get_global_id(1);
    if (lane >= (ic + 3) / 4 * 4 || p >= n * h * w) return;
    const int in_each = ic / groups, out_each = oc / groups, c = CHANNEL_AT(lane);
    const int first = c / in_each * out_each, image = p / (h * w), iy = p / w % h, ix = p % w;
    float sum = 0.0f;
    for (int ky = 0; ky < kh && lane < ic; ky++)
        for (int kx = 0; kx < kw; kx++) {
            const int y = iy + pad - ky, x = ix + pad - kx;
            if (y < 0 || y % stride || y / stride >= oh || x < 0 || x % stride || x / stride >= ow) continue;
            __global const float *from = dy + dy_at + ((size_t)(image * oh + y / stride) * ow + x / stride) * y_pitch;
            __global const float *weights = f + f_at + ((size_t)(ky * kw + kx) * w_in + c % in_each) * w_pitch;
            for (int o = first; o < first + out_each; o++) sum += from[o] * weights[o];
        }
    __global float *to = dx + dx_at + (size_t)p * x_pitch + lane;
    *to = accumulate ? *to + sum : sum;
}

/* Work-item (o, row): one element of dW, row (tap, i). The sum of each line of an image is taken by itself. */
__kernel void conv_groups_filter(__global const float *x, const ulong x_at, __global const float *dy, const ulong dy_at,
                                 __global float *df, const ulong df_at, SIZES)
{
    const int o = (int)get_global_id(0), row = (int)get_global_id(1), tap = row / w_in, i = row % w_in;
    if (o >= (oc + 3) / 4 * 4 || row >= kh * kw * w_in) return;
    const int in_each = ic / groups, out_each = oc / groups;
    const int lane = LANE_OF(o / out_each * in_each + i), ky = tap / kw, kx = tap % kw;
    float sum = 0.0f;
    for (int line = 0; line < n * oh && o < oc && i < in_each; line++) {
        const int iy = line % oh * stride - pad + ky;
        __global const float *from = x + x_at + (size_t)(line / oh * h + iy) * w * x_pitch + lane;
        __global const float *with = dy + dy_at + (size_t)line * ow * y_pitch + o;
        float of_line = 0.0f;
        for (int ox = 0; ox < ow && (uint)iy < (uint)h; ox++) {
            const int ix = ox * stride - pad + kx;
            if ((uint)ix < (uint)w) of_line += from[(size_t)ix * x_pitch] * with[(size_t)ox * y_pitch];
        }
        sum += of_line;
    }
    df[df_at + (size_t)row * w_pitch + o] = sum;
}
