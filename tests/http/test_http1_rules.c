/* Who may ask for what: names, methods, origins. */
#include "http/fixture.h"

enum { PORT = 80, LOCAL_PORT = 81, NAMED_PORT = 82, OPEN_PORT = 83 };

/* ---- the program ---- */

static void serve(exchange *e, const weft_request *request, void *user)
{
    str method = weft_request_method(request);
    happened("%s:%.*s ", (const char *)user, (int)method.len, method.at);
    exchange_answer(e, &(http_answer){.status = 200, .type = STR("text/plain"), .body = STR("ok")});
}

static void add(const char *method, const char *pattern, const char *const *origins)
{
    route_spec spec = {.method = method,
                       .serve = serve,
                       .user = (void *)(uintptr_t)pattern,
                       .origins = origins,
                       .max_body_bytes = 100};
    add_route(pattern, spec);
}

static void open_sites(void)
{
    static const char *const names[] = {"box.local", "other", NULL}, *const any[] = {"*", NULL};
    for (uint16_t port = LOCAL_PORT; port <= OPEN_PORT; port++)
        site_of(port)->loopback = true;
    site_of(NAMED_PORT)->hosts = names;
    site_of(OPEN_PORT)->hosts = any;
}

static int start(void **state)
{
    static const char *const friends[] = {"https://friend.example", "https://*.friends.example", NULL};
    static const char *const anybody[] = {"*", NULL};
    (void)state;
    if (start_server())
        return -1;
    open_sites();
    add("GET", "/closed", NULL);
    add("POST", "/closed", NULL);
    add("GET", "/friends", friends);
    add("PUT", "/friends", friends);
    add("PURGE", "/friends", NULL);
    add("POST", "/anybody", anybody);
    add("*", "/all", NULL);
    add("*", "/mixed/:any", NULL);
    add("DELETE", "/mixed/:any", NULL);
    add("HEAD", "/mixed/one", NULL);
    add("GET", "/mixed/one", NULL);
    add("LOCK", ":8080/closed", NULL);
    add("OPTIONS", "/own", NULL);
    add(NULL, "/chat", NULL);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    stop_server();
    return 0;
}

static void asks(const char *method, const char *path, const char *fields)
{
    char request[1000];
    client *c = open_client();
    snprintf(request, sizeof request, "%s %s HTTP/1.1\r\nHost: a\r\n%s\r\n", method, path, fields);
    put(c, request);
}

/* ---- names ---- */

static int status_of_host(uint16_t port, const char *host)
{
    char request[200];
    client *c = &clients[0];
    assert_int_equal(open_client_on(c, port), 0);
    snprintf(request, sizeof request, "GET /closed HTTP/1.1\r\nHost: %s\r\n\r\n", host);
    put(c, request);
    receive(c);
    int status = (int)strtol(c->got + strlen("HTTP/1.1 "), NULL, 10);
    assert_int_equal(c->ended, status != 200);
    check_happened(status == 200 ? "/closed:GET " : "");
    return status;
}

static void rules__a_loopback_listener_serves_its_own_names(void **state)
{
    (void)state;
    static const struct {
        const char *host;
        int status;
    } cases[] = {
        {"localhost", 200},
        {"LocalHost:81", 200},
        {"localhost:0", 400},
        {"127.0.0.1", 200},
        {"127.0.0.1:3000", 200},
        {"[::1]", 200},
        {"[::1]:81", 200},
        {"evil.example", 421},
        {"evil.example:81", 421},
        {"localhost.evil.example", 421},
        {"xlocalhost", 421},
        {"localhost.", 421},
        {"127.0.0.2", 421},
        {"127.0.0.1.x", 421},
        {"127.1", 421},
        {"0.0.0.0", 421},
        {"[::2]", 421},
        {"8080", 421},
        {"box.local", 421},
        {"[::1", 400},
        {"::1", 400},
    };
    for (size_t i = 0; i < N_OF(cases); i++)
        if (status_of_host(LOCAL_PORT, cases[i].host) != cases[i].status)
            fail_msg("%s: not %d", cases[i].host, cases[i].status);
}

static void rules__a_loopback_listener_may_have_further_names(void **state)
{
    (void)state;
    assert_int_equal(status_of_host(NAMED_PORT, "box.local"), 200);
    assert_int_equal(status_of_host(NAMED_PORT, "OTHER:82"), 200);
    assert_int_equal(status_of_host(NAMED_PORT, "localhost"), 200);
    assert_int_equal(status_of_host(NAMED_PORT, "box"), 421);
    assert_int_equal(status_of_host(NAMED_PORT, "x.box.local"), 421);
    assert_int_equal(status_of_host(NAMED_PORT, "*"), 421);
    assert_int_equal(status_of_host(OPEN_PORT, "evil.example"), 200);
}

