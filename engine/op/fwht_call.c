/* The public transforms: one call, which waits. */
#include <stdint.h>
#include <string.h>

#include <walsh/head.h>

#include "engine/op/fwht.h"

/* Elements of host memory at a time: in place on CPUs, copied for other devices. */
enum { WRAPPED = 1 << 28, COPIED = 1 << 24 };

/* Does not wait. */
static walsh_status run(walsh_device *device, const walsh_fwht_problem *problem, const walsh_view *x,
                        const walsh_view *y)
{
    const walsh_view operand[WALSH_FWHT_OPERANDS] = {
        [WALSH_FWHT_X] = *x, [WALSH_FWHT_SIGN] = {.shape = walsh_shape_absent}, [WALSH_FWHT_Y] = *y};
    const walsh_view none = {.shape = walsh_shape_absent};
    const walsh_variant *variant;
    walsh_list *list = NULL;
    WALSH_TRY(walsh_op_check(&walsh_fwht_rows, problem, operand));
    WALSH_TRY(walsh_op_choose(device, &walsh_fwht_rows, problem, &variant));
    WALSH_TRY(walsh_list_create(device, &list));
    walsh_status status = variant->emit(list, problem, operand, &none);
    if (!status) status = walsh_list_run(list);
    walsh_list_destroy(&list);
    return status;
}

/* The same memory as a matrix: a row for each pixel. */
static walsh_view as_rows(const walsh_tensor *t, int rows)
{
    walsh_view view = t->view;
    view.shape.n = rows, view.shape.h = view.shape.w = 1;
    return view;
}

walsh_status walsh_fwht(walsh_device *device, const walsh_tensor *x, walsh_tensor *y)
{
    size_t rows = walsh_shape_rows(x->view.shape);
    if (rows > INT32_MAX) WALSH_FAIL(WALSH_E_ARGUMENT, "fwht: %zu rows, expected at most %d", rows, INT32_MAX);
    if (walsh_shape_rows(y->view.shape) != rows)
        WALSH_FAIL(WALSH_E_ARGUMENT, "fwht: y has %zu rows, expected %zu as in x", walsh_shape_rows(y->view.shape),
                   rows);
    const walsh_fwht_problem problem = {.rows = (int)rows, .n = x->view.shape.c, .scale = 1};
    const walsh_view from = as_rows(x, (int)rows), to = as_rows(y, (int)rows);
    WALSH_TRY(run(device, &problem, &from, &to));
    WALSH_CL(clFinish(device->queue));
    return WALSH_OK;
}

static walsh_status wrap(walsh_device *device, cl_mem_flags flags, void *host, size_t bytes, cl_mem *buffer)
{
    cl_int code;
    *buffer = clCreateBuffer(device->context, flags | CL_MEM_USE_HOST_PTR, bytes, host, &code);
    return code == CL_SUCCESS ? WALSH_OK : walsh_cl_fail(code, "clCreateBuffer of host memory");
}

/* What the kernels left becomes visible through the host's pointer. One wait at the end: each costs as much as a short
 * transform, and the queue keeps the order. */
static walsh_status return_to_host(walsh_device *device, cl_mem buffer, size_t bytes)
{
    cl_int code;
    void *host = clEnqueueMapBuffer(device->queue, buffer, CL_FALSE, CL_MAP_READ, 0, bytes, 0, NULL, NULL, &code);
    if (code != CL_SUCCESS) return walsh_cl_fail(code, "clEnqueueMapBuffer");
    WALSH_CL(clEnqueueUnmapMemObject(device->queue, buffer, host, 0, NULL, NULL));
    WALSH_CL(clFinish(device->queue));
    return WALSH_OK;
}

static walsh_status in_host_memory(walsh_device *device, const walsh_fwht_problem *problem, walsh_shape shape,
                                   const float *x, float *y)
{
    size_t bytes = walsh_shape_bytes(shape);
    cl_mem from = NULL, to = NULL;
    walsh_status status = wrap(device, CL_MEM_READ_WRITE, y, bytes, &to);
    if (!status && x != y) status = wrap(device, CL_MEM_READ_ONLY, (void *)(uintptr_t)x, bytes, &from);
    if (!status)
        status = run(device, problem, &(walsh_view){.memory = x == y ? to : from, .shape = shape},
                     &(walsh_view){.memory = to, .shape = shape});
    if (!status) status = return_to_host(device, to, bytes);
    walsh_buffer_release(&from);
    walsh_buffer_release(&to);
    return status;
}

static walsh_status by_copy(walsh_device *device, const walsh_fwht_problem *problem, walsh_shape shape, const float *x,
                            float *y)
{
    walsh_view view = {.shape = shape};
    WALSH_TRY(walsh_buffer_create(device, walsh_shape_bytes(shape), "a transform", &view.memory));
    walsh_status status = walsh_view_write(device, &view, x);
    if (!status) status = run(device, problem, &view, &view);
    if (!status) status = walsh_view_read(device, &view, y);
    walsh_buffer_release(&view.memory);
    return status;
}

static bool is_aligned(const void *p)
{
    return (uintptr_t)p % 16 == 0; /* as the kernels' vectors are */
}

walsh_status walsh_fwht_host(walsh_device *device, const float *x, float *y, size_t rows, int n)
{
    walsh_shape shapes[WALSH_FWHT_OPERANDS];
    walsh_fwht_problem problem = {.rows = 1, .n = n, .scale = 1};
    WALSH_TRY(walsh_fwht_rows.shapes(&problem, shapes));
    if (rows < 1) WALSH_FAIL(WALSH_E_ARGUMENT, "fwht: 0 rows, expected at least 1");
    if (rows > SIZE_MAX / sizeof *x / (size_t)n)
        WALSH_FAIL(WALSH_E_ARGUMENT, "fwht: %zu rows of %d are more than memory can hold", rows, n);
    /* Kernels work on quads: two rows of two elements each make one, and the last of an odd number is done here. */
    size_t width = n == 2 ? 4 : (size_t)n, left = rows * (size_t)n / width;
    if (n == 2 && rows % 2) {
        const float a = x[2 * rows - 2], b = x[2 * rows - 1];
        y[2 * rows - 2] = a + b, y[2 * rows - 1] = a - b;
    }
    bool wrapped = device->info.kind == WALSH_DEVICE_CPU && is_aligned(x) && is_aligned(y);
    size_t most = (wrapped ? WRAPPED : COPIED) / width;
    if (most * width > device->info.max_alloc / sizeof *x) most = device->info.max_alloc / sizeof *x / width;
    if (most < 1) most = 1;
    for (size_t count; left; left -= count, x += count * width, y += count * width) {
        count = left < most ? left : most;
        problem.rows = (int)count;
        walsh_shape shape = walsh_shape_matrix((int)count, n);
        WALSH_TRY((wrapped ? in_host_memory : by_copy)(device, &problem, shape, x, y));
    }
    return WALSH_OK;
}
