/* Channels between lanes with holes and rows without, to and fro. */
#include "tests/op_case.h"

#include "engine/op/lanes.h"

static void one(const walsh_lanes_problem *p, int extra)
{
    op_case k;
    if (op_case_left_out(&walsh_lanes, NULL, p)) return;
    op_case_open(&k, &walsh_lanes, p, extra);
    size_t in = (size_t)p->in, out = (size_t)p->out, rows = (size_t)p->rows;
    float *x = op_floats(rows * in), *y = op_floats(rows * out), *want = op_floats(rows * out);
    op_case_random(&k, WALSH_LANES_X, 1, x);
    for (size_t r = 0; r < rows; r++)
        for (int i = 0; i < WALSH_LANE_RUNS; i++)
            for (int c = 0; c < p->run[i].count; c++)
                want[r * out + (size_t)(p->run[i].to + c)] = x[r * in + (size_t)(p->run[i].from + c)];
    for (const walsh_variant *const *v = walsh_lanes.variants; *v; v++) {
        op_case_poison(&k, WALSH_LANES_Y);
        op_case_run(&k, *v); /* which proves that pad lanes come out zero, too */
        op_case_get(&k, WALSH_LANES_Y, y);
        assert_memory_equal(y, want, rows * out * sizeof *y);
    }
    op_case_close(&k);
    free(x), free(y), free(want);
}

static void to_and_fro(void **state)
{
    (void)state;
    static const walsh_lanes_problem cases[] = {
        {0, 3, 344, 342, {{0, 0, 150}, {152, 150, 192}}},
        {0, 5, 13, 10, {{0, 0, 3}, {4, 3, 5}, {12, 8, 1}, {9, 9, 1}}},
        {0, 1, 1, 1, {{0, 0, 1}}},
        {0, 130, 66, 65, {{0, 0, 1}, {2, 1, 64}}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        walsh_lanes_problem p = cases[i], back = p;
        back.in = p.out, back.out = p.in;
        for (int r = 0; r < WALSH_LANE_RUNS; r++) back.run[r].from = p.run[r].to, back.run[r].to = p.run[r].from;
        one(&p, i % 2 ? 12 : 0);
        one(&back, i % 2 ? 0 : 8);
    }
}

static void wrong_runs(void **state)
{
    (void)state;
    walsh_shape operand[WALSH_LANES_OPERANDS];
    walsh_lanes_problem p = {.rows = 1, .in = 8, .out = 6, .run = {{0, 0, 6}}};
    assert_ok(walsh_lanes.shapes(&p, operand));
    p.run[0] = (walsh_lane_run){3, 0, 6};
    assert_fails(WALSH_E_ARGUMENT, "6 channels from 3 to 0 do not lie within 8 and 6", walsh_lanes.shapes(&p, operand));
    p.run[0] = (walsh_lane_run){0, 1, 6};
    assert_fails(WALSH_E_ARGUMENT, "do not lie within", walsh_lanes.shapes(&p, operand));
    p.run[0] = (walsh_lane_run){0, 0, 6}, p.rows = 0;
    assert_fails(WALSH_E_ARGUMENT, "at least 1", walsh_lanes.shapes(&p, operand));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(to_and_fro), cmocka_unit_test(wrong_runs)};
    return cmocka_run_group_tests(tests, NULL, op_device_close);
}
