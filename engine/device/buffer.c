#include "engine/device/quirks.h"

#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "engine/device/device.h"

static const double mib = 1.0 / (1 << 20);

walsh_status walsh_buffer_check(const walsh_device *device, size_t bytes, const char *what)
{
    if (bytes > device->info.max_alloc)
        WALSH_FAIL(WALSH_E_MEMORY, "%s needs a buffer of %.0f MiB; %s allows %.0f MiB at most", what,
                   (double)bytes * mib, device->info.name, (double)device->info.max_alloc * mib);
    return WALSH_OK;
}

/* Asks the system for huge pages (2 MiB) for what a CPU's buffer lies in, before it is touched: kernels walk several
 * tensors at once and wait for addresses that a core does not remember, all the more where a hypervisor translates
 * them again. Only advice: where the mapping is no more than a copy, or there are no such pages, nothing changes. */
static walsh_status advise_huge_pages(walsh_device *device, cl_mem buffer, size_t bytes)
{
#ifdef MADV_HUGEPAGE
    enum { HUGE = 2 << 20 };
    if (device->info.kind != WALSH_DEVICE_CPU || bytes < 2 * HUGE) return WALSH_OK;
    cl_int code;
    void *at = clEnqueueMapBuffer(device->queue, buffer, CL_TRUE, CL_MAP_WRITE_INVALIDATE_REGION, 0, bytes, 0, NULL,
                                  NULL, &code);
    if (code != CL_SUCCESS) return walsh_cl_fail(code, "clEnqueueMapBuffer");
    uintptr_t begin = ((uintptr_t)at + HUGE - 1) / HUGE * HUGE, end = ((uintptr_t)at + bytes) / HUGE * HUGE;
    madvise((void *)begin, end - begin, MADV_HUGEPAGE);
    WALSH_CL(clEnqueueUnmapMemObject(device->queue, buffer, at, 0, NULL, NULL));
#endif
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
    walsh_status status = advise_huge_pages(device, *buffer, bytes);
    if (status) walsh_buffer_release(buffer);
    return status;
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
