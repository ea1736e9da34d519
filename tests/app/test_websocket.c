#include "app/fixture.h"
#include <pthread.h>

/* What calls made on the loop answered. */
static int results[40];

/* ----------------------------------------------------------------------------------------------------------- deciding */

static weft_exchange asked;

static void on_request(weft_exchange exchange, const weft_request *request, void *user)
{
    weft_str offered = weft_request_subprotocols(request);
    asked = exchange;
    happened("request:%.*s%s ", (int)offered.len, offered.at, user ? "!" : "");
}

static void accept_now(weft_exchange exchange, const weft_request *request, void *user)
{
    on_request(exchange, request, user);
    results[0] = weft_header(exchange, "X-Room", "attic");
    results[1] = weft_accept(exchange, NULL);
    results[2] = weft_accept(exchange, NULL);
    results[3] = weft_reject(exchange, 403, NULL);
    results[4] = weft_header(exchange, "X-Room", "cellar");
    results[5] = weft_answer(exchange, 200, NULL, NULL, 0);
}

static void websocket__is_accepted_inside_the_request(void **state)
{
    (void)state;
    serve(&(weft_websocket_options){.request = accept_now, RECORDED});
    int fd = client_connect(url);
    client_ask(fd, "/", "");
    client_expect_accepted(fd);
    assert_true(client_head_has("X-Room: attic"));
    assert_false(client_head_has("X-Room: cellar"));
    assert_int_equal(results[0], 0);
    assert_int_equal(results[1], 0);
    for (int i = 2; i <= 5; i++)
        assert_int_equal(results[i], WEFT_E_CLOSED);
    client_send_text(fd, "hi");
    client_leave(fd);
    assert_string_equal(look(), "request: open message:hi close:1000: ");
}

static void accept_asked(weft *ignored, void *user)
{
    (void)ignored;
    results[0] = weft_accept(asked, user);
}

static void accept_in_a_moment(weft_exchange exchange, const weft_request *request, void *user)
{
    on_request(exchange, request, user);
    weft_after(app, 5, accept_asked, NULL);
}

static void websocket__is_accepted_later(void **state)
{
    (void)state;
    serve(&(weft_websocket_options){.request = accept_in_a_moment, RECORDED, .user = &asked});
    int fd = client_open(url, "/");
    assert_int_equal(results[0], 0);
    client_send_text(fd, "hi");
    client_leave(fd);
    assert_string_equal(look(), "request:! open message:hi close:1000: ");
}

static void *accept_on_thread(void *result)
{
    *(int *)result = weft_accept(asked, "two");
    return NULL;
}

static void websocket__is_accepted_from_another_thread(void **state)
{
    (void)state;
    int result = 1;
    pthread_t thread;
    serve(&(weft_websocket_options){.request = on_request, RECORDED});
    int fd = client_connect(url);
    client_ask(fd, "/", "Sec-WebSocket-Protocol: one, two\r\n");
    CLIENT_UNTIL(asked.id && events[0]);
    assert_int_equal(pthread_create(&thread, NULL, accept_on_thread, &result), 0);
    pthread_join(thread, NULL);
    assert_int_equal(result, 0);
    client_expect_accepted(fd);
    assert_true(client_head_has("Sec-WebSocket-Protocol: two"));
    client_leave(fd);
}

/* An undecided request; its connection. */
static int ask(const char *fields)
{
    look();
    int fd = client_connect(url);
    client_ask(fd, "/", fields);
    CLIENT_UNTIL(strstr(events, "request"));
    return fd;
}

static void accept_badly_then_well(void)
{
    results[0] = weft_accept(asked, "three");
    results[1] = weft_accept(asked, "ONE");
    results[2] = weft_accept(asked, "");
    results[3] = weft_accept(asked, "one");
}

static void websocket__accepts_only_an_offered_subprotocol(void **state)
{
    (void)state;
    serve(&(weft_websocket_options){.request = on_request, RECORDED});
    int fd = ask("Sec-WebSocket-Protocol: one\r\nSec-WebSocket-Protocol: two\r\n");
    on_loop(accept_badly_then_well);
    for (int i = 0; i < 3; i++)
        assert_int_equal(results[i], WEFT_E_INVALID);
    assert_int_equal(results[3], 0);
    client_expect_accepted(fd);
    assert_true(client_head_has("Sec-WebSocket-Protocol: one"));
    client_leave(fd);
}

static void websocket__is_rejected_with_any_status_and_text(void **state)
{
    (void)state;
    static const struct {
        int status;
        const char *text, *line, *body;
    } cases[] = {
        {400, NULL, "Connection: close", "Bad Request"},
        {403, "not today\n", "X-Reason: mood", "not today\n"},
        {503, "", "Connection: close", "Service Unavailable"},
        {599, "odd", "Content-Type: text/plain; charset=utf-8", "odd"},
    };
    serve(&(weft_websocket_options){.request = on_request, RECORDED});
    for (size_t i = 0; i < N_OF(cases); i++) {
        int fd = ask("");
        assert_int_equal(weft_header(asked, "X-Reason", "mood"), 0);
        assert_int_equal(weft_reject(asked, cases[i].status, cases[i].text), 0);
        assert_int_equal(client_read_answer(fd, cases[i].line), cases[i].status);
        assert_string_equal(client_bytes, cases[i].body);
        client_expect_end(fd);
    }
    assert_string_equal(look(), "request: "); /* no open, no close */
}

static void reject_badly_then_well(void)
{
    results[0] = weft_reject(asked, 399, NULL);
    results[1] = weft_reject(asked, 600, NULL);
    results[2] = weft_reject(asked, 0, NULL);
    results[3] = weft_reject(asked, 418, NULL);
    results[4] = weft_accept(asked, NULL);
}

static void websocket__rejects_with_error_statuses_only(void **state)
{
    (void)state;
    serve(&(weft_websocket_options){.request = on_request, RECORDED});
    int fd = ask("");
    on_loop(reject_badly_then_well);
    for (int i = 0; i < 3; i++)
        assert_int_equal(results[i], WEFT_E_INVALID);
    assert_int_equal(results[3], 0);
    assert_int_equal(results[4], WEFT_E_CLOSED);
    assert_int_equal(client_read_answer(fd, NULL), 418);
    client_expect_end(fd);
}

