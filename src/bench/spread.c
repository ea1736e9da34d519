#include "bench/spread.h"

#include "base/mem.h"
#include "bench/payload.h"
#include <errno.h>
#include <unistd.h>

enum { RING_MASK = BENCH_SPREAD_RING - 1 };

static bench_spread *spread_of(const bench_worker *worker)
{
    return worker->state;
}

static uint32_t source_of(const bench_worker *worker)
{
    return worker->board->spread.source;
}

static uint64_t n_published(const bench_worker *worker)
{
    return atomic_load_explicit(&worker->board->spread.n_published, memory_order_acquire);
}

static uint64_t sent_ns(const bench_worker *worker, uint64_t number)
{
    return atomic_load_explicit(&worker->board->spread.sent_ns[number & RING_MASK], memory_order_relaxed);
}

/* ---- publisher ---- */

/* `due_ns`: when it ought to go out. */
static void publish(bench_spread *spread, uint64_t due_ns)
{
    bench_worker *worker = spread->worker;
    bench_spread_board *board = &worker->board->spread;
    uint64_t number = n_published(worker);
    if (!spread->can_publish)
        return;
    if (number - spread->n_reached >= spread->most_in_flight) {
        worker->tally->n_unsent++;
        return;
    }
    size_t len = worker->plan->message_bytes;
    bench_payload_put(spread->message, len, source_of(worker), number);
    atomic_store_explicit(&board->sent_ns[number & RING_MASK], due_ns, memory_order_relaxed);
    /* Release, paired with n_published(): who reads the message in another process sees when it was sent. */
    atomic_store_explicit(&board->n_published, number + 1, memory_order_release);
    bench_tally_add(&worker->tally->n_sent, bench_worker_measures(worker, due_ns));
    for (uint32_t i = 0; i < bench_plan_servers(worker->plan); i++)
        bench_client_send(spread->publishers[i], (str){spread->message, len});
}

static void beat(bench_pace *pace, uint64_t due_ns)
{
    publish(CONTAINER(pace, bench_spread, pace), due_ns);
}

static void publish_more(bench_spread *spread)
{
    if (!spread->sends || !spread->can_publish || spread->per_second > 0)
        return;
    while (n_published(spread->worker) < spread->n_reached + spread->worker->plan->depth)
        publish(spread, spread->worker->now_ns);
}

/* The least that any process has; each message's time until then. */
static void look_who_has_what(bench_spread *spread)
{
    bench_worker *worker = spread->worker;
    uint64_t least = UINT64_MAX;
    for (uint32_t i = 0; i < worker->board->n_workers; i++) {
        uint64_t n = atomic_load_explicit(&worker->board->tallies[i].n_complete, memory_order_acquire);
        least = n < least ? n : least;
    }
    for (; spread->n_reached < least; spread->n_reached++) {
        uint64_t from_ns = sent_ns(worker, spread->n_reached);
        if (bench_worker_measures(worker, from_ns))
            bench_latency_add(&worker->tally->reach, worker->now_ns - from_ns);
    }
}

static void ignore_ready(bench_client *client)
{
    (void)client;
}

static void ignore_message(bench_client *client, str payload)
{
    (void)client;
    (void)payload;
}

/* Nothing more will come. */
static void publisher_lost(bench_client *client, const char *why)
{
    (void)why;
    spread_of(client->worker)->can_publish = false;
    atomic_store_explicit(&client->worker->board->is_over, true, memory_order_relaxed);
}

static const bench_scenario publisher_scenario = {
    .ready = ignore_ready,
    .message = ignore_message,
    .lost = publisher_lost,
};

/* ---- subscribers ---- */

/* Messages below n_complete are had by all that are left. */
static void complete(bench_spread *spread)
{
    uint64_t end = n_published(spread->worker);
    while (spread->n_complete < end && spread->counts[spread->n_complete & RING_MASK] >= spread->n_expected)
        spread->counts[spread->n_complete++ & RING_MASK] = 0;
}

static void count_delivery(bench_worker *worker, uint64_t number)
{
    uint64_t from_ns = sent_ns(worker, number);
    if (!bench_worker_measures(worker, from_ns))
        return;
    bench_tally_add(&worker->tally->n_messages, 1);
    bench_latency_add(&worker->tally->latency, worker->now_ns - from_ns);
}

/* What was skipped counts as had, so that one lost message does not hold all others back: it is missing in the report. */
static void count_had(bench_spread *spread, uint64_t from, uint64_t to)
{
    bool whole = false;
    for (; from < to; from++)
        whole |= ++spread->counts[from & RING_MASK] >= spread->n_expected;
    if (whole)
        complete(spread);
}

/* A topic's history, or somebody else who publishes, is no fault. What is ours and altered is wrong, and missing besides. */
static void count_stranger(bench_worker *worker, str payload)
{
    uint32_t source = bench_payload_source(payload);
    if (source == UINT32_MAX || source == source_of(worker))
        worker->tally->n_wrong++;
    else
        worker->tally->n_foreign++;
}

static void subscriber_message(bench_client *client, str payload)
{
    bench_worker *worker = client->worker;
    bench_spread *spread = spread_of(worker);
    bench_tally *tally = worker->tally;
    uint64_t n_skipped, number = bench_payload_check(payload, worker->plan->message_bytes, source_of(worker));
    if (number >= n_published(worker)) {
        count_stranger(worker, payload);
        return;
    }
    switch (bench_order_take(&client->flight.order, number, &n_skipped)) {
    case BENCH_DOUBLED:
        tally->n_doubled++;
        return;
    case BENCH_LATE:
        tally->n_misordered++;
        tally->n_missing--; /* it was skipped */
        count_delivery(worker, number);
        return;
    case BENCH_IN_ORDER:
        tally->n_missing += n_skipped;
        count_delivery(worker, number);
        count_had(spread, number - n_skipped, number + 1);
        return;
    }
}

