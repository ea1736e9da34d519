#include "base/mem.h"
#include "transport/socketio_log_private.h"
#include <errno.h>
#include <sys/random.h>

enum { KEPT_MOST = 10000, FEWEST_ENTRIES = 16 };

_Static_assert((int)CURSOR_BYTES <= (int)SOCKETIO_OFFSET_BYTES, "an offset is a cursor");

/** A socket that is there. */
typedef struct {
    map_entry by_pid;
    socketio_socket *socket;
} present;

/* ------------------------------------------------------------------------------------------------------------- entries */

static void drop_first(socketio_log *l)
{
    pool *blocks = &loop_of(l)->blocks;
    log_entry *e = *entry_at(l, l->first++);
    l->bytes -= e->bytes;
    l->n_packets -= e->n_images > 0;
    for (uint32_t i = 0; i < e->n_images; i++)
        chunk_unref(blocks, e->images[i]);
    pool_put(blocks, e, e->block_bytes);
}

void socketio_log_forget(socketio_log *l)
{
    while (l->first < l->head)
        drop_first(l);
    l->first = ++l->head;
}

static int grow(socketio_log *l)
{
    uint32_t cap = l->cap ? l->cap * 2 : FEWEST_ENTRIES;
    log_entry **ring = mem_new(cap * sizeof *ring);
    if (!ring)
        return -ENOMEM;
    for (uint64_t i = l->first; i < l->head; i++)
        ring[i & (cap - 1)] = *entry_at(l, i);
    mem_free(l->ring);
    l->ring = ring;
    l->cap = cap;
    return 0;
}

static size_t names_bytes(const str *names, uint32_t n)
{
    size_t bytes = n * sizeof *names;
    for (uint32_t i = 0; i < n; i++)
        bytes += names[i].len;
    return bytes;
}

/* Copies the names to `to` and their bytes to *at, which moves behind them. */
static void copy_names(str *to, const str *names, uint32_t n, char **at)
{
    for (uint32_t i = 0; i < n; i++) {
        memcpy(*at, names[i].at, names[i].len);
        to[i] = (str){*at, names[i].len};
        *at += names[i].len;
    }
}

/* NULL: no memory. */
static log_entry *entry_new(pool *blocks, const socketio_packet_images *images, const socketio_audience *to)
{
    const char *id = to->sender ? to->sender->id : to->sender_id;
    size_t names = names_bytes(to->rooms, to->n_rooms) + names_bytes(to->except, to->n_except), block_bytes;
    log_entry *e = pool_get(blocks, sizeof *e + images->n * sizeof *e->images + names, &block_bytes);
    if (!e)
        return NULL;
    *e = (log_entry){.block_bytes = block_bytes,
                     .bytes = block_bytes,
                     .n_images = images->n,
                     .n_rooms = to->n_rooms,
                     .n_except = to->n_except,
                     .has_socket = id,
                     .order = to->order};
    e->images = (chunk **)(e + 1);
    e->rooms = (str *)(e->images + e->n_images);
    e->except = e->rooms + e->n_rooms;
    for (uint32_t i = 0; i < images->n; i++) {
        e->images[i] = chunk_ref(images->images[i]);
        e->bytes += images->images[i]->block_bytes;
    }
    char *at = (char *)(e->except + e->n_except);
    copy_names(e->rooms, to->rooms, to->n_rooms, &at);
    copy_names(e->except, to->except, to->n_except, &at);
    if (id)
        memcpy(e->socket, id, sizeof e->socket);
    return e;
}

static void set_clock(socketio_log *l);

/* NULL: no memory, and everything before is forgotten. */
log_entry *socketio_log_append(socketio_log *l, const socketio_packet_images *images, const socketio_audience *to)
{
    bool room = l->head - l->first < l->cap || !grow(l);
    log_entry *e = room ? entry_new(&loop_of(l)->blocks, images, to) : NULL;
    if (!e) {
        socketio_log_forget(l);
        return NULL;
    }
    if (to->order && to->away && !e->has_socket)
        e->stranger = handle_loop(to->away) == loop_of(l)->index ? GONE : ELSEWHERE;
    e->at_ms = loop_of(l)->now_ms;
    *entry_at(l, l->head++) = e;
    l->bytes += e->bytes;
    l->n_packets += e->n_images > 0;
    return e;
}

