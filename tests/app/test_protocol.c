/* The carriers of weft.v1: how a client connects, what it needs for that, who may, and how it ends. */
#include "app/protocol_client.h"
#include "transport/sessions.h"

#define WITH_KEY  "Authorization: Bearer sesame\r\n"
#define WRONG_KEY "Authorization: Bearer open\r\n"

/* --------------------------------------------------------------------------------------------------------- connecting */

static void protocol__says_hello_first(void **state)
{
    (void)state;
    serve_open_protocol();
    speaker s = joined();
    char name[64], whole[256], id[64] = "";
    snprintf(name, sizeof name, "%.63s", member("peer"));
    assert_int_equal(strlen(name), 12);
    if (by != BY_WEBSOCKET) {
        assert_int_equal(strlen(s.session), SESSION_ID_BYTES);
        snprintf(id, sizeof id, "\"session\":\"%s\",", s.session);
    }
    snprintf(whole, sizeof whole, "{\"type\":\"hello\",%s\"peer\":\"%s\",\"ping\":25000}", id, name);
    assert_string_equal(client_bytes, whole);
    expect_no_more(&s);
    hang_up(&s);
}

static void protocol__tells_when_to_ask_for_life(void **state)
{
    (void)state;
    serve_protocol(&(weft_topics_options){.ping_interval_ms = 777});
    speaker s = joined();
    assert_non_null(strstr(client_bytes, ",\"ping\":777}"));
    hang_up(&s);
}

/* A number that no clock of a browser could count to. */
static void protocol__leaves_out_a_ping_that_never_comes(void **state)
{
    (void)state;
    serve_protocol(&(weft_topics_options){.ping_interval_ms = WEFT_NEVER});
    speaker s = joined();
    assert_null(strstr(client_bytes, "ping"));
    hang_up(&s);
}

/* hello comes before what the program does in `open`. */
static void greet(weft_peer who)
{
    latest = who;
    assert_int_equal(weft_subscribe(who, "news", "start"), 0);
    assert_int_equal(weft_send_text(who, "welcome"), 0);
}

static void greet_alone(weft_peer who)
{
    assert_int_equal(weft_send_text(who, "welcome"), 0);
    assert_int_equal(weft_send_data(who, WEFT_JSON, "[1 ]", 4), 0);
    assert_int_equal(weft_send_data(who, WEFT_BINARY, "\0\1", 2), 0);
}

static void protocol__says_hello_before_open_subscribes(void **state)
{
    (void)state;
    serve_protocol(&(weft_topics_options){.open = greet});
    publish_to("news", "old");
    speaker s = joined();
    expect(&s, "{\"type\":\"message\",\"topic\":\"news\",\"id\":\"E-1\",\"kind\":\"text\",\"data\":\"old\"}");
    expect(&s, "{\"type\":\"message\",\"kind\":\"text\",\"data\":\"welcome\"}");
    hang_up(&s);
}

static void protocol__says_hello_before_open_sends(void **state)
{
    (void)state;
    serve_protocol(&(weft_topics_options){.open = greet_alone});
    speaker s = joined();
    expect(&s, "{\"type\":\"message\",\"kind\":\"text\",\"data\":\"welcome\"}");
    expect(&s, "{\"type\":\"message\",\"kind\":\"json\",\"data\":[1]}");
    expect(&s, "{\"type\":\"message\",\"kind\":\"binary\",\"data\":\"AAE=\"}");
    hang_up(&s);
}

static void close_at_once(weft_peer who)
{
    weft_close(who, 4001, "not you");
}

static void protocol__lets_open_close(void **state)
{
    (void)state;
    serve_protocol(&(weft_topics_options){.open = close_at_once, .close = on_close});
    speaker s = joined();
    if (by == BY_WEBSOCKET)
        client_expect_close(s.fd, 4001);
    else if (by == BY_EVENTS)
        stream_expect_end(s.fd);
    else
        assert_int_equal(answered(ask_poll(&s, "0")), 404);
    CLIENT_UNTIL(events_len());
    expect_events("close:4001:not you ");
    if (by == BY_WEBSOCKET)
        close(s.fd);
    free(s.answer);
}

