/* Depthwise convolution 3x3, padded by 1, stride 1 or 2: a work-group takes vectors of channels of a group of lines,
 * tiles of TX pixels of a line in registers. Each input that a tile reads is read once for each of its lines, and what
 * the tensor stands for is computed then. (Memory is what bounds this, not arithmetic.)
 */
#include "walsh.clh"
#include "channels.clh"
#include "conv_finish.clh"

#define TX 4 /* even: with stride 2 all tiles of a gradient begin alike */
#define MOST_COLUMNS (2 * (TX - 1) + 3)

/* What a tensor is read as: max(scale*x + shift, least); or, with `gradient`, the input gradient of a batch norm whose
 * input is y, scale*x - (shift + slope*(y - mean)) (engine/op/batchnorm.h). */
typedef struct source {
    __global const float *x, *y; /* this vector of channels of the first pixel */
    int h, w, x_pitch, y_pitch;
    floatv scale, shift, least, slope, mean;
} source;

INLINE floatv fetch(const source *s, const size_t pixel, const int gradient)
{
    const floatv v = LOADV(s->x + pixel * s->x_pitch);
    if (gradient) return s->scale * v - (s->shift + s->slope * (LOADV(s->y + pixel * s->y_pitch) - s->mean));
    const floatv n = s->scale * v + s->shift;
    return n < s->least ? s->least : n; /* NaN passes */
}

/* rows: SAVED, or none where the tensor is read as it is. */
INLINE source normalised(__global const float *x, const int h, const int w, const int pitch,
                         __global const float *rows, const int rows_pitch, const int affine, const int relu)
{
    source s = {x, x, h, w, pitch, pitch, 1.0f, 0.0f, relu ? 0.0f : -INFINITY, 0.0f, 0.0f};
    if (affine) s.scale = LOADV(rows + 2 * rows_pitch), s.shift = LOADV(rows + 3 * rows_pitch);
    return s;
}

/* rows: FACTORS. */
INLINE source gradient_of(__global const float *dy, const int h, const int w, const int dy_pitch,
                          __global const float *y, const int y_pitch, __global const float *rows, const int rows_pitch,
                          const int gradient)
{
    source s = {dy, y, h, w, dy_pitch, y_pitch, 1.0f, 0.0f, -INFINITY, 0.0f, 0.0f};
    if (!gradient) return s;
    s.mean = LOADV(rows), s.scale = LOADV(rows + rows_pitch);
    s.shift = LOADV(rows + 2 * rows_pitch), s.slope = LOADV(rows + 3 * rows_pitch);
    return s;
}

/* A group's tiles, from this lane's first one on: `line` counts through all images. */
typedef struct tile {
    int line, x, end, width; /* width: that the tiles of a line cover */
} tile;

INLINE tile step(tile t, const int by)
{
    for (t.x += by; t.x >= t.width; t.x -= t.width) t.line++;
    return t;
}

INLINE tile first_tile(const int group_lines, const int lines, const int w)
{
    const int first = (int)get_group_id(1) * group_lines;
    const tile t = {first, 0, min(first + group_lines, lines), (w + TX - 1) / TX * TX};
    return step(t, TX * (int)get_local_id(1));
}

/* acc += a line of taps: input (row, first + column) meets the tile's output column*in - k ... of tap k. Forward, output
 * j reads the columns stride*j + k; back, with that stride, column i reaches the outputs stride*i + k - (stride > 1 ? 1
 * : 2). */
INLINE void add_line(floatv *acc, const source *s, const size_t row, const int first, const floatv *weights,
                     const int stride, const int back, const int gradient)
{
    const int columns = !back ? stride * (TX - 1) + 3 : stride == 1 ? TX + 2 : TX / 2 + 1;
#pragma unroll
    for (int i = 0; i < MOST_COLUMNS; i++) {
        if (i >= columns || (uint)(first + i) >= (uint)s->w) continue;
        const floatv v = fetch(s, row + first + i, gradient);
#pragma unroll
        for (int k = 0; k < 3; k++) {
            const int to = back ? stride * i + k - (stride == 1 ? 2 : 1) : i - k;
            if (!back && to % stride) continue;
            const int j = back ? to : to / stride;
            if (to >= 0 && j < TX) acc[j] += v * weights[k];
        }
    }
}

