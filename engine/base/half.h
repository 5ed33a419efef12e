/* IEEE half precision (binary16) on the host: 1 sign, 5 exponent (bias 15) and 10 fraction bits. */
#ifndef WALSH_ENGINE_BASE_HALF_H
#define WALSH_ENGINE_BASE_HALF_H

#include <stdint.h>

/* Every half is exact in float; a NaN stays one. */
float walsh_half_value(uint16_t half);

/* The nearest half, ties to even, as what is stored in half precision becomes it: a finite value beyond the largest,
 * 65504, becomes that; infinities and NaN stay. */
uint16_t walsh_half_of(double value);

#endif
