/* Programs: the embedded kernel files, compiled on demand and kept in memory and on disk. */
#ifndef WALSH_ENGINE_DEVICE_PROGRAM_H
#define WALSH_ENGINE_DEVICE_PROGRAM_H

#include "engine/device/device.h"

typedef struct walsh_kernel_file {
    const char *name;   /* "conv_forward" for cl/conv_forward.cl */
    const char *source; /* with its includes in place */
} walsh_kernel_file;

/* All kernel files, ended by a NULL name. Generated at build time. */
extern const walsh_kernel_file walsh_kernel_files[];

/* A new kernel object of function `function` of cl/FILE.cl compiled with `options` ("" or "-DTILE=8 ..."), which the
 * caller releases. Each (file, options) is compiled once a device. $WALSH_KERNEL_DIR/FILE.cl replaces the embedded
 * text. Fails with WALSH_E_BUILD and the compiler's log, WALSH_E_ARGUMENT for a file or function that does not exist.
 */
walsh_status walsh_kernel_create(walsh_device *device, const char *file, const char *function, const char *options,
                                 cl_kernel *kernel);

/* What is compiled for (file, options): whole text and options. */
typedef struct walsh_program_text {
    const char *source;
    char *edited; /* `source`, where it is not the embedded one */
    char options[1024];
} walsh_program_text;

/* Fails as walsh_kernel_create where there is no such file. */
walsh_status walsh_program_text_find(const walsh_device *device, const char *file, const char *options,
                                     walsh_program_text *text);
void walsh_program_text_free(walsh_program_text *text);

/* The program of (file, options), which stays the device's. Fails as walsh_kernel_create. */
walsh_status walsh_program_make(walsh_device *device, const char *file, const char *options, cl_program *program);

/* Releases every program of the device. */
void walsh_programs_release(walsh_device *device);

#endif
