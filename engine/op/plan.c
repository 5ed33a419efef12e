#include "engine/op/plan.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/device/ahead.h"
#include "engine/op/store.h"

typedef struct value {
    walsh_view view;
    bool bound;
    bool constant;     /* its content, or what is kept of it, is the same in all runs */
    walsh_block block; /* bytes 0: never used, or a slice */
    walsh_value of;    /* a slice: of this value, which is none, from this channel on */
    int first;
    bool half;            /* what reads it now reads `unpacked` */
    walsh_value unpacked; /* none until something does */
} value;

typedef struct step {
    const walsh_op *op;
    const walsh_variant *variant;
    void *problem;
    walsh_value operands[WALSH_MAX_OPERANDS];
    walsh_value workspace;
    bool once, packs_once; /* it depends on constants alone; or its pack does */
    char label[64];
} step;

struct walsh_plan {
    walsh_device *device;
    walsh_list *once, *list;    /* what depends on constants alone, and what does not */
    bool fresh;                 /* the former has been run */
    const walsh_wisdom *wisdom; /* NULL: by rule */
    value *values;
    int value_count;
    step *steps;
    int step_count;
    walsh_status status; /* the first failure while building */
    char message[1024];
};

walsh_status walsh_plan_create(walsh_device *device, walsh_plan **plan)
{
    WALSH_TRY(walsh_alloc(plan, 1, sizeof **plan, "a plan"));
    (*plan)->device = device;
    walsh_status status = walsh_list_create(device, &(*plan)->once);
    if (!status) status = walsh_list_create(device, &(*plan)->list);
    if (status) walsh_plan_destroy(plan);
    return status;
}

void walsh_plan_consult(walsh_plan *plan, const walsh_wisdom *wisdom)
{
    plan->wisdom = wisdom;
}

walsh_device *walsh_plan_device(const walsh_plan *plan)
{
    return plan->device;
}

void walsh_plan_fail(walsh_plan *plan, walsh_status status)
{
    if (plan->status || !status) return;
    plan->status = status;
    snprintf(plan->message, sizeof plan->message, "%s", walsh_message());
}

/* Makes room for one more element; false after a failure, then or before. */
static bool grow(walsh_plan *plan, void *array, int count, size_t size)
{
    if (!plan->status) walsh_plan_fail(plan, walsh_grow(array, (size_t)count, size, "a plan"));
    return !plan->status;
}

static walsh_value add_value(walsh_plan *plan, walsh_view view, bool bound)
{
    if (!grow(plan, &plan->values, plan->value_count, sizeof *plan->values)) return WALSH_NO_VALUE;
    plan->values[plan->value_count] =
        (value){.view = view, .bound = bound, .block = {.first = -1}, .of = WALSH_NO_VALUE, .unpacked = WALSH_NO_VALUE};
    return plan->value_count++;
}

walsh_value walsh_plan_bind(walsh_plan *plan, const walsh_view *view)
{
    return add_value(plan, *view, true);
}

walsh_value walsh_plan_bind_constant(walsh_plan *plan, const walsh_view *view)
{
    walsh_value v = walsh_plan_bind(plan, view);
    if (v >= 0) plan->values[v].constant = true;
    return v;
}

walsh_value walsh_plan_value(walsh_plan *plan, walsh_shape shape)
{
    return add_value(plan, (walsh_view){.shape = shape}, false);
}

/* The value whose memory `v` lies in. */
static walsh_value whole(const walsh_plan *plan, walsh_value v)
{
    return plan->values[v].of < 0 ? v : plan->values[v].of;
}

walsh_value walsh_plan_slice(walsh_plan *plan, walsh_value of, int first, int c)
{
    if (of < 0) return WALSH_NO_VALUE; /* after a failure */
    const value *from = &plan->values[of];
    walsh_view view = from->view;
    walsh_value root = whole(plan, of);
    bool bound = from->bound, constant = from->constant;
    view.shape.c = c;
    view.offset += (size_t)first;
    first += from->first;
    walsh_value slice = add_value(plan, view, bound);
    if (slice < 0) return slice;
    plan->values[slice].of = root;
    plan->values[slice].first = first;
    plan->values[slice].constant = constant;
    return slice;
}

