/* Gradient of the weights of 3x3 convolutions of stride 1 by Winograd's F(3x3, 2x2): tiles of 4x4 inputs and of 2x2
 * gradients become 16 planes, whose products are summed over all tiles of a group before they go back to 3x3 (G^T m G);
 * 16 multiplications for 36. The first of two stages, conv_filter_reduce of conv_filter.cl being the second. For GPUs:
 * conv_filter_winograd.cl is for CPUs.
 *
 * A work-group takes a group of lines of dY as conv_filter_direct.cl does, ROWS of the input's channels and BLOCK of
 * the output's. It goes through DEPTH rows of tiles at a time, from left to right: lanes load a channel of a row's next
 * tile each, but for the columns that it shares with the last one, transform it, and multiply: a lane SET of the
 * input's channels by eight of the output's, of one plane. */
#ifndef LANES
#define LANES 128
#endif
#ifndef ACROSS
#define ACROSS 8
#endif
#include "conv_stage.clh"
#define BLOCK (ACROSS * VW)
#ifndef SET
#define SET 8
#endif
#define GAP (2 * SET)
#include "winograd_2x2.clh"

/* Channels of rows of tiles, one a lane: the first lanes have inputs, the last ones gradients. */
#define INPUTS (DEPTH * ROWS)
#define GRADIENTS (DEPTH * BLOCK)
/* Floats that are shared: what the sums need, or the products of one quad of each pair, which come after them. */
#define SUMMING (PLANE_COUNT * PLANE_FLOATS + FACTOR_FLOATS)
#define FLOATS (SUMMING > 4 * PLANE_COUNT * PRODUCTS ? SUMMING : 4 * PLANE_COUNT * PRODUCTS)

/* How X and dY are staged. */
#ifndef MODE
#define MODE mode
#endif
#ifndef DY_MODE
#define DY_MODE dy_mode
#endif

/* Of one channel: normalised_ and norm_gradient_. */
DEFINE_NORMALISED()

/* A g of two. */
INLINE void transform_gradient(const float *g, float *t)
{
    t[0] = g[0];
    t[1] = g[0] + g[1];
    t[2] = g[0] - g[1];
    t[3] = -g[1];
}
DEFINE_TRANSFORM_LINES(transform_gradient_lines, 2, transform_gradient)

/* A row of tiles: its image, and its first line of outputs there and among all images'. */
typedef struct row {
    int image, top, line;
} row;

/* The n-th one after r, of images of h lines. */
INLINE row row_after(row r, const int n, const int h)
{
    for (int i = 0; i < n; i++) {
        r.top += 2, r.line += 2;
        if (r.top >= h) r.line -= r.top - h, r.top = 0, r.image++;
    }
    return r;
}

/* A channel of at most four neighbouring lines of an image: where each begins in s->x and s->y; -1, or 0 where it is
 * outside and begins where some other one does, so that no load waits for a branch; and what s->rows has. */
typedef struct band {
    __global const float *x[4], *y[4];
    int there[4];
    float row[4];
} band;

/* Channel c, for now of no lines. */
INLINE band band_of(const source *s, const int c)
{
    band b;
#pragma unroll
    for (int i = 0; i < 4; i++)
        b.row[i] = s->mode == AS_IT_IS || c >= s->in ? 0.0f : s->rows[i * s->rows_pitch + c];
    return b;
}

/* Of lines y to y + 3 of an image those in [0, bottom), bottom >= 0; where that is 0 there need be no such image, nor
 * channel. */
INLINE void begin_band(band *b, const source *s, const int image, const int y, const int bottom, const int c)
{
#pragma unroll
    for (int r = 0; r < 4; r++) {
        const long line = bottom ? (long)image * s->h + clamp(y + r, 0, s->h - 1) : 0;
        b->x[r] = s->x + line * s->w * s->x_pitch + (bottom ? c : 0);
        b->y[r] = s->y + line * s->w * s->y_pitch + (bottom ? c : 0);
        b->there[r] = (uint)(y + r) < (uint)bottom ? -1 : 0;
    }
}

/* d[n]: a column of n lines, as what the source's mode says; zeros outside. */
INLINE void fetch_column(const band *b, const source *s, const int column, const int n, float *d)
{
    const int inside = (uint)column < (uint)s->w ? -1 : 0, at = clamp(column, 0, s->w - 1);
#pragma unroll
    for (int r = 0; r < n; r++) {
        float v = b->x[r][at * s->x_pitch];
        if (s->mode == NORMALISED) v = normalised_(b->row, v);
        if (s->mode == NORM_GRADIENT) v = norm_gradient_(b->row, v, b->y[r][at * s->y_pitch]);
        d[r] = as_float(as_int(v) & b->there[r] & inside);
    }
}

/* half_way[4][4]: the last two columns, and behind them the next two of inputs, transformed. */
INLINE void next_inputs(const band *b, const source *s, const int column, float *half_way)
{
    float d[4], t[4];
#pragma unroll
    for (int k = 0; k < 2; k++) {
        fetch_column(b, s, column + k, 4, d);
        transform_input(d, t);
#pragma unroll
        for (int r = 0; r < 4; r++) half_way[4 * r + k] = half_way[4 * r + 2 + k], half_way[4 * r + 2 + k] = t[r];
    }
}

/* half_way[4][2]: the next two columns of gradients, transformed. */
INLINE void next_gradients(const band *b, const source *s, const int column, float *half_way)
{
    float g[2], t[4];
#pragma unroll
    for (int k = 0; k < 2; k++) {
        fetch_column(b, s, column + k, 2, g);
        transform_gradient(g, t);
#pragma unroll
        for (int r = 0; r < 4; r++) half_way[2 * r + k] = t[r];
    }
}

