#include "engine/data/catalogue.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/base/status.h"

enum { FIRST_TEXT = 4096, MOST_BYTES = 1 << 30 };

walsh_status walsh_catalogue_text(walsh_catalogue *catalogue, const char *string, uint32_t *at)
{
    const size_t size = strlen(string) + 1, needed = catalogue->text_size + size;
    if (needed > UINT32_MAX) WALSH_FAIL(WALSH_E_MEMORY, "the names of the images take more than 4 GiB");
    if (needed > catalogue->text_room) {
        size_t room = catalogue->text_room ? catalogue->text_room : FIRST_TEXT;
        while (room < needed) room += room / 2;
        char *grown = realloc(catalogue->text, room);
        if (!grown) WALSH_FAIL(WALSH_E_MEMORY, "out of memory: %zu bytes for names of images", room);
        catalogue->text = grown;
        catalogue->text_room = room;
    }
    memcpy(catalogue->text + catalogue->text_size, string, size);
    *at = (uint32_t)catalogue->text_size;
    catalogue->text_size = needed;
    return WALSH_OK;
}

walsh_status walsh_catalogue_parent(walsh_catalogue *catalogue, const char *path)
{
    WALSH_TRY(walsh_grow(&catalogue->parent, catalogue->parents, sizeof *catalogue->parent, "folders of images"));
    WALSH_TRY(walsh_catalogue_text(catalogue, path, &catalogue->parent[catalogue->parents]));
    catalogue->parents++;
    return WALSH_OK;
}

walsh_status walsh_catalogue_add(walsh_catalogue *catalogue, const char *name, walsh_entry entry)
{
    WALSH_TRY(walsh_grow(&catalogue->entry, catalogue->count, sizeof *catalogue->entry, "images"));
    WALSH_TRY(walsh_catalogue_text(catalogue, name, &entry.name));
    entry.parent = (uint32_t)catalogue->parents - 1;
    catalogue->entry[catalogue->count++] = entry;
    return WALSH_OK;
}

static int by_name(const void *left, const void *right, void *text)
{
    return strcmp((char *)text + ((const walsh_entry *)left)->name, (char *)text + ((const walsh_entry *)right)->name);
}

/* What cannot be looked at, such as a link to nowhere, counts: opening it says why, where leaving it out would not. */
static bool is_of_kind(int folder, const struct dirent *item, mode_t kind, unsigned char type)
{
    struct stat about;
    if (item->d_name[0] == '.') return false;
    if (item->d_type != DT_LNK && item->d_type != DT_UNKNOWN) return item->d_type == type;
    return fstatat(folder, item->d_name, &about, 0) || (about.st_mode & S_IFMT) == kind;
}

bool walsh_is_folder(int folder, const struct dirent *item)
{
    return is_of_kind(folder, item, S_IFDIR, DT_DIR);
}

bool walsh_is_file(int folder, const struct dirent *item)
{
    return is_of_kind(folder, item, S_IFREG, DT_REG);
}

walsh_status walsh_catalogue_list(walsh_catalogue *catalogue, const char *path, walsh_folder_filter wanted,
                                  walsh_entry entry)
{
    const size_t first = catalogue->count;
    walsh_status status = WALSH_OK;
    DIR *folder = opendir(path);
    if (!folder) WALSH_FAIL(WALSH_E_FILE, "%s: the folder cannot be listed: %s", path, strerror(errno));
    errno = 0;
    for (struct dirent *item; !status && (item = readdir(folder)); errno = 0)
        if (wanted(dirfd(folder), item)) status = walsh_catalogue_add(catalogue, item->d_name, entry);
    if (!status && errno) status = walsh_fail(WALSH_E_FILE, "%s: cannot be listed: %s", path, strerror(errno));
    closedir(folder);
    if (catalogue->count > first)
        qsort_r(catalogue->entry + first, catalogue->count - first, sizeof *catalogue->entry, by_name, catalogue->text);
    return status;
}

const char *walsh_catalogue_at(const walsh_catalogue *catalogue, size_t index)
{
    return catalogue->text + catalogue->entry[index].name;
}

static walsh_status make_room(walsh_bytes *into, size_t size)
{
    if (size <= into->room) return WALSH_OK;
    free(into->bytes);
    into->room = 0;
    WALSH_TRY(walsh_alloc(&into->bytes, size, 1, "an encoded image"));
    into->room = size;
    return WALSH_OK;
}

/* Reads `size` bytes, or fewer where the file has become shorter. */
static walsh_status read_part(int file, const char *path, uint64_t offset, size_t size, walsh_bytes *into)
{
    WALSH_TRY(make_room(into, size));
    into->size = 0;
    while (into->size < size) {
        ssize_t got = pread(file, into->bytes + into->size, size - into->size, (off_t)(offset + into->size));
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) WALSH_FAIL(WALSH_E_FILE, "%s: cannot be read: %s", path, strerror(errno));
        if (!got) break;
        into->size += (size_t)got;
    }
    return WALSH_OK;
}

static walsh_status read_whole(int file, const char *path, walsh_bytes *into)
{
    struct stat about;
    if (fstat(file, &about)) WALSH_FAIL(WALSH_E_FILE, "%s: cannot be read: %s", path, strerror(errno));
    if (!S_ISREG(about.st_mode)) WALSH_FAIL(WALSH_E_FORMAT, "%s: expected an image, found no regular file", path);
    if (about.st_size > MOST_BYTES)
        WALSH_FAIL(WALSH_E_FORMAT, "%s: expected an image of at most %d bytes, found %lld", path, MOST_BYTES,
                   (long long)about.st_size);
    return read_part(file, path, 0, (size_t)about.st_size, into);
}

walsh_status walsh_catalogue_read(const walsh_catalogue *catalogue, size_t index, walsh_bytes *into)
{
    const walsh_entry *entry = &catalogue->entry[index];
    const char *parent = catalogue->text + catalogue->parent[entry->parent];
    char path[PATH_MAX];
    walsh_catalogue_name(catalogue, index, path, sizeof path);
    int file = open(entry->size ? parent : path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (file < 0) WALSH_FAIL(WALSH_E_FILE, "%s: cannot be opened: %s", path, strerror(errno));
    walsh_status status =
        entry->size ? read_part(file, path, entry->offset, entry->size, into) : read_whole(file, path, into);
    close(file);
    return status;
}

void walsh_catalogue_name(const walsh_catalogue *catalogue, size_t index, char *out, size_t size)
{
    const walsh_entry *entry = &catalogue->entry[index];
    const char *parent = catalogue->text + catalogue->parent[entry->parent];
    snprintf(out, size, "%s%s%s", parent, entry->size ? ": " : *parent ? "/" : "", catalogue->text + entry->name);
}

void walsh_catalogue_free(walsh_catalogue *catalogue)
{
    free(catalogue->text);
    free(catalogue->entry);
    free(catalogue->parent);
    *catalogue = (walsh_catalogue){0};
}
