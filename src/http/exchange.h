/**
 * One request and its answer, whatever carries them: an HTTP/1 connection (http1_connection.h), later a stream of HTTP/2. It is reached through a
 * handle, answered once, now or later, and gone when it is answered or when its client is.
 */
#ifndef WEFT_HTTP_EXCHANGE_H
#define WEFT_HTTP_EXCHANGE_H

#include "base/buf.h"
#include "http/router.h"
#include "loop/slots.h"
#include "net/sink.h"
#include "proto/http1.h"

typedef struct {
    int status;
    str type; /* Content-Type; len 0: none */
    str body;
    bool close;           /* the connection ends after it */
    bool offer_websocket; /* names WebSocket as what this path would speak; with close */
} http_answer;

/** What carries the exchange. Each call frees the exchange. */
typedef struct {
    int (*answer)(exchange *e, const http_answer *answer); /* 0, or -ENOMEM: the client is gone */
    /** Sends `head` (a whole 101 head) and gives the connection's bytes away, in both directions. The caller binds the sink. */
    int (*switch_protocol)(exchange *e, str head, sink **ret_sink);
} exchange_ops;

/** What waits for weft_accept() or weft_reject(): the transport's part of an upgrade. */
typedef struct {
    int (*accept)(exchange *e, const char *subprotocol);
    void (*forget)(exchange *e); /* the exchange ends in another way: free e->upgrade_state */
} upgrade_ops;

struct exchange {
    uint64_t id;
    slots *table;
    pool *blocks;
    size_t block_bytes;
    const exchange_ops *ops;
    void *carrier;
    void *context;              /* of the server: what transports hang their peers on */
    const upgrade_ops *upgrade; /* NULL for a plain request */
    void *upgrade_state;
    buf fields;     /* added by weft_header(): whole lines */
    bool head_only; /* HEAD */
};

/** What weft_request points at. On the stack of whoever serves the request. */
struct weft_request {
    const http1_head *head;
    const char *bytes; /* of the head */
    str path;
    const http_route *route;
    sink *sink;
    char address[64];
    size_t address_len; /* 0: not asked for yet */
};

/** Registered in the table. NULL when there is no memory. */
exchange *exchange_new(slots *table, pool *blocks, const exchange_ops *ops, void *carrier);

/** For carriers. */
void exchange_free(exchange *e);

/** True when a program may add this field: a token, bytes that HTTP allows, and none of the fields that frame the answer. */
bool exchange_field_allowed(str name, str value);

/** Adds a field line to the answer. 0, WEFT_E_INVALID or -ENOMEM. */
int exchange_add_field(exchange *e, str name, str value);

int exchange_answer(exchange *e, const http_answer *answer);

/** A plain text answer after which the connection is closed; text.len 0: the status's standard phrase. */
int exchange_refuse(exchange *e, int status, str text);

#endif
