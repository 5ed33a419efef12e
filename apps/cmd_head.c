/* walsh head: what a head is made of, how well it separates the classes and what it saves; exports its matrix. */
#include "apps/commands.h"
#include "apps/progress.h"
#include "apps/report.h"
#include "apps/signals.h"
#include "apps/values.h"
#include "engine/base/npy.h"
#include "engine/base/status.h"

#include <stdio.h>
#include <stdlib.h>

/* Floats of Q in memory at once, unless a row is longer or Q can only be made whole. */
enum { CHUNK = 1 << 24 };

static const char *const evidence_names[] = {"measured", "known", "sampled"};

static walsh_status read_spec(const walsh_arguments *arguments, walsh_head_spec *spec)
{
    const char *head, *text;
    *spec = (walsh_head_spec){0};
    WALSH_TRY(walsh_argument_required(arguments, WALSH_OPTION_HEAD, &head));
    WALSH_TRY(walsh_argument_required(arguments, WALSH_OPTION_FEATURES, &text));
    WALSH_TRY(walsh_argument_required(arguments, WALSH_OPTION_CLASSES, &text));
    WALSH_TRY(walsh_head_kind_parse(head, &spec->kind));
    WALSH_TRY(walsh_value_int(arguments, WALSH_OPTION_FEATURES, 1, &spec->features));
    WALSH_TRY(walsh_value_int(arguments, WALSH_OPTION_CLASSES, 1, &spec->classes));
    WALSH_TRY(walsh_value_u64(arguments, WALSH_OPTION_HEAD_SEED, 0, &spec->seed));
    return walsh_head_check(spec);
}

static walsh_status write_rows(const walsh_head_spec *spec, walsh_npy *npy, float *rows, int at_once)
{
    for (int first = 0; first < spec->classes; first += at_once) {
        int count = spec->classes - first < at_once ? spec->classes - first : at_once;
        if (walsh_signals_caught()) WALSH_FAIL(WALSH_E_STOPPED, "stopped at row %d of %d", first, spec->classes);
        WALSH_TRY(walsh_head_rows(spec, first, count, rows));
        WALSH_TRY(walsh_npy_rows(npy, rows, (size_t)count));
    }
    return WALSH_OK;
}

static walsh_status export(const walsh_head_spec *spec, const char *path)
{
    int at_once = CHUNK / spec->features;
    if (at_once < 1) at_once = 1;
    if (at_once > spec->classes || spec->kind == WALSH_HEAD_ORTHONORMAL) at_once = spec->classes;
    walsh_npy *npy = NULL;
    float *rows = NULL;
    WALSH_TRY(walsh_alloc(&rows, (size_t)at_once * (size_t)spec->features, sizeof *rows, "rows of the head's matrix"));
    walsh_status status = walsh_npy_begin(path, 2, (size_t[]){(size_t)spec->classes, (size_t)spec->features}, &npy);
    if (!status) status = write_rows(spec, npy, rows, at_once);
    if (!status) status = walsh_npy_finish(&npy);
    walsh_npy_abandon(&npy);
    free(rows);
    return status;
}

static void print_cost(const char *what, double own, double learned)
{
    printf("%-28s %16.0f %16.0f %10.2f %%\n", what, own, learned, 100 * (1 - own / learned));
}

static void print_text(const walsh_head_spec *spec, const walsh_head_report *report)
{
    printf("head           %s, %d features, %d classes\n", walsh_head_kind_name(spec->kind), spec->features,
           spec->classes);
    printf("construction   %s\n", report->construction);
    if (spec->kind != WALSH_HEAD_LEARNED) {
        printf("largest cosine %.6f signed, %.6f absolute (%s", report->largest_cosine, report->largest_absolute_cosine,
               evidence_names[report->evidence]);
        if (report->evidence == WALSH_HEAD_KNOWN) printf(": a theorem");
        if (report->evidence == WALSH_HEAD_KNOWN && report->pairs) printf("; %.6f in a sample", report->sampled_cosine);
        if (report->pairs) printf(": %llu pairs", (unsigned long long)report->pairs);
        printf(")\n");
    }
    if (spec->kind == WALSH_HEAD_HADAMARD_PLAIN)
        printf("identical      %llu pairs of classes, which no training can tell apart\n",
               (unsigned long long)report->identical_pairs);
    printf("Welch bound    %.6f\n\n", report->welch);
    const walsh_head_cost *own = &report->own, *learned = &report->learned;
    printf("%-28s %16s %16s %12s\n", "cost", walsh_head_kind_name(spec->kind), "learned", "saved");
    print_cost("trained parameters", (double)own->parameters, (double)learned->parameters);
    print_cost("optimizer state, bytes", (double)own->optimizer_bytes, (double)learned->optimizer_bytes);
    print_cost("gradients to exchange, bytes", (double)own->sync_bytes, (double)learned->sync_bytes);
    print_cost("operations a sample", own->flops, learned->flops);
}

