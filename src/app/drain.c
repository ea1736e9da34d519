#include "app/socketio_routes.h"

#include "base/mem.h"
#include "proto/ws_frame.h"

enum {
    TICK_MS = 10,
    MOST_A_TICK = 10000, /* peers looked at: those that lag are looked at again and again */
};

static const str REASON = {"the server is going away", 24};

/* ------------------------------------------------------------------------------------------------------------ at once */

static void abort_peer(void *value, void *user)
{
    (void)user;
    peer_abort(value);
}

static void abort_closing(void *value, void *user)
{
    (void)user;
    peer *p = value;
    p->ops->abort(p);
}

static void close_listeners(const worker *w)
{
    if (w->number)
        return;
    for (app_listener *one = w->app->listeners; one; one = one->next)
        if (one->server == &w->http)
            listener_close(&one->base);
}

void drain_cut(worker *w)
{
    close_listeners(w);
    http_server_abort(&w->http);
    app_socketio_cut(w);
    slots_each(&w->table, SLOT_PEER, abort_peer, NULL);
    slots_each(&w->table, SLOT_CARRIER, abort_peer, NULL);
    slots_each(&w->table, SLOT_CLOSING, abort_closing, NULL);
    net_cut_lingering(&w->net);
}

/* ------------------------------------------------------------------------------------------------------- bit by bit */

/* What was published to a peer goes before its close, while there is time. */
static bool lags(peer *p)
{
    hub_catch_up(p->hub, p);
    return !p->leaving && p->n_lagging && p->ops->transport != WEFT_TRANSPORT_LONG_POLL;
}

static void tell_peers(worker *w, uint64_t most)
{
    drain *d = &w->drain;
    for (int looks = 0; most && looks < MOST_A_TICK; looks++) {
        peer *p = slots_next(&w->table, SLOT_PEER, &d->slot);
        if (!p) {
            d->slot = 0; /* those that lag, and who has come since, are behind us */
            return;
        }
        if (p->leaving || lags(p))
            continue;
        peer_close(p, WS_CODE_GOING_AWAY, REASON);
        d->n_told++;
        most--;
    }
}

/* The time in which many are told. */
static uint64_t spread_ms(const worker *w)
{
    return w->app->options.drain_timeout_ms / 2;
}

/* The clients of the application: each loop has about as many. */
static bool are_few(const worker *w)
{
    return (w->drain.n_peers + w->drain.n_connections) * w->app->n_workers <= DRAIN_AT_ONCE;
}

/* How many of n should have been told by now; UINT64_MAX when there is nothing to wait for. */
static uint64_t share(const worker *w, uint64_t n)
{
    const drain *d = &w->drain;
    uint64_t passed_ms = w->loop.now_ms - d->began_ms;
    if (are_few(w) || passed_ms >= spread_ms(w))
        return UINT64_MAX;
    return n * passed_ms / spread_ms(w);
}

static uint64_t more_of(uint64_t wanted, uint64_t done)
{
    return wanted > done ? wanted - done : 0;
}

static void tell_share(worker *w)
{
    drain *d = &w->drain;
    uint64_t connections = share(w, d->n_connections);
    if (connections > d->n_connections)
        connections = d->n_connections; /* who has come since has been told so by the answer */
    size_t more = (size_t)more_of(connections, d->n_looked_at);
    http_server_drain_some(&w->http, more);
    d->n_looked_at += more;
    tell_peers(w, more_of(share(w, d->n_peers), d->n_told));
}

static void next_share(timer *t)
{
    worker *w = CONTAINER(t, worker, drain.clock);
    tell_share(w);
    loop_arm(&w->loop, t, TICK_MS, next_share);
}

static void tell_late(void *value, void *user)
{
    (void)user;
    peer_close(value, WS_CODE_GOING_AWAY, REASON);
}

static void deadline(timer *t)
{
    worker *w = CONTAINER(t, worker, drain.deadline);
    slots_each(&w->table, SLOT_PEER, tell_late, NULL);
    w->drain.cutting = true;
}

/* ------------------------------------------------------------------------------------------------- what is under way */

/* Comes behind all that a worker has pushed to another. */
typedef struct {
    note base;
    uint64_t app; /* whose: a place in the table of loops may have been taken again */
    unsigned hop;
} passed_on;

static void wait_for_others(worker *w);

static void take_passed_on(note *base, void *owner)
{
    worker *w = owner;
    passed_on *n = (passed_on *)base;
    if (n->app != w->app->links.id)
        return;
    w->drain.n_passed_on[n->hop]++;
    if (w->state == WORKER_DRAINING)
        wait_for_others(w);
}

/* To each of the others. Who gets none waits for the time that drain_begin() has set. */
static void pass_on(const worker *w)
{
    for (unsigned i = 0; i < w->app->n_workers; i++) {
        if (i == w->number)
            continue;
        passed_on *n = mem_new(sizeof *n);
        if (!n)
            continue;
        *n = (passed_on){
            .base = {.bytes = sizeof *n, .run = take_passed_on}, .app = w->app->links.id, .hop = w->drain.hop};
        if (inbox_push(w->app->workers[i].loop.box, &n->base))
            mem_free(n);
    }
}

static void wait_for_others(worker *w)
{
    drain *d = &w->drain;
    while (d->hop < DRAIN_HOPS && d->n_passed_on[d->hop] == w->app->n_workers - 1) {
        if (++d->hop < DRAIN_HOPS)
            pass_on(w);
        else
            loop_arm(&w->loop, &d->clock, 0, next_share);
    }
}

void drain_begin(worker *w)
{
    drain *d = &w->drain;
    w->alone = false;
    w->state = WORKER_DRAINING; /* before anybody is told: from here on it is not ready */
    close_listeners(w);
    d->began_ms = w->loop.now_ms;
    d->n_peers = w->hub.n_peers;
    d->n_connections = w->http.n_connections;
    http_server_drain_some(&w->http, 0);
    app_socketio_drain(w);
    loop_arm(&w->loop, &d->deadline, w->app->options.drain_timeout_ms, deadline);
    loop_arm(&w->loop, &d->clock, w->app->options.drain_timeout_ms / 4, next_share);
    pass_on(w);
    wait_for_others(w); /* and for the requests that have come already */
}

void drain_end(worker *w)
{
    loop_cancel(&w->loop, &w->drain.deadline);
    loop_cancel(&w->loop, &w->drain.clock);
}
