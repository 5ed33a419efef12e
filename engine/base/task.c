#include "engine/base/task.h"

#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/status.h"

struct walsh_task {
    pthread_t thread;
    bool started; /* and not joined yet */
    walsh_status (*work)(void *context);
    void *context;
    walsh_status status;
    char message[1024]; /* the thread's own ends with it */
    atomic_bool ended;  /* status and message are there to be read */
};

int walsh_thread_start(pthread_t *thread, void *(*run)(void *), void *argument)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    int failure = pthread_create(thread, NULL, run, argument);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return failure;
}

walsh_status walsh_task_create(walsh_task **task)
{
    return walsh_alloc(task, 1, sizeof **task, "a task");
}

static void *run(void *argument)
{
    walsh_task *task = argument;
    task->status = task->work(task->context);
    if (task->status) snprintf(task->message, sizeof task->message, "%s", walsh_message());
    atomic_store(&task->ended, true);
    return NULL;
}

walsh_status walsh_task_begin(walsh_task *task, walsh_status (*work)(void *context), void *context)
{
    WALSH_TRY(walsh_task_wait(task));
    task->work = work;
    task->context = context;
    atomic_store(&task->ended, false);
    int failure = walsh_thread_start(&task->thread, run, task);
    if (failure) WALSH_FAIL(WALSH_E_MEMORY, "a thread cannot be started: %s", strerror(failure));
    task->started = true;
    return WALSH_OK;
}

walsh_status walsh_task_wait(walsh_task *task)
{
    if (!task->started) return WALSH_OK;
    pthread_join(task->thread, NULL);
    task->started = false;
    if (task->status) WALSH_FAIL(task->status, "%s", task->message);
    return WALSH_OK;
}

walsh_status walsh_task_check(walsh_task *task)
{
    return atomic_load(&task->ended) ? walsh_task_wait(task) : WALSH_OK;
}

void walsh_task_close(walsh_task **task)
{
    if (!*task) return;
    if ((*task)->started) pthread_join((*task)->thread, NULL);
    free(*task);
    *task = NULL;
}

enum { MOST_THREADS = 256 };

/* Pieces that whoever is free takes. */
typedef struct shared {
    void (*work)(void *context, size_t piece);
    void *context;
    size_t pieces;
    atomic_size_t next;
} shared;

static void *take_pieces(void *argument)
{
    shared *s = argument;
    for (size_t piece; (piece = atomic_fetch_add(&s->next, 1)) < s->pieces;) s->work(s->context, piece);
    return NULL;
}

size_t walsh_processors(void)
{
    cpu_set_t set;
    int count = sched_getaffinity(0, sizeof set, &set) ? 1 : CPU_COUNT(&set);
    return count < MOST_THREADS ? (size_t)count : MOST_THREADS;
}

void walsh_task_share(size_t pieces, void (*work)(void *context, size_t piece), void *context)
{
    shared s = {.work = work, .context = context, .pieces = pieces};
    pthread_t thread[MOST_THREADS];
    size_t most = walsh_processors(), threads = 0;
    if (most > pieces) most = pieces;
    while (threads + 1 < most && !walsh_thread_start(&thread[threads], take_pieces, &s)) threads++;
    take_pieces(&s);
    while (threads) pthread_join(thread[--threads], NULL);
}
