#include "engine/op/im2col.h"

#include "engine/op/channels.h"

walsh_shape walsh_im2col_shape(const walsh_conv *c)
{
    return walsh_shape_matrix(c->n * walsh_conv_oh(c) * walsh_conv_ow(c), c->kh * c->kw * walsh_pad(c->ic));
}

static walsh_launch launch_of(const walsh_conv *c, const walsh_channels *on, const char *function, int rows)
{
    walsh_shape columns = walsh_im2col_shape(c);
    walsh_launch launch = walsh_channels_rows(on, (size_t)rows);
    launch.file = "im2col", launch.function = function;
    launch.bytes = (double)walsh_shape_bytes(columns) + 4.0 * c->n * c->h * c->w * c->ic;
    return launch;
}

walsh_status walsh_im2col_emit(walsh_list *list, const walsh_conv *c, const walsh_view *x, const walsh_view *columns)
{
    int oh = walsh_conv_oh(c), ow = walsh_conv_ow(c), rows = c->n * oh * ow * c->kh * c->kw;
    walsh_channels on = walsh_channels_for(walsh_list_device(list), c->ic);
    walsh_launch launch = launch_of(c, &on, "im2col", rows);
    return WALSH_LAUNCH(list, launch, WALSH_TENSOR(x), WALSH_TENSOR(columns), WALSH_INT(rows), WALSH_INT(on.vectors),
                        WALSH_INT(on.each), WALSH_INT(c->h), WALSH_INT(c->w), WALSH_INT(oh), WALSH_INT(ow),
                        WALSH_INT(c->kh), WALSH_INT(c->kw), WALSH_INT(c->stride), WALSH_INT(c->pad),
                        WALSH_INT(x->shape.pitch));
}

walsh_status walsh_col2im_emit(walsh_list *list, const walsh_conv *c, const walsh_view *columns, const walsh_view *x)
{
    int rows = c->n * c->h * c->w, accumulate = (c->fuse & WALSH_FUSE_ACCUMULATE) != 0;
    walsh_channels on = walsh_channels_for(walsh_list_device(list), c->ic);
    walsh_launch launch = launch_of(c, &on, "col2im", rows);
    return WALSH_LAUNCH(list, launch, WALSH_TENSOR(columns), WALSH_TENSOR(x), WALSH_INT(rows), WALSH_INT(on.vectors),
                        WALSH_INT(on.each), WALSH_INT(c->h), WALSH_INT(c->w), WALSH_INT(walsh_conv_oh(c)),
                        WALSH_INT(walsh_conv_ow(c)), WALSH_INT(c->kh), WALSH_INT(c->kw), WALSH_INT(c->stride),
                        WALSH_INT(c->pad), WALSH_INT(x->shape.pitch), WALSH_INT(accumulate));
}
