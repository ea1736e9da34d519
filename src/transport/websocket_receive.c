#include "transport/websocket_private.h"
#include <errno.h>

enum {
    MAX_REPLY_BYTES = 64 * 1024,      /* unsent answers to pings; with more the peer is not read from */
    DIRECT_RECEIVE_BYTES = 64 * 1024, /* with so much of a frame to come it is received where it belongs */
    VIEW_ROOM = 16,                   /* in front of a collected message: a reply's header fits there */
    FIRST_MESSAGE_BYTES = 64 * 1024,  /* reserved on a frame header's word alone */
};

static void deliver_message(websocket *ws, ws_opcode opcode, str data)
{
    hub *h = ws->peer.hub;
    weft_message *message = &h->received;
    message->kind = opcode == WS_TEXT ? WEFT_TEXT : WEFT_BINARY;
    message->data = data;
    h->view = data;
    h->view_is_text = opcode == WS_TEXT;
    h->view_has_room = data.len > 0; /* what came in front of it is behind us: a longer header, or VIEW_ROOM bytes */
    peer_receive(&ws->peer, message);
    h->view = (str){NULL, 0};
    h->view_is_text = h->view_has_room = false;
}

/* Moves the message into a chunk of so many bytes. 0 or -ENOMEM. */
static int grow_message(websocket *ws, size_t bytes)
{
    if (!websocket_more_of(ws))
        return -ENOMEM;
    chunk *old = ws->more->message, *larger = chunk_new(websocket_blocks(ws), bytes);
    if (!larger)
        return -ENOMEM;
    larger->len = old ? old->len : VIEW_ROOM;
    if (old)
        memcpy(larger->bytes, old->bytes, old->len);
    chunk_unref(websocket_blocks(ws), old);
    ws->more->message = larger;
    return 0;
}

static chunk *message_of(const websocket *ws)
{
    return ws->more ? ws->more->message : NULL;
}

/* Room for n more bytes of the message, of whose frame so many are still to come. Grows by the bytes that have come, not by those that were announced. */
static int reserve_message(websocket *ws, size_t n, uint64_t to_come)
{
    const chunk *old = message_of(ws);
    size_t have = old ? old->len : VIEW_ROOM;
    if (old && chunk_room(old) >= n)
        return 0;
    uint64_t whole = (uint64_t)have + n + to_come;
    size_t trusted = (have + n) * 4 < FIRST_MESSAGE_BYTES ? FIRST_MESSAGE_BYTES : (have + n) * 4;
    if (!to_come)
        whole = (have + n) * 2;
    return grow_message(ws, whole < trusted ? (size_t)whole : trusted);
}

static int collect(websocket *ws, str piece, uint64_t to_come)
{
    chunk *message = message_of(ws);
    if (message && piece.at == message->bytes + message->len) {
        message->len += piece.len; /* was received in its place */
        return 0;
    }
    if (piece.len == 0)
        return 0;
    if (reserve_message(ws, piece.len, to_come))
        return -ENOMEM;
    message = ws->more->message;
    memcpy(message->bytes + message->len, piece.at, piece.len);
    message->len += piece.len;
    return 0;
}

/* Delivers what was collected; replies may refer to it instead of copying. */
static void deliver_collected(websocket *ws, ws_opcode opcode)
{
    net *n = ws->peer.hub->net;
    pool *blocks = websocket_blocks(ws);
    chunk *message = message_of(ws);
    if (message)
        ws->more->message = NULL;
    n->message = message;
    deliver_message(ws, opcode, message ? (str){message->bytes + VIEW_ROOM, message->len - VIEW_ROOM} : STR(""));
    n->message = NULL;
    chunk_unref(blocks, message);
}

/* ---------------------------------------------------------------------------------------------- compressed messages */

typedef enum {
    INFLATED,
    INFLATED_TOO_FAR,
    NOT_DEFLATED,
    NOT_UTF8,
    NO_MEMORY,
} inflation;

/* A bomb is known by one byte more than the limit allows. */
static size_t most_inflated(const websocket *ws)
{
    size_t limit = websocket_route_of(ws)->options.max_message_bytes;
    return VIEW_ROOM + (limit < SIZE_MAX / 2 ? limit : SIZE_MAX / 2) + 1;
}

/* Room for a byte at least, behind which so many are to be inflated. Grows by what has come, never past the limit. 0 or -ENOMEM. */
static int reserve_inflated(websocket *ws, size_t n_deflated)
{
    enum { FIRST_BYTES = 256, USUAL_RATIO = 4 };
    const chunk *message = message_of(ws);
    size_t most = most_inflated(ws), have = message ? message->len : VIEW_ROOM;
    if (message && chunk_room(message))
        return 0;
    size_t wanted = FIRST_BYTES + have * 2 + n_deflated * USUAL_RATIO;
    return grow_message(ws, wanted < most ? wanted : most);
}

