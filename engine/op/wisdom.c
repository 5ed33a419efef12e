#include "engine/op/wisdom.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/file.h"
#include "engine/base/hash.h"
#include "engine/base/log.h"

enum { KEY = 384, NAME = 64, HEX = 304 };

typedef struct entry {
    char key[KEY]; /* "conv_forward 00000000..." */
    char variant[NAME];
} entry;

struct walsh_wisdom {
    entry *entries; /* sorted by key */
    size_t count;
};

walsh_status walsh_wisdom_create(walsh_wisdom **wisdom)
{
    return walsh_alloc(wisdom, 1, sizeof **wisdom, "wisdom");
}

/* Problems are plain structs of four-byte fields, so their bytes have no gaps. */
static void make_key(const walsh_op *op, const void *problem, char key[KEY])
{
    int used = snprintf(key, KEY, "%s ", op->name);
    for (size_t i = 0; i < op->problem_size && used + 2 < KEY; i++)
        used += snprintf(key + used, (size_t)(KEY - used), "%02x", ((const unsigned char *)problem)[i]);
}

/* Where `key` stands, or would have to. */
static size_t place_of(const walsh_wisdom *wisdom, const char *key)
{
    size_t low = 0, high = wisdom->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (strcmp(wisdom->entries[middle].key, key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

const char *walsh_wisdom_find(const walsh_wisdom *wisdom, const walsh_op *op, const void *problem)
{
    char key[KEY];
    make_key(op, problem, key);
    size_t at = place_of(wisdom, key);
    return at < wisdom->count && !strcmp(wisdom->entries[at].key, key) ? wisdom->entries[at].variant : NULL;
}

static walsh_status set(walsh_wisdom *wisdom, const char *key, const char *variant)
{
    size_t at = place_of(wisdom, key);
    if (at == wisdom->count || strcmp(wisdom->entries[at].key, key)) {
        WALSH_TRY(walsh_grow(&wisdom->entries, wisdom->count, sizeof *wisdom->entries, "wisdom"));
        entry *here = &wisdom->entries[at];
        memmove(here + 1, here, (wisdom->count++ - at) * sizeof *here);
        snprintf(here->key, KEY, "%s", key);
    }
    snprintf(wisdom->entries[at].variant, NAME, "%s", variant);
    return WALSH_OK;
}

walsh_status walsh_wisdom_choose(const walsh_wisdom *wisdom, const walsh_device *device, const walsh_op *op,
                                 const void *problem, const walsh_variant **variant)
{
    const char *name = wisdom ? walsh_wisdom_find(wisdom, op, problem) : NULL;
    *variant = name ? walsh_op_variant(op, name) : NULL;
    if (*variant && walsh_op_takes(device, op, *variant, problem)) return WALSH_OK;
    return walsh_op_choose(device, op, problem, variant);
}

walsh_status walsh_wisdom_set(walsh_wisdom *wisdom, const walsh_op *op, const void *problem, const char *variant)
{
    char key[KEY];
    make_key(op, problem, key);
    return set(wisdom, key, variant);
}

size_t walsh_wisdom_count(const walsh_wisdom *wisdom)
{
    return wisdom->count;
}

walsh_status walsh_wisdom_text(const walsh_wisdom *wisdom, char **text)
{
    size_t size = 1;
    for (size_t i = 0; i < wisdom->count; i++)
        size += strlen(wisdom->entries[i].key) + strlen(wisdom->entries[i].variant) + 2;
    WALSH_TRY(walsh_alloc(text, size, 1, "wisdom"));
    char *end = *text;
    for (size_t i = 0; i < wisdom->count; i++)
        end += sprintf(end, "%s %s\n", wisdom->entries[i].key, wisdom->entries[i].variant);
    return WALSH_OK;
}

walsh_status walsh_wisdom_parse(walsh_wisdom *wisdom, const char *text, const char *source)
{
    int number = 1;
    for (const char *line = text; *line; number++) {
        char op[NAME], hex[HEX], variant[NAME], key[KEY];
        int used = 0;
        if (sscanf(line, "%63[a-z0-9_] %300[0-9a-f] %63[a-z0-9_]%n", op, hex, variant, &used) != 3 ||
            line[used] != '\n')
            WALSH_FAIL(WALSH_E_FORMAT, "%s: line %d is not 'OPERATION PROBLEM VARIANT'", source, number);
        snprintf(key, sizeof key, "%s %s", op, hex);
        WALSH_TRY(set(wisdom, key, variant));
        line += used + 1;
    }
    return WALSH_OK;
}

/* One file for each device and driver: its name is the first line's hash, and the line itself is compared. */
static walsh_status find_file(const walsh_device *device, char *identity, size_t identity_size, char *path, size_t size)
{
    char folder[3900];
    walsh_device_identity(device, identity, identity_size);
    WALSH_TRY(walsh_cache_folder(folder, sizeof folder));
    snprintf(path, size, "%s/%016llx.wisdom", folder, (unsigned long long)walsh_hash(identity, strlen(identity)));
    return WALSH_OK;
}

static walsh_status load(const walsh_device *device, walsh_wisdom *wisdom)
{
    char identity[600], path[4096], *text = NULL;
    size_t size;
    WALSH_TRY(find_file(device, identity, sizeof identity, path, sizeof path));
    WALSH_TRY(walsh_file_read(path, &text, &size));
    size_t length = strlen(identity);
    walsh_status status = WALSH_OK;
    if (strncmp(text, identity, length) || text[length] != '\n')
        status = walsh_fail(WALSH_E_FORMAT, "%s: this is the wisdom of another device", path);
    if (!status) status = walsh_wisdom_parse(wisdom, text + length + 1, path);
    free(text);
    return status;
}

walsh_status walsh_wisdom_load(const walsh_device *device, walsh_wisdom **wisdom)
{
    WALSH_TRY(walsh_wisdom_create(wisdom));
    if (load(device, *wisdom)) {
        walsh_log(WALSH_LOG_DEBUG, "no wisdom: %s", walsh_message());
        (*wisdom)->count = 0;
    }
    return WALSH_OK;
}

walsh_status walsh_wisdom_save(const walsh_device *device, const walsh_wisdom *wisdom)
{
    char identity[600], path[4096], *text = NULL;
    WALSH_TRY(find_file(device, identity, sizeof identity, path, sizeof path));
    WALSH_TRY(walsh_wisdom_text(wisdom, &text));
    const walsh_file_part parts[] = {{identity, strlen(identity)}, {"\n", 1}, {text, strlen(text)}};
    walsh_status status = walsh_file_replace(path, parts, 3);
    free(text);
    return status;
}

void walsh_wisdom_destroy(walsh_wisdom **wisdom)
{
    if (!*wisdom) return;
    free((*wisdom)->entries);
    free(*wisdom);
    *wisdom = NULL;
}
