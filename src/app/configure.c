#include "app/routes.h"
#include "app/tls.h"
#include "base/mem.h"
#include "base/texts.h"
#include "transport/websocket.h"
#include <errno.h>

enum { DEFAULT_BODY_BYTES = 1 << 20 };

/* ----------------------------------------------------------------------------------------------------------- listeners */

/* 0 or an error, which does not stick yet. */
static int listen_on(weft *app, http_server *server, const address *where, const weft_listen_options *options,
                     tls_context *tls)
{
    app_listener *one = mem_zero(sizeof *one);
    if (!one)
        return -ENOMEM;
    int error = texts_copy(options->hosts, &one->site.hosts);
    if (!error)
        error = listener_open(&one->base, where, options);
    if (error) {
        texts_free(one->site.hosts);
        mem_free(one);
        return error;
    }
    one->server = server;
    one->tls = tls;
    one->site.port = address_port(&one->base.where);
    one->site.loopback = address_is_loopback(where);
    *app->listeners_end = one;
    app->listeners_end = &one->next;
    return 0;
}

/* All addresses of one name, on one port, also when the kernel picks it. A machine may have a name for an address that it lacks (::1 in a
 * container): one that works is enough. */
int app_listen_on(weft *app, http_server *server, address *all, int n, const weft_listen_options *options)
{
    int listening = 0, missing = 0;
    tls_context *tls = NULL;
    int bad = all->tls ? app_tls_add(app, options, &tls) : 0;
    if (bad)
        return bad;
    for (int i = 0; i < n; i++) {
        int error = listen_on(app, server, &all[i], options, tls);
        if (error == -EADDRNOTAVAIL || error == -EAFNOSUPPORT) {
            missing = error;
            continue;
        }
        if (error)
            return error;
        listening++;
        app_listener *last = CONTAINER(app->listeners_end, app_listener, next);
        for (int k = i + 1; k < n; k++)
            if (address_port(&all[k]) == 0)
                address_set_port(&all[k], address_port(&last->base.where));
    }
    return listening ? 0 : missing;
}

int weft_listen_sized(weft *app, const char *url, const weft_listen_options *options, size_t size)
{
    weft_listen_options known = {0};
    address all[ADDRESS_MAX];
    const char *problem;
    int error = app_check_configuring(app, "weft_listen");
    if (error)
        return error;
    if (!url)
        return app_fail(app, WEFT_E_INVALID, "weft_listen needs an address");
    if (options)
        memcpy(&known, options, size < sizeof known ? size : sizeof known);
    int n = address_parse(url, all, &problem);
    if (n < 0)
        return app_fail(app, n, "the address \"%s\" %s", url, problem);
    error = app_listen_on(app, &app->workers->http, all, n, &known);
    return error ? app_fail(app, error, "cannot listen on %s: %s", url, weft_strerror(error)) : 0;
}

const char *app_listening(const weft *app, const http_server *server, size_t n)
{
    for (const app_listener *one = app->listeners; one; one = one->next)
        if (one->server == server && !n--)
            return one->base.url;
    return NULL;
}

const char *weft_listening(const weft *app, size_t n)
{
    return app ? app_listening(app, &app->workers->http, n) : NULL;
}

/* -------------------------------------------------------------------------------------------------------------- routes */

/* What weft_route() was given, with lists copied. */
typedef struct {
    weft_route_options options;
    char *method;
} plain_route;

static void plain_route_free(void *user)
{
    plain_route *plain = user;
    texts_free(plain->options.origins);
    mem_free(plain->method);
    mem_free(plain);
}

static plain_route *plain_route_new(const char *method, const weft_route_options *options)
{
    plain_route *plain = mem_zero(sizeof *plain);
    if (!plain)
        return NULL;
    plain->options = *options;
    plain->method = mem_copy_text(method, strlen(method));
    if (texts_copy(options->origins, &plain->options.origins) || !plain->method) {
        plain_route_free(plain);
        return NULL;
    }
    if (!plain->options.max_body_bytes)
        plain->options.max_body_bytes = DEFAULT_BODY_BYTES;
    return plain;
}

static void plain_serve(exchange *e, const weft_request *request, void *user)
{
    const plain_route *plain = user;
    plain->options.request((weft_exchange){e->id}, request, plain->options.user);
}

