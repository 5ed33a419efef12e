#include "tests/conv_case.h"

#include <math.h>

#include "engine/op/batchnorm.h"
#include "engine/op/conv_winograd.h"
#include "tests/conv_extras.h"

typedef struct sizes {
    int n, h, w, ic, oc, kh, kw, stride, pad, groups, shuffled;
} sizes;

static walsh_conv conv_of(const sizes *s, unsigned fuse)
{
    return (walsh_conv){.fuse = fuse,
                        .n = s->n,
                        .h = s->h,
                        .w = s->w,
                        .ic = s->ic,
                        .oc = s->oc,
                        .kh = s->kh,
                        .kw = s->kw,
                        .stride = s->stride,
                        .pad = s->pad,
                        .groups = s->groups,
                        .shuffled = s->shuffled};
}

/* What each is for, where it is not plain. */
#define ONE_GROUP 0, 0
static const sizes cases[] = {
    {1, 1, 1, 1, 1, 1, 1, 1, 0, ONE_GROUP},
    {1, 1, 1, 3, 5, 3, 3, 1, 1, ONE_GROUP},    /* eight of nine taps always outside */
    {2, 32, 32, 3, 16, 3, 3, 1, 1, ONE_GROUP}, /* ResNet-20 */
    {2, 32, 32, 16, 16, 3, 3, 1, 1, ONE_GROUP},
    {2, 32, 32, 16, 32, 3, 3, 2, 1, ONE_GROUP},
    {2, 32, 32, 16, 32, 1, 1, 2, 0, ONE_GROUP},
    {3, 16, 16, 32, 32, 3, 3, 1, 1, ONE_GROUP},
    {5, 8, 8, 64, 64, 3, 3, 1, 1, ONE_GROUP},
    {1, 20, 23, 3, 64, 7, 7, 2, 3, ONE_GROUP}, /* ImageNet's first */
    {2, 9, 5, 4, 18, 3, 3, 1, 1, ONE_GROUP},
    {3, 7, 11, 5, 30, 3, 3, 2, 1, ONE_GROUP},
    {1, 13, 8, 18, 5, 5, 5, 1, 2, ONE_GROUP},
    {2, 6, 9, 30, 3, 2, 2, 2, 0, ONE_GROUP},
    {2, 7, 7, 18, 30, 2, 2, 1, 1, ONE_GROUP},  /* even filter, output larger than input */
    {1, 10, 10, 16, 4, 3, 3, 3, 0, ONE_GROUP}, /* the last row and column of the input unused */
    {2, 11, 8, 5, 16, 3, 3, 3, 2, ONE_GROUP},
    {1, 9, 9, 4, 12, 2, 2, 3, 0, ONE_GROUP},   /* stride beyond the filter: pixels without any tap */
    {1, 5, 5, 1, 1, 5, 5, 1, 0, ONE_GROUP},    /* one output pixel */
    {3, 1, 17, 16, 18, 1, 3, 1, 0, ONE_GROUP}, /* one row, flat filter */
    {2, 19, 1, 18, 16, 3, 1, 2, 0, ONE_GROUP},
    {2, 4, 4, 3, 1, 3, 3, 1, 3, ONE_GROUP}, /* padding beyond the filter: outputs without any tap */
    {7, 3, 3, 64, 30, 1, 1, 1, 0, ONE_GROUP},
    {1, 4, 6, 130, 70, 3, 3, 1, 1, ONE_GROUP},  /* channels beyond any tile */
    {1, 131, 80, 64, 5, 3, 3, 1, 1, ONE_GROUP}, /* groups of rows that divide nothing, and are cut for the cache */
    {1, 3, 3, 256, 520, 3, 3, 1, 1, ONE_GROUP}, /* so many weights that one group of partial sums is the limit */
    {2, 37, 31, 4, 6, 3, 3, 1, 1, ONE_GROUP},   /* groups of lines for batch norm that span two images */
    {1, 14, 14, 260, 8, 3, 3, 1, 1, ONE_GROUP}, /* slices of channels that are not alike */
    {2, 14, 14, 8, 256, 3, 3, 1, 1, ONE_GROUP},
    {1, 4, 300, 64, 64, 3, 3, 1, 1, ONE_GROUP}, /* a line of it is staged in slices alone */
    {2, 5, 77, 12, 20, 3, 3, 1, 2, ONE_GROUP},  /* tiles of 2x2 that stand out on both sides, of a part of a line */
    {2, 9, 13, 64, 24, 1, 1, 3, 0, ONE_GROUP},
    {3, 15, 13, 32, 20, 3, 3, 1, 1, ONE_GROUP}, /* tiles of 4x4 that stand out on both sides, in groups of images */
    {2, 9, 10, 16, 24, 3, 3, 1, 0, ONE_GROUP},
    {1, 6, 7, 48, 16, 3, 3, 1, 2, ONE_GROUP},
    {33, 7, 7, 352, 16, 3, 3, 1, 1, ONE_GROUP}, /* planes of many channels, of some groups at a time, and the rest */
    {12, 9, 5, 16, 352, 3, 3, 1, 1, ONE_GROUP},
    {4, 2, 29, 176, 1, 3, 3, 1, 1, ONE_GROUP}, /* the least of which planes are far */
    {2, 19, 19, 352, 4, 3, 3, 1, 1, ONE_GROUP}, /* groups of lines that span two images */
    {2, 20, 20, 8, 336, 3, 3, 1, 0, ONE_GROUP},
    {6, 14, 14, 80, 68, 3, 3, 1, 1, ONE_GROUP}, /* filters' sums of as many channels as a work-item takes, and the rest */
    {67, 32, 32, 1, 2, 8, 8, 1, 4,
     ONE_GROUP}, /* columns of 76 MiB: more than one slice of images, the last one smaller */
    {131, 64, 64, 3, 4, 1, 1, 1, 0,
     ONE_GROUP},                            /* a product that CLBlast wants larger copies for than a slice may have */
    {1, 3, 7, 40, 24, 1, 1, 1, 0, 2, 0},
    {2, 28, 28, 240, 60, 1, 1, 1, 0, 3, 0}, /* ShuffleNet */
    {2, 28, 28, 60, 240, 1, 1, 1, 0, 3, 1},
    {3, 9, 7, 54, 216, 1, 1, 1, 0, 3, 1}, /* groups of 18, of which the last two lanes of a vector are the next one's */
    {5, 7, 7, 240, 960, 1, 1, 1, 0, 3, 1},
    {1, 14, 14, 480, 120, 1, 1, 1, 0, 3, 0},
    {1, 1, 1, 8, 8, 1, 1, 1, 0, 2, 0},
    {2, 19, 5, 12, 44, 1, 1, 1, 0, 4, 1},
    {1, 5, 5, 10, 6, 1, 1, 1, 0, 2, 1},
    {2, 9, 8, 12, 18, 3, 3, 2, 1, 3, 1}, /* a filter of several taps by groups */
    {1, 6, 7, 10, 20, 2, 3, 1, 1, 5, 0},
    {1, 5, 4, 18, 18, 3, 3, 1, 1, 18, 0},   /* depthwise */
    {2, 28, 28, 60, 60, 3, 3, 1, 1, 60, 0},
    {2, 56, 56, 54, 54, 3, 3, 2, 1, 54, 0},
    {2, 28, 27, 60, 60, 3, 3, 2, 1, 60, 0},
    {5, 7, 7, 240, 240, 3, 3, 1, 1, 240, 0},
    {3, 14, 13, 120, 120, 3, 3, 1, 1, 120, 0},
    {1, 1, 1, 5, 5, 3, 3, 1, 1, 5, 0},
    {1, 3, 2, 3, 3, 3, 3, 2, 1, 3, 0},
    {2, 37, 31, 17, 17, 3, 3, 1, 1, 17, 0},
    {1, 131, 5, 8, 8, 3, 3, 2, 1, 8, 0},
    {1, 9, 9, 6, 6, 5, 5, 1, 2, 6, 0}, /* a depthwise filter of another size */
    {1, 8, 9, 6, 6, 3, 3, 3, 0, 6, 0},
};

