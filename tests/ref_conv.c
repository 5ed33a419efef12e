#include "tests/ref_conv.h"

#include <math.h>

#include "engine/base/rng.h"
#include "engine/op/batchnorm.h"
#include "tests/op_case.h"

size_t ref_conv_x(const walsh_conv *c)
{
    return (size_t)c->n * (size_t)c->h * (size_t)c->w * (size_t)c->ic;
}
size_t ref_conv_w(const walsh_conv *c)
{
    return (size_t)c->kh * (size_t)c->kw * (size_t)c->ic * (size_t)c->oc;
}
size_t ref_conv_y(const walsh_conv *c)
{
    return (size_t)c->n * (size_t)walsh_conv_oh(c) * (size_t)walsh_conv_ow(c) * (size_t)c->oc;
}

/* Calls `pair` with where the channels begin of every (input pixel, tap, output pixel) that meet. */
typedef void pair_function(const walsh_conv *c, const double *a, const double *b, double *out, size_t x, size_t w,
                           size_t y);

static void each_pair(const walsh_conv *c, pair_function *pair, const double *a, const double *b, double *out)
{
    int oh = walsh_conv_oh(c), ow = walsh_conv_ow(c);
    for (int n = 0; n < c->n; n++)
        for (int oy = 0; oy < oh; oy++)
            for (int ox = 0; ox < ow; ox++)
                for (int ky = 0; ky < c->kh; ky++)
                    for (int kx = 0; kx < c->kw; kx++) {
                        int iy = oy * c->stride + ky - c->pad, ix = ox * c->stride + kx - c->pad;
                        if (iy < 0 || iy >= c->h || ix < 0 || ix >= c->w) continue;
                        pair(c, a, b, out, (size_t)((n * c->h + iy) * c->w + ix) * (size_t)c->ic,
                             (size_t)(ky * c->kw + kx) * (size_t)c->ic * (size_t)c->oc,
                             (size_t)((n * oh + oy) * ow + ox) * (size_t)c->oc);
                    }
}

static void forward_pair(const walsh_conv *c, const double *xs, const double *ws, double *ys, size_t x, size_t w,
                         size_t y)
{
    for (int i = 0; i < c->ic; i++)
        for (int o = 0; o < c->oc; o++) ys[y + (size_t)o] += xs[x + (size_t)i] * ws[w + (size_t)(i * c->oc + o)];
}

static void data_pair(const walsh_conv *c, const double *dys, const double *ws, double *dxs, size_t x, size_t w,
                      size_t y)
{
    for (int i = 0; i < c->ic; i++)
        for (int o = 0; o < c->oc; o++) dxs[x + (size_t)i] += dys[y + (size_t)o] * ws[w + (size_t)(i * c->oc + o)];
}

static void filter_pair(const walsh_conv *c, const double *xs, const double *dys, double *dws, size_t x, size_t w,
                        size_t y)
{
    for (int i = 0; i < c->ic; i++)
        for (int o = 0; o < c->oc; o++) dws[w + (size_t)(i * c->oc + o)] += xs[x + (size_t)i] * dys[y + (size_t)o];
}

void ref_conv_forward(const walsh_conv *c, const double *x, const double *w, double *y)
{
    memset(y, 0, ref_conv_y(c) * sizeof *y);
    each_pair(c, forward_pair, x, w, y);
}

void ref_conv_data(const walsh_conv *c, const double *dy, const double *w, double *dx)
{
    memset(dx, 0, ref_conv_x(c) * sizeof *dx);
    each_pair(c, data_pair, dy, w, dx);
}

void ref_conv_filter(const walsh_conv *c, const double *x, const double *dy, double *dw)
{
    memset(dw, 0, ref_conv_w(c) * sizeof *dw);
    each_pair(c, filter_pair, x, dy, dw);
}

