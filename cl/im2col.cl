/* Convolution as a matrix product: X's pixels laid out as the rows that a filter sees, and the sum back. COLUMNS is
 * dense, [pixels of Y][taps][channels], channels being padded ones. Both directions gather: a work-item takes a vector
 * of channels of some rows (engine/op/channels.h), so that nothing is scattered and the order of sums is fixed. */
#include "walsh.clh"
#include "channels.clh"
#include "windows.clh"

/* Row r of COLUMNS is tap r % taps of output pixel r / taps: an input pixel, or zeros outside the image. */
__kernel void im2col(__global const float *x, const ulong x_at, __global float *columns, const ulong columns_at,
                     const int rows, const int vectors, const int each, const int h, const int w, const int oh,
                     const int ow, const int kh, const int kw, const int stride, const int pad, const int x_pitch)
{
    const int taps = kh * kw;
    FOR_ROWS (r, each, rows) {
        const int pixel = r / taps, tap = r - pixel * taps, ky = tap / kw;
        const int line = pixel / ow, image = line / oh;
        const int i = (line - image * oh) * stride - pad + ky, j = (pixel - line * ow) * stride - pad + tap - ky * kw;
        const bool inside = i >= 0 && i < h && j >= 0 && j < w;
        FOR_CHANNELS (channel, vectors) {
            floatv v = (floatv)(0.0f);
            if (inside) v = LOADV(x + x_at + (((size_t)image * h + i) * w + j) * x_pitch + channel);
            STOREV(v, columns + columns_at + (size_t)r * VW * vectors + channel);
        }
    }
}

/* Each input pixel sums, or adds to what is there, the rows of COLUMNS that im2col would have copied it to. */
__kernel void col2im(__global const float *columns, const ulong columns_at, __global float *x, const ulong x_at,
                     const int rows, const int vectors, const int each, const int h, const int w, const int oh,
                     const int ow, const int kh, const int kw, const int stride, const int pad, const int x_pitch,
                     const int accumulate)
{
    FOR_ROWS (r, each, rows) {
        const int line = r / w, image = line / h, at_y = line - image * h + pad, at_x = r - line * w + pad;
        const span oy = covering_windows(at_y - pad, kh, stride, pad, oh);
        const span ox = covering_windows(at_x - pad, kw, stride, pad, ow);
        FOR_CHANNELS (channel, vectors) {
            __global float *out = x + x_at + (size_t)r * x_pitch + channel;
            floatv sum = (floatv)(0.0f);
            for (int i = oy.first; i < oy.end; i++) {
                for (int j = ox.first; j < ox.end; j++) {
                    const size_t pixel = ((size_t)image * oh + i) * ow + j;
                    const int tap = (at_y - i * stride) * kw + at_x - j * stride;
                    sum += LOADV(columns + columns_at + (pixel * kh * kw + tap) * VW * vectors + channel);
                }
            }
            if (accumulate) sum += LOADV(out);
            STOREV(sum, out);
        }
    }
}
