/* safetensors: bytes by hand from the format's description, and every way in which a file can lie. */
#include "tests/check.h"

#include "engine/base/safetensors.h"
#include "engine/base/utf8.h"
#include "tests/temp.h"

#include <fcntl.h>
#include <math.h>
#include <sys/stat.h>

static const char small_header[] = "{\"__metadata__\":{\"format\":\"pt\"},"
                                   "\"w\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[8,16]},"
                                   "\"n\":{\"dtype\":\"I64\",\"shape\":[],\"data_offsets\":[0,8]}}";
/* n = 258, w = {1, -2.5} */
static const unsigned char small_data[] = {2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0x80, 0x3F, 0, 0, 0x20, 0xC0};

static unsigned char small[512];
static size_t small_size;

/* Assembles length, header and data; returns the bytes of the whole. */
static size_t assemble(unsigned char *out, const char *header, const void *data, size_t size)
{
    size_t length = strlen(header);
    for (int i = 0; i < 8; i++) out[i] = (unsigned char)((uint64_t)length >> (8 * i));
    memcpy(out + 8, header, length);
    memcpy(out + 8 + length, data, size);
    return 8 + length + size;
}

static int setup(void **state)
{
    char header[sizeof small_header + 8];
    size_t pad = (8 - strlen(small_header) % 8) % 8;
    snprintf(header, sizeof header, "%s%*s", small_header, (int)pad, "");
    small_size = assemble(small, header, small_data, sizeof small_data);
    return temp_enter(state);
}

static void write_small(const char *name)
{
    const float w[2] = {1.0f, -2.5f};
    const int64_t n = 258;
    const walsh_safetensors_entry entries[] = {
        {.name = "w", .dtype = WALSH_DTYPE_F32, .rank = 1, .shape = {2}, .data = w},
        {.name = "n", .dtype = WALSH_DTYPE_I64, .data = &n},
    };
    const walsh_safetensors_pair metadata[] = {{"format", "pt"}};
    assert_ok(walsh_safetensors_write(name, entries, 2, metadata, 1));
}

static void writes_by_hand(void **state)
{
    (void)state;
    write_small("small");
    temp_holds("small", small, small_size);
    write_small("small"); /* over itself, to the same bytes */
    temp_holds("small", small, small_size);
    assert_ok(walsh_safetensors_write("nothing", NULL, 0, NULL, 0));
    temp_holds("nothing", "\x08\0\0\0\0\0\0\0{}      ", 16);
    assert_int_equal(temp_leftovers(), 0);
}

static void reads_by_hand(void **state)
{
    (void)state;
    walsh_safetensors *file;
    temp_write("hand", small, small_size);
    assert_ok(walsh_safetensors_open("hand", &file));
    assert_int_equal(walsh_safetensors_count(file), 2);
    assert_string_equal(walsh_safetensors_at(file, 0)->name, "w");
    const walsh_safetensors_entry *w = walsh_safetensors_find(file, "w"), *n = walsh_safetensors_find(file, "n");
    assert_ptr_equal(w, walsh_safetensors_at(file, 0));
    assert_ptr_equal(n, walsh_safetensors_at(file, 1));
    assert_int_equal(w->dtype, WALSH_DTYPE_F32);
    assert_int_equal(w->rank, 1);
    assert_int_equal(w->shape[0], 2);
    assert_int_equal(w->size, 8);
    assert_int_equal(n->rank, 0);
    assert_int_equal(n->size, 8);
    assert_memory_equal(n->data, small_data, 8);
    float values[2];
    assert_ok(walsh_safetensors_to_f32(w, values));
    assert_true(values[0] == 1.0f && values[1] == -2.5f);
    assert_fails(WALSH_E_FORMAT, "tensor 'n': expected F32, F16, BF16 or F64, found I64",
                 walsh_safetensors_to_f32(n, values));
    assert_null(walsh_safetensors_find(file, "x"));
    assert_null(walsh_safetensors_find(file, "__metadata__"));
    assert_string_equal(walsh_safetensors_metadata(file, "format"), "pt");
    assert_null(walsh_safetensors_metadata(file, "w"));
    assert_int_equal(walsh_safetensors_metadata_count(file), 1);
    assert_string_equal(walsh_safetensors_metadata_at(file, 0)->key, "format");
    walsh_safetensors_close(&file);
    assert_null(file);
    walsh_safetensors_close(&file);
}

