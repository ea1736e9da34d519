#include "base/mem.h"
#include "proto/json_read.h"
#include "transport/socketio.h"
#include <errno.h>

enum { MOST_SOCKETS = 1000 }; /* of one client: what a packet is for is looked for one by one */

/**
 * A binary packet whose attachments are still coming, which are copied: what brings them is gone afterwards. Behind it stands the packet's text.
 *
 *     | socketio_collection | text |        parts[0] ... parts[n - 1]: each a block of its own
 */
typedef struct socketio_collection {
    socketio_packet packet; /* borrowed from the text */
    size_t bytes;           /* of text and parts */
    uint32_t n;
    weft_str parts[SOCKETIO_MAX_ATTACHMENTS];
    char text[];
} socketio_collection;

/** Until it has joined, and so only for a moment. */
typedef struct socketio_deadline {
    timer clock;
    socketio_client *client;
} socketio_deadline;

static void client_task(loop_task *task);

static socketio_client *client_of(engineio_session *s)
{
    return CONTAINER(s, socketio_client, engine);
}

static const socketio_route *route_of(const socketio_client *c)
{
    return (const socketio_route *)(const void *)c->engine.route;
}

static loop *loop_of(const socketio_client *c)
{
    return c->engine.hub->loop;
}

/* ------------------------------------------------------------------------------------------------------------- life */

static engineio_session *client_create(hub *h, const engineio_route *route)
{
    (void)h;
    (void)route;
    socketio_client *c = mem_zero(sizeof *c);
    socketio_deadline *deadline = mem_zero(sizeof *deadline);
    if (!c || !deadline) {
        mem_free(c);
        mem_free(deadline);
        return NULL;
    }
    c->deadline = deadline;
    c->task.run = client_task;
    return &c->engine;
}

static void client_discard(engineio_session *s)
{
    mem_free(client_of(s)->deadline);
    mem_free(client_of(s));
}

/* A gate that takes too long is no namespace either. */
static void connect_timed_out(timer *clock)
{
    socketio_client_close(CONTAINER(clock, socketio_deadline, clock)->client, ENGINEIO_FORCED_CLOSE);
}

static void drop_deadline(socketio_client *c)
{
    loop_cancel(loop_of(c), &c->deadline->clock);
    mem_free(c->deadline);
    c->deadline = NULL;
}

static void client_begin(engineio_session *s, const weft_request *request)
{
    socketio_client *c = client_of(s);
    (void)request;
    c->deadline->client = c;
    loop_arm_roughly(loop_of(c), &c->deadline->clock, route_of(c)->connect_timeout_ms, connect_timed_out);
}

static void drop_collection(socketio_client *c)
{
    socketio_collection *all = c->collecting;
    c->collecting = NULL;
    for (uint32_t i = 0; all && i < all->n; i++)
        mem_free((char *)(uintptr_t)all->parts[i].at);
    mem_free(all);
}

/* Its connection is gone, or going: nobody is heard any more. */
static void lose_sockets(socketio_client *c, engineio_end why)
{
    while (c->sockets)
        socketio_socket_lose(c->sockets, why);
}

static void client_ended(engineio_session *s, engineio_end why)
{
    socketio_client *c = client_of(s);
    if (c->doom)
        why = (engineio_end)(c->doom - 1);
    c->ended = true;
    if (c->joined)
        drop_collection(c);
    else
        drop_deadline(c);
    lose_sockets(c, why);
    loop_defer(loop_of(c), &c->task);
}

static void end_doomed(socketio_client *c)
{
    hub *h = c->engine.hub;
    engineio_end why = (engineio_end)(c->doom - 1);
    h->limit = c->limit ? limit_count(&h->net->limits, (limit_id)(c->limit - 1)) : NULL;
    lose_sockets(c, why);
    h->limit = NULL;
    if (c->cut)
        engineio_abort(&c->engine);
    else
        engineio_close(&c->engine, why == ENGINEIO_SHUTTING_DOWN ? why : ENGINEIO_FORCED_CLOSE);
}

