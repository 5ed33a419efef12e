#include "engine/nn/head_matrix.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/rng.h"
#include "engine/base/status.h"
#include "engine/nn/head_signs.h"

static walsh_status check_dense(const walsh_head_spec *s)
{
    const char *name = walsh_head_kind_name(s->kind);
    if (s->features < 2)
        WALSH_FAIL(WALSH_E_ARGUMENT, "head %s: at least 2 features expected, found %d", name, s->features);
    if ((long long)s->features * s->classes > WALSH_HEAD_MAX_ENTRIES)
        WALSH_FAIL(WALSH_E_ARGUMENT, "head %s stores its matrix: at most %d entries, found %d classes x %d features",
                   name, WALSH_HEAD_MAX_ENTRIES, s->classes, s->features);
    return WALSH_OK;
}

static walsh_status check_hadamard(const walsh_head_spec *s)
{
    if (s->features < 2 || s->features > WALSH_HEAD_MAX_FEATURES)
        WALSH_FAIL(WALSH_E_ARGUMENT, "a hadamard head needs from 2 to %d features, found %d", WALSH_HEAD_MAX_FEATURES,
                   s->features);
    if (s->features < 30 && s->classes > 1 << s->features)
        WALSH_FAIL(WALSH_E_ARGUMENT,
                   "the signs of %d features tell at most 2^%d = %d classes apart: a hadamard head cannot have %d",
                   s->features, s->features, 1 << s->features, s->classes);
    return WALSH_OK;
}

walsh_status walsh_head_check(const walsh_head_spec *spec)
{
    if (spec->features < 1 || spec->classes < 1)
        WALSH_FAIL(WALSH_E_ARGUMENT, "a head needs at least 1 feature and 1 class, found %d and %d", spec->features,
                   spec->classes);
    if (spec->features > WALSH_HEAD_MAX_SIDE || spec->classes > WALSH_HEAD_MAX_SIDE)
        WALSH_FAIL(WALSH_E_ARGUMENT, "a head has at most 2^30 features and classes, found %d and %d", spec->features,
                   spec->classes);
    switch (spec->kind) {
    case WALSH_HEAD_LEARNED:
        return WALSH_OK;
    case WALSH_HEAD_ORTHONORMAL:
    case WALSH_HEAD_HADAMARD_PLAIN:
        return check_dense(spec);
    case WALSH_HEAD_HADAMARD:
        return check_hadamard(spec);
    }
    WALSH_FAIL(WALSH_E_ARGUMENT, "unknown kind of head %d", (int)spec->kind);
}

int walsh_head_plain_order(int features)
{
    int order = 1;
    while (order < features) order *= 2;
    return order;
}

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
    WALSH_TRY(walsh_head_check(spec));
    bool columns = spec->classes > spec->features;
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
