/* Engine.IO as the program sees it: handshakes, polls and POSTs, heartbeats, ends. What the upgrade does is in test_engineio_upgrade.c. */
#include "app/app.h"
#include "app/engineio_client.h"
#include "proto/ws_compress.h"
#include "proto/ws_inflate.h"

#define RECORDED_ENGINE .open = on_open, .message = on_message, .drain = on_drain, .close = on_close

static int results[8];

static const weft_engineio_options echo = {.open = on_open, .message = on_echo, .close = on_close};

/* -------------------------------------------------------------------------------------------------------- handshakes */

static void engineio__opens_over_polls_with_what_the_settings_say(void **state)
{
    (void)state;
    char packet[256];
    serve_engineio(&(weft_engineio_options){
        RECORDED_ENGINE,
        .engine = {.ping_interval_ms = 7000, .ping_timeout_ms = 8000, .max_http_buffer_size = 9000},
    });
    eio_open_with("", "Cache-Control: no-store");
    snprintf(packet, sizeof packet,
             "0{\"sid\":\"%s\",\"upgrades\":[\"websocket\"],\"pingInterval\":7000,\"pingTimeout\":8000,\"maxPayload\":"
             "9000}",
             sid);
    assert_string_equal(client_bytes, packet);
    assert_string_equal(look(), "open ");
    eio_post("4hi");
    assert_string_equal(look(), "message:hi ");
}

static void engineio__refuses_in_the_order_of_the_reference(void **state)
{
    (void)state;
    static const struct {
        const char *method, *query;
        int code;
    } asked[] = {
        {"GET", "?EIO=4", 0},
        {"GET", "?EIO=4&transport=polling&transport=abc", 0}, /* the last of two counts */
        {"GET", "?EIO=4&transport=webtransport&sid=abc", 0},
        {"POST", "?EIO=3&transport=polling&sid=abc", 1},
        {"POST", "?EIO=3&transport=polling", 2},
        {"DELETE", "?EIO=4&transport=polling", 2},
        {"GET", "?EIO=3&transport=websocket", 3},
        {"GET", "?EIO=3&transport=polling", 5},
        {"GET", "?EIO=4&EIO=3&transport=polling", 5},
        {"GET", "?transport=polling", 5},
    };
    static const char *const texts[] = {
        "Transport unknown", "Session ID unknown", "Bad handshake method",
        "Bad request",       "Forbidden",          "Unsupported protocol version",
    };
    serve_engineio(&echo);
    eio_open();
    assert_string_equal(look(), "open ");
    eio_expect(eio_request("GET", "/engine.io/?EIO=3&transport=polling", true, "", ""), 400,
               "{\"code\":3,\"message\":\"Bad request\"}");
    for (size_t i = 0; i < sizeof asked / sizeof *asked; i++) {
        char path[256], body[128];
        snprintf(path, sizeof path, "/engine.io/%s", asked[i].query);
        snprintf(body, sizeof body, "{\"code\":%d,\"message\":\"%s\"}", asked[i].code, texts[asked[i].code]);
        int fd = eio_request(asked[i].method, path, false, "Content-Length: 0\r\n", "");
        assert_int_equal(client_read_answer(fd, "Content-Type: application/json"), 400);
        assert_string_equal(client_bytes, body);
        close(fd);
        fd = client_connect(url);
        client_ask(fd, path, "");
        bool for_upgrade = asked[i].code == 3 || strcmp(asked[i].method, "GET") != 0;
        if (!for_upgrade) {
            assert_int_equal(client_read_answer(fd, "Connection: close"), 400);
            assert_string_equal(client_bytes, strcmp(asked[i].query, "?transport=polling") == 0 || asked[i].code == 5
                                                  ? "{\"code\":3,\"message\":\"Bad request\"}"
                                                  : body);
        }
        close(fd);
    }
    assert_string_equal(look(), "");
}

static void engineio__keeps_to_the_transports_of_its_settings(void **state)
{
    (void)state;
    static const char *const polling[] = {"polling", NULL}, *const websocket[] = {"websocket", NULL};
    assert_int_equal(weft_engineio(app, "/polls/", &(weft_engineio_options){.engine.transports = polling}), 0);
    assert_int_equal(weft_engineio(app, "/frames/", &(weft_engineio_options){.engine.transports = websocket}), 0);
    assert_int_equal(weft_engineio(app, "/stays/", &(weft_engineio_options){.engine.no_upgrades = 1}), 0);
    begin();
    int fd = client_connect(url);
    client_ask(fd, "/polls/?EIO=4&transport=websocket", "");
    eio_expect(fd, 400, "{\"code\":0,\"message\":\"Transport unknown\"}");
    fd = eio_request("GET", "/frames/?EIO=4&transport=polling", false, "", "");
    eio_expect(fd, 400, "{\"code\":0,\"message\":\"Transport unknown\"}");
    close(client_open(url, "/frames/?EIO=4&transport=websocket"));
    static const char *const paths[] = {"/polls/", "/stays/"};
    for (int i = 0; i < 2; i++) {
        char path[128];
        snprintf(path, sizeof path, "%s?EIO=4&transport=polling", paths[i]);
        fd = eio_request("GET", path, false, "", "");
        assert_int_equal(client_read_answer(fd, NULL), 200);
        assert_non_null(strstr(client_bytes, "\"upgrades\":[]"));
        keep_sid(client_bytes);
        close(fd);
    }
    fd = client_connect(url);
    char path[128];
    snprintf(path, sizeof path, "/stays/?EIO=4&transport=websocket&sid=%s", sid);
    client_ask(fd, path, "");
    eio_expect(fd, 400, "{\"code\":3,\"message\":\"Bad request\"}");
}

