#include "engine/data/resize.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/status.h"

typedef float v4f __attribute__((vector_size(16)));
typedef int32_t v4i __attribute__((vector_size(16)));
typedef uint8_t v16u8 __attribute__((vector_size(16)));

static walsh_status make_room(walsh_taps *taps, int count, size_t weights)
{
    if (count > taps->outputs) {
        free(taps->first);
        taps->outputs = 0;
        WALSH_TRY(walsh_alloc(&taps->first, (size_t)count, sizeof *taps->first, "resizing"));
        taps->outputs = count;
    }
    if (weights > taps->room) {
        free(taps->weight);
        taps->room = 0;
        WALSH_TRY(walsh_alloc(&taps->weight, weights, sizeof *taps->weight, "resizing"));
        taps->room = weights;
    }
    return WALSH_OK;
}

static int clamp(double x, int low, int high)
{
    return x < low ? low : x > high ? high : (int)x;
}

/* The samples [first, end) that an output is made of: those whose middle lies within `support` of its own. */
typedef struct span {
    double centre;
    int first, end;
} span;

static span span_of(const walsh_axis *axis, int output, double scale, double support)
{
    const double centre = axis->begin + (axis->from + output + 0.5) * scale;
    const int first = clamp(floor(centre - support + 0.5), axis->low, axis->high - 1);
    return (span){centre, first, clamp(floor(centre + support + 0.5), first + 1, axis->high)};
}

/* The weights of one output; those of samples outside its span are 0. */
static void weigh(const span *s, double support, int first, int each, float *weight)
{
    double sum = 0;
    for (int x = s->first; x < s->end; x++) sum += fmax(0, 1 - fabs(x - s->centre + 0.5) / support);
    for (int x = first; x < first + each; x++) {
        double share = sum > 0 ? fmax(0, 1 - fabs(x - s->centre + 0.5) / support) / sum : 1;
        weight[x - first] = x >= s->first && x < s->end ? (float)share : 0;
    }
}

walsh_status walsh_taps_fill(walsh_taps *taps, const walsh_axis *axis, int count, bool mirrored)
{
    const double scale = (axis->end - axis->begin) / axis->size, support = scale > 1 ? scale : 1;
    taps->count = count;
    taps->each = 1;
    taps->low = axis->high;
    taps->high = axis->low;
    for (int i = 0; i < count; i++) {
        const span s = span_of(axis, i, scale, support);
        if (s.end - s.first > taps->each) taps->each = s.end - s.first;
        if (s.first < taps->low) taps->low = s.first;
        if (s.end > taps->high) taps->high = s.end;
    }
    WALSH_TRY(make_room(taps, count, (size_t)count * (size_t)taps->each));
    for (int i = 0; i < count; i++) {
        const int to = mirrored ? count - 1 - i : i;
        const span s = span_of(axis, i, scale, support);
        taps->first[to] = s.first + taps->each > taps->high ? taps->high - taps->each : s.first;
        weigh(&s, support, taps->first[to], taps->each, taps->weight + (size_t)to * (size_t)taps->each);
    }
    return WALSH_OK;
}

void walsh_taps_free(walsh_taps *taps)
{
    free(taps->first);
    free(taps->weight);
    *taps = (walsh_taps){0};
}

/* Four bytes as floats. Written so that every compiler makes a few vector instructions of it. */
static inline v4f load(const uint8_t *pixel)
{
    const v16u8 zero = {0};
    int32_t bytes;
    memcpy(&bytes, pixel, sizeof bytes);
    v16u8 wide = (v16u8)(v4i){bytes};
    wide = __builtin_shufflevector(wide, zero, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
    wide = __builtin_shufflevector(wide, zero, 0, 1, 16, 17, 2, 3, 18, 19, 4, 5, 20, 21, 6, 7, 22, 23);
    return __builtin_convertvector((v4i)wide, v4f); /* little-endian, as all OpenCL hosts are */
}

/* Sums, with the half of rounding in them, to bytes. They need no clamping: weights are positive and add up to 1. */
static inline void round_off(const float *sum, size_t count, uint8_t *out)
{
    for (size_t i = 0; i < count; i++) out[i] = (uint8_t)(int)sum[i];
}

/* One output: red, green, blue, 0. */
static inline v4f filter(const uint8_t *pixel, const float *weight, int each)
{
    const v4i colours = {-1, -1, -1, 0};
    v4f even = {0.5f, 0.5f, 0.5f, 0.5f}, odd = {0}; /* two sums, so that none waits for the other */
    int k = 0;
    for (; k + 1 < each; k += 2) {
        even += load(pixel + 4 * k) * weight[k];
        odd += load(pixel + 4 * k + 4) * weight[k + 1];
    }
    if (k < each) even += load(pixel + 4 * k) * weight[k];
    return (v4f)((v4i)(even + odd) & colours);
}

enum { BLOCK = 256 }; /* bytes whose sums stay in the cache nearest */

void walsh_resize_row(const walsh_taps *taps, const uint8_t *row, int at, uint8_t *out)
{
    const float *weight = taps->weight;
    for (int begin = 0; begin < taps->count; begin += BLOCK / 4) {
        const int count = taps->count - begin < BLOCK / 4 ? taps->count - begin : BLOCK / 4;
        v4f sum[BLOCK / 4];
        for (int i = 0; i < count; i++, weight += taps->each)
            sum[i] = filter(row + 4 * (size_t)(taps->first[begin + i] - at), weight, taps->each);
        round_off((const float *)sum, 4 * (size_t)count, out + 4 * (size_t)begin);
    }
}

void walsh_resize_column(const walsh_taps *taps, int i, const uint8_t *rows, int width, uint8_t *out)
{
    const size_t pitch = (size_t)width * 4;
    const float *weight = taps->weight + (size_t)i * (size_t)taps->each;
    const uint8_t *top = rows + (size_t)(taps->first[i] - taps->low) * pitch;
    for (size_t begin = 0; begin < pitch; begin += BLOCK) {
        const size_t bytes = pitch - begin < BLOCK ? pitch - begin : BLOCK;
        float sum[BLOCK];
        for (size_t x = 0; x < bytes; x++) sum[x] = 0.5f;
        for (int k = 0; k < taps->each; k++) {
            const uint8_t *from = top + (size_t)k * pitch + begin;
            const float w = weight[k];
            for (size_t x = 0; x < bytes; x++) sum[x] += w * (float)from[x];
        }
        round_off(sum, bytes, out + begin);
    }
}
