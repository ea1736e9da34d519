/**
 * A WebSocket connection as its files see it: websocket.c lives, closes and keeps alive, websocket_send.c writes, websocket_receive.c reads;
 * websocket_accept.c is before all that and sees websocket_route.h alone.
 */
#ifndef WEFT_TRANSPORT_WEBSOCKET_PRIVATE_H
#define WEFT_TRANSPORT_WEBSOCKET_PRIVATE_H

#include "net/kept_address.h"
#include "net/net.h"
#include "proto/ws_decoder.h"
#include "transport/websocket_deflate.h"
#include "transport/websocket_route.h"

/* What most connections have none of for most of the time. */
typedef struct {
    ws_decoder decoder;         /* as it stands inside a message; between two it is as good as new */
    chunk *message;             /* being collected; NULL between messages, and for those that come in one piece */
    websocket_deflate *deflate; /* NULL: not agreed on */
    uint64_t pinged_us;         /* the latest weft_ping() that has no answer; 0: there is none */
    size_t block_bytes;         /* for the pool */
    uint32_t reply_bytes;       /* unsent answers to pings, at most */
} websocket_more;

/** peer.own_flags */
enum {
    WEBSOCKET_AWAITS_PONG = 1, /* of our own ping: nothing was heard since */
    WEBSOCKET_OWN_PING = 2,    /* the next empty pong is its answer, which the program did not ask for */
    WEBSOCKET_PEER_FREED = 4,
    WEBSOCKET_DECODING = 8, /* websocket_data() is on the stack */
};

/** peer.own_number: its subprotocol, of which 1 is the route's first; 0: none. */
enum { SUBPROTOCOL_OF_ITS_OWN = UINT8_MAX }; /* in peer.extra */

/* A connection outlives its peer while the closing handshake is under way, and a peer its connection until `close` has been called. Its deadline is that of
 * keep-alive; when closing, of that. */
struct websocket {
    peer peer;            /* its rules are the route's: websocket_route_of() */
    sink *sink;           /* NULL once it is given up */
    websocket_more *more; /* NULL for none of it */
    kept_address address; /* for `close` and the log, when the connection may be gone; none when nobody asks */
    uint32_t heard_ms;    /* low bits of the time of the last byte */
    uint32_t own_ping_us; /* low bits of the time of our own latest ping */
};

static inline websocket *websocket_of(const peer *p)
{
    return CONTAINER((uintptr_t)p, websocket, peer);
}

static inline const websocket_route *websocket_route_of(const websocket *ws)
{
    return CONTAINER((uintptr_t)ws->peer.rules, const websocket_route, rules);
}

/* NULL: compression is not agreed on. */
static inline websocket_deflate *websocket_deflate_of(const websocket *ws)
{
    return ws->more ? ws->more->deflate : NULL;
}

static inline loop *websocket_loop(const websocket *ws)
{
    return ws->peer.hub->loop;
}

static inline pool *websocket_blocks(const websocket *ws)
{
    return &websocket_loop(ws)->blocks;
}

/* websocket.c */

/** Frees it when neither its connection nor its peer is left, and it is not on the stack. */
void websocket_free_if_done(websocket *ws);

/** What few have, made when there is none. NULL: no memory. */
websocket_more *websocket_more_of(websocket *ws);

/** Gives it back if there is nothing left in it. It has its connection. */
void websocket_tidy(websocket *ws);

/** A decoder between two messages. */
void websocket_new_decoder(const websocket *ws, ws_decoder *ret_decoder);

/** The connection is no longer ours. */
void websocket_let_go(websocket *ws);

/** Ends the connection, after what is queued. */
void websocket_end(websocket *ws);

/** We have said, or answered, a close, or the peer broke the protocol: what is queued goes out, then the end (RFC 6455 §7.1.1). */
void websocket_close_now(websocket *ws, int code, str reason);

/** The client broke the protocol or a limit. */
void websocket_fail(websocket *ws, int code, const char *reason);

/* websocket_send.c: 0 or -ENOMEM */

int websocket_put_frame(websocket *ws, ws_opcode opcode, str payload);

/** Without memory the peer then sees the end of the stream alone. */
int websocket_put_close(websocket *ws, int code, str reason);

int websocket_send(peer *p, const weft_message *message);
int websocket_deliver(peer *p, topic *t, uint64_t offset);
const topic_run *websocket_run(peer *p, topic *t, uint64_t first, uint64_t end);
int websocket_deliver_run(peer *p, const topic_run *run);
int websocket_gap(peer *p, topic *t, uint64_t next);
int websocket_say(peer *p, str text);
int websocket_ping(peer *p, str payload);

/* websocket_receive.c */

extern const sink_events websocket_events;

#endif
