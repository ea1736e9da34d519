#include "support/check.h"
#include "support/guard.h"

#include <stdio.h>
#include <string.h>
#include <weft.h>

static weft_str text(const char *at)
{
    return (weft_str){at, at ? strlen(at) : 0};
}

static void assert_text(weft_str got, const char *expected)
{
    if (!expected) {
        assert_null(got.at);
        assert_int_equal(got.len, 0);
        return;
    }
    assert_non_null(got.at);
    assert_int_equal(got.len, strlen(expected));
    assert_memory_equal(got.at, expected, got.len);
}

/* -------------------------------------------------------------------------------------------------------------- events */

static void event_is__compares_the_whole_name(void **state)
{
    (void)state;
    const weft_socketio_event event = {.name = text("chat")}, none = {0};
    assert_true(weft_socketio_event_is(&event, "chat"));
    assert_false(weft_socketio_event_is(&event, "cha"));
    assert_false(weft_socketio_event_is(&event, "chat "));
    assert_false(weft_socketio_event_is(&event, ""));
    assert_false(weft_socketio_event_is(&event, NULL));
    assert_false(weft_socketio_event_is(NULL, "chat"));
    assert_true(weft_socketio_event_is(&none, ""));
}

static void argument__is_the_nth_as_text(void **state)
{
    (void)state;
    const weft_socketio_event event = {.args = text("[\"a,]\", {\"b\":[1,2]} ,-1.5e3,null,[]]")};
    assert_text(weft_socketio_argument(&event, 0), "\"a,]\"");
    assert_text(weft_socketio_argument(&event, 1), "{\"b\":[1,2]}");
    assert_text(weft_socketio_argument(&event, 2), "-1.5e3");
    assert_text(weft_socketio_argument(&event, 3), "null");
    assert_text(weft_socketio_argument(&event, 4), "[]");
    assert_text(weft_socketio_argument(&event, 5), NULL);
    assert_text(weft_socketio_argument(&event, SIZE_MAX), NULL);
}

static void argument__of_nothing_is_none(void **state)
{
    (void)state;
    static const char *const args[] = {NULL,    "",  "[]", "[ ]",  "{}", "{\"a\":1}",
                                       "\"a\"", "7", "[1", "[1,]", "1]", "[\"\xff\"]"};
    for (size_t i = 0; i < N_OF(args); i++)
        assert_text(weft_socketio_argument(&(weft_socketio_event){.args = text(args[i])}, 0), NULL);
    assert_text(weft_socketio_argument(NULL, 0), NULL);
}

static void attachment__is_found_by_its_place(void **state)
{
    (void)state;
    const weft_str bytes[] = {{"\x00\x01", 2}, {NULL, 0}};
    weft_socketio_event event = {
        .args = text("[{\"_placeholder\":true,\"num\":1},\"x\",{\"num\":0,\"_placeholder\":true},{\"num\":0},"
                     "{\"_placeholder\":true,\"num\":2},{\"_placeholder\":true}]"),
        .attachments = bytes,
        .n_attachments = 2,
    };
    weft_str found = weft_socketio_attachment(&event, 2);
    assert_ptr_equal(found.at, bytes[0].at);
    assert_int_equal(found.len, 2);
    assert_text(weft_socketio_attachment(&event, 0), ""); /* there, and empty */
    assert_text(weft_socketio_attachment(&event, 1), NULL);
    assert_text(weft_socketio_attachment(&event, 3), NULL);
    assert_text(weft_socketio_attachment(&event, 4), NULL);
    assert_text(weft_socketio_attachment(&event, 5), NULL);
    assert_text(weft_socketio_attachment(&event, 6), NULL);
    event.n_attachments = 0;
    assert_text(weft_socketio_attachment(&event, 0), NULL);
}

/* ------------------------------------------------------------------------------------------------------------- strings */

typedef struct {
    const char *json;
    int64_t result;
    const char *decoded;
} string_vector;

