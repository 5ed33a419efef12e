/* Hadamard heads of every size: rows against dense transforms in double precision that share no code with the fast
 * ones, orthogonality, cosines between all rows, and that no two classes are ever the same. */
#include "tests/check.h"

#include <math.h>
#include <string.h>

#include <walsh/head.h>

#include "engine/base/rng.h"
#include "engine/nn/head_basis.h"
#include "engine/nn/paley.h"

static double *doubles(size_t count)
{
    double *p = calloc(count, sizeof *p);
    assert_non_null(p);
    return p;
}

static int sylvester(int row, int column)
{
    return __builtin_popcount((unsigned)row & (unsigned)column) % 2 ? -1 : 1;
}

/* y = T x by the definition of T: every product with a dense matrix. */
static void dense_product(const walsh_head_basis *basis, const double *x, double *y)
{
    const walsh_head_form *form = &basis->form;
    int n = form->features, p = form->power;
    for (int row = 0; row < n; row++) {
        y[row] = 0;
        for (int column = 0; column < n; column++) {
            int r = row / p, k = column / p;
            double entry = sylvester(row % p, column % p) / sqrt(n);
            for (int i = form->cores - 1; i >= 0; r /= form->order[i], k /= form->order[i], i--)
                entry *= basis->core[i][r % form->order[i] * form->order[i] + k % form->order[i]];
            y[row] += entry * x[column];
        }
    }
}

static void dense_overlapped(const walsh_head_basis *basis, const double *x, double *y)
{
    const walsh_head_form *form = &basis->form;
    int n = form->features, p = form->power, expected[] = {0, n - p, (n - p) / 2};
    double *window = doubles((size_t)p);
    memcpy(y, x, sizeof *y * (size_t)n);
    for (int step = 0; step < 6; step++) {
        int at = expected[step % 3];
        assert_int_equal(form->offset[step], at);
        for (int j = 0; j < p; j++) window[j] = basis->flips[step * p + j] * y[at + j];
        for (int r = 0; r < p; r++) {
            y[at + r] = 0;
            for (int j = 0; j < p; j++) y[at + r] += sylvester(r, j) * window[j] / sqrt(p);
        }
    }
    free(window);
}

static void dense(const walsh_head_basis *basis, const double *x, double *y)
{
    if (basis->form.transform == WALSH_TRANSFORM_OVERLAPPED)
        dense_overlapped(basis, x, y);
    else
        dense_product(basis, x, y);
}

static double dot(const double *a, const double *b, int n)
{
    double sum = 0;
    for (int k = 0; k < n; k++) sum += a[k] * b[k];
    return sum;
}

/* The fast transform and its transpose are the dense one, which keeps lengths. */
static void check_transform(const walsh_head_basis *basis, const double *x, const double *tx)
{
    int n = basis->form.features;
    double *fast = doubles((size_t)n), *back = doubles((size_t)n);
    memcpy(fast, x, sizeof *x * (size_t)n);
    walsh_head_basis_apply(basis, false, fast);
    for (int k = 0; k < n; k++) assert_true(fabs(fast[k] - tx[k]) < 1e-11);
    assert_true(fabs(dot(fast, fast, n) - dot(x, x, n)) < 1e-11 * n);
    memcpy(back, tx, sizeof *x * (size_t)n);
    walsh_head_basis_apply(basis, true, back);
    for (int k = 0; k < n; k++) assert_true(fabs(back[k] - x[k]) < 1e-11);
    free(fast), free(back);
}

/* Rows first .. first+count-1 times x. */
static void check_rows(const walsh_head_spec *spec, const walsh_head_basis *basis, const double *x, int first,
                       int count)
{
    int n = spec->features, block = -1;
    float *q = malloc(sizeof *q * (size_t)n * (size_t)count);
    double *flipped = doubles((size_t)n), *z = doubles((size_t)n);
    assert_ok(walsh_head_rows(spec, first, count, q));
    for (int i = 0; i < count; i++) {
        int c = first + i;
        double sum = 0;
        if (c / (2 * n) != block) {
            block = c / (2 * n);
            for (int k = 0; k < n; k++) {
                float sign = basis->signs[(size_t)block * (size_t)n + (size_t)k];
                assert_true(sign == 1 || sign == -1);
                flipped[k] = (double)sign * x[k];
            }
            dense(basis, flipped, z);
        }
        for (int k = 0; k < n; k++) sum += (double)q[(size_t)i * (size_t)n + (size_t)k] * x[k];
        assert_true(fabs(sum - (c / n % 2 ? -z[c % n] : z[c % n])) < 2e-6);
    }
    free(q), free(flipped), free(z);
}