static inflation inflate_piece(websocket *ws, ws_opcode opcode, str in)
{
    websocket_deflate *d = ws->more->deflate;
    ws_inflater *z = websocket_deflate_inflater(ws->peer.hub, d);
    ws_inflate_status status = z ? WS_INFLATE_FULL : WS_INFLATE_NO_MEMORY;
    while (status == WS_INFLATE_FULL) {
        if (reserve_inflated(ws, in.len))
            return NO_MEMORY;
        chunk *message = ws->more->message;
        char *at = message->bytes + message->len;
        size_t n, room = most_inflated(ws) - message->len;
        status = ws_inflate(z, &in, at, room < chunk_room(message) ? room : chunk_room(message), &n);
        message->len += n;
        if (message->len == most_inflated(ws))
            return INFLATED_TOO_FAR;
        if (opcode == WS_TEXT && utf8_feed(&d->utf8, at, n) != n)
            return NOT_UTF8;
    }
    return status == WS_INFLATE_DONE ? INFLATED : status == WS_INFLATE_BAD ? NOT_DEFLATED : NO_MEMORY;
}

/* Some clients send an empty message as no bytes at all, where RFC 7692 §7.2.3.6 has one: it needs no end. */
static inflation end_inflating(websocket *ws, ws_opcode opcode)
{
    const websocket_deflate *d = ws->more->deflate;
    inflation result = d->inflating ? inflate_piece(ws, opcode, ws_inflate_tail()) : INFLATED;
    if (result == INFLATED && d->inflating && !ws_inflater_is_whole(d->inflater))
        return NOT_DEFLATED;
    if (result == INFLATED && !utf8_complete(&d->utf8))
        return NOT_UTF8;
    return result;
}

static void fail_inflating(websocket *ws, inflation result)
{
    if (result == INFLATED_TOO_FAR)
        websocket_fail(ws, WS_CODE_TOO_LARGE, "message too large");
    else if (result == NOT_DEFLATED)
        websocket_fail(ws, WS_CODE_INVALID_DATA, "compressed message is not DEFLATE");
    else if (result == NOT_UTF8)
        websocket_fail(ws, WS_CODE_INVALID_DATA, "text is not UTF-8");
    else
        peer_abort(&ws->peer);
}

static void take_compressed(websocket *ws, const ws_event *event)
{
    inflation result = INFLATED;
    if (event->bytes.len) {
        ws->more->deflate->inflating = true;
        result = inflate_piece(ws, event->opcode, event->bytes);
    }
    if (result == INFLATED && event->last)
        result = end_inflating(ws, event->opcode);
    if (result != INFLATED) {
        fail_inflating(ws, result);
    } else if (event->last) {
        websocket_deflate_return(ws->peer.hub, ws->more->deflate);
        deliver_collected(ws, event->opcode);
    }
}

/* ---------------------------------------------------------------------------------------------------------------- frames */

static void take_piece(websocket *ws, const ws_event *event, uint64_t to_come)
{
    if (ws->peer.leaving)
        return;
    if (event->compressed) {
        take_compressed(ws, event);
    } else if (event->first && event->last) {
        deliver_message(ws, event->opcode, event->bytes);
    } else if (collect(ws, event->bytes, to_come)) {
        peer_abort(&ws->peer);
    } else if (event->last) {
        deliver_collected(ws, event->opcode);
    }
}

/* Too many unsent replies: no more is read, so that a flood of pings stops at the socket (CVE class: control-frame flood). */
static void count_reply(websocket *ws, size_t bytes)
{
    bool alone = ws->sink->queued <= bytes;
    if (alone && ws->more)
        ws->more->reply_bytes = 0;
    if (alone)
        return;
    if (!websocket_more_of(ws)) {
        peer_abort(&ws->peer);
        return;
    }
    ws->more->reply_bytes += (uint32_t)bytes;
    if (ws->more->reply_bytes > MAX_REPLY_BYTES) {
        peer_reached(&ws->peer, LIMIT_REPLY_BYTES);
        peer_stop_reading(&ws->peer, PAUSED_BY_REPLIES, true);
        ws->sink->ops->notify(ws->sink);
    }
}

static void take_ping(websocket *ws, str payload)
{
    if (ws->peer.leaving)
        return;
    if (websocket_put_frame(ws, WS_PONG, payload))
        peer_abort(&ws->peer);
    else
        count_reply(ws, payload.len + 2);
}

static void take_pong(websocket *ws, str payload)
{
    if (ws->peer.own_flags & WEBSOCKET_OWN_PING && payload.len == 0) {
        ws->peer.own_flags &= (uint8_t)~WEBSOCKET_OWN_PING;
        histogram_add(&ws->peer.hub->counts.round_trips, (uint32_t)loop_clock_us() - ws->own_ping_us);
        return;
    }
    uint64_t round_trip_us = ws->more && ws->more->pinged_us ? loop_clock_us() - ws->more->pinged_us : 0;
    if (ws->more)
        ws->more->pinged_us = 0;
    if (!ws->peer.leaving && ws->peer.rules->pong)
        ws->peer.rules->pong(peer_handle(&ws->peer), payload,
                             round_trip_us < UINT32_MAX ? (uint32_t)round_trip_us : UINT32_MAX);
}

