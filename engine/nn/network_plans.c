/* The plans of a network: image, layers, head and optimizer in order. */
#include "engine/nn/network_plans.h"

#include <stdlib.h>
#include <string.h>

#include "engine/nn/lower.h"
#include "engine/op/add.h"
#include "engine/op/image.h"
#include "engine/op/reduce.h"
#include "engine/op/sgd.h"

static walsh_value bind_parameter(const walsh_network *network, walsh_plan *plan, walsh_copy copy, int index)
{
    if (index < 0) return WALSH_NO_VALUE;
    walsh_view view = walsh_parameters_view(walsh_graph_parameters(network->graph), copy, index);
    return walsh_plan_bind(plan, &view);
}

static walsh_image_problem image_problem(const walsh_network *network, int batch)
{
    const walsh_layer *input = walsh_graph_layer(network->graph, 0);
    walsh_image_problem p = {.n = batch, .h = input->h, .w = input->w};
    memcpy(p.mean, network->options.mean, sizeof p.mean);
    memcpy(p.deviation, network->options.deviation, sizeof p.deviation);
    return p;
}

/* What both plans begin with: the image from bytes to normalised floats. */
static walsh_value plan_image(const walsh_network *network, const walsh_network_plans *plans, walsh_plan *plan)
{
    walsh_image_problem p = image_problem(network, plans->purpose.batch);
    walsh_value image = walsh_plan_value(plan, walsh_op_shape(&walsh_image, &p, WALSH_IMAGE_Y));
    const walsh_value operands[] = {walsh_plan_bind(plan, &plans->pixels->view), image};
    walsh_plan_add(plan, "image", &walsh_image, &p, operands);
    return image;
}

static walsh_head_parts head_parts(const walsh_network *network, const walsh_network_plans *plans, walsh_plan *plan,
                                   walsh_value features)
{
    walsh_head_parts parts = walsh_head_no_parts;
    parts.features = features;
    parts.labels = walsh_plan_bind(plan, &plans->labels->view);
    parts.valid = walsh_plan_bind(plan, &plans->valid->view);
    parts.weight = bind_parameter(network, plan, WALSH_COPY_WEIGHTS, network->weight);
    parts.alpha = bind_parameter(network, plan, WALSH_COPY_WEIGHTS, network->alpha);
    parts.bias = bind_parameter(network, plan, WALSH_COPY_WEIGHTS, network->bias);
    if (network->constant) parts.constant = walsh_plan_bind(plan, &network->constant->view);
    return parts;
}

/* Sums the rows' metrics where the host reads them back. */
static void plan_metrics(const walsh_network_plans *plans, walsh_plan *plan, walsh_value rows)
{
    walsh_reduce_problem p = {.rows = plans->purpose.batch, .c = WALSH_METRICS};
    const walsh_value operands[] = {rows, walsh_plan_bind(plan, &plans->metrics->view)};
    walsh_plan_add(plan, "metrics", &walsh_reduce, &p, operands);
}

/* sums += gradients, as rows of what every parameter's place is a multiple of. */
static void plan_sums(const walsh_network *network, const walsh_network_plans *plans, walsh_plan *plan)
{
    const walsh_parameters *parameters = walsh_graph_parameters(network->graph);
    walsh_add_problem p = {.n = 1,
                           .h = walsh_parameters_trained_extent(parameters) / WALSH_PARAMETERS_ALIGNMENT,
                           .w = 1,
                           .c = WALSH_PARAMETERS_ALIGNMENT};
    walsh_view g = walsh_parameters_trained_view(parameters, WALSH_COPY_GRADIENT), sums = plans->sums->view;
    g.shape = sums.shape = walsh_shape_nhwc(p.n, p.h, p.w, p.c);
    walsh_value sum = walsh_plan_bind(plan, &sums);
    const walsh_value operands[] = {sum, walsh_plan_bind(plan, &g), sum};
    walsh_plan_add(plan, "sums", &walsh_add, &p, operands);
}

