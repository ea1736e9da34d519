#include "app/socketio.h"
#include "base/utf8.h"
#include "proto/json.h"
#include <errno.h>

/* A socket on its own loop; with another thread or a stale handle, or of another transport, NULL and *ret_error. */
static socketio_socket *socket_of(weft_peer handle, int *ret_error)
{
    int error = 0;
    peer *p = call_here(handle.id, SLOT_PEER, &error);
    socketio_socket *s = p ? socketio_socket_of(p) : NULL;
    if (ret_error)
        *ret_error = p && !s ? WEFT_E_UNSUPPORTED : error;
    return s;
}

/* The same in a call that has come to its loop. */
static int find(const worker *w, uint64_t id, socketio_socket **ret)
{
    peer *p = slots_get(&w->table, id, SLOT_PEER);
    if (!p)
        return WEFT_E_CLOSED;
    *ret = socketio_socket_of(p);
    return *ret ? 0 : WEFT_E_UNSUPPORTED;
}

static pool *blocks_of(const socketio_socket *s)
{
    return &s->peer.hub->loop->blocks;
}

/* ----------------------------------------------------------------------------------------------------------- the gate */

weft_str weft_socketio_auth(weft_peer handle)
{
    const socketio_socket *s = socket_of(handle, NULL);
    return s ? socketio_socket_auth(s) : (weft_str){NULL, 0};
}

static int run_admit(worker *w, const call *c)
{
    socketio_socket *s;
    int error = find(w, c->id, &s);
    return error ? error : socketio_socket_admit(s);
}

int weft_socketio_admit(weft_peer handle)
{
    return call_make(&(call_spec){.run = run_admit, .id = handle.id});
}

static int run_refuse(worker *w, const call *c)
{
    socketio_socket *s;
    int error = find(w, c->id, &s);
    return error ? error : socketio_socket_refuse(s, c->a, c->b_given ? c->b : (str){NULL, 0});
}

int weft_socketio_refuse(weft_peer handle, const char *message, const char *data)
{
    str text = str_from(message);
    if (!utf8_valid(text.at, text.len))
        return WEFT_E_UTF8;
    if (data && json_check(str_from(data)) < 0)
        return WEFT_E_JSON;
    return call_make(&(call_spec){.run = run_refuse, .id = handle.id, .a = text, .b = str_from(data)});
}

/* ---------------------------------------------------------------------------------------------------------- who it is */

const char *weft_socketio_id(weft_peer handle)
{
    const socketio_socket *s = socket_of(handle, NULL);
    return s ? s->id : NULL;
}

const char *weft_socketio_namespace_of(weft_peer handle)
{
    const socketio_socket *s = socket_of(handle, NULL);
    return s ? s->nsp->name : NULL;
}

int weft_socketio_recovered(weft_peer handle)
{
    const socketio_socket *s = socket_of(handle, NULL);
    return s && s->recovered;
}

/* ----------------------------------------------------------------------------------------------------------- emitting */

/* As with everything that is sent: without memory for it the client is cut, and knows. */
static int cut_without_memory(peer *p, int error)
{
    if (error == -ENOMEM)
        peer_abort(p);
    return error;
}

static int run_emit(worker *w, const call *c)
{
    socketio_socket *s;
    weft_str attachments[SOCKETIO_MAX_ATTACHMENTS];
    int error = find(w, c->id, &s);
    socketio_emission what = event_of(c, attachments);
    return error ? error : socketio_emit(s, &what, NULL);
}

static int emit_here(peer *p, const weft_socketio_event *event)
{
    socketio_socket *s = socketio_socket_of(p);
    checked_event checked;
    if (!s)
        return WEFT_E_UNSUPPORTED;
    int error = event_check(event, blocks_of(s), &p->hub->event, &checked);
    if (error)
        return cut_without_memory(p, error);
    error = socketio_emit(s, &checked.what, NULL);
    if (checked.compact)
        event_done(blocks_of(s), &checked);
    return error;
}

static int emit_elsewhere(weft_peer handle, const weft_socketio_event *event)
{
    checked_event checked;
    int error = event_check(event, NULL, NULL, &checked);
    if (error)
        return error;
    error =
        event_push(loop_inbox(handle_loop(handle.id)), (call_spec){.run = run_emit, .id = handle.id}, &checked.what);
    event_done(NULL, &checked);
    return error;
}

int weft_socketio_emit_event(weft_peer handle, const weft_socketio_event *event)
{
    void *p;
    switch (call_locate(handle.id, SLOT_PEER, &p)) {
    case CALL_HERE:
        return emit_here(p, event);
    case CALL_ELSEWHERE:
        return emit_elsewhere(handle, event);
    case CALL_GONE:
        break;
    }
    return WEFT_E_CLOSED;
}

int weft_socketio_emit(weft_peer handle, const char *name, const char *args)
{
    return weft_socketio_emit_event(handle, &(weft_socketio_event){.name = str_from(name), .args = str_from(args)});
}

