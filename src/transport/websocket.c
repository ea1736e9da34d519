#include "base/mem.h"
#include "loop/deadlines.h"
#include "transport/websocket_private.h"
#include <errno.h>

static const peer_ops websocket_peer_ops, carrier_ops;

/* --------------------------------------------------------------------------------------------------------------- life */

static void place_free(websocket *ws, hub *h, const peer_ops *ops, const peer_rules *rules)
{
    slabs_put(&h->loop->places, ws, peer_bytes(ops, rules));
}

static void drop_message(websocket *ws)
{
    if (!ws->more)
        return;
    chunk_unref(websocket_blocks(ws), ws->more->message);
    ws->more->message = NULL;
}

static void more_free(websocket *ws)
{
    websocket_more *more = ws->more;
    if (!more)
        return;
    drop_message(ws);
    websocket_deflate_free(ws->peer.hub, more->deflate);
    ws->more = NULL;
    pool_put(websocket_blocks(ws), more, more->block_bytes);
}

void websocket_free_if_done(websocket *ws)
{
    if (ws->sink || !(ws->peer.own_flags & WEBSOCKET_PEER_FREED) || ws->peer.own_flags & WEBSOCKET_DECODING)
        return;
    peer_ended(&ws->peer);
    more_free(ws);
    kept_address_free(ws->address);
    place_free(ws, ws->peer.hub, ws->peer.ops, ws->peer.rules);
}

void websocket_new_decoder(const websocket *ws, ws_decoder *ret_decoder)
{
    ws_decoder_init(ret_decoder, WS_SERVER, websocket_route_of(ws)->options.max_message_bytes);
}

websocket_more *websocket_more_of(websocket *ws)
{
    size_t block_bytes;
    if (ws->more)
        return ws->more;
    websocket_more *more = pool_get(websocket_blocks(ws), sizeof *more, &block_bytes);
    if (!more)
        return NULL;
    *more = (websocket_more){.block_bytes = block_bytes};
    websocket_new_decoder(ws, &more->decoder);
    return ws->more = more;
}

void websocket_tidy(websocket *ws)
{
    const websocket_more *more = ws->more;
    if (more && ws_decoder_is_idle(&more->decoder) && !more->message && !more->deflate && !more->pinged_us &&
        (!more->reply_bytes || !ws->sink->queued))
        more_free(ws);
}

