/* walsh predict: the logits of a data set's images, or the likeliest class of each. */
#include "apps/commands.h"
#include "apps/session.h"
#include "engine/base/npy.h"
#include "engine/base/status.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* A line an image: its number, its likeliest class and that class's probability. */
static void print_classes(const walsh_model_info *model, const float *logits, size_t images)
{
    puts("image\tclass\tprobability");
    for (size_t i = 0; i < images; i++, logits += model->classes) {
        int best = 0;
        double sum = 0;
        for (int c = 1; c < model->classes; c++)
            if (logits[c] > logits[best]) best = c;
        for (int c = 0; c < model->classes; c++) sum += exp((double)logits[c] - logits[best]);
        if (model->class_names)
            printf("%zu\t%s\t%.4f\n", i, model->class_names[best], 1 / sum);
        else
            printf("%zu\t%d\t%.4f\n", i, best, 1 / sum);
    }
}

/* `npy` NULL: print instead. */
static walsh_status predict(walsh_session *session, walsh_npy *npy)
{
    const walsh_model_info *model = walsh_model_describe(session->model);
    size_t images = walsh_dataset_describe(session->dataset)->images;
    float *logits = NULL;
    WALSH_TRY(walsh_alloc(&logits, images * (size_t)model->classes, sizeof *logits, "the logits"));
    walsh_status status = walsh_predict(session->model, session->dataset, session->batch, session->loaders,
                                        walsh_session_observe, session, logits);
    walsh_bar_clear();
    if (!status && npy)
        status = walsh_npy_rows(npy, logits, images);
    else if (!status)
        print_classes(model, logits, images);
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
    {NULL, 0, NULL, 0, "Results:", 0},
    {"out", WALSH_OPTION_OUT, "FILE", 0,
     "write the logits, float32 [images, classes], as .npy (default: print the likeliest"
     " class of each image and its probability)",
     0},
    {0},
};

const walsh_command walsh_command_predict = {
    .name = "predict",
    .summary = "predicts the classes of a data set's images",
    .synopsis = "--weights FILE --data DATA",
    .about = "Predicts the class of every image, in the data set's own order."
             "\vExamples:\n"
             "  walsh predict --weights run/best.safetensors --data sample\n"
             "  walsh predict --weights run/best.safetensors --data cifar10:data --out y.npy\n",
    .groups = (const struct argp_option *const[]){walsh_options_images, walsh_options_device, walsh_options_progress,
                                                  own, NULL},
    .run = run,
};
