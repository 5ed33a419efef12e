#include "engine/op/fused_head.h"

#include <math.h>
#include <stdio.h>

#include "engine/op/logit_loss.h"

/* Longest row that the first two forms keep in private or local memory. */
enum { MOST_FEATURES = 4096 };

/* How a variant runs. */
typedef struct form {
    int width;  /* samples a work-group: lanes of a vector */
    int lanes;  /* work-items a work-group */
    int space;  /* of the transform: 0 private, 1 local, 2 global memory */
    int target; /* work-groups that make the bias' gradient, about */
} form;
static const form lanes_form = {8, 1, 0, 64}, group_form = {1, 64, 1, 256}, plain_form = {1, 1, 2, 16};

int walsh_fused_head_tables(const walsh_fused_head_problem *p)
{
    int floats = p->structure == WALSH_STRUCTURE_OVERLAPPED ? 6 * p->power : 0;
    for (int i = 0; i < p->cores; i++) floats += 2 * p->order[i] * p->order[i];
    return floats;
}

static int blocks_of(const walsh_fused_head_problem *p)
{
    return (int)(((long long)p->c + 2LL * p->n - 1) / (2LL * p->n));
}

/* Rows of the transform that are computed. */
static int rows_of(const walsh_fused_head_problem *p)
{
    int rows = p->n;
    while (p->structure == WALSH_STRUCTURE_SYLVESTER && rows / 2 >= p->c) rows /= 2;
    return rows;
}

/* ---- Shapes. ---- */

static walsh_status check(const walsh_fused_head_problem *p)
{
    if (p->b < 1 || p->n < 2 || p->c < 1)
        WALSH_FAIL(WALSH_E_ARGUMENT,
                   "fused head: %d rows of %d features, %d classes: expected at least 1, 2 and 1 of them", p->b, p->n,
                   p->c);
    if (!(p->label_smoothing >= 0 && p->label_smoothing < 1))
        WALSH_FAIL(WALSH_E_ARGUMENT, "fused head: label smoothing %g, expected 0 <= e < 1", (double)p->label_smoothing);
    long long product = p->power;
    for (int i = 0; i < p->cores && i < 4; i++) product *= p->order[i];
    bool fits = p->structure == WALSH_STRUCTURE_OVERLAPPED ? p->power < p->n && 2 * p->power > p->n : product == p->n;
    if (p->power < 1 || (p->power & (p->power - 1)) || p->cores < 0 || p->cores > 4 || !fits)
        WALSH_FAIL(WALSH_E_ARGUMENT, "fused head: a transform of %d values does not make %d features", p->power, p->n);
    if (walsh_fused_head_tables(p) + (double)blocks_of(p) * p->n > INT32_MAX)
        WALSH_FAIL(WALSH_E_ARGUMENT, "fused head: %d classes of %d features need more than 2^31 signs", p->c, p->n);
    return WALSH_OK;
}

static walsh_shape present(bool there, walsh_shape shape)
{
    return there ? shape : walsh_shape_absent;
}

/* What both operations read: their first six operands. */
static walsh_status inputs(const walsh_fused_head_problem *p, walsh_shape *operand)
{
    WALSH_TRY(check(p));
    operand[WALSH_FUSED_HEAD_X] = walsh_shape_matrix(p->b, p->n);
    operand[WALSH_FUSED_HEAD_CONSTANT] = walsh_shape_vector(walsh_fused_head_tables(p) + blocks_of(p) * p->n);
    operand[WALSH_FUSED_HEAD_ALPHA] = present(!p->cosine, walsh_shape_vector(1));
    operand[WALSH_FUSED_HEAD_BIAS] = present(!p->cosine, walsh_shape_vector(p->c));
    operand[WALSH_FUSED_HEAD_LABELS] = walsh_shape_array(WALSH_I32, p->b);
    operand[WALSH_FUSED_HEAD_VALID] = walsh_shape_array(WALSH_I32, 4);
    return WALSH_OK;
}

static walsh_status train_shapes(const void *problem, walsh_shape *operand)
{
    const walsh_fused_head_problem *p = problem;
    WALSH_TRY(inputs(p, operand));
    operand[WALSH_FUSED_HEAD_DX] = walsh_shape_matrix(p->b, p->n);
    operand[WALSH_FUSED_HEAD_D_ALPHA] = present(!p->cosine && !p->fixed, walsh_shape_vector(1));
    operand[WALSH_FUSED_HEAD_D_BIAS] = present(!p->cosine, walsh_shape_vector(p->c));
    operand[WALSH_FUSED_HEAD_METRICS] = walsh_shape_matrix(p->b, WALSH_METRICS);
    return WALSH_OK;
}

