#include "transport/engineio_private.h"

#include "base/base64.h"
#include "base/mem.h"
#include "proto/engineio.h"
#include "proto/form.h"
#include "proto/ws_frame.h"
#include <errno.h>

static engineio_session *session_of(const peer *p)
{
    return CONTAINER(p->handler, engineio_session, carrier);
}

/* ------------------------------------------------------------------------------------------------------- the carrier */

static int send_base64(engineio_session *s, str front, str body)
{
    size_t len = front.len + body.len;
    chunk *data = chunk_new(engineio_blocks(s), len), *text = NULL;
    int error = -ENOMEM;
    if (data)
        text = chunk_new(engineio_blocks(s), engineio_payload_len(true, len));
    if (text) {
        if (front.len)
            memcpy(data->bytes, front.at, front.len);
        if (body.len)
            memcpy(data->bytes + front.len, body.at, body.len);
        text->len = engineio_payload_put(text->bytes, true, (str){data->bytes, len});
        error = websocket_send_pieces(s->websocket, false, (str){NULL, 0}, (str){text->bytes, text->len});
    }
    chunk_unref(engineio_blocks(s), data);
    chunk_unref(engineio_blocks(s), text);
    return error;
}

int engineio_websocket_message(engineio_session *s, bool binary, str front, str body)
{
    char alone[ENGINEIO_ROOM];
    if (binary && s->base64)
        return send_base64(s, front, body);
    if (binary)
        return websocket_send_pieces(s->websocket, true, front, body);
    char *type = front.len ? (char *)(uintptr_t)front.at - 1 : alone + sizeof alone - 1;
    *type = '0' + ENGINEIO_MESSAGE;
    return websocket_send_pieces(s->websocket, false, (str){type, 1 + front.len}, body);
}

int engineio_websocket_say(const engineio_session *s, str packet)
{
    return websocket_send_pieces(s->websocket, false, (str){NULL, 0}, packet);
}

static void take_frame(peer *p, const weft_message *message)
{
    engineio_session *s = session_of(p);
    engineio_packet packet = {ENGINEIO_MESSAGE, .binary = true, .data = message->data};
    if (message->kind != WEFT_BINARY && !engineio_read(message->data, &packet))
        engineio_end_session(s, ENGINEIO_PARSE_ERROR, ENGINEIO_SAY_CLOSE);
    else
        engineio_take(s, &packet);
}

/* What a client broke is told by its code; a close of its own, or a lost connection, is a close. */
static engineio_end end_by(int code)
{
    switch (code) {
    case WS_CODE_PROTOCOL_ERROR:
    case WS_CODE_INVALID_DATA:
    case WS_CODE_POLICY:
    case WS_CODE_TOO_LARGE:
        return ENGINEIO_TRANSPORT_ERROR;
    default:
        return ENGINEIO_TRANSPORT_CLOSE;
    }
}

static void carrier_left(peer *p)
{
    engineio_end_session(session_of(p), end_by(p->close_code), ENGINEIO_CUT);
}

static void carrier_sent(peer *p)
{
    engineio_was_sent(session_of(p));
}

static const peer_handler_ops carrying = {.receive = take_frame, .left = carrier_left, .sent = carrier_sent};

static void be_carried(engineio_session *s)
{
    s->state = ENGINEIO_WEBSOCKET;
    s->hub->n_connected_sessions++;
    s->carrier.ops = &carrying;
}

/* Nobody hears of it any more. */
static peer *let_go(engineio_session *s)
{
    peer *p = s->websocket;
    s->websocket = NULL;
    if (p)
        p->handler = NULL;
    return p && !p->leaving ? p : NULL;
}

static void close_bare(peer *p)
{
    if (p)
        peer_close(p, WS_CODE_NONE, (str){NULL, 0});
}

void engineio_websocket_done(engineio_session *s, engineio_end why, engineio_goodbye how)
{
    peer *p = let_go(s);
    if (!p)
        return;
    if (how == ENGINEIO_CUT)
        peer_abort(p);
    else if (why == ENGINEIO_SHUTTING_DOWN)
        peer_close(p, WS_CODE_GOING_AWAY, (str){NULL, 0});
    else
        close_bare(p);
}

/* ---------------------------------------------------------------------------------------------------------- the probe */

void engineio_probe_drop(engineio_session *s)
{
    engineio_probe *probe = s->polls->probe;
    if (!probe)
        return;
    s->polls->probe = NULL;
    if (s->state == ENGINEIO_PROBING)
        s->state = ENGINEIO_POLLING;
    loop_cancel(engineio_loop(s), &probe->deadline);
    mem_free(probe);
}

/* Whether the client still means to come over is not known any more once it has said that it does. */
static void fail_probe(engineio_session *s)
{
    bool committing = s->polls->probe->committing;
    engineio_probe_drop(s);
    close_bare(let_go(s));
    if (committing)
        engineio_end_session(s, ENGINEIO_TRANSPORT_ERROR, ENGINEIO_SAY_CLOSE);
}

