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
    const floatv v = (floatv)(LOAD4(row + k), k + 4 < c ? LOAD4(row + k + 4) : (float4)(0.0f));
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
    *rank = (int)lanes_sum((float)((count.s0 + count.s1) + (count.s2 + count.s3)), scratch, lane);
    return lanes_max(MAX(most), scratch, lane);
}

INLINE void store_metrics(__global float *metrics, const float loss, const int rank, const int lane)
{
    const float wrong1 = isnan(loss) || rank >= 1 ? 1.0f : 0.0f, wrong5 = isnan(loss) || rank >= 5 ? 1.0f : 0.0f;
    if (lane == 0) STORE4((float4)(loss, wrong1, wrong5, 0.0f), metrics);
}

/* Softmax cross-entropy, in three walks: maximum and rank; exponentials, which stay in the gradient, and their sum; the
 * gradient. */
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
    __global const float *y = logits + logits_at + row * logits_pitch;
    __global float *gradient = g + g_at + row * g_pitch;
    metrics += metrics_at + row * metrics_pitch;

    const int valid = valid_rows[valid_at];
    if (row >= (size_t)valid) {
        if (g) FOR_CHUNKS(k, lane, c) store_chunk((floatv)(0.0f), gradient, k, c);
        if (lane == 0) STORE4((float4)(0.0f), metrics);
        return;
    }

    const int label = labels[labels_at + row];
    const float target = target_logit(y, label, c);
    int rank;
    const float top = largest(y, c, target, label, &rank, scratch, lane);

    floatv sums = (floatv)(0.0f), shifted = (floatv)(0.0f);
    FOR_CHUNKS(k, lane, c)
    {
        const floatv v = load_chunk(y, k, c, -INFINITY) - top, e = exp2_v(v * LOG2E);
        sums += e; /* 2^-125 of those that do not exist */
        if (smoothing > 0.0f) shifted += k + FIRST_INDICES < (intv)(c) ? v : (floatv)(0.0f);
        if (g) store_chunk(e, gradient, k, c);
    }
    const float sum = lanes_sum(SUM(sums), scratch, lane), mean = lanes_sum(SUM(shifted), scratch, lane) / (float)c;
    float loss = log(sum) - (1.0f - smoothing) * (target - top);
    if (smoothing > 0.0f) loss -= smoothing * mean;

    if (g) {
        const float share = 1.0f / (float)valid, factor = share / sum, shift = -smoothing / (float)c * share;
        FOR_CHUNKS(k, lane, c) store_chunk(load_chunk(gradient, k, c, 0.0f) * factor + shift, gradient, k, c);
        if (label >= 0 && label < c && label / VW % LANES == lane) gradient[label] -= (1.0f - smoothing) * share;
    }
    store_metrics(metrics, loss, rank, lane);
}

/* The cosine loss; the same arguments. */
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
    __global const float *z = cosines + cosines_at + row * cosines_pitch;
    metrics += metrics_at + row * metrics_pitch;

    const int valid = valid_rows[valid_at];
    const bool counts = row < (size_t)valid;
    const int label = labels[labels_at + row];
    const float target = target_logit(z, label, c);
    int rank;
    largest(z, c, target, label, &rank, scratch, lane);
    if (counts)
        store_metrics(metrics, 1.0f - target, rank, lane);
    else if (lane == 0)
        STORE4((float4)(0.0f), metrics);

    if (g) {
        g += g_at + row * g_pitch;
        FOR_CHUNKS(k, lane, c) store_chunk((floatv)(0.0f), g, k, c);
        if (counts && label >= 0 && label < c && label / VW % LANES == lane) g[label] = -1.0f / (float)valid;
    }
}
