#include "apps/chart.h"

#include "engine/base/status.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Pixels. */
enum {
    MARGIN = 16,
    LEFT = 72, /* for the axes' numbers and names */
    RIGHT = 72,
    LEAST_WIDTH = 640, /* of all bars */
    LINE = 18,
    TOP = MARGIN + 3 * LINE, /* where the legend begins */
    LEGEND_ENTRY = 210,
    BEYOND = 40,  /* above a panel's top, for the values of bars that pass it */
    HEIGHT = 240, /* of an axis */
    BAR = 8,
    INK = 7, /* of a bar's width */
    GAP = 7, /* between groups */
    POINT = 4,
    LETTER = 6, /* width of one, rather more than less */
    TICKS = 4
};
#define LEAST_HEIGHT 0.5 /* of a bar, to be seen: one launch that waited long may be at a ten-thousandth of its peak */

typedef struct pen {
    walsh_file_writer *file;
    walsh_status status; /* the first failure; nothing is written after it */
    char text[1 << 14];
    size_t used;
} pen;

static void flush(pen *p)
{
    if (!p->status) p->status = walsh_file_write(p->file, p->text, p->used);
    p->used = 0;
}

static void __attribute__((format(printf, 2, 3))) put(pen *p, const char *format, ...)
{
    enum { LONGEST = 1024 };
    va_list values;
    if (p->used + LONGEST > sizeof p->text) flush(p);
    va_start(values, format);
    p->used += (size_t)vsnprintf(p->text + p->used, LONGEST, format, values);
    va_end(values);
}

/* Text as XML has it. */
static void put_text(pen *p, const char *text)
{
    for (; *text; text++) {
        switch (*text) {
        case '&':
            put(p, "&amp;");
            break;
        case '<':
            put(p, "&lt;");
            break;
        case '>':
            put(p, "&gt;");
            break;
        default:
            put(p, "%c", (unsigned char)*text < ' ' ? '?' : *text);
        }
    }
}

/* `kind` is a class of the style sheet; `turned`: the text runs upwards. */
static void put_label(pen *p, const char *kind, double x, double y, bool turned, const char *text)
{
    if (turned)
        put(p, "<text class=\"%s\" transform=\"translate(%g %g)rotate(-90)\">", kind, x, y);
    else
        put(p, "<text class=\"%s\" x=\"%g\" y=\"%g\">", kind, x, y);
    put_text(p, text);
    put(p, "</text>\n");
}

/* Whether bar i is the first of its group. */
static bool opens_group(const walsh_chart_panel *panel, size_t i)
{
    for (size_t j = 0; j < i; j++)
        if (!strcmp(panel->bars[j].group, panel->bars[i].group)) return false;
    return true;
}

static int width_of(const walsh_chart_panel *panel)
{
    int width = 0;
    for (size_t i = 0; i < panel->count; i++) width += BAR + opens_group(panel, i) * GAP;
    return width;
}

/* What the names below a panel take. */
static int depth_of(const walsh_chart_panel *panel)
{
    size_t longest = 0;
    for (size_t i = 0; i < panel->count; i++) {
        size_t length = strlen(panel->bars[i].group);
        if (length > longest) longest = length;
    }
    return (int)longest * LETTER + LINE;
}

static int panel_height(const walsh_chart_panel *panel)
{
    return LINE + BEYOND + HEIGHT + depth_of(panel) + LINE;
}

static void put_style(pen *p)
{
    static const char *const colours[WALSH_CHART_SERIES] = {"#0072b2", "#e69f00", "#009e73", "#cc79a7",
                                                            "#56b4e9", "#d55e00", "#8c6bb1", "#808080"};
    put(p, "<style>text{font:11px sans-serif;fill:#1f2328}.title{font-size:16px;font-weight:bold}"
           ".heading{font-weight:bold}.end{text-anchor:end}.middle{text-anchor:middle}.value{font-size:8px}"
           ".name{font-size:10px;text-anchor:end}.paper{fill:#fff}.line{stroke:#d0d7de;fill:none}"
           ".top{stroke:#1f2328;fill:none}");
    for (int i = 0; i < WALSH_CHART_SERIES; i++) put(p, ".s%d{fill:%s}", i, colours[i]);
    put(p, "@media(prefers-color-scheme:dark){text{fill:#e6edf3}.paper{fill:#0d1117}.line{stroke:#3d444d}"
           ".top{stroke:#e6edf3}}</style>\n");
}

/* Writes its entries from y on, unless `p` is NULL, and returns its height. */
static int put_legend(pen *p, const walsh_chart *chart, int width, int y)
{
    int across = (width - 2 * MARGIN) / LEGEND_ENTRY, shown = 0;
    for (int i = 0; i < WALSH_CHART_SERIES; i++) {
        if (!chart->series[i]) continue;
        int x = MARGIN + shown % across * LEGEND_ENTRY, line = y + shown / across * LINE;
        shown++;
        if (!p) continue;
        put(p, "<rect class=\"s%d\" x=\"%d\" y=\"%d\" width=\"10\" height=\"10\"/>", i, x, line - 9);
        put_label(p, "entry", x + 15, line, false, chart->series[i]);
    }
    return (shown + across - 1) / across * LINE;
}