static walsh_status predict_shapes(const void *problem, walsh_shape *operand)
{
    const walsh_fused_head_problem *p = problem;
    WALSH_TRY(inputs(p, operand));
    operand[WALSH_HEAD_PREDICT_METRICS] = walsh_shape_matrix(p->b, WALSH_METRICS);
    operand[WALSH_HEAD_PREDICT_BEST] = walsh_shape_matrix(p->b, WALSH_HEAD_BEST_PITCH);
    operand[WALSH_HEAD_PREDICT_CLASSES] = walsh_shape_array(WALSH_I32, p->b * WALSH_HEAD_BEST_PITCH);
    operand[WALSH_HEAD_PREDICT_LOGITS] = present(p->all, walsh_shape_matrix(p->b, p->c));
    return WALSH_OK;
}

/* ---- Costs. ---- */

/* Operations of one transform of a row. */
static double transform_flops(const walsh_fused_head_problem *p, int rows)
{
    double power = p->structure == WALSH_STRUCTURE_SYLVESTER ? rows : p->power;
    double flops = log2(power) * (p->structure == WALSH_STRUCTURE_OVERLAPPED ? 6 * power : rows);
    for (int i = 0; i < p->cores; i++) flops += 2.0 * p->order[i] * rows;
    return flops;
}

static double sweep_flops(const walsh_fused_head_problem *p, int transforms)
{
    return blocks_of(p) * (transforms * transform_flops(p, rows_of(p)) + 2.0 * p->n) + (p->cosine ? 1.0 : 8.0) * p->c;
}

static void train_cost(const void *problem, double *flops, double *bytes)
{
    const walsh_fused_head_problem *p = problem;
    *flops = p->b * (sweep_flops(p, 2) + 8.0 * p->n);
    *bytes = p->b * (8.0 * p->n + 20) + 8.0 * p->c + 4.0 * blocks_of(p) * p->n;
}

static void predict_cost(const void *problem, double *flops, double *bytes)
{
    const walsh_fused_head_problem *p = problem;
    *flops = p->b * (sweep_flops(p, 1) + 3.0 * p->n);
    *bytes = p->b * (4.0 * p->n + 68 + (p->all ? 4.0 * p->c : 0)) + 4.0 * p->c + 4.0 * blocks_of(p) * p->n;
}

/* ---- Memory between the launches. ---- */

/* UNIT: the features, W samples side by side. */
enum { UNIT, SUMS, DOTS, SHIFTS, PARTIAL, WORK, AREAS };

typedef struct layout {
    size_t groups; /* of `width` samples */
    int blocks, rows, log_power;
    bool single;          /* one block, and a kernel that knows it */
    bool own_bias;        /* the first launch gives the partial sums of the bias' gradient, one a group */
    int slices;           /* partial sums */
    int pitch;            /* between them */
    size_t floats[AREAS]; /* each a multiple of 16 */
} layout;

static size_t round16(size_t floats)
{
    return (floats + 15) / 16 * 16;
}

static layout lay_out(const walsh_fused_head_problem *p, const form *f, bool backward)
{
    layout l = {.groups = ((size_t)p->b + (size_t)f->width - 1) / (size_t)f->width,
                .blocks = blocks_of(p),
                .rows = rows_of(p),
                .pitch = (p->c + 7) / 8 * 8};
    l.log_power = ilogb(p->structure == WALSH_STRUCTURE_SYLVESTER ? l.rows : p->power);
    l.single = l.blocks == 1 && f->space != 2;
    bool bias = backward && !p->cosine;
    size_t samples = l.groups * (size_t)f->width, width = (size_t)f->width;
    l.own_bias = bias && l.single && f->width > 1;
    int wanted = (f->target + l.blocks - 1) / l.blocks;
    l.slices = l.own_bias || (size_t)wanted > l.groups ? (int)l.groups : wanted;
    if (!l.own_bias) l.floats[UNIT] = round16(samples * (size_t)p->n);
    if (backward && !l.single && f->space) l.floats[SUMS] = l.floats[UNIT];
    if (bias) {
        l.floats[DOTS] = round16(samples);
        l.floats[SHIFTS] = round16(3 * samples); /* of each the sum's logarithm, the bound, the gain */
        l.floats[PARTIAL] = round16((size_t)l.slices * (size_t)l.pitch);
    }
    if (f->space == 2) {
        size_t items =
            bias && (size_t)l.slices * (size_t)l.blocks > l.groups ? (size_t)l.slices * (size_t)l.blocks : l.groups;
        l.floats[WORK] = round16(items * (size_t)l.rows * width);
    }
    return l;
}

