/* Named files in memory, read from a folder or from an archive in one and the same way. */
#ifndef WALSH_ENGINE_DATA_FILES_H
#define WALSH_ENGINE_DATA_FILES_H

#include <walsh/status.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct walsh_file {
    char *name; /* without its folder */
    const uint8_t *bytes;
    size_t size;
    void *owned; /* what to free; NULL where the bytes belong to someone else */
} walsh_file;

typedef struct walsh_files {
    walsh_file *file; /* [count], in no particular order */
    size_t count;
} walsh_files;

/* Whether a file of this name is to be read. */
typedef bool (*walsh_files_filter)(const char *name, const void *context);

/* Adds every wanted file of `path`: a folder (not those below it), or a tar archive under any compression that
 * libarchive knows, whatever folders it has inside. An archive is read to its end, so that a truncated one is noticed.
 * WALSH_E_FILE: `path` or a file in it cannot be read; WALSH_E_FORMAT: no archive, or a broken one. What had been added
 * by then stays in the list. */
walsh_status walsh_files_read(walsh_files *files, const char *path, walsh_files_filter wanted, const void *context);

/* Adds a file whose bytes outlive the list. */
walsh_status walsh_files_borrow(walsh_files *files, const char *name, const uint8_t *bytes, size_t size);

/* Frees the list's memory and empties it. */
void walsh_files_free(walsh_files *files);

#endif
