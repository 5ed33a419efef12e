/* Lists of launches: replay, library calls, profiles. */
#include "tests/op_case.h"
#include "tests/temp.h"

#include "engine/device/list.h"

enum { ELEMENTS = 64 };

/* y = a + b over ELEMENTS floats, of which b is y, so that every run adds a once more. */
static void append_sum(walsh_list *list, walsh_tensor *a, walsh_tensor *y)
{
    const walsh_launch launch = {.file = "add",
                                 .function = "add_plain",
                                 .global = {ELEMENTS / 4, 1},
                                 .local = {4, 1},
                                 .flops = ELEMENTS,
                                 .bytes = 12 * ELEMENTS};
    assert_ok(WALSH_LAUNCH(list, launch, WALSH_TENSOR(&a->view), WALSH_TENSOR(&y->view), WALSH_TENSOR(&y->view),
                           WALSH_INT(1), WALSH_INT(ELEMENTS / 4), WALSH_INT(ELEMENTS), WALSH_INT(ELEMENTS),
                           WALSH_INT(ELEMENTS)));
}

/* A list of one such launch. */
static walsh_list *adding_list(walsh_device *device, walsh_tensor *a, walsh_tensor *y)
{
    walsh_list *list = NULL;
    assert_ok(walsh_list_create(device, &list));
    walsh_list_label(list, "sum", "add");
    append_sum(list, a, y);
    return list;
}

static void open_tensors(walsh_device *device, walsh_tensor **a, walsh_tensor **y)
{
    float values[ELEMENTS];
    for (int i = 0; i < ELEMENTS; i++) values[i] = (float)i;
    assert_ok(walsh_tensor_create(device, 1, 1, 1, ELEMENTS, a));
    assert_ok(walsh_tensor_create(device, 1, 1, 1, ELEMENTS, y));
    assert_ok(walsh_tensor_upload(*a, values));
}

static void a_list_replays(void **state)
{
    (void)state;
    walsh_tensor *a, *y;
    float got[ELEMENTS];
    open_tensors(op_device(), &a, &y);
    walsh_list *list = adding_list(op_device(), a, y);
    assert_int_equal(walsh_list_count(list), 1);
    for (int run = 1; run <= 3; run++) {
        assert_ok(walsh_list_run(list));
        assert_ok(walsh_tensor_download(y, got));
        for (int i = 0; i < ELEMENTS; i++) assert_true(got[i] == (float)(run * i));
    }
    walsh_list_destroy(&list);
    assert_null(list);
    walsh_tensor_destroy(&a);
    walsh_tensor_destroy(&y);
}

/* A call of the library kind, which counts how often it is made. */
static int calls;

static walsh_status count_call(walsh_device *device, const void *context)
{
    assert_ptr_equal(device, op_device());
    calls += *(const int *)context;
    return WALSH_OK;
}

static walsh_status failing_call(walsh_device *device, const void *context)
{
    (void)device, (void)context;
    WALSH_FAIL(WALSH_E_OPENCL, "the library says no");
}

static int *boxed(int value)
{
    int *box = malloc(sizeof *box);
    assert_non_null(box);
    *box = value;
    return box;
}

static void calls_run_in_order_and_failures_come_through(void **state)
{
    (void)state;
    walsh_list *list = NULL;
    assert_ok(walsh_list_create(op_device(), &list));
    assert_ok(walsh_list_call(list, count_call, boxed(5), 0, 0));
    assert_ok(walsh_list_run(list));
    assert_ok(walsh_list_run(list));
    assert_int_equal(calls, 10);
    assert_ok(walsh_list_call(list, failing_call, boxed(0), 0, 0));
    assert_ok(walsh_list_call(list, count_call, boxed(100), 0, 0));
    assert_fails(WALSH_E_OPENCL, "the library says no", walsh_list_run(list));
    assert_int_equal(calls, 15); /* what stands behind the failure is not run */
    walsh_list_destroy(&list);
}

static void unknown_kernels_are_refused(void **state)
{
    (void)state;
    walsh_list *list = NULL;
    assert_ok(walsh_list_create(op_device(), &list));
    const walsh_launch no_file = {.file = "nothing", .function = "add_plain"},
                       no_function = {.file = "add", .function = "nothing"};
    assert_fails(WALSH_E_ARGUMENT, "nothing", WALSH_LAUNCH(list, no_file, WALSH_INT(1)));
    assert_fails(WALSH_E_ARGUMENT, "nothing", WALSH_LAUNCH(list, no_function, WALSH_INT(1)));
    assert_int_equal(walsh_list_count(list), 0);
    walsh_list_destroy(&list);
}

/* A launch with a local size that no other test here has, so that it is new to the process's kernel log. */
static void append_group(walsh_list *list, walsh_tensor *y, size_t width, size_t height, const char *options)
{
    const walsh_launch launch = {.file = "add", .function = "add_plain", .options = options, .local = {width, height}};
    assert_ok(WALSH_LAUNCH(list, launch, WALSH_TENSOR(&y->view), WALSH_TENSOR(&y->view), WALSH_TENSOR(&y->view),
                           WALSH_INT(1), WALSH_INT(1), WALSH_INT(4), WALSH_INT(4), WALSH_INT(4)));
}

/* A group beyond what the device allows a kernel is refused, and why is said. */
static void large_groups_are_refused(void **state)
{
    (void)state;
    walsh_tensor *a, *y;
    walsh_list *list = NULL;
    open_tensors(op_device(), &a, &y);
    assert_ok(walsh_list_create(op_device(), &list));
    append_group(list, y, op_device()->info.max_group, 2, NULL);
    assert_fails(WALSH_E_OPENCL, "add_plain: work-groups of", walsh_list_run(list));
    walsh_list_destroy(&list);
    walsh_tensor_destroy(&a);
    walsh_tensor_destroy(&y);
}

