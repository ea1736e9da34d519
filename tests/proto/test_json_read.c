#include "proto/json_read.h"

#include <stdio.h>

#include "base/buf.h"
#include "base/utf8.h"
#include "proto/json.h"
#include "proto/json_text.h"
#include "support/check.h"
#include "support/guard.h"

static void json_type__tells_every_type(void **state)
{
    static const struct {
        const char *text;
        json_value_type type;
    } cases[] = {
        {"{}", JSON_OBJECT},  {"[]", JSON_ARRAY},          {"\"\"", JSON_STRING}, {"0", JSON_NUMBER},
        {"-1", JSON_NUMBER},  {"9e9", JSON_NUMBER},        {"true", JSON_TRUE},   {"false", JSON_FALSE},
        {"null", JSON_NULL},  {" \t\r\n{ }", JSON_OBJECT}, {"\n[1]", JSON_ARRAY}, {" null ", JSON_NULL},
        {" 5 ", JSON_NUMBER},
    };
    (void)state;
    for (size_t i = 0; i < N_OF(cases); i++)
        assert_int_equal(json_type(str_from(cases[i].text)), cases[i].type);
}

/** The elements, each between angle brackets. What was taken is written over before the next is. */
static void check_elements(const char *text, const char *expected)
{
    guard copy = guard_copy(text, strlen(text));
    buf seen = {0};
    assert_true(json_check(str_from(text)) > 0);
    str rest = json_begin((str){copy.at, strlen(text)}), value;
    while (json_next_element(&rest, &value)) {
        buf_put_text(&seen, "<");
        buf_put_str(&seen, value);
        buf_put_text(&seen, ">");
        memset((char *)value.at, '"', value.len);
    }
    assert_true(str_equal(buf_str(&seen), str_from(expected)));
    buf_done(&seen);
    guard_free(copy);
}

/** The members, as <name|value>. */
static void check_members(const char *text, const char *expected)
{
    guard copy = guard_copy(text, strlen(text));
    buf seen = {0};
    assert_true(json_check(str_from(text)) > 0);
    str rest = json_begin((str){copy.at, strlen(text)}), name, value;
    while (json_next_member(&rest, &name, &value)) {
        buf_put_text(&seen, "<");
        buf_put_str(&seen, name);
        buf_put_text(&seen, "|");
        buf_put_str(&seen, value);
        buf_put_text(&seen, ">");
        memset((char *)name.at, '"', name.len);
        memset((char *)value.at, '{', value.len);
    }
    assert_true(str_equal(buf_str(&seen), str_from(expected)));
    buf_done(&seen);
    guard_free(copy);
}

static void json_next_element__gives_each_element(void **state)
{
    (void)state;
    check_elements("[]", "");
    check_elements(" [ \n ] ", "");
    check_elements("[1]", "<1>");
    check_elements("[1,2,3]", "<1><2><3>");
    check_elements(" [ 1 ,\t2\r\n, 3 ] \n", "<1><2><3>");
    check_elements("[true,false,null,-1.5e+3]", "<true><false><null><-1.5e+3>");
    check_elements("[\"\",\"a\",\"]\",\",\"]", "<\"\"><\"a\"><\"]\"><\",\">");
    check_elements("[\"\\\"\",\"\\\\\",\"\\\\\\\"]\",0]", "<\"\\\"\"><\"\\\\\"><\"\\\\\\\"]\"><0>");
    check_elements("[[],{},[[]],[{}]]", "<[]><{}><[[]]><[{}]>");
    check_elements("[[1,2] , {\"a\":[3,4]} ,5]", "<[1,2]><{\"a\":[3,4]}><5>");
    check_elements("[[ 1 , \"]\" ] , { \"}\" : \"{\" }]", "<[ 1 , \"]\" ]><{ \"}\" : \"{\" }>");
    check_elements("[[\"\\\"]\"],1]", "<[\"\\\"]\"]><1>");
}

static void json_next_member__gives_each_member(void **state)
{
    (void)state;
    check_members("{}", "");
    check_members("\t{ }\n", "");
    check_members("{\"a\":1}", "<a|1>");
    check_members("{\"a\":1,\"b\":\"2\",\"c\":null}", "<a|1><b|\"2\"><c|null>");
    check_members(" { \"a\" : 1 , \"b\"\n:\r[ 2 ]\t, \"c\":{ } } ", "<a|1><b|[ 2 ]><c|{ }>");
    check_members("{\"\":\"\"}", "<|\"\">");
    check_members("{\"a\":1,\"a\":2}", "<a|1><a|2>");
    check_members("{\"\\\"\":1,\"a\\\\\":2,\":\":3,\"}\":4}", "<\\\"|1><a\\\\|2><:|3><}|4>");
    check_members("{\"a\":{\"a\":{\"b\":\"}\"}},\"b\":[[{}]],\"c\":-0}", "<a|{\"a\":{\"b\":\"}\"}}><b|[[{}]]><c|-0>");
}

