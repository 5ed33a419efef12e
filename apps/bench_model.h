/* A model as benchmarks run it: whole training steps and evaluated batches, of pixels without a meaning. */
#ifndef WALSH_APPS_BENCH_MODEL_H
#define WALSH_APPS_BENCH_MODEL_H

#include "apps/bench.h"
#include "engine/model/model.h"

typedef struct walsh_bench_model {
    walsh_model *model;
    int batch;
    bool half; /* --store f16 */
    uint8_t *pixels;
    int32_t *labels;
} walsh_bench_model;

/* --model --image-size --batch --head --classes --math --store */
extern const struct argp_option walsh_options_bench_model[];

/* The model that the command line names, ready to run batches, with the bench's wisdom, which it takes over; of
 * training steps where it `trains`. Call walsh_bench_model_close even where it fails. */
walsh_status walsh_bench_model_open(const walsh_arguments *arguments, walsh_bench *bench, bool trains,
                                    walsh_bench_model *m);

/* The plan of a step or an evaluated batch. */
const walsh_plan *walsh_bench_model_plan(const walsh_bench_model *m, bool train);

/* A contender's row and what a step, or an evaluated batch, computes (by direct convolutions and matrix products alone)
 * and moves. */
walsh_contender walsh_bench_model_contender(const walsh_bench_model *m, bool train);

/* Runs so many steps or evaluated batches, one ahead of its metrics as training does, and waits for their end. */
walsh_status walsh_bench_model_run(const walsh_bench_model *m, bool train, int times);

void walsh_bench_model_close(walsh_bench_model *m);

#endif
