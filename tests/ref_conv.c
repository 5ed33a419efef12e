#include "tests/ref_conv.h"

#include <math.h>

#include "engine/base/rng.h"
#include "tests/op_case.h"

size_t ref_conv_x(const walsh_conv *c)
{
    return (size_t)c->n * (size_t)c->h * (size_t)c->w * (size_t)c->ic;
}
size_t ref_conv_w(const walsh_conv *c)
{
    return (size_t)c->kh * (size_t)c->kw * (size_t)(c->ic / walsh_conv_groups(c)) * (size_t)c->oc;
}
size_t ref_conv_y(const walsh_conv *c)
{
    return (size_t)c->n * (size_t)walsh_conv_oh(c) * (size_t)walsh_conv_ow(c) * (size_t)c->oc;
}

void ref_conv(walsh_direction direction, const walsh_conv *c, double *x, double *w, double *y)
{
    walsh_reference_conv(direction, c, c->ic / walsh_conv_groups(c), x, w, y);
}

double *ref_conv_draw(size_t count, uint64_t seed)
{
    walsh_rng rng = {seed, 0};
    double *v = op_doubles(count);
    for (size_t i = 0; i < count; i++) v[i] = 2.0 * walsh_rng_uniform(rng, i) - 1;
    return v;
}

/* x, w and dy at random, and the gradient of one of the first two. */
typedef struct proof {
    walsh_conv c;
    size_t ny, count; /* elements of y, and of the operand that the gradient is of */
    double *x, *w, *dy, *y, *gradient;
    double *operand; /* x or w */
} proof;

static proof proof_open(walsh_conv c, ref_conv_operand of, uint64_t seed)
{
    proof p = {.c = c, .ny = ref_conv_y(&c), .count = of == REF_CONV_X ? ref_conv_x(&c) : ref_conv_w(&c)};
    p.x = ref_conv_draw(ref_conv_x(&c), seed), p.w = ref_conv_draw(ref_conv_w(&c), seed + 1);
    p.dy = ref_conv_draw(p.ny, seed + 2), p.y = op_doubles(p.ny), p.gradient = op_doubles(p.count);
    p.operand = of == REF_CONV_X ? p.x : p.w;
    if (of == REF_CONV_X)
        ref_conv(WALSH_DATA, &c, p.gradient, p.w, p.dy);
    else
        ref_conv(WALSH_FILTER, &c, p.x, p.gradient, p.dy);
    return p;
}

static void proof_close(proof *p)
{
    free(p->x), free(p->w), free(p->dy), free(p->y), free(p->gradient);
}

void ref_conv_prove_differences(ref_conv_operand of, int groups)
{
    walsh_conv c = {.n = 2, .h = 6, .w = 5, .ic = 3, .oc = 2, .kh = 3, .kw = 2, .stride = 2, .pad = 1};
    if (groups > 1) c.ic *= 3, c.oc *= 3, c.groups = groups, c.shuffled = 1;
    proof p = proof_open(c, of, 1);
    for (size_t i = 0; i < p.count; i++) {
        double difference = 0;
        for (int side = -1; side <= 1; side += 2) {
            p.operand[i] += 0.5 * side;
            ref_conv(WALSH_FORWARD, &c, p.x, p.w, p.y);
            p.operand[i] -= 0.5 * side;
            for (size_t k = 0; k < p.ny; k++) difference += side * p.y[k] * p.dy[k];
        }
        assert_true(fabs(p.gradient[i] - difference) < 1e-12);
    }
    proof_close(&p);
}

void ref_conv_prove_adjoint(ref_conv_operand of)
{
    const walsh_conv c = {.n = 3, .h = 9, .w = 7, .ic = 5, .oc = 6, .kh = 2, .kw = 3, .stride = 3, .pad = 2};
    proof p = proof_open(c, of, 4);
    double left = 0, right = 0;
    ref_conv(WALSH_FORWARD, &c, p.x, p.w, p.y);
    for (size_t i = 0; i < p.ny; i++) left += p.y[i] * p.dy[i];
    for (size_t i = 0; i < p.count; i++) right += p.operand[i] * p.gradient[i];
    assert_true(fabs(left) > 1e-3);
    assert_true(fabs(left - right) < 1e-12 * fabs(left) * (double)p.ny);
    proof_close(&p);
}
