/* The public face of heads (walsh/head.h): names, rows of Q, and what a head is worth. */
#include <walsh/head.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/rng.h"
#include "engine/base/status.h"
#include "engine/nn/head_matrix.h"

/* What comparing rows may take, in multiply-adds: about a second. Beside its own, a pair costs some for the loop, and a
 * random pair more for its draws and for rows that are in no cache. */
#define COMPARE_BUDGET 1e9
enum { PAIR_COST = 16, SAMPLE_COST = 1000 };

static const char *const names[] = {
    [WALSH_HEAD_LEARNED] = "learned",
    [WALSH_HEAD_ORTHONORMAL] = "orthonormal",
    [WALSH_HEAD_HADAMARD] = "hadamard",
};
enum { KINDS = sizeof names / sizeof *names };

walsh_status walsh_head_kind_parse(const char *name, walsh_head_kind *kind)
{
    for (int i = 0; i < KINDS; i++)
        if (name && !strcmp(name, names[i])) {
            *kind = (walsh_head_kind)i;
            return WALSH_OK;
        }
    WALSH_FAIL(WALSH_E_ARGUMENT, "unknown head '%s', expected learned, orthonormal or hadamard", name ? name : "");
}

const char *walsh_head_kind_name(walsh_head_kind kind)
{
    return (int)kind >= 0 && (int)kind < KINDS ? names[kind] : "unknown";
}

walsh_status walsh_head_check(const walsh_head_spec *spec)
{
    walsh_construction construction;
    return walsh_head_choose(spec, &construction);
}

/* Rows of a Hadamard head times `scale` in place of 1/sqrt(N): 1 gives signs. */
static walsh_status hadamard_rows(int features, int first, int count, float scale, float *q)
{
    size_t n = (size_t)features;
    float *signs = NULL;
    walsh_status status = walsh_alloc(&signs, n, sizeof *signs, "head signs");
    for (int i = 0, block = 0; i < count && !status; i++) {
        walsh_head_class c = walsh_head_locate(features, first + i);
        if (c.block != block) status = walsh_head_signs(features, block = c.block, signs);
        for (size_t k = 0; k < n && !status; k++) {
            float entry = (float)c.sign * scale * signs[k];
            q[(size_t)i * n + k] = __builtin_parity((unsigned)c.row & (unsigned)k) ? -entry : entry;
        }
    }
    free(signs);
    return status;
}

static walsh_status orthonormal_rows(const walsh_head_spec *spec, int first, int count, float *q)
{
    size_t n = (size_t)spec->features;
    float *all = NULL;
    WALSH_TRY(walsh_alloc(&all, (size_t)spec->classes * n, sizeof *all, "an orthonormal head"));
    walsh_status status = walsh_head_orthonormal(spec, all);
    if (!status) memcpy(q, all + (size_t)first * n, (size_t)count * n * sizeof *q);
    free(all);
    return status;
}

walsh_status walsh_head_rows(const walsh_head_spec *spec, int first, int count, float *q)
{
    WALSH_TRY(walsh_head_check(spec));
    if (spec->kind == WALSH_HEAD_LEARNED) WALSH_FAIL(WALSH_E_ARGUMENT, "a learned head has no fixed matrix");
    if (first < 0 || count < 1 || count > spec->classes - first)
        WALSH_FAIL(WALSH_E_ARGUMENT, "rows %d to %d of a head with %d classes", first, first + count - 1,
                   spec->classes);
    if (spec->kind == WALSH_HEAD_ORTHONORMAL) return orthonormal_rows(spec, first, count, q);
    return hadamard_rows(spec->features, first, count, (float)(1 / sqrt(spec->features)), q);
}

/* The rows of a matrix, to be compared. */
typedef struct comparison {
    const float *q;
    double *inverse_norm;
    size_t n;
    double largest, largest_absolute;
    uint64_t pairs;
} comparison;

