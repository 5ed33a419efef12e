/* A model's tensors on the host, on their way to or from a safetensors file. */
#ifndef WALSH_ENGINE_MODEL_SNAPSHOT_H
#define WALSH_ENGINE_MODEL_SNAPSHOT_H

#include "engine/base/safetensors.h"
#include "engine/model/model.h"

typedef struct walsh_snapshot walsh_snapshot;

/* Begins to read a model's weights, and the optimizer's momentum where `momentum`: once, as they are when the device
 * comes to it, whatever is enqueued later. Does not wait. The model must outlive the snapshot. */
walsh_status walsh_snapshot_take(const walsh_model *model, bool momentum, walsh_snapshot **snapshot);

/* Waits for what is read to arrive. What follows needs the device no more: any one thread may do it. */
walsh_status walsh_snapshot_wait(walsh_snapshot *snapshot);

/* Gives the tensors torchvision's names and layouts, and adds the metadata that describe the model. Fails with
 * WALSH_E_NOT_FINITE, naming the tensor, where a value is NaN or infinite. */
walsh_status walsh_snapshot_pack(walsh_snapshot *snapshot);

/* Adds a pair of metadata (copied). */
walsh_status walsh_snapshot_add_text(walsh_snapshot *snapshot, const char *key, const char *value);

/* Replaces a file atomically: by all that the snapshot holds, or by the weights and the model's description alone. */
walsh_status walsh_snapshot_write(const walsh_snapshot *snapshot, const char *path);
walsh_status walsh_snapshot_write_model(const walsh_snapshot *snapshot, const char *path);

/* Waits for what is still read. */
void walsh_snapshot_destroy(walsh_snapshot **snapshot);

/* The other way: checks that an open file (`path` is for messages) is of this model, then takes its weights over, or
 * its momentum too. The model is unchanged where it fails. */
walsh_status walsh_snapshot_restore(const walsh_safetensors *file, const char *path, walsh_model *model, bool momentum);

#endif