static const string_vector strings[] = {
    {"\"\"", 0, ""},
    {"\"hello\"", 5, "hello"},
    {" \"spaced\"\n", 6, "spaced"},
    {"\"caf\\u00e9\"", 5, "caf\xc3\xa9"},
    {"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", 8, "\"\\/\b\f\n\r\t"},
    {"\"\\ud83d\\ude00\"", 4, "\xf0\x9f\x98\x80"},
    {"\"x\\uD83D\\uDE00y\"", 6, "x\xf0\x9f\x98\x80y"},
    {"\"a\\u0000b\"", 3, "a\0b"},
    {"\"\\u20ac\"", 3, "\xe2\x82\xac"},
    {"\"\\ud83d\"", WEFT_E_UTF8, NULL},
    {"\"\\ude00\"", WEFT_E_UTF8, NULL},
    {"\"\\ud83dx\"", WEFT_E_UTF8, NULL},
    {"\"\\ud83d\\n\\u0041\"", WEFT_E_UTF8, NULL},
    {"\"\\ud83d\\u0041\"", WEFT_E_UTF8, NULL},
    {"\"\\ud83d\\ud83d\"", WEFT_E_UTF8, NULL},
    {"", WEFT_E_JSON, NULL},
    {"7", WEFT_E_JSON, NULL},
    {"null", WEFT_E_JSON, NULL},
    {"[\"a\"]", WEFT_E_JSON, NULL},
    {"\"a", WEFT_E_JSON, NULL},
    {"a\"", WEFT_E_JSON, NULL},
    {"\"a\"\"b\"", WEFT_E_JSON, NULL},
    {"\"\\x\"", WEFT_E_JSON, NULL},
    {"\"\\u12\"", WEFT_E_JSON, NULL},
    {"\"\n\"", WEFT_E_JSON, NULL},
    {"\"\xff\"", WEFT_E_JSON, NULL},
};

static void json_text__decodes_strings(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_OF(strings); i++) {
        const string_vector *v = &strings[i];
        char room[64];
        memset(room, '#', sizeof room);
        assert_int_equal(weft_json_text(text(v->json), room, sizeof room), v->result);
        if (v->result >= 0) {
            assert_memory_equal(room, v->decoded, (size_t)v->result);
            assert_int_equal(room[v->result], '\0');
        }
        assert_int_equal(room[v->result < 0 ? 0 : v->result + 1], '#'); /* nothing else is written */
    }
    assert_int_equal(weft_json_text((weft_str){NULL, 0}, NULL, 0), WEFT_E_JSON);
}

static void json_text__needs_room_for_the_text_and_a_nul(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_OF(strings); i++) {
        const string_vector *v = &strings[i];
        char room[64];
        if (v->result < 0)
            continue;
        size_t need = (size_t)v->result + 1;
        assert_true(need < strlen(v->json)); /* as promised, this much is always enough */
        assert_int_equal(weft_json_text(text(v->json), room, need), v->result);
        room[0] = '#';
        assert_int_equal(weft_json_text(text(v->json), room, need - 1), WEFT_E_TOO_LARGE);
        assert_int_equal(weft_json_text(text(v->json), NULL, 0), WEFT_E_TOO_LARGE);
        assert_int_equal(room[0], '#');
    }
}

/** Reads nothing behind its text and writes nothing behind its room: both end where a page does that nobody may touch. */
static void json_text__stays_within_its_text_and_room(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_OF(strings); i++) {
        const string_vector *v = &strings[i];
        size_t room = v->result < 0 ? 8 : (size_t)v->result + 1;
        guard in = guard_copy(v->json, strlen(v->json)), out = guard_copy("12345678901234567890", room);
        assert_int_equal(weft_json_text((weft_str){in.at, strlen(v->json)}, out.at, room), v->result);
        guard_free(in);
        guard_free(out);
    }
}

/* ------------------------------------------------------------------------------------------------------------- members */

