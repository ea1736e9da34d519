/**
 * A peer: one client on any transport, as programs and topics see it. A transport's own struct begins with one.
 *
 * States: born (registered, `open` not called yet) -> open -> leaving (closed by the program or lost; no more input, no more sends) -> freed after
 * `close` was called. Callbacks are called from the loop only, never inside a call of the program: whatever a call causes is marked and done by the peer's
 * task at the end of the turn.
 */
#ifndef WEFT_HUB_PEER_H
#define WEFT_HUB_PEER_H

#include "base/limits.h"
#include "base/list.h"
#include "base/str.h"
#include "loop/loop.h"
#include "loop/slots.h"
#include "net/sink.h"

typedef struct hub hub;
typedef struct peer peer;
typedef struct topic topic;
typedef struct topic_message topic_message;
typedef struct topic_run topic_run;
typedef struct presence_change presence_change;
typedef struct peer_rate peer_rate;

/** What a route says of its peers: callbacks and limits. */
typedef struct {
    void *user;
    size_t peer_bytes;
    void (*open)(weft_peer);
    void (*message)(weft_peer, const weft_message *);
    void (*drain)(weft_peer);
    void (*pong)(weft_peer, weft_str, uint32_t);
    void (*close)(weft_peer, int, weft_str);
    size_t max_queued_bytes;
    uint64_t max_messages_per_s, max_bytes_per_s; /* that it sends; 0: as many as it likes */
    bool
        carrier; /* it carries what the program knows as its peers, and is hidden: no handle, in no metric and no log */
} peer_rules;

/** What a transport does for its peers. None of these calls back. */
typedef struct {
    weft_transport transport;
    size_t bytes; /* of the transport\'s own struct; behind it stands the program\'s storage: peer_bytes() */
    int (*send)(peer *p,
                const weft_message *message); /* 0 or an error; checked UTF-8 and JSON; -ENOMEM: caller aborts */
    int (*deliver)(peer *p, topic *t, uint64_t offset); /* a message of the topic; 0 or -ENOMEM */
    /** Optional: messages that are all for this peer, as it may have them in one piece; NULL, or without an image: one by one. */
    const topic_run *(*run)(peer *p, topic *t, uint64_t first, uint64_t end);
    int (*deliver_run)(peer *p, const topic_run *run); /* with an image; 0 or -ENOMEM */
    /** Optional: tells the client where a subscription begins that asked for nothing from before. 0 or -ENOMEM. */
    int (*begin)(peer *p, topic *t, uint64_t next);
    /** Optional: tells the client that messages were skipped, and it goes on at the offset. 0 or -ENOMEM. */
    int (*gap)(peer *p, topic *t, uint64_t next);
    int (*say)(peer *p, str text);     /* a text of the protocol above it, behind what is queued; 0 or -ENOMEM */
    int (*ping)(peer *p, str payload); /* WEFT_E_UNSUPPORTED where there are none */
    void (*close)(peer *p, int code, str reason); /* says goodbye on the wire; peer_leave() was called */
    void (*abort)(peer *p);                       /* cuts; likewise */
    void (*pause)(peer *p);                       /* p->stop_reading has changed */
    size_t (*queued)(const peer *p);
    void (*notify)(peer *p); /* call peer_sent() when queued bytes have gone out */
    void (*turn)(peer *p);   /* Optional: what is done for one that was marked, in place of what peer_mark() says */
    bool (*close_waits)(
        const peer *
            p); /* Optional: true while something is still to be told before `close` is, in a later round of this turn */
    void (*due)(peer *p);                                   /* Optional: its deadline has come (loop/deadlines.h) */
    void (*about)(const peer *p, weft_peer_info *ret_info); /* all but the counters */
    const weft_request *(*request)(peer *p);                /* Optional: that it is here by, as weft_peer_request() */
    bool (*free)(peer *p); /* after `close`; false: it lives on until its connection has ended,
                                                                   and then says peer_ended() */
} peer_ops;