int weft_socketio_call(weft_peer handle, const weft_socketio_event *event, uint32_t timeout_ms, weft_socketio_ack_fn fn,
                       void *user)
{
    int error;
    checked_event checked;
    socketio_socket *s = socket_of(handle, &error);
    if (!s)
        return error;
    error = fn ? event_check(event, blocks_of(s), &s->peer.hub->event, &checked) : WEFT_E_INVALID;
    if (error)
        return cut_without_memory(&s->peer, error);
    error = socketio_call(s, &checked.what, timeout_ms, fn, user);
    event_done(blocks_of(s), &checked);
    return cut_without_memory(&s->peer, error);
}

/* ------------------------------------------------------------------------------------------------------ acknowledging */

static int run_acknowledge(worker *w, const call *c)
{
    socketio_socket *s;
    weft_str attachments[SOCKETIO_MAX_ATTACHMENTS];
    uint64_t id;
    int error = find(w, c->id, &s);
    socketio_emission what = event_of(c, attachments);
    memcpy(&id, c->b.at, sizeof id);
    return error ? error : socketio_acknowledge(s, id, &what);
}

static int acknowledge_here(peer *p, uint64_t id, const weft_socketio_event *answer)
{
    socketio_socket *s = socketio_socket_of(p);
    checked_event checked;
    if (!s)
        return WEFT_E_UNSUPPORTED;
    int error = answer_check(answer, blocks_of(s), &p->hub->event, &checked);
    if (error)
        return cut_without_memory(p, error);
    error = socketio_acknowledge(s, id, &checked.what);
    if (checked.compact)
        event_done(blocks_of(s), &checked);
    return error;
}

static int acknowledge_elsewhere(uint64_t peer_id, uint64_t id, const weft_socketio_event *answer)
{
    checked_event checked;
    int error = answer_check(answer, NULL, NULL, &checked);
    if (error)
        return error;
    const call_spec spec = {.run = run_acknowledge, .id = peer_id, .b = {(const char *)&id, sizeof id}};
    error = event_push(loop_inbox(handle_loop(peer_id)), spec, &checked.what);
    event_done(NULL, &checked);
    return error;
}

int weft_socketio_acknowledge_event(weft_socketio_ack ack, const weft_socketio_event *answer)
{
    void *p;
    if (!ack.id || !answer)
        return WEFT_E_INVALID;
    switch (call_locate(ack.peer.id, SLOT_PEER, &p)) {
    case CALL_HERE:
        return acknowledge_here(p, ack.id - 1, answer);
    case CALL_ELSEWHERE:
        return acknowledge_elsewhere(ack.peer.id, ack.id - 1, answer);
    case CALL_GONE:
        break;
    }
    return WEFT_E_CLOSED;
}

int weft_socketio_acknowledge(weft_socketio_ack ack, const char *args)
{
    return weft_socketio_acknowledge_event(ack, &(weft_socketio_event){.args = str_from(args)});
}

/* --------------------------------------------------------------------------------------------------------------- rooms */

int weft_socketio_join(weft_peer handle, const char *room)
{
    int error;
    socketio_socket *s = socket_of(handle, &error);
    if (!s)
        return error;
    return s->peer.leaving ? WEFT_E_CLOSED : socketio_join(s, str_from(room));
}

int weft_socketio_leave(weft_peer handle, const char *room)
{
    int error;
    socketio_socket *s = socket_of(handle, &error);
    if (!s)
        return error;
    if (!room)
        return WEFT_E_INVALID;
    socketio_leave(s, str_from(room));
    return 0;
}

/* The name is copied: fn may leave the room, and so end it. */
static void tell_room(str name, void (*fn)(const char *room, void *user), void *user)
{
    char copy[WEFT_SOCKETIO_MAX_ROOM_BYTES + 1];
    memcpy(copy, name.at, name.len);
    copy[name.len] = '\0';
    fn(copy, user);
}

size_t weft_socketio_rooms(weft_peer handle, void (*fn)(const char *room, void *user), void *user)
{
    const socketio_socket *s = socket_of(handle, NULL);
    if (!s || s->peer.leaving)
        return 0;
    size_t n = (size_t)s->n_rooms + 1;
    if (!fn)
        return n;
    fn(s->id, user);
    for (uint32_t i = s->n_rooms; i-- > 0;) { /* backwards: a room that fn leaves is replaced by one that was told */
        if (i < s->n_rooms)
            tell_room(socketio_room_name(s, i), fn, user);
    }
    return n;
}

/* -------------------------------------------------------------------------------------------------------------- ending */

static int run_disconnect(worker *w, const call *c)
{
    socketio_socket *s;
    int error = find(w, c->id, &s);
    if (!error && s->peer.leaving)
        error = WEFT_E_CLOSED;
    if (!error)
        socketio_client_dismiss(s->client);
    return error;
}

int weft_socketio_disconnect(weft_peer handle)
{
    return call_make(&(call_spec){.run = run_disconnect, .id = handle.id});
}
