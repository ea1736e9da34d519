#include "base/mem.h"
#include "proto/json_read.h"
#include "proto/json_text.h"
#include "transport/socketio_loops.h"
#include <errno.h>
#include <stdio.h>

static const peer_ops plain_ops, recovering_ops;

static socketio_socket *socket_at(const peer *p)
{
    return CONTAINER((uintptr_t)p, socketio_socket, peer);
}

socketio_socket *socketio_socket_of(peer *p)
{
    return p->ops == &plain_ops || p->ops == &recovering_ops ? socket_at(p) : NULL;
}

static pool *blocks_of(const socketio_socket *s)
{
    return &s->peer.hub->loop->blocks;
}

/* ---------------------------------------------------------------------------------------------------------- leaving */

/* Behind peer_leave(). */
static void unhook(socketio_socket *s, bool kept)
{
    socketio_log *log = s->admitted ? s->nsp->log : NULL;
    if (log && kept)
        socketio_log_keep(log, s);
    if (log)
        socketio_log_exit(log, s);
    socketio_acks_end(s);
    socketio_namespace_exit(s->nsp, s);
    socketio_client_detach(s->client, s);
}

void socketio_socket_leave(socketio_socket *s, int code, str reason, bool kept)
{
    peer_leave(&s->peer, code, reason);
    unhook(s, kept);
}

void socketio_socket_lose(socketio_socket *s, engineio_end why)
{
    socketio_socket_leave(s, engineio_end_code(why), engineio_end_reason(why), why != ENGINEIO_PARSE_ERROR);
}

static const str DISMISSED = {"server namespace disconnect", 27};

static int say_no(socketio_socket *s, str message, str data);

/* One at its gate is refused. Else its client may have sent more to it that is still on its way. */
static void say_goodbye(socketio_socket *s, str reason)
{
    if (!socketio_client_lives(s->client))
        return;
    if (!s->admitted) {
        say_no(s, reason, (str){NULL, 0});
        return;
    }
    s->client->dismissed = true;
    socketio_client_say(s->client, SOCKETIO_DISCONNECT, s->nsp->entry.key, (str){NULL, 0});
}

void socketio_socket_dismiss(socketio_socket *s)
{
    say_goodbye(s, (str){NULL, 0});
    socketio_socket_leave(s, 1000, DISMISSED, false);
}

/* weft_close() is the reference's disconnect(); but when the server stops the connection ends without a word to the socket: a client that was sent away
 * would not come back. */
static void socket_close(peer *p, int code, str reason)
{
    socketio_socket *s = socket_at(p);
    if (code == 1001) {
        peer_rename_close(p, code, engineio_end_reason(ENGINEIO_SHUTTING_DOWN));
        socketio_client_close(s->client, ENGINEIO_SHUTTING_DOWN);
        unhook(s, true);
        return;
    }
    say_goodbye(s, reason);
    peer_rename_close(p, 1000, DISMISSED);
    unhook(s, false);
}

static void socket_abort(peer *p)
{
    socketio_socket *s = socket_at(p);
    peer_rename_close(p, 1006, engineio_end_reason(ENGINEIO_FORCED_CLOSE));
    socketio_client_abort(s->client, ENGINEIO_FORCED_CLOSE);
    unhook(s, true);
}

static bool socket_free(peer *p)
{
    socketio_socket *s = socket_at(p);
    socketio_namespace *n = s->nsp;
    n->n_clients--;
    socketio_namespace_settle(n);
    socketio_client_release(s->client);
    mem_free(s->rooms);
    mem_free(s->settled ? (void *)s->owed : s->auth);
    mem_free(s);
    return true;
}

/* ---------------------------------------------------------------------------------------------------------- joining */

/* A member of what the client sent, a string, as it stands between its quotes: all that we have ever told it needs no escapes. {NULL, 0}: not there. False: there, but
 * nothing of ours. */
