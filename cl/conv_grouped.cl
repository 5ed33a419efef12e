/* 1x1 convolution by groups, stride 1: matrix products of rows (pixels) by a group's channels. A work-group has one
 * group of channels of some rows, and stages what it reads of them, a strip at a time: what a tensor stands for is
 * computed on the way there, and a shuffle undone. On a CPU a work-item is alone and stages all the group's channels,
 * in private memory; on a GPU lanes share a slice of them in local memory, ACROSS of dimension 0 standing side by side
 * in the output's channels, those of dimension 1 dealing the tiles among them. */

/* Vectors of output channels of a work-item, rows of its tile, and rows of dW of its tile: TX * OV sums and what is
 * multiplied must fit a CPU's registers, TI * OV too. */
#ifndef OV
#define OV 1
#endif
#ifndef TX
#define TX 4
#endif
#ifndef TI
#define TI 4
#endif
/* Work-items side by side, in all, and floats that a work-group stages. */
#ifndef ACROSS
#define ACROSS 1
#endif
#ifndef LANES
#define LANES 1
#endif
#ifndef STAGED
#define STAGED 1024
#endif
#if LANES > 1
#define GROUPED 1
#endif
#include "walsh.clh"
#include "channels.clh"
#include "conv_finish.clh"
#include "conv_read.clh"
DEFINE_NORMALISED()
#if LANES == 1
DEFINE_NORMALISED(8)
DEFINE_NORMALISED(16)
#endif

#define DEALT (LANES / ACROSS)
#define BLOCK (ACROSS * OV * VW)
#if LANES > 1
#define SHARED __local
#define O_LANE ((int)get_local_id(0))
#define TILE_LANE ((int)get_local_id(1))
#define BARRIER barrier(CLK_LOCAL_MEM_FENCE)
#define WORK_GROUP __attribute__((reqd_work_group_size(ACROSS, DEALT, 1)))
#define UNROLL _Pragma("unroll") /* here a private array is in registers only if every index is known */
#else
#define SHARED __private
#define O_LANE 0
#define TILE_LANE 0
#define BARRIER
#define WORK_GROUP
#define UNROLL
#endif
#define LOAD_STAGED(p) AT(SHARED const, unalignedv, p)

/* Vector number v of `channels`: its first one. */
#define FIRST_OF(v, channels) min(VW * (v), (channels) - VW)

/* A group's channels of a tensor that counts them in order, or as they lay before a shuffle: see engine/op/conv.h. */
typedef struct lanes {
    int groups, each, group, shuffled;
} lanes;

INLINE int lane_of(const lanes *l, const int c)
{
    const int channel = l->group * l->each + c;
    return l->shuffled ? channel % l->groups * l->each + channel / l->groups : channel;
}

/* What a tensor is staged as: itself; scale*x + shift, rectified, `rows` being SAVED; or the input gradient of a batch
 * norm whose input is y, `rows` being FACTORS (engine/op/batchnorm.h). */
enum { AS_IT_IS, NORMALISED, NORMALISED_RELU, NORM_GRADIENT };

typedef struct source {
    __global const float *x, *y, *rows;
    int mode, x_pitch, y_pitch, rows_pitch;
    lanes its;
} source;

/* The group's channels of the rows that will be staged next, `count` from `row` on: asks for the i-th of `of` shares,
 * one while each tile is computed. */
INLINE void prefetch_rows(const source *s, const int row, const int count, const int i, const int of)
{
    const lanes *l = &s->its;
    const int runs = l->shuffled ? l->groups : 1, run = (l->each + runs - 1) / runs;
    for (int r = row + count * i / of; r < row + count * (i + 1) / of; r++)
        for (int k = 0; k < runs; k++) {
            const size_t lane = (size_t)lane_of(l, k);
            for (int c = 0; c < run; c += 16) {
                prefetch_lanes(s->x + (size_t)r * s->x_pitch + lane + c, min(16, run - c));
                if (s->mode == NORM_GRADIENT)
                    prefetch_lanes(s->y + (size_t)r * s->y_pitch + lane + c, min(16, run - c));
            }
        }
}

