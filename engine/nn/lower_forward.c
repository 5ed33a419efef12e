/* The passes that the graph's layers become. A batch norm's affine part waits ("pending") for the last layer of its
 * group: batch norm, [add,] [ReLU], which runs as one bn_apply whose output is stored under that last layer. In
 * evaluation its statistics are known before, and the convolution that it reads does all that as it stores its sums. */
#include "engine/nn/lowering.h"

#include "engine/op/add.h"

/* Where the statistics of a layer's output go: a value of their own, or their part of a concatenation's. */
static walsh_value place_statistics(walsh_lowering *l, walsh_node node)
{
    walsh_lower_home home = l->home[node];
    walsh_node of = home.root < 0 ? node : home.root;
    const walsh_bn p = walsh_lower_bn(l, of);
    if (home.root < 0) return walsh_lower_output(l, &walsh_bn_stats, &p, WALSH_BN_STATS_PARTIAL);
    walsh_value *moments = &l->moments[home.root];
    if (*moments < 0) *moments = walsh_lower_output(l, &walsh_bn_stats, &p, WALSH_BN_STATS_PARTIAL);
    return walsh_plan_slice(l->plan, *moments, home.first, walsh_lower_layer(l, node)->lanes);
}

/* Makes sure that the statistics of what is stored for `node` are known: of a concatenation's parts where they are not,
 * each of which is read once however many batch norms read what it is part of. */
static void statistics(walsh_lowering *l, walsh_node node, const char *name)
{
    const walsh_layer *layer = walsh_lower_layer(l, node);
    if (l->partial[node] >= 0) return;
    l->partial[node] = place_statistics(l, node);
    if (layer->kind == WALSH_LAYER_CONCAT) {
        for (int i = 0; i < 2; i++) statistics(l, layer->input[i], name);
        return;
    }
    walsh_bn p = walsh_lower_bn(l, node);
    const walsh_value operands[] = {l->output[node], l->partial[node]};
    walsh_plan_add(l->plan, name, &walsh_bn_stats, &p, operands);
}

/* Statistics and SAVED of a batch norm. */
static void forward_batchnorm(walsh_lowering *l, walsh_node node)
{
    const walsh_layer *layer = walsh_lower_layer(l, node);
    walsh_bn p = walsh_lower_bn(l, node);
    walsh_value gamma = walsh_lower_weights(l, layer->gamma), beta = walsh_lower_weights(l, layer->beta);
    walsh_value mean = walsh_lower_weights(l, layer->run_mean), var = walsh_lower_weights(l, layer->run_var);
    if (l->saved[node] >= 0) return; /* the convolution before it needed it */
    walsh_value saved = l->saved[node] = walsh_lower_output(l, &walsh_bn_eval, &p, WALSH_BN_EVAL_SAVED);
    if (!l->train) {
        const walsh_value operands[] = {gamma, beta, mean, var, saved};
        walsh_plan_add(l->plan, layer->name, &walsh_bn_eval, &p, operands);
        return;
    }
    if (l->partial[layer->input[0]] < 0) statistics(l, layer->input[0], layer->name);
    const walsh_value finalize[] = {l->partial[layer->input[0]], gamma, beta, mean, var, saved};
    walsh_plan_add(l->plan, layer->name, &walsh_bn_finalize, &p, finalize);
}

/* Whether `node` (-1: none) is a batch norm that is still to be applied. */
static bool waits(const walsh_lowering *l, walsh_node node)
{
    return walsh_lower_is_batchnorm(l, node) && l->output[node] < 0;
}

/* What such a batch norm, or any other layer, gives to the pass that ends its group. */
static walsh_value stored_input(const walsh_lowering *l, walsh_node node)
{
    return waits(l, node) ? l->output[walsh_lower_layer(l, node)->input[0]] : l->output[node];
}

