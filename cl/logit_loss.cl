/* Losses of rows of logits: LANES work-items a row, VW logits of it at once. */
#include "rows.clh"
#include "exp2.clh"

#if VW == 8
typedef int8 intv;
DEFINE_EXP2(exp2_v, float8, int8)
#define FIRST_INDICES (intv)(0, 1, 2, 3, 4, 5, 6, 7)
#else
typedef int4 intv;
DEFINE_EXP2(exp2_v, float4, int4)
#define FIRST_INDICES (intv)(0, 1, 2, 3)
#endif

#define FOR_CHUNKS(k, lane, c) for (int k = VW * (lane); k < (c); k += VW * LANES)

/* VW values of a row of c; those that do not exist are `fill`. */
INLINE floatv load_chunk(__global const float *row, const int k, const int c, const float fill)
{
    if (k + VW <= c) return LOADV(row + k);
#if VW == 8
    floatv v;
    v.lo = LOAD4(row + k), v.hi = k + 4 < c ? LOAD4(row + k + 4) : (float4)(0.0f);
#else
    const floatv v = LOAD4(row + k);
#endif
    return k + FIRST_INDICES < (intv)(c) ? v : (floatv)(fill);
}

/* Pad lanes become zero. */
INLINE void store_chunk(floatv v, __global float *row, const int k, const int c)
{
    if (k + VW <= c) {
        STOREV(v, row + k);
        return;
    }
    v = k + FIRST_INDICES < (intv)(c) ? v : (floatv)(0.0f);
#if VW == 8
    STORE4(v.lo, row + k);
    if (k + 4 < c) STORE4(v.hi, row + k + 4);
#else
    STORE4(v, row + k);
#endif
}

#if VW == 8
#define SUM(v) (sum4((v).lo) + sum4((v).hi))
#define MAX(v) max4(fmax((v).lo, (v).hi))
#else
#define SUM(v) sum4(v)
#define MAX(v) max4(v)
#endif

/* The target's logit; NaN for a label that is no class, so that a corrupt label shows in the loss. */
INLINE float target_logit(__global const float *y, const int label, const int c)
{
    return label >= 0 && label < c ? y[label] : NAN;
}

/* The largest logit (0 where all are NaN), and how many other logits come before the target: larger, or equal with a
 * lower class. */
INLINE float largest(__global const float *y, const int c, const float target, const int label, int *rank,
                     __local float *scratch, const int lane)
{
    floatv most = (floatv)(-INFINITY);
    intv before = (intv)(0);
    FOR_CHUNKS(k, lane, c)
    {
        const floatv v = load_chunk(y, k, c, -INFINITY);
        const intv earlier = k + FIRST_INDICES < (intv)(label);
        most = fmax(most, v);
        before -= (v > (floatv)(target)) | ((v == (floatv)(target)) & earlier); /* a comparison gives -1 for true */
    }
#if VW == 8
    const int4 count = before.lo + before.hi;
#else
    const int4 count = before;
#endif
    /* All have read the target's logit before gradients take the logits' place. */
    if (LANES > 1) barrier(CLK_GLOBAL_MEM_FENCE);
    *rank = (int)lanes_sum((float)((count.s0 + count.s1) + (count.s2 + count.s3)), scratch, lane);
    return lanes_max(MAX(most), scratch, lane);
}

INLINE void store_metrics(__global float *metrics, const float loss, const int rank, const int lane)
{
    const float wrong1 = isnan(loss) || rank >= 1 ? 1.0f : 0.0f, wrong5 = isnan(loss) || rank >= 5 ? 1.0f : 0.0f;
    if (lane == 0) STORE4((float4)(loss, wrong1, wrong5, 0.0f), metrics);
}

/* A row that does not count: no gradient, no loss. `g` may be NULL. */
INLINE void skip_row(__global float *g, __global float *metrics, const int c, const int lane)
{
    if (g) FOR_CHUNKS(k, lane, c) store_chunk((floatv)(0.0f), g, k, c);
    if (lane == 0) STORE4((float4)(0.0f), metrics);
}

/* Softmax cross-entropy of a row, in three walks: maximum and rank; exponentials, which stay in the gradient, and their
 * sum; the gradient. It is added to `sums`, or begins them in the `first` row; g, or sums alone, may be NULL. */