static void websocket__takes_only_headers_that_cannot_lie(void **state)
{
    (void)state;
    static const char *const bad[][2] = {
        {"Connection", "close"},
        {"upgrade", "h2c"},
        {"Content-Length", "0"},
        {"Sec-WebSocket-Accept", "x"},
        {"Sec-WebSocket-Extensions", "x"},
        {"Transfer-Encoding", "chunked"},
        {"", "x"},
        {NULL, "x"},
        {"a b", "x"},
        {"X", "a\r\nSet-Cookie: b"},
        {"X", "a\nb"},
        {"X:", "a"},
    };
    serve(&(weft_websocket_options){.request = on_request, RECORDED});
    int fd = ask("");
    for (size_t i = 0; i < N_OF(bad); i++)
        assert_int_equal(weft_header(asked, bad[i][0], bad[i][1]), WEFT_E_INVALID);
    assert_int_equal(weft_header(asked, "X-Good", "a b"), 0);
    assert_int_equal(weft_header(asked, "Set-Cookie", "c=d"), 0);
    assert_int_equal(weft_accept(asked, NULL), 0);
    client_expect_accepted(fd);
    assert_true(client_head_has("X-Good: a b"));
    assert_true(client_head_has("Set-Cookie: c=d"));
    client_leave(fd);
}

static void websocket__refuses_what_nobody_decides_on(void **state)
{
    (void)state;
    serve(&(weft_websocket_options){.request = on_request, RECORDED, .accept_timeout_ms = 50});
    uint64_t before_ms = client_now_ms();
    int fd = ask("");
    assert_int_equal(client_read_answer(fd, "Connection: close"), 503);
    assert_true(client_now_ms() - before_ms >= 50);
    client_expect_end(fd);
    on_loop(accept_badly_then_well);
    for (int i = 0; i <= 3; i++)
        assert_int_equal(results[i], WEFT_E_CLOSED);
}

static void decide_three_ways(void)
{
    results[0] = weft_accept(asked, NULL);
    results[1] = weft_reject(asked, 400, NULL);
    results[2] = weft_header(asked, "X", "y");
}

static void websocket__knows_when_the_asker_is_gone(void **state)
{
    (void)state;
    serve(&(weft_websocket_options){.request = on_request, RECORDED});
    client_reset(ask(""));
    let_arrive();
    on_loop(decide_three_ways);
    for (int i = 0; i < 3; i++)
        assert_int_equal(results[i], WEFT_E_CLOSED);
    assert_string_equal(look(), "request: ");
}

/* It may still read, so it is told; but there is nobody to talk with. */
static void websocket__ends_when_the_asker_sends_no_more(void **state)
{
    (void)state;
    serve(&(weft_websocket_options){.request = on_request, RECORDED});
    int fd = ask("");
    shutdown(fd, SHUT_WR);
    let_arrive();
    on_loop(decide_three_ways);
    client_read_head(fd);
    client_expect_end(fd);
    const char *seen = look();
    assert_true(strcmp(seen, "request: open close:1006: ") == 0 || strcmp(seen, "request: ") == 0);
}

