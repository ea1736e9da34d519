#include "base/mem.h"
#include "net/net.h"
#include "proto/ws_decoder.h"
#include "transport/websocket_route.h"
#include <errno.h>

enum {
    MAX_REPLY_BYTES = 64 * 1024, /* unsent answers to pings; with more the peer is not read from */
    IMAGE_WHOLE_BYTES = 4096,    /* a message up to this size is copied behind its header, so that it is one span */
    DIRECT_RECEIVE_BYTES = 64 * 1024, /* with so much of a frame to come it is received where it belongs */
    VIEW_ROOM = 16,                   /* in front of a collected message: a reply's header fits there */
    FIRST_MESSAGE_BYTES = 64 * 1024,  /* reserved on a frame header's word alone */
};

/* A connection outlives its peer while the closing handshake is under way, and a peer its connection until `close` has been called. */
struct websocket {
    peer peer;
    const websocket_route *route;
    sink *sink; /* NULL once it is given up */
    ws_decoder decoder;
    chunk *message;       /* being collected; NULL between messages, and for those that come in one piece */
    timer clock;          /* keep-alive; when closing, the deadline */
    uint32_t heard_ms;    /* low bits of the time of the last byte */
    uint32_t reply_bytes; /* unsent answers to pings, at most */
    uint64_t pinged_us;   /* the latest weft_ping() */
    char *address;        /* for `close` and the log, when the connection may be gone; NULL when nobody asks */
    char *subprotocol;    /* NULL when none was agreed */
    bool awaiting_pong;   /* of our own ping: nothing was heard since */
    bool own_ping;        /* the next empty pong is its answer, which the program did not ask for */
    bool peer_freed;
    bool decoding; /* websocket_data() is on the stack */
};

static const peer_ops websocket_peer_ops;

static websocket *websocket_of(const peer *p)
{
    return CONTAINER((uintptr_t)p, websocket, peer);
}

static loop *loop_of(const websocket *ws)
{
    return ws->peer.hub->loop;
}

static pool *blocks_of(const websocket *ws)
{
    return &loop_of(ws)->blocks;
}

/* --------------------------------------------------------------------------------------------------------------- life */

static void free_if_done(websocket *ws)
{
    if (ws->sink || !ws->peer_freed || ws->decoding)
        return;
    peer_ended(&ws->peer);
    mem_free(ws->address);
    mem_free(ws->subprotocol);
    mem_free(ws);
}

static void drop_message(websocket *ws)
{
    chunk_unref(blocks_of(ws), ws->message);
    ws->message = NULL;
}

/* The connection is no longer ours. */
static void let_go(websocket *ws)
{
    loop_cancel(loop_of(ws), &ws->clock);
    drop_message(ws);
    ws->sink = NULL;
    free_if_done(ws);
}

static void end_connection(websocket *ws)
{
    ws->sink->ops->end(ws->sink);
    let_go(ws);
}

static void cut_connection(websocket *ws)
{
    ws->sink->ops->abort(ws->sink);
    let_go(ws);
}

websocket *websocket_new(hub *h, const websocket_route *route, str subprotocol)
{
    size_t room = (sizeof(websocket) + 15) & ~(size_t)15;
    websocket *ws = mem_zero(room + route->rules.peer_bytes);
    if (!ws)
        return NULL;
    ws->route = route;
    if (route->rules.peer_bytes)
        ws->peer.data = (char *)ws + room;
    if (subprotocol.len && !(ws->subprotocol = mem_copy_text(subprotocol.at, subprotocol.len)))
        goto fail;
    ws_decoder_init(&ws->decoder, WS_SERVER, route->options.max_message_bytes);
    if (peer_init(&ws->peer, h, &websocket_peer_ops, &route->rules))
        goto fail;
    return ws;

fail:
    mem_free(ws->subprotocol);
    mem_free(ws);
    return NULL;
}

void websocket_discard(websocket *ws)
{
    peer_leave(&ws->peer, WS_CODE_ABNORMAL, (str){NULL, 0});
}

peer *websocket_peer(websocket *ws)
{
    return &ws->peer;
}

/* ------------------------------------------------------------------------------------------------------------ sending */

