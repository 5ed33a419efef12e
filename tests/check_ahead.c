/* Kernels compiled ahead by other processes are those that a run makes by itself, and what goes wrong there is told as
 * without them. Every test has a cache of the driver's of its own, so it is a process of its own: this program, called
 * by itself. */
#include "tests/op_case.h"
#include "tests/temp.h"

#include <sys/wait.h>

#include "engine/base/file.h"
#include "engine/base/task.h"
#include "engine/device/ahead.h"
#include "engine/device/quirks.h"

/* A launch of cl/add.cl, compiled with other options for each `which`, in a list that only notes or also makes it. */
static walsh_status launch(walsh_list *list, walsh_tensor *const *t, int which)
{
    char options[16];
    snprintf(options, sizeof options, "-DA=%d", which);
    const walsh_launch launch = {
        .file = "add", .function = "add_plain", .options = options, .global = {1, 1}, .local = {4, 16}};
    return WALSH_LAUNCH(list, launch, WALSH_TENSOR(&t[0]->view), WALSH_TENSOR(&t[1]->view), WALSH_TENSOR(&t[2]->view),
                        WALSH_INT(1), WALSH_INT(1), WALSH_INT(4), WALSH_INT(4), WALSH_INT(4));
}

enum { PROGRAMS = 3 };

static walsh_status launch_all(walsh_list *list, walsh_tensor *const *t)
{
    for (int i = 0; i < PROGRAMS; i++) WALSH_TRY(launch(list, t, i));
    return WALSH_OK;
}

/* Files below `folder` whose names end so: their paths, sorted, in one text that the caller frees. */
static char *files_ending(const char *folder, const char *end)
{
    char command[256], *text = calloc(1, 1 << 16);
    assert_non_null(text);
    snprintf(command, sizeof command, "cd %s && find . -name '*%s' | LC_ALL=C sort", folder, end);
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    size_t size = fread(text, 1, (1 << 16) - 1, pipe);
    assert_int_equal(pclose(pipe), 0);
    text[size] = 0;
    return text;
}

static int lines_of(const char *text)
{
    int lines = 0;
    for (; *text; text++) lines += *text == '\n';
    return lines;
}

static int count_files(const char *end)
{
    char *files = files_ending("kcache", end);
    int count = lines_of(files);
    free(files);
    return count;
}

static int recorded(void)
{
    char *text = NULL;
    size_t size;
    if (access("kcache/walsh-kernels", F_OK)) return 0;
    assert_ok(walsh_file_read("kcache/walsh-kernels", &text, &size));
    int count = lines_of(text);
    free(text);
    return count;
}

/* What a part of this program, in a process of its own, works with. */
typedef struct scene {
    walsh_device *device;
    walsh_tensor *t[3];
    walsh_list *list;
} scene;

static void open_scene(scene *s)
{
    const float ones[4] = {1, 1, 1, 1}, twos[4] = {2, 2, 2, 2};
    assert_ok(walsh_device_open(NULL, &s->device));
    for (int i = 0; i < 3; i++) assert_ok(walsh_tensor_create(s->device, 1, 1, 1, 4, &s->t[i]));
    assert_ok(walsh_tensor_upload(s->t[0], ones));
    assert_ok(walsh_tensor_upload(s->t[1], twos));
    assert_ok(walsh_list_create(s->device, &s->list));
}

static void close_scene(scene *s)
{
    walsh_list_destroy(&s->list);
    for (int i = 0; i < 3; i++) walsh_tensor_destroy(&s->t[i]);
    walsh_device_close(&s->device);
}

/* Makes the launches and runs them: 1 + 2. */
static void assert_runs(scene *s)
{
    float y[4] = {0};
    assert_ok(launch_all(s->list, s->t));
    walsh_ahead_end(s->device);
    assert_int_equal(walsh_list_count(s->list), PROGRAMS);
    assert_ok(walsh_list_run(s->list));
    assert_ok(walsh_tensor_download(s->t[2], y));
    for (int i = 0; i < 4; i++) assert_true(y[i] == 3.0f);
}

static void note_all(scene *s)
{
    assert_true(walsh_ahead_begin(s->device));
    assert_false(walsh_ahead_begin(s->device));
    assert_ok(launch_all(s->list, s->t));
    assert_int_equal(walsh_list_count(s->list), 0);
    walsh_ahead_start(s->device);
    assert_false(walsh_ahead_notes(s->device));
}

static bool compiles_without_running(const scene *s)
{
    return strstr(s->device->info.platform_version, "pocl 3.") != NULL;
}

