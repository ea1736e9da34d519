/**
 * What the tests of HTTP/1 connections share: a server without listeners, and clients at the other end of a socket pair whose bytes are sent and
 * compared as they are.
 */
#ifndef WEFT_TESTS_HTTP_FIXTURE_H
#define WEFT_TESTS_HTTP_FIXTURE_H

#include "http/http1_private.h"
#include "net/stream.h"
#include "support/check.h"
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static loop the_loop;
static net the_net;
static slots the_table;
static router the_routes;
static http_server the_server;

static char happenings[1 << 16]; /* what the program saw: "GET /now?a;" for each request, … */

__attribute__((format(printf, 1, 2))) static inline void happened(const char *format, ...)
{
    size_t len = strlen(happenings);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(happenings + len, sizeof happenings - len, format, arguments);
    va_end(arguments);
}

/** These have happened since the last look, and nothing else. */
static inline void check_happened(const char *expected)
{
    assert_string_equal(happenings, expected);
    happenings[0] = '\0';
}

/* ---- the server ---- */

static inline void add_route(const char *pattern, route_spec spec)
{
    const char *problem;
    assert_int_equal(route_parse(pattern, &spec, &problem), 0);
    assert_int_equal(router_add(&the_routes, &spec), 0);
}

static inline int start_server(void)
{
    happenings[0] = '\0';
    if (loop_init(&the_loop, &the_loop) || net_init(&the_net, &the_loop, NULL) || slots_init(&the_table, 0))
        return -1;
    router_init(&the_routes);
    http_server_init(&the_server, &the_net, &the_table, &the_routes, &the_net);
    return 0;
}

/** Sites outlive their connections. */
static inline http_site *site_of(uint16_t port)
{
    static http_site sites[65536];
    sites[port].port = port;
    return &sites[port];
}

static inline exchange *find_exchange(uint64_t id)
{
    return slots_get(&the_table, id, SLOT_EXCHANGE);
}

/** The connection that was opened last. */
static inline http1_connection *latest_connection(void)
{
    assert_false(list_empty(&the_server.connections));
    return CONTAINER(the_server.connections.prev, http1_connection, siblings);
}

static inline void turn(void)
{
    assert_int_equal(loop_step(&the_loop, 0), 0);
}

static inline void pass(uint64_t ms)
{
    wheel_advance(&the_loop.wheel, the_loop.wheel.now_ms + ms);
}

static inline size_t count_descriptors(void)
{
    size_t n = 0;
    DIR *dir = opendir("/proc/self/fd");
    while (readdir(dir))
        n++;
    closedir(dir);
    return n;
}

/* ---- clients ---- */

typedef struct {
    int fd;
    stream *stream;          /* the server's side; look at it only while it lives */
    char got[(3 << 20) + 1]; /* since the last look, without Date lines */
    size_t n_got;
    bool ended;
} client;

static client clients[2];

static inline int open_client_on(client *c, uint16_t port)
{
    int fds[2];
    if (c->fd > 0) /* of a round before */
        close(c->fd);
    c->fd = -1;
    c->n_got = 0;
    c->got[0] = '\0';
    c->ended = false;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    c->fd = fds[1];
    c->stream = stream_new(&the_net, fds[0], true);
    if (!c->stream || http1_connection_open(&the_server, &c->stream->base, site_of(port)))
        return -ENOMEM;
    return stream_start(c->stream);
}

static inline client *open_client(void)
{
    assert_int_equal(open_client_on(&clients[0], 80), 0);
    return &clients[0];
}

static inline void leave(client *c)
{
    close(c->fd);
    c->fd = -1;
    turn();
    turn();
}

/** Ends server and clients; checks that nothing of them is left. */
static inline void stop_server(void)
{
    http_server_abort(&the_server);
    assert_true(list_empty(&the_server.connections));
    for (size_t i = 0; i < N_OF(clients); i++) {
        if (clients[i].fd > 0)
            close(clients[i].fd);
        clients[i].fd = -1;
    }
    net_done(&the_net);
    assert_int_equal(the_net.n_streams, 0);
    assert_int_equal(the_loop.wheel.n_armed, 0);
    slots_done(&the_table);
    router_done(&the_routes);
    loop_done(&the_loop);
}

static inline void put_bytes(const client *c, const char *at, size_t len)
{
    assert_int_equal(send(c->fd, at, len, MSG_NOSIGNAL), len);
}

static inline void put(const client *c, const char *text)
{
    put_bytes(c, text, strlen(text));
}

/** To a server that may have hung up. */
static inline void offer(const client *c, const char *text)
{
    assert_true(send(c->fd, text, strlen(text), MSG_NOSIGNAL) == (ssize_t)strlen(text) || errno == EPIPE);
}

/** A turn of the loop for each byte. */
static inline void put_slowly(const client *c, const char *text)
{
    for (; *text; text++) {
        put_bytes(c, text, 1);
        turn();
    }
}

/* The date changes; it is looked at once, in its own test. */
static inline void drop_dates(client *c)
{
    static const char line[] = "\r\nDate: ";
    char *to = c->got, *all = c->got;
    for (char *date; (date = strstr(all, line));) {
        char *end = strstr(date + 2, "\r\n");
        size_t n = (size_t)(date - all);
        memmove(to, all, n);
        to += n;
        all = end ? end : date + strlen(date);
    }
    memmove(to, all, strlen(all) + 1);
    c->n_got = strlen(c->got);
}

static inline void receive(client *c)
{
    for (int quiet = 0; quiet < 3 && !c->ended;) {
        turn();
        ssize_t got = recv(c->fd, c->got + c->n_got, sizeof c->got - 1 - c->n_got, 0);
        quiet = got > 0 ? 0 : quiet + 1;
        c->ended = got == 0 || (got < 0 && errno != EAGAIN);
        c->n_got += got > 0 ? (size_t)got : 0;
    }
    c->got[c->n_got] = '\0';
}

static inline void gets(client *c, const char *expected)
{
    receive(c);
    drop_dates(c);
    assert_string_equal(c->got, expected);
    c->n_got = 0;
    c->got[0] = '\0';
}

static inline void gets_and_end(client *c, const char *expected)
{
    gets(c, expected);
    assert_true(c->ended);
}

static inline void gets_and_stays(client *c, const char *expected)
{
    gets(c, expected);
    assert_false(c->ended);
}

/** Only the status matters, and that it is the last answer. */
static inline void gets_status_and_end(client *c, int status)
{
    char line[32];
    snprintf(line, sizeof line, "HTTP/1.1 %d ", status);
    receive(c);
    assert_memory_equal(c->got, line, strlen(line));
    assert_non_null(strstr(c->got, "\r\nConnection: close\r\n"));
    assert_null(strstr(c->got + 1, "HTTP/1.1"));
    assert_true(c->ended);
}

#define OK_HEAD "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: "
#define OK      OK_HEAD "2\r\n\r\nok"
#define OK_LAST OK_HEAD "2\r\nConnection: close\r\n\r\nok"

#endif
