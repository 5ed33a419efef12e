#include "engine/op/image.h"

#include <limits.h>
#include <math.h>

static walsh_status shapes(const void *problem, walsh_shape *operand)
{
    const walsh_image_problem *p = problem;
    if (p->n < 1 || p->h < 1 || p->w < 1) WALSH_FAIL(WALSH_E_ARGUMENT, "image: every size must be at least 1");
    double bytes = 4.0 * p->n * p->h * p->w;
    if (bytes > INT_MAX)
        WALSH_FAIL(WALSH_E_ARGUMENT, "image: %d images of %dx%d are %.0f bytes, expected at most %d", p->n, p->h, p->w,
                   bytes, INT_MAX);
    for (int k = 0; k < 3; k++)
        if (!(p->deviation[k] > 0) || !isfinite(p->deviation[k]) || !isfinite(p->mean[k]))
            WALSH_FAIL(WALSH_E_ARGUMENT, "image: channel %d has mean %g and deviation %g, expected finite and positive",
                       k, (double)p->mean[k], (double)p->deviation[k]);
    operand[WALSH_IMAGE_PIXELS] = walsh_shape_array(WALSH_U8, p->n * p->h * p->w * 4);
    operand[WALSH_IMAGE_Y] = walsh_shape_nhwc(p->n, p->h, p->w, 3);
    return WALSH_OK;
}

static void cost(const void *problem, double *flops, double *bytes)
{
    const walsh_image_problem *p = problem;
    double pixels = (double)p->n * p->h * p->w;
    *flops = 6 * pixels;
    *bytes = 20 * pixels;
}

static int suits(const walsh_device *device, const void *problem)
{
    (void)device, (void)problem;
    return 1;
}

static walsh_status emit(walsh_list *list, const void *problem, const walsh_view *operand, const walsh_view *workspace)
{
    (void)workspace;
    const walsh_image_problem *p = problem;
    const walsh_view *y = &operand[WALSH_IMAGE_Y];
    float scale[3], shift[3];
    for (int k = 0; k < 3; k++) {
        scale[k] = (float)(1 / (255.0 * p->deviation[k]));
        shift[k] = (float)(-(double)p->mean[k] / p->deviation[k]);
    }
    int pixels = p->n * p->h * p->w;
    walsh_launch launch = {.file = "image", .function = "image_plain", .global = {(size_t)pixels}, .local = {256}};
    cost(problem, &launch.flops, &launch.bytes);
    return WALSH_LAUNCH(list, launch, WALSH_TENSOR(&operand[WALSH_IMAGE_PIXELS]), WALSH_TENSOR(y), WALSH_INT(pixels),
                        WALSH_INT(y->shape.pitch), WALSH_FLOAT(scale[0]), WALSH_FLOAT(scale[1]), WALSH_FLOAT(scale[2]),
                        WALSH_FLOAT(shift[0]), WALSH_FLOAT(shift[1]), WALSH_FLOAT(shift[2]));
}

static const walsh_variant plain = {.name = "image_plain", .suits = suits, .emit = emit};

const walsh_op walsh_image = {
    .name = "image",
    .problem_size = sizeof(walsh_image_problem),
    .operands = {{"pixels", WALSH_READ}, {"y", WALSH_WRITE}},
    .shapes = shapes,
    .cost = cost,
    .variants = (const walsh_variant *const[]){&plain, NULL},
};
