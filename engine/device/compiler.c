#include "engine/device/compiler.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* A job is its source, options and number of kernels, then of each kernel function, arguments, and four numbers; a text
 * is its length and its bytes. Both ends are of one machine and build. */

static bool put(int socket, const void *bytes, size_t size)
{
    for (const char *at = bytes; size;) {
        ssize_t sent = send(socket, at, size, MSG_NOSIGNAL);
        if (sent <= 0) return false;
        at += sent;
        size -= (size_t)sent;
    }
    return true;
}

static bool put_number(int socket, uint64_t number)
{
    return put(socket, &number, sizeof number);
}

static bool put_text(int socket, const char *text)
{
    size_t length = strlen(text);
    return put_number(socket, length) && put(socket, text, length);
}

static bool get(int socket, void *bytes, size_t size)
{
    return !size || recv(socket, bytes, size, MSG_WAITALL) == (ssize_t)size;
}

static bool get_number(int socket, uint64_t *number)
{
    return get(socket, number, sizeof *number);
}

/* The caller frees *text, also after a failure. */
static bool get_text(int socket, char **text)
{
    uint64_t length;
    *text = NULL;
    if (!get_number(socket, &length) || length > 1u << 26) return false;
    *text = calloc(length + 1, 1);
    return *text && get(socket, *text, length);
}

bool walsh_compiler_find(char *path, size_t size)
{
    const char *named = getenv("WALSH_COMPILER");
    if (named) {
        snprintf(path, size, "%s", named);
        return *named;
    }
    ssize_t length = readlink("/proc/self/exe", path, size - 1);
    path[length > 0 ? length : 0] = 0;
    char *slash = strrchr(path, '/');
    size_t folder = slash ? (size_t)(slash - path) : 0;
    if (snprintf(path + folder, size - folder, "/walsh-compile") < (int)(size - folder) && !access(path, X_OK))
        return true;
    snprintf(path, size, "%s/walsh-compile", WALSH_LIBEXEC);
    return !access(path, X_OK);
}

walsh_status walsh_compiler_start(const walsh_device *device, const char *path, walsh_compiler *compiler)
{
    int ends[2];
    char selector[16], program[] = "walsh-compile";
    char *const arguments[] = {program, selector, NULL};
    snprintf(selector, sizeof selector, "%d", device->info.index);
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends)) WALSH_FAIL(WALSH_E_FILE, "no socket for %s", path);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], 0);
    posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
    extern char **environ;
    int failure = posix_spawn(&compiler->process, path, &actions, NULL, arguments, environ);
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    compiler->socket = ends[0];
    if (!failure) return WALSH_OK;
    close(ends[0]);
    WALSH_FAIL(WALSH_E_FILE, "%s cannot be started: %s", path, strerror(failure));
}

static bool put_kernel(int socket, const walsh_compiled_kernel *k)
{
    return put_text(socket, k->function) && put_text(socket, k->arguments) && put_number(socket, k->local[0]) &&
           put_number(socket, k->local[1]) && put_number(socket, k->local[2]) && put_number(socket, k->wide);
}

bool walsh_compiler_do(walsh_compiler *compiler, const walsh_compiler_job *job, bool *done)
{
    int socket = compiler->socket;
    bool alive = put_text(socket, job->source) && put_text(socket, job->options) && put_number(socket, job->count);
    for (size_t i = 0; i < job->count && alive; i++) alive = put_kernel(socket, &job->kernels[i]);
    char answer = 0;
    alive = alive && get(socket, &answer, 1);
    *done = answer;
    return alive;
}

void walsh_compiler_stop(walsh_compiler *compiler)
{
    close(compiler->socket);
    while (waitpid(compiler->process, NULL, 0) < 0 && errno == EINTR) continue;
}