/* Three runs of a launch, which the list holds twice, are one line: its names, and sums of its work. What another label
 * has named, and another list, has lines of its own. */
static void profiles_add_up(void **state)
{
    (void)state;
    walsh_device *device = NULL;
    walsh_tensor *a, *y;
    const walsh_device_options options = {.profile = true};
    assert_ok(walsh_device_open(&options, &device));
    open_tensors(device, &a, &y);
    walsh_list *list = adding_list(device, a, y);
    walsh_profile_line *lines = NULL;
    size_t count = 0;
    append_sum(list, a, y);
    walsh_list_label(list, "sum", "another");
    append_sum(list, a, y);
    for (int run = 0; run < 3; run++) assert_ok(walsh_list_run(list));
    assert_ok(walsh_list_profile(list, "training", &lines, &count));
    assert_int_equal(count, 2);
    assert_string_equal(lines[0].phase, "training");
    assert_string_equal(lines[0].layer, "sum");
    assert_string_equal(lines[0].operation, "add");
    assert_string_equal(lines[0].kernel, "add_plain");
    assert_string_equal(lines[1].operation, "another");
    for (int i = 0; i < 2; i++) {
        size_t launches = i == 0 ? 6 : 3;
        assert_int_equal(lines[i].runs, 3);
        assert_int_equal(lines[i].launches, launches);
        assert_true(lines[i].flops == (double)(launches * ELEMENTS) && lines[i].bytes == 12 * lines[i].flops);
        assert_true(lines[i].seconds > 0 && lines[i].seconds < 10);
    }
    assert_ok(walsh_list_profile(list, "evaluation", &lines, &count));
    assert_int_equal(count, 4);
    assert_string_equal(lines[2].phase, "evaluation");
    assert_int_equal(lines[2].launches, 6);
    assert_int_equal(lines[0].launches, 6);
    free(lines);
    walsh_list_destroy(&list);
    walsh_tensor_destroy(&a);
    walsh_tensor_destroy(&y);
    walsh_device_close(&device);
}

/* The environment's own log, which goes on after these tests. */
static void set_log(const char *path, char **given)
{
    *given = getenv("WALSH_KERNEL_LOG") ? strdup(getenv("WALSH_KERNEL_LOG")) : NULL;
    assert_int_equal(setenv("WALSH_KERNEL_LOG", path, 1), 0);
}

static void restore_log(char **given)
{
    assert_int_equal(*given ? setenv("WALSH_KERNEL_LOG", *given, 1) : unsetenv("WALSH_KERNEL_LOG"), 0);
    free(*given);
}

/* A line for each kernel that was run, once a process, behind what the file holds. */
static void the_kernel_log_has_each_kernel_once(void **state)
{
    static const char before[] = "another process's line\n",
                      first[] = "another process's line\nadd.cl\t\tadd_plain\t1x1x1\n",
                      both[] = "another process's line\nadd.cl\t\tadd_plain\t1x1x1\nadd.cl\t-DA=1\tadd_plain\t2x2x1\n";
    (void)state;
    char *given;
    walsh_tensor *y;
    walsh_list *lists[2];
    set_log("kernels", &given);
    assert_ok(walsh_tensor_create(op_device(), 1, 1, 1, ELEMENTS, &y));
    temp_write("kernels", before, strlen(before));
    for (int i = 0; i < 2; i++) {
        assert_ok(walsh_list_create(op_device(), &lists[i]));
        append_group(lists[i], y, 1, 1, NULL);
        append_group(lists[i], y, 1, 1, NULL);
    }
    temp_holds("kernels", before, strlen(before)); /* nothing has run */
    for (int i = 0; i < 4; i++) {
        assert_ok(walsh_list_run(lists[i % 2]));
        temp_holds("kernels", first, strlen(first));
    }
    append_group(lists[0], y, 2, 2, "-DA=1");
    for (int i = 0; i < 2; i++) assert_ok(walsh_list_run(lists[0]));
    temp_holds("kernels", both, strlen(both));
    for (int i = 0; i < 2; i++) walsh_list_destroy(&lists[i]);
    walsh_tensor_destroy(&y);
    restore_log(&given);
}

static void a_kernel_log_that_cannot_be_written_is_a_failure(void **state)
{
    (void)state;
    char *given;
    walsh_tensor *y;
    walsh_list *list;
    set_log("no-folder/kernels", &given);
    assert_ok(walsh_tensor_create(op_device(), 1, 1, 1, ELEMENTS, &y));
    assert_ok(walsh_list_create(op_device(), &list));
    append_group(list, y, 1, 2, NULL);
    assert_fails(WALSH_E_FILE, "no-folder/kernels: cannot append to the kernel log", walsh_list_run(list));
    walsh_list_destroy(&list);
    walsh_tensor_destroy(&y);
    restore_log(&given);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_list_replays),
        cmocka_unit_test(calls_run_in_order_and_failures_come_through),
        cmocka_unit_test(unknown_kernels_are_refused),
        cmocka_unit_test(large_groups_are_refused),
        cmocka_unit_test(profiles_add_up),
        cmocka_unit_test_setup_teardown(the_kernel_log_has_each_kernel_once, temp_enter, temp_leave),
        cmocka_unit_test_setup_teardown(a_kernel_log_that_cannot_be_written_is_a_failure, temp_enter, temp_leave),
    };
    return cmocka_run_group_tests(tests, NULL, op_device_close);
}
