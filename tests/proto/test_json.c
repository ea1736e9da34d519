#include "proto/json.h"
#include "support/check.h"
#include "support/guard.h"

typedef struct {
    str text, compact;
} accepted;

#define SAME(text)                                                                                                     \
    {                                                                                                                  \
        STR(text), STR(text)                                                                                           \
    }
#define DENSER(text, compact)                                                                                          \
    {                                                                                                                  \
        STR(text), STR(compact)                                                                                        \
    }

static int64_t check(str text)
{
    guard copy = guard_copy(text.at, text.len);
    int64_t n = json_check((str){copy.at, text.len});
    guard_free(copy);
    return n;
}

/** Compacted into a buffer with no byte to spare, and in place. */
static void check_compact(str text, str compact)
{
    guard in = guard_copy(text.at, text.len), out = guard_copy(compact.at, compact.len);
    memset(out.at, '#', compact.len);
    assert_int_equal(json_compact((str){in.at, text.len}, out.at), compact.len);
    assert_memory_equal(out.at, compact.at, compact.len);
    assert_int_equal(json_compact((str){in.at, text.len}, in.at), compact.len);
    assert_memory_equal(in.at, compact.at, compact.len);
    guard_free(in);
    guard_free(out);
}

static bool is_scalar_start(char c)
{
    return c != '{' && c != '[' && c != '"';
}

/** What is cut off is refused, unless it is a number, of which a beginning may be a number too. */
static void check_prefixes(str compact)
{
    for (size_t len = 0; len < compact.len; len++) {
        int64_t n = check((str){compact.at, len});
        if (!is_scalar_start(*compact.at))
            assert_int_equal(n, WEFT_E_JSON);
        else
            assert_true(n == WEFT_E_JSON || n == (int64_t)len);
    }
}

/** Every value stands in an array, in an object and between white space as it stands alone. */
static void check_inside(str text, size_t compact_len)
{
    static const struct {
        const char *before, *after;
        size_t n_more;
    } places[] = {
        {" \t\r\n", "\n\r\t ", 0},
        {"[", "]", 2},
        {"[1, ", " , 2]", 6},
        {"{\"k\" : ", "\n}", 6},
    };
    for (size_t i = 0; i < N_OF(places); i++) {
        buf b = {0};
        buf_put_text(&b, places[i].before);
        buf_put_str(&b, text);
        buf_put_text(&b, places[i].after);
        assert_int_equal(check(buf_str(&b)), compact_len + places[i].n_more);
        buf_done(&b);
    }
}

static void check_accepted(const accepted *vectors, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(check(vectors[i].text), vectors[i].compact.len);
        check_compact(vectors[i].text, vectors[i].compact);
        check_compact(vectors[i].compact, vectors[i].compact);
        check_prefixes(vectors[i].compact);
        check_inside(vectors[i].text, vectors[i].compact.len);
    }
}

/** Wrong alone, and behind something right. */
static void check_refused(const str *texts, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(check(texts[i]), WEFT_E_JSON);
        buf b = {0};
        buf_put_text(&b, "[\"a string of some length\", ");
        buf_put_str(&b, texts[i]);
        assert_int_equal(check(buf_str(&b)), WEFT_E_JSON);
        buf_put_text(&b, "]");
        assert_int_equal(check(buf_str(&b)), WEFT_E_JSON);
        buf_done(&b);
    }
}

static void json__accepts_numbers(void **state)
{
    (void)state;
    static const accepted vectors[] = {
        SAME("0"),
        SAME("-0"),
        SAME("7"),
        SAME("10"),
        SAME("-12345678901234567890"),
        SAME("0.0"),
        SAME("0.5"),
        SAME("-3.14159"),
        SAME("1e5"),
        SAME("1E5"),
        SAME("1e+5"),
        SAME("1E-5"),
        SAME("0e0"),
        SAME("0.00e-00"),
        SAME("1.5e300"),
        SAME("1e99999"),
        SAME("-1.0E+09"),
        SAME("9007199254740993"),
        SAME("0.1000000000000000055511151231257827021181583404541015625"),
    };
    check_accepted(vectors, N_OF(vectors));
}

