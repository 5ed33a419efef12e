#include "engine/device/program.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/file.h"
#include "engine/base/log.h"
#include "engine/device/ahead.h"
#include "engine/device/kernel_cache.h"
#include "engine/device/quirks.h"

struct walsh_program {
    walsh_program *next;
    cl_program program;
    char *options;
    char file[]; /* the kernel file's name */
};

/* Reads FOLDER/NAME with every line `#include "x"` replaced by FOLDER/x, as embed.py does: so that the kernel caches,
 * which know only the text, see what is included. The caller frees *text. */
static walsh_status read_source(const char *folder, const char *name, int depth, char **text)
{
    static const char directive[] = "\n#include \"";
    char path[4096], included[256], *at;
    size_t size;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    if (depth > 8) WALSH_FAIL(WALSH_E_FORMAT, "%s: includes go deeper than 8 files", path);
    WALSH_TRY(walsh_file_read(path, text, &size));
    while ((at = strstr(*text, directive)) && sscanf(at + sizeof directive - 1, "%255[^\"\n]\"", included) == 1) {
        char *inner = NULL, *joined = NULL;
        const char *rest = strchr(at + 1, '\n');
        walsh_status status = read_source(folder, included, depth + 1, &inner);
        if (status) {
            free(inner);
            return status;
        }
        int length = asprintf(&joined, "%.*s\n%s%s", (int)(at - *text), *text, inner, rest ? rest : "");
        free(inner);
        if (length < 0) WALSH_FAIL(WALSH_E_MEMORY, "out of memory for the kernel file %s", path);
        free(*text);
        *text = joined;
    }
    return WALSH_OK;
}

/* The text of cl/FILE.cl: from $WALSH_KERNEL_DIR where that is set, else embedded. *edited is to be freed, also after a
 * failure. */
static walsh_status find_source(const char *file, const char **source, char **edited)
{
    const char *folder = getenv("WALSH_KERNEL_DIR");
    *edited = NULL;
    if (folder && *folder) {
        char name[256];
        snprintf(name, sizeof name, "%s.cl", file);
        WALSH_TRY(read_source(folder, name, 0, edited));
        *source = *edited;
        return WALSH_OK;
    }
    for (const walsh_kernel_file *f = walsh_kernel_files; f->name; f++) {
        if (strcmp(f->name, file)) continue;
        *source = f->source;
        return WALSH_OK;
    }
    WALSH_FAIL(WALSH_E_ARGUMENT, "there is no kernel file '%s.cl'", file);
}

/* Drops the lines of `#pragma unroll` that have a count. `*edited` is `source` or NULL, as find_source leaves it. */
static walsh_status drop_unroll_counts(const char **source, char **edited)
{
    static const char pragma[] = "#pragma unroll ";
    if (!*edited && !(*edited = strdup(*source))) WALSH_FAIL(WALSH_E_MEMORY, "out of memory for a kernel file");
    for (char *at = *edited; (at = strstr(at, pragma));) memset(at, ' ', strcspn(at, "\n"));
    *source = *edited;
    return WALSH_OK;
}

/* The compiler's log, which the caller frees, or NULL where there is none. */
static char *build_log(walsh_device *device, cl_program program)
{
    size_t size = 0;
    if (clGetProgramBuildInfo(program, device->id, CL_PROGRAM_BUILD_LOG, 0, NULL, &size) != CL_SUCCESS) return NULL;
    char *log = calloc(size + 1, 1);
    if (log) clGetProgramBuildInfo(program, device->id, CL_PROGRAM_BUILD_LOG, size, log, NULL);
    if (log && strspn(log, " \n\t") == strlen(log)) free(log), log = NULL;
    return log;
}

