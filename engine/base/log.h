/* Messages to whoever called walsh_log_to(); nothing is formatted for a level that nobody hears. */
#ifndef WALSH_ENGINE_BASE_LOG_H
#define WALSH_ENGINE_BASE_LOG_H

#include <walsh/status.h>

void walsh_log(walsh_log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
