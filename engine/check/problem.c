#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/half.h"
#include "engine/base/rng.h"
#include "engine/check/check.h"
#include "engine/check/reference.h"

/* A problem, its operands as they are before a run, and as the reference leaves them. */
typedef struct trial {
    walsh_device *device;
    const walsh_op *op;
    const void *problem;
    const walsh_reference *reference;
    walsh_shape shapes[WALSH_MAX_OPERANDS];
    walsh_tensor *tensors[WALSH_MAX_OPERANDS];
    float *before[WALSH_MAX_OPERANDS]; /* what is drawn, rounded to float */
    double *want[WALSH_MAX_OPERANDS];
} trial;

static size_t count_of(const trial *t, int operand)
{
    return walsh_shape_rows(t->shapes[operand]) * (size_t)t->shapes[operand].c;
}

/* Exact in the operand's type (in half where that is coarse), so that the reference reads what the device does. */
static double draw(const trial *t, int operand, size_t i)
{
    float uniform = walsh_rng_uniform((walsh_rng){1, (uint64_t)operand}, i);
    if (!walsh_type_is_padded(t->shapes[operand].type)) return floor(256 * (double)uniform);
    return t->reference->fine ? (double)(2 * uniform - 1) : floor(128 * (double)uniform) / 64 - 1;
}

/* Draws, and computes what is wanted. */
static walsh_status prepare(trial *t)
{
    int operands = walsh_op_operands(t->op);
    WALSH_TRY(t->op->shapes(t->problem, t->shapes));
    for (int k = 0; k < operands; k++) {
        size_t count = count_of(t, k);
        if (walsh_shape_is_absent(t->shapes[k])) continue;
        WALSH_TRY(walsh_alloc(&t->before[k], count, sizeof *t->before[k], "a check"));
        WALSH_TRY(walsh_alloc(&t->want[k], count, sizeof *t->want[k], "a check"));
        for (size_t i = 0; i < count; i++) t->want[k][i] = draw(t, k, i);
    }
    if (t->reference->arrange) WALSH_TRY(t->reference->arrange(t->problem, t->want));
    for (int k = 0; k < operands; k++) {
        size_t count = t->want[k] ? count_of(t, k) : 0;
        for (size_t i = 0; i < count; i++) t->before[k][i] = (float)t->want[k][i];
    }
    return t->reference->compute(t->problem, t->want);
}

/* Puts a value that its type has into an element of raw memory. */
static void put_element(void *raw, walsh_type type, size_t at, double value)
{
    if (type == WALSH_F16)
        ((uint16_t *)raw)[at] = walsh_half_of(value);
    else if (type == WALSH_I32)
        ((int32_t *)raw)[at] = (int32_t)value;
    else
        ((uint8_t *)raw)[at] = (uint8_t)(int32_t)value;
}

/* Uploads what is not float32. */
static walsh_status write_others(trial *t, int operand)
{
    const walsh_shape s = t->shapes[operand];
    const float *value = t->before[operand];
    void *raw = NULL;
    WALSH_TRY(walsh_alloc(&raw, walsh_shape_bytes(s), 1, "a check"));
    for (size_t r = 0; r < walsh_shape_rows(s); r++)
        for (int k = 0; k < s.c; k++) put_element(raw, s.type, r * (size_t)s.pitch + (size_t)k, (double)*value++);
    walsh_status status = walsh_view_write(t->device, &t->tensors[operand]->view, raw);
    free(raw);
    return status;
}

/* NaN everywhere, pad lanes included: what a variant rests on without having written it, or leaves unwritten, shows. A
 * float or half all of whose bits are set is one. */
static walsh_status poison(walsh_device *device, const walsh_view *view)
{
    size_t bytes = walsh_shape_bytes(view->shape);
    void *nan = NULL;
    WALSH_TRY(walsh_alloc(&nan, bytes, 1, "a check"));
    memset(nan, 0xFF, bytes);
    walsh_status status = walsh_view_write(device, view, nan);
    free(nan);
    return status;
}

static walsh_status upload(trial *t)
{
    unsigned fuse = *(const unsigned *)t->problem; /* every problem begins with it */
    for (int k = 0; k < walsh_op_operands(t->op); k++) {
        if (!t->before[k]) continue;
        if (!t->tensors[k]) WALSH_TRY(walsh_tensor_make(t->device, t->shapes[k], &t->tensors[k]));
        bool overwritten = t->op->operands[k].role == WALSH_WRITE && !(fuse & WALSH_FUSE_ACCUMULATE);
        if (walsh_type_is_padded(t->shapes[k].type) && overwritten)
            WALSH_TRY(poison(t->device, &t->tensors[k]->view));
        else if (t->shapes[k].type == WALSH_F32)
            WALSH_TRY(walsh_tensor_upload(t->tensors[k], t->before[k]));
        else
            WALSH_TRY(write_others(t, k));
    }
    return WALSH_OK;
}

