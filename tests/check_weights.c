/* Weights files from elsewhere, what is said of those that do not fit, and training that starts from weights: with
 * another head, and with a frozen body. */
#include "tests/op_case.h"

#include <math.h>

#include <walsh/train.h>

#include "engine/base/rng.h"
#include "engine/base/safetensors.h"
#include "engine/model/match.h"
#include "tests/temp.h"

enum { CLASSES = 10, BATCH = 8, RECORD = 3073 };

static walsh_model *make(const char *name, int classes, walsh_head_kind head)
{
    walsh_model *model = NULL;
    walsh_model_options options = {.name = name, .classes = classes, .head = head};
    assert_ok(walsh_model_create(op_device(), &options, &model));
    assert_ok(walsh_model_initialise(model, 3));
    return model;
}

static void save(const char *path, const char *name, int classes, walsh_head_kind head)
{
    walsh_model *model = make(name, classes, head);
    assert_ok(walsh_model_save(model, path));
    walsh_model_destroy(&model);
}

static walsh_safetensors *file_of(const char *path)
{
    walsh_safetensors *file = NULL;
    assert_ok(walsh_safetensors_open(path, &file));
    return file;
}

/* Whether a tensor is to be written, perhaps after changing it. */
typedef bool change(walsh_safetensors_entry *entry);

/* Writes the tensors of `from` that `keep` lets through to `to`, without metadata. */
static void rewrite(const char *from, const char *to, change *keep)
{
    walsh_safetensors *file = file_of(from);
    size_t count = 0;
    walsh_safetensors_entry *entries = calloc(walsh_safetensors_count(file), sizeof *entries);
    assert_non_null(entries);
    for (size_t i = 0; i < walsh_safetensors_count(file); i++) {
        entries[count] = *walsh_safetensors_at(file, i);
        if (keep(&entries[count])) count++;
    }
    assert_ok(walsh_safetensors_write(to, entries, count, NULL, 0));
    free(entries);
    walsh_safetensors_close(&file);
}

static bool counts_no_batches(walsh_safetensors_entry *entry)
{
    return !strstr(entry->name, "num_batches_tracked");
}

/* How many tensors of both files differ, of those whose names begin with `begin`. */
static size_t different(const char *a, const char *b, const char *begin)
{
    size_t count = 0;
    walsh_safetensors *first = file_of(a), *second = file_of(b);
    for (size_t i = 0; i < walsh_safetensors_count(first); i++) {
        const walsh_safetensors_entry *x = walsh_safetensors_at(first, i);
        if (strncmp(x->name, begin, strlen(begin)) || !strncmp(x->name, WALSH_MOMENTUM_PREFIX, 9)) continue;
        const walsh_safetensors_entry *y = walsh_safetensors_find(second, x->name);
        count += !y || x->size != y->size || memcmp(x->data, y->data, x->size);
    }
    walsh_safetensors_close(&first);
    walsh_safetensors_close(&second);
    return count;
}

/* A state_dict says nothing of itself; very old ones do not count batches either. */
static void a_state_dict_loads_as_it_is(void **state)
{
    (void)state;
    walsh_model *model = NULL;
    save("own.safetensors", "resnet20", 7, WALSH_HEAD_LEARNED);
    rewrite("own.safetensors", "bare.safetensors", counts_no_batches);
    assert_fails(WALSH_E_ARGUMENT, "bare.safetensors: the file does not say which model",
                 walsh_model_open(op_device(), "bare.safetensors", NULL, 0, &model));
    assert_null(model);
    assert_ok(walsh_model_open(op_device(), "bare.safetensors", "resnet20", 0, &model));
    const walsh_model_info *info = walsh_model_describe(model);
    assert_int_equal(info->classes, 7);
    assert_null(info->class_names);
    assert_true(info->deviation[0] == 0);
    assert_ok(walsh_model_save(model, "again.safetensors"));
    assert_int_equal(different("own.safetensors", "again.safetensors", ""), 0);
    walsh_model_destroy(&model);
}

