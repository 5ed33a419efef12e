/* Encoded images, JPEG or PNG by their content, whatever their file is called, decoded a row at a time: of a large one
 * only the rows that are asked for are ever held, and of those only the pixels. Grey, CMYK and palettes become RGB;
 * alpha is dropped and orientation tags are ignored, as PIL's convert("RGB") does. */
#ifndef WALSH_ENGINE_DATA_PICTURE_H
#define WALSH_ENGINE_DATA_PICTURE_H

#include <walsh/status.h>

#include <stddef.h>
#include <stdint.h>

/* What a decoder may hold of an image that cannot be decoded a row at a time: interlaced or progressive. */
#define WALSH_PICTURE_BYTES ((size_t)512 << 20)

typedef struct walsh_codec walsh_codec;

typedef struct walsh_picture {
    const uint8_t *bytes; /* the encoded image, the caller's */
    size_t size;
    const char *name; /* for messages; the caller's */
    int width, height;
    int most_shrink; /* 8 where the format can be decoded at 1/2, 1/4 and 1/8 of its size, else 1 */
    const walsh_codec *codec;
    void *state;
} walsh_picture;

/* A part of an image: columns [left, left+width) of rows [top, top+height). */
typedef struct walsh_region {
    int left, top, width, height;
} walsh_region;

/* Receives row `y` of a region, from 0 on and in order: [width][4], red, green, blue, anything. */
typedef void (*walsh_row_sink)(void *context, int y, const uint8_t *row);

struct walsh_codec {
    const char *name;
    uint8_t magic[8]; /* what its files begin with */
    size_t magic_size;
    walsh_status (*open)(walsh_picture *picture);
    walsh_status (*read)(walsh_picture *picture, int shrink, const walsh_region *region, walsh_row_sink take,
                         void *context);
    void (*close)(walsh_picture *picture);
};

extern const walsh_codec walsh_jpeg, walsh_png;

/* Reads the header of picture->bytes, with `bytes`, `size` and `name` set. Fails with WALSH_E_FORMAT for what is
 * neither JPEG nor PNG, broken, or too large to be decoded in bounded memory; walsh_picture_close may be called all the
 * same. */
walsh_status walsh_picture_open(walsh_picture *picture);

/* An extent in pixels when the image is decoded at 1/shrink. */
int walsh_picture_shrunk(int extent, int shrink);

/* Decodes a region of the image at 1/shrink (1, 2, 4 or 8, at most most_shrink) of its size; the pixels are those of
 * the whole image decoded so. Once a picture. Fails with WALSH_E_FORMAT where the data that it takes end early or are
 * corrupt; rows that came before have been handed out then. */
walsh_status walsh_picture_read(walsh_picture *picture, int shrink, const walsh_region *region, walsh_row_sink take,
                                void *context);

void walsh_picture_close(walsh_picture *picture);

#endif
