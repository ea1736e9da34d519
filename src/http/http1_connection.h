/**
 * HTTP/1 connections: reads request heads from a sink, finds their route, writes the answers in the order of the requests.
 *
 * One exchange at a time: a pipelined request waits, unread, for the answer of the one before it. A request with a body is answered, and then the
 * connection is closed.
 */
#ifndef WEFT_HTTP_HTTP1_CONNECTION_H
#define WEFT_HTTP_HTTP1_CONNECTION_H

#include "http/exchange.h"
#include "net/net.h"

enum {
    HTTP_HEAD_TIMEOUT_MS = 10000, /* for a whole head; no byte puts it off. Then 408 */
    HTTP_IDLE_TIMEOUT_MS = 60000, /* between requests. Then a silent close */
};

/** What the HTTP connections of one loop share. */
typedef struct {
    net *net;
    slots *table;
    const router *routes;
    void *context; /* handed to every exchange */
    list_node connections;
    bool draining;      /* every answer is the last on its connection */
    uint64_t date_at_s; /* the second that `date` was made in */
    char date[40];
} http_server;

void http_server_init(http_server *server, net *n, slots *table, const router *routes, void *context);

/** Idle connections close now, others after their answer. */
void http_server_drain(http_server *server);

/** Cuts all connections; their exchanges are gone. */
void http_server_abort(http_server *server);

/** Serves a sink that has no owner yet, accepted on `port` (0: none). 0, or -ENOMEM: the sink was aborted. */
int http1_connection_open(http_server *server, sink *s, uint16_t port);

#endif
