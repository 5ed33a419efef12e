/* The passes that the graph's layers become. A batch norm's affine part waits ("pending") for the last layer of its
 * group: batch norm, [add,] [ReLU], which runs as one bn_apply whose output is stored under that last layer. */
#include "engine/nn/lower.h"

#include <stdlib.h>

#include "engine/op/add.h"
#include "engine/op/batchnorm.h"
#include "engine/op/conv.h"
#include "engine/op/relu.h"

struct walsh_lowering {
    walsh_plan *plan;
    const walsh_graph *graph;
    int batch;
    bool train;
    walsh_value *output;   /* [layers] stored output; none while it is pending or after fusion into a follower */
    walsh_value *saved;    /* [layers] a batch norm's SAVED */
    walsh_value *partial;  /* [layers] a convolution's statistics, where it computes them itself */
    walsh_value *gradient; /* [layers] of the stored output */
    bool *unstored;        /* [layers] its readers normalise what the batch norm before it reads */
    bool *shared;          /* [layers] that gradient is another layer's too: read it, do not write into it */
};

walsh_status walsh_lowering_create(walsh_plan *plan, const walsh_graph *graph, int batch, bool train,
                                   walsh_lowering **lowering)
{
    size_t n = (size_t)walsh_graph_layers(graph);
    walsh_lowering *made = NULL;
    *lowering = NULL;
    WALSH_TRY(walsh_alloc(&made, 1, sizeof *made, "a plan"));
    *made = (walsh_lowering){.plan = plan, .graph = graph, .batch = batch, .train = train};
    walsh_value **array[] = {&made->output, &made->saved, &made->partial, &made->gradient};
    for (int i = 0; i < 4; i++) {
        walsh_status status = walsh_alloc(array[i], n, sizeof **array[i], "a plan");
        if (status) {
            walsh_lowering_destroy(&made);
            return status;
        }
        for (size_t k = 0; k < n; k++) (*array[i])[k] = WALSH_NO_VALUE;
    }
    walsh_status status = walsh_alloc(&made->shared, n, sizeof *made->shared, "a plan");
    if (!status) status = walsh_alloc(&made->unstored, n, sizeof *made->unstored, "a plan");
    if (status) walsh_lowering_destroy(&made);
    *lowering = made;
    return status;
}

static const walsh_layer *layer_of(const walsh_lowering *l, walsh_node node)
{
    return walsh_graph_layer(l->graph, node);
}

static walsh_shape shape_of(const walsh_lowering *l, walsh_node node)
{
    const walsh_layer *layer = layer_of(l, node);
    return walsh_shape_nhwc(l->batch, layer->h, layer->w, layer->c);
}

static walsh_value bind(walsh_lowering *l, walsh_copy copy, int parameter)
{
    walsh_view view = walsh_parameters_view(walsh_graph_parameters(l->graph), copy, parameter);
    return walsh_plan_bind(l->plan, &view);
}

static walsh_value weights(walsh_lowering *l, int parameter)
{
    return bind(l, WALSH_COPY_WEIGHTS, parameter);
}
static walsh_value gradient_of(walsh_lowering *l, int parameter)
{
    return bind(l, WALSH_COPY_GRADIENT, parameter);
}

/* A new value of the shape that an operation gives to one of its operands. */
static walsh_value output_value(walsh_lowering *l, const walsh_op *op, const void *problem, int operand)
{
    return walsh_plan_value(l->plan, walsh_op_shape(op, problem, operand));
}

/* The layer that alone reads `node`'s output, if it is of that kind; else -1. */
static walsh_node sole_reader(const walsh_lowering *l, walsh_node node, walsh_layer_kind kind)
{
    if (layer_of(l, node)->consumers != 1) return -1;
    for (walsh_node i = node + 1; i < walsh_graph_layers(l->graph); i++) {
        const walsh_layer *reader = layer_of(l, i);
        if (reader->input[0] == node || reader->input[1] == node) return reader->kind == kind ? i : -1;
    }
    return -1;
}

static bool is_batchnorm(const walsh_lowering *l, walsh_node node)
{
    return node >= 0 && layer_of(l, node)->kind == WALSH_LAYER_BATCHNORM;
}

/* Whether a batch norm is applied by the layer that reads it, not by itself. */
static bool is_pending(const walsh_lowering *l, walsh_node node)
{
    return is_batchnorm(l, node) &&
           (sole_reader(l, node, WALSH_LAYER_RELU) >= 0 || sole_reader(l, node, WALSH_LAYER_ADD) >= 0);
}

