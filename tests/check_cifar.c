/* CIFAR files against bytes that the test writes itself; bad files; the sample within the library. */
#include "tests/temp.h"

#include "engine/data/dataset.h"

#include <archive.h>
#include <archive_entry.h>
#include <math.h>
#include <walsh/data.h>

enum { PLANE = 32 * 32, RECORD = 1 + 3 * PLANE, RECORD100 = 2 + 3 * PLANE };

/* Byte of image `id`, channel c, pixel p: no two planes or images are alike. */
static uint8_t byte_of(int id, int c, int p)
{
    return (uint8_t)(id * 89 + c * 61 + p * 7 + p / 32 * 3);
}

/* Writes one record; `coarse` negative: CIFAR-10. */
static uint8_t *put(uint8_t *to, int coarse, int label, int id)
{
    if (coarse >= 0) *to++ = (uint8_t)coarse;
    *to++ = (uint8_t)label;
    for (int c = 0; c < 3; c++)
        for (int p = 0; p < PLANE; p++) *to++ = byte_of(id, c, p);
    return to;
}

/* A file of CIFAR-10 records: images id, id+1, ...; label: id modulo 10. */
static void write_batch(const char *name, int id, int count)
{
    uint8_t *bytes = malloc((size_t)count * RECORD), *to = bytes;
    for (int i = 0; i < count; i++) to = put(to, -1, (id + i) % 10, id + i);
    temp_write(name, bytes, (size_t)count * RECORD);
    free(bytes);
}

/* Image `index` holds the bytes of `id`, as pixels of red, green, blue, 0. */
static void assert_image(const walsh_dataset *set, size_t index, int id)
{
    uint8_t out[PLANE][4];
    memset(out, 0xAA, sizeof out);
    assert_ok(set->kind->fetch(set, index, NULL, out[0]));
    for (int p = 0; p < PLANE; p++) {
        for (int c = 0; c < 3; c++) assert_int_equal(out[p][c], byte_of(id, c, p));
        assert_int_equal(out[p][3], 0);
    }
}

static void assert_refused(walsh_status status, const char *part, const char *spec, walsh_split split)
{
    walsh_dataset *set = (walsh_dataset *)&status;
    assert_fails(status, part, walsh_dataset_open(spec, split, NULL, &set));
    assert_null(set);
}

/* Eleven batches, so that numeric and alphabetic order differ. */
static void write_files(void)
{
    char name[64];
    for (int i = 1; i <= 11; i++) {
        snprintf(name, sizeof name, "data_batch_%d.bin", i);
        write_batch(name, 2 * i, 2);
    }
    write_batch("test_batch.bin", 100, 3);
    write_batch("data_batch_0.bin", 200, 1);
    write_batch("data_batch_1.bin.old", 201, 1);
}

static void assert_files(const char *spec)
{
    walsh_dataset *set;
    assert_ok(walsh_dataset_open(spec, WALSH_SPLIT_TRAIN, NULL, &set));
    const walsh_dataset_info *info = walsh_dataset_describe(set);
    assert_string_equal(info->name, "cifar10");
    assert_int_equal(info->images, 22);
    assert_int_equal(info->classes, 10);
    assert_int_equal(info->height, 32);
    assert_int_equal(info->width, 32);
    assert_int_equal(info->channels, 3);
    for (int i = 0; i < 22; i++) {
        assert_int_equal(walsh_dataset_label(set, (size_t)i), (i + 2) % 10);
        assert_image(set, (size_t)i, i + 2);
    }
    walsh_dataset_close(&set);
    assert_null(set);
    assert_ok(walsh_dataset_open(spec, WALSH_SPLIT_TEST, NULL, &set));
    assert_int_equal(walsh_dataset_describe(set)->images, 3);
    assert_image(set, 2, 102);
    walsh_dataset_close(&set);
}

