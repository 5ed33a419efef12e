#include "engine/op/conv_direct.h"

#include "engine/op/batchnorm.h"

/* The tiles of conv_gather.c, whose packed weights are read. */
enum { BLOCK = 16, LEAST_PIXELS = 32 };
static const char *const options[WALSH_CONV_CLASSES] = {
    [WALSH_CONV_CPU] = "-DVW=16 -DTX=6 -DSTAGED=" WALSH_STAGED_TEXT,
    [WALSH_CONV_WIDE_CPU] = "-DVW=16 -DTX=8 -DSTAGED=" WALSH_STAGED_TEXT,
};

static int divide_up(int a, int b)
{
    return (a + b - 1) / b;
}

walsh_staging walsh_stage(int taps_h, int taps_w, int stride, int pixels, int in, int lines)
{
    bool sparse = taps_h <= 1 && taps_w <= 1;
    walsh_staging s = {.skip = sparse ? stride : 1, .step = sparse ? 1 : stride};
    s.cols = (pixels - 1) * s.step + taps_w;
    long line = (long)s.cols * in, room = line ? WALSH_STAGED / line : taps_h + (long)lines * s.step;
    long most = room < taps_h ? 0 : (room - taps_h) / s.step + 1;
    if (most > 0) s.lines = most < lines ? divide_up(lines, divide_up(lines, (int)most)) : lines;
    return s;
}

/* Lines of output of a work-item: a group of batch norm's. */
static int group_lines(const walsh_gather *g)
{
    return walsh_bn_group_rows(g->images, g->y.count, g->x.count) / g->x.count;
}

static walsh_staging staging_of(const walsh_gather *g)
{
    int lines = group_lines(g);
    return walsh_stage(g->y.taps, g->x.taps, g->in_step, g->x.count, g->in, lines < g->y.count ? lines : g->y.count);
}

int walsh_staging_suits(const walsh_staging *s, int pixels)
{
    return !s->lines ? 0 : s->lines * pixels < LEAST_PIXELS ? 1 : 3;
}

int walsh_direct_suits(const walsh_device *device, const walsh_gather *gather)
{
    if (!options[walsh_conv_classify(device)]) return 0;
    walsh_staging s = staging_of(gather);
    return walsh_staging_suits(&s, gather->x.count);
}

int walsh_blocks_each(const walsh_device *device, int blocks, int groups)
{
    int wanted = divide_up(4 * (int)device->info.compute_units, groups);
    return wanted > 1 ? divide_up(blocks, wanted) : blocks;
}

walsh_status walsh_direct_emit(walsh_list *list, const walsh_gather *g, const walsh_view *x, const walsh_view *packed,
                               const walsh_view *y, const walsh_view *saved, const walsh_view *partial)
{
    const walsh_device *device = walsh_list_device(list);
    walsh_staging s = staging_of(g);
    int lines = g->images * g->y.count, group = group_lines(g), groups = divide_up(lines, group);
    int blocks = divide_up(g->out, BLOCK), each = walsh_blocks_each(device, blocks, groups);
    walsh_launch launch = {.file = "conv_direct",
                           .function = "conv_direct",
                           .options = options[walsh_conv_classify(device)],
                           .global = {(size_t)divide_up(blocks, each), (size_t)groups},
                           .local = {1, 1},
                           .flops = g->flops,
                           .bytes = g->bytes};
    return WALSH_LAUNCH(list, launch, WALSH_TENSOR(x), WALSH_TENSOR(packed), WALSH_TENSOR(y), WALSH_TENSOR(saved),
                        WALSH_TENSOR(partial), WALSH_INT(lines), WALSH_INT(group), WALSH_INT(s.lines), WALSH_INT(each),
                        WALSH_INT(g->in), WALSH_INT(g->out), WALSH_INT(g->kh * g->kw * g->in * BLOCK),
                        WALSH_INT(g->y.in), WALSH_INT(g->x.in), WALSH_INT(x->shape.pitch), WALSH_INT(s.skip),
                        WALSH_INT(s.step), WALSH_INT(g->y.in_first), WALSH_INT(g->x.in_first), WALSH_INT(s.cols),
                        WALSH_INT(g->y.out), WALSH_INT(g->x.out), WALSH_INT(y->shape.pitch), WALSH_INT(g->y.count),
                        WALSH_INT(g->x.count), WALSH_INT(g->out_step), WALSH_INT(g->y.first), WALSH_INT(g->x.first),
                        WALSH_INT(g->y.taps), WALSH_INT(g->x.taps), WALSH_INT(g->y.tap_first * g->kw + g->x.tap_first),
                        WALSH_INT(g->tap_by * g->kw), WALSH_INT(g->tap_by), WALSH_INT(g->accumulate),
                        WALSH_INT(saved->shape.pitch), WALSH_INT(partial->shape.pitch));
}
