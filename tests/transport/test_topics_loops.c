#include "hub/several.h"

#include "http/http1_private.h"
#include "transport/protocol.h"
#include "transport/protocol_private.h"
#include "transport/topic_resource.h"
#include "transport/topic_writer.h"

enum { WIRE_BYTES = 1 << 16, MOST_WIRES = 8 };

/* A connection without a socket. */
typedef struct {
    sink sink;
    unsigned on;
    char got[WIRE_BYTES], unread[WIRE_BYTES];
    size_t n_got, n_unread;
    bool open, paused, taking;
} wire_end;

static wire_end wires[MOST_WIRES];
static unsigned n_wires;
static http_server servers[N_STAGES];
static router routes;
static http_site site;

/* ---- the wire ---- */

static void put_got(wire_end *w, str text)
{
    assert_true(w->n_got + text.len < sizeof w->got);
    if (text.len)
        memcpy(w->got + w->n_got, text.at, text.len);
    w->n_got += text.len;
    w->got[w->n_got] = '\0';
}

static int wire_write(sink *s, const sink_piece *what)
{
    wire_end *w = CONTAINER(s, wire_end, sink);
    put_got(w, what->head);
    put_got(w, what->body);
    return 0;
}

static char *wire_append(sink *s, size_t len)
{
    wire_end *w = CONTAINER(s, wire_end, sink);
    char *at = w->got + w->n_got;
    assert_true(w->n_got + len < sizeof w->got);
    w->n_got += len;
    w->got[w->n_got] = '\0';
    return at;
}

static void wire_take(wire_end *w)
{
    if (w->taking)
        return;
    w->taking = true;
    while (w->open && !w->paused && w->n_unread) {
        char copy[WIRE_BYTES];
        size_t n = w->n_unread;
        memcpy(copy, w->unread, n);
        size_t done = w->sink.events->data(w->sink.owner, copy, n);
        assert_true(done <= n);
        memmove(w->unread, copy + done, n - done);
        w->n_unread = n - done;
        if (!done)
            break;
    }
    w->taking = false;
}

static void wire_pause(sink *s, bool paused)
{
    wire_end *w = CONTAINER(s, wire_end, sink);
    w->paused = paused;
    wire_take(w);
}

static void wire_rebind(sink *s)
{
    wire_take(CONTAINER(s, wire_end, sink));
}

static void wire_notify(sink *s)
{
    (void)s;
}

static void wire_end_it(sink *s)
{
    CONTAINER(s, wire_end, sink)->open = false;
}

static size_t wire_address(sink *s, char *ret_text, size_t room)
{
    (void)s;
    return (size_t)snprintf(ret_text, room, "wire");
}

static bool wire_secure(const sink *s)
{
    (void)s;
    return false;
}

static size_t wire_subject(const sink *s, char *ret_text, size_t room)
{
    (void)s, (void)ret_text, (void)room;
    return 0;
}

static const sink_ops wire_ops = {
    .write = wire_write,
    .append = wire_append,
    .pause = wire_pause,
    .rebind = wire_rebind,
    .notify = wire_notify,
    .end = wire_end_it,
    .abort = wire_end_it,
    .address = wire_address,
    .secure = wire_secure,
    .client_subject = wire_subject,
};

/* NULL: no memory. */
static wire_end *wire_to(unsigned i)
{
    wire_end *w = &wires[n_wires++];
    *w = (wire_end){.sink.ops = &wire_ops, .on = i, .open = true};
    return http1_connection_open(&servers[i], &w->sink, &site) ? NULL : w;
}

static void wire_bytes(wire_end *w, const void *bytes, size_t len)
{
    scripted_stage *before = current;
    on(w->on);
    assert_true(w->n_unread + len <= sizeof w->unread);
    memcpy(w->unread + w->n_unread, bytes, len);
    w->n_unread += len;
    wire_take(w);
    current = before;
}

static void __attribute__((format(printf, 2, 3))) ask(wire_end *w, const char *format, ...)
{
    char text[4096];
    va_list arguments;
    va_start(arguments, format);
    int len = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    wire_bytes(w, text, (size_t)len);
}

#define HOST "Host: h\r\n"

static void get(wire_end *w, const char *path, const char *name, const char *query)
{
    ask(w, "GET %s%s%s HTTP/1.1\r\n" HOST "\r\n", path, name, query);
}