static void json_begin__has_nothing_in_what_is_no_container(void **state)
{
    static const char *const texts[] = {"1", "\"[1]\"", "null", "true", " 5 ", "\" \""};
    (void)state;
    for (size_t i = 0; i < N_OF(texts); i++) {
        str rest = json_begin(str_from(texts[i])), name = STR("n"), value = STR("v");
        assert_null(rest.at);
        assert_false(json_next_element(&rest, &value));
        assert_false(json_next_member(&rest, &name, &value));
        assert_true(str_equal(name, STR("n")) && str_equal(value, STR("v")));
    }
}

static void json_next__goes_on_saying_that_there_is_no_more(void **state)
{
    str rest = json_begin(STR("[1 ]")), name = STR("n"), value;
    (void)state;
    assert_true(json_next_element(&rest, &value));
    assert_false(json_next_element(&rest, &value));
    assert_false(json_next_element(&rest, &value));
    assert_false(json_next_member(&rest, &name, &value));
    assert_true(str_equal(name, STR("n")) && str_equal(value, STR("1")));
}

static void json_name_is__compares_what_the_escapes_stand_for(void **state)
{
    static const struct {
        const char *raw, *text;
        bool is;
    } cases[] = {
        {"", "", true},
        {"topic", "topic", true},
        {"topic", "Topic", false},
        {"topic", "topi", false},
        {"topi", "topic", false},
        {"", "a", false},
        {"a", "", false},
        {"\\u0074opic", "topic", true},
        {"topi\\u0063", "topic", true},
        {"topi\\u0063s", "topic", false},
        {"topi\\u0064", "topic", false},
        {"\\u0074\\u006f\\u0070\\u0069\\u0063", "topic", true},
        {"\\u0054opic", "topic", false},
        {"t\\u006F", "to", true},
        {"\\n", "\n", true},
        {"\\n", "\\n", false},
        {"\\\\n", "\\n", true},
        {"\\\\n", "\n", false},
        {"\\/", "/", true},
        {"\\\"\\b\\f\\r\\t", "\"\b\f\r\t", true},
        {"\\u00e9", "\xc3\xa9", true},
        {"\xc3\xa9", "\xc3\xa9", true},
        {"\\u00e9", "\xc3\xa8", false},
        {"\\u00e9", "\xc3", false},
        {"\\ud83d\\ude00", "\xf0\x9f\x98\x80", true},
        {"\\ud83d\\ude00", "\xf0\x9f\x98\x81", false},
        {"\\ud83d", "\xed\xa0\xbd", false}, /* half of a pair is no text */
        {"a\\ud83d", "a", false},
        {"\\u0000", "", false},
        {"a\\u0000", "a", false},
    };
    (void)state;
    for (size_t i = 0; i < N_OF(cases); i++) {
        guard raw = guard_copy(cases[i].raw, strlen(cases[i].raw));
        assert_int_equal(json_name_is((str){raw.at, strlen(cases[i].raw)}, cases[i].text), cases[i].is);
        guard_free(raw);
    }
}

/** Elsewhere, where there is no byte too many, and in place. */
static void check_decoded(str value, str expected)
{
    guard in = guard_copy(value.at, value.len), out = guard_copy(expected.at, expected.len);
    str copy = {in.at, value.len};
    memset(out.at, '#', expected.len);
    assert_int_equal(json_string_decode(copy, out.at), expected.len);
    assert_memory_equal(out.at, expected.at, expected.len);
    assert_int_equal(json_string_decode(copy, in.at), expected.len);
    assert_memory_equal(in.at, expected.at, expected.len);
    memcpy(in.at, value.at, value.len);
    str raw = json_string_raw(copy);
    assert_int_equal(json_decode(raw, (char *)raw.at), expected.len);
    assert_memory_equal(raw.at, expected.at, expected.len);
    guard_free(in);
    guard_free(out);
}

