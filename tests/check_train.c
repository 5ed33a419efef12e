/* Training as a whole: the same bits again, on any number of threads, and after any interruption. */
#include "tests/op_case.h"

#include <math.h>
#include <signal.h>
#include <sys/wait.h>

#include <walsh/train.h>

#include "engine/base/safetensors.h"
#include "tests/tiny_run.h"

static void train_on(unsigned threads, const walsh_train_options *options)
{
    walsh_device *device = NULL;
    const walsh_device_options with = {.threads = threads};
    assert_ok(walsh_device_open(&with, &device));
    assert_ok(walsh_train(device, options, NULL, NULL, NULL));
    walsh_device_close(&device);
}

/* Both folders hold the same files; log.csv is compared without its columns of time. */
static void assert_same_run(const char *a, const char *b)
{
    char command[512];
    static const char *const files[] = {"state.safetensors", "last.safetensors", "best.safetensors"};
    for (int i = 0; i < 3; i++) {
        snprintf(command, sizeof command, "cmp %s/%s %s/%s", a, files[i], b, files[i]);
        if (system(command)) fail_msg("%s differs between %s and %s", files[i], a, b);
    }
    snprintf(command, sizeof command,
             "cut -d, -f1-8 %s/log.csv > a.csv; cut -d, -f1-8 %s/log.csv > b.csv; cmp a.csv b.csv", a, b);
    assert_int_equal(system(command), 0);
}

static void runs_repeat_to_the_bit(void **state)
{
    (void)state;
    walsh_train_options options = tiny_run("one", 3);
    train_on(0, &options);
    options.out = "two";
    options.loaders = 3;
    train_on(0, &options);
    options.loaders = 1;
    options.out = "three";
    train_on(0, &options);
    assert_same_run("one", "three");
    assert_int_equal(system("cmp one/last.safetensors two/last.safetensors"), 0);
}

static void threads_do_not_matter(void **state)
{
    (void)state;
    if (!op_device_divides()) skip();
    walsh_train_options options = tiny_run("one", 3);
    train_on(1, &options);
    options.out = "two";
    train_on(2, &options);
    assert_same_run("one", "two");
}

/* Another seed gives other weights: the comparison above can fail. */
static void seeds_matter(void **state)
{
    (void)state;
    walsh_train_options options = tiny_run("one", 1);
    train_on(0, &options);
    options.out = "two";
    options.seed = 9;
    train_on(0, &options);
    assert_int_not_equal(system("cmp -s one/last.safetensors two/last.safetensors"), 0);
}

typedef struct stopper {
    uint64_t at;
    bool evaluating;
} stopper;

static bool stop_at(void *context, const walsh_train_progress *progress)
{
    const stopper *s = context;
    return progress->evaluating == s->evaluating && progress->run_step >= s->at && !progress->row;
}

/* Stopped twice in mid-epoch and once in the evaluation, then resumed each time. */
static void a_stopped_run_goes_on(void **state)
{
    (void)state;
    walsh_train_options options = tiny_run("whole", 9);
    assert_ok(walsh_train(op_device(), &options, NULL, NULL, NULL));
    options.out = "parts";
    static const stopper stops[] = {{2, false}, {4, true}, {7, false}};
    for (int i = 0; i < 3; i++) {
        stopper s = stops[i];
        assert_fails(WALSH_E_STOPPED, "stopped", walsh_train(op_device(), &options, stop_at, &s, NULL));
        options.resume = true;
    }
    assert_ok(walsh_train(op_device(), &options, NULL, NULL, NULL));
    assert_same_run("whole", "parts");
    /* Once more: nothing left to do, nothing changed. */
    assert_ok(walsh_train(op_device(), &options, NULL, NULL, NULL));
    assert_same_run("whole", "parts");
}

/* The same with steps of two parts: what is saved lies between steps, and the parts of one leave nothing behind. Each
 * counts as a batch of its own for batch norm. */
