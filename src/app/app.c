#include "app/admin.h"
#include "app/arrivals.h"
#include "app/socketio_routes.h"
#include "app/tls.h"

#include "base/mem.h"
#include "base/texts.h"
#include "proto/ws_handshake.h"
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>

enum { DEFAULT_DRAIN_TIMEOUT_MS = 5000 };

/* -------------------------------------------------------------------------------------------------------------- errors */

int app_fail(weft *app, int error, const char *format, ...)
{
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    pthread_mutex_lock(&app->error_lock);
    if (!app->error) {
        app->error = error;
        app->error_text = mem_copy_text(text, strlen(text));
    }
    pthread_mutex_unlock(&app->error_lock);
    return error;
}

int app_check_configuring(weft *app, const char *call)
{
    if (!app)
        return -ENOMEM;
    if (app->began)
        return app_fail(app, WEFT_E_INVALID, "%s was called after the application began to run", call);
    return 0;
}

const char *weft_error(const weft *app)
{
    if (!app)
        return "out of memory";
    pthread_mutex_t *lock = (pthread_mutex_t *)(uintptr_t)&app->error_lock;
    pthread_mutex_lock(lock);
    const char *text = app->error && !app->error_text ? "out of memory" : app->error_text;
    pthread_mutex_unlock(lock);
    return text;
}

const char *weft_strerror(int result)
{
    switch (result) {
    case 0:
        return "success";
    case WEFT_QUEUED:
        return "taken; the queue is at its limit";
    case WEFT_E_FULL:
        return "not taken: the queue is full";
    case WEFT_E_CLOSED:
        return "the peer, exchange or application is gone";
    case WEFT_E_THREAD:
        return "this call belongs on the peer's loop";
    case WEFT_E_UTF8:
        return "the text is not valid UTF-8";
    case WEFT_E_JSON:
        return "not one valid JSON value";
    case WEFT_E_TOO_LARGE:
        return "over a limit";
    case WEFT_E_INVALID:
        return "an argument is not valid, or the call came at the wrong time";
    case WEFT_E_UNSUPPORTED:
        return "this transport cannot do that";
    default:
        break;
    }
    const char *text = result < 0 && result > -4096 ? strerrordesc_np(-result) : NULL;
    return text ? text : "unknown result";
}

/* ---------------------------------------------------------------------------------------------------------------- life */

static hub *hub_of(void *loop_owner)
{
    return &((worker *)loop_owner)->hub;
}

static int init_shared(weft *app)
{
    app->started = time(NULL);
    app->log = (logger){app->options.log, app->options.log_user};
    pthread_mutex_init(&app->error_lock, NULL);
    router_init(&app->routes);
    app->listeners_end = &app->listeners;
    app->rules_end = (topic_rule **)(uintptr_t)&app->rules;
    return hub_links_init(&app->links, app->n_workers, hub_of);
}

/* The last one first: what all share of a network is the first one's. */
static void free_workers(weft *app, unsigned n)
{
    while (n--)
        worker_done(&app->workers[n]);
}

static int init_workers(weft *app)
{
    int error = 0;
    unsigned n = 0;
    for (; n < app->n_workers; n++) {
        error = worker_init(&app->workers[n], app, n);
        if (error)
            break;
    }
    if (error)
        free_workers(app, n);
    return error;
}

static unsigned n_workers(const weft_options *options)
{
    return options->loops > 0 && options->loops <= HUBS_MAX ? options->loops : 1;
}

weft *weft_new_sized(const weft_options *options, size_t size)
{
    weft_options known = {0};
    if (options)
        memcpy(&known, options, size < sizeof known ? size : sizeof known);
    if (!known.drain_timeout_ms)
        known.drain_timeout_ms = DEFAULT_DRAIN_TIMEOUT_MS;
    weft *app = mem_zero(sizeof *app + n_workers(&known) * sizeof *app->workers);
    if (!app)
        return NULL;
    app->options = known;
    app->n_workers = n_workers(&known);
    if (init_shared(app) || init_workers(app)) {
        pthread_mutex_destroy(&app->error_lock);
        mem_free(app);
        return NULL;
    }
    app_apply_limits(app);
    if (known.loops > HUBS_MAX)
        app_fail(app, WEFT_E_INVALID, "loops: %u are more than the %d that there can be", known.loops, HUBS_MAX);
    return app;
}

