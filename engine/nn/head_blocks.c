#include "engine/nn/head_blocks.h"

#include <math.h>
#include <stdlib.h>

#include "engine/base/rng.h"
#include "engine/base/status.h"
#include "engine/nn/head_signs.h"

/* So many draws in a row without a new block mean that there is none: the last of a Sylvester matrix with N = 16 takes
 * 2048 draws on average. */
enum { PATIENCE = 1 << 15 };

void walsh_head_draw(uint64_t seed, uint32_t draw, size_t count, float *signs)
{
    walsh_rng rng = walsh_rng_make(seed, WALSH_RNG_HEAD, draw);
    uint32_t words[4];
    for (size_t i = 0; i < count; i++) {
        if (i % 128 == 0) walsh_rng_words(rng, i / 128, words);
        signs[i] = words[i / 32 % 4] >> i % 32 & 1 ? -1.0f : 1.0f;
    }
}

/* What rows there are so far, but for their sign: fingerprints in an open hash table, 0 where a place is free. */
typedef struct rows {
    size_t n, places; /* N; a power of two */
    uint64_t *mark;   /* [N][N][2]: what entry k of row r of T adds to a fingerprint, positive and negative */
    int *lead;        /* [N]: the first entry of row r that is not zero, which is made positive */
    float *lead_sign; /* [N] */
    uint64_t *place;
    uint64_t *block; /* [N]: fingerprints of one block */
} rows;

static void rows_close(rows *r)
{
    free(r->mark), free(r->lead), free(r->lead_sign), free(r->place), free(r->block);
}

/* Bits as good as random (Steele, Lea, Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014). */
static uint64_t mix(uint64_t x)
{
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

/* Entries of T are multiples of 2^-18 or far from each other: 2^-20 tells them apart in spite of rounding. */
static uint64_t mark_of(size_t k, double entry)
{
    return mix((uint64_t)k << 32 ^ (uint32_t)(int32_t)lrint(entry * 0x1p20));
}

static void mark_row(rows *t, size_t r, const double *row)
{
    size_t n = t->n;
    t->lead[r] = -1;
    for (size_t k = 0; k < n; k++) {
        t->mark[(r * n + k) * 2] = mark_of(k, row[k]);
        t->mark[(r * n + k) * 2 + 1] = mark_of(k, -row[k]);
        if (t->lead[r] < 0 && fabs(row[k]) > 0x1p-20) {
            t->lead[r] = (int)k;
            t->lead_sign[r] = row[k] < 0 ? -1.0f : 1.0f;
        }
    }
}

static walsh_status rows_open(const walsh_head_basis *basis, rows *t)
{
    size_t n = (size_t)basis->form.features, needed = 2 * n * (size_t)basis->form.blocks;
    static const char what[] = "rows of a head, to skip what repeats";
    *t = (rows){.n = n, .places = 1};
    while (t->places < needed) t->places *= 2;
    double *row = NULL;
    walsh_status status = walsh_alloc(&t->mark, 2 * n * n, sizeof *t->mark, what);
    if (!status) status = walsh_alloc(&t->lead, n, sizeof *t->lead, what);
    if (!status) status = walsh_alloc(&t->lead_sign, n, sizeof *t->lead_sign, what);
    if (!status) status = walsh_alloc(&t->place, t->places, sizeof *t->place, what);
    if (!status) status = walsh_alloc(&t->block, n, sizeof *t->block, what);
    if (!status) status = walsh_alloc(&row, n, sizeof *row, what);
    for (size_t r = 0; r < n && !status; r++) {
        for (size_t k = 0; k < n; k++) row[k] = k == r;
        walsh_head_basis_apply(basis, true, row);
        mark_row(t, r, row);
    }
    free(row);
    if (status) rows_close(t);
    return status;
}

/* The place of a fingerprint, or the free one where it would stand. */
static uint64_t *rows_find(const rows *t, uint64_t fingerprint)
{
    size_t i = fingerprint & (t->places - 1);
    while (t->place[i] && t->place[i] != fingerprint) i = (i + 1) & (t->places - 1);
    return t->place + i;
}

/* Takes a block of rows up, unless one of them is there. */
static bool rows_add(rows *t, const float *signs)
{
    size_t n = t->n;
    for (size_t r = 0; r < n; r++) {
        bool negative = t->lead_sign[r] * signs[t->lead[r]] < 0;
        uint64_t sum = 0;
        for (size_t k = 0; k < n; k++) sum += t->mark[(r * n + k) * 2 + ((signs[k] < 0) != negative)];
        t->block[r] = sum ? sum : 1;
        if (*rows_find(t, t->block[r])) return false;
    }
    for (size_t r = 0; r < n; r++) *rows_find(t, t->block[r]) = t->block[r];
    return true;
}

/* Fills the first `count` blocks: signs of head_signs.h for the last factor P, those of a draw for the others. */
static walsh_status structured(walsh_head_basis *basis, int count, uint64_t seed)
{
    size_t n = (size_t)basis->form.features, p = (size_t)basis->form.power;
    float *inner = NULL, *outer = NULL;
    walsh_status status = walsh_alloc(&inner, p * (size_t)count, sizeof *inner, "head signs");
    if (!status) status = walsh_alloc(&outer, n / p, sizeof *outer, "head signs");
    if (!status) status = walsh_head_signs((int)p, 1, count, inner);
    for (size_t a = 0; a < (size_t)count && !status; a++) {
        outer[0] = 1;
        if (n > p) walsh_head_draw(seed, (uint32_t)a + 1, n / p, outer);
        for (size_t k = 0; k < n; k++) basis->signs[a * n + k] = outer[k / p] * inner[a * p + k % p];
    }
    free(inner), free(outer);
    return status;
}

/* Fills the blocks from `first` on with draws. */
static walsh_status drawn(walsh_head_basis *basis, int first, uint64_t seed, rows *seen)
{
    size_t n = (size_t)basis->form.features;
    uint32_t draw = basis->form.transform == WALSH_TRANSFORM_PALEY ? (uint32_t)first : 0; /* the last one used */
    for (int a = 0; seen && a < first; a++) rows_add(seen, basis->signs + (size_t)a * n);
    for (int a = first; a < basis->form.blocks; a++) {
        float *signs = basis->signs + (size_t)a * n;
        int patience = PATIENCE;
        do {
            if (patience-- == 0)
                WALSH_FAIL(WALSH_E_ARGUMENT,
                           "a hadamard head of %zu features with seed %llu has no more than %d blocks", n,
                           (unsigned long long)seed, a);
            walsh_head_draw(seed, ++draw, n, signs);
        } while (seen && !rows_add(seen, signs));
    }
    return WALSH_OK;
}

walsh_status walsh_head_blocks(walsh_head_basis *basis, uint64_t seed)
{
    int first = walsh_head_structured_blocks(&basis->form);
    if (first > 0) WALSH_TRY(structured(basis, first, seed));
    if (first == basis->form.blocks) return WALSH_OK;
    if (basis->form.features > WALSH_HEAD_CROWDED) return drawn(basis, first, seed, NULL);
    rows seen;
    WALSH_TRY(rows_open(basis, &seen));
    walsh_status status = drawn(basis, first, seed, &seen);
    rows_close(&seen);
    return status;
}
