/* Decoding, framing and resizing of pictures: against PIL's results for the files of tests/images (made by
 * tools/make-test-images.py), whole decodes and plain double precision. */
#include "tests/check.h"
#include "tests/temp.h"

#include <jpeglib.h>
#include <math.h>
#include <sys/resource.h>

#include "engine/data/dataset.h"
#include "engine/data/framing.h"
#include "engine/data/picture.h"
#include "engine/data/resize.h"

enum { SIZE = 16, IMAGE = SIZE * SIZE * 4 };

static const char *const jpegs[] = {"rgb444.jpg",      "rgb422.jpg", "rgb420.jpg",
                                    "progressive.jpg", "grey.jpg",   "cmyk.jpg"};
static const char *const all[] = {"rgb444.jpg",  "rgb422.jpg", "rgb420.jpg", "progressive.jpg", "grey.jpg",
                                  "cmyk.jpg",    "wide.jpg",   "tall.jpg",   "one.jpg",         "png-inside.JPEG",
                                  "palette.png", "alpha.png",  "bits.png",   "interlaced.png"};
#define COUNT(array) (sizeof(array) / sizeof *(array))

static uint8_t *read_file(const char *name, size_t *size)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", IMAGES_FOLDER, name);
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    uint8_t *bytes = malloc(1 << 20);
    assert_non_null(bytes);
    *size = fread(bytes, 1, 1 << 20, file);
    fclose(file);
    return bytes;
}

static void as_pil(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(all); i++) {
        char path[4096], expected[256];
        uint8_t pixels[IMAGE];
        size_t size;
        walsh_dataset *set = NULL;
        const walsh_dataset_options options = {.image_size = SIZE};
        snprintf(path, sizeof path, "%s/%s", IMAGES_FOLDER, all[i]);
        snprintf(expected, sizeof expected, "%.*s.rgb", (int)strcspn(all[i], "."), all[i]);
        assert_ok(walsh_dataset_open_images((const char *[]){path}, 1, &options, &set));
        assert_ok(walsh_dataset_image(set, 0, pixels));
        walsh_dataset_close(&set);
        uint8_t *want = read_file(expected, &size);
        assert_int_equal(size, SIZE * SIZE * 3);
        int sum = 0;
        for (int p = 0; p < SIZE * SIZE; p++) {
            for (int c = 0; c < 3; c++) {
                int error = abs(pixels[4 * p + c] - want[3 * p + c]);
                if (error > 1)
                    fail_msg("%s: pixel %d, %d: %d, not %d", all[i], p, c, pixels[4 * p + c], want[3 * p + c]);
                sum += error;
            }
            assert_int_equal(pixels[4 * p + 3], 0);
        }
        if (sum > 0.05 * SIZE * SIZE * 3) fail_msg("%s: %d of %d values differ", all[i], sum, SIZE * SIZE * 3);
        free(want);
    }
}

typedef struct canvas {
    uint8_t *pixels; /* [height][width][4] */
    size_t width;
    int rows;
} canvas;

static void take_row(void *context, int y, const uint8_t *row)
{
    canvas *c = context;
    assert_int_equal(y, c->rows++);
    memcpy(c->pixels + (size_t)y * c->width * 4, row, c->width * 4);
}

/* The pixels of a region; NULL: all. The caller frees them. */
static uint8_t *decode(const uint8_t *bytes, size_t size, int shrink, const walsh_region *region, int *width,
                       int *height)
{
    walsh_picture picture = {.bytes = bytes, .size = size, .name = "it"};
    assert_ok(walsh_picture_open(&picture));
    *width = walsh_picture_shrunk(picture.width, shrink);
    *height = walsh_picture_shrunk(picture.height, shrink);
    const walsh_region whole = {0, 0, *width, *height};
    if (!region) region = &whole;
    canvas c = {malloc((size_t)region->width * (size_t)region->height * 4), (size_t)region->width, 0};
    assert_non_null(c.pixels);
    assert_ok(walsh_picture_read(&picture, shrink, region, take_row, &c));
    assert_int_equal(c.rows, region->height);
    walsh_picture_close(&picture);
    return c.pixels;
}

