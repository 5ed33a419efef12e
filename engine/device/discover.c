/* Which devices there are, and which one a selector names. */
#include "engine/device/device.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/host.h"

#define CL_PLATFORM_NOT_FOUND_KHR_ (-1001) /* the loader's own code: no driver is installed */

static void text(cl_device_id id, cl_device_info what, char *out, size_t size)
{
    if (clGetDeviceInfo(id, what, size - 1, out, NULL) != CL_SUCCESS) out[0] = '\0';
    out[size - 1] = '\0';
    /* Some drivers pad their names with blanks. */
    size_t start = strspn(out, " ");
    memmove(out, out + start, strlen(out + start) + 1);
    for (size_t n = strlen(out); n && out[n - 1] == ' '; n--) out[n - 1] = '\0';
}

static void describe_platform(cl_platform_id platform, walsh_device_info *info)
{
    clGetPlatformInfo(platform, CL_PLATFORM_NAME, sizeof info->platform - 1, info->platform, NULL);
    clGetPlatformInfo(platform, CL_PLATFORM_VERSION, sizeof info->platform_version - 1, info->platform_version, NULL);
}

static void find_obstacles(cl_device_id id, walsh_device_info *info)
{
    cl_bool available = CL_FALSE, compiler = CL_FALSE, little_endian = CL_FALSE;
    char c_version[128] = "";
    clGetDeviceInfo(id, CL_DEVICE_AVAILABLE, sizeof available, &available, NULL);
    clGetDeviceInfo(id, CL_DEVICE_COMPILER_AVAILABLE, sizeof compiler, &compiler, NULL);
    clGetDeviceInfo(id, CL_DEVICE_ENDIAN_LITTLE, sizeof little_endian, &little_endian, NULL);
    text(id, CL_DEVICE_OPENCL_C_VERSION, c_version, sizeof c_version);
    const char *why = !available                              ? "the driver says that it is not available"
                      : !compiler                             ? "its driver has no compiler for kernels"
                      : !little_endian                        ? "it is big-endian"
                      : strcmp(c_version, "OpenCL C 1.2") < 0 ? "it is older than OpenCL C 1.2"
                                                              : "";
    strcpy(info->unusable, why);
}

static void describe_device(cl_platform_id platform, cl_device_id id, walsh_device_info *info)
{
    cl_device_type type = 0;
    cl_uint units = 0, clock = 0;
    cl_ulong memory = 0, max_alloc = 0, local = 0;
    memset(info, 0, sizeof *info);
    describe_platform(platform, info);
    text(id, CL_DEVICE_NAME, info->name, sizeof info->name);
    text(id, CL_DEVICE_VENDOR, info->vendor, sizeof info->vendor);
    text(id, CL_DRIVER_VERSION, info->driver, sizeof info->driver);
    clGetDeviceInfo(id, CL_DEVICE_TYPE, sizeof type, &type, NULL);
    clGetDeviceInfo(id, CL_DEVICE_MAX_COMPUTE_UNITS, sizeof units, &units, NULL);
    clGetDeviceInfo(id, CL_DEVICE_MAX_CLOCK_FREQUENCY, sizeof clock, &clock, NULL);
    clGetDeviceInfo(id, CL_DEVICE_GLOBAL_MEM_SIZE, sizeof memory, &memory, NULL);
    clGetDeviceInfo(id, CL_DEVICE_MAX_MEM_ALLOC_SIZE, sizeof max_alloc, &max_alloc, NULL);
    clGetDeviceInfo(id, CL_DEVICE_LOCAL_MEM_SIZE, sizeof local, &local, NULL);
    clGetDeviceInfo(id, CL_DEVICE_MAX_WORK_GROUP_SIZE, sizeof info->max_group, &info->max_group, NULL);
    info->kind = type & CL_DEVICE_TYPE_GPU   ? WALSH_DEVICE_GPU
                 : type & CL_DEVICE_TYPE_CPU ? WALSH_DEVICE_CPU
                                             : WALSH_DEVICE_OTHER;
    info->compute_units = units;
    info->clock_mhz = clock;
    info->memory = info->kind == WALSH_DEVICE_CPU && memory > walsh_host_memory() ? walsh_host_memory() : memory;
    info->max_alloc = max_alloc;
    info->local_memory = local;
    find_obstacles(id, info);
}

/* All devices: *infos, *ids and *owners (their platforms) are parallel arrays that the caller frees. */
static walsh_status enumerate(walsh_device_info **infos, cl_device_id **ids, cl_platform_id **owners, size_t *count)
{
    cl_platform_id platforms[32];
    cl_uint platform_count = 0;
    cl_int code = clGetPlatformIDs(32, platforms, &platform_count);
    if (code == CL_PLATFORM_NOT_FOUND_KHR_)
        platform_count = 0;
    else if (code != CL_SUCCESS)
        return walsh_cl_fail(code, "clGetPlatformIDs");
    if (platform_count > 32) platform_count = 32;
    cl_device_id found[256];
    cl_platform_id owner[256];
    size_t n = 0;
    for (cl_uint p = 0; p < platform_count; p++) {
        cl_uint here = 0, room = (cl_uint)(256 - n);
        if (!room || clGetDeviceIDs(platforms[p], CL_DEVICE_TYPE_ALL, room, found + n, &here) != CL_SUCCESS) continue;
        if (here > room) here = room;
        for (cl_uint d = 0; d < here; d++) owner[n++] = platforms[p];
    }
    WALSH_TRY(walsh_alloc(infos, n, sizeof **infos, "the list of devices"));
    if (walsh_alloc(ids, n, sizeof **ids, "the list of devices") ||
        walsh_alloc(owners, n, sizeof **owners, "the list of devices")) {
        free(*infos);
        free(*ids);
        return WALSH_E_MEMORY;
    }
    for (size_t i = 0; i < n; i++) {
        describe_device(owner[i], found[i], *infos + i);
        (*infos)[i].index = (int)i;
        (*ids)[i] = found[i];
        (*owners)[i] = owner[i];
    }
    *count = n;
    return WALSH_OK;
}

