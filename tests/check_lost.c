/* A device that is lost in the middle of a run: one line says so, and the state saved before is whole. The OpenCL
 * functions that this program defines stand before the library's, and fail from the moment of the loss. */
#include "tests/op_case.h"
#include "tests/tiny_run.h"

#include <dlfcn.h>

static struct {
    bool lost;
    bool only_waiting_tells; /* as drivers do that take commands whatever happens */
} device_state;

/* The true function of that name. */
static void *next(const char *name)
{
    void *function = dlsym(RTLD_NEXT, name);
    assert_non_null(function);
    return function;
}

cl_int clEnqueueNDRangeKernel(cl_command_queue queue, cl_kernel kernel, cl_uint dimensions, const size_t *offset,
                              const size_t *global, const size_t *local, cl_uint events, const cl_event *waits,
                              cl_event *event)
{
    cl_int (*enqueue)(cl_command_queue, cl_kernel, cl_uint, const size_t *, const size_t *, const size_t *, cl_uint,
                      const cl_event *, cl_event *);
    *(void **)&enqueue = next("clEnqueueNDRangeKernel");
    if (device_state.lost && !device_state.only_waiting_tells) return CL_DEVICE_NOT_AVAILABLE;
    return enqueue(queue, kernel, dimensions, offset, global, local, events, waits, event);
}

cl_int clWaitForEvents(cl_uint count, const cl_event *events)
{
    cl_int (*wait)(cl_uint, const cl_event *);
    *(void **)&wait = next("clWaitForEvents");
    cl_int code = wait(count, events);
    return device_state.lost ? CL_EXEC_STATUS_ERROR_FOR_EVENTS_IN_WAIT_LIST : code;
}

cl_int clFinish(cl_command_queue queue)
{
    cl_int (*finish)(cl_command_queue);
    *(void **)&finish = next("clFinish");
    cl_int code = finish(queue);
    return device_state.lost ? CL_OUT_OF_RESOURCES : code;
}

enum { STEPS = 8, EVERY = 3, LOST_AFTER = 5 };

static bool lose(void *context, const walsh_train_progress *progress)
{
    (void)context;
    if (!progress->evaluating && progress->run_step >= LOST_AFTER) device_state.lost = true;
    return false;
}

static walsh_train_options options_of(const char *out)
{
    walsh_train_options options = tiny_run(out, STEPS);
    options.save_every = EVERY;
    return options;
}

/* Trains until the device is lost, and then, on a device that works, to the end. */
static void lose_and_resume(const char *out)
{
    walsh_train_options options = options_of(out);
    walsh_device *device = NULL;
    assert_ok(walsh_device_open(NULL, &device));
    assert_fails(WALSH_E_OPENCL, "the device may be lost", walsh_train(device, &options, lose, NULL, NULL));
    assert_null(strchr(walsh_message(), '\n'));
    walsh_device_close(&device);
    device_state.lost = false;
    options.resume = true;
    assert_ok(walsh_device_open(NULL, &device));
    assert_ok(walsh_train(device, &options, NULL, NULL, NULL));
    walsh_device_close(&device);
}

static void the_last_state_stays(void **state)
{
    (void)state;
    walsh_train_options options = options_of("whole");
    assert_ok(walsh_train(op_device(), &options, NULL, NULL, NULL));
    for (int waiting = 0; waiting < 2; waiting++) {
        const char *out = waiting ? "told late" : "told at once";
        char command[128];
        device_state.only_waiting_tells = waiting;
        lose_and_resume(out);
        snprintf(command, sizeof command, "cmp whole/last.safetensors '%s/last.safetensors'", out);
        assert_int_equal(system(command), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_last_state_stays, tiny_enter, temp_leave),
    };
    return cmocka_run_group_tests(tests, NULL, op_device_close);
}
