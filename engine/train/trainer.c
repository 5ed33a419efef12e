/* The training loop. The device is kept one batch ahead: while it computes step k+1, the host reads the metrics of step
 * k and prepares step k+2, so that the queue never drains between steps. Nor does it for a checkpoint in mid-epoch: its
 * tensors are read in the order of the queue, behind the metrics of the same step, and a thread writes the files. */
#include "engine/train/trainer.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/clock.h"
#include "engine/base/file.h"
#include "engine/base/log.h"
#include "engine/model/builders.h"
#include "engine/train/checkpoint.h"
#include "engine/train/evaluate.h"
#include "engine/train/memory.h"
#include "engine/train/tuning.h"

/* What `--tune` may take; a CIFAR network has about 30 different problems. */
#define TUNING_SECONDS 30.0

typedef struct trainer {
    const walsh_train_options *options;
    walsh_train_observer observer;
    void *context;
    walsh_dataset *train_set, *test_set;
    walsh_loader *train_loader, *test_loader;
    walsh_model *model;
    walsh_position position;
    uint64_t steps_per_epoch, steps; /* of the run */
    uint64_t enqueued;               /* steps handed to the device; position.step lags behind */
    double began, epoch_began;       /* clocks; epoch_began: of what this process does of the epoch */
    uint64_t epoch_first;            /* images of the epoch that an earlier process trained on */
    double session_began; /* end of this process's first step, for the estimate of what is left; 0 before it */
    uint64_t session_first;
    walsh_task *writer;           /* of checkpoints; NULL where nothing is saved */
    walsh_checkpoint *checkpoint; /* begun after step `checkpoint_step`; NULL: none */
    uint64_t checkpoint_step;
    bool stop;
    walsh_memory memory;
    walsh_train_result result;
} trainer;

static walsh_status open_data(trainer *t)
{
    const walsh_train_options *o = t->options;
    const walsh_builder *builder = NULL;
    WALSH_TRY(walsh_builder_find(o->model.name, &builder));
    const walsh_dataset_options images = {
        .image_size = o->model.image_size ? o->model.image_size : builder->image_size,
        .skip_bad_images = o->skip_bad_images,
    };
    WALSH_TRY(walsh_dataset_open(o->data, WALSH_SPLIT_TRAIN, &images, &t->train_set));
    WALSH_TRY(walsh_dataset_open(o->data, WALSH_SPLIT_TEST, &images, &t->test_set));
    walsh_loader_options train = {.batch = (size_t)o->batch,
                                  .seed = o->seed,
                                  .shuffle = o->shuffle,
                                  .augment = o->augment,
                                  .drop_last = true,
                                  .threads = o->loaders};
    walsh_loader_options test = {.batch = (size_t)(o->batch / o->accumulate), .threads = o->loaders};
    WALSH_TRY(walsh_loader_open(t->train_set, &train, &t->train_loader));
    WALSH_TRY(walsh_loader_open(t->test_set, &test, &t->test_loader));
    t->steps_per_epoch = walsh_loader_batches(t->train_loader);
    t->steps = o->steps ? o->steps : (uint64_t)o->epochs * t->steps_per_epoch;
    return WALSH_OK;
}

/* Takes the weights over, but for a head that is not this model's. */
static walsh_status start_from(walsh_model *model, const char *path)
{
    bool own_head;
    WALSH_TRY(walsh_model_start(model, path, &own_head));
    if (own_head)
        walsh_log(WALSH_LOG_ERROR, "%s: its body is kept; the %s head of %d classes is new", path,
                  walsh_head_kind_name(model->info.head.kind), model->info.classes);
    return WALSH_OK;
}

static walsh_status open_model(trainer *t, walsh_device *device)
{
    const walsh_train_options *o = t->options;
    const walsh_dataset_info *data = walsh_dataset_describe(t->train_set);
    walsh_model_options model = o->model;
    model.classes = data->classes;
    model.trains = true;
    model.data = data->name;
    model.class_names = data->class_names;
    memcpy(model.mean, data->mean, sizeof model.mean);
    memcpy(model.deviation, data->deviation, sizeof model.deviation);
    WALSH_TRY(walsh_model_create(device, &model, &t->model));
    WALSH_TRY(walsh_evaluate_check(t->model, t->train_set));
    WALSH_TRY(walsh_model_initialise(t->model, o->seed));
    return o->init && !o->resume ? start_from(t->model, o->init) : WALSH_OK;
}