static void a_stopped_run_of_parts_goes_on(void **state)
{
    (void)state;
    walsh_train_options options = tiny_run("whole", 6);
    options.accumulate = 2;
    assert_ok(walsh_train(op_device(), &options, NULL, NULL, NULL));
    options.out = "parts";
    stopper s = {2, false};
    assert_fails(WALSH_E_STOPPED, "stopped", walsh_train(op_device(), &options, stop_at, &s, NULL));
    options.resume = true;
    assert_ok(walsh_train(op_device(), &options, NULL, NULL, NULL));
    assert_same_run("whole", "parts");
    walsh_safetensors *file = NULL;
    int64_t batches = 0;
    assert_ok(walsh_safetensors_open("whole/last.safetensors", &file));
    const walsh_safetensors_entry *entry = walsh_safetensors_find(file, "bn1.num_batches_tracked");
    assert_non_null(entry);
    memcpy(&batches, entry->data, sizeof batches);
    assert_int_equal(batches, 12);
    walsh_safetensors_close(&file);
    options = tiny_run("one", 6);
    assert_ok(walsh_train(op_device(), &options, NULL, NULL, NULL));
    assert_int_not_equal(system("cmp -s one/last.safetensors whole/last.safetensors"), 0);
    options.resume = true;
    options.accumulate = 4;
    assert_fails(WALSH_E_ARGUMENT,
                 "--accumulate 4 contradicts the run in one/state.safetensors, which has "
                 "--accumulate 1",
                 walsh_train(op_device(), &options, NULL, NULL, NULL));
    options.accumulate = 3;
    assert_fails(WALSH_E_ARGUMENT, "--accumulate 3: expected a number of equal parts of the batch of 8",
                 walsh_train(op_device(), &options, NULL, NULL, NULL));
}

/* The same where activations wait as float16, which belongs to the run. */
static void a_stopped_run_of_halves_goes_on(void **state)
{
    (void)state;
    walsh_train_options options = tiny_run("whole", 6), recalled;
    char *memory = NULL;
    options.half = true;
    assert_ok(walsh_train(op_device(), &options, NULL, NULL, NULL));
    options.out = "parts";
    stopper s = {2, false};
    assert_fails(WALSH_E_STOPPED, "stopped", walsh_train(op_device(), &options, stop_at, &s, NULL));
    assert_ok(walsh_train_recall("parts", &recalled, &memory));
    assert_true(recalled.half);
    free(memory);
    options.resume = true;
    assert_ok(walsh_train(op_device(), &options, NULL, NULL, NULL));
    assert_same_run("whole", "parts");
    options.half = false;
    assert_fails(WALSH_E_ARGUMENT, "--store f32 contradicts the run in parts/state.safetensors, which has --store f16",
                 walsh_train(op_device(), &options, NULL, NULL, NULL));
    options = tiny_run("one", 6);
    assert_ok(walsh_train(op_device(), &options, NULL, NULL, NULL));
    assert_int_not_equal(system("cmp -s one/last.safetensors whole/last.safetensors"), 0);
    options.half = options.exact = true;
    options.out = "none";
    assert_fails(WALSH_E_ARGUMENT, "--store f16 rounds what --math exact",
                 walsh_train(op_device(), &options, NULL, NULL, NULL));
    assert_int_not_equal(access("none", F_OK), 0);
}

