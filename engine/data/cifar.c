#include "engine/data/cifar.h"

#include "engine/base/status.h"
#include "engine/data/augment.h"
#include "engine/data/cifar_versions.h"
#include "engine/data/files.h"
#include "engine/data/sample.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { SIDE = 32, PLANE = SIDE * SIDE, PIXELS = 3 * PLANE, PAD = 4 };

typedef struct cifar {
    walsh_files files;        /* the images' files in order, and the class names' */
    const uint8_t **pixels;   /* [images], each 3 planes, into `files` */
    char *names;              /* the class names' text, cut into strings */
    const char **class_names; /* [classes], into `names` or the version's own */
} cifar;

/* The files to read for one split. */
typedef struct wanted {
    const walsh_cifar_version *version;
    const char *pattern; /* of the image files */
} wanted;

/* The number in `name` at the '#' of `pattern`, 1 if the pattern has none, 0 if the name does not fit. */
static long number_in(const char *pattern, const char *name)
{
    size_t stem = strcspn(pattern, "#");
    if (!pattern[stem]) return !strcmp(pattern, name);
    if (strncmp(pattern, name, stem) || name[stem] < '1' || name[stem] > '9') return 0;
    char *rest;
    long number = strtol(name + stem, &rest, 10);
    return !strcmp(rest, pattern + stem + 1) ? number : 0;
}

static bool is_wanted(const char *name, const void *context)
{
    const wanted *which = context;
    return number_in(which->pattern, name) > 0 || !strcmp(name, which->version->meta);
}

/* In numeric order, what is no image file last. */
static int by_number(const void *left, const void *right, void *pattern)
{
    long a = number_in(pattern, ((const walsh_file *)left)->name),
         b = number_in(pattern, ((const walsh_file *)right)->name);
    if (!a) a = LONG_MAX;
    if (!b) b = LONG_MAX;
    return (a > b) - (a < b);
}

/* Sorts the files and counts those with images; the same one twice is an error. */
static walsh_status sort_files(walsh_files *files, const wanted *which, const char *path, size_t *images)
{
    if (files->count) qsort_r(files->file, files->count, sizeof *files->file, by_number, (void *)which->pattern);
    *images = 0;
    for (size_t i = 0; i < files->count; i++) {
        if (i && !strcmp(files->file[i - 1].name, files->file[i].name))
            WALSH_FAIL(WALSH_E_FORMAT, "%s: expected one %s, found two", path, files->file[i].name);
        *images += number_in(which->pattern, files->file[i].name) > 0;
    }
    return WALSH_OK;
}

/* Reads `path`; where that is a folder without image files, the official folder or archive in it. */
static walsh_status find_files(walsh_files *files, const wanted *which, const char *path, size_t *count)
{
    const char *below[] = {"", which->version->folder, which->version->archive};
    for (size_t i = 0; i < sizeof below / sizeof *below; i++) {
        char inside[PATH_MAX];
        struct stat about;
        int length = snprintf(inside, sizeof inside, "%s%s%s", path, i ? "/" : "", below[i]);
        if (i && (length >= PATH_MAX || stat(inside, &about))) continue;
        walsh_files_free(files);
        WALSH_TRY(walsh_files_read(files, inside, is_wanted, which));
        WALSH_TRY(sort_files(files, which, inside, count));
        if (*count) return WALSH_OK;
    }
    WALSH_FAIL(WALSH_E_FILE, "%s: expected %s%s, here or in %s, found none", path, which->pattern,
               strchr(which->pattern, '#') ? " (# from 1 on)" : "", which->version->folder);
}

/* Checks one file of records and appends its labels and images at *next; with set->labels NULL, only counts. */
static walsh_status parse_records(walsh_dataset *set, const walsh_cifar_version *version, const walsh_file *file,
                                  const char *path, size_t *next)
{
    cifar *state = set->state;
    size_t record = (size_t)version->label_bytes + PIXELS, count = file->size / record;
    if (!count || file->size % record)
        WALSH_FAIL(WALSH_E_FORMAT, "%s: %s is truncated: expected a multiple of %zu bytes a record, found %zu bytes",
                   path, file->name, record, file->size);
    for (size_t i = 0; set->labels && i < count; i++) {
        const uint8_t *pixels = file->bytes + i * record + version->label_bytes;
        int label = pixels[-1];
        if (label >= version->classes)
            WALSH_FAIL(WALSH_E_FORMAT, "%s: %s, record %zu (from 0): expected a label in 0..%d, found %d", path,
                       file->name, i, version->classes - 1, label);
        set->labels[*next + i] = label;
        state->pixels[*next + i] = pixels;
    }
    *next += count;
    return WALSH_OK;
}

