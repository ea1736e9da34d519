#include "base/base64.h"
#include "base/mem.h"
#include "loop/slots.h"
#include "proto/json_read.h"
#include "proto/json_text.h"
#include "transport/socketio_loops.h"
#include <errno.h>

enum { AGAIN_MS = 100 };

/**
 * A room and a topic. For the topic it is a subscriber that takes everything at once. It has no place among the peers of the program: its handle is of the kind of
 * those whose connection is still ending, which nobody finds or counts.
 */
struct socketio_bridge {
    peer peer; /* first */
    socketio_bridge *next;
    socketio_route *route;
    peer_rules rules;
    timer again;        /* with several loops: subscribes once more */
    bool started, busy; /* busy: broadcasts by itself */
    str nsp, room, topic;
    char names[];
};

/* ----------------------------------------------------------------------------------------------------------- emissions */

static int put_string(buf *to, str text)
{
    size_t len = json_text_len(text);
    if (buf_reserve(to, len))
        return -ENOMEM;
    to->len += json_text_put(to->at + to->len, text);
    return 0;
}

/* 0 or -ENOMEM. */
static int put_argument(buf *to, const blob *message)
{
    str data = blob_data(message);
    if (message->kind == WEFT_BINARY)
        return buf_put_text(to, "{\"_placeholder\":true,\"num\":0}");
    return message->kind == WEFT_TEXT ? put_string(to, data) : buf_put_str(to, data);
}

int socketio_emission_of(const blob *message, buf *room, weft_str *ret_attachment, socketio_emission *ret)
{
    str event = blob_event(message), data = blob_data(message);
    socketio_emission made = {.name = event.len && socketio_name_valid(event) ? event : STR("message")};
    if (message->kind == WEFT_JSON && event.len && data.at[0] == '[') {
        made.args = data;
        *ret = made;
        return 0;
    }
    size_t start = room->len;
    if (buf_put_text(room, "[") || put_argument(room, message) || buf_put_text(room, "]")) {
        room->len = start;
        return -ENOMEM;
    }
    made.args = (str){room->at + start, room->len - start};
    if (message->kind == WEFT_BINARY) {
        *ret_attachment = data;
        made.attachments = ret_attachment;
        made.n_attachments = 1;
    }
    *ret = made;
    return 0;
}

/* The end of the object that begins at i when nothing is nested in it; 0 else. */
static size_t flat_object_end(str json, size_t i)
{
    for (i++;;) {
        char c = json.at[i];
        if (c == '{' || c == '[')
            return 0;
        if (c == '}')
            return i + 1;
        i = c == '"' ? json_string_end(json, i) : i + 1;
    }
}

static int put_base64(buf *to, str bytes)
{
    size_t len = base64_encoded_len(bytes.len);
    if (buf_put_text(to, "\"") || buf_reserve(to, len + 1))
        return -ENOMEM;
    base64_encode(bytes.at, bytes.len, to->at + to->len);
    to->len += len;
    return buf_put_text(to, "\"");
}

/* The arguments with their attachments in them, as base64: what JSON can carry of them. 0 or -ENOMEM. */
static int put_inlined(buf *to, const socketio_emission *what)
{
    str args = what->args;
    size_t done = 0;
    for (size_t i = 0; i < args.len;) {
        size_t end = args.at[i] == '{' ? flat_object_end(args, i) : 0;
        int n = end ? socketio_placeholder((str){args.at + i, end - i}) : -1;
        if (n < 0 || (uint32_t)n >= what->n_attachments) {
            i = args.at[i] == '"' ? json_string_end(args, i) : i + 1;
            continue;
        }
        if (buf_put(to, args.at + done, i - done) || put_base64(to, what->attachments[n]))
            return -ENOMEM;
        i = done = end;
    }
    return buf_put(to, args.at + done, args.len - done);
}

/* True for arguments that are one attachment and nothing else: what a binary message becomes, and becomes one again. */
static bool is_one_attachment(const socketio_emission *what)
{
    str rest = what->n_attachments == 1 ? json_begin(what->args) : (str){NULL, 0}, value;
    return json_next_element(&rest, &value) && rest.len == 0 && socketio_placeholder(value) == 0;
}

