/**
 * What the tests of topics over several loops share: clients that come to a loop of the test's choice, every way to
 * publish, and every way to read.
 */
#ifndef WEFT_TESTS_APP_LOOPS_TOPICS_H
#define WEFT_TESTS_APP_LOOPS_TOPICS_H

#include "app/protocol_client.h"

#include "app/loops.h"

enum { MOST_TRIES = 64, LINE_BYTES = 512, MOST_HEARD = 512 };

#define KEY      "Authorization: Bearer secret\r\n"
#define JSON_IS  "Content-Type: application/json\r\n"
#define LINES_IS "Content-Type: application/x-ndjson\r\n"

/* ---- an application ---- */

static inline void tell_loop(weft_exchange which, const weft_request *request, void *user)
{
    char text[16];
    (void)request, (void)user;
    snprintf(text, sizeof text, "%u", (unsigned)(((worker *)loop_here()->owner)->number));
    weft_answer(which, 200, "text/plain", text, strlen(text));
}

/* GET /say/TOPIC?TEXT: as a program publishes. */
static inline void say_it(weft_exchange which, const weft_request *request, void *user)
{
    char name[256], text[256];
    weft_str topic_asked = weft_request_param(request, "*"), query = weft_request_query(request);
    (void)user;
    snprintf(name, sizeof name, "%.*s", (int)topic_asked.len, topic_asked.at);
    snprintf(text, sizeof text, "%.*s", (int)query.len, query.at);
    int error = weft_publish_text(app, name, text);
    weft_answer(which, error ? 500 : 200, "text/plain", "", 0);
}

/* ---- clients on a loop ---- */

static unsigned target; /* the loop that clients come to */
static char target_url[128];

static inline unsigned ask_loop(int fd)
{
    client_get(fd, "/loop");
    assert_int_equal(client_read_answer(fd, NULL), 200);
    return (unsigned)strtoul(client_bytes, NULL, 10);
}

/* Connections go to whichever loop has the fewest: those that came to another are kept until one came to this. */
static inline int to_target(int fd)
{
    int others[MOST_TRIES], n = 0;
    while (ask_loop(fd) != target) {
        assert_in_range(n, 0, MOST_TRIES - 1);
        others[n++] = fd;
        fd = client_connect(where);
    }
    while (n)
        close(others[--n]);
    return fd;
}

static inline void at_loop(unsigned loop_number)
{
    target = loop_number;
}

/** Everybody may read and write; topics keep history, but for those called `live…`; `room…` have presence. */
static inline void serve_loops_of_topics(void)
{
    const weft_topics_options options = {.publish = everything, .publish_key = "secret"};
    weft_topic_configure(app, "live*", NULL);
    weft_topic_configure(app, "room*", &(weft_topic_options){.history_messages = 100, .presence = 1});
    weft_topic_configure(app, "*", &(weft_topic_options){.history_messages = 1000});
    assert_int_equal(weft_get(app, "/loop", tell_loop, NULL), 0);
    assert_int_equal(weft_get(app, "/say/*", say_it, NULL), 0);
    assert_int_equal(weft_topics(app, "/topics/*", &options), 0);
    assert_int_equal(weft_protocol(app, "/weft", &options), 0);
    loops_begin();
    snprintf(target_url, sizeof target_url, "https%s", where + 4); /* so that client_connect() asks to_target() */
    url = target_url;
    client_secures = to_target;
    target = 0;
}

/** A name that no other call gave. Static. */
static inline const char *fresh_name(const char *prefix)
{
    static char name[64];
    static unsigned n;
    snprintf(name, sizeof name, "%s%u", prefix, n++);
    return name;
}

static inline unsigned home_of(const char *name)
{
    return hub_links_home(&app->links, str_from(name));
}

/** A fresh name at home on that loop. */
static inline const char *name_at(const char *prefix, unsigned home)
{
    const char *name;
    do
        name = fresh_name(prefix);
    while (home_of(name) != home);
    return name;
}

/* ---- ways to publish ---- */

typedef enum {
    SAY_POST,
    SAY_BATCH,
    SAY_PROGRAM,
    SAY_WEBSOCKET,
    SAY_PROTOCOL,
    SAY_EVENTS,
    SAY_POLLS,
    N_WAYS_TO_SAY,
} way_to_say;

static const char *const ways_to_say[] = {"POST",     "batch",          "program",        "websocket",
                                          "protocol", "protocol (sse)", "protocol (poll)"};

typedef struct {
    way_to_say by;
    unsigned loop_number;
    char name[64];
    int fd;
    speaker speaker;
} sayer;

