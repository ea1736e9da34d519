/**
 * A hub whose peers are scripted: their transport writes down what it is told, its queue drains when the test says so, and
 * it runs out of memory on demand. What a test holds of a peer is a `client`, which outlives it; the transport's own struct
 * is freed as a real one is, so that the sanitizers see a late use.
 */
#ifndef WEFT_TESTS_HUB_SCRIPTED_H
#define WEFT_TESTS_HUB_SCRIPTED_H

#include "support/check.h"

#include "hub/timers.h"
#include "hub/topic.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { LOG_BYTES = 1024, DEFAULT_LIMIT = 1000, MAX_RULES = 16 };

typedef struct client client;

/* One message that waits to be sent. */
typedef struct {
    chunk *image; /* NULL for a direct send */
    size_t left;
} piece;

/* What begins with a peer. */
typedef struct {
    peer peer;
    client *client;
    piece *pieces;
    size_t first, n, cap;
    size_t queued;
    bool notify, ended;
    bool released; /* free() was called: its connection alone is left */
} scripted;

struct client {
    scripted *line; /* NULL once it was freed */
    weft_peer handle;
    client *next;
    char wire[LOG_BYTES];                               /* what was put on the wire: "m1 m2 close:1000:why abort " */
    char told[LOG_BYTES];                               /* which callbacks came: "open hello drain close:1000:why " */
    void (*heard)(client *c, str data);                 /* instead of writing messages down */
    void (*missed)(client *c, topic *t, uint64_t next); /* instead of writing gaps down */
    void (*act)(client *c, const char *what);           /* inside each callback: "open", "message", "drain", "close" */
    size_t n_wire;                                      /* messages put on the wire */
    size_t n_gaps;                                      /* that it was told of */
    size_t fail_in; /* the n-th message from now finds no memory, and all after it; 0: none */
    int n_pauses;
    bool reading, opened, closed;
    bool stays;       /* its connection outlives it */
    bool swallows;    /* nothing is ever queued */
    bool ends;        /* its connection turns out to be over as the next message is queued */
    bool ends_at_gap; /* or as it is told of a gap */
    uint32_t index;   /* for the test */
};

typedef struct {
    loop loop;
    net net;
    slots table;
    hub hub;
    topic_rule rules[MAX_RULES];
    const topic_rule *first_rule;
    client *clients;
    size_t n_images, n_deliveries;
    int calls;        /* under way: no callback may come inside one */
    uint64_t burn_ns; /* what each delivery takes */
    bool defers;      /* what is published waits for the end of the turn, or for what begins it before */
    bool allocates;   /* each write to a transport, as a queue that grows */
} scripted_stage;

/* Tests of several loops have a stage for each, and say which one they are on. */
#ifndef N_STAGES
#define N_STAGES 1
#endif

static scripted_stage stages[N_STAGES], *current = stages;
#define stage (*current)

/* ---- a clock that stands still until a test puts it forward, so that nothing depends on how busy the machine is ---- */

static uint64_t clock_ns = 1000000000000;

int clock_gettime(clockid_t id, struct timespec *ret_now)
{
    (void)id;
    *ret_now = (struct timespec){(time_t)(clock_ns / 1000000000), (long)(clock_ns % 1000000000)};
    return 0;
}

static inline void pass_ms(uint64_t ms)
{
    clock_ns += ms * 1000000;
}

/* ---- what was seen ---- */

static inline void __attribute__((format(printf, 2, 3))) put_down(char *log, const char *format, ...)
{
    size_t len = strlen(log);
    va_list arguments;
    va_start(arguments, format);
    int more = vsnprintf(log + len, LOG_BYTES - len, format, arguments);
    va_end(arguments);
    assert_true(more >= 0 && len + (size_t)more < LOG_BYTES);
}

/* Compares what was written since the last look, and forgets it. */
static inline void assert_log(char *log, const char *expected)
{
    assert_string_equal(log, expected);
    log[0] = '\0';
}

/* ---- the transport ---- */

static inline scripted *scripted_of(const peer *p)
{
    return (scripted *)(uintptr_t)p;
}