/* A state that is older than an option goes on as if that had not been given. */
static void an_older_state_goes_on(void **state)
{
    (void)state;
    walsh_train_options options = tiny_run("run", 1), recalled;
    char *memory = NULL;
    assert_ok(walsh_train(op_device(), &options, NULL, NULL, NULL));
    assert_int_equal(system("LC_ALL=C sed -i 's/train.accumulate/train.ACCUMULATE/;s/train.half/train.HALF/' "
                            "run/state.safetensors"),
                     0);
    assert_ok(walsh_train_recall("run", &recalled, &memory));
    assert_true(recalled.accumulate == 1 && !recalled.half);
    free(memory);
    options.resume = true;
    options.steps = 2;
    assert_ok(walsh_train(op_device(), &options, NULL, NULL, NULL));
    assert_int_equal(system("LC_ALL=C sed -i 's/train.momentum/train.MOMENTUM/' run/state.safetensors"), 0);
    assert_fails(WALSH_E_FORMAT, "'train.momentum' is missing", walsh_train_recall("run", &recalled, &memory));
}

/* A run to step 3, continued to 6 and to 9, is as if it had always been meant to go there: the rows of the epochs that
 * its ends cut short leave no trace, among the best weights neither. */
static void a_longer_run_goes_on(void **state)
{
    (void)state;
    walsh_train_options options = tiny_run("whole", 9);
    assert_ok(walsh_train(op_device(), &options, NULL, NULL, NULL));
    options.out = "parts";
    for (options.steps = 3; options.steps <= 9; options.steps += 3) {
        assert_ok(walsh_train(op_device(), &options, NULL, NULL, NULL));
        options.resume = true;
    }
    assert_same_run("whole", "parts");
}

static walsh_train_options killed_run(void)
{
    walsh_train_options options = tiny_run("parts", 50);
    options.save_every = 1;
    options.resume = access("parts/state.safetensors", F_OK) == 0;
    return options;
}

/* Killed without warning at ten different moments, by a clock that knows nothing of the run. The run is this program,
 * started anew each time (see main): an OpenCL runtime does not survive a fork. */
static void a_killed_run_goes_on(void **state)
{
    (void)state;
    walsh_train_options options = killed_run();
    options.out = "whole";
    train_on(0, &options);
    for (int kill_number = 0; kill_number < 10; kill_number++) {
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            execl("/proc/self/exe", "check_train", "run", (char *)NULL);
            _exit(3);
        }
        usleep(300000 + 70001 * (useconds_t)kill_number);
        kill(child, SIGKILL);
        int status;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status) || WEXITSTATUS(status) == 0);
    }
    options = killed_run();
    train_on(0, &options);
    assert_same_run("whole", "parts");
}

/* What the killed child does. */
static int run_to_be_killed(void)
{
    walsh_device *device = NULL;
    walsh_train_options options = killed_run();
    walsh_status status = walsh_device_open(NULL, &device);
    if (!status) status = walsh_train(device, &options, NULL, NULL, NULL);
    if (status) fprintf(stderr, "%s\n", walsh_message());
    walsh_device_close(&device);
    return status != WALSH_OK;
}

/* A learning rate that blows the weights up stops the run; the state on disk stays finite and loads. */
static void a_loss_that_is_nan_stops_the_run(void **state)
{
    (void)state;
    walsh_train_options options = tiny_run("run", 40);
    options.lr = 1e30;
    options.model.head = WALSH_HEAD_LEARNED;
    options.save_every = 1;
    assert_fails(WALSH_E_NOT_FINITE, "", walsh_train(op_device(), &options, NULL, NULL, NULL));
    assert_int_equal(temp_leftovers(), 0);
    walsh_model *model = NULL;
    assert_ok(walsh_model_open(op_device(), "run/state.safetensors", NULL, 0, &model));
    walsh_model_destroy(&model);
}

/* Moves the folder of the run away after step 2, and stops at step `at`: what is written then cannot be. */
typedef struct mover {
    uint64_t at;
    bool moved;
} mover;

static bool move_away(void *context, const walsh_train_progress *progress)
{
    mover *m = context;
    if (progress->run_step == 2 && !m->moved) m->moved = rename("run", "moved") == 0;
    return progress->run_step >= m->at;
}

