/* 3x3 convolutions of stride 1 by Winograd's F(2x2, 3x3): from a tile's 4x4 inputs to 16 planes (B^T d B), in each the
 * product over the channels, and from the products to 2x2 outputs (A^T m A); 16 multiplications for 36 (Lavin and Gray,
 * "Fast algorithms for convolutional neural networks", CVPR 2016). For GPUs: conv_winograd.cl is for CPUs.
 *
 * A work-group takes a group of lines of output as conv_direct.cl does, and a block of channels. Of the lines it takes
 * TILES tiles at a time, and goes through the input's channels in quads: lanes stage a quad of what the tiles read,
 * transform it to planes, and multiply: a lane SET tiles by eight channels of one plane. */
#ifndef LANES
#define LANES 128
#endif
#ifndef ACROSS
#define ACROSS 4
#endif
#define TX 2 /* a line of a tile's outputs */
#include "conv_tile.clh"
#include "winograd_2x2.clh"

#define TILES ROWS
/* Pixels of the input that are staged, some by each lane. */
#define STAGED_PIXELS 256
#define STAGED_EACH (STAGED_PIXELS / LANES)
/* The weights of a quad of input channels, some staged by each lane. */
#define WEIGHTS_EACH (FACTOR_FLOATS / 4 / LANES)
/* Floats that are shared: what the sums need, or the products of one quad of each pair, which come after them. */
#define SUMMING (4 * STAGED_PIXELS + PLANE_COUNT * PLANE_FLOATS + FACTOR_FLOATS)
#define FLOATS (SUMMING > 4 * PLANE_COUNT * PRODUCTS ? SUMMING : 4 * PLANE_COUNT * PRODUCTS)

/* G g of three. */
INLINE void transform_weights(const float4 *g, float4 *u)
{
    const float4 even = 0.5f * (g[0] + g[2]), odd = 0.5f * g[1];
    u[0] = g[0];
    u[1] = even + odd;
    u[2] = even - odd;
    u[3] = g[2];
}

/* G g G^T of every filter: [blocks of BLOCK output channels][quads of in][16][4][BLOCK], from W as conv_gather_pack
 * reads it. One work-item a quad of output channels of one input channel. */
__kernel void conv_winograd_2x2_pack(__global const float *w, const ulong w_at, __global float *packed,
                                     const ulong packed_at, const int in, const int out, const int w_tap,
                                     const int w_in, const int w_out)
{
    const int i = (int)get_global_id(0), o = 4 * (int)get_global_id(1);
    if (i >= in) return;
    float4 half_way[12], column[3], u[4];
#pragma unroll
    for (int k = 0; k < 3; k++) { /* down each column of the filter: half_way[4][3] */
#pragma unroll
        for (int r = 0; r < 3; r++) {
            __global const float *from = w + w_at + (long)(3 * r + k) * w_tap + (size_t)i * w_in + (size_t)o * w_out;
            if (o >= out)
                column[r] = (float4)(0.0f);
            else if (w_out == 1)
                column[r] = LOAD4(from);
            else
                column[r] = (float4)(from[0], from[w_out], from[2 * (size_t)w_out], from[3 * (size_t)w_out]);
        }
        transform_weights(column, u);
#pragma unroll
        for (int r = 0; r < 4; r++) half_way[3 * r + k] = u[r];
    }
    __global float *to =
        packed + packed_at + ((size_t)(o / BLOCK) * in + i / 4 * 4) * (PLANE_COUNT * BLOCK) + i % 4 * BLOCK + o % BLOCK;
#pragma unroll
    for (int r = 0; r < 4; r++) {
        transform_weights(half_way + 3 * r, u);
#pragma unroll
        for (int k = 0; k < 4; k++) STORE4(u[k], to + (4 * r + k) * DEPTH * BLOCK);
    }
}

/* Some lines of output, counted through all images, and of these the columns from x on: `across` tiles a row, which
 * read `cols` columns. Lines of an image make up rows of tiles; the last one's second line may not be among them. */
