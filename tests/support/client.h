/**
 * A raw HTTP and WebSocket client for tests: it sends exactly the bytes it is told, and waits with a deadline. While it waits it can step an
 * application of its own thread, so that a test needs no second one.
 */
#ifndef WEFT_TESTS_CLIENT_H
#define WEFT_TESTS_CLIENT_H

#include "support/check.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>
#include <weft.h>

enum {
    CLIENT_PATIENCE_MS = 20000,
    CLIENT_MAX_BYTES = 2 << 20, /* of one frame, head or body */
    CLIENT_FIN = 0x80,
    CLIENT_CONTINUATION = 0,
    CLIENT_TEXT = 1,
    CLIENT_BINARY = 2,
    CLIENT_CLOSE = 8,
    CLIENT_PING = 9,
    CLIENT_PONG = 10,
};

/** Takes a connection to an https:// address, and gives a descriptor to speak plain to (support/tls_relay.h). */
static int (*client_secures)(int fd);

/** Makes the end of such a descriptor a reset. */
static void (*client_resets)(int fd);

/** The application that is stepped while a call waits; NULL: it has a thread of its own. */
static _Thread_local weft *client_steps;

/** What was read last: a payload, a head or a body, with a NUL behind it. */
static _Thread_local char client_bytes[CLIENT_MAX_BYTES + 1];

typedef struct {
    int opcode; /* 0 with fin false: the end of the stream; -1: a reset, or an end inside a frame */
    bool fin, rsv1;
    size_t len;
    char *at; /* in client_bytes */
} client_frame;

static inline uint64_t client_now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/** Waits until the descriptor is ready; false when it was not in time. */
static inline bool client_wait(int fd, short events, uint64_t patience_ms)
{
    uint64_t deadline_ms = client_now_ms() + patience_ms;
    for (;;) {
        struct pollfd one = {.fd = fd, .events = events};
        if (poll(&one, 1, client_steps ? 0 : (int)patience_ms) > 0)
            return true;
        if (client_now_ms() >= deadline_ms)
            return false;
        if (client_steps && weft_step(client_steps, 1) <= 0)
            poll(&one, 1, 1);
    }
}

/** Steps the application (or lets it run) until the condition holds. */
#define CLIENT_UNTIL(condition)                                                                                        \
    do {                                                                                                               \
        uint64_t until_ms_ = client_now_ms() + CLIENT_PATIENCE_MS;                                                     \
        while (!(condition)) {                                                                                         \
            assert_true(client_now_ms() < until_ms_);                                                                  \
            if (!client_steps || weft_step(client_steps, 1) <= 0)                                                      \
                poll(NULL, 0, 1);                                                                                      \
        }                                                                                                              \
    } while (0)

/* -------------------------------------------------------------------------------------------------------- connections */

static inline socklen_t client_address(const char *url, struct sockaddr_storage *ret_address)
{
    memset(ret_address, 0, sizeof *ret_address);
    if (strncmp(url, "unix:", 5) == 0) {
        struct sockaddr_un *un = (struct sockaddr_un *)ret_address;
        un->sun_family = AF_UNIX;
        assert_true(strlen(url + 5) < sizeof un->sun_path);
        memcpy(un->sun_path, url + 5, strlen(url + 5));
        return sizeof *un;
    }
    uint16_t port = htons((uint16_t)strtoul(strrchr(url, ':') + 1, NULL, 10));
    if (strncmp(url, "http://[", 8) == 0) {
        struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)ret_address;
        *in6 = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = port, .sin6_addr = in6addr_loopback};
        return sizeof *in6;
    }
    struct sockaddr_in *in = (struct sockaddr_in *)ret_address;
    *in = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = port, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    return sizeof *in;
}

/** A connection with a receive buffer of so many bytes (0: the system's), to the address that weft_listening() told. */
static inline int client_connect_small(const char *url, int receive_bytes)
{
    struct sockaddr_storage where;
    socklen_t len = client_address(url, &where);
    int one = 1, fd = socket(where.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    if (receive_bytes)
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive_bytes, sizeof receive_bytes);
    if (where.ss_family != AF_UNIX)
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    assert_int_equal(connect(fd, (const struct sockaddr *)&where, len), 0);
    return strncmp(url, "https:", 6) == 0 ? client_secures(fd) : fd;
}

