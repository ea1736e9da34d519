#include "hub/peer.h"

#include "base/mem.h"
#include "base/rare.h"
#include "base/utf8.h"
#include "hub/rate.h"
#include "hub/timers.h"
#include "hub/topic.h"
#include "loop/deadlines.h"
#include "proto/json.h"
#include <assert.h>
#include <errno.h>
#include <inttypes.h>

void peer_extra_free(peer *p)
{
    peer_extra *extra = p->extra;
    if (!extra)
        return;
    mem_free(extra->text);
    mem_free(extra->carried);
    mem_free(extra->subject);
    mem_free(extra->subprotocol);
    mem_free(extra->identity);
    mem_free(extra);
    p->extra = NULL;
}

static void enqueue(peer_queue *q, peer *p)
{
    if (q->first)
        q->last->next_marked = p;
    else
        q->first = p;
    q->last = p;
}

/* Not being in it is fine. */
static void drop_from(peer_queue *q, const peer *p)
{
    peer *before = NULL;
    for (peer *one = q->first; one; before = one, one = one->next_marked) {
        if (one != p)
            continue;
        if (before)
            before->next_marked = one->next_marked;
        else
            q->first = one->next_marked;
        if (q->last == one)
            q->last = before;
        return;
    }
}

void peer_mark(peer *p)
{
    if (p->marked) {
        p->again = true;
        return;
    }
    p->marked = true;
    enqueue(&p->hub->marked, p);
    loop_defer(p->hub->loop, &p->hub->marked_task);
}

void peer_unmark(peer *p)
{
    if (!p->marked)
        return;
    p->marked = false;
    drop_from(&p->hub->marked, p);
    drop_from(&p->hub->looking_at, p);
    p->next_marked = NULL;
}

int peer_init(peer *p, hub *h, const peer_ops *ops, const peer_rules *rules)
{
    p->hub = h;
    p->ops = ops;
    p->rules = rules;
    p->opened_ms = h->loop->now_ms;
    if (!peer_rate_init(p))
        p->id = slots_put(h->table, rules->carrier ? SLOT_CARRIER : SLOT_PEER, p);
    if (!p->id) {
        peer_rate_done(p);
        peer_extra_free(p);
        return -ENOMEM;
    }
    h->n_peers++;
    if (!p->gated)
        peer_admit(p);
    return 0;
}

void peer_admit(peer *p)
{
    p->gated = false;
    p->hub->counts.traffic[p->ops->transport].n_peers++;
    peer_mark(p); /* `open` comes at the end of this turn at the latest */
}

/* Gives it back if there is nothing left in it. */
static void tidy_extra(peer *p)
{
    static const peer_extra none;
    if (p->extra && memcmp(p->extra, &none, sizeof none) == 0)
        peer_extra_free(p);
}

void peer_open(peer *p)
{
    if (p->opened || p->leaving || p->gated)
        return;
    p->opened = true;
    if (p->rules->open)
        p->rules->open(peer_handle(p));
    if (p->leaving) /* and the text is the reason already */
        return;
    if (!peer_text(p))
        return;
    mem_free(p->extra->text);
    p->extra->text = NULL;
    tidy_extra(p);
}

int peer_keep_text(peer *p, str text)
{
    char *copy = peer_extra_of(p) ? mem_copy_text(text.at, text.len) : NULL;
    if (p->extra) {
        mem_free(p->extra->text);
        p->extra->text = copy;
    }
    return copy ? 0 : -ENOMEM;
}

/* ------------------------------------------------------------------------------------------------------------ counting */

/* The counts are 32 bits wide, as clients with more are few. Without memory for those what has no room is not counted. */
static RARE void carry(peer *p, const peer_counts *more)
{
    peer_counts sum = peer_counted(p);
    if (peer_extra_of(p) && !p->extra->carried)
        p->extra->carried = mem_new(sizeof sum);
    if (!p->extra || !p->extra->carried)
        return;
    sum.messages_in += more->messages_in;
    sum.messages_out += more->messages_out;
    sum.bytes_in += more->bytes_in;
    sum.bytes_out += more->bytes_out;
    *p->extra->carried = sum;
    p->messages_in = p->messages_out = p->bytes_in = p->bytes_out = 0;
}

