/* walsh train: trains a model, shows how it goes, and ends in one line. */
#include "apps/commands.h"
#include "apps/plan.h"
#include "apps/profile.h"
#include "apps/progress.h"
#include "apps/signals.h"
#include "apps/values.h"
#include "engine/base/clock.h"
#include "engine/base/status.h"
#include "engine/train/trainer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static walsh_status read_head(const walsh_arguments *arguments, walsh_model_options *model)
{
    static const char *const losses[] = {[WALSH_LOSS_CROSS_ENTROPY] = "ce", [WALSH_LOSS_COSINE] = "cosine", NULL};
    const char *head = walsh_argument(arguments, WALSH_OPTION_HEAD),
               *alpha = walsh_argument(arguments, WALSH_OPTION_ALPHA);
    int loss = (int)model->loss;
    double fixed = 0;
    if (head) WALSH_TRY(walsh_head_kind_parse(head, &model->head));
    WALSH_TRY(walsh_value_u64(arguments, WALSH_OPTION_HEAD_SEED, 0, &model->head_seed));
    WALSH_TRY(walsh_value_choice(arguments, WALSH_OPTION_LOSS, losses, &loss));
    model->loss = (walsh_loss)loss;
    if (walsh_argument(arguments, WALSH_OPTION_DECAY_ALPHA)) model->decay_alpha = true;
    if ((alpha || model->decay_alpha) && model->head == WALSH_HEAD_LEARNED)
        WALSH_FAIL(WALSH_E_ARGUMENT, "--%s: expected a fixed head to go with it, found --head learned",
                   alpha ? "alpha" : "decay-alpha");
    if (!alpha) return WALSH_OK;
    model->alpha_fixed = strcmp(alpha, "learned");
    if (!model->alpha_fixed) return WALSH_OK;
    if (walsh_value_real(arguments, WALSH_OPTION_ALPHA, WALSH_RANGE_POSITIVE, &fixed))
        WALSH_FAIL(WALSH_E_ARGUMENT, "--alpha %s: expected learned or a positive number", alpha);
    model->alpha = (float)fixed;
    return WALSH_OK;
}

static walsh_status read_recipe(const walsh_arguments *arguments, walsh_train_options *options)
{
    const char *schedule = walsh_argument(arguments, WALSH_OPTION_SCHEDULE);
    WALSH_TRY(walsh_value_int(arguments, WALSH_OPTION_EPOCHS, 1, &options->epochs));
    if (walsh_argument(arguments, WALSH_OPTION_EPOCHS)) options->steps = 0; /* of the run that is continued */
    WALSH_TRY(walsh_value_u64(arguments, WALSH_OPTION_STEPS, 1, &options->steps));
    WALSH_TRY(walsh_value_int(arguments, WALSH_OPTION_BATCH, 1, &options->batch));
    WALSH_TRY(walsh_value_int(arguments, WALSH_OPTION_ACCUMULATE, 1, &options->accumulate));
    WALSH_TRY(walsh_value_real(arguments, WALSH_OPTION_LR, WALSH_RANGE_POSITIVE, &options->lr));
    WALSH_TRY(walsh_value_real(arguments, WALSH_OPTION_MOMENTUM, WALSH_RANGE_BELOW_ONE, &options->momentum));
    WALSH_TRY(walsh_value_real(arguments, WALSH_OPTION_WEIGHT_DECAY, WALSH_RANGE_NOT_NEGATIVE, &options->weight_decay));
    WALSH_TRY(
        walsh_value_real(arguments, WALSH_OPTION_LABEL_SMOOTHING, WALSH_RANGE_BELOW_ONE, &options->label_smoothing));
    if (schedule) WALSH_TRY(walsh_schedule_parse(schedule, &options->schedule));
    WALSH_TRY(walsh_value_real(arguments, WALSH_OPTION_WARMUP, WALSH_RANGE_NOT_NEGATIVE, &options->schedule.warmup));
    WALSH_TRY(walsh_value_u64(arguments, WALSH_OPTION_SEED, 0, &options->seed));
    WALSH_TRY(walsh_value_u64(arguments, WALSH_OPTION_SAVE_EVERY, 1, &options->save_every));
    WALSH_TRY(walsh_value_bytes(arguments, WALSH_OPTION_MEMORY, &options->memory));
    WALSH_TRY(walsh_value_int(arguments, WALSH_OPTION_LOADERS, 1, &options->loaders));
    WALSH_TRY(walsh_value_math(arguments, &options->exact));
    WALSH_TRY(walsh_value_store(arguments, &options->half));
    if (walsh_argument(arguments, WALSH_OPTION_NESTEROV)) options->nesterov = true;
    if (walsh_argument(arguments, WALSH_OPTION_NO_NESTEROV)) options->nesterov = false;
    if (walsh_argument(arguments, WALSH_OPTION_NO_AUGMENT)) options->augment = false;
    if (walsh_argument(arguments, WALSH_OPTION_NO_SHUFFLE)) options->shuffle = false;
    return WALSH_OK;
}

