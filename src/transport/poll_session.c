#include "transport/poll_session.h"

#include "base/mem.h"
#include "hub/mirror.h"
#include "transport/poll.h"
#include "transport/poll_queue.h"
#include "transport/topics_route.h"
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

enum {
    FRAME_BYTES = 128, /* all of an answer in front of its list; all behind it */
    CODE_LOST = 1006,
};

typedef struct {
    peer peer;
    session session;
    const poll_session_kind *kind;
    exchange *waiting; /* NULL: no poll waits */
    timer clock;       /* the deadline of the poll that waits, else the end of the lease */
    loop_task task;    /* answers the poll that waits */
    poll_queue queue;
    chunk *kept;       /* the last answer, until it is acknowledged */
    size_t kept_bytes; /* of what was queued, in it */
    uint64_t seq;      /* of the last answer */
    cursor at;         /* what the client knows after the last answer, or after the queue; epoch 0: nothing yet */
    char *address;     /* that the last poll came from; NULL without memory */
    uint32_t wait_ms;  /* of the last poll, never 0 */
    bool gap;          /* the next answer tells of one */
    bool notify;       /* the hub waits for room in the queue */
    bool opening;      /* its first answer waits for its subscription */
} poll_session;

static const peer_ops poll_session_ops;

static poll_session *session_of(const peer *p)
{
    return CONTAINER((uintptr_t)p, poll_session, peer);
}

static loop *loop_of(const poll_session *s)
{
    return s->peer.hub->loop;
}

static pool *blocks_of(const poll_session *s)
{
    return &loop_of(s)->blocks;
}

/* Its answers say where the topic stands, and whether there was a gap. */
static bool tells_place(const poll_session_kind *kind)
{
    return !kind->encoding->gap;
}

/* ------------------------------------------------------------------------------------------------------------- life */

static void lease_over(timer *t);
static int poll_session_gap(peer *p, topic *t, uint64_t next);

static void begin_lease(poll_session *s)
{
    uint64_t lease_ms = s->kind->lease_ms ? s->kind->lease_ms : (uint64_t)s->wait_ms * 2;
    if (!s->peer.leaving)
        loop_arm(loop_of(s), &s->clock, lease_ms, lease_over);
}

static void drop_kept(poll_session *s)
{
    s->peer.hub->counts.session_bytes -= s->kept_bytes;
    chunk_unref(blocks_of(s), s->kept);
    s->kept = NULL;
    s->kept_bytes = 0;
}

/* The peer leaves: nobody finds the session any more, and it keeps nothing. */
static void end_session(poll_session *s)
{
    session_remove(s->peer.hub, &s->session);
    loop_cancel(loop_of(s), &s->clock);
    loop_undefer(loop_of(s), &s->task);
    s->peer.hub->counts.session_bytes -= s->queue.bytes;
    poll_queue_drop(&s->queue, blocks_of(s));
    drop_kept(s);
}

static void lease_over(timer *t)
{
    poll_session *s = CONTAINER(t, poll_session, clock);
    peer_leave(&s->peer, CODE_LOST, STR("the client asked no more"));
    end_session(s);
}

static void answer_task(loop_task *task);

/* Without memory the old one stays. */
static void keep_address(poll_session *s, const weft_request *request)
{
    str now = weft_request_address(request);
    char *copy = str_equal(now, str_from(s->address)) ? NULL : mem_copy_text(now.at, now.len);
    if (!copy)
        return;
    mem_free(s->address);
    s->address = copy;
}

/* -1: it is no number. */
static int64_t asked_wait_ms(const poll_session_kind *kind, const weft_request *request)
{
    char room[POLL_ASKED_BYTES];
    if (poll_asked(request, "wait", room).at)
        return poll_wait_ms(request, kind->max_wait_ms);
    return kind->default_wait_ms < kind->max_wait_ms ? kind->default_wait_ms : kind->max_wait_ms;
}