static void folder_and_parent(void **state)
{
    (void)state;
    assert_int_equal(mkdir("cifar-10-batches-bin", 0700), 0);
    assert_int_equal(chdir("cifar-10-batches-bin"), 0);
    write_files();
    assert_files("cifar10:.");
    assert_files("cifar10:..");
}

static void class_names(void **state)
{
    (void)state;
    walsh_dataset *set;
    write_batch("test_batch.bin", 0, 1);
    assert_ok(walsh_dataset_open("cifar10:.", WALSH_SPLIT_TEST, NULL, &set));
    assert_string_equal(walsh_dataset_describe(set)->class_names[9], "truck");
    walsh_dataset_close(&set);

    const char names[] = "a0\r\na1\r\na2\na3\na4\na5\na6\na7\na8\nlast one\n\n";
    temp_write("batches.meta.txt", names, sizeof names - 1);
    assert_ok(walsh_dataset_open("cifar10:.", WALSH_SPLIT_TEST, NULL, &set));
    assert_string_equal(walsh_dataset_describe(set)->class_names[0], "a0");
    assert_string_equal(walsh_dataset_describe(set)->class_names[9], "last one");
    walsh_dataset_close(&set);

    temp_write("batches.meta.txt", names, 20);
    assert_refused(WALSH_E_FORMAT, "expected 10 class names, one a line, found 6", "cifar10:.", WALSH_SPLIT_TEST);
}

/* The fine label is the second byte; the coarse one is not looked at. */
static void cifar100(void **state)
{
    (void)state;
    uint8_t bytes[2 * RECORD100];
    put(put(bytes, 200, 99, 5), 3, 0, 6);
    temp_write("train.bin", bytes, sizeof bytes);
    walsh_dataset *set;
    assert_ok(walsh_dataset_open("cifar100:.", WALSH_SPLIT_TRAIN, NULL, &set));
    const walsh_dataset_info *info = walsh_dataset_describe(set);
    assert_string_equal(info->name, "cifar100");
    assert_int_equal(info->classes, 100);
    assert_int_equal(info->images, 2);
    assert_string_equal(info->class_names[0], "apple");
    assert_string_equal(info->class_names[99], "worm");
    assert_float_equal(info->mean[2], .4409f, 0);
    assert_float_equal(info->deviation[0], .2673f, 0);
    assert_int_equal(walsh_dataset_label(set, 0), 99);
    assert_int_equal(walsh_dataset_label(set, 1), 0);
    assert_image(set, 0, 5);
    assert_image(set, 1, 6);
    walsh_dataset_close(&set);
    assert_refused(WALSH_E_FILE, "expected test.bin", "cifar100:.", WALSH_SPLIT_TEST);
}

/* Packs the named files into an archive, in this order. */
static void pack(const char *target, int (*filter)(struct archive *), const char *const *names)
{
    static uint8_t bytes[4 * RECORD];
    struct archive *archive = archive_write_new();
    assert_int_equal(filter(archive), ARCHIVE_OK);
    archive_write_set_format_ustar(archive);
    assert_int_equal(archive_write_open_filename(archive, target), ARCHIVE_OK);
    for (; *names; names++) {
        FILE *file = fopen(*names, "rb");
        assert_non_null(file);
        size_t size = fread(bytes, 1, sizeof bytes, file);
        fclose(file);
        struct archive_entry *entry = archive_entry_new();
        char inside[64];
        snprintf(inside, sizeof inside, "cifar-10-batches-bin/%s", *names);
        archive_entry_set_pathname(entry, inside);
        archive_entry_set_size(entry, (la_int64_t)size);
        archive_entry_set_filetype(entry, AE_IFREG);
        archive_entry_set_perm(entry, 0644);
        assert_int_equal(archive_write_header(archive, entry), ARCHIVE_OK);
        assert_int_equal(archive_write_data(archive, bytes, size), size);
        archive_entry_free(entry);
    }
    assert_int_equal(archive_write_free(archive), ARCHIVE_OK);
}

