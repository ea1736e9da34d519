/**
 * Topics: a ring of messages with a number each, and subscriptions that are places in it.
 *
 * Publishing appends to the ring. What is published in a turn is queued to every subscriber at its end, before anything goes out, so that a subscriber
 * gets several messages in one piece; what is published to another topic meanwhile, or sent to a peer directly, comes behind it, so that program order
 * holds (fanout.c). A large fan-out runs in slices: what is not reached within FANOUT_SLICE_US goes on in the next turn. A peer whose
 * queue is at its limit lags: it keeps its place and is served from the ring as its queue drains; so is one that asked for what came before. What
 * neither a subscription nor the history needs leaves the ring (ring.c). Long polls are no peers: they wait for a topic, and are woken (waiters.c).
 *
 * A topic that nobody is subscribed to or waits for is idle: it goes TOPIC_LINGER_MS later, or when its history has, so that cursors hold meanwhile.
 */
#ifndef WEFT_HUB_TOPIC_H
#define WEFT_HUB_TOPIC_H

#include "base/blob.h"
#include "base/chunk.h"
#include "base/map.h"
#include "hub/counts.h"
#include "hub/cursor.h"
#include "hub/peer.h"
#include "net/net.h"

/** The wire formats that a message is encoded for once, however many subscribers share it. */
typedef enum {
    WIRE_WEBSOCKET,
    WIRE_SSE,                /* an event, as an HTTP/1 chunk */
    WIRE_LINE,               /* a JSON object and LF, as an HTTP/1 chunk */
    WIRE_ENVELOPE_WEBSOCKET, /* a weft.v1 envelope as a frame */
    WIRE_ENVELOPE_SSE,       /* as an event, as an HTTP/1 chunk */
    WIRE_ENVELOPE,           /* as it is */
    WIRE_OBJECT,             /* a JSON object, as it is */
    WIRE_SOCKETIO,           /* a Socket.IO packet of the namespace "/" */
    WIRE_ENGINEIO,           /* an Engine.IO message (engineio_image_new()) */
    N_WIRES,
} wire;

/** An image that only some subscribers of its wire format share: one compressed as they have agreed to. */
typedef struct topic_variant topic_variant;
struct topic_variant {
    topic_variant *next;
    chunk *image;
    size_t block_bytes; /* for the pool */
    uint32_t variant;
};

/** Messages that follow each other, in one piece that the subscribers of a wire format share. */
struct topic_run {
    uint64_t first, end; /* offsets: of the first one, and behind the last; both 0: there is none */
    size_t data_len;     /* of all their data, without what the format has around it */
    bool excepts;        /* some are not for everybody */
    chunk *image;        /* NULL: they are sent one by one */
};

/** How a carrier has messages joined. */
typedef struct {
    wire format;
    size_t before, behind; /* room around all of them */
    /** What is joined of each: the bytes that the subscribers of the format share; none where there are no such bytes. */
    str (*bytes)(peer *p, topic *t, uint64_t offset);
    void (*finish)(char *joined, size_t len); /* writes into the room on both sides; NULL: nothing to write */
} topic_joint;

/** One message in a ring. */
struct topic_message {
    blob *body;
    uint64_t except;         /* handle of the peer that does not get it */
    chunk *images[N_WIRES];  /* made by the first subscriber of that wire format; dropped when nobody lags */
    topic_variant *variants; /* likewise */
    uint64_t at_ms;          /* the clock when it was published */
    uint64_t serial;         /* reach_next_serial(); 0 with one loop, and on mirrors */
};

typedef struct {
    peer *peer;
    uint64_t next;  /* offset of the next message for it */
    uint32_t place; /* in the peer's subscriptions */
    bool lagging;
    bool gap;      /* it has missed some, and is told before the next one */
    bool resuming; /* it is on its way to what was the head when it came, and is not slow until it was there */
} subscriber;

typedef struct presence presence;
typedef struct mirror mirror;
typedef struct mirror_link mirror_link;
typedef struct reach reach;

