#include "transport/engineio_private.h"

#include "base/mem.h"
#include "proto/engineio.h"
#include <errno.h>

enum {
    NOOPS_AT_ONCE = 3,     /* polls that a probe lets go in no time, as clients come over after one or two */
    NOOP_MS = 100,         /* then, for those whose client does not hear that it may */
    GOODBYE_MS = 30 * 1000 /* for the last poll of a session that ended between two of them */
};

static const str poll_type = {"text/plain; charset=UTF-8", 25};

/* -------------------------------------------------------------------------------------------------------- answering */

/* What a queue makes; a packet that is text and alone is sent from where it lies. NULL in *ret_owner: no memory. */
static str payload_of(const engineio_queue *q, pool *blocks, chunk **ret_owner)
{
    const engineio_item *only = q->n == 1 && !q->items->binary ? q->items : NULL;
    *ret_owner = only ? chunk_ref(only->owner) : chunk_new(blocks, q->bytes);
    if (!*ret_owner)
        return (str){NULL, 0};
    if (only)
        return (str){only->at, only->len};
    engineio_queue_put(q, (*ret_owner)->bytes);
    return (str){(*ret_owner)->bytes, q->bytes};
}

/* Answers with all of a queue. 0 or -ENOMEM, and then nothing was sent: the queue is whole. */
static int answer_queue(exchange *e, const engineio_queue *q, pool *blocks)
{
    chunk *owner;
    if (!q->n)
        return engineio_answer(e, poll_type, STR("6"), NULL);
    str payload = payload_of(q, blocks, &owner);
    int error = owner ? engineio_answer(e, poll_type, payload, owner) : -ENOMEM;
    if (!owner)
        exchange_refuse(e, 503, STR("out of memory\n"));
    chunk_unref(blocks, owner);
    return error;
}

static void drop_queue(engineio_session *s)
{
    s->hub->counts.session_bytes -= s->polls->queue.bytes;
    engineio_queue_drop(&s->polls->queue, engineio_blocks(s));
}

/* The GET is nobody's any more. */
static exchange *take_get(engineio_polls *polls)
{
    exchange *e = polls->get;
    polls->get = NULL;
    if (e)
        e->held_state = NULL;
    loop_undefer(engineio_loop(polls->session), &polls->task);
    return e;
}

static void answer_waiting(engineio_session *s)
{
    engineio_polls *polls = s->polls;
    if (answer_queue(take_get(polls), &polls->queue, engineio_blocks(s))) {
        engineio_end_session(s, ENGINEIO_TRANSPORT_ERROR, ENGINEIO_CUT);
        return;
    }
    drop_queue(s);
    engineio_was_sent(s);
}

/* At the end of the turn, so that a burst is one answer. */
static void answer_task(loop_task *task)
{
    answer_waiting(CONTAINER(task, engineio_polls, task)->session);
}

static void answer_soon(engineio_polls *polls)
{
    if (polls->get)
        loop_defer(engineio_loop(polls->session), &polls->task);
}

/* ---------------------------------------------------------------------------------------------------------- waiting */

static void poll_is_late(exchange *e)
{
    answer_waiting(e->held_state);
}

static void poll_drain(exchange *e)
{
    engineio_close(e->held_state, ENGINEIO_SHUTTING_DOWN);
}

/* Answered, or its client has gone: to one whose poll is cut no other will come. */
static void poll_forget(exchange *e)
{
    engineio_session *s = e->held_state;
    if (!s)
        return;
    take_get(s->polls);
    engineio_end_session(s, ENGINEIO_TRANSPORT_ERROR, ENGINEIO_SAY_CLOSE);
}

static const held_ops waiting_ops = {.forget = poll_forget, .late = poll_is_late, .drain = poll_drain};

/* With a probe nobody waits; a client that does not hear of it is not to come and go for ever. */
static void pace(engineio_session *s, exchange *e)
{
    engineio_probe *probe = s->polls->probe;
    if (probe->n_noops++ < NOOPS_AT_ONCE) {
        answer_soon(s->polls);
        return;
    }
    probe->n_noops = NOOPS_AT_ONCE;
    e->ops->wait(e, NOOP_MS);
}

void engineio_poll(engineio_session *s, exchange *e)
{
    engineio_polls *polls = s->polls;
    if (polls->get) {
        engineio_end_session(s, ENGINEIO_TRANSPORT_ERROR, ENGINEIO_SAY_CLOSE);
        engineio_answer_empty(e, 400);
        return;
    }
    polls->get = e;
    e->held = &waiting_ops;
    e->held_state = s;
    if (polls->queue.n)
        answer_soon(polls);
    else if (polls->probe && polls->probe->answered)
        pace(s, e);
}

void engineio_polls_let_go(engineio_session *s)
{
    answer_soon(s->polls);
}

/* ------------------------------------------------------------------------------------------------------------ queue */

char *engineio_polls_room(engineio_session *s, bool binary, size_t len)
{
    engineio_queue *q = &s->polls->queue;
    size_t before = q->bytes;
    char *at = engineio_queue_room(q, engineio_blocks(s), binary, len);
    s->hub->counts.session_bytes += q->bytes - before;
    if (at)
        answer_soon(s->polls);
    return at;
}

