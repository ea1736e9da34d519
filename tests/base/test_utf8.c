#include "base/str.h"
#include "base/utf8.h"
#include "support/check.h"
#include "support/guard.h"

typedef struct {
    str text;
    size_t n_valid; /* offset of the first wrong byte; the length when there is none */
    bool complete;  /* of what is valid: ends between two characters; looked at when nothing is wrong */
} vector;

#define GOOD(text)                                                                                                     \
    {                                                                                                                  \
        STR(text), sizeof text - 1, true                                                                               \
    }
#define BAD(at, text)                                                                                                  \
    {                                                                                                                  \
        STR(text), at, false                                                                                           \
    }
#define UNFINISHED(text)                                                                                               \
    {                                                                                                                  \
        STR(text), sizeof text - 1, false                                                                              \
    }

static size_t feed_all(utf8_state *s, const char *at, size_t len, size_t piece)
{
    for (size_t i = 0; i < len; i += piece) {
        size_t n = len - i < piece ? len - i : piece;
        size_t taken = utf8_feed(s, at + i, n);
        if (taken < n)
            return i + taken;
    }
    return len;
}

static void check_result(const vector *v, const utf8_state *s, size_t n_valid)
{
    assert_int_equal(n_valid, v->n_valid);
    if (n_valid == v->text.len)
        assert_int_equal(utf8_complete(s), v->complete);
}

/** Whole, in pieces of every size, split once at every byte; always up to an unreadable page. */
static void check_bytes(const vector *v)
{
    size_t len = v->text.len;
    guard copy = guard_copy(v->text.at, len);
    assert_int_equal(utf8_valid(copy.at, len), v->n_valid == len && v->complete);
    for (size_t piece = 1; piece <= len; piece++) {
        utf8_state s = {0};
        check_result(v, &s, feed_all(&s, copy.at, len, piece));
    }
    for (size_t split = 0; split <= len; split++) {
        utf8_state s = {0};
        guard head = guard_copy(copy.at, split);
        size_t n = utf8_feed(&s, head.at, split);
        guard_free(head);
        if (n == split)
            n += utf8_feed(&s, copy.at + split, len - split);
        check_result(v, &s, n);
    }
    guard_free(copy);
}

/** A vector as it stands, and behind and before ASCII of many lengths, so that words of eight bytes cut it everywhere.
 */
static void check_vectors(const vector *vectors, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const vector *v = &vectors[i];
        check_bytes(v);
        for (size_t before = 1; before < 20; before++) {
            char text[128];
            memset(text, 'a', sizeof text);
            memcpy(text + before, v->text.at, v->text.len);
            vector longer = {{text, before + v->text.len}, before + v->n_valid, v->complete};
            check_bytes(&longer);
            if (v->n_valid == v->text.len && !v->complete)
                continue;
            longer.text.len += 34;
            longer.n_valid += v->complete ? 34 : 0;
            check_bytes(&longer);
        }
    }
}

static void utf8__accepts_well_formed_text(void **state)
{
    (void)state;
    static const vector vectors[] = {
        GOOD(""),
        GOOD("\0"),
        GOOD("plain ASCII, long enough for several words\x7f"),
        GOOD("\xc2\x80"),
        GOOD("\xdf\xbf"),
        GOOD("\xe0\xa0\x80"),
        GOOD("\xed\x9f\xbf"),
        GOOD("\xee\x80\x80"),
        GOOD("\xef\xbb\xbf"),
        GOOD("\xef\xbf\xbf"),
        GOOD("\xf0\x90\x80\x80"),
        GOOD("\xf1\x80\x80\x80"),
        GOOD("\xf4\x8f\xbf\xbf"),
        GOOD("d\xc3\xa9j\xc3\xa0 vu \xe2\x82\xac \xf0\x9f\x98\x80!"),
        GOOD("\xe7\xb6\xb2\xe8\xb7\xaf\xe7\xb6\xb2\xe8\xb7\xaf"),
    };
    check_vectors(vectors, N_OF(vectors));
}

