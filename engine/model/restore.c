/* Weights from a file: checked as a whole before anything is taken over. */
#include "engine/model/snapshot.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/utf8.h"
#include "engine/model/builders.h"
#include "engine/model/match.h"

static bool ends_with(const char *name, const char *end)
{
    size_t n = strlen(name), m = strlen(end);
    return n >= m && !strcmp(name + n - m, end);
}

/* Unpacks a buffer's tensors, which have been checked, from the file into `raw`: all but those of the head `but` (NULL:
 * of none). */
static walsh_status take_copy(const walsh_safetensors *file, const char *path, const walsh_parameters *parameters,
                              walsh_copy copy, const char *but, float *raw)
{
    const char *prefix = copy == WALSH_COPY_MOMENTUM ? WALSH_MOMENTUM_PREFIX : "";
    float *dense = NULL;
    WALSH_TRY(walsh_alloc(&dense, walsh_parameters_extent(parameters, WALSH_COPY_WEIGHTS), sizeof *dense, "weights"));
    walsh_status status = WALSH_OK;
    for (int i = 0; i < walsh_parameters_count(parameters) && !status; i++) {
        const walsh_parameter *p = walsh_parameters_at(parameters, i);
        if (copy == WALSH_COPY_MOMENTUM && p->role == WALSH_ROLE_STATISTIC) continue;
        if (but && walsh_match_is_head(p->name, but)) continue;
        const walsh_safetensors_entry *entry = walsh_match_find(file, prefix, p);
        if (!entry)
            status =
                walsh_fail(WALSH_E_FORMAT, "%s: tensor %s%s is missing or has another shape", path, prefix, p->name);
        if (!status && walsh_safetensors_to_f32(entry, dense))
            status = walsh_fail(WALSH_E_FORMAT, "%s: %s", path, walsh_message());
        for (size_t e = 0; !status && e < walsh_parameter_elements(p); e++)
            if (!isfinite(dense[e]))
                status =
                    walsh_fail(WALSH_E_FORMAT, "%s: tensor %s%s holds %g", path, prefix, p->name, (double)dense[e]);
        if (!status) walsh_parameter_unpack(p, dense, raw);
    }
    free(dense);
    return status;
}

static walsh_status check_text(const walsh_safetensors *file, const char *path, const char *key, const char *expected)
{
    const char *found = walsh_safetensors_metadata(file, key);
    if (!found || !strcmp(found, expected)) return WALSH_OK;
    WALSH_FAIL(WALSH_E_FORMAT, "%s: its %s is '%s', this model's is '%s'", path, key, walsh_show(found).text, expected);
}

/* What the file says of its head must not contradict the model's. */
static walsh_status check_head(const walsh_safetensors *file, const char *path, const walsh_model_info *info)
{
    char seed[32], version[16];
    WALSH_TRY(check_text(file, path, "head", walsh_head_kind_name(info->head.kind)));
    if (info->head.kind == WALSH_HEAD_LEARNED) return WALSH_OK;
    snprintf(version, sizeof version, "%d", WALSH_HEAD_VERSION);
    WALSH_TRY(check_text(file, path, "head_version", version));
    snprintf(seed, sizeof seed, "%llu", (unsigned long long)info->head.seed);
    return walsh_head_seeded(&info->head) ? check_text(file, path, "head_seed", seed) : WALSH_OK;
}

static uint64_t batches_in(const walsh_safetensors *file)
{
    for (size_t i = 0; i < walsh_safetensors_count(file); i++) {
        const walsh_safetensors_entry *entry = walsh_safetensors_at(file, i);
        int64_t count;
        if (!ends_with(entry->name, ".num_batches_tracked") || entry->dtype != WALSH_DTYPE_I64 ||
            entry->size != sizeof count)
            continue;
        memcpy(&count, entry->data, sizeof count);
        return count > 0 ? (uint64_t)count : 0;
    }
    return 0;
}

/* Takes over the weights, and the momentum where `momentum`; of the head `but` (NULL: of none) the model keeps its own.
 */
