/* Whole heads in plans, forward, loss and backward, against dense double-precision heads whose gradients are proved by
 * finite differences. */
#include "tests/op_case.h"

#include <math.h>

#include "engine/nn/head.h"
#include "engine/base/rng.h"
#include "engine/check/reference_loss.h"

/* A head on the device: bound tensors and a plan; and the same in double precision. */
typedef struct head_case {
    walsh_head head;
    int b, n, c;
    walsh_tensor *tensor[16];
    int tensors;
    walsh_plan *plan;
    walsh_arena *arena;
    walsh_head_parts parts;
    walsh_reference_head ref;
    double *x, *q, *bias;
    int32_t *labels;
} head_case;

/* A bound value of a shape, with `values` in it (NULL: garbage). */
static walsh_value bind(head_case *h, walsh_shape shape, const float *values)
{
    if (walsh_shape_is_absent(shape)) return WALSH_NO_VALUE;
    walsh_tensor **t = &h->tensor[h->tensors++];
    shape.pitch += 8;
    assert_ok(walsh_tensor_make(op_device(), shape, t));
    size_t count = walsh_shape_rows(shape) * (size_t)shape.c;
    float *garbage = op_floats(count);
    for (size_t i = 0; i < count; i++) garbage[i] = 1e30f;
    assert_ok(walsh_view_upload(op_device(), &(*t)->view, values ? values : garbage));
    free(garbage);
    return walsh_plan_bind(h->plan, &(*t)->view);
}

static walsh_value bind_ints(head_case *h, int count, const int32_t *values)
{
    walsh_tensor **t = &h->tensor[h->tensors++];
    assert_ok(walsh_tensor_make(op_device(), walsh_shape_array(WALSH_I32, count), t));
    assert_ok(walsh_view_write(op_device(), &(*t)->view, values));
    return walsh_plan_bind(h->plan, &(*t)->view);
}

/* Draws `count` values in [-scale, scale), to the device and to the reference. */
static walsh_value draw(head_case *h, walsh_shape shape, uint64_t seed, float scale, double *dense)
{
    size_t count = walsh_shape_rows(shape) * (size_t)shape.c;
    float *values = op_floats(count);
    for (size_t i = 0; i < count; i++) {
        values[i] = scale * (2 * walsh_rng_uniform((walsh_rng){seed, 5}, i) - 1);
        dense[i] = values[i];
    }
    walsh_value value = bind(h, shape, values);
    free(values);
    return value;
}

static void bind_matrix(head_case *h, const walsh_head_shapes *shapes)
{
    size_t entries = (size_t)h->n * (size_t)h->c;
    float *q = op_floats(entries);
    float *constant = op_floats(walsh_shape_rows(shapes->constant) * (size_t)shapes->constant.c + 1);
    if (h->ref.fixed) {
        assert_ok(walsh_head_rows(&h->head.spec, 0, h->c, q));
        for (size_t i = 0; i < entries; i++) h->q[i] = q[i];
        assert_ok(walsh_head_constant(&h->head.spec, constant));
        h->parts.constant = bind(h, shapes->constant, constant);
    } else {
        h->parts.weight = draw(h, shapes->weight, 4, 0.5f, h->q);
    }
    free(q), free(constant);
}

static void open_case(head_case *h, const walsh_head *head, int b, int valid)
{
    int n = head->spec.features, c = head->spec.classes;
    const float alpha = 7.5f;
    *h = (head_case){.head = *head, .b = b, .n = n, .c = c, .parts = walsh_head_no_parts};
    walsh_head_shapes shapes = walsh_head_shapes_of(&head->spec);
    h->x = op_doubles((size_t)(b * n)), h->q = op_doubles((size_t)(n * c)), h->bias = op_doubles((size_t)c);
    h->labels = calloc((size_t)b, sizeof *h->labels);
    for (int i = 0; i < b; i++) h->labels[i] = (i * 5 + 1) % c;
    h->ref = (walsh_reference_head){.b = b,
                        .n = n,
                        .c = c,
                        .valid = valid,
                        .fixed = head->spec.kind != WALSH_HEAD_LEARNED,
                        .cosine = head->loss == WALSH_LOSS_COSINE,
                        .smoothing = head->label_smoothing,
                        .alpha = alpha,
                        .q = h->q,
                        .bias = h->bias,
                        .labels = h->labels};
    assert_ok(walsh_plan_create(op_device(), &h->plan));
    assert_ok(walsh_arena_create(op_device(), &h->arena));
    h->parts.features = draw(h, walsh_shape_matrix(b, n), 1, 2, h->x);
    h->parts.labels = bind_ints(h, b, h->labels);
    h->parts.valid = bind_ints(h, 4, (const int32_t[]){valid, 0, 0, 0});
    h->parts.bias = draw(h, shapes.bias, 2, 0.3f, h->bias);
    h->parts.alpha = bind(h, shapes.alpha, &alpha);
    bind_matrix(h, &shapes);
    h->parts.logits = bind(h, walsh_shape_matrix(b, c), NULL);
    h->parts.metrics = bind(h, walsh_shape_matrix(b, 4), NULL);
}

