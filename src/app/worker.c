#include "app/app.h"
#include "app/socketio_routes.h"
#include "app/tls.h"

#include "hub/timers.h"
#include "transport/engineio.h"
#include "transport/websocket_deflate.h"
#include <signal.h>

/* ---------------------------------------------------------------------------------------------------------------- life */

int worker_init(worker *w, weft *app, unsigned number)
{
    w->app = app;
    w->number = number;
    w->alone = app->n_workers == 1;
    int error = loop_init(&w->loop, w);
    if (error)
        return error;
    error = net_init(&w->net, &w->loop, &app->log);
    if (error)
        goto no_net;
    if (number)
        net_share_addresses(&w->net, &app->workers->net);
    error = slots_init(&w->table, w->loop.index);
    if (!error)
        error = hub_init(&w->hub, &w->net, &w->table, app, &app->rules);
    if (error)
        goto no_hub;
    error = hub_link(&w->hub, &app->links, number);
    if (error)
        goto no_link;
    http_server_init(&w->http, &w->net, &w->table, &app->routes, &w->hub);
    if (app->n_workers > 1)
        w->http.all = &app->servers;
    app->servers.at[w->loop.index] = &w->http;
    return 0;

no_link:
    hub_done(&w->hub);
no_hub:
    net_done(&w->net);
no_net:
    loop_done(&w->loop);
    return error;
}

void worker_done(worker *w)
{
    drain_end(w);
    loop_cancel(&w->loop, &w->clock);
    hub_timers_drop(&w->hub);
    engineio_goodbyes_done(&w->hub);
    websocket_deflate_done(&w->hub);
    hub_done(&w->hub);
    net_done(&w->net);
    slots_done(&w->table);
    loop_done(&w->loop);
}

bool worker_is_busy(const worker *w)
{
    return w->net.n_streams || w->hub.n_peers || app_socketio_busy(w);
}

worker *worker_here(const weft *app)
{
    loop *l = loop_here();
    worker *w = l ? l->owner : NULL;
    return w && w->app == app ? w : NULL;
}

worker *worker_driven(const weft *app)
{
    worker *w = worker_here(app), *first = (worker *)(uintptr_t)app->workers;
    if (w)
        return w;
    unsigned index = first->loop.index;
    return loop_driven(index) == &first->loop || loop_unstarted(index) == &first->loop ? first : NULL;
}

/* -------------------------------------------------------------------------------------------------------------- a turn */

/* The first weft_stop() drains, a second one cuts. */
static void stop(worker *w)
{
    weft *app = w->app;
    if (w->state == WORKER_RUNNING)
        drain_begin(w);
    if (atomic_load_explicit(&app->n_stops, memory_order_relaxed) > 1)
        w->drain.cutting = true;
    if (!w->number)
        workers_signal(app, SIGNAL_STOP); /* behind the connections that close_listeners() has handed over */
}

static void look_at_signals(worker *w)
{
    unsigned signalled = w->loop.signalled;
    w->loop.signalled = 0;
    if (signalled & SIGNAL_RELOAD)
        weft_reload_tls(w->app);
    if (signalled & SIGNAL_STOP)
        stop(w);
    if (signalled & SIGNAL_END)
        w->ending = w->drain.cutting = true;
}

/* Worker 0: an error that has ended another's thread; 0: none. */
static int error_of_others(const weft *app)
{
    int error = 0;
    for (unsigned i = 1; i < app->n_workers && !error; i++)
        error = atomic_load_explicit(&app->workers[i].error, memory_order_relaxed);
    return error;
}

static bool others_have_left(const weft *app)
{
    for (unsigned i = 1; i < app->n_workers; i++)
        if (!atomic_load_explicit(&app->workers[i].left, memory_order_relaxed))
            return false;
    return true;
}

/* One of the others: what worker 0 wants to know of it. That one drains by the clock: it looks soon. */
static void tell_first(worker *w, bool left)
{
    atomic_store_explicit(&w->n_streams, w->net.n_streams, memory_order_relaxed);
    atomic_store_explicit(&w->left, left, memory_order_relaxed);
}

/* True when it has nothing more to do. */
static bool has_ended(worker *w)
{
    bool left = w->state == WORKER_DRAINING && !worker_is_busy(w) && (w->drain.cutting || !hub_owes(&w->hub));
    if (!w->number)
        return left && others_have_left(w->app);
    tell_first(w, left);
    return w->ending && !worker_is_busy(w);
}

bool worker_follow(worker *w, int *ret_error)
{
    look_at_signals(w);
    if (w->drain.cutting)
        drain_cut(w);
    if (!*ret_error && !w->number)
        *ret_error = error_of_others(w->app);
    if (*ret_error || !has_ended(w))
        return *ret_error == 0;
    w->state = WORKER_STOPPED;
    drain_end(w);
    return false;
}

/* ------------------------------------------------------------------------------------------------------------- threads */

static void *run(void *user)
{
    worker *w = user;
    int error = 0;
    while (worker_turn(w, -1, &error))
        continue;
    loop_refuse_notes(&w->loop);
    atomic_store_explicit(&w->left, true, memory_order_relaxed);
    atomic_store_explicit(&w->error, error, memory_order_relaxed);
    inbox_signal(w->app->workers->loop.box, SIGNAL_ENDED);
    return NULL;
}

/* Signals are for the program's own threads, but for those that a fault raises in this one. */
static void block_signals(sigset_t *ret_before)
{
    static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT};
    sigset_t all;
    sigfillset(&all);
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++)
        sigdelset(&all, faults[i]);
    pthread_sigmask(SIG_BLOCK, &all, ret_before);
}

int workers_start(weft *app)
{
    sigset_t before;
    int error = 0;
    block_signals(&before); /* a thread begins with those of who makes it */
    for (unsigned i = 1; i < app->n_workers && !error; i++) {
        worker *w = &app->workers[i];
        error = -pthread_create(&w->thread, NULL, run, w);
        w->started = !error;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error)
        workers_end(app);
    return error;
}

void workers_end(weft *app)
{
    workers_signal(app, SIGNAL_END);
    for (unsigned i = 1; i < app->n_workers; i++) {
        worker *w = &app->workers[i];
        if (w->started)
            pthread_join(w->thread, NULL);
        w->started = false;
    }
}

void workers_signal(weft *app, unsigned flags)
{
    for (unsigned i = 1; i < app->n_workers; i++)
        inbox_signal(app->workers[i].loop.box, flags);
}
