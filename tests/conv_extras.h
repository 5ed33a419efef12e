/* What convolutions fuse (the extras of engine/op/conv.h) in double precision: operands that a problem's extras add are
 * drawn and uploaded, and what the operation should then give is worked out. */
#ifndef WALSH_TESTS_CONV_EXTRAS_H
#define WALSH_TESTS_CONV_EXTRAS_H

#include "tests/op_case.h"
#include "tests/ref_conv.h"

/* The number of op's operand of that name, or -1. */
int conv_operand(const walsh_op *op, const char *name);

/* Prologues: X and dY become what they stand for. */
void conv_extras_inputs(op_case *k, const walsh_conv *c, double *x, double *dy);

/* WALSH_FUSE_NORM_SUMS: masks the expected dX, to which `before` has been or, where it is scaled, then is added. No
 * value is so near the gate that rounding could decide. */
void conv_extras_gate(op_case *k, const walsh_conv *c, double *dx, const double *before);

/* WALSH_FUSE_BIAS: added to the expected Y. */
void conv_extras_bias(const walsh_conv *c, double *y);

/* WALSH_FUSE_NORMALISE: the expected Y becomes what is stored of it. */
void conv_extras_normalise(op_case *k, const walsh_conv *c, double *y);

/* Compares PARTIAL with what the output, as the device has it, gives; fails in the name of `variant`. `before` as in
 * conv_extras_gate. */
void conv_extras_compare(op_case *k, const walsh_conv *c, const char *variant, const double *before);

#endif
