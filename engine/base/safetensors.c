/* Reading safetensors. */
#include "engine/base/safetensors.h"

#include "engine/base/file.h"
#include "engine/base/status.h"
#include "engine/base/utf8.h"

#include <cjson/cJSON.h>

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "tensors are handed out in the file's byte order");

struct walsh_safetensors {
    char *bytes;   /* the whole file */
    cJSON *header; /* owns every name, key and value */
    const char *data;
    size_t data_size;
    walsh_safetensors_entry *entries;       /* [count], the header's order */
    const walsh_safetensors_entry **sorted; /* [count], by name */
    size_t count;
    walsh_safetensors_pair *pairs; /* [pair_count], by key */
    size_t pair_count;
    char path[];
};

/* ---- the header's text ---- */

/* A NUL, raw or as \u0000, would end a C string early and make two names one. */
static bool has_nul(const char *text, size_t size)
{
    if (memchr(text, 0, size)) return true;
    for (size_t i = 0; i + 1 < size; i++) {
        if (text[i] != '\\') continue;
        if (size - i >= 6 && !memcmp(text + i, "\\u0000", 6)) return true;
        i++; /* what is escaped, perhaps a backslash, begins no escape itself */
    }
    return false;
}

static bool only_space(const char *text, const char *end)
{
    while (text < end && strchr(" \t\r\n", *text)) text++;
    return text == end;
}

/* What torch.save begins a file with: a zip archive, and before PyTorch 1.6 a pickled number. */
static bool is_of_pytorch(const char *bytes)
{
    return !memcmp(bytes, "PK\3\4", 4) || !memcmp(bytes, "\200\2\212\12", 4);
}

/* Splits the file's bytes into header and data, and parses the header. */
static walsh_status read_header(walsh_safetensors *f, size_t size)
{
    const size_t most = 100000000; /* as the reference implementation has it */
    uint64_t length;
    if (size < sizeof length)
        WALSH_FAIL(WALSH_E_FORMAT, "%s: expected a safetensors file of 8 bytes or more, found %zu", f->path, size);
    memcpy(&length, f->bytes, sizeof length);
    if (length > most && is_of_pytorch(f->bytes))
        WALSH_FAIL(WALSH_E_FORMAT,
                   "%s: expected a safetensors file, found one that PyTorch has saved: tools/pth2safetensors.py "
                   "converts it",
                   f->path);
    if (length > most)
        WALSH_FAIL(WALSH_E_FORMAT, "%s: expected a header of at most %zu bytes, found a length of %llu", f->path, most,
                   (unsigned long long)length);
    if (length > size - sizeof length)
        WALSH_FAIL(WALSH_E_FORMAT, "%s: the header should have %llu bytes, but the file ends after %zu of them",
                   f->path, (unsigned long long)length, size - sizeof length);
    const char *text = f->bytes + sizeof length, *end = text;
    f->data = text + length;
    f->data_size = size - sizeof length - (size_t)length;
    if (length == 0 || text[0] != '{')
        WALSH_FAIL(WALSH_E_FORMAT, "%s: expected a header that begins with '{'", f->path);
    if (!walsh_utf8_valid(text, length) || has_nul(text, length))
        WALSH_FAIL(WALSH_E_FORMAT, "%s: expected UTF-8 without NUL in the header", f->path);
    f->header = cJSON_ParseWithLengthOpts(text, (size_t)length, &end, false);
    if (!f->header || end > f->data || !only_space(end, f->data))
        WALSH_FAIL(WALSH_E_FORMAT, "%s: expected one JSON object as header, found an error at byte %zu of %llu",
                   f->path, (size_t)(end - text), (unsigned long long)length);
    return WALSH_OK;
}

/* ---- one tensor ---- */

/* JSON's numbers arrive as doubles; below 2^53 each whole one is exact. */
static bool whole_number(const cJSON *item, size_t *out)
{
    double v = item->valuedouble;
    if (!cJSON_IsNumber(item) || !(v >= 0 && v < 0x1p53 && v <= (double)SIZE_MAX)) return false;
    *out = (size_t)v;
    return (double)*out == v;
}

/* The one member `key` of a tensor, NULL where there is none or more than one. */
static const cJSON *member(const cJSON *tensor, const char *key)
{
    const cJSON *found = NULL, *item;
    cJSON_ArrayForEach(item, tensor)
    {
        if (strcmp(item->string, key)) continue;
        if (found) return NULL;
        found = item;
    }
    return found;
}

static walsh_status read_dtype(const walsh_safetensors *f, const cJSON *item, walsh_safetensors_entry *entry)
{
    const cJSON *dtype = member(item, "dtype");
    if (!cJSON_IsString(dtype))
        WALSH_FAIL(WALSH_E_FORMAT, "%s: tensor '%s': expected one string \"dtype\"", f->path,
                   walsh_show(entry->name).text);
    for (entry->dtype = 0; entry->dtype < WALSH_DTYPE_COUNT; entry->dtype++)
        if (!strcmp(dtype->valuestring, walsh_dtype_name(entry->dtype))) return WALSH_OK;
    WALSH_FAIL(WALSH_E_FORMAT, "%s: tensor '%s': expected a known dtype, found '%s'", f->path,
               walsh_show(entry->name).text, walsh_show(dtype->valuestring).text);
}