bool walsh_plan_overlap(const walsh_plan *plan, walsh_value a, walsh_value b)
{
    if (a < 0 || b < 0 || whole(plan, a) != whole(plan, b)) return false;
    const value *p = &plan->values[a], *q = &plan->values[b];
    return p->first < q->first + q->view.shape.c && q->first < p->first + p->view.shape.c;
}

walsh_shape walsh_plan_shape(const walsh_plan *plan, walsh_value v)
{
    return v < 0 ? walsh_shape_absent : plan->values[v].view.shape;
}

/* Extends a value's life to the step at `index`. */
static void touch(walsh_plan *plan, walsh_value v, int index)
{
    if (v < 0 || plan->values[v].bound) return;
    v = whole(plan, v);
    walsh_block *block = &plan->values[v].block;
    if (block->first < 0) block->first = index;
    if (block->last < index) block->last = index;
    block->bytes = walsh_shape_bytes(plan->values[v].view.shape);
}

/* Lets a value live through all runs. */
static void keep(walsh_plan *plan, walsh_value v)
{
    if (v < 0) return;
    walsh_block *block = &plan->values[whole(plan, v)].block;
    plan->values[v].constant = true;
    block->first = 0;
    block->last = INT_MAX;
}

static bool is_constant(const walsh_plan *plan, walsh_value v)
{
    return v < 0 || plan->values[v].constant;
}

/* Whether a step reads constants alone, and writes only what the plan may keep. */
static bool runs_once(const walsh_plan *plan, const walsh_op *op, const void *problem, const walsh_value *operands)
{
    int reads = 0;
    if (*(const unsigned *)problem & WALSH_FUSE_ACCUMULATE) return false;
    for (int i = 0; i < walsh_op_operands(op); i++) {
        walsh_value v = operands[i];
        if (v < 0) continue;
        if (op->operands[i].role == WALSH_READ ? !is_constant(plan, v)
                                               : op->operands[i].role == WALSH_UPDATE || plan->values[v].bound)
            return false;
        reads += op->operands[i].role == WALSH_READ;
    }
    return reads > 0;
}

/* Whether all operands that a step's variant packs are constant. */
static bool packs_once(const walsh_plan *plan, const step *s)
{
    if (!s->variant->pack) return false;
    for (int i = 0; i < walsh_op_operands(s->op); i++)
        if (s->variant->packs >> i & 1 && !is_constant(plan, s->operands[i])) return false;
    return true;
}

/* Refuses to write into what is constant, or waits as half. */
static walsh_status check_writes(const walsh_plan *plan, const walsh_op *op, const walsh_value *operands)
{
    for (int i = 0; i < walsh_op_operands(op); i++) {
        if (op->operands[i].role == WALSH_READ || operands[i] < 0) continue;
        bool constant = plan->values[operands[i]].constant;
        if (constant || plan->values[whole(plan, operands[i])].half)
            WALSH_FAIL(WALSH_E_ARGUMENT, "%s: operand %s is %s and cannot be written", op->name, op->operands[i].name,
                       constant ? "constant" : "stored as half");
    }
    return WALSH_OK;
}

