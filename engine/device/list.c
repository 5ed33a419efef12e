#include "engine/device/list.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/clock.h"
#include "engine/device/ahead.h"
#include "engine/device/kernel_log.h"
#include "engine/device/program.h"

typedef struct entry {
    int number;       /* of its label */
    cl_kernel kernel; /* NULL: `function` is called */
    size_t global[3], local[3];
    walsh_list_function function;
    void *context;
    char layer[48], operation[32], name[48]; /* the last: of the kernel */
    double flops, bytes;
    double seconds; /* over all profiled runs */
    char *variant;  /* as in walsh_listed */
} entry;

struct walsh_list {
    walsh_device *device;
    entry *entries;
    cl_event *events; /* [count], used while profiling */
    size_t count;
    size_t runs;   /* that were profiled */
    size_t logged; /* launches that the kernel log has seen */
    int labels;    /* so far */
    char layer[48], operation[32];
};

walsh_status walsh_list_create(walsh_device *device, walsh_list **list)
{
    WALSH_TRY(walsh_alloc(list, 1, sizeof **list, "a list of launches"));
    (*list)->device = device;
    return WALSH_OK;
}

walsh_device *walsh_list_device(const walsh_list *list)
{
    return list->device;
}

size_t walsh_list_count(const walsh_list *list)
{
    return list->count;
}

void walsh_list_label(walsh_list *list, const char *layer, const char *operation)
{
    if (walsh_ahead_notes(list->device)) return;
    list->labels++;
    snprintf(list->layer, sizeof list->layer, "%s", layer);
    snprintf(list->operation, sizeof list->operation, "%s", operation);
}

static walsh_status append(walsh_list *list, const char *name, double flops, double bytes, entry **out)
{
    WALSH_TRY(walsh_grow(&list->entries, list->count, sizeof *list->entries, "a list of launches"));
    WALSH_TRY(walsh_grow(&list->events, list->count, sizeof *list->events, "a list of launches"));
    *out = &list->entries[list->count];
    memset(*out, 0, sizeof **out);
    (*out)->number = list->labels;
    list->events[list->count] = NULL;
    memcpy((*out)->layer, list->layer, sizeof list->layer);
    memcpy((*out)->operation, list->operation, sizeof list->operation);
    snprintf((*out)->name, sizeof(*out)->name, "%s", name);
    (*out)->flops = flops;
    (*out)->bytes = bytes;
    list->count++;
    return WALSH_OK;
}

static cl_int set_arg(cl_kernel kernel, cl_uint *at, const walsh_arg *arg)
{
    cl_int code;
    cl_ulong offset;
    switch (arg->kind) {
    case WALSH_ARG_TENSOR:
        offset = arg->tensor->offset;
        code = clSetKernelArg(kernel, (*at)++, sizeof(cl_mem), arg->tensor->memory ? &arg->tensor->memory : NULL);
        return code != CL_SUCCESS ? code : clSetKernelArg(kernel, (*at)++, sizeof offset, &offset);
    case WALSH_ARG_INT:
        return clSetKernelArg(kernel, (*at)++, sizeof arg->i, &arg->i);
    case WALSH_ARG_FLOAT:
        return clSetKernelArg(kernel, (*at)++, sizeof arg->f, &arg->f);
    default:
        return clSetKernelArg(kernel, (*at)++, arg->local_bytes, NULL);
    }
}

static size_t at_least_one(size_t size)
{
    return size ? size : 1;
}

static walsh_status describe(const walsh_launch *launch, char **variant)
{
    const size_t *local = launch->local;
    if (asprintf(variant, "%s.cl\t%s\t%s\t%zux%zux%zu", launch->file, launch->options ? launch->options : "",
                 launch->function, at_least_one(local[0]), at_least_one(local[1]), at_least_one(local[2])) >= 0)
        return WALSH_OK;
    *variant = NULL;
    WALSH_FAIL(WALSH_E_MEMORY, "out of memory for a launch of %s", launch->function);
}