static void take_close(websocket *ws, int code, str reason)
{
    if (ws->peer.leaving) { /* the answer to ours */
        websocket_end(ws);
        return;
    }
    peer_leave(&ws->peer, code, reason);
    websocket_close_now(ws, code, (str){NULL, 0});
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

static void take_event(websocket *ws, const ws_event *event, uint64_t to_come)
{
    if (event->type == WS_DATA)
        take_piece(ws, event, to_come);
    else if (event->type == WS_CONTROL)
        take_control(ws, event);
    else
        websocket_fail(ws, event->code, event->reason);
}

/* What is next in these bytes; how many of them are done with. */
static size_t take_next(websocket *ws, ws_decoder *decoder, char *at, size_t len)
{
    ws_opcode opcode;
    str data;
    if (ws_decoder_whole(decoder, at, len, &opcode, &data)) {
        if (!ws->peer.leaving)
            deliver_message(ws, opcode, data);
        return (size_t)(data.at + data.len - at);
    }
    ws_event event;
    ws_decoder_next(decoder, at, len, &event);
    if (event.type != WS_MORE)
        take_event(ws, &event, ws_decoder_expects(decoder));
    return event.consumed;
}

/* Keeps the state of a decoder that is not the connection's own and stands inside a message. */
static void keep_decoder(websocket *ws, const ws_decoder *decoder)
{
    if (ws_decoder_is_idle(decoder))
        return;
    if (websocket_more_of(ws))
        ws->more->decoder = *decoder;
    else if (ws->peer.leaving)
        websocket_end(ws);
    else
        peer_abort(&ws->peer);
}

static size_t websocket_data(void *owner, char *at, size_t len)
{
    websocket *ws = owner;
    ws_decoder fresh, *decoder = ws->more ? &ws->more->decoder : &fresh;
    size_t done = 0, n = 1;
    if (decoder == &fresh)
        websocket_new_decoder(ws, &fresh);
    ws->heard_ms = (uint32_t)websocket_loop(ws)->now_ms;
    ws->peer.own_flags &= (uint8_t)~WEBSOCKET_AWAITS_PONG;
    ws->peer.own_flags |= WEBSOCKET_DECODING;
    peer_open(&ws->peer);
    while (n && done < len && ws->sink && (!ws->peer.stop_reading || ws->peer.leaving)) {
        n = take_next(ws, decoder, at + done, len - done);
        done += n;
    }
    if (ws->sink && decoder == &fresh)
        keep_decoder(ws, &fresh);
    if (ws->sink)
        websocket_tidy(ws);
    ws->peer.own_flags &= (uint8_t)~WEBSOCKET_DECODING;
    if (ws->sink && ws->sink->queued)
        hub_catch_up(ws->peer.hub, &ws->peer); /* what goes out now takes along what was published meanwhile */
    websocket_free_if_done(ws);
    return done;
}

static char *websocket_room(void *owner, size_t *ret_len)
{
    websocket *ws = owner;
    chunk *message = message_of(ws);
    if (!message || ws->more->decoder.compressed || ws->peer.leaving)
        return NULL;
    uint64_t expected = ws_decoder_expects(&ws->more->decoder);
    if (expected < DIRECT_RECEIVE_BYTES)
        return NULL;
    if (chunk_room(message) < DIRECT_RECEIVE_BYTES && reserve_message(ws, DIRECT_RECEIVE_BYTES, expected))
        return NULL;
    message = ws->more->message;
    size_t room = chunk_room(message);
    *ret_len = expected < room ? (size_t)expected : room;
    return message->bytes + message->len;
}

static void websocket_eof(void *owner)
{
    websocket *ws = owner;
    if (!ws->peer.leaving)
        peer_leave(&ws->peer, WS_CODE_ABNORMAL, (str){NULL, 0});
    websocket_end(ws);
}

static void websocket_gone(void *owner, int error)
{
    websocket *ws = owner;
    if (!ws->peer.leaving && error == -ETIMEDOUT)
        ws->peer.hub->limit = limit_name(LIMIT_WRITE_TIMEOUT);
    if (!ws->peer.leaving)
        peer_leave(&ws->peer, WS_CODE_ABNORMAL, error == -ETIMEDOUT ? STR("write timeout") : (str){NULL, 0});
    websocket_let_go(ws);
}

static void websocket_sent(void *owner)
{
    websocket *ws = owner;
    if (ws->peer.stop_reading & PAUSED_BY_REPLIES) {
        if (ws->sink->queued <= MAX_REPLY_BYTES / 2) {
            if (ws->more)
                ws->more->reply_bytes = (uint32_t)ws->sink->queued; /* or the next ping would stop it again */
            peer_stop_reading(&ws->peer, PAUSED_BY_REPLIES, false);
        } else {
            ws->sink->ops->notify(ws->sink);
        }
    }
    peer_sent(&ws->peer);
}

const sink_events websocket_events = {
    .data = websocket_data,
    .room = websocket_room,
    .eof = websocket_eof,
    .sent = websocket_sent,
    .gone = websocket_gone,
};
