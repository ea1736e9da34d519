#include "proto/json.h"
#include "proto/socketio.h"
#include "support/check.h"
#include "support/guard.h"

#include <stdio.h>

/** `least` is how many attachments it takes for all to fit, -1 when no number is enough. */
static void check_fit(const char *json, int least)
{
    guard copy = guard_copy(json, strlen(json));
    str text = {copy.at, strlen(json)};
    assert_true(json_check(text) > 0);
    for (uint32_t n = 0; n < 15; n++) {
        bool fit = least >= 0 && n >= (uint32_t)least;
        if (socketio_placeholders_fit(text, n) != fit)
            print_error("%s with %u attachments\n", json, n);
        assert_int_equal(socketio_placeholders_fit(text, n), fit);
    }
    assert_int_equal(socketio_placeholders_fit(text, UINT32_MAX), least >= 0);
    guard_free(copy);
}

static void socketio_placeholder__finds_them_wherever_they_are(void **state)
{
    (void)state;
    check_fit("[{\"_placeholder\":true,\"num\":0}]", 1);
    check_fit("{\"_placeholder\":true,\"num\":0}", 1);
    check_fit("{\"num\":2,\"_placeholder\":true}", 3);
    check_fit(" { \"_placeholder\" : true , \"num\" : 9 } ", 10);
    check_fit("[{\"_placeholder\":true,\"num\":0},{\"num\":99},{}]", 1);
    check_fit("[\"x\",{\"_placeholder\":true,\"num\":1},{\"_placeholder\":true,\"num\":0}]", 2);
    check_fit("[{\"a\":{\"b\":[1,[{\"_placeholder\":true,\"num\":4}]]}},{\"num\":7}]", 5);
    check_fit("[{\"a\":{\"_placeholder\":true,\"num\":12},\"b\":1}]", 13);
    check_fit("[{\"\\u005fplaceholder\":true,\"n\\u0075m\":3}]", 4);
    check_fit("[[],{},[{\"_placeholder\":true,\"num\":0}],{}]", 1);
}

static void socketio_placeholder__leaves_other_objects_alone(void **state)
{
    (void)state;
    check_fit("[]", 0);
    check_fit("{}", 0);
    check_fit("1", 0);
    check_fit("\"_placeholder\"", 0);
    check_fit("[\"_placeholder\",true,\"num\",99]", 0);
    check_fit("[{\"_placeholder\":false,\"num\":99}]", 0);
    check_fit("[{\"_placeholder\":1,\"num\":99}]", 0);
    check_fit("[{\"_placeholder\":\"true\",\"num\":99}]", 0);
    check_fit("[{\"_placeholder\":{\"_placeholder\":null},\"num\":99}]", 0);
    check_fit("[{\"_placeholders\":true,\"num\":99}]", 0);
    check_fit("[{\"num\":99}]", 0);
    check_fit("[\"{\\\"_placeholder\\\":true,\\\"num\\\":9}\"]", 0);
    check_fit("[{\"a\":\"_placeholder\",\"b\":true,\"num\":9}]", 0);
}

static void socketio_placeholder__numbers_are_digits_alone(void **state)
{
    (void)state;
    static const char *const numbers[] = {"-1",    "-0",   "0.0",        "1e0",        "1E0",
                                          "0.5",   "null", "2147483648", "4294967296", "99999999999999999999",
                                          "\"0\"", "[0]",  "{}",         "true"};
    for (size_t i = 0; i < N_OF(numbers); i++) {
        char json[96];
        snprintf(json, sizeof json, "[{\"_placeholder\":true,\"num\":%s}]", numbers[i]);
        check_fit(json, -1);
        assert_int_equal(socketio_placeholder((str){json + 1, strlen(json) - 2}), -1);
    }
    check_fit("[{\"_placeholder\":true}]", -1);
    check_fit("[{\"_placeholder\":true,\"Num\":0}]", -1);
}

static void socketio_placeholder__the_last_of_a_name_counts(void **state)
{
    (void)state;
    check_fit("[{\"_placeholder\":true,\"num\":9,\"num\":0}]", 1);
    check_fit("[{\"_placeholder\":true,\"num\":0,\"num\":9}]", 10);
    check_fit("[{\"_placeholder\":true,\"num\":0,\"num\":null}]", -1);
    check_fit("[{\"_placeholder\":true,\"num\":9,\"_placeholder\":false}]", 0);
    check_fit("[{\"_placeholder\":false,\"num\":9,\"_placeholder\":true}]", 10);
}

static void socketio_placeholder__replaces_all_that_is_in_it(void **state)
{
    (void)state;
    check_fit("[{\"_placeholder\":true,\"num\":0,\"x\":{\"_placeholder\":true,\"num\":9}}]", 1);
    check_fit("[{\"x\":[{\"_placeholder\":true,\"num\":9}],\"_placeholder\":true,\"num\":1}]", 2);
    check_fit("[{\"x\":{\"_placeholder\":true,\"num\":9},\"num\":1}]", 10);
    check_fit("[{\"_placeholder\":true,\"num\":0,\"x\":1},{\"_placeholder\":true,\"num\":5}]", 6);
}

static void socketio_placeholder__goes_as_deep_as_json_may(void **state)
{
    (void)state;
    char json[8 * JSON_MAX_DEPTH] = "";
    for (int i = 0; i < JSON_MAX_DEPTH - 1; i++)
        strcat(json, i % 2 ? "[" : "{\"a\":");
    strcat(json, "{\"_placeholder\":true,\"num\":3}");
    for (int i = JSON_MAX_DEPTH - 2; i >= 0; i--)
        strcat(json, i % 2 ? "]" : "}");
    check_fit(json, 4);
}

static void socketio_placeholder__tells_its_number(void **state)
{
    (void)state;
    assert_int_equal(socketio_placeholder(STR("{\"_placeholder\":true,\"num\":0}")), 0);
    assert_int_equal(socketio_placeholder(STR(" { \"num\" : 12 , \"x\" : [1] , \"_placeholder\" : true } ")), 12);
    assert_int_equal(socketio_placeholder(STR("{\"_placeholder\":true,\"num\":2147483647}")), 2147483647);
    assert_int_equal(socketio_placeholder(STR("{\"_placeholder\":true,\"num\":1,\"num\":2}")), 2);
    static const char *const others[] = {
        "1",
        "\"a\"",
        "null",
        "[]",
        "{}",
        "[true,0]",
        "[\"_placeholder\",true,\"num\",1]",
        "{\"num\":1}",
        "{\"_placeholder\":true}",
        "{\"_placeholder\":false,\"num\":1}",
        "{\"_placeholder\":true,\"num\":1,\"_placeholder\":null}",
        "{\"a\":{\"_placeholder\":true,\"num\":1}}",
        "[{\"_placeholder\":true,\"num\":1}]",
    };
    for (size_t i = 0; i < N_OF(others); i++)
        assert_int_equal(socketio_placeholder(str_from(others[i])), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(socketio_placeholder__finds_them_wherever_they_are),
        cmocka_unit_test(socketio_placeholder__leaves_other_objects_alone),
        cmocka_unit_test(socketio_placeholder__numbers_are_digits_alone),
        cmocka_unit_test(socketio_placeholder__the_last_of_a_name_counts),
        cmocka_unit_test(socketio_placeholder__replaces_all_that_is_in_it),
        cmocka_unit_test(socketio_placeholder__goes_as_deep_as_json_may),
        cmocka_unit_test(socketio_placeholder__tells_its_number),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
