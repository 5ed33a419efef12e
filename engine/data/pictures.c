#include "engine/data/pictures.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/status.h"
#include "engine/data/framing.h"
#include "engine/data/picture.h"

enum { DEFAULT_SIZE = 224, LARGEST_SIZE = 8192, NAME = 4096 };

/* What a thread needs to make one image, kept for the next. */
typedef struct bench {
    struct bench *next; /* unused too */
    walsh_bytes file;
    walsh_taps x, y;
    uint8_t *rows; /* [height of the part][size][4]: resized along the row */
    size_t room;   /* bytes of `rows` */
    size_t pitch;  /* size*4 */
} bench;

typedef struct state {
    walsh_pictures pictures;
    const char **class_names; /* [classes], into `pictures` */
    int side;                 /* of the resized picture that evaluation takes the middle of */
    pthread_mutex_t lock;     /* of `unused` */
    bench *unused;
} state;

static bench *take_bench(state *s)
{
    pthread_mutex_lock(&s->lock);
    bench *b = s->unused;
    if (b) s->unused = b->next;
    pthread_mutex_unlock(&s->lock);
    return b ? b : calloc(1, sizeof *b);
}

static void return_bench(state *s, bench *b)
{
    pthread_mutex_lock(&s->lock);
    b->next = s->unused;
    s->unused = b;
    pthread_mutex_unlock(&s->lock);
}

static void free_bench(bench *b)
{
    free(b->file.bytes);
    walsh_taps_free(&b->x);
    walsh_taps_free(&b->y);
    free(b->rows);
    free(b);
}

static void take_row(void *context, int y, const uint8_t *row)
{
    const bench *b = context;
    walsh_resize_row(&b->x, row, b->x.low, b->rows + (size_t)y * b->pitch);
}

static walsh_status resize(bench *b, walsh_picture *picture, const walsh_framing *framing, int shrink, int size,
                           uint8_t *out)
{
    b->pitch = (size_t)size * 4;
    WALSH_TRY(walsh_taps_fill(&b->x, &framing->x, size, framing->flip));
    WALSH_TRY(walsh_taps_fill(&b->y, &framing->y, size, false));
    const walsh_region region = {b->x.low, b->y.low, b->x.high - b->x.low, b->y.high - b->y.low};
    const size_t bytes = (size_t)region.height * b->pitch;
    if (bytes > b->room) {
        free(b->rows);
        b->room = 0;
        WALSH_TRY(walsh_alloc(&b->rows, bytes, 1, "an image"));
        b->room = bytes;
    }
    WALSH_TRY(walsh_picture_read(picture, shrink, &region, take_row, b));
    for (int y = 0; y < size; y++) walsh_resize_column(&b->y, y, b->rows, size, out + (size_t)y * b->pitch);
    return WALSH_OK;
}

/* Training may decode at a fraction of the size; evaluation decodes in full. */
static walsh_status render(const walsh_dataset *set, bench *b, walsh_picture *picture, size_t index,
                           const walsh_rng *augment, uint8_t *out)
{
    const int size = set->info.width;
    int shrink = 1;
    WALSH_TRY(walsh_picture_open(picture));
    walsh_framing framing;
    if (augment) {
        framing = walsh_framing_draw(*augment, index, picture->width, picture->height, size);
        shrink = walsh_framing_shrink(&framing, size);
        if (shrink > picture->most_shrink) shrink = picture->most_shrink;
        framing = walsh_framing_shrunk(&framing, picture->width, picture->height, shrink);
    } else {
        framing = walsh_framing_centre(picture->width, picture->height, ((const state *)set->state)->side, size);
    }
    return resize(b, picture, &framing, shrink, size, out);
}

static walsh_status fetch(const walsh_dataset *set, size_t index, const walsh_rng *augment, uint8_t *out)
{
    state *s = set->state;
    bench *b = take_bench(s);
    if (!b) WALSH_FAIL(WALSH_E_MEMORY, "out of memory: preparing an image");
    char name[NAME];
    walsh_catalogue_name(&s->pictures.images, index, name, sizeof name);
    walsh_status status = walsh_catalogue_read(&s->pictures.images, index, &b->file);
    if (!status) {
        walsh_picture picture = {.bytes = b->file.bytes, .size = b->file.size, .name = name};
        status = render(set, b, &picture, index, augment, out);
        walsh_picture_close(&picture);
    }
    return_bench(s, b);
    return status;
}

static void release(walsh_dataset *set)
{
    state *s = set->state;
    if (!s) return;
    for (bench *b = s->unused, *next; b; b = next) {
        next = b->next;
        free_bench(b);
    }
    pthread_mutex_destroy(&s->lock);
    walsh_catalogue_free(&s->pictures.images);
    walsh_catalogue_free(&s->pictures.classes);
    free(s->class_names);
    free(s);
}

walsh_status walsh_pictures_begin(walsh_dataset *set, const char *name, const walsh_dataset_options *options)
{
    static const walsh_dataset_kind kind = {.fetch = fetch, .release = release, .chunk = 1};
    const int size = options && options->image_size ? options->image_size : DEFAULT_SIZE;
    state *s = NULL;
    if (size < 1 || size > LARGEST_SIZE)
        WALSH_FAIL(WALSH_E_ARGUMENT, "--image-size %d: expected 1 to %d", size, LARGEST_SIZE);
    WALSH_TRY(walsh_alloc(&s, 1, sizeof *s, "a data set"));
    pthread_mutex_init(&s->lock, NULL);
    s->side = options && options->whole ? size : walsh_framing_side(size);
    set->state = s;
    set->kind = &kind;
    set->info = (walsh_dataset_info){.name = name,
                                     .height = size,
                                     .width = size,
                                     .channels = 3,
                                     .mean = {.485f, .456f, .406f},
                                     .deviation = {.229f, .224f, .225f}};
    return WALSH_OK;
}

walsh_pictures *walsh_pictures_of(walsh_dataset *set)
{
    return &((state *)set->state)->pictures;
}

walsh_status walsh_pictures_end(walsh_dataset *set)
{
    state *s = set->state;
    const walsh_catalogue *images = &s->pictures.images, *classes = &s->pictures.classes;
    set->info.images = images->count;
    set->info.classes = (int)classes->count;
    WALSH_TRY(walsh_alloc(&set->labels, images->count, sizeof *set->labels, "labels"));
    for (size_t i = 0; i < images->count; i++) set->labels[i] = images->entry[i].label;
    if (!classes->count) return WALSH_OK;
    WALSH_TRY(walsh_alloc(&s->class_names, classes->count, sizeof *s->class_names, "class names"));
    for (size_t c = 0; c < classes->count; c++) s->class_names[c] = walsh_catalogue_at(classes, c);
    set->info.class_names = s->class_names;
    return WALSH_OK;
}
