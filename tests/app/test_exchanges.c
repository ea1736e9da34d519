#include "app/fixture.h"

static int results[16];
static weft_exchange asked;

static void keep(weft_exchange which, const weft_request *request, void *user)
{
    (void)request;
    (void)user;
    asked = which;
    happened("asked ");
}

/* An unanswered request on "/"; its connection. */
static int ask(void)
{
    look();
    int fd = client_connect(url);
    client_get(fd, "/");
    CLIENT_UNTIL(events_len());
    return fd;
}

static void keep_requests(void)
{
    assert_int_equal(weft_get(app, "/", keep, NULL), 0);
    begin();
}

static void answer_at_once(weft_exchange which, const weft_request *request, void *user)
{
    (void)request;
    results[0] = weft_header(which, "X-Answer", "42");
    results[1] = weft_answer(which, 200, "text/plain", user, strlen(user));
    results[2] = weft_answer(which, 200, NULL, NULL, 0);
    results[3] = weft_reject(which, 500, NULL);
    results[4] = weft_header(which, "X", "y");
    results[5] = weft_accept(which, NULL);
}

static void exchanges__are_answered_inside_the_callback(void **state)
{
    (void)state;
    char hello[] = "hello";
    assert_int_equal(weft_get(app, "/", answer_at_once, hello), 0);
    begin();
    int fd = client_connect(url);
    for (int i = 0; i < 3; i++) {
        client_get(fd, "/");
        assert_int_equal(client_read_answer(fd, "X-Answer: 42"), 200);
        assert_string_equal(client_bytes, "hello");
        assert_int_equal(results[0] | results[1], 0);
        for (int k = 2; k < 6; k++)
            assert_int_equal(results[k], WEFT_E_CLOSED);
    }
    close(fd);
}

static void answer_asked(weft *ignored, void *user)
{
    (void)ignored;
    (void)user;
    results[0] = weft_answer(asked, 201, NULL, "later", 5);
}

static void answer_from_thread(void)
{
    answer_asked(NULL, NULL);
}

static void exchanges__are_answered_later(void **state)
{
    (void)state;
    keep_requests();
    for (int i = 0; i < 2; i++) {
        int fd = ask();
        client_expect_silence(fd, 5);
        if (i)
            elsewhere(answer_from_thread);
        else
            assert_int_equal(weft_post(app, answer_asked, NULL), 0);
        assert_int_equal(client_read_answer(fd, "Content-Length: 5"), 201);
        assert_null(strstr(client_bytes, "Content-Type"));
        assert_string_equal(client_bytes, "later");
        assert_int_equal(results[0], 0);
        close(fd);
    }
}

static void answer_by_path(weft_exchange which, const weft_request *request, void *user)
{
    weft_str room = weft_request_param(request, "room");
    (void)user;
    happened("%.*s ", (int)room.len, room.at);
    if (room.len && *room.at == 'k')
        asked = which;
    else
        weft_answer(which, 200, NULL, room.at, room.len);
}

static void exchanges__of_one_connection_are_answered_in_their_order(void **state)
{
    (void)state;
    assert_int_equal(weft_get(app, "/:room", answer_by_path, NULL), 0);
    begin();
    int fd = client_connect(url);
    client_write_text(fd, "GET /keep HTTP/1.1\r\nHost: localhost\r\n\r\nGET /b HTTP/1.1\r\nHost: localhost\r\n\r\n"
                          "GET /c HTTP/1.1\r\nHost: localhost\r\n\r\n");
    await_event();
    client_expect_silence(fd, 10);
    expect_events("keep ");
    assert_int_equal(weft_answer(asked, 200, NULL, "a", 1), 0);
    for (const char *wanted = "abc"; *wanted; wanted++) {
        assert_int_equal(client_read_answer(fd, NULL), 200);
        assert_int_equal(client_bytes[0], *wanted);
    }
    expect_events("b c ");
    close(fd);
}

static void answer_badly_then_well(void)
{
    results[0] = weft_answer(asked, 199, NULL, NULL, 0);
    results[1] = weft_answer(asked, 600, NULL, NULL, 0);
    results[2] = weft_answer(asked, 101, NULL, NULL, 0);
    results[3] = weft_answer(asked, 200, "text/plain\r\nX: y", NULL, 0);
    results[4] = weft_answer(asked, 200, NULL, NULL, 1);
    results[5] = weft_accept(asked, NULL); /* it asked for no WebSocket */
    results[6] = weft_header(asked, "Content-Length", "7");
    results[7] = weft_header(asked, "Date", "now");
    results[8] = weft_answer(asked, 404, "text/html", "gone", 4);
}

