/* ResNets (He et al., 2015): those for CIFAR (section 4.2), three stages of n basic blocks with 16, 32 and 64 channels on
 * 32x32, 16x16 and 8x8 pixels; and those for ImageNet (table 1), four stages behind a stem that quarters the image, with
 * the stride of a bottleneck in its 3x3 convolution as torchvision has it. Where a block changes the shape, its shortcut
 * is a 1x1 convolution with batch norm (interface.md). */
#include "engine/model/builders.h"

#include <stdio.h>

/* A side x side convolution and batch norm, named PREFIXconvI and PREFIXbnI. */
static walsh_node conv_bn(walsh_graph *graph, const char *prefix, int i, walsh_node x, int channels, int side,
                          int stride)
{
    char name[64];
    snprintf(name, sizeof name, "%sconv%d", prefix, i);
    x = walsh_graph_conv(graph, name, x, channels, side, stride, side / 2);
    snprintf(name, sizeof name, "%sbn%d", prefix, i);
    return walsh_graph_batchnorm(graph, name, x);
}

/* What is added to a block's output of that many channels: x, or its projection, PREFIXdownsample.0 and .1. */
static walsh_node shortcut(walsh_graph *graph, const char *prefix, walsh_node x, int channels, int stride)
{
    char name[64];
    if (x < 0 || (stride == 1 && walsh_graph_layer(graph, x)->c == channels)) return x;
    snprintf(name, sizeof name, "%sdownsample.0", prefix);
    x = walsh_graph_conv(graph, name, x, channels, 1, stride, 0);
    snprintf(name, sizeof name, "%sdownsample.1", prefix);
    return walsh_graph_batchnorm(graph, name, x);
}

typedef walsh_node block(walsh_graph *graph, const char *prefix, walsh_node x, int width, int stride);

static walsh_node basic(walsh_graph *graph, const char *prefix, walsh_node x, int width, int stride)
{
    walsh_node y = walsh_graph_relu(graph, conv_bn(graph, prefix, 1, x, width, 3, stride));
    y = conv_bn(graph, prefix, 2, y, width, 3, 1);
    return walsh_graph_relu(graph, walsh_graph_add(graph, y, shortcut(graph, prefix, x, width, stride)));
}

static walsh_node bottleneck(walsh_graph *graph, const char *prefix, walsh_node x, int width, int stride)
{
    walsh_node y = walsh_graph_relu(graph, conv_bn(graph, prefix, 1, x, width, 1, 1));
    y = walsh_graph_relu(graph, conv_bn(graph, prefix, 2, y, width, 3, stride));
    y = conv_bn(graph, prefix, 3, y, 4 * width, 1, 1);
    return walsh_graph_relu(graph, walsh_graph_add(graph, y, shortcut(graph, prefix, x, 4 * width, stride)));
}

/* `blocks` blocks, the first of which has the stride, named layerSTAGE.0, .1, ... */
static walsh_node stage(walsh_graph *graph, int number, walsh_node x, block *build, int width, int blocks, int stride)
{
    for (int i = 0; i < blocks; i++) {
        char prefix[32];
        snprintf(prefix, sizeof prefix, "layer%d.%d.", number, i);
        x = build(graph, prefix, x, width, i ? 1 : stride);
    }
    return x;
}

void walsh_build_cifar_resnet(walsh_graph *graph, int depth)
{
    walsh_node x = walsh_graph_relu(graph, conv_bn(graph, "", 1, 0, 16, 3, 1));
    for (int i = 0; i < 3; i++) x = stage(graph, i + 1, x, basic, 16 << i, (depth - 2) / 6, i ? 2 : 1);
    walsh_graph_pool(graph, WALSH_POOL_GLOBAL, x, 0, 0, 0);
}

void walsh_build_resnet(walsh_graph *graph, int depth)
{
    static const int blocks[][4] = {{2, 2, 2, 2}, {3, 4, 6, 3}};
    walsh_node x = walsh_graph_relu(graph, conv_bn(graph, "", 1, 0, 64, 7, 2));
    x = walsh_graph_pool(graph, WALSH_POOL_MAX, x, 3, 2, 1);
    for (int i = 0; i < 4; i++)
        x = stage(graph, i + 1, x, depth >= 50 ? bottleneck : basic, 64 << i, blocks[depth > 18][i], i ? 2 : 1);
    walsh_graph_pool(graph, WALSH_POOL_GLOBAL, x, 0, 0, 0);
}