struct topic {
    map_entry entry; /* keyed by the name */
    hub *hub;
    mirror *mirror;     /* it is one of a topic that is at home on another loop (mirror.h); NULL: it is at home here */
    mirror_link *links; /* its mirrors on other loops; NULL: none */
    weft_topic_options options;
    uint64_t epoch;       /* 0: a mirror that nothing has come for */
    topic_message *ring;  /* message n is at n & (cap - 1); its number for clients is n + 1 */
    uint32_t cap;         /* a power of two, or 0 */
    uint64_t first, head; /* offsets of the oldest one kept and of the next one */
    uint64_t images_from; /* no message before it has images */
    uint64_t n_images;
    size_t bytes; /* of the messages kept */
    subscriber *subscribers;
    uint32_t n_subscribers, cap_subscribers;
    uint32_t n_lagging;
    uint32_t holds;     /* not freed while positive: somebody up the stack uses it */
    uint64_t lag_floor; /* no lagging subscription stands before this offset */
    uint32_t reached;   /* subscribers below it have all messages before round_head */
    uint32_t n_waiters;
    uint64_t round_head;  /* the head when the unfinished fan-out last began at the first subscriber */
    list_node unfinished; /* in hub->unfinished while a fan-out is due or under way */
    list_node waiters;    /* oldest first */
    list_node waking;     /* in hub->waking while some of them are to be woken */
    list_node idle;       /* in hub->idle while nobody wants it and it keeps nothing */
    uint64_t idle_at_ms;  /* since when nobody wants it, when `idling` */
    uint64_t asked_turn;  /* of the loop, when hub_topic() last gave it away */
    bool idling;
    timer clock;        /* the oldest message grows too old, or the idle topic goes */
    presence *presence; /* NULL: off, or nobody was there yet */
    char name[];
};

enum {
    TOPIC_MAX_NAME_BYTES = 255,
    TOPIC_RING_MESSAGES = 1024,
    TOPIC_RING_BYTES = 4 << 20,
    TOPIC_HISTORY_BYTES = 1 << 20,
    TOPIC_HISTORY_AGE_MS = 300000,
    TOPIC_LINGER_MS = 60000,
    HUB_MAX_TOPICS = 100000,
    HUB_DEFLATE_BUDGET_BYTES = 64 << 20,
    HUB_MAX_SESSIONS = 100000,
    FANOUT_SLICE_US = 2000,
};

typedef struct topic_rule {
    struct topic_rule *next;
    char *pattern;
    weft_topic_options options;
} topic_rule;

/** The requests that Engine.IO sessions are here by, while somebody may ask. */
typedef struct {
    const void *session; /* that is just being set up for this request; NULL: none is */
    const weft_request *request;
    struct engineio_request *given; /* read anew for the program in this turn; NULL for none */
} hub_asking;

/** What is known of the Socket.IO event that a program is being told: name and arguments need no second look when they are sent on. */
typedef struct {
    const weft_socketio_event *told; /* NULL: none is */
    uint64_t peer, ack;              /* that its client waits for, and that was not given yet; 0: none */
} hub_event;