/* A batch norm (`main`, -1: none), what is added to it (`other`, -1: none), and whether a ReLU follows: what one stored
 * tensor, the output of layer `last`, is made of. */
typedef struct group {
    walsh_node main, other, last;
    bool relu;
} group;

/* The group that ends in `node`, or last = -1 where `node` is only a part of one that ends later. */
static group group_of(const walsh_lowering *l, walsh_node node)
{
    const walsh_layer *layer = layer_of(l, node);
    group g = {.main = -1, .other = -1, .last = node, .relu = layer->kind == WALSH_LAYER_RELU};
    walsh_node inner = g.relu ? layer->input[0] : node; /* a ReLU takes in the add or batch norm before it */
    const walsh_layer *in = layer_of(l, inner);
    if (g.relu && (in->consumers != 1 || (in->kind != WALSH_LAYER_ADD && in->kind != WALSH_LAYER_BATCHNORM))) return g;
    if (!g.relu && (sole_reader(l, node, WALSH_LAYER_RELU) >= 0 || is_pending(l, node))) g.last = -1;
    if (in->kind == WALSH_LAYER_BATCHNORM) g.main = inner;
    if (in->kind == WALSH_LAYER_ADD) {
        bool swap = !is_pending(l, in->input[0]) && is_pending(l, in->input[1]);
        g.main = in->input[swap];
        g.other = in->input[!swap];
    }
    return g;
}

static bool can(const walsh_lowering *l, const walsh_op *op, const void *problem)
{
    return walsh_op_can(walsh_plan_device(l->plan), op, problem);
}

static walsh_conv conv_problem(const walsh_lowering *l, walsh_node node)
{
    const walsh_layer *layer = layer_of(l, node), *from = layer_of(l, layer->input[0]);
    return (walsh_conv){.n = l->batch,
                        .h = from->h,
                        .w = from->w,
                        .ic = from->c,
                        .oc = layer->c,
                        .kh = layer->window,
                        .kw = layer->window,
                        .stride = layer->stride,
                        .pad = layer->pad};
}

static walsh_bn bn_problem(const walsh_lowering *l, walsh_node node)
{
    const walsh_layer *layer = layer_of(l, node);
    return (walsh_bn){.n = l->batch, .h = layer->h, .w = layer->w, .c = layer->c};
}

/* Statistics and SAVED of a batch norm. */
static void forward_batchnorm(walsh_lowering *l, walsh_node node)
{
    const walsh_layer *layer = layer_of(l, node);
    walsh_bn p = bn_problem(l, node);
    walsh_value gamma = weights(l, layer->gamma), beta = weights(l, layer->beta);
    walsh_value mean = weights(l, layer->run_mean), var = weights(l, layer->run_var);
    walsh_value saved = l->saved[node] = output_value(l, &walsh_bn_eval, &p, WALSH_BN_EVAL_SAVED);
    if (!l->train) {
        const walsh_value operands[] = {gamma, beta, mean, var, saved};
        walsh_plan_add(l->plan, layer->name, &walsh_bn_eval, &p, operands);
        return;
    }
    walsh_value partial = l->partial[layer->input[0]];
    if (partial < 0) {
        partial = output_value(l, &walsh_bn_stats, &p, WALSH_BN_STATS_PARTIAL);
        const walsh_value stats[] = {l->output[layer->input[0]], partial};
        walsh_plan_add(l->plan, layer->name, &walsh_bn_stats, &p, stats);
    }
    const walsh_value finalize[] = {partial, gamma, beta, mean, var, saved};
    walsh_plan_add(l->plan, layer->name, &walsh_bn_finalize, &p, finalize);
}

/* What a pending batch norm, or any other layer, gives to the pass that ends its group. */
static walsh_value stored_input(const walsh_lowering *l, walsh_node node)
{
    return is_pending(l, node) ? l->output[layer_of(l, node)->input[0]] : l->output[node];
}

/* Whether every reader of a group's output is a convolution that can normalise its input itself, so that the output
 * need not be stored. */
