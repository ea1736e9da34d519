/**
 * What a run does in each of its processes: one static table a mode, in echo.c, broadcast.c, fanout.c, idle.c and connect.c.
 *
 *     init ─▶ connections open ─▶ begin(WARM_UP) ─▶ begin(MEASURE) ─▶ begin(DRAIN) ─▶ drained? ─▶ done
 *
 * The worker opens the plan's connections (its share of them) by itself, plan->connect_at_once under way, and counts who is ready and who is lost;
 * begin(WARM_UP) comes when all processes are through with that. What the table's `clients` are told: see client.h.
 */
#ifndef WEFT_BENCH_SCENARIO_H
#define WEFT_BENCH_SCENARIO_H

#include "bench/worker.h"

struct bench_regime {
    const bench_scenario *clients; /* of the connections that the worker opens */
    size_t state_bytes;            /* of worker->state, zeroed */
    /* Before the first connection. 0 or -errno. NULL: nothing to do. Another connection (a publisher) is made here, with bench_client_new(), its
     * `target` set and bench_client_open(); it is counted with the others in worker->n_extra. */
    int (*init)(bench_worker *worker);
    /* A phase has begun: WARM_UP, MEASURE or DRAIN (which may come at any time: the run may be ended early). NULL: of no interest. */
    void (*begin)(bench_worker *worker, bench_phase phase);
    /* At the end of each turn of the loop; where connections may be closed and opened anew. NULL: nothing to do. */
    void (*turn)(bench_worker *worker);
    /* While draining, after each turn: true when nothing is in flight any more. NULL: nothing ever is. */
    bool (*drained)(bench_worker *worker);
    /* The end, all connections still open: counts what never came (tally->n_missing), frees what init() made. NULL: nothing to do. */
    void (*done)(bench_worker *worker);
};

extern const bench_regime bench_echo; /* of BENCH_REQUEST too */
extern const bench_regime bench_broadcast;
extern const bench_regime bench_fanout;
extern const bench_regime bench_idle;
extern const bench_regime bench_connect;

/** The table of plan->mode. */
const bench_regime *bench_regime_of(const bench_plan *plan);

#endif