static void json__refuses_wrong_numbers(void **state)
{
    (void)state;
    static const str texts[] = {
        STR("-"),     STR("+1"),    STR("01"),   STR("-01"),      STR("00"),           STR("1."),
        STR(".5"),    STR("-.5"),   STR("1.e5"), STR("1e"),       STR("1e+"),          STR("1e-"),
        STR("1E+"),   STR("1e5.5"), STR("0x10"), STR("1_000"),    STR("--1"),          STR("1-"),
        STR("1.2.3"), STR("1e5e5"), STR("NaN"),  STR("Infinity"), STR("-Infinity"),    STR("1f"),
        STR("1 2"),   STR("- 1"),   STR("1 .5"), STR("1e 5"),     STR("\xef\xbc\x91"), STR("1\0"),
    };
    check_refused(texts, N_OF(texts));
}

static void json__accepts_words(void **state)
{
    (void)state;
    static const accepted vectors[] = {SAME("true"), SAME("false"), SAME("null")};
    check_accepted(vectors, N_OF(vectors));
}

static void json__refuses_other_words(void **state)
{
    (void)state;
    static const str texts[] = {
        STR("True"),   STR("TRUE"), STR("tru"),     STR("truee"),     STR("nul"),        STR("nulll"),
        STR("nil"),    STR("fals"), STR("falze"),   STR("undefined"), STR("true false"), STR("truth"),
        STR("t"),      STR("n"),    STR("f"),       STR("hello"),     STR("null\0"),     STR("'text'"),
        STR("`text`"), STR("// 1"), STR("/* */ 1"), STR("1 // c"),    STR("# 1"),
    };
    check_refused(texts, N_OF(texts));
}

static void json__accepts_strings(void **state)
{
    (void)state;
    static const accepted vectors[] = {
        SAME("\"\""),
        SAME("\"a\""),
        SAME("\" spaces  stay \""),
        SAME("\"a plain string that is longer than a few words of eight bytes\""),
        SAME("\"\x7f\""),
        SAME("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\""),
        SAME("\"\\u0000\""),
        SAME("\"\\u00e9\\uABCD\\uabcd\\uFfFf\""),
        SAME("\"\\ud83d\\ude00\""),
        SAME("\"\\ud800\""),
        SAME("\"\\udc00 alone\""),
        SAME("\"\\u00e9 then 12 hex digits abcdef012345\""),
        SAME("\"d\xc3\xa9j\xc3\xa0 \xe2\x82\xac \xf0\x9f\x98\x80\""),
        SAME("\"\xe2\x80\xa8\xe2\x80\xa9\""),
        SAME("\"\xef\xbf\xbf\xf4\x8f\xbf\xbf\""),
        SAME("\"{[,:]} // no structure\""),
        SAME("\"ends in a backslash \\\\\""),
        SAME("\"quote \\\" and more [1, 2]\""),
    };
    check_accepted(vectors, N_OF(vectors));
}

static void json__refuses_wrong_strings(void **state)
{
    (void)state;
    static const str texts[] = {
        STR("\""),
        STR("\"open"),
        STR("\"open\\\""),
        STR("\"\\"),
        STR("\"\\\""),
        STR("\"\\a\""),
        STR("\"\\v\""),
        STR("\"\\0\""),
        STR("\"\\x41\""),
        STR("\"\\'\""),
        STR("\"\\U0041\""),
        STR("\"\\\n\""),
        STR("\"\\\0\""),
        STR("\"\\\xc3\xa9\""),
        STR("\"\\u\""),
        STR("\"\\u1\""),
        STR("\"\\u12\""),
        STR("\"\\u123\""),
        STR("\"\\u123g\""),
        STR("\"\\u 123\""),
        STR("\"\\u-123\""),
        STR("\"\\u12"),
        STR("\"\\ud83d\\u\""),
        STR("\"a\nb\""),
        STR("\"a\tb\""),
        STR("\"a\0b\""),
        STR("\"\x1f\""),
        STR("\"text\"text\""),
        STR("\"a\" \"b\""),
        STR("text\""),
        STR("\"long enough for a word\x01\""),
    };
    check_refused(texts, N_OF(texts));
}

static void json__refuses_what_is_not_utf8(void **state)
{
    (void)state;
    static const str texts[] = {
        STR("\"\x80\""),
        STR("\"\xff\""),
        STR("\"\xc0\x80\""),
        STR("\"\xed\xa0\x80\""),
        STR("\"\xf4\x90\x80\x80\""),
        STR("\"\xc3\""),
        STR("\"\xe2\x82\""),
        STR("\"\xf0\x9f\x98\""),
        STR("\"\xc3\\n\xa9\""),
        STR("{\"\xc3\":1}"),
        STR("\xef\xbb\xbf"
            "1"),
        STR("\xc2\xa0"
            "1"),
        STR("1\xe2\x80\x83"),
        STR("\"long enough for a word, then \xe2\x28\xa1\""),
    };
    check_refused(texts, N_OF(texts));
}

