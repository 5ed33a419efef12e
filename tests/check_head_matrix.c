/* Matrices of fixed heads: the finite fields against a slow implementation that shares no code, bent functions,
 * coherence, orthonormality, and what is refused. */
#include "tests/check.h"

#include <limits.h>
#include <math.h>
#include <string.h>

#include <walsh/head.h>

#include "engine/base/rng.h"
#include "engine/nn/head_basis.h"
#include "engine/nn/head_matrix.h"
#include "engine/nn/head_signs.h"

/* ---- The slow field: carry-less product, then long division. ---- */

static int degree_of(uint64_t p)
{
    return 63 - __builtin_clzll(p);
}

static uint64_t remainder_of(uint64_t value, uint64_t p)
{
    while (value && degree_of(value) >= degree_of(p)) value ^= p << (degree_of(value) - degree_of(p));
    return value;
}

static uint64_t product(uint64_t a, uint64_t b, uint64_t p)
{
    uint64_t sum = 0;
    for (int i = 0; i < 32; i++)
        if (b >> i & 1) sum ^= a << i;
    return remainder_of(sum, p);
}

static uint64_t power(uint64_t a, unsigned exponent, uint64_t p)
{
    uint64_t result = 1;
    for (unsigned i = 0; i < exponent; i++) result = product(result, a, p);
    return result;
}

static int trace(uint64_t y, uint64_t p)
{
    uint64_t sum = 0;
    for (int i = 0; i < degree_of(p); i++, y = product(y, y, p)) sum ^= y;
    assert_true(sum <= 1);
    return (int)sum;
}

/* The order of X, by walking through its powers; 0 where they never return to 1. */
static uint64_t order_of_x(uint64_t p)
{
    uint64_t limit = (1ull << degree_of(p)) - 1, y = remainder_of(2, p);
    for (uint64_t order = 1; order <= limit; order++, y = remainder_of(y << 1, p))
        if (y == 1) return order;
    return 0;
}

static uint64_t slow_polynomial(int degree)
{
    uint64_t p = 1ull << degree;
    while (order_of_x(p) != (1ull << degree) - 1) p++;
    return p;
}

static void primitive_polynomials(void **state)
{
    (void)state;
    for (int degree = 1; degree <= 16; degree++)
        assert_int_equal(walsh_primitive_polynomial(degree), slow_polynomial(degree));
    /* x^24 + x^4 + x^3 + x + 1, by its order alone. */
    assert_int_equal(order_of_x(walsh_primitive_polynomial(24)), (1 << 24) - 1);
}

static int slow_exponent(int m, uint64_t a, uint64_t b, uint64_t x, uint64_t p)
{
    if (m % 2) return trace(product(a, power(x, 3, p), p), p) ^ trace(product(b, power(x, 5, p), p), p);
    uint64_t z = x >> 1, az = product(a, z, p);
    int f = (x & 1 ? trace(az, p) : 0) ^ trace(product(b, power(z, 3, p), p), p);
    for (int j = 1; j <= (m - 2) / 2; j++) f ^= trace(power(az, 1 + (1u << j), p), p);
    return f;
}

static void signs_match_their_definition(void **state)
{
    (void)state;
    float signs[512];
    for (int m = 1; m <= 9; m++) {
        int n = 1 << m, degree = m % 2 ? m : m - 1, blocks = walsh_head_sign_blocks(n);
        assert_int_equal(walsh_head_close_blocks(n), (1 << degree) - 1);
        assert_int_equal(blocks, m < 4 ? (1 << degree) - 1 : (1 << 2 * degree) - 1);
        uint64_t p = slow_polynomial(degree);
        for (int block = 1; block <= blocks; block += 1 + block / 2) {
            uint64_t a = (uint64_t)block % (1u << degree), b = (uint64_t)block >> degree;
            assert_ok(walsh_head_signs(n, block, 1, signs));
            for (int x = 0; x < n; x++) assert_true(signs[x] == (slow_exponent(m, a, b, (uint64_t)x, p) ? -1 : 1));
        }
    }
    assert_int_equal(walsh_head_sign_blocks(1), 0);
    assert_int_equal(walsh_head_sign_blocks(1 << 24), 1 << 30);
}

/* H d, plainly. */
static void spectrum(const float *d, int n, double *out)
{
    for (int r = 0; r < n; r++) {
        out[r] = 0;
        for (int x = 0; x < n; x++) out[r] += __builtin_parity((unsigned)r & (unsigned)x) ? -d[x] : d[x];
    }
}

