#include "engine/nn/head_signs.h"

#include <stdbool.h>
#include <stdlib.h>

#include "engine/base/status.h"

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
static uint64_t field_log(const field *f, uint32_t a)
{
    uint32_t i = 0;
    while (f->power[i] != a) i++;
    return i;
}

/* A coefficient of the functions below: its logarithm, unless it is zero. */
typedef struct coefficient {
    bool zero;
    uint64_t log;
} coefficient;

static coefficient coefficient_of(const field *f, uint32_t a)
{
    return (coefficient){.zero = a == 0, .log = a ? field_log(f, a) : 0};
}

/* Tr(a y^e) where y = g^i. */
static int monomial(const field *f, coefficient a, uint64_t i, uint64_t e)
{
    return a.zero ? 0 : f->trace[(a.log + i * e) % f->order];
}

static float sign_of(int exponent)
{
    return exponent & 1 ? -1.0f : 1.0f;
}

static void kerdock_signs(const field *f, int m, coefficient a, coefficient b, float *signs)
{
    signs[0] = signs[1] = 1; /* z = 0 */
    for (uint64_t i = 0; i < f->order; i++) {
        int form = monomial(f, b, i, 3), linear = monomial(f, a, i, 1);
        for (int j = 1; j <= (m - 2) / 2 && !a.zero; j++) form ^= f->trace[(i + a.log) * ((1u << j) + 1) % f->order];
        signs[2 * f->power[i]] = sign_of(form);
        signs[2 * f->power[i] + 1] = sign_of(form ^ linear);
    }
}

static void gold_signs(const field *f, coefficient a, coefficient b, float *signs)
{
    signs[0] = 1;
    for (uint64_t i = 0; i < f->order; i++) signs[f->power[i]] = sign_of(monomial(f, a, i, 3) ^ monomial(f, b, i, 5));
}

static int log2_of(int n)
{
    return 31 - __builtin_clz((unsigned)n);
}

/* Of the field that signs are made from. */
static int degree_of(int n)
{
    int m = log2_of(n);
    return m % 2 ? m : m - 1;
}

int walsh_head_close_blocks(int n)
{
    return n < 2 ? 0 : (1 << degree_of(n)) - 1;
}

int walsh_head_sign_blocks(int n)
{
    int degree = n < 2 ? 0 : degree_of(n);
    if (degree < 3 || n == 8) return walsh_head_close_blocks(n); /* the second term is equivalent to the first */
    return degree < 15 ? (1 << 2 * degree) - 1 : 1 << 30;
}

walsh_status walsh_head_signs(int n, int first, int count, float *signs)
{
    if (n < 2 || n & (n - 1) || n > WALSH_HEAD_MAX_FEATURES)
        WALSH_FAIL(WALSH_E_ARGUMENT, "head signs: %d features, expected a power of two from 2 to %d", n,
                   WALSH_HEAD_MAX_FEATURES);
    int m = log2_of(n), degree = degree_of(n), blocks = walsh_head_sign_blocks(n);
    if (first < 1 || count < 1 || count > blocks - first + 1)
        WALSH_FAIL(WALSH_E_ARGUMENT, "head signs: blocks %d to %d, expected 1 to %d with %d features", first,
                   first + count - 1, blocks, n);
    field f;
    WALSH_TRY(field_open(degree, &f));
    for (int i = first; i < first + count; i++, signs += n) {
        coefficient a = coefficient_of(&f, (uint32_t)i & f.order), b = coefficient_of(&f, (uint32_t)i >> degree);
        if (m % 2)
            gold_signs(&f, a, b, signs);
        else
            kerdock_signs(&f, m, a, b, signs);
    }
    field_close(&f);
    return WALSH_OK;
}
