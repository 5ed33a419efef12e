#include "engine/nn/head_basis.h"

#include <math.h>
#include <stdlib.h>

#include "engine/base/status.h"
#include "engine/nn/head_blocks.h"
#include "engine/nn/head_signs.h"
#include "engine/nn/paley.h"

/* The odd part of a multiple of four is a product of these where Paley matrices of four times each make it up. */
enum { LEAST_PART = 3, LARGEST_PART = WALSH_HEAD_MAX_CORE / 4 };

/* Finds the orders with the least sum: parts ascending from `least`, whose product is `odd`, at most `cores` of them.
 * Returns that sum, or 0 where there are none; fills form->order and form->cores. */
static int factor(int odd, int least, int cores, walsh_head_form *form)
{
    int best = 0;
    form->cores = 0;
    for (int part = least; part <= LARGEST_PART && cores > 0; part += 2) {
        walsh_head_form rest = {0};
        if (odd % part) continue;
        int others = odd == part ? 0 : factor(odd / part, part, cores - 1, &rest);
        if ((odd != part && !others) || (best && 4 * part + others >= best)) continue;
        best = 4 * part + others;
        form->order[0] = 4 * part;
        for (int i = 0; i < rest.cores; i++) form->order[i + 1] = rest.order[i];
        form->cores = rest.cores + 1;
    }
    return best;
}

static bool few_for_paley(int features, int classes)
{
    return features / 2 >= 30 || classes <= 1 << features / 2;
}

static bool try_paley(walsh_head_form *form)
{
    int twos = __builtin_ctz((unsigned)form->features), odd = form->features >> twos;
    int cores = twos / 2 < WALSH_HEAD_MAX_CORES ? twos / 2 : WALSH_HEAD_MAX_CORES;
    if (!few_for_paley(form->features, form->classes) || !factor(odd, LEAST_PART, cores, form)) return false;
    form->transform = WALSH_TRANSFORM_PALEY;
    form->power = 1 << (twos - 2 * form->cores);
    return true;
}

walsh_head_form walsh_head_form_of(const walsh_head_spec *spec)
{
    int n = spec->features, power = 1;
    walsh_head_form form = {.transform = WALSH_TRANSFORM_SYLVESTER, .features = n, .classes = spec->classes};
    form.blocks = (int)(((long long)spec->classes + 2LL * n - 1) / (2LL * n));
    while (power <= n / 2) power *= 2;
    form.power = power;
    if (power == n || try_paley(&form)) return form;
    form.transform = WALSH_TRANSFORM_OVERLAPPED;
    for (int i = 0; i < WALSH_HEAD_STEPS; i++) form.offset[i] = (int[]){0, n - power, (n - power) / 2}[i % 3];
    return form;
}

int walsh_head_structured_blocks(const walsh_head_form *form)
{
    if (form->transform == WALSH_TRANSFORM_OVERLAPPED) return 0;
    bool sylvester = form->transform == WALSH_TRANSFORM_SYLVESTER;
    int known = sylvester                                       ? walsh_head_sign_blocks(form->power)
                : __builtin_ctz((unsigned)form->power) % 2 == 0 ? walsh_head_close_blocks(form->power)
                                                                : 0;
    return known < form->blocks ? known : form->blocks;
}

double walsh_head_transform_cost(const walsh_head_form *form)
{
    double n = form->features, m = log2(form->power), orders = 0;
    if (form->transform == WALSH_TRANSFORM_OVERLAPPED) return WALSH_HEAD_STEPS * form->power * (m + 1);
    for (int i = 0; i < form->cores; i++) orders += form->order[i];
    return n * (orders + m);
}

/* Few features leave room for all 2^N classes only with a transform whose rows have little in common: others are tried.
 */
enum { ATTEMPTS = 64 };

static walsh_status fill_overlapped(walsh_head_basis *basis, uint64_t seed)
{
    size_t p = (size_t)basis->form.power;
    WALSH_TRY(walsh_alloc(&basis->flips, WALSH_HEAD_STEPS * p, sizeof *basis->flips, "signs of a hadamard head"));
    for (uint32_t attempt = 0;; attempt++) {
        for (uint32_t i = 0; i < WALSH_HEAD_STEPS; i++)
            walsh_head_draw(seed, (1u << 31) + attempt * WALSH_HEAD_STEPS + i, p, basis->flips + i * p);
        walsh_status status = walsh_head_blocks(basis, seed);
        if (status != WALSH_E_ARGUMENT || attempt == ATTEMPTS) return status;
    }
}

