#include "app/engineio.h"
#include "app/socketio.h"
#include <errno.h>

static int fail_memory(weft *app, const char *path)
{
    return app_fail(app, -ENOMEM, "cannot add the path \"%s\": out of memory", path ? path : "");
}

static int fail_problem(weft *app, const char *path, const char *problem)
{
    return app_fail(app, WEFT_E_INVALID, "the path \"%s\" %s", path ? path : "", problem);
}

socketio_route *app_socketio_route(const weft *app, const char *path)
{
    socketio_route *route = app->socketio;
    while (route && path && strcmp(route->path, path) != 0)
        route = route->next;
    return route;
}

static const char *path_problem(const weft *app, const char *path)
{
    const char *problem = app_engineio_path_problem(path);
    if (!problem && app_socketio_route(app, path))
        problem = "has Socket.IO already";
    return problem;
}

/* ------------------------------------------------------------------------------------------------------------ adding */

static void take(engineio_route *route)
{
    socketio_route_ref((socketio_route *)(void *)route);
}

static int add_ways(weft *app, socketio_route *route)
{
    return app_add_engineio(app, &(engineio_ways){
                                     .path = route->path,
                                     .route = &route->engine,
                                     .take = take,
                                     .free_user = socketio_route_free,
                                 });
}

/* In the order in which they were added: the first one is meant where none is named. */
static void keep(weft *app, socketio_route *route)
{
    socketio_route **end = &app->socketio;
    while (*end)
        end = &(*end)->next;
    *end = route;
}

int weft_socketio_sized(weft *app, const char *path, const weft_socketio_options *options, size_t size)
{
    weft_socketio_options known = {0};
    int error = app_check_configuring(app, "weft_socketio");
    if (error)
        return error;
    if (options)
        memcpy(&known, options, size < sizeof known ? size : sizeof known);
    const char *problem = path_problem(app, path);
    problem = problem ? problem : socketio_options_problem(&known);
    if (problem)
        return fail_problem(app, path, problem);
    socketio_route *route = socketio_route_new(path, &known);
    if (!route)
        return fail_memory(app, path);
    keep(app, route);
    if (socketio_route_spread(route, app->n_workers))
        return fail_memory(app, path);
    error = add_ways(app, route);
    return error || known.no_client_files ? error : weft_socketio_files(app, path);
}

static bool is_namespace(const char *name)
{
    return name && *name == '/' && strlen(name) <= SOCKETIO_MAX_NAME_BYTES && !strchr(name, ',') &&
           topic_name_valid(str_from(name));
}

int weft_socketio_namespace_sized(weft *app, const char *path, const char *name, const weft_socketio_options *options,
                                  size_t size)
{
    weft_socketio_options known = {0};
    int error = app_check_configuring(app, "weft_socketio_namespace");
    if (error)
        return error;
    socketio_route *route = app_socketio_route(app, path);
    if (!route)
        return fail_problem(app, path, "has no Socket.IO to which weft_socketio_namespace could add");
    if (!is_namespace(name))
        return app_fail(app, WEFT_E_INVALID,
                        "the namespace \"%s\" does not begin with a slash, or is not 2 to %d bytes of UTF-8 without "
                        "commas and control characters",
                        name ? name : "", SOCKETIO_MAX_NAME_BYTES);
    if (strcmp(name, "/") == 0)
        return app_fail(app, WEFT_E_INVALID, "the namespace \"/\" is that of weft_socketio");
    if (options)
        memcpy(&known, options, size < sizeof known ? size : sizeof known);
    return socketio_route_add(route, name, &known) ? fail_memory(app, path) : 0;
}

/* ------------------------------------------------------------------------------------------------------------ bridges */

int weft_socketio_bridge(weft *app, const weft_socketio_target *room, const char *name)
{
    checked_target target;
    int error = app_check_configuring(app, "weft_socketio_bridge");
    if (error)
        return error;
    if (target_check(app, room, &target))
        return app_fail(app, WEFT_E_INVALID, "weft_socketio_bridge names a path that has no Socket.IO");
    if (target.n_rooms > 1 || target.n_except || target.sender)
        return app_fail(app, WEFT_E_INVALID, "weft_socketio_bridge takes one room, or a whole namespace");
    if (!name || !topic_name_valid(str_from(name)))
        return app_fail(app, WEFT_E_INVALID,
                        "weft_socketio_bridge needs a topic: 1 to 255 bytes of UTF-8 without control characters");
    str one = target.n_rooms ? target.rooms[0] : (str){NULL, 0};
    return socketio_bridge_add(target.route, target.nsp, one, str_from(name)) ? fail_memory(app, target.route->path)
                                                                              : 0;
}

/* --------------------------------------------------------------------------------------------------------------- life */

/* No loop runs yet. */
int app_socketio_start(weft *app)
{
    int error = 0;
    for (unsigned i = 0; i < app->n_workers; i++)
        for (socketio_route *route = app->socketio; route && !error; route = route->next)
            error = socketio_bridges_start(route, &app->workers[i].hub);
    return error;
}

void app_socketio_drain(const worker *w)
{
    for (const socketio_route *route = w->app->socketio; route; route = route->next)
        socketio_route_drain(route, &w->hub);
}

void app_socketio_cut(const worker *w)
{
    for (const socketio_route *route = w->app->socketio; route; route = route->next)
        socketio_route_cut(route, &w->hub);
}

bool app_socketio_busy(const worker *w)
{
    const socketio_route *route = w->app->socketio;
    while (route && !socketio_route_busy(route, &w->hub))
        route = route->next;
    return route;
}

static void stop(const socketio_route *route, const hub *h)
{
    socketio_bridges_stop(route, h);
    socketio_route_cut(route, h); /* nobody is there: the namespaces that linger */
}

void app_socketio_stop(weft *app)
{
    for (unsigned i = 0; i < app->n_workers; i++)
        for (const socketio_route *route = app->socketio; route; route = route->next)
            stop(route, &app->workers[i].hub);
}

void app_socketio_free(weft *app)
{
    for (socketio_route *route = app->socketio, *next; route; route = next) {
        next = route->next;
        socketio_route_free(route);
    }
}
