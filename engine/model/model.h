/* What the engine knows of a model beyond the public interface. */
#ifndef WALSH_ENGINE_MODEL_MODEL_H
#define WALSH_ENGINE_MODEL_MODEL_H

#include <walsh/model.h>

#include "engine/nn/network.h"

/* Fixed-head constructions are fixed for good under this number; weights files carry it. */
enum { WALSH_HEAD_VERSION = 1 };

struct walsh_model {
    walsh_network *network;
    walsh_model_info info;
    uint64_t batches; /* trained on so far, or enqueued for it: every batch norm's num_batches_tracked */
    char *strings;    /* what info's strings point into */
    const char **class_names;
};

#endif
