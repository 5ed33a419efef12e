#include "engine/model/snapshot.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/model/match.h"

struct walsh_snapshot {
    const walsh_model *model;
    uint64_t batches;         /* that the weights were trained on */
    float *raw[WALSH_COPIES]; /* as on the device, until they are packed; NULL: not taken */
    cl_event arrived[WALSH_COPIES];
    walsh_safetensors_entry *entries;
    walsh_safetensors_pair *pairs;
    size_t entry_count, pair_count;
    size_t model_entries, model_pairs; /* the first of them are the model's */
};

static walsh_status take_copy(walsh_snapshot *s, walsh_copy copy)
{
    const walsh_parameters *parameters = walsh_network_parameters(s->model->network);
    WALSH_TRY(walsh_alloc(&s->raw[copy], walsh_parameters_extent(parameters, copy), sizeof **s->raw, "a snapshot"));
    return walsh_parameters_read(parameters, copy, s->raw[copy], &s->arrived[copy]);
}

walsh_status walsh_snapshot_take(const walsh_model *model, bool momentum, walsh_snapshot **snapshot)
{
    WALSH_TRY(walsh_alloc(snapshot, 1, sizeof **snapshot, "a snapshot"));
    (*snapshot)->model = model;
    (*snapshot)->batches = model->batches;
    walsh_status status = take_copy(*snapshot, WALSH_COPY_WEIGHTS);
    if (!status && momentum) status = take_copy(*snapshot, WALSH_COPY_MOMENTUM);
    if (status) walsh_snapshot_destroy(snapshot);
    return status;
}

walsh_status walsh_snapshot_wait(walsh_snapshot *s)
{
    cl_int code = CL_SUCCESS;
    for (int copy = 0; copy < WALSH_COPIES; copy++) {
        if (!s->arrived[copy]) continue;
        cl_int failed = clWaitForEvents(1, &s->arrived[copy]);
        if (failed != CL_SUCCESS) code = failed;
        clReleaseEvent(s->arrived[copy]);
        s->arrived[copy] = NULL;
    }
    return code == CL_SUCCESS ? WALSH_OK : walsh_cl_fail(code, "reading the weights");
}

/* Takes `name` and `data` over, also where it fails. */
static walsh_status add_entry(walsh_snapshot *s, char *name, void *data, walsh_safetensors_entry entry)
{
    walsh_status status = walsh_grow(&s->entries, s->entry_count, sizeof *s->entries, "a snapshot");
    if (!status && (!name || !data)) status = walsh_fail(WALSH_E_MEMORY, "out of memory for a snapshot");
    if (status) {
        free(name);
        free(data);
        return status;
    }
    entry.name = name;
    entry.data = data;
    s->entries[s->entry_count++] = entry;
    return WALSH_OK;
}

walsh_status walsh_snapshot_add_text(walsh_snapshot *s, const char *key, const char *value)
{
    WALSH_TRY(walsh_grow(&s->pairs, s->pair_count, sizeof *s->pairs, "a snapshot"));
    walsh_safetensors_pair pair = {strdup(key), strdup(value)};
    s->pairs[s->pair_count++] = pair;
    if (!pair.key || !pair.value) WALSH_FAIL(WALSH_E_MEMORY, "out of memory for a snapshot");
    return WALSH_OK;
}

static char *joined(const char *a, size_t length, const char *b)
{
    char *text = malloc(length + strlen(b) + 1);
    if (text) memcpy(text, a, length), strcpy(text + length, b);
    return text;
}

static walsh_status add_parameter(walsh_snapshot *s, const walsh_parameter *p, const float *raw, const char *prefix)
{
    size_t elements = walsh_parameter_elements(p);
    float *dense = malloc(elements * sizeof *dense);
    walsh_safetensors_entry entry = {.dtype = WALSH_DTYPE_F32, .rank = p->rank};
    for (int d = 0; d < p->rank; d++) entry.shape[d] = (size_t)p->dims[d];
    if (dense) walsh_parameter_pack(p, raw, dense);
    WALSH_TRY(add_entry(s, joined(prefix, strlen(prefix), p->name), dense, entry));
    for (size_t i = 0; i < elements; i++)
        if (!isfinite(dense[i]))
            WALSH_FAIL(WALSH_E_NOT_FINITE, "%s%s is no longer finite: element %zu is %g", prefix, p->name, i,
                       (double)dense[i]);
    return WALSH_OK;
}

/* A batch norm's count of batches, beside its running variance. */
static walsh_status add_batches(walsh_snapshot *s, const walsh_parameter *p, uint64_t batches)
{
    static const char last[] = "running_var";
    size_t length = strlen(p->name);
    if (length < sizeof last - 1 || strcmp(p->name + length - (sizeof last - 1), last)) return WALSH_OK;
    int64_t *count = malloc(sizeof *count);
    if (count) *count = (int64_t)batches;
    return add_entry(s, joined(p->name, length - (sizeof last - 1), "num_batches_tracked"), count,
                     (walsh_safetensors_entry){.dtype = WALSH_DTYPE_I64});
}

