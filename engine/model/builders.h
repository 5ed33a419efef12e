/* The networks: each a builder short enough to read beside its paper, and one table of their names. */
#ifndef WALSH_ENGINE_MODEL_BUILDERS_H
#define WALSH_ENGINE_MODEL_BUILDERS_H

#include "engine/nn/graph.h"

typedef struct walsh_builder {
    const char *name; /* what `--model` takes */
    void (*build)(walsh_graph *graph,
                  int size); /* from the graph's input to its features; failures stay in the graph */
    int size;                /* the builder's own measure: depth */
    int image_size;          /* default pixels a side */
    const char *head;        /* prefix of the classifier's parameters */
} walsh_builder;

/* All networks, ended by a NULL name. */
extern const walsh_builder walsh_builders[];

/* The entry of a name; WALSH_E_ARGUMENT and the known names where there is none. */
walsh_status walsh_builder_find(const char *name, const walsh_builder **builder);

/* ResNet for CIFAR (He et al., 2015, section 4.2), depth = 6n+2. */
void walsh_build_cifar_resnet(walsh_graph *graph, int depth);

/* ResNet for ImageNet (He et al., 2015, table 1), depth 18, 34 or 50. */
void walsh_build_resnet(walsh_graph *graph, int depth);

/* ShuffleNet (Zhang et al., 2017, table 1), 1x with so many groups: 3. */
void walsh_build_shufflenet(walsh_graph *graph, int groups);

/* DenseNet (Huang et al., 2017), depth 100 (for CIFAR, growth 12), 121 or 169 (table 1, growth 32). */
void walsh_build_densenet(walsh_graph *graph, int depth);

#endif
