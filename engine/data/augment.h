/* Views of an image: crop with zero padding, flip. */
#ifndef WALSH_ENGINE_DATA_AUGMENT_H
#define WALSH_ENGINE_DATA_AUGMENT_H

#include "engine/base/rng.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* An image of three channels of bytes, as planes or interleaved: value (y, x, c) is at y*row + x*pixel + c*channel. */
typedef struct walsh_image {
    const uint8_t *bytes;
    int height, width;
    size_t row, pixel, channel;
} walsh_image;

/* A window of the image: its corner, outside the image where it is negative; then mirrored left to right or not. */
typedef struct walsh_crop {
    int top, left;
    bool flip;
} walsh_crop;

/* Where the window of image `index` lies after zero padding of `pad` on each side: top from word 0 and left from word
 * 1, each uniform in -pad..pad, flip from the highest bit of word 2 (He et al., "Deep residual learning", 2016, 4.2).
 */
walsh_crop walsh_crop_draw(walsh_rng rng, size_t index, int pad);

/* Writes the window to out[height][width][4]: red, green, blue, 0; zeros outside the image. */
void walsh_crop_copy(const walsh_image *image, walsh_crop crop, int height, int width, uint8_t *out);

#endif
