/**
 * What the two halves of the WebSocket transport share: the route's options, and how an accepted request becomes a peer.
 */
#ifndef WEFT_TRANSPORT_WEBSOCKET_ROUTE_H
#define WEFT_TRANSPORT_WEBSOCKET_ROUTE_H

#include "transport/websocket.h"

struct websocket_route {
    peer_rules rules;
    weft_websocket_options options; /* lists deep-copied, defaults filled in */
};

typedef struct websocket websocket;

/** A peer without a connection yet. NULL when there is no memory. The subprotocol is copied. */
websocket *websocket_new(hub *h, const websocket_route *route, str subprotocol);

/** Before websocket_start(): takes it back. */
void websocket_discard(websocket *ws);

/** Gives it its connection. */
void websocket_start(websocket *ws, sink *s);

#endif
