/* The loader: the same batches whatever the threads and the start; crops against the generator; ends and errors. */
#include "tests/check.h"

#include "engine/base/rng.h"
#include "engine/base/status.h"
#include "engine/data/augment.h"
#include "engine/data/dataset.h"
#include "engine/data/loader.h"

enum { SIDE = 32, IMAGE = SIDE * SIDE * 4 };

static walsh_dataset *sample;

static int open_sample(void **state)
{
    (void)state;
    return (int)walsh_dataset_open("sample", WALSH_SPLIT_TEST, NULL, &sample);
}

static int close_sample(void **state)
{
    (void)state;
    walsh_dataset_close(&sample);
    return 0;
}

static const walsh_loader_options training = {
    .batch = 96, .seed = 5, .shuffle = true, .augment = true, .drop_last = true, .threads = 1};

/* The next batch; false at the end of the epoch. */
static bool receive(walsh_loader *loader, walsh_batch *batch)
{
    assert_ok(walsh_loader_next(loader, batch));
    return batch->count > 0;
}

/* FNV-1a over all batches from `first` on; *batches counts them. */
static uint64_t digest(walsh_loader *loader, uint32_t epoch, size_t first, size_t *batches)
{
    uint64_t hash = 14695981039346656037u;
    walsh_batch batch;
    *batches = 0;
    assert_ok(walsh_loader_start(loader, epoch, first));
    while (receive(loader, &batch)) {
        for (size_t i = 0; i < batch.count * IMAGE; i++) hash = (hash ^ batch.pixels[i]) * 1099511628211u;
        for (size_t i = 0; i < batch.count; i++) hash = (hash ^ (uint64_t)batch.labels[i]) * 1099511628211u;
        ++*batches;
    }
    return hash;
}

static void threads_do_not_matter(void **state)
{
    (void)state;
    uint64_t expected[2] = {0};
    for (int threads = 1; threads <= 3; threads++) {
        walsh_loader_options options = training;
        options.threads = threads;
        walsh_loader *loader;
        assert_ok(walsh_loader_open(sample, &options, &loader));
        assert_int_equal(walsh_loader_batches(loader), 10);
        for (uint32_t epoch = 0; epoch < 2; epoch++) {
            size_t batches;
            uint64_t found = digest(loader, epoch, 0, &batches);
            assert_int_equal(batches, 10);
            if (threads == 1) expected[epoch] = found;
            assert_int_equal(found, expected[epoch]);
        }
        walsh_loader_close(&loader);
        assert_null(loader);
    }
    assert_int_not_equal(expected[0], expected[1]);
}

/* From batch 4 on, after an epoch abandoned half way, as in a run never stopped. A batch is still whole when the next
 * one has been received. */
static void start_in_mid_epoch(void **state)
{
    (void)state;
    walsh_loader_options options = training;
    options.threads = 2;
    walsh_loader *whole, *part;
    walsh_batch a, b, before = {0};
    uint8_t *copy = malloc(options.batch * IMAGE);
    assert_ok(walsh_loader_open(sample, &options, &whole));
    assert_ok(walsh_loader_open(sample, &options, &part));
    assert_ok(walsh_loader_start(whole, 7, 0));
    for (int i = 0; i < 4; i++) assert_ok(walsh_loader_next(whole, &a));
    assert_ok(walsh_loader_start(part, 3, 1));
    for (int i = 0; i < 3; i++) assert_ok(walsh_loader_next(part, &b));
    assert_ok(walsh_loader_start(part, 7, 4));
    for (int i = 4; i <= 10; i++) {
        assert_ok(walsh_loader_next(whole, &a));
        assert_ok(walsh_loader_next(part, &b));
        assert_int_equal(a.count, i < 10 ? 96 : 0);
        assert_int_equal(b.count, a.count);
        if (before.count) assert_memory_equal(before.pixels, copy, before.count * IMAGE);
        if (!a.count) break;
        assert_memory_equal(a.pixels, b.pixels, a.count * IMAGE);
        assert_memory_equal(a.labels, b.labels, a.count * sizeof *a.labels);
        memcpy(copy, a.pixels, a.count * IMAGE);
        before = a;
    }
    assert_ok(walsh_loader_next(part, &b)); /* the end stays the end */
    assert_int_equal(b.count, 0);
    assert_ok(walsh_loader_start(part, 7, 10));
    assert_ok(walsh_loader_next(part, &b));
    assert_int_equal(b.count, 0);
    free(copy);
    walsh_loader_close(&whole);
    walsh_loader_close(&part);
}

