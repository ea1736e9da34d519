#include "proto/envelope.h"

#include "base/base64.h"
#include "base/buf.h"
#include "proto/json.h"
#include "proto/json_read.h"
#include "proto/json_text.h"
#include "support/check.h"
#include "support/guard.h"

typedef int read_function(char *at, size_t len, envelope *ret);

static void put_field(buf *b, const char *name, str value)
{
    if (!value.at)
        return;
    buf_put_text(b, name);
    buf_put_str(b, value);
}

/** All that was read, as one line: what was not sent does not stand in it. */
static buf described(const envelope *e)
{
    static const char *const types[] = {"unknown", "hello",    "subscribe", "unsubscribe",
                                        "publish", "presence", "ping",      "pong"};
    static const char *const kinds[] = {"", " text", " json", " binary"};
    buf b = {0};
    buf_put_text(&b, types[e->type]);
    put_field(&b, " id=", e->id);
    put_field(&b, " topic=", e->topic);
    put_field(&b, " since=", e->since);
    buf_put_text(&b, e->presence ? " presence" : "");
    put_field(&b, " name=", e->name);
    put_field(&b, " event=", e->event);
    buf_put_text(&b, kinds[e->kind]);
    put_field(&b, " data=", e->data);
    return b;
}

static void check_one(read_function *read, str text, str expected)
{
    guard copy = guard_copy(text.at, text.len);
    envelope e;
    memset(&e, 0xee, sizeof e); /* nothing of what was there before counts */
    assert_int_equal(read(copy.at, text.len, &e), 0);
    assert_null(e.problem);
    buf seen = described(&e);
    if (!str_equal(buf_str(&seen), expected))
        print_error("read:     %.*s\nexpected: %.*s\n", (int)seen.len, seen.at, (int)expected.len, expected.at);
    assert_true(str_equal(buf_str(&seen), expected));
    buf_done(&seen);
    guard_free(copy);
}

static void check(str text, str expected)
{
    check_one(envelope_read, text, expected);
    check_one(envelope_read_value, text, expected);
}

static void check_item(str text, str expected)
{
    check_one(envelope_read_item, text, expected);
}

/** `id` is what the answer may repeat, NULL for nothing. */
static void check_refused_by(read_function *read, str text, int error, const char *problem, const char *id)
{
    guard copy = guard_copy(text.at, text.len);
    envelope e;
    memset(&e, 0xee, sizeof e);
    assert_int_equal(read(copy.at, text.len, &e), error);
    assert_string_equal(e.problem, problem);
    assert_int_equal(e.id.at != NULL, id != NULL);
    assert_true(!id || str_equal(e.id, str_from(id)));
    guard_free(copy);
}

static void check_refused(const char *text, const char *problem, const char *id)
{
    check_refused_by(envelope_read, str_from(text), WEFT_E_INVALID, problem, id);
    check_refused_by(envelope_read_value, str_from(text), WEFT_E_INVALID, problem, id);
}

static void check_refused_item(const char *text, const char *problem)
{
    check_refused_by(envelope_read_item, str_from(text), WEFT_E_INVALID, problem, NULL);
}

static void envelope__reads_every_type(void **state)
{
    (void)state;
    check(STR("{\"type\":\"hello\",\"name\":\"ann\"}"), STR("hello name=ann"));
    check(STR("{\"type\":\"hello\"}"), STR("hello"));
    check(STR("{\"type\":\"subscribe\",\"topic\":\"t\",\"id\":1,\"since\":\"5f-1\",\"presence\":true}"),
          STR("subscribe id=1 topic=t since=5f-1 presence"));
    check(STR("{\"type\":\"subscribe\",\"topic\":\"t\"}"), STR("subscribe topic=t"));
    check(STR("{\"type\":\"subscribe\",\"topic\":\"t\",\"presence\":false}"), STR("subscribe topic=t"));
    check(STR("{\"type\":\"unsubscribe\",\"topic\":\"t\",\"id\":\"x\"}"), STR("unsubscribe id=\"x\" topic=t"));
    check(STR("{\"type\":\"publish\",\"topic\":\"t\",\"id\":2,\"kind\":\"json\",\"event\":\"e\",\"data\":{\"a\":1}}"),
          STR("publish id=2 topic=t event=e json data={\"a\":1}"));
    check(STR("{\"type\":\"presence\",\"topic\":\"t\",\"id\":3}"), STR("presence id=3 topic=t"));
    check(STR("{\"type\":\"ping\"}"), STR("ping"));
    check(STR("{\"type\":\"pong\"}"), STR("pong"));
    check(STR("{\"type\":\"ping\",\"id\":0}"), STR("ping id=0"));
}

