#include "apps/options.h"

#include "engine/base/status.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Entries without a name are headings; argp numbers the groups. */
const struct argp_option walsh_options_device[] = {
    {NULL, 0, NULL, 0, "Device:", 0},
    {"device", WALSH_OPTION_DEVICE, "DEVICE", 0,
     "index, cpu, gpu, or a part of its name (default: $WALSH_DEVICE, else the best GPU, else the CPU)", 0},
    {"threads", WALSH_OPTION_THREADS, "T", 0, "compute units of a CPU device to use (default: all)", 0},
    {0},
};

const struct argp_option walsh_options_images[] = {
    {NULL, 0, NULL, 0, "Weights and data:", 0},
    {"weights", WALSH_OPTION_WEIGHTS, "FILE", 0, "best.safetensors of a run, or a state_dict", 0},
    {"data", WALSH_OPTION_DATA, "DATA", 0, WALSH_DATA_HELP, 0},
    {"split", WALSH_OPTION_SPLIT, "train|test", 0, "part of the data (default: test)", 0},
    {"model", WALSH_OPTION_MODEL, "NAME", 0, "model, where the weights do not name it", 0},
    {"image-size", WALSH_OPTION_IMAGE_SIZE, "S", 0,
     "pixels a side (default: as the weights were trained, else the model's)", 0},
    {"batch", WALSH_OPTION_BATCH, "B", 0, "images a batch (default: 128)", 0},
    {"math", WALSH_OPTION_MATH, "MATH", 0, WALSH_MATH_HELP, 0},
    {"memory", WALSH_OPTION_MEMORY, "LIMIT", 0, WALSH_MEMORY_HELP, 0},
    {"loaders", WALSH_OPTION_LOADERS, "L", 0,
     "threads that prepare images (default: 1; where these are decoded, one a processor, at most 16)", 0},
    {"skip-bad-images", WALSH_OPTION_SKIP_BAD_IMAGES, NULL, 0, "go on without images that cannot be decoded", 0},
    {0},
};

const struct argp_option walsh_options_progress[] = {
    {NULL, 0, NULL, 0, "Messages:", 0},
    {"progress", WALSH_OPTION_PROGRESS, "WHEN", 0, "auto (on a terminal), always or never", 0},
    {0},
};

const struct argp_option walsh_options_json[] = {
    {NULL, 0, NULL, 0, "Results:", 0},
    {"json", WALSH_OPTION_JSON, NULL, 0, "print JSON", 0},
    {0},
};

static const struct argp_option help_option[] = {
    {"help", WALSH_OPTION_HELP, NULL, 0, "this text", -1},
    {0},
};

/* Changes of one letter that make `a` of `b`. */
static size_t distance(const char *a, const char *b)
{
    enum { LONGEST = 64 };
    size_t row[LONGEST + 1], columns = strlen(b);
    if (columns > LONGEST) return SIZE_MAX;
    for (size_t j = 0; j <= columns; j++) row[j] = j;
    for (size_t i = 1; a[i - 1]; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= columns; j++) {
            size_t best = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            if (row[j] + 1 < best) best = row[j] + 1;
            if (row[j - 1] + 1 < best) best = row[j - 1] + 1;
            row[j] = best;
        }
    }
    return row[columns];
}

const char *walsh_nearest(const char *word, const char *const *names)
{
    const char *nearest = NULL;
    size_t least = strlen(word) / 3 + 2;
    for (; *names; names++) {
        size_t changes = distance(word, *names);
        if (changes < least) least = changes, nearest = *names;
    }
    return nearest;
}

/* The option behind `o` in a list that ends as argp wants it, past headings; NULL at the end. */
static const struct argp_option *named(const struct argp_option *o)
{
    while (!o->name && o->doc) o++;
    return o->name ? o : NULL;
}

static walsh_status unknown(const walsh_arguments *arguments, const char *name)
{
    const char *names[WALSH_OPTION_COUNT + 1] = {0};
    int count = 0;
    for (const struct argp_option *o = named(arguments->known); o; o = named(o + 1)) names[count++] = o->name;
    const char *nearest = walsh_nearest(name, names);
    if (nearest) WALSH_FAIL(WALSH_E_ARGUMENT, "unknown option --%s; did you mean --%s?", name, nearest);
    WALSH_FAIL(WALSH_E_ARGUMENT, "unknown option --%s; 'walsh %s --help' lists them", name, arguments->command->name);
}