/* Evaluation: every image once, in order, untouched; the last batch short and zero behind. */
static void evaluation(void **state)
{
    (void)state;
    const walsh_loader_options options = {.batch = 96, .threads = 2};
    walsh_loader *loader;
    assert_ok(walsh_loader_open(sample, &options, &loader));
    assert_int_equal(walsh_loader_batches(loader), 11);
    walsh_batch batch;
    for (uint32_t epoch = 0; epoch < 2; epoch++) {
        size_t image = 0;
        assert_ok(walsh_loader_start(loader, epoch, 0));
        while (receive(loader, &batch)) {
            assert_int_equal(batch.count, image == 960 ? 40 : 96);
            for (size_t i = 0; i < batch.count; i++, image++) {
                uint8_t expected[IMAGE];
                assert_ok(sample->kind->fetch(sample, image, NULL, expected));
                assert_memory_equal(batch.pixels + i * IMAGE, expected, IMAGE);
                assert_int_equal(batch.labels[i], walsh_dataset_label(sample, image));
            }
            for (size_t i = batch.count * IMAGE; i < 96 * IMAGE; i++) assert_int_equal(batch.pixels[i], 0);
            for (size_t i = batch.count; i < 96; i++) assert_int_equal(batch.labels[i], 0);
        }
        assert_int_equal(image, 1000);
    }
    walsh_loader_close(&loader);
}

/* A data set whose image i begins with the bytes i & 255, i >> 8, so that a batch shows which images it holds; those
 * from `fail_at` on cannot be read. */
static size_t fail_at = SIZE_MAX;

static walsh_status told_fetch(const walsh_dataset *set, size_t index, const walsh_rng *augment, uint8_t *out)
{
    (void)set, (void)augment;
    if (index >= fail_at) WALSH_FAIL(WALSH_E_FILE, "image %zu cannot be read", index);
    memset(out, 0, IMAGE);
    out[0] = (uint8_t)index;
    out[1] = (uint8_t)(index >> 8);
    return WALSH_OK;
}

static void told_release(walsh_dataset *set)
{
    (void)set;
}

static walsh_dataset make_told(int32_t *labels, size_t images)
{
    static const walsh_dataset_kind kind = {.fetch = told_fetch, .release = told_release, .chunk = 16};
    for (size_t i = 0; i < images; i++) labels[i] = (int32_t)(i % 7);
    return (walsh_dataset){{.images = images, .height = SIDE, .width = SIDE}, &kind, labels, NULL, NULL};
}

static void shuffle(void **state)
{
    (void)state;
    enum { IMAGES = 1000 };
    int32_t labels[IMAGES];
    walsh_dataset set = make_told(labels, IMAGES);
    const walsh_loader_options options = {.batch = 33, .seed = 9, .shuffle = true, .threads = 2};
    walsh_loader *loader;
    assert_ok(walsh_loader_open(&set, &options, &loader));
    size_t same_place = 0, last[IMAGES] = {0};
    for (uint32_t epoch = 0; epoch < 3; epoch++) {
        /* Fisher-Yates, again */
        size_t order[IMAGES];
        for (size_t i = 0; i < IMAGES; i++) order[i] = i;
        for (size_t i = IMAGES - 1; i > 0; i--) {
            size_t j = walsh_rng_below(walsh_rng_make(9, WALSH_RNG_SHUFFLE, epoch), i, (uint32_t)i + 1), t = order[i];
            order[i] = order[j], order[j] = t;
        }
        size_t at = 0;
        bool seen[IMAGES] = {false};
        walsh_batch batch;
        assert_ok(walsh_loader_start(loader, epoch, 0));
        while (receive(loader, &batch))
            for (size_t i = 0; i < batch.count; i++, at++) {
                const uint8_t *pixels = batch.pixels + i * IMAGE;
                size_t image = pixels[0] + 256u * pixels[1];
                assert_int_equal(image, order[at]);
                assert_int_equal(batch.labels[i], image % 7);
                assert_false(seen[image]);
                seen[image] = true;
                same_place += last[at] == image;
                last[at] = image;
            }
        assert_int_equal(at, IMAGES);
    }
    assert_true(same_place < 20); /* one is expected for each of three comparisons */
    walsh_loader_close(&loader);
}

/* Every byte of an augmented batch comes from where the generator says: top, left and flip recomputed here. */
static void augmentation(void **state)
{
    (void)state;
    walsh_loader_options options = training;
    options.shuffle = false, options.drop_last = false, options.seed = 0x123456789abcu;
    walsh_loader *loader;
    assert_ok(walsh_loader_open(sample, &options, &loader));
    int tops[9] = {0}, lefts[9] = {0}, flips = 0;
    size_t image = 0;
    walsh_batch batch;
    assert_ok(walsh_loader_start(loader, 11, 0));
    while (receive(loader, &batch))
        for (size_t i = 0; i < batch.count; i++, image++) {
            uint8_t source[SIDE][SIDE][4], expected[SIDE][SIDE][4] = {0};
            uint32_t word[4];
            assert_ok(sample->kind->fetch(sample, image, NULL, source[0][0]));
            walsh_rng_words(walsh_rng_make(options.seed, WALSH_RNG_AUGMENT, 11), image, word);
            int top = (int)(word[0] / 4294967296. * 9), left = (int)(word[1] / 4294967296. * 9);
            bool flip = word[2] >= 0x80000000u;
            tops[top]++, lefts[left]++, flips += flip;
            for (int y = 0; y < SIDE; y++)
                for (int x = 0; x < SIDE; x++) {
                    int from_y = y + top - 4, from_x = (flip ? SIDE - 1 - x : x) + left - 4;
                    if (from_y >= 0 && from_y < SIDE && from_x >= 0 && from_x < SIDE)
                        memcpy(expected[y][x], source[from_y][from_x], 4);
                }
            assert_memory_equal(batch.pixels + i * IMAGE, expected, IMAGE);
        }
    assert_int_equal(image, 1000);
    /* Five standard deviations: sqrt(1000/4) = 16, sqrt(1000 * 8/81) = 10. */
    assert_true(abs(flips - 500) < 80);
    for (int i = 0; i < 9; i++) assert_true(abs(tops[i] - 111) < 50 && abs(lefts[i] - 111) < 50);
    walsh_loader_close(&loader);
}

