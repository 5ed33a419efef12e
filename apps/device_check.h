/* walsh devices --check: whether a device computes what it should. */
#ifndef WALSH_APPS_DEVICE_CHECK_H
#define WALSH_APPS_DEVICE_CHECK_H

#include "apps/options.h"

/* Checks the device that --device names, and prints a line for each variant of each operation, and the verdict. Fails
 * with WALSH_E_OPENCL where it computed something wrong. */
walsh_status walsh_device_check(const walsh_arguments *arguments);

#endif
