/* Whole reads, atomic replacement (a full disk included), folders, the cache folder. */
#include "tests/check.h"

#include "engine/base/file.h"
#include "tests/temp.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

static void read_whole(void **state)
{
    (void)state;
    char *bytes;
    size_t size;
    temp_write("read", "a\0b", 3);
    assert_ok(walsh_file_read("read", &bytes, &size));
    assert_int_equal(size, 3);
    assert_memory_equal(bytes, "a\0b", 4); /* the NUL behind the end is there */
    free(bytes);
    temp_write("empty", "", 0);
    assert_ok(walsh_file_read("empty", &bytes, &size));
    assert_int_equal(size, 0);
    assert_int_equal(bytes[0], 0);
    free(bytes);
}

static void read_refuses(void **state)
{
    (void)state;
    char *bytes = (char *)1;
    size_t size = 1;
    assert_fails(WALSH_E_FILE, "none: No such file", walsh_file_read("none", &bytes, &size));
    assert_null(bytes);
    assert_int_equal(size, 0);
    assert_fails(WALSH_E_FILE, "found a folder", walsh_file_read(".", &bytes, &size));
    assert_int_equal(mkfifo("pipe", 0600), 0);
    assert_fails(WALSH_E_FILE, "device or pipe", walsh_file_read("pipe", &bytes, &size));
}

static walsh_status replace(const char *name, const char *text)
{
    const walsh_file_part parts[] = {{text, strlen(text)}, {NULL, 0}, {"!", 1}};
    return walsh_file_replace(name, parts, 3);
}

static void replaces(void **state)
{
    mode_t before = umask(027);
    assert_ok(replace("file", "a longer first text"));
    umask(before);
    temp_holds("file", "a longer first text!", 20);
    struct stat info;
    assert_int_equal(stat("file", &info), 0);
    assert_int_equal(info.st_mode & 0777, 0640);
    temp_write("file.tmp", "what a crash left behind, longer than the new text", 50);
    assert_ok(replace("file", "second"));
    temp_holds("file", "second!", 7);
    assert_int_equal(temp_leftovers(), 0);
    char path[300];
    snprintf(path, sizeof path, "%s/absolute", (const char *)*state);
    assert_ok(walsh_file_replace(path, NULL, 0));
    temp_holds("absolute", "", 0);
}

static void old_file_until_commit(void **state)
{
    (void)state;
    walsh_file_writer *writer;
    assert_ok(replace("kept", "old"));
    assert_ok(walsh_file_begin("kept", &writer));
    assert_ok(walsh_file_write(writer, "new", 3));
    temp_holds("kept", "old!", 4);
    walsh_file_abandon(&writer);
    assert_null(writer);
    walsh_file_abandon(&writer);
    temp_holds("kept", "old!", 4);
    assert_int_equal(temp_leftovers(), 0);
}

/* Two processes that write one file must not mix their bytes: the second is told, the first is whole. */
static void one_writer(void **state)
{
    (void)state;
    walsh_file_writer *first, *second = (walsh_file_writer *)1;
    assert_ok(walsh_file_begin("shared", &first));
    assert_ok(walsh_file_write(first, "fir", 3));
    assert_fails(WALSH_E_FILE, "another process", walsh_file_begin("shared", &second));
    assert_null(second);
    assert_ok(walsh_file_write(first, "st", 2));
    assert_ok(walsh_file_commit(&first));
    assert_null(first);
    temp_holds("shared", "first", 5);
}

/* Several processes replace one file again and again; a reader sees whole texts only. */
static void race(void **state)
{
    (void)state;
    assert_ok(replace("race", "0000000000000000"));
    pid_t children[3];
    for (int c = 0; c < 3; c++) {
        children[c] = fork();
        assert_true(children[c] >= 0);
        if (children[c]) continue;
        char text[17];
        memset(text, '1' + c, 16), text[16] = 0;
        int failures = 0;
        for (int i = 0; i < 50; i++)
            if (replace("race", text)) failures += !strstr(walsh_message(), "another process");
        _exit(failures != 0);
    }
    for (int i = 0; i < 500; i++) {
        char *bytes;
        size_t size;
        assert_ok(walsh_file_read("race", &bytes, &size));
        assert_int_equal(size, 17);
        for (int k = 1; k < 16; k++) assert_int_equal(bytes[k], bytes[0]);
        free(bytes);
    }
    for (int c = 0; c < 3; c++) {
        int result;
        assert_int_equal(waitpid(children[c], &result, 0), children[c]);
        assert_int_equal(result, 0);
    }
    assert_int_equal(temp_leftovers(), 0);
}

