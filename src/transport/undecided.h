/**
 * A request that waits for the program's weft_accept() or weft_reject(), though not for ever: 503 when neither comes in
 * time.
 */
#ifndef WEFT_TRANSPORT_UNDECIDED_H
#define WEFT_TRANSPORT_UNDECIDED_H

#include "http/exchange.h"
#include "hub/topic.h"

/** What a transport remembers of such a request begins with one. */
typedef struct {
    hub *hub;
    exchange *exchange;
    timer deadline;
} undecided;

/** Holds the exchange, whose context is the hub: `bytes` of zeroed memory, the exchange's held_state, that begin with
 * an undecided. `ops` name the transport's own accept, and undecided_forget(). NULL: no memory, nothing is held. */
void *undecided_new(exchange *e, size_t bytes, const held_ops *ops, uint32_t timeout_ms);

/** The exchange ends: frees what undecided_new() gave. */
void undecided_forget(exchange *e);

#endif
