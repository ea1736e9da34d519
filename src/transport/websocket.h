/**
 * WebSocket as a transport (RFC 6455): from the request for an upgrade to a peer, and what that peer sends and is sent.
 */
#ifndef WEFT_TRANSPORT_WEBSOCKET_H
#define WEFT_TRANSPORT_WEBSOCKET_H

#include "http/exchange.h"
#include "hub/topic.h"

typedef struct websocket_route websocket_route;

/** What is wrong with the options, as a half-sentence ("has a subprotocol that is no token"); NULL for nothing. Static. */
const char *websocket_options_problem(const weft_websocket_options *options);

/** A deep copy of the options, with defaults filled in. NULL when there is no memory. */
websocket_route *websocket_route_new(const weft_websocket_options *options);
void websocket_route_free(void *route);

/** Serves a request for an upgrade on a route: a route_spec's `serve`. The exchange's context is the hub. */
void websocket_serve(exchange *e, const weft_request *request, void *route);

#endif