/* Interleaved source, window smaller than the image and partly beside it. */
static void crop_of_pixels(void **state)
{
    (void)state;
    const uint8_t bytes[2][3][3] = {{{1, 2, 3}, {4, 5, 6}, {7, 8, 9}}, {{11, 12, 13}, {14, 15, 16}, {17, 18, 19}}};
    const walsh_image image = {bytes[0][0], 2, 3, .row = 9, .pixel = 3, .channel = 1};
    uint8_t out[2][2][4];
    walsh_crop_copy(&image, (walsh_crop){.top = 1, .left = 2, .flip = true}, 2, 2, out[0][0]);
    const uint8_t corner[2][2][4] = {{{0}, {17, 18, 19, 0}}, {{0}}};
    assert_memory_equal(out, corner, sizeof out);
    walsh_crop_copy(&image, (walsh_crop){.top = 0, .left = 1}, 2, 2, out[0][0]);
    const uint8_t middle[2][2][4] = {{{4, 5, 6}, {7, 8, 9}}, {{14, 15, 16}, {17, 18, 19}}};
    assert_memory_equal(out, middle, sizeof out);
    walsh_crop_copy(&image, (walsh_crop){.top = 0, .left = 7}, 2, 2, out[0][0]);
    const uint8_t outside[2][2][4] = {0};
    assert_memory_equal(out, outside, sizeof out);
}

/* The batches before the bad image come whole; then its own message, again and again, until a new start. */
static void errors_are_carried(void **state)
{
    (void)state;
    enum { IMAGES = 400 };
    int32_t labels[IMAGES];
    walsh_dataset set = make_told(labels, IMAGES);
    for (int threads = 1; threads <= 3; threads += 2) {
        const walsh_loader_options options = {.batch = 64, .threads = threads};
        walsh_loader *loader;
        walsh_batch batch;
        assert_ok(walsh_loader_open(&set, &options, &loader));
        fail_at = 131;
        assert_ok(walsh_loader_start(loader, 0, 0));
        for (int i = 0; i < 2; i++) {
            assert_ok(walsh_loader_next(loader, &batch));
            assert_int_equal(batch.count, 64);
        }
        for (int i = 0; i < 2; i++) {
            assert_fails(WALSH_E_FILE, "image 131 cannot be read", walsh_loader_next(loader, &batch));
            assert_int_equal(batch.count, 0);
        }
        assert_ok(walsh_loader_start(loader, 0, 6)); /* waits for the threads to be idle: fail_at may change */
        assert_fails(WALSH_E_FILE, "image 384 cannot be read", walsh_loader_next(loader, &batch));
        fail_at = SIZE_MAX;
        size_t batches;
        digest(loader, 0, 0, &batches);
        assert_int_equal(batches, 7);
        walsh_loader_close(&loader);
    }
}

static void bad_options(void **state)
{
    (void)state;
    walsh_loader *loader;
    walsh_loader_options options = training;
    options.batch = 4096;
    assert_fails(WALSH_E_ARGUMENT, "--batch 4096 is larger than the 1000 training images",
                 walsh_loader_open(sample, &options, &loader));
    assert_null(loader);
    options.batch = 0;
    assert_fails(WALSH_E_ARGUMENT, "--batch: expected at least 1", walsh_loader_open(sample, &options, &loader));
    options = training, options.threads = 0;
    assert_fails(WALSH_E_ARGUMENT, "--loaders: expected at least 1", walsh_loader_open(sample, &options, &loader));
    assert_ok(walsh_loader_open(sample, &training, &loader));
    walsh_batch batch;
    assert_ok(walsh_loader_next(loader, &batch)); /* never started: nothing comes */
    assert_int_equal(batch.count, 0);
    assert_fails(WALSH_E_ARGUMENT, "expected 0..10, found 11", walsh_loader_start(loader, 0, 11));
    walsh_loader_close(&loader);
    walsh_loader_close(&loader);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(threads_do_not_matter),
        cmocka_unit_test(start_in_mid_epoch),
        cmocka_unit_test(evaluation),
        cmocka_unit_test(shuffle),
        cmocka_unit_test(augmentation),
        cmocka_unit_test(crop_of_pixels),
        cmocka_unit_test(errors_are_carried),
        cmocka_unit_test(bad_options),
    };
    return cmocka_run_group_tests(tests, open_sample, close_sample);
}