static walsh_status prepare(walsh_plan *plan, step *s, const walsh_op *op, const void *problem,
                            const walsh_value *operands, size_t *workspace)
{
    walsh_view views[WALSH_MAX_OPERANDS];
    for (int i = 0; i < walsh_op_operands(op); i++) {
        s->operands[i] = operands[i];
        views[i] = (walsh_view){.shape = walsh_plan_shape(plan, operands[i])};
        if (operands[i] >= 0 && op->operands[i].role == WALSH_READ && !plan->values[operands[i]].bound &&
            plan->values[whole(plan, operands[i])].block.first < 0)
            WALSH_FAIL(WALSH_E_ARGUMENT, "%s: operand %s is read before anything wrote it", op->name,
                       op->operands[i].name);
    }
    WALSH_TRY(walsh_op_check(op, problem, views));
    WALSH_TRY(check_writes(plan, op, operands));
    WALSH_TRY(walsh_wisdom_choose(plan->wisdom, plan->device, op, problem, &s->variant));
    *workspace = s->variant->workspace ? s->variant->workspace(plan->device, problem) : 0;
    if (*workspace / sizeof(float) > INT_MAX / 2) /* its floats are counted by an int */
        WALSH_FAIL(WALSH_E_MEMORY, "a workspace of %zu MiB is needed: use a smaller batch", *workspace >> 20);
    WALSH_TRY(walsh_alloc(&s->problem, 1, op->problem_size, "a plan"));
    memcpy(s->problem, problem, op->problem_size);
    return WALSH_OK;
}

/* A new step at `index`, or NULL: all from there on come one later. */
static step *insert(walsh_plan *plan, int index)
{
    if (!grow(plan, &plan->steps, plan->step_count, sizeof *plan->steps)) return NULL;
    step *at = &plan->steps[index];
    memmove(at + 1, at, (size_t)(plan->step_count++ - index) * sizeof *at);
    *at = (step){.workspace = WALSH_NO_VALUE};
    for (int i = 0; i < plan->value_count; i++) {
        walsh_block *block = &plan->values[i].block;
        if (block->first < 0) continue;
        block->first += block->first >= index;
        block->last += block->last >= index && block->last < INT_MAX;
    }
    return at;
}

static void add_at(walsh_plan *plan, int index, const char *label, const walsh_op *op, const void *problem,
                   const walsh_value *operands)
{
    step *s = insert(plan, index);
    if (!s) return;
    s->op = op;
    snprintf(s->label, sizeof s->label, "%s", label);
    size_t bytes = 0;
    walsh_status status = prepare(plan, s, op, problem, operands, &bytes);
    if (status) {
        walsh_fail(status, "%s: %s", label, walsh_message());
        walsh_plan_fail(plan, status);
        return;
    }
    if (bytes) s->workspace = walsh_plan_value(plan, walsh_shape_vector((int)((bytes + 3) / 4)));
    for (int i = 0; i < walsh_op_operands(op); i++) touch(plan, operands[i], index);
    touch(plan, s->workspace, index);
    s->once = runs_once(plan, op, problem, operands);
    s->packs_once = s->once || packs_once(plan, s);
    if (s->packs_once) keep(plan, s->workspace);
    for (int i = 0; i < walsh_op_operands(op) && s->once; i++)
        if (op->operands[i].role == WALSH_WRITE) keep(plan, operands[i]);
}

void walsh_plan_store_half(walsh_plan *plan, walsh_value v)
{
    if (v < 0 || plan->values[v].bound || plan->values[v].constant) return;
    plan->values[whole(plan, v)].half = true;
}

/* Packs a whole value behind its last use, and unpacks it here. */
static void pack(walsh_plan *plan, walsh_value v)
{
    const walsh_shape shape = plan->values[v].view.shape;
    const walsh_store p = {.n = shape.n, .h = shape.h, .w = shape.w, .c = shape.c};
    const walsh_block used = plan->values[v].block;
    char label[sizeof plan->steps->label];
    memcpy(label, plan->steps[used.first].label, sizeof label);
    walsh_value packed = walsh_plan_value(plan, walsh_op_shape(&walsh_store_pack, &p, WALSH_STORE_PACK_Y));
    walsh_value unpacked = walsh_plan_value(plan, shape);
    const walsh_value in[] = {v, packed}, out[] = {packed, unpacked};
    if (plan->status) return;
    add_at(plan, used.last + 1, label, &walsh_store_pack, &p, in);
    add_at(plan, plan->step_count, label, &walsh_store_unpack, &p, out);
    plan->values[v].unpacked = unpacked;
}

