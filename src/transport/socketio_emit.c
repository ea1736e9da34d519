#include "base/utf8.h"
#include "transport/socketio.h"
#include <assert.h>
#include <errno.h>

enum {
    /* Of a head: each byte of an event's name may take six, and there are a namespace, an id, and a few more. */
    HEAD_BYTES = 6 * SOCKETIO_MAX_EVENT_BYTES + SOCKETIO_MAX_NAME_BYTES + 64,
};

bool socketio_name_valid(str name)
{
    return name.len <= SOCKETIO_MAX_EVENT_BYTES && utf8_valid(name.at, name.len) && !socketio_name_reserved(name);
}

/* ----------------------------------------------------------------------------------------------------------- a packet */

static bool has_args(const socketio_emission *what)
{
    return what->args.at && !socketio_no_args(what->args);
}

static socketio_head head_of(const socketio_namespace *n, const socketio_emission *what, const uint64_t *id)
{
    socketio_head head = {
        .type = SOCKETIO_EVENT,
        .n_attachments = what->n_attachments,
        .nsp = n->entry.key,
        .has_id = id,
        .id = id ? *id : 0,
        .name = what->name,
        .has_args = has_args(what),
    };
    return head;
}

/* The arguments behind their bracket, or the rest of `[]`, which the head has whole. */
static str rest_of(const socketio_head *head, const socketio_emission *what)
{
    return head->has_args ? (str){what->args.at + 1, what->args.len - 1} : (str){NULL, 0};
}

/* Straight to one client: nothing is allocated, and what is sent on goes from where it lies. 0 or -ENOMEM. */
static int put_packet(socketio_client *c, const socketio_head *head, const socketio_emission *what)
{
    char room[ENGINEIO_ROOM + HEAD_BYTES], *text = room + ENGINEIO_ROOM;
    assert(head->name.len <= SOCKETIO_MAX_EVENT_BYTES && head->nsp.len <= SOCKETIO_MAX_NAME_BYTES);
    str front = {text, socketio_head_put(text, head)};
    int error = engineio_send(&c->engine, false, front, rest_of(head, what));
    for (uint32_t i = 0; i < what->n_attachments && !error; i++)
        error = engineio_send(&c->engine, true, (str){NULL, 0}, what->attachments[i]);
    return error;
}

/* ------------------------------------------------------------------------------------------------------------ images */

/* Behind the head: the arguments, and the offset as the last one. */
static char *put_rest(char *at, const socketio_emission *what, str offset, bool args)
{
    if (args)
        at = str_put(at, (str){what->args.at + 1, what->args.len - 2});
    if (args && offset.len)
        *at++ = ',';
    if (offset.len) {
        *at++ = '"';
        at = str_put(at, offset);
        *at++ = '"';
    }
    if (args || offset.len)
        *at++ = ']';
    return at;
}

static chunk *text_image(const socketio_namespace *n, const socketio_emission *what, str offset)
{
    socketio_head head = head_of(n, what, NULL);
    bool args = head.has_args;
    head.has_args = args || offset.len;
    size_t head_len = socketio_head_len(&head);
    size_t rest_len = (args ? what->args.len - 1 : 0) + (offset.len ? offset.len + 2 + 1 : 0);
    chunk *image = engineio_image_new(&n->hub->loop->blocks, false, head_len + rest_len);
    if (!image)
        return NULL;
    char *at = engineio_image_data(image), *end = put_rest(at + socketio_head_put(at, &head), what, offset, args);
    assert((size_t)(end - at) == head_len + rest_len);
    (void)end;
    return image;
}

static chunk *attachment_image(const socketio_namespace *n, weft_str attachment)
{
    chunk *image = engineio_image_new(&n->hub->loop->blocks, true, attachment.len);
    if (image)
        str_put(engineio_image_data(image), attachment);
    return image;
}

void socketio_images_drop(pool *blocks, socketio_packet_images *images)
{
    while (images->n)
        chunk_unref(blocks, images->images[--images->n]);
}

int socketio_images_make(const socketio_namespace *n, const socketio_emission *what, str offset,
                         socketio_packet_images *ret)
{
    socketio_packet_images made = {.n = 0};
    chunk *image = text_image(n, what, offset);
    for (uint32_t i = 0; image; i++) {
        made.images[made.n++] = image;
        if (i == what->n_attachments) {
            *ret = made;
            return 0;
        }
        image = attachment_image(n, what->attachments[i]);
    }
    socketio_images_drop(&n->hub->loop->blocks, &made);
    return -ENOMEM;
}

