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
    bool fits = take_rooms(t->rooms, ret->rooms, &ret->n_rooms) && take_rooms(t->except, ret->except, &ret->n_except);
    return ret->route && fits ? 0 : WEFT_E_INVALID;
}

socketio_audience target_audience(const weft *app, const checked_target *target)
{
    peer *sender = slots_get(&app->table, target->sender, SLOT_PEER);
    return (socketio_audience){
        .rooms = target->rooms,
        .except = target->except,
        .n_rooms = target->n_rooms,
        .n_except = target->n_except,
        .sender = sender ? socketio_socket_of(sender) : NULL,
    };
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
    ret->nsp = take_text(&at);
    ret->n_rooms = take_texts(&at, ret->rooms);
    ret->n_except = take_texts(&at, ret->except);
}

/* -------------------------------------------------------------------------------------------------------- broadcasting */

static int broadcast(weft *app, const checked_target *target, const socketio_emission *what)
{
    const socketio_audience to = target_audience(app, target);
    socketio_bridge *bridge = socketio_bridge_find(target->route, target->nsp, &to);
    if (bridge)
        return socketio_bridge_publish(bridge, &to, what);
    socketio_namespace *n = socketio_namespace_find(target->route, target->nsp);
    return n ? socketio_broadcast(n, &to, what) : 0;
}

static int run_broadcast(weft *app, const call *c)
{
    checked_target target;
    weft_str attachments[SOCKETIO_MAX_ATTACHMENTS];
    socketio_emission what = event_of(c, attachments);
    target_take(c->b, &target);
    return broadcast(app, &target, &what);
}

/* spec.b is the target. */
static int push(weft *app, call_spec spec, const checked_target *target, const socketio_emission *what)
{
    buf bytes = {0};
    int error = target_put(&bytes, target);
    spec.b = buf_str(&bytes);
    if (!error)
        error = what ? event_push(app->loop.box, spec, what) : call_push(app->loop.box, &spec);
    buf_done(&bytes);
    return error;
}

int weft_socketio_broadcast(weft *app, const weft_socketio_target *target, const weft_socketio_event *event)
{
    checked_target to;
    checked_event checked;
    if (!app)
        return -ENOMEM;
    bool here = loop_here() == &app->loop;
    pool *blocks = here ? &app->loop.blocks : NULL;
    if (here && app->state == APP_STOPPED)
        return WEFT_E_CLOSED;
    int error = target_check(app, target, &to);
    if (!error)
        error = event_check(event, blocks, NULL, &checked);
    if (error)
        return error;
    if (here)
        error = broadcast(app, &to, &checked.what);
    else
        error = push(app, (call_spec){.run = run_broadcast}, &to, &checked.what);
    event_done(blocks, &checked);
    return error;
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

static void tell(const weft *app, const handles *all, void (*fn)(weft_peer peer, void *user), void *user)
{
    for (size_t i = 0; i < all->n; i++) {
        const peer *p = slots_get(&app->table, all->ids[i], SLOT_PEER);
        if (p && !p->leaving)
            fn((weft_peer){all->ids[i]}, user);
    }
}

size_t weft_socketio_sockets(weft *app, const weft_socketio_target *target, void (*fn)(weft_peer peer, void *user),
                             void *user)
{
    checked_target who;
    size_t n = 0;
    if (!app || loop_driven(app->loop.index) != &app->loop || target_check(app, target, &who))
        return 0;
    const socketio_audience to = target_audience(app, &who);
    socketio_namespace *nsp = socketio_namespace_find(who.route, who.nsp);
    if (nsp)
        socketio_each(nsp, &to, count, &n);
    if (!n || !fn)
        return n;
    handles all = {.ids = mem_new(n * sizeof *all.ids), .cap = n};
    if (!all.ids)
        return 0;
    socketio_each(nsp, &to, collect, &all);
    tell(app, &all, fn, user);
    mem_free(all.ids);
    return n;
}

/** What is done to each of many. */
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

typedef enum { JOIN, LEAVE, DISMISS, DISMISS_CLIENT } action;

static int act(weft *app, const checked_target *target, action what, str room)
{
    static void (*const actions[])(socketio_socket * s, void *user) = {join, leave, dismiss, dismiss_client};
    const socketio_audience to = target_audience(app, target);
    socketio_namespace *n = socketio_namespace_find(target->route, target->nsp);
    change done = {.room = room};
    if (n)
        socketio_each(n, &to, actions[what], &done);
    return done.error;
}

static int run_act(weft *app, const call *c)
{
    checked_target target;
    target_take(c->b, &target);
    return act(app, &target, (action)c->number, c->a);
}

static int act_anywhere(weft *app, const weft_socketio_target *target, action what, str room)
{
    checked_target to;
    if (!app)
        return -ENOMEM;
    int error = target_check(app, target, &to);
    if (error)
        return error;
    if (loop_here() == &app->loop)
        return act(app, &to, what, room);
    return push(app, (call_spec){.run = run_act, .number = (int)what, .a = room}, &to, NULL);
}

int weft_socketio_sockets_join(weft *app, const weft_socketio_target *target, const char *room)
{
    str name = str_from(room);
    return socketio_room_valid(name) ? act_anywhere(app, target, JOIN, name) : WEFT_E_INVALID;
}

int weft_socketio_sockets_leave(weft *app, const weft_socketio_target *target, const char *room)
{
    return room ? act_anywhere(app, target, LEAVE, str_from(room)) : WEFT_E_INVALID;
}

int weft_socketio_sockets_disconnect(weft *app, const weft_socketio_target *target, int whole)
{
    return act_anywhere(app, target, whole ? DISMISS_CLIENT : DISMISS, (str){NULL, 0});
}
