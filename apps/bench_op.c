#include "apps/bench_op.h"

#include "engine/base/rng.h"
#include "engine/op/conv.h"
#include "engine/op/gemm.h"
#include "engine/op/peak.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Buffers by an operand's place and what is done with it; integers are zero, valid as labels and indices. */
enum { READ_SLOTS, WRITE_SLOTS, INTEGER_SLOTS, WORKSPACE_SLOT, SLOT_KINDS };
enum { CHUNK = 1 << 16 }; /* floats uploaded at once */

struct walsh_bench_memory {
    size_t bytes[SLOT_KINDS][WALSH_MAX_OPERANDS];
    cl_mem buffer[SLOT_KINDS][WALSH_MAX_OPERANDS];
};

typedef struct op_run {
    walsh_bench *bench;
    const walsh_op *op;
    void *problem;
    const walsh_variant *variant;
    walsh_list *list;
} op_run;

static int slot_kind(const walsh_op *op, int operand, walsh_shape shape)
{
    if (shape.type != WALSH_F32) return INTEGER_SLOTS;
    return op->operands[operand].role == WALSH_READ ? READ_SLOTS : WRITE_SLOTS;
}

static size_t workspace_bytes(const op_run *r)
{
    return r->variant->workspace ? r->variant->workspace(r->bench->device, r->problem) : 0;
}

static void reserve(struct walsh_bench_memory *memory, int kind, int slot, size_t bytes)
{
    if (bytes > memory->bytes[kind][slot]) memory->bytes[kind][slot] = bytes;
}

static walsh_status reserve_all(op_run *r)
{
    walsh_shape shapes[WALSH_MAX_OPERANDS];
    if (!r->bench->memory) WALSH_TRY(walsh_alloc(&r->bench->memory, 1, sizeof *r->bench->memory, "a benchmark"));
    WALSH_TRY(r->op->shapes(r->problem, shapes));
    for (int i = 0; i < walsh_op_operands(r->op); i++)
        if (!walsh_shape_is_absent(shapes[i]))
            reserve(r->bench->memory, slot_kind(r->op, i, shapes[i]), i, walsh_shape_bytes(shapes[i]));
    reserve(r->bench->memory, WORKSPACE_SLOT, 0, workspace_bytes(r));
    return WALSH_OK;
}

/* Uniform in [-1, 1), the same numbers over and over. */
static walsh_status fill(walsh_device *device, cl_mem buffer, size_t bytes)
{
    const walsh_rng rng = {.seed = 1};
    float *numbers = NULL;
    WALSH_TRY(walsh_alloc(&numbers, CHUNK, sizeof *numbers, "numbers"));
    for (size_t i = 0; i < CHUNK; i++) numbers[i] = 2 * walsh_rng_uniform(rng, i) - 1;
    cl_int code = CL_SUCCESS;
    for (size_t at = 0; at < bytes && code == CL_SUCCESS; at += CHUNK * sizeof *numbers) {
        size_t count = bytes - at < CHUNK * sizeof *numbers ? bytes - at : CHUNK * sizeof *numbers;
        code = clEnqueueWriteBuffer(device->queue, buffer, CL_TRUE, at, count, numbers, 0, NULL, NULL);
    }
    free(numbers);
    return code == CL_SUCCESS ? WALSH_OK : walsh_cl_fail(code, "clEnqueueWriteBuffer");
}

static walsh_status slot(walsh_bench *bench, int kind, int index, walsh_shape shape, walsh_view *view)
{
    struct walsh_bench_memory *memory = bench->memory;
    cl_mem *buffer = &memory->buffer[kind][index];
    if (!*buffer) {
        size_t bytes = memory->bytes[kind][index];
        WALSH_TRY(walsh_buffer_create(bench->device, bytes, "an operand", buffer));
        WALSH_TRY(kind == READ_SLOTS ? fill(bench->device, *buffer, bytes)
                                     : walsh_buffer_zero(bench->device, *buffer, bytes));
    }
    *view = (walsh_view){.memory = *buffer, .shape = shape};
    return WALSH_OK;
}

static walsh_status prepare(void *context)
{
    op_run *r = context;
    walsh_shape shapes[WALSH_MAX_OPERANDS];
    walsh_view views[WALSH_MAX_OPERANDS], workspace = {.shape = walsh_shape_absent};
    size_t bytes = workspace_bytes(r);
    WALSH_TRY(r->op->shapes(r->problem, shapes));
    for (int i = 0; i < walsh_op_operands(r->op); i++) {
        views[i] = (walsh_view){.shape = walsh_shape_absent};
        if (!walsh_shape_is_absent(shapes[i]))
            WALSH_TRY(slot(r->bench, slot_kind(r->op, i, shapes[i]), i, shapes[i], &views[i]));
    }
    if (bytes) WALSH_TRY(slot(r->bench, WORKSPACE_SLOT, 0, walsh_shape_vector((int)((bytes + 3) / 4)), &workspace));
    WALSH_TRY(walsh_list_create(r->bench->device, &r->list));
    return walsh_variant_emit(r->variant, r->list, r->problem, views, &workspace);
}

