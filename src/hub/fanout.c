#include "base/mem.h"
#include "hub/ask.h"
#include "hub/mirror_private.h"
#include <assert.h>

enum {
    CLOCK_EVERY = 256,       /* subscribers between two looks at the clock */
    MANY_SUBSCRIPTIONS = 16, /* of a peer: looking at each costs as much as beginning the fan-out that is due */
};

static bool has_room(const peer *p, size_t limit)
{
    return p->ops->queued(p) < limit;
}

void subscriber_set_lagging(topic *t, subscriber *s, bool lagging)
{
    if (s->lagging == lagging)
        return;
    s->lagging = lagging;
    t->n_lagging += lagging ? 1 : -1u;
    s->peer->n_lagging = (uint16_t)(s->peer->n_lagging + (lagging ? 1 : -1));
    if (lagging && (t->n_lagging == 1 || s->next < t->lag_floor))
        t->lag_floor = s->next;
}

static void count_dropped(topic *t, subscriber *s, uint64_t n)
{
    t->hub->dropped[t->options.slow] += n;
    s->gap = true;
}

/* Counts what the subscriber misses: of what has left the ring, all; of the rest what was meant for it. */
static void skip_to(topic *t, subscriber *s, uint64_t next)
{
    if (s->next < t->first && s->next < next) {
        uint64_t gone = t->first < next ? t->first : next;
        count_dropped(t, s, gone - s->next);
        s->next = gone;
    }
    for (; s->next < next; s->next++)
        if (topic_message_at(t, s->next)->except != s->peer->id)
            count_dropped(t, s, 1);
}

/* The peer's queue is full. One that gets what came before it keeps its place, whatever the policy. */
static void fall_behind(topic *t, subscriber *s)
{
    if (t->options.slow == WEFT_SLOW_DROP_NEW && !s->resuming) {
        skip_to(t, s, t->head);
        return;
    }
    subscriber_set_lagging(t, s, true);
    s->peer->ops->notify(s->peer);
}

/* 0 or -ENOMEM. */
static int tell_gap(topic *t, subscriber *s)
{
    peer *p = s->peer;
    s->gap = false;
    return p->ops->gap ? p->ops->gap(p, t, s->next) : 0;
}

/* False when the peer is gone: it had no memory, or its transport ended it. What stands at `s` is another then. */
static bool deliver(topic *t, subscriber *s)
{
    peer *p = s->peer;
    uint64_t offset = s->next;
    int error = s->gap ? tell_gap(t, s) : 0;
    if (!error && !p->leaving)
        error = p->ops->deliver(p, t, offset);
    if (error)
        peer_abort(p);
    if (p->leaving)
        return false;
    size_t len = topic_message_at(t, offset)->body->data_len;
    peer_count_out(p, 1, len);
    return true;
}

static bool leaves_out(const topic *t, const topic_run *run, const peer *p)
{
    for (uint64_t offset = run->first; offset < run->end; offset++)
        if (topic_message_at(t, offset)->except == p->id)
            return true;
    return false;
}

/* Gives a subscriber that has kept up several messages in one piece, when it may have them so. False when the peer is gone: it had no memory. */
static __attribute__((noinline)) bool deliver_run(topic *t, subscriber *s, size_t limit)
{
    peer *p = s->peer;
    if (s->lagging || s->gap || p->leaving || !p->ops->run)
        return true;
    const topic_run *run = p->ops->run(p, t, s->next, t->head);
    if (!run || !run->image || p->ops->queued(p) + run->image->len > limit || (run->excepts && leaves_out(t, run, p)))
        return true;
    if (p->ops->deliver_run(p, run)) {
        peer_abort(p);
        return false;
    }
    peer_count_out(p, (uint32_t)(run->end - run->first), run->data_len);
    s->next = run->end;
    return true;
}

/* Where a subscriber stands after a delivery: that of a bridge (transport/socketio_bridge.c) may have ended others, whose places were filled. */
static subscriber *place_of(topic *t, uint32_t place, const peer *p)
{
    if (__builtin_expect(place < t->n_subscribers && t->subscribers[place].peer == p, 1))
        return &t->subscribers[place];
    uint32_t i = 0;
    while (p->subscriptions[i].topic != t)
        i++;
    return &t->subscribers[p->subscriptions[i].place];
}

/* Queues what the subscriber has not got, as far as its queue takes it. The subscriber may be gone afterwards. */
static void serve(topic *t, uint32_t place, size_t limit)
{
    subscriber *s = &t->subscribers[place];
    peer *p = s->peer;
    if (t->head - s->next > 1 && !deliver_run(t, s, limit))
        return;
    for (; s->next < t->head; s->next++) {
        if (topic_message_at(t, s->next)->except == p->id)
            continue;
        if (!has_room(p, limit))
            break;
        if (!deliver(t, s))
            return;
        s = place_of(t, place, p);
    }
    if (s->next < t->head) {
        fall_behind(t, s);
        return;
    }
    subscriber_set_lagging(t, s, false);
    s->resuming = false;
    if (s->gap && has_room(p, limit) && tell_gap(t, s))
        peer_abort(p);
}

