#include "proto/message.h"

#include "base/base64.h"
#include "base/buf.h"
#include "proto/json.h"
#include "proto/json_read.h"
#include "support/check.h"
#include "support/guard.h"

typedef size_t len_function(const message_text *message);
typedef size_t put_function(char *at, const message_text *message);

/** Into room with no byte to spare, from data that ends at an unreadable page. */
static buf encoded(const message_text *message, len_function *len, put_function *put)
{
    guard data = guard_copy(message->data.at, message->data.len);
    message_text copy = *message;
    copy.data.at = data.at;
    buf out = {0};
    size_t n = len(&copy);
    assert_int_equal(buf_reserve(&out, n), 0);
    memset(out.at, '#', n);
    guard room = guard_copy(out.at, n);
    assert_int_equal(put(room.at, &copy), n);
    buf_put(&out, room.at, n);
    guard_free(room);
    guard_free(data);
    /* It is JSON, and has no white space that could go. */
    assert_int_equal(json_check(buf_str(&out)), n);
    return out;
}

static void check_message(const message_text *message, const char *object, const char *envelope)
{
    buf out = encoded(message, message_object_len, message_object_put);
    assert_true(str_equal(buf_str(&out), str_from(object)));
    buf_done(&out);
    out = encoded(message, message_envelope_len, message_envelope_put);
    assert_true(str_equal(buf_str(&out), str_from(envelope)));
    buf_done(&out);
}

static void message__has_every_kind(void **state)
{
    (void)state;
    check_message(&(message_text){STR("t"), STR("5f-1"), STR(""), STR("hello"), WEFT_TEXT},
                  "{\"id\":\"5f-1\",\"type\":\"text\",\"data\":\"hello\"}",
                  "{\"type\":\"message\",\"topic\":\"t\",\"id\":\"5f-1\",\"kind\":\"text\",\"data\":\"hello\"}");
    check_message(&(message_text){STR("t"), STR("5f-1"), STR(""), STR("{\"EUR\":[3]}"), WEFT_JSON},
                  "{\"id\":\"5f-1\",\"type\":\"json\",\"data\":{\"EUR\":[3]}}",
                  "{\"type\":\"message\",\"topic\":\"t\",\"id\":\"5f-1\",\"kind\":\"json\",\"data\":{\"EUR\":[3]}}");
    check_message(&(message_text){STR("t"), STR("5f-1"), STR(""), STR("\0\x01\xff\""), WEFT_BINARY},
                  "{\"id\":\"5f-1\",\"type\":\"binary\",\"data\":\"AAH/Ig==\"}",
                  "{\"type\":\"message\",\"topic\":\"t\",\"id\":\"5f-1\",\"kind\":\"binary\",\"data\":\"AAH/Ig==\"}");
}

static void message__has_the_event_when_there_is_one(void **state)
{
    (void)state;
    check_message(
        &(message_text){STR("t"), STR("5f-1"), STR("price"), STR("3"), WEFT_JSON},
        "{\"id\":\"5f-1\",\"event\":\"price\",\"type\":\"json\",\"data\":3}",
        "{\"type\":\"message\",\"topic\":\"t\",\"id\":\"5f-1\",\"event\":\"price\",\"kind\":\"json\",\"data\":3}");
}

static void message__leaves_out_what_is_empty(void **state)
{
    (void)state;
    check_message(&(message_text){.kind = WEFT_TEXT}, "{\"type\":\"text\",\"data\":\"\"}",
                  "{\"type\":\"message\",\"kind\":\"text\",\"data\":\"\"}");
    check_message(&(message_text){.kind = WEFT_BINARY, .event = STR("e")},
                  "{\"event\":\"e\",\"type\":\"binary\",\"data\":\"\"}",
                  "{\"type\":\"message\",\"event\":\"e\",\"kind\":\"binary\",\"data\":\"\"}");
    check_message(&(message_text){.kind = WEFT_JSON, .topic = STR("t"), .data = STR("null")},
                  "{\"type\":\"json\",\"data\":null}",
                  "{\"type\":\"message\",\"topic\":\"t\",\"kind\":\"json\",\"data\":null}");
}

static void message__escapes_names_and_text(void **state)
{
    (void)state;
    check_message(&(message_text){STR("a\"b"), STR("\\"), STR("\t"), STR("l\n\x01\xc3\xa9\0"), WEFT_TEXT},
                  "{\"id\":\"\\\\\",\"event\":\"\\t\",\"type\":\"text\",\"data\":\"l\\n\\u0001\xc3\xa9\\u0000\"}",
                  "{\"type\":\"message\",\"topic\":\"a\\\"b\",\"id\":\"\\\\\",\"event\":\"\\t\",\"kind\":\"text\","
                  "\"data\":\"l\\n\\u0001\xc3\xa9\\u0000\"}");
}

