/* The safetensors format (https://github.com/huggingface/safetensors): the header's length as 8 little-endian bytes, a
 * JSON header {"__metadata__": {string: string}, NAME: {"dtype", "shape", "data_offsets": [begin, end]}}, then the
 * data. */
#ifndef WALSH_ENGINE_BASE_SAFETENSORS_H
#define WALSH_ENGINE_BASE_SAFETENSORS_H

#include <stdbool.h>
#include <stddef.h>
#include <walsh/status.h>

/* The format's types; BOOL is a byte, F4 and F6_* are packed without padding, C64 is two floats. */
typedef enum walsh_dtype {
    WALSH_DTYPE_BOOL,
    WALSH_DTYPE_U8,
    WALSH_DTYPE_I8,
    WALSH_DTYPE_U16,
    WALSH_DTYPE_I16,
    WALSH_DTYPE_U32,
    WALSH_DTYPE_I32,
    WALSH_DTYPE_U64,
    WALSH_DTYPE_I64,
    WALSH_DTYPE_F4,
    WALSH_DTYPE_F6_E2M3,
    WALSH_DTYPE_F6_E3M2,
    WALSH_DTYPE_F8_E5M2,
    WALSH_DTYPE_F8_E4M3,
    WALSH_DTYPE_F8_E8M0,
    WALSH_DTYPE_F8_E5M2FNUZ,
    WALSH_DTYPE_F8_E4M3FNUZ,
    WALSH_DTYPE_F16,
    WALSH_DTYPE_BF16,
    WALSH_DTYPE_F32,
    WALSH_DTYPE_F64,
    WALSH_DTYPE_C64,
    WALSH_DTYPE_COUNT
} walsh_dtype;

/* The format's name of a type ("F32"); never NULL. */
const char *walsh_dtype_name(walsh_dtype dtype);

/* Bits of one element. */
size_t walsh_dtype_bits(walsh_dtype dtype);

enum { WALSH_SAFETENSORS_RANK = 8 }; /* most dimensions of a tensor that is read or written */

typedef struct walsh_safetensors_entry {
    const char *name;
    walsh_dtype dtype;
    int rank; /* 0: a scalar */
    size_t shape[WALSH_SAFETENSORS_RANK];
    const void *data; /* C order, little-endian; when read, not aligned to anything */
    size_t size;      /* bytes of data; when writing, ignored: shape and dtype say it */
} walsh_safetensors_entry;

typedef struct walsh_safetensors_pair {
    const char *key;
    const char *value;
} walsh_safetensors_pair;

/* Replaces PATH atomically (engine/base/file.h). The header lists metadata and entries in the order given; the data lie
 * by falling width of their types, in the given order within a width, so that every tensor is aligned without holes.
 * The same arguments give the same bytes. Fails with WALSH_E_ARGUMENT for two equal names or keys, the name
 * "__metadata__", text that is not UTF-8, a rank out of range or a shape without a whole number of bytes. */
walsh_status walsh_safetensors_write(const char *path, const walsh_safetensors_entry *entries, size_t count,
                                     const walsh_safetensors_pair *metadata, size_t metadata_count);

/* An open file, wholly in memory. */
typedef struct walsh_safetensors walsh_safetensors;

/* Reads a file and checks all of it: lengths, JSON, UTF-8, types, shapes against byte ranges, unique names, and that
 * the ranges cover the data without holes or overlaps. Fails with WALSH_E_FILE where it cannot be read and with
 * WALSH_E_FORMAT where it is not what it should be; then *file is NULL. */
walsh_status walsh_safetensors_open(const char *path, walsh_safetensors **file);

/* Frees the file and all that it handed out, and sets the pointer to NULL; NULL is accepted. */
void walsh_safetensors_close(walsh_safetensors **file);

/* The tensor of that name, or NULL; in logarithmic time. */
const walsh_safetensors_entry *walsh_safetensors_find(const walsh_safetensors *file, const char *name);

/* All tensors, in the header's order: 0 <= index < count. */
size_t walsh_safetensors_count(const walsh_safetensors *file);
const walsh_safetensors_entry *walsh_safetensors_at(const walsh_safetensors *file, size_t index);

/* The value of a metadata key, or NULL. */
const char *walsh_safetensors_metadata(const walsh_safetensors *file, const char *key);

/* All metadata, in the order of their keys: 0 <= index < count. */
size_t walsh_safetensors_metadata_count(const walsh_safetensors *file);
const walsh_safetensors_pair *walsh_safetensors_metadata_at(const walsh_safetensors *file, size_t index);

/* Converts a tensor of F32, F16, BF16 or F64 to out[elements]; F64 is rounded to nearest, beyond float's range to
 * infinity. Fails with WALSH_E_FORMAT for other types. */
walsh_status walsh_safetensors_to_f32(const walsh_safetensors_entry *entry, float *out);

/* Bytes of a tensor; false if there are more than size_t counts, or not a whole number. For reader and writer. */
bool walsh_safetensors_bytes(walsh_dtype dtype, int rank, const size_t *shape, size_t *bytes);

#endif
