/* A Hadamard head in one operation, from features to gradients, without logits (engine/op/fused_head.h).
 *
 * Classes come in blocks of 2N: with z = T D_a x/|x| the cosines of a block are z and -z, and the transpose of the same
 * transform takes the weights u = e+ - e- back. Weights are e = exp(y - top), where top = |alpha| + max b bounds every
 * logit, since |z| <= 1; where exp could underflow below it, top is the largest logit so far and all sums are rescaled
 * when it grows. Softmax's sum is known after the last block: its share of the gradient, all that does not depend on
 * the weights included, is applied there.
 *
 * A work-group takes W samples: one work-item with W = 8 (a lane of its vectors is a sample), or LANES with W = 1.
 * Options, beside those of structured.clh: T_SPACE (0: private, 1: local, 2: global; the first two need N, ROWS, LOG_P
 * as constants), SINGLE (one block), BACKWARD, COSINE, OWN_BIAS (fused_head_rows gives the bias' gradient; W = 8 and
 * SINGLE). `rows` of T matter: n, or a smaller power of two that holds all classes, since Sylvester rows below it depend
 * on the column modulo `rows` alone. */
#if T_SPACE == 0
#define T_MEMORY __private
#elif T_SPACE == 1
#define T_MEMORY __local
#else
#define T_MEMORY __global
#endif
#include "structured.clh"
#include "exp2.clh"

#ifdef N
#define SIZES const int n = N, rows = ROWS, log_p = LOG_P;
#else
#define SIZES const int n = features, rows = wanted_rows, log_p = log_power;
#endif

#define EPSILON_SQUARED 1e-16f /* keeps 1/norm finite for a row of zeros, smoothly */
#define SAFE_RANGE 80.0f       /* exp(-SAFE_RANGE) and its sums are normal numbers */
#define LANE(p, i) (((T_MEMORY float *)(p))[i])
/* Features and sums stay beside the transform where the second launch does not need them. */
#if OWN_BIAS
#define X_MEMORY __private
#else
#define X_MEMORY __global
#endif
#define OWN(p, i) (((__private float *)(p))[i])
#define OWN_INT(p, i) (((__private int *)(p))[i])
#define FOR_LANES(i) _Pragma("unroll") for (int i = 0; i < W; i++)

#if LANES > 1
#define TOTAL(v) lanes_sum(v, scratch, id)
#define TOTAL_MAX(v) lanes_max(v, scratch, id)
#else
#define TOTAL(v) (v)
#define TOTAL_MAX(v) (v)
#endif

#if W == 8
DEFINE_EXP2(exp2_lanes, float8, int8)
#else
DEFINE_EXP2(exp2_lanes, float, int)
#endif

/* The larger one, in one instruction; b where either is NaN. */
INLINE lanes max_lanes(const lanes a, const lanes b)
{
    return a > b ? a : b;
}

/* v: 8 rows of 8 become columns. */
#if W == 8
INLINE void transpose(lanes *v)
{
    lanes a[8], b[8];
#pragma unroll
    for (int i = 0; i < 8; i += 2) {
        a[i] = (lanes)(v[i].s0, v[i + 1].s0, v[i].s1, v[i + 1].s1, v[i].s4, v[i + 1].s4, v[i].s5, v[i + 1].s5);
        a[i + 1] = (lanes)(v[i].s2, v[i + 1].s2, v[i].s3, v[i + 1].s3, v[i].s6, v[i + 1].s6, v[i].s7, v[i + 1].s7);
    }
#pragma unroll
    for (int i = 0; i < 8; i += 4) {
#pragma unroll
        for (int j = 0; j < 2; j++) {
            b[i + 2 * j].s0145 = a[i + j].s0145, b[i + 2 * j].s2367 = a[i + j + 2].s0145;
            b[i + 2 * j + 1].s0145 = a[i + j].s2367, b[i + 2 * j + 1].s2367 = a[i + j + 2].s2367;
        }
    }
#pragma unroll
    for (int i = 0; i < 4; i++) {
        v[i].lo = b[i].lo, v[i].hi = b[i + 4].lo;
        v[i + 4].lo = b[i].hi, v[i + 4].hi = b[i + 4].hi;
    }
}

