/* What network.c and network_plans.c share: a network, and the plans that it runs. */
#ifndef WALSH_ENGINE_NN_NETWORK_PLANS_H
#define WALSH_ENGINE_NN_NETWORK_PLANS_H

#include "engine/nn/network.h"
#include "engine/op/logit_loss.h"

enum { WALSH_NETWORK_SLOTS = 2 }; /* batches whose metrics may be on their way at a time */

/* Plans for one purpose, and what they read and write outside the arena. */
typedef struct walsh_network_plans {
    walsh_network_purpose purpose;
    walsh_arena *arena;
    /* `train` is a step, or where a step has parts a part of it, whose gradients are added to `sums`; then `update` is
     * the step's end, else NULL. */
    walsh_plan *train, *update, *evaluate;
    walsh_tensor *pixels, *labels, *valid, *hyper, *metrics, *logits, *sums;
} walsh_network_plans;

struct walsh_network {
    walsh_device *device;
    walsh_graph *graph;
    walsh_network_options options;
    int weight, alpha, bias; /* the head's parameters; -1 where there is none */
    walsh_tensor *constant;  /* Q or the sign diagonal */
    walsh_wisdom *wisdom;    /* NULL: by rule */
    walsh_network_plans plans;
    const walsh_plan *latest; /* the plan that ran last, and the version of the parameters then */
    unsigned version;
    float *read_back;               /* [slots][parts][WALSH_METRICS] */
    int parts[WALSH_NETWORK_SLOTS]; /* that the batch of a slot has */
    cl_event arrived[WALSH_NETWORK_SLOTS];
    unsigned enqueued, collected; /* batches so far */
};

/* Whether the device does without approximate variants from now on; returns whether it did until now. What is chosen
 * for one network's plans shall not depend on another's: who sets it sets it back. */
static inline bool walsh_network_be_exact(const walsh_network *network, bool exact)
{
    bool before = network->device->exact;
    network->device->exact = exact;
    return before;
}

/* Makes plans and places what they need, without taking memory for it unless `commit`, which they need to run. What has
 * been made is the caller's to release, also where it fails. */
walsh_status walsh_network_plans_make(walsh_network *network, const walsh_network_purpose *purpose, bool commit,
                                      walsh_network_plans *plans);

/* What they and the network's parameters take. */
walsh_network_memory walsh_network_plans_memory(const walsh_network *network, const walsh_network_plans *plans);

/* Frees them; nothing may be under way. */
void walsh_network_plans_release(walsh_network_plans *plans);

#endif
