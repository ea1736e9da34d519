#include "base/mem.h"
#include "base/utf8.h"
#include "transport/socketio.h"
#include <errno.h>

typedef struct socketio_membership membership;

/* A socket is in the room of its id by being in the namespace: no such room is kept for it. */
static bool is_own(const socketio_socket *s, str room)
{
    return str_equal(room, (str){s->id, SOCKETIO_ID_BYTES});
}

static socketio_room *find_room(const socketio_namespace *n, str name)
{
    map_entry *entry = map_get(&n->rooms, name);
    return entry ? CONTAINER(entry, socketio_room, entry) : NULL;
}

/* Where a room stands among those of a socket; n_rooms when it is not in. */
static uint32_t find_place(const socketio_socket *s, const socketio_room *room)
{
    uint32_t at = 0;
    while (at < s->n_rooms && s->rooms->at[at].room != room)
        at++;
    return at;
}

str socketio_room_name(const socketio_socket *s, uint32_t place)
{
    return s->rooms->at[place].room->entry.key;
}

/* --------------------------------------------------------------------------------------------------- joining, leaving */

static void free_room(socketio_namespace *n, socketio_room *room)
{
    map_remove(&n->rooms, &room->entry);
    mem_free(room->members);
    mem_free(room);
}

static socketio_room *new_room(socketio_namespace *n, str name)
{
    socketio_room *room = mem_zero(sizeof *room + name.len + 1);
    if (!room)
        return NULL;
    memcpy(room->name, name.at, name.len);
    room->entry.key = (str){room->name, name.len};
    if (!map_put(&n->rooms, &room->entry))
        return room;
    mem_free(room);
    return NULL;
}

static int reserve_member(socketio_room *room)
{
    if (room->n < room->cap)
        return 0;
    uint32_t cap = room->cap ? room->cap * 2 : 2;
    socketio_socket **larger = mem_resize(room->members, cap * sizeof *larger);
    if (!larger)
        return -ENOMEM;
    room->members = larger;
    room->cap = cap;
    return 0;
}

/* There is room up to the next power of two. */
static int reserve_place(socketio_socket *s)
{
    uint32_t n = s->n_rooms, cap = n ? n * 2 : 1;
    if (n & (n - 1))
        return 0;
    membership *larger = mem_resize(s->rooms, cap * sizeof(socketio_place));
    if (!larger)
        return -ENOMEM;
    s->rooms = larger;
    return 0;
}

static int add_member(socketio_room *room, socketio_socket *s)
{
    if (reserve_member(room) || reserve_place(s))
        return -ENOMEM;
    s->rooms->at[s->n_rooms++] = (socketio_place){room, room->n};
    room->members[room->n++] = s;
    return 0;
}

bool socketio_room_valid(str name)
{
    return name.len && name.len <= WEFT_SOCKETIO_MAX_ROOM_BYTES && utf8_valid(name.at, name.len);
}

int socketio_join(socketio_socket *s, str name)
{
    socketio_namespace *n = s->nsp;
    if (!socketio_room_valid(name))
        return WEFT_E_INVALID;
    if (is_own(s, name))
        return 0;
    socketio_room *room = find_room(n, name);
    if (room && find_place(s, room) < s->n_rooms)
        return 0;
    if (s->n_rooms == UINT16_MAX)
        return WEFT_E_TOO_LARGE;
    room = room ? room : new_room(n, name);
    if (!room)
        return -ENOMEM;
    int error = add_member(room, s);
    if (!room->n)
        free_room(n, room);
    if (!error && n->log)
        socketio_log_moved(n->log, s, name, true);
    return error;
}

/* The last member takes the place of the one that goes, and has to know. */
static void drop_member(socketio_room *room, uint32_t place)
{
    socketio_socket *last = room->members[--room->n];
    if (place == room->n)
        return;
    room->members[place] = last;
    last->rooms->at[find_place(last, room)].place = place;
}

