/* The gradients, from the last layer to the first. */
#include "engine/nn/lowering.h"

#include "engine/op/add.h"

/* Adds `more`, a value of its own, to what other readers have contributed to a node's gradient. */
static void add_gradient(walsh_lowering *l, walsh_node node, walsh_value more, walsh_value sum)
{
    const walsh_layer *layer = walsh_lower_layer(l, node);
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
    bool accumulates = before >= 0 && !l->shared[node] && walsh_lower_can(l, op, problem);
    if (!accumulates) *fuse &= ~(unsigned)WALSH_FUSE_ACCUMULATE;
    walsh_value target = accumulates ? before : walsh_plan_value(l->plan, walsh_lower_shape(l, node));
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
        add_gradient(l, node, g,
                     l->shared[node] ? walsh_plan_value(l->plan, walsh_lower_shape(l, node)) : l->gradient[node]);
        return;
    }
    l->gradient[node] = g;
    l->shared[node] = shared;
}

static void backward_conv(walsh_lowering *l, walsh_node node)
{
    const walsh_layer *layer = walsh_lower_layer(l, node);
    walsh_node from = layer->input[0];
    walsh_lower_operand x = walsh_lower_source(l, from);
    walsh_conv p = walsh_lower_conv(l, node);
    p.fuse = x.fuse;
    const walsh_value filter[] = {x.x,     l->gradient[node], walsh_lower_gradient(l, layer->weight),
                                  x.saved, WALSH_NO_VALUE,    WALSH_NO_VALUE};
    walsh_plan_add(l->plan, layer->name, &walsh_conv_filter, &p, filter);
    p.fuse = 0;
    if (walsh_lower_layer(l, from)->kind == WALSH_LAYER_INPUT) return; /* nobody needs the image's gradient */
    walsh_value data[WALSH_CONV_DATA_OPERANDS] = {l->gradient[node], walsh_lower_weights(l, layer->weight)};
    for (int i = WALSH_CONV_DATA_DX; i < WALSH_CONV_DATA_OPERANDS; i++) data[i] = WALSH_NO_VALUE;
    contribute(l, from, layer->name, &walsh_conv_data, &p, data, WALSH_CONV_DATA_DX);
}

/* Through the batch norm `node`, and the ReLU behind it if there is one, to the convolution (or other layer) before. */
static void backward_batchnorm(walsh_lowering *l, walsh_node node, walsh_value dy, bool relu)
{
    const walsh_layer *layer = walsh_lower_layer(l, node);
    walsh_node from = layer->input[0];
    walsh_bn p = walsh_lower_bn(l, node);
    p.relu = relu;
    walsh_value x = l->output[from], saved = l->saved[node];
    walsh_value partial = walsh_lower_output(l, &walsh_bn_backward_sums, &p, WALSH_BN_BACKWARD_SUMS_PARTIAL);
    walsh_value factors = walsh_lower_output(l, &walsh_bn_backward_finalize, &p, WALSH_BN_BACKWARD_FINALIZE_FACTORS);
    const walsh_value sums[] = {dy, x, saved, partial};
    walsh_plan_add(l->plan, layer->name, &walsh_bn_backward_sums, &p, sums);
    const walsh_value finalize[] = {partial, saved, walsh_lower_gradient(l, layer->gamma),
                                    walsh_lower_gradient(l, layer->beta), factors};
    walsh_plan_add(l->plan, layer->name, &walsh_bn_backward_finalize, &p, finalize);
    walsh_value apply[] = {dy, x, factors, relu ? saved : WALSH_NO_VALUE, WALSH_NO_VALUE};
    contribute(l, from, layer->name, &walsh_bn_backward_apply, &p, apply, WALSH_BN_BACKWARD_APPLY_DX);
}

static void backward_relu(walsh_lowering *l, walsh_node node, walsh_value dy, walsh_value dx)
{
    walsh_relu p = walsh_lower_relu(l, node);
    const walsh_value operands[] = {dy, l->output[node], dx};
    walsh_plan_add(l->plan, "relu", &walsh_relu_backward, &p, operands);
}

static void backward_group(walsh_lowering *l, walsh_lower_grouping g)
{
    walsh_value dy = l->gradient[g.last];
    if (g.other < 0) { /* batch norm [ReLU]: the mask is part of its backward pass */
        backward_batchnorm(l, g.main, dy, g.relu);
        return;
    }
    bool shared = l->shared[g.last];
    if (g.relu) {
        walsh_value masked = shared ? walsh_plan_value(l->plan, walsh_lower_shape(l, g.last)) : dy;
        backward_relu(l, g.last, dy, masked);
        dy = masked;
        shared = false;
    }
    const walsh_node side[] = {g.main, g.other};
    bool pending[] = {walsh_lower_is_pending(l, g.main), walsh_lower_is_pending(l, g.other)};
    shared = shared || (!pending[0] && !pending[1]);
    /* Batch norms first: they only read the gradient, which may then be handed on as it is. */
    for (int i = 0; i < 2; i++)
        if (pending[i]) backward_batchnorm(l, side[i], dy, false);
    for (int i = 0; i < 2; i++)
        if (!pending[i]) pass_on(l, side[i], dy, shared);
}

static void backward_pool(walsh_lowering *l, walsh_node node)
{
    walsh_node from = walsh_lower_layer(l, node)->input[0];
    walsh_pool p = walsh_lower_pool(l, node);
    bool max = p.kind == WALSH_POOL_MAX;
    walsh_value operands[] = {l->gradient[node], max ? l->output[from] : WALSH_NO_VALUE,
                              max ? l->output[node] : WALSH_NO_VALUE, WALSH_NO_VALUE};
    contribute(l, from, "pool", &walsh_pool_backward, &p, operands, WALSH_POOL_BACKWARD_DX);
}

static void backward_layer(walsh_lowering *l, walsh_node node)
{
    switch (walsh_lower_layer(l, node)->kind) {
    case WALSH_LAYER_CONV:
        backward_conv(l, node);
        return;
    case WALSH_LAYER_POOL:
        backward_pool(l, node);
        return;
    default:
        break;
    }
    walsh_lower_grouping g = walsh_lower_group(l, node);
    if (g.last < 0) return;
    if (g.main >= 0) {
        backward_group(l, g);
        return;
    }
    walsh_value masked = walsh_plan_value(l->plan, walsh_lower_shape(l, node));
    backward_relu(l, node, l->gradient[node], masked);
    pass_on(l, walsh_lower_layer(l, node)->input[0], masked, false);
}

void walsh_lower_backward(walsh_lowering *l, walsh_value gradient)
{
    walsh_node last = walsh_graph_layers(l->graph) - 1;
    l->gradient[last] = gradient;
    for (walsh_node node = last; node > 0; node--) backward_layer(l, node);
}