static void json_member__is_found_by_name(void **state)
{
    (void)state;
    weft_str json =
        text(" {\"age\": 7, \"name\":\"J\\u0075de\",\"n\\u0061me2\":[1,{\"age\":8}],\"age\" :9,\"\":0,\"not\":null} ");
    assert_text(weft_json_member(json, "name"), "\"J\\u0075de\"");
    assert_text(weft_json_member(json, "name2"), "[1,{\"age\":8}]");
    assert_text(weft_json_member(json, "age"), "9"); /* the last, as for JSON.parse */
    assert_text(weft_json_member(json, ""), "0");
    assert_text(weft_json_member(json, "not"), "null");
    assert_text(weft_json_member(json, "nam"), NULL);
    assert_text(weft_json_member(json, NULL), NULL);
}

static void json_member__of_what_is_no_object_is_none(void **state)
{
    (void)state;
    static const char *const values[] = {NULL,       "",         "[]",         "[{\"a\":1}]", "\"a\"",
                                         "{\"a\":1", "{\"a\":}", "{\"a\":1}}", "{}"};
    for (size_t i = 0; i < N_OF(values); i++)
        assert_text(weft_json_member(text(values[i]), "a"), NULL);
}

/* ------------------------------------------------------------------------------------------------------------- quoting */

static void json_quote__is_read_back_by_json_text(void **state)
{
    (void)state;
    static const char *const texts[] = {"", "a", "\"\\\n\x01\x1f", "caf\xc3\xa9 \xf0\x9f\x98\x80", "</script>", "\x7f"};
    for (size_t i = 0; i < N_OF(texts); i++) {
        char json[64], back[64];
        int64_t len = weft_json_quote(text(texts[i]), json, sizeof json);
        assert_true(len >= 2);
        assert_int_equal(len, strlen(json));
        assert_int_equal(weft_json_text((weft_str){json, (size_t)len}, back, sizeof back), strlen(texts[i]));
        assert_string_equal(back, texts[i]);
    }
}

static void json_quote__tells_the_room_that_it_needs(void **state)
{
    (void)state;
    char room[16] = "#";
    assert_int_equal(weft_json_quote(text("a\"b"), NULL, 0), 6);
    for (size_t n = 0; n <= 6; n++)
        assert_int_equal(weft_json_quote(text("a\"b"), room, n), 6);
    assert_string_equal(room, "#");
    assert_int_equal(weft_json_quote(text("a\"b"), room, 7), 6);
    assert_string_equal(room, "\"a\\\"b\"");
}

static void json_quote__refuses_what_is_no_utf8(void **state)
{
    (void)state;
    char room[16] = "#";
    assert_int_equal(weft_json_quote(text("a\xff"), room, sizeof room), WEFT_E_UTF8);
    assert_int_equal(weft_json_quote(text("\xed\xa0\x80"), room, sizeof room), WEFT_E_UTF8);
    assert_int_equal(weft_json_quote((weft_str){NULL, 3}, room, sizeof room), WEFT_E_INVALID);
    assert_string_equal(room, "#");
    assert_int_equal(weft_json_quote((weft_str){NULL, 0}, room, sizeof room), 2);
    assert_int_equal(weft_json_quote((weft_str){"a\0b", 3}, room, sizeof room), 10);
    assert_string_equal(room, "\"a\\u0000b\"");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(event_is__compares_the_whole_name),
        cmocka_unit_test(argument__is_the_nth_as_text),
        cmocka_unit_test(argument__of_nothing_is_none),
        cmocka_unit_test(attachment__is_found_by_its_place),
        cmocka_unit_test(json_text__decodes_strings),
        cmocka_unit_test(json_text__needs_room_for_the_text_and_a_nul),
        cmocka_unit_test(json_text__stays_within_its_text_and_room),
        cmocka_unit_test(json_member__is_found_by_name),
        cmocka_unit_test(json_member__of_what_is_no_object_is_none),
        cmocka_unit_test(json_quote__is_read_back_by_json_text),
        cmocka_unit_test(json_quote__tells_the_room_that_it_needs),
        cmocka_unit_test(json_quote__refuses_what_is_no_utf8),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