void socketio_log_trim(socketio_log *l)
{
    const socketio_route *route = l->nsp->route;
    while (l->n_packets > route->recovery_messages || l->bytes > route->recovery_bytes)
        drop_first(l);
    set_clock(l);
}

void socketio_log_add(socketio_log *l, const socketio_packet_images *images, const socketio_audience *to)
{
    if (socketio_log_append(l, images, to))
        socketio_log_trim(l);
}

void socketio_log_moved(socketio_log *l, const socketio_socket *s, str room, bool joined)
{
    if (l->replaying || !s->admitted)
        return;
    const socketio_packet_images none = {.n = 0};
    log_entry *e = socketio_log_append(l, &none, &(socketio_audience){.rooms = &room, .n_rooms = 1, .sender = s});
    if (!e)
        return;
    e->joined = joined;
    socketio_log_trim(l);
}

size_t socketio_log_next(socketio_log *l, char ret_text[SOCKETIO_OFFSET_BYTES])
{
    return cursor_put((cursor){l->epoch, l->head + 1}, ret_text);
}

uint64_t socketio_log_head(const socketio_log *l)
{
    return l->head;
}

/* ------------------------------------------------------------------------------------------------------------- sockets */

void socketio_log_free_kept(socketio_log *l, log_kept *k)
{
    list_remove(&k->age);
    map_remove(&l->kept, &k->by_pid);
    mem_free(k);
}

static log_kept *oldest_kept(const socketio_log *l)
{
    list_node *node = list_first(&l->oldest);
    return node ? CONTAINER(node, log_kept, age) : NULL;
}

log_kept *socketio_log_find_kept(const socketio_log *l, str pid)
{
    map_entry *found = map_get(&l->kept, pid);
    return found ? CONTAINER(found, log_kept, by_pid) : NULL;
}

/* NULL: no memory. */
static log_kept *kept_new(const socketio_socket *s)
{
    size_t names = 0;
    for (uint16_t i = 0; i < s->n_rooms; i++)
        names += 1 + socketio_room_name(s, i).len;
    log_kept *k = mem_zero(sizeof *k + names);
    if (!k)
        return NULL;
    char *at = k->names;
    for (uint16_t i = 0; i < s->n_rooms; i++) {
        str name = socketio_room_name(s, i);
        *at++ = (char)name.len;
        memcpy(at, name.at, name.len);
        at += name.len;
    }
    k->n_rooms = s->n_rooms;
    k->logged = s->logged;
    memcpy(k->id, s->id, sizeof k->id);
    memcpy(k->pid, s->pid, sizeof k->pid);
    k->by_pid.key = (str){k->pid, sizeof k->pid};
    return k;
}

void socketio_log_keep(socketio_log *l, const socketio_socket *s)
{
    if (socketio_log_find_kept(l, (str){s->pid, SOCKETIO_ID_BYTES}))
        return;
    log_kept *k = kept_new(s);
    if (!k)
        return;
    if (map_put(&l->kept, &k->by_pid)) {
        mem_free(k);
        return;
    }
    if (l->kept.n_entries > KEPT_MOST)
        socketio_log_free_kept(l, oldest_kept(l));
    k->until_ms = loop_of(l)->now_ms + l->nsp->route->recovery_ms;
    list_append(&l->oldest, &k->age);
    set_clock(l);
}

bool socketio_log_awaits(const socketio_log *l)
{
    return l->kept.n_entries > 0;
}

static present *find_present(const socketio_log *l, str pid)
{
    map_entry *found = map_get(&l->present, pid);
    return found ? CONTAINER(found, present, by_pid) : NULL;
}

void socketio_log_enter(socketio_log *l, socketio_socket *s)
{
    str pid = {s->pid, SOCKETIO_ID_BYTES};
    present *p = find_present(l, pid) ? NULL : mem_zero(sizeof *p);
    if (!p)
        return;
    p->socket = s;
    p->by_pid.key = pid;
    if (map_put(&l->present, &p->by_pid))
        mem_free(p);
}

void socketio_log_exit(socketio_log *l, const socketio_socket *s)
{
    present *p = find_present(l, (str){s->pid, SOCKETIO_ID_BYTES});
    if (!p || p->socket != s)
        return;
    map_remove(&l->present, &p->by_pid);
    mem_free(p);
}

/* ------------------------------------------------------------------------------------------------------------ recovery */