peer_counts peer_counted(const peer *p)
{
    peer_counts all = p->extra && p->extra->carried ? *p->extra->carried : (peer_counts){0};
    all.messages_in += p->messages_in;
    all.messages_out += p->messages_out;
    all.bytes_in += p->bytes_in;
    all.bytes_out += p->bytes_out;
    return all;
}

/* False, and nothing is counted, when there is no room. */
static inline bool count_messages(uint32_t *messages, uint32_t *all_bytes, uint32_t n, size_t bytes)
{
    uint32_t n_sum, sum;
    if (__builtin_add_overflow(*all_bytes, bytes, &sum) || __builtin_add_overflow(*messages, n, &n_sum))
        return false;
    *all_bytes = sum;
    *messages = n_sum;
    return true;
}

static inline void count_in(peer *p, size_t bytes)
{
    if (!count_messages(&p->messages_in, &p->bytes_in, 1, bytes))
        carry(p, &(peer_counts){.messages_in = 1, .bytes_in = bytes});
    hub_count_in(&p->hub->counts, p->ops->transport, bytes);
    if (__builtin_expect(p->extra != NULL, 0) && p->extra->rate)
        peer_rate_count(p, bytes);
}

void peer_count_in(peer *p, size_t bytes)
{
    count_in(p, bytes);
}

void peer_receive(peer *p, const weft_message *message)
{
    if (p->leaving)
        return;
    count_in(p, message->data.len);
    const peer_handler *handler = p->handler;
    if (handler && handler->ops->receive)
        handler->ops->receive(p, message);
    else if (!handler && p->rules->message)
        p->rules->message(peer_handle(p), message);
}

const char *transport_name(weft_transport transport)
{
    static const char *const names[] = {"other", "websocket", "sse", "stream", "long-poll", "engineio", "socketio"};
    return (size_t)transport < sizeof names / sizeof *names ? names[transport] : names[0];
}

/* One line for each peer, when it goes. */
static void log_leave(const peer *p, int code, str reason)
{
    const logger *log = p->hub->net->log;
    const char *limit = p->hub->limit;
    weft_peer_info who = {0};
    char words[LOG_QUOTED_BYTES];
    if (!log_wanted(log))
        return;
    peer_counts n = peer_counted(p);
    p->ops->about(p, &who);
    log_quote(reason, words);
    log_line(log, WEFT_LOG_INFO,
             "event=close transport=%s address=%s code=%d reason=\"%s\"%s%s%s messages_in=%" PRIu64
             " messages_out=%" PRIu64 " duration_ms=%" PRIu64,
             transport_name(who.transport), who.address, code, words, limit ? " limit=\"" : "", limit ? limit : "",
             limit ? "\"" : "", n.messages_in, n.messages_out, p->hub->loop->now_ms - p->opened_ms);
}

/* Without memory there is none. */
static void take_reason(peer *p, str reason)
{
    if (reason.len) {
        peer_keep_text(p, reason);
    } else if (peer_text(p)) {
        mem_free(p->extra->text);
        p->extra->text = NULL;
    }
}

void peer_leave(peer *p, int code, str reason)
{
    assert(!p->leaving);
    p->leaving = true;
    p->close_code = (uint16_t)code;
    take_reason(p, reason);
    if (p->opened && !p->rules->carrier) {
        hub_count_close(&p->hub->counts, code);
        log_leave(p, code, reason);
    }
    if (!p->rules->carrier) /* else whom it carries tells of it */
        p->hub->limit = NULL;
    hub_unsubscribe_all(p->hub, p);
    if (p->handler && p->handler->ops->left)
        p->handler->ops->left(p);
    p->hub->limit = NULL;
    p->handler = NULL;
    peer_mark(p);
}

/* The end: `close` is called once, and only for a peer whose `open` was. */
static void peer_finish(peer *p)
{
    if (p->opened && p->rules->close)
        p->rules->close(peer_handle(p), p->close_code, str_from(peer_text(p)));
    peer_timers_drop(p);
    peer_rate_done(p);
    uint32_t due = deadline_take(p->hub->table, p->id); /* of a connection that is closing it is still to come */
    slots_remove(p->hub->table, p->id);
    p->hub->n_peers--;
    if (!p->gated)
        p->hub->counts.traffic[p->ops->transport].n_peers--;
    peer_extra_free(p);
    p->marked = false;
    p->id = 0;
    if (p->ops->free(p))
        return;
    p->id = slots_put(p->hub->table, SLOT_CLOSING, p);
    if (!p->id)
        p->ops->abort(p);
    else
        deadline_put(p->hub->table, p->id, due);
}