static void post(wire_end *w, const char *name, const char *body)
{
    ask(w, "POST /topics/%s HTTP/1.1\r\n" HOST "Content-Length: %zu\r\n\r\n%s", name, strlen(body), body);
}

/* With a mask of zeros. */
static void send_frame(wire_end *w, const char *text)
{
    size_t len = strlen(text);
    char frame[256] = {(char)0x81, (char)(0x80 | (len < 126 ? len : 126)), 0, 0, 0, 0, 0, 0};
    size_t at = 6;
    if (len >= 126) {
        frame[2] = (char)(len >> 8);
        frame[3] = (char)len;
        frame[4] = 0;
        at = 8;
    }
    assert_true(at + len <= sizeof frame);
    memcpy(frame + at, text, len);
    wire_bytes(w, frame, at + len);
}

static void lose(wire_end *w)
{
    on(w->on);
    if (w->open)
        w->sink.events->gone(w->sink.owner, -ECONNRESET);
    w->open = false;
}

static void forget_got(wire_end *w)
{
    w->n_got = 0;
    w->got[0] = '\0';
}

static void got_all_of(wire_end *w, const char *status, const char *text)
{
    if (strncmp(w->got, status, strlen(status)) != 0 || !strstr(w->got, text))
        fail_msg("%s instead of %s … %s", w->got, status, text);
    forget_got(w);
}

#define OK        "HTTP/1.1 200 "
#define CREATED   "HTTP/1.1 201 "
#define NOT_NOW   "HTTP/1.1 503 "
#define TRY_AGAIN "\r\nRetry-After: 1\r\n"

/* ---- the servers ---- */

static const char *const everything[] = {"*", NULL};

static void add_route(const char *pattern, const char *method, topics_route *route,
                      void (*serve)(exchange *, const weft_request *, void *))
{
    const char *problem;
    route_spec spec = {
        .method = method, .serve = serve, .user = topics_route_ref(route), .free_user = topics_route_free};
    spec.max_body_bytes = 1 << 20;
    assert_int_equal(route_parse(pattern, &spec, &problem), 0);
    assert_int_equal(router_add(&routes, &spec), 0);
}

static void add_routes(void)
{
    const weft_topics_options options = {.publish = everything, .publish_key = "k", .ping_interval_ms = WEFT_NEVER};
    topics_route *topics = topics_route_new(&options), *talk = topics_route_new(&options);
    assert_true(topics && talk && !topic_resource_init(topics) && !protocol_init(talk));
    add_route("/topics/*", NULL, topics, topic_resource_upgrade);
    add_route("/topics/*", "GET", topics, topic_resource_get);
    add_route("/topics/*", "POST", topics, topic_resource_post);
    add_route("/topics", "GET", topics, topic_index_get);
    add_route("/topics", "POST", topics, topic_index_post);
    add_route("/weft", NULL, talk, protocol_upgrade);
    add_route("/weft", "GET", talk, protocol_get);
    add_route("/weft", "POST", talk, protocol_post);
    topics_route_free(topics);
    topics_route_free(talk);
}

static int start_of(unsigned n)
{
    int error = several_init(n);
    if (error)
        return error;
    configure_all("room*", (weft_topic_options){.history_messages = 100, .presence = 1});
    configure_all("small*", (weft_topic_options){.history_messages = 4, .ring_messages = 4});
    configure_all("*", (weft_topic_options){.history_messages = 100});
    router_init(&routes);
    add_routes();
    site.port = 80;
    n_wires = 0;
    for (unsigned i = 0; i < n; i++)
        http_server_init(&servers[i], &stages[i].net, &stages[i].table, &routes, &stages[i].hub);
    on(0);
    return 0;
}

static int start(void **state)
{
    (void)state;
    return start_of(2);
}

static void abort_peer(void *value, void *user)
{
    (void)user;
    peer_abort(value);
}

static void end_clients(unsigned i)
{
    on(i);
    http_server_abort(&servers[i]);
    slots_each(&stage.table, SLOT_PEER, abort_peer, NULL);
    turn();
    assert_int_equal(stage.hub.n_peers, 0);
    assert_int_equal(stage.hub.sessions.n_entries, 0);
}

static int stop(void **state)
{
    (void)state;
    for (unsigned i = 0; i < links.n; i++)
        if (!ended[i])
            end_clients(i);
    several_done();
    router_done(&routes);
    return 0;
}

