/* Work beside the caller's own: one piece at a time, on a thread of its own; and work shared among processors. */
#ifndef WALSH_ENGINE_BASE_TASK_H
#define WALSH_ENGINE_BASE_TASK_H

#include <pthread.h>
#include <stddef.h>
#include <walsh/status.h>

/* pthread_create, but for a thread that leaves signals to the program's own ones. 0, or the error's number. */
int walsh_thread_start(pthread_t *thread, void *(*run)(void *), void *argument);

typedef struct walsh_task walsh_task;

walsh_status walsh_task_create(walsh_task **task);

/* Waits for the work before to end, reports its failure like walsh_task_wait, and else begins `work`, which then has
 * `context` to itself. On failure `work` is never called. Fails with WALSH_E_MEMORY where no thread can be had. */
walsh_status walsh_task_begin(walsh_task *task, walsh_status (*work)(void *context), void *context);

/* Waits for the work under way, if any, and fails as it did, with its message. A failure is reported once. */
walsh_status walsh_task_wait(walsh_task *task);

/* The same for work that has ended; WALSH_OK at once while some is under way. */
walsh_status walsh_task_check(walsh_task *task);

/* Waits for the work under way, whose failure is lost. Sets the pointer to NULL; NULL is accepted. */
void walsh_task_close(walsh_task **task);

/* How many processors this process may use, at most 256. */
size_t walsh_processors(void);

/* Calls work(context, piece) for every piece from 0 to pieces - 1, the pieces spread over the processors that this
 * process may use, and waits for all. Where no further thread can be had, the caller does it all. */
void walsh_task_share(size_t pieces, void (*work)(void *context, size_t piece), void *context);

#endif
