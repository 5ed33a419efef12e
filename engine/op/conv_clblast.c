#include "engine/op/conv_clblast.h"

#include "engine/op/gemm_clblast.h"
#include "engine/op/im2col.h"

/* Bytes of workspace that a slice of several images may take; one image takes what it must. */
static const size_t workspace_limit = (size_t)64 << 20;

enum { TINY = 64 * 64 * 64 }; /* multiply-adds: below, the launches cost more than the product */

typedef enum direction { FORWARD, DATA, FILTER } direction;

/* Where a direction's operands have X, W and Y, or their gradients. */
static const struct {
    int x, w, y;
} places[] = {
    [FORWARD] = {WALSH_CONV_FORWARD_X, WALSH_CONV_FORWARD_W, WALSH_CONV_FORWARD_Y},
    [DATA] = {WALSH_CONV_DATA_DX, WALSH_CONV_DATA_W, WALSH_CONV_DATA_DY},
    [FILTER] = {WALSH_CONV_FILTER_X, WALSH_CONV_FILTER_DW, WALSH_CONV_FILTER_DY},
};

/* X itself is the matrix of columns. */
static bool is_product(const walsh_conv *c)
{
    return c->kh == 1 && c->kw == 1 && c->stride == 1 && c->pad == 0;
}

/* With COLUMNS [pixels][in], W [in][out] and Y [pixels][out]: Y = COLUMNS W, or COLUMNS = Y W^T, or W = COLUMNS^T Y.
 * Sizes are padded ones: pad lanes and pad rows are zero on one side at least, and so come out zero. */
static walsh_gemm_problem product(const walsh_conv *c, direction d)
{
    walsh_shape columns = walsh_im2col_shape(c);
    int pixels = columns.n, in = columns.c, out = walsh_pad(c->oc);
    if (d == FORWARD) return (walsh_gemm_problem){.m = pixels, .n = out, .k = in};
    if (d == DATA) return (walsh_gemm_problem){.m = pixels, .n = in, .k = out, .tb = 1};
    return (walsh_gemm_problem){.m = in, .n = out, .k = pixels, .ta = 1};
}

static size_t columns_bytes(const walsh_conv *c)
{
    return is_product(c) ? 0 : walsh_shape_bytes(walsh_im2col_shape(c));
}

static size_t slice_bytes(const walsh_device *device, const walsh_conv *slice, direction d)
{
    walsh_gemm_problem p = product(slice, d);
    return columns_bytes(slice) + walsh_gemm_clblast.workspace(device, &p);
}

/* The problem of one slice, the last one excepted: n is halved until its workspace is within the limit. */
static walsh_conv slice_of(const walsh_device *device, const walsh_conv *c, direction d)
{
    walsh_conv slice = *c;
    while (slice.n > 1 && slice_bytes(device, &slice, d) > workspace_limit) slice.n = (slice.n + 1) / 2;
    return slice;
}

/* The slice's images of a batch, from image `first` on. */
static walsh_view images_of(const walsh_view *batch, int first, int images)
{
    walsh_view v = *batch;
    v.offset += (size_t)first * (size_t)v.shape.h * (size_t)v.shape.w * (size_t)v.shape.pitch;
    v.shape.n = images;
    return v;
}

static walsh_status emit_slice(walsh_list *list, const walsh_conv *slice, direction d, bool accumulate,
                               const walsh_view *x, const walsh_view *w, const walsh_view *y,
                               const walsh_view *workspace)
{
    walsh_view columns = *workspace, rest = *workspace;
    columns.shape = walsh_im2col_shape(slice);
    rest.offset += columns_bytes(slice) / sizeof(float);
    const walsh_view *const matrix = is_product(slice) ? x : &columns;
    walsh_gemm_problem p = product(slice, d);
    if (accumulate) p.fuse = WALSH_FUSE_ACCUMULATE;
    walsh_view operand[WALSH_GEMM_OPERANDS] = {[WALSH_GEMM_A] = d == DATA ? *y : *matrix,
                                               [WALSH_GEMM_B] = d == FILTER ? *y : *w,
                                               [WALSH_GEMM_C] = d == FORWARD ? *y
                                                                : d == DATA  ? *matrix
                                                                             : *w};
    if (matrix == &columns && d != DATA) WALSH_TRY(walsh_im2col_emit(list, slice, x, &columns));
    WALSH_TRY(walsh_gemm_clblast.emit(list, &p, operand, &rest));
    return matrix == &columns && d == DATA ? walsh_col2im_emit(list, slice, &columns, x) : WALSH_OK;
}