static void exchanges__take_only_legal_answers(void **state)
{
    (void)state;
    keep_requests();
    int fd = ask();
    on_loop(answer_badly_then_well);
    for (int i = 0; i < 8; i++)
        assert_int_equal(results[i], WEFT_E_INVALID);
    assert_int_equal(results[8], 0);
    assert_int_equal(client_read_answer(fd, "Content-Type: text/html"), 404);
    assert_string_equal(client_bytes, "gone");
    close(fd);
}

static void exchanges__send_no_body_where_none_belongs(void **state)
{
    (void)state;
    static const int statuses[] = {204, 304};
    keep_requests();
    int fd = client_connect(url);
    for (size_t i = 0; i < N_OF(statuses); i++) {
        look();
        client_get(fd, "/");
        CLIENT_UNTIL(events_len());
        assert_int_equal(weft_answer(asked, statuses[i], NULL, "body", 4), 0);
        assert_int_equal(client_read_answer(fd, NULL), statuses[i]);
    }
    look();
    client_write_text(fd, "HEAD / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    CLIENT_UNTIL(events_len());
    assert_int_equal(weft_answer(asked, 200, NULL, "body", 4), 0);
    assert_int_equal(client_read_head(fd), 200);
    assert_true(client_head_has("Content-Length: 4"));
    client_expect_silence(fd, 5);
    close(fd);
}

static void exchanges__copy_large_bodies(void **state)
{
    (void)state;
    enum { BYTES = 1 << 20 };
    char *bytes = malloc(BYTES);
    keep_requests();
    for (size_t i = 0; i < BYTES; i++)
        bytes[i] = (char)('a' + i % 19);
    int fd = ask();
    assert_int_equal(weft_answer(asked, 200, "application/octet-stream", bytes, BYTES), 0);
    char *copy = malloc(BYTES);
    memcpy(copy, bytes, BYTES);
    memset(bytes, 0, BYTES); /* ours again */
    assert_int_equal(client_read_answer(fd, NULL), 200);
    assert_memory_equal(client_bytes, copy, BYTES);
    free(bytes);
    free(copy);
    close(fd);
}

static void exchanges__are_rejected_in_words(void **state)
{
    (void)state;
    keep_requests();
    int fd = ask();
    assert_int_equal(weft_reject(asked, 399, NULL), WEFT_E_INVALID);
    assert_int_equal(weft_reject(asked, 403, NULL), 0);
    assert_int_equal(client_read_answer(fd, "Connection: close"), 403);
    assert_string_equal(client_bytes, "Forbidden");
    client_expect_end(fd);
}

static void call_asked(void)
{
    results[0] = weft_answer(asked, 200, NULL, NULL, 0);
    results[1] = weft_reject(asked, 400, NULL);
    results[2] = weft_header(asked, "X", "y");
    results[3] = weft_accept(asked, NULL);
    results[4] = weft_send_text((weft_peer){asked.id}, "an exchange is no peer");
    results[5] = weft_answer_start(asked, 200, NULL);
    results[6] = weft_answer_write(asked, "x", 1);
    results[7] = weft_answer_end(asked);
    results[8] = weft_answer_json(asked, 200, "1");
}

static void check_all_closed(void)
{
    on_loop(call_asked);
    for (int i = 0; i < 9; i++)
        assert_int_equal(results[i], WEFT_E_CLOSED);
}

static void exchanges__know_when_the_client_is_gone(void **state)
{
    (void)state;
    keep_requests();
    client_reset(ask());
    let_arrive();
    check_all_closed();
    asked.id = 0;
    check_all_closed();
}

/* A client may say that it has nothing to add and still wait for the answer. */
static void exchanges__are_answered_to_a_client_that_sends_no_more(void **state)
{
    (void)state;
    keep_requests();
    int fd = ask();
    shutdown(fd, SHUT_WR);
    let_arrive();
    assert_int_equal(weft_answer(asked, 200, NULL, "still", 5), 0);
    assert_int_equal(client_read_answer(fd, NULL), 200);
    assert_string_equal(client_bytes, "still");
    client_expect_end(fd);
}

static void tell(const char *what, weft_str s)
{
    happened("%s=%.*s%s ", what, (int)s.len, s.len ? s.at : "", s.at ? "" : "(absent)");
}

static void tell_all(weft_exchange which, const weft_request *request, void *user)
{
    weft_str address = weft_request_address(request);
    (void)user;
    tell("method", weft_request_method(request));
    tell("path", weft_request_path(request));
    tell("query", weft_request_query(request));
    tell("room", weft_request_param(request, "room"));
    tell("none", weft_request_param(request, "none"));
    tell("agent", weft_request_header(request, "user-AGENT"));
    tell("none", weft_request_header(request, "X-None"));
    tell("cookie", weft_request_cookie(request, "b"));
    tell("none", weft_request_cookie(request, "c"));
    tell("null", weft_request_header(request, NULL));
    happened("%.10s ", address.at);
    weft_answer(which, 200, NULL, NULL, 0);
}

static void exchanges__tell_what_was_asked(void **state)
{
    (void)state;
    assert_int_equal(weft_get(app, "/rooms/:room", tell_all, NULL), 0);
    begin();
    int fd = client_connect(url);
    client_write_text(fd, "GET /rooms/a%20b?c=%20d HTTP/1.1\r\nHost: localhost\r\nUser-Agent: tester\r\n"
                          "Cookie: a=1; b=2\r\n\r\n");
    assert_int_equal(client_read_answer(fd, NULL), 200);
    assert_string_equal(look(),
                        "method=GET path=/rooms/a b query=c=%20d room=a b none=(absent) agent=tester none=(absent) "
                        "cookie=2 none=(absent) null=(absent) 127.0.0.1: ");
    close(fd);
}

static void exchanges__of_a_websocket_request_may_be_answered(void **state)
{
    (void)state;
    serve(&(weft_websocket_options){.request = keep, RECORDED});
    int fd = client_connect(url);
    client_ask(fd, "/", "");
    CLIENT_UNTIL(events_len());
    assert_int_equal(weft_answer(asked, 200, "text/plain", "no upgrade today", 16), 0);
    assert_int_equal(client_read_answer(fd, "Connection: close"), 200);
    assert_string_equal(client_bytes, "no upgrade today");
    client_expect_end(fd);
    expect_events("asked ");
}

static void exchanges__share_a_path_with_websocket(void **state)
{
    (void)state;
    char page[] = "page";
    assert_int_equal(weft_get(app, "/", answer_at_once, page), 0);
    assert_int_equal(weft_websocket(app, "/only", NULL), 0);
    serve(&(weft_websocket_options){.message = on_echo});
    int fd = client_connect(url);
    client_get(fd, "/");
    assert_int_equal(client_read_answer(fd, NULL), 200);
    assert_string_equal(client_bytes, "page");
    client_ask(fd, "/", ""); /* on the same connection */
    client_expect_accepted(fd);
    client_send_text(fd, "hi");
    client_expect_text(fd, "hi");
    client_leave(fd);
    fd = client_connect(url);
    client_get(fd, "/nowhere");
    assert_int_equal(client_read_answer(fd, NULL), 404);
    client_get(fd, "/only");
    assert_int_equal(client_read_answer(fd, "Upgrade: websocket"), 426);
    client_expect_end(fd);
}

/* ---- routes ---- */

static void tell_request(weft_exchange which, const weft_request *request, void *user)
{
    (void)user;
    asked = which;
    tell("method", weft_request_method(request));
    tell("body", weft_request_body(request));
    tell("q", weft_request_query_value(request, "q"));
    tell("f", weft_request_form_value(request, "f"));
    weft_answer(which, 200, NULL, NULL, 0);
}

static void post(int fd, const char *target, const char *fields, const char *body)
{
    char request[4096];
    snprintf(request, sizeof request, "POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Length: %zu\r\n%s\r\n%s", target,
             strlen(body), fields, body);
    client_write_text(fd, request);
}

/* The answer to a POST of these. */
static int post_and_read(int fd, const char *target, const char *fields, const char *body)
{
    post(fd, target, fields, body);
    return client_read_answer(fd, NULL);
}

#define FORM "Content-Type: application/x-www-form-urlencoded"

static void routes__tell_bodies_queries_and_forms(void **state)
{
    (void)state;
    static const struct {
        const char *target, *fields, *body, *told;
    } cases[] = {
        {"/", "", "hello", "method=POST body=hello q=(absent) f=(absent) "},
        {"/", "", "", "method=POST body=(absent) q=(absent) f=(absent) "},
        {"/?q=a+b%21&q=c", "", "f=1", "method=POST body=f=1 q=a b! f=(absent) "},
        {"/?q", FORM "\r\n", "f=%41+z&f=2", "method=POST body=f=%41+z&f=2 q= f=A z "},
        {"/?%71=", FORM "; charset=utf-8\r\n", "%66=", "method=POST body=%66= q= f= "},
        {"/?x=q", "content-type: APPLICATION/X-WWW-FORM-URLENCODED\r\n", "g=f&f=3",
         "method=POST body=g=f&f=3 q=(absent) f=3 "},
        {"/", FORM "x\r\n", "f=1", "method=POST body=f=1 q=(absent) f=(absent) "},
        {"/", "Content-Type: text/plain\r\n", "f=1", "method=POST body=f=1 q=(absent) f=(absent) "},
    };
    assert_int_equal(weft_route(app, "POST", "/", &(weft_route_options){.request = tell_request}), 0);
    begin();
    int fd = client_connect(url);
    for (size_t i = 0; i < N_OF(cases); i++) {
        assert_int_equal(post_and_read(fd, cases[i].target, cases[i].fields, cases[i].body), 200);
        expect_events(cases[i].told);
    }
    close(fd);
}

static void ask_for_null(weft_exchange which, const weft_request *request, void *user)
{
    (void)user;
    tell("null", weft_request_query_value(request, NULL));
    tell("null", weft_request_form_value(request, NULL));
    tell("empty", weft_request_query_value(request, ""));
    weft_answer(which, 200, NULL, NULL, 0);
}

static void routes__take_no_name_for_a_value(void **state)
{
    (void)state;
    assert_int_equal(weft_route(app, "POST", "/", &(weft_route_options){.request = ask_for_null}), 0);
    begin();
    int fd = client_connect(url);
    assert_int_equal(post_and_read(fd, "/?a=b", FORM "\r\n", "a=b"), 200);
    expect_events("null=(absent) null=(absent) empty=(absent) ");
    close(fd);
}

static void routes__of_one_path_share_it_by_method(void **state)
{
    (void)state;
    char read[] = "read", written[] = "written", other[] = "other";
    assert_int_equal(weft_route(app, "*", "/", &(weft_route_options){.request = answer_at_once, .user = other}), 0);
    assert_int_equal(weft_get(app, "/", answer_at_once, read), 0);
    assert_int_equal(weft_route(app, "POST", "/", &(weft_route_options){.request = answer_at_once, .user = written}),
                     0);
    begin();
    int fd = client_connect(url);
    client_get(fd, "/");
    assert_int_equal(client_read_answer(fd, NULL), 200);
    assert_string_equal(client_bytes, "read");
    assert_int_equal(post_and_read(fd, "/", "", "body"), 200);
    assert_string_equal(client_bytes, "written");
    client_write_text(fd, "BREW / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_int_equal(client_read_answer(fd, NULL), 200);
    assert_string_equal(client_bytes, "other");
    close(fd);
}

static void routes__have_a_limit_for_bodies(void **state)
{
    (void)state;
    assert_int_equal(
        weft_route(app, "POST", "/small", &(weft_route_options){.request = tell_request, .max_body_bytes = 5}), 0);
    assert_int_equal(weft_route(app, "POST", "/", &(weft_route_options){.request = tell_request}), 0);
    begin();
    int fd = client_connect(url);
    assert_int_equal(post_and_read(fd, "/small", "", "12345"), 200);
    assert_int_equal(post_and_read(fd, "/small", "", "123456"), 413);
    client_expect_end(fd);
    fd = client_connect(url);
    client_write_text(fd, "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1048577\r\n\r\n");
    assert_int_equal(client_read_answer(fd, NULL), 413);
    client_expect_end(fd);
    fd = client_connect(url);
    client_write_text(fd,
                      "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1048576\r\nExpect: 100-continue\r\n\r\n");
    assert_int_equal(client_read_head(fd), 100);
    close(fd);
}

static void check_refused(int result, const char *words)
{
    assert_int_equal(result, WEFT_E_INVALID);
    assert_non_null(strstr(weft_error(app), words));
    assert_int_equal(weft_run(app), WEFT_E_INVALID);
    weft_free(app);
    app = weft_new(NULL);
}

static void routes__that_make_no_sense_stick(void **state)
{
    (void)state;
    const weft_route_options good = {.request = keep};
    check_refused(weft_route(app, NULL, "/", &good), "\"/\" has no method");
    check_refused(weft_route(app, "", "/", &good), "\"/\" has no method");
    check_refused(weft_route(app, "GET POST", "/", &good), "\"/\" has no method");
    check_refused(weft_route(app, "GET", "/", NULL), "\"/\" has no callback");
    check_refused(weft_route(app, "GET", "/", &(weft_route_options){0}), "\"/\" has no callback");
    check_refused(weft_route(app, "GET", "nowhere", &good), "\"nowhere\" does not begin with a slash");
    check_refused(weft_route(app, "GET", NULL, &good), "is missing");
    assert_int_equal(weft_route(NULL, "GET", "/", &good), -ENOMEM);
    begin();
    assert_int_equal(weft_route(app, "GET", "/", &good), WEFT_E_INVALID);
}

/* ---- what options hold is copied ---- */

static void add_temporary_route(void)
{
    char method[] = "POST", path[] = "/", origin[] = "https://friend.example";
    const char *origins[] = {origin, NULL};
    weft_route_options options = {.request = tell_request, .origins = origins};
    assert_int_equal(weft_route(app, method, path, &options), 0);
    memset(method, 'x', sizeof method - 1);
    memset(path, 'x', sizeof path - 1);
    memset(origin, 'x', sizeof origin - 1);
    memset(&options, 0, sizeof options);
    origins[0] = NULL;
}

static void listen_with_temporary_options(void)
{
    char host[] = "box.local";
    const char *hosts[] = {host, NULL};
    weft_listen_options options = {.hosts = hosts};
    assert_int_equal(weft_listen(app, "http://127.0.0.1:0", &options), 0);
    memset(host, 'x', sizeof host - 1);
    memset(&options, 0, sizeof options);
    hosts[0] = NULL;
}

static void start_listening(void)
{
    url = weft_listening(app, 0);
    assert_int_equal(weft_step(app, 0), 1);
    client_steps = app;
}

static int status_for(const char *request)
{
    int fd = client_connect(url);
    client_write_text(fd, request);
    int status = client_read_head(fd);
    close(fd);
    return status;
}

static void routes__copy_their_options(void **state)
{
    (void)state;
    add_temporary_route();
    listen_with_temporary_options();
    start_listening();
    assert_int_equal(status_for("POST / HTTP/1.1\r\nHost: box.local\r\nOrigin: https://friend.example\r\n\r\n"), 200);
    assert_true(client_head_has("Access-Control-Allow-Origin: https://friend.example"));
    assert_int_equal(status_for("POST / HTTP/1.1\r\nHost: localhost\r\nOrigin: https://stranger.example\r\n\r\n"), 403);
}

static void routes__of_older_programs_are_known_by_their_size(void **state)
{
    (void)state;
    const weft_route_options options = {.request = tell_request, .max_body_bytes = 1};
    assert_int_equal(weft_route_sized(app, "POST", "/", &options, offsetof(weft_route_options, max_body_bytes)), 0);
    begin();
    int fd = client_connect(url);
    assert_int_equal(post_and_read(fd, "/", "", "longer than 1"), 200);
    close(fd);
}

/* ---- names and origins ---- */

static void hosts__of_a_loopback_listener_are_few(void **state)
{
    (void)state;
    assert_int_equal(weft_get(app, "/", tell_request, NULL), 0);
    begin();
    assert_int_equal(status_for("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"), 200);
    assert_int_equal(status_for("GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n"), 421);
}

static void hosts__may_be_any(void **state)
{
    (void)state;
    static const char *const any[] = {"*", NULL};
    assert_int_equal(weft_get(app, "/", tell_request, NULL), 0);
    assert_int_equal(weft_listen(app, "http://127.0.0.1:0", &(weft_listen_options){.hosts = any}), 0);
    start_listening();
    assert_int_equal(status_for("GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n"), 200);
}

/* A Unix socket is no page's to reach, nor is one that is bound to all addresses known by a few names. */
static void hosts__are_judged_on_loopback_only(void **state)
{
    (void)state;
    char path[] = "unix:/tmp/weft-test-XXXXXX";
    assert_true(mkdtemp(path + 5) != NULL);
    char address[64];
    snprintf(address, sizeof address, "%s/socket", path);
    assert_int_equal(weft_get(app, "/", tell_request, NULL), 0);
    assert_int_equal(weft_listen(app, address, NULL), 0);
    assert_int_equal(weft_listen(app, "http://0.0.0.0:0", NULL), 0);
    start_listening();
    assert_int_equal(status_for("GET / HTTP/1.1\r\nHost: any.example\r\n\r\n"), 200);
    url = weft_listening(app, 1);
    assert_int_equal(status_for("GET / HTTP/1.1\r\nHost: any.example\r\n\r\n"), 200);
    weft_free(app);
    app = NULL;
    client_steps = NULL;
    rmdir(path + 5);
}

static void add_fields(weft_exchange which, const weft_request *request, void *user)
{
    (void)request;
    (void)user;
    assert_int_equal(weft_header(which, "X-Answer", "42"), 0);
    assert_int_equal(weft_answer(which, 200, "text/plain", "ok", 2), 0);
}

static void origins__and_fields_of_the_program_go_together(void **state)
{
    (void)state;
    static const char *const friends[] = {"https://friend.example", NULL};
    const weft_route_options options = {.request = add_fields, .origins = friends};
    assert_int_equal(weft_route(app, "PUT", "/", &options), 0);
    begin();
    assert_int_equal(status_for("PUT / HTTP/1.1\r\nHost: localhost\r\nOrigin: https://friend.example\r\n\r\n"), 200);
    assert_true(client_head_has("Access-Control-Allow-Origin: https://friend.example"));
    assert_true(client_head_has("Access-Control-Allow-Credentials: true"));
    assert_true(client_head_has("Vary: Origin"));
    assert_true(client_head_has("X-Answer: 42"));
    assert_int_equal(status_for("OPTIONS / HTTP/1.1\r\nHost: localhost\r\nOrigin: https://friend.example\r\n"
                                "Access-Control-Request-Method: PUT\r\n\r\n"),
                     204);
    assert_true(client_head_has("Access-Control-Allow-Methods: PUT, OPTIONS"));
    assert_false(client_head_has("X-Answer: 42"));
}

/* ---- JSON ---- */

static void answer_bad_json_then_good(void)
{
    results[0] = weft_answer_json(asked, 200, "{\"a\":}");
    results[1] = weft_answer_json(asked, 200, "");
    results[2] = weft_answer_json(asked, 200, NULL);
    results[3] = weft_answer_json(asked, 200, "1 2");
    results[4] = weft_answer_json(asked, 600, "1");
    results[5] = weft_answer_json(asked, 201, "{\"a\":[1,2]}");
}

static void json__is_checked(void **state)
{
    (void)state;
    void (*const ways[])(void (*)(void)) = {on_loop, elsewhere};
    keep_requests();
    for (size_t i = 0; i < N_OF(ways); i++) {
        int fd = ask();
        ways[i](answer_bad_json_then_good);
        for (int k = 0; k < 4; k++)
            assert_int_equal(results[k], WEFT_E_JSON);
        assert_int_equal(results[4], WEFT_E_INVALID);
        assert_int_equal(results[5], 0);
        assert_int_equal(client_read_answer(fd, "Content-Type: application/json"), 201);
        assert_string_equal(client_bytes, "{\"a\":[1,2]}");
        close(fd);
    }
}

/* ---- streamed ---- */

static void on_body(weft_exchange which, weft_str piece, void *user)
{
    assert_int_equal(which.id, asked.id);
    assert_string_equal(user, "user");
    happened(piece.at ? "piece:%.*s " : "end ", (int)piece.len, piece.at);
}

static void on_answer_drain(weft_exchange which, void *user)
{
    assert_int_equal(which.id, asked.id);
    assert_string_equal(user, "user");
    happened("drain ");
}

static void on_gone(weft_exchange which, void *user)
{
    assert_string_equal(user, "user");
    happened("gone ");
    if (!client_steps) /* weft_free(): there is no loop any more */
        return;
    assert_int_equal(weft_answer(which, 200, NULL, NULL, 0), WEFT_E_CLOSED);
    assert_int_equal(weft_answer_write(which, "x", 1), WEFT_E_CLOSED);
}

static void serve_streams(void)
{
    static char user[] = "user";
    const weft_route_options options = {
        .user = user, .request = keep, .body = on_body, .drain = on_answer_drain, .gone = on_gone};
    assert_int_equal(weft_route(app, "POST", "/", &options), 0);
    assert_int_equal(
        weft_route(app, "GET", "/",
                   &(weft_route_options){.user = user, .request = keep, .drain = on_answer_drain, .gone = on_gone}),
        0);
    begin();
}

static void expect_bytes(int fd, const char *expected)
{
    char got[256];
    size_t len = strlen(expected);
    assert_true(len < sizeof got);
    assert_int_equal(client_read(fd, got, len), len);
    assert_memory_equal(got, expected, len);
}

static void stream_an_answer(void)
{
    results[0] = weft_answer_write(asked, "x", 1);
    results[1] = weft_answer_end(asked);
    results[2] = weft_answer_start(asked, 199, NULL);
    results[3] = weft_answer_start(asked, 200, "a\nb");
    results[4] = weft_header(asked, "X-Answer", "42");
    results[5] = weft_answer_start(asked, 200, "text/plain");
    results[6] = weft_answer_write(asked, NULL, 1);
    results[7] = weft_answer_write(asked, "hello", 5);
    results[8] = weft_answer_write(asked, NULL, 0);
    results[9] = weft_answer_start(asked, 200, NULL);
    results[10] = weft_answer(asked, 200, NULL, NULL, 0);
    results[11] = weft_header(asked, "X-Late", "1");
    results[12] = weft_answer_end(asked);
    results[13] = weft_answer_end(asked);
    results[14] = weft_answer_write(asked, "x", 1);
}

static void check_streamed(int fd)
{
    assert_int_equal(client_read_head(fd), 200);
    assert_true(client_head_has("Transfer-Encoding: chunked"));
    assert_true(client_head_has("Content-Type: text/plain"));
    assert_true(client_head_has("X-Answer: 42"));
    assert_false(client_head_has("X-Late: 1"));
    expect_bytes(fd, "5\r\nhello\r\n0\r\n\r\n");
    client_get(fd, "/"); /* it goes on */
    look();
    CLIENT_UNTIL(events_len());
    client_reset(fd);
    CLIENT_UNTIL(strstr(events, "gone "));
}

static void streams__are_written_on_the_loop(void **state)
{
    (void)state;
    static const int expected[] = {WEFT_E_INVALID,
                                   WEFT_E_INVALID,
                                   WEFT_E_INVALID,
                                   WEFT_E_INVALID,
                                   0,
                                   0,
                                   WEFT_E_INVALID,
                                   0,
                                   0,
                                   WEFT_E_INVALID,
                                   WEFT_E_INVALID,
                                   WEFT_E_INVALID,
                                   0,
                                   WEFT_E_CLOSED,
                                   WEFT_E_CLOSED};
    serve_streams();
    int fd = ask();
    on_loop(stream_an_answer);
    for (size_t i = 0; i < N_OF(expected); i++)
        assert_int_equal(results[i], expected[i]);
    check_streamed(fd);
}

/* What is wrong at that time only is seen on the loop, and nobody is told. */
static void streams__are_written_from_another_thread(void **state)
{
    (void)state;
    serve_streams();
    int fd = ask();
    elsewhere(stream_an_answer);
    for (int i = 0; i < 15; i++)
        assert_int_equal(results[i], i == 2 || i == 3 || i == 6 ? WEFT_E_INVALID : 0);
    check_streamed(fd);
}

static size_t n_taken;

static void write_until_full(void)
{
    static char bytes[10000];
    results[0] = weft_answer_start(asked, 200, NULL);
    for (n_taken = 0; (results[1] = weft_answer_write(asked, bytes, sizeof bytes)) == 0;)
        n_taken += sizeof bytes;
    n_taken += sizeof bytes;
    results[2] = weft_answer_write(asked, bytes, 1);
}

static void end_asked(void)
{
    results[0] = weft_answer_end(asked);
}

static void streams__are_held_back_and_drained(void **state)
{
    (void)state;
    static char body[CLIENT_MAX_BYTES];
    serve_streams();
    look();
    int fd = client_connect_small(url, 4096);
    client_write_text(fd, "GET / HTTP/1.0\r\n\r\n");
    CLIENT_UNTIL(events_len());
    on_loop(write_until_full);
    assert_int_equal(results[0], 0);
    assert_int_equal(results[1], WEFT_QUEUED);
    assert_int_equal(results[2], WEFT_E_FULL);
    assert_true(n_taken >= 1 << 20 && n_taken < sizeof body);
    assert_int_equal(client_read_head(fd), 200);
    assert_int_equal(client_read(fd, body, n_taken - 1000), n_taken - 1000);
    CLIENT_UNTIL(strstr(events, "drain "));
    assert_string_equal(look(), "asked drain ");
    on_loop(end_asked);
    assert_int_equal(results[0], 0);
    assert_int_equal(client_read(fd, body, 2000), 1000);
    client_expect_end(fd);
    assert_string_equal(look(), "");
}

static void streams__know_when_the_client_is_gone(void **state)
{
    (void)state;
    serve_streams();
    int fd = ask();
    assert_int_equal(weft_answer_start(asked, 200, NULL), 0);
    look();
    client_reset(fd);
    CLIENT_UNTIL(events_len());
    assert_string_equal(look(), "gone ");
    check_all_closed();
    assert_string_equal(look(), "");
}

static void streams__that_are_answered_are_never_gone(void **state)
{
    (void)state;
    serve_streams();
    int fd = ask();
    assert_int_equal(weft_answer(asked, 200, NULL, "x", 1), 0);
    assert_int_equal(client_read_answer(fd, NULL), 200);
    client_reset(fd);
    let_arrive();
    assert_string_equal(look(), "asked ");
}

static void streams__are_gone_with_the_application(void **state)
{
    (void)state;
    serve_streams();
    int fd = ask();
    look();
    client_steps = NULL;
    assert_int_equal(weft_free(app), 0);
    app = NULL;
    assert_string_equal(look(), "gone ");
    close(fd);
}

static void streams__of_a_body_come_in_pieces(void **state)
{
    (void)state;
    serve_streams();
    int fd = client_connect(url);
    look();
    client_write_text(fd, "POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n");
    CLIENT_UNTIL(strstr(events, "asked "));
    client_write_text(fd, "5\r\nhello\r\n");
    CLIENT_UNTIL(strstr(events, "piece:hello "));
    client_write_text(fd, "0\r\n\r\n");
    CLIENT_UNTIL(strstr(events, "end "));
    assert_string_equal(look(), "asked piece:hello end ");
    assert_int_equal(weft_answer(asked, 200, NULL, "x", 1), 0);
    assert_int_equal(client_read_answer(fd, NULL), 200);
    post(fd, "/", "", "");
    CLIENT_UNTIL(strstr(events, "end "));
    assert_string_equal(look(), "asked end ");
    client_reset(fd);
    CLIENT_UNTIL(strstr(events, "gone "));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LOOPS_APP_TEST(exchanges__are_answered_inside_the_callback),
        APP_TEST(exchanges__are_answered_later),
        LOOPS_APP_TEST(exchanges__of_one_connection_are_answered_in_their_order),
        APP_TEST(exchanges__take_only_legal_answers),
        LOOPS_APP_TEST(exchanges__send_no_body_where_none_belongs),
        LOOPS_APP_TEST(exchanges__copy_large_bodies),
        LOOPS_APP_TEST(exchanges__are_rejected_in_words),
        APP_TEST(exchanges__know_when_the_client_is_gone),
        APP_TEST(exchanges__are_answered_to_a_client_that_sends_no_more),
        LOOPS_APP_TEST(exchanges__tell_what_was_asked),
        LOOPS_APP_TEST(exchanges__of_a_websocket_request_may_be_answered),
        LOOPS_APP_TEST(exchanges__share_a_path_with_websocket),
        LOOPS_APP_TEST(routes__tell_bodies_queries_and_forms),
        LOOPS_APP_TEST(routes__take_no_name_for_a_value),
        LOOPS_APP_TEST(routes__of_one_path_share_it_by_method),
        LOOPS_APP_TEST(routes__have_a_limit_for_bodies),
        APP_TEST(routes__that_make_no_sense_stick),
        APP_TEST(routes__copy_their_options),
        LOOPS_APP_TEST(routes__of_older_programs_are_known_by_their_size),
        LOOPS_APP_TEST(hosts__of_a_loopback_listener_are_few),
        APP_TEST(hosts__may_be_any),
        APP_TEST(hosts__are_judged_on_loopback_only),
        LOOPS_APP_TEST(origins__and_fields_of_the_program_go_together),
        APP_TEST(json__is_checked),
        APP_TEST(streams__are_written_on_the_loop),
        APP_TEST(streams__are_written_from_another_thread),
        APP_TEST(streams__are_held_back_and_drained),
        APP_TEST(streams__know_when_the_client_is_gone),
        APP_TEST(streams__that_are_answered_are_never_gone),
        APP_TEST(streams__are_gone_with_the_application),
        APP_TEST(streams__of_a_body_come_in_pieces),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
