/**
 * How an application ends, each of its workers by itself: no new clients, those that are there leave in good order, and whoever is left at the deadline is cut.
 *
 *  - Listeners accept what the kernel has queued, and close. Requests under way are answered; every answer is its connection's last.
 *  - A few clients are told at once. Many are told one after the other over the first half of the time, evenly, so that they do not all come back in the
 *    same instant: WebSocket 1001, the end of a stream with a time to return, an answer to a waiting poll, the end of a session.
 *  - With several workers what was published before comes before the close, wherever its topic is at home: nobody is told before all workers have passed on what they
 *    had for others, twice, as a message goes by way of its home. (Or a quarter of the time has passed.)
 *  - A peer with a subscription that lags is told when it has caught up, or at the deadline. (Not a session's: its client cannot come back for the rest.)
 */
#ifndef WEFT_APP_DRAIN_H
#define WEFT_APP_DRAIN_H

#include "loop/timer.h"
#include <stddef.h>
#include <weft.h>

typedef struct worker worker;

enum {
    DRAIN_AT_ONCE = 100, /* so many clients are a few */
    DRAIN_HOPS = 2,      /* from the worker where a message is published to that of a subscriber */
};

typedef struct {
    timer deadline, clock;
    uint64_t began_ms;
    uint64_t n_peers, n_told;          /* peers when it began, and those told */
    size_t n_connections, n_looked_at; /* likewise of HTTP */
    uint32_t slot;                     /* where the walk through the peers goes on */
    unsigned
        n_passed_on[DRAIN_HOPS]; /* workers from which has come what they had before they drained; what they had then */
    unsigned hop;                /* which of these is waited for */
    bool cutting;                /* whoever is there, or still comes, is cut */
} drain;

/** The worker drains from now on; the first of an application also stops to listen. */
void drain_begin(worker *w);

/** Cuts every connection; the callbacks follow in the loop's tasks. */
void drain_cut(worker *w);

/** Takes back its timers. */
void drain_end(worker *w);

#endif
