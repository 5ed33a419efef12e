/* Normalisation of images, every byte value in every channel, against double precision. */
#include "tests/op_case.h"

#include "engine/op/image.h"

static void one(const walsh_variant *variant, int n, int h, int w)
{
    /* ImageNet's constants. */
    const walsh_image_problem p = {
        .n = n, .h = h, .w = w, .mean = {.485f, .456f, .406f}, .deviation = {.229f, .224f, .225f}};
    op_case k;
    if (op_case_left_out(&walsh_image, variant, &p)) return;
    op_case_open(&k, &walsh_image, &p, 4);
    size_t pixels = (size_t)n * (size_t)h * (size_t)w;
    uint8_t *bytes = malloc(4 * pixels);
    float *y = op_floats(3 * pixels);
    double *want = op_doubles(3 * pixels);
    assert_non_null(bytes);
    for (size_t i = 0; i < pixels; i++)
        for (size_t c = 0; c < 4; c++) {
            uint8_t byte = bytes[4 * i + c] = (uint8_t)(c == 3 ? 255 : i + 85 * c);
            if (c < 3) want[3 * i + c] = (byte / 255.0 - (double)p.mean[c]) / (double)p.deviation[c];
        }
    op_case_set_raw(&k, WALSH_IMAGE_PIXELS, bytes);
    op_case_poison(&k, WALSH_IMAGE_Y);
    op_case_run(&k, variant);
    op_case_get(&k, WALSH_IMAGE_Y, y);
    /* scale*pixel <= 1/deviation < 4.5, shift <= 2.2, y < 2.7: half a place each of scale, product, shift and sum. */
    for (size_t i = 0; i < 3 * pixels; i++) assert_float_equal(y[i], want[i], 7.5e-7);
    op_case_close(&k);
    free(bytes), free(y), free(want);
}

static void against_double(void **state)
{
    (void)state;
    for (const walsh_variant *const *v = walsh_image.variants; *v; v++) {
        one(*v, 1, 1, 1);
        one(*v, 1, 16, 16);
        one(*v, 3, 7, 33);
        one(*v, 5, 32, 32);
    }
}

static void wrong_problems(void **state)
{
    walsh_shape operand[WALSH_IMAGE_OPERANDS];
    walsh_image_problem p = {.n = 1, .h = 0, .w = 1, .deviation = {1, 1, 1}};
    (void)state;
    assert_fails(WALSH_E_ARGUMENT, "at least 1", walsh_image.shapes(&p, operand));
    p.h = 1;
    p.deviation[1] = 0;
    assert_fails(WALSH_E_ARGUMENT, "channel 1", walsh_image.shapes(&p, operand));
    p = (walsh_image_problem){.n = 1 << 15, .h = 224, .w = 224, .deviation = {1, 1, 1}};
    assert_fails(WALSH_E_ARGUMENT, "224x224", walsh_image.shapes(&p, operand));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(against_double),
        cmocka_unit_test(wrong_problems),
    };
    return cmocka_run_group_tests(tests, NULL, op_device_close);
}
