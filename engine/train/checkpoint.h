/* The folder of a run: its state, the one commit point, and the files that follow from it. */
#ifndef WALSH_ENGINE_TRAIN_CHECKPOINT_H
#define WALSH_ENGINE_TRAIN_CHECKPOINT_H

#include "engine/base/task.h"
#include "engine/train/options.h"

/* Where a run stands: all that is not in the model. No time is part of it, so that equal runs have equal states. */
typedef struct walsh_position {
    int epoch;           /* epochs completed */
    uint64_t epoch_step; /* steps done in the epoch under way */
    uint64_t step;       /* steps done in the run */
    double loss, wrong;  /* sums over the images of the epoch under way */
    uint64_t images;     /* of the epoch under way */
    double best_error;   /* per cent; infinite before the first evaluation */
    uint64_t best_step;
    walsh_train_row *rows; /* of log.csv so far */
    int row_count;
} walsh_position;

/* Appends a row. */
walsh_status walsh_position_add_row(walsh_position *position, const walsh_train_row *row);

/* Refuses a folder that holds a run already (WALSH_E_ARGUMENT); one that is not there is free. */
walsh_status walsh_checkpoint_free(const char *folder);

/* A checkpoint is made in two steps, so that the device need not wait for it: its tensors are read in the order of the
 * queue, and another thread writes it. */
typedef struct walsh_checkpoint walsh_checkpoint;

/* Begins to read the tensors, as they are after the steps enqueued so far. Does not wait. Everything given must outlive
 * the checkpoint. */
walsh_status walsh_checkpoint_begin(const char *folder, const walsh_model *model, const walsh_train_options *options,
                                    walsh_checkpoint **checkpoint);

/* Adds the position after those steps (copied), waits for the tensors, and hands the checkpoint to the writer once that
 * is done with the one before; the writer's failure there is reported here. The writer writes the state, and then the
 * files that follow from it: log.csv, last.safetensors, and best.safetensors where the position's best is this step's.
 * A crash between any two leaves the new or the old state, each whole. Sets the pointer to NULL, also where it fails.
 */
walsh_status walsh_checkpoint_finish(walsh_checkpoint **checkpoint, const walsh_position *position, walsh_task *writer);

/* Gives up one that has been begun; NULL is accepted. */
void walsh_checkpoint_abandon(walsh_checkpoint **checkpoint);

/* The choices of variants that a folder's run was begun with: a resumed run repeats them, whatever wisdom has come
 * since. */
walsh_status walsh_checkpoint_wisdom(const char *folder, walsh_wisdom **wisdom);

/* Restores model and position from a folder's state after comparing options, and mends the files that follow from it.
 * position->rows is the caller's to free. */
walsh_status walsh_checkpoint_resume(const char *folder, const walsh_train_options *options, walsh_model *model,
                                     walsh_position *position);

#endif
