/* WebDataset: tar files ("shards") of samples, whose members follow each other and share a key, the name up to the
 * first dot: KEY.jpg, .jpeg or .png, and KEY.cls with the number of its class; members of other kinds are passed over.
 * The shards are gone through once, from header to header; images are read from where they lie. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include <archive.h>
#include <archive_entry.h>

#include "engine/base/file.h"
#include "engine/base/status.h"
#include "engine/data/pictures.h"

enum { MOST_CLASSES = 1 << 24, BLOCK = 10240 };

/* A sample whose members are being passed. */
typedef struct sample {
    char key[1024], image[1024]; /* their common name, and the image's; "": none yet */
    walsh_entry entry;
    bool labelled;
} sample;

typedef struct shard {
    const char *path;
    int64_t size;
    struct archive *archive;
    walsh_catalogue *images;
    sample sample;
    int classes; /* the largest label so far, and one */
} shard;

static walsh_status end_sample(shard *s)
{
    sample *it = &s->sample;
    const char *missing = !*it->image ? "an image, .jpg, .jpeg or .png" : !it->labelled ? "a class, .cls" : NULL;
    if (!*it->image && !it->labelled) return WALSH_OK;
    if (missing) WALSH_FAIL(WALSH_E_FORMAT, "%s: %s: expected %s, found none", s->path, it->key, missing);
    if (it->entry.label >= s->classes) s->classes = it->entry.label + 1;
    return walsh_catalogue_add(s->images, it->image, it->entry);
}

static walsh_status take_image(shard *s, const char *name, struct archive_entry *entry)
{
    const int64_t size = archive_entry_size(entry), offset = archive_filter_bytes(s->archive, 0);
    if (size < 1 || size > UINT32_MAX)
        WALSH_FAIL(WALSH_E_FORMAT, "%s: %s: an image of %lld bytes", s->path, name, (long long)size);
    if (offset + size > s->size)
        WALSH_FAIL(WALSH_E_FORMAT, "%s: expected a whole tar file, found it truncated within %s", s->path, name);
    snprintf(s->sample.image, sizeof s->sample.image, "%s", name);
    s->sample.entry.offset = (uint64_t)offset;
    s->sample.entry.size = (uint32_t)size;
    return WALSH_OK;
}

static walsh_status take_label(shard *s, const char *name)
{
    char text[16] = "", *end = text;
    ssize_t got = archive_read_data(s->archive, text, sizeof text - 1);
    long label = got > 0 ? strtol(text, &end, 10) : -1;
    if (end == text || (*end && !strchr(" \r\n", *end)) || label < 0 || label >= MOST_CLASSES)
        WALSH_FAIL(WALSH_E_FORMAT, "%s: %s: expected the number of a class, from 0 on", s->path, name);
    s->sample.entry.label = (int32_t)label;
    s->sample.labelled = true;
    return WALSH_OK;
}

static walsh_status take_member(shard *s, struct archive_entry *entry)
{
    const char *name = archive_entry_pathname(entry), *slash = name ? strrchr(name, '/') : NULL;
    const char *dot = name ? strchr(slash ? slash : name, '.') : NULL;
    if (!dot || archive_entry_filetype(entry) != AE_IFREG) return WALSH_OK;
    const size_t key = (size_t)(dot - name);
    if (strlen(name) >= sizeof s->sample.key) WALSH_FAIL(WALSH_E_FORMAT, "%s: a name in it is too long", s->path);
    if (strncmp(s->sample.key, name, key) || s->sample.key[key]) {
        WALSH_TRY(end_sample(s));
        s->sample = (sample){0};
        memcpy(s->sample.key, name, key);
    }
    if (!strcasecmp(dot, ".cls")) return take_label(s, name);
    if (!strcasecmp(dot, ".jpg") || !strcasecmp(dot, ".jpeg") || !strcasecmp(dot, ".png"))
        return take_image(s, name, entry);
    return WALSH_OK;
}

static walsh_status broken(const shard *s)
{
    const char *reason = archive_error_string(s->archive);
    WALSH_FAIL(WALSH_E_FORMAT, "%s: expected a whole tar file without compression: %s", s->path,
               reason ? reason : "no reason given");
}

static walsh_status take_members(shard *s)
{
    struct archive_entry *entry;
    int code;
    while ((code = archive_read_next_header(s->archive, &entry)) == ARCHIVE_OK || code == ARCHIVE_WARN)
        WALSH_TRY(take_member(s, entry));
    return code == ARCHIVE_EOF ? end_sample(s) : broken(s);
}