static inline bool runs_out(client *c)
{
    if (!c->fail_in)
        return false;
    if (c->fail_in > 1) {
        c->fail_in--;
        return false;
    }
    return true;
}

static inline bool no_memory_now(void)
{
    if (!stage.allocates)
        return false;
    void *block = mem_new(1);
    mem_free(block);
    return !block;
}

static inline void push(scripted *s, size_t bytes, chunk *image)
{
    if (s->n == s->cap) {
        s->cap = s->cap ? s->cap * 2 : 8;
        s->pieces = realloc(s->pieces, s->cap * sizeof *s->pieces);
        assert_non_null(s->pieces);
    }
    s->pieces[s->n++] = (piece){image, bytes};
    s->queued += bytes;
}

/* Messages are long by dots behind their name: "m1......" is written down as m1. */
static inline int name_len(str data)
{
    const char *dot = data.len ? memchr(data.at, '.', data.len) : NULL;
    return (int)(dot ? (size_t)(dot - data.at) : data.len);
}

static inline int take(scripted *s, str data, chunk *image)
{
    client *c = s->client;
    assert_false(s->ended);
    assert_false(s->peer.leaving);
    if (runs_out(c) || no_memory_now())
        return -ENOMEM;
    if (!c->swallows)
        push(s, data.len, image ? chunk_ref(image) : NULL);
    c->n_wire++;
    if (c->heard)
        c->heard(c, data);
    else
        put_down(c->wire, "%.*s ", name_len(data), data.at);
    return 0;
}

static inline int scripted_send(peer *p, const weft_message *message)
{
    return take(scripted_of(p), message->data, NULL);
}

static inline int scripted_deliver(peer *p, topic *t, uint64_t offset)
{
    assert_true(offset >= t->first && offset < t->head);
    str data = blob_data(topic_message_at(t, offset)->body);
    chunk *image = topic_image(t, offset, WIRE_WEBSOCKET);
    clock_ns += stage.burn_ns;
    stage.n_deliveries++;
    if (scripted_of(p)->client->ends) {
        peer_leave(p, 1006, (str){NULL, 0});
        return 0;
    }
    if (!image) {
        image = chunk_new(&stage.loop.blocks, data.len);
        if (!image)
            return -ENOMEM;
        memcpy(image->bytes, data.at, data.len);
        image->len = data.len;
        topic_keep_image(t, offset, WIRE_WEBSOCKET, image);
        stage.n_images++;
    }
    assert_true(str_equal((str){image->bytes, image->len}, data));
    return take(scripted_of(p), data, image);
}

/* Written down as the number of the cursor that it goes on after. */
static inline int scripted_gap(peer *p, topic *t, uint64_t next)
{
    client *c = scripted_of(p)->client;
    assert_false(scripted_of(p)->ended);
    assert_false(p->leaving);
    assert_true(next >= t->first && next <= t->head);
    if (runs_out(c) || no_memory_now())
        return -ENOMEM;
    if (c->ends_at_gap) {
        peer_leave(p, 1006, (str){NULL, 0});
        return 0;
    }
    c->n_gaps++;
    if (c->missed)
        c->missed(c, t, next);
    else if (!c->heard)
        put_down(c->wire, "gap:%u ", (unsigned)next);
    return 0;
}

static inline int scripted_ping(peer *p, str payload)
{
    put_down(scripted_of(p)->client->wire, "ping:%.*s ", (int)payload.len, payload.at);
    return 0;
}

static inline void scripted_close(peer *p, int code, str reason)
{
    assert_true(p->leaving);
    assert_false(scripted_of(p)->ended);
    put_down(scripted_of(p)->client->wire, "close:%d:%.*s ", code, (int)reason.len, reason.at);
}

static inline void scripted_forget_queue(scripted *s)
{
    for (; s->first < s->n; s->first++)
        chunk_unref(&stage.loop.blocks, s->pieces[s->first].image);
    s->queued = 0;
}

static inline void scripted_delete(scripted *s)
{
    scripted_forget_queue(s);
    s->client->line = NULL;
    free(s->pieces);
    free(s);
}

