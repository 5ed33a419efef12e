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
        free(taps->used);
        taps->first = taps->used = NULL;
        taps->outputs = 0;
        WALSH_TRY(walsh_alloc(&taps->first, (size_t)count, sizeof *taps->first, "resizing"));
        WALSH_TRY(walsh_alloc(&taps->used, (size_t)count, sizeof *taps->used, "resizing"));
        taps->outputs = count;
    }
    if (weights > taps->room) {
        free(taps->weight);
        taps->weight = NULL;
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

walsh_status walsh_taps_fill(walsh_taps *taps, const walsh_axis *axis, int count, bool mirrored)
{
    const double scale = (axis->end - axis->begin) / axis->size, support = scale > 1 ? scale : 1;
    const int most = (int)ceil(support) * 2 + 1;
    WALSH_TRY(make_room(taps, count, (size_t)count * (size_t)most));
    taps->count = count;
    taps->most = most;
    taps->low = axis->high;
    taps->high = axis->low;
    for (int i = 0; i < count; i++) {
        const double centre = axis->begin + (axis->from + i + 0.5) * scale;
        int to = mirrored ? count - 1 - i : i;
        int first = clamp(floor(centre - support + 0.5), axis->low, axis->high - 1);
        int end = clamp(floor(centre + support + 0.5), first + 1, axis->high);
        float *weight = taps->weight + (size_t)to * (size_t)most;
        double sum = 0;
        for (int x = first; x < end; x++) sum += fmax(0, 1 - fabs(x - centre + 0.5) / support);
        for (int x = first; x < end; x++)
            weight[x - first] = (float)(sum > 0 ? fmax(0, 1 - fabs(x - centre + 0.5) / support) / sum : 1);
        taps->first[to] = first;
        taps->used[to] = end - first;
        if (first < taps->low) taps->low = first;
        if (end > taps->high) taps->high = end;
    }
    return WALSH_OK;
}

void walsh_taps_free(walsh_taps *taps)
{
    free(taps->first);
    free(taps->used);
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

/* The sums need no clamping: weights are positive and add up to 1, and the half of rounding is in them. */
static inline void store(v4f sum, uint8_t *pixel)
{
    v4i whole = __builtin_convertvector(sum, v4i);
    uint32_t bytes = (uint32_t)whole[0] | (uint32_t)whole[1] << 8 | (uint32_t)whole[2] << 16;
    memcpy(pixel, &bytes, sizeof bytes);
}

void walsh_resize_row(const walsh_taps *taps, const uint8_t *row, int at, uint8_t *out)
{
    for (int i = 0; i < taps->count; i++) {
        const uint8_t *pixel = row + 4 * (size_t)(taps->first[i] - at);
        const float *weight = taps->weight + (size_t)i * (size_t)taps->most;
        v4f sum = {0.5f, 0.5f, 0.5f, 0.5f};
        for (int k = 0; k < taps->used[i]; k++) sum += load(pixel + 4 * k) * weight[k];
        store(sum, out + 4 * i);
    }
}

void walsh_resize_column(const walsh_taps *taps, int i, const uint8_t *rows, int width, uint8_t *out)
{
    enum { BLOCK = 256 }; /* bytes whose sums stay in the cache nearest */
    const size_t pitch = (size_t)width * 4;
    const float *weight = taps->weight + (size_t)i * (size_t)taps->most;
    const uint8_t *top = rows + (size_t)(taps->first[i] - taps->low) * pitch;
    for (size_t begin = 0; begin < pitch; begin += BLOCK) {
        const size_t bytes = pitch - begin < BLOCK ? pitch - begin : BLOCK;
        float sum[BLOCK];
        for (size_t x = 0; x < bytes; x++) sum[x] = 0.5f;
        for (int k = 0; k < taps->used[i]; k++) {
            const uint8_t *from = top + (size_t)k * pitch + begin;
            const float w = weight[k];
            for (size_t x = 0; x < bytes; x++) sum[x] += w * (float)from[x];
        }
        for (size_t x = 0; x < bytes; x++) out[begin + x] = (uint8_t)(int)sum[x];
    }
}