static int put_frame(websocket *ws, ws_opcode opcode, str payload)
{
    char head[WS_MAX_HEADER_BYTES];
    hub *h = ws->peer.hub;
    ws_header header = {.opcode = opcode, .fin = true, .len = payload.len};
    sink_piece piece = {.head = {head, ws_header_put(&header, head)}, .body = payload};
    if (h->view_has_room && str_same(payload, h->view)) {
        piece.room_in_front = true;
        h->view_has_room = false; /* the next one might be of another opcode */
    }
    return ws->sink->ops->write(ws->sink, &piece);
}

static int websocket_say(peer *p, str text)
{
    return put_frame(websocket_of(p), WS_TEXT, text);
}

/* A message outside any topic, where messages have an encoding. */
static int send_encoded(websocket *ws, const weft_message *message)
{
    const encoding *as = ws->route->encoding;
    message_text text = {.event = message->event, .data = message->data, .kind = message->kind};
    chunk *payload = chunk_new(blocks_of(ws), as->len(&text));
    if (!payload)
        return -ENOMEM;
    payload->len = as->put(payload->bytes, &text);
    int error = put_frame(ws, WS_TEXT, (str){payload->bytes, payload->len});
    chunk_unref(blocks_of(ws), payload);
    return error;
}

static int websocket_send(peer *p, const weft_message *message)
{
    if (websocket_of(p)->route->encoding)
        return send_encoded(websocket_of(p), message);
    return put_frame(websocket_of(p), message->kind == WEFT_BINARY ? WS_BINARY : WS_TEXT, message->data);
}

/* The frame of a published message, shared by all its subscribers: whole when small; else the header, and the body where it lies in the blob. */
static chunk *make_image(pool *blocks, blob *body)
{
    str data = blob_data(body);
    bool whole = data.len <= IMAGE_WHOLE_BYTES;
    ws_header header = {.opcode = body->kind == WEFT_BINARY ? WS_BINARY : WS_TEXT, .fin = true, .len = data.len};
    chunk *image = chunk_new(blocks, WS_MAX_HEADER_BYTES + (whole ? data.len : 0));
    if (!image)
        return NULL;
    image->len = ws_header_put(&header, image->bytes);
    if (!whole) {
        image->body = blob_ref(body);
    } else if (data.len) {
        memcpy(image->bytes + image->len, data.at, data.len);
        image->len += data.len;
    }
    return image;
}

static size_t text_header(size_t len, char *ret_header)
{
    return ws_header_put(&(ws_header){.opcode = WS_TEXT, .fin = true, .len = len}, ret_header);
}

/* The header ends where the payload begins. */
static void put_header_in_front(char *payload, size_t len)
{
    char header[WS_MAX_HEADER_BYTES];
    size_t header_len = text_header(len, header);
    memcpy(payload - header_len, header, header_len);
}

static int deliver_encoded(websocket *ws, topic *t, uint64_t offset)
{
    const encoding_frame frame = {ws->route->encoding, ws->route->format, WS_MAX_HEADER_BYTES, 0, put_header_in_front};
    char header[WS_MAX_HEADER_BYTES];
    chunk *image = encoding_image(t, offset, &frame);
    if (!image)
        return -ENOMEM;
    size_t unused = WS_MAX_HEADER_BYTES - text_header(image->len - WS_MAX_HEADER_BYTES, header);
    sink_piece piece = {.body = {image->bytes + unused, image->len - unused}, .owner = image};
    return ws->sink->ops->write(ws->sink, &piece);
}

static int websocket_gap(peer *p, topic *t, uint64_t next)
{
    websocket *ws = websocket_of(p);
    char id[CURSOR_BYTES];
    buf text = {0};
    if (!ws->route->encoding || !ws->route->encoding->gap)
        return 0;
    int error = ws->route->encoding->gap(&text, topic_name(t), (str){id, cursor_put(topic_cursor_before(t, next), id)});
    if (!error)
        error = websocket_say(p, buf_str(&text));
    buf_done(&text);
    return error;
}

