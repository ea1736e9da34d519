#include "hub/topic.h"

#include "base/mem.h"
#include "base/utf8.h"
#include <errno.h>
#include <time.h>

enum { CLOCK_EVERY = 256 }; /* subscribers between two looks at the clock */

/* ----------------------------------------------------------------------------------------------------------- the ring */

static topic_message *message_at(const topic *t, uint64_t offset)
{
    return &t->ring[offset & (t->cap - 1)];
}

static size_t message_bytes(const blob *body)
{
    return sizeof *body + body->event_len + body->data_len;
}

static void ring_drop_first(topic *t)
{
    pool *blocks = &t->hub->loop->blocks;
    topic_message *message = message_at(t, t->first++);
    t->bytes -= message_bytes(message->body);
    for (int i = 0; i < N_WIRES; i++)
        chunk_unref(blocks, message->images[i]);
    blob_unref(blocks, message->body);
}

static int ring_grow(topic *t)
{
    uint32_t cap = t->cap ? t->cap * 2 : 4;
    topic_message *ring = mem_new(cap * sizeof *ring);
    if (!ring)
        return -ENOMEM;
    for (uint64_t i = t->first; i < t->head; i++)
        ring[i & (cap - 1)] = *message_at(t, i);
    mem_free(t->ring);
    t->ring = ring;
    t->cap = cap;
    return 0;
}

/* ------------------------------------------------------------------------------------------------------- subscribers */

static bool is_unfinished(const topic *t)
{
    return list_linked(&t->unfinished);
}

static bool has_room(const peer *p, size_t limit)
{
    return p->ops->queued(p) < limit;
}

static void set_lagging(topic *t, subscriber *s, bool lagging)
{
    if (s->lagging == lagging)
        return;
    s->lagging = lagging;
    t->n_lagging += lagging ? 1 : -1u;
    s->peer->n_lagging = (uint16_t)(s->peer->n_lagging + (lagging ? 1 : -1));
    if (lagging && (t->n_lagging == 1 || s->next < t->lag_floor))
        t->lag_floor = s->next;
}

/* Counts what the subscriber misses: of what has left the ring, all; of the rest what was meant for it. */
static void skip_to(topic *t, subscriber *s, uint64_t next)
{
    if (s->next < t->first && s->next < next) {
        uint64_t gone = t->first < next ? t->first : next;
        t->hub->dropped += gone - s->next;
        s->next = gone;
    }
    for (; s->next < next; s->next++)
        if (message_at(t, s->next)->except != s->peer->id)
            t->hub->dropped++;
}

/* The peer's queue is full. */
static void fall_behind(topic *t, subscriber *s)
{
    if (t->options.slow == WEFT_SLOW_DROP_NEW) {
        skip_to(t, s, t->head);
        return;
    }
    set_lagging(t, s, true);
    s->peer->ops->notify(s->peer);
}

/* Queues what the subscriber has not got, as far as its queue takes it. The subscriber may be gone afterwards. */
static void serve(topic *t, uint32_t place, size_t limit)
{
    subscriber *s = &t->subscribers[place];
    peer *p = s->peer;
    for (; s->next < t->head; s->next++) {
        topic_message *message = message_at(t, s->next);
        if (message->except == p->id)
            continue;
        if (!has_room(p, limit))
            break;
        if (p->ops->deliver(p, message)) {
            peer_abort(p);
            return;
        }
        p->messages_out++;
        p->bytes_out += message->body->data_len;
    }
    if (s->next == t->head)
        set_lagging(t, s, false);
    else
        fall_behind(t, s);
}

/* The newest message from an offset on that is for this peer; the offset when there is none. */
static uint64_t newest_for(const topic *t, const peer *p, uint64_t from)
{
    for (uint64_t offset = t->head; offset-- > from;)
        if (message_at(t, offset)->except != p->id)
            return offset;
    return from;
}

/* What a subscription that lags goes on with: it may have fallen out of the ring. */
static void rejoin(topic *t, subscriber *s)
{
    uint64_t next = s->next > t->first ? s->next : t->first;
    if (t->options.slow == WEFT_SLOW_LATEST)
        next = newest_for(t, s->peer, next);
    skip_to(t, s, next);
}

static void move_subscriber(topic *t, uint32_t from, uint32_t to)
{
    subscriber *s = &t->subscribers[to];
    *s = t->subscribers[from];
    s->peer->subscriptions[s->place].place = to;
}

/* Those that a fan-out under way has reached stay in front of those that it has not; so it is two moves, and never a delivery, which could end
 * another peer while this one is ending. */
