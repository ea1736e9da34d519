#include "base/mem.h"
#include "hub/presence.h"
#include "hub/topic_private.h"
#include <errno.h>

/* ----------------------------------------------------------------------------------------------------------
 * subscribing */

static int reserve_subscriber(topic *t)
{
    if (t->n_subscribers < t->cap_subscribers)
        return 0;
    uint32_t cap = t->cap_subscribers ? t->cap_subscribers * 2 : 4;
    subscriber *more = mem_resize(t->subscribers, cap * sizeof *more);
    if (!more)
        return -ENOMEM;
    t->subscribers = more;
    t->cap_subscribers = cap;
    return 0;
}

/* A peer's array has room at 1, 2, 4, 8, … subscriptions. */
static int reserve_subscription(peer *p)
{
    uint32_t n = p->n_subscriptions;
    if (n & (n - 1))
        return 0;
    subscription *more = mem_resize(p->subscriptions, (n ? n * 2 : 1) * sizeof *more);
    if (!more)
        return -ENOMEM;
    p->subscriptions = more;
    return 0;
}

/* The peer's place among the topic's subscribers; false when it has none. */
static bool find_place(const topic *t, const peer *p, uint32_t *ret_place)
{
    for (uint32_t i = 0; i < p->n_subscriptions; i++) {
        if (p->subscriptions[i].topic == t) {
            *ret_place = p->subscriptions[i].place;
            return true;
        }
    }
    return false;
}

static void add_subscriber(topic *t, peer *p, uint64_t next)
{
    t->subscribers[t->n_subscribers] = (subscriber){.peer = p, .next = next, .place = p->n_subscriptions};
    p->subscriptions[p->n_subscriptions++] = (subscription){t, t->n_subscribers++};
    t->hub->counts.n_subscriptions++;
    topic_wanted(t);
    topic_count_changed(t);
}

/* What was asked for from before now is served like a subscription that lags. */
static void begin_at(topic *t, subscriber *s, bool gap)
{
    if (s->next == t->head && !gap)
        return;
    s->gap = gap;
    s->resuming = true;
    subscriber_set_lagging(t, s, true);
    peer_mark(s->peer);
}

/* -------------------------------------------------------------------------------------------------------------
 * pending */

/* A peer's subscriptions whose topics are not ready. */
typedef struct peer_pending {
    list_node subscribings;
    uint32_t n;
} peer_pending;

/* One that nobody wants to hear of. */
typedef struct {
    subscribing base;
} quiet;

static peer_pending *pending_of(const peer *p)
{
    return p->extra ? p->extra->pending : NULL;
}

static peer_pending *make_pending(peer *p)
{
    peer_extra *extra = peer_extra_of(p);
    if (!extra || extra->pending)
        return extra ? extra->pending : NULL;
    extra->pending = mem_zero(sizeof *extra->pending);
    if (extra->pending)
        list_init(&extra->pending->subscribings);
    return extra->pending;
}

static bool may_subscribe(hub *h, const peer *p)
{
    const peer_pending *pending = pending_of(p);
    if (p->n_subscriptions + (pending ? pending->n : 0) < h->max_subscriptions)
        return true;
    h->limit = limit_count(&h->net->limits, LIMIT_SUBSCRIPTIONS);
    return false;
}

/* The first that awaits the topic. */
static subscribing *find_pending(const peer *p, const topic *t)
{
    peer_pending *pending = pending_of(p);
    for (list_node *n = pending ? pending->subscribings.next : NULL; n && n != &pending->subscribings; n = n->next)
        if (CONTAINER(n, subscribing, node)->awaiter.topic == t)
            return CONTAINER(n, subscribing, node);
    return NULL;
}

/* It is no longer the peer's. */
static void unlink_pending(subscribing *s)
{
    peer_extra *extra = s->peer->extra;
    list_remove(&s->node);
    if (--extra->pending->n)
        return;
    mem_free(extra->pending);
    extra->pending = NULL;
}

static void end_pending(subscribing *s)
{
    topic_stop_awaiting(&s->awaiter);
    unlink_pending(s);
    s->done(s, -ECANCELED, NULL);
}

static void end_all_pending(peer *p)
{
    for (peer_pending *pending; (pending = pending_of(p)) != NULL;)
        end_pending(CONTAINER(list_first(&pending->subscribings), subscribing, node));
}

static void pending_ready(awaiter *a, topic *t, int error);
static void quiet_done(subscribing *s, int error, const subscribed *done);

static int add_pending(topic *t, peer *p, since from, subscribing *s)
{
    peer_pending *pending = make_pending(p);
    if (!pending)
        return -ENOMEM;
    s->peer = p;
    s->awaiter.ready = pending_ready;
    pending->n++;
    list_append(&pending->subscribings, &s->node);
    topic_await(t, from, &s->awaiter);
    return 0;
}

static int subscribe_quietly(topic *t, peer *p, since from)
{
    quiet *q = mem_zero(sizeof *q);
    if (!q)
        return -ENOMEM;
    q->base.done = quiet_done;
    int error = add_pending(t, p, from, &q->base);
    if (error)
        mem_free(q);
    return error;
}

