/* Learning rates by step, and the recipes that name them. */
#include "tests/check.h"

#include <math.h>
#include <string.h>

#include <walsh/train.h>

static double rate(const char *text, double lr, uint64_t step, uint64_t steps, uint64_t per_epoch)
{
    walsh_schedule schedule = {0};
    assert_ok(walsh_schedule_parse(text, &schedule));
    return walsh_schedule_rate(&schedule, lr, step, steps, per_epoch);
}

#define assert_near(a, b) assert_true(fabs((a) - (b)) < 1e-12)

static void steps_fall_at_the_start_of_epochs(void **state)
{
    (void)state;
    assert_near(rate("step:2,4", 0.1, 0, 60, 10), 0.1);
    assert_near(rate("step:2,4", 0.1, 19, 60, 10), 0.1);
    assert_near(rate("step:2,4", 0.1, 20, 60, 10), 0.01);
    assert_near(rate("step:2,4", 0.1, 40, 60, 10), 0.001);
    assert_near(rate("step:2,4", 0.1, 59, 60, 10), 0.001);
}

static void linear_and_cosine_end_at_zero(void **state)
{
    (void)state;
    assert_near(rate("constant", 0.3, 77, 100, 10), 0.3);
    assert_near(rate("linear", 0.2, 0, 100, 10), 0.2);
    assert_near(rate("linear", 0.2, 25, 100, 10), 0.15);
    assert_near(rate("linear", 0.2, 100, 100, 10), 0);
    assert_near(rate("cosine", 0.2, 0, 100, 10), 0.2);
    assert_near(rate("cosine", 0.2, 50, 100, 10), 0.1);
    assert_near(rate("cosine", 0.2, 100, 100, 10), 0);
}

/* torch.optim.lr_scheduler.OneCycleLR(max_lr=0.4, total_steps=50, div_factor=25, final_div_factor=1e4) */
static void onecycle_is_pytorchs(void **state)
{
    (void)state;
    static const struct {
        uint64_t step;
        double rate;
    } known[] = {{0, 0.016},
                 {1, 0.020813840861089894},
                 {7, 0.208},
                 {14, 0.4},
                 {15, 0.3991948620196127},
                 {30, 0.22684734577691845},
                 {48, 0.0008067379803873826},
                 {49, 1.6e-06}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        assert_near(rate("onecycle", 0.4, known[i].step, 50, 10), known[i].rate);
    /* Too short to rise: still finite and never above the peak. */
    for (uint64_t steps = 1; steps < 6; steps++)
        for (uint64_t s = 0; s < steps; s++) {
            double r = rate("onecycle", 0.4, s, steps, 10);
            assert_true(r >= 0 && r <= 0.4 + 1e-12);
        }
}

static void warmup_is_linear_and_shifts_the_rest(void **state)
{
    (void)state;
    walsh_schedule schedule = {.warmup = 2};
    assert_ok(walsh_schedule_parse("linear", &schedule));
    assert_near(schedule.warmup, 2);
    assert_near(walsh_schedule_rate(&schedule, 0.1, 0, 100, 10), 0);
    assert_near(walsh_schedule_rate(&schedule, 0.1, 5, 100, 10), 0.025);
    assert_near(walsh_schedule_rate(&schedule, 0.1, 20, 100, 10), 0.1);
    assert_near(walsh_schedule_rate(&schedule, 0.1, 60, 100, 10), 0.05);
}

static void wrong_schedules_are_refused(void **state)
{
    (void)state;
    walsh_schedule schedule = {0};
    static const char *const wrong[] = {"",        "step",   "step:",  "step:5,", "step:5,5", "step:9,3",
                                        "step:-1", "step:0", "step:a", "steps",   "cosinus",  "step:1,2,x"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_fails(WALSH_E_ARGUMENT, "expected constant", walsh_schedule_parse(wrong[i], &schedule));
}

/* Every network trains by default as its paper says: the table of the README. */
static void every_network_has_its_recipe(void **state)
{
    static const struct {
        const char *models, *schedule;
        int epochs, batch;
        double lr, weight_decay;
        bool nesterov;
    } known[] = {
        {" resnet20 resnet32 resnet44 resnet56 resnet110 ", "step:81,122,164", 200, 128, 0.1, 1e-4, false},
        {" densenet-bc-100-12 ", "step:150,225", 300, 64, 0.1, 1e-4, true},
        {" resnet18 resnet34 resnet50 densenet121 densenet169 ", "step:30,60,80", 90, 256, 0.1, 1e-4, false},
        {" shufflenet ", "linear", 240, 1024, 0.5, 4e-5, false},
    };
    enum { KNOWN = sizeof known / sizeof *known };
    (void)state;
    for (const char *const *name = walsh_model_names(); *name; name++) {
        walsh_train_options options, on_sample;
        walsh_schedule schedule = {0};
        char word[64];
        int i = 0;
        snprintf(word, sizeof word, " %s ", *name);
        while (i < KNOWN && !strstr(known[i].models, word)) i++;
        assert_true(i < KNOWN);
        assert_ok(walsh_train_defaults(*name, "imagenet:x", &options));
        assert_ok(walsh_schedule_parse(known[i].schedule, &schedule));
        assert_memory_equal(&options.schedule, &schedule, sizeof schedule);
        assert_true(options.epochs == known[i].epochs && options.batch == known[i].batch);
        assert_true(options.lr == known[i].lr && options.weight_decay == known[i].weight_decay);
        assert_true(options.momentum == 0.9 && options.nesterov == known[i].nesterov);
        assert_ok(walsh_train_defaults(*name, "sample", &on_sample));
        assert_true(on_sample.schedule.kind == WALSH_SCHEDULE_ONECYCLE && on_sample.epochs == 15);
        assert_false(on_sample.nesterov);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(steps_fall_at_the_start_of_epochs),
        cmocka_unit_test(linear_and_cosine_end_at_zero),
        cmocka_unit_test(onecycle_is_pytorchs),
        cmocka_unit_test(warmup_is_linear_and_shifts_the_rest),
        cmocka_unit_test(wrong_schedules_are_refused),
        cmocka_unit_test(every_network_has_its_recipe),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