/* Whether a pooling or a convolution can normalise its input itself. */
static bool normalises_input(const walsh_lowering *l, walsh_node node, bool relu)
{
    const walsh_layer *layer = walsh_lower_layer(l, node);
    if (layer->kind == WALSH_LAYER_POOL) {
        walsh_pool pool = walsh_lower_pool(l, node), back = pool;
        pool.fuse = WALSH_FUSE_AFFINE, back.fuse = WALSH_FUSE_NORM_SUMS;
        bool alone = walsh_lower_layer(l, layer->input[0])->consumers == 1; /* a maximum's gradient needs its input */
        bool backs =
            pool.kind != WALSH_POOL_MAX || !l->train || (alone && walsh_lower_can(l, &walsh_pool_backward, &back));
        return relu && backs && walsh_lower_can(l, &walsh_pool_forward, &pool);
    }
    if (layer->kind != WALSH_LAYER_CONV) return false;
    walsh_conv p = walsh_lower_conv(l, node);
    p.fuse = WALSH_FUSE_AFFINE, p.linear = !relu;
    if (l->train && !walsh_lower_can(l, &walsh_conv_filter, &p)) return false;
    p.fuse |= layer->bias < 0 ? 0 : WALSH_FUSE_BIAS;
    return walsh_lower_can(l, &walsh_conv_forward, &p);
}

static bool reads(const walsh_layer *reader, walsh_node node)
{
    return reader->input[0] == node || reader->input[1] == node;
}

/* Whether every reader of a group's output can normalise its input itself, so that the output need not be stored. */
static bool readers_normalise(const walsh_lowering *l, walsh_lower_grouping g)
{
    if (g.other >= 0 || !walsh_lower_layer(l, g.last)->consumers) return false;
    for (walsh_node i = g.last + 1; i < walsh_graph_layers(l->graph); i++) {
        const walsh_layer *reader = walsh_lower_layer(l, i);
        if (reads(reader, g.last) && !normalises_input(l, i, g.relu)) return false;
    }
    return true;
}

/* Whether the sum of the batch norm `norm` and of `before`, a group's output, is one of a bottleneck, most of what the
 * block would keep: its convolution has at least twice as many channels as it reads. Beside a grouped one a pass over
 * the sum takes long, and there each second sum is kept. */
static bool ends_bottleneck(const walsh_lowering *l, walsh_node norm, walsh_node before)
{
    const walsh_layer *conv = walsh_lower_layer(l, walsh_lower_layer(l, norm)->input[0]);
    if (conv->kind != WALSH_LAYER_CONV || (conv->groups > 1 && l->again[before])) return false;
    return conv->lanes >= 2 * walsh_lower_layer(l, conv->input[0])->lanes;
}

/* Whether a group's output is better computed again in the backward pass than kept: what it adds up are batch norms of
 * tensors that are kept anyway; or in a bottleneck one of them, and the output of a group before, which is kept or
 * computed again. A pass over three tensors instead of the memory of one. Those that read it are to be such as use it in
 * the backward pass as walsh_lower_source has it, or not at all. */
static bool is_cheap(const walsh_lowering *l, walsh_lower_grouping g)
{
    if (!l->train || g.other < 0 || l->home[g.last].root >= 0) return false;
    bool main = waits(l, g.main), other = waits(l, g.other);
    if (!main && !other) return false;
    if (!other && !ends_bottleneck(l, g.main, g.other)) return false;
    if (!main && !ends_bottleneck(l, g.other, g.main)) return false;
    for (walsh_node i = g.last + 1; i < walsh_graph_layers(l->graph); i++) {
        const walsh_layer *reader = walsh_lower_layer(l, i);
        if (reads(reader, g.last) && reader->kind != WALSH_LAYER_CONV && reader->kind != WALSH_LAYER_ADD) return false;
    }
    return walsh_lower_layer(l, g.last)->consumers > 0;
}