/* To a topic that is ready. */
static int subscribe_to(topic *t, peer *p, since from, subscribed *ret_done)
{
    hub *h = t->hub;
    bool gap;
    if (reserve_subscriber(t) || reserve_subscription(p))
        return -ENOMEM;
    uint64_t next = topic_resume(t, from, &gap);
    if (from.from == SINCE_NOW && !ret_done && p->ops->begin && p->ops->begin(p, t, next))
        return -ENOMEM;
    int error = presence_join(t, p);
    if (error)
        return error;
    h->counts.resumes[from.from == SINCE_NOW ? RESUME_NEW : gap ? RESUME_GAP : RESUME_FULL]++;
    add_subscriber(t, p, next);
    begin_at(t, &t->subscribers[t->n_subscribers - 1], gap && !ret_done);
    if (ret_done)
        *ret_done = (subscribed){t, topic_cursor_before(t, next), gap};
    return 0;
}

/* True for a peer that is subscribed already; where it stands is told. */
static bool find_subscribed(topic *t, const peer *p, subscribed *ret_done)
{
    uint32_t place;
    if (!find_place(t, p, &place))
        return false;
    if (ret_done)
        *ret_done = (subscribed){t, topic_cursor_before(t, t->subscribers[place].next), false};
    return true;
}

int hub_subscribe(hub *h, peer *p, str name, since from, subscribed *ret_done)
{
    topic *t = hub_find_topic(h, name);
    if (t && find_subscribed(t, p, ret_done))
        return 0;
    if (!may_subscribe(h, p))
        return WEFT_E_TOO_LARGE;
    int error = hub_topic(h, name, &t);
    if (error)
        return error;
    if (find_pending(p, t)) /* which changes nothing either */
        return ret_done ? HUB_PENDING : 0;
    if (topic_is_ready(t, from))
        return subscribe_to(t, p, from, ret_done);
    return ret_done ? HUB_PENDING : subscribe_quietly(t, p, from);
}

int hub_subscribe_await(hub *h, peer *p, str name, since from, subscribing *s)
{
    topic *t;
    if (!may_subscribe(h, p))
        return WEFT_E_TOO_LARGE;
    int error = hub_topic(h, name, &t);
    if (error)
        return error;
    const subscribing *first = find_pending(p, t); /* whose place it will have */
    return add_pending(t, p, first ? first->awaiter.from : from, s);
}

static void pending_ready(awaiter *a, topic *t, int error)
{
    subscribing *s = CONTAINER(a, subscribing, awaiter);
    peer *p = s->peer;
    subscribed done = {0};
    unlink_pending(s);
    subscribed *ret_done = s->done == quiet_done ? NULL : &done;
    if (!error && !find_subscribed(t, p, ret_done))
        error = subscribe_to(t, p, a->from, ret_done);
    s->done(s, error, error ? NULL : &done);
}

/* The program was told 0, or the client expects it: it cannot go on without. */
static void quiet_done(subscribing *s, int error, const subscribed *done)
{
    peer *p = s->peer;
    (void)done;
    mem_free(CONTAINER(s, quiet, base));
    if (!error || error == -ECANCELED || p->leaving)
        return;
    if (error == WEFT_E_TOO_LARGE)
        peer_close(p, 1013, STR("the server has no room for the topic"));
    else if (error == WEFT_E_CLOSED)
        peer_close(p, 1001, STR("the server is going away"));
    else
        peer_abort(p);
}

/* --------------------------------------------------------------------------------------------------------
 * unsubscribing */

static void move_subscriber(topic *t, uint32_t from, uint32_t to)
{
    subscriber *s = &t->subscribers[to];
    *s = t->subscribers[from];
    s->peer->subscriptions[s->place].place = to;
}

/* Those that a fan-out under way has reached stay in front of those that it has not; so it is two moves, and never a
 * delivery, which could end another peer while this one is ending. */
static void unsubscribe_place(topic *t, uint32_t place)
{
    subscriber *s = &t->subscribers[place];
    peer *p = s->peer;
    subscriber_set_lagging(t, s, false);
    presence_leave(t, p);
    t->hub->counts.n_subscriptions--;
    topic_count_changed(t);

    subscription *mine = &p->subscriptions[s->place], *my_last = &p->subscriptions[--p->n_subscriptions];
    *mine = *my_last;
    mine->topic->subscribers[mine->place].place = s->place;

    if (place < t->reached) {
        if (place != --t->reached)
            move_subscriber(t, t->reached, place);
        place = t->reached;
    }
    if (place != --t->n_subscribers)
        move_subscriber(t, t->n_subscribers, place);
}

void hub_unsubscribe(hub *h, peer *p, str name)
{
    uint32_t place;
    hub_catch_up(h, p); /* what was published while it was subscribed is still for it */
    topic *t = hub_find_topic(h, name);
    if (!t)
        return;
    for (subscribing *s; (s = find_pending(p, t)) != NULL;)
        end_pending(s);
    if (!find_place(t, p, &place))
        return;
    topic_hold(t);
    unsubscribe_place(t, place);
    topic_release(t);
}

void hub_unsubscribe_all(hub *h, peer *p)
{
    (void)h;
    end_all_pending(p);
    while (p->n_subscriptions) {
        subscription last = p->subscriptions[p->n_subscriptions - 1];
        topic_hold(last.topic);
        unsubscribe_place(last.topic, last.place);
        topic_release(last.topic);
    }
    mem_free(p->subscriptions);
    p->subscriptions = NULL;
}