static void json_string_decode__decodes_escapes(void **state)
{
    (void)state;
    check_decoded(STR("\"\""), STR(""));
    check_decoded(STR(" \"a\" \n"), STR("a"));
    check_decoded(STR("\"a plain string of some length\""), STR("a plain string of some length"));
    check_decoded(STR("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\""), STR("\"\\/\b\f\n\r\t"));
    check_decoded(STR("\"\\\\u0041\\u0041\""), STR("\\u0041A"));
    check_decoded(STR("\"\\u0000\""), STR("\0"));
    check_decoded(STR("\"a\\u0000b\""), STR("a\0b"));
    check_decoded(STR("\"\\u00e9\\u00E9\xc3\xa9\""), STR("\xc3\xa9\xc3\xa9\xc3\xa9"));
    check_decoded(STR("\"\\u20AC\\u20ac\""), STR("\xe2\x82\xac\xe2\x82\xac"));
    check_decoded(STR("\"\\uD83D\\uDE00 \\ud83d\\ude00\""), STR("\xf0\x9f\x98\x80 \xf0\x9f\x98\x80"));
    check_decoded(STR("\"\\ud800\\udc00\\udbff\\udfff\""), STR("\xf0\x90\x80\x80\xf4\x8f\xbf\xbf"));
    check_decoded(STR("\"some text\\nof several\\r\\nlines, and \\\"quotes\\\".\""),
                  STR("some text\nof several\r\nlines, and \"quotes\"."));
}

static void json_string_decode__refuses_half_a_pair(void **state)
{
    static const char *const texts[] = {
        "\"\\ud800\"",        "\"\\udbff\"",         "\"\\udc00\"",          "\"\\udfff\"",
        "\"\\ud83d \"",       "\"\\ud83dx\\ude00\"", "\"\\ud83d\\ud83d\"",   "\"\\ud83d\\u0041\"",
        "\"\\ude00\\ud83d\"", "\"\\ud83d\\n\"",      "\"\\ud83d\\\\ude00\"", "\"\\ud83d\\ue000\"",
        "\"\\ud83d\\udbff\"", "\"text \\udc00\"",    "\"\\ud83d12345\"",     "\"\\ud83d\\ud83d\\ude00\"",
        "\"\\ud83d\\/1234\"", "\"\\udc00\\udc00\"",  "\"\\ud83d\\\\dc00\"",  "\"\\ud83dxudc00\"",
    };
    (void)state;
    for (size_t i = 0; i < N_OF(texts); i++) {
        size_t len = strlen(texts[i]);
        guard in = guard_copy(texts[i], len), out = guard_copy(texts[i], len - 2);
        assert_int_equal(json_check((str){in.at, len}), len);
        assert_int_equal(json_string_decode((str){in.at, len}, out.at), WEFT_E_UTF8);
        assert_int_equal(json_string_decode((str){in.at, len}, in.at), WEFT_E_UTF8);
        guard_free(in);
        guard_free(out);
    }
}

/** UTF-8 as RFC 3629 draws it, one row each. */
static str slow_utf8(uint32_t c, char at[4])
{
    if (c < 0x80)
        return at[0] = (char)c, (str){at, 1};
    if (c < 0x800) {
        at[0] = (char)(0xc0 + c / 64), at[1] = (char)(0x80 + c % 64);
        return (str){at, 2};
    }
    if (c < 0x10000) {
        at[0] = (char)(0xe0 + c / 4096), at[1] = (char)(0x80 + c / 64 % 64), at[2] = (char)(0x80 + c % 64);
        return (str){at, 3};
    }
    at[0] = (char)(0xf0 + c / 262144), at[1] = (char)(0x80 + c / 4096 % 64);
    at[2] = (char)(0x80 + c / 64 % 64), at[3] = (char)(0x80 + c % 64);
    return (str){at, 4};
}

static void check_code(const char *escape, uint32_t code)
{
    char expected[4], out[12];
    str text = slow_utf8(code, expected);
    int64_t n = json_decode(str_from(escape), out);
    assert_int_equal(n, text.len);
    assert_memory_equal(out, text.at, text.len);
    assert_true(utf8_valid(out, (size_t)n));
}

static void json_decode__knows_every_code_point(void **state)
{
    (void)state;
    for (uint32_t c = 0; c <= 0x10ffff; c++) {
        char escape[16], out[12];
        if (c > 0xffff) {
            snprintf(escape, sizeof escape, "\\u%04X\\u%04x", 0xd7c0 + (c >> 10), 0xdc00 + (c & 0x3ff));
            check_code(escape, c);
            continue;
        }
        snprintf(escape, sizeof escape, c % 2 ? "\\u%04x" : "\\u%04X", c);
        if (c < 0xd800 || c > 0xdfff)
            check_code(escape, c);
        else
            assert_int_equal(json_decode(str_from(escape), out), WEFT_E_UTF8);
    }
}

