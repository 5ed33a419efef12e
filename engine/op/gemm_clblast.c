#include "engine/op/gemm_clblast.h"

#include <clblast_c.h>
#include <pthread.h>
#include <string.h>

enum { TINY = 64 * 64 * 64 }; /* multiply-adds: below, its calls cost more than the product */

static int suits(const walsh_device *device, const void *problem)
{
    const walsh_gemm_problem *p = problem;
    return walsh_tiles_are_gpu(device->tiles) && (double)p->m * p->n * p->k > TINY ? 30 : 1;
}

static walsh_status check(CLBlastStatusCode code)
{
    if (code == CLBlastSuccess) return WALSH_OK;
    walsh_status status = code == CLBlastTempBufferAllocFailure || code == CLBlastOpenCLOutOfHostMemory ? WALSH_E_MEMORY
                          : code == CLBlastOpenCLBuildProgramFailure                                    ? WALSH_E_BUILD
                                                                     : WALSH_E_OPENCL;
    WALSH_FAIL(status,
               "CLBlast's matrix product failed with code %d (clblast_c.h); WALSH_DISABLE=gemm_clblast,"
               "conv_forward_clblast,conv_data_clblast,conv_filter_clblast does without it",
               (int)code);
}

/* POCL's CPU devices are in none of CLBlast's tables. Next to its defaults these values, with its kernel for large
 * products at every size, are up to ten times faster, and slower by a third at worst (where one side is 16).
 * Some other values gave wrong products or compiled for minutes. These were tried with CLBlast 1.5.3 and POCL 3.1 in
 * processes of their own, on 60 products of random sizes (1 to 700, powers of two and their neighbours among them) in
 * all layouts, each compared with double precision: none failed. */
static void tune_for_pocl(cl_device_id id)
{
    static const char *kernel[] = {"GEMMK", "KREG", "KWG", "KWI", "MDIMA", "MDIMC", "MWG", "NDIMB",
                                   "NDIMC", "NWG",  "SA",  "SB",  "STRM",  "STRN",  "VWM", "VWN"};
    static const size_t kernel_value[] = {0, 1, 32, 2, 1, 1, 16, 1, 1, 16, 0, 0, 0, 0, 8, 8};
    static const char *routine[] = {"XGEMM_MIN_INDIRECT_SIZE"};
    static const size_t routine_value[] = {1};
    /* A version of CLBlast that has other parameters refuses them, and stays as it is. */
    if (CLBlastOverrideParameters(id, "Xgemm", CLBlastPrecisionSingle, sizeof kernel / sizeof *kernel, kernel,
                                  kernel_value) == CLBlastSuccess)
        CLBlastOverrideParameters(id, "GemmRoutine", CLBlastPrecisionSingle, 1, routine, routine_value);
}

static bool is_pocl_cpu(const walsh_device *device)
{
    char platform[64] = "";
    cl_device_type type = 0;
    clGetPlatformInfo(device->platform, CL_PLATFORM_NAME, sizeof platform, platform, NULL);
    clGetDeviceInfo(device->id, CL_DEVICE_TYPE, sizeof type, &type, NULL);
    return (type & CL_DEVICE_TYPE_CPU) && !strcmp(platform, "Portable Computing Language");
}

/* Before anything asks CLBlast about a device. It keeps parameters by cl_device_id as long as the process lives, and
 * forgets compiled kernels when they are set, so this remembers which were. */
static void prepare(const walsh_device *device)
{
    enum { MOST = 64 }; /* devices and sub-devices of a process; any more work untuned */
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static cl_device_id known[MOST];
    static size_t count;
    size_t i = 0;
    pthread_mutex_lock(&lock);
    while (i < count && known[i] != device->id) i++;
    if (i == count && count < MOST) {
        known[count++] = device->id;
        if (is_pocl_cpu(device)) tune_for_pocl(device->id);
    }
    pthread_mutex_unlock(&lock);
}

/* Offsets of sub-buffers must be multiples of this. */
static size_t alignment(const walsh_device *device)
{
    cl_uint bits = 0;
    clGetDeviceInfo(device->id, CL_DEVICE_MEM_BASE_ADDR_ALIGN, sizeof bits, &bits, NULL);
    return bits >= 8 ? bits / 8 : 1;
}

static CLBlastTranspose transpose(int yes)
{
    return yes ? CLBlastTransposeYes : CLBlastTransposeNo;
}