/* Runs forward and metrics, or forward and backward. */
static void run_case(head_case *h, bool backward)
{
    if (backward) {
        walsh_head_shapes shapes = walsh_head_shapes_of(&h->head.spec);
        h->parts.d_weight = bind(h, shapes.weight, NULL);
        h->parts.d_bias = bind(h, shapes.bias, NULL);
        h->parts.d_alpha = bind(h, shapes.alpha, NULL);
        h->parts.d_features = bind(h, walsh_shape_matrix(h->b, h->n), NULL);
    }
    if (backward)
        walsh_head_train(h->plan, &h->head, &h->parts);
    else
        walsh_head_evaluate(h->plan, &h->head, &h->parts);
    assert_ok(walsh_plan_layout(h->plan, h->arena));
    assert_ok(walsh_arena_commit(h->arena));
    assert_ok(walsh_plan_emit(h->plan, h->arena));
    assert_ok(walsh_plan_run(h->plan));
}

static void close_case(head_case *h)
{
    walsh_plan_destroy(&h->plan);
    walsh_arena_destroy(&h->arena);
    for (int i = 0; i < h->tensors; i++) walsh_tensor_destroy(&h->tensor[i]);
    free(h->x), free(h->q), free(h->bias), free(h->labels);
}

static double error_of(head_case *h, walsh_value value, const double *want, size_t count)
{
    float *got = op_floats(count);
    walsh_view view = walsh_plan_view(h->plan, value);
    assert_ok(walsh_view_download(op_device(), &view, got));
    double error = op_error(got, want, count);
    free(got);
    return error;
}

static void compare_forward(head_case *h, bool has_logits)
{
    double *logits = op_doubles((size_t)(h->b * h->c)), *metrics = op_doubles((size_t)(4 * h->b));
    walsh_reference_head_logits(&h->ref, h->x, logits);
    walsh_reference_head_loss(&h->ref, h->x, metrics);
    if (has_logits) assert_true(error_of(h, h->parts.logits, logits, (size_t)(h->b * h->c)) < 2e-6);
    assert_true(error_of(h, h->parts.metrics, metrics, (size_t)(4 * h->b)) < 1e-5);
    free(logits), free(metrics);
}

static void compare_backward(head_case *h)
{
    size_t entries = (size_t)h->n * (size_t)h->c;
    double *dx = op_doubles((size_t)(h->b * h->n)), *dq = op_doubles(entries), *dbias = op_doubles((size_t)h->c),
           dalpha;
    walsh_reference_head_backward(&h->ref, h->x, dx, dq, dbias, &dalpha);
    assert_true(error_of(h, h->parts.d_features, dx, (size_t)(h->b * h->n)) < 1e-5);
    if (!h->ref.fixed) assert_true(error_of(h, h->parts.d_weight, dq, entries) < 1e-5);
    if (!h->ref.cosine) assert_true(error_of(h, h->parts.d_bias, dbias, (size_t)h->c) < 1e-5);
    if (h->ref.fixed && !h->ref.cosine) assert_true(error_of(h, h->parts.d_alpha, &dalpha, 1) < 1e-5);
    free(dx), free(dq), free(dbias);
}

/* Evaluation, training with the logits kept, and training with their gradient in their place. */
static void one(walsh_head_kind kind, walsh_loss loss, float smoothing, int b, int valid, int n, int c)
{
    walsh_head head = {.spec = {kind, n, c, 1}, .loss = loss, .label_smoothing = smoothing};
    bool stores_none = kind == WALSH_HEAD_HADAMARD;
    for (int way = 0; way < (stores_none ? 2 : 3); way++) {
        head_case h;
        open_case(&h, &head, b, valid);
        if (way == 2) h.parts.logits = WALSH_NO_VALUE;
        run_case(&h, way > 0);
        compare_forward(&h, way == 0 || (way == 1 && !stores_none));
        if (way > 0) compare_backward(&h);
        close_case(&h);
    }
}

static void learned(void **state)
{
    (void)state;
    one(WALSH_HEAD_LEARNED, WALSH_LOSS_CROSS_ENTROPY, 0, 16, 16, 64, 10);
    one(WALSH_HEAD_LEARNED, WALSH_LOSS_CROSS_ENTROPY, 0.125f, 5, 3, 7, 101);
    one(WALSH_HEAD_LEARNED, WALSH_LOSS_CROSS_ENTROPY, 0, 1, 1, 342, 9);
    one(WALSH_HEAD_LEARNED, WALSH_LOSS_CROSS_ENTROPY, 0.125f, 128, 100, 96, 1000);
}

