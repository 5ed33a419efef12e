/* Whether a run or an evaluation fits into its device's memory: known before anything of its size is allocated or
 * written. */
#ifndef WALSH_ENGINE_TRAIN_MEMORY_H
#define WALSH_ENGINE_TRAIN_MEMORY_H

#include <walsh/train.h>

#include "engine/model/model.h"

/* Fills in what preparing the model for a purpose takes, with the batches that wait for it, and fails with
 * WALSH_E_MEMORY where that is more than there is, or than `limit` bytes (0: all), naming both, and the largest batch
 * and, in training, the fewest parts (--accumulate) that would fit, and whether --store f16 would. */
walsh_status walsh_memory_check(walsh_model *model, const walsh_dataset *dataset, const walsh_network_purpose *purpose,
                                uint64_t limit, walsh_memory *memory);

enum { WALSH_MEMORY_PARTS = 128 };

/* "weights 1.1 MiB, activations 96 MiB, images 2.2 MiB". Returns out. */
const char *walsh_memory_parts(const walsh_memory *memory, char out[WALSH_MEMORY_PARTS]);

#endif
