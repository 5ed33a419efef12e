/* OpenCL devices: finding, choosing and opening one. */
#ifndef WALSH_DEVICE_H
#define WALSH_DEVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <walsh/status.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct walsh_device walsh_device;

typedef enum walsh_device_kind { WALSH_DEVICE_CPU, WALSH_DEVICE_GPU, WALSH_DEVICE_OTHER } walsh_device_kind;

typedef struct walsh_device_info {
    int index; /* what `--device INDEX` takes: counts over all platforms, in the loader's order */
    char name[128], vendor[128], driver[128];
    char platform[128], platform_version[128];
    walsh_device_kind kind;
    unsigned compute_units;
    unsigned clock_mhz;
    uint64_t memory;       /* bytes of global memory; of a CPU, at most what the process may use */
    uint64_t max_alloc;    /* bytes of the largest single buffer */
    uint64_t local_memory; /* bytes a work-group */
    size_t max_group;      /* work-items a work-group */
    char unusable[160];    /* why Walsh cannot use it; empty if it can */
} walsh_device_info;

/* Every device of every platform, in index order, as an array that the caller frees with free().
 * No platform at all is no failure: *count is 0. Fails with WALSH_E_MEMORY, WALSH_E_OPENCL. */
WALSH_API walsh_status walsh_device_list(walsh_device_info **list, size_t *count);

/* The entry of `list` that `selector` names: an index, "cpu", "gpu", or a device's or platform's name or a part of it
 * (case does not count, and a whole name goes before parts of others); NULL or "" stands for $WALSH_DEVICE, else the GPU with the most compute units times clock, else the
 * first CPU. Fails with WALSH_E_NO_DEVICE where nothing (or more than one name) matches. */
WALSH_API walsh_status walsh_device_choose(const walsh_device_info *list, size_t count, const char *selector,
                                           size_t *chosen);

typedef struct walsh_device_options {
    const char *selector; /* as in walsh_device_choose; NULL: the default */
    unsigned threads;     /* compute units of a CPU device to use, by a sub-device; 0: all */
    bool profile;         /* time every launch (costs a little) */
} walsh_device_options;

/* Opens a device; `options` NULL means all defaults.
 * Fails with WALSH_E_NO_DEVICE as walsh_device_choose() does, WALSH_E_ARGUMENT for threads that the device does not
 * have, WALSH_E_OPENCL where the driver refuses; then *device is NULL.
 *
 * @code
 * walsh_device *device = NULL;
 * walsh_device_options options = {.selector = "cpu"};
 * if (walsh_device_open(&options, &device) != WALSH_OK)
 *     fprintf(stderr, "%s\n", walsh_message());
 * walsh_device_close(&device);
 * @endcode
 */
WALSH_API walsh_status walsh_device_open(const walsh_device_options *options, walsh_device **device);

/* Where a profiled device's time went: the launches of one kernel for one operation of one layer. */
typedef struct walsh_profile_line {
    char phase[16];      /* "training" or "evaluation"; in steps of several parts "accumulation" and "update";
                            "preparation": what is done once before the batches of the phase before */
    char layer[48];      /* "layer1.0.conv1" */
    char operation[32];  /* "conv_forward" */
    char kernel[48];     /* the function; "library call" for those of a library */
    uint64_t runs;       /* steps, parts of steps, evaluated batches, or times of preparation */
    uint64_t launches;   /* in all runs, as all that follows */
    double seconds;      /* of the device */
    double flops, bytes; /* computed, and at least moved */
} walsh_profile_line;

/* What was opened; valid until the device is closed. */
WALSH_API const walsh_device_info *walsh_device_describe(const walsh_device *device);

/* Waits for the device, frees it and sets the pointer to NULL; NULL is accepted. Close what was made on it before. */
WALSH_API void walsh_device_close(walsh_device **device);

#ifdef __cplusplus
}
#endif
#endif
