/**
 * Connections that break: what a client of the stress has read and has yet to write, and how far it gets before it is cut.
 */
#ifndef WEFT_TESTS_STRESS_WIRE_H
#define WEFT_TESTS_STRESS_WIRE_H

#include "support/client.h"

#include "base/buf.h"

/* ------------------------------------------------------------------------------------------------------------ chances */

static uint64_t chance_state;

static inline uint32_t draw_from(uint64_t *state, uint32_t below)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return (uint32_t)(*state >> 32) % below;
}

static inline uint32_t draw(uint32_t below)
{
    return draw_from(&chance_state, below);
}

static inline bool one_in(uint32_t n)
{
    return draw(n) == 0;
}

/* -------------------------------------------------------------------------------------------------------- connections */

enum { MOST_GHOSTS = 24 };

typedef struct {
    int fd; /* -1: none */
    buf in, out;
    size_t at;                  /* in `in`: what was taken already */
    size_t may_read, may_write; /* bytes until it is cut; SIZE_MAX: it is not */
    bool ended;                 /* cut, or the server has ended it: what it has read is still there */
} wire;

static bool wires_break;        /* new ones are cut sometime */
static int ghosts[MOST_GHOSTS]; /* descriptors of clients that have gone without a word; 0: none */
static unsigned n_ghosts, n_cuts;

static inline void ghosts_leave(void)
{
    for (int i = 0; i < MOST_GHOSTS; i++) {
        if (ghosts[i])
            close(ghosts[i]);
        ghosts[i] = 0;
    }
}

/* A half-open connection: nobody reads it any more. */
static inline void become_ghost(int fd)
{
    int *place = &ghosts[n_ghosts++ % MOST_GHOSTS];
    if (*place)
        close(*place);
    *place = fd;
}

static inline void wire_cut(wire *w)
{
    n_cuts++;
    switch (draw(6)) {
    case 0:
        shutdown(w->fd, SHUT_WR);
        become_ghost(w->fd);
        break;
    case 1:
        become_ghost(w->fd);
        break;
    case 2:
    case 3:
        client_reset(w->fd);
        break;
    default:
        close(w->fd);
    }
    w->fd = -1;
    w->ended = true;
}

/** Nothing is left of it. */
static inline void wire_done(wire *w)
{
    if (w->fd >= 0)
        close(w->fd);
    buf_done(&w->in);
    buf_done(&w->out);
    *w = (wire){.fd = -1};
}

/** False when nobody listens. */
static inline bool wire_open(wire *w, const char *to)
{
    struct sockaddr_storage address;
    socklen_t len = client_address(to, &address);
    wire_done(w);
    w->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(w->fd >= 0);
    w->may_read = wires_break && one_in(2) ? 1 + draw(one_in(3) ? 600 : 30000) : SIZE_MAX;
    w->may_write = wires_break && one_in(6) ? 1 + draw(2000) : SIZE_MAX;
    if (connect(w->fd, (struct sockaddr *)&address, len) == 0)
        return true;
    wire_done(w);
    return false;
}

static inline bool wire_is_open(const wire *w)
{
    return w->fd >= 0;
}

/** Writes as much as the socket takes. */
static inline void wire_flush(wire *w)
{
    while (w->fd >= 0 && w->out.len) {
        size_t most = w->out.len < w->may_write ? w->out.len : w->may_write;
        ssize_t n = send(w->fd, w->out.at, most, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0 && errno == EAGAIN)
            return;
        if (n < 0) { /* what it has sent before may be there to read */
            w->out.len = 0;
            return;
        }
        w->out.len -= (size_t)n;
        memmove(w->out.at, w->out.at + n, w->out.len);
        if (w->may_write != SIZE_MAX && !(w->may_write -= (size_t)n))
            wire_cut(w);
    }
}

static inline void wire_put(wire *w, const void *bytes, size_t len)
{
    assert_int_equal(buf_put(&w->out, bytes, len), 0);
    wire_flush(w);
}

__attribute__((format(printf, 2, 3))) static inline void wire_say(wire *w, const char *format, ...)
{
    char text[2048];
    va_list arguments;
    va_start(arguments, format);
    int len = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    assert_in_range(len, 0, sizeof text - 1);
    wire_put(w, text, (size_t)len);
}

/** Reads what is there. */
static inline void wire_read(wire *w)
{
    if (w->at) {
        w->in.len -= w->at;
        memmove(w->in.at, w->in.at + w->at, w->in.len);
        w->at = 0;
    }
    for (int reads = 0; w->fd >= 0 && reads < 4; reads++) {
        enum { PIECE = 16384 };
        size_t most = w->may_read < PIECE ? w->may_read : PIECE;
        assert_int_equal(buf_reserve(&w->in, most + 1), 0);
        ssize_t n = recv(w->fd, w->in.at + w->in.len, most, MSG_DONTWAIT);
        if (n < 0 && errno == EAGAIN)
            break;
        if (n <= 0) {
            close(w->fd);
            w->fd = -1;
            w->ended = true;
            break;
        }
        w->in.len += (size_t)n;
        if (w->may_read != SIZE_MAX && !(w->may_read -= (size_t)n))
            wire_cut(w);
    }
    if (w->in.at)
        w->in.at[w->in.len] = '\0';
}

static inline str wire_rest(const wire *w)
{
    return (str){w->in.at + w->at, w->in.len - w->at};
}

/* --------------------------------------------------------------------------------------------------------------- HTTP */