static void settle_sockets(socketio_client *c)
{
    for (socketio_socket *s = c->sockets, *next; s; s = next) {
        next = s->sibling;
        if (s->admitted && !s->settled)
            socketio_socket_open(s);
    }
}

static void client_task(loop_task *task)
{
    socketio_client *c = CONTAINER(task, socketio_client, task);
    if (c->doom && !c->ended)
        end_doomed(c); /* client_ended() defers the task once more */
    else if (!c->ended)
        settle_sockets(c);
    else if (!c->n_sockets)
        mem_free(c);
}

static void doom(socketio_client *c, engineio_end why, bool cut)
{
    if (c->ended)
        return;
    if (!c->doom)
        c->doom = (uint8_t)(why + 1);
    c->cut |= cut;
    loop_defer(loop_of(c), &c->task);
}

void socketio_client_close(socketio_client *c, engineio_end why)
{
    doom(c, why, false);
}

void socketio_client_abort(socketio_client *c, engineio_end why)
{
    doom(c, why, true);
}

void socketio_client_limit(socketio_client *c, limit_id limit, engineio_end why)
{
    if (!c->limit)
        c->limit = (uint8_t)(limit + 1);
    doom(c, why, true);
}

void socketio_client_dismiss(socketio_client *c)
{
    while (c->sockets)
        socketio_socket_dismiss(c->sockets);
    socketio_client_close(c, ENGINEIO_FORCED_CLOSE);
}

/* ---------------------------------------------------------------------------------------------------------- sockets */

socketio_socket *socketio_client_socket(const socketio_client *c, str nsp)
{
    socketio_socket *s = c->sockets;
    while (s && !str_equal(s->nsp->entry.key, nsp))
        s = s->sibling;
    return s;
}

void socketio_client_attach(socketio_client *c, socketio_socket *s)
{
    s->client = c;
    s->sibling = c->sockets;
    c->sockets = s;
    c->n_sockets++;
}

void socketio_client_detach(socketio_client *c, socketio_socket *s)
{
    socketio_socket **at = &c->sockets;
    while (*at != s)
        at = &(*at)->sibling;
    *at = s->sibling;
    socketio_client_pause(c);
}

void socketio_client_release(socketio_client *c)
{
    c->n_sockets--;
    if (c->ended && !c->n_sockets)
        loop_defer(loop_of(c), &c->task);
}

void socketio_client_joined(socketio_client *c)
{
    if (!c->joined)
        drop_deadline(c);
    c->joined = true;
    loop_defer(loop_of(c), &c->task);
}

/* One that does not want to be read from holds up the others: they share the connection. */
void socketio_client_pause(socketio_client *c)
{
    bool paused = false;
    for (const socketio_socket *s = c->sockets; s && !paused; s = s->sibling)
        paused = s->admitted && s->peer.stop_reading;
    if (!c->ended && paused != c->engine.paused)
        engineio_pause(&c->engine, paused);
}

int socketio_client_say(socketio_client *c, socketio_type type, str nsp, str json)
{
    pool *blocks = &loop_of(c)->blocks;
    size_t block_bytes;
    char *text = pool_get(blocks, nsp.len + json.len + SOCKETIO_SMALL_BYTES, &block_bytes);
    int error = -ENOMEM;
    if (text) {
        str packet = {text, socketio_plain_put(text, type, nsp, json)};
        error = engineio_send(&c->engine, false, (str){NULL, 0}, packet);
        pool_put(blocks, text, block_bytes);
    }
    if (error)
        socketio_client_abort(c, ENGINEIO_FORCED_CLOSE);
    return error;
}

/* ---------------------------------------------------------------------------------------------------------- packets */

static void take_connect(socketio_client *c, const socketio_packet *packet)
{
    if (c->n_sockets >= MOST_SOCKETS)
        socketio_client_close(c, ENGINEIO_FORCED_CLOSE);
    else if (socketio_socket_join(c, packet->nsp, packet->args))
        socketio_client_abort(c, ENGINEIO_FORCED_CLOSE);
}

