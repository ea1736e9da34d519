#include "bench/events.h"

#include "support/check.h"
#include "support/guard.h"

#include <errno.h>

/** Each event as "type:data;" */
static buf said;

static void take(bench_events *events, const char *bytes, size_t len)
{
    guard copy = guard_copy(bytes, len);
    str in = {copy.at, len};
    bench_event event;
    int got;
    while ((got = bench_events_next(events, &in, &event)) == 1) {
        buf_put_str(&said, event.type);
        buf_put_text(&said, ":");
        buf_put_str(&said, event.data);
        buf_put_text(&said, ";");
    }
    assert_int_equal(got, 0);
    assert_int_equal(in.len, 0);
    guard_free(copy);
}

static void check_pieces(const char *script, size_t first, size_t piece, const char *expected)
{
    bench_events events = {0};
    size_t len = strlen(script);
    said.len = 0;
    for (size_t at = 0, n = first; at < len; at += n, n = piece) {
        n = n < len - at ? n : len - at;
        take(&events, script + at, n);
    }
    buf_put(&said, "", 1);
    assert_string_equal(said.at, expected);
    bench_events_done(&events);
    buf_done(&said);
}

/** Whole, cut once at each place, and byte by byte. */
static void check(const char *script, const char *expected)
{
    size_t len = strlen(script);
    check_pieces(script, 1, 1, expected);
    for (size_t cut = 1; cut <= len; cut++)
        check_pieces(script, cut, len, expected);
}

static void events__data_is_told_at_an_empty_line(void **state)
{
    (void)state;
    check("data: a\n\n", ":a;");
    check("data: a\n\ndata: b\n\n", ":a;:b;");
    check("data: a\n", "");
    check("data: a", "");
    check("\n\n\n", "");
}

static void events__lines_of_data_are_joined(void **state)
{
    (void)state;
    check("data: a\ndata: b\n\n", ":a\nb;");
    check("data: a\ndata\ndata:\ndata: b\n\n", ":a\n\n\nb;");
    check("data\ndata\n\ndata: c\n\n", ":\n;:c;");
}

static void events__data_may_be_empty(void **state)
{
    (void)state;
    check("data\n\n", ":;");
    check("data:\n\n", ":;");
    check("data: \n\n", ":;");
    check("data:\n\ndata: a\n\n", ":;:a;");
}

static void events__one_space_goes(void **state)
{
    (void)state;
    check("data:a\n\ndata:  a \n\ndata::\n\n", ":a;: a ;::;");
}

static void events__line_ends_of_all_kinds(void **state)
{
    (void)state;
    check("data: a\r\n\r\ndata: b\r\n\r\n", ":a;:b;");
    check("data: a\r\rdata: b\r\r", ":a;:b;");
    check("data: a\rdata: b\n\r\ndata: c\n\r", ":a\nb;:c;");
    check("data: a\r\ndata: b\r\n\n", ":a\nb;");
}

static void events__an_event_has_a_type(void **state)
{
    (void)state;
    check("event: e\ndata: a\n\ndata: b\n\n", "e:a;:b;");
    check("data: a\nevent: e\nevent: f\n\n", "f:a;");
    check("event: e\n\ndata: a\n\n", ":a;");
}

static void events__other_lines_are_passed_over(void **state)
{
    (void)state;
    check(": comment\n\nid: 5\nretry: 3\nno field\ndatax: b\n data: c\ndata: a\n:\n\n", ":a;");
    check("id: 5\n\n:data: a\n\n", "");
}

static void events__a_byte_order_mark_at_the_front_goes(void **state)
{
    (void)state;
    check("\xEF\xBB\xBF"
          "data: a\n\n",
          ":a;");
    check("data: a\n\n\xEF\xBB\xBF"
          "data: b\n\n",
          ":a;");
}

static int read_all_failing(void)
{
    bench_events events = {0};
    bench_event event;
    str first = STR("event: type\ndata: one\nda"), second = STR("ta: two\n\n");
    int got = bench_events_next(&events, &first, &event);
    if (got == 0)
        got = bench_events_next(&events, &second, &event);
    bench_events_done(&events);
    assert_true(got == 1 || got == -ENOMEM);
    return got;
}

static void events__says_when_there_is_no_memory(void **state)
{
    (void)state;
    check_failing_allocations(read_all_failing);
}

static void events__data_of_one_line_is_not_copied(void **state)
{
    bench_events events = {0};
    bench_event event;
    str in = STR("id: 1\ndata: hello\n\n");
    const char *hello = in.at + 12;
    (void)state;
    assert_int_equal(bench_events_next(&events, &in, &event), 1);
    assert_ptr_equal(event.data.at, hello);
    bench_events_done(&events);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(events__data_is_told_at_an_empty_line),
        cmocka_unit_test(events__lines_of_data_are_joined),
        cmocka_unit_test(events__data_may_be_empty),
        cmocka_unit_test(events__one_space_goes),
        cmocka_unit_test(events__line_ends_of_all_kinds),
        cmocka_unit_test(events__an_event_has_a_type),
        cmocka_unit_test(events__other_lines_are_passed_over),
        cmocka_unit_test(events__a_byte_order_mark_at_the_front_goes),
        cmocka_unit_test(events__says_when_there_is_no_memory),
        cmocka_unit_test(events__data_of_one_line_is_not_copied),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
