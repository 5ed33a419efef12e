/* A run that has been prepared, for those who look at it before its first step. */
#ifndef WALSH_ENGINE_TRAIN_TRAINER_H
#define WALSH_ENGINE_TRAIN_TRAINER_H

#include <walsh/train.h>

typedef walsh_status (*walsh_train_visitor)(void *context, const walsh_model *model, const walsh_memory *memory);

/* Does all that walsh_train does before it would write or train, calls `visit` with the prepared model, and closes all
 * again. */
walsh_status walsh_train_visit(walsh_device *device, const walsh_train_options *options, walsh_train_visitor visit,
                               void *context);

#endif
