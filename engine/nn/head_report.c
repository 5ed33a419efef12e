/* The public face of heads (walsh/head.h): names, rows of Q, and what a head is worth. */
#include <walsh/head.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/status.h"
#include "engine/nn/head_basis.h"
#include "engine/nn/head_coherence.h"
#include "engine/nn/head_matrix.h"
#include "engine/nn/head_signs.h"

static const char *const names[] = {
    [WALSH_HEAD_LEARNED] = "learned",
    [WALSH_HEAD_ORTHONORMAL] = "orthonormal",
    [WALSH_HEAD_HADAMARD] = "hadamard",
    [WALSH_HEAD_HADAMARD_PLAIN] = "hadamard-plain",
};
enum { KINDS = sizeof names / sizeof *names };

walsh_status walsh_head_kind_parse(const char *name, walsh_head_kind *kind)
{
    for (int i = 0; i < KINDS; i++)
        if (name && !strcmp(name, names[i])) {
            *kind = (walsh_head_kind)i;
            return WALSH_OK;
        }
    WALSH_FAIL(WALSH_E_ARGUMENT, "unknown head '%s', expected learned, orthonormal, hadamard or hadamard-plain",
               name ? name : "");
}

const char *walsh_head_kind_name(walsh_head_kind kind)
{
    return (int)kind >= 0 && (int)kind < KINDS ? names[kind] : "unknown";
}

bool walsh_head_seeded(const walsh_head_spec *spec)
{
    if (spec->kind == WALSH_HEAD_ORTHONORMAL) return true;
    if (spec->kind != WALSH_HEAD_HADAMARD) return false;
    walsh_head_form form = walsh_head_form_of(spec);
    return form.transform != WALSH_TRANSFORM_SYLVESTER || walsh_head_structured_blocks(&form) < form.blocks;
}

/* Row r of T is T^T e_r. */
static void hadamard_row(const walsh_head_basis *basis, int class_index, double *row, float *q)
{
    int n = basis->form.features, block = class_index / n / 2;
    const float *signs = basis->signs + (size_t)block * (size_t)n;
    double sign = class_index / n % 2 ? -1 : 1;
    for (int k = 0; k < n; k++) row[k] = k == class_index % n;
    walsh_head_basis_apply(basis, true, row);
    for (int k = 0; k < n; k++) q[k] = (float)(sign * row[k]) * signs[k];
}

static walsh_status hadamard_rows(const walsh_head_spec *spec, int first, int count, float *q)
{
    size_t n = (size_t)spec->features;
    walsh_head_basis *basis = NULL;
    double *row = NULL;
    walsh_status status = walsh_alloc(&row, n, sizeof *row, "a row of a hadamard head");
    if (!status) status = walsh_head_basis_open(spec, &basis);
    for (int i = 0; i < count && !status; i++) hadamard_row(basis, first + i, row, q + (size_t)i * n);
    walsh_head_basis_close(&basis);
    free(row);
    return status;
}

static void plain_rows(int features, int first, int count, float *q)
{
    float entry = (float)(1 / sqrt(features));
    for (int c = first; c < first + count; c++)
        for (int k = 0; k < features; k++) *q++ = __builtin_parity((unsigned)c & (unsigned)k) ? -entry : entry;
}

static walsh_status orthonormal_rows(const walsh_head_spec *spec, int first, int count, float *q)
{
    size_t n = (size_t)spec->features;
    float *all = NULL;
    if (count == spec->classes) return walsh_head_orthonormal(spec, q);
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
    if (spec->kind == WALSH_HEAD_HADAMARD) return hadamard_rows(spec, first, count, q);
    plain_rows(spec->features, first, count, q);
    return WALSH_OK;
}

/* "12 x 20 x 4": the orders whose product the matrix is. */
static void name_orders(const walsh_head_form *form, char *out, size_t size)
{
    size_t at = 0;
    for (int i = 0; i < form->cores && at < size; i++)
        at += (size_t)snprintf(out + at, size - at, i ? " x %d" : "%d", form->order[i]);
    if (form->power > 1 && at < size) snprintf(out + at, size - at, " x %d", form->power);
}

