/* Floats as halves and back, on the device and on the host, against what a half is: every half, all that lies between
 * two of them, what no half can hold, and tensors of odd sizes. */
#include "tests/op_case.h"

#include <float.h>
#include <math.h>

#include "engine/base/half.h"
#include "engine/op/store.h"

enum { INFINITE = 0x7C00, SIGN = 0x8000, HALVES = 0x10000, WIDTH = 16 };

/* By definition: fraction * 2^-24 below 2^-14, (1024 + fraction) * 2^(exponent - 25) above. */
static double meaning(int half)
{
    int exponent = half >> 10 & 31, fraction = half & 1023;
    double size = exponent ? ldexp(1024 + fraction, exponent - 25) : ldexp(fraction, -24);
    if (exponent == 31) size = fraction ? NAN : INFINITY;
    return half & SIGN ? -size : size;
}

static bool is_nan(int half)
{
    return (half & ~SIGN) > INFINITE;
}

/* Packs `count` floats, or unpacks so many halves, as rows of WIDTH. */
static void run(const walsh_op *op, const void *x, void *y, size_t count)
{
    walsh_store p = {.n = (int)((count + WIDTH - 1) / WIDTH), .h = 1, .w = 1, .c = WIDTH};
    op_case k;
    op_case_open(&k, op, &p, 0);
    const walsh_view *in = &k.tensor[0]->view, *out = &k.tensor[1]->view;
    char *raw = calloc(walsh_shape_elements(in->shape), sizeof(float));
    assert_non_null(raw);
    memcpy(raw, x, count * walsh_type_size(in->shape.type));
    op_case_set_raw(&k, 0, raw);
    op_case_poison(&k, 1);
    op_case_run(&k, op->variants[0]);
    assert_ok(walsh_view_read(k.device, out, raw));
    memcpy(y, raw, count * walsh_type_size(out->shape.type));
    op_case_close(&k);
    free(raw);
}

/* Every half is exact as a float, and comes back as it was; NaN as one. */
static void every_half(void **state)
{
    static uint16_t halves[HALVES], again[HALVES];
    static float floats[HALVES];
    (void)state;
    for (int h = 0; h < HALVES; h++) halves[h] = (uint16_t)h;
    run(&walsh_store_unpack, halves, floats, HALVES);
    run(&walsh_store_pack, floats, again, HALVES);
    for (int h = 0; h < HALVES; h++) {
        const double want = meaning(h), host = (double)walsh_half_value((uint16_t)h);
        if (is_nan(h)) {
            assert_true(isnan(floats[h]) && is_nan(again[h]) && isnan(host) && is_nan(walsh_half_of(NAN)));
            continue;
        }
        if ((double)floats[h] != want || host != want || !signbit(floats[h]) != !signbit(want))
            fail_msg("half %04x is %g: the device has %g, the host %g", (unsigned)h, want, (double)floats[h], host);
        assert_int_equal(again[h], h);
        assert_int_equal(walsh_half_of(want), h);
    }
}

/* Floats, and the halves that they have to become. */
typedef struct sample {
    float value;
    uint16_t half;
} sample;

static void assert_become(const sample *samples, size_t count)
{
    float *x = op_floats(count);
    uint16_t *got = calloc(count, sizeof *got);
    assert_non_null(got);
    for (size_t i = 0; i < count; i++) x[i] = samples[i].value;
    run(&walsh_store_pack, x, got, count);
    for (size_t i = 0; i < count; i++) {
        const unsigned host = walsh_half_of((double)x[i]), want = samples[i].half;
        if (got[i] != want || host != want)
            fail_msg("%.9g must become %04x: the device has %04x, the host %04x", (double)x[i], want, (unsigned)got[i],
                     host);
    }
    free(x), free(got);
}

/* Half way between two neighbours to the even one, on either side to the nearer. */
static void between_two_halves(void **state)
{
    enum { PAIRS = INFINITE - 1, EACH = 6 };
    (void)state;
    sample *samples = calloc(EACH * PAIRS, sizeof *samples);
    assert_non_null(samples);
    for (int h = 0; h < PAIRS; h++) {
        const double middle = (meaning(h) + meaning(h + 1)) / 2;
        const float tie = (float)middle;
        assert_true((double)tie == middle);
        const sample here[] = {{tie, (uint16_t)(h + (h & 1))},
                               {nextafterf(tie, 0), (uint16_t)h},
                               {nextafterf(tie, INFINITY), (uint16_t)(h + 1)}};
        for (int i = 0; i < 3; i++) {
            samples[EACH * h + i] = here[i];
            samples[EACH * h + 3 + i] = (sample){-here[i].value, here[i].half | SIGN};
        }
    }
    assert_become(samples, EACH * PAIRS);
    free(samples);
}

