#include "engine/device/ahead.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/clock.h"
#include "engine/base/hash.h"
#include "engine/base/log.h"
#include "engine/base/task.h"
#include "engine/device/compiler.h"
#include "engine/device/driver_cache.h"
#include "engine/device/program.h"
#include "engine/device/quirks.h"

enum { MOST_WORKERS = 16 };

typedef enum job_state { WAITING, TAKEN, FAILED, DONE } job_state;

/* A program. */
typedef struct job {
    char *file, *options; /* as its launches name it */
    walsh_compiler_job work;
    uint64_t *keys; /* of its kernels */
    uint64_t program_key;
    size_t size; /* of its text */
    job_state state;
} job;

struct walsh_ahead {
    walsh_device *device;
    bool noting, broken; /* the latter: memory was out */
    char compiler[4096];
    walsh_driver_cache cache;
    job *jobs;
    size_t count;
    pthread_t workers[MOST_WORKERS];
    size_t worker_count, working;
    pthread_mutex_t lock; /* over working and the jobs' states, from start to end */
    pthread_cond_t ended; /* a job, or a worker */
};

static size_t worker_limit(const walsh_device *device)
{
    size_t most = walsh_processors();
    if (most > device->info.compute_units) most = device->info.compute_units; /* --threads */
    return most < MOST_WORKERS ? most : MOST_WORKERS;
}

bool walsh_ahead_begin(walsh_device *device)
{
    walsh_ahead *a = NULL;
    if (device->ahead || !(device->quirks & WALSH_QUIRK_COMPILES_ALONE) || worker_limit(device) < 2) return false;
    if (walsh_alloc(&a, 1, sizeof *a, "compiling ahead")) return false;
    if (!walsh_compiler_find(a->compiler, sizeof a->compiler) || !walsh_driver_cache_open(&a->cache)) {
        free(a);
        return false;
    }
    pthread_mutex_init(&a->lock, NULL);
    pthread_cond_init(&a->ended, NULL);
    a->device = device;
    a->noting = true;
    device->ahead = a;
    return true;
}

bool walsh_ahead_notes(const walsh_device *device)
{
    return device->ahead && device->ahead->noting;
}

static job *find_job(const walsh_ahead *a, const char *file, const char *options)
{
    for (size_t i = 0; i < a->count; i++)
        if (!strcmp(a->jobs[i].file, file) && !strcmp(a->jobs[i].options, options)) return &a->jobs[i];
    return NULL;
}

static void free_job(job *j)
{
    walsh_compiler_job_free(&j->work);
    free(j->keys);
    free(j->file);
    free(j->options);
}

/* What its text is and depends on. */
static uint64_t hash_program(const walsh_device *device, const walsh_program_text *text)
{
    char identity[600];
    walsh_device_identity(device, identity, sizeof identity);
    uint64_t parts[] = {walsh_hash(identity, strlen(identity)), walsh_hash(text->options, strlen(text->options)),
                        walsh_hash(text->source, strlen(text->source))};
    return walsh_hash(parts, sizeof parts);
}

/* NULL where there is no such program, or no memory. */
static job *add_job(walsh_ahead *a, const char *file, const char *options)
{
    walsh_program_text text;
    if (walsh_grow(&a->jobs, a->count, sizeof *a->jobs, "compiling ahead")) return NULL;
    if (walsh_program_text_find(a->device, file, options, &text)) return NULL;
    job *j = &a->jobs[a->count];
    *j = (job){.file = strdup(file),
               .options = strdup(options),
               .work = {.source = strdup(text.source), .options = strdup(text.options)},
               .program_key = hash_program(a->device, &text),
               .size = strlen(text.source)};
    walsh_program_text_free(&text);
    if (j->file && j->options && j->work.source && j->work.options) return &a->jobs[a->count++];
    free_job(j);
    return NULL;
}

static char *letters(const walsh_arg *args, size_t count)
{
    char *text = calloc(2 * count + 1, 1), *at = text;
    for (size_t i = 0; i < count && text; i++) {
        if (args[i].kind == WALSH_ARG_TENSOR) *at++ = 'm';
        *at++ = args[i].kind == WALSH_ARG_TENSOR ? 'u' : args[i].kind == WALSH_ARG_LOCAL ? 'l' : 'i';
    }
    return text;
}

/* The kernel that a launch needs; its texts are borrowed. */
static walsh_compiled_kernel kernel_of(const walsh_launch *launch)
{
    walsh_compiled_kernel k = {.function = (char *)(uintptr_t)launch->function};
    for (int d = 0; d < 3; d++) {
        size_t local = launch->local[d] ? launch->local[d] : 1;
        k.local[d] = local;
        if (d < 2 && (launch->global[d] + local - 1) / local * local >= WALSH_WIDE_LAUNCH) k.wide = true;
    }
    return k;
}

static bool same_kernel(const walsh_compiled_kernel *a, const walsh_compiled_kernel *b)
{
    return !strcmp(a->function, b->function) && !memcmp(a->local, b->local, sizeof a->local) && a->wide == b->wide;
}

static uint64_t hash_kernel(const job *j, const walsh_compiled_kernel *k)
{
    uint64_t parts[] = {
        j->program_key, walsh_hash(k->function, strlen(k->function)), k->local[0], k->local[1], k->local[2], k->wide};
    return walsh_hash(parts, sizeof parts);
}