static void many_tensors(void **state)
{
    (void)state;
    enum { COUNT = 3000 };
    static walsh_safetensors_entry entries[COUNT];
    static char names[COUNT][32];
    static double data[COUNT][6];
    /* Widths from 4 to 64 bits, some empty, in no order of names. */
    for (int i = 0; i < COUNT; i++) {
        snprintf(names[i], sizeof *names, "layer%d.\xC3\xA9\"\\\n", i * 7919 % COUNT);
        for (int k = 0; k < 6; k++) data[i][k] = i + k / 8.0;
        entries[i] = (walsh_safetensors_entry){.name = names[i],
                                               .dtype = (walsh_dtype)(i % WALSH_DTYPE_COUNT),
                                               .rank = 3,
                                               .shape = {1, (size_t)(i % 4), 4},
                                               .data = data[i]};
        if (i % 4 == 3) entries[i].shape[1] = 1;
    }
    assert_ok(walsh_safetensors_write("many", entries, COUNT, NULL, 0));
    walsh_safetensors *file;
    assert_ok(walsh_safetensors_open("many", &file));
    assert_int_equal(walsh_safetensors_count(file), COUNT);
    assert_int_equal(walsh_safetensors_metadata_count(file), 0);
    assert_null(walsh_safetensors_metadata(file, "format"));
    for (int i = 0; i < COUNT; i++) {
        const walsh_safetensors_entry *entry = walsh_safetensors_at(file, (size_t)i);
        assert_string_equal(entry->name, names[i]);
        assert_ptr_equal(walsh_safetensors_find(file, names[i]), entry);
        assert_int_equal(entry->dtype, entries[i].dtype);
        assert_int_equal(entry->rank, 3);
        assert_memory_equal(entry->shape, entries[i].shape, sizeof entry->shape);
        size_t bits = walsh_dtype_bits(entry->dtype);
        assert_int_equal(entry->size, entry->shape[1] * 4 * bits / 8);
        assert_memory_equal(entry->data, data[i], entry->size);
        /* The reader's copy begins where malloc() aligns, so the address tells the alignment within the file. */
        if (bits >= 8) assert_int_equal((uintptr_t)entry->data % (bits / 8), 0);
    }
    walsh_safetensors_close(&file);
}

static void metadata_round_trip(void **state)
{
    (void)state;
    const walsh_safetensors_pair pairs[] = {{"z", "1"}, {"a", "line\nline\t\"\x01"}, {"\xE2\x82\xAC", ""}};
    walsh_safetensors *file;
    assert_ok(walsh_safetensors_write("meta", NULL, 0, pairs, 3));
    assert_ok(walsh_safetensors_open("meta", &file));
    assert_int_equal(walsh_safetensors_metadata_count(file), 3);
    assert_string_equal(walsh_safetensors_metadata_at(file, 0)->key, "a");
    for (int i = 0; i < 3; i++) assert_string_equal(walsh_safetensors_metadata(file, pairs[i].key), pairs[i].value);
    walsh_safetensors_close(&file);
}

/* The value of a binary float by its definition. */
static double decode(unsigned bits, int exponent_bits, int fraction_bits)
{
    int bias = (1 << (exponent_bits - 1)) - 1, exponent = (int)(bits >> fraction_bits) & ((1 << exponent_bits) - 1);
    double sign = bits >> (exponent_bits + fraction_bits) ? -1 : 1, fraction = bits & ((1u << fraction_bits) - 1);
    if (exponent == (1 << exponent_bits) - 1) return fraction > 0 ? (double)NAN : sign * (double)INFINITY;
    if (exponent == 0) return sign * ldexp(fraction, 1 - bias - fraction_bits);
    return sign * ldexp(1 + ldexp(fraction, -fraction_bits), exponent - bias);
}

static void converts_halves(void **state)
{
    (void)state;
    static uint16_t halves[65536];
    static float out[65536];
    for (unsigned i = 0; i < 65536; i++) halves[i] = (uint16_t)i;
    for (int brain = 0; brain < 2; brain++) {
        walsh_safetensors_entry entry = {.name = "h",
                                         .dtype = brain ? WALSH_DTYPE_BF16 : WALSH_DTYPE_F16,
                                         .rank = 1,
                                         .shape = {65536},
                                         .data = halves,
                                         .size = sizeof halves};
        assert_ok(walsh_safetensors_to_f32(&entry, out));
        for (unsigned i = 0; i < 65536; i++) {
            double expected = decode(i, brain ? 8 : 5, brain ? 7 : 10);
            assert_true(isnan(expected) ? isnan(out[i]) : (double)out[i] == expected);
            assert_int_equal(signbit(out[i]) != 0, i >> 15);
        }
    }
}

