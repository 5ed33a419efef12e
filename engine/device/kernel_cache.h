/* Compiled programs on disk, below walsh_cache_folder(): a convenience that may be deleted or damaged at any time. */
#ifndef WALSH_ENGINE_DEVICE_KERNEL_CACHE_H
#define WALSH_ENGINE_DEVICE_KERNEL_CACHE_H

#include "engine/device/device.h"

/* The built program for exactly this source, options, device and driver, or NULL: not there, unreadable, damaged or
 * refused by the driver, all of which mean "build it". */
cl_program walsh_kernel_cache_load(walsh_device *device, const char *source, const char *options);

/* Keeps a built program. A failure (full disk, no home) is only logged. */
void walsh_kernel_cache_store(walsh_device *device, const char *source, const char *options, cl_program program);

#endif
