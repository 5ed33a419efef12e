#include "engine/base/rng.h"

#include <math.h>

walsh_rng walsh_rng_make(uint64_t seed, walsh_rng_purpose purpose, uint32_t sub_stream)
{
    return (walsh_rng){seed, (uint64_t)purpose << 32 | sub_stream};
}

void walsh_rng_words(walsh_rng rng, uint64_t index, uint32_t out[4])
{
    uint32_t key0 = (uint32_t)rng.seed, key1 = (uint32_t)(rng.seed >> 32);
    uint32_t c0 = (uint32_t)index, c1 = (uint32_t)(index >> 32);
    uint32_t c2 = (uint32_t)rng.stream, c3 = (uint32_t)(rng.stream >> 32);
    for (int round = 0; round < 10; round++) {
        uint64_t p0 = (uint64_t)0xD2511F53u * c0, p1 = (uint64_t)0xCD9E8D57u * c2;
        uint32_t n0 = (uint32_t)(p1 >> 32) ^ c1 ^ key0, n2 = (uint32_t)(p0 >> 32) ^ c3 ^ key1;
        c0 = n0, c1 = (uint32_t)p1, c2 = n2, c3 = (uint32_t)p0;
        key0 += 0x9E3779B9u, key1 += 0xBB67AE85u; /* Weyl sequence: golden ratio, sqrt(3) - 1 */
    }
    out[0] = c0, out[1] = c1, out[2] = c2, out[3] = c3;
}

float walsh_rng_uniform(walsh_rng rng, uint64_t index)
{
    uint32_t word[4];
    walsh_rng_words(rng, index, word);
    return (float)(word[0] >> 8) * 0x1p-24f;
}

double walsh_rng_normal(walsh_rng rng, uint64_t index)
{
    const double two_pi = 6.283185307179586476925;
    uint32_t word[4];
    walsh_rng_words(rng, index, word);
    double radius = ((double)word[0] + 1.0) * 0x1p-32; /* in (0, 1]: the logarithm is finite */
    double angle = (double)word[1] * 0x1p-32;
    return sqrt(-2.0 * log(radius)) * cos(two_pi * angle);
}

uint32_t walsh_rng_below(walsh_rng rng, uint64_t index, uint32_t bound)
{
    uint32_t word[4];
    walsh_rng_words(rng, index, word);
    /* High 32 bits of the 96-bit product (word0:word1) * bound. */
    uint64_t low = (uint64_t)word[1] * bound, high = (uint64_t)word[0] * bound;
    return (uint32_t)((high + (low >> 32)) >> 32);
}
