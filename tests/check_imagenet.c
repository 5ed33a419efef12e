/* Data sets of encoded images: folders and tar shards, made of tests/images; what is wrong with them; bad images in the
 * loader. */
#include "tests/check.h"
#include "tests/temp.h"

#include <archive.h>
#include <archive_entry.h>

#include "engine/data/dataset.h"
#include "engine/data/loader.h"

enum { SIZE = 16, IMAGE = SIZE * SIZE * 4 };

static const walsh_dataset_options options = {.image_size = SIZE},
                                   lenient = {.image_size = SIZE, .skip_bad_images = true};
static uint8_t content[1 << 16];

static size_t read_source(const char *name)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", IMAGES_FOLDER, name);
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    size_t size = fread(content, 1, sizeof content, file);
    fclose(file);
    return size;
}

/* Writes the first part of a source, or all of it. */
static void put(const char *path, const char *source, double part)
{
    temp_write(path, content, (size_t)(part * (double)read_source(source)));
}

static void make_folders(const char *const *paths)
{
    for (; *paths; paths++) assert_int_equal(mkdir(*paths, 0777), 0);
}

/* data/train: ant with 3 images, bee with 2, cat with 1; data/val: ant and cat with 1. */
static int enter(void **state)
{
    if (temp_enter(state)) return -1;
    make_folders((const char *[]){"data", "data/train", "data/train/bee", "data/train/ant", "data/train/cat",
                                  "data/val", "data/val/cat", "data/val/ant", NULL});
    put("data/train/ant/z.jpg", "rgb444.jpg", 1);
    put("data/train/ant/B.JPEG", "rgb422.jpg", 1);
    put("data/train/ant/a.jpeg", "rgb420.jpg", 1);
    put("data/train/bee/1.JPG", "grey.jpg", 1);
    put("data/train/bee/2.PNG", "png-inside.JPEG", 1);
    put("data/train/cat/1.JPEG", "png-inside.JPEG", 1);
    put("data/val/ant/v.jpg", "rgb444.jpg", 1);
    put("data/val/cat/v.jpg", "cmyk.jpg", 1);
    temp_write("data/train/ant/notes.txt", "x", 1);
    temp_write("data/train/ant/.hidden.jpg", "x", 1);
    temp_write("data/train/loose.jpg", "x", 1);
    return 0;
}

/* Image `index` of the data set is what that source gives by itself. */
static void is_source(const walsh_dataset *set, size_t index, const char *source)
{
    char path[4096];
    uint8_t found[IMAGE], wanted[IMAGE];
    walsh_dataset *alone = NULL;
    snprintf(path, sizeof path, "%s/%s", IMAGES_FOLDER, source);
    assert_ok(walsh_dataset_open_images((const char *[]){path}, 1, &options, &alone));
    assert_ok(walsh_dataset_image(alone, 0, wanted));
    assert_ok(walsh_dataset_image(set, index, found));
    assert_memory_equal(found, wanted, IMAGE);
    walsh_dataset_close(&alone);
}

static void folders(void **state)
{
    static const char *const order[] = {"rgb422.jpg", "rgb420.jpg",      "rgb444.jpg",
                                        "grey.jpg",   "png-inside.JPEG", "png-inside.JPEG"};
    static const int labels[] = {0, 0, 0, 1, 1, 2};
    walsh_dataset *set = NULL;
    (void)state;
    assert_ok(walsh_dataset_open("imagenet:data", WALSH_SPLIT_TRAIN, &options, &set));
    const walsh_dataset_info *info = walsh_dataset_describe(set);
    assert_string_equal(info->name, "imagenet");
    assert_true(info->images == 6 && info->classes == 3 && info->height == SIZE && info->width == SIZE);
    assert_string_equal(info->class_names[0], "ant");
    assert_string_equal(info->class_names[1], "bee");
    assert_string_equal(info->class_names[2], "cat");
    for (size_t i = 0; i < 6; i++) {
        assert_int_equal(walsh_dataset_label(set, i), labels[i]);
        is_source(set, i, order[i]);
    }
    walsh_dataset_close(&set);
    /* Labels of a validation set that lacks a class. */
    assert_ok(walsh_dataset_open("imagenet:data", WALSH_SPLIT_TEST, &options, &set));
    assert_true(walsh_dataset_describe(set)->images == 2 && walsh_dataset_describe(set)->classes == 3);
    assert_int_equal(walsh_dataset_label(set, 1), 2);
    is_source(set, 1, "cmyk.jpg");
    walsh_dataset_close(&set);
    assert_ok(walsh_dataset_open("imagenet:data", WALSH_SPLIT_TRAIN, NULL, &set));
    assert_int_equal(walsh_dataset_describe(set)->width, 224);
    walsh_dataset_close(&set);
}

