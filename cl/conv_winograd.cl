/* 3x3 convolutions of stride 1 by Winograd's F(4x4, 3x3): from a tile's 6x6 inputs to planes, in each the product over
 * the channels, and from the products to 4x4 outputs (A^T m A). All in one kernel, but for so many channels that only
 * few tiles' planes had room, for which the weights, four times the filter's, would come from memory again: then planes
 * and products of many tiles are in memory, and weights are transformed where they are used.
 *
 * A work-item takes a group of lines of output as conv_direct.cl does, and of these as many rows of tiles at a time as
 * there is room for. For CPUs. */
#ifndef VW
#define VW 16
#endif
#define TX 4 /* a line of a tile's outputs */
#include "conv_tile.clh"
#include "winograd.clh"

/* Floats of all planes, and tiles at a time. */
#ifndef PLANES
#define PLANES 4096
#endif
#ifndef TILES
#define TILES 8
#endif
#if FAR
#define WEIGHT_SPACE SHARED
#define PRODUCT_SPACE __global
#define SLICE 64 /* input channels that are taken at a time, WALSH_FAR_SLICE */
#else
#define WEIGHT_SPACE __global
#define PRODUCT_SPACE SHARED
#endif
/* A tile's products [36][VW]. */
#define PRODUCT_ROW (PLANE_COUNT * VW)

/* A^T m of six vectors: four. */
INLINE void transform_output(const floatv *m, floatv *y)
{
    const floatv sum = m[1] + m[2], difference = m[1] - m[2], far_sum = m[3] + m[4], far = m[3] - m[4];
    y[0] = m[0] + sum + far_sum;
    y[1] = difference + 2.0f * far;
    y[2] = sum + 4.0f * far_sum;
    y[3] = difference + 8.0f * far + m[5];
}

/* G g of three. */
INLINE void transform_weights(const floatv *g, floatv *u)
{
    const floatv sum = (g[0] + g[2]) * (-1.0f / 6), far = g[0] * (1.0f / 24) + g[2] * (1.0f / 6);
    u[0] = 0.25f * g[0];
    u[1] = sum - g[1] * (1.0f / 6);
    u[2] = sum + g[1] * (1.0f / 6);
    u[3] = far + g[1] * (1.0f / 12);
    u[4] = far - g[1] * (1.0f / 12);
    u[5] = g[2];
}

#define FIRST_OF_TWO(a, b)                                                                                             \
    ((float16)(a.s0, b.s0, a.s1, b.s1, a.s2, b.s2, a.s3, b.s3, a.s4, b.s4, a.s5, b.s5, a.s6, b.s6, a.s7, b.s7))
#define LAST_OF_TWO(a, b)                                                                                              \
    ((float16)(a.s8, b.s8, a.s9, b.s9, a.sa, b.sa, a.sb, b.sb, a.sc, b.sc, a.sd, b.sd, a.se, b.se, a.sf, b.sf))

/* The transpose of 16x16, by four perfect shuffles of all its rows. */
INLINE void transpose(floatv *rows)
{
    floatv shuffled[VW];
    for (int round = 0; round < 4; round++) {
#pragma unroll
        for (int i = 0; i < VW / 2; i++) {
            shuffled[2 * i] = FIRST_OF_TWO(rows[i], rows[i + VW / 2]);
            shuffled[2 * i + 1] = LAST_OF_TWO(rows[i], rows[i + VW / 2]);
        }
#pragma unroll
        for (int i = 0; i < VW; i++) rows[i] = shuffled[i];
    }
}

/* filters[9][VW]: those from VW input channels from i on, a vector each, to VW output channels from o on. W is read as
 * by conv_gather_pack; either its output channels lie side by side, or its input channels. */
