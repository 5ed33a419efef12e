/* Stochastic gradient descent over several steps, against double precision. */
#include "tests/op_case.h"

#include "engine/op/sgd.h"

static const float hyper[4] = {0.05f, 0.9f, 0.01f, 0.25f};

/* One step as interface.md writes it. */
static void reference(const walsh_sgd_problem *p, const float *g, double *v, double *w)
{
    for (int i = 0; i < p->elements; i++) {
        double d = (double)hyper[3] * g[i] + (i < p->decayed ? (double)hyper[2] : 0) * w[i];
        v[i] = (double)hyper[1] * v[i] + d;
        w[i] -= (double)hyper[0] * (p->nesterov ? d + (double)hyper[1] * v[i] : v[i]);
    }
}

static void steps_of(const walsh_variant *variant, int elements, int decayed, int nesterov)
{
    const walsh_sgd_problem p = {.elements = elements, .decayed = decayed, .nesterov = nesterov};
    if (op_case_left_out(&walsh_sgd, variant, &p)) return;
    size_t count = (size_t)elements;
    float *g = op_floats(count), *v = op_floats(count), *w = op_floats(count);
    double *want_v = op_doubles(count), *want_w = op_doubles(count);
    op_case k;
    op_case_open(&k, &walsh_sgd, &p, 0);
    op_case_set(&k, WALSH_SGD_HYPER, hyper);
    op_case_random(&k, WALSH_SGD_V, 1, v);
    op_case_random(&k, WALSH_SGD_W, 2, w);
    for (size_t i = 0; i < count; i++) want_v[i] = v[i], want_w[i] = w[i];
    for (int step = 0; step < 3; step++) {
        op_case_random(&k, WALSH_SGD_G, (uint64_t)(10 + step), g);
        reference(&p, g, want_v, want_w);
        op_case_run(&k, variant);
    }
    op_case_get(&k, WALSH_SGD_V, v);
    op_case_get(&k, WALSH_SGD_W, w);
    assert_true(op_error(v, want_v, count) < 3e-7);
    assert_true(op_error(w, want_w, count) < 3e-7);
    op_case_close(&k);
    free(g), free(v), free(w), free(want_v), free(want_w);
}

static void against_double(void **state)
{
    static const int cases[][2] = {{4, 0}, {4, 4}, {12, 4}, {1028, 516}, {272476, 272472}};
    (void)state;
    for (const walsh_variant *const *v = walsh_sgd.variants; *v; v++)
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
            for (int nesterov = 0; nesterov < 2; nesterov++) steps_of(*v, cases[i][0], cases[i][1], nesterov);
}

static void wrong_sizes(void **state)
{
    walsh_shape operand[WALSH_SGD_OPERANDS];
    walsh_sgd_problem p = {.elements = 6};
    (void)state;
    assert_fails(WALSH_E_ARGUMENT, "multiple of 4", walsh_sgd.shapes(&p, operand));
    p = (walsh_sgd_problem){.elements = 8, .decayed = 12};
    assert_fails(WALSH_E_ARGUMENT, "12 of 8", walsh_sgd.shapes(&p, operand));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(against_double),
        cmocka_unit_test(wrong_sizes),
    };
    return cmocka_run_group_tests(tests, NULL, op_device_close);
}
