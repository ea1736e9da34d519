#include "transport/socketio_loops.h"

#include "base/mem.h"
#include <errno.h>

enum {
    SLOTS = 256, /* of names' hashes */
    MOST_ROOMS = 64,
};

struct socketio_loops {
    socketio_route *route;
    hub *hub;                        /* once something happens here */
    uint32_t n_orders;               /* given here: the number of the latest */
    uint64_t behind;                 /* a bit for each loop that has missed some and was not told yet */
    timer retry;                     /* tells them */
    _Atomic uint32_t present[SLOTS]; /* namespaces of this loop, by their names' hashes; the others read it */
};

/** An order on its way to a loop. */
typedef struct {
    hub_note base;
    socketio_route *route;
    blob *packed;
    uint32_t number;
} order_note;

/** A loop has missed orders of that home. */
typedef struct {
    hub_note base;
    socketio_route *route;
    unsigned home;
} missed_note;

/* ---------------------------------------------------------------------------------------------------------- homes */

static uint64_t hash_of(const socketio_route *route, const hub_links *links, str nsp)
{
    return siphash(links->secret, nsp.at, nsp.len) ^ siphash(links->secret, route->path, strlen(route->path));
}

unsigned socketio_home(const socketio_route *route, const hub_links *links, str nsp)
{
    return (unsigned)(hash_of(route, links, nsp) % links->n);
}

static _Atomic uint32_t *slot_of(socketio_loops *l, const hub_links *links, str nsp)
{
    return &l->present[(hash_of(l->route, links, nsp) >> 32) % SLOTS];
}

/* Sequentially consistent, as the load in others_with(): this comes before the client is told that it is in, and that load after whatever the client's being in has
 * caused. */
void socketio_loops_present(socketio_loops *l, hub *h, str nsp)
{
    l->hub = h;
    atomic_fetch_add(slot_of(l, h->reach->links, nsp), 1);
}

void socketio_loops_absent(socketio_loops *l, str nsp)
{
    atomic_fetch_sub(slot_of(l, l->hub->reach->links, nsp), 1);
}

/* A bit for each other loop that may have the namespace. */
static uint64_t others_with(const socketio_route *route, const hub *h, str nsp)
{
    const hub_links *links = h->reach->links;
    uint64_t mask = 0;
    for (unsigned i = 0; i < links->n; i++)
        if (i != h->reach->number && atomic_load(slot_of(route->locals[i].loops, links, nsp)))
            mask |= (uint64_t)1 << i;
    return mask;
}

socketio_loops *socketio_loops_new(socketio_route *route)
{
    socketio_loops *l = mem_zero(sizeof *l);
    if (l)
        l->route = route;
    return l;
}

void socketio_loops_free(socketio_loops *l)
{
    mem_free(l);
}

void socketio_loops_stop(socketio_loops *l)
{
    if (l->hub)
        loop_cancel(l->hub->loop, &l->retry);
}

uint64_t socketio_loops_with(const socketio_route *route, const hub *h, str nsp, uint32_t *ret_order)
{
    const socketio_loops *l = socketio_local_of(route, h)->loops;
    *ret_order = l->n_orders;
    return others_with(route, h, nsp) & ~l->behind;
}

/* -------------------------------------------------------------------------------------------------------- packing */

/** What a packed order begins with. Behind it, in the blob's event: the texts, each behind its length: namespace, room, name, rooms, exceptions, attachments. The
 * blob's data are the arguments. */
typedef struct {
    uint64_t away;
    uint32_t n_rooms, n_except, n_attachments;
    uint8_t action;
    bool is_volatile, has_args, has_sender_id;
    char sender_id[SOCKETIO_ID_BYTES];
} order_head;

static int put_text(buf *to, str text)
{
    uint32_t len = (uint32_t)text.len;
    int error = buf_put(to, &len, sizeof len);
    return error ? error : buf_put_str(to, text);
}

static int put_texts(buf *to, const str *texts, uint32_t n)
{
    int error = 0;
    for (uint32_t i = 0; i < n && !error; i++)
        error = put_text(to, texts[i]);
    return error;
}

static order_head head_of(const socketio_order *o)
{
    const socketio_audience *to = &o->to;
    const char *id = to->sender ? to->sender->id : to->sender_id;
    order_head head = {
        .away = to->sender ? to->sender->peer.id : to->away,
        .n_rooms = to->n_rooms,
        .n_except = to->n_except,
        .n_attachments = o->what.n_attachments,
        .action = (uint8_t)o->action,
        .is_volatile = o->what.is_volatile,
        .has_args = o->what.args.at,
        .has_sender_id = id,
    };
    if (id)
        memcpy(head.sender_id, id, sizeof head.sender_id);
    return head;
}

