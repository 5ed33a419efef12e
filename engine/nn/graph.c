#include "engine/nn/graph.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/op/conv.h"

struct walsh_graph {
    walsh_layer *layers;
    int count;
    walsh_parameters *parameters;
    int **lanes; /* what the layers' `lane` point to */
    int lanes_count;
    walsh_status status;
    char message[256];
};

walsh_status walsh_graph_create(int h, int w, int c, walsh_graph **graph)
{
    *graph = NULL;
    if (h < 1 || w < 1 || c < 1)
        WALSH_FAIL(WALSH_E_ARGUMENT, "an image of %d x %d x %d: every size must be at least 1", h, w, c);
    walsh_graph *made = NULL;
    WALSH_TRY(walsh_alloc(&made, 1, sizeof *made, "a network"));
    walsh_status status = walsh_grow(&made->layers, 0, sizeof *made->layers, "a network");
    if (!status) status = walsh_parameters_create(&made->parameters);
    if (status) {
        walsh_graph_destroy(&made);
        return status;
    }
    made->layers[made->count++] = (walsh_layer){
        .kind = WALSH_LAYER_INPUT, .name = "input", .input = {-1, -1}, .h = h, .w = w, .c = c, .lanes = c};
    *graph = made;
    return WALSH_OK;
}

static walsh_node refuse(walsh_graph *graph, walsh_status status)
{
    if (!graph->status) {
        graph->status = status;
        snprintf(graph->message, sizeof graph->message, "%s", walsh_message());
    }
    return -1;
}

/* Appends a layer that reads `a` and `b` (-1: none), taking over a's output shape; NULL after a failure. */
static walsh_layer *append(walsh_graph *graph, walsh_layer_kind kind, const char *name, walsh_node a, walsh_node b)
{
    if (graph->status || a < 0) return NULL;
    walsh_status status = walsh_grow(&graph->layers, (size_t)graph->count, sizeof *graph->layers, "a network");
    if (status) {
        refuse(graph, status);
        return NULL;
    }
    walsh_layer *from = &graph->layers[a], *layer = &graph->layers[graph->count++];
    *layer = (walsh_layer){.kind = kind,
                           .input = {a, b},
                           .h = from->h,
                           .w = from->w,
                           .c = from->c,
                           .lanes = from->lanes,
                           .lane = from->lane,
                           .shuffle = from->shuffle};
    snprintf(layer->name, sizeof layer->name, "%s", name);
    from->consumers++;
    if (b >= 0) graph->layers[b].consumers++;
    return layer;
}

/* Room for the lanes of `channels` channels, the graph's. */
static walsh_status keep_lanes(walsh_graph *graph, int channels, int **lane)
{
    WALSH_TRY(walsh_grow(&graph->lanes, (size_t)graph->lanes_count, sizeof *graph->lanes, "a network"));
    WALSH_TRY(walsh_alloc(lane, (size_t)channels, sizeof **lane, "a network"));
    graph->lanes[graph->lanes_count++] = *lane;
    return WALSH_OK;
}

static int add_parameter(walsh_graph *graph, const char *layer, const char *field, walsh_parameter parameter)
{
    int index = -1;
    snprintf(parameter.name, sizeof parameter.name, "%s.%s", layer, field);
    walsh_status status = walsh_parameters_add(graph->parameters, &parameter, &index);
    if (status) refuse(graph, status);
    return index;
}

/* Whether a convolution by groups finds its input's channels: where they are, or as a shuffle of as many groups left
 * them. Depthwise, the lanes do not matter. */
static bool finds_channels(const walsh_layer *input, int groups)
{
    return groups == 1 || groups == input->c ||
           (input->lanes == input->c && (!input->lane || input->shuffle == groups));
}

/* Weight, and the bias of a convolution to `oc` channels of `input`, which has become `layer`. */
static void add_conv_parameters(walsh_graph *graph, const char *name, walsh_layer *layer, const walsh_layer *input,
                                bool bias)
{
    int groups = layer->groups, window = layer->window;
    bool depthwise = groups > 1 && groups == input->c && groups == layer->c;
    walsh_parameter weight = {.layout = depthwise ? WALSH_LAYOUT_DEPTHWISE : WALSH_LAYOUT_OIHW,
                              .role = WALSH_ROLE_TRAINED,
                              .rank = 4,
                              .dims = {layer->c, input->c / groups, window, window},
                              .groups = groups,
                              .init = WALSH_INIT_HE_FAN_OUT};
    if (depthwise || groups == 1) weight.lanes = input->lanes, weight.lane = input->lane;
    layer->weight = add_parameter(graph, name, "weight", weight);
    layer->bias = -1;
    if (bias)
        layer->bias = add_parameter(graph, name, "bias",
                                    (walsh_parameter){.layout = WALSH_LAYOUT_VECTOR,
                                                      .role = WALSH_ROLE_TRAINED,
                                                      .rank = 1,
                                                      .dims = {layer->c},
                                                      .lanes = layer->lanes,
                                                      .lane = layer->lane,
                                                      .init = WALSH_INIT_ZERO});
}

