/* Counter-based random numbers: Philox4x32-10 (Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy
 * as 1, 2, 3", SC 2011). A draw is a pure function of (seed, stream, index), so it does not depend on threads,
 * on the order of calls or on where a run was resumed. */
#ifndef WALSH_ENGINE_BASE_RNG_H
#define WALSH_ENGINE_BASE_RNG_H

#include <stdint.h>

/* What a stream is for: no two uses of one seed share numbers. `walsh_rng.stream` = purpose << 32 | sub-stream. */
typedef enum walsh_rng_purpose {
    WALSH_RNG_INIT = 1, /* initial weights; sub-stream: the parameter's number */
    WALSH_RNG_SHUFFLE,  /* order of the images; sub-stream: the epoch */
    WALSH_RNG_AUGMENT,  /* crop and flip; sub-stream: the epoch, index: the image */
    WALSH_RNG_HEAD      /* fixed head's matrix or signs; sub-stream: block of classes */
} walsh_rng_purpose;

typedef struct walsh_rng {
    uint64_t seed;
    uint64_t stream;
} walsh_rng;

walsh_rng walsh_rng_make(uint64_t seed, walsh_rng_purpose purpose, uint32_t sub_stream);

/* Four independent uniform 32-bit words at position `index`. */
void walsh_rng_words(walsh_rng rng, uint64_t index, uint32_t out[4]);

/* Uniform in [0, 1), 24 bits, exact in float. */
float walsh_rng_uniform(walsh_rng rng, uint64_t index);

/* Standard normal (Box-Muller in double precision). */
double walsh_rng_normal(walsh_rng rng, uint64_t index);

/* Uniform integer in [0, bound), bound >= 1, without bias beyond 2^-32 (multiply-shift on 64 bits). */
uint32_t walsh_rng_below(walsh_rng rng, uint64_t index, uint32_t bound);

#endif
