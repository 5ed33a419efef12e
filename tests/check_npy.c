/* .npy files against bytes written out by hand from the format's description. */
#include "tests/check.h"

#include "engine/base/npy.h"
#include "tests/temp.h"

#include <signal.h>
#include <sys/resource.h>

/* 10 bytes of preamble and 118 of dictionary: the data begins at 128. */
static void expect_file(const char *name, const char *shape, const float *data, size_t count)
{
    unsigned char bytes[256] = {0x93, 'N', 'U', 'M', 'P', 'Y', 1, 0, 118, 0};
    memset(bytes + 10, ' ', 117);
    bytes[127] = '\n';
    char text[118];
    int length = snprintf(text, sizeof text, "{'descr': '<f4', 'fortran_order': False, 'shape': %s, }", shape);
    memcpy(bytes + 10, text, (size_t)length);
    memcpy(bytes + 128, data, count * 4);
    temp_holds(name, bytes, 128 + count * 4);
}

static void write_whole(const char *name, int rank, const size_t *shape, const float *data, size_t rows)
{
    walsh_npy *npy;
    assert_ok(walsh_npy_begin(name, rank, shape, &npy));
    assert_ok(walsh_npy_rows(npy, data, rows));
    assert_ok(walsh_npy_finish(&npy));
    assert_null(npy);
}

static void bytes_by_hand(void **state)
{
    (void)state;
    const float data[6] = {0.0f, -1.0f, 0.5f, 3.25f, 1e30f, -1e-30f};
    /* One value once more as bytes: 3.25 is 0x40500000. */
    assert_memory_equal(&data[3], "\x00\x00\x50\x40", 4);
    write_whole("scalar.npy", 0, NULL, data, 1);
    expect_file("scalar.npy", "()", data, 1);
    write_whole("vector.npy", 1, (size_t[]){6}, data, 6);
    expect_file("vector.npy", "(6,)", data, 6);
    write_whole("matrix.npy", 2, (size_t[]){3, 2}, data, 3);
    expect_file("matrix.npy", "(3, 2)", data, 6);
    write_whole("cube.npy", 3, (size_t[]){1, 2, 3}, data, 1);
    expect_file("cube.npy", "(1, 2, 3)", data, 6);
    write_whole("nothing.npy", 2, (size_t[]){0, 5}, NULL, 0);
    expect_file("nothing.npy", "(0, 5)", data, 0);
}

static void in_parts(void **state)
{
    (void)state;
    const float data[10] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10};
    walsh_npy *npy;
    assert_ok(walsh_npy_begin("parts.npy", 2, (size_t[]){5, 2}, &npy));
    assert_ok(walsh_npy_rows(npy, data, 2));
    assert_ok(walsh_npy_rows(npy, data + 4, 0));
    assert_ok(walsh_npy_rows(npy, data + 4, 3));
    assert_ok(walsh_npy_finish(&npy));
    expect_file("parts.npy", "(5, 2)", data, 10);
}

/* The longest header: every length of 20 digits but one, whose zero keeps the data empty. */
static void long_header(void **state)
{
    (void)state;
    size_t shape[32];
    for (int i = 0; i < 32; i++) shape[i] = i == 1 ? 0 : SIZE_MAX;
    write_whole("long.npy", 32, shape, NULL, SIZE_MAX);
    FILE *file = fopen("long.npy", "rb");
    unsigned char bytes[1100];
    size_t size = fread(bytes, 1, sizeof bytes, file);
    fclose(file);
    assert_int_equal(size % 64, 0);
    assert_int_equal(bytes[8] + 256 * bytes[9] + 10, size);
    assert_int_equal(bytes[size - 1], '\n');
}

static void counts(void **state)
{
    (void)state;
    const float data[4] = {1, 2, 3, 4};
    walsh_npy *npy;
    write_whole("kept.npy", 1, (size_t[]){2}, data, 2);
    assert_ok(walsh_npy_begin("kept.npy", 1, (size_t[]){4}, &npy));
    assert_ok(walsh_npy_rows(npy, data, 3));
    assert_fails(WALSH_E_ARGUMENT, "expected 4 rows, found 3", walsh_npy_finish(&npy));
    assert_null(npy);
    assert_ok(walsh_npy_begin("kept.npy", 1, (size_t[]){4}, &npy));
    assert_ok(walsh_npy_rows(npy, data, 3));
    assert_fails(WALSH_E_ARGUMENT, "2 more after 3", walsh_npy_rows(npy, data, 2));
    assert_fails(WALSH_E_ARGUMENT, "expected 4 rows", walsh_npy_rows(npy, data, SIZE_MAX));
    walsh_npy_abandon(&npy);
    assert_null(npy);
    walsh_npy_abandon(&npy);
    expect_file("kept.npy", "(2,)", data, 2);
    assert_int_equal(temp_leftovers(), 0);
}

static void refuses(void **state)
{
    (void)state;
    walsh_npy *npy = (walsh_npy *)1;
    const size_t shape[33] = {1};
    assert_fails(WALSH_E_ARGUMENT, "found 33", walsh_npy_begin("no.npy", 33, shape, &npy));
    assert_null(npy);
    assert_fails(WALSH_E_ARGUMENT, "found -1", walsh_npy_begin("no.npy", -1, shape, &npy));
    const size_t wide[2] = {2, SIZE_MAX / 4}, wider[2] = {1, SIZE_MAX / 2};
    assert_fails(WALSH_E_ARGUMENT, "does not fit", walsh_npy_begin("no.npy", 2, wide, &npy));
    assert_fails(WALSH_E_ARGUMENT, "does not fit", walsh_npy_begin("no.npy", 2, wider, &npy));
    assert_fails(WALSH_E_FILE, "none/no.npy", walsh_npy_begin("none/no.npy", 1, shape, &npy));
    assert_null(npy);
    assert_int_equal(temp_leftovers(), 0);
}

/* The header does not fit onto the disk: the failure comes from begin, and cleans up. */
static void full_disk(void **state)
{
    (void)state;
    struct rlimit before, limit;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    limit = before;
    limit.rlim_cur = 100;
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    walsh_npy *npy;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    walsh_status status = walsh_npy_begin("full.npy", 1, (size_t[]){1}, &npy);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    signal(SIGXFSZ, handler);
    assert_int_equal(status, WALSH_E_FILE);
    assert_null(npy);
    assert_int_equal(temp_leftovers(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_by_hand), cmocka_unit_test(in_parts), cmocka_unit_test(long_header),
        cmocka_unit_test(counts),        cmocka_unit_test(refuses),  cmocka_unit_test(full_disk),
    };
    return cmocka_run_group_tests(tests, temp_enter, temp_leave);
}
