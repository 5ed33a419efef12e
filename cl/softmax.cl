/* Softmax cross-entropy: LANES work-items a row and three walks: maximum and rank, sum of exponentials, gradient. */
#include "metrics.clh"

__kernel void softmax_rows(__global const float *logits, const ulong logits_at, __global const int *labels,
                           const ulong labels_at, __global const int *valid_rows, const ulong valid_at,
                           __global float *g, const ulong g_at, __global float *metrics, const ulong metrics_at,
                           const int rows, const int c, const int logits_pitch, const int g_pitch,
                           const int metrics_pitch, const float smoothing)
{
    __local float scratch[LANES];
    const int lane = (int)get_local_id(0), padded = (c + 3) & ~3;
    const size_t row = get_global_id(1);
    if (row >= (size_t)rows) return;
    __global const float *y = logits + logits_at + row * logits_pitch;
    __global float *gradient = g + g_at + row * g_pitch;
    metrics += metrics_at + row * metrics_pitch;

    const int valid = valid_rows[valid_at];
    if (row >= (size_t)valid) {
        if (g) FOR_QUADS(k, lane, padded) STORE4((float4)(0.0f), gradient + k);
        if (lane == 0) STORE4((float4)(0.0f), metrics);
        return;
    }

    const int label = labels[labels_at + row];
    const float target = target_logit(y, label, c);
    float4 most = (float4)(-INFINITY);
    FOR_QUADS(k, lane, padded) most = fmax(most, mask4(LOAD4(y + k), k, c, -INFINITY));
    const float top = lanes_max(max4(most), scratch, lane);
    const int rank = target_rank(y, c, padded, target, label, scratch, lane);

    float4 sums = (float4)(0.0f), shifted = (float4)(0.0f);
    FOR_QUADS(k, lane, padded)
    {
        const float4 v = LOAD4(y + k) - top;
        sums += mask4(exp(v), k, c, 0.0f);
        shifted += mask4(v, k, c, 0.0f);
    }
    const float sum = lanes_sum(sum4(sums), scratch, lane), mean = lanes_sum(sum4(shifted), scratch, lane) / (float)c;
    float loss = log(sum) - (1.0f - smoothing) * (target - top);
    if (smoothing > 0.0f) loss -= smoothing * mean;

    if (g) {
        const float inverse = 1.0f / sum, share = 1.0f / (float)valid;
        FOR_QUADS(k, lane, padded)
        {
            const float4 p = exp(LOAD4(y + k) - top) * inverse;
            const float4 hit = lane_index(k) == (int4)(label) ? (float4)(1.0f - smoothing) : (float4)(0.0f);
            STORE4(mask4((p - hit - smoothing / (float)c) * share, k, c, 0.0f), gradient + k);
        }
    }
    store_metrics(metrics, loss, rank, lane);
}
