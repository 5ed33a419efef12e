/* CIFAR-10 and CIFAR-100 in the official binary version (Krizhevsky, "Learning multiple layers of features from tiny
 * images", 2009): records of one label byte (CIFAR-100: coarse, then fine), then three planes of 32 x 32 bytes. */
#ifndef WALSH_ENGINE_DATA_CIFAR_H
#define WALSH_ENGINE_DATA_CIFAR_H

#include "engine/data/dataset.h"

typedef struct walsh_cifar_version walsh_cifar_version;

/* "cifar10" or "cifar100", given by its first `length` characters; NULL for any other. */
const walsh_cifar_version *walsh_cifar_find(const char *name, size_t length);

/* Fills `set`, which is zero, from `path`: the folder with the .bin files, the folder above it, or the archive (or the
 * folder that holds it). All images stay in host memory. After a failure walsh_dataset_close() frees what there is. */
walsh_status walsh_cifar_open(const walsh_cifar_version *version, const char *path, walsh_split split,
                              walsh_dataset *set);

/* The same from the sample of CIFAR-10 within the library. */
walsh_status walsh_cifar_open_sample(walsh_split split, walsh_dataset *set);

#endif
