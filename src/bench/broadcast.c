/* One more connection sends, and the server sends what it said to all. */
#include "bench/scenario.h"
#include "bench/spread.h"

static int broadcast_init(bench_worker *worker)
{
    const bench_plan *plan = worker->plan;
    return bench_spread_init(worker, bench_protocol_of(plan), &plan->target, plan->rate);
}

const bench_regime bench_broadcast = {
    .clients = &bench_subscribers,
    .state_bytes = sizeof(bench_spread),
    .init = broadcast_init,
    .begin = bench_spread_begin,
    .turn = bench_spread_turn,
    .drained = bench_spread_drained,
    .done = bench_spread_done,
};