/* A new entry with the launch's sizes; the kernel is not yet its own. */
static walsh_status append_launch(walsh_list *list, const walsh_launch *launch, entry **e)
{
    char *variant;
    WALSH_TRY(describe(launch, &variant));
    walsh_status status = append(list, launch->function, launch->flops, launch->bytes, e);
    if (status) {
        free(variant);
        return status;
    }
    (*e)->variant = variant;
    for (int d = 0; d < 3; d++) {
        size_t local = at_least_one(launch->local[d]), global = at_least_one(launch->global[d]);
        (*e)->local[d] = local;
        (*e)->global[d] = (global + local - 1) / local * local;
    }
    return WALSH_OK;
}

static walsh_status set_args(cl_kernel kernel, const walsh_launch *launch, const walsh_arg *args, size_t count)
{
    cl_uint at = 0;
    for (size_t i = 0; i < count; i++) {
        cl_int code = set_arg(kernel, &at, &args[i]);
        if (code == CL_SUCCESS) continue;
        WALSH_FAIL(WALSH_E_OPENCL, "argument %zu of kernel %s is refused (%d)", i, launch->function, (int)code);
    }
    return WALSH_OK;
}

walsh_status walsh_list_kernel(walsh_list *list, const walsh_launch *launch, const walsh_arg *args, size_t count)
{
    entry *e = NULL;
    cl_kernel kernel = NULL;
    if (walsh_ahead_notes(list->device)) {
        walsh_ahead_note(list->device, launch, args, count);
        return WALSH_OK;
    }
    WALSH_TRY(walsh_kernel_create(list->device, launch->file, launch->function, launch->options ? launch->options : "",
                                  &kernel));
    walsh_status status = set_args(kernel, launch, args, count);
    if (!status) status = append_launch(list, launch, &e);
    if (status) {
        clReleaseKernel(kernel);
        return status;
    }
    e->kernel = kernel;
    return WALSH_OK;
}

walsh_status walsh_list_call(walsh_list *list, walsh_list_function function, void *context, double flops, double bytes)
{
    entry *e = NULL;
    bool notes = walsh_ahead_notes(list->device);
    walsh_status status = notes ? WALSH_OK : append(list, "library call", flops, bytes, &e);
    if (status || notes) {
        free(context);
        return status;
    }
    e->function = function;
    e->context = context;
    return WALSH_OK;
}

/* The device's limit is asked for where a variant is chosen; a kernel's own can be smaller, for its registers. It is
 * said after a refusal only: not every driver tells the truth (quirks.h). */
static walsh_status refused_group(const walsh_device *device, const entry *e)
{
    size_t most = 0;
    clGetKernelWorkGroupInfo(e->kernel, device->id, CL_KERNEL_WORK_GROUP_SIZE, sizeof most, &most, NULL);
    WALSH_FAIL(WALSH_E_OPENCL,
               "%s %s %s: work-groups of %zux%zux%zu are refused; %s says that it allows this kernel %zu", e->layer,
               e->operation, e->name, e->local[0], e->local[1], e->local[2], device->info.name, most);
}

static walsh_status enqueue(walsh_device *device, entry *e, cl_event *event)
{
    cl_int code = clEnqueueNDRangeKernel(device->queue, e->kernel, 3, NULL, e->global, e->local, 0, NULL, event);
    if (code == CL_SUCCESS) return WALSH_OK;
    if (code == CL_INVALID_WORK_GROUP_SIZE || code == CL_INVALID_WORK_ITEM_SIZE) return refused_group(device, e);
    walsh_cl_fail(code, "clEnqueueNDRangeKernel");
    WALSH_FAIL(WALSH_E_OPENCL, "%s %s %s: %s", e->layer, e->operation, e->name, walsh_message());
}

/* A library's kernels have no events of ours: the host's clock around them must do. */
static walsh_status call_timed(walsh_device *device, entry *e)
{
    WALSH_CL(clFinish(device->queue));
    double start = walsh_clock();
    WALSH_TRY(e->function(device, e->context));
    WALSH_CL(clFinish(device->queue));
    e->seconds += walsh_clock() - start;
    return WALSH_OK;
}

