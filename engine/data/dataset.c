#include "engine/data/dataset.h"

#include "engine/base/log.h"
#include "engine/base/status.h"
#include "engine/data/cifar.h"

#include <stdlib.h>
#include <string.h>

static walsh_status open_kind(const char *spec, walsh_split split, walsh_dataset *set)
{
    if (!strcmp(spec, "sample")) return walsh_cifar_open_sample(split, set);
    const char *colon = strchr(spec, ':');
    size_t kind = colon ? (size_t)(colon - spec) : strlen(spec);
    const walsh_cifar_version *version = walsh_cifar_find(spec, kind);
    if (!version)
        WALSH_FAIL(WALSH_E_ARGUMENT, "unknown data set '%s': expected sample, cifar10:PATH or cifar100:PATH", spec);
    if (!colon || !colon[1])
        WALSH_FAIL(WALSH_E_ARGUMENT,
                   "data set '%s' lacks its path: expected %.*s:PATH, the unpacked folder or the .tar.gz", spec,
                   (int)kind, spec);
    return walsh_cifar_open(version, colon + 1, split, set);
}

walsh_status walsh_dataset_open(const char *spec, walsh_split split, walsh_dataset **dataset)
{
    *dataset = NULL;
    walsh_dataset *set;
    WALSH_TRY(walsh_alloc(&set, 1, sizeof *set, "a data set"));
    walsh_status status = open_kind(spec, split, set);
    if (status) {
        walsh_dataset_close(&set);
        return status;
    }
    walsh_log(WALSH_LOG_INFO, "%s: %zu %s images of %d classes", spec, set->info.images,
              split == WALSH_SPLIT_TRAIN ? "training" : "test", set->info.classes);
    *dataset = set;
    return WALSH_OK;
}

const walsh_dataset_info *walsh_dataset_describe(const walsh_dataset *dataset)
{
    return &dataset->info;
}

int walsh_dataset_label(const walsh_dataset *dataset, size_t index)
{
    return dataset->labels[index];
}

void walsh_dataset_close(walsh_dataset **dataset)
{
    walsh_dataset *set = *dataset;
    if (!set) return;
    if (set->kind) set->kind->release(set);
    free(set->labels);
    free(set);
    *dataset = NULL;
}
