#include "proto/json_text.h"

#include "base/buf.h"
#include "base/utf8.h"
#include "proto/json.h"
#include "proto/json_read.h"
#include "support/check.h"
#include "support/guard.h"

/** Text and literal both end at an unreadable page. */
static void check_literal(str text, str literal)
{
    guard in = guard_copy(text.at, text.len), out = guard_copy(literal.at, literal.len);
    str copy = {in.at, text.len};
    memset(out.at, '#', literal.len);
    assert_int_equal(json_text_len(copy), literal.len);
    assert_int_equal(json_text_put(out.at, copy), literal.len);
    assert_memory_equal(out.at, literal.at, literal.len);
    if (utf8_valid(text.at, text.len))
        assert_int_equal(json_check((str){out.at, literal.len}), literal.len);
    guard_free(in);
    guard_free(out);
}

/** What the literal has to be, without any haste. */
static buf slow_literal(str text)
{
    buf b = {0};
    buf_put_text(&b, "\"");
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.at[i];
        const char *short_form = c ? strchr("\bb\tt\nn\ff\rr\"\"\\\\", c) : NULL;
        if (short_form && (c < 0x20 || c == '"' || c == '\\'))
            buf_printf(&b, "\\%c", short_form[1]);
        else if (c < 0x20)
            buf_printf(&b, "\\u%04x", c);
        else
            buf_put(&b, &c, 1);
    }
    buf_put_text(&b, "\"");
    return b;
}

static void check_slowly(str text)
{
    buf literal = slow_literal(text);
    check_literal(text, buf_str(&literal));
    buf_done(&literal);
}

static void json_text__leaves_what_needs_no_escape(void **state)
{
    (void)state;
    assert_int_equal(json_text_len((str){NULL, 0}), 2);
    check_literal(STR(""), STR("\"\""));
    check_literal(STR("a"), STR("\"a\""));
    check_literal(STR("12345678"), STR("\"12345678\""));
    check_literal(STR("a/b <script> & 'c'"), STR("\"a/b <script> & 'c'\""));
    check_literal(STR("\x7f"), STR("\"\x7f\""));
    check_literal(STR("d\xc3\xa9j\xc3\xa0 \xe2\x82\xac \xf0\x9f\x98\x80"),
                  STR("\"d\xc3\xa9j\xc3\xa0 \xe2\x82\xac \xf0\x9f\x98\x80\""));
    check_literal(STR("\xe2\x80\xa8\xe2\x80\xa9"), STR("\"\xe2\x80\xa8\xe2\x80\xa9\"")); /* U+2028, U+2029 */
}

static void json_text__escapes_what_has_to_be(void **state)
{
    (void)state;
    check_literal(STR("\""), STR("\"\\\"\""));
    check_literal(STR("\\"), STR("\"\\\\\""));
    check_literal(STR("\b\t\n\f\r"), STR("\"\\b\\t\\n\\f\\r\""));
    check_literal(STR("\0\x01\v\x1f"), STR("\"\\u0000\\u0001\\u000b\\u001f\""));
    check_literal(STR("say \"hi\"\r\n"), STR("\"say \\\"hi\\\"\\r\\n\""));
    check_literal(STR("{\"a\":\"\\u0041\"}"), STR("\"{\\\"a\\\":\\\"\\\\u0041\\\"}\""));
}

/* What looks at eight bytes at once must see what one byte shows. */
static void json_text__sees_each_byte_at_each_place(void **state)
{
    (void)state;
    for (size_t len = 1; len <= 18; len++) {
        for (size_t at = 0; at < len; at++) {
            for (int c = 0; c < 256; c++) {
                char text[18];
                memset(text, 'x', sizeof text);
                text[at] = (char)c;
                check_slowly((str){text, len});
            }
        }
    }
}

static uint32_t next_random(uint32_t *seed)
{
    return (*seed = *seed * 1664525 + 1013904223) >> 16;
}