/* The options to start from: those of the run to continue, else the recipe. A run that was killed before its first
 * state begins anew, if the command line says it all. */
static walsh_status read_start(const walsh_arguments *arguments, walsh_train_options *options, char **memory)
{
    const char *model = walsh_argument(arguments, WALSH_OPTION_MODEL),
               *data = walsh_argument(arguments, WALSH_OPTION_DATA);
    const char *out = walsh_argument(arguments, WALSH_OPTION_OUT);
    if (walsh_argument(arguments, WALSH_OPTION_RESUME)) {
        if (!out) WALSH_FAIL(WALSH_E_ARGUMENT, "--resume: expected --out with the folder of a run");
        walsh_status status = walsh_train_recall(out, options, memory);
        if (status && (status != WALSH_E_FILE || !model || !data)) return status;
        if (!status) {
            if (model) options->model.name = model;
            if (data) options->data = data;
            return WALSH_OK;
        }
        walsh_note("%s: there is no state to continue from: the run begins anew", out);
    }
    WALSH_TRY(walsh_argument_required(arguments, WALSH_OPTION_MODEL, &model));
    WALSH_TRY(walsh_argument_required(arguments, WALSH_OPTION_DATA, &data));
    return walsh_train_defaults(model, data, options);
}

static walsh_status read_options(const walsh_arguments *arguments, walsh_train_options *options, char **memory,
                                 walsh_device_options *device)
{
    const char *init = walsh_argument(arguments, WALSH_OPTION_INIT);
    int threads = 0;
    WALSH_TRY(read_start(arguments, options, memory));
    WALSH_TRY(read_head(arguments, &options->model));
    WALSH_TRY(read_recipe(arguments, options));
    WALSH_TRY(walsh_value_int(arguments, WALSH_OPTION_THREADS, 1, &threads));
    options->out = walsh_argument(arguments, WALSH_OPTION_OUT);
    if (init) options->init = init;
    if (walsh_argument(arguments, WALSH_OPTION_FREEZE_BODY)) options->model.freeze_body = true;
    WALSH_TRY(walsh_value_int(arguments, WALSH_OPTION_IMAGE_SIZE, 1, &options->model.image_size));
    if (walsh_argument(arguments, WALSH_OPTION_SKIP_BAD_IMAGES)) options->skip_bad_images = true;
    options->tune = walsh_argument(arguments, WALSH_OPTION_TUNE);
    *device = (walsh_device_options){.selector = walsh_argument(arguments, WALSH_OPTION_DEVICE),
                                     .threads = (unsigned)threads,
                                     .profile = walsh_argument(arguments, WALSH_OPTION_PROFILE)};
    return WALSH_OK;
}

typedef struct watch {
    walsh_bar bar;
    const walsh_train_options *options;
    const walsh_device_info *device;
    uint64_t run_step; /* done in the whole run */
} watch;

/* Said when all is ready for the first step: what fails before that is told in one line. */
static void announce(const watch *w, const walsh_memory *memory)
{
    const walsh_train_options *o = w->options;
    char length[48], line[WALSH_MEMORY_LINE];
    if (o->steps)
        snprintf(length, sizeof length, "steps %llu", (unsigned long long)o->steps);
    else
        snprintf(length, sizeof length, "epochs %d", o->epochs);
    walsh_note("%s, %s head, on %s (%s); %s, batch %d, lr %g", o->model.name, walsh_head_kind_name(o->model.head),
               w->device->name, w->device->platform, length, o->batch, o->lr);
    walsh_note("%s", walsh_memory_line(memory, line));
    if (!o->out) walsh_note("without --out nothing is saved");
}

static void draw(watch *w, const walsh_train_progress *p)
{
    char before[64], after[192], left[WALSH_DURATION];
    snprintf(before, sizeof before, "%s %d/%d", p->evaluating ? "eval " : "epoch", p->epoch, p->epochs);
    int used = snprintf(after, sizeof after, "%llu/%llu loss %.4f error %.2f %%", (unsigned long long)p->step,
                        (unsigned long long)p->steps, p->loss, p->error);
    if (!p->evaluating)
        used += snprintf(after + used, sizeof after - (size_t)used, " %.0f images/s", p->images_per_second);
    snprintf(after + used, sizeof after - (size_t)used, " %s left", walsh_duration(p->seconds_left, left));
    walsh_bar_draw(&w->bar, before, (double)p->step, (double)p->steps, after);
}