/* Sums of the lanes of 8 vectors. */
INLINE float8 sum_lanes(lanes *v)
{
    transpose(v);
    return ((v[0] + v[1]) + (v[2] + v[3])) + ((v[4] + v[5]) + (v[6] + v[7]));
}
#endif

/* xs[k] = x[k] of W rows, shared by work-items; returns the sums of squares of each one's part. */
INLINE lanes load_rows(__global const float *x, const size_t x_pitch, const size_t row, const size_t last,
                       X_MEMORY lanes *xs, const int n)
{
    lanes square = 0;
#if W == 8
    __global const float *from[W];
    FOR_LANES(i) from[i] = x + min(row + i, last) * x_pitch;
    int k = 0;
    for (; k + 8 <= n; k += 8) {
        lanes v[8];
        FOR_LANES(i) v[i] = AT(__global const, unaligned8, from[i] + k);
        transpose(v);
        FOR_LANES(i) square += v[i] * v[i];
        FOR_LANES(i) xs[k + i] = v[i];
    }
    for (; k < n; k++) {
        lanes v;
        FOR_LANES(i) OWN(&v, i) = from[i][k];
        square += v * v;
        xs[k] = v;
    }
#else
    EACH(k, n)
    {
        const float v = x[row * x_pitch + k];
        square += v * v;
        xs[k] = v;
    }
#endif
    return square;
}

/* Where value k of a row lies once columns are folded onto `rows` of them. */
#define PLACE(k) (rows < n ? (k) & (rows - 1) : (k))

/* Element k of the gradient, for W samples. */
#define GRADIENT(k) (along * xs[k] + across * (SINGLE ? (lanes)(sign[k]) * t[PLACE(k)] : h[k]))

/* The five best so far: v falls, equal ones by class. */
INLINE void insert(lanes *v, lanes_int *at, lanes y, lanes_int k)
{
#pragma unroll
    for (int i = 0; i < 5; i++) {
        const lanes was = v[i];
        const lanes_int where = at[i], before = (y > was) | ((y == was) & (k < where));
        v[i] = before ? y : was;
        at[i] = before ? k : where;
        y = before ? was : y;
        k = before ? where : k;
    }
}

#if LANES > 1
/* The five best of all work-items, to all of them: five times the best of their first ones. */
INLINE void merge_five(lanes *v, lanes_int *at, __local float *scratch, __local int *scratch_at, const int id)
{
    float best[5];
    int best_at[5];
#pragma unroll
    for (int i = 0; i < 5; i++) {
        scratch[id] = v[0], scratch_at[id] = at[0];
        SYNC();
        for (int reach = LANES / 2; reach > 0; reach /= 2) {
            if (id < reach) {
                const float a = scratch[id], b = scratch[id + reach];
                const int a_at = scratch_at[id], b_at = scratch_at[id + reach];
                if (b > a || (b == a && b_at < a_at)) scratch[id] = b, scratch_at[id] = b_at;
            }
            SYNC();
        }
        best[i] = scratch[0], best_at[i] = scratch_at[0];
        if (at[0] == best_at[i]) { /* its own: the next one comes to the front */
#pragma unroll
            for (int j = 0; j < 4; j++) v[j] = v[j + 1], at[j] = at[j + 1];
            v[4] = -INFINITY, at[4] = INT_MAX;
        }
        SYNC();
    }
#pragma unroll
    for (int i = 0; i < 5; i++) v[i] = best[i], at[i] = best_at[i];
}
#endif

#if W == 8
#define ANY(mask) any(mask)
#else
#define ANY(mask) (mask)
#endif

/* Rank in the only block of a training step by counting, else by the five best. */
#define COUNTS (SINGLE && BACKWARD)
#if COUNTS
#define RANK(y, class)                                                                                                 \
    ranks += ((y > target) & ((class) != label)) | ((y == target) & ((class) < label)) ? (lanes_int)(1) : (lanes_int)(0)
#else
#define RANK(y, class)
#define RUN 8
#endif
#if BACKWARD
#define STORE_LOGIT(y, class)
#else
#define STORE_LOGIT(y, class)                                                                                          \
    if (logits) FOR_LANES(i_) if (row + i_ < (size_t)b) logits[(row + i_) * logits_pitch + (class)] = OWN(&(y), i_)