/* What the writer fails at ends the run, though its thread alone knows, and what it wrote before is whole. */
static void files_that_cannot_be_written_end_the_run(void **state)
{
    (void)state;
    static const mover movers[] = {{UINT64_MAX, false}, {3, false}};
    for (int i = 0; i < 2; i++) {
        mover m = movers[i];
        walsh_train_options options = tiny_run("run", 40);
        if (i == 0) options.save_every = 1; /* else the first to fail is the state that a stop writes */
        /* Whichever of its files the writer is at when the folder goes. */
        assert_fails(WALSH_E_FILE, " run/", walsh_train(op_device(), &options, move_away, &m, NULL));
        assert_true(m.moved);
        assert_int_equal(temp_leftovers(), 0);
        walsh_model *model = NULL;
        assert_ok(walsh_model_open(op_device(), "moved/state.safetensors", NULL, 0, &model));
        walsh_model_destroy(&model);
        options = tiny_run("moved", 4);
        options.save_every = i == 0;
        options.resume = true;
        assert_ok(walsh_train(op_device(), &options, NULL, NULL, NULL));
        options = tiny_run("whole", 4);
        options.save_every = i == 0;
        assert_ok(walsh_train(op_device(), &options, NULL, NULL, NULL));
        assert_same_run("whole", "moved");
        assert_int_equal(system("rm -r moved whole"), 0);
    }
}

/* Stops at step 2 of an epoch of 4, while the state of step 1 may still be written: the last state is that of the stop.
 */
static void a_stop_comes_after_what_is_under_way(void **state)
{
    (void)state;
    walsh_train_options options = tiny_run("parts", 4);
    options.save_every = 1;
    stopper s = {2, false};
    assert_fails(WALSH_E_STOPPED, "stopped after step 3", walsh_train(op_device(), &options, stop_at, &s, NULL));
    walsh_safetensors *file = NULL;
    assert_ok(walsh_safetensors_open("parts/state.safetensors", &file));
    const char *position = walsh_safetensors_metadata(file, "train.position");
    assert_int_equal(strncmp(position, "0 3 3 ", 6), 0);
    walsh_safetensors_close(&file);
}

static void contradictions_are_refused(void **state)
{
    (void)state;
    walsh_train_options options = tiny_run("run", 1);
    assert_ok(walsh_train(op_device(), &options, NULL, NULL, NULL));
    assert_fails(WALSH_E_ARGUMENT, "already holds a run", walsh_train(op_device(), &options, NULL, NULL, NULL));
    options.resume = true;
    options.lr = 0.5;
    assert_fails(WALSH_E_ARGUMENT, "--lr 0.5 contradicts the run in run/state.safetensors, which has --lr 0.01",
                 walsh_train(op_device(), &options, NULL, NULL, NULL));
    options = tiny_run("run", 1);
    options.resume = true;
    options.model.head = WALSH_HEAD_LEARNED;
    assert_fails(WALSH_E_ARGUMENT, "--head learned contradicts", walsh_train(op_device(), &options, NULL, NULL, NULL));
    options = tiny_run("run", 1);
    options.resume = true;
    options.shuffle = false;
    assert_fails(WALSH_E_ARGUMENT, "--no-shuffle contradicts the run in run/state.safetensors, which has shuffling",
                 walsh_train(op_device(), &options, NULL, NULL, NULL));
    options = tiny_run("run", 1);
    options.resume = true;
    options.init = "run/last.safetensors";
    assert_fails(WALSH_E_ARGUMENT, "--init run/last.safetensors contradicts",
                 walsh_train(op_device(), &options, NULL, NULL, NULL));
    options = tiny_run("elsewhere", 1);
    options.resume = true;
    assert_fails(WALSH_E_FILE, "elsewhere/state.safetensors", walsh_train(op_device(), &options, NULL, NULL, NULL));
    options = tiny_run(NULL, 1);
    options.lr = NAN;
    assert_fails(WALSH_E_ARGUMENT, "--lr nan", walsh_train(op_device(), &options, NULL, NULL, NULL));
    options = tiny_run(NULL, 1);
    options.batch = 0;
    assert_fails(WALSH_E_ARGUMENT, "--batch 0", walsh_train(op_device(), &options, NULL, NULL, NULL));
    options.batch = 38;
    assert_fails(WALSH_E_ARGUMENT, "37", walsh_train(op_device(), &options, NULL, NULL, NULL));
}

