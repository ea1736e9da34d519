#include "http/exchange.h"
#include "support/check.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>

static slots the_table;
static pool the_pool;
static slabs the_slabs;
static const exchange_home the_home = {&the_table, &the_pool, &the_slabs};

static int start(void **state)
{
    (void)state;
    the_pool = (pool){0};
    return slots_init(&the_table, 0);
}

static int stop(void **state)
{
    (void)state;
    slots_done(&the_table);
    pool_done(&the_pool);
    slabs_trim(&the_slabs);
    assert_int_equal(the_slabs.n_pages, 0);
    return 0;
}

/* ---- life ---- */

/* What a carrier was asked to answer. */
static http_answer answered;
static char answered_body[64];

static int keep_answer(exchange *e, const http_answer *answer)
{
    answered = *answer;
    snprintf(answered_body, sizeof answered_body, "%.*s", (int)answer->body.len, answer->body.at);
    exchange_free(e);
    return 0;
}

static const exchange_ops carrier = {.answer = keep_answer};

static exchange *fresh(void)
{
    exchange *e = exchange_new(&the_home, &carrier, NULL);
    assert_non_null(e);
    return e;
}

static void exchange__is_found_until_it_is_answered(void **state)
{
    (void)state;
    exchange *e = fresh();
    uint64_t id = e->id;
    assert_ptr_equal(slots_get(&the_table, id, SLOT_EXCHANGE), e);
    assert_null(slots_get(&the_table, id, SLOT_PEER));
    assert_int_equal(exchange_answer(e, &(http_answer){.status = 201, .body = STR("made")}), 0);
    assert_int_equal(answered.status, 201);
    assert_null(slots_get(&the_table, id, SLOT_EXCHANGE));
    exchange_free(fresh());
    assert_null(slots_get(&the_table, id, SLOT_EXCHANGE));
}

static int n_forgotten;

static void forget(exchange *e)
{
    assert_non_null(slots_get(&the_table, e->id, SLOT_EXCHANGE));
    n_forgotten++;
}

static void exchange__that_ends_forgets_its_upgrade(void **state)
{
    (void)state;
    static const held_ops held = {.forget = forget};
    exchange *e = fresh();
    e->held = &held;
    n_forgotten = 0;
    exchange_free(e);
    assert_int_equal(n_forgotten, 1);
}

static void exchange__refusal_has_the_standard_text(void **state)
{
    (void)state;
    exchange_refuse(fresh(), 403, (str){NULL, 0});
    assert_int_equal(answered.status, 403);
    assert_string_equal(answered_body, "Forbidden");
    assert_true(answered.close && !answered.offer_websocket);
    assert_true(str_equal(answered.type, STR("text/plain; charset=utf-8")));
    exchange_refuse(fresh(), 426, STR("go away"));
    assert_string_equal(answered_body, "go away");
    assert_true(answered.close && answered.offer_websocket);
}

static void exchange__new_without_memory(void **state)
{
    (void)state;
    for (uint64_t n = 1; n <= 3; n++) {
        slots table;
        assert_int_equal(slots_init(&table, 0), 0);
        slabs places = {0};
        mem_fail_from(n);
        assert_null(exchange_new(&(exchange_home){&table, &the_pool, &places}, &carrier, NULL));
        mem_fail_from(0);
        slots_done(&table);
        slabs_trim(&places);
        assert_int_equal(places.n_pages, 0);
    }
}

/* ---- fields of the program ---- */

static void exchange__takes_good_fields(void **state)
{
    (void)state;
    exchange *e = fresh();
    assert_int_equal(exchange_add_field(e, STR("X-Name"), STR("value with \t and \xc3\xa9")), 0);
    assert_int_equal(exchange_add_field(e, STR("Set-Cookie"), STR("a=1")), 0);
    assert_int_equal(exchange_add_field(e, STR("Set-Cookie"), STR("b=2")), 0);
    assert_int_equal(exchange_add_field(e, STR("Empty"), STR("")), 0);
    assert_int_equal(exchange_add_field(e, STR("Sec-WebSocket"), STR("x")), 0);
    assert_true(str_equal(buf_str(&e->fields), STR("X-Name: value with \t and \xc3\xa9\r\nSet-Cookie: a=1\r\n"
                                                   "Set-Cookie: b=2\r\nEmpty: \r\nSec-WebSocket: x\r\n")));
    exchange_free(e);
}

static void exchange__refuses_fields_that_break_out(void **state)
{
    (void)state;
    static const struct {
        str name, value;
    } cases[] = {
        {{"X", 1}, {"a\r\nSet-Cookie: b", 16}},
        {{"X", 1}, {"a\nb", 3}},
        {{"X", 1}, {"a\rb", 3}},
        {{"X", 1}, {"a\0b", 3}},
        {{"X", 1}, {"a\x7f", 2}},
        {{"X", 1}, {"\r\n", 2}},
        {{"X:Y", 3}, {"a", 1}},
        {{"X Y", 3}, {"a", 1}},
        {{"X\r\nY", 4}, {"a", 1}},
        {{"", 0}, {"a", 1}},
        {{NULL, 0}, {"a", 1}},
        {{"X\0", 2}, {"a", 1}},
        {{"\xc3\xa9", 2}, {"a", 1}},
        {{"X", 1}, {"\x01", 1}},
    };
    exchange *e = fresh();
    for (size_t i = 0; i < N_OF(cases); i++) {
        assert_false(exchange_field_allowed(cases[i].name, cases[i].value));
        assert_int_equal(exchange_add_field(e, cases[i].name, cases[i].value), WEFT_E_INVALID);
        assert_int_equal(e->fields.len, 0);
    }
    exchange_free(e);
}