double *ref_conv_draw(size_t count, uint64_t seed)
{
    walsh_rng rng = {seed, 0};
    double *v = op_doubles(count);
    for (size_t i = 0; i < count; i++) v[i] = 2.0 * walsh_rng_uniform(rng, i) - 1;
    return v;
}

/* fuse, n, h, w, ic, oc, kh, kw, stride, pad, gate. What each is for, where it is not plain. */
static const walsh_conv cases[] = {
    {0, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0},
    {0, 1, 1, 1, 3, 5, 3, 3, 1, 1, 0},    /* eight of nine taps always outside */
    {0, 2, 32, 32, 3, 16, 3, 3, 1, 1, 0}, /* ResNet-20 */
    {0, 2, 32, 32, 16, 16, 3, 3, 1, 1, 0},
    {0, 2, 32, 32, 16, 32, 3, 3, 2, 1, 0},
    {0, 2, 32, 32, 16, 32, 1, 1, 2, 0, 0},
    {0, 3, 16, 16, 32, 32, 3, 3, 1, 1, 0},
    {0, 5, 8, 8, 64, 64, 3, 3, 1, 1, 0},
    {0, 1, 20, 23, 3, 64, 7, 7, 2, 3, 0}, /* ImageNet's first */
    {0, 2, 9, 5, 4, 18, 3, 3, 1, 1, 0},
    {0, 3, 7, 11, 5, 30, 3, 3, 2, 1, 0},
    {0, 1, 13, 8, 18, 5, 5, 5, 1, 2, 0},
    {0, 2, 6, 9, 30, 3, 2, 2, 2, 0, 0},
    {0, 2, 7, 7, 18, 30, 2, 2, 1, 1, 0},  /* even filter, output larger than input */
    {0, 1, 10, 10, 16, 4, 3, 3, 3, 0, 0}, /* the last row and column of the input unused */
    {0, 2, 11, 8, 5, 16, 3, 3, 3, 2, 0},
    {0, 1, 9, 9, 4, 12, 2, 2, 3, 0, 0},   /* stride beyond the filter: pixels without any tap */
    {0, 1, 5, 5, 1, 1, 5, 5, 1, 0, 0},    /* one output pixel */
    {0, 3, 1, 17, 16, 18, 1, 3, 1, 0, 0}, /* one row, flat filter */
    {0, 2, 19, 1, 18, 16, 3, 1, 2, 0, 0},
    {0, 2, 4, 4, 3, 1, 3, 3, 1, 3, 0}, /* padding beyond the filter: outputs without any tap */
    {0, 7, 3, 3, 64, 30, 1, 1, 1, 0, 0},
    {0, 1, 4, 6, 130, 70, 3, 3, 1, 1, 0},  /* channels beyond any tile */
    {0, 1, 131, 80, 64, 5, 3, 3, 1, 1, 0}, /* groups of rows that divide nothing, and are cut for the cache */
    {0, 1, 3, 3, 256, 520, 3, 3, 1, 1, 0}, /* so many weights that one group of partial sums is the limit */
    {0, 2, 37, 31, 4, 6, 3, 3, 1, 1, 0},   /* groups of lines for batch norm that span two images */
    {0, 1, 14, 14, 256, 8, 3, 3, 1, 1, 0}, /* too much input to be staged at once */
    {0, 2, 14, 14, 8, 256, 3, 3, 1, 1, 0},
    {0, 1, 4, 300, 64, 64, 3, 3, 1, 1, 0}, /* not even a line of it can be */
    {0, 2, 9, 13, 64, 24, 1, 1, 3, 0, 0},
    {0, 67, 32, 32, 1, 2, 8, 8, 1, 4, 0},  /* columns of 76 MiB: more than one slice of images, the last one smaller */
    {0, 131, 64, 64, 3, 4, 1, 1, 1, 0, 0}, /* a product that CLBlast wants larger copies for than a slice may have */
};

enum { X, W, Y, TENSORS };
static const char *const names[TENSORS][2] = {{"x", "dx"}, {"w", "dw"}, {"y", "dy"}};

