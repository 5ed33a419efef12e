#include "engine/nn/head_matrix.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/rng.h"
#include "engine/base/status.h"

static bool is_power_of_two(int n)
{
    return n > 0 && !(n & (n - 1));
}

static int log2_of(int n)
{
    int m = 0;
    while (1 << m < n) m++;
    return m;
}

static walsh_status choose_orthonormal(const walsh_head_spec *s, walsh_construction *construction)
{
    if (s->features < 2)
        WALSH_FAIL(WALSH_E_ARGUMENT, "an orthonormal head needs at least 2 features, found %d", s->features);
    if ((long long)s->features * s->classes > WALSH_HEAD_MAX_ENTRIES)
        WALSH_FAIL(WALSH_E_ARGUMENT,
                   "an orthonormal head stores its matrix: at most %d entries, found %d classes x %d features",
                   WALSH_HEAD_MAX_ENTRIES, s->classes, s->features);
    *construction =
        s->classes <= s->features ? WALSH_CONSTRUCTION_ORTHONORMAL_ROWS : WALSH_CONSTRUCTION_ORTHONORMAL_COLUMNS;
    return WALSH_OK;
}

static walsh_status choose_hadamard(const walsh_head_spec *s, walsh_construction *construction)
{
    if (!is_power_of_two(s->features) || s->features < 2 || s->features > WALSH_HEAD_MAX_FEATURES)
        WALSH_FAIL(WALSH_E_ARGUMENT,
                   "a hadamard head needs a power of two from 2 to %d as its number of features, found %d",
                   WALSH_HEAD_MAX_FEATURES, s->features);
    if (s->classes > 2 * s->features)
        WALSH_FAIL(WALSH_E_ARGUMENT, "a hadamard head tells at most 2 x %d = %d classes apart, found %d", s->features,
                   2 * s->features, s->classes);
    *construction = log2_of(s->features) % 2 ? WALSH_CONSTRUCTION_GOLD : WALSH_CONSTRUCTION_KERDOCK;
    return WALSH_OK;
}

walsh_status walsh_head_choose(const walsh_head_spec *spec, walsh_construction *construction)
{
    if (spec->features < 1 || spec->classes < 1)
        WALSH_FAIL(WALSH_E_ARGUMENT, "a head needs at least 1 feature and 1 class, found %d and %d", spec->features,
                   spec->classes);
    if (spec->features > WALSH_HEAD_MAX_SIDE || spec->classes > WALSH_HEAD_MAX_SIDE)
        WALSH_FAIL(WALSH_E_ARGUMENT, "a head has at most 2^30 features and classes, found %d and %d", spec->features,
                   spec->classes);
    *construction = WALSH_CONSTRUCTION_LEARNED;
    switch (spec->kind) {
    case WALSH_HEAD_LEARNED:
        return WALSH_OK;
    case WALSH_HEAD_ORTHONORMAL:
        return choose_orthonormal(spec, construction);
    case WALSH_HEAD_HADAMARD:
        return choose_hadamard(spec, construction);
    }
    WALSH_FAIL(WALSH_E_ARGUMENT, "unknown kind of head %d", (int)spec->kind);
}

walsh_head_class walsh_head_locate(int features, int c)
{
    return (walsh_head_class){.block = c / features / 2 + 1, .sign = c / features % 2 ? -1 : 1, .row = c % features};
}

/* ---- GF(2^k): integers below 2^k as polynomials modulo `polynomial`. ---- */

static uint32_t field_multiply(uint32_t a, uint32_t b, uint32_t polynomial, int degree)
{
    uint32_t product = 0;
    for (; b; b >>= 1) {
        if (b & 1) product ^= a;
        a <<= 1;
        if (a >> degree) a ^= polynomial;
    }
    return product;
}

static uint32_t field_power(uint32_t a, uint32_t exponent, uint32_t polynomial, int degree)
{
    uint32_t power = 1;
    for (; exponent; exponent >>= 1) {
        if (exponent & 1) power = field_multiply(power, a, polynomial, degree);
        a = field_multiply(a, a, polynomial, degree);
    }
    return power;
}

/* Whether X has order 2^k - 1 modulo the polynomial. That order alone implies that the polynomial is irreducible:
 * modulo a product the order of X is smaller. */
static bool is_primitive(uint32_t polynomial, int degree)
{
    uint32_t order = (1u << degree) - 1, x = degree == 1 ? 1 : 2, rest = order;
    if (field_power(x, order, polynomial, degree) != 1) return false;
    for (uint32_t prime = 2; rest > 1; prime++) {
        if (prime * prime > rest) prime = rest;
        if (rest % prime) continue;
        while (rest % prime == 0) rest /= prime;
        if (field_power(x, order / prime, polynomial, degree) == 1) return false;
    }
    return true;
}

uint32_t walsh_primitive_polynomial(int degree)
{
    uint32_t polynomial = (1u << degree) + 1; /* the constant term of an irreducible polynomial is 1 */
    while (!is_primitive(polynomial, degree)) polynomial += 2;
    return polynomial;
}

/* Tr(y) = Σ_i y^(2^i), which is 0 or 1. */
static int field_trace(uint32_t y, uint32_t polynomial, int degree)
{
    uint32_t sum = 0;
    for (int i = 0; i < degree; i++, y = field_multiply(y, y, polynomial, degree)) sum ^= y;
    return (int)sum;
}

/* The powers of the generator g: power[i] = g^i and trace[i] = Tr(g^i) for i < order = 2^k - 1. With them a trace of
 * products is a sum of exponents and one look-up. */