static void collect(walsh_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        if (!list->events[i]) continue;
        cl_ulong start = 0, end = 0;
        clGetEventProfilingInfo(list->events[i], CL_PROFILING_COMMAND_START, sizeof start, &start, NULL);
        clGetEventProfilingInfo(list->events[i], CL_PROFILING_COMMAND_END, sizeof end, &end, NULL);
        list->entries[i].seconds += 1e-9 * (double)(end - start);
        clReleaseEvent(list->events[i]);
        list->events[i] = NULL;
    }
    list->runs++;
}

walsh_listed walsh_list_at(const walsh_list *list, size_t index)
{
    const entry *e = &list->entries[index];
    return (walsh_listed){.number = e->number,
                          .layer = e->layer,
                          .operation = e->operation,
                          .kernel = e->name,
                          .variant = e->variant,
                          .global = e->global,
                          .local = e->local,
                          .flops = e->flops,
                          .bytes = e->bytes};
}

/* What this run has enqueued, and none before it. */
static walsh_status log_kernels(walsh_list *list)
{
    for (; list->logged < list->count; list->logged++) {
        const entry *e = &list->entries[list->logged];
        if (e->variant) WALSH_TRY(walsh_kernel_log(e->variant));
    }
    return WALSH_OK;
}

walsh_status walsh_list_run(walsh_list *list)
{
    walsh_device *device = list->device;
    walsh_status status = WALSH_OK;
    for (size_t i = 0; i < list->count && !status; i++) {
        entry *e = &list->entries[i];
        if (e->kernel)
            status = enqueue(device, e, device->profile ? &list->events[i] : NULL);
        else
            status = device->profile ? call_timed(device, e) : e->function(device, e->context);
    }
    if (device->profile) {
        clFinish(device->queue);
        collect(list);
    }
    WALSH_TRY(status);
    WALSH_TRY(log_kernels(list));
    WALSH_CL(clFlush(device->queue));
    return WALSH_OK;
}

/* The line of an entry's kernel, from `first` on; a new one where there is none. */
static walsh_status find_line(const entry *e, size_t first, walsh_profile_line **lines, size_t *count,
                              walsh_profile_line **found)
{
    for (size_t i = first; i < *count; i++) {
        walsh_profile_line *line = *found = &(*lines)[i];
        if (!strcmp(line->layer, e->layer) && !strcmp(line->operation, e->operation) && !strcmp(line->kernel, e->name))
            return WALSH_OK;
    }
    WALSH_TRY(walsh_grow(lines, *count, sizeof **lines, "a profile"));
    walsh_profile_line *line = *found = &(*lines)[(*count)++];
    *line = (walsh_profile_line){0};
    memcpy(line->layer, e->layer, sizeof e->layer);
    memcpy(line->operation, e->operation, sizeof e->operation);
    memcpy(line->kernel, e->name, sizeof e->name);
    return WALSH_OK;
}

walsh_status walsh_list_profile(const walsh_list *list, const char *phase, walsh_profile_line **lines, size_t *count)
{
    size_t first = *count;
    for (size_t i = 0; i < list->count; i++) {
        const entry *e = &list->entries[i];
        walsh_profile_line *line = NULL;
        WALSH_TRY(find_line(e, first, lines, count, &line));
        snprintf(line->phase, sizeof line->phase, "%s", phase);
        line->runs = list->runs;
        line->launches += list->runs;
        line->seconds += e->seconds;
        line->flops += e->flops * (double)list->runs;
        line->bytes += e->bytes * (double)list->runs;
    }
    return WALSH_OK;
}

void walsh_list_destroy(walsh_list **list)
{
    if (!*list) return;
    for (size_t i = 0; i < (*list)->count; i++) {
        if ((*list)->entries[i].kernel) clReleaseKernel((*list)->entries[i].kernel);
        free((*list)->entries[i].context);
        free((*list)->entries[i].variant);
    }
    free((*list)->entries);
    free((*list)->events);
    free(*list);
    *list = NULL;
}
