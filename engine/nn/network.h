/* A network that runs: graph, head, parameters and the plans that train and evaluate batches of one size. */
#ifndef WALSH_ENGINE_NN_NETWORK_H
#define WALSH_ENGINE_NN_NETWORK_H

#include "engine/nn/graph.h"
#include "engine/nn/head.h"
#include "engine/op/tune.h"

typedef struct walsh_network walsh_network;

typedef struct walsh_network_options {
    walsh_head head;       /* features and classes as the graph's and the data's */
    const char *head_name; /* prefix of the head's parameters: "fc" */
    bool alpha_fixed;      /* a fixed head's alpha is not trained */
    float alpha;           /* its value, or initial value */
    bool decay_alpha;
    bool trains;                 /* gradients and momentum are allocated */
    bool freeze_body;            /* of the head alone: the body runs as in evaluation, and no gradient reaches it */
    float mean[3], deviation[3]; /* normalisation of pixels scaled to 0..1 */
} walsh_network_options;

/* What steers one training step; read by the device in queue order, so it may change at every step. */
typedef struct walsh_hyper {
    float lr, momentum, weight_decay;
} walsh_hyper;

/* Sums over the images of one batch. */
typedef struct walsh_batch_metrics {
    double loss, top1_wrong, top5_wrong;
} walsh_batch_metrics;

/* Takes the graph over (also where it fails) and adds the head's parameters to it. Weights are undefined. */
walsh_status walsh_network_create(walsh_device *device, walsh_graph **graph, const walsh_network_options *options,
                                  walsh_network **network);

walsh_parameters *walsh_network_parameters(const walsh_network *network);
walsh_device *walsh_network_device(const walsh_network *network);

/* Plans made from now on normalise pixels so. */
void walsh_network_normalise(walsh_network *network, const float mean[3], const float deviation[3]);

/* Plans made from now on choose variants as `*wisdom` says, which the network takes over; NULL: by rule. */
void walsh_network_consult(walsh_network *network, walsh_wisdom **wisdom);

/* What the present plans have chosen, added to `wisdom`. */
walsh_status walsh_network_choices(const walsh_network *network, walsh_wisdom *wisdom);

/* walsh_tune_plans over the present plans. */
walsh_status walsh_network_tune(walsh_network *network, double seconds, walsh_wisdom *wisdom,
                                walsh_tune_observer observer, void *context);

/* What is said where `half` and `exact` below are both asked for. */
#define WALSH_STORE_CONTRADICTS_MATH "--store f16 rounds what --math exact is to keep"

/* What a network's plans are made for. */
typedef struct walsh_network_purpose {
    int batch;  /* images that a plan takes: an evaluated batch, and each part of a training step */
    int parts;  /* of a training step: their gradients are added up; 0 stands for 1 */
    bool train; /* not evaluation alone; the network trains */
    bool exact; /* without approximate variants */
    bool half;  /* what the backward pass needs of the forward pass waits for it as float16: not for what is exact */
    bool nesterov;
    float label_smoothing;
} walsh_network_purpose;

/* Bytes of device memory. */
typedef struct walsh_network_memory {
    size_t parameters;  /* weights, gradients, momentum, sums of gradients, a fixed classifier */
    size_t activations; /* and workspaces */
    size_t batches;     /* images, labels and logits */
} walsh_network_memory;

/* What preparing the network for a purpose would make it take, without taking it. The present plans stay. Fails with
 * WALSH_E_MEMORY where something of it is too large for the device whatever there is of memory. */
walsh_status walsh_network_measure(walsh_network *network, const walsh_network_purpose *purpose,
                                   walsh_network_memory *memory);

/* Makes the plans, which replace earlier ones; all share one arena. Fails with WALSH_E_MEMORY where the batch is too
 * large. */
walsh_status walsh_network_prepare(walsh_network *network, const walsh_network_purpose *purpose);

/* Enqueues one batch: `pixels` [images][h][w][4] bytes, `labels` [images], of which `count` count: `batch` images as
 * prepared, in training `parts` times as many, which all count where there are several parts. Both must stay valid
 * until walsh_network_metrics of this batch has returned. Does not wait. Training updates the weights by the gradient
 * of the mean loss; batch norms take the statistics of each part. */
walsh_status walsh_network_train(walsh_network *network, const uint8_t *pixels, const int32_t *labels, size_t count,
                                 const walsh_hyper *hyper);
walsh_status walsh_network_evaluate(walsh_network *network, const uint8_t *pixels, const int32_t *labels, size_t count);

/* Waits for the oldest batch whose metrics have not been asked for; at most 2 may be under way. */
walsh_status walsh_network_metrics(walsh_network *network, walsh_batch_metrics *metrics);

/* Waits for everything under way and forgets its metrics. */
void walsh_network_drain(walsh_network *network);

/* purpose.batch, as prepared. */
int walsh_network_batch(const walsh_network *network);

/* Logits [batch][classes] of the evaluated batch last enqueued; waits for it. */
walsh_status walsh_network_logits(walsh_network *network, float *logits);

/* Bytes of the arena of activations and workspaces. */
size_t walsh_network_arena_bytes(const walsh_network *network);

/* A step, or where it has several parts one of them, and then its end; and an evaluated batch. */
typedef enum walsh_network_phase {
    WALSH_NETWORK_TRAIN,
    WALSH_NETWORK_UPDATE,
    WALSH_NETWORK_EVALUATE
} walsh_network_phase;

/* The plan of a phase; NULL before walsh_network_prepare, or where there is none. */
const walsh_plan *walsh_network_plan(const walsh_network *network, walsh_network_phase phase);

/* Adds the times of the plans, as "training" and "evaluation"; where a step has parts, as "accumulation", "update" and
 * "evaluation". See walsh_list_profile. */
walsh_status walsh_network_profile(const walsh_network *network, walsh_profile_line **lines, size_t *count);

void walsh_network_destroy(walsh_network **network);

#endif
