/* Convolution and its transpose as a gather, like conv_gather.cl, from a private copy of the input with its zero halo:
 * no tap asks whether it is inside, the taps of a row are one run of memory, and what the input stands for is computed
 * on the way there.
 *
 * A work-item takes a group of lines of output, and for some blocks of channels all of them: so it can finish that
 * group's batch-norm statistics or sums. The private copy is a CPU's stack; there is no form for GPUs here, whose
 * private memory is neither large nor fast. */

/* Output pixels of a work-item's tile: TX vectors of sums, one of weights and one input must fit a CPU's registers. */
#ifndef TX
#define TX 4
#endif
#include "conv_stage.clh"

/* What follows the sum; with ReLU where it is normalised and odd. */
enum {
    STORE_ONLY,
    STATISTICS,
    SUMS_GATE_COMPUTED,
    SUMS_GATE_STORED,
    NORMALISE,
    NORMALISE_RELU,
    NORMALISE_ADD,
    NORMALISE_ADD_RELU
};

/* Mean and sum of squared deviations of `rows` rows at y: bn_stats_plain's corrected two-pass algorithm, with the rows
 * dealt to two sums in turn, which hides the latency of an addition. */
INLINE void statistics(__global const float *y, const int rows, const int pitch, const int room,
                       __global float *mean_at, __global float *squares_at)
{
    floatv sum[2], deviations[2], squares[2];
#pragma unroll
    for (int k = 0; k < 2; k++) sum[k] = deviations[k] = squares[k] = (floatv)(0.0f);
    const int even = rows & ~1;
    for (int r = 0; r < even; r += 2)
#pragma unroll
        for (int k = 0; k < 2; k++) sum[k] += load_part(y + (size_t)(r + k) * pitch, room);
    if (even < rows) sum[0] += load_part(y + (size_t)even * pitch, room);
    const floatv mean = (sum[0] + sum[1]) / (float)rows;
    for (int r = 0; r < even; r += 2)
#pragma unroll
        for (int k = 0; k < 2; k++) {
            const floatv d = load_part(y + (size_t)(r + k) * pitch, room) - mean;
            deviations[k] += d;
            squares[k] += d * d;
        }
    if (even < rows) {
        const floatv d = load_part(y + (size_t)even * pitch, room) - mean;
        deviations[0] += d;
        squares[0] += d * d;
    }
    const floatv all = deviations[0] + deviations[1], error = all / (float)rows;
    store_part(mean + error, mean_at, room);
    store_part(squares[0] + squares[1] - all * error, squares_at, room);
}

/* The batch norm (and ReLU) whose output the written tensor is the gradient of: its input and SAVED, the output; or the
 * one that normalises the written tensor: SAVED, and what is added. All count from the same channel. */
typedef struct gate {
    __global const float *u, *saved, *z;
    int u_pitch, saved_pitch, z_pitch;
} gate;

INLINE floatv normalise(floatv v, const floatv scale, const floatv shift, const int to, const int room,
                        const int epilogue, const gate *g)
{
    v = scale * v + shift;
    if (epilogue >= NORMALISE_ADD) v += load_part(g->z + (size_t)to * g->z_pitch, room);
    return epilogue & 1 ? RELUV(v) : v;
}

/* What a tile's sum v becomes, before it is stored at p: pixel number `to`, `room` channels. */
INLINE floatv finish_pixel(floatv v, __global float *p, const int to, const int room, const int accumulate,
                           const int epilogue, const gate *g, floatv *sums)
{
    if (accumulate) v += load_part(p, room);
    if (epilogue < SUMS_GATE_COMPUTED) return v;
    if (epilogue >= NORMALISE)
        return normalise(v, load_part(g->saved + 2 * g->saved_pitch, room),
                         load_part(g->saved + 3 * g->saved_pitch, room), to, room, epilogue, g);
    const floatv u = load_part(g->u + (size_t)to * g->u_pitch, room);
    floatv z;
    if (epilogue == SUMS_GATE_STORED)
        z = load_part(g->z + (size_t)to * g->z_pitch, room);
    else
        z = load_part(g->saved + 2 * g->saved_pitch, room) * u + load_part(g->saved + 3 * g->saved_pitch, room);
    v = RELU_MASKV(v, z);
    sums[0] += v;
    sums[1] += v * (u - load_part(g->saved, room));
    return v;
}

