#include "engine/base/file.h"

#include "engine/base/status.h"
#include "engine/base/utf8.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* read() and write() take at most this much at once on Linux; asking for more is not an error, but elsewhere it is. */
enum { CHUNK = 1 << 30 };

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

static const char *kind_of(mode_t mode)
{
    return S_ISDIR(mode) ? "folder" : "device or pipe";
}

/* Reads `size` bytes, as many as the file had when it was opened. */
static walsh_status read_all(int descriptor, const char *path, char *bytes, size_t size)
{
    for (size_t done = 0; done < size;) {
        ssize_t got = read(descriptor, bytes + done, smaller(size - done, CHUNK));
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) WALSH_FAIL(WALSH_E_FILE, "cannot read %s: %s", path, strerror(errno));
        if (got == 0)
            WALSH_FAIL(WALSH_E_FILE, "cannot read %s: expected %zu bytes, it ended after %zu", path, size, done);
        done += (size_t)got;
    }
    return WALSH_OK;
}

static walsh_status read_open(int descriptor, const char *path, char **bytes, size_t *size)
{
    struct stat info;
    if (fstat(descriptor, &info)) WALSH_FAIL(WALSH_E_FILE, "cannot read %s: %s", path, strerror(errno));
    if (!S_ISREG(info.st_mode))
        WALSH_FAIL(WALSH_E_FILE, "cannot read %s: expected a file, found a %s", path, kind_of(info.st_mode));
    char *memory;
    WALSH_TRY(walsh_alloc(&memory, (size_t)info.st_size + 1, 1, path));
    walsh_status status = read_all(descriptor, path, memory, (size_t)info.st_size);
    if (status) {
        free(memory);
        return status;
    }
    *bytes = memory;
    *size = (size_t)info.st_size;
    return WALSH_OK;
}

walsh_status walsh_file_read(const char *path, char **bytes, size_t *size)
{
    *bytes = NULL;
    *size = 0;
    /* Without O_NONBLOCK, opening a pipe would wait for its writer before we can refuse it. */
    int descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (descriptor < 0) WALSH_FAIL(WALSH_E_FILE, "cannot open %s: %s", path, strerror(errno));
    walsh_status status = read_open(descriptor, path, bytes, size);
    close(descriptor);
    return status;
}

struct walsh_file_writer {
    int descriptor;   /* of the temporary, locked */
    int error;        /* errno of the first write that failed, or 0 */
    bool pending;     /* the temporary exists under its own name */
    const char *path; /* both in names[] */
    const char *temporary;
    char names[];
};

static walsh_status write_failed(const walsh_file_writer *w, const char *doing, int error)
{
    const char *reason = error == EWOULDBLOCK ? "another process is writing it" : strerror(error);
    WALSH_FAIL(WALSH_E_FILE, "cannot write %s: %s (while %s %s)", w->path, reason, doing, w->temporary);
}

/* Opens the temporary under a lock, so that two processes never write into one file, while what a crash left is simply
 * used again. Returns -1 and sets errno on failure; EWOULDBLOCK means that someone holds the lock. */
