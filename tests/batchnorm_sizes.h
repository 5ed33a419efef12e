/* The sizes at which batch norm is checked in both directions. */
#ifndef WALSH_TESTS_BATCHNORM_SIZES_H
#define WALSH_TESTS_BATCHNORM_SIZES_H

#include "engine/op/batchnorm.h"

static const int sizes[][4] = {{1, 1, 1, 1},    {2, 5, 7, 3},   {3, 8, 8, 64},  {1, 17, 19, 30},
                               {4, 16, 16, 16}, {1, 3, 3, 4},   {7, 1, 1, 342}, {2, 33, 31, 6},
                               {5, 9, 1, 24},   {1, 2, 700, 8}, {16, 32, 32, 4}};
enum { SIZES = sizeof sizes / sizeof *sizes };

static inline walsh_bn problem(size_t i)
{
    return (walsh_bn){.n = sizes[i][0], .h = sizes[i][1], .w = sizes[i][2], .c = sizes[i][3]};
}
static inline size_t rows_of(const walsh_bn *p)
{
    return (size_t)p->n * (size_t)p->h * (size_t)p->w;
}
static inline size_t count_of(const walsh_bn *p)
{
    return rows_of(p) * (size_t)p->c;
}

#endif
