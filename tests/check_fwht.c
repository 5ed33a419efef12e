/* The fast Walsh-Hadamard transform against the dense matrix, and by what defines it: linearity, impulses, H(Hx) = n x.
 */
#include "tests/op_case.h"

#include <math.h>

#include <walsh/head.h>

#include "engine/op/fwht.h"

static double entry(size_t row, size_t column)
{
    return __builtin_parityll(row & column) ? -1.0 : 1.0;
}

/* In double precision, stage by stage; dense_agrees holds it against the matrix. */
static void reference(double *x, size_t n)
{
    for (size_t h = 1; h < n; h *= 2)
        for (size_t i = 0; i < n; i++)
            if (!(i & h)) {
                double a = x[i], b = x[i | h];
                x[i] = a + b, x[i | h] = a - b;
            }
}

static void dense_agrees(void **state)
{
    (void)state;
    for (size_t n = 2; n <= 64; n *= 2)
        for (size_t at = 0; at < n; at++) {
            double x[64] = {0};
            x[at] = 1;
            reference(x, n);
            for (size_t k = 0; k < n; k++) assert_true(x[k] == entry(k, at));
        }
}

static void want_rows(const walsh_fwht_problem *p, const float *x, const float *sign, double *want)
{
    size_t n = (size_t)p->n;
    for (size_t r = 0; r < (size_t)p->rows; r++) {
        double *row = want + r * n;
        for (size_t k = 0; k < n; k++) row[k] = x[r * n + k] * (p->sign == WALSH_FWHT_SIGN_INPUT ? sign[k] : 1);
        reference(row, n);
        for (size_t k = 0; k < n; k++) row[k] *= p->scale * (p->sign == WALSH_FWHT_SIGN_OUTPUT ? sign[k] : 1);
    }
}

/* A transform is in place where the view of Y is that of X. */
static void run_in_place(op_case *k, const walsh_variant *variant, bool in_place)
{
    walsh_tensor *y = k->tensor[WALSH_FWHT_Y];
    if (in_place) k->tensor[WALSH_FWHT_Y] = k->tensor[WALSH_FWHT_X];
    op_case_run(k, variant);
    k->tensor[WALSH_FWHT_Y] = y;
}

static void one(int rows, int n, int sign_mode, bool in_place)
{
    walsh_fwht_problem p = {.rows = rows, .n = n, .scale = (float)(1 / sqrt(n)), .sign = sign_mode};
    op_case k;
    if (op_case_left_out(&walsh_fwht_rows, NULL, &p)) return;
    op_case_open(&k, &walsh_fwht_rows, &p, 8);
    size_t count = op_case_count(&k, WALSH_FWHT_X);
    float *x = op_floats(count), *y = op_floats(count), *sign = op_floats((size_t)n);
    double *want = op_doubles(count);
    if (sign_mode) {
        op_case_random(&k, WALSH_FWHT_SIGN, 7, sign);
        for (int i = 0; i < n; i++) sign[i] = sign[i] < 0 ? -1.0f : 1.0f;
        op_case_set(&k, WALSH_FWHT_SIGN, sign);
    }
    for (const walsh_variant *const *v = walsh_fwht_rows.variants; *v; v++) {
        if (!(*v)->suits(k.device, &p) || op_case_left_out(&walsh_fwht_rows, *v, &p)) continue;
        op_case_random(&k, WALSH_FWHT_X, 3, x);
        want_rows(&p, x, sign, want);
        op_case_poison(&k, WALSH_FWHT_Y);
        run_in_place(&k, *v, in_place);
        op_case_get(&k, in_place ? WALSH_FWHT_X : WALSH_FWHT_Y, y);
        double error = op_error(y, want, count);
        if (!(error < 1e-6)) fail_msg("%s: %d rows of %d, sign %d: error %g", (*v)->name, rows, n, sign_mode, error);
    }
    op_case_close(&k);
    free(x), free(y), free(sign), free(want);
}

static void all_modes(int n)
{
    one(1, n, WALSH_FWHT_NO_SIGN, false);
    one(3, n, WALSH_FWHT_SIGN_INPUT, true);
    one(17, n, WALSH_FWHT_SIGN_OUTPUT, false);
}

