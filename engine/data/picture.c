#include "engine/data/picture.h"

#include <string.h>

#include "engine/base/status.h"

walsh_status walsh_picture_open(walsh_picture *picture)
{
    static const walsh_codec *const codecs[] = {&walsh_jpeg, &walsh_png};
    picture->codec = NULL;
    picture->state = NULL;
    for (size_t i = 0; i < sizeof codecs / sizeof *codecs; i++) {
        const walsh_codec *codec = codecs[i];
        if (picture->size < codec->magic_size || memcmp(picture->bytes, codec->magic, codec->magic_size)) continue;
        picture->codec = codec;
        return codec->open(picture);
    }
    WALSH_FAIL(WALSH_E_FORMAT, "%s: expected a JPEG or PNG image, found neither", picture->name);
}

int walsh_picture_shrunk(int extent, int shrink)
{
    return (extent + shrink - 1) / shrink;
}

walsh_status walsh_picture_read(walsh_picture *picture, int shrink, const walsh_region *region, walsh_row_sink take,
                                void *context)
{
    return picture->codec->read(picture, shrink, region, take, context);
}

void walsh_picture_close(walsh_picture *picture)
{
    if (picture->codec) picture->codec->close(picture);
    picture->codec = NULL;
}
