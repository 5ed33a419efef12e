/* Classifier heads: the last layer, learned or fixed, and the fast Walsh-Hadamard transform.
 *
 * With x̂ = x/sqrt(Σx² + 1e-16), a learned head gives logits y = Wx + b, a fixed one y = alpha*Q x̂ + b with a matrix Q
 * that is never trained (Hoffer, Hubara, Soudry, "Fix your classifier", ICLR 2018). */
#ifndef WALSH_HEAD_H
#define WALSH_HEAD_H

#include <stdbool.h>
#include <walsh/tensor.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum walsh_head_kind {
    WALSH_HEAD_LEARNED,       /* weight matrix and bias, both trained */
    WALSH_HEAD_ORTHONORMAL,   /* Q: random orthonormal rows (columns, where there are more classes than features) */
    WALSH_HEAD_HADAMARD,      /* Q: rows of a Hadamard matrix with signs, applied by a fast transform, never stored */
    WALSH_HEAD_HADAMARD_PLAIN /* Q: a Sylvester matrix cut to C x N, what the paper's published code does: for
                                 comparison, since it gives classes the same row where C > N */
} walsh_head_kind;

/* What a head is made from; the same description gives the same head for good. */
typedef struct walsh_head_spec {
    walsh_head_kind kind;
    int features;  /* N: length of x */
    int classes;   /* C: number of logits */
    uint64_t seed; /* of what is random: see walsh_head_seeded */
} walsh_head_spec;

typedef enum walsh_loss {
    WALSH_LOSS_CROSS_ENTROPY,
    WALSH_LOSS_COSINE /* 1 - q_t . x̂, the target's alone; needs a fixed head */
} walsh_loss;

/* The kind that `--head` names: "learned", "orthonormal", "hadamard" or "hadamard-plain"; else WALSH_E_ARGUMENT. */
WALSH_API walsh_status walsh_head_kind_parse(const char *name, walsh_head_kind *kind);

/* That name. Never NULL. */
WALSH_API const char *walsh_head_kind_name(walsh_head_kind kind);

/* Whether the head can be built: WALSH_E_ARGUMENT and a message that names the limit and what was found, if not.
 * Learned: N and C from 1 to 2^30. Orthonormal and plain Hadamard: N >= 2, C >= 1, at most 2^28 entries. Hadamard: N
 * from 2 to 2^24, C from 1 to 2^30 and to 2^N, beyond which signs cannot tell classes apart. */
WALSH_API walsh_status walsh_head_check(const walsh_head_spec *spec);

/* Whether the matrix depends on the seed: an orthonormal one does, and a Hadamard one where N is no power of two or
 * where there are more classes than the fixed signs of its construction serve. */
WALSH_API bool walsh_head_seeded(const walsh_head_spec *spec);

/* How a head's largest cosines are known. */
typedef enum walsh_head_evidence {
    WALSH_HEAD_MEASURED, /* every pair of rows was compared: exact */
    WALSH_HEAD_KNOWN,    /* too many pairs, but the construction's value is a theorem: exact; a sample confirms it */
    WALSH_HEAD_SAMPLED   /* some pairs were compared: a lower bound */
} walsh_head_evidence;

/* What training with a head costs: of the whole head, but for `flops`, which is for one sample, forward and backward.
 */
typedef struct walsh_head_cost {
    uint64_t parameters;      /* trained numbers */
    uint64_t optimizer_bytes; /* momentum of SGD */
    uint64_t sync_bytes;      /* gradients that workers would exchange a step */
    double flops;
} walsh_head_cost;

typedef struct walsh_head_report {
    char construction[160]; /* "+-Hadamard, Kerdock signs" */
    /* Over all pairs of different classes; NaN for a learned head, 0 for a single class. */
    double largest_cosine; /* signed: what softmax suffers from */
    double largest_absolute_cosine;
    walsh_head_evidence evidence;
    uint64_t pairs;           /* that were compared */
    double sampled_cosine;    /* largest signed among those pairs */
    uint64_t identical_pairs; /* of classes with the same row, which nothing can tell apart: plain Hadamard only */
    double welch; /* no C unit vectors in N dimensions have a smaller largest absolute cosine (Welch, 1974) */
    walsh_head_cost learned; /* a learned head of the same size */
    walsh_head_cost own;     /* this one, alpha learned */
} walsh_head_report;

/* Describes a head. Compares every pair of rows where that takes at most about a second.
 *
 * @code
 * walsh_head_spec spec = {.kind = WALSH_HEAD_HADAMARD, .features = 64, .classes = 100};
 * walsh_head_report report;
 * if (walsh_head_describe(&spec, &report) == WALSH_OK)
 *     printf("%s: largest cosine %g, %llu parameters saved\n", report.construction, report.largest_cosine,
 *            (unsigned long long)(report.learned.parameters - report.own.parameters));
 * @endcode
 */
WALSH_API walsh_status walsh_head_describe(const walsh_head_spec *spec, walsh_head_report *report);

/* Writes rows first .. first+count-1 of Q, dense [count][N], exactly as training uses them. Fails with WALSH_E_ARGUMENT
 * for a learned head, which has no Q, and for rows that are not there. */
WALSH_API walsh_status walsh_head_rows(const walsh_head_spec *spec, int first, int count, float *q);

/* Writes H x for every row x of a tensor (rows, 1, 1, N) to the same row of y, which is of the same shape and may be x
 * itself. H is the N x N Sylvester matrix with entries (-1)^popcount(row & column), not normalised: twice gives N x. N
 * is a power of two from 2 to 2^24, else WALSH_E_ARGUMENT, as where the shapes differ. Waits for the end.
 *
 * @code
 * walsh_device *device = NULL;
 * walsh_tensor *x = NULL;
 * float values[4] = {1, 2, 3, 4};
 * if (walsh_device_open(NULL, &device) == WALSH_OK && walsh_tensor_create(device, 1, 1, 1, 4, &x) == WALSH_OK &&
 *     walsh_tensor_upload(x, values) == WALSH_OK && walsh_fwht(device, x, x) == WALSH_OK &&
 *     walsh_tensor_download(x, values) == WALSH_OK)
 *     printf("%g %g %g %g\n", values[0], values[1], values[2], values[3]); // 10 -2 -4 0
 * walsh_tensor_destroy(&x);
 * walsh_device_close(&device);
 * @endcode
 */
WALSH_API walsh_status walsh_fwht(walsh_device *device, const walsh_tensor *x, walsh_tensor *y);

/* The same for `rows` rows of n floats in host memory, dense [rows][n]; y is x or does not overlap it. CPUs work in
 * that memory where x and y are multiples of 16 bytes, as malloc's are; otherwise, and for other devices, parts of it
 * are copied through the device's. Fails as above, and with WALSH_E_MEMORY where a row does not fit into the device.
 *
 * @code
 * walsh_device *device = NULL;
 * float values[2][4] = {{1, 2, 3, 4}, {1, 0, 0, 0}};
 * if (walsh_device_open(NULL, &device) == WALSH_OK &&
 *     walsh_fwht_host(device, values[0], values[0], 2, 4) == WALSH_OK)
 *     printf("%g %g %g %g\n", values[0][0], values[0][1], values[0][2], values[0][3]); // 10 -2 -4 0
 * walsh_device_close(&device);
 * @endcode
 */
WALSH_API walsh_status walsh_fwht_host(walsh_device *device, const float *x, float *y, size_t rows, int n);

#ifdef __cplusplus
}
#endif
#endif
