#include "base/mem.h"
#include "transport/socketio_loops.h"
#include <errno.h>

enum {
    CONNECT_TIMEOUT_MS = 45000,
    RECOVERY_MESSAGES = 10000,
    RECOVERY_BYTES = 16 << 20,
};

const char *socketio_options_problem(const weft_socketio_options *options)
{
    return engineio_settings_problem(&options->engine);
}

static peer_rules peer_rules_of(const socketio_route *route, const weft_socketio_options *options)
{
    const weft_engineio_settings *engine = &route->engine.settings;
    return (peer_rules){
        .user = options->user,
        .peer_bytes = options->peer_bytes,
        .open = options->open,
        .message = options->message,
        .drain = options->drain,
        .close = options->close,
        .max_queued_bytes = engine->max_queued_bytes,
        .max_messages_per_s = engine->max_messages_per_s,
        .max_bytes_per_s = engine->max_bytes_per_s,
    };
}

int socketio_route_add(socketio_route *route, const char *pattern, const weft_socketio_options *options)
{
    socketio_rules *rules = mem_zero(sizeof *rules);
    char *copy = mem_copy_text(pattern, strlen(pattern));
    if (!rules || !copy) {
        mem_free(rules);
        mem_free(copy);
        return -ENOMEM;
    }
    rules->pattern = copy;
    rules->peer = peer_rules_of(route, options);
    rules->gate = options->gate;
    rules->event = options->event;
    *route->rules_end = rules;
    route->rules_end = &rules->next;
    return 0;
}

static void take_options(socketio_route *route, const weft_socketio_options *o)
{
    route->engine.layer = &socketio_layer;
    route->engine.user = o->user;
    route->engine.request = o->request;
    route->engine.transport = WEFT_TRANSPORT_SOCKETIO;
    route->connect_timeout_ms = o->connect_timeout_ms ? o->connect_timeout_ms : CONNECT_TIMEOUT_MS;
    route->recovery_ms = o->recovery_ms;
    route->recovery_messages = o->recovery_messages ? o->recovery_messages : RECOVERY_MESSAGES;
    route->recovery_bytes = o->recovery_bytes ? o->recovery_bytes : RECOVERY_BYTES;
}

socketio_route *socketio_route_new(const char *path, const weft_socketio_options *options)
{
    socketio_route *route = mem_zero(sizeof *route);
    if (!route)
        return NULL;
    if (map_init(&route->alone.namespaces)) {
        mem_free(route);
        return NULL;
    }
    route->locals = &route->alone;
    route->n_locals = 1;
    route->refs = 1;
    route->rules_end = &route->rules;
    take_options(route, options);
    route->path = mem_copy_text(path, strlen(path));
    if (!route->path || engineio_route_init(&route->engine, &options->engine) ||
        socketio_route_add(route, "/", options)) {
        socketio_route_free(route);
        return NULL;
    }
    return route;
}

/* ------------------------------------------------------------------------------------------------------ several loops */

static void done_locals(socketio_route *route)
{
    for (uint32_t i = 0; i < route->n_locals; i++) {
        map_done(&route->locals[i].namespaces);
        socketio_loops_free(route->locals[i].loops);
    }
    if (route->locals != &route->alone)
        mem_free(route->locals);
}

static int init_local(socketio_local *local, socketio_route *route)
{
    int error = map_init(&local->namespaces);
    if (error)
        return error;
    local->loops = socketio_loops_new(route);
    return local->loops ? 0 : -ENOMEM;
}

int socketio_route_spread(socketio_route *route, unsigned n)
{
    if (n < 2)
        return 0;
    socketio_local *locals = mem_zero(n * sizeof *locals);
    if (!locals)
        return -ENOMEM;
    done_locals(route);
    route->locals = locals;
    route->n_locals = n;
    int error = 0;
    for (unsigned i = 0; i < n && !error; i++)
        error = init_local(&locals[i], route);
    return error;
}

/* ------------------------------------------------------------------------------------------------------ life and death */

socketio_route *socketio_route_ref(socketio_route *route)
{
    route->refs++;
    return route;
}

void socketio_route_free(void *user)
{
    socketio_route *route = user;
    if (!route || --route->refs)
        return;
    for (socketio_rules *rules = route->rules, *next; rules; rules = next) {
        next = rules->next;
        mem_free(rules->pattern);
        mem_free(rules);
    }
    socketio_bridges_free(route);
    engineio_route_done(&route->engine);
    done_locals(route);
    mem_free(route->path);
    mem_free(route);
}

/* ----------------------------------------------------------------------------------------------------------- its end */

/* The first of the route's clients on that loop (after == NULL) or the next; NULL at the end. They are found among all sessions: nobody is in a hurry here. */
static socketio_client *next_client(const socketio_route *route, const hub *h, const socketio_client *after)
{
    const map_entry *entry = after ? &after->engine.registered.entry : NULL;
    while ((entry = map_next(&h->sessions, entry)) != NULL) {
        session *one = CONTAINER((uintptr_t)entry, session, entry);
        if (one->route == &route->engine)
            return CONTAINER(CONTAINER(one, engineio_session, registered), socketio_client, engine);
    }
    return NULL;
}

void socketio_route_drain(const socketio_route *route, const hub *h)
{
    for (socketio_client *c = next_client(route, h, NULL); c; c = next_client(route, h, c))
        if (!c->sockets)
            socketio_client_close(c, ENGINEIO_SHUTTING_DOWN);
}

bool socketio_route_busy(const socketio_route *route, const hub *h)
{
    return next_client(route, h, NULL);
}

/* Namespaces that nobody is in. */
static void free_lingering(const socketio_local *local)
{
    for (map_entry *entry = map_next(&local->namespaces, NULL), *next; entry; entry = next) {
        next = map_next(&local->namespaces, entry);
        socketio_namespace *n = CONTAINER(entry, socketio_namespace, entry);
        if (!n->n_clients)
            socketio_namespace_free(n);
    }
}

void socketio_route_cut(const socketio_route *route, const hub *h)
{
    const socketio_local *local = socketio_local_of(route, h);
    for (socketio_client *c = next_client(route, h, NULL); c; c = next_client(route, h, c))
        socketio_client_abort(c, ENGINEIO_SHUTTING_DOWN);
    free_lingering(local);
    if (local->loops)
        socketio_loops_stop(local->loops);
}