/* The other process compiles everything, runs nothing, and need not be asked again. */
static void part_compiled(void)
{
    scene s;
    open_scene(&s);
    note_all(&s);
    walsh_ahead_end(s.device);
    assert_int_equal(count_files("program.bc"), PROGRAMS);
    if (compiles_without_running(&s)) assert_int_equal(count_files(".so"), PROGRAMS);
    assert_int_equal(recorded(), PROGRAMS);
    note_all(&s);
    assert_runs(&s);
    assert_int_equal(recorded(), PROGRAMS);
    assert_int_equal(count_files(".so"), PROGRAMS);
    close_scene(&s);
}

/* This process uses what the others compile as soon as it is there. */
static void part_shared(void)
{
    scene s;
    open_scene(&s);
    note_all(&s);
    assert_runs(&s);
    assert_int_equal(count_files(".so"), PROGRAMS);
    assert_int_equal(recorded(), PROGRAMS);
    close_scene(&s);
}

/* No compiler at all. */
static void part_alone(void)
{
    scene s;
    open_scene(&s);
    assert_false(walsh_ahead_begin(s.device));
    assert_runs(&s);
    assert_int_equal(recorded(), 0);
    close_scene(&s);
}

/* A compiler that dies at once, or cannot be started: this process does all. */
static void part_dead(void)
{
    scene s;
    open_scene(&s);
    note_all(&s);
    assert_runs(&s);
    assert_int_equal(count_files(".so"), PROGRAMS);
    close_scene(&s);
}

/* An error in a kernel is reported as ever, with the compiler's words, and not recorded as compiled. */
static void part_broken(void)
{
    static const char broken[] = "__kernel void add_plain(__global float *y) { y[0] = undeclared_thing; }\n";
    scene s;
    open_scene(&s);
    temp_write("add.cl", broken, strlen(broken));
    assert_int_equal(setenv("WALSH_KERNEL_DIR", ".", 1), 0);
    note_all(&s);
    for (int i = PROGRAMS - 1; i >= 0; i--) {
        assert_fails(WALSH_E_BUILD, "undeclared_thing", launch(s.list, s.t, i));
        assert_non_null(strstr(walsh_message(), "cl/add.cl does not compile"));
    }
    walsh_ahead_end(s.device);
    assert_int_equal(recorded(), 0);
    close_scene(&s);
}

static const struct part {
    const char *name, *compiler; /* NULL: the true one */
    void (*run)(void);
} parts[] = {{"compiled", NULL, part_compiled}, {"shared", NULL, part_shared},   {"alone", "", part_alone},
             {"dead", "/bin/false", part_dead}, {"missing", "/none", part_dead}, {"broken", NULL, part_broken}};

static bool is_of_use(void)
{
    const walsh_device *device = op_device();
    return device->quirks & WALSH_QUIRK_COMPILES_ALONE && device->info.compute_units > 1 && walsh_processors() > 1;
}

/* Runs a part in a folder and with a cache of its own. */
static void run_part(const struct part *part)
{
    char cache[4096], here[4000];
    int status;
    assert_int_equal(mkdir(part->name, 0777), 0);
    assert_int_equal(chdir(part->name), 0);
    assert_int_equal(mkdir("kcache", 0777), 0);
    assert_non_null(getcwd(here, sizeof here));
    snprintf(cache, sizeof cache, "%s/kcache", here);
    pid_t child = fork();
    if (!child) {
        setenv("POCL_CACHE_DIR", cache, 1);
        unsetenv("WALSH_KERNEL_DIR");
        if (part->compiler) setenv("WALSH_COMPILER", part->compiler, 1);
        execl("/proc/self/exe", "check_ahead", part->name, (char *)NULL);
        _exit(127);
    }
    assert_true(child > 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(chdir(".."), 0);
    if (!WIFEXITED(status) || WEXITSTATUS(status)) fail_msg("part '%s' has failed: %d", part->name, status);
}

static void all_parts(void **state)
{
    (void)state;
    if (!is_of_use()) skip();
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) run_part(&parts[i]);
    /* The same programs and kernels, whoever compiled them. */
    static const char *const caches[] = {"compiled/kcache", "shared/kcache", "dead/kcache"};
    static const char *const kinds[] = {".so", "program.bc"};
    for (int k = 0; k < 2; k++) {
        char *own = files_ending("alone/kcache", kinds[k]);
        assert_int_equal(lines_of(own), PROGRAMS);
        for (int i = 0; i < 3; i++) {
            char *other = files_ending(caches[i], kinds[k]);
            assert_string_equal(other, own);
            free(other);
        }
        free(own);
    }
}

int main(int count, char **arguments)
{
    unsetenv("WALSH_KERNEL_LOG"); /* these options are for the test alone */
    const struct CMUnitTest tests[] = {cmocka_unit_test_setup_teardown(all_parts, temp_enter, temp_leave)};
    for (size_t i = 0; i < sizeof parts / sizeof *parts && count == 2; i++) {
        if (strcmp(parts[i].name, arguments[1])) continue;
        parts[i].run();
        return 0;
    }
    return cmocka_run_group_tests(tests, NULL, op_device_close);
}
