/**
 * Engine.IO 4: a session over polls or a WebSocket, which it may change to without losing or turning round a message. What is above it, a program's peer
 * (engineio_peer.h) or Socket.IO (socketio.h), sees messages and the end.
 *
 *     engineio_route.c      the settings
 *     engineio_request.c    which request is what, and the errors that the reference answers
 *     engineio_session.c    the state of a session: heartbeat, upgrade, end
 *     engineio_poll.c       its carrier while it polls: the GET that waits, and what waits for it (engineio_queue.h)
 *     engineio_post.c       the POST that comes
 *     engineio_websocket.c  its carrier on a WebSocket, and the probe before that
 */
#ifndef WEFT_TRANSPORT_ENGINEIO_H
#define WEFT_TRANSPORT_ENGINEIO_H

#include "http/exchange.h"
#include "hub/topic.h"
#include "transport/sessions.h"
#include "transport/websocket_route.h"

typedef struct engineio_session engineio_session;
typedef struct engineio_route engineio_route;

/** Why a session ended; engineio_end_reason() is what the reference calls it. */
typedef enum {
    ENGINEIO_TRANSPORT_CLOSE, /* the client closed, or its connection was lost */
    ENGINEIO_TRANSPORT_ERROR, /* it broke the rules of its carrier: overlapping polls, a broken frame, more than it may send */
    ENGINEIO_PING_TIMEOUT,
    ENGINEIO_PARSE_ERROR,
    ENGINEIO_FORCED_CLOSE, /* the layer above said so */
    ENGINEIO_SHUTTING_DOWN,
} engineio_end;

str engineio_end_reason(engineio_end end);

/** As `close` callbacks are told it: 1000, 1001, 1002 or 1006. */
int engineio_end_code(engineio_end end);

/** What is above. Called from the loop, never inside a call of the program. */
typedef struct {
    /** A client has shaken hands: a zeroed session inside the layer's own struct. It may send from `begin` on. NULL: no memory. */
    engineio_session *(*create)(hub *h, const engineio_route *route);
    /** The session is set up, its open packet is on its way. May end it. */
    void (*begin)(engineio_session *s, const weft_request *request);
    /** A message. `data` may be written to, and is gone afterwards. May end the session. */
    void (*message)(engineio_session *s, bool binary, str data);
    /** It has ended: once, and the last that is heard of it. The session has let go of all it had; its memory is freed by the layer, not before the end of the
     * turn (loop_defer()). */
    void (*ended)(engineio_session *s, engineio_end why);
    /** Asked for by engineio_notify(): what was queued has gone out, or become less. Only marks. */
    void (*sent)(engineio_session *s);
    /** A session that ended before `begin`, for want of memory. */
    void (*discard)(engineio_session *s);
} engineio_layer;

/** A route: deep-copied settings with defaults filled in. Embedded at the beginning of the layer's own route. */
struct engineio_route {
    const engineio_layer *layer;
    weft_engineio_settings settings;
    void *user;
    void (*request)(weft_exchange exchange, const weft_request *request, void *user); /* NULL accepts */
    weft_transport transport; /* as what its peers are counted and told */
    bool polling, websocket;  /* which of them the settings allow */
    websocket_route *carrier;
};

/** What is wrong with the settings, as a half-sentence; NULL for nothing. Static. */
const char *engineio_settings_problem(const weft_engineio_settings *settings);

/** Fills a zeroed route but for what its layer sets (layer, user, request, transport). 0 or -ENOMEM. */
int engineio_route_init(engineio_route *route, const weft_engineio_settings *settings);
void engineio_route_done(engineio_route *route);

/** Frees what sessions of a loop have left behind for polls that did not come. */
void engineio_goodbyes_done(hub *h);

/** Each is a route_spec's `serve`; `user` is an engineio_route. For every path below the route's that is no client file. */
void engineio_get(exchange *e, const weft_request *request, void *user);
void engineio_post(exchange *e, const weft_request *request, void *user); /* its body is streamed: */
void engineio_post_body(exchange *e, str piece, void *user);
void engineio_post_gone(exchange *e, void *user);
void engineio_upgrade(exchange *e, const weft_request *request, void *user);
void engineio_other_method(exchange *e, const weft_request *request, void *user); /* 400, code 2 */
void engineio_other_body(exchange *e, str piece, void *user);                     /* whatever comes means nothing */

