/**
 * Raw Engine.IO sessions as the program's peers (weft_engineio()): a message is a message.
 */
#ifndef WEFT_TRANSPORT_ENGINEIO_PEER_H
#define WEFT_TRANSPORT_ENGINEIO_PEER_H

#include "transport/engineio.h"

typedef struct engineio_peer_route engineio_peer_route;

/** A deep copy of the options, with defaults filled in and one reference. NULL: no memory. */
engineio_peer_route *engineio_peer_route_new(const weft_engineio_options *options);

/** Its routes' `user` is what is in front: an engineio_route. */
engineio_peer_route *engineio_peer_route_ref(engineio_peer_route *route);
void engineio_peer_route_free(void *route); /* drops a reference */

#endif
