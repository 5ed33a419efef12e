#include "engine/data/loader.h"

#include "engine/base/status.h"
#include "engine/base/task.h"
#include "engine/data/dataset.h"

#include <stdlib.h>
#include <string.h>

/* AHEAD batches are prepared while the consumer holds two. A chunk of images is handed to a thread at a time: all
 * threads work on one batch, so the first of an epoch comes soon, and large batches need not be many. */
enum { AHEAD = 3, SLOTS = AHEAD + 2 };

#define LEFT_OUT SIZE_MAX

typedef struct slot {
    uint8_t *pixels;     /* [batch][height][width][4] */
    int32_t *labels;     /* [batch] */
    size_t *images;      /* [batch] numbers in the data set; LEFT_OUT where there is none */
    size_t done;         /* images that have been prepared, or have failed */
    walsh_status status; /* of the first image, in order, that failed; at position `failed` of the epoch */
    size_t failed;
    char message[1024];
} slot;

struct walsh_loader {
    const walsh_dataset *dataset;
    walsh_loader_options options;
    size_t image_bytes;
    size_t used;     /* images in an epoch */
    uint32_t *order; /* [dataset images]: image at each position of the epoch */
    pthread_t *thread;
    int threads; /* that have been started */

    pthread_mutex_t lock;       /* of all that follows; a slot's images belong to who took the chunk */
    pthread_cond_t work, ready; /* there may be a chunk to take; a chunk is done */
    uint32_t epoch;
    size_t position; /* next image to be taken */
    size_t next;     /* batch that the consumer takes next */
    int busy;        /* threads within a chunk */
    bool closing;
    slot slots[SLOTS]; /* batch b is in slot b % SLOTS */
};