/* m even: bent, every coefficient +-sqrt(N). m odd: 0 or +-sqrt(2N). The same for products of two diagonals, which is
 * what makes blocks nearly orthogonal to each other. */
static void flat_spectra(void **state)
{
    (void)state;
    for (int m = 1; m <= 11; m++) {
        int n = 1 << m, degree = m % 2 ? m : m - 1, blocks = (1 << degree) - 1;
        float one[2048], other[2048];
        double h[2048];
        assert_ok(walsh_head_signs(n, 1, 1, one));
        for (int a = 1; a <= blocks && a <= 5; a++) {
            assert_ok(walsh_head_signs(n, a, 1, other));
            for (int x = 0; x < n && a > 1; x++) other[x] *= one[x];
            spectrum(other, n, h);
            for (int r = 0; r < n; r++) assert_true(m % 2 ? h[r] == 0 || h[r] * h[r] == 2.0 * n : h[r] * h[r] == n);
        }
    }
}

/* The larger sets: their members differ by functions whose spectra reach twice as far. */
static void wider_spectra(void **state)
{
    (void)state;
    for (int m = 4; m <= 9; m++) {
        int n = 1 << m, blocks = walsh_head_sign_blocks(n);
        float one[512], other[512];
        double h[512], bound = 2 * sqrt((m % 2 ? 2.0 : 1.0) * n);
        for (int a = 1; a < blocks; a += blocks / 7)
            for (int b = a + 1; b <= blocks; b += 1 + blocks / 31) {
                assert_ok(walsh_head_signs(n, a, 1, one));
                assert_ok(walsh_head_signs(n, b, 1, other));
                for (int x = 0; x < n; x++) other[x] *= one[x];
                spectrum(other, n, h);
                for (int r = 0; r < n; r++) assert_true(fabs(h[r]) <= bound);
            }
    }
}

static double row_dot(const float *a, const float *b, int n, int stride)
{
    double sum = 0;
    for (int k = 0; k < n; k++) sum += (double)a[k * stride] * b[k * stride];
    return sum;
}

static void hadamard_rows_are_orthogonal(void **state)
{
    (void)state;
    for (int n = 2; n <= 128; n *= 2) {
        walsh_head_spec spec = {.kind = WALSH_HEAD_HADAMARD, .features = n, .classes = 2 * n};
        float *q = malloc(sizeof *q * (size_t)(2 * n * n)), *tail = malloc(sizeof *tail * (size_t)n),
              *signs = malloc(sizeof *signs * (size_t)n);
        assert_ok(walsh_head_rows(&spec, 0, 2 * n, q));
        assert_ok(walsh_head_rows(&spec, 2 * n - 1, 1, tail));
        assert_memory_equal(tail, q + (2 * n - 1) * n, sizeof *tail * (size_t)n);
        assert_ok(walsh_head_signs(n, 1, 1, signs));
        for (int i = 0; i < 2 * n; i++)
            for (int j = 0; j < 2 * n; j++) {
                double want = i == j ? 1 : i % n == j % n ? -1 : 0;
                assert_true(fabs(row_dot(q + i * n, q + j * n, n, 1) - want) < 1e-6);
            }
        for (int i = 0; i < n; i++)
            for (int k = 0; k < n; k++) {
                float entry = (float)(1 / sqrt(n)) * signs[k];
                assert_true(q[i * n + k] == (__builtin_parity((unsigned)i & (unsigned)k) ? -entry : entry));
            }
        free(q), free(tail), free(signs);
    }
}

/* Orthonormal, and by the rule that defines it: vector i is orthogonal to the earlier Gaussian vectors and points along
 * its own, which is what the QR decomposition with a positive diagonal of R says. */
static void orthonormal(int n, int c, uint64_t seed)
{
    walsh_head_spec spec = {.kind = WALSH_HEAD_ORTHONORMAL, .features = n, .classes = c, .seed = seed};
    size_t entries = (size_t)n * (size_t)c;
    float *q = malloc(sizeof *q * entries);
    double *g = malloc(sizeof *g * entries);
    walsh_rng rng = walsh_rng_make(seed, WALSH_RNG_HEAD, 0);
    for (size_t i = 0; i < entries; i++) g[i] = walsh_rng_normal(rng, i);
    assert_ok(walsh_head_rows(&spec, 0, c, q));
    int count = c <= n ? c : n, length = c <= n ? n : c, step = c <= n ? n : 1, stride = c <= n ? 1 : n;
    for (int i = 0; i < count; i++) {
        for (int j = 0; j <= i; j++)
            assert_true(fabs(row_dot(q + i * step, q + j * step, length, stride) - (i == j)) < 1e-6);
        for (int j = 0; j <= i; j++) {
            double along = 0;
            for (int k = 0; k < length; k++) along += q[i * step + k * stride] * g[j * step + k * stride];
            assert_true(i == j ? along > 0 : fabs(along) < 1e-5);
        }
    }
    free(q), free(g);
}

