/**
 * The client's side of a WebSocket, for protocols that speak over one: bench_websocket itself, where each message is one of the scenario's, and
 * bench_socketio.
 */
#ifndef WEFT_BENCH_WEBSOCKET_H
#define WEFT_BENCH_WEBSOCKET_H

#include "bench/client.h"
#include "bench/response.h"
#include "bench/websocket_deflate.h"
#include "proto/ws_decoder.h"
#include "proto/ws_handshake.h"

enum { BENCH_MAX_MESSAGE_BYTES = 1 << 30 }; /* that a server may send */

/** Who speaks over it. Both are false when the client is closed or lost (bench_client_ready(), bench_client_message()). */
typedef struct {
    const char *query; /* added to the target's, unless it has that already; NULL: none */
    bool (*open)(bench_client *client);
    bool (*message)(bench_client *client, str payload); /* borrowed until it returns */
} bench_websocket_user;

/** The front of bench_client_state() of a protocol whose connections are WebSockets. Zeroed is before the handshake. */
typedef struct {
    const bench_websocket_user *user;
    ws_decoder decoder;
    bench_response response;    /* to the handshake */
    char accept[WS_ACCEPT_LEN]; /* what it must say */
    bool is_open;
    uint32_t random;        /* for masks: never 0 */
    buf message;            /* fragments so far */
    bench_deflate *deflate; /* NULL: not agreed on */
} bench_websocket_state;

/** A protocol's start(), feed() and done(). */
void bench_websocket_start(bench_client *client, const bench_websocket_user *user);
size_t bench_websocket_feed(bench_client *client, char *at, size_t len);
void bench_websocket_done(bench_client *client);

/** Sends a text message of three parts. Out of memory the client is lost. */
void bench_websocket_send(bench_client *client, str head, str payload, str tail);

#endif