/** A protocol above a transport: it takes what the client sends in place of the route's `message`. */
typedef struct {
    void (*receive)(peer *p, const weft_message *message); /* NULL: nothing is taken */
    void (*left)(peer *p); /* the peer leaves: once; p->handler is freed by this. May be NULL */
    /** Optional: what was queued has gone out, or become less, as asked for by ops->notify. Only marks. */
    void (*sent)(peer *p);
    /** Optional: tells the client who came and went. 0 or -ENOMEM. */
    int (*presence)(peer *p, topic *t, const presence_change *change);
} peer_handler_ops;

/** Embedded in its owner. */
typedef struct {
    const peer_handler_ops *ops;
} peer_handler;

typedef struct {
    topic *topic;
    uint32_t place; /* in the topic's subscribers */
} subscription;

enum {
    PEER_MAX_SUBSCRIPTIONS = 1000,
    PEER_LAG_BYTES = 64 * 1024, /* what a lagging peer is given at once */
};

/** Why a peer is not read from: any of these. */
enum {
    PAUSED_BY_PROGRAM = 1,
    PAUSED_BY_QUEUE = 2,   /* its own queue is at the limit */
    PAUSED_BY_REPLIES = 4, /* too many unsent replies to control frames */
    PAUSED_BY_RATE = 8,    /* it has sent faster than its route allows */
    PAUSED_BY_ASKED = 16,  /* what it has sent waits for other loops */
};

/** What a peer has sent and was sent. */
typedef struct {
    uint64_t messages_in, messages_out, bytes_in, bytes_out;
} peer_counts;

/** Peers are many, and few of them have any of this. */
typedef struct {
    char *
        text; /* until `open` was called the cursor that the client came with, then the reason of close; owned, NULL for none */
    peer_counts *carried; /* what the peer's own counts have no room for; owned, NULL for none */
    uint16_t lag_turn;    /* the subscription that is served first when room is made, so that each has its turn */
    peer_rate *rate;      /* what it has sent of late; NULL: nobody counts */
    char *subject;        /* of the client's certificate; owned, NULL for none */
    char *subprotocol;    /* of a WebSocket, that is none of its route's; owned, NULL for none */
    struct peer_pending *pending; /* subscriptions that are (subscribe.c); NULL for none */
    struct peer_asked *asked;     /* its handler's: what other loops are to answer it (transport/protocol_asked.c) */
    char *identity;               /* what presence lists; owned, NULL: not known yet */
    struct program_timer *timers; /* of weft_peer_after(), the latest first; NULL for none */
} peer_extra;

struct peer {
    uint64_t id;
    const peer_ops *ops;
    const peer_rules *rules;
    hub *hub;
    peer_handler *handler; /* NULL: what comes is the program's */
    peer *next_marked;     /* in one of the hub's peer_queues */
    subscription *subscriptions;
    peer_extra *extra;                  /* what few have; owned, NULL for none of it */
    uint32_t messages_in, messages_out; /* see peer_counted() */
    uint32_t bytes_in, bytes_out;
    uint64_t opened_ms : 40, close_code : 16;
    bool opened : 1, leaving : 1, want_drain : 1;
    bool marked : 1; /* something is to be done for it at the end of this turn */
    bool again : 1;  /* it was marked once more since */
    bool gated : 1; /* it has a handle, but is neither counted nor opened before peer_admit(); set before peer_init() */
    bool named : 1; /* by the program: its client cannot choose another name */
    bool listed : 1; /* under its identity, which it keeps from then on (presence.h) */
    uint16_t n_subscriptions, n_lagging;
    uint8_t stop_reading;          /* PAUSED_BY_* */
    uint8_t own_number, own_flags; /* its transport's, which has no other room for so little */
};

/** Peers for which something is to be done, the one that was marked first in front. */
typedef struct {
    peer *first, *last;
} peer_queue;

/** As the log and metrics call it: "websocket". */
const char *transport_name(weft_transport transport);