static void shapes(void **state)
{
    (void)state;
    for (int n = 2; n <= 1 << 14; n *= 2) all_modes(n);
    one(130, 64, WALSH_FWHT_SIGN_INPUT, false);
}

/* Where rows pass a block: 2^16 and on, first by each radix of what then follows; where several share what is taken at a
 * time: 40 of 2^16; and where one is more than that: 2^22. */
static void long_rows(void **state)
{
    (void)state;
    one(2, 1 << 15, WALSH_FWHT_SIGN_OUTPUT, true);
    one(1, 1 << 16, WALSH_FWHT_SIGN_INPUT, true);
    one(1, 1 << 17, WALSH_FWHT_NO_SIGN, false);
    one(1, 1 << 18, WALSH_FWHT_SIGN_OUTPUT, true);
    one(40, 1 << 16, WALSH_FWHT_SIGN_OUTPUT, true);
    one(2, 1 << 18, WALSH_FWHT_SIGN_INPUT, false);
    one(1, 1 << 20, WALSH_FWHT_SIGN_OUTPUT, false);
    one(2, 1 << 22, WALSH_FWHT_SIGN_OUTPUT, false);
}

/* Through the public function, which holds for every variant that the rule may choose. */
static void transform(walsh_tensor *x, float *values)
{
    assert_ok(walsh_tensor_upload(x, values));
    assert_ok(walsh_fwht(op_device(), x, x));
    assert_ok(walsh_tensor_download(x, values));
}

static void linear_and_involution(void **state)
{
    (void)state;
    for (int n = 2; n <= 4096; n *= 8) {
        walsh_tensor *x = NULL;
        size_t count = (size_t)n;
        float *a = op_floats(count), *b = op_floats(count), *sum = op_floats(count), *twice = op_floats(count);
        assert_ok(walsh_tensor_create(op_device(), 1, 1, 1, n, &x));
        /* Small integers: every sum is exact in float32, so equality is exact too. */
        for (int i = 0; i < n; i++) {
            a[i] = (float)(i * 37 % 17 - 8), b[i] = (float)(i * 11 % 13 - 6);
            sum[i] = 3 * a[i] - 2 * b[i], twice[i] = a[i];
        }
        transform(x, twice);
        transform(x, twice);
        for (int i = 0; i < n; i++) assert_true(twice[i] == (float)n * a[i]);
        transform(x, a);
        transform(x, b);
        transform(x, sum);
        for (int i = 0; i < n; i++) assert_true(sum[i] == 3 * a[i] - 2 * b[i]);
        walsh_tensor_destroy(&x);
        free(a), free(b), free(sum), free(twice);
    }
}

static void impulse(int n, int at)
{
    walsh_tensor *x = NULL;
    float *values = op_floats((size_t)n);
    values[at] = 1;
    assert_ok(walsh_tensor_create(op_device(), 1, 1, 1, n, &x));
    transform(x, values);
    size_t wrong = 0;
    for (int i = 0; i < n; i++) wrong += values[i] != (float)entry((size_t)i, (size_t)at);
    assert_int_equal(wrong, 0);
    walsh_tensor_destroy(&x);
    free(values);
}

static void impulses(void **state)
{
    (void)state;
    for (int at = 0; at < 64; at++) impulse(64, at);
    impulse(1024, 777);
    if (!op_cases_are_few()) impulse(WALSH_FWHT_MAX, 11184810);
}

/* y = H x of dense rows in host memory, in place and not, aligned as kernels want it and not. */
static void host_rows(size_t rows, int n, size_t skew)
{
    size_t count = rows * (size_t)n;
    float *memory = op_floats(2 * count + 16), *x = memory + skew, *y = x + count;
    double *want = op_doubles(count);
    for (size_t i = 0; i < count; i++) want[i] = x[i] = (float)(i * 37 % 101) / 16 - 3;
    for (size_t r = 0; r < rows; r++) reference(want + r * (size_t)n, (size_t)n);
    y[count] = 7; /* is not to be written */
    assert_ok(walsh_fwht_host(op_device(), x, y, rows, n));
    assert_true(op_error(y, want, count) < 1e-6);
    assert_true(y[count] == 7);
    for (size_t i = 0; i < count; i++) assert_true(x[i] == (float)(i * 37 % 101) / 16 - 3);
    y[0] = 7;
    assert_ok(walsh_fwht_host(op_device(), x, x, rows, n));
    assert_true(op_error(x, want, count) < 1e-6);
    assert_true(y[0] == 7);
    free(memory), free(want);
}