static void refuse(walsh_status status, const char *part, const char *spec, walsh_split split)
{
    walsh_dataset *set = NULL;
    assert_fails(status, part, walsh_dataset_open(spec, split, &options, &set));
    assert_null(set);
    assert_null(strchr(walsh_message(), '\n'));
}

static void wrong_folders(void **state)
{
    (void)state;
    refuse(WALSH_E_ARGUMENT, "'imagenet' lacks its path", "imagenet", WALSH_SPLIT_TRAIN);
    refuse(WALSH_E_FILE, "nowhere: expected the folder train in it", "imagenet:nowhere", WALSH_SPLIT_TRAIN);
    assert_int_equal(rename("data/val", "data/validation"), 0);
    refuse(WALSH_E_FILE, "data: expected the folder val in it", "imagenet:data", WALSH_SPLIT_TEST);
    make_folders((const char *[]){"data/val", NULL});
    refuse(WALSH_E_FORMAT, "data/val: expected a folder of images for each class", "imagenet:data", WALSH_SPLIT_TEST);
    make_folders((const char *[]){"data/val/ant", NULL});
    refuse(WALSH_E_FORMAT, "data/val/ant: expected images of this class", "imagenet:data", WALSH_SPLIT_TEST);
    put("data/val/ant/v.jpg", "rgb444.jpg", 1);
    make_folders((const char *[]){"data/val/dog", NULL});
    refuse(WALSH_E_FORMAT, "data/val/dog: the training set has no such class", "imagenet:data", WALSH_SPLIT_TEST);
    make_folders((const char *[]){"data/train/dog", NULL});
    refuse(WALSH_E_FORMAT, "data/train/dog: expected images of this class", "imagenet:data", WALSH_SPLIT_TRAIN);
    assert_int_equal(rmdir("data/train/dog"), 0);
    assert_int_equal(symlink("nowhere", "data/train/dog"), 0);
    refuse(WALSH_E_FILE, "data/train/dog: the folder cannot be listed: No such file", "imagenet:data",
           WALSH_SPLIT_TRAIN);
    make_folders((const char *[]){"empty", "empty/train", NULL});
    refuse(WALSH_E_FORMAT, "empty/train: expected a folder of images for each class", "imagenet:empty",
           WALSH_SPLIT_TRAIN);
    walsh_dataset *set = NULL;
    const walsh_dataset_options large = {.image_size = 100000};
    assert_fails(WALSH_E_ARGUMENT, "--image-size 100000",
                 walsh_dataset_open("imagenet:data", WALSH_SPLIT_TRAIN, &large, &set));
    assert_fails(WALSH_E_ARGUMENT, "32x32, expected 16x16",
                 walsh_dataset_open("sample", WALSH_SPLIT_TRAIN, &options, &set));
}

/* A bad image alone: what fetching says. */
static void bad(const char *path, walsh_status status, const char *part)
{
    walsh_dataset *set = NULL;
    uint8_t pixels[IMAGE];
    assert_ok(walsh_dataset_open_images((const char *[]){path}, 1, &options, &set));
    assert_fails(status, part, walsh_dataset_image(set, 0, pixels));
    assert_non_null(strstr(walsh_message(), path));
    assert_null(strchr(walsh_message(), '\n'));
    walsh_dataset_close(&set);
}

static void bad_images(void **state)
{
    (void)state;
    put("cut.jpg", "rgb420.jpg", .7);
    bad("cut.jpg", WALSH_E_FORMAT, "Premature end of JPEG file");
    put("cut.png", "png-inside.JPEG", .7);
    bad("cut.png", WALSH_E_FORMAT, "it ends early");
    put("header.jpg", "rgb420.jpg", .02);
    bad("header.jpg", WALSH_E_FORMAT, "expected a whole JPEG image");
    temp_write("text.jpg", "this is no image", 16);
    bad("text.jpg", WALSH_E_FORMAT, "expected a JPEG or PNG image, found neither");
    temp_write("nothing.jpg", "", 0);
    bad("nothing.jpg", WALSH_E_FORMAT, "found neither");
    size_t size = read_source("rgb444.jpg");
    memset(content + size - 400, 0xA5, 300);
    temp_write("damaged.jpg", content, size);
    bad("damaged.jpg", WALSH_E_FORMAT, "Corrupt JPEG data");
    bad("absent.jpg", WALSH_E_FILE, "absent.jpg: cannot be opened");
    make_folders((const char *[]){"folder.jpg", NULL});
    bad("folder.jpg", WALSH_E_FORMAT, "no regular file");
}