typedef struct patch {
    int line, end, x, across, cols;
} patch;

/* Those of a patch that lie in one image: the first one's number there, how many, and rows of tiles. */
typedef struct part {
    int image, top, lines, rows;
} part;

INLINE part part_of(const int line, const int end, const int y_h)
{
    part p = {line / y_h, line % y_h};
    p.lines = min(end - line, y_h - p.top), p.rows = (p.lines + 1) / 2;
    return p;
}

/* Sets p->end: as many lines as there is room for, `line_end` at most. */
INLINE void end_patch(patch *p, const int line_end, const int y_h)
{
    int tiles = TILES, pixels = STAGED_PIXELS;
    for (p->end = p->line; p->end < line_end;) {
        const part its = part_of(p->end, line_end, y_h);
        const int rows = min(its.rows, min(tiles / p->across, pixels / p->cols / 2 - 1));
        if (rows > 0) p->end += min(its.lines, 2 * rows);
        if (rows < its.rows) break;
        tiles -= rows * p->across, pixels -= (2 * rows + 2) * p->cols;
    }
}

/* What a list of tiles holds of each: where its first input lies in `staged`, the number of its first output among all
 * images' pixels, and whether it has a second column (1) and a second line (2). */
typedef struct tile_list {
    SHARED int *at, *to, *has;
} tile_list;

/* Returns how many tiles there are. */
INLINE int list_tiles(const patch *p, const tile_list *list, const int y_h, const int y_w)
{
    int tile = 0, pixel = 0;
    for (int line = p->line; line < p->end;) {
        const part its = part_of(line, p->end, y_h);
        for (int i = LANE; i < its.rows * p->across; i += LANES) {
            const int y = i / p->across * 2, x = i % p->across * 2;
            list->at[tile + i] = 4 * (pixel + y * p->cols + x);
            list->to[tile + i] = (line + y) * y_w + p->x + x;
            list->has[tile + i] = (p->x + x + 1 < y_w) + 2 * (y + 1 < its.lines);
        }
        tile += its.rows * p->across;
        pixel += (2 * its.rows + 2) * p->cols;
        line += its.lines;
    }
    return tile;
}

/* The input's pixel that is staged as number i, among all images' pixels; negative: none, but zeros. */
INLINE int staged_pixel(const patch *p, const source *s, int i, const int y_h, const int shift)
{
    int pixel = -1;
    for (int line = p->line; line < p->end;) {
        const part its = part_of(line, p->end, y_h);
        const int count = (2 * its.rows + 2) * p->cols;
        const int y = its.top + shift + i / p->cols, x = p->x + shift + i % p->cols;
        if (i >= 0 && i < count && (uint)y < (uint)s->h && (uint)x < (uint)s->w)
            pixel = (its.image * s->h + y) * s->w + x;
        i -= count;
        line += its.lines;
    }
    return pixel;
}

/* Channels [c, c + 4) of the lane's pixels, as what the source's mode says. */
INLINE void stage_quad(const source *s, const int *pixel, const int c, SHARED float *staged)
{
    float4 row[4];
#pragma unroll
    for (int i = 0; i < 4; i++) row[i] = s->mode == AS_IT_IS ? (float4)(0.0f) : LOAD4(s->rows + i * s->rows_pitch + c);
#pragma unroll
    for (int i = 0; i < STAGED_EACH; i++) {
        float4 v = (float4)(0.0f);
        if (pixel[i] >= 0) {
            v = LOAD4(s->x + pixel[i] * (size_t)s->x_pitch + c);
            if (s->mode == NORMALISED) v = normalised_4(row, v);
            if (s->mode == NORM_GRADIENT) v = norm_gradient_4(row, v, LOAD4(s->y + pixel[i] * (size_t)s->y_pitch + c));
        }
        STAGE4(v, staged + 4 * (LANE + i * LANES));
    }
}

