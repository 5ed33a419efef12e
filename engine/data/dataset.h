/* What every kind of data set provides, and what the loader reads. */
#ifndef WALSH_ENGINE_DATA_DATASET_H
#define WALSH_ENGINE_DATA_DATASET_H

#include <walsh/data.h>

#include <stdatomic.h>

#include "engine/base/rng.h"

typedef struct walsh_dataset_kind {
    /* Writes image `index` to out[height][width][4]: red, green, blue, 0, in 0..255. `augment` is the generator of an
     * epoch, drawn from at `index` alone, for the kind's own training recipe; NULL is the view of evaluation.
     * Called from several threads at once. WALSH_E_FORMAT: the image is bad, and others may be good. */
    walsh_status (*fetch)(const walsh_dataset *set, size_t index, const walsh_rng *augment, uint8_t *out);
    /* Frees `state`, half filled or NULL too. */
    void (*release)(walsh_dataset *set);
    size_t chunk; /* images that a thread takes at a time: few where one takes long */
} walsh_dataset_kind;

/* Images that turned out to be bad where these are skipped. */
typedef struct walsh_bad_images {
    atomic_size_t count;
    atomic_bool known[]; /* [images] */
} walsh_bad_images;

struct walsh_dataset {
    walsh_dataset_info info;
    const walsh_dataset_kind *kind;
    int32_t *labels;       /* [info.images] */
    void *state;           /* the kind's own */
    walsh_bad_images *bad; /* NULL: a bad image is a failure */
};

/* The kind's fetch; *bad: the image is bad and to be skipped, which is no failure. The log tells each one once. */
walsh_status walsh_dataset_fetch(const walsh_dataset *set, size_t index, const walsh_rng *augment, uint8_t *out,
                                 bool *bad);

#endif
