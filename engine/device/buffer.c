#include "engine/device/quirks.h"

#include <stdlib.h>

#include "engine/device/device.h"

static const double mib = 1.0 / (1 << 20);

walsh_status walsh_buffer_check(const walsh_device *device, size_t bytes, const char *what)
{
    if (bytes > device->info.max_alloc)
        WALSH_FAIL(WALSH_E_MEMORY, "%s needs a buffer of %.0f MiB; %s allows %.0f MiB at most", what,
                   (double)bytes * mib, device->info.name, (double)device->info.max_alloc * mib);
    return WALSH_OK;
}

walsh_status walsh_buffer_create(walsh_device *device, size_t bytes, const char *what, cl_mem *buffer)
{
    *buffer = NULL;
    WALSH_TRY(walsh_buffer_check(device, bytes, what));
    cl_int code;
    *buffer = clCreateBuffer(device->context, CL_MEM_READ_WRITE, bytes ? bytes : 4, NULL, &code);
    if (code != CL_SUCCESS)
        WALSH_FAIL(WALSH_E_MEMORY, "%s needs %.1f MiB of memory on %s, which could not be had: %s", what,
                   (double)bytes * mib, device->info.name, walsh_cl_name(code));
    return WALSH_OK;
}

static walsh_status write_zeros(walsh_device *device, cl_mem buffer, size_t bytes)
{
    void *zeros;
    WALSH_TRY(walsh_alloc(&zeros, bytes, 1, "zeros"));
    cl_int code = clEnqueueWriteBuffer(device->queue, buffer, CL_TRUE, 0, bytes, zeros, 0, NULL, NULL);
    free(zeros);
    return code == CL_SUCCESS ? WALSH_OK : walsh_cl_fail(code, "clEnqueueWriteBuffer");
}

walsh_status walsh_buffer_zero(walsh_device *device, cl_mem buffer, size_t bytes)
{
    if (device->quirks & WALSH_QUIRK_BLIND_TO_FILLS) return write_zeros(device, buffer, bytes);
    const cl_uchar zero = 0;
    WALSH_CL(clEnqueueFillBuffer(device->queue, buffer, &zero, 1, 0, bytes, 0, NULL, NULL));
    return WALSH_OK;
}

void walsh_buffer_release(cl_mem *buffer)
{
    if (*buffer) clReleaseMemObject(*buffer);
    *buffer = NULL;
}