/* The planes of one channel of a tile, from its 4x4 inputs there; `line` is floats from line to line. */
INLINE void transform_tile(SHARED const float *from, const int line, SHARED float *to)
{
    float half_way[16], d[4], t[4];
#pragma unroll
    for (int k = 0; k < 4; k++) {
#pragma unroll
        for (int r = 0; r < 4; r++) d[r] = from[r * line + 4 * k];
        transform_input(d, t);
#pragma unroll
        for (int r = 0; r < 4; r++) half_way[4 * r + k] = t[r];
    }
    transform_lines(half_way, to, PLANE_FLOATS);
}

/* acc += input channels [c, end) of a set of tiles in a plane times their weights. */
INLINE void multiply_channels(sum *acc, SHARED const float *plane, SHARED const float *weights, int c, const int end)
{
    do {
        multiply_two(acc, plane, weights);
        plane += 2 * SET;
        weights += 2 * BLOCK;
    } while ((c += 2) < end);
}

/* A line of a tile's outputs, the first or the second, from the tile's products. */
INLINE void transform_products(SHARED const float4 *m, const int second, float4 *outputs)
{
    const float sign = second ? -1.0f : 1.0f;
    SHARED const float4 *edge = m + second * 12 * PRODUCTS;
    float4 down[4];
#pragma unroll
    for (int k = 0; k < 4; k++) down[k] = m[(4 + k) * PRODUCTS] + sign * (edge[k * PRODUCTS] + m[(8 + k) * PRODUCTS]);
    outputs[0] = down[0] + down[1] + down[2];
    outputs[1] = down[1] - down[2] - down[3];
}

/* Writes such a line to y, of which the second pixel may be none. */
INLINE void store_line(const float4 *outputs, const int both, __global float *y, const int y_pitch, const float4 start,
                       const int accumulate)
{
#pragma unroll
    for (int j = 0; j < 2; j++) {
        if (j && !both) return;
        float4 v = outputs[j] + start;
        if (accumulate) v += LOAD4(y + j * y_pitch);
        STORE4(v, y + j * y_pitch);
    }
}

/* See conv_direct.cl, whose arguments these are but for what a 3x3 filter of stride 1 settles. At most patch_w columns
 * of output, an even number where these are not all, are taken at a time. */
