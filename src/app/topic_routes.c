#include "app/routes.h"
#include "base/mem.h"
#include "transport/protocol.h"
#include "transport/topic_resource.h"
#include <errno.h>

static int fail_memory(weft *app, const char *path)
{
    return app_fail(app, -ENOMEM, "cannot add the path \"%s\": out of memory", path ? path : "");
}

static int fail_problem(weft *app, const char *path, const char *problem)
{
    return app_fail(app, WEFT_E_INVALID, "the path \"%s\" %s", path ? path : "", problem);
}

static topics_route *new_route(const weft_topics_options *options, int (*init)(topics_route *))
{
    topics_route *route = topics_route_new(options);
    if (!route || !init(route))
        return route;
    topics_route_free(route);
    return NULL;
}

/* Adds one of the paths of a route, which keeps a reference to it. */
static int add(weft *app, const char *path, topics_route *route, route_spec spec)
{
    spec.user = topics_route_ref(route);
    spec.free_user = topics_route_free;
    if (spec.method) /* the WebSocket transport judges its own requests */
        spec.origins = route->options.origins;
    return app_add_route(app, path, spec);
}

/* What upgrades, reads and writes on one path. */
typedef struct {
    void (*upgrade)(exchange *e, const weft_request *request, void *user); /* NULL: nothing */
    void (*get)(exchange *e, const weft_request *request, void *user);
    void (*post)(exchange *e, const weft_request *request, void *user);
} servers;

static int add_servers(weft *app, const char *path, topics_route *route, const servers *by)
{
    /* A message is as large by POST as on a WebSocket. */
    size_t limit = route->websocket->options.max_message_bytes;
    int error = by->upgrade ? add(app, path, route, (route_spec){.serve = by->upgrade}) : 0;
    if (!error)
        error = add(app, path, route, (route_spec){.method = "GET", .serve = by->get, .guards_reads = true});
    if (!error)
        error = add(app, path, route,
                    (route_spec){
                        .method = "POST",
                        .serve = by->post,
                        .max_body_bytes = limit,
                        .body_is_message = true,
                    });
    return error;
}

/* ------------------------------------------------------------------------------------------------ topics one by one */

static bool names_topic_inside(const char *path)
{
    return strstr(path, "/:topic/");
}

/* True when the path's last part is the topic's name. */
static bool names_topic_last(const char *path)
{
    const char *part = strrchr(path, '/');
    return part && !names_topic_inside(path) && (strcmp(part, "/:topic") == 0 || strcmp(part, "/*") == 0);
}

/* The path above the topic: "/topics" for "/topics/:topic", "/" for "/:topic"; a port stays in front. NULL: no
 * memory. */
static char *parent_of(const char *path)
{
    const char *first = strchr(path, '/'), *last = strrchr(path, '/');
    return mem_copy_text(path, (size_t)(last - path) + (first == last));
}

static int add_index(weft *app, const char *path, topics_route *route)
{
    char *parent = parent_of(path);
    if (!parent)
        return fail_memory(app, path);
    int error = add_servers(app, parent, route, &(servers){.get = topic_index_get, .post = topic_index_post});
    mem_free(parent);
    return error;
}

static int add_topics(weft *app, const char *path, const weft_topics_options *options)
{
    const servers by = {topic_resource_upgrade, topic_resource_get, topic_resource_post};
    bool last = path && !options->topic && names_topic_last(path);
    const char *problem = NULL;
    if (path && !options->topic && !last && !names_topic_inside(path))
        problem = "names no topic (:topic, or * at its end), and the options have none";
    problem = problem ? problem : topics_options_problem(options);
    if (problem)
        return fail_problem(app, path, problem);
    topics_route *route = new_route(options, topic_resource_init);
    if (!route)
        return fail_memory(app, path);
    int error = add_servers(app, path, route, &by);
    if (!error && last)
        error = add_index(app, path, route);
    topics_route_free(route);
    return error;
}

int weft_topics_sized(weft *app, const char *path, const weft_topics_options *options, size_t size)
{
    weft_topics_options known = {0};
    int error = app_check_configuring(app, "weft_topics");
    if (error)
        return error;
    if (options)
        memcpy(&known, options, size < sizeof known ? size : sizeof known);
    return add_topics(app, path, &known);
}

/* ---------------------------------------------------------------------------------------------------------- weft.v1 */

/* The browser module, which anybody's page may load. */
static int add_script(weft *app, const char *path, topics_route *route)
{
    size_t len = strlen(path);
    char *script = mem_new(len + sizeof ".js");
    if (!script)
        return fail_memory(app, path);
    memcpy(script, path, len);
    memcpy(script + len, ".js", sizeof ".js");
    int error = add(app, script, route, (route_spec){.method = "GET", .serve = protocol_script});
    mem_free(script);
    return error;
}

static int add_protocol(weft *app, const char *path, const weft_topics_options *options)
{
    const servers by = {protocol_upgrade, protocol_get, protocol_post};
    const char *problem = topics_options_problem(options);
    if (problem)
        return fail_problem(app, path, problem);
    topics_route *route = new_route(options, protocol_init);
    if (!route)
        return fail_memory(app, path);
    int error = add_servers(app, path, route, &by);
    if (!error)
        error = add_script(app, path, route);
    topics_route_free(route);
    return error;
}

int weft_protocol_sized(weft *app, const char *path, const weft_topics_options *options, size_t size)
{
    weft_topics_options known = {0};
    int error = app_check_configuring(app, "weft_protocol");
    if (error)
        return error;
    if (options)
        memcpy(&known, options, size < sizeof known ? size : sizeof known);
    known.topic = NULL; /* clients say which */
    return add_protocol(app, path, &known);
}
