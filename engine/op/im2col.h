/* A convolution's input as the matrix whose product with W is its output, and back.
 *
 * COLUMNS is dense, [n*oh*ow][kh*kw*pad(ic)], wherever in memory its view lies. The problem's n must be the images of
 * X: a slice of a batch is a problem of its own.
 */
#ifndef WALSH_ENGINE_OP_IM2COL_H
#define WALSH_ENGINE_OP_IM2COL_H

#include "engine/op/conv.h"

/* The shape of COLUMNS. */
walsh_shape walsh_im2col_shape(const walsh_conv *c);

/* Appends the copy of X into COLUMNS; zero padding and pad lanes come out zero. */
walsh_status walsh_im2col_emit(walsh_list *list, const walsh_conv *c, const walsh_view *x, const walsh_view *columns);

/* Appends the sum of COLUMNS into X, im2col's adjoint; with WALSH_FUSE_ACCUMULATE, X += . */
walsh_status walsh_col2im_emit(walsh_list *list, const walsh_conv *c, const walsh_view *columns, const walsh_view *x);

#endif
