/**
 * HTTP/1 connections: reads requests from a sink, finds their route, writes the answers in the order of the requests.
 *
 * One exchange at a time: a pipelined request waits, unread, for the answer of the one before it. A body is collected and handed over whole, or
 * given to the route in pieces, as the route has it.
 */
#ifndef WEFT_HTTP_HTTP1_CONNECTION_H
#define WEFT_HTTP_HTTP1_CONNECTION_H

#include "http/exchange.h"
#include "http/http_date.h"
#include "net/net.h"

enum {
    HTTP_HEAD_TIMEOUT_MS = 10000,     /* for a whole head; no byte puts it off. Then 408 */
    HTTP_IDLE_TIMEOUT_MS = 60000,     /* between requests. Then a silent close */
    HTTP_MIN_BODY_BYTES_PER_S = 1024, /* or 408 */
};

/** What the connections of one listener share. */
typedef struct {
    uint16_t port; /* 0: none */
    bool loopback; /* asked for by another name than localhost, 127.0.0.1 or [::1] it answers 421: DNS rebinding */
    const char *const *hosts; /* further names that are served there; "*": any; NULL: none */
} http_site;

typedef struct http_server http_server;

/** The servers of one application, one a loop, by loop_here()->index; NULL: that loop is none of its. They stay until the last of its loops has ended, and the
 * table does not change while one runs, so any thread may look. Who hands something to another pushes a note into loop_inbox(index), and in the note, which runs
 * on that loop, uses the server it finds here. */
typedef struct {
    http_server *at[LOOP_MAX];
} http_servers;

/** What the HTTP connections of one loop share. */
struct http_server {
    net *net;
    slots *table;
    const router *routes;
    void *context; /* handed to every exchange */
    exchange_home home;
    void *serving; /* the connection whose request is being served; NULL once that is gone */
    list_node connections;
    size_t n_connections;
    list_node moving; /* what is to leave for other loops at the end of this turn (http1_move.c) */
    uint32_t head_timeout_ms, idle_timeout_ms; /* as above unless somebody says otherwise */
    size_t min_body_bytes_per_s;
    bool draining;      /* every answer is the last on its connection */
    uint64_t date_at_s; /* the second that `date` was made in */
    char date[HTTP_DATE_BYTES];
    const http_servers
        *all; /* it and those of its application's other loops; NULL: there is no other (http_server_init()) */
};

void http_server_init(http_server *server, net *n, slots *table, const router *routes, void *context);

/** Idle connections close now, others after their answer; what a transport keeps waiting (held_ops) is to be answered. */
void http_server_drain(http_server *server);

/** The same in pieces: from the first call on every answer is its connection's last, but only so many connections are closed or answered at once. None
 * twice, unless more are asked for than there are. */
void http_server_drain_some(http_server *server, size_t most);

/** Cuts all connections; their exchanges are gone. */
void http_server_abort(http_server *server);

/** Serves a sink that has no owner yet. The site outlives it. 0, or -ENOMEM: the sink was aborted. */
int http1_connection_open(http_server *server, sink *s, const http_site *site);

#endif