static bool observe(void *context, const walsh_train_progress *p)
{
    watch *w = context;
    w->run_step = p->run_step;
    if (p->memory) announce(w, p->memory);
    if (p->row) {
        walsh_note("epoch %d/%d: train loss %.4f error %.2f %%, test loss %.4f error %.2f %%, lr %.4g, %.0f images/s",
                   p->row->epoch, p->epochs, p->row->train_loss, p->row->train_error, p->row->val_loss,
                   p->row->val_error, p->row->lr, p->row->images_per_second);
    } else {
        draw(w, p);
    }
    return walsh_signals_caught();
}

static void summarise(const walsh_train_options *o, const walsh_train_result *r, double seconds)
{
    char time[WALSH_DURATION];
    printf("%s, %s head: %zu parameters, error %.2f %% (best %.2f %%), %s, %.0f images/s, first step after %.2f s\n",
           o->model.name, walsh_head_kind_name(o->model.head), r->parameters, r->last.val_error, r->best_error,
           walsh_duration(seconds, time), r->last.images_per_second, r->first_step_seconds);
}

static walsh_status stopped(const watch *w, const walsh_train_options *o)
{
    if (!o->out) WALSH_FAIL(WALSH_E_STOPPED, "stopped after step %llu", (unsigned long long)w->run_step);
    WALSH_FAIL(WALSH_E_STOPPED, "stopped and saved after step %llu; --resume continues",
               (unsigned long long)w->run_step);
}

static walsh_status train(walsh_device *device, const walsh_train_options *options, watch *w)
{
    walsh_train_result result = {0};
    double began = walsh_clock();
    w->options = options;
    w->device = walsh_device_describe(device);
    walsh_status status = walsh_train(device, options, observe, w, &result);
    walsh_bar_clear();
    if (!status && result.bad_images) walsh_note("bad images skipped: %zu", result.bad_images);
    if (!status) summarise(options, &result, walsh_clock() - began);
    if (!status && result.profile) status = walsh_profile_print(device, result.profile, result.profile_lines);
    free(result.profile);
    return status == WALSH_E_STOPPED ? stopped(w, options) : status;
}

static walsh_status run(const walsh_arguments *arguments)
{
    watch w = {0};
    walsh_train_options options;
    walsh_device_options device_options;
    walsh_device *device = NULL;
    char *memory = NULL; /* of a recalled run's options */
    WALSH_TRY(walsh_bar_begin(arguments, &w.bar));
    walsh_status status = read_options(arguments, &options, &memory, &device_options);
    if (!status) status = walsh_device_open(&device_options, &device);
    if (!status && walsh_argument(arguments, WALSH_OPTION_PLAN))
        status = walsh_train_visit(device, &options, walsh_plan_print, NULL);
    else if (!status)
        status = train(device, &options, &w);
    walsh_device_close(&device);
    free(memory);
    return status;
}

static const struct argp_option what[] = {
    {NULL, 0, NULL, 0, "What to train:", 0},
    {"model", WALSH_OPTION_MODEL, "NAME", 0, WALSH_MODEL_HELP, 0},
    {"data", WALSH_OPTION_DATA, "DATA", 0, WALSH_DATA_HELP, 0},
    {"image-size", WALSH_OPTION_IMAGE_SIZE, "S", 0, "pixels a side (default: the model's)", 0},
    {"out", WALSH_OPTION_OUT, "DIR", 0, "folder for log.csv, state, last and best weights", 0},
    {"resume", WALSH_OPTION_RESUME, NULL, 0, "continue the run in DIR", 0},
    {"init", WALSH_OPTION_INIT, "FILE", 0, "weights to start from; a head that does not fit the data is made anew", 0},
    {"freeze-body", WALSH_OPTION_FREEZE_BODY, NULL, 0, "train the head alone, on the features of --init", 0},
    {"seed", WALSH_OPTION_SEED, "S", 0, "seed of initial weights, order and augmentation", 0},
    {0},
};

