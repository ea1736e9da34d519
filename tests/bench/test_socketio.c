#include "scripted_websocket.h"

/* The server's frame of a text below 126 bytes. */
static void put_text(buf *frames, const char *text)
{
    size_t len = strlen(text);
    assert_true(len < 126);
    buf_put(frames, (const char[]){'\x81', (char)len}, 2);
    buf_put(frames, text, len);
}

/* What the client has sent since the handshake: its texts, each with a bar behind it. */
static const char *sent_texts(bench_client *client)
{
    static char text[4096];
    buf *out = bench_link_out(&client->link);
    ws_decoder decoder;
    size_t n = 0;
    ws_decoder_init(&decoder, WS_SERVER, 100000);
    for (size_t at = 0; at < out->len;) {
        ws_event event;
        ws_decoder_next(&decoder, out->at + at, out->len - at, &event);
        assert_true(event.type == WS_DATA && event.opcode == WS_TEXT && event.first && event.last);
        n += (size_t)snprintf(text + n, sizeof text - n, "%.*s|", (int)event.bytes.len, event.bytes.at);
        at += event.consumed;
    }
    out->len = 0;
    text[n] = '\0';
    return text;
}

static bench_client *open_client(const char *const *texts, size_t cut)
{
    scripted_plan.event = "news";
    bench_client *client = scripted_open(&bench_socketio);
    buf frames = {0};
    for (size_t i = 0; texts[i]; i++)
        put_text(&frames, texts[i]);
    scripted_answer(client, OPENED, "", buf_str(&frames), cut);
    buf_done(&frames);
    return client;
}

#define OPEN       "0{\"sid\":\"abc\",\"upgrades\":[],\"pingInterval\":25000,\"pingTimeout\":20000,\"maxPayload\":1000000}"
#define CONNECT    "40{\"sid\":\"def\"}"
#define TEXTS(...) ((const char *const[]){__VA_ARGS__, NULL})

/* Whole, cut at each place, and byte by byte. */
static void check_said(const char *const *texts, const char *said, const char *sent)
{
    for (size_t cut = 0; cut < 400; cut++) {
        bench_client *client = open_client(texts, cut);
        assert_string_equal(scripted_said(), said);
        assert_string_equal(sent_texts(client), sent);
        scripted_free(client);
    }
}

static void check_path(const char *path, const char *line)
{
    snprintf(scripted_plan.target.path, sizeof scripted_plan.target.path, "%s", path);
    bench_client *client = open_client(TEXTS(OPEN), 10000);
    assert_memory_equal(scripted_request, line, strlen(line));
    scripted_free(client);
    *scripted_plan.target.path = '\0';
}

static void socketio__adds_what_the_path_has_not(void **state)
{
    (void)state;
    check_path("/socket.io/", "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\n");
    check_path("/socket.io/?a=b", "GET /socket.io/?a=b&EIO=4&transport=websocket HTTP/1.1\r\n");
    check_path("/socket.io/?EIO=4&transport=websocket&a=b",
               "GET /socket.io/?EIO=4&transport=websocket&a=b HTTP/1.1\r\n");
}

static void socketio__is_ready_when_its_namespace_is_connected(void **state)
{
    (void)state;
    check_said(TEXTS(OPEN), "", "40|");
    check_said(TEXTS(OPEN, CONNECT), "ready\n", "40|");
}

static void socketio__its_events_are_messages(void **state)
{
    (void)state;
    check_said(TEXTS(OPEN, CONNECT, "42[\"news\",\"one\"]", "42[\"news\",\"\"]"), "ready\nmessage: one\nmessage: \n",
               "40|");
}

static void socketio__other_events_are_passed_over(void **state)
{
    (void)state;
    check_said(TEXTS(OPEN, CONNECT, "42[\"auth\",{}]", "42[\"newspaper\",\"no\"]", "42[]", "430[]", "6",
                     "42[\"news\",\"two\"]"),
               "ready\nmessage: two\n", "40|");
}

static void socketio__answers_pings(void **state)
{
    (void)state;
    check_said(TEXTS(OPEN, "2", CONNECT, "2probe", "42[\"news\",\"m\"]"), "ready\nmessage: m\n", "40|3|3probe|");
}

