#include "proto/form.h"

#include "support/check.h"
#include "support/guard.h"

static str decoded(str raw, char *room)
{
    return (str){room, form_decode(raw, room)};
}

/* The pairs of a text, decoded, as lines of name=value. */
static void check_pairs(const char *text, const char *expected)
{
    guard g = guard_copy(text, strlen(text));
    str rest = {g.at, strlen(text)}, name, value;
    char lines[512], *end = lines;
    while (form_next(&rest, &name, &value)) {
        assert_true(name.at >= g.at && value.at && value.at + value.len <= g.at + strlen(text));
        end += form_decode(name, end);
        *end++ = '=';
        end += form_decode(value, end);
        *end++ = '\n';
    }
    *end = '\0';
    assert_string_equal(lines, expected);
    guard_free(g);
}

static void form_next__splits_at_ampersands_and_the_first_equals_sign(void **state)
{
    (void)state;
    check_pairs("", "");
    check_pairs("a", "a=\n");
    check_pairs("a=", "a=\n");
    check_pairs("=", "=\n");
    check_pairs("=a", "=a\n");
    check_pairs("a=b", "a=b\n");
    check_pairs("a=b=c", "a=b=c\n");
    check_pairs("a==", "a==\n");
    check_pairs("a=b&c=d", "a=b\nc=d\n");
    check_pairs("a&b", "a=\nb=\n");
    check_pairs("a=1&a=2&a", "a=1\na=2\na=\n");
    check_pairs("a=b;c=d", "a=b;c=d\n"); /* a semicolon is no separator */
    check_pairs("?a=b", "?a=b\n");
    check_pairs("EIO=4&transport=polling&sid=x-_.", "EIO=4\ntransport=polling\nsid=x-_.\n");
}

static void form_next__skips_empty_pieces(void **state)
{
    (void)state;
    check_pairs("&", "");
    check_pairs("&&&", "");
    check_pairs("&a=b", "a=b\n");
    check_pairs("a=b&", "a=b\n");
    check_pairs("&&a=b&&&c=d&&", "a=b\nc=d\n");
    check_pairs("a&=&b", "a=\n=\nb=\n");
}

static void form_next__splits_before_it_decodes(void **state)
{
    (void)state;
    check_pairs("a%3Db=c%26d=e", "a=b=c&d=e\n");
    check_pairs("%26=%3d&%2526", "&==\n%26=\n");
    check_pairs("a+b=c+d", "a b=c d\n");
}

static void form_next__leaves_its_outputs_alone_at_the_end(void **state)
{
    str rest = STR("&"), name = STR("n"), value = STR("v");
    (void)state;
    assert_false(form_next(&rest, &name, &value));
    assert_false(form_next(&rest, &name, &value));
    assert_true(str_equal(name, STR("n")) && str_equal(value, STR("v")));
    rest = (str){NULL, 0};
    assert_false(form_next(&rest, &name, &value));
}

/* Elsewhere and in place, both at an unreadable page. */
static void check_decoded(str raw, str expected)
{
    guard in = guard_copy(raw.at, raw.len), out = guard_copy(raw.at, raw.len);
    str text = decoded((str){in.at, raw.len}, out.at);
    assert_true(str_equal(text, expected));
    text = decoded((str){in.at, raw.len}, in.at);
    assert_true(str_equal(text, expected));
    guard_free(in);
    guard_free(out);
}

static void form_decode__decodes_plus_and_escapes_once(void **state)
{
    (void)state;
    check_decoded(STR(""), STR(""));
    check_decoded(STR("a"), STR("a"));
    check_decoded(STR("+"), STR(" "));
    check_decoded(STR("a+b++"), STR("a b  "));
    check_decoded(STR("%2B+%20"), STR("+  "));
    check_decoded(STR("%41%6a%4A%4a"), STR("AjJJ"));
    check_decoded(STR("%00%ff%0D%0a"), STR("\0\xff\r\n"));
    check_decoded(STR("%C3%A9\xc3\xa9"), STR("\xc3\xa9\xc3\xa9"));
    check_decoded(STR("%2541"), STR("%41"));
    check_decoded(STR("%25%34%31"), STR("%41"));
    check_decoded(STR("a\0b"), STR("a\0b"));
    check_decoded(STR("~!@#$^&*()_-={}[]|\\:;\"'<>,.?/"), STR("~!@#$^&*()_-={}[]|\\:;\"'<>,.?/"));
}

