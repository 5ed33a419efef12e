/* ResNets of the CIFAR kind: three stages of n basic blocks with 16, 32 and 64 channels on 32x32, 16x16 and 8x8 pixels.
 * Where a stage changes the shape, the shortcut is a 1x1 convolution of stride 2 with batch norm (interface.md). */
#include "engine/model/builders.h"

#include <stdio.h>

/* conv + batch norm, named PREFIX.convI and PREFIX.bnI */
static walsh_node conv_bn(walsh_graph *graph, const char *prefix, int i, walsh_node x, int channels, int stride)
{
    char name[64];
    snprintf(name, sizeof name, "%sconv%d", prefix, i);
    x = walsh_graph_conv(graph, name, x, channels, 3, stride, 1);
    snprintf(name, sizeof name, "%sbn%d", prefix, i);
    return walsh_graph_batchnorm(graph, name, x);
}

/* 1x1 convolution + batch norm, named PREFIX.downsample.0 and .1 */
static walsh_node projection(walsh_graph *graph, const char *prefix, walsh_node x, int channels, int stride)
{
    char name[64];
    snprintf(name, sizeof name, "%sdownsample.0", prefix);
    x = walsh_graph_conv(graph, name, x, channels, 1, stride, 0);
    snprintf(name, sizeof name, "%sdownsample.1", prefix);
    return walsh_graph_batchnorm(graph, name, x);
}

static walsh_node basic_block(walsh_graph *graph, const char *prefix, walsh_node x, int channels, int stride)
{
    walsh_node y = walsh_graph_relu(graph, conv_bn(graph, prefix, 1, x, channels, stride));
    y = conv_bn(graph, prefix, 2, y, channels, 1);
    walsh_node shortcut = stride == 1 ? x : projection(graph, prefix, x, channels, stride);
    return walsh_graph_relu(graph, walsh_graph_add(graph, y, shortcut));
}

void walsh_build_cifar_resnet(walsh_graph *graph, int depth)
{
    const int blocks = (depth - 2) / 6;
    walsh_node x = walsh_graph_relu(graph, conv_bn(graph, "", 1, 0, 16, 1));
    for (int stage = 0; stage < 3; stage++)
        for (int block = 0; block < blocks; block++) {
            char prefix[32];
            snprintf(prefix, sizeof prefix, "layer%d.%d.", stage + 1, block);
            x = basic_block(graph, prefix, x, 16 << stage, stage > 0 && block == 0 ? 2 : 1);
        }
    walsh_graph_pool(graph, WALSH_POOL_GLOBAL, x, 0, 0, 0);
}