static void envelope__white_space_and_order_do_not_matter(void **state)
{
    (void)state;
    check(STR(" {\n\t\"topic\" : \"t\" ,\r\n \"type\" : \"unsubscribe\" , \"id\" : 1.5e3 } \n"),
          STR("unsubscribe id=1.5e3 topic=t"));
    check(STR("{\"data\":[ 1 , \" 2\" ] , \"topic\":\"t\",\"type\":\"publish\"}"),
          STR("publish topic=t json data=[1,\" 2\"]"));
}

static void envelope__an_unknown_type_is_told(void **state)
{
    (void)state;
    check(STR("{\"type\":\"frobnicate\",\"topic\":5,\"id\":\"a\"}"), STR("unknown id=\"a\""));
    check(STR("{\"type\":\"\"}"), STR("unknown"));
    check(STR("{\"type\":\"Ping\"}"), STR("unknown"));
    check(STR("{\"type\":\"pin\"}"), STR("unknown"));
    check(STR("{\"type\":\"pings\"}"), STR("unknown"));
    check(STR("{\"type\":\"\\ud800\"}"), STR("unknown"));
    check(STR("{\"type\":\"message\",\"topic\":\"t\",\"id\":\"5f-1\",\"kind\":\"text\",\"data\":\"\"}"),
          STR("unknown id=\"5f-1\""));
}

static void envelope__ignores_what_the_type_does_not_have(void **state)
{
    (void)state;
    check(STR("{\"type\":\"ping\",\"topic\":5,\"data\":null,\"kind\":{},\"presence\":1,\"name\":[]}"), STR("ping"));
    check(STR("{\"type\":\"hello\",\"since\":\"\\ud800\",\"topic\":\"t\"}"), STR("hello"));
    check(STR("{\"type\":\"unsubscribe\",\"topic\":\"t\",\"since\":1,\"presence\":0,\"data\":\"d\",\"kind\":7}"),
          STR("unsubscribe topic=t"));
    check(STR("{\"type\":\"publish\",\"topic\":\"t\",\"data\":0,\"since\":1,\"presence\":0,\"name\":7}"),
          STR("publish topic=t json data=0"));
    check(STR("{\"x\":{\"type\":\"ping\"},\"type\":\"pong\",\"types\":\"ping\",\"\":\"ping\"}"), STR("pong"));
}

static void envelope__decodes_strings(void **state)
{
    (void)state;
    check(STR("{\"type\":\"hello\",\"name\":\"\\\"\\u00e9\\ud83d\\ude00\\n\"}"),
          STR("hello name=\"\xc3\xa9\xf0\x9f\x98\x80\n"));
    check(STR("{\"type\":\"subscribe\",\"topic\":\"a\\/b\",\"since\":\"\\u0073tart\"}"),
          STR("subscribe topic=a/b since=start"));
    check(STR("{\"type\":\"publish\",\"topic\":\"\",\"event\":\"\",\"data\":\"\"}"),
          STR("publish topic= event= text data="));
    check(STR("{\"type\":\"publish\",\"topic\":\"a\\u0000b\",\"data\":\"\\u0000\"}"),
          STR("publish topic=a\0b text data=\0"));
}

static void envelope__knows_names_and_words_with_escapes(void **state)
{
    (void)state;
    check(STR("{\"\\u0074ype\":\"pin\\u0067\"}"), STR("ping"));
    check(STR("{\"type\":\"publish\",\"\\u0074opic\":\"t\",\"kind\":\"\\u0062inary\",\"dat\\u0061\":\"AA=\\u003d\"}"),
          STR("publish topic=t binary data=\0"));
}

