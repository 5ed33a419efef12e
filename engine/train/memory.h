/* Whether a run fits into its device's memory: known before anything of its size is allocated or written. */
#ifndef WALSH_ENGINE_TRAIN_MEMORY_H
#define WALSH_ENGINE_TRAIN_MEMORY_H

#include <walsh/train.h>

#include "engine/model/model.h"

/* Fills in what training the model with these options takes, and fails with WALSH_E_MEMORY where that is more than
 * there is, naming both, and the largest batch and the fewest parts (--accumulate) that would fit. */
walsh_status walsh_memory_check(walsh_model *model, const walsh_dataset *dataset, const walsh_train_options *options,
                                walsh_train_memory *memory);

#endif
