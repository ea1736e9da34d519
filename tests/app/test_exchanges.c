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
    CLIENT_UNTIL(events[0]);
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
    client_expect_silence(fd, 10);
    assert_string_equal(look(), "keep ");
    assert_int_equal(weft_answer(asked, 200, NULL, "a", 1), 0);
    for (const char *wanted = "abc"; *wanted; wanted++) {
        assert_int_equal(client_read_answer(fd, NULL), 200);
        assert_int_equal(client_bytes[0], *wanted);
    }
    assert_string_equal(look(), "b c ");
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
        CLIENT_UNTIL(events[0]);
        assert_int_equal(weft_answer(asked, statuses[i], NULL, "body", 4), 0);
        assert_int_equal(client_read_answer(fd, NULL), statuses[i]);
    }
    look();
    client_write_text(fd, "HEAD / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    CLIENT_UNTIL(events[0]);
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
}

static void check_all_closed(void)
{
    on_loop(call_asked);
    for (int i = 0; i < 5; i++)
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
    CLIENT_UNTIL(events[0]);
    assert_int_equal(weft_answer(asked, 200, "text/plain", "no upgrade today", 16), 0);
    assert_int_equal(client_read_answer(fd, "Connection: close"), 200);
    assert_string_equal(client_bytes, "no upgrade today");
    client_expect_end(fd);
    assert_string_equal(look(), "asked ");
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        APP_TEST(exchanges__are_answered_inside_the_callback),
        APP_TEST(exchanges__are_answered_later),
        APP_TEST(exchanges__of_one_connection_are_answered_in_their_order),
        APP_TEST(exchanges__take_only_legal_answers),
        APP_TEST(exchanges__send_no_body_where_none_belongs),
        APP_TEST(exchanges__copy_large_bodies),
        APP_TEST(exchanges__are_rejected_in_words),
        APP_TEST(exchanges__know_when_the_client_is_gone),
        APP_TEST(exchanges__are_answered_to_a_client_that_sends_no_more),
        APP_TEST(exchanges__tell_what_was_asked),
        APP_TEST(exchanges__of_a_websocket_request_may_be_answered),
        APP_TEST(exchanges__share_a_path_with_websocket),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
