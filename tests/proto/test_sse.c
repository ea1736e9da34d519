#include "proto/sse.h"

#include "base/buf.h"
#include "support/check.h"
#include "support/guard.h"

/** The event encoded into room with no byte to spare, from data that ends at an unreadable page. */
static buf encoded(const sse_event *event)
{
    guard data = guard_copy(event->data.at, event->data.len);
    sse_event copy = {event->id, event->event, {data.at, event->data.len}};
    size_t len = sse_event_len(&copy);
    buf out = {0};
    assert_int_equal(buf_reserve(&out, len), 0);
    memset(out.at, '#', len);
    guard room = guard_copy(out.at, len);
    assert_int_equal(sse_event_put(room.at, &copy), len);
    buf_put(&out, room.at, len);
    guard_free(room);
    guard_free(data);
    return out;
}

static void check_event(str id, str event, str data, const char *expected)
{
    buf out = encoded(&(sse_event){id, event, data});
    assert_true(str_equal(buf_str(&out), str_from(expected)));
    buf_done(&out);
}

static void sse__writes_the_fields_that_are_set(void **state)
{
    str none = {NULL, 0};
    (void)state;
    check_event(none, none, STR("hello"), "data: hello\n\n");
    check_event(STR("5f-1"), none, STR("hello"), "id: 5f-1\ndata: hello\n\n");
    check_event(none, STR("price"), STR("3"), "event: price\ndata: 3\n\n");
    check_event(STR("5f-1"), STR("price"), STR("{\"EUR\":3}"), "id: 5f-1\nevent: price\ndata: {\"EUR\":3}\n\n");
    check_event(STR(""), STR(""), STR("x"), "data: x\n\n");
}

static void sse__empty_data_is_a_line(void **state)
{
    str none = {NULL, 0};
    (void)state;
    check_event(none, none, none, "data: \n\n");
    check_event(none, none, STR(""), "data: \n\n");
    check_event(STR("1"), STR("e"), none, "id: 1\nevent: e\ndata: \n\n");
}

static void sse__splits_at_every_line_end(void **state)
{
    str none = {NULL, 0};
    (void)state;
    check_event(none, none, STR("a\nb"), "data: a\ndata: b\n\n");
    check_event(none, none, STR("a\rb"), "data: a\ndata: b\n\n");
    check_event(none, none, STR("a\r\nb"), "data: a\ndata: b\n\n");
    check_event(none, none, STR("a\n\rb"), "data: a\ndata: \ndata: b\n\n");
    check_event(none, none, STR("a\n"), "data: a\ndata: \n\n");
    check_event(none, none, STR("a\r"), "data: a\ndata: \n\n");
    check_event(none, none, STR("a\r\n"), "data: a\ndata: \n\n");
    check_event(none, none, STR("\n"), "data: \ndata: \n\n");
    check_event(none, none, STR("\r\r\n"), "data: \ndata: \ndata: \n\n");
    check_event(none, none, STR(" a\n : b"), "data:  a\ndata:  : b\n\n");
    check_event(none, none, STR("id: 5\n\nevent: e"), "data: id: 5\ndata: \ndata: event: e\n\n");
}

/** What a browser has of an event stream. */
typedef struct {
    buf id, event, data;
    int n_dispatched;
    buf dispatched; /* the data of the last one */
} browser;

/** WHATWG HTML §9.2.6, "process the field". */
static void process_field(browser *b, str name, str value)
{
    if (str_equal(name, STR("data"))) {
        buf_put_str(&b->data, value);
        buf_put_text(&b->data, "\n");
    } else if (str_equal(name, STR("id")) || str_equal(name, STR("event"))) {
        buf *field = str_equal(name, STR("id")) ? &b->id : &b->event;
        field->len = 0;
        buf_put_str(field, value);
    }
}

static void process_line(browser *b, str line)
{
    if (line.len == 0) {
        if (b->data.len == 0)
            return;
        b->n_dispatched++;
        b->dispatched.len = 0;
        buf_put(&b->dispatched, b->data.at, b->data.len - 1);
        b->data.len = 0;
        return;
    }
    str name = {NULL, 0}, value = line;
    if (!str_split(&value, ':', &name) || name.len == 0) /* a comment */
        return;
    if (value.len && value.at[0] == ' ')
        value = (str){value.at + 1, value.len - 1};
    process_field(b, name, value);
}

/** Lines end in CR, LF or CRLF for a browser, too: none but LF may be there. */
static void browse(browser *b, str stream)
{
    assert_null(memchr(stream.at, '\r', stream.len));
    assert_true(stream.len > 1 && stream.at[stream.len - 1] == '\n' && stream.at[stream.len - 2] == '\n');
    stream.len--; /* behind the last line end is no line */
    for (str line; str_split(&stream, '\n', &line);)
        process_line(b, line);
}

