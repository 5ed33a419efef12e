/* A process that compiles kernels beside this one, into the driver's own cache: for drivers that compile one kernel at
 * a time in a process, whatever threads and contexts it has, and a kernel only when it is first enqueued
 * (WALSH_QUIRK_COMPILES_ALONE).
 *
 * The process is the program walsh-compile: $WALSH_COMPILER, or the one beside the program that runs, or the installed
 * one. It takes jobs from its standard input, a socket, and answers each by a byte; at the end of its input it exits.
 */
#ifndef WALSH_ENGINE_DEVICE_COMPILER_H
#define WALSH_ENGINE_DEVICE_COMPILER_H

#include <sys/types.h>

#include "engine/device/device.h"

/* A kernel as it will be launched. */
typedef struct walsh_compiled_kernel {
    char *function;
    char *arguments; /* a letter for each: 'm'emory, 'u'long, 'i'nt or float, 'l'ocal memory */
    size_t local[3];
    bool wide; /* the launch has WALSH_WIDE_LAUNCH work-items or more in a dimension */
} walsh_compiled_kernel;

/* POCL compiles apart what has less work-items than this in its first two dimensions. */
enum { WALSH_WIDE_LAUNCH = 65535 };

/* A program and kernels of it. */
typedef struct walsh_compiler_job {
    char *source, *options;
    walsh_compiled_kernel *kernels;
    size_t count;
} walsh_compiler_job;

/* Frees what the job is made of and empties it. */
void walsh_compiler_job_free(walsh_compiler_job *job);

/* Compiles a kernel in this process without running it. False where that fails; a driver may ignore it, too. */
bool walsh_compile(walsh_device *device, cl_program program, const walsh_compiled_kernel *kernel);

/* The compiler's file name; false where there is none, or $WALSH_COMPILER is empty. */
bool walsh_compiler_find(char *path, size_t size);

typedef struct walsh_compiler {
    pid_t process;
    int socket;
} walsh_compiler;

/* Starts the compiler at `path` for kernels of `device`. */
walsh_status walsh_compiler_start(const walsh_device *device, const char *path, walsh_compiler *compiler);

/* Has a job done and waits. *done is false after an error: whoever compiles the same then finds out which. False: the
 * process has died over it. */
bool walsh_compiler_do(walsh_compiler *compiler, const walsh_compiler_job *job, bool *done);

/* Ends the process, which has no job or is dead, and waits for it. */
void walsh_compiler_stop(walsh_compiler *compiler);

/* What the compiler does: jobs from `socket` until its end, on the device of that index. */
walsh_status walsh_compiler_serve(int socket, const char *selector);

#endif