/* `base`: where the axis has 0; it ends HEIGHT above. */
static void put_axes(pen *p, const walsh_chart_panel *panel, int width, int base)
{
    char number[32];
    for (int i = 0; i <= TICKS; i++) {
        double y = base - (double)HEIGHT * i / TICKS;
        put(p, "<path class=\"%s\" d=\"M%d %gh%d\"/>\n", i == TICKS ? "top" : "line", LEFT, y, width);
        snprintf(number, sizeof number, "%.3g", panel->top * i / TICKS);
        put_label(p, "end", LEFT - 6, y + 4, false, number);
        snprintf(number, sizeof number, "%d %%", 100 * i / TICKS);
        put_label(p, "share", LEFT + width + 6, y + 4, false, number);
    }
    put_label(p, "middle", MARGIN + 8, base - HEIGHT / 2.0, true, panel->unit);
    put_label(p, "middle", LEFT + width + RIGHT - 14, base - HEIGHT / 2.0, true, panel->bound);
}

static void put_bar(pen *p, const walsh_chart_panel *panel, const walsh_chart_bar *bar, int x, int base)
{
    bool beyond = bar->value > panel->top;
    double height = !(bar->value > 0) ? 0 : beyond ? HEIGHT : HEIGHT * bar->value / panel->top;
    if (bar->value > 0 && height < LEAST_HEIGHT) height = LEAST_HEIGHT;
    char number[32];
    put(p, "<path class=\"s%d\" d=\"M%d %dv-%.1f", bar->series, x, base, height);
    if (beyond)
        put(p, "l%g-%dl%g %d", INK / 2.0, POINT, INK / 2.0, POINT);
    else
        put(p, "h%d", INK);
    put(p, "v%.1fz\"><title>", height);
    put_text(p, bar->note);
    put(p, "</title></path>\n");
    if (!beyond) return;
    snprintf(number, sizeof number, "%.3g", bar->value);
    put_label(p, "value", x + INK, base - HEIGHT - POINT - 3, true, number);
}

/* The bars of a group, by series. Returns where the next may stand. */
static int put_group(pen *p, const walsh_chart_panel *panel, const char *group, int x, int base)
{
    for (int series = 0; series < WALSH_CHART_SERIES; series++) {
        for (size_t i = 0; i < panel->count; i++) {
            const walsh_chart_bar *bar = &panel->bars[i];
            if (bar->series != series || strcmp(bar->group, group)) continue;
            put_bar(p, panel, bar, x, base);
            x += BAR;
        }
    }
    return x;
}

/* The bars, and below each group its name. */
static void put_bars(pen *p, const walsh_chart_panel *panel, int base)
{
    int x = LEFT;
    for (size_t i = 0; i < panel->count; i++) {
        if (!opens_group(panel, i)) continue;
        const char *group = panel->bars[i].group;
        int from = x + GAP / 2, to = put_group(p, panel, group, from, base);
        put_label(p, "name", (from + to) / 2.0 + 3, base + 6, true, group);
        x = to + GAP - GAP / 2;
    }
}

static void put_panel(pen *p, const walsh_chart *chart, const walsh_chart_panel *panel, int width, int y)
{
    int base = y + LINE + BEYOND + HEIGHT;
    put_label(p, "heading", LEFT, y + LINE / 2.0, false, panel->heading);
    put_axes(p, panel, width, base);
    put_bars(p, panel, base);
    put_label(p, "middle", LEFT + width / 2.0, base + depth_of(panel) + 4, false, chart->groups);
}

walsh_status walsh_chart_write(walsh_file_writer *file, const walsh_chart *chart)
{
    pen p = {.file = file};
    int bars = LEAST_WIDTH, height = TOP + MARGIN, y = TOP;
    for (size_t i = 0; i < chart->panel_count; i++) {
        const walsh_chart_panel *panel = &chart->panels[i];
        if (panel->count) height += panel_height(panel);
        if (width_of(panel) > bars) bars = width_of(panel);
    }
    int width = LEFT + bars + RIGHT;
    height += put_legend(NULL, chart, width, 0);
    put(&p,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" viewBox=\"0 0 %d %d\" role=\"img\">\n",
        width, height, width, height);
    put(&p, "<title>");
    put_text(&p, chart->title);
    put(&p, "</title>\n");
    put_style(&p);
    put(&p, "<rect class=\"paper\" fill=\"#fff\" width=\"%d\" height=\"%d\"/>\n", width, height);
    put_label(&p, "title", MARGIN, MARGIN + LINE / 2, false, chart->title);
    put_label(&p, "subtitle", MARGIN, MARGIN + LINE / 2 + LINE, false, chart->subtitle);
    y += put_legend(&p, chart, width, y);
    for (size_t i = 0; i < chart->panel_count; i++) {
        const walsh_chart_panel *panel = &chart->panels[i];
        if (!panel->count) continue;
        put_panel(&p, chart, panel, bars, y);
        y += panel_height(panel);
    }
    put(&p, "</svg>\n");
    flush(&p);
    return p.status;
}