/* What CLBlast needs for copies of its operands, at most: it copies where they do not start at 0, which is assumed. */
static size_t copies(const walsh_device *device, const walsh_gemm_problem *p)
{
    prepare(device);
    size_t bytes = 0, a_pitch = (size_t)walsh_pad(p->ta ? p->m : p->k),
           b_pitch = (size_t)walsh_pad(p->tb ? p->k : p->n);
    cl_command_queue queue = device->queue;
    CLBlastStatusCode code = CLBlastSGemmTempBufferSize(CLBlastLayoutRowMajor, transpose(p->ta), transpose(p->tb),
                                                        (size_t)p->m, (size_t)p->n, (size_t)p->k, 4, a_pitch, 4,
                                                        b_pitch, 4, (size_t)walsh_pad(p->n), &queue, &bytes);
    return code == CLBlastSuccess ? bytes : 0;
}

static size_t workspace_bytes(const walsh_device *device, const void *problem)
{
    size_t bytes = copies(device, problem);
    return bytes ? bytes + alignment(device) : 0;
}

typedef struct call {
    walsh_gemm_problem problem;
    float beta; /* 1: the product is added to C */
    walsh_view a, b, c;
    cl_mem workspace;        /* NULL: none is needed */
    cl_buffer_region region; /* of it */
} call;

static walsh_status run(walsh_device *device, const void *context)
{
    const call *k = context;
    const walsh_gemm_problem *p = &k->problem;
    cl_mem copy = NULL;
    if (k->workspace) {
        cl_int code;
        copy = clCreateSubBuffer(k->workspace, CL_MEM_READ_WRITE, CL_BUFFER_CREATE_TYPE_REGION, &k->region, &code);
        if (code != CL_SUCCESS) return walsh_cl_fail(code, "clCreateSubBuffer");
    }
    CLBlastStatusCode code = CLBlastSgemmWithTempBuffer(
        CLBlastLayoutRowMajor, transpose(p->ta), transpose(p->tb), (size_t)p->m, (size_t)p->n, (size_t)p->k, 1,
        k->a.memory, k->a.offset, (size_t)k->a.shape.pitch, k->b.memory, k->b.offset, (size_t)k->b.shape.pitch, k->beta,
        k->c.memory, k->c.offset, (size_t)k->c.shape.pitch, &device->queue, NULL, copy);
    if (copy) clReleaseMemObject(copy); /* the commands keep it */
    return check(code);
}

/* CLBlast adds no bias, and writes exactly n columns, not their pad lanes. */
static walsh_status start(walsh_list *list, const walsh_gemm_problem *p, const walsh_view *operand)
{
    const walsh_view *c = &operand[WALSH_GEMM_C];
    int quads = walsh_pad(p->n) / 4;
    const walsh_launch launch = {.file = "gemm",
                                 .function = "gemm_start",
                                 .global = {(size_t)quads, (size_t)p->m},
                                 .local = {4, 16},
                                 .bytes = 4.0 * p->m * p->n};
    return WALSH_LAUNCH(list, launch, WALSH_TENSOR(&operand[WALSH_GEMM_BIAS]), WALSH_TENSOR(c), WALSH_INT(p->m),
                        WALSH_INT(quads), WALSH_INT(c->shape.pitch), WALSH_INT((p->fuse & WALSH_FUSE_ACCUMULATE) != 0));
}

static walsh_status emit(walsh_list *list, const void *problem, const walsh_view *operand, const walsh_view *workspace)
{
    const walsh_gemm_problem *p = problem;
    const walsh_device *device = walsh_list_device(list);
    bool bias = p->fuse & WALSH_FUSE_BIAS, accumulate = p->fuse & WALSH_FUSE_ACCUMULATE;
    if (bias || (!accumulate && p->n % 4)) WALSH_TRY(start(list, p, operand));
    double flops, bytes;
    walsh_gemm.cost(problem, &flops, &bytes);
    call *k = NULL;
    WALSH_TRY(walsh_alloc(&k, 1, sizeof *k, "a matrix product"));
    k->problem = *p;
    k->beta = bias || accumulate ? 1 : 0;
    k->a = operand[WALSH_GEMM_A];
    k->b = operand[WALSH_GEMM_B];
    k->c = operand[WALSH_GEMM_C];
    k->region.size = copies(device, p);
    if (k->region.size) {
        size_t align = alignment(device);
        k->workspace = workspace->memory;
        k->region.origin = (workspace->offset * sizeof(float) + align - 1) / align * align;
    }
    return walsh_list_call(list, run, k, flops, bytes);
}

const walsh_variant walsh_gemm_clblast = {.name = "gemm_clblast",
                                          .fuses = WALSH_FUSE_BIAS | WALSH_FUSE_ACCUMULATE,
                                          .suits = suits,
                                          .workspace = workspace_bytes,
                                          .emit = emit,
                                          .starts_slowly = true};