/* What it had counts no more, and it is no more waited for. */
static void subscriber_lost(bench_client *client, const char *why)
{
    (void)why;
    bench_spread *spread = spread_of(client->worker);
    for (uint64_t n = spread->n_complete; n < client->flight.order.next; n++)
        spread->counts[n & RING_MASK]--;
    spread->n_expected--;
    complete(spread);
}

const bench_scenario bench_subscribers = {
    .ready = ignore_ready,
    .message = subscriber_message,
    .lost = subscriber_lost,
};

/* ---- turns ---- */

static void wake_ready(loop_source *source, uint32_t events)
{
    (void)events;
    uint64_t count;
    ssize_t got = read(source->fd, &count, sizeof count); /* only to be woken: turn() looks at all tallies */
    (void)got;
}

/* The first process sleeps until it has something to read. */
static void tell_first(bench_spread *spread)
{
    bench_worker *worker = spread->worker;
    if (spread->n_told == spread->n_complete)
        return;
    spread->n_told = spread->n_complete;
    /* Release, paired with look_who_has_what(). */
    atomic_store_explicit(&worker->tally->n_complete, spread->n_complete, memory_order_release);
    uint64_t one = 1;
    if (worker->number) {
        ssize_t put = write(worker->board->spread.wake_fd, &one, sizeof one);
        (void)put; /* full: it is awake */
    }
}

void bench_spread_turn(bench_worker *worker)
{
    bench_spread *spread = spread_of(worker);
    if (!spread->n_expected)
        complete(spread);
    tell_first(spread);
    if (worker->number)
        return;
    look_who_has_what(spread);
    publish_more(spread);
}

void bench_spread_begin(bench_worker *worker, bench_phase phase)
{
    bench_spread *spread = spread_of(worker);
    bool sends = phase < BENCH_PHASE_DRAIN && !worker->number;
    if (sends == spread->sends)
        return;
    spread->sends = sends;
    if (!sends)
        worker->tally->n_unsent += bench_pace_end(&spread->pace, bench_worker_measured_to(worker));
    else if (spread->per_second > 0 && bench_pace_start(&spread->pace, &worker->loop, spread->per_second, beat))
        atomic_store_explicit(&worker->board->is_over, true, memory_order_relaxed);
}

bool bench_spread_drained(bench_worker *worker)
{
    bench_spread *spread = spread_of(worker);
    return (worker->number ? spread->n_complete : spread->n_reached) == n_published(worker);
}

/* ---- lifecycle ---- */

static int open_publisher(bench_spread *spread, uint32_t i, const bench_protocol *protocol, const bench_target *target)
{
    bench_worker *worker = spread->worker;
    bench_client *publisher = bench_client_new(worker, protocol, &publisher_scenario, worker->plan->n_connections + i);
    if (!publisher)
        return -ENOMEM;
    spread->publishers[i] = publisher;
    publisher->is_extra = true;
    publisher->target = target;
    return bench_client_open(publisher);
}

static int open_publishers(bench_spread *spread, const bench_protocol *protocol, const bench_target *first)
{
    const bench_plan *plan = spread->worker->plan;
    uint32_t n = bench_plan_servers(plan);
    spread->publishers = mem_zero(n * sizeof(bench_client *));
    if (!spread->publishers)
        return -ENOMEM;
    spread->worker->n_extra = n;
    spread->can_publish = true;
    int error = open_publisher(spread, 0, protocol, first);
    for (uint32_t i = 1; !error && i < n; i++)
        error = open_publisher(spread, i, protocol, &plan->more[i - 1].publish);
    return error;
}

int bench_spread_init(bench_worker *worker, const bench_protocol *protocol, const bench_target *target,
                      double per_second)
{
    bench_spread *spread = spread_of(worker);
    spread->worker = worker;
    spread->per_second = per_second;
    spread->n_expected = worker->n_clients;
    spread->most_in_flight = bench_worker_most_in_flight(worker->plan);
    if (spread->most_in_flight > BENCH_SPREAD_RING)
        spread->most_in_flight = BENCH_SPREAD_RING;
    spread->counts = mem_zero(BENCH_SPREAD_RING * sizeof *spread->counts);
    spread->message = mem_new(worker->plan->message_bytes);
    if (!spread->counts || !spread->message)
        return -ENOMEM;
    if (worker->number)
        return 0;
    spread->wake = (loop_source){.ready = wake_ready, .fd = worker->board->spread.wake_fd};
    int error = loop_watch(&worker->loop, &spread->wake, EPOLLIN);
    return error ? error : open_publishers(spread, protocol, target);
}

void bench_spread_done(bench_worker *worker)
{
    bench_spread *spread = spread_of(worker);
    uint64_t end = n_published(worker);
    for (uint32_t i = 0; i < worker->n_made; i++)
        if (worker->clients[i] && worker->clients[i]->is_ready)
            worker->tally->n_missing += end - worker->clients[i]->flight.order.next;
    bench_pace_stop(&spread->pace);
    loop_unwatch(&worker->loop, &spread->wake);
    for (uint32_t i = 0; spread->publishers && i < bench_plan_servers(worker->plan); i++)
        bench_client_free(spread->publishers[i]);
    mem_free(spread->publishers);
    mem_free(spread->counts);
    mem_free(spread->message);
}