/* Writes the tile's sums of its `valid` pixels `to`, for `room` channels from y on. What is rarer, or more to do, is a
 * loop: a kernel's users wait for its compilation. */
INLINE void finish(const floatv *acc, const int *to, const int valid, __global float *y, const int y_pitch,
                   const int room, const int accumulate, const int epilogue, const gate *g, floatv *sums)
{
    const int simple = valid >= TX && room >= VW && !accumulate;
    if (simple && epilogue < SUMS_GATE_COMPUTED) {
#pragma unroll
        for (int j = 0; j < TX; j++) STOREV(acc[j], y + (size_t)to[j] * y_pitch);
        return;
    }
    if (simple && epilogue >= NORMALISE) {
        const floatv scale = LOADV(g->saved + 2 * g->saved_pitch), shift = LOADV(g->saved + 3 * g->saved_pitch);
#pragma unroll
        for (int j = 0; j < TX; j++)
            STOREV(normalise(acc[j], scale, shift, to[j], VW, epilogue, g), y + (size_t)to[j] * y_pitch);
        return;
    }
    const int count = min(valid, TX);
    floatv tile[TX], part[2] = {(floatv)(0.0f), (floatv)(0.0f)}; /* sums of a tile, before they meet longer ones */
#pragma unroll
    for (int j = 0; j < TX; j++) tile[j] = acc[j];
    if (room >= VW)
        for (int j = 0; j < count; j++) {
            __global float *p = y + (size_t)to[j] * y_pitch;
            STOREV(finish_pixel(tile[j], p, to[j], VW, accumulate, epilogue, g, part), p);
        }
    else
        for (int j = 0; j < count; j++) {
            __global float *p = y + (size_t)to[j] * y_pitch;
            store_part(finish_pixel(tile[j], p, to[j], room, accumulate, epilogue, g, part), p, room);
        }
    sums[0] += part[0];
    sums[1] += part[1];
}

/* The memory that finish() will touch comes near while the sums are computed. */
INLINE void prefetch_tile(const int *to, __global const float *y, const int y_pitch, const int epilogue, const gate *g)
{
#pragma unroll
    for (int j = 0; j < TX; j++) {
        WALSH_PREFETCH(y + (size_t)to[j] * y_pitch);
        if (epilogue == SUMS_GATE_COMPUTED || epilogue == SUMS_GATE_STORED) WALSH_PREFETCH(g->u + (size_t)to[j] * g->u_pitch);
        if (epilogue == SUMS_GATE_STORED || epilogue >= NORMALISE_ADD) WALSH_PREFETCH(g->z + (size_t)to[j] * g->z_pitch);
    }
}

/* acc += x * (weights of one input channel) */
#define STEP(lane)                                                                                     \
    {                                                                                                  \
        const floatv wv = LOADV(weights + (lane) * VW);                                                \
        _Pragma("unroll") for (int j = 0; j < TX; j++) acc[j] += from[j][c + (lane)] * wv;             \
    }

/* acc = sums of the pixels at `at` of `staged`, over h and w's taps; a line of `staged` is `line` floats. */
INLINE void gather(floatv *acc, const float *staged, const int *at, __global const float *block, const reach h,
                   const reach w, const int out_step, const int kw, const int line, const int in)
{
    /* Taps that are neighbours in both memories are gathered as one of as many channels. */
    const int runs = out_step == 1 ? 1 : w.taps, run = out_step == 1 ? w.taps * in : in;
    const float *from[TX];
#pragma unroll
    for (int j = 0; j < TX; j++) {
        acc[j] = (floatv)(0.0f);
        from[j] = staged + at[j];
    }
    for (int i = 0; i < h.taps; i++) {
        for (int k = 0; k < runs; k++) {
            __global const float *weights =
                block + (size_t)((h.tap + i * out_step) * kw + w.tap + k * out_step) * in * VW;
            for (int c = k * in; c < k * in + run; c += 4) {
                STEP(0)
                STEP(1)
                STEP(2)
                STEP(3)
                weights += 4 * VW;
            }
        }
#pragma unroll
        for (int j = 0; j < TX; j++) from[j] += line;
    }
}

/* Lines of output are the images' y_h lines one after the other, `lines` of them, in groups of group_lines; of these at
 * most strip_lines are staged at a time, of one image or of whole ones. Weights are as conv_gather_pack leaves them,
 * block by block. `mode` is how the input is staged (rows: SAVED or FACTORS), `epilogue` what follows; the other
 * arguments are a walk's. Tensors that these do not need are never read. */