static void engineio__refuses_settings_that_mean_nothing(void **state)
{
    (void)state;
    static const char *const none[] = {NULL}, *const unknown[] = {"polling", "carrier-pigeon", NULL};
    const weft_engineio_options bad[] = {
        {.engine.transports = none},
        {.engine.transports = unknown},
        {.engine.cookie.name = "a b"},
        {.engine.cookie = {"io", "Path=/\r\nX: y"}},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(weft_engineio(app, "/engine.io/", &bad[i]), WEFT_E_INVALID);
    assert_int_equal(weft_engineio(app, "/engine.io", NULL), WEFT_E_INVALID);
    assert_int_equal(weft_engineio(app, "/*/", NULL), WEFT_E_INVALID);
    assert_int_equal(weft_engineio(app, NULL, NULL), WEFT_E_INVALID);
    assert_string_equal(weft_error(app), "the path \"/engine.io/\" has no transport");
}

static void engineio__sets_its_cookie_with_the_handshake(void **state)
{
    (void)state;
    weft_engineio_options options = echo;
    char line[128];
    options.engine.cookie.name = "io";
    serve_engineio(&options);
    int fd = eio_request("GET", POLLING, false, "", "");
    assert_int_equal(client_read_head(fd), 200);
    char *cookie = strstr(client_bytes, "\r\nSet-Cookie: io=");
    assert_non_null(cookie);
    snprintf(line, sizeof line, "%.120s", cookie + 2);
    *strchr(line, '\r') = '\0';
    assert_string_equal(line + strlen("Set-Cookie: io=") + 22, "; Path=/; HttpOnly; SameSite=Lax");
    assert_int_equal(client_read(fd, client_bytes, 100), 100);
    keep_sid(client_bytes);
    assert_memory_equal(line + strlen("Set-Cookie: io="), sid, 22);
    close(fd);
}

static weft_exchange asked;

static void ask_later(weft_exchange which, const weft_request *request, void *user)
{
    (void)user;
    asked = which;
    weft_str name = weft_request_query_value(request, "name");
    happened("asked:%.*s ", (int)name.len, name.at);
}

static void accept_asked(void)
{
    results[0] = weft_header(asked, "X-Seen", "yes");
    results[1] = weft_accept(asked, "subprotocol");
    results[2] = weft_accept(asked, NULL);
    results[3] = weft_accept(asked, NULL);
}

static void reject_asked(void)
{
    results[0] = weft_reject(asked, 401, "not \"you\"");
}

static void open_and_look(weft_peer who)
{
    weft_str name = {NULL, 0}, from = {NULL, 0};
    const weft_request *request = weft_peer_request(who);
    if (request) {
        name = weft_request_query_value(request, "name");
        from = weft_request_address(request);
    }
    on_open(who);
    happened("name:%.*s from:%.*s ", (int)name.len, name.at, from.len < 9 ? (int)from.len : 9, from.at);
}

static void look_again(void)
{
    results[0] = weft_peer_request(latest) != NULL;
}

static void engineio__asks_the_program_who_may_come(void **state)
{
    (void)state;
    serve_engineio(&(weft_engineio_options){.request = ask_later, .open = open_and_look, .close = on_close});
    for (int frames = 0; frames < 2; frames++) {
        char path[128];
        snprintf(path, sizeof path, "%s&name=Jude", frames ? WEBSOCKET : POLLING);
        int fd = client_connect(url);
        if (frames)
            client_ask(fd, path, "");
        else
            client_get(fd, path);
        CLIENT_UNTIL(*events);
        assert_string_equal(look(), "asked:Jude ");
        on_loop(accept_asked);
        assert_int_equal(results[0], 0);
        assert_int_equal(results[1], WEFT_E_INVALID);
        assert_int_equal(results[2], 0);
        assert_int_equal(results[3], WEFT_E_CLOSED);
        assert_int_equal(client_read_head(fd), frames ? 101 : 200);
        assert_true(client_head_has("X-Seen: yes"));
        CLIENT_UNTIL(*events);
        assert_string_equal(look(), "open name:Jude from:127.0.0.1 ");
        on_loop(look_again);
        assert_int_equal(results[0], 0);
        close(fd);
        if (frames)
            CLIENT_UNTIL(*events);
    }
    assert_string_equal(look(), "close:1006:transport close ");
}

static void accept_at_once(weft_exchange which, const weft_request *request, void *user)
{
    ask_later(which, request, user);
    weft_accept(which, NULL);
}

static void answer_once_more(weft_peer who)
{
    on_open(who);
    results[0] = weft_reject(asked, 403, NULL);
    results[1] = weft_answer(asked, 200, "text/plain", "hi", 2);
}

static void engineio__answers_what_was_accepted_only_once(void **state)
{
    (void)state;
    serve_engineio(&(weft_engineio_options){.request = accept_at_once, .open = answer_once_more});
    eio_open();
    assert_string_equal(look(), "asked: open ");
    assert_int_equal(results[0], WEFT_E_CLOSED);
    assert_int_equal(results[1], WEFT_E_CLOSED);
    eio_post("4hi");
}

static void engineio__tells_the_client_why_it_may_not_come(void **state)
{
    (void)state;
    serve_engineio(&(weft_engineio_options){.request = ask_later, RECORDED_ENGINE});
    for (int frames = 0; frames < 2; frames++) {
        int fd = client_connect(url);
        if (frames)
            client_ask(fd, WEBSOCKET, "");
        else
            client_get(fd, POLLING);
        CLIENT_UNTIL(*events);
        on_loop(reject_asked);
        assert_int_equal(results[0], 0);
        eio_expect(fd, frames ? 400 : 403, "{\"code\":4,\"message\":\"not \\\"you\\\"\"}");
        assert_string_equal(look(), "asked: ");
    }
}

static void engineio__does_not_wait_for_the_program_for_ever(void **state)
{
    (void)state;
    serve_engineio(&(weft_engineio_options){.request = ask_later, RECORDED_ENGINE, .engine.accept_timeout_ms = 20});
    int fd = client_connect(url);
    client_get(fd, POLLING);
    assert_int_equal(client_read_answer(fd, NULL), 503);
    close(fd);
    on_loop(accept_asked);
    assert_int_equal(results[2], WEFT_E_CLOSED);
}

static void engineio__keeps_the_request_when_it_is_told_to(void **state)
{
    (void)state;
    serve_engineio(&(weft_engineio_options){.open = open_and_look, .engine.keep_request = 1});
    close(client_open(url, WEBSOCKET "&name=Jude"));
    CLIENT_UNTIL(*events);
    assert_string_equal(look(), "open name:Jude from:127.0.0.1 ");
    int fd = client_open(url, WEBSOCKET);
    CLIENT_UNTIL(*events);
    on_loop(look_again);
    assert_int_equal(results[0], 1);
    close(fd);
}

static void read_headers(weft_peer who, const weft_message *message)
{
    const weft_request *request = weft_peer_request(who);
    weft_str name, value;
    (void)message;
    assert_non_null(request);
    assert_ptr_equal(request, weft_peer_request(who));
    for (size_t n = 0; weft_request_header_at(request, n, &name, &value); n++)
        happened("%.*s=%.*s ", (int)name.len, name.at, (int)value.len, value.at);
    assert_int_equal(weft_request_header_at(request, 99, &name, &value), 0);
    happened("%s ", weft_request_secure(request) ? "secure" : "plain");
    weft_close(who, 1000, NULL); /* what was read is still there */
    happened("%.*s ", (int)weft_request_method(request).len, weft_request_method(request).at);
}

static void engineio__gives_the_post_that_brought_a_message(void **state)
{
    (void)state;
    serve_engineio(&(weft_engineio_options){.message = read_headers});
    eio_open();
    int fd = eio_request("POST", POLLING, true, "X-A: b\r\nContent-Length: 3\r\n", "4hi");
    eio_expect(fd, 200, "ok");
    assert_string_equal(look(), "Host=localhost X-A=b Content-Length=3 plain POST ");
}

/* ------------------------------------------------------------------------------------------------------------- polls */

static void engineio__answers_a_poll_with_all_that_is_queued(void **state)
{
    (void)state;
    serve_engineio(&echo);
    eio_open();
    eio_post("4a\x1e"
             "bAQID\x1e"
             "4");
    eio_post("4b");
    eio_poll("4a\x1e"
             "bAQID\x1e"
             "4\x1e"
             "4b");
    int fd = eio_ask();
    eio_post("4c");
    eio_expect(fd, 200, "4c");
}

static void engineio__takes_bodies_in_pieces(void **state)
{
    (void)state;
    serve_engineio(&(weft_engineio_options){RECORDED_ENGINE});
    eio_open();
    look();
    int fd = eio_post_part(6, "4a\x1e");
    assert_string_equal(look(), "");
    client_write_text(fd, "4b");
    let_arrive();
    client_write_text(fd, "c");
    eio_expect(fd, 200, "ok");
    assert_string_equal(look(), "message:a message:bc ");
    fd = eio_request("POST", POLLING, true, "Transfer-Encoding: chunked\r\n", "2\r\n4x\r\n1\r\ny\r\n0\r\n\r\n");
    eio_expect(fd, 200, "ok");
    assert_string_equal(look(), "message:xy ");
}

static void engineio__refuses_what_is_too_large_and_goes_on(void **state)
{
    (void)state;
    serve_engineio(&(weft_engineio_options){RECORDED_ENGINE, .engine.max_http_buffer_size = 10});
    eio_open();
    look();
    eio_expect(eio_post_part(11, ""), 413, "");
    int fd = eio_request("POST", POLLING, true, "Transfer-Encoding: chunked\r\n", "6\r\n4abcde\r\n");
    let_arrive();
    client_write_text(fd, "5\r\nfghij\r\n");
    eio_expect(fd, 413, "");
    assert_int_equal(app->workers->net.limits.n[LIMIT_MESSAGE_BYTES], 2);
    eio_post("4abcdefghi");
    assert_string_equal(look(), "message:abcdefghi ");
    fd = eio_websocket(false);
    look();
    client_send_text(fd, "4abcdefghij");
    client_expect_close(fd, 1009);
    assert_string_equal(client_bytes + 2, "");
    client_expect_end(fd);
    assert_string_equal(look(), "close:1006:transport error ");
}

static void engineio__opens_so_many_sessions_over_polls(void **state)
{
    (void)state;
    app->workers->hub.max_sessions = 1;
    serve_engineio(&echo);
    int fd = eio_websocket(false); /* has a connection, and is not one of them */
    eio_open();
    eio_expect(eio_request("GET", POLLING, false, "", ""), 503, "too many sessions (option: max_sessions)\n");
    assert_int_equal(app->workers->net.limits.n[LIMIT_SESSIONS], 1);
    eio_post("1");
    eio_open();
    int upgraded = eio_probe();
    client_send_text(upgraded, "5");
    client_send_text(upgraded, "4a");
    client_expect_text(upgraded, "4a");
    eio_open();
    close(fd);
    close(upgraded);
    CLIENT_UNTIL(app->workers->hub.n_peers == 1);
    assert_int_equal(app->workers->hub.n_connected_sessions, 0);
}

static void engineio__ends_with_overlapping_requests(void **state)
{
    (void)state;
    serve_engineio(&(weft_engineio_options){RECORDED_ENGINE});
    eio_open();
    int first = eio_ask();
    eio_expect(eio_ask(), 400, "");
    eio_expect(first, 200, "1");
    assert_string_equal(look(), "open close:1006:transport error ");
    eio_is_gone();

    eio_open();
    first = eio_post_part(10, "4hi");
    int waits = eio_ask();
    eio_expect(eio_post_part(3, "4ho"), 400, "");
    eio_expect(first, 400, "");
    eio_expect(waits, 200, "1");
    assert_string_equal(look(), "open close:1006:transport error ");
    eio_is_gone();
}

static void engineio__ends_when_a_client_vanishes(void **state)
{
    (void)state;
    serve_engineio(&(weft_engineio_options){RECORDED_ENGINE});
    for (int posts = 0; posts < 2; posts++) {
        eio_open();
        close(posts ? eio_post_part(10, "4hi") : eio_ask());
        CLIENT_UNTIL(strstr(events, "close"));
        assert_string_equal(look(), "open close:1006:transport error ");
        eio_is_gone();
    }
}

static void engineio__ends_with_what_is_no_packet(void **state)
{
    (void)state;
    serve_engineio(&(weft_engineio_options){RECORDED_ENGINE});
    eio_open();
    int waits = eio_ask();
    eio_expect(eio_post_part(6, "4a\x1e"
                                "9\x1e"
                                "b"),
               400, "");
    eio_expect(waits, 200, "1");
    assert_string_equal(look(), "open message:a close:1002:parse error ");
    int fd = eio_websocket(false);
    client_send_text(fd, "4a");
    client_send_text(fd, "");
    client_expect_close(fd, 0);
    client_send_close(fd, 0, "");
    client_expect_end(fd);
    assert_string_equal(look(), "open message:a close:1002:parse error ");
}

static void engineio__lets_the_client_close(void **state)
{
    (void)state;
    serve_engineio(&(weft_engineio_options){RECORDED_ENGINE});
    eio_open();
    int waits = eio_ask();
    eio_post("4a\x1e"
             "1\x1e"
             "4b");
    eio_expect(waits, 200, "6");
    assert_string_equal(look(), "open message:a close:1006:transport close ");
    eio_is_gone();
}

/* ------------------------------------------------------------------------------------------------------- the program */

static void say_and_close(void)
{
    results[0] = weft_send_text(latest, "last");
    results[1] = weft_close(latest, 4000, "not told");
    results[2] = weft_send_text(latest, "late");
}

static void engineio__closes_behind_what_is_queued(void **state)
{
    (void)state;
    serve_engineio(&(weft_engineio_options){RECORDED_ENGINE});
    eio_open();
    int waits = eio_ask();
    on_loop(say_and_close);
    assert_int_equal(results[0] | results[1], 0);
    assert_int_equal(results[2], WEFT_E_CLOSED);
    eio_expect(waits, 200, PACKETS("4last", "1"));
    assert_string_equal(look(), "open close:1000:forced close ");
    eio_is_gone();

    int fd = eio_websocket(false);
    CLIENT_UNTIL(*events);
    on_loop(say_and_close);
    client_expect_text(fd, "4last");
    client_expect_close(fd, 0);
    client_send_close(fd, 0, "");
    client_expect_end(fd);
    assert_string_equal(look(), "open close:1000:forced close ");
}

static void engineio__keeps_its_last_packets_for_a_poll_that_is_on_its_way(void **state)
{
    (void)state;
    serve_engineio(&(weft_engineio_options){RECORDED_ENGINE});
    eio_open();
    on_loop(say_and_close);
    assert_string_equal(look(), "open close:1000:forced close ");
    eio_expect(eio_post_part(3, "4hi"), 400, "{\"code\":1,\"message\":\"Session ID unknown\"}");
    eio_poll(PACKETS("4last", "1"));
    eio_is_gone();
    eio_open();
    on_loop(say_and_close); /* and nobody comes: it goes with the application */
}

static void close_at_once(weft_peer who)
{
    on_open(who);
    weft_send_text(who, "no");
    weft_close(who, 1000, NULL);
}

static void engineio__may_be_closed_in_open(void **state)
{
    (void)state;
    serve_engineio(&(weft_engineio_options){.open = close_at_once, .close = on_close});
    eio_open();
    eio_poll(PACKETS("4no", "1"));
    int fd = client_open(url, WEBSOCKET);
    assert_int_equal(client_receive(fd).opcode, CLIENT_TEXT);
    client_expect_text(fd, "4no");
    client_expect_close(fd, 0);
    close(fd);
    assert_string_equal(look(), "open close:1000:forced close open close:1000:forced close ");
}

static void abort_latest(void)
{
    results[0] = weft_send_text(latest, "never sent");
    results[1] = weft_abort(latest);
}

static void engineio__is_cut_when_the_program_aborts(void **state)
{
    (void)state;
    serve_engineio(&(weft_engineio_options){RECORDED_ENGINE});
    eio_open();
    int waits = eio_ask();
    on_loop(abort_latest);
    eio_expect(waits, 400, "{\"code\":1,\"message\":\"Session ID unknown\"}");
    eio_is_gone();
    int fd = eio_websocket(false);
    CLIENT_UNTIL(strstr(events, "close"));
    on_loop(abort_latest);
    client_expect_end(fd);
    assert_string_equal(look(), "open close:1000:forced close open close:1000:forced close ");
}

static void pause_latest(void)
{
    results[0] = weft_pause(latest);
}

static void resume_latest(void)
{
    results[0] = weft_resume(latest);
}

static void engineio__holds_back_while_the_program_pauses(void **state)
{
    (void)state;
    serve_engineio(&(weft_engineio_options){RECORDED_ENGINE});
    eio_open();
    on_loop(pause_latest);
    int fd = eio_post_part(2, "4a");
    client_expect_silence(fd, 30);
    on_loop(resume_latest);
    eio_expect(fd, 200, "ok");
    assert_string_equal(look(), "open message:a ");

    fd = eio_websocket(false);
    CLIENT_UNTIL(*events);
    on_loop(pause_latest);
    client_send_text(fd, "4b");
    let_arrive();
    assert_string_equal(look(), "open ");
    on_loop(resume_latest);
    CLIENT_UNTIL(*events);
    assert_string_equal(look(), "message:b ");
    close(fd);
}

static void send_three(void)
{
    for (int i = 0; i < 3; i++)
        results[i] = weft_send_text(latest, "0123456789");
    results[3] = (int)weft_queued(latest);
}

static void engineio__tells_when_its_queue_has_room_again(void **state)
{
    (void)state;
    serve_engineio(&(weft_engineio_options){RECORDED_ENGINE, .engine.max_queued_bytes = 20});
    eio_open();
    on_loop(send_three);
    assert_int_equal(results[0], 0);
    assert_int_equal(results[1], WEFT_QUEUED);
    assert_int_equal(results[2], WEFT_E_FULL);
    assert_int_equal(results[3], 23);
    assert_string_equal(look(), "open ");
    eio_poll(PACKETS("40123456789", "40123456789"));
    CLIENT_UNTIL(*events);
    assert_string_equal(look(), "drain ");
}

static void join(weft_peer who)
{
    on_open(who);
    weft_subscribe(who, "news", NULL);
}

static void publish(void)
{
    weft_publish_text(app, "news", "one");
    weft_publish(app, "news", &(weft_message){.kind = WEFT_BINARY, .data = {"\0\1\2", 3}}, NULL);
    weft_publish(app, "news", &(weft_message){.kind = WEFT_JSON, .data = {"{\"a\": 1}", 8}}, NULL);
}

static void engineio__gets_what_is_published(void **state)
{
    (void)state;
    serve_engineio(&(weft_engineio_options){.open = join});
    eio_open();
    int waits = eio_ask(), fd = eio_websocket(false), plain = client_open(url, WEBSOCKET "&b64=1");
    assert_int_equal(client_receive(plain).opcode, CLIENT_TEXT);
    CLIENT_UNTIL(strcmp(events, "open open open ") == 0);
    on_loop(publish);
    eio_expect(waits, 200,
               "4one\x1e"
               "bAAEC\x1e"
               "4{\"a\":1}");
    client_expect_text(fd, "4one");
    client_frame frame = client_receive(fd);
    assert_int_equal(frame.opcode, CLIENT_BINARY);
    assert_int_equal(frame.len, 3);
    assert_memory_equal(frame.at, "\0\1\2", 3);
    client_expect_text(fd, "4{\"a\":1}");
    client_expect_text(plain, "4one");
    client_expect_text(plain, "bAAEC");
    client_expect_text(plain, "4{\"a\":1}");
    close(fd);
    close(plain);
}

static void engineio__echoes_large_messages_over_websocket(void **state)
{
    (void)state;
    enum { BYTES = 300000 };
    static char large[BYTES + 1];
    static const size_t sizes[] = {0, 1, 124, 125, 126, 1024, 4096, 65534, 65535, 65536, BYTES - 1};
    serve_engineio(&echo);
    int fd = eio_websocket(false);
    for (size_t i = 0; i < BYTES; i++)
        large[i] = (char)('a' + i % 26);
    large[0] = '4';
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        client_send(fd, CLIENT_FIN | CLIENT_TEXT, large, sizes[i] + 1);
        client_frame frame = client_receive(fd);
        assert_int_equal(frame.len, sizes[i] + 1);
        assert_memory_equal(frame.at, large, frame.len);
        client_send(fd, CLIENT_TEXT, large, 1);
        client_send(fd, CLIENT_FIN | CLIENT_CONTINUATION, large + 1, sizes[i]);
        frame = client_receive(fd);
        assert_int_equal(frame.len, sizes[i] + 1);
        assert_memory_equal(frame.at, large, frame.len);
    }
    close(fd);
}