/* ---- polls ---- */

static void early_poll__is_answered_when_its_topic_is_ready(void **state)
{
    (void)state;
    const char *name = named_at(1, "t");
    publish_on(1, name, "one");
    wire_end *w = wire_to(0);
    get(w, "/topics/", name, "?since=start&wait=25");
    turn_on(0);
    assert_string_equal(w->got, "");
    settle();
    got_all_of(w, OK, "\"data\":\"one\"");
    get(w, "/topics/", name, "?since=start&wait=25"); /* ready now: at once */
    got_all_of(w, OK, "\"data\":\"one\"");
}

/* It waits with what is left of its time, as one that found the topic ready. */
static void early_poll__waits_as_any_other(void **state)
{
    (void)state;
    const char *name = named_at(1, "t");
    wire_end *w = wire_to(0), *other = wire_to(0);
    get(w, "/topics/", name, "?since=start&wait=25");
    get(other, "/topics/", name, "?since=start&wait=25");
    settle();
    assert_string_equal(w->got, "");
    assert_int_equal(topic_on(0, name)->n_waiters, 2);
    publish_on(1, name, "one");
    settle();
    got_all_of(w, OK, "\"data\":\"one\"");
    got_all_of(other, OK, "\"data\":\"one\"");
    pass_all(MIRROR_LINGER_MS + 100);
    pass_all(MIRROR_LINGER_MS + 100);
    assert_null(topic_on(0, name));
    get(w, "/topics/", named_at(1, "empty"), "?since=start&wait=5");
    settle();
    pass_all(4900);
    assert_string_equal(w->got, "");
    pass_all(200);
    got_all_of(w, OK, "{\"messages\":[],");
}

/* What has gone by meanwhile it has not asked for. */
static void early_poll__from_now_on_has_no_gap(void **state)
{
    (void)state;
    const char *name = named_at(1, "small");
    wire_end *w = wire_to(0);
    get(w, "/topics/", name, "");
    fill_inbox(0);
    turn_on(1);
    on(1);
    publish_numbered(name, 1, 10, 0);
    settle();
    pass_all(10);
    assert_non_null(strstr(w->got, "-6\",\"gap\":false}"));
    got_all_of(w, OK, "{\"messages\":[],");
}

static void early_poll__is_refused_when_the_home_is_silent(void **state)
{
    (void)state;
    wire_end *w = wire_to(0), *session_wire = wire_to(0);
    get(w, "/topics/", named_at(1, "t"), "?since=start");
    get(session_wire, "/topics/", named_at(1, "t"), "?session=new");
    turn_on(0);
    for (int i = 0; i < 9; i++) {
        pass_ms(1000);
        turn_on(0);
    }
    assert_string_equal(w->got, "");
    pass_ms(1100);
    turn_on(0);
    turn_on(0);
    assert_non_null(strstr(w->got, TRY_AGAIN));
    got_all_of(w, NOT_NOW, "the topic is not ready yet");
    assert_non_null(strstr(session_wire->got, TRY_AGAIN));
    got_all_of(session_wire, NOT_NOW, "the topic is not ready yet");
    assert_int_equal(stages[0].hub.sessions.n_entries, 0);
    settle();
}

static void early_poll__is_refused_when_the_server_stops(void **state)
{
    (void)state;
    wire_end *w = wire_to(0), *session_wire = wire_to(0);
    get(w, "/topics/", named_at(1, "t"), "?since=start&wait=25");
    get(session_wire, "/topics/", named_at(1, "t"), "?session=new");
    turn_on(0);
    on(0);
    http_server_drain(&servers[0]);
    turn_on(0);
    assert_non_null(strstr(w->got, TRY_AGAIN));
    got_all_of(w, NOT_NOW, "the server is stopping");
    got_all_of(session_wire, NOT_NOW, "the server is stopping");
    settle();
}

static void early_poll__goes_with_its_client(void **state)
{
    (void)state;
    const char *name = named_at(1, "t");
    wire_end *w = wire_to(0), *session_wire = wire_to(0);
    get(w, "/topics/", name, "?since=start&wait=25");
    get(session_wire, "/topics/", name, "?session=new");
    turn_on(0);
    lose(w);
    lose(session_wire);
    settle();
    assert_int_equal(topic_on(0, name)->n_waiters, 0);
    assert_true(list_empty(&topic_on(0, name)->mirror->awaiters));
    pass_all(60000); /* the lease of a session that nobody knows */
    assert_int_equal(stages[0].hub.sessions.n_entries, 0);
}