static walsh_node add_conv(walsh_graph *graph, const char *name, walsh_node x, const walsh_conv *c, bool bias)
{
    walsh_layer *layer = append(graph, WALSH_LAYER_CONV, name, x, -1);
    if (!layer) return -1;
    const walsh_layer input = *layer;
    walsh_conv conv = *c;
    conv.n = 1, conv.h = input.h, conv.w = input.w, conv.ic = input.c;
    walsh_shape xs, ws, ys;
    walsh_status status = walsh_conv_shapes(&conv, &xs, &ws, &ys);
    if (!status && !finds_channels(&input, conv.groups))
        status = walsh_fail(WALSH_E_ARGUMENT, "%d groups of channels that do not lie side by side", conv.groups);
    if (status) return refuse(graph, walsh_fail(status, "%s: %s", name, walsh_message()));
    layer->h = ys.h, layer->w = ys.w;
    layer->window = conv.kh, layer->stride = conv.stride, layer->pad = conv.pad, layer->groups = conv.groups;
    if (!walsh_conv_is_depthwise(&conv)) {
        layer->shuffled = conv.groups > 1 && input.lane;
        layer->c = layer->lanes = conv.oc, layer->lane = NULL, layer->shuffle = 0;
    }
    add_conv_parameters(graph, name, layer, &input, bias);
    return graph->count - 1;
}

walsh_node walsh_graph_conv(walsh_graph *graph, const char *name, walsh_node x, int oc, int kernel, int stride, int pad)
{
    const walsh_conv conv = {.oc = oc, .kh = kernel, .kw = kernel, .stride = stride, .pad = pad, .groups = 1};
    return add_conv(graph, name, x, &conv, false);
}

walsh_node walsh_graph_conv_by(walsh_graph *graph, const char *name, walsh_node x, int oc, int kernel, int stride,
                               int pad, int groups)
{
    const walsh_conv conv = {.oc = oc, .kh = kernel, .kw = kernel, .stride = stride, .pad = pad, .groups = groups};
    return add_conv(graph, name, x, &conv, true);
}

walsh_node walsh_graph_shuffle(walsh_graph *graph, walsh_node x, int groups)
{
    int *lane = NULL;
    if (graph->status || x < 0) return -1;
    walsh_layer *layer = &graph->layers[x];
    if (layer->consumers || layer->lane || groups < 1 || layer->c % groups)
        return refuse(graph, walsh_fail(WALSH_E_ARGUMENT, "%s: its %d channels cannot be shuffled in %d groups",
                                        layer->name, layer->c, groups));
    walsh_status status = keep_lanes(graph, layer->c, &lane);
    if (status) return refuse(graph, status);
    for (int i = 0; i < layer->c; i++) lane[i] = i % groups * (layer->c / groups) + i / groups;
    layer->lane = lane, layer->shuffle = groups;
    return x;
}

walsh_node walsh_graph_batchnorm(walsh_graph *graph, const char *name, walsh_node x)
{
    walsh_layer *layer = append(graph, WALSH_LAYER_BATCHNORM, name, x, -1);
    if (!layer) return -1;
    walsh_parameter vector = {.layout = WALSH_LAYOUT_VECTOR,
                              .role = WALSH_ROLE_TRAINED,
                              .rank = 1,
                              .dims = {layer->c},
                              .lanes = layer->lanes,
                              .lane = layer->lane};
    vector.init = WALSH_INIT_ONE;
    layer->gamma = add_parameter(graph, name, "weight", vector);
    vector.init = WALSH_INIT_ZERO;
    layer->beta = add_parameter(graph, name, "bias", vector);
    vector.role = WALSH_ROLE_STATISTIC;
    layer->run_mean = add_parameter(graph, name, "running_mean", vector);
    vector.init = WALSH_INIT_ONE;
    layer->run_var = add_parameter(graph, name, "running_var", vector);
    return graph->count - 1;
}

walsh_node walsh_graph_relu(walsh_graph *graph, walsh_node x)
{
    return append(graph, WALSH_LAYER_RELU, "relu", x, -1) ? graph->count - 1 : -1;
}