static void keep_wait(poll_session *s, int64_t wait_ms)
{
    s->wait_ms = wait_ms > 0 ? (uint32_t)wait_ms : s->kind->default_wait_ms;
}

peer *poll_session_new(hub *h, const poll_session_kind *kind, const weft_request *request, str from)
{
    poll_session *s = mem_zero(peer_bytes(&poll_session_ops, &kind->rules));
    if (!s)
        return NULL;
    s->kind = kind;
    s->task.run = answer_task;
    if ((from.at && peer_keep_text(&s->peer, from)) || session_add(h, &s->session, &s->peer, kind->route))
        goto fail;
    if (peer_init(&s->peer, h, &poll_session_ops, &kind->rules))
        goto fail;
    keep_address(s, request);
    peer_keep_subject(&s->peer, request->sink);
    keep_wait(s, asked_wait_ms(kind, request));
    begin_lease(s);
    return &s->peer;

fail:
    session_remove(h, &s->session);
    peer_extra_free(&s->peer);
    mem_free(s);
    return NULL;
}

static bool poll_session_free(peer *p)
{
    poll_session *s = session_of(p);
    mem_free(s->address);
    mem_free(s);
    return true;
}

str poll_session_id(const peer *p)
{
    return (str){session_of(p)->session.id, SESSION_ID_BYTES};
}

void poll_session_touch(peer *p)
{
    poll_session *s = session_of(p);
    if (!s->waiting)
        begin_lease(s);
}

/* -------------------------------------------------------------------------------------------------------- answering */

/* Behind what is queued: the cursor of the last message, or where a subscription begins that has had none. */
static cursor place_of(const poll_session *s)
{
    const peer *p = &s->peer;
    if (!p->n_subscriptions)
        return s->at;
    const topic *t = p->subscriptions[0].topic;
    return topic_cursor_before(t, t->subscribers[p->subscriptions[0].place].next);
}

static size_t put_tail(const poll_session *s, char ret_tail[FRAME_BYTES])
{
    char text[CURSOR_BYTES];
    if (!tells_place(s->kind))
        return (size_t)snprintf(ret_tail, FRAME_BYTES, "]}");
    int len = s->at.epoch ? (int)cursor_put(s->at, text) : 0;
    return (size_t)snprintf(ret_tail, FRAME_BYTES, "],\"cursor\":\"%.*s\",\"gap\":%s}", len, text,
                            s->gap ? "true" : "false");
}

static chunk *build_body(const poll_session *s)
{
    char head[FRAME_BYTES], tail[FRAME_BYTES];
    size_t head_len = (size_t)snprintf(head, sizeof head, "{\"session\":\"%.*s\",\"seq\":%" PRIu64 ",\"%s\":[",
                                       SESSION_ID_BYTES, s->session.id, s->seq, s->kind->list);
    size_t tail_len = put_tail(s, tail);
    chunk *body = chunk_new(blocks_of(s), head_len + s->queue.bytes + tail_len);
    if (!body)
        return NULL;
    body->len = head_len + s->queue.bytes + tail_len;
    memcpy(body->bytes, head, head_len);
    poll_queue_put(&s->queue, body->bytes + head_len);
    memcpy(body->bytes + head_len + s->queue.bytes, tail, tail_len);
    return body;
}

/* Makes the next answer of what is queued. 0 or -ENOMEM. */
static int keep_answer(poll_session *s)
{
    assert(!s->kept);
    s->at = place_of(s);
    s->seq++;
    s->kept = build_body(s);
    if (!s->kept)
        return -ENOMEM;
    s->kept_bytes = s->queue.bytes;
    s->gap = false;
    poll_queue_drop(&s->queue, blocks_of(s));
    return 0;
}

