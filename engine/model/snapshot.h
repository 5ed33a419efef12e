/* A model's tensors on the host, on their way to or from a safetensors file. */
#ifndef WALSH_ENGINE_MODEL_SNAPSHOT_H
#define WALSH_ENGINE_MODEL_SNAPSHOT_H

#include "engine/base/safetensors.h"
#include "engine/model/model.h"

typedef struct walsh_snapshot walsh_snapshot;

/* Prefix of the momentum's tensors in a state file: "momentum.layer1.0.conv1.weight". */
#define WALSH_MOMENTUM_PREFIX "momentum."

walsh_status walsh_snapshot_create(walsh_snapshot **snapshot);

/* Adds the weights with torchvision's names and the metadata that describe the model. Waits for the device. Fails with
 * WALSH_E_NOT_FINITE, naming the tensor, where a value is NaN or infinite. */
walsh_status walsh_snapshot_add_model(walsh_snapshot *snapshot, const walsh_model *model);

/* Adds the optimizer's momentum. */
walsh_status walsh_snapshot_add_momentum(walsh_snapshot *snapshot, const walsh_model *model);

/* Adds a pair of metadata (copied). */
walsh_status walsh_snapshot_add_text(walsh_snapshot *snapshot, const char *key, const char *value);

/* Replaces a file atomically. */
walsh_status walsh_snapshot_write(const walsh_snapshot *snapshot, const char *path);

void walsh_snapshot_destroy(walsh_snapshot **snapshot);

/* The other way: checks that an open file (`path` is for messages) is of this model, then takes its weights over, or
 * its momentum too. The model is unchanged where it fails. */
walsh_status walsh_snapshot_restore(const walsh_safetensors *file, const char *path, walsh_model *model, bool momentum);

#endif