int socketio_images_send(socketio_client *c, const socketio_packet_images *images)
{
    int error = engineio_send_image(&c->engine, false, images->images[0]);
    for (uint32_t i = 1; i < images->n && !error; i++)
        error = engineio_send_image(&c->engine, true, images->images[i]);
    return error;
}

/* ----------------------------------------------------------------------------------------------------------- to one */

/* With its offset, and into the log: whoever loses the connection gets it later. */
static int put_logged(socketio_socket *s, const socketio_emission *what)
{
    socketio_log *log = s->nsp->log;
    char text[SOCKETIO_OFFSET_BYTES];
    str offset = {text, socketio_log_next(log, text)}, own = {s->id, SOCKETIO_ID_BYTES};
    socketio_packet_images images;
    if (socketio_images_make(s->nsp, what, offset, &images))
        return -ENOMEM;
    socketio_log_add(log, &images, &(socketio_audience){.rooms = &own, .n_rooms = 1});
    int error = socketio_images_send(s->client, &images);
    socketio_images_drop(&s->peer.hub->loop->blocks, &images);
    return error;
}

static int put_event(socketio_socket *s, const socketio_emission *what, const uint64_t *id)
{
    if (s->nsp->log && !what->is_volatile && !id)
        return put_logged(s, what);
    const socketio_head head = head_of(s->nsp, what, id);
    return put_packet(s->client, &head, what);
}

/* After a packet was sent, or could not be. */
static int sent(socketio_socket *s, const socketio_emission *what, int error)
{
    if (error) {
        peer_abort(&s->peer);
        return error;
    }
    peer_count_out(&s->peer, 1, what->args.len);
    return peer_queued_result(&s->peer);
}

/* It has to go at once or not at all. */
static bool is_dropped(const socketio_socket *s, const socketio_emission *what)
{
    return what->is_volatile && !s->peer.leaving && (s->peer.n_lagging || !engineio_writable(&s->client->engine));
}

/* 0, or why nothing can be sent to it. */
static int may_send(socketio_socket *s)
{
    if (!s->peer.leaving && !socketio_client_lives(s->client))
        return WEFT_E_CLOSED;
    return s->admitted || s->peer.leaving ? peer_may_send(&s->peer) : WEFT_E_INVALID;
}

int socketio_emit(socketio_socket *s, const socketio_emission *what, const uint64_t *id)
{
    if (s->admitted && is_dropped(s, what))
        return 0;
    int error = may_send(s);
    return error ? error : sent(s, what, put_event(s, what, id));
}

int socketio_call(socketio_socket *s, const socketio_emission *what, uint32_t timeout_ms, weft_socketio_ack_fn fn,
                  void *user)
{
    uint64_t id;
    bool dropped = s->admitted && is_dropped(s, what);
    int error = dropped ? 0 : may_send(s);
    if (error)
        return error;
    if (socketio_acks_add(s, timeout_ms, fn, user, &id))
        return -ENOMEM;
    if (dropped)
        return 0;
    error = put_event(s, what, &id);
    if (error)
        socketio_acks_forget(s, id); /* before the socket leaves, and tells */
    return sent(s, what, error);
}

int socketio_acknowledge(socketio_socket *s, uint64_t id, const socketio_emission *what)
{
    int error = may_send(s);
    if (!error && !socketio_owed_has(s, id))
        error = WEFT_E_INVALID;
    if (error)
        return error;
    socketio_head head = head_of(s->nsp, what, &id);
    head.type = SOCKETIO_ACK;
    socketio_owed_take(s, id);
    return sent(s, what, put_packet(s->client, &head, what));
}

/* ---------------------------------------------------------------------------------------------- a program's messages */

/* The result of fn for what a message is as an event. */
static int as_emission(blob *message, int (*fn)(void *to, const socketio_emission *what), void *to)
{
    buf text = {0};
    weft_str attachment;
    socketio_emission what;
    int error = socketio_emission_of(message, &text, &attachment, &what);
    if (!error)
        error = fn(to, &what);
    buf_done(&text);
    return error;
}

static int put_to(void *to, const socketio_emission *what)
{
    return put_event(to, what, NULL);
}

