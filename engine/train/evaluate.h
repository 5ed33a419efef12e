/* Passes over a data set without training, for evaluation, prediction and the trainer's own validation. */
#ifndef WALSH_ENGINE_TRAIN_EVALUATE_H
#define WALSH_ENGINE_TRAIN_EVALUATE_H

#include <walsh/train.h>

#include "engine/data/loader.h"

/* Runs every image of a loader (its data set's own order, short last batch) through a prepared network.
 * `logits` [images][classes] may be NULL; so may `observer`. */
walsh_status walsh_evaluate_loader(walsh_model *model, walsh_loader *loader, size_t images, float *logits,
                                   walsh_evaluate_observer observer, void *context, walsh_evaluation *result);

/* Whether a data set's images and classes are those of the model. */
walsh_status walsh_evaluate_check(const walsh_model *model, const walsh_dataset *dataset);

#endif