static void leave_place(socketio_socket *s, uint32_t at)
{
    socketio_place left = s->rooms->at[at];
    s->rooms->at[at] = s->rooms->at[--s->n_rooms];
    drop_member(left.room, left.place);
    if (!left.room->n)
        free_room(s->nsp, left.room);
}

void socketio_leave(socketio_socket *s, str name)
{
    const socketio_room *room = find_room(s->nsp, name);
    uint32_t at = room ? find_place(s, room) : s->n_rooms;
    if (at == s->n_rooms)
        return;
    if (s->nsp->log)
        socketio_log_moved(s->nsp->log, s, name, false);
    leave_place(s, at);
}

void socketio_leave_all(socketio_socket *s)
{
    while (s->n_rooms)
        leave_place(s, s->n_rooms - 1u);
    mem_free(s->rooms);
    s->rooms = NULL;
}

/* --------------------------------------------------------------------------------------------------------- who is meant */

static bool is_in(const socketio_socket *s, str name)
{
    const socketio_room *room = find_room(s->nsp, name);
    return is_own(s, name) || (room && find_place(s, room) < s->n_rooms);
}

static bool is_in_any(const socketio_socket *s, const str *rooms, uint32_t n)
{
    while (n)
        if (is_in(s, rooms[--n]))
            return true;
    return false;
}

bool socketio_meant(const socketio_audience *to, socketio_socket *s)
{
    return s != to->sender && (!to->n_rooms || is_in_any(s, to->rooms, to->n_rooms)) &&
           !is_in_any(s, to->except, to->n_except);
}

/* A mark that no socket has. */
static uint32_t next_round(socketio_namespace *n)
{
    if (++n->round)
        return n->round;
    for (uint32_t i = 0; i < n->n_sockets; i++)
        n->sockets[i]->mark = 0;
    return ++n->round;
}

typedef struct {
    void (*fn)(socketio_socket *s, void *user);
    void *user;
    uint32_t round;
} walk;

static void visit(const walk *w, socketio_socket *s)
{
    if (s->mark == w->round || !s->admitted)
        return;
    s->mark = w->round;
    w->fn(s, w->user);
}

/* Backwards: when the one that is visited leaves, the last one takes its place, which was visited already. */
static void visit_list(const walk *w, socketio_socket **list, uint32_t n)
{
    enum { AHEAD = 8 };
    while (n--) {
        if (n >= 2 * AHEAD) {
            __builtin_prefetch(list[n - 2 * AHEAD]);
            __builtin_prefetch(list[n - AHEAD]->client);
        }
        visit(w, list[n]);
    }
}

static void visit_room(const walk *w, const socketio_namespace *n, str name)
{
    socketio_room *room = find_room(n, name);
    if (room)
        visit_list(w, room->members, room->n);
    socketio_socket *one = socketio_namespace_by_id(n, name);
    if (one)
        visit(w, one);
}

static void skip(socketio_socket *s, void *user)
{
    (void)s;
    (void)user;
}

/* They look as if they had been visited. */
static void skip_excepted(const walk *w, const socketio_namespace *n, const socketio_audience *to)
{
    const walk skipping = {.fn = skip, .round = w->round};
    for (uint32_t i = 0; i < to->n_except; i++)
        visit_room(&skipping, n, to->except[i]);
    if (to->sender && to->sender->nsp == n)
        ((socketio_socket *)(uintptr_t)to->sender)->mark = w->round;
}

void socketio_each(socketio_namespace *n, const socketio_audience *to, void (*fn)(socketio_socket *s, void *user),
                   void *user)
{
    const walk w = {fn, user, next_round(n)};
    skip_excepted(&w, n, to);
    for (uint32_t i = 0; i < to->n_rooms; i++)
        visit_room(&w, n, to->rooms[i]);
    if (!to->n_rooms)
        visit_list(&w, n->sockets, n->n_sockets);
}