/* All rows, or some all over where there are many. */
static void one(int n, int classes, int stride, int count)
{
    walsh_head_spec spec = {.kind = WALSH_HEAD_HADAMARD, .features = n, .classes = classes, .seed = 7};
    walsh_head_basis *basis;
    double *x = doubles((size_t)n), *tx = doubles((size_t)n);
    walsh_rng rng = walsh_rng_make((uint64_t)n, WALSH_RNG_INIT, 0);
    for (int k = 0; k < n; k++) x[k] = walsh_rng_normal(rng, (uint64_t)k);
    assert_ok(walsh_head_basis_open(&spec, &basis));
    assert_int_equal(basis->form.blocks, (classes + 2 * n - 1) / (2 * n));
    dense(basis, x, tx);
    check_transform(basis, x, tx);
    for (int first = 0; first < classes; first += stride)
        check_rows(&spec, basis, x, first, classes - first < count ? classes - first : count);
    walsh_head_basis_close(&basis);
    assert_null(basis);
    free(x), free(tx);
}

static void every_size(void **state)
{
    (void)state;
    for (int n = 2; n <= 130; n++) {
        const int classes[] = {1, 2, n - 1, n, n + 1, 2 * n, 2 * n + 1, 5 * n};
        for (int i = 0; i < 8; i++)
            if (n > 29 || classes[i] <= 1 << n) one(n, classes[i], classes[i], classes[i]);
    }
}

static void named_sizes(void **state)
{
    (void)state;
    one(342, 100, 100, 100);
    one(960, 1000, 1000, 1000);
    one(1664, 1000, 500, 20);
    one(2048, 1000, 500, 20);
    one(512, 33278, 1000, 40);
    one(2048, 18291, 4090, 12);
}

/* The largest signed and absolute cosines of all pairs of rows, one by one. */
static void compare_all(const walsh_head_spec *spec, double *largest, double *absolute)
{
    int n = spec->features;
    float *q = malloc(sizeof *q * (size_t)n * (size_t)spec->classes);
    *largest = -1, *absolute = 0;
    assert_ok(walsh_head_rows(spec, 0, spec->classes, q));
    for (int a = 0; a < spec->classes; a++)
        for (int b = 0; b < a; b++) {
            const float *row = q + (size_t)a * (size_t)n, *other = q + (size_t)b * (size_t)n;
            float sum[4] = {0};
            int k = 0;
            for (; k + 4 <= n; k += 4)
                for (int j = 0; j < 4; j++) sum[j] += row[k + j] * other[k + j];
            for (; k < n; k++) sum[0] += row[k] * other[k];
            double cosine = (double)sum[0] + (double)sum[1] + (double)sum[2] + (double)sum[3];
            if (cosine > *largest) *largest = cosine;
            if (fabs(cosine) > *absolute) *absolute = fabs(cosine);
        }
    free(q);
}

static void check_report(int n, int classes)
{
    walsh_head_spec spec = {.kind = WALSH_HEAD_HADAMARD, .features = n, .classes = classes};
    walsh_head_report r;
    double largest, absolute;
    compare_all(&spec, &largest, &absolute);
    assert_ok(walsh_head_describe(&spec, &r));
    assert_true(r.evidence == WALSH_HEAD_MEASURED && r.pairs == (uint64_t)classes * ((uint64_t)classes - 1) / 2);
    assert_true(fabs(r.largest_cosine - largest) < 2e-6 && fabs(r.largest_absolute_cosine - absolute) < 2e-6);
    assert_true(largest < 1 - 1e-5);
}

static void reports_are_true(void **state)
{
    (void)state;
    for (int n = 2; n <= 130; n += n < 24 ? 1 : 3) {
        check_report(n, n);
        check_report(n, 2 * n);
        if (n > 4) check_report(n, 5 * n);
    }
    check_report(96, 500);
    check_report(64, 1000);
}

static void known_cosines(void **state)
{
    (void)state;
    const struct {
        int n, c;
        double cosine;
    } table[] = {{64, 100, 0},        {64, 1000, .125},      {512, 1000, 0},      {342, 100, 0},
                 {512, 33278, .0625}, {2048, 18291, .03125}, {960, 1000, 0},      {1664, 1000, 0},
                 {64, 130944, .25},   {512, 1000000, .125},  {1280, 6000, .1126}, {768, 4000, .1251}};
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        walsh_head_spec spec = {.kind = WALSH_HEAD_HADAMARD, .features = table[i].n, .classes = table[i].c};
        walsh_head_report r;
        assert_ok(walsh_head_describe(&spec, &r));
        assert_true(r.largest_cosine <= table[i].cosine && r.evidence != WALSH_HEAD_SAMPLED);
        assert_true(r.welch <= r.largest_absolute_cosine);
    }
}

static int by_bits(const void *a, const void *b)
{
    return memcmp(a, b, 11 * sizeof(float));
}