/* Pixels are normalised as the file says, or, where it says nothing, as the data set's are. */
static void what_normalises_pixels(void **state)
{
    (void)state;
    enum { IMAGES = 1000 };
    walsh_dataset *set = NULL;
    assert_ok(walsh_dataset_open("sample", WALSH_SPLIT_TEST, NULL, &set));
    const walsh_dataset_info *data = walsh_dataset_describe(set);
    float *logits[3];
    for (int i = 0; i < 3; i++) { /* not said; the data set's; others */
        walsh_model_options options = {.name = "resnet20", .classes = CLASSES};
        walsh_model *model = NULL;
        for (int c = 0; c < 3 && i; c++) options.mean[c] = data->mean[c], options.deviation[c] = data->deviation[c] * i;
        assert_ok(walsh_model_create(op_device(), &options, &model));
        assert_ok(walsh_model_initialise(model, 3));
        logits[i] = op_floats(IMAGES * CLASSES);
        const walsh_evaluate_options in_turn = {.batch = 100};
        assert_ok(walsh_predict(model, set, &in_turn, NULL, NULL, logits[i]));
        walsh_model_destroy(&model);
    }
    assert_memory_equal(logits[0], logits[1], IMAGES * CLASSES * sizeof **logits);
    assert_memory_not_equal(logits[0], logits[2], IMAGES * CLASSES * sizeof **logits);
    for (int i = 0; i < 3; i++) free(logits[i]);
    walsh_dataset_close(&set);
}

static bool renames(walsh_safetensors_entry *entry)
{
    static const char *const names[][2] = {{"layer1.0.bn1.weight", "layer1.0.norm1.weight"}, {"fc.bias", "head.bias"}};
    for (int i = 0; i < 2; i++)
        if (!strcmp(entry->name, names[i][0])) entry->name = names[i][1];
    return strncmp(entry->name, "layer3.2", 8) != 0;
}

static bool widens(walsh_safetensors_entry *entry)
{
    if (!strcmp(entry->name, "conv1.weight")) entry->shape[0] = 8, entry->shape[1] = 6;
    return true;
}

/* One line says how many tensors there are of each kind of difference, and names the first few. */
static void what_does_not_fit_is_told_at_once(void **state)
{
    (void)state;
    walsh_model *model = make("resnet20", CLASSES, WALSH_HEAD_LEARNED);
    assert_ok(walsh_model_save(model, "before.safetensors"));
    rewrite("before.safetensors", "renamed.safetensors", renames);
    assert_fails(WALSH_E_FORMAT,
                 "renamed.safetensors: its tensors are not those of resnet20: 12 missing (layer1.0.bn1.weight, "
                 "layer3.2.conv1.weight, layer3.2.bn1.weight, ...), 2 unexpected (layer1.0.norm1.weight, head.bias)",
                 walsh_model_load(model, "renamed.safetensors"));
    rewrite("before.safetensors", "wide.safetensors", widens);
    assert_fails(WALSH_E_FORMAT,
                 "resnet20: 1 of another shape (conv1.weight is [8, 6, 3, 3], this model expects [16, 3, 3, 3])",
                 walsh_model_load(model, "wide.safetensors"));
    save("deep.safetensors", "resnet32", 100, WALSH_HEAD_LEARNED);
    rewrite("deep.safetensors", "deeper.safetensors", counts_no_batches);
    assert_fails(WALSH_E_FORMAT, "resnet20: 60 unexpected (layer1.3.conv1.weight, ",
                 walsh_model_load(model, "deeper.safetensors"));
    assert_fails(WALSH_E_FORMAT, "2 of another shape (fc.weight is [100, 64], this model expects [10, 64], fc.bias is",
                 walsh_model_load(model, "deeper.safetensors"));
    assert_null(strchr(walsh_message(), '\n'));
    assert_ok(walsh_model_save(model, "after.safetensors"));
    assert_int_equal(system("cmp before.safetensors after.safetensors"), 0);
    walsh_model_destroy(&model);
}