walsh_status walsh_device_list(walsh_device_info **list, size_t *count)
{
    cl_device_id *ids = NULL;
    cl_platform_id *owners = NULL;
    WALSH_TRY(enumerate(list, &ids, &owners, count));
    free(ids);
    free(owners);
    return WALSH_OK;
}

static bool contains(const char *where, const char *part)
{
    size_t n = strlen(part);
    for (; *where; where++)
        if (!strncasecmp(where, part, n)) return true;
    return false;
}

/* The first usable device of a kind, or for GPUs the one with the most units times clock; `count` if there is none. */
static size_t best_of(const walsh_device_info *list, size_t count, walsh_device_kind kind)
{
    size_t best = count;
    double most = -1;
    for (size_t i = 0; i < count; i++) {
        double power = kind == WALSH_DEVICE_GPU ? (double)list[i].compute_units * list[i].clock_mhz : 0;
        if (list[i].kind == kind && !list[i].unusable[0] && power > most) most = power, best = i;
    }
    return best;
}

/* How many devices have a name or platform that is `part`, or contains it; the first. */
static size_t count_named(const walsh_device_info *list, size_t count, const char *part, bool whole, size_t *first)
{
    size_t matches = 0;
    for (size_t i = 0; i < count; i++) {
        const char *const names[] = {list[i].name, list[i].platform};
        bool named = false;
        for (int n = 0; n < 2; n++) named |= whole ? !strcasecmp(names[n], part) : contains(names[n], part);
        if (named && !matches++) *first = i;
    }
    return matches;
}

/* A whole name goes before a part of another. */
static walsh_status by_name(const walsh_device_info *list, size_t count, const char *part, size_t *chosen)
{
    size_t matches = count_named(list, count, part, true, chosen);
    if (!matches) matches = count_named(list, count, part, false, chosen);
    if (!matches) WALSH_FAIL(WALSH_E_NO_DEVICE, "no OpenCL device is named '%s' (`walsh devices` lists them)", part);
    if (matches > 1)
        WALSH_FAIL(WALSH_E_NO_DEVICE, "%zu OpenCL devices match '%s': name one by its index in `walsh devices`",
                   matches, part);
    return WALSH_OK;
}

walsh_status walsh_device_choose(const walsh_device_info *list, size_t count, const char *selector, size_t *chosen)
{
    if (!selector || !*selector) selector = getenv("WALSH_DEVICE");
    if (selector && !*selector) selector = NULL;
    if (!count)
        WALSH_FAIL(WALSH_E_NO_DEVICE,
                   "no OpenCL device: install a driver (for the CPU: POCL, Debian's pocl-opencl-icd)");
    char *end;
    long index = selector ? strtol(selector, &end, 10) : 0;
    bool is_index = selector && isdigit((unsigned char)*selector) && !*end;
    if (is_index) {
        if ((size_t)index >= count)
            WALSH_FAIL(WALSH_E_NO_DEVICE, "device %s does not exist: expected an index from 0 to %zu", selector,
                       count - 1);
        *chosen = (size_t)index;
    } else if (!selector) {
        *chosen = best_of(list, count, WALSH_DEVICE_GPU);
        if (*chosen == count) *chosen = best_of(list, count, WALSH_DEVICE_CPU);
        if (*chosen == count)
            WALSH_FAIL(WALSH_E_NO_DEVICE, "none of the %zu OpenCL devices is usable: see `walsh devices`", count);
    } else if (!strcasecmp(selector, "cpu") || !strcasecmp(selector, "gpu")) {
        *chosen = best_of(list, count, !strcasecmp(selector, "cpu") ? WALSH_DEVICE_CPU : WALSH_DEVICE_GPU);
        if (*chosen == count)
            WALSH_FAIL(WALSH_E_NO_DEVICE, "no usable OpenCL device of kind '%s' (`walsh devices` lists them)",
                       selector);
    } else {
        WALSH_TRY(by_name(list, count, selector, chosen));
    }
    if (list[*chosen].unusable[0])
        WALSH_FAIL(WALSH_E_NO_DEVICE, "device %zu (%s) cannot be used: %s", *chosen, list[*chosen].name,
                   list[*chosen].unusable);
    return WALSH_OK;
}

walsh_status walsh_device_find(const char *selector, walsh_device *device)
{
    walsh_device_info *infos = NULL;
    cl_device_id *ids = NULL;
    cl_platform_id *owners = NULL;
    size_t count = 0, chosen = 0;
    WALSH_TRY(enumerate(&infos, &ids, &owners, &count));
    walsh_status status = walsh_device_choose(infos, count, selector, &chosen);
    if (!status) {
        device->id = ids[chosen];
        device->platform = owners[chosen];
        device->info = infos[chosen];
    }
    free(infos);
    free(ids);
    free(owners);
    return status;
}