/* A region's pixels are those of the whole image. */
static void regions(void **state)
{
    const walsh_rng rng = {.seed = 3};
    uint32_t word[4];
    (void)state;
    for (size_t i = 0; i < COUNT(all); i++) {
        size_t size;
        int width, height, unused;
        uint8_t *bytes = read_file(all[i], &size);
        for (int shrink = 1; shrink <= (strstr(all[i], ".jpg") ? 8 : 1); shrink *= 2) {
            uint8_t *whole = decode(bytes, size, shrink, NULL, &width, &height);
            for (size_t k = 0; k < 60; k++) {
                walsh_rng_words(rng, 1000 * i + 100 * (size_t)shrink + k, word);
                walsh_region r = {.width = 1 + (int)(word[0] % (unsigned)width),
                                  .height = 1 + (int)(word[1] % (unsigned)height)};
                r.left = (int)(word[2] % (unsigned)(width - r.width + 1));
                r.top = (int)(word[3] % (unsigned)(height - r.height + 1));
                uint8_t *part = decode(bytes, size, shrink, &r, &unused, &unused);
                for (int y = 0; y < r.height; y++)
                    for (int x = 0; x < 4 * r.width; x++)
                        if (x % 4 < 3 && part[4 * y * r.width + x] != whole[4 * ((r.top + y) * width + r.left) + x])
                            fail_msg("%s at 1/%d: %d,%d of %dx%d+%d+%d", all[i], shrink, x / 4, y, r.width, r.height,
                                     r.left, r.top);
                free(part);
            }
            free(whole);
        }
        free(bytes);
    }
}

/* What a triangle makes of samples [low, high) at output i, before rounding. `step`: bytes between samples. */
static double filtered(const walsh_axis *a, int i, const double *samples)
{
    const double scale = (a->end - a->begin) / a->size, support = fmax(scale, 1);
    const double centre = a->begin + (a->from + i + 0.5) * scale;
    double sum = 0, weights = 0;
    for (int x = a->low; x < a->high; x++) {
        double weight = fmax(0, 1 - fabs(x + 0.5 - centre) / support);
        sum += weight * samples[x];
        weights += weight;
    }
    return sum / weights;
}

static const walsh_axis axes[] = {
    {0, 100, 0, 100, 100, 0},     {0, 100, 0, 100, 50, 0}, {0, 100, 0, 100, 37, 5},      {0, 100, 0, 100, 230, 60},
    {0, 1, 0, 1, 33, 0},          {20, 77, 20, 77, 32, 0}, {10.5, 90.25, 10, 91, 40, 0}, {0, 100, 0, 100, 3, 1},
    {50.2, 50.9, 50, 51, 32, 16}, {0, 100, 0, 100, 1, 0},
};

static void resizing(void **state)
{
    enum { LENGTH = 100 };
    walsh_taps taps = {0};
    uint8_t row[LENGTH][4], out[LENGTH][4];
    double samples[3][LENGTH];
    (void)state;
    for (uint32_t x = 0; x < LENGTH; x++) {
        uint32_t word[4];
        walsh_rng_words((walsh_rng){.seed = 4}, x, word);
        for (int c = 0; c < 4; c++) row[x][c] = (uint8_t)(word[c] >> 24);
        for (int c = 0; c < 3; c++) samples[c][x] = row[x][c];
    }
    for (size_t k = 0; k < COUNT(axes); k++)
        for (int mirrored = 0; mirrored < 2; mirrored++) {
            const walsh_axis *a = &axes[k];
            const int count = a->size - a->from < 34 ? a->size - a->from : 34;
            assert_ok(walsh_taps_fill(&taps, a, count, mirrored));
            assert_true(taps.low >= a->low && taps.high <= a->high && taps.low < taps.high);
            walsh_resize_row(&taps, row[taps.low], taps.low, out[0]);
            for (int i = 0; i < count; i++) {
                uint8_t column[4];
                walsh_resize_column(&taps, i, row[taps.low], 1, column); /* rows of one pixel */
                for (int c = 0; c < 4; c++) {
                    double want = c < 3 ? filtered(a, mirrored ? count - 1 - i : i, samples[c]) : 0;
                    if (c < 3 || out[i][c]) assert_true(fabs(out[i][c] - want) < 0.5001);
                    if (c < 3) assert_int_equal(out[i][c], column[c]);
                }
            }
        }
    walsh_taps_free(&taps);
}

