/* Views: where a tensor lies in device memory. */
#ifndef WALSH_ENGINE_DEVICE_VIEW_H
#define WALSH_ENGINE_DEVICE_VIEW_H

#include <walsh/tensor.h>

#include "engine/device/device.h"

typedef enum walsh_type { WALSH_F32, WALSH_I32, WALSH_U8, WALSH_F16 } walsh_type;

/* Size of one element in bytes. */
size_t walsh_type_size(walsh_type type);

/* An NHWC shape. Element (i, y, x, k) lies at ((i*h + y)*w + x)*pitch + k.
 *
 * Channels of floats and halves come in fours: pitch is a multiple of 4, and the lanes from c to the next multiple of 4
 * are *pad lanes* that hold zero in every activation, gradient and parameter. Kernels therefore work on walsh_pad(c)
 * channels without any remainder, and zeros propagate by themselves: zero weights give zero outputs, zero gamma and
 * beta give zero normalised values. A kernel that could break this (softmax, a bias of ones) says so and guards it.
 *
 * A convolution's weights [kh][kw][ic][oc] have n = kh, h = kw, w = walsh_pad(ic), c = oc; a matrix [rows][columns] has
 * n = rows, c = columns; a vector has only c. An absent operand has c = 0. */
typedef struct walsh_shape {
    int n, h, w, c;
    int pitch;
    walsh_type type;
} walsh_shape;

typedef struct walsh_view {
    cl_mem memory;
    size_t offset; /* elements, a multiple of 4 */
    walsh_shape shape;
} walsh_view;

/* Channels with their pad lanes: the next multiple of 4. Negative where that is no int: walsh_tensor_make() refuses it.
 */
static inline int walsh_pad(int channels)
{
    return (int)(((unsigned)channels + 3) & ~3u);
}

static inline int walsh_divide_up(int a, int b)
{
    return (a + b - 1) / b;
}

static inline int walsh_smaller(int a, int b)
{
    return a < b ? a : b;
}

/* Whether it has pad lanes: float32 and float16. */
bool walsh_type_is_padded(walsh_type type);

/* Densely packed float32 shapes. */
walsh_shape walsh_shape_nhwc(int n, int h, int w, int c);
walsh_shape walsh_shape_matrix(int rows, int columns);
walsh_shape walsh_shape_vector(int elements);

/* An array of n int32 or uint8 elements (pitch = c = n). */
walsh_shape walsh_shape_array(walsh_type type, int elements);

extern const walsh_shape walsh_shape_absent;

static inline bool walsh_shape_is_absent(walsh_shape s)
{
    return s.c == 0;
}

/* n*h*w: the pixels (rows) of a tensor. */
size_t walsh_shape_rows(walsh_shape shape);

/* Elements and bytes from the first row's start to the last row's end, pad lanes included. */
size_t walsh_shape_elements(walsh_shape shape);
size_t walsh_shape_bytes(walsh_shape shape);

/* "128x32x32x16", for messages. Returns out. */
char *walsh_shape_text(walsh_shape shape, char out[48]);

/* Copies between a float32 view and dense host rows [n*h*w][c]; pad lanes become zero. Both wait for the queue. */
walsh_status walsh_view_upload(walsh_device *device, const walsh_view *view, const float *dense);
walsh_status walsh_view_download(walsh_device *device, const walsh_view *view, float *dense);

/* Copies raw elements, pad lanes included (walsh_shape_bytes() of them); both wait for the queue. */
walsh_status walsh_view_write(walsh_device *device, const walsh_view *view, const void *elements);
walsh_status walsh_view_read(walsh_device *device, const walsh_view *view, void *elements);

/* Enqueues the same reading without waiting: `elements` are there, and the memory is the caller's again, once *arrived
 * has completed, which the caller releases. */
walsh_status walsh_view_read_later(walsh_device *device, const walsh_view *view, void *elements, cl_event *arrived);

/* The public tensor: a view with a buffer of its own. */
struct walsh_tensor {
    walsh_device *device;
    walsh_view view;
};

/* A zeroed tensor of any shape and type. */
walsh_status walsh_tensor_make(walsh_device *device, walsh_shape shape, walsh_tensor **tensor);

#endif
