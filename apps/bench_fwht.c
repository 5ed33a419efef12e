/* walsh bench fwht: the public transforms beside the operation's variants. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <walsh/head.h>

#include "apps/bench_op.h"
#include "engine/op/fwht.h"

/* Transforms in place over and over: of zeros, which no number of them makes overflow, and which take as long. */
typedef struct calls {
    walsh_device *device;
    int rows, n;
    walsh_tensor *tensor; /* one of the two */
    float *host;
} calls;

static walsh_status run(void *context, int times)
{
    calls *c = context;
    for (int i = 0; i < times; i++)
        WALSH_TRY(c->tensor ? walsh_fwht(c->device, c->tensor, c->tensor)
                            : walsh_fwht_host(c->device, c->host, c->host, (size_t)c->rows, c->n));
    return WALSH_OK;
}

static void destroy(void *context)
{
    calls *c = context;
    walsh_tensor_destroy(&c->tensor);
    free(c->host);
    free(c);
}

static walsh_status add_calls(walsh_bench *bench, const walsh_fwht_problem *p, bool on_host)
{
    calls *c = NULL;
    WALSH_TRY(walsh_alloc(&c, 1, sizeof *c, "a benchmark"));
    *c = (calls){.device = bench->device, .rows = p->rows, .n = p->n};
    walsh_status status = on_host ? walsh_alloc(&c->host, (size_t)p->rows * (size_t)p->n, sizeof *c->host, "rows")
                                  : walsh_tensor_create(bench->device, p->rows, 1, 1, p->n, &c->tensor);
    if (status) {
        destroy(c);
        return status;
    }
    char shape[32];
    cJSON *row = cJSON_CreateObject();
    snprintf(shape, sizeof shape, "%d,%d", p->rows, p->n);
    cJSON_AddStringToObject(row, "op", on_host ? "walsh_fwht_host" : "walsh_fwht");
    cJSON_AddStringToObject(row, "variant", "in place");
    cJSON_AddNumberToObject(row, "rows", p->rows);
    cJSON_AddNumberToObject(row, "n", p->n);
    cJSON_AddStringToObject(row, "shape", shape);
    walsh_contender contender = {.row = row, .run = run, .destroy = destroy, .context = c, .seconds = 2e-2};
    walsh_fwht_rows.cost(p, &contender.flops, &contender.bytes);
    return walsh_bench_add(bench, &contender);
}

walsh_status walsh_bench_add_fwht(walsh_bench *bench, const void *problem)
{
    WALSH_TRY(add_calls(bench, problem, false));
    return add_calls(bench, problem, true);
}