static void add_cost(cJSON *json, const char *name, const walsh_head_cost *cost)
{
    cJSON *object = cJSON_AddObjectToObject(json, name);
    cJSON_AddNumberToObject(object, "parameters", (double)cost->parameters);
    cJSON_AddNumberToObject(object, "optimizer_bytes", (double)cost->optimizer_bytes);
    cJSON_AddNumberToObject(object, "sync_bytes", (double)cost->sync_bytes);
    cJSON_AddNumberToObject(object, "flops", cost->flops);
}

/* NaN, for a learned head, becomes null. */
static walsh_status print_json(const walsh_head_spec *spec, const walsh_head_report *report)
{
    cJSON *json = cJSON_CreateObject();
    cJSON_AddStringToObject(json, "head", walsh_head_kind_name(spec->kind));
    cJSON_AddNumberToObject(json, "features", spec->features);
    cJSON_AddNumberToObject(json, "classes", spec->classes);
    cJSON_AddNumberToObject(json, "head_seed", (double)spec->seed);
    cJSON_AddStringToObject(json, "construction", report->construction);
    cJSON_AddNumberToObject(json, "largest_cosine", report->largest_cosine);
    cJSON_AddNumberToObject(json, "largest_absolute_cosine", report->largest_absolute_cosine);
    cJSON_AddStringToObject(json, "evidence", evidence_names[report->evidence]);
    cJSON_AddNumberToObject(json, "pairs", (double)report->pairs);
    cJSON_AddNumberToObject(json, "sampled_cosine", report->sampled_cosine);
    cJSON_AddNumberToObject(json, "identical_pairs", (double)report->identical_pairs);
    cJSON_AddNumberToObject(json, "welch", report->welch);
    add_cost(json, "own", &report->own);
    add_cost(json, "learned", &report->learned);
    return walsh_report_json(json);
}

static walsh_status run(const walsh_arguments *arguments)
{
    walsh_head_spec spec;
    walsh_head_report report;
    WALSH_TRY(read_spec(arguments, &spec));
    const char *out = walsh_argument(arguments, WALSH_OPTION_OUT);
    if (out && spec.kind == WALSH_HEAD_LEARNED)
        WALSH_FAIL(WALSH_E_ARGUMENT, "--out %s: a learned head has no fixed matrix to write", out);
    WALSH_TRY(walsh_head_describe(&spec, &report));
    if (out) WALSH_TRY(export(&spec, out));
    if (walsh_argument(arguments, WALSH_OPTION_JSON)) return print_json(&spec, &report);
    print_text(&spec, &report);
    return WALSH_OK;
}

static const struct argp_option own[] = {
    {NULL, 0, NULL, 0, "Head:", 0},
    {"head", WALSH_OPTION_HEAD, "HEAD", 0, "learned, orthonormal, hadamard or hadamard-plain", 0},
    {"features", WALSH_OPTION_FEATURES, "N", 0, "length of the feature vector", 0},
    {"classes", WALSH_OPTION_CLASSES, "C", 0, "number of classes", 0},
    {"head-seed", WALSH_OPTION_HEAD_SEED, "S", 0, "seed of a random matrix (default: 0)", 0},
    {"out", WALSH_OPTION_OUT, "FILE", 0, "write the matrix Q, float32 [C, N], as .npy", 0},
    {0},
};

const walsh_command walsh_command_head = {
    .name = "head",
    .summary = "describes a classifier head and exports its matrix",
    .synopsis = "--head HEAD --features N --classes C",
    .about =
        "Describes a classifier head: its construction, the largest cosine between the rows of two classes beside the"
        " Welch bound, and what it costs to train beside a learned one."
        "\vExamples:\n"
        "  walsh head --head hadamard --features 64 --classes 100\n"
        "  walsh head --head hadamard-plain --features 64 --classes 100\n"
        "  walsh head --head orthonormal --features 512 --classes 1000 --out Q.npy\n",
    .groups = (const struct argp_option *const[]){own, walsh_options_json, NULL},
    .run = run,
};
