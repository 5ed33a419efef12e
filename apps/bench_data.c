/* walsh bench data: how fast images are read, augmented and laid out in batches. */
#include "apps/bench.h"
#include "apps/bench_commands.h"
#include "apps/values.h"
#include "engine/base/status.h"
#include "engine/data/loader.h"

#include <stdlib.h>

typedef struct feed {
    walsh_dataset *dataset;
    walsh_loader *loader;
    uint32_t epoch;
} feed;

static void destroy(void *context)
{
    feed *f = context;
    walsh_loader_close(&f->loader);
    walsh_dataset_close(&f->dataset);
    free(f);
}

/* Begins an epoch, so that no batch is ready beforehand, and further ones as they are needed. */
static walsh_status run(void *context, int times)
{
    feed *f = context;
    walsh_batch batch;
    WALSH_TRY(walsh_loader_start(f->loader, f->epoch++, 0));
    while (times) {
        WALSH_TRY(walsh_loader_next(f->loader, &batch));
        if (batch.count)
            times--;
        else
            WALSH_TRY(walsh_loader_start(f->loader, f->epoch++, 0));
    }
    return WALSH_OK;
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

static walsh_status add(walsh_bench *bench, const char *data, walsh_split split, int batch, int loaders)
{
    bool train = split == WALSH_SPLIT_TRAIN;
    feed *f = NULL;
    WALSH_TRY(walsh_alloc(&f, 1, sizeof *f, "a benchmark"));
    walsh_status status = walsh_dataset_open(data, split, &f->dataset);
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
    int batch = 128, loaders = 1;
    walsh_bench bench = {0};
    WALSH_TRY(walsh_argument_required(arguments, WALSH_OPTION_DATA, &data));
    WALSH_TRY(walsh_value_int(arguments, WALSH_OPTION_BATCH, 1, &batch));
    WALSH_TRY(walsh_value_int(arguments, WALSH_OPTION_LOADERS, 1, &loaders));
    walsh_status status = walsh_bench_open(arguments, false, &bench);
    if (!status) status = add(&bench, data, WALSH_SPLIT_TRAIN, batch, loaders);
    if (!status) status = add(&bench, data, WALSH_SPLIT_TEST, batch, loaders);
    if (!status) status = walsh_bench_run(&bench);
    if (!status) status = walsh_bench_report(arguments, &bench, "shape");
    walsh_bench_close(&bench);
    return status;
}

static const struct argp_option own[] = {
    {NULL, 0, NULL, 0, "What to measure:", 0},
    {"data", WALSH_OPTION_DATA, "DATA", 0, "sample, cifar10:PATH or cifar100:PATH; PATH: folder or .tar.gz", 0},
    {"batch", WALSH_OPTION_BATCH, "B", 0, "images a batch (default: 128)", 0},
    {"loaders", WALSH_OPTION_LOADERS, "L", 0, "threads that prepare images (default: 1)", 0},
    {0},
};

const walsh_command walsh_command_bench_data = {
    .name = "bench data",
    .summary = "the loader: images read, augmented and laid out in batches",
    .synopsis = "--data DATA",
    .about = "Times a batch of the training split, shuffled and augmented, and one of the test split. It runs on the"
             " host alone: no peak of the device bounds it."
             "\vExamples:\n"
             "  walsh bench data --data sample\n"
             "  walsh bench data --data cifar10:data --batch 256 --loaders 2 --json\n",
    .groups = (const struct argp_option *const[]){own, walsh_options_bench, walsh_options_json, NULL},
    .run = run_data,
};