INLINE void load_filters(__global const float *w, const int i, const int o, const int out, const int w_tap,
                         const int w_in, const int w_out, floatv *filters)
{
    w += (size_t)i * w_in + (size_t)o * w_out;
    for (int t = 0; t < 9; t++, w += w_tap, filters += VW) {
        floatv rows[VW];
        for (int k = 0; k < VW; k++)
            if (w_out == 1)
                rows[k] = load_part(w + (size_t)k * w_in, out - o);
            else
                rows[k] = o + k < out ? LOADV(w + (size_t)k * w_out) : (floatv)(0.0f);
        if (w_out != 1) transpose(rows);
        for (int k = 0; k < VW; k++) filters[k] = rows[k];
    }
}

/* G g G^T of VW of these filters: each 36 vectors, `plane` floats apart. */
INLINE void transform_filters(const floatv *filters, WEIGHT_SPACE float *to, const size_t plane)
{
    for (int i = 0; i < VW; i++, filters++, to += VW) {
        floatv half_way[18], column[3], u[6];
#pragma unroll
        for (int k = 0; k < 3; k++) { /* down each column of the filter: half_way[6][3] */
#pragma unroll
            for (int r = 0; r < 3; r++) column[r] = filters[(3 * r + k) * VW];
            transform_weights(column, u);
#pragma unroll
            for (int r = 0; r < 6; r++) half_way[3 * r + k] = u[r];
        }
#pragma unroll
        for (int r = 0; r < 6; r++) {
            transform_weights(half_way + 3 * r, u);
#pragma unroll
            for (int k = 0; k < 6; k++) AT(WEIGHT_SPACE, unalignedv, to + (6 * r + k) * plane) = u[k];
        }
    }
}

#if !FAR
/* All filters: [blocks of 16 output channels][36][in][16]. One work-item a block's of 16 input channels. */
__kernel void conv_winograd_pack(__global const float *w, const ulong w_at, __global float *packed,
                                 const ulong packed_at, const int in, const int out, const int w_tap, const int w_in,
                                 const int w_out)
{
    floatv filters[9 * VW];
    const int i = VW * (int)get_group_id(0), block = (int)get_group_id(1);
    load_filters(w + w_at, i, VW * block, out, w_tap, w_in, w_out, filters);
    transform_filters(filters, packed + packed_at + ((size_t)block * PLANE_COUNT * in + i) * VW, (size_t)in * VW);
}
#endif

/* Products of n tiles from `first` on; where there are not so many, of the last n. Of fewer than n altogether, what
 * lies behind them is multiplied, too. */
#define DEFINE_MULTIPLY(n)                                                                                            \
    INLINE void multiply_##n(PLANE_SPACE const float *plane, WEIGHT_SPACE const float *weights, const int in,         \
                             const int first, const int tiles, const int add, PRODUCT_SPACE float *products)          \
    {                                                                                                                 \
        const int from = max(0, min(first, tiles - n));                                                               \
        const size_t row = in, at = from * in;                                                                        \
        PLANE_SPACE const float *near = plane + at, *far = near + (n / 2) * row;                                      \
        floatv acc[n];                                                                                                \
        products += from * PRODUCT_ROW;                                                                               \
        _Pragma("unroll") for (int j = 0; j < n; j++) acc[j] =                                                        \
            add ? AT(PRODUCT_SPACE const, unalignedv, products + j * PRODUCT_ROW) : (floatv)(0.0f);                   \
        for (int c = 0; c < in; c += 4, near += 4, far += 4, weights += 4 * VW) {                                     \
            _Pragma("unroll") for (int i = 0; i < 4; i++) {                                                           \
                const floatv w = AT(WEIGHT_SPACE const, unalignedv, weights + i * VW);                                \
                _Pragma("unroll") for (int j = 0; j < n / 2; j++) acc[j] += near[j * row + i] * w;                    \
                _Pragma("unroll") for (int j = n / 2; j < n; j++) acc[j] += far[(j - n / 2) * row + i] * w;           \
            }                                                                                                         \
        }                                                                                                             \
        _Pragma("unroll") for (int j = 0; j < n; j++)                                                                 \
            AT(PRODUCT_SPACE, unalignedv, products + j * PRODUCT_ROW) = acc[j];                                       \
    }