/* A run goes on with the data that it began with: others may have epochs of another length. */
static void shrunken_data_are_refused(void **state)
{
    (void)state;
    walsh_train_options options = tiny_run("run", 5); /* one epoch of 4 steps, and a step */
    assert_ok(walsh_train(op_device(), &options, NULL, NULL, NULL));
    tiny_images("data/data_batch_1.bin", 24);
    options.resume = true;
    options.steps = 9;
    assert_fails(WALSH_E_ARGUMENT, "at step 5, 1 into epoch 2; expected epochs of 3 steps",
                 walsh_train(op_device(), &options, NULL, NULL, NULL));
    tiny_images("data/data_batch_1.bin", 37);
    assert_ok(walsh_train(op_device(), &options, NULL, NULL, NULL));
}

/* Notes what a run says of its memory, and stops it before its first step. */
static bool note_memory(void *context, const walsh_train_progress *progress)
{
    walsh_memory *memory = context;
    assert_non_null(progress->memory);
    assert_int_equal(progress->run_step, 0);
    *memory = *progress->memory;
    return true;
}

static walsh_memory memory_of(int batch, int parts, bool half)
{
    walsh_memory memory = {0};
    walsh_train_options options = tiny_run(NULL, 1);
    options.batch = batch;
    options.accumulate = parts;
    options.half = half;
    assert_fails(WALSH_E_STOPPED, "after step 0", walsh_train(op_device(), &options, note_memory, &memory, NULL));
    assert_true(memory.total == memory.parameters + memory.activations + memory.images);
    return memory;
}

/* A run that needs more than it may take is refused before it writes anything, with the largest batch that fits and the
 * fewest parts that do, to the byte. */
static void memory_is_limited(void **state)
{
    (void)state;
    walsh_train_options options = tiny_run("run", 1);
    uint64_t six = memory_of(6, 1, false).total, eight = memory_of(8, 1, false).total,
             halves = memory_of(8, 1, true).total;
    assert_true(memory_of(8, 2, false).activations < memory_of(8, 1, false).activations);
    options.memory = eight - 1;
    assert_fails(WALSH_E_MEMORY, "a batch of 8 needs", walsh_train(op_device(), &options, NULL, NULL, NULL));
    assert_fails(WALSH_E_MEMORY, "--memory allows", walsh_train(op_device(), &options, NULL, NULL, NULL));
    assert_fails(WALSH_E_MEMORY, ": --batch 7 would fit, or --accumulate 2, or --store f16",
                 walsh_train(op_device(), &options, NULL, NULL, NULL));
    options.memory = six;
    assert_fails(WALSH_E_MEMORY, ": --batch 6 would fit", walsh_train(op_device(), &options, NULL, NULL, NULL));
    options.memory = memory_of(8, 4, false).total;
    options.accumulate = 2;
    assert_fails(WALSH_E_MEMORY, "or --accumulate 4", walsh_train(op_device(), &options, NULL, NULL, NULL));
    options.memory = memory_of(1, 1, false).parameters;
    assert_fails(WALSH_E_MEMORY, ": no batch would fit", walsh_train(op_device(), &options, NULL, NULL, NULL));
    assert_int_not_equal(access("run", F_OK), 0);
    options.accumulate = 1;
    options.memory = halves - 1;
    options.half = true; /* already */
    assert_fails(WALSH_E_MEMORY, "allows", walsh_train(op_device(), &options, NULL, NULL, NULL));
    options.half = false;
    options.memory = halves;
    assert_fails(WALSH_E_MEMORY, ", or --store f16", walsh_train(op_device(), &options, NULL, NULL, NULL));
    options.half = true;
    assert_ok(walsh_train(op_device(), &options, NULL, NULL, NULL));
    options = tiny_run("full", 1);
    options.memory = eight;
    assert_ok(walsh_train(op_device(), &options, NULL, NULL, NULL));
}

