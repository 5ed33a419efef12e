#include "engine/op/tune.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/clock.h"
#include "engine/base/log.h"
#include "engine/base/rng.h"

enum { MAX_CONTENDERS = 16 };

/* For one problem: what is not decided by then is a tie. */
#define MOST_SECONDS 1.0

typedef struct contender {
    const walsh_variant *variant;
    walsh_tensor *workspace;
    walsh_list *list;
    double seconds; /* best so far */
    bool refused;
} contender;

typedef struct bench {
    walsh_device *device;
    const walsh_op *op;
    const void *problem;
    walsh_tensor *tensors[WALSH_MAX_OPERANDS];
    contender contenders[MAX_CONTENDERS];
    int count;
} bench;

/* Fills a float operand with normal values; labels and pixels stay zero. Pad lanes stay zero too. */
static walsh_status randomise(walsh_tensor *tensor, int operand)
{
    walsh_shape s = tensor->view.shape;
    size_t n = walsh_shape_rows(s) * (size_t)s.c;
    float *values = NULL;
    if (s.type != WALSH_F32) return WALSH_OK;
    WALSH_TRY(walsh_alloc(&values, n, sizeof *values, "tuning"));
    for (size_t i = 0; i < n; i++) values[i] = (float)walsh_rng_normal((walsh_rng){1, (uint64_t)operand}, i);
    walsh_status status = walsh_tensor_upload(tensor, values);
    free(values);
    return status;
}

static walsh_status open_operands(bench *b)
{
    walsh_shape shapes[WALSH_MAX_OPERANDS];
    WALSH_TRY(b->op->shapes(b->problem, shapes));
    for (int i = 0; i < walsh_op_operands(b->op); i++) {
        if (walsh_shape_is_absent(shapes[i])) continue;
        WALSH_TRY(walsh_tensor_make(b->device, shapes[i], &b->tensors[i]));
        WALSH_TRY(randomise(b->tensors[i], i));
    }
    return WALSH_OK;
}

static walsh_status open_contender(bench *b, contender *c)
{
    walsh_view views[WALSH_MAX_OPERANDS], absent = {.shape = walsh_shape_absent};
    for (int i = 0; i < WALSH_MAX_OPERANDS; i++) views[i] = b->tensors[i] ? b->tensors[i]->view : absent;
    size_t bytes = c->variant->workspace ? c->variant->workspace(b->device, b->problem) : 0;
    if (bytes) WALSH_TRY(walsh_tensor_make(b->device, walsh_shape_vector((int)((bytes + 3) / 4)), &c->workspace));
    WALSH_TRY(walsh_list_create(b->device, &c->list));
    return c->variant->emit(c->list, b->problem, views, c->workspace ? &c->workspace->view : &absent);
}

static walsh_status run(bench *b, contender *c, double *seconds)
{
    double began = walsh_clock();
    WALSH_TRY(walsh_list_run(c->list));
    WALSH_CL(clFinish(b->device->queue));
    *seconds = walsh_clock() - began;
    return WALSH_OK;
}

/* Runs a contender from fresh outputs and returns all of them, one after the other, in *outputs (the caller frees). */
static walsh_status outputs_of(bench *b, contender *c, float **outputs, size_t *count)
{
    double seconds;
    *count = 0;
    for (int pass = 0; pass < 2; pass++) {
        size_t at = 0;
        for (int i = 0; i < walsh_op_operands(b->op); i++) {
            walsh_tensor *t = b->tensors[i];
            if (!t || b->op->operands[i].role == WALSH_READ || t->view.shape.type != WALSH_F32) continue;
            if (pass)
                WALSH_TRY(walsh_tensor_download(t, *outputs + at));
            else
                WALSH_TRY(randomise(t, i));
            at += walsh_shape_rows(t->view.shape) * (size_t)t->view.shape.c;
        }
        if (pass) break;
        *count = at;
        WALSH_TRY(walsh_alloc(outputs, at, sizeof **outputs, "tuning"));
        WALSH_TRY(run(b, c, &seconds));
    }
    return WALSH_OK;
}

static bool agree(const float *got, const float *want, size_t count)
{
    double difference = 0, size = 0;
    for (size_t i = 0; i < count; i++) {
        difference += ((double)got[i] - want[i]) * ((double)got[i] - want[i]);
        size += (double)want[i] * want[i];
    }
    return difference <= WALSH_TUNE_TOLERANCE * WALSH_TUNE_TOLERANCE * size; /* false for NaN */
}

/* Marks the contenders whose outputs are not those of the last one: the plain variant, where it takes the extras. */
static walsh_status verify(bench *b)
{
    float *want = NULL;
    size_t count;
    walsh_status status = outputs_of(b, &b->contenders[b->count - 1], &want, &count);
    for (int i = 0; i < b->count - 1 && !status; i++) {
        float *got = NULL;
        contender *c = &b->contenders[i];
        c->refused = !c->list || outputs_of(b, c, &got, &count) || !agree(got, want, count);
        if (c->refused)
            walsh_log(WALSH_LOG_INFO, "tuning: %s does not agree with %s and is not used", c->variant->name,
                      b->contenders[b->count - 1].variant->name);
        free(got);
    }
    free(want);
    return status;
}