WORK_GROUP
__kernel void conv_winograd_2x2(__global const float *x, const ulong x_at, __global const float *with,
                                const ulong with_at, __global const float *rows, const ulong rows_at,
                                __global const float *packed, const ulong packed_at, __global const float *bias,
                                const ulong bias_at, __global float *y, const ulong y_at, __global const float *u,
                                const ulong u_at, __global const float *saved, const ulong saved_at,
                                __global const float *z, const ulong z_at, __global float *partial,
                                const ulong partial_at, const int mode, const int epilogue, const int biased,
                                const int accumulate, const int lines, const int group_lines, const int patch_w,
                                const int in, const int out, const int x_h, const int x_w, const int x_pitch,
                                const int with_pitch, const int rows_pitch, const int y_h, const int y_w,
                                const int y_pitch, const int u_pitch, const int saved_pitch, const int z_pitch,
                                const int partial_pitch, const int shift)
{
    SHARED float shared[FLOATS] __attribute__((aligned(64)));
    SHARED int at[TILES], to[TILES], has[TILES];
    const tile_list list = {at, to, has};
    SHARED float *staged = shared, *planes = staged + 4 * STAGED_PIXELS;
    SHARED float *weights = planes + PLANE_COUNT * PLANE_FLOATS;
    SHARED float4 *products = (SHARED float4 *)shared;
    const source from = {x + x_at, with + with_at, rows + rows_at, MODE, in, x_h, x_w, x_pitch, with_pitch, rows_pitch};
    const int group = (int)get_group_id(1), first_line = group * group_lines;
    const int line_end = min(first_line + group_lines, lines), block = BLOCK * (int)get_group_id(0);
    /* A lane's part in the product, and after it: a line of a tile's outputs (there are no more than two). */
    const int plane = LANE / (SETS * PAIRS), set = LANE / PAIRS % SETS, pair = LANE % PAIRS;
    const int tile = set * SET + plane % SET, second = LANE / PRODUCTS;
    y += y_at;
    partial += partial_at + (size_t)group * 2 * partial_pitch;

    patch p = {first_line, first_line, 0, 0, 0};
    while (p.line < line_end) {
        p.across = (min(patch_w, y_w - p.x) + 1) / 2, p.cols = 2 * p.across + 2;
        if (!p.x) end_patch(&p, line_end, y_h);
        BARRIER; /* the last list and products have been read */
        const int tiles = list_tiles(&p, &list, y_h, y_w);
        int pixel[STAGED_EACH];
#pragma unroll
        for (int i = 0; i < STAGED_EACH; i++) pixel[i] = staged_pixel(&p, &from, LANE + i * LANES, y_h, shift);
        BARRIER;
        /* Its channel of the tile that the lane transforms, there and among the planes. */
        SHARED const float *its_inputs = staged + at[min(LANE / 4, tiles - 1)] + LANE % 4;
        SHARED float *its_planes = planes + LANE / 4 / SET * SET_FLOATS + LANE % 4 * SET + LANE / 4 % SET;
        __global const float *its_weights = packed + packed_at + (size_t)block * in * PLANE_COUNT + 4 * LANE;
        sum acc[2 * SET];
#pragma unroll
        for (int j = 0; j < 2 * SET; j++) acc[j] = SUM((float4)(0.0f));
        int c = 0;
        do {
            float4 w[WEIGHTS_EACH];
#pragma unroll
            for (int i = 0; i < WEIGHTS_EACH; i++) w[i] = LOAD4(its_weights + 4 * LANES * i);
            stage_quad(&from, pixel, c, staged);
            BARRIER; /* all have read the last planes and weights, too */
#pragma unroll
            for (int i = 0; i < WEIGHTS_EACH; i++) STAGE4(w[i], weights + 4 * (LANE + i * LANES));
            if (LANES == 4 * TILES || LANE < 4 * TILES) transform_tile(its_inputs, 4 * p.cols, its_planes);
            BARRIER;
            multiply_channels(acc, planes + plane * PLANE_FLOATS + set * SET_FLOATS,
                              weights + plane * DEPTH * BLOCK + 4 * pair, c, min(c + 4, in));
            its_weights += FACTOR_FLOATS;
        } while ((c += 4) < in);
#pragma unroll
        for (int q = 0; q < 2; q++) {
            const int o = block + 4 * (q * PAIRS + pair);
            BARRIER; /* what lay there has been read */
            share_products(acc, q, products + plane * PRODUCTS);
            BARRIER;
            if (tile < tiles && o < out && second < 2 && (!second || has[tile] & 2)) {
                const float4 start = biased ? LOAD4(bias + bias_at + o) : (float4)(0.0f);
                float4 outputs[2];
                transform_products(products + LANE % PRODUCTS, second, outputs);
                store_line(outputs, has[tile] & 1, y + ((size_t)to[tile] + second * y_w) * y_pitch + o, y_pitch, start,
                           accumulate);
            }
        }
        p.x += 2 * p.across;
        if (p.x >= y_w) p.x = 0, p.line = p.end;
    }
    if (EPILOGUE == STORE_ONLY) return;
    const int o = block + VW * O_LANE, row = first_line * y_w, row_count = (line_end - first_line) * y_w;
    y += (size_t)row * y_pitch + o;
    BARRIER_GLOBAL;
    if (EPILOGUE == STATISTICS) {
        statistics(y, row_count, y_pitch, out - o, partial + o, partial_pitch, shared);
        return;
    }
    const gate g = {u + u_at + o, saved + saved_at + o, z + z_at + o, u_pitch, saved_pitch, z_pitch};
    finish_rows(y, row, row_count, y_pitch, out - o, EPILOGUE, &g, partial + o, partial_pitch, shared);
}
