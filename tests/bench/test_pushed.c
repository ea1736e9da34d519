#include "bench/pushed.h"

#include "support/check.h"
#include "support/guard.h"

#include <errno.h>

/** The text of an object's data, in memory that ends at an unreadable page; expected NULL: it has none. */
static void check(const char *object, const char *expected)
{
    buf room = {0};
    str data;
    bench_pushed pushed;
    guard copy = guard_copy(object, strlen(object));
    assert_true(bench_pushed_read((str){copy.at, strlen(object)}, &pushed));
    assert_int_equal(pushed.data.at != NULL, expected != NULL);
    if (expected) {
        assert_int_equal(bench_pushed_text(pushed.data, &room, &data), 0);
        assert_true(str_equal(data, str_from(expected)));
    }
    buf_done(&room);
    guard_free(copy);
}

static void pushed__only_objects_are_objects(void **state)
{
    static const char *const others[] = {"",    " ",        "{",    "[1]",  "\"{}\"",
                                         "{}x", "{\"a\":}", "null", "\xff", "{\"a\":\"\xff\"}"};
    bench_pushed pushed;
    (void)state;
    for (size_t i = 0; i < N_OF(others); i++) {
        guard copy = guard_copy(others[i], strlen(others[i]));
        assert_false(bench_pushed_read((str){copy.at, strlen(others[i])}, &pushed));
        guard_free(copy);
    }
    assert_true(bench_pushed_read(STR("{}"), &pushed));
    assert_true(bench_pushed_read(STR(" {\"a\": [1]} "), &pushed));
}

static void pushed__data_of_a_message(void **state)
{
    (void)state;
    check("{\"id\":\"5f-1\",\"type\":\"text\",\"data\":\"hello\"}", "hello");
    check("{\"data\":\"\"}", "");
    check("{\"data\":\"a\\n\\u00e4\\\"\"}", "a\n\xc3\xa4\"");
    check("{\"a\":{\"data\":\"x\"},\"data\":\"y\"}", "y");
    check("{\"data\":{\"n\": 3}}", "{\"n\": 3}");
    check("{\"data\":null}", "null");
    check("{\"n\":3}", NULL);
    check("{}", NULL);
}

static void pushed__half_a_pair_is_no_text(void **state)
{
    buf room = {0};
    str data;
    (void)state;
    assert_int_equal(bench_pushed_text(STR("\"\\udc00\""), &room, &data), WEFT_E_UTF8);
    buf_done(&room);
}

static int decode(void)
{
    buf room = {0};
    str data;
    int result = bench_pushed_text(STR("\"\\n\""), &room, &data);
    assert_true(result == 0 || result == -ENOMEM);
    buf_done(&room);
    return result;
}

static void pushed__says_when_there_is_no_memory(void **state)
{
    (void)state;
    check_failing_allocations(decode);
}

static void pushed__what_an_answer_says(void **state)
{
    bench_pushed pushed;
    (void)state;
    assert_true(bench_pushed_read(STR("{\"messages\":[1],\"cursor\":\"a\",\"gap\":true}"), &pushed));
    assert_true(str_equal(pushed.messages, STR("[1]")));
    assert_true(str_equal(pushed.cursor, STR("\"a\"")));
    assert_true(pushed.is_gap);
    pushed = bench_pushed_inside(STR("{\"a\":{\"gap\":true,\"cursor\":1},\"gap\":false}"));
    assert_false(pushed.is_gap);
    assert_null(pushed.cursor.at);
    assert_null(bench_pushed_inside(STR("[{\"data\":1}]")).data.at);
    assert_null(bench_pushed_inside(STR("1")).data.at);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pushed__only_objects_are_objects), cmocka_unit_test(pushed__data_of_a_message),
        cmocka_unit_test(pushed__half_a_pair_is_no_text),   cmocka_unit_test(pushed__says_when_there_is_no_memory),
        cmocka_unit_test(pushed__what_an_answer_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
