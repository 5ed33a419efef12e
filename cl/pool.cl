/* Pooling. Forward, a work-item takes vectors of channels of output pixels; backward it gathers, for input pixels, from
 * every window that covers them, so that nothing is scattered and the order of sums is fixed. */
#include "walsh.clh"
#include "channels.clh"
#include "windows.clh"

/* Inputs that window `o` covers along one axis of `size` pixels. */
INLINE span window_inputs(int o, int window, int stride, int pad, int size)
{
    const int start = o * stride - pad;
    return (span){max(start, 0), min(start + window, size)};
}

/* NaN, once met, is the maximum. */
INLINE floatv larger(floatv m, floatv v)
{
    return (v > m || v != v) ? v : m;
}

/* X and Y by pixel: offset of pixel (image, y, x) of an image of h x w. */
#define PIXEL(image, h, y, w, x, pitch) ((((size_t)(image) * (h) + (y)) * (w) + (x)) * (pitch))

/* What X stands for: itself, or with `affine` relu(scale*x + shift), by SAVED's rows of these channels. */
typedef struct meaning {
    floatv scale, shift;
    int affine;
} meaning;
INLINE meaning meaning_of(__global const float *saved, const int pitch, const int affine)
{
    const floatv none = (floatv)(0.0f);
    return (meaning){affine ? LOADV(saved + 2 * pitch) : none, affine ? LOADV(saved + 3 * pitch) : none, affine};
}
INLINE floatv meant(const meaning *m, const floatv v)
{
    return m->affine ? RELUV(m->scale * v + m->shift) : v;
}

/* Y of every output pixel: the maximum, or the sum times `factor` (1/window^2, so that padding counts as zeros). */
__kernel void pool_forward_plain(__global const float *x, const ulong x_at, __global float *y, const ulong y_at,
                                 __global const float *saved, const ulong saved_at, const int rows, const int vectors,
                                 const int each, const int h, const int w, const int oh, const int ow, const int window,
                                 const int stride, const int pad, const int x_pitch, const int y_pitch,
                                 const int saved_pitch, const int maximum, const int affine)
{
    const float factor = 1.0f / (float)(window * window);
    const int streamed = streams(rows, vectors, y_pitch);
    FOR_ROWS (r, each, rows) {
        const int line = r / ow, image = line / oh;
        const span iy = window_inputs(line - image * oh, window, stride, pad, h);
        const span ix = window_inputs(r - line * ow, window, stride, pad, w);
        FOR_CHANNELS (channel, vectors) {
            const meaning as = meaning_of(saved + saved_at + channel, saved_pitch, affine);
            floatv result = maximum ? -INFINITY : 0.0f;
            for (int i = iy.first; i < iy.end; i++) {
                for (int j = ix.first; j < ix.end; j++) {
                    __global const float *in = x + x_at + PIXEL(image, h, i, w, j, x_pitch) + channel;
                    const floatv v = meant(&as, LOADV(in));
                    PREFETCH_AHEAD(in, AHEAD * stride, x_pitch);
                    result = maximum ? larger(result, v) : result + v;
                }
            }
            store_streamed(maximum ? result : result * factor, y + y_at + (size_t)r * y_pitch + channel, streamed);
        }
    }
}

/* The mean of each image: one work-group an image and vectors of channels. */
__kernel void pool_forward_global_plain(__global const float *x, const ulong x_at, __global float *y, const ulong y_at,
                                        __global const float *saved, const ulong saved_at, const int vectors,
                                        const int pixels, const int x_pitch, const int y_pitch, const int saved_pitch,
                                        const int affine)
{
    __local floatv scratch[GROUP_ITEMS];
    const int image = (int)get_group_id(1), channel = VW * min((int)get_global_id(0), vectors - 1);
    __global const float *in = x + x_at + (size_t)image * pixels * x_pitch + channel;
    const meaning as = meaning_of(saved + saved_at + channel, saved_pitch, affine);
    floatv sum = 0.0f;
    for (int r = (int)get_local_id(1); r < pixels; r += LANE_STEP) sum += meant(&as, LOADV(in + (size_t)r * x_pitch));
    sum = group_sum(scratch, sum);
    if (get_local_id(1) != 0 || (int)get_global_id(0) >= vectors) return;
    STOREV(sum / (float)pixels, y + y_at + (size_t)image * y_pitch + channel);
}

