#include "engine/nn/network.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/nn/lower.h"
#include "engine/op/image.h"
#include "engine/op/reduce.h"
#include "engine/op/sgd.h"
#include "engine/op/logit_loss.h"

enum { SLOTS = 2 }; /* batches whose metrics may be on their way at a time */

struct walsh_network {
    walsh_device *device;
    walsh_graph *graph;
    walsh_network_options options;
    int weight, alpha, bias; /* the head's parameters; -1 where there is none */
    walsh_tensor *constant;  /* Q or the sign diagonal */
    int batch;
    walsh_arena *arena;
    walsh_plan *train, *evaluate;
    walsh_wisdom *wisdom; /* NULL: by rule */
    /* What the plans read and write outside the arena. */
    walsh_tensor *pixels, *labels, *valid, *hyper, *metrics, *logits;
    float read_back[SLOTS][WALSH_METRICS];
    cl_event arrived[SLOTS];
    unsigned enqueued, collected; /* batches so far */
};

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

static walsh_value bind_parameter(walsh_network *network, walsh_plan *plan, walsh_copy copy, int index)
{
    if (index < 0) return WALSH_NO_VALUE;
    walsh_view view = walsh_parameters_view(walsh_graph_parameters(network->graph), copy, index);
    return walsh_plan_bind(plan, &view);
}

/* What both plans begin with: the image from bytes to normalised floats. */
static walsh_value plan_image(walsh_network *network, walsh_plan *plan)
{
    const walsh_layer *input = walsh_graph_layer(network->graph, 0);
    walsh_image_problem p = {.n = network->batch, .h = input->h, .w = input->w};
    memcpy(p.mean, network->options.mean, sizeof p.mean);
    memcpy(p.deviation, network->options.deviation, sizeof p.deviation);
    walsh_value image = walsh_plan_value(plan, walsh_op_shape(&walsh_image, &p, WALSH_IMAGE_Y));
    const walsh_value operands[] = {walsh_plan_bind(plan, &network->pixels->view), image};
    walsh_plan_add(plan, "image", &walsh_image, &p, operands);
    return image;
}

static walsh_head_parts head_parts(walsh_network *network, walsh_plan *plan, walsh_value features)
{
    walsh_head_parts parts = walsh_head_no_parts;
    parts.features = features;
    parts.labels = walsh_plan_bind(plan, &network->labels->view);
    parts.valid = walsh_plan_bind(plan, &network->valid->view);
    parts.weight = bind_parameter(network, plan, WALSH_COPY_WEIGHTS, network->weight);
    parts.alpha = bind_parameter(network, plan, WALSH_COPY_WEIGHTS, network->alpha);
    parts.bias = bind_parameter(network, plan, WALSH_COPY_WEIGHTS, network->bias);
    if (network->constant) parts.constant = walsh_plan_bind(plan, &network->constant->view);
    return parts;
}

/* Sums the rows' metrics where the host reads them back. */
static void plan_metrics(walsh_network *network, walsh_plan *plan, walsh_value rows)
{
    walsh_reduce_problem p = {.rows = network->batch, .c = WALSH_METRICS};
    const walsh_value operands[] = {rows, walsh_plan_bind(plan, &network->metrics->view)};
    walsh_plan_add(plan, "metrics", &walsh_reduce, &p, operands);
}

static void plan_sgd(walsh_network *network, walsh_plan *plan, bool nesterov)
{
    const walsh_parameters *parameters = walsh_graph_parameters(network->graph);
    walsh_sgd_problem p = {.elements = walsh_parameters_trained_extent(parameters),
                           .decayed = walsh_parameters_decayed_extent(parameters),
                           .nesterov = nesterov};
    walsh_view g = walsh_parameters_trained_view(parameters, WALSH_COPY_GRADIENT);
    walsh_view v = walsh_parameters_trained_view(parameters, WALSH_COPY_MOMENTUM);
    walsh_view w = walsh_parameters_trained_view(parameters, WALSH_COPY_WEIGHTS);
    const walsh_value operands[] = {walsh_plan_bind(plan, &network->hyper->view), walsh_plan_bind(plan, &g),
                                    walsh_plan_bind(plan, &v), walsh_plan_bind(plan, &w)};
    walsh_plan_add(plan, "sgd", &walsh_sgd, &p, operands);
}

