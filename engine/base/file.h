/* Files and folders: whole reads, atomic replacement, the cache folder. Failures are WALSH_E_FILE and name the path,
 * what failed and the system's reason. */
#ifndef WALSH_ENGINE_BASE_FILE_H
#define WALSH_ENGINE_BASE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <walsh/status.h>

/* Reads a whole regular file. *bytes is the caller's to free() and has a NUL behind its *size bytes. On failure *bytes
 * is NULL and *size 0. */
walsh_status walsh_file_read(const char *path, char **bytes, size_t *size);

/* A file being written beside the one it shall replace, as PATH.tmp. Whoever looks at PATH sees the old file until
 * walsh_file_commit(), and the whole new one after it, even if the machine stops in between. A PATH.tmp left by a crash
 * is taken over; one that a live process is writing makes walsh_file_begin() fail. A symbolic link at PATH is replaced,
 * not followed. A folder, a device or a pipe, or a link to one, is refused: putting a file in its place would take it
 * away from everybody else. */
typedef struct walsh_file_writer walsh_file_writer;

/* Creates PATH.tmp, empty. On failure *writer is NULL. */
walsh_status walsh_file_begin(const char *path, walsh_file_writer **writer);

/* Appends `size` bytes. After a failure only walsh_file_abandon() is of use: the file cannot be committed any more. */
walsh_status walsh_file_write(walsh_file_writer *writer, const void *data, size_t size);

/* Brings the file to the disk, puts it in place and frees the writer, setting the pointer to NULL. A failure leaves the
 * old file as it was, without PATH.tmp; only when the folder itself cannot be synchronised, the new file is in place.
 */
walsh_status walsh_file_commit(walsh_file_writer **writer);

/* Removes PATH.tmp, frees the writer and sets the pointer to NULL; NULL is accepted. */
void walsh_file_abandon(walsh_file_writer **writer);

typedef struct walsh_file_part {
    const void *data;
    size_t size; /* bytes */
} walsh_file_part;

/* Replaces the file by the parts one after the other: begin, write, commit. On failure the old file is as it was. */
walsh_status walsh_file_replace(const char *path, const walsh_file_part *parts, size_t count);

/* Creates a folder and the parents that it lacks, with the mode that the umask leaves of 0777, or 0700 where
 * `private_to_user`. A folder that exists already is left as it is. */
walsh_status walsh_folder_make(const char *path, bool private_to_user);

/* Writes the path of the cache folder into out[size] and makes sure that it exists, private to the user: $WALSH_CACHE,
 * else $XDG_CACHE_HOME/walsh, else $HOME/.cache/walsh. Unset and empty are the same; a relative XDG_CACHE_HOME is
 * ignored, as its specification asks. */
walsh_status walsh_cache_folder(char *out, size_t size);

#endif