void peer_due(void *value)
{
    peer *p = value;
    p->ops->due(p);
}

peer_extra *peer_extra_of(peer *p)
{
    if (!p->extra)
        p->extra = mem_zero(sizeof *p->extra);
    return p->extra;
}

void peer_keep_subject(peer *p, const sink *from)
{
    char text[sizeof((weft_peer_info *)NULL)->client_subject];
    size_t len = from->ops->client_subject(from, text, sizeof text);
    if (len > 0 && len < sizeof text && peer_extra_of(p)) /* a part of one may name somebody else */
        p->extra->subject = mem_copy_text(text, len);
}

void peer_ended(peer *p)
{
    if (p->id)
        slots_remove(p->hub->table, p->id);
}

static bool queue_is_low(const peer *p)
{
    return p->ops->queued(p) <= p->rules->max_queued_bytes / 2;
}

static void peer_drained(peer *p)
{
    peer_stop_reading(p, PAUSED_BY_QUEUE, false);
    if (!p->want_drain)
        return;
    p->want_drain = false;
    if (p->rules->drain)
        p->rules->drain(peer_handle(p));
}

/* What a protocol answers needs room, but does not wait behind what lags as a program's sends do: its client, which may never catch up, is
 * listened to. */
static void listen_again(peer *p)
{
    if (p->handler && p->stop_reading & PAUSED_BY_QUEUE && queue_is_low(p))
        peer_stop_reading(p, PAUSED_BY_QUEUE, false);
}

static void open_serve_drain(peer *p)
{
    peer_open(p);
    if (!p->leaving)
        listen_again(p); /* before it is served, which fills the queue again */
    if (!p->leaving && p->n_lagging)
        hub_serve_lagging(p->hub, p);
    if (!p->leaving && (p->want_drain || p->stop_reading & PAUSED_BY_QUEUE)) {
        if (queue_is_low(p) && !p->n_lagging)
            peer_drained(p);
        else
            p->ops->notify(p);
    }
}

/* What peer_mark() says. The peer may be gone afterwards. */
static void peer_turn(peer *p)
{
    p->marked = true; /* so that it is in no queue when it is freed */
    p->again = false;
    open_serve_drain(p);
    bool waits = p->leaving && p->ops->close_waits && p->ops->close_waits(p);
    if (p->leaving && !waits) {
        peer_finish(p);
        return;
    }
    p->marked = false;
    if (p->again || waits)
        peer_mark(p);
}

static peer *dequeue(peer_queue *q)
{
    peer *p = q->first;
    if (p) {
        q->first = p->next_marked;
        p->next_marked = NULL;
    }
    return p;
}

void peers_task(loop_task *task)
{
    hub *h = CONTAINER(task, hub, marked_task);
    h->looking_at = h->marked; /* who is marked from here on waits for the next round */
    h->marked = (peer_queue){0};
    for (peer *p; (p = dequeue(&h->looking_at)) != NULL;) {
        p->marked = false;
        if (p->ops->turn)
            p->ops->turn(p);
        else
            peer_turn(p);
    }
}

void peer_sent(peer *p)
{
    if (p->leaving)
        return;
    if (p->handler && p->handler->ops->sent)
        p->handler->ops->sent(p);
    peer_mark(p);
}

void peer_stop_reading(peer *p, uint8_t why, bool stop)
{
    uint8_t before = p->stop_reading;
    p->stop_reading = stop ? before | why : before & (uint8_t)~why;
    if (!before != !p->stop_reading && !p->leaving)
        p->ops->pause(p);
}

static void tell_limit(peer *p, limit_id limit)
{
    net *n = p->hub->net;
    weft_peer_info who = {0};
    if (!log_wanted(n->log) || !limit_tell(&n->limits, limit, n->loop->now_ms))
        return;
    p->ops->about(p, &who);
    log_line(n->log, WEFT_LOG_INFO, "event=limit transport=%s address=%s limit=\"%s\"", transport_name(who.transport),
             who.address, limit_name(limit));
}