static walsh_status plan_training(walsh_network *network, bool nesterov, float label_smoothing)
{
    walsh_lowering *lowering = NULL;
    walsh_head head = network->options.head;
    head.label_smoothing = label_smoothing;
    WALSH_TRY(walsh_head_valid(&head));
    WALSH_TRY(walsh_plan_create(network->device, &network->train));
    walsh_plan *plan = network->train;
    walsh_plan_consult(plan, network->wisdom);
    WALSH_TRY(walsh_lowering_create(plan, network->graph, network->batch, true, &lowering));
    walsh_head_parts parts = head_parts(network, plan, walsh_lower_forward(lowering, plan_image(network, plan)));
    parts.d_weight = bind_parameter(network, plan, WALSH_COPY_GRADIENT, network->weight);
    parts.d_bias = bind_parameter(network, plan, WALSH_COPY_GRADIENT, network->bias);
    if (!network->options.alpha_fixed)
        parts.d_alpha = bind_parameter(network, plan, WALSH_COPY_GRADIENT, network->alpha);
    walsh_head_train(plan, &head, &parts);
    plan_metrics(network, plan, parts.metrics);
    walsh_lower_backward(lowering, parts.d_features);
    plan_sgd(network, plan, nesterov);
    walsh_lowering_destroy(&lowering);
    return walsh_plan_layout(plan, network->arena);
}

static walsh_status plan_evaluation(walsh_network *network)
{
    walsh_lowering *lowering = NULL;
    WALSH_TRY(walsh_plan_create(network->device, &network->evaluate));
    walsh_plan *plan = network->evaluate;
    walsh_plan_consult(plan, network->wisdom);
    WALSH_TRY(walsh_lowering_create(plan, network->graph, network->batch, false, &lowering));
    walsh_head_parts parts = head_parts(network, plan, walsh_lower_forward(lowering, plan_image(network, plan)));
    parts.logits = walsh_plan_bind(plan, &network->logits->view);
    walsh_head_evaluate(plan, &network->options.head, &parts);
    plan_metrics(network, plan, parts.metrics);
    walsh_lowering_destroy(&lowering);
    return walsh_plan_layout(plan, network->arena);
}

void walsh_network_drain(walsh_network *network)
{
    clFinish(network->device->queue);
    for (int i = 0; i < SLOTS; i++) {
        if (network->arrived[i]) clReleaseEvent(network->arrived[i]);
        network->arrived[i] = NULL;
    }
    network->collected = network->enqueued;
}

int walsh_network_batch(const walsh_network *network)
{
    return network->batch;
}

/* Frees what depends on the batch. */
static void release_plans(walsh_network *network)
{
    walsh_tensor **tensors[] = {&network->pixels, &network->labels,  &network->valid,
                                &network->hyper,  &network->metrics, &network->logits};
    walsh_network_drain(network);
    walsh_plan_destroy(&network->train);
    walsh_plan_destroy(&network->evaluate);
    walsh_arena_destroy(&network->arena);
    for (size_t i = 0; i < sizeof tensors / sizeof *tensors; i++) walsh_tensor_destroy(tensors[i]);
}

static walsh_status make_tensors(walsh_network *network)
{
    const walsh_layer *input = walsh_graph_layer(network->graph, 0);
    walsh_image_problem image = {.n = network->batch, .h = input->h, .w = input->w, .deviation = {1, 1, 1}};
    walsh_shape pixels = walsh_op_shape(&walsh_image, &image, WALSH_IMAGE_PIXELS);
    walsh_device *device = network->device;
    WALSH_TRY(walsh_tensor_make(device, pixels, &network->pixels));
    WALSH_TRY(walsh_tensor_make(device, walsh_shape_array(WALSH_I32, network->batch), &network->labels));
    WALSH_TRY(walsh_tensor_make(device, walsh_shape_array(WALSH_I32, 4), &network->valid));
    WALSH_TRY(walsh_tensor_make(device, walsh_shape_vector(4), &network->hyper));
    WALSH_TRY(walsh_tensor_make(device, walsh_shape_vector(WALSH_METRICS), &network->metrics));
    return walsh_tensor_make(device, walsh_shape_matrix(network->batch, network->options.head.spec.classes),
                             &network->logits);
}

walsh_status walsh_network_prepare(walsh_network *network, int batch, bool train, bool nesterov, float label_smoothing)
{
    if (batch < 1) WALSH_FAIL(WALSH_E_ARGUMENT, "a batch of %d: expected at least 1", batch);
    release_plans(network);
    network->batch = batch;
    WALSH_TRY(make_tensors(network));
    WALSH_TRY(walsh_arena_create(network->device, &network->arena));
    if (train) WALSH_TRY(plan_training(network, nesterov, label_smoothing));
    WALSH_TRY(plan_evaluation(network));
    WALSH_TRY(walsh_arena_commit(network->arena));
    if (train) WALSH_TRY(walsh_plan_emit(network->train, network->arena));
    return walsh_plan_emit(network->evaluate, network->arena);
}

