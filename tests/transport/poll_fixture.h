/**
 * What the tests of polls share: a hub behind the HTTP server of tests/http/fixture.h, topics with and without
 * history, and answers compared as they are.
 */
#ifndef WEFT_TESTS_POLL_FIXTURE_H
#define WEFT_TESTS_POLL_FIXTURE_H

#include "http/fixture.h"
#include "hub/topic.h"
#include "support/heap.h"
#include "transport/poll.h"
#include <malloc.h>
#include <time.h>

#ifdef __has_feature
#if __has_feature(address_sanitizer)
#define OWN_MALLOC
#endif
#endif
#ifdef __SANITIZE_ADDRESS__
#define OWN_MALLOC
#endif

#ifdef OWN_MALLOC
size_t __sanitizer_get_current_allocated_bytes(void);
#endif

enum { MAX_WAIT_MS = 60000, MAX_TOPICS = 20 };

static hub the_hub;

/* "none…" keeps nothing, "few…" the latest two, every other topic 5000 messages. */
static topic_rule the_rules[] = {
    {.next = &the_rules[1], .pattern = (char *)(uintptr_t) "none*"},
    {.next = &the_rules[2], .pattern = (char *)(uintptr_t) "few*", .options = {.history_messages = 2}},
    {.pattern = (char *)(uintptr_t) "*", .options = {.history_messages = 5000, .history_bytes = 64 << 20}},
};
static const topic_rule *first_rule = &the_rules[0];

static inline size_t live_bytes(void)
{
#ifdef OWN_MALLOC
    return __sanitizer_get_current_allocated_bytes();
#else
    return heap_bytes(&the_loop.places);
#endif
}

static inline uint64_t now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

/* ---- the server ---- */

static inline void serve_poll(exchange *e, const weft_request *request, void *user)
{
    (void)user;
    poll_serve(e, request, weft_request_param(request, "*"), MAX_WAIT_MS);
}

/** 0, or negative: no memory, and all is stopped again. */
static inline int start_hub(void)
{
    if (start_server())
        return -1;
    if (hub_init(&the_hub, &the_net, &the_table, NULL, &first_rule))
        return -1;
    the_hub.max_topics = MAX_TOPICS;
    the_server.context = &the_hub;
    return 0;
}

static inline int start_polls(void **state)
{
    (void)state;
    assert_int_equal(start_hub(), 0);
    add_route("/poll/*", (route_spec){.method = "GET", .serve = serve_poll});
    return 0;
}

static inline void abort_one(void *value, void *user)
{
    (void)user;
    peer_abort(value);
}

static inline int stop_polls(void **state)
{
    (void)state;
    http_server_abort(&the_server);
    slots_each(&the_table, SLOT_PEER, abort_one, NULL);
    turn();
    assert_int_equal(the_hub.n_peers, 0);
    assert_int_equal(the_hub.sessions.n_entries, 0);
    assert_null(the_hub.polls);
    hub_done(&the_hub);
    stop_server();
    return 0;
}

/* ---- topics ---- */

static inline topic *topic_named(const char *name)
{
    topic *t;
    assert_int_equal(hub_topic(&the_hub, str_from(name), &t), 0);
    return t;
}

static inline int publish_message(const char *name, weft_kind kind, const char *event, str data)
{
    blob *body = blob_new(&the_loop.blocks, kind, str_from(event), data);
    publication done;
    int result = body ? hub_publish(&the_hub, str_from(name), body, 0, &done) : -ENOMEM;
    the_hub.fan_out.run(&the_hub.fan_out); /* and not at the end of the turn */
    return result;
}

static inline void publish(const char *name, const char *text)
{
    assert_int_equal(publish_message(name, WEFT_TEXT, NULL, str_from(text)), 0);
}

/** The cursor behind the n-th message of a topic. Valid until the fourth call from now. */
static inline const char *cursor_at(const char *name, unsigned n)
{
    static char texts[4][CURSOR_BYTES + 1];
    static unsigned turns;
    char *text = texts[turns++ % N_OF(texts)];
    text[cursor_put((cursor){topic_named(name)->epoch, n}, text)] = '\0';
    return text;
}

/** The n-th message of a topic, a text, as an object. Valid until the fourth call from now. */
static inline const char *object(const char *name, unsigned n, const char *text)
{
    static char texts[4][256];
    static unsigned turns;
    char *to = texts[turns++ % N_OF(texts)];
    snprintf(to, sizeof *texts, "{\"id\":\"%s\",\"type\":\"text\",\"data\":\"%s\"}", cursor_at(name, n), text);
    return to;
}

