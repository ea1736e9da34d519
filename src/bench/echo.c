/* Messages that come back: each connection keeps plan->depth of them in flight, or sends by the clock. */
#include "base/mem.h"
#include "bench/pace.h"
#include "bench/payload.h"
#include "bench/scenario.h"
#include <errno.h>

typedef struct {
    bench_worker *worker;
    bench_pace pace;
    uint32_t next;        /* client that sends at the next beat */
    uint64_t n_in_flight; /* of all connections that are left */
    uint64_t most_in_flight;
    char *message;
} echo_state;

static echo_state *state_of(const bench_worker *worker)
{
    return worker->state;
}

/* ---- sending ---- */

/* `due_ns`: when it goes out, or ought to. */
static void send_one(bench_client *client, uint64_t due_ns)
{
    bench_worker *worker = client->worker;
    echo_state *state = state_of(worker);
    size_t len = worker->plan->message_bytes;
    uint64_t number = UINT64_MAX;
    if (state->n_in_flight < state->most_in_flight)
        number = bench_flight_push(&client->flight, due_ns);
    if (number == UINT64_MAX) {
        worker->tally->n_unsent++;
        return;
    }
    state->n_in_flight++;
    if (bench_worker_measures(worker, due_ns))
        bench_tally_add(&worker->tally->n_sent, 1);
    bench_payload_put(state->message, len, client->number, number);
    bench_client_send(client, (str){state->message, len});
}

/* The next connection's turn. */
static void beat(bench_pace *pace, uint64_t due_ns)
{
    echo_state *state = CONTAINER(pace, echo_state, pace);
    bench_worker *worker = state->worker;
    for (uint32_t tried = 0; tried < worker->n_clients; tried++) {
        bench_client *client = worker->clients[state->next++ % worker->n_clients];
        if (client->is_ready) {
            send_one(client, due_ns);
            return;
        }
    }
}

static void start(bench_worker *worker)
{
    const bench_plan *plan = worker->plan;
    echo_state *state = state_of(worker);
    if (plan->rate > 0) {
        double share = plan->rate * worker->n_clients / plan->n_connections;
        if (bench_pace_start(&state->pace, &worker->loop, share, beat))
            atomic_store_explicit(&worker->board->is_over, true, memory_order_relaxed);
        return;
    }
    for (uint32_t i = 0; i < worker->n_made; i++)
        for (uint32_t n = 0; n < plan->depth && worker->clients[i]->is_ready; n++)
            send_one(worker->clients[i], worker->now_ns);
}

static void echo_begin(bench_worker *worker, bench_phase phase)
{
    if (phase == BENCH_PHASE_WARM_UP)
        start(worker);
    else if (phase == BENCH_PHASE_DRAIN)
        worker->tally->n_unsent += bench_pace_end(&state_of(worker)->pace, bench_worker_measured_to(worker));
}

/* ---- what comes back ---- */

/* Which message this is: what does not say it rightly stands for the next one that is due. UINT64_MAX: nothing is due. */
static uint64_t number_of(bench_client *client, str payload)
{
    bench_worker *worker = client->worker;
    bench_flight *flight = &client->flight;
    uint64_t due = flight->order.next < flight->n_sent ? flight->order.next : UINT64_MAX;
    if (worker->plan->mode == BENCH_REQUEST) {
        worker->tally->n_wrong += due == UINT64_MAX;
        return due; /* the answer is whatever the server likes: answers come in order */
    }
    uint64_t number = bench_payload_check(payload, worker->plan->message_bytes, client->number);
    if (number < flight->n_sent)
        return number;
    worker->tally->n_wrong++;
    return due;
}

static void count_back(bench_client *client, uint64_t number)
{
    bench_worker *worker = client->worker;
    uint64_t sent_ns = bench_flight_sent_ns(&client->flight, number);
    client->flight.n_back++;
    state_of(worker)->n_in_flight--;
    if (bench_worker_measures(worker, sent_ns)) {
        bench_tally_add(&worker->tally->n_messages, 1);
        bench_latency_add(&worker->tally->latency, worker->now_ns - sent_ns);
    }
}

static void echo_message(bench_client *client, str payload)
{
    bench_worker *worker = client->worker;
    uint64_t n_skipped, number = number_of(client, payload);
    if (number == UINT64_MAX)
        return;
    bench_place place = bench_order_take(&client->flight.order, number, &n_skipped);
    if (place == BENCH_DOUBLED) {
        worker->tally->n_doubled++;
        return;
    }
    worker->tally->n_missing += n_skipped;
    if (place == BENCH_LATE) {
        worker->tally->n_misordered++;
        worker->tally->n_missing--; /* it was skipped */
    }
    count_back(client, number);
    if (worker->plan->rate <= 0 && worker->phase < BENCH_PHASE_DRAIN)
        send_one(client, worker->now_ns);
}

static void echo_ready(bench_client *client)
{
    if (bench_flight_init(&client->flight, client->worker->plan->depth))
        atomic_store_explicit(&client->worker->board->is_over, true, memory_order_relaxed);
}

static void echo_lost(bench_client *client, const char *why)
{
    (void)why;
    state_of(client->worker)->n_in_flight -= client->flight.n_sent - client->flight.n_back;
}

/* ---- lifecycle ---- */

static bool echo_drained(bench_worker *worker)
{
    return state_of(worker)->n_in_flight == 0;
}

static int echo_init(bench_worker *worker)
{
    echo_state *state = state_of(worker);
    state->worker = worker;
    state->most_in_flight = bench_worker_most_in_flight(worker->plan);
    state->message = mem_new(worker->plan->message_bytes);
    return state->message ? 0 : -ENOMEM;
}

/* Those that were skipped are counted already. */
static void echo_done(bench_worker *worker)
{
    for (uint32_t i = 0; i < worker->n_made; i++) {
        const bench_client *client = worker->clients[i];
        if (client && client->is_ready)
            worker->tally->n_missing += client->flight.n_sent - client->flight.order.next;
    }
    bench_pace_stop(&state_of(worker)->pace);
    mem_free(state_of(worker)->message);
}

static const bench_scenario clients = {.ready = echo_ready, .message = echo_message, .lost = echo_lost};

const bench_regime bench_echo = {
    .clients = &clients,
    .state_bytes = sizeof(echo_state),
    .init = echo_init,
    .begin = echo_begin,
    .drained = echo_drained,
    .done = echo_done,
};