static int websocket_deliver(peer *p, topic *t, uint64_t offset)
{
    websocket *ws = websocket_of(p);
    if (ws->route->encoding)
        return deliver_encoded(ws, t, offset);
    chunk *image = topic_image(t, offset, WIRE_WEBSOCKET);
    if (!image) {
        image = make_image(blocks_of(ws), topic_message_at(t, offset)->body);
        if (!image)
            return -ENOMEM;
        topic_keep_image(t, offset, WIRE_WEBSOCKET, image);
    }
    sink_piece piece = {.body = {image->bytes, image->len}, .owner = image};
    if (image->body)
        piece = (sink_piece){.head = piece.body, .body = blob_data(image->body), .owner = image};
    return ws->sink->ops->write(ws->sink, &piece);
}

static int websocket_ping(peer *p, str payload)
{
    websocket *ws = websocket_of(p);
    ws->pinged_us = loop_clock_us();
    return put_frame(ws, WS_PING, payload);
}

/* 0, or -ENOMEM: the peer then sees the end of the stream alone. */
static int put_close(websocket *ws, int code, str reason)
{
    char payload[WS_MAX_CONTROL_BYTES];
    size_t len = ws_close_put(code == WS_CODE_NONE ? 0 : code, reason.at, reason.len, payload);
    return put_frame(ws, WS_CLOSE, (str){payload, len});
}

/* ------------------------------------------------------------------------------------------------------------ closing */

/* We have said, or answered, a close, or the peer broke the protocol: what is queued goes out, then the end (RFC 6455 §7.1.1). */
static void close_now(websocket *ws, int code, str reason)
{
    put_close(ws, code, reason);
    end_connection(ws);
}

/* The setting that a failure's code speaks of. */
static const char *limit_of(int code)
{
    return code == WS_CODE_TOO_LARGE ? "max_message_bytes" : NULL;
}

static void fail_connection(websocket *ws, int code, const char *reason)
{
    bool known = ws->peer.leaving; /* our own close frame is out already: none may follow it */
    if (known) {
        end_connection(ws);
        return;
    }
    ws->peer.hub->limit = limit_of(code);
    peer_leave(&ws->peer, code, str_from(reason));
    close_now(ws, code, str_from(reason));
}

static void closing_too_long(timer *t)
{
    cut_connection(CONTAINER(t, websocket, clock));
}

/* The program closes: our frame goes out, and the peer's is awaited. */
static void websocket_close(peer *p, int code, str reason)
{
    websocket *ws = websocket_of(p);
    drop_message(ws);
    if (put_close(ws, code, reason)) {
        end_connection(ws);
        return;
    }
    loop_arm(loop_of(ws), &ws->clock, ws->route->options.close_timeout_ms, closing_too_long);
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
    free_if_done(ws);
    return ended;
}

/* ---------------------------------------------------------------------------------------------------------- receiving */

static void deliver_message(websocket *ws, ws_opcode opcode, str data)
{
    hub *h = ws->peer.hub;
    weft_message message = {.kind = opcode == WS_TEXT ? WEFT_TEXT : WEFT_BINARY, .data = data};
    h->view = data;
    h->view_is_text = opcode == WS_TEXT;
    h->view_has_room = data.len > 0; /* what came in front of it is behind us: a longer header, or VIEW_ROOM bytes */
    peer_receive(&ws->peer, &message);
    h->view = (str){NULL, 0};
    h->view_is_text = h->view_has_room = false;
}

/* Room for n more bytes of the message. Grows by the bytes that have come, not by those that were announced. */
static int reserve_message(websocket *ws, size_t n)
{
    chunk *old = ws->message;
    size_t have = old ? old->len : VIEW_ROOM;
    if (old && chunk_room(old) >= n)
        return 0;
    uint64_t whole = (uint64_t)have + n + ws_decoder_expects(&ws->decoder);
    size_t trusted = (have + n) * 4 < FIRST_MESSAGE_BYTES ? FIRST_MESSAGE_BYTES : (have + n) * 4;
    if (!ws_decoder_expects(&ws->decoder))
        whole = (have + n) * 2;
    chunk *larger = chunk_new(blocks_of(ws), whole < trusted ? (size_t)whole : trusted);
    if (!larger)
        return -ENOMEM;
    if (old)
        memcpy(larger->bytes, old->bytes, have);
    larger->len = have;
    chunk_unref(blocks_of(ws), old);
    ws->message = larger;
    return 0;
}

