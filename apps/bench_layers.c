/* walsh bench layers: what each layer of a model takes in whole training steps or evaluated batches, and which bound
 * it has and reaches. */
#include "apps/bench_commands.h"
#include "apps/bench_model.h"
#include "apps/bench_op.h"
#include "apps/chart.h"
#include "apps/progress.h"
#include "apps/values.h"
#include "engine/base/utf8.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LEAST_SHARE 2e-4 /* of the time, for a bar in the chart */

/* What launches are for: the colours of the chart. */
typedef enum pass { FORWARD, DATA, FILTER, NORM, POOL, HEAD, UPDATE, OTHER, PASSES } pass;

_Static_assert((int)PASSES <= (int)WALSH_CHART_SERIES, "a pass has no colour");

static const char *const pass_names[] = {
    [FORWARD] = "forward", [DATA] = "backward data", [FILTER] = "backward filter", [NORM] = "batch norm",
    [POOL] = "pooling",    [HEAD] = "head and loss", [UPDATE] = "update",          [OTHER] = "other"};

/* What the names of a pass's operations begin with. */
static const char *const pass_operations[] = {
    [FORWARD] = "conv_forward", [DATA] = "conv_data", [FILTER] = "conv_filter", [NORM] = "bn_", [POOL] = "pool_",
    [UPDATE] = "sgd",           [OTHER] = ""};

static pass pass_of(const char *layer, const char *operation)
{
    static const char *const head[] = {"head", "loss", "metrics"}; /* by several operations, which others have too */
    int i = 0;
    for (size_t h = 0; h < sizeof head / sizeof *head; h++)
        if (!strcmp(layer, head[h])) return HEAD;
    while (!pass_operations[i] || strncmp(operation, pass_operations[i], strlen(pass_operations[i]))) i++;
    return (pass)i;
}

struct stage;

/* One operation of one layer: a row of the results. */
typedef struct part {
    struct stage *stage;
    char layer[48], operation[32]; /* as in a profile */
    double seconds;                /* in all runs so far */
    uint64_t runs;
    double latest; /* seconds of one run, of those between the last two readings */
} part;

typedef struct stage {
    walsh_bench_model model;
    bool train;
    const char *phase; /* of a profile: without what is prepared before the first batch, which is of no step */
    part *parts;
    size_t count;
    bool ran; /* since the parts were read */
} stage;

static bool is_line_of(const part *p, const walsh_profile_line *line)
{
    return !strcmp(line->phase, p->stage->phase) && !strcmp(line->layer, p->layer) &&
           !strcmp(line->operation, p->operation);
}

static walsh_status add_part(stage *s, const walsh_profile_line *line)
{
    for (size_t i = 0; i < s->count; i++)
        if (is_line_of(&s->parts[i], line)) return WALSH_OK;
    WALSH_TRY(walsh_grow(&s->parts, s->count, sizeof *s->parts, "the layers"));
    part *p = &s->parts[s->count++];
    *p = (part){.stage = s};
    memcpy(p->layer, line->layer, sizeof p->layer);
    memcpy(p->operation, line->operation, sizeof p->operation);
    return WALSH_OK;
}

static walsh_status find_parts(stage *s)
{
    walsh_profile_line *lines = NULL;
    size_t count = 0;
    walsh_status status = walsh_network_profile(s->model.model->network, &lines, &count);
    for (size_t i = 0; i < count && !status; i++)
        if (!strcmp(lines[i].phase, s->phase)) status = add_part(s, &lines[i]);
    free(lines);
    return status;
}

/* A profile only grows: what has come since it was read before is of the runs since then. */
static void update_part(part *p, const walsh_profile_line *lines, size_t count)
{
    double seconds = 0;
    uint64_t runs = 0;
    for (size_t i = 0; i < count; i++)
        if (is_line_of(p, &lines[i])) seconds += lines[i].seconds, runs = lines[i].runs;
    if (runs > p->runs) p->latest = (seconds - p->seconds) / (double)(runs - p->runs);
    p->seconds = seconds;
    p->runs = runs;
}

/* Of all parts at once, when the first is asked for: outside the time of the step. */
static walsh_status read_part(void *context, double *seconds)
{
    part *p = context;
    stage *s = p->stage;
    if (s->ran) {
        walsh_profile_line *lines = NULL;
        size_t count = 0;
        walsh_status status = walsh_network_profile(s->model.model->network, &lines, &count);
        for (size_t i = 0; i < s->count && !status; i++) update_part(&s->parts[i], lines, count);
        free(lines);
        WALSH_TRY(status);
        s->ran = false;
    }
    *seconds = p->latest;
    return WALSH_OK;
}

static walsh_status run(void *context, int times)
{
    stage *s = context;
    s->ran = true;
    return walsh_bench_model_run(&s->model, s->train, times);
}

