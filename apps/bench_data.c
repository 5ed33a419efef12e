/* walsh bench data: how fast images are read, augmented and laid out in batches. */
#include "apps/bench.h"
#include "apps/bench_commands.h"
#include "apps/values.h"
#include "engine/base/status.h"
#include "engine/data/loader.h"

#include <stdlib.h>
#include <sys/resource.h>

typedef struct feed {
    walsh_dataset *dataset;
    walsh_loader *loader;
    uint32_t epoch;
    double core_seconds, images; /* of all runs: processor time, and images handed out */
} feed;

static void destroy(void *context)
{
    feed *f = context;
    walsh_loader_close(&f->loader);
    walsh_dataset_close(&f->dataset);
    free(f);
}

/* What all threads of this process have computed for. */
static double core_seconds(void)
{
    struct rusage use;
    getrusage(RUSAGE_SELF, &use);
    return (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) +
           1e-6 * (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec);
}

/* Begins an epoch, so that no batch is ready beforehand, and further ones as they are needed; ends with the threads at
 * rest, so that nothing runs beside the next contender. */
static walsh_status run(void *context, int times)
{
    feed *f = context;
    walsh_batch batch;
    const double began = core_seconds();
    WALSH_TRY(walsh_loader_start(f->loader, f->epoch++, 0));
    while (times) {
        WALSH_TRY(walsh_loader_next(f->loader, &batch));
        f->images += (double)batch.count;
        if (batch.count)
            times--;
        else
            WALSH_TRY(walsh_loader_start(f->loader, f->epoch++, 0));
    }
    WALSH_TRY(walsh_loader_start(f->loader, f->epoch, walsh_loader_batches(f->loader)));
    f->core_seconds += core_seconds() - began;
    return WALSH_OK;
}

static void add_core_rates(const walsh_bench *bench)
{
    for (size_t i = 0; i < bench->count; i++) {
        const feed *f = bench->contenders[i].context;
        cJSON_AddNumberToObject(bench->contenders[i].row, "images_per_core_second", f->images / f->core_seconds);
    }
}

static cJSON *make_row(const char *op, const walsh_dataset_info *info, int batch, int loaders)
{
    cJSON *row = cJSON_CreateObject();
    cJSON_AddStringToObject(row, "op", op);
    cJSON_AddStringToObject(row, "variant", info->name);
    cJSON_AddNumberToObject(row, "batch", batch);
    cJSON_AddNumberToObject(row, "height", info->height);
    cJSON_AddNumberToObject(row, "width", info->width);
    cJSON_AddNumberToObject(row, "loaders", loaders);
    return row;
}

static walsh_status add(walsh_bench *bench, const char *data, int image_size, walsh_split split, int batch, int loaders)
{
    bool train = split == WALSH_SPLIT_TRAIN;
    feed *f = NULL;
    WALSH_TRY(walsh_alloc(&f, 1, sizeof *f, "a benchmark"));
    const walsh_dataset_options images = {.image_size = image_size};
    walsh_status status = walsh_dataset_open(data, split, &images, &f->dataset);
    const walsh_loader_options options = {
        .batch = (size_t)batch, .shuffle = train, .augment = train, .drop_last = true, .threads = loaders};
    if (!status) status = walsh_loader_open(f->dataset, &options, &f->loader);
    if (status) {
        destroy(f);
        return status;
    }
    const walsh_dataset_info *info = walsh_dataset_describe(f->dataset);
    const walsh_contender c = {.row = make_row(train ? "data_train" : "data_test", info, batch, loaders),
                               .run = run,
                               .destroy = destroy,
                               .context = f,
                               .bytes = 4.0 * batch * info->height * info->width,
                               .images = batch,
                               .seconds = 0.1};
    return walsh_bench_add(bench, &c);
}

static walsh_status run_data(const walsh_arguments *arguments)
{
    const char *data;
    int batch = 128, loaders = 1, image_size = 0;
    walsh_bench bench = {0};
    WALSH_TRY(walsh_argument_required(arguments, WALSH_OPTION_DATA, &data));
    WALSH_TRY(walsh_value_int(arguments, WALSH_OPTION_BATCH, 1, &batch));
    WALSH_TRY(walsh_value_int(arguments, WALSH_OPTION_LOADERS, 1, &loaders));
    WALSH_TRY(walsh_value_int(arguments, WALSH_OPTION_IMAGE_SIZE, 1, &image_size));
    walsh_status status = walsh_bench_open(arguments, WALSH_BENCH_HOST, &bench);
    if (!status) status = add(&bench, data, image_size, WALSH_SPLIT_TRAIN, batch, loaders);
    if (!status) status = add(&bench, data, image_size, WALSH_SPLIT_TEST, batch, loaders);
    if (!status) status = walsh_bench_run(&bench);
    if (!status) add_core_rates(&bench);
    if (!status) status = walsh_bench_report(arguments, &bench, "shape");
    walsh_bench_close(&bench);
    return status;
}

static const struct argp_option own[] = {
    {NULL, 0, NULL, 0, "What to measure:", 0},
    {"data", WALSH_OPTION_DATA, "DATA", 0, WALSH_DATA_HELP, 0},
    {"image-size", WALSH_OPTION_IMAGE_SIZE, "S", 0, "pixels a side, where images are decoded (default: 224)", 0},
    {"batch", WALSH_OPTION_BATCH, "B", 0, "images a batch (default: 128)", 0},
    {"loaders", WALSH_OPTION_LOADERS, "L", 0, "threads that prepare images (default: 1)", 0},
    {0},
};

const walsh_command walsh_command_bench_data = {
    .name = "bench data",
    .summary = "the loader: images read, augmented and laid out in batches",
    .synopsis = "--data DATA",
    .about = "Times a batch of the training split, shuffled and augmented, and one of the test split. It runs on the"
             " host alone: no peak of the device bounds it. images/core second: of the processors' time, whatever the"
             " number of threads."
             "\vExamples:\n"
             "  walsh bench data --data sample\n"
             "  walsh bench data --data cifar10:data --batch 256 --loaders 2 --json\n"
             "  walsh bench data --data imagenet:/data/imagenet --batch 32\n",
    .groups = (const struct argp_option *const[]){own, walsh_options_bench, walsh_options_json, NULL},
    .run = run_data,
};
