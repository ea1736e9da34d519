/**
 * An HTTP/1 connection as its files see it: http1_connection.c reads requests, http1_incoming.c their bodies, http1_answer.c writes answers,
 * http1_move.c takes it to another loop.
 */
#ifndef WEFT_HTTP_HTTP1_PRIVATE_H
#define WEFT_HTTP_HTTP1_PRIVATE_H

#include "http/http1_connection.h"
#include "proto/http1_body.h"

enum {
    HTTP1_MAX_PIPELINED_BYTES = HTTP1_MAX_HEAD_BYTES, /* kept unread while an answer is awaited; then reading stops */
    HTTP1_MAX_UNSENT_BYTES = 64 * 1024, /* of answers that the client does not take; then no request is read */
};

/** A request whose body is still coming. */
typedef struct {
    http1_body_decoder decoder;
    http1_head *head; /* NULL when streamed */
    size_t head_block_bytes;
    size_t head_len;
    const http_route *route;
    uint64_t checked_bytes; /* of content, when its rate was last looked at */
    bool streamed;          /* its pieces go to the route; else they are collected */
    bool continued;         /* the client was told 100 Continue */
    buf bytes;              /* the head, and behind it what has been collected */
} http1_incoming;

typedef struct {
    http_server *server;
    sink *sink;
    const http_site *site;
    list_node siblings;
    timer deadline;
    loop_task task;           /* tells the route what `sent` has marked */
    http1_head *head;         /* of the request being read; NULL between requests */
    http1_incoming *incoming; /* NULL when no body is being read */
    exchange *exchange;       /* waits for its answer */
    const char *why;          /* static: what the log says of its end */
    uint32_t head_block_bytes;
    uint16_t status : 10; /* of the latest answer; 0: none */
    bool moving : 1;      /* it leaves at the end of this turn */
    bool continued : 1;   /* the client was told 100 Continue on another loop, for the request that comes next */
    uint8_t limit;        /* one more than the limit_id that its latest answer is due to; 0: none */
    bool keep_alive : 1;  /* after the answer to the exchange */
    bool head_only : 1;   /* the request being read is HEAD, as far as is known: a refusal has no body either */
    bool minor_0 : 1;     /* it is HTTP/1.0 */
    bool chunked : 1;     /* its started answer is */
    bool sending_file : 1;
    bool paused : 1;
    bool eof : 1;    /* nothing more will come */
    bool served : 1; /* a request was answered here before */
} http1_connection;

extern const exchange_ops http1_exchange_ops;

/** A stream's operations once it carries the chunked body of an answer (http1_body_sink.c). */
extern const sink_ops http1_body_sink_ops;

typedef struct http1_move http1_move;

/* http1_connection.c */

/** Counts a limit; the connection's last line of log names it, unless another answer comes before. */
static inline void http1_reached(http1_connection *c, limit_id limit)
{
    limit_count(&c->server->net->limits, limit);
    c->limit = (uint8_t)(limit + 1);
}

void http1_end(http1_connection *c);
void http1_abort(http1_connection *c);

/** Frees the connection; its sink is somebody else's now. */
void http1_let_go(http1_connection *c);

/** The client went, or broke the rules, before its answer: the route is told. The connection is not touched. */
void http1_exchange_gone(http1_connection *c);

/** Answered and kept alive: goes on with the next request. */
void http1_next_request(http1_connection *c);

void http1_stop_reading(http1_connection *c);
void http1_go_on_reading(http1_connection *c);

/** It is idle, as long as no request comes. */
void http1_await_request(http1_connection *c);

/** Serves a sink that has no owner yet. NULL: no memory, and the sink was aborted. */
http1_connection *http1_connection_new(http_server *server, sink *s, const http_site *site);

/** A new exchange for a head; the old one must be gone. NULL: no memory, and the connection is aborted. */
exchange *http1_new_exchange(http1_connection *c, const http1_head *head, const char *at);

/** Serves c->exchange by request->route; decodes its path first. It may be answered, and the connection gone, afterwards. */
void http1_serve(http1_connection *c, weft_request *request);

/* http1_incoming.c */

/** Begins a body whose head (len head_len, at `at`) was taken off the connection; takes the head on success, unless the body is streamed. 0 or
 * -ENOMEM. */
int http1_incoming_begin(http1_connection *c, const http1_incoming *what, const char *at);

/** Bytes of the body; returns how many were consumed. The connection may be gone afterwards. */
size_t http1_incoming_data(http1_connection *c, const char *at, size_t len);

void http1_incoming_free(http1_connection *c);

/* http1_move.c */

/** What exchange_move() does: the connection is paused, and leaves at the end of this turn. */
int http1_move_to(exchange *e, const weft_request *request, unsigned place);

/** It ends before it leaves. Not moving is fine. */
void http1_move_cancel(http1_connection *c);

/* http1_answer.c */

/** Answers a request that breaks the rules, and closes; cuts when its answer is under way. `reason` is a sentence for people. */
void http1_refuse(http1_connection *c, int status, str reason);

/** The same for a body that is larger than its route takes: 413. */
void http1_refuse_body(http1_connection *c, const http_route *route);

/** Writes "100 Continue". 0 or -ENOMEM. */
int http1_say_continue(http1_connection *c);

#endif
