/* Batch normalisation backward: the two sums over rows, and then the gradient of the input. A ReLU's mask is computed
 * again from X, which is read anyway: the forward pass's expression, so the same bits. */
#include "walsh.clh"
#include "channels.clh"

/* One work-group a group of rows and vectors of channels; PARTIAL [groups][2][pitch]: sum g, sum g*xhat. */
__kernel void bn_backward_sums_plain(__global const float *dy, const ulong dy_at, __global const float *x,
                                     const ulong x_at, __global const float *saved, const ulong saved_at,
                                     __global float *partial, const ulong partial_at, const int rows,
                                     const int group_rows, const int vectors, const int dy_pitch, const int x_pitch,
                                     const int saved_pitch, const int partial_pitch, const int relu)
{
    __local floatv scratch[GROUP_ITEMS];
    const int group = (int)get_group_id(1), channel = VW * min((int)get_global_id(0), vectors - 1);
    const int first = group * group_rows, end = min(rows, first + group_rows);
    __global const float *bn = saved + saved_at + channel;
    const floatv mean = LOADV(bn), invstd = LOADV(bn + saved_pitch);
    const floatv scale = LOADV(bn + 2 * saved_pitch), shift = LOADV(bn + 3 * saved_pitch);
    floatv sum = 0.0f, with_x = 0.0f;
    for (int r = first + (int)get_local_id(1); r < end;) {
        const int block_end = min(end, r + BLOCK_ROWS * LANE_STEP);
        floatv block = 0.0f, block_with_x = 0.0f;
        for (; r < block_end; r += LANE_STEP) {
            __global const float *in = x + x_at + (size_t)r * x_pitch + channel;
            __global const float *gradient = dy + dy_at + (size_t)r * dy_pitch + channel;
            const floatv v = LOADV(in);
            floatv g = LOADV(gradient);
            PREFETCH_AHEAD(in, AHEAD, x_pitch);
            PREFETCH_AHEAD(gradient, AHEAD, dy_pitch);
            if (relu) g = RELU_MASKV(g, scale * v + shift);
            block += g;
            block_with_x += g * (v - mean);
        }
        sum += block;
        with_x += block_with_x;
    }
    sum = group_sum(scratch, sum);
    with_x = group_sum(scratch, with_x);
    if (get_local_id(1) != 0 || (int)get_global_id(0) >= vectors) return;
    __global float *out = partial + partial_at + (size_t)group * 2 * partial_pitch + channel;
    STOREV(sum, out);
    STOREV(with_x * invstd, out + partial_pitch);
}

/* dX = scale*g - (offset + slope*(X - mean)), with FACTORS' rows mean, scale, offset and slope. */
__kernel void bn_backward_apply_plain(__global const float *dy, const ulong dy_at, __global const float *x,
                                      const ulong x_at, __global const float *factors, const ulong factors_at,
                                      __global const float *saved, const ulong saved_at, __global float *dx,
                                      const ulong dx_at, const int rows, const int vectors, const int each,
                                      const int dy_pitch, const int x_pitch, const int factors_pitch,
                                      const int saved_pitch, const int dx_pitch, const int relu,
                                      const int accumulate)
{
    const int streamed = !accumulate && streams(rows, vectors, dx_pitch);
    FOR_PARTS (first, channel, vectors, each, rows) {
        __global const float *row = factors + factors_at + channel;
        const floatv mean = LOADV(row), scale = LOADV(row + factors_pitch);
        const floatv offset = LOADV(row + 2 * factors_pitch), slope = LOADV(row + 3 * factors_pitch);
        const floatv shift = relu ? LOADV(saved + saved_at + 3 * saved_pitch + channel) : (floatv)(0.0f);
        FOR_PART (r, first, each, rows) {
            __global const float *in = x + x_at + (size_t)r * x_pitch + channel;
            __global const float *gradient = dy + dy_at + (size_t)r * dy_pitch + channel;
            const floatv v = LOADV(in);
            floatv g = LOADV(gradient);
            PREFETCH_AHEAD(in, AHEAD, x_pitch);
            PREFETCH_AHEAD(gradient, AHEAD, dy_pitch);
            if (relu) g = RELU_MASKV(g, scale * v + shift);
            __global float *out = dx + dx_at + (size_t)r * dx_pitch + channel;
            g = scale * g - (offset + slope * (v - mean));
            if (accumulate) g += LOADV(out);
            store_streamed(g, out, streamed);
        }
    }
}
