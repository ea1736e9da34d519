#include "transport/poll.h"

#include "base/mem.h"
#include "http/conditions.h"
#include "hub/mirror.h"
#include "proto/form.h"
#include "transport/encoding.h"
#include "transport/topics_route.h"
#include <stdio.h>

enum {
    FIELDS_BYTES = CURSOR_BYTES + 64,
    TAIL_BYTES = CURSOR_BYTES + 48,
    EARLY_TAGS_BYTES = 8 * CURSOR_BYTES,
};

/* ------------------------------------------------------------------------------------------------ what is asked for */

str poll_asked(const weft_request *request, const char *name, char room[POLL_ASKED_BYTES])
{
    str raw = form_find(weft_request_query(request), str_from(name));
    if (!raw.at)
        return raw;
    return raw.len <= POLL_ASKED_BYTES ? (str){room, form_decode(raw, room)} : STR("-");
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* `25` or `0.5` in milliseconds, at most max_ms; -1 for anything else. */
static int64_t read_seconds(str text, uint32_t max_ms)
{
    uint64_t ms = 0, unit_ms = 100;
    size_t i = 0;
    for (; i < text.len && is_digit(text.at[i]); i++)
        if (ms <= max_ms)
            ms = ms * 10 + (uint64_t)(text.at[i] - '0') * 1000;
    bool whole = i > 0 && i == text.len;
    if (!whole && (i == 0 || text.at[i] != '.' || i + 1 == text.len))
        return -1;
    for (i += !whole; i < text.len; i++, unit_ms /= 10) {
        if (!is_digit(text.at[i]))
            return -1;
        ms += (uint64_t)(text.at[i] - '0') * unit_ms;
    }
    return ms < max_ms ? (int64_t)ms : max_ms;
}

int64_t poll_wait_ms(const weft_request *request, uint32_t max_ms)
{
    char room[POLL_ASKED_BYTES];
    str text = poll_asked(request, "wait", room);
    return text.at ? read_seconds(text, max_ms) : 0;
}

static since asked_since(const weft_request *request)
{
    char room[POLL_ASKED_BYTES];
    str text = weft_request_header(request, "Last-Event-ID");
    return since_read(text.at ? text : poll_asked(request, "since", room));
}

/* From where on a poll gets the topic. */
typedef struct {
    topic *topic;
    uint64_t next;
    bool gap;
} place;

static place place_of(topic *t, since from)
{
    place at = {.topic = t};
    at.next = topic_resume(t, from, &at.gap);
    return at;
}

static bool nothing_new(const place *at)
{
    return at->next == at->topic->head && !at->gap;
}

/* ------------------------------------------------------------------------------------------------------- the answer */

/* The answer that was built last. It goes at the end of the turn, so the polls that one publication wakes share it,
 * and a server that nobody polls keeps nothing. */
struct poll_memo {
    loop_task task;
    hub *hub;
    uint64_t epoch, next, head; /* what it is for; no two topics have an epoch in common */
    bool gap;
    uint64_t n_messages, data_bytes; /* that are in it */
    size_t fields_len;
    char fields[FIELDS_BYTES];
    chunk *body;
};

static void memo_drop(struct poll_memo *memo)
{
    memo->hub->polls = NULL;
    loop_undefer(memo->hub->loop, &memo->task);
    chunk_unref(&memo->hub->loop->blocks, memo->body);
    mem_free(memo);
}

static void memo_task(loop_task *task)
{
    memo_drop(CONTAINER(task, struct poll_memo, task));
}

static size_t put_message(char *at, const topic *t, uint64_t offset)
{
    char id[CURSOR_BYTES];
    message_text m = encoding_message(t, offset, id);
    return encoding_object.put(at, &m);
}

static size_t message_len(const topic *t, uint64_t offset)
{
    char id[CURSOR_BYTES];
    message_text m = encoding_message(t, offset, id);
    return encoding_object.len(&m);
}

/* The end of what fits into one answer, and its length with a comma each. */
static uint64_t end_of_answer(const place *at, size_t *ret_bytes)
{
    uint64_t end = at->next;
    *ret_bytes = 0;
    for (; end < at->topic->head && end - at->next < POLL_MAX_MESSAGES && *ret_bytes < POLL_MAX_BYTES; end++)
        *ret_bytes += message_len(at->topic, end) + 1;
    return end;
}

static size_t put_etag_fields(char ret_fields[FIELDS_BYTES], cursor at)
{
    char text[CURSOR_BYTES];
    int len = (int)cursor_put(at, text);
    return (size_t)snprintf(ret_fields, FIELDS_BYTES, "Vary: Accept\r\nCache-Control: no-cache\r\nETag: \"%.*s\"\r\n",
                            len, text);
}

static size_t put_tail(char ret_tail[TAIL_BYTES], cursor at, bool gap)
{
    char text[CURSOR_BYTES];
    int len = (int)cursor_put(at, text);
    return (size_t)snprintf(ret_tail, TAIL_BYTES, "],\"cursor\":\"%.*s\",\"gap\":%s}", len, text,
                            gap ? "true" : "false");
}

static chunk *build_body(const place *at, uint64_t end, size_t messages_bytes)
{
    const str head = STR("{\"messages\":[");
    topic *t = at->topic;
    char tail[TAIL_BYTES];
    size_t tail_len = put_tail(tail, topic_cursor_before(t, end), at->gap);
    chunk *body = chunk_new(&t->hub->loop->blocks, head.len + messages_bytes + tail_len);
    if (!body)
        return NULL;
    char *to = str_put(body->bytes, head);
    for (uint64_t offset = at->next; offset < end; offset++) {
        if (offset != at->next)
            *to++ = ',';
        to += put_message(to, t, offset);
    }
    body->len = (size_t)(str_put(to, (str){tail, tail_len}) - body->bytes);
    return body;
}

static bool memo_is_for(const struct poll_memo *memo, const place *at)
{
    const topic *t = at->topic;
    return memo && memo->epoch == t->epoch && memo->next == at->next && memo->head == t->head && memo->gap == at->gap;
}

static uint64_t data_bytes(const place *at, uint64_t end)
{
    uint64_t bytes = 0;
    for (uint64_t offset = at->next; offset < end; offset++)
        bytes += topic_message_at(at->topic, offset)->body->data_len;
    return bytes;
}

/* NULL: no memory. */
static struct poll_memo *memo_new(const place *at)
{
    topic *t = at->topic;
    hub *h = t->hub;
    size_t bytes;
    uint64_t end = end_of_answer(at, &bytes);
    struct poll_memo *memo = mem_new(sizeof *memo);
    chunk *body = memo ? build_body(at, end, bytes) : NULL;
    if (!body) {
        mem_free(memo);
        return NULL;
    }
    *memo = (struct poll_memo){
        .task.run = memo_task,
        .hub = h,
        .epoch = t->epoch,
        .next = at->next,
        .head = t->head,
        .gap = at->gap,
        .n_messages = end - at->next,
        .data_bytes = data_bytes(at, end),
        .body = body,
    };
    memo->fields_len = put_etag_fields(memo->fields, topic_cursor_before(t, end));
    if (h->polls)
        memo_drop(h->polls);
    h->polls = memo;
    loop_defer(h->loop, &memo->task);
    return memo;
}

static void count_answer(const exchange *e, const struct poll_memo *memo)
{
    hub_traffic *traffic = &memo->hub->counts.traffic[HUB_HTTP];
    if (e->head_only)
        return;
    traffic->messages_out += memo->n_messages;
    traffic->bytes_out += memo->data_bytes;
}

static void answer(exchange *e, const place *at)
{
    struct poll_memo *memo = at->topic->hub->polls;
    if (!memo_is_for(memo, at))
        memo = memo_new(at);
    if (!memo || buf_put(&e->fields, memo->fields, memo->fields_len)) {
        topics_refuse(e, 503, "the server is out of memory");
        return;
    }
    http_answer whole = {
        .status = 200,
        .type = STR("application/json"),
        .body = {memo->body->bytes, memo->body->len},
        .owner = memo->body,
    };
    count_answer(e, memo);
    exchange_answer(e, &whole);
}

/* One that asks for what came after an older place than the topic's cursor has not got what that stands for, whatever
 * its cache says. */
static bool may_be_known(const place *at, since from)
{
    return !at->gap && (at->next == at->topic->head || from.from == SINCE_START);
}

/* The topic's cursor as an ETag. */
static str put_etag(const topic *t, char ret_etag[CURSOR_BYTES + 2])
{
    size_t len = 1 + cursor_put(topic_cursor_before(t, t->head), ret_etag + 1);
    ret_etag[0] = ret_etag[len] = '"';
    return (str){ret_etag, len + 1};
}

/* The client has what the topic's cursor stands for. */
static bool is_known(const weft_request *request, const place *at, since from)
{
    char etag[CURSOR_BYTES + 2];
    if (!may_be_known(at, from) || !weft_request_header(request, "If-None-Match").at)
        return false;
    return conditions_check(request, &(representation){.etag = put_etag(at->topic, etag)}) == 304;
}

static void answer_known(exchange *e, const topic *t)
{
    char fields[FIELDS_BYTES];
    if (buf_put(&e->fields, fields, put_etag_fields(fields, topic_cursor_before(t, t->head))))
        topics_refuse(e, 503, "the server is out of memory");
    else
        exchange_answer(e, &(http_answer){.status = 304});
}

/* ---------------------------------------------------------------------------------------------------------- waiting */

/* Thousands of these wait at a time: with its exchange and connection each has to do with 512 bytes. */
typedef struct {
    waiter waiter;
    topic *topic;
    exchange *exchange;
} waiting_poll;

/* The exchange is gone afterwards, and the poll with it. */
static void answer_waiting(waiting_poll *p)
{
    topic *t = p->topic;
    place at = place_of(t, (since){SINCE_CURSOR, topic_cursor_before(t, p->waiter.next)});
    answer(p->exchange, &at);
}

static void poll_wake(waiter *w)
{
    answer_waiting(CONTAINER(w, waiting_poll, waiter));
}

/* Its time is over, or the server stops. */
static void poll_is_over(exchange *e)
{
    answer_waiting(e->held_state);
}

static void poll_forget(exchange *e)
{
    waiting_poll *p = e->held_state;
    loop *l = p->topic->hub->loop; /* the topic may go when nobody waits */
    topic_stop_waiting(&p->waiter);
    slabs_put(&l->places, p, sizeof *p);
}

static const held_ops waiting_ops = {.forget = poll_forget, .late = poll_is_over, .drain = poll_is_over};

static void wait_for(exchange *e, topic *t, uint32_t wait_ms)
{
    waiting_poll *p = slabs_get(&t->hub->loop->places, sizeof *p);
    if (!p) {
        topics_refuse(e, 503, "the server is out of memory");
        return;
    }
    *p = (waiting_poll){.waiter = {.next = t->head, .wake = poll_wake}, .topic = t, .exchange = e};
    topic_wait(t, &p->waiter);
    e->held = &waiting_ops;
    e->held_state = p;
    e->ops->wait(e, wait_ms);
}

/* ---------------------------------------------------------------------------------------------------- not ready yet */

/* A poll of a topic that is at home on another loop, and not ready on this one: few, and not for long. */
typedef struct {
    awaiter awaiter;
    exchange *exchange;
    uint64_t until_ms; /* it waits; 0: it does not */
    bool from_now;
    uint16_t tags_len;
    char tags[]; /* of If-None-Match: the request is gone when they are looked at */
} early_poll;

/* As conditions_check() compares them. */
static bool names_tag(str tags, str etag)
{
    str tag;
    while (http1_list_next(&tags, &tag)) {
        bool weak = str_begins_nocase(tag, STR("W/"));
        if (str_equal(tag, STR("*")) || str_equal(weak ? (str){tag.at + 2, tag.len - 2} : tag, etag))
            return true;
    }
    return false;
}

static bool is_known_early(const early_poll *p, const place *at, since from)
{
    char etag[CURSOR_BYTES + 2];
    return may_be_known(at, from) && names_tag((str){p->tags, p->tags_len}, put_etag(at->topic, etag));
}

static void early_forget(exchange *e)
{
    early_poll *p = e->held_state;
    topic_stop_awaiting(&p->awaiter);
    mem_free(p);
}

static void early_is_late(exchange *e)
{
    topics_refuse_for_now(e, "the topic is not ready yet");
}

static void early_drain(exchange *e)
{
    topics_refuse_for_now(e, "the server is stopping");
}

static const held_ops early_ops = {
    .forget = early_forget,
    .late = early_is_late,
    .drain = early_drain,
    .answers_half = true,
};

/* Of one that is to wait for a message: nobody waits for a client that has ended its side. */
static const held_ops early_waiting_ops = {.forget = early_forget, .late = early_is_late, .drain = early_drain};

/* The poll goes on as one that found the topic ready. Whoever asks from now on gets where that is by now. */
static void serve_early(early_poll *p, topic *t)
{
    exchange *e = p->exchange;
    uint64_t now_ms = t->hub->loop->now_ms;
    since from = p->from_now ? (since){.from = SINCE_NOW} : p->awaiter.from;
    place at = place_of(t, from);
    if (p->until_ms <= now_ms || !nothing_new(&at)) {
        if (!p->until_ms && is_known_early(p, &at, from))
            answer_known(e, t);
        else
            answer(e, &at);
        return;
    }
    uint32_t wait_ms = (uint32_t)(p->until_ms - now_ms);
    e->held = NULL;
    mem_free(p);
    wait_for(e, t, wait_ms);
}

static void early_ready(awaiter *a, topic *t, int error)
{
    early_poll *p = CONTAINER(a, early_poll, awaiter);
    exchange *e = p->exchange;
    if (error)
        topics_refuse_error(e, e->context, error);
    else
        serve_early(p, t);
}

/* Tags that are longer than a list of cursors would be are none of ours. */
static str asked_tags(const weft_request *request)
{
    str tags = weft_request_header(request, "If-None-Match");
    return tags.len <= EARLY_TAGS_BYTES ? tags : (str){NULL, 0};
}

static void await_topic(exchange *e, const weft_request *request, topic *t, uint32_t wait_ms)
{
    str tags = asked_tags(request);
    since from = asked_since(request);
    early_poll *p = mem_new(sizeof *p + tags.len);
    if (!p) {
        topics_refuse(e, 503, "the server is out of memory");
        return;
    }
    *p = (early_poll){
        .awaiter.ready = early_ready,
        .exchange = e,
        .until_ms = wait_ms ? t->hub->loop->now_ms + wait_ms : 0,
        .from_now = from.from == SINCE_NOW,
        .tags_len = (uint16_t)(wait_ms ? 0 : tags.len),
    };
    if (p->tags_len)
        memcpy(p->tags, tags.at, tags.len);
    topic_await(t, from, &p->awaiter);
    e->held = wait_ms ? &early_waiting_ops : &early_ops;
    e->held_state = p;
    e->ops->wait(e, TOPICS_ANSWER_MS);
}

/* ---------------------------------------------------------------------------------------------------------- serving */

void poll_serve(exchange *e, const weft_request *request, str name, uint32_t max_wait_ms)
{
    hub *h = e->context;
    topic *t;
    int64_t wait_ms = poll_wait_ms(request, max_wait_ms);
    if (wait_ms < 0) {
        topics_refuse(e, 400, "wait is a number of seconds, as 25 or 0.5");
        return;
    }
    int error = hub_topic(h, name, &t);
    if (error) {
        topics_refuse_error(e, h, error);
        return;
    }
    since from = asked_since(request);
    if (from.from == SINCE_NOW)
        wait_ms = 0;
    if (!topic_is_ready(t, from)) {
        await_topic(e, request, t, (uint32_t)wait_ms);
        return;
    }
    place at = place_of(t, from);
    if (wait_ms && nothing_new(&at))
        wait_for(e, t, (uint32_t)wait_ms);
    else if (!wait_ms && is_known(request, &at, from))
        answer_known(e, t);
    else
        answer(e, &at);
}
