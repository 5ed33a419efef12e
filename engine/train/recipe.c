/* The recipes of interface.md: the paper's settings for each network, and a short one for the sample. */
#include <walsh/train.h>

#include <stdio.h>
#include <string.h>

#include "engine/base/status.h"
#include "engine/model/builders.h"

enum { MODELS = 6 };

typedef struct recipe {
    const char *models[MODELS]; /* ended by NULL, if fewer */
    int epochs, batch;
    double lr;
    bool nesterov;
    double weight_decay;
    const char *schedule;
} recipe;

static const recipe recipes[] = {
    {{"resnet20", "resnet32", "resnet44", "resnet56", "resnet110"}, 200, 128, 0.1, false, 1e-4, "step:81,122,164"},
    {{"densenet-bc-100-12"}, 300, 64, 0.1, true, 1e-4, "step:150,225"},
    {{"resnet18", "resnet34", "resnet50", "densenet121", "densenet169"}, 90, 256, 0.1, false, 1e-4, "step:30,60,80"},
    {{"shufflenet"}, 240, 1024, 0.5, false, 4e-5, "linear"},
};

/* 2,000 images teach a network something in a minute or two only with small batches and a rate that rises and falls. */
static const recipe sample = {{NULL}, 15, 64, 0.1, false, 5e-4, "onecycle"};

static walsh_status find(const char *model, const char *data, const recipe **found)
{
    *found = &sample;
    if (data && !strcmp(data, "sample")) return WALSH_OK;
    for (size_t i = 0; i < sizeof recipes / sizeof *recipes; i++)
        for (int m = 0; m < MODELS && recipes[i].models[m]; m++) {
            *found = &recipes[i];
            if (!strcmp(recipes[i].models[m], model)) return WALSH_OK;
        }
    WALSH_FAIL(WALSH_E_ARGUMENT, "there is no recipe for %s", model);
}

walsh_status walsh_train_defaults(const char *model, const char *data, walsh_train_options *options)
{
    const walsh_builder *builder = NULL;
    if (!model) model = walsh_builders[0].name;
    WALSH_TRY(walsh_builder_find(model, &builder));
    const recipe *r = NULL;
    WALSH_TRY(find(builder->name, data, &r));
    *options = (walsh_train_options){
        .model = {.name = builder->name},
        .data = data ? data : "sample",
        .epochs = r->epochs,
        .batch = r->batch,
        .accumulate = 1,
        .lr = r->lr,
        .momentum = 0.9,
        .nesterov = r->nesterov,
        .weight_decay = r->weight_decay,
        .augment = true,
        .shuffle = true,
        .loaders = data ? walsh_dataset_loaders(data) : 1,
    };
    return walsh_schedule_parse(r->schedule, &options->schedule);
}
