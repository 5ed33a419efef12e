/* ReLU and its gradient. */
#include "walsh.clh"
#include "channels.clh"

__kernel void relu_forward_plain(__global const float *x, const ulong x_at, __global float *y, const ulong y_at,
                                 const int rows, const int vectors, const int each, const int x_pitch,
                                 const int y_pitch)
{
    const int streamed = streams(rows, vectors, y_pitch);
    FOR_ROWS (r, each, rows) {
        FOR_CHANNELS (channel, vectors) {
            const floatv v = LOADV(x + x_at + (size_t)r * x_pitch + channel);
            store_streamed(RELUV(v), y + y_at + (size_t)r * y_pitch + channel, streamed);
        }
    }
}

__kernel void relu_backward_plain(__global const float *dy, const ulong dy_at, __global const float *y,
                                  const ulong y_at, __global float *dx, const ulong dx_at, const int rows,
                                  const int vectors, const int each, const int dy_pitch, const int y_pitch,
                                  const int dx_pitch)
{
    const int streamed = streams(rows, vectors, dx_pitch);
    FOR_ROWS (r, each, rows) {
        FOR_CHANNELS (channel, vectors) {
            const floatv g = LOADV(dy + dy_at + (size_t)r * dy_pitch + channel);
            const floatv v = LOADV(y + y_at + (size_t)r * y_pitch + channel);
            store_streamed(RELU_MASKV(g, v), dx + dx_at + (size_t)r * dx_pitch + channel, streamed);
        }
    }
}
