#include "base/mem.h"
#include "transport/websocket_private.h"

static const peer_ops websocket_peer_ops, carrier_ops;

/* --------------------------------------------------------------------------------------------------------------- life */

void websocket_free_if_done(websocket *ws)
{
    if (ws->sink || !ws->peer_freed || ws->decoding)
        return;
    peer_ended(&ws->peer);
    websocket_deflate_free(ws->peer.hub, ws->deflate);
    mem_free(ws->address);
    mem_free(ws->subprotocol);
    mem_free(ws);
}

void websocket_drop_message(websocket *ws)
{
    chunk_unref(websocket_blocks(ws), ws->message);
    ws->message = NULL;
}

void websocket_let_go(websocket *ws)
{
    loop_cancel(websocket_loop(ws), &ws->clock);
    websocket_drop_message(ws);
    websocket_deflate_free(ws->peer.hub, ws->deflate);
    ws->deflate = NULL;
    ws->sink = NULL;
    websocket_free_if_done(ws);
}

void websocket_end(websocket *ws)
{
    ws->sink->ops->end(ws->sink);
    websocket_let_go(ws);
}

static void cut_connection(websocket *ws)
{
    ws->sink->ops->abort(ws->sink);
    websocket_let_go(ws);
}

websocket *websocket_new(hub *h, const websocket_route *route, str subprotocol)
{
    const peer_ops *ops = route->rules.carrier ? &carrier_ops : &websocket_peer_ops;
    websocket *ws = mem_zero(peer_bytes(ops, &route->rules));
    if (!ws)
        return NULL;
    ws->route = route;
    if (subprotocol.len && !(ws->subprotocol = mem_copy_text(subprotocol.at, subprotocol.len)))
        goto fail;
    ws_decoder_init(&ws->decoder, WS_SERVER, route->options.max_message_bytes);
    if (peer_init(&ws->peer, h, ops, &route->rules))
        goto fail;
    return ws;

fail:
    mem_free(ws->subprotocol);
    mem_free(ws);
    return NULL;
}

const ws_deflate *websocket_agree(websocket *ws, const ws_deflate_offer *offer)
{
    ws->deflate = websocket_deflate_new(ws->peer.hub, &ws->route->options, offer);
    if (!ws->deflate)
        return NULL;
    ws_decoder_allow_deflate(&ws->decoder);
    return &ws->deflate->agreed;
}

void websocket_discard(websocket *ws)
{
    peer_leave(&ws->peer, WS_CODE_ABNORMAL, (str){NULL, 0});
}

peer *websocket_peer(websocket *ws)
{
    return &ws->peer;
}

/* ------------------------------------------------------------------------------------------------------------ closing */

void websocket_close_now(websocket *ws, int code, str reason)
{
    websocket_put_close(ws, code, reason);
    websocket_end(ws);
}

/* The limit that a failure's code speaks of; NULL: the rules were broken otherwise. */
static const char *count_limit(websocket *ws, int code)
{
    limits *reached = &ws->peer.hub->net->limits;
    if (code == WS_CODE_TOO_LARGE)
        return limit_count(reached, LIMIT_MESSAGE_BYTES);
    return code == WS_CODE_POLICY ? limit_count(reached, LIMIT_FRAGMENTS) : NULL;
}

void websocket_fail(websocket *ws, int code, const char *reason)
{
    bool known = ws->peer.leaving; /* our own close frame is out already: none may follow it */
    if (known) {
        websocket_end(ws);
        return;
    }
    ws->peer.hub->limit = count_limit(ws, code);
    peer_leave(&ws->peer, code, str_from(reason));
    websocket_close_now(ws, code, ws->route->bare_closes ? (str){NULL, 0} : str_from(reason));
}

static void closing_too_long(timer *t)
{
    websocket *ws = CONTAINER(t, websocket, clock);
    peer_reached(&ws->peer, LIMIT_CLOSE_TIMEOUT);
    cut_connection(ws);
}

/* The program closes: our frame goes out, and the peer's is awaited. */
static void websocket_close(peer *p, int code, str reason)
{
    websocket *ws = websocket_of(p);
    websocket_drop_message(ws);
    if (websocket_put_close(ws, code, reason)) {
        websocket_end(ws);
        return;
    }
    loop_arm(websocket_loop(ws), &ws->clock, ws->route->options.close_timeout_ms, closing_too_long);
    if (p->stop_reading)
        ws->sink->ops->pause(ws->sink, false);
}

static void websocket_abort(peer *p)
{
    cut_connection(websocket_of(p));
}