static void json__accepts_arrays_and_objects(void **state)
{
    (void)state;
    static const accepted vectors[] = {
        SAME("[]"),
        SAME("{}"),
        DENSER("[ ]", "[]"),
        DENSER("{\n}", "{}"),
        SAME("[[]]"),
        SAME("[{}]"),
        SAME("{\"\":{}}"),
        SAME("{\"a\":[]}"),
        SAME("[1,\"two\",3e0,true,false,null,[],{}]"),
        SAME("[[1],[2],[3,[4]]]"),
        SAME("{\"a\":1,\"a\":2}"),
        SAME("{\"a\":{\"b\":[{\"c\":null}]},\"d\":\"e\"}"),
        DENSER("[ 1 , 2\t,\r\n3 ]", "[1,2,3]"),
        DENSER("{ \"a b\" : \" c \" , \"d\" : [ true , { } ] }", "{\"a b\":\" c \",\"d\":[true,{}]}"),
        DENSER("{\"k\\\" \\\\\" : \"\\\" : , \" }", "{\"k\\\" \\\\\":\"\\\" : , \"}"),
        DENSER("[\"\\\\\" , \"\\\\\\\" \" , \"\\u0020 \"]", "[\"\\\\\",\"\\\\\\\" \",\"\\u0020 \"]"),
    };
    check_accepted(vectors, N_OF(vectors));
}

static void json__refuses_wrong_structure(void **state)
{
    (void)state;
    static const str texts[] = {
        STR("["),
        STR("{"),
        STR("]"),
        STR("}"),
        STR("[}"),
        STR("{]"),
        STR("[1"),
        STR("[1,"),
        STR("[1,]"),
        STR("[,1]"),
        STR("[,]"),
        STR("[1,,2]"),
        STR("[1 2]"),
        STR("[1:2]"),
        STR("[1;2]"),
        STR("[\"a\":1]"),
        STR("[[]"),
        STR("[][]"),
        STR("{}{}"),
        STR("{} 1"),
        STR("{\"a\"}"),
        STR("{\"a\":}"),
        STR("{\"a\":1"),
        STR("{\"a\":1,}"),
        STR("{,\"a\":1}"),
        STR("{\"a\" 1}"),
        STR("{\"a\"::1}"),
        STR("{\"a\",1}"),
        STR("{a:1}"),
        STR("{1:1}"),
        STR("{null:1}"),
        STR("{[]:1}"),
        STR("{'a':1}"),
        STR("{\"a\":1 \"b\":2}"),
        STR("{\"a\":1,,\"b\":2}"),
        STR("{\"a\":1:2}"),
        STR("{\"a\":1]"),
        STR("[1}"),
        STR("[{\"a\":1]}"),
        STR("{\"a\":[1}]"),
        STR("{\"a\":1,2}"),
        STR(":"),
        STR(","),
        STR(":1"),
        STR("[\v]"),
        STR("[\f]"),
        STR("[\0]"),
        STR("[...]"),
        STR("(1)"),
    };
    check_refused(texts, N_OF(texts));
}

static void json__refuses_brackets_that_nothing_opened(void **state)
{
    (void)state;
    static const str texts[] = {STR("[]]"),    STR("{}}"),  STR("1]"),  STR("null}"),
                                STR("\"a\"]"), STR("[1],"), STR("[1]:")};
    for (size_t i = 0; i < N_OF(texts); i++)
        assert_int_equal(check(texts[i]), WEFT_E_JSON);
}

static void json__refuses_nothing_at_all(void **state)
{
    (void)state;
    assert_int_equal(json_check((str){NULL, 0}), WEFT_E_JSON);
    assert_int_equal(check(STR("")), WEFT_E_JSON);
    assert_int_equal(check(STR(" ")), WEFT_E_JSON);
    assert_int_equal(check(STR(" \t\r\n \t\r\n ")), WEFT_E_JSON);
}

/** `depth` values inside each other, arrays where `pattern` has an a and objects where it has an o, again and again. */
static buf nest(size_t depth, const char *pattern)
{
    buf b = {0};
    size_t n = strlen(pattern);
    for (size_t i = 0; i < depth; i++)
        buf_put_text(&b, pattern[i % n] == 'a' ? "[" : "{\"k\":");
    buf_put_text(&b, "0");
    for (size_t i = depth; i-- > 0;)
        buf_put_text(&b, pattern[i % n] == 'a' ? "]" : "}");
    return b;
}