static void envelope__the_last_of_two_counts(void **state)
{
    (void)state;
    check(STR("{\"type\":\"ping\",\"type\":\"pong\"}"), STR("pong"));
    check(STR("{\"id\":1,\"type\":\"ping\",\"id\":2}"), STR("ping id=2"));
    check(STR("{\"id\":[],\"type\":5,\"type\":\"ping\",\"id\":2}"), STR("ping id=2"));
    check(STR("{\"type\":\"publish\",\"topic\":\"\\u0061\",\"topic\":\"b\",\"data\":\"\\u0031\",\"data\":[2]}"),
          STR("publish topic=b json data=[2]"));
    check(STR("{\"type\":\"publish\",\"topic\":0,\"t\\u006fpic\":\"b\",\"data\":1,\"data\":2}"),
          STR("publish topic=b json data=2"));
    check_refused("{\"type\":\"ping\",\"type\":null}", "type has to be a string", NULL);
}

static void envelope__the_id_is_repeated_as_it_came(void **state)
{
    static const char *const ids[] = {
        "0",
        "-0.50E+2",
        "123456789012345678901234567890",
        "\"\"",
        "\"a \\u0062\\n\"",
        "\"\\ud800\"",
        "\"62 bytes, and the quotes are counted too: 64 in all, no more..\"",
        "1234567890123456789012345678901234567890123456789012345678901234",
    };
    (void)state;
    for (size_t i = 0; i < N_OF(ids); i++) {
        buf text = {0}, expected = {0};
        buf_printf(&text, "{\"type\":\"ping\",\"id\" : %s }", ids[i]);
        buf_printf(&expected, "ping id=%s", ids[i]);
        check(buf_str(&text), buf_str(&expected));
        buf_done(&text);
        buf_done(&expected);
    }
}

static void envelope__refuses_other_ids(void **state)
{
    static const char *const ids[] = {
        "null",
        "true",
        "[]",
        "{\"a\":1}",
        "\"63 bytes, and the quotes are counted too: 65 in all: too many..\"",
        "12345678901234567890123456789012345678901234567890123456789012345",
    };
    (void)state;
    for (size_t i = 0; i < N_OF(ids); i++) {
        buf text = {0};
        buf_printf(&text, "{\"type\":\"ping\",\"id\":%s}", ids[i]);
        buf_put(&text, "", 1);
        check_refused(text.at, "id has to be a number or a string, and no longer than 64 bytes", NULL);
        buf_done(&text);
    }
}

static void envelope__resolves_the_kind(void **state)
{
    static const struct {
        const char *members, *expected;
    } cases[] = {
        {"\"data\":\"a\\nb\"", " text data=a\nb"},
        {"\"data\":5", " json data=5"},
        {"\"data\":null", " json data=null"},
        {"\"data\":false", " json data=false"},
        {"\"data\":[]", " json data=[]"},
        {"\"data\":{ }", " json data={}"},
        {"\"kind\":\"text\",\"data\":\"a\"", " text data=a"},
        {"\"kind\":\"json\",\"data\":\"a\\n\"", " json data=\"a\\n\""},
        {"\"kind\":\"json\",\"data\":\"\\ud800\"", " json data=\"\\ud800\""},
        {"\"data\":[\"\\ud800\"]", " json data=[\"\\ud800\"]"},
        {"\"kind\":\"json\",\"data\": [ 1 , { \"a b\" : \" \" } ] ", " json data=[1,{\"a b\":\" \"}]"},
        {"\"kind\":\"binary\",\"data\":\"\"", " binary data="},
        {"\"kind\":\"binary\",\"data\":\"Zm9vYmE=\"", " binary data=fooba"},
        {"\"kind\":\"binary\",\"data\":\"Pz8\\/\"", " binary data=\?\?\?"},
    };
    (void)state;
    for (size_t i = 0; i < N_OF(cases); i++) {
        buf text = {0}, item = {0}, expected = {0};
        buf_printf(&text, "{\"type\":\"publish\",\"topic\":\"t\",%s}", cases[i].members);
        buf_printf(&item, "{\"topic\":\"t\",%s}", cases[i].members);
        buf_printf(&expected, "publish topic=t%s", cases[i].expected);
        check(buf_str(&text), buf_str(&expected));
        check_item(buf_str(&item), buf_str(&expected));
        buf_done(&text);
        buf_done(&item);
        buf_done(&expected);
    }
}