/* Operands of all three operations that have them; OUTPUT is one of X, W, Y. */
enum { OUTPUT = 2, SAVED = 3, PARTIAL = 4 };

/* Which of X, W, Y (or its gradient) an operand is. */
static int tensor_of(const walsh_op *op, int operand)
{
    for (int t = 0; t < TENSORS; t++)
        for (int g = 0; g < 2; g++)
            if (!strcmp(op->operands[operand].name, names[t][g])) return t;
    fail_msg("%s: operand %s is none of a convolution's", op->name, op->operands[operand].name);
    return TENSORS;
}

/* What op should give, from the inputs among value[]: written to the one that is its output. */
static void reference(const walsh_op *op, const walsh_conv *c, double *const value[TENSORS])
{
    if (op == &walsh_conv_forward) ref_conv_forward(c, value[X], value[W], value[Y]);
    if (op == &walsh_conv_data) ref_conv_data(c, value[Y], value[W], value[X]);
    if (op == &walsh_conv_filter) ref_conv_filter(c, value[X], value[Y], value[W]);
}

/* Elements of an operand as the device has it: rows of zeros stand in W for the pad lanes of ic. */
static double *padded_rows(const op_case *k, const walsh_conv *c, int operand, const double *dense)
{
    double *out = op_doubles(op_case_count(k, operand));
    size_t taps = 1, row = op_case_count(k, operand), padded = row;
    if (tensor_of(k->op, operand) == W) {
        taps = (size_t)(c->kh * c->kw);
        row = (size_t)c->ic * (size_t)c->oc;
        padded = (size_t)walsh_pad(c->ic) * (size_t)c->oc;
    }
    for (size_t t = 0; t < taps; t++) memcpy(out + t * padded, dense + t * row, row * sizeof *out);
    return out;
}

static void set(op_case *k, const walsh_conv *c, int operand, const double *dense)
{
    double *wide = padded_rows(k, c, operand, dense);
    size_t count = op_case_count(k, operand);
    float *narrow = op_floats(count);
    for (size_t i = 0; i < count; i++) narrow[i] = (float)wide[i];
    op_case_set(k, operand, narrow);
    free(wide), free(narrow);
}

/* Inputs are floats, so only the arithmetic differs. In a sum of K terms of unit size, one after the other, the k-th
 * rounding is of a sum of about sqrt(k): its error is about 2^-25 sqrt(k), and all of them make 2^-25 K / sqrt(2); of
 * many outputs the largest is about 4 sqrt(K) and the largest error 4 to 5 times the usual. So: 2^-25 sqrt(K), tripled.
 */
static double tolerance(const walsh_op *op, const walsh_conv *c)
{
    const double affine = c->fuse & WALSH_FUSE_AFFINE ? 9e-8 : 0; /* each term's own */
    double terms = (double)c->kh * c->kw * (op == &walsh_conv_data ? c->oc : c->ic);
    if (op == &walsh_conv_filter) terms = (double)c->n * walsh_conv_oh(c) * walsh_conv_ow(c);
    return 9e-8 * sqrt(terms) + affine;
}

static void compare(op_case *k, const walsh_conv *c, const walsh_variant *variant, int operand, const double *dense)
{
    size_t count = op_case_count(k, operand);
    double *want = padded_rows(k, c, operand, dense);
    float *got = op_floats(count);
    op_case_get(k, operand, got);
    double error = op_error(got, want, count);
    if (!(error < tolerance(k->op, c)))
        fail_msg("%s: %dx%dx%dx%d->%d, filter %dx%d, stride %d, pad %d, extras %u: error %g", variant->name, c->n, c->h,
                 c->w, c->ic, c->oc, c->kh, c->kw, c->stride, c->pad, c->fuse, error);
    free(want), free(got);
}