static void json__nests_to_the_limit_and_no_deeper(void **state)
{
    (void)state;
    static const char *const patterns[] = {"a", "o", "ao", "oa", "aao", "ooooooa", "aaaaaaaaaaaaaaao"};
    for (size_t i = 0; i < N_OF(patterns); i++) {
        for (size_t depth = 0; depth <= JSON_MAX_DEPTH + 5; depth++) {
            buf b = nest(depth, patterns[i]);
            assert_int_equal(check(buf_str(&b)), depth <= JSON_MAX_DEPTH ? (int64_t)b.len : WEFT_E_JSON);
            buf_done(&b);
        }
    }
}

static void json__a_wrong_closing_bracket_is_seen_at_every_depth(void **state)
{
    (void)state;
    for (size_t at = 0; at < JSON_MAX_DEPTH; at++) {
        buf b = nest(JSON_MAX_DEPTH, "aoo");
        char *bracket = &b.at[b.len - 1 - at];
        *bracket = *bracket == ']' ? '}' : ']';
        assert_int_equal(check(buf_str(&b)), WEFT_E_JSON);
        buf_done(&b);
    }
}

static void json__depth_is_not_a_count_of_brackets(void **state)
{
    (void)state;
    buf b = {0};
    buf_put_text(&b, "[0");
    for (int i = 0; i < 1000; i++)
        buf_put_text(&b, ",[{\"a\":[]}]");
    buf_put_text(&b, "]");
    assert_int_equal(check(buf_str(&b)), b.len);
    buf_done(&b);
}

static void json__a_very_deep_bomb_is_refused(void **state)
{
    (void)state;
    enum { BOMB_BYTES = 1 << 20 };
    buf b = {0};
    assert_int_equal(buf_reserve(&b, BOMB_BYTES), 0);
    memset(b.at, '[', BOMB_BYTES);
    b.len = BOMB_BYTES;
    assert_int_equal(json_check(buf_str(&b)), WEFT_E_JSON);
    buf_done(&b);
}

/* What looks at eight bytes at once must see what one byte shows. */
static void json__sees_each_byte_at_each_place_of_a_string(void **state)
{
    (void)state;
    for (size_t len = 1; len <= 20; len++) {
        for (size_t at = 0; at < len; at++) {
            for (int c = 0; c < 256; c++) {
                char text[24];
                memset(text, 'a', sizeof text);
                text[0] = text[len + 1] = '"';
                text[at + 1] = (char)c;
                bool plain = c >= 0x20 && c < 0x80 && c != '"' && c != '\\';
                assert_int_equal(check((str){text, len + 2}), plain ? (int64_t)len + 2 : WEFT_E_JSON);
            }
        }
    }
}

static void json__white_space_in_strings_stays(void **state)
{
    (void)state;
    for (size_t len = 0; len < 30; len++) {
        buf text = {0}, compact = {0};
        buf_printf(&text, " [ \"%*s\\\" \" , \"%*s\" ] ", (int)len, "", (int)len, "x");
        buf_printf(&compact, "[\"%*s\\\" \",\"%*s\"]", (int)len, "", (int)len, "x");
        assert_int_equal(check(buf_str(&text)), compact.len);
        check_compact(buf_str(&text), buf_str(&compact));
        buf_done(&text);
        buf_done(&compact);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(json__accepts_numbers),
        cmocka_unit_test(json__refuses_wrong_numbers),
        cmocka_unit_test(json__accepts_words),
        cmocka_unit_test(json__refuses_other_words),
        cmocka_unit_test(json__accepts_strings),
        cmocka_unit_test(json__refuses_wrong_strings),
        cmocka_unit_test(json__refuses_what_is_not_utf8),
        cmocka_unit_test(json__accepts_arrays_and_objects),
        cmocka_unit_test(json__refuses_wrong_structure),
        cmocka_unit_test(json__refuses_brackets_that_nothing_opened),
        cmocka_unit_test(json__refuses_nothing_at_all),
        cmocka_unit_test(json__nests_to_the_limit_and_no_deeper),
        cmocka_unit_test(json__a_wrong_closing_bracket_is_seen_at_every_depth),
        cmocka_unit_test(json__depth_is_not_a_count_of_brackets),
        cmocka_unit_test(json__a_very_deep_bomb_is_refused),
        cmocka_unit_test(json__sees_each_byte_at_each_place_of_a_string),
        cmocka_unit_test(json__white_space_in_strings_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
