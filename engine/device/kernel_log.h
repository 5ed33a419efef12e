/* Which kernels a process has run, for tests of tests and for audits: $WALSH_KERNEL_LOG names a file. Every process
 * appends the variant (walsh_listed, in list.h) of each distinct kernel that it enqueues through a list, as one line
 *
 *     FILE.cl <TAB> build options <TAB> kernel <TAB> local size, as 16x16x1
 *
 * by one write with O_APPEND, so that processes can share the file. The options are the kernel's own: those that depend
 * on the device alone, as -cl-std, are not among them. Unset or empty: nothing is kept and nothing is written. */
#ifndef WALSH_ENGINE_DEVICE_KERNEL_LOG_H
#define WALSH_ENGINE_DEVICE_KERNEL_LOG_H

#include "engine/base/status.h"

/* Appends the variant's line to the log, if there is one and this process has not done so before. */
walsh_status walsh_kernel_log(const char *variant);

#endif
