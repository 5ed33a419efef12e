/* Printing what training and evaluation take and do: its memory, and the launches of a step. */
#ifndef WALSH_APPS_PLAN_H
#define WALSH_APPS_PLAN_H

#include <walsh/train.h>

enum { WALSH_MEMORY_LINE = 256 };

/* "memory: 166 MiB of 11.8 GiB (...), batch 128 in 4 parts of 32". Returns out. */
const char *walsh_memory_line(const walsh_memory *memory, char out[WALSH_MEMORY_LINE]);

/* Prints on stdout, of training and evaluation, where in the arena of activations each tensor and workspace lies and
 * which operations use it, and the launches in order. A walsh_train_visitor; `context` is not used. */
walsh_status walsh_plan_print(void *context, const walsh_model *model, const walsh_memory *memory);

#endif