static inline int client_connect(const char *url)
{
    return client_connect_small(url, 0);
}

/** Ends the connection with a reset. */
static inline void client_reset(int fd)
{
    struct linger now = {.l_onoff = 1};
    if (client_resets)
        client_resets(fd);
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    close(fd);
}

/** False when the connection is lost. */
static inline bool client_try_write(int fd, const void *bytes, size_t len)
{
    const char *at = bytes;
    while (len) {
        ssize_t sent = send(fd, at, len, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent < 0 && errno != EAGAIN)
            return false;
        if (sent < 0)
            assert_true(client_wait(fd, POLLOUT, CLIENT_PATIENCE_MS));
        at += sent < 0 ? 0 : sent;
        len -= sent < 0 ? 0 : (size_t)sent;
    }
    return true;
}

static inline void client_write(int fd, const void *bytes, size_t len)
{
    assert_true(client_try_write(fd, bytes, len));
}

static inline void client_write_text(int fd, const char *text)
{
    client_write(fd, text, strlen(text));
}

/** Reads so many bytes; fewer at the end of the stream, -1 after a reset. */
static inline ssize_t client_read(int fd, char *at, size_t len)
{
    size_t done = 0;
    while (done < len) {
        ssize_t got = recv(fd, at + done, len - done, MSG_DONTWAIT);
        if (got == 0)
            break;
        if (got > 0)
            done += (size_t)got;
        else if (errno == EAGAIN)
            assert_true(client_wait(fd, POLLIN, CLIENT_PATIENCE_MS));
        else
            return -1;
    }
    return (ssize_t)done;
}

/** Nothing comes for so long. */
static inline void client_expect_silence(int fd, uint64_t ms)
{
    assert_false(client_wait(fd, POLLIN, ms));
}

/** The stream ends, with a reset or without. */
static inline void client_expect_end(int fd)
{
    char byte;
    assert_true(client_read(fd, &byte, 1) <= 0);
    close(fd);
}

/* --------------------------------------------------------------------------------------------------------------- HTTP */

/** Reads a head with its empty line into client_bytes; its status, 0 when the stream ends before it. */
static inline int client_read_head(int fd)
{
    size_t len = 0;
    while (len < 4 || memcmp(client_bytes + len - 4, "\r\n\r\n", 4) != 0) {
        assert_true(len < 65536);
        if (client_read(fd, client_bytes + len, 1) != 1)
            return 0;
        len++;
    }
    client_bytes[len] = '\0';
    return (int)strtol(client_bytes + strlen("HTTP/1.1 "), NULL, 10);
}

/** True when the head in client_bytes has this line. */
static inline bool client_head_has(const char *line)
{
    char whole[512];
    snprintf(whole, sizeof whole, "\r\n%s\r\n", line);
    return strstr(client_bytes, whole);
}

/** Reads head and body: the status; the body stands in client_bytes, the head is checked for `line` unless it is NULL. */
static inline int client_read_answer(int fd, const char *line)
{
    int status = client_read_head(fd);
    assert_true(status == 0 || !line || client_head_has(line));
    const char *length = strstr(client_bytes, "\r\nContent-Length: ");
    size_t len = status && length ? strtoul(length + 18, NULL, 10) : 0;
    assert_int_equal(client_read(fd, client_bytes, len), len);
    client_bytes[len] = '\0';
    return status;
}

static inline void client_get(int fd, const char *path)
{
    char request[512];
    snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", path);
    client_write_text(fd, request);
}

/* ---------------------------------------------------------------------------------------------------------- WebSocket */

/** Asks for a WebSocket; `fields` are whole lines or "". */
static inline void client_ask(int fd, const char *path, const char *fields)
{
    char request[4096];
    snprintf(request, sizeof request,
             "GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: "
             "websocket\r\nSec-WebSocket-Version: 13\r\n"
             "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n%s\r\n",
             path, fields);
    client_write_text(fd, request);
}