static void exchange__refuses_fields_that_frame_the_answer(void **state)
{
    (void)state;
    static const char *const names[] = {
        "Connection",           "CONTENT-LENGTH",         "Date",           "transfer-encoding", "Upgrade", "Trailer",
        "Sec-WebSocket-Accept", "sec-websocket-protocol", "Sec-WebSocket-",
    };
    exchange *e = fresh();
    for (size_t i = 0; i < N_OF(names); i++)
        assert_int_equal(exchange_add_field(e, str_from(names[i]), STR("x")), WEFT_E_INVALID);
    assert_int_equal(e->fields.len, 0);
    exchange_free(e);
}

static void exchange__a_field_without_memory_leaves_nothing(void **state)
{
    (void)state;
    static char value[5000];
    exchange *e = fresh();
    memset(value, 'v', sizeof value);
    assert_int_equal(exchange_add_field(e, STR("X"), STR("1")), 0);
    mem_fail_from(1);
    assert_int_equal(exchange_add_field(e, STR("Y"), (str){value, sizeof value}), -ENOMEM);
    mem_fail_from(0);
    assert_true(str_equal(buf_str(&e->fields), STR("X: 1\r\n")));
    exchange_free(e);
}

/* ---- what was asked ---- */

static int n_asked;

static size_t tell_address(sink *s, char *ret_text, size_t room)
{
    (void)s;
    n_asked++;
    return (size_t)snprintf(ret_text, room, "192.0.2.1:5");
}

static void is(str got, const char *expected)
{
    assert_int_equal(got.at == NULL, expected == NULL);
    assert_true(str_equal(got, str_from(expected)));
}

static void request__tells_what_was_asked(void **state)
{
    (void)state;
    static const char text[] = "GET /rooms/a%20b?x=1&y HTTP/1.1\r\nHost: h\r\nCookie: a=1; b=2\r\nX-One: first\r\n"
                               "x-one: second\r\nSec-WebSocket-Protocol: chat, more\r\n\r\n";
    static const sink_ops ops = {.address = tell_address};
    static http1_head head;
    size_t len;
    char pattern[] = "/rooms/:room";
    http_route route = {.spec.pattern = pattern};
    sink s = {.ops = &ops};
    assert_int_equal(http1_head_feed(&head, text, strlen(text), &len), HTTP1_DONE);
    weft_request request = {.head = &head, .bytes = text, .path = STR("/rooms/a b"), .route = &route, .sink = &s};

    is(weft_request_method(&request), "GET");
    is(weft_request_path(&request), "/rooms/a b");
    is(weft_request_query(&request), "x=1&y");
    is(weft_request_param(&request, "room"), "a b");
    is(weft_request_param(&request, "other"), NULL);
    is(weft_request_param(&request, NULL), NULL);
    is(weft_request_header(&request, "X-ONE"), "first");
    is(weft_request_header(&request, "X-Two"), NULL);
    is(weft_request_header(&request, NULL), NULL);
    is(weft_request_cookie(&request, "b"), "2");
    is(weft_request_cookie(&request, "c"), NULL);
    is(weft_request_cookie(&request, NULL), NULL);
    is(weft_request_subprotocols(&request), "chat, more");
    n_asked = 0;
    is(weft_request_address(&request), "192.0.2.1:5");
    is(weft_request_address(&request), "192.0.2.1:5");
    assert_int_equal(n_asked, 1);
}

static void request__without_fields_has_none(void **state)
{
    (void)state;
    static const char text[] = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
    static http1_head head;
    size_t len;
    assert_int_equal(http1_head_feed(&head, text, strlen(text), &len), HTTP1_DONE);
    weft_request request = {.head = &head, .bytes = text, .path = STR("/")};
    is(weft_request_cookie(&request, "a"), NULL);
    is(weft_request_subprotocols(&request), NULL);
    assert_int_equal(weft_request_query(&request).len, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(exchange__is_found_until_it_is_answered, start, stop),
        cmocka_unit_test_setup_teardown(exchange__that_ends_forgets_its_upgrade, start, stop),
        cmocka_unit_test_setup_teardown(exchange__refusal_has_the_standard_text, start, stop),
        cmocka_unit_test_setup_teardown(exchange__new_without_memory, start, stop),
        cmocka_unit_test_setup_teardown(exchange__takes_good_fields, start, stop),
        cmocka_unit_test_setup_teardown(exchange__refuses_fields_that_break_out, start, stop),
        cmocka_unit_test_setup_teardown(exchange__refuses_fields_that_frame_the_answer, start, stop),
        cmocka_unit_test_setup_teardown(exchange__a_field_without_memory_leaves_nothing, start, stop),
        cmocka_unit_test_setup_teardown(request__tells_what_was_asked, start, stop),
        cmocka_unit_test_setup_teardown(request__without_fields_has_none, start, stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