/* Notes what an evaluation says of its memory, and stops it before its first batch. */
static bool note_evaluation(void *context, const walsh_evaluate_progress *progress)
{
    assert_non_null(progress->memory);
    assert_int_equal(progress->done, 0);
    *(walsh_memory *)context = *progress->memory;
    return true;
}

static walsh_memory memory_of_evaluation(walsh_model *model, walsh_dataset *set, int batch)
{
    walsh_memory memory = {.trains = true};
    walsh_evaluation result;
    assert_fails(
        WALSH_E_STOPPED, "stopped",
        walsh_evaluate(model, set, &(walsh_evaluate_options){.batch = batch}, note_evaluation, &memory, &result));
    assert_true(!memory.trains && memory.parts == 1 && memory.batch == (batch && batch < 11 ? batch : 11));
    assert_true(memory.total == memory.parameters + memory.activations + memory.images);
    return memory;
}

/* Evaluation and prediction likewise, of which parts are no advice: the batch is at most the 11 images that there are.
 */
static void memory_of_evaluation_is_limited(void **state)
{
    (void)state;
    walsh_model *model = NULL;
    walsh_dataset *set = NULL;
    walsh_evaluation result;
    float *logits = op_floats(11 * 10);
    const walsh_model_options options = {.name = "resnet20", .classes = 10};
    assert_ok(walsh_model_create(op_device(), &options, &model));
    assert_ok(walsh_model_initialise(model, 1));
    assert_ok(walsh_dataset_open("cifar10:data", WALSH_SPLIT_TEST, NULL, &set));
    uint64_t all = memory_of_evaluation(model, set, 1000).total, seven = memory_of_evaluation(model, set, 7).total;
    assert_int_equal(memory_of_evaluation(model, set, 0).total, all);
    walsh_evaluate_options limited = {.batch = 8, .memory = seven};
    assert_fails(WALSH_E_MEMORY, "--memory allows", walsh_evaluate(model, set, &limited, NULL, NULL, &result));
    assert_fails(WALSH_E_MEMORY, ": --batch 7 would fit", walsh_predict(model, set, &limited, NULL, NULL, logits));
    limited.batch = 1000;
    assert_fails(WALSH_E_MEMORY, "a batch of 11 needs", walsh_evaluate(model, set, &limited, NULL, NULL, &result));
    assert_null(strstr(walsh_message(), "accumulate"));
    assert_null(strstr(walsh_message(), "momentum"));
    limited.memory = all;
    assert_ok(walsh_evaluate(model, set, &limited, NULL, NULL, &result));
    limited.memory = 1000;
    assert_fails(WALSH_E_MEMORY, ": no batch would fit", walsh_evaluate(model, set, &limited, NULL, NULL, &result));
    free(logits);
    walsh_dataset_close(&set);
    walsh_model_destroy(&model);
}