void websocket_let_go(websocket *ws)
{
    deadline_clear(ws->peer.hub->table, ws->peer.id);
    more_free(ws);
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

/* 0 or -ENOMEM. */
static int keep_subprotocol(websocket *ws, const websocket_route *route, str name)
{
    const char *const *known = route->options.subprotocols;
    for (uint8_t i = 0; known && known[i] && i < SUBPROTOCOL_OF_ITS_OWN - 1; i++) {
        if (str_equal(str_from(known[i]), name)) {
            ws->peer.own_number = (uint8_t)(i + 1);
            return 0;
        }
    }
    ws->peer.own_number = SUBPROTOCOL_OF_ITS_OWN;
    if (!peer_extra_of(&ws->peer))
        return -ENOMEM;
    ws->peer.extra->subprotocol = mem_copy_text(name.at, name.len);
    return ws->peer.extra->subprotocol ? 0 : -ENOMEM;
}

static const char *subprotocol_of(const websocket *ws)
{
    if (ws->peer.own_number != SUBPROTOCOL_OF_ITS_OWN)
        return ws->peer.own_number ? websocket_route_of(ws)->options.subprotocols[ws->peer.own_number - 1] : NULL;
    return ws->peer.extra ? ws->peer.extra->subprotocol : NULL;
}

websocket *websocket_new(hub *h, const websocket_route *route, str subprotocol)
{
    const peer_ops *ops = route->rules.carrier ? &carrier_ops : &websocket_peer_ops;
    websocket *ws = slabs_get(&h->loop->places, peer_bytes(ops, &route->rules));
    if (!ws)
        return NULL;
    if (subprotocol.len && keep_subprotocol(ws, route, subprotocol)) {
        peer_extra_free(&ws->peer);
        place_free(ws, h, ops, &route->rules);
        return NULL;
    }
    if (peer_init(&ws->peer, h, ops, &route->rules)) {
        place_free(ws, h, ops, &route->rules);
        return NULL;
    }
    return ws;
}

const ws_deflate *websocket_agree(websocket *ws, const ws_deflate_offer *offer)
{
    websocket_deflate *agreed = websocket_deflate_new(ws->peer.hub, &websocket_route_of(ws)->options, offer);
    if (!agreed || !websocket_more_of(ws)) {
        websocket_deflate_free(ws->peer.hub, agreed);
        return NULL;
    }
    ws->more->deflate = agreed;
    ws_decoder_allow_deflate(&ws->more->decoder);
    return &agreed->agreed;
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
    websocket_close_now(ws, code, websocket_route_of(ws)->bare_closes ? (str){NULL, 0} : str_from(reason));
}

static void closing_too_long(websocket *ws)
{
    peer_reached(&ws->peer, LIMIT_CLOSE_TIMEOUT);
    cut_connection(ws);
}

static void set_deadline(const websocket *ws, uint32_t after_ms)
{
    deadline_set(ws->peer.hub->table, ws->peer.id, after_ms);
}

/* The program closes: our frame goes out, and the peer's is awaited. */
static void websocket_close(peer *p, int code, str reason)
{
    websocket *ws = websocket_of(p);
    drop_message(ws);
    if (websocket_put_close(ws, code, reason)) {
        websocket_end(ws);
        return;
    }
    set_deadline(ws, websocket_route_of(ws)->options.close_timeout_ms);
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
    ws->peer.own_flags |= WEBSOCKET_PEER_FREED;
    websocket_free_if_done(ws);
    return ended;
}

/* --------------------------------------------------------------------------------------------------------- keep-alive */

static void keep_alive(websocket *ws)
{
    const weft_websocket_options *o = &websocket_route_of(ws)->options;
    if (ws->peer.stop_reading) { /* nothing is heard from one that nobody listens to */
        ws->heard_ms = (uint32_t)websocket_loop(ws)->now_ms;
        ws->peer.own_flags &= (uint8_t)~WEBSOCKET_AWAITS_PONG;
    }
    uint32_t idle_ms = (uint32_t)websocket_loop(ws)->now_ms - ws->heard_ms;
    if (ws->peer.own_flags & WEBSOCKET_AWAITS_PONG && idle_ms >= o->ping_interval_ms &&
        o->ping_timeout_ms != WEFT_NEVER) {
        ws->peer.hub->limit = limit_count(&ws->peer.hub->net->limits, LIMIT_PING_TIMEOUT);
        peer_leave(&ws->peer, WS_CODE_ABNORMAL, STR("ping timeout"));
        cut_connection(ws);
        return;
    }
    if (idle_ms < o->ping_interval_ms) {
        set_deadline(ws, o->ping_interval_ms - idle_ms);
        return;
    }
    ws->peer.own_flags |= WEBSOCKET_AWAITS_PONG | WEBSOCKET_OWN_PING;
    ws->own_ping_us = (uint32_t)loop_clock_us();
    if (websocket_put_frame(ws, WS_PING, STR("")))
        peer_abort(&ws->peer);
    else
        set_deadline(ws, o->ping_timeout_ms != WEFT_NEVER ? o->ping_timeout_ms : o->ping_interval_ms);
}

static void websocket_due(peer *p)
{
    if (p->leaving)
        closing_too_long(websocket_of(p));
    else
        keep_alive(websocket_of(p));
}

/* Without memory the address is left out. */
static void keep_address(websocket *ws)
{
    char text[KEPT_ADDRESS_BYTES];
    if (ws->peer.rules->close || log_wanted(ws->peer.hub->net->log))
        ws->address = kept_address_new((str){text, ws->sink->ops->address(ws->sink, text, sizeof text)});
}

void websocket_start(websocket *ws, sink *s)
{
    ws->sink = s;
    keep_address(ws);
    peer_keep_subject(&ws->peer, s);
    ws->heard_ms = (uint32_t)websocket_loop(ws)->now_ms;
    sink_bind(s, &websocket_events, ws);
    uint32_t ping_interval_ms = websocket_route_of(ws)->options.ping_interval_ms;
    if (ping_interval_ms != WEFT_NEVER)
        set_deadline(ws, ping_interval_ms);
    if (websocket_deflate_of(ws) && ws->more->deflate->over_budget)
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
    if (!kept_address_put(ws->address, ret_info->address) && ws->sink)
        ws->sink->ops->address(ws->sink, ret_info->address, sizeof ret_info->address);
    const char *subprotocol = subprotocol_of(ws);
    if (subprotocol)
        memcpy(ret_info->subprotocol, subprotocol, strnlen(subprotocol, sizeof ret_info->subprotocol - 1));
}

#define OPS_COUNTED_AS(number)                                                                                         \
    {                                                                                                                  \
        .transport = (weft_transport)(number), .bytes = sizeof(websocket), .send = websocket_send,                     \
        .deliver = websocket_deliver, .run = websocket_run, .deliver_run = websocket_deliver_run,                      \
        .gap = websocket_gap, .say = websocket_say, .ping = websocket_ping, .close = websocket_close,                  \
        .abort = websocket_abort, .pause = websocket_pause, .queued = websocket_queued, .notify = websocket_notify,    \
        .due = websocket_due, .about = websocket_about, .free = websocket_free,                                        \
    }

static const peer_ops websocket_peer_ops = OPS_COUNTED_AS(WEFT_TRANSPORT_WEBSOCKET);
static const peer_ops carrier_ops = OPS_COUNTED_AS(HUB_CARRIER);
