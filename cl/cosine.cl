/* Cosine loss: LANES work-items a row. */
#include "metrics.clh"

__kernel void cosine_rows(__global const float *cosines, const ulong cosines_at, __global const int *labels,
                          const ulong labels_at, __global const int *valid_rows, const ulong valid_at,
                          __global float *g, const ulong g_at, __global float *metrics, const ulong metrics_at,
                          const int rows, const int c, const int cosines_pitch, const int g_pitch,
                          const int metrics_pitch)
{
    __local float scratch[LANES];
    const int lane = (int)get_local_id(0), padded = (c + 3) & ~3;
    const size_t row = get_global_id(1);
    if (row >= (size_t)rows) return;
    __global const float *z = cosines + cosines_at + row * cosines_pitch;
    metrics += metrics_at + row * metrics_pitch;

    const int valid = valid_rows[valid_at];
    const bool counts = row < (size_t)valid;
    const int label = labels[labels_at + row];
    const float target = target_logit(z, label, c);
    const int rank = target_rank(z, c, padded, target, label, scratch, lane);
    if (counts)
        store_metrics(metrics, 1.0f - target, rank, lane);
    else if (lane == 0)
        STORE4((float4)(0.0f), metrics);

    if (g) {
        const float share = counts ? -1.0f / (float)valid : 0.0f;
        g += g_at + row * g_pitch;
        FOR_QUADS(k, lane, padded) STORE4(lane_index(k) == (int4)(label) ? (float4)(share) : (float4)(0.0f), g + k);
    }
}