/* torchvision's DenseNets from before 2018 call a dense layer's parts norm.1, conv.1, norm.2 and conv.2. */
static void old_dense_layers_are_understood(void **state)
{
    (void)state;
    static const char *const ours[] = {"features.denseblock1.denselayer12.norm1.weight",
                                       "features.denseblock1.denselayer12.norm1.running_var",
                                       "features.denseblock1.denselayer12.conv2.weight", "features.norm0.weight"};
    static const char *const theirs[] = {"features.denseblock1.denselayer12.norm.1.weight",
                                         "features.denseblock1.denselayer12.norm.1.running_var",
                                         "features.denseblock1.denselayer12.conv.2.weight", "features.norm.0.weight"};
    static const float values[3] = {1, 2, 3};
    walsh_parameters *parameters = NULL;
    walsh_safetensors_entry entries[5];
    int index;
    assert_ok(walsh_parameters_create(&parameters));
    for (int i = 0; i < 4; i++) {
        walsh_parameter p = {.layout = WALSH_LAYOUT_VECTOR, .rank = 1, .dims = {3}};
        snprintf(p.name, sizeof p.name, "%s", ours[i]);
        assert_ok(walsh_parameters_add(parameters, &p, &index));
        entries[i] = (walsh_safetensors_entry){theirs[i], WALSH_DTYPE_F32, 1, {3}, values, sizeof values};
    }
    entries[4] = (walsh_safetensors_entry){
        "features.denseblock1.denselayer12.norm.1.num_batches_tracked", WALSH_DTYPE_I64, 0, {0}, values, 8};
    assert_ok(walsh_safetensors_write("old.safetensors", entries, 5, NULL, 0));
    walsh_safetensors *file = file_of("old.safetensors");
    assert_fails(WALSH_E_FORMAT, "1 missing (features.norm0.weight), 1 unexpected (features.norm.0.weight)",
                 walsh_match_check(file, "old.safetensors", parameters, "a densenet", NULL));
    for (int i = 0; i < 3; i++) {
        const walsh_safetensors_entry *entry = walsh_match_find(file, "", walsh_parameters_at(parameters, i));
        assert_non_null(entry);
        assert_string_equal(entry->name, theirs[i]);
    }
    walsh_safetensors_close(&file);
    walsh_parameters_destroy(&parameters);
}

/* cmocka set-up: a folder with data of 4 steps an epoch. */
static int enter(void **state)
{
    enum { IMAGES = 37 };
    static uint8_t bytes[IMAGES * RECORD];
    if (temp_enter(state) || mkdir("data", 0777)) return -1;
    for (size_t i = 0; i < sizeof bytes; i++) {
        uint32_t word[4];
        walsh_rng_words((walsh_rng){5, 5}, i, word);
        bytes[i] = (uint8_t)(i % RECORD ? word[0] >> 24 : i / RECORD % CLASSES);
    }
    temp_write("data/data_batch_1.bin", bytes, sizeof bytes);
    temp_write("data/test_batch.bin", bytes, sizeof bytes / 2 / RECORD * RECORD);
    return 0;
}

static walsh_train_options tiny(const char *out, walsh_head_kind head)
{
    walsh_train_options options;
    assert_ok(walsh_train_defaults("resnet20", "cifar10:data", &options));
    options.out = out;
    options.init = "init.safetensors";
    options.batch = BATCH;
    options.steps = 3;
    options.lr = 0.01;
    options.schedule.kind = WALSH_SCHEDULE_CONSTANT;
    options.model.head = head;
    return options;
}

/* Another number of classes, another kind, another matrix: the body is taken over, the head is the model's own. The
 * same head is taken over too. */