/* Rows of any width, block ends included: column x of the result is what the column alone gives. */
static void wide_rows(void **state)
{
    enum { ROWS = 9, WIDEST = 131 };
    static uint8_t rows[ROWS * WIDEST][4], out[WIDEST][4];
    const walsh_axis axis = {0, ROWS, 0, ROWS, 4, 0};
    walsh_taps taps = {0};
    (void)state;
    assert_ok(walsh_taps_fill(&taps, &axis, 4, false));
    for (int width = 1; width <= WIDEST; width += 13)
        for (int i = 0; i < 4; i++) {
            for (int p = 0; p < ROWS * width; p++)
                for (int c = 0; c < 3; c++) rows[p][c] = (uint8_t)(p * 37 + c * 91 + p / 7);
            walsh_resize_column(&taps, i, rows[0], width, out[0]);
            for (int x = 0; x < width; x++) {
                uint8_t column[ROWS][4], one[4];
                for (int y = 0; y < ROWS; y++) memcpy(column[y], rows[y * width + x], 4);
                walsh_resize_column(&taps, i, column[taps.low], 1, one);
                assert_memory_equal(out[x], one, 4);
            }
        }
    walsh_taps_free(&taps);
}

static void random_parts(void **state)
{
    enum { DRAWS = 4000, WIDTH = 500, HEIGHT = 375 };
    double areas = 0, ratios = 0, flips = 0, left = 0, top = 0;
    (void)state;
    for (size_t i = 0; i < DRAWS; i++) {
        walsh_framing f = walsh_framing_draw((walsh_rng){.seed = 8}, i, WIDTH, HEIGHT, 224);
        double w = f.x.end - f.x.begin, h = f.y.end - f.y.begin;
        assert_true(f.x.begin >= 0 && f.x.end <= WIDTH && f.y.begin >= 0 && f.y.end <= HEIGHT);
        assert_true(f.x.low == f.x.begin && f.x.high == f.x.end && f.x.size == 224 && f.x.from == 0);
        assert_true(w * h > .078 * WIDTH * HEIGHT && w / h > .745 && w / h < 1.345);
        areas += w * h / (WIDTH * HEIGHT), ratios += log(w / h), flips += f.flip;
        left += w < WIDTH ? f.x.begin / (WIDTH - w) : .5, top += h < HEIGHT ? f.y.begin / (HEIGHT - h) : .5;
    }
    /* Parts that do not fit in are drawn again, large and tall ones: by simulation, 0.431 and 0.031 remain on average.
     */
    assert_true(fabs(areas / DRAWS - .431) < .012 && fabs(ratios / DRAWS - .031) < .01);
    assert_true(fabs(flips / DRAWS - .5) < .03 && fabs(left / DRAWS - .5) < .02 && fabs(top / DRAWS - .5) < .02);
}

static void odd_shapes(void **state)
{
    (void)state;
    for (size_t i = 0; i < 50; i++) {
        walsh_framing f = walsh_framing_draw((walsh_rng){.seed = 1}, i, 1, 1, 224);
        assert_true(f.x.begin == 0 && f.x.end == 1 && f.y.begin == 0 && f.y.end == 1);
        f = walsh_framing_draw((walsh_rng){.seed = 1}, i, 4000, 30, 224); /* nothing fits in: 40x30 in the middle */
        assert_true(f.x.end - f.x.begin <= 40 && f.y.end <= 30);
    }
    walsh_framing f = walsh_framing_centre(500, 375, 256, 224); /* 341x256: 58.5 is rounded to the even 58 */
    assert_true(f.x.size == 341 && f.x.from == 58 && f.y.size == 256 && f.y.from == 16);
    f = walsh_framing_centre(65535, 1, 9362, 8192);
    assert_true(f.x.size == 65535 * 9362 && f.y.size == 9362);
    assert_int_equal(walsh_framing_side(224), 256);
    assert_int_equal(walsh_framing_side(64), 73);
}

