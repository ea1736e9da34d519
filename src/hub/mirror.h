/**
 * Mirrors: what a hub keeps of a topic that is at home on another (links.h). A mirror is a topic with the home's epoch
 * and the home's messages under the same numbers, so that subscriptions, polls, resume and images work on it as on any;
 * only its messages come from the home.
 *
 *     loop 2, a mirror                        loop 0, its home
 *     attach(name)        ───────────────▶   remembers the mirror; sends what it keeps
 *     not ready, then     ◀───────────────   messages(epoch, first …): what is kept, then each one that is published,
 *     ready, fans out     ◀───────────────                             before the home's own fan-out
 *     publish(name, blob) ───────────────▶   numbers it, sends it to all mirrors, fans out
 *     count, names        ───────────────▶   the sum of subscribers, the union of names: gathered once a turn
 *     detach(name)        ───────────────▶   forgets the mirror: nobody there has wanted it for MIRROR_LINGER_MS
 *
 * A mirror without room in its inbox is behind: its home goes on from the ring when there is room. What has left the
 * ring by then is a gap on the mirror: its subscribers are treated as slow ones are, by the topic's policy, and polls
 * are told. The same happens when the mirror has no memory for a message.
 *
 * A client may come with a cursor that the mirror has not got to, as it was on another loop before: then the home is
 * asked how far the topic is, and the client waits until the mirror has got there.
 *
 * A mirror that has no answer asks again every MIRROR_ASK_MS, so that nobody awaits a home that has ended. One that
 * loses its home while it is ready goes on with what it has: the application is ending.
 */
#ifndef WEFT_HUB_MIRROR_H
#define WEFT_HUB_MIRROR_H

#include "hub/topic.h"

enum {
    MIRROR_LINGER_MS = 1000,
    MIRROR_ASK_MS = 1000,
};

struct mirror {
    topic *topic;
    uint64_t id;         /* a handle of this loop: what comes for an older mirror of the same name finds nobody */
    uint64_t asked_ms;   /* when the home was asked last */
    uint64_t ready_at;   /* the home's head when it got question n_heard: the answer ends there */
    uint32_t n_asked;    /* questions to the home: how far is the topic? */
    uint32_t n_heard;    /* the question that ready_at is of */
    uint32_t n_answered; /* the last one whose answer has come whole */
    uint32_t told;       /* how many subscribers and polls the home knows of */
    list_node awaiters;  /* oldest first */
    list_node changed;   /* in reach->changed while the home is to be told something */
    uint8_t home;        /* its number */
    bool ready;          /* one has been answered */
    bool orphan;         /* the home has ended */
    bool has_names;      /* the home has said who is there */
    bool asks_names;     /* what the home said of presence found no memory: it is asked to say all again */
};

static inline bool mirror_is_ahead(const topic *t, since from)
{
    return from.from == SINCE_CURSOR && from.at.epoch == t->epoch && from.at.number > t->head;
}

/** True when somebody can begin at `from`, which may be a place that topic_resume() calls a gap. False for a mirror
 * that has not got what its home keeps; and for one that has not got to the cursor: the client may have been on another
 * loop, where a message was that is still on its way here. */
static inline bool topic_is_ready(const topic *t, since from)
{
    return __builtin_expect(!t->mirror, 1) || (t->mirror->ready && (t->mirror->orphan || !mirror_is_ahead(t, from)));
}

/** True when presence_list() knows who is there, on all loops. */
static inline bool topic_has_names(const topic *t)
{
    if (__builtin_expect(!t->mirror, 1) || t->mirror->orphan)
        return true;
    return t->mirror->ready && (!t->options.presence || t->mirror->has_names);
}

/** Who needs a topic that is not ready. Embedded in its owner; zeroed awaits nothing. */
typedef struct awaiter awaiter;
struct awaiter {
    list_node node;
    topic *topic;
    since from;        /* "from now on" becomes a cursor when the home's ring has moved past that meanwhile */
    uint32_t question; /* to the home: its answer settles that a cursor is foreign */
    bool names;        /* set before: it needs to know who is there, too (topic_has_names()) */
    /** From the loop, once; it awaits no longer. 0: `from` can be begun at (whatever topic_is_ready() says: a cursor
     * that is still ahead is foreign), and the topic stays until the end of this turn at least. Else the topic is NULL:
     * WEFT_E_TOO_LARGE (max_topics; h->limit names it), -ENOMEM or WEFT_E_CLOSED (its home has ended). */
    void (*ready)(awaiter *a, topic *t, int error);
};

/** The topic is not ready for `from`, or does not have the names that `a` needs. It stays as long as somebody awaits it. */
void topic_await(topic *t, since from, awaiter *a);

/** Not awaiting is fine. */
void topic_stop_awaiting(awaiter *a);

/** A subscription whose transport wants to know where it begins, and that is pending as the topic is not ready.
 * Embedded in its owner. */
typedef struct subscribing subscribing;
struct subscribing {
    awaiter awaiter;
    list_node node; /* in the peer's */
    peer *peer;
    /** Once, from the loop or from what ends it: 0 and where it begins, as hub_subscribe() says it (the peer may be
     * leaving by now), an error of hub_subscribe() or of an awaiter, or -ECANCELED: the peer has unsubscribed, or
     * leaves. It may be freed by this. */
    void (*done)(subscribing *s, int error, const subscribed *done);
};

/** After hub_subscribe() has answered HUB_PENDING, in the same go: the subscription is made when the topic is ready.
 * Set s->done before. hub_unsubscribe() ends it. 0, WEFT_E_TOO_LARGE (max_subscriptions) or an error of hub_topic();
 * and then done() does not come. */
int hub_subscribe_await(hub *h, peer *p, str name, since from, subscribing *s);

#endif
