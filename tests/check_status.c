/* Messages and memory: what every other part relies on. */
#include "tests/check.h"

#include <malloc.h>
#include <stdint.h>
#include <stdlib.h>

#include "engine/base/status.h"

/* Elements keep their values while the array grows, there is room for one more each time, and growth is rare. */
static void arrays_grow(void **state)
{
    (void)state;
    typedef struct element {
        size_t number, again[2];
    } element;
    element *array = NULL, *before = NULL;
    size_t moves = 0;
    for (size_t count = 0; count < 5000; count++) {
        assert_ok(walsh_grow(&array, count, sizeof *array, "elements"));
        assert_true(malloc_usable_size(array) >= (count + 1) * sizeof *array);
        moves += array != before;
        before = array;
        array[count] = (element){count, {count, count}};
    }
    for (size_t i = 0; i < 5000; i++) assert_true(array[i].number == i && array[i].again[1] == i);
    assert_in_range(moves, 1, 10);
    free(array);
}

/* Elements may be dropped from the end: the room for the next is still there, wherever the count turns round. */
static void arrays_grow_again_after_they_shrank(void **state)
{
    (void)state;
    for (size_t most = 1; most < 140; most++)
        for (size_t least = 0; least < most; least++) {
            size_t *array = NULL, count = 0;
            for (; count < most; count++) {
                assert_ok(walsh_grow(&array, count, sizeof *array, "elements"));
                array[count] = count;
            }
            for (count = least; count < most + 20; count++) {
                assert_ok(walsh_grow(&array, count, sizeof *array, "elements"));
                assert_true(malloc_usable_size(array) >= (count + 1) * sizeof *array);
                array[count] = count;
            }
            for (size_t i = 0; i < count; i++) assert_int_equal(array[i], i);
            free(array);
        }
}

/* What cannot be had is refused, and the array is as it was. */
static void arrays_that_cannot_grow_stay(void **state)
{
    (void)state;
    int *array = NULL;
    assert_ok(walsh_grow(&array, 0, sizeof *array, "numbers"));
    int *before = array;
    array[0] = 7;
    assert_fails(WALSH_E_MEMORY, "for numbers", walsh_grow(&array, (size_t)1 << 62, sizeof *array, "numbers"));
    assert_fails(WALSH_E_MEMORY, "for numbers", walsh_grow(&array, (size_t)1 << 60, sizeof *array, "numbers"));
    assert_ptr_equal(array, before);
    assert_int_equal(array[0], 7);
    free(array);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arrays_grow),
        cmocka_unit_test(arrays_grow_again_after_they_shrank),
        cmocka_unit_test(arrays_that_cannot_grow_stay),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