/** Asks; `fields` are whole lines or "", a body has its length told. */
static inline void wire_ask(wire *w, const char *line, const char *fields, const char *body)
{
    char length[64] = "";
    if (body)
        snprintf(length, sizeof length, "Content-Length: %zu\r\n", strlen(body));
    buf request = {0};
    assert_int_equal(buf_printf(&request, "%s HTTP/1.1\r\nHost: localhost\r\n%s%s\r\n", line, length, fields), 0);
    assert_int_equal(buf_put_text(&request, body ? body : ""), 0);
    wire_put(w, request.at, request.len);
    buf_done(&request);
}

static inline void wire_ask_socket(wire *w, const char *path, const char *fields)
{
    char line[512], all[512];
    snprintf(line, sizeof line, "GET %s", path);
    snprintf(all, sizeof all,
             "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
             "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n%s",
             fields);
    wire_ask(w, line, all, NULL);
}

/** Takes a whole head: its status; 0: it is not there yet. */
static inline int wire_take_head(wire *w, size_t *ret_length)
{
    str rest = wire_rest(w);
    const char *end = rest.len ? memmem(rest.at, rest.len, "\r\n\r\n", 4) : NULL;
    if (!end)
        return 0;
    const char *length = strstr(rest.at, "\r\nContent-Length: ");
    *ret_length = length && length < end ? strtoul(length + 18, NULL, 10) : 0;
    w->at += (size_t)(end + 4 - rest.at);
    return (int)strtol(rest.at + strlen("HTTP/1.1 "), NULL, 10);
}

/** Takes a whole answer of known length: its status; 0: it is not there yet. The body is copied, with a NUL behind it, and the caller's. */
static inline int wire_take_answer(wire *w, char **ret_body)
{
    size_t before = w->at, length;
    int status = wire_take_head(w, &length);
    if (!status || wire_rest(w).len < length) {
        w->at = before;
        return 0;
    }
    *ret_body = malloc(length + 1);
    assert_non_null(*ret_body);
    memcpy(*ret_body, wire_rest(w).at, length);
    (*ret_body)[length] = '\0';
    w->at += length;
    return status;
}

/** A chunked body, as it comes. */
typedef struct {
    size_t left; /* of a chunk, with the line end behind it */
    bool last;
    buf text; /* a NUL behind it */
} chunks;

static inline void chunks_take(chunks *c, wire *w)
{
    for (;;) {
        str rest = wire_rest(w);
        if (!c->left) {
            const char *end = rest.len ? memmem(rest.at, rest.len, "\r\n", 2) : NULL;
            if (!end || c->last)
                break;
            c->left = strtoul(rest.at, NULL, 16) + 2;
            c->last = c->left == 2;
            w->at += (size_t)(end + 2 - rest.at);
            continue;
        }
        size_t n = rest.len < c->left ? rest.len : c->left;
        size_t data = c->left > 2 ? c->left - 2 : 0;
        if (!n)
            break;
        assert_int_equal(buf_put(&c->text, rest.at, n < data ? n : data), 0);
        c->left -= n;
        w->at += n;
    }
    assert_int_equal(buf_reserve(&c->text, 1), 0);
    c->text.at[c->text.len] = '\0';
}

/** The first bytes of the text are done with. */
static inline void chunks_drop(chunks *c, size_t n)
{
    c->text.len -= n;
    memmove(c->text.at, c->text.at + n, c->text.len + 1);
}

static inline void chunks_done(chunks *c)
{
    buf_done(&c->text);
    *c = (chunks){0};
}

/* ---------------------------------------------------------------------------------------------------------- WebSocket */

static inline void wire_send(wire *w, int opcode, const char *payload, size_t len)
{
    char *frame = malloc(len + 14);
    assert_non_null(frame);
    wire_put(w, frame, client_put(frame, CLIENT_FIN | opcode, payload, len));
    free(frame);
}

static inline void wire_send_text(wire *w, const char *text)
{
    wire_send(w, CLIENT_TEXT, text, strlen(text));
}

/** Takes a whole frame: its opcode, -1 when there is none. The payload is copied, with a NUL behind it, and the caller's. */
static inline int wire_take_frame(wire *w, char **ret_payload, size_t *ret_len)
{
    str rest = wire_rest(w);
    const uint8_t *at = (const uint8_t *)rest.at;
    size_t n_length = rest.len < 2 || at[1] < 126 ? 0 : at[1] == 126 ? 2 : 8;
    if (rest.len < 2 + n_length)
        return -1;
    size_t len = n_length ? 0 : at[1];
    for (size_t i = 0; i < n_length; i++)
        len = len << 8 | at[2 + i];
    if (rest.len - 2 - n_length < len)
        return -1;
    assert_int_equal(at[0] & 0xf0, CLIENT_FIN); /* the server does not split messages */
    *ret_payload = malloc(len + 1);
    assert_non_null(*ret_payload);
    memcpy(*ret_payload, rest.at + 2 + n_length, len);
    (*ret_payload)[len] = '\0';
    *ret_len = len;
    w->at += 2 + n_length + len;
    return at[0] & 15;
}

/** Takes the next text message, and answers what else a server says. NULL: none; `ended` may be set. The caller's. */
static inline char *wire_take_text(wire *w)
{
    char *payload;
    size_t len;
    int opcode;
    while (!w->ended || w->at < w->in.len) {
        if ((opcode = wire_take_frame(w, &payload, &len)) < 0)
            return NULL;
        if (opcode == CLIENT_TEXT)
            return payload;
        if (opcode == CLIENT_PING)
            wire_send(w, CLIENT_PONG, payload, len);
        if (opcode == CLIENT_CLOSE) {
            wire_send(w, CLIENT_CLOSE, payload, len);
            if (w->fd >= 0)
                close(w->fd);
            w->fd = -1;
            w->ended = true;
        }
        free(payload);
    }
    return NULL;
}

#endif
