/* The gradients, from the last layer to the first.
 *
 * Layers may share the tensor of a gradient: an addition hands its own on as it is, and a convolution that takes a
 * batch norm's gradient on the way in reads that of the batch norm's output. A tensor is written into only where a
 * single layer holds it.
 *
 * A batch norm's gradient is scale*g - (offset + slope*(X - mean)), whose second part depends on g by two sums alone.
 * So where many batch norms read the same tensor, as in a dense block, their convolutions add scale*g to its gradient,
 * and the second parts, added up channel by channel, are its `rest`, which whoever uses the gradient takes care of. */
#include "engine/nn/lowering.h"

#include "engine/op/add.h"
#include "engine/op/reduce.h"

/* The layers that still need something of what is in a gradient's tensor. */
static int holders(const walsh_lowering *l, walsh_value gradient)
{
    int count = 0;
    for (walsh_node i = 0; i < walsh_graph_layers(l->graph); i++)
        count += walsh_plan_overlap(l->plan, l->gradient[i], gradient);
    return count;
}

static walsh_value take(walsh_lowering *l, walsh_node node)
{
    walsh_value gradient = l->gradient[node];
    l->gradient[node] = WALSH_NO_VALUE;
    return gradient;
}

/* Adds `more` to what other readers have contributed to a node's gradient. */
static void add_gradient(walsh_lowering *l, walsh_node node, walsh_value more, walsh_value sum)
{
    const walsh_layer *layer = walsh_lower_layer(l, node);
    walsh_add_problem p = {.n = l->batch, .h = layer->h, .w = layer->w, .c = layer->lanes};
    const walsh_value operands[] = {l->gradient[node], more, sum};
    walsh_plan_add(l->plan, "add", &walsh_add, &p, operands);
    l->gradient[node] = sum;
}

/* Whether an operation may add to what other readers have contributed to a node's gradient, and a variant can. */
static bool accumulates(const walsh_lowering *l, walsh_node node, const walsh_op *op, void *problem)
{
    unsigned *fuse = problem, before = *fuse;
    *fuse |= WALSH_FUSE_ACCUMULATE;
    bool can = l->gradient[node] >= 0 && holders(l, l->gradient[node]) == 1 && walsh_lower_can(l, op, problem);
    *fuse = before;
    return can;
}

/* Runs an operation that computes a gradient of `node`'s stored output into its operand `slot`. Where another reader
 * has contributed already and it cannot accumulate, a separate pass adds. */
static void contribute(walsh_lowering *l, walsh_node node, const char *name, const walsh_op *op, void *problem,
                       walsh_value *operands, int slot)
{
    walsh_value before = l->gradient[node];
    bool onto = accumulates(l, node, op, problem);
    if (onto) *(unsigned *)problem |= WALSH_FUSE_ACCUMULATE;
    walsh_value target = operands[slot] = onto ? before : walsh_plan_value(l->plan, walsh_lower_shape(l, node));
    walsh_plan_add(l->plan, name, op, problem, operands);
    if (before >= 0 && !onto)
        add_gradient(l, node, target, target);
    else
        l->gradient[node] = target;
}

/* The gradient that an addition passes on unchanged: the tensor itself, no copy. */
static void pass_on(walsh_lowering *l, walsh_node node, walsh_value g)
{
    walsh_value before = l->gradient[node];
    if (before < 0)
        l->gradient[node] = g;
    else
        add_gradient(l, node, g,
                     holders(l, before) == 1 ? before : walsh_plan_value(l->plan, walsh_lower_shape(l, node)));
}

/* Whether a reader of `node` will still contribute to its gradient when the layer `by` has done so. */
static bool awaits_more(const walsh_lowering *l, walsh_node node, walsh_node by)
{
    for (walsh_node i = node + 1; i < by; i++)
        if (walsh_lower_layer(l, i)->input[0] == node || walsh_lower_layer(l, i)->input[1] == node) return true;
    return false;
}

/* Lets the convolution `by`, the last one to contribute to the gradient of the output `node` of a batch norm and a ReLU
 * if there is one, mask it and compute the sums for the batch norm. */