/* What is finite stays so, what is not does not become so, and what is too small is zero. */
static void beyond_all_halves(void **state)
{
    (void)state;
    const float large[] = {65504, 65505, 65519.996f, 65520, 65536, 1e9f, FLT_MAX},
                small[] = {0, 1e-30f, 0x1p-25f, FLT_MIN, FLT_MIN / 8};
    sample samples[2 * (7 + 5 + 1)];
    size_t count = 0;
    for (int sign = 0; sign < 2; sign++) {
        const uint16_t bit = sign ? SIGN : 0;
        for (int i = 0; i < 7; i++) samples[count++] = (sample){sign ? -large[i] : large[i], 0x7BFF | bit};
        for (int i = 0; i < 5; i++) samples[count++] = (sample){sign ? -small[i] : small[i], bit};
        samples[count++] = (sample){sign ? -INFINITY : INFINITY, INFINITE | bit};
    }
    assert_become(samples, count);
    const float nan[2] = {NAN, -NAN};
    uint16_t got[2];
    run(&walsh_store_pack, nan, got, 2);
    assert_true(is_nan(got[0]) && is_nan(got[1]) && is_nan(walsh_half_of(NAN)));
}

/* The half nearest to x, of two the even one, by trying them all. */
static int nearest(float x)
{
    static double meanings[INFINITE];
    const double size = fabs((double)x);
    int best = 0;
    for (int h = INFINITE - 1; h >= 0 && meanings[1] == 0; h--) meanings[h] = meaning(h);
    for (int h = 1; h < INFINITE; h++) {
        double apart = fabs(meanings[h] - size), least = fabs(meanings[best] - size);
        if (apart < least || (apart <= least && h % 2 == 0)) best = h;
    }
    return best | (x < 0 ? SIGN : 0);
}

static void one(const walsh_store *p, int extra)
{
    op_case pack, unpack;
    if (op_case_left_out(&walsh_store_pack, NULL, p) && op_case_left_out(&walsh_store_unpack, NULL, p)) return;
    op_case_open(&pack, &walsh_store_pack, p, extra);
    op_case_open(&unpack, &walsh_store_unpack, p, extra);
    const walsh_shape s = pack.tensor[WALSH_STORE_PACK_Y]->view.shape;
    size_t count = op_case_count(&pack, WALSH_STORE_PACK_X), rows = walsh_shape_rows(s);
    float *x = op_floats(count), *y = op_floats(count);
    uint16_t *raw = malloc(walsh_shape_bytes(s));
    assert_non_null(raw);
    op_case_random(&pack, WALSH_STORE_PACK_X, 1, x);
    op_case_poison(&pack, WALSH_STORE_PACK_Y);
    op_case_poison(&unpack, WALSH_STORE_UNPACK_Y);
    op_case_run(&pack, walsh_store_pack.variants[0]);
    assert_ok(walsh_view_read(pack.device, &pack.tensor[WALSH_STORE_PACK_Y]->view, raw));
    for (size_t r = 0; r < rows; r++) {
        const uint16_t *row = raw + r * (size_t)s.pitch;
        for (int k = 0; k < s.c; k += 7) assert_int_equal(row[k], nearest(x[r * (size_t)s.c + (size_t)k]));
        for (int k = s.c; k < walsh_pad(s.c); k++) assert_int_equal(row[k], 0);
        for (int k = walsh_pad(s.c); k < s.pitch && r + 1 < rows; k++) assert_int_equal(row[k], 0xFFFF);
    }
    op_case_set_raw(&unpack, WALSH_STORE_UNPACK_X, raw);
    op_case_run(&unpack, walsh_store_unpack.variants[0]);
    op_case_get(&unpack, WALSH_STORE_UNPACK_Y, y);
    for (size_t i = 0; i < count; i++)
        assert_true((double)y[i] == meaning(raw[i / (size_t)s.c * (size_t)s.pitch + i % (size_t)s.c]));
    op_case_close(&pack);
    op_case_close(&unpack);
    free(x), free(y), free(raw);
}

static void shapes(void **state)
{
    (void)state;
    static const int sizes[][4] = {{1, 1, 1, 1},  {2, 5, 7, 3},   {3, 8, 8, 64},  {1, 3, 2, 30},  {2, 9, 9, 16},
                                   {1, 13, 1, 4}, {5, 1, 1, 342}, {2, 11, 13, 6}, {1, 20, 13, 24}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        walsh_store p = {.n = sizes[i][0], .h = sizes[i][1], .w = sizes[i][2], .c = sizes[i][3]};
        one(&p, i % 2 ? 0 : 12);
    }
}

static void wrong_sizes(void **state)
{
    (void)state;
    walsh_store p = {.n = 1, .h = 1, .w = 0, .c = 4};
    walsh_shape operand[WALSH_STORE_PACK_OPERANDS];
    assert_fails(WALSH_E_ARGUMENT, "at least 1", walsh_store_pack.shapes(&p, operand));
    assert_fails(WALSH_E_ARGUMENT, "at least 1", walsh_store_unpack.shapes(&p, operand));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_half), cmocka_unit_test(between_two_halves), cmocka_unit_test(beyond_all_halves),
        cmocka_unit_test(shapes),     cmocka_unit_test(wrong_sizes),
    };
    return cmocka_run_group_tests(tests, NULL, op_device_close);
}
