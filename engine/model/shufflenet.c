/* ShuffleNet (Zhang, Zhou, Lin and Sun, 2017, table 1), 1x with 3 groups. The paper leaves open what decides the number
 * of parameters; with 1000 classes it prints one more than 1,826,554, which of the readings tried only this one gives:
 * convolutions have biases, no batch norm follows the first one, a unit's bottleneck is a quarter of what its own
 * branch gives (with stride 2 the output less what the shortcut adds), and the very first 1x1 of stage 2 is not by
 * groups.
 *
 * Two ReLUs stand where they cost less, and change no number: after the maximum of the first pooling, and within a
 * concatenation on the branch alone, since the averages beside it are of what a ReLU gave. */
#include "engine/model/builders.h"

#include <stdio.h>

enum { STAGES = 3, STEM = 24 };

static const struct {
    int channels, units;
} stages[STAGES] = {{240, 4}, {480, 8}, {960, 4}};

/* Convolution, kernel x kernel, and batch norm, named PREFIXconvI and PREFIXbnI. */
static walsh_node conv_bn(walsh_graph *graph, const char *prefix, int i, walsh_node x, int channels, int kernel,
                          int stride, int groups)
{
    char name[64];
    snprintf(name, sizeof name, "%sconv%d", prefix, i);
    x = walsh_graph_conv_by(graph, name, x, channels, kernel, stride, kernel / 2, groups);
    snprintf(name, sizeof name, "%sbn%d", prefix, i);
    return walsh_graph_batchnorm(graph, name, x);
}

/* A unit's own branch to `channels` channels, before the ReLU; its first convolution is by `first` groups. */
static walsh_node branch(walsh_graph *graph, const char *prefix, walsh_node x, int channels, int stride, int first,
                         int groups)
{
    int middle = channels / 4;
    x = walsh_graph_relu(graph, conv_bn(graph, prefix, 1, x, middle, 1, 1, first));
    x = walsh_graph_shuffle(graph, x, groups);
    x = conv_bn(graph, prefix, 2, x, middle, 3, stride, middle);
    return conv_bn(graph, prefix, 3, x, channels, 1, 1, groups);
}

/* The unit that opens a stage: half the pixels a side, and as many more channels as there are to be. */
static walsh_node opening(walsh_graph *graph, const char *prefix, walsh_node x, int channels, int first, int groups)
{
    if (x < 0) return x;
    int own = channels - walsh_graph_layer(graph, x)->c;
    walsh_node y = walsh_graph_relu(graph, branch(graph, prefix, x, own, 2, first, groups));
    return walsh_graph_concat(graph, walsh_graph_pool(graph, WALSH_POOL_AVERAGE, x, 3, 2, 1), y);
}

static walsh_node stage(walsh_graph *graph, int number, walsh_node x, int channels, int units, int groups)
{
    for (int i = 0; i < units; i++) {
        char prefix[32];
        snprintf(prefix, sizeof prefix, "stage%d.%d.", number, i);
        if (i == 0)
            x = opening(graph, prefix, x, channels, number == 2 ? 1 : groups, groups);
        else
            x = walsh_graph_relu(graph,
                                 walsh_graph_add(graph, branch(graph, prefix, x, channels, 1, groups, groups), x));
    }
    return x;
}

void walsh_build_shufflenet(walsh_graph *graph, int groups)
{
    walsh_node x = walsh_graph_conv_by(graph, "conv1", 0, STEM, 3, 2, 1, 1);
    x = walsh_graph_relu(graph, walsh_graph_pool(graph, WALSH_POOL_MAX, x, 3, 2, 1));
    for (int i = 0; i < STAGES; i++) x = stage(graph, i + 2, x, stages[i].channels, stages[i].units, groups);
    walsh_graph_pool(graph, WALSH_POOL_GLOBAL, x, 0, 0, 0);
}
