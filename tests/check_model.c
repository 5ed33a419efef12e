/* Models: exact numbers of parameters, weights files in and out, and files that are not what they should be. */
#include "tests/op_case.h"

#include <limits.h>
#include <math.h>

#include <walsh/model.h>

#include "engine/base/safetensors.h"
#include "engine/model/snapshot.h"
#include "tests/temp.h"

static walsh_model *make(const char *name, int classes, walsh_head_kind head)
{
    walsh_model *model = NULL;
    walsh_model_options options = {.name = name, .classes = classes, .head = head};
    assert_ok(walsh_model_create(op_device(), &options, &model));
    return model;
}

/* Trained parameters of the networks, exactly as published counts and the fixed head's scale and bias say. */
static void parameters_are_exact(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int classes;
        walsh_head_kind head;
        size_t parameters;
    } known[] = {
        {"resnet20", 10, WALSH_HEAD_LEARNED, 272474},
        {"resnet32", 10, WALSH_HEAD_LEARNED, 466906},
        {"resnet44", 10, WALSH_HEAD_LEARNED, 661338},
        {"resnet56", 10, WALSH_HEAD_LEARNED, 855770},
        {"resnet110", 10, WALSH_HEAD_LEARNED, 1730714},
        {"resnet20", 10, WALSH_HEAD_HADAMARD, 271835},
        {"resnet32", 10, WALSH_HEAD_HADAMARD, 466267},
        {"resnet44", 10, WALSH_HEAD_ORTHONORMAL, 660699},
        {"resnet56", 10, WALSH_HEAD_HADAMARD, 855131},
        {"resnet110", 10, WALSH_HEAD_ORTHONORMAL, 1730075},
        {"resnet20", 100, WALSH_HEAD_LEARNED, 278324},
        {"resnet32", 100, WALSH_HEAD_LEARNED, 472756},
        {"resnet44", 100, WALSH_HEAD_LEARNED, 667188},
        {"resnet56", 100, WALSH_HEAD_LEARNED, 861620},
        {"resnet110", 100, WALSH_HEAD_LEARNED, 1736564},
        {"resnet20", 100, WALSH_HEAD_HADAMARD, 271925},
        {"resnet32", 100, WALSH_HEAD_ORTHONORMAL, 466357},
        {"resnet44", 100, WALSH_HEAD_HADAMARD, 660789},
        {"resnet56", 100, WALSH_HEAD_HADAMARD, 855221},
        {"resnet110", 100, WALSH_HEAD_HADAMARD, 1730165},
        {"resnet18", 1000, WALSH_HEAD_LEARNED, 11689512},
        {"resnet34", 1000, WALSH_HEAD_LEARNED, 21797672},
        {"resnet50", 1000, WALSH_HEAD_LEARNED, 25557032},
        {"resnet50", 1000, WALSH_HEAD_HADAMARD, 23509033},
        {"densenet-bc-100-12", 100, WALSH_HEAD_LEARNED, 800032},
        {"densenet121", 1000, WALSH_HEAD_LEARNED, 7978856},
        {"densenet169", 1000, WALSH_HEAD_LEARNED, 14149480},
        {"shufflenet", 1000, WALSH_HEAD_LEARNED, 1826554},
        {"shufflenet", 1000, WALSH_HEAD_HADAMARD, 1826554 - 960000 + 1},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        walsh_model *model = make(known[i].name, known[i].classes, known[i].head);
        if (walsh_model_describe(model)->parameters != known[i].parameters)
            fail_msg("%s, %d classes, %s: %zu parameters, expected %zu", known[i].name, known[i].classes,
                     walsh_head_kind_name(known[i].head), walsh_model_describe(model)->parameters, known[i].parameters);
        walsh_model_destroy(&model);
        assert_null(model);
    }
}

/* The list that programs show is the one that README and help give; parameters_are_exact builds them all. */
static void names_are_models(void **state)
{
    (void)state;
    static const char *const expected[] = {"resnet20",           "resnet32",    "resnet44",    "resnet56",
                                           "resnet110",          "resnet18",    "resnet34",    "resnet50",
                                           "densenet-bc-100-12", "densenet121", "densenet169", "shufflenet"};
    enum { COUNT = sizeof expected / sizeof *expected };
    const char *const *names = walsh_model_names();
    for (int i = 0; i < COUNT; i++) assert_string_equal(names[i], expected[i]);
    assert_null(names[COUNT]);
}

/* A fixed alpha is not trained and not counted. */
static void fixed_alpha_is_no_parameter(void **state)
{
    (void)state;
    walsh_model *model = NULL;
    walsh_model_options options = {
        .name = "resnet20", .classes = 10, .head = WALSH_HEAD_HADAMARD, .alpha_fixed = true, .alpha = 1};
    assert_ok(walsh_model_create(op_device(), &options, &model));
    assert_int_equal(walsh_model_describe(model)->parameters, 271834);
    walsh_model_destroy(&model);
}

