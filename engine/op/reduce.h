/* Sum of the rows of X [rows][h][w][c] into S [c], in two stages whose partition depends on the sizes alone, so that
 * the same numbers give the same bits on any number of threads. A total of everything is a reduction of rows first,
 * then read.
 */
#ifndef WALSH_ENGINE_OP_REDUCE_H
#define WALSH_ENGINE_OP_REDUCE_H

#include "engine/op/op.h"

typedef struct walsh_reduce_problem {
    unsigned fuse; /* WALSH_FUSE_ACCUMULATE: S += */
    int rows, c;
    int h, w; /* each of the rows is so many; 0: 1 */
} walsh_reduce_problem;

extern const walsh_op walsh_reduce;
enum { WALSH_REDUCE_X, WALSH_REDUCE_S, WALSH_REDUCE_OPERANDS };

/* Appends one launch: every `group` of the first `rows` rows of X into a row of S, or added to it. */
walsh_status walsh_reduce_stage(walsh_list *list, const walsh_view *x, const walsh_view *s, int rows, int group,
                                bool accumulate);

#endif