__kernel void conv_direct(__global const float *x, const ulong x_at, __global const float *with, const ulong with_at,
                          __global const float *rows, const ulong rows_at, __global const float *packed,
                          const ulong packed_at, __global float *y, const ulong y_at, __global const float *u,
                          const ulong u_at, __global const float *saved, const ulong saved_at,
                          __global const float *z, const ulong z_at, __global float *partial, const ulong partial_at,
                          const int mode, const int epilogue, const int accumulate, const int lines,
                          const int group_lines, const int strip_lines, const int blocks_each, const int in,
                          const int out, const int x_h, const int x_w, const int x_pitch, const int with_pitch,
                          const int rows_pitch, const int y_h, const int y_w, const int y_pitch, const int u_pitch,
                          const int saved_pitch, const int z_pitch, const int partial_pitch, const int kh,
                          const int kw, const int in_step, const int out_step, const int shift, const int back,
                          const int skip)
{
    float staged[STAGED] __attribute__((aligned(64)));
    int at[PIXELS + TX], to[PIXELS + TX];
    const source from = {x + x_at, with + with_at, rows + rows_at, mode, in, x_h, x_w, x_pitch, with_pitch, rows_pitch};
    const walk on = {in_step, out_step, shift, back, skip};
    const int group = (int)get_global_id(1), first_line = group * group_lines;
    const int line_end = min(first_line + group_lines, lines);
    const int o_first = VW * blocks_each * (int)get_global_id(0), o_end = min(o_first + VW * blocks_each, out);
    const int cols = inputs(&on, 0, y_w, kw);
    y += y_at;
    partial += partial_at + (size_t)group * 2 * partial_pitch;

    for (int line = first_line, count; line < line_end; line += count) {
        count = min(strip_lines, line_end - line);
        if (strip_lines < y_h) count = min(count, y_h - line % y_h);
        stage_lines(&from, &on, staged, line, count, y_h, y_w, kh, kw);
        for (int class = 0; class < out_step * out_step; class++) {
            const int class_y = class / out_step, class_x = class % out_step;
            const int n = list_pixels(&on, at, to, line, count, y_h, y_w, kh, kw, in, class_y, class_x);
            const reach h = reach_of(&on, class_y, kh), w = reach_of(&on, class_x, kw);
            /* About what the next strip reads. */
            const ahead next =
                ahead_of(&from, (long)(line + count) * x_h / y_h * x_w, count * x_h / y_h * x_w, n / TX + 1);
            for (int j = 0; n && j < TX; j++) at[n + j] = at[n - 1], to[n + j] = to[n - 1];
            for (int o = o_first; o < o_end; o += VW) {
                __global const float *block = packed + packed_at + in + (size_t)(o / VW) * kh * kw * in * VW;
                const gate g = {u + u_at + o, saved + saved_at + o, z + z_at + o, u_pitch, saved_pitch, z_pitch};
                const int room = out - o;
                floatv sums[2] = {(floatv)(0.0f), (floatv)(0.0f)};
                for (int first = 0; first < n; first += TX) {
                    floatv acc[TX];
                    if (o == o_first && !class) prefetch_part(&from, &next, first / TX);
                    prefetch_tile(to + first, y + o, y_pitch, epilogue, &g);
                    gather(acc, staged, at + first, block, h, w, out_step, kw, cols * in, in);
                    finish(acc, to + first, n - first, y + o, y_pitch, room, accumulate, epilogue, &g, sums);
                }
                if (epilogue < SUMS_GATE_COMPUTED || epilogue >= NORMALISE) continue;
                sums[1] *= load_part(g.saved + g.saved_pitch, room);
#pragma unroll
                for (int i = 0; i < 2; i++) {
                    __global float *sum = partial + i * partial_pitch + o;
                    if (line > first_line || class) sums[i] += load_part(sum, room);
                    store_part(sums[i], sum, room);
                }
            }
        }
    }
    if (epilogue != STATISTICS) return;
    for (int o = o_first; o < o_end; o += VW)
        statistics(y + (size_t)first_line * y_w * y_pitch + o, (line_end - first_line) * y_w, y_pitch, out - o,
                   partial + o, partial + partial_pitch + o);
}