void walsh_network_consult(walsh_network *network, walsh_wisdom **wisdom)
{
    walsh_wisdom_destroy(&network->wisdom);
    network->wisdom = *wisdom;
    *wisdom = NULL;
}

walsh_status walsh_network_choices(const walsh_network *network, walsh_wisdom *wisdom)
{
    if (network->train) WALSH_TRY(walsh_plan_choices(network->train, wisdom));
    return walsh_plan_choices(network->evaluate, wisdom);
}

walsh_status walsh_network_tune(walsh_network *network, double seconds, walsh_wisdom *wisdom,
                                walsh_tune_observer observer, void *context)
{
    walsh_plan *plans[] = {network->evaluate, network->train};
    return walsh_tune_plans(plans, network->train ? 2 : 1, seconds, wisdom, observer, context);
}

static walsh_status enqueue_write(walsh_network *network, const walsh_tensor *to, const void *from, size_t bytes)
{
    WALSH_CL(clEnqueueWriteBuffer(network->device->queue, to->view.memory, CL_FALSE, 0, bytes, from, 0, NULL, NULL));
    return WALSH_OK;
}

/* Four words that change at each step: a fill takes its pattern at once, so the caller's memory need not stay. */
static walsh_status enqueue_words(walsh_network *network, const walsh_tensor *to, const void *words)
{
    WALSH_CL(clEnqueueFillBuffer(network->device->queue, to->view.memory, words, 16, 0, 16, 0, NULL, NULL));
    return WALSH_OK;
}

static walsh_status enqueue(walsh_network *network, walsh_plan *plan, const uint8_t *pixels, const int32_t *labels,
                            size_t count)
{
    unsigned slot = network->enqueued % SLOTS;
    if (network->enqueued - network->collected == SLOTS)
        WALSH_FAIL(WALSH_E_ARGUMENT, "%d batches are under way: collect their metrics first", SLOTS);
    const int32_t valid[4] = {(int32_t)count, 0, 0, 0};
    WALSH_TRY(enqueue_write(network, network->pixels, pixels, walsh_shape_bytes(network->pixels->view.shape)));
    WALSH_TRY(enqueue_write(network, network->labels, labels, (size_t)network->batch * sizeof *labels));
    WALSH_TRY(enqueue_words(network, network->valid, valid));
    WALSH_TRY(walsh_plan_run(plan));
    WALSH_CL(clEnqueueReadBuffer(network->device->queue, network->metrics->view.memory, CL_FALSE, 0,
                                 sizeof network->read_back[slot], network->read_back[slot], 0, NULL,
                                 &network->arrived[slot]));
    WALSH_CL(clFlush(network->device->queue));
    network->enqueued++;
    return WALSH_OK;
}

walsh_status walsh_network_train(walsh_network *network, const uint8_t *pixels, const int32_t *labels, size_t count,
                                 const walsh_hyper *hyper)
{
    WALSH_TRY(enqueue_words(network, network->hyper, hyper));
    return enqueue(network, network->train, pixels, labels, count);
}

walsh_status walsh_network_evaluate(walsh_network *network, const uint8_t *pixels, const int32_t *labels, size_t count)
{
    return enqueue(network, network->evaluate, pixels, labels, count);
}

walsh_status walsh_network_metrics(walsh_network *network, walsh_batch_metrics *metrics)
{
    if (network->enqueued == network->collected) WALSH_FAIL(WALSH_E_ARGUMENT, "no batch is under way");
    unsigned slot = network->collected++ % SLOTS;
    cl_int code = clWaitForEvents(1, &network->arrived[slot]);
    clReleaseEvent(network->arrived[slot]);
    network->arrived[slot] = NULL;
    if (code != CL_SUCCESS) return walsh_cl_fail(code, "running a batch");
    const float *sums = network->read_back[slot];
    *metrics = (walsh_batch_metrics){.loss = sums[WALSH_METRIC_LOSS],
                                     .top1_wrong = sums[WALSH_METRIC_TOP1_WRONG],
                                     .top5_wrong = sums[WALSH_METRIC_TOP5_WRONG]};
    return WALSH_OK;
}

walsh_status walsh_network_logits(walsh_network *network, float *logits)
{
    return walsh_tensor_download(network->logits, logits);
}

size_t walsh_network_arena_bytes(const walsh_network *network)
{
    return walsh_arena_bytes(network->arena);
}

const walsh_plan *walsh_network_plan(const walsh_network *network, bool train)
{
    return train ? network->train : network->evaluate;
}

walsh_status walsh_network_profile(const walsh_network *network, walsh_profile_line **lines, size_t *count)
{
    if (network->train) WALSH_TRY(walsh_plan_profile(network->train, "training", lines, count));
    return walsh_plan_profile(network->evaluate, "evaluation", lines, count);
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
