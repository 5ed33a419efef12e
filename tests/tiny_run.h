/* A training run that takes a moment: its data and its options. */
#ifndef WALSH_TESTS_TINY_RUN_H
#define WALSH_TESTS_TINY_RUN_H

#include "tests/temp.h"

#include <walsh/train.h>

#include "engine/base/rng.h"

/* Writes a data set in CIFAR-10's layout with `images` random images, classes in turn. */
static inline void tiny_images(const char *path, int images)
{
    enum { RECORD = 3073 };
    uint8_t *bytes = malloc((size_t)images * RECORD);
    assert_non_null(bytes);
    for (size_t i = 0; i < (size_t)images * RECORD; i++) {
        uint32_t word[4];
        walsh_rng_words((walsh_rng){11, (uint64_t)images}, i, word);
        bytes[i] = (uint8_t)(i % RECORD ? word[0] >> 24 : i / RECORD % 10);
    }
    temp_write(path, bytes, (size_t)images * RECORD);
    free(bytes);
}

/* cmocka set-up: a folder with data of 4 steps an epoch at batch 8. */
static inline int tiny_enter(void **state)
{
    if (temp_enter(state) || mkdir("data", 0777)) return -1;
    tiny_images("data/data_batch_1.bin", 37);
    tiny_images("data/test_batch.bin", 11);
    return 0;
}

/* A run of ResNet-20 with a Hadamard head on it. */
static inline walsh_train_options tiny_run(const char *out, uint64_t steps)
{
    walsh_train_options options;
    assert_ok(walsh_train_defaults("resnet20", "cifar10:data", &options));
    options.out = out;
    options.batch = 8;
    options.steps = steps;
    options.lr = 0.01;
    options.schedule.kind = WALSH_SCHEDULE_CONSTANT;
    options.model.head = WALSH_HEAD_HADAMARD;
    return options;
}

#endif