/* What the plan's operations of a part compute and move, and the variant of the first. */
static walsh_contender part_contender(part *p)
{
    const walsh_plan *plan = walsh_bench_model_plan(&p->stage->model, p->stage->train);
    walsh_contender c = {.row = cJSON_CreateObject(), .read = read_part, .context = p};
    const walsh_variant *variant = NULL;
    for (int i = 0; i < walsh_plan_count(plan); i++) {
        const walsh_planned step = walsh_plan_at(plan, i);
        double flops, bytes;
        if (strcmp(step.op->name, p->operation) || strncmp(step.label, p->layer, sizeof p->layer - 1)) continue;
        step.op->cost(step.problem, &flops, &bytes);
        c.flops += flops;
        c.bytes += bytes;
        if (!variant) variant = step.variant;
    }
    cJSON_AddStringToObject(c.row, "op", p->operation);
    cJSON_AddStringToObject(c.row, "variant", variant ? variant->name : "");
    cJSON_AddStringToObject(c.row, "layer", p->layer);
    cJSON_AddStringToObject(c.row, "pass", pass_names[pass_of(p->layer, p->operation)]);
    cJSON_AddBoolToObject(c.row, "chosen", true);
    return c;
}

static walsh_status build(const walsh_arguments *arguments, walsh_bench *bench, stage *s)
{
    static const char *const modes[] = {"train", "evaluate", NULL};
    int mode = 0;
    WALSH_TRY(walsh_value_choice(arguments, WALSH_OPTION_MODE, modes, &mode));
    s->train = mode == 0;
    s->phase = s->train ? "training" : "evaluation";
    WALSH_TRY(walsh_bench_model_open(arguments, bench, s->train, &s->model));
    WALSH_TRY(find_parts(s));
    walsh_contender whole = walsh_bench_model_contender(&s->model, s->train);
    whole.run = run;
    whole.context = s;
    WALSH_TRY(walsh_bench_add(bench, &whole));
    for (size_t i = 0; i < s->count; i++) {
        const walsh_contender c = part_contender(&s->parts[i]);
        WALSH_TRY(walsh_bench_add(bench, &c));
    }
    return walsh_bench_add_peaks(bench);
}

/* The contenders of the parts, which stand behind the whole step's. */
static walsh_contender *contenders_of_parts(const walsh_bench *bench)
{
    return bench->contenders + 1;
}

/* Adds to each part's row its share of what all take. */
static void add_shares(const walsh_bench *bench, const stage *s)
{
    const walsh_contender *parts = contenders_of_parts(bench);
    double total = 0;
    for (size_t i = 0; i < s->count; i++) total += parts[i].median;
    for (size_t i = 0; i < s->count; i++)
        cJSON_AddNumberToObject(parts[i].row, "share", total > 0 ? parts[i].median / total : 0);
}

/* Adds a part's bar to the panel of its bound; one without a bound, or with next to no time, has none. */
static void add_bar(const walsh_contender *c, const part *p, walsh_chart_bar *const bars[2], size_t counts[2])
{
    const char *bound = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(c->row, "bound"));
    if (!bound || walsh_bench_number(c->row, "share") < LEAST_SHARE) return;
    int memory = !strcmp(bound, "memory");
    walsh_chart_bar *bar = &bars[memory][counts[memory]++];
    *bar = (walsh_chart_bar){.group = p->layer,
                             .series = (int)pass_of(p->layer, p->operation),
                             .value = walsh_bench_number(c->row, memory ? "gbs" : "gflops")};
    snprintf(bar->note, sizeof bar->note, "%s %s: %.3f ms, %.1f %s, %.0f %%", p->layer, p->operation, 1e3 * c->median,
             bar->value, memory ? "GB/s" : "GFLOP/s", 100 * walsh_bench_number(c->row, "peak_share"));
}

/* "forward: 12.3 ms, 20 %", of each pass that there is. */
static void name_series(const walsh_bench *bench, const stage *s, char (*names)[64], walsh_chart *chart)
{
    const walsh_contender *parts = contenders_of_parts(bench);
    double seconds[PASSES] = {0}, total = 0;
    for (size_t i = 0; i < s->count; i++) {
        seconds[pass_of(s->parts[i].layer, s->parts[i].operation)] += parts[i].median;
        total += parts[i].median;
    }
    for (int i = 0; i < PASSES; i++) {
        if (!(seconds[i] > 0)) continue;
        snprintf(names[i], sizeof names[i], "%s: %.1f ms, %.1f %%", pass_names[i], 1e3 * seconds[i],
                 100 * seconds[i] / total);
        chart->series[i] = names[i];
    }
}

