#include "scripted_websocket.h"

/* Whole, cut in two at each place, and byte by byte. */
static void check(const char *head, const char *fields, str frames, const char *expected)
{
    size_t len = strlen(head) + strlen(fields) + frames.len + 60;
    for (size_t cut = 0; cut <= len; cut++) {
        bench_client *client = scripted_open(&bench_websocket);
        scripted_answer(client, head, fields, frames, cut);
        assert_string_equal(scripted_said(), expected);
        scripted_free(client);
    }
}

static void websocket__asks_as_the_standard_says(void **state)
{
    (void)state;
    bench_client *client = scripted_open(&bench_websocket);
    scripted_accept_value(client);
    char *key = strstr(scripted_request, "-Key: ") + 6;
    memset(key, 'K', WS_KEY_LEN);
    assert_string_equal(scripted_request,
                        "GET /topics/t HTTP/1.1\r\nHost: 127.0.0.1:3000\r\nUpgrade: websocket\r\nConnection: "
                        "Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: "
                        "KKKKKKKKKKKKKKKKKKKKKKKK\r\n\r\n");
    scripted_free(client);
}

static void websocket__each_connection_has_another_key(void **state)
{
    char first[sizeof scripted_request];
    (void)state;
    for (int i = 0; i < 2; i++) {
        bench_client *client = scripted_open(&bench_websocket);
        scripted_accept_value(client);
        if (i == 0)
            strcpy(first, scripted_request);
        else
            assert_string_not_equal(first, scripted_request);
        scripted_free(client);
    }
}

static void websocket__is_ready_when_the_answer_is_right(void **state)
{
    (void)state;
    check(OPENED, "", STR(""), "ready\n");
    check("HTTP/1.1 101 OK\r\nupgrade:WebSocket\r\nconnection: keep-alive, UPGRADE\r\n", "Server: s\r\n", STR(""),
          "ready\n");
}

static void websocket__each_part_of_the_answer_counts(void **state)
{
    (void)state;
    check("HTTP/1.1 404 Not Found\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n", "", STR(""),
          "lost: answered 404 Not Found\n");
    check("HTTP/1.1 200 OK\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n", "", STR(""), "lost: answered 200 OK\n");
    check("HTTP/1.1 101 OK\r\nConnection: Upgrade\r\n", "", STR(""), "lost: answered without Upgrade: websocket\n");
    check("HTTP/1.1 101 OK\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n", "", STR(""),
          "lost: answered without Upgrade: websocket\n");
    check("HTTP/1.1 101 OK\r\nUpgrade: websocket\r\nConnection: close\r\n", "", STR(""),
          "lost: answered without Connection: upgrade\n");
    check(OPENED "Sec-WebSocket-Accept: dGhlIHNhbXBsZSBub25jZQ==wxyz\r\n", "", STR(""),
          "lost: answered with a wrong Sec-WebSocket-Accept\n");
    check(OPENED, "Sec-WebSocket-Protocol: chat\r\n", STR(""),
          "lost: answered with a subprotocol that was not offered\n");
    check(OPENED, "Sec-WebSocket-Extensions: permessage-deflate\r\n", STR(""),
          "lost: answered with an extension that was not offered\n");
    check("SSH-2.0-OpenSSH_9.2\r\n", "", STR(""), "lost: status line is not of HTTP/1\n");
}

/* ---------------------------------------------------------------------------------------------------------------- frames */

static void websocket__each_message_is_told(void **state)
{
    (void)state;
    check(OPENED, "", STR("\x81\x03one\x82\x03two\x81\0"), "ready\nmessage: one\nmessage: two\nmessage: \n");
}

static void websocket__longer_messages_come_whole(void **state)
{
    static char frames[4 + 300 + 10 + 66000], expected[67000];
    (void)state;
    memcpy(frames, "\x81\x7e\x01\x2c", 4);
    memset(frames + 4, 'a', 300);
    memcpy(frames + 304, "\x81\x7f\0\0\0\0\0\x01\x01\xd0", 10);
    memset(frames + 314, 'b', 66000);
    snprintf(expected, sizeof expected, "ready\nmessage: %.300s\n", frames + 4);
    check(OPENED, "", (str){frames, 304}, expected);
    bench_client *client = scripted_open_websocket("");
    scripted_feed(client, frames + 304, 9);
    assert_int_equal(client->link.wanted, 0); /* not known yet */
    scripted_feed(client, frames + 313, 1000);
    assert_int_equal(client->link.wanted, 66010);
    assert_string_equal(scripted_said(), "");
    client->link.wanted = 0;
    scripted_closes_at_message = true;
    scripted_feed(client, frames + 1313, 66000 + 10 - 9 - 1000);
    assert_memory_equal(scripted_log.at, "message: bbbb", 13);
    assert_int_equal(scripted_log.len, 9 + 66000 + 1);
    scripted_log.len = 0;
    scripted_free(client);
}

static void websocket__fragments_become_one_message(void **state)
{
    (void)state;
    check(OPENED, "", STR("\x01\x03one\x00\x00\x89\x01p\x00\x03two\x80\x05three\x81\x01!\x02\x01x\x80\x01y"),
          "ready\nmessage: onetwothree\nmessage: !\nmessage: xy\n");
}

