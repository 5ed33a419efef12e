/* Devices: which one a selector names, and what happens where there is none, too little memory, a kernel that does not
 * compile or a damaged kernel cache. */
#include "tests/op_case.h"
#include "tests/temp.h"

#include <dirent.h>
#include <limits.h>
#include <sys/wait.h>

#include "engine/device/kernel_cache.h"
#include "engine/device/program.h"

static char self[4096]; /* this program, which runs itself without a driver */

static void copy(char *to, const char *from)
{
    strcpy(to, from);
}

/* What the tests were started with, for those that change it. */
static char *given_device;

static void restore_device(void)
{
    if (given_device)
        setenv("WALSH_DEVICE", given_device, 1);
    else
        unsetenv("WALSH_DEVICE");
}

static void selectors(void **state)
{
    walsh_device_info list[5];
    size_t at = 99;
    (void)state;
    memset(list, 0, sizeof list);
    copy(list[0].name, "Slow GPU"), list[0].kind = WALSH_DEVICE_GPU, list[0].compute_units = 10,
                                    list[0].clock_mhz = 1000;
    copy(list[1].name, "Some CPU"), list[1].kind = WALSH_DEVICE_CPU;
    copy(list[2].name, "Fast GPU"), list[2].kind = WALSH_DEVICE_GPU, list[2].compute_units = 20,
                                    list[2].clock_mhz = 900;
    copy(list[3].name, "Fastest"), list[3].kind = WALSH_DEVICE_GPU, list[3].compute_units = 99, list[3].clock_mhz = 999;
    copy(list[3].unusable, "its driver has no compiler for kernels");
    copy(list[4].name, "Other"), list[4].kind = WALSH_DEVICE_OTHER, copy(list[4].platform, "Strange platform");

    assert_int_equal(unsetenv("WALSH_DEVICE"), 0);
    assert_ok(walsh_device_choose(list, 5, NULL, &at));
    assert_int_equal(at, 2); /* the best GPU that can be used */
    assert_ok(walsh_device_choose(list, 5, "", &at));
    assert_int_equal(at, 2);
    assert_ok(walsh_device_choose(list, 2, NULL, &at));
    assert_int_equal(at, 0);
    assert_ok(walsh_device_choose(list + 1, 1, NULL, &at));
    assert_int_equal(at, 0);
    assert_ok(walsh_device_choose(list, 5, "cpu", &at));
    assert_int_equal(at, 1);
    assert_ok(walsh_device_choose(list, 5, "GPU", &at));
    assert_int_equal(at, 2);
    assert_ok(walsh_device_choose(list, 5, "4", &at));
    assert_int_equal(at, 4);
    assert_ok(walsh_device_choose(list, 5, "sLoW", &at));
    assert_int_equal(at, 0);
    assert_ok(walsh_device_choose(list, 5, "strange", &at));
    assert_int_equal(at, 4);

    copy(list[1].name, "Fast"); /* whole, although a part of others */
    assert_ok(walsh_device_choose(list, 5, "fast", &at));
    assert_int_equal(at, 1);
    copy(list[1].name, "Some CPU");
    copy(list[0].name, "Fast GPU"); /* two of one name */
    assert_fails(WALSH_E_NO_DEVICE, "2 OpenCL devices match 'fast gpu': name one by its index",
                 walsh_device_choose(list, 5, "fast gpu", &at));
    assert_ok(walsh_device_choose(list, 5, "0", &at));
    assert_int_equal(at, 0);
    copy(list[0].name, "Slow GPU");

    assert_int_equal(setenv("WALSH_DEVICE", "1", 1), 0);
    assert_ok(walsh_device_choose(list, 5, NULL, &at));
    assert_int_equal(at, 1);
    assert_ok(walsh_device_choose(list, 5, "0", &at)); /* an option goes before the environment */
    assert_int_equal(at, 0);
    assert_int_equal(setenv("WALSH_DEVICE", "", 1), 0);
    assert_ok(walsh_device_choose(list, 5, NULL, &at));
    assert_int_equal(at, 2);

    assert_fails(WALSH_E_NO_DEVICE, "device 5 does not exist: expected an index from 0 to 4",
                 walsh_device_choose(list, 5, "5", &at));
    assert_fails(WALSH_E_NO_DEVICE, "99999999999999999999", walsh_device_choose(list, 5, "99999999999999999999", &at));
    assert_fails(WALSH_E_NO_DEVICE, "'nosuch'", walsh_device_choose(list, 5, "nosuch", &at));
    assert_fails(WALSH_E_NO_DEVICE, "'-1'", walsh_device_choose(list, 5, "-1", &at));
    assert_fails(WALSH_E_NO_DEVICE, "2 OpenCL devices match 'fast'", walsh_device_choose(list, 5, "fast", &at));
    assert_fails(WALSH_E_NO_DEVICE, "cannot be used: its driver has no compiler",
                 walsh_device_choose(list, 5, "3", &at));
    assert_fails(WALSH_E_NO_DEVICE, "kind 'gpu'", walsh_device_choose(list + 3, 2, "gpu", &at));
    assert_fails(WALSH_E_NO_DEVICE, "none of the 2", walsh_device_choose(list + 3, 2, NULL, &at));
    assert_fails(WALSH_E_NO_DEVICE, "install a driver", walsh_device_choose(list, 0, NULL, &at));
    restore_device();
}