static void unsubscribe_place(topic *t, uint32_t place)
{
    subscriber *s = &t->subscribers[place];
    peer *p = s->peer;
    set_lagging(t, s, false);

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

/* Frees what no subscription needs: all of it, unless somebody lags or a fan-out is under way. */
static void trim(topic *t)
{
    if (t->n_lagging || is_unfinished(t))
        return;
    while (t->first < t->head)
        ring_drop_first(t);
}

static void topic_free(topic *t)
{
    list_remove(&t->unfinished);
    while (t->first < t->head)
        ring_drop_first(t);
    mem_free(t->ring);
    mem_free(t->subscribers);
    mem_free(t);
}

/* Whatever queues to peers may close some and so end their subscriptions: it holds the topic meanwhile. */
static topic *hold(topic *t)
{
    t->holds++;
    return t;
}

/* A topic that nobody holds or subscribes to is gone. */
static void release(topic *t)
{
    if (--t->holds)
        return;
    trim(t);
    if (t->n_subscribers)
        return;
    map_remove(&t->hub->topics, &t->entry);
    topic_free(t);
}

/* ------------------------------------------------------------------------------------------------------------ fan-out */

static uint64_t clock_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static void next_slice(timer *clock);

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
    hub *h = t->hub;
    uint64_t end_us = 0;
    uint32_t n = 0;
    hold(t);
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
        uint64_t now_us = clock_us();
        if (!end_us) {
            end_us = now_us + FANOUT_SLICE_US;
        } else if (now_us >= end_us) {
            break;
        }
    }
    list_remove(&t->unfinished);
    if (more_to_reach(t))
        list_append(&h->unfinished, &t->unfinished); /* behind the others, so that each gets its slice */
    if (is_unfinished(t) && !timer_armed(&h->slice))
        loop_arm(h->loop, &h->slice, 0, next_slice);
    release(t);
}

static void next_slice(timer *clock)
{
    hub *h = CONTAINER(clock, hub, slice);
    list_node *node = list_first(&h->unfinished);
    if (node)
        fan_out(CONTAINER(node, topic, unfinished), false);
    if (!list_empty(&h->unfinished) && !timer_armed(clock))
        loop_arm(h->loop, clock, 0, next_slice);
}