static bool asked_member(str auth, const char *wanted, str *ret)
{
    str rest = json_begin(auth), name, value;
    *ret = (str){NULL, 0};
    while (json_next_member(&rest, &name, &value)) {
        if (!json_name_is(name, wanted))
            continue;
        if (json_type(value) != JSON_STRING)
            return false;
        *ret = json_string_raw(value);
    }
    return true;
}

/* False for one that does not ask to be who it was. */
static bool asks_to_return(const socketio_socket *s, str auth, str *ret_pid, str *ret_offset)
{
    return s->nsp->log && auth.at && asked_member(auth, "pid", ret_pid) && ret_pid->at &&
           asked_member(auth, "offset", ret_offset);
}

/* Unlike a session's it does not say on which loop: a client that comes back elsewhere is still the same. */
static int draw_id(const hub *h, char ret_id[SOCKETIO_ID_BYTES])
{
    char id[SESSION_ID_BYTES];
    int error = session_make_id(h, id);
    if (!error)
        memcpy(ret_id, id, SOCKETIO_ID_BYTES);
    return error;
}

static int draw_ids(socketio_socket *s)
{
    int error = draw_id(s->nsp->hub, s->id);
    if (!error && s->nsp->log)
        error = draw_id(s->nsp->hub, s->pid);
    return error;
}

/* Gated. NULL: no memory. */
static socketio_socket *socket_new(socketio_client *c, socketio_namespace *n, str auth)
{
    const peer_ops *ops = n->log ? &recovering_ops : &plain_ops;
    socketio_socket *s = mem_zero(peer_bytes(ops, &n->rules->peer));
    if (!s)
        return NULL;
    s->nsp = n;
    s->peer.gated = true;
    s->auth = auth.at ? mem_copy_text(auth.at, auth.len) : NULL;
    if ((auth.at && !s->auth) || draw_ids(s) || peer_init(&s->peer, c->engine.hub, ops, &n->rules->peer)) {
        mem_free(s->auth);
        mem_free(s);
        return NULL;
    }
    n->n_clients++;
    socketio_client_attach(c, s);
    return s;
}

static int refuse_namespace(socketio_client *c, str nsp)
{
    return socketio_client_say(c, SOCKETIO_CONNECT_ERROR, nsp, STR("{\"message\":\"Invalid namespace\"}"));
}

/* One that nobody knows. */
static int decide(socketio_socket *s)
{
    if (!s->nsp->rules->gate)
        return socketio_socket_admit(s);
    s->nsp->rules->gate(peer_handle(&s->peer));
    return 0;
}

static int settle(socketio_socket *s, str auth)
{
    str pid, offset;
    if (!asks_to_return(s, auth, &pid, &offset))
        return decide(s);
    s->recovered = socketio_log_restore(s->nsp->log, s, pid, offset, &s->logged);
    if (s->recovered)
        return socketio_socket_admit(s);
    s->returning = socketio_return_ask(s, pid, offset);
    return s->returning ? 0 : decide(s);
}

/* A gate that fails to let it in for want of memory has doomed the client. */
void socketio_socket_return(socketio_socket *s, str record, uint32_t order)
{
    socketio_arrival arrival = {.record = record, .order = order};
    s->returning = false;
    if (s->peer.leaving || !socketio_client_lives(s->client))
        return;
    if (record.at && asks_to_return(s, str_from(s->auth), &arrival.pid, &arrival.offset) &&
        socketio_log_take_in(s->nsp->log, s, &arrival))
        socketio_socket_admit(s);
    else
        decide(s);
}

int socketio_socket_join(socketio_client *c, str nsp, str auth)
{
    int error = 0;
    socketio_route *route = (socketio_route *)(uintptr_t)c->engine.route;
    socketio_namespace *n = socketio_namespace_get(route, c->engine.hub, nsp, &error);
    if (!n)
        return error ? error : refuse_namespace(c, nsp);
    socketio_socket *s = socket_new(c, n, auth);
    if (!s) {
        socketio_namespace_settle(n);
        return -ENOMEM;
    }
    return settle(s, auth);
}