void walsh_lower_join(walsh_lowering *l, walsh_lower_grouping g, walsh_value y)
{
    const char *name = walsh_lower_layer(l, g.main)->name;
    if (!waits(l, g.main) && waits(l, g.other)) g = (walsh_lower_grouping){g.other, g.main, g.last, g.relu};
    if (!waits(l, g.main)) {
        walsh_add_problem p = {.n = l->batch,
                               .h = walsh_lower_layer(l, g.last)->h,
                               .w = walsh_lower_layer(l, g.last)->w,
                               .c = walsh_lower_layer(l, g.last)->lanes,
                               .relu = g.relu};
        const walsh_value operands[] = {l->output[g.main], l->output[g.other], y};
        walsh_plan_add(l->plan, name, &walsh_add, &p, operands);
        return;
    }
    walsh_bn p = walsh_lower_bn(l, g.main);
    p.relu = g.relu;
    p.residual = g.other < 0 ? 0 : waits(l, g.other) ? 2 : 1;
    const walsh_value operands[] = {l->output[walsh_lower_layer(l, g.main)->input[0]], l->saved[g.main],
                                    g.other < 0 ? WALSH_NO_VALUE : stored_input(l, g.other),
                                    p.residual == 2 ? l->saved[g.other] : WALSH_NO_VALUE, y};
    walsh_plan_add(l->plan, name, &walsh_bn_apply, &p, operands);
}

static void forward_group(walsh_lowering *l, walsh_lower_grouping g)
{
    if (l->output[g.last] >= 0) return; /* its convolution has done it all */
    if (readers_normalise(l, g)) {
        l->unstored[g.last] = true;
        return;
    }
    walsh_value y = walsh_lower_place(l, g.last);
    walsh_lower_join(l, g, y);
    l->again[g.last] = is_cheap(l, g);
    l->output[g.last] = y;
}

static void forward_relu(walsh_lowering *l, walsh_node node)
{
    walsh_relu p = walsh_lower_relu(l, node);
    const walsh_value operands[] = {l->output[walsh_lower_layer(l, node)->input[0]],
                                    l->output[node] = walsh_lower_place(l, node)};
    walsh_plan_add(l->plan, "relu", &walsh_relu_forward, &p, operands);
}

/* A batch norm that reads the output of `node`, or what that is part of, or -1. */
static walsh_node norm_of(const walsh_lowering *l, walsh_node node)
{
    for (walsh_node i = node + 1; i < walsh_graph_layers(l->graph); i++) {
        const walsh_layer *reader = walsh_lower_layer(l, i);
        if (reads(reader, node) && reader->kind == WALSH_LAYER_BATCHNORM) return i;
        if (reads(reader, node) && reader->kind == WALSH_LAYER_CONCAT) return norm_of(l, i);
    }
    return -1;
}

/* The group that a batch norm is a part of. */
static walsh_lower_grouping group_with(const walsh_lowering *l, walsh_node norm)
{
    walsh_lower_grouping g = walsh_lower_group(l, norm);
    for (walsh_node i = norm + 1; g.last < 0 || (g.main != norm && g.other != norm); i++) g = walsh_lower_group(l, i);
    return g;
}

/* Evaluation: lets the convolution `node` apply the batch norm that alone reads it, and add what that is added to if
 * that is there already: then its output is the group's, else the batch norm's. */
static bool fuse_norm(walsh_lowering *l, walsh_node node, walsh_conv *p, walsh_value *operands)
{
    const walsh_layer *layer = walsh_lower_layer(l, node);
    walsh_node norm = layer->consumers == 1 && !layer->joined ? norm_of(l, node) : -1;
    walsh_conv fused = *p;
    fused.fuse |= WALSH_FUSE_NORMALISE;
    if (l->train || norm < 0 || !walsh_lower_can(l, &walsh_conv_forward, &fused)) return false;
    walsh_lower_grouping g = group_with(l, norm);
    walsh_node side = g.main == norm ? g.other : g.main;
    fused.add = side >= 0 && l->output[side] >= 0;
    bool whole = side < 0 || fused.add;
    fused.relu = whole && g.relu;
    *p = fused;
    forward_batchnorm(l, norm);
    walsh_node stored = whole ? g.last : norm;
    operands[WALSH_CONV_FORWARD_Y] = l->output[stored] = walsh_lower_place(l, stored);
    operands[WALSH_CONV_FORWARD_Y_SAVED] = l->saved[norm];
    if (fused.add) operands[WALSH_CONV_FORWARD_RES] = l->output[side];
    return true;
}