typedef enum {
    ENGINEIO_POLLING,
    ENGINEIO_PROBING, /* polls still carry it, while a WebSocket waits for its turn */
    ENGINEIO_WEBSOCKET,
    ENGINEIO_ENDED,
} engineio_state;

typedef struct engineio_polls engineio_polls; /* what it has only while it polls */

/** Zeroed before engineio_layer.create(). The fields are engineio_*.c's own, but for those that the layer may read. */
struct engineio_session {
    session registered; /* its sid: registered.id */
    const engineio_route *route;
    hub *hub;
    peer *websocket;            /* carrier, or probe; NULL for none */
    peer_handler carrier;       /* of the WebSocket */
    engineio_polls *polls;      /* NULL once a WebSocket carries it */
    timer clock;                /* heartbeat: the next ping, or the deadline of its pong */
    struct engineio_head *head; /* of the handshake's request; NULL once nobody asks */
    uint32_t pinged_us;         /* low bits of the time of the latest ping */
    uint8_t state;              /* engineio_state */
    bool awaiting_pong;
    bool want_sent; /* engineio_notify() */
    bool paused;    /* engineio_pause() */
    bool base64;    /* its WebSocket takes text only: binary messages are base64 there too */
    bool forgotten; /* engineio_forget_request() */
};

static inline str engineio_sid(const engineio_session *s)
{
    return (str){s->registered.id, SESSION_ID_BYTES};
}

/** Free bytes that stand in front of what is sent, for the header of a frame and the type. */
enum { ENGINEIO_ROOM = 16 };

/** Sends a message: two pieces that follow each other, copied or referred to as in sink_piece. `front` is copied; unless it is empty, ENGINEIO_ROOM bytes in front of
 * it are written to. 0 or -ENOMEM, and then the caller ends it (ENGINEIO_FORCED_CLOSE). Of an ended one nothing is sent, and the result is 0. */
int engineio_send(engineio_session *s, bool binary, str front, str body);

/** A message that many sessions are sent, encoded once: a chunk with room for a frame's header and the type in front of the data.
 *
 *      chunk->bytes                       chunk->bytes + ENGINEIO_ROOM              + len
 *      | room for the frame's header, type | data ... |
 */

/** One reference; whoever made it writes `len` bytes of data at engineio_image_data(), and does not change them any more once it was sent. NULL: no memory. */
chunk *engineio_image_new(pool *blocks, bool binary, size_t len);

static inline char *engineio_image_data(chunk *image)
{
    return image->bytes + ENGINEIO_ROOM;
}

/** By reference. As engineio_send(). */
int engineio_send_image(engineio_session *s, bool binary, chunk *image);

/** Bytes that wait to be sent, or fetched. */
size_t engineio_queued(const engineio_session *s);

/** True when what is sent now can go out at once: nothing waits in front of it, and on polls one waits for it. */
bool engineio_writable(const engineio_session *s);

void engineio_notify(engineio_session *s);

/** Reads nothing more from the client, or goes on: a WebSocket is not read, the answer to a POST waits. */
void engineio_pause(engineio_session *s, bool paused);

/** Ends it, behind what is queued: a waiting poll is answered with what there is and a close packet, a WebSocket is closed. `ended` is called from here unless it
 * ended already. For ENGINEIO_FORCED_CLOSE and ENGINEIO_SHUTTING_DOWN. */
void engineio_close(engineio_session *s, engineio_end why);

/** Cuts it: a WebSocket is aborted, polls are answered with 400 from now on. As engineio_close(). */
void engineio_abort(engineio_session *s);

/** For weft_peer_request(): the handshake's request while it is kept, or the one being served. Borrowed until the end of the turn. */
const weft_request *engineio_request_of(engineio_session *s);

/** Nobody asks for the handshake any more: frees it, unless the settings keep it. */
void engineio_forget_request(engineio_session *s);

/** For weft_peer_about(): the carrier's address and the like. */
void engineio_about(const engineio_session *s, weft_peer_info *ret_info);

#endif
