#include <walsh/train.h>

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/status.h"
#include "engine/base/utf8.h"

static walsh_status refuse(const char *text)
{
    WALSH_FAIL(WALSH_E_ARGUMENT,
               "schedule '%s': expected constant, step:E1,E2,... (rising epochs), linear, cosine or onecycle",
               walsh_show(text).text);
}

static walsh_status parse_milestones(const char *text, const char *list, walsh_schedule *schedule)
{
    schedule->milestone_count = 0;
    for (const char *at = list;; at++) {
        char *end;
        long epoch = isdigit((unsigned char)*at) ? strtol(at, &end, 10) : -1;
        int n = schedule->milestone_count;
        if (epoch < 1 || epoch > 1000000 || n == WALSH_MAX_MILESTONES || (n && epoch <= schedule->milestones[n - 1]))
            return refuse(text);
        schedule->milestones[schedule->milestone_count++] = (int)epoch;
        at = end;
        if (!*at) return WALSH_OK;
        if (*at != ',') return refuse(text);
    }
}

walsh_status walsh_schedule_parse(const char *text, walsh_schedule *schedule)
{
    static const char *const names[] = {"constant", "step:", "linear", "cosine", "onecycle"};
    for (int kind = 0; kind < 5; kind++) {
        if (kind == WALSH_SCHEDULE_STEP ? strncmp(text, names[kind], 5) : strcmp(text, names[kind])) continue;
        schedule->kind = (walsh_schedule_kind)kind;
        schedule->milestone_count = 0;
        return kind == WALSH_SCHEDULE_STEP ? parse_milestones(text, text + 5, schedule) : WALSH_OK;
    }
    return refuse(text);
}

/* From a to b by half a period of a cosine, t in [0, 1]. */
static double cosine_between(double a, double b, double t)
{
    const double pi = 3.14159265358979323846;
    return b + (a - b) * 0.5 * (1 + cos(pi * t));
}

static double onecycle(double lr, double step, double steps)
{
    const double low = lr / 25, lowest = lr / 250000;
    double peak = fmax(0.3 * steps - 1, 0), last = steps - 1;
    if (step < peak) return cosine_between(low, lr, step / peak);
    return last > peak ? cosine_between(lr, lowest, (step - peak) / (last - peak)) : lr;
}

double walsh_schedule_rate(const walsh_schedule *schedule, double lr, uint64_t step, uint64_t steps,
                           uint64_t steps_per_epoch)
{
    double warmup = floor(schedule->warmup * (double)steps_per_epoch), at = (double)step - warmup;
    double span = (double)steps - warmup;
    if (at < 0) return lr * (double)step / warmup;
    int passed = 0;
    switch (schedule->kind) {
    case WALSH_SCHEDULE_STEP:
        while (passed < schedule->milestone_count && step >= (uint64_t)schedule->milestones[passed] * steps_per_epoch)
            passed++;
        return lr * pow(0.1, passed);
    case WALSH_SCHEDULE_LINEAR:
        return lr * (1 - at / span);
    case WALSH_SCHEDULE_COSINE:
        return cosine_between(lr, 0, at / span);
    case WALSH_SCHEDULE_ONECYCLE:
        return onecycle(lr, at, span);
    default:
        return lr;
    }
}