/* The newest message from an offset on that is for this peer; the offset when there is none. */
static uint64_t newest_for(const topic *t, const peer *p, uint64_t from)
{
    for (uint64_t offset = t->head; offset-- > from;)
        if (topic_message_at(t, offset)->except != p->id)
            return offset;
    return from;
}

/* What a subscription that lags goes on with: it may have fallen out of the ring, as one that resumes may too. */
static void rejoin(topic *t, subscriber *s)
{
    uint64_t next = s->next > t->first ? s->next : t->first;
    if (t->options.slow == WEFT_SLOW_LATEST && !s->resuming)
        next = newest_for(t, s->peer, next);
    skip_to(t, s, next);
}

/* ------------------------------------------------------------------------------------------------------------ fan-out */

static void prefetch_peer(const topic *t, uint32_t place)
{
    if (place < t->n_subscribers)
        __builtin_prefetch(t->subscribers[place].peer);
}

/* True while the fan-out has somebody to reach. What was published since it began makes another round. */
static bool more_to_reach(topic *t)
{
    if (t->reached < t->n_subscribers)
        return true;
    if (t->round_head == t->head)
        return false;
    t->round_head = t->head;
    t->reached = 0;
    return t->n_subscribers > 0;
}

/* Goes on from t->reached; stops at the end of the slice unless told to go through. */
static void fan_out(topic *t, bool whole)
{
    uint64_t end_us = 0;
    uint32_t n = 0;
    topic_hold(t);
    if (t->hub->published == t) {
        t->hub->published = NULL;
        t->round_head = t->head;
    }
    while (more_to_reach(t)) {
        uint32_t place = t->reached;
        peer *p = t->subscribers[place].peer;
        prefetch_peer(t, place + 8);
        if (!t->subscribers[place].lagging)
            serve(t, place, p->rules->max_queued_bytes);
        if (t->reached < t->n_subscribers && t->subscribers[t->reached].peer == p)
            t->reached++;
        if (whole || ++n % CLOCK_EVERY)
            continue;
        uint64_t now_us = loop_clock_us();
        if (!end_us) {
            end_us = now_us + FANOUT_SLICE_US;
        } else if (now_us >= end_us) {
            break;
        }
    }
    hub *h = t->hub; /* not kept through the loop, which is short of registers */
    topic_set_finished(t);
    if (more_to_reach(t))
        list_append(&h->unfinished, &t->unfinished); /* behind the others, so that each gets its slice */
    if (topic_is_unfinished(t) && !timer_armed(&h->slice))
        loop_arm(h->loop, &h->slice, 0, fanout_next_slice);
    topic_release(t);
}

void fanout_next_slice(timer *clock)
{
    hub *h = CONTAINER(clock, hub, slice);
    list_node *node = list_first(&h->unfinished);
    if (node)
        fan_out(CONTAINER(node, topic, unfinished), false);
    if (!list_empty(&h->unfinished) && !timer_armed(clock))
        loop_arm(h->loop, clock, 0, fanout_next_slice);
}

/* The oldest message has to go: subscriptions that still need it and must not lose any are closed with their peers. */
static void close_fallen(topic *t)
{
    uint64_t floor = t->head;
    for (uint32_t i = 0; i < t->n_subscribers;) {
        subscriber *s = &t->subscribers[i];
        peer *p = s->peer;
        if (s->lagging && s->next <= t->first) {
            t->hub->limit = limit_count(&t->hub->net->limits, LIMIT_RING);
            t->hub->dropped[WEFT_SLOW_CLOSE]++;
            peer_close(p, 1013, STR("too slow for a topic"));
            if (i < t->n_subscribers && t->subscribers[i].peer == p)
                i++;
            continue;
        }
        if (s->lagging && s->next < floor)
            floor = s->next;
        i++;
    }
    t->lag_floor = floor;
}

static void make_room(topic *t, size_t bytes)
{
    const weft_topic_options *o = &t->options;
    bool closes = o->slow == WEFT_SLOW_CLOSE;
    while (t->first < t->head && (t->head - t->first >= o->ring_messages || t->bytes + bytes > o->ring_bytes)) {
        if (topic_is_unfinished(t))
            fan_out(t, true);
        if (closes && t->n_lagging && t->lag_floor <= t->first)
            close_fallen(t);
        if (t->first < t->head)
            ring_drop_first(t);
    }
}

static void begin_published(hub *h)
{
    if (h->published)
        fan_out(h->published, false);
}

void fanout_begin(loop_task *task)
{
    begin_published(CONTAINER(task, hub, fan_out));
}

/* Before something happens to this topic: order over topics is the program's. */
static void begin_other(const topic *t)
{
    if (t->hub->published != t)
        begin_published(t->hub);
}

/* At the end of the turn, or before something is published to another topic, whichever comes first. */
static void fan_out_soon(topic *t)
{
    hub *h = t->hub;
    t->reached = 0;
    list_append(&h->unfinished, &t->unfinished);
    h->published = t;
    loop_defer_first(h->loop, &h->fan_out);
}

