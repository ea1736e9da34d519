#include "proto/http1.h"
#include "support/check.h"
#include "support/guard.h"

static const char text[] =
    "GET / HTTP/1.1\r\nHost: h\r\nAccept: a\r\nX-List: one, \"two, \\\",\" three\r\naccept: b\r\n"
    "X-Empty:\r\nx-list: ,, four ;q=1,\tFIVE ,\r\n\r\n";

static http1_head head_of_text(void)
{
    http1_head head = {0};
    size_t len;
    assert_int_equal(http1_head_feed(&head, text, sizeof text - 1, &len), HTTP1_DONE);
    return head;
}

static void assert_str(str got, const char *expected)
{
    assert_int_equal(got.at == NULL, expected == NULL);
    assert_true(str_equal(got, str_from(expected)));
}

static void http1_fields__are_listed_as_sent_and_trimmed(void **state)
{
    static const char *const expected[][2] = {
        {"Host", "h"},   {"Accept", "a"}, {"X-List", "one, \"two, \\\",\" three"},
        {"accept", "b"}, {"X-Empty", ""}, {"x-list", ",, four ;q=1,\tFIVE ,"},
    };
    (void)state;
    http1_head head = head_of_text();
    assert_int_equal(head.n_fields, N_OF(expected));
    for (size_t i = 0; i < N_OF(expected); i++) {
        assert_str(http1_name(&head, text, i), expected[i][0]);
        assert_str(http1_value(&head, text, i), expected[i][1]);
    }
}

static void http1_fields__are_found_in_any_case(void **state)
{
    (void)state;
    http1_head head = head_of_text();
    assert_str(http1_find(&head, text, "ACCEPT"), "a");
    assert_str(http1_find(&head, text, "x-empty"), "");
    assert_str(http1_find(&head, text, "Accep"), NULL);
    assert_str(http1_find(&head, text, "Accept-"), NULL);
    assert_str(http1_find(&head, text, ""), NULL);
    assert_int_equal(http1_count(&head, text, "accepT"), 2);
    assert_int_equal(http1_count(&head, text, "host"), 1);
    assert_int_equal(http1_count(&head, text, "Cookie"), 0);
}

static void http1_has_token__looks_at_all_fields_of_the_name(void **state)
{
    (void)state;
    http1_head head = head_of_text();
    assert_true(http1_has_token(&head, text, "X-List", "ONE"));
    assert_true(http1_has_token(&head, text, "X-List", "five"));
    assert_true(http1_has_token(&head, text, "X-List", "four ;q=1"));
    assert_true(http1_has_token(&head, text, "accept", "b"));
    assert_false(http1_has_token(&head, text, "X-List", "two"));
    assert_false(http1_has_token(&head, text, "X-List", "four"));
    assert_false(http1_has_token(&head, text, "X-List", ""));
    assert_false(http1_has_token(&head, text, "X-Empty", ""));
    assert_false(http1_has_token(&head, text, "Cookie", "one"));
}

static void http1_list__yields_elements_and_keeps_quoted_strings_whole(void **state)
{
    static const struct {
        const char *list;
        const char *elements[4];
    } cases[] = {
        {"a", {"a"}},
        {"", {NULL}},
        {" ,\t, ", {NULL}},
        {"a,b", {"a", "b"}},
        {" a ,, b c ,\td", {"a", "b c", "d"}},
        {"a;x=\"1,2\", b", {"a;x=\"1,2\"", "b"}},
        {"\"\\\",\",c", {"\"\\\",\"", "c"}},
        {"\"\\\\\",c", {"\"\\\\\"", "c"}},
        {"\\,a", {"\\", "a"}}, /* a backslash means nothing outside */
        {"a, \"b, c", {"a", "\"b, c"}},
        {"\"a\\", {"\"a\\"}},
    };
    (void)state;
    for (size_t i = 0; i < N_OF(cases); i++) {
        guard g = guard_copy(cases[i].list, strlen(cases[i].list));
        str rest = {g.at, strlen(cases[i].list)}, element;
        for (size_t k = 0; cases[i].elements[k]; k++) {
            assert_true(http1_list_next(&rest, &element));
            assert_str(element, cases[i].elements[k]);
        }
        assert_false(http1_list_next(&rest, &element));
        guard_free(g);
    }
    str nothing = {NULL, 0}, element;
    assert_false(http1_list_next(&nothing, &element));
}

