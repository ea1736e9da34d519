#include "app/socketio.h"
#include "base/mem.h"
#include <errno.h>

/* ------------------------------------------------------------------------------------------------------------ checking */

/* False: there are too many. */
static bool take_rooms(const char *const *list, str to[TARGET_MAX_ROOMS], uint32_t *ret_n)
{
    uint32_t n = 0;
    for (; list && list[n]; n++) {
        if (n == TARGET_MAX_ROOMS)
            return false;
        to[n] = str_from(list[n]);
    }
    *ret_n = n;
    return true;
}

int target_check(const weft *app, const weft_socketio_target *target, checked_target *ret)
{
    static const weft_socketio_target all = {0};
    const weft_socketio_target *t = target ? target : &all;
    ret->route = app_socketio_route(app, t->path);
    ret->nsp = t->nsp ? str_from(t->nsp) : STR("/");
    ret->sender = t->sender.id;
    ret->has_sender_id = false;
    memset(ret->sender_id, 0, sizeof ret->sender_id);
    bool fits = take_rooms(t->rooms, ret->rooms, &ret->n_rooms) && take_rooms(t->except, ret->except, &ret->n_except);
    return ret->route && fits ? 0 : WEFT_E_INVALID;
}

static const socketio_socket *find_sender(const worker *w, uint64_t handle)
{
    peer *sender = slots_get(&w->table, handle, SLOT_PEER);
    return sender ? socketio_socket_of(sender) : NULL;
}

socketio_audience target_audience(const worker *w, const checked_target *target)
{
    return (socketio_audience){
        .rooms = target->rooms,
        .except = target->except,
        .n_rooms = target->n_rooms,
        .n_except = target->n_except,
        .sender = find_sender(w, target->sender),
        .away = target->sender,
        .sender_id = target->has_sender_id ? target->sender_id : NULL,
    };
}

worker *target_home(const weft *app, const checked_target *target)
{
    const reach *r = app->workers->hub.reach;
    return (worker *)(uintptr_t)&app->workers[r ? socketio_home(target->route, r->links, target->nsp) : 0];
}

/* ---------------------------------------------------------------------------------------------------------- travelling */

static int put_text(buf *to, str text)
{
    int error = buf_put(to, &text.len, sizeof text.len);
    return error ? error : buf_put_str(to, text);
}

static int put_texts(buf *to, const str *texts, uint32_t n)
{
    int error = buf_put(to, &n, sizeof n);
    for (uint32_t i = 0; i < n && !error; i++)
        error = put_text(to, texts[i]);
    return error;
}

int target_put(buf *to, const checked_target *target)
{
    int error = buf_put(to, &target->route, sizeof target->route);
    if (!error)
        error = buf_put(to, &target->sender, sizeof target->sender);
    if (!error)
        error = buf_put(to, &target->has_sender_id, sizeof target->has_sender_id);
    if (!error)
        error = buf_put(to, target->sender_id, sizeof target->sender_id);
    if (!error)
        error = put_text(to, target->nsp);
    if (!error)
        error = put_texts(to, target->rooms, target->n_rooms);
    return error ? error : put_texts(to, target->except, target->n_except);
}

static void take_bytes(const char **at, void *to, size_t len)
{
    memcpy(to, *at, len);
    *at += len;
}

static str take_text(const char **at)
{
    str text;
    take_bytes(at, &text.len, sizeof text.len);
    text.at = *at;
    *at += text.len;
    return text;
}

static uint32_t take_texts(const char **at, str to[TARGET_MAX_ROOMS])
{
    uint32_t n;
    take_bytes(at, &n, sizeof n);
    for (uint32_t i = 0; i < n; i++)
        to[i] = take_text(at);
    return n;
}

void target_take(str bytes, checked_target *ret)
{
    const char *at = bytes.at;
    take_bytes(&at, &ret->route, sizeof ret->route);
    take_bytes(&at, &ret->sender, sizeof ret->sender);
    take_bytes(&at, &ret->has_sender_id, sizeof ret->has_sender_id);
    take_bytes(&at, ret->sender_id, sizeof ret->sender_id);
    ret->nsp = take_text(&at);
    ret->n_rooms = take_texts(&at, ret->rooms);
    ret->n_except = take_texts(&at, ret->except);
}

/* -------------------------------------------------------------------------------------------------------- broadcasting */

static int broadcast(worker *w, const checked_target *target, const socketio_emission *what)
{
    const socketio_audience to = target_audience(w, target);
    socketio_bridge *bridge = socketio_bridge_find(target->route, target->nsp, &to);
    if (bridge)
        return socketio_bridge_publish(bridge, &to, what);
    if (w->hub.reach)
        return socketio_loops_give(target->route, &w->hub,
                                   &(socketio_order){.nsp = target->nsp, .to = to, .what = *what});
    socketio_namespace *n = socketio_namespace_find(target->route, &w->hub, target->nsp);
    return n ? socketio_broadcast(n, &to, what) : 0;
}

static int run_broadcast(worker *w, const call *c)
{
    checked_target target;
    weft_str attachments[SOCKETIO_MAX_ATTACHMENTS];
    socketio_emission what = event_of(c, attachments);
    target_take(c->b, &target);
    return broadcast(w, &target, &what);
}

