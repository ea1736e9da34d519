/**
 * A client of weft.v1 for tests: raw bytes on each of its carriers, and the same calls for all of them.
 */
#ifndef WEFT_TESTS_APP_PROTOCOL_CLIENT_H
#define WEFT_TESTS_APP_PROTOCOL_CLIENT_H

#include "app/topics_http.h"
#include "proto/json_read.h"
#include "transport/topics_route.h"

typedef enum {
    BY_WEBSOCKET,
    BY_EVENTS,
    BY_POLLS,
    N_CARRIERS,
} carrier;

enum { HEARD_BYTES = CLIENT_MAX_BYTES, SPEAK_BYTES = 512 };

typedef struct {
    carrier by;
    int fd; /* of the stream or WebSocket */
    char session[24];
    char seq[24];       /* of the last answer to a poll */
    char *answer;       /* of the last poll; owned */
    str rest;           /* its envelopes that were not heard yet */
    const char *fields; /* of each of its requests */
} speaker;

#define OFFER "Sec-WebSocket-Protocol: weft.v1\r\n"

/** The carrier of the test that runs. */
static carrier by;

/* ---- serving ---- */

/** At /weft: topics keep history, those called `live…` do not, and those called `room…` have presence. */
static inline void serve_protocol(const weft_topics_options *options)
{
    weft_topic_configure(app, "live*", NULL);
    weft_topic_configure(app, "room*", &(weft_topic_options){.presence = 1});
    weft_topic_configure(app, "*", &(weft_topic_options){.history_messages = 100});
    if (weft_protocol(app, "/weft", options))
        fail_msg("%s", weft_error(app));
    begin();
}

/** Everybody may read and write. */
static inline void serve_open_protocol(void)
{
    serve_protocol(&(weft_topics_options){.publish = everything});
}

/* ---- connecting ---- */

/** Asks for a connection. `fields` are whole lines or "". */
static inline int ask_protocol(carrier how, const char *fields)
{
    char all[2048];
    if (how == BY_POLLS)
        return ask("GET /weft?session=new", fields, NULL);
    snprintf(all, sizeof all, "%s%s", how == BY_WEBSOCKET ? OFFER : ACCEPT_EVENTS, fields);
    if (how == BY_EVENTS)
        return ask("GET /weft", all, NULL);
    int fd = client_connect(url);
    client_ask(fd, "/weft", all);
    return fd;
}

/** The status of the answer to that. */
static inline int status_of_connect(carrier how, const char *fields)
{
    int fd = ask_protocol(how, fields), status = client_read_head(fd);
    close(fd);
    return status;
}

/** The status of a POST to the session. */
static inline int post_status(const speaker *s, const char *body, size_t len)
{
    char line[128];
    snprintf(line, sizeof line, "POST /weft?session=%s", s->session);
    return answered(ask_bytes(line, s->fields, body, len));
}

/** A poll of the session that waits so long. */
static inline int ask_poll(const speaker *s, const char *wait)
{
    char line[128];
    snprintf(line, sizeof line, "GET /weft?session=%s&ack=%s&wait=%s", s->session, s->seq, wait);
    return ask(line, s->fields, NULL);
}

/** Takes the answer of a poll in client_bytes. */
static inline void take_poll_answer(speaker *s)
{
    const char *list = strstr(client_bytes, "\"envelopes\":["), *seq = strstr(client_bytes, "\"seq\":");
    assert_true(list && seq);
    snprintf(s->seq, sizeof s->seq, "%lu", strtoul(seq + 6, NULL, 10));
    free(s->answer);
    s->answer = strdup(client_bytes);
    assert_non_null(s->answer);
    char *at = s->answer + (list - client_bytes) + strlen("\"envelopes\":");
    s->rest = json_begin((str){at, strlen(at) - 1});
}

static inline void poll_again(speaker *s)
{
    assert_int_equal(answered(ask_poll(s, "25")), 200);
    take_poll_answer(s);
}

/** The next envelope, whole. It stands in client_bytes, so that member() finds its members. */
static inline const char *hear(speaker *s)
{
    str envelope;
    if (s->by == BY_WEBSOCKET) {
        client_frame frame = client_receive(s->fd);
        assert_int_equal(frame.opcode, CLIENT_TEXT);
    } else if (s->by == BY_EVENTS) {
        ssize_t len;
        do /* comments come into a long silence */
            len = stream_read(s->fd, client_bytes, sizeof client_bytes);
        while (len > 0 && client_bytes[0] == ':');
        assert_true(len > 8);
        assert_memory_equal(client_bytes, "data: ", 6);
        assert_string_equal(client_bytes + len - 2, "\n\n");
        client_bytes[len - 2] = '\0';
        memmove(client_bytes, client_bytes + 6, (size_t)len - 7);
    } else {
        while (!json_next_element(&s->rest, &envelope))
            poll_again(s);
        memcpy(client_bytes, envelope.at, envelope.len);
        client_bytes[envelope.len] = '\0';
    }
    return client_bytes;
}

/** The next envelope is this, with each epoch as E. */
static inline void expect(speaker *s, const char *envelope)
{
    assert_string_equal(plain(hear(s)), envelope);
}

