/* How alike the rows of a fixed head are: the largest cosines, exact where that is affordable. */
#include "engine/nn/head_coherence.h"

#include <math.h>
#include <stdlib.h>

#include "engine/base/rng.h"
#include "engine/base/status.h"
#include "engine/nn/head_basis.h"
#include "engine/nn/head_matrix.h"
#include "engine/nn/head_signs.h"

/* What comparing rows may take, in multiply-adds: about a second. Beside its own, a pair costs some for the loop, and a
 * random pair more for its draws and for rows that are in no cache. */
#define COMPARE_BUDGET 1e9
/* What making an orthonormal matrix may take only to confirm what is known of it, in operations: a few seconds. */
#define CONFIRM_BUDGET 1e11
enum { PAIR_COST = 16, SAMPLE_COST = 1000 };

static uint64_t pairs_of(uint64_t classes)
{
    return classes * (classes - 1) / 2;
}

/* ---- Dense rows ---- */

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

static walsh_status measure_dense(const walsh_head_spec *spec, walsh_head_report *report, bool every)
{
    size_t rows = (size_t)spec->classes, n = (size_t)spec->features;
    float *q = NULL;
    comparison c = {.n = n, .largest = -1};
    walsh_status status = walsh_alloc(&q, rows * n, sizeof *q, "comparing the rows of a head");
    if (!status) status = walsh_alloc(&c.inverse_norm, rows, sizeof *c.inverse_norm, "comparing the rows of a head");
    if (!status) status = walsh_head_orthonormal(spec, q);
    if (!status) {
        c.q = q;
        compare_rows(&c, rows, every);
        report->largest_cosine = report->sampled_cosine = c.largest;
        report->largest_absolute_cosine = c.largest_absolute;
        report->pairs = c.pairs;
        report->evidence = every ? WALSH_HEAD_MEASURED : WALSH_HEAD_SAMPLED;
    }
    free(q);
    free(c.inverse_norm);
    return status;
}

static walsh_status orthonormal(const walsh_head_spec *spec, walsh_head_report *report)
{
    double compared = (double)pairs_of((uint64_t)spec->classes) * ((double)spec->features + PAIR_COST);
    bool every = compared <= COMPARE_BUDGET;
    double making = 2.0 * spec->features * spec->classes * spec->classes;
    bool known = spec->classes <= spec->features && !every; /* orthogonal as they are made */
    if (!known || making <= CONFIRM_BUDGET) WALSH_TRY(measure_dense(spec, report, every));
    if (!known) return WALSH_OK;
    report->evidence = WALSH_HEAD_KNOWN;
    report->largest_cosine = report->largest_absolute_cosine = 0;
    return WALSH_OK;
}

/* ---- Blocks of a transform ---- */

/* Row s of T D_b and all rows of T D_a have the products T (D_a D_b T_s). */
typedef struct blocks {
    walsh_head_basis *basis;
    double *row, *products;
    double largest; /* absolute */
} blocks;

static void compare_row(blocks *k, int row, int a, int b)
{
    size_t n = (size_t)k->basis->form.features;
    const float *one = k->basis->signs + (size_t)a * n, *other = k->basis->signs + (size_t)b * n;
    for (size_t i = 0; i < n; i++) k->products[i] = i == (size_t)row;
    walsh_head_basis_apply(k->basis, true, k->products);
    for (size_t i = 0; i < n; i++) k->products[i] *= (double)(one[i] * other[i]);
    walsh_head_basis_apply(k->basis, false, k->products);
    for (size_t i = 0; i < n; i++)
        if (fabs(k->products[i]) > k->largest) k->largest = fabs(k->products[i]);
}

/* Rows of block b that differ in what they show: of Sylvester's matrix each shows the same, in another order. */
static int rows_to_compare(const walsh_head_form *form, int b)
{
    long long n = form->features, rest = form->classes - 2 * n * b;
    return form->transform == WALSH_TRANSFORM_SYLVESTER ? 1 : (int)(rest < n ? rest : n);
}

static void compare_blocks(blocks *k)
{
    const walsh_head_form *form = &k->basis->form;
    for (int b = 1; b < form->blocks; b++)
        for (int row = 0; row < rows_to_compare(form, b); row++)
            for (int a = 0; a < b; a++) compare_row(k, row, a, b);
}

/* Random rows and blocks. Returns how many pairs of classes that were. */
static uint64_t sample_blocks(blocks *k, uint64_t samples)
{
    const walsh_head_form *form = &k->basis->form;
    walsh_rng rng = walsh_rng_make(0, WALSH_RNG_HEAD, UINT32_MAX);
    for (uint64_t s = 0; s < samples; s++) {
        uint32_t b = 1 + walsh_rng_below(rng, 3 * s, (uint32_t)form->blocks - 1),
                 a = walsh_rng_below(rng, 3 * s + 1, b),
                 row = walsh_rng_below(rng, 3 * s + 2, (uint32_t)rows_to_compare(form, (int)b));
        compare_row(k, (int)row, (int)a, (int)b);
    }
    return samples * 2 * (uint64_t)form->features;
}

