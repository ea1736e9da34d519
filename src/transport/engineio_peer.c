#include "transport/engineio_peer.h"

#include "base/mem.h"
#include "proto/ws_frame.h"
#include <errno.h>

struct engineio_peer_route {
    engineio_route engine; /* first */
    peer_rules rules;
    uint32_t refs;
};

typedef struct {
    peer peer; /* first */
    engineio_session session;
} engineio_peer;

static const engineio_layer peer_layer;
static const peer_ops engineio_peer_ops;

static engineio_peer *of_session(engineio_session *s)
{
    return CONTAINER(s, engineio_peer, session);
}

static engineio_session *session_of(const peer *p)
{
    return &CONTAINER((uintptr_t)p, engineio_peer, peer)->session;
}

/* ------------------------------------------------------------------------------------------------------------- route */

engineio_peer_route *engineio_peer_route_new(const weft_engineio_options *options)
{
    engineio_peer_route *route = mem_zero(sizeof *route);
    if (!route)
        return NULL;
    if (engineio_route_init(&route->engine, &options->engine)) {
        mem_free(route);
        return NULL;
    }
    route->refs = 1;
    route->engine.layer = &peer_layer;
    route->engine.user = options->user;
    route->engine.request = options->request;
    route->engine.transport = WEFT_TRANSPORT_ENGINEIO;
    route->rules = (peer_rules){
        .user = options->user,
        .peer_bytes = options->peer_bytes,
        .open = options->open,
        .message = options->message,
        .drain = options->drain,
        .close = options->close,
        .max_queued_bytes = route->engine.settings.max_queued_bytes,
        .max_messages_per_s = options->engine.max_messages_per_s,
        .max_bytes_per_s = options->engine.max_bytes_per_s,
    };
    return route;
}

engineio_peer_route *engineio_peer_route_ref(engineio_peer_route *route)
{
    route->refs++;
    return route;
}

void engineio_peer_route_free(void *user)
{
    engineio_peer_route *route = user;
    if (--route->refs)
        return;
    engineio_route_done(&route->engine);
    mem_free(route);
}

/* ---------------------------------------------------------------------------------------------- the layer's calls */

static engineio_session *layer_create(hub *h, const engineio_route *route)
{
    const peer_rules *rules = &((const engineio_peer_route *)(const void *)route)->rules;
    engineio_peer *p = mem_zero(peer_bytes(&engineio_peer_ops, rules));
    if (!p)
        return NULL;
    if (!peer_init(&p->peer, h, &engineio_peer_ops, rules))
        return &p->session;
    mem_free(p);
    return NULL;
}

static void layer_begin(engineio_session *s, const weft_request *request)
{
    peer *p = &of_session(s)->peer;
    peer_keep_subject(p, request->sink);
    peer_open(p);
    engineio_forget_request(s);
}

static void layer_message(engineio_session *s, bool binary, str data)
{
    peer_receive(&of_session(s)->peer, &(weft_message){.kind = binary ? WEFT_BINARY : WEFT_TEXT, .data = data});
}

static void layer_ended(engineio_session *s, engineio_end why)
{
    peer *p = &of_session(s)->peer;
    if (!p->leaving)
        peer_leave(p, engineio_end_code(why), engineio_end_reason(why));
}

static void layer_sent(engineio_session *s)
{
    peer_sent(&of_session(s)->peer);
}

/* It was not open yet: the program hears nothing of it. */
static void layer_discard(engineio_session *s)
{
    peer_leave(&of_session(s)->peer, WS_CODE_ABNORMAL, (str){NULL, 0});
}

static const engineio_layer peer_layer = {
    .create = layer_create,
    .begin = layer_begin,
    .message = layer_message,
    .ended = layer_ended,
    .sent = layer_sent,
    .discard = layer_discard,
};

/* ------------------------------------------------------------------------------------------------- the peer's calls */

static int engineio_peer_send(peer *p, const weft_message *message)
{
    return engineio_send(session_of(p), message->kind == WEFT_BINARY, (str){NULL, 0}, message->data);
}

static chunk *make_image(pool *blocks, const blob *body, bool binary)
{
    str data = blob_data(body);
    chunk *image = engineio_image_new(blocks, binary, data.len);
    if (image && data.len)
        memcpy(engineio_image_data(image), data.at, data.len);
    return image;
}

static int engineio_peer_deliver(peer *p, topic *t, uint64_t offset)
{
    const blob *body = topic_message_at(t, offset)->body;
    bool binary = body->kind == WEFT_BINARY;
    chunk *image = topic_image(t, offset, WIRE_ENGINEIO);
    if (!image) {
        image = make_image(&p->hub->loop->blocks, body, binary);
        if (!image)
            return -ENOMEM;
        topic_keep_image(t, offset, WIRE_ENGINEIO, image);
    }
    return engineio_send_image(session_of(p), binary, image);
}

static int engineio_peer_say(peer *p, str text)
{
    return engineio_send(session_of(p), false, (str){NULL, 0}, text);
}

static int engineio_peer_ping(peer *p, str payload)
{
    (void)p;
    (void)payload;
    return WEFT_E_UNSUPPORTED;
}

/* Nothing of what the program says of its reasons can be told the client, nor is it what `close` is told. */
static void leave_as(peer *p, engineio_end why)
{
    peer_rename_close(p, engineio_end_code(why), engineio_end_reason(why));
}

static void engineio_peer_close(peer *p, int code, str reason)
{
    engineio_end why = code == WS_CODE_GOING_AWAY ? ENGINEIO_SHUTTING_DOWN : ENGINEIO_FORCED_CLOSE;
    (void)reason;
    leave_as(p, why);
    engineio_close(session_of(p), why);
}

static void engineio_peer_abort(peer *p)
{
    leave_as(p, ENGINEIO_FORCED_CLOSE);
    engineio_abort(session_of(p));
}

static void engineio_peer_pause(peer *p)
{
    engineio_pause(session_of(p), p->stop_reading != 0);
}

static size_t engineio_peer_queued(const peer *p)
{
    return engineio_queued(session_of(p));
}

static void engineio_peer_notify(peer *p)
{
    engineio_notify(session_of(p));
}

static void engineio_peer_about(const peer *p, weft_peer_info *ret_info)
{
    engineio_about(session_of(p), ret_info);
}

static const weft_request *engineio_peer_request(peer *p)
{
    return engineio_request_of(session_of(p));
}

static bool engineio_peer_free(peer *p)
{
    mem_free(CONTAINER(p, engineio_peer, peer));
    return true;
}

static const peer_ops engineio_peer_ops = {
    .transport = WEFT_TRANSPORT_ENGINEIO,
    .bytes = sizeof(engineio_peer),
    .send = engineio_peer_send,
    .deliver = engineio_peer_deliver,
    .say = engineio_peer_say,
    .ping = engineio_peer_ping,
    .close = engineio_peer_close,
    .abort = engineio_peer_abort,
    .pause = engineio_peer_pause,
    .queued = engineio_peer_queued,
    .notify = engineio_peer_notify,
    .about = engineio_peer_about,
    .request = engineio_peer_request,
    .free = engineio_peer_free,
};
