/* The options of a run as text in its state file: written, recalled, and compared on resuming. */
#ifndef WALSH_ENGINE_TRAIN_OPTIONS_H
#define WALSH_ENGINE_TRAIN_OPTIONS_H

#include <walsh/train.h>

#include "engine/model/snapshot.h"

/* WALSH_E_ARGUMENT, naming the option, for values out of range. */
walsh_status walsh_options_check(const walsh_train_options *options);

/* Adds every option as metadata "train.NAME". */
walsh_status walsh_options_store(const walsh_train_options *options, walsh_snapshot *snapshot);

/* Fills in the options from a state file; strings point into the file. */
walsh_status walsh_options_recall(const walsh_safetensors *file, const char *path, walsh_train_options *options);

/* WALSH_E_ARGUMENT where an option that shapes the run differs from the state's: all but epochs, steps, save_every,
 * where the data lie, and loaders. */
walsh_status walsh_options_compare(const walsh_safetensors *file, const char *path, const walsh_train_options *options);

/* What the network of such a run is prepared for. */
walsh_network_purpose walsh_options_purpose(const walsh_train_options *options);

#endif