static walsh_status build(walsh_device *device, const char *file, const char *source, const char *options,
                          cl_program *program)
{
    cl_int code;
    *program = clCreateProgramWithSource(device->context, 1, &source, NULL, &code);
    if (code != CL_SUCCESS) return walsh_cl_fail(code, "clCreateProgramWithSource");
    code = clBuildProgram(*program, 1, &device->id, options, NULL, NULL);
    char *log = build_log(device, *program);
    walsh_status status = WALSH_OK;
    if (code != CL_SUCCESS) {
        status = walsh_fail(WALSH_E_BUILD, "cl/%s.cl does not compile on %s with '%s':\n%s", file, device->info.name,
                            options, log ? log : "(the driver gives no log)");
        clReleaseProgram(*program);
        *program = NULL;
    } else if (log) {
        walsh_log(WALSH_LOG_DEBUG, "cl/%s.cl with '%s': %s", file, options, log);
    }
    free(log);
    return status;
}

walsh_status walsh_program_text_find(const walsh_device *device, const char *file, const char *options,
                                     walsh_program_text *text)
{
    *text = (walsh_program_text){0};
    walsh_status status = find_source(file, &text->source, &text->edited);
    if (!status && device->quirks & WALSH_QUIRK_NO_UNROLL_COUNTS)
        status = drop_unroll_counts(&text->source, &text->edited);
    snprintf(text->options, sizeof text->options, "%s %s", device->build_options, options);
    if (status) walsh_program_text_free(text);
    return status;
}

void walsh_program_text_free(walsh_program_text *text)
{
    free(text->edited);
    *text = (walsh_program_text){0};
}

/* From the cache on disk where the driver has none of its own, else compiled. */
static walsh_status obtain(walsh_device *device, const char *file, const char *options, cl_program *program)
{
    walsh_program_text text;
    WALSH_TRY(walsh_program_text_find(device, file, options, &text));
    walsh_status status = WALSH_OK;
    bool driver_caches = device->quirks & WALSH_QUIRK_CACHES;
    *program = driver_caches ? NULL : walsh_kernel_cache_load(device, text.source, text.options);
    if (!*program) {
        status = build(device, file, text.source, text.options, program);
        if (!status && !driver_caches) walsh_kernel_cache_store(device, text.source, text.options, *program);
    }
    walsh_program_text_free(&text);
    return status;
}

static walsh_status remember(walsh_device *device, const char *file, const char *options, cl_program program,
                             walsh_program **entry)
{
    size_t name = strlen(file) + 1;
    WALSH_TRY(walsh_alloc(entry, 1, sizeof **entry + name + strlen(options) + 1, "a kernel program"));
    memcpy((*entry)->file, file, name);
    (*entry)->options = strcpy((*entry)->file + name, options);
    (*entry)->program = program;
    (*entry)->next = device->programs;
    device->programs = *entry;
    return WALSH_OK;
}

walsh_status walsh_program_make(walsh_device *device, const char *file, const char *options, cl_program *program)
{
    walsh_program *entry = device->programs;
    while (entry && (strcmp(entry->file, file) || strcmp(entry->options, options))) entry = entry->next;
    if (!entry) {
        cl_program made = NULL;
        WALSH_TRY(obtain(device, file, options, &made));
        walsh_status status = remember(device, file, options, made, &entry);
        if (status) {
            clReleaseProgram(made);
            return status;
        }
    }
    *program = entry->program;
    return WALSH_OK;
}

walsh_status walsh_kernel_create(walsh_device *device, const char *file, const char *function, const char *options,
                                 cl_kernel *kernel)
{
    cl_program program;
    cl_int code;
    *kernel = NULL;
    walsh_ahead_await(device, file, options);
    WALSH_TRY(walsh_program_make(device, file, options, &program));
    *kernel = clCreateKernel(program, function, &code);
    if (code == CL_INVALID_KERNEL_NAME) WALSH_FAIL(WALSH_E_ARGUMENT, "cl/%s.cl has no kernel '%s'", file, function);
    if (code != CL_SUCCESS) return walsh_cl_fail(code, "clCreateKernel");
    return WALSH_OK;
}

void walsh_programs_release(walsh_device *device)
{
    while (device->programs) {
        walsh_program *entry = device->programs;
        device->programs = entry->next;
        clReleaseProgram(entry->program);
        free(entry);
    }
}