/* Cuts the text of class names, one a line, into strings. */
static walsh_status parse_names(cifar *state, const walsh_cifar_version *version, const walsh_file *meta,
                                const char *path)
{
    WALSH_TRY(walsh_alloc(&state->names, meta->size + 1, 1, "class names"));
    if (meta->size) memcpy(state->names, meta->bytes, meta->size);
    int count = 0;
    char *rest = NULL;
    for (char *line = strtok_r(state->names, "\r\n", &rest); line; line = strtok_r(NULL, "\r\n", &rest)) {
        if (count < version->classes) state->class_names[count] = line;
        count++;
    }
    if (count != version->classes)
        WALSH_FAIL(WALSH_E_FORMAT, "%s: %s: expected %d class names, one a line, found %d", path, version->meta,
                   version->classes, count);
    return WALSH_OK;
}

static walsh_status parse(walsh_dataset *set, const walsh_cifar_version *version, const char *path, size_t count)
{
    cifar *state = set->state;
    size_t images = 0, next = 0;
    for (size_t i = 0; i < count; i++) WALSH_TRY(parse_records(set, version, &state->files.file[i], path, &images));
    WALSH_TRY(walsh_alloc(&set->labels, images, sizeof *set->labels, "labels"));
    WALSH_TRY(walsh_alloc(&state->pixels, images, sizeof *state->pixels, "images"));
    for (size_t i = 0; i < count; i++) WALSH_TRY(parse_records(set, version, &state->files.file[i], path, &next));
    WALSH_TRY(walsh_alloc(&state->class_names, (size_t)version->classes, sizeof *state->class_names, "class names"));
    if (state->files.count > count)
        WALSH_TRY(parse_names(state, version, &state->files.file[count], path));
    else
        memcpy(state->class_names, version->class_names, (size_t)version->classes * sizeof *state->class_names);

    set->info = (walsh_dataset_info){
        .name = version->name,
        .images = images,
        .classes = version->classes,
        .height = SIDE,
        .width = SIDE,
        .channels = 3,
        .class_names = state->class_names,
    };
    memcpy(set->info.mean, version->mean, sizeof version->mean);
    memcpy(set->info.deviation, version->deviation, sizeof version->deviation);
    return WALSH_OK;
}

static walsh_status fetch(const walsh_dataset *set, size_t index, const walsh_rng *augment, uint8_t *out)
{
    const cifar *state = set->state;
    const walsh_image image = {state->pixels[index], SIDE, SIDE, .row = SIDE, .pixel = 1, .channel = PLANE};
    walsh_crop crop = augment ? walsh_crop_draw(*augment, index, PAD) : (walsh_crop){0};
    walsh_crop_copy(&image, crop, SIDE, SIDE, out);
    return WALSH_OK;
}

static void release(walsh_dataset *set)
{
    cifar *state = set->state;
    if (!state) return;
    walsh_files_free(&state->files);
    free(state->pixels);
    free(state->names);
    free(state->class_names);
    free(state);
}

static walsh_status prepare(walsh_dataset *set)
{
    static const walsh_dataset_kind kind = {.fetch = fetch, .release = release, .chunk = 16};
    set->kind = &kind;
    return walsh_alloc(&set->state, 1, sizeof(cifar), "a data set");
}

const walsh_cifar_version *walsh_cifar_find(const char *name, size_t length)
{
    const walsh_cifar_version *const versions[] = {&walsh_cifar10, &walsh_cifar100};
    for (size_t i = 0; i < sizeof versions / sizeof *versions; i++)
        if (strlen(versions[i]->name) == length && !strncmp(name, versions[i]->name, length)) return versions[i];
    return NULL;
}

walsh_status walsh_cifar_open(const walsh_cifar_version *version, const char *path, walsh_split split,
                              walsh_dataset *set)
{
    const wanted which = {version, split == WALSH_SPLIT_TRAIN ? version->train : version->test};
    size_t count;
    WALSH_TRY(prepare(set));
    WALSH_TRY(find_files(&((cifar *)set->state)->files, &which, path, &count));
    return parse(set, version, path, count);
}

walsh_status walsh_cifar_open_sample(walsh_split split, walsh_dataset *set)
{
    WALSH_TRY(prepare(set));
    walsh_files *files = &((cifar *)set->state)->files;
    if (split == WALSH_SPLIT_TRAIN)
        WALSH_TRY(walsh_files_borrow(files, "data_batch_1.bin", walsh_sample_train,
                                     (size_t)(walsh_sample_train_end - walsh_sample_train)));
    else
        WALSH_TRY(walsh_files_borrow(files, "test_batch.bin", walsh_sample_test,
                                     (size_t)(walsh_sample_test_end - walsh_sample_test)));
    WALSH_TRY(walsh_files_borrow(files, "batches.meta.txt", walsh_sample_names,
                                 (size_t)(walsh_sample_names_end - walsh_sample_names)));
    WALSH_TRY(parse(set, &walsh_cifar10, "sample", 1));
    set->info.name = "sample";
    return WALSH_OK;
}
