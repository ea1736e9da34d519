#include "bench/worker.h"

#include "base/mem.h"
#include "bench/scenario.h"
#include <errno.h>
#include <stdio.h>
#include <time.h>

enum {
    TURN_MS = 10,         /* a phase is noticed within this */
    FEW = 500,            /* connections that are closed in order */
    MOST_BYTES = 1 << 30, /* in flight by the clock, of a process */
    OVERHEAD_BYTES = 64,  /* of each of them */
};

uint64_t bench_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000U + (uint64_t)now.tv_nsec;
}

uint64_t bench_worker_most_in_flight(const bench_plan *plan)
{
    uint64_t asked = plan->rate > 0 ? 0 : (uint64_t)plan->depth * plan->n_connections;
    uint64_t most = MOST_BYTES / (plan->message_bytes + OVERHEAD_BYTES) + 1;
    return most > asked ? most : asked;
}

/* ---- connections ---- */

static uint32_t n_awaited(const bench_worker *w)
{
    return w->n_clients + w->n_extra;
}

static void count_through(bench_worker *w)
{
    w->n_through++;
    if (w->n_through == n_awaited(w))
        w->tally->handshake_ns = bench_now_ns() - w->began_ns;
}

void bench_worker_count_ready(bench_client *client)
{
    if (!client->is_extra)
        bench_tally_add(&client->worker->tally->n_ready, 1);
    if (client->worker->phase == BENCH_PHASE_CONNECT)
        count_through(client->worker);
}

static void count_why(bench_tally *tally, const char *why)
{
    unsigned i = 0;
    while (i < BENCH_WHYS - 1 && tally->whys[i].n && strncmp(tally->whys[i].text, why, sizeof tally->whys[i].text - 1))
        i++;
    if (!tally->whys[i].n++)
        snprintf(tally->whys[i].text, sizeof tally->whys[i].text, "%s", i < BENCH_WHYS - 1 ? why : "other reasons");
}

void bench_worker_count_lost(bench_client *client, const char *why)
{
    bench_worker *w = client->worker;
    if (client->is_extra) {
        w->tally->n_lost_publishers++;
        snprintf(w->tally->publisher_why, sizeof w->tally->publisher_why, "%s", why);
    } else {
        bench_tally_add(&w->tally->n_lost_connections, 1);
        count_why(w->tally, why);
    }
    if (!client->is_ready && w->phase == BENCH_PHASE_CONNECT)
        count_through(w);
}

static void lose_unopened(bench_client *client, const char *why)
{
    bench_worker_count_lost(client, why);
    if (client->scenario->lost)
        client->scenario->lost(client, why);
}

/* 0 or -errno: only no memory for the client itself. */
static int open_next(bench_worker *w)
{
    uint32_t index = w->n_made++;
    bench_client *client =
        bench_client_new(w, bench_protocol_of(w->plan), w->regime->clients, w->number + index * w->plan->n_processes);
    if (!client)
        return -ENOMEM;
    w->clients[index] = client;
    int error = bench_client_open(client);
    if (error)
        lose_unopened(client, weft_strerror(error));
    return 0;
}

static int open_more(bench_worker *w)
{
    int error = 0;
    while (!error && w->n_made < w->n_clients && w->n_made < w->n_through + w->plan->connect_at_once)
        error = open_next(w);
    return error;
}

void bench_worker_reset(bench_client *client)
{
    struct linger none = {.l_onoff = 1, .l_linger = 0};
    if (client->link.source.watched)
        setsockopt(client->link.source.fd, SOL_SOCKET, SO_LINGER, &none, sizeof none);
    bench_client_close(client);
}

/* ---- phases ---- */

static void settle(bench_worker *w, bench_phase phase)
{
    atomic_store_explicit(&w->tally->settled, (int)phase + 1, memory_order_release); /* pairs with the parent's look */
}

static void count_bytes(bench_worker *w, bench_phase next)
{
    if (next == BENCH_PHASE_MEASURE) {
        w->tally->n_read_bytes = w->lines.n_read_bytes;
        w->tally->n_written_bytes = w->lines.n_written_bytes;
    } else if (w->phase == BENCH_PHASE_MEASURE) {
        w->tally->n_read_bytes = w->lines.n_read_bytes - w->tally->n_read_bytes;
        w->tally->n_written_bytes = w->lines.n_written_bytes - w->tally->n_written_bytes;
    }
}

static void enter_phase(bench_worker *w, bench_phase phase)
{
    count_bytes(w, phase);
    w->phase = phase;
    w->now_ns = bench_now_ns();
    if (phase < BENCH_PHASE_END && w->regime->begin)
        w->regime->begin(w, phase);
}

/* A warm-up may be over before it was seen, and is entered all the same: it is there that sending begins. */
static void follow_phase(bench_worker *w)
{
    bench_phase phase = bench_worker_phase(w);
    if (w->phase == BENCH_PHASE_CONNECT && phase == BENCH_PHASE_MEASURE)
        enter_phase(w, BENCH_PHASE_WARM_UP);
    if (w->phase != phase)
        enter_phase(w, phase);
}

static int end_turn(bench_worker *w)
{
    int error = 0;
    atomic_store_explicit(&w->tally->n_seen_bytes, w->lines.n_read_bytes, memory_order_relaxed);
    if (w->phase == BENCH_PHASE_CONNECT) {
        error = open_more(w);
        if (w->n_through >= n_awaited(w))
            settle(w, BENCH_PHASE_CONNECT);
    }
    if (w->regime->turn) {
        w->now_ns = bench_now_ns();
        w->regime->turn(w);
    }
    if (w->phase == BENCH_PHASE_DRAIN && (!w->regime->drained || w->regime->drained(w)))
        settle(w, BENCH_PHASE_DRAIN);
    return error;
}

static int run(bench_worker *w)
{
    int error = open_more(w);
    while (!error && w->phase < BENCH_PHASE_END) {
        error = loop_step(&w->loop, TURN_MS);
        follow_phase(w);
        if (!error)
            error = end_turn(w);
    }
    if (w->regime->done)
        w->regime->done(w);
    return error;
}

/* ---- lifecycle ---- */

static int start(bench_worker *w)
{
    w->clients = mem_zero(w->n_clients * sizeof *w->clients);
    w->state = mem_zero(w->regime->state_bytes);
    if (!w->clients || !w->state)
        return -ENOMEM;
    w->began_ns = w->now_ns = bench_now_ns();
    return w->regime->init ? w->regime->init(w) : 0;
}

/* Thousands of ports that wait for a minute would leave none for the next run. */
static void stop(bench_worker *w)
{
    for (uint32_t i = 0; w->clients && i < w->n_made; i++) {
        if (w->clients[i] && w->plan->n_connections > FEW)
            bench_worker_reset(w->clients[i]);
        bench_client_free(w->clients[i]);
    }
    mem_free(w->clients);
    mem_free(w->state);
}

int bench_worker_run(bench_worker *w)
{
    int error = loop_init(&w->loop, w);
    if (error)
        return error;
    error = bench_lines_init(&w->lines, &w->loop, w->plan->target.tls || w->plan->publish.tls);
    if (!error) {
        error = start(w);
        if (!error)
            error = run(w);
        stop(w);
        bench_lines_done(&w->lines);
    }
    loop_done(&w->loop);
    return error;
}