static size_t min(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Images of batch b: all but for the last of an epoch that keeps it. */
static size_t batch_images(const walsh_loader *loader, size_t b)
{
    return min(loader->options.batch, loader->used - b * loader->options.batch);
}

/* Whether the next image's slot is free. The consumer keeps batches next-1 and next-2. */
static bool has_work(const walsh_loader *loader)
{
    size_t b = loader->position / loader->options.batch;
    return loader->position < loader->used && b < loader->next + AHEAD;
}

/* Prepares the image of one position, or, where it is bad and the batch must be full, the next good one of the data
 * set, drawn as in its own place. */
static walsh_status prepare_one(const walsh_loader *loader, const walsh_rng *augment, size_t position, slot *into)
{
    const walsh_dataset *set = loader->dataset;
    const size_t at = position % loader->options.batch, images = set->info.images;
    size_t index = loader->order[position];
    bool bad = true;
    for (size_t tries = 0; bad && tries < (loader->options.drop_last ? images : 1); tries++) {
        if (tries) index = (index + 1) % images;
        WALSH_TRY(walsh_dataset_fetch(set, index, augment, into->pixels + at * loader->image_bytes, &bad));
    }
    if (bad && loader->options.drop_last) WALSH_FAIL(WALSH_E_FORMAT, "none of %zu images can be read", images);
    into->images[at] = bad ? LEFT_OUT : index;
    into->labels[at] = set->labels[index];
    return WALSH_OK;
}

/* Prepares images [begin, end) of the epoch, all of one batch, without the lock; stops at the first that fails. */
static walsh_status prepare(const walsh_loader *loader, slot *into, size_t begin, size_t end, size_t *failed)
{
    walsh_rng rng = walsh_rng_make(loader->options.seed, WALSH_RNG_AUGMENT, loader->epoch);
    for (size_t p = begin; p < end; p++) {
        *failed = p;
        WALSH_TRY(prepare_one(loader, loader->options.augment ? &rng : NULL, p, into));
    }
    return WALSH_OK;
}

/* Takes the next chunk and prepares it; called with the lock, which it gives up meanwhile. */
static void take_chunk(walsh_loader *loader)
{
    size_t begin = loader->position, b = begin / loader->options.batch, failed = 0;
    size_t end = min(begin + loader->dataset->kind->chunk, b * loader->options.batch + batch_images(loader, b));
    slot *into = &loader->slots[b % SLOTS];
    loader->position = end;
    loader->busy++;
    pthread_mutex_unlock(&loader->lock);
    walsh_status status = prepare(loader, into, begin, end, &failed);
    pthread_mutex_lock(&loader->lock);
    loader->busy--;
    into->done += end - begin;
    if (status && (!into->status || failed < into->failed)) {
        into->status = status;
        into->failed = failed;
        strncpy(into->message, walsh_message(), sizeof into->message - 1);
    }
    pthread_cond_broadcast(&loader->ready);
}

static void *run(void *argument)
{
    walsh_loader *loader = argument;
    pthread_mutex_lock(&loader->lock);
    while (!loader->closing)
        if (has_work(loader))
            take_chunk(loader);
        else
            pthread_cond_wait(&loader->work, &loader->lock);
    pthread_mutex_unlock(&loader->lock);
    return NULL;
}

/* Identity, or Fisher-Yates from the end: the partner of position i is drawn at index i. */
static void arrange(walsh_loader *loader)
{
    size_t images = loader->dataset->info.images;
    walsh_rng rng = walsh_rng_make(loader->options.seed, WALSH_RNG_SHUFFLE, loader->epoch);
    for (size_t i = 0; i < images; i++) loader->order[i] = (uint32_t)i;
    for (size_t i = images - 1; loader->options.shuffle && i > 0; i--) {
        uint32_t j = walsh_rng_below(rng, i, (uint32_t)i + 1), held = loader->order[i];
        loader->order[i] = loader->order[j];
        loader->order[j] = held;
    }
}

static walsh_status start_threads(walsh_loader *loader)
{
    int failure = 0;
    while (!failure && loader->threads < loader->options.threads) {
        failure = walsh_thread_start(&loader->thread[loader->threads], run, loader);
        loader->threads += !failure;
    }
    if (failure)
        WALSH_FAIL(WALSH_E_MEMORY, "loader thread %d of %d cannot be started: %s", loader->threads + 1,
                   loader->options.threads, strerror(failure));
    return WALSH_OK;
}

static walsh_status check_options(const walsh_dataset_info *info, const walsh_loader_options *options)
{
    if (!options->batch) WALSH_FAIL(WALSH_E_ARGUMENT, "--batch: expected at least 1, found 0");
    if (options->threads < 1)
        WALSH_FAIL(WALSH_E_ARGUMENT, "--loaders: expected at least 1, found %d", options->threads);
    if (options->drop_last && options->batch > info->images)
        WALSH_FAIL(WALSH_E_ARGUMENT, "--batch %zu is larger than the %zu training images", options->batch,
                   info->images);
    if (info->images > UINT32_MAX)
        WALSH_FAIL(WALSH_E_ARGUMENT, "expected at most %u images, found %zu", UINT32_MAX, info->images);
    return WALSH_OK;
}

static size_t image_bytes(const walsh_dataset_info *info)
{
    return (size_t)info->height * (size_t)info->width * 4;
}

static walsh_status set_up(walsh_loader *loader)
{
    const walsh_dataset_info *info = &loader->dataset->info;
    size_t batch = loader->options.batch;
    loader->image_bytes = image_bytes(info);
    loader->used = loader->options.drop_last ? info->images - info->images % batch : info->images;
    WALSH_TRY(walsh_alloc(&loader->order, info->images, sizeof *loader->order, "the order of the images"));
    WALSH_TRY(walsh_alloc(&loader->thread, (size_t)loader->options.threads, sizeof *loader->thread, "loader threads"));
    for (int i = 0; i < SLOTS; i++) {
        WALSH_TRY(walsh_alloc(&loader->slots[i].pixels, batch, loader->image_bytes, "a batch of images"));
        WALSH_TRY(walsh_alloc(&loader->slots[i].labels, batch, sizeof *loader->slots[i].labels, "a batch of labels"));
        WALSH_TRY(walsh_alloc(&loader->slots[i].images, batch, sizeof *loader->slots[i].images, "a batch of images"));
    }
    loader->position = loader->used; /* nothing to do before the first start */
    loader->next = walsh_loader_batches(loader);
    return start_threads(loader);
}

walsh_status walsh_loader_open(const walsh_dataset *dataset, const walsh_loader_options *options, walsh_loader **loader)
{
    *loader = NULL;
    WALSH_TRY(check_options(&dataset->info, options));
    walsh_loader *made;
    WALSH_TRY(walsh_alloc(&made, 1, sizeof *made, "a loader"));
    made->dataset = dataset;
    made->options = *options;
    pthread_mutex_init(&made->lock, NULL);
    pthread_cond_init(&made->work, NULL);
    pthread_cond_init(&made->ready, NULL);
    walsh_status status = set_up(made);
    if (status) walsh_loader_close(&made);
    *loader = made;
    return status;
}

size_t walsh_loader_bytes(const walsh_dataset *dataset, size_t batch)
{
    const slot *s = NULL;
    return SLOTS * batch * (image_bytes(&dataset->info) + sizeof *s->labels + sizeof *s->images);
}

size_t walsh_loader_batches(const walsh_loader *loader)
{
    return loader->used / loader->options.batch + (loader->used % loader->options.batch > 0);
}

/* Makes the slot of batch b empty for the threads. */
static void clear(walsh_loader *loader, size_t b)
{
    loader->slots[b % SLOTS].done = 0;
    loader->slots[b % SLOTS].status = WALSH_OK;
}

walsh_status walsh_loader_start(walsh_loader *loader, uint32_t epoch, size_t first)
{
    size_t batches = walsh_loader_batches(loader);
    if (first > batches)
        WALSH_FAIL(WALSH_E_ARGUMENT, "first batch of an epoch: expected 0..%zu, found %zu", batches, first);
    pthread_mutex_lock(&loader->lock);
    loader->position = loader->used;
    while (loader->busy) pthread_cond_wait(&loader->ready, &loader->lock);
    loader->epoch = epoch;
    arrange(loader);
    for (size_t b = 0; b < SLOTS; b++) clear(loader, b);
    loader->next = first;
    loader->position = first < batches ? first * loader->options.batch : loader->used;
    pthread_cond_broadcast(&loader->work);
    pthread_mutex_unlock(&loader->lock);
    return WALSH_OK;
}

/* Waits for the next batch, and takes it. */
static walsh_status receive(walsh_loader *loader, slot **received, size_t *count)
{
    slot *from = &loader->slots[loader->next % SLOTS];
    *count = batch_images(loader, loader->next);
    *received = from;
    pthread_mutex_lock(&loader->lock);
    while (from->done < *count) pthread_cond_wait(&loader->ready, &loader->lock);
    if (!from->status) {
        /* This call ends the life of the batch before the last; AHEAD further on, its slot is used again. */
        clear(loader, loader->next + AHEAD);
        loader->next++;
        pthread_cond_broadcast(&loader->work);
    }
    pthread_mutex_unlock(&loader->lock);
    if (from->status) WALSH_FAIL(from->status, "%s", from->message);
    return WALSH_OK;
}

/* Moves the images up over those that were left out; returns how many remain. */
static size_t close_up(const walsh_loader *loader, slot *s, size_t count)
{
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        if (s->images[i] == LEFT_OUT) continue;
        if (kept < i) {
            memcpy(s->pixels + kept * loader->image_bytes, s->pixels + i * loader->image_bytes, loader->image_bytes);
            s->labels[kept] = s->labels[i];
            s->images[kept] = s->images[i];
        }
        kept++;
    }
    return kept;
}