/* The r-th of three lines of taps, from the planes' sums. */
INLINE void transform_sums(SHARED const float4 *m, const int r, float4 *taps)
{
    const float sign = r == 1 ? -1.0f : 1.0f;
    float4 down[4];
#pragma unroll
    for (int k = 0; k < 4; k++) {
        down[k] = 0.5f * (m[(4 + k) * PRODUCTS] + sign * m[(8 + k) * PRODUCTS]);
        if (r != 1) down[k] += m[(6 * r + k) * PRODUCTS];
    }
    const float4 even = 0.5f * (down[1] + down[2]);
    taps[0] = down[0] + even;
    taps[1] = 0.5f * (down[1] - down[2]);
    taps[2] = even + down[3];
}

/* partial[group][3][3][ic][width]; see conv_filter_direct.cl. */
WORK_GROUP
__kernel void conv_filter_winograd_2x2(__global const float *x, const ulong x_at, __global const float *saved,
                                       const ulong saved_at, __global const float *dy, const ulong dy_at,
                                       __global const float *y, const ulong y_at, __global const float *factors,
                                       const ulong factors_at, __global float *partial, const ulong partial_at,
                                       const int mode, const int dy_mode, const int lines, const int group_lines,
                                       const int ic, const int oc, const int width, const int h, const int w,
                                       const int x_pitch, const int saved_pitch, const int oh, const int ow,
                                       const int dy_pitch, const int y_pitch, const int factors_pitch, const int pad)
{
    SHARED float shared[FLOATS] __attribute__((aligned(64)));
    SHARED float *planes = shared, *factor = shared + PLANE_COUNT * PLANE_FLOATS;
    SHARED float4 *products = (SHARED float4 *)shared;
    const source input = {x + x_at, x + x_at, saved + saved_at, MODE, ic, h, w, x_pitch, x_pitch, saved_pitch};
    const source output = {dy + dy_at, y + y_at, factors + factors_at, DY_MODE, oc, oh, ow, dy_pitch, y_pitch,
                           factors_pitch};
    const int group = (int)get_group_id(1), first = group * group_lines, end = min(first + group_lines, lines);
    const int o_first = BLOCK * (int)get_group_id(0), c_first = ROWS * (int)get_group_id(2);
    /* A lane's part in the product; the channels that it transforms, if any, and where their planes begin. */
    const int plane = LANE / (SETS * PAIRS), set = LANE / PAIRS % SETS, pair = LANE % PAIRS;
    const int has_inputs = INPUTS == LANES || LANE < INPUTS;
    const int has_gradients = GRADIENTS == LANES || LANE >= LANES - GRADIENTS;
    const int of_inputs = LANE % INPUTS, of_gradients = has_gradients ? LANE - (LANES - GRADIENTS) : 0;
    const int c = c_first + of_inputs % ROWS, o = o_first + of_gradients % BLOCK;
    SHARED float *its_inputs = planes + of_inputs % ROWS / SET * SET_FLOATS + of_inputs / ROWS * SET + of_inputs % SET;
    SHARED const float *its_plane = planes + plane * PLANE_FLOATS + set * SET_FLOATS;
    SHARED const float *its_factor = factor + plane * DEPTH * BLOCK + 4 * pair;
    band inputs = band_of(&input, c), gradients = band_of(&output, o);

    row next = {first / oh, first % oh, first};
    sum acc[2 * SET];
#pragma unroll
    for (int j = 0; j < 2 * SET; j++) acc[j] = SUM((float4)(0.0f));
    do {
        float half_way[16] = {0.0f}; /* columns of tiles of inputs; the next tile begins with the last two */
        if (has_inputs) {
            const row its = row_after(next, of_inputs / ROWS, oh);
            begin_band(&inputs, &input, its.image, its.top - pad, c < ic && its.line < end ? h : 0, c);
            next_inputs(&inputs, &input, -pad, half_way);
        }
        if (has_gradients) {
            const row its = row_after(next, of_gradients / BLOCK, oh);
            const int bottom = o < oc && its.line < end ? min(oh, its.top + end - its.line) : 0;
            begin_band(&gradients, &output, its.image, its.top, bottom, o);
        }
        int column = 0;
        do {
            if (has_inputs) {
                next_inputs(&inputs, &input, column - pad + 2, half_way);
                transform_lines(half_way, its_inputs, PLANE_FLOATS);
            }
            if (has_gradients) {
                float g[8];
                next_gradients(&gradients, &output, column, g);
                transform_gradient_lines(g, factor + of_gradients, DEPTH * BLOCK);
            }
            BARRIER;
#pragma unroll
            for (int i = 0; i < DEPTH; i += 2) multiply_two(acc, its_plane + i * SET, its_factor + i * BLOCK);
            BARRIER; /* the planes have been read */
        } while ((column += 2) < ow);
        next = row_after(next, DEPTH, oh);
    } while (next.line < end);

    partial += partial_at + (size_t)group * 9 * ic * width;
#pragma unroll
    for (int q = 0; q < 2; q++) {
        BARRIER; /* what lay there has been read */
        share_products(acc, q, products + plane * PRODUCTS);
        BARRIER;
        for (int i = LANE; i < 3 * PRODUCTS; i += LANES) {
            const int r = i / PRODUCTS, its_c = c_first + i / PAIRS % SETS * SET + i / (SETS * PAIRS) % SET;
            const int its_o = o_first + 4 * (q * PAIRS + i % PAIRS);
            if (its_c >= ic || its_o >= width) continue;
            float4 taps[3];
            transform_sums(products + i % PRODUCTS, r, taps);
#pragma unroll
            for (int k = 0; k < 3; k++) STORE4(taps[k], partial + ((size_t)(3 * r + k) * ic + its_c) * width + its_o);
        }
    }
}
