/**
 * A server of WebSockets for scripted.h: it answers the handshake, and then says what the script says.
 */
#ifndef WEFT_TESTS_BENCH_SCRIPTED_WEBSOCKET_H
#define WEFT_TESTS_BENCH_SCRIPTED_WEBSOCKET_H

#include "base/base64.h"
#include "bench/websocket.h"
#include "scripted.h"

static int scripted_n_sends; /* calls of bench_link_send() */

void bench_link_send(bench_link *link)
{
    (void)link;
    scripted_n_sends++;
}

#define OPENED "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"

static char scripted_request[2048]; /* the client's request */

/* What the server has to say to what the client has sent. */
static inline str scripted_accept_value(bench_client *client)
{
    static char value[WS_ACCEPT_LEN];
    snprintf(scripted_request, sizeof scripted_request, "%s", scripted_sent(client));
    const char *key = strstr(scripted_request, "Sec-WebSocket-Key: ");
    assert_non_null(key);
    key += strlen("Sec-WebSocket-Key: ");
    char nonce[WS_KEY_LEN];
    assert_int_equal(base64_decode((str){key, WS_KEY_LEN}, nonce), 16);
    assert_int_equal(ws_accept_value((str){key, WS_KEY_LEN}, value), 0);
    return (str){value, sizeof value};
}

/* The head with `fields` behind Sec-WebSocket-Accept, and then `frames`, all fed whole, cut at `cut` or (0) byte by byte. */
static inline void scripted_answer(bench_client *client, const char *head, const char *fields, str frames, size_t cut)
{
    buf script = {0};
    str value = scripted_accept_value(client);
    buf_put_text(&script, head);
    buf_put_text(&script, "Sec-WebSocket-Accept: ");
    buf_put_str(&script, value);
    buf_put_text(&script, "\r\n");
    buf_put_text(&script, fields);
    buf_put_text(&script, "\r\n");
    buf_put_str(&script, frames);
    for (size_t at = 0; at < script.len;) {
        size_t n = cut == 0 ? 1 : at == 0 && cut < script.len ? cut : script.len - at;
        scripted_feed(client, script.at + at, n);
        at += n;
    }
    buf_done(&script);
}

static inline bench_client *scripted_open_websocket(const char *fields)
{
    bench_client *client = scripted_open(&bench_websocket);
    scripted_answer(client, OPENED, fields, (str){NULL, 0}, 10000);
    assert_string_equal(scripted_said(), "ready\n");
    return client;
}

#endif
