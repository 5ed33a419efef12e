/* What lowering knows of a graph: which layers meet in one pass, and the problems of their operations. */
#include "engine/nn/lowering.h"

#include <stdlib.h>

/* A concatenation comes after its parts, so the last ones are the roots. */
static void find_homes(walsh_lowering *l)
{
    int layers = walsh_graph_layers(l->graph);
    for (walsh_node i = 0; i < layers; i++) l->home[i].root = -1;
    for (walsh_node i = layers - 1; i > 0; i--) {
        const walsh_layer *layer = walsh_lower_layer(l, i);
        if (layer->kind != WALSH_LAYER_CONCAT) continue;
        if (l->home[i].root < 0) l->home[i] = (walsh_lower_home){i, 0};
        walsh_lower_home *a = &l->home[layer->input[0]], *b = &l->home[layer->input[1]];
        *a = *b = l->home[i];
        b->first += walsh_pad(walsh_lower_layer(l, layer->input[0])->lanes);
    }
}

walsh_status walsh_lowering_create(walsh_plan *plan, const walsh_graph *graph, int batch, bool train,
                                   walsh_lowering **lowering)
{
    size_t n = (size_t)walsh_graph_layers(graph);
    walsh_lowering *made = NULL;
    *lowering = NULL;
    WALSH_TRY(walsh_alloc(&made, 1, sizeof *made, "a plan"));
    *made = (walsh_lowering){.plan = plan, .graph = graph, .batch = batch, .train = train};
    walsh_value **array[] = {&made->output,  &made->saved, &made->partial, &made->gradient, &made->sums,
                             &made->factors, &made->whole, &made->moments, &made->rest};
    for (size_t i = 0; i < sizeof array / sizeof *array; i++) {
        walsh_status status = walsh_alloc(array[i], n, sizeof **array[i], "a plan");
        if (status) {
            walsh_lowering_destroy(&made);
            return status;
        }
        for (size_t k = 0; k < n; k++) (*array[i])[k] = WALSH_NO_VALUE;
    }
    walsh_status status = walsh_alloc(&made->unstored, n, sizeof *made->unstored, "a plan");
    if (!status) status = walsh_alloc(&made->again, n, sizeof *made->again, "a plan");
    if (!status) status = walsh_alloc(&made->home, n, sizeof *made->home, "a plan");
    if (status)
        walsh_lowering_destroy(&made);
    else
        find_homes(made);
    *lowering = made;
    return status;
}

void walsh_lowering_destroy(walsh_lowering **lowering)
{
    if (!*lowering) return;
    free((*lowering)->output);
    free((*lowering)->saved);
    free((*lowering)->partial);
    free((*lowering)->gradient);
    free((*lowering)->sums);
    free((*lowering)->factors);
    free((*lowering)->rest);
    free((*lowering)->unstored);
    free((*lowering)->again);
    free((*lowering)->home);
    free((*lowering)->whole);
    free((*lowering)->moments);
    free(*lowering);
    *lowering = NULL;
}

const walsh_layer *walsh_lower_layer(const walsh_lowering *l, walsh_node node)
{
    return walsh_graph_layer(l->graph, node);
}

/* Concatenations are gone through by 16 lanes of many pixels: each begins with a cache line, and neighbours, not
 * multiples of four lines apart, are in different sets of the caches. */
walsh_shape walsh_lower_shape(const walsh_lowering *l, walsh_node node)
{
    const walsh_layer *layer = walsh_lower_layer(l, node);
    walsh_shape shape = walsh_shape_nhwc(l->batch, layer->h, layer->w, layer->lanes);
    if (layer->kind == WALSH_LAYER_CONCAT) {
        shape.pitch = (shape.pitch + 15) / 16 * 16;
        if (shape.pitch % 64 == 0) shape.pitch += 16;
    }
    return shape;
}

walsh_value walsh_lower_place(walsh_lowering *l, walsh_node node)
{
    walsh_lower_home home = l->home[node];
    if (home.root < 0) return walsh_plan_value(l->plan, walsh_lower_shape(l, node));
    walsh_value *whole = &l->whole[home.root];
    if (*whole < 0) *whole = walsh_plan_value(l->plan, walsh_lower_shape(l, home.root));
    return walsh_plan_slice(l->plan, *whole, home.first, walsh_lower_layer(l, node)->lanes);
}

walsh_value walsh_lower_weights(walsh_lowering *l, int parameter)
{
    walsh_view view = walsh_parameters_view(walsh_graph_parameters(l->graph), WALSH_COPY_WEIGHTS, parameter);
    return l->train ? walsh_plan_bind(l->plan, &view) : walsh_plan_bind_constant(l->plan, &view);
}

walsh_value walsh_lower_gradient(walsh_lowering *l, int parameter)
{
    walsh_view view = walsh_parameters_view(walsh_graph_parameters(l->graph), WALSH_COPY_GRADIENT, parameter);
    return walsh_plan_bind(l->plan, &view);
}

walsh_value walsh_lower_output(walsh_lowering *l, const walsh_op *op, const void *problem, int operand)
{
    return walsh_plan_value(l->plan, walsh_op_shape(op, problem, operand));
}

bool walsh_lower_can(const walsh_lowering *l, const walsh_op *op, const void *problem)
{
    return walsh_op_can(walsh_plan_device(l->plan), op, problem);
}