static const char *const all_files[] = {
    "data_batch_7.bin",  "data_batch_2.bin", "data_batch_3.bin",     "data_batch_11.bin", "test_batch.bin",
    "data_batch_10.bin", "data_batch_8.bin", "data_batch_9.bin",     "data_batch_4.bin",  "data_batch_6.bin",
    "data_batch_0.bin",  "data_batch_5.bin", "data_batch_1.bin.old", "data_batch_1.bin",  NULL};

static void archives(void **state)
{
    (void)state;
    write_files();
    pack("some.tar", archive_write_add_filter_none, all_files);
    assert_files("cifar10:some.tar");
    pack("some.tar.xz", archive_write_add_filter_xz, all_files);
    assert_files("cifar10:some.tar.xz");
    /* The folder that the fetcher filled. */
    assert_int_equal(mkdir("fetched", 0700), 0);
    pack("fetched/cifar-10-binary.tar.gz", archive_write_add_filter_gzip, all_files);
    assert_files("cifar10:fetched");
}

static void bad_archives(void **state)
{
    (void)state;
    write_files();
    pack("whole.tar.gz", archive_write_add_filter_gzip, all_files);
    struct stat about;
    assert_int_equal(stat("whole.tar.gz", &about), 0);
    for (int percent = 1; percent < 100; percent += 7) {
        assert_int_equal(truncate("whole.tar.gz", about.st_size * (100 - percent) / 100), 0);
        assert_refused(WALSH_E_FORMAT, "whole.tar.gz: expected a folder or a whole tar archive, found a truncated",
                       "cifar10:whole.tar.gz", percent % 2 ? WALSH_SPLIT_TRAIN : WALSH_SPLIT_TEST);
    }
    assert_int_equal(truncate("whole.tar.gz", 0), 0);
    assert_refused(WALSH_E_FORMAT, "whole.tar.gz", "cifar10:whole.tar.gz", WALSH_SPLIT_TEST);

    const char *one[] = {"data_batch_1.bin", NULL}, *two[] = {"data_batch_1.bin", "data_batch_1.bin", NULL};
    pack("some.tar.gz", archive_write_add_filter_gzip, one);
    assert_refused(WALSH_E_FILE, "expected test_batch.bin", "cifar10:some.tar.gz", WALSH_SPLIT_TEST);
    pack("some.tar.gz", archive_write_add_filter_gzip, two);
    assert_refused(WALSH_E_FORMAT, "expected one data_batch_1.bin, found two", "cifar10:some.tar.gz",
                   WALSH_SPLIT_TRAIN);
    temp_write("text", "no archive, but a file of text\n", 31);
    assert_refused(WALSH_E_FORMAT, "text", "cifar10:text", WALSH_SPLIT_TRAIN);
}

static void bad_files(void **state)
{
    (void)state;
    uint8_t bytes[3 * RECORD];
    put(put(put(bytes, -1, 9, 1), -1, 10, 2), -1, 3, 3);
    temp_write("test_batch.bin", bytes, sizeof bytes);
    assert_refused(WALSH_E_FORMAT, "test_batch.bin, record 1 (from 0): expected a label in 0..9, found 10", "cifar10:.",
                   WALSH_SPLIT_TEST);

    write_batch("data_batch_1.bin", 0, 2);
    temp_write("data_batch_2.bin", bytes, RECORD - 1);
    assert_refused(WALSH_E_FORMAT,
                   "data_batch_2.bin is truncated: expected a multiple of 3073 bytes a record, found 3072 bytes",
                   "cifar10:.", WALSH_SPLIT_TRAIN);
    temp_write("data_batch_2.bin", bytes, 0);
    assert_refused(WALSH_E_FORMAT, "found 0 bytes", "cifar10:.", WALSH_SPLIT_TRAIN);

    put(bytes, 19, 100, 1);
    temp_write("test.bin", bytes, RECORD100);
    assert_refused(WALSH_E_FORMAT, "test.bin, record 0 (from 0): expected a label in 0..99, found 100", "cifar100:.",
                   WALSH_SPLIT_TEST);
}

