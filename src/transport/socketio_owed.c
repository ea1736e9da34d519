#include "base/mem.h"
#include "transport/socketio.h"
#include <errno.h>

/** In the order in which they came. Most programs acknowledge within `event`, and then none is ever kept. */
typedef struct socketio_owed {
    uint32_t n, cap;
    uint64_t ids[];
} socketio_owed;

static int grow(socketio_socket *s)
{
    socketio_owed *owed = s->owed; /* of a settled socket: events come after `open` */
    uint32_t cap = owed ? owed->cap * 2 : 4;
    if (owed && owed->n < owed->cap)
        return 0;
    uint32_t n = owed ? owed->n : 0;
    socketio_owed *larger = mem_resize(owed, sizeof *larger + cap * sizeof *larger->ids);
    if (!larger)
        return -ENOMEM;
    larger->n = n;
    larger->cap = cap;
    s->owed = larger;
    return 0;
}

static void drop(socketio_owed *owed, uint32_t place)
{
    owed->n--;
    memmove(&owed->ids[place], &owed->ids[place + 1], (owed->n - place) * sizeof *owed->ids);
}

int socketio_owed_add(socketio_socket *s, uint64_t id)
{
    if (s->owed && s->owed->n == SOCKETIO_MAX_OWED)
        drop(s->owed, 0);
    if (grow(s))
        return -ENOMEM;
    s->owed->ids[s->owed->n++] = id;
    return 0;
}

/* The place of an id; n when it is not there. */
static uint32_t find(const socketio_owed *owed, uint64_t id)
{
    uint32_t place = 0;
    while (place < owed->n && owed->ids[place] != id)
        place++;
    return place;
}

/* It may be the one that the program is being told of. */
static bool is_delivered(const socketio_socket *s, uint64_t id)
{
    const hub_event *event = &s->peer.hub->event;
    return event->peer == s->peer.id && event->ack == id + 1;
}

bool socketio_owed_has(const socketio_socket *s, uint64_t id)
{
    return is_delivered(s, id) || (s->owed && find(s->owed, id) < s->owed->n);
}

void socketio_owed_take(socketio_socket *s, uint64_t id)
{
    if (is_delivered(s, id)) {
        s->peer.hub->event.ack = 0;
        return;
    }
    drop(s->owed, find(s->owed, id));
    if (s->owed->n)
        return;
    mem_free(s->owed);
    s->owed = NULL;
}