/** The topics and peers of one loop. */
struct hub {
    loop *loop;
    net *net;
    slots *table;
    weft *app;
    reach *reach;                   /* the hubs of the application's other loops (links.h); NULL: there are none */
    uint64_t links_id;              /* which application's notes it takes; 0: nobody's */
    map topics;                     /* those at home here, and mirrors */
    const topic_rule *const *rules; /* the application's; the first that matches counts */
    size_t max_topics;              /* of all loops together */
    uint32_t max_subscriptions;     /* of one peer */
    size_t max_sessions;
    list_node unfinished; /* topics whose fan-out is due, or goes on in the next turn */
    topic *published;     /* the one of them whose fan-out has not begun; NULL: none */
    loop_task fan_out;    /* which begins it */
    list_node waking;     /* topics whose waiters are to be woken */
    list_node idle;       /* topics that nobody wants and that keep nothing, longest unwanted first */
    timer slice;
    timer wake_slice;
    loop_task wake;
    topic_run runs[N_WIRES]; /* of `joined` */
    const topic *joined;     /* the topic that is being served; NULL: there are no runs */
    hub_event event;         /* of Socket.IO, being delivered */
    weft_message received;   /* a WebSocket's, as the program sees it: only kind and data ever change */
    str view;                /* the message being delivered */
    bool view_is_text;       /* it is valid UTF-8: sending it on needs no second look */
    bool view_has_room;      /* the bytes in front of it are free, for the header of one reply */
    /* The setting that a WEFT_E_TOO_LARGE or the next peer_leave() is due to; NULL: none. Who tells it clears it. */
    const char *limit;
    /* Messages that slow subscribers did not get, by policy; for WEFT_SLOW_CLOSE the peers closed. */
    uint64_t dropped[WEFT_SLOW_LATEST + 1];
    uint64_t n_peers;
    peer_queue marked, looking_at; /* looking_at: those whose turn has come */
    loop_task marked_task;
    hub_counts counts;
    map sessions; /* clients without a connection of their own, by id (transport/sessions.h) */
    size_t
        n_connected_sessions; /* of those, the ones that a connection of their own carries: max_sessions is for the others */
    struct engineio_goodbye *goodbyes; /* of sessions that ended between two polls (transport/engineio_poll.c) */
    hub_asking asking;                 /* what weft_peer_request() gives (transport/engineio_request.c) */
    struct poll_memo *polls;           /* the answer that polls of this turn share (transport/poll.c); NULL: none */
    struct deflate_stock
        *deflate;          /* what compressed WebSockets share (transport/websocket_deflate.c); NULL: none yet */
    size_t deflate_budget; /* of the process */
    uint8_t secret[16];    /* that epochs are made with */
    uint64_t n_epochs;
};

/** 0 or -errno. */
int hub_init(hub *h, net *n, slots *table, weft *app, const topic_rule *const *rules);

/** No peer, waiter or awaiter may be left; topics go. Other loops may go on: mirrors of what was at home here are told,
 * as are the homes of mirrors. */
void hub_done(hub *h);

/** What hub_subscribe() and others answer when the topic's home has to be asked first: nothing was done yet. */
enum { HUB_PENDING = 2 };

/** True for 1-255 bytes of UTF-8 without control characters. */
bool topic_name_valid(str name);

/** True for the name of an event: at most 255 bytes of UTF-8 without CR, LF or NUL, which no transport could carry. */
bool topic_event_valid(str event);

/** True when `pattern`, in which `*` stands for any bytes, matches the whole name. */
bool topic_pattern_matches(str pattern, str name);

/** The topic of that name, made if it is not there: 0, WEFT_E_INVALID (the name), WEFT_E_TOO_LARGE (max_topics),
 * -ENOMEM; for a mirror WEFT_E_FULL or WEFT_E_CLOSED (its home's inbox). It stays until the end of this turn at least.
 * A mirror may not be ready for who asks (topic_is_ready() of mirror.h): then it has no place to begin at, and
 * topic_await() says when it has. */
int hub_topic(hub *h, str name, topic **ret_topic);

/** The topic of that name, or NULL; a mirror may not be ready. */
topic *hub_find_topic(const hub *h, str name);

/** The first topic (after == NULL) or the next, in no order, mirrors too; NULL at the end. */
topic *hub_next_topic(const hub *h, const topic *after);

static inline str topic_name(const topic *t)
{
    return t->entry.key;
}

/** A message that the ring keeps: offsets from t->first to below t->head. */
static inline topic_message *topic_message_at(const topic *t, uint64_t offset)
{
    return &t->ring[offset & (t->cap - 1)];
}

/** The cursor of a message. */
static inline cursor topic_cursor_of(const topic *t, uint64_t offset)
{
    return (cursor){t->epoch, offset + 1};
}

/** The cursor after which the message at `next` comes. */
static inline cursor topic_cursor_before(const topic *t, uint64_t next)
{
    return (cursor){t->epoch, next};
}

/** The shared image of a message in a wire format; whoever makes one says so with topic_keep_image(). */
static inline chunk *topic_image(const topic *t, uint64_t offset, wire format)
{
    return topic_message_at(t, offset)->images[format];
}

/** Takes the reference. */
void topic_keep_image(topic *t, uint64_t offset, wire format, chunk *image);