/* It came from another loop, and has had nothing here. */
static bool came_with(const socketio_log *l, const log_kept *k, str offset)
{
    if (k->logged < l->first || k->logged >= l->head)
        return false;
    const log_entry *e = *entry_at(l, k->logged);
    return e->arrived && !memcmp(e->socket, k->id, sizeof e->socket) && str_equal(e->rooms[0], offset);
}

/* What the client has got; false when some of what came after it is gone, or the offset is no such thing. It never had what was sent before it joined, even if it says
 * that it has less: stock clients pass on the offset of a socket that they were before. */
static bool find_place(const socketio_log *l, const log_kept *k, str offset, uint64_t *ret_from)
{
    uint64_t from = k->logged;
    if (offset.at && !came_with(l, k, offset)) {
        since said = since_read(offset);
        if (said.from != SINCE_CURSOR || said.at.epoch != l->epoch || said.at.number > l->head)
            return false;
        if (said.at.number > from)
            from = said.at.number;
    }
    *ret_from = from;
    return from >= l->first;
}

/* A socket that may have sent one of the packets itself would get it back. */
static bool may_be_sender(const socketio_log *l, uint64_t from)
{
    while (from < l->head && (*entry_at(l, from))->stranger != GONE)
        from++;
    return from < l->head;
}

/* True when it can be sent all that it has not got. */
bool socketio_log_can_send(const socketio_log *l, const log_kept *k, str offset, uint64_t *ret_from)
{
    return k->until_ms > loop_of(l)->now_ms && find_place(l, k, offset, ret_from) &&
           (!l->nsp->hub->reach || !may_be_sender(l, *ret_from));
}

/* The first n of its rooms again, or no longer. 0 or -ENOMEM. */
int socketio_log_join_rooms(const log_kept *k, uint32_t n, socketio_socket *s, bool join)
{
    const char *at = k->names;
    for (uint32_t i = 0; i < n; i++) {
        str name = {at + 1, (unsigned char)*at};
        at += 1 + name.len;
        if (!join)
            socketio_leave(s, name);
        else if (socketio_join(s, name)) {
            socketio_log_join_rooms(k, i, s, false);
            return -ENOMEM;
        }
    }
    return 0;
}

/* The client is back before we know that its connection was lost; on another loop: s is NULL. */
void socketio_log_take_over(socketio_log *l, const socketio_socket *s, str pid)
{
    present *p = find_present(l, pid);
    socketio_socket *old = p ? p->socket : NULL;
    if (!old || (s && old->client == s->client))
        return;
    socketio_client_close(old->client, ENGINEIO_TRANSPORT_CLOSE);
    socketio_socket_lose(old, ENGINEIO_TRANSPORT_CLOSE);
}

/* Whatever comes of it, the record has had its use: who is not recovered gets another pid. */
bool socketio_log_restore(socketio_log *l, socketio_socket *s, str pid, str offset, uint64_t *ret_from)
{
    uint64_t from;
    socketio_log_take_over(l, s, pid);
    log_kept *k = socketio_log_find_kept(l, pid);
    if (!k)
        return false;
    bool restored = socketio_log_can_send(l, k, offset, &from) && !socketio_log_join_rooms(k, k->n_rooms, s, true);
    if (restored) {
        memcpy(s->id, k->id, SOCKETIO_ID_BYTES);
        memcpy(s->pid, k->pid, SOCKETIO_ID_BYTES);
        s->recovered = true;
        s->logged = *ret_from = from;
    }
    socketio_log_free_kept(l, k);
    return restored;
}

static bool is_of(const log_entry *e, const socketio_socket *s)
{
    return e->has_socket && !memcmp(e->socket, s->id, sizeof e->socket);
}

bool socketio_log_was_for(const log_entry *e, socketio_socket *s)
{
    socketio_audience to = {.rooms = e->rooms, .except = e->except, .n_rooms = e->n_rooms, .n_except = e->n_except};
    return !is_of(e, s) && socketio_meant(&to, s);
}

static int send_packet(const log_entry *e, uint64_t number, socketio_socket *s, void *user)
{
    socketio_packet_images images = {.n = e->n_images};
    (void)number;
    (void)user;
    memcpy(images.images, e->images, e->n_images * sizeof *e->images);
    int error = socketio_images_send(s->client, &images);
    if (!error)
        peer_count_out(&s->peer, 1, e->images[0]->len - ENGINEIO_ROOM);
    return error;
}

