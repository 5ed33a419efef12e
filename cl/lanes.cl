/* Channels from where they lie among free lanes to rows without holes, or back. */
#include "walsh.clh"

/* Channel k of a row where it lies within the run, else v. */
INLINE float from_run(__global const float *row, const int k, const int from, const int to, const int count, float v)
{
    return k >= to && k < to + count ? row[from + k - to] : v;
}

/* Work-item (k, r): channel k of row r, of `lanes` with Y's pad lanes. */
__kernel void lanes_plain(__global const float *x, const ulong x_at, __global float *y, const ulong y_at,
                          const int x_pitch, const int y_pitch, const int lanes, const int from_0, const int to_0,
                          const int count_0, const int from_1, const int to_1, const int count_1, const int from_2,
                          const int to_2, const int count_2, const int from_3, const int to_3, const int count_3)
{
    const int k = (int)get_global_id(0);
    const size_t r = get_global_id(1);
    if (k >= lanes) return;
    __global const float *row = x + x_at + r * x_pitch;
    float v = from_run(row, k, from_0, to_0, count_0, 0.0f);
    v = from_run(row, k, from_1, to_1, count_1, v);
    v = from_run(row, k, from_2, to_2, count_2, v);
    y[y_at + r * y_pitch + k] = from_run(row, k, from_3, to_3, count_3, v);
}