/* What is published. 0, WEFT_E_INVALID or -ENOMEM. */
static int message_of(pool *blocks, const socketio_emission *what, blob **ret_body)
{
    buf inlined = {0};
    weft_kind kind = WEFT_JSON;
    str data = what->args.at ? what->args : STR("[]");
    if (!what->name.len || !topic_event_valid(what->name))
        return WEFT_E_INVALID;
    if (is_one_attachment(what)) {
        kind = WEFT_BINARY;
        data = what->attachments[0];
    } else if (what->n_attachments) {
        if (put_inlined(&inlined, what)) {
            buf_done(&inlined);
            return -ENOMEM;
        }
        data = buf_str(&inlined);
    }
    blob *body = blob_new(blocks, kind, what->name, data);
    buf_done(&inlined);
    if (!body)
        return -ENOMEM;
    *ret_body = body;
    return 0;
}

/* ---------------------------------------------------------------------------------------------------- from the topic */

static socketio_bridge *bridge_of(const peer *p)
{
    return (socketio_bridge *)(uintptr_t)p;
}

static socketio_audience whole_room(const socketio_bridge *b)
{
    return (socketio_audience){.rooms = &b->room, .n_rooms = b->room.len > 0};
}

/* Broadcasts as if there were no bridge. 0 or -ENOMEM. */
static int broadcast(socketio_bridge *b, const socketio_audience *to, const socketio_emission *what)
{
    hub *h = b->peer.hub;
    socketio_namespace *n = h->reach ? NULL : socketio_namespace_find(b->route, h, b->nsp);
    int error = 0;
    b->busy = true;
    if (h->reach)
        error = socketio_loops_give(b->route, h, &(socketio_order){.nsp = b->nsp, .to = *to, .what = *what});
    else if (n)
        error = socketio_broadcast(n, to, what);
    b->busy = false;
    return error;
}

static void close_socket(socketio_socket *s, void *user)
{
    (void)user;
    if (s->client)
        socketio_client_close(s->client, ENGINEIO_FORCED_CLOSE);
}

/* There was no memory for a message that the topic has taken. As with other subscribers, who should have had it loses the connection instead, and knows. */
static void cut_room(socketio_bridge *b, const socketio_audience *to)
{
    hub *h = b->peer.hub;
    if (h->reach) {
        socketio_loops_lose(b->route, h);
        return;
    }
    socketio_namespace *n = socketio_namespace_find(b->route, h, b->nsp);
    if (!n)
        return;
    if (n->log)
        socketio_log_forget(n->log);
    socketio_each(n, to, close_socket, NULL);
}

/* Never fails: there is no client to be closed for it. */
static int bridge_deliver(peer *p, topic *t, uint64_t offset)
{
    socketio_bridge *b = bridge_of(p);
    const topic_message *message = topic_message_at(t, offset);
    peer *except = slots_get(p->hub->table, message->except, SLOT_PEER);
    socketio_audience to = whole_room(b);
    socketio_emission what;
    weft_str attachment;
    buf text = {0};
    to.sender = except ? socketio_socket_of(except) : NULL;
    to.away = message->except;
    blob *body = blob_ref(message->body);
    if (socketio_emission_of(body, &text, &attachment, &what) || broadcast(b, &to, &what))
        cut_room(b, &to);
    buf_done(&text);
    blob_unref(&p->hub->loop->blocks, body);
    return 0;
}

/* ------------------------------------------------------------------------------------------------------- to the topic */

socketio_bridge *socketio_bridge_find(const socketio_route *route, str nsp, const socketio_audience *to)
{
    for (socketio_bridge *b = route->bridges; b; b = b->next) {
        bool same_rooms = b->room.len ? to->n_rooms == 1 && str_equal(to->rooms[0], b->room) : to->n_rooms == 0;
        if (same_rooms && b->started && !b->busy && str_equal(nsp, b->nsp))
            return b;
    }
    return NULL;
}

/* What the topic cannot carry goes to the room by itself: rooms that are excepted, several attachments, that it may be dropped. */
static bool fits_topic(const socketio_audience *to, const socketio_emission *what)
{
    return !to->n_except && !what->is_volatile && (!what->n_attachments || is_one_attachment(what));
}

int socketio_bridge_publish(socketio_bridge *b, const socketio_audience *to, const socketio_emission *what)
{
    hub *h = b->peer.hub;
    blob *body;
    uint64_t except = to->sender ? to->sender->peer.id : to->away;
    int error = message_of(&h->loop->blocks, what, &body);
    if (error)
        return error;
    hub_catch_up(h, &b->peer); /* what was published before goes first */
    if (!fits_topic(to, what)) {
        except = b->peer.id;
        error = broadcast(b, to, what);
    }
    if (error) {
        blob_unref(&h->loop->blocks, body);
        return error;
    }
    error = hub_publish(h, b->topic, body, except, NULL);
    hub_catch_up(h, &b->peer); /* as if it had been broadcast: what the program sends next comes behind it */
    return error;
}

