/**
 * Clients of Socket.IO above an Engine.IO that is scripted: what a client is sent is written down, its queue drains when the test says so, and it runs out
 * of memory on demand. What a test holds of a client outlives it.
 */
#ifndef WEFT_TESTS_SOCKETIO_FIXTURE_H
#define WEFT_TESTS_SOCKETIO_FIXTURE_H

#include "support/check.h"

#include "transport/socketio.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#ifndef N_STAGES
#define N_STAGES 1
#endif

enum { LOG_BYTES = N_STAGES > 1 ? 32768 : 4096, LIMIT = 1000, SEEN_BYTES = 1 << 14 };

/** A client as the test has it. */
typedef struct {
    socketio_client *client; /* NULL once it has ended */
    char wire[LOG_BYTES];    /* "40{…} 42[…] <bin> close abort " */
    size_t queued;
    size_t fail_in; /* the n-th message from now finds no memory, and all after it; 0: none */
    int n_forgotten, n_notified;
    bool paused, unwritable;
} line;

typedef struct {
    loop loop;
    net net;
    slots table;
    hub hub;
    const topic_rule *rules;
    socketio_route *route;
    line *lines[64];
    uint32_t n_lines;
    char told[SEEN_BYTES];                             /* what callbacks were told */
    weft_peer latest;                                  /* told of last */
    int calls;                                         /* of ours under way: no callback may come inside one */
    void (*act)(socketio_socket *s, const char *what); /* inside each callback */
    void (*raw)(const weft_socketio_event *event);     /* likewise, of an event */
} socketio_stage;

/** One for each loop; `stage` is the one that the test is on. */
static socketio_stage stages[N_STAGES], *current = stages;
#define stage (*current)

static inline void put_down(char *log, size_t room, const char *format, ...) __attribute__((format(printf, 3, 4)));
static inline void put_down(char *log, size_t room, const char *format, ...)
{
    size_t len = strlen(log);
    va_list arguments;
    va_start(arguments, format);
    int more = vsnprintf(log + len, room - len, format, arguments);
    va_end(arguments);
    assert_true(more >= 0 && len + (size_t)more < room);
}

/** Compares what was written since the last look, and forgets it. */
static inline void assert_log(char *log, const char *expected)
{
    assert_string_equal(log, expected);
    log[0] = '\0';
}

/* ---- Engine.IO ---- */

static inline line *line_of(const engineio_session *s)
{
    const socketio_stage *where = CONTAINER(s->hub, socketio_stage, hub);
    for (uint32_t i = 0; i < where->n_lines; i++)
        if (where->lines[i]->client && &where->lines[i]->client->engine == s)
            return where->lines[i];
    fail_msg("a session that has ended was used");
    return NULL;
}

str engineio_end_reason(engineio_end end)
{
    static const char *const reasons[] = {"transport close", "transport error", "ping timeout",
                                          "parse error",     "forced close",    "server shutting down"};
    return str_from(reasons[end]);
}

int engineio_end_code(engineio_end end)
{
    static const int codes[] = {1006, 1006, 1006, 1002, 1000, 1001};
    return codes[end];
}

const char *engineio_settings_problem(const weft_engineio_settings *settings)
{
    (void)settings;
    return NULL;
}

int engineio_route_init(engineio_route *route, const weft_engineio_settings *settings)
{
    route->settings = *settings;
    route->settings.max_queued_bytes = LIMIT;
    route->settings.max_http_buffer_size = LIMIT;
    return 0;
}

void engineio_route_done(engineio_route *route)
{
    (void)route;
}

static inline int take(engineio_session *s, bool binary, str front, str body)
{
    line *l = line_of(s);
    if (l->fail_in && !--l->fail_in) {
        l->fail_in = 1;
        return -ENOMEM;
    }
    l->queued += front.len + body.len;
    put_down(l->wire, LOG_BYTES, "%s%.*s%.*s%s ", binary ? "<" : "4", (int)front.len, front.at ? front.at : "",
             (int)body.len, body.at ? body.at : "", binary ? ">" : "");
    return 0;
}

int engineio_send(engineio_session *s, bool binary, str front, str body)
{
    return take(s, binary, front, body);
}

static uint32_t n_images; /* made */