static void tell_about(weft_peer who)
{
    weft_peer_info info;
    latest = who;
    assert_int_equal(weft_peer_about(who, &info), 0);
    happened("%d:%s:%.9s ", (int)info.transport, info.subprotocol, info.address);
    assert_non_null(weft_data(who));
    assert_ptr_equal(weft_user(who), events);
    assert_null(weft_since(who));
}

static void count_messages(void)
{
    weft_peer_info info;
    assert_int_equal(weft_peer_about(latest, &info), 0);
    happened("%lu:%lu ", info.messages_in, info.bytes_in);
}

static void protocol__makes_a_peer_of_each_client(void **state)
{
    (void)state;
    static const char *const seen[] = {"1:weft.v1:127.0.0.1 ", "2::127.0.0.1 ", "4::127.0.0.1 "};
    serve_protocol(&(weft_topics_options){.open = tell_about, .close = on_close, .peer_bytes = 100, .user = events});
    speaker s = joined();
    CLIENT_UNTIL(events_len());
    assert_string_equal(look(), seen[by]);
    expect_no_more(&s);
    on_loop(count_messages);
    assert_string_equal(look(), "1:34 ");
    hang_up(&s);
}

/* --------------------------------------------------------------------------------------------------------- WebSocket */

static void protocol__agrees_on_its_subprotocol(void **state)
{
    (void)state;
    serve_open_protocol();
    int fd = client_connect(url);
    client_ask(fd, "/weft", "Sec-WebSocket-Protocol: weft.v2, chat\r\nSec-WebSocket-Protocol: weft.v1\r\n");
    client_expect_accepted(fd);
    assert_true(client_head_has("Sec-WebSocket-Protocol: weft.v1"));
    client_receive(fd);
    client_leave(fd);
}

static void protocol__needs_its_subprotocol(void **state)
{
    (void)state;
    static const char *const offers[] = {"", "Sec-WebSocket-Protocol: weft.v2, Weft.v1\r\n"};
    serve_open_protocol();
    for (size_t i = 0; i < N_OF(offers); i++) {
        int fd = client_connect(url);
        client_ask(fd, "/weft", offers[i]);
        assert_int_equal(client_read_answer(fd, "Connection: close"), 400);
        assert_string_equal(client_bytes,
                            "this path speaks weft.v1, which a client offers in Sec-WebSocket-Protocol\n");
        client_expect_end(fd);
    }
    assert_int_equal(app->workers->hub.n_peers, 0);
}

static void protocol__refuses_binary_messages(void **state)
{
    (void)state;
    const char *ping = "{\"type\":\"ping\"}";
    serve_open_protocol();
    speaker s = connect_by(BY_WEBSOCKET);
    client_send(s.fd, CLIENT_FIN | CLIENT_BINARY, ping, strlen(ping));
    expect(&s, "{\"type\":\"error\",\"code\":\"invalid\",\"message\":\"an envelope is a text message\"}");
    expect_no_more(&s);
    hang_up(&s);
}

/* The decoder's buffer, in one piece and collected: strings are decoded where they stand. */
static void protocol__takes_envelopes_in_pieces(void **state)
{
    (void)state;
    const char *envelope = "{\"type\":\"publish\",\"topic\":\"\\u0074\",\"id\":1,\"data\":\"\\u00e9\\n\\\"\"}";
    serve_open_protocol();
    speaker s = connect_by(BY_WEBSOCKET);
    subscribe_to(&s, "t");
    for (size_t cut = 1; cut < strlen(envelope); cut++) {
        char message[256];
        client_send(s.fd, CLIENT_TEXT, envelope, cut);
        client_send(s.fd, CLIENT_FIN | CLIENT_CONTINUATION, envelope + cut, strlen(envelope) - cut);
        snprintf(message, sizeof message,
                 "{\"type\":\"message\",\"topic\":\"t\",\"id\":\"E-%zu\",\"kind\":\"text\",\"data\":\"\u00e9\\n\\\"\"}",
                 cut);
        expect(&s, message);
        snprintf(message, sizeof message, "{\"type\":\"published\",\"id\":1,\"cursor\":\"E-%zu\"}", cut);
        expect(&s, message);
    }
    hang_up(&s);
}