/* FNV-1a over an epoch; *images counts them, and `seen`, unless NULL, how often each one came. */
static uint64_t digest(walsh_loader *loader, size_t *images, int *seen)
{
    uint64_t hash = 14695981039346656037u;
    walsh_batch batch;
    *images = 0;
    assert_ok(walsh_loader_start(loader, 2, 0));
    for (;;) {
        assert_ok(walsh_loader_next(loader, &batch));
        if (!batch.count) return hash;
        for (size_t i = 0; i < batch.count * IMAGE; i++) hash = (hash ^ batch.pixels[i]) * 1099511628211u;
        for (size_t i = 0; i < batch.count; i++) hash = (hash ^ (uint64_t)batch.labels[i]) * 1099511628211u;
        for (size_t i = 0; i < batch.count && seen; i++) seen[batch.images[i]]++;
        *images += batch.count;
    }
}

/* Two of eight images are bad, one of them the last. Training takes the next good ones in their places, evaluation
 * leaves them out; whatever the threads, the batches are the same, and each bad image is counted once. */
static void skipping(void **state)
{
    (void)state;
    put("data/train/ant/c.jpg", "rgb420.jpg", .5);
    temp_write("data/train/cat/2.jpg", "text", 4);
    for (int training = 0; training < 2; training++) {
        uint64_t expected = 0;
        for (int threads = 1; threads <= 4; threads++) {
            walsh_dataset *set = NULL;
            walsh_loader *loader = NULL;
            size_t images;
            int seen[8] = {0};
            const walsh_loader_options o = {.batch = 2,
                                            .seed = 9,
                                            .shuffle = training,
                                            .augment = training,
                                            .drop_last = training,
                                            .threads = threads};
            assert_ok(walsh_dataset_open("imagenet:data", WALSH_SPLIT_TRAIN, &lenient, &set));
            assert_ok(walsh_loader_open(set, &o, &loader));
            uint64_t found = digest(loader, &images, seen);
            if (threads == 1) expected = found;
            assert_true(found == expected);
            assert_int_equal(images, training ? 8 : 6);
            static const int as_evaluated[8] = {1, 1, 0, 1, 1, 1, 1, 0}, as_trained[8] = {2, 1, 0, 2, 1, 1, 1, 0};
            assert_memory_equal(seen, training ? as_trained : as_evaluated, sizeof seen);
            assert_int_equal(walsh_dataset_bad_images(set), 2);
            digest(loader, &images, NULL);
            assert_int_equal(walsh_dataset_bad_images(set), 2);
            walsh_loader_close(&loader);
            walsh_dataset_close(&set);
        }
    }
}

