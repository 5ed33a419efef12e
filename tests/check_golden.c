/* Three SGD steps of ResNet-20 with each head, and of a network of each kind for ImageNet, against PyTorch in float64,
 * from the same initial values.
 * tools/golden_pytorch.py makes the golden files; its top says what they hold, how the initial values are defined and
 * why errors are measured by whole tensors, in units of PyTorch's own in float32. Here wrong hyperparameters must be
 * found; its --selftest does the same for what is fixed in the engine (epsilon, padding, the momentum of batch norm).
 */
#include "tests/op_case.h"

#include <cjson/cJSON.h>
#include <math.h>

#include <walsh/train.h>

#include "engine/base/rng.h"
#include "engine/base/safetensors.h"
#include "tests/temp.h"

enum { STEPS = 3, TEST_IMAGES = 16, CLASSES = 10, FEATURES = 64 };

/* An error over the whole model, relative to the weights, that is none. */
static const double of_weights = 1e-5;

/* How many times PyTorch's float32 error, the largest of several draws, ours may be. */
static const double factor = 5;

typedef struct golden {
    walsh_safetensors *file;
    cJSON *recipe;
    const char *model;
    walsh_head_kind head;
} golden;

/* What the file says of a tensor. */
typedef struct rule {
    size_t number, size, every, step;
    size_t held, first; /* elements of `updates`, and the first of them */
    double offset, scale, error;
} rule;

static double recipe(const golden *g, const char *key)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(g->recipe, key);
    assert_true(cJSON_IsNumber(item));
    return item->valuedouble;
}

static golden golden_open(const char *model, walsh_head_kind head, const char *name)
{
    golden g = {.model = model, .head = head};
    char path[1024];
    snprintf(path, sizeof path, GOLDEN_FOLDER "/%s-%s-%s.safetensors", model, walsh_head_kind_name(head), name);
    assert_ok(walsh_safetensors_open(path, &g.file));
    const char *text = walsh_safetensors_metadata(g.file, "golden");
    assert_non_null(text);
    assert_non_null(g.recipe = cJSON_Parse(text));
    return g;
}

static void golden_close(golden *g)
{
    walsh_safetensors_close(&g->file);
    cJSON_Delete(g->recipe);
}

/* Copies a tensor of F64 with `count` elements. */
static void take(const golden *g, const char *name, const char *suffix, size_t count, double *out)
{
    char full[128];
    snprintf(full, sizeof full, "%s%s", name, suffix);
    const walsh_safetensors_entry *entry = walsh_safetensors_find(g->file, full);
    if (!entry) fail_msg("the golden file lacks %s", full);
    assert_int_equal(entry->dtype, WALSH_DTYPE_F64);
    assert_int_equal(entry->size, count * sizeof *out);
    memcpy(out, entry->data, entry->size);
}

static double tolerance(const golden *g, const char *name)
{
    double error;
    take(g, name, ".error", 1, &error);
    return factor * error;
}

static size_t tensors_of(const golden *g)
{
    return (size_t)cJSON_GetArraySize(cJSON_GetObjectItemCaseSensitive(g->recipe, "names"));
}

static rule rule_of(const golden *g, const char *name)
{
    const walsh_safetensors_entry *rules = walsh_safetensors_find(g->file, "rules");
    size_t subset = (size_t)recipe(g, "subset"), first = 0, number = 0;
    double v[6];
    assert_non_null(rules);
    assert_int_equal(rules->size, tensors_of(g) * sizeof v);
    const cJSON *item = NULL;
    cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(g->recipe, "names"))
    {
        memcpy(v, (const char *)rules->data + number * sizeof v, sizeof v);
        size_t size = (size_t)v[0], held = size < subset ? size : subset;
        if (!strcmp(item->valuestring, name))
            return (rule){number, size, (size_t)v[3], (size_t)v[4], held, first, v[1], v[2], v[5]};
        first += held;
        number++;
    }
    fail_msg("the golden file lacks %s", name);
    return (rule){0};
}