walsh_conv walsh_lower_conv(const walsh_lowering *l, walsh_node node)
{
    const walsh_layer *layer = walsh_lower_layer(l, node), *from = walsh_lower_layer(l, layer->input[0]);
    bool depthwise = layer->groups > 1 && layer->groups == from->c && layer->groups == layer->c;
    return (walsh_conv){.n = l->batch,
                        .h = from->h,
                        .w = from->w,
                        .ic = from->lanes,
                        .oc = layer->lanes,
                        .kh = layer->window,
                        .kw = layer->window,
                        .stride = layer->stride,
                        .pad = layer->pad,
                        .groups = depthwise ? layer->lanes : layer->groups,
                        .shuffled = layer->shuffled};
}

walsh_bn walsh_lower_bn(const walsh_lowering *l, walsh_node node)
{
    const walsh_layer *layer = walsh_lower_layer(l, node);
    return (walsh_bn){.n = l->batch, .h = layer->h, .w = layer->w, .c = layer->lanes};
}

walsh_relu walsh_lower_relu(const walsh_lowering *l, walsh_node node)
{
    const walsh_layer *layer = walsh_lower_layer(l, node);
    return (walsh_relu){.n = l->batch, .h = layer->h, .w = layer->w, .c = layer->lanes};
}

walsh_pool walsh_lower_pool(const walsh_lowering *l, walsh_node node)
{
    const walsh_layer *layer = walsh_lower_layer(l, node), *from = walsh_lower_layer(l, layer->input[0]);
    return (walsh_pool){.kind = layer->pool,
                        .n = l->batch,
                        .h = from->h,
                        .w = from->w,
                        .c = from->lanes,
                        .window = layer->window,
                        .stride = layer->stride,
                        .pad = layer->pad};
}

bool walsh_lower_has_holes(const walsh_lowering *l)
{
    return walsh_lower_layer(l, walsh_graph_layers(l->graph) - 1)->lane;
}

walsh_lanes_problem walsh_lower_lanes(const walsh_lowering *l, bool back)
{
    const walsh_layer *last = walsh_lower_layer(l, walsh_graph_layers(l->graph) - 1);
    walsh_lanes_problem p = {.rows = l->batch, .in = back ? last->c : last->lanes, .out = back ? last->lanes : last->c};
    int runs = 0;
    for (int c = 0; c < last->c; c++) {
        bool follows = c && last->lane[c] == last->lane[c - 1] + 1;
        if (!follows && runs == WALSH_LANE_RUNS) {
            walsh_plan_fail(l->plan, walsh_fail(WALSH_E_ARGUMENT, "features with more than %d gaps between their lanes",
                                                WALSH_LANE_RUNS - 1));
            break;
        }
        if (!follows) p.run[runs++] = (walsh_lane_run){back ? c : last->lane[c], back ? last->lane[c] : c, 0};
        p.run[runs - 1].count++;
    }
    return p;
}

/* The layer that alone reads `node`'s output, if it is of that kind; else -1. */
static walsh_node sole_reader(const walsh_lowering *l, walsh_node node, walsh_layer_kind kind)
{
    if (walsh_lower_layer(l, node)->consumers != 1) return -1;
    for (walsh_node i = node + 1; i < walsh_graph_layers(l->graph); i++) {
        const walsh_layer *reader = walsh_lower_layer(l, i);
        if (reader->input[0] == node || reader->input[1] == node) return reader->kind == kind ? i : -1;
    }
    return -1;
}

bool walsh_lower_is_centred(const walsh_lowering *l, walsh_node node)
{
    return sole_reader(l, node, WALSH_LAYER_BATCHNORM) >= 0;
}

bool walsh_lower_is_batchnorm(const walsh_lowering *l, walsh_node node)
{
    return node >= 0 && walsh_lower_layer(l, node)->kind == WALSH_LAYER_BATCHNORM;
}

bool walsh_lower_is_pending(const walsh_lowering *l, walsh_node node)
{
    return walsh_lower_is_batchnorm(l, node) &&
           (sole_reader(l, node, WALSH_LAYER_RELU) >= 0 || sole_reader(l, node, WALSH_LAYER_ADD) >= 0);
}

walsh_lower_grouping walsh_lower_group(const walsh_lowering *l, walsh_node node)
{
    const walsh_layer *layer = walsh_lower_layer(l, node);
    walsh_lower_grouping g = {.main = -1, .other = -1, .last = node, .relu = layer->kind == WALSH_LAYER_RELU};
    walsh_node inner = g.relu ? layer->input[0] : node; /* a ReLU takes in the add or batch norm before it */
    const walsh_layer *in = walsh_lower_layer(l, inner);
    if (g.relu && (in->consumers != 1 || (in->kind != WALSH_LAYER_ADD && in->kind != WALSH_LAYER_BATCHNORM))) return g;
    if (!g.relu && (sole_reader(l, node, WALSH_LAYER_RELU) >= 0 || walsh_lower_is_pending(l, node))) g.last = -1;
    if (in->kind == WALSH_LAYER_BATCHNORM) g.main = inner;
    if (in->kind == WALSH_LAYER_ADD) {
        bool swap = !walsh_lower_is_pending(l, in->input[0]) && walsh_lower_is_pending(l, in->input[1]);
        g.main = in->input[swap];
        g.other = in->input[!swap];
    }
    return g;
}

walsh_lower_operand walsh_lower_source(const walsh_lowering *l, walsh_node node)
{
    if (!l->unstored[node]) return (walsh_lower_operand){l->output[node], WALSH_NO_VALUE, 0, 0};
    walsh_lower_grouping g = walsh_lower_group(l, node);
    return (walsh_lower_operand){l->output[walsh_lower_layer(l, g.main)->input[0]], l->saved[g.main], WALSH_FUSE_AFFINE,
                                 !g.relu};
}