/** What is wrong with the members of a message is wrong in an envelope and in a batch alike. */
static void envelope__refuses_wrong_messages(void **state)
{
    static const struct {
        const char *members, *problem;
    } cases[] = {
        {"\"data\":1", "topic is missing"},
        {"\"topic\":null,\"data\":1", "topic has to be a string"},
        {"\"topic\":5,\"data\":1", "topic has to be a string"},
        {"\"topic\":\"\\udc00\",\"data\":1", "topic holds half of a surrogate pair"},
        {"\"topic\":\"t\"", "data is missing"},
        {"\"topic\":\"t\",\"kind\":\"text\"", "data is missing"},
        {"\"topic\":\"t\",\"data\":1,\"event\":{}", "event has to be a string"},
        {"\"topic\":\"t\",\"data\":1,\"event\":null", "event has to be a string"},
        {"\"topic\":\"t\",\"data\":1,\"event\":\"\\ud83d\"", "event holds half of a surrogate pair"},
        {"\"topic\":\"t\",\"data\":1,\"kind\":\"blob\"", "kind has to be text, json or binary"},
        {"\"topic\":\"t\",\"data\":1,\"kind\":\"Text\"", "kind has to be text, json or binary"},
        {"\"topic\":\"t\",\"data\":1,\"kind\":null", "kind has to be text, json or binary"},
        {"\"topic\":\"t\",\"data\":1,\"kind\":1", "kind has to be text, json or binary"},
        {"\"topic\":\"t\",\"data\":1,\"kind\":\"text\"", "data has to be a string"},
        {"\"topic\":\"t\",\"data\":null,\"kind\":\"binary\"", "data has to be a string"},
        {"\"topic\":\"t\",\"data\":\"\\ud83d\"", "data holds half of a surrogate pair"},
        {"\"topic\":\"t\",\"data\":\"\\ud83d\",\"kind\":\"binary\"", "data holds half of a surrogate pair"},
        {"\"topic\":\"t\",\"data\":\"Zg\",\"kind\":\"binary\"", "data has to be base64"},
        {"\"topic\":\"t\",\"data\":\"Zh==\",\"kind\":\"binary\"", "data has to be base64"},
        {"\"topic\":\"t\",\"data\":\"Zm9v\\n\",\"kind\":\"binary\"", "data has to be base64"},
        {"\"topic\":\"t\",\"data\":\"Zm-_\",\"kind\":\"binary\"", "data has to be base64"},
    };
    (void)state;
    for (size_t i = 0; i < N_OF(cases); i++) {
        buf text = {0}, item = {0};
        buf_printf(&text, "{\"type\":\"publish\",%s,\"id\":7}", cases[i].members);
        buf_printf(&item, "{%s}", cases[i].members);
        buf_put(&text, "", 1);
        buf_put(&item, "", 1);
        check_refused(text.at, cases[i].problem, "7");
        check_refused_item(item.at, cases[i].problem);
        buf_done(&text);
        buf_done(&item);
    }
}

static void envelope__refuses_wrong_members(void **state)
{
    (void)state;
    check_refused("{}", "type is missing", NULL);
    check_refused("{\"id\":\"x\"}", "type is missing", "\"x\"");
    check_refused("{\"type\":1,\"id\":9}", "type has to be a string", "9");
    check_refused("{\"type\":null}", "type has to be a string", NULL);
    check_refused("{\"type\":[\"ping\"]}", "type has to be a string", NULL);
    check_refused("{\"type\":\"subscribe\",\"id\":1}", "topic is missing", "1");
    check_refused("{\"type\":\"unsubscribe\",\"id\":1}", "topic is missing", "1");
    check_refused("{\"type\":\"presence\",\"id\":1}", "topic is missing", "1");
    check_refused("{\"type\":\"presence\",\"id\":1,\"topic\":[]}", "topic has to be a string", "1");
    check_refused("{\"type\":\"subscribe\",\"topic\":\"t\",\"since\":5}", "since has to be a string", NULL);
    check_refused("{\"type\":\"subscribe\",\"topic\":\"t\",\"since\":null}", "since has to be a string", NULL);
    check_refused("{\"type\":\"subscribe\",\"topic\":\"t\",\"since\":\"\\ud800\"}",
                  "since holds half of a surrogate pair", NULL);
    check_refused("{\"type\":\"subscribe\",\"topic\":\"t\",\"presence\":\"true\"}", "presence has to be true or false",
                  NULL);
    check_refused("{\"type\":\"subscribe\",\"topic\":\"t\",\"presence\":null,\"id\":1}",
                  "presence has to be true or false", "1");
    check_refused("{\"type\":\"hello\",\"name\":1}", "name has to be a string", NULL);
    check_refused("{\"type\":\"hello\",\"name\":\"\\udfff\"}", "name holds half of a surrogate pair", NULL);
}