static void forward_conv(walsh_lowering *l, walsh_node node)
{
    const walsh_layer *layer = walsh_lower_layer(l, node);
    walsh_lower_operand from = walsh_lower_source(l, layer->input[0]);
    walsh_conv p = walsh_lower_conv(l, node), counted;
    p.fuse = from.fuse | (layer->bias < 0 ? 0 : WALSH_FUSE_BIAS), p.linear = from.linear;
    counted = p;
    counted.fuse |= WALSH_FUSE_STATS;
    walsh_value operands[WALSH_CONV_FORWARD_OPERANDS];
    for (int i = 0; i < WALSH_CONV_FORWARD_OPERANDS; i++) operands[i] = WALSH_NO_VALUE;
    operands[WALSH_CONV_FORWARD_X] = from.x, operands[WALSH_CONV_FORWARD_SAVED] = from.saved;
    operands[WALSH_CONV_FORWARD_W] = walsh_lower_weights(l, layer->weight);
    if (layer->bias >= 0) operands[WALSH_CONV_FORWARD_BIAS] = walsh_lower_weights(l, layer->bias);
    if (!fuse_norm(l, node, &p, operands))
        operands[WALSH_CONV_FORWARD_Y] = l->output[node] = walsh_lower_place(l, node);
    if (l->train && norm_of(l, node) >= 0 && walsh_lower_can(l, &walsh_conv_forward, &counted)) {
        p = counted;
        operands[WALSH_CONV_FORWARD_PARTIAL] = l->partial[node] = place_statistics(l, node);
    }
    walsh_plan_add(l->plan, layer->name, &walsh_conv_forward, &p, operands);
}

static void forward_pool(walsh_lowering *l, walsh_node node)
{
    const walsh_lower_operand from = walsh_lower_source(l, walsh_lower_layer(l, node)->input[0]);
    walsh_pool p = walsh_lower_pool(l, node);
    p.fuse = from.fuse;
    const walsh_value operands[] = {from.x, l->output[node] = walsh_lower_place(l, node), from.saved};
    walsh_plan_add(l->plan, "pool", &walsh_pool_forward, &p, operands);
}

static void forward_layer(walsh_lowering *l, walsh_node node)
{
    switch (walsh_lower_layer(l, node)->kind) {
    case WALSH_LAYER_CONV:
        forward_conv(l, node);
        return;
    case WALSH_LAYER_POOL:
        forward_pool(l, node);
        return;
    case WALSH_LAYER_CONCAT:
        l->output[node] = walsh_lower_place(l, node); /* its parts have written it */
        return;
    case WALSH_LAYER_BATCHNORM:
        forward_batchnorm(l, node);
        break;
    default:
        break;
    }
    walsh_lower_grouping g = walsh_lower_group(l, node);
    if (g.last >= 0 && g.main >= 0)
        forward_group(l, g);
    else if (g.last >= 0)
        forward_relu(l, node);
}

walsh_value walsh_lower_forward(walsh_lowering *l, walsh_value image)
{
    l->output[0] = image;
    for (walsh_node node = 1; node < walsh_graph_layers(l->graph); node++) forward_layer(l, node);
    walsh_value features = l->output[walsh_graph_layers(l->graph) - 1];
    if (!walsh_lower_has_holes(l)) return features;
    walsh_lanes_problem p = walsh_lower_lanes(l, false);
    const walsh_value operands[] = {features, walsh_lower_output(l, &walsh_lanes, &p, WALSH_LANES_Y)};
    walsh_plan_add(l->plan, "features", &walsh_lanes, &p, operands);
    return operands[WALSH_LANES_Y];
}
