/* Which part of a picture becomes the square image that a network sees. */
#ifndef WALSH_ENGINE_DATA_FRAMING_H
#define WALSH_ENGINE_DATA_FRAMING_H

#include "engine/base/rng.h"
#include "engine/data/picture.h"
#include "engine/data/resize.h"

typedef struct walsh_framing {
    walsh_axis x, y;
    bool flip; /* mirrored left to right */
} walsh_framing;

/* Training: a random part, resized to size x size: its area 8 to 100 % of the picture's, its ratio of width to height
 * 3/4 to 4/3, evenly in logarithms, anywhere in the picture; flipped or not (Szegedy et al., "Going deeper with
 * convolutions", 2015, section 6). Ten parts are drawn until one fits in; else the largest one in the middle whose
 * ratio is allowed is taken. Draws are at 16*index .. 16*index+10 of `rng`: words 0 to 3 of each are area, ratio, top
 * and left; word 0 of the last is the flip. */
walsh_framing walsh_framing_draw(walsh_rng rng, size_t index, int width, int height, int size);

/* Evaluation: the middle size x size of the picture, whose shorter side is resized to `side`, at least `size`. */
walsh_framing walsh_framing_centre(int width, int height, int side, int size);

/* The short side that goes with an image size where nothing else is said: 256 for 224. */
int walsh_framing_side(int size);

/* How much smaller a picture may be decoded, 1, 2, 4 or 8, for its part not to fall below size x size. */
int walsh_framing_shrink(const walsh_framing *framing, int size);

/* The same part of the picture when it is decoded at 1/shrink. */
walsh_framing walsh_framing_shrunk(const walsh_framing *framing, int width, int height, int shrink);

#endif