static void envelope__refuses_what_is_not_an_object(void **state)
{
    static const char *const values[] = {"[]", "1", "\"{}\"", "null", " true ", "[{\"type\":\"ping\"}]"};
    static const char *const wrong[] = {"",
                                        " ",
                                        "{",
                                        "{\"type\":\"ping\"",
                                        "{\"type\":\"ping\"}}",
                                        "{type:\"ping\"}",
                                        "{\"type\":\"ping\",}",
                                        "{\"type\":\"\xff\"}",
                                        "hello",
                                        "\xef\xbb\xbf{}"};
    (void)state;
    for (size_t i = 0; i < N_OF(values); i++) {
        check_refused_by(envelope_read, str_from(values[i]), WEFT_E_JSON, "it is not a JSON object", NULL);
        check_refused_by(envelope_read_value, str_from(values[i]), WEFT_E_JSON, "it is not a JSON object", NULL);
        check_refused_by(envelope_read_item, str_from(values[i]), WEFT_E_JSON, "it is not a JSON object", NULL);
    }
    for (size_t i = 0; i < N_OF(wrong); i++)
        check_refused_by(envelope_read, str_from(wrong[i]), WEFT_E_JSON, "it is not a JSON object", NULL);
}

static void envelope__an_item_has_neither_type_nor_id(void **state)
{
    (void)state;
    check_item(STR("{\"topic\":\"a\",\"data\":\"one\"}"), STR("publish topic=a text data=one"));
    check_item(STR(" { \"topic\":\"b\", \"kind\":\"json\",\"data\":{ \"n\":2},\"event\":\"e\"}"),
               STR("publish topic=b event=e json data={\"n\":2}"));
    check_item(STR("{\"topic\":\"c\",\"kind\":\"binary\",\"data\":\"AAE=\"}"),
               STR("publish topic=c binary data=\0\x01"));
    check_item(STR("{\"topic\":\"a\",\"data\":1,\"type\":7,\"id\":[],\"since\":0}"),
               STR("publish topic=a json data=1"));
}

static void envelope__a_refused_item_tells_its_topic(void **state)
{
    char wrong_data[] = "{\"data\":\"?\",\"kind\":\"binary\",\"topic\":\"\\u0061\"}",
         wrong_topic[] = "{\"topic\":\"\\ud800\"}";
    envelope e;
    (void)state;
    assert_int_equal(envelope_read_item(wrong_data, strlen(wrong_data), &e), WEFT_E_INVALID);
    assert_true(str_equal(e.topic, STR("a")));
    assert_int_equal(envelope_read_item(wrong_topic, strlen(wrong_topic), &e), WEFT_E_INVALID);
    assert_null(e.topic.at);
}

/** The elements of an array are read one after the other, though reading writes to them. */
static void envelope__an_array_is_read_element_by_element(void **state)
{
    str text = STR("[{\"topic\":\"\\u0061\",\"data\":\"\\\"]\\\"\"} , {\"topic\":\"b\",\"data\":[ \"}\" ]},"
                   "{\"topic\":\"c\",\"kind\":\"binary\",\"data\":\"AAAA\"}]");
    static const str expected[] = {STR("publish topic=a text data=\"]\""), STR("publish topic=b json data=[\"}\"]"),
                                   STR("publish topic=c binary data=\0\0\0")};
    guard copy = guard_copy(text.at, text.len);
    size_t n = 0;
    (void)state;
    assert_true(json_check(text) > 0);
    str rest = json_begin((str){copy.at, text.len}), item;
    while (json_next_element(&rest, &item)) {
        envelope e;
        assert_int_equal(envelope_read_item((char *)item.at, item.len, &e), 0);
        buf seen = described(&e);
        assert_true(n < N_OF(expected) && str_equal(buf_str(&seen), expected[n]));
        buf_done(&seen);
        n++;
    }
    assert_int_equal(n, N_OF(expected));
    guard_free(copy);
}

