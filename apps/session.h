/* What eval and predict share: weights opened on a device, a data set beside them, a progress bar. */
#ifndef WALSH_APPS_SESSION_H
#define WALSH_APPS_SESSION_H

#include "apps/options.h"
#include "apps/progress.h"

#include <walsh/walsh.h>

typedef struct walsh_session {
    const char *weights, *data, *split; /* data NULL: image files */
    const char *const *images;          /* their paths; NULL: a data set */
    walsh_device *device;
    walsh_model *model;
    walsh_dataset *dataset;
    walsh_evaluate_options options;
    walsh_bar bar;
    double started; /* walsh_clock() of the first batch */
} walsh_session;

/* Opens what the command line names: a data set, or the files of --images where the command has that. Call
 * walsh_session_close() even where it fails. */
walsh_status walsh_session_open(const walsh_arguments *arguments, walsh_session *session);

/* A walsh_evaluate_observer whose context is the session: says what memory a data set takes, draws the bar, and
 * stops after a signal. */
bool walsh_session_observe(void *session, const walsh_evaluate_progress *progress);

void walsh_session_close(walsh_session *session);

#endif