static bool readers_normalise(const walsh_lowering *l, group g)
{
    if (!g.relu || g.other >= 0 || !layer_of(l, g.last)->consumers) return false;
    for (walsh_node i = g.last + 1; i < walsh_graph_layers(l->graph); i++) {
        const walsh_layer *reader = layer_of(l, i);
        if (reader->input[0] != g.last && reader->input[1] != g.last) continue;
        if (reader->kind != WALSH_LAYER_CONV) return false;
        walsh_conv p = conv_problem(l, i);
        p.fuse = WALSH_FUSE_AFFINE;
        if (!can(l, &walsh_conv_forward, &p) || (l->train && !can(l, &walsh_conv_filter, &p))) return false;
    }
    return true;
}

static void forward_group(walsh_lowering *l, group g)
{
    if (readers_normalise(l, g)) {
        l->unstored[g.last] = true;
        return;
    }
    const char *name = layer_of(l, g.main)->name;
    walsh_value y = l->output[g.last] = walsh_plan_value(l->plan, shape_of(l, g.last));
    bool normalises = is_batchnorm(l, g.main) && (g.other < 0 || is_pending(l, g.main));
    if (!normalises) {
        walsh_add_problem p = {.n = l->batch,
                               .h = layer_of(l, g.last)->h,
                               .w = layer_of(l, g.last)->w,
                               .c = layer_of(l, g.last)->c,
                               .relu = g.relu};
        const walsh_value operands[] = {l->output[g.main], l->output[g.other], y};
        walsh_plan_add(l->plan, name, &walsh_add, &p, operands);
        return;
    }
    walsh_bn p = bn_problem(l, g.main);
    p.relu = g.relu;
    p.residual = g.other < 0 ? 0 : is_pending(l, g.other) ? 2 : 1;
    const walsh_value operands[] = {l->output[layer_of(l, g.main)->input[0]], l->saved[g.main],
                                    g.other < 0 ? WALSH_NO_VALUE : stored_input(l, g.other),
                                    p.residual == 2 ? l->saved[g.other] : WALSH_NO_VALUE, y};
    walsh_plan_add(l->plan, name, &walsh_bn_apply, &p, operands);
}

static walsh_relu relu_problem(const walsh_lowering *l, walsh_node node)
{
    const walsh_layer *layer = layer_of(l, node);
    return (walsh_relu){.n = l->batch, .h = layer->h, .w = layer->w, .c = layer->c};
}

static void forward_relu(walsh_lowering *l, walsh_node node)
{
    walsh_relu p = relu_problem(l, node);
    const walsh_value operands[] = {l->output[layer_of(l, node)->input[0]],
                                    l->output[node] = walsh_plan_value(l->plan, shape_of(l, node))};
    walsh_plan_add(l->plan, "relu", &walsh_relu_forward, &p, operands);
}

/* What a convolution reads for its input `node`: the stored tensor, or the one before batch norm and ReLU, which it
 * then normalises on the way in. */
typedef struct source {
    walsh_value x, saved;
    unsigned fuse;
} source;

static source source_of(const walsh_lowering *l, walsh_node node)
{
    if (!l->unstored[node]) return (source){l->output[node], WALSH_NO_VALUE, 0};
    walsh_node norm = group_of(l, node).main;
    return (source){l->output[layer_of(l, norm)->input[0]], l->saved[norm], WALSH_FUSE_AFFINE};
}

/* Whether a batch norm reads the output of `node`. */
static bool feeds_batchnorm(const walsh_lowering *l, walsh_node node)
{
    for (walsh_node i = node + 1; i < walsh_graph_layers(l->graph); i++)
        if (is_batchnorm(l, i) && layer_of(l, i)->input[0] == node) return true;
    return false;
}

static void forward_conv(walsh_lowering *l, walsh_node node)
{
    const walsh_layer *layer = layer_of(l, node);
    source from = source_of(l, layer->input[0]);
    walsh_conv p = conv_problem(l, node);
    p.fuse = from.fuse | WALSH_FUSE_STATS;
    if (!l->train || !feeds_batchnorm(l, node) || !can(l, &walsh_conv_forward, &p)) p.fuse = from.fuse;
    walsh_value y = l->output[node] = walsh_plan_value(l->plan, shape_of(l, node));
    if (p.fuse & WALSH_FUSE_STATS)
        l->partial[node] = output_value(l, &walsh_conv_forward, &p, WALSH_CONV_FORWARD_PARTIAL);
    const walsh_value operands[] = {from.x, weights(l, layer->weight), y, from.saved, l->partial[node]};
    walsh_plan_add(l->plan, layer->name, &walsh_conv_forward, &p, operands);
}