static void a_head_that_does_not_fit_is_made_anew(void **state)
{
    (void)state;
    static const struct {
        walsh_head_kind from;
        int classes;
        walsh_head_kind to;
        size_t other; /* tensors that differ from the file's: fc.scale never does, where both have it */
    } cases[] = {
        {WALSH_HEAD_LEARNED, 12, WALSH_HEAD_LEARNED, 2},  {WALSH_HEAD_LEARNED, 10, WALSH_HEAD_LEARNED, 0},
        {WALSH_HEAD_LEARNED, 10, WALSH_HEAD_HADAMARD, 2}, {WALSH_HEAD_HADAMARD, 10, WALSH_HEAD_LEARNED, 2},
        {WALSH_HEAD_HADAMARD, 9, WALSH_HEAD_HADAMARD, 1}, {WALSH_HEAD_HADAMARD, 10, WALSH_HEAD_HADAMARD, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        save("init.safetensors", "resnet20", cases[i].classes, cases[i].from);
        walsh_model *model = make("resnet20", CLASSES, cases[i].to);
        bool own;
        assert_ok(walsh_model_initialise(model, 8));
        assert_ok(walsh_model_save(model, "before.safetensors"));
        assert_ok(walsh_model_start(model, "init.safetensors", &own));
        assert_ok(walsh_model_save(model, "after.safetensors"));
        assert_int_equal(own, cases[i].other > 0);
        assert_int_equal(different("after.safetensors", "init.safetensors", ""), cases[i].other);
        assert_int_equal(different("after.safetensors", "before.safetensors", "fc."),
                         own || cases[i].to != WALSH_HEAD_LEARNED ? 0 : 2);
        walsh_model_destroy(&model);
    }
}

static void another_matrix_is_another_head(void **state)
{
    (void)state;
    walsh_model_options options = {.name = "resnet20", .classes = CLASSES, .head = WALSH_HEAD_ORTHONORMAL};
    walsh_model *models[2] = {NULL, NULL};
    bool own = false;
    for (int i = 0; i < 2; i++) {
        options.head_seed = (uint64_t)i;
        assert_ok(walsh_model_create(op_device(), &options, &models[i]));
        assert_ok(walsh_model_initialise(models[i], 1));
    }
    assert_ok(walsh_model_save(models[0], "init.safetensors"));
    assert_ok(walsh_model_start(models[1], "init.safetensors", &own));
    assert_true(own);
    save("deep.safetensors", "resnet32", CLASSES, WALSH_HEAD_ORTHONORMAL);
    assert_fails(WALSH_E_FORMAT, "resnet32", walsh_model_start(models[1], "deep.safetensors", &own));
    rewrite("init.safetensors", "renamed.safetensors", renames);
    assert_fails(WALSH_E_FORMAT,
                 "11 missing (layer1.0.bn1.weight, layer3.2.conv1.weight, layer3.2.bn1.weight, ...), "
                 "2 unexpected (layer1.0.norm1.weight, head.bias)",
                 walsh_model_start(models[1], "renamed.safetensors", &own));
    walsh_model_destroy(&models[0]), walsh_model_destroy(&models[1]);
}

/* A frozen body stays as it is to the bit, statistics and their counts of batches too, and has no momentum; the head
 * learns. A run that is not frozen changes every tensor. */
static void a_frozen_body_stays(void **state)
{
    (void)state;
    for (int head = WALSH_HEAD_LEARNED; head <= WALSH_HEAD_HADAMARD; head++) {
        save("init.safetensors", "resnet20", CLASSES + 1, WALSH_HEAD_LEARNED);
        walsh_train_options options = tiny("frozen", (walsh_head_kind)head);
        walsh_train_result result;
        options.model.freeze_body = true;
        assert_ok(walsh_train(op_device(), &options, NULL, NULL, &result));
        assert_int_equal(result.parameters, head == WALSH_HEAD_LEARNED ? 65 * CLASSES : CLASSES + 1);
        assert_int_equal(different("frozen/last.safetensors", "init.safetensors", ""), 2); /* the head */
        walsh_safetensors *file = file_of("frozen/state.safetensors");
        assert_null(walsh_safetensors_find(file, "momentum.conv1.weight"));
        assert_non_null(walsh_safetensors_find(file, "momentum.fc.bias"));
        walsh_safetensors_close(&file);
        options.out = "free";
        options.model.freeze_body = false;
        assert_ok(walsh_train(op_device(), &options, NULL, NULL, NULL));
        file = file_of("free/last.safetensors");
        assert_int_equal(different("free/last.safetensors", "init.safetensors", ""), walsh_safetensors_count(file));
        walsh_safetensors_close(&file);
        assert_int_equal(system("rm -r frozen free"), 0);
    }
}

static bool note_loss(void *context, const walsh_train_progress *progress)
{
    double *loss = context;
    if (!progress->evaluating && progress->run_step == 1) *loss = progress->loss;
    return false;
}

/* The body runs as in evaluation: the first step's loss, and what it does to a learned head's bias (one step of
 * gradient descent), follow from the logits that the initial weights predict. */
static void a_frozen_body_runs_as_in_evaluation(void **state)
{
    (void)state;
    walsh_model *model = NULL;
    walsh_dataset *set = NULL;
    double loss = NAN, expected = 0, slope[CLASSES] = {0};
    save("init.safetensors", "resnet20", CLASSES, WALSH_HEAD_LEARNED);
    assert_ok(walsh_model_open(op_device(), "init.safetensors", NULL, 0, &model));
    assert_ok(walsh_dataset_open("cifar10:data", WALSH_SPLIT_TRAIN, NULL, &set));
    float *logits = op_floats(walsh_dataset_describe(set)->images * CLASSES);
    assert_ok(walsh_predict(model, set, &(walsh_evaluate_options){.batch = BATCH}, NULL, NULL, logits));
    for (size_t i = 0; i < BATCH; i++) {
        const float *y = logits + CLASSES * i;
        int t = walsh_dataset_label(set, i);
        double sum = 0;
        for (int c = 0; c < CLASSES; c++) sum += exp((double)y[c]);
        for (int c = 0; c < CLASSES; c++) slope[c] += (exp((double)y[c]) / sum - (c == t)) / BATCH;
        expected += (log(sum) - y[t]) / BATCH;
    }
    walsh_train_options options = tiny("frozen", WALSH_HEAD_LEARNED);
    options.model.freeze_body = true;
    options.steps = 1;
    options.momentum = options.weight_decay = 0;
    options.augment = options.shuffle = false;
    assert_ok(walsh_train(op_device(), &options, note_loss, &loss, NULL));
    assert_true(fabs(loss / expected - 1) < 1e-5);
    walsh_safetensors *before = file_of("init.safetensors"), *after = file_of("frozen/last.safetensors");
    float from[CLASSES], to[CLASSES];
    memcpy(from, walsh_safetensors_find(before, "fc.bias")->data, sizeof from);
    memcpy(to, walsh_safetensors_find(after, "fc.bias")->data, sizeof to);
    for (int c = 0; c < CLASSES; c++)
        assert_true(fabs((double)from[c] - options.lr * slope[c] - to[c]) < 1e-7 && fabs(slope[c]) > 1e-5);
    walsh_safetensors_close(&before), walsh_safetensors_close(&after);
    free(logits);
    walsh_dataset_close(&set);
    walsh_model_destroy(&model);
}

/* Stopped and resumed, a frozen run is as one that was never stopped; thawing it is refused. */
static void a_frozen_run_goes_on(void **state)
{
    (void)state;
    save("init.safetensors", "resnet20", CLASSES, WALSH_HEAD_LEARNED);
    walsh_train_options options = tiny("whole", WALSH_HEAD_ORTHONORMAL);
    options.model.freeze_body = true;
    options.steps = 6;
    assert_ok(walsh_train(op_device(), &options, NULL, NULL, NULL));
    options.out = "parts";
    options.steps = 2;
    assert_ok(walsh_train(op_device(), &options, NULL, NULL, NULL));
    options.resume = true;
    options.steps = 6;
    options.model.freeze_body = false;
    assert_fails(WALSH_E_ARGUMENT,
                 "no --freeze-body contradicts the run in parts/state.safetensors, which has --freeze",
                 walsh_train(op_device(), &options, NULL, NULL, NULL));
    options.model.freeze_body = true;
    assert_ok(walsh_train(op_device(), &options, NULL, NULL, NULL));
    assert_int_equal(system("cmp whole/last.safetensors parts/last.safetensors"), 0);
}

static void freezing_nothing_is_refused(void **state)
{
    (void)state;
    walsh_train_options options = tiny("run", WALSH_HEAD_HADAMARD);
    options.model.freeze_body = true;
    options.init = NULL;
    assert_fails(WALSH_E_ARGUMENT, "--freeze-body: expected --init",
                 walsh_train(op_device(), &options, NULL, NULL, NULL));
    options.init = "init.safetensors";
    options.model.loss = WALSH_LOSS_COSINE;
    assert_fails(WALSH_E_ARGUMENT, "nothing to train", walsh_train(op_device(), &options, NULL, NULL, NULL));
}

#define in_folder(test) cmocka_unit_test_setup_teardown(test, enter, temp_leave)

int main(void)
{
    const struct CMUnitTest tests[] = {
        in_folder(a_state_dict_loads_as_it_is),
        cmocka_unit_test(what_normalises_pixels),
        in_folder(what_does_not_fit_is_told_at_once),
        in_folder(old_dense_layers_are_understood),
        in_folder(a_head_that_does_not_fit_is_made_anew),
        in_folder(another_matrix_is_another_head),
        in_folder(a_frozen_body_stays),
        in_folder(a_frozen_body_runs_as_in_evaluation),
        in_folder(a_frozen_run_goes_on),
        in_folder(freezing_nothing_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, op_device_close);
}
