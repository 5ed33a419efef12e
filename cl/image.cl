/* Bytes to normalised floats, one item a pixel: y = scale*pixel + shift, whose fourth lane is the pad lane. */
#include "walsh.clh"

__kernel void image_plain(__global const uchar *pixels, const ulong pixels_at, __global float *y, const ulong y_at,
                          const int count, const int y_pitch, const float scale_r, const float scale_g,
                          const float scale_b, const float shift_r, const float shift_g, const float shift_b)
{
    const size_t i = get_global_id(0);
    if (i >= (size_t)count) return;
    const float4 pixel = convert_float4(*(__global const uchar4 *)(pixels + pixels_at + 4 * i));
    STORE4(pixel * (float4)(scale_r, scale_g, scale_b, 0.0f) + (float4)(shift_r, shift_g, shift_b, 0.0f),
           y + y_at + i * y_pitch);
}