static void orthonormal_heads(void **state)
{
    (void)state;
    orthonormal(64, 10, 0);
    orthonormal(64, 64, 1);
    orthonormal(64, 100, 2);
    orthonormal(2, 1, 3);
    orthonormal(3, 50, 4);
    orthonormal(130, 129, UINT64_MAX);
    float a[8], b[8];
    walsh_head_spec spec = {.kind = WALSH_HEAD_ORTHONORMAL, .features = 4, .classes = 2, .seed = 1};
    assert_ok(walsh_head_rows(&spec, 0, 2, a));
    spec.seed = 2;
    assert_ok(walsh_head_rows(&spec, 0, 2, b));
    assert_memory_not_equal(a, b, sizeof a);
}

static walsh_head_report report_of(walsh_head_kind kind, int n, int c)
{
    walsh_head_spec spec = {.kind = kind, .features = n, .classes = c, .seed = 1};
    walsh_head_report report;
    assert_ok(walsh_head_describe(&spec, &report));
    return report;
}

static void reports(void **state)
{
    (void)state;
    walsh_head_report r = report_of(WALSH_HEAD_HADAMARD, 64, 100);
    assert_string_equal(r.construction, "+-Hadamard, Kerdock signs");
    assert_true(r.evidence == WALSH_HEAD_MEASURED && r.pairs == 4950);
    assert_true(r.largest_cosine == 0 && r.largest_absolute_cosine == 1);
    assert_true(fabs(r.welch - 0.0754) < 1e-4);
    assert_true(r.learned.parameters == 6500 && r.own.parameters == 101);
    assert_true(r.learned.optimizer_bytes == 26000 && r.own.sync_bytes == 404);

    r = report_of(WALSH_HEAD_HADAMARD, 512, 512);
    assert_string_equal(r.construction, "Hadamard, Gold signs");
    assert_true(r.largest_cosine == 0 && r.largest_absolute_cosine == 0 && r.welch == 0);
    r = report_of(WALSH_HEAD_HADAMARD, 2048, 4096);
    assert_true(r.evidence == WALSH_HEAD_MEASURED && r.largest_cosine == 0 && r.largest_absolute_cosine == 1);
    assert_true(r.own.flops < r.learned.flops / 100);
    r = report_of(WALSH_HEAD_HADAMARD, 2, 1);
    assert_true(r.largest_cosine == 0 && r.pairs == 0);

    r = report_of(WALSH_HEAD_HADAMARD, 512, 1000000);
    assert_string_equal(r.construction, "+-Hadamard, BCH signs");
    assert_true(r.evidence == WALSH_HEAD_KNOWN && r.largest_cosine == 0.125);
    assert_true(fabs(r.sampled_cosine - 0.125) < 1e-12 && r.pairs >= 1000000);
    r = report_of(WALSH_HEAD_HADAMARD, 960, 5000);
    assert_string_equal(r.construction, "+-Hadamard 12 x 20 x 4 (Paley x Sylvester), hashed x Kerdock signs, hashed"
                                        " from block 2");
    r = report_of(WALSH_HEAD_HADAMARD, 342, 100);
    assert_string_equal(r.construction, "overlapped Walsh-Hadamard transforms of 256, hashed signs");
    r = report_of(WALSH_HEAD_HADAMARD, 1 << 20, 1 << 22);
    assert_true(r.evidence == WALSH_HEAD_MEASURED && fabs(r.largest_cosine - 0x1p-10) < 1e-12);

    r = report_of(WALSH_HEAD_ORTHONORMAL, 64, 10);
    assert_true(r.evidence == WALSH_HEAD_MEASURED && r.largest_absolute_cosine < 1e-6);
    r = report_of(WALSH_HEAD_ORTHONORMAL, 1 << 15, 1 << 8);
    assert_true(r.evidence == WALSH_HEAD_KNOWN && r.largest_absolute_cosine == 0);
    assert_true(r.pairs >= 10000 && fabs(r.sampled_cosine) < 1e-6);
    r = report_of(WALSH_HEAD_ORTHONORMAL, 1 << 14, 1 << 14);
    assert_true(r.evidence == WALSH_HEAD_KNOWN && r.largest_absolute_cosine == 0 && r.pairs == 0);
    r = report_of(WALSH_HEAD_ORTHONORMAL, 8, 40);
    assert_true(r.largest_absolute_cosine >= r.welch && r.largest_absolute_cosine <= 1);
    assert_string_equal(r.construction, "random orthonormal columns");
    r = report_of(WALSH_HEAD_ORTHONORMAL, 4, 30000);
    assert_true(r.evidence == WALSH_HEAD_SAMPLED && r.largest_cosine > 0.99 && r.pairs >= 1000);

    r = report_of(WALSH_HEAD_LEARNED, 64, 10);
    assert_true(isnan(r.largest_cosine) && r.own.parameters == 650);
}