/* Who the sender is can be told on its own loop, and while it is there. */
static void name_sender(const weft *app, checked_target *target)
{
    const worker *w = app->n_workers > 1 && target->sender ? worker_here(app) : NULL;
    const socketio_socket *sender = w ? find_sender(w, target->sender) : NULL;
    target->has_sender_id = sender;
    if (sender)
        memcpy(target->sender_id, sender->id, sizeof target->sender_id);
}

/* spec.b is the target. */
static int push(worker *home, call_spec spec, checked_target *target, const socketio_emission *what)
{
    buf bytes = {0};
    name_sender(home->app, target);
    int error = target_put(&bytes, target);
    spec.b = buf_str(&bytes);
    if (!error)
        error = what ? event_push(home->loop.box, spec, what) : call_push(home->loop.box, &spec);
    buf_done(&bytes);
    return error;
}

/* To a target that was looked at. */
static int broadcast_anywhere(weft *app, checked_target *target, const weft_socketio_event *event)
{
    checked_event checked;
    worker *here = worker_here(app), *home = target_home(app, target);
    pool *blocks = here ? &here->loop.blocks : NULL;
    if (here && here->state == WORKER_STOPPED)
        return WEFT_E_CLOSED;
    int error = event_check(event, blocks, NULL, &checked);
    if (error)
        return error;
    if (here == home)
        error = broadcast(home, target, &checked.what);
    else
        error = push(home, (call_spec){.run = run_broadcast}, target, &checked.what);
    event_done(blocks, &checked);
    return error;
}

int weft_socketio_broadcast(weft *app, const weft_socketio_target *target, const weft_socketio_event *event)
{
    checked_target to;
    if (!app)
        return -ENOMEM;
    int error = target_check(app, target, &to);
    return error ? error : broadcast_anywhere(app, &to, event);
}

/* --------------------------------------------------------------------------------------------------------- one by one */

/** Handles of those who are meant: what is called for each may close or move any of them. */
typedef struct {
    uint64_t *ids;
    size_t n, cap;
} handles;

static void count(socketio_socket *s, void *user)
{
    (void)s;
    ++*(size_t *)user;
}

static void collect(socketio_socket *s, void *user)
{
    handles *all = user;
    if (all->n < all->cap)
        all->ids[all->n++] = s->peer.id;
}

static void tell(const worker *w, const handles *all, void (*fn)(weft_peer peer, void *user), void *user)
{
    for (size_t i = 0; i < all->n; i++) {
        const peer *p = slots_get(&w->table, all->ids[i], SLOT_PEER);
        if (p && !p->leaving)
            fn((weft_peer){all->ids[i]}, user);
    }
}

size_t weft_socketio_sockets(weft *app, const weft_socketio_target *target, void (*fn)(weft_peer peer, void *user),
                             void *user)
{
    checked_target who;
    size_t n = 0;
    const worker *w = app ? worker_driven(app) : NULL;
    if (!w || target_check(app, target, &who))
        return 0;
    const socketio_audience to = target_audience(w, &who);
    socketio_namespace *nsp = socketio_namespace_find(who.route, &w->hub, who.nsp);
    if (nsp)
        socketio_each(nsp, &to, count, &n);
    if (!n || !fn)
        return n;
    handles all = {.ids = mem_new(n * sizeof *all.ids), .cap = n};
    if (!all.ids)
        return 0;
    socketio_each(nsp, &to, collect, &all);
    tell(w, &all, fn, user);
    mem_free(all.ids);
    return n;
}

static int act(worker *w, const checked_target *target, socketio_action what, str room)
{
    const socketio_order order = {.action = what, .nsp = target->nsp, .to = target_audience(w, target), .room = room};
    return w->hub.reach ? socketio_loops_give(target->route, &w->hub, &order)
                        : socketio_order_run(target->route, &w->hub, &order);
}

static int run_act(worker *w, const call *c)
{
    checked_target target;
    target_take(c->b, &target);
    return act(w, &target, (socketio_action)c->number, c->a);
}

static int act_anywhere(weft *app, const weft_socketio_target *target, socketio_action what, str room)
{
    checked_target to;
    if (!app)
        return -ENOMEM;
    int error = target_check(app, target, &to);
    if (error)
        return error;
    worker *home = target_home(app, &to);
    if (worker_here(app) == home)
        return act(home, &to, what, room);
    return push(home, (call_spec){.run = run_act, .number = (int)what, .a = room}, &to, NULL);
}

int weft_socketio_sockets_join(weft *app, const weft_socketio_target *target, const char *room)
{
    str name = str_from(room);
    return socketio_room_valid(name) ? act_anywhere(app, target, SOCKETIO_JOIN, name) : WEFT_E_INVALID;
}

int weft_socketio_sockets_leave(weft *app, const weft_socketio_target *target, const char *room)
{
    return room ? act_anywhere(app, target, SOCKETIO_LEAVE, str_from(room)) : WEFT_E_INVALID;
}

int weft_socketio_sockets_disconnect(weft *app, const weft_socketio_target *target, int whole)
{
    return act_anywhere(app, target, whole ? SOCKETIO_DISMISS_CLIENT : SOCKETIO_DISMISS, (str){NULL, 0});
}
