/* Parts of a batch norm that other operations fuse; see engine/op/batchnorm.h. */
#ifndef WALSH_ENGINE_CHECK_REFERENCE_NORM_H
#define WALSH_ENGINE_CHECK_REFERENCE_NORM_H

#include "engine/op/batchnorm.h"

/* [relu](scale*x + shift) of element i of a tensor of `c` channels; SAVED [4][c]. */
double walsh_reference_affine(const double *saved, size_t c, const double *x, size_t i, bool relu);

/* PARTIAL of bn_stats for x, and of bn_backward_sums for g, whose mask has been applied. */
void walsh_reference_statistics(const walsh_bn *p, const double *x, double *partial);
void walsh_reference_sums(const walsh_bn *p, const double *g, const double *u, const double *saved, double *partial);

#endif
