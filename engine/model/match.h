/* The tensors of a weights file beside the parameters of a model: names as torchvision has them. */
#ifndef WALSH_ENGINE_MODEL_MATCH_H
#define WALSH_ENGINE_MODEL_MATCH_H

#include "engine/base/safetensors.h"
#include "engine/nn/parameters.h"

/* Prefix of the momentum's tensors in a state file: "momentum.layer1.0.conv1.weight". */
#define WALSH_MOMENTUM_PREFIX "momentum."

/* Whether the parameter or tensor `name` belongs to the head whose prefix is `head` ("fc"). */
bool walsh_match_is_head(const char *name, const char *head);

/* The file's tensor of that prefix ("", or WALSH_MOMENTUM_PREFIX) for a parameter, in either of torchvision's spellings
 * for DenseNets ("denselayer1.norm.1.weight" stands for "denselayer1.norm1.weight"); NULL where there is none of its
 * shape. */
const walsh_safetensors_entry *walsh_match_find(const walsh_safetensors *file, const char *prefix,
                                                const walsh_parameter *parameter);

/* WALSH_E_FORMAT in one line, which counts them and names the first few, where parameters are missing in the file, have
 * another shape there, or tensors are not the model's. `model` is its name for the message; `but`, if not NULL, the
 * prefix of a head that is left out. Batch norm's counts of batches and the momentum of a state may be there. */
walsh_status walsh_match_check(const walsh_safetensors *file, const char *path, const walsh_parameters *parameters,
                               const char *model, const char *but);

#endif
