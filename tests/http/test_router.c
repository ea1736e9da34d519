#include "http/router.h"
#include "support/check.h"
#include <errno.h>
#include <string.h>

static router the_router;
static int n_freed;

static int start(void **state)
{
    (void)state;
    router_init(&the_router);
    n_freed = 0;
    return 0;
}

static int stop(void **state)
{
    (void)state;
    router_done(&the_router);
    assert_null(the_router.first);
    return 0;
}

static void serve(exchange *e, const weft_request *request, void *user)
{
    (void)e;
    (void)request;
    (void)user;
}

static void count_freed(void *user)
{
    (void)user;
    n_freed++;
}

static int try_add(const char *pattern, const char *method)
{
    const char *problem;
    route_spec spec = {.method = method, .serve = serve, .user = (void *)(uintptr_t)pattern, .free_user = count_freed};
    int error = route_parse(pattern, &spec, &problem);
    return error ? error : router_add(&the_router, &spec);
}

static void add(const char *pattern, const char *method)
{
    assert_int_equal(try_add(pattern, method), 0);
}

static route_match find_on(uint16_t port, const char *method, const char *path)
{
    return router_find(&the_router, port, str_from(method), false, str_from(path));
}

static route_match find(const char *path)
{
    return find_on(80, "GET", path);
}

static void finds(const char *path, const char *pattern)
{
    route_match match = find(path);
    if (!pattern) {
        assert_null(match.found);
        return;
    }
    assert_non_null(match.found);
    assert_string_equal(match.found->spec.user, pattern);
}

/* ---- matching ---- */

static void router__matches(void **state)
{
    (void)state;
    static const struct {
        const char *pattern, *path;
        bool match;
    } cases[] = {
        {"/", "/", true},
        {"/", "/a", false},
        {"/", "//", false},
        {"/a", "/a", true},
        {"/a", "/", false},
        {"/a", "/A", false},
        {"/a", "/a/", false},
        {"/a", "/ab", false},
        {"/a", "/a/b", false},
        {"/a/", "/a/", true},
        {"/a/", "/a", false},
        {"/a/b", "/a/b", true},
        {"/a//b", "/a/b", false},
        {"/:x", "/a", true},
        {"/:x", "/", false},
        {"/:x", "/a/", false},
        {"/:x", "/a/b", false},
        {"/:x", "/:x", true},
        {"/:x/b", "/a/b", true},
        {"/:x/b", "//b", false},
        {"/a/:x/b/:y", "/a/1/b/2", true},
        {"/a/:x/b/:y", "/a/1/b", false},
        {"/a/:x/b/:y", "/a/1/c/2", false},
        {"/*", "/", true},
        {"/*", "/a/b/c", true},
        {"/a/*", "/a/", true},
        {"/a/*", "/a", false},
        {"/a/*", "/a//", true},
        {"/a/*", "/b/c", false},
        {"/a/:x/*", "/a/1/2/3", true},
        {"/a/:x/*", "/a/1", false},
    };
    for (size_t i = 0; i < N_OF(cases); i++) {
        start(NULL);
        add(cases[i].pattern, "GET");
        if ((find(cases[i].path).found != NULL) != cases[i].match)
            fail_msg("%s %s %s", cases[i].pattern, cases[i].match ? "does not match" : "matches", cases[i].path);
        stop(NULL);
    }
}

/* Added in any order, the most specific one serves. */
static void router__prefers_the_most_specific(void **state)
{
    (void)state;
    static const char *const patterns[] = {"/*", "/:x", "/a", "/a/*", "/a/:x", "/a/b", "/:x/b", "/:x/:y/c", "/a/:x/*"};
    static const struct {
        const char *path, *pattern;
    } cases[] = {
        {"/", "/*"},           {"/a", "/a"},          {"/b", "/:x"},
        {"/a/", "/a/*"},       {"/a/c", "/a/:x"},     {"/a/b", "/a/b"},
        {"/c/b", "/:x/b"},     {"/c/d", "/*"},        {"/c/d/c", "/:x/:y/c"},
        {"/a/d/c", "/a/:x/*"}, {"/a/b/c", "/a/:x/*"}, {"/a/b/c/d", "/a/:x/*"},
    };
    for (size_t first = 0; first < N_OF(patterns); first++) {
        start(NULL);
        for (size_t i = 0; i < N_OF(patterns); i++)
            add(patterns[(first + i) % N_OF(patterns)], "GET");
        for (size_t i = 0; i < N_OF(cases); i++)
            finds(cases[i].path, cases[i].pattern);
        stop(NULL);
    }
}