/* {"sid":"…"}, and with recovery the name under which it may come back. */
static int say_welcome(const socketio_socket *s)
{
    char json[2 * SOCKETIO_ID_BYTES + 32];
    int len = s->nsp->log ? snprintf(json, sizeof json, "{\"sid\":\"%.*s\",\"pid\":\"%.*s\"}", SOCKETIO_ID_BYTES, s->id,
                                     SOCKETIO_ID_BYTES, s->pid)
                          : snprintf(json, sizeof json, "{\"sid\":\"%.*s\"}", SOCKETIO_ID_BYTES, s->id);
    return socketio_client_say(s->client, SOCKETIO_CONNECT, s->nsp->entry.key, (str){json, (size_t)len});
}

/* In, and up to date. 0 or -ENOMEM. */
static int enter(socketio_socket *s)
{
    socketio_namespace *n = s->nsp;
    if (socketio_namespace_enter(n, s))
        return -ENOMEM;
    s->admitted = true;
    if (n->log && !s->recovered)
        s->logged = socketio_log_head(n->log);
    if (n->log)
        socketio_log_enter(n->log, s);
    if (say_welcome(s))
        return -ENOMEM;
    return s->recovered ? socketio_log_replay(n->log, s, s->logged) : 0;
}

int socketio_socket_admit(socketio_socket *s)
{
    if (s->peer.leaving || !socketio_client_lives(s->client))
        return WEFT_E_CLOSED;
    if (s->admitted || s->returning)
        return WEFT_E_INVALID;
    if (enter(s)) {
        socketio_client_abort(s->client, ENGINEIO_FORCED_CLOSE);
        return -ENOMEM;
    }
    peer_admit(&s->peer);
    socketio_client_joined(s->client);
    socketio_client_pause(s->client);
    return 0;
}

/* {"message":"…","data":…} */
static int say_no(socketio_socket *s, str message, str data)
{
    size_t block_bytes;
    char *json = pool_get(blocks_of(s), json_text_len(message) + data.len + 32, &block_bytes);
    if (!json)
        return -ENOMEM;
    char *at = str_put(json, STR("{\"message\":"));
    at += json_text_put(at, message);
    if (data.len)
        at = str_put(str_put(at, STR(",\"data\":")), data);
    at = str_put(at, STR("}"));
    str said = {json, (size_t)(at - json)};
    int error = socketio_client_say(s->client, SOCKETIO_CONNECT_ERROR, s->nsp->entry.key, said);
    pool_put(blocks_of(s), json, block_bytes);
    return error;
}

int socketio_socket_refuse(socketio_socket *s, str message, str data)
{
    if (s->peer.leaving || !socketio_client_lives(s->client))
        return WEFT_E_CLOSED;
    if (s->admitted || s->returning)
        return WEFT_E_INVALID;
    if (say_no(s, message, data)) {
        socketio_client_abort(s->client, ENGINEIO_FORCED_CLOSE);
        return -ENOMEM;
    }
    socketio_socket_leave(s, 1000, DISMISSED, false);
    return 0;
}

/* --------------------------------------------------------------------------------------------------------- receiving */

str socketio_socket_auth(const socketio_socket *s)
{
    if (s->settled)
        return (str){NULL, 0};
    return s->auth ? str_from(s->auth) : STR("{}");
}

void socketio_socket_open(socketio_socket *s)
{
    if (s->settled)
        return;
    peer_open(&s->peer);
    s->settled = true;
    mem_free(s->auth);
    s->auth = NULL;
    if (!s->client->ended)
        engineio_forget_request(&s->client->engine);
}

static size_t bytes_of(const weft_socketio_event *event)
{
    size_t bytes = event->args.len;
    for (size_t i = 0; i < event->n_attachments; i++)
        bytes += event->attachments[i].len;
    return bytes;
}

static void tell_message(const socketio_socket *s, const weft_socketio_event *event)
{
    const weft_message message = {.kind = WEFT_JSON, .data = event->args, .event = event->name};
    if (s->peer.rules->message)
        s->peer.rules->message(peer_handle(&s->peer), &message);
}