walsh_status walsh_loader_next(walsh_loader *loader, walsh_batch *batch)
{
    slot *from = NULL;
    size_t count = 0;
    *batch = (walsh_batch){0};
    while (!count && loader->next < walsh_loader_batches(loader)) { /* all of a batch may be left out */
        WALSH_TRY(receive(loader, &from, &count));
        count = close_up(loader, from, count);
    }
    if (!count) return WALSH_OK;
    size_t rest = loader->options.batch - count;
    memset(from->pixels + count * loader->image_bytes, 0, rest * loader->image_bytes);
    memset(from->labels + count, 0, rest * sizeof *from->labels);
    *batch = (walsh_batch){from->pixels, from->labels, from->images, count};
    return WALSH_OK;
}

void walsh_loader_close(walsh_loader **loader)
{
    walsh_loader *old = *loader;
    if (!old) return;
    pthread_mutex_lock(&old->lock);
    old->closing = true;
    pthread_cond_broadcast(&old->work);
    pthread_mutex_unlock(&old->lock);
    for (int i = 0; i < old->threads; i++) pthread_join(old->thread[i], NULL);
    for (int i = 0; i < SLOTS; i++) {
        free(old->slots[i].pixels);
        free(old->slots[i].labels);
        free(old->slots[i].images);
    }
    pthread_cond_destroy(&old->ready);
    pthread_cond_destroy(&old->work);
    pthread_mutex_destroy(&old->lock);
    free(old->thread);
    free(old->order);
    free(old);
    *loader = NULL;
}
