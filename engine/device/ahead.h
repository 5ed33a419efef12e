/* Compiling ahead: which kernels launches need is noted before they are made, and several processes compile them at
 * once; whoever makes a kernel then waits for its program. This process compiles none, since it would keep what a
 * compiler leaves in its memory: 150 MiB with POCL. It changes nothing else but the time that this takes: what is not
 * compiled ahead, for whatever reason, is compiled when it is needed, and that is also what reports its errors.
 *
 * Only where the driver compiles one kernel at a time and keeps them (WALSH_QUIRK_COMPILES_ALONE), where there are
 * several processors, and where at least two programs have kernels that its cache is not known to hold.
 *
 * Use: if (walsh_ahead_begin(device)) { make the launches, which are only noted; walsh_ahead_start(device); }
 * make the launches; walsh_ahead_end(device). */
#ifndef WALSH_ENGINE_DEVICE_AHEAD_H
#define WALSH_ENGINE_DEVICE_AHEAD_H

#include "engine/device/list.h"

/* False where nothing is gained, or notes are being taken already. */
bool walsh_ahead_begin(walsh_device *device);

/* Between begin and start: lists take no launches. */
bool walsh_ahead_notes(const walsh_device *device);

void walsh_ahead_note(walsh_device *device, const walsh_launch *launch, const walsh_arg *args, size_t count);

/* Ends the notes and has what they say compiled, in their order. */
void walsh_ahead_start(walsh_device *device);

/* Waits until a program, which was noted or not, is as compiled as it will be. */
void walsh_ahead_await(walsh_device *device, const char *file, const char *options);

/* Waits for all and ends the processes. */
void walsh_ahead_end(walsh_device *device);

#endif
