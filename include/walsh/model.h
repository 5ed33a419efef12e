/* Models: a network with its head and weights on a device. */
#ifndef WALSH_MODEL_H
#define WALSH_MODEL_H

#include <walsh/data.h>
#include <walsh/device.h>
#include <walsh/head.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct walsh_model walsh_model;

typedef struct walsh_model_options {
    const char *name; /* "resnet20": one of walsh_model_names() */
    int image_size;   /* pixels a side; 0: the model's own default */
    int classes;
    walsh_head_kind head; /* default 0: learned */
    uint64_t head_seed;   /* of a fixed head's matrix */
    bool alpha_fixed;     /* a fixed head's alpha stays at `alpha` instead of being trained */
    float alpha;          /* the fixed value, or the initial one; 0: 10 */
    bool decay_alpha;     /* weight decay on alpha too */
    walsh_loss loss;      /* cosine needs a fixed head */
    bool trains;          /* allocate gradients and momentum */
    bool freeze_body;     /* for the head alone, which is all that is trained */
    /* What a weights file tells about the data; all may be 0 or NULL. The strings are copied. */
    const char *data;               /* "cifar10" */
    const char *const *class_names; /* [classes] */
    float mean[3], deviation[3];    /* of pixels scaled to 0..1; deviation 0: as those of the data evaluated */
} walsh_model_options;

typedef struct walsh_model_info {
    const char *name;
    int image_size, classes, features;
    walsh_head_spec head;
    bool alpha_fixed;
    walsh_loss loss;
    size_t parameters;              /* trained ones, as papers count them */
    const char *data;               /* "" if unknown */
    const char *const *class_names; /* [classes], or NULL if unknown */
    float mean[3], deviation[3];    /* 0 if unknown */
} walsh_model_info;

/* The names of all models, ended by NULL. */
WALSH_API const char *const *walsh_model_names(void);

/* A model with undefined weights: initialise or load them next.
 * Fails with WALSH_E_ARGUMENT for an unknown name or options that contradict each other, WALSH_E_MEMORY.
 *
 * @code
 * walsh_device *device = NULL;
 * walsh_model *model = NULL;
 * walsh_model_options options = {.name = "resnet20", .classes = 100, .head = WALSH_HEAD_HADAMARD};
 * if (walsh_device_open(NULL, &device) == WALSH_OK && walsh_model_create(device, &options, &model) == WALSH_OK &&
 *     walsh_model_initialise(model, 1) == WALSH_OK)
 *     printf("%zu trained parameters\n", walsh_model_describe(model)->parameters);
 * walsh_model_destroy(&model);
 * walsh_device_close(&device);
 * @endcode
 */
WALSH_API walsh_status walsh_model_create(walsh_device *device, const walsh_model_options *options,
                                          walsh_model **model);

/* What the model is; valid until it is destroyed. */
WALSH_API const walsh_model_info *walsh_model_describe(const walsh_model *model);

/* Initial weights (interface.md), a function of `seed` alone. */
WALSH_API walsh_status walsh_model_initialise(walsh_model *model, uint64_t seed);

/* The model that a weights file describes, with its weights, for evaluation. `name` (may be NULL) stands in where the
 * file does not say which model it is, as files from elsewhere do not. `image_size`: pixels a side; 0: those that it
 * was trained at, where the file says, else the model's own default.
 * Fails with WALSH_E_FILE or WALSH_E_FORMAT, naming the file. */
WALSH_API walsh_status walsh_model_open(walsh_device *device, const char *path, const char *name, int image_size,
                                        walsh_model **model);

/* Takes the weights of a file over into this model: every parameter must be there with the right shape, and a fixed
 * head must be the same one. Nothing changes where it fails (WALSH_E_FILE, WALSH_E_FORMAT). */
WALSH_API walsh_status walsh_model_load(walsh_model *model, const char *path);

/* Takes over what a model for other classes, or with another head, has learnt: where the file's head is of another
 * kind, matrix or number of classes, this model keeps its own and *own_head is true; everything else is as
 * walsh_model_load has it. */
WALSH_API walsh_status walsh_model_start(walsh_model *model, const char *path, bool *own_head);

/* Writes the weights, atomically: safetensors, torchvision's names. Fails with WALSH_E_FILE, and WALSH_E_NOT_FINITE
 * where a weight is NaN or infinite; a file that was there stays as it is then. */
WALSH_API walsh_status walsh_model_save(const walsh_model *model, const char *path);

/* Frees the model and sets the pointer to NULL; NULL is accepted. */
WALSH_API void walsh_model_destroy(walsh_model **model);

#ifdef __cplusplus
}
#endif
#endif