DEFINE_BLOCKS(DEFINE_MULTIPLY)

/* Products [tile] = (or +=, for a multiple of FEW tiles) the tile's channels in one plane times `weights` [in][16]. */
INLINE void multiply(PLANE_SPACE const float *plane, WEIGHT_SPACE const float *weights, const int in, const int tiles,
                     const int add, PRODUCT_SPACE float *products)
{
    for (int first = 0, few = FEW_OF(tiles); first < tiles; few--)
        if (few > 0) {
            MULTIPLY_FEW(plane, weights, in, first, tiles, add, products);
            first += FEW;
        } else {
            MULTIPLY_MANY(plane, weights, in, first, tiles, add, products);
            first += MANY;
        }
}

/* The pixels of a line of a tile. */
INLINE void list_line(SHARED int *to, const int line, const int column, const int width)
{
#pragma unroll
    for (int j = 0; j < TX; j++) to[j] = line * width + column + j;
}

/* The first line of the next row of tiles. */
INLINE int next_line(const int line, const int line_end, const int y_h)
{
    return min(min(line + 4, line_end), (line / y_h + 1) * y_h);
}

#if FAR
/* The planes of some groups of lines from first_group on, group_tiles tiles each at most: [slices][36][tiles][SLICE],
 * `plane` floats each; the last slice's are not so wide. One work-item a slice of a group. */
__kernel void conv_winograd_planes(__global const float *x, const ulong x_at, __global const float *with,
                                   const ulong with_at, __global const float *rows, const ulong rows_at,
                                   __global float *planes, const ulong planes_at, const int mode, const int lines,
                                   const int group_lines, const int first_group, const int group_tiles,
                                   const int plane, const int in, const int x_h, const int x_w, const int x_pitch,
                                   const int with_pitch, const int rows_pitch, const int y_h, const int y_w,
                                   const int shift)
{
    SHARED float staged[STAGED] __attribute__((aligned(64)));
    const source from = {x + x_at, with + with_at, rows + rows_at, mode, in, x_h, x_w, x_pitch, with_pitch, rows_pitch};
    const int slice_index = (int)get_group_id(0), c = SLICE * slice_index, count = min(SLICE, in - c);
    const slice its = {c, c + count, count};
    const int group = (int)get_group_id(1), first_line = (first_group + group) * group_lines;
    const int line_end = min(first_line + group_lines, lines), across = (y_w + 3) / 4;
    planes += planes_at + (size_t)slice_index * PLANE_COUNT * plane + (size_t)group * group_tiles * count;
    for (int line = first_line; line < line_end; line = next_line(line, line_end, y_h)) {
        const int image = line / y_h, top = line - image * y_h;
        stage_image(&from, &its, image, staged, 6, 4 * across + 2, top + shift, shift, 1);
        transform_lines(staged, 4 * across + 2, count, planes, plane, count, across);
        planes += across * count;
    }
}

/* Asks for the p-th part of the filters from SLICE input channels from i on, of which either input or output channels
 * lie side by side: 64 lines of a tap. */
INLINE void prefetch_filters(__global const float *w, const int i, const int o, const int w_tap, const int w_in,
                             const int w_out, const int p)
{
    w += (long)(p / 4) * w_tap + (size_t)i * w_in + (size_t)o * w_out;
    for (int n = 16 * (p % 4); n < 16 * (p % 4 + 1); n++)
        prefetch_lanes(w + (w_out == 1 ? (size_t)n * w_in : (size_t)(n / 4) * w_out + n % 4 * 16), VW);
}

/* The products of these planes and of W: [blocks of 16 output channels][tiles][36][16]. One work-item a block's of
 * tiles_each tiles, a multiple of FEW as all tiles are; a slice's weights, transformed, stay in the cache. */
