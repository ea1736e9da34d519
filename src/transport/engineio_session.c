#include "transport/engineio_private.h"

#include "base/mem.h"
#include "proto/engineio.h"
#include "proto/ws_frame.h"
#include <errno.h>

str engineio_end_reason(engineio_end end)
{
    static const char *const reasons[] = {
        "transport close", "transport error", "ping timeout", "parse error", "forced close", "server shutting down",
    };
    return str_from(reasons[end]);
}

int engineio_end_code(engineio_end end)
{
    switch (end) {
    case ENGINEIO_FORCED_CLOSE:
        return WS_CODE_NORMAL;
    case ENGINEIO_SHUTTING_DOWN:
        return WS_CODE_GOING_AWAY;
    case ENGINEIO_PARSE_ERROR:
        return WS_CODE_PROTOCOL_ERROR;
    default:
        return WS_CODE_ABNORMAL;
    }
}

/* --------------------------------------------------------------------------------------------------------- heartbeat */

static void end_for_memory(engineio_session *s)
{
    engineio_end_session(s, ENGINEIO_FORCED_CLOSE, ENGINEIO_CUT);
}

static void send_ping(timer *t);

/* From one that nobody listens to no pong can come. */
static void pong_is_late(timer *t)
{
    engineio_session *s = CONTAINER(t, engineio_session, clock);
    if (s->paused) {
        loop_arm(engineio_loop(s), t, s->route->settings.ping_timeout_ms, pong_is_late);
        return;
    }
    s->hub->limit = limit_count(&s->hub->net->limits, LIMIT_PING_TIMEOUT);
    engineio_end_session(s, ENGINEIO_PING_TIMEOUT, ENGINEIO_SAY_CLOSE);
    s->hub->limit = NULL; /* one without a peer has told nobody */
}

static void send_ping(timer *t)
{
    engineio_session *s = CONTAINER(t, engineio_session, clock);
    s->awaiting_pong = true;
    s->pinged_us = (uint32_t)loop_clock_us();
    loop_arm(engineio_loop(s), t, s->route->settings.ping_timeout_ms, pong_is_late);
    if (engineio_say(s, STR("2")))
        end_for_memory(s);
}

static void await_ping(engineio_session *s)
{
    loop_arm(engineio_loop(s), &s->clock, s->route->settings.ping_interval_ms, send_ping);
}

static void take_pong(engineio_session *s)
{
    if (s->awaiting_pong)
        histogram_add(&s->hub->counts.round_trips, (uint32_t)loop_clock_us() - s->pinged_us);
    s->awaiting_pong = false;
    await_ping(s);
}

/* ------------------------------------------------------------------------------------------------------------- life */

engineio_session *engineio_session_new(hub *h, engineio_route *route)
{
    engineio_session *s = route->layer->create(h, route);
    if (!s)
        return NULL;
    s->route = route;
    s->hub = h;
    if (!session_add(h, &s->registered, NULL, route))
        return s;
    route->layer->discard(s);
    return NULL;
}

void engineio_session_discard(engineio_session *s)
{
    s->hub->n_connected_sessions -= s->state == ENGINEIO_WEBSOCKET;
    s->state = ENGINEIO_ENDED;
    session_remove(s->hub, &s->registered);
    engineio_polls_done(s, ENGINEIO_CUT);
    s->route->layer->discard(s);
}

size_t engineio_session_open_packet(const engineio_session *s, char *ret_text)
{
    const weft_engineio_settings *o = &s->route->settings;
    return engineio_handshake_put(
        &(engineio_handshake){
            .sid = engineio_sid(s),
            .may_upgrade = engineio_polls_carry(s) && s->route->websocket && !o->no_upgrades,
            .ping_interval_ms = o->ping_interval_ms,
            .ping_timeout_ms = o->ping_timeout_ms,
            .max_payload = o->max_http_buffer_size,
        },
        ret_text);
}

/* Without memory nobody can ask for it. */
static void keep_request(engineio_session *s, const weft_request *request)
{
    if (s->forgotten && !s->route->settings.keep_request)
        return;
    s->head = mem_new(engineio_head_room(request));
    if (s->head)
        engineio_head_put(s->head, request);
}

void engineio_session_begin(engineio_session *s, const weft_request *request)
{
    await_ping(s);
    hub_asking *asking = &s->hub->asking;
    asking->session = s;
    asking->request = request;
    s->route->layer->begin(s, request);
    asking->session = NULL;
    if (s->state != ENGINEIO_ENDED)
        keep_request(s, request);
}

/* The layer is told while the carriers are still there to say where they come from. */
void engineio_end_session(engineio_session *s, engineio_end why, engineio_goodbye how)
{
    if (s->state == ENGINEIO_ENDED)
        return;
    s->hub->n_connected_sessions -= s->state == ENGINEIO_WEBSOCKET;
    s->state = ENGINEIO_ENDED;
    session_remove(s->hub, &s->registered);
    loop_cancel(engineio_loop(s), &s->clock);
    s->route->layer->ended(s, why);
    engineio_websocket_done(s, why, how);
    engineio_polls_done(s, how);
    engineio_drop_asked(s);
    mem_free(s->head);
    s->head = NULL;
}