static int collect(websocket *ws, str piece)
{
    if (ws->message && piece.at == ws->message->bytes + ws->message->len) {
        ws->message->len += piece.len; /* was received in its place */
        return 0;
    }
    if (piece.len == 0)
        return 0;
    if (reserve_message(ws, piece.len))
        return -ENOMEM;
    memcpy(ws->message->bytes + ws->message->len, piece.at, piece.len);
    ws->message->len += piece.len;
    return 0;
}

/* Delivers what was collected; replies may refer to it instead of copying. */
static void deliver_collected(websocket *ws, ws_opcode opcode)
{
    net *n = ws->peer.hub->net;
    pool *blocks = blocks_of(ws);
    chunk *message = ws->message;
    ws->message = NULL;
    n->message = message;
    deliver_message(ws, opcode, message ? (str){message->bytes + VIEW_ROOM, message->len - VIEW_ROOM} : STR(""));
    n->message = NULL;
    chunk_unref(blocks, message);
}

static void take_piece(websocket *ws, const ws_event *event)
{
    if (ws->peer.leaving)
        return;
    if (event->first && event->last) {
        deliver_message(ws, event->opcode, event->bytes);
    } else if (collect(ws, event->bytes)) {
        peer_abort(&ws->peer);
    } else if (event->last) {
        deliver_collected(ws, event->opcode);
    }
}

/* Too many unsent replies: no more is read, so that a flood of pings stops at the socket (CVE class: control-frame flood). */
static void count_reply(websocket *ws, size_t bytes)
{
    if (ws->sink->queued <= bytes)
        ws->reply_bytes = 0;
    ws->reply_bytes += (uint32_t)bytes;
    if (ws->reply_bytes > MAX_REPLY_BYTES) {
        peer_stop_reading(&ws->peer, PAUSED_BY_REPLIES, true);
        ws->sink->ops->notify(ws->sink);
    }
}

static void take_ping(websocket *ws, str payload)
{
    if (ws->peer.leaving)
        return;
    if (put_frame(ws, WS_PONG, payload))
        peer_abort(&ws->peer);
    else
        count_reply(ws, payload.len + 2);
}

static void take_pong(websocket *ws, str payload)
{
    if (ws->own_ping && payload.len == 0) {
        ws->own_ping = false;
        return;
    }
    uint64_t round_trip_us = ws->pinged_us ? loop_clock_us() - ws->pinged_us : 0;
    ws->pinged_us = 0;
    if (!ws->peer.leaving && ws->route->rules.pong)
        ws->route->rules.pong(peer_handle(&ws->peer), payload,
                              round_trip_us < UINT32_MAX ? (uint32_t)round_trip_us : UINT32_MAX);
}

static void take_close(websocket *ws, int code, str reason)
{
    if (ws->peer.leaving) { /* the answer to ours */
        end_connection(ws);
        return;
    }
    peer_leave(&ws->peer, code, reason);
    close_now(ws, code, (str){NULL, 0});
}

static void take_control(websocket *ws, const ws_event *event)
{
    if (event->opcode == WS_PING)
        take_ping(ws, event->bytes);
    else if (event->opcode == WS_PONG)
        take_pong(ws, event->bytes);
    else
        take_close(ws, event->code, event->bytes);
}

static void take_event(websocket *ws, const ws_event *event)
{
    if (event->type == WS_DATA)
        take_piece(ws, event);
    else if (event->type == WS_CONTROL)
        take_control(ws, event);
    else
        fail_connection(ws, event->code, event->reason);
}

static size_t websocket_data(void *owner, char *at, size_t len)
{
    websocket *ws = owner;
    size_t done = 0;
    ws->heard_ms = (uint32_t)loop_of(ws)->now_ms;
    ws->awaiting_pong = false;
    ws->decoding = true;
    peer_open(&ws->peer);
    while (ws->sink && (!ws->peer.stop_reading || ws->peer.leaving)) {
        ws_event event;
        ws_decoder_next(&ws->decoder, at + done, len - done, &event);
        if (event.type == WS_MORE)
            break;
        done += event.consumed;
        take_event(ws, &event);
    }
    ws->decoding = false;
    free_if_done(ws);
    return done;
}