int fanout_append(topic *t, blob *body, uint64_t except, uint64_t at_ms)
{
    begin_other(t);
    make_room(t, ring_message_bytes(body));
    int error = ring_append(t, body, except, at_ms);
    if (error)
        return error;
    if (__builtin_expect(t->links != NULL, 0))
        home_send(t); /* first: other loops fan out meanwhile */
    waiters_note(t);
    if (!topic_is_unfinished(t) && t->n_subscribers)
        fan_out_soon(t);
    return 0;
}

/* Nobody here may miss a message. */
static void close_subscribers(topic *t)
{
    hub *h = t->hub;
    while (t->n_subscribers) {
        h->limit = limit_count(&h->net->limits, LIMIT_RING);
        h->dropped[WEFT_SLOW_CLOSE]++;
        peer_close(t->subscribers[0].peer, 1013, STR("too slow for a topic"));
    }
}

void fanout_lose(topic *t, uint64_t next)
{
    t->hub->counts.n_mirror_gaps += next - t->head;
    begin_other(t);
    if (topic_is_unfinished(t))
        fan_out(t, true);
    if (t->options.slow == WEFT_SLOW_CLOSE)
        close_subscribers(t);
    ring_jump(t, next);
    for (uint32_t i = 0; i < t->n_subscribers;) {
        peer *p = t->subscribers[i].peer;
        skip_to(t, &t->subscribers[i], next);
        serve(t, i, p->rules->max_queued_bytes); /* there may be no next message to tell it with */
        if (i < t->n_subscribers && t->subscribers[i].peer == p)
            i++;
    }
    waiters_note(t);
}

/* Nobody is told but the program, and the log. */
static void tell_refusal(hub *h)
{
    net *n = h->net;
    if (h->limit && log_wanted(n->log) && limit_tell(&n->limits, LIMIT_TOPICS, n->loop->now_ms))
        log_line(n->log, WEFT_LOG_INFO, "event=limit limit=\"%s\"", h->limit);
    h->limit = NULL;
}

int hub_publish(hub *h, str name, blob *body, uint64_t except, publication *ret_done)
{
    topic *t = hub_find_topic(h, name);
    int error = 0;
    if (t ? __builtin_expect(t->mirror != NULL, 0) : hub_is_away(h, name)) {
        assert(!ret_done);
        return hub_links_publish(h->reach->links, &h->loop->blocks, name, body, except);
    }
    if (ret_done || (!t && hub_keeps_history(h, name)))
        error = hub_topic(h, name, &t);
    if (!t) {
        if (!ret_done)
            tell_refusal(h);
        blob_unref(&h->loop->blocks, body);
        h->counts.n_published += !error;
        return error;
    }
    topic_hold(t);
    error = fanout_append(t, body, except, h->loop->now_ms);
    h->counts.n_published += !error;
    if (error)
        blob_unref(&h->loop->blocks, body);
    else if (ret_done)
        *ret_done = (publication){topic_cursor_before(t, t->head), t->n_subscribers + t->n_waiters + home_count(t)};
    topic_release(t);
    return error;
}

/* Rooms are subscribed to topics for their sockets (transport/socketio_bridge.c). */
static bool is_in_rooms(const peer *p)
{
    return p->ops->transport == WEFT_TRANSPORT_SOCKETIO;
}

void hub_finish_for(peer *p)
{
    if (p->n_subscriptions > MANY_SUBSCRIPTIONS || is_in_rooms(p))
        begin_published(p->hub);
    for (uint32_t i = 0; i < p->n_subscriptions && !p->leaving; i++) {
        topic *t = topic_hold(p->subscriptions[i].topic);
        uint32_t place = p->subscriptions[i].place;
        if (topic_is_unfinished(t) && !t->subscribers[place].lagging)
            serve(t, place, p->rules->max_queued_bytes);
        topic_release(t);
    }
}

void hub_serve(hub *h, peer *p)
{
    if (p->n_lagging)
        hub_serve_lagging(h, p);
}

void hub_serve_lagging(hub *h, peer *p)
{
    (void)h;
    size_t limit = p->rules->max_queued_bytes < PEER_LAG_BYTES ? p->rules->max_queued_bytes : PEER_LAG_BYTES;
    uint32_t n = p->n_subscriptions, start = p->extra ? p->extra->lag_turn : 0;
    for (uint32_t i = 0; i < n && !p->leaving; i++) {
        const subscription *s = &p->subscriptions[(start + i) % n];
        topic *t = topic_hold(s->topic);
        if (t->subscribers[s->place].lagging && has_room(p, limit)) {
            if (n > 1 && peer_extra_of(p)) /* without memory the first ones have to do */
                p->extra->lag_turn = (uint16_t)((start + i) % n + 1);
            rejoin(t, &t->subscribers[s->place]);
            serve(t, s->place, limit);
        }
        topic_release(t);
    }
    if (!p->leaving && p->n_lagging)
        p->ops->notify(p);
}