typedef struct field {
    int degree;
    uint32_t order;
    uint32_t *power;
    uint8_t *trace;
} field;

static void field_close(field *f)
{
    free(f->power);
    free(f->trace);
}

static walsh_status field_open(int degree, field *f)
{
    uint32_t polynomial = walsh_primitive_polynomial(degree), mask = 0, y = 1;
    *f = (field){.degree = degree, .order = (1u << degree) - 1};
    walsh_status status = walsh_alloc(&f->power, f->order, sizeof *f->power, "a finite field");
    if (!status) status = walsh_alloc(&f->trace, f->order, sizeof *f->trace, "a finite field");
    if (status) {
        field_close(f);
        return status;
    }
    /* The trace is linear: Tr(y) is the parity of y & mask. */
    for (int i = 0; i < degree; i++) mask |= (uint32_t)field_trace(1u << i, polynomial, degree) << i;
    for (uint32_t i = 0; i < f->order; i++) {
        f->power[i] = y;
        f->trace[i] = (uint8_t)__builtin_parity(y & mask);
        y = degree == 1 ? 1 : field_multiply(y, 2, polynomial, degree);
    }
    return WALSH_OK;
}

/* The exponent i with g^i = a, 0 < a <= order. */
static uint32_t field_log(const field *f, uint32_t a)
{
    uint32_t i = 0;
    while (f->power[i] != a) i++;
    return i;
}

static float sign_of(int exponent)
{
    return exponent & 1 ? -1.0f : 1.0f;
}

static void kerdock_signs(const field *f, int m, int block, float *signs)
{
    uint32_t log_a = field_log(f, (uint32_t)block);
    signs[0] = signs[1] = 1; /* z = 0 */
    for (uint32_t i = 0; i < f->order; i++) {
        uint64_t az = (uint64_t)i + log_a; /* exponent of az where z = g^i */
        int form = 0;
        for (int j = 1; j <= (m - 2) / 2; j++) form ^= f->trace[az * ((1u << j) + 1) % f->order];
        signs[2 * f->power[i]] = sign_of(form);
        signs[2 * f->power[i] + 1] = sign_of(form ^ f->trace[az % f->order]);
    }
}

static void gold_signs(const field *f, int block, float *signs)
{
    uint32_t log_a = field_log(f, (uint32_t)block);
    signs[0] = 1;
    for (uint32_t i = 0; i < f->order; i++)
        signs[f->power[i]] = sign_of(f->trace[(3 * (uint64_t)i + log_a) % f->order]);
}

walsh_status walsh_head_signs(int features, int block, float *signs)
{
    if (!is_power_of_two(features) || features < 2 || features > WALSH_HEAD_MAX_FEATURES)
        WALSH_FAIL(WALSH_E_ARGUMENT, "head signs: %d features, expected a power of two from 2 to %d", features,
                   WALSH_HEAD_MAX_FEATURES);
    int m = log2_of(features), degree = m % 2 ? m : m - 1, blocks = (1 << degree) - 1;
    if (block < 1 || block > blocks)
        WALSH_FAIL(WALSH_E_ARGUMENT, "head signs: block %d, expected 1 to %d with %d features", block, blocks,
                   features);
    field f;
    WALSH_TRY(field_open(degree, &f));
    if (m % 2)
        gold_signs(&f, block, signs);
    else
        kerdock_signs(&f, m, block, signs);
    field_close(&f);
    return WALSH_OK;
}

/* ---- Orthonormal ---- */

/* Four sums, so that an addition need not wait for the one before. */
static double dot(const double *a, const double *b, size_t n)
{
    double sum[4] = {0};
    size_t i = 0;
    for (; i + 4 <= n; i += 4)
        for (size_t j = 0; j < 4; j++) sum[j] += a[i + j] * b[i + j];
    for (; i < n; i++) sum[0] += a[i] * b[i];
    return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

/* Makes `count` vectors of `length` orthonormal, in their order. Twice is enough (Giraud, Langou, Rozložník, 2005). */
static void orthonormalise(double *v, size_t count, size_t length)
{
    for (size_t i = 0; i < count; i++) {
        double *own = v + i * length;
        for (size_t earlier = 0; earlier < 2 * i; earlier++) {
            const double *other = v + earlier % i * length;
            double along = dot(own, other, length);
            for (size_t k = 0; k < length; k++) own[k] -= along * other[k];
        }
        double norm = sqrt(dot(own, own, length));
        for (size_t k = 0; k < length; k++) own[k] /= norm;
    }
}

walsh_status walsh_head_orthonormal(const walsh_head_spec *spec, float *q)
{
    walsh_construction construction;
    WALSH_TRY(walsh_head_choose(spec, &construction));
    bool columns = construction == WALSH_CONSTRUCTION_ORTHONORMAL_COLUMNS;
    size_t rows = (size_t)spec->classes, n = (size_t)spec->features;
    walsh_rng rng = walsh_rng_make(spec->seed, WALSH_RNG_HEAD, 0);
    double *v = NULL; /* vectors one after the other: the transpose of Q for columns */
    WALSH_TRY(walsh_alloc(&v, rows * n, sizeof *v, "an orthonormal head"));
    for (size_t c = 0; c < rows; c++)
        for (size_t k = 0; k < n; k++) v[columns ? k * rows + c : c * n + k] = walsh_rng_normal(rng, c * n + k);
    orthonormalise(v, columns ? n : rows, columns ? rows : n);
    for (size_t c = 0; c < rows; c++)
        for (size_t k = 0; k < n; k++) q[c * n + k] = (float)v[columns ? k * rows + c : c * n + k];
    free(v);
    return WALSH_OK;
}