/* In turn, so that a machine whose speed drifts is fair to all. */
static walsh_status measure(bench *b, double seconds)
{
    double end = walsh_clock() + seconds;
    for (int round = 0; round < 3 || walsh_clock() < end; round++)
        for (int i = 0; i < b->count; i++) {
            contender *c = &b->contenders[i];
            double took = INFINITY;
            if (c->refused) continue;
            WALSH_TRY(run(b, c, &took));
            if (took < c->seconds) c->seconds = took;
        }
    return WALSH_OK;
}

static void conclude(const bench *b, walsh_tuned *result)
{
    result->fastest_seconds = INFINITY;
    for (int i = 0; i < b->count; i++) {
        const contender *c = &b->contenders[i];
        result->contenders++;
        result->refused += c->refused;
        if (c->variant == result->by_rule) result->rule_seconds = c->seconds;
        if (!c->refused && c->seconds < result->fastest_seconds)
            result->fastest_seconds = c->seconds, result->fastest = c->variant;
    }
}

static void close_bench(bench *b)
{
    for (int i = 0; i < b->count; i++) {
        walsh_list_destroy(&b->contenders[i].list);
        walsh_tensor_destroy(&b->contenders[i].workspace);
    }
    for (int i = 0; i < WALSH_MAX_OPERANDS; i++) walsh_tensor_destroy(&b->tensors[i]);
}

walsh_status walsh_tune(walsh_device *device, const walsh_op *op, const void *problem, double seconds,
                        walsh_wisdom *wisdom, walsh_tuned *result)
{
    bench b = {.device = device, .op = op, .problem = problem};
    *result = (walsh_tuned){0};
    WALSH_TRY(walsh_op_choose(device, op, problem, &result->by_rule));
    result->fastest = result->by_rule;
    for (const walsh_variant *const *v = op->variants; *v && b.count < MAX_CONTENDERS; v++)
        if (walsh_op_takes(device, op, *v, problem))
            b.contenders[b.count++] = (contender){.variant = *v, .seconds = INFINITY};
    if (b.count < 2) return WALSH_OK;
    walsh_status status = open_operands(&b);
    for (int i = 0; i < b.count && !status; i++)
        if (open_contender(&b, &b.contenders[i])) walsh_list_destroy(&b.contenders[i].list); /* verify refuses it */
    if (!status) status = verify(&b);
    if (!status) status = measure(&b, seconds);
    if (!status) conclude(&b, result);
    if (!status) status = walsh_wisdom_set(wisdom, op, problem, result->fastest->name);
    close_bench(&b);
    return status;
}

/* A walk over plans: first it counts the different problems that have a choice, then it tunes them. */
typedef struct walk {
    walsh_device *device;
    walsh_wisdom *seen, *wisdom;
    double seconds; /* for one problem; 0: only count */
    int problems, done;
    walsh_tune_observer observer;
    void *context;
} walk;

static bool has_choice(const walsh_device *device, const walsh_op *op, const void *problem)
{
    int count = 0;
    for (const walsh_variant *const *v = op->variants; *v; v++) count += walsh_op_takes(device, op, *v, problem);
    return count > 1;
}

static walsh_status visit(walk *w, const walsh_op *op, const void *problem)
{
    walsh_tuned tuned;
    if (!has_choice(w->device, op, problem) || walsh_wisdom_find(w->seen, op, problem)) return WALSH_OK;
    WALSH_TRY(walsh_wisdom_set(w->seen, op, problem, "seen"));
    w->problems += w->seconds == 0;
    if (w->seconds == 0) return WALSH_OK;
    WALSH_TRY(walsh_tune(w->device, op, problem, w->seconds, w->wisdom, &tuned));
    if (w->observer && w->observer(w->context, ++w->done, w->problems, op, &tuned))
        WALSH_FAIL(WALSH_E_STOPPED, "stopped");
    return WALSH_OK;
}

static walsh_status go_through(walsh_plan *const *plans, int count, walk *w)
{
    walsh_status status = walsh_wisdom_create(&w->seen);
    for (int p = 0; p < count; p++)
        for (int i = 0; i < walsh_plan_count(plans[p]) && !status; i++) {
            walsh_planned step = walsh_plan_at(plans[p], i);
            status = visit(w, step.op, step.problem);
        }
    walsh_wisdom_destroy(&w->seen);
    return status;
}

walsh_status walsh_tune_plans(walsh_plan *const *plans, int count, double seconds, walsh_wisdom *wisdom,
                              walsh_tune_observer observer, void *context)
{
    walk w = {.device = walsh_plan_device(plans[0]), .wisdom = wisdom, .observer = observer, .context = context};
    WALSH_TRY(go_through(plans, count, &w));
    w.seconds = fmin(MOST_SECONDS, seconds / (w.problems ? w.problems : 1));
    return go_through(plans, count, &w);
}