/* A header of odd length puts the data at odd addresses: allowed by the format, and still to be read. */
static void unaligned(void **state)
{
    (void)state;
    unsigned char bytes[300];
    const double wide[2] = {0.1, 1e300};
    size_t size =
        assemble(bytes, "{\"d\":{\"shape\":[1,2],\"data_offsets\":[0,16],\"dtype\":\"F64\",\"more\":[null]}}\t ", wide,
                 sizeof wide);
    assert_int_equal(size % 2, 1);
    temp_write("odd", bytes, size);
    walsh_safetensors *file;
    float out[2];
    assert_ok(walsh_safetensors_open("odd", &file));
    assert_ok(walsh_safetensors_to_f32(walsh_safetensors_find(file, "d"), out));
    assert_true(out[0] == 0.1f && isinf(out[1]));
    walsh_safetensors_close(&file);
}

/* ---- files that lie ---- */

static void refused(const void *bytes, size_t size, const char *part)
{
    walsh_safetensors *file = (walsh_safetensors *)1;
    temp_write("bad", bytes, size);
    assert_fails(WALSH_E_FORMAT, part, walsh_safetensors_open("bad", &file));
    assert_null(file);
    assert_non_null(strstr(walsh_message(), "bad: "));
    assert_null(strchr(walsh_message(), '\n'));
}

#define TENSOR(name, dtype, shape, range)                                                                              \
    "\"" name "\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":" range "}"