static size_t bytes_of(const walsh_fused_head_problem *p, const form *f, bool backward)
{
    layout l = lay_out(p, f, backward);
    size_t sum = 0;
    for (int i = 0; i < AREAS; i++) sum += l.floats[i];
    return sum * sizeof(float);
}

/* The areas as views into the workspace; absent ones where they are empty. */
static void split(const layout *l, const walsh_view *workspace, walsh_view area[AREAS])
{
    size_t at = workspace->offset;
    for (int i = 0; i < AREAS; at += l->floats[i++]) {
        area[i] = l->floats[i] ? *workspace : (walsh_view){.shape = walsh_shape_absent};
        if (l->floats[i]) area[i].offset = at;
    }
}

/* ---- Launches. ---- */

enum { OPTIONS = 512 };

static const char *options_of(const walsh_fused_head_problem *p, const form *f, const layout *l, bool backward,
                              char out[OPTIONS])
{
    int used = snprintf(out, OPTIONS,
                        "-DW=%d -DLANES=%d -DT_SPACE=%d -DTRANSFORM=%d -DSINGLE=%d -DBACKWARD=%d -DCOSINE=%d "
                        "-DOWN_BIAS=%d",
                        f->width, f->lanes, f->space, p->structure, l->single, backward, p->cosine != 0, l->own_bias);
    if (f->space != 2)
        used +=
            snprintf(out + used, (size_t)(OPTIONS - used), " -DN=%d -DROWS=%d -DLOG_P=%d", p->n, l->rows, l->log_power);
    if (p->structure == WALSH_STRUCTURE_PALEY)
        used += snprintf(out + used, (size_t)(OPTIONS - used), " -DCORES=%d", p->cores);
    for (int i = 0; i < p->cores; i++)
        used += snprintf(out + used, (size_t)(OPTIONS - used), " -DORDER%d=%d", i, p->order[i]);
    return out;
}

/* What makes the transform orthonormal; the flips of an overlapped one do it by themselves. */
static float scale_of(const walsh_fused_head_problem *p)
{
    return (float)(p->structure == WALSH_STRUCTURE_OVERLAPPED ? 1 : 1 / sqrt(p->n));
}

/* The operands of either operation, by what they are for. */
typedef struct operands {
    const walsh_view *in; /* the first six */
    walsh_view dx, d_alpha, d_bias, metrics, best, classes, logits;
} operands;

static walsh_status emit_rows(walsh_list *list, const walsh_fused_head_problem *p, const form *f, const layout *l,
                              const operands *o, const walsh_view *area, walsh_launch launch)
{
    const walsh_view *in = o->in;
    launch.file = "fused_head";
    launch.function = "fused_head_rows";
    launch.global[0] = launch.local[0] = (size_t)f->lanes;
    launch.global[1] = l->groups;
    return WALSH_LAUNCH(
        list, launch, WALSH_TENSOR(&in[WALSH_FUSED_HEAD_X]), WALSH_TENSOR(&in[WALSH_FUSED_HEAD_CONSTANT]),
        WALSH_TENSOR(&in[WALSH_FUSED_HEAD_ALPHA]), WALSH_TENSOR(&in[WALSH_FUSED_HEAD_BIAS]),
        WALSH_TENSOR(&in[WALSH_FUSED_HEAD_LABELS]), WALSH_TENSOR(&in[WALSH_FUSED_HEAD_VALID]), WALSH_TENSOR(&o->dx),
        WALSH_TENSOR(&o->metrics), WALSH_TENSOR(&o->best), WALSH_TENSOR(&o->classes), WALSH_TENSOR(&o->logits),
        WALSH_TENSOR(&area[UNIT]), WALSH_TENSOR(&area[SUMS]), WALSH_TENSOR(&area[DOTS]), WALSH_TENSOR(&area[SHIFTS]),
        WALSH_TENSOR(&area[PARTIAL]), WALSH_TENSOR(&area[WORK]), WALSH_INT(p->b), WALSH_INT(p->n), WALSH_INT(p->c),
        WALSH_INT(l->rows), WALSH_INT(l->log_power), WALSH_INT(walsh_fused_head_tables(p)),
        WALSH_INT(in[WALSH_FUSED_HEAD_X].shape.pitch), WALSH_INT(o->dx.shape.pitch), WALSH_INT(o->metrics.shape.pitch),
        WALSH_INT(o->best.shape.pitch), WALSH_INT(o->logits.shape.pitch), WALSH_INT(l->pitch), WALSH_FLOAT(scale_of(p)),
        WALSH_FLOAT(p->label_smoothing));
}