static walsh_status fill(walsh_head_basis *basis, uint64_t seed)
{
    const walsh_head_form *form = &basis->form;
    size_t entries = (size_t)form->features * (size_t)form->blocks;
    WALSH_TRY(walsh_alloc(&basis->signs, entries, sizeof *basis->signs, "signs of a hadamard head"));
    if (form->transform == WALSH_TRANSFORM_OVERLAPPED) return fill_overlapped(basis, seed);
    for (int i = 0; i < form->cores; i++) {
        size_t k = (size_t)form->order[i];
        WALSH_TRY(walsh_alloc(&basis->core[i], k * k, sizeof *basis->core[i], "a Paley matrix"));
        WALSH_TRY(walsh_paley(form->order[i], basis->core[i]));
    }
    return walsh_head_blocks(basis, seed);
}

walsh_status walsh_head_basis_open(const walsh_head_spec *spec, walsh_head_basis **basis)
{
    *basis = NULL;
    WALSH_TRY(walsh_head_check(spec));
    if (spec->kind != WALSH_HEAD_HADAMARD)
        WALSH_FAIL(WALSH_E_ARGUMENT, "head %s has no fast transform, expected hadamard",
                   walsh_head_kind_name(spec->kind));
    WALSH_TRY(walsh_alloc(basis, 1, sizeof **basis, "a hadamard head"));
    (*basis)->form = walsh_head_form_of(spec);
    walsh_status status = fill(*basis, spec->seed);
    if (status) walsh_head_basis_close(basis);
    return status;
}

void walsh_head_basis_close(walsh_head_basis **basis)
{
    if (!*basis) return;
    for (int i = 0; i < WALSH_HEAD_MAX_CORES; i++) free((*basis)->core[i]);
    free((*basis)->flips);
    free((*basis)->signs);
    free(*basis);
    *basis = NULL;
}

static void scale(double *x, size_t n, double by)
{
    for (size_t i = 0; i < n; i++) x[i] *= by;
}

static void fwht(double *x, size_t n)
{
    for (size_t half = 1; half < n; half *= 2)
        for (size_t at = 0; at < n; at += 2 * half)
            for (size_t i = at; i < at + half; i++) {
                double a = x[i], b = x[i + half];
                x[i] = a + b;
                x[i + half] = a - b;
            }
}

/* The product of a K x K matrix with K numbers that stand `stride` apart, in place. */
static void multiply_core(const float *core, size_t order, bool transposed, double *x, size_t stride)
{
    double from[WALSH_HEAD_MAX_CORE];
    for (size_t k = 0; k < order; k++) from[k] = x[k * stride];
    for (size_t r = 0; r < order; r++) {
        double sum = 0;
        for (size_t k = 0; k < order; k++) sum += (double)core[transposed ? k * order + r : r * order + k] * from[k];
        x[r * stride] = sum;
    }
}

/* Sylvester's matrix has no cores. */
static void apply_product(const walsh_head_basis *basis, bool transposed, double *x)
{
    size_t n = (size_t)basis->form.features, stride = (size_t)basis->form.power;
    for (size_t at = 0; at < n; at += stride) fwht(x + at, stride);
    for (int i = basis->form.cores - 1; i >= 0; i--) {
        size_t order = (size_t)basis->form.order[i];
        for (size_t at = 0; at < n; at += order * stride)
            for (size_t j = 0; j < stride; j++) multiply_core(basis->core[i], order, transposed, x + at + j, stride);
        stride *= order;
    }
    scale(x, n, 1 / sqrt((double)n));
}

static void flip(double *x, const float *signs, size_t n)
{
    for (size_t i = 0; i < n; i++) x[i] *= (double)signs[i];
}

static void apply_overlapped(const walsh_head_basis *basis, bool transposed, double *x)
{
    size_t p = (size_t)basis->form.power;
    for (int i = 0; i < WALSH_HEAD_STEPS; i++) {
        int step = transposed ? WALSH_HEAD_STEPS - 1 - i : i;
        double *window = x + basis->form.offset[step];
        if (!transposed) flip(window, basis->flips + (size_t)step * p, p);
        fwht(window, p);
        if (transposed) flip(window, basis->flips + (size_t)step * p, p);
        scale(window, p, 1 / sqrt((double)p));
    }
}

void walsh_head_basis_apply(const walsh_head_basis *basis, bool transposed, double *x)
{
    if (basis->form.transform == WALSH_TRANSFORM_OVERLAPPED)
        apply_overlapped(basis, transposed, x);
    else
        apply_product(basis, transposed, x);
}