static void router__of_two_equals_the_first_serves(void **state)
{
    (void)state;
    add("/:x", "GET");
    add("/:y", "GET");
    finds("/a", "/:x");
}

static void router__a_port_limits_and_prefers(void **state)
{
    (void)state;
    add("/a", "GET");
    add(":8080/a", "GET");
    add(":8080/b", "GET");
    assert_string_equal(find_on(8080, "GET", "/a").found->spec.user, ":8080/a");
    assert_string_equal(find_on(8080, "GET", "/a").found->spec.pattern, "/a");
    assert_string_equal(find_on(80, "GET", "/a").found->spec.user, "/a");
    assert_non_null(find_on(8080, "GET", "/b").found);
    assert_null(find_on(80, "GET", "/b").found);
    assert_false(find_on(80, "POST", "/b").other_method);
}

static void router__specific_goes_before_port(void **state)
{
    (void)state;
    add(":8080/*", "GET");
    add("/a", "GET");
    assert_string_equal(find_on(8080, "GET", "/a").found->spec.user, "/a");
}

/* ---- methods and upgrades ---- */

static void router__tells_method_and_path_apart(void **state)
{
    (void)state;
    add("/get", "GET");
    add("/post", "POST");
    add("/both", "GET");
    add("/both", "POST");
    assert_non_null(find_on(80, "HEAD", "/get").found);
    assert_null(find_on(80, "HEAD", "/post").found);
    assert_true(find_on(80, "HEAD", "/post").other_method);
    assert_true(find_on(80, "get", "/get").other_method);
    assert_true(find_on(80, "DELETE", "/both").other_method);
    assert_string_equal(find_on(80, "POST", "/both").found->spec.method, "POST");
    assert_string_equal(find_on(80, "HEAD", "/both").found->spec.method, "GET");
    route_match nowhere = find("/nowhere");
    assert_true(!nowhere.found && !nowhere.other_method && !nowhere.needs_upgrade);
}

static void router__a_method_may_be_served_by_a_wider_pattern(void **state)
{
    (void)state;
    add("/a", "POST");
    add("/*", "GET");
    finds("/a", "/*");
}

static route_match find_upgrade(const char *path)
{
    return router_find(&the_router, 80, STR("GET"), true, str_from(path));
}

static void router__an_upgrade_goes_to_a_websocket_route_if_any(void **state)
{
    (void)state;
    add("/page", "GET");
    add("/chat", NULL);
    add("/both", "GET");
    add("/both", NULL);
    add("/both", "GET");
    assert_true(find("/chat").needs_upgrade);
    assert_null(find("/chat").found);
    assert_null(find_upgrade("/chat").found->spec.method);
    assert_null(find_upgrade("/both").found->spec.method);
    assert_string_equal(find("/both").found->spec.method, "GET");
    assert_string_equal(find_upgrade("/page").found->spec.method, "GET");
    assert_null(find_upgrade("/nowhere").found);
}

static void router__an_upgrade_goes_to_a_wider_websocket_route_rather_than_to_a_page(void **state)
{
    (void)state;
    add("/*", NULL);
    add("/a", "GET");
    assert_null(find_upgrade("/a").found->spec.method);
    finds("/a", "/a");
}

/* ---- parameters ---- */

static void router__gives_parameters(void **state)
{
    (void)state;
    static const struct {
        const char *pattern, *path, *name, *value;
    } cases[] = {
        {"/rooms/:room", "/rooms/lobby", "room", "lobby"},
        {"/rooms/:room", "/rooms/lobby", "ro", NULL},
        {"/rooms/:room", "/rooms/lobby", ":room", NULL},
        {"/rooms/:room", "/rooms/lobby", "rooms", NULL},
        {"/rooms/:room", "/rooms/lobby", "", NULL},
        {"/rooms/:room", "/rooms/lobby", "*", NULL},
        {"/:a/:b", "/1/2", "a", "1"},
        {"/:a/:b", "/1/2", "b", "2"},
        {"/:a/x/*", "/1/x/2/3", "a", "1"},
        {"/:a/x/*", "/1/x/2/3", "*", "2/3"},
        {"/*", "/", "*", ""},
        {"/files/*", "/files/", "*", ""},
    };
    for (size_t i = 0; i < N_OF(cases); i++) {
        start(NULL);
        add(cases[i].pattern, "GET");
        str value = route_param(the_router.first, str_from(cases[i].path), cases[i].name);
        assert_int_equal(value.at == NULL, cases[i].value == NULL);
        assert_true(str_equal(value, str_from(cases[i].value)));
        stop(NULL);
    }
}