static void socketio__sends_events(void **state)
{
    (void)state;
    bench_client *client = open_client(TEXTS(OPEN, CONNECT), 10000);
    sent_texts(client);
    bench_socketio.send(client, STR("one"));
    bench_socketio.send(client, STR("a second message"));
    assert_string_equal(sent_texts(client), "42[\"news\",\"one\"]|42[\"news\",\"a second message\"]|");
    scripted_free(client);
}

static void socketio__escapes_the_name(void **state)
{
    (void)state;
    scripted_plan.event = "a\"b";
    bench_client *client = scripted_open(&bench_socketio);
    scripted_sent(client);
    bench_socketio.send(client, STR("one"));
    assert_string_equal(sent_texts(client), "42[\"a\\\"b\",\"one\"]|");
    scripted_free(client);
}

static void socketio__what_ends_or_breaks_it_loses_the_client(void **state)
{
    (void)state;
    check_said(TEXTS(CONNECT), "lost: did not begin with an open packet\n", "");
    check_said(TEXTS(OPEN, OPEN), "lost: sent a second open packet\n", "40|");
    check_said(TEXTS(OPEN, "42[\"news\",\"one\"]"), "lost: sent an event too early\n", "40|");
    check_said(TEXTS(OPEN, "44{\"message\":\"no\"}"), "lost: refused by the namespace\n", "40|");
    check_said(TEXTS(OPEN, CONNECT, CONNECT), "ready\nlost: sent a connect packet that was not asked for\n", "40|");
    check_said(TEXTS(OPEN, CONNECT, "41"), "ready\nlost: disconnected by the server\n", "40|");
    check_said(TEXTS(OPEN, CONNECT, "1"), "ready\nlost: closed by the server\n", "40|");
    check_said(TEXTS(OPEN, CONNECT, "42[\"news\",1]"), "ready\nlost: sent an event that is not one string\n", "40|");
    check_said(TEXTS(OPEN, CONNECT, "42[\"news\",\"one\",2]"), "ready\nlost: sent an event that is not one string\n",
               "40|");
    check_said(TEXTS(OPEN, CONNECT, "42[\"news\"]"), "ready\nlost: sent an event that is not one string\n", "40|");
    check_said(TEXTS(OPEN, CONNECT, "451-[\"news\",{\"_placeholder\":true,\"num\":0}]"),
               "ready\nlost: sent a binary packet\n", "40|");
    check_said(TEXTS(OPEN, CONNECT, "x"), "ready\nlost: sent what is no packet of Engine.IO\n", "40|");
    check_said(TEXTS(OPEN, CONNECT, "4"), "ready\nlost: sent what is no packet of Socket.IO\n", "40|");
    check_said(TEXTS(OPEN, CONNECT, ""), "ready\nlost: sent what is no packet of Engine.IO\n", "40|");
}

static void socketio__may_be_closed_by_a_message(void **state)
{
    (void)state;
    bench_client *client = open_client(TEXTS(OPEN, CONNECT), 10000);
    assert_string_equal(scripted_said(), "ready\n");
    buf frames = {0};
    put_text(&frames, "42[\"news\",\"one\"]");
    put_text(&frames, "42[\"news\",\"two\"]");
    scripted_closes_at_message = true;
    scripted_feed(client, frames.at, frames.len);
    assert_string_equal(scripted_said(), "message: one\n");
    buf_done(&frames);
    scripted_free(client);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(socketio__adds_what_the_path_has_not),
        cmocka_unit_test(socketio__is_ready_when_its_namespace_is_connected),
        cmocka_unit_test(socketio__its_events_are_messages),
        cmocka_unit_test(socketio__other_events_are_passed_over),
        cmocka_unit_test(socketio__answers_pings),
        cmocka_unit_test(socketio__sends_events),
        cmocka_unit_test(socketio__escapes_the_name),
        cmocka_unit_test(socketio__what_ends_or_breaks_it_loses_the_client),
        cmocka_unit_test(socketio__may_be_closed_by_a_message),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