static walsh_status emit(walsh_list *list, const walsh_conv *c, direction d, const walsh_view *operand,
                         const walsh_view *workspace)
{
    walsh_conv slice = slice_of(walsh_list_device(list), c, d);
    for (int first = 0, images = slice.n; first < c->n; first += images) {
        slice.n = c->n - first < images ? c->n - first : images;
        const walsh_view x = images_of(&operand[places[d].x], first, slice.n);
        const walsh_view y = images_of(&operand[places[d].y], first, slice.n);
        /* dX: col2im adds, or the product where there is none. dW: the sum over slices, in their order. */
        bool accumulate = d == FILTER ? first > 0 : is_product(c) && (c->fuse & WALSH_FUSE_ACCUMULATE);
        WALSH_TRY(emit_slice(list, &slice, d, accumulate, &x, &operand[places[d].w], &y, workspace));
    }
    return WALSH_OK;
}

/* Not where one image makes more rows than a kernel counts. On CPUs below every other variant. */
static int suits(const walsh_device *device, const void *problem)
{
    const walsh_conv *c = problem;
    double flops, bytes, rows = (double)walsh_conv_oh(c) * walsh_conv_ow(c) * c->kh * c->kw;
    walsh_conv_cost(c, &flops, &bytes);
    if (rows > 1 << 30 || !walsh_conv_is_common(c)) return 0;
    return walsh_tiles_are_gpu(device->tiles) && flops > 2.0 * TINY ? 3 : 1;
}

static size_t forward_workspace(const walsh_device *device, const void *problem)
{
    walsh_conv slice = slice_of(device, problem, FORWARD);
    return slice_bytes(device, &slice, FORWARD);
}

static size_t data_workspace(const walsh_device *device, const void *problem)
{
    walsh_conv slice = slice_of(device, problem, DATA);
    return slice_bytes(device, &slice, DATA);
}

static size_t filter_workspace(const walsh_device *device, const void *problem)
{
    walsh_conv slice = slice_of(device, problem, FILTER);
    return slice_bytes(device, &slice, FILTER);
}

static walsh_status forward_emit(walsh_list *list, const void *problem, const walsh_view *operand,
                                 const walsh_view *workspace)
{
    return emit(list, problem, FORWARD, operand, workspace);
}

static walsh_status data_emit(walsh_list *list, const void *problem, const walsh_view *operand,
                              const walsh_view *workspace)
{
    return emit(list, problem, DATA, operand, workspace);
}

static walsh_status filter_emit(walsh_list *list, const void *problem, const walsh_view *operand,
                                const walsh_view *workspace)
{
    return emit(list, problem, FILTER, operand, workspace);
}

const walsh_variant walsh_conv_forward_clblast = {.name = "conv_forward_clblast",
                                                  .suits = suits,
                                                  .workspace = forward_workspace,
                                                  .emit = forward_emit,
                                                  .starts_slowly = true};

const walsh_variant walsh_conv_data_clblast = {.name = "conv_data_clblast",
                                               .fuses = WALSH_FUSE_ACCUMULATE,
                                               .suits = suits,
                                               .workspace = data_workspace,
                                               .emit = data_emit,
                                               .starts_slowly = true};

const walsh_variant walsh_conv_filter_clblast = {.name = "conv_filter_clblast",
                                                 .suits = suits,
                                                 .workspace = filter_workspace,
                                                 .emit = filter_emit,
                                                 .starts_slowly = true};