static walsh_status restore(const walsh_safetensors *file, const char *path, walsh_model *model, const char *but,
                            bool momentum)
{
    walsh_parameters *parameters = walsh_network_parameters(model->network);
    float *weights = NULL, *velocity = NULL;
    WALSH_TRY(walsh_match_check(file, path, parameters, model->info.name, but));
    walsh_status status =
        walsh_alloc(&weights, walsh_parameters_extent(parameters, WALSH_COPY_WEIGHTS), sizeof *weights, "weights");
    if (!status)
        status = walsh_alloc(&velocity, walsh_parameters_extent(parameters, WALSH_COPY_MOMENTUM), sizeof *velocity,
                             "momentum");
    if (!status && but) status = walsh_parameters_read(parameters, WALSH_COPY_WEIGHTS, weights, NULL);
    if (!status) status = take_copy(file, path, parameters, WALSH_COPY_WEIGHTS, but, weights);
    if (!status && momentum) status = take_copy(file, path, parameters, WALSH_COPY_MOMENTUM, but, velocity);
    if (!status) status = walsh_parameters_write(parameters, WALSH_COPY_WEIGHTS, weights);
    if (!status && momentum) status = walsh_parameters_write(parameters, WALSH_COPY_MOMENTUM, velocity);
    if (!status) model->batches = batches_in(file);
    free(weights);
    free(velocity);
    return status;
}

walsh_status walsh_snapshot_restore(const walsh_safetensors *file, const char *path, walsh_model *model, bool momentum)
{
    WALSH_TRY(check_text(file, path, "model", model->info.name));
    WALSH_TRY(check_head(file, path, &model->info));
    return restore(file, path, model, NULL, momentum);
}

walsh_status walsh_model_load(walsh_model *model, const char *path)
{
    walsh_safetensors *file = NULL;
    WALSH_TRY(walsh_safetensors_open(path, &file));
    walsh_status status = walsh_snapshot_restore(file, path, model, false);
    walsh_safetensors_close(&file);
    return status;
}

/* Whether the file's head is the model's: the same kind and matrix, of as many classes. */
static bool head_fits(const walsh_safetensors *file, const char *path, const walsh_model *model, const char *head)
{
    const walsh_parameters *parameters = walsh_network_parameters(model->network);
    if (check_head(file, path, &model->info)) return false;
    for (int i = 0; i < walsh_parameters_count(parameters); i++) {
        const walsh_parameter *p = walsh_parameters_at(parameters, i);
        if (walsh_match_is_head(p->name, head) && !walsh_match_find(file, "", p)) return false;
    }
    return true;
}

walsh_status walsh_model_start(walsh_model *model, const char *path, bool *own_head)
{
    const walsh_builder *builder = NULL;
    walsh_safetensors *file = NULL;
    WALSH_TRY(walsh_builder_find(model->info.name, &builder));
    WALSH_TRY(walsh_safetensors_open(path, &file));
    walsh_status status = check_text(file, path, "model", model->info.name);
    *own_head = !status && !head_fits(file, path, model, builder->head);
    if (!status) status = restore(file, path, model, *own_head ? builder->head : NULL, false);
    walsh_safetensors_close(&file);
    return status;
}

/* A whole number in the metadata, or `missing` where the key is not there. */
static walsh_status read_integer(const walsh_safetensors *file, const char *path, const char *key, uint64_t missing,
                                 uint64_t *value)
{
    const char *text = walsh_safetensors_metadata(file, key);
    char *end = NULL;
    *value = text ? strtoull(text, &end, 10) : missing;
    if (text && (end == text || *end))
        WALSH_FAIL(WALSH_E_FORMAT, "%s: its %s is '%s', expected a whole number", path, key, walsh_show(text).text);
    return WALSH_OK;
}

static walsh_status read_numbers(const walsh_safetensors *file, const char *path, const char *key, float numbers[3])
{
    const char *text = walsh_safetensors_metadata(file, key);
    if (!text) return WALSH_OK;
    cJSON *json = cJSON_Parse(text);
    bool good = cJSON_IsArray(json) && cJSON_GetArraySize(json) == 3;
    for (int i = 0; i < 3 && good; i++) {
        const cJSON *item = cJSON_GetArrayItem(json, i);
        good = cJSON_IsNumber(item) && isfinite(item->valuedouble);
        if (good) numbers[i] = (float)item->valuedouble;
    }
    cJSON_Delete(json);
    if (!good)
        WALSH_FAIL(WALSH_E_FORMAT, "%s: its %s is '%s', expected three numbers", path, key, walsh_show(text).text);
    return WALSH_OK;
}

