#include "base/mem.h"
#include "transport/socketio_loops.h"
#include <errno.h>

static const socketio_rules *find_rules(const socketio_route *route, str name)
{
    const socketio_rules *rules = route->rules;
    while (rules && !topic_pattern_matches(str_from(rules->pattern), name))
        rules = rules->next;
    return rules;
}

socketio_namespace *socketio_namespace_find(const socketio_route *route, const hub *h, str name)
{
    map_entry *entry = map_get(&socketio_local_of(route, h)->namespaces, name);
    return entry ? CONTAINER(entry, socketio_namespace, entry) : NULL;
}

/* What a namespace holds that is in no map yet. */
static void discard(socketio_namespace *n)
{
    socketio_log_free(n->log);
    map_done(&n->rooms);
    mem_free(n->by_id);
    mem_free(n->sockets);
    mem_free(n);
}

void socketio_namespace_free(socketio_namespace *n)
{
    socketio_local *local = socketio_local_of(n->route, n->hub);
    map_remove(&local->namespaces, &n->entry);
    if (local->loops)
        socketio_loops_absent(local->loops, n->entry.key);
    loop_cancel(n->hub->loop, &n->linger);
    discard(n);
}

static int init_namespace(socketio_namespace *n)
{
    int error = map_init(&n->rooms);
    if (!error && n->route->recovery_ms) {
        n->log = socketio_log_new(n);
        error = n->log ? 0 : -ENOMEM;
    }
    socketio_local *local = socketio_local_of(n->route, n->hub);
    if (!error)
        error = map_put(&local->namespaces, &n->entry);
    if (!error && local->loops)
        socketio_loops_present(local->loops, n->hub, n->entry.key);
    return error;
}

static socketio_namespace *new_namespace(socketio_route *route, hub *h, str name, const socketio_rules *rules)
{
    socketio_namespace *n = mem_zero(sizeof *n + name.len + 1);
    if (!n)
        return NULL;
    memcpy(n->name, name.at, name.len);
    n->entry.key = (str){n->name, name.len};
    n->route = route;
    n->hub = h;
    n->rules = rules;
    if (init_namespace(n)) {
        discard(n);
        return NULL;
    }
    return n;
}

socketio_namespace *socketio_namespace_get(socketio_route *route, hub *h, str name, int *ret_error)
{
    socketio_namespace *n = socketio_namespace_find(route, h, name);
    const socketio_rules *rules = n ? NULL : find_rules(route, name);
    *ret_error = 0;
    if (n || !rules || name.len > SOCKETIO_MAX_NAME_BYTES)
        return n;
    n = new_namespace(route, h, name, rules);
    *ret_error = n ? 0 : -ENOMEM;
    return n;
}

static void lingered(timer *clock)
{
    socketio_namespace *n = CONTAINER(clock, socketio_namespace, linger);
    if (!n->n_clients)
        socketio_namespace_free(n);
}

void socketio_namespace_settle(socketio_namespace *n)
{
    if (n->n_clients)
        return;
    if (n->log && socketio_log_awaits(n->log)) /* else clients could leave behind as many as they can name */
        loop_arm_roughly(n->hub->loop, &n->linger, n->route->recovery_ms, lingered);
    else
        socketio_namespace_free(n);
}

/* Ids are ours, and random: no client can make many of them meet in one bucket. */
static socketio_socket **bucket_of(const socketio_namespace *n, const char *id)
{
    uint64_t bits;
    memcpy(&bits, id, sizeof bits);
    bits *= 0x9e3779b97f4a7c15; /* each letter has six bits at most */
    return &n->by_id[(bits >> 32) & (n->cap_sockets - 1)];
}

socketio_socket *socketio_namespace_by_id(const socketio_namespace *n, str id)
{
    if (id.len != SOCKETIO_ID_BYTES || !n->cap_sockets)
        return NULL;
    socketio_socket *s = *bucket_of(n, id.at);
    while (s && memcmp(s->id, id.at, SOCKETIO_ID_BYTES) != 0)
        s = s->same;
    return s;
}

static void put_by_id(socketio_namespace *n, socketio_socket *s)
{
    socketio_socket **bucket = bucket_of(n, s->id);
    s->same = *bucket;
    *bucket = s;
}

static void remove_by_id(socketio_namespace *n, const socketio_socket *s)
{
    socketio_socket **at = bucket_of(n, s->id);
    while (*at != s)
        at = &(*at)->same;
    *at = s->same;
}

/* Room for one more, and as many buckets. 0 or -ENOMEM. */
static int grow(socketio_namespace *n)
{
    uint32_t cap = n->cap_sockets ? n->cap_sockets * 2 : 4;
    socketio_socket **buckets = mem_zero(cap * sizeof *buckets);
    socketio_socket **larger = buckets ? mem_resize(n->sockets, cap * sizeof *larger) : NULL;
    if (!larger) {
        mem_free(buckets);
        return -ENOMEM;
    }
    mem_free(n->by_id);
    n->by_id = buckets;
    n->sockets = larger;
    n->cap_sockets = cap;
    for (uint32_t i = 0; i < n->n_sockets; i++)
        put_by_id(n, n->sockets[i]);
    return 0;
}

int socketio_namespace_enter(socketio_namespace *n, socketio_socket *s)
{
    if (n->n_sockets == n->cap_sockets && grow(n))
        return -ENOMEM;
    put_by_id(n, s);
    s->place = n->n_sockets;
    n->sockets[n->n_sockets++] = s;
    return 0;
}

void socketio_namespace_exit(socketio_namespace *n, socketio_socket *s)
{
    socketio_leave_all(s);
    if (!s->admitted)
        return;
    remove_by_id(n, s);
    socketio_socket *last = n->sockets[--n->n_sockets];
    n->sockets[s->place] = last;
    last->place = s->place;
}
