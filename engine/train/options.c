#include "engine/train/options.h"

#include <float.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/utf8.h"

typedef enum field_type {
    TYPE_INT,
    TYPE_U64,
    TYPE_DOUBLE,
    TYPE_FLOAT,
    TYPE_BOOL,
    TYPE_TEXT,
    TYPE_HEAD,
    TYPE_LOSS,
    TYPE_SCHEDULE
} field_type;

typedef struct field {
    const char *name; /* in the state file; what is no TYPE_BOOL is called so on the command line too */
    field_type type;
    size_t at;            /* within walsh_train_options */
    bool may_change;      /* on resuming */
    const char *no, *yes; /* TYPE_BOOL: as the command line says it */
} field;

#define AT(member) offsetof(walsh_train_options, member)

static const field fields[] = {
    {"model", TYPE_TEXT, AT(model.name), false, NULL, NULL},
    {"head", TYPE_HEAD, AT(model.head), false, NULL, NULL},
    {"head-seed", TYPE_U64, AT(model.head_seed), false, NULL, NULL},
    {"alpha-fixed", TYPE_BOOL, AT(model.alpha_fixed), false, "a learned alpha", "a fixed --alpha"},
    {"alpha", TYPE_FLOAT, AT(model.alpha), false, NULL, NULL},
    {"decay-alpha", TYPE_BOOL, AT(model.decay_alpha), false, "no --decay-alpha", "--decay-alpha"},
    {"loss", TYPE_LOSS, AT(model.loss), false, NULL, NULL},
    {"image-size", TYPE_INT, AT(model.image_size), false, NULL, NULL},
    {"data", TYPE_TEXT, AT(data), false, NULL, NULL},
    {"init", TYPE_TEXT, AT(init), false, NULL, NULL},
    {"freeze-body", TYPE_BOOL, AT(model.freeze_body), false, "no --freeze-body", "--freeze-body"},
    {"epochs", TYPE_INT, AT(epochs), true, NULL, NULL},
    {"steps", TYPE_U64, AT(steps), true, NULL, NULL},
    {"batch", TYPE_INT, AT(batch), false, NULL, NULL},
    {"accumulate", TYPE_INT, AT(accumulate), false, NULL, NULL},
    {"lr", TYPE_DOUBLE, AT(lr), false, NULL, NULL},
    {"momentum", TYPE_DOUBLE, AT(momentum), false, NULL, NULL},
    {"nesterov", TYPE_BOOL, AT(nesterov), false, "--no-nesterov", "--nesterov"},
    {"weight-decay", TYPE_DOUBLE, AT(weight_decay), false, NULL, NULL},
    {"label-smoothing", TYPE_DOUBLE, AT(label_smoothing), false, NULL, NULL},
    {"schedule", TYPE_SCHEDULE, AT(schedule), false, NULL, NULL},
    {"warmup", TYPE_DOUBLE, AT(schedule.warmup), false, NULL, NULL},
    {"seed", TYPE_U64, AT(seed), false, NULL, NULL},
    {"save-every", TYPE_U64, AT(save_every), true, NULL, NULL},
    {"augment", TYPE_BOOL, AT(augment), false, "--no-augment", "augmentation"},
    {"shuffle", TYPE_BOOL, AT(shuffle), false, "--no-shuffle", "shuffling"},
    {"exact", TYPE_BOOL, AT(exact), false, "--math fast", "--math exact"},
    {"half", TYPE_BOOL, AT(half), false, "--store f32", "--store f16"},
    {"loaders", TYPE_INT, AT(loaders), true, NULL, NULL},
    {"skip-bad-images", TYPE_BOOL, AT(skip_bad_images), true, "no --skip-bad-images", "--skip-bad-images"},
};

/* What states that are older than an option mean. */
static const struct {
    const char *name, *value;
} newer[] = {
    {"image-size", "0"}, {"accumulate", "1"}, {"freeze-body", "no"}, {"skip-bad-images", "no"}, {"half", "no"}};

enum { FIELDS = sizeof fields / sizeof *fields, VALUE = 4200 };

static void schedule_text(const walsh_schedule *s, char *out, size_t size)
{
    static const char *const names[] = {"constant", "step:", "linear", "cosine", "onecycle"};
    size_t used = (size_t)snprintf(out, size, "%s", names[s->kind]);
    for (int i = 0; i < s->milestone_count && s->kind == WALSH_SCHEDULE_STEP; i++)
        used += (size_t)snprintf(out + used, size - used, "%s%d", i ? "," : "", s->milestones[i]);
}

