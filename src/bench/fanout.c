#include "bench/scenario.h"
#include "bench/spread.h"

static int init(bench_worker *worker)
{
    return bench_spread_init(worker, &bench_http_post, &worker->plan->publish, worker->plan->rate);
}

const bench_regime bench_fanout = {
    .clients = &bench_subscribers,
    .state_bytes = sizeof(bench_spread),
    .init = init,
    .begin = bench_spread_begin,
    .turn = bench_spread_turn,
    .drained = bench_spread_drained,
    .done = bench_spread_done,
};
