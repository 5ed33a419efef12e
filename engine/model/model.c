#include "engine/model/model.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/model/builders.h"

enum { MAX_NAMES = 64 };

const char *const *walsh_model_names(void)
{
    static const char *names[MAX_NAMES + 1];
    for (int i = 0; i < MAX_NAMES && walsh_builders[i].name; i++) names[i] = walsh_builders[i].name;
    return names;
}

/* Copies the data set's and the classes' names into one block that the model owns. */
static walsh_status copy_strings(walsh_model *model, const walsh_model_options *options)
{
    const char *data = options->data ? options->data : "";
    size_t bytes = strlen(data) + 1;
    int classes = options->class_names ? options->classes : 0;
    for (int i = 0; i < classes; i++) bytes += strlen(options->class_names[i]) + 1;
    WALSH_TRY(walsh_alloc(&model->strings, bytes, 1, "class names"));
    WALSH_TRY(walsh_alloc(&model->class_names, (size_t)classes, sizeof *model->class_names, "class names"));
    model->info.data = model->strings;
    char *end = stpcpy(model->strings, data) + 1;
    for (int i = 0; i < classes; i++) {
        model->class_names[i] = end;
        end = stpcpy(end, options->class_names[i]) + 1;
    }
    model->info.class_names = classes ? model->class_names : NULL;
    return WALSH_OK;
}

static walsh_status check(const walsh_model_options *options)
{
    if (options->classes < 1)
        WALSH_FAIL(WALSH_E_ARGUMENT, "a model of %d classes: expected at least 1", options->classes);
    if (options->image_size < 0)
        WALSH_FAIL(WALSH_E_ARGUMENT, "an image size of %d: expected at least 1", options->image_size);
    if (!isfinite(options->alpha) || options->alpha < 0)
        WALSH_FAIL(WALSH_E_ARGUMENT, "alpha %g: expected a positive number", (double)options->alpha);
    if (options->head == WALSH_HEAD_LEARNED && options->alpha_fixed)
        WALSH_FAIL(WALSH_E_ARGUMENT, "alpha belongs to a fixed head; this one is learned");
    return WALSH_OK;
}

static walsh_status build(walsh_device *device, const walsh_builder *builder, const walsh_model_options *options,
                          walsh_model *model)
{
    walsh_model_info *info = &model->info;
    walsh_graph *graph = NULL;
    int size = options->image_size ? options->image_size : builder->image_size;
    WALSH_TRY(walsh_graph_create(size, size, 3, &graph));
    builder->build(graph, builder->size);
    *info = (walsh_model_info){.name = builder->name,
                               .image_size = size,
                               .classes = options->classes,
                               .features = walsh_graph_features(graph),
                               .alpha_fixed = options->alpha_fixed,
                               .loss = options->loss};
    info->head = (walsh_head_spec){
        .kind = options->head, .features = info->features, .classes = options->classes, .seed = options->head_seed};
    walsh_network_options network = {.head = {.spec = info->head, .loss = options->loss},
                                     .head_name = builder->head,
                                     .alpha_fixed = options->alpha_fixed,
                                     .alpha = options->alpha > 0 ? options->alpha : 10,
                                     .decay_alpha = options->decay_alpha,
                                     .trains = options->trains,
                                     .freeze_body = options->freeze_body};
    for (int i = 0; i < 3 && options->deviation[i] > 0; i++) {
        info->mean[i] = options->mean[i];
        info->deviation[i] = options->deviation[i];
    }
    memcpy(network.mean, info->mean, sizeof network.mean);
    for (int i = 0; i < 3; i++) network.deviation[i] = info->deviation[i] > 0 ? info->deviation[i] : 1;
    WALSH_TRY(walsh_network_create(device, &graph, &network, &model->network));
    info->parameters = walsh_parameters_trained(walsh_network_parameters(model->network));
    return copy_strings(model, options);
}

walsh_status walsh_model_create(walsh_device *device, const walsh_model_options *options, walsh_model **model)
{
    const walsh_builder *builder = NULL;
    walsh_model *made = NULL;
    *model = NULL;
    WALSH_TRY(walsh_builder_find(options->name ? options->name : "", &builder));
    WALSH_TRY(check(options));
    WALSH_TRY(walsh_alloc(&made, 1, sizeof *made, "a model"));
    walsh_status status = build(device, builder, options, made);
    if (status) walsh_model_destroy(&made);
    *model = made;
    return status;
}

const walsh_model_info *walsh_model_describe(const walsh_model *model)
{
    return &model->info;
}

walsh_status walsh_model_initialise(walsh_model *model, uint64_t seed)
{
    model->batches = 0;
    return walsh_parameters_initialise(walsh_network_parameters(model->network), seed);
}

void walsh_model_destroy(walsh_model **model)
{
    if (!*model) return;
    walsh_network_destroy(&(*model)->network);
    free((*model)->strings);
    free((*model)->class_names);
    free(*model);
    *model = NULL;
}
