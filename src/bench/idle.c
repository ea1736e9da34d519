/* Connections that come and stay; their protocols answer heartbeats. With plan->publishes a message goes to all of them now and then, but for the
 * warm-up: what the server's CPU time is without messages is seen there. */
#include "bench/scenario.h"
#include "bench/spread.h"

static const double publishes_per_second = 1;

static int idle_init(bench_worker *worker)
{
    const bench_plan *plan = worker->plan;
    if (!plan->publishes)
        return 0;
    bool posts = plan->publish.wire == BENCH_HTTP && !plan->publish.websocket;
    return bench_spread_init(worker, posts ? &bench_http_post : bench_protocol_of(plan), &plan->publish,
                             plan->rate > 0 ? plan->rate : publishes_per_second);
}

static void idle_begin(bench_worker *worker, bench_phase phase)
{
    if (worker->plan->publishes && phase != BENCH_PHASE_WARM_UP)
        bench_spread_begin(worker, phase);
}

static void idle_turn(bench_worker *worker)
{
    if (worker->plan->publishes)
        bench_spread_turn(worker);
}

static bool idle_drained(bench_worker *worker)
{
    return !worker->plan->publishes || bench_spread_drained(worker);
}

static void idle_done(bench_worker *worker)
{
    if (worker->plan->publishes)
        bench_spread_done(worker);
}

static void idle_ready(bench_client *client)
{
    (void)client;
}

/* What the server says by itself is its own affair. */
static void idle_message(bench_client *client, str payload)
{
    if (client->worker->plan->publishes)
        bench_subscribers.message(client, payload);
}

static void idle_lost(bench_client *client, const char *why)
{
    if (client->worker->plan->publishes)
        bench_subscribers.lost(client, why);
}

static const bench_scenario clients = {.ready = idle_ready, .message = idle_message, .lost = idle_lost};

const bench_regime bench_idle = {
    .clients = &clients,
    .state_bytes = sizeof(bench_spread),
    .init = idle_init,
    .begin = idle_begin,
    .turn = idle_turn,
    .drained = idle_drained,
    .done = idle_done,
};
