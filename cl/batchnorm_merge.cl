/* Batch normalisation between its sweeps: partial results of the groups become per-channel values. One work-group of 64
 * lanes takes four channels, whatever the device. */
#define GROUPED 1
#include "walsh.clh"
#include "channels.clh"

/* Ones for the channels from `channel` on that exist, zeros for pad lanes. */
INLINE float4 existing(int channel, int c)
{
    return (int4)(channel, channel + 1, channel + 2, channel + 3) < (int4)(c) ? (float4)(1.0f) : (float4)(0.0f);
}

INLINE void save(__global float *saved, int pitch, int channel, int c, float4 gamma, float4 beta, float4 mean,
                 float4 variance, float epsilon)
{
    const float4 invstd = existing(channel, c) / sqrt(variance + epsilon), scale = gamma * invstd;
    STORE4(mean, saved + channel);
    STORE4(invstd, saved + pitch + channel);
    STORE4(scale, saved + 2 * pitch + channel);
    STORE4(beta - mean * scale, saved + 3 * pitch + channel);
}

/* Every group but the last has group_rows rows. The groups' means are merged as differences from the first. */
__kernel void bn_finalize_plain(__global const float *partial, const ulong partial_at, __global const float *gamma,
                                const ulong gamma_at, __global const float *beta, const ulong beta_at,
                                __global float *run_mean, const ulong run_mean_at, __global float *run_var,
                                const ulong run_var_at, __global float *saved, const ulong saved_at, const int groups,
                                const int group_rows, const int rows, const int c, const int partial_pitch,
                                const int saved_pitch, const float momentum, const float epsilon)
{
    __local float4 scratch[GROUP_ITEMS];
    const int channel = 4 * (int)get_group_id(0), last_rows = rows - (groups - 1) * group_rows;
    __global const float *in = partial + partial_at + channel;
    const float4 origin = LOAD4(in);
    float4 sum = 0.0f, squares = 0.0f;
    for (int g = (int)get_local_id(1); g < groups; g += LANE_STEP)
        sum += (float)(g == groups - 1 ? last_rows : group_rows) * (LOAD4(in + (size_t)g * 2 * partial_pitch) - origin);
    const float4 mean = origin + group_sum(scratch, sum) / (float)rows;
    for (int g = (int)get_local_id(1); g < groups; g += LANE_STEP) {
        const float4 d = LOAD4(in + (size_t)g * 2 * partial_pitch) - mean;
        squares += LOAD4(in + ((size_t)g * 2 + 1) * partial_pitch);
        squares += (float)(g == groups - 1 ? last_rows : group_rows) * d * d;
    }
    squares = group_sum(scratch, squares);
    if (get_local_id(1) != 0) return;
    save(saved + saved_at, saved_pitch, channel, c, LOAD4(gamma + gamma_at + channel), LOAD4(beta + beta_at + channel),
         mean, squares / (float)rows, epsilon);
    __global float *running = run_mean + run_mean_at + channel;
    STORE4((1.0f - momentum) * LOAD4(running) + momentum * mean, running);
    running = run_var + run_var_at + channel;
    STORE4((1.0f - momentum) * LOAD4(running) + momentum * (squares / (float)max(rows - 1, 1)), running);
}

__kernel void bn_eval_plain(__global const float *gamma, const ulong gamma_at, __global const float *beta,
                            const ulong beta_at, __global const float *run_mean, const ulong run_mean_at,
                            __global const float *run_var, const ulong run_var_at, __global float *saved,
                            const ulong saved_at, const int c, const int saved_pitch, const float epsilon)
{
    const int channel = 4 * (int)get_global_id(0);
    if (channel >= c) return;
    save(saved + saved_at, saved_pitch, channel, c, LOAD4(gamma + gamma_at + channel), LOAD4(beta + beta_at + channel),
         LOAD4(run_mean + run_mean_at + channel), LOAD4(run_var + run_var_at + channel), epsilon);
}

/* Partials [groups][2][pitch] of the backward sums into dBETA, dGAMMA, and the factors that they make. */
__kernel void bn_backward_finalize_plain(__global const float *partial, const ulong partial_at,
                                         __global const float *saved, const ulong saved_at, __global float *dgamma,
                                         const ulong dgamma_at, __global float *dbeta, const ulong dbeta_at,
                                         __global float *factors, const ulong factors_at, const int groups,
                                         const int rows, const int c, const int partial_pitch, const int saved_pitch,
                                         const int factors_pitch, const int rest, const int accumulate)
{
    __local float4 scratch[GROUP_ITEMS];
    const int channel = 4 * (int)get_group_id(0);
    __global const float *in = partial + partial_at + channel, *bn = saved + saved_at + channel;
    float4 beta = 0.0f, gamma = 0.0f;
    for (int g = (int)get_local_id(1); g < groups; g += LANE_STEP) {
        beta += LOAD4(in + (size_t)g * 2 * partial_pitch);
        gamma += LOAD4(in + ((size_t)g * 2 + 1) * partial_pitch);
    }
    beta = group_sum(scratch, beta);
    gamma = group_sum(scratch, gamma);
    if (get_local_id(1) != 0) return;
    STORE4(beta, dbeta + dbeta_at + channel);
    STORE4(gamma, dgamma + dgamma_at + channel);
    const float4 scale = LOAD4(bn + 2 * saved_pitch), share = scale / (float)rows;
    __global float *out = factors + factors_at + channel;
    float4 offset = share * beta, slope = share * LOAD4(bn + saved_pitch) * gamma;
    if (accumulate) offset += LOAD4(out + 2 * factors_pitch), slope += LOAD4(out + 3 * factors_pitch);
    STORE4(LOAD4(bn), out);
    STORE4(rest ? existing(channel, c) : scale, out + factors_pitch);
    STORE4(offset, out + 2 * factors_pitch);
    STORE4(slope, out + 3 * factors_pitch);
}