static void rules__another_listener_serves_every_name(void **state)
{
    (void)state;
    assert_int_equal(status_of_host(PORT, "evil.example"), 200);
}

static void rules__the_name_in_the_target_counts(void **state)
{
    (void)state;
    client *c = &clients[0];
    assert_int_equal(open_client_on(c, LOCAL_PORT), 0);
    put(c, "GET http://localhost:81/closed HTTP/1.1\r\nHost: evil.example\r\n\r\n");
    gets_and_stays(c, OK);
    put(c, "GET http://evil.example/closed HTTP/1.1\r\nHost: localhost\r\n\r\n");
    gets_and_end(c,
                 "HTTP/1.1 421 Misdirected Request\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 63\r\n"
                 "Connection: close\r\n\r\nthis name is not served on a loopback listener (option: hosts)\n");
}

/* HTTP/1.0 has no Host, and no browser speaks it. */
static void rules__no_name_is_served(void **state)
{
    (void)state;
    client *c = &clients[0];
    assert_int_equal(open_client_on(c, LOCAL_PORT), 0);
    put(c, "GET /closed HTTP/1.0\r\n\r\n");
    gets_and_end(c, OK_LAST);
}

/* Nothing that is not served is told about either. */
static void rules__the_name_comes_before_all_else(void **state)
{
    (void)state;
    static const char *const requests[] = {
        "GET /nowhere", "DELETE /closed", "OPTIONS /closed", "OPTIONS *", "GET /chat", "GET /a%2fb", "POST /anybody",
    };
    for (size_t i = 0; i < N_OF(requests); i++) {
        client *c = &clients[0];
        assert_int_equal(open_client_on(c, LOCAL_PORT), 0);
        put(c, requests[i]);
        put(c, " HTTP/1.1\r\nHost: evil.example\r\nOrigin: http://evil.example\r\n\r\n");
        gets_status_and_end(c, 421);
        check_happened("");
    }
}

/* ---- methods ---- */

#define NO_CONTENT "HTTP/1.1 204 No Content\r\n"

static void rules__head_is_served_by_get(void **state)
{
    (void)state;
    asks("HEAD", "/closed", "");
    gets_and_stays(&clients[0], OK_HEAD "2\r\n\r\n");
    check_happened("/closed:HEAD ");
}

static void rules__a_route_may_take_every_method(void **state)
{
    (void)state;
    static const char *const methods[] = {"GET", "POST", "PATCH", "OPTIONS", "BREW"};
    for (size_t i = 0; i < N_OF(methods); i++) {
        char expected[40];
        asks(methods[i], "/all", "");
        gets_and_stays(&clients[0], OK);
        snprintf(expected, sizeof expected, "/all:%s ", methods[i]);
        check_happened(expected);
    }
}

static void rules__a_method_by_name_comes_before_all(void **state)
{
    (void)state;
    asks("DELETE", "/mixed/x", "");
    receive(&clients[0]);
    asks("GET", "/mixed/x", "");
    receive(&clients[0]);
    asks("HEAD", "/mixed/one", "");
    receive(&clients[0]);
    asks("POST", "/mixed/one", "");
    receive(&clients[0]);
    check_happened("/mixed/:any:DELETE /mixed/:any:GET /mixed/one:HEAD /mixed/:any:POST ");
}

static void rules__another_method_is_told_those_that_are_served(void **state)
{
    (void)state;
    static const struct {
        const char *method, *path, *allow;
    } cases[] = {
        {"DELETE", "/closed", "GET, HEAD, POST, OPTIONS"},
        {"GET", "/anybody", "POST, OPTIONS"},
        {"HEAD", "/anybody", "POST, OPTIONS"},
        {"POST", "/friends", "GET, HEAD, PUT, PURGE, OPTIONS"},
        {"get", "/closed", "GET, HEAD, POST, OPTIONS"},
        {"GET", "/own", "OPTIONS"},
    };
    for (size_t i = 0; i < N_OF(cases); i++) {
        char expected[300];
        asks(cases[i].method, cases[i].path, "");
        snprintf(expected, sizeof expected,
                 "HTTP/1.1 405 Method Not Allowed\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 36\r\n"
                 "Allow: %s\r\n\r\n%s",
                 cases[i].allow, strcmp(cases[i].method, "HEAD") ? "this path does not take this method\n" : "");
        gets_and_stays(&clients[0], expected);
        check_happened("");
    }
}