static void real_devices(void **state)
{
    walsh_device_info *list = NULL;
    size_t count = 0;
    walsh_device *device = NULL;
    (void)state;
    assert_ok(walsh_device_list(&list, &count));
    assert_true(count > 0);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(list[i].index, i);
        assert_true(list[i].name[0] && list[i].compute_units > 0 && list[i].max_alloc > 0);
    }
    free(list);
    const walsh_device_options out_of_range = {.selector = "77"}, unknown = {.selector = "no such device"};
    assert_fails(WALSH_E_NO_DEVICE, "device 77", walsh_device_open(&out_of_range, &device));
    assert_null(device);
    assert_fails(WALSH_E_NO_DEVICE, "no such device", walsh_device_open(&unknown, &device));
    assert_int_equal(setenv("WALSH_DEVICE", "no such device", 1), 0);
    assert_fails(WALSH_E_NO_DEVICE, "no such device", walsh_device_open(NULL, &device));
    restore_device();
}

/* Tiles are the device's unless the environment says otherwise. */
static void tiles(void **state)
{
    static const walsh_tiles expected[] = {WALSH_TILES_CPU, WALSH_TILES_WIDE_CPU, WALSH_TILES_GPU,
                                           WALSH_TILES_AMD, WALSH_TILES_INTEL,    WALSH_TILES_NVIDIA};
    static const char *const names[] = {"cpu", "wide", "gpu", "amd", "intel", "nvidia"};
    char identity[WALSH_TILES_KINDS][600];
    const char *given = getenv("WALSH_TILES");
    char *kept = given ? strdup(given) : NULL;
    walsh_device *device = NULL;
    (void)state;
    for (int i = 0; i < WALSH_TILES_KINDS; i++) {
        setenv("WALSH_TILES", names[i], 1);
        assert_ok(walsh_device_open(NULL, &device));
        assert_int_equal(device->tiles, expected[i]);
        walsh_device_identity(device, identity[i], sizeof identity[i]);
        walsh_device_close(&device);
    }
    for (int i = 0; i < WALSH_TILES_KINDS; i++) /* what is measured with one is not used with another */
        assert_string_not_equal(identity[i], identity[(i + 1) % WALSH_TILES_KINDS]);
    setenv("WALSH_TILES", "cray", 1);
    assert_fails(WALSH_E_ARGUMENT, "cpu, wide, gpu, amd, intel or nvidia, found 'cray'", walsh_device_open(NULL, &device));
    unsetenv("WALSH_TILES");
    if (kept) setenv("WALSH_TILES", kept, 1);
    free(kept);
}

static void threads(void **state)
{
    walsh_device *device = NULL;
    const walsh_device_info *info = walsh_device_describe(op_device());
    (void)state;
    walsh_device_options options = {.threads = info->compute_units + 1};
    if (info->kind != WALSH_DEVICE_CPU) {
        assert_fails(WALSH_E_ARGUMENT, "not a CPU", walsh_device_open(&options, &device));
        return;
    }
    char units[64];
    snprintf(units, sizeof units, "has %u compute units", info->compute_units);
    assert_fails(WALSH_E_ARGUMENT, units, walsh_device_open(&options, &device));
    assert_null(device);
    options.threads = 1;
    if (info->compute_units > 1 && !op_device_divides()) {
        assert_fails(WALSH_E_OPENCL, "cannot restrict it", walsh_device_open(&options, &device));
        assert_null(device);
        return;
    }
    assert_ok(walsh_device_open(&options, &device));
    assert_int_equal(walsh_device_describe(device)->compute_units, 1);
    walsh_device_close(&device);
    assert_null(device);
    walsh_device_close(&device);
}