static void probe_is_late(timer *t)
{
    fail_probe(CONTAINER(t, engineio_probe, deadline)->session);
}

static void probe_left(peer *p)
{
    fail_probe(session_of(p));
}

static int send_item(engineio_session *s, const engineio_item *item)
{
    str packet = {item->at, item->len};
    return item->binary ? engineio_websocket_message(s, true, (str){NULL, 0}, packet)
                        : websocket_send_pieces(s->websocket, false, (str){NULL, 0}, packet);
}

static int send_queue(engineio_session *s)
{
    const engineio_queue *q = &s->polls->queue;
    int error = 0;
    for (uint32_t i = 0; i < q->n && !error; i++)
        error = send_item(s, &q->items[i]);
    return error;
}

void engineio_commit(engineio_session *s)
{
    peer *p = s->websocket;
    engineio_probe_drop(s);
    be_carried(s);
    if (send_queue(s)) {
        engineio_end_session(s, ENGINEIO_FORCED_CLOSE, ENGINEIO_CUT);
        return;
    }
    engineio_polls_done(s, ENGINEIO_SAY_NOOP);
    peer_stop_reading(p, PAUSED_BY_PROGRAM, s->paused);
    if (s->want_sent)
        p->ops->notify(p);
}

/* The client says that it comes over. What it has posted before, and is still under way, is older than what follows here. */
static void take_over(engineio_session *s)
{
    engineio_probe *probe = s->polls->probe;
    if (!engineio_post_is_coming(s->polls->post)) {
        engineio_commit(s);
        return;
    }
    probe->committing = true;
    peer_stop_reading(s->websocket, PAUSED_BY_PROGRAM, true);
}

static void take_probe(peer *p, const weft_message *message)
{
    engineio_session *s = session_of(p);
    engineio_probe *probe = s->polls->probe;
    engineio_packet packet;
    if (message->kind == WEFT_BINARY || !engineio_read(message->data, &packet)) {
        fail_probe(s);
    } else if (packet.type == ENGINEIO_UPGRADE) {
        take_over(s);
    } else if (packet.type != ENGINEIO_PING || !str_equal(packet.data, STR("probe"))) {
        fail_probe(s);
    } else if (engineio_websocket_say(s, STR("3probe"))) {
        fail_probe(s);
    } else {
        probe->answered = true;
        engineio_polls_let_go(s);
    }
}

/* ---------------------------------------------------------------------------------------------------------- attaching */

static void bind_to(engineio_session *s, peer *p, const weft_request *request)
{
    s->websocket = p;
    s->base64 = engineio_asked(request, "b64").len > 0;
    p->handler = &s->carrier;
}

static const peer_handler_ops probing = {.receive = take_probe, .left = probe_left};

/* False: no memory. */
static bool begin_probe(engineio_session *s, peer *p, const weft_request *request)
{
    engineio_probe *probe = mem_zero(sizeof *probe);
    if (!probe)
        return false;
    probe->session = s;
    s->polls->probe = probe;
    s->state = ENGINEIO_PROBING;
    s->carrier.ops = &probing;
    bind_to(s, p, request);
    loop_arm(engineio_loop(s), &probe->deadline, s->route->settings.upgrade_timeout_ms, probe_is_late);
    return true;
}

static void begin_session(engineio_session *s, peer *p, const weft_request *request)
{
    char text[ENGINEIO_HANDSHAKE_BYTES];
    be_carried(s);
    bind_to(s, p, request);
    if (engineio_websocket_say(s, (str){text, engineio_session_open_packet(s, text)})) {
        let_go(s);
        engineio_session_discard(s);
        peer_abort(p);
    } else {
        engineio_session_begin(s, request);
    }
}

static engineio_session *named_session(const hub *h, const weft_request *request, const engineio_route *route)
{
    char room[SESSION_ID_BYTES * 3];
    str raw = engineio_asked(request, "sid");
    str sid = {room, raw.len <= sizeof room ? form_decode(raw, room) : 0};
    session *found = session_find(h, sid, route);
    return found ? CONTAINER(found, engineio_session, registered) : NULL;
}

void engineio_attach(peer *p, const weft_request *request, const void *owner)
{
    engineio_route *route = (engineio_route *)(uintptr_t)owner;
    if (!engineio_asked(request, "sid").len) {
        engineio_session *s = engineio_session_new(p->hub, route);
        if (s)
            begin_session(s, p, request);
        else
            peer_abort(p);
        return;
    }
    engineio_session *s = named_session(p->hub, request, route);
    if (!s || s->state != ENGINEIO_POLLING || !begin_probe(s, p, request))
        close_bare(p);
}