static void bad_paths(void **state)
{
    (void)state;
    assert_refused(WALSH_E_FILE, "expected data_batch_#.bin (# from 1 on), here or in cifar-10-batches-bin, found none",
                   "cifar10:.", WALSH_SPLIT_TRAIN);
    assert_refused(WALSH_E_FILE, "nowhere", "cifar10:nowhere", WALSH_SPLIT_TRAIN);
    assert_int_equal(mkdir("test_batch.bin", 0700), 0);
    assert_refused(WALSH_E_FILE, "test_batch.bin", "cifar10:.", WALSH_SPLIT_TEST);
    const char *unknown[] = {"", "cifar", "cifar1000:/tmp", "mnist:/tmp", "sample:x", ":"};
    for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++)
        assert_refused(WALSH_E_ARGUMENT, "expected sample, cifar10:PATH, cifar100:PATH", unknown[i], WALSH_SPLIT_TRAIN);
    assert_refused(WALSH_E_ARGUMENT, "lacks its path", "cifar10", WALSH_SPLIT_TRAIN);
    assert_refused(WALSH_E_ARGUMENT, "lacks its path", "cifar100:", WALSH_SPLIT_TRAIN);
}

/* Balanced, interleaved, and with CIFAR-10's mean and deviation but for the sampling error: the mean of an image varies
 * by about 0.12, so five standard errors over 2,000 images are 0.014. */
static void sample(void **state)
{
    (void)state;
    const size_t sizes[] = {2000, 1000};
    for (int split = 0; split < 2; split++) {
        walsh_dataset *set;
        assert_ok(walsh_dataset_open("sample", split ? WALSH_SPLIT_TEST : WALSH_SPLIT_TRAIN, NULL, &set));
        const walsh_dataset_info *info = walsh_dataset_describe(set);
        assert_string_equal(info->name, "sample");
        assert_int_equal(info->images, sizes[split]);
        assert_int_equal(info->classes, 10);
        assert_string_equal(info->class_names[0], "airplane");
        size_t count[10] = {0}, changes = 0;
        double sum[3] = {0}, square[3] = {0};
        for (size_t i = 0; i < info->images; i++) {
            uint8_t out[PLANE][4];
            assert_ok(set->kind->fetch(set, i, NULL, out[0]));
            for (int p = 0; p < PLANE; p++)
                for (int c = 0; c < 3; c++) sum[c] += out[p][c] / 255., square[c] += pow(out[p][c] / 255., 2);
            count[walsh_dataset_label(set, i)]++;
            changes += i && walsh_dataset_label(set, i) != walsh_dataset_label(set, i - 1);
        }
        for (int k = 0; k < 10; k++) assert_int_equal(count[k], sizes[split] / 10);
        assert_true(changes > info->images * 8 / 10);
        for (int c = 0; c < 3; c++) {
            double n = (double)info->images * PLANE, mean = sum[c] / n;
            assert_true(fabs(mean - (double)info->mean[c]) < (split ? .020 : .014));
            assert_true(fabs(sqrt(square[c] / n - mean * mean) - (double)info->deviation[c]) < .01);
        }
        walsh_dataset_close(&set);
    }
}

static void close_nothing(void **state)
{
    (void)state;
    walsh_dataset *set = NULL;
    walsh_dataset_close(&set);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(folder_and_parent, temp_enter, temp_leave),
        cmocka_unit_test_setup_teardown(class_names, temp_enter, temp_leave),
        cmocka_unit_test_setup_teardown(cifar100, temp_enter, temp_leave),
        cmocka_unit_test_setup_teardown(archives, temp_enter, temp_leave),
        cmocka_unit_test_setup_teardown(bad_archives, temp_enter, temp_leave),
        cmocka_unit_test_setup_teardown(bad_files, temp_enter, temp_leave),
        cmocka_unit_test_setup_teardown(bad_paths, temp_enter, temp_leave),
        cmocka_unit_test(sample),
        cmocka_unit_test(close_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