static void plan_sgd(const walsh_network *network, const walsh_network_plans *plans, walsh_plan *plan)
{
    const walsh_parameters *parameters = walsh_graph_parameters(network->graph);
    walsh_sgd_problem p = {.elements = walsh_parameters_trained_extent(parameters),
                           .decayed = walsh_parameters_decayed_extent(parameters),
                           .nesterov = plans->purpose.nesterov};
    walsh_view g = plans->sums ? plans->sums->view : walsh_parameters_trained_view(parameters, WALSH_COPY_GRADIENT);
    walsh_view v = walsh_parameters_trained_view(parameters, WALSH_COPY_MOMENTUM);
    walsh_view w = walsh_parameters_trained_view(parameters, WALSH_COPY_WEIGHTS);
    const walsh_value operands[] = {walsh_plan_bind(plan, &plans->hyper->view), walsh_plan_bind(plan, &g),
                                    walsh_plan_bind(plan, &v), walsh_plan_bind(plan, &w)};
    walsh_plan_add(plan, "sgd", &walsh_sgd, &p, operands);
}

static walsh_status plan_training(const walsh_network *network, walsh_network_plans *plans)
{
    walsh_lowering *lowering = NULL;
    walsh_head head = network->options.head;
    head.label_smoothing = plans->purpose.label_smoothing;
    WALSH_TRY(walsh_head_valid(&head));
    WALSH_TRY(walsh_plan_create(network->device, &plans->train));
    walsh_plan *plan = plans->train;
    walsh_plan_consult(plan, network->wisdom);
    bool body = !network->options.freeze_body;
    WALSH_TRY(walsh_lowering_create(plan, network->graph, plans->purpose.batch, body, &lowering));
    walsh_value features = walsh_lower_forward(lowering, plan_image(network, plans, plan));
    walsh_head_parts parts = head_parts(network, plans, plan, features);
    parts.d_weight = bind_parameter(network, plan, WALSH_COPY_GRADIENT, network->weight);
    parts.d_bias = bind_parameter(network, plan, WALSH_COPY_GRADIENT, network->bias);
    if (!network->options.alpha_fixed)
        parts.d_alpha = bind_parameter(network, plan, WALSH_COPY_GRADIENT, network->alpha);
    walsh_head_train(plan, &head, &parts);
    plan_metrics(plans, plan, parts.metrics);
    if (plans->purpose.half) walsh_lower_store_half(lowering);
    if (body) walsh_lower_backward(lowering, parts.d_features);
    if (plans->sums)
        plan_sums(network, plans, plan);
    else
        plan_sgd(network, plans, plan);
    walsh_lowering_destroy(&lowering);
    return walsh_plan_layout(plan, plans->arena);
}

static walsh_status plan_update(const walsh_network *network, walsh_network_plans *plans)
{
    WALSH_TRY(walsh_plan_create(network->device, &plans->update));
    walsh_plan_consult(plans->update, network->wisdom);
    plan_sgd(network, plans, plans->update);
    return walsh_plan_layout(plans->update, plans->arena);
}

static walsh_status plan_evaluation(const walsh_network *network, walsh_network_plans *plans)
{
    walsh_lowering *lowering = NULL;
    WALSH_TRY(walsh_plan_create(network->device, &plans->evaluate));
    walsh_plan *plan = plans->evaluate;
    walsh_plan_consult(plan, network->wisdom);
    WALSH_TRY(walsh_lowering_create(plan, network->graph, plans->purpose.batch, false, &lowering));
    walsh_value features = walsh_lower_forward(lowering, plan_image(network, plans, plan));
    walsh_head_parts parts = head_parts(network, plans, plan, features);
    parts.logits = walsh_plan_bind(plan, &plans->logits->view);
    walsh_head_evaluate(plan, &network->options.head, &parts);
    plan_metrics(plans, plan, parts.metrics);
    walsh_lowering_destroy(&lowering);
    return walsh_plan_layout(plan, plans->arena);
}

/* A zeroed tensor, or only the shape of one. */
static walsh_status make_tensor(const walsh_network *network, walsh_shape shape, bool commit, walsh_tensor **tensor)
{
    if (commit) return walsh_tensor_make(network->device, shape, tensor);
    WALSH_TRY(walsh_buffer_check(network->device, walsh_shape_bytes(shape), "a batch"));
    WALSH_TRY(walsh_alloc(tensor, 1, sizeof **tensor, "a tensor"));
    **tensor = (walsh_tensor){.device = network->device, .view = {.shape = shape}};
    return WALSH_OK;
}

