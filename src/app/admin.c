#include "app/admin.h"

#include "app/gathering.h"
#include "app/routes.h"
#include "base/mem.h"
#include <errno.h>

enum {
    CLOCK_MS = 100
}; /* ten times a second, and only where somebody watches: an idle program without an admin listener sleeps on */

/* ------------------------------------------------------------------------------------------------------------- answers */

void admin_answer(exchange *e, int status, str type, str body)
{
    if (exchange_add_field(e, STR("Cache-Control"), STR("no-store")))
        exchange_refuse(e, 503, STR("the server is out of memory\n"));
    else
        exchange_answer(e, &(http_answer){.status = status, .type = type, .body = body});
}

static void serve_live(exchange *e, const weft_request *request, void *user)
{
    (void)request;
    (void)user;
    admin_answer(e, 200, STR("text/plain; charset=utf-8"), STR("live\n"));
}

static void serve_ready(exchange *e, const weft_request *request, void *user)
{
    const weft *app = user;
    bool ready = app->began && app->workers->state == WORKER_RUNNING;
    (void)request;
    admin_answer(e, ready ? 200 : 503, STR("text/plain; charset=utf-8"), ready ? STR("ready\n") : STR("draining\n"));
}

static void serve_metrics(exchange *e, const weft_request *request, void *user)
{
    (void)request;
    gathering_begin(user, e);
}

/* ---------------------------------------------------------------------------------------------------------------- life */

static int add_route(weft *app, const char *path, void (*serve)(exchange *, const weft_request *, void *))
{
    const char *problem;
    route_spec spec = {.method = "GET", .serve = serve, .guards_reads = true, .user = app};
    int error = route_parse(path, &spec, &problem);
    return error ? error : router_add(&app->admin->routes, &spec);
}

static int add_routes(weft *app)
{
    int error = add_route(app, "/health/live", serve_live);
    if (!error)
        error = add_route(app, "/health/ready", serve_ready);
    return error ? error : add_route(app, "/metrics", serve_metrics);
}

/* 0 or an error, which does not stick yet. */
static int make_admin(weft *app)
{
    admin *a = app->admin ? NULL : mem_zero(sizeof *a);
    if (!a)
        return app->admin ? 0 : -ENOMEM;
    int error = net_init(&a->net, &app->workers->loop, &app->log);
    if (error) {
        mem_free(a);
        return error;
    }
    router_init(&a->routes);
    list_init(&a->gatherings);
    http_server_init(&a->http, &a->net, &app->workers->table, &a->routes, NULL);
    app->admin = a;
    error = add_routes(app);
    if (error)
        admin_free(app);
    return error;
}

static void tick(timer *t)
{
    worker *w = CONTAINER(t, worker, clock);
    histogram_add(&w->lag, loop_clock_us() - t->at_ms * 1000);
    loop_arm(&w->loop, t, CLOCK_MS, tick);
}

void admin_start(weft *app)
{
    for (unsigned i = 0; app->admin && i < app->n_workers; i++)
        loop_arm(&app->workers[i].loop, &app->workers[i].clock, CLOCK_MS, tick);
}

void admin_stop(weft *app)
{
    admin *a = app->admin;
    if (!a || !a->net.received)
        return;
    loop_cancel(&app->workers->loop, &app->workers->clock);
    for (app_listener *one = app->listeners; one; one = one->next)
        if (one->server == &a->http)
            listener_close(&one->base);
    gatherings_drop(a);
    http_server_drain(&a->http);
    http_server_abort(&a->http); /* those that had asked for half of something */
    net_done(&a->net);
}

void admin_free(weft *app)
{
    if (!app->admin)
        return;
    admin_stop(app);
    router_done(&app->admin->routes);
    mem_free(app->admin);
    app->admin = NULL;
}

/* ------------------------------------------------------------------------------------------------------- configuration */

static bool names_any(const char *const *hosts)
{
    for (; hosts && *hosts; hosts++)
        if (strcmp(*hosts, "*") == 0)
            return true;
    return false;
}

/* What is said there is for nobody else, unless the program says so. */
static bool is_open_to_others(const address *all, int n, const weft_listen_options *options)
{
    for (int i = 0; i < n; i++)
        if (all[i].at.ss_family != AF_UNIX && !address_is_loopback(&all[i]))
            return !names_any(options->hosts);
    return false;
}

int weft_admin_sized(weft *app, const char *url, const weft_listen_options *options, size_t size)
{
    weft_listen_options known = {0};
    address all[ADDRESS_MAX];
    const char *problem;
    int error = app_check_configuring(app, "weft_admin");
    if (error)
        return error;
    if (!url)
        return app_fail(app, WEFT_E_INVALID, "weft_admin needs an address");
    if (options)
        memcpy(&known, options, size < sizeof known ? size : sizeof known);
    int n = address_parse(url, all, &problem);
    if (n < 0)
        return app_fail(app, n, "the admin address \"%s\" %s", url, problem);
    if (is_open_to_others(all, n, &known))
        return app_fail(
            app, WEFT_E_INVALID,
            "the admin address \"%s\" can be reached from elsewhere; whoever wants that says \"*\" among its hosts",
            url);
    error = make_admin(app);
    if (!error)
        error = app_listen_on(app, &app->admin->http, all, n, &known);
    return error ? app_fail(app, error, "cannot listen on %s for operators: %s", url, weft_strerror(error)) : 0;
}

const char *weft_admin_listening(const weft *app, size_t n)
{
    return app && app->admin ? app_listening(app, &app->admin->http, n) : NULL;
}