static inline void take_hello(speaker *s)
{
    assert_memory_equal(hear(s), "{\"type\":\"hello\",", 16);
    if (s->by != BY_WEBSOCKET)
        snprintf(s->session, sizeof s->session, "%s", member("session"));
}

/** Connects and hears hello, which stands in client_bytes then. */
static inline speaker connect_with(carrier how, const char *fields)
{
    speaker s = {.by = how, .fields = fields, .fd = ask_protocol(how, fields)};
    if (how == BY_POLLS) {
        assert_int_equal(answered(s.fd), 200);
        s.fd = -1;
        take_poll_answer(&s);
    } else if (how == BY_EVENTS) {
        sse_expect_begin(s.fd);
    } else {
        client_expect_accepted(s.fd);
    }
    take_hello(&s);
    return s;
}

static inline speaker connect_by(carrier how)
{
    return connect_with(how, "");
}

/** By the carrier of the test. */
static inline speaker joined(void)
{
    return connect_by(by);
}

/** The session, as the server has it; NULL when it is over. */
static inline session *session_of(const speaker *s)
{
    map_entry *entry = map_get(&app->workers->hub.sessions, str_from(s->session));
    return entry ? CONTAINER(entry, session, entry) : NULL;
}

/* ---- talking ---- */

static inline void say_bytes(speaker *s, const char *envelope, size_t len)
{
    if (s->by == BY_WEBSOCKET)
        client_send(s->fd, CLIENT_FIN | CLIENT_TEXT, envelope, len);
    else
        assert_int_equal(post_status(s, envelope, len), 204);
}

static inline void say(speaker *s, const char *envelope)
{
    say_bytes(s, envelope, strlen(envelope));
}

/** One request and its one answer. */
static inline void check(speaker *s, const char *envelope, const char *answer)
{
    say(s, envelope);
    expect(s, answer);
}

/** What was said is answered before this, and nothing but that comes. */
static inline void expect_no_more(speaker *s)
{
    check(s, "{\"type\":\"ping\",\"id\":\"is that all\"}", "{\"type\":\"pong\",\"id\":\"is that all\"}");
}

/** An error of that code, for that id ("" for none); its message stands in client_bytes. */
static inline void expect_error(speaker *s, const char *id, const char *code)
{
    char start[256];
    int len = snprintf(start, sizeof start, "{\"type\":\"error\",%s%s%s\"code\":\"%s\",\"message\":\"",
                       *id ? "\"id\":" : "", id, *id ? "," : "", code);
    hear(s);
    if (strncmp(client_bytes, start, (size_t)len) != 0)
        assert_string_equal(client_bytes, start);
}

static inline void check_error(speaker *s, const char *envelope, const char *id, const char *code)
{
    say(s, envelope);
    expect_error(s, id, code);
}

/** Subscribes, with more members or "". */
static inline void subscribe_with(speaker *s, const char *name, const char *members)
{
    char envelope[SPEAK_BYTES];
    snprintf(envelope, sizeof envelope, "{\"type\":\"subscribe\",\"id\":0,\"topic\":\"%s\"%s}", name, members);
    say(s, envelope);
    assert_memory_equal(hear(s), "{\"type\":\"subscribed\",\"id\":0,", 28);
}

static inline void subscribe_to(speaker *s, const char *name)
{
    subscribe_with(s, name, "");
}

/** From outside the loop, and it has come there. */
static inline void publish_to(const char *name, const char *text)
{
    assert_int_equal(weft_publish_text(app, name, text), 0);
    let_loops_hear();
}

static inline void hang_up(speaker *s)
{
    if (s->by == BY_WEBSOCKET)
        client_leave(s->fd);
    else if (s->by == BY_EVENTS)
        close(s->fd);
    free(s->answer);
    *s = (speaker){.fd = -1};
}

/* ---- cases on each carrier ---- */

static inline int setup_carrier(carrier which, void **state)
{
    by = which;
    return *state ? setup_app(state) : setup_loops_app(state);
}

static inline int setup_websocket(void **state)
{
    return setup_carrier(BY_WEBSOCKET, state);
}

static inline int setup_events(void **state)
{
    return setup_carrier(BY_EVENTS, state);
}

static inline int setup_polls(void **state)
{
    return setup_carrier(BY_POLLS, state);
}

/** The initial state of a case for one loop. */
#define ONE_LOOP ((void *)(uintptr_t)1)

#define WITH_SESSIONS(f, state)                                                                                        \
    {#f " (sse)", f, setup_events, teardown_app, state},                                                               \
    {                                                                                                                  \
#f " (poll)", f, setup_polls, teardown_app, state                                                              \
    }
#define WITH_ALL(f, state) {#f " (websocket)", f, setup_websocket, teardown_app, state}, WITH_SESSIONS(f, state)

/** Each as a LOOPS_APP_TEST, and as an APP_TEST. */
#define ON_ALL(f)          WITH_ALL(f, NULL)
#define ON_ALL_ONE(f)      WITH_ALL(f, ONE_LOOP)
#define ON_SESSIONS(f)     WITH_SESSIONS(f, NULL)
#define ON_SESSIONS_ONE(f) WITH_SESSIONS(f, ONE_LOOP)

#endif