/* Of what the client has put on the link: frames as text, unmasked; forgotten with that. */
static const char *sent_frames(bench_client *client)
{
    static char text[4096];
    static uint8_t last_mask[4];
    buf *out = bench_link_out(&client->link);
    ws_decoder decoder;
    size_t n = 0;
    ws_decoder_init(&decoder, WS_SERVER, 100000);
    ws_decoder_allow_deflate(&decoder);
    for (size_t at = 0; at < out->len;) {
        ws_event event;
        assert_memory_not_equal(out->at + at + 2, last_mask, 4);
        memcpy(last_mask, out->at + at + 2, 4);
        ws_decoder_next(&decoder, out->at + at, out->len - at, &event);
        assert_true(event.type == WS_DATA || event.type == WS_CONTROL);
        n += (size_t)snprintf(text + n, sizeof text - n, "%d%s %d %.*s\n", event.opcode, event.compressed ? "z" : "",
                              event.code, (int)event.bytes.len, event.bytes.at);
        at += event.consumed;
    }
    out->len = 0;
    text[n] = '\0';
    return text;
}

static void websocket__sends_masked_text(void **state)
{
    (void)state;
    bench_client *client = scripted_open_websocket("");
    bench_websocket.send(client, STR("one"));
    bench_websocket.send(client, STR("a second message"));
    assert_string_equal(sent_frames(client), "1 0 one\n1 0 a second message\n");
    bench_websocket_send(client, STR("[\""), STR("payload"), STR("\"]"));
    assert_string_equal(sent_frames(client), "1 0 [\"payload\"]\n");
    scripted_free(client);
}

static void websocket__answers_pings(void **state)
{
    (void)state;
    bench_client *client = scripted_open_websocket("");
    scripted_feed(client, "\x89\x05hello\x81\x01m\x8a\x01x\x89\x00", 15);
    assert_string_equal(sent_frames(client), "10 0 hello\n10 0 \n");
    assert_string_equal(scripted_said(), "message: m\n");
    scripted_free(client);
}

static void websocket__answers_a_close_and_is_lost(void **state)
{
    (void)state;
    check(OPENED, "", STR("\x81\x01m\x88\x02\x03\xe9\x81\x01n"),
          "ready\nmessage: m\nlost: closed by the server with 1001 (going away)\n");
    check(OPENED, "", STR("\x88\x00"), "ready\nlost: closed by the server\n");
    bench_client *client = scripted_open_websocket("");
    scripted_n_sends = 0;
    scripted_feed(client,
                  "\x88\x05\x03\xf1"
                  "big",
                  7);
    assert_string_equal(scripted_said(), "lost: closed by the server with 1009 (too large)\n");
    assert_string_equal(sent_frames(client), "8 1009 \n");
    assert_int_equal(scripted_n_sends, 1);
    scripted_free(client);
}

static void websocket__what_breaks_the_protocol_loses_the_client(void **state)
{
    (void)state;
    check(OPENED, "", STR("\x81\x83mask..."), "ready\nlost: masked frame from a server\n");
    check(OPENED, "", STR("\xc1\x03one"), "ready\nlost: a reserved bit is set\n");
    check(OPENED, "", STR("\x83\x00"), "ready\nlost: reserved opcode\n");
    check(OPENED, "", STR("\x80\x00"), "ready\nlost: continuation without a message\n");
    check(OPENED, "", STR("\x01\x01o\x81\x01o"), "ready\nlost: new message inside a fragmented one\n");
    check(OPENED, "", STR("\x81\x7f\0\0\0\0\x40\0\0\x01"), "ready\nlost: message too large\n");
    check(OPENED, "", STR("\x01\x02\xc3\x28\x80\0"), "ready\nlost: text is not UTF-8\n");
    /* Long before so many bytes could have come. */
    bench_client *client = scripted_open_websocket("");
    scripted_feed(client, "\x91\x7f", 2);
    assert_string_equal(scripted_said(), "lost: a reserved bit is set\n");
    scripted_free(client);
}

static void websocket__may_be_closed_by_a_message(void **state)
{
    static const str scripts[] = {STR("\x81\x01m\x81\x01n"), STR("\x01\x01m\x80\0\x81\x01n")};
    (void)state;
    for (size_t i = 0; i < N_OF(scripts); i++) {
        bench_client *client = scripted_open_websocket("");
        scripted_closes_at_message = true;
        scripted_feed(client, scripts[i].at, scripts[i].len);
        assert_string_equal(scripted_said(), "message: m\n");
        scripted_free(client);
    }
}

/* ---------------------------------------------------------------------------------------------------------------- memory */

static void websocket__is_lost_when_there_is_no_memory(void **state)
{
    static char large[5000];
    (void)state;
    bench_client *client = scripted_open_websocket("");
    mem_fail_from(1);
    bench_websocket.send(client, (str){large, sizeof large});
    mem_fail_from(0);
    assert_string_equal(scripted_said(), "lost: out of memory\n");
    scripted_free(client);
    client = scripted_open_websocket("");
    mem_fail_from(1);
    scripted_feed(client, "\x01\x03one", 5);
    mem_fail_from(0);
    assert_string_equal(scripted_said(), "lost: out of memory\n");
    scripted_free(client);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(websocket__asks_as_the_standard_says),
        cmocka_unit_test(websocket__each_connection_has_another_key),
        cmocka_unit_test(websocket__is_ready_when_the_answer_is_right),
        cmocka_unit_test(websocket__each_part_of_the_answer_counts),
        cmocka_unit_test(websocket__each_message_is_told),
        cmocka_unit_test(websocket__longer_messages_come_whole),
        cmocka_unit_test(websocket__fragments_become_one_message),
        cmocka_unit_test(websocket__sends_masked_text),
        cmocka_unit_test(websocket__answers_pings),
        cmocka_unit_test(websocket__answers_a_close_and_is_lost),
        cmocka_unit_test(websocket__what_breaks_the_protocol_loses_the_client),
        cmocka_unit_test(websocket__may_be_closed_by_a_message),
        cmocka_unit_test(websocket__is_lost_when_there_is_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
