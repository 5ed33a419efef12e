#include "apps/session.h"

#include "apps/signals.h"
#include "apps/values.h"
#include "engine/base/clock.h"
#include "engine/base/status.h"

#include <stdio.h>

walsh_status walsh_session_open(const walsh_arguments *arguments, walsh_session *session)
{
    static const char *const splits[] = {"train", "test", NULL};
    int split = WALSH_SPLIT_TEST, threads = 0;
    *session = (walsh_session){.batch = 128, .loaders = 1};
    WALSH_TRY(walsh_argument_required(arguments, WALSH_OPTION_WEIGHTS, &session->weights));
    WALSH_TRY(walsh_argument_required(arguments, WALSH_OPTION_DATA, &session->data));
    WALSH_TRY(walsh_value_choice(arguments, WALSH_OPTION_SPLIT, splits, &split));
    WALSH_TRY(walsh_value_int(arguments, WALSH_OPTION_BATCH, 1, &session->batch));
    WALSH_TRY(walsh_value_int(arguments, WALSH_OPTION_LOADERS, 1, &session->loaders));
    WALSH_TRY(walsh_value_int(arguments, WALSH_OPTION_THREADS, 1, &threads));
    WALSH_TRY(walsh_bar_begin(arguments, &session->bar));
    session->split = splits[split];
    walsh_device_options device = {.selector = walsh_argument(arguments, WALSH_OPTION_DEVICE),
                                   .threads = (unsigned)threads};
    WALSH_TRY(walsh_dataset_open(session->data, (walsh_split)split, &session->dataset));
    WALSH_TRY(walsh_device_open(&device, &session->device));
    return walsh_model_open(session->device, session->weights, walsh_argument(arguments, WALSH_OPTION_MODEL),
                            &session->model);
}

bool walsh_session_observe(void *context, size_t done, size_t images)
{
    walsh_session *session = context;
    double now = walsh_clock();
    if (session->started == 0) session->started = now; /* the first batch carries the compilation: it does not count */
    char before[64], after[96], left[WALSH_DURATION];
    double rate = (double)(done - (size_t)session->batch) / (now - session->started);
    bool known = done > (size_t)session->batch && now > session->started;
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