static walsh_status emit_bias(walsh_list *list, const walsh_fused_head_problem *p, const form *f, const layout *l,
                              const walsh_view *in, const walsh_view *area, const char *options)
{
    walsh_launch launch = {.file = "fused_head",
                           .function = "fused_head_bias",
                           .options = options,
                           .global = {(size_t)f->lanes, (size_t)l->blocks, (size_t)l->slices},
                           .local = {(size_t)f->lanes},
                           .flops = p->b * sweep_flops(p, 1),
                           .bytes = 4.0 * p->b * p->n * l->blocks + 4.0 * l->slices * l->pitch};
    return WALSH_LAUNCH(list, launch, WALSH_TENSOR(&in[WALSH_FUSED_HEAD_CONSTANT]),
                        WALSH_TENSOR(&in[WALSH_FUSED_HEAD_BIAS]), WALSH_TENSOR(&in[WALSH_FUSED_HEAD_LABELS]),
                        WALSH_TENSOR(&in[WALSH_FUSED_HEAD_VALID]), WALSH_TENSOR(&area[UNIT]),
                        WALSH_TENSOR(&area[SHIFTS]), WALSH_TENSOR(&area[PARTIAL]), WALSH_TENSOR(&area[WORK]),
                        WALSH_INT(p->b), WALSH_INT(p->n), WALSH_INT(p->c), WALSH_INT(l->rows), WALSH_INT(l->log_power),
                        WALSH_INT(walsh_fused_head_tables(p)), WALSH_INT(l->slices), WALSH_INT(l->pitch),
                        WALSH_FLOAT(scale_of(p)), WALSH_FLOAT(p->label_smoothing));
}

static walsh_status emit_sum(walsh_list *list, const walsh_fused_head_problem *p, const layout *l, const operands *o,
                             const walsh_view *area, const char *options)
{
    walsh_launch launch = {.file = "fused_head",
                           .function = "fused_head_sum",
                           .options = options,
                           .global = {(size_t)walsh_pad(p->c) / 4 + 1},
                           .local = {64},
                           .flops = (double)l->slices * p->c,
                           .bytes = 4.0 * p->c * (l->slices + 1.0)};
    return WALSH_LAUNCH(list, launch, WALSH_TENSOR(&area[PARTIAL]), WALSH_TENSOR(&area[DOTS]), WALSH_TENSOR(&o->d_bias),
                        WALSH_TENSOR(&o->d_alpha), WALSH_INT(p->b), WALSH_INT(p->c), WALSH_INT(l->slices),
                        WALSH_INT(l->pitch), WALSH_FLOAT(p->label_smoothing));
}

static walsh_status emit_train(walsh_list *list, const walsh_fused_head_problem *p, const walsh_view *operand,
                               const walsh_view *workspace, const form *f)
{
    const walsh_view absent = {.shape = walsh_shape_absent};
    const operands o = {.in = operand,
                        .dx = operand[WALSH_FUSED_HEAD_DX],
                        .d_alpha = operand[WALSH_FUSED_HEAD_D_ALPHA],
                        .d_bias = operand[WALSH_FUSED_HEAD_D_BIAS],
                        .metrics = operand[WALSH_FUSED_HEAD_METRICS],
                        .best = absent,
                        .classes = absent,
                        .logits = absent};
    layout l = lay_out(p, f, true);
    walsh_view area[AREAS];
    char options[OPTIONS];
    split(&l, workspace, area);
    walsh_launch rows = {.options = options_of(p, f, &l, true, options)};
    train_cost(p, &rows.flops, &rows.bytes);
    WALSH_TRY(emit_rows(list, p, f, &l, &o, area, rows));
    if (p->cosine) return WALSH_OK;
    if (!l.own_bias) WALSH_TRY(emit_bias(list, p, f, &l, operand, area, options));
    return emit_sum(list, p, &l, &o, area, options);
}

