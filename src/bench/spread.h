/**
 * Messages to all: a publisher in the first process, subscribers in every one, and who has what.
 *
 *     publisher (first process) ── message n ─▶ server ─▶ subscribers: bench_spread_take()
 *        ▲                                                     │ the last one of a process has n: tally->n_complete, eventfd
 *        └────────────────── all processes have n ◀────────────┘
 *
 * Closed loop: plan->depth messages are under way. By the clock: they go out whether or not the earlier ones have come. The publisher has a connection of its
 * own; what comes back on it is not looked at.
 */
#ifndef WEFT_BENCH_SPREAD_H
#define WEFT_BENCH_SPREAD_H

#include "bench/pace.h"
#include "bench/worker.h"

/** At the front of a scenario's state, in every process. */
typedef struct {
    bench_worker *worker;
    bench_client **publishers; /* one for each server, in the first process; NULL elsewhere */
    bool can_publish;          /* all of them are there */
    double per_second;         /* 0: closed loop */
    bench_pace pace;
    uint64_t most_in_flight;
    bool sends;          /* warming up or measuring */
    uint32_t *counts;    /* of BENCH_SPREAD_RING: how many subscribers here have message n */
    uint32_t n_expected; /* subscribers that are left here */
    uint64_t n_complete; /* all of them have every message below */
    uint64_t n_told;     /* what of it the first process has been told */
    uint64_t n_reached;  /* in the first process: all processes have every message below */
    loop_source wake;    /* of the first process */
    char *message;
} bench_spread;

/** In init(): opens the publisher, which speaks `protocol` and publishes to `target`; and one for each of plan->more, to whom each message goes as well.
 * `per_second`: by the clock; 0: closed loop. 0 or -errno, and then bench_spread_done() is called all the same. */
int bench_spread_init(bench_worker *worker, const bench_protocol *protocol, const bench_target *target,
                      double per_second);

/* What a regime's functions are, or call first: worker->state begins with a bench_spread. */

void bench_spread_begin(bench_worker *worker, bench_phase phase);
void bench_spread_turn(bench_worker *worker);
bool bench_spread_drained(bench_worker *worker);
void bench_spread_done(bench_worker *worker);

/** Of subscribers: ready(), message() and lost() are these. */
extern const bench_scenario bench_subscribers;

#endif