/** CRLF and CR as LF. */
static buf normal(str data)
{
    buf b = {0};
    for (size_t i = 0; i < data.len; i++) {
        if (data.at[i] == '\r' && i + 1 < data.len && data.at[i + 1] == '\n')
            continue;
        buf_put(&b, data.at[i] == '\r' ? "\n" : data.at + i, 1);
    }
    return b;
}

static void check_browsed(str data)
{
    browser b = {0};
    buf out = encoded(&(sse_event){STR("7-1"), STR(" e"), data}), expected = normal(data);
    browse(&b, buf_str(&out));
    assert_int_equal(b.n_dispatched, 1);
    assert_true(str_equal(buf_str(&b.dispatched), buf_str(&expected)));
    assert_true(str_equal(buf_str(&b.id), STR("7-1")));
    assert_true(str_equal(buf_str(&b.event), STR(" e")));
    buf_done(&b.id);
    buf_done(&b.event);
    buf_done(&b.data);
    buf_done(&b.dispatched);
    buf_done(&expected);
    buf_done(&out);
}

static void sse__a_browser_has_every_short_text(void **state)
{
    static const char letters[] = {'\r', '\n', ' ', ':', 'a'};
    (void)state;
    for (size_t len = 0; len <= 5; len++) {
        size_t n_texts = 1;
        for (size_t i = 0; i < len; i++)
            n_texts *= sizeof letters;
        for (size_t n = 0; n < n_texts; n++) {
            char text[5];
            for (size_t i = 0, rest = n; i < len; i++, rest /= sizeof letters)
                text[i] = letters[rest % sizeof letters];
            check_browsed((str){text, len});
        }
    }
}

/* What looks at sixteen bytes at once must see a line end at each place, and nothing else for one. */
static void sse__sees_line_ends_at_each_place(void **state)
{
    static const char *const ends[] = {"\r", "\n", "\r\n"};
    (void)state;
    for (size_t len = 1; len <= 50; len++) {
        for (size_t at = 0; at < len; at++) {
            for (size_t k = 0; k < N_OF(ends); k++) {
                char text[50];
                memset(text, at % 2 ? '\x0b' : '\x8d', sizeof text);
                size_t n = strlen(ends[k]) <= len - at ? strlen(ends[k]) : len - at;
                memcpy(text + at, ends[k], n);
                check_browsed((str){text, len});
            }
        }
    }
}

static void sse__takes_no_other_byte_for_a_line_end(void **state)
{
    (void)state;
    for (int c = 0; c < 256; c++) {
        if (c == '\r' || c == '\n')
            continue;
        for (size_t len = 1; len <= 40; len += 13) {
            char text[40];
            memset(text, c, sizeof text);
            size_t n = sse_event_len(&(sse_event){.data = {text, len}});
            assert_int_equal(n, strlen("data: \n\n") + len);
            check_browsed((str){text, len});
        }
    }
}

static void sse__brings_long_texts_through(void **state)
{
    uint32_t seed = 3;
    (void)state;
    for (int i = 0; i < 500; i++) {
        char text[2000];
        size_t len = 0;
        while (len < sizeof text) {
            seed = seed * 1664525 + 1013904223;
            text[len++] = "\r\naaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"[seed >> 27];
        }
        check_browsed((str){text, (seed >> 8) % sizeof text});
    }
}

static void sse_name_valid__refuses_what_would_end_the_line(void **state)
{
    (void)state;
    assert_true(sse_name_valid((str){NULL, 0}));
    assert_true(sse_name_valid(STR("price")));
    for (int c = 0; c < 256; c++) {
        for (size_t at = 0; at < 20; at++) {
            char name[20];
            memset(name, 'n', sizeof name);
            name[at] = (char)c;
            guard copy = guard_copy(name, sizeof name);
            assert_int_equal(sse_name_valid((str){copy.at, sizeof name}), c != '\r' && c != '\n' && c != '\0');
            guard_free(copy);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sse__writes_the_fields_that_are_set),
        cmocka_unit_test(sse__empty_data_is_a_line),
        cmocka_unit_test(sse__splits_at_every_line_end),
        cmocka_unit_test(sse__a_browser_has_every_short_text),
        cmocka_unit_test(sse__sees_line_ends_at_each_place),
        cmocka_unit_test(sse__takes_no_other_byte_for_a_line_end),
        cmocka_unit_test(sse__brings_long_texts_through),
        cmocka_unit_test(sse_name_valid__refuses_what_would_end_the_line),
    };
    return cmocka_run_group_tests_name("sse", tests, NULL, NULL);
}