__kernel void conv_winograd_products(__global const float *w, const ulong w_at, __global const float *planes,
                                     const ulong planes_at, __global float *products, const ulong products_at,
                                     const int in, const int out, const int w_tap, const int w_in, const int w_out,
                                     const int plane, const int tiles, const int tiles_each)
{
    SHARED float weights[PLANE_COUNT * SLICE * VW] __attribute__((aligned(64)));
    const int block = (int)get_group_id(0), first = tiles_each * (int)get_group_id(1);
    const int count = min(tiles_each, tiles - first);
    planes += planes_at;
    products += products_at + ((size_t)block * tiles + first) * PRODUCT_ROW;
    for (int c = 0; c < in; c += SLICE, planes += (size_t)PLANE_COUNT * plane) {
        const int slice = min(SLICE, in - c);
        for (int i = 0; i < slice; i += VW) {
            floatv filters[9 * VW];
            load_filters(w + w_at, c + i, VW * block, out, w_tap, w_in, w_out, filters);
            transform_filters(filters, weights + i * VW, SLICE * VW);
        }
        for (int p = 0; p < PLANE_COUNT; p++) {
            if (c + SLICE < in) prefetch_filters(w + w_at, c + SLICE, VW * block, w_tap, w_in, w_out, p);
            multiply(planes + p * (size_t)plane + first * slice, weights + p * SLICE * VW, slice, count, c > 0,
                     products + p * VW);
        }
    }
}
#endif

/* A^T m of the columns of a tile's products: half_way[4][6]. */
INLINE void transform_columns(PRODUCT_SPACE const float *products, floatv *half_way)
{
    for (int k = 0; k < 6; k++, products += VW) {
        floatv m[6], down[4];
#pragma unroll
        for (int r = 0; r < 6; r++) m[r] = AT(PRODUCT_SPACE const, unalignedv, products + 6 * r * VW);
        transform_output(m, down);
#pragma unroll
        for (int r = 0; r < 4; r++) half_way[6 * r + k] = down[r];
    }
}

/* See conv_direct.cl, whose arguments these are but for what a 3x3 filter settles. `room_tiles`: tiles at a time. FAR:
 * `packed` are products, of all_tiles tiles, of the groups from first_group on, group_tiles tiles each. */