/* What came compressed stands inflated in client_bytes. */
static void inflate(client_frame frame)
{
    static char text[8192];
    ws_inflater *z = ws_inflater_new(15);
    str in = {frame.at, frame.len}, tail = ws_inflate_tail();
    size_t len, more;
    assert_true(frame.rsv1);
    assert_int_equal(ws_inflate(z, &in, text, sizeof text - 1, &len), WS_INFLATE_DONE);
    assert_int_equal(ws_inflate(z, &tail, text + len, sizeof text - 1 - len, &more), WS_INFLATE_DONE);
    ws_inflater_free(z);
    text[len + more] = '\0';
    strcpy(client_bytes, text);
}

static char wide[2001];

static void publish_wide(void)
{
    weft_publish_text(app, "news", wide);
}

static void send_wide(weft_peer who, const weft_message *message)
{
    (void)message;
    weft_send_text(who, wide);
}

static void engineio__compresses_what_is_large_for_who_agrees(void **state)
{
    (void)state;
    serve_engineio(&(weft_engineio_options){.open = join, .message = send_wide, .engine.deflate = 1});
    memset(wide, 'x', sizeof wide - 1);
    int fd = client_connect(url), plain = eio_websocket(false);
    client_ask(fd, WEBSOCKET, "Sec-WebSocket-Extensions: permessage-deflate\r\n");
    client_expect_accepted(fd);
    if (!ws_compress_available())
        return;
    assert_non_null(strstr(client_bytes, "permessage-deflate"));
    assert_false(client_receive(fd).rsv1); /* the open packet is small */
    on_loop(publish_wide);
    for (int i = 0; i < 2; i++) {
        client_frame frame = client_receive(plain);
        assert_false(frame.rsv1);
        assert_int_equal(frame.len, sizeof wide);
        inflate(client_receive(fd));
        assert_int_equal(client_bytes[0], '4');
        assert_string_equal(client_bytes + 1, wide);
        client_send_text(plain, "4");
        client_send_text(fd, "4");
    }
    close(fd);
    close(plain);
}