/* ---- bad patterns and memory ---- */

static void route__refuses_bad_patterns(void **state)
{
    (void)state;
    static const struct {
        const char *pattern, *problem;
    } cases[] = {
        {NULL, "is missing"},
        {"", "does not begin with a slash"},
        {"a", "does not begin with a slash"},
        {"*", "does not begin with a slash"},
        {":8080", "does not begin with a slash"},
        {":8080a", "does not begin with a slash"},
        {":0/a", "has a port that is not a number from 1 to 65535"},
        {":65536/a", "has a port that is not a number from 1 to 65535"},
        {":/a", "has a port that is not a number from 1 to 65535"},
        {":x/a", "has a port that is not a number from 1 to 65535"},
        {":-1/a", "has a port that is not a number from 1 to 65535"},
        {":+80/a", "has a port that is not a number from 1 to 65535"},
        {": 80/a", "has a port that is not a number from 1 to 65535"},
        {":-18446744073709551535/a", "has a port that is not a number from 1 to 65535"},
        {":99999999999999999999/a", "has a port that is not a number from 1 to 65535"},
        {"/*/a", "has a * before its end"},
        {"/*/", "has a * before its end"},
        {"/files*", "has a * inside a segment; it stands for the whole rest of a path"},
        {"/a/*.js", "has a * inside a segment; it stands for the whole rest of a path"},
        {"/:", "has a parameter without a name"},
        {"/a/:/b", "has a parameter without a name"},
    };
    for (size_t i = 0; i < N_OF(cases); i++) {
        route_spec spec = {0};
        const char *problem = NULL;
        assert_int_equal(route_parse(cases[i].pattern, &spec, &problem), WEFT_E_INVALID);
        assert_string_equal(problem, cases[i].problem);
        assert_null(spec.pattern);
    }
}

static void router__frees_what_it_took(void **state)
{
    (void)state;
    add("/a", "GET");
    add("/b", NULL);
    router_done(&the_router);
    assert_int_equal(n_freed, 2);
    assert_null(find("/a").found);
    add("/a", "GET"); /* usable again */
    finds("/a", "/a");
}

static void router__takes_the_route_without_memory_too(void **state)
{
    (void)state;
    mem_fail_from(1);
    assert_int_equal(try_add("/a", "GET"), -ENOMEM);
    assert_int_equal(n_freed, 0); /* there was no spec yet */
    mem_fail_from(2);
    assert_int_equal(try_add("/a", "GET"), -ENOMEM);
    mem_fail_from(0);
    assert_int_equal(n_freed, 1);
    assert_null(find("/a").found);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(router__matches, start, stop),
        cmocka_unit_test_setup_teardown(router__prefers_the_most_specific, start, stop),
        cmocka_unit_test_setup_teardown(router__of_two_equals_the_first_serves, start, stop),
        cmocka_unit_test_setup_teardown(router__a_port_limits_and_prefers, start, stop),
        cmocka_unit_test_setup_teardown(router__specific_goes_before_port, start, stop),
        cmocka_unit_test_setup_teardown(router__tells_method_and_path_apart, start, stop),
        cmocka_unit_test_setup_teardown(router__a_method_may_be_served_by_a_wider_pattern, start, stop),
        cmocka_unit_test_setup_teardown(router__an_upgrade_goes_to_a_websocket_route_if_any, start, stop),
        cmocka_unit_test_setup_teardown(router__an_upgrade_goes_to_a_wider_websocket_route_rather_than_to_a_page, start,
                                        stop),
        cmocka_unit_test_setup_teardown(router__gives_parameters, start, stop),
        cmocka_unit_test_setup_teardown(route__refuses_bad_patterns, start, stop),
        cmocka_unit_test_setup_teardown(router__frees_what_it_took, start, stop),
        cmocka_unit_test_setup_teardown(router__takes_the_route_without_memory_too, start, stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