static void fixed(void **state)
{
    (void)state;
    const walsh_head_kind kinds[] = {WALSH_HEAD_ORTHONORMAL, WALSH_HEAD_HADAMARD};
    const int sizes[][2] = {{64, 10}, {64, 64}, {64, 100}, {64, 128}, {2, 1}, {2, 4}, {4, 7}, {8, 9}, {512, 1000}};
    for (int k = 0; k < 2; k++) {
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            int b = 1 + 3 * (int)i;
            one(kinds[k], WALSH_LOSS_CROSS_ENTROPY, i % 2 ? 0.125f : 0, b, b, sizes[i][0], sizes[i][1]);
        }
        one(kinds[k], WALSH_LOSS_CROSS_ENTROPY, 0, 9, 4, 64, 100);
        one(kinds[k], WALSH_LOSS_COSINE, 0, 1, 1, 64, 10);
        one(kinds[k], WALSH_LOSS_COSINE, 0, 9, 7, 64, 100);
        one(kinds[k], WALSH_LOSS_COSINE, 0, 3, 3, 2, 3);
    }
    one(WALSH_HEAD_ORTHONORMAL, WALSH_LOSS_CROSS_ENTROPY, 0, 6, 6, 342, 100);
    one(WALSH_HEAD_ORTHONORMAL, WALSH_LOSS_COSINE, 0, 6, 6, 33, 100);
    const int others[][2] = {{64, 130}, {60, 300}, {342, 100}, {33, 100}, {48, 1}, {3, 8}};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        one(WALSH_HEAD_HADAMARD, i % 2 ? WALSH_LOSS_COSINE : WALSH_LOSS_CROSS_ENTROPY, 0, 6, 5, others[i][0],
            others[i][1]);
    one(WALSH_HEAD_HADAMARD_PLAIN, WALSH_LOSS_CROSS_ENTROPY, 0, 6, 6, 64, 100);
    one(WALSH_HEAD_HADAMARD_PLAIN, WALSH_LOSS_COSINE, 0, 6, 6, 33, 20);
}

/* A fixed alpha gets no gradient, and the rest does not change. */
static void alpha_may_be_fixed(void **state)
{
    (void)state;
    walsh_head head = {.spec = {WALSH_HEAD_HADAMARD, 16, 20, 0}};
    head_case h;
    open_case(&h, &head, 3, 3);
    h.parts.d_bias = bind(&h, walsh_shape_vector(20), NULL);
    walsh_head_train(h.plan, &h.head, &h.parts);
    assert_ok(walsh_plan_layout(h.plan, h.arena));
    assert_ok(walsh_arena_commit(h.arena));
    assert_ok(walsh_plan_emit(h.plan, h.arena));
    assert_ok(walsh_plan_run(h.plan));
    compare_forward(&h, false);
    double dx[48], dq[320], dbias[20], dalpha;
    walsh_reference_head_backward(&h.ref, h.x, dx, dq, dbias, &dalpha);
    assert_true(error_of(&h, h.parts.d_features, dx, 48) < 1e-5); /* made by the head, the last thing to be written */
    assert_true(error_of(&h, h.parts.d_bias, dbias, 20) < 1e-5);
    close_case(&h);
}

static void zero_features_stay_finite(void **state)
{
    (void)state;
    for (int kind = WALSH_HEAD_ORTHONORMAL; kind <= WALSH_HEAD_HADAMARD; kind++) {
        walsh_head head = {.spec = {(walsh_head_kind)kind, 8, 10, 1}};
        head_case h;
        float zeros[16] = {0}, got[20];
        open_case(&h, &head, 2, 2);
        memset(h.x, 0, 16 * sizeof *h.x);
        assert_ok(walsh_view_upload(op_device(), &h.tensor[0]->view, zeros));
        run_case(&h, true);
        compare_forward(&h, kind != WALSH_HEAD_HADAMARD);
        compare_backward(&h);
        walsh_view view = walsh_plan_view(h.plan, h.parts.d_features);
        assert_ok(walsh_view_download(op_device(), &view, got));
        for (int i = 0; i < 16; i++) assert_true(isfinite(got[i]));
        close_case(&h);
    }
}

/* Features beyond what can be squared give a finite loss, and infinite ones show in it, with finite ones beside them
 * unharmed. */
