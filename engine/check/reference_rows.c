#include <math.h>
#include <string.h>

#include "engine/base/half.h"
#include "engine/check/reference.h"
#include "engine/op/add.h"
#include "engine/op/gemm.h"
#include "engine/op/image.h"
#include "engine/op/lanes.h"
#include "engine/op/reduce.h"
#include "engine/op/relu.h"
#include "engine/op/sgd.h"
#include "engine/op/store.h"

static size_t elements(int n, int h, int w, int c)
{
    return (size_t)n * (size_t)h * (size_t)w * (size_t)c;
}

static walsh_status add(const void *problem, double *const *operand)
{
    const walsh_add_problem *p = problem;
    for (size_t i = 0; i < elements(p->n, p->h, p->w, p->c); i++) {
        double sum = operand[WALSH_ADD_A][i] + operand[WALSH_ADD_B][i];
        operand[WALSH_ADD_Y][i] = p->relu ? fmax(sum, 0) : sum;
    }
    return WALSH_OK;
}

static walsh_status relu_forward(const void *problem, double *const *operand)
{
    const walsh_relu *p = problem;
    for (size_t i = 0; i < elements(p->n, p->h, p->w, p->c); i++)
        operand[WALSH_RELU_FORWARD_Y][i] = fmax(operand[WALSH_RELU_FORWARD_X][i], 0);
    return WALSH_OK;
}

static walsh_status relu_backward(const void *problem, double *const *operand)
{
    const walsh_relu *p = problem;
    for (size_t i = 0; i < elements(p->n, p->h, p->w, p->c); i++)
        operand[WALSH_RELU_BACKWARD_DX][i] =
            operand[WALSH_RELU_BACKWARD_Y][i] > 0 ? operand[WALSH_RELU_BACKWARD_DY][i] : 0;
    return WALSH_OK;
}

static walsh_status reduce(const void *problem, double *const *operand)
{
    const walsh_reduce_problem *p = problem;
    size_t c = (size_t)p->c, rows = elements(p->rows, p->h ? p->h : 1, p->w ? p->w : 1, 1);
    double *s = operand[WALSH_REDUCE_S];
    if (!(p->fuse & WALSH_FUSE_ACCUMULATE)) memset(s, 0, c * sizeof *s);
    for (size_t i = 0; i < rows * c; i++) s[i % c] += operand[WALSH_REDUCE_X][i];
    return WALSH_OK;
}

static walsh_status sgd(const void *problem, double *const *operand)
{
    const walsh_sgd_problem *p = problem;
    const double *hyper = operand[WALSH_SGD_HYPER], lr = hyper[0], momentum = hyper[1], decay = hyper[2];
    for (int i = 0; i < p->elements; i++) {
        double *v = operand[WALSH_SGD_V] + i, *w = operand[WALSH_SGD_W] + i;
        double d = hyper[3] * operand[WALSH_SGD_G][i] + (i < p->decayed ? decay * *w : 0);
        *v = momentum * *v + d;
        *w -= lr * (p->nesterov ? d + momentum * *v : *v);
    }
    return WALSH_OK;
}

static walsh_status lanes(const void *problem, double *const *operand)
{
    const walsh_lanes_problem *p = problem;
    double *y = operand[WALSH_LANES_Y];
    memset(y, 0, elements(p->rows, 1, 1, p->out) * sizeof *y);
    for (int r = 0; r < p->rows; r++)
        for (int i = 0; i < WALSH_LANE_RUNS; i++)
            for (int c = 0; c < p->run[i].count; c++)
                y[r * p->out + p->run[i].to + c] = operand[WALSH_LANES_X][r * p->in + p->run[i].from + c];
    return WALSH_OK;
}

static walsh_status image(const void *problem, double *const *operand)
{
    const walsh_image_problem *p = problem;
    for (size_t i = 0; i < elements(p->n, p->h, p->w, 1); i++)
        for (size_t c = 0; c < 3; c++)
            operand[WALSH_IMAGE_Y][3 * i + c] =
                (operand[WALSH_IMAGE_PIXELS][4 * i + c] / 255 - (double)p->mean[c]) / (double)p->deviation[c];
    return WALSH_OK;
}

static walsh_status gemm(const void *problem, double *const *operand)
{
    const walsh_gemm_problem *p = problem;
    const double *a = operand[WALSH_GEMM_A], *b = operand[WALSH_GEMM_B];
    for (int i = 0; i < p->m; i++)
        for (int j = 0; j < p->n; j++) {
            double *c = operand[WALSH_GEMM_C] + (size_t)i * (size_t)p->n + j, sum = 0;
            for (int k = 0; k < p->k; k++)
                sum += a[p->ta ? (size_t)k * (size_t)p->m + (size_t)i : (size_t)i * (size_t)p->k + (size_t)k] *
                       b[p->tb ? (size_t)j * (size_t)p->k + (size_t)k : (size_t)k * (size_t)p->n + (size_t)j];
            if (p->fuse & WALSH_FUSE_BIAS) sum += operand[WALSH_GEMM_BIAS][j];
            *c = (p->fuse & WALSH_FUSE_ACCUMULATE ? *c : 0) + sum;
        }
    return WALSH_OK;
}

static walsh_status store_pack(const void *problem, double *const *operand)
{
    const walsh_store *p = problem;
    for (size_t i = 0; i < elements(p->n, p->h, p->w, p->c); i++)
        operand[WALSH_STORE_PACK_Y][i] = (double)walsh_half_value(walsh_half_of(operand[WALSH_STORE_PACK_X][i]));
    return WALSH_OK;
}

static walsh_status store_unpack(const void *problem, double *const *operand)
{
    const walsh_store *p = problem;
    memcpy(operand[WALSH_STORE_UNPACK_Y], operand[WALSH_STORE_UNPACK_X],
           elements(p->n, p->h, p->w, p->c) * sizeof(double));
    return WALSH_OK;
}

const walsh_reference walsh_reference_rows[] = {
    {.op = &walsh_add, .compute = add},
    {.op = &walsh_relu_forward, .compute = relu_forward},
    {.op = &walsh_relu_backward, .compute = relu_backward},
    {.op = &walsh_reduce, .compute = reduce},
    {.op = &walsh_sgd, .compute = sgd},
    {.op = &walsh_lanes, .compute = lanes},
    {.op = &walsh_image, .compute = image},
    {.op = &walsh_gemm, .compute = gemm},
    {.op = &walsh_store_pack, .compute = store_pack, .fine = true},
    {.op = &walsh_store_unpack, .compute = store_unpack},
    {.op = NULL},
};
