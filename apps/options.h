/* The command line of a subcommand: what it may say, and what it said. The values stay text here; values.h reads them.
 */
#ifndef WALSH_APPS_OPTIONS_H
#define WALSH_APPS_OPTIONS_H

#include <argp.h>
#include <stdbool.h>
#include <walsh/status.h>

/* Every option of every subcommand, above the range of one-letter options. */
enum {
    WALSH_OPTION_FIRST = 256,
    WALSH_OPTION_HELP = WALSH_OPTION_FIRST,
    WALSH_OPTION_DEVICE,
    WALSH_OPTION_THREADS,
    WALSH_OPTION_PROGRESS,
    WALSH_OPTION_JSON,
    WALSH_OPTION_SVG,
    WALSH_OPTION_DATA,
    WALSH_OPTION_LOADERS,
    WALSH_OPTION_SPLIT,
    WALSH_OPTION_IMAGES,
    WALSH_OPTION_IMAGE_SIZE,
    WALSH_OPTION_SKIP_BAD_IMAGES,
    WALSH_OPTION_WEIGHTS,
    WALSH_OPTION_MODEL,
    WALSH_OPTION_HEAD,
    WALSH_OPTION_HEAD_SEED,
    WALSH_OPTION_ALPHA,
    WALSH_OPTION_LOSS,
    WALSH_OPTION_MATH,
    WALSH_OPTION_STORE,
    WALSH_OPTION_SEED,
    WALSH_OPTION_FEATURES,
    WALSH_OPTION_CLASSES,
    WALSH_OPTION_OUT,
    WALSH_OPTION_EPOCHS,
    WALSH_OPTION_STEPS,
    WALSH_OPTION_BATCH,
    WALSH_OPTION_ACCUMULATE,
    WALSH_OPTION_MEMORY,
    WALSH_OPTION_LR,
    WALSH_OPTION_MOMENTUM,
    WALSH_OPTION_NESTEROV,
    WALSH_OPTION_NO_NESTEROV,
    WALSH_OPTION_WEIGHT_DECAY,
    WALSH_OPTION_DECAY_ALPHA,
    WALSH_OPTION_LABEL_SMOOTHING,
    WALSH_OPTION_SCHEDULE,
    WALSH_OPTION_WARMUP,
    WALSH_OPTION_INIT,
    WALSH_OPTION_FREEZE_BODY,
    WALSH_OPTION_RESUME,
    WALSH_OPTION_SAVE_EVERY,
    WALSH_OPTION_NO_AUGMENT,
    WALSH_OPTION_NO_SHUFFLE,
    WALSH_OPTION_PROFILE,
    WALSH_OPTION_PLAN,
    WALSH_OPTION_TUNE,
    WALSH_OPTION_SECONDS,
    WALSH_OPTION_REPEATS,
    WALSH_OPTION_SHAPE,
    WALSH_OPTION_SIZE,
    WALSH_OPTION_VARIANT,
    WALSH_OPTION_MODE,
    WALSH_OPTION_ALL,
    WALSH_OPTION_CHECK,
    WALSH_OPTION_END,
    WALSH_OPTION_COUNT = WALSH_OPTION_END - WALSH_OPTION_FIRST,
    WALSH_OPTION_HEADINGS = 8 /* at most, in one command's help */
};

typedef struct walsh_arguments walsh_arguments;

typedef struct walsh_command walsh_command;
struct walsh_command {
    const char *name;                        /* "train"; "bench conv" of a member */
    const char *summary;                     /* what it does, for the list of subcommands */
    const char *synopsis;                    /* what follows the name in the usage line */
    const char *about;                       /* help above the options; \v, then what stands below them: the examples */
    const struct argp_option *const *groups; /* its options, ended by NULL; each array ended as argp wants it */
    walsh_status (*run)(const walsh_arguments *arguments);
    const walsh_command *const
        *members; /* of a family, ended by NULL; it has but name and summary besides. Else NULL */
};

struct walsh_arguments {
    const walsh_command *command;
    const char **images; /* [image_count] what was given for --images, and the arguments without an option after it */
    size_t image_count;
    const char *text[WALSH_OPTION_COUNT]; /* what was given; a flag is ""; NULL: not given */
    struct argp_option known[WALSH_OPTION_COUNT + WALSH_OPTION_HEADINGS + 1]; /* the command's options in one array */
    bool refused;                                                             /* walsh_message() says why already */
};

#define WALSH_MODEL_HELP                                                                                               \
    "resnet20, resnet32, resnet44, resnet56, resnet110 or densenet-bc-100-12 (CIFAR); resnet18, resnet34, resnet50, "  \
    "densenet121, densenet169 or shufflenet (ImageNet)"

#define WALSH_DATA_HELP                                                                                                \
    "sample, cifar10:PATH or cifar100:PATH (folder or .tar.gz), imagenet:DIR (train/ and val/ with a folder of "       \
    "images a"                                                                                                         \
    " class) or webdataset:DIR (tar files)"

#define WALSH_MEMORY_HELP "of the device's memory, take so much at most, as 800MiB or 1.5GiB (default: all that it has)"

#define WALSH_MATH_HELP "fast (default), or exact: nothing that trades accuracy for speed"
#define WALSH_STORE_HELP "what waits for the backward pass: f32 (default), or f16, which takes half the memory"

/* Options that several subcommands take. */
extern const struct argp_option walsh_options_device[];   /* --device --threads */
extern const struct argp_option walsh_options_images[];   /* --weights --data --split --model --image-size --batch
                                                           * --math --memory --loaders --skip-bad-images */
extern const struct argp_option walsh_options_progress[]; /* --progress */
extern const struct argp_option walsh_options_json[];     /* --json */

/* Parses argv[1..] (argv[0] is the subcommand). Fails with WALSH_E_ARGUMENT for what is not known, incomplete or too
 * much. */
walsh_status walsh_arguments_parse(const walsh_command *command, int argc, char **argv, walsh_arguments *arguments);

/* Frees what belongs to the arguments. */
void walsh_arguments_free(walsh_arguments *arguments);

/* What was given for an option, NULL if nothing. */
const char *walsh_argument(const walsh_arguments *arguments, int option);

/* The same, but fails with WALSH_E_ARGUMENT where nothing was given. */
walsh_status walsh_argument_required(const walsh_arguments *arguments, int option, const char **text);

/* "--lr": the name of an option of this command. */
const char *walsh_argument_name(const walsh_arguments *arguments, int option);

/* Prints the command's help on stdout. */
void walsh_arguments_help(const walsh_arguments *arguments);

/* The name nearest to a mistyped `word`, NULL if none is near; `names` ends with NULL. */
const char *walsh_nearest(const char *word, const char *const *names);

#endif