static const struct argp_option head[] = {
    {NULL, 0, NULL, 0, "Head and loss:", 0},
    {"head", WALSH_OPTION_HEAD, "HEAD", 0, "learned (default), orthonormal, hadamard or hadamard-plain", 0},
    {"head-seed", WALSH_OPTION_HEAD_SEED, "S", 0, "seed of a random matrix (default: 0)", 0},
    {"alpha", WALSH_OPTION_ALPHA, "ALPHA", 0, "scale of a fixed head: learned (default), or a fixed value", 0},
    {"decay-alpha", WALSH_OPTION_DECAY_ALPHA, NULL, 0, "weight decay on alpha too", 0},
    {"loss", WALSH_OPTION_LOSS, "LOSS", 0, "ce (default), or cosine with a fixed head", 0},
    {"label-smoothing", WALSH_OPTION_LABEL_SMOOTHING, "X", 0, "from 0 (default) to below 1", 0},
    {0},
};

static const struct argp_option recipe[] = {
    {NULL, 0, NULL, 0, "Recipe (defaults: the model's published one):", 0},
    {"epochs", WALSH_OPTION_EPOCHS, "E", 0, "length of the run and of its schedule, in epochs", 0},
    {"steps", WALSH_OPTION_STEPS, "K", 0, "the same in steps; goes before --epochs", 0},
    {"batch", WALSH_OPTION_BATCH, "B", 0, "images a step", 0},
    {"accumulate", WALSH_OPTION_ACCUMULATE, "K", 0,
     "take the B images of a step in K equal parts and add their gradients: needs less memory (default: 1)", 0},
    {"lr", WALSH_OPTION_LR, "LR", 0, "learning rate, at its highest", 0},
    {"schedule", WALSH_OPTION_SCHEDULE, "SCHEDULE", 0, "constant, step:E1,E2,..., linear, cosine or onecycle", 0},
    {"warmup", WALSH_OPTION_WARMUP, "E", 0, "epochs of linear warm-up from 0", 0},
    {"momentum", WALSH_OPTION_MOMENTUM, "M", 0, "from 0 to below 1", 0},
    {"nesterov", WALSH_OPTION_NESTEROV, NULL, 0, "Nesterov's momentum", 0},
    {"no-nesterov", WALSH_OPTION_NO_NESTEROV, NULL, 0, "without it, where the recipe has it", 0},
    {"weight-decay", WALSH_OPTION_WEIGHT_DECAY, "WD", 0, "on every trained parameter but alpha", 0},
    {"no-augment", WALSH_OPTION_NO_AUGMENT, NULL, 0, "neither crops nor flips", 0},
    {"no-shuffle", WALSH_OPTION_NO_SHUFFLE, NULL, 0, "the data set's own order", 0},
    {0},
};

static const struct argp_option running[] = {
    {NULL, 0, NULL, 0, "Running:", 0},
    {"save-every", WALSH_OPTION_SAVE_EVERY, "STEPS", 0, "save the state so often, besides each epoch's end", 0},
    {"memory", WALSH_OPTION_MEMORY, "LIMIT", 0, WALSH_MEMORY_HELP, 0},
    {"loaders", WALSH_OPTION_LOADERS, "L", 0,
     "threads that prepare images (default: 1; where these are decoded, one a processor, at most 16)", 0},
    {"skip-bad-images", WALSH_OPTION_SKIP_BAD_IMAGES, NULL, 0, "go on without images that cannot be decoded", 0},
    {"math", WALSH_OPTION_MATH, "MATH", 0, WALSH_MATH_HELP, 0},
    {"store", WALSH_OPTION_STORE, "TYPE", 0, WALSH_STORE_HELP, 0},
    {"tune", WALSH_OPTION_TUNE, NULL, 0, "measure the kernels' variants first, about half a minute ('walsh tune')", 0},
    {"plan", WALSH_OPTION_PLAN, NULL, 0, "print the memory map and the launches of a step, instead of training", 0},
    {"profile", WALSH_OPTION_PROFILE, NULL, 0, "print where the device's time went, beside its peaks", 0},
    {0},
};

const walsh_command walsh_command_train = {
    .name = "train",
    .summary = "trains a model",
    .synopsis = "--model NAME --data DATA --out DIR",
    .about = "Trains a model and writes the run into a folder. Ctrl-C and SIGTERM save and stop; --resume continues"
             " bit for bit as if never stopped."
             "\vExamples:\n"
             "  walsh train --model resnet20 --data sample --out run\n"
             "  walsh train --model resnet20 --data sample --head hadamard --out run2\n"
             "  walsh train --model resnet56 --data cifar100:data --epochs 90 --out run3\n"
             "  walsh train --out run3 --resume\n",
    .groups = (const struct argp_option *const[]){what, head, recipe, running, walsh_options_device,
                                                  walsh_options_progress, NULL},
    .run = run,
};
