#include "engine/device/kernel_log.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
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

static const char *log_path(void)
{
    const char *path = getenv("WALSH_KERNEL_LOG");
    return path && *path ? path : NULL;
}

walsh_status walsh_kernel_log_line(const walsh_launch *launch, char **line)
{
    size_t local[3];
    *line = NULL;
    if (!log_path()) return WALSH_OK;
    for (int d = 0; d < 3; d++) local[d] = launch->local[d] ? launch->local[d] : 1;
    if (asprintf(line, "%s.cl\t%s\t%s\t%zux%zux%zu\n", launch->file, launch->options ? launch->options : "",
                 launch->function, local[0], local[1], local[2]) < 0) {
        *line = NULL;
        WALSH_FAIL(WALSH_E_MEMORY, "out of memory for a line of the kernel log");
    }
    return WALSH_OK;
}

static bool is_written(const char *line)
{
    for (size_t i = 0; i < written.count; i++)
        if (!strcmp(written.lines[i], line)) return true;
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

/* Takes over the line where it is a new one. */
static walsh_status keep(const char *path, char **line)
{
    if (is_written(*line)) return WALSH_OK;
    WALSH_TRY(append_line(path, *line));
    WALSH_TRY(walsh_grow(&written.lines, written.count, sizeof *written.lines, "the kernel log"));
    written.lines[written.count++] = *line;
    *line = NULL;
    return WALSH_OK;
}

walsh_status walsh_kernel_log_append(char **line)
{
    const char *path = log_path();
    walsh_status status = WALSH_OK;
    if (*line && path) {
        pthread_mutex_lock(&written.lock);
        status = keep(path, line);
        pthread_mutex_unlock(&written.lock);
    }
    free(*line);
    *line = NULL;
    return status;
}
