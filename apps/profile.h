/* Printing where the device's time went while a model was trained. */
#ifndef WALSH_APPS_PROFILE_H
#define WALSH_APPS_PROFILE_H

#include <walsh/device.h>

/* Measures the device's peaks and prints the lines on stdout, for each phase first by operation and kernel, then by
 * layer: ms of a run, share, GFLOP/s, GB/s, which bound applies and the share of it that was reached; the longest
 * first. Sorts `lines`. */
walsh_status walsh_profile_print(walsh_device *device, walsh_profile_line *lines, size_t count);

#endif
