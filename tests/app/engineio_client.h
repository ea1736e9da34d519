/**
 * Engine.IO spoken by hand, for the tests of the public API: each request on a connection of its own.
 */
#ifndef WEFT_TESTS_APP_ENGINEIO_CLIENT_H
#define WEFT_TESTS_APP_ENGINEIO_CLIENT_H

#include "app/fixture.h"

#define POLLING                "/engine.io/?EIO=4&transport=polling"
#define WEBSOCKET              "/engine.io/?EIO=4&transport=websocket"
#define PACKETS(first, second) first "\x1e" second

static char sid[64]; /* of the session that was opened last */

static inline void serve_engineio(const weft_engineio_options *options)
{
    assert_int_equal(weft_engineio(app, "/engine.io/", options), 0);
    begin();
}

/** The sid of an open packet. */
static inline void keep_sid(const char *packet)
{
    const char *at = strstr(packet, "\"sid\":\"");
    assert_non_null(at);
    snprintf(sid, sizeof sid, "%.22s", at + 7);
}

/** A request; `fields` are whole lines or "", the path has no sid yet where `known`. */
static inline int eio_request(const char *method, const char *path, bool known, const char *fields, const char *body)
{
    char head[4096];
    int fd = client_connect(url);
    snprintf(head, sizeof head, "%s %s%s%s HTTP/1.1\r\nHost: localhost\r\n%s\r\n", method, path, known ? "&sid=" : "",
             known ? sid : "", fields);
    client_write_text(fd, head);
    client_write_text(fd, body);
    return fd;
}

/** Opens a session over polls, the answer to which has this line (NULL: any). */
static inline void eio_open_with(const char *fields, const char *line)
{
    int fd = eio_request("GET", POLLING, false, fields, "");
    assert_int_equal(client_read_answer(fd, line), 200);
    assert_int_equal(client_bytes[0], '0');
    keep_sid(client_bytes);
    close(fd);
}

static inline void eio_open(void)
{
    eio_open_with("", "Content-Type: text/plain; charset=UTF-8");
}

/** A poll that the server has seen when this returns, if there is nothing for it. */
static inline int eio_ask(void)
{
    int fd = eio_request("GET", POLLING, true, "", "");
    for (int i = 0; i < 3; i++)
        weft_step(app, 5);
    return fd;
}

static inline void eio_expect(int fd, int status, const char *body)
{
    assert_int_equal(client_read_answer(fd, NULL), status);
    assert_string_equal(client_bytes, body);
    close(fd);
}

static inline void eio_poll(const char *body)
{
    eio_expect(eio_ask(), 200, body);
}

static inline void eio_is_gone(void)
{
    eio_expect(eio_ask(), 400, "{\"code\":1,\"message\":\"Session ID unknown\"}");
}

/** The head of a POST of so many bytes, and a part of them. */
static inline int eio_post_part(size_t length, const char *part)
{
    char field[64];
    snprintf(field, sizeof field, "Content-Length: %zu\r\n", length);
    int fd = eio_request("POST", POLLING, true, field, part);
    for (int i = 0; i < 3; i++)
        weft_step(app, 5);
    return fd;
}

static inline void eio_post(const char *body)
{
    eio_expect(eio_post_part(strlen(body), body), 200, "ok");
}

/** A WebSocket for a new session, or with the sid of the one that is there. */
static inline int eio_websocket(bool known)
{
    char path[256];
    snprintf(path, sizeof path, "%s%s%s", WEBSOCKET, known ? "&sid=" : "", known ? sid : "");
    int fd = client_open(url, path);
    if (!known) {
        assert_int_equal(client_receive(fd).opcode, CLIENT_TEXT);
        keep_sid(client_bytes);
    }
    return fd;
}

static inline int eio_probe(void)
{
    int fd = eio_websocket(true);
    client_send_text(fd, "2probe");
    client_expect_text(fd, "3probe");
    return fd;
}

#endif
