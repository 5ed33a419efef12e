#include "engine/data/framing.h"

#include <math.h>

enum { TRIES = 10, DRAWS = 16 }; /* DRAWS: positions of the generator for each image */

/* [begin, begin+length) of the source to all of `size`. */
static walsh_axis part(int begin, int length, int size)
{
    return (walsh_axis){
        .begin = begin, .end = begin + length, .low = begin, .high = begin + length, .size = size, .from = 0};
}

static double unit(uint32_t word)
{
    return word * 0x1p-32;
}

/* Where a part of `length` begins within `extent`. */
static int place(uint32_t word, int extent, int length)
{
    return (int)((uint64_t)word * (uint64_t)(extent - length + 1) >> 32);
}

/* The part in the middle that is as large as the limits of its ratio allow. */
static void middle(int width, int height, walsh_region *region)
{
    const double ratio = (double)width / height;
    region->width = ratio > 4. / 3 ? (int)lrint(height * 4. / 3) : width;
    region->height = ratio < 3. / 4 ? (int)lrint(width * 4. / 3) : height;
    region->left = (width - region->width) / 2;
    region->top = (height - region->height) / 2;
}

walsh_framing walsh_framing_draw(walsh_rng rng, size_t index, int width, int height, int size)
{
    const double lowest = log(3. / 4), range = log(4. / 3) - lowest;
    walsh_region r = {0};
    uint32_t word[4];
    for (int try = 0; try < TRIES && !r.width; try++) {
        walsh_rng_words(rng, index * DRAWS + (size_t)try, word);
        double area = (0.08 + 0.92 * unit(word[0])) * width * height, ratio = exp(lowest + range * unit(word[1]));
        double w = nearbyint(sqrt(area * ratio)), h = nearbyint(sqrt(area / ratio));
        if (w < 1 || h < 1 || w > width || h > height) continue;
        r.width = (int)w;
        r.height = (int)h;
        r.top = place(word[2], height, r.height);
        r.left = place(word[3], width, r.width);
    }
    if (!r.width) middle(width, height, &r);
    walsh_rng_words(rng, index * DRAWS + TRIES, word);
    return (walsh_framing){part(r.left, r.width, size), part(r.top, r.height, size), word[0] >> 31};
}

/* The middle of an axis whose source of `extent` samples is resized to `length`. Half a pixel goes to the even side, as
 * in Python. */
static walsh_axis centre(int extent, int length, int size)
{
    walsh_axis axis = part(0, extent, length);
    axis.from = (int)nearbyint((length - size) / 2.0);
    return axis;
}

walsh_framing walsh_framing_centre(int width, int height, int side, int size)
{
    const int shorter = width < height ? width : height;
    /* The longer side is rounded down. */
    int w = (int)((int64_t)side * width / shorter), h = (int)((int64_t)side * height / shorter);
    return (walsh_framing){.x = centre(width, w, size), .y = centre(height, h, size)};
}

int walsh_framing_side(int size)
{
    return (int)lrint(size * 256. / 224);
}

int walsh_framing_shrink(const walsh_framing *framing, int size)
{
    int shrink = 1;
    while (shrink < 8 && framing->x.end - framing->x.begin >= 2. * shrink * size &&
           framing->y.end - framing->y.begin >= 2. * shrink * size)
        shrink *= 2;
    return shrink;
}

static walsh_axis shrunk(walsh_axis axis, int extent, int shrink)
{
    const int less = walsh_picture_shrunk(extent, shrink);
    const double scale = 1. / shrink;
    axis.begin *= scale;
    axis.end = fmin(axis.end * scale, less);
    axis.low = (int)floor(axis.begin);
    axis.high = (int)ceil(axis.end);
    return axis;
}

walsh_framing walsh_framing_shrunk(const walsh_framing *framing, int width, int height, int shrink)
{
    return (walsh_framing){shrunk(framing->x, width, shrink), shrunk(framing->y, height, shrink), framing->flip};
}