void *weft_app_user(const weft *app)
{
    return app ? app->options.user : NULL;
}

static void free_configuration(weft *app)
{
    for (app_listener *one = app->listeners, *next; one; one = next) {
        next = one->next;
        texts_free(one->site.hosts);
        mem_free(one);
    }
    app_tls_free(app);
    for (topic_rule *rule = (topic_rule *)(uintptr_t)app->rules, *next; rule; rule = next) {
        next = rule->next;
        mem_free(rule->pattern);
        mem_free(rule);
    }
    app_socketio_free(app);
    router_done(&app->routes);
    mem_free(app->error_text);
}

/* In weft_run(), on whatever thread, or in a turn of weft_step() on this one. */
static bool is_running(const weft *app)
{
    return atomic_load_explicit(&app->running, memory_order_relaxed) || worker_here(app);
}

/* Cuts who is there and lets their callbacks run: true while there may be more. */
static bool cut(worker *w)
{
    drain_cut(w);
    if (!worker_is_busy(w) && !w->net.n_dirty)
        return false;
    loop_step(&w->loop, 0);
    return true;
}

static void cut_all(weft *app)
{
    for (bool more = true; more;) {
        more = false;
        for (unsigned i = 0; i < app->n_workers; i++)
            more |= cut(&app->workers[i]);
    }
}

int weft_free(weft *app)
{
    if (!app)
        return 0;
    if (is_running(app))
        return WEFT_E_INVALID;
    app->began = true;
    for (unsigned i = 0; i < app->n_workers; i++)
        app->workers[i].state = WORKER_STOPPED;
    cut_all(app);
    app_socketio_stop(app);
    admin_free(app);
    for (unsigned i = 1; i < app->n_workers; i++) /* what one has sent to another may belong to either */
        loop_refuse_notes(&app->workers[i].loop);
    free_workers(app, app->n_workers);
    free_configuration(app);
    pthread_mutex_destroy(&app->error_lock);
    mem_free(app);
    return 0;
}

/* ------------------------------------------------------------------------------------------------------------- running */

static int start(weft *app)
{
    if (!app)
        return -ENOMEM;
    if (app->began)
        return 0; /* a call that comes too late is told at the end: clients are served until then */
    if (app->error)
        return app->error;
    ws_handshake_prepare();
    for (app_listener *one = app->listeners; one; one = one->next) {
        int error = listener_start(&one->base, one->server->net, arrivals_accepted, app);
        if (error)
            return app_fail(app, error, "cannot watch %s: %s", one->base.url, weft_strerror(error));
    }
    int error = app_socketio_start(app);
    if (error)
        return app_fail(app, error, "cannot bridge rooms and topics: %s", weft_strerror(error));
    app->began = true;
    admin_start(app);
    return 0;
}

/* A turn of the first worker; when the application stops with it, it has stopped. */
static bool turn(weft *app, int timeout_ms, int *ret_error)
{
    worker *first = app->workers;
    if (worker_turn(first, timeout_ms, ret_error))
        return true;
    if (first->state == WORKER_STOPPED) {
        admin_stop(app);
        loop_refuse_notes(&first->loop);
    }
    return false;
}

/* weft_step() and weft_fd() are for a loop in a loop. */
static int check_one_loop(weft *app, const char *call)
{
    if (!app || app->n_workers == 1)
        return 0;
    return app_fail(app, WEFT_E_INVALID, "%s drives one loop, and the application has %u (option: loops)", call,
                    app->n_workers);
}