static void http1_cookie__finds_the_first_of_that_exact_name(void **state)
{
    static const struct {
        const char *value, *name, *expected;
    } cases[] = {
        {"a=1", "a", "1"},
        {"a=1; b=2", "b", "2"},
        {"a=1;b=2", "b", "2"},
        {"a=1; a=2", "a", "1"},
        {"aa=1; a=2", "a", "2"},
        {"a=; b=2", "a", ""},
        {"a=b=c; d=e", "a", "b=c"},
        {"a=\"1\"", "a", "\"1\""},
        {" a=1 ;\tb=2 ", "b", "2"},
        {"A=1", "a", NULL},
        {"a", "a", NULL},
        {"a; b=1", "b", "1"},
        {"", "a", NULL},
        {";;", "a", NULL},
        {"b=a=1", "a", NULL},
    };
    (void)state;
    for (size_t i = 0; i < N_OF(cases); i++) {
        guard g = guard_copy(cases[i].value, strlen(cases[i].value));
        assert_str(http1_cookie((str){g.at, strlen(cases[i].value)}, str_from(cases[i].name)), cases[i].expected);
        guard_free(g);
    }
    assert_str(http1_cookie((str){NULL, 0}, STR("a")), NULL);
}

/* Said again as RFC 9110 §5.6.2 and §5.5 say it, for every byte there is. */
static void http1_token_and_value__follow_the_grammar(void **state)
{
    static const char tchars[] = "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    (void)state;
    for (int c = 0; c < 256; c++) {
        char bytes[] = {'a', (char)c};
        bool tchar = c != 0 && strchr(tchars, c) != NULL;
        assert_int_equal(http1_is_token((str){bytes, 2}), tchar);
        assert_int_equal(http1_is_token((str){bytes + 1, 1}), tchar);
        bool value = c == '\t' || (c >= ' ' && c != 0x7f);
        assert_int_equal(http1_is_value((str){bytes, 2}), value);
        assert_int_equal(http1_is_value((str){bytes + 1, 1}), value);
    }
    assert_false(http1_is_token((str){NULL, 0}));
    assert_true(http1_is_value((str){NULL, 0}));
}

static void http1_phrase__knows_the_standard_ones(void **state)
{
    (void)state;
    assert_string_equal(http1_phrase(101), "Switching Protocols");
    assert_string_equal(http1_phrase(200), "OK");
    assert_string_equal(http1_phrase(404), "Not Found");
    assert_string_equal(http1_phrase(413), "Content Too Large");
    assert_string_equal(http1_phrase(431), "Request Header Fields Too Large");
    assert_string_equal(http1_phrase(505), "HTTP Version Not Supported");
    assert_string_equal(http1_phrase(599), "Unknown");
    assert_string_equal(http1_phrase(-1), "Unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(http1_fields__are_listed_as_sent_and_trimmed),
        cmocka_unit_test(http1_fields__are_found_in_any_case),
        cmocka_unit_test(http1_has_token__looks_at_all_fields_of_the_name),
        cmocka_unit_test(http1_list__yields_elements_and_keeps_quoted_strings_whole),
        cmocka_unit_test(http1_cookie__finds_the_first_of_that_exact_name),
        cmocka_unit_test(http1_token_and_value__follow_the_grammar),
        cmocka_unit_test(http1_phrase__knows_the_standard_ones),
    };
    return cmocka_run_group_tests_name("http1_fields", tests, NULL, NULL);
}
