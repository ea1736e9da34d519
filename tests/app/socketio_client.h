/**
 * Socket.IO spoken by hand over a WebSocket, for the tests of the public API.
 */
#ifndef WEFT_TESTS_APP_SOCKETIO_CLIENT_H
#define WEFT_TESTS_APP_SOCKETIO_CLIENT_H

#include "app/fixture.h"

#define SOCKETIO_PATH "/socket.io/?EIO=4&transport=websocket"

static char sio_id[64]; /* of the socket that was welcomed last */

static inline void sio_event(weft_peer who, const weft_socketio_event *event)
{
    latest = who;
    happened("%.*s%.*s ", (int)event->name.len, event->name.at, (int)event->args.len, event->args.at);
}

static inline void sio_gate(weft_peer who)
{
    latest = who;
    happened("gate ");
}

#define SIO_RECORDED .open = on_open, .event = sio_event, .drain = on_drain, .close = on_close

static inline void serve_socketio(const weft_socketio_options *options)
{
    assert_int_equal(weft_socketio(app, "/socket.io/", options), 0);
    begin();
}

/** A connection in no namespace yet. */
static inline int sio_connect(void)
{
    int fd = client_open(url, SOCKETIO_PATH);
    assert_int_equal(client_receive(fd).opcode, CLIENT_TEXT);
    assert_memory_equal(client_bytes, "0{\"sid\":\"", 9);
    return fd;
}

/** Reads the answer to a CONNECT. */
static inline void sio_expect_welcome(int fd, const char *begins)
{
    assert_int_equal(client_receive(fd).opcode, CLIENT_TEXT);
    assert_memory_equal(client_bytes, begins, strlen(begins));
    const char *at = strstr(client_bytes, "{\"sid\":\"");
    assert_non_null(at);
    snprintf(sio_id, sizeof sio_id, "%.20s", at + 8);
}

/** A connection in the namespace "/", whose socket is `latest`. */
static inline int sio_open(void)
{
    int fd = sio_connect();
    client_send_text(fd, "40");
    sio_expect_welcome(fd, "40{");
    return fd;
}

#endif
