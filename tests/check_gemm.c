/* Matrix products by every variant, against double precision. */
#include "tests/op_case.h"

#include <math.h>

#include "engine/base/rng.h"
#include "engine/op/gemm_packed.h"

/* Element (i, j) of a matrix with `columns` columns, or of its transpose. */
static double element(const float *x, int columns, int transposed, int i, int j)
{
    return (double)(transposed ? x[(size_t)j * (size_t)columns + (size_t)i]
                               : x[(size_t)i * (size_t)columns + (size_t)j]);
}

static void reference(const walsh_gemm_problem *p, const float *a, const float *b, const float *bias, double *c)
{
    for (int i = 0; i < p->m; i++)
        for (int j = 0; j < p->n; j++) {
            double sum = bias ? (double)bias[j] : 0;
            for (int k = 0; k < p->k; k++)
                sum += element(a, p->ta ? p->m : p->k, p->ta, i, k) * element(b, p->tb ? p->k : p->n, p->tb, k, j);
            c[(size_t)i * (size_t)p->n + (size_t)j] += sum;
        }
}

/* `extra` floats of pitch more than needed in every matrix. */
static void one(const walsh_variant *variant, const walsh_gemm_problem *p, int extra)
{
    op_case k;
    if (op_case_left_out(&walsh_gemm, variant, p)) return;
    op_case_open(&k, &walsh_gemm, p, extra);
    size_t count = op_case_count(&k, WALSH_GEMM_C), width = (size_t)p->n;
    float *a = op_floats(op_case_count(&k, WALSH_GEMM_A)), *b = op_floats(op_case_count(&k, WALSH_GEMM_B));
    float *bias = op_floats(width), *c = op_floats(count);
    double *want = op_doubles(count);
    op_case_random(&k, WALSH_GEMM_A, 1, a);
    op_case_random(&k, WALSH_GEMM_B, 2, b);
    if (p->fuse & WALSH_FUSE_BIAS) op_case_random(&k, WALSH_GEMM_BIAS, 3, bias);
    if (p->fuse & WALSH_FUSE_ACCUMULATE)
        op_case_random(&k, WALSH_GEMM_C, 4, c);
    else
        op_case_poison(&k, WALSH_GEMM_C);
    for (size_t i = 0; i < count; i++) want[i] = c[i];
    reference(p, a, b, bias, want);
    op_case_run(&k, variant);
    op_case_get(&k, WALSH_GEMM_C, c);
    double error = op_error(c, want, count);
    if (!(error < 2e-7 * (2 + sqrt(p->k))))
        fail_msg("%s: m %d, n %d, k %d, ta %d, tb %d, fuse %u: error %g", variant->name, p->m, p->n, p->k, p->ta, p->tb,
                 p->fuse, error);
    op_case_close(&k);
    free(a), free(b), free(bias), free(c), free(want);
}

static bool runs_here(const walsh_variant *variant, const walsh_gemm_problem *p)
{
    return walsh_op_takes(op_device(), &walsh_gemm, variant, p);
}

/* Sizes around every tile: of registers (6, 16), of local memory (64, 16), of the caches (240, 2048, 256). */
static const int sizes[][3] = {{1, 1, 1},       {1, 10, 64},   {5, 3, 2},      {6, 16, 16},     {7, 17, 5},
                               {13, 31, 257},   {128, 10, 64}, {10, 64, 128},  {65, 66, 67},    {241, 35, 259},
                               {128, 100, 342}, {9, 530, 600}, {250, 64, 259}, {305, 133, 258}, {20, 2055, 9}};

static void every_layout(void **state)
{
    (void)state;
    for (const walsh_variant *const *v = walsh_gemm.variants; *v; v++)
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
            for (int t = 0; t < 4; t++) {
                /* Fused extras and pitches go round with the sizes and the layouts. */
                const unsigned extras = (unsigned)(i + (unsigned)t) % 4;
                const walsh_gemm_problem p = {.fuse = (extras & 1 ? WALSH_FUSE_BIAS : 0u) |
                                                      (extras & 2 ? WALSH_FUSE_ACCUMULATE : 0u),
                                              .m = sizes[i][0],
                                              .n = sizes[i][1],
                                              .k = sizes[i][2],
                                              .ta = t & 1,
                                              .tb = t >> 1};
                if (runs_here(*v, &p)) one(*v, &p, i % 3 ? 4 * (int)(i % 3) : 0);
            }
}

/* What B's panels need beyond the workspace is taken in several launches, which add up. */
static void parts_of_k(void **state)
{
    (void)state;
    const walsh_gemm_problem p = {.fuse = WALSH_FUSE_BIAS, .m = 241, .n = 4099, .k = 1030, .tb = 1};
    if (walsh_gemm_packed.suits(op_device(), &p)) one(&walsh_gemm_packed, &p, 0);
}