static void not_skipping(void **state)
{
    (void)state;
    walsh_dataset *set = NULL;
    walsh_loader *loader = NULL;
    walsh_batch batch;
    const walsh_loader_options o = {.batch = 6, .threads = 2}, full = {.batch = 2, .drop_last = true, .threads = 1};
    put("data/train/bee/1.JPG", "grey.jpg", .5);
    assert_ok(walsh_dataset_open("imagenet:data", WALSH_SPLIT_TRAIN, &options, &set));
    assert_ok(walsh_loader_open(set, &o, &loader));
    assert_ok(walsh_loader_start(loader, 0, 0));
    assert_fails(WALSH_E_FORMAT, "data/train/bee/1.JPG", walsh_loader_next(loader, &batch));
    assert_int_equal(walsh_dataset_bad_images(set), 0);
    walsh_loader_close(&loader);
    walsh_dataset_close(&set);
    /* A file that cannot be read is no bad image. */
    assert_ok(walsh_dataset_open("imagenet:data", WALSH_SPLIT_TEST, &lenient, &set));
    assert_int_equal(remove("data/val/cat/v.jpg"), 0);
    assert_ok(walsh_loader_open(set, &o, &loader));
    assert_ok(walsh_loader_start(loader, 0, 0));
    assert_fails(WALSH_E_FILE, "data/val/cat/v.jpg: cannot be opened", walsh_loader_next(loader, &batch));
    walsh_loader_close(&loader);
    walsh_dataset_close(&set);
    assert_int_equal(symlink("nowhere", "data/val/cat/v.jpg"), 0);
    assert_ok(walsh_dataset_open("imagenet:data", WALSH_SPLIT_TEST, &lenient, &set));
    assert_int_equal(walsh_dataset_describe(set)->images, 2);
    assert_ok(walsh_loader_open(set, &o, &loader));
    assert_ok(walsh_loader_start(loader, 0, 0));
    assert_fails(WALSH_E_FILE, "data/val/cat/v.jpg: cannot be opened", walsh_loader_next(loader, &batch));
    walsh_loader_close(&loader);
    walsh_dataset_close(&set);
    assert_int_equal(remove("data/val/cat/v.jpg"), 0);
    /* Not one good image. */
    temp_write("data/val/cat/v.jpg", "x", 1);
    temp_write("data/val/ant/v.jpg", "x", 1);
    assert_ok(walsh_dataset_open("imagenet:data", WALSH_SPLIT_TEST, &lenient, &set));
    assert_ok(walsh_loader_open(set, &full, &loader));
    assert_ok(walsh_loader_start(loader, 0, 0));
    assert_fails(WALSH_E_FORMAT, "none of 2 images", walsh_loader_next(loader, &batch));
    walsh_loader_close(&loader);
    assert_ok(walsh_loader_open(set, &o, &loader));
    assert_ok(walsh_loader_start(loader, 0, 0));
    assert_ok(walsh_loader_next(loader, &batch));
    assert_int_equal(batch.count, 0);
    walsh_loader_close(&loader);
    walsh_dataset_close(&set);
}

/* A member of a shard: the bytes of `source`, or `text`. */
typedef struct member {
    const char *name, *source, *text;
} member;

static void write_shard(const char *path, const member *members)
{
    struct archive *archive = archive_write_new();
    archive_write_set_format_pax(archive);
    assert_int_equal(archive_write_open_filename(archive, path), ARCHIVE_OK);
    for (; members->name; members++) {
        struct archive_entry *entry = archive_entry_new();
        size_t size = members->source ? read_source(members->source) : strlen(members->text);
        archive_entry_set_pathname(entry, members->name);
        archive_entry_set_filetype(entry, AE_IFREG);
        archive_entry_set_perm(entry, 0644);
        archive_entry_set_size(entry, (la_int64_t)size);
        assert_int_equal(archive_write_header(archive, entry), ARCHIVE_OK);
        archive_write_data(archive, members->source ? (const void *)content : members->text, size);
        archive_entry_free(entry);
    }
    assert_int_equal(archive_write_close(archive), ARCHIVE_OK);
    archive_write_free(archive);
}

static void shards(void **state)
{
    char long_name[400] = "";
    walsh_dataset *set = NULL;
    (void)state;
    for (int i = 0; i < 30; i++) strcat(long_name, "very-long-");
    strcat(long_name, "key.jpg");
    char *long_label = strdup(long_name);
    strcpy(strchr(long_label, '.'), ".cls");
    make_folders((const char *[]){"wds", NULL});
    write_shard("wds/some-train-000001.tar", (member[]){{"x/1.jpg", "grey.jpg", 0}, {"x/1.cls", 0, "3"}, {0}});
    write_shard("wds/some-train-000000.tar", (member[]){{"0.jpg", "rgb444.jpg", 0},
                                                        {"0.cls", 0, "1\n"},
                                                        {"0.json", 0, "{}"},
                                                        {"1.cls", 0, "0"},
                                                        {"1.png", "png-inside.JPEG", 0},
                                                        {long_name, "rgb420.jpg", 0},
                                                        {long_label, 0, "2"},
                                                        {0}});
    write_shard("wds/some-val-0.tar", (member[]){{"9.JPEG", "cmyk.jpg", 0}, {"9.cls", 0, "3"}, {0}});
    temp_write("wds/readme.txt", "x", 1);
    assert_ok(walsh_dataset_open("webdataset:wds", WALSH_SPLIT_TRAIN, &options, &set));
    const walsh_dataset_info *info = walsh_dataset_describe(set);
    assert_true(info->images == 4 && info->classes == 4);
    assert_string_equal(info->class_names[3], "3");
    static const char *const order[] = {"rgb444.jpg", "png-inside.JPEG", "rgb420.jpg", "grey.jpg"};
    static const int labels[] = {1, 0, 2, 3};
    for (size_t i = 0; i < 4; i++) {
        is_source(set, i, order[i]);
        assert_int_equal(walsh_dataset_label(set, i), labels[i]);
    }
    walsh_dataset_close(&set);
    temp_write("wds/classes.txt", "ant\nbee\ncat\ndog\nemu\n", 20);
    assert_ok(walsh_dataset_open("webdataset:wds", WALSH_SPLIT_TEST, &options, &set));
    assert_int_equal(walsh_dataset_describe(set)->classes, 5);
    assert_string_equal(walsh_dataset_describe(set)->class_names[4], "emu");
    is_source(set, 0, "cmyk.jpg");
    walsh_dataset_close(&set);
    /* The same in folders. */
    make_folders((const char *[]){"wds/train", NULL});
    assert_int_equal(rename("wds/some-val-0.tar", "wds/train/a.tar"), 0);
    assert_ok(walsh_dataset_open("webdataset:wds", WALSH_SPLIT_TRAIN, &options, &set));
    assert_int_equal(walsh_dataset_describe(set)->images, 1);
    walsh_dataset_close(&set);
    free(long_label);
}