static walsh_status draw(const walsh_bench *bench, const stage *s, walsh_chart_bar *bars, walsh_file_writer *file)
{
    const walsh_model_info *info = walsh_model_describe(s->model.model);
    char title[160], subtitle[384], names[PASSES][64];
    walsh_chart_bar *const of[2] = {bars, bars + s->count};
    size_t counts[2] = {0, 0};
    for (size_t i = 0; i < s->count; i++) add_bar(&contenders_of_parts(bench)[i], &s->parts[i], of, counts);
    const walsh_chart_panel panels[] = {
        {.heading = "Bound by multiply-adds. The axis ends at the peak measured in the same run; GFLOP/s are effective:"
                    " of the direct algorithm",
         .unit = "effective GFLOP/s",
         .bound = "of peak",
         .top = 1e-9 * bench->peaks.flops,
         .bars = of[0],
         .count = counts[0]},
        {.heading =
             "Bound by memory. The axis ends at the bandwidth measured in the same run; GB/s are of what must move"
             " at least",
         .unit = "GB/s",
         .bound = "of peak",
         .top = 1e-9 * bench->peaks.bytes,
         .bars = of[1],
         .count = counts[1]},
    };
    walsh_chart chart = {.title = title,
                         .subtitle = subtitle,
                         .groups = "layer, in the order of execution",
                         .panels = panels,
                         .panel_count = 2};
    snprintf(title, sizeof title, "%s, %s head, %d classes: %s of %d images of %dx%d", info->name,
             walsh_head_kind_name(info->head.kind), info->classes, s->train ? "a training step" : "an evaluated batch",
             s->model.batch, info->image_size, info->image_size);
    snprintf(subtitle, sizeof subtitle,
             "%s; --math %s; %.1f ms, the median of %d. A bar that ends in a point passes the peak, to the value above"
             " it. What takes less than %g %% of the time has none.",
             walsh_show(walsh_device_describe(bench->device)->name).text, bench->exact ? "exact" : "fast",
             1e3 * bench->contenders[0].median, bench->repeats, 100 * LEAST_SHARE);
    name_series(bench, s, names, &chart);
    return walsh_chart_write(file, &chart);
}

static walsh_status write_svg(const walsh_bench *bench, const stage *s, walsh_file_writer **file)
{
    walsh_chart_bar *bars = NULL;
    WALSH_TRY(walsh_alloc(&bars, 2 * s->count + 1, sizeof *bars, "a chart"));
    walsh_status status = draw(bench, s, bars, *file);
    free(bars);
    return status ? status : walsh_file_commit(file);
}

/* The file is begun before the work: a place that cannot be written is known at once. */
static walsh_status run_layers(const walsh_arguments *arguments)
{
    const char *path = walsh_argument(arguments, WALSH_OPTION_SVG);
    stage s = {0};
    walsh_bench bench = {0};
    walsh_file_writer *svg = NULL;
    walsh_status status = path ? walsh_file_begin(path, &svg) : WALSH_OK;
    if (!status) status = walsh_bench_open(arguments, WALSH_BENCH_PROFILE, &bench);
    if (!status) status = build(arguments, &bench, &s);
    if (!status) status = walsh_bench_run(&bench);
    if (!status) add_shares(&bench, &s);
    if (!status && svg) status = write_svg(&bench, &s, &svg);
    if (!status && path) walsh_note("%s: the chart", path);
    if (!status) status = walsh_bench_report(arguments, &bench, "shape");
    walsh_file_abandon(&svg);
    walsh_bench_model_close(&s.model);
    walsh_bench_close(&bench);
    free(s.parts);
    return status;
}

static const struct argp_option own[] = {
    {"mode", WALSH_OPTION_MODE, "MODE", 0, "train (default) or evaluate", 0},
    {0},
};

static const struct argp_option chart[] = {
    {"svg", WALSH_OPTION_SVG, "FILE", 0, "draw a chart, too: a bar for each layer and direction, below the bound", 0},
    {0},
};

const walsh_command walsh_command_bench_layers = {
    .name = "bench layers",
    .summary = "every layer and direction of a model's training step or evaluation",
    .synopsis = "--model NAME",
    .about =
        "Runs whole training steps, or evaluated batches, and shows what each layer takes of them in each direction:"
        " convolutions forward and backward to the data and to the filter, batch norm, pooling, head, update and what"
        " else there is, in the order of execution. GFLOP/s are effective, of the direct algorithm: Winograd"
        " convolutions may pass the peak of multiply-adds, and what stays in caches that of memory. Both peaks are"
        " measured in the same run. Launches are timed one by one, which takes a little longer than 'bench step'."
        "\vA chart has a panel for either bound, whose axis ends at the measured peak; a bar that passes it ends in a"
        " point there, with its value above. What takes less than 0.02 % of the time has no bar.\n\nExamples:\n"
        "  walsh bench layers --model resnet56 --svg resnet56.svg\n"
        "  walsh bench layers --model resnet50 --batch 16 --mode evaluate --math exact --json\n",
    .groups = (const struct argp_option *const[]){walsh_options_bench_model, own, walsh_options_bench,
                                                  walsh_options_device, walsh_options_json, chart, NULL},
    .run = run_layers,
};