/* A row of an unfinished epoch stands only at the end of a run: one that goes on would not have written it. */
static void forget_partial_row(trainer *t)
{
    walsh_position *p = &t->position;
    if (!p->row_count || p->step >= t->steps || p->rows[p->row_count - 1].step % t->steps_per_epoch == 0) return;
    if (p->best_step == p->rows[--p->row_count].step) p->best_error = INFINITY;
}

/* The position must be one that a run on this data set can have: the data may have changed since. */
static walsh_status check_position(const trainer *t)
{
    const walsh_position *p = &t->position;
    if (p->epoch >= 0 && p->epoch_step <= t->steps_per_epoch && !isnan(p->best_error) &&
        p->step == (uint64_t)p->epoch * t->steps_per_epoch + p->epoch_step)
        return WALSH_OK;
    WALSH_FAIL(
        WALSH_E_ARGUMENT,
        "%s: the run is at step %llu, %llu into epoch %d; expected epochs of %llu steps, by the data set and the batch",
        t->options->out, (unsigned long long)p->step, (unsigned long long)p->epoch_step, p->epoch + 1,
        (unsigned long long)t->steps_per_epoch);
}

/* Begins to save what the steps enqueued so far make of the model. */
static walsh_status begin_checkpoint(trainer *t)
{
    t->checkpoint_step = t->enqueued;
    return walsh_checkpoint_begin(t->options->out, t->model, t->options, &t->checkpoint);
}

/* Goes on with it when the position has come to that step: position and weights then belong together. */
static walsh_status finish_checkpoint(trainer *t)
{
    return walsh_checkpoint_finish(&t->checkpoint, &t->position, t->writer);
}

static walsh_status open_run(trainer *t)
{
    const walsh_train_options *o = t->options;
    t->position.best_error = INFINITY;
    if (!o->out) return WALSH_OK;
    WALSH_TRY(walsh_task_create(&t->writer));
    if (o->resume) {
        WALSH_TRY(walsh_checkpoint_resume(o->out, o, t->model, &t->position));
        WALSH_TRY(check_position(t));
        t->enqueued = t->position.step;
        forget_partial_row(t);
        return WALSH_OK;
    }
    WALSH_TRY(walsh_folder_make(o->out, false));
    WALSH_TRY(begin_checkpoint(t));
    WALSH_TRY(finish_checkpoint(t));
    return walsh_task_wait(t->writer); /* a folder that cannot be written is noticed before any work is done */
}

static double rate_at(const trainer *t, uint64_t step)
{
    return walsh_schedule_rate(&t->options->schedule, t->options->lr, step, t->steps, t->steps_per_epoch);
}

static double seconds_left(const trainer *t, double now)
{
    uint64_t done = t->position.step - t->session_first;
    return done ? (now - t->session_began) / (double)done * (double)(t->steps - t->position.step) : -1;
}

/* Tells the observer how far training is, or that an epoch's row is complete. */
static void report(trainer *t, const walsh_train_row *row)
{
    const walsh_position *p = &t->position;
    if (!t->observer) return;
    double now = walsh_clock(), n = p->images ? (double)p->images : 1, elapsed = now - t->epoch_began;
    walsh_train_progress progress = {
        .epoch = row ? row->epoch : p->epoch + 1,
        .epochs = (int)((t->steps + t->steps_per_epoch - 1) / t->steps_per_epoch),
        .step = p->epoch_step,
        .steps = t->steps_per_epoch,
        .run_step = p->step,
        .run_steps = t->steps,
        .loss = p->loss / n,
        .error = 100 * p->wrong / n,
        .lr = rate_at(t, p->step ? p->step - 1 : 0),
        .images_per_second = elapsed > 0 ? (double)(p->images - t->epoch_first) / elapsed : 0,
        .seconds_left = seconds_left(t, now),
        .row = row,
    };
    if (t->observer(t->context, &progress)) t->stop = true;
}