/** Characters of all lengths, and many that want an escape. */
static void put_random_text(buf *b, uint32_t *seed)
{
    static const char *const pieces[] = {"a",
                                         "\"",
                                         "\\",
                                         "\n",
                                         "\x1e",
                                         "\xc3\xa9",
                                         "\xe2\x82\xac",
                                         "\xf0\x9f\x98\x80",
                                         "a run of plain text",
                                         "\xe2\x80\xa8",
                                         "\\u0041",
                                         "\x7f"};
    for (uint32_t n = next_random(seed) % 40; n; n--)
        buf_put_text(b, pieces[next_random(seed) % N_OF(pieces)]);
    if (next_random(seed) % 4 == 0)
        buf_put(b, "\0", 1);
}

static void json_text__brings_any_text_through(void **state)
{
    uint32_t seed = 1;
    (void)state;
    for (int i = 0; i < 3000; i++) {
        buf text = {0};
        put_random_text(&text, &seed);
        check_slowly(buf_str(&text));
        buf literal = slow_literal(buf_str(&text));
        int64_t n = json_string_decode(buf_str(&literal), literal.at);
        assert_int_equal(n, text.len);
        assert_true(text.len == 0 || memcmp(literal.at, text.at, text.len) == 0);
        buf_done(&literal);
        buf_done(&text);
    }
}

static void json_plain_run__ends_at_the_first_special_byte(void **state)
{
    (void)state;
    char text[40];
    assert_int_equal(json_plain_run(NULL, 0), 0);
    for (size_t len = 0; len <= sizeof text; len++) {
        for (size_t at = 0; at <= len; at++) {
            static const char specials[] = {'"', '\\', '\0', '\n', '\x1f'};
            for (size_t k = 0; k < sizeof specials; k++) {
                memset(text, at % 2 ? '\xff' : ' ', sizeof text);
                for (size_t i = at; i < len; i++) /* and what follows it does not matter */
                    text[i] = specials[(k + i - at) % sizeof specials];
                guard copy = guard_copy(text, len);
                assert_int_equal(json_plain_run(copy.at, len), at);
                guard_free(copy);
            }
        }
    }
}

static void json_ascii_run__ends_beyond_ascii_too(void **state)
{
    (void)state;
    char text[40];
    assert_int_equal(json_ascii_run(NULL, 0), 0);
    for (size_t len = 0; len <= sizeof text; len++) {
        for (size_t at = 0; at <= len; at++) {
            static const char specials[] = {'"', '\x80', '\\', '\xff', '\n'};
            for (size_t k = 0; k < sizeof specials; k++) {
                memset(text, at % 2 ? '\x7f' : ' ', sizeof text);
                for (size_t i = at; i < len; i++)
                    text[i] = specials[(k + i - at) % sizeof specials];
                guard copy = guard_copy(text, len);
                assert_int_equal(json_ascii_run(copy.at, len), at);
                guard_free(copy);
            }
        }
    }
}

static void json_string_end__passes_escapes(void **state)
{
    static const struct {
        str text;
        size_t i, end;
    } cases[] = {
        {STR("\"\""), 0, 2},         {STR("\"a\","), 0, 3},
        {STR("[\"a\"]"), 1, 4},      {STR("\"\\\"\" \""), 0, 4},
        {STR("\"\\\\\"\""), 0, 4},   {STR("\"\\\\\\\"\""), 0, 6},
        {STR("\"\\u0022\" "), 0, 8}, {STR("\"a long run of plain bytes\\\" and another one\" \""), 0, 45},
    };
    (void)state;
    for (size_t i = 0; i < N_OF(cases); i++) {
        guard copy = guard_copy(cases[i].text.at, cases[i].text.len);
        assert_int_equal(json_string_end((str){copy.at, cases[i].text.len}, cases[i].i), cases[i].end);
        guard_free(copy);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(json_text__leaves_what_needs_no_escape),
        cmocka_unit_test(json_text__escapes_what_has_to_be),
        cmocka_unit_test(json_text__sees_each_byte_at_each_place),
        cmocka_unit_test(json_text__brings_any_text_through),
        cmocka_unit_test(json_plain_run__ends_at_the_first_special_byte),
        cmocka_unit_test(json_ascii_run__ends_beyond_ascii_too),
        cmocka_unit_test(json_string_end__passes_escapes),
    };
    return cmocka_run_group_tests_name("json_text", tests, NULL, NULL);
}
