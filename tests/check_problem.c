/* The check of a device: it must find what is wrong, in each way that a kernel can be, and nothing in what is right. */
#include "tests/op_case.h"

#include <math.h>

#include "engine/check/check.h"
#include "engine/check/reference.h"
#include "engine/op/add.h"
#include "engine/op/batchnorm.h"
#include "engine/op/conv.h"
#include "engine/op/fixed_head.h"
#include "engine/op/fused_head.h"
#include "engine/op/fwht.h"
#include "engine/op/gemm.h"
#include "engine/op/image.h"
#include "engine/op/lanes.h"
#include "engine/op/logit_loss.h"
#include "engine/op/pool.h"
#include "engine/op/reduce.h"
#include "engine/op/relu.h"
#include "engine/op/sgd.h"

enum { CHANNELS = 5 };
static const walsh_add_problem problem = {.n = 2, .h = 3, .w = 3, .c = CHANNELS, .relu = 1};

typedef struct heard {
    int right, wrong;
    double error; /* of the last one */
    char failure[128];
    bool stop;
} heard;

static bool hear(void *context, const walsh_checked *checked)
{
    heard *h = context;
    h->right += walsh_checked_agrees(checked);
    h->wrong += !walsh_checked_agrees(checked);
    h->error = checked->error;
    if (checked->failure) snprintf(h->failure, sizeof h->failure, "%s", checked->failure);
    return h->stop;
}

static int suits(const walsh_device *device, const void *any)
{
    (void)device, (void)any;
    return 1;
}

/* walsh_add, computed by one variant in place of its own. */
static heard check_with(walsh_status (*emit)(walsh_list *, const void *, const walsh_view *, const walsh_view *))
{
    const walsh_variant variant = {.name = "seeded", .suits = suits, .emit = emit};
    const walsh_variant *const variants[] = {&variant, NULL};
    walsh_op op = walsh_add;
    op.variants = variants;
    const walsh_checked about = {.number = 1, .problems = 1, .op = &op};
    heard h = {0};
    assert_ok(walsh_check_problem(op_device(), &problem, &about, hear, &h));
    return h;
}

static walsh_status honest(walsh_list *list, const void *p, const walsh_view *operand, const walsh_view *workspace)
{
    return walsh_variant_emit(walsh_add.variants[0], list, p, operand, workspace);
}

/* Another problem's result. */
static walsh_status without_relu(walsh_list *list, const void *p, const walsh_view *operand,
                                 const walsh_view *workspace)
{
    walsh_add_problem other = *(const walsh_add_problem *)p;
    other.relu = 0;
    return honest(list, &other, operand, workspace);
}

/* All but the last row: a wrong edge. */
static walsh_status all_but_one_row(walsh_list *list, const void *p, const walsh_view *operand,
                                    const walsh_view *workspace)
{
    walsh_add_problem less = *(const walsh_add_problem *)p;
    walsh_view views[WALSH_ADD_OPERANDS];
    less.w = less.n * less.h * less.w - 1, less.n = less.h = 1;
    for (int i = 0; i < WALSH_ADD_OPERANDS; i++) {
        views[i] = operand[i];
        views[i].shape = walsh_shape_nhwc(less.n, less.h, less.w, less.c);
    }
    return honest(list, &less, views, workspace);
}

/* Something in the pad lanes: a batch norm with a shift for them. SAVED lies in A, so that its
 * last row, the shift, begins amid a row of A and has values where Y has pad lanes. */
static walsh_status with_pad_lanes(walsh_list *list, const void *p, const walsh_view *operand,
                                   const walsh_view *workspace)
{
    const walsh_bn apply = {.n = problem.n, .h = problem.h, .w = problem.w, .c = walsh_pad(CHANNELS)};
    walsh_view views[WALSH_BN_APPLY_OPERANDS];
    (void)p;
    for (int i = 0; i < WALSH_BN_APPLY_OPERANDS; i++) views[i] = (walsh_view){.shape = walsh_shape_absent};
    views[WALSH_BN_APPLY_X] = operand[WALSH_ADD_B], views[WALSH_BN_APPLY_Y] = operand[WALSH_ADD_Y];
    views[WALSH_BN_APPLY_SAVED] = operand[WALSH_ADD_A];
    views[WALSH_BN_APPLY_SAVED].shape = walsh_shape_matrix(WALSH_BN_SAVED_ROWS, walsh_pad(CHANNELS));
    views[WALSH_BN_APPLY_SAVED].offset += 4;
    return walsh_variant_emit(walsh_bn_apply.variants[0], list, &apply, views, workspace);
}

