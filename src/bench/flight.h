/**
 * The messages that one connection has in flight: when each went out, and whether they come back in order.
 */
#ifndef WEFT_BENCH_FLIGHT_H
#define WEFT_BENCH_FLIGHT_H

#include "bench/order.h"
#include <stddef.h>

/** Zeroed has no room yet. */
typedef struct {
    bench_order order; /* of what comes back */
    uint64_t n_sent;   /* the number of the next message */
    uint64_t n_back;   /* came back, once each */
    uint64_t *sent_ns; /* ring of mask + 1: when message n went out, or ought to have, at n & mask */
    uint64_t mask;
} bench_flight;

/** Room for `depth` messages in flight. 0 or -ENOMEM. What was in flight is forgotten. */
int bench_flight_init(bench_flight *flight, uint64_t depth);

void bench_flight_done(bench_flight *flight);

/** The number of a message that goes out now; room grows if there is none. UINT64_MAX when there is no memory. */
uint64_t bench_flight_push(bench_flight *flight, uint64_t now_ns);

/** When message `number` went out; only of those that bench_order_take() did not call doubled. */
static inline uint64_t bench_flight_sent_ns(const bench_flight *flight, uint64_t number)
{
    return flight->sent_ns[number & flight->mask];
}

#endif
