#include "engine/train/memory.h"

#include <stdio.h>

#include "engine/base/bytes.h"
#include "engine/data/loader.h"

/* What is asked about: a purpose, of which batch and parts may be changed. */
typedef struct question {
    walsh_model *model;
    const walsh_dataset *dataset;
    walsh_network_purpose purpose;
    uint64_t limit; /* 0: none */
} question;

static const walsh_device_info *device_of(const question *q)
{
    return walsh_device_describe(walsh_network_device(q->model->network));
}

/* Images of a step, or of an evaluated batch. */
static int images_of(const walsh_network_purpose *purpose)
{
    return purpose->batch * purpose->parts;
}

/* Batches that wait in the loaders, of training and of evaluation, lie in the host's memory, which is a CPU device's
 * too. */
static uint64_t waiting(const question *q)
{
    const walsh_network_purpose *p = &q->purpose;
    if (device_of(q)->kind != WALSH_DEVICE_CPU) return 0;
    return (p->train ? walsh_loader_bytes(q->dataset, (size_t)images_of(p)) : 0) +
           walsh_loader_bytes(q->dataset, (size_t)p->batch);
}

static walsh_status measure(const question *q, walsh_memory *memory)
{
    const walsh_network_purpose *p = &q->purpose;
    walsh_network_memory network;
    uint64_t device = device_of(q)->memory;
    WALSH_TRY(walsh_network_measure(q->model->network, p, &network));
    *memory = (walsh_memory){.trains = p->train,
                             .batch = images_of(p),
                             .parts = p->parts,
                             .parameters = network.parameters,
                             .activations = network.activations,
                             .half = p->half,
                             .images = network.batches + waiting(q),
                             .available = q->limit && q->limit < device ? q->limit : device};
    memory->total = memory->parameters + memory->activations + memory->images;
    return WALSH_OK;
}

/* Whether it would fit with other parts, of so many images, and kept so. */
static walsh_status fits(const question *q, int batch, int parts, bool half, bool *fits)
{
    question other = *q;
    walsh_memory memory;
    other.purpose.batch = batch;
    other.purpose.parts = parts;
    other.purpose.half = half;
    walsh_status status = measure(&other, &memory);
    *fits = !status && memory.total <= memory.available;
    return status == WALSH_E_MEMORY ? WALSH_OK : status;
}

/* The largest batch that fits in as many parts; 0: none. */
static walsh_status largest_batch(const question *q, int *batch)
{
    int parts = q->purpose.parts, fit = 0, too_large = q->purpose.batch; /* images of a part */
    while (too_large - fit > 1) {
        int middle = fit + (too_large - fit) / 2;
        bool yes;
        WALSH_TRY(fits(q, middle, parts, q->purpose.half, &yes));
        if (yes)
            fit = middle;
        else
            too_large = middle;
    }
    *batch = fit * parts;
    return WALSH_OK;
}

/* The fewest parts of a step in which its batch fits; 0: none. */
static walsh_status fewest_parts(const question *q, int *parts)
{
    int batch = images_of(&q->purpose);
    bool yes = false;
    *parts = 0;
    for (int n = q->purpose.parts + 1; n <= batch && q->purpose.train && !yes; n++) {
        if (batch % n) continue;
        WALSH_TRY(fits(q, batch / n, n, q->purpose.half, &yes));
        if (yes) *parts = n;
    }
    return WALSH_OK;
}

/* Whether it would fit as it is, with halves. */
static walsh_status half_fits(const question *q, bool *half)
{
    const walsh_network_purpose *p = &q->purpose;
    *half = false;
    return p->train && !p->exact && !p->half ? fits(q, p->batch, p->parts, true, half) : WALSH_OK;
}

static void say_advice(int batch, int parts, bool half, char *out, size_t size)
{
    char with[3][32];
    int count = 0;
    if (batch) snprintf(with[count++], sizeof *with, "--batch %d", batch);
    if (parts) snprintf(with[count++], sizeof *with, "--accumulate %d", parts);
    if (half) snprintf(with[count++], sizeof *with, "--store f16");
    int used = snprintf(out, size, "%s would fit", count ? with[0] : "no batch");
    for (int i = 1; i < count; i++) used += snprintf(out + used, size - (size_t)used, ", or %s", with[i]);
}

static walsh_status refuse(const question *q, const walsh_memory *memory)
{
    char reason[512], advice[128], of[WALSH_MEMORY_PARTS];
    int batch = 0, parts = 0;
    bool half = false;
    bool limited = q->limit == memory->available;
    if (memory->total)
        snprintf(reason, sizeof reason, "a batch of %d needs %s of memory (%s), and %s %s %s", memory->batch,
                 walsh_show_bytes(memory->total).text, walsh_memory_parts(memory, of),
                 limited ? "--memory" : device_of(q)->name, limited ? "allows" : "has",
                 walsh_show_bytes(memory->available).text);
    else /* it could not even be laid out */
        snprintf(reason, sizeof reason, "%s", walsh_message());
    WALSH_TRY(largest_batch(q, &batch));
    WALSH_TRY(fewest_parts(q, &parts));
    WALSH_TRY(half_fits(q, &half));
    say_advice(batch, parts, half, advice, sizeof advice);
    WALSH_FAIL(WALSH_E_MEMORY, "%s: %s", reason, advice);
}

walsh_status walsh_memory_check(walsh_model *model, const walsh_dataset *dataset, const walsh_network_purpose *purpose,
                                uint64_t limit, walsh_memory *memory)
{
    question q = {model, dataset, *purpose, limit};
    if (!purpose->parts) q.purpose.parts = 1;
    *memory = (walsh_memory){0};
    walsh_status status = measure(&q, memory);
    if (status == WALSH_E_MEMORY || (!status && memory->total > memory->available)) return refuse(&q, memory);
    return status;
}

const char *walsh_memory_parts(const walsh_memory *memory, char out[WALSH_MEMORY_PARTS])
{
    snprintf(out, WALSH_MEMORY_PARTS, "weights%s %s, activations %s, images %s",
             memory->trains ? ", gradients and momentum" : "", walsh_show_bytes(memory->parameters).text,
             walsh_show_bytes(memory->activations).text, walsh_show_bytes(memory->images).text);
    return out;
}
