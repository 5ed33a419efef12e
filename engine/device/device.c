#include "engine/device/device.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "engine/device/program.h"
#include "engine/device/quirks.h"

/* Not every driver survives being asked for what it says that it has not (rusticl). */
static bool divides_by_counts(cl_device_id id)
{
    cl_device_partition_property kinds[8] = {0};
    size_t size = 0;
    if (clGetDeviceInfo(id, CL_DEVICE_PARTITION_PROPERTIES, sizeof kinds, kinds, &size) != CL_SUCCESS) return false;
    for (size_t i = 0; i < size / sizeof kinds[0]; i++)
        if (kinds[i] == CL_DEVICE_PARTITION_BY_COUNTS) return true;
    return false;
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
    if (!divides_by_counts(device->id) || clCreateSubDevices(device->id, by_counts, 1, &part, NULL) != CL_SUCCESS)
        WALSH_FAIL(WALSH_E_OPENCL, "--threads %u: the driver of %s cannot restrict it", threads, device->info.name);
    device->id = part;
    device->is_sub_device = true;
    device->info.compute_units = threads;
    return WALSH_OK;
}

static const char *const tiles_names[WALSH_TILES_KINDS] = {"cpu", "wide", "gpu", "amd", "intel", "nvidia"};

/* By the vendor's number on the PCI bus. */
static walsh_tiles vendor_tiles(cl_device_id id)
{
    static const struct {
        cl_uint vendor;
        walsh_tiles tiles;
    } known[] = {{0x1002, WALSH_TILES_AMD}, {0x8086, WALSH_TILES_INTEL}, {0x10de, WALSH_TILES_NVIDIA}};
    cl_uint vendor = 0;
    clGetDeviceInfo(id, CL_DEVICE_VENDOR_ID, sizeof vendor, &vendor, NULL);
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (known[i].vendor == vendor) return known[i].tiles;
    return WALSH_TILES_GPU;
}

static walsh_tiles own_tiles(const walsh_device *device)
{
    cl_uint floats = 0;
    if (device->info.kind != WALSH_DEVICE_CPU) return vendor_tiles(device->id);
    if (device->quirks & WALSH_QUIRK_AS_GPU) return WALSH_TILES_GPU;
    clGetDeviceInfo(device->id, CL_DEVICE_NATIVE_VECTOR_WIDTH_FLOAT, sizeof floats, &floats, NULL);
    return floats >= 16 ? WALSH_TILES_WIDE_CPU : WALSH_TILES_CPU;
}

/* The device's own tiles, unless $WALSH_TILES names others. */
static walsh_status choose_tiles(walsh_device *device)
{
    const char *wanted = getenv("WALSH_TILES");
    device->tiles = own_tiles(device);
    if (!wanted || !*wanted) return WALSH_OK;
    int i = 0;
    while (i < WALSH_TILES_KINDS && strcmp(wanted, tiles_names[i])) i++;
    if (i == WALSH_TILES_KINDS)
        WALSH_FAIL(WALSH_E_ARGUMENT, "WALSH_TILES: expected cpu, wide, gpu, amd, intel or nvidia, found '%s'", wanted);
    device->tiles = (walsh_tiles)i;
    return WALSH_OK;
}

static bool has_extension(cl_device_id id, const char *name)
{
    size_t size = 0;
    if (clGetDeviceInfo(id, CL_DEVICE_EXTENSIONS, 0, NULL, &size) != CL_SUCCESS) return false;
    char *names = calloc(size + 1, 1);
    bool has = names && clGetDeviceInfo(id, CL_DEVICE_EXTENSIONS, size, names, NULL) == CL_SUCCESS &&
               strstr(names, name);
    free(names);
    return has;
}

/* Of the widths that Intel's GPUs can be told to use; 0 elsewhere, where asking for them is an error. */
static size_t narrowest_sub_group(cl_device_id id)
{
    enum { SUB_GROUP_SIZES_INTEL = 0x4108 };
    size_t sizes[8], bytes = 0, least = 0;
    if (!has_extension(id, "cl_intel_required_subgroup_size")) return 0;
    if (clGetDeviceInfo(id, SUB_GROUP_SIZES_INTEL, sizeof sizes, sizes, &bytes) != CL_SUCCESS) return 0;
    for (size_t i = 0; i < bytes / sizeof *sizes && i < 8; i++)
        if (!least || sizes[i] < least) least = sizes[i];
    return least;
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
    device->quirks = walsh_quirks(device->info.platform);
    if (options->threads) WALSH_TRY(partition(device, options->threads));
    WALSH_TRY(choose_tiles(device));
    device->profile = options->profile;
    int length = snprintf(device->build_options, sizeof device->build_options, "-cl-std=CL1.2 -w -DWALSH_DEVICE_%s=1",
                          device->info.kind == WALSH_DEVICE_GPU ? "GPU" : "CPU");
    size_t narrow = narrowest_sub_group(device->id);
    if (narrow)
        snprintf(device->build_options + length, sizeof device->build_options - (size_t)length, " -DNARROWEST=%zu",
                 narrow);
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
    bool forced = device->tiles != own_tiles(device);
    snprintf(out, size, "%s | %s | %s | %s%s%s", device->info.name, device->info.driver, device->info.platform,
             device->info.platform_version, forced ? " | tiles of " : "", forced ? tiles_names[device->tiles] : "");
}

/* POCL's workers let go of their last event after clFinish has returned, and read the sub-device as they do: it must
 * not be released before. Every event holds a reference to its queue. Another holder of the queue is not waited for
 * long. */
static void wait_for_events(cl_command_queue queue)
{
    cl_uint references = 1;
    for (int ms = 0; ms < 1000; ms++) {
        if (clGetCommandQueueInfo(queue, CL_QUEUE_REFERENCE_COUNT, sizeof references, &references, NULL) != CL_SUCCESS)
            return;
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