/* The published code's matrix: twins counted and cosines measured one by one. */
static void plain_heads(void **state)
{
    (void)state;
    const int sizes[][2] = {{64, 100}, {64, 64}, {12, 40}, {5, 7}, {6, 5}, {2, 9}, {100, 3}, {33, 64}, {33, 2}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        int n = sizes[i][0], classes = sizes[i][1];
        walsh_head_spec spec = {.kind = WALSH_HEAD_HADAMARD_PLAIN, .features = n, .classes = classes};
        walsh_head_report r = report_of(spec.kind, n, classes);
        float q[100 * 64];
        double largest = -1, absolute = 0;
        uint64_t twins = 0;
        assert_ok(walsh_head_rows(&spec, 0, classes, q));
        for (int a = 0; a < classes; a++)
            for (int b = 0; b < a; b++) {
                double cosine = row_dot(q + a * n, q + b * n, n, 1);
                if (cosine > largest) largest = cosine;
                if (fabs(cosine) > absolute) absolute = fabs(cosine);
                twins += !memcmp(q + a * n, q + b * n, sizeof *q * (size_t)n);
            }
        assert_true(r.identical_pairs == twins && r.evidence == WALSH_HEAD_MEASURED);
        assert_true(fabs(r.largest_cosine - largest) < 1e-6 && fabs(r.largest_absolute_cosine - absolute) < 1e-6);
    }
    assert_int_equal(report_of(WALSH_HEAD_HADAMARD_PLAIN, 64, 100).identical_pairs, 36);
}

static void seeds(void **state)
{
    (void)state;
    const struct {
        walsh_head_kind kind;
        int n, c;
        bool seeded;
    } heads[] = {{WALSH_HEAD_LEARNED, 64, 10, false},       {WALSH_HEAD_ORTHONORMAL, 64, 10, true},
                 {WALSH_HEAD_HADAMARD_PLAIN, 60, 9, false}, {WALSH_HEAD_HADAMARD, 64, 130944, false},
                 {WALSH_HEAD_HADAMARD, 64, 130945, true},   {WALSH_HEAD_HADAMARD, 60, 9, true},
                 {WALSH_HEAD_HADAMARD, 342, 9, true}};
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++) {
        walsh_head_spec spec = {heads[i].kind, heads[i].n, heads[i].c, 1};
        float one[342], other[342];
        assert_int_equal(walsh_head_seeded(&spec), heads[i].seeded);
        if (spec.kind == WALSH_HEAD_LEARNED) continue;
        assert_ok(walsh_head_rows(&spec, spec.classes - 1, 1, one));
        spec.seed = 2;
        assert_ok(walsh_head_rows(&spec, spec.classes - 1, 1, other));
        assert_int_equal(memcmp(one, other, sizeof *one * (size_t)spec.features) != 0, heads[i].seeded);
    }
}

static void names(void **state)
{
    (void)state;
    const char *const all[] = {"learned", "orthonormal", "hadamard", "hadamard-plain"};
    for (int i = 0; i < 4; i++) {
        walsh_head_kind kind;
        assert_ok(walsh_head_kind_parse(all[i], &kind));
        assert_string_equal(walsh_head_kind_name(kind), all[i]);
    }
    walsh_head_kind kind;
    assert_fails(WALSH_E_ARGUMENT, "'fixed'", walsh_head_kind_parse("fixed", &kind));
    assert_fails(WALSH_E_ARGUMENT, "hadamard", walsh_head_kind_parse(NULL, &kind));
    assert_string_equal(walsh_head_kind_name((walsh_head_kind)7), "unknown");
}