static int open_locked(const char *temporary)
{
    for (;;) {
        int descriptor = open(temporary, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
        if (descriptor < 0) return -1;
        /* A file system without locks is no reason to fail; being second is. */
        if (flock(descriptor, LOCK_EX | LOCK_NB) && errno == EWOULDBLOCK) {
            close(descriptor);
            errno = EWOULDBLOCK;
            return -1;
        }
        /* Between open and lock the file may have been committed or removed: then it is not ours to write. */
        struct stat mine, there;
        if (!fstat(descriptor, &mine) && !lstat(temporary, &there) && mine.st_ino == there.st_ino &&
            mine.st_dev == there.st_dev)
            return descriptor;
        close(descriptor);
    }
}

walsh_status walsh_file_begin(const char *path, walsh_file_writer **writer)
{
    struct stat there;
    *writer = NULL;
    if (!stat(path, &there) && !S_ISREG(there.st_mode))
        WALSH_FAIL(WALSH_E_FILE, "cannot write %s: expected a file or a new name, found a %s", path,
                   kind_of(there.st_mode));
    size_t length = strlen(path) + 1;
    walsh_file_writer *w;
    WALSH_TRY(walsh_alloc(&w, 1, sizeof *w + 2 * length + strlen(".tmp"), path));
    w->path = memcpy(w->names, path, length);
    w->temporary = w->names + length;
    snprintf(w->names + length, length + strlen(".tmp"), "%s.tmp", path);
    w->descriptor = open_locked(w->temporary);
    walsh_status status = WALSH_OK;
    if (w->descriptor < 0) {
        status = write_failed(w, "creating", errno);
    } else {
        w->pending = true;
        if (ftruncate(w->descriptor, 0)) status = write_failed(w, "emptying", errno);
    }
    if (status)
        walsh_file_abandon(&w);
    else
        *writer = w;
    return status;
}

walsh_status walsh_file_write(walsh_file_writer *writer, const void *data, size_t size)
{
    const char *bytes = data;
    for (size_t done = 0; done < size && !writer->error;) {
        ssize_t wrote = write(writer->descriptor, bytes + done, smaller(size - done, CHUNK));
        if (wrote < 0 && errno == EINTR) continue;
        if (wrote <= 0)
            writer->error = wrote < 0 ? errno : ENOSPC;
        else
            done += (size_t)wrote;
    }
    return writer->error ? write_failed(writer, "writing", writer->error) : WALSH_OK;
}

/* A rename is on the disk only when its folder is. Where a folder cannot be opened or synchronised at all, there is
 * nothing to wait for. */
static walsh_status sync_folder(const char *path)
{
    const char *slash = strrchr(path, '/');
    char folder[PATH_MAX] = ".";
    if (slash) snprintf(folder, sizeof folder, "%.*s", (int)(slash > path ? slash - path : 1), path);
    int descriptor = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (descriptor < 0) return WALSH_OK;
    int error = fsync(descriptor) ? errno : 0;
    close(descriptor);
    if (error && error != EINVAL && error != EROFS)
        WALSH_FAIL(WALSH_E_FILE, "wrote %s, but cannot synchronise its folder %s: %s", path, folder, strerror(error));
    return WALSH_OK;
}

walsh_status walsh_file_commit(walsh_file_writer **writer)
{
    walsh_file_writer *w = *writer;
    walsh_status status = WALSH_OK;
    if (w->error) {
        status = write_failed(w, "writing", w->error);
    } else if (fsync(w->descriptor)) {
        status = write_failed(w, "synchronising", errno);
    } else if (rename(w->temporary, w->path)) {
        status = write_failed(w, "renaming", errno);
    } else {
        w->pending = false;
        status = sync_folder(w->path);
    }
    walsh_file_abandon(writer);
    return status;
}

void walsh_file_abandon(walsh_file_writer **writer)
{
    walsh_file_writer *w = *writer;
    if (!w) return;
    if (w->pending) unlink(w->temporary);
    if (w->descriptor >= 0) close(w->descriptor); /* and so unlocks: last, when the name is free */
    free(w);
    *writer = NULL;
}

walsh_status walsh_file_replace(const char *path, const walsh_file_part *parts, size_t count)
{
    walsh_file_writer *writer;
    WALSH_TRY(walsh_file_begin(path, &writer));
    walsh_status status = WALSH_OK;
    for (size_t i = 0; i < count && !status; i++) status = walsh_file_write(writer, parts[i].data, parts[i].size);
    if (!status) return walsh_file_commit(&writer);
    walsh_file_abandon(&writer);
    return status;
}

/* One folder whose parent exists. Whether it is there already is asked after the attempt: mkdir() on a read-only file
 * system does not say EEXIST. */
static walsh_status make_one(const char *path, mode_t mode)
{
    if (!mkdir(path, mode)) return WALSH_OK;
    int error = errno;
    struct stat info;
    if (!stat(path, &info)) {
        if (S_ISDIR(info.st_mode)) return WALSH_OK;
        WALSH_FAIL(WALSH_E_FILE, "cannot create the folder %s: a file of that name exists", path);
    }
    WALSH_FAIL(WALSH_E_FILE, "cannot create the folder %s: %s", path, strerror(error));
}

walsh_status walsh_folder_make(const char *path, bool private_to_user)
{
    mode_t mode = private_to_user ? 0700 : 0777;
    char part[PATH_MAX];
    if (strlen(path) >= sizeof part)
        WALSH_FAIL(WALSH_E_FILE, "cannot create the folder %s: expected less than %zu characters, found %zu",
                   walsh_show(path).text, sizeof part, strlen(path));
    for (const char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/')) {
        if (slash == path) continue; /* the root */
        snprintf(part, sizeof part, "%.*s", (int)(slash - path), path);
        WALSH_TRY(make_one(part, mode));
    }
    return make_one(path, mode);
}

walsh_status walsh_cache_folder(char *out, size_t size)
{
    const char *own = getenv("WALSH_CACHE"), *xdg = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    int length;
    if (own && *own)
        length = snprintf(out, size, "%s", own);
    else if (xdg && *xdg == '/')
        length = snprintf(out, size, "%s/walsh", xdg);
    else if (home && *home)
        length = snprintf(out, size, "%s/.cache/walsh", home);
    else
        WALSH_FAIL(WALSH_E_FILE, "no cache folder: expected WALSH_CACHE, XDG_CACHE_HOME or HOME in the environment");
    if (length < 0 || (size_t)length >= size)
        WALSH_FAIL(WALSH_E_FILE, "the cache folder's path takes %d characters, expected less than %zu", length, size);
    return walsh_folder_make(out, true);
}