int weft_step(weft *app, int timeout_ms)
{
    int error = check_one_loop(app, "weft_step");
    if (!error)
        error = start(app);
    if (error)
        return error;
    if (worker_here(app))
        return WEFT_E_INVALID;
    bool more = turn(app, timeout_ms, &error);
    return error ? error : more ? 1 : app->error;
}

int weft_fd(weft *app)
{
    int error = check_one_loop(app, "weft_fd");
    if (!error)
        error = start(app);
    return error ? error : loop_fd(&app->workers->loop);
}

static sigset_t only_sigpipe(void)
{
    sigset_t pipe;
    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    return pipe;
}

/* A callback that writes to a closed pipe gets EPIPE, not its end. True when one was pending before. */
static bool block_sigpipe(sigset_t *ret_before)
{
    sigset_t pipe = only_sigpipe(), pending;
    pthread_sigmask(SIG_BLOCK, &pipe, ret_before);
    return sigpending(&pending) == 0 && sigismember(&pending, SIGPIPE);
}

/* Takes away what came meanwhile: it would end the process now. */
static void unblock_sigpipe(const sigset_t *before, bool was_pending)
{
    sigset_t pipe = only_sigpipe();
    if (!was_pending)
        while (sigtimedwait(&pipe, NULL, &(struct timespec){0}) < 0 && errno == EINTR)
            continue;
    pthread_sigmask(SIG_SETMASK, before, NULL);
}

int weft_run(weft *app)
{
    int error = start(app);
    if (error)
        return error;
    if (is_running(app))
        return WEFT_E_INVALID;
    sigset_t before;
    bool was_pending = block_sigpipe(&before);
    atomic_store_explicit(&app->running, true, memory_order_relaxed);
    error = workers_start(app);
    while (!error && turn(app, -1, &error))
        continue;
    workers_end(app);
    atomic_store_explicit(&app->running, false, memory_order_relaxed);
    unblock_sigpipe(&before, was_pending);
    return error ? error : app->error;
}

void weft_stop(weft *app)
{
    if (!app)
        return;
    atomic_fetch_add_explicit(&app->n_stops, 1, memory_order_relaxed);
    inbox_signal(app->workers->loop.box, SIGNAL_STOP);
}

/* The application that signals stop. A handler has no other way to know it. */
static _Atomic(weft *) stopped_by_signal;

static void on_signal(int number)
{
    (void)number;
    weft_stop(atomic_load(&stopped_by_signal));
}

static void on_hangup(int number)
{
    (void)number;
    inbox_signal(atomic_load(&stopped_by_signal)->workers->loop.box, SIGNAL_RELOAD);
}

/* A signal that the process was started to ignore (nohup, a shell's background) stays ignored. */
static void take_signal(int number, void (*handler)(int), struct sigaction *ret_old)
{
    struct sigaction taken = {.sa_handler = handler, .sa_flags = SA_RESTART};
    if (sigaction(number, NULL, ret_old) == 0 && ret_old->sa_handler != SIG_IGN)
        sigaction(number, &taken, NULL);
}

int weft_run_until_signal(weft *app)
{
    if (!app)
        return -ENOMEM;
    weft *nobody = NULL;
    if (!atomic_compare_exchange_strong(&stopped_by_signal, &nobody, app))
        return app_fail(app, WEFT_E_INVALID, "another application of this process already runs until a signal");
    struct sigaction old_term, old_int, old_hup;
    take_signal(SIGTERM, on_signal, &old_term);
    take_signal(SIGINT, on_signal, &old_int);
    if (app->tls_contexts) /* else it ends the program, as a terminal that goes away should */
        take_signal(SIGHUP, on_hangup, &old_hup);
    int error = weft_run(app);
    if (app->tls_contexts)
        sigaction(SIGHUP, &old_hup, NULL);
    sigaction(SIGTERM, &old_term, NULL);
    sigaction(SIGINT, &old_int, NULL);
    atomic_store(&stopped_by_signal, NULL);
    return error;
}