walsh_node walsh_graph_add(walsh_graph *graph, walsh_node a, walsh_node b)
{
    if (graph->status || a < 0 || b < 0) return -1;
    const walsh_layer *p = &graph->layers[a], *q = &graph->layers[b];
    if (p->h != q->h || p->w != q->w || p->c != q->c || p->lane != q->lane)
        return refuse(graph, walsh_fail(WALSH_E_ARGUMENT, "cannot add %s (%dx%dx%d) and %s (%dx%dx%d)", p->name, p->h,
                                        p->w, p->c, q->name, q->h, q->w, q->c));
    return append(graph, WALSH_LAYER_ADD, "add", a, b) ? graph->count - 1 : -1;
}

static int lane_of(const walsh_layer *layer, int channel)
{
    return layer->lane ? layer->lane[channel] : channel;
}

/* The lanes of a's channels, then b's, the first of which is `first`; NULL where they are their numbers, or after a
 * failure. */
static const int *lanes_of(walsh_graph *graph, const walsh_layer *a, const walsh_layer *b, int first)
{
    int *lane = NULL;
    if (!a->lane && !b->lane && a->c == first) return NULL;
    walsh_status status = keep_lanes(graph, a->c + b->c, &lane);
    if (status) {
        refuse(graph, status);
        return NULL;
    }
    for (int i = 0; i < a->c; i++) lane[i] = lane_of(a, i);
    for (int i = 0; i < b->c; i++) lane[a->c + i] = first + lane_of(b, i);
    return lane;
}

walsh_node walsh_graph_concat(walsh_graph *graph, walsh_node a, walsh_node b)
{
    if (graph->status || a < 0 || b < 0) return -1;
    walsh_layer *p = &graph->layers[a], *q = &graph->layers[b];
    if (p->h != q->h || p->w != q->w)
        return refuse(graph, walsh_fail(WALSH_E_ARGUMENT, "cannot concatenate %s (%dx%dx%d) and %s (%dx%dx%d)", p->name,
                                        p->h, p->w, p->c, q->name, q->h, q->w, q->c));
    if (p->joined || q->joined || a == b || !a || !b)
        return refuse(graph, walsh_fail(WALSH_E_ARGUMENT,
                                        "%s and %s: the image, or what is part of a concatenation, "
                                        "cannot be part of another",
                                        p->name, q->name));
    p->joined = q->joined = true;
    int first = walsh_pad(p->lanes), channels = p->c + q->c, lanes = first + q->lanes;
    const int *lane = lanes_of(graph, p, q, first);
    walsh_layer *layer = append(graph, WALSH_LAYER_CONCAT, "concat", a, b);
    if (!layer) return -1;
    layer->c = channels, layer->lanes = lanes, layer->lane = lane, layer->shuffle = 0;
    return graph->count - 1;
}

walsh_node walsh_graph_pool(walsh_graph *graph, walsh_pool_kind kind, walsh_node x, int window, int stride, int pad)
{
    walsh_layer *layer = append(graph, WALSH_LAYER_POOL, "pool", x, -1);
    if (!layer) return -1;
    walsh_pool pool = {.kind = kind,
                       .n = 1,
                       .h = layer->h,
                       .w = layer->w,
                       .c = layer->c,
                       .window = window,
                       .stride = stride,
                       .pad = pad};
    walsh_shape shapes[WALSH_MAX_OPERANDS];
    walsh_status status = walsh_pool_forward.shapes(&pool, shapes);
    if (status) return refuse(graph, status);
    layer->h = walsh_pool_oh(&pool), layer->w = walsh_pool_ow(&pool);
    layer->pool = kind, layer->window = window, layer->stride = stride, layer->pad = pad;
    return graph->count - 1;
}

walsh_status walsh_graph_check(const walsh_graph *graph)
{
    if (graph->status) WALSH_FAIL(graph->status, "%s", graph->message);
    const walsh_layer *last = &graph->layers[graph->count - 1];
    if (last->h != 1 || last->w != 1)
        WALSH_FAIL(WALSH_E_ARGUMENT, "the network ends in %dx%dx%d; a head needs 1x1xN features", last->h, last->w,
                   last->c);
    return WALSH_OK;
}

int walsh_graph_layers(const walsh_graph *graph)
{
    return graph->count;
}
const walsh_layer *walsh_graph_layer(const walsh_graph *graph, walsh_node node)
{
    return &graph->layers[node];
}
int walsh_graph_features(const walsh_graph *graph)
{
    return graph->layers[graph->count - 1].c;
}
walsh_parameters *walsh_graph_parameters(const walsh_graph *graph)
{
    return graph->parameters;
}

void walsh_graph_destroy(walsh_graph **graph)
{
    if (!*graph) return;
    walsh_parameters_destroy(&(*graph)->parameters);
    for (int i = 0; i < (*graph)->lanes_count; i++) free((*graph)->lanes[i]);
    free((*graph)->lanes);
    free((*graph)->layers);
    free(*graph);
    *graph = NULL;
}
