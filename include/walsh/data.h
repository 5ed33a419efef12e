/* Data sets: images and labels on the host, as the loader threads read them. */
#ifndef WALSH_DATA_H
#define WALSH_DATA_H

#include <stddef.h>
#include <stdint.h>
#include <walsh/status.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct walsh_dataset walsh_dataset;

typedef enum walsh_split { WALSH_SPLIT_TRAIN, WALSH_SPLIT_TEST } walsh_split;

typedef struct walsh_dataset_info {
    const char *name; /* "sample", "cifar10", "cifar100": what `--data` began with */
    size_t images;    /* in this split */
    int classes;
    int height, width, channels;    /* of one image, pixels; channels is 3 */
    float mean[3], deviation[3];    /* of pixels scaled to 0..1: the normalisation that interface.md fixes */
    const char *const *class_names; /* [classes], owned by the data set */
} walsh_dataset_info;

/* Opens one split of what `--data` names: "sample", "cifar10:PATH", "cifar100:PATH"; PATH is the unpacked folder of the
 * official binary version or its .tar.gz.
 * Fails with WALSH_E_ARGUMENT for an unknown kind, WALSH_E_FILE where PATH cannot be read, WALSH_E_FORMAT where a file
 * is truncated, corrupt or holds a label out of range; then *dataset is NULL.
 *
 * @code
 * walsh_dataset *set = NULL;
 * if (walsh_dataset_open("sample", WALSH_SPLIT_TRAIN, &set) == WALSH_OK)
 *     printf("%zu images of %d classes\n", walsh_dataset_describe(set)->images, walsh_dataset_describe(set)->classes);
 * walsh_dataset_close(&set);
 * @endcode
 */
WALSH_API walsh_status walsh_dataset_open(const char *spec, walsh_split split, walsh_dataset **dataset);

/* What the data set holds; valid until it is closed. */
WALSH_API const walsh_dataset_info *walsh_dataset_describe(const walsh_dataset *dataset);

/* Label of image `index` (0 .. images-1). */
WALSH_API int walsh_dataset_label(const walsh_dataset *dataset, size_t index);

/* Frees the data set and sets the pointer to NULL; NULL is accepted. */
WALSH_API void walsh_dataset_close(walsh_dataset **dataset);

#ifdef __cplusplus
}
#endif
#endif