static void engineio__knows_a_session_on_its_own_route_only(void **state)
{
    (void)state;
    assert_int_equal(weft_engineio(app, "/other/", &echo), 0);
    serve_engineio(&echo);
    eio_open();
    int fd = eio_request("GET", "/other/?EIO=4&transport=polling", true, "", "");
    eio_expect(fd, 400, "{\"code\":1,\"message\":\"Session ID unknown\"}");
    eio_post("4a");
    eio_poll("4a");
}

static void look_about(void)
{
    weft_peer_info info;
    results[0] = weft_peer_about(latest, &info);
    results[1] = info.transport;
    happened("%.9s %d %d ", info.address, (int)info.messages_in, (int)info.messages_out);
}

static void engineio__is_one_peer_on_either_carrier(void **state)
{
    (void)state;
    serve_engineio(&echo);
    for (int frames = 0; frames < 2; frames++) {
        int fd = -1;
        if (frames)
            fd = eio_websocket(false);
        else
            eio_open();
        CLIENT_UNTIL(*events);
        if (frames)
            client_send_text(fd, "4hi");
        else
            eio_post("4hi");
        if (frames)
            client_expect_text(fd, "4hi");
        look();
        on_loop(look_about);
        assert_int_equal(results[1], WEFT_TRANSPORT_ENGINEIO);
        assert_string_equal(look(), "127.0.0.1 1 1 ");
        assert_int_equal(app->workers->hub.counts.traffic[WEFT_TRANSPORT_ENGINEIO].n_peers, 1 + frames);
        assert_int_equal(app->workers->hub.counts.traffic[WEFT_TRANSPORT_WEBSOCKET].n_peers, 0);
        assert_int_equal(app->workers->hub.counts.traffic[WEFT_TRANSPORT_WEBSOCKET].messages_in, 0);
        if (frames)
            close(fd);
    }
}