static void contradictions_are_refused(void **state)
{
    (void)state;
    walsh_model *model = NULL;
    walsh_model_options options = {.name = "resnet21", .classes = 10};
    assert_fails(WALSH_E_ARGUMENT, "resnet20, resnet32", walsh_model_create(op_device(), &options, &model));
    options = (walsh_model_options){.name = "resnet20", .classes = 0};
    assert_fails(WALSH_E_ARGUMENT, "at least 1", walsh_model_create(op_device(), &options, &model));
    options.classes = INT_MAX;
    assert_fails(WALSH_E_ARGUMENT, "2^30", walsh_model_create(op_device(), &options, &model));
    options.classes = 1 << 30; /* 2^36 weights */
    assert_fails(WALSH_E_MEMORY, "numbers", walsh_model_create(op_device(), &options, &model));
    options = (walsh_model_options){.name = "resnet20", .classes = 10, .loss = WALSH_LOSS_COSINE};
    assert_fails(WALSH_E_ARGUMENT, "cosine", walsh_model_create(op_device(), &options, &model));
    options = (walsh_model_options){.name = "resnet20", .classes = 1 << 23, .head = WALSH_HEAD_ORTHONORMAL};
    assert_fails(WALSH_E_ARGUMENT, "268435456", walsh_model_create(op_device(), &options, &model));
    options = (walsh_model_options){.name = "resnet20", .classes = 10, .head = WALSH_HEAD_HADAMARD};
    const float alphas[] = {NAN, -1, INFINITY, -INFINITY};
    for (int i = 0; i < 4; i++) {
        options.alpha = alphas[i];
        assert_fails(WALSH_E_ARGUMENT, "expected a positive number", walsh_model_create(op_device(), &options, &model));
    }
    options = (walsh_model_options){.name = "resnet20", .classes = 10, .alpha_fixed = true, .alpha = 1};
    assert_fails(WALSH_E_ARGUMENT, "fixed head", walsh_model_create(op_device(), &options, &model));
    assert_null(model);
}

static const float *tensor(const walsh_safetensors *file, const char *name, size_t elements)
{
    const walsh_safetensors_entry *entry = walsh_safetensors_find(file, name);
    assert_non_null(entry);
    assert_int_equal(entry->dtype, WALSH_DTYPE_F32);
    assert_int_equal(entry->size, elements * sizeof(float));
    return entry->data;
}

/* He normal: fan out, so a 3x3 convolution to 64 channels has deviation sqrt(2 / (64*9)); unit gamma; zero beta. */
static void initial_weights_follow_the_rule(void **state)
{
    (void)state;
    walsh_model *model = make("resnet20", 10, WALSH_HEAD_LEARNED);
    assert_ok(walsh_model_initialise(model, 3));
    assert_ok(walsh_model_save(model, "w.safetensors"));
    walsh_safetensors *file = NULL;
    assert_ok(walsh_safetensors_open("w.safetensors", &file));
    const size_t n = 64 * 64 * 9;
    const float *w = tensor(file, "layer3.1.conv2.weight", n);
    double sum = 0, square = 0;
    for (size_t i = 0; i < n; i++) sum += w[i], square += (double)w[i] * w[i];
    double variance = 2.0 / (64 * 9);
    assert_true(fabs(square / (double)n / variance - 1) < 5 * sqrt(2.0 / (double)n));
    assert_true(fabs(sum / (double)n) < 5 * sqrt(variance / (double)n));
    const float *gamma = tensor(file, "bn1.weight", 16), *var = tensor(file, "bn1.running_var", 16);
    for (int i = 0; i < 16; i++) assert_true(gamma[i] == 1 && var[i] == 1);
    const float *fc = tensor(file, "fc.weight", 640);
    float largest = 0;
    for (int i = 0; i < 640; i++) largest = fmaxf(largest, fabsf(fc[i]));
    assert_true(largest <= 0.125f && largest > 0.12f);
    assert_string_equal(walsh_safetensors_metadata(file, "model"), "resnet20");
    assert_non_null(walsh_safetensors_find(file, "layer2.0.downsample.0.weight"));
    assert_int_equal(walsh_safetensors_find(file, "bn1.num_batches_tracked")->dtype, WALSH_DTYPE_I64);
    walsh_safetensors_close(&file);
    walsh_model_destroy(&model);
}