static inline void scripted_abort(peer *p)
{
    scripted *s = scripted_of(p);
    assert_true(p->leaving);
    assert_false(s->ended);
    s->ended = true;
    scripted_forget_queue(s);
    put_down(s->client->wire, "abort ");
    if (s->released) {
        peer_ended(p);
        scripted_delete(s);
    }
}

static inline void scripted_pause(peer *p)
{
    client *c = scripted_of(p)->client;
    assert_false(p->leaving);
    c->reading = !p->stop_reading;
    c->n_pauses++;
}

static inline size_t scripted_queued(const peer *p)
{
    return scripted_of(p)->queued;
}

static inline void scripted_notify(peer *p)
{
    assert_false(scripted_of(p)->ended);
    scripted_of(p)->notify = true;
}

static inline void scripted_about(const peer *p, weft_peer_info *ret_info)
{
    (void)p;
    ret_info->transport = WEFT_TRANSPORT_WEBSOCKET;
}

static inline bool scripted_free(peer *p)
{
    scripted *s = scripted_of(p);
    s->released = true;
    if (s->client->stays && !s->ended)
        return false;
    scripted_delete(s);
    return true;
}

static const peer_ops scripted_ops = {
    .transport = WEFT_TRANSPORT_WEBSOCKET,
    .send = scripted_send,
    .deliver = scripted_deliver,
    .gap = scripted_gap,
    .ping = scripted_ping,
    .close = scripted_close,
    .abort = scripted_abort,
    .pause = scripted_pause,
    .queued = scripted_queued,
    .notify = scripted_notify,
    .about = scripted_about,
    .free = scripted_free,
};

/* ---- the program's callbacks ---- */

static inline client *client_of(weft_peer handle)
{
    peer *p = slots_get(&stage.table, handle.id, SLOT_PEER);
    assert_non_null(p);
    return scripted_of(p)->client;
}

static inline void act(client *c, const char *what)
{
    if (c->act)
        c->act(c, what);
}

static inline void on_open(weft_peer handle)
{
    client *c = client_of(handle);
    assert_int_equal(stage.calls, 0);
    assert_false(c->opened);
    c->opened = true;
    put_down(c->told, "open ");
    act(c, "open");
}

static inline void on_message(weft_peer handle, const weft_message *message)
{
    client *c = client_of(handle);
    assert_int_equal(stage.calls, 0);
    assert_true(c->opened && !c->closed);
    put_down(c->told, "%.*s ", (int)message->data.len, message->data.at);
    act(c, "message");
}

static inline void on_drain(weft_peer handle)
{
    client *c = client_of(handle);
    assert_int_equal(stage.calls, 0);
    assert_true(c->opened && !c->closed);
    put_down(c->told, "drain ");
    act(c, "drain");
}

static inline void on_close(weft_peer handle, int code, weft_str reason)
{
    client *c = client_of(handle);
    assert_int_equal(stage.calls, 0);
    assert_true(c->opened && !c->closed);
    c->closed = true;
    put_down(c->told, "close:%d:%.*s ", code, (int)reason.len, reason.at);
    act(c, "close");
}

static const peer_rules usual_rules = {
    .open = on_open,
    .message = on_message,
    .drain = on_drain,
    .close = on_close,
    .max_queued_bytes = DEFAULT_LIMIT,
};

/* ---- the stage ---- */

static inline int stage_init(void)
{
    stage = (scripted_stage){0};
    int error = loop_init(&stage.loop, current);
    if (error)
        return error;
    stage.net.loop = &stage.loop;
    error = slots_init(&stage.table, stage.loop.index);
    if (!error)
        error = hub_init(&stage.hub, &stage.net, &stage.table, NULL, &stage.first_rule);
    return error;
}

static inline void turn(void)
{
    assert_int_equal(loop_step(&stage.loop, 0), 0);
}

static inline void later(uint64_t ms)
{
    pass_ms(ms);
    turn();
}