/* --------------------------------------------------------------------------------------------------------------- log */

static void keep_line(weft_log_level level, const char *line, void *user)
{
    (void)level;
    (void)user;
    if (strstr(line, "event=close transport=") && !strstr(line, "transport=http "))
        happened("%s\n", line);
}

static void engineio__has_one_line_of_log_for_each_session(void **state)
{
    (void)state;
    assert_int_equal(weft_free(app), 0);
    app = weft_new(&(weft_options){.log = keep_line});
    serve_engineio(&(weft_engineio_options){
        .engine = {.max_http_buffer_size = 10, .ping_interval_ms = 30, .ping_timeout_ms = 20}});
    int fd = eio_websocket(false);
    client_send_text(fd, "4abcdefghijk");
    while (client_receive(fd).opcode == CLIENT_TEXT) /* a ping may come first */
        ;
    assert_true(strncmp(events, "event=close transport=engineio address=127.0.0.1:", 49) == 0);
    assert_non_null(strstr(look(), " code=1006 reason=\"transport error\" limit=\"max_message_bytes\" messages_in=0"));
    close(fd);
    eio_open();
    CLIENT_UNTIL(*events);
    assert_true(strncmp(events, "event=close transport=engineio address=127.0.0.1:", 49) == 0);
    assert_non_null(strstr(look(), " code=1006 reason=\"ping timeout\" limit=\"ping_timeout_ms\" messages_in=0"));
    assert_null(app->workers->hub.limit);
}

