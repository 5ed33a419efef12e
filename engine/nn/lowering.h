/* What the two halves of lowering share: engine/nn/lower_forward.c and lower_backward.c. */
#ifndef WALSH_ENGINE_NN_LOWERING_H
#define WALSH_ENGINE_NN_LOWERING_H

#include "engine/nn/lower.h"
#include "engine/op/batchnorm.h"
#include "engine/op/conv.h"
#include "engine/op/lanes.h"
#include "engine/op/relu.h"

/* The concatenation that a layer's output is a part of, or is itself, and that is part of no other; -1: none. */
typedef struct walsh_lower_home {
    walsh_node root;
    int first; /* lane of the root where the layer's begin */
} walsh_lower_home;

struct walsh_lowering {
    walsh_plan *plan;
    const walsh_graph *graph;
    int batch;
    bool train;
    walsh_value *output;    /* [layers] stored output; none while it is pending or after fusion into a follower */
    walsh_value *saved;     /* [layers] a batch norm's SAVED */
    walsh_value *partial;   /* [layers] a convolution's statistics, where it computes them itself */
    walsh_value *gradient;  /* [layers] of the stored output, until it has been used; layers may share a tensor */
    walsh_value *sums;      /* [layers] that its group's batch norm needs on the way back, where a convolution computed
                               them: that gradient then has been masked by the group's ReLU too */
    walsh_value *factors;   /* [layers] a convolution's: that gradient is the one of the batch norm behind it, whose
                               gradient the convolution takes on the way in */
    walsh_value *rest;      /* [layers] of a concatenation's part: the factors of what that gradient still lacks, since
                               batch norms that read the layer have left it to be done for all of them at once */
    bool *unstored;         /* [layers] its readers normalise what the batch norm before it reads */
    bool *again;            /* [layers] not kept for the backward pass: computed again there, of what is kept anyway */
    walsh_lower_home *home; /* [layers] where its output is a part of a concatenation */
    walsh_value *whole,
        *moments; /* [layers] of a home's root: its output, and a batch norm's statistics of all of it */
};

/* A layer, and the shape of its output for the whole batch. */
const walsh_layer *walsh_lower_layer(const walsh_lowering *l, walsh_node node);
walsh_shape walsh_lower_shape(const walsh_lowering *l, walsh_node node);

/* The value for a layer's output: new, or its part of the concatenation that it belongs to. */
walsh_value walsh_lower_place(walsh_lowering *l, walsh_node node);

/* A parameter's weights or gradient as a value of the plan. */
walsh_value walsh_lower_weights(walsh_lowering *l, int parameter);
walsh_value walsh_lower_gradient(walsh_lowering *l, int parameter);

/* A new value of the shape that an operation gives to one of its operands. */
walsh_value walsh_lower_output(walsh_lowering *l, const walsh_op *op, const void *problem, int operand);

/* Whether some variant takes the problem with the extras that it asks for. */
bool walsh_lower_can(const walsh_lowering *l, const walsh_op *op, const void *problem);

/* The problem of a layer of that kind, without extras. */
walsh_conv walsh_lower_conv(const walsh_lowering *l, walsh_node node);
walsh_bn walsh_lower_bn(const walsh_lowering *l, walsh_node node);
walsh_relu walsh_lower_relu(const walsh_lowering *l, walsh_node node);
walsh_pool walsh_lower_pool(const walsh_lowering *l, walsh_node node);

/* Whether free lanes lie between the features' channels; and what takes them out, or with `back` puts them in. */
bool walsh_lower_has_holes(const walsh_lowering *l);
walsh_lanes_problem walsh_lower_lanes(const walsh_lowering *l, bool back);

/* Whether a batch norm is all that reads a layer's output: then its gradient sums up to zero over a channel. */
bool walsh_lower_is_centred(const walsh_lowering *l, walsh_node node);

bool walsh_lower_is_batchnorm(const walsh_lowering *l, walsh_node node);

/* Whether a batch norm is applied by the layer that reads it, not by itself. */
bool walsh_lower_is_pending(const walsh_lowering *l, walsh_node node);

/* A batch norm (`main`, -1: none), what is added to it (`other`, -1: none), and whether a ReLU follows: what one stored
 * tensor, the output of layer `last`, is made of. */
typedef struct walsh_lower_grouping {
    walsh_node main, other, last;
    bool relu;
} walsh_lower_grouping;

/* The group that ends in `node`, or last = -1 where `node` is only a part of one that ends later. */
walsh_lower_grouping walsh_lower_group(const walsh_lowering *l, walsh_node node);

/* Writes the group's output to y, from what it is made of. */
void walsh_lower_join(walsh_lowering *l, walsh_lower_grouping g, walsh_value y);

/* What a convolution reads for its input `node`: the stored tensor, or the one before batch norm and ReLU, which it
 * then normalises on the way in. */
typedef struct walsh_lower_operand {
    walsh_value x, saved;
    unsigned fuse;
    int linear; /* there is no ReLU */
} walsh_lower_operand;

walsh_lower_operand walsh_lower_source(const walsh_lowering *l, walsh_node node);

#endif
