/* The recipes of interface.md: the paper's settings for each network, and a short one for the sample. */
#include <walsh/train.h>

#include <stdio.h>
#include <string.h>

#include "engine/base/status.h"
#include "engine/model/builders.h"

typedef struct recipe {
    const char *model; /* beginning of its name */
    int epochs, batch;
    double lr, weight_decay;
    const char *schedule;
} recipe;

static const recipe recipes[] = {
    {"resnet", 200, 128, 0.1, 1e-4, "step:81,122,164"},
};

/* 2,000 images teach a network something in a minute or two only with small batches and a rate that rises and falls. */
static const recipe sample = {"", 15, 64, 0.1, 5e-4, "onecycle"};

static const recipe *find(const char *model, const char *data)
{
    if (data && !strcmp(data, "sample")) return &sample;
    size_t i = 0;
    while (i + 1 < sizeof recipes / sizeof *recipes && strncmp(model, recipes[i].model, strlen(recipes[i].model))) i++;
    return &recipes[i];
}

walsh_status walsh_train_defaults(const char *model, const char *data, walsh_train_options *options)
{
    const walsh_builder *builder = NULL;
    if (!model) model = walsh_builders[0].name;
    WALSH_TRY(walsh_builder_find(model, &builder));
    const recipe *r = find(model, data);
    *options = (walsh_train_options){
        .model = {.name = builder->name},
        .data = data ? data : "sample",
        .epochs = r->epochs,
        .batch = r->batch,
        .lr = r->lr,
        .momentum = 0.9,
        .weight_decay = r->weight_decay,
        .augment = true,
        .shuffle = true,
        .loaders = data ? walsh_dataset_loaders(data) : 1,
    };
    return walsh_schedule_parse(r->schedule, &options->schedule);
}
