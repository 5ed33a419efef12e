/* Amounts of memory: as text, and of this machine. */
#include "tests/check.h"

#include <stdio.h>

#include "engine/base/bytes.h"
#include "engine/base/host.h"

static void amounts_read_well(void **state)
{
    (void)state;
    static const struct {
        uint64_t bytes;
        const char *text;
    } known[] = {{0, "0 KiB"},
                 {1, "0 KiB"},
                 {1023 * 1024, "1023 KiB"},
                 {(1 << 20) - 1, "1 MiB"},
                 {98 << 20, "98 MiB"},
                 {(1ull << 30) - 1, "1.0 GiB"},
                 {1288490189, "1.2 GiB"},
                 {UINT64_MAX, "17179869184.0 GiB"}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        assert_string_equal(walsh_show_bytes(known[i].bytes).text, known[i].text);
}

/* Some of this machine's memory, by what the system says of it. */
static void memory_is_there(void **state)
{
    (void)state;
    unsigned long long kib = 0;
    FILE *file = fopen("/proc/meminfo", "r");
    if (!file) skip();
    assert_int_equal(fscanf(file, "MemTotal: %llu kB", &kib), 1);
    fclose(file);
    assert_true(walsh_host_memory() > 0 && walsh_host_memory() <= 1024 * kib);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(amounts_read_well),
        cmocka_unit_test(memory_is_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
