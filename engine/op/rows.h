/* Launches of the kernels of cl/rows.clh: one work-item a row (plain), or a work-group a row, which GPUs need. */
#ifndef WALSH_ENGINE_OP_ROWS_H
#define WALSH_ENGINE_OP_ROWS_H

#include "engine/op/op.h"

typedef enum walsh_rows_form { WALSH_ROWS_PLAIN, WALSH_ROWS_GROUP } walsh_rows_form;

/* A launch of cl/FILE.cl's `function` over `rows` rows. */
walsh_launch walsh_rows_launch(const char *file, const char *function, int rows, walsh_rows_form form);

/* walsh_variant.suits of the two forms. */
int walsh_rows_plain_suits(const walsh_device *device, const void *problem);
int walsh_rows_group_suits(const walsh_device *device, const void *problem);

#endif