static void give_kept(const poll_session *s, exchange *e)
{
    http_answer answer = {
        .status = 200,
        .type = STR("application/json"),
        .body = {s->kept->bytes, s->kept->len},
        .owner = s->kept,
    };
    if (buf_put_str(&e->fields, STR("Cache-Control: no-store\r\n")))
        topics_refuse(e, 503, "the server is out of memory");
    else
        exchange_answer(e, &answer);
}

/* The exchange's end begins the lease: see held_forget(). */
static void answer_waiting(poll_session *s)
{
    if (keep_answer(s)) {
        topics_refuse(s->waiting, 503, "the server is out of memory");
        peer_abort(&s->peer);
        return;
    }
    give_kept(s, s->waiting);
}

/* At the end of the turn, so that a burst is one answer; behind the peer's own task, which may have more for it. */
static void answer_task(loop_task *task)
{
    poll_session *s = CONTAINER(task, poll_session, task);
    if (s->peer.marked)
        loop_defer(loop_of(s), task);
    else
        answer_waiting(s);
}

static void answer_soon(poll_session *s)
{
    if (s->waiting && !s->opening)
        loop_defer(loop_of(s), &s->task);
}

static void wait_is_over(timer *t)
{
    answer_waiting(CONTAINER(t, poll_session, clock));
}

/* The session goes with the request that opens it: its client could not go on with it. */
static void refuse_opening(poll_session *s, const char *sentence)
{
    if (s->waiting)
        topics_refuse_for_now(s->waiting, sentence);
    peer_abort(&s->peer);
}

static void held_drain(exchange *e)
{
    poll_session *s = e->held_state;
    if (s->opening)
        refuse_opening(s, "the server is stopping");
    else
        answer_waiting(s);
}

/* It was answered, or its client went. */
static void held_forget(exchange *e)
{
    poll_session *s = e->held_state;
    s->waiting = NULL;
    loop_undefer(loop_of(s), &s->task);
    begin_lease(s);
}

static const held_ops waiting_ops = {.forget = held_forget, .drain = held_drain};

/* With wait_ms 0 it is answered at the end of the turn in any case. */
static void wait_for(poll_session *s, exchange *e, uint32_t wait_ms)
{
    e->held = &waiting_ops;
    e->held_state = s;
    s->waiting = e;
    if (!wait_ms || s->queue.n || s->gap) {
        loop_cancel(loop_of(s), &s->clock);
        answer_soon(s);
    } else {
        loop_arm(loop_of(s), &s->clock, wait_ms, wait_is_over);
    }
}

static void refuse_gone(exchange *e)
{
    topics_refuse(e, 404, "there is no such session, or it is over");
}

void poll_session_begin(peer *p, exchange *e)
{
    if (p->leaving)
        refuse_gone(e);
    else
        wait_for(session_of(p), e, 0);
}

/* ---------------------------------------------------------------------------------------------------------- opening */

/* A subscription that is pending. */
typedef struct {
    subscribing base;
    poll_session *session;
} opening;

static void opening_is_over(timer *t)
{
    refuse_opening(CONTAINER(t, poll_session, clock), "the topic is not ready yet");
}

static void begin_at(poll_session *s, const subscribed *done)
{
    if (done->gap)
        poll_session_gap(&s->peer, done->topic, done->at.number);
    hub_serve(s->peer.hub, &s->peer);
}

static void refuse_opened(poll_session *s, int error)
{
    if (s->waiting)
        topics_refuse_error(s->waiting, s->peer.hub, error);
    peer_abort(&s->peer);
}

/* The client may have gone meanwhile; then the session waits for its lease to end. One that the program has
 * unsubscribed has no place. */
static void opening_done(subscribing *pending, int error, const subscribed *done)
{
    poll_session *s = CONTAINER(pending, opening, base)->session;
    mem_free(CONTAINER(pending, opening, base));
    s->opening = false;
    if (s->peer.leaving)
        return;
    if (error && error != -ECANCELED) {
        refuse_opened(s, error);
        return;
    }
    if (!error)
        begin_at(s, done);
    if (!s->waiting || s->peer.leaving)
        return;
    loop_cancel(loop_of(s), &s->clock);
    answer_soon(s);
}

