/* What a person sees on stderr while the work goes on: messages, and a progress bar in the terminal's last line. */
#ifndef WALSH_APPS_PROGRESS_H
#define WALSH_APPS_PROGRESS_H

#include "apps/options.h"

#include <stdarg.h>

typedef struct walsh_bar {
    bool shown;  /* whether to draw at all */
    double next; /* walsh_clock() of the next drawing: ten a second at most */
} walsh_bar;

/* Reads --progress: by itself, a bar is drawn where stderr is a terminal. */
walsh_status walsh_bar_begin(const walsh_arguments *arguments, walsh_bar *bar);

/* Draws `done` of `total` with `before` the bar and `after` behind it, if it is time to; the last one is always drawn.
 */
void walsh_bar_draw(walsh_bar *bar, const char *before, double done, double total, const char *after);

/* A line on stderr, where the bar was if there is one. From any thread. */
void walsh_note(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Removes the bar, before something else is printed. */
void walsh_bar_clear(void);

enum { WALSH_DURATION = 32 };

/* Writes "1:02:03" or "2:03" into `out`; "-:--" for a negative or unknown time. */
const char *walsh_duration(double seconds, char out[WALSH_DURATION]);

#endif