static float *floats_of(const walsh_safetensors_entry *entry, size_t *count)
{
    *count = entry->size / (walsh_dtype_bits(entry->dtype) / 8);
    float *values = op_floats(*count);
    assert_ok(walsh_safetensors_to_f32(entry, values));
    return values;
}

static void fill_initial(const golden *g, const char *name, size_t count, float *out)
{
    rule r = rule_of(g, name);
    walsh_rng rng = walsh_rng_make((uint64_t)recipe(g, "seed"), WALSH_RNG_INIT, (uint32_t)r.number);
    assert_int_equal(count, r.size);
    for (size_t i = 0; i < count; i++) {
        float offset = r.every && i % r.every == r.every - 1 ? -(float)r.offset : (float)r.offset;
        out[i] = offset + (walsh_rng_uniform(rng, i) - 0.5f) * (float)r.scale;
    }
}

static walsh_model_options model_options(const golden *g)
{
    return (walsh_model_options){.name = g->model,
                                 .image_size = 32,
                                 .classes = CLASSES,
                                 .head = g->head,
                                 .head_seed = (uint64_t)recipe(g, "head_seed")};
}

/* Writes initial.safetensors: names, shapes and metadata from a model of this kind, values by the golden file's rules.
 */
static void write_initial(const golden *g)
{
    walsh_model_options options = model_options(g);
    walsh_model *model = NULL;
    assert_ok(walsh_model_create(op_device(), &options, &model));
    assert_ok(walsh_model_initialise(model, 1));
    assert_ok(walsh_model_save(model, "own.safetensors"));
    walsh_model_destroy(&model);
    walsh_safetensors *own = NULL;
    assert_ok(walsh_safetensors_open("own.safetensors", &own));
    size_t count = walsh_safetensors_count(own), elements;
    walsh_safetensors_entry *entries = calloc(count, sizeof *entries);
    assert_non_null(entries);
    for (size_t i = 0; i < count; i++) {
        entries[i] = *walsh_safetensors_at(own, i);
        if (entries[i].dtype != WALSH_DTYPE_F32) continue; /* a count of batches */
        float *values = floats_of(&entries[i], &elements);
        fill_initial(g, entries[i].name, elements, values);
        entries[i].data = values;
    }
    assert_ok(walsh_safetensors_write("initial.safetensors", entries, count, walsh_safetensors_metadata_at(own, 0),
                                      walsh_safetensors_metadata_count(own)));
    for (size_t i = 0; i < count; i++)
        if (entries[i].dtype == WALSH_DTYPE_F32) free((void *)entries[i].data);
    free(entries);
    walsh_safetensors_close(&own);
}

typedef struct trace {
    double loss[STEPS]; /* of each step */
    double sum;
} trace;

/* Notes the losses; stops after the last step, as evaluating the sample would cost more than all of them. */
static bool observe(void *context, const walsh_train_progress *progress)
{
    trace *t = context;
    size_t step = progress->run_step;
    if (progress->memory) return false; /* before the first step */
    assert_true(step >= 1 && step <= STEPS && !progress->evaluating && !progress->row);
    double sum = progress->loss * (double)step; /* progress tells the mean so far */
    t->loss[step - 1] = sum - t->sum;
    t->sum = sum;
    return step == STEPS;
}

/* Runs the golden recipe but for these two; leaves OUT/state.safetensors. */
static trace run_steps(const golden *g, const char *out, double momentum, double weight_decay)
{
    walsh_train_options options;
    trace t = {.sum = 0};
    assert_ok(walsh_train_defaults(g->model, "sample", &options));
    options.model = model_options(g);
    options.out = out;
    options.init = "initial.safetensors";
    options.steps = STEPS;
    options.batch = (int)recipe(g, "batch");
    options.lr = recipe(g, "lr");
    options.momentum = momentum;
    options.nesterov = false;
    options.weight_decay = weight_decay;
    options.schedule = (walsh_schedule){.kind = WALSH_SCHEDULE_CONSTANT};
    options.augment = options.shuffle = false;
    options.exact = true;
    assert_fails(WALSH_E_STOPPED, "stopped", walsh_train(op_device(), &options, observe, &t, NULL));
    return t;
}