static void rules__options_are_answered(void **state)
{
    (void)state;
    asks("OPTIONS", "/closed", "");
    gets_and_stays(&clients[0], NO_CONTENT "Allow: GET, HEAD, POST, OPTIONS\r\n\r\n");
    asks("OPTIONS", "/chat", "");
    gets_and_stays(&clients[0], NO_CONTENT "Allow: OPTIONS\r\n\r\n");
    asks("OPTIONS", "*", "");
    gets_and_stays(&clients[0], NO_CONTENT "Allow: OPTIONS\r\n\r\n");
    check_happened("");
    asks("OPTIONS", "/own", "");
    gets_and_stays(&clients[0], OK);
    check_happened("/own:OPTIONS ");
    asks("OPTIONS", "/nowhere", "");
    receive(&clients[0]);
    assert_memory_equal(clients[0].got, "HTTP/1.1 404 ", 13);
}

/* ---- origins ---- */

#define FRIEND         "Origin: https://friend.example\r\n"
#define SUBDOMAIN      "Origin: https://a.friends.example\r\n"
#define STRANGER       "Origin: https://stranger.example\r\n"
#define SAME           "Origin: http://a\r\n"
#define VARY           "Vary: Origin\r\n"
#define NAMES(origin)  "Access-Control-Allow-Origin: " origin "\r\nAccess-Control-Allow-Credentials: true\r\n"
#define ALLOWS(origin) VARY NAMES(origin)
#define ANY            "Access-Control-Allow-Origin: *\r\n"

static void rules__pages_of_other_origins_may_read_where_they_are_named(void **state)
{
    (void)state;
    static const struct {
        const char *path, *origin, *fields;
    } cases[] = {
        {"/closed", "", ""},
        {"/closed", SAME, ""},
        {"/closed", STRANGER, ""}, /* answered, but its page does not see it */
        {"/closed", "Origin: null\r\n", ""},
        {"/friends", FRIEND, ALLOWS("https://friend.example")},
        {"/friends", SUBDOMAIN, ALLOWS("https://a.friends.example")},
        {"/friends", "Origin: https://friends.example\r\n", VARY},
        {"/friends", "Origin: http://friend.example\r\n", VARY},
        {"/friends", "Origin: https://friend.example:8443\r\n", VARY},
        {"/friends", "Origin: https://friend.example.evil.example\r\n", VARY},
        {"/friends", STRANGER, VARY},
        {"/friends", "Origin: null\r\n", VARY},
        {"/friends", SAME, VARY},
        {"/friends", "", VARY}, /* caches must not give it to pages that need the fields */
    };
    for (size_t i = 0; i < N_OF(cases); i++) {
        char expected[400];
        asks("GET", cases[i].path, cases[i].origin);
        snprintf(expected, sizeof expected, OK_HEAD "2\r\n%s\r\nok", cases[i].fields);
        gets_and_stays(&clients[0], expected);
    }
}

static void rules__pages_of_other_origins_may_write_where_they_are_named(void **state)
{
    (void)state;
    static const struct {
        const char *method, *path, *origin, *fields; /* NULL: refused */
    } cases[] = {
        {"POST", "/closed", "", ""},
        {"POST", "/closed", SAME, ""},
        {"POST", "/closed", "Origin: https://a\r\n", ""},
        {"POST", "/closed", STRANGER, NULL},
        {"POST", "/closed", "Origin: null\r\n", NULL},
        {"POST", "/closed", "Origin: http://a:8080\r\n", NULL},
        {"PUT", "/friends", FRIEND, ALLOWS("https://friend.example")},
        {"PUT", "/friends", SAME, VARY},
        {"PUT", "/friends", STRANGER, NULL},
        {"PURGE", "/friends", FRIEND, NULL},
        {"POST", "/anybody", STRANGER, ANY},
        {"POST", "/anybody", "Origin: null\r\n", ANY},
        {"POST", "/anybody", SAME, ""},
        {"DELETE", "/all", STRANGER, NULL},
        {"BREW", "/all", STRANGER, NULL},
        {"GET", "/all", STRANGER, ""},
        {"HEAD", "/all", STRANGER, ""},
        {"OPTIONS", "/all", STRANGER, ""},
    };
    for (size_t i = 0; i < N_OF(cases); i++) {
        char expected[400];
        asks(cases[i].method, cases[i].path, cases[i].origin);
        if (!cases[i].fields) {
            gets_status_and_end(&clients[0], 403);
            check_happened("");
            continue;
        }
        snprintf(expected, sizeof expected, OK_HEAD "2\r\n%s\r\n%s", cases[i].fields,
                 strcmp(cases[i].method, "HEAD") ? "ok" : "");
        gets_and_stays(&clients[0], expected);
        happenings[0] = '\0';
    }
}

