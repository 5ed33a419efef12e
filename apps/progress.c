#include "apps/progress.h"

#include "apps/values.h"
#include "engine/base/clock.h"

#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { NARROWEST = 20, WIDEST = 400, USUAL = 80, BAR = 30 };

static atomic_bool on_screen;

walsh_status walsh_bar_begin(const walsh_arguments *arguments, walsh_bar *bar)
{
    static const char *const when[] = {"auto", "always", "never", NULL};
    int choice = 0;
    *bar = (walsh_bar){0};
    walsh_status status = walsh_value_choice(arguments, WALSH_OPTION_PROGRESS, when, &choice);
    bar->shown = choice == 0 ? isatty(STDERR_FILENO) : choice == 1;
    return status;
}

static int terminal_width(void)
{
    struct winsize size;
    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) || !size.ws_col) return USUAL;
    return size.ws_col < NARROWEST ? NARROWEST : size.ws_col > WIDEST ? WIDEST : size.ws_col;
}

void walsh_bar_draw(walsh_bar *bar, const char *before, double done, double total, const char *after)
{
    double now = walsh_clock();
    if (!bar->shown || (now < bar->next && done < total)) return;
    bar->next = now + 0.1;
    /* The last column stays free: some terminals wrap when it is filled. */
    int width = terminal_width() - 1, room = width - (int)strlen(before) - (int)strlen(after) - 4;
    if (room > BAR) room = BAR;
    char line[2 * WIDEST], filling[BAR + 1] = "";
    if (room > 2) {
        int full = total > 0 ? (int)(room * (done < total ? done / total : 1)) : 0;
        for (int i = 0; i < room; i++) filling[i] = i < full ? '#' : '.';
        filling[room] = 0;
        snprintf(line, sizeof line, "%s [%s] %s", before, filling, after);
    } else {
        snprintf(line, sizeof line, "%s %s", before, after);
    }
    fprintf(stderr, "\r%.*s\033[K", width, line);
    fflush(stderr);
    atomic_store(&on_screen, true);
}

void walsh_bar_clear(void)
{
    if (atomic_exchange(&on_screen, false)) fputs("\r\033[K", stderr);
}

void walsh_note(const char *format, ...)
{
    char line[8192]; /* a compiler's log can be long */
    va_list values;
    va_start(values, format);
    vsnprintf(line, sizeof line, format, values);
    va_end(values);
    walsh_bar_clear();
    fprintf(stderr, "%s\n", line);
}

const char *walsh_duration(double seconds, char out[WALSH_DURATION])
{
    if (!(seconds >= 0 && seconds < 1e9)) {
        snprintf(out, WALSH_DURATION, "-:--");
        return out;
    }
    long whole = lround(seconds), hours = whole / 3600, minutes = whole / 60 % 60;
    if (hours)
        snprintf(out, WALSH_DURATION, "%ld:%02ld:%02ld", hours, minutes, whole % 60);
    else
        snprintf(out, WALSH_DURATION, "%ld:%02ld", minutes, whole % 60);
    return out;
}