/* Each with 16 bytes of data. */
static const struct {
    const char *header, *part;
} lies[] = {
    {"", "begins with '{'"},
    {" {}", "begins with '{'"},
    {"[]", "begins with '{'"},
    {"{", "one JSON object as header"},
    {"{}{}", "error at byte 2 of 4"},
    {"{\"a\":}", "error at byte"},
    {"{\"a\xFF\":1}", "UTF-8"},
    {"{\"a\\u0000b\":1}", "NUL"},
    {"{}", "expected 0 bytes of data by its tensors, found 16"},
    {"{\"a\":7}", "tensor 'a': expected a JSON object"},
    {"{\"a\":{\"shape\":[4],\"data_offsets\":[0,16]}}", "tensor 'a': expected one string \"dtype\""},
    {"{\"a\":{\"dtype\":4,\"shape\":[4],\"data_offsets\":[0,16]}}", "expected one string \"dtype\""},
    {"{\"a\":{\"dtype\":\"F32\",\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0,16]}}",
     "expected one string \"dtype\""},
    {"{\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,16]}}", "expected one list \"shape\""},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[4]}}", "expected one list \"data_offsets\""},
    {"{" TENSOR("a", "float", "[4]", "[0,16]") "}", "expected a known dtype, found 'float'"},
    {"{" TENSOR("a", "f32", "[4]", "[0,16]") "}", "expected a known dtype, found 'f32'"},
    {"{" TENSOR("a", "F32", "4", "[0,16]") "}", "expected one list \"shape\""},
    {"{" TENSOR("a", "F32", "[-4]", "[0,16]") "}", "whole numbers from 0 in its shape"},
    {"{" TENSOR("a", "F32", "[4.5]", "[0,16]") "}", "whole numbers from 0 in its shape"},
    {"{" TENSOR("a", "F32", "[\"4\"]", "[0,16]") "}", "whole numbers from 0 in its shape"},
    {"{" TENSOR("a", "F32", "[1e400]", "[0,16]") "}", "whole numbers from 0 in its shape"},
    {"{" TENSOR("a", "F32", "[9007199254740992]", "[0,16]") "}", "whole numbers from 0 in its shape"},
    {"{" TENSOR("a", "F32", "[1,1,1,1,1,1,1,1,4]", "[0,16]") "}", "at most 8 dimensions"},
    /* 2^32 * 2^32 and 2^52 * 2^12 * 4 bytes come to 0 modulo 2^64 */
    {"{" TENSOR("a", "U8", "[4294967296,4294967296]", "[0,0]") "}", "more bytes than can be counted"},
    {"{" TENSOR("a", "F32", "[4503599627370496,1024]", "[0,0]") "}", "more bytes than can be counted"},
    {"{" TENSOR("a", "F4", "[3]", "[0,1]") "}", "no whole number of them"},
    {"{" TENSOR("a", "F32", "[3]", "[0,16]") "}", "expected 12 bytes by its shape and dtype, found offsets 0 to 16"},
    {"{" TENSOR("a", "F32", "[4]", "[16,0]") "}", "expected 16 bytes"},
    {"{" TENSOR("a", "F32", "[4]", "[-16,0]") "}", "two whole numbers from 0"},
    {"{" TENSOR("a", "F32", "[4]", "[0]") "}", "two whole numbers from 0"},
    {"{" TENSOR("a", "F32", "[4]", "[0,16,32]") "}", "two whole numbers from 0"},
    {"{" TENSOR("a", "F32", "[4]", "[0,null]") "}", "two whole numbers from 0"},
    {"{" TENSOR("a", "F32", "[4]", "{\"b\":0,\"e\":16}") "}", "two whole numbers from 0"},
    {"{" TENSOR("a", "F32", "[5]", "[0,20]") "}", "end at byte 20 of the data, but the file ends after 16"},
    {"{" TENSOR("a", "F32", "[4]", "[9007199254740975,9007199254740991]") "}", "but the file ends after 16"},
    {"{" TENSOR("a", "F32", "[3]", "[0,12]") "}", "expected 12 bytes of data by its tensors, found 16"},
    {"{" TENSOR("a", "F32", "[3]", "[4,16]") "}", "expected its data at byte 0, found 4 (bytes of no tensor"},
    {"{" TENSOR("a", "F32", "[3]", "[0,12]") "," TENSOR("b", "F32", "[2]", "[8,16]") "}", "(two tensors overlap)"},
    {"{" TENSOR("a", "F32", "[4]", "[0,16]") "," TENSOR("b", "F32", "[4]", "[0,16]") "}", "(two tensors overlap)"},
    {"{" TENSOR("a", "F32", "[4]", "[0,16]") "," TENSOR("b", "F32", "[0]", "[4,4]") "}", "(two tensors overlap)"},
    {"{" TENSOR("a", "F32", "[2]", "[0,8]") "," TENSOR("a", "F32", "[2]", "[8,16]") "}", "tensor 'a' is there twice"},
    {"{" TENSOR("a", "F32", "[2]", "[0,8]") "," TENSOR("\\u0061", "F32", "[2]", "[8,16]") "}", "'a' is there twice"},
    {"{" TENSOR("a\\nb", "F32", "[2]", "[0,9]") "}", "tensor 'a?b': expected 8 bytes"},
    {"{\"__metadata__\":[]," TENSOR("a", "F32", "[4]", "[0,16]") "}", "JSON object \"__metadata__\""},
    {"{\"__metadata__\":{\"k\":1}," TENSOR("a", "F32", "[4]", "[0,16]") "}", "metadata 'k': expected a string"},
    {"{\"__metadata__\":{\"k\":\"\",\"k\":\"\"}," TENSOR("a", "F32", "[4]", "[0,16]") "}",
     "metadata 'k' is there twice"},
    {"{\"__metadata__\":{},\"__metadata__\":{}}", "expected one \"__metadata__\""},
};

static void refuses_lies(void **state)
{
    (void)state;
    unsigned char bytes[512];
    for (size_t i = 0; i < sizeof lies / sizeof *lies; i++)
        refused(bytes, assemble(bytes, lies[i].header, small_data, 16), lies[i].part);
    /* The scheme itself is sound: what differs from it in each row is what is refused. */
    walsh_safetensors *file;
    size_t size = assemble(bytes,
                           "{" TENSOR("b", "F32", "[0]", "[8,8]") "," TENSOR("a", "F32", "[2]", "[8,16]") "," TENSOR(
                               "c", "F64", "[1]", "[0,8]") "}",
                           small_data, 16);
    temp_write("good", bytes, size);
    assert_ok(walsh_safetensors_open("good", &file));
    walsh_safetensors_close(&file);
}