static void websocket__opens_before_messages_of_the_same_segment(void **state)
{
    (void)state;
    char bytes[1024];
    serve(&(weft_websocket_options){RECORDED});
    size_t len = (size_t)snprintf(bytes, 512,
                                  "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                                  "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n");
    len += client_put(bytes + len, CLIENT_FIN | CLIENT_TEXT, "a", 1);
    len += client_put(bytes + len, CLIENT_FIN | CLIENT_TEXT, "b", 1);
    int fd = client_connect(url);
    client_write(fd, bytes, len);
    client_expect_accepted(fd);
    client_leave(fd);
    assert_string_equal(look(), "open message:a message:b close:1000: ");
}

/* More than the server keeps unread before it stops reading. */
static void websocket__holds_back_what_comes_before_the_decision(void **state)
{
    (void)state;
    enum { BYTES = 100000 };
    char *long_text = malloc(BYTES);
    memset(long_text, 'x', BYTES);
    serve(&(weft_websocket_options){.request = on_request, RECORDED});
    int fd = ask("");
    client_send_text(fd, "first");
    client_send(fd, CLIENT_FIN | CLIENT_BINARY, long_text, BYTES);
    client_send_text(fd, "last");
    await_event();
    client_expect_silence(fd, 20);
    assert_string_equal(look(), "request: ");
    assert_int_equal(weft_accept(asked, NULL), 0);
    client_expect_accepted(fd);
    client_leave(fd);
    const char *seen = look();
    assert_int_equal(strncmp(seen, "open message:first message:xxx", 30), 0);
    assert_non_null(strstr(seen, "message:last close:1000: "));
    free(long_text);
}

static void websocket__agrees_on_the_routes_favourite_subprotocol(void **state)
{
    (void)state;
    static const char *const mine[] = {"chat.v2", "chat.v1", NULL};
    static const struct {
        const char *fields, *line;
    } cases[] = {
        {"Sec-WebSocket-Protocol: chat.v1, chat.v2\r\n", "Sec-WebSocket-Protocol: chat.v2"},
        {"Sec-WebSocket-Protocol: other\r\nSec-WebSocket-Protocol: chat.v1\r\n", "Sec-WebSocket-Protocol: chat.v1"},
        {"Sec-WebSocket-Protocol: other, CHAT.v1\r\n", NULL},
        {"", NULL},
    };
    serve(&(weft_websocket_options){RECORDED, .subprotocols = mine});
    for (size_t i = 0; i < N_OF(cases); i++) {
        int fd = client_connect(url);
        client_ask(fd, "/", cases[i].fields);
        client_expect_accepted(fd);
        if (cases[i].line)
            assert_true(client_head_has(cases[i].line));
        else
            assert_null(strstr(client_bytes, "Sec-WebSocket-Protocol"));
        client_leave(fd);
    }
}

/* Asks with this origin; the status. */
static int status_for_origin(const char *path, const char *origin)
{
    char field[128] = "";
    if (origin)
        snprintf(field, sizeof field, "Origin: %s\r\n", origin);
    int fd = client_connect(url);
    client_ask(fd, path, field);
    int status = client_read_head(fd);
    close(fd);
    return status;
}

static void websocket__accepts_only_the_origins_of_the_route(void **state)
{
    (void)state;
    static const char *const listed[] = {"https://a.example", "https://*.b.example", NULL}, *const any[] = {"*", NULL};
    assert_int_equal(weft_websocket(app, "/listed", &(weft_websocket_options){.origins = listed}), 0);
    assert_int_equal(weft_websocket(app, "/any", &(weft_websocket_options){.origins = any}), 0);
    serve(&(weft_websocket_options){RECORDED});
    assert_int_equal(status_for_origin("/", NULL), 101);
    assert_int_equal(status_for_origin("/", "http://localhost"), 101);
    assert_int_equal(status_for_origin("/", "http://evil"), 403);
    assert_int_equal(status_for_origin("/", "null"), 403);
    assert_int_equal(status_for_origin("/listed", "https://a.example"), 101);
    assert_int_equal(status_for_origin("/listed", "https://x.b.example"), 101);
    assert_int_equal(status_for_origin("/listed", "http://localhost"), 403);
    assert_int_equal(status_for_origin("/any", "http://evil"), 101);
    assert_int_equal(status_for_origin("/any", "null"), 101);
}

/* ---------------------------------------------------------------------------------------------------------- what it has */

static void count_up(weft_peer peer, const weft_message *message)
{
    (void)message;
    unsigned char *data = weft_data(peer);
    unsigned sum = 0;
    for (size_t i = 1; i < 100; i++)
        sum += data[i];
    happened("%d:%u ", ++data[0], sum);
}

static void fill_data(weft_peer peer, int code, weft_str reason)
{
    (void)code;
    (void)reason;
    memset(weft_data(peer), 0xff, 100); /* the next to get this memory must not see it */
}

static void websocket__has_zeroed_storage_for_each_peer(void **state)
{
    (void)state;
    serve(&(weft_websocket_options){.peer_bytes = 100, .message = count_up, .close = fill_data});
    for (int i = 0; i < 3; i++) {
        int one = client_open(url, "/"), two = client_open(url, "/");
        client_send_text(one, "");
        client_send_text(one, "");
        client_leave(one);
        client_send_text(two, "");
        client_leave(two);
        assert_string_equal(look(), "1:0 2:0 1:0 ");
    }
}

static weft_peer_info info;
static void *seen_user;
static weft *seen_app;

static void ask_about(void)
{
    results[0] = weft_peer_about(latest, &info);
    seen_user = weft_user(latest);
    seen_app = weft_of(latest);
}

static void websocket__tells_about_itself(void **state)
{
    (void)state;
    static const char *const mine[] = {"chat", NULL};
    static char user;
    struct sockaddr_in local;
    socklen_t len = sizeof local;
    char address[64];
    serve(&(weft_websocket_options){.user = &user, .subprotocols = mine, .open = on_open, .message = on_echo});
    int fd = client_connect(url);
    client_ask(fd, "/", "Sec-WebSocket-Protocol: chat\r\n");
    client_expect_accepted(fd);
    client_send_text(fd, "four");
    client_expect_text(fd, "four");
    on_loop(ask_about);
    assert_int_equal(results[0], 0);
    assert_ptr_equal(seen_user, &user);
    assert_ptr_equal(seen_app, app);
    assert_int_equal(info.transport, WEFT_TRANSPORT_WEBSOCKET);
    assert_string_equal(info.subprotocol, "chat");
    assert_int_equal(getsockname(fd, (struct sockaddr *)&local, &len), 0);
    snprintf(address, sizeof address, "127.0.0.1:%u", ntohs(local.sin_port));
#ifndef WEFT_TEST_TLS /* there it is that of the relay */
    assert_string_equal(info.address, address);
#endif
    assert_int_equal(info.messages_in, 1);
    assert_int_equal(info.messages_out, 1);
    assert_int_equal(info.bytes_in, 4);
    assert_int_equal(info.bytes_out, 4);
    assert_true(info.connected_ms < CLIENT_PATIENCE_MS);
    client_leave(fd);
}

static void ask_less_about(void)
{
    results[0] = weft_peer_about_sized(latest, &info, offsetof(weft_peer_info, address) + 4);
}

static void websocket__fills_no_more_of_the_info_than_an_old_program_knows(void **state)
{
    (void)state;
    serve(&(weft_websocket_options){RECORDED});
    int fd = client_open(url, "/");
    memset(&info, 0x55, sizeof info);
    on_loop(ask_less_about);
    assert_int_equal(results[0], 0);
    assert_int_equal(info.transport, WEFT_TRANSPORT_WEBSOCKET);
    assert_int_equal(info.address[3], '.');
    assert_int_equal(info.address[4], 0x55);
    client_leave(fd);
}

/* ---------------------------------------------------------------------------------------------------------------- pings */

static void answer_and_hesitate(weft_peer peer, const weft_message *message)
{
    weft_send(peer, message);
    weft_pause(peer);
    weft_resume(peer);
}

/* What was asked of epoll for a moment must not keep the loop awake for ever. */
static void websocket__that_hesitates_lets_the_loop_rest(void **state)
{
    (void)state;
    serve(&(weft_websocket_options){.message = answer_and_hesitate});
    int fd = client_open(url, "/");
    client_send_text(fd, "hm");
    client_expect_text(fd, "hm");
    let_arrive();
    uint64_t since_ms = client_now_ms();
    weft_step(app, 60);
    assert_in_range(client_now_ms() - since_ms, 50, 5000);
    client_leave(fd);
}

static void websocket__pings_and_times_the_answer(void **state)
{
    (void)state;
    serve(&(weft_websocket_options){RECORDED});
    int fd = client_open(url, "/");
    assert_int_equal(weft_ping(latest, (weft_str){"abc", 3}), 0);
    client_expect(fd, CLIENT_PING, "abc");
    client_send(fd, CLIENT_FIN | CLIENT_PONG, "abc", 3);
    client_send(fd, CLIENT_FIN | CLIENT_PONG, "unasked", 7);
    CLIENT_UNTIL(strstr(events, "unasked"));
    assert_int_equal(weft_ping(latest, (weft_str){NULL, 0}), 0);
    client_expect(fd, CLIENT_PING, "");
    client_send(fd, CLIENT_FIN | CLIENT_PONG, "", 0);
    client_leave(fd);
    assert_string_equal(look(), "open pong:abc:timed pong:unasked:0 pong::timed close:1000: ");
}

static void websocket__answers_pings_between_fragments(void **state)
{
    (void)state;
    serve(&(weft_websocket_options){RECORDED});
    int fd = client_open(url, "/");
    client_send(fd, CLIENT_TEXT, "he", 2);
    client_send(fd, CLIENT_FIN | CLIENT_PING, "now", 3);
    client_expect(fd, CLIENT_PONG, "now");
    client_send(fd, CLIENT_FIN | CLIENT_CONTINUATION, "llo", 3);
    client_leave(fd);
    assert_string_equal(look(), "open message:hello close:1000: ");
}

static void websocket__refuses_a_ping_that_is_too_long(void **state)
{
    (void)state;
    char payload[126];
    memset(payload, 'x', sizeof payload);
    serve(&(weft_websocket_options){RECORDED});
    int fd = client_open(url, "/");
    assert_int_equal(weft_ping(latest, (weft_str){payload, 126}), WEFT_E_TOO_LARGE);
    assert_int_equal(weft_ping(latest, (weft_str){NULL, 3}), WEFT_E_INVALID);
    assert_int_equal(weft_ping(latest, (weft_str){payload, 125}), 0);
    assert_int_equal(client_receive(fd).len, 125);
    client_leave(fd);
}

static void websocket__cuts_a_peer_that_is_silent(void **state)
{
    (void)state;
    serve(&(weft_websocket_options){RECORDED, .ping_interval_ms = 60, .ping_timeout_ms = 60});
    uint64_t before_ms = client_now_ms();
    int fd = client_open(url, "/");
    client_expect(fd, CLIENT_PING, "");
    assert_true(client_now_ms() - before_ms >= 59);
    client_expect_end(fd);
    assert_true(client_now_ms() - before_ms >= 118);
    assert_string_equal(look(), "open close:1006:ping timeout ");
}

static void websocket__takes_any_byte_for_life(void **state)
{
    (void)state;
    char frame[64];
    size_t len = client_put(frame, CLIENT_FIN | CLIENT_TEXT, "abcdef", 6);
    serve(&(weft_websocket_options){RECORDED, .ping_interval_ms = 50, .ping_timeout_ms = 100});
    int fd = client_open(url, "/");
    for (size_t i = 0; i < 4; i++) {
        client_expect(fd, CLIENT_PING, "");
        client_write(fd, frame + i, 1); /* no pong, no whole frame */
    }
    client_expect(fd, CLIENT_PING, "");
    client_write(fd, frame + 4, len - 4);
    client_expect(fd, CLIENT_PING, "");
    client_send(fd, CLIENT_FIN | CLIENT_PONG, "", 0);
    client_expect(fd, CLIENT_PING, "");
    client_expect_end(fd);
    /* pongs to pings that the program did not send are not its business */
    assert_string_equal(look(), "open message:abcdef close:1006:ping timeout ");
}

static void websocket__does_not_ping_when_told_not_to(void **state)
{
    (void)state;
    serve(&(weft_websocket_options){RECORDED, .ping_interval_ms = WEFT_NEVER, .ping_timeout_ms = 1});
    int fd = client_open(url, "/");
    client_expect_silence(fd, 30);
    client_leave(fd);
}

/* -------------------------------------------------------------------------------------------------------------- closing */

static void websocket__answers_a_close_with_its_code(void **state)
{
    (void)state;
    static const struct {
        int code, answered;
        const char *reason, *seen;
    } cases[] = {
        {1000, 1000, "bye", "open close:1000:bye "},
        {4321, 4321, "", "open close:4321: "},
        {0, 0, "", "open close:1005: "},
        {1005, 1002, "", "open close:1002:close code that may not be sent "},
        {1000, 1007, "\xff", "open close:1007:close reason is not UTF-8 "},
    };
    serve(&(weft_websocket_options){RECORDED});
    for (size_t i = 0; i < N_OF(cases); i++) {
        int fd = client_open(url, "/");
        client_send_close(fd, cases[i].code, cases[i].reason);
        client_expect_close(fd, cases[i].answered);
        client_expect_end(fd);
        assert_string_equal(look(), cases[i].seen);
    }
}

static void websocket__closes_after_what_is_queued(void **state)
{
    (void)state;
    serve(&(weft_websocket_options){RECORDED});
    int fd = client_open(url, "/");
    assert_int_equal(weft_send_text(latest, "one"), 0);
    assert_int_equal(weft_send_text(latest, "two"), 0);
    assert_int_equal(weft_close(latest, 4000, "enough"), 0);
    assert_int_equal(weft_send_text(latest, "late"), 0);
    client_expect_text(fd, "one");
    client_expect_text(fd, "two");
    client_expect_close(fd, 4000);
    assert_string_equal(client_bytes + 2, "enough");
    assert_string_equal(look(), "open close:4000:enough ");
    client_send_text(fd, "ignored");
    client_send(fd, CLIENT_FIN | CLIENT_PING, "ignored", 7);
    client_send_close(fd, 4000, "");
    client_expect_end(fd);
    assert_string_equal(look(), "");
}

static void close_badly_then_well(void)
{
    static const int codes[] = {1, 999, 1004, 1005, 1006, 1015, 2999, 5000, -1};
    char long_reason[125];
    memset(long_reason, 'x', sizeof long_reason);
    long_reason[124] = '\0';
    for (size_t i = 0; i < N_OF(codes); i++)
        results[i] = weft_close(latest, codes[i], NULL);
    results[10] = weft_close(latest, 0, "a reason needs a code");
    results[11] = weft_close(latest, 1000, long_reason);
    results[12] = weft_close(latest, 1000, "\xff");
    results[13] = weft_close(latest, 0, NULL);
    results[14] = weft_close(latest, 1000, NULL);
    results[15] = weft_abort(latest);
}

static void websocket__closes_with_legal_codes_only(void **state)
{
    (void)state;
    serve(&(weft_websocket_options){RECORDED});
    int fd = client_open(url, "/");
    on_loop(close_badly_then_well);
    for (size_t i = 0; i < 9; i++)
        assert_int_equal(results[i], WEFT_E_INVALID);
    assert_int_equal(results[10], WEFT_E_INVALID);
    assert_int_equal(results[11], WEFT_E_TOO_LARGE);
    assert_int_equal(results[12], WEFT_E_UTF8);
    assert_int_equal(results[13], 0);
    assert_int_equal(results[14], WEFT_E_CLOSED);
    assert_int_equal(results[15], WEFT_E_CLOSED);
    client_expect_close(fd, 0);
    client_send_close(fd, 0, "");
    client_expect_end(fd);
    assert_string_equal(look(), "open close:1005: ");
}

static void websocket__waits_for_the_close_answer_within_bounds(void **state)
{
    (void)state;
    serve(&(weft_websocket_options){RECORDED, .close_timeout_ms = 60});
    int fd = client_open(url, "/");
    uint64_t before_ms = client_now_ms();
    weft_close(latest, 1000, NULL);
    client_expect_close(fd, 1000);
    client_expect_end(fd);
    assert_true(client_now_ms() - before_ms >= 60);
    assert_string_equal(look(), "open close:1000: ");
}

static void websocket__is_gone_when_the_client_is(void **state)
{
    (void)state;
    serve(&(weft_websocket_options){RECORDED});
    int fd = client_open(url, "/");
    client_reset(fd);
    CLIENT_UNTIL(strstr(events, "close"));
    fd = client_open(url, "/");
    close(fd);
    CLIENT_UNTIL(strstr(strstr(events, "close") + 1, "close"));
    assert_string_equal(look(), "open close:1006: open close:1006: ");
}

static void close_in_open(weft_peer peer)
{
    on_open(peer);
    results[0] = weft_send_text(peer, "hello");
    results[1] = weft_close(peer, 4001, "full");
    results[2] = weft_send_text(peer, "late");
}

static void call_in_close(weft_peer peer, int code, weft_str reason)
{
    on_close(peer, code, reason);
    results[3] = weft_send_text(peer, "late");
    results[4] = weft_close(peer, 1000, NULL);
    results[5] = weft_abort(peer);
    results[6] = weft_ping(peer, (weft_str){NULL, 0});
    results[7] = weft_subscribe(peer, "t", NULL);
    results[8] = weft_pause(peer);
    results[9] = weft_free(app);
    results[10] = weft_peer_after(peer, 1, NULL, NULL).id != 0;
    results[11] = weft_of(peer) == app && weft_data(peer);
}

static void websocket__may_be_closed_inside_open(void **state)
{
    (void)state;
    serve(&(weft_websocket_options){
        .peer_bytes = 1, .open = close_in_open, .message = on_message, .close = call_in_close});
    int fd = client_connect(url);
    client_ask(fd, "/", "");
    client_send_text(fd, "dropped");
    client_expect_accepted(fd);
    client_expect_text(fd, "hello");
    client_expect_close(fd, 4001);
    client_send_close(fd, 4001, "");
    client_expect_end(fd);
    assert_string_equal(look(), "open close:4001:full ");
    assert_int_equal(results[0], 0);
    assert_int_equal(results[1], 0);
    for (int i = 2; i <= 8; i++)
        assert_int_equal(results[i], WEFT_E_CLOSED);
    assert_int_equal(results[9], WEFT_E_INVALID);
    assert_false(results[10]);
    assert_true(results[11]); /* what is the peer's lasts until its last callback */
}

static void close_in_message(weft_peer peer, const weft_message *message)
{
    on_message(peer, message);
    if (message->data.len && *message->data.at == 'c')
        weft_close(peer, 1000, "bye");
    else if (message->data.len)
        weft_abort(peer);
}

static void websocket__drops_the_rest_once_closed_inside_message(void **state)
{
    (void)state;
    char bytes[64];
    serve(&(weft_websocket_options){.open = on_open, .message = close_in_message, .close = on_close});
    for (const char *what = "ca"; *what; what++) {
        int fd = client_open(url, "/");
        size_t len = client_put(bytes, CLIENT_FIN | CLIENT_TEXT, "", 0);
        len += client_put(bytes + len, CLIENT_FIN | CLIENT_TEXT, what, 1);
        len += client_put(bytes + len, CLIENT_FIN | CLIENT_TEXT, "dropped", 7);
        client_write(fd, bytes, len);
        if (*what == 'c') {
            client_expect_close(fd, 1000);
            client_send_close(fd, 1000, "");
        }
        client_expect_end(fd);
    }
    assert_string_equal(look(), "open message: message:c close:1000:bye open message: message:a close:1006: ");
}

static void websocket__is_cut_at_once_by_abort(void **state)
{
    (void)state;
    serve(&(weft_websocket_options){RECORDED});
    int fd = client_open(url, "/");
    assert_int_equal(weft_abort(latest), 0);
    client_expect_end(fd);
    CLIENT_UNTIL(strstr(events, "close"));
    assert_string_equal(look(), "open close:1006: ");
}

/* ------------------------------------------------------------------------------------------------------ pause and limits */

static void pause_latest(void)
{
    results[0] = weft_pause(latest);
    results[1] = weft_pause(latest);
}

static void resume_latest(void)
{
    results[0] = weft_resume(latest);
}

static void pause_in_message(weft_peer peer, const weft_message *message)
{
    on_message(peer, message);
    weft_pause(peer);
}

static void websocket__reads_nothing_while_paused(void **state)
{
    (void)state;
    serve(&(weft_websocket_options){RECORDED});
    int fd = client_open(url, "/");
    on_loop(pause_latest);
    assert_int_equal(results[0] | results[1], 0);
    client_send_text(fd, "one");
    client_send_text(fd, "two");
    await_event();
    client_expect_silence(fd, 20);
    assert_string_equal(look(), "open ");
    on_loop(resume_latest);
    client_leave(fd);
    assert_string_equal(look(), "message:one message:two close:1000: ");
}

static void websocket__hands_over_one_by_one_when_each_pauses(void **state)
{
    (void)state;
    char bytes[64];
    serve(&(weft_websocket_options){.open = on_open, .message = pause_in_message, .close = on_close});
    int fd = client_open(url, "/");
    size_t len = client_put(bytes, CLIENT_FIN | CLIENT_TEXT, "1", 1);
    len += client_put(bytes + len, CLIENT_FIN | CLIENT_TEXT, "2", 1);
    len += client_put(bytes + len, CLIENT_TEXT, "3", 1);
    client_write(fd, bytes, len);
    CLIENT_UNTIL(strstr(events, "message:1 "));
    on_loop(resume_latest);
    CLIENT_UNTIL(strstr(events, "message:2 "));
    on_loop(resume_latest);
    client_send(fd, CLIENT_FIN | CLIENT_CONTINUATION, "4", 1);
    CLIENT_UNTIL(strstr(events, "message:34 "));
    weft_close(latest, 1000, NULL); /* reads on, so that the answer is heard */
    client_expect_close(fd, 1000);
    client_send_close(fd, 1000, "");
    client_expect_end(fd);
    assert_string_equal(look(), "open message:1 message:2 message:34 close:1000: ");
}

/* Frames with their number in front, sent without regard to what comes back. */
typedef struct {
    int fd, first_byte;
    size_t payload_len;
    unsigned n_sent, n_back;
    char frame[1100];
    size_t frame_len, frame_at; /* of the one under way */
} flood;

static void flood_next_frame(flood *f)
{
    char payload[1024];
    memset(payload, 'x', sizeof payload);
    memcpy(payload, &f->n_sent, sizeof f->n_sent);
    f->frame_len = client_put(f->frame, f->first_byte, payload, f->payload_len);
    f->frame_at = 0;
    f->n_sent++;
}

/* Sends until the socket is full or `most` frames are out; false when it was full. */
static bool flood_push(flood *f, unsigned most)
{
    for (;;) {
        if (f->frame_at == f->frame_len && f->n_sent == most)
            return true;
        if (f->frame_at == f->frame_len)
            flood_next_frame(f);
        ssize_t sent = send(f->fd, f->frame + f->frame_at, f->frame_len - f->frame_at, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent < 0)
            return false;
        f->frame_at += (size_t)sent;
    }
}

/* Until the server takes no more; false when it took all of `most`. */
static bool flood_stall(flood *f, unsigned most)
{
    while (!flood_push(f, most))
        if (!client_wait(f->fd, POLLOUT, 200))
            return true;
    return false;
}

/* Every frame comes back, in order. */
static void flood_back(flood *f, int opcode)
{
    while (f->n_back < f->n_sent) {
        flood_push(f, f->n_sent);
        client_frame frame = client_receive(f->fd);
        assert_int_equal(frame.opcode, opcode);
        assert_int_equal(frame.len, f->payload_len);
        assert_memory_equal(frame.at, &f->n_back, sizeof f->n_back);
        f->n_back++;
    }
}

static size_t queued;

static void ask_queued(void)
{
    queued = weft_queued(latest);
}

static void echo_recorded(weft_peer peer, const weft_message *message)
{
    int result = weft_send(peer, message);
    if (result != 0 && result != WEFT_QUEUED)
        happened("lost:%d ", result);
}

static int client_open_small(void)
{
    int fd = client_connect_small(url, 4096);
    client_ask(fd, "/", "");
    client_expect_accepted(fd);
    return fd;
}

static void websocket__stops_reading_from_a_peer_that_does_not(void **state)
{
    (void)state;
    enum { LIMIT = 64 << 10, MOST = 64 << 10 };
    serve(&(weft_websocket_options){.open = on_open,
                                    .message = echo_recorded,
                                    .drain = on_drain,
                                    .close = on_close,
                                    .max_queued_bytes = LIMIT,
                                    .ping_interval_ms = WEFT_NEVER});
    flood f = {.fd = client_open_small(), .first_byte = CLIENT_FIN | CLIENT_BINARY, .payload_len = 1000};
    assert_true(flood_stall(&f, MOST));
    on_loop(ask_queued);
    /* what lies between us and the client may take a little more, up to where the peer would be read again */
    assert_true(queued > LIMIT / 2 && queued < LIMIT + 1004);
    assert_null(strstr(look(), "lost")); /* it drained while the sockets' buffers were filling, and now no more */
    flood_back(&f, CLIENT_BINARY);
    CLIENT_UNTIL(strstr(events, "drain"));
    client_leave(f.fd);
    assert_null(strstr(look(), "lost"));
}

static void websocket__stops_reading_pings_whose_answers_are_not(void **state)
{
    (void)state;
    enum { LIMIT = 64 << 10, MOST = 640 << 10 };
    serve(&(weft_websocket_options){.open = on_open, .close = on_close, .ping_interval_ms = WEFT_NEVER});
    flood f = {.fd = client_open_small(), .first_byte = CLIENT_FIN | CLIENT_PING, .payload_len = 125};
    assert_true(flood_stall(&f, MOST));
    on_loop(ask_queued);
    assert_in_range(queued, 1, LIMIT + 256);
    flood_back(&f, CLIENT_PONG);
    client_leave(f.fd);
    assert_string_equal(look(), "open close:1000: ");
}

static void websocket__answers_a_burst_of_pings_one_by_one(void **state)
{
    (void)state;
    serve(&(weft_websocket_options){.open = on_open, .close = on_close, .ping_interval_ms = WEFT_NEVER});
    static const struct {
        size_t payload_len;
        unsigned n;
    } bursts[] = {{4, 10000}, {64, 10000}, {125, 10000}, {125, 600}, {125, 1500}};
    for (size_t i = 0; i < N_OF(bursts); i++) {
        flood f = {.fd = client_open(url, "/"), .first_byte = CLIENT_FIN | CLIENT_PING};
        f.payload_len = bursts[i].payload_len;
        flood_stall(&f, bursts[i].n);
        flood_back(&f, CLIENT_PONG);
        flood_stall(&f, bursts[i].n); /* what it did not take at first */
        flood_back(&f, CLIENT_PONG);
        assert_int_equal(f.n_back, bursts[i].n);
        client_leave(f.fd);
    }
}

static void websocket__fails_messages_over_the_limit(void **state)
{
    (void)state;
    char bytes[101];
    memset(bytes, 'x', sizeof bytes);
    serve(&(weft_websocket_options){.open = on_open, .message = on_echo, .close = on_close, .max_message_bytes = 100});
    int fd = client_open(url, "/");
    client_send(fd, CLIENT_FIN | CLIENT_TEXT, bytes, 100);
    assert_int_equal(client_receive(fd).len, 100);
    client_send(fd, CLIENT_FIN | CLIENT_TEXT, bytes, 101);
    client_expect_close(fd, 1009);
    client_expect_end(fd);
    fd = client_open(url, "/");
    client_send(fd, CLIENT_TEXT, bytes, 60);
    client_send(fd, CLIENT_CONTINUATION, bytes, 41);
    client_expect_close(fd, 1009);
    client_expect_end(fd);
    assert_string_equal(look(), "open close:1009:message too large open close:1009:message too large ");
}

static void websocket__fails_a_flood_of_fragments(void **state)
{
    (void)state;
    serve(&(weft_websocket_options){RECORDED});
    int fd = client_open(url, "/");
    client_send(fd, CLIENT_TEXT, "", 0);
    for (int i = 0; i < 1024; i++)
        client_send(fd, CLIENT_CONTINUATION, "", 0);
    client_expect_close(fd, 1008);
    client_expect_end(fd);
    assert_string_equal(look(), "open close:1008:too many small fragments ");
}

static void websocket__fails_frames_that_break_the_protocol(void **state)
{
    (void)state;
    static const struct {
        int first_byte;
        const char *payload;
        int code;
    } cases[] = {
        {0x83, "", 1002},        {0xC1, "", 1002},      {CLIENT_FIN, "x", 1002},
        {CLIENT_PING, "", 1002}, {0x81, "\xc3(", 1007}, {0x8B, "", 1002},
    };
    serve(&(weft_websocket_options){RECORDED});
    for (size_t i = 0; i < N_OF(cases); i++) {
        int fd = client_open(url, "/");
        client_send(fd, cases[i].first_byte, cases[i].payload, strlen(cases[i].payload));
        client_expect_close(fd, cases[i].code);
        client_expect_end(fd);
        char wanted[32];
        snprintf(wanted, sizeof wanted, "open close:%d:", cases[i].code);
        assert_int_equal(strncmp(look(), wanted, strlen(wanted)), 0);
    }
}

/* ----------------------------------------------------------------------------------------------------------------- sends */

static void send_badly_then_well(void)
{
    results[0] = weft_send_text(latest, "\xff");
    results[1] = weft_send_data(latest, WEFT_JSON, "{", 1);
    results[2] = weft_send_data(latest, (weft_kind)9, "x", 1);
    results[3] = weft_send_data(latest, WEFT_TEXT, NULL, 1);
    results[4] = weft_send(latest, NULL);
    results[5] = weft_send(latest, &(weft_message){.kind = WEFT_TEXT, .event = {NULL, 1}});
    results[6] = weft_send_data(latest, WEFT_JSON, " [ 1, 2 ] ", 10);
    results[7] = weft_send_data(latest, WEFT_BINARY, "\xff", 1);
}

static void check_sends(int fd)
{
    assert_int_equal(results[0], WEFT_E_UTF8);
    assert_int_equal(results[1], WEFT_E_JSON);
    for (int i = 2; i <= 5; i++)
        assert_int_equal(results[i], WEFT_E_INVALID);
    assert_int_equal(results[6], 0);
    assert_int_equal(results[7], 0);
    client_expect_text(fd, "[1,2]");
    client_expect(fd, CLIENT_BINARY, "\xff");
}

static void websocket__refuses_to_send_what_is_not_what_it_says(void **state)
{
    (void)state;
    serve(&(weft_websocket_options){RECORDED});
    int fd = client_open(url, "/");
    on_loop(send_badly_then_well);
    check_sends(fd);
    elsewhere(send_badly_then_well);
    check_sends(fd);
    client_leave(fd);
}

static void fill_queue(void)
{
    static char bytes[1000];
    results[0] = weft_send_data(latest, WEFT_BINARY, bytes, 900);
    results[1] = weft_send_data(latest, WEFT_BINARY, bytes, 1000);
    results[2] = weft_send_data(latest, WEFT_BINARY, bytes, 1);
    results[3] = (int)weft_queued(latest);
}

static void websocket__takes_whole_what_crosses_the_limit_and_then_no_more(void **state)
{
    (void)state;
    serve(&(weft_websocket_options){RECORDED, .max_queued_bytes = 1000});
    int fd = client_open(url, "/");
    look();
    on_loop(fill_queue);
    assert_int_equal(results[0], 0);
    assert_int_equal(results[1], WEFT_QUEUED);
    assert_int_equal(results[2], WEFT_E_FULL);
    assert_int_equal(results[3], 904 + 1004);
    assert_int_equal(client_receive(fd).len, 900);
    assert_int_equal(client_receive(fd).len, 1000);
    CLIENT_UNTIL(strstr(events, "drain "));
    client_leave(fd);
    assert_string_equal(look(), "drain close:1000: ");
}

/* Large messages travel by reference: one that comes in pieces and one that is received where it belongs. */
static void websocket__echoes_messages_of_every_size(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 125, 126, 2047, 2048, 65535, 65536, 600000, 1 << 20};
    char *bytes = malloc(1 << 20);
    for (size_t i = 0; i < 1 << 20; i++)
        bytes[i] = (char)(i * 7 + i / 251);
    serve(&(weft_websocket_options){.message = on_echo});
    int fd = client_open(url, "/");
    for (size_t i = 0; i < N_OF(sizes); i++) {
        client_send(fd, CLIENT_FIN | CLIENT_BINARY, bytes, sizes[i]);
        client_frame frame = client_receive(fd);
        assert_int_equal(frame.opcode, CLIENT_BINARY);
        assert_int_equal(frame.len, sizes[i]);
        assert_memory_equal(frame.at, bytes, sizes[i]);
    }
    for (size_t at = 0; at < 300000; at += 1000)
        client_send(fd, at ? CLIENT_CONTINUATION : CLIENT_BINARY, bytes + at, 1000);
    client_send(fd, CLIENT_FIN | CLIENT_CONTINUATION, bytes + 300000, 300000);
    assert_int_equal(client_receive(fd).len, 600000);
    assert_memory_equal(client_bytes, bytes, 600000);
    client_leave(fd);
    free(bytes);
}