/* acc += what the taps of line k give of the tile whose first pixel is x of line y of an image. */
INLINE void add_tap_line(floatv *acc, const source *s, const int image, const int y, const int x, const int k,
                         const floatv *weights, const int stride, const int back, const int gradient)
{
    const int at = back ? y + 1 - k : y * stride - 1 + k, row = back ? at / stride : at;
    if ((back && at % stride) || at < 0 || row >= s->h) return;
    add_line(acc, s, ((size_t)image * s->h + row) * s->w, !back || stride == 1 ? x * stride - 1 : x / 2,
             weights + 3 * k, stride, back, gradient);
}

/* Those of all lines. Not a loop: Intel's compiler would not unroll it, and keep the weights in memory. */
INLINE void add_taps(floatv *acc, const source *s, const int image, const int y, const int x, const floatv *weights,
                     const int stride, const int back, const int gradient)
{
    add_tap_line(acc, s, image, y, x, 0, weights, stride, back, gradient);
    add_tap_line(acc, s, image, y, x, 1, weights, stride, back, gradient);
    add_tap_line(acc, s, image, y, x, 2, weights, stride, back, gradient);
}

/* The same, where stride and prologue are only known now. */
INLINE void sum_tile(floatv *acc, const source *s, const int image, const int y, const int x, const floatv *weights,
                     const int stride, const int back, const int gradient)
{
    if (!back && stride == 1) add_taps(acc, s, image, y, x, weights, 1, 0, 0);
    if (!back && stride == 2) add_taps(acc, s, image, y, x, weights, 2, 0, 0);
    if (back && stride == 1 && gradient) add_taps(acc, s, image, y, x, weights, 1, 1, 1);
    if (back && stride == 2 && gradient) add_taps(acc, s, image, y, x, weights, 2, 1, 1);
    if (back && stride == 1 && !gradient) add_taps(acc, s, image, y, x, weights, 1, 1, 0);
    if (back && stride == 2 && !gradient) add_taps(acc, s, image, y, x, weights, 2, 1, 0);
}

/* [tap][channel] */
INLINE void load_weights(floatv *weights, __global const float *w, const int pitch)
{
#pragma unroll
    for (int t = 0; t < 9; t++) weights[t] = LOADV(w + t * pitch);
}

/* This work-item's first channel, where the vector before ends, and whether it is there at all. */
#define CHANNELS                                                                                        \
    const int vector = min((int)get_global_id(0), (channels + VW - 1) / VW - 1);                        \
    const int channel = min(VW * vector, channels - VW), taken = VW * vector - channel;                 \
    const int there = (int)get_global_id(0) == vector;

