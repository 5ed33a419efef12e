/* The parameters of a model: their names and shapes as on disk (torchvision's), and their place in device memory.
 *
 * All lie in one buffer, trained ones first, so that the optimizer is one launch over [0, trained):
 *
 *     weights:   [ decayed | trained without decay | statistics and fixed ]
 *     gradient:  [ decayed | trained without decay ]
 *     momentum:  [ decayed | trained without decay ]
 */
#ifndef WALSH_ENGINE_NN_PARAMETERS_H
#define WALSH_ENGINE_NN_PARAMETERS_H

#include "engine/device/view.h"

typedef struct walsh_parameters walsh_parameters;

typedef enum walsh_layout {
    WALSH_LAYOUT_OIHW,      /* [oc][ic][kh][kw] on disk, [kh][kw][pad(ic)][pad(oc)] on the device */
    WALSH_LAYOUT_DEPTHWISE, /* [c][1][kh][kw] on disk, [kh][kw][pad(c)] on the device */
    WALSH_LAYOUT_LINEAR,    /* [out][in] on disk, the matrix [out][in] on the device */
    WALSH_LAYOUT_VECTOR     /* [c] */
} walsh_layout;

typedef enum walsh_role_of {
    WALSH_ROLE_TRAINED, /* with weight decay */
    WALSH_ROLE_TRAINED_NO_DECAY,
    WALSH_ROLE_STATISTIC /* kept and saved, never trained: running statistics, a fixed alpha, a frozen body */
} walsh_role_of;

typedef enum walsh_init {
    WALSH_INIT_ZERO,
    WALSH_INIT_ONE,
    WALSH_INIT_HE_FAN_OUT, /* normal, variance 2 / (oc/groups*kh*kw) (He et al., 2015) */
    WALSH_INIT_UNIFORM,    /* uniform in +-init_value */
    WALSH_INIT_VALUE       /* init_value everywhere */
} walsh_init;

typedef struct walsh_parameter {
    char name[96];
    walsh_layout layout;
    walsh_role_of role;
    int rank, dims[4]; /* as on disk */
    int groups;        /* of a convolution, which initial weights depend on; 0: one */
    int lanes;       /* input channels (OIHW), channels (depthwise), or elements of a vector, have this much room on the
                        device; 0: as many */
    const int *lane; /* and stand there; NULL: at their numbers. The graph's */
    walsh_init init;
    float init_value;
    walsh_shape shape; /* on the device; filled in by walsh_parameters_add */
    size_t at;         /* first element in the buffers; filled in by walsh_parameters_allocate */
} walsh_parameter;

/* Every parameter's place is a multiple of so many elements, and so is the extent of each zone. */
enum { WALSH_PARAMETERS_ALIGNMENT = 16 };

/* Which of the three buffers. */
typedef enum walsh_copy { WALSH_COPY_WEIGHTS, WALSH_COPY_GRADIENT, WALSH_COPY_MOMENTUM, WALSH_COPIES } walsh_copy;

walsh_status walsh_parameters_create(walsh_parameters **parameters);

/* Appends a parameter (name, layout, role, rank, dims, lanes, lane, init). Names must differ. */
walsh_status walsh_parameters_add(walsh_parameters *parameters, const walsh_parameter *parameter, int *index);

/* What has been added so far is kept and saved, but never trained. */
void walsh_parameters_freeze(walsh_parameters *parameters);

int walsh_parameters_count(const walsh_parameters *parameters);
const walsh_parameter *walsh_parameters_at(const walsh_parameters *parameters, int index);

/* Index of a name, or -1. */
int walsh_parameters_find(const walsh_parameters *parameters, const char *name);

/* Logical elements of one parameter, and of all trained ones: what papers count. */
size_t walsh_parameter_elements(const walsh_parameter *parameter);
size_t walsh_parameters_trained(const walsh_parameters *parameters);

/* Places the parameters and makes the buffers on `device`, zeroed; gradient and momentum only where `train`. */
walsh_status walsh_parameters_allocate(walsh_parameters *parameters, walsh_device *device, bool train);

/* Elements of the trained part of a buffer and of its decayed beginning, pads included: walsh_sgd's sizes. */
int walsh_parameters_trained_extent(const walsh_parameters *parameters);
int walsh_parameters_decayed_extent(const walsh_parameters *parameters);

/* One parameter (or all of the trained part) in one of the buffers. */
walsh_view walsh_parameters_view(const walsh_parameters *parameters, walsh_copy copy, int index);
walsh_view walsh_parameters_trained_view(const walsh_parameters *parameters, walsh_copy copy);

/* Fills the weights with their initial values: a function of seed and each parameter's number alone. */
walsh_status walsh_parameters_initialise(walsh_parameters *parameters, uint64_t seed);

/* A whole buffer on the host, as in device memory: its elements, and copies of them. Both wait for the queue; but where
 * `arrived` is given, reading is only enqueued, see walsh_view_read_later. */
size_t walsh_parameters_extent(const walsh_parameters *parameters, walsh_copy copy);
walsh_status walsh_parameters_read(const walsh_parameters *parameters, walsh_copy copy, float *raw, cl_event *arrived);
walsh_status walsh_parameters_write(walsh_parameters *parameters, walsh_copy copy, const float *raw);

/* Changes with each walsh_parameters_write. */
unsigned walsh_parameters_version(const walsh_parameters *parameters);

/* Between one parameter's place in such a host copy and its dense form on disk. */
void walsh_parameter_pack(const walsh_parameter *parameter, const float *raw, float *dense);
void walsh_parameter_unpack(const walsh_parameter *parameter, const float *dense, float *raw);

void walsh_parameters_destroy(walsh_parameters **parameters);

#endif
