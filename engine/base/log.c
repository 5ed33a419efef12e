#include "engine/base/log.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static walsh_log_sink current;
static void *current_context;
static walsh_log_level current_level;

void walsh_log_to(walsh_log_sink sink, void *context, walsh_log_level level)
{
    pthread_mutex_lock(&lock);
    current = sink;
    current_context = context;
    current_level = level;
    pthread_mutex_unlock(&lock);
}

void walsh_log(walsh_log_level level, const char *format, ...)
{
    /* Held during the call, so that lines of several threads do not mix. */
    pthread_mutex_lock(&lock);
    if (current && level <= current_level) {
        char text[4096];
        va_list args;
        va_start(args, format);
        vsnprintf(text, sizeof text, format, args);
        va_end(args);
        current(current_context, level, text);
    }
    pthread_mutex_unlock(&lock);
}