/* Y from X; see engine/op/conv.h for what may precede and follow. */
__kernel void conv_depthwise_forward(__global const float *x, const ulong x_at, __global const float *saved,
                                     const ulong saved_at, __global const float *f, const ulong f_at,
                                     __global const float *bias, const ulong bias_at, __global float *y,
                                     const ulong y_at, __global const float *y_saved, const ulong y_saved_at,
                                     __global const float *res, const ulong res_at, __global float *partial,
                                     const ulong partial_at, const int affine, const int relu, const int biased,
                                     const int epilogue, const int stride, const int lines, const int group_lines,
                                     const int channels, const int h, const int w, const int oh, const int ow,
                                     const int x_pitch, const int saved_pitch, const int f_pitch, const int y_pitch,
                                     const int y_saved_pitch, const int res_pitch, const int partial_pitch)
{
#ifndef GROUPED
    __local floatv scratch[GROUP_ITEMS];
#endif
    CHANNELS
    const source s =
        normalised(x + x_at + channel, h, w, x_pitch, saved + saved_at + channel, saved_pitch, affine, relu);
    floatv weights[9], scale = 1.0f, shift = 0.0f;
    load_weights(weights, f + f_at + channel, f_pitch);
    const floatv start = biased ? LOADV(bias + bias_at + channel) : (floatv)(0.0f);
    const floatv least = epilogue >= NORMALISE && epilogue & 1 ? 0.0f : -INFINITY;
    if (epilogue >= NORMALISE) {
        scale = LOADV(y_saved + y_saved_at + 2 * y_saved_pitch + channel);
        shift = LOADV(y_saved + y_saved_at + 3 * y_saved_pitch + channel);
    }
    y += y_at + channel;
    res += res_at + channel;
    for (tile t = first_tile(group_lines, lines, ow); t.line < t.end; t = step(t, TX * LANE_STEP)) {
        const size_t first = (size_t)t.line * ow + t.x;
        floatv acc[TX];
#pragma unroll
        for (int j = 0; j < TX; j++) acc[j] = start;
        sum_tile(acc, &s, t.line / oh, t.line % oh, t.x, weights, stride, 0, 0);
#pragma unroll
        for (int j = 0; j < TX; j++) {
            if (t.x + j >= ow) continue;
            floatv v = acc[j];
            if (epilogue >= NORMALISE) v = scale * v + shift;
            if (epilogue >= NORMALISE_ADD) v += LOADV(res + (first + j) * res_pitch);
            if (there) store_own(v < least ? least : v, y + (first + j) * y_pitch, taken);
        }
    }
#ifndef GROUPED /* else they are a launch of their own */
    if (epilogue != STATISTICS) return;
    const int first = (int)get_group_id(1) * group_lines, count = (min(first + group_lines, lines) - first) * ow;
    floatv mean, squares;
    /* Those of the channels that another work-item stores may not be there yet, and are its own to find. */
    row_statistics(y + (size_t)first * ow * y_pitch, count, y_pitch, scratch, &mean, &squares);
    partial += partial_at + (size_t)get_group_id(1) * 2 * partial_pitch + channel;
    store_own(mean, partial, taken);
    store_own(squares, partial + partial_pitch, taken);
#endif
}

/* dX from dY; U, SAVED, Z and PARTIAL as in engine/op/conv.h. */
__kernel void conv_depthwise_data(__global const float *dy, const ulong dy_at, __global const float *y,
                                  const ulong y_at, __global const float *factors, const ulong factors_at,
                                  __global const float *f, const ulong f_at, __global float *dx, const ulong dx_at,
                                  __global const float *u, const ulong u_at, __global const float *saved,
                                  const ulong saved_at, __global const float *z, const ulong z_at,
                                  __global float *partial, const ulong partial_at, const int gradient,
                                  const int epilogue, const int accumulate, const int stride, const int lines,
                                  const int group_lines, const int channels, const int h, const int w, const int oh,
                                  const int ow, const int dy_pitch, const int y_pitch, const int factors_pitch,
                                  const int f_pitch, const int dx_pitch, const int u_pitch, const int saved_pitch,
                                  const int z_pitch, const int partial_pitch)
{
    __local floatv scratch[2 * GROUP_ITEMS];
    CHANNELS
    const source s = gradient_of(dy + dy_at + channel, oh, ow, dy_pitch, y + y_at + channel, y_pitch,
                                 factors + factors_at + channel, factors_pitch, gradient);
    floatv weights[9], mean = 0.0f, scale = 0.0f, shift = 0.0f, sums[2] = {0.0f, 0.0f};
    load_weights(weights, f + f_at + channel, f_pitch);
    saved += saved_at + channel;
    if (epilogue != STORE_ONLY) mean = LOADV(saved);
    if (epilogue == SUMS_GATE_COMPUTED) scale = LOADV(saved + 2 * saved_pitch), shift = LOADV(saved + 3 * saved_pitch);
    dx += dx_at + channel;
    u += u_at + channel;
    z += z_at + channel;
    for (tile t = first_tile(group_lines, lines, w); t.line < t.end; t = step(t, TX * LANE_STEP)) {
        const size_t first = (size_t)t.line * w + t.x;
        floatv acc[TX], part = 0.0f, part_with_u = 0.0f;
#pragma unroll
        for (int j = 0; j < TX; j++) acc[j] = 0.0f;
        sum_tile(acc, &s, t.line / h, t.line % h, t.x, weights, stride, 1, gradient);
#pragma unroll
        for (int j = 0; j < TX; j++) {
            if (t.x + j >= w) continue;
            floatv v = acc[j];
            if (accumulate) v += LOADV(dx + (first + j) * dx_pitch);
            if (epilogue != STORE_ONLY) {
                const floatv its = LOADV(u + (first + j) * u_pitch);
                if (epilogue == SUMS_GATE_COMPUTED) v = RELU_MASKV(v, scale * its + shift);
                if (epilogue == SUMS_GATE_STORED) v = RELU_MASKV(v, LOADV(z + (first + j) * z_pitch));
                part += v;
                part_with_u += v * (its - mean);
            }
            if (there) store_own(v, dx + (first + j) * dx_pitch, taken);
        }
        sums[0] += part;
        sums[1] += part_with_u;
    }
    group_sums(scratch, sums, 2);
    if (epilogue == STORE_ONLY || get_local_id(1) != 0 || !there) return;
    partial += partial_at + (size_t)get_group_id(1) * 2 * partial_pitch + channel;
    store_own(sums[0], partial, taken);
    store_own(sums[1] * LOADV(saved + saved_pitch), partial + partial_pitch, taken);
}