/* Sums of squares. */
typedef struct sums {
    double error, update, weights;
} sums;

/* One tensor's, over the elements that the golden file holds. */
static sums compare_tensor(const golden *g, const float *updates, const rule *r, const walsh_safetensors_entry *entry)
{
    sums s = {0};
    size_t size;
    const float *want = updates + r->first;
    float *final = floats_of(entry, &size), *initial = op_floats(size);
    fill_initial(g, entry->name, size, initial);
    for (size_t j = 0; j < r->held; j++) {
        size_t at = j * r->step % size;
        double got = (double) final[at] - (double)initial[at], d = got - (double)want[j];
        s.error += d * d;
        s.update += (double)want[j] * want[j];
        s.weights += (double)initial[at] * initial[at];
    }
    double share = (double)size / (double)r->held;
    free(final), free(initial);
    return (sums){s.error * share, s.update * share, s.weights * share};
}

/* Counts the tensors that are beyond the tolerance; says which if `tell`. The whole model counts as two more. */
static size_t compare_updates(const golden *g, const char *path, bool tell)
{
    walsh_safetensors *final = NULL;
    sums whole = {0};
    size_t beyond = 0, compared = 0, held;
    double worst = 0, model_error[2];
    float *updates = floats_of(walsh_safetensors_find(g->file, "updates"), &held);
    assert_ok(walsh_safetensors_open(path, &final));
    for (size_t i = 0; i < walsh_safetensors_count(final); i++) {
        const walsh_safetensors_entry *entry = walsh_safetensors_at(final, i);
        if (entry->dtype != WALSH_DTYPE_F32 || !strncmp(entry->name, "momentum.", 9)) continue;
        rule r = rule_of(g, entry->name);
        sums s = compare_tensor(g, updates, &r, entry);
        double error = sqrt(s.error / s.update), ratio = error / r.error;
        if (!(ratio <= factor)) {
            beyond++;
            if (tell) print_message("%s: error %.3g of the update, PyTorch's %.3g\n", entry->name, error, r.error);
        }
        worst = fmax(worst, ratio);
        compared++;
        if (strstr(entry->name, "running_")) continue;
        whole.error += s.error, whole.update += s.update, whole.weights += s.weights;
    }
    walsh_safetensors_close(&final);
    free(updates);
    assert_int_equal(compared, tensors_of(g));
    take(g, "model", ".error", 2, model_error);
    double of_update = sqrt(whole.error / whole.update), relative = sqrt(whole.error / whole.weights);
    if (tell)
        print_message(
            "whole model: %.3g of the update (PyTorch %.3g), %.3g of the weights (PyTorch %.3g); the worst tensor "
            "has %.2g times PyTorch's error\n",
            of_update, model_error[0], relative, model_error[1], worst);
    return beyond + !(of_update <= factor * model_error[0]) +
           !(relative <= fmax(of_weights, factor * model_error[1]));
}

static void compare_losses(const golden *g, const trace *t)
{
    double want[STEPS];
    take(g, "losses", "", STEPS, want);
    for (int i = 0; i < STEPS; i++)
        if (!(fabs(t->loss[i] / want[i] - 1) <= tolerance(g, "losses") + 4e-7)) /* metrics are sums in float32 */
            fail_msg("loss of step %d: %.9g, PyTorch's %.9g", i + 1, t->loss[i], want[i]);
}

static void compare_logits(const golden *g, const char *path)
{
    walsh_model *model = NULL;
    walsh_dataset *set = NULL;
    double want[TEST_IMAGES * CLASSES], error = 0, norm = 0;
    assert_ok(walsh_model_open(op_device(), path, NULL, 0, &model));
    assert_ok(walsh_dataset_open("sample", WALSH_SPLIT_TEST, NULL, &set));
    float *got = op_floats(walsh_dataset_describe(set)->images * CLASSES);
    assert_ok(walsh_predict(model, set, &(walsh_evaluate_options){.batch = 100}, NULL, NULL, got));
    take(g, "logits", "", TEST_IMAGES * CLASSES, want);
    for (int i = 0; i < TEST_IMAGES * CLASSES; i++) {
        double d = (double)got[i] - want[i];
        error += d * d;
        norm += want[i] * want[i];
    }
    error = sqrt(error / norm);
    print_message("logits: error %.3g (PyTorch %.3g)\n", error, tolerance(g, "logits") / factor);
    assert_true(error <= tolerance(g, "logits"));
    free(got);
    walsh_dataset_close(&set);
    walsh_model_destroy(&model);
}