/* Tells it what the run takes, before it begins. */
static void report_start(trainer *t)
{
    const walsh_train_progress progress = {
        .memory = &t->memory,
        .epoch = t->position.epoch + 1,
        .epochs = (int)((t->steps + t->steps_per_epoch - 1) / t->steps_per_epoch),
        .step = t->position.epoch_step,
        .steps = t->steps_per_epoch,
        .run_step = t->position.step,
        .run_steps = t->steps,
        .seconds_left = -1,
    };
    if (t->observer && t->observer(t->context, &progress)) t->stop = true;
}

/* Takes in the metrics of the oldest step under way. */
static walsh_status collect(trainer *t)
{
    walsh_position *p = &t->position;
    walsh_batch_metrics batch;
    WALSH_TRY(walsh_network_metrics(t->model->network, &batch));
    if (!isfinite(batch.loss))
        WALSH_FAIL(WALSH_E_NOT_FINITE,
                   "the loss is %g at step %llu (epoch %d): training stopped; the last good state stays. A smaller "
                   "--lr may help",
                   batch.loss / t->options->batch, (unsigned long long)p->step + 1, p->epoch + 1);
    p->loss += batch.loss;
    p->wrong += batch.top1_wrong;
    p->images += (uint64_t)t->options->batch;
    p->epoch_step++;
    p->step++;
    if (t->session_began == 0) { /* the estimate leaves the first step's compilation out */
        t->session_began = walsh_clock();
        t->session_first = p->step;
        t->result.first_step_seconds = t->session_began - t->began;
    }
    report(t, NULL);
    return t->checkpoint && p->step == t->checkpoint_step ? finish_checkpoint(t) : WALSH_OK;
}

/* Waits until every step handed to the device is taken in. */
static walsh_status settle(trainer *t)
{
    while (t->position.step < t->enqueued) WALSH_TRY(collect(t));
    return WALSH_OK;
}

static walsh_status save(trainer *t)
{
    WALSH_TRY(settle(t));
    if (!t->options->out) return WALSH_OK;
    WALSH_TRY(begin_checkpoint(t));
    return finish_checkpoint(t);
}

static walsh_status enqueue(trainer *t, const walsh_batch *batch)
{
    const walsh_train_options *o = t->options;
    walsh_hyper hyper = {
        .lr = (float)rate_at(t, t->enqueued), .momentum = (float)o->momentum, .weight_decay = (float)o->weight_decay};
    WALSH_TRY(walsh_network_train(t->model->network, batch->pixels, batch->labels, batch->count, &hyper));
    t->enqueued++;
    if (!o->model.freeze_body) t->model->batches += (uint64_t)o->accumulate;
    return WALSH_OK;
}

static bool saves_at(const trainer *t, uint64_t step)
{
    const walsh_train_options *o = t->options;
    return o->out && o->save_every && step % o->save_every == 0 && t->position.epoch_step + 1 < t->steps_per_epoch;
}

/* The steps of the epoch under way, from where the position stands to its end, the run's, or a stop. */
static walsh_status run_steps(trainer *t)
{
    WALSH_TRY(walsh_loader_start(t->train_loader, (uint32_t)t->position.epoch, t->position.epoch_step));
    while (!t->stop && t->enqueued < t->steps) {
        walsh_batch batch;
        WALSH_TRY(walsh_loader_next(t->train_loader, &batch));
        if (!batch.count) break;
        WALSH_TRY(enqueue(t, &batch));
        if (t->enqueued - t->position.step > 1) WALSH_TRY(collect(t));
        if (saves_at(t, t->enqueued)) WALSH_TRY(begin_checkpoint(t));
        if (t->writer) WALSH_TRY(walsh_task_check(t->writer));
    }
    return settle(t);
}