static inline sayer sayer_new(way_to_say way, unsigned loop_number, const char *name)
{
    char path[128];
    sayer s = {.by = way, .loop_number = loop_number, .fd = -1};
    snprintf(s.name, sizeof s.name, "%s", name);
    snprintf(path, sizeof path, "/topics/%s", name);
    at_loop(loop_number);
    if (way == SAY_WEBSOCKET)
        s.fd = client_open(url, path);
    else if (way >= SAY_PROTOCOL)
        s.speaker = connect_by(way == SAY_PROTOCOL ? BY_WEBSOCKET : way == SAY_EVENTS ? BY_EVENTS : BY_POLLS);
    return s;
}

/** Publishes; what can be asked for its place is awaited. */
static inline void sayer_says(sayer *s, const char *text)
{
    char line[LINE_BYTES], body[LINE_BYTES];
    at_loop(s->loop_number);
    if (s->by == SAY_POST) {
        snprintf(line, sizeof line, "POST /topics/%s", s->name);
        assert_int_equal(status_of(line, "", text), 201);
        assert_non_null(strstr(client_bytes, "{\"id\":\""));
    } else if (s->by == SAY_BATCH) {
        snprintf(body, sizeof body, "[{\"topic\":\"%s\",\"data\":\"%s\"}]", s->name, text);
        assert_int_equal(status_of("POST /topics", JSON_IS, body), 201);
    } else if (s->by == SAY_PROGRAM) {
        snprintf(line, sizeof line, "GET /say/%s?%s", s->name, text);
        assert_int_equal(status_of(line, "", NULL), 200);
    } else if (s->by == SAY_WEBSOCKET) {
        client_send_text(s->fd, text);
    } else {
        snprintf(body, sizeof body, "{\"type\":\"publish\",\"id\":7,\"topic\":\"%s\",\"data\":\"%s\"}", s->name, text);
        say(&s->speaker, body);
        assert_memory_equal(hear(&s->speaker), "{\"type\":\"published\",\"id\":7,\"cursor\":\"", 37);
    }
}

static inline void sayer_leaves(sayer *s)
{
    if (s->by == SAY_WEBSOCKET)
        close(s->fd);
    else if (s->by == SAY_PROTOCOL)
        close(s->speaker.fd);
    else if (s->by > SAY_PROTOCOL)
        hang_up(&s->speaker);
}

/* ---- ways to read ---- */

typedef enum {
    READ_WEBSOCKET,
    READ_EVENTS,
    READ_LINES,
    READ_POLL,
    READ_SHORT_POLL,
    READ_SESSION,
    READ_PROTOCOL,
    READ_PROTOCOL_EVENTS,
    READ_PROTOCOL_POLLS,
    N_WAYS_TO_READ,
} way_to_read;

static const char *const ways_to_read[] = {"websocket", "sse",      "lines",          "poll",           "short poll",
                                           "session",   "protocol", "protocol (sse)", "protocol (poll)"};

typedef struct {
    way_to_read by;
    unsigned loop_number;
    char name[64];
    char since[64];
    char session[64], seq[24];
    char *polled; /* the last answer's messages that were not read yet; owned */
    str rest;
    int fd;
    bool gap;
    speaker speaker;
    char id[64]; /* of the message read last; "" where it is not told */
    char data[128];
} reader;

static inline void reader_takes_list(reader *r)
{
    const char *list = strstr(client_bytes, "\"messages\":[");
    assert_non_null(list);
    r->gap |= strstr(client_bytes, "],\"cursor\":\"") && strstr(client_bytes, "\"gap\":true}");
    const char *cursor_text = strstr(client_bytes, "],\"cursor\":\"");
    assert_non_null(cursor_text);
    size_t list_len = (size_t)(cursor_text + 1 - list) - strlen("\"messages\":");
    cursor_text += 12;
    snprintf(r->since, sizeof r->since, "%.*s", (int)strcspn(cursor_text, "\""), cursor_text);
    if (r->by == READ_SESSION) {
        snprintf(r->session, sizeof r->session, "%s", member("session"));
        snprintf(r->seq, sizeof r->seq, "%lu", strtoul(strstr(client_bytes, "\"seq\":") + 6, NULL, 10));
    }
    free(r->polled);
    r->polled = strdup(client_bytes);
    assert_non_null(r->polled);
    char *at = r->polled + (list - client_bytes) + strlen("\"messages\":");
    r->rest = json_begin((str){at, list_len});
}