static walsh_pool pool_problem(const walsh_lowering *l, walsh_node node)
{
    const walsh_layer *layer = layer_of(l, node), *from = layer_of(l, layer->input[0]);
    return (walsh_pool){.kind = layer->pool,
                        .n = l->batch,
                        .h = from->h,
                        .w = from->w,
                        .c = from->c,
                        .window = layer->window,
                        .stride = layer->stride,
                        .pad = layer->pad};
}

static void forward_pool(walsh_lowering *l, walsh_node node)
{
    walsh_pool p = pool_problem(l, node);
    const walsh_value operands[] = {l->output[layer_of(l, node)->input[0]],
                                    l->output[node] = walsh_plan_value(l->plan, shape_of(l, node))};
    walsh_plan_add(l->plan, "pool", &walsh_pool_forward, &p, operands);
}

static void forward_layer(walsh_lowering *l, walsh_node node)
{
    switch (layer_of(l, node)->kind) {
    case WALSH_LAYER_CONV:
        forward_conv(l, node);
        return;
    case WALSH_LAYER_POOL:
        forward_pool(l, node);
        return;
    case WALSH_LAYER_BATCHNORM:
        forward_batchnorm(l, node);
        break;
    default:
        break;
    }
    group g = group_of(l, node);
    if (g.last >= 0 && g.main >= 0)
        forward_group(l, g);
    else if (g.last >= 0)
        forward_relu(l, node);
}

walsh_value walsh_lower_forward(walsh_lowering *l, walsh_value image)
{
    l->output[0] = image;
    for (walsh_node node = 1; node < walsh_graph_layers(l->graph); node++) forward_layer(l, node);
    return l->output[walsh_graph_layers(l->graph) - 1];
}

/* Adds `more`, a value of its own, to what other readers have contributed to a node's gradient. */
static void add_gradient(walsh_lowering *l, walsh_node node, walsh_value more, walsh_value sum)
{
    const walsh_layer *layer = layer_of(l, node);
    walsh_add_problem p = {.n = l->batch, .h = layer->h, .w = layer->w, .c = layer->c};
    const walsh_value operands[] = {l->gradient[node], more, sum};
    walsh_plan_add(l->plan, "add", &walsh_add, &p, operands);
    l->gradient[node] = sum;
    l->shared[node] = false;
}

/* Runs an operation that computes a gradient of `node`'s stored output into its last operand, `slot`. Where another
 * reader has contributed already, it accumulates if that gradient may be written to and a variant can; else a separate
 * pass adds. */
static void contribute(walsh_lowering *l, walsh_node node, const char *name, const walsh_op *op, void *problem,
                       walsh_value *operands, int slot)
{
    unsigned *fuse = problem;
    walsh_value before = l->gradient[node];
    *fuse |= WALSH_FUSE_ACCUMULATE;
    bool accumulates = before >= 0 && !l->shared[node] && can(l, op, problem);
    if (!accumulates) *fuse &= ~(unsigned)WALSH_FUSE_ACCUMULATE;
    walsh_value target = accumulates ? before : walsh_plan_value(l->plan, shape_of(l, node));
    operands[slot] = target;
    walsh_plan_add(l->plan, name, op, problem, operands);
    if (before >= 0 && !accumulates)
        add_gradient(l, node, target, target);
    else
        l->gradient[node] = target;
}

/* The gradient that an addition passes on unchanged: the tensor itself, no copy. `shared`: somebody else still needs
 * it. */
static void pass_on(walsh_lowering *l, walsh_node node, walsh_value g, bool shared)
{
    if (l->gradient[node] >= 0) {
        add_gradient(l, node, g, l->shared[node] ? walsh_plan_value(l->plan, shape_of(l, node)) : l->gradient[node]);
        return;
    }
    l->gradient[node] = g;
    l->shared[node] = shared;
}

static void backward_conv(walsh_lowering *l, walsh_node node)
{
    const walsh_layer *layer = layer_of(l, node);
    walsh_node from = layer->input[0];
    source x = source_of(l, from);
    walsh_conv p = conv_problem(l, node);
    p.fuse = x.fuse;
    const walsh_value filter[] = {x.x, l->gradient[node], gradient_of(l, layer->weight), x.saved};
    walsh_plan_add(l->plan, layer->name, &walsh_conv_filter, &p, filter);
    p.fuse = 0;
    if (layer_of(l, from)->kind == WALSH_LAYER_INPUT) return; /* nobody needs the image's gradient */
    walsh_value data[] = {l->gradient[node], weights(l, layer->weight), WALSH_NO_VALUE};
    contribute(l, from, layer->name, &walsh_conv_data, &p, data, WALSH_CONV_DATA_DX);
}

