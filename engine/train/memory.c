#include "engine/train/memory.h"

#include <stdio.h>

#include "engine/base/bytes.h"
#include "engine/data/loader.h"
#include "engine/train/options.h"

/* What is asked about: a run, of which batch and parts may be changed. */
typedef struct question {
    walsh_model *model;
    const walsh_dataset *dataset;
    walsh_train_options options;
} question;

/* Batches that wait in the loaders lie in the host's memory, which is a CPU device's too. */
static uint64_t waiting(const question *q)
{
    const walsh_train_options *o = &q->options;
    if (walsh_network_device(q->model->network)->info.kind != WALSH_DEVICE_CPU) return 0;
    return walsh_loader_bytes(q->dataset, (size_t)o->batch) +
           walsh_loader_bytes(q->dataset, (size_t)(o->batch / o->accumulate));
}

static walsh_status measure(const question *q, walsh_train_memory *memory)
{
    const walsh_train_options *o = &q->options;
    const walsh_network_purpose purpose = walsh_options_purpose(o);
    walsh_network_memory network;
    uint64_t device = walsh_network_device(q->model->network)->info.memory;
    WALSH_TRY(walsh_network_measure(q->model->network, &purpose, &network));
    *memory = (walsh_train_memory){.parameters = network.parameters,
                                   .activations = network.activations,
                                   .images = network.batches + waiting(q),
                                   .available = o->memory && o->memory < device ? o->memory : device};
    memory->total = memory->parameters + memory->activations + memory->images;
    return WALSH_OK;
}

/* Whether it would fit with another batch and number of parts. */
static walsh_status fits(const question *q, int batch, int parts, bool *fits)
{
    question other = *q;
    walsh_train_memory memory;
    other.options.batch = batch;
    other.options.accumulate = parts;
    walsh_status status = measure(&other, &memory);
    *fits = !status && memory.total <= memory.available;
    return status == WALSH_E_MEMORY ? WALSH_OK : status;
}

/* The largest batch that fits in as many parts; 0: none. */
static walsh_status largest_batch(const question *q, int *batch)
{
    int parts = q->options.accumulate, fit = 0, too_large = q->options.batch / parts; /* images of a part */
    while (too_large - fit > 1) {
        int middle = fit + (too_large - fit) / 2;
        bool yes;
        WALSH_TRY(fits(q, middle * parts, parts, &yes));
        if (yes)
            fit = middle;
        else
            too_large = middle;
    }
    *batch = fit * parts;
    return WALSH_OK;
}

/* The fewest parts in which the batch fits; 0: none. */
static walsh_status fewest_parts(const question *q, int *parts)
{
    int batch = q->options.batch;
    bool yes = false;
    *parts = 0;
    for (int n = q->options.accumulate + 1; n <= batch && !yes; n++) {
        if (batch % n) continue;
        WALSH_TRY(fits(q, batch, n, &yes));
        if (yes) *parts = n;
    }
    return WALSH_OK;
}

static void say_advice(int batch, int parts, char *out, size_t size)
{
    if (batch && parts)
        snprintf(out, size, "--batch %d would fit, or --accumulate %d", batch, parts);
    else if (batch)
        snprintf(out, size, "--batch %d would fit", batch);
    else if (parts)
        snprintf(out, size, "--accumulate %d would fit", parts);
    else
        snprintf(out, size, "no batch would fit");
}

static walsh_status refuse(const question *q, const walsh_train_memory *memory)
{
    const walsh_train_options *o = &q->options;
    const walsh_device_info *device = walsh_device_describe(walsh_network_device(q->model->network));
    char reason[512], advice[80];
    int batch = 0, parts = 0;
    bool limited = o->memory == memory->available;
    if (memory->total)
        snprintf(
            reason, sizeof reason,
            "a batch of %d needs %s of memory (weights, gradients and momentum %s, activations %s, images %s), and "
            "%s %s %s",
            o->batch, walsh_show_bytes(memory->total).text, walsh_show_bytes(memory->parameters).text,
            walsh_show_bytes(memory->activations).text, walsh_show_bytes(memory->images).text,
            limited ? "--memory" : device->name, limited ? "allows" : "has", walsh_show_bytes(memory->available).text);
    else /* it could not even be laid out */
        snprintf(reason, sizeof reason, "%s", walsh_message());
    WALSH_TRY(largest_batch(q, &batch));
    WALSH_TRY(fewest_parts(q, &parts));
    say_advice(batch, parts, advice, sizeof advice);
    WALSH_FAIL(WALSH_E_MEMORY, "%s: %s", reason, advice);
}

walsh_status walsh_memory_check(walsh_model *model, const walsh_dataset *dataset, const walsh_train_options *options,
                                walsh_train_memory *memory)
{
    const question q = {model, dataset, *options};
    *memory = (walsh_train_memory){0};
    walsh_status status = measure(&q, memory);
    if (status == WALSH_E_MEMORY || (!status && memory->total > memory->available)) return refuse(&q, memory);
    return status;
}