/* Adds every parameter that a copy holds. */
static walsh_status pack_copy(walsh_snapshot *s, walsh_copy copy, const char *prefix)
{
    const walsh_parameters *parameters = walsh_network_parameters(s->model->network);
    for (int i = 0; i < walsh_parameters_count(parameters); i++) {
        const walsh_parameter *p = walsh_parameters_at(parameters, i);
        if (copy != WALSH_COPY_WEIGHTS && p->role == WALSH_ROLE_STATISTIC) continue;
        WALSH_TRY(add_parameter(s, p, s->raw[copy], prefix));
        if (copy == WALSH_COPY_WEIGHTS) WALSH_TRY(add_batches(s, p, s->batches));
    }
    free(s->raw[copy]);
    s->raw[copy] = NULL;
    return WALSH_OK;
}

static walsh_status add_json(walsh_snapshot *s, const char *key, cJSON *json)
{
    char *text = json ? cJSON_PrintUnformatted(json) : NULL;
    walsh_status status =
        text ? walsh_snapshot_add_text(s, key, text) : walsh_fail(WALSH_E_MEMORY, "out of memory for a snapshot");
    cJSON_free(text);
    cJSON_Delete(json);
    return status;
}

static walsh_status add_numbers(walsh_snapshot *s, const char *key, const float *numbers, int count)
{
    char text[128] = "[";
    for (int i = 0; i < count; i++) {
        size_t used = strlen(text);
        snprintf(text + used, sizeof text - used, "%s%.9g", i ? "," : "", (double)numbers[i]);
    }
    return walsh_snapshot_add_text(s, key, strcat(text, "]"));
}

static walsh_status add_integer(walsh_snapshot *s, const char *key, uint64_t value)
{
    char text[32];
    snprintf(text, sizeof text, "%llu", (unsigned long long)value);
    return walsh_snapshot_add_text(s, key, text);
}

static walsh_status add_description(walsh_snapshot *s, const walsh_model_info *info)
{
    WALSH_TRY(walsh_snapshot_add_text(s, "format", "pt")); /* what readers of PyTorch's files ask for */
    WALSH_TRY(walsh_snapshot_add_text(s, "model", info->name));
    WALSH_TRY(add_integer(s, "classes", (uint64_t)info->classes));
    WALSH_TRY(add_integer(s, "image_size", (uint64_t)info->image_size));
    WALSH_TRY(walsh_snapshot_add_text(s, "data", info->data));
    if (info->class_names)
        WALSH_TRY(add_json(s, "class_names", cJSON_CreateStringArray(info->class_names, info->classes)));
    if (info->deviation[0] > 0) {
        WALSH_TRY(add_numbers(s, "mean", info->mean, 3));
        WALSH_TRY(add_numbers(s, "deviation", info->deviation, 3));
    }
    WALSH_TRY(walsh_snapshot_add_text(s, "head", walsh_head_kind_name(info->head.kind)));
    WALSH_TRY(walsh_snapshot_add_text(s, "loss", info->loss == WALSH_LOSS_COSINE ? "cosine" : "ce"));
    if (info->head.kind == WALSH_HEAD_LEARNED) return WALSH_OK;
    WALSH_TRY(add_integer(s, "head_seed", info->head.seed));
    WALSH_TRY(add_integer(s, "head_version", WALSH_HEAD_VERSION));
    return walsh_snapshot_add_text(s, "alpha", info->alpha_fixed ? "fixed" : "learned");
}

walsh_status walsh_snapshot_pack(walsh_snapshot *s)
{
    WALSH_TRY(add_description(s, &s->model->info));
    WALSH_TRY(pack_copy(s, WALSH_COPY_WEIGHTS, ""));
    s->model_entries = s->entry_count;
    s->model_pairs = s->pair_count;
    return s->raw[WALSH_COPY_MOMENTUM] ? pack_copy(s, WALSH_COPY_MOMENTUM, WALSH_MOMENTUM_PREFIX) : WALSH_OK;
}

walsh_status walsh_snapshot_write(const walsh_snapshot *s, const char *path)
{
    return walsh_safetensors_write(path, s->entries, s->entry_count, s->pairs, s->pair_count);
}

walsh_status walsh_snapshot_write_model(const walsh_snapshot *s, const char *path)
{
    return walsh_safetensors_write(path, s->entries, s->model_entries, s->pairs, s->model_pairs);
}

void walsh_snapshot_destroy(walsh_snapshot **snapshot)
{
    walsh_snapshot *s = *snapshot;
    if (!s) return;
    walsh_snapshot_wait(s);
    for (int copy = 0; copy < WALSH_COPIES; copy++) free(s->raw[copy]);
    for (size_t i = 0; i < s->entry_count; i++) free((void *)s->entries[i].name), free((void *)s->entries[i].data);
    for (size_t i = 0; i < s->pair_count; i++) free((void *)s->pairs[i].key), free((void *)s->pairs[i].value);
    free(s->entries);
    free(s->pairs);
    free(s);
    *snapshot = NULL;
}

walsh_status walsh_model_save(const walsh_model *model, const char *path)
{
    walsh_snapshot *snapshot = NULL;
    WALSH_TRY(walsh_snapshot_take(model, false, &snapshot));
    walsh_status status = walsh_snapshot_wait(snapshot);
    if (!status) status = walsh_snapshot_pack(snapshot);
    if (!status) status = walsh_snapshot_write(snapshot, path);
    walsh_snapshot_destroy(&snapshot);
    return status;
}
