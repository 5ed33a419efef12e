/* Tuning: wrong variants are refused, the fastest right one is kept, and plans follow. The operation under test doubles
 * a vector; its variants run the kernel of `add` with right and wrong arguments, or many times over. */
#include "tests/op_case.h"

#include "engine/op/tune.h"

typedef struct doubling {
    unsigned fuse;
    int elements;
} doubling;

enum { X, Y, OPERANDS };

static walsh_status shapes(const void *problem, walsh_shape *operand)
{
    const doubling *p = problem;
    operand[X] = operand[Y] = walsh_shape_vector(p->elements);
    return WALSH_OK;
}

static void cost(const void *problem, double *flops, double *bytes)
{
    *flops = ((const doubling *)problem)->elements;
    *bytes = 8 * *flops;
}

static int first_choice(const walsh_device *device, const void *problem)
{
    (void)device, (void)problem;
    return 9;
}

static int last_choice(const walsh_device *device, const void *problem)
{
    (void)device, (void)problem;
    return 1;
}

static int never(const walsh_device *device, const void *problem)
{
    (void)device, (void)problem;
    return 0;
}

/* y = x + x over the first `elements`, `times` over. */
static walsh_status add_up(walsh_list *list, const walsh_view *operand, int elements, int times)
{
    const walsh_view *x = &operand[X], *y = &operand[Y];
    int quads = walsh_pad(elements) / 4;
    const walsh_launch launch = {.file = "add", .function = "add_plain", .global = {(size_t)quads, 1}, .local = {1, 1}};
    for (int i = 0; i < times; i++)
        WALSH_TRY(WALSH_LAUNCH(list, launch, WALSH_TENSOR(x), WALSH_TENSOR(x), WALSH_TENSOR(y), WALSH_INT(1),
                               WALSH_INT(quads), WALSH_INT(x->shape.pitch), WALSH_INT(x->shape.pitch),
                               WALSH_INT(y->shape.pitch)));
    return WALSH_OK;
}

static walsh_status emit_right(walsh_list *list, const void *problem, const walsh_view *operand,
                               const walsh_view *workspace)
{
    (void)workspace;
    return add_up(list, operand, ((const doubling *)problem)->elements, 1);
}

static walsh_status emit_slow(walsh_list *list, const void *problem, const walsh_view *operand,
                              const walsh_view *workspace)
{
    (void)workspace;
    return add_up(list, operand, ((const doubling *)problem)->elements, 200);
}

/* A wrong tile edge: the last four elements stay as they were. */
static walsh_status emit_wrong(walsh_list *list, const void *problem, const walsh_view *operand,
                               const walsh_view *workspace)
{
    (void)workspace;
    return add_up(list, operand, ((const doubling *)problem)->elements - 4, 1);
}

static walsh_status emit_nothing(walsh_list *list, const void *problem, const walsh_view *operand,
                                 const walsh_view *workspace)
{
    (void)list, (void)problem, (void)operand, (void)workspace;
    WALSH_FAIL(WALSH_E_BUILD, "this variant does not compile");
}

static const walsh_variant wrong = {.name = "double_wrong", .suits = first_choice, .emit = emit_wrong},
                           broken = {.name = "double_broken", .suits = last_choice, .emit = emit_nothing},
                           absent = {.name = "double_absent", .suits = never, .emit = emit_nothing},
                           fast = {.name = "double_fast", .suits = last_choice, .emit = emit_right},
                           plain = {.name = "double_plain", .suits = last_choice, .emit = emit_slow};

static const walsh_op twice = {
    .name = "twice",
    .problem_size = sizeof(doubling),
    .operands = {{"x", WALSH_READ}, {"y", WALSH_WRITE}},
    .shapes = shapes,
    .cost = cost,
    .variants = (const walsh_variant *const[]){&wrong, &broken, &absent, &fast, &plain, NULL},
};

static void the_fastest_right_variant_wins(void **state)
{
    (void)state;
    const doubling p = {.elements = 1000};
    walsh_wisdom *wisdom = NULL;
    walsh_tuned tuned;
    assert_ok(walsh_wisdom_create(&wisdom));
    assert_ok(walsh_tune(op_device(), &twice, &p, 0.05, wisdom, &tuned));
    assert_ptr_equal(tuned.by_rule, &wrong);
    assert_ptr_equal(tuned.fastest, &fast);
    assert_int_equal(tuned.contenders, 4);
    assert_int_equal(tuned.refused, 2);
    assert_true(tuned.fastest_seconds > 0 && tuned.fastest_seconds < 1);
    assert_string_equal(walsh_wisdom_find(wisdom, &twice, &p), "double_fast");
    walsh_wisdom_destroy(&wisdom);
}