static uint32_t next_random(uint32_t *seed)
{
    return (*seed = *seed * 1664525 + 1013904223) >> 16;
}

static void put_literal(buf *b, str text)
{
    assert_int_equal(buf_reserve(b, json_text_len(text)), 0);
    b->len += json_text_put(b->at + b->len, text);
}

static void put_member(buf *b, const char *name, str text)
{
    put_literal(b, str_from(name));
    buf_put_text(b, ":");
    put_literal(b, text);
    buf_put_text(b, " , ");
}

static void put_random_text(buf *b, uint32_t *seed)
{
    static const char *const pieces[] = {"a", "\"", "\\", "\n", "\x1f", "\xc3\xa9", "\xf0\x9f\x98\x80", "plain text"};
    for (uint32_t n = next_random(seed) % 12; n; n--)
        buf_put_text(b, pieces[next_random(seed) % N_OF(pieces)]);
}

static void put_base64(buf *b, str bytes)
{
    char text[512];
    assert_true(base64_encoded_len(bytes.len) <= sizeof text);
    base64_encode(bytes.at, bytes.len, text);
    put_member(b, "data", (str){text, base64_encoded_len(bytes.len)});
}

static void envelope__any_publish_is_read_back(void **state)
{
    uint32_t seed = 11;
    (void)state;
    for (int i = 0; i < 2000; i++) {
        buf topic = {0}, event = {0}, data = {0}, text = {0};
        bool binary = next_random(&seed) % 2;
        put_random_text(&topic, &seed);
        put_random_text(&event, &seed);
        put_random_text(&data, &seed);
        buf_put_text(&text, "{");
        put_member(&text, "topic", buf_str(&topic));
        put_member(&text, "event", buf_str(&event));
        put_member(&text, "kind", binary ? STR("binary") : STR("text"));
        if (binary)
            put_base64(&text, buf_str(&data));
        else
            put_member(&text, "data", buf_str(&data));
        buf_put_text(&text, "\"type\":\"publish\"}");
        envelope e;
        assert_int_equal(envelope_read(text.at, text.len, &e), 0);
        assert_int_equal(e.type, ENVELOPE_PUBLISH);
        assert_int_equal(e.kind, binary ? WEFT_BINARY : WEFT_TEXT);
        assert_true(str_equal(e.topic, buf_str(&topic)));
        assert_true(str_equal(e.event, buf_str(&event)));
        assert_true(str_equal(e.data, buf_str(&data)));
        buf_done(&topic);
        buf_done(&event);
        buf_done(&data);
        buf_done(&text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(envelope__reads_every_type),
        cmocka_unit_test(envelope__white_space_and_order_do_not_matter),
        cmocka_unit_test(envelope__an_unknown_type_is_told),
        cmocka_unit_test(envelope__ignores_what_the_type_does_not_have),
        cmocka_unit_test(envelope__decodes_strings),
        cmocka_unit_test(envelope__knows_names_and_words_with_escapes),
        cmocka_unit_test(envelope__the_last_of_two_counts),
        cmocka_unit_test(envelope__the_id_is_repeated_as_it_came),
        cmocka_unit_test(envelope__refuses_other_ids),
        cmocka_unit_test(envelope__resolves_the_kind),
        cmocka_unit_test(envelope__refuses_wrong_messages),
        cmocka_unit_test(envelope__refuses_wrong_members),
        cmocka_unit_test(envelope__refuses_what_is_not_an_object),
        cmocka_unit_test(envelope__an_item_has_neither_type_nor_id),
        cmocka_unit_test(envelope__a_refused_item_tells_its_topic),
        cmocka_unit_test(envelope__an_array_is_read_element_by_element),
        cmocka_unit_test(envelope__any_publish_is_read_back),
    };
    return cmocka_run_group_tests_name("envelope", tests, NULL, NULL);
}