static void saved_weights_come_back_to_the_bit(void **state)
{
    (void)state;
    for (int head = WALSH_HEAD_LEARNED; head <= WALSH_HEAD_HADAMARD; head++) {
        walsh_model *model = make("resnet20", 10, (walsh_head_kind)head), *again = NULL;
        assert_ok(walsh_model_initialise(model, 1));
        assert_ok(walsh_model_save(model, "a.safetensors"));
        assert_ok(walsh_model_open(op_device(), "a.safetensors", NULL, 0, &again));
        assert_int_equal(walsh_model_describe(again)->head.kind, head);
        assert_int_equal(walsh_model_describe(again)->classes, 10);
        assert_ok(walsh_model_save(again, "b.safetensors"));
        assert_int_equal(system("cmp a.safetensors b.safetensors"), 0);
        walsh_model_destroy(&again);
        walsh_model_destroy(&model);
    }
}

/* Weights are opened at the size that they were trained at, or at that which is asked for. */
static void models_open_at_any_size(void **state)
{
    (void)state;
    static const int asked[] = {0, 32, 60}, expected[] = {48, 32, 60};
    const walsh_model_options options = {.name = "resnet20", .image_size = 48, .classes = 10};
    walsh_model *model = NULL;
    assert_ok(walsh_model_create(op_device(), &options, &model));
    assert_ok(walsh_model_initialise(model, 1));
    assert_ok(walsh_model_save(model, "a.safetensors"));
    walsh_model_destroy(&model);
    for (int i = 0; i < 3; i++) {
        assert_ok(walsh_model_open(op_device(), "a.safetensors", NULL, asked[i], &model));
        assert_int_equal(walsh_model_describe(model)->image_size, expected[i]);
        walsh_model_destroy(&model);
    }
    assert_fails(WALSH_E_ARGUMENT, "-1", walsh_model_open(op_device(), "a.safetensors", NULL, -1, &model));
}

/* A file that does not fit leaves the model as it was. */
static void other_models_weights_are_refused(void **state)
{
    (void)state;
    walsh_model *small = make("resnet20", 10, WALSH_HEAD_LEARNED), *deep = make("resnet32", 10, WALSH_HEAD_LEARNED);
    walsh_model *fixed = make("resnet20", 10, WALSH_HEAD_HADAMARD), *many = make("resnet20", 100, WALSH_HEAD_LEARNED);
    assert_ok(walsh_model_initialise(small, 1));
    assert_ok(walsh_model_initialise(deep, 2));
    assert_ok(walsh_model_initialise(fixed, 2));
    assert_ok(walsh_model_initialise(many, 2));
    assert_ok(walsh_model_save(deep, "deep.safetensors"));
    assert_ok(walsh_model_save(fixed, "fixed.safetensors"));
    assert_ok(walsh_model_save(many, "many.safetensors"));
    assert_ok(walsh_model_save(small, "before.safetensors"));
    assert_fails(WALSH_E_FORMAT, "resnet32", walsh_model_load(small, "deep.safetensors"));
    assert_fails(WALSH_E_FORMAT, "hadamard", walsh_model_load(small, "fixed.safetensors"));
    assert_fails(WALSH_E_FORMAT, "fc.weight is [100, 64], this model expects [10, 64]",
                 walsh_model_load(small, "many.safetensors"));
    assert_fails(WALSH_E_FILE, "nothing.safetensors", walsh_model_load(small, "nothing.safetensors"));
    assert_ok(walsh_model_save(small, "after.safetensors"));
    assert_int_equal(system("cmp before.safetensors after.safetensors"), 0);
    walsh_model_destroy(&small), walsh_model_destroy(&deep), walsh_model_destroy(&fixed), walsh_model_destroy(&many);
}

/* Weights that were trained with one matrix mean nothing with another. */
static void another_heads_matrix_is_refused(void **state)
{
    (void)state;
    walsh_model_options options = {.name = "resnet20", .classes = 10, .head = WALSH_HEAD_ORTHONORMAL, .head_seed = 5};
    walsh_model *model = NULL, *plain = make("resnet20", 10, WALSH_HEAD_HADAMARD_PLAIN), *other = NULL;
    assert_ok(walsh_model_create(op_device(), &options, &model));
    assert_ok(walsh_model_initialise(model, 1));
    assert_ok(walsh_model_save(model, "seed5.safetensors"));
    options.head_seed = 6;
    assert_ok(walsh_model_create(op_device(), &options, &other));
    assert_fails(WALSH_E_FORMAT, "head_seed", walsh_model_load(other, "seed5.safetensors"));
    assert_fails(WALSH_E_FORMAT, "orthonormal", walsh_model_load(plain, "seed5.safetensors"));
    assert_ok(walsh_model_load(model, "seed5.safetensors"));
    walsh_model_destroy(&model), walsh_model_destroy(&plain), walsh_model_destroy(&other);
}