static void protocol__ends_on_a_message_that_no_data_explains(void **state)
{
    (void)state;
    static char text[2 * 1000 + 4096 + 1];
    memset(text, ' ', sizeof text);
    serve_protocol(&(weft_topics_options){.max_message_bytes = 1000});
    speaker s = connect_by(BY_WEBSOCKET);
    memcpy(text, "{\"type\":\"ping\"}", 15);
    say_bytes(&s, text, sizeof text - 1);
    expect(&s, "{\"type\":\"pong\"}");
    say_bytes(&s, text, sizeof text);
    client_expect_close(s.fd, 1009);
    close(s.fd);
    s = connect_by(BY_EVENTS);
    say_bytes(&s, text, sizeof text - 1);
    assert_int_equal(post_status(&s, text, sizeof text), 413);
    hang_up(&s);
}

static void protocol__takes_any_limit(void **state)
{
    (void)state;
    static char text[10000];
    serve_protocol(&(weft_topics_options){.max_message_bytes = SIZE_MAX, .publish = everything});
    speaker s = joined();
    memset(text, ' ', sizeof text);
    memcpy(text, "{\"type\":\"ping\"}", 15);
    say_bytes(&s, text, sizeof text);
    expect(&s, "{\"type\":\"pong\"}");
    hang_up(&s);
}

/* ------------------------------------------------------------------------------------------------------- SSE and polls */

static void protocol__streams_by_what_is_accepted(void **state)
{
    (void)state;
    static const char *const events_wanted[] = {
        "Accept: text/event-stream\r\n",
        "Accept: application/json, Text/Event-Stream;q=0.9\r\n",
    };
    static const char *const polls_wanted[] = {
        "",
        "Accept: */*\r\n",
        "Accept: text/html\r\n",
        "Accept: application/x-ndjson\r\n",
        "Accept: text/event-stream-2\r\n",
    };
    serve_open_protocol();
    for (size_t i = 0; i < N_OF(events_wanted); i++) {
        int fd = ask("GET /weft", events_wanted[i], NULL);
        sse_expect_begin(fd);
        close(fd);
    }
    for (size_t i = 0; i < N_OF(polls_wanted); i++) {
        assert_int_equal(status_of("GET /weft?session=new", polls_wanted[i], NULL), 200);
        assert_int_equal(n_lines("Content-Type: application/json"), 1);
        assert_int_equal(n_lines("Cache-Control: no-store"), 1);
    }
}

static void protocol__tells_how_to_begin_a_poll(void **state)
{
    (void)state;
    serve_open_protocol();
    expect_answer(ask("GET /weft", "", NULL), 400,
                  "{\"error\":\"a poll names its session, or asks for one: session=new\"}");
}

static void protocol__answers_head_without_a_session(void **state)
{
    (void)state;
    serve_open_protocol();
    int fd = ask("HEAD /weft", ACCEPT_EVENTS, NULL);
    assert_int_equal(client_read_head(fd), 200);
    assert_true(client_head_has(SSE_TYPE));
    client_expect_silence(fd, 20);
    close(fd);
    fd = ask("HEAD /weft?session=new", "", NULL);
    assert_int_equal(client_read_head(fd), 405);
    assert_true(client_head_has("Allow: GET, POST"));
    client_expect_silence(fd, 20);
    close(fd);
    assert_int_equal(app->workers->hub.n_peers, 0);
    assert_int_equal(app->workers->hub.sessions.n_entries, 0);
}

static void protocol__serves_no_other_method(void **state)
{
    (void)state;
    serve_open_protocol();
    assert_int_equal(status_of("PUT /weft", "", "x"), 405);
    assert_int_equal(n_lines("Allow: GET, HEAD, POST, OPTIONS"), 1);
}

static void protocol__keeps_a_stream_alive(void **state)
{
    (void)state;
    serve_protocol(&(weft_topics_options){.keep_alive_ms = 20});
    speaker s = connect_by(BY_EVENTS);
    stream_expect(s.fd, ":\n\n");
    hang_up(&s);
}

