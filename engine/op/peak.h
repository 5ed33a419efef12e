/* What a device can do at most, as operations: the bounds that benchmarks hold the others against. */
#ifndef WALSH_ENGINE_OP_PEAK_H
#define WALSH_ENGINE_OP_PEAK_H

#include "engine/op/op.h"

enum {
    WALSH_PEAK_START = 192,    /* elements that chains may start from; problem.fmas is a multiple of it */
    WALSH_PEAK_GROUP = 256,    /* problem.items is a multiple of it */
    WALSH_PEAK_BLOCK = 1 << 14 /* floats of a work-group; problem.elements is a multiple of four of them */
};

/* Y [items] = the mean of v over START [192] after v = LINE[0]*v + LINE[1] was repeated until `fmas` multiply-adds are
 * done in the item. A variant takes the first elements of START, as many as its registers hold: let them be equal.
 * Variants: several widths of vectors. */
typedef struct walsh_peak_fma_problem {
    unsigned fuse;
    int items, fmas;
} walsh_peak_fma_problem;
extern const walsh_op walsh_peak_fma;
enum { WALSH_PEAK_FMA_START, WALSH_PEAK_FMA_LINE, WALSH_PEAK_FMA_Y, WALSH_PEAK_FMA_OPERANDS };

typedef enum walsh_peak_stream_kind {
    WALSH_PEAK_READ,  /* Y [elements / 16384]: sums of blocks of X */
    WALSH_PEAK_COPY,  /* Y = X */
    WALSH_PEAK_TRIAD, /* Y = X + Z/2 */
    WALSH_PEAK_STREAM_KINDS
} walsh_peak_stream_kind;

/* X, Z, Y [elements]; to measure memory, let them be larger than the cache. Bytes are counted as the program sees them,
 * without the reading of lines that are to be overwritten. */
typedef struct walsh_peak_stream_problem {
    unsigned fuse;
    walsh_peak_stream_kind kind;
    int elements;
} walsh_peak_stream_problem;
extern const walsh_op walsh_peak_stream;
enum { WALSH_PEAK_STREAM_X, WALSH_PEAK_STREAM_Z, WALSH_PEAK_STREAM_Y, WALSH_PEAK_STREAM_OPERANDS };

#endif
