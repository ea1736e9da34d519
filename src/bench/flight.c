#include "bench/flight.h"

#include "base/mem.h"
#include <errno.h>

static uint64_t room_for(uint64_t depth)
{
    uint64_t room = BENCH_ORDER_MEMORY;
    while (room < depth + BENCH_ORDER_MEMORY)
        room *= 2;
    return room;
}

int bench_flight_init(bench_flight *flight, uint64_t depth)
{
    uint64_t room = room_for(depth), *ring = mem_new(room * sizeof *ring);
    if (!ring)
        return -ENOMEM;
    bench_flight_done(flight);
    flight->sent_ns = ring;
    flight->mask = room - 1;
    return 0;
}

void bench_flight_done(bench_flight *flight)
{
    mem_free(flight->sent_ns);
    *flight = (bench_flight){0};
}

/* Numbers from order.next on are in flight, and some below it may come late. */
static int grow(bench_flight *flight)
{
    uint64_t room = 2 * (flight->mask + 1), *ring = mem_new(room * sizeof *ring);
    if (!ring)
        return -ENOMEM;
    uint64_t from = flight->n_sent > flight->mask ? flight->n_sent - flight->mask - 1 : 0;
    for (uint64_t n = from; n < flight->n_sent; n++)
        ring[n & (room - 1)] = flight->sent_ns[n & flight->mask];
    mem_free(flight->sent_ns);
    flight->sent_ns = ring;
    flight->mask = room - 1;
    return 0;
}

uint64_t bench_flight_push(bench_flight *flight, uint64_t now_ns)
{
    if (flight->n_sent - flight->order.next + BENCH_ORDER_MEMORY > flight->mask + 1 && grow(flight))
        return UINT64_MAX;
    flight->sent_ns[flight->n_sent & flight->mask] = now_ns;
    return flight->n_sent++;
}