static char *websocket_room(void *owner, size_t *ret_len)
{
    websocket *ws = owner;
    uint64_t expected = ws_decoder_expects(&ws->decoder);
    if (expected < DIRECT_RECEIVE_BYTES || !ws->message || ws->peer.leaving)
        return NULL;
    if (chunk_room(ws->message) < DIRECT_RECEIVE_BYTES && reserve_message(ws, DIRECT_RECEIVE_BYTES))
        return NULL;
    size_t room = chunk_room(ws->message);
    *ret_len = expected < room ? (size_t)expected : room;
    return ws->message->bytes + ws->message->len;
}

static void websocket_eof(void *owner)
{
    websocket *ws = owner;
    if (!ws->peer.leaving)
        peer_leave(&ws->peer, WS_CODE_ABNORMAL, (str){NULL, 0});
    end_connection(ws);
}

static void websocket_gone(void *owner, int error)
{
    websocket *ws = owner;
    if (!ws->peer.leaving)
        peer_leave(&ws->peer, WS_CODE_ABNORMAL, error == -ETIMEDOUT ? STR("write timeout") : (str){NULL, 0});
    let_go(ws);
}

static void websocket_sent(void *owner)
{
    websocket *ws = owner;
    if (ws->peer.stop_reading & PAUSED_BY_REPLIES) {
        if (ws->sink->queued <= MAX_REPLY_BYTES / 2) {
            ws->reply_bytes = (uint32_t)ws->sink->queued; /* or the next ping would stop it again */
            peer_stop_reading(&ws->peer, PAUSED_BY_REPLIES, false);
        } else {
            ws->sink->ops->notify(ws->sink);
        }
    }
    peer_sent(&ws->peer);
}

static const sink_events websocket_events = {
    .data = websocket_data,
    .room = websocket_room,
    .eof = websocket_eof,
    .sent = websocket_sent,
    .gone = websocket_gone,
};

/* --------------------------------------------------------------------------------------------------------- keep-alive */

static void keep_alive(timer *t)
{
    websocket *ws = CONTAINER(t, websocket, clock);
    const weft_websocket_options *o = &ws->route->options;
    if (ws->peer.stop_reading) { /* nothing is heard from one that nobody listens to */
        ws->heard_ms = (uint32_t)loop_of(ws)->now_ms;
        ws->awaiting_pong = false;
    }
    uint32_t idle_ms = (uint32_t)loop_of(ws)->now_ms - ws->heard_ms;
    if (ws->awaiting_pong && idle_ms >= o->ping_interval_ms && o->ping_timeout_ms != WEFT_NEVER) {
        ws->peer.hub->limit = "ping_timeout_ms";
        peer_leave(&ws->peer, WS_CODE_ABNORMAL, STR("ping timeout"));
        cut_connection(ws);
        return;
    }
    if (idle_ms < o->ping_interval_ms) {
        loop_arm(loop_of(ws), t, o->ping_interval_ms - idle_ms, keep_alive);
        return;
    }
    ws->awaiting_pong = ws->own_ping = true;
    if (put_frame(ws, WS_PING, STR("")))
        peer_abort(&ws->peer);
    else
        loop_arm(loop_of(ws), t, o->ping_timeout_ms != WEFT_NEVER ? o->ping_timeout_ms : o->ping_interval_ms,
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
    ws->heard_ms = (uint32_t)loop_of(ws)->now_ms;
    sink_bind(s, &websocket_events, ws);
    if (ws->route->options.ping_interval_ms != WEFT_NEVER)
        loop_arm(loop_of(ws), &ws->clock, ws->route->options.ping_interval_ms, keep_alive);
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

static const peer_ops websocket_peer_ops = {
    .transport = WEFT_TRANSPORT_WEBSOCKET,
    .send = websocket_send,
    .deliver = websocket_deliver,
    .gap = websocket_gap,
    .say = websocket_say,
    .ping = websocket_ping,
    .close = websocket_close,
    .abort = websocket_abort,
    .pause = websocket_pause,
    .queued = websocket_queued,
    .notify = websocket_notify,
    .about = websocket_about,
    .free = websocket_free,
};
