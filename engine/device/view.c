#include "engine/device/view.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const walsh_shape walsh_shape_absent = {0, 0, 0, 0, 0, WALSH_F32};

size_t walsh_type_size(walsh_type type)
{
    return type == WALSH_U8 ? 1 : type == WALSH_F16 ? 2 : 4;
}

bool walsh_type_is_padded(walsh_type type)
{
    return type == WALSH_F32 || type == WALSH_F16;
}

walsh_shape walsh_shape_nhwc(int n, int h, int w, int c)
{
    return (walsh_shape){n, h, w, c, walsh_pad(c), WALSH_F32};
}
walsh_shape walsh_shape_matrix(int rows, int columns)
{
    return walsh_shape_nhwc(rows, 1, 1, columns);
}
walsh_shape walsh_shape_vector(int elements)
{
    return walsh_shape_nhwc(1, 1, 1, elements);
}
walsh_shape walsh_shape_array(walsh_type type, int elements)
{
    return (walsh_shape){1, 1, 1, elements, elements, type};
}

size_t walsh_shape_rows(walsh_shape s)
{
    return (size_t)s.n * (size_t)s.h * (size_t)s.w;
}

size_t walsh_shape_elements(walsh_shape s)
{
    if (walsh_shape_is_absent(s)) return 0;
    size_t row = (size_t)(walsh_type_is_padded(s.type) ? walsh_pad(s.c) : s.c);
    return (walsh_shape_rows(s) - 1) * (size_t)s.pitch + row;
}

size_t walsh_shape_bytes(walsh_shape s)
{
    return walsh_shape_elements(s) * walsh_type_size(s.type);
}

char *walsh_shape_text(walsh_shape s, char out[48])
{
    snprintf(out, 48, "%dx%dx%dx%d", s.n, s.h, s.w, s.c);
    return out;
}

walsh_status walsh_view_write(walsh_device *device, const walsh_view *view, const void *elements)
{
    size_t size = walsh_type_size(view->shape.type);
    WALSH_CL(clEnqueueWriteBuffer(device->queue, view->memory, CL_TRUE, view->offset * size,
                                  walsh_shape_bytes(view->shape), elements, 0, NULL, NULL));
    return WALSH_OK;
}

static walsh_status enqueue_read(walsh_device *device, const walsh_view *view, cl_bool wait, void *elements,
                                 cl_event *arrived)
{
    size_t size = walsh_type_size(view->shape.type);
    WALSH_CL(clEnqueueReadBuffer(device->queue, view->memory, wait, view->offset * size, walsh_shape_bytes(view->shape),
                                 elements, 0, NULL, arrived));
    return WALSH_OK;
}

walsh_status walsh_view_read(walsh_device *device, const walsh_view *view, void *elements)
{
    return enqueue_read(device, view, CL_TRUE, elements, NULL);
}

walsh_status walsh_view_read_later(walsh_device *device, const walsh_view *view, void *elements, cl_event *arrived)
{
    return enqueue_read(device, view, CL_FALSE, elements, arrived);
}

walsh_status walsh_view_upload(walsh_device *device, const walsh_view *view, const float *dense)
{
    size_t rows = walsh_shape_rows(view->shape), c = (size_t)view->shape.c, pitch = (size_t)view->shape.pitch;
    float *staged = NULL;
    WALSH_TRY(walsh_alloc(&staged, walsh_shape_elements(view->shape), sizeof *staged, "an upload"));
    /* A slice of wider rows: what lies between its rows belongs to others and is kept. */
    walsh_status status = pitch > (size_t)walsh_pad((int)c) ? walsh_view_read(device, view, staged) : WALSH_OK;
    for (size_t r = 0; r < rows; r++) {
        memcpy(staged + r * pitch, dense + r * c, c * sizeof *dense);
        memset(staged + r * pitch + c, 0, ((size_t)walsh_pad((int)c) - c) * sizeof *dense);
    }
    if (!status) status = walsh_view_write(device, view, staged);
    free(staged);
    return status;
}

walsh_status walsh_view_download(walsh_device *device, const walsh_view *view, float *dense)
{
    size_t rows = walsh_shape_rows(view->shape), c = (size_t)view->shape.c, pitch = (size_t)view->shape.pitch;
    float *staged = NULL;
    WALSH_TRY(walsh_alloc(&staged, walsh_shape_elements(view->shape), sizeof *staged, "a download"));
    walsh_status status = walsh_view_read(device, view, staged);
    for (size_t r = 0; r < rows && !status; r++) memcpy(dense + r * c, staged + r * pitch, c * sizeof *dense);
    free(staged);
    return status;
}

/* Whether the bytes of a shape fit in 63 bits. */
static bool countable(walsh_shape s)
{
    size_t bytes = (size_t)s.n;
    return !__builtin_mul_overflow(bytes, (size_t)s.h, &bytes) && !__builtin_mul_overflow(bytes, (size_t)s.w, &bytes) &&
           !__builtin_mul_overflow(bytes, (size_t)s.pitch, &bytes) && bytes <= PTRDIFF_MAX / walsh_type_size(s.type);
}

walsh_status walsh_tensor_make(walsh_device *device, walsh_shape shape, walsh_tensor **tensor)
{
    char text[48];
    *tensor = NULL;
    if (shape.n < 1 || shape.h < 1 || shape.w < 1 || shape.c < 1)
        WALSH_FAIL(WALSH_E_ARGUMENT, "a tensor of %s: every size must be at least 1", walsh_shape_text(shape, text));
    if (!countable(shape))
        WALSH_FAIL(WALSH_E_MEMORY, "a tensor of %s needs more bytes than can be counted",
                   walsh_shape_text(shape, text));
    walsh_tensor *made = NULL;
    WALSH_TRY(walsh_alloc(&made, 1, sizeof *made, "a tensor"));
    made->device = device;
    made->view.shape = shape;
    walsh_status status = walsh_buffer_create(device, walsh_shape_bytes(shape), "a tensor", &made->view.memory);
    if (!status) status = walsh_buffer_zero(device, made->view.memory, walsh_shape_bytes(shape));
    if (status) walsh_tensor_destroy(&made);
    *tensor = made;
    return status;
}

walsh_status walsh_tensor_create(walsh_device *device, int n, int h, int w, int c, walsh_tensor **tensor)
{
    return walsh_tensor_make(device, walsh_shape_nhwc(n, h, w, c), tensor);
}

walsh_status walsh_tensor_upload(walsh_tensor *tensor, const float *dense)
{
    return walsh_view_upload(tensor->device, &tensor->view, dense);
}

walsh_status walsh_tensor_download(const walsh_tensor *tensor, float *dense)
{
    return walsh_view_download(tensor->device, &tensor->view, dense);
}

void walsh_tensor_destroy(walsh_tensor **tensor)
{
    if (!*tensor) return;
    walsh_buffer_release(&(*tensor)->view.memory);
    free(*tensor);
    *tensor = NULL;
}