/* The channel at `lane` of the rows at p of x and q of y, as it is to be staged. */
INLINE float read_one(const source *s, __global const float *p, __global const float *q, const int lane)
{
    __global const float *r = s->rows + lane;
    const float v = p[lane];
    if (s->mode == AS_IT_IS) return v;
    const float row[4] = {r[0], r[s->rows_pitch], r[2 * s->rows_pitch], r[3 * s->rows_pitch]};
    if (s->mode == NORM_GRADIENT) return norm_gradient_(row, v, q[lane]);
    return s->mode == NORMALISED_RELU ? normalised_(row, v) : affine_(row, v);
}

#if LANES > 1
/* Channels [first, first + n) of the group of `count` rows from `row` on, to[n*row + channel]. */
INLINE void stage(const source *s, const int row, const int count, const int first, const int n, SHARED float *to)
{
    for (int i = TILE_LANE * ACROSS + O_LANE; i < count * n; i += LANES) {
        const size_t r = (size_t)(row + i / n);
        to[i] = read_one(s, s->x + r * s->x_pitch, s->y + r * s->y_pitch, lane_of(&s->its, first + i % n));
    }
}
#else
/* n channels, from `lane` on, of `count` rows, to every by-th float of rows of `pitch`. */
#define DEFINE_STAGE_VECTOR(n)                                                                                        \
    INLINE void stage_vector_##n(const source *s, const int row, const int count, const int lane, float *to,          \
                                 const int pitch, const int by)                                                       \
    {                                                                                                                 \
        __global const float *x = s->x + (size_t)row * s->x_pitch + lane, *y = s->y + (size_t)row * s->y_pitch + lane; \
        float##n rows[4];                                                                                             \
        _Pragma("unroll") for (int i = 0; i < 4; i++) rows[i] =                                                       \
            s->mode == AS_IT_IS ? (float##n)(0.0f)                                                                    \
                                : AT(__global const, unaligned##n, s->rows + i * s->rows_pitch + lane);               \
        for (int r = 0; r < count; r++, x += s->x_pitch, y += s->y_pitch, to += pitch) {                              \
            float##n v = AT(__global const, unaligned##n, x);                                                         \
            if (s->mode == NORM_GRADIENT)                                                                             \
                v = norm_gradient_##n(rows, v, AT(__global const, unaligned##n, y));                                  \
            else if (s->mode != AS_IT_IS)                                                                             \
                v = s->mode == NORMALISED ? affine_##n(rows, v) : normalised_##n(rows, v);                            \
            if (by == 1) {                                                                                            \
                AT(__private, unaligned##n, to) = v;                                                                  \
                continue;                                                                                             \
            }                                                                                                         \
            float each[n];                                                                                            \
            AT(__private, unaligned##n, each) = v;                                                                    \
            _Pragma("unroll") for (int i = 0; i < n; i++) to[i * by] = each[i];                                       \
        }                                                                                                             \
    }
DEFINE_STAGE_VECTOR(8)
DEFINE_STAGE_VECTOR(16)

/* `n` channels. The last vector overlaps the one before. */
INLINE void stage_run(const source *s, const int row, const int count, const int lane, const int n, float *to,
                      const int pitch, const int by)
{
    int c = 0;
    for (; c + 16 <= n; c += 16) stage_vector_16(s, row, count, lane + c, to + c * by, pitch, by);
    for (; n >= 8 && c < n; c += 8) {
        const int at = min(c, n - 8);
        stage_vector_8(s, row, count, lane + at, to + at * by, pitch, by);
    }
    for (int r = 0; r < count && n < 8; r++)
        for (c = 0; c < n; c++)
            to[r * pitch + c * by] = read_one(s, s->x + (size_t)(row + r) * s->x_pitch,
                                              s->y + (size_t)(row + r) * s->y_pitch, lane + c);
}

INLINE void stage(const source *s, const int row, const int count, const int first, const int n, float *to)
{
    const lanes *l = &s->its;
    /* Where channels are shuffled every groups-th is the neighbour of the one before. */
    const int runs = l->shuffled ? min(l->groups, n) : 1;
    for (int i = 0; i < runs; i++)
        stage_run(s, row, count, lane_of(l, first + i), (n - i + runs - 1) / runs, to + i, n, runs);
}
#endif

/* Weights as conv_grouped reads them, [group][set of vectors][in][BLOCK]: in W the one of inputs i and output o of a
 * group lies at group*w_group + i*w_in + o*w_out. A work-item one vector. */
__kernel void conv_grouped_pack(__global const float *w, const ulong w_at, __global float *packed,
                                const ulong packed_at, const int in_each, const int out_each, const int sets,
                                const int w_group, const int w_in, const int w_out)
{
    const int i = (int)get_global_id(1), set = (int)get_global_id(2) % sets, group = (int)get_global_id(2) / sets;
    const int v = (int)get_global_id(0), vectors = (out_each + VW - 1) / VW;
    if (i >= in_each) return;
    const int o = FIRST_OF(min(set * (BLOCK / VW) + v, vectors - 1), out_each);
    __global const float *from = w + w_at + (size_t)group * w_group + (size_t)i * w_in + (size_t)o * w_out;
    __global float *to = packed + packed_at + ((size_t)(group * sets + set) * in_each + i) * BLOCK + VW * v;
    for (int k = 0; k < VW; k++) to[k] = from[k * w_out];
}

/* Where a vector of output channels lies in a row of the written tensor. */
typedef struct place {
    int first, taken; /* the first one's lane, and how many belong to the vector before */
    int shuffled, lane[VW];
} place;

INLINE place place_of(const lanes *l, const int v)
{
    place p;
    const int first = FIRST_OF(v, l->each);
    p.shuffled = l->shuffled;
    p.taken = VW * v - first;
    p.first = lane_of(l, first);
#pragma unroll
    for (int i = 0; i < VW; i++) p.lane[i] = l->shuffled ? lane_of(l, first + i) : 0;
    return p;
}

INLINE floatv load_at(__global const float *row, const place *p)
{
    if (!p->shuffled) return LOADV(row + p->first);
    floatv v;
#pragma unroll
    for (int i = 0; i < VW; i++) ((float *)&v)[i] = row[p->lane[i]];
    return v;
}

INLINE void store_at(const floatv v, __global float *row, const place *p)
{
    if (!p->shuffled) {
        store_own(v, row + p->first, p->taken);
        return;
    }
#pragma unroll
    for (int i = 0; i < VW; i++)
        if (i >= p->taken) row[p->lane[i]] = ((const float *)&v)[i];
}

/* acc += a tile of rows, at from[j] of n channels each, times weights [n][BLOCK], of which ov vectors are used. */
INLINE void multiply(floatv acc[OV][TX], SHARED const float *const *from, const int n, __global const float *weights,
                     const int ov)
{
#pragma unroll 4
    for (int k = 0; k < n; k++, weights += BLOCK) {
        floatv w[OV];
#pragma unroll
        for (int b = 0; b < OV; b++)
            if (b < ov) w[b] = LOADV(weights + b * VW);
#pragma unroll
        for (int j = 0; j < TX; j++)
#pragma unroll
            for (int b = 0; b < OV; b++)
                if (b < ov) acc[b][j] += from[j][k] * w[b];
    }
}

/* What the written tensor's values become, and what is summed over them. */
typedef struct ending {
    __global const float *u, *z; /* of its first row; z: also what is added to a normalised one */
    int u_pitch, z_pitch, epilogue, accumulate;
    floatv mean, scale, shift; /* of one vector of channels */
} ending;

INLINE floatv finish(floatv v, __global float *row, const size_t number, const place *p, const ending *e, floatv *sums)
{
    if (e->accumulate) v += load_at(row, p);
    if (e->epilogue >= NORMALISE) {
        v = e->scale * v + e->shift;
        if (e->epilogue >= NORMALISE_ADD) v += load_at(e->z + number * e->z_pitch, p);
        return e->epilogue & 1 ? RELUV(v) : v;
    }
    if (e->epilogue < SUMS_GATE_COMPUTED) return v;
    const floatv u = load_at(e->u + number * e->u_pitch, p);
    if (e->epilogue == SUMS_GATE_COMPUTED) v = RELU_MASKV(v, e->scale * u + e->shift);
    if (e->epilogue == SUMS_GATE_STORED) v = RELU_MASKV(v, load_at(e->z + number * e->z_pitch, p));
    sums[0] += v;
    sums[1] += v * (u - e->mean);
    return v;
}

/* Asks for what finish() will read and write of rows [row, end): `count` channels of the group from `first` on. */
INLINE void prefetch_finish(const ending *e, __global const float *y, const int y_pitch, const lanes *l,
                            const int first, const int count, const int row, const int end)
{
    const int sums = e->epilogue >= SUMS_GATE_COMPUTED && e->epilogue < NORMALISE;
    const int with = e->epilogue == SUMS_GATE_STORED || e->epilogue >= NORMALISE_ADD;
    const int runs = l->shuffled ? min(l->groups, count) : 1, run = (count + runs - 1) / runs;
    for (int r = row; r < end; r++)
        for (int k = 0; k < runs; k++) {
            const size_t lane = (size_t)lane_of(l, first + k);
            prefetch_lanes(y + (size_t)r * y_pitch + lane, run);
            if (sums) prefetch_lanes(e->u + (size_t)r * e->u_pitch + lane, run);
            if (with) prefetch_lanes(e->z + (size_t)r * e->z_pitch + lane, run);
        }
}

/* Ends a tile: vector p of its `valid` rows, the first of which is row `first` of y. What is rarer, or more to do, is a
 * loop on CPUs, over sums that then lie in memory. */
INLINE void finish_tile(const floatv *acc, const int valid, const size_t first, __global float *y, const int y_pitch,
                        const place *p, const ending *e, floatv *sums)
{
    if (e->epilogue < SUMS_GATE_COMPUTED && !e->accumulate && !p->shuffled && !p->taken && valid >= TX) {
#pragma unroll
        for (int j = 0; j < TX; j++) STOREV(acc[j], y + (first + j) * y_pitch + p->first);
        return;
    }
    floatv tile[TX], part[2] = {(floatv)(0.0f), (floatv)(0.0f)}; /* sums of a tile, before they meet longer ones */
#pragma unroll
    for (int j = 0; j < TX; j++) tile[j] = acc[j];
    UNROLL for (int j = 0; j < TX; j++) {
        if (j >= valid) continue;
        __global float *row = y + (first + j) * y_pitch;
        store_at(finish(tile[j], row, first + j, p, e, part), row, p);
    }
    sums[0] += part[0];
    sums[1] += part[1];
}

/* Writes a vector's sums, the second times invstd, or adds them to what is there. */
INLINE void store_sums(floatv *sums, __global const float *invstd, __global float *partial, const int pitch,
                       const place *p, const int add)
{
    sums[1] *= load_at(invstd, p);
    if (add) sums[0] += load_at(partial, p), sums[1] += load_at(partial + pitch, p);
    store_at(sums[0], partial, p);
    store_at(sums[1], partial + pitch, p);
}

/* `total` rows of Y from those of X, group_rows of them a work-group, at most strip_rows staged at a time, with lanes
 * `slice` of the group's channels. `saved` and partial are those of the extras (engine/op/conv.h), u and z those of
 * `ending`. */
WORK_GROUP
__kernel void conv_grouped(__global const float *x, const ulong x_at, __global const float *with, const ulong with_at,
                           __global const float *rows, const ulong rows_at, __global const float *packed,
                           const ulong packed_at, __global const float *bias, const ulong bias_at, __global float *y,
                           const ulong y_at, __global const float *u, const ulong u_at, __global const float *saved,
                           const ulong saved_at, __global const float *z, const ulong z_at, __global float *partial,
                           const ulong partial_at, const int mode, const int epilogue, const int biased,
                           const int accumulate, const int total, const int group_rows, const int strip_rows,
                           const int groups, const int in_each, const int out_each, const int in_shuffled,
                           const int out_shuffled, const int slice, const int x_pitch, const int with_pitch,
                           const int rows_pitch, const int y_pitch, const int u_pitch, const int saved_pitch,
                           const int z_pitch, const int partial_pitch)
{
    SHARED float staged[STAGED] __attribute__((aligned(64)));
    __local floatv scratch[2 * OV * GROUP_ITEMS];
    const int vectors = (out_each + VW - 1) / VW, sets = (vectors + BLOCK / VW - 1) / (BLOCK / VW);
    /* With lanes one set of vectors, else all. */
    const int group = (int)get_group_id(0) / (LANES > 1 ? sets : 1);
    const int first_set = LANES > 1 ? (int)get_group_id(0) % sets : 0, end_set = LANES > 1 ? first_set + 1 : sets;
    const source from = {x + x_at,   with + with_at, rows + rows_at, mode, x_pitch, with_pitch,
                         rows_pitch, {groups, in_each, group, in_shuffled}};
    const lanes out = {groups, out_each, group, out_shuffled};
    const int first_row = (int)get_group_id(1) * group_rows, end_row = min(first_row + group_rows, total);
    ending e = {u + u_at, z + z_at, u_pitch, z_pitch, epilogue, accumulate, 0.0f, 0.0f, 0.0f};
    y += y_at;
    saved += saved_at;
    partial += partial_at + (size_t)get_group_id(1) * 2 * partial_pitch;
    const int summing = epilogue >= SUMS_GATE_COMPUTED && epilogue < NORMALISE;
    place at[OV];
    floatv sums[2 * OV]; /* with lanes of all strips, else of one */
#pragma unroll
    for (int i = 0; i < 2 * OV; i++) sums[i] = (floatv)(0.0f);

    for (int row = first_row; row < end_row; row += strip_rows) {
        const int n = min(strip_rows, end_row - row);
        if (LANES == 1) stage(&from, row, n, 0, in_each, staged);
        for (int set = first_set; set < end_set; set++) {
            const int vector = set * (BLOCK / VW) + OV * O_LANE, there = vector < vectors;
            const int ov = OV > 1 && vector + OV <= vectors;
            __global const float *weights =
                packed + packed_at + (size_t)(group * sets + set) * in_each * BLOCK + OV * VW * O_LANE;
            floatv start[OV];
#pragma unroll
            for (int b = 0; b < OV; b++) {
                at[b] = place_of(&out, min(vector + b, vectors - 1));
                start[b] = biased ? load_at(bias + bias_at, &at[b]) : (floatv)(0.0f);
                if (LANES == 1) sums[2 * b] = sums[2 * b + 1] = (floatv)(0.0f);
            }
            for (int first = 0; first < n; first += TX * DEALT) {
                const int its = first + TX * TILE_LANE;
                if (LANES == 1) {
                    const int tiles = (n + TX - 1) / TX, part = set * tiles + first / TX;
                    prefetch_rows(&from, row + n, min(n, end_row - row - n), part, sets * tiles);
                    prefetch_finish(&e, y, y_pitch, &out, FIRST_OF(vector, out_each),
                                    min(OV * VW, out_each - VW * vector), row + (first ? first + TX : 0),
                                    row + min(first + 2 * TX, n));
                }
                floatv acc[OV][TX];
#pragma unroll
                for (int b = 0; b < OV; b++)
#pragma unroll
                    for (int j = 0; j < TX; j++) acc[b][j] = start[b];
                for (int k = 0; k < in_each; k += slice) {
                    const int width = min(slice, in_each - k);
                    if (LANES > 1) {
                        BARRIER; /* the last slice has been read */
                        stage(&from, row, n, k, width, staged);
                        BARRIER;
                    }
                    SHARED const float *rows_at_k[TX];
#pragma unroll
                    for (int j = 0; j < TX; j++) rows_at_k[j] = staged + min(its + j, n - 1) * width;
                    if (ov || OV == 1)
                        multiply(acc, rows_at_k, width, weights + (size_t)k * BLOCK, OV);
                    else
                        multiply(acc, rows_at_k, width, weights + (size_t)k * BLOCK, 1);
                }
#pragma unroll
                for (int b = 0; b < OV; b++) {
                    if (!there || (b && !ov)) continue;
                    if (epilogue >= SUMS_GATE_COMPUTED) {
                        if (epilogue < NORMALISE) e.mean = load_at(saved, &at[b]);
                        e.scale = load_at(saved + 2 * saved_pitch, &at[b]);
                        e.shift = load_at(saved + 3 * saved_pitch, &at[b]);
                    }
                    finish_tile(acc[b], n - its, (size_t)(row + its), y, y_pitch, &at[b], &e, sums + 2 * b);
                }
            }
            if (LANES > 1 || !summing) continue;
#pragma unroll
            for (int b = 0; b < OV; b++)
                if (!b || ov)
                    store_sums(sums + 2 * b, saved + saved_pitch, partial, partial_pitch, &at[b], row > first_row);
        }
    }
    group_sums(scratch, sums, 2 * OV);
    if (LANES > 1 && summing && first_set * (BLOCK / VW) + O_LANE < vectors && !TILE_LANE)
        store_sums(sums, saved + saved_pitch, partial, partial_pitch, &at[0], 0);
    /* The pad lanes, by the last of the work-groups. */
    const int channels = groups * out_each, padded = (channels + 3) / 4 * 4;
    const int idle = group < groups - 1 || end_set < sets || O_LANE;
    for (int row = first_row + TILE_LANE; row < end_row && !idle; row += DEALT)
        for (int c = channels; c < padded; c++) y[(size_t)row * y_pitch + c] = 0.0f;
    if (summing && !idle && !TILE_LANE)
        for (int c = channels; c < padded; c++) partial[c] = partial[partial_pitch + c] = 0.0f;
#if LANES == 1 /* else statistics are a launch of their own */
    for (int v = 0; v < vectors && epilogue == STATISTICS; v++) {
        const place p = place_of(&out, v);
        floatv mean, squares;
        row_statistics(y + (size_t)first_row * y_pitch + p.first, end_row - first_row, y_pitch, scratch, &mean,
                       &squares);
        store_own(mean, partial + p.first, p.taken);
        store_own(squares, partial + partial_pitch + p.first, p.taken);
    }
#endif
}

/* partial[group of rows][in_rows][width]: dW of a group of rows. A work-group has one group of channels, with lanes
 * ACROSS vectors of its output channels and TI * DEALT of its input channels. */
WORK_GROUP
__kernel void conv_grouped_filter(__global const float *x, const ulong x_at, __global const float *saved,
                                  const ulong saved_at, __global const float *dy, const ulong dy_at,
                                  __global const float *y, const ulong y_at, __global const float *factors,
                                  const ulong factors_at, __global float *partial, const ulong partial_at,
                                  const int mode, const int dy_mode, const int total, const int group_rows,
                                  const int strip_rows, const int groups, const int in_each, const int out_each,
                                  const int shuffled, const int in_rows, const int width, const int x_pitch,
                                  const int saved_pitch, const int dy_pitch, const int y_pitch,
                                  const int factors_pitch)
{
    SHARED float staged[STAGED + TI] __attribute__((aligned(64)));
    const int vectors = (out_each + VW - 1) / VW, sets = (vectors + BLOCK / VW - 1) / (BLOCK / VW);
    const int most = LANES > 1 ? TI * DEALT : in_each, parts = (in_each + most - 1) / most;
    const int work = (int)get_group_id(0), group = LANES > 1 ? work / (sets * parts) : work;
    const int first_set = LANES > 1 ? work / parts % sets : 0, end_set = LANES > 1 ? first_set + 1 : sets;
    const int first_in = LANES > 1 ? work % parts * most : 0, ins = min(most, in_each - first_in);
    const int first_out = LANES > 1 ? first_set * BLOCK : 0;
    const int outs = LANES > 1 ? min(BLOCK, out_each - first_out) : out_each;
    const source input = {x + x_at,    x + x_at, saved + saved_at, mode, x_pitch, x_pitch,
                          saved_pitch, {groups, in_each, group, shuffled}};
    const source output = {dy + dy_at,    y + y_at, factors + factors_at, dy_mode, dy_pitch, y_pitch,
                           factors_pitch, {groups, out_each, group, 0}};
    SHARED float *staged_dy = staged + (strip_rows * ins + 3) / 4 * 4;
    const int first_row = (int)get_group_id(1) * group_rows, end_row = min(first_row + group_rows, total);
    partial += partial_at + (size_t)get_group_id(1) * in_rows * width + group * out_each;

    for (int row = first_row; row < end_row; row += strip_rows) {
        const int n = min(strip_rows, end_row - row);
        BARRIER; /* the last strip has been read */
        stage(&input, row, n, first_in, ins, staged);
        stage(&output, row, n, first_out, outs, staged_dy);
        BARRIER;
        for (int set = first_set; set < end_set; set++) {
            const int vector = set * (BLOCK / VW) + OV * O_LANE;
            if (vector >= vectors) continue;
            for (int i = TI * TILE_LANE; i < ins; i += TI * DEALT) {
                if (LANES == 1) {
                    const int tiles = (ins + TI - 1) / TI, part = set * tiles + i / TI;
                    prefetch_rows(&input, row + n, min(n, end_row - row - n), part, sets * tiles);
                    prefetch_rows(&output, row + n, min(n, end_row - row - n), part, sets * tiles);
                }
                int o[OV], taken[OV];
                floatv acc[TI][OV];
                /* The last tile may begin within the one before, whose rows it leaves alone; where it is the only one,
                 * it reads past the channels. */
                const int begin = max(0, min(i, ins - TI));
#pragma unroll
                for (int b = 0; b < OV; b++) {
                    o[b] = FIRST_OF(min(vector + b, vectors - 1), out_each);
                    taken[b] = VW * (vector + b) - o[b];
                }
#pragma unroll
                for (int t = 0; t < TI; t++)
#pragma unroll
                    for (int b = 0; b < OV; b++)
                        acc[t][b] = row > first_row && begin + t < ins
                                        ? LOADV(partial + (size_t)(first_in + begin + t) * width + o[b])
                                        : (floatv)(0.0f);
                SHARED const float *its = staged + begin;
#pragma unroll 2
                for (int r = 0; r < n; r++, its += ins) {
                    floatv d[OV];
#pragma unroll
                    for (int b = 0; b < OV; b++) d[b] = LOAD_STAGED(staged_dy + r * outs + o[b] - first_out);
#pragma unroll
                    for (int t = 0; t < TI; t++)
#pragma unroll
                        for (int b = 0; b < OV; b++) acc[t][b] += its[t] * d[b];
                }
#pragma unroll
                for (int t = 0; t < TI; t++)
#pragma unroll
                    for (int b = 0; b < OV; b++)
                        if (begin + t >= i && begin + t < ins && vector + b < vectors)
                            store_own(acc[t][b], partial + (size_t)(first_in + begin + t) * width + o[b], taken[b]);
            }
        }
    }
    /* Rows that stand for no channel. */
    if (first_in + ins < in_each) return;
    for (int set = first_set; set < end_set; set++)
        for (int b = 0; b < OV; b++) {
            const int vector = set * (BLOCK / VW) + OV * O_LANE + b;
            if (vector >= vectors || TILE_LANE) continue;
            const int o = FIRST_OF(vector, out_each);
            for (int i = in_each; i < in_rows; i++)
                store_own((floatv)(0.0f), partial + (size_t)i * width + o, VW * vector - o);
        }
}