/* What was not acknowledged at once is remembered. */
static void tell_event(socketio_socket *s, weft_socketio_event *event)
{
    hub_event *known = &s->peer.hub->event;
    if (!s->nsp->rules->event) {
        tell_message(s, event);
        return;
    }
    known->ack = event->ack.id;
    s->nsp->rules->event(peer_handle(&s->peer), event);
    if (known->ack && !s->peer.leaving && socketio_owed_add(s, known->ack - 1))
        socketio_client_abort(s->client, ENGINEIO_FORCED_CLOSE);
}

static bool is_ack(socketio_type type)
{
    return type == SOCKETIO_ACK || type == SOCKETIO_BINARY_ACK;
}

/* An event without even a name, which the reference's parser lets pass, is nobody's. */
static void tell(socketio_socket *s, const socketio_packet *packet, weft_socketio_event *event)
{
    if (!is_ack(packet->type) && packet->name.at)
        tell_event(s, event);
    else if (is_ack(packet->type) && packet->has_id)
        socketio_acks_take(s, packet->id, event);
}

void socketio_socket_receive(socketio_socket *s, const socketio_packet *packet, const weft_str *attachments)
{
    hub_event *known = &s->peer.hub->event;
    weft_socketio_event event = {
        .name = packet->name,
        .args = packet->args,
        .attachments = attachments,
        .n_attachments = packet->n_attachments,
    };
    socketio_socket_open(s);
    if (s->peer.leaving)
        return;
    if (packet->has_id && !is_ack(packet->type))
        event.ack = (weft_socketio_ack){peer_handle(&s->peer), packet->id + 1};
    peer_count_in(&s->peer, bytes_of(&event));
    *known = (hub_event){.told = &event, .peer = s->peer.id};
    tell(s, packet, &event);
    *known = (hub_event){0};
}

/* -------------------------------------------------------------------------------------------------------------- ops */

/* A program may subscribe or send before it lets a client in: nothing is queued to one that is at its gate, as to one whose queue is full. */
static size_t socket_queued(const peer *p)
{
    const socketio_socket *s = socket_at(p);
    return s->admitted ? engineio_queued(&s->client->engine) : p->rules->max_queued_bytes;
}

static int socket_say(peer *p, str text)
{
    (void)p;
    (void)text;
    return WEFT_E_UNSUPPORTED;
}

static int socket_ping(peer *p, str payload)
{
    return socket_say(p, payload);
}

static void socket_pause(peer *p)
{
    socketio_client_pause(socket_at(p)->client);
}

static void socket_notify(peer *p)
{
    const socketio_socket *s = socket_at(p);
    if (s->admitted && !s->client->ended)
        engineio_notify(&s->client->engine);
}

/* For those who wait for its acks. */
static bool socket_close_waits(const peer *p)
{
    return socket_at(p)->owes_acks;
}

static void socket_about(const peer *p, weft_peer_info *ret_info)
{
    engineio_about(&socket_at(p)->client->engine, ret_info);
    ret_info->transport = WEFT_TRANSPORT_SOCKETIO;
}

static const weft_request *socket_request(peer *p)
{
    return engineio_request_of(&socket_at(p)->client->engine);
}

#define OPS                                                                                                            \
    .transport = WEFT_TRANSPORT_SOCKETIO, .send = socketio_send, .deliver = socketio_deliver, .say = socket_say,       \
    .ping = socket_ping, .close = socket_close, .abort = socket_abort, .pause = socket_pause, .queued = socket_queued, \
    .notify = socket_notify, .close_waits = socket_close_waits, .about = socket_about, .request = socket_request,      \
    .free = socket_free

/* What recovery needs stands at the end, and without it is not there. */
static const peer_ops plain_ops = {OPS, .bytes = offsetof(socketio_socket, logged)};
static const peer_ops recovering_ops = {OPS, .bytes = sizeof(socketio_socket)};