/* Through the batch norm `node`, and the ReLU behind it if there is one, to the convolution (or other layer) before. */
static void backward_batchnorm(walsh_lowering *l, walsh_node node, walsh_value dy, bool relu)
{
    const walsh_layer *layer = layer_of(l, node);
    walsh_node from = layer->input[0];
    walsh_bn p = bn_problem(l, node);
    p.relu = relu;
    walsh_value operands[] = {
        dy, l->output[from], l->saved[node], gradient_of(l, layer->gamma), gradient_of(l, layer->beta), WALSH_NO_VALUE};
    contribute(l, from, layer->name, &walsh_bn_backward, &p, operands, WALSH_BN_BACKWARD_DX);
}

static void backward_relu(walsh_lowering *l, walsh_node node, walsh_value dy, walsh_value dx)
{
    walsh_relu p = relu_problem(l, node);
    const walsh_value operands[] = {dy, l->output[node], dx};
    walsh_plan_add(l->plan, "relu", &walsh_relu_backward, &p, operands);
}

static void backward_group(walsh_lowering *l, group g)
{
    walsh_value dy = l->gradient[g.last];
    if (g.other < 0) { /* batch norm [ReLU]: the mask is part of its backward pass */
        backward_batchnorm(l, g.main, dy, g.relu);
        return;
    }
    bool shared = l->shared[g.last];
    if (g.relu) {
        walsh_value masked = shared ? walsh_plan_value(l->plan, shape_of(l, g.last)) : dy;
        backward_relu(l, g.last, dy, masked);
        dy = masked;
        shared = false;
    }
    const walsh_node side[] = {g.main, g.other};
    bool pending[] = {is_pending(l, g.main), is_pending(l, g.other)};
    shared = shared || (!pending[0] && !pending[1]);
    /* Batch norms first: they only read the gradient, which may then be handed on as it is. */
    for (int i = 0; i < 2; i++)
        if (pending[i]) backward_batchnorm(l, side[i], dy, false);
    for (int i = 0; i < 2; i++)
        if (!pending[i]) pass_on(l, side[i], dy, shared);
}

static void backward_pool(walsh_lowering *l, walsh_node node)
{
    walsh_node from = layer_of(l, node)->input[0];
    walsh_pool p = pool_problem(l, node);
    bool max = p.kind == WALSH_POOL_MAX;
    walsh_value operands[] = {l->gradient[node], max ? l->output[from] : WALSH_NO_VALUE,
                              max ? l->output[node] : WALSH_NO_VALUE, WALSH_NO_VALUE};
    contribute(l, from, "pool", &walsh_pool_backward, &p, operands, WALSH_POOL_BACKWARD_DX);
}

static void backward_layer(walsh_lowering *l, walsh_node node)
{
    switch (layer_of(l, node)->kind) {
    case WALSH_LAYER_CONV:
        backward_conv(l, node);
        return;
    case WALSH_LAYER_POOL:
        backward_pool(l, node);
        return;
    default:
        break;
    }
    group g = group_of(l, node);
    if (g.last < 0) return;
    if (g.main >= 0) {
        backward_group(l, g);
        return;
    }
    walsh_value masked = walsh_plan_value(l->plan, shape_of(l, node));
    backward_relu(l, node, l->gradient[node], masked);
    pass_on(l, layer_of(l, node)->input[0], masked, false);
}

void walsh_lower_backward(walsh_lowering *l, walsh_value gradient)
{
    walsh_node last = walsh_graph_layers(l->graph) - 1;
    l->gradient[last] = gradient;
    for (walsh_node node = last; node > 0; node--) backward_layer(l, node);
}

void walsh_lowering_destroy(walsh_lowering **lowering)
{
    if (!*lowering) return;
    free((*lowering)->output);
    free((*lowering)->saved);
    free((*lowering)->gradient);
    free((*lowering)->partial);
    free((*lowering)->unstored);
    free((*lowering)->shared);
    free(*lowering);
    *lowering = NULL;
}