void peer_reached(peer *p, limit_id limit)
{
    limit_count(&p->hub->net->limits, limit);
    tell_limit(p, limit);
}

limit_id peer_refused(peer *p)
{
    limit_id limit = p->hub->limit == limit_name(LIMIT_TOPICS) ? LIMIT_TOPICS : LIMIT_SUBSCRIPTIONS;
    p->hub->limit = NULL; /* is told here, and not with whoever leaves next */
    tell_limit(p, limit);
    return limit;
}

/* The program has to wait for `drain`, and what the peer sends meanwhile waits in its socket. */
static RARE void peer_await_room(peer *p)
{
    if (!p->want_drain)
        peer_reached(p, LIMIT_QUEUED_BYTES);
    p->want_drain = true;
    peer_stop_reading(p, PAUSED_BY_QUEUE, true);
    p->ops->notify(p);
}

int peer_queued_result(peer *p)
{
    if (p->ops->queued(p) < p->rules->max_queued_bytes)
        return 0;
    peer_await_room(p);
    return WEFT_QUEUED;
}

static RARE int send_json(peer *p, const weft_message *message, int64_t compact_len)
{
    weft_message compact = *message;
    if ((size_t)compact_len == message->data.len)
        return p->ops->send(p, message);
    size_t block_bytes;
    char *text = pool_get(&p->hub->loop->blocks, (size_t)compact_len + 1, &block_bytes);
    if (!text)
        return -ENOMEM;
    compact.data = (str){text, json_compact(message->data, text)};
    int result = p->ops->send(p, &compact);
    pool_put(&p->hub->loop->blocks, text, block_bytes);
    return result;
}

static int send_checked(peer *p, const weft_message *message)
{
    int64_t compact_len;
    switch (message->kind) {
    case WEFT_TEXT:
        if (!hub_knows_text(p->hub, message->data) && !utf8_valid(message->data.at, message->data.len))
            return WEFT_E_UTF8;
        return p->ops->send(p, message);
    case WEFT_JSON:
        compact_len = json_check(message->data);
        return compact_len < 0 ? WEFT_E_JSON : send_json(p, message, compact_len);
    case WEFT_BINARY:
        return p->ops->send(p, message);
    }
    return WEFT_E_INVALID;
}

static inline int may_send(peer *p)
{
    if (p->leaving)
        return WEFT_E_CLOSED;
    hub_catch_up(p->hub, p);
    if (p->leaving) /* no memory to catch up with */
        return -ENOMEM;
    if (!p->n_lagging && p->ops->queued(p) < p->rules->max_queued_bytes)
        return 0;
    peer_await_room(p);
    return WEFT_E_FULL; /* while it lags too: what was published before comes first */
}

int peer_may_send(peer *p)
{
    return may_send(p);
}

static inline void count_out(peer *p, uint32_t n, size_t bytes)
{
    if (!count_messages(&p->messages_out, &p->bytes_out, n, bytes))
        carry(p, &(peer_counts){.messages_out = n, .bytes_out = bytes});
    hub_count_out(&p->hub->counts, p->ops->transport, n, bytes);
}

void peer_count_out(peer *p, uint32_t n, size_t bytes)
{
    count_out(p, n, bytes);
}

int peer_send(peer *p, const weft_message *message)
{
    int result = may_send(p);
    if (result)
        return result;
    result = send_checked(p, message);
    if (result == -ENOMEM)
        peer_abort(p);
    if (result)
        return result;
    count_out(p, 1, message->data.len);
    return peer_queued_result(p);
}

void peer_rename_close(peer *p, int code, str reason)
{
    peer_keep_text(p, reason);
    p->close_code = (uint16_t)code;
}

int peer_close(peer *p, int code, str reason)
{
    if (p->leaving)
        return WEFT_E_CLOSED;
    hub_catch_up(p->hub, p);
    if (p->leaving) /* no memory to catch up with */
        return 0;
    peer_leave(p, code, reason);
    p->ops->close(p, code, reason);
    return 0;
}

void peer_abort(peer *p)
{
    if (p->leaving)
        return;
    peer_leave(p, 1006, (str){NULL, 0});
    p->ops->abort(p);
}
