#include "engine/model/builders.h"

#include <stdio.h>
#include <string.h>

#include "engine/base/utf8.h"

const walsh_builder walsh_builders[] = {
    {"resnet20", walsh_build_cifar_resnet, 20, 32, "fc"},
    {"resnet32", walsh_build_cifar_resnet, 32, 32, "fc"},
    {"resnet44", walsh_build_cifar_resnet, 44, 32, "fc"},
    {"resnet56", walsh_build_cifar_resnet, 56, 32, "fc"},
    {"resnet110", walsh_build_cifar_resnet, 110, 32, "fc"},
    {"resnet18", walsh_build_resnet, 18, 224, "fc"},
    {"resnet34", walsh_build_resnet, 34, 224, "fc"},
    {"resnet50", walsh_build_resnet, 50, 224, "fc"},
    {"densenet-bc-100-12", walsh_build_densenet, 100, 32, "classifier"},
    {"densenet121", walsh_build_densenet, 121, 224, "classifier"},
    {"densenet169", walsh_build_densenet, 169, 224, "classifier"},
    {"shufflenet", walsh_build_shufflenet, 3, 224, "fc"},
    {NULL, NULL, 0, 0, NULL},
};

walsh_status walsh_builder_find(const char *name, const walsh_builder **builder)
{
    char known[256] = "";
    for (const walsh_builder *b = walsh_builders; b->name; b++) {
        if (!strcmp(b->name, name)) {
            *builder = b;
            return WALSH_OK;
        }
        size_t used = strlen(known);
        snprintf(known + used, sizeof known - used, "%s%s", used ? ", " : "", b->name);
    }
    WALSH_FAIL(WALSH_E_ARGUMENT, "there is no model '%s': expected one of %s", walsh_show(name).text, known);
}
