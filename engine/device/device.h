/* An opened device as the engine sees it, and how OpenCL's error codes become statuses. */
#ifndef WALSH_ENGINE_DEVICE_DEVICE_H
#define WALSH_ENGINE_DEVICE_DEVICE_H

#include <CL/cl.h>

#include <walsh/device.h>

#include "engine/base/status.h"

typedef struct walsh_program walsh_program;
typedef struct walsh_ahead walsh_ahead;

/* The kind of device that kernels are laid out for (vector widths, tiles, work-groups): a CPU whose vectors hold less
 * than 16 floats (16 registers of 8 in AVX2), one with 32 registers of 16 floats (AVX-512), a vendor's GPU, or anything
 * else, which runs what suits any GPU. Operations ask for this and never for the kind of device, so that any layout can
 * be tried anywhere: $WALSH_TILES=cpu|wide|gpu|amd|intel|nvidia. */
typedef enum walsh_tiles {
    WALSH_TILES_CPU,
    WALSH_TILES_WIDE_CPU,
    WALSH_TILES_GPU,
    WALSH_TILES_AMD,
    WALSH_TILES_INTEL,
    WALSH_TILES_NVIDIA,
    WALSH_TILES_KINDS
} walsh_tiles;

static inline bool walsh_tiles_are_gpu(walsh_tiles tiles)
{
    return tiles >= WALSH_TILES_GPU;
}

/* The entry for a kind of device in a table of structs with `options` (those of a program): a vendor that needs no
 * entry of its own has none, NULL, and runs any GPU's. */
#define WALSH_TILES_ENTRY(table, tiles)                                                                                \
    (&(table)[walsh_tiles_are_gpu(tiles) && !(table)[tiles].options ? WALSH_TILES_GPU : (tiles)])

struct walsh_device {
    cl_platform_id platform;
    cl_device_id id; /* a sub-device where fewer threads were asked for */
    cl_context context;
    cl_command_queue queue; /* in order: commands need no events between them */
    walsh_device_info info;
    walsh_tiles tiles;
    bool is_sub_device;
    bool profile;
    bool exact;              /* no approximate variant is taken: what plans being made now ask for, or a benchmark */
    unsigned quirks;         /* of its platform: quirks.h */
    char build_options[256]; /* for every program */
    walsh_program *programs; /* built so far; see program.h */
    walsh_ahead *ahead;      /* NULL: nothing is being compiled ahead; see ahead.h */
};

/* Fills in id, platform and info of the device that `selector` names (as walsh_device_choose). */
walsh_status walsh_device_find(const char *selector, walsh_device *device);

/* Writes what compiled kernels and wisdom depend on, one line: device, driver and platform version. */
void walsh_device_identity(const walsh_device *device, char *out, size_t size);

/* "CL_OUT_OF_RESOURCES" for its code; "OpenCL error" for one without a name here. */
const char *walsh_cl_name(cl_int code);

/* Sets the message "what: CL_ERROR_NAME" and returns WALSH_E_MEMORY, WALSH_E_BUILD or WALSH_E_OPENCL. */
walsh_status walsh_cl_fail(cl_int code, const char *what);

#define WALSH_CL(call)                                                                                                 \
    do {                                                                                                               \
        cl_int walsh_cl_code_ = (call);                                                                                \
        if (walsh_cl_code_ != CL_SUCCESS) return walsh_cl_fail(walsh_cl_code_, #call);                                 \
    } while (0)

/* WALSH_E_MEMORY where that is more than one buffer of the device may have. `what` needs it, for the message. */
walsh_status walsh_buffer_check(const walsh_device *device, size_t bytes, const char *what);

/* A buffer of `bytes` of device memory, its content undefined. `what` names it in the message of a failure. */
walsh_status walsh_buffer_create(walsh_device *device, size_t bytes, const char *what, cl_mem *buffer);

/* Sets `bytes` bytes to zero, in queue order. */
walsh_status walsh_buffer_zero(walsh_device *device, cl_mem buffer, size_t bytes);

/* Releases and clears *buffer; NULL is accepted. */
void walsh_buffer_release(cl_mem *buffer);

#endif
