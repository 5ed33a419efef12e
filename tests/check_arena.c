/* The placement of blocks in shared memory: no overlap in place and time, little waste, limits respected. No device is
 * needed: only what is known about one. */
#include "tests/check.h"

#include "engine/base/rng.h"
#include "engine/op/arena.h"

enum { STEPS = 60 };

static walsh_device fake = {.info = {.name = "fake"}};

static walsh_arena *make_arena(uint64_t max_alloc)
{
    walsh_arena *arena = NULL;
    fake.info.max_alloc = max_alloc;
    fake.info.memory = UINT64_MAX;
    assert_ok(walsh_arena_create(&fake, &arena));
    return arena;
}

/* Lives as a network's: most are short, some reach from the forward to the backward pass. */
static void draw(walsh_block *blocks, int count, uint64_t seed, uint32_t largest)
{
    const walsh_rng rng = {seed, 0};
    for (int i = 0; i < count; i++) {
        uint64_t at = 3 * (uint64_t)i;
        int first = (int)walsh_rng_below(rng, at, STEPS);
        int length = (int)walsh_rng_below(rng, at + 1, i % 4 ? 3 : STEPS);
        blocks[i] = (walsh_block){.bytes = 1 + walsh_rng_below(rng, at + 2, largest),
                                  .first = first,
                                  .last = first + length < STEPS ? first + length : STEPS - 1};
    }
}

static void assert_apart(const walsh_block *blocks, int count, uint64_t max_alloc)
{
    for (int i = 0; i < count; i++) {
        const walsh_block *a = &blocks[i];
        assert_true(a->offset % 256 == 0);
        assert_true(a->offset + a->bytes <= max_alloc);
        for (int j = 0; j < i; j++) {
            const walsh_block *b = &blocks[j];
            bool together = a->first <= b->last && b->first <= a->last;
            bool overlap = a->chunk == b->chunk && a->offset < b->offset + b->bytes && b->offset < a->offset + a->bytes;
            if (together && overlap) fail_msg("blocks %d and %d share memory during the same step", j, i);
        }
    }
}

/* The most bytes that are needed at one time: no placement can do with less. */
static size_t lower_bound(const walsh_block *blocks, int count)
{
    size_t most = 0;
    for (int step = 0; step < STEPS; step++) {
        size_t live = 0;
        for (int i = 0; i < count; i++)
            if (blocks[i].first <= step && step <= blocks[i].last) live += (blocks[i].bytes + 255) / 256 * 256;
        if (live > most) most = live;
    }
    return most;
}

static void random_blocks(void **state)
{
    enum { COUNT = 120 };
    (void)state;
    for (uint64_t seed = 1; seed <= 40; seed++) {
        walsh_block blocks[COUNT];
        draw(blocks, COUNT, seed, 1 << 20);
        walsh_arena *arena = make_arena(UINT32_MAX);
        assert_ok(walsh_arena_place(arena, blocks, COUNT));
        assert_apart(blocks, COUNT, UINT32_MAX);
        size_t bound = lower_bound(blocks, COUNT), used = walsh_arena_bytes(arena);
        assert_true(used >= bound);
        if ((double)used > 1.3 * (double)bound)
            fail_msg("seed %d: %zu bytes where %zu would do", (int)seed, used, bound);
        walsh_arena_destroy(&arena);
    }
}

static void small_allocations(void **state)
{
    enum { COUNT = 80 };
    const uint64_t max_alloc = 3 << 20;
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        walsh_block blocks[COUNT];
        draw(blocks, COUNT, seed, 1 << 20);
        walsh_arena *arena = make_arena(max_alloc);
        assert_ok(walsh_arena_place(arena, blocks, COUNT));
        assert_apart(blocks, COUNT, max_alloc);
        int chunks = 0;
        for (int i = 0; i < COUNT; i++)
            if (blocks[i].chunk >= chunks) chunks = blocks[i].chunk + 1;
        assert_true(chunks > 1);
        assert_true(walsh_arena_bytes(arena) <= (size_t)chunks * max_alloc);
        walsh_arena_destroy(&arena);
    }
}

/* Plans that do not run together share the memory of the larger one. */
static void two_plans(void **state)
{
    walsh_block large[] = {{.bytes = 1 << 20, .first = 0, .last = 1}, {.bytes = 1 << 20, .first = 1, .last = 2}};
    walsh_block small[] = {{.bytes = 1 << 19, .first = 0, .last = 5}};
    walsh_arena *arena = make_arena(UINT32_MAX);
    (void)state;
    assert_ok(walsh_arena_place(arena, large, 2));
    assert_ok(walsh_arena_place(arena, small, 1));
    assert_int_equal(walsh_arena_bytes(arena), 2 << 20);
    walsh_arena_destroy(&arena);
    assert_null(arena);
    walsh_arena_destroy(&arena);
}

/* The same blocks are placed in the same way, in whatever state the memory is. */
static void repeatable(void **state)
{
    enum { COUNT = 100 };
    walsh_block a[COUNT], b[COUNT];
    (void)state;
    draw(a, COUNT, 7, 1000); /* many of equal aligned size */
    memcpy(b, a, sizeof a);
    walsh_arena *arena = make_arena(UINT32_MAX);
    assert_ok(walsh_arena_place(arena, a, COUNT));
    assert_ok(walsh_arena_place(arena, b, COUNT));
    for (int i = 0; i < COUNT; i++) assert_true(a[i].offset == b[i].offset && a[i].chunk == b[i].chunk);
    walsh_arena_destroy(&arena);
}

static void limits(void **state)
{
    walsh_block block = {.bytes = 5 << 20, .first = 0, .last = 0};
    walsh_arena *arena = make_arena(4 << 20);
    (void)state;
    assert_fails(WALSH_E_MEMORY, "5 MiB is needed; fake allows 4 MiB", walsh_arena_place(arena, &block, 1));
    block.bytes = 4 << 20;
    assert_ok(walsh_arena_place(arena, &block, 1));
    fake.info.memory = 3 << 20;
    assert_fails(WALSH_E_MEMORY, "need 4 MiB; fake has 3 MiB", walsh_arena_commit(arena));
    walsh_arena_destroy(&arena);

    walsh_block many[65];
    for (int i = 0; i < 65; i++) many[i] = (walsh_block){.bytes = 1 << 20, .first = 0, .last = 0};
    arena = make_arena(1 << 20);
    assert_fails(WALSH_E_MEMORY, "over 64 buffers of 1 MiB", walsh_arena_place(arena, many, 65));
    walsh_arena_destroy(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_blocks), cmocka_unit_test(small_allocations),
        cmocka_unit_test(two_plans),     cmocka_unit_test(repeatable),
        cmocka_unit_test(limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