/* What an operation that reads `v` uses. */
static walsh_value present(walsh_plan *plan, walsh_value v)
{
    if (v < 0 || plan->status || !plan->values[whole(plan, v)].half) return v;
    walsh_value root = whole(plan, v);
    if (plan->values[root].block.first < 0) return v; /* there is nothing to pack: prepare says so */
    if (plan->values[root].unpacked < 0) pack(plan, root);
    const value *slice = &plan->values[v];
    walsh_value now = plan->values[root].unpacked;
    return root == v ? now : walsh_plan_slice(plan, now, slice->first, slice->view.shape.c);
}

void walsh_plan_add(walsh_plan *plan, const char *label, const walsh_op *op, const void *problem,
                    const walsh_value *operands)
{
    walsh_value now[WALSH_MAX_OPERANDS];
    for (int i = 0; i < walsh_op_operands(op); i++)
        now[i] = op->operands[i].role == WALSH_READ ? present(plan, operands[i]) : operands[i];
    add_at(plan, plan->step_count, label, op, problem, now);
}

int walsh_plan_count(const walsh_plan *plan)
{
    return plan->step_count;
}

walsh_planned walsh_plan_at(const walsh_plan *plan, int index)
{
    const step *s = &plan->steps[index];
    return (walsh_planned){.label = s->label, .op = s->op, .problem = s->problem, .variant = s->variant};
}

walsh_status walsh_plan_layout(walsh_plan *plan, walsh_arena *arena)
{
    if (plan->status) WALSH_FAIL(plan->status, "%s", plan->message);
    walsh_block *blocks = NULL;
    size_t used = 0;
    WALSH_TRY(walsh_alloc(&blocks, (size_t)plan->value_count, sizeof *blocks, "a memory plan"));
    for (int i = 0; i < plan->value_count; i++)
        if (plan->values[i].block.bytes) blocks[used++] = plan->values[i].block;
    walsh_status status = walsh_arena_place(arena, blocks, used);
    used = 0;
    for (int i = 0; i < plan->value_count; i++)
        if (plan->values[i].block.bytes) plan->values[i].block = blocks[used++];
    free(blocks);
    return status;
}

/* Gives each value its place. */
static void place(walsh_plan *plan, const walsh_arena *arena)
{
    for (int i = 0; i < plan->value_count; i++) {
        value *v = &plan->values[i];
        if (!v->block.bytes) continue;
        v->view.memory = walsh_arena_memory(arena, v->block.chunk);
        v->view.offset = v->block.offset / walsh_type_size(v->view.shape.type);
    }
    for (int i = 0; i < plan->value_count; i++) {
        value *v = &plan->values[i];
        if (v->of < 0 || v->bound) continue;
        v->view.memory = plan->values[v->of].view.memory;
        v->view.offset = plan->values[v->of].view.offset + (size_t)v->first;
    }
}

static walsh_status emit(walsh_plan *plan)
{
    const walsh_view absent = {.shape = walsh_shape_absent};
    for (int i = 0; i < plan->step_count; i++) {
        step *s = &plan->steps[i];
        walsh_view views[WALSH_MAX_OPERANDS];
        for (int o = 0; o < walsh_op_operands(s->op); o++)
            views[o] = s->operands[o] < 0 ? absent : plan->values[s->operands[o]].view;
        const walsh_view *workspace = s->workspace < 0 ? &absent : &plan->values[s->workspace].view;
        walsh_list *list = s->once ? plan->once : plan->list, *packing = s->packs_once ? plan->once : plan->list;
        walsh_list_label(plan->once, s->label, s->op->name);
        walsh_list_label(plan->list, s->label, s->op->name);
        if (s->variant->pack) WALSH_TRY(s->variant->pack(packing, s->problem, views, workspace));
        WALSH_TRY(s->variant->emit(list, s->problem, views, workspace));
    }
    return WALSH_OK;
}

