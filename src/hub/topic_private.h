/**
 * A topic as its files see it: topic.c lives and looks up, subscribe.c takes and ends subscriptions, ring.c keeps messages, fanout.c queues them to peers,
 * waiters.c wakes polls.
 */
#ifndef WEFT_HUB_TOPIC_PRIVATE_H
#define WEFT_HUB_TOPIC_PRIVATE_H

#include "hub/mirror.h"

/* topic.c */

/** Whatever queues to peers may close some and so end their subscriptions: it holds the topic meanwhile. */
static inline topic *topic_hold(topic *t)
{
    t->holds++;
    return t;
}

/** Lets go: drops what nobody needs, and a topic that nobody wants becomes idle. */
void topic_release(topic *t);

/** Somebody wants it. */
void topic_wanted(topic *t);

/** Arms the topic's clock for what is due first, unless it fires before that: it looks again then. */
void topic_set_clock(topic *t);

/** True when topics of that name keep history. */
bool hub_keeps_history(const hub *h, str name);

/** Nobody may use it, want it, or wait for it. */
void topic_free(topic *t);

/** How many subscribers and polls it has has changed: the home of a mirror is to know. */
void topic_count_changed(topic *t);

/* run.c */

/** Drops what was joined of the topic that is being served. */
void runs_drop(hub *h);

/* ring.c */

size_t ring_message_bytes(const blob *body);

/** Takes the reference to the blob. 0 or -ENOMEM, and then it does not. */
int ring_append(topic *t, blob *body, uint64_t except, uint64_t at_ms);

void ring_drop_first(topic *t);

/** Drops everything, and goes on at an offset beyond. */
void ring_jump(topic *t, uint64_t next);

/** Drops what neither history nor a subscription needs, and images that nobody will ask for again soon. */
void ring_trim(topic *t);

/** When the oldest message grows too old; UINT64_MAX: never, or not while somebody has yet to get it. */
uint64_t ring_expires_ms(const topic *t);

/** Drops everything. */
void ring_free(topic *t);

/* fanout.c */

static inline bool topic_is_unfinished(const topic *t)
{
    return list_linked(&t->unfinished);
}

/** Everybody has what was published, or nobody is there. */
static inline void topic_set_finished(topic *t)
{
    list_remove(&t->unfinished);
    if (t->hub->published == t)
        t->hub->published = NULL;
}

void subscriber_set_lagging(topic *t, subscriber *s, bool lagging);

/** Takes the reference to the blob on success; the topic is held. 0 or -ENOMEM, and then nobody gets it. */
int fanout_append(topic *t, blob *body, uint64_t except, uint64_t at_ms);

/** On a mirror, which is held: all before `next` that it has not got is lost, and with it what it keeps. */
void fanout_lose(topic *t, uint64_t next);

/** The task of hub->fan_out. */
void fanout_begin(loop_task *task);

/** The timer of hub->slice. */
void fanout_next_slice(timer *clock);

/* waiters.c */

/** Something was published: whoever waits is woken at the end of the turn. */
void waiters_note(topic *t);

/** The task of hub->wake. */
void waiters_wake(loop_task *task);

#endif