static walsh_status read_shape(const walsh_safetensors *f, const cJSON *item, walsh_safetensors_entry *entry)
{
    const cJSON *shape = member(item, "shape"), *length;
    if (!cJSON_IsArray(shape))
        WALSH_FAIL(WALSH_E_FORMAT, "%s: tensor '%s': expected one list \"shape\"", f->path,
                   walsh_show(entry->name).text);
    cJSON_ArrayForEach(length, shape)
    {
        if (entry->rank == WALSH_SAFETENSORS_RANK)
            WALSH_FAIL(WALSH_E_FORMAT, "%s: tensor '%s': expected at most %d dimensions, found more", f->path,
                       walsh_show(entry->name).text, WALSH_SAFETENSORS_RANK);
        if (!whole_number(length, &entry->shape[entry->rank++]))
            WALSH_FAIL(WALSH_E_FORMAT, "%s: tensor '%s': expected whole numbers from 0 in its shape", f->path,
                       walsh_show(entry->name).text);
    }
    if (!walsh_safetensors_bytes(entry->dtype, entry->rank, entry->shape, &entry->size))
        WALSH_FAIL(WALSH_E_FORMAT,
                   "%s: tensor '%s': the shape of this %s needs more bytes than can be counted, or no whole"
                   " number of them",
                   f->path, walsh_show(entry->name).text, walsh_dtype_name(entry->dtype));
    return WALSH_OK;
}

static walsh_status read_range(const walsh_safetensors *f, const cJSON *item, walsh_safetensors_entry *entry)
{
    const cJSON *range = member(item, "data_offsets");
    size_t begin, end;
    if (!cJSON_IsArray(range) || cJSON_GetArraySize(range) != 2 || !whole_number(range->child, &begin) ||
        !whole_number(range->child->next, &end))
        WALSH_FAIL(WALSH_E_FORMAT, "%s: tensor '%s': expected one list \"data_offsets\" of two whole numbers from 0",
                   f->path, walsh_show(entry->name).text);
    if (begin > end || end - begin != entry->size)
        WALSH_FAIL(WALSH_E_FORMAT,
                   "%s: tensor '%s': expected %zu bytes by its shape and dtype, found offsets %zu to %zu", f->path,
                   walsh_show(entry->name).text, entry->size, begin, end);
    if (end > f->data_size)
        WALSH_FAIL(WALSH_E_FORMAT, "%s: tensor '%s' should end at byte %zu of the data, but the file ends after %zu",
                   f->path, walsh_show(entry->name).text, end, f->data_size);
    entry->data = f->data + begin;
    return WALSH_OK;
}

static walsh_status read_tensor(const walsh_safetensors *f, const cJSON *item, walsh_safetensors_entry *entry)
{
    entry->name = item->string;
    if (!cJSON_IsObject(item))
        WALSH_FAIL(WALSH_E_FORMAT, "%s: tensor '%s': expected a JSON object", f->path, walsh_show(entry->name).text);
    WALSH_TRY(read_dtype(f, item, entry));
    WALSH_TRY(read_shape(f, item, entry));
    return read_range(f, item, entry);
}

/* ---- all tensors, all metadata ---- */

static int compare_names(const void *a, const void *b)
{
    const walsh_safetensors_entry *const *x = a, *const *y = b;
    return strcmp((*x)->name, (*y)->name);
}

static int compare_ranges(const void *a, const void *b)
{
    const walsh_safetensors_entry *x = *(const walsh_safetensors_entry *const *)a;
    const walsh_safetensors_entry *y = *(const walsh_safetensors_entry *const *)b;
    if (x->data != y->data) return (const char *)x->data < (const char *)y->data ? -1 : 1;
    return (x->size > y->size) - (x->size < y->size);
}

static int compare_keys(const void *a, const void *b)
{
    return strcmp(((const walsh_safetensors_pair *)a)->key, ((const walsh_safetensors_pair *)b)->key);
}

/* The tensors must follow each other from the first byte to the last, in any order of names. */
static walsh_status check_cover(const walsh_safetensors *f)
{
    const char *next = f->data;
    for (size_t i = 0; i < f->count; i++) {
        const walsh_safetensors_entry *entry = f->sorted[i];
        const char *begin = entry->data;
        if (begin != next)
            WALSH_FAIL(WALSH_E_FORMAT, "%s: tensor '%s': expected its data at byte %zu, found %zu (%s)", f->path,
                       walsh_show(entry->name).text, (size_t)(next - f->data), (size_t)(begin - f->data),
                       begin < next ? "two tensors overlap" : "bytes of no tensor lie between");
        next = begin + entry->size;
    }
    if (next != f->data + f->data_size)
        WALSH_FAIL(WALSH_E_FORMAT, "%s: expected %zu bytes of data by its tensors, found %zu", f->path,
                   (size_t)(next - f->data), f->data_size);
    return WALSH_OK;
}

