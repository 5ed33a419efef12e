#include "engine/op/conv.h"

#include <limits.h>

#include "engine/op/batchnorm.h"

int walsh_conv_oh(const walsh_conv *c)
{
    return (c->h + 2 * c->pad - c->kh) / c->stride + 1;
}
int walsh_conv_ow(const walsh_conv *c)
{
    return (c->w + 2 * c->pad - c->kw) / c->stride + 1;
}

int walsh_conv_groups(const walsh_conv *c)
{
    return c->groups > 1 ? c->groups : 1;
}
bool walsh_conv_is_depthwise(const walsh_conv *c)
{
    return c->groups > 1 && c->groups == c->ic && c->groups == c->oc;
}
bool walsh_conv_is_common(const walsh_conv *c)
{
    return c->groups <= 1 && !c->linear && c->gate != WALSH_GATE_OPEN;
}

walsh_status walsh_conv_shapes(const walsh_conv *c, walsh_shape *x, walsh_shape *w, walsh_shape *y)
{
    if (c->n < 1 || c->h < 1 || c->w < 1 || c->ic < 1 || c->oc < 1 || c->kh < 1 || c->kw < 1 || c->stride < 1)
        WALSH_FAIL(WALSH_E_ARGUMENT, "convolution: every size and the stride must be at least 1");
    if (c->pad < 0) WALSH_FAIL(WALSH_E_ARGUMENT, "convolution: the padding must not be negative, and is %d", c->pad);
    if (c->gate < WALSH_GATE_COMPUTED || c->gate > WALSH_GATE_SCALED)
        WALSH_FAIL(WALSH_E_ARGUMENT, "convolution: the gate must be 0 to 3, and is %d", c->gate);
    int groups = walsh_conv_groups(c);
    if (c->groups < 0 || c->ic % groups || c->oc % groups)
        WALSH_FAIL(WALSH_E_ARGUMENT, "convolution: %d groups do not divide %d input and %d output channels", c->groups,
                   c->ic, c->oc);
    if (c->fuse & WALSH_FUSE_NORMALISE && c->fuse & WALSH_FUSE_STATS)
        WALSH_FAIL(WALSH_E_ARGUMENT, "convolution: statistics of a normalised output were asked for");
    if (c->h + 2 * c->pad < c->kh || c->w + 2 * c->pad < c->kw)
        WALSH_FAIL(WALSH_E_ARGUMENT, "convolution: a filter of %dx%d does not fit an input of %dx%d padded by %d",
                   c->kh, c->kw, c->h, c->w, c->pad);
    *x = walsh_shape_nhwc(c->n, c->h, c->w, c->ic);
    *w = walsh_shape_nhwc(c->kh, c->kw, walsh_conv_is_depthwise(c) ? 1 : walsh_pad(c->ic / groups), c->oc);
    *y = walsh_shape_nhwc(c->n, walsh_conv_oh(c), walsh_conv_ow(c), c->oc);
    /* Kernels count pixels in an int, with room for a tile more. */
    if (walsh_shape_rows(*x) > INT_MAX / 2 || walsh_shape_rows(*y) > INT_MAX / 2)
        WALSH_FAIL(WALSH_E_ARGUMENT, "convolution: %d images of %dx%d are more pixels than 2^30", c->n, c->h, c->w);
    return WALSH_OK;
}

walsh_shape walsh_conv_saved_shape(const walsh_conv *c)
{
    unsigned needing = WALSH_FUSE_AFFINE | WALSH_FUSE_NORM_SUMS;
    return c->fuse & needing ? walsh_shape_matrix(WALSH_BN_SAVED_ROWS, c->ic) : walsh_shape_absent;
}

walsh_shape walsh_conv_y_saved_shape(const walsh_conv *c)
{
    return c->fuse & WALSH_FUSE_NORMALISE ? walsh_shape_matrix(WALSH_BN_SAVED_ROWS, c->oc) : walsh_shape_absent;
}

walsh_shape walsh_conv_factors_shape(const walsh_conv *c)
{
    return c->fuse & WALSH_FUSE_NORM_GRADIENT ? walsh_shape_matrix(WALSH_BN_FACTOR_ROWS, c->oc) : walsh_shape_absent;
}

walsh_shape walsh_conv_partial_shape(const walsh_conv *c)
{
    const walsh_bn output = {.n = c->n, .h = walsh_conv_oh(c), .w = walsh_conv_ow(c), .c = c->oc};
    const walsh_bn input = {.n = c->n, .h = c->h, .w = c->w, .c = c->ic};
    if (c->fuse & WALSH_FUSE_STATS) return walsh_bn_partial_shape(&output);
    return c->fuse & WALSH_FUSE_NORM_SUMS ? walsh_bn_partial_shape(&input) : walsh_shape_absent;
}

void walsh_conv_cost(const void *problem, double *flops, double *bytes)
{
    const walsh_conv *c = problem;
    double x = (double)c->n * c->h * c->w * c->ic, w = (double)c->kh * c->kw * c->ic * c->oc / walsh_conv_groups(c);
    double pixels = (double)c->n * walsh_conv_oh(c) * walsh_conv_ow(c), y = pixels * c->oc;
    *flops = 2 * pixels * w;
    *bytes = 4 * (x + w + y);
    if (c->fuse & WALSH_FUSE_NORM_GRADIENT) *bytes += 4 * y;
    if (c->fuse & WALSH_FUSE_NORM_SUMS) *bytes += 4 * x * (c->gate == WALSH_GATE_STORED ? 2 : 1);
    if (c->fuse & WALSH_FUSE_NORMALISE && c->add) *bytes += 4 * y;
}