INLINE void softmax_row(__global const float *y, __global float *g, __global float *metrics, __global float *sums,
                        const bool first, const int label, const int valid, const int c, const float smoothing,
                        __local float *scratch, const int lane)
{
    const float target = target_logit(y, label, c);
    int rank;
    const float top = largest(y, c, target, label, &rank, scratch, lane);

    floatv total = (floatv)(0.0f), shifted = (floatv)(0.0f);
    FOR_CHUNKS(k, lane, c)
    {
        const floatv v = load_chunk(y, k, c, -INFINITY) - top, e = exp2_v(v * LOG2E);
        total += e; /* 2^-125 of those that do not exist */
        if (smoothing > 0.0f) shifted += k + FIRST_INDICES < (intv)(c) ? v : (floatv)(0.0f);
        if (g) store_chunk(e, g, k, c);
    }
    const float sum = lanes_sum(SUM(total), scratch, lane), mean = lanes_sum(SUM(shifted), scratch, lane) / (float)c;
    float loss = log(sum) - (1.0f - smoothing) * (target - top);
    if (smoothing > 0.0f) loss -= smoothing * mean;

    if (g) {
        const float share = 1.0f / (float)valid, factor = share / sum, shift = -smoothing / (float)c * share;
        const float less = (1.0f - smoothing) * share;
        FOR_CHUNKS(k, lane, c)
        {
            const floatv v = load_chunk(g, k, c, 0.0f) * factor + shift;
            store_chunk(v, g, k, c);
            if (sums) store_chunk(first ? v : load_chunk(sums, k, c, 0.0f) + v, sums, k, c);
        }
        if (label >= 0 && label < c && label / VW % LANES == lane) {
            g[label] -= less;
            if (sums) sums[label] -= less;
        }
    }
    store_metrics(metrics, loss, rank, lane);
}

/* Softmax cross-entropy, a row each. */
__kernel void softmax_rows(__global const float *logits, const ulong logits_at, __global const int *labels,
                           const ulong labels_at, __global const int *valid_rows, const ulong valid_at,
                           __global float *g, const ulong g_at, __global float *metrics, const ulong metrics_at,
                           const int rows, const int c, const int logits_pitch, const int g_pitch,
                           const int metrics_pitch, const float smoothing)
{
    __local float scratch[LANES];
    const int lane = (int)get_local_id(0);
    const size_t row = get_global_id(1);
    if (row >= (size_t)rows) return;
    const int valid = valid_rows[valid_at];
    if (g) g += g_at + row * g_pitch;
    metrics += metrics_at + row * metrics_pitch;
    if (row >= (size_t)valid)
        skip_row(g, metrics, c, lane);
    else
        softmax_row(logits + logits_at + row * logits_pitch, g, metrics, 0, false, labels[labels_at + row], valid, c,
                    smoothing, scratch, lane);
}

#if LANES == 1
/* The same, `block` rows one after the other, and the sums of their gradients. */
__kernel void softmax_blocks(__global const float *logits, const ulong logits_at, __global const int *labels,
                             const ulong labels_at, __global const int *valid_rows, const ulong valid_at,
                             __global float *g, const ulong g_at, __global float *metrics, const ulong metrics_at,
                             __global float *sums, const ulong sums_at, const int rows, const int c,
                             const int logits_pitch, const int g_pitch, const int metrics_pitch, const int sums_pitch,
                             const float smoothing, const int block)
{
    const size_t begin = get_global_id(1) * block, end = min(begin + block, (size_t)rows);
    const int valid = valid_rows[valid_at];
    sums += sums_at + get_global_id(1) * sums_pitch;
    if (begin >= (size_t)valid) FOR_CHUNKS(k, 0, c) store_chunk((floatv)(0.0f), sums, k, c);
    for (size_t row = begin; row < end; row++) {
        __global float *gradient = g + g_at + row * g_pitch, *metric = metrics + metrics_at + row * metrics_pitch;
        if (row >= (size_t)valid)
            skip_row(gradient, metric, c, 0);
        else
            softmax_row(logits + logits_at + row * logits_pitch, gradient, metric, sums, row == begin,
                        labels[labels_at + row], valid, c, smoothing, 0, 0);
    }
}
#endif

/* The cosine loss; the arguments of softmax_rows. */
__kernel void cosine_rows(__global const float *cosines, const ulong cosines_at, __global const int *labels,
                          const ulong labels_at, __global const int *valid_rows, const ulong valid_at,
                          __global float *g, const ulong g_at, __global float *metrics, const ulong metrics_at,
                          const int rows, const int c, const int cosines_pitch, const int g_pitch,
                          const int metrics_pitch, const float unused)
{
    __local float scratch[LANES];
    const int lane = (int)get_local_id(0);
    const size_t row = get_global_id(1);
    if (row >= (size_t)rows) return;
    const int valid = valid_rows[valid_at];
    if (g) g += g_at + row * g_pitch;
    metrics += metrics_at + row * metrics_pitch;
    if (row >= (size_t)valid) {
        skip_row(g, metrics, c, lane);
        return;
    }
    __global const float *z = cosines + cosines_at + row * cosines_pitch;
    const int label = labels[labels_at + row];
    const float target = target_logit(z, label, c);
    int rank;
    largest(z, c, target, label, &rank, scratch, lane);
    store_metrics(metrics, 1.0f - target, rank, lane);
    if (g) {
        FOR_CHUNKS(k, lane, c) store_chunk((floatv)(0.0f), g, k, c);
        if (label >= 0 && label < c && label / VW % LANES == lane) g[label] = -1.0f / (float)valid;
    }
}