static void early_poll__is_refused_when_the_home_ends(void **state)
{
    (void)state;
    const char *name = named_at(1, "t");
    wire_end *w = wire_to(0), *session_wire = wire_to(0), *writer_wire = wire_to(0), *list_wire = wire_to(0);
    get(w, "/topics/", name, "?since=start&wait=25");
    get(session_wire, "/topics/", name, "?session=new");
    post(writer_wire, name, "m");
    ask(list_wire, "GET /topics HTTP/1.1\r\n" HOST "Authorization: Bearer k\r\n\r\n");
    end_stage(1);
    on(0);
    for (int i = 0; i < 5; i++) {
        pass_ms(MIRROR_ASK_MS + 100);
        turn_on(0);
    }
    got_all_of(w, NOT_NOW, "the server is stopping");
    got_all_of(session_wire, NOT_NOW, "the server is stopping");
    assert_memory_equal(writer_wire->got, NOT_NOW, strlen(NOT_NOW));
    assert_memory_equal(list_wire->got, NOT_NOW, strlen(NOT_NOW));
    forget_got(w);
    get(w, "/topics/", named_at(1, "other"), "");
    got_all_of(w, NOT_NOW, "the server is stopping");
}

/* ---- sessions ---- */

static void session__tells_its_place_in_the_first_answer(void **state)
{
    (void)state;
    const char *name = named_at(1, "t");
    char cursor_text[64] = "\"cursor\":\"";
    publish_on(1, name, "one");
    wire_end *w = wire_to(0);
    get(w, "/topics/", name, "?session=new");
    turn_on(0);
    assert_string_equal(w->got, "");
    settle();
    size_t len = strlen(cursor_text);
    len += cursor_put(topic_cursor_before(topic_on(1, name), 1), cursor_text + len);
    cursor_text[len] = '\0';
    got_all_of(w, OK, cursor_text);
}

/* ---- publishing ---- */

static void post__is_answered_by_the_home(void **state)
{
    (void)state;
    wire_end *w = wire_to(0);
    post(w, named_at(1, "t"), "one");
    post(w, named_at(0, "t"), "two"); /* waits for its turn on the connection */
    assert_string_equal(w->got, "");
    settle();
    assert_non_null(strstr(w->got, "-1\",\"subscribers\":0}HTTP/1.1 201 "));
    got_all_of(w, CREATED, "\"subscribers\":0}");
}

static void post__without_room_at_the_home_is_refused(void **state)
{
    (void)state;
    wire_end *w = wire_to(0);
    fill_inbox(1);
    post(w, named_at(1, "t"), "one");
    assert_non_null(strstr(w->got, TRY_AGAIN));
    got_all_of(w, NOT_NOW, "the server has too much to do");
    get(w, "/topics/", named_at(1, "u"), "");
    got_all_of(w, NOT_NOW, "the server has too much to do");
    settle();
    post(w, named_at(1, "t"), "one");
    settle();
    got_all_of(w, CREATED, "-1\"");
}

static void post__says_when_it_does_not_know(void **state)
{
    (void)state;
    wire_end *w = wire_to(0), *gone = wire_to(0);
    post(w, named_at(1, "t"), "one");
    post(gone, named_at(1, "t"), "two");
    lose(gone);
    pass_ms(TOPICS_ANSWER_MS + 100);
    turn_on(0);
    got_all_of(w, NOT_NOW, "the message may have been published, or not");
    settle(); /* answers come for nobody */
    assert_string_equal(w->got, "");
    assert_int_equal(topic_on(1, named_at(1, "t"))->head, 2);
}

static void batch(wire_end *w, const char *body)
{
    ask(w, "POST /topics HTTP/1.1\r\n" HOST "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
        strlen(body), body);
}

static const char *three_messages(void)
{
    static char body[512];
    snprintf(body, sizeof body,
             "[{\"topic\":\"%s\",\"data\":1},{\"topic\":\"%s\",\"data\":2},{\"topic\":\"%s\",\"data\":3}]",
             named_at(0, "t"), named_at(1, "t"), named_at(0, "u"));
    return body;
}