/* A client with limits of its own; NULL when there is no memory. */
static inline client *client_new(const peer_rules *rules)
{
    client *c = calloc(1, sizeof *c);
    scripted *line = calloc(1, sizeof *line);
    assert_true(c && line);
    c->line = line;
    c->reading = true;
    line->client = c;
    c->next = stage.clients;
    stage.clients = c;
    if (peer_init(&line->peer, &stage.hub, &scripted_ops, rules)) {
        scripted_delete(line);
        return NULL;
    }
    c->handle = peer_handle(&line->peer);
    return c;
}

/* An open client. */
static inline client *guest(void)
{
    client *c = client_new(&usual_rules);
    assert_non_null(c);
    peer_open(&c->line->peer);
    assert_log(c->told, "open ");
    return c;
}

/* The connection of a client that stayed is over. */
static inline void end_connection(client *c)
{
    peer_ended(&c->line->peer);
    scripted_delete(c->line);
}

/* Nobody is there: what a topic has left is its history. */
static inline void assert_only_history(const topic *t)
{
    assert_int_equal(t->n_subscribers + t->n_waiters + t->n_lagging + t->holds, 0);
    assert_int_equal(t->n_images, 0);
    assert_true(t->idling && !list_linked(&t->idle));
    assert_true(t->head - t->first <= t->options.history_messages && t->bytes <= t->options.history_bytes);
    assert_true(t->first < t->head && t->options.history_age_ms > TOPIC_LINGER_MS);
}

/* Everybody goes; then nothing may be left but history that is to be kept for longer than topics linger. */
static inline void stage_done(void)
{
    for (client *c = stage.clients; c; c = c->next)
        if (c->line)
            peer_abort(&c->line->peer);
    turn();
    for (client *c = stage.clients, *next; c; c = next) {
        next = c->next;
        assert_true(c->opened == c->closed);
        if (c->line)
            end_connection(c);
        free(c);
    }
    assert_int_equal(stage.hub.n_peers, 0);
    hub_timers_drop(&stage.hub);
    pass_ms(TOPIC_LINGER_MS);
    turn();
    for (topic *t = NULL; (t = hub_next_topic(&stage.hub, t)) != NULL;)
        assert_only_history(t);
    assert_true(list_empty(&stage.hub.unfinished) && list_empty(&stage.hub.waking) && list_empty(&stage.hub.idle));
    hub_done(&stage.hub);
    slots_done(&stage.table);
    loop_done(&stage.loop);
}

static inline int stage_start(void **state)
{
    (void)state;
    return stage_init();
}

static inline int stage_stop(void **state)
{
    (void)state;
    stage_done();
    return 0;
}

/* Options for topics that match; the rule added first counts. */
static inline void configure(const char *pattern, weft_topic_options options)
{
    size_t n = 0;
    for (const topic_rule *rule = stage.first_rule; rule; rule = rule->next)
        n++;
    assert_true(n < MAX_RULES);
    stage.rules[n] = (topic_rule){.pattern = (char *)(uintptr_t)pattern, .options = options};
    if (n)
        stage.rules[n - 1].next = &stage.rules[n];
    else
        stage.first_rule = &stage.rules[0];
}

/* ---- what a program does ---- */

static inline int send_kind(client *c, weft_kind kind, str data)
{
    stage.calls++;
    int result = peer_send(&c->line->peer, &(weft_message){.kind = kind, .data = data});
    stage.calls--;
    return result;
}

static inline int say(client *c, const char *text)
{
    return send_kind(c, WEFT_TEXT, str_from(text));
}

static inline int hang_up(client *c, int code, const char *reason)
{
    stage.calls++;
    int result = peer_close(&c->line->peer, code, str_from(reason));
    stage.calls--;
    return result;
}

static inline void cut(client *c)
{
    stage.calls++;
    peer_abort(&c->line->peer);
    stage.calls--;
}

static inline int subscribe_since(client *c, const char *name, since from, subscribed *ret_done)
{
    stage.calls++;
    int result = hub_subscribe(&stage.hub, &c->line->peer, str_from(name), from, ret_done);
    stage.calls--;
    return result;
}

