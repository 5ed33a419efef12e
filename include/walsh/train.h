/* Training, evaluation and prediction. */
#ifndef WALSH_TRAIN_H
#define WALSH_TRAIN_H

#include <walsh/model.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum walsh_schedule_kind {
    WALSH_SCHEDULE_CONSTANT,
    WALSH_SCHEDULE_STEP,
    WALSH_SCHEDULE_LINEAR,
    WALSH_SCHEDULE_COSINE,
    WALSH_SCHEDULE_ONECYCLE
} walsh_schedule_kind;

enum { WALSH_MAX_MILESTONES = 16 };

typedef struct walsh_schedule {
    walsh_schedule_kind kind;
    int milestones[WALSH_MAX_MILESTONES]; /* epochs (from 0) at whose start the rate drops to a tenth; kind STEP */
    int milestone_count;
    double warmup; /* epochs of linear warm-up from 0 */
} walsh_schedule;

/* "constant", "step:81,122,164", "linear", "cosine", "onecycle"; keeps `warmup`. Fails with WALSH_E_ARGUMENT. */
WALSH_API walsh_status walsh_schedule_parse(const char *text, walsh_schedule *schedule);

/* The learning rate of step `step` (from 0) of `steps`, with `steps_per_epoch`; `step` multiplies by 0.1 at
 * the start of each milestone; `linear` and `cosine` (half a period) go to 0; `onecycle` rises by a cosine from lr/25
 * to lr over the first 30 % and falls by a cosine to lr/250,000 (Smith and Topin, 2018; PyTorch's OneCycleLR). A
 * warm-up is linear from 0, and the schedule then runs over the steps that remain. */
WALSH_API double walsh_schedule_rate(const walsh_schedule *schedule, double lr, uint64_t step, uint64_t steps,
                                     uint64_t steps_per_epoch);

typedef struct walsh_train_options {
    walsh_model_options model; /* classes and what it knows of the data are filled in from the data set */
    const char *data;          /* as walsh_dataset_open takes it */
    const char *out;           /* folder of the run; NULL: nothing is written */
    const char *init;          /* weights file to start from; NULL: initialise from `seed` */
    bool resume;               /* continue the run in `out` */
    int epochs;                /* length of the run and of its schedule ... */
    uint64_t steps;            /* ... unless this is not 0: then so many steps are */
    int batch;      /* images a step */
    int accumulate; /* equal parts that a step takes one after the other, adding their gradients: the memory of a batch
                       of batch/accumulate, and all but batch norm (whose statistics are each part's) as if in one */
    double lr, momentum, weight_decay, label_smoothing;
    bool nesterov;
    walsh_schedule schedule;
    uint64_t seed;
    uint64_t save_every; /* steps between saved states; 0: after each epoch only */
    bool augment, shuffle;
    bool exact;           /* no variant that trades accuracy for speed; not with `half` */
    bool half;            /* what the forward pass leaves for the backward pass waits as float16: half the memory */
    uint64_t memory;      /* bytes that the run may take of the device's memory; 0: all of it */
    int loaders;          /* loader threads; at least 1 */
    bool skip_bad_images; /* go on without images that cannot be decoded, instead of failing */
    bool tune;            /* measure the kernels' variants first, and keep what is learnt: for this run alone where it
                             is `exact`; not when resuming */
} walsh_train_options;

/* The recipe of a model on a data set (NULL where not known yet): every field set, the model's and data set's names
 * taken over. Fails with WALSH_E_ARGUMENT for an unknown model. */
WALSH_API walsh_status walsh_train_defaults(const char *model, const char *data, walsh_train_options *options);

/* The options of the run in folder `out`, as its state remembers them, with `resume` set: the start for a resumed run
 * whose caller only changes some. Strings point into *memory, which the caller frees with free() after use. Fails with
 * WALSH_E_FILE or WALSH_E_FORMAT where `out` holds no readable state. */
WALSH_API walsh_status walsh_train_recall(const char *out, walsh_train_options *options, char **memory);

/* What stands in a row of log.csv. Losses are means over the images, errors in per cent; lr is that of the last step,
 * alpha NaN for a learned head, images_per_second that of training, without the evaluation. */
typedef struct walsh_train_row {
    int epoch; /* from 1 */
    uint64_t step;
    double lr, train_loss, train_error, val_loss, val_error, alpha, seconds, images_per_second;
} walsh_train_row;

/* What a run or an evaluation takes of its device's memory, in bytes. Programs and drivers come on top. */
typedef struct walsh_memory {
    bool trains;
    int batch, parts;     /* images a step, and the parts it takes them in; in evaluation images at a time, and 1 */
    uint64_t parameters;  /* weights; in training also gradients and momentum */
    uint64_t activations; /* and workspaces */
    bool half;            /* those that wait for the backward pass are float16 */
    uint64_t images;      /* and labels, logits; on a CPU also of batches that wait for their turn */
    uint64_t total, available;
} walsh_memory;

typedef struct walsh_train_progress {
    const walsh_memory *memory;   /* before this call's first step, else NULL */
    bool evaluating;              /* the evaluation at an epoch's end; else training */
    int epoch, epochs;            /* from 1; the last one */
    uint64_t step, steps;         /* done in this epoch (or evaluation), and of how many */
    uint64_t run_step, run_steps; /* done in the whole run, and of how many */
    double loss, error;           /* so far in this epoch; error in per cent */
    double lr, images_per_second;
    double seconds_left;        /* estimate for the whole run; negative: unknown */
    const walsh_train_row *row; /* the epoch's row once it is complete, else NULL */
} walsh_train_progress;