/* Draws SAVED, of which the rows scale and shift are used and no other, and applies them to x. */
static void affine(op_case *k, const walsh_conv *c, double *x)
{
    size_t ic = (size_t)c->ic, count = ref_conv_x(c);
    double *draw = ref_conv_draw(2 * ic, 4);
    float *saved = op_floats(WALSH_BN_SAVED_ROWS * ic);
    for (size_t i = 0; i < WALSH_BN_SCALE * ic; i++) saved[i] = NAN;
    for (size_t i = 0; i < 2 * ic; i++) saved[WALSH_BN_SCALE * ic + i] = (float)draw[i];
    op_case_set(k, SAVED, saved);
    for (size_t i = 0; i < count; i++) x[i] = fmax(draw[i % ic] * x[i] + draw[ic + i % ic], 0);
    free(draw), free(saved);
}

/* PARTIAL against the moments of each group of Y as the device has it. */
static void compare_partial(op_case *k, const walsh_conv *c, const walsh_variant *variant)
{
    int oh = walsh_conv_oh(c), ow = walsh_conv_ow(c);
    size_t oc = (size_t)c->oc, rows = (size_t)c->n * (size_t)oh * (size_t)ow;
    size_t each = (size_t)walsh_bn_group_rows(c->n, oh, ow);
    float *y = op_floats(op_case_count(k, OUTPUT)), *partial = op_floats(op_case_count(k, PARTIAL));
    op_case_get(k, OUTPUT, y);
    op_case_get(k, PARTIAL, partial);
    for (size_t first = 0; first < rows; first += each) {
        const float *group = partial + first / each * 2 * oc;
        size_t end = first + each < rows ? first + each : rows;
        for (size_t o = 0; o < oc; o++) {
            double sum = 0, squares = 0, largest = 0;
            for (size_t r = first; r < end; r++) sum += y[r * oc + o], largest = fmax(largest, fabs(y[r * oc + o]));
            double mean = sum / (double)(end - first);
            for (size_t r = first; r < end; r++) squares += (y[r * oc + o] - mean) * (y[r * oc + o] - mean);
            if (!(fabs(group[o] - mean) <= 3e-7 * largest) || !(fabs(group[oc + o] - squares) <= 3e-6 * squares))
                fail_msg("%s: %dx%dx%d, channel %zu, rows %zu to %zu: mean %g and squares %g, expected %g and %g",
                         variant->name, c->n, oh, ow, o, first, end, group[o], group[oc + o], mean, squares);
        }
    }
    free(y), free(partial);
}

/* Whether a variant is to be tried on this problem. */
static bool applies(const op_case *k, const walsh_variant *variant, const walsh_conv *c)
{
    return !(c->fuse & ~variant->fuses) && variant->suits(k->device, c);
}

static void run_and_compare(op_case *k, const walsh_conv *c, const walsh_variant *variant, const double *before,
                            const double *want)
{
    op_case_poison(k, OUTPUT);
    if (c->fuse & WALSH_FUSE_ACCUMULATE) set(k, c, OUTPUT, before);
    if (c->fuse & WALSH_FUSE_STATS) op_case_poison(k, PARTIAL);
    op_case_run(k, variant);
    compare(k, c, variant, OUTPUT, want);
    if (c->fuse & WALSH_FUSE_STATS) compare_partial(k, c, variant);
}