static void utf8__rejects_stray_and_impossible_bytes(void **state)
{
    (void)state;
    static const vector vectors[] = {
        BAD(0, "\x80"),
        BAD(0, "\xbf"),
        BAD(0, "\xf8\x88\x80\x80\x80"),
        BAD(0, "\xfc"),
        BAD(0, "\xfe"),
        BAD(0, "\xff"),
        BAD(0, "\xf5\x80"),
        BAD(2, "\xc3\xa9\xa9"),
        BAD(3, "\xe2\x82\xac\x80"),
        BAD(4, "\xf0\x9f\x98\x80\x80"),
    };
    check_vectors(vectors, N_OF(vectors));
}

static void utf8__rejects_overlong_forms(void **state)
{
    (void)state;
    static const vector vectors[] = {
        BAD(0, "\xc0\x80"),     BAD(0, "\xc0\xaf"),         BAD(0, "\xc1\xbf"),         BAD(1, "\xe0\x80\xaf"),
        BAD(1, "\xe0\x9f\xbf"), BAD(1, "\xf0\x80\x80\xaf"), BAD(1, "\xf0\x8f\xbf\xbf"),
    };
    check_vectors(vectors, N_OF(vectors));
}

static void utf8__rejects_surrogates(void **state)
{
    (void)state;
    static const vector vectors[] = {
        BAD(1, "\xed\xa0\x80"),
        BAD(1, "\xed\xaf\xbf"),
        BAD(1, "\xed\xb0\x80"),
        BAD(1, "\xed\xbf\xbf"),
        BAD(1, "\xed\xa0\xbd\xed\xb8\x80"),
    };
    check_vectors(vectors, N_OF(vectors));
}

static void utf8__rejects_what_is_above_10ffff(void **state)
{
    (void)state;
    static const vector vectors[] = {
        BAD(1, "\xf4\x90\x80\x80"),
        BAD(1, "\xf4\xbf\xbf\xbf"),
        BAD(0, "\xf5\x80\x80\x80"),
        BAD(0, "\xf7\xbf\xbf\xbf"),
    };
    check_vectors(vectors, N_OF(vectors));
}

static void utf8__rejects_characters_broken_off(void **state)
{
    (void)state;
    static const vector vectors[] = {
        BAD(1, "\xc3"
               "a"),
        BAD(1, "\xc3\xc3"),
        BAD(1, "\xe2"
               "a"),
        BAD(2, "\xe2\x82"
               "a"),
        BAD(2, "\xe2\x82\xe2"),
        BAD(1, "\xf0"
               "a"),
        BAD(2, "\xf0\x9f"
               "a"),
        BAD(3, "\xf0\x9f\x98"
               "a"),
        BAD(3, "\xf0\x9f\x98\xf0"),
        BAD(1, "\xc3\0"),
    };
    check_vectors(vectors, N_OF(vectors));
}

static void utf8__waits_for_an_unfinished_character(void **state)
{
    (void)state;
    static const vector vectors[] = {
        UNFINISHED("\xc3"),     UNFINISHED("\xe2"),         UNFINISHED("\xe2\x82"),    UNFINISHED("\xf0"),
        UNFINISHED("\xf0\x9f"), UNFINISHED("\xf0\x9f\x98"), UNFINISHED("ok \xed\x9f"), UNFINISHED("\xf4\x8f"),
    };
    check_vectors(vectors, N_OF(vectors));
}

static size_t encode(uint32_t code, char *text)
{
    static const uint8_t leads[] = {0, 0, 0xc0, 0xe0, 0xf0};
    if (code < 0x80) {
        text[0] = (char)code;
        return 1;
    }
    size_t n = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    for (size_t i = n - 1; i > 0; i--, code >>= 6)
        text[i] = (char)(0x80 | (code & 0x3f));
    text[0] = (char)(leads[n] | code);
    return n;
}

