/* PNG through libpng. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <png.h>

#include "engine/base/status.h"
#include "engine/data/picture.h"

enum { LARGEST = 65535 }; /* pixels a side, as in JPEG */

typedef struct png {
    png_structp decoder;
    png_infop info;
    const uint8_t *next;
    size_t left;     /* bytes from `next` on */
    uint8_t *pixels; /* [width][4], or all rows of an interlaced image */
    char message[200];
} png;

static void give_up(png_structp decoder, png_const_charp message)
{
    png *p = png_get_error_ptr(decoder);
    snprintf(p->message, sizeof p->message, "%s", message);
    png_longjmp(decoder, 1);
}

static void ignore(png_structp decoder, png_const_charp message)
{
    (void)decoder, (void)message;
}

static void feed(png_structp decoder, png_bytep to, size_t size)
{
    png *p = png_get_io_ptr(decoder);
    if (size > p->left) png_error(decoder, "it ends early");
    memcpy(to, p->next, size);
    p->next += size;
    p->left -= size;
}

static walsh_status broken(const walsh_picture *picture)
{
    const png *p = picture->state;
    WALSH_FAIL(WALSH_E_FORMAT, "%s: expected a whole PNG image, found one that cannot be decoded: %s", picture->name,
               p->message);
}

/* Whatever the file has becomes red, green, blue and one more byte. */
static void set_transformations(png *p)
{
    png_set_expand(p->decoder);
    png_set_strip_16(p->decoder);
    png_set_gray_to_rgb(p->decoder);
    png_set_strip_alpha(p->decoder);
    png_set_filler(p->decoder, 0, PNG_FILLER_AFTER);
}

static walsh_status check_size(const walsh_picture *picture, const png *p)
{
    size_t bytes = (size_t)picture->width * (size_t)picture->height * 4;
    if (png_get_interlace_type(p->decoder, p->info) == PNG_INTERLACE_NONE || bytes <= WALSH_PICTURE_BYTES)
        return WALSH_OK;
    WALSH_FAIL(WALSH_E_FORMAT, "%s: an interlaced PNG of %dx%d takes %zu MiB to decode, expected at most %zu",
               picture->name, picture->width, picture->height, bytes >> 20, WALSH_PICTURE_BYTES >> 20);
}

static walsh_status open_png(walsh_picture *picture)
{
    png *p = NULL;
    WALSH_TRY(walsh_alloc(&p, 1, sizeof *p, "a PNG decoder"));
    picture->state = p;
    p->next = picture->bytes;
    p->left = picture->size;
    p->decoder = png_create_read_struct(PNG_LIBPNG_VER_STRING, p, give_up, ignore);
    p->info = p->decoder ? png_create_info_struct(p->decoder) : NULL;
    if (!p->info) WALSH_FAIL(WALSH_E_MEMORY, "out of memory: decoding %s", picture->name);
    if (setjmp(png_jmpbuf(p->decoder))) return broken(picture);
    png_set_user_limits(p->decoder, LARGEST, LARGEST);
    png_set_read_fn(p->decoder, p, feed);
    png_read_info(p->decoder, p->info);
    picture->width = (int)png_get_image_width(p->decoder, p->info);
    picture->height = (int)png_get_image_height(p->decoder, p->info);
    picture->most_shrink = 1;
    set_transformations(p);
    return check_size(picture, p);
}

/* Interlaced images come in passes, each of which fills in some pixels of every row. */
static void decode(const walsh_picture *picture, png *p, const walsh_region *region, walsh_row_sink take, void *context)
{
    const int passes = png_set_interlace_handling(p->decoder);
    const size_t row = (size_t)picture->width * 4;
    png_read_update_info(p->decoder, p->info);
    p->pixels = png_malloc(p->decoder, passes > 1 ? row * (size_t)picture->height : row);
    for (int pass = 0; pass < passes; pass++)
        for (int y = 0; y < (passes > 1 ? picture->height : region->top + region->height); y++) {
            uint8_t *to = p->pixels + (passes > 1 ? row * (size_t)y : 0);
            png_read_row(p->decoder, to, NULL);
            if (pass == passes - 1 && y >= region->top && y < region->top + region->height)
                take(context, y - region->top, to + 4 * (size_t)region->left);
        }
}

static walsh_status read_png(walsh_picture *picture, int shrink, const walsh_region *region, walsh_row_sink take,
                             void *context)
{
    png *p = picture->state;
    (void)shrink;
    if (setjmp(png_jmpbuf(p->decoder))) return broken(picture);
    decode(picture, p, region, take, context);
    return WALSH_OK;
}

static void close_png(walsh_picture *picture)
{
    png *p = picture->state;
    if (!p) return;
    if (p->decoder) png_free(p->decoder, p->pixels);
    png_destroy_read_struct(&p->decoder, &p->info, NULL);
    free(p);
    picture->state = NULL;
}

const walsh_codec walsh_png = {
    .name = "PNG",
    .magic = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1A, '\n'},
    .magic_size = 8,
    .open = open_png,
    .read = read_png,
    .close = close_png,
};