static walsh_status make_tensors(const walsh_network *network, bool commit, walsh_network_plans *plans)
{
    const walsh_parameters *parameters = walsh_graph_parameters(network->graph);
    const walsh_network_purpose *purpose = &plans->purpose;
    walsh_image_problem image = image_problem(network, purpose->batch);
    const struct {
        walsh_tensor **tensor;
        walsh_shape shape;
    } made[] = {
        {&plans->pixels, walsh_op_shape(&walsh_image, &image, WALSH_IMAGE_PIXELS)},
        {&plans->labels, walsh_shape_array(WALSH_I32, purpose->batch)},
        {&plans->valid, walsh_shape_array(WALSH_I32, 4)},
        {&plans->hyper, walsh_shape_vector(4)},
        {&plans->metrics, walsh_shape_vector(WALSH_METRICS)},
        {&plans->logits, walsh_shape_matrix(purpose->batch, network->options.head.spec.classes)},
        {&plans->sums, walsh_shape_vector(walsh_parameters_trained_extent(parameters))},
    };
    size_t count = sizeof made / sizeof *made - (purpose->train && purpose->parts > 1 ? 0 : 1); /* without sums */
    for (size_t i = 0; i < count; i++) WALSH_TRY(make_tensor(network, made[i].shape, commit, made[i].tensor));
    return WALSH_OK;
}

static walsh_status make_plans(const walsh_network *network, walsh_network_plans *plans)
{
    if (plans->purpose.train) WALSH_TRY(plan_training(network, plans));
    if (plans->sums) WALSH_TRY(plan_update(network, plans));
    return plan_evaluation(network, plans);
}

walsh_status walsh_network_plans_make(walsh_network *network, const walsh_network_purpose *purpose, bool commit,
                                      walsh_network_plans *plans)
{
    *plans = (walsh_network_plans){.purpose = *purpose};
    if (!purpose->parts) plans->purpose.parts = 1;
    if (purpose->batch < 1) WALSH_FAIL(WALSH_E_ARGUMENT, "a batch of %d: expected at least 1", purpose->batch);
    WALSH_TRY(make_tensors(network, commit, plans));
    WALSH_TRY(walsh_arena_create(network->device, &plans->arena));
    const bool before = walsh_network_be_exact(network, purpose->exact);
    walsh_status status = make_plans(network, plans);
    walsh_network_be_exact(network, before);
    WALSH_TRY(status);
    if (!commit) return WALSH_OK;
    WALSH_TRY(walsh_arena_commit(plans->arena));
    walsh_plan *const all[] = {plans->train, plans->update, plans->evaluate};
    walsh_plan *made[3];
    size_t count = 0;
    for (int i = 0; i < 3; i++)
        if (all[i]) made[count++] = all[i];
    return walsh_plans_emit(made, count, plans->arena);
}

static size_t bytes_of(const walsh_tensor *tensor)
{
    return tensor ? walsh_shape_bytes(tensor->view.shape) : 0;
}

walsh_network_memory walsh_network_plans_memory(const walsh_network *network, const walsh_network_plans *plans)
{
    const walsh_parameters *parameters = walsh_graph_parameters(network->graph);
    size_t numbers = walsh_parameters_extent(parameters, WALSH_COPY_WEIGHTS);
    if (network->options.trains) numbers += 2 * walsh_parameters_extent(parameters, WALSH_COPY_GRADIENT);
    return (walsh_network_memory){
        .parameters = numbers * sizeof(float) + bytes_of(network->constant) + bytes_of(plans->sums),
        .activations = walsh_arena_bytes(plans->arena),
        .batches = bytes_of(plans->pixels) + bytes_of(plans->labels) + bytes_of(plans->logits),
    };
}

void walsh_network_plans_release(walsh_network_plans *plans)
{
    walsh_tensor **tensors[] = {&plans->pixels,  &plans->labels, &plans->valid, &plans->hyper,
                                &plans->metrics, &plans->logits, &plans->sums};
    walsh_plan_destroy(&plans->train);
    walsh_plan_destroy(&plans->update);
    walsh_plan_destroy(&plans->evaluate);
    walsh_arena_destroy(&plans->arena);
    for (size_t i = 0; i < sizeof tensors / sizeof *tensors; i++) walsh_tensor_destroy(tensors[i]);
}