static walsh_status read_metadata(walsh_safetensors *f, const cJSON *object)
{
    if (f->pairs) WALSH_FAIL(WALSH_E_FORMAT, "%s: expected one \"__metadata__\", found two", f->path);
    if (!cJSON_IsObject(object)) WALSH_FAIL(WALSH_E_FORMAT, "%s: expected a JSON object \"__metadata__\"", f->path);
    WALSH_TRY(walsh_alloc(&f->pairs, (size_t)cJSON_GetArraySize(object), sizeof *f->pairs, f->path));
    const cJSON *item;
    cJSON_ArrayForEach(item, object)
    {
        if (!cJSON_IsString(item))
            WALSH_FAIL(WALSH_E_FORMAT, "%s: metadata '%s': expected a string", f->path, walsh_show(item->string).text);
        f->pairs[f->pair_count++] = (walsh_safetensors_pair){item->string, item->valuestring};
    }
    qsort(f->pairs, f->pair_count, sizeof *f->pairs, compare_keys);
    for (size_t i = 1; i < f->pair_count; i++)
        if (!strcmp(f->pairs[i - 1].key, f->pairs[i].key))
            WALSH_FAIL(WALSH_E_FORMAT, "%s: metadata '%s' is there twice", f->path, walsh_show(f->pairs[i].key).text);
    return WALSH_OK;
}

static walsh_status read_entries(walsh_safetensors *f)
{
    size_t most = (size_t)cJSON_GetArraySize(f->header);
    WALSH_TRY(walsh_alloc(&f->entries, most, sizeof *f->entries, f->path));
    WALSH_TRY(walsh_alloc(&f->sorted, most, sizeof *f->sorted, f->path));
    const cJSON *item;
    cJSON_ArrayForEach(item, f->header)
    {
        if (!strcmp(item->string, "__metadata__")) {
            WALSH_TRY(read_metadata(f, item));
        } else {
            f->sorted[f->count] = &f->entries[f->count];
            WALSH_TRY(read_tensor(f, item, &f->entries[f->count]));
            f->count++;
        }
    }
    qsort(f->sorted, f->count, sizeof *f->sorted, compare_names);
    for (size_t i = 1; i < f->count; i++)
        if (!strcmp(f->sorted[i - 1]->name, f->sorted[i]->name))
            WALSH_FAIL(WALSH_E_FORMAT, "%s: tensor '%s' is there twice", f->path, walsh_show(f->sorted[i]->name).text);
    qsort(f->sorted, f->count, sizeof *f->sorted, compare_ranges);
    WALSH_TRY(check_cover(f));
    qsort(f->sorted, f->count, sizeof *f->sorted, compare_names);
    return WALSH_OK;
}

walsh_status walsh_safetensors_open(const char *path, walsh_safetensors **file)
{
    *file = NULL;
    walsh_safetensors *f;
    WALSH_TRY(walsh_alloc(&f, 1, sizeof *f + strlen(path) + 1, path));
    strcpy(f->path, path);
    size_t size;
    walsh_status status = walsh_file_read(path, &f->bytes, &size);
    if (!status) status = read_header(f, size);
    if (!status) status = read_entries(f);
    if (status)
        walsh_safetensors_close(&f);
    else
        *file = f;
    return status;
}

void walsh_safetensors_close(walsh_safetensors **file)
{
    walsh_safetensors *f = *file;
    if (!f) return;
    cJSON_Delete(f->header);
    free(f->pairs);
    free(f->sorted);
    free(f->entries);
    free(f->bytes);
    free(f);
    *file = NULL;
}

/* ---- what a reader asks for ---- */

const walsh_safetensors_entry *walsh_safetensors_find(const walsh_safetensors *file, const char *name)
{
    const walsh_safetensors_entry wanted = {.name = name}, *key = &wanted;
    const walsh_safetensors_entry **found =
        bsearch(&key, file->sorted, file->count, sizeof *file->sorted, compare_names);
    return found ? *found : NULL;
}

size_t walsh_safetensors_count(const walsh_safetensors *file)
{
    return file->count;
}

const walsh_safetensors_entry *walsh_safetensors_at(const walsh_safetensors *file, size_t index)
{
    return &file->entries[index];
}

const char *walsh_safetensors_metadata(const walsh_safetensors *file, const char *key)
{
    const walsh_safetensors_pair wanted = {key, NULL};
    if (!file->pair_count) return NULL; /* bsearch() takes no null array, not even an empty one */
    const walsh_safetensors_pair *found = bsearch(&wanted, file->pairs, file->pair_count, sizeof wanted, compare_keys);
    return found ? found->value : NULL;
}

size_t walsh_safetensors_metadata_count(const walsh_safetensors *file)
{
    return file->pair_count;
}

const walsh_safetensors_pair *walsh_safetensors_metadata_at(const walsh_safetensors *file, size_t index)
{
    return &file->pairs[index];
}
