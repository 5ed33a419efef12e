/* Work on another thread: order, failures, and that signals stay with the program. */
#include "tests/check.h"

#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <unistd.h>

#include "engine/base/status.h"
#include "engine/base/task.h"

typedef struct work {
    atomic_bool released; /* it may end */
    atomic_int begun, ended;
    bool fails;
} work;

static walsh_status carry_out(void *context)
{
    work *w = context;
    atomic_fetch_add(&w->begun, 1);
    while (!atomic_load(&w->released)) usleep(100);
    atomic_fetch_add(&w->ended, 1);
    if (w->fails) WALSH_FAIL(WALSH_E_FILE, "the disk of piece %d is full", atomic_load(&w->ended));
    return WALSH_OK;
}

/* Work is under way while the caller goes on, and ends only when it may. */
static void the_caller_goes_on(void **state)
{
    (void)state;
    walsh_task *task = NULL;
    work w = {0};
    assert_ok(walsh_task_create(&task));
    assert_ok(walsh_task_wait(task)); /* nothing is under way yet */
    assert_ok(walsh_task_begin(task, carry_out, &w));
    while (!atomic_load(&w.begun)) usleep(100);
    assert_ok(walsh_task_check(task));
    assert_int_equal(atomic_load(&w.ended), 0);
    atomic_store(&w.released, true);
    assert_ok(walsh_task_wait(task));
    assert_int_equal(atomic_load(&w.ended), 1);
    walsh_task_close(&task);
    assert_null(task);
    walsh_task_close(&task);
}

static void *release_soon(void *context)
{
    work *w = context;
    usleep(20000);
    atomic_store(&w->released, true);
    return NULL;
}

/* The second piece waits for the first; closing waits for the last. */
static void one_piece_at_a_time(void **state)
{
    (void)state;
    walsh_task *task = NULL;
    work w = {0};
    pthread_t other;
    assert_ok(walsh_task_create(&task));
    assert_ok(walsh_task_begin(task, carry_out, &w));
    assert_int_equal(walsh_thread_start(&other, release_soon, &w), 0);
    assert_ok(walsh_task_begin(task, carry_out, &w));
    assert_true(atomic_load(&w.ended) >= 1);
    walsh_task_close(&task);
    assert_int_equal(atomic_load(&w.ended), 2);
    pthread_join(other, NULL);
}

/* A failure comes with its message, once, from whichever call is first. */
static void failures_are_told_once(void **state)
{
    (void)state;
    walsh_task *task = NULL;
    work w = {.released = true, .fails = true};
    assert_ok(walsh_task_create(&task));
    assert_ok(walsh_task_begin(task, carry_out, &w));
    assert_fails(WALSH_E_FILE, "the disk of piece 1 is full", walsh_task_wait(task));
    assert_ok(walsh_task_wait(task));
    assert_ok(walsh_task_check(task));

    assert_ok(walsh_task_begin(task, carry_out, &w));
    assert_fails(WALSH_E_FILE, "the disk of piece 2 is full", walsh_task_begin(task, carry_out, &w));
    assert_int_equal(atomic_load(&w.begun), 2); /* what was refused is never begun */

    assert_ok(walsh_task_begin(task, carry_out, &w));
    walsh_status status = WALSH_OK;
    while (!status) status = walsh_task_check(task);
    assert_fails(WALSH_E_FILE, "the disk of piece 3 is full", status);
    assert_ok(walsh_task_check(task));
    walsh_task_close(&task);
}

static walsh_status look_at_signals(void *context)
{
    return pthread_sigmask(SIG_BLOCK, NULL, context) ? WALSH_E_ARGUMENT : WALSH_OK;
}

static void signals_stay_with_the_program(void **state)
{
    (void)state;
    walsh_task *task = NULL;
    sigset_t there, here;
    assert_ok(walsh_task_create(&task));
    assert_ok(walsh_task_begin(task, look_at_signals, &there));
    assert_ok(walsh_task_wait(task));
    walsh_task_close(&task);
    pthread_sigmask(SIG_BLOCK, NULL, &here);
    assert_true(sigismember(&there, SIGINT) && sigismember(&there, SIGTERM));
    assert_false(sigismember(&here, SIGINT) || sigismember(&here, SIGTERM));
}

enum { PIECES = 1000 };

static void count_piece(void *context, size_t piece)
{
    atomic_int *times = context;
    atomic_fetch_add(&times[piece], 1);
}

/* Every piece once, whatever the number of processors; none where there are none. */
static void every_piece_once(void **state)
{
    (void)state;
    cpu_set_t all, one;
    assert_int_equal(sched_getaffinity(0, sizeof all, &all), 0);
    CPU_ZERO(&one);
    for (int cpu = 0; cpu < CPU_SETSIZE && !CPU_COUNT(&one); cpu++)
        if (CPU_ISSET(cpu, &all)) CPU_SET(cpu, &one);
    static atomic_int times[PIECES + 1];
    const size_t pieces[] = {0, 1, 3, PIECES};
    for (int i = 0; i < 4; i++) walsh_task_share(pieces[i], count_piece, times);
    assert_int_equal(sched_setaffinity(0, sizeof one, &one), 0);
    walsh_task_share(PIECES, count_piece, times);
    assert_int_equal(sched_setaffinity(0, sizeof all, &all), 0);
    for (int i = 0; i <= PIECES; i++)
        assert_int_equal(atomic_load(&times[i]), i < 1 ? 4 : i < 3 ? 3 : i < PIECES ? 2 : 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_caller_goes_on),
        cmocka_unit_test(one_piece_at_a_time),
        cmocka_unit_test(every_piece_once),
        cmocka_unit_test(failures_are_told_once),
        cmocka_unit_test(signals_stay_with_the_program),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