/* Training decodes no smaller than it must, and then sees the same part. */
static void shrinking(void **state)
{
    (void)state;
    walsh_framing f = {.x = {100, 548, 100, 548, 224, 0}, .y = {10, 1000, 10, 1000, 224, 0}, .flip = true};
    assert_int_equal(walsh_framing_shrink(&f, 224), 2);
    f.x.end = f.x.high = 547;
    assert_int_equal(walsh_framing_shrink(&f, 224), 1);
    assert_int_equal(walsh_framing_shrink(&f, 16), 8);
    walsh_framing s = walsh_framing_shrunk(&f, 599, 1001, 4);
    assert_true(s.flip && s.x.begin == 25 && s.x.end == 547 / 4. && s.x.low == 25 && s.x.high == 137);
    assert_true(s.y.begin == 2.5 && s.y.end == 250 && s.y.low == 2 && s.y.high == 250 && s.y.size == 224);
}

/* Training's image is the drawn part of the whole picture, filtered in double precision. */
static void training(void **state)
{
    (void)state;
    const walsh_rng rng = walsh_rng_make(77, WALSH_RNG_AUGMENT, 5);
    for (size_t i = 0; i < COUNT(jpegs); i++) {
        char path[4096];
        uint8_t pixels[IMAGE];
        walsh_dataset *set = NULL;
        const walsh_dataset_options options = {.image_size = SIZE};
        snprintf(path, sizeof path, "%s/%s", IMAGES_FOLDER, jpegs[i]);
        const char *paths[12];
        for (int k = 0; k < 12; k++) paths[k] = path;
        assert_ok(walsh_dataset_open_images(paths, 12, &options, &set));
        size_t size;
        int width, height;
        uint8_t *bytes = read_file(jpegs[i], &size);
        for (size_t index = 0; index < 12; index++) {
            assert_ok(set->kind->fetch(set, index, &rng, pixels));
            walsh_framing f = walsh_framing_draw(rng, index, 83, 61, SIZE);
            int shrink = walsh_framing_shrink(&f, SIZE);
            f = walsh_framing_shrunk(&f, 83, 61, shrink);
            uint8_t *whole = decode(bytes, size, shrink, NULL, &width, &height);
            for (int c = 0; c < 3; c++)
                for (int x = 0; x < SIZE; x++) {
                    double column[100], row[100];
                    for (int y = 0; y < height; y++) {
                        for (int k = 0; k < width; k++) row[k] = whole[4 * (y * width + k) + c];
                        column[y] = floor(filtered(&f.x, f.flip ? SIZE - 1 - x : x, row) + .5);
                    }
                    for (int y = 0; y < SIZE; y++)
                        assert_true(fabs(pixels[4 * (y * SIZE + x) + c] - filtered(&f.y, y, column)) < 1.001);
                }
            free(whole);
        }
        free(bytes);
        walsh_dataset_close(&set);
    }
}

static void write_large(const char *path, int side)
{
    struct jpeg_compress_struct encoder;
    struct jpeg_error_mgr error;
    FILE *file = fopen(path, "wb");
    uint8_t *row = malloc((size_t)side);
    assert_true(file && row);
    for (int x = 0; x < side; x++) row[x] = (uint8_t)(x < side / 2 ? 50 : 200);
    encoder.err = jpeg_std_error(&error);
    jpeg_create_compress(&encoder);
    jpeg_stdio_dest(&encoder, file);
    encoder.image_width = encoder.image_height = (JDIMENSION)side;
    encoder.input_components = 1;
    encoder.in_color_space = JCS_GRAYSCALE;
    jpeg_set_defaults(&encoder);
    jpeg_start_compress(&encoder, TRUE);
    for (int y = 0; y < side; y++) jpeg_write_scanlines(&encoder, &row, 1);
    jpeg_finish_compress(&encoder);
    jpeg_destroy_compress(&encoder);
    fclose(file);
    free(row);
}

