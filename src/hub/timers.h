/**
 * Timers of the program: handles that cannot dangle, for the application or for one peer (gone with it).
 */
#ifndef WEFT_HUB_TIMERS_H
#define WEFT_HUB_TIMERS_H

#include "hub/peer.h"

typedef struct {
    uint32_t ms;
    bool repeat;
    weft_timer_fn fn;
    weft_peer_timer_fn peer_fn; /* with a peer */
    void *user;
} timer_spec;

/** p is NULL for the application's. {0} when there is no memory. */
weft_timer hub_timer_start(hub *h, peer *p, const timer_spec *spec);

/** 0, or WEFT_E_CLOSED when it has fired or is gone. */
int hub_timer_cancel(hub *h, weft_timer handle);

/** Cancels all timers of a peer. */
void peer_timers_drop(peer *p);

/** Cancels all timers. */
void hub_timers_drop(hub *h);

#endif
