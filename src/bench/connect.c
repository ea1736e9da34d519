/* Connections that come and go: each is opened anew as soon as it is ready. */
#include "base/mem.h"
#include "bench/scenario.h"
#include <errno.h>

typedef struct {
    bench_client **over; /* ready, or lost: to be opened anew at the end of the turn */
    uint32_t n_over;
} connect_state;

static connect_state *state_of(const bench_worker *worker)
{
    return worker->state;
}

static int connect_init(bench_worker *worker)
{
    connect_state *state = state_of(worker);
    state->over = mem_new(worker->n_clients * sizeof *state->over);
    return state->over ? 0 : -ENOMEM;
}

static void connect_done(bench_worker *worker)
{
    mem_free(state_of(worker)->over);
}

static void put_over(bench_client *client)
{
    connect_state *state = state_of(client->worker);
    if (client->opened_ns) /* else it stands there: ready, and lost before it was closed */
        state->over[state->n_over++] = client;
    client->opened_ns = 0;
}

static void connect_ready(bench_client *client)
{
    bench_worker *worker = client->worker;
    if (bench_worker_measures(worker, client->opened_ns)) {
        bench_tally_add(&worker->tally->n_messages, 1);
        bench_latency_add(&worker->tally->latency, worker->now_ns - client->opened_ns);
    }
    put_over(client);
}

static void connect_lost(bench_client *client, const char *why)
{
    (void)why;
    put_over(client);
}

static void ignore_message(bench_client *client, str payload)
{
    (void)client;
    (void)payload;
}

static void open_anew(bench_client *client)
{
    bench_worker_reset(client);
    int error = bench_client_open(client);
    if (error) {
        bench_worker_count_lost(client, weft_strerror(error));
        atomic_store_explicit(&client->worker->board->is_over, true, memory_order_relaxed);
    }
}

/* All of them are connected before it begins, and none is opened any more while draining. */
static void connect_turn(bench_worker *worker)
{
    connect_state *state = state_of(worker);
    if (worker->phase == BENCH_PHASE_CONNECT)
        return;
    uint32_t n = state->n_over;
    state->n_over = 0;
    for (uint32_t i = 0; i < n; i++)
        if (worker->phase < BENCH_PHASE_DRAIN)
            open_anew(state->over[i]);
        else
            bench_worker_reset(state->over[i]);
}

static bool connect_drained(bench_worker *worker)
{
    for (uint32_t i = 0; i < worker->n_made; i++)
        if (worker->clients[i]->link.source.watched)
            return false;
    return true;
}

static const bench_scenario clients = {.ready = connect_ready, .message = ignore_message, .lost = connect_lost};

const bench_regime bench_connect = {
    .clients = &clients,
    .state_bytes = sizeof(connect_state),
    .init = connect_init,
    .turn = connect_turn,
    .drained = connect_drained,
    .done = connect_done,
};
