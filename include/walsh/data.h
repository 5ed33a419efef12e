/* Data sets: images and labels on the host, as the loader threads read them. */
#ifndef WALSH_DATA_H
#define WALSH_DATA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <walsh/status.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct walsh_dataset walsh_dataset;

typedef enum walsh_split { WALSH_SPLIT_TRAIN, WALSH_SPLIT_TEST } walsh_split;

typedef struct walsh_dataset_info {
    const char *name; /* "sample", "cifar10", "cifar100", "imagenet", "webdataset": what `--data` began with */
    size_t images;    /* in this split */
    int classes;      /* 0: the images have no labels */
    int height, width, channels;    /* of one image, pixels; channels is 3 */
    float mean[3], deviation[3];    /* of pixels scaled to 0..1: the normalisation that interface.md fixes */
    const char *const *class_names; /* [classes], owned by the data set */
} walsh_dataset_info;

/* How a data set's images are to be prepared. All zero is the default, and NULL stands for it. */
typedef struct walsh_dataset_options {
    int image_size;       /* pixels a side; 0: 224, or what the images of CIFAR have: these come in no other size */
    bool skip_bad_images; /* leave images out that are truncated, corrupt or no images, instead of failing */
    bool whole;           /* evaluation sees the middle of an image whose short side is image_size, not 256/224 of it */
} walsh_dataset_options;

/* Opens one split of what `--data` names: "sample", "cifar10:PATH", "cifar100:PATH", where PATH is the unpacked folder
 * of the official binary version or its .tar.gz; "imagenet:PATH", a folder with train/ and val/, each with a folder of
 * JPEG or PNG files for each class; "webdataset:PATH", a folder of tar files with KEY.jpg and KEY.cls for each image.
 * `options` may be NULL.
 * Fails with WALSH_E_ARGUMENT for an unknown kind or size, WALSH_E_FILE where PATH cannot be read, WALSH_E_FORMAT where
 * a file is truncated, corrupt or holds a label out of range, or a class has no images; then *dataset is NULL. Of
 * imagenet and webdataset, only the names are looked at; an image that is bad is known when it is read.
 *
 * @code
 * walsh_dataset *set = NULL;
 * if (walsh_dataset_open("sample", WALSH_SPLIT_TRAIN, NULL, &set) == WALSH_OK)
 *     printf("%zu images of %d classes\n", walsh_dataset_describe(set)->images, walsh_dataset_describe(set)->classes);
 * walsh_dataset_close(&set);
 * @endcode
 */
WALSH_API walsh_status walsh_dataset_open(const char *spec, walsh_split split, const walsh_dataset_options *options,
                                          walsh_dataset **dataset);

/* Image files without labels, to be predicted. */
WALSH_API walsh_status walsh_dataset_open_images(const char *const *paths, size_t count,
                                                 const walsh_dataset_options *options, walsh_dataset **dataset);

/* What the data set holds; valid until it is closed. */
WALSH_API const walsh_dataset_info *walsh_dataset_describe(const walsh_dataset *dataset);

/* Label of image `index` (0 .. images-1). */
WALSH_API int walsh_dataset_label(const walsh_dataset *dataset, size_t index);

/* Image `index` as evaluation sees it: pixels [height][width][4], red, green, blue, 0. Fails with WALSH_E_FILE or
 * WALSH_E_FORMAT. */
WALSH_API walsh_status walsh_dataset_image(const walsh_dataset *dataset, size_t index, uint8_t *pixels);

/* How many different images have been skipped so far. */
WALSH_API size_t walsh_dataset_bad_images(const walsh_dataset *dataset);

/* The loader threads that `--data` is worth where nobody says how many: one where images lie ready in memory, one for
 * each processor, at most 16, where they have to be decoded. */
WALSH_API int walsh_dataset_loaders(const char *spec);

/* Frees the data set and sets the pointer to NULL; NULL is accepted. */
WALSH_API void walsh_dataset_close(walsh_dataset **dataset);

#ifdef __cplusplus
}
#endif
#endif