/** The image of a variant, numbered by the transport; NULL when there is none yet. */
static inline chunk *topic_variant_image(const topic *t, uint64_t offset, uint32_t variant)
{
    const topic_variant *one = topic_message_at(t, offset)->variants;
    while (one && one->variant != variant)
        one = one->next;
    return one ? one->image : NULL;
}

/** The messages from `first` to below `end`, joined for the first subscriber that asks. Good until the topic is released. */
const topic_run *topic_join(topic *t, uint64_t first, uint64_t end, const topic_joint *how, peer *p);

/** Takes the reference, on failure too. 0 or -ENOMEM. */
int topic_keep_variant(topic *t, uint64_t offset, uint32_t variant, chunk *image);

/** Where somebody who asks for `from` of a topic that is ready begins: the offset of the next message; *ret_gap when
 * messages in between are gone, or the cursor is foreign. */
uint64_t topic_resume(const topic *t, since from, bool *ret_gap);

/** What came of a subscription. */
typedef struct {
    topic *topic;
    cursor at; /* what follows comes after it */
    bool gap;
} subscribed;

/** Subscribes, and queues nothing yet: hub_serve() does, and the loop does by itself at the end of the turn. Without
 * ret_done the transport is told of a gap. Subscribed already is 0, and changes nothing (ret_done then tells the
 * subscription's own place). On a mirror that is not ready the subscription is pending: without ret_done it is made as
 * soon as it can be, and gets what is published on this loop from now on (a peer whose subscription then fails is
 * closed: 1013, 1001 when the home has ended, aborted without memory); with ret_done the answer is HUB_PENDING, and
 * hub_subscribe_await() goes on. WEFT_E_INVALID (the name), WEFT_E_TOO_LARGE (too many; h->limit names it), -ENOMEM;
 * errors of hub_topic(). */
int hub_subscribe(hub *h, peer *p, str name, since from, subscribed *ret_done);

/** Queues what the peer's lagging subscriptions have asked for, as far as there is room. */
void hub_serve(hub *h, peer *p);

/** One that is pending too. */
void hub_unsubscribe(hub *h, peer *p, str name);
void hub_unsubscribe_all(hub *h, peer *p);

/** Where a message got its place. */
typedef struct {
    cursor at;
    uint32_t n_subscribers; /* waiting polls too; of other loops as they have last told */
} publication;

/** Publishes; takes the reference to the blob, on failure too. ret_done may be NULL, and then a topic that nobody wants
 * and that keeps no history is not made. At home the message is numbered before this returns. Elsewhere it is handed to the home: order holds for each (loop, topic), WEFT_E_FULL and WEFT_E_CLOSED
 * are its inbox's, what fails there is counted there, and ret_done must be NULL: hub_publish_ask() (ask.h) is for who
 * wants to know the place. 0, WEFT_E_INVALID, WEFT_E_TOO_LARGE (max_topics) or -ENOMEM. */
int hub_publish(hub *h, str name, blob *body, uint64_t except, publication *ret_done);

/** What a peer has not got of topics whose fan-out is due or under way. */
void hub_finish_for(peer *p);

/** Before something else is queued to a peer: what was published to it goes first. */
static inline void hub_catch_up(hub *h, peer *p)
{
    if (!list_empty(&h->unfinished))
        hub_finish_for(p);
}

/** True when this is the text that is being delivered, and so known to be valid. */
static inline bool hub_knows_text(const hub *h, str data)
{
    return h->view_is_text && str_same(data, h->view);
}

/** The queue of a peer with lagging subscriptions has room again. */
void hub_serve_lagging(hub *h, peer *p);

/** Who waits for a topic without being a peer: a long poll. Embedded in its owner; zeroed waits for nothing. */
typedef struct waiter waiter;
struct waiter {
    list_node node;
    topic *topic;
    uint64_t next; /* the offset that it waits for */
    /** From the loop, once there is something from `next` on; it waits no longer. */
    void (*wake)(waiter *w);
};

/** Begins to wait at t->head, which must be w->next, for a topic that is ready. */
void topic_wait(topic *t, waiter *w);

/** Not waiting is fine. */
void topic_stop_waiting(waiter *w);

#endif