/* Memory is absent and numbers are 0: the kernel will not run. */
static bool set_arguments(cl_kernel kernel, const char *arguments)
{
    const uint64_t zero = 0;
    cl_int code = CL_SUCCESS;
    for (cl_uint i = 0; arguments[i] && code == CL_SUCCESS; i++) {
        char a = arguments[i];
        if (a == 'm')
            code = clSetKernelArg(kernel, i, sizeof(cl_mem), NULL);
        else if (a == 'l')
            code = clSetKernelArg(kernel, i, 16, NULL);
        else
            code = clSetKernelArg(kernel, i, a == 'u' ? sizeof(cl_ulong) : sizeof(cl_int), &zero);
    }
    return code == CL_SUCCESS;
}

/* Work-items of a launch of 2^64 work-groups. POCL 3.1 counts them in 64 bits as none, for which it compiles a kernel
 * and does not run it; later versions do neither. */
static void launch_nothing(const walsh_compiled_kernel *k, size_t global[3])
{
    int left = 64;
    for (int d = 0; d < 2; d++) {
        int power = 32;
        while (!k->wide && k->local[d] << power >= WALSH_WIDE_LAUNCH) power--;
        global[d] = k->local[d] << power;
        left -= power;
    }
    global[2] = k->local[2] << left;
}

bool walsh_compile(walsh_device *device, cl_program program, const walsh_compiled_kernel *k)
{
    cl_int code;
    size_t global[3];
    cl_kernel kernel = clCreateKernel(program, k->function, &code);
    if (code != CL_SUCCESS) return false;
    launch_nothing(k, global);
    bool done = set_arguments(kernel, k->arguments) &&
                clEnqueueNDRangeKernel(device->queue, kernel, 3, NULL, global, k->local, 0, NULL, NULL) == CL_SUCCESS &&
                clFinish(device->queue) == CL_SUCCESS;
    clReleaseKernel(kernel);
    return done;
}

static bool compile(walsh_device *device, const walsh_compiler_job *job)
{
    cl_int code;
    cl_program program = clCreateProgramWithSource(device->context, 1, (const char *[]){job->source}, NULL, &code);
    if (code != CL_SUCCESS) return false;
    bool done = clBuildProgram(program, 1, &device->id, job->options, NULL, NULL) == CL_SUCCESS;
    for (size_t i = 0; i < job->count && done; i++) done = walsh_compile(device, program, &job->kernels[i]);
    clReleaseProgram(program);
    return done;
}

static bool get_kernel(int socket, walsh_compiled_kernel *k)
{
    uint64_t number[4];
    if (!get_text(socket, &k->function) || !get_text(socket, &k->arguments)) return false;
    for (int i = 0; i < 4; i++)
        if (!get_number(socket, &number[i])) return false;
    for (int d = 0; d < 3; d++) k->local[d] = number[d];
    k->wide = number[3];
    return true;
}

static bool get_job(int socket, walsh_compiler_job *job)
{
    uint64_t count;
    if (!get_text(socket, &job->source) || !get_text(socket, &job->options) || !get_number(socket, &count))
        return false;
    while (job->count < count) {
        if (walsh_grow(&job->kernels, job->count, sizeof *job->kernels, "a job")) return false;
        walsh_compiled_kernel *k = &job->kernels[job->count++];
        *k = (walsh_compiled_kernel){0};
        if (!get_kernel(socket, k)) return false;
    }
    return true;
}

void walsh_compiler_job_free(walsh_compiler_job *job)
{
    for (size_t i = 0; i < job->count; i++) {
        free(job->kernels[i].function);
        free(job->kernels[i].arguments);
    }
    free(job->kernels);
    free(job->source);
    free(job->options);
    *job = (walsh_compiler_job){0};
}

walsh_status walsh_compiler_serve(int socket, const char *selector)
{
    walsh_device *device = NULL;
    const walsh_device_options options = {.selector = selector};
    WALSH_TRY(walsh_device_open(&options, &device));
    for (bool connected = true; connected;) {
        walsh_compiler_job job = {0};
        connected = get_job(socket, &job);
        char done = connected && compile(device, &job);
        connected = connected && put(socket, &done, 1);
        walsh_compiler_job_free(&job);
    }
    walsh_device_close(&device);
    return WALSH_OK;
}