static void host_memory(void **state)
{
    (void)state;
    for (size_t skew = 0; skew < 2; skew++) {
        for (size_t rows = 1; rows <= 5; rows++) host_rows(rows, 2, skew);
        for (int n = 4; n <= 4096; n *= 4) host_rows(3, n, skew);
        if (!op_cases_are_few()) host_rows(1, 1 << 17, skew);
    }
    if (!op_cases_are_few()) host_rows(5, 1 << 22, 1); /* more than is copied at a time */
    float x[12] = {0};
    assert_fails(WALSH_E_ARGUMENT, "12 elements", walsh_fwht_host(op_device(), x, x, 1, 12));
    assert_fails(WALSH_E_ARGUMENT, "0 rows", walsh_fwht_host(op_device(), x, x, 0, 4));
    assert_fails(WALSH_E_ARGUMENT, "more than memory", walsh_fwht_host(op_device(), x, x, SIZE_MAX / 2, 4));
}

static void from_one_tensor_to_another(void **state)
{
    (void)state;
    walsh_tensor *x = NULL, *y = NULL, *other = NULL;
    float values[6] = {1, 2, 3, 4, 5, 7}, got[6];
    assert_ok(walsh_tensor_create(op_device(), 1, 3, 1, 2, &x));
    assert_ok(walsh_tensor_create(op_device(), 3, 1, 1, 2, &y));
    assert_ok(walsh_tensor_create(op_device(), 2, 1, 1, 2, &other));
    assert_ok(walsh_tensor_upload(x, values));
    assert_ok(walsh_fwht(op_device(), x, y));
    assert_ok(walsh_tensor_download(y, got));
    for (int r = 0; r < 3; r++) {
        assert_true(got[2 * r] == values[2 * r] + values[2 * r + 1]);
        assert_true(got[2 * r + 1] == values[2 * r] - values[2 * r + 1]);
    }
    assert_ok(walsh_tensor_download(x, got));
    assert_memory_equal(got, values, sizeof values);
    assert_fails(WALSH_E_ARGUMENT, "2 rows, expected 3", walsh_fwht(op_device(), x, other));
    walsh_tensor_destroy(&x);
    walsh_tensor_destroy(&y);
    walsh_tensor_destroy(&other);
}

static void wrong_sizes(void **state)
{
    (void)state;
    walsh_fwht_problem p = {.rows = 1, .n = 12, .scale = 1};
    walsh_shape operand[WALSH_FWHT_OPERANDS];
    assert_fails(WALSH_E_ARGUMENT, "12 elements", walsh_fwht_rows.shapes(&p, operand));
    p.n = 1;
    assert_fails(WALSH_E_ARGUMENT, "power of two", walsh_fwht_rows.shapes(&p, operand));
    p.n = 8, p.sign = 3;
    assert_fails(WALSH_E_ARGUMENT, "sign mode 3", walsh_fwht_rows.shapes(&p, operand));
    walsh_tensor *x = NULL;
    assert_ok(walsh_tensor_create(op_device(), 2, 1, 1, 100, &x));
    assert_fails(WALSH_E_ARGUMENT, "100 elements", walsh_fwht(op_device(), x, x));
    walsh_tensor_destroy(&x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dense_agrees),
        cmocka_unit_test(shapes),
        cmocka_unit_test(long_rows),
        cmocka_unit_test(linear_and_involution),
        cmocka_unit_test(impulses),
        cmocka_unit_test(host_memory),
        cmocka_unit_test(from_one_tensor_to_another),
        cmocka_unit_test(wrong_sizes),
    };
    return cmocka_run_group_tests(tests, NULL, op_device_close);
}
