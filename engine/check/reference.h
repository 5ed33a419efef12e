/* The operations in double precision, written as their headers define them and as simply as that goes: what a device is
 * held against. Operands are dense, without pad lanes: the rows of an operand's shape, of `c` values each; integers
 * and bytes come as doubles. NULL where a problem has none. */
#ifndef WALSH_ENGINE_CHECK_REFERENCE_H
#define WALSH_ENGINE_CHECK_REFERENCE_H

#include "engine/op/op.h"

typedef struct walsh_reference {
    const walsh_op *op;
    /* Overwrites what the operation writes, which holds what was there before. */
    walsh_status (*compute)(const void *problem, double *const *operand);
    /* Makes values drawn at random ones that may occur: labels that are classes, variances that are not negative.
     * NULL: all may. */
    walsh_status (*arrange)(const void *problem, double *const *operand);
    /* Values are to be drawn so finely that no two results tie. Otherwise they are coarse, so that what a ReLU or a
     * maximum depends on is exact in float, ties included. */
    bool fine;
    bool leaves_some; /* elements that the operation leaves undefined become NaN */
} walsh_reference;

/* By the operation's name; NULL for one without a reference. */
const walsh_reference *walsh_reference_of(const walsh_op *op);

/* The entries of each file, ended by one without an operation. */
extern const walsh_reference walsh_reference_convolutions[], walsh_reference_norms[], walsh_reference_pools[],
    walsh_reference_rows[], walsh_reference_heads[];

#endif