__kernel void pool_backward_global_plain(__global const float *dy, const ulong dy_at, __global float *dx,
                                         const ulong dx_at, const int rows, const int vectors, const int each,
                                         const int pixels, const int dy_pitch, const int dx_pitch, const int accumulate)
{
    const int streamed = !accumulate && streams(rows, vectors, dx_pitch);
    FOR_ROWS (r, each, rows) {
        FOR_CHANNELS (channel, vectors) {
            __global float *out = dx + dx_at + (size_t)r * dx_pitch + channel;
            floatv g = LOADV(dy + dy_at + (size_t)(r / pixels) * dy_pitch + channel) / (float)pixels;
            if (accumulate) g += LOADV(out);
            store_streamed(g, out, streamed);
        }
    }
}

/* Rows whose terms are added up before they meet the running sum: many in a row may be equal, as those of an image are
 * where its average is global. */
#define BLOCK_ROWS 16

/* A pooling as its gradient sees it, with dY and, of a maximum, POSITION (see below). */
typedef struct pooling {
    __global const float *dy, *position; /* the latter 0 for an average, which is the sum times `factor` */
    int h, w, oh, ow, window, stride, pad, dy_pitch, position_pitch;
    float factor;
} pooling;

/* An input pixel, and the lines of windows that cover its line. */
typedef struct pixel {
    int image, y, x;
    span lines;
} pixel;
INLINE span covering_lines(const pooling *p, const int y)
{
    return covering_windows(y, p->window, p->stride, p->pad, p->oh);
}
INLINE pixel pixel_of(const pooling *p, const int r)
{
    const int line = r / p->w, image = line / p->h, y = line - image * p->h;
    return (pixel){image, y, r - line * p->w, covering_lines(p, y)};
}
/* `step` rows on, without the divisions, which would take as long as the rest. */
INLINE void advance(pixel *at, const pooling *p, const int step)
{
    at->x += step;
    if (at->x < p->w) return;
    for (; at->x >= p->w; at->x -= p->w)
        if (++at->y == p->h) at->y = 0, at->image++;
    at->lines = covering_lines(p, at->y);
}

/* The gradient of an input pixel's channels: from each output whose window covers it, or of a maximum from those that it
 * is. */
INLINE floatv gathered(const pooling *p, const pixel *at, const int channel)
{
    const span ox = covering_windows(at->x, p->window, p->stride, p->pad, p->ow);
    floatv g = 0.0f;
    for (int i = at->lines.first; i < at->lines.end; i++)
        for (int j = ox.first; j < ox.end; j++) {
            __global const float *in = p->dy + PIXEL(at->image, p->oh, i, p->ow, j, p->dy_pitch) + channel;
            PREFETCH_AHEAD(in, AHEAD, p->dy_pitch);
            if (p->position) {
                const float here =
                    (float)((at->y + p->pad - i * p->stride) * p->window + at->x + p->pad - j * p->stride);
                __global const float *place =
                    p->position + PIXEL(at->image, p->oh, i, p->ow, j, p->position_pitch) + channel;
                PREFETCH_AHEAD(place, AHEAD, p->position_pitch);
                g += LOADV(place) == (floatv)(here) ? LOADV(in) : (floatv)(0.0f);
            } else {
                g += LOADV(in);
            }
        }
    return g * p->factor;
}

/* The gradient of a maximum or an average. */
__kernel void pool_backward_plain(__global const float *dy, const ulong dy_at, __global const float *position,
                                  const ulong position_at, __global float *dx, const ulong dx_at, const int rows,
                                  const int vectors, const int each, const int h, const int w, const int oh,
                                  const int ow, const int window, const int stride, const int pad, const float factor,
                                  const int dy_pitch, const int dx_pitch, const int accumulate)
{
    const pooling p = {dy + dy_at, position ? position + position_at : 0, h, w, oh, ow, window, stride, pad, dy_pitch,
                       VW * vectors, factor};
    pixel at = pixel_of(&p, LANE_FIRST(each));
    const int streamed = !accumulate && streams(rows, vectors, dx_pitch);
    FOR_ROWS (r, each, rows) {
        FOR_CHANNELS (channel, vectors) {
            floatv g = gathered(&p, &at, channel);
            __global float *out = dx + dx_at + (size_t)r * dx_pitch + channel;
            if (accumulate) g += LOADV(out);
            store_streamed(g, out, streamed);
        }
        advance(&at, &p, LANE_STEP);
    }
}

/* The gradient through a ReLU before the pooling; with `scaled` through the batch norm of U before that, too, but for
 * the part that is linear in U. One work-group a group of rows and vectors of channels; PARTIAL [groups][2][pitch]:
 * sum g, sum g*xhat. */
