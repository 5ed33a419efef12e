/* Measuring the variants of an operation, and trusting only those that agree with the plain one. */
#ifndef WALSH_ENGINE_OP_TUNE_H
#define WALSH_ENGINE_OP_TUNE_H

#include "engine/op/plan.h"

/* Largest L2 difference over L2 size of a contender's outputs from the plain variant's on random data. Winograd's
 * rounding is about 1e-5; a wrong tile edge is above 1e-3. */
#define WALSH_TUNE_TOLERANCE 1e-4

typedef struct walsh_tuned {
    const walsh_variant *by_rule, *fastest;
    double rule_seconds, fastest_seconds; /* one run, the best of several; 0 by rule where its results were wrong */
    int contenders;                       /* variants that were measured */
    int refused;                          /* variants whose results were wrong or that failed */
} walsh_tuned;

/* Runs every variant that suits a problem on random data, compares its outputs with the plain variant's (where extras
 * are asked that it lacks, with the last one's that has them), times those that agree in turn for about `seconds`, and
 * remembers the fastest. A problem with one contender is not measured. */
walsh_status walsh_tune(walsh_device *device, const walsh_op *op, const void *problem, double seconds,
                        walsh_wisdom *wisdom, walsh_tuned *result);

/* One of the different problems of some plans, as it has been tuned. */
typedef struct walsh_tuned_problem {
    int number, problems; /* from 1, and of how many */
    const walsh_op *op;
    const char *label; /* of the first operation that has it */
    int uses;          /* operations of the last plan that have it */
    walsh_tuned tuned;
} walsh_tuned_problem;

/* Told of each problem as it has been tuned, and once more where variants that start slowly were tried afterwards;
 * returning true stops with WALSH_E_STOPPED. */
typedef bool (*walsh_tune_observer)(void *context, const walsh_tuned_problem *problem);

/* Tunes every different problem of some plans that more than one variant may compute, within about `seconds` in all.
 * Variants that start slowly, unless they are the rule's, are tried when all others have been, in the time that is left
 * then; the last of them to begin may overrun it. The plans stay as they are; `observer` may be NULL. */
walsh_status walsh_tune_plans(walsh_plan *const *plans, int count, double seconds, walsh_wisdom *wisdom,
                              walsh_tune_observer observer, void *context);

#endif