static walsh_status index_shard(walsh_catalogue *images, const char *path, int *classes)
{
    struct stat about;
    shard s = {.path = path, .images = images, .classes = *classes};
    if (stat(path, &about)) WALSH_FAIL(WALSH_E_FILE, "%s: cannot be read: %s", path, strerror(errno));
    s.size = about.st_size;
    WALSH_TRY(walsh_catalogue_parent(images, path));
    s.archive = archive_read_new();
    if (!s.archive) WALSH_FAIL(WALSH_E_MEMORY, "out of memory: reading %s", path);
    archive_read_support_format_tar(s.archive);
    walsh_status status =
        archive_read_open_filename(s.archive, path, BLOCK) == ARCHIVE_OK ? take_members(&s) : broken(&s);
    archive_read_free(s.archive);
    *classes = s.classes;
    return status;
}

static bool is_tar(int folder, const struct dirent *item)
{
    const char *dot = strrchr(item->d_name, '.');
    return dot && !strcmp(dot, ".tar") && walsh_is_file(folder, item);
}

/* The shards of a split: all of PATH/train or PATH/val; without these folders, those of PATH whose names have that word
 * in them. */
static walsh_status list_shards(const char *path, const char *split, char folder[PATH_MAX], walsh_catalogue *shards)
{
    if (snprintf(folder, PATH_MAX, "%s/%s", path, split) >= PATH_MAX)
        WALSH_FAIL(WALSH_E_FILE, "%s: the path is too long", path);
    const bool together = access(folder, F_OK);
    if (together) snprintf(folder, PATH_MAX, "%s", path);
    WALSH_TRY(walsh_catalogue_list(shards, folder, is_tar, (walsh_entry){0}));
    size_t kept = 0;
    for (size_t i = 0; i < shards->count; i++)
        if (!together || strstr(walsh_catalogue_at(shards, i), split)) shards->entry[kept++] = shards->entry[i];
    shards->count = kept;
    if (!kept) WALSH_FAIL(WALSH_E_FILE, "%s: expected tar files, %s/*.tar or *%s*.tar, found none", path, split, split);
    return WALSH_OK;
}

static walsh_status index_shards(const char *folder, const walsh_catalogue *shards, walsh_catalogue *images,
                                 int *classes)
{
    for (size_t i = 0; i < shards->count; i++) {
        char path[PATH_MAX];
        if (snprintf(path, sizeof path, "%s/%s", folder, walsh_catalogue_at(shards, i)) >= PATH_MAX)
            WALSH_FAIL(WALSH_E_FILE, "%s: the path is too long", folder);
        WALSH_TRY(index_shard(images, path, classes));
    }
    if (!images->count) WALSH_FAIL(WALSH_E_FORMAT, "%s: expected images in the tar files, found none", folder);
    return WALSH_OK;
}

/* A line for each class in PATH/classes.txt; else their numbers. */
static walsh_status name_classes(const char *path, int classes, walsh_catalogue *names)
{
    char file[PATH_MAX], *text = NULL, *rest = NULL;
    size_t size;
    walsh_status status = WALSH_OK;
    snprintf(file, sizeof file, "%s/classes.txt", path);
    if (!access(file, F_OK)) {
        WALSH_TRY(walsh_file_read(file, &text, &size));
        for (char *line = strtok_r(text, "\r\n", &rest); line && !status; line = strtok_r(NULL, "\r\n", &rest))
            status = walsh_catalogue_add(names, line, (walsh_entry){0});
        free(text);
        if (!status && names->count < (size_t)classes)
            status =
                walsh_fail(WALSH_E_FORMAT, "%s: expected a line for each class, found %zu; the images have class %d",
                           file, names->count, classes - 1);
        return status;
    }
    for (int c = 0; c < classes && !status; c++) {
        char number[16];
        snprintf(number, sizeof number, "%d", c);
        status = walsh_catalogue_add(names, number, (walsh_entry){0});
    }
    return status;
}

walsh_status walsh_webdataset_open(const char *path, walsh_split split, const walsh_dataset_options *options,
                                   walsh_dataset *set)
{
    char folder[PATH_MAX];
    walsh_catalogue shards = {0};
    int classes = 0;
    WALSH_TRY(walsh_pictures_begin(set, "webdataset", options));
    walsh_pictures *pictures = walsh_pictures_of(set);
    walsh_status status = list_shards(path, split == WALSH_SPLIT_TRAIN ? "train" : "val", folder, &shards);
    if (!status) status = index_shards(folder, &shards, &pictures->images, &classes);
    walsh_catalogue_free(&shards);
    WALSH_TRY(status);
    WALSH_TRY(name_classes(path, classes, &pictures->classes));
    return walsh_pictures_end(set);
}