/* What is wrong with one word of the command line, if anything: getopt only says that something is. */
static walsh_status diagnose(const walsh_arguments *arguments, const char *word)
{
    if (word[0] != '-') return WALSH_OK;
    if (word[1] != '-') WALSH_FAIL(WALSH_E_ARGUMENT, "unknown option %s; options begin with --", word);
    char name[64];
    const char *value = strchr(word, '=');
    snprintf(name, sizeof name, "%.*s", (int)(value ? value - word - 2 : (long)strlen(word) - 2), word + 2);
    const struct argp_option *found = NULL, *other = NULL;
    for (const struct argp_option *o = named(arguments->known); o; o = named(o + 1)) {
        if (strncmp(o->name, name, strlen(name))) continue;
        other = found;
        found = o;
        if (!strcmp(o->name, name)) {
            other = NULL;
            break;
        }
    }
    if (!found) return unknown(arguments, name);
    if (other) WALSH_FAIL(WALSH_E_ARGUMENT, "--%s: could be --%s or --%s", name, other->name, found->name);
    if (found->arg && !value) WALSH_FAIL(WALSH_E_ARGUMENT, "--%s: expected a value, %s", found->name, found->arg);
    if (!found->arg && value) WALSH_FAIL(WALSH_E_ARGUMENT, "--%s: expected no value, found %s", found->name, value + 1);
    return WALSH_OK;
}

/* An image of --images: its value, or one of the arguments that follow it, which argp hands over last. */
static error_t take_image(walsh_arguments *arguments, const char *path)
{
    arguments->refused = walsh_grow(&arguments->images, arguments->image_count, sizeof *arguments->images, "arguments");
    if (arguments->refused) return ENOMEM;
    arguments->images[arguments->image_count++] = path;
    return 0;
}

static error_t take(int key, char *value, struct argp_state *state)
{
    walsh_arguments *arguments = state->input;
    if (key == WALSH_OPTION_IMAGES || (key == ARGP_KEY_ARG && arguments->image_count))
        return take_image(arguments, value);
    if (key >= WALSH_OPTION_FIRST && key < WALSH_OPTION_END) {
        arguments->text[key - WALSH_OPTION_FIRST] = value ? value : "";
        return key == WALSH_OPTION_HELP ? ECANCELED : 0;
    }
    if (key == ARGP_KEY_ARG) {
        walsh_fail(WALSH_E_ARGUMENT, "unexpected argument %s", value);
        arguments->refused = true;
        return EINVAL;
    }
    if (key != ARGP_KEY_ERROR) return ARGP_ERR_UNKNOWN;
    /* The word at fault is the last that getopt passed, or one with several letters that it is still at. */
    for (int i = state->next - 1; i <= state->next && i < state->argc && !arguments->refused; i++)
        arguments->refused = i > 0 && diagnose(arguments, state->argv[i]);
    return 0;
}

static struct argp parser_of(const walsh_arguments *arguments)
{
    const walsh_command *command = arguments->command;
    return (struct argp){arguments->known, take, command->synopsis, command->about, NULL, NULL, NULL};
}

walsh_status walsh_arguments_parse(const walsh_command *command, int argc, char **argv, walsh_arguments *arguments)
{
    *arguments = (walsh_arguments){.command = command};
    int count = 0;
    for (const struct argp_option *const *group = command->groups; *group; group++)
        for (const struct argp_option *o = *group; o->name || o->doc; o++) arguments->known[count++] = *o;
    arguments->known[count] = help_option[0];
    struct argp parser = parser_of(arguments);
    /* argp's own messages take two lines, and its --help is silent with its messages. */
    error_t error = argp_parse(&parser, argc, argv, ARGP_NO_ERRS | ARGP_NO_HELP, NULL, arguments);
    if (!error || error == ECANCELED) return WALSH_OK;
    if (arguments->refused) return WALSH_E_ARGUMENT;
    WALSH_FAIL(WALSH_E_ARGUMENT, "the options cannot be parsed: %s", strerror(error));
}

void walsh_arguments_free(walsh_arguments *arguments)
{
    free(arguments->images);
    arguments->images = NULL;
}

const char *walsh_argument(const walsh_arguments *arguments, int option)
{
    return arguments->text[option - WALSH_OPTION_FIRST];
}

/* The declaration of an option that the command has. */
static const struct argp_option *entry(const walsh_arguments *arguments, int option)
{
    const struct argp_option *o = arguments->known;
    while (o->key != option) o++;
    return o;
}

walsh_status walsh_argument_required(const walsh_arguments *arguments, int option, const char **text)
{
    *text = walsh_argument(arguments, option);
    if (*text && **text) return WALSH_OK;
    const struct argp_option *o = entry(arguments, option);
    WALSH_FAIL(WALSH_E_ARGUMENT, "expected --%s %s: %s", o->name, o->arg, o->doc);
}

const char *walsh_argument_name(const walsh_arguments *arguments, int option)
{
    return entry(arguments, option)->name;
}

void walsh_arguments_help(const walsh_arguments *arguments)
{
    char name[64];
    snprintf(name, sizeof name, "walsh %s", arguments->command->name);
    struct argp parser = parser_of(arguments);
    argp_help(&parser, stdout, ARGP_HELP_SHORT_USAGE | ARGP_HELP_LONG | ARGP_HELP_DOC, name);
}
