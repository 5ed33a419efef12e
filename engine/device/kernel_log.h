/* Which kernels a process has run, for tests of tests and for audits: $WALSH_KERNEL_LOG names a file. Every process
 * appends, for each distinct kernel that it enqueues through a list, one line
 *
 *     FILE.cl <TAB> build options <TAB> kernel <TAB> local size, as 16x16x1
 *
 * by one write with O_APPEND, so that processes can share the file. The options are the kernel's own: those that depend
 * on the device alone, as -cl-std, are not among them. Unset or empty: nothing is kept and nothing is written. */
#ifndef WALSH_ENGINE_DEVICE_KERNEL_LOG_H
#define WALSH_ENGINE_DEVICE_KERNEL_LOG_H

#include "engine/device/list.h"

/* The launch's line, which the caller frees; NULL where no log is asked for. */
walsh_status walsh_kernel_log_line(const walsh_launch *launch, char **line);

/* Appends *line to the log unless this process has done so before; frees it and sets it to NULL. NULL is accepted. */
walsh_status walsh_kernel_log_append(char **line);

#endif