#endif

/* t = T D xs, times scale: the products of xs [n] with the first `rows` rows of a block whose signs are D. A row beyond
 * them is one of them again (see above), so that columns meet before the transform. */
INLINE void signed_products(T_MEMORY lanes *t, X_MEMORY const lanes *xs, __global const float *sign,
                            __global const float *tables, const int n, const int rows, const int log_p,
                            const float scale)
{
    SYNC();
    EACH(r, rows)
    {
        lanes v = xs[r] * (sign[r] * scale);
        for (int k = r + rows; k < n; k += rows) v += xs[k] * (sign[k] * scale);
        t[r] = v;
    }
    SYNC();
    structured(t, tables, rows, log_p, 0);
}

/* Weight, sum and rank of a class with logit y. */
#if COSINE
#define LOGIT(z, class) (gain * (z))
#define WEIGHT(y) ((lanes)(0.0f))
#else
#define LOGIT(z, class) (gain * (z) + bias[class])
#define WEIGHT(y) exp2_lanes(((y) - top) * LOG2E) /* not y * LOG2E less a constant: rounding of a large y */
#endif

__kernel __attribute__((reqd_work_group_size(LANES, 1, 1))) void
fused_head_rows(__global const float *x, const ulong x_at, __global const float *matrix, const ulong matrix_at,
                __global const float *alpha_of, const ulong alpha_at, __global const float *bias, const ulong bias_at,
                __global const int *labels, const ulong labels_at, __global const int *valid_rows, const ulong valid_at,
                __global float *dx, const ulong dx_at, __global float *metrics, const ulong metrics_at,
                __global float *best_of, const ulong best_of_at, __global int *classes, const ulong classes_at,
                __global float *logits, const ulong logits_at, __global float *unit, const ulong unit_at,
                __global float *sums, const ulong sums_at, __global float *dots, const ulong dots_at,
                __global float *shifts, const ulong shifts_at, __global float *partial, const ulong partial_at,
                __global float *work, const ulong work_at, const int b, const int features, const int c,
                const int wanted_rows, const int log_power, const int signs_at, const int x_pitch, const int dx_pitch,
                const int metrics_pitch, const int best_pitch, const int logits_pitch, const int partial_pitch,
                const float scale, const float smoothing)
{
    __local float scratch[LANES];
    SIZES
    const int id = (int)get_local_id(0);
    const size_t group = get_global_id(1), row = group * W;
#if T_SPACE == 2
    __global lanes *t = (__global lanes *)(work + work_at) + group * rows;
#else
    T_MEMORY lanes t[ROWS];
#endif
#if OWN_BIAS
    lanes xs[N];
#else
    __global lanes *xs = (__global lanes *)(unit + unit_at) + group * n;
#endif
#if T_SPACE == 0 && !SINGLE && BACKWARD
    lanes h[N];
#else
    __global lanes *h = (__global lanes *)(sums + sums_at) + group * n;
#endif
    __global const float *tables = matrix + matrix_at;
    __global const float *signs = tables + signs_at, *sign = signs;
    const float alpha = alpha_of ? alpha_of[alpha_at] : 1.0f;
    bias += bias_at;
    logits = logits ? logits + logits_at : logits;

    const lanes square = TOTAL(load_rows(x + x_at, x_pitch, row, b - 1, xs, n)) + EPSILON_SQUARED;
    const lanes inverse_norm = 1.0f / sqrt(square);
    const lanes gain = alpha * inverse_norm; /* logits of products with x, which is not normalised */

    /* What is known of the logits beforehand. */
    float most_bias = -INFINITY, least_bias = INFINITY, all_bias = 0.0f;
#if !COSINE
    {
        float4 most4 = (float4)(-INFINITY), least4 = (float4)(INFINITY), sum = (float4)(0.0f);
        FOR_QUADS(k, id, c)
        {
            const float4 v = LOAD4(bias + k);
            most4 = fmax(most4, mask4(v, k, c, -INFINITY));
            least4 = fmin(least4, mask4(v, k, c, INFINITY));
            sum += v;
        }
        most_bias = max4(most4), least_bias = -max4(-least4), all_bias = sum4(sum);
#if LANES > 1
        most_bias = lanes_max(most_bias, scratch, id), least_bias = -lanes_max(-least_bias, scratch, id);
        all_bias = lanes_sum(all_bias, scratch, id);
#endif
    }
#endif
    const bool online = !COSINE && !(2.0f * fabs(alpha) + most_bias - least_bias < SAFE_RANGE);
    lanes top = (lanes)(COSINE ? 0.0f : online ? -INFINITY : fabs(alpha) + most_bias);

    const int valid = min(valid_rows[valid_at], b);
    lanes_int label; /* 0 for rows that do not count */
    FOR_LANES(i) OWN_INT(&label, i) = row + i < (size_t)valid ? labels[labels_at + row + i] : 0;
    lanes target_product = 0, target_bias = (lanes)(NAN); /* a label that is no class shows in the loss */
    lanes sum = 0, product = 0, unpaired = 0;
#if COUNTS
    lanes_int ranks = 0;
#else
    lanes best[5];
    lanes_int best_at[5];
#pragma unroll
    for (int i = 0; i < 5; i++) best[i] = (lanes)(-INFINITY), best_at[i] = (lanes_int)(INT_MAX);
#endif
#if OWN_BIAS
    lanes weights[(ROWS < N ? ROWS : 2 * N) + 8];
#endif

    const int blocks = SINGLE ? 1 : (c + 2 * n - 1) / (2 * n);
    for (int a = 0; a < blocks; a++, sign += n) {
        const int base = SINGLE ? 0 : a * 2 * n, left = c - base;
        const int plus = min(left, rows), minus = min(max(left - n, 0), n);
        const bool last = a == blocks - 1;
        signed_products(t, xs, sign, tables, n, rows, log_p, scale);

        FOR_LANES(i)
        {
            const int at = OWN_INT(&label, i) - base;
            if (OWN_INT(&label, i) < 0 || at < 0 || at >= plus + minus) continue;
            OWN(&target_product, i) = at < n ? LANE(t + at, i) : -LANE(t + at - n, i);
            OWN(&target_bias, i) = COSINE ? 0.0f : bias[base + at];
        }
        const lanes target = gain * target_product + target_bias;
        SYNC();
        lanes most = top, rescale = (lanes)(1.0f);
        if (online) {
            EACH(r, plus)
            {
                most = max_lanes(most, LOGIT(t[r], base + r));
                if (r < minus) most = max_lanes(most, LOGIT(-t[r], base + n + r));
            }
        }
        most = TOTAL_MAX(most);
        if (online) {
            rescale = exp2_lanes((top - most) * LOG2E);
            top = most;
            sum *= rescale, product *= rescale;
        }
#if !COUNTS
        /* By runs: most of them have no class among the five best. */
        for (int run = id; run < plus; run += RUN * LANES) {
            lanes most_here = (lanes)(-INFINITY);
            for (int r = run; r < min(run + RUN * LANES, plus); r += LANES) {
                most_here = max_lanes(most_here, LOGIT(t[r], base + r));
                if (r < minus) most_here = max_lanes(most_here, LOGIT(-t[r], base + n + r));
            }
            if (!ANY(most_here >= best[4])) continue;
            for (int r = run; r < min(run + RUN * LANES, plus); r += LANES) {
                insert(best, best_at, LOGIT(t[r], base + r), (lanes_int)(base + r));
                if (r < minus) insert(best, best_at, LOGIT(-t[r], base + n + r), (lanes_int)(base + n + r));
            }
        }
#endif
        EACH(r, plus)
        {
            const lanes z = t[r];
            lanes y = LOGIT(z, base + r), e = WEIGHT(y), u = e;
            sum += e;
            RANK(y, base + r);
            STORE_LOGIT(y, base + r);
#if OWN_BIAS
            weights[r] = e;
#endif
            if (r < minus) {
                y = LOGIT(-z, base + n + r), e = WEIGHT(y), u -= e;
                sum += e;
                RANK(y, base + n + r);
                STORE_LOGIT(y, base + n + r);
#if OWN_BIAS
                weights[n + r] = e;
#endif
            } else {
                unpaired += z;
            }
            product += u * z;
            t[r] = u;
        }
#if BACKWARD
        if (LANES == 1 && COSINE && !last) continue;
        for (int r = plus + id; r < rows; r += LANES) t[r] = 0;
        /* In the last block, all of the gradient but the weights: as they are, not yet divided by their sum. */
        const lanes so_far = COSINE ? (lanes)(1.0f) : TOTAL(sum);
        SYNC();
        if (last && smoothing > 0.0f)
            for (int r = minus + id; r < plus; r += LANES) t[r] -= so_far * (smoothing / (float)c);
        SYNC();
        FOR_LANES(i)
        {
            const int at = OWN_INT(&label, i) - base;
            if (!last || id > 0 || OWN_INT(&label, i) < 0 || at < 0 || at >= plus + minus) continue;
            const float part = (1.0f - smoothing) * OWN(&so_far, i);
            LANE(t + (at < n ? at : at - n), i) += at < n ? -part : part;
        }
        SYNC();
        structured(t, tables, rows, log_p, 1);
        if (SINGLE) continue;
        if (a == 0 || COSINE)
            EACH(k, n) h[k] = t[PLACE(k)] * sign[k];
        else
            EACH(k, n) h[k] = h[k] * rescale + t[PLACE(k)] * sign[k];
#endif
    }

    const lanes total = COSINE ? (lanes)(1.0f) : TOTAL(sum), mean_product = TOTAL(unpaired) * inverse_norm / (float)c;
    const lanes all_products = TOTAL(product) * inverse_norm;
    const lanes target = gain * target_product + target_bias;
#if BACKWARD
#if !SINGLE
    /* Targets in blocks before the last one, whose signs were others. */
    if (T_SPACE < 2 || blocks > 1) {
        const int final_base = (blocks - 1) * 2 * n;
        SYNC();
        EACH(r, n) t[r] = 0;
        SYNC();
        FOR_LANES(i)
        {
            const int at = OWN_INT(&label, i), r = at % (2 * n);
            if (id > 0 || at < 0 || at >= final_base) continue;
            const float part = (1.0f - smoothing) * OWN(&total, i);
            LANE(t + (r < n ? r : r - n), i) = r < n ? -part : part;
        }
        SYNC();
        structured(t, tables, rows, log_p, 1);
        EACH(k, n)
        {
            lanes s;
            FOR_LANES(i) OWN(&s, i) = signs[(size_t)(clamp(OWN_INT(&label, i), 0, c - 1) / (2 * n)) * n + k];
            h[k] += t[k] * s;
        }
    }
#endif
    sign = signs;
    lanes share;
    FOR_LANES(i) OWN(&share, i) = row + i < (size_t)valid ? 1.0f / (float)valid : 0.0f;
    const lanes dot =
        (all_products / total - (1.0f - smoothing) * target_product * inverse_norm - smoothing * mean_product) * share;
    const lanes along = -dot * gain * inverse_norm, across = share * scale * gain / total;
    SYNC();
#if W == 8
    int k = 0;
    for (; k + 8 <= n; k += 8) {
        lanes v[8];
        FOR_LANES(i) v[i] = GRADIENT(k + i);
        transpose(v);
        FOR_LANES(i) if (row + i < (size_t)b) AT(__global, unaligned8, dx + dx_at + (row + i) * dx_pitch + k) = v[i];
    }
    for (; k < ((n + 3) & ~3); k++) {
        lanes v = k < n ? GRADIENT(min(k, n - 1)) : (lanes)(0.0f);
        FOR_LANES(i) if (row + i < (size_t)b) dx[dx_at + (row + i) * dx_pitch + k] = OWN(&v, i);
    }
#else
    EACH(k, (n + 3) & ~3) dx[dx_at + row * dx_pitch + k] = k < n ? GRADIENT(min(k, n - 1)) : 0.0f;
#endif
    if (dots && id == 0) {
        const lanes log_sum = log2(total);
        const size_t samples = get_global_size(1) * W;
        FOR_LANES(i)
        {
            dots[dots_at + row + i] = OWN(&dot, i);
            shifts[shifts_at + row + i] = OWN(&log_sum, i);
            shifts[shifts_at + samples + row + i] = OWN(&top, i);
            shifts[shifts_at + 2 * samples + row + i] = OWN(&gain, i);
        }
    }
#if OWN_BIAS
    partial += partial_at + group * partial_pitch;
    FOR_LANES(i) weights[c + i] = 0;
    const lanes factor = share / total;
    for (int k = 0; k < c; k += 8) {
        lanes v[8];
        FOR_LANES(i) v[i] = weights[k + i] * factor;
        AT(__global, unaligned8, partial + k) = sum_lanes(v);
    }
    FOR_LANES(i)
    {
        const int at = OWN_INT(&label, i);
        if (at >= 0 && at < c) partial[at] -= (1.0f - smoothing) * OWN(&share, i);
    }
#endif
#endif

    lanes loss;
    lanes_int wrong1, wrong5;
#if COSINE
    loss = 1.0f - target;
    const lanes log_total = 0;
#else
    const lanes log_total = top + log(total);
    loss = log_total - (1.0f - smoothing) * target;
    if (smoothing > 0.0f) loss -= smoothing * (alpha * mean_product + all_bias / (float)c);
#endif
#if COUNTS
#if LANES > 1
    ranks = (int)lanes_sum((float)ranks, scratch, id);
#endif
    wrong1 = ranks >= 1, wrong5 = ranks >= 5;
#else
#if LANES > 1
    __local int scratch_at[LANES];
    SYNC();
    merge_five(best, best_at, scratch, scratch_at, id);
#endif
    wrong1 = best_at[0] != label;
    wrong5 = wrong1 & (best_at[1] != label) & (best_at[2] != label) & (best_at[3] != label) & (best_at[4] != label);
#endif
    if (id > 0) return;
    FOR_LANES(i)
    {
        if (row + i >= (size_t)b) continue;
        const bool counts = row + i < (size_t)valid, broken = isnan(OWN(&loss, i));
        const float4 line = (float4)(OWN(&loss, i), broken || OWN_INT(&wrong1, i) ? 1.0f : 0.0f,
                                     broken || OWN_INT(&wrong5, i) ? 1.0f : 0.0f, 0.0f);
        STORE4(counts ? line : (float4)(0.0f), metrics + metrics_at + (row + i) * metrics_pitch);
#if !BACKWARD
        __global float *to = best_of + best_of_at + (row + i) * best_pitch;
        STORE4((float4)(OWN(&best[0], i), OWN(&best[1], i), OWN(&best[2], i), OWN(&best[3], i)), to);
        STORE4((float4)(OWN(&best[4], i), OWN(&log_total, i), 0.0f, 0.0f), to + 4);
#pragma unroll
        for (int j = 0; j < 5; j++) classes[classes_at + (row + i) * 8 + j] = OWN_INT(&best_at[j], i);
        for (int k = c; logits && k < ((c + 3) & ~3); k++) logits[(row + i) * logits_pitch + k] = 0.0f;
#endif
    }
}

