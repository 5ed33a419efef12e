#include "apps/session.h"

#include "apps/plan.h"
#include "apps/signals.h"
#include "apps/values.h"
#include "engine/base/clock.h"
#include "engine/base/status.h"

#include <stdio.h>
#include <string.h>

/* Images are made as large as the model wants them. Image files are framed as the images that the model has learnt
 * from: those of CIFAR fill their picture. */
static walsh_status open_data(const walsh_arguments *arguments, walsh_split split, walsh_session *session)
{
    const walsh_model_info *model = walsh_model_describe(session->model);
    const walsh_dataset_options options = {
        .image_size = model->image_size,
        .skip_bad_images = walsh_argument(arguments, WALSH_OPTION_SKIP_BAD_IMAGES),
        .whole = !session->data && (!strcmp(model->data, "sample") || !strncmp(model->data, "cifar", 5)),
    };
    if (session->data) return walsh_dataset_open(session->data, split, &options, &session->dataset);
    return walsh_dataset_open_images(arguments->images, arguments->image_count, &options, &session->dataset);
}

walsh_status walsh_session_open(const walsh_arguments *arguments, walsh_session *session)
{
    static const char *const splits[] = {"train", "test", NULL};
    int split = WALSH_SPLIT_TEST, threads = 0, image_size = 0;
    walsh_evaluate_options *options = &session->options;
    *session = (walsh_session){.options = {.batch = 128}};
    WALSH_TRY(walsh_argument_required(arguments, WALSH_OPTION_WEIGHTS, &session->weights));
    session->images = arguments->images;
    if (session->images && walsh_argument(arguments, WALSH_OPTION_DATA))
        WALSH_FAIL(WALSH_E_ARGUMENT, "expected either --data or --images, found both");
    if (!session->images) WALSH_TRY(walsh_argument_required(arguments, WALSH_OPTION_DATA, &session->data));
    options->loaders = walsh_dataset_loaders(session->data ? session->data : "imagenet:");
    WALSH_TRY(walsh_value_choice(arguments, WALSH_OPTION_SPLIT, splits, &split));
    WALSH_TRY(walsh_value_int(arguments, WALSH_OPTION_BATCH, 1, &options->batch));
    WALSH_TRY(walsh_value_math(arguments, &options->exact));
    WALSH_TRY(walsh_value_bytes(arguments, WALSH_OPTION_MEMORY, &options->memory));
    WALSH_TRY(walsh_value_int(arguments, WALSH_OPTION_IMAGE_SIZE, 1, &image_size));
    WALSH_TRY(walsh_value_int(arguments, WALSH_OPTION_LOADERS, 1, &options->loaders));
    WALSH_TRY(walsh_value_int(arguments, WALSH_OPTION_THREADS, 1, &threads));
    WALSH_TRY(walsh_bar_begin(arguments, &session->bar));
    session->split = splits[split];
    walsh_device_options device = {.selector = walsh_argument(arguments, WALSH_OPTION_DEVICE),
                                   .threads = (unsigned)threads};
    WALSH_TRY(walsh_device_open(&device, &session->device));
    WALSH_TRY(walsh_model_open(session->device, session->weights, walsh_argument(arguments, WALSH_OPTION_MODEL),
                               image_size, &session->model));
    return open_data(arguments, (walsh_split)split, session);
}

bool walsh_session_observe(void *context, const walsh_evaluate_progress *progress)
{
    walsh_session *session = context;
    size_t done = progress->done, images = progress->images, batch = (size_t)session->options.batch;
    double now = walsh_clock();
    if (progress->memory) {
        char line[WALSH_MEMORY_LINE];
        if (session->data) walsh_note("%s", walsh_memory_line(progress->memory, line));
        return walsh_signals_caught();
    }
    if (session->started == 0) session->started = now; /* the first batch carries the compilation: it does not count */
    char before[64], after[96], left[WALSH_DURATION];
    double rate = (double)(done - batch) / (now - session->started);
    bool known = done > batch && now > session->started;
    snprintf(before, sizeof before, "%zu/%zu", done, images);
    snprintf(after, sizeof after, "%.0f images/s, %s left", known ? rate : 0,
             walsh_duration(known ? (double)(images - done) / rate : -1, left));
    walsh_bar_draw(&session->bar, before, (double)done, (double)images, after);
    return walsh_signals_caught();
}

void walsh_session_close(walsh_session *session)
{
    walsh_bar_clear();
    walsh_model_destroy(&session->model);
    walsh_device_close(&session->device);
    walsh_dataset_close(&session->dataset);
}