/* A weight that is no longer finite is never saved over a good file. */
static void nan_is_not_saved(void **state)
{
    (void)state;
    walsh_model *model = make("resnet20", 10, WALSH_HEAD_LEARNED);
    assert_ok(walsh_model_initialise(model, 1));
    walsh_parameters *parameters = walsh_network_parameters(model->network);
    walsh_view view =
        walsh_parameters_view(parameters, WALSH_COPY_WEIGHTS, walsh_parameters_find(parameters, "bn1.bias"));
    float values[16] = {0};
    values[5] = NAN;
    assert_ok(walsh_view_upload(op_device(), &view, values));
    assert_fails(WALSH_E_NOT_FINITE, "bn1.bias", walsh_model_save(model, "w.safetensors"));
    assert_int_not_equal(system("test -e w.safetensors"), 0);
    walsh_model_destroy(&model);
}

/* A snapshot shows the weights as they were when it was taken, though steps follow it at once and it is packed after
 * them; read later, they are others. */
static void later_steps_do_not_show_in_a_snapshot(void **state)
{
    (void)state;
    enum { BATCH = 4 };
    static uint8_t pixels[BATCH * 32 * 32 * 4];
    static const int32_t labels[BATCH] = {1, 2, 3, 4};
    const walsh_hyper hyper = {.lr = 0.1f};
    for (size_t i = 0; i < sizeof pixels; i++) pixels[i] = (uint8_t)(i * 7 % 251);
    walsh_model_options options = {.name = "resnet20", .classes = 10, .trains = true};
    walsh_model *model = NULL;
    walsh_snapshot *snapshot = NULL;
    walsh_batch_metrics metrics;
    assert_ok(walsh_model_create(op_device(), &options, &model));
    assert_ok(walsh_model_initialise(model, 1));
    assert_ok(walsh_network_prepare(model->network, &(walsh_network_purpose){.batch = BATCH, .train = true}));
    for (int round = 0; round < 2; round++) {
        assert_ok(walsh_model_save(model, "before.safetensors"));
        assert_ok(walsh_network_train(model->network, pixels, labels, BATCH, &hyper));
        walsh_snapshot_destroy(&snapshot); /* the one before: a snapshot may be given up at any time */
        assert_ok(walsh_snapshot_take(model, true, &snapshot));
        assert_ok(walsh_network_train(model->network, pixels, labels, BATCH, &hyper));
        assert_ok(walsh_network_metrics(model->network, &metrics));
        assert_ok(walsh_network_metrics(model->network, &metrics));
        if (round == 0) continue;
        assert_ok(walsh_snapshot_wait(snapshot));
        assert_ok(walsh_snapshot_pack(snapshot));
        assert_ok(walsh_snapshot_write_model(snapshot, "between.safetensors"));
        assert_ok(walsh_snapshot_write(snapshot, "with_momentum.safetensors"));
        assert_ok(walsh_model_save(model, "after.safetensors"));
    }
    walsh_snapshot_destroy(&snapshot);
    /* The step that followed the snapshot, done again from it, leads to the same weights. */
    assert_ok(walsh_model_load(model, "between.safetensors"));
    walsh_safetensors *file = NULL;
    assert_ok(walsh_safetensors_open("with_momentum.safetensors", &file));
    assert_ok(walsh_snapshot_restore(file, "with_momentum.safetensors", model, true));
    walsh_safetensors_close(&file);
    assert_ok(walsh_network_train(model->network, pixels, labels, BATCH, &hyper));
    assert_ok(walsh_network_metrics(model->network, &metrics));
    assert_ok(walsh_model_save(model, "again.safetensors"));
    assert_int_equal(system("cmp after.safetensors again.safetensors"), 0);
    assert_int_not_equal(system("cmp -s before.safetensors between.safetensors"), 0);
    assert_int_not_equal(system("cmp -s between.safetensors after.safetensors"), 0);
    walsh_model_destroy(&model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parameters_are_exact),
        cmocka_unit_test(names_are_models),
        cmocka_unit_test(fixed_alpha_is_no_parameter),
        cmocka_unit_test(contradictions_are_refused),
        cmocka_unit_test_setup_teardown(initial_weights_follow_the_rule, temp_enter, temp_leave),
        cmocka_unit_test_setup_teardown(later_steps_do_not_show_in_a_snapshot, temp_enter, temp_leave),
        cmocka_unit_test_setup_teardown(saved_weights_come_back_to_the_bit, temp_enter, temp_leave),
        cmocka_unit_test_setup_teardown(models_open_at_any_size, temp_enter, temp_leave),
        cmocka_unit_test_setup_teardown(other_models_weights_are_refused, temp_enter, temp_leave),
        cmocka_unit_test_setup_teardown(another_heads_matrix_is_refused, temp_enter, temp_leave),
        cmocka_unit_test_setup_teardown(nan_is_not_saved, temp_enter, temp_leave),
    };
    return cmocka_run_group_tests(tests, NULL, op_device_close);
}
