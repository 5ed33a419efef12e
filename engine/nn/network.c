#include "engine/nn/network_plans.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static walsh_status add_head_parameter(walsh_network *network, const char *field, walsh_parameter parameter, int *index)
{
    snprintf(parameter.name, sizeof parameter.name, "%s.%s", network->options.head_name, field);
    return walsh_parameters_add(walsh_graph_parameters(network->graph), &parameter, index);
}

/* fc.weight and fc.bias uniform in +-1/sqrt(N), or fc.scale (alpha) and a zero fc.bias. */
static walsh_status add_head(walsh_network *network)
{
    const walsh_network_options *o = &network->options;
    int features = o->head.spec.features, classes = o->head.spec.classes;
    bool learned = o->head.spec.kind == WALSH_HEAD_LEARNED;
    walsh_parameter weight = {.layout = WALSH_LAYOUT_LINEAR,
                              .role = WALSH_ROLE_TRAINED,
                              .rank = 2,
                              .dims = {classes, features},
                              .init = WALSH_INIT_UNIFORM,
                              .init_value = 1 / sqrtf((float)features)};
    walsh_parameter alpha = {
        .layout = WALSH_LAYOUT_VECTOR, .rank = 1, .dims = {1}, .init = WALSH_INIT_VALUE, .init_value = o->alpha};
    alpha.role = o->alpha_fixed   ? WALSH_ROLE_STATISTIC
                 : o->decay_alpha ? WALSH_ROLE_TRAINED
                                  : WALSH_ROLE_TRAINED_NO_DECAY;
    walsh_parameter bias = {.layout = WALSH_LAYOUT_VECTOR,
                            .role = WALSH_ROLE_TRAINED,
                            .rank = 1,
                            .dims = {classes},
                            .init = learned ? WALSH_INIT_UNIFORM : WALSH_INIT_ZERO,
                            .init_value = weight.init_value};
    network->weight = network->alpha = network->bias = -1;
    if (learned)
        WALSH_TRY(add_head_parameter(network, "weight", weight, &network->weight));
    else
        WALSH_TRY(add_head_parameter(network, "scale", alpha, &network->alpha));
    return add_head_parameter(network, "bias", bias, &network->bias);
}

static walsh_status upload_constant(walsh_network *network)
{
    const walsh_head_spec *spec = &network->options.head.spec;
    walsh_shape shape = walsh_head_shapes_of(spec).constant;
    if (walsh_shape_is_absent(shape)) return WALSH_OK;
    WALSH_TRY(walsh_tensor_make(network->device, shape, &network->constant));
    float *dense = NULL;
    WALSH_TRY(walsh_alloc(&dense, walsh_shape_rows(shape) * (size_t)shape.c, sizeof *dense, "the fixed classifier"));
    walsh_status status = walsh_head_constant(spec, dense);
    if (!status) status = walsh_tensor_upload(network->constant, dense);
    free(dense);
    return status;
}

static walsh_status set_up(walsh_network *network)
{
    WALSH_TRY(walsh_graph_check(network->graph));
    WALSH_TRY(walsh_head_valid(&network->options.head));
    if (network->options.freeze_body) walsh_parameters_freeze(walsh_graph_parameters(network->graph));
    WALSH_TRY(add_head(network));
    WALSH_TRY(
        walsh_parameters_allocate(walsh_graph_parameters(network->graph), network->device, network->options.trains));
    return upload_constant(network);
}

walsh_status walsh_network_create(walsh_device *device, walsh_graph **graph, const walsh_network_options *options,
                                  walsh_network **network)
{
    walsh_network *made = NULL;
    *network = NULL;
    walsh_status status = walsh_alloc(&made, 1, sizeof *made, "a network");
    if (status) {
        walsh_graph_destroy(graph);
        return status;
    }
    made->device = device;
    made->options = *options;
    made->graph = *graph;
    *graph = NULL;
    status = set_up(made);
    if (status) walsh_network_destroy(&made);
    *network = made;
    return status;
}

walsh_parameters *walsh_network_parameters(const walsh_network *network)
{
    return walsh_graph_parameters(network->graph);
}
walsh_device *walsh_network_device(const walsh_network *network)
{
    return network->device;
}

void walsh_network_drain(walsh_network *network)
{
    clFinish(network->device->queue);
    for (int i = 0; i < WALSH_NETWORK_SLOTS; i++) {
        if (network->arrived[i]) clReleaseEvent(network->arrived[i]);
        network->arrived[i] = NULL;
    }
    network->collected = network->enqueued;
}

int walsh_network_batch(const walsh_network *network)
{
    return network->plans.purpose.batch;
}

/* Frees what depends on the purpose. */
static void release_plans(walsh_network *network)
{
    walsh_network_drain(network);
    walsh_network_plans_release(&network->plans);
    free(network->read_back);
    network->read_back = NULL;
}

