#include "base/mem.h"
#include "transport/socketio.h"
#include <errno.h>

enum { FEWEST_BUCKETS = 4 };

/** One that is waited for. Its memory is the loop's pool's. */
typedef struct waiting waiting;
struct waiting {
    waiting *next;   /* in its bucket */
    list_node order; /* as they were asked for */
    socketio_socket *socket;
    weft_socketio_ack_fn fn;
    void *user;
    uint64_t id;
    size_t block_bytes;
    timer clock;
};

/**
 * What one socket waits for, by id. Ids come one after the other and are the server's own choice, so their low bits are all the hash that is needed. It is there
 * while something is waited for.
 */
struct socketio_acks {
    loop *loop;
    loop_task task;        /* when the socket has left: tells them */
    socketio_socket *left; /* that one, which stays until they were told */
    weft_peer asker;
    list_node all;
    size_t n, n_buckets; /* buckets: a power of two */
    waiting **buckets;
    waiting *few[FEWEST_BUCKETS];
};

static waiting **bucket_of(const socketio_acks *a, uint64_t id)
{
    return &a->buckets[id & (a->n_buckets - 1)];
}

static void acks_free(socketio_acks *a)
{
    if (a->buckets != a->few)
        mem_free(a->buckets);
    mem_free(a);
}

static void link_waiting(socketio_acks *a, waiting *w)
{
    waiting **bucket = bucket_of(a, w->id);
    w->next = *bucket;
    *bucket = w;
}

/* Without memory the chains become longer, and that is all. */
static void grow(socketio_acks *a)
{
    size_t n_before = a->n_buckets;
    waiting **before = a->buckets, **more = mem_zero(4 * n_before * sizeof *more);
    if (!more)
        return;
    a->buckets = more;
    a->n_buckets = 4 * n_before;
    for (size_t i = 0; i < n_before; i++) {
        for (waiting *w = before[i], *next; w; w = next) {
            next = w->next;
            link_waiting(a, w);
        }
    }
    if (before != a->few)
        mem_free(before);
}

static socketio_acks *acks_of(socketio_socket *s)
{
    socketio_acks *a = s->acks;
    if (a)
        return a;
    a = mem_zero(sizeof *a);
    if (!a)
        return NULL;
    a->loop = s->peer.hub->loop;
    a->asker = peer_handle(&s->peer);
    list_init(&a->all);
    a->buckets = a->few;
    a->n_buckets = FEWEST_BUCKETS;
    return s->acks = a;
}

/* Takes one out that is waited for; NULL when none of that id is. */
static waiting *take(socketio_acks *a, uint64_t id)
{
    waiting **at = bucket_of(a, id);
    while (*at && (*at)->id != id)
        at = &(*at)->next;
    waiting *w = *at;
    if (!w)
        return NULL;
    *at = w->next;
    list_remove(&w->order);
    a->n--;
    loop_cancel(a->loop, &w->clock);
    return w;
}

static waiting *take_from(socketio_socket *s, uint64_t id)
{
    waiting *w = s->acks ? take(s->acks, id) : NULL;
    if (w && !s->acks->n) {
        acks_free(s->acks);
        s->acks = NULL;
    }
    return w;
}

/* Nothing of ours is touched after it: the program may ask again, or end the socket. */
static void tell(loop *l, weft_peer asker, waiting *w, int result, const weft_socketio_event *answer)
{
    weft_socketio_ack_fn fn = w->fn;
    void *user = w->user;
    pool_put(&l->blocks, w, w->block_bytes);
    fn(asker, result, answer, user);
}

static void timed_out(timer *clock)
{
    waiting *w = CONTAINER(clock, waiting, clock);
    socketio_socket *s = w->socket;
    take_from(s, w->id);
    tell(s->peer.hub->loop, peer_handle(&s->peer), w, -ETIMEDOUT, NULL);
}

int socketio_acks_add(socketio_socket *s, uint32_t timeout_ms, weft_socketio_ack_fn fn, void *user, uint64_t *ret_id)
{
    loop *l = s->peer.hub->loop;
    size_t block_bytes;
    waiting *w = pool_get(&l->blocks, sizeof *w, &block_bytes);
    socketio_acks *a = w ? acks_of(s) : NULL;
    if (!a) {
        pool_put(&l->blocks, w, w ? block_bytes : 0);
        return -ENOMEM;
    }
    *w = (waiting){.socket = s, .fn = fn, .user = user, .id = s->nsp->next_ack++, .block_bytes = block_bytes};
    if (a->n == 2 * a->n_buckets)
        grow(a);
    link_waiting(a, w);
    list_append(&a->all, &w->order);
    a->n++;
    if (timeout_ms)
        loop_arm(l, &w->clock, timeout_ms, timed_out);
    *ret_id = w->id;
    return 0;
}

void socketio_acks_take(socketio_socket *s, uint64_t id, const weft_socketio_event *answer)
{
    waiting *w = take_from(s, id);
    if (w)
        tell(s->peer.hub->loop, peer_handle(&s->peer), w, 0, answer);
}

void socketio_acks_forget(socketio_socket *s, uint64_t id)
{
    waiting *w = take_from(s, id);
    if (w)
        pool_put(&s->peer.hub->loop->blocks, w, w->block_bytes);
}

static void tell_closed(loop_task *task)
{
    socketio_acks *a = CONTAINER(task, socketio_acks, task);
    list_node *node;
    while ((node = list_first(&a->all)) != NULL) {
        list_remove(node);
        tell(a->loop, a->asker, CONTAINER(node, waiting, order), WEFT_E_CLOSED, NULL);
    }
    a->left->owes_acks = false;
    acks_free(a);
}

void socketio_acks_end(socketio_socket *s)
{
    socketio_acks *a = s->acks;
    if (!a)
        return;
    s->acks = NULL;
    for (list_node *node = a->all.next; node != &a->all; node = node->next)
        loop_cancel(a->loop, &CONTAINER(node, waiting, order)->clock);
    a->task.run = tell_closed;
    a->left = s;
    s->owes_acks = true;
    loop_defer(a->loop, &a->task);
}