int engineio_polls_refer(engineio_session *s, bool binary, str packet, chunk *owner)
{
    engineio_queue *q = &s->polls->queue;
    size_t before = q->bytes;
    int error = engineio_queue_refer(q, engineio_blocks(s), binary, packet, owner);
    s->hub->counts.session_bytes += q->bytes - before;
    if (!error)
        answer_soon(s->polls);
    return error;
}

/* ------------------------------------------------------------------------------------------------------------- life */

int engineio_polls_new(engineio_session *s, const weft_request *request)
{
    str address = weft_request_address(request);
    engineio_polls *polls = mem_zero(sizeof *polls);
    if (!polls)
        return -ENOMEM;
    polls->session = s;
    polls->task.run = answer_task;
    polls->address = mem_copy_text(address.at, address.len);
    s->polls = polls;
    return 0;
}

/* Who waits is told all that is queued, and the end. */
static void answer_last(engineio_session *s, exchange *e)
{
    char *at = engineio_polls_room(s, false, 1);
    if (at)
        *at = '0' + ENGINEIO_CLOSE;
    answer_queue(e, &s->polls->queue, engineio_blocks(s));
}

static void answer_goodbye(engineio_session *s, exchange *e, engineio_goodbye how)
{
    if (how == ENGINEIO_CUT)
        engineio_refuse(e, ENGINEIO_UNKNOWN_SID, (str){NULL, 0});
    else if (how == ENGINEIO_SAY_CLOSE)
        answer_last(s, e);
    else
        answer_queue(e, &s->polls->queue, engineio_blocks(s));
}

void engineio_polls_done(engineio_session *s, engineio_goodbye how)
{
    engineio_polls *polls = s->polls;
    if (!polls)
        return;
    exchange *e = take_get(polls);
    engineio_probe_drop(s);
    if (e && s->state == ENGINEIO_WEBSOCKET)
        engineio_answer(e, poll_type, STR("6"), NULL);
    else if (e)
        answer_goodbye(s, e, how);
    drop_queue(s);
    if (polls->post)
        engineio_post_drop(polls->post);
    s->polls = NULL;
    mem_free(polls->address);
    mem_free(polls);
}

/* --------------------------------------------------------------------------------------------------------- goodbyes */

/* What a session that was closed between two polls has left to say, to be found by its id. */
typedef struct engineio_goodbye goodbye;
struct engineio_goodbye {
    session registered;
    goodbye *next, **link;
    hub *hub;
    engineio_queue queue;
    timer deadline;
};

static void goodbye_free(goodbye *g)
{
    *g->link = g->next;
    if (g->next)
        g->next->link = g->link;
    session_remove(g->hub, &g->registered);
    loop_cancel(g->hub->loop, &g->deadline);
    g->hub->counts.session_bytes -= g->queue.bytes;
    engineio_queue_drop(&g->queue, &g->hub->loop->blocks);
    mem_free(g);
}

static void goodbye_is_late(timer *t)
{
    goodbye_free(CONTAINER(t, goodbye, deadline));
}

/* Under the id that its session had. 0 or -ENOMEM. */
static int goodbye_register(goodbye *g, engineio_session *s)
{
    memcpy(g->registered.id, s->registered.id, SESSION_ID_BYTES);
    session_remove(s->hub, &s->registered);
    return session_put(s->hub, &g->registered, NULL, &s->route->settings);
}

static void goodbye_wait(goodbye *g, hub *h)
{
    g->hub = h;
    g->next = h->goodbyes;
    g->link = &h->goodbyes;
    if (g->next)
        g->next->link = &g->next;
    h->goodbyes = g;
    loop_arm_roughly(h->loop, &g->deadline, GOODBYE_MS, goodbye_is_late);
}

/* Without memory the client finds that its session is gone. */
void engineio_polls_leave_rest(engineio_session *s)
{
    engineio_polls *polls = s->polls;
    goodbye *g = polls->get ? NULL : mem_zero(sizeof *g);
    char *at = g ? engineio_polls_room(s, false, 1) : NULL;
    if (!at || goodbye_register(g, s)) {
        mem_free(g);
        return;
    }
    *at = '0' + ENGINEIO_CLOSE;
    g->queue = polls->queue;
    polls->queue = (engineio_queue){0};
    goodbye_wait(g, s->hub);
}

static session *goodbye_find(const hub *h, const engineio_route *route, str sid)
{
    return session_find(h, sid, &route->settings);
}

bool engineio_goodbye_waits(const hub *h, const engineio_route *route, str sid)
{
    return goodbye_find(h, route, sid);
}

bool engineio_goodbye_take(hub *h, const engineio_route *route, str sid, exchange *e)
{
    session *found = goodbye_find(h, route, sid);
    if (!found)
        return false;
    goodbye *g = CONTAINER(found, goodbye, registered);
    answer_queue(e, &g->queue, &h->loop->blocks);
    goodbye_free(g);
    return true;
}

void engineio_goodbyes_done(hub *h)
{
    while (h->goodbyes)
        goodbye_free(h->goodbyes);
}