/* --------------------------------------------------------------------------------------------------------- heartbeat */

static void engineio__pings_after_the_last_pong(void **state)
{
    (void)state;
    weft_engineio_options options = echo;
    options.engine.ping_interval_ms = 100;
    options.engine.ping_timeout_ms = 5000;
    serve_engineio(&options);
    int fd = eio_websocket(false);
    for (int i = 0; i < 3; i++) {
        client_expect_text(fd, "2");
        client_expect_silence(fd, 120); /* the next one waits for the pong */
        uint64_t before_ms = client_now_ms();
        client_send_text(fd, "3");
        client_expect_text(fd, "2");
        uint64_t took_ms = client_now_ms() - before_ms;
        assert_true(took_ms >= 98 && took_ms < 1000);
        client_send_text(fd, "3");
    }
    close(fd);
}

static void engineio__ends_without_a_pong(void **state)
{
    (void)state;
    serve_engineio(
        &(weft_engineio_options){RECORDED_ENGINE, .engine = {.ping_interval_ms = 60, .ping_timeout_ms = 40}});
    eio_open();
    uint64_t began_ms = client_now_ms();
    eio_poll("2");
    eio_poll("1");
    assert_true(client_now_ms() - began_ms >= 98);
    assert_string_equal(look(), "open close:1006:ping timeout ");
    int fd = eio_websocket(false);
    client_expect_text(fd, "2");
    client_expect_close(fd, 0);
    close(fd);
    assert_string_equal(look(), "open close:1006:ping timeout ");
}