static bool add_kernel(job *j, walsh_compiled_kernel k, const walsh_arg *args, size_t count)
{
    size_t at = j->work.count;
    if (walsh_grow(&j->work.kernels, at, sizeof k, "compiling ahead")) return false;
    if (walsh_grow(&j->keys, at, sizeof *j->keys, "compiling ahead")) return false;
    j->keys[at] = hash_kernel(j, &k);
    k.function = strdup(k.function);
    k.arguments = letters(args, count);
    j->work.kernels[j->work.count++] = k;
    return k.function && k.arguments;
}

/* False where memory is out. */
static bool note(walsh_ahead *a, const walsh_launch *launch, const walsh_arg *args, size_t count)
{
    const char *options = launch->options ? launch->options : "";
    job *j = find_job(a, launch->file, options);
    if (!j) j = add_job(a, launch->file, options);
    if (!j) return false;
    walsh_compiled_kernel k = kernel_of(launch);
    for (size_t i = 0; i < j->work.count; i++)
        if (same_kernel(&j->work.kernels[i], &k)) return true;
    return add_kernel(j, k, args, count);
}

void walsh_ahead_note(walsh_device *device, const walsh_launch *launch, const walsh_arg *args, size_t count)
{
    walsh_ahead *a = device->ahead;
    if (!a->broken) a->broken = !note(a, launch, args, count);
}

/* Leaves what is not known to be compiled, in its order. */
static void drop_compiled(walsh_ahead *a)
{
    size_t left = 0;
    for (size_t i = 0; i < a->count; i++) {
        job *j = &a->jobs[i];
        size_t kernels = 0;
        for (size_t k = 0; k < j->work.count; k++) kernels += !walsh_driver_cache_holds(&a->cache, j->keys[k]);
        if (kernels)
            a->jobs[left++] = *j;
        else
            free_job(j);
    }
    a->count = left;
}

/* Takes the largest job that nobody has taken, since a large one at the end leaves processors idle. NULL: there is
 * none. */
static job *take(walsh_ahead *a)
{
    job *j = NULL;
    pthread_mutex_lock(&a->lock);
    for (size_t i = 0; i < a->count; i++)
        if (a->jobs[i].state == WAITING && (!j || a->jobs[i].size > j->size)) j = &a->jobs[i];
    if (j) j->state = TAKEN;
    pthread_mutex_unlock(&a->lock);
    return j;
}

static void finish(walsh_ahead *a, job *j, bool done)
{
    pthread_mutex_lock(&a->lock);
    j->state = done ? DONE : FAILED;
    pthread_cond_broadcast(&a->ended);
    pthread_mutex_unlock(&a->lock);
}

static void leave(walsh_ahead *a)
{
    pthread_mutex_lock(&a->lock);
    a->working--;
    pthread_cond_broadcast(&a->ended);
    pthread_mutex_unlock(&a->lock);
}

static void use_compiler(walsh_ahead *a, walsh_compiler *compiler)
{
    bool alive = true;
    for (job *j; alive && (j = take(a));) {
        bool done = false;
        double began = walsh_clock();
        alive = walsh_compiler_do(compiler, &j->work, &done);
        walsh_log(WALSH_LOG_DEBUG, "cl/%s.cl with '%s': %s ahead in %.2f s, kernels: %zu", j->file, j->options,
                  done ? "compiled" : "not compiled", walsh_clock() - began, j->work.count);
        finish(a, j, alive && done);
    }
}

static void *run_worker(void *argument)
{
    walsh_ahead *a = argument;
    walsh_compiler compiler;
    if (walsh_compiler_start(a->device, a->compiler, &compiler)) {
        walsh_log(WALSH_LOG_DEBUG, "%s", walsh_message());
    } else {
        use_compiler(a, &compiler);
        walsh_compiler_stop(&compiler);
    }
    leave(a);
    return NULL;
}

void walsh_ahead_start(walsh_device *device)
{
    walsh_ahead *a = device->ahead;
    a->noting = false;
    drop_compiled(a);
    size_t workers = worker_limit(device);
    if (workers > a->count) workers = a->count;
    if (a->broken || workers < 2) return;
    pthread_mutex_lock(&a->lock);
    while (a->worker_count < workers && !walsh_thread_start(&a->workers[a->worker_count], run_worker, a))
        a->worker_count++;
    a->working = a->worker_count;
    pthread_mutex_unlock(&a->lock);
}

void walsh_ahead_await(walsh_device *device, const char *file, const char *options)
{
    walsh_ahead *a = device->ahead;
    job *wanted = a ? find_job(a, file, options) : NULL;
    if (!wanted) return;
    pthread_mutex_lock(&a->lock);
    while (a->working && wanted->state < FAILED) pthread_cond_wait(&a->ended, &a->lock);
    pthread_mutex_unlock(&a->lock);
}

void walsh_ahead_end(walsh_device *device)
{
    walsh_ahead *a = device->ahead;
    if (!a) return;
    while (a->worker_count) pthread_join(a->workers[--a->worker_count], NULL);
    for (size_t i = 0; i < a->count; i++) {
        if (a->jobs[i].state == DONE) walsh_driver_cache_add(&a->cache, a->jobs[i].keys, a->jobs[i].work.count);
        free_job(&a->jobs[i]);
    }
    free(a->jobs);
    walsh_driver_cache_close(&a->cache);
    pthread_cond_destroy(&a->ended);
    pthread_mutex_destroy(&a->lock);
    free(a);
    device->ahead = NULL;
}