int socketio_send(peer *p, const weft_message *message)
{
    socketio_socket *s = socketio_socket_of(p);
    pool *blocks = &p->hub->loop->blocks;
    if (!socketio_client_lives(s->client))
        return WEFT_E_CLOSED;
    if (!socketio_name_valid(message->event))
        return WEFT_E_INVALID;
    blob *body = blob_new(blocks, message->kind, message->event, message->data);
    if (!body)
        return -ENOMEM;
    int error = as_emission(body, put_to, s);
    blob_unref(blocks, body);
    return error;
}

/* What others of the namespace "/" are delivered as it is. */
typedef struct {
    socketio_socket *socket;
    chunk *image;
} shared;

static int make_shared(void *to, const socketio_emission *what)
{
    shared *made = to;
    made->image = text_image(made->socket->nsp, what, (str){NULL, 0});
    return made->image ? 0 : -ENOMEM;
}

static int deliver_shared(socketio_socket *s, topic *t, uint64_t offset)
{
    shared made = {s, topic_image(t, offset, WIRE_SOCKETIO)};
    if (!made.image) {
        int error = as_emission(topic_message_at(t, offset)->body, make_shared, &made);
        if (error)
            return error;
        topic_keep_image(t, offset, WIRE_SOCKETIO, made.image);
    }
    return engineio_send_image(&s->client->engine, false, made.image);
}

/* A packet that goes with no log, as the topic has its own. */
static int put_unlogged(void *to, const socketio_emission *what)
{
    socketio_socket *s = to;
    const socketio_head head = head_of(s->nsp, what, NULL);
    return put_packet(s->client, &head, what);
}

int socketio_deliver(peer *p, topic *t, uint64_t offset)
{
    socketio_socket *s = socketio_socket_of(p);
    blob *body = topic_message_at(t, offset)->body;
    if (!socketio_client_lives(s->client))
        return 0;
    if (body->kind != WEFT_BINARY && s->nsp->entry.key.len == 1)
        return deliver_shared(s, t, offset);
    return as_emission(body, put_unlogged, s);
}

/* ----------------------------------------------------------------------------------------------------------- to many */

/** A broadcast on its way: the images are made for the first who gets them. */
typedef struct {
    socketio_namespace *nsp;
    const socketio_emission *what;
    str offset;
    socketio_packet_images images;
    int error;
} broadcast;

static bool make_images(broadcast *b)
{
    if (!b->images.n && !b->error)
        b->error = socketio_images_make(b->nsp, b->what, b->offset, &b->images);
    return b->images.n;
}

/* False for one that is not sent it: it is going, or it is volatile and cannot go at once, or the queue is at its limit, and then the client comes back, maybe to
 * what it has missed, rather than to go on without knowing. */
static bool has_room(socketio_socket *s, const socketio_emission *what)
{
    socketio_client *c = s->client;
    if (!socketio_client_lives(c))
        return false;
    if (what->is_volatile)
        return engineio_writable(&c->engine);
    if (engineio_queued(&c->engine) < s->peer.rules->max_queued_bytes)
        return true;
    socketio_client_limit(c, LIMIT_QUEUED_BYTES, ENGINEIO_FORCED_CLOSE);
    return false;
}

static void send_to(socketio_socket *s, void *user)
{
    broadcast *b = user;
    if (s->peer.n_subscriptions)
        hub_catch_up(b->nsp->hub, &s->peer);
    if (s->peer.leaving || !has_room(s, b->what) || !make_images(b))
        return;
    if (socketio_images_send(s->client, &b->images))
        socketio_client_abort(s->client, ENGINEIO_FORCED_CLOSE);
    else
        peer_count_out(&s->peer, 1, b->what->args.len);
}

int socketio_broadcast(socketio_namespace *n, const socketio_audience *to, const socketio_emission *what)
{
    char text[SOCKETIO_OFFSET_BYTES];
    broadcast b = {.nsp = n, .what = what};
    bool logged = n->log && !what->is_volatile;
    if (logged) {
        b.offset = (str){text, socketio_log_next(n->log, text)};
        if (!make_images(&b))
            return b.error;
        socketio_log_add(n->log, &b.images, to);
    }
    socketio_each(n, to, send_to, &b);
    socketio_images_drop(&n->hub->loop->blocks, &b.images);
    return b.error;
}