static void options_are_recalled(void **state)
{
    (void)state;
    walsh_train_options options = tiny_run("run", 1), recalled;
    options.label_smoothing = 0.1;
    options.momentum = 1.0 / 3;
    assert_ok(walsh_schedule_parse("step:3,5", &options.schedule));
    assert_ok(walsh_train(op_device(), &options, NULL, NULL, NULL));
    char *memory = NULL;
    assert_ok(walsh_train_recall("run", &recalled, &memory));
    assert_string_equal(recalled.model.name, "resnet20");
    assert_string_equal(recalled.data, "cifar10:data");
    assert_true(recalled.label_smoothing == 0.1 && recalled.momentum == 1.0 / 3 && recalled.resume);
    assert_null(recalled.init);
    assert_int_equal(recalled.schedule.milestones[1], 5);
    recalled.out = "run";
    recalled.steps = 2;
    assert_ok(walsh_train(op_device(), &recalled, NULL, NULL, NULL));
    free(memory);
    options.out = "second";
    options.init = "run/last.safetensors";
    assert_ok(walsh_train(op_device(), &options, NULL, NULL, NULL));
    assert_ok(walsh_train_recall("second", &recalled, &memory));
    assert_string_equal(recalled.init, "run/last.safetensors");
    free(memory);
}

/* Evaluation does not depend on the batch, short last batches included; logits agree with it. */
static void evaluation_counts_every_image_once(void **state)
{
    (void)state;
    walsh_model *model = NULL;
    walsh_dataset *set = NULL;
    walsh_evaluation a, b;
    walsh_model_options options = {.name = "resnet20", .classes = 10};
    assert_ok(walsh_model_create(op_device(), &options, &model));
    assert_ok(walsh_model_initialise(model, 1));
    assert_ok(walsh_dataset_open("sample", WALSH_SPLIT_TEST, NULL, &set));
    assert_ok(walsh_evaluate(model, set, &(walsh_evaluate_options){.batch = 1000}, NULL, NULL, &a));
    assert_ok(walsh_evaluate(model, set, &(walsh_evaluate_options){.batch = 96}, NULL, NULL, &b));
    assert_true(a.images == 1000 && b.images == 1000 && a.top1_error == b.top1_error && a.top5_error == b.top5_error);
    assert_true(fabs(a.loss - b.loss) < 1e-6);
    float *logits = op_floats(10000);
    assert_ok(walsh_predict(model, set, &(walsh_evaluate_options){.batch = 96, .loaders = 2}, NULL, NULL, logits));
    double loss = 0;
    int wrong = 0;
    for (size_t i = 0; i < 1000; i++) {
        const float *y = logits + 10 * i;
        int t = walsh_dataset_label(set, i), best = 0;
        double sum = 0;
        for (int c = 0; c < 10; c++) sum += exp((double)y[c]), best = y[c] > y[best] ? c : best;
        loss += log(sum) - y[t];
        wrong += best != t;
    }
    assert_true(fabs(loss / 1000 - a.loss) < 1e-5);
    assert_true(fabs(wrong / 10.0 - a.top1_error) < 0.2);
    free(logits);
    walsh_dataset_close(&set);
    walsh_model_destroy(&model);
}

#define in_folder(test) cmocka_unit_test_setup_teardown(test, tiny_enter, temp_leave)

int main(int argc, char **argv)
{
    if (argc > 1 && !strcmp(argv[1], "run")) return run_to_be_killed();
    const struct CMUnitTest tests[] = {
        in_folder(runs_repeat_to_the_bit),
        in_folder(threads_do_not_matter),
        in_folder(seeds_matter),
        in_folder(a_stopped_run_goes_on),
        in_folder(a_stopped_run_of_parts_goes_on),
        in_folder(a_stopped_run_of_halves_goes_on),
        in_folder(an_older_state_goes_on),
        in_folder(a_longer_run_goes_on),
        in_folder(a_killed_run_goes_on),
        in_folder(a_loss_that_is_nan_stops_the_run),
        in_folder(files_that_cannot_be_written_end_the_run),
        in_folder(a_stop_comes_after_what_is_under_way),
        in_folder(contradictions_are_refused),
        in_folder(shrunken_data_are_refused),
        in_folder(memory_is_limited),
        in_folder(memory_of_evaluation_is_limited),
        in_folder(options_are_recalled),
        cmocka_unit_test(evaluation_counts_every_image_once),
    };
    return cmocka_run_group_tests(tests, NULL, op_device_close);
}