static double dot(const float *a, const float *b, size_t n)
{
    double sum[4] = {0};
    size_t i = 0;
    for (; i + 4 <= n; i += 4)
        for (size_t j = 0; j < 4; j++) sum[j] += (double)a[i + j] * b[i + j];
    for (; i < n; i++) sum[0] += (double)a[i] * b[i];
    return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

static void compare(comparison *c, size_t i, size_t j)
{
    double cosine = dot(c->q + i * c->n, c->q + j * c->n, c->n) * c->inverse_norm[i] * c->inverse_norm[j];
    if (cosine > c->largest) c->largest = cosine;
    if (fabs(cosine) > c->largest_absolute) c->largest_absolute = fabs(cosine);
    c->pairs++;
}

/* Every pair, or as many random ones as the budget allows. */
static void compare_rows(comparison *c, size_t rows, bool every)
{
    walsh_rng rng = walsh_rng_make(0, WALSH_RNG_HEAD, UINT32_MAX);
    uint64_t samples = (uint64_t)(COMPARE_BUDGET / ((double)c->n + SAMPLE_COST)) + 1;
    for (size_t i = 0; i < rows; i++) c->inverse_norm[i] = 1 / sqrt(dot(c->q + i * c->n, c->q + i * c->n, c->n));
    for (size_t i = 0; every && i < rows; i++)
        for (size_t j = 0; j < i; j++) compare(c, i, j);
    for (uint64_t s = 0; !every && s < samples; s++) {
        uint32_t i = walsh_rng_below(rng, 2 * s, (uint32_t)rows),
                 j = walsh_rng_below(rng, 2 * s + 1, (uint32_t)rows - 1);
        compare(c, i, j < i ? j : j + 1);
    }
}

static walsh_status measure(const walsh_head_spec *spec, walsh_head_report *report, bool every)
{
    size_t rows = (size_t)spec->classes, n = (size_t)spec->features;
    float *q = NULL;
    comparison c = {.n = n, .largest = -1};
    walsh_status status = walsh_alloc(&q, rows * n, sizeof *q, "comparing the rows of a head");
    if (!status) status = walsh_alloc(&c.inverse_norm, rows, sizeof *c.inverse_norm, "comparing the rows of a head");
    /* Signs rather than entries: their products add up exactly. */
    if (!status && spec->kind == WALSH_HEAD_HADAMARD)
        status = hadamard_rows(spec->features, 0, spec->classes, 1, q);
    else if (!status)
        status = walsh_head_orthonormal(spec, q);
    if (!status) {
        c.q = q;
        compare_rows(&c, rows, every);
        report->largest_cosine = c.largest;
        report->largest_absolute_cosine = c.largest_absolute;
        report->pairs = c.pairs;
        report->evidence = every ? WALSH_HEAD_MEASURED : WALSH_HEAD_SAMPLED;
    }
    free(q);
    free(c.inverse_norm);
    return status;
}

static walsh_status coherence(const walsh_head_spec *spec, walsh_head_report *report)
{
    double compared = 0.5 * spec->classes * (spec->classes - 1.0) * ((double)spec->features + PAIR_COST);
    if (spec->kind == WALSH_HEAD_LEARNED) {
        report->largest_cosine = report->largest_absolute_cosine = NAN;
        return WALSH_OK;
    }
    if (spec->classes == 1) return WALSH_OK; /* no pair: zeros */
    if (compared <= COMPARE_BUDGET) return measure(spec, report, true);
    bool more = spec->classes > spec->features;
    if (spec->kind == WALSH_HEAD_ORTHONORMAL && more) return measure(spec, report, false);
    /* Rows are orthogonal; those of a Hadamard block are, beyond N classes, opposite too. */
    report->evidence = WALSH_HEAD_KNOWN;
    report->largest_absolute_cosine = more ? 1 : 0;
    return WALSH_OK;
}

static void describe_construction(const walsh_head_spec *spec, walsh_construction construction, char *out, size_t size)
{
    static const char *const text[] = {
        [WALSH_CONSTRUCTION_LEARNED] = "learned affine layer",
        [WALSH_CONSTRUCTION_ORTHONORMAL_ROWS] = "random orthonormal rows",
        [WALSH_CONSTRUCTION_ORTHONORMAL_COLUMNS] = "random orthonormal columns",
        [WALSH_CONSTRUCTION_KERDOCK] = "Hadamard, Kerdock signs",
        [WALSH_CONSTRUCTION_GOLD] = "Hadamard, Gold signs",
    };
    bool both = spec->kind == WALSH_HEAD_HADAMARD && spec->classes > spec->features;
    snprintf(out, size, "%s%s", both ? "+-" : "", text[construction]);
}

/* Multiply-adds count two. A dense product with [C][N] takes 2NC; a learned head needs three (logits, features' and
 * weights' gradients), an orthonormal one two, a hadamard one two transforms of N log2 N additions instead. What a
 * fixed head adds: the norm and its gradient, signs and scales (10 a feature), scale and fold (5 a class). */
static walsh_head_cost cost_of(const walsh_head_spec *spec, walsh_head_kind kind)
{
    double n = spec->features, c = spec->classes, around = 10 * n + 5 * c;
    uint64_t classes = (uint64_t)spec->classes;
    walsh_head_cost cost = {.parameters = classes + 1};
    switch (kind) {
    case WALSH_HEAD_LEARNED:
        cost.parameters = classes * (uint64_t)spec->features + classes;
        cost.flops = 6 * n * c + 2 * c;
        break;
    case WALSH_HEAD_ORTHONORMAL:
        cost.flops = 4 * n * c + around;
        break;
    case WALSH_HEAD_HADAMARD:
        cost.flops = 2 * n * log2(n) + around;
        break;
    }
    cost.optimizer_bytes = cost.sync_bytes = 4 * cost.parameters;
    return cost;
}

walsh_status walsh_head_describe(const walsh_head_spec *spec, walsh_head_report *report)
{
    walsh_construction construction;
    memset(report, 0, sizeof *report);
    WALSH_TRY(walsh_head_choose(spec, &construction));
    describe_construction(spec, construction, report->construction, sizeof report->construction);
    double n = spec->features, c = spec->classes;
    report->welch = c > n ? sqrt((c - n) / (n * (c - 1))) : 0;
    report->learned = cost_of(spec, WALSH_HEAD_LEARNED);
    report->own = cost_of(spec, spec->kind);
    return coherence(spec, report);
}
