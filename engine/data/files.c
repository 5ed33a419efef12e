#include "engine/data/files.h"

#include "engine/base/status.h"

#include <archive.h>
#include <archive_entry.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* An open file or an entry of an archive: gives up to `size` bytes, 0 at the end, negative after a failure. */
typedef struct stream {
    struct archive *archive; /* NULL: `descriptor` is meant */
    int descriptor;
} stream;

static ssize_t stream_read(const stream *from, void *bytes, size_t size)
{
    if (from->archive) return (ssize_t)archive_read_data(from->archive, bytes, size);
    ssize_t got;
    do got = read(from->descriptor, bytes, size);
    while (got < 0 && errno == EINTR);
    return got;
}

/* Adds an entry without contents. */
static walsh_status append(walsh_files *files, const char *name, walsh_file **added)
{
    WALSH_TRY(walsh_grow(&files->file, files->count, sizeof *files->file, "file names"));
    char *copy = strdup(name);
    if (!copy) WALSH_FAIL(WALSH_E_MEMORY, "out of memory: the name of %s", name);
    *added = &files->file[files->count++];
    **added = (walsh_file){.name = copy};
    return WALSH_OK;
}

walsh_status walsh_files_borrow(walsh_files *files, const char *name, const uint8_t *bytes, size_t size)
{
    walsh_file *file = NULL;
    WALSH_TRY(append(files, name, &file));
    file->bytes = bytes;
    file->size = size;
    return WALSH_OK;
}

/* Reads a stream to its end. A header's word on the size is not taken: it may lie. *failed: the stream broke, and its
 * owner knows why. */
static walsh_status slurp(walsh_files *files, const char *name, const stream *from, bool *failed)
{
    walsh_file *file = NULL;
    WALSH_TRY(append(files, name, &file));
    size_t room = 0;
    ssize_t got = 0;
    do {
        file->size += (size_t)got;
        if (file->size == room) {
            room = room ? 2 * room : 1 << 20;
            void *grown = realloc(file->owned, room);
            if (!grown) WALSH_FAIL(WALSH_E_MEMORY, "out of memory: %zu bytes for %s", room, name);
            file->bytes = file->owned = grown;
        }
        got = stream_read(from, (uint8_t *)file->owned + file->size, room - file->size);
    } while (got > 0);
    *failed = got < 0;
    return WALSH_OK;
}

static walsh_status read_entry(walsh_files *files, const char *path, int folder, const char *name)
{
    int descriptor = openat(folder, name, O_RDONLY | O_CLOEXEC);
    if (descriptor < 0) WALSH_FAIL(WALSH_E_FILE, "%s/%s: cannot be opened: %s", path, name, strerror(errno));
    bool failed = false;
    walsh_status status = slurp(files, name, &(stream){.descriptor = descriptor}, &failed);
    if (failed) status = walsh_fail(WALSH_E_FILE, "%s/%s: cannot be read: %s", path, name, strerror(errno));
    close(descriptor);
    return status;
}

static walsh_status read_folder(walsh_files *files, const char *path, walsh_files_filter wanted, const void *context)
{
    DIR *folder = opendir(path);
    if (!folder) WALSH_FAIL(WALSH_E_FILE, "%s: the folder cannot be listed: %s", path, strerror(errno));
    walsh_status status = WALSH_OK;
    for (struct dirent *entry; !status && (entry = readdir(folder));)
        if (wanted(entry->d_name, context)) status = read_entry(files, path, dirfd(folder), entry->d_name);
    closedir(folder);
    return status;
}

static walsh_status broken_archive(const char *path, struct archive *archive)
{
    const char *reason = archive_error_string(archive);
    WALSH_FAIL(WALSH_E_FORMAT, "%s: expected a folder or a whole tar archive, found a truncated or corrupt file: %s",
               path, reason ? reason : "no reason given");
}

static walsh_status read_entries(walsh_files *files, const char *path, struct archive *archive,
                                 walsh_files_filter wanted, const void *context)
{
    struct archive_entry *entry;
    int code;
    while ((code = archive_read_next_header(archive, &entry)) == ARCHIVE_OK || code == ARCHIVE_WARN) {
        const char *whole = archive_entry_pathname(entry), *slash = whole ? strrchr(whole, '/') : NULL;
        const char *name = slash ? slash + 1 : whole;
        if (!name || archive_entry_filetype(entry) != AE_IFREG || !wanted(name, context)) continue;
        bool failed = false;
        WALSH_TRY(slurp(files, name, &(stream){.archive = archive}, &failed));
        if (failed) return broken_archive(path, archive);
    }
    return code == ARCHIVE_EOF ? WALSH_OK : broken_archive(path, archive);
}

static walsh_status read_archive(walsh_files *files, const char *path, walsh_files_filter wanted, const void *context)
{
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    if (descriptor < 0) WALSH_FAIL(WALSH_E_FILE, "%s: cannot be opened: %s", path, strerror(errno));
    struct archive *archive = archive_read_new();
    walsh_status status;
    if (!archive) {
        status = walsh_fail(WALSH_E_MEMORY, "out of memory: reading %s", path);
    } else {
        archive_read_support_filter_all(archive);
        archive_read_support_format_tar(archive);
        status = archive_read_open_fd(archive, descriptor, 1 << 18) == ARCHIVE_OK
                     ? read_entries(files, path, archive, wanted, context)
                     : broken_archive(path, archive);
        archive_read_free(archive);
    }
    close(descriptor);
    return status;
}

walsh_status walsh_files_read(walsh_files *files, const char *path, walsh_files_filter wanted, const void *context)
{
    struct stat about;
    if (stat(path, &about)) WALSH_FAIL(WALSH_E_FILE, "%s: expected a folder or an archive: %s", path, strerror(errno));
    return S_ISDIR(about.st_mode) ? read_folder(files, path, wanted, context)
                                  : read_archive(files, path, wanted, context);
}

void walsh_files_free(walsh_files *files)
{
    for (size_t i = 0; i < files->count; i++) {
        free(files->file[i].name);
        free(files->file[i].owned);
    }
    free(files->file);
    *files = (walsh_files){0};
}
