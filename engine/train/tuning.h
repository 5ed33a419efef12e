/* Tuning before training. */
#ifndef WALSH_ENGINE_TRAIN_TUNING_H
#define WALSH_ENGINE_TRAIN_TUNING_H

#include <walsh/train.h>

#include "engine/model/model.h"

/* Gives a model's network the device's wisdom, or the choices of the run that `options` resume. */
walsh_status walsh_tuning_consult(walsh_model *model, const walsh_train_options *options);

/* The same for evaluation alone. */
walsh_status walsh_tuning_consult_device(walsh_model *model);

/* Tunes a prepared model, adds what was learnt to the device's wisdom, unless the run is exact, and prepares the model
 * anew with it. */
walsh_status walsh_tuning_run(walsh_model *model, const walsh_train_options *options, double seconds,
                              walsh_tuning_observer observer, void *context);

#endif
