/* DenseNets (Huang et al., 2017) with bottlenecks and compression: those for ImageNet (table 1), and that for CIFAR
 * (section 4.2), which has no batch norm before its first block. A dense block is one concatenation that grows: a layer
 * reads all that is there, normalised for it alone, and appends `growth` channels. Names are torchvision's, and so is a
 * transition's order but for the last two: batch norm, ReLU, pooling, convolution. A 1x1 convolution of averages is
 * the average of its outputs, at a quarter of the work. */
#include "engine/model/builders.h"

#include <stdio.h>

enum { BOTTLENECK = 4, MOST_BLOCKS = 4 }; /* channels of a layer's 1x1 convolution, in multiples of the growth */

typedef struct densenet {
    int depth, growth, stem; /* layers with weights, which name it; channels of a layer, and before the first block */
    int layers[MOST_BLOCKS]; /* of each block, up to a 0 */
    bool cifar;
} densenet;

static const densenet networks[] = {
    {100, 12, 24, {16, 16, 16}, true}, {121, 32, 64, {6, 12, 24, 16}, false}, {169, 32, 64, {6, 12, 32, 32}, false}};

/* Batch norm and ReLU of x, named PREFIXnormSUFFIX. */
static walsh_node norm_relu(walsh_graph *graph, const char *prefix, const char *suffix, walsh_node x)
{
    char name[64];
    snprintf(name, sizeof name, "%snorm%s", prefix, suffix);
    return walsh_graph_relu(graph, walsh_graph_batchnorm(graph, name, x));
}

/* A 1x1 or 3x3 convolution, named PREFIXconvSUFFIX. */
static walsh_node conv(walsh_graph *graph, const char *prefix, const char *suffix, walsh_node x, int channels, int side)
{
    char name[64];
    snprintf(name, sizeof name, "%sconv%s", prefix, suffix);
    return walsh_graph_conv(graph, name, x, channels, side, 1, side / 2);
}

static walsh_node dense_block(walsh_graph *graph, int number, walsh_node x, int layers, int growth)
{
    for (int i = 1; i <= layers; i++) {
        char prefix[48];
        snprintf(prefix, sizeof prefix, "features.denseblock%d.denselayer%d.", number, i);
        walsh_node y = conv(graph, prefix, "1", norm_relu(graph, prefix, "1", x), BOTTLENECK * growth, 1);
        x = walsh_graph_concat(graph, x, conv(graph, prefix, "2", norm_relu(graph, prefix, "2", y), growth, 3));
    }
    return x;
}

/* Half the channels, of a quarter of the pixels. */
static walsh_node transition(walsh_graph *graph, int number, walsh_node x)
{
    char prefix[48];
    if (x < 0) return x;
    snprintf(prefix, sizeof prefix, "features.transition%d.", number);
    int channels = walsh_graph_layer(graph, x)->c / 2;
    x = walsh_graph_pool(graph, WALSH_POOL_AVERAGE, norm_relu(graph, prefix, "", x), 2, 2, 0);
    return conv(graph, prefix, "", x, channels, 1);
}

static walsh_node stem(walsh_graph *graph, const densenet *net)
{
    if (net->cifar) return walsh_graph_conv(graph, "features.conv0", 0, net->stem, 3, 1, 1);
    walsh_node x = walsh_graph_conv(graph, "features.conv0", 0, net->stem, 7, 2, 3);
    return walsh_graph_pool(graph, WALSH_POOL_MAX, norm_relu(graph, "features.", "0", x), 3, 2, 1);
}

void walsh_build_densenet(walsh_graph *graph, int depth)
{
    const densenet *net = networks;
    while (net->depth != depth) net++;
    walsh_node x = stem(graph, net);
    for (int i = 0; i < MOST_BLOCKS && net->layers[i]; i++) {
        if (i) x = transition(graph, i, x);
        x = dense_block(graph, i + 1, x, net->layers[i], net->growth);
    }
    walsh_graph_pool(graph, WALSH_POOL_GLOBAL, norm_relu(graph, "features.", "5", x), 0, 0, 0);
}