static inline int subscribe(client *c, const char *name)
{
    return subscribe_since(c, name, (since){.from = SINCE_NOW}, NULL);
}

static inline void unsubscribe(client *c, const char *name)
{
    stage.calls++;
    hub_unsubscribe(&stage.hub, &c->line->peer, str_from(name));
    stage.calls--;
}

/** What was published reaches its subscribers at once, and not at the end of the turn, so that a test sees what each message does. */
static inline void reach_subscribers(void)
{
    if (!stage.defers)
        stage.hub.fan_out.run(&stage.hub.fan_out);
}

static inline int publish_data(const char *name, str data, uint64_t except)
{
    blob *body = blob_new(&stage.loop.blocks, WEFT_TEXT, (str){NULL, 0}, data);
    if (!body)
        return -ENOMEM;
    stage.calls++;
    int result = hub_publish(&stage.hub, str_from(name), body, except, NULL);
    reach_subscribers();
    stage.calls--;
    return result;
}

static inline int publish_told(const char *name, const char *text, publication *ret_done)
{
    blob *body = blob_new(&stage.loop.blocks, WEFT_TEXT, (str){NULL, 0}, str_from(text));
    if (!body)
        return -ENOMEM;
    stage.calls++;
    int result = hub_publish(&stage.hub, str_from(name), body, 0, ret_done);
    reach_subscribers();
    stage.calls--;
    return result;
}

static inline int publish(const char *name, const char *text)
{
    return publish_data(name, str_from(text), 0);
}

/* "m1" made as long as asked with dots; valid until the next call. */
static inline str lengthen(const char *text, size_t len)
{
    static char bytes[256 * 1024];
    assert_true(strlen(text) <= len && len < sizeof bytes);
    memset(bytes, '.', len);
    memcpy(bytes, text, strlen(text));
    return (str){bytes, len};
}

static inline int publish_long(const char *name, const char *text, size_t len)
{
    return publish_data(name, lengthen(text, len), 0);
}

/* "m1", "m2", … of so many bytes, or of what the name takes. */
static inline void publish_numbered(const char *name, int from, int to, size_t len)
{
    for (int i = from; i <= to; i++) {
        char text[16];
        snprintf(text, sizeof text, "m%d", i);
        assert_int_equal(publish_long(name, text, len < strlen(text) ? strlen(text) : len), 0);
    }
}

static inline int say_long(client *c, const char *text, size_t len)
{
    return send_kind(c, WEFT_BINARY, lengthen(text, len));
}

/* ---- what a network does ---- */

static inline void receive(client *c, const char *text)
{
    weft_message message = {.kind = WEFT_TEXT, .data = str_from(text)};
    peer_open(&c->line->peer);
    peer_receive(&c->line->peer, &message);
}

/* So many bytes of the queue go out; the hub hears of it if it asked. */
static inline void drain(client *c, size_t bytes)
{
    scripted *s = c->line;
    size_t went = 0;
    while (bytes && s->first < s->n) {
        piece *p = &s->pieces[s->first];
        size_t part = bytes < p->left ? bytes : p->left;
        p->left -= part;
        bytes -= part;
        s->queued -= part;
        went += part;
        if (p->left)
            break;
        chunk_unref(&stage.loop.blocks, p->image);
        s->first++;
    }
    if (s->first == s->n)
        s->first = s->n = 0;
    if (went && s->notify) {
        s->notify = false;
        peer_sent(&s->peer);
    }
}

/* Drains and turns until nothing is queued or lags. */
static inline void drain_whole(client *c)
{
    for (int i = 0; i < 10000 && c->line && c->line->queued; i++) {
        drain(c, SIZE_MAX);
        turn();
    }
}

static inline topic *topic_named(const char *name)
{
    return hub_find_topic(&stage.hub, str_from(name));
}

/* So many messages were dropped by the policy, and none by others. */
static inline void assert_dropped(weft_slow_policy policy, uint64_t n)
{
    for (int i = 0; i <= WEFT_SLOW_LATEST; i++)
        assert_int_equal(stage.hub.dropped[i], i == (int)policy ? n : 0);
}

#endif