static void rules__a_refused_origin_is_told_so(void **state)
{
    (void)state;
    asks("POST", "/closed", STRANGER);
    gets_and_end(&clients[0],
                 "HTTP/1.1 403 Forbidden\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 58\r\n"
                 "Connection: close\r\n\r\npages of this origin may not write here (option: origins)\n");
}

/* ---- preflights ---- */

#define WANTS(method) "Access-Control-Request-Method: " method "\r\n"
#define AGE           "Access-Control-Max-Age: 600\r\n"

static void rules__a_preflight_is_answered_by_the_route_it_is_for(void **state)
{
    (void)state;
    static const struct {
        const char *path, *fields, *answer;
    } cases[] = {
        {"/friends", FRIEND WANTS("PUT"),
         VARY "Allow: GET, HEAD, PUT, PURGE, OPTIONS\r\n" NAMES(
             "https://friend.example") "Access-Control-Allow-Methods: GET, HEAD, PUT, PURGE, OPTIONS\r\n" AGE},
        {"/friends", FRIEND WANTS("PUT") "Access-Control-Request-Headers: x-one, content-type\r\n",
         VARY "Allow: GET, HEAD, PUT, PURGE, OPTIONS\r\n" NAMES(
             "https://friend.example") "Access-Control-Allow-Methods: GET, HEAD, PUT, PURGE, OPTIONS\r\n"
                                       "Access-Control-Allow-Headers: x-one, content-type\r\n" AGE},
        {"/anybody", STRANGER WANTS("POST"),
         "Allow: POST, OPTIONS\r\n" ANY "Access-Control-Allow-Methods: POST, OPTIONS\r\n" AGE},
        /* not allowed: nothing is said of it */
        {"/friends", STRANGER WANTS("PUT"), "Allow: GET, HEAD, PUT, PURGE, OPTIONS\r\n"},
        {"/friends", FRIEND WANTS("PURGE"), "Allow: GET, HEAD, PUT, PURGE, OPTIONS\r\n"},
        {"/friends", FRIEND WANTS("DELETE"), "Allow: GET, HEAD, PUT, PURGE, OPTIONS\r\n"},
        {"/closed", STRANGER WANTS("POST"), "Allow: GET, HEAD, POST, OPTIONS\r\n"},
        /* no preflight */
        {"/friends", WANTS("PUT"), "Allow: GET, HEAD, PUT, PURGE, OPTIONS\r\n"},
        {"/friends", FRIEND, "Allow: GET, HEAD, PUT, PURGE, OPTIONS\r\n"},
    };
    for (size_t i = 0; i < N_OF(cases); i++) {
        char expected[600];
        asks("OPTIONS", cases[i].path, cases[i].fields);
        snprintf(expected, sizeof expected, NO_CONTENT "%s\r\n", cases[i].answer);
        gets_and_stays(&clients[0], expected);
    }
    check_happened("");
}

#define HTTP_TEST(f) cmocka_unit_test_setup_teardown(f, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        HTTP_TEST(rules__a_loopback_listener_serves_its_own_names),
        HTTP_TEST(rules__a_loopback_listener_may_have_further_names),
        HTTP_TEST(rules__another_listener_serves_every_name),
        HTTP_TEST(rules__the_name_in_the_target_counts),
        HTTP_TEST(rules__no_name_is_served),
        HTTP_TEST(rules__the_name_comes_before_all_else),
        HTTP_TEST(rules__head_is_served_by_get),
        HTTP_TEST(rules__a_route_may_take_every_method),
        HTTP_TEST(rules__a_method_by_name_comes_before_all),
        HTTP_TEST(rules__another_method_is_told_those_that_are_served),
        HTTP_TEST(rules__options_are_answered),
        HTTP_TEST(rules__pages_of_other_origins_may_read_where_they_are_named),
        HTTP_TEST(rules__pages_of_other_origins_may_write_where_they_are_named),
        HTTP_TEST(rules__a_refused_origin_is_told_so),
        HTTP_TEST(rules__a_preflight_is_answered_by_the_route_it_is_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