walsh_status walsh_network_measure(walsh_network *network, const walsh_network_purpose *purpose,
                                   walsh_network_memory *memory)
{
    walsh_network_plans plans;
    walsh_status status = walsh_network_plans_make(network, purpose, false, &plans);
    if (!status) *memory = walsh_network_plans_memory(network, &plans);
    walsh_network_plans_release(&plans);
    return status;
}

walsh_status walsh_network_prepare(walsh_network *network, const walsh_network_purpose *purpose)
{
    walsh_network_plans *plans = &network->plans;
    release_plans(network);
    WALSH_TRY(walsh_network_plans_make(network, purpose, true, plans));
    size_t parts = (size_t)plans->purpose.parts;
    return walsh_alloc(&network->read_back, WALSH_NETWORK_SLOTS * parts * WALSH_METRICS, sizeof *network->read_back,
                       "metrics");
}

void walsh_network_normalise(walsh_network *network, const float mean[3], const float deviation[3])
{
    memcpy(network->options.mean, mean, sizeof network->options.mean);
    memcpy(network->options.deviation, deviation, sizeof network->options.deviation);
}

void walsh_network_consult(walsh_network *network, walsh_wisdom **wisdom)
{
    walsh_wisdom_destroy(&network->wisdom);
    network->wisdom = *wisdom;
    *wisdom = NULL;
}

walsh_status walsh_network_choices(const walsh_network *network, walsh_wisdom *wisdom)
{
    const walsh_network_plans *plans = &network->plans;
    if (plans->train) WALSH_TRY(walsh_plan_choices(plans->train, wisdom));
    if (plans->update) WALSH_TRY(walsh_plan_choices(plans->update, wisdom));
    return walsh_plan_choices(plans->evaluate, wisdom);
}

walsh_status walsh_network_tune(walsh_network *network, double seconds, walsh_wisdom *wisdom,
                                walsh_tune_observer observer, void *context)
{
    walsh_plan *plans[] = {network->plans.evaluate, network->plans.train};
    const bool before = walsh_network_be_exact(network, network->plans.purpose.exact);
    walsh_status status = walsh_tune_plans(plans, network->plans.train ? 2 : 1, seconds, wisdom, observer, context);
    walsh_network_be_exact(network, before);
    return status;
}

static walsh_status enqueue_write(walsh_network *network, const walsh_tensor *to, const void *from)
{
    WALSH_CL(clEnqueueWriteBuffer(network->device->queue, to->view.memory, CL_FALSE, 0,
                                  walsh_shape_bytes(to->view.shape), from, 0, NULL, NULL));
    return WALSH_OK;
}

/* Four words that change at each step: a fill takes its pattern at once, so the caller's memory need not stay. */
static walsh_status enqueue_words(walsh_network *network, const walsh_tensor *to, const void *words)
{
    WALSH_CL(clEnqueueFillBuffer(network->device->queue, to->view.memory, words, 16, 0, 16, 0, NULL, NULL));
    return WALSH_OK;
}

/* The numbers that come back of one part of a batch. */
static float *read_back(const walsh_network *network, unsigned slot, int part)
{
    return network->read_back + ((size_t)slot * (size_t)network->plans.purpose.parts + (size_t)part) * WALSH_METRICS;
}

/* Runs a plan; what it keeps of constants is made anew if the arena has been another's or parameters have changed. */
static walsh_status run_plan(walsh_network *network, walsh_plan *plan)
{
    unsigned version = walsh_parameters_version(walsh_graph_parameters(network->graph));
    if (network->latest != plan || network->version != version) walsh_plan_renew(plan);
    network->latest = plan;
    network->version = version;
    return walsh_plan_run(plan);
}

/* Runs a plan on one part of a batch: its images, of which `count` count. */
static walsh_status enqueue_part(walsh_network *network, walsh_plan *plan, const uint8_t *pixels, const int32_t *labels,
                                 size_t count, float *metrics, cl_event *arrived)
{
    const int32_t valid[4] = {(int32_t)count, 0, 0, 0};
    WALSH_TRY(enqueue_write(network, network->plans.pixels, pixels));
    WALSH_TRY(enqueue_write(network, network->plans.labels, labels));
    WALSH_TRY(enqueue_words(network, network->plans.valid, valid));
    WALSH_TRY(run_plan(network, plan));
    WALSH_CL(clEnqueueReadBuffer(network->device->queue, network->plans.metrics->view.memory, CL_FALSE, 0,
                                 WALSH_METRICS * sizeof *metrics, metrics, 0, NULL, arrived));
    return WALSH_OK;
}

/* A slot for what comes back of the next batch. */
static walsh_status take_slot(const walsh_network *network, unsigned *slot)
{
    *slot = network->enqueued % WALSH_NETWORK_SLOTS;
    if (network->enqueued - network->collected == WALSH_NETWORK_SLOTS)
        WALSH_FAIL(WALSH_E_ARGUMENT, "%d batches are under way: collect their metrics first", WALSH_NETWORK_SLOTS);
    return WALSH_OK;
}

