#include "app/engineio.h"

#include "app/call.h"
#include "base/mem.h"
#include "transport/engineio_peer.h"
#include <errno.h>

/* ------------------------------------------------------------------------------------------------------------- adding */

static int add(weft *app, const char *pattern, const engineio_ways *ways, route_spec spec)
{
    const weft_engineio_settings *o = &ways->route->settings;
    ways->take(ways->route);
    spec.user = ways->route;
    spec.free_user = ways->free_user;
    if (spec.method) { /* the WebSocket transport judges its own requests */
        spec.origins = o->origins;
        spec.no_credentials = o->no_credentials;
        spec.guards_reads = true;
    }
    return app_add_route(app, pattern, spec);
}

/* Bodies have their limit from the session, which a larger one does not end. */
static int add_servers(weft *app, const char *pattern, const engineio_ways *ways)
{
    int error = add(app, pattern, ways, (route_spec){.serve = engineio_upgrade});
    if (!error)
        error = add(app, pattern, ways, (route_spec){.method = "GET", .serve = engineio_get});
    if (!error)
        error = add(app, pattern, ways,
                    (route_spec){
                        .method = "POST",
                        .serve = engineio_post,
                        .body = engineio_post_body,
                        .gone = engineio_post_gone,
                        .max_body_bytes = SIZE_MAX,
                    });
    if (!error)
        error = add(app, pattern, ways,
                    (route_spec){
                        .method = "*",
                        .serve = engineio_other_method,
                        .body = engineio_other_body,
                        .max_body_bytes = SIZE_MAX,
                    });
    return error;
}

int app_add_engineio(weft *app, const engineio_ways *ways)
{
    size_t len = strlen(ways->path);
    char *pattern = mem_new(len + 2);
    if (!pattern)
        return app_fail(app, -ENOMEM, "cannot add the path \"%s\": out of memory", ways->path);
    memcpy(pattern, ways->path, len);
    memcpy(pattern + len, "*", 2);
    int error = add_servers(app, pattern, ways);
    mem_free(pattern);
    return error;
}

const char *app_engineio_path_problem(const char *path)
{
    size_t len = path ? strlen(path) : 0;
    if (!len || path[len - 1] != '/')
        return "does not end in a slash";
    return strchr(path, '*') ? "has a * in it" : NULL;
}

static void take(engineio_route *route)
{
    engineio_peer_route_ref((engineio_peer_route *)(void *)route);
}

int weft_engineio_sized(weft *app, const char *path, const weft_engineio_options *options, size_t size)
{
    weft_engineio_options known = {0};
    int error = app_check_configuring(app, "weft_engineio");
    if (error)
        return error;
    if (options)
        memcpy(&known, options, size < sizeof known ? size : sizeof known);
    const char *problem = app_engineio_path_problem(path);
    problem = problem ? problem : engineio_settings_problem(&known.engine);
    if (problem)
        return app_fail(app, WEFT_E_INVALID, "the path \"%s\" %s", path ? path : "", problem);
    engineio_peer_route *route = engineio_peer_route_new(&known);
    if (!route)
        return app_fail(app, -ENOMEM, "cannot add the path \"%s\": out of memory", path);
    error = app_add_engineio(app, &(engineio_ways){
                                      .path = path,
                                      .route = (engineio_route *)(void *)route,
                                      .take = take,
                                      .free_user = engineio_peer_route_free,
                                  });
    engineio_peer_route_free(route);
    return error;
}

/* ------------------------------------------------------------------------------------------------------------ requests */

const weft_request *weft_peer_request(weft_peer handle)
{
    peer *p = call_here(handle.id, SLOT_PEER, NULL);
    return p && p->ops->request ? p->ops->request(p) : NULL;
}

int weft_request_header_at(const weft_request *request, size_t n, weft_str *ret_name, weft_str *ret_value)
{
    const http1_head *head = request ? request->head : NULL;
    if (!head || n >= head->n_fields)
        return 0;
    *ret_name = http1_name(head, request->bytes, n);
    *ret_value = http1_value(head, request->bytes, n);
    return 1;
}
