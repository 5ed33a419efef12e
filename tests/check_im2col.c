/* im2col against a copy written as plainly, and col2im as its adjoint, both exactly. */
#include "tests/op_case.h"

#include "engine/op/im2col.h"

/* A convolution's input and columns, and what they should be; all padded, rows of pad(ic) channels. */
typedef struct im2col_case {
    walsh_conv conv;
    walsh_tensor *x, *columns;
    size_t row;  /* floats of a pixel of X, and of a tap of COLUMNS */
    size_t taps; /* of all pixels of Y */
    int *from;   /* [taps]: the pixel of X, -1 outside */
} im2col_case;

static size_t pixels_of(const im2col_case *k)
{
    return walsh_shape_rows(k->x->view.shape);
}

static void open_case(im2col_case *k, walsh_conv conv)
{
    const int oh = walsh_conv_oh(&conv), ow = walsh_conv_ow(&conv);
    *k = (im2col_case){.conv = conv, .row = (size_t)walsh_pad(conv.ic)};
    k->taps = (size_t)(conv.n * oh * ow * conv.kh * conv.kw);
    assert_ok(walsh_tensor_create(op_device(), conv.n, conv.h, conv.w, walsh_pad(conv.ic), &k->x));
    assert_ok(walsh_tensor_make(op_device(), walsh_im2col_shape(&conv), &k->columns));
    k->from = malloc(k->taps * sizeof *k->from);
    assert_non_null(k->from);
    size_t at = 0;
    for (int n = 0; n < conv.n; n++)
        for (int oy = 0; oy < oh; oy++)
            for (int ox = 0; ox < ow; ox++)
                for (int ky = 0; ky < conv.kh; ky++)
                    for (int kx = 0; kx < conv.kw; kx++) {
                        int y = oy * conv.stride + ky - conv.pad, x = ox * conv.stride + kx - conv.pad;
                        bool inside = y >= 0 && y < conv.h && x >= 0 && x < conv.w;
                        k->from[at++] = inside ? (n * conv.h + y) * conv.w + x : -1;
                    }
}

static void close_case(im2col_case *k)
{
    walsh_tensor_destroy(&k->x);
    walsh_tensor_destroy(&k->columns);
    free(k->from);
}

/* Small whole numbers, all sums of which are exact. */
static float *draw(size_t count, uint64_t seed)
{
    float *values = op_floats(count);
    for (size_t i = 0; i < count; i++) values[i] = (float)((i + seed) * 2654435761U % 127) - 63;
    return values;
}

static void run(const im2col_case *k, bool back)
{
    walsh_list *list = NULL;
    assert_ok(walsh_list_create(op_device(), &list));
    assert_ok(back ? walsh_col2im_emit(list, &k->conv, &k->columns->view, &k->x->view)
                   : walsh_im2col_emit(list, &k->conv, &k->x->view, &k->columns->view));
    assert_ok(walsh_list_run(list));
    walsh_list_destroy(&list);
}

static void copies(im2col_case *k)
{
    const size_t row = k->row;
    float *x = draw(pixels_of(k) * row, 1), *columns = draw(k->taps * row, 2), *want = op_floats(k->taps * row);
    for (size_t t = 0; t < k->taps; t++)
        for (size_t c = 0; k->from[t] >= 0 && c < row; c++) want[t * row + c] = x[(size_t)k->from[t] * row + c];
    assert_ok(walsh_tensor_upload(k->x, x));
    assert_ok(walsh_tensor_upload(k->columns, columns)); /* to be overwritten */
    run(k, false);
    assert_ok(walsh_tensor_download(k->columns, columns));
    assert_memory_equal(columns, want, k->taps * row * sizeof *want);
    free(x), free(columns), free(want);
}

static void sums_back(im2col_case *k)
{
    const size_t row = k->row, count = pixels_of(k) * row;
    float *x = draw(count, 3), *columns = draw(k->taps * row, 4), *want = op_floats(count);
    for (size_t i = 0; k->conv.fuse & WALSH_FUSE_ACCUMULATE && i < count; i++) want[i] = x[i];
    for (size_t t = 0; t < k->taps; t++)
        for (size_t c = 0; k->from[t] >= 0 && c < row; c++) want[(size_t)k->from[t] * row + c] += columns[t * row + c];
    assert_ok(walsh_tensor_upload(k->x, x));
    assert_ok(walsh_tensor_upload(k->columns, columns));
    run(k, true);
    assert_ok(walsh_tensor_download(k->x, x));
    for (size_t i = 0; i < count; i++) assert_true(x[i] == want[i]);
    free(x), free(columns), free(want);
}

/* A vector of 4, of 8 and of 16 channels, and several. */
static void to_and_fro(void **state)
{
    (void)state;
    static const walsh_conv cases[] = {
        {.n = 2, .h = 5, .w = 4, .ic = 3, .kh = 3, .kw = 3, .stride = 1, .pad = 1},
        {.n = 1, .h = 7, .w = 6, .ic = 8, .kh = 3, .kw = 2, .stride = 2, .pad = 1},
        {.n = 3, .h = 4, .w = 9, .ic = 16, .kh = 1, .kw = 3, .stride = 3, .pad = 2},
        {.n = 1, .h = 9, .w = 9, .ic = 20, .kh = 2, .kw = 2, .stride = 3, .pad = 0},
        {.n = 1, .h = 6, .w = 11, .ic = 96, .kh = 3, .kw = 3, .stride = 1, .pad = 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        im2col_case k;
        open_case(&k, cases[i]);
        copies(&k);
        sums_back(&k);
        k.conv.fuse = WALSH_FUSE_ACCUMULATE;
        sums_back(&k);
        close_case(&k);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(to_and_fro)};
    return cmocka_run_group_tests(tests, NULL, op_device_close);
}
