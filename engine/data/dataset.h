/* What every kind of data set provides, and what the loader reads. */
#ifndef WALSH_ENGINE_DATA_DATASET_H
#define WALSH_ENGINE_DATA_DATASET_H

#include <walsh/data.h>

#include "engine/base/rng.h"

typedef struct walsh_dataset_kind {
    /* Writes image `index` to out[height][width][4]: red, green, blue, 0, in 0..255. `augment` is the generator of an
     * epoch, drawn from at `index` alone, for the kind's own training recipe; NULL is the view of evaluation.
     * Called from several threads at once. */
    walsh_status (*fetch)(const walsh_dataset *set, size_t index, const walsh_rng *augment, uint8_t *out);
    /* Frees `state`, half filled or NULL too. */
    void (*release)(walsh_dataset *set);
} walsh_dataset_kind;

struct walsh_dataset {
    walsh_dataset_info info;
    const walsh_dataset_kind *kind;
    int32_t *labels; /* [info.images] */
    void *state;     /* the kind's own */
};

#endif
