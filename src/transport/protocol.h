/**
 * weft.v1 (docs/weft.v1.md) on its carriers: WebSocket, SSE with POST, long polls with POST.
 */
#ifndef WEFT_TRANSPORT_PROTOCOL_H
#define WEFT_TRANSPORT_PROTOCOL_H

#include "transport/topics_route.h"

/** Sets up the carriers of a route that speaks weft.v1. 0 or -ENOMEM. */
int protocol_init(topics_route *route);

/* Each is a route_spec's `serve`; `user` is a topics_route. */
void protocol_upgrade(exchange *e, const weft_request *request, void *user);
void protocol_get(exchange *e, const weft_request *request, void *user);
void protocol_post(exchange *e, const weft_request *request, void *user);

/** The browser module. */
void protocol_script(exchange *e, const weft_request *request, void *user);

#endif
