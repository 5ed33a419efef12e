/* A test's own folder: the working directory for as long as it runs. */
#ifndef WALSH_TESTS_TEMP_H
#define WALSH_TESTS_TEMP_H

#include "tests/check.h"

#include <dirent.h>
#include <ftw.h>
#include <sys/stat.h>
#include <unistd.h>

/* cmocka set-up: makes a new folder and goes there; *state is its name. */
static inline int temp_enter(void **state)
{
    const char *parent = getenv("TMPDIR");
    char *folder = NULL;
    if (asprintf(&folder, "%s/walsh-check-XXXXXX", parent && *parent ? parent : "/tmp") < 0) return -1;
    *state = folder;
    return mkdtemp(folder) ? chdir(folder) : -1;
}

static inline int temp_remove_one(const char *path, const struct stat *about, int kind, struct FTW *where)
{
    (void)about, (void)kind, (void)where;
    return remove(path);
}

/* cmocka tear-down: removes it. */
static inline int temp_leave(void **state)
{
    int failed = chdir("/") || nftw(*state, temp_remove_one, 8, FTW_DEPTH | FTW_PHYS);
    free(*state);
    return failed;
}

/* Writes a file whole. */
static inline void temp_write(const char *path, const void *bytes, size_t size)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

/* The file holds exactly these bytes. */
static inline void temp_holds(const char *path, const void *bytes, size_t size)
{
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    char *found = malloc(size + 1);
    assert_non_null(found);
    assert_int_equal(fread(found, 1, size + 1, file), size);
    assert_memory_equal(found, bytes, size);
    free(found);
    fclose(file);
}

/* How many names in the working directory end in ".tmp". */
static inline int temp_leftovers(void)
{
    DIR *folder = opendir(".");
    assert_non_null(folder);
    int count = 0;
    for (struct dirent *item; (item = readdir(folder));) {
        size_t length = strlen(item->d_name);
        count += length > 4 && !strcmp(item->d_name + length - 4, ".tmp");
    }
    closedir(folder);
    return count;
}

#endif