static bool websocket_free(peer *p)
{
    websocket *ws = websocket_of(p);
    bool ended = !ws->sink;
    ws->peer_freed = true;
    websocket_free_if_done(ws);
    return ended;
}

/* --------------------------------------------------------------------------------------------------------- keep-alive */

static void keep_alive(timer *t)
{
    websocket *ws = CONTAINER(t, websocket, clock);
    const weft_websocket_options *o = &ws->route->options;
    if (ws->peer.stop_reading) { /* nothing is heard from one that nobody listens to */
        ws->heard_ms = (uint32_t)websocket_loop(ws)->now_ms;
        ws->awaiting_pong = false;
    }
    uint32_t idle_ms = (uint32_t)websocket_loop(ws)->now_ms - ws->heard_ms;
    if (ws->awaiting_pong && idle_ms >= o->ping_interval_ms && o->ping_timeout_ms != WEFT_NEVER) {
        ws->peer.hub->limit = limit_count(&ws->peer.hub->net->limits, LIMIT_PING_TIMEOUT);
        peer_leave(&ws->peer, WS_CODE_ABNORMAL, STR("ping timeout"));
        cut_connection(ws);
        return;
    }
    if (idle_ms < o->ping_interval_ms) {
        loop_arm(websocket_loop(ws), t, o->ping_interval_ms - idle_ms, keep_alive);
        return;
    }
    ws->awaiting_pong = ws->own_ping = true;
    ws->own_ping_us = (uint32_t)loop_clock_us();
    if (websocket_put_frame(ws, WS_PING, STR("")))
        peer_abort(&ws->peer);
    else
        loop_arm(websocket_loop(ws), t, o->ping_timeout_ms != WEFT_NEVER ? o->ping_timeout_ms : o->ping_interval_ms,
                 keep_alive);
}

/* Without memory the address is left out. */
static void keep_address(websocket *ws)
{
    char text[64];
    if (ws->route->rules.close || log_wanted(ws->peer.hub->net->log))
        ws->address = mem_copy_text(text, ws->sink->ops->address(ws->sink, text, sizeof text));
}

void websocket_start(websocket *ws, sink *s)
{
    ws->sink = s;
    keep_address(ws);
    peer_keep_subject(&ws->peer, s);
    ws->heard_ms = (uint32_t)websocket_loop(ws)->now_ms;
    sink_bind(s, &websocket_events, ws);
    if (ws->route->options.ping_interval_ms != WEFT_NEVER)
        loop_arm(websocket_loop(ws), &ws->clock, ws->route->options.ping_interval_ms, keep_alive);
    if (ws->deflate && ws->deflate->over_budget)
        peer_reached(&ws->peer, LIMIT_DEFLATE_BUDGET);
    s->ops->rebind(s);
}

/* --------------------------------------------------------------------------------------------------- the peer's calls */

static void websocket_pause(peer *p)
{
    websocket *ws = websocket_of(p);
    ws->sink->ops->pause(ws->sink, p->stop_reading != 0);
}

static size_t websocket_queued(const peer *p)
{
    const websocket *ws = websocket_of(p);
    return ws->sink ? ws->sink->queued : 0;
}

static void websocket_notify(peer *p)
{
    websocket *ws = websocket_of(p);
    ws->sink->ops->notify(ws->sink);
}

static void websocket_about(const peer *p, weft_peer_info *ret_info)
{
    const websocket *ws = websocket_of(p);
    ret_info->transport = WEFT_TRANSPORT_WEBSOCKET;
    if (ws->address)
        memcpy(ret_info->address, ws->address, strlen(ws->address) + 1);
    else if (ws->sink)
        ws->sink->ops->address(ws->sink, ret_info->address, sizeof ret_info->address);
    if (ws->subprotocol) {
        size_t len = strnlen(ws->subprotocol, sizeof ret_info->subprotocol - 1);
        memcpy(ret_info->subprotocol, ws->subprotocol, len);
    }
}

#define OPS_COUNTED_AS(number)                                                                                         \
    {                                                                                                                  \
        .transport = (weft_transport)(number), .bytes = sizeof(websocket), .send = websocket_send,                     \
        .deliver = websocket_deliver, .gap = websocket_gap, .say = websocket_say, .ping = websocket_ping,              \
        .close = websocket_close, .abort = websocket_abort, .pause = websocket_pause, .queued = websocket_queued,      \
        .notify = websocket_notify, .about = websocket_about, .free = websocket_free,                                  \
    }

static const peer_ops websocket_peer_ops = OPS_COUNTED_AS(WEFT_TRANSPORT_WEBSOCKET);
static const peer_ops carrier_ops = OPS_COUNTED_AS(HUB_CARRIER);
