/* Status codes and messages: how every function of Walsh reports what went wrong. */
#ifndef WALSH_STATUS_H
#define WALSH_STATUS_H

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define WALSH_API __attribute__((visibility("default")))
#else
#define WALSH_API
#endif

typedef enum walsh_status {
    WALSH_OK = 0,
    WALSH_E_ARGUMENT,   /* an argument or option is out of range or contradicts another */
    WALSH_E_FILE,       /* a file cannot be opened, read or written */
    WALSH_E_FORMAT,     /* a file was read and is not what it should be: truncated, corrupt, of another model */
    WALSH_E_NO_DEVICE,  /* no OpenCL device, or none that the selector names */
    WALSH_E_MEMORY,     /* host or device memory does not suffice */
    WALSH_E_BUILD,      /* a kernel does not compile; the message holds the compiler's log */
    WALSH_E_OPENCL,     /* any other failure of the OpenCL runtime */
    WALSH_E_NOT_FINITE, /* a loss or a weight is NaN or infinite */
    WALSH_E_STOPPED     /* the caller asked to stop; what was to be saved has been saved */
} walsh_status;

/* What the last failing call of this thread reported: one line that names the file or argument, what was
 * expected and what was found. Empty before the first failure; valid until the thread's next failure. */
WALSH_API const char *walsh_message(void);

/* The name of a code ("argument", "file", ...), for logs. Never NULL. */
WALSH_API const char *walsh_status_name(walsh_status status);

/* Messages about what the library does, never about failures. */
typedef enum walsh_log_level { WALSH_LOG_ERROR, WALSH_LOG_INFO, WALSH_LOG_DEBUG } walsh_log_level;

/* Receives one message without a newline. May be called from any thread. */
typedef void (*walsh_log_sink)(void *context, walsh_log_level level, const char *message);

/* Hands messages up to `level` to `sink`. The library is silent until this is called; sink NULL silences it again. */
WALSH_API void walsh_log_to(walsh_log_sink sink, void *context, walsh_log_level level);

#ifdef __cplusplus
}
#endif
#endif
