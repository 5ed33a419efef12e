/* Monotonic time. */
#ifndef WALSH_ENGINE_BASE_CLOCK_H
#define WALSH_ENGINE_BASE_CLOCK_H

/* Seconds since some fixed point in the past. */
double walsh_clock(void);

#endif
