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

/** What carries the exchange. answer, switch_protocol and end free it; so does every call that fails with -ENOMEM, as the client is then gone. */
typedef struct {
    int (*answer)(exchange *e, const http_answer *answer);
    /** An answer whose body follows: `length` bytes, or, when it is negative, as many as are written. The answer's own body is ignored. */
    int (*start)(exchange *e, const http_answer *answer, int64_t length);
    int (*write)(exchange *e, str bytes);
    /** The body of a started answer from a file, which is then closed; the exchange ends by itself when it has gone out. */
    int (*write_file)(exchange *e, int fd, uint64_t offset, uint64_t length);
    int (*end)(exchange *e);
    size_t (*queued)(const exchange *e);
    /** Sends `head` (a whole 101 head) and gives the connection's bytes away, in both directions. The caller binds the sink. */
    int (*switch_protocol)(exchange *e, str head, sink **ret_sink);
} exchange_ops;

enum { EXCHANGE_MAX_QUEUED_BYTES = 1 << 20 }; /* of a streamed answer */

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
    buf fields;              /* added by weft_header(): whole lines */
    const http_route *route; /* that serves it; NULL for none */
    bool head_only;          /* HEAD */
    bool started;            /* a streamed answer is under way */
    bool closed;             /* it has no handle any more */
    bool want_drain;         /* the route's `drain` is due when the queue has gone down */
};

/** What weft_request points at. On the stack of whoever serves the request. */
struct weft_request {
    const http1_head *head;
    const char *bytes; /* of the head */
    str path;
    const http_route *route;
    str body;
    sink *sink;
    char address[64];
    size_t address_len;         /* 0: not asked for yet */
    struct request_text *texts; /* decoded for the program; freed when the request has been served */
};

/** Frees what accessors have made. */
void request_done(weft_request *request);

/** Registered in the table. NULL when there is no memory. */
exchange *exchange_new(slots *table, pool *blocks, const exchange_ops *ops, void *carrier);

/** For carriers: its handle is gone from now on. */
void exchange_close(exchange *e);

/** For carriers; closes it. */
void exchange_free(exchange *e);

/** True when a program may add this field: a token, bytes that HTTP allows, and none of the fields that frame the answer. */
bool exchange_field_allowed(str name, str value);

/** Adds a field line to the answer. 0, WEFT_E_INVALID (also once the answer has begun) or -ENOMEM. */
int exchange_add_field(exchange *e, str name, str value);

/** WEFT_E_INVALID when an answer is under way, WEFT_E_CLOSED never: the caller has looked the handle up. */
int exchange_answer(exchange *e, const http_answer *answer);

/** A streamed answer. Results as weft_answer_write(). */
int exchange_start(exchange *e, const http_answer *answer);
int exchange_write(exchange *e, str bytes);

/** Bytes that another thread was told are taken: over the limit too. */
int exchange_write_taken(exchange *e, str bytes);
int exchange_end(exchange *e);

/** Adds the CORS fields for a page of another origin that the list allows. {NULL, 0}: there is no such page, and caches are only told that the
 * answer to one would differ, unless the list allows any. 0 or -ENOMEM. */
int exchange_allow_origin(exchange *e, str origin, const char *const *allowed);

/** A plain text answer after which the connection is closed; text.len 0: the status's standard phrase. */
int exchange_refuse(exchange *e, int status, str text);

#endif
