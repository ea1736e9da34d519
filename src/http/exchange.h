/**
 * One request and its answer, whatever carries them: an HTTP/1 connection (http1_connection.h), later a stream of HTTP/2. It is reached through a
 * handle, answered once, now or later, and gone when it is answered or when its client is.
 */
#ifndef WEFT_HTTP_EXCHANGE_H
#define WEFT_HTTP_EXCHANGE_H

#include "base/buf.h"
#include "base/limits.h"
#include "base/slabs.h"
#include "http/router.h"
#include "loop/slots.h"
#include "net/sink.h"
#include "proto/http1.h"

typedef struct {
    int status;
    str type; /* Content-Type; len 0: none */
    str body;
    chunk *owner;         /* keeps the body by reference; NULL: it is copied */
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
    /** Sends the head of an answer whose body goes on until one side ends it, and gives the connection away: what is written to the sink is the body,
     * and sink_end ends it. What the client still sends means nothing. The caller binds the sink. */
    int (*take_body)(exchange *e, const http_answer *answer, sink **ret_sink);
    /** Sends `head` (a whole 101 head) and gives the connection's bytes away, in both directions. The caller binds the sink. */
    int (*switch_protocol)(exchange *e, str head, sink **ret_sink);
    /** Of a held exchange: held->late is called in so long, unless it has ended by then. */
    void (*wait)(exchange *e, uint32_t ms);
    /** See exchange_move(). NULL: it cannot. */
    int (*move)(exchange *e, const weft_request *request, unsigned place);
} exchange_ops;

enum { EXCHANGE_MAX_QUEUED_BYTES = 1 << 20 }; /* of a streamed answer */

/** What a transport does with an exchange that it keeps waiting: for weft_accept() or weft_reject(), or for a message. A client that ends its side of the
 * connection meanwhile is taken for gone. */
typedef struct {
    /** `plain`: without compression. NULL: there is nothing to accept. */
    int (*accept)(exchange *e, const char *subprotocol, bool plain);
    /** The program says no, with a text that may be empty. 0 or an error; NULL: plain text with that status. */
    int (*reject)(exchange *e, int status, str text);
    void (*forget)(exchange *e); /* the exchange ends, answered or not: free e->held_state */
    void (*late)(exchange *e);   /* the time of ops->wait is over: answer it. NULL: that is not called */
    void (*drain)(exchange *e);  /* the server stops: answer it now. NULL: it may go on waiting */
    bool answers_half;           /* it is answered soon, and so a client that has ended its side waits for that */
} held_ops;

/** What the exchanges of one loop share. */
typedef struct {
    slots *table;
    pool *blocks;
    slabs *places;
} exchange_home;

/** A waiting poll is one of these, and polls wait by the thousand: see that it stays small. */
struct exchange {
    uint64_t id;
    const exchange_home *home;
    const exchange_ops *ops;
    void *carrier;
    void *context;        /* of the server: what transports hang their peers on */
    const held_ops *held; /* NULL: no transport keeps it */
    void *held_state;
    buf fields;              /* added by weft_header(): whole lines */
    const http_route *route; /* that serves it; NULL for none */
    bool vary_origin;        /* the answer to a page of another origin would differ */
    bool head_only;          /* HEAD */
    bool started;            /* a streamed answer is under way */
    bool closed;             /* it has no handle any more */
    bool want_drain;         /* the route's `drain` is due when the queue has gone down */
    uint8_t blamed : 7;      /* see exchange_blame(); these two share a byte, as polls wait by the thousand */
    bool blame_counted : 1;
};

/** What weft_request points at. On the stack of whoever serves the request. */
struct weft_request {
    const http1_head *head;
    const char *bytes; /* of the head */
    str path;
    const http_route *route;
    str body;
    bool collected; /* the body came in pieces: what of it was consumed is here alone */
    sink *sink;
    char address[64];
    size_t address_len;         /* 0: not asked for yet */
    bool secure_at_proxy;       /* a trusted proxy says that the client came to it by https */
    struct request_text *texts; /* decoded for the program; freed when the request has been served */
};

/** Frees what accessors have made. */
void request_done(weft_request *request);

/** Registered in its home's table. NULL when there is no memory. */
exchange *exchange_new(const exchange_home *home, const exchange_ops *ops, void *carrier);

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

/** Sends a request, while its route serves it, to another loop of the application (by its place in the table of loops), with its connection: there it is served
 * from its head on, as if it had just come. The exchange is gone then, and its route is told nothing more of it. 0; else nothing has changed: WEFT_E_INVALID: there is no
 * such loop, or the request cannot go; -ENOMEM. A loop that has ended, or has no room, is found out later: the client gets 503. */
int exchange_move(exchange *e, const weft_request *request, unsigned place);

/** A streamed answer. Results as weft_answer_write(). */
int exchange_start(exchange *e, const http_answer *answer);
int exchange_write(exchange *e, str bytes);

/** Bytes that another thread was told are taken: over the limit too. */
int exchange_write_taken(exchange *e, str bytes);
int exchange_end(exchange *e);

/** Adds the CORS fields for a page of another origin that the list allows. {NULL, 0}: there is no such page, and caches are only told that the
 * answer to one would differ, unless the list allows any. 0 or -ENOMEM. */
int exchange_allow_origin(exchange *e, str origin, const char *const *allowed);

/** The answer that follows is a refusal due to this limit: it is counted and told to the log. */
void exchange_blame(exchange *e, limit_id limit);

/** The same for one that has been counted already. */
void exchange_blame_counted(exchange *e, limit_id limit);

/** A plain text answer after which the connection is closed; text.len 0: the status's standard phrase. */
int exchange_refuse(exchange *e, int status, str text);

#endif