static bool observe_evaluation(void *context, const walsh_evaluate_progress *evaluation)
{
    trainer *t = context;
    walsh_train_progress progress = {
        .evaluating = true,
        .epoch = t->position.epoch + 1,
        .epochs = (int)((t->steps + t->steps_per_epoch - 1) / t->steps_per_epoch),
        .step = evaluation->done,
        .steps = evaluation->images,
        .run_step = t->position.step,
        .run_steps = t->steps,
        .loss = t->position.loss / (double)(t->position.images ? t->position.images : 1),
        .error = 100 * t->position.wrong / (double)(t->position.images ? t->position.images : 1),
        .seconds_left = seconds_left(t, walsh_clock()),
    };
    if (t->observer && t->observer(t->context, &progress)) t->stop = true;
    return t->stop;
}

static walsh_status read_alpha(const trainer *t, double *alpha)
{
    const walsh_parameters *parameters = walsh_network_parameters(t->model->network);
    int index = walsh_parameters_find(parameters, "fc.scale");
    float value = NAN;
    if (index >= 0) {
        walsh_view view = walsh_parameters_view(parameters, WALSH_COPY_WEIGHTS, index);
        WALSH_TRY(walsh_view_download(walsh_network_device(t->model->network), &view, &value));
    }
    *alpha = value;
    return WALSH_OK;
}

/* Evaluates, and makes the row of the epoch whose steps are done. */
static walsh_status finish_row(trainer *t, double trained_seconds, walsh_train_row *row)
{
    const walsh_position *p = &t->position;
    walsh_evaluation e;
    double n = p->images ? (double)p->images : 1;
    WALSH_TRY(walsh_evaluate_loader(t->model, t->test_loader, walsh_dataset_describe(t->test_set)->images, NULL,
                                    observe_evaluation, t, &e));
    if (!isfinite(e.loss))
        WALSH_FAIL(WALSH_E_NOT_FINITE,
                   "the validation loss is %g after epoch %d: training stopped; the last good state stays", e.loss,
                   p->epoch + 1);
    *row = (walsh_train_row){.epoch = p->epoch + 1,
                             .step = p->step,
                             .lr = rate_at(t, p->step ? p->step - 1 : 0),
                             .train_loss = p->loss / n,
                             .train_error = 100 * p->wrong / n,
                             .val_loss = e.loss,
                             .val_error = e.top1_error,
                             .seconds = walsh_clock() - t->epoch_began,
                             .images_per_second = (double)(p->images - t->epoch_first) / trained_seconds};
    return read_alpha(t, &row->alpha);
}

/* One epoch, or what is left of it, with its evaluation, row and files. */
static walsh_status run_epoch(trainer *t)
{
    walsh_position *p = &t->position;
    walsh_train_row row;
    t->epoch_began = walsh_clock();
    t->epoch_first = p->images;
    WALSH_TRY(run_steps(t));
    if (t->stop) return save(t);
    double trained_seconds = walsh_clock() - t->epoch_began;
    walsh_status status = finish_row(t, trained_seconds, &row);
    if (status == WALSH_E_STOPPED) return save(t); /* the evaluation is done again on resuming */
    WALSH_TRY(status);
    WALSH_TRY(walsh_position_add_row(p, &row));
    /* The row of an epoch that the run's end cut short is forgotten if the run goes on: it may not push a best out. */
    bool whole = p->epoch_step == t->steps_per_epoch;
    if (row.val_error < p->best_error && (whole || isinf(p->best_error)))
        p->best_error = row.val_error, p->best_step = p->step;
    t->result.last = row;
    if (whole) {
        p->epoch++;
        p->epoch_step = p->images = t->epoch_first = 0;
        p->loss = p->wrong = 0;
        t->epoch_began = walsh_clock();
    }
    WALSH_TRY(save(t));
    report(t, &row);
    return WALSH_OK;
}

/* Whether the steps of an epoch are done and only its evaluation is missing. */
static bool evaluation_pending(const trainer *t)
{
    const walsh_position *p = &t->position;
    return p->epoch_step && (!p->row_count || p->rows[p->row_count - 1].step != p->step);
}