/* Called before the first step, and after each step and each evaluated batch. Returning true asks to stop: the state is
 * saved, and walsh_train returns WALSH_E_STOPPED. */
typedef bool (*walsh_train_observer)(void *context, const walsh_train_progress *progress);

typedef struct walsh_train_result {
    walsh_train_row last;
    double best_error; /* per cent, over the epochs so far */
    size_t parameters;
    double first_step_seconds;   /* from the call to the end of the first step */
    walsh_profile_line *profile; /* where the device was opened with `profile`; the caller frees it with free() */
    size_t profile_lines;        /* of training first, each phase in the order of execution */
    size_t bad_images;           /* skipped, of both splits, each counted once */
} walsh_train_result;

/* Trains a model on a device; writes `out` as it goes (log.csv, state.safetensors, last.safetensors, best.safetensors).
 * `observer` and `result` may be NULL.
 *
 * @code
 * walsh_device *device = NULL;
 * walsh_train_options options;
 * walsh_train_result result;
 * if (walsh_device_open(NULL, &device) == WALSH_OK &&
 *     walsh_train_defaults("resnet20", "sample", &options) == WALSH_OK) {
 *     options.model.head = WALSH_HEAD_HADAMARD;
 *     if (walsh_train(device, &options, NULL, NULL, &result) == WALSH_OK)
 *         printf("error %.2f %%\n", result.last.val_error);
 * }
 * walsh_device_close(&device);
 * @endcode
 *
 * Fails with WALSH_E_ARGUMENT (options), WALSH_E_FILE, WALSH_E_FORMAT, WALSH_E_MEMORY (before anything is written, and
 * naming a batch that would fit), WALSH_E_NOT_FINITE where the loss or a weight is no longer finite (the last good
 * state stays), WALSH_E_STOPPED. */
WALSH_API walsh_status walsh_train(walsh_device *device, const walsh_train_options *options,
                                   walsh_train_observer observer, void *context, walsh_train_result *result);

/* One of a model's different operations (other sizes are another one) as it has been tuned. Told again, with the same
 * number, where variants that take long to start were tried once all else was done. */
typedef struct walsh_tuning_step {
    int number, problems;          /* from 1, and of how many */
    const char *operation;         /* "conv_forward" */
    const char *layer;             /* the first that has it */
    int uses;                      /* of it in a training step; 0: only evaluation has it */
    const char *by_rule, *fastest; /* variants: without wisdom, and as measured */
    double by_rule_ms, fastest_ms; /* one run; 0 by rule where that variant gave wrong results */
    int refused;                   /* variants whose results were wrong */
} walsh_tuning_step;

/* Returning true stops with WALSH_E_STOPPED; what was learnt until then is kept. */
typedef bool (*walsh_tuning_observer)(void *context, const walsh_tuning_step *step);

/* Measures, within about `seconds`, the variants of every operation that training (and evaluating) with these options
 * needs, each verified against the plain one before it is trusted, and keeps the fastest as this device's wisdom, which
 * later runs consult. `observer` may be NULL. */
WALSH_API walsh_status walsh_tune_training(walsh_device *device, const walsh_train_options *options, double seconds,
                                           walsh_tuning_observer observer, void *context);

typedef struct walsh_evaluation {
    size_t images;
    double loss, top1_error, top5_error; /* errors in per cent */
    double seconds, images_per_second;
} walsh_evaluation;

typedef struct walsh_evaluate_options {
    int batch;       /* images at a time; 0: 128. The numbers depend on it only by rounding */
    int loaders;     /* threads that prepare images; 0: 1 */
    uint64_t memory; /* bytes that it may take of the device's memory; 0: all of it */
    bool exact;      /* as in walsh_train_options */
} walsh_evaluate_options;

typedef struct walsh_evaluate_progress {
    const walsh_memory *memory; /* before the first batch, else NULL */
    size_t done, images;        /* images evaluated, and of how many */
} walsh_evaluate_progress;

/* Called before the first batch and after each; returning true stops with WALSH_E_STOPPED. */
typedef bool (*walsh_evaluate_observer)(void *context, const walsh_evaluate_progress *progress);

/* Loss (mean, cross-entropy or cosine as the model was trained with) and errors over every image of a data set, but for
 * bad ones where it skips them; result->images says how many were counted. `options` may be NULL (all 0), and so may
 * `observer`. Fails with WALSH_E_ARGUMENT where the data set's classes or image size are not the model's,
 * WALSH_E_MEMORY (before the first batch, and naming one that would fit), WALSH_E_BUILD, WALSH_E_OPENCL,
 * WALSH_E_STOPPED. */
WALSH_API walsh_status walsh_evaluate(walsh_model *model, walsh_dataset *dataset, const walsh_evaluate_options *options,
                                      walsh_evaluate_observer observer, void *context, walsh_evaluation *result);

/* Logits of every image, in the data set's order: logits [images][classes], the caller's memory; NaN for bad images
 * that the data set skips. Fails as above. */
WALSH_API walsh_status walsh_predict(walsh_model *model, walsh_dataset *dataset, const walsh_evaluate_options *options,
                                     walsh_evaluate_observer observer, void *context, float *logits);

#ifdef __cplusplus
}
#endif
#endif