/* The matrix of a fixed head is the one that the reference used. */
static void compare_q(const golden *g)
{
    walsh_head_spec spec = {g->head, FEATURES, CLASSES, (uint64_t)recipe(g, "head_seed")};
    size_t count;
    if (g->head == WALSH_HEAD_LEARNED) return;
    const walsh_safetensors_entry *entry = walsh_safetensors_find(g->file, "q");
    assert_non_null(entry);
    float *want = floats_of(entry, &count), *got = op_floats((size_t)CLASSES * FEATURES);
    assert_int_equal(count, CLASSES * FEATURES);
    assert_ok(walsh_head_rows(&spec, 0, CLASSES, got));
    for (size_t i = 0; i < count; i++) assert_true(fabsf(got[i] - want[i]) <= 6e-8f); /* one rounding */
    free(want), free(got);
}

typedef struct start {
    const char *name, *model;
    walsh_head_kind head;
    const char *start;
} start;

static const start *under_test; /* the folder takes the state's place */

static int enter(void **state)
{
    under_test = *state;
    return temp_enter(state);
}

static void agrees_with_pytorch(void **state)
{
    (void)state;
    const start *s = under_test;
    golden g = golden_open(s->model, s->head, s->start);
    compare_q(&g);
    write_initial(&g);
    double momentum = recipe(&g, "momentum"), decay = recipe(&g, "weight_decay");
    trace t = run_steps(&g, "run", momentum, decay);
    size_t beyond = compare_updates(&g, "run/state.safetensors", true);
    compare_losses(&g, &t);
    compare_logits(&g, "run/state.safetensors");
    assert_int_equal(beyond, 0);
    bool sharp = !strcmp(s->start, "margin"), shallow = !strcmp(s->model, "resnet20");
    if (sharp && shallow) { /* wrong settings show */
        run_steps(&g, "wrong-momentum", 0.8, decay);
        assert_true(compare_updates(&g, "wrong-momentum/state.safetensors", false) > 20);
    }
    if (sharp) { /* so small a mistake, too */
        run_steps(&g, "wrong-decay", momentum, 0);
        assert_true(compare_updates(&g, "wrong-decay/state.safetensors", false) > 20);
    }
    golden_close(&g);
}

int main(void)
{
    static const start starts[] = {
        {"resnet20 learned he", "resnet20", WALSH_HEAD_LEARNED, "he"},
        {"resnet20 learned margin", "resnet20", WALSH_HEAD_LEARNED, "margin"},
        {"resnet20 orthonormal he", "resnet20", WALSH_HEAD_ORTHONORMAL, "he"},
        {"resnet20 orthonormal margin", "resnet20", WALSH_HEAD_ORTHONORMAL, "margin"},
        {"resnet20 hadamard he", "resnet20", WALSH_HEAD_HADAMARD, "he"},
        {"resnet20 hadamard margin", "resnet20", WALSH_HEAD_HADAMARD, "margin"},
        {"resnet50", "resnet50", WALSH_HEAD_LEARNED, "margin"},
        {"densenet121", "densenet121", WALSH_HEAD_LEARNED, "margin"},
        {"shufflenet", "shufflenet", WALSH_HEAD_LEARNED, "margin"},
    };
    enum { COUNT = sizeof starts / sizeof *starts };
    struct CMUnitTest tests[COUNT];
    for (int i = 0; i < COUNT; i++)
        tests[i] =
            (struct CMUnitTest){starts[i].name, agrees_with_pytorch, enter, temp_leave, (void *)(size_t)&starts[i]};
    return cmocka_run_group_tests(tests, NULL, op_device_close);
}
