/* A list of launches: kernels with all their arguments set once, replayed many times. $WALSH_KERNEL_LOG keeps a log of
 * the kernels that were run: kernel_log.h. */
#ifndef WALSH_ENGINE_DEVICE_LIST_H
#define WALSH_ENGINE_DEVICE_LIST_H

#include "engine/device/view.h"

typedef struct walsh_list walsh_list;

/* One kernel argument. A tensor becomes two: `__global T *` and `ulong` offset in elements (a NULL pointer and 0 where
 * the view is absent). */
typedef struct walsh_arg {
    enum { WALSH_ARG_TENSOR, WALSH_ARG_INT, WALSH_ARG_FLOAT, WALSH_ARG_LOCAL } kind;
    const walsh_view *tensor;
    int i;
    float f;
    size_t local_bytes;
} walsh_arg;

#define WALSH_TENSOR(view)                                                                                             \
    {                                                                                                                  \
        .kind = WALSH_ARG_TENSOR, .tensor = (view)                                                                     \
    }
#define WALSH_INT(value)                                                                                               \
    {                                                                                                                  \
        .kind = WALSH_ARG_INT, .i = (value)                                                                            \
    }
#define WALSH_FLOAT(value)                                                                                             \
    {                                                                                                                  \
        .kind = WALSH_ARG_FLOAT, .f = (value)                                                                          \
    }
#define WALSH_LOCAL(bytes)                                                                                             \
    {                                                                                                                  \
        .kind = WALSH_ARG_LOCAL, .local_bytes = (bytes)                                                                \
    }

typedef struct walsh_launch {
    const char *file, *function; /* function of cl/FILE.cl */
    const char *options;         /* build options; NULL: none */
    size_t global[3], local[3];  /* work-items; zeros stand for 1. global is rounded up to multiples of local */
    double flops, bytes;         /* what the launch computes and at least moves, for profiles */
} walsh_launch;

walsh_status walsh_list_create(walsh_device *device, walsh_list **list);

/* The device that the list's launches run on. */
walsh_device *walsh_list_device(const walsh_list *list);

/* Names what follows in profiles ("layer1.0.conv1", "conv_forward"), until the next call. */
void walsh_list_label(walsh_list *list, const char *layer, const char *operation);

/* Appends a kernel launch with `count` arguments; use WALSH_LAUNCH. */
walsh_status walsh_list_kernel(walsh_list *list, const walsh_launch *launch, const walsh_arg *args, size_t count);

/* const walsh_launch launch = {...}; WALSH_LAUNCH(list, launch, WALSH_TENSOR(&x), WALSH_INT(n), ...) */
#define WALSH_LAUNCH(list, launch, ...)                                                                                \
    walsh_list_kernel((list), &(launch), (const walsh_arg[]){__VA_ARGS__},                                             \
                      sizeof((const walsh_arg[]){__VA_ARGS__}) / sizeof(walsh_arg))

/* Appends a call into a library that enqueues its own kernels on walsh_list_device()->queue (CLBlast). The list owns
 * `context` and frees it with free(). */
typedef walsh_status (*walsh_list_function)(walsh_device *device, const void *context);
walsh_status walsh_list_call(walsh_list *list, walsh_list_function function, void *context, double flops, double bytes);

/* Number of launches so far: the index of the next one. */
size_t walsh_list_count(const walsh_list *list);

/* A launch as it was appended. */
typedef struct walsh_listed {
    int number;                             /* of the walsh_list_label before it, from 1 */
    const char *layer, *operation, *kernel; /* the last: "library call" for one */
    const char *variant; /* "FILE.cl", build options, kernel and local size, between tabs; NULL for a library call */
    const size_t *global, *local; /* [3] work-items, and of a group; zeros for a library call */
    double flops, bytes;
} walsh_listed;
walsh_listed walsh_list_at(const walsh_list *list, size_t index);

/* Enqueues every launch in order and flushes; does not wait. Where the device profiles, it waits and adds up times. */
walsh_status walsh_list_run(walsh_list *list);

/* Appends this list's times to an array of lines (walsh_grow: start with NULL and 0), as those of `phase`. */
walsh_status walsh_list_profile(const walsh_list *list, const char *phase, walsh_profile_line **lines, size_t *count);

void walsh_list_destroy(walsh_list **list);

#endif
