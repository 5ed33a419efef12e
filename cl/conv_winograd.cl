/* 3x3 convolutions of stride 1 by Winograd's F(4x4, 3x3): from a tile's 6x6 inputs to planes, in each the product over
 * the channels, and from the products to 4x4 outputs (A^T m A). All in one kernel, but for the planes of so many
 * channels that only few tiles' had room, for which the weights, four times the filter's, would come from memory again.
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

/* G g G^T of every filter: [blocks of 16 output channels][36][in][16], from W as conv_gather_pack reads it. One
 * work-item a block's output channels of one input channel; its neighbour has the next, which lies next to it. */
__kernel void conv_winograd_pack(__global const float *w, const ulong w_at, __global float *packed,
                                 const ulong packed_at, const int in, const int out, const int w_tap, const int w_in,
                                 const int w_out)
{
    const int i = (int)get_global_id(0), o = VW * (int)get_global_id(1);
    if (i >= in) return;
    float lanes[9 * VW];
    for (int t = 0; t < 9; t++) {
        __global const float *from = w + w_at + (long)t * w_tap + (size_t)i * w_in + (size_t)o * w_out;
        if (w_out == 1 && o + VW <= out)
            AT(__private, unalignedv, lanes + t * VW) = LOADV(from);
        else
            for (int k = 0; k < VW; k++) lanes[VW * t + k] = o + k < out ? from[(size_t)k * w_out] : 0.0f;
    }
    floatv half_way[18], column[3], u[6];
#pragma unroll
    for (int k = 0; k < 3; k++) { /* down each column of the filter: half_way[6][3] */
#pragma unroll
        for (int r = 0; r < 3; r++) column[r] = AT(__private const, unalignedv, lanes + (3 * r + k) * VW);
        transform_weights(column, u);
#pragma unroll
        for (int r = 0; r < 6; r++) half_way[3 * r + k] = u[r];
    }
    __global float *to = packed + packed_at + ((size_t)(o / VW) * PLANE_COUNT * in + i) * VW;
#pragma unroll
    for (int r = 0; r < 6; r++) {
        transform_weights(half_way + 3 * r, u);
#pragma unroll
        for (int k = 0; k < 6; k++) STOREV(u[k], to + (size_t)(6 * r + k) * in * VW);
    }
}

/* Products of n tiles from `first` on; where there are not so many, of the last n. Of fewer than n altogether, what
 * lies behind them is multiplied, too. */
#define DEFINE_MULTIPLY(n)                                                                                            \
    INLINE void multiply_##n(PLANE_SPACE const float *plane, __global const float *weights, const int in,             \
                             const int first, const int tiles, SHARED floatv *products)                               \
    {                                                                                                                 \
        const int from = max(0, min(first, tiles - n));                                                               \
        const size_t row = in, at = from * in;                                                                        \
        PLANE_SPACE const float *near = plane + at, *far = near + (n / 2) * row;                                      \
        floatv acc[n];                                                                                                \
        _Pragma("unroll") for (int j = 0; j < n; j++) acc[j] = (floatv)(0.0f);                                        \
        for (int c = 0; c < in; c += 4, near += 4, far += 4, weights += 4 * VW) {                                     \
            _Pragma("unroll") for (int i = 0; i < 4; i++) {                                                           \
                const floatv w = LOADV(weights + i * VW);                                                             \
                if (FAR) WALSH_PREFETCH(weights + (in + i) * VW); /* the next plane's: they come from memory */       \
                _Pragma("unroll") for (int j = 0; j < n / 2; j++) acc[j] += near[j * row + i] * w;                    \
                _Pragma("unroll") for (int j = n / 2; j < n; j++) acc[j] += far[(j - n / 2) * row + i] * w;           \
            }                                                                                                         \
        }                                                                                                             \
        _Pragma("unroll") for (int j = 0; j < n; j++) products[from + j] = acc[j];                                    \
    }
DEFINE_BLOCKS(DEFINE_MULTIPLY)