static walsh_status run(void *context, int times)
{
    op_run *r = context;
    for (int i = 0; i < times; i++) WALSH_TRY(walsh_list_run(r->list));
    WALSH_CL(clFinish(r->bench->device->queue));
    return WALSH_OK;
}

static void destroy(void *context)
{
    op_run *r = context;
    walsh_list_destroy(&r->list);
    free(r->problem);
    free(r);
}

walsh_status walsh_bench_add_variant(walsh_bench *bench, cJSON *row, const walsh_op *op, const void *problem,
                                     const walsh_variant *variant, int kind)
{
    op_run *r = NULL;
    walsh_status status = walsh_alloc(&r, 1, sizeof *r, "a benchmark");
    if (!status) *r = (op_run){.bench = bench, .op = op, .variant = variant};
    if (!status) status = walsh_alloc(&r->problem, 1, op->problem_size, "a benchmark");
    if (!status) memcpy(r->problem, problem, op->problem_size);
    if (!status) status = reserve_all(r);
    if (status) {
        if (r) destroy(r);
        cJSON_Delete(row);
        return status;
    }
    walsh_contender c = {
        .row = row, .prepare = prepare, .run = run, .destroy = destroy, .context = r, .seconds = 2e-3, .kind = kind};
    op->cost(problem, &c.flops, &c.bytes);
    return walsh_bench_add(bench, &c);
}

static cJSON *peak_row(const char *op, const char *variant)
{
    cJSON *row = cJSON_CreateObject();
    cJSON_AddStringToObject(row, "op", op);
    cJSON_AddStringToObject(row, "variant", variant);
    return row;
}

/* Four times the cache, but not so little that a launch costs, nor a large part of the device's memory. */
static int stream_elements(const walsh_device *device)
{
    cl_ulong cache = 0;
    clGetDeviceInfo(device->id, CL_DEVICE_GLOBAL_MEM_CACHE_SIZE, sizeof cache, &cache, NULL);
    uint64_t bytes = 4 * cache,
             most = device->info.max_alloc < device->info.memory / 8 ? device->info.max_alloc : device->info.memory / 8;
    if (bytes < 32 << 20) bytes = 32 << 20;
    if (bytes > 512 << 20) bytes = 512 << 20;
    if (bytes > most) bytes = most;
    return (int)(bytes / sizeof(float) / (4 * WALSH_PEAK_BLOCK) * (4 * WALSH_PEAK_BLOCK));
}

walsh_status walsh_bench_add_peaks(walsh_bench *bench)
{
    static const char *const streams[] = {"peak_read", "peak_copy", "peak_triad"};
    const walsh_device *device = bench->device;
    bool gpu = walsh_tiles_are_gpu(device->tiles);
    int groups = gpu ? 8 * (int)device->info.compute_units : 1;
    const walsh_peak_fma_problem fma = {.items = groups * WALSH_PEAK_GROUP, .fmas = 4096 * WALSH_PEAK_START};
    for (const walsh_variant *const *v = walsh_peak_fma.variants; *v; v++)
        if ((*v)->suits(device, &fma))
            WALSH_TRY(walsh_bench_add_variant(bench, peak_row("peak_fma", (*v)->name), &walsh_peak_fma, &fma, *v,
                                              WALSH_CONTENDER_FMA));
    for (int k = 0; k < WALSH_PEAK_STREAM_KINDS; k++) {
        const walsh_peak_stream_problem stream = {.kind = (walsh_peak_stream_kind)k,
                                                  .elements = stream_elements(device)};
        WALSH_TRY(walsh_bench_add_variant(bench, peak_row("peak_stream", streams[k]), &walsh_peak_stream, &stream,
                                          walsh_peak_stream.variants[0], WALSH_CONTENDER_STREAM));
    }
    return WALSH_OK;
}

walsh_status walsh_bench_measure_peaks(walsh_device *device, walsh_peaks *peaks)
{
    walsh_bench bench = {.device = device, .repeats = 5};
    walsh_status status = walsh_bench_add_peaks(&bench);
    if (!status) status = walsh_bench_run(&bench);
    *peaks = bench.peaks;
    bench.device = NULL; /* the caller's */
    walsh_bench_close(&bench);
    return status;
}

void walsh_bench_cost(const walsh_plan *plan, bool products, double *flops, double *bytes)
{
    *flops = *bytes = 0;
    for (int i = 0; i < walsh_plan_count(plan); i++) {
        const walsh_planned step = walsh_plan_at(plan, i);
        const walsh_op *op = step.op;
        double step_flops, step_bytes;
        op->cost(step.problem, &step_flops, &step_bytes);
        if (!products || op == &walsh_conv_forward || op == &walsh_conv_data || op == &walsh_conv_filter ||
            op == &walsh_gemm)
            *flops += step_flops;
        *bytes += step_bytes;
    }
}

void walsh_bench_memory_destroy(struct walsh_bench_memory **memory)
{
    if (!*memory) return;
    for (int k = 0; k < SLOT_KINDS; k++)
        for (int i = 0; i < WALSH_MAX_OPERANDS; i++) walsh_buffer_release(&(*memory)->buffer[k][i]);
    free(*memory);
    *memory = NULL;
}