/* Run as `check_device --no-driver` with no driver to be found: opening fails and says what to do. */
static int without_driver(void)
{
    walsh_device *device = NULL;
    walsh_device_info *list = NULL;
    size_t count = 99;
    walsh_status status = walsh_device_list(&list, &count);
    free(list);
    if (status || count) return 50;
    status = walsh_device_open(NULL, &device);
    if (device || !strstr(walsh_message(), "pocl-opencl-icd")) return 51;
    return status == WALSH_E_NO_DEVICE ? 0 : 52;
}

static void no_driver(void **state)
{
    int status;
    (void)state;
    assert_int_equal(mkdir("no-vendors", 0700), 0);
    pid_t child = fork();
    if (!child) {
        setenv("OCL_ICD_VENDORS", "no-vendors", 1);
        setenv("OPENCL_VENDOR_PATH", "no-vendors", 1);
        unsetenv("OCL_ICD_FILENAMES");
        execl(self, self, "--no-driver", (char *)NULL);
        _exit(53);
    }
    assert_true(child > 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void build_errors(void **state)
{
    static const char broken[] = "__kernel void add_plain(__global float *y) { y[0] = undeclared_thing; }\n";
    cl_kernel kernel = NULL;
    (void)state;
    assert_fails(WALSH_E_ARGUMENT, "no kernel file 'nosuch.cl'",
                 walsh_kernel_create(op_device(), "nosuch", "f", "", &kernel));
    assert_fails(WALSH_E_ARGUMENT, "cl/add.cl has no kernel 'nosuch'",
                 walsh_kernel_create(op_device(), "add", "nosuch", "", &kernel));
    temp_write("add.cl", broken, strlen(broken));
    assert_int_equal(setenv("WALSH_KERNEL_DIR", ".", 1), 0);
    assert_fails(WALSH_E_BUILD, "undeclared_thing",
                 walsh_kernel_create(op_device(), "add", "add_plain", "-DA=1", &kernel));
    assert_non_null(strstr(walsh_message(), "cl/add.cl does not compile"));
    assert_fails(WALSH_E_FILE, "reduce.cl",
                 walsh_kernel_create(op_device(), "reduce", "reduce_plain", "-DA=1", &kernel));
    /* An edited file with an edited include: a kernel that only they have. */
    static const char including[] =
        "/* edited */\n#include \"own.clh\"\n__kernel void own_plain(OWN y) { y[0] = 1.0f; }\n";
    static const char included[] = "#define OWN __global float *\n";
    temp_write("own.cl", including, strlen(including));
    assert_fails(WALSH_E_FILE, "own.clh", walsh_kernel_create(op_device(), "own", "own_plain", "", &kernel));
    assert_null(kernel);
    temp_write("own.clh", included, strlen(included));
    assert_ok(walsh_kernel_create(op_device(), "own", "own_plain", "", &kernel));
    clReleaseKernel(kernel);
    assert_int_equal(unsetenv("WALSH_KERNEL_DIR"), 0);
    kernel = NULL;
    assert_ok(walsh_kernel_create(op_device(), "add", "add_plain", "-DA=1", &kernel));
    clReleaseKernel(kernel);
}

static void huge_buffer(void **state)
{
    cl_mem memory = NULL;
    (void)state;
    size_t most = (size_t)op_device()->info.max_alloc;
    assert_fails(WALSH_E_MEMORY, "a test needs a buffer of",
                 walsh_buffer_create(op_device(), most + 1, "a test", &memory));
    assert_non_null(strstr(walsh_message(), "MiB at most"));
    assert_null(memory);
    walsh_tensor *tensor = NULL;
    assert_fails(WALSH_E_MEMORY, "a tensor",
                 walsh_tensor_create(op_device(), 1 << 15, 1 << 10, 1 << 10, 1 << 10, &tensor));
    assert_null(tensor);
    /* Sizes whose product wraps around: to 0 bytes, and by the pad lanes. */
    static const int sizes[][4] = {
        {1 << 16, 1 << 16, 1 << 14, 1 << 16}, {1, 1, 1, INT_MAX}, {INT_MAX, INT_MAX, INT_MAX, INT_MAX}};
    for (int i = 0; i < 3; i++) {
        const int *s = sizes[i];
        assert_fails(WALSH_E_MEMORY, "more bytes than can be counted",
                     walsh_tensor_create(op_device(), s[0], s[1], s[2], s[3], &tensor));
        assert_null(tensor);
    }
}

/* The one file in the folder `cache`. */
static void cached_file(char path[512])
{
    int files = 0;
    DIR *folder = opendir("cache");
    assert_non_null(folder);
    for (struct dirent *entry; (entry = readdir(folder));)
        if (entry->d_name[0] != '.') files++, snprintf(path, 512, "cache/%s", entry->d_name);
    closedir(folder);
    assert_int_equal(files, 1);
}

static ino_t inode(const char *path)
{
    struct stat about;
    assert_int_equal(stat(path, &about), 0);
    return about.st_ino;
}

/* Compiles or loads the kernel and uses it: 1 + 2. */
static void use_kernel(walsh_device *device)
{
    const float ones[4] = {1, 1, 1, 1}, twos[4] = {2, 2, 2, 2};
    float y[4];
    walsh_tensor *t[3];
    walsh_list *list = NULL;
    walsh_programs_release(device);
    for (int i = 0; i < 3; i++) assert_ok(walsh_tensor_create(device, 1, 1, 1, 4, &t[i]));
    assert_ok(walsh_tensor_upload(t[0], ones));
    assert_ok(walsh_tensor_upload(t[1], twos));
    assert_ok(walsh_list_create(device, &list));
    const walsh_launch launch = {.file = "add", .function = "add_plain", .global = {1, 1}, .local = {4, 16}};
    assert_ok(WALSH_LAUNCH(list, launch, WALSH_TENSOR(&t[0]->view), WALSH_TENSOR(&t[1]->view),
                           WALSH_TENSOR(&t[2]->view), WALSH_INT(1), WALSH_INT(1), WALSH_INT(4), WALSH_INT(4),
                           WALSH_INT(4)));
    assert_ok(walsh_list_run(list));
    assert_ok(walsh_tensor_download(t[2], y));
    assert_true(y[0] == 3 && y[3] == 3);
    walsh_list_destroy(&list);
    for (int i = 0; i < 3; i++) walsh_tensor_destroy(&t[i]);
}

static char *read_whole(const char *path, size_t *size)
{
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    char *bytes = malloc(1 << 22);
    assert_non_null(bytes);
    *size = fread(bytes, 1, 1 << 22, file);
    fclose(file);
    return bytes;
}

static void assert_rebuilt(walsh_device *device, const char *path)
{
    ino_t damaged = inode(path);
    use_kernel(device);
    assert_true(inode(path) != damaged);
}

static void kernel_cache(void **state)
{
    char path[512];
    size_t size;
    walsh_device *device = NULL;
    (void)state;
    assert_int_equal(setenv("WALSH_CACHE", "cache", 1), 0);
    assert_ok(walsh_device_open(NULL, &device));
    device->quirks = 0;
    use_kernel(device);
    cached_file(path);
    ino_t first = inode(path);
    use_kernel(device);
    assert_true(inode(path) == first); /* a rebuild would have replaced the file */

    /* Damaged anywhere, it is built again and the file replaced. */
    char *whole = read_whole(path, &size);
    const size_t lengths[] = {0, 10, size / 4, size / 2, size - 1};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        temp_write(path, whole, lengths[i]);
        assert_rebuilt(device, path);
    }
    const size_t places[] = {0, size / 3, size - 64};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        char kept[64];
        memcpy(kept, whole + places[i], sizeof kept);
        memset(whole + places[i], 0x5a, sizeof kept);
        temp_write(path, whole, size);
        assert_rebuilt(device, path);
        memcpy(whole + places[i], kept, sizeof kept);
    }
    free(whole);

    /* No folder for it: only slower. */
    assert_int_equal(setenv("WALSH_CACHE", "/dev/null/nowhere", 1), 0);
    use_kernel(device);
    walsh_device_close(&device);
    assert_int_equal(unsetenv("WALSH_CACHE"), 0);
}

int main(int argc, char **argv)
{
    if (argc > 1 && !strcmp(argv[1], "--no-driver")) return without_driver();
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    if (n < 0) return 1;
    if (getenv("WALSH_DEVICE")) given_device = strdup(getenv("WALSH_DEVICE"));
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(selectors),
        cmocka_unit_test(real_devices),
        cmocka_unit_test(tiles),
        cmocka_unit_test(threads),
        cmocka_unit_test_setup_teardown(no_driver, temp_enter, temp_leave),
        cmocka_unit_test_setup_teardown(build_errors, temp_enter, temp_leave),
        cmocka_unit_test(huge_buffer),
        cmocka_unit_test_setup_teardown(kernel_cache, temp_enter, temp_leave),
    };
    int failed = cmocka_run_group_tests(tests, NULL, op_device_close);
    free(given_device);
    return failed;
}
