/* walsh predict: the logits of a data set's images or of image files, or their likeliest classes. */
#include "apps/commands.h"
#include "apps/session.h"
#include "engine/base/npy.h"
#include "engine/base/status.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { BEST = 5 };

/* The numbers of the `count` largest logits, largest first; of equal ones, the first class first. */
static void find_best(const float *logits, int classes, int count, int *best)
{
    for (int n = 0; n < count; n++) {
        best[n] = -1;
        for (int c = 0; c < classes; c++) {
            bool taken = false;
            for (int i = 0; i < n; i++) taken |= best[i] == c;
            if (!taken && (best[n] < 0 || logits[c] > logits[best[n]])) best[n] = c;
        }
    }
}

static void print_class(const walsh_model_info *model, int class, double probability)
{
    if (model->class_names)
        printf("%s\t%.4f\n", model->class_names[class], probability);
    else
        printf("%d\t%.4f\n", class, probability);
}

/* A line for each of an image's best classes, with its probability. `name` NULL: the image has a number, and a line for
 * its best class. */
static void print_image(const walsh_model_info *model, const char *name, size_t number, const float *logits)
{
    int best[BEST], count = !name ? 1 : model->classes < BEST ? model->classes : BEST;
    double sum = 0;
    if (isnan(logits[0])) return; /* skipped */
    find_best(logits, model->classes, count, best);
    for (int c = 0; c < model->classes; c++) sum += exp((double)logits[c] - logits[best[0]]);
    for (int i = 0; i < count; i++) {
        if (name)
            printf("%s\t%d\t", name, i + 1);
        else
            printf("%zu\t", number);
        print_class(model, best[i], exp((double)logits[best[i]] - logits[best[0]]) / sum);
    }
}

static void print_classes(const walsh_session *session, const float *logits, size_t images)
{
    const walsh_model_info *model = walsh_model_describe(session->model);
    puts(session->images ? "image\trank\tclass\tprobability" : "image\tclass\tprobability");
    for (size_t i = 0; i < images; i++)
        print_image(model, session->images ? session->images[i] : NULL, i, logits + i * (size_t)model->classes);
}

/* `npy` NULL: print instead. */
static walsh_status predict(walsh_session *session, walsh_npy *npy)
{
    const walsh_model_info *model = walsh_model_describe(session->model);
    size_t images = walsh_dataset_describe(session->dataset)->images;
    float *logits = NULL;
    WALSH_TRY(walsh_alloc(&logits, images * (size_t)model->classes, sizeof *logits, "the logits"));
    walsh_status status = walsh_predict(session->model, session->dataset, &session->options, walsh_session_observe,
                                        session, logits);
    walsh_bar_clear();
    if (!status && npy)
        status = walsh_npy_rows(npy, logits, images);
    else if (!status)
        print_classes(session, logits, images);
    free(logits);
    return status;
}

/* The file is begun before the work: a place that cannot be written is known at once. */
static walsh_status predict_to_file(walsh_session *session, const char *path)
{
    size_t images = walsh_dataset_describe(session->dataset)->images;
    size_t classes = (size_t)walsh_model_describe(session->model)->classes;
    walsh_npy *npy = NULL;
    WALSH_TRY(walsh_npy_begin(path, 2, (size_t[]){images, classes}, &npy));
    walsh_status status = predict(session, npy);
    if (!status) status = walsh_npy_finish(&npy);
    walsh_npy_abandon(&npy);
    if (!status) walsh_note("%s: float32 [%zu, %zu]", path, images, classes);
    return status;
}

static walsh_status run(const walsh_arguments *arguments)
{
    walsh_session session;
    const char *out = walsh_argument(arguments, WALSH_OPTION_OUT);
    walsh_status status = walsh_session_open(arguments, &session);
    if (!status) status = out ? predict_to_file(&session, out) : predict(&session, NULL);
    walsh_session_close(&session);
    return status;
}

static const struct argp_option own[] = {
    {"images", WALSH_OPTION_IMAGES, "FILE...", 0, "instead of a data set: JPEG or PNG files", 0},
    {NULL, 0, NULL, 0, "Results:", 0},
    {"out", WALSH_OPTION_OUT, "FILE", 0,
     "write the logits, float32 [images, classes], as .npy (default: print the likeliest"
     " class of each image and its probability; of image files, the five likeliest)",
     0},
    {0},
};

const walsh_command walsh_command_predict = {
    .name = "predict",
    .summary = "predicts the classes of a data set's images, or of image files",
    .synopsis = "--weights FILE --data DATA\n--weights FILE --images FILE...",
    .about = "Predicts the class of every image, in the data set's own order, or as the files are given."
             "\vExamples:\n"
             "  walsh predict --weights run/best.safetensors --data sample\n"
             "  walsh predict --weights run/best.safetensors --data cifar10:data --out y.npy\n"
             "  walsh predict --weights run/best.safetensors --images cat.jpg dog.png\n",
    .groups = (const struct argp_option *const[]){walsh_options_images, own, walsh_options_device,
                                                  walsh_options_progress, NULL},
    .run = run,
};
