#include "app/app.h"
#include "base/mem.h"
#include "transport/websocket.h"
#include <errno.h>

/* ----------------------------------------------------------------------------------------------------------- listeners */

/* 0 or an error; the port of a name's first address holds for its others when the kernel is to pick it. */
static int listen_on(weft *app, const char *url, const address *where, const weft_listen_options *options)
{
    app_listener *one = mem_zero(sizeof *one);
    if (!one)
        return app_fail(app, -ENOMEM, "cannot listen on %s: out of memory", url);
    int error = listener_open(&one->base, where, options);
    if (error) {
        mem_free(one);
        return app_fail(app, error, "cannot listen on %s: %s", url, weft_strerror(error));
    }
    *app->listeners_end = one;
    app->listeners_end = &one->next;
    return 0;
}

int weft_listen_sized(weft *app, const char *url, const weft_listen_options *options, size_t size)
{
    weft_listen_options known = {0};
    address addresses[ADDRESS_MAX];
    const char *problem;
    int error = app_check_configuring(app, "weft_listen");
    if (error)
        return error;
    if (!url)
        return app_fail(app, WEFT_E_INVALID, "weft_listen needs an address");
    if (options)
        memcpy(&known, options, size < sizeof known ? size : sizeof known);
    int n = address_parse(url, addresses, &problem);
    if (n < 0)
        return app_fail(app, n, "the address \"%s\" %s", url, problem);
    for (int i = 0; i < n; i++) {
        error = listen_on(app, url, &addresses[i], &known);
        if (error)
            return error;
        app_listener *last = CONTAINER(app->listeners_end, app_listener, next);
        if (i + 1 < n && address_port(&addresses[i + 1]) == 0)
            address_set_port(&addresses[i + 1], address_port(&last->base.where));
    }
    return 0;
}

const char *weft_listening(const weft *app, size_t n)
{
    const app_listener *one = app ? app->listeners : NULL;
    while (one && n--)
        one = one->next;
    return one ? one->base.url : NULL;
}

/* -------------------------------------------------------------------------------------------------------------- routes */

/* A plain route: what weft_get() was given. */
typedef struct {
    weft_http_fn fn;
    void *user;
} plain_route;

static void serve_plain(exchange *e, const weft_request *request, void *user)
{
    const plain_route *plain = user;
    plain->fn((weft_exchange){e->id}, request, plain->user);
}

/* Takes `user`, on failure too. */
static int add_route(weft *app, const char *path, route_spec spec)
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

int weft_get(weft *app, const char *path, weft_http_fn fn, void *user)
{
    int error = app_check_configuring(app, "weft_get");
    if (error)
        return error;
    if (!fn)
        return app_fail(app, WEFT_E_INVALID, "weft_get for \"%s\" has no callback", path ? path : "");
    plain_route *plain = mem_new(sizeof *plain);
    if (plain)
        *plain = (plain_route){fn, user};
    return add_route(app, path,
                     (route_spec){.method = "GET", .serve = serve_plain, .user = plain, .free_user = mem_free});
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
    return add_route(app, path,
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
