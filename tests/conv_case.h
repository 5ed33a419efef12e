/* The variants of one of the three convolutions against the reference (ref_conv.h, conv_extras.h). */
#ifndef WALSH_TESTS_CONV_CASE_H
#define WALSH_TESTS_CONV_CASE_H

#include "tests/op_case.h"

/* Compares the variants of op with the reference at many sizes, each with every combination of `extras` (WALSH_FUSE_*)
 * that it declares; some variant must take each combination. */
void conv_case_check(const walsh_op *op, unsigned extras);

/* That a prologue lets a NaN in `operand` through to every element of op's output that it concerns, and to no other. */
void conv_case_nan(const walsh_op *op, unsigned extra, const char *operand);

/* That the mask of WALSH_FUSE_NORM_SUMS counts NaN as > 0. */
void conv_case_nan_gate(int gate);

/* A device that is to be exact takes no approximate variant, of which there is one for each kind of tiles. */
void conv_case_exact(const walsh_op *op);

/* The same bits on one and on all compute units, extras included, at sizes of which each has many work-groups. */
void conv_case_threads(const walsh_op *op);

#endif
