/* Gradient of the weights of 3x3 convolutions of stride 1 by Winograd's F(3x3, 4x4): tiles of 6x6 inputs and of 4x4
 * gradients become planes, whose products are summed over all tiles of a group before they go back to 3x3 (A^T m A).
 * The first of two stages, conv_filter_reduce of conv_filter.cl being the second.
 *
 * A work-item takes a group of lines of dY as conv_filter_direct.cl does, of these as many rows of tiles at a time as
 * the planes have room for, and of the channels each way `each` at most: the more, the less a product costs to
 * transform, as long as the sums stay in the second-level cache. For CPUs. */
#ifndef VW
#define VW 16
#endif
#include "conv_stage.clh"
#include "winograd.clh"

#ifndef CHANNELS /* each way at most, a multiple of VW */
#define CHANNELS 16
#endif
#ifndef TILES
#define TILES 4
#endif
/* Floats of a plane, and vectors of its sums: no powers of two, for the last transform reads all planes at once. */
#define PLANE(channels) (TILES * (channels) + VW)
#define SUMS_PLANE(inputs, outputs) ((inputs) * (outputs) / VW + 1)

/* G g of four. */
INLINE void transform_gradient(const floatv *g, floatv *u)
{
    const floatv even = g[0] + g[2], odd = g[1] + g[3];
    const floatv far_even = g[0] + 4.0f * g[2], far_odd = 2.0f * g[1] + 8.0f * g[3];
    u[0] = 0.25f * g[0];
    u[1] = (even + odd) * (-1.0f / 6);
    u[2] = (even - odd) * (-1.0f / 6);
    u[3] = (far_even + far_odd) * (1.0f / 24);
    u[4] = (far_even - far_odd) * (1.0f / 24);
    u[5] = g[3];
}

/* A^T m of six: three. */
INLINE void transform_filter(const floatv *m, floatv *w)
{
    const floatv near = m[1] + m[2], far = m[3] + m[4];
    w[0] = m[0] + near + far;
    w[1] = m[1] - m[2] + 2.0f * (m[3] - m[4]);
    w[2] = near + 4.0f * far + m[5];
}

DEFINE_TRANSFORM_LINES(transform_gradients, 4, transform_gradient)

/* The sums of n input channels, of ic, and a vector of output channels, of `each`; sums of neighbouring input channels
 * are `pitch` vectors apart. */
#define DEFINE_MULTIPLY(n)                                                                                            \
    INLINE void multiply_##n(SHARED const float *x, SHARED const float *dy, const int tiles, const int ic,            \
                             const int each, const int add, SHARED floatv *sums, const int pitch)                     \
    {                                                                                                                 \
        floatv acc[n];                                                                                                \
        _Pragma("unroll") for (int j = 0; j < n; j++) acc[j] = add ? sums[j * pitch] : (floatv)(0.0f);                \
        for (int tile = 0; tile < tiles; tile++) {                                                                    \
            const floatv d = LOAD_STAGED(dy + tile * each);                                                           \
            _Pragma("unroll") for (int j = 0; j < n; j++) acc[j] += x[tile * ic + j] * d;                             \
        }                                                                                                             \
        _Pragma("unroll") for (int j = 0; j < n; j++) sums[j * pitch] = acc[j];                                       \
    }
DEFINE_BLOCKS(DEFINE_MULTIPLY)

/* sums [ic][each / VW] of one plane += or = the products over its tiles. */
INLINE void multiply(SHARED const float *x, SHARED const float *dy, const int tiles, const int ic, const int each,
                     const int add, SHARED floatv *sums)
{
    const int blocks = each / VW;
    for (int b = 0; b < blocks; b++)
        for (int i = 0, few = FEW_OF(ic); i < ic; few--)
            if (few > 0) {
                MULTIPLY_FEW(x + i, dy + b * VW, tiles, ic, each, add, sums + i * blocks + b, blocks);
                i += FEW;
            } else {
                MULTIPLY_MANY(x + i, dy + b * VW, tiles, ic, each, add, sums + i * blocks + b, blocks);
                i += MANY;
            }
}