/* acc += the nine sums of a tile of dY. */
INLINE void add_products(floatv *acc, const source *x, const source *dy, const tile *t, const int oh, const int ow,
                         const int stride, const int gradient)
{
    const int image = t->line / oh, oy = t->line % oh, first = t->x * stride - 1;
    floatv d[TX];
#pragma unroll
    for (int j = 0; j < TX; j++)
        d[j] = t->x + j < ow ? fetch(dy, (size_t)t->line * ow + t->x + j, gradient) : (floatv)(0.0f);
#pragma unroll
    for (int k = 0; k < 3; k++) {
        const int row = oy * stride - 1 + k;
        if ((uint)row >= (uint)x->h) continue;
#pragma unroll
        for (int i = 0; i < MOST_COLUMNS; i++) {
            if (i >= stride * (TX - 1) + 3 || (uint)(first + i) >= (uint)x->w) continue;
            const floatv v = fetch(x, ((size_t)image * x->h + row) * x->w + first + i, 0);
#pragma unroll
            for (int l = 0; l < 3; l++)
                if (i >= l && (i - l) % stride == 0 && (i - l) / stride < TX)
                    acc[3 * k + l] += v * d[(i - l) / stride];
        }
    }
}

/* partial[group][tap][width]: dW of one group of lines of dY. */
__kernel void conv_depthwise_filter(__global const float *x, const ulong x_at, __global const float *saved,
                                    const ulong saved_at, __global const float *dy, const ulong dy_at,
                                    __global const float *y, const ulong y_at, __global const float *factors,
                                    const ulong factors_at, __global float *partial, const ulong partial_at,
                                    const int affine, const int relu, const int gradient, const int stride,
                                    const int lines, const int group_lines, const int channels, const int h,
                                    const int w, const int oh, const int ow, const int x_pitch, const int saved_pitch,
                                    const int dy_pitch, const int y_pitch, const int factors_pitch, const int width)
{
    __local floatv scratch[9 * GROUP_ITEMS];
    CHANNELS
    const source input =
        normalised(x + x_at + channel, h, w, x_pitch, saved + saved_at + channel, saved_pitch, affine, relu);
    const source output = gradient_of(dy + dy_at + channel, oh, ow, dy_pitch, y + y_at + channel, y_pitch,
                                      factors + factors_at + channel, factors_pitch, gradient);
    floatv acc[9];
#pragma unroll
    for (int i = 0; i < 9; i++) acc[i] = 0.0f;
    for (tile t = first_tile(group_lines, lines, ow); t.line < t.end; t = step(t, TX * LANE_STEP)) {
        if (stride == 1 && gradient) add_products(acc, &input, &output, &t, oh, ow, 1, 1);
        if (stride == 2 && gradient) add_products(acc, &input, &output, &t, oh, ow, 2, 1);
        if (stride == 1 && !gradient) add_products(acc, &input, &output, &t, oh, ow, 1, 0);
        if (stride == 2 && !gradient) add_products(acc, &input, &output, &t, oh, ow, 2, 0);
    }
    group_sums(scratch, acc, 9);
    if (get_local_id(1) != 0 || !there) return;
    partial += partial_at + (size_t)get_group_id(1) * 9 * width + channel;
#pragma unroll
    for (int i = 0; i < 9; i++) store_own(acc[i], partial + i * width, taken);
}