/* ------------------------------------------------------------------------------------------------------------ module */

static void protocol__serves_its_module(void **state)
{
    (void)state;
    char field[128];
    serve_open_protocol();
    assert_int_equal(status_of("GET /weft.js", "", NULL), 200);
    assert_int_equal(n_lines("Content-Type: text/javascript; charset=utf-8"), 1);
    assert_int_equal(n_lines("Cache-Control: no-cache"), 1);
    assert_non_null(strstr(client_bytes, "export function connect("));
    const char *tag = strstr(answer_head, "ETag: ");
    assert_non_null(tag);
    snprintf(field, sizeof field, "If-None-Match: %.*s\r\n", (int)strcspn(tag + 6, "\r"), tag + 6);
    assert_int_equal(status_of("GET /weft.js", field, NULL), 304);
    int fd = ask("HEAD /weft.js", "", NULL);
    assert_int_equal(client_read_head(fd), 200);
    client_expect_silence(fd, 20);
    close(fd);
}

/* ------------------------------------------------------------------------------------------------------------- who may */

static void protocol__refuses_a_wrong_key(void **state)
{
    (void)state;
    serve_protocol(&(weft_topics_options){.publish_key = "sesame"});
    int fd = ask_protocol(by, WRONG_KEY);
    assert_int_equal(client_read_answer(fd, "WWW-Authenticate: Bearer"), 401);
    assert_string_equal(client_bytes, "{\"error\":\"this is not the publish key\"}");
    close(fd);
    assert_int_equal(app->workers->hub.n_peers, 0);
}

/* It counts for all that is said on the connection; a POST's own means nothing. */
static void protocol__opens_everything_with_the_key(void **state)
{
    (void)state;
    static const char *const nothing[] = {NULL};
    serve_protocol(&(weft_topics_options){.publish_key = "sesame", .subscribe = nothing, .publish = nothing});
    speaker with = connect_with(by, WITH_KEY), without = connect_by(by);
    with.fields = "";
    without.fields = by == BY_POLLS ? "" : WITH_KEY;
    subscribe_to(&with, "t");
    check_error(&without, "{\"type\":\"subscribe\",\"topic\":\"t\",\"id\":2}", "2", "forbidden");
    check_error(&without, "{\"type\":\"publish\",\"topic\":\"t\",\"id\":3,\"data\":0}", "3", "forbidden");
    say(&with, "{\"type\":\"publish\",\"topic\":\"t\",\"id\":3,\"data\":0}");
    expect(&with, "{\"type\":\"message\",\"topic\":\"t\",\"id\":\"E-1\",\"kind\":\"json\",\"data\":0}");
    expect(&with, "{\"type\":\"published\",\"id\":3,\"cursor\":\"E-1\"}");
    hang_up(&with);
    hang_up(&without);
}

static void protocol__lets_pages_of_its_own_origin_come(void **state)
{
    (void)state;
    serve_open_protocol();
    speaker s = connect_with(by, "Origin: http://localhost\r\n");
    expect_no_more(&s);
    hang_up(&s);
    assert_int_equal(status_of_connect(by, "Origin: https://page.example\r\n"), 403);
    assert_int_equal(status_of_connect(by, "Origin: null\r\n"), 403);
    assert_int_equal(app->workers->hub.n_peers, by == BY_POLLS ? 1 : 0);
}

static const char *const one_page[] = {"https://page.example", NULL}, *const any_page[] = {"*", NULL};

static void protocol__lets_pages_of_listed_origins_come_too(void **state)
{
    (void)state;
    serve_protocol(&(weft_topics_options){.origins = one_page});
    speaker s = connect_with(by, "Origin: https://page.example\r\n"),
            own = connect_with(by, "Origin: http://localhost\r\n");
    expect_no_more(&s);
    if (by != BY_WEBSOCKET) { /* the answer to a POST was read last, unless a poll was */
        assert_int_equal(post_status(&s, "[]", 2), 204);
        assert_int_equal(n_lines("Access-Control-Allow-Origin: https://page.example"), 1);
        s.fields = "Origin: https://elsewhere.example\r\n"; /* who knows a session's id, and is a page that may not */
        assert_int_equal(post_status(&s, "[]", 2), 403);
    }
    expect_no_more(&own);
    assert_int_equal(status_of_connect(by, "Origin: https://elsewhere.example\r\n"), 403);
    hang_up(&s);
    hang_up(&own);
}

