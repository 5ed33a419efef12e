#include "engine/nn/parameters.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/rng.h"

struct walsh_parameters {
    walsh_parameter *list;
    int count;
    walsh_device *device;
    size_t decayed, trained, all; /* ends of the three zones, elements */
    walsh_view buffer[WALSH_COPIES];
    unsigned version;
};

walsh_status walsh_parameters_create(walsh_parameters **parameters)
{
    return walsh_alloc(parameters, 1, sizeof **parameters, "parameters");
}

static walsh_shape device_shape(const walsh_parameter *p)
{
    const int *d = p->dims, lanes = p->lanes;
    switch (p->layout) {
    case WALSH_LAYOUT_OIHW:
        return walsh_shape_nhwc(d[2], d[3], walsh_pad(lanes ? lanes : d[1]), d[0]);
    case WALSH_LAYOUT_DEPTHWISE:
        return walsh_shape_nhwc(d[2], d[3], 1, lanes ? lanes : d[0]);
    case WALSH_LAYOUT_LINEAR:
        return walsh_shape_matrix(d[0], d[1]);
    default:
        return walsh_shape_vector(lanes ? lanes : d[0]);
    }
}

walsh_status walsh_parameters_add(walsh_parameters *parameters, const walsh_parameter *parameter, int *index)
{
    if (walsh_parameters_find(parameters, parameter->name) >= 0)
        WALSH_FAIL(WALSH_E_ARGUMENT, "two parameters are named %s", parameter->name);
    WALSH_TRY(walsh_grow(&parameters->list, (size_t)parameters->count, sizeof *parameters->list, "parameters"));
    walsh_parameter *added = &parameters->list[parameters->count];
    *added = *parameter;
    added->shape = device_shape(added);
    *index = parameters->count++;
    return WALSH_OK;
}

void walsh_parameters_freeze(walsh_parameters *parameters)
{
    for (int i = 0; i < parameters->count; i++) parameters->list[i].role = WALSH_ROLE_STATISTIC;
}

int walsh_parameters_count(const walsh_parameters *parameters)
{
    return parameters->count;
}
const walsh_parameter *walsh_parameters_at(const walsh_parameters *parameters, int index)
{
    return &parameters->list[index];
}

int walsh_parameters_find(const walsh_parameters *parameters, const char *name)
{
    for (int i = 0; i < parameters->count; i++)
        if (!strcmp(parameters->list[i].name, name)) return i;
    return -1;
}

size_t walsh_parameter_elements(const walsh_parameter *parameter)
{
    size_t n = 1;
    for (int i = 0; i < parameter->rank; i++) n *= (size_t)parameter->dims[i];
    return n;
}

size_t walsh_parameters_trained(const walsh_parameters *parameters)
{
    size_t n = 0;
    for (int i = 0; i < parameters->count; i++)
        if (parameters->list[i].role != WALSH_ROLE_STATISTIC) n += walsh_parameter_elements(&parameters->list[i]);
    return n;
}

/* Gives each parameter of a role its place, from *end on. */
static void place(walsh_parameters *parameters, walsh_role_of role, size_t *end)
{
    for (int i = 0; i < parameters->count; i++) {
        walsh_parameter *p = &parameters->list[i];
        if (p->role != role) continue;
        p->at = *end;
        *end += (walsh_shape_elements(p->shape) + WALSH_PARAMETERS_ALIGNMENT - 1) / WALSH_PARAMETERS_ALIGNMENT *
                WALSH_PARAMETERS_ALIGNMENT;
    }
}

walsh_status walsh_parameters_allocate(walsh_parameters *parameters, walsh_device *device, bool train)
{
    parameters->device = device;
    size_t end = 0;
    place(parameters, WALSH_ROLE_TRAINED, &end);
    parameters->decayed = end;
    place(parameters, WALSH_ROLE_TRAINED_NO_DECAY, &end);
    parameters->trained = end;
    place(parameters, WALSH_ROLE_STATISTIC, &end);
    parameters->all = end;
    if (end > INT_MAX)
        WALSH_FAIL(WALSH_E_MEMORY, "a model of %zu numbers: this version holds at most %d", end, INT_MAX);
    for (int copy = 0; copy < WALSH_COPIES; copy++) {
        if (copy != WALSH_COPY_WEIGHTS && !train) continue;
        walsh_view *view = &parameters->buffer[copy];
        view->shape = walsh_shape_vector((int)walsh_parameters_extent(parameters, (walsh_copy)copy));
        WALSH_TRY(walsh_buffer_create(device, walsh_shape_bytes(view->shape), "the model's parameters", &view->memory));
        WALSH_TRY(walsh_buffer_zero(device, view->memory, walsh_shape_bytes(view->shape)));
    }
    return WALSH_OK;
}

size_t walsh_parameters_extent(const walsh_parameters *parameters, walsh_copy copy)
{
    return copy == WALSH_COPY_WEIGHTS ? parameters->all : parameters->trained;
}

int walsh_parameters_trained_extent(const walsh_parameters *parameters)
{
    return (int)parameters->trained;
}
int walsh_parameters_decayed_extent(const walsh_parameters *parameters)
{
    return (int)parameters->decayed;
}