/* What a socket can be sent by its client. One that is at its gate cannot yet. */
static bool is_for_socket(const socketio_socket *s, socketio_type type)
{
    return s && s->admitted && type != SOCKETIO_CONNECT && type != SOCKETIO_CONNECT_ERROR;
}

static void take_packet(socketio_client *c, const socketio_packet *packet, const weft_str *attachments)
{
    socketio_socket *s = socketio_client_socket(c, packet->nsp);
    if (!s && packet->type == SOCKETIO_CONNECT)
        take_connect(c, packet);
    else if (!is_for_socket(s, packet->type) && (s || !c->dismissed))
        socketio_client_close(c, ENGINEIO_FORCED_CLOSE);
    else if (s && packet->type == SOCKETIO_DISCONNECT)
        socketio_socket_leave(s, 1000, STR("client namespace disconnect"), false);
    else if (s)
        socketio_socket_receive(s, packet, attachments);
}

static void shift(str *view, str from, char *to)
{
    if (view->at >= from.at && view->at < from.at + from.len)
        view->at = to + (view->at - from.at);
}

/* Keeps a packet until its attachments are there. 0 or -ENOMEM. */
static int collect(socketio_client *c, const socketio_packet *packet, str text)
{
    socketio_collection *all = mem_new(sizeof *all + text.len);
    if (!all)
        return -ENOMEM;
    *all = (socketio_collection){.packet = *packet, .bytes = text.len};
    memcpy(all->text, text.at, text.len);
    shift(&all->packet.nsp, text, all->text);
    shift(&all->packet.name, text, all->text);
    shift(&all->packet.args, text, all->text);
    c->collecting = all;
    return 0;
}

static bool is_collecting(const socketio_client *c)
{
    return c->joined && c->collecting;
}

/* A binary packet of a client that has not joined is for nobody: its attachments need not come to know that. */
static void take_text(socketio_client *c, str text)
{
    socketio_packet packet;
    if (is_collecting(c) || socketio_read((char *)(uintptr_t)text.at, text.len, &packet))
        socketio_client_close(c, ENGINEIO_PARSE_ERROR);
    else if (!packet.n_attachments || !c->joined)
        take_packet(c, &packet, NULL);
    else if (collect(c, &packet, text))
        socketio_client_abort(c, ENGINEIO_FORCED_CLOSE);
}

/* The last one needs no copy: the packet is told at once. */
static void take_last(socketio_client *c, str data)
{
    socketio_collection *all = c->collecting;
    c->collecting = NULL;
    all->parts[all->n] = data;
    take_packet(c, &all->packet, all->parts);
    for (uint32_t i = 0; i < all->n; i++)
        mem_free((char *)(uintptr_t)all->parts[i].at);
    mem_free(all);
}

static void take_binary(socketio_client *c, str data)
{
    socketio_collection *all = is_collecting(c) ? c->collecting : NULL;
    if (!all) {
        socketio_client_close(c, ENGINEIO_PARSE_ERROR);
        return;
    }
    all->bytes += data.len;
    if (all->bytes > c->engine.route->settings.max_http_buffer_size) {
        socketio_client_limit(c, LIMIT_MESSAGE_BYTES, ENGINEIO_PARSE_ERROR);
        return;
    }
    if (all->n + 1 == all->packet.n_attachments) {
        take_last(c, data);
        return;
    }
    char *copy = mem_copy_text(data.at, data.len);
    if (!copy)
        socketio_client_abort(c, ENGINEIO_FORCED_CLOSE);
    else
        all->parts[all->n++] = (str){copy, data.len};
}

static void client_message(engineio_session *s, bool binary, str data)
{
    socketio_client *c = client_of(s);
    if (!socketio_client_lives(c))
        return;
    if (binary)
        take_binary(c, data);
    else
        take_text(c, data);
}

static void client_sent(engineio_session *s)
{
    for (socketio_socket *one = client_of(s)->sockets; one; one = one->sibling)
        peer_sent(&one->peer);
}

const engineio_layer socketio_layer = {
    .create = client_create,
    .begin = client_begin,
    .message = client_message,
    .ended = client_ended,
    .sent = client_sent,
    .discard = client_discard,
};
