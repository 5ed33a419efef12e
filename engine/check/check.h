/* Whether a device computes what it should: the operations of the models, on values drawn at random, against double
 * precision. */
#ifndef WALSH_ENGINE_CHECK_CHECK_H
#define WALSH_ENGINE_CHECK_CHECK_H

#include "engine/op/op.h"

/* Largest error of an output's elements, over the largest element: several times what float32 makes of the longest sums
 * here. A wrong tile edge is above 1e-3. */
#define WALSH_CHECK_TOLERANCE 5e-5

/* One variant on one problem. */
typedef struct walsh_checked {
    int number, problems;      /* of the problem, from 1, and of how many */
    const char *model, *layer; /* the first that has it, or what it is */
    const walsh_op *op;
    const walsh_variant *variant;
    double error;        /* infinite where a pad lane is not zero; NaN where a value is, or where it failed */
    const char *failure; /* what the device said; NULL where it ran */
} walsh_checked;

bool walsh_checked_agrees(const walsh_checked *checked);

/* Told of each; returning true stops with WALSH_E_STOPPED. */
typedef bool (*walsh_check_observer)(void *context, const walsh_checked *checked);

/* Every variant that may compute a problem and does not start slowly, unless it is the rule's. `about` is what the
 * observer is told besides. Fails where the host does; what the device does wrong is told. */
walsh_status walsh_check_problem(walsh_device *device, const void *problem, const walsh_checked *about,
                                 walsh_check_observer observer, void *context);

/* The different problems of some of the models, with all kinds of heads, in training and evaluation, on small batches
 * of small images; and transforms of rows. */
walsh_status walsh_check_models(walsh_device *device, walsh_check_observer observer, void *context);

#endif