static void fuse_sums(walsh_lowering *l, walsh_node node, walsh_node by, walsh_conv *p, walsh_value *data)
{
    walsh_lower_grouping g = walsh_lower_group(l, node);
    walsh_conv fused = *p;
    fused.fuse |= WALSH_FUSE_NORM_SUMS;
    fused.gate = !g.relu ? WALSH_GATE_OPEN : g.other < 0 ? WALSH_GATE_COMPUTED : WALSH_GATE_STORED;
    bool masks = g.relu ? walsh_lower_is_pending(l, g.main) : g.other < 0 && g.main == node;
    if (g.last != node || !masks || awaits_more(l, node, by)) return;
    if (l->gradient[node] >= 0 ? !accumulates(l, node, &walsh_conv_data, &fused)
                               : !walsh_lower_can(l, &walsh_conv_data, &fused))
        return;
    *p = fused;
    data[WALSH_CONV_DATA_U] = l->output[walsh_lower_layer(l, g.main)->input[0]];
    data[WALSH_CONV_DATA_SAVED] = l->saved[g.main];
    data[WALSH_CONV_DATA_Z] = fused.gate == WALSH_GATE_STORED ? l->output[node] : WALSH_NO_VALUE;
    data[WALSH_CONV_DATA_PARTIAL] = l->sums[node] = walsh_lower_output(l, &walsh_conv_data, p, WALSH_CONV_DATA_PARTIAL);
}

/* What is added to every pixel. Before a batch norm this is zero, as it has been from the beginning. */
static void backward_bias(walsh_lowering *l, walsh_node node, walsh_value dy)
{
    const walsh_layer *layer = walsh_lower_layer(l, node);
    const walsh_reduce_problem p = {.rows = l->batch, .h = layer->h, .w = layer->w, .c = layer->lanes};
    const walsh_value operands[] = {dy, walsh_lower_gradient(l, layer->bias)};
    walsh_plan_add(l->plan, layer->name, &walsh_reduce, &p, operands);
}

/* Merges a batch norm's sums into its parameters' gradients and `factors`. */
static void finalize(walsh_lowering *l, walsh_node norm, const walsh_bn *p, walsh_value sums, walsh_value factors)
{
    const walsh_layer *layer = walsh_lower_layer(l, norm);
    const walsh_value operands[] = {sums, l->saved[norm], walsh_lower_gradient(l, layer->gamma),
                                    walsh_lower_gradient(l, layer->beta), factors};
    walsh_plan_add(l->plan, layer->name, &walsh_bn_backward_finalize, p, operands);
}

/* The operands of an operation that goes through a ReLU and a batch norm: input, SAVED, sums, and the gradient. */
typedef struct through_slots {
    int u, saved, partial, dx;
} through_slots;

/* Lets the operation of layer `by`, if that alone reads the ReLU `node` and a variant can, go through the ReLU and the
 * batch norm before it, to the part of a concatenation that this reads. */
static bool goes_through(walsh_lowering *l, walsh_node node, const char *by, const walsh_op *op, void *problem,
                         walsh_value *operands, through_slots slot)
{
    unsigned *fuse = problem, before = *fuse;
    walsh_lower_grouping g = walsh_lower_group(l, node);
    if (g.last != node || !g.relu || g.other >= 0 || g.main < 0 || walsh_lower_layer(l, node)->consumers != 1)
        return false;
    walsh_node from = walsh_lower_layer(l, g.main)->input[0];
    *fuse |= WALSH_FUSE_NORM_SUMS;
    if (l->home[from].root < 0 || !walsh_lower_can(l, op, problem)) {
        *fuse = before;
        return false;
    }
    operands[slot.u] = l->output[from];
    operands[slot.saved] = l->saved[g.main];
    walsh_value sums = operands[slot.partial] = walsh_lower_output(l, op, problem, slot.partial);
    contribute(l, from, by, op, problem, operands, slot.dx);
    walsh_bn norm = walsh_lower_bn(l, g.main);
    norm.rest = 1;
    norm.fuse = l->rest[from] < 0 ? 0 : WALSH_FUSE_ACCUMULATE;
    if (l->rest[from] < 0)
        l->rest[from] = walsh_lower_output(l, &walsh_bn_backward_finalize, &norm, WALSH_BN_BACKWARD_FINALIZE_FACTORS);
    finalize(l, g.main, &norm, sums, l->rest[from]);
    return true;
}