static void refusals(void **state)
{
    (void)state;
    float q[64];
    const struct {
        walsh_head_spec spec;
        const char *part;
    } bad[] = {
        {{WALSH_HEAD_HADAMARD, 0, 100, 0}, "found 0 and 100"},
        {{WALSH_HEAD_HADAMARD, 64, 0, 0}, "found 64 and 0"},
        {{WALSH_HEAD_HADAMARD, 12, 4097, 0}, "at most 2^12 = 4096 classes apart: a hadamard head cannot have 4097"},
        {{WALSH_HEAD_HADAMARD, 2, 5, 0}, "2^2 = 4 classes"},
        {{WALSH_HEAD_HADAMARD, 29, 1 << 30, 0}, "2^29 = 536870912 classes"},
        {{WALSH_HEAD_HADAMARD, 1, 1, 0}, "from 2 to 16777216 features, found 1"},
        {{WALSH_HEAD_HADAMARD_PLAIN, 1, 1, 0}, "head hadamard-plain: at least 2 features"},
        {{WALSH_HEAD_HADAMARD_PLAIN, 1 << 20, 1 << 20, 0}, "268435456 entries"},
        {{WALSH_HEAD_HADAMARD, 1 << 25, 1, 0}, "16777216"},
        {{WALSH_HEAD_ORTHONORMAL, 1, 1, 0}, "head orthonormal: at least 2 features"},
        {{WALSH_HEAD_ORTHONORMAL, 1 << 20, 1 << 20, 0}, "268435456 entries"},
        {{WALSH_HEAD_LEARNED, 0, 10, 0}, "found 0 and 10"},
        {{WALSH_HEAD_LEARNED, 10, -1, 0}, "found 10 and -1"},
        {{WALSH_HEAD_LEARNED, 10, INT_MAX, 0}, "at most 2^30"},
        {{WALSH_HEAD_LEARNED, INT_MAX, 10, 0}, "at most 2^30"},
        {{(walsh_head_kind)9, 8, 8, 0}, "unknown kind"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        walsh_head_report report;
        assert_fails(WALSH_E_ARGUMENT, bad[i].part, walsh_head_check(&bad[i].spec));
        assert_fails(WALSH_E_ARGUMENT, bad[i].part, walsh_head_describe(&bad[i].spec, &report));
        assert_fails(WALSH_E_ARGUMENT, bad[i].part, walsh_head_rows(&bad[i].spec, 0, 1, q));
    }
    walsh_head_spec spec = {.kind = WALSH_HEAD_HADAMARD, .features = 8, .classes = 8};
    assert_fails(WALSH_E_ARGUMENT, "rows 4 to 8", walsh_head_rows(&spec, 4, 5, q));
    assert_fails(WALSH_E_ARGUMENT, "rows -1", walsh_head_rows(&spec, -1, 1, q));
    spec.kind = WALSH_HEAD_LEARNED;
    assert_fails(WALSH_E_ARGUMENT, "no fixed matrix", walsh_head_rows(&spec, 0, 1, q));
    assert_fails(WALSH_E_ARGUMENT, "blocks 1023 to 1024", walsh_head_signs(64, 1023, 2, q));
    assert_fails(WALSH_E_ARGUMENT, "blocks 0 to 0", walsh_head_signs(64, 0, 1, q));
    assert_fails(WALSH_E_ARGUMENT, "12 features", walsh_head_signs(12, 1, 1, q));
    walsh_head_basis *basis;
    spec.kind = WALSH_HEAD_ORTHONORMAL;
    assert_fails(WALSH_E_ARGUMENT, "orthonormal has no fast transform", walsh_head_basis_open(&spec, &basis));
    assert_null(basis);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(primitive_polynomials),
        cmocka_unit_test(signs_match_their_definition),
        cmocka_unit_test(flat_spectra),
        cmocka_unit_test(wider_spectra),
        cmocka_unit_test(orthonormal_heads),
        cmocka_unit_test(hadamard_rows_are_orthogonal),
        cmocka_unit_test(reports),
        cmocka_unit_test(plain_heads),
        cmocka_unit_test(seeds),
        cmocka_unit_test(names),
        cmocka_unit_test(refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