walsh_view walsh_parameters_view(const walsh_parameters *parameters, walsh_copy copy, int index)
{
    const walsh_parameter *p = &parameters->list[index];
    return (walsh_view){parameters->buffer[copy].memory, p->at, p->shape};
}

walsh_view walsh_parameters_trained_view(const walsh_parameters *parameters, walsh_copy copy)
{
    return (walsh_view){parameters->buffer[copy].memory, 0, walsh_shape_vector((int)parameters->trained)};
}

static void fill(const walsh_parameter *p, walsh_rng rng, float *dense)
{
    size_t n = walsh_parameter_elements(p);
    double fan_out = p->dims[0];
    if (p->rank == 4) fan_out *= (double)p->dims[2] * p->dims[3] / (p->groups > 1 ? p->groups : 1);
    double deviation = sqrt(2.0 / fan_out);
    for (size_t i = 0; i < n; i++) {
        switch (p->init) {
        case WALSH_INIT_ZERO:
            dense[i] = 0;
            break;
        case WALSH_INIT_ONE:
            dense[i] = 1;
            break;
        case WALSH_INIT_VALUE:
            dense[i] = p->init_value;
            break;
        case WALSH_INIT_HE_FAN_OUT:
            dense[i] = (float)(deviation * walsh_rng_normal(rng, i));
            break;
        case WALSH_INIT_UNIFORM:
            dense[i] = p->init_value * (2 * walsh_rng_uniform(rng, i) - 1);
            break;
        }
    }
}

walsh_status walsh_parameters_initialise(walsh_parameters *parameters, uint64_t seed)
{
    float *raw = NULL, *dense = NULL;
    size_t extent = parameters->all;
    walsh_status status = walsh_alloc(&raw, extent, sizeof *raw, "initial weights");
    if (!status) status = walsh_alloc(&dense, extent, sizeof *dense, "initial weights");
    for (int i = 0; i < parameters->count && !status; i++) {
        const walsh_parameter *p = &parameters->list[i];
        fill(p, walsh_rng_make(seed, WALSH_RNG_INIT, (uint32_t)i), dense);
        walsh_parameter_unpack(p, dense, raw);
    }
    if (!status) status = walsh_parameters_write(parameters, WALSH_COPY_WEIGHTS, raw);
    free(raw);
    free(dense);
    return status;
}

walsh_status walsh_parameters_read(const walsh_parameters *parameters, walsh_copy copy, float *raw, cl_event *arrived)
{
    const walsh_view *from = &parameters->buffer[copy];
    return arrived ? walsh_view_read_later(parameters->device, from, raw, arrived)
                   : walsh_view_read(parameters->device, from, raw);
}

unsigned walsh_parameters_version(const walsh_parameters *parameters)
{
    return parameters->version;
}

walsh_status walsh_parameters_write(walsh_parameters *parameters, walsh_copy copy, const float *raw)
{
    parameters->version++;
    return walsh_view_write(parameters->device, &parameters->buffer[copy], raw);
}

/* Where element (a, b, c, d) of the disk's order lies within the parameter's device layout. */
static size_t device_index(const walsh_parameter *p, int a, int b, int c, int d)
{
    size_t pitch = (size_t)p->shape.pitch, width = (size_t)p->shape.w;
    switch (p->layout) {
    case WALSH_LAYOUT_OIHW:
        b = p->lane ? p->lane[b] : b;
        return (((size_t)c * (size_t)p->dims[3] + (size_t)d) * width + (size_t)b) * pitch + (size_t)a;
    case WALSH_LAYOUT_DEPTHWISE:
        return ((size_t)c * (size_t)p->dims[3] + (size_t)d) * pitch + (size_t)(p->lane ? p->lane[a] : a);
    case WALSH_LAYOUT_LINEAR:
        return (size_t)a * pitch + (size_t)b;
    default:
        return (size_t)(p->lane ? p->lane[a] : a);
    }
}

/* Calls for every element in the disk's order: dense[i] <-> raw[place]. */
static void move(const walsh_parameter *p, float *raw, float *dense, bool pack)
{
    int d[4] = {1, 1, 1, 1};
    memcpy(d, p->dims, (size_t)p->rank * sizeof *d);
    size_t i = 0;
    for (int a = 0; a < d[0]; a++)
        for (int b = 0; b < d[1]; b++)
            for (int c = 0; c < d[2]; c++)
                for (int e = 0; e < d[3]; e++, i++) {
                    float *there = raw + p->at + device_index(p, a, b, c, e);
                    if (pack)
                        dense[i] = *there;
                    else
                        *there = dense[i];
                }
}

void walsh_parameter_pack(const walsh_parameter *parameter, const float *raw, float *dense)
{
    move(parameter, (float *)raw, dense, true);
}

void walsh_parameter_unpack(const walsh_parameter *parameter, const float *dense, float *raw)
{
    move(parameter, raw, (float *)dense, false);
}

void walsh_parameters_destroy(walsh_parameters **parameters)
{
    if (!*parameters) return;
    for (int copy = 0; copy < WALSH_COPIES; copy++) walsh_buffer_release(&(*parameters)->buffer[copy].memory);
    free((*parameters)->list);
    free(*parameters);
    *parameters = NULL;
}