/* ---- asking ---- */

/** GET, with fields as whole lines. */
__attribute__((format(printf, 3, 0))) static inline void ask_with(const client *c, const char *fields,
                                                                  const char *format, va_list arguments)
{
    char target[1024], request[2048];
    vsnprintf(target, sizeof target, format, arguments);
    snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: h\r\n%s\r\n", target, fields);
    put(c, request);
}

__attribute__((format(printf, 2, 3))) static inline void ask(const client *c, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    ask_with(c, "", format, arguments);
    va_end(arguments);
}

__attribute__((format(printf, 3, 4))) static inline void ask_saying(const client *c, const char *fields,
                                                                    const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    ask_with(c, fields, format, arguments);
    va_end(arguments);
}

/** Another client than open_client()'s. */
static inline client *open_second(void)
{
    assert_int_equal(open_client_on(&clients[1], 80), 0);
    return &clients[1];
}

/* ---- answers ---- */

#define CLOSES "Connection: close\r\n"

/** The whole answer of a poll; `last` is "" or CLOSES. */
static inline const char *answer_of(const char *messages, const char *at, bool gap, const char *last)
{
    static char text[1 << 16];
    int len =
        snprintf(NULL, 0, "{\"messages\":[%s],\"cursor\":\"%s\",\"gap\":%s}", messages, at, gap ? "true" : "false");
    snprintf(text, sizeof text,
             "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n%sVary: Accept\r\n"
             "Cache-Control: no-cache\r\n"
             "ETag: \"%s\"\r\n\r\n{\"messages\":[%s],\"cursor\":\"%s\",\"gap\":%s}",
             len, last, at, messages, at, gap ? "true" : "false");
    return text;
}

static inline void gets_messages(client *c, const char *messages, const char *at)
{
    gets_and_stays(c, answer_of(messages, at, false, ""));
}

static inline void gets_gap(client *c, const char *messages, const char *at)
{
    gets_and_stays(c, answer_of(messages, at, true, ""));
}

static inline void gets_nothing(client *c)
{
    gets_and_stays(c, "");
}

/** An answer with an error that says all of this. */
static inline void gets_error(client *c, int status, const char *sentence)
{
    char line[32], body[256];
    snprintf(line, sizeof line, "HTTP/1.1 %d ", status);
    snprintf(body, sizeof body, "\r\n\r\n{\"error\":\"%s\"}", sentence);
    receive(c);
    assert_memory_equal(c->got, line, strlen(line));
    assert_non_null(strstr(c->got, "\r\nContent-Type: application/json\r\n"));
    const char *found = strstr(c->got, "\r\n\r\n");
    assert_non_null(found);
    assert_string_equal(found, body);
    c->n_got = 0;
    c->got[0] = '\0';
}

/* ---- connections without sockets, by the thousand ---- */

typedef struct {
    sink sink;
    chunk *answered_with; /* what the answer's body referred to; only to be compared */
    size_t n_answers;
} wire_end;

static inline int wire_write(sink *s, const sink_piece *piece)
{
    wire_end *w = CONTAINER(s, wire_end, sink);
    if (piece->owner)
        w->answered_with = piece->owner;
    w->n_answers += piece->head.len > 9 && memcmp(piece->head.at, "HTTP/1.1 ", 9) == 0;
    return 0;
}

static inline void wire_pause(sink *s, bool paused)
{
    (void)s;
    (void)paused;
}

static inline void wire_nothing(sink *s)
{
    (void)s;
}

static inline size_t wire_address(sink *s, char *ret_text, size_t room)
{
    (void)s;
    return (size_t)snprintf(ret_text, room, "wire");
}

static const sink_ops wire_ops = {
    .write = wire_write,
    .pause = wire_pause,
    .rebind = wire_nothing,
    .notify = wire_nothing,
    .end = wire_nothing,
    .abort = wire_nothing,
    .address = wire_address,
};

static inline void wire_open(wire_end *w)
{
    *w = (wire_end){.sink.ops = &wire_ops};
    assert_int_equal(http1_connection_open(&the_server, &w->sink, site_of(80)), 0);
}

__attribute__((format(printf, 2, 3))) static inline void wire_ask(wire_end *w, const char *format, ...)
{
    char target[256], request[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(target, sizeof target, format, arguments);
    va_end(arguments);
    int len = snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: h\r\n\r\n", target);
    assert_int_equal(w->sink.events->data(w->sink.owner, request, (size_t)len), len);
}

#define POLL_TEST(f) cmocka_unit_test_setup_teardown(f, start_polls, stop_polls)

#endif