/* A limit on the size of files stands in for a full disk: the first write is short, the next one fails. */
static void full_disk(void **state)
{
    (void)state;
    enum { SIZE = 100000 };
    char *big = calloc(SIZE, 1);
    assert_non_null(big);
    assert_ok(replace("full", "old"));
    struct rlimit before, limit;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    limit = before;
    limit.rlim_cur = SIZE / 2 + 1;
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    const walsh_file_part parts[] = {{big, SIZE / 4}, {big, SIZE / 2}, {big, 1}};
    walsh_status status = walsh_file_replace("full", parts, 3);
    walsh_file_writer *writer = NULL;
    walsh_status begun = walsh_file_begin("full", &writer);
    walsh_status write = begun ? begun : walsh_file_write(writer, big, SIZE);
    walsh_status small = begun ? begun : walsh_file_write(writer, big, 1);
    walsh_status commit = begun ? begun : walsh_file_commit(&writer);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    signal(SIGXFSZ, handler);
    free(big);
    assert_int_equal(status, WALSH_E_FILE);
    /* A failed writer stays failed: what it has is not the whole file. */
    assert_int_equal(begun, WALSH_OK);
    assert_int_equal(write, WALSH_E_FILE);
    assert_int_equal(small, WALSH_E_FILE);
    assert_int_equal(commit, WALSH_E_FILE);
    assert_non_null(strstr(walsh_message(), "full: File too large"));
    temp_holds("full", "old!", 4);
    assert_int_equal(temp_leftovers(), 0);
}

static void replace_refuses(void **state)
{
    (void)state;
    temp_write("plain", "x", 1);
    assert_fails(WALSH_E_FILE, "Not a directory", replace("plain/file", "text"));
    assert_fails(WALSH_E_FILE, "missing/file: No such file", replace("missing/file", "text"));
    assert_int_equal(mkdir("folder", 0777), 0);
    assert_fails(WALSH_E_FILE, "write folder: expected a file or a new name, found a folder",
                 replace("folder", "text"));
    assert_int_equal(mkfifo("fifo", 0666), 0);
    assert_int_equal(symlink("fifo", "to-fifo"), 0);
    assert_fails(WALSH_E_FILE, "write fifo: expected a file or a new name, found a device", replace("fifo", "text"));
    assert_fails(WALSH_E_FILE, "found a device or pipe", replace("to-fifo", "text"));
    assert_int_equal(remove("fifo"), 0);
    assert_int_equal(temp_leftovers(), 0);
    /* A link in the temporary's place must not lead the text elsewhere. */
    temp_write("victim", "safe", 4);
    assert_int_equal(symlink("victim", "linked.tmp"), 0);
    assert_fails(WALSH_E_FILE, "linked", replace("linked", "text"));
    temp_holds("victim", "safe", 4);
    assert_int_equal(remove("linked.tmp"), 0);
}

static mode_t mode_of(const char *path)
{
    struct stat info;
    assert_int_equal(stat(path, &info), 0);
    assert_true(S_ISDIR(info.st_mode));
    return info.st_mode & 0777;
}

static void folders(void **state)
{
    (void)state;
    mode_t before = umask(022);
    assert_ok(walsh_folder_make("a/b//c/", false));
    assert_int_equal(mode_of("a"), 0755);
    assert_int_equal(mode_of("a/b/c"), 0755);
    assert_ok(walsh_folder_make("a/b/c", true));
    assert_int_equal(mode_of("a/b/c"), 0755);
    assert_ok(walsh_folder_make("p/q", true));
    assert_int_equal(mode_of("p"), 0700);
    assert_int_equal(mode_of("p/q"), 0700);
    umask(before);
    assert_ok(walsh_folder_make("/", false));
    temp_write("block", "x", 1);
    assert_fails(WALSH_E_FILE, "block: a file of that name", walsh_folder_make("block", false));
    assert_fails(WALSH_E_FILE, "block: a file of that name", walsh_folder_make("block/x", false));
    assert_fails(WALSH_E_FILE, "No such file", walsh_folder_make("", false));
    char longer[5000];
    memset(longer, 'x', sizeof longer - 1), longer[sizeof longer - 1] = 0;
    assert_fails(WALSH_E_FILE, "characters", walsh_folder_make(longer, false));
}

static void cache(void **state)
{
    char out[300], xdg[200], expected[300];
    snprintf(xdg, sizeof xdg, "%s/xdg", (const char *)*state);
    snprintf(expected, sizeof expected, "%s/walsh", xdg);
    setenv("WALSH_CACHE", "own/cache", 1);
    setenv("XDG_CACHE_HOME", xdg, 1);
    setenv("HOME", "home", 1);
    assert_ok(walsh_cache_folder(out, sizeof out));
    assert_string_equal(out, "own/cache");
    assert_int_equal(mode_of(out), 0700);
    setenv("WALSH_CACHE", "", 1);
    assert_ok(walsh_cache_folder(out, sizeof out));
    assert_string_equal(out, expected);
    setenv("XDG_CACHE_HOME", "relative", 1);
    assert_ok(walsh_cache_folder(out, sizeof out));
    assert_string_equal(out, "home/.cache/walsh");
    assert_int_equal(mode_of(out), 0700);
    assert_fails(WALSH_E_FILE, "less than 8", walsh_cache_folder(out, 8));
    unsetenv("HOME");
    assert_fails(WALSH_E_FILE, "WALSH_CACHE", walsh_cache_folder(out, sizeof out));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(read_whole), cmocka_unit_test(read_refuses),
        cmocka_unit_test(replaces),   cmocka_unit_test(old_file_until_commit),
        cmocka_unit_test(one_writer), cmocka_unit_test(race),
        cmocka_unit_test(full_disk),  cmocka_unit_test(replace_refuses),
        cmocka_unit_test(folders),    cmocka_unit_test(cache),
    };
    return cmocka_run_group_tests(tests, temp_enter, temp_leave);
}
