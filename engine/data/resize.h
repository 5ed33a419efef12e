/* Resizing by the antialiased bilinear filter, a row of pixels at a time: along the row first, then across rows, with
 * bytes in between, as PIL does it (Pillow, "Resampling": a triangle as wide as two output pixels, in steps of the
 * source, its weights cut at the border and normalised). Pixels are four bytes: red, green, blue, and one that is
 * ignored on input and 0 on output. */
#ifndef WALSH_ENGINE_DATA_RESIZE_H
#define WALSH_ENGINE_DATA_RESIZE_H

#include <walsh/status.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Which outputs along one axis are made of what: `size` outputs divide [begin, end) of the source evenly; those from
 * `from` on are wanted; samples outside [low, high) do not count. */
typedef struct walsh_axis {
    double begin, end; /* in samples of the source, low <= begin < end <= high */
    int low, high;
    int size, from;
} walsh_axis;

/* The filter's weights for `count` outputs. Each output has as many, so that loops over them are all alike. */
typedef struct walsh_taps {
    int count, each; /* outputs; weights of an output */
    int low, high;   /* the samples that any output needs: [low, high) */
    int *first;      /* [count] sample of an output's first weight */
    float *weight;   /* [count][each] */
    size_t room;     /* of `weight`, numbers */
    int outputs;     /* that `first` has room for */
} walsh_taps;

/* Fills `taps`, which is zero or has been filled before, for outputs from .. from+count-1 of an axis; `mirrored`: in
 * reverse order. Fails with WALSH_E_MEMORY. */
walsh_status walsh_taps_fill(walsh_taps *taps, const walsh_axis *axis, int count, bool mirrored);

void walsh_taps_free(walsh_taps *taps);

/* out[count][4] from a row whose first pixel is sample `at`, at most taps->low. */
void walsh_resize_row(const walsh_taps *taps, const uint8_t *row, int at, uint8_t *out);

/* out[width][4], output `i`, from rows of width*4 bytes that follow each other; the first one is sample taps->low. */
void walsh_resize_column(const walsh_taps *taps, int i, const uint8_t *rows, int width, uint8_t *out);

#endif