static void to_text(const field *f, const walsh_train_options *options, char out[VALUE])
{
    const void *at = (const char *)options + f->at;
    const char *text;
    switch (f->type) {
    case TYPE_INT:
        snprintf(out, VALUE, "%d", *(const int *)at);
        break;
    case TYPE_U64:
        snprintf(out, VALUE, "%llu", (unsigned long long)*(const uint64_t *)at);
        break;
    case TYPE_DOUBLE:
        snprintf(out, VALUE, "%.17g", *(const double *)at);
        break;
    case TYPE_FLOAT:
        snprintf(out, VALUE, "%.9g", (double)*(const float *)at);
        break;
    case TYPE_BOOL:
        snprintf(out, VALUE, "%s", *(const bool *)at ? "yes" : "no");
        break;
    case TYPE_HEAD:
        snprintf(out, VALUE, "%s", walsh_head_kind_name(*(const walsh_head_kind *)at));
        break;
    case TYPE_LOSS:
        snprintf(out, VALUE, "%s", *(const walsh_loss *)at == WALSH_LOSS_COSINE ? "cosine" : "ce");
        break;
    case TYPE_SCHEDULE:
        schedule_text(at, out, VALUE);
        break;
    case TYPE_TEXT:
        memcpy(&text, at, sizeof text);
        snprintf(out, VALUE, "%s", text ? text : "");
        break;
    }
}

/* Whether `text` is a value of the field, which is then set. Strings are not copied. */
static bool from_text(const field *f, const char *text, walsh_train_options *options)
{
    void *at = (char *)options + f->at;
    char *end = NULL;
    long number;
    switch (f->type) {
    case TYPE_INT:
        number = strtol(text, &end, 10);
        if (number < INT_MIN || number > INT_MAX) return false;
        *(int *)at = (int)number;
        break;
    case TYPE_U64:
        *(uint64_t *)at = strtoull(text, &end, 10);
        break;
    case TYPE_DOUBLE:
        *(double *)at = strtod(text, &end);
        break;
    case TYPE_FLOAT:
        *(float *)at = strtof(text, &end);
        break;
    case TYPE_BOOL:
        *(bool *)at = !strcmp(text, "yes");
        return !strcmp(text, "yes") || !strcmp(text, "no");
    case TYPE_HEAD:
        return !walsh_head_kind_parse(text, at);
    case TYPE_LOSS:
        *(walsh_loss *)at = strcmp(text, "ce") ? WALSH_LOSS_COSINE : WALSH_LOSS_CROSS_ENTROPY;
        return true;
    case TYPE_SCHEDULE:
        return !walsh_schedule_parse(text, at);
    case TYPE_TEXT:
        memcpy(at, &text, sizeof text);
        return true;
    }
    return end != text && !*end;
}

static walsh_status stored(const walsh_safetensors *file, const char *path, const field *f, const char **text)
{
    char key[64];
    snprintf(key, sizeof key, "train.%s", f->name);
    *text = walsh_safetensors_metadata(file, key);
    for (size_t i = 0; i < sizeof newer / sizeof *newer && !*text; i++)
        if (!strcmp(newer[i].name, f->name)) *text = newer[i].value;
    if (!*text) WALSH_FAIL(WALSH_E_FORMAT, "%s: this is no state of a run: '%s' is missing", path, key);
    return WALSH_OK;
}

walsh_status walsh_options_store(const walsh_train_options *options, walsh_snapshot *snapshot)
{
    for (int i = 0; i < FIELDS; i++) {
        char key[64], value[VALUE];
        snprintf(key, sizeof key, "train.%s", fields[i].name);
        to_text(&fields[i], options, value);
        WALSH_TRY(walsh_snapshot_add_text(snapshot, key, value));
    }
    return WALSH_OK;
}

walsh_status walsh_options_recall(const walsh_safetensors *file, const char *path, walsh_train_options *options)
{
    *options = (walsh_train_options){.resume = true};
    for (int i = 0; i < FIELDS; i++) {
        const char *text = NULL;
        WALSH_TRY(stored(file, path, &fields[i], &text));
        if (!from_text(&fields[i], text, options))
            WALSH_FAIL(WALSH_E_FORMAT, "%s: its train.%s is '%s'", path, fields[i].name, walsh_show(text).text);
    }
    if (!*options->init) options->init = NULL;
    return WALSH_OK;
}

