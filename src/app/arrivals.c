#include "app/arrivals.h"

#include "base/mem.h"
#include "net/stream.h"
#include <unistd.h>

/** A connection on its way to another worker. */
typedef struct {
    note base;
    worker *to;
    app_listener *from;
    int fd;
    address_use *use;
} arrival;

/* ------------------------------------------------------------------------------------------------------------- serving */

static void serve(http_server *server, app_listener *from, int fd, address_use *use)
{
    stream *s = stream_new(server->net, fd, from->base.where.at.ss_family == AF_UNIX);
    if (!s) {
        addresses_leave(server->net->addresses, server->net->loop->now_ms, use);
        return;
    }
    s->base.use = use;
    if (from->tls && stream_secure(s, from->tls)) {
        s->base.ops->abort(&s->base);
        return;
    }
    if (http1_connection_open(server, &s->base, &from->site))
        return;
    int error = stream_start(s);
    if (error)
        s->base.events->gone(s->base.owner, error);
}

/* ------------------------------------------------------------------------------------------------------------- handing */

/* The stream counts before the arrival ceases to: the worker must not seem to have fewer in between. */
static void arrival_run(note *n, void *loop_owner)
{
    arrival *a = CONTAINER(n, arrival, base);
    worker *w = loop_owner;
    serve(&w->http, a->from, a->fd, a->use);
    atomic_store_explicit(&w->n_streams, w->net.n_streams, memory_order_relaxed);
    atomic_fetch_sub_explicit(&w->n_arriving, 1, memory_order_relaxed);
}

static void arrival_drop(note *n)
{
    arrival *a = CONTAINER(n, arrival, base);
    close(a->fd);
    addresses_leave(a->to->net.addresses, a->to->loop.now_ms, a->use);
    atomic_fetch_sub_explicit(&a->to->n_arriving, 1, memory_order_relaxed);
}

static bool hand_over(worker *to, app_listener *from, int fd, address_use *use)
{
    arrival *a = mem_new(sizeof *a);
    if (!a)
        return false;
    *a = (arrival){
        .base = {.bytes = sizeof *a, .run = arrival_run, .drop = arrival_drop},
        .to = to,
        .from = from,
        .fd = fd,
        .use = use,
    };
    atomic_fetch_add_explicit(&to->n_arriving, 1, memory_order_relaxed);
    if (inbox_push(to->loop.box, &a->base) == 0)
        return true;
    atomic_fetch_sub_explicit(&to->n_arriving, 1, memory_order_relaxed);
    mem_free(a);
    return false;
}

/* ------------------------------------------------------------------------------------------------------------ choosing */

static size_t load_of(const worker *w)
{
    if (!w->number)
        return w->net.n_streams;
    return atomic_load_explicit(&w->n_streams, memory_order_relaxed) +
           atomic_load_explicit(&w->n_arriving, memory_order_relaxed);
}

/* Whoever has the fewest; of those that have as few, the next in turn. */
static worker *choose(weft *app)
{
    worker *best = NULL;
    for (unsigned i = 0; i < app->n_workers; i++) {
        worker *w = &app->workers[(app->next_worker + i) % app->n_workers];
        if (!best || load_of(w) < load_of(best))
            best = w;
    }
    app->next_worker = (best->number + 1) % app->n_workers;
    return best;
}

void arrivals_accepted(listener *l, int fd, address_use *use)
{
    weft *app = l->owner;
    app_listener *from = CONTAINER(l, app_listener, base);
    worker *to = from->server == &app->workers->http && app->n_workers > 1 ? choose(app) : app->workers;
    if (!to->number || !hand_over(to, from, fd, use))
        serve(from->server, from, fd, use);
}