/* The oldest message has to go: subscriptions that still need it and must not lose any are closed with their peers. */
static void close_fallen(topic *t)
{
    uint64_t floor = t->head;
    for (uint32_t i = 0; i < t->n_subscribers;) {
        subscriber *s = &t->subscribers[i];
        peer *p = s->peer;
        if (s->lagging && s->next <= t->first) {
            t->hub->limit = "ring_messages, ring_bytes";
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
        if (is_unfinished(t))
            fan_out(t, true);
        if (closes && t->n_lagging && t->lag_floor <= t->first)
            close_fallen(t);
        if (t->first < t->head)
            ring_drop_first(t);
    }
}

static int ring_append(topic *t, blob *body, uint64_t except)
{
    if (t->head - t->first == t->cap && ring_grow(t))
        return -ENOMEM;
    *message_at(t, t->head++) = (topic_message){.body = body, .except = except};
    t->bytes += message_bytes(body);
    return 0;
}

int hub_publish(hub *h, str name, blob *body, uint64_t except)
{
    map_entry *entry = map_get(&h->topics, name);
    if (!entry) {
        blob_unref(&h->loop->blocks, body);
        return 0;
    }
    topic *t = hold(CONTAINER(entry, topic, entry));
    make_room(t, message_bytes(body));
    int error = ring_append(t, body, except);
    if (error) {
        blob_unref(&h->loop->blocks, body);
    } else if (!is_unfinished(t)) {
        t->reached = 0;
        t->round_head = t->head;
        list_append(&h->unfinished, &t->unfinished);
        fan_out(t, false);
    }
    release(t);
    return error;
}

void hub_catch_up(hub *h, peer *p)
{
    if (list_empty(&h->unfinished))
        return;
    for (uint32_t i = 0; i < p->n_subscriptions && !p->leaving; i++) {
        topic *t = hold(p->subscriptions[i].topic);
        uint32_t place = p->subscriptions[i].place;
        if (is_unfinished(t) && !t->subscribers[place].lagging)
            serve(t, place, p->rules->max_queued_bytes);
        release(t);
    }
}

void hub_serve_lagging(hub *h, peer *p)
{
    (void)h;
    size_t limit = p->rules->max_queued_bytes < PEER_LAG_BYTES ? p->rules->max_queued_bytes : PEER_LAG_BYTES;
    uint32_t n = p->n_subscriptions, start = p->lag_turn;
    for (uint32_t i = 0; i < n && !p->leaving; i++) {
        const subscription *s = &p->subscriptions[(start + i) % n];
        topic *t = hold(s->topic);
        if (t->subscribers[s->place].lagging && has_room(p, limit)) {
            p->lag_turn = (uint16_t)((start + i) % n + 1);
            rejoin(t, &t->subscribers[s->place]);
            serve(t, s->place, limit);
        }
        release(t);
    }
    if (!p->leaving && p->n_lagging)
        p->ops->notify(p);
}

/* ------------------------------------------------------------------------------------------------ subscribe, look up */

/* U+0000 to U+001F, U+007F, U+0080 to U+009F. */
static bool is_control(const char *at)
{
    unsigned char c = (unsigned char)*at;
    return c < 0x20 || c == 0x7F || (c == 0xC2 && (unsigned char)at[1] < 0xA0);
}

bool topic_name_valid(str name)
{
    if (name.len == 0 || name.len > TOPIC_MAX_NAME_BYTES || !utf8_valid(name.at, name.len))
        return false;
    for (size_t i = 0; i < name.len; i++)
        if (is_control(name.at + i))
            return false;
    return true;
}

bool topic_pattern_matches(str pattern, str name)
{
    size_t p = 0, n = 0, star = SIZE_MAX, resume = 0;
    while (n < name.len) {
        if (p < pattern.len && pattern.at[p] == '*') {
            star = p++;
            resume = n;
        } else if (p < pattern.len && pattern.at[p] == name.at[n]) {
            p++;
            n++;
        } else if (star != SIZE_MAX) {
            p = star + 1;
            n = ++resume;
        } else {
            return false;
        }
    }
    while (p < pattern.len && pattern.at[p] == '*')
        p++;
    return p == pattern.len;
}

static weft_topic_options options_for(const hub *h, str name)
{
    weft_topic_options o = {0};
    for (const topic_rule *rule = *h->rules; rule; rule = rule->next) {
        if (topic_pattern_matches(str_from(rule->pattern), name)) {
            o = rule->options;
            break;
        }
    }
    if (!o.ring_messages)
        o.ring_messages = TOPIC_RING_MESSAGES;
    if (!o.ring_bytes)
        o.ring_bytes = TOPIC_RING_BYTES;
    if (o.slow == WEFT_SLOW_DEFAULT)
        o.slow = WEFT_SLOW_CLOSE;
    return o;
}

static topic *topic_new(hub *h, str name)
{
    topic *t = mem_zero(sizeof *t + name.len);
    if (!t)
        return NULL;
    memcpy(t->name, name.at, name.len);
    t->hub = h;
    t->options = options_for(h, name);
    t->entry.key = (str){t->name, name.len};
    if (map_put(&h->topics, &t->entry)) {
        mem_free(t);
        return NULL;
    }
    return t;
}

static topic *find_or_new(hub *h, str name)
{
    map_entry *entry = map_get(&h->topics, name);
    return entry ? CONTAINER(entry, topic, entry) : topic_new(h, name);
}

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

static int find_place(const hub *h, const peer *p, str name, uint32_t *ret_place, topic **ret_topic)
{
    map_entry *entry = map_get(&h->topics, name);
    *ret_topic = entry ? CONTAINER(entry, topic, entry) : NULL;
    for (uint32_t i = 0; entry && i < p->n_subscriptions; i++) {
        if (p->subscriptions[i].topic == *ret_topic) {
            *ret_place = p->subscriptions[i].place;
            return 1;
        }
    }
    return 0;
}

int hub_subscribe(hub *h, peer *p, str name)
{
    uint32_t place;
    topic *t;
    if (!topic_name_valid(name))
        return WEFT_E_INVALID;
    if (find_place(h, p, name, &place, &t))
        return 0;
    if (p->n_subscriptions >= PEER_MAX_SUBSCRIPTIONS)
        return WEFT_E_TOO_LARGE;
    t = find_or_new(h, name);
    if (!t)
        return -ENOMEM;
    hold(t);
    if (reserve_subscriber(t) || reserve_subscription(p)) {
        release(t);
        return -ENOMEM;
    }
    t->subscribers[t->n_subscribers] = (subscriber){.peer = p, .next = t->head, .place = p->n_subscriptions};
    p->subscriptions[p->n_subscriptions++] = (subscription){t, t->n_subscribers++};
    release(t);
    return 0;
}

void hub_unsubscribe(hub *h, peer *p, str name)
{
    uint32_t place;
    topic *t;
    hub_catch_up(h, p); /* what was published while it was subscribed is still for it */
    if (!find_place(h, p, name, &place, &t))
        return;
    hold(t);
    unsubscribe_place(t, place);
    release(t);
}

void hub_unsubscribe_all(hub *h, peer *p)
{
    (void)h;
    while (p->n_subscriptions) {
        subscription last = p->subscriptions[p->n_subscriptions - 1];
        hold(last.topic);
        unsubscribe_place(last.topic, last.place);
        release(last.topic);
    }
    mem_free(p->subscriptions);
    p->subscriptions = NULL;
}

int hub_init(hub *h, net *n, slots *table, weft *app, const topic_rule *const *rules)
{
    *h = (hub){.loop = n->loop, .net = n, .table = table, .app = app, .rules = rules};
    list_init(&h->unfinished);
    return map_init(&h->topics);
}

void hub_done(hub *h)
{
    loop_cancel(h->loop, &h->slice);
    map_done(&h->topics);
}