/* 0, or an error of hub_subscribe_await(). */
static int await_subscription(poll_session *s, str name, since from)
{
    opening *o = mem_zero(sizeof *o);
    if (!o)
        return -ENOMEM;
    o->session = s;
    o->base.done = opening_done;
    int error = hub_subscribe_await(s->peer.hub, &s->peer, name, from, &o->base);
    if (error)
        mem_free(o);
    s->opening = !error;
    return error;
}

int poll_session_begin_with(peer *p, exchange *e, str name, since from)
{
    poll_session *s = session_of(p);
    subscribed done;
    int error = hub_subscribe(p->hub, p, name, from, &done);
    if (error == HUB_PENDING)
        error = await_subscription(s, name, from);
    else if (!error)
        begin_at(s, &done);
    if (error)
        return error;
    poll_session_begin(p, e);
    if (s->opening)
        loop_arm(loop_of(s), &s->clock, TOPICS_ANSWER_MS, opening_is_over);
    return 0;
}

/* ----------------------------------------------------------------------------------------------------------- asking */

static bool read_number(str text, uint64_t *ret_number)
{
    uint64_t number = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (text.at[i] < '0' || text.at[i] > '9' || number > UINT64_MAX / 10 - 1)
            return false;
        number = number * 10 + (uint64_t)(text.at[i] - '0');
    }
    *ret_number = number;
    return text.len > 0;
}

static poll_session *find_session(const hub *h, const poll_session_kind *kind, str id)
{
    const session *found = session_find(h, id, kind->route);
    bool polls = found && found->peer->ops == &poll_session_ops;
    return polls ? session_of(found->peer) : NULL;
}

/* The client has the last answer: its queue has room again. */
static void acknowledge(poll_session *s)
{
    drop_kept(s);
    if (!s->notify)
        return;
    s->notify = false;
    peer_sent(&s->peer);
}

static bool ack_is_known(const poll_session *s, uint64_t ack)
{
    return ack == s->seq || (s->kept && ack + 1 == s->seq);
}

static void take_poll(poll_session *s, exchange *e, uint64_t ack, uint32_t wait_ms)
{
    if (ack != s->seq) { /* the last answer was lost */
        begin_lease(s);
        give_kept(s, e);
        return;
    }
    if (s->waiting)
        topics_refuse(s->waiting, 409, "a newer poll of this session waits in place of this one");
    acknowledge(s);
    wait_for(s, e, wait_ms);
}

void poll_session_poll(hub *h, const poll_session_kind *kind, exchange *e, const weft_request *request)
{
    char room[POLL_ASKED_BYTES];
    uint64_t ack;
    str id = poll_asked(request, "session", room);
    if (session_follow(e, request, id))
        return;
    poll_session *s = find_session(h, kind, id);
    int64_t wait_ms = asked_wait_ms(kind, request);
    if (!s) {
        refuse_gone(e);
    } else if (wait_ms < 0) {
        topics_refuse(e, 400, "wait is a number of seconds, as 25 or 0.5");
    } else if (!read_number(poll_asked(request, "ack", room), &ack) || !ack_is_known(s, ack)) {
        topics_refuse(e, 400, "ack is the seq of the last answer that arrived");
    } else {
        keep_address(s, request);
        keep_wait(s, wait_ms);
        take_poll(s, e, ack, (uint32_t)wait_ms);
    }
}

/* ---------------------------------------------------------------------------------------------------------- sending */

/* What was queued since the queue had so many bytes. */
static void count_queued(poll_session *s, size_t before)
{
    s->peer.hub->counts.session_bytes += s->queue.bytes - before;
}