/* Largest cosine between blocks of head_signs.h, which is a theorem; NaN where other signs take part. */
static double known_between_blocks(const walsh_head_form *form)
{
    if (form->transform != WALSH_TRANSFORM_SYLVESTER || walsh_head_structured_blocks(form) < form->blocks) return NAN;
    double farther = form->blocks > walsh_head_close_blocks(form->features) ? 2 : 1;
    return farther * sqrt((__builtin_ctz((unsigned)form->features) % 2 ? 2.0 : 1.0) / form->features);
}

/* Between blocks the cosines come with both signs, since block a < b is there whole. */
static void judge_blocks(blocks *k, walsh_head_report *report)
{
    const walsh_head_form *form = &k->basis->form;
    double rows = 0, each = 2 * walsh_head_transform_cost(form) + 4 * form->features;
    double known = known_between_blocks(form);
    for (int b = 1; b < form->blocks; b++) rows += (double)b * rows_to_compare(form, b);
    if (rows * each <= COMPARE_BUDGET) {
        compare_blocks(k);
        report->largest_cosine = report->sampled_cosine = k->largest;
        return;
    }
    double samples = COMPARE_BUDGET / (each + SAMPLE_COST);
    report->pairs = sample_blocks(k, (uint64_t)(samples < rows ? samples : rows) + 1);
    report->evidence = isnan(known) ? WALSH_HEAD_SAMPLED : WALSH_HEAD_KNOWN;
    report->sampled_cosine = k->largest;
    report->largest_cosine = isnan(known) ? k->largest : known;
}

/* Rows of a block are orthogonal or opposite: nothing to compare there. */
static walsh_status hadamard(const walsh_head_spec *spec, walsh_head_report *report)
{
    report->evidence = WALSH_HEAD_MEASURED;
    report->pairs = pairs_of((uint64_t)spec->classes);
    report->largest_absolute_cosine = spec->classes > spec->features ? 1 : 0;
    if (walsh_head_form_of(spec).blocks == 1) return WALSH_OK;
    blocks k = {0};
    walsh_status status = walsh_head_basis_open(spec, &k.basis);
    if (!status) status = walsh_alloc(&k.products, (size_t)spec->features, sizeof *k.products, "comparing blocks");
    if (!status) judge_blocks(&k, report);
    free(k.products);
    walsh_head_basis_close(&k.basis);
    return status;
}

/* ---- Plain Hadamard ---- */

/* Σ_{k<n} (-1)^popcount(d & k), by the ranges 2^t long that the bits of n stand for: such a range adds up to 0 unless
 * d has no bit below t. */
static int row_sum(unsigned d, unsigned n)
{
    int sum = 0;
    for (unsigned done = 0; done < n;) {
        unsigned range = 1u << (31 - __builtin_clz(n - done));
        if (!(d & (range - 1))) sum += __builtin_parity(d & done) ? -(int)range : (int)range;
        done += range;
    }
    return sum;
}

/* Rows r and s have the product row_sum(r ^ s), and every number below the least power of two >= C is some r ^ s. */
static walsh_status plain(const walsh_head_spec *spec, walsh_head_report *report)
{
    uint64_t order = (uint64_t)walsh_head_plain_order(spec->features), classes = (uint64_t)spec->classes,
             whole = classes / order, rest = classes % order;
    report->evidence = WALSH_HEAD_MEASURED;
    report->pairs = pairs_of(classes);
    report->identical_pairs = rest * pairs_of(whole + 1) + (whole ? (order - rest) * pairs_of(whole) : 0);
    report->largest_cosine = report->identical_pairs ? 1 : -1;
    report->largest_absolute_cosine = report->identical_pairs ? 1 : 0;
    for (unsigned d = 1; d < order && d < (unsigned)walsh_head_plain_order(spec->classes); d++) {
        double cosine = row_sum(d, (unsigned)spec->features) / (double)spec->features;
        if (cosine > report->largest_cosine) report->largest_cosine = cosine;
        if (fabs(cosine) > report->largest_absolute_cosine) report->largest_absolute_cosine = fabs(cosine);
    }
    report->sampled_cosine = report->largest_cosine;
    return WALSH_OK;
}

walsh_status walsh_head_coherence(const walsh_head_spec *spec, walsh_head_report *report)
{
    if (spec->kind == WALSH_HEAD_LEARNED) {
        report->largest_cosine = report->largest_absolute_cosine = report->sampled_cosine = NAN;
        return WALSH_OK;
    }
    if (spec->classes == 1) return WALSH_OK; /* no pair: zeros */
    if (spec->kind == WALSH_HEAD_ORTHONORMAL) return orthonormal(spec, report);
    return spec->kind == WALSH_HEAD_HADAMARD ? hadamard(spec, report) : plain(spec, report);
}