#if BACKWARD && !OWN_BIAS
#define NORMALISED(y) exp2_lanes(((y) - top) * LOG2E - log_sum)

/* The bias' gradient from normalised weights, computed anew: a work-group takes block get_global_id(1) of the classes
 * for every slices-th group of W samples, and leaves their sum in row get_global_id(2) of `partial`. */
__kernel __attribute__((reqd_work_group_size(LANES, 1, 1))) void
fused_head_bias(__global const float *matrix, const ulong matrix_at, __global const float *bias, const ulong bias_at,
                __global const int *labels, const ulong labels_at, __global const int *valid_rows, const ulong valid_at,
                __global const float *unit, const ulong unit_at, __global const float *shifts, const ulong shifts_at,
                __global float *partial, const ulong partial_at, __global float *work, const ulong work_at, const int b,
                const int features, const int c, const int wanted_rows, const int log_power, const int signs_at,
                const int slices, const int partial_pitch, const float scale, const float smoothing)
{
    SIZES
    const int id = (int)get_local_id(0), a = (int)get_global_id(1), slice = (int)get_global_id(2);
    const int base = SINGLE ? 0 : a * 2 * n, plus = min(c - base, rows), minus = min(max(c - base - n, 0), n);
    const int groups = (b + W - 1) / W;
    __global const float *tables = matrix + matrix_at, *sign = tables + signs_at + (size_t)a * n;
#if T_SPACE == 2
    __global lanes *t = (__global lanes *)(work + work_at) + ((size_t)slice * get_global_size(1) + a) * rows;
#else
    T_MEMORY lanes t[ROWS];
#endif
    bias += bias_at;
    partial += partial_at + (size_t)slice * partial_pitch + base;
#if W == 8
    lanes weights[(ROWS < N ? ROWS : 2 * N) + 8];
    for (int k = 0; k < plus + minus + 8; k++) weights[k] = 0;
#else
    EACH(k, plus) partial[k] = 0.0f;
    EACH(k, minus) partial[n + k] = 0.0f;
#endif
    const int valid = min(valid_rows[valid_at], b);
    const float row_share = 1.0f / (float)valid;
    for (int group = slice; group < groups; group += slices) {
        __global const lanes *xs = (__global const lanes *)(unit + unit_at) + (size_t)group * n;
        lanes log_sum, top, gain, share;
        FOR_LANES(i)
        {
            OWN(&log_sum, i) = shifts[shifts_at + group * W + i];
            OWN(&top, i) = shifts[shifts_at + (groups + group) * W + i];
            OWN(&gain, i) = shifts[shifts_at + (2 * groups + group) * W + i];
            OWN(&share, i) = group * W + i < valid ? row_share : 0.0f;
        }
        signed_products(t, xs, sign, tables, n, rows, log_p, scale);
        EACH(r, plus)
        {
#if W == 8
            weights[r] += NORMALISED(gain * t[r] + bias[base + r]) * share;
            if (r < minus) weights[n + r] += NORMALISED(bias[base + n + r] - gain * t[r]) * share;
#else
            partial[r] += NORMALISED(gain * t[r] + bias[base + r]) * share;
            if (r < minus) partial[n + r] += NORMALISED(bias[base + n + r] - gain * t[r]) * share;
#endif
        }
    }
    SYNC();
#if W == 8
    for (int k = 0; k < plus + minus; k += 8) {
        const float8 v = sum_lanes(weights + k);
        if (k + 8 <= plus + minus)
            AT(__global, unaligned8, partial + k) = v;
        else
            for (int i = 0; i < plus + minus - k; i++) partial[k + i] = OWN(&v, i);
    }
#endif
    if (id > 0) return;
    for (int group = slice; group < groups; group += slices)
        for (int i = 0; i < W && group * W + i < valid; i++) {
            const int at = labels[labels_at + group * W + i] - base;
            if (labels[labels_at + group * W + i] >= 0 && at >= 0 && at < plus + minus)
                partial[at] -= (1.0f - smoothing) * row_share;
        }
}
#endif

/* Sums over the slices, and alpha's gradient over the rows, in order: four classes a work-item, alpha in one more. */
__kernel void fused_head_sum(__global const float *partial, const ulong partial_at, __global const float *dots,
                             const ulong dots_at, __global float *d_bias, const ulong d_bias_at,
                             __global float *d_alpha, const ulong d_alpha_at, const int b, const int c,
                             const int slices, const int partial_pitch, const float smoothing)
{
    const int quads = (c + 3) / 4, quad = (int)get_global_id(0);
    if (quad < quads) {
        float4 sum = (float4)(-smoothing / (float)c);
        for (int i = 0; i < slices; i++)
            sum += LOAD4(partial + partial_at + (size_t)i * partial_pitch + 4 * quad);
        STORE4(mask4(sum, 4 * quad, c, 0.0f), d_bias + d_bias_at + 4 * quad);
    } else if (quad == quads && d_alpha) {
        float sum = 0.0f;
        for (int i = 0; i < b; i++) sum += dots[dots_at + i];
        STORE4((float4)(sum, 0.0f, 0.0f, 0.0f), d_alpha + d_alpha_at);
    }
}