/* A plan of one doubling, built with what is known; its choice is told by walsh_plan_choices. */
static void assert_plan_chooses(const walsh_wisdom *wisdom, const char *expected)
{
    const doubling p = {.elements = 8};
    walsh_plan *plan = NULL;
    walsh_wisdom *choices = NULL;
    walsh_tensor *x = NULL, *y = NULL;
    assert_ok(walsh_tensor_create(op_device(), 1, 1, 1, 8, &x));
    assert_ok(walsh_tensor_create(op_device(), 1, 1, 1, 8, &y));
    assert_ok(walsh_plan_create(op_device(), &plan));
    walsh_plan_consult(plan, wisdom);
    const walsh_value operands[] = {walsh_plan_bind(plan, &x->view), walsh_plan_bind(plan, &y->view)};
    walsh_plan_add(plan, "layer", &twice, &p, operands);
    assert_ok(walsh_wisdom_create(&choices));
    assert_ok(walsh_plan_choices(plan, choices));
    assert_string_equal(walsh_wisdom_find(choices, &twice, &p), expected);
    walsh_wisdom_destroy(&choices);
    walsh_plan_destroy(&plan);
    walsh_tensor_destroy(&x), walsh_tensor_destroy(&y);
}

static void plans_follow_wisdom_where_they_may(void **state)
{
    (void)state;
    const doubling p = {.elements = 8};
    walsh_wisdom *wisdom = NULL;
    assert_ok(walsh_wisdom_create(&wisdom));
    assert_plan_chooses(NULL, "double_wrong");
    assert_plan_chooses(wisdom, "double_wrong");
    assert_ok(walsh_wisdom_set(wisdom, &twice, &p, "double_plain"));
    assert_plan_chooses(wisdom, "double_plain");
    assert_ok(walsh_wisdom_set(wisdom, &twice, &p, "double_absent")); /* does not suit any more */
    assert_plan_chooses(wisdom, "double_wrong");
    assert_ok(walsh_wisdom_set(wisdom, &twice, &p, "double_of_a_later_version"));
    assert_plan_chooses(wisdom, "double_wrong");
    assert_ok(walsh_wisdom_set(wisdom, &twice, &p, "double_fast"));
    assert_int_equal(setenv("WALSH_DISABLE", "other,double_fast", 1), 0);
    assert_plan_chooses(wisdom, "double_wrong");
    assert_int_equal(unsetenv("WALSH_DISABLE"), 0);
    walsh_wisdom_destroy(&wisdom);
}

static int told;

static bool stop_at_second(void *context, const walsh_tuned_problem *problem)
{
    (void)context;
    assert_int_equal(problem->problems, 2); /* three operations, two different problems */
    assert_ptr_equal(problem->op, &twice);
    assert_string_equal(problem->label, problem->number == 1 ? "one" : "three");
    assert_int_equal(problem->uses, problem->number == 1 ? 2 : 1);
    told = problem->number;
    return told == 2;
}

static void each_problem_of_a_plan_is_tuned_once(void **state)
{
    (void)state;
    const doubling small = {.elements = 8}, large = {.elements = 16};
    walsh_plan *plan = NULL;
    walsh_wisdom *wisdom = NULL;
    walsh_tensor *x = NULL, *y = NULL;
    assert_ok(walsh_tensor_create(op_device(), 1, 1, 1, 8, &x));
    assert_ok(walsh_tensor_create(op_device(), 1, 1, 1, 16, &y));
    assert_ok(walsh_plan_create(op_device(), &plan));
    walsh_value a = walsh_plan_bind(plan, &x->view), b = walsh_plan_bind(plan, &y->view);
    const walsh_value shorts[] = {a, a}, longs[] = {b, b};
    walsh_plan_add(plan, "one", &twice, &small, shorts);
    walsh_plan_add(plan, "two", &twice, &small, shorts);
    walsh_plan_add(plan, "three", &twice, &large, longs);
    assert_ok(walsh_wisdom_create(&wisdom));
    assert_ok(walsh_tune_plans(&plan, 1, 0.02, wisdom, NULL, NULL));
    assert_int_equal(walsh_wisdom_count(wisdom), 2);
    assert_string_equal(walsh_wisdom_find(wisdom, &twice, &large), "double_fast");
    assert_fails(WALSH_E_STOPPED, "stopped", walsh_tune_plans(&plan, 1, 0.02, wisdom, stop_at_second, NULL));
    assert_int_equal(told, 2);
    walsh_wisdom_destroy(&wisdom);
    walsh_plan_destroy(&plan);
    walsh_tensor_destroy(&x), walsh_tensor_destroy(&y);
}

