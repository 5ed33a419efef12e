#include "engine/device/device.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "engine/device/program.h"

static const char *error_name(cl_int code)
{
    static const struct {
        cl_int code;
        const char *name;
    } names[] = {
        {CL_DEVICE_NOT_FOUND, "CL_DEVICE_NOT_FOUND"},
        {CL_DEVICE_NOT_AVAILABLE, "CL_DEVICE_NOT_AVAILABLE"},
        {CL_COMPILER_NOT_AVAILABLE, "CL_COMPILER_NOT_AVAILABLE"},
        {CL_MEM_OBJECT_ALLOCATION_FAILURE, "CL_MEM_OBJECT_ALLOCATION_FAILURE"},
        {CL_OUT_OF_RESOURCES, "CL_OUT_OF_RESOURCES"},
        {CL_OUT_OF_HOST_MEMORY, "CL_OUT_OF_HOST_MEMORY"},
        {CL_BUILD_PROGRAM_FAILURE, "CL_BUILD_PROGRAM_FAILURE"},
        {CL_INVALID_VALUE, "CL_INVALID_VALUE"},
        {CL_INVALID_COMMAND_QUEUE, "CL_INVALID_COMMAND_QUEUE"},
        {CL_INVALID_MEM_OBJECT, "CL_INVALID_MEM_OBJECT"},
        {CL_INVALID_BINARY, "CL_INVALID_BINARY"},
        {CL_INVALID_BUILD_OPTIONS, "CL_INVALID_BUILD_OPTIONS"},
        {CL_INVALID_KERNEL_NAME, "CL_INVALID_KERNEL_NAME"},
        {CL_INVALID_ARG_INDEX, "CL_INVALID_ARG_INDEX"},
        {CL_INVALID_ARG_SIZE, "CL_INVALID_ARG_SIZE"},
        {CL_INVALID_KERNEL_ARGS, "CL_INVALID_KERNEL_ARGS"},
        {CL_INVALID_WORK_GROUP_SIZE, "CL_INVALID_WORK_GROUP_SIZE"},
        {CL_INVALID_BUFFER_SIZE, "CL_INVALID_BUFFER_SIZE"},
        {CL_INVALID_GLOBAL_WORK_SIZE, "CL_INVALID_GLOBAL_WORK_SIZE"},
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (names[i].code == code) return names[i].name;
    return "OpenCL error";
}

walsh_status walsh_cl_fail(cl_int code, const char *what)
{
    walsh_status status = code == CL_MEM_OBJECT_ALLOCATION_FAILURE || code == CL_OUT_OF_HOST_MEMORY ? WALSH_E_MEMORY
                          : code == CL_BUILD_PROGRAM_FAILURE                                        ? WALSH_E_BUILD
                                                                                                    : WALSH_E_OPENCL;
    /* `what` is the call as written: its name is enough for a message. */
    WALSH_FAIL(status, "%.*s failed: %s (%d)", (int)strcspn(what, "("), what, error_name(code), (int)code);
}

/* Restricts a CPU device to `threads` of its compute units. */
static walsh_status partition(walsh_device *device, unsigned threads)
{
    unsigned units = device->info.compute_units;
    if (device->info.kind != WALSH_DEVICE_CPU)
        WALSH_FAIL(WALSH_E_ARGUMENT, "--threads %u: %s is not a CPU device", threads, device->info.name);
    if (threads > units)
        WALSH_FAIL(WALSH_E_ARGUMENT, "--threads %u: %s has %u compute units", threads, device->info.name, units);
    if (threads == units) return WALSH_OK;
    const cl_device_partition_property by_counts[] = {CL_DEVICE_PARTITION_BY_COUNTS,
                                                      (cl_device_partition_property)threads,
                                                      CL_DEVICE_PARTITION_BY_COUNTS_LIST_END, 0};
    cl_device_id part;
    if (clCreateSubDevices(device->id, by_counts, 1, &part, NULL) != CL_SUCCESS)
        WALSH_FAIL(WALSH_E_OPENCL, "--threads %u: the driver of %s cannot restrict it", threads, device->info.name);
    device->id = part;
    device->is_sub_device = true;
    device->info.compute_units = threads;
    return WALSH_OK;
}

static walsh_status open_queue(walsh_device *device)
{
    cl_int code;
    cl_context_properties properties[] = {CL_CONTEXT_PLATFORM, (cl_context_properties)device->platform, 0};
    device->context = clCreateContext(properties, 1, &device->id, NULL, NULL, &code);
    if (code != CL_SUCCESS) return walsh_cl_fail(code, "clCreateContext");
    cl_command_queue_properties flags = device->profile ? CL_QUEUE_PROFILING_ENABLE : 0;
    device->queue = clCreateCommandQueue(device->context, device->id, flags, &code);
    if (code != CL_SUCCESS) return walsh_cl_fail(code, "clCreateCommandQueue");
    return WALSH_OK;
}

static walsh_status open_device(const walsh_device_options *options, walsh_device *device)
{
    WALSH_TRY(walsh_device_find(options->selector, device));
    if (options->threads) WALSH_TRY(partition(device, options->threads));
    device->profile = options->profile;
    device->driver_caches = strstr(device->info.platform, "Portable Computing Language") != NULL;
    snprintf(device->build_options, sizeof device->build_options, "-cl-std=CL1.2 -DWALSH_DEVICE_%s=1",
             device->info.kind == WALSH_DEVICE_GPU ? "GPU" : "CPU");
    return open_queue(device);
}

walsh_status walsh_device_open(const walsh_device_options *options, walsh_device **device)
{
    const walsh_device_options defaults = {0};
    *device = NULL;
    walsh_device *opened = NULL;
    WALSH_TRY(walsh_alloc(&opened, 1, sizeof *opened, "a device"));
    walsh_status status = open_device(options ? options : &defaults, opened);
    if (status) walsh_device_close(&opened);
    *device = opened;
    return status;
}

const walsh_device_info *walsh_device_describe(const walsh_device *device)
{
    return &device->info;
}

void walsh_device_identity(const walsh_device *device, char *out, size_t size)
{
    snprintf(out, size, "%s | %s | %s | %s", device->info.name, device->info.driver, device->info.platform,
             device->info.platform_version);
}

/* POCL's workers let go of their last event after clFinish has returned, and read the sub-device as they do: it must not
 * be released before. Every event holds a reference to its queue. Another holder of the queue is not waited for long. */
static void wait_for_events(cl_command_queue queue)
{
    cl_uint references = 1;
    for (int ms = 0; ms < 1000; ms++) {
        if (clGetCommandQueueInfo(queue, CL_QUEUE_REFERENCE_COUNT, sizeof references, &references, NULL) != CL_SUCCESS) return;
        if (references <= 1) return;
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
}

void walsh_device_close(walsh_device **device)
{
    walsh_device *closing = *device;
    if (!closing) return;
    if (closing->queue) {
        clFinish(closing->queue);
        wait_for_events(closing->queue);
    }
    walsh_programs_release(closing);
    if (closing->queue) clReleaseCommandQueue(closing->queue);
    if (closing->context) clReleaseContext(closing->context);
    if (closing->is_sub_device) clReleaseDevice(closing->id);
    free(closing);
    *device = NULL;
}

walsh_status walsh_buffer_create(walsh_device *device, size_t bytes, const char *what, cl_mem *buffer)
{
    const double mib = 1.0 / (1 << 20);
    *buffer = NULL;
    if (bytes > device->info.max_alloc)
        WALSH_FAIL(WALSH_E_MEMORY, "%s needs a buffer of %.0f MiB; %s allows %.0f MiB at most", what,
                   (double)bytes * mib, device->info.name, (double)device->info.max_alloc * mib);
    cl_int code;
    *buffer = clCreateBuffer(device->context, CL_MEM_READ_WRITE, bytes ? bytes : 4, NULL, &code);
    if (code != CL_SUCCESS)
        WALSH_FAIL(WALSH_E_MEMORY, "%s needs %.1f MiB of memory on %s, which could not be had: %s", what,
                   (double)bytes * mib, device->info.name, error_name(code));
    return WALSH_OK;
}

walsh_status walsh_buffer_zero(walsh_device *device, cl_mem buffer, size_t bytes)
{
    const cl_uchar zero = 0;
    WALSH_CL(clEnqueueFillBuffer(device->queue, buffer, &zero, 1, 0, bytes, 0, NULL, NULL));
    return WALSH_OK;
}

void walsh_buffer_release(cl_mem *buffer)
{
    if (*buffer) clReleaseMemObject(*buffer);
    *buffer = NULL;
}
