/* Y = [relu](A + B), one work-item four channels of one row. */
#include "walsh.clh"

#ifndef RELU
#define RELU 0
#endif

__kernel void add_plain(__global const float *a, const ulong a_at, __global const float *b, const ulong b_at,
                        __global float *y, const ulong y_at, const int rows, const int quads, const int a_pitch,
                        const int b_pitch, const int y_pitch)
{
    const int quad = (int)get_global_id(0);
    const size_t row = get_global_id(1);
    if (quad >= quads || row >= (size_t)rows) return;
    float4 sum = LOAD4(a + a_at + row * a_pitch + 4 * quad) + LOAD4(b + b_at + row * b_pitch + 4 * quad);
    if (RELU) sum = RELU4(sum);
    STORE4(sum, y + y_at + row * y_pitch + 4 * quad);
}