/* A field's value, given as in the state, as the command line says it. */
static void say(const field *f, const char *value, char out[VALUE])
{
    if (f->type == TYPE_BOOL)
        snprintf(out, VALUE, "%s", strcmp(value, "yes") ? f->no : f->yes);
    else if (f->type == TYPE_DOUBLE)
        snprintf(out, VALUE, "--%s %.12g", f->name, strtod(value, NULL)); /* 0.1, not all 17 digits */
    else if (*value)
        snprintf(out, VALUE, "--%s %.4000s", f->name, value);
    else
        snprintf(out, VALUE, "no --%s", f->name);
}

static walsh_status contradiction(const field *f, const char *value, const char *was, const char *path)
{
    char now[VALUE], then[VALUE];
    say(f, value, now);
    say(f, was, then);
    WALSH_FAIL(WALSH_E_ARGUMENT, "%s contradicts the run in %s, which has %s", now, path, walsh_show(then).text);
}

/* Of the data, only what they are: they may have moved. */
static size_t compared_length(const field *f, const char *text)
{
    return strcmp(f->name, "data") ? strlen(text) : strcspn(text, ":");
}

walsh_status walsh_options_compare(const walsh_safetensors *file, const char *path, const walsh_train_options *options)
{
    for (int i = 0; i < FIELDS; i++) {
        char value[VALUE];
        const field *f = &fields[i];
        const char *was = NULL;
        if (f->may_change) continue;
        WALSH_TRY(stored(file, path, f, &was));
        to_text(f, options, value);
        size_t n = compared_length(f, was);
        if (n != compared_length(f, value) || strncmp(was, value, n)) return contradiction(f, value, was, path);
    }
    return WALSH_OK;
}

static walsh_status refuse(const char *name, double value, const char *expected)
{
    WALSH_FAIL(WALSH_E_ARGUMENT, "--%s %g: expected %s", name, value, expected);
}

walsh_status walsh_options_check(const walsh_train_options *o)
{
    if (!o->data) WALSH_FAIL(WALSH_E_ARGUMENT, "no data set is named");
    if (o->batch < 1) return refuse("batch", o->batch, "at least 1");
    if (o->accumulate < 1 || o->batch % o->accumulate)
        WALSH_FAIL(WALSH_E_ARGUMENT, "--accumulate %d: expected a number of equal parts of the batch of %d images",
                   o->accumulate, o->batch);
    if (!o->steps && o->epochs < 1) return refuse("epochs", o->epochs, "at least 1");
    if (o->loaders < 1 || o->loaders > 256) return refuse("loaders", o->loaders, "1 to 256");
    if (!(o->lr > 0 && o->lr < (double)FLT_MAX)) return refuse("lr", o->lr, "a positive number");
    if (!(o->momentum >= 0 && o->momentum < 1))
        return refuse("momentum", o->momentum, "a number from 0 up to, not including, 1");
    if (!(o->weight_decay >= 0 && o->weight_decay < 1))
        return refuse("weight-decay", o->weight_decay, "a number from 0 up to, not including, 1");
    if (!(o->label_smoothing >= 0 && o->label_smoothing < 1))
        return refuse("label-smoothing", o->label_smoothing, "a number from 0 up to, not including, 1");
    if (!(o->schedule.warmup >= 0 && isfinite(o->schedule.warmup)))
        return refuse("warmup", o->schedule.warmup, "a number of epochs");
    if (o->exact && o->half) WALSH_FAIL(WALSH_E_ARGUMENT, WALSH_STORE_CONTRADICTS_MATH);
    if (o->model.freeze_body && !o->init)
        WALSH_FAIL(WALSH_E_ARGUMENT, "--freeze-body: expected --init with the weights to keep");
    if (o->model.freeze_body && o->model.loss == WALSH_LOSS_COSINE)
        WALSH_FAIL(WALSH_E_ARGUMENT, "--freeze-body leaves nothing to train with --loss cosine");
    if (o->resume && !o->out) WALSH_FAIL(WALSH_E_ARGUMENT, "--resume needs --out: the folder of the run to continue");
    return WALSH_OK;
}

walsh_network_purpose walsh_options_purpose(const walsh_train_options *o)
{
    return (walsh_network_purpose){.batch = o->batch / o->accumulate,
                                   .parts = o->accumulate,
                                   .train = true,
                                   .exact = o->exact,
                                   .half = o->half,
                                   .nesterov = o->nesterov,
                                   .label_smoothing = (float)o->label_smoothing};
}