static void *nothing[4];

static void call_with_latest(void)
{
    int i = 0;
    results[i++] = weft_send_text(latest, "x");
    results[i++] = weft_send_data(latest, WEFT_BINARY, "x", 1);
    results[i++] = weft_ping(latest, (weft_str){NULL, 0});
    results[i++] = weft_close(latest, 1000, NULL);
    results[i++] = weft_abort(latest);
    results[i++] = weft_pause(latest);
    results[i++] = weft_resume(latest);
    results[i++] = weft_peer_about(latest, &info);
    results[i++] = weft_subscribe(latest, "t", NULL);
    results[i++] = weft_unsubscribe(latest, "t");
    results[i++] = weft_accept((weft_exchange){latest.id}, NULL);
    results[i++] = weft_cancel((weft_timer){latest.id});
    nothing[0] = weft_of(latest);
    nothing[1] = weft_user(latest);
    nothing[2] = weft_data(latest);
    nothing[3] = weft_peer_after(latest, 1, NULL, NULL).id ? app : NULL;
    queued = weft_queued(latest);
}

static void check_all_closed(void)
{
    queued = 1;
    on_loop(call_with_latest);
    for (int i = 0; i < 12; i++)
        assert_int_equal(results[i], WEFT_E_CLOSED);
    for (int i = 0; i < 4; i++)
        assert_null(nothing[i]);
    assert_int_equal(queued, 0);
}