enum { X, W, Y, TENSORS };
static const char *const names[TENSORS][2] = {{"x", "dx"}, {"w", "dw"}, {"y", "dy"}};

/* The same operand of all three operations, one of X, W, Y. */
enum { OUTPUT = 2 };

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
    ref_conv(op == &walsh_conv_forward ? WALSH_FORWARD
             : op == &walsh_conv_data  ? WALSH_DATA
                                       : WALSH_FILTER,
             c, value[X], value[W], value[Y]);
}

/* Elements of an operand as the device has it: rows of zeros stand in W for the pad lanes of ic. */
static double *padded_rows(const op_case *k, const walsh_conv *c, int operand, const double *dense)
{
    double *out = op_doubles(op_case_count(k, operand));
    size_t taps = 1, row = op_case_count(k, operand), padded = row;
    if (tensor_of(k->op, operand) == W) {
        taps = (size_t)(c->kh * c->kw);
        row = (size_t)(c->ic / walsh_conv_groups(c)) * (size_t)c->oc;
        padded /= taps;
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
 * Winograd's transforms make it some ten times that, whatever K. */
static double tolerance(const walsh_op *op, const walsh_conv *c, const walsh_variant *variant)
{
    if (variant->approximate) return 4e-5;
    /* Each term's own. */
    double prologue = (c->fuse & WALSH_FUSE_AFFINE ? 9e-8 : 0) + (c->fuse & WALSH_FUSE_NORM_GRADIENT ? 3e-7 : 0);
    double terms = (double)c->kh * c->kw * (op == &walsh_conv_data ? c->oc : c->ic) / walsh_conv_groups(c);
    if (op == &walsh_conv_filter) terms = (double)c->n * walsh_conv_oh(c) * walsh_conv_ow(c);
    return 9e-8 * sqrt(terms) + prologue;
}

static void compare(op_case *k, const walsh_conv *c, const walsh_variant *variant, int operand, const double *dense)
{
    size_t count = op_case_count(k, operand);
    double *want = padded_rows(k, c, operand, dense);
    float *got = op_floats(count);
    op_case_get(k, operand, got);
    double error = op_error(got, want, count);
    if (!(error < tolerance(k->op, c, variant)))
        fail_msg("%s: %dx%dx%dx%d->%d, filter %dx%d, stride %d, pad %d, groups %d, shuffled %d, extras %u, gate %d, "
                 "add %d, relu %d, "
                 "linear %d: error %g",
                 variant->name, c->n, c->h, c->w, c->ic, c->oc, c->kh, c->kw, c->stride, c->pad, c->groups, c->shuffled,
                 c->fuse, c->gate, c->add, c->relu, c->linear, error);
    free(want), free(got);
}

/* Whether the problem has that operand. */
static bool has(const op_case *k, const char *name)
{
    int operand = conv_operand(k->op, name);
    return operand >= 0 && k->tensor[operand];
}

/* No problem has both. */
static const unsigned exclusive[] = {WALSH_FUSE_STATS, WALSH_FUSE_NORMALISE};

/* Whether a variant is to be tried on this problem. */
static bool applies(const walsh_op *op, const walsh_variant *variant, const walsh_conv *c)
{
    return walsh_op_takes(op_device(), op, variant, c);
}

static void run_and_compare(op_case *k, const walsh_conv *c, const walsh_variant *variant, const double *before,
                            const double *want)
{
    op_case_poison(k, OUTPUT);
    if (c->fuse & WALSH_FUSE_ACCUMULATE) set(k, c, OUTPUT, before);
    if (has(k, "partial")) op_case_poison(k, conv_operand(k->op, "partial"));
    op_case_run(k, variant);
    compare(k, c, variant, OUTPUT, want);
    conv_extras_compare(k, c, variant->name, before);
}

static void check_one(const walsh_op *op, walsh_conv c, int extra_pitch)
{
    op_case k;
    op_case_open(&k, op, &c, extra_pitch);
    double *value[TENSORS] = {ref_conv_draw(ref_conv_x(&c), 1), ref_conv_draw(ref_conv_w(&c), 2),
                              ref_conv_draw(ref_conv_y(&c), 3)};
    int out = tensor_of(op, OUTPUT);
    size_t count = out == X ? ref_conv_x(&c) : out == W ? ref_conv_w(&c) : ref_conv_y(&c);
    double *before = op_doubles(count);
    if (c.fuse & WALSH_FUSE_ACCUMULATE) memcpy(before, value[out], count * sizeof *before);
    for (int i = 0; i < OUTPUT; i++) set(&k, &c, i, value[tensor_of(op, i)]);
    conv_extras_inputs(&k, &c, value[X], value[Y]);
    reference(op, &c, value);
    for (size_t i = 0; i < count; i++) value[out][i] += before[i];
    conv_extras_bias(&c, value[out]);
    conv_extras_gate(&k, &c, value[out], before);
    conv_extras_normalise(&k, &c, value[out]);
    for (const walsh_variant *const *v = op->variants; *v; v++)
        if (applies(op, *v, &c) && !op_case_left_out(op, *v, &c)) run_and_compare(&k, &c, *v, before, value[out]);
    for (int t = 0; t < TENSORS; t++) free(value[t]);
    free(before);
    op_case_close(&k);
}

/* Which of its extras' options a problem has: the gate, what a normalised output is, whether the input is rectified. */
static int options_of(unsigned fuse)
{
    return (fuse & WALSH_FUSE_NORM_SUMS ? 4 : fuse & WALSH_FUSE_NORMALISE ? 4 : 1) * (fuse & WALSH_FUSE_AFFINE ? 2 : 1);
}

static void set_option(walsh_conv *c, int option)
{
    if (c->fuse & WALSH_FUSE_AFFINE) c->linear = option % 2, option /= 2;
    if (c->fuse & WALSH_FUSE_NORM_SUMS) c->gate = option;
    if (c->fuse & WALSH_FUSE_NORMALISE) c->add = option >> 1, c->relu = option & 1;
}

/* Several extras at once are tried with wider pitches only, and normalised outputs then rectified, but for some. */
static void check_all(const walsh_op *op, unsigned fuse)
{
    bool several = fuse & (fuse - 1);
    int tried = 0, options = options_of(fuse);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        for (int extra = several ? 12 : 0; extra <= 12; extra += 12)
            for (int option = 0; option < options; option++) {
                walsh_conv c = conv_of(&cases[i], fuse);
                set_option(&c, option);
                if (several && fuse & WALSH_FUSE_NORMALISE && !c.relu && (c.add || i % 8)) continue;
                int applying = 0;
                for (const walsh_variant *const *v = op->variants; *v; v++) applying += applies(op, *v, &c);
                if (applying && !op_case_left_out(op, NULL, &c)) check_one(op, c, extra);
                tried += applying;
            }
    if (!tried) fail_msg("no variant of %s takes the extras %u", op->name, fuse);
}

void conv_case_check(const walsh_op *op, unsigned extras)
{
    for (unsigned fuse = 0; fuse <= extras; fuse++)
        if (!(fuse & ~extras) && !(fuse & exclusive[0] && fuse & exclusive[1])) check_all(op, fuse);
}

enum { SIDE = 7, CHANNELS = 16, NAN_PIXEL = 2 * SIDE + 3, NAN_CHANNEL = 5 };

static walsh_conv small(unsigned fuse)
{
    static const sizes square = {1, SIDE, SIDE, CHANNELS, CHANNELS, 3, 3, 1, 1, ONE_GROUP};
    walsh_conv c = conv_of(&square, fuse);
    c.relu = 1;
    return c;
}

/* Draws every operand that there is. */
static void draw_all(op_case *k)
{
    for (int i = 0; i < WALSH_MAX_OPERANDS; i++) {
        if (!k->tensor[i]) continue;
        float *draw = op_floats(op_case_count(k, i));
        op_case_random(k, i, 4 + (uint64_t)i, draw);
        free(draw);
    }
}

void conv_case_nan(const walsh_op *op, unsigned extra, const char *operand)
{
    const walsh_conv c = small(extra);
    op_case k;
    op_case_open(&k, op, &c, 0);
    int from = conv_operand(op, operand);
    size_t nx = op_case_count(&k, from), count = op_case_count(&k, OUTPUT);
    float *x = op_floats(nx), *out = op_floats(count);
    draw_all(&k);
    x[NAN_PIXEL * CHANNELS + NAN_CHANNEL] = NAN;
    op_case_set(&k, from, x);
    for (const walsh_variant *const *v = op->variants; *v; v++) {
        if (!applies(op, *v, &c)) continue;
        op_case_run(&k, *v);
        op_case_get(&k, OUTPUT, out);
        for (size_t i = 0; i < count; i++) {
            int pixel = (int)(i / CHANNELS), channel = (int)(i % CHANNELS);
            bool near = abs(pixel / SIDE - NAN_PIXEL / SIDE) <= 1 && abs(pixel % SIDE - NAN_PIXEL % SIDE) <= 1;
            bool row = pixel % CHANNELS == NAN_CHANNEL, column = channel == NAN_CHANNEL; /* of dW */
            bool concerned = op != &walsh_conv_filter ? near : tensor_of(op, from) == X ? row : column;
            if ((*v)->approximate) /* whole tiles are */
                assert_true(isnan(out[i]) || !concerned);
            else
                assert_int_equal(isnan(out[i]) != 0, concerned);
        }
    }
    free(x), free(out);
    op_case_close(&k);
}

/* U (or Z) shuts the gate everywhere but at one element, where it is NaN: that one is let through and no other. */
void conv_case_nan_gate(int gate)
{
    const walsh_op *op = &walsh_conv_data;
    walsh_conv c = small(WALSH_FUSE_NORM_SUMS);
    c.gate = gate;
    op_case k;
    op_case_open(&k, op, &c, 0);
    const size_t count = op_case_count(&k, OUTPUT), at = NAN_PIXEL * CHANNELS + NAN_CHANNEL;
    float *closed = op_floats(count), *out = op_floats(count), saved[WALSH_BN_SAVED_ROWS * CHANNELS];
    float partial[2 * CHANNELS];
    for (size_t i = 0; i < WALSH_BN_SAVED_ROWS * CHANNELS; i++) saved[i] = i / CHANNELS == WALSH_BN_SHIFT ? 0 : 1;
    for (size_t i = 0; i < count; i++) closed[i] = i == at ? NAN : gate == WALSH_GATE_STORED ? 0 : -1;
    draw_all(&k);
    op_case_set(&k, conv_operand(op, "saved"), saved);
    op_case_set(&k, conv_operand(op, gate == WALSH_GATE_STORED ? "z" : "u"), closed);
    for (const walsh_variant *const *v = op->variants; *v; v++) {
        if (!applies(op, *v, &c)) continue;
        op_case_run(&k, *v);
        op_case_get(&k, OUTPUT, out);
        op_case_get(&k, conv_operand(op, "partial"), partial);
        assert_true(isfinite(out[at]) && out[at] != 0);
        for (size_t i = 0; i < count; i++) assert_true(i == at || out[i] == 0);
        for (size_t i = 0; i < CHANNELS; i++) assert_true(partial[i] == (i == NAN_CHANNEL ? out[at] : 0));
        assert_int_equal(isnan(partial[CHANNELS + NAN_CHANNEL]) != 0, gate != WALSH_GATE_STORED);
    }
    free(closed), free(out);
    op_case_close(&k);
}

/* All that the variant writes, with the extras that it has, but for some, on a device of `threads` compute units (0:
 * all). */
static float *run_on(const walsh_op *op, const walsh_variant *variant, walsh_conv c, unsigned without, unsigned threads,
                     size_t *count)
{
    op_case k;
    walsh_device_options options = {.threads = threads};
    walsh_device *device = NULL;
    c.fuse = variant->fuses & ~without;
    assert_ok(walsh_device_open(&options, &device));
    op_case_open_on(&k, device, op, &c, 0);
    int summed = conv_operand(op, "partial");
    size_t partial = has(&k, "partial") ? op_case_count(&k, summed) : 0;
    *count = op_case_count(&k, OUTPUT) + partial;
    draw_all(&k);
    float *out = op_floats(*count);
    op_case_run(&k, variant);
    op_case_get(&k, OUTPUT, out);
    if (partial) op_case_get(&k, summed, out + (*count - partial));
    op_case_close(&k);
    walsh_device_close(&device);
    return out;
}

void conv_case_exact(const walsh_op *op)
{
    const walsh_conv c = small(0);
    int taken[2] = {0, 0};
    for (int exact = 0; exact < 2; exact++) {
        op_device()->exact = exact;
        for (const walsh_variant *const *v = op->variants; *v; v++)
            taken[exact] += (*v)->approximate && walsh_op_takes(op_device(), op, *v, &c);
    }
    op_device()->exact = false;
    bool gpu = walsh_tiles_are_gpu(op_device()->tiles);
    bool room = op_device()->info.local_memory >= WALSH_WINOGRAD_LOCAL_BYTES;
    assert_int_equal(taken[0], gpu || room);
    assert_int_equal(taken[1], 0);
}

void conv_case_threads(const walsh_op *op)
{
    static const sizes many[] = {{16, 16, 16, 16, 32, 3, 3, 1, 1, ONE_GROUP},
                                 {6, 14, 14, 80, 68, 3, 3, 1, 1, ONE_GROUP}, /* more channels at a time on one */
                                 {9, 15, 15, 12, 20, 3, 3, 2, 1, ONE_GROUP}};
    if (!op_device_divides()) skip();
    for (size_t i = 0; i < sizeof many / sizeof many[0]; i++)
        for (const walsh_variant *const *v = op->variants; *v; v++)
            for (unsigned e = 0; e < 2; e++) {
                const walsh_conv c = conv_of(&many[i], 0);
                size_t count;
                if (!(*v)->suits(op_device(), &c)) continue;
                float *one = run_on(op, *v, c, exclusive[e], 1, &count);
                float *all = run_on(op, *v, c, exclusive[e], 0, &count);
                assert_memory_equal(one, all, count * sizeof *one);
                free(one), free(all);
            }
}