/* ------------------------------------------------------------------------------------------------------- life and death */

static size_t bridge_queued(const peer *p)
{
    (void)p;
    return 0;
}

static void bridge_no_op(peer *p)
{
    (void)p;
}

static void bridge_close(peer *p, int code, str reason)
{
    (void)p;
    (void)code;
    (void)reason;
}

/* Messages have not reached this loop. Never fails. */
static int bridge_gap(peer *p, topic *t, uint64_t next)
{
    socketio_audience to = whole_room(bridge_of(p));
    (void)t;
    (void)next;
    cut_room(bridge_of(p), &to);
    return 0;
}

static void bridge_turn(peer *p);

/* As few as a topic asks of a subscriber that never lags, and what a drain asks of a connection that is ending. */
static const peer_ops bridge_ops = {
    .transport = (weft_transport)HUB_CARRIER,
    .bytes = sizeof(socketio_bridge),
    .deliver = bridge_deliver,
    .gap = bridge_gap,
    .close = bridge_close,
    .abort = bridge_no_op,
    .notify = bridge_no_op,
    .turn = bridge_turn,
    .queued = bridge_queued,
};

static str take_name(char **at, str name)
{
    str copy = {*at, name.len};
    if (name.len)
        memcpy(*at, name.at, name.len);
    *at += name.len;
    return copy;
}

int socketio_bridge_add(socketio_route *route, str nsp, str room, str topic_text)
{
    socketio_bridge *b = mem_zero(sizeof *b + nsp.len + room.len + topic_text.len), **end = &route->bridges;
    if (!b)
        return -ENOMEM;
    char *at = b->names;
    b->nsp = take_name(&at, nsp);
    b->room = take_name(&at, room);
    b->topic = take_name(&at, topic_text);
    b->route = route;
    b->rules = (peer_rules){.max_queued_bytes = SIZE_MAX, .carrier = true};
    while (*end)
        end = &(*end)->next;
    *end = b;
    return 0;
}

static int subscribe(socketio_bridge *b)
{
    return hub_subscribe(b->peer.hub, &b->peer, b->topic, (since){.from = SINCE_NOW}, NULL);
}

static void subscribe_again(timer *clock)
{
    socketio_bridge *b = CONTAINER(clock, socketio_bridge, again);
    if (subscribe(b))
        loop_arm(b->peer.hub->loop, clock, AGAIN_MS, subscribe_again);
}

/* The topic is at home on another loop, and what was published there did not get here in time or found no memory: who should have had it loses the connection, and
 * the bridge begins anew. When that loop has ended the application is ending. */
static void bridge_turn(peer *p)
{
    socketio_bridge *b = bridge_of(p);
    socketio_audience to = whole_room(b);
    if (!p->leaving || p->close_code == 1001)
        return;
    p->leaving = false;
    peer_extra_free(p);
    cut_room(b, &to);
    subscribe_again(&b->again);
}

static int start(socketio_bridge *b, hub *h)
{
    b->peer.hub = h;
    b->peer.ops = &bridge_ops;
    b->peer.rules = &b->rules;
    b->peer.id = slots_put(h->table, SLOT_CLOSING, &b->peer);
    if (!b->peer.id)
        return -ENOMEM;
    b->started = true;
    return subscribe(b);
}

static bool is_at_home(const socketio_bridge *b, const hub *h)
{
    return !h->reach || socketio_home(b->route, h->reach->links, b->nsp) == h->reach->number;
}

int socketio_bridges_start(socketio_route *route, hub *h)
{
    for (socketio_bridge *b = route->bridges; b; b = b->next) {
        int error = is_at_home(b, h) ? start(b, h) : 0;
        if (error) {
            socketio_bridges_stop(route, h);
            return error;
        }
    }
    return 0;
}

static void stop(socketio_bridge *b)
{
    hub *h = b->peer.hub;
    b->started = false;
    hub_unsubscribe_all(h, &b->peer);
    slots_remove(h->table, b->peer.id);
    peer_unmark(&b->peer);
    loop_cancel(h->loop, &b->again);
    peer_extra_free(&b->peer);
    b->peer = (peer){0};
}

void socketio_bridges_stop(const socketio_route *route, const hub *h)
{
    for (socketio_bridge *b = route->bridges; b; b = b->next)
        if (b->started && b->peer.hub == h)
            stop(b);
}

void socketio_bridges_free(socketio_route *route)
{
    for (socketio_bridge *b = route->bridges, *next; b; b = next) {
        next = b->next;
        mem_free(b);
    }
    route->bridges = NULL;
}