/* Makes the socket come into the room that it came into then, or leave it; `back`: the other way round. */
static int move(const log_entry *e, socketio_socket *s, bool back)
{
    if (e->joined != back)
        return socketio_join(s, e->rooms[0]);
    socketio_leave(s, e->rooms[0]);
    return 0;
}

static bool has_moved(const log_entry *e, const socketio_socket *s)
{
    return !e->n_images && !e->arrived && is_of(e, s);
}

/* Back to the rooms that it was in then. */
static int go_back(const socketio_log *l, socketio_socket *s, uint64_t to)
{
    int error = 0;
    for (uint64_t i = l->head; i > to && !error; i--) {
        const log_entry *e = *entry_at(l, i - 1);
        if (has_moved(e, s))
            error = move(e, s, true);
    }
    return error;
}

/* And through all that has happened since. */
static int go_on(const socketio_log *l, socketio_socket *s, uint64_t from, log_packet_fn packet, void *user)
{
    int error = 0;
    for (; from < l->head && !error; from++) {
        const log_entry *e = *entry_at(l, from);
        if (has_moved(e, s))
            error = move(e, s, false);
        else if (e->n_images && socketio_log_was_for(e, s))
            error = packet(e, from + 1, s, user);
    }
    return error;
}

int socketio_log_walk(socketio_log *l, socketio_socket *s, uint64_t from, log_packet_fn packet, void *user)
{
    l->replaying = true;
    int error = go_back(l, s, from);
    if (!error)
        error = go_on(l, s, from, packet, user);
    l->replaying = false;
    return error;
}

int socketio_log_replay(socketio_log *l, socketio_socket *s, uint64_t from)
{
    return socketio_log_walk(l, s, from, send_packet, NULL);
}

/* ---------------------------------------------------------------------------------------------------------------- time */

static uint64_t entry_due_ms(const socketio_log *l)
{
    return l->first < l->head ? (*entry_at(l, l->first))->at_ms + l->nsp->route->recovery_ms : UINT64_MAX;
}

static uint64_t socket_due_ms(const socketio_log *l)
{
    const log_kept *k = oldest_kept(l);
    return k ? k->until_ms : UINT64_MAX;
}

static void look_at_clock(timer *clock)
{
    socketio_log *l = CONTAINER(clock, socketio_log, clock);
    uint64_t now_ms = loop_of(l)->now_ms;
    while (entry_due_ms(l) <= now_ms)
        drop_first(l);
    while (socket_due_ms(l) <= now_ms)
        socketio_log_free_kept(l, oldest_kept(l));
    set_clock(l);
}

/* Fires early rather than late: it looks again. */
static void set_clock(socketio_log *l)
{
    uint64_t entry_ms = entry_due_ms(l), socket_ms = socket_due_ms(l), now_ms = loop_of(l)->now_ms;
    uint64_t at_ms = entry_ms < socket_ms ? entry_ms : socket_ms;
    if (at_ms == UINT64_MAX || (timer_armed(&l->clock) && l->clock.at_ms <= at_ms))
        return;
    loop_arm_roughly(loop_of(l), &l->clock, at_ms > now_ms ? at_ms - now_ms : 1, look_at_clock);
}

/* ------------------------------------------------------------------------------------------------------- life and death */

socketio_log *socketio_log_new(socketio_namespace *n)
{
    socketio_log *l = mem_zero(sizeof *l);
    if (!l)
        return NULL;
    l->nsp = n;
    list_init(&l->oldest);
    if (getrandom(&l->epoch, sizeof l->epoch, 0) != sizeof l->epoch || map_init(&l->kept) || map_init(&l->present)) {
        mem_free(l);
        return NULL;
    }
    l->epoch = l->epoch >> 16 | 1; /* 48 bits, and not 0 */
    return l;
}

void socketio_log_free(socketio_log *l)
{
    if (!l)
        return;
    loop_cancel(loop_of(l), &l->clock);
    while (l->first < l->head)
        drop_first(l);
    for (log_kept *k; (k = oldest_kept(l)) != NULL;)
        socketio_log_free_kept(l, k);
    for (map_entry *found; (found = map_next(&l->present, NULL)) != NULL;) {
        map_remove(&l->present, found);
        mem_free(CONTAINER(found, present, by_pid));
    }
    map_done(&l->kept);
    map_done(&l->present);
    mem_free(l->ring);
    mem_free(l);
}
