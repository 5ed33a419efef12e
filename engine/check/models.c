#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/check/check.h"
#include "engine/model/model.h"
#include "engine/nn/network_plans.h"
#include "engine/op/fwht.h"

/* Between them every builder, every kind of head and of loss, and every construction of a Hadamard matrix: one block of
 * rows (64 features, 100 classes) and several (1000), Paley's (960 features) and overlapped ones (342). */
static const struct subject {
    const char *name;
    int image_size, classes;
    walsh_head_kind head;
    walsh_loss loss;
    int batch, parts;
    float label_smoothing;
    bool half;
} subjects[] = {
    {"resnet20", 32, 10, WALSH_HEAD_LEARNED, WALSH_LOSS_CROSS_ENTROPY, 3, 2, 0, false},
    {"resnet20", 32, 100, WALSH_HEAD_ORTHONORMAL, WALSH_LOSS_CROSS_ENTROPY, 3, 1, 0, false},
    {"resnet20", 32, 100, WALSH_HEAD_HADAMARD, WALSH_LOSS_COSINE, 3, 1, 0, false},
    {"resnet20", 32, 1000, WALSH_HEAD_HADAMARD, WALSH_LOSS_CROSS_ENTROPY, 3, 1, 0, false},
    {"densenet-bc-100-12", 32, 100, WALSH_HEAD_HADAMARD, WALSH_LOSS_CROSS_ENTROPY, 2, 1, 0, true},
    {"resnet18", 64, 1000, WALSH_HEAD_ORTHONORMAL, WALSH_LOSS_COSINE, 2, 1, 0, false},
    {"resnet50", 32, 1000, WALSH_HEAD_HADAMARD, WALSH_LOSS_CROSS_ENTROPY, 2, 1, 0.1f, false},
    {"densenet121", 32, 1000, WALSH_HEAD_LEARNED, WALSH_LOSS_CROSS_ENTROPY, 2, 1, 0.1f, false},
    {"shufflenet", 32, 1000, WALSH_HEAD_HADAMARD, WALSH_LOSS_CROSS_ENTROPY, 2, 1, 0, true},
};

typedef struct job {
    const char *model;
    char layer[48];
    const walsh_op *op;
    void *problem;
} job;

typedef struct jobs {
    job *all;
    size_t count;
} jobs;

/* The operation of walsh_fwht(), which no model has: short rows; blocks of local memory alone; and what follows blocks,
 * whichever device's. */
static const walsh_fwht_problem transforms[] = {
    {.rows = 5, .n = 64, .scale = 0.125f, .sign = WALSH_FWHT_SIGN_INPUT},
    {.rows = 3, .n = 1024, .scale = 1},
    {.rows = 1, .n = 1 << 16, .scale = 1, .sign = WALSH_FWHT_SIGN_OUTPUT},
};

static bool is_known(const jobs *js, const walsh_planned *step)
{
    for (size_t i = 0; i < js->count; i++)
        if (js->all[i].op == step->op && !memcmp(js->all[i].problem, step->problem, step->op->problem_size))
            return true;
    return false;
}

static walsh_status add(jobs *js, const char *model, const char *layer, const walsh_op *op, const void *problem)
{
    job j = {.model = model, .op = op};
    snprintf(j.layer, sizeof j.layer, "%s", layer);
    WALSH_TRY(walsh_grow(&js->all, js->count, sizeof *js->all, "a check"));
    WALSH_TRY(walsh_alloc(&j.problem, 1, op->problem_size, "a check"));
    memcpy(j.problem, problem, op->problem_size);
    js->all[js->count++] = j;
    return WALSH_OK;
}

/* The plans' problems that are not known yet. */
static walsh_status collect_from(jobs *js, const char *model, const walsh_network_plans *plans)
{
    const walsh_plan *const all[] = {plans->train, plans->update, plans->evaluate};
    for (int p = 0; p < 3; p++)
        for (int i = 0; all[p] && i < walsh_plan_count(all[p]); i++) {
            walsh_planned step = walsh_plan_at(all[p], i);
            if (!is_known(js, &step)) WALSH_TRY(add(js, model, step.label, step.op, step.problem));
        }
    return WALSH_OK;
}

static walsh_status collect(walsh_device *device, const struct subject *s, jobs *js)
{
    const walsh_model_options options = {.name = s->name,
                                         .image_size = s->image_size,
                                         .classes = s->classes,
                                         .head = s->head,
                                         .loss = s->loss,
                                         .trains = true,
                                         .mean = {0.5f, 0.5f, 0.5f},
                                         .deviation = {0.25f, 0.25f, 0.25f}};
    const walsh_network_purpose purpose = {
        .batch = s->batch, .parts = s->parts, .train = true, .half = s->half, .label_smoothing = s->label_smoothing};
    walsh_model *model = NULL;
    walsh_network_plans plans = {.arena = NULL};
    WALSH_TRY(walsh_model_create(device, &options, &model));
    walsh_status status = walsh_network_plans_make(model->network, &purpose, false, &plans);
    if (!status) status = collect_from(js, s->name, &plans);
    walsh_network_plans_release(&plans);
    walsh_model_destroy(&model);
    return status;
}

static walsh_status collect_transforms(jobs *js)
{
    for (size_t i = 0; i < sizeof transforms / sizeof *transforms; i++) {
        char rows[48];
        snprintf(rows, sizeof rows, "%d rows of %d", transforms[i].rows, transforms[i].n);
        WALSH_TRY(add(js, "transforms", rows, &walsh_fwht_rows, &transforms[i]));
    }
    return WALSH_OK;
}

walsh_status walsh_check_models(walsh_device *device, walsh_check_observer observer, void *context)
{
    jobs js = {NULL, 0};
    walsh_status status = WALSH_OK;
    for (size_t i = 0; i < sizeof subjects / sizeof *subjects && !status; i++)
        status = collect(device, &subjects[i], &js);
    if (!status) status = collect_transforms(&js);
    for (size_t i = 0; i < js.count && !status; i++) {
        const job *j = &js.all[i];
        const walsh_checked about = {
            .number = (int)i + 1, .problems = (int)js.count, .model = j->model, .layer = j->layer, .op = j->op};
        status = walsh_check_problem(device, j->problem, &about, observer, context);
    }
    for (size_t i = 0; i < js.count; i++) free(js.all[i].problem);
    free(js.all);
    return status;
}