static void engineio__hears_no_pong_while_it_is_paused(void **state)
{
    (void)state;
    serve_engineio(
        &(weft_engineio_options){RECORDED_ENGINE, .engine = {.ping_interval_ms = 30, .ping_timeout_ms = 30}});
    int fd = eio_websocket(false);
    CLIENT_UNTIL(*events);
    on_loop(pause_latest);
    client_expect_text(fd, "2");
    client_send_text(fd, "3");
    client_expect_silence(fd, 100);
    assert_string_equal(look(), "open ");
    on_loop(resume_latest);
    client_expect_text(fd, "2");
    close(fd);
}

/* -------------------------------------------------------------------------------------------------------------- drain */

static void engineio__tells_its_clients_when_the_server_stops(void **state)
{
    (void)state;
    serve_engineio(&(weft_engineio_options){RECORDED_ENGINE});
    eio_open();
    int waits = eio_ask();
    int fd = eio_websocket(false);
    CLIENT_UNTIL(strcmp(events, "open open ") == 0);
    look();
    weft_stop(app);
    eio_expect(waits, 200, "1");
    client_expect_close(fd, 1001);
    client_send_close(fd, 1001, "");
    client_expect_end(fd);
    assert_string_equal(look(), "close:1001:server shutting down close:1001:server shutting down ");
    CLIENT_UNTIL(weft_step(app, 0) == 0);
}

/* -------------------------------------------------------------------------------------------------------------- origins */

