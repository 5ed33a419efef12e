#include "engine/data/dataset.h"

#include "engine/base/log.h"
#include "engine/base/status.h"
#include "engine/data/cifar.h"
#include "engine/data/pictures.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Data sets of encoded images. */
typedef struct picture_kind {
    const char *name; /* of "NAME:PATH" */
    const char *path; /* what PATH is, for messages */
    walsh_status (*open)(const char *path, walsh_split split, const walsh_dataset_options *options, walsh_dataset *set);
} picture_kind;
static const picture_kind picture_kinds[] = {
    {"imagenet", "the folder that holds train and val", walsh_imagenet_open},
    {"webdataset", "the folder of the tar files", walsh_webdataset_open},
};

/* The bytes of a data set's name before its colon. */
static size_t name_length(const char *spec)
{
    return strcspn(spec, ":");
}

/* The kind that a data set names, or NULL. */
static const picture_kind *find_pictures(const char *spec)
{
    const size_t length = name_length(spec);
    for (size_t i = 0; i < sizeof picture_kinds / sizeof *picture_kinds; i++)
        if (strlen(picture_kinds[i].name) == length && !strncmp(spec, picture_kinds[i].name, length))
            return &picture_kinds[i];
    return NULL;
}

static walsh_status open_kind(const char *spec, walsh_split split, const walsh_dataset_options *options,
                              walsh_dataset *set)
{
    static const char expected[] = "sample, cifar10:PATH, cifar100:PATH, imagenet:PATH or webdataset:PATH";
    if (!strcmp(spec, "sample")) return walsh_cifar_open_sample(split, set);
    const size_t length = name_length(spec);
    const char *path = spec[length] ? spec + length + 1 : "";
    const walsh_cifar_version *version = walsh_cifar_find(spec, length);
    const picture_kind *pictures = find_pictures(spec);
    if (!version && !pictures)
        WALSH_FAIL(WALSH_E_ARGUMENT, "unknown data set '%s': expected %s", spec, expected);
    if (!*path)
        WALSH_FAIL(WALSH_E_ARGUMENT, "data set '%s' lacks its path: expected %.*s:PATH, %s", spec, (int)length, spec,
                   version ? "the unpacked folder or the .tar.gz" : pictures->path);
    return version ? walsh_cifar_open(version, path, split, set) : pictures->open(path, split, options, set);
}

static walsh_status heed(walsh_dataset *set, const walsh_dataset_options *options)
{
    const walsh_dataset_info *info = &set->info;
    if (options->image_size && options->image_size != info->height)
        WALSH_FAIL(WALSH_E_ARGUMENT, "the images of %s are %dx%d, expected %dx%d", info->name, info->height,
                   info->width, options->image_size, options->image_size);
    if (!options->skip_bad_images) return WALSH_OK;
    return walsh_alloc(&set->bad, sizeof *set->bad + info->images * sizeof *set->bad->known, 1, "bad images");
}

static walsh_status finish(walsh_dataset *set, const walsh_dataset_options *options, walsh_status status,
                           walsh_dataset **dataset)
{
    if (!status && options) status = heed(set, options);
    if (status) walsh_dataset_close(&set);
    *dataset = set;
    return status;
}

walsh_status walsh_dataset_open(const char *spec, walsh_split split, const walsh_dataset_options *options,
                                walsh_dataset **dataset)
{
    walsh_dataset *set = NULL;
    *dataset = NULL;
    WALSH_TRY(walsh_alloc(&set, 1, sizeof *set, "a data set"));
    WALSH_TRY(finish(set, options, open_kind(spec, split, options, set), dataset));
    walsh_log(WALSH_LOG_INFO, "%s: %zu %s images of %d classes", spec, set->info.images,
              split == WALSH_SPLIT_TRAIN ? "training" : "test", set->info.classes);
    return WALSH_OK;
}

static walsh_status take_files(walsh_dataset *set, const char *const *paths, size_t count,
                               const walsh_dataset_options *options)
{
    WALSH_TRY(walsh_pictures_begin(set, "images", options));
    walsh_catalogue *images = &walsh_pictures_of(set)->images;
    WALSH_TRY(walsh_catalogue_parent(images, ""));
    for (size_t i = 0; i < count; i++) WALSH_TRY(walsh_catalogue_add(images, paths[i], (walsh_entry){0}));
    if (!count) WALSH_FAIL(WALSH_E_ARGUMENT, "expected at least one image, found none");
    return walsh_pictures_end(set);
}

walsh_status walsh_dataset_open_images(const char *const *paths, size_t count, const walsh_dataset_options *options,
                                       walsh_dataset **dataset)
{
    walsh_dataset *set = NULL;
    *dataset = NULL;
    WALSH_TRY(walsh_alloc(&set, 1, sizeof *set, "a data set"));
    return finish(set, options, take_files(set, paths, count, options), dataset);
}

walsh_status walsh_dataset_fetch(const walsh_dataset *set, size_t index, const walsh_rng *augment, uint8_t *out,
                                 bool *bad)
{
    walsh_status status = set->kind->fetch(set, index, augment, out);
    *bad = status == WALSH_E_FORMAT && set->bad;
    if (!*bad) return status;
    if (!atomic_exchange(&set->bad->known[index], true)) {
        atomic_fetch_add(&set->bad->count, 1);
        walsh_log(WALSH_LOG_ERROR, "skipped: %s", walsh_message());
    }
    return WALSH_OK;
}

const walsh_dataset_info *walsh_dataset_describe(const walsh_dataset *dataset)
{
    return &dataset->info;
}

int walsh_dataset_label(const walsh_dataset *dataset, size_t index)
{
    return dataset->labels[index];
}

walsh_status walsh_dataset_image(const walsh_dataset *dataset, size_t index, uint8_t *pixels)
{
    return dataset->kind->fetch(dataset, index, NULL, pixels);
}

int walsh_dataset_loaders(const char *spec)
{
    enum { MOST = 16 };
    const long processors = find_pictures(spec) ? sysconf(_SC_NPROCESSORS_ONLN) : 1;
    return processors < 1 ? 1 : processors > MOST ? MOST : (int)processors;
}

size_t walsh_dataset_bad_images(const walsh_dataset *dataset)
{
    return dataset->bad ? atomic_load(&dataset->bad->count) : 0;
}

void walsh_dataset_close(walsh_dataset **dataset)
{
    walsh_dataset *set = *dataset;
    if (!set) return;
    if (set->kind) set->kind->release(set);
    free(set->labels);
    free(set->bad);
    free(set);
    *dataset = NULL;
}