static walsh_status run(trainer *t)
{
    while (!t->stop && (t->position.step < t->steps || evaluation_pending(t))) WALSH_TRY(run_epoch(t));
    if (t->stop)
        WALSH_FAIL(WALSH_E_STOPPED, "stopped after step %llu of %llu", (unsigned long long)t->position.step,
                   (unsigned long long)t->steps);
    return WALSH_OK;
}

/* Whether the plans fit into memory. */
static walsh_status check_memory(trainer *t)
{
    const walsh_network_purpose purpose = walsh_options_purpose(t->options);
    return walsh_memory_check(t->model, t->train_set, &purpose, t->options->memory, &t->memory);
}

/* Data, model and plans, ready to run. */
static walsh_status prepare(trainer *t, walsh_device *device)
{
    const walsh_train_options *o = t->options;
    WALSH_TRY(walsh_options_check(o));
    if (o->out && !o->resume) WALSH_TRY(walsh_checkpoint_free(o->out)); /* before anything takes time */
    WALSH_TRY(open_data(t));
    WALSH_TRY(open_model(t, device));
    WALSH_TRY(walsh_tuning_consult(t->model, o));
    WALSH_TRY(check_memory(t));
    const walsh_network_purpose purpose = walsh_options_purpose(o);
    return walsh_network_prepare(t->model->network, &purpose);
}

static walsh_status train(trainer *t, walsh_device *device)
{
    const walsh_train_options *o = t->options;
    WALSH_TRY(prepare(t, device));
    if (o->tune && !o->resume) {
        WALSH_TRY(walsh_tuning_run(t->model, o, TUNING_SECONDS, NULL, NULL));
        WALSH_TRY(check_memory(t)); /* other variants, other workspaces */
    }
    WALSH_TRY(open_run(t));
    if (t->position.row_count) t->result.last = t->position.rows[t->position.row_count - 1];
    report_start(t);
    walsh_status status = run(t);
    if (t->writer && (!status || status == WALSH_E_STOPPED)) { /* both say that all has been saved */
        walsh_status written = walsh_task_wait(t->writer);
        if (written) status = written;
    }
    t->result.best_error = t->position.best_error;
    t->result.parameters = t->model->info.parameters;
    t->result.bad_images = walsh_dataset_bad_images(t->train_set) + walsh_dataset_bad_images(t->test_set);
    if (!status && device->profile)
        status = walsh_network_profile(t->model->network, &t->result.profile, &t->result.profile_lines);
    return status;
}

static void close_trainer(trainer *t)
{
    if (t->model) walsh_network_drain(t->model->network); /* steps under way read the loader's memory */
    walsh_checkpoint_abandon(&t->checkpoint);
    walsh_task_close(&t->writer);
    walsh_loader_close(&t->train_loader);
    walsh_loader_close(&t->test_loader);
    walsh_dataset_close(&t->train_set);
    walsh_dataset_close(&t->test_set);
    walsh_model_destroy(&t->model);
    free(t->position.rows);
}

walsh_status walsh_train(walsh_device *device, const walsh_train_options *options, walsh_train_observer observer,
                         void *context, walsh_train_result *result)
{
    trainer t = {.options = options, .observer = observer, .context = context, .began = walsh_clock()};
    walsh_status status = train(&t, device);
    close_trainer(&t);
    if (result)
        *result = t.result;
    else
        free(t.result.profile);
    return status;
}

walsh_status walsh_train_visit(walsh_device *device, const walsh_train_options *options, walsh_train_visitor visit,
                               void *context)
{
    trainer t = {.options = options};
    walsh_status status = prepare(&t, device);
    if (!status) status = visit(context, t.model, &t.memory);
    close_trainer(&t);
    return status;
}

walsh_status walsh_tune_training(walsh_device *device, const walsh_train_options *options, double seconds,
                                 walsh_tuning_observer observer, void *context)
{
    trainer t = {.options = options};
    if (!(seconds > 0)) WALSH_FAIL(WALSH_E_ARGUMENT, "tuning for %g seconds: expected a positive number", seconds);
    walsh_status status = prepare(&t, device);
    if (!status) status = walsh_tuning_run(t.model, options, seconds, observer, context);
    close_trainer(&t);
    return status;
}