static void batch__says_which_were_published(void **state)
{
    (void)state;
    wire_end *w = wire_to(0), *gone = wire_to(0);
    batch(w, three_messages());
    batch(gone, three_messages());
    lose(gone);
    pass_ms(TOPICS_ANSWER_MS + 100);
    turn_on(0);
    assert_non_null(strstr(w->got, "2 of 3 messages are known to be published\",\"published\":[{\"id\":"));
    got_all_of(w, NOT_NOW, "},null,{\"id\":");
    settle();
    assert_string_equal(w->got, "");
    batch(w, three_messages());
    assert_string_equal(w->got, "");
    settle();
    got_all_of(w, CREATED, "{\"published\":[{\"id\":");
}

static void batch__stops_where_there_is_no_room(void **state)
{
    (void)state;
    wire_end *w = wire_to(0);
    fill_inbox(1);
    batch(w, three_messages());
    got_all_of(w, NOT_NOW, "the server has too much to do: the first 1 of 3 messages were published");
    settle();
}

/* ---- the list ---- */

static void list__is_refused_when_a_loop_is_silent(void **state)
{
    (void)state;
    wire_end *w = wire_to(0);
    ask(w, "GET /topics HTTP/1.1\r\n" HOST "Authorization: Bearer k\r\n\r\n");
    turn_on(0);
    assert_string_equal(w->got, "");
    pass_ms(TOPICS_ANSWER_MS + 100);
    turn_on(0);
    assert_non_null(strstr(w->got, TRY_AGAIN));
    got_all_of(w, NOT_NOW, "the server has too much to do");
    settle();
}

/* ---- what a topic's WebSocket sends ---- */

#define UPGRADE                                                                                                        \
    "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"                                       \
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"

static wire_end *websocket_to(unsigned i, const char *path, const char *name, const char *fields)
{
    wire_end *w = wire_to(i);
    ask(w, "GET %s%s HTTP/1.1\r\n" HOST UPGRADE "%s\r\n", path, name, fields);
    got_all_of(w, "HTTP/1.1 101 ", "\r\n\r\n");
    settle();
    forget_got(w);
    return w;
}

static void after_retry(void)
{
    pass_ms(WRITER_RETRY_MS + 3);
    settle();
    pass_ms(WRITER_RETRY_MS + 3);
    settle();
}

static void writer__is_not_read_from_without_room(void **state)
{
    (void)state;
    const char *name = named_at(1, "t");
    wire_end *w = websocket_to(0, "/topics/", name, "");
    fill_inbox(1);
    send_frame(w, "one");
    assert_true(w->paused);
    send_frame(w, "two");
    send_frame(w, "three");
    assert_int_equal(w->n_unread, 6 + 3 + 6 + 5);
    pass_ms(WRITER_RETRY_MS + 3);
    turn_on(0);
    assert_true(w->paused);
    settle();
    after_retry();
    assert_false(w->paused);
    assert_int_equal(w->n_unread, 0);
    assert_true(w->open);
    const topic *t = topic_on(1, name);
    assert_int_equal(t->head, 3);
    assert_true(str_equal(blob_data(topic_message_at(t, 0)->body), STR("one")));
    assert_true(str_equal(blob_data(topic_message_at(t, 1)->body), STR("two")));
    assert_true(str_equal(blob_data(topic_message_at(t, 2)->body), STR("three")));
}

static void writer__that_is_lost_has_said_what_was_received(void **state)
{
    (void)state;
    const char *name = named_at(1, "t");
    wire_end *w = websocket_to(0, "/topics/", name, ""), *never = websocket_to(0, "/topics/", name, "");
    fill_inbox(1);
    send_frame(w, "one");
    send_frame(never, "two");
    lose(never); /* still no room: it is counted */
    assert_int_equal(stages[0].hub.counts.n_refused, 1);
    turn_on(1);
    lose(w);
    settle();
    assert_int_equal(topic_on(1, name)->head, 1);
    assert_int_equal(stages[0].hub.counts.n_refused, 1);
}

static void writer__is_closed_when_the_home_has_ended(void **state)
{
    (void)state;
    wire_end *w = websocket_to(0, "/topics/", named_at(1, "t"), "");
    end_clients(1);
    end_stage(1);
    on(0);
    send_frame(w, "one");
    turn_on(0);
    static const char expected[] = {(char)0x88, 2 + 24, 0x03, (char)0xE9};
    assert_memory_equal(w->got, expected, sizeof expected);
}