/* Takes the rest of a node's gradient care of. */
static void settle(walsh_lowering *l, walsh_node node)
{
    walsh_value dy = l->gradient[node], rest = l->rest[node];
    if (rest < 0) return;
    walsh_value dx = holders(l, dy) > 1 ? walsh_plan_value(l->plan, walsh_lower_shape(l, node)) : dy;
    const walsh_bn p = walsh_lower_bn(l, node);
    const walsh_value operands[] = {dy, l->output[node], rest, WALSH_NO_VALUE, dx};
    walsh_plan_add(l->plan, walsh_lower_layer(l, node)->name, &walsh_bn_backward_apply, &p, operands);
    l->gradient[node] = dx;
    l->rest[node] = WALSH_NO_VALUE;
}

/* Makes sure that the output of `node` is there, and so that of each before it that it was computed from. */
static void restore(walsh_lowering *l, walsh_node node)
{
    if (!l->again[node]) return;
    walsh_lower_grouping g = walsh_lower_group(l, node);
    restore(l, g.main);
    restore(l, g.other);
    walsh_value y = walsh_lower_place(l, node);
    walsh_lower_join(l, g, y);
    l->output[node] = y;
    l->again[node] = false;
}

static void backward_conv(walsh_lowering *l, walsh_node node)
{
    const walsh_layer *layer = walsh_lower_layer(l, node);
    walsh_node from = layer->input[0];
    restore(l, from);
    walsh_lower_operand x = walsh_lower_source(l, from);
    walsh_value dy = l->gradient[node], factors = l->factors[node];
    walsh_value y = factors < 0 ? WALSH_NO_VALUE : l->output[node];
    walsh_conv p = walsh_lower_conv(l, node);
    unsigned prologue = factors < 0 ? 0 : WALSH_FUSE_NORM_GRADIENT;
    p.fuse = x.fuse | prologue, p.linear = x.linear;
    const walsh_value filter[] = {x.x, dy, walsh_lower_gradient(l, layer->weight), x.saved, y, factors};
    walsh_plan_add(l->plan, layer->name, &walsh_conv_filter, &p, filter);
    if (layer->bias >= 0 && !walsh_lower_is_centred(l, node)) backward_bias(l, node, dy);
    if (walsh_lower_layer(l, from)->kind == WALSH_LAYER_INPUT) return; /* nobody needs the image's gradient */
    p.fuse = prologue, p.linear = 0;
    walsh_value data[WALSH_CONV_DATA_OPERANDS];
    for (int i = 0; i < WALSH_CONV_DATA_OPERANDS; i++) data[i] = WALSH_NO_VALUE;
    data[WALSH_CONV_DATA_DY] = dy, data[WALSH_CONV_DATA_W] = walsh_lower_weights(l, layer->weight);
    data[WALSH_CONV_DATA_Y] = y, data[WALSH_CONV_DATA_FACTORS] = factors;
    walsh_conv through = p;
    through.gate = WALSH_GATE_SCALED;
    if (goes_through(
            l, from, layer->name, &walsh_conv_data, &through, data,
            (through_slots){WALSH_CONV_DATA_U, WALSH_CONV_DATA_SAVED, WALSH_CONV_DATA_PARTIAL, WALSH_CONV_DATA_DX}))
        return;
    fuse_sums(l, from, node, &p, data);
    contribute(l, from, layer->name, &walsh_conv_data, &p, data, WALSH_CONV_DATA_DX);
}

