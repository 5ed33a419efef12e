/* JPEG through libjpeg-turbo's libjpeg interface. Of a region, the rows above it are entropy-decoded only, the columns
 * beside it are not transformed, and nothing below it is read. */
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>

#include <jpeglib.h>
#include <jerror.h>

#include "engine/base/status.h"
#include "engine/data/picture.h"

/* Columns decoded beyond a region on either side: chroma is interpolated from its neighbours. */
enum { MARGIN = 4 };

typedef struct jpeg {
    struct jpeg_error_mgr error; /* libjpeg knows it by its first member */
    struct jpeg_decompress_struct decoder;
    jmp_buf escape;
    char message[JMSG_LENGTH_MAX];
    uint8_t *row;
} jpeg;

/* libjpeg's way out of a failure: back to where it was called from. */
static void give_up(j_common_ptr common)
{
    jpeg *j = (jpeg *)common->err;
    common->err->format_message(common, j->message);
    longjmp(j->escape, 1);
}

/* What libjpeg would only warn of. Data that end early or make no sense are a failure; oddities that cost no pixels,
 * like stray bytes before a marker, are not. */
static void weigh(j_common_ptr common, int level)
{
    const int code = common->err->msg_code;
    if (level < 0 &&
        (code == JWRN_JPEG_EOF || code == JWRN_HIT_MARKER || code == JWRN_HUFF_BAD_CODE || code == JWRN_ARITH_BAD_CODE))
        give_up(common);
}

static walsh_status broken(const walsh_picture *picture)
{
    const jpeg *j = picture->state;
    if (j->error.msg_code == JERR_OUT_OF_MEMORY)
        WALSH_FAIL(WALSH_E_MEMORY, "out of memory: decoding %s", picture->name);
    WALSH_FAIL(WALSH_E_FORMAT, "%s: expected a whole JPEG image, found one that cannot be decoded: %s", picture->name,
               j->message);
}

/* Several scans are put together in memory. */
static walsh_status check_size(const walsh_picture *picture, const struct jpeg_decompress_struct *d)
{
    size_t coefficients = 0;
    if (!jpeg_has_multiple_scans((j_decompress_ptr)d)) return WALSH_OK;
    for (int c = 0; c < d->num_components; c++)
        coefficients += (size_t)d->comp_info[c].width_in_blocks * d->comp_info[c].height_in_blocks * DCTSIZE2;
    if (coefficients * sizeof(JCOEF) <= WALSH_PICTURE_BYTES) return WALSH_OK;
    WALSH_FAIL(WALSH_E_FORMAT, "%s: a progressive JPEG of %ux%u takes %zu MiB to decode, expected at most %zu",
               picture->name, d->image_width, d->image_height, coefficients * sizeof(JCOEF) >> 20,
               WALSH_PICTURE_BYTES >> 20);
}

static walsh_status open_jpeg(walsh_picture *picture)
{
    jpeg *j = NULL;
    WALSH_TRY(walsh_alloc(&j, 1, sizeof *j, "a JPEG decoder"));
    picture->state = j;
    j->decoder.err = jpeg_std_error(&j->error);
    j->error.error_exit = give_up;
    j->error.emit_message = weigh;
    if (setjmp(j->escape)) return broken(picture);
    jpeg_create_decompress(&j->decoder);
    jpeg_mem_src(&j->decoder, picture->bytes, picture->size);
    jpeg_read_header(&j->decoder, TRUE);
    picture->width = (int)j->decoder.image_width;
    picture->height = (int)j->decoder.image_height;
    picture->most_shrink = 8;
    return check_size(picture, &j->decoder);
}

/* a*b/255, rounded. */
static int product(int a, int b)
{
    int t = a * b + 128;
    return (t + (t >> 8)) >> 8;
}

/* Adobe's CMYK, which is the only one in use, is stored inverted: 255 is no ink. */
static void cmyk_to_rgb(uint8_t *row, size_t pixels)
{
    for (uint8_t *p = row; p < row + 4 * pixels; p += 4) {
        const int light = p[3];
        for (int c = 0; c < 3; c++) p[c] = (uint8_t)(light - product(255 - p[c], light));
    }
}

/* Runs to the end or to give_up(). */
static void decode(jpeg *j, int shrink, const walsh_region *region, walsh_row_sink take, void *context)
{
    struct jpeg_decompress_struct *d = &j->decoder;
    d->scale_num = 1;
    d->scale_denom = (unsigned)shrink;
    d->out_color_space = d->num_components == 4 ? JCS_CMYK : JCS_EXT_RGBX;
    jpeg_start_decompress(d);
    int left = region->left > MARGIN ? region->left - MARGIN : 0, right = region->left + region->width + MARGIN;
    if (right > (int)d->output_width) right = (int)d->output_width;
    JDIMENSION at = (JDIMENSION)left, width = (JDIMENSION)(right - left);
    if (width < d->output_width) jpeg_crop_scanline(d, &at, &width); /* `at` moves to the left, `width` grows */
    j->row = d->mem->alloc_large((j_common_ptr)d, JPOOL_IMAGE, (size_t)width * 4);
    if (region->top > 0) jpeg_skip_scanlines(d, (JDIMENSION)region->top);
    for (int y = 0; y < region->height; y++) {
        jpeg_read_scanlines(d, &j->row, 1);
        if (d->out_color_space == JCS_CMYK) cmyk_to_rgb(j->row, width);
        take(context, y, j->row + 4 * ((size_t)region->left - at));
    }
}

static walsh_status read_jpeg(walsh_picture *picture, int shrink, const walsh_region *region, walsh_row_sink take,
                              void *context)
{
    jpeg *j = picture->state;
    if (setjmp(j->escape)) return broken(picture);
    decode(j, shrink, region, take, context);
    return WALSH_OK;
}

static void close_jpeg(walsh_picture *picture)
{
    jpeg *j = picture->state;
    if (!j) return;
    jpeg_destroy_decompress(&j->decoder);
    free(j);
    picture->state = NULL;
}

const walsh_codec walsh_jpeg = {
    .name = "JPEG",
    .magic = {0xFF, 0xD8, 0xFF},
    .magic_size = 3,
    .open = open_jpeg,
    .read = read_jpeg,
    .close = close_jpeg,
};
