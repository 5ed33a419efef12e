/* walsh devices: every device of every platform, the one that would be used, and why not the others; or whether one
 * computes what it should. */
#include "apps/commands.h"
#include "apps/device_check.h"
#include "apps/report.h"
#include "engine/base/status.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *kind_name(walsh_device_kind kind)
{
    return kind == WALSH_DEVICE_GPU ? "gpu" : kind == WALSH_DEVICE_CPU ? "cpu" : "other";
}

/* Why `it` is used or not; `chosen` is NULL where none is. */
static const char *reason(const walsh_device_info *it, const walsh_device_info *chosen, bool by_name)
{
    if (it == chosen) return by_name ? "used: it was named" : "used by default";
    if (it->unusable[0]) return it->unusable;
    if (by_name) return chosen ? "another one was named" : "not the one that was named";
    if (it->kind == WALSH_DEVICE_OTHER) return "neither GPU nor CPU: only used when named";
    if (!chosen || it->kind != chosen->kind) return "a GPU comes first";
    return it->kind == WALSH_DEVICE_GPU ? "fewer compute units x clock" : "the first CPU comes first";
}

static void print_table(const walsh_device_info *list, size_t count, const walsh_device_info *chosen, bool by_name)
{
    int name = 4, platform = 8;
    for (size_t i = 0; i < count; i++) {
        if ((int)strlen(list[i].name) > name) name = (int)strlen(list[i].name);
        if ((int)strlen(list[i].platform) > platform) platform = (int)strlen(list[i].platform);
    }
    printf("  index kind  %-*s  %-*s  units   MHz  memory GiB  use\n", name, "name", platform, "platform");
    for (size_t i = 0; i < count; i++) {
        const walsh_device_info *it = &list[i];
        printf("%c %5d %-5s %-*s  %-*s  %5u %5u  %10.1f  %s\n", it == chosen ? '*' : ' ', it->index,
               kind_name(it->kind), name, it->name, platform, it->platform, it->compute_units, it->clock_mhz,
               (double)it->memory / (1 << 30), reason(it, chosen, by_name));
    }
}

static cJSON *to_json(const walsh_device_info *it, const walsh_device_info *chosen, bool by_name)
{
    cJSON *json = cJSON_CreateObject();
    cJSON_AddNumberToObject(json, "index", it->index);
    cJSON_AddStringToObject(json, "kind", kind_name(it->kind));
    cJSON_AddStringToObject(json, "name", it->name);
    cJSON_AddStringToObject(json, "vendor", it->vendor);
    cJSON_AddStringToObject(json, "driver", it->driver);
    cJSON_AddStringToObject(json, "platform", it->platform);
    cJSON_AddStringToObject(json, "platform_version", it->platform_version);
    cJSON_AddNumberToObject(json, "compute_units", it->compute_units);
    cJSON_AddNumberToObject(json, "clock_mhz", it->clock_mhz);
    cJSON_AddNumberToObject(json, "memory", (double)it->memory);
    cJSON_AddNumberToObject(json, "max_alloc", (double)it->max_alloc);
    cJSON_AddNumberToObject(json, "local_memory", (double)it->local_memory);
    cJSON_AddNumberToObject(json, "max_group", (double)it->max_group);
    cJSON_AddBoolToObject(json, "usable", !it->unusable[0]);
    cJSON_AddBoolToObject(json, "chosen", it == chosen);
    cJSON_AddStringToObject(json, "reason", reason(it, chosen, by_name));
    return json;
}

static walsh_status print_json(const walsh_device_info *list, size_t count, const walsh_device_info *chosen,
                               bool by_name)
{
    cJSON *json = cJSON_CreateArray();
    for (size_t i = 0; i < count; i++) cJSON_AddItemToArray(json, to_json(&list[i], chosen, by_name));
    return walsh_report_json(json);
}

static walsh_status run(const walsh_arguments *arguments)
{
    walsh_device_info *list = NULL;
    size_t count = 0, index = 0;
    if (walsh_argument(arguments, WALSH_OPTION_CHECK)) return walsh_device_check(arguments);
    WALSH_TRY(walsh_device_list(&list, &count));
    const char *selector = walsh_argument(arguments, WALSH_OPTION_DEVICE), *environment = getenv("WALSH_DEVICE");
    bool by_name = (selector && *selector) || (environment && *environment);
    walsh_status status = walsh_device_choose(list, count, selector, &index);
    const walsh_device_info *chosen = status ? NULL : &list[index];
    if (walsh_argument(arguments, WALSH_OPTION_JSON)) {
        walsh_status printed = print_json(list, count, chosen, by_name);
        if (!status) status = printed;
    } else if (count) {
        print_table(list, count, chosen, by_name);
    }
    free(list);
    return status;
}

static const struct argp_option own[] = {
    {"device", WALSH_OPTION_DEVICE, "DEVICE", 0, "index, cpu, gpu, or a part of its name: show what this would choose",
     0},
    {"check", WALSH_OPTION_CHECK, NULL, 0,
     "run every kernel that the models need on this device, and compare with double precision: about a minute", 0},
    {0},
};

const walsh_command walsh_command_devices = {
    .name = "devices",
    .summary = "lists the OpenCL devices, and which one is used",
    .synopsis = "",
    .about = "Lists every OpenCL device of every platform: which one is used (marked *), and why not the others."
             " With --check, says whether the device computes what it should."
             "\vExamples:\n"
             "  walsh devices\n"
             "  walsh devices --device cpu --json\n"
             "  walsh devices --check\n",
    .groups = (const struct argp_option *const[]){own, walsh_options_progress, walsh_options_json, NULL},
    .run = run,
};
