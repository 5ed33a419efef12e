/* Writing safetensors. */
#include "engine/base/safetensors.h"

#include "engine/base/file.h"
#include "engine/base/status.h"
#include "engine/base/utf8.h"

#include <cjson/cJSON.h>

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- what is asked for makes sense ---- */

static int compare_texts(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Sorts `texts`, and fails if one of them is there twice or is no UTF-8. */
static walsh_status check_texts(const char *path, const char *what, const char **texts, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!walsh_utf8_valid(texts[i], strlen(texts[i])))
            WALSH_FAIL(WALSH_E_ARGUMENT, "%s: %s '%s': expected UTF-8", path, what, walsh_show(texts[i]).text);
    qsort(texts, count, sizeof *texts, compare_texts);
    for (size_t i = 1; i < count; i++)
        if (!strcmp(texts[i - 1], texts[i]))
            WALSH_FAIL(WALSH_E_ARGUMENT, "%s: %s '%s' is there twice", path, what, walsh_show(texts[i]).text);
    return WALSH_OK;
}

static walsh_status check_names(const char *path, const walsh_safetensors_entry *entries, size_t count,
                                const walsh_safetensors_pair *metadata, size_t metadata_count)
{
    const char **texts;
    WALSH_TRY(walsh_alloc(&texts, count > metadata_count ? count : metadata_count, sizeof *texts, path));
    for (size_t i = 0; i < count; i++) texts[i] = entries[i].name;
    walsh_status status = check_texts(path, "tensor", texts, count);
    for (size_t i = 0; i < metadata_count; i++) texts[i] = metadata[i].key;
    if (!status) status = check_texts(path, "metadata", texts, metadata_count);
    free(texts);
    WALSH_TRY(status);
    for (size_t i = 0; i < metadata_count; i++)
        if (!walsh_utf8_valid(metadata[i].value, strlen(metadata[i].value)))
            WALSH_FAIL(WALSH_E_ARGUMENT, "%s: the value of metadata '%s': expected UTF-8", path,
                       walsh_show(metadata[i].key).text);
    for (size_t i = 0; i < count; i++)
        if (!strcmp(entries[i].name, "__metadata__"))
            WALSH_FAIL(WALSH_E_ARGUMENT, "%s: a tensor cannot be named '__metadata__'", path);
    return WALSH_OK;
}

static walsh_status check_shapes(const char *path, const walsh_safetensors_entry *entries, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const walsh_safetensors_entry *entry = &entries[i];
        size_t size;
        if (entry->dtype >= WALSH_DTYPE_COUNT || entry->rank < 0 || entry->rank > WALSH_SAFETENSORS_RANK)
            WALSH_FAIL(WALSH_E_ARGUMENT,
                       "%s: tensor '%s': expected a known dtype and 0 to %d dimensions, found %s and %d", path,
                       walsh_show(entry->name).text, WALSH_SAFETENSORS_RANK, walsh_dtype_name(entry->dtype),
                       entry->rank);
        if (!walsh_safetensors_bytes(entry->dtype, entry->rank, entry->shape, &size))
            WALSH_FAIL(WALSH_E_ARGUMENT, "%s: tensor '%s': the shape needs no whole number of bytes below 2^61", path,
                       walsh_show(entry->name).text);
    }
    return WALSH_OK;
}

/* ---- layout ---- */

/* Where each entry's data goes. Wide types first: each width divides all that lies before it. begin[count] receives the
 * offsets in bytes, parts[count] the data in the order of the file. The checked shapes add up without overflow: their
 * data are in memory. */
static void lay_out(const walsh_safetensors_entry *entries, size_t count, size_t *begin, walsh_file_part *parts)
{
    static const size_t widths[] = {64, 32, 16, 8, 6, 4};
    size_t offset = 0, part = 0;
    for (size_t w = 0; w < sizeof widths / sizeof *widths; w++) {
        for (size_t i = 0; i < count; i++) {
            size_t size;
            if (walsh_dtype_bits(entries[i].dtype) != widths[w]) continue;
            walsh_safetensors_bytes(entries[i].dtype, entries[i].rank, entries[i].shape, &size);
            begin[i] = offset;
            parts[part++] = (walsh_file_part){entries[i].data, size};
            offset += size;
        }
    }
}

