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

/* What took so many times the fastest's time in the first rounds is not timed again. */
#define HOPELESS 3.0

/* Of the time for all problems, what goes to the variants that start quickly where others come after them. */
#define QUICK_SHARE 0.5

/* Who takes part: all, those that start quickly and the rule's, or those that start slowly beside the best so far. */
typedef enum field { EVERYONE, QUICK, SLOW } field;

typedef struct contender {
    const walsh_variant *variant;
    walsh_tensor *workspace;
    walsh_list *list;
    double seconds; /* best so far */
    bool again;     /* it was measured in an earlier field */
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
    return walsh_variant_emit(c->variant, c->list, b->problem, views, c->workspace ? &c->workspace->view : &absent);
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
    double end = walsh_clock() + seconds, least = INFINITY;
    for (int round = 0; round < 3 || walsh_clock() < end; round++)
        for (int i = 0; i < b->count; i++) {
            contender *c = &b->contenders[i];
            double took = INFINITY;
            if (c->refused || (round > 1 && c->seconds > HOPELESS * least)) continue;
            WALSH_TRY(run(b, c, &took));
            if (took < c->seconds) c->seconds = took;
            if (took < least) least = took;
        }
    return WALSH_OK;
}

static void conclude(const bench *b, walsh_tuned *result)
{
    result->rule_seconds = 0;
    result->fastest_seconds = INFINITY;
    for (int i = 0; i < b->count; i++) {
        const contender *c = &b->contenders[i];
        result->contenders += !c->again;
        result->refused += c->refused && !c->again;
        if (c->variant == result->by_rule && !c->refused) result->rule_seconds = c->seconds;
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

/* The plain variant, which comes last, always takes part: the others are compared with it. */
static bool takes_part(const walsh_variant *v, bool last, field who, const walsh_tuned *so_far)
{
    bool known = last || v == so_far->by_rule || v == so_far->fastest;
    return who == EVERYONE || known || v->starts_slowly == (who == SLOW);
}

static bool is_slow(const walsh_variant *v, const walsh_variant *by_rule)
{
    return v->starts_slowly && v != by_rule;
}

/* The variants of a field that may compute the problem. */
static void gather(bench *b, field who, const walsh_tuned *so_far)
{
    const walsh_variant *taken[MAX_CONTENDERS];
    int count = 0;
    for (const walsh_variant *const *v = b->op->variants; *v && count < MAX_CONTENDERS; v++)
        if (walsh_op_takes(b->device, b->op, *v, b->problem)) taken[count++] = *v;
    for (int i = 0; i < count; i++)
        if (takes_part(taken[i], i == count - 1, who, so_far))
            b->contenders[b->count++] = (contender){
                .variant = taken[i], .seconds = INFINITY, .again = who == SLOW && !is_slow(taken[i], so_far->by_rule)};
}

/* Measures a field. *result knows the rule's choice and the fastest so far, and is brought up to date. */
static walsh_status tune(walsh_device *device, const walsh_op *op, const void *problem, field who, double seconds,
                         walsh_wisdom *wisdom, walsh_tuned *result)
{
    bench b = {.device = device, .op = op, .problem = problem};
    gather(&b, who, result);
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

/* What is known before anything is measured. */
static walsh_status start(const walsh_device *device, const walsh_op *op, const void *problem, walsh_tuned *result)
{
    *result = (walsh_tuned){0};
    WALSH_TRY(walsh_op_choose(device, op, problem, &result->by_rule));
    result->fastest = result->by_rule;
    return WALSH_OK;
}

walsh_status walsh_tune(walsh_device *device, const walsh_op *op, const void *problem, double seconds,
                        walsh_wisdom *wisdom, walsh_tuned *result)
{
    WALSH_TRY(start(device, op, problem, result));
    return tune(device, op, problem, EVERYONE, seconds, wisdom, result);
}

/* A different problem of the plans. */
typedef struct job {
    walsh_tuned_problem told;
    const void *problem;
    bool quick, slow; /* whether it has a choice among those that start quickly, and some that start slowly */
} job;

typedef struct work {
    walsh_device *device;
    walsh_wisdom *wisdom;
    job *jobs;
    int count, quick, slow; /* jobs in all, and of each kind */
    walsh_tune_observer observer;
    void *context;
} work;

static job *find_job(work *w, const walsh_planned *step)
{
    for (int i = 0; i < w->count; i++)
        if (w->jobs[i].told.op == step->op && !memcmp(w->jobs[i].problem, step->problem, step->op->problem_size))
            return &w->jobs[i];
    return NULL;
}

static walsh_status add_job(work *w, const walsh_planned *step)
{
    job j = {.told = {.op = step->op, .label = step->label}, .problem = step->problem};
    int quick = 0, slow = 0;
    WALSH_TRY(start(w->device, step->op, step->problem, &j.told.tuned));
    for (const walsh_variant *const *v = step->op->variants; *v; v++) {
        if (!walsh_op_takes(w->device, step->op, *v, step->problem)) continue;
        slow += is_slow(*v, j.told.tuned.by_rule);
        quick += !is_slow(*v, j.told.tuned.by_rule);
    }
    j.quick = quick > 1;
    j.slow = slow > 0;
    w->quick += j.quick;
    w->slow += j.slow;
    WALSH_TRY(walsh_grow(&w->jobs, (size_t)w->count, sizeof *w->jobs, "tuning"));
    w->jobs[w->count++] = j;
    return WALSH_OK;
}

/* Counts the uses of a problem in the `last` plan. A problem without a choice stays a job until it is dropped below. */
static walsh_status collect(work *w, const walsh_plan *plan, bool last)
{
    for (int i = 0; i < walsh_plan_count(plan); i++) {
        walsh_planned step = walsh_plan_at(plan, i);
        if (!find_job(w, &step)) WALSH_TRY(add_job(w, &step));
        find_job(w, &step)->told.uses += last;
    }
    return WALSH_OK;
}

/* Problems that one variant alone may compute are no work. */
static void drop_the_settled(work *w)
{
    int kept = 0;
    for (int i = 0; i < w->count; i++)
        if (w->jobs[i].quick || w->jobs[i].slow) w->jobs[kept++] = w->jobs[i];
    w->count = kept;
    for (int i = 0; i < kept; i++) w->jobs[i].told.number = i + 1, w->jobs[i].told.problems = kept;
}

/* Every job that has the field, in an equal part of the time until `end` each. Slow ones only begin before it. */
static walsh_status tune_all(work *w, field who, int jobs, double end)
{
    for (int i = 0; i < w->count; i++) {
        job *j = &w->jobs[i];
        double left = end - walsh_clock();
        if (!(who == SLOW ? j->slow : j->quick)) continue;
        if (who == SLOW && left <= 0) return WALSH_OK;
        WALSH_TRY(
            tune(w->device, j->told.op, j->problem, who, fmin(MOST_SECONDS, left / jobs--), w->wisdom, &j->told.tuned));
        if (w->observer && w->observer(w->context, &j->told)) WALSH_FAIL(WALSH_E_STOPPED, "stopped");
    }
    return WALSH_OK;
}

walsh_status walsh_tune_plans(walsh_plan *const *plans, int count, double seconds, walsh_wisdom *wisdom,
                              walsh_tune_observer observer, void *context)
{
    work w = {.device = walsh_plan_device(plans[0]), .wisdom = wisdom, .observer = observer, .context = context};
    double begin = walsh_clock();
    walsh_status status = WALSH_OK;
    for (int p = 0; p < count && !status; p++) status = collect(&w, plans[p], p == count - 1);
    drop_the_settled(&w);
    if (!status) status = tune_all(&w, QUICK, w.quick, begin + (w.slow ? QUICK_SHARE : 1) * seconds);
    if (!status) status = tune_all(&w, SLOW, w.slow, begin + seconds);
    free(w.jobs);
    return status;
}