/* Products [tile] = the tile's channels in one plane times `weights` [in][16]. */
INLINE void multiply(PLANE_SPACE const float *plane, __global const float *weights, const int in, const int tiles,
                     SHARED floatv *products)
{
    for (int first = 0, few = FEW_OF(tiles); first < tiles; few--)
        if (few > 0) {
            MULTIPLY_FEW(plane, weights, in, first, tiles, products);
            first += FEW;
        } else {
            MULTIPLY_MANY(plane, weights, in, first, tiles, products);
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
/* The planes [36][tiles][in], `plane` floats each, of some groups of lines from first_group on, group_tiles tiles each
 * at most. One work-item slice_each channels of a group. */
__kernel void conv_winograd_planes(__global const float *x, const ulong x_at, __global const float *with,
                                   const ulong with_at, __global const float *rows, const ulong rows_at,
                                   __global float *planes, const ulong planes_at, const int mode, const int lines,
                                   const int group_lines, const int first_group, const int group_tiles,
                                   const int plane, const int slice_each, const int in, const int x_h, const int x_w,
                                   const int x_pitch, const int with_pitch, const int rows_pitch, const int y_h,
                                   const int y_w, const int shift)
{
    SHARED float staged[STAGED] __attribute__((aligned(64)));
    const source from = {x + x_at, with + with_at, rows + rows_at, mode, in, x_h, x_w, x_pitch, with_pitch, rows_pitch};
    const int c = slice_each * (int)get_group_id(0), count = min(slice_each, in - c);
    const slice its = {c, c + count, count};
    const int group = (int)get_group_id(1), first_line = (first_group + group) * group_lines;
    const int line_end = min(first_line + group_lines, lines), across = (y_w + 3) / 4;
    planes += planes_at + (size_t)group * group_tiles * in + c;
    for (int line = first_line; line < line_end; line = next_line(line, line_end, y_h)) {
        const int image = line / y_h, top = line - image * y_h;
        stage_image(&from, &its, image, staged, 6, 4 * across + 2, top + shift, shift, 1);
        transform_lines(staged, 4 * across + 2, count, planes, plane, in, across);
        planes += across * in;
    }
}
#endif

/* See conv_direct.cl, whose arguments these are but for what a 3x3 filter settles. `room_tiles`: tiles at a time;
 * `far`, far_plane, first_group and group_tiles: the planes and arguments of conv_winograd_planes, where they are FAR. */
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
                            const int partial_pitch, const int shift, __global const float *far, const ulong far_at,
                            const int far_plane, const int first_group, const int group_tiles)
{
    SHARED float staged[STAGED] __attribute__((aligned(64)));
#if !FAR
    SHARED float planes[PLANES] __attribute__((aligned(64)));
#endif
    SHARED floatv products[PLANE_COUNT * TILES];
    SHARED int to[TX];
    int row_line[TILES];
    const source from = {x + x_at, with + with_at, rows + rows_at, mode, in, x_h, x_w, x_pitch, with_pitch, rows_pitch};
    const slice all = {0, in, in};
    const int group = first_group + (int)get_group_id(1), first_line = group * group_lines;
    const int line_end = min(first_line + group_lines, lines);
    const int o_first = BLOCK * blocks_each * (int)get_group_id(0), o_end = min(o_first + BLOCK * blocks_each, out);
    const int across = (y_w + 3) / 4;
#if FAR
    const size_t plane = far_plane;
    __global const float *planes = far + far_at + get_group_id(1) * (size_t)group_tiles * in;
#else
    const size_t plane = room_tiles * in + VW;
#endif
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
            __global const float *block = packed + packed_at + (size_t)(o / BLOCK) * PLANE_COUNT * in * BLOCK;
            const gate g = {u + u_at + o, saved + saved_at + o, z + z_at + o, u_pitch, saved_pitch, z_pitch};
            const floatv start = biased ? load_part(bias + bias_at + o, room) : (floatv)(0.0f);
            floatv sums[2] = {(floatv)(0.0f), (floatv)(0.0f)};
            for (int p = 0; p < PLANE_COUNT; p++) {
                const int pixel = batch_line * y_w + p * pixels / PLANE_COUNT;
                const int pixel_count = batch_line * y_w + (p + 1) * pixels / PLANE_COUNT - pixel;
                if (!FAR) prefetch_part(&from, &all, &next, (o - o_first) / BLOCK * PLANE_COUNT + p, 0, 1);
                prefetch_written(pixel, pixel_count, y + o, y_pitch, epilogue, &g);
                multiply(planes + p * plane, block + (size_t)p * in * BLOCK, in, tiles, products + p * TILES);
            }
            for (int tile = 0; tile < tiles; tile++) {
                const int its_line = row_line[tile / across], column = 4 * (tile % across);
                const int next_line = tile / across + 1 < tile_rows ? row_line[tile / across + 1] : line;
                floatv half_way[24];
                for (int k = 0; k < 6; k++) {
                    SHARED const floatv *its_products = products + k * TILES + tile;
                    floatv m[6], down[4];
#pragma unroll
                    for (int r = 0; r < 6; r++) m[r] = its_products[6 * r * TILES];
                    transform_output(m, down);
#pragma unroll
                    for (int r = 0; r < 4; r++) half_way[6 * r + k] = down[r];
                }
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
        planes += tiles * in;
#endif
    }
    if (epilogue != STATISTICS) return;
    const int row = first_line * y_w, row_count = (line_end - first_line) * y_w;
    for (int o = o_first; o < o_end; o += BLOCK)
        statistics(y + (size_t)row * y_pitch + o, row_count, y_pitch, out - o, partial + o, partial_pitch, staged);
}
