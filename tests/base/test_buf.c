#include "base/buf.h"
#include "support/check.h"
#include "support/guard.h"
#include <errno.h>

static void buf__zeroed_is_empty(void **state)
{
    (void)state;
    buf b = {0};
    assert_int_equal(buf_str(&b).len, 0);
    assert_int_equal(buf_put(&b, NULL, 0), 0);
    assert_int_equal(buf_put_str(&b, (str){NULL, 0}), 0);
    assert_int_equal(buf_reserve(&b, 0), 0);
    assert_null(b.at);
    buf_done(&b);
}

static void buf__appends_in_order(void **state)
{
    (void)state;
    buf b = {0};
    guard piece = guard_copy("one ", 4);
    assert_int_equal(buf_put(&b, piece.at, 4), 0);
    assert_int_equal(buf_put_str(&b, STR("two ")), 0);
    assert_int_equal(buf_put_text(&b, "three "), 0);
    assert_int_equal(buf_printf(&b, "%d %s", 4, "five"), 0);
    assert_true(str_equal(buf_str(&b), STR("one two three 4 five")));
    guard_free(piece);
    buf_done(&b);
}

static void buf__is_usable_after_done(void **state)
{
    (void)state;
    buf b = {0};
    buf_put_text(&b, "old");
    buf_done(&b);
    assert_null(b.at);
    assert_int_equal(b.len, 0);
    assert_int_equal(b.cap, 0);
    assert_int_equal(buf_put_text(&b, "new"), 0);
    assert_true(str_equal(buf_str(&b), STR("new")));
    buf_done(&b);
    buf_done(&b);
}

static void buf__growth_at_least_doubles(void **state)
{
    (void)state;
    buf b = {0};
    uint64_t before = mem_count();
    for (size_t i = 0; i < 100000; i++) {
        size_t cap = b.cap;
        assert_int_equal(buf_put(&b, "x", 1), 0);
        assert_true(b.cap == cap || b.cap >= 2 * cap);
    }
    assert_int_equal(b.len, 100000);
    assert_true(mem_count() - before <= 17);
    buf_done(&b);
}

static void buf__reserve_is_room_without_allocation(void **state)
{
    (void)state;
    buf b = {0};
    buf_put_text(&b, "head");
    assert_int_equal(buf_reserve(&b, 10000), 0);
    assert_int_equal(b.len, 4);
    assert_true(b.cap - b.len >= 10000);
    uint64_t before = mem_count();
    char piece[100] = {0};
    for (size_t i = 0; i < 100; i++)
        assert_int_equal(buf_put(&b, piece, sizeof piece), 0);
    assert_int_equal(mem_count(), before);
    buf_done(&b);
}

static void buf__refuses_a_length_that_would_wrap(void **state)
{
    (void)state;
    buf b = {0};
    buf_put_text(&b, "head");
    buf before = b;
    assert_int_equal(buf_reserve(&b, SIZE_MAX), -ENOMEM);
    assert_int_equal(buf_reserve(&b, SIZE_MAX - 3), -ENOMEM);
    assert_int_equal(buf_reserve(&b, SIZE_MAX / 2), -ENOMEM);
    assert_memory_equal(&b, &before, sizeof b);
    buf_done(&b);
}

static void buf__printf_takes_1023_bytes_and_no_more(void **state)
{
    (void)state;
    buf b = {0};
    assert_int_equal(buf_printf(&b, "%*s", 1023, "x"), 0);
    assert_int_equal(b.len, 1023);
    assert_int_equal(b.at[1022], 'x');
    assert_int_equal(buf_printf(&b, "%*s", 1024, "x"), WEFT_E_TOO_LARGE);
    assert_int_equal(b.len, 1023);
    assert_int_equal(buf_printf(&b, "%s", ""), 0);
    assert_int_equal(b.len, 1023);
    buf_done(&b);
}

static void buf__failed_append_changes_nothing(void **state)
{
    (void)state;
    char large[1000] = {0};
    buf b = {0};
    buf_put_text(&b, "kept");
    buf before = b;
    mem_fail_from(1);
    assert_int_equal(buf_put(&b, large, sizeof large), -ENOMEM);
    assert_int_equal(buf_printf(&b, "%*s", 900, ""), -ENOMEM);
    assert_int_equal(buf_reserve(&b, 1000), -ENOMEM);
    mem_fail_from(0);
    assert_memory_equal(&b, &before, sizeof b);
    assert_true(str_equal(buf_str(&b), STR("kept")));
    buf_done(&b);
}

static int build_something(void)
{
    buf b = {0};
    int error = 0;
    for (int i = 0; i < 300 && !error; i++) {
        size_t len = b.len;
        error = buf_printf(&b, "%d,", i);
        assert_true(error == 0 || (error == -ENOMEM && b.len == len));
    }
    assert_true(error || b.len == 10 * 2 + 90 * 3 + 200 * 4);
    buf_done(&b);
    return error;
}

static void buf__survives_any_failed_allocation(void **state)
{
    (void)state;
    check_failing_allocations(build_something);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(buf__zeroed_is_empty),
        cmocka_unit_test(buf__appends_in_order),
        cmocka_unit_test(buf__is_usable_after_done),
        cmocka_unit_test(buf__growth_at_least_doubles),
        cmocka_unit_test(buf__reserve_is_room_without_allocation),
        cmocka_unit_test(buf__refuses_a_length_that_would_wrap),
        cmocka_unit_test(buf__printf_takes_1023_bytes_and_no_more),
        cmocka_unit_test(buf__failed_append_changes_nothing),
        cmocka_unit_test(buf__survives_any_failed_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
