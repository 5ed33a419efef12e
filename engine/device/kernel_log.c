#include "engine/device/kernel_log.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The lines that this process has written, for as long as it lives. */
static struct {
    pthread_mutex_t lock;
    char **lines;
    size_t count;
} written = {.lock = PTHREAD_MUTEX_INITIALIZER};

static bool is_written(const char *line, size_t length)
{
    for (size_t i = 0; i < written.count; i++)
        if (!strncmp(written.lines[i], line, length) && written.lines[i][length] == '\n') return true;
    return false;
}

static walsh_status append_line(const char *path, const char *line)
{
    size_t length = strlen(line);
    int file = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
    ssize_t count = file < 0 ? -1 : write(file, line, length);
    int error = count < 0 ? errno : 0;
    if (file >= 0) close(file);
    if (count == (ssize_t)length) return WALSH_OK;
    WALSH_FAIL(WALSH_E_FILE, "%s: cannot append to the kernel log: %s", path, error ? strerror(error) : "short write");
}

static walsh_status log_once(const char *path, const char *variant)
{
    char *line;
    if (is_written(variant, strlen(variant))) return WALSH_OK;
    WALSH_TRY(walsh_grow(&written.lines, written.count, sizeof *written.lines, "the kernel log"));
    if (asprintf(&line, "%s\n", variant) < 0) WALSH_FAIL(WALSH_E_MEMORY, "out of memory for the kernel log");
    written.lines[written.count++] = line;
    return append_line(path, line);
}

walsh_status walsh_kernel_log(const char *variant)
{
    const char *path = getenv("WALSH_KERNEL_LOG");
    if (!path || !*path) return WALSH_OK;
    pthread_mutex_lock(&written.lock);
    walsh_status status = log_once(path, variant);
    pthread_mutex_unlock(&written.lock);
    return status;
}
