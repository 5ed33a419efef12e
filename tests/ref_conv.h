/* Convolution and its gradients in double precision, as the sums are written in books. Dense NHWC values without pad
 * lanes; W is [kh][kw][ic/groups][oc]. */
#ifndef WALSH_TESTS_REF_CONV_H
#define WALSH_TESTS_REF_CONV_H

#include "engine/op/conv.h"

/* Elements of dense X, W and Y. */
size_t ref_conv_x(const walsh_conv *c);
size_t ref_conv_w(const walsh_conv *c);
size_t ref_conv_y(const walsh_conv *c);

/* Each writes its last argument. */
void ref_conv_forward(const walsh_conv *c, const double *x, const double *w, double *y);
void ref_conv_data(const walsh_conv *c, const double *dy, const double *w, double *dx);
void ref_conv_filter(const walsh_conv *c, const double *x, const double *dy, double *dw);

/* `count` values of [-1, 1), a function of seed; the caller frees them. */
double *ref_conv_draw(size_t count, uint64_t seed);

/* The reference's gradients proved, for the input or for the weights: by central differences of <conv(x, w), dy>, which
 * are exact since a convolution is linear in each; and as the adjoint, <conv(x, w), dy> = <x, dx> = <w, dw>. */
typedef enum ref_conv_operand { REF_CONV_X, REF_CONV_W } ref_conv_operand;
void ref_conv_prove_differences(ref_conv_operand of, int groups); /* shuffled with more than one group */
void ref_conv_prove_adjoint(ref_conv_operand of);

#endif