/* Whether `node` is a convolution that can take the gradient of a batch norm behind it on the way in. */
static bool takes_norm_gradient(const walsh_lowering *l, walsh_node node)
{
    const walsh_layer *layer = walsh_lower_layer(l, node);
    if (layer->kind != WALSH_LAYER_CONV) return false;
    walsh_conv filter = walsh_lower_conv(l, node), data = filter;
    data.fuse = WALSH_FUSE_NORM_GRADIENT;
    const walsh_lower_operand x = walsh_lower_source(l, layer->input[0]);
    filter.fuse = WALSH_FUSE_NORM_GRADIENT | x.fuse, filter.linear = x.linear;
    return walsh_lower_can(l, &walsh_conv_filter, &filter) &&
           (walsh_lower_layer(l, layer->input[0])->kind == WALSH_LAYER_INPUT ||
            walsh_lower_can(l, &walsh_conv_data, &data));
}

/* Through the batch norm `node`, and the ReLU behind it with `relu`, to the convolution (or other layer) before.
 * `sums`: its sums, if they have been computed. */
static void backward_batchnorm(walsh_lowering *l, walsh_node node, walsh_value dy, bool relu, walsh_value sums)
{
    const walsh_layer *layer = walsh_lower_layer(l, node);
    walsh_node from = layer->input[0];
    walsh_bn p = walsh_lower_bn(l, node);
    p.relu = relu;
    walsh_value x = l->output[from], saved = l->saved[node];
    if (sums < 0) {
        sums = walsh_lower_output(l, &walsh_bn_backward_sums, &p, WALSH_BN_BACKWARD_SUMS_PARTIAL);
        const walsh_value operands[] = {dy, x, saved, sums};
        walsh_plan_add(l->plan, layer->name, &walsh_bn_backward_sums, &p, operands);
    }
    walsh_value factors = walsh_lower_output(l, &walsh_bn_backward_finalize, &p, WALSH_BN_BACKWARD_FINALIZE_FACTORS);
    finalize(l, node, &p, sums, factors);
    if (!relu && walsh_lower_layer(l, from)->consumers == 1 && takes_norm_gradient(l, from)) {
        l->gradient[from] = dy;
        l->factors[from] = factors;
        return;
    }
    walsh_value apply[] = {dy, x, factors, relu ? saved : WALSH_NO_VALUE, WALSH_NO_VALUE};
    contribute(l, from, layer->name, &walsh_bn_backward_apply, &p, apply, WALSH_BN_BACKWARD_APPLY_DX);
}

/* The gradient `dy` of a ReLU's output masked by it, in the same tensor if nobody else needs that. */
static walsh_value backward_relu(walsh_lowering *l, walsh_node node, walsh_value dy)
{
    walsh_relu p = walsh_lower_relu(l, node);
    walsh_value dx = holders(l, dy) ? walsh_plan_value(l->plan, walsh_lower_shape(l, node)) : dy;
    const walsh_value operands[] = {dy, l->output[node], dx};
    walsh_plan_add(l->plan, "relu", &walsh_relu_backward, &p, operands);
    return dx;
}

static void backward_group(walsh_lowering *l, walsh_lower_grouping g)
{
    walsh_value dy = take(l, g.last), sums = l->sums[g.last];
    bool relu = g.relu && sums < 0; /* still to be masked */
    if (g.other < 0) {              /* batch norm [ReLU]: the mask is part of its own passes */
        backward_batchnorm(l, g.main, dy, relu, sums);
        return;
    }
    if (relu) restore(l, g.last), dy = backward_relu(l, g.last, dy);
    const walsh_node side[] = {g.main, g.other};
    bool pending[] = {walsh_lower_is_pending(l, g.main), walsh_lower_is_pending(l, g.other)};
    /* Batch norms first: they only read the gradient, which may then be handed on as it is. */
    for (int i = 0; i < 2; i++)
        if (pending[i]) backward_batchnorm(l, side[i], dy, false, i ? WALSH_NO_VALUE : sums);
    for (int i = 0; i < 2; i++)
        if (!pending[i]) pass_on(l, side[i], dy);
}

