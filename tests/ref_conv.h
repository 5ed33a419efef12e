/* The reference convolutions of engine/check, for dense W [kh][kw][ic/groups][oc]; and their proof. */
#ifndef WALSH_TESTS_REF_CONV_H
#define WALSH_TESTS_REF_CONV_H

#include "engine/check/reference_conv.h"

/* Elements of dense X, W and Y. */
size_t ref_conv_x(const walsh_conv *c);
size_t ref_conv_w(const walsh_conv *c);
size_t ref_conv_y(const walsh_conv *c);

void ref_conv(walsh_direction direction, const walsh_conv *c, double *x, double *w, double *y);

/* `count` values of [-1, 1), a function of seed; the caller frees them. */
double *ref_conv_draw(size_t count, uint64_t seed);

/* The reference's gradients proved, for the input or for the weights: by central differences of <conv(x, w), dy>, which
 * are exact since a convolution is linear in each; and as the adjoint, <conv(x, w), dy> = <x, dx> = <w, dw>. */
typedef enum ref_conv_operand { REF_CONV_X, REF_CONV_W } ref_conv_operand;
void ref_conv_prove_differences(ref_conv_operand of, int groups); /* shuffled with more than one group */
void ref_conv_prove_adjoint(ref_conv_operand of);

#endif