static void wrong_shards(void **state)
{
    (void)state;
    make_folders((const char *[]){"wds", "wds/train", NULL});
    refuse(WALSH_E_FILE, "nowhere", "webdataset:nowhere", WALSH_SPLIT_TRAIN);
    refuse(WALSH_E_FILE, "wds: expected tar files", "webdataset:wds", WALSH_SPLIT_TRAIN);
    write_shard("wds/train/0.tar", (member[]){{"0.jpg", "grey.jpg", 0}, {"1.jpg", "grey.jpg", 0}, {0}});
    refuse(WALSH_E_FORMAT, "wds/train/0.tar: 0: expected a class", "webdataset:wds", WALSH_SPLIT_TRAIN);
    write_shard("wds/train/0.tar", (member[]){{"0.cls", 0, "1"}, {0}});
    refuse(WALSH_E_FORMAT, "wds/train/0.tar: 0: expected an image", "webdataset:wds", WALSH_SPLIT_TRAIN);
    write_shard("wds/train/0.tar", (member[]){{"0.txt", 0, "1"}, {0}});
    refuse(WALSH_E_FORMAT, "expected images", "webdataset:wds", WALSH_SPLIT_TRAIN);
    static const char *const labels[] = {"", "x", "-1", "3x", "99999999999"};
    for (size_t i = 0; i < sizeof labels / sizeof *labels; i++) {
        write_shard("wds/train/0.tar", (member[]){{"0.jpg", "grey.jpg", 0}, {"0.cls", 0, labels[i]}, {0}});
        refuse(WALSH_E_FORMAT, "0.cls: expected the number of a class", "webdataset:wds", WALSH_SPLIT_TRAIN);
    }
    temp_write("wds/train/0.tar", "no tar file at all", 18);
    refuse(WALSH_E_FORMAT, "wds/train/0.tar: expected a whole tar file", "webdataset:wds", WALSH_SPLIT_TRAIN);
    write_shard("wds/train/0.tar", (member[]){{"0.cls", 0, "1"}, {"0.jpg", "rgb444.jpg", 0}, {0}});
    assert_int_equal(truncate("wds/train/0.tar", 3000), 0);
    refuse(WALSH_E_FORMAT, "truncated", "webdataset:wds", WALSH_SPLIT_TRAIN);
    write_shard("wds/train/0.tar", (member[]){{"0.cls", 0, "7"}, {"0.jpg", "rgb444.jpg", 0}, {0}});
    temp_write("wds/classes.txt", "a\nb\n", 4);
    refuse(WALSH_E_FORMAT, "wds/classes.txt: expected a line for each class, found 2", "webdataset:wds",
           WALSH_SPLIT_TRAIN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(folders, enter, temp_leave),
        cmocka_unit_test_setup_teardown(wrong_folders, enter, temp_leave),
        cmocka_unit_test_setup_teardown(bad_images, temp_enter, temp_leave),
        cmocka_unit_test_setup_teardown(skipping, enter, temp_leave),
        cmocka_unit_test_setup_teardown(not_skipping, enter, temp_leave),
        cmocka_unit_test_setup_teardown(shards, temp_enter, temp_leave),
        cmocka_unit_test_setup_teardown(wrong_shards, temp_enter, temp_leave),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