/* As many classes as there are signs: no row comes twice. Sorted by bits, equal rows would be neighbours. */
static void every_sign_is_used(void **state)
{
    (void)state;
    for (int n = 2; n <= 11; n++)
        for (uint64_t seed = 0; seed < 4; seed++) {
            walsh_head_spec spec = {.kind = WALSH_HEAD_HADAMARD, .features = n, .classes = 1 << n, .seed = seed};
            size_t count = (size_t)1 << n;
            float *q = malloc(sizeof *q * count * (size_t)n), *rows = calloc(count * 11, sizeof *rows);
            assert_ok(walsh_head_rows(&spec, 0, 1 << n, q));
            for (size_t c = 0; c < count; c++)
                for (size_t k = 0; k < (size_t)n; k++) {
                    rows[c * 11 + k] = roundf(q[c * (size_t)n + k] * 0x1p18f); /* 1e-6 off is the same */
                    rows[c * 11 + k] += 0.0f;                                  /* -0 is 0 */
                }
            qsort(rows, count, 11 * sizeof *rows, by_bits);
            for (size_t c = 1; c < count; c++) assert_true(by_bits(rows + c * 11, rows + (c - 1) * 11) != 0);
            free(q), free(rows);
        }
}

/* Squares modulo a prime by trying all; the matrices by Paley's definition. */
static void paley_matrices(void **state)
{
    (void)state;
    float h[WALSH_PALEY_MAX * WALSH_PALEY_MAX];
    const int orders[] = {12, 20, 28, 36, 44, 52, 60};
    for (int i = 0; i < 7; i++) {
        int k = orders[i], q = k - 1;
        bool second = k == 36 || k == 52, symmetric = true;
        assert_true(walsh_paley_exists(k));
        assert_ok(walsh_paley(k, h));
        for (int r = 0; r < k; r++)
            for (int s = 0; s < k; s++) {
                double sum = 0;
                for (int j = 0; j < k; j++) sum += (double)(h[r * k + j] * h[s * k + j]);
                assert_true(sum == (r == s ? k : 0) && fabsf(h[r * k + s]) == 1);
                if (h[r * k + s] != h[s * k + r]) symmetric = false;
            }
        assert_int_equal(symmetric, second);
        if (second || k == 28) continue; /* not a prime field */
        for (int r = 1; r < k; r++)
            for (int s = 1; s < k; s++) {
                bool square = r == s;
                for (int j = 1; j < q; j++) square |= j * j % q == (r - s + q) % q;
                assert_true(h[r * k + s] == (square ? 1 : -1));
            }
    }
    for (int k = 0; k <= 200; k++) assert_true(walsh_paley_exists(k) == false || (k % 4 == 0 && k <= 64));
    assert_fails(WALSH_E_ARGUMENT, "order 16", walsh_paley(16, h));
}

/* Which transform a size takes. */
static void forms(void **state)
{
    (void)state;
    const struct {
        int n, c, transform, power, cores, order[3];
    } want[] = {
        {2, 1, WALSH_TRANSFORM_SYLVESTER, 2, 0, {0}},         {3, 8, WALSH_TRANSFORM_OVERLAPPED, 2, 0, {0}},
        {12, 64, WALSH_TRANSFORM_PALEY, 1, 1, {12}},          {12, 65, WALSH_TRANSFORM_OVERLAPPED, 8, 0, {0}},
        {960, 1, WALSH_TRANSFORM_PALEY, 4, 2, {12, 20}},      {60, 1, WALSH_TRANSFORM_PALEY, 1, 1, {60}},
        {1280, 1, WALSH_TRANSFORM_PALEY, 64, 1, {20}},        {1664, 1, WALSH_TRANSFORM_PALEY, 32, 1, {52}},
        {36, 1, WALSH_TRANSFORM_PALEY, 1, 1, {36}},           {144, 1, WALSH_TRANSFORM_PALEY, 1, 2, {12, 12}},
        {68, 1, WALSH_TRANSFORM_OVERLAPPED, 64, 0, {0}},      {342, 1, WALSH_TRANSFORM_OVERLAPPED, 256, 0, {0}},
        {1728, 1, WALSH_TRANSFORM_PALEY, 1, 3, {12, 12, 12}},
    };
    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        walsh_head_spec spec = {.kind = WALSH_HEAD_HADAMARD, .features = want[i].n, .classes = want[i].c};
        walsh_head_form form = walsh_head_form_of(&spec);
        assert_int_equal(form.transform, want[i].transform);
        assert_int_equal(form.power, want[i].power);
        assert_int_equal(form.cores, want[i].cores);
        for (int k = 0; k < form.cores; k++) assert_int_equal(form.order[k], want[i].order[k]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(forms),
        cmocka_unit_test(paley_matrices),
        cmocka_unit_test(every_size),
        cmocka_unit_test(named_sizes),
        cmocka_unit_test(reports_are_true),
        cmocka_unit_test(known_cosines),
        cmocka_unit_test(every_sign_is_used),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