/* Returns the number of variants that were tried. */
static int check_one(const walsh_op *op, walsh_conv c, int extra_pitch)
{
    op_case k;
    int tried = 0;
    op_case_open(&k, op, &c, extra_pitch);
    for (const walsh_variant *const *v = op->variants; *v; v++) tried += applies(&k, *v, &c);
    double *value[TENSORS] = {ref_conv_draw(ref_conv_x(&c), 1), ref_conv_draw(ref_conv_w(&c), 2),
                              ref_conv_draw(ref_conv_y(&c), 3)};
    int out = tensor_of(op, OUTPUT);
    size_t count = out == X ? ref_conv_x(&c) : out == W ? ref_conv_w(&c) : ref_conv_y(&c);
    double *before = op_doubles(count);
    if (c.fuse & WALSH_FUSE_ACCUMULATE) memcpy(before, value[out], count * sizeof *before);
    for (int i = 0; i < OUTPUT; i++) set(&k, &c, i, value[tensor_of(op, i)]);
    if (c.fuse & WALSH_FUSE_AFFINE) affine(&k, &c, value[X]);
    if (tried) reference(op, &c, value);
    for (size_t i = 0; i < count; i++) value[out][i] += before[i];
    for (const walsh_variant *const *v = op->variants; *v; v++)
        if (applies(&k, *v, &c)) run_and_compare(&k, &c, *v, before, value[out]);
    for (int t = 0; t < TENSORS; t++) free(value[t]);
    free(before);
    op_case_close(&k);
    return tried;
}

static void check_all(const walsh_op *op, unsigned fuse, bool must)
{
    int tried = 0;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        for (int extra = 0; extra <= 12; extra += 12) {
            walsh_conv c = cases[i];
            c.fuse = fuse;
            tried += check_one(op, c, extra);
        }
    if (must && !tried) fail_msg("no variant of %s takes the extras %u", op->name, fuse);
}

void ref_conv_check(const walsh_op *op, unsigned extras)
{
    for (unsigned fuse = 0; fuse <= extras; fuse++)
        if (!(fuse & ~extras)) check_all(op, fuse, op_device()->tiles != WALSH_TILES_GPU);
}

void ref_conv_check_nan(const walsh_op *op)
{
    const walsh_conv c = {WALSH_FUSE_AFFINE, 1, 6, 7, 16, 16, 3, 3, 1, 1, 0};
    op_case k;
    op_case_open(&k, op, &c, 0);
    size_t nx = op_case_count(&k, 0), n1 = op_case_count(&k, 1), count = op_case_count(&k, OUTPUT);
    float *x = op_floats(nx), *other = op_floats(n1), *saved = op_floats(4 * 16), *out = op_floats(count);
    x[(2 * 7 + 3) * 16 + 5] = NAN; /* pixel (2, 3), channel 5 */
    op_case_set(&k, 0, x);
    op_case_random(&k, 1, 6, other);
    op_case_random(&k, SAVED, 7, saved);
    for (const walsh_variant *const *v = op->variants; *v; v++) {
        if (!applies(&k, *v, &c)) continue;
        op_case_run(&k, *v);
        op_case_get(&k, OUTPUT, out);
        for (size_t i = 0; i < count; i++) {
            int y = (int)(i / 16) / 7, px = (int)(i / 16) % 7;
            bool concerned = op == &walsh_conv_forward ? abs(y - 2) <= 1 && abs(px - 3) <= 1 : i / 16 % 16 == 5;
            assert_int_equal(isnan(out[i]) != 0, concerned);
        }
    }
    free(x), free(other), free(saved), free(out);
    op_case_close(&k);
}

/* All that the variant writes, with the extras that it has, on a device of `threads` compute units (0: all). */
static float *run_on(const walsh_op *op, const walsh_variant *variant, walsh_conv c, unsigned threads, size_t *count)
{
    op_case k;
    walsh_device_options options = {.threads = threads};
    walsh_device *device = NULL;
    c.fuse = variant->fuses;
    assert_ok(walsh_device_open(&options, &device));
    op_case_open_on(&k, device, op, &c, 0);
    size_t partial = k.tensor[PARTIAL] ? op_case_count(&k, PARTIAL) : 0;
    *count = op_case_count(&k, OUTPUT) + partial;
    for (int i = 0; i < WALSH_MAX_OPERANDS; i++) {
        if (!k.tensor[i]) continue;
        float *draw = op_floats(op_case_count(&k, i));
        op_case_random(&k, i, 4 + (uint64_t)i, draw);
        free(draw);
    }
    float *out = op_floats(*count);
    op_case_run(&k, variant);
    op_case_get(&k, OUTPUT, out);
    if (partial) op_case_get(&k, PARTIAL, out + (*count - partial));
    op_case_close(&k);
    walsh_device_close(&device);
    return out;
}