__kernel void conv_winograd(__global const float *x, const ulong x_at, __global const float *with, const ulong with_at,
                            __global const float *rows, const ulong rows_at, __global const float *packed,
                            const ulong packed_at, __global const float *bias, const ulong bias_at, __global float *y,
                            const ulong y_at, __global const float *u, const ulong u_at, __global const float *saved,
                            const ulong saved_at, __global const float *z, const ulong z_at, __global float *partial,
                            const ulong partial_at, const int mode, const int epilogue, const int biased,
                            const int accumulate, const int lines, const int group_lines, const int room_tiles,
                            const int blocks_each, const int in, const int out, const int x_h, const int x_w,
                            const int x_pitch, const int with_pitch, const int rows_pitch, const int y_h, const int y_w,
                            const int y_pitch, const int u_pitch, const int saved_pitch, const int z_pitch,
                            const int partial_pitch, const int shift, const int first_group, const int group_tiles,
                            const int all_tiles)
{
    SHARED float staged[STAGED] __attribute__((aligned(64)));
#if !FAR
    SHARED float planes[PLANES] __attribute__((aligned(64)));
    SHARED float products[TILES * PRODUCT_ROW] __attribute__((aligned(64)));
    const int plane = room_tiles * in + VW;
#else
    int done = group_tiles * (int)get_group_id(1);
#endif
    SHARED int to[TX];
    int row_line[TILES];
    const source from = {x + x_at, with + with_at, rows + rows_at, mode, in, x_h, x_w, x_pitch, with_pitch, rows_pitch};
    const slice all = {0, in, in};
    const int group = first_group + (int)get_group_id(1), first_line = group * group_lines;
    const int line_end = min(first_line + group_lines, lines);
    const int o_first = BLOCK * blocks_each * (int)get_group_id(0), o_end = min(o_first + BLOCK * blocks_each, out);
    const int across = (y_w + 3) / 4;
    packed += packed_at;
    y += y_at;
    partial += partial_at + (size_t)group * 2 * partial_pitch;

    for (int line = first_line; line < line_end;) {
        const int batch_line = line;
        int tile_rows = 0;
        for (; line < line_end && (tile_rows + 1) * across <= room_tiles; tile_rows++) {
#if !FAR
            const int image = line / y_h, top = line - image * y_h;
            stage_image(&from, &all, image, staged, 6, 4 * across + 2, top + shift, shift, 1);
            transform_lines(staged, 4 * across + 2, in, planes + tile_rows * across * in, plane, in, across);
#endif
            row_line[tile_rows] = line;
            line = next_line(line, line_end, y_h);
        }
        const int tiles = tile_rows * across, count = line - batch_line, pixels = count * y_w;
        /* About what the next rows of tiles read. */
        const ahead next = ahead_of(&all, (long)line * x_h / y_h * x_w, count * x_h / y_h * x_w,
                                    (o_end - o_first + BLOCK - 1) / BLOCK * PLANE_COUNT);
        for (int o = o_first; o < o_end; o += BLOCK) {
            const int room = out - o;
            const gate g = {u + u_at + o, saved + saved_at + o, z + z_at + o, u_pitch, saved_pitch, z_pitch};
            const floatv start = biased ? load_part(bias + bias_at + o, room) : (floatv)(0.0f);
            floatv sums[2] = {(floatv)(0.0f), (floatv)(0.0f)};
#if FAR
            __global const float *products = packed + ((size_t)(o / BLOCK) * all_tiles + done) * PRODUCT_ROW;
#endif
            for (int p = 0; p < PLANE_COUNT; p++) {
                const int pixel = batch_line * y_w + p * pixels / PLANE_COUNT;
                const int pixel_count = batch_line * y_w + (p + 1) * pixels / PLANE_COUNT - pixel;
                prefetch_written(pixel, pixel_count, y + o, y_pitch, epilogue, &g);
#if !FAR
                prefetch_part(&from, &all, &next, (o - o_first) / BLOCK * PLANE_COUNT + p, 0, 1);
                multiply(planes + p * plane, packed + ((size_t)(o / BLOCK) * PLANE_COUNT + p) * in * BLOCK, in, tiles,
                         0, products + p * VW);
#endif
            }
            for (int tile = 0; tile < tiles; tile++) {
                const int its_line = row_line[tile / across], column = 4 * (tile % across);
                const int next_line = tile / across + 1 < tile_rows ? row_line[tile / across + 1] : line;
                floatv half_way[24];
                transform_columns(products + tile * PRODUCT_ROW, half_way);
                for (int r = 0; r < 4 && its_line + r < next_line; r++) {
                    floatv acc[TX];
                    transform_output(half_way + 6 * r, acc);
#pragma unroll
                    for (int j = 0; j < TX; j++) acc[j] += start;
                    list_line(to, its_line + r, column, y_w);
                    finish(acc, to, y_w - column, y + o, y_pitch, room, accumulate, epilogue, &g, sums);
                }
            }
            if (SUMS(epilogue)) store_sums(sums, &g, partial + o, partial_pitch, room, batch_line > first_line);
        }
#if FAR
        done += tiles;
#endif
    }
    if (epilogue != STATISTICS) return;
    const int row = first_line * y_w, row_count = (line_end - first_line) * y_w;
    for (int o = o_first; o < o_end; o += BLOCK)
        statistics(y + (size_t)row * y_pitch + o, row_count, y_pitch, out - o, partial + o, partial_pitch, staged);
}