static void refuses_lengths(void **state)
{
    (void)state;
    unsigned char bytes[sizeof small];
    refused("", 0, "8 bytes or more, found 0");
    memcpy(bytes, small, small_size);
    bytes[7] = 0x80;
    refused(bytes, small_size, "at most 100000000 bytes, found a length of 9223372036854775");
    memset(bytes, 0xFF, 8);
    refused(bytes, small_size, "found a length of 18446744073709551615");
    memcpy(bytes, "PK\3\4\0\0\10\10", 8); /* a .pth file, and one of old */
    refused(bytes, small_size, "one that PyTorch has saved: tools/pth2safetensors.py");
    memcpy(bytes, "\200\2\212\nl\374\234F", 8);
    refused(bytes, small_size, "one that PyTorch has saved: tools/pth2safetensors.py");
    memcpy(bytes, "PK\3\4\0\0\0\0", 8); /* a length that could be */
    refused(bytes, small_size, "should have 67324752 bytes");
    memcpy(bytes, "\x00\xE1\xF5\x05\0\0\0\0", 8); /* exactly 10^8 */
    refused(bytes, small_size, "should have 100000000 bytes, but the file ends after");
    memcpy(bytes, small, small_size);
    bytes[8 + 20] = 0;
    refused(bytes, small_size, "NUL");
    walsh_safetensors *file;
    assert_fails(WALSH_E_FILE, "found a folder", walsh_safetensors_open(".", &file));
    assert_fails(WALSH_E_FILE, "none: No such file", walsh_safetensors_open("none", &file));
    assert_null(file);
}

static void refuses_every_truncation(void **state)
{
    (void)state;
    for (size_t size = 0; size < small_size; size++) refused(small, size, "bad: ");
    unsigned char longer[sizeof small + 1] = {0};
    memcpy(longer, small, small_size);
    refused(longer, small_size + 1, "expected 16 bytes of data by its tensors, found 17");
}

/* Whatever single byte changes: a clean failure, or a file whose parts can all be read. */
static void survives_every_byte(void **state)
{
    (void)state;
    temp_write("flip", small, small_size);
    int flip = open("flip", O_WRONLY), opened = 0;
    assert_true(flip >= 0);
    for (size_t at = 0; at < small_size; at++) {
        for (int change = 1; change <= 256; change++) {
            unsigned char byte = small[at] ^ (unsigned char)change; /* 256: as it was */
            assert_int_equal(pwrite(flip, &byte, 1, (off_t)at), 1);
            walsh_safetensors *file;
            walsh_status status = walsh_safetensors_open("flip", &file);
            assert_true(status == WALSH_OK || (status == WALSH_E_FORMAT && change != 256));
            if (status) continue;
            size_t total = 0;
            for (size_t i = 0; i < walsh_safetensors_count(file); i++) {
                const walsh_safetensors_entry *entry = walsh_safetensors_at(file, i);
                float out[4]; /* 8 bytes are at most 4 halves */
                char copy[8];
                assert_int_equal(entry->size, sizeof copy);
                memcpy(copy, entry->data, entry->size);
                walsh_safetensors_to_f32(entry, out);
                total += entry->size;
            }
            assert_int_equal(total, 16);
            walsh_safetensors_close(&file);
            opened++;
        }
    }
    close(flip);
    assert_true(opened > 16 * 255); /* changed data alone do no harm */
}

static void survives_deep_nesting(void **state)
{
    (void)state;
    enum { DEPTH = 200000 };
    unsigned char *bytes = malloc(DEPTH + 64);
    char *header = malloc(DEPTH + 16);
    assert_non_null(bytes);
    assert_non_null(header);
    memcpy(header, "{\"a\":", 5);
    memset(header + 5, '[', DEPTH);
    header[5 + DEPTH] = 0;
    refused(bytes, assemble(bytes, header, "", 0), "one JSON object as header");
    free(header);
    free(bytes);
}

/* ---- what is not written ---- */

static void write_refused(const walsh_safetensors_entry *entries, size_t count, const walsh_safetensors_pair *metadata,
                          size_t metadata_count, const char *part)
{
    assert_fails(WALSH_E_ARGUMENT, part, walsh_safetensors_write("kept", entries, count, metadata, metadata_count));
    temp_holds("kept", small, small_size);
}

