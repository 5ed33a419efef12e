#include "engine/nn/head_matrix.h"

#include <stdlib.h>

#include "engine/base/rng.h"
#include "engine/base/status.h"
#include "engine/base/task.h"
#include "engine/nn/head_signs.h"
#include "engine/nn/orthonormal.h"

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

/* What turns random panels of vectors into Q, whose rows or columns they are. */
typedef struct making {
    const walsh_head_spec *spec;
    double *panels;
    float *q;
    size_t count, length; /* of the vectors */
} making;

/* Where entry i of vector v stands in Q. */
static size_t place(const making *m, size_t v, size_t i)
{
    size_t n = (size_t)m->spec->features;
    return m->spec->classes > m->spec->features ? i * n + v : v * n + i;
}

static void draw(void *context, size_t panel)
{
    const making *m = context;
    const walsh_rng rng = walsh_rng_make(m->spec->seed, WALSH_RNG_HEAD, 0);
    double *to = m->panels + panel * WALSH_PANEL * walsh_panel_length(m->length);
    for (size_t i = 0; i < m->length; i++)
        for (size_t k = 0; k < WALSH_PANEL && panel * WALSH_PANEL + k < m->count; k++)
            to[i * WALSH_PANEL + k] = walsh_rng_normal(rng, place(m, panel * WALSH_PANEL + k, i));
}

static void put(void *context, size_t panel)
{
    const making *m = context;
    const double *from = m->panels + panel * WALSH_PANEL * walsh_panel_length(m->length);
    for (size_t i = 0; i < m->length; i++)
        for (size_t k = 0; k < WALSH_PANEL && panel * WALSH_PANEL + k < m->count; k++)
            m->q[place(m, panel * WALSH_PANEL + k, i)] = (float)from[i * WALSH_PANEL + k];
}

walsh_status walsh_head_orthonormal(const walsh_head_spec *spec, float *q)
{
    WALSH_TRY(walsh_head_check(spec));
    size_t rows = (size_t)spec->classes, n = (size_t)spec->features;
    making m = {.spec = spec, .q = q, .count = rows < n ? rows : n, .length = rows < n ? n : rows};
    size_t vectors = walsh_panel_vectors(m.count);
    WALSH_TRY(walsh_alloc(&m.panels, vectors * walsh_panel_length(m.length), sizeof *m.panels, "an orthonormal head"));
    walsh_task_share(vectors / WALSH_PANEL, draw, &m);
    walsh_status status = walsh_orthonormalise(m.panels, m.count, m.length);
    if (!status) walsh_task_share(vectors / WALSH_PANEL, put, &m);
    free(m.panels);
    return status;
}