/* Pad lanes of C are zero whatever lies in those of B. */
static void pads_of_b_stay_out(void **state)
{
    const walsh_gemm_problem p = {.m = 9, .n = 18, .k = 8};
    float c[9 * 18], b[8 * 20];
    (void)state;
    for (int i = 0; i < 8 * 20; i++) b[i] = 1; /* pad lanes too */
    for (const walsh_variant *const *v = walsh_gemm.variants; *v; v++) {
        if (!runs_here(*v, &p)) continue;
        op_case k;
        op_case_open(&k, &walsh_gemm, &p, 0);
        op_case_set(&k, WALSH_GEMM_A, (float[9 * 8]){1, 2, 3});
        op_case_set_raw(&k, WALSH_GEMM_B, b);
        op_case_poison(&k, WALSH_GEMM_C);
        op_case_run(&k, *v);
        op_case_get(&k, WALSH_GEMM_C, c);
        assert_true(c[0] == 6 && c[17] == 6 && c[18] == 0);
        op_case_close(&k);
    }
}

/* The same numbers on one thread and on all. */
static void same_on_one_thread(walsh_gemm_problem p)
{
    walsh_device *const shared = op_device();
    const walsh_device_options options = {.threads = 1};
    size_t count = (size_t)p.m * (size_t)p.n;
    float *c[2] = {op_floats(count), op_floats(count)};
    float *a = op_floats((size_t)p.m * (size_t)p.k), *b = op_floats((size_t)p.n * (size_t)p.k);
    for (int run = 0; run < 2; run++) {
        op_case k;
        const walsh_variant *chosen;
        walsh_device *device = NULL;
        if (run) assert_ok(walsh_device_open(&options, &device));
        op_case_open_on(&k, run ? device : shared, &walsh_gemm, &p, 0);
        op_case_random(&k, WALSH_GEMM_A, 1, a);
        op_case_random(&k, WALSH_GEMM_B, 2, b);
        assert_ok(walsh_op_choose(k.device, &walsh_gemm, &p, &chosen));
        op_case_run(&k, chosen);
        op_case_get(&k, WALSH_GEMM_C, c[run]);
        op_case_close(&k);
        walsh_device_close(&device);
    }
    assert_memory_equal(c[0], c[1], count * sizeof **c);
    free(a), free(b), free(c[0]), free(c[1]);
}

static void threads_change_nothing(void **state)
{
    (void)state;
    if (!op_device_divides()) skip();
    same_on_one_thread((walsh_gemm_problem){.m = 250, .n = 300, .k = 520, .tb = 1});
    same_on_one_thread((walsh_gemm_problem){.m = 40, .n = 300, .k = 520});
}

/* On a GPU CLBlast takes all but tiny products, on a CPU none. */
static void rules(void **state)
{
    (void)state;
    walsh_device *fake;
    if (getenv("WALSH_DISABLE")) skip();
    assert_ok(walsh_alloc(&fake, 1, sizeof *fake, "a device"));
    fake->tiles = WALSH_TILES_GPU;
    fake->info.local_memory = 32768;
    const walsh_variant *chosen;
    walsh_gemm_problem p = {.fuse = WALSH_FUSE_BIAS, .m = 128, .n = 1000, .k = 512};
    assert_ok(walsh_op_choose(fake, &walsh_gemm, &p, &chosen));
    assert_string_equal(chosen->name, "gemm_clblast");
    p.n = 10;
    p.k = 64;
    assert_ok(walsh_op_choose(fake, &walsh_gemm, &p, &chosen));
    assert_string_equal(chosen->name, "gemm_plain");
    fake->tiles = WALSH_TILES_CPU;
    fake->info.local_memory = 1 << 19;
    p.n = 1000;
    assert_ok(walsh_op_choose(fake, &walsh_gemm, &p, &chosen));
    assert_string_equal(chosen->name, "gemm_packed");
    fake->info.local_memory = 32768;
    assert_ok(walsh_op_choose(fake, &walsh_gemm, &p, &chosen));
    assert_string_equal(chosen->name, "gemm_plain");
    free(fake);
}

static void wrong_sizes(void **state)
{
    (void)state;
    walsh_shape operand[WALSH_GEMM_OPERANDS];
    const walsh_gemm_problem p = {.m = 4, .n = 0, .k = 4};
    assert_fails(WALSH_E_ARGUMENT, "n 0", walsh_gemm.shapes(&p, operand));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_layout),           cmocka_unit_test(parts_of_k), cmocka_unit_test(pads_of_b_stay_out),
        cmocka_unit_test(threads_change_nothing), cmocka_unit_test(rules),      cmocka_unit_test(wrong_sizes),
    };
    return cmocka_run_group_tests(tests, NULL, op_device_close);
}