/** Reads the 101 head into client_bytes. */
static inline void client_expect_accepted(int fd)
{
    assert_int_equal(client_read_head(fd), 101);
    assert_true(client_head_has("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
}

static inline int client_open(const char *url, const char *path)
{
    int fd = client_connect(url);
    client_ask(fd, path, "");
    client_expect_accepted(fd);
    return fd;
}

/** Writes a masked frame to `at`, which has room for 14 bytes more than the payload; its size. */
static inline size_t client_put(char *at, int first_byte, const void *payload, size_t len)
{
    static const uint8_t mask[4] = {0x37, 0xfa, 0x21, 0x3d};
    const uint8_t *from = payload;
    uint8_t *to = (uint8_t *)at;
    size_t n_length = len < 126 ? 0 : len < 65536 ? 2 : 8;
    *to++ = (uint8_t)first_byte;
    *to++ = (uint8_t)(0x80 | (n_length == 0 ? len : n_length == 2 ? 126 : 127));
    for (size_t i = n_length; i-- > 0;)
        *to++ = (uint8_t)(len >> (8 * i));
    memcpy(to, mask, 4);
    to += 4;
    for (size_t i = 0; i < len; i++)
        to[i] = from[i] ^ mask[i & 3];
    return 2 + n_length + 4 + len;
}

static inline bool client_try_send(int fd, int first_byte, const void *payload, size_t len)
{
    char small[256], *frame = len + 14 <= sizeof small ? small : malloc(len + 14);
    assert_non_null(frame);
    bool sent = client_try_write(fd, frame, client_put(frame, first_byte, payload, len));
    if (frame != small)
        free(frame);
    return sent;
}

static inline void client_send(int fd, int first_byte, const void *payload, size_t len)
{
    assert_true(client_try_send(fd, first_byte, payload, len));
}

static inline void client_send_text(int fd, const char *text)
{
    client_send(fd, CLIENT_FIN | CLIENT_TEXT, text, strlen(text));
}

static inline void client_send_close(int fd, int code, const char *reason)
{
    char payload[125] = {(char)(code >> 8), (char)code};
    memcpy(payload + 2, reason, strlen(reason));
    client_send(fd, CLIENT_FIN | CLIENT_CLOSE, payload, code ? 2 + strlen(reason) : 0);
}

/** Reads one frame of the server, which must not be masked. */
static inline client_frame client_receive(int fd)
{
    const client_frame lost = {.opcode = -1};
    uint8_t head[10];
    ssize_t got = client_read(fd, (char *)head, 2);
    if (got != 2)
        return got == 0 ? (client_frame){0} : lost;
    client_frame frame = {
        .opcode = head[0] & 15, .fin = head[0] & 0x80, .rsv1 = head[0] & 0x40, .len = head[1], .at = client_bytes};
    assert_true(frame.len <= 127);
    if (frame.len >= 126) {
        ssize_t n_length = frame.len == 126 ? 2 : 8;
        if (client_read(fd, (char *)head + 2, (size_t)n_length) != n_length)
            return lost;
        frame.len = 0;
        for (ssize_t i = 0; i < n_length; i++)
            frame.len = frame.len << 8 | head[2 + i];
    }
    assert_true(frame.len <= CLIENT_MAX_BYTES);
    if (client_read(fd, client_bytes, frame.len) != (ssize_t)frame.len)
        return lost;
    client_bytes[frame.len] = '\0';
    return frame;
}

static inline void client_expect(int fd, int opcode, const char *text)
{
    client_frame frame = client_receive(fd);
    assert_int_equal(frame.opcode, opcode);
    assert_true(frame.fin);
    assert_int_equal(frame.len, strlen(text));
    assert_string_equal(frame.at, text);
}

static inline void client_expect_text(int fd, const char *text)
{
    client_expect(fd, CLIENT_TEXT, text);
}

/** A close frame with this code (0: none) comes next; client_bytes + 2 is its reason. */
static inline void client_expect_close(int fd, int code)
{
    client_frame frame = client_receive(fd);
    assert_int_equal(frame.opcode, CLIENT_CLOSE);
    assert_int_equal(frame.len < 2 ? 0 : (uint8_t)frame.at[0] << 8 | (uint8_t)frame.at[1], code);
}

/** The closing handshake from here to the end. */
static inline void client_leave(int fd)
{
    client_send_close(fd, 1000, "");
    client_expect_close(fd, 1000);
    client_expect_end(fd);
}

#endif
