/* Networks as graphs of layers: built once by engine/model, shapes inferred as layers are added.
 *
 * A graph says what is computed from one image; it knows no batch, device or direction. Building needs no error check a
 * line: the first failure is kept and walsh_graph_check reports it. */
#ifndef WALSH_ENGINE_NN_GRAPH_H
#define WALSH_ENGINE_NN_GRAPH_H

#include "engine/nn/parameters.h"
#include "engine/op/pool.h"

typedef struct walsh_graph walsh_graph;
typedef int walsh_node; /* number of a layer, which also names its output; -1 after a failure */

typedef enum walsh_layer_kind {
    WALSH_LAYER_INPUT,
    WALSH_LAYER_CONV,
    WALSH_LAYER_BATCHNORM,
    WALSH_LAYER_RELU,
    WALSH_LAYER_ADD,
    WALSH_LAYER_POOL,
    WALSH_LAYER_CONCAT
} walsh_layer_kind;

typedef struct walsh_layer {
    walsh_layer_kind kind;
    char name[64];           /* torchvision's, the prefix of its parameters: "layer1.0.conv1" */
    walsh_node input[2];     /* -1 where there is none */
    int consumers;           /* layers that read its output */
    int h, w, c;             /* output of one image */
    int lanes;               /* room for its channels: c, or more where a concatenation lies between pads: */
    const int *lane;         /* [c] the lane of each channel; NULL: its number */
    int shuffle;             /* groups by whose shuffle, and nothing else, `lane` came about; 0: none */
    bool joined;             /* it is part of a concatenation */
    int window, stride, pad; /* of a convolution or pooling */
    walsh_pool_kind pool;
    int groups, shuffled;               /* of a convolution: see walsh_conv */
    int weight, bias;                   /* parameters of a convolution: its weight, and bias or -1; */
    int gamma, beta, run_mean, run_var; /* of a batch norm */
} walsh_layer;

/* An empty graph whose node 0 is the input image, h x w pixels of c channels. */
walsh_status walsh_graph_create(int h, int w, int c, walsh_graph **graph);

/* Convolution without bias to `oc` channels, kernel x kernel, He normal (fan out) initial weights. */
walsh_node walsh_graph_conv(walsh_graph *graph, const char *name, walsh_node x, int oc, int kernel, int stride,
                            int pad);
/* The same by groups, with a bias, which is zero at first. */
walsh_node walsh_graph_conv_by(walsh_graph *graph, const char *name, walsh_node x, int oc, int kernel, int stride,
                               int pad, int groups);
/* From here on the channels of `x`, which nobody has read, are counted as a shuffle of so many groups leaves them: the
 * first of each group, then the second of each ... (Zhang et al., 2017). They stay where they are. Returns x. */
walsh_node walsh_graph_shuffle(walsh_graph *graph, walsh_node x, int groups);
walsh_node walsh_graph_batchnorm(walsh_graph *graph, const char *name, walsh_node x);
walsh_node walsh_graph_relu(walsh_graph *graph, walsh_node x);
/* Sum of two nodes of equal shape. */
walsh_node walsh_graph_add(walsh_graph *graph, walsh_node a, walsh_node b);
/* The channels of `a`, then those of `b`, of as many pixels. Its output is where its parts have been written, so
 * nothing may be part of two; the lanes of `b` begin at a multiple of 4. */
walsh_node walsh_graph_concat(walsh_graph *graph, walsh_node a, walsh_node b);
walsh_node walsh_graph_pool(walsh_graph *graph, walsh_pool_kind kind, walsh_node x, int window, int stride, int pad);

/* The first failure while building, or WALSH_OK. The last node is the graph's output, the features. */
walsh_status walsh_graph_check(const walsh_graph *graph);

int walsh_graph_layers(const walsh_graph *graph);
const walsh_layer *walsh_graph_layer(const walsh_graph *graph, walsh_node node);

/* Features of one image that the head gets: the channels of the last node, which must be 1 x 1 x c. */
int walsh_graph_features(const walsh_graph *graph);

/* The graph's parameters; the head's are appended to them. Owned by the graph. */
walsh_parameters *walsh_graph_parameters(const walsh_graph *graph);

void walsh_graph_destroy(walsh_graph **graph);

#endif