static char *queue_room(poll_session *s, size_t len)
{
    size_t before = s->queue.bytes;
    char *at = poll_queue_room(&s->queue, blocks_of(s), len);
    count_queued(s, before);
    return at;
}

static int poll_session_deliver(peer *p, topic *t, uint64_t offset)
{
    poll_session *s = session_of(p);
    size_t before = s->queue.bytes;
    const encoding_frame frame = {.encoding = s->kind->encoding, .format = s->kind->format};
    chunk *image = encoding_image(t, offset, &frame);
    if (!image || poll_queue_refer(&s->queue, blocks_of(s), (str){image->bytes, image->len}, image))
        return -ENOMEM;
    count_queued(s, before);
    s->at = topic_cursor_of(t, offset);
    answer_soon(s);
    return 0;
}

static int poll_session_send(peer *p, const weft_message *message)
{
    poll_session *s = session_of(p);
    message_text m = {.event = message->event, .kind = message->kind, .data = message->data};
    char *at = queue_room(s, s->kind->encoding->len(&m));
    if (!at)
        return -ENOMEM;
    s->kind->encoding->put(at, &m);
    answer_soon(s);
    return 0;
}

static int poll_session_say(peer *p, str text)
{
    poll_session *s = session_of(p);
    char *at = queue_room(s, text.len);
    if (!at)
        return -ENOMEM;
    memcpy(at, text.at, text.len);
    answer_soon(s);
    return 0;
}

static int poll_session_gap(peer *p, topic *t, uint64_t next)
{
    poll_session *s = session_of(p);
    char id[CURSOR_BYTES];
    buf text = {0};
    cursor at = topic_cursor_before(t, next);
    int error = 0;
    s->at = at;
    if (tells_place(s->kind)) {
        s->gap = true;
        answer_soon(s);
        return 0;
    }
    error = s->kind->encoding->gap(&text, topic_name(t), (str){id, cursor_put(at, id)});
    if (!error)
        error = poll_session_say(p, buf_str(&text));
    buf_done(&text);
    return error;
}

static int poll_session_ping(peer *p, str payload)
{
    (void)p;
    (void)payload;
    return WEFT_E_UNSUPPORTED;
}

/* ------------------------------------------------------------------------------------------------- the peer's calls */

/* A poll that waits takes what is queued; nobody can ask for it later. */
static void poll_session_close(peer *p, int code, str reason)
{
    poll_session *s = session_of(p);
    (void)code;
    (void)reason;
    if (s->waiting)
        answer_waiting(s);
    end_session(s);
}

static void poll_session_abort(peer *p)
{
    poll_session *s = session_of(p);
    if (s->waiting)
        refuse_gone(s->waiting);
    end_session(s);
}

/* Nothing is read from a poll: what its client sends comes by other requests. */
static void poll_session_pause(peer *p)
{
    (void)p;
}

static size_t poll_session_queued(const peer *p)
{
    const poll_session *s = session_of(p);
    return s->queue.bytes + s->kept_bytes;
}

static void poll_session_notify(peer *p)
{
    session_of(p)->notify = true;
}

static void poll_session_about(const peer *p, weft_peer_info *ret_info)
{
    const poll_session *s = session_of(p);
    ret_info->transport = WEFT_TRANSPORT_LONG_POLL;
    if (s->address)
        memcpy(ret_info->address, s->address, strlen(s->address) + 1);
}

static const peer_ops poll_session_ops = {
    .transport = WEFT_TRANSPORT_LONG_POLL,
    .bytes = sizeof(poll_session),
    .send = poll_session_send,
    .deliver = poll_session_deliver,
    .gap = poll_session_gap,
    .say = poll_session_say,
    .ping = poll_session_ping,
    .close = poll_session_close,
    .abort = poll_session_abort,
    .pause = poll_session_pause,
    .queued = poll_session_queued,
    .notify = poll_session_notify,
    .about = poll_session_about,
    .free = poll_session_free,
};