static void backward_pool(walsh_lowering *l, walsh_node node)
{
    walsh_node from = walsh_lower_layer(l, node)->input[0];
    walsh_pool p = walsh_lower_pool(l, node);
    bool max = p.kind == WALSH_POOL_MAX;
    walsh_value operands[WALSH_POOL_BACKWARD_OPERANDS];
    for (int i = 0; i < WALSH_POOL_BACKWARD_OPERANDS; i++) operands[i] = WALSH_NO_VALUE;
    operands[WALSH_POOL_BACKWARD_DY] = l->gradient[node];
    p.scaled = 1;
    if (goes_through(l, from, "pool", &walsh_pool_backward, &p, operands,
                     (through_slots){WALSH_POOL_BACKWARD_U, WALSH_POOL_BACKWARD_SAVED, WALSH_POOL_BACKWARD_PARTIAL,
                                     WALSH_POOL_BACKWARD_DX}))
        return;
    p.scaled = 0;
    if (max && l->unstored[from]) {
        const walsh_lower_operand in = walsh_lower_source(l, from);
        p.fuse = WALSH_FUSE_NORM_SUMS;
        operands[WALSH_POOL_BACKWARD_U] = in.x, operands[WALSH_POOL_BACKWARD_SAVED] = in.saved;
        operands[WALSH_POOL_BACKWARD_PARTIAL] = l->sums[from] =
            walsh_lower_output(l, &walsh_pool_backward, &p, WALSH_POOL_BACKWARD_PARTIAL);
    } else if (max) {
        operands[WALSH_POOL_BACKWARD_X] = l->output[from], operands[WALSH_POOL_BACKWARD_Y] = l->output[node];
    }
    contribute(l, from, "pool", &walsh_pool_backward, &p, operands, WALSH_POOL_BACKWARD_DX);
}

/* The parts' gradients, and their rests, are parts of the gradient and its rest. */
static void backward_concat(walsh_lowering *l, walsh_node node)
{
    const walsh_node *parts = walsh_lower_layer(l, node)->input;
    if (l->gradient[parts[0]] >= 0 || l->gradient[parts[1]] >= 0) settle(l, node);
    walsh_value g = take(l, node), rest = l->rest[node];
    l->rest[node] = WALSH_NO_VALUE;
    for (int i = 0; i < 2; i++) {
        int first = l->home[parts[i]].first - l->home[node].first, lanes = walsh_lower_layer(l, parts[i])->lanes;
        pass_on(l, parts[i], walsh_plan_slice(l->plan, g, first, lanes));
        if (rest >= 0) l->rest[parts[i]] = walsh_plan_slice(l->plan, rest, first, lanes);
    }
}

static void backward_layer(walsh_lowering *l, walsh_node node)
{
    if (walsh_lower_layer(l, node)->kind == WALSH_LAYER_CONCAT) {
        backward_concat(l, node);
        return;
    }
    if (l->rest[node] >= 0 && takes_norm_gradient(l, node))
        l->factors[node] = l->rest[node];
    else
        settle(l, node);
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
    if (g.last < 0 || l->gradient[node] < 0) return; /* a part of what ends later, or gone through */
    if (g.main >= 0) {
        backward_group(l, g);
        return;
    }
    pass_on(l, walsh_lower_layer(l, node)->input[0], backward_relu(l, node, take(l, node)));
}

void walsh_lower_store_half(walsh_lowering *l)
{
    for (walsh_node node = 0; node < walsh_graph_layers(l->graph); node++)
        walsh_plan_store_half(l->plan, l->output[node]);
}

void walsh_lower_backward(walsh_lowering *l, walsh_value gradient)
{
    walsh_node last = walsh_graph_layers(l->graph) - 1;
    l->gradient[last] = gradient;
    if (walsh_lower_has_holes(l)) {
        walsh_lanes_problem p = walsh_lower_lanes(l, true);
        const walsh_value operands[] = {gradient, walsh_lower_output(l, &walsh_lanes, &p, WALSH_LANES_Y)};
        walsh_plan_add(l->plan, "features", &walsh_lanes, &p, operands);
        l->gradient[last] = operands[WALSH_LANES_Y];
    }
    for (walsh_node node = last; node > 0; node--) {
        backward_layer(l, node);
        take(l, node); /* nobody needs it any more */
    }
}
