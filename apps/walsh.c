/* The command `walsh`: finds the subcommand, and turns its status into one line on stderr and an exit status. */
#include "apps/commands.h"
#include "apps/progress.h"
#include "apps/signals.h"
#include "engine/base/status.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

static const walsh_command *const commands[] = {
    &walsh_command_devices, &walsh_command_train, &walsh_command_eval,  &walsh_command_predict,
    &walsh_command_head,    &walsh_command_tune,  &walsh_command_bench, NULL,
};

static void print_help(void)
{
    puts("Usage: walsh COMMAND [OPTION...]\n"
         "Trains image classifiers with a learned, an orthonormal or a Hadamard head on any OpenCL device.\n");
    for (const walsh_command *const *c = commands; *c; c++) printf("  %-10s %s\n", (*c)->name, (*c)->summary);
    puts("\n'walsh COMMAND --help' shows a command's options, 'walsh --version' the version.\n"
         "\n"
         "Environment:\n"
         "  WALSH_DEVICE      device to use where --device is not given\n"
         "  WALSH_CACHE       folder of compiled kernels and wisdom (default: $XDG_CACHE_HOME/walsh)\n"
         "  WALSH_KERNEL_DIR  folder of edited kernels, used instead of the built-in ones\n"
         "  WALSH_COMPILER    program that compiles kernels beside this one, as walsh-compile; empty: none\n"
         "  WALSH_DISABLE     variants of operations not to use, separated by commas\n"
         "  WALSH_LOG         error, info or debug: messages about what the engine does\n"
         "\n"
         "Exit status: 0 done, 1 failed while running, 2 wrong usage, 130 or 143 stopped by Ctrl-C or SIGTERM after\n"
         "saving.\n"
         "\n"
         "Examples:\n"
         "  walsh devices\n"
         "  walsh train --model resnet20 --data sample --head hadamard --out run\n"
         "  walsh eval --weights run/best.safetensors --data sample");
}

static void log_line(void *context, walsh_log_level level, const char *message)
{
    (void)context, (void)level;
    walsh_note("walsh: %s", message);
}

static walsh_status start_log(void)
{
    static const char *const names[] = {"error", "info", "debug"};
    const char *wanted = getenv("WALSH_LOG");
    if (!wanted || !*wanted) wanted = names[WALSH_LOG_ERROR];
    for (int level = WALSH_LOG_ERROR; level <= WALSH_LOG_DEBUG; level++) {
        if (strcmp(wanted, names[level])) continue;
        walsh_log_to(log_line, NULL, (walsh_log_level)level);
        return WALSH_OK;
    }
    WALSH_FAIL(WALSH_E_ARGUMENT, "WALSH_LOG=%s: expected error, info or debug", wanted);
}

/* What a command is called among its like: the last word of its name. */
static const char *short_name(const walsh_command *command)
{
    const char *space = strrchr(command->name, ' ');
    return space ? space + 1 : command->name;
}

static const walsh_command *named(const walsh_command *const *among, const char *word)
{
    while (*among && strcmp(short_name(*among), word)) among++;
    return *among;
}

/* `family` is "", or "bench " for its members. */
static walsh_status unknown_command(const walsh_command *const *among, const char *family, const char *word)
{
    enum { MOST = 16 }; /* more are not looked at */
    const char *names[MOST + 1] = {0};
    for (int i = 0; i < MOST && among[i]; i++) names[i] = short_name(among[i]);
    if (!*word) WALSH_FAIL(WALSH_E_ARGUMENT, "expected a command; 'walsh %s--help' lists them", family);
    const char *nearest = walsh_nearest(word, names);
    if (nearest) WALSH_FAIL(WALSH_E_ARGUMENT, "unknown command %s; did you mean %s?", word, nearest);
    WALSH_FAIL(WALSH_E_ARGUMENT, "unknown command %s; 'walsh %s--help' lists them", word, family);
}

static void print_family_help(const walsh_command *family)
{
    printf("Usage: walsh %s COMMAND [OPTION...]\n%s: %s.\n\n", family->name, family->name, family->summary);
    for (const walsh_command *const *c = family->members; *c; c++) printf("  %-6s %s\n", short_name(*c), (*c)->summary);
    printf("\n'walsh %s COMMAND --help' shows a command's options and examples.\n", family->name);
}

static walsh_status run(const walsh_command *command, int argc, char **argv)
{
    walsh_arguments arguments;
    walsh_status status = walsh_arguments_parse(command, argc, argv, &arguments);
    if (!status && walsh_argument(&arguments, WALSH_OPTION_HELP)) {
        walsh_arguments_help(&arguments);
    } else if (!status && !(status = start_log())) {
        walsh_signals_catch();
        status = command->run(&arguments);
    }
    walsh_arguments_free(&arguments);
    return status;
}

/* Results that did not reach their reader are a failure. */
static walsh_status flush_results(walsh_status status)
{
    bool lost = fflush(stdout) || ferror(stdout);
    if (!lost || status) return status;
    WALSH_FAIL(WALSH_E_FILE, "the results cannot be written to standard output: %s", strerror(errno));
}

static int exit_status(walsh_status status)
{
    if (status == WALSH_OK) return EXIT_DONE;
    if (status == WALSH_E_STOPPED && walsh_signals_caught()) return 128 + walsh_signals_caught();
    return status == WALSH_E_ARGUMENT ? EXIT_USAGE : EXIT_FAILED;
}

/* Runs what the command line names; *where becomes the command's name, for messages. */
static walsh_status dispatch(int argc, char **argv, const char **where)
{
    const char *word = argc > 1 ? argv[1] : "";
    const walsh_command *command = named(commands, word), *family = NULL;
    int at = 1;
    if (command && command->members) {
        family = command;
        *where = family->name;
        word = argc > 2 ? argv[2] : "";
        command = named(family->members, word);
        at = 2;
    }
    if (command) {
        *where = command->name;
        return run(command, argc - at, argv + at);
    }
    if (!strcmp(word, "--help")) {
        if (family) print_family_help(family);
        if (!family) print_help();
    } else if (!family && !strcmp(word, "--version")) {
        puts("walsh " WALSH_VERSION);
    } else {
        return unknown_command(family ? family->members : commands, family ? "bench " : "", word);
    }
    return WALSH_OK;
}

int main(int argc, char **argv)
{
    const char *where = NULL;
    walsh_status status = flush_results(dispatch(argc, argv, &where));
    if (status) walsh_note("walsh%s%s: %s", where ? " " : "", where ? where : "", walsh_message());
    walsh_log_to(NULL, NULL, WALSH_LOG_ERROR);
    return exit_status(status);
}
