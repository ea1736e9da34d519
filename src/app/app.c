#include "app/admin.h"
#include "app/socketio_routes.h"
#include "app/tls.h"

#include "base/mem.h"
#include "base/texts.h"
#include "hub/timers.h"
#include "net/stream.h"
#include "transport/engineio.h"
#include "transport/websocket_deflate.h"
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>

enum {
    DEFAULT_DRAIN_TIMEOUT_MS = 5000,
    SIGNAL_STOP = 1,   /* what weft_stop() tells the loop; n_stops says how often */
    SIGNAL_RELOAD = 2, /* SIGHUP */
};

/* -------------------------------------------------------------------------------------------------------------- errors */

int app_fail(weft *app, int error, const char *format, ...)
{
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (!app->error) {
        app->error = error;
        app->error_text = mem_copy_text(text, strlen(text));
    }
    return error;
}

int app_check_configuring(weft *app, const char *call)
{
    if (!app)
        return -ENOMEM;
    if (app->state != APP_CONFIGURING)
        return app_fail(app, WEFT_E_INVALID, "%s was called after the application began to run", call);
    return 0;
}

const char *weft_error(const weft *app)
{
    if (!app)
        return "out of memory";
    if (!app->error)
        return NULL;
    return app->error_text ? app->error_text : "out of memory";
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

static int init_parts(weft *app)
{
    int error = loop_init(&app->loop, app);
    if (error)
        return error;
    error = net_init(&app->net, &app->loop, &app->log);
    if (error)
        goto no_net;
    error = slots_init(&app->table, app->loop.index);
    if (!error)
        error = hub_init(&app->hub, &app->net, &app->table, app, &app->rules);
    if (error)
        goto no_hub;
    http_server_init(&app->http, &app->net, &app->table, &app->routes, &app->hub);
    app_apply_limits(app);
    return 0;

no_hub:
    net_done(&app->net);
no_net:
    loop_done(&app->loop);
    return error;
}

weft *weft_new_sized(const weft_options *options, size_t size)
{
    weft *app = mem_zero(sizeof *app);
    if (!app)
        return NULL;
    if (options)
        memcpy(&app->options, options, size < sizeof *options ? size : sizeof *options);
    if (!app->options.drain_timeout_ms)
        app->options.drain_timeout_ms = DEFAULT_DRAIN_TIMEOUT_MS;
    app->started = time(NULL);
    app->log = (logger){app->options.log, app->options.log_user};
    router_init(&app->routes);
    app->listeners_end = &app->listeners;
    app->rules_end = (topic_rule **)(uintptr_t)&app->rules;
    if (init_parts(app)) {
        mem_free(app);
        return NULL;
    }
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
    return atomic_load_explicit(&app->running, memory_order_relaxed) || loop_here() == &app->loop;
}

static bool somebody_is_there(const weft *app)
{
    return app->net.n_streams || app->hub.n_peers || app_socketio_busy(app);
}

int weft_free(weft *app)
{
    if (!app)
        return 0;
    if (is_running(app))
        return WEFT_E_INVALID;
    app->state = APP_STOPPED;
    for (drain_cut(app); somebody_is_there(app) || !list_empty(&app->net.dead); drain_cut(app))
        loop_step(&app->loop, 0);
    drain_end(app);
    app_socketio_stop(app);
    admin_free(app);
    hub_timers_drop(&app->hub);
    engineio_goodbyes_done(&app->hub);
    websocket_deflate_done(&app->hub);
    hub_done(&app->hub);
    net_done(&app->net);
    slots_done(&app->table);
    loop_done(&app->loop);
    free_configuration(app);
    mem_free(app);
    return 0;
}

/* ------------------------------------------------------------------------------------------------------------- running */

static void accepted(listener *l, int fd, address_use *use)
{
    app_listener *one = CONTAINER(l, app_listener, base);
    stream *s = stream_new(l->net, fd, l->where.at.ss_family == AF_UNIX);
    if (!s) {
        addresses_leave(&l->net->addresses, use);
        return;
    }
    s->base.use = use;
    if (one->tls && stream_secure(s, one->tls)) {
        s->base.ops->abort(&s->base);
        return;
    }
    if (http1_connection_open(one->server, &s->base, &one->site))
        return;
    int error = stream_start(s);
    if (error)
        s->base.events->gone(s->base.owner, error);
}

static int start(weft *app)
{
    if (!app)
        return -ENOMEM;
    if (app->state != APP_CONFIGURING)
        return 0; /* a call that comes too late is told at the end: clients are served until then */
    if (app->error)
        return app->error;
    for (app_listener *one = app->listeners; one; one = one->next) {
        int error = listener_start(&one->base, one->server->net, accepted, app);
        if (error)
            return app_fail(app, error, "cannot watch %s: %s", one->base.url, weft_strerror(error));
    }
    int error = app_socketio_start(app);
    if (error)
        return app_fail(app, error, "cannot bridge rooms and topics: %s", weft_strerror(error));
    app->state = APP_RUNNING;
    admin_start(app);
    return 0;
}

/* The first weft_stop() drains, a second one cuts. */
static void look_at_signals(weft *app)
{
    unsigned signalled = app->loop.signalled;
    app->loop.signalled = 0;
    if (signalled & SIGNAL_RELOAD)
        weft_reload_tls(app);
    if (!(signalled & SIGNAL_STOP))
        return;
    if (app->state == APP_RUNNING)
        drain_begin(app);
    if (atomic_load_explicit(&app->n_stops, memory_order_relaxed) > 1)
        app->drain.cutting = true;
}

/* One turn; false when the application has stopped. */
static bool turn(weft *app, int timeout_ms, int *ret_error)
{
    if (app->state == APP_STOPPED)
        return false;
    *ret_error = loop_step(&app->loop, timeout_ms);
    look_at_signals(app);
    if (app->drain.cutting)
        drain_cut(app);
    if (*ret_error || app->state != APP_DRAINING)
        return *ret_error == 0;
    if (somebody_is_there(app))
        return true;
    app->state = APP_STOPPED;
    drain_end(app);
    admin_stop(app);
    loop_refuse_notes(&app->loop);
    return false;
}

int weft_step(weft *app, int timeout_ms)
{
    int error = start(app);
    if (error)
        return error;
    if (loop_here() == &app->loop)
        return WEFT_E_INVALID;
    bool more = turn(app, timeout_ms, &error);
    return error ? error : more ? 1 : app->error;
}

int weft_fd(weft *app)
{
    int error = start(app);
    return error ? error : loop_fd(&app->loop);
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
    while (turn(app, -1, &error))
        continue;
    atomic_store_explicit(&app->running, false, memory_order_relaxed);
    unblock_sigpipe(&before, was_pending);
    return error ? error : app->error;
}

void weft_stop(weft *app)
{
    if (!app)
        return;
    atomic_fetch_add_explicit(&app->n_stops, 1, memory_order_relaxed);
    inbox_signal(app->loop.box, SIGNAL_STOP);
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
    inbox_signal(atomic_load(&stopped_by_signal)->loop.box, SIGNAL_RELOAD);
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