static void engineio__lets_pages_of_listed_origins_come(void **state)
{
    (void)state;
    static const char *const origins[] = {"https://a.example", NULL};
    weft_engineio_options options = echo;
    options.engine.origins = origins;
    assert_int_equal(weft_engineio(app, "/engine.io/", &options), 0);
    options.engine.no_credentials = 1;
    assert_int_equal(weft_engineio(app, "/bare/", &options), 0);
    begin();
    eio_open_with("Origin: https://a.example\r\n", "Access-Control-Allow-Origin: https://a.example");
    int fd = eio_request("POST", POLLING, true, "Origin: https://a.example\r\nContent-Length: 2\r\n", "4a");
    assert_int_equal(client_read_head(fd), 200);
    assert_true(client_head_has("Access-Control-Allow-Credentials: true"));
    close(fd);
    fd = eio_request("POST", POLLING, true, "Origin: https://b.example\r\nContent-Length: 2\r\n", "4a");
    assert_int_equal(client_read_head(fd), 403);
    close(fd);
    fd = eio_request("GET", "/bare/?EIO=4&transport=polling", false, "Origin: https://a.example\r\n", "");
    assert_int_equal(client_read_head(fd), 200);
    assert_true(client_head_has("Access-Control-Allow-Origin: https://a.example"));
    assert_null(strstr(client_bytes, "Credentials"));
    close(fd);
    fd = client_connect(url);
    client_ask(fd, WEBSOCKET, "Origin: https://b.example\r\n");
    assert_int_equal(client_read_head(fd), 403);
    close(fd);
    fd = client_connect(url);
    client_ask(fd, WEBSOCKET, "Origin: https://a.example\r\n");
    assert_int_equal(client_read_head(fd), 101);
    close(fd);
}

static void engineio__answers_preflights(void **state)
{
    (void)state;
    static const char *const origins[] = {"https://a.example", NULL};
    weft_engineio_options options = echo;
    options.engine.origins = origins;
    serve_engineio(&options);
    int fd = eio_request("OPTIONS", POLLING, false,
                         "Origin: https://a.example\r\nAccess-Control-Request-Method: "
                         "POST\r\nAccess-Control-Request-Headers: x-a\r\n",
                         "");
    assert_int_equal(client_read_head(fd), 204);
    assert_true(client_head_has("Access-Control-Allow-Origin: https://a.example"));
    assert_true(client_head_has("Access-Control-Allow-Methods: GET, POST, OPTIONS"));
    assert_true(client_head_has("Access-Control-Allow-Headers: x-a"));
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        APP_TEST(engineio__opens_over_polls_with_what_the_settings_say),
        APP_TEST(engineio__refuses_in_the_order_of_the_reference),
        APP_TEST(engineio__keeps_to_the_transports_of_its_settings),
        APP_TEST(engineio__refuses_settings_that_mean_nothing),
        APP_TEST(engineio__sets_its_cookie_with_the_handshake),
        APP_TEST(engineio__asks_the_program_who_may_come),
        APP_TEST(engineio__answers_what_was_accepted_only_once),
        APP_TEST(engineio__tells_the_client_why_it_may_not_come),
        APP_TEST(engineio__does_not_wait_for_the_program_for_ever),
        APP_TEST(engineio__keeps_the_request_when_it_is_told_to),
        APP_TEST(engineio__gives_the_post_that_brought_a_message),
        APP_TEST(engineio__answers_a_poll_with_all_that_is_queued),
        APP_TEST(engineio__takes_bodies_in_pieces),
        APP_TEST(engineio__refuses_what_is_too_large_and_goes_on),
        APP_TEST(engineio__opens_so_many_sessions_over_polls),
        APP_TEST(engineio__ends_with_overlapping_requests),
        APP_TEST(engineio__ends_when_a_client_vanishes),
        APP_TEST(engineio__ends_with_what_is_no_packet),
        APP_TEST(engineio__lets_the_client_close),
        APP_TEST(engineio__closes_behind_what_is_queued),
        APP_TEST(engineio__keeps_its_last_packets_for_a_poll_that_is_on_its_way),
        APP_TEST(engineio__may_be_closed_in_open),
        APP_TEST(engineio__is_cut_when_the_program_aborts),
        APP_TEST(engineio__holds_back_while_the_program_pauses),
        APP_TEST(engineio__tells_when_its_queue_has_room_again),
        APP_TEST(engineio__gets_what_is_published),
        APP_TEST(engineio__echoes_large_messages_over_websocket),
        APP_TEST(engineio__compresses_what_is_large_for_who_agrees),
        APP_TEST(engineio__knows_a_session_on_its_own_route_only),
        APP_TEST(engineio__is_one_peer_on_either_carrier),
        APP_TEST(engineio__has_one_line_of_log_for_each_session),
        APP_TEST(engineio__pings_after_the_last_pong),
        APP_TEST(engineio__ends_without_a_pong),
        APP_TEST(engineio__hears_no_pong_while_it_is_paused),
        APP_TEST(engineio__tells_its_clients_when_the_server_stops),
        APP_TEST(engineio__lets_pages_of_listed_origins_come),
        APP_TEST(engineio__answers_preflights),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