static uint32_t next_random(uint32_t *seed)
{
    return (*seed = *seed * 1664525 + 1013904223) >> 16;
}

static void put_random_text(buf *b, uint32_t *seed)
{
    static const char *const pieces[] = {"a", "\"", "\\", "\n", "\x1f", "\xc3\xa9", "\xf0\x9f\x98\x80", "plain text"};
    for (uint32_t n = next_random(seed) % 12; n; n--)
        buf_put_text(b, pieces[next_random(seed) % N_OF(pieces)]);
}

static void put_random_data(buf *b, weft_kind kind, uint32_t *seed)
{
    static const char *const values[] = {"0", "\"\\\"}\"", "[]", "{\"data\":[1,{\"id\":null}]}", "true", "\"\\ud800\""};
    if (kind == WEFT_TEXT)
        put_random_text(b, seed);
    if (kind == WEFT_JSON)
        buf_put_text(b, values[next_random(seed) % N_OF(values)]);
    for (uint32_t n = kind == WEFT_BINARY ? next_random(seed) % 50 : 0; n; n--)
        buf_put(b, &(char){(char)next_random(seed)}, 1);
}

/** The member's text; it is there when that is not empty. */
static void check_text(str object, const char *member, str text)
{
    str rest = json_begin(object), name, value;
    int n_found = 0;
    while (json_next_member(&rest, &name, &value)) {
        char decoded[256];
        if (!json_name_is(name, member))
            continue;
        n_found++;
        int64_t n = json_string_decode(value, decoded);
        assert_true(n >= 0 && str_equal((str){decoded, (size_t)n}, text));
    }
    assert_int_equal(n_found, text.len > 0);
}

static void check_data(str object, const message_text *message)
{
    char decoded[256], bytes[256];
    str rest = json_begin(object), name, value;
    while (json_next_member(&rest, &name, &value) && !json_name_is(name, "data"))
        ;
    str got = value;
    if (message->kind != WEFT_JSON)
        got = (str){decoded, (size_t)json_string_decode(value, decoded)};
    if (message->kind == WEFT_BINARY)
        got = (str){bytes, (size_t)base64_decode(got, bytes)};
    assert_true(str_equal(got, message->data));
    assert_int_equal(rest.len, 0);
}

static void check_read_back(const message_text *message)
{
    static const char *const kinds[] = {[WEFT_TEXT] = "text", [WEFT_JSON] = "json", [WEFT_BINARY] = "binary"};
    str kind = str_from(kinds[message->kind]), none = {NULL, 0};
    buf object = encoded(message, message_object_len, message_object_put);
    check_text(buf_str(&object), "topic", none);
    check_text(buf_str(&object), "id", message->id);
    check_text(buf_str(&object), "event", message->event);
    check_text(buf_str(&object), "type", kind);
    check_text(buf_str(&object), "kind", none);
    check_data(buf_str(&object), message);
    buf_done(&object);

    buf envelope = encoded(message, message_envelope_len, message_envelope_put);
    check_text(buf_str(&envelope), "type", STR("message"));
    check_text(buf_str(&envelope), "topic", message->topic);
    check_text(buf_str(&envelope), "id", message->id);
    check_text(buf_str(&envelope), "event", message->event);
    check_text(buf_str(&envelope), "kind", kind);
    check_data(buf_str(&envelope), message);
    buf_done(&envelope);
}

static void message__any_can_be_read_back(void **state)
{
    uint32_t seed = 5;
    (void)state;
    for (int i = 0; i < 2000; i++) {
        weft_kind kind = WEFT_TEXT + next_random(&seed) % 3;
        buf topic = {0}, id = {0}, event = {0}, data = {0};
        put_random_text(&topic, &seed);
        put_random_text(&id, &seed);
        put_random_text(&event, &seed);
        put_random_data(&data, kind, &seed);
        check_read_back(&(message_text){buf_str(&topic), buf_str(&id), buf_str(&event), buf_str(&data), kind});
        buf_done(&topic);
        buf_done(&id);
        buf_done(&event);
        buf_done(&data);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(message__has_every_kind),           cmocka_unit_test(message__has_the_event_when_there_is_one),
        cmocka_unit_test(message__leaves_out_what_is_empty), cmocka_unit_test(message__escapes_names_and_text),
        cmocka_unit_test(message__any_can_be_read_back),
    };
    return cmocka_run_group_tests_name("message", tests, NULL, NULL);
}