/* partial[group][3][3][ic][width]; see conv_filter_direct.cl. */
__kernel void conv_filter_winograd(__global const float *x, const ulong x_at, __global const float *saved,
                                   const ulong saved_at, __global const float *dy, const ulong dy_at,
                                   __global const float *y, const ulong y_at, __global const float *factors,
                                   const ulong factors_at, __global float *partial, const ulong partial_at,
                                   const int mode, const int dy_mode, const int lines, const int group_lines,
                                   const int ic, const int oc, const int width, const int h, const int w,
                                   const int x_pitch, const int saved_pitch, const int oh, const int ow,
                                   const int dy_pitch, const int y_pitch, const int factors_pitch, const int pad,
                                   const int each)
{
    SHARED float staged[STAGED] __attribute__((aligned(64)));
    SHARED float planes[PLANE_COUNT * PLANE(CHANNELS)] __attribute__((aligned(64)));
    SHARED float dy_planes[PLANE_COUNT * PLANE(CHANNELS)] __attribute__((aligned(64)));
    SHARED floatv sums[PLANE_COUNT * SUMS_PLANE(CHANNELS, CHANNELS)];
    const source input = {x + x_at, x + x_at, saved + saved_at, mode, ic, h, w, x_pitch, x_pitch, saved_pitch};
    const source output = {dy + dy_at, y + y_at, factors + factors_at, dy_mode, oc, oh, ow, dy_pitch, y_pitch,
                           factors_pitch};
    const int c_first = each * (int)get_group_id(2), count = min(each, ic - c_first);
    const int o = each * (int)get_group_id(0), outputs = min(each, width - o), blocks = outputs / VW;
    const slice c = {c_first, c_first + count, count}, c_dy = {o, min(o + outputs, oc), outputs};
    const int group = (int)get_group_id(1), first = group * group_lines, end = min(first + group_lines, lines);
    const int across = (ow + 3) / 4, plane = PLANE(count), dy_plane = PLANE(outputs);
    const int sums_plane = SUMS_PLANE(count, outputs);

    for (int line = first; line < end;) {
        const int add = line > first;
        int tiles = 0;
        for (; line < end && tiles + across <= TILES; tiles += across) {
            const int image = line / oh, top = line - image * oh, rows = min(min(4, oh - top), end - line);
            stage_image(&input, &c, image, staged, 6, 4 * across + 2, top - pad, -pad, 1);
            transform_lines(staged, 4 * across + 2, count, planes + tiles * count, plane, count, across);
            if (rows < 4 || o + outputs > oc) stage_zeros(staged, 16 * across * outputs, 0, 1);
            stage_image(&output, &c_dy, image, staged, rows, 4 * across, top, 0, 1);
            transform_gradients(staged, 4 * across, outputs, dy_planes + tiles * outputs, dy_plane, outputs, across);
            line += rows;
        }
        /* About what the next rows of tiles read. */
        const ahead next = ahead_of(&c, (long)line * h / oh * w, TILES / across * 4 * w, PLANE_COUNT);
        const ahead next_dy = ahead_of(&c_dy, (long)line * ow, TILES / across * 4 * ow, PLANE_COUNT);
        for (int p = 0; p < PLANE_COUNT; p++) {
            prefetch_part(&input, &c, &next, p, 0, 1);
            prefetch_part(&output, &c_dy, &next_dy, p, 0, 1);
            multiply(planes + p * plane, dy_planes + p * dy_plane, tiles, count, outputs, add, sums + p * sums_plane);
        }
    }
    partial += partial_at + ((size_t)group * 9 * ic + c_first) * width + o;
    for (int i = 0; i < count; i++)
        for (int b = 0; b < blocks; b++) {
            SHARED const floatv *from = sums + i * blocks + b;
            floatv half_way[18], m[6], column[3];
            for (int k = 0; k < 6; k++, from += sums_plane) {
#pragma unroll
                for (int r = 0; r < 6; r++) m[r] = from[6 * r * sums_plane];
                transform_filter(m, column);
#pragma unroll
                for (int r = 0; r < 3; r++) half_way[6 * r + k] = column[r];
            }
            for (int r = 0; r < 3; r++) {
                transform_filter(half_way + 6 * r, column);
#pragma unroll
                for (int k = 0; k < 3; k++)
                    STOREV(column[k], partial + ((size_t)(3 * r + k) * ic + i) * width + b * VW);
            }
        }
}
