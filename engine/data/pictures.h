/* Data sets of encoded images, wherever they lie: read, decoded, framed and resized when they are asked for. */
#ifndef WALSH_ENGINE_DATA_PICTURES_H
#define WALSH_ENGINE_DATA_PICTURES_H

#include "engine/data/catalogue.h"
#include "engine/data/dataset.h"

/* Where the images of a data set lie, and its classes. */
typedef struct walsh_pictures {
    walsh_catalogue images;
    walsh_catalogue classes; /* their names, in order */
} walsh_pictures;

/* Prepares `set`, which is zero, for pictures, framed as `options` say, which may be NULL. WALSH_E_ARGUMENT for options
 * out of range. After a failure, here or later, walsh_dataset_close() frees what there is. */
walsh_status walsh_pictures_begin(walsh_dataset *set, const char *name, const walsh_dataset_options *options);

/* What is to be filled in next. */
walsh_pictures *walsh_pictures_of(walsh_dataset *set);

/* Makes the labels and the description of it; no classes: the images have no labels. */
walsh_status walsh_pictures_end(walsh_dataset *set);

/* `imagenet:PATH`: PATH/train and PATH/val with a folder of images for each class. */
walsh_status walsh_imagenet_open(const char *path, walsh_split split, const walsh_dataset_options *options,
                                 walsh_dataset *set);

/* `webdataset:PATH`: tar files with KEY.jpg (jpeg, png) and KEY.cls, the number of its class, for each image. */
walsh_status walsh_webdataset_open(const char *path, walsh_split split, const walsh_dataset_options *options,
                                   walsh_dataset *set);

#endif