void ref_conv_check_threads(const walsh_op *op)
{
    static const walsh_conv many[] = {{0, 16, 16, 16, 16, 32, 3, 3, 1, 1, 0}, {0, 9, 15, 15, 12, 20, 3, 3, 2, 1, 0}};
    if (op_device()->info.kind != WALSH_DEVICE_CPU || op_device()->info.compute_units < 2) skip();
    for (size_t i = 0; i < sizeof many / sizeof many[0]; i++)
        for (const walsh_variant *const *v = op->variants; *v; v++) {
            size_t count;
            if (!(*v)->suits(op_device(), &many[i])) continue;
            float *one = run_on(op, *v, many[i], 1, &count), *all = run_on(op, *v, many[i], 0, &count);
            assert_memory_equal(one, all, count * sizeof *one);
            free(one), free(all);
        }
}

/* x, w and dy at random, and the gradient of one of the first two. */
typedef struct proof {
    walsh_conv c;
    size_t ny, count; /* elements of y, and of the operand that the gradient is of */
    double *x, *w, *dy, *y, *gradient;
    double *operand; /* x or w */
} proof;

static proof proof_open(walsh_conv c, ref_conv_operand of, uint64_t seed)
{
    proof p = {.c = c, .ny = ref_conv_y(&c), .count = of == REF_CONV_X ? ref_conv_x(&c) : ref_conv_w(&c)};
    p.x = ref_conv_draw(ref_conv_x(&c), seed), p.w = ref_conv_draw(ref_conv_w(&c), seed + 1);
    p.dy = ref_conv_draw(p.ny, seed + 2), p.y = op_doubles(p.ny), p.gradient = op_doubles(p.count);
    p.operand = of == REF_CONV_X ? p.x : p.w;
    if (of == REF_CONV_X)
        ref_conv_data(&c, p.dy, p.w, p.gradient);
    else
        ref_conv_filter(&c, p.x, p.dy, p.gradient);
    return p;
}

static void proof_close(proof *p)
{
    free(p->x), free(p->w), free(p->dy), free(p->y), free(p->gradient);
}

void ref_conv_prove_differences(ref_conv_operand of)
{
    const walsh_conv c = {.n = 2, .h = 6, .w = 5, .ic = 3, .oc = 2, .kh = 3, .kw = 2, .stride = 2, .pad = 1};
    proof p = proof_open(c, of, 1);
    for (size_t i = 0; i < p.count; i++) {
        double difference = 0;
        for (int side = -1; side <= 1; side += 2) {
            p.operand[i] += 0.5 * side;
            ref_conv_forward(&c, p.x, p.w, p.y);
            p.operand[i] -= 0.5 * side;
            for (size_t k = 0; k < p.ny; k++) difference += side * p.y[k] * p.dy[k];
        }
        assert_true(fabs(p.gradient[i] - difference) < 1e-12);
    }
    proof_close(&p);
}

void ref_conv_prove_adjoint(ref_conv_operand of)
{
    const walsh_conv c = {.n = 3, .h = 9, .w = 7, .ic = 5, .oc = 6, .kh = 2, .kw = 3, .stride = 3, .pad = 2};
    proof p = proof_open(c, of, 4);
    double left = 0, right = 0;
    ref_conv_forward(&c, p.x, p.w, p.y);
    for (size_t i = 0; i < p.ny; i++) left += p.y[i] * p.dy[i];
    for (size_t i = 0; i < p.count; i++) right += p.operand[i] * p.gradient[i];
    assert_true(fabs(left) > 1e-3);
    assert_true(fabs(left - right) < 1e-12 * fabs(left) * (double)p.ny);
    proof_close(&p);
}
