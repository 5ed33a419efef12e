/* From the loader's bytes to the network's input: (pixel/255 - mean)/deviation, channel 3 (a pad lane) zero. */
#ifndef WALSH_ENGINE_OP_IMAGE_H
#define WALSH_ENGINE_OP_IMAGE_H

#include "engine/op/op.h"

typedef struct walsh_image_problem {
    unsigned fuse;
    int n, h, w;
    float mean[3], deviation[3]; /* of pixels scaled to 0..1 */
} walsh_image_problem;

/* PIXELS: uint8 array of n*h*w*4 (RGB and one ignored); Y [n][h][w][3]. */
extern const walsh_op walsh_image;
enum { WALSH_IMAGE_PIXELS, WALSH_IMAGE_Y, WALSH_IMAGE_OPERANDS };

#endif