static void writer_refuses(void **state)
{
    (void)state;
    const float x[4] = {0};
    const walsh_safetensors_entry good = {.name = "a", .dtype = WALSH_DTYPE_F32, .rank = 1, .shape = {4}, .data = x};
    walsh_safetensors_entry entries[2] = {good, good};
    write_small("kept");
    write_refused(entries, 2, NULL, 0, "tensor 'a' is there twice");
    entries[0].name = "__metadata__";
    write_refused(entries, 1, NULL, 0, "__metadata__");
    entries[0].name = "\xC0\x80";
    write_refused(entries, 1, NULL, 0, "': expected UTF-8");
    entries[0] = good, entries[0].rank = 9;
    write_refused(entries, 1, NULL, 0, "found F32 and 9");
    entries[0] = good, entries[0].rank = -1;
    write_refused(entries, 1, NULL, 0, "found F32 and -1");
    entries[0] = good, entries[0].dtype = WALSH_DTYPE_COUNT;
    write_refused(entries, 1, NULL, 0, "found unknown and 1");
    entries[0] = good, entries[0].dtype = WALSH_DTYPE_F6_E3M2, entries[0].shape[0] = 3;
    write_refused(entries, 1, NULL, 0, "no whole number of bytes");
    entries[0] = good, entries[0].shape[0] = SIZE_MAX / 2;
    write_refused(entries, 1, NULL, 0, "no whole number of bytes");
    write_refused(NULL, 0, (walsh_safetensors_pair[]){{"k", "1"}, {"k", "2"}}, 2, "metadata 'k' is there twice");
    write_refused(NULL, 0, (walsh_safetensors_pair[]){{"k\x80", "1"}}, 1, "expected UTF-8");
    write_refused(NULL, 0, (walsh_safetensors_pair[]){{"k", "\xED\xA0\x80"}}, 1, "value of metadata 'k'");
    assert_int_equal(mkdir("folder", 0777), 0);
    assert_fails(WALSH_E_FILE, "folder", walsh_safetensors_write("folder", &good, 1, NULL, 0));
    assert_int_equal(temp_leftovers(), 0);
}

static void utf8(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool valid;
    } cases[] = {
        {"", true},
        {"plain", true},
        {"\xC2\x80", true},
        {"\xDF\xBF", true},
        {"\xE0\xA0\x80", true},
        {"\xED\x9F\xBF", true},
        {"\xEE\x80\x80", true},
        {"\xEF\xBF\xBF", true},
        {"\xF0\x90\x80\x80", true},
        {"\xF4\x8F\xBF\xBF", true},
        {"\x80", false},
        {"\xBF", false},
        {"\xC0\x80", false},
        {"\xC1\xBF", false},
        {"\xC2", false},
        {"\xC2\x41", false},
        {"\xE0\x9F\xBF", false},
        {"\xED\xA0\x80", false},
        {"\xED\xBF\xBF", false},
        {"\xE2\x82", false},
        {"\xF0\x8F\xBF\xBF", false},
        {"\xF4\x90\x80\x80", false},
        {"\xF5\x80\x80\x80", false},
        {"\xF0\x90\x80", false},
        {"\xFF", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(walsh_utf8_valid(cases[i].text, strlen(cases[i].text)), cases[i].valid);
    assert_string_equal(walsh_show("caf\xC3\xA9\n\x7F").text, "caf\xC3\xA9??");
    assert_string_equal(walsh_show("caf\xC3").text, "caf?");
    char longer[200], expected[100];
    memset(longer, 'x', 199), longer[199] = 0;
    memcpy(longer + 79, "\xC3\xA9", 2); /* the cut after 80 bytes would halve it */
    snprintf(expected, sizeof expected, "%.79s...", longer);
    assert_string_equal(walsh_show(longer).text, expected);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_by_hand),
        cmocka_unit_test(reads_by_hand),
        cmocka_unit_test(many_tensors),
        cmocka_unit_test(metadata_round_trip),
        cmocka_unit_test(converts_halves),
        cmocka_unit_test(unaligned),
        cmocka_unit_test(refuses_lies),
        cmocka_unit_test(refuses_lengths),
        cmocka_unit_test(refuses_every_truncation),
        cmocka_unit_test(survives_every_byte),
        cmocka_unit_test(survives_deep_nesting),
        cmocka_unit_test(writer_refuses),
        cmocka_unit_test(utf8),
    };
    return cmocka_run_group_tests(tests, setup, temp_leave);
}
