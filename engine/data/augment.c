#include "engine/data/augment.h"

#include <string.h>

/* A word as an integer in -pad..pad. */
static int offset(uint32_t word, int pad)
{
    return (int)((uint64_t)word * (uint32_t)(2 * pad + 1) >> 32) - pad;
}

walsh_crop walsh_crop_draw(walsh_rng rng, size_t index, int pad)
{
    uint32_t word[4];
    walsh_rng_words(rng, index, word);
    return (walsh_crop){.top = offset(word[0], pad), .left = offset(word[1], pad), .flip = word[2] >> 31};
}

void walsh_crop_copy(const walsh_image *image, walsh_crop crop, int height, int width, uint8_t *out)
{
    memset(out, 0, (size_t)height * (size_t)width * 4);
    /* The part of the window that lies in the image, in columns of the window. */
    int begin = crop.left < 0 ? -crop.left : 0;
    int end = crop.left + width > image->width ? image->width - crop.left : width;
    for (int y = 0; y < height; y++) {
        int from = crop.top + y;
        if (from < 0 || from >= image->height) continue;
        const uint8_t *row = image->bytes + (size_t)from * image->row;
        uint8_t *to = out + (size_t)y * (size_t)width * 4;
        for (int x = begin; x < end; x++) {
            const uint8_t *source = row + (size_t)(crop.left + x) * image->pixel;
            uint8_t *target = to + 4 * (crop.flip ? width - 1 - x : x);
            for (int c = 0; c < 3; c++) target[c] = source[(size_t)c * image->channel];
        }
    }
}
