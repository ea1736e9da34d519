#include "transport/socketio_loops.h"

#include "base/mem.h"
#include <errno.h>

/** Who knows that socket? To the home of its namespace, and from there to the others. Behind it: the namespace's name, the pid, the offset. */
typedef struct {
    hub_note base;
    socketio_route *route;
    uint64_t socket; /* a handle, of the loop that asks */
    unsigned asker;
    uint32_t order;   /* the home's latest, when it passed the question on */
    uint32_t n_asked; /* loops that it was passed on to */
    size_t nsp_len, pid_len, offset_len;
    bool has_offset;
    char text[];
} question;

/** Behind it: the record; without one the loop does not know it. */
typedef struct {
    hub_note base;
    uint64_t socket;
    uint32_t order, n_asked;
    size_t len;
    char record[];
} answer;

static str nsp_of(const question *q)
{
    return (str){q->text, q->nsp_len};
}

static str pid_of(const question *q)
{
    return (str){q->text + q->nsp_len, q->pid_len};
}

static str offset_of(const question *q)
{
    return q->has_offset ? (str){q->text + q->nsp_len + q->pid_len, q->offset_len} : (str){NULL, 0};
}

/* --------------------------------------------------------------------------------------------------------- answers */

/* The socket may have left meanwhile. */
static void take_answer(hub *h, hub_note *base)
{
    const answer *a = (const answer *)base;
    peer *p = slots_get(h->table, a->socket, SLOT_PEER);
    socketio_socket *s = p ? socketio_socket_of(p) : NULL;
    if (!s || !s->returning)
        return;
    if (a->len)
        socketio_socket_return(s, (str){a->record, a->len}, a->order);
    else if (++s->n_refused >= a->n_asked)
        socketio_socket_return(s, (str){NULL, 0}, a->order);
}

/* Without memory nobody answers, and the client is gone when it has waited for too long. A record counts for little, as it could be larger than what fits. */
static void send_answer(const hub *h, const question *q, str record)
{
    reach *r = h->reach;
    answer *a = (answer *)hub_note_new(r->links, sizeof *a + record.len, take_answer, NULL);
    if (!a)
        return;
    a->base.base.bytes = sizeof *a;
    a->socket = q->socket;
    a->order = q->order;
    a->n_asked = q->n_asked;
    a->len = record.len;
    if (record.len)
        memcpy(a->record, record.at, record.len);
    reach_answer(r, r->links->boxes[q->asker], &a->base);
}

static void answer_here(hub *h, const question *q)
{
    buf record = {0};
    const socketio_namespace *n = socketio_namespace_find(q->route, h, nsp_of(q));
    bool known = n && n->log && socketio_log_give_up(n->log, pid_of(q), offset_of(q), &record);
    send_answer(h, q, known ? buf_str(&record) : (str){NULL, 0});
    buf_done(&record);
}

static void take_question(hub *h, hub_note *base)
{
    answer_here(h, (const question *)base);
}

/* -------------------------------------------------------------------------------------------------------- at home */

static size_t text_bytes(const question *q)
{
    return q->nsp_len + q->pid_len + q->offset_len;
}

/* A loop that cannot be asked does not know it. */
static void pass_on(hub *h, const question *q, unsigned number)
{
    const reach *r = h->reach;
    size_t bytes = sizeof *q + text_bytes(q);
    question *copy = (question *)hub_note_new(r->links, bytes, take_question, NULL);
    if (copy) {
        hub_note base = copy->base;
        memcpy(copy, q, bytes);
        copy->base = base;
    }
    if (!copy || reach_push(r, number, &copy->base)) {
        mem_free(copy);
        send_answer(h, q, (str){NULL, 0});
    }
}

static void ask_all(hub *h, question *q)
{
    const reach *r = h->reach;
    bool here = q->asker != r->number;
    uint64_t mask = socketio_loops_with(q->route, h, nsp_of(q), &q->order) & ~((uint64_t)1 << q->asker);
    q->n_asked = (uint32_t)__builtin_popcountll(mask) + here;
    if (!q->n_asked)
        send_answer(h, q, (str){NULL, 0});
    for (unsigned i = 0; i < r->links->n; i++)
        if (mask & (uint64_t)1 << i)
            pass_on(h, q, i);
    if (here)
        answer_here(h, q);
}

static void take_home(hub *h, hub_note *base)
{
    ask_all(h, (question *)base);
}

/* ---------------------------------------------------------------------------------------------------------- asking */

/* NULL: no memory. */
static question *question_new(const socketio_socket *s, str pid, str offset)
{
    const reach *r = s->nsp->hub->reach;
    str nsp = s->nsp->entry.key;
    size_t bytes = sizeof(question) + nsp.len + pid.len + offset.len;
    question *q = (question *)hub_note_new(r->links, bytes, take_home, NULL);
    if (!q)
        return NULL;
    q->route = s->nsp->route;
    q->socket = s->peer.id;
    q->asker = r->number;
    q->nsp_len = nsp.len;
    q->pid_len = pid.len;
    q->offset_len = offset.len;
    q->has_offset = offset.at;
    memcpy(q->text, nsp.at, nsp.len);
    memcpy(q->text + nsp.len, pid.at, pid.len);
    if (offset.len)
        memcpy(q->text + nsp.len + pid.len, offset.at, offset.len);
    return q;
}

bool socketio_return_ask(socketio_socket *s, str pid, str offset)
{
    hub *h = s->nsp->hub;
    const reach *r = h->reach;
    question *q = r && pid.len == SOCKETIO_ID_BYTES ? question_new(s, pid, offset) : NULL;
    if (!q)
        return false;
    unsigned home = socketio_home(q->route, r->links, s->nsp->entry.key);
    s->logged = socketio_log_head(s->nsp->log);
    s->n_refused = 0;
    if (home == r->number) {
        ask_all(h, q); /* nobody answers before the loop turns */
        mem_free(q);
        return true;
    }
    bool asked = !reach_push(r, home, &q->base);
    if (!asked)
        mem_free(q);
    return asked;
}