static void websocket__answers_every_call_on_a_stale_handle(void **state)
{
    (void)state;
    serve(&(weft_websocket_options){RECORDED, .user = &info, .peer_bytes = 8});
    int fd = client_open(url, "/");
    client_leave(fd);
    CLIENT_UNTIL(strstr(events, "close"));
    check_all_closed();
    latest.id ^= 1; /* another generation */
    check_all_closed();
    latest.id |= 0xffffffULL << 32; /* no such slot */
    check_all_closed();
    latest.id = 0;
    check_all_closed();
    assert_int_equal(weft_send_text((weft_peer){UINT64_MAX}, "x"), WEFT_E_CLOSED); /* no such loop */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        APP_TEST(websocket__is_accepted_inside_the_request),
        APP_TEST(websocket__is_accepted_later),
        APP_TEST(websocket__is_accepted_from_another_thread),
        APP_TEST(websocket__accepts_only_an_offered_subprotocol),
        APP_TEST(websocket__is_rejected_with_any_status_and_text),
        APP_TEST(websocket__rejects_with_error_statuses_only),
        APP_TEST(websocket__takes_only_headers_that_cannot_lie),
        APP_TEST(websocket__refuses_what_nobody_decides_on),
        APP_TEST(websocket__knows_when_the_asker_is_gone),
        APP_TEST(websocket__ends_when_the_asker_sends_no_more),
        APP_TEST(websocket__opens_before_messages_of_the_same_segment),
        APP_TEST(websocket__holds_back_what_comes_before_the_decision),
        APP_TEST(websocket__agrees_on_the_routes_favourite_subprotocol),
        APP_TEST(websocket__accepts_only_the_origins_of_the_route),
        APP_TEST(websocket__has_zeroed_storage_for_each_peer),
        APP_TEST(websocket__tells_about_itself),
        APP_TEST(websocket__fills_no_more_of_the_info_than_an_old_program_knows),
        APP_TEST(websocket__that_hesitates_lets_the_loop_rest),
        APP_TEST(websocket__pings_and_times_the_answer),
        APP_TEST(websocket__answers_pings_between_fragments),
        APP_TEST(websocket__refuses_a_ping_that_is_too_long),
        APP_TEST(websocket__cuts_a_peer_that_is_silent),
        APP_TEST(websocket__takes_any_byte_for_life),
        APP_TEST(websocket__does_not_ping_when_told_not_to),
        APP_TEST(websocket__answers_a_close_with_its_code),
        APP_TEST(websocket__closes_after_what_is_queued),
        APP_TEST(websocket__closes_with_legal_codes_only),
        APP_TEST(websocket__waits_for_the_close_answer_within_bounds),
        APP_TEST(websocket__is_gone_when_the_client_is),
        APP_TEST(websocket__may_be_closed_inside_open),
        APP_TEST(websocket__drops_the_rest_once_closed_inside_message),
        APP_TEST(websocket__is_cut_at_once_by_abort),
        APP_TEST(websocket__reads_nothing_while_paused),
        APP_TEST(websocket__hands_over_one_by_one_when_each_pauses),
        APP_TEST(websocket__stops_reading_from_a_peer_that_does_not),
        APP_TEST(websocket__stops_reading_pings_whose_answers_are_not),
        APP_TEST(websocket__answers_a_burst_of_pings_one_by_one),
        APP_TEST(websocket__fails_messages_over_the_limit),
        APP_TEST(websocket__fails_a_flood_of_fragments),
        APP_TEST(websocket__fails_frames_that_break_the_protocol),
        APP_TEST(websocket__refuses_to_send_what_is_not_what_it_says),
        APP_TEST(websocket__takes_whole_what_crosses_the_limit_and_then_no_more),
        APP_TEST(websocket__echoes_messages_of_every_size),
        APP_TEST(websocket__answers_every_call_on_a_stale_handle),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
