#include "engine/train/evaluate.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/clock.h"
#include "engine/base/status.h"
#include "engine/model/model.h"
#include "engine/train/memory.h"
#include "engine/train/tuning.h"

/* What one pass has gathered. */
typedef struct pass {
    walsh_batch_metrics sums;
    walsh_evaluate_progress progress;
    walsh_evaluate_observer observer;
    void *context;
} pass;

static walsh_status report(const pass *p)
{
    if (p->observer && p->observer(p->context, &p->progress)) WALSH_FAIL(WALSH_E_STOPPED, "stopped");
    return WALSH_OK;
}

static walsh_status collect(walsh_network *network, size_t count, pass *p)
{
    walsh_batch_metrics batch;
    WALSH_TRY(walsh_network_metrics(network, &batch));
    p->sums.loss += batch.loss;
    p->sums.top1_wrong += batch.top1_wrong;
    p->sums.top5_wrong += batch.top5_wrong;
    p->progress.done += count;
    return report(p);
}

/* Copies the valid rows of the last batch's logits to their places. */
static walsh_status take_logits(walsh_network *network, const walsh_batch *batch, size_t classes, float *logits)
{
    float *all = NULL;
    WALSH_TRY(walsh_alloc(&all, (size_t)walsh_network_batch(network) * classes, sizeof *all, "logits"));
    walsh_status status = walsh_network_logits(network, all);
    for (size_t i = 0; i < batch->count && !status; i++)
        memcpy(logits + batch->images[i] * classes, all + i * classes, classes * sizeof *all);
    free(all);
    return status;
}

static walsh_status run(walsh_model *model, walsh_loader *loader, float *logits, pass *p)
{
    walsh_network *network = model->network;
    size_t waiting = 0; /* images of the batch under way */
    WALSH_TRY(walsh_loader_start(loader, 0, 0));
    for (;;) {
        walsh_batch batch;
        WALSH_TRY(walsh_loader_next(loader, &batch));
        if (!batch.count) break;
        WALSH_TRY(walsh_network_evaluate(network, batch.pixels, batch.labels, batch.count));
        if (waiting) WALSH_TRY(collect(network, waiting, p));
        waiting = batch.count;
        if (logits) WALSH_TRY(take_logits(network, &batch, (size_t)model->info.classes, logits));
    }
    return waiting ? collect(network, waiting, p) : WALSH_OK;
}

walsh_status walsh_evaluate_loader(walsh_model *model, walsh_loader *loader, size_t images, float *logits,
                                   walsh_evaluate_observer observer, void *context, walsh_evaluation *result)
{
    pass p = {.progress = {.images = images}, .observer = observer, .context = context};
    double began = walsh_clock();
    walsh_status status = run(model, loader, logits, &p);
    /* What is still under way reads the loader's memory and would be counted to the next pass. */
    walsh_network_drain(model->network);
    WALSH_TRY(status);
    if (!p.progress.done) WALSH_FAIL(WALSH_E_FORMAT, "none of %zu images can be read", images);
    double n = (double)p.progress.done, seconds = walsh_clock() - began;
    *result = (walsh_evaluation){.images = p.progress.done,
                                 .loss = p.sums.loss / n,
                                 .top1_error = 100 * p.sums.top1_wrong / n,
                                 .top5_error = 100 * p.sums.top5_wrong / n,
                                 .seconds = seconds,
                                 .images_per_second = n / seconds};
    return WALSH_OK;
}

walsh_status walsh_evaluate_check(const walsh_model *model, const walsh_dataset *dataset)
{
    const walsh_dataset_info *data = walsh_dataset_describe(dataset);
    if (data->classes && data->classes != model->info.classes)
        WALSH_FAIL(WALSH_E_ARGUMENT, "the model tells %d classes apart, %s has %d", model->info.classes, data->name,
                   data->classes);
    if (data->height != model->info.image_size || data->width != model->info.image_size)
        WALSH_FAIL(WALSH_E_ARGUMENT, "the model takes images of %dx%d, %s has %dx%d", model->info.image_size,
                   model->info.image_size, data->name, data->height, data->width);
    return WALSH_OK;
}

/* Makes the plans, once it is known and said that they fit. */
static walsh_status prepare(walsh_model *model, walsh_dataset *dataset, const walsh_evaluate_options *options,
                            walsh_evaluate_observer observer, void *context)
{
    const walsh_network_purpose purpose = {.batch = options->batch, .exact = options->exact};
    const walsh_dataset_info *data = walsh_dataset_describe(dataset);
    walsh_memory memory;
    WALSH_TRY(walsh_evaluate_check(model, dataset));
    if (!(model->info.deviation[0] > 0)) walsh_network_normalise(model->network, data->mean, data->deviation);
    WALSH_TRY(walsh_tuning_consult_device(model));
    WALSH_TRY(walsh_memory_check(model, dataset, &purpose, options->memory, &memory));
    WALSH_TRY(report(&(pass){.progress = {&memory, 0, data->images}, .observer = observer, .context = context}));
    return walsh_network_prepare(model->network, &purpose);
}

static walsh_status whole_pass(walsh_model *model, walsh_dataset *dataset, const walsh_evaluate_options *options,
                               float *logits, walsh_evaluate_observer observer, void *context, walsh_evaluation *result)
{
    walsh_evaluate_options o = options ? *options : (walsh_evaluate_options){0};
    size_t images = walsh_dataset_describe(dataset)->images;
    if (o.batch < 0) WALSH_FAIL(WALSH_E_ARGUMENT, "a batch of %d: expected at least 1", o.batch);
    if (!o.batch) o.batch = 128;
    if ((size_t)o.batch > images) o.batch = (int)images;
    WALSH_TRY(prepare(model, dataset, &o, observer, context));
    walsh_loader *loader = NULL;
    walsh_loader_options loading = {.batch = (size_t)o.batch, .threads = o.loaders > 0 ? o.loaders : 1};
    WALSH_TRY(walsh_loader_open(dataset, &loading, &loader));
    walsh_status status = walsh_evaluate_loader(model, loader, images, logits, observer, context, result);
    walsh_loader_close(&loader);
    return status;
}

walsh_status walsh_evaluate(walsh_model *model, walsh_dataset *dataset, const walsh_evaluate_options *options,
                            walsh_evaluate_observer observer, void *context, walsh_evaluation *result)
{
    const walsh_dataset_info *data = walsh_dataset_describe(dataset);
    if (!data->classes) WALSH_FAIL(WALSH_E_ARGUMENT, "evaluation needs labels, and the %s have none", data->name);
    return whole_pass(model, dataset, options, NULL, observer, context, result);
}

walsh_status walsh_predict(walsh_model *model, walsh_dataset *dataset, const walsh_evaluate_options *options,
                           walsh_evaluate_observer observer, void *context, float *logits)
{
    walsh_evaluation ignored;
    size_t numbers = walsh_dataset_describe(dataset)->images * (size_t)model->info.classes;
    for (size_t i = 0; i < numbers; i++) logits[i] = NAN;
    return whole_pass(model, dataset, options, logits, observer, context, &ignored);
}