static long peak_kilobytes(void)
{
    struct rusage use;
    getrusage(RUSAGE_SELF, &use);
    return use.ru_maxrss;
}

/* 400 megapixels take little memory. */
static void large(void **state)
{
    (void)state;
    const walsh_rng rng = {.seed = 1};
    const walsh_dataset_options options = {.image_size = SIZE};
    uint8_t pixels[IMAGE];
    walsh_dataset *set = NULL;
    write_large("large.jpg", 20000);
    long before = peak_kilobytes();
    assert_ok(walsh_dataset_open_images((const char *[]){"large.jpg"}, 1, &options, &set));
    assert_ok(walsh_dataset_image(set, 0, pixels));
    assert_int_equal(pixels[4 * SIZE * 3], 50);
    assert_int_equal(pixels[4 * (SIZE * 3 + SIZE - 1)], 200);
    assert_ok(set->kind->fetch(set, 0, &rng, pixels));
    walsh_dataset_close(&set);
#ifndef __SANITIZE_ADDRESS__
    assert_true(peak_kilobytes() - before < 64 << 10);
#else
    (void)before;
#endif
}

/* A progressive one would not: its size is in its header. */
static void large_progressive(void **state)
{
    (void)state;
    size_t size, at = 2;
    uint8_t *bytes = read_file("progressive.jpg", &size);
    while (bytes[at + 1] != 0xC2) at += 2 + (size_t)bytes[at + 2] * 256 + bytes[at + 3];
    bytes[at + 5] = bytes[at + 7] = 20000 >> 8;
    bytes[at + 6] = bytes[at + 8] = 20000 & 255;
    walsh_picture picture = {.bytes = bytes, .size = size, .name = "huge.jpg"};
    assert_fails(WALSH_E_FORMAT, "huge.jpg: a progressive JPEG of 20000x20000 takes", walsh_picture_open(&picture));
    walsh_picture_close(&picture);
    free(bytes);
}

/* Every file cut anywhere either fails in one line or is decoded; damage is found where it has a meaning. */
static void damage(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(all); i++) {
        size_t size, failures = 0, cuts = 0;
        uint8_t *bytes = read_file(all[i], &size);
        for (size_t cut = 0; cut < size - 2; cut += 1 + size / 50) {
            walsh_picture picture = {.bytes = bytes, .size = cut, .name = "cut"};
            walsh_status status = walsh_picture_open(&picture);
            canvas c = {malloc((size_t)picture.width * (size_t)picture.height * 4 + 4), (size_t)picture.width, 0};
            const walsh_region whole = {0, 0, picture.width, picture.height};
            if (!status) status = walsh_picture_read(&picture, 1, &whole, take_row, &c);
            if (status) assert_true(status == WALSH_E_FORMAT && !strncmp(walsh_message(), "cut: expected ", 14));
            failures += status != WALSH_OK;
            cuts++;
            walsh_picture_close(&picture);
            free(c.pixels);
        }
        if (10 * failures < 9 * cuts) fail_msg("%s: %zu of %zu cuts were noticed", all[i], failures, cuts);
        free(bytes);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(as_pil),
        cmocka_unit_test(regions),
        cmocka_unit_test(resizing),
        cmocka_unit_test(wide_rows),
        cmocka_unit_test(random_parts),
        cmocka_unit_test(odd_shapes),
        cmocka_unit_test(shrinking),
        cmocka_unit_test(training),
        cmocka_unit_test_setup_teardown(large, temp_enter, temp_leave),
        cmocka_unit_test(large_progressive),
        cmocka_unit_test(damage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