static void huge_features(void **state)
{
    (void)state;
    enum { B = 3, N = 16, C = 20 };
    for (int kind = WALSH_HEAD_ORTHONORMAL; kind <= WALSH_HEAD_HADAMARD_PLAIN; kind++) {
        walsh_head head = {.spec = {(walsh_head_kind)kind, N, C, 1}};
        head_case h;
        float x[B * N], metrics[4 * B], dx[B * N];
        open_case(&h, &head, B, B);
        for (int i = 0; i < B * N; i++) x[i] = i < N ? 1e30f : (float)h.x[i];
        x[N + 3] = INFINITY;
        assert_ok(walsh_view_upload(op_device(), &h.tensor[0]->view, x));
        run_case(&h, true);
        walsh_view view = walsh_plan_view(h.plan, h.parts.metrics);
        assert_ok(walsh_view_download(op_device(), &view, metrics));
        view = walsh_plan_view(h.plan, h.parts.d_features);
        assert_ok(walsh_view_download(op_device(), &view, dx));
        assert_true(isfinite(metrics[0]) && !isfinite(metrics[4]) && isfinite(metrics[8]));
        for (int i = 0; i < N; i++) assert_true(isfinite(dx[i]) && isfinite(dx[2 * N + i]));
        close_case(&h);
    }
}

/* ---- The reference itself: every gradient by central differences. ---- */

static double difference(walsh_reference_head *h, double *x, double *variable)
{
    const double step = 1e-6, kept = *variable;
    *variable = kept + step;
    double up = walsh_reference_head_loss(h, x, NULL);
    *variable = kept - step;
    double down = walsh_reference_head_loss(h, x, NULL);
    *variable = kept;
    return (up - down) / (2 * step);
}

static void finite_differences(void **state)
{
    (void)state;
    enum { B = 3, N = 5, C = 7 };
    double x[B * N], q[C * N], bias[C], dx[B * N], dq[C * N], dbias[C], dalpha;
    const int32_t labels[B] = {2, 6, 0};
    for (int i = 0; i < B * N; i++) x[i] = sin(i + 1);
    for (int i = 0; i < C * N; i++) q[i] = cos(3 * i);
    for (int i = 0; i < C; i++) bias[i] = 0.1 * i;
    for (int way = 0; way < 4; way++) {
        walsh_reference_head h = {.b = B,
                      .n = N,
                      .c = C,
                      .valid = way == 1 ? 2 : 3,
                      .fixed = way > 0,
                      .cosine = way == 3,
                      .smoothing = way == 2 ? 0.2 : 0,
                      .alpha = 3,
                      .q = q,
                      .bias = bias,
                      .labels = labels};
        walsh_reference_head_backward(&h, x, dx, dq, dbias, &dalpha);
        for (int i = 0; i < B * N; i++) assert_true(fabs(difference(&h, x, &x[i]) - dx[i]) < 1e-8);
        for (int i = 0; i < C * N; i++) assert_true(fabs(difference(&h, x, &q[i]) - dq[i]) < 1e-8);
        for (int i = 0; i < C; i++) assert_true(fabs(difference(&h, x, &bias[i]) - dbias[i]) < 1e-8);
        if (h.fixed) assert_true(fabs(difference(&h, x, &h.alpha) - dalpha) < 1e-8);
    }
}

static void refusals(void **state)
{
    (void)state;
    walsh_head head = {.spec = {WALSH_HEAD_LEARNED, 64, 10, 0}, .loss = WALSH_LOSS_COSINE};
    assert_fails(WALSH_E_ARGUMENT, "needs a fixed head", walsh_head_valid(&head));
    head.spec.kind = WALSH_HEAD_HADAMARD, head.label_smoothing = 0.1f;
    assert_fails(WALSH_E_ARGUMENT, "takes no label smoothing", walsh_head_valid(&head));
    head.loss = WALSH_LOSS_CROSS_ENTROPY, head.label_smoothing = -1;
    assert_fails(WALSH_E_ARGUMENT, "label smoothing -1", walsh_head_valid(&head));
    head.label_smoothing = 0, head.spec.features = 12, head.spec.classes = 4097;
    assert_fails(WALSH_E_ARGUMENT, "cannot have 4097", walsh_head_valid(&head));

    /* A plan remembers. */
    walsh_plan *plan = NULL;
    walsh_arena *arena = NULL;
    walsh_head_parts parts = walsh_head_no_parts;
    assert_ok(walsh_plan_create(op_device(), &plan));
    assert_ok(walsh_arena_create(op_device(), &arena));
    parts.features = walsh_plan_value(plan, walsh_shape_matrix(2, 64));
    walsh_head_train(plan, &head, &parts);
    assert_fails(WALSH_E_ARGUMENT, "cannot have 4097", walsh_plan_layout(plan, arena));
    walsh_plan_destroy(&plan);
    walsh_arena_destroy(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finite_differences), cmocka_unit_test(learned),  cmocka_unit_test(fixed),
        cmocka_unit_test(alpha_may_be_fixed), cmocka_unit_test(refusals), cmocka_unit_test(zero_features_stay_finite),
        cmocka_unit_test(huge_features),
    };
    return cmocka_run_group_tests(tests, NULL, op_device_close);
}