/* ---- header ---- */

/* As text, because cJSON's own numbers are doubles. All of these return false when memory runs out. */
static bool add_number(cJSON *list, size_t number)
{
    char text[24];
    snprintf(text, sizeof text, "%zu", number);
    cJSON *item = cJSON_CreateRaw(text);
    if (cJSON_AddItemToArray(list, item)) return true;
    cJSON_Delete(item);
    return false;
}

static bool add_tensor(cJSON *header, const walsh_safetensors_entry *entry, size_t begin)
{
    size_t size;
    walsh_safetensors_bytes(entry->dtype, entry->rank, entry->shape, &size);
    cJSON *tensor = cJSON_AddObjectToObject(header, entry->name);
    bool whole = cJSON_AddStringToObject(tensor, "dtype", walsh_dtype_name(entry->dtype));
    cJSON *shape = cJSON_AddArrayToObject(tensor, "shape");
    for (int i = 0; i < entry->rank; i++) whole = add_number(shape, entry->shape[i]) && whole;
    cJSON *range = cJSON_AddArrayToObject(tensor, "data_offsets");
    return add_number(range, begin) && add_number(range, begin + size) && shape && whole;
}

static bool add_metadata(cJSON *header, const walsh_safetensors_pair *metadata, size_t count)
{
    cJSON *object = count ? cJSON_AddObjectToObject(header, "__metadata__") : NULL;
    for (size_t i = 0; i < count; i++)
        if (!cJSON_AddStringToObject(object, metadata[i].key, metadata[i].value)) return false;
    return true;
}

/* The header's text, padded by spaces to a multiple of 8; *text is the caller's to free(). */
static walsh_status make_header(const char *path, const walsh_safetensors_entry *entries, size_t count,
                                const size_t *begin, const walsh_safetensors_pair *metadata, size_t metadata_count,
                                char **text)
{
    cJSON *header = cJSON_CreateObject();
    bool whole = header && add_metadata(header, metadata, metadata_count);
    for (size_t i = 0; i < count && whole; i++) whole = add_tensor(header, &entries[i], begin[i]);
    char *json = whole ? cJSON_PrintUnformatted(header) : NULL;
    cJSON_Delete(header);
    if (!json) WALSH_FAIL(WALSH_E_MEMORY, "out of memory for the header of %s", path);
    size_t length = strlen(json);
    walsh_status status = walsh_alloc(text, length + 8, 1, path);
    if (!status) snprintf(*text, length + 8, "%s%*s", json, (int)((8 - length % 8) % 8), "");
    cJSON_free(json);
    return status;
}

walsh_status walsh_safetensors_write(const char *path, const walsh_safetensors_entry *entries, size_t count,
                                     const walsh_safetensors_pair *metadata, size_t metadata_count)
{
    WALSH_TRY(check_names(path, entries, count, metadata, metadata_count));
    WALSH_TRY(check_shapes(path, entries, count));
    walsh_file_part *parts = NULL;
    size_t *begin = NULL;
    char *header = NULL;
    walsh_status status = walsh_alloc(&parts, count + 2, sizeof *parts, path);
    if (!status) status = walsh_alloc(&begin, count, sizeof *begin, path);
    if (!status) {
        lay_out(entries, count, begin, parts + 2);
        status = make_header(path, entries, count, begin, metadata, metadata_count, &header);
    }
    if (!status) {
        uint64_t length = strlen(header);
        parts[0] = (walsh_file_part){&length, sizeof length};
        parts[1] = (walsh_file_part){header, (size_t)length};
        status = walsh_file_replace(path, parts, count + 2);
    }
    free(header);
    free(begin);
    free(parts);
    return status;
}