static int late_starts;

static walsh_status emit_late(walsh_list *list, const void *problem, const walsh_view *operand,
                              const walsh_view *workspace)
{
    late_starts++;
    return emit_right(list, problem, operand, workspace);
}

static const walsh_variant late = {
    .name = "double_late", .suits = last_choice, .emit = emit_late, .starts_slowly = true};

static const walsh_op lazy = {
    .name = "lazy",
    .problem_size = sizeof(doubling),
    .operands = {{"x", WALSH_READ}, {"y", WALSH_WRITE}},
    .shapes = shapes,
    .cost = cost,
    .variants = (const walsh_variant *const[]){&wrong, &late, &fast, &plain, NULL},
};

/* How often it was told of each problem, and how many variants it knew of in all when it was told last. */
typedef struct tale {
    int told[2], contenders, refused, first_late;
} tale;

static bool listen(void *context, const walsh_tuned_problem *problem)
{
    tale *t = context;
    t->told[problem->number - 1]++;
    t->contenders = problem->tuned.contenders;
    t->refused = problem->tuned.refused;
    if (!late_starts) t->first_late++;
    return false;
}

static void what_starts_slowly_is_tried_last_and_in_time(void **state)
{
    (void)state;
    const doubling small = {.elements = 8}, large = {.elements = 16};
    walsh_plan *plan = NULL;
    walsh_wisdom *wisdom = NULL;
    walsh_tensor *x = NULL, *y = NULL;
    assert_ok(walsh_tensor_create(op_device(), 1, 1, 1, 8, &x));
    assert_ok(walsh_tensor_create(op_device(), 1, 1, 1, 16, &y));
    assert_ok(walsh_plan_create(op_device(), &plan));
    walsh_value a = walsh_plan_bind(plan, &x->view), b = walsh_plan_bind(plan, &y->view);
    walsh_plan_add(plan, "one", &lazy, &small, (const walsh_value[]){a, a});
    walsh_plan_add(plan, "two", &lazy, &large, (const walsh_value[]){b, b});
    assert_ok(walsh_wisdom_create(&wisdom));

    tale hurried = {0}, patient = {0};
    assert_ok(walsh_tune_plans(&plan, 1, 1e-9, wisdom, listen, &hurried));
    assert_int_equal(late_starts, 0);
    assert_int_equal(hurried.told[0], 1);
    assert_int_equal(hurried.told[1], 1);
    assert_int_equal(hurried.contenders, 3);
    assert_string_equal(walsh_wisdom_find(wisdom, &lazy, &large), "double_fast");

    assert_ok(walsh_tune_plans(&plan, 1, 2, wisdom, listen, &patient));
    assert_int_equal(late_starts, 2);
    assert_int_equal(patient.first_late, 2); /* all that starts quickly came first */
    assert_int_equal(patient.told[0], 2);
    assert_int_equal(patient.told[1], 2);
    assert_int_equal(patient.contenders, 4);
    assert_int_equal(patient.refused, 1);
    walsh_wisdom_destroy(&wisdom);
    walsh_plan_destroy(&plan);
    walsh_tensor_destroy(&x), walsh_tensor_destroy(&y);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_fastest_right_variant_wins),
        cmocka_unit_test(plans_follow_wisdom_where_they_may),
        cmocka_unit_test(each_problem_of_a_plan_is_tuned_once),
        cmocka_unit_test(what_starts_slowly_is_tried_last_and_in_time),
    };
    return cmocka_run_group_tests(tests, NULL, op_device_close);
}
