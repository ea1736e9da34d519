/**
 * What the two halves of the WebSocket transport share: the route's options, and how an accepted request becomes a peer.
 */
#ifndef WEFT_TRANSPORT_WEBSOCKET_ROUTE_H
#define WEFT_TRANSPORT_WEBSOCKET_ROUTE_H

#include "proto/ws_deflate.h"
#include "transport/encoding.h"
#include "transport/websocket.h"

struct websocket_route {
    peer_rules rules;
    weft_websocket_options options; /* lists deep-copied, defaults filled in */

    /* What a route of topics adds; zero for weft_websocket(). */
    const encoding *encoding; /* of messages, as text frames; NULL: their data is the frame */
    wire format;              /* of its images */
    const char *needs; /* what is said with 400 to whoever offers none of the subprotocols; NULL: none is needed */
    /** A new peer, in the turn of its request and before `open`: sets its handler, subscribes. May close it. */
    void (*attach)(peer *p, const weft_request *request, const void *owner);
    const void *owner;
    bool bare_closes; /* what a client did wrong is told by the code alone */
};

typedef struct websocket websocket;

/** A peer without a connection yet. NULL when there is no memory. The subprotocol is copied. */
websocket *websocket_new(hub *h, const websocket_route *route, str subprotocol);

/** Agrees on permessage-deflate, if there is memory for it: what, or NULL. Before websocket_start(). */
const ws_deflate *websocket_agree(websocket *ws, const ws_deflate_offer *offer);

/** Before websocket_start(): takes it back. */
void websocket_discard(websocket *ws);

peer *websocket_peer(websocket *ws);

/** A message in two pieces, for who speaks a protocol of his own: `front` is copied, and unless it is empty there is room for WS_MAX_HEADER_BYTES in front of it; `body`
 * as in sink_piece. Where the body is the message being told
 * (hub.view), and front one byte at most, what stood in front of it is written over. 0 or -ENOMEM. */
int websocket_send_pieces(peer *p, bool binary, str front, str body);

/** A message by reference: the chunk from offset `at` on, with room for WS_MAX_HEADER_BYTES in front of that. All that are sent it write the same there. 0 or
 * -ENOMEM. */
int websocket_send_image(peer *p, bool binary, chunk *image, size_t at);

/** Gives it its connection. */
void websocket_start(websocket *ws, sink *s);

#endif