/* ---- weft.v1 ---- */

static wire_end *talker(void)
{
    return websocket_to(0, "/weft", "", "Sec-WebSocket-Protocol: weft.v1\r\n");
}

static void __attribute__((format(printf, 2, 3))) talk(wire_end *w, const char *format, ...)
{
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    send_frame(w, text);
}

static void protocol__refuses_without_room(void **state)
{
    (void)state;
    wire_end *w = talker();
    fill_inbox(1);
    talk(w, "{\"type\":\"publish\",\"id\":1,\"topic\":\"%s\",\"data\":1}", named_at(1, "t"));
    got_all_of(w, "\x81", "\"id\":1,\"code\":\"failed\",\"message\":\"the server has too much to do\"");
    talk(w, "{\"type\":\"subscribe\",\"id\":2,\"topic\":\"%s\"}", named_at(1, "t"));
    got_all_of(w, "\x81", "\"id\":2,\"code\":\"failed\",\"message\":\"the server has too much to do\"");
    talk(w, "{\"type\":\"presence\",\"id\":3,\"topic\":\"%s\"}", named_at(1, "t"));
    got_all_of(w, "\x81", "\"id\":3,\"code\":\"failed\",\"message\":\"the server has too much to do\"");
    assert_true(w->open && !w->paused);
    settle();
}

static void protocol__does_not_read_who_asks_too_much(void **state)
{
    (void)state;
    const char *name = named_at(1, "t");
    wire_end *w = talker();
    for (int i = 0; i < ASKED_MAX; i++)
        talk(w, "{\"type\":\"publish\",\"topic\":\"%s\",\"data\":1}", name);
    assert_true(w->paused);
    talk(w, "{\"type\":\"publish\",\"id\":1,\"topic\":\"%s\",\"data\":2}", name);
    assert_true(w->n_unread > 0);
    settle();
    assert_false(w->paused);
    assert_int_equal(topic_on(1, name)->head, ASKED_MAX + 1);
    got_all_of(w, "\x81", "{\"type\":\"published\",\"id\":1,");
}

static void protocol__forgets_who_leaves(void **state)
{
    (void)state;
    const char *name = named_at(1, "room");
    wire_end *w = talker();
    talk(w, "{\"type\":\"subscribe\",\"id\":1,\"topic\":\"%s\"}", name);
    talk(w, "{\"type\":\"unsubscribe\",\"id\":2,\"topic\":\"%s\"}", name);
    talk(w, "{\"type\":\"presence\",\"id\":3,\"topic\":\"%s\"}", name);
    talk(w, "{\"type\":\"presence\",\"id\":4,\"topic\":\"%s\"}", named_at(1, "other"));
    talk(w, "{\"type\":\"publish\",\"id\":5,\"topic\":\"%s\",\"data\":1}", name);
    lose(w);
    settle();
    assert_int_equal(topic_on(0, name)->n_subscribers, 0);
    assert_int_equal(topic_on(1, name)->head, 1);
}

static peer *the_peer;

static void find_peer(void *value, void *user)
{
    (void)user;
    the_peer = value;
}

/* Which its client did not ask for. */
static void protocol__tells_of_a_program_that_unsubscribes(void **state)
{
    (void)state;
    const char *name = named_at(1, "t");
    wire_end *w = talker();
    talk(w, "{\"type\":\"subscribe\",\"id\":1,\"topic\":\"%s\"}", name);
    talk(w, "{\"type\":\"unsubscribe\",\"id\":2,\"topic\":\"%s\"}", name);
    on(0);
    slots_each(&stage.table, SLOT_PEER, find_peer, NULL);
    hub_unsubscribe(&stage.hub, the_peer, str_from(name));
    assert_non_null(
        strstr(w->got, "\"id\":1,\"code\":\"failed\",\"message\":\"the server has unsubscribed the client\""));
    got_all_of(w, "\x81", "{\"type\":\"unsubscribed\",\"id\":2,");
    settle();
}