/** Begins to read from `since` on ("start", or a cursor). */
static inline reader reader_new(way_to_read way, unsigned loop_number, const char *name, const char *since_text)
{
    char line[LINE_BYTES + 64], path[LINE_BYTES];
    reader r = {.by = way, .loop_number = loop_number, .fd = -1};
    at_loop(loop_number);
    snprintf(r.name, sizeof r.name, "%s", name);
    snprintf(r.since, sizeof r.since, "%s", since_text);
    snprintf(path, sizeof path, "/topics/%s?since=%s", name, since_text);
    if (way == READ_WEBSOCKET) {
        r.fd = client_open(url, path);
    } else if (way == READ_EVENTS) {
        r.fd = sse_open(path, ACCEPT_EVENTS);
    } else if (way == READ_LINES) {
        r.fd = line_open(path, ACCEPT_LINES);
    } else if (way == READ_SESSION) {
        snprintf(line, sizeof line, "GET %s&session=new", path);
        assert_int_equal(status_of(line, "", NULL), 200);
        reader_takes_list(&r);
        assert_true(strlen(r.since) > 13); /* the first answer tells where it stands */
    } else if (way >= READ_PROTOCOL) {
        r.speaker = connect_by(way == READ_PROTOCOL          ? BY_WEBSOCKET
                               : way == READ_PROTOCOL_EVENTS ? BY_EVENTS
                                                             : BY_POLLS);
        snprintf(line, sizeof line, ",\"since\":\"%s\"", since_text);
        subscribe_with(&r.speaker, name, line);
        r.gap = strstr(client_bytes, "\"gap\":true");
    }
    return r;
}

static inline void take_member(const char *object, const char *name, char *to, size_t room)
{
    char start[32];
    snprintf(start, sizeof start, "\"%s\":\"", name);
    const char *at = strstr(object, start);
    if (!at)
        fail_msg("no %s in %s", name, object);
    at += strlen(start);
    snprintf(to, room, "%.*s", (int)strcspn(at, "\""), at);
}

static inline void reader_polls(reader *r)
{
    char line[LINE_BYTES];
    at_loop(r->loop_number);
    if (r->by == READ_SESSION)
        snprintf(line, sizeof line, "GET /topics/%s?session=%s&ack=%s&wait=25", r->name, r->session, r->seq);
    else
        snprintf(line, sizeof line, "GET /topics/%s?since=%s%s", r->name, r->since,
                 r->by == READ_POLL ? "&wait=25" : "");
    assert_int_equal(status_of(line, "", NULL), 200);
    reader_takes_list(r);
}

/** Reads one message, with its id where that is told. */
static inline void reader_reads(reader *r)
{
    str object = {NULL, 0};
    char text[1024];
    r->id[0] = '\0';
    if (r->by == READ_WEBSOCKET) {
        client_frame frame = client_receive(r->fd);
        assert_int_equal(frame.opcode, CLIENT_TEXT);
        snprintf(r->data, sizeof r->data, "%s", frame.at);
        return;
    }
    if (r->by == READ_EVENTS) {
        assert_true(stream_read(r->fd, client_bytes, sizeof client_bytes) > 0);
        snprintf(r->id, sizeof r->id, "%s", stream_cursor());
        const char *data = strstr(client_bytes, "\ndata: ");
        assert_non_null(data);
        snprintf(r->data, sizeof r->data, "%.*s", (int)strcspn(data + 7, "\n"), data + 7);
    } else {
        if (r->by == READ_LINES)
            assert_true(stream_read(r->fd, client_bytes, sizeof client_bytes) > 0);
        else if (r->by >= READ_PROTOCOL)
            hear(&r->speaker);
        else
            while (!json_next_element(&r->rest, &object))
                reader_polls(r);
        snprintf(text, sizeof text, "%.*s", object.at ? (int)object.len : (int)sizeof text - 1,
                 object.at ? object.at : client_bytes);
        take_member(text, "id", r->id, sizeof r->id);
        take_member(text, "data", r->data, sizeof r->data);
    }
    snprintf(r->since, sizeof r->since, "%s", r->id);
}

static inline void reader_expects(reader *r, const char *text)
{
    reader_reads(r);
    if (strcmp(r->data, text) != 0)
        fail_msg("%s on loop %u got %s for %s", ways_to_read[r->by], r->loop_number, r->data, text);
}

static inline void reader_leaves(reader *r)
{
    if (r->fd >= 0)
        close(r->fd);
    if (r->by == READ_PROTOCOL)
        close(r->speaker.fd);
    else if (r->by > READ_PROTOCOL)
        hang_up(&r->speaker);
    free(r->polled);
}

#endif
