/* One step of stochastic gradient descent over all parameters; an item takes `each` neighbouring quads. */
#include "walsh.clh"

__kernel void sgd_plain(__global const float *hyper, const ulong hyper_at, __global const float *g, const ulong g_at,
                        __global float *v, const ulong v_at, __global float *w, const ulong w_at, const int quads,
                        const int each, const int decayed, const int nesterov)
{
    const float4 h = LOAD4(hyper + hyper_at);
    const float lr = h.x, momentum = h.y;
    const int first = (int)get_global_id(0) * each;
    const int end = min(first + each, quads);
    for (int quad = first; quad < end; quad++) {
        const size_t at = 4 * (size_t)quad;
        const float4 weight = LOAD4(w + w_at + at);
        const float4 gradient = h.w * LOAD4(g + g_at + at) + (quad < decayed ? h.z : 0.0f) * weight;
        const float4 velocity = momentum * LOAD4(v + v_at + at) + gradient;
        STORE4(velocity, v + v_at + at);
        STORE4(weight - lr * (nesterov ? gradient + momentum * velocity : velocity), w + w_at + at);
    }
}