/* NULL: no memory. */
static blob *pack(pool *blocks, const socketio_order *o)
{
    buf text = {0};
    const order_head head = head_of(o);
    const socketio_audience *to = &o->to;
    bool fits = !buf_put(&text, &head, sizeof head) && !put_text(&text, o->nsp) && !put_text(&text, o->room) &&
                !put_text(&text, o->what.name) && !put_texts(&text, to->rooms, to->n_rooms) &&
                !put_texts(&text, to->except, to->n_except) &&
                !put_texts(&text, o->what.attachments, o->what.n_attachments);
    blob *packed = fits ? blob_new(blocks, WEFT_JSON, buf_str(&text), o->what.args) : NULL;
    buf_done(&text);
    return packed;
}

/** An order as it was packed. */
typedef struct {
    socketio_order order;
    order_head head;
    str rooms[MOST_ROOMS], except[MOST_ROOMS];
    weft_str attachments[SOCKETIO_MAX_ATTACHMENTS];
} unpacked;

static str take_text(const char **at)
{
    uint32_t len;
    memcpy(&len, *at, sizeof len);
    str text = {*at + sizeof len, len};
    *at = text.at + len;
    return text;
}

static void take_texts(const char **at, str *to, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        to[i] = take_text(at);
}

static void unpack(const blob *packed, uint32_t number, unpacked *ret)
{
    order_head *head = &ret->head;
    const char *at = blob_event(packed).at;
    memcpy(head, at, sizeof *head);
    at += sizeof *head;
    ret->order = (socketio_order){.action = (socketio_action)head->action};
    ret->order.nsp = take_text(&at);
    ret->order.room = take_text(&at);
    str name = take_text(&at);
    take_texts(&at, ret->rooms, head->n_rooms);
    take_texts(&at, ret->except, head->n_except);
    take_texts(&at, ret->attachments, head->n_attachments);
    ret->order.to = (socketio_audience){
        .rooms = ret->rooms,
        .except = ret->except,
        .n_rooms = head->n_rooms,
        .n_except = head->n_except,
        .order = number,
        .away = head->away,
        .sender_id = head->has_sender_id ? head->sender_id : NULL,
    };
    ret->order.what = (socketio_emission){
        .name = name,
        .args = head->has_args ? blob_data(packed) : (str){NULL, 0},
        .attachments = ret->attachments,
        .n_attachments = head->n_attachments,
        .is_volatile = head->is_volatile,
    };
}

/* -------------------------------------------------------------------------------------------------------- running */

static const socketio_socket *find_sender(const hub *h, const socketio_namespace *n, const socketio_audience *to)
{
    peer *p = slots_get(h->table, to->away, SLOT_PEER);
    if (p)
        return socketio_socket_of(p);
    return to->sender_id ? socketio_namespace_by_id(n, (str){to->sender_id, SOCKETIO_ID_BYTES}) : NULL;
}

/** What is done to each. */
typedef struct {
    str room;
    int error;
} change;

static void join(socketio_socket *s, void *user)
{
    change *c = user;
    int error = socketio_join(s, c->room);
    if (!c->error)
        c->error = error;
    if (error && s->peer.hub->reach) /* whoever asked for it may be elsewhere: nobody else would know */
        socketio_client_abort(s->client, ENGINEIO_FORCED_CLOSE);
}

static void leave(socketio_socket *s, void *user)
{
    socketio_leave(s, ((change *)user)->room);
}

static void dismiss(socketio_socket *s, void *user)
{
    (void)user;
    socketio_socket_dismiss(s);
}

static void dismiss_client(socketio_socket *s, void *user)
{
    (void)user;
    socketio_client_dismiss(s->client);
}

static void cut(socketio_socket *s, void *user)
{
    (void)user;
    s->nsp->hub->counts.n_missed_cuts++;
    socketio_client_abort(s->client, ENGINEIO_FORCED_CLOSE);
}

int socketio_order_run(const socketio_route *route, const hub *h, const socketio_order *order)
{
    static void (*const actions[])(socketio_socket * s, void *user) = {NULL, join, leave, dismiss, dismiss_client};
    socketio_namespace *n = socketio_namespace_find(route, h, order->nsp);
    socketio_audience to = order->to;
    change done = {.room = order->room};
    if (!n)
        return 0;
    if (!to.sender && to.away)
        to.sender = find_sender(h, n, &to);
    if (order->action == SOCKETIO_EMIT)
        return socketio_broadcast(n, &to, &order->what);
    socketio_each(n, &to, actions[order->action], &done);
    return done.error;
}

/* One that was given cannot be taken back: whom it could not be sent to loses the connection. */
static void run_given(const socketio_route *route, const hub *h, const socketio_order *order)
{
    socketio_namespace *n = socketio_namespace_find(route, h, order->nsp);
    if (!n || !socketio_order_run(route, h, order) || order->action != SOCKETIO_EMIT)
        return;
    if (n->log)
        socketio_log_forget(n->log);
    socketio_each(n, &order->to, cut, NULL);
}