static void plain_body(exchange *e, str piece, void *user)
{
    const plain_route *plain = user;
    plain->options.body((weft_exchange){e->id}, piece, plain->options.user);
}

static void plain_drain(exchange *e, void *user)
{
    const plain_route *plain = user;
    plain->options.drain((weft_exchange){e->id}, plain->options.user);
}

static void plain_gone(exchange *e, void *user)
{
    const plain_route *plain = user;
    plain->options.gone((weft_exchange){e->id}, plain->options.user);
}

int app_add_route(weft *app, const char *path, route_spec spec)
{
    const char *problem;
    if (!spec.user)
        return app_fail(app, -ENOMEM, "cannot add the path \"%s\": out of memory", path ? path : "");
    int error = route_parse(path, &spec, &problem);
    if (error) {
        spec.free_user(spec.user);
        if (error == -ENOMEM)
            return app_fail(app, error, "cannot add the path \"%s\": out of memory", path);
        return app_fail(app, error, "the path \"%s\" %s", path ? path : "", problem);
    }
    error = router_add(&app->routes, &spec);
    return error ? app_fail(app, error, "cannot add the path \"%s\": out of memory", path) : 0;
}

int weft_route_sized(weft *app, const char *method, const char *path, const weft_route_options *options, size_t size)
{
    weft_route_options known = {0};
    int error = app_check_configuring(app, "weft_route");
    if (error)
        return error;
    if (options)
        memcpy(&known, options, size < sizeof known ? size : sizeof known);
    if (!method || !http1_is_token(str_from(method)))
        return app_fail(app, WEFT_E_INVALID, "the route \"%s\" has no method, or one that is not a token",
                        path ? path : "");
    if (!known.request)
        return app_fail(app, WEFT_E_INVALID, "the route \"%s\" has no callback", path ? path : "");
    plain_route *plain = plain_route_new(method, &known);
    route_spec spec = {.serve = plain_serve, .user = plain, .free_user = plain_route_free};
    if (plain) {
        spec.method = plain->method;
        spec.origins = plain->options.origins;
        spec.max_body_bytes = plain->options.max_body_bytes;
        spec.body = known.body ? plain_body : NULL;
        spec.drain = known.drain ? plain_drain : NULL;
        spec.gone = known.gone ? plain_gone : NULL;
    }
    return app_add_route(app, path, spec);
}

int weft_get(weft *app, const char *path, weft_http_fn fn, void *user)
{
    return weft_route(app, "GET", path, &(weft_route_options){.request = fn, .user = user});
}

int weft_websocket_sized(weft *app, const char *path, const weft_websocket_options *options, size_t size)
{
    weft_websocket_options known = {0};
    int error = app_check_configuring(app, "weft_websocket");
    if (error)
        return error;
    if (options)
        memcpy(&known, options, size < sizeof known ? size : sizeof known);
    const char *problem = websocket_options_problem(&known);
    if (problem)
        return app_fail(app, WEFT_E_INVALID, "the path \"%s\" %s", path ? path : "", problem);
    websocket_route *route = websocket_route_new(&known);
    return app_add_route(app, path,
                         (route_spec){.serve = websocket_serve, .user = route, .free_user = websocket_route_free});
}

/* -------------------------------------------------------------------------------------------------------------- topics */

int weft_topic_configure_sized(weft *app, const char *pattern, const weft_topic_options *options, size_t size)
{
    int error = app_check_configuring(app, "weft_topic_configure");
    if (error)
        return error;
    if (!pattern || !topic_name_valid(str_from(pattern)))
        return app_fail(app, WEFT_E_INVALID, "a topic pattern is 1 to 255 bytes of UTF-8 without control characters");
    topic_rule *rule = mem_zero(sizeof *rule);
    if (rule)
        rule->pattern = mem_copy_text(pattern, strlen(pattern));
    if (!rule || !rule->pattern) {
        mem_free(rule);
        return app_fail(app, -ENOMEM, "cannot configure topics: out of memory");
    }
    if (options)
        memcpy(&rule->options, options, size < sizeof rule->options ? size : sizeof rule->options);
    *app->rules_end = rule;
    app->rules_end = &rule->next;
    return 0;
}
