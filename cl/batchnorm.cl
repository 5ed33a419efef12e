/* Batch normalisation forward: statistics of each group of rows, and the pass that applies them. */
#include "walsh.clh"
#include "channels.clh"

/* One work-group a group of rows and vectors of channels. */
__kernel void bn_stats_plain(__global const float *x, const ulong x_at, __global float *partial, const ulong partial_at,
                             const int rows, const int group_rows, const int vectors, const int x_pitch,
                             const int partial_pitch)
{
    __local floatv scratch[GROUP_ITEMS];
    const int group = (int)get_group_id(1), channel = VW * min((int)get_global_id(0), vectors - 1);
    const int count = min(group_rows, rows - group * group_rows);
    floatv mean, squares;
    row_statistics(x + x_at + (size_t)group * group_rows * x_pitch + channel, count, x_pitch, scratch, &mean, &squares);
    if (get_local_id(1) != 0 || (int)get_global_id(0) >= vectors) return;
    __global float *out = partial + partial_at + (size_t)group * 2 * partial_pitch + channel;
    STOREV(mean, out);
    STOREV(squares, out + partial_pitch);
}

/* RES as it stands is RES scaled by one: exact, and one path for both kinds of residual. */
__kernel void bn_apply_plain(__global const float *x, const ulong x_at, __global const float *saved,
                             const ulong saved_at, __global const float *res, const ulong res_at,
                             __global const float *res_saved, const ulong res_saved_at, __global float *y,
                             const ulong y_at, const int rows, const int vectors, const int each, const int x_pitch,
                             const int saved_pitch, const int res_pitch, const int res_saved_pitch, const int y_pitch,
                             const int residual, const int relu)
{
    const int streamed = streams(rows, vectors, y_pitch);
    FOR_PARTS (first, channel, vectors, each, rows) {
        __global const float *bn = saved + saved_at + channel;
        const floatv scale = LOADV(bn + 2 * saved_pitch), shift = LOADV(bn + 3 * saved_pitch);
        const floatv least = relu ? 0.0f : -INFINITY;
        floatv res_scale = 1.0f, res_shift = 0.0f;
        if (residual == 2) {
            bn = res_saved + res_saved_at + channel;
            res_scale = LOADV(bn + 2 * res_saved_pitch);
            res_shift = LOADV(bn + 3 * res_saved_pitch);
        }
        FOR_PART (r, first, each, rows) {
            __global const float *in = x + x_at + (size_t)r * x_pitch + channel;
            __global const float *other = res + res_at + (size_t)r * res_pitch + channel;
            __global float *out = y + y_at + (size_t)r * y_pitch + channel;
            floatv v = scale * LOADV(in) + shift;
            PREFETCH_AHEAD(in, AHEAD, x_pitch);
            if (residual) {
                v += res_scale * LOADV(other) + res_shift;
                PREFETCH_AHEAD(other, AHEAD, res_pitch);
            }
            v = v < least ? least : v; /* NaN passes */
            store_streamed(v, out, streamed);
        }
    }
}