static void form_decode__leaves_bad_escapes_as_they_are(void **state)
{
    (void)state;
    check_decoded(STR("%"), STR("%"));
    check_decoded(STR("100%"), STR("100%"));
    check_decoded(STR("%4"), STR("%4"));
    check_decoded(STR("%g4"), STR("%g4"));
    check_decoded(STR("%4g"), STR("%4g"));
    check_decoded(STR("%%"), STR("%%"));
    check_decoded(STR("%%41"), STR("%A"));
    check_decoded(STR("%4%41"), STR("%4A"));
    check_decoded(STR("%+1"), STR("% 1"));
    check_decoded(STR("% 1"), STR("% 1"));
    check_decoded(STR("%u0041"), STR("%u0041"));
    check_decoded(STR("%0x41"), STR("%0x41"));
}

static void form_equal__compares_what_the_escapes_stand_for(void **state)
{
    static const struct {
        str raw, text;
        bool equal;
    } cases[] = {
        {{"", 0}, {"", 0}, true},       {{NULL, 0}, {NULL, 0}, true},    {{"a", 1}, {"a", 1}, true},
        {{"a", 1}, {"A", 1}, false},    {{"%61", 3}, {"a", 1}, true},    {{"%61", 3}, {"%61", 3}, false},
        {{"a", 1}, {"%61", 3}, false},  {{"a+b", 3}, {"a b", 3}, true},  {{"a+b", 3}, {"a+b", 3}, false},
        {{"%", 1}, {"%", 1}, true},     {{"a", 1}, {"ab", 2}, false},    {{"ab", 2}, {"a", 1}, false},
        {{"", 0}, {"a", 1}, false},     {{"a", 1}, {"", 0}, false},      {{"%61%62", 6}, {"a", 1}, false},
        {{"a%00", 4}, {"a", 1}, false}, {{"a%00", 4}, {"a\0", 2}, true},
    };
    (void)state;
    for (size_t i = 0; i < N_OF(cases); i++) {
        guard raw = guard_copy(cases[i].raw.at, cases[i].raw.len),
              text = guard_copy(cases[i].text.at, cases[i].text.len);
        bool equal = form_equal((str){raw.at, cases[i].raw.len}, (str){text.at, cases[i].text.len});
        assert_int_equal(equal, cases[i].equal);
        guard_free(raw);
        guard_free(text);
    }
}

static void form_find__finds_the_first_value_of_a_name(void **state)
{
    static const struct {
        const char *form, *name, *value; /* NULL: none */
    } cases[] = {
        {"", "a", NULL},
        {"a=1", "a", "1"},
        {"a=1&a=2", "a", "1"},
        {"b=1&a=2", "a", "2"},
        {"a", "a", ""},
        {"a&a=1", "a", ""},
        {"ab=1", "a", NULL},
        {"b=a&c=a=3", "a", NULL},
        {"A=1", "a", NULL},
        {"%61=%31", "a", "%31"},
        {"x+y=1", "x y", "1"},
        {"x%2By=1", "x+y", "1"},
        {"=1", "", "1"},
        {"&&", "", NULL},
        {"a%5B%5D=1", "a[]", "1"},
        {"a[0]=1&&a[1]=2&", "a[1]", "2"},
        {"100%=1", "100%", "1"},
        {"EIO=4&transport=polling&sid=", "sid", ""},
    };
    (void)state;
    for (size_t i = 0; i < N_OF(cases); i++) {
        str value = form_find(str_from(cases[i].form), str_from(cases[i].name));
        assert_int_equal(value.at != NULL, cases[i].value != NULL);
        assert_true(str_equal(value, str_from(cases[i].value)));
    }
    assert_null(form_find((str){NULL, 0}, STR("a")).at);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(form_next__splits_at_ampersands_and_the_first_equals_sign),
        cmocka_unit_test(form_next__skips_empty_pieces),
        cmocka_unit_test(form_next__splits_before_it_decodes),
        cmocka_unit_test(form_next__leaves_its_outputs_alone_at_the_end),
        cmocka_unit_test(form_decode__decodes_plus_and_escapes_once),
        cmocka_unit_test(form_decode__leaves_bad_escapes_as_they_are),
        cmocka_unit_test(form_equal__compares_what_the_escapes_stand_for),
        cmocka_unit_test(form_find__finds_the_first_value_of_a_name),
    };
    return cmocka_run_group_tests_name("form", tests, NULL, NULL);
}
