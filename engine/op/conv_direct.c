#include "engine/op/conv_direct.h"

#include "engine/op/batchnorm.h"

/* Floats of the private copy, 128 KiB: on the worker's stack, and small beside a second-level cache. */
#define STAGED 32768
#define TEXT_(x) #x
#define TEXT(x) TEXT_(x)

/* The tiles of conv_gather.c, whose packed weights are read. */
enum { BLOCK = 16, LEAST_PIXELS = 32 };
static const char *const options[WALSH_CONV_CLASSES] = {
    [WALSH_CONV_CPU] = "-DVW=16 -DTX=6 -DSTAGED=" TEXT(STAGED),
    [WALSH_CONV_WIDE_CPU] = "-DVW=16 -DTX=8 -DSTAGED=" TEXT(STAGED),
};

/* How a gather is staged: every skip-th pixel of the input, of which neighbouring outputs are `step` apart. */
typedef struct staging {
    int skip, step, cols;
    int group_lines, strip_lines; /* of output: of a work-item, and staged at a time */
} staging;

static int divide_up(int a, int b)
{
    return (a + b - 1) / b;
}

/* strip_lines is 0 where not even one line fits. */
static staging staging_of(const walsh_gather *g)
{
    bool sparse = g->y.taps <= 1 && g->x.taps <= 1; /* pixels between those that are read need not be staged */
    staging s = {.skip = sparse ? g->in_step : 1, .step = sparse ? 1 : g->in_step};
    s.cols = (g->x.count - 1) * s.step + g->x.taps;
    s.group_lines = walsh_bn_group_rows(g->images, g->y.count, g->x.count) / g->x.count;
    size_t line = (size_t)s.cols * (size_t)g->in;
    int rows = line && line < STAGED ? (int)(STAGED / line) : line ? 0 : g->y.taps;
    int whole = s.group_lines < g->y.count ? s.group_lines : g->y.count;
    if (!line) s.strip_lines = whole; /* no taps: zeros are written */
    if (line && rows >= g->y.taps) {
        int most = (rows - g->y.taps) / s.step + 1;
        s.strip_lines = divide_up(whole, divide_up(whole, most));
    }
    return s;
}

int walsh_direct_suits(const walsh_device *device, const walsh_gather *gather)
{
    if (!options[walsh_conv_classify(device)]) return 0;
    staging s = staging_of(gather);
    return !s.strip_lines ? 0 : s.strip_lines * gather->x.count < LEAST_PIXELS ? 1 : 3;
}

/* Blocks of channels of a work-item: all of them, so that its input is staged once, unless too few work-items would
 * remain. This changes no sum. */
static int blocks_each(const walsh_device *device, int blocks, int groups)
{
    int wanted = divide_up(4 * (int)device->info.compute_units, groups);
    return wanted > 1 ? divide_up(blocks, wanted) : blocks;
}

walsh_status walsh_direct_emit(walsh_list *list, const walsh_gather *g, const walsh_view *x, const walsh_view *packed,
                               const walsh_view *y, const walsh_view *saved, const walsh_view *partial)
{
    const walsh_device *device = walsh_list_device(list);
    staging s = staging_of(g);
    int lines = g->images * g->y.count, groups = divide_up(lines, s.group_lines), blocks = divide_up(g->out, BLOCK);
    int each = blocks_each(device, blocks, groups);
    walsh_launch launch = {.file = "conv_direct",
                           .function = "conv_direct",
                           .options = options[walsh_conv_classify(device)],
                           .global = {(size_t)divide_up(blocks, each), (size_t)groups},
                           .local = {1, 1},
                           .flops = g->flops,
                           .bytes = g->bytes};
    return WALSH_LAUNCH(
        list, launch, WALSH_TENSOR(x), WALSH_TENSOR(packed), WALSH_TENSOR(y), WALSH_TENSOR(saved),
        WALSH_TENSOR(partial), WALSH_INT(lines), WALSH_INT(s.group_lines), WALSH_INT(s.strip_lines), WALSH_INT(each),
        WALSH_INT(g->in), WALSH_INT(g->out), WALSH_INT(g->kh * g->kw * g->in * BLOCK), WALSH_INT(g->y.in),
        WALSH_INT(g->x.in), WALSH_INT(x->shape.pitch), WALSH_INT(s.skip), WALSH_INT(s.step), WALSH_INT(g->y.in_first),
        WALSH_INT(g->x.in_first), WALSH_INT(s.cols), WALSH_INT(g->y.out), WALSH_INT(g->x.out),
        WALSH_INT(y->shape.pitch), WALSH_INT(g->y.count), WALSH_INT(g->x.count), WALSH_INT(g->out_step),
        WALSH_INT(g->y.first), WALSH_INT(g->x.first), WALSH_INT(g->y.taps), WALSH_INT(g->x.taps),
        WALSH_INT(g->y.tap_first * g->kw + g->x.tap_first), WALSH_INT(g->tap_by * g->kw), WALSH_INT(g->tap_by),
        WALSH_INT(g->accumulate), WALSH_INT(saved->shape.pitch), WALSH_INT(partial->shape.pitch));
}