static walsh_status write_nan(walsh_device *device, const void *context)
{
    const walsh_view *at = context;
    return walsh_view_write(device, at, (const float[]){NAN, 0, 0, 0});
}

/* A NaN amid what is right: the first value of the second row, which is written again as one row of four. */
static walsh_status with_nan(walsh_list *list, const void *p, const walsh_view *operand, const walsh_view *workspace)
{
    walsh_view *at = malloc(sizeof *at);
    assert_non_null(at);
    *at = operand[WALSH_ADD_Y];
    at->offset += (size_t)at->shape.pitch;
    at->shape = walsh_shape_vector(4);
    WALSH_TRY(honest(list, p, operand, workspace));
    return walsh_list_call(list, write_nan, at, 0, 0);
}

static walsh_status nothing(walsh_list *list, const void *p, const walsh_view *operand, const walsh_view *workspace)
{
    (void)list, (void)p, (void)operand, (void)workspace;
    return WALSH_OK;
}

static walsh_status failing(walsh_list *list, const void *p, const walsh_view *operand, const walsh_view *workspace)
{
    (void)list, (void)p, (void)operand, (void)workspace;
    WALSH_FAIL(WALSH_E_BUILD, "the compiler is at a loss");
}

static void finds_what_is_wrong(void **state)
{
    (void)state;
    heard h = check_with(honest);
    assert_int_equal(h.right, 1);
    assert_int_equal(h.wrong, 0);
    h = check_with(without_relu);
    assert_true(h.wrong == 1 && h.error > 0.1);
    h = check_with(all_but_one_row);
    assert_true(h.wrong == 1 && h.error > 0.1);
    h = check_with(with_pad_lanes);
    assert_true(h.wrong == 1 && isinf(h.error));
    h = check_with(with_nan);
    assert_true(h.wrong == 1 && isnan(h.error));
    h = check_with(nothing);
    assert_int_equal(h.wrong, 1);
    h = check_with(failing);
    assert_int_equal(h.wrong, 1);
    assert_string_equal(h.failure, "the compiler is at a loss");
}

static void stops_when_told(void **state)
{
    (void)state;
    heard h = {.stop = true};
    const walsh_checked about = {.number = 1, .problems = 1, .op = &walsh_add};
    assert_fails(WALSH_E_STOPPED, "stopped", walsh_check_problem(op_device(), &problem, &about, hear, &h));
    assert_int_equal(h.right + h.wrong, 1);
}

static void every_operation_has_a_reference(void **state)
{
    (void)state;
    static const walsh_op *const all[] = {&walsh_add,
                                          &walsh_bn_stats,
                                          &walsh_bn_finalize,
                                          &walsh_bn_eval,
                                          &walsh_bn_apply,
                                          &walsh_bn_backward_sums,
                                          &walsh_bn_backward_finalize,
                                          &walsh_bn_backward_apply,
                                          &walsh_conv_forward,
                                          &walsh_conv_data,
                                          &walsh_conv_filter,
                                          &walsh_head_normalise,
                                          &walsh_head_logits,
                                          &walsh_head_fold,
                                          &walsh_head_normalise_backward,
                                          &walsh_fused_head,
                                          &walsh_head_predict,
                                          &walsh_fwht_rows,
                                          &walsh_gemm,
                                          &walsh_image,
                                          &walsh_lanes,
                                          &walsh_logit_loss,
                                          &walsh_pool_forward,
                                          &walsh_pool_backward,
                                          &walsh_reduce,
                                          &walsh_relu_forward,
                                          &walsh_relu_backward,
                                          &walsh_sgd};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (!walsh_reference_of(all[i])) fail_msg("%s has no reference", all[i]->name);
    walsh_op unknown = walsh_add;
    unknown.name = "subtract";
    const walsh_checked about = {.op = &unknown};
    assert_fails(WALSH_E_ARGUMENT, "subtract", walsh_check_problem(op_device(), &problem, &about, hear, NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_what_is_wrong),
        cmocka_unit_test(stops_when_told),
        cmocka_unit_test(every_operation_has_a_reference),
    };
    return cmocka_run_group_tests(tests, NULL, op_device_close);
}
