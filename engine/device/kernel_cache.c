/* A cache file is the key (device identity, options, source), each ended by a NUL, then the driver's binary. The file's
 * name is a hash of the key, and the whole key is compared on loading, so a collision costs a rebuild, never an error.
 */
#include "engine/device/kernel_cache.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/file.h"
#include "engine/base/hash.h"
#include "engine/base/log.h"

typedef struct cache_key {
    char *bytes;
    size_t size;
    char path[4096];
} cache_key;

static walsh_status make_key(walsh_device *device, const char *source, const char *options, cache_key *key)
{
    char identity[600], folder[3900];
    walsh_device_identity(device, identity, sizeof identity);
    WALSH_TRY(walsh_cache_folder(folder, sizeof folder));
    const char *part[] = {identity, options, source};
    key->size = 0;
    for (int i = 0; i < 3; i++) key->size += strlen(part[i]) + 1;
    WALSH_TRY(walsh_alloc(&key->bytes, key->size, 1, "a cache key"));
    char *end = key->bytes;
    for (int i = 0; i < 3; i++) end = stpcpy(end, part[i]) + 1;
    snprintf(key->path, sizeof key->path, "%s/%016llx.kernel", folder,
             (unsigned long long)walsh_hash(key->bytes, key->size));
    return WALSH_OK;
}

static cl_program from_binary(walsh_device *device, const char *options, const unsigned char *binary, size_t size)
{
    cl_int code, loaded;
    cl_program program = clCreateProgramWithBinary(device->context, 1, &device->id, &size, &binary, &loaded, &code);
    if (code != CL_SUCCESS) return NULL;
    if (loaded == CL_SUCCESS && clBuildProgram(program, 1, &device->id, options, NULL, NULL) == CL_SUCCESS)
        return program;
    clReleaseProgram(program);
    return NULL;
}

cl_program walsh_kernel_cache_load(walsh_device *device, const char *source, const char *options)
{
    cache_key key;
    if (make_key(device, source, options, &key)) return NULL;
    char *bytes = NULL;
    size_t size = 0;
    cl_program program = NULL;
    if (!walsh_file_read(key.path, &bytes, &size)) {
        uint64_t expected = 0;
        size_t start = key.size + sizeof expected;
        bool same = size > start && !memcmp(bytes, key.bytes, key.size);
        if (same) memcpy(&expected, bytes + key.size, sizeof expected);
        if (same && walsh_hash(bytes + start, size - start) == expected)
            program = from_binary(device, options, (const unsigned char *)(bytes + start), size - start);
        if (!program) walsh_log(WALSH_LOG_DEBUG, "%s: not usable, rebuilding", key.path);
    }
    free(bytes);
    free(key.bytes);
    return program;
}

void walsh_kernel_cache_store(walsh_device *device, const char *source, const char *options, cl_program program)
{
    size_t size = 0;
    cache_key key;
    if (clGetProgramInfo(program, CL_PROGRAM_BINARY_SIZES, sizeof size, &size, NULL) != CL_SUCCESS || !size) return;
    if (make_key(device, source, options, &key)) return;
    unsigned char *binary = malloc(size);
    if (binary && clGetProgramInfo(program, CL_PROGRAM_BINARIES, sizeof binary, &binary, NULL) == CL_SUCCESS) {
        const uint64_t sum = walsh_hash((const char *)binary, size);
        const walsh_file_part parts[] = {{key.bytes, key.size}, {&sum, sizeof sum}, {binary, size}};
        if (walsh_file_replace(key.path, parts, 3)) walsh_log(WALSH_LOG_DEBUG, "kernel cache: %s", walsh_message());
    }
    free(binary);
    free(key.bytes);
}