static void utf8__accepts_exactly_the_code_points(void **state)
{
    (void)state;
    for (uint32_t code = 0; code < 0x200000; code++) {
        char text[4];
        size_t n = encode(code, text);
        bool scalar = code <= 0x10ffff && (code < 0xd800 || code > 0xdfff);
        assert_int_equal(utf8_valid(text, n), scalar);
    }
}

/* With every code point accepted, accepting as many strings as there are code points means accepting no others. */
static void utf8__accepts_no_other_strings(void **state)
{
    (void)state;
    size_t n_two = 0, n_three = 0, n_four = 0;
    char text[4];
    for (uint32_t i = 0; i < 0x10000; i++) {
        text[0] = (char)(i >> 8), text[1] = (char)i;
        n_two += utf8_valid(text, 2);
    }
    assert_int_equal(n_two, 128 * 128 + (0x800 - 0x80));
    for (uint32_t i = 0xc00000; i < 0x1000000; i++) {
        text[0] = (char)(i >> 16), text[1] = (char)(i >> 8), text[2] = (char)i;
        n_three += utf8_valid(text, 3);
    }
    assert_int_equal(n_three, (0x10000 - 0x800 - 0x800) + (0x800 - 0x80) * 128);
    static const uint8_t last[] = {0x00, 0x7f, 0x80, 0xbf, 0xc0, 0xff};
    for (uint32_t i = 0; i < 0x1000 * N_OF(last) * N_OF(last); i++) {
        text[0] = (char)(0xf0 | (i & 0xf)), text[1] = (char)(i >> 4);
        text[2] = (char)last[(i >> 12) % N_OF(last)], text[3] = (char)last[(i >> 12) / N_OF(last)];
        n_four += utf8_valid(text, 4);
    }
    assert_int_equal(n_four, 0x100000 / 0x1000 * 2 * 2);
}

static void utf8__finds_a_wrong_byte_anywhere_in_long_text(void **state)
{
    (void)state;
    for (size_t len = 1; len < 100; len++) {
        for (size_t wrong = 0; wrong < len; wrong++) {
            char text[100];
            memset(text, '~', len);
            text[wrong] = '\x80';
            guard copy = guard_copy(text, len);
            utf8_state s = {0};
            assert_int_equal(utf8_feed(&s, copy.at, len), wrong);
            assert_int_equal(ascii_run(copy.at, len), wrong);
            guard_free(copy);
        }
    }
}

static void utf8__ascii_run_ends_at_the_end(void **state)
{
    (void)state;
    assert_int_equal(ascii_run(NULL, 0), 0);
    for (size_t len = 0; len < 100; len++) {
        char text[100];
        memset(text, '\x7f', len);
        guard copy = guard_copy(text, len);
        assert_int_equal(ascii_run(copy.at, len), len);
        guard_free(copy);
    }
}

static void utf8__nothing_is_valid(void **state)
{
    (void)state;
    utf8_state s = {0};
    assert_true(utf8_valid(NULL, 0));
    assert_int_equal(utf8_feed(&s, NULL, 0), 0);
    assert_true(utf8_complete(&s));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(utf8__accepts_well_formed_text),
        cmocka_unit_test(utf8__rejects_stray_and_impossible_bytes),
        cmocka_unit_test(utf8__rejects_overlong_forms),
        cmocka_unit_test(utf8__rejects_surrogates),
        cmocka_unit_test(utf8__rejects_what_is_above_10ffff),
        cmocka_unit_test(utf8__rejects_characters_broken_off),
        cmocka_unit_test(utf8__waits_for_an_unfinished_character),
        cmocka_unit_test(utf8__accepts_exactly_the_code_points),
        cmocka_unit_test(utf8__accepts_no_other_strings),
        cmocka_unit_test(utf8__finds_a_wrong_byte_anywhere_in_long_text),
        cmocka_unit_test(utf8__ascii_run_ends_at_the_end),
        cmocka_unit_test(utf8__nothing_is_valid),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
