/**
 * Topics: a ring of messages with an offset each, and subscriptions that are offsets into it.
 *
 * Publishing appends to the ring and at once queues to every subscriber, so that program order holds. A large fan-out runs in slices: what is not
 * reached within FANOUT_SLICE_US goes on in the next turn, and until then a peer that something else is sent to catches up first. A peer whose
 * queue is at its limit lags: it keeps its offset and is served from the ring as its queue drains. What no subscription needs any more leaves the
 * ring.
 */
#ifndef WEFT_HUB_TOPIC_H
#define WEFT_HUB_TOPIC_H

#include "base/blob.h"
#include "base/chunk.h"
#include "base/map.h"
#include "hub/peer.h"
#include "net/net.h"

/** The wire formats that a message is encoded for once, however many subscribers share it. */
typedef enum {
    WIRE_WEBSOCKET,
    N_WIRES,
} wire;

/** One message in a ring. */
struct topic_message {
    blob *body;
    uint64_t except;        /* handle of the peer that does not get it */
    chunk *images[N_WIRES]; /* made by the first subscriber of that wire format */
};

typedef struct {
    peer *peer;
    uint64_t next;  /* offset of the next message for it */
    uint32_t place; /* in the peer's subscriptions */
    bool lagging;
} subscriber;

struct topic {
    map_entry entry; /* keyed by the name */
    hub *hub;
    weft_topic_options options;
    topic_message *ring;  /* message n is at n & (cap - 1) */
    uint32_t cap;         /* a power of two, or 0 */
    uint64_t first, head; /* offsets of the oldest one kept and of the next one */
    size_t bytes;         /* of the messages kept */
    subscriber *subscribers;
    uint32_t n_subscribers, cap_subscribers;
    uint32_t n_lagging;
    uint32_t holds;       /* not freed while positive: somebody up the stack uses it */
    uint64_t lag_floor;   /* no lagging subscription stands before this offset */
    uint32_t reached;     /* subscribers below it have all messages before round_head */
    uint64_t round_head;  /* the head when the unfinished fan-out last began at the first subscriber */
    list_node unfinished; /* in hub->unfinished while a fan-out is under way */
    char name[];
};

enum {
    TOPIC_MAX_NAME_BYTES = 255,
    TOPIC_RING_MESSAGES = 1024,
    TOPIC_RING_BYTES = 4 << 20,
    FANOUT_SLICE_US = 2000,
};

typedef struct topic_rule {
    struct topic_rule *next;
    char *pattern;
    weft_topic_options options;
} topic_rule;

/** The topics and peers of one loop. */
struct hub {
    loop *loop;
    net *net;
    slots *table;
    weft *app;
    map topics;
    const topic_rule *const *rules; /* the application's; the first that matches counts */
    list_node unfinished;           /* topics whose fan-out goes on in the next turn */
    timer slice;
    str view;           /* the message being delivered */
    bool view_is_text;  /* it is valid UTF-8: sending it on needs no second look */
    bool view_has_room; /* the bytes in front of it are free, for the header of one reply */
    const char *limit;  /* the setting that the next peer_leave() is due to; NULL: none */
    uint64_t dropped;   /* messages that a slow subscriber did not get */
    uint64_t n_peers;
};

/** 0 or -errno. */
int hub_init(hub *h, net *n, slots *table, weft *app, const topic_rule *const *rules);

/** No peer may be left. */
void hub_done(hub *h);

/** True for 1-255 bytes of UTF-8 without control characters. */
bool topic_name_valid(str name);

/** True when `pattern`, in which `*` stands for any bytes, matches the whole name. */
bool topic_pattern_matches(str pattern, str name);

/** 0, WEFT_E_INVALID (the name), WEFT_E_TOO_LARGE (too many), -ENOMEM. Subscribed already is 0. */
int hub_subscribe(hub *h, peer *p, str name);
void hub_unsubscribe(hub *h, peer *p, str name);
void hub_unsubscribe_all(hub *h, peer *p);

/** Publishes to the subscribers of this loop; takes the reference to the blob, on failure too. 0 or -ENOMEM. */
int hub_publish(hub *h, str name, blob *body, uint64_t except);

/** Before something else is queued to a peer: what was published to it goes first. */
void hub_catch_up(hub *h, peer *p);

/** True when this is the text that is being delivered, and so known to be valid. */
static inline bool hub_knows_text(const hub *h, str data)
{
    return h->view_is_text && str_same(data, h->view);
}

/** The queue of a peer with lagging subscriptions has room again. */
void hub_serve_lagging(hub *h, peer *p);

#endif