/** Writes the value again, from what a walk gives. */
static void rewrite(str value, buf *out)
{
    json_value_type type = json_type(value);
    str rest = json_begin(value), name, inner;
    const char *separator = "";
    if (type != JSON_OBJECT && type != JSON_ARRAY) {
        assert_null(rest.at);
        buf_put_str(out, value);
        return;
    }
    buf_put_text(out, type == JSON_OBJECT ? "{" : "[");
    while (type == JSON_OBJECT ? json_next_member(&rest, &name, &inner) : json_next_element(&rest, &inner)) {
        buf_put_text(out, separator);
        separator = ",";
        if (type == JSON_OBJECT) {
            buf_put_text(out, "\"");
            buf_put_str(out, name);
            buf_put_text(out, "\":");
        }
        rewrite(inner, out);
    }
    buf_put_text(out, type == JSON_OBJECT ? "}" : "]");
}

static uint32_t next_random(uint32_t *seed)
{
    return (*seed = *seed * 1664525 + 1013904223) >> 16;
}

static void put_space(buf *b, uint32_t *seed)
{
    static const char *const spaces[] = {"", "", "", " ", "\n", "\t\r\n", "     "};
    buf_put_text(b, spaces[next_random(seed) % N_OF(spaces)]);
}

static void put_scalar(buf *b, uint32_t *seed)
{
    static const char *const scalars[] = {
        "0",        "-1.5e+3",   "true",         "false", "null", "\"\"", "\" [ { , : \"",
        "\"\\\"\"", "\"]\\\\\"", "\"\\u0022}\"", "1e5",
    };
    buf_put_text(b, scalars[next_random(seed) % N_OF(scalars)]);
}

static void put_value(buf *b, uint32_t *seed, unsigned depth)
{
    uint32_t what = next_random(seed) % 4;
    put_space(b, seed);
    if (depth == 0 || what < 2) {
        put_scalar(b, seed);
    } else {
        buf_put_text(b, what == 2 ? "{" : "[");
        put_space(b, seed);
        for (uint32_t n = next_random(seed) % 5; n; n--) {
            buf_put_text(b, what == 2 ? "\"k\\\"\"" : "");
            put_space(b, seed);
            buf_put_text(b, what == 2 ? ":" : "");
            put_value(b, seed, depth - 1);
            buf_put_text(b, n > 1 ? "," : "");
        }
        put_space(b, seed);
        buf_put_text(b, what == 2 ? "}" : "]");
    }
    put_space(b, seed);
}

/** A walk comes by everything: what it gives, written again, is the compact text. */
static void check_walk(str text)
{
    guard copy = guard_copy(text.at, text.len);
    buf again = {0};
    /* A lone scalar is given as it stands, its white space too. */
    str value = {copy.at, text.len};
    if (json_begin(value).at) {
        rewrite(value, &again);
        size_t n = json_compact(value, copy.at);
        assert_int_equal(again.len, n);
        assert_memory_equal(again.at, copy.at, n);
    }
    buf_done(&again);
    guard_free(copy);
}

static void json_read__a_walk_comes_by_everything(void **state)
{
    uint32_t seed = 7;
    (void)state;
    for (int i = 0; i < 4000; i++) {
        buf b = {0};
        put_value(&b, &seed, 6);
        assert_true(json_check(buf_str(&b)) > 0);
        check_walk(buf_str(&b));
        buf_done(&b);
    }
}

static void json_read__walks_down_to_the_deepest(void **state)
{
    buf b = {0};
    (void)state;
    for (int i = 0; i < JSON_MAX_DEPTH; i++)
        buf_put_text(&b, i % 2 ? "[0, " : "{\"a\": [], \"b\" :");
    buf_put_text(&b, "\"}]\"");
    for (int i = JSON_MAX_DEPTH; i-- > 0;)
        buf_put_text(&b, i % 2 ? ",1]" : "}");
    assert_true(json_check(buf_str(&b)) > 0);
    check_walk(buf_str(&b));
    buf_done(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(json_type__tells_every_type),
        cmocka_unit_test(json_next_element__gives_each_element),
        cmocka_unit_test(json_next_member__gives_each_member),
        cmocka_unit_test(json_begin__has_nothing_in_what_is_no_container),
        cmocka_unit_test(json_next__goes_on_saying_that_there_is_no_more),
        cmocka_unit_test(json_name_is__compares_what_the_escapes_stand_for),
        cmocka_unit_test(json_string_decode__decodes_escapes),
        cmocka_unit_test(json_string_decode__refuses_half_a_pair),
        cmocka_unit_test(json_decode__knows_every_code_point),
        cmocka_unit_test(json_read__a_walk_comes_by_everything),
        cmocka_unit_test(json_read__walks_down_to_the_deepest),
    };
    return cmocka_run_group_tests_name("json_read", tests, NULL, NULL);
}
