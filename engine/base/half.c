#include "engine/base/half.h"

#include <math.h>
#include <string.h>

enum { LEAST_EXPONENT = -14, FRACTION = 10 };

static float from_bits(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

float walsh_half_value(uint16_t half)
{
    uint32_t sign = (uint32_t)(half & 0x8000) << 16, exponent = half >> 10 & 31, fraction = half & 0x3FF;
    if (exponent == 0) return (sign ? -0x1p-24f : 0x1p-24f) * (float)fraction;
    if (exponent == 31) return from_bits(sign | 0x7F800000 | fraction << 13);
    return from_bits(sign | (exponent + 127 - 15) << 23 | fraction << 13);
}

uint16_t walsh_half_of(double value)
{
    const uint16_t sign = signbit(value) ? 0x8000 : 0;
    const double size = fabs(value);
    if (isnan(value)) return sign | 0x7E00;
    if (isinf(value)) return sign | 0x7C00;
    if (size >= 65504) return sign | 0x7BFF;
    int exponent = size < 0x1p-14 ? LEAST_EXPONENT : ilogb(size);
    /* The fraction, with the leading 1 of what is not subnormal, which counts the exponent up by one; what rounds up to
     * the next power of two counts it up once more. */
    unsigned steps = (unsigned)rint(ldexp(size, FRACTION - exponent));
    return (uint16_t)(sign | (((unsigned)(exponent - LEAST_EXPONENT) << FRACTION) + steps));
}