static void take_order(hub *h, hub_note *base)
{
    order_note *n = (order_note *)base;
    unpacked o;
    unpack(n->packed, n->number, &o);
    run_given(n->route, h, &o.order);
    blob_unref(&h->loop->blocks, n->packed);
}

static void lost_order(hub_note *base)
{
    blob_unref(NULL, ((order_note *)base)->packed);
}

/* --------------------------------------------------------------------------------------------------------- missed */

/* Nobody knows whom the missed orders were for. */
static void lose_all(const socketio_route *route, const hub *h, unsigned home)
{
    const map *namespaces = &socketio_local_of(route, h)->namespaces;
    const socketio_audience all = {0};
    const logger *log = h->net->log;
    if (log_wanted(log))
        log_line(log, WEFT_LOG_WARNING,
                 "event=missed transport=socketio reason=\"a loop had no room for a broadcast; its clients are cut\"");
    for (const map_entry *entry = map_next(namespaces, NULL); entry; entry = map_next(namespaces, entry)) {
        socketio_namespace *n = CONTAINER((uintptr_t)entry, socketio_namespace, entry);
        if (socketio_home(route, h->reach->links, n->entry.key) != home)
            continue;
        if (n->log)
            socketio_log_forget(n->log);
        socketio_each(n, &all, cut, NULL);
    }
}

static void take_missed(hub *h, hub_note *base)
{
    const missed_note *n = (const missed_note *)base;
    lose_all(n->route, h, n->home);
}

/* False when it is to be tried again. */
static bool tell_missed(const socketio_loops *l, unsigned number)
{
    const reach *r = l->hub->reach;
    missed_note *n = (missed_note *)hub_note_new(r->links, sizeof *n, take_missed, NULL);
    if (!n)
        return false;
    n->route = l->route;
    n->home = r->number;
    int error = reach_push(r, number, &n->base);
    if (error)
        mem_free(n);
    return error != WEFT_E_FULL; /* one that has ended has no clients */
}

static void retry(timer *clock)
{
    socketio_loops *l = CONTAINER(clock, socketio_loops, retry);
    for (unsigned i = 0; i < l->hub->reach->links->n; i++) {
        uint64_t bit = (uint64_t)1 << i;
        if ((l->behind & bit) && tell_missed(l, i))
            l->behind &= ~bit;
    }
    if (l->behind)
        loop_arm(l->hub->loop, &l->retry, REACH_RETRY_MS, retry);
}

static void fall_behind(socketio_loops *l, hub *h, uint64_t mask)
{
    l->hub = h;
    l->behind |= mask;
    if (mask && !timer_armed(&l->retry))
        loop_arm(h->loop, &l->retry, 0, retry);
}

void socketio_loops_lose(socketio_route *route, hub *h)
{
    const reach *r = h->reach;
    socketio_loops *l = socketio_local_of(route, h)->loops;
    uint64_t all = r->links->n == HUBS_MAX ? UINT64_MAX : ((uint64_t)1 << r->links->n) - 1;
    fall_behind(l, h, all & ~((uint64_t)1 << r->number));
    lose_all(route, h, r->number);
}

/* --------------------------------------------------------------------------------------------------------- giving */

static bool push_order(const reach *r, unsigned number, socketio_route *route, blob *packed, uint32_t order)
{
    order_note *n = (order_note *)hub_note_new(r->links, sizeof *n, take_order, lost_order);
    if (!n)
        return false;
    n->base.base.bytes += packed->event_len + packed->data_len;
    n->route = route;
    n->packed = blob_ref(packed);
    n->number = order;
    int error = reach_push(r, number, &n->base);
    if (error)
        hub_note_free(&n->base);
    return !error || error == WEFT_E_CLOSED;
}

static void pass_on(socketio_loops *l, hub *h, blob *packed, uint64_t mask)
{
    uint64_t missed = 0;
    for (unsigned i = 0; i < h->reach->links->n; i++) {
        uint64_t bit = (uint64_t)1 << i;
        if ((mask & ~l->behind & bit) && !push_order(h->reach, i, l->route, packed, l->n_orders))
            missed |= bit;
    }
    fall_behind(l, h, missed);
}

static uint32_t next_number(socketio_loops *l)
{
    l->n_orders++;
    if (!l->n_orders)
        l->n_orders++; /* 0 is that of what was no order */
    return l->n_orders;
}

int socketio_loops_give(socketio_route *route, hub *h, const socketio_order *order)
{
    socketio_loops *l = socketio_local_of(route, h)->loops;
    uint64_t mask = others_with(route, h, order->nsp);
    blob *packed = mask ? pack(&h->loop->blocks, order) : NULL;
    if (mask && !packed)
        return -ENOMEM;
    socketio_order here = *order;
    here.to.order = next_number(l);
    if (packed)
        pass_on(l, h, packed, mask);
    blob_unref(&h->loop->blocks, packed);
    run_given(route, h, &here);
    return 0;
}
