/* Bar charts as SVG: panels below each other, each with an axis that ends at the most that its bars could be. */
#ifndef WALSH_APPS_CHART_H
#define WALSH_APPS_CHART_H

#include <stddef.h>
#include <walsh/status.h>

#include "engine/base/file.h"

enum { WALSH_CHART_SERIES = 8 }; /* colours */

typedef struct walsh_chart_bar {
    const char *group; /* bars of one group stand together, by series, at the place of the first, above its name */
    int series;        /* the bar's colour, below WALSH_CHART_SERIES */
    double value;      /* from 0; beyond the panel's top the bar ends in a point there, and its value stands above it */
    char note[128];    /* what is shown where one points at it */
} walsh_chart_bar;

typedef struct walsh_chart_panel {
    const char *heading, *unit, *bound; /* the last names what the other axis shows the share of, in per cent */
    double top;                         /* where the axis ends, above 0 */
    const walsh_chart_bar *bars;
    size_t count; /* 0: the panel is left out */
} walsh_chart_panel;

/* Texts are UTF-8. */
typedef struct walsh_chart {
    const char *title, *subtitle, *groups;  /* the last: what the names below the bars are */
    const char *series[WALSH_CHART_SERIES]; /* for the legend; NULL: it has no bars */
    const walsh_chart_panel *panels;
    size_t panel_count;
} walsh_chart;

/* Writes the chart into a file that has been begun; it can be committed then. It is as wide as its bars need, and its
 * text is dark on light or light on dark as the viewer prefers. */
walsh_status walsh_chart_write(walsh_file_writer *file, const walsh_chart *chart);

#endif
