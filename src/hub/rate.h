/**
 * How fast a peer may send: messages and bytes a second, by token buckets. Who is over is not read from until it has waited, so that nothing is lost and
 * the socket slows its client down.
 */
#ifndef WEFT_HUB_RATE_H
#define WEFT_HUB_RATE_H

#include "hub/peer.h"

enum {
    RATE_PAUSE_MS = 100
}; /* at least: what waits unread is looked at so often, not for each message that has its turn */

/** Sets p->extra->rate when its rules limit it. 0 or -ENOMEM. */
int peer_rate_init(peer *p);
void peer_rate_done(peer *p);

/** A message has come from a peer whose p->extra->rate is set. */
void peer_rate_count(peer *p, size_t bytes);

/** How long it has to wait before another one is taken; 0: not at all. For messages that come by requests, which no pause holds up. */
uint64_t peer_rate_wait_ms(const peer *p);

#endif