static walsh_status run(trial *t, const walsh_variant *variant)
{
    walsh_view views[WALSH_MAX_OPERANDS], absent = {.shape = walsh_shape_absent};
    size_t bytes = variant->workspace ? variant->workspace(t->device, t->problem) : 0;
    walsh_tensor *workspace = NULL;
    walsh_list *list = NULL;
    WALSH_TRY(upload(t));
    for (int k = 0; k < WALSH_MAX_OPERANDS; k++) views[k] = t->tensors[k] ? t->tensors[k]->view : absent;
    if (bytes) WALSH_TRY(walsh_tensor_make(t->device, walsh_shape_vector((int)((bytes + 3) / 4)), &workspace));
    walsh_status status = workspace ? poison(t->device, &workspace->view) : WALSH_OK;
    if (!status) status = walsh_list_create(t->device, &list);
    if (!status) status = walsh_variant_emit(variant, list, t->problem, views, workspace ? &workspace->view : &absent);
    if (!status) status = walsh_list_run(list);
    cl_int code = status ? CL_SUCCESS : clFinish(t->device->queue);
    if (code != CL_SUCCESS) status = walsh_cl_fail(code, variant->name);
    walsh_list_destroy(&list);
    walsh_tensor_destroy(&workspace);
    return status;
}

/* Of an element of raw memory as its type has it. */
static double element(const void *raw, walsh_type type, size_t at)
{
    return type == WALSH_F32   ? (double)((const float *)raw)[at]
           : type == WALSH_F16 ? (double)walsh_half_value(((const uint16_t *)raw)[at])
           : type == WALSH_I32 ? (double)((const int32_t *)raw)[at]
                               : (double)((const uint8_t *)raw)[at];
}

/* The larger error, of which a NaN is the largest. */
static double worse(double a, double b)
{
    return isnan(a) || a > b ? a : b;
}

/* Error of one output, as walsh_checked.error has it. */
static double compare(const trial *t, int operand, const void *raw)
{
    const walsh_shape s = t->shapes[operand];
    const double *want = t->want[operand];
    double worst = 0, largest = 0;
    int padded = walsh_type_is_padded(s.type) ? walsh_pad(s.c) : s.c;
    for (size_t r = 0; r < walsh_shape_rows(s); r++) {
        for (int k = 0; k < s.c; k++, want++) {
            if (isnan(*want) && t->reference->leaves_some) continue;
            worst = worse(worst, fabs(element(raw, s.type, r * (size_t)s.pitch + (size_t)k) - *want));
            largest = fmax(largest, fabs(*want));
        }
        for (int k = s.c; k < padded; k++)
            if (element(raw, s.type, r * (size_t)s.pitch + (size_t)k) != 0) return INFINITY;
    }
    return largest > 0 ? worst / largest : worst;
}

static walsh_status compare_all(trial *t, double *error)
{
    *error = 0;
    for (int k = 0; k < walsh_op_operands(t->op); k++) {
        void *raw = NULL;
        if (!t->want[k] || t->op->operands[k].role == WALSH_READ) continue;
        WALSH_TRY(walsh_alloc(&raw, walsh_shape_bytes(t->shapes[k]), 1, "a check"));
        walsh_status status = walsh_view_read(t->device, &t->tensors[k]->view, raw);
        if (!status) *error = worse(*error, compare(t, k, raw));
        free(raw);
        WALSH_TRY(status);
    }
    return WALSH_OK;
}

static void close_trial(trial *t)
{
    for (int k = 0; k < WALSH_MAX_OPERANDS; k++) {
        walsh_tensor_destroy(&t->tensors[k]);
        free(t->before[k]), free(t->want[k]);
    }
}

bool walsh_checked_agrees(const walsh_checked *checked)
{
    return !checked->failure && checked->error <= WALSH_CHECK_TOLERANCE;
}

static walsh_status run_all(trial *t, const walsh_checked *about, walsh_check_observer observer, void *context)
{
    const walsh_variant *by_rule = NULL;
    WALSH_TRY(walsh_op_choose(t->device, t->op, t->problem, &by_rule));
    for (const walsh_variant *const *v = t->op->variants; *v; v++) {
        walsh_checked checked = *about;
        if (!walsh_op_takes(t->device, t->op, *v, t->problem) || ((*v)->starts_slowly && *v != by_rule)) continue;
        checked.variant = *v, checked.error = NAN;
        walsh_status status = run(t, *v);
        if (!status) status = compare_all(t, &checked.error);
        if (status) checked.failure = walsh_message();
        if (observer(context, &checked)) WALSH_FAIL(WALSH_E_STOPPED, "stopped");
    }
    return WALSH_OK;
}

walsh_status walsh_check_problem(walsh_device *device, const void *problem, const walsh_checked *about,
                                 walsh_check_observer observer, void *context)
{
    trial t = {.device = device, .op = about->op, .problem = problem, .reference = walsh_reference_of(about->op)};
    if (!t.reference) WALSH_FAIL(WALSH_E_ARGUMENT, "%s: there is no reference to check it against", about->op->name);
    walsh_status status = prepare(&t);
    if (!status) status = run_all(&t, about, observer, context);
    close_trial(&t);
    return status;
}
