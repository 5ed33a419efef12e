/* The types of safetensors: their sizes, and floats from them. */
#include "engine/base/safetensors.h"

#include "engine/base/half.h"
#include "engine/base/status.h"
#include "engine/base/utf8.h"

#include <stdint.h>
#include <string.h>

static const struct {
    const char *name;
    unsigned char bits;
} types[WALSH_DTYPE_COUNT] = {
    [WALSH_DTYPE_BOOL] = {"BOOL", 8},
    [WALSH_DTYPE_U8] = {"U8", 8},
    [WALSH_DTYPE_I8] = {"I8", 8},
    [WALSH_DTYPE_U16] = {"U16", 16},
    [WALSH_DTYPE_I16] = {"I16", 16},
    [WALSH_DTYPE_U32] = {"U32", 32},
    [WALSH_DTYPE_I32] = {"I32", 32},
    [WALSH_DTYPE_U64] = {"U64", 64},
    [WALSH_DTYPE_I64] = {"I64", 64},
    [WALSH_DTYPE_F4] = {"F4", 4},
    [WALSH_DTYPE_F6_E2M3] = {"F6_E2M3", 6},
    [WALSH_DTYPE_F6_E3M2] = {"F6_E3M2", 6},
    [WALSH_DTYPE_F8_E5M2] = {"F8_E5M2", 8},
    [WALSH_DTYPE_F8_E4M3] = {"F8_E4M3", 8},
    [WALSH_DTYPE_F8_E8M0] = {"F8_E8M0", 8},
    [WALSH_DTYPE_F8_E5M2FNUZ] = {"F8_E5M2FNUZ", 8},
    [WALSH_DTYPE_F8_E4M3FNUZ] = {"F8_E4M3FNUZ", 8},
    [WALSH_DTYPE_F16] = {"F16", 16},
    [WALSH_DTYPE_BF16] = {"BF16", 16},
    [WALSH_DTYPE_F32] = {"F32", 32},
    [WALSH_DTYPE_F64] = {"F64", 64},
    [WALSH_DTYPE_C64] = {"C64", 64},
};

const char *walsh_dtype_name(walsh_dtype dtype)
{
    return dtype < WALSH_DTYPE_COUNT ? types[dtype].name : "unknown";
}

size_t walsh_dtype_bits(walsh_dtype dtype)
{
    return types[dtype].bits;
}

bool walsh_safetensors_bytes(walsh_dtype dtype, int rank, const size_t *shape, size_t *bytes)
{
    size_t bits = walsh_dtype_bits(dtype);
    for (int i = 0; i < rank; i++)
        if (__builtin_mul_overflow(bits, shape[i], &bits)) return false;
    *bytes = bits / 8;
    return bits % 8 == 0;
}

static float from_bits(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

walsh_status walsh_safetensors_to_f32(const walsh_safetensors_entry *entry, float *out)
{
    const char *bytes = entry->data;
    const walsh_dtype dtype = entry->dtype;
    if (dtype == WALSH_DTYPE_F32) {
        memcpy(out, bytes, entry->size);
    } else if (dtype == WALSH_DTYPE_F64) {
        for (size_t i = 0; i < entry->size / sizeof(double); i++) {
            double wide;
            memcpy(&wide, bytes + i * sizeof wide, sizeof wide);
            out[i] = (float)wide;
        }
    } else if (dtype == WALSH_DTYPE_F16 || dtype == WALSH_DTYPE_BF16) {
        for (size_t i = 0; i < entry->size / sizeof(uint16_t); i++) {
            uint16_t half;
            memcpy(&half, bytes + i * sizeof half, sizeof half);
            out[i] = dtype == WALSH_DTYPE_F16 ? walsh_half_value(half) : from_bits((uint32_t)half << 16);
        }
    } else {
        WALSH_FAIL(WALSH_E_FORMAT, "tensor '%s': expected F32, F16, BF16 or F64, found %s",
                   walsh_show(entry->name).text, walsh_dtype_name(dtype));
    }
    return WALSH_OK;
}