static void protocol__lets_any_page_come_when_told(void **state)
{
    (void)state;
    serve_protocol(&(weft_topics_options){.origins = any_page});
    speaker s = connect_with(by, "Origin: https://elsewhere.example\r\n");
    expect_no_more(&s);
    hang_up(&s);
}

/* ------------------------------------------------------------------------------------------------------------- ending */

static void stop_now(void)
{
    weft_stop(app);
}

static void protocol__tells_when_the_server_stops(void **state)
{
    (void)state;
    serve_protocol(&(weft_topics_options){.close = on_close});
    speaker s = joined();
    int waiting = by == BY_POLLS ? ask_poll(&s, "25") : -1;
    if (by == BY_POLLS)
        CLIENT_UNTIL(app->workers->net.n_streams == 1);
    let_arrive();
    on_loop(stop_now);
    if (by == BY_WEBSOCKET) {
        client_expect_close(s.fd, 1001);
        client_send_close(s.fd, 1001, "");
        client_expect_end(s.fd);
    } else if (by == BY_EVENTS) {
        assert_in_range(stream_read_retry(s.fd), 2000, 3999);
        stream_expect_end(s.fd);
    } else {
        assert_int_equal(answered(waiting), 200);
        take_poll_answer(&s);
        assert_string_equal(s.seq, "2");
        free(s.answer);
    }
    while (weft_step(app, 10) > 0)
        ;
    assert_non_null(strstr(events, "close:1001:"));
}

static void protocol__tells_a_slow_server_apart_by_pings(void **state)
{
    (void)state;
    serve_protocol(&(weft_topics_options){.ping_interval_ms = 20, .ping_timeout_ms = 20, .close = on_close});
    speaker s = connect_by(BY_WEBSOCKET);
    assert_int_equal(client_receive(s.fd).opcode, CLIENT_PING);
    client_expect_end(s.fd);
    CLIENT_UNTIL(events_len());
    expect_events("close:1006:ping timeout ");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_ALL(protocol__says_hello_first),
        ON_ALL(protocol__tells_when_to_ask_for_life),
        ON_ALL(protocol__leaves_out_a_ping_that_never_comes),
        ON_ALL_ONE(protocol__says_hello_before_open_subscribes),
        ON_ALL(protocol__says_hello_before_open_sends),
        ON_ALL(protocol__lets_open_close),
        ON_ALL_ONE(protocol__makes_a_peer_of_each_client),
        LOOPS_APP_TEST(protocol__agrees_on_its_subprotocol),
        APP_TEST(protocol__needs_its_subprotocol),
        LOOPS_APP_TEST(protocol__refuses_binary_messages),
        LOOPS_APP_TEST(protocol__takes_envelopes_in_pieces),
        LOOPS_APP_TEST(protocol__ends_on_a_message_that_no_data_explains),
        ON_ALL(protocol__takes_any_limit),
        LOOPS_APP_TEST(protocol__streams_by_what_is_accepted),
        LOOPS_APP_TEST(protocol__tells_how_to_begin_a_poll),
        APP_TEST(protocol__answers_head_without_a_session),
        LOOPS_APP_TEST(protocol__serves_no_other_method),
        LOOPS_APP_TEST(protocol__keeps_a_stream_alive),
        LOOPS_APP_TEST(protocol__serves_its_module),
        ON_ALL_ONE(protocol__refuses_a_wrong_key),
        ON_ALL(protocol__opens_everything_with_the_key),
        ON_ALL_ONE(protocol__lets_pages_of_its_own_origin_come),
        ON_ALL_ONE(protocol__lets_pages_of_listed_origins_come_too),
        ON_ALL_ONE(protocol__lets_any_page_come_when_told),
        ON_ALL_ONE(protocol__tells_when_the_server_stops),
        LOOPS_APP_TEST(protocol__tells_a_slow_server_apart_by_pings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
