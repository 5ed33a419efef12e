/* Batches of a data set, prepared ahead by threads. What a batch holds is a function of the data set, the options and
 * its place in the epoch alone: not of the number of threads nor of where a run was resumed. */
#ifndef WALSH_ENGINE_DATA_LOADER_H
#define WALSH_ENGINE_DATA_LOADER_H

#include <walsh/data.h>

#include <stdbool.h>

typedef struct walsh_loader walsh_loader;

typedef struct walsh_loader_options {
    size_t batch;   /* images, >= 1 */
    uint64_t seed;  /* of the order and the augmentation */
    bool shuffle;   /* a new order each epoch; otherwise the data set's own */
    bool augment;   /* the data set's training recipe; otherwise its evaluation view */
    bool drop_last; /* leaves out the last batch of an epoch if it is short: every batch is full */
    int threads;    /* >= 1 */
} walsh_loader_options;

typedef struct walsh_batch {
    const uint8_t *pixels; /* [batch][height][width][4]: red, green, blue, 0; where padded, zeros */
    const int32_t *labels; /* [batch] */
    const size_t *images;  /* [count] their numbers in the data set */
    size_t count;          /* images; what follows them in a short batch is zero. 0: the epoch has ended */
} walsh_batch;

/* Where the data set skips bad images, full batches have the next good image of the data set in the place of a bad one,
 * and others are the shorter for it.
 *
 * The data set must outlive the loader. WALSH_E_ARGUMENT: an option out of range, or a batch larger than the data set
 * with drop_last; WALSH_E_MEMORY: no room for the batches, or no thread. */
walsh_status walsh_loader_open(const walsh_dataset *dataset, const walsh_loader_options *options,
                               walsh_loader **loader);

/* Bytes of main memory that the batches of a loader occupy. */
size_t walsh_loader_bytes(const walsh_dataset *dataset, size_t batch);

/* Batches in an epoch. */
size_t walsh_loader_batches(const walsh_loader *loader);

/* Begins `epoch` at batch `first` (0 .. batches), abandoning what was under way. Every batch handed out before becomes
 * invalid. */
walsh_status walsh_loader_start(walsh_loader *loader, uint32_t epoch, size_t first);

/* Waits for the next batch. It stays valid until the second call after this one, so that one batch can be on its way to
 * the device while the next is waited for. A batch that a thread could not prepare makes this fail with that thread's
 * status and message, now and at each further call until the next start. */
walsh_status walsh_loader_next(walsh_loader *loader, walsh_batch *batch);

/* Ends the threads and frees the batches; sets the pointer to NULL; NULL is accepted. */
void walsh_loader_close(walsh_loader **loader);

#endif