/* Class names as an array that points into *json, or NULL where the file has none. The caller frees both. */
static walsh_status read_class_names(const walsh_safetensors *file, const char *path, int classes, cJSON **json,
                                     const char ***names)
{
    const char *text = walsh_safetensors_metadata(file, "class_names");
    *json = NULL;
    *names = NULL;
    if (!text) return WALSH_OK;
    *json = cJSON_Parse(text);
    bool good = cJSON_IsArray(*json) && cJSON_GetArraySize(*json) == classes;
    WALSH_TRY(walsh_alloc(names, (size_t)classes, sizeof **names, "class names"));
    int i = 0;
    for (const cJSON *item = good ? (*json)->child : NULL; item && good; item = item->next) {
        good = cJSON_IsString(item);
        (*names)[i++] = item->valuestring;
    }
    if (!good) WALSH_FAIL(WALSH_E_FORMAT, "%s: its class_names are not a list of %d names", path, classes);
    return WALSH_OK;
}

/* The number of classes: as the file says, else the bias's length. */
static walsh_status read_classes(const walsh_safetensors *file, const char *path, const walsh_builder *builder,
                                 int *classes)
{
    char name[96];
    uint64_t count;
    snprintf(name, sizeof name, "%s.bias", builder->head);
    const walsh_safetensors_entry *bias = walsh_safetensors_find(file, name);
    if (!bias || bias->rank != 1) WALSH_FAIL(WALSH_E_FORMAT, "%s: no classifier: tensor %s is missing", path, name);
    WALSH_TRY(read_integer(file, path, "classes", bias->shape[0], &count));
    if (count != bias->shape[0] || count < 1 || count > INT32_MAX)
        WALSH_FAIL(WALSH_E_FORMAT, "%s: %llu classes, but tensor %s has %zu", path, (unsigned long long)count, name,
                   bias->shape[0]);
    *classes = (int)count;
    return WALSH_OK;
}

static walsh_status read_head(const walsh_safetensors *file, const char *path, walsh_model_options *options)
{
    const char *head = walsh_safetensors_metadata(file, "head"), *alpha = walsh_safetensors_metadata(file, "alpha");
    const char *loss = walsh_safetensors_metadata(file, "loss");
    if (head && walsh_head_kind_parse(head, &options->head))
        WALSH_FAIL(WALSH_E_FORMAT, "%s: %s", path, walsh_message());
    options->alpha_fixed = options->head != WALSH_HEAD_LEARNED && alpha && !strcmp(alpha, "fixed");
    options->loss = loss && !strcmp(loss, "cosine") ? WALSH_LOSS_COSINE : WALSH_LOSS_CROSS_ENTROPY;
    return read_integer(file, path, "head_seed", 0, &options->head_seed);
}

static walsh_status open_file(walsh_device *device, const walsh_safetensors *file, const char *path, const char *name,
                              int image_size, walsh_model **model)
{
    const walsh_builder *builder = NULL;
    const char *said = walsh_safetensors_metadata(file, "model");
    uint64_t trained_at;
    if (said && name && strcmp(said, name))
        WALSH_FAIL(WALSH_E_ARGUMENT, "%s: these are weights of %s, not of %s", path, walsh_show(said).text, name);
    if (!said && !name) WALSH_FAIL(WALSH_E_ARGUMENT, "%s: the file does not say which model it is of: name one", path);
    WALSH_TRY(walsh_builder_find(said ? said : name, &builder));
    walsh_model_options options = {.name = builder->name, .data = walsh_safetensors_metadata(file, "data")};
    WALSH_TRY(read_classes(file, path, builder, &options.classes));
    WALSH_TRY(read_head(file, path, &options));
    WALSH_TRY(read_integer(file, path, "image_size", 0, &trained_at));
    if (trained_at > 1 << 16)
        WALSH_FAIL(WALSH_E_FORMAT, "%s: an image size of %llu", path, (unsigned long long)trained_at);
    options.image_size = image_size ? image_size : (int)trained_at;
    WALSH_TRY(read_numbers(file, path, "mean", options.mean));
    WALSH_TRY(read_numbers(file, path, "deviation", options.deviation));
    cJSON *json;
    const char **names;
    walsh_status status = read_class_names(file, path, options.classes, &json, &names);
    options.class_names = names;
    if (!status) status = walsh_model_create(device, &options, model);
    cJSON_Delete(json);
    free(names);
    return status;
}

walsh_status walsh_model_open(walsh_device *device, const char *path, const char *name, int image_size,
                              walsh_model **model)
{
    walsh_safetensors *file = NULL;
    *model = NULL;
    WALSH_TRY(walsh_safetensors_open(path, &file));
    walsh_status status = open_file(device, file, path, name, image_size, model);
    if (!status) status = walsh_snapshot_restore(file, path, *model, false);
    if (status) walsh_model_destroy(model);
    walsh_safetensors_close(&file);
    return status;
}