/* Twice where kernels are compiled ahead: the first time for notes, in which a failure is none yet. */
walsh_status walsh_plans_emit(walsh_plan *const *plans, size_t count, const walsh_arena *arena)
{
    walsh_status status = WALSH_OK;
    walsh_device *device = count ? plans[0]->device : NULL;
    for (size_t i = 0; i < count; i++) place(plans[i], arena);
    if (device && walsh_ahead_begin(device)) {
        for (size_t i = 0; i < count && !status; i++) status = emit(plans[i]);
        walsh_ahead_start(device);
    }
    status = WALSH_OK;
    for (size_t i = 0; i < count && !status; i++) status = emit(plans[i]);
    if (device) walsh_ahead_end(device);
    return status;
}

walsh_status walsh_plan_emit(walsh_plan *plan, const walsh_arena *arena)
{
    return walsh_plans_emit(&plan, 1, arena);
}

void walsh_plan_renew(walsh_plan *plan)
{
    plan->fresh = false;
}

walsh_status walsh_plan_run(walsh_plan *plan)
{
    if (!plan->fresh && walsh_list_count(plan->once)) WALSH_TRY(walsh_list_run(plan->once));
    plan->fresh = true;
    return walsh_list_run(plan->list);
}

walsh_view walsh_plan_view(const walsh_plan *plan, walsh_value v)
{
    return plan->values[v].view;
}

const walsh_list *walsh_plan_launches(const walsh_plan *plan, bool once)
{
    return once ? plan->once : plan->list;
}

/* The name of the operand by which a step writes value `v` or a part of it; NULL: it does not. */
static const char *written_as(const walsh_plan *plan, const step *s, walsh_value v)
{
    if (s->workspace == v) return "workspace";
    for (int i = 0; i < walsh_op_operands(s->op); i++)
        if (s->op->operands[i].role != WALSH_READ && s->operands[i] >= 0 && whole(plan, s->operands[i]) == v)
            return s->op->operands[i].name;
    return NULL;
}

static walsh_plan_block describe_block(const walsh_plan *plan, walsh_value v)
{
    walsh_plan_block b = {.layer = "", .operation = "", .block = plan->values[v].block};
    for (int i = 0; i < plan->step_count && !b.operand; i++) {
        const step *s = &plan->steps[i];
        b.operand = written_as(plan, s, v);
        if (b.operand) b.layer = s->label, b.operation = s->op->name;
    }
    if (!b.operand) b.operand = "";
    return b;
}

walsh_status walsh_plan_blocks(const walsh_plan *plan, walsh_plan_block **blocks, size_t *count)
{
    *count = 0;
    WALSH_TRY(walsh_alloc(blocks, (size_t)plan->value_count, sizeof **blocks, "a memory map"));
    for (int v = 0; v < plan->value_count; v++)
        if (plan->values[v].block.bytes) (*blocks)[(*count)++] = describe_block(plan, v);
    return WALSH_OK;
}

walsh_status walsh_plan_choices(const walsh_plan *plan, walsh_wisdom *wisdom)
{
    for (int i = 0; i < plan->step_count; i++) {
        const step *s = &plan->steps[i];
        WALSH_TRY(walsh_wisdom_set(wisdom, s->op, s->problem, s->variant->name));
    }
    return WALSH_OK;
}

walsh_status walsh_plan_profile(const walsh_plan *plan, const char *phase, walsh_profile_line **lines, size_t *count)
{
    WALSH_TRY(walsh_list_profile(plan->list, phase, lines, count));
    return walsh_list_profile(plan->once, "preparation", lines, count);
}

void walsh_plan_destroy(walsh_plan **plan)
{
    if (!*plan) return;
    for (int i = 0; i < (*plan)->step_count; i++) free((*plan)->steps[i].problem);
    walsh_list_destroy(&(*plan)->once);
    walsh_list_destroy(&(*plan)->list);
    free((*plan)->steps);
    free((*plan)->values);
    free(*plan);
    *plan = NULL;
}