/* The home is told of names a moment after the topic is ready. */
static void protocol__waits_for_the_names(void **state)
{
    (void)state;
    const char *name = named_at(1, "room");
    on(1);
    client *c = guest();
    assert_int_equal(peer_identify(&c->line->peer, STR("there")), 0);
    assert_int_equal(subscribe(c, name), 0);
    settle();
    wire_end *w = talker(), *again = talker();
    talk(w, "{\"type\":\"presence\",\"id\":1,\"topic\":\"%s\"}", name);
    turn_on(1);
    turn_on(0);
    for (int i = 0; i < 3; i++)
        pass_all(PRESENCE_TELL_MS);
    got_all_of(w, "\x81", "\"count\":1,\"members\":[\"there\"]}");
    talk(again, "{\"type\":\"presence\",\"id\":1,\"topic\":\"%s\"}", name); /* at once */
    got_all_of(again, "\x81", "\"count\":1,\"members\":[\"there\"]}");
}

/* ---- no memory ---- */

static void do_everything(void)
{
    const char *name = named_at(1, "room");
    wire_end *w = wire_to(0);
    if (w)
        get(w, "/topics/", name, "?since=start");
    if ((w = wire_to(0)) != NULL)
        get(w, "/topics/", name, "?session=new");
    if ((w = wire_to(0)) != NULL)
        post(w, name, "m");
    if ((w = wire_to(0)) != NULL)
        batch(w, three_messages());
    if ((w = wire_to(0)) != NULL)
        ask(w, "GET /topics HTTP/1.1\r\n" HOST "Authorization: Bearer k\r\n\r\n");
    if ((w = wire_to(0)) != NULL) {
        ask(w, "GET /weft HTTP/1.1\r\n" HOST UPGRADE "Sec-WebSocket-Protocol: weft.v1\r\n\r\n");
        if (strncmp(w->got, "HTTP/1.1 101 ", 13) == 0 && w->open) {
            talk(w, "{\"type\":\"subscribe\",\"id\":1,\"topic\":\"%s\"}", name);
            talk(w, "{\"type\":\"unsubscribe\",\"id\":2,\"topic\":\"%s\"}", name);
            talk(w, "{\"type\":\"presence\",\"id\":3,\"topic\":\"%s\"}", name);
            talk(w, "{\"type\":\"publish\",\"id\":4,\"topic\":\"%s\",\"data\":1}", name);
        }
    }
    settle();
    for (int i = 0; i < 12; i++)
        pass_all(1000);
}

/* Each gets an answer, or is cut. */
static bool everybody_has_an_end(void)
{
    for (unsigned i = 0; i + 1 < n_wires; i++)
        if (wires[i].open && !wires[i].n_got)
            return false;
    return true;
}

static void memory__fails_only_who_needs_it(void **state)
{
    uint64_t n = 1, needed;
    do {
        assert_int_equal(start(state), 0);
        pool_done(&stages[0].loop.blocks);
        pool_done(&stages[1].loop.blocks);
        uint64_t before = mem_count();
        mem_fail_from(n);
        do_everything();
        needed = mem_count() - before;
        mem_fail_from(0);
        settle();
        for (int i = 0; i < 12; i++)
            pass_all(1000);
        assert_true(everybody_has_an_end());
        stop(state);
        n++;
    } while (needed >= n - 1);
    print_message("# %u allocations failed in turn\n", (unsigned)n - 2);
    assert_true(n > 30);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(early_poll__is_answered_when_its_topic_is_ready),
        TEST(early_poll__waits_as_any_other),
        TEST(early_poll__from_now_on_has_no_gap),
        TEST(early_poll__is_refused_when_the_home_is_silent),
        TEST(early_poll__is_refused_when_the_server_stops),
        TEST(early_poll__goes_with_its_client),
        TEST(early_poll__is_refused_when_the_home_ends),
        TEST(session__tells_its_place_in_the_first_answer),
        TEST(post__is_answered_by_the_home),
        TEST(post__without_room_at_the_home_is_refused),
        TEST(post__says_when_it_does_not_know),
        TEST(batch__says_which_were_published),
        TEST(batch__stops_where_there_is_no_room),
        TEST(list__is_refused_when_a_loop_is_silent),
        TEST(writer__is_not_read_from_without_room),
        TEST(writer__that_is_lost_has_said_what_was_received),
        TEST(writer__is_closed_when_the_home_has_ended),
        TEST(protocol__refuses_without_room),
        TEST(protocol__does_not_read_who_asks_too_much),
        TEST(protocol__forgets_who_leaves),
        TEST(protocol__tells_of_a_program_that_unsubscribes),
        TEST(protocol__waits_for_the_names),
        cmocka_unit_test(memory__fails_only_who_needs_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
