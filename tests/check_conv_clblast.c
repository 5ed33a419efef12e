/* What convolutions by CLBlast need and when they are chosen; their results are checked with every other variant's. */
#include "tests/op_case.h"

#include "engine/op/conv_clblast.h"

static const struct {
    const walsh_op *op;
    const walsh_variant *variant;
} directions[] = {{&walsh_conv_forward, &walsh_conv_forward_clblast},
                  {&walsh_conv_data, &walsh_conv_data_clblast},
                  {&walsh_conv_filter, &walsh_conv_filter_clblast}};

/* The workspace does not grow with the batch beyond 64 MiB, whether there are columns or only CLBlast's own copies. */
static void bounded_workspace(void **state)
{
    (void)state;
    for (int d = 0; d < 3; d++)
        for (int side = 1; side <= 3; side += 2) {
            walsh_conv c = {.n = 4099, .h = 32, .w = 32, .ic = 64, .oc = 64, .kh = side, .kw = side, .stride = 1};
            c.pad = side / 2;
            assert_true(directions[d].variant->workspace(op_device(), &c) <= (size_t)64 << 20);
            if (side == 1) continue;
            c.n = 1; /* columns of one image: 1024 pixels of 9 taps of 64 channels */
            assert_true(directions[d].variant->workspace(op_device(), &c) >= (size_t)1024 * 9 * 64 * sizeof(float));
        }
}

static void assert_chosen(const walsh_device *device, int direction, const walsh_conv *c, bool clblast)
{
    const walsh_variant *const variant = directions[direction].variant;
    int suits = variant->suits(device, c);
    assert_true(suits > 0); /* can be forced and tuned anywhere */
    for (const walsh_variant *const *v = directions[direction].op->variants; *v; v++) {
        bool plain = !v[1];
        if (!plain) continue;
        assert_true(clblast ? suits > (*v)->suits(device, c) : suits < (*v)->suits(device, c));
    }
}

/* On a GPU before the plain variant but for tiny convolutions, on a CPU after it. */
static void rules(void **state)
{
    (void)state;
    walsh_device *fake;
    const walsh_conv large = {.n = 8, .h = 16, .w = 16, .ic = 16, .oc = 32, .kh = 3, .kw = 3, .stride = 2, .pad = 1};
    const walsh_conv tiny = {.n = 1, .h = 4, .w = 4, .ic = 16, .oc = 32, .kh = 3, .kw = 3, .stride = 1, .pad = 1};
    assert_ok(walsh_alloc(&fake, 1, sizeof *fake, "a device"));
    for (int d = 0; d < 3; d++) {
        fake->tiles = WALSH_TILES_GPU;
        assert_chosen(fake, d, &large, true);
        assert_chosen(fake, d, &tiny, false);
        fake->tiles = WALSH_TILES_CPU;
        assert_chosen(fake, d, &large, false);
    }
    free(fake);
}

/* Kernels count the rows of one image's columns in an int. */
static void too_many_rows(void **state)
{
    (void)state;
    const walsh_conv c = {.n = 1, .h = 8192, .w = 8192, .ic = 1, .oc = 1, .kh = 5, .kw = 5, .stride = 1, .pad = 2};
    for (int d = 0; d < 3; d++) assert_int_equal(directions[d].variant->suits(op_device(), &c), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bounded_workspace),
        cmocka_unit_test(rules),
        cmocka_unit_test(too_many_rows),
    };
    return cmocka_run_group_tests(tests, NULL, op_device_close);
}