static walsh_status set_off(walsh_network *network, int parts)
{
    WALSH_CL(clFlush(network->device->queue));
    network->parts[network->enqueued % WALSH_NETWORK_SLOTS] = parts;
    network->enqueued++;
    return WALSH_OK;
}

/* Every part of a step, and the update where that is not part of the only one. */
static walsh_status enqueue_step(walsh_network *network, const uint8_t *pixels, const int32_t *labels, size_t count,
                                 unsigned slot)
{
    const walsh_network_plans *plans = &network->plans;
    size_t images = (size_t)plans->purpose.batch, bytes = walsh_shape_bytes(plans->pixels->view.shape);
    int parts = plans->purpose.parts;
    if (plans->sums)
        WALSH_TRY(
            walsh_buffer_zero(network->device, plans->sums->view.memory, walsh_shape_bytes(plans->sums->view.shape)));
    for (int part = 0; part < parts; part++) {
        size_t at = (size_t)part;
        WALSH_TRY(enqueue_part(network, plans->train, pixels + at * bytes, labels + at * images,
                               parts > 1 ? images : count, read_back(network, slot, part),
                               part == parts - 1 ? &network->arrived[slot] : NULL));
    }
    return plans->update ? walsh_plan_run(plans->update) : WALSH_OK;
}

walsh_status walsh_network_train(walsh_network *network, const uint8_t *pixels, const int32_t *labels, size_t count,
                                 const walsh_hyper *hyper)
{
    const walsh_network_purpose *purpose = &network->plans.purpose;
    const float words[4] = {hyper->lr, hyper->momentum, hyper->weight_decay, 1 / (float)purpose->parts};
    unsigned slot;
    if (purpose->parts > 1 && count != (size_t)purpose->parts * (size_t)purpose->batch)
        WALSH_FAIL(WALSH_E_ARGUMENT, "a step in %d parts of %d images: expected them all, found %zu", purpose->parts,
                   purpose->batch, count);
    WALSH_TRY(take_slot(network, &slot));
    WALSH_TRY(enqueue_words(network, network->plans.hyper, words));
    WALSH_TRY(enqueue_step(network, pixels, labels, count, slot));
    return set_off(network, purpose->parts);
}

walsh_status walsh_network_evaluate(walsh_network *network, const uint8_t *pixels, const int32_t *labels, size_t count)
{
    unsigned slot;
    WALSH_TRY(take_slot(network, &slot));
    WALSH_TRY(enqueue_part(network, network->plans.evaluate, pixels, labels, count, read_back(network, slot, 0),
                           &network->arrived[slot]));
    return set_off(network, 1);
}

walsh_status walsh_network_metrics(walsh_network *network, walsh_batch_metrics *metrics)
{
    if (network->enqueued == network->collected) WALSH_FAIL(WALSH_E_ARGUMENT, "no batch is under way");
    unsigned slot = network->collected++ % WALSH_NETWORK_SLOTS;
    cl_int code = clWaitForEvents(1, &network->arrived[slot]);
    clReleaseEvent(network->arrived[slot]);
    network->arrived[slot] = NULL;
    if (code != CL_SUCCESS) return walsh_cl_fail(code, "running a batch");
    *metrics = (walsh_batch_metrics){0};
    for (int part = 0; part < network->parts[slot]; part++) {
        const float *sums = read_back(network, slot, part);
        metrics->loss += sums[WALSH_METRIC_LOSS];
        metrics->top1_wrong += sums[WALSH_METRIC_TOP1_WRONG];
        metrics->top5_wrong += sums[WALSH_METRIC_TOP5_WRONG];
    }
    return WALSH_OK;
}

walsh_status walsh_network_logits(walsh_network *network, float *logits)
{
    return walsh_tensor_download(network->plans.logits, logits);
}

size_t walsh_network_arena_bytes(const walsh_network *network)
{
    return walsh_arena_bytes(network->plans.arena);
}

const walsh_plan *walsh_network_plan(const walsh_network *network, walsh_network_phase phase)
{
    const walsh_network_plans *plans = &network->plans;
    return phase == WALSH_NETWORK_TRAIN    ? plans->train
           : phase == WALSH_NETWORK_UPDATE ? plans->update
                                           : plans->evaluate;
}

walsh_status walsh_network_profile(const walsh_network *network, walsh_profile_line **lines, size_t *count)
{
    const walsh_network_plans *plans = &network->plans;
    if (plans->train)
        WALSH_TRY(walsh_plan_profile(plans->train, plans->update ? "accumulation" : "training", lines, count));
    if (plans->update) WALSH_TRY(walsh_plan_profile(plans->update, "update", lines, count));
    return walsh_plan_profile(plans->evaluate, "evaluation", lines, count);
}

void walsh_network_destroy(walsh_network **network)
{
    if (!*network) return;
    release_plans(*network);
    walsh_tensor_destroy(&(*network)->constant);
    walsh_wisdom_destroy(&(*network)->wisdom);
    walsh_graph_destroy(&(*network)->graph);
    free(*network);
    *network = NULL;
}