static walsh_status emit_predict(walsh_list *list, const walsh_fused_head_problem *p, const walsh_view *operand,
                                 const walsh_view *workspace, const form *f)
{
    const walsh_view absent = {.shape = walsh_shape_absent};
    const operands o = {.in = operand,
                        .dx = absent,
                        .d_alpha = absent,
                        .d_bias = absent,
                        .metrics = operand[WALSH_HEAD_PREDICT_METRICS],
                        .best = operand[WALSH_HEAD_PREDICT_BEST],
                        .classes = operand[WALSH_HEAD_PREDICT_CLASSES],
                        .logits = operand[WALSH_HEAD_PREDICT_LOGITS]};
    layout l = lay_out(p, f, false);
    walsh_view area[AREAS];
    char options[OPTIONS];
    split(&l, workspace, area);
    walsh_launch rows = {.options = options_of(p, f, &l, false, options)};
    predict_cost(p, &rows.flops, &rows.bytes);
    return emit_rows(list, p, f, &l, &o, area, rows);
}

/* ---- Variants. ---- */

static int lanes_suits(const walsh_device *device, const void *problem)
{
    const walsh_fused_head_problem *p = problem;
    return p->n > MOST_FEATURES || walsh_tiles_are_gpu(device->tiles) ? 0 : 10;
}

static int group_suits(const walsh_device *device, const void *problem)
{
    const walsh_fused_head_problem *p = problem;
    if (p->n > MOST_FEATURES || device->info.max_group < 64 || device->info.local_memory < 20 * 1024) return 0;
    return walsh_tiles_are_gpu(device->tiles) ? 10 : 2;
}

static int plain_suits(const walsh_device *device, const void *problem)
{
    (void)device, (void)problem;
    return 3;
}

/* The functions of a variant, for both operations. */
#define VARIANT(kind)                                                                                                  \
    static size_t kind##_train_bytes(const walsh_device *device, const void *problem)                                  \
    {                                                                                                                  \
        (void)device;                                                                                                  \
        return bytes_of(problem, &kind##_form, true);                                                                  \
    }                                                                                                                  \
    static size_t kind##_predict_bytes(const walsh_device *device, const void *problem)                                \
    {                                                                                                                  \
        (void)device;                                                                                                  \
        return bytes_of(problem, &kind##_form, false);                                                                 \
    }                                                                                                                  \
    static walsh_status kind##_train(walsh_list *list, const void *problem, const walsh_view *operand,                 \
                                     const walsh_view *workspace)                                                      \
    {                                                                                                                  \
        return emit_train(list, problem, operand, workspace, &kind##_form);                                            \
    }                                                                                                                  \
    static walsh_status kind##_predict(walsh_list *list, const void *problem, const walsh_view *operand,               \
                                       const walsh_view *workspace)                                                    \
    {                                                                                                                  \
        return emit_predict(list, problem, operand, workspace, &kind##_form);                                          \
    }                                                                                                                  \
    static const walsh_variant kind##_trains = {                                                                       \
        .name = "fused_head_" #kind, .suits = kind##_suits, .workspace = kind##_train_bytes, .emit = kind##_train};    \
    static const walsh_variant kind##_predicts = {.name = "head_predict_" #kind,                                       \
                                                  .suits = kind##_suits,                                               \
                                                  .workspace = kind##_predict_bytes,                                   \
                                                  .emit = kind##_predict};
VARIANT(lanes)
VARIANT(group)
VARIANT(plain)

const walsh_op walsh_fused_head = {
    .name = "fused_head",
    .problem_size = sizeof(walsh_fused_head_problem),
    .operands = {{"x", WALSH_READ},
                 {"constant", WALSH_READ},
                 {"alpha", WALSH_READ},
                 {"bias", WALSH_READ},
                 {"labels", WALSH_READ},
                 {"valid", WALSH_READ},
                 {"dx", WALSH_WRITE},
                 {"d_alpha", WALSH_WRITE},
                 {"d_bias", WALSH_WRITE},
                 {"metrics", WALSH_WRITE}},
    .shapes = train_shapes,
    .cost = train_cost,
    .variants = (const walsh_variant *const[]){&lanes_trains, &group_trains, &plain_trains, NULL},
};

const walsh_op walsh_head_predict = {
    .name = "head_predict",
    .problem_size = sizeof(walsh_fused_head_problem),
    .operands = {{"x", WALSH_READ},
                 {"constant", WALSH_READ},
                 {"alpha", WALSH_READ},
                 {"bias", WALSH_READ},
                 {"labels", WALSH_READ},
                 {"valid", WALSH_READ},
                 {"metrics", WALSH_WRITE},
                 {"best", WALSH_WRITE},
                 {"classes", WALSH_WRITE},
                 {"logits", WALSH_WRITE}},
    .shapes = predict_shapes,
    .cost = predict_cost,
    .variants = (const walsh_variant *const[]){&lanes_predicts, &group_predicts, &plain_predicts, NULL},
};