void engineio_close(engineio_session *s, engineio_end why)
{
    if (s->state != ENGINEIO_ENDED && s->polls && why == ENGINEIO_FORCED_CLOSE)
        engineio_polls_leave_rest(s);
    engineio_end_session(s, why, ENGINEIO_SAY_CLOSE);
}

void engineio_abort(engineio_session *s)
{
    engineio_end_session(s, ENGINEIO_FORCED_CLOSE, ENGINEIO_CUT);
}

/* ---------------------------------------------------------------------------------------------------------- packets */

/* What is sent on as it came is known to be valid. */
static void take_message(engineio_session *s, const engineio_packet *packet)
{
    hub *h = s->hub;
    if (!packet->binary && h->view_is_text)
        h->view = packet->data;
    s->route->layer->message(s, packet->binary, packet->data);
}

void engineio_take(engineio_session *s, const engineio_packet *packet)
{
    switch (packet->type) {
    case ENGINEIO_MESSAGE:
        take_message(s, packet);
        break;
    case ENGINEIO_PONG:
        take_pong(s);
        break;
    case ENGINEIO_PING: /* is the server's to send */
        engineio_end_session(s, ENGINEIO_TRANSPORT_ERROR, ENGINEIO_SAY_CLOSE);
        break;
    case ENGINEIO_CLOSE:
        engineio_end_session(s, ENGINEIO_TRANSPORT_CLOSE, ENGINEIO_SAY_NOOP);
        break;
    case ENGINEIO_OPEN:
    case ENGINEIO_UPGRADE:
    case ENGINEIO_NOOP:
        break;
    }
}

int engineio_say(engineio_session *s, str packet)
{
    if (!engineio_polls_carry(s))
        return engineio_websocket_say(s, packet);
    char *at = engineio_polls_room(s, false, packet.len);
    if (at)
        str_put(at, packet);
    return at ? 0 : -ENOMEM;
}

int engineio_send(engineio_session *s, bool binary, str front, str body)
{
    if (s->state == ENGINEIO_ENDED)
        return 0;
    if (s->state == ENGINEIO_WEBSOCKET)
        return engineio_websocket_message(s, binary, front, body);
    char *at = engineio_polls_room(s, binary, !binary + front.len + body.len);
    if (!at)
        return -ENOMEM;
    if (!binary)
        *at++ = '0' + ENGINEIO_MESSAGE;
    str_put(str_put(at, front), body);
    return 0;
}

/* ----------------------------------------------------------------------------------------------------------- images */

/* The type stands in front of text, and belongs to the packet. */
static size_t packet_at(bool binary)
{
    return ENGINEIO_ROOM - !binary;
}

chunk *engineio_image_new(pool *blocks, bool binary, size_t len)
{
    chunk *image = chunk_new(blocks, ENGINEIO_ROOM + len);
    if (!image)
        return NULL;
    image->len = ENGINEIO_ROOM + len;
    if (!binary)
        image->bytes[packet_at(false)] = '0' + ENGINEIO_MESSAGE;
    return image;
}

int engineio_send_image(engineio_session *s, bool binary, chunk *image)
{
    size_t at = packet_at(binary);
    if (s->state == ENGINEIO_ENDED)
        return 0;
    if (s->state == ENGINEIO_WEBSOCKET && !(binary && s->base64))
        return websocket_send_image(s->websocket, binary, image, at);
    str packet = {image->bytes + at, image->len - at};
    if (s->state == ENGINEIO_WEBSOCKET)
        return engineio_websocket_message(s, true, (str){NULL, 0}, packet);
    return engineio_polls_refer(s, binary, packet, image);
}

/* ------------------------------------------------------------------------------------------------------------- queue */

size_t engineio_queued(const engineio_session *s)
{
    if (s->state == ENGINEIO_WEBSOCKET)
        return s->websocket->ops->queued(s->websocket);
    return s->state != ENGINEIO_ENDED ? s->polls->queue.bytes : 0;
}

bool engineio_writable(const engineio_session *s)
{
    return s->state != ENGINEIO_ENDED && !engineio_queued(s) && (!engineio_polls_carry(s) || s->polls->get);
}

void engineio_notify(engineio_session *s)
{
    s->want_sent = true;
    if (s->state == ENGINEIO_WEBSOCKET)
        s->websocket->ops->notify(s->websocket);
}

void engineio_was_sent(engineio_session *s)
{
    if (!s->want_sent)
        return;
    s->want_sent = false;
    s->route->layer->sent(s);
}

void engineio_pause(engineio_session *s, bool paused)
{
    s->paused = paused;
    if (s->state == ENGINEIO_WEBSOCKET)
        peer_stop_reading(s->websocket, PAUSED_BY_PROGRAM, paused);
    else if (s->state != ENGINEIO_ENDED && !paused && s->polls->post)
        engineio_post_resume(s->polls->post);
}

void engineio_about(const engineio_session *s, weft_peer_info *ret_info)
{
    if (s->websocket && !s->polls)
        s->websocket->ops->about(s->websocket, ret_info);
    else if (s->polls && s->polls->address)
        memcpy(ret_info->address, s->polls->address, strlen(s->polls->address) + 1);
    ret_info->transport = s->route->transport;
}