chunk *engineio_image_new(pool *blocks, bool binary, size_t len)
{
    chunk *image = chunk_new(blocks, ENGINEIO_ROOM + len);
    (void)binary;
    if (!image)
        return NULL;
    n_images++;
    image->len = ENGINEIO_ROOM + len;
    return image;
}

int engineio_send_image(engineio_session *s, bool binary, chunk *image)
{
    str data = {engineio_image_data(image), image->len - ENGINEIO_ROOM};
    return take(s, binary, data, (str){NULL, 0});
}

size_t engineio_queued(const engineio_session *s)
{
    return line_of(s)->queued;
}

bool engineio_writable(const engineio_session *s)
{
    return !line_of(s)->unwritable;
}

void engineio_notify(engineio_session *s)
{
    line_of(s)->n_notified++;
}

void engineio_pause(engineio_session *s, bool paused)
{
    s->paused = paused;
    line_of(s)->paused = paused;
}

static inline void end_line(line *l, engineio_end why)
{
    engineio_session *s = &l->client->engine;
    session_remove(s->hub, &s->registered);
    socketio_layer.ended(s, why);
    l->client = NULL;
}

void engineio_close(engineio_session *s, engineio_end why)
{
    put_down(line_of(s)->wire, LOG_BYTES, "close ");
    end_line(line_of(s), why);
}

void engineio_abort(engineio_session *s)
{
    put_down(line_of(s)->wire, LOG_BYTES, "abort ");
    end_line(line_of(s), ENGINEIO_FORCED_CLOSE);
}

const weft_request *engineio_request_of(engineio_session *s)
{
    (void)s;
    return NULL;
}

void engineio_forget_request(engineio_session *s)
{
    line_of(s)->n_forgotten++;
}

void engineio_about(const engineio_session *s, weft_peer_info *ret_info)
{
    (void)s;
    ret_info->transport = WEFT_TRANSPORT_ENGINEIO;
}

/* ---- callbacks that write down what they are told ---- */

static inline socketio_socket *socket_of(weft_peer handle)
{
    peer *p = slots_get(&stage.table, handle.id, SLOT_PEER);
    return p ? socketio_socket_of(p) : NULL;
}

#define TOLD(...)                                                                                                      \
    do {                                                                                                               \
        assert_int_equal(stage.calls, 0);                                                                              \
        put_down(stage.told, SEEN_BYTES, __VA_ARGS__);                                                                 \
    } while (0)

static inline void act_on(weft_peer who, const char *what)
{
    stage.latest = who;
    if (stage.act)
        stage.act(socket_of(who), what);
}

static inline void on_gate(weft_peer who)
{
    TOLD("gate ");
    act_on(who, "gate");
}

static inline void on_open(weft_peer who)
{
    TOLD("open ");
    act_on(who, "open");
}

static inline void on_event(weft_peer who, const weft_socketio_event *event)
{
    TOLD("%.*s%.*s", (int)event->name.len, event->name.at, (int)event->args.len, event->args.at);
    for (size_t i = 0; i < event->n_attachments; i++)
        TOLD("<%.*s>", (int)event->attachments[i].len, event->attachments[i].at);
    if (event->ack.id)
        TOLD("+%d", (int)event->ack.id - 1);
    TOLD(" ");
    if (stage.raw)
        stage.raw(event);
    act_on(who, "event");
}

static inline void on_message(weft_peer who, const weft_message *message)
{
    TOLD("message:%.*s:%.*s ", (int)message->event.len, message->event.at, (int)message->data.len, message->data.at);
    act_on(who, "message");
}

static inline void on_drain(weft_peer who)
{
    TOLD("drain ");
    act_on(who, "drain");
}

static inline void on_close(weft_peer who, int code, weft_str reason)
{
    TOLD("close:%d:%.*s ", code, (int)reason.len, reason.at);
    act_on(who, "close");
}

#define TELLS .open = on_open, .event = on_event, .drain = on_drain, .close = on_close

/* ---- the stage ---- */

static inline void turn(void)
{
    assert_int_equal(loop_step(&stage.loop, 0), 0);
}

static inline socketio_route *add_route(const weft_socketio_options *options)
{
    socketio_route *route = socketio_route_new("/socket.io/", options);
    assert_non_null(route);
    return stage.route = route;
}