static void name_hadamard(const walsh_head_spec *spec, char *out, size_t size)
{
    walsh_head_form form = walsh_head_form_of(spec);
    const char *both = spec->classes > spec->features ? "+-" : "";
    int structured = walsh_head_structured_blocks(&form);
    bool odd = __builtin_ctz((unsigned)form.power) % 2, close = structured <= walsh_head_close_blocks(form.power);
    const char *set = odd ? close ? "Gold" : "BCH" : close ? "Kerdock" : "Delsarte-Goethals";
    char signs[64] = "hashed signs", orders[40] = "";
    if (structured)
        snprintf(signs, sizeof signs, structured < form.blocks ? "%s%s signs, hashed from block %d" : "%s%s signs",
                 form.cores ? "hashed x " : "", set, structured + 1);
    name_orders(&form, orders, sizeof orders);
    if (form.transform == WALSH_TRANSFORM_SYLVESTER)
        snprintf(out, size, "%sHadamard, %s", both, signs);
    else if (form.transform == WALSH_TRANSFORM_PALEY)
        snprintf(out, size, "%sHadamard %s (Paley%s), %s", both, orders, form.power > 1 ? " x Sylvester" : "", signs);
    else
        snprintf(out, size, "%soverlapped Walsh-Hadamard transforms of %d, %s", both, form.power, signs);
}

static void describe_construction(const walsh_head_spec *spec, char *out, size_t size)
{
    switch (spec->kind) {
    case WALSH_HEAD_LEARNED:
        snprintf(out, size, "learned affine layer");
        break;
    case WALSH_HEAD_ORTHONORMAL:
        snprintf(out, size, "random orthonormal %s", spec->classes > spec->features ? "columns" : "rows");
        break;
    case WALSH_HEAD_HADAMARD:
        name_hadamard(spec, out, size);
        break;
    case WALSH_HEAD_HADAMARD_PLAIN:
        snprintf(out, size, "truncated Sylvester matrix, no signs");
        break;
    }
}

/* Multiply-adds count two. A dense product with [C][N] takes 2NC; a learned head needs three (logits, features' and
 * weights' gradients), a dense fixed one two, a hadamard one two transforms a block instead, N log2 N additions each
 * where N is a power of two. What a fixed head adds: the norm and its gradient, signs and scales (10 a feature), signs
 * and sums of each further block (4 a feature), scale and fold (5 a class). */
static walsh_head_cost cost_of(const walsh_head_spec *spec, walsh_head_kind kind)
{
    walsh_head_form form;
    double n = spec->features, c = spec->classes, around = 10 * n + 5 * c;
    uint64_t classes = (uint64_t)spec->classes;
    walsh_head_cost cost = {.parameters = classes + 1};
    switch (kind) {
    case WALSH_HEAD_LEARNED:
        cost.parameters = classes * (uint64_t)spec->features + classes;
        cost.flops = 6 * n * c + 2 * c;
        break;
    case WALSH_HEAD_ORTHONORMAL:
    case WALSH_HEAD_HADAMARD_PLAIN:
        cost.flops = 4 * n * c + around;
        break;
    case WALSH_HEAD_HADAMARD:
        form = walsh_head_form_of(spec);
        cost.flops = form.blocks * (2 * walsh_head_transform_cost(&form) + 4 * n) - 4 * n + around;
        break;
    }
    cost.optimizer_bytes = cost.sync_bytes = 4 * cost.parameters;
    return cost;
}

walsh_status walsh_head_describe(const walsh_head_spec *spec, walsh_head_report *report)
{
    memset(report, 0, sizeof *report);
    WALSH_TRY(walsh_head_check(spec));
    describe_construction(spec, report->construction, sizeof report->construction);
    double n = spec->features, c = spec->classes;
    report->welch = c > n ? sqrt((c - n) / (n * (c - 1))) : 0;
    report->learned = cost_of(spec, WALSH_HEAD_LEARNED);
    report->own = cost_of(spec, spec->kind);
    return walsh_head_coherence(spec, report);
}