__kernel void pool_backward_through_plain(__global const float *dy, const ulong dy_at, __global const float *position,
                                          const ulong position_at, __global const float *u, const ulong u_at,
                                          __global const float *saved, const ulong saved_at, __global float *dx,
                                          const ulong dx_at, __global float *partial, const ulong partial_at,
                                          const int rows, const int group_rows, const int vectors, const int h,
                                          const int w, const int oh, const int ow, const int window, const int stride,
                                          const int pad, const float factor, const int dy_pitch, const int u_pitch,
                                          const int saved_pitch, const int dx_pitch, const int partial_pitch,
                                          const int scaled, const int accumulate)
{
    __local floatv scratch[GROUP_ITEMS];
    const int exists = (int)get_global_id(0) < vectors, channel = VW * min((int)get_global_id(0), vectors - 1);
    const int group = (int)get_group_id(1), first = group * group_rows, end = min(rows, first + group_rows);
    __global const float *bn = saved + saved_at + channel;
    const floatv mean = LOADV(bn), scale = LOADV(bn + 2 * saved_pitch), shift = LOADV(bn + 3 * saved_pitch);
    const pooling p = {dy + dy_at, position ? position + position_at : 0, h, w, oh, ow, window, stride, pad, dy_pitch,
                       VW * vectors, factor};
    const int streamed = !accumulate && streams(rows, vectors, dx_pitch);
    floatv sum = 0.0f, with_u = 0.0f;
    pixel at = pixel_of(&p, first + (int)get_local_id(1));
    for (int r = first + (int)get_local_id(1); r < end;) {
        const int block_end = min(end, r + BLOCK_ROWS * LANE_STEP);
        floatv block = 0.0f, block_with_u = 0.0f;
        for (; r < block_end; r += LANE_STEP, advance(&at, &p, LANE_STEP)) {
            __global const float *in = u + u_at + (size_t)r * u_pitch + channel;
            const floatv v = LOADV(in);
            PREFETCH_AHEAD(in, AHEAD, u_pitch);
            floatv g = RELU_MASKV(gathered(&p, &at, channel), scale * v + shift);
            block += g;
            block_with_u += g * (v - mean);
            __global float *out = dx + dx_at + (size_t)r * dx_pitch + channel;
            if (scaled) g *= scale;
            if (accumulate) g += LOADV(out);
            if (exists) store_streamed(g, out, streamed);
        }
        sum += block;
        with_u += block_with_u;
    }
    sum = group_sum(scratch, sum);
    with_u = group_sum(scratch, with_u);
    if (get_local_id(1) != 0 || !exists) return;
    __global float *out = partial + partial_at + (size_t)group * 2 * partial_pitch + channel;
    STOREV(sum, out);
    STOREV(with_u * LOADV(bn + saved_pitch), out + partial_pitch);
}

typedef WALSH_GLUE(int, VW) intv;

/* Where in its window, counted in reading order from the window's corner, each output's first maximum lies; NaN is the
 * maximum of a window that holds one. X may stand for more (`affine`). POSITION is dense, [rows][VW * vectors]; a float
 * counts exactly to 2^24. */
__kernel void pool_backward_positions_plain(__global const float *x, const ulong x_at, __global const float *saved,
                                            const ulong saved_at, __global float *position,
                                            const ulong position_at, const int rows, const int vectors, const int each,
                                            const int h, const int w, const int oh, const int ow, const int window,
                                            const int stride, const int pad, const int x_pitch, const int saved_pitch,
                                            const int affine)
{
    FOR_ROWS (r, each, rows) {
        const int line = r / ow, image = line / oh;
        const int corner_y = (line - image * oh) * stride - pad, corner_x = (r - line * ow) * stride - pad;
        const int first_y = max(corner_y, 0), first_x = max(corner_x, 0);
        const int end_y = min(corner_y + window, h), end_x = min(corner_x + window, w);
        FOR_CHANNELS (channel, vectors) {
            const meaning as = meaning_of(saved + saved_at + channel, saved_pitch, affine);
            floatv m = meant(&as, LOADV(x + x_at + PIXEL(image, h, first_y, w, first_x, x_pitch) + channel));
            floatv first = (float)((first_y - corner_y) * window + first_x - corner_x);
            for (int i = first_y; i < end_y; i++) {
                for (int j = first_x; j < end_x; j++) {
                    __global const float *in = x + x_at + PIXEL(image, h, i, w, j, x_pitch) + channel;
                    const floatv v = meant(&as, LOADV(in));
                    PREFETCH_AHEAD(in, AHEAD * stride, x_pitch);
                    const intv larger = (v > m) | ((v != v) & (m == m));
                    m = larger ? v : m;
                    first = larger ? (floatv)((float)((i - corner_y) * window + j - corner_x)) : first;
                }
            }
            STOREV(first, position + position_at + (size_t)r * VW * vectors + channel);
        }
    }
}