static inline int stage_begin(void **state)
{
    (void)state;
    stage = (socketio_stage){0};
    n_images = 0;
    int error = loop_init(&stage.loop, current);
    stage.net.loop = &stage.loop;
    if (!error)
        error = slots_init(&stage.table, stage.loop.index);
    if (!error)
        error = hub_init(&stage.hub, &stage.net, &stage.table, NULL, &stage.rules);
    return error;
}

static inline int stage_end(void **state)
{
    (void)state;
    stage.act = NULL;
    stage.raw = NULL;
    mem_fail_from(0);
    if (stage.route)
        socketio_route_cut(stage.route, &stage.hub);
    turn();
    turn();
    if (stage.route) {
        socketio_route_cut(stage.route, &stage.hub);
        assert_false(socketio_route_busy(stage.route, &stage.hub));
        assert_int_equal(stage.route->locals->namespaces.n_entries, 0);
    }
    assert_int_equal(stage.hub.n_peers, 0);
    assert_int_equal(stage.hub.counts.traffic[WEFT_TRANSPORT_SOCKETIO].n_peers, 0);
    socketio_route_free(stage.route);
    for (uint32_t i = 0; i < stage.n_lines; i++)
        free(stage.lines[i]);
    hub_done(&stage.hub);
    slots_done(&stage.table);
    loop_done(&stage.loop);
    return 0;
}

#define STAGE_TEST(f) cmocka_unit_test_setup_teardown(f, stage_begin, stage_end)

/* ---- clients ---- */

/** One that has shaken hands. NULL: no memory. */
static inline line *line_try(void)
{
    engineio_session *s = socketio_layer.create(&stage.hub, &stage.route->engine);
    if (!s)
        return NULL;
    line *l = calloc(1, sizeof *l);
    assert_true(l && stage.n_lines < 64);
    s->hub = &stage.hub;
    s->route = &stage.route->engine;
    l->client = CONTAINER(s, socketio_client, engine);
    stage.lines[stage.n_lines++] = l;
    if (session_add(&stage.hub, &s->registered, (peer *)(void *)l, s->route)) {
        socketio_layer.discard(s);
        l->client = NULL;
        return NULL;
    }
    socketio_layer.begin(s, NULL);
    return l;
}

static inline line *line_new(void)
{
    line *l = line_try();
    assert_non_null(l);
    return l;
}

/** It sends a message, which is written to and gone afterwards, as a carrier's buffer is. */
static inline void hear(line *l, bool binary, const char *bytes, size_t len)
{
    char *copy = malloc(len + 1);
    assert_non_null(copy);
    memcpy(copy, bytes, len);
    if (l->client)
        socketio_layer.message(&l->client->engine, binary, (str){copy, len});
    memset(copy, '~', len);
    free(copy);
}

static inline void say(line *l, const char *text)
{
    hear(l, false, text, strlen(text));
}

static inline void say_binary(line *l, const char *text)
{
    hear(l, true, text, strlen(text));
}

/** Its connection ends. */
static inline void lose(line *l, engineio_end why)
{
    end_line(l, why);
}

static inline void drain_line(line *l)
{
    l->queued = 0;
    if (l->client)
        socketio_layer.sent(&l->client->engine);
}

static inline socketio_socket *socket_in(const line *l, const char *nsp)
{
    return l->client ? socketio_client_socket(l->client, str_from(nsp)) : NULL;
}

/** Its socket in "/", and what it has been told until then is forgotten. */
static inline socketio_socket *join_root(line *l)
{
    say(l, "0");
    turn();
    socketio_socket *s = socket_in(l, "/");
    assert_non_null(s);
    l->wire[0] = stage.told[0] = '\0';
    return s;
}

static inline line *guest(void)
{
    line *l = line_new();
    join_root(l);
    return l;
}

/** "40{"sid":"…"} " with the socket's id. */
static inline void assert_welcome(line *l, const char *nsp, const char *rest)
{
    char expected[LOG_BYTES];
    bool root = strcmp(nsp, "/") == 0;
    snprintf(expected, sizeof expected, "40%s%s{\"sid\":\"%s\"} %s", root ? "" : nsp, root ? "" : ",",
             socket_in(l, nsp)->id, rest);
    assert_log(l->wire, expected);
}

#endif
