#include "engine/op/conv_groups.h"

/* A launch of one work-item for each of `lanes` channels of each row. */
static walsh_launch launch_of(const walsh_conv *c, const char *function, int lanes, size_t rows)
{
    walsh_launch launch = {.file = "conv_groups",
                           .function = function,
                           .global = {((size_t)walsh_pad(lanes) + 15) / 16 * 16, rows},
                           .local = {16, 1}};
    walsh_conv_cost(c, &launch.flops, &launch.bytes);
    return launch;
}

/* SIZES of the kernels. */
#define SIZES(c, x, w, y)                                                                                              \
    WALSH_INT((c)->n), WALSH_INT((c)->h), WALSH_INT((c)->w), WALSH_INT((c)->ic), WALSH_INT((y)->shape.h),              \
        WALSH_INT((y)->shape.w), WALSH_INT((c)->oc), WALSH_INT((c)->kh), WALSH_INT((c)->kw), WALSH_INT((c)->stride),   \
        WALSH_INT((c)->pad), WALSH_INT(walsh_conv_groups(c)), WALSH_INT((c)->shuffled), WALSH_INT((w)->shape.w),       \
        WALSH_INT((x)->shape.pitch), WALSH_INT((w)->shape.pitch), WALSH_INT((y)->shape.pitch)

walsh_status walsh_groups_forward(walsh_list *list, const walsh_conv *c, const walsh_view *operand)
{
    const walsh_view *x = &operand[WALSH_CONV_FORWARD_X], *w = &operand[WALSH_CONV_FORWARD_W];
    const walsh_view *y = &operand[WALSH_CONV_FORWARD_Y], *bias = &operand[WALSH_CONV_FORWARD_BIAS];
    walsh_launch launch = launch_of(c, "conv_groups_forward", c->oc, walsh_shape_rows(y->shape));
    return WALSH_LAUNCH(list, launch, WALSH_TENSOR(x), WALSH_TENSOR(w), WALSH_TENSOR(bias), WALSH_TENSOR(y),
                        WALSH_INT((c->fuse & WALSH_FUSE_BIAS) != 0), SIZES(c, x, w, y));
}

walsh_status walsh_groups_data(walsh_list *list, const walsh_conv *c, const walsh_view *operand)
{
    const walsh_view *x = &operand[WALSH_CONV_DATA_DX], *w = &operand[WALSH_CONV_DATA_W];
    const walsh_view *y = &operand[WALSH_CONV_DATA_DY];
    walsh_launch launch = launch_of(c, "conv_groups_data", c->ic, walsh_shape_rows(x->shape));
    return WALSH_LAUNCH(list, launch, WALSH_TENSOR(y), WALSH_TENSOR(w), WALSH_TENSOR(x),
                        WALSH_INT((c->fuse & WALSH_FUSE_ACCUMULATE) != 0), SIZES(c, x, w, y));
}

walsh_status walsh_groups_filter(walsh_list *list, const walsh_conv *c, const walsh_view *operand)
{
    const walsh_view *x = &operand[WALSH_CONV_FILTER_X], *w = &operand[WALSH_CONV_FILTER_DW];
    const walsh_view *y = &operand[WALSH_CONV_FILTER_DY];
    walsh_launch launch = launch_of(c, "conv_groups_filter", c->oc, walsh_shape_rows(w->shape));
    return WALSH_LAUNCH(list, launch, WALSH_TENSOR(x), WALSH_TENSOR(y), WALSH_TENSOR(w), SIZES(c, x, w, y));
}