/** Of the memory for a peer with the program's storage. */
static inline size_t peer_bytes(const peer_ops *ops, const peer_rules *rules)
{
    return rules->peer_bytes ? ((ops->bytes + 15) & ~(size_t)15) + rules->peer_bytes : ops->bytes;
}

/** weft_data(): NULL when the program wants no storage. */
static inline void *peer_data(const peer *p)
{
    return p->rules->peer_bytes ? (char *)(uintptr_t)p + ((p->ops->bytes + 15) & ~(size_t)15) : NULL;
}

/** What few peers have, made when there is none. NULL: no memory. */
peer_extra *peer_extra_of(peer *p);

/** Gives the peer a handle; the transport's struct is zeroed but for what it set itself. 0 or -ENOMEM. */
int peer_init(peer *p, hub *h, const peer_ops *ops, const peer_rules *rules);

/** At the end of this turn it is looked at: it is opened, told that its queue has drained, served what it lags behind, and called `close`. */
void peer_mark(peer *p);

/** Takes that back, outside of its turn. Not marked is fine. */
void peer_unmark(peer *p);

/** The task of hub->marked: a turn of each. */
void peers_task(loop_task *task);

/** Remembers a text for as long as peer_extra.text says, in place of another. 0 or -ENOMEM: then it has none. */
int peer_keep_text(peer *p, str text);

static inline const char *peer_text(const peer *p)
{
    return p->extra ? p->extra->text : NULL;
}

/** What a transport frees whose peer_init() has failed, or was not called: what few have. */
void peer_extra_free(peer *p);

/** All that it has sent and was sent. */
peer_counts peer_counted(const peer *p);

/** What deadlines_begin() is told for peers of a hub. */
void peer_due(void *value);

/** Remembers the subject of the client's certificate, when it has one that is not too long for weft_peer_info. Without memory it has none. */
void peer_keep_subject(peer *p, const sink *from);

/** Calls `open`, once; from the loop, before the first message. */
void peer_open(peer *p);

/** Counts a message that the client sent, against its rate too. */
void peer_count_in(peer *p, size_t bytes);

/** Counts a message, and hands it to the handler, or to `message`, unless the peer is leaving. One that comes faster than the rules allow is the last that is read for a
 * while. */
void peer_receive(peer *p, const weft_message *message);

/** The peer is gone for the program from now on; `close` is called and the peer freed at the end of the turn. Once. The reason is copied. */
void peer_leave(peer *p, int code, str reason);

/** Lets in one that was gated: it counts, and `open` comes at the end of this turn at the latest. */
void peer_admit(peer *p);

/** Before a transport's own way of sending for the program: what was published goes first. 0, or why nothing is taken, as weft_send() says it. */
int peer_may_send(peer *p);

/** Counts messages that were sent in such a way, or published, and the bytes of all. */
void peer_count_out(peer *p, uint32_t n, size_t bytes);

/** What `close` is told in place of what peer_leave() was given: some transports call it by another name. */
void peer_rename_close(peer *p, int code, str reason);

/** A program's send: checks limits and contents. Results as weft_send(). */
int peer_send(peer *p, const weft_message *message);

int peer_close(peer *p, int code, str reason);
void peer_abort(peer *p);

/** From the transport, as asked for by ops->notify: bytes have gone out. Only marks. */
void peer_sent(peer *p);

/** It has reached a limit, and stays: counted, and told to the log now and then. */
void peer_reached(peer *p, limit_id limit);

/** The hub has just refused it something with WEFT_E_TOO_LARGE, and counted why (h->limit): told to the log now and then, and forgotten. Which limit it
 * was. */
limit_id peer_refused(peer *p);

/** Sets or clears a reason not to read. */
void peer_stop_reading(peer *p, uint8_t why, bool stop);

/** After something was queued: WEFT_QUEUED at or over the limit (reading then stops until it drains), else 0. */
int peer_queued_result(peer *p);

/** The connection of a peer that lived on has ended; the transport frees it. */
void peer_ended(peer *p);

static inline weft_peer peer_handle(const peer *p)
{
    return (weft_peer){p->id};
}

#endif
