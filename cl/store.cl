/* Floats as halves, rounded to the nearest, ties to even, and back. */
#include "walsh.clh"
#include "channels.clh"

/* Four halves are aligned as four, as four floats are (walsh.clh). */
#if VW == 4
#define LOAD_HALFV(p) vloada_half4(0, (p))
#define STORE_HALFV(v, p) vstorea_half4_rte((v), 0, (p))
#else
#define LOAD_HALFV(p) WALSH_GLUE(vload_half, VW)(0, (p))
#define STORE_HALFV(v, p) WALSH_GLUE(WALSH_GLUE(vstore_half, VW), _rte)((v), 0, (p))
#endif

#define LARGEST 65504.0f

/* What is finite stays so; infinities and NaN, by which a broken run is seen, stay what they are. */
INLINE floatv within_range(floatv v)
{
    const floatv clamped = v > (floatv)LARGEST ? (floatv)LARGEST : v < (floatv)-LARGEST ? (floatv)-LARGEST : v;
    return fabs(v) == (floatv)INFINITY ? v : clamped;
}

__kernel void store_pack_plain(__global const float *x, const ulong x_at, __global half *y, const ulong y_at,
                               const int rows, const int vectors, const int each, const int x_pitch, const int y_pitch)
{
    FOR_ROWS (r, each, rows) {
        FOR_CHANNELS (channel, vectors) {
            __global const float *in = x + x_at + (size_t)r * x_pitch + channel;
            const floatv v = LOADV(in);
            PREFETCH_AHEAD(in, AHEAD, x_pitch);
            STORE_HALFV(within_range(v), y + y_at + (size_t)r * y_pitch + channel);
        }
    }
}

__kernel void store_unpack_plain(__global const half *x, const ulong x_at, __global float *y, const ulong y_at,
                                 const int rows, const int vectors, const int each, const int x_pitch,
                                 const int y_pitch)
{
    const int streamed = streams(rows, vectors, y_pitch);
    FOR_ROWS (r, each, rows) {
        FOR_CHANNELS (channel, vectors) {
            __global const half *in = x + x_at + (size_t)r * x_pitch + channel;
            const floatv v = LOAD_HALFV(in);
            PREFETCH_AHEAD(in, AHEAD, x_pitch);
            store_streamed(v, y + y_at + (size_t)r * y_pitch + channel, streamed);
        }
    }
}
