/* Clients whose requests come on connections to any loop, while their session lives on one: weft.v1 and polls of a topic, Engine.IO and its upgrade. */
#include "app/app.h"
#include "app/loops.h"

enum {
    MOST_LOOPS = 4,
    MOST_IDS = 512, /* opened until each loop has one: closed connections may count for a while */
    ID_CHARS = 22,
    ROUNDS = 20,
    N_THREADS = 4,
};

/* ---- one connection, and what is asked on it ---- */

typedef struct {
    char id[ID_CHARS + 1];
    unsigned long seq; /* of the last answer */
    int events;        /* its stream of events; -1: it polls */
} visit;

/** One for each loop. */
static visit visits[MOST_LOOPS];
static int road; /* a connection that every request takes: each moves it to the loop of the next session */

__attribute__((format(printf, 3, 4))) static int ask(int fd, const char *body, const char *format, ...)
{
    char request[2048], line[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    if (body)
        snprintf(request, sizeof request, "%s HTTP/1.1\r\nHost: localhost\r\nContent-Length: %zu\r\n\r\n%s", line,
                 strlen(body), body);
    else
        snprintf(request, sizeof request, "%s HTTP/1.1\r\nHost: localhost\r\n\r\n", line);
    client_write_text(fd, request);
    return client_read_answer(fd, NULL);
}

static void keep_id(visit *v, const char *member)
{
    const char *at = strstr(client_bytes, member), *seq = strstr(client_bytes, "\"seq\":");
    assert_non_null(at);
    snprintf(v->id, sizeof v->id, "%.*s", ID_CHARS, at + strlen(member));
    assert_int_equal(strspn(v->id, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"), ID_CHARS);
    v->seq = seq ? strtoul(seq + 6, NULL, 10) : 0;
}

/* True when no other session lives on its loop, as its id says. */
static bool is_first_there(const visit *v, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        if (strcmp(visits[i].id + ID_CHARS - 2, v->id + ID_CHARS - 2) == 0)
            return false;
    return true;
}

/* Opens sessions until there is one on each loop. */
static void visit_all(void (*open)(visit *v))
{
    int idle[MOST_IDS], n_idle = 0;
    for (unsigned n = 0; n < n_loops;) {
        assert_true(n_idle < MOST_IDS);
        open(&visits[n]);
        if (is_first_there(&visits[n], n))
            n++;
        idle[n_idle++] = client_connect(where); /* so that the next one comes to another loop */
    }
    while (n_idle)
        close(idle[--n_idle]);
    road = client_connect(where);
}

static void leave_all(void)
{
    for (unsigned i = 0; i < n_loops; i++)
        if (visits[i].events > 0)
            close(visits[i].events);
    memset(visits, 0, sizeof visits);
    close(road);
}

/* ---- weft.v1 ---- */

static void serve_protocol(void)
{
    static const char *const everything[] = {"*", NULL};
    assert_int_equal(weft_protocol(app, "/weft", &(weft_topics_options){.publish = everything}), 0);
    loops_begin();
}

static void open_polls(visit *v)
{
    int fd = client_connect(where);
    v->events = -1;
    assert_int_equal(ask(fd, NULL, "GET /weft?session=new"), 200);
    keep_id(v, "\"session\":\"");
    close(fd);
}

static void poll_once(visit *v, int fd, const char *expected)
{
    assert_int_equal(ask(fd, NULL, "GET /weft?session=%s&ack=%lu&wait=5", v->id, v->seq), 200);
    assert_non_null(strstr(client_bytes, v->id));
    assert_non_null(strstr(client_bytes, expected));
    v->seq++;
}

static void polls_of_weft_v1__go_to_their_session(void **state)
{
    (void)state;
    serve_protocol();
    visit_all(open_polls);
    for (int round = 0; round < ROUNDS; round++)
        for (unsigned i = 0; i < n_loops; i++) {
            char ping[64], pong[64];
            snprintf(ping, sizeof ping, "{\"type\":\"ping\",\"id\":\"%d-%u\"}", round, i);
            snprintf(pong, sizeof pong, "{\"type\":\"pong\",\"id\":\"%d-%u\"}", round, i);
            assert_int_equal(ask(road, ping, "POST /weft?session=%s", visits[i].id), 204);
            poll_once(&visits[i], road, pong);
        }
    leave_all();
}

/* A poll that waits over there is answered by what comes on another connection. */
static void polls_of_weft_v1__wait_where_their_session_is(void **state)
{
    (void)state;
    char line[256];
    serve_protocol();
    visit_all(open_polls);
    for (unsigned i = 0; i < n_loops; i++) {
        int waits = client_connect(where);
        assert_int_equal(ask(waits, "[]", "POST /weft?session=%s", visits[(i + 1) % n_loops].id), 204); /* it is away */
        snprintf(line, sizeof line, "GET /weft?session=%s&ack=%lu&wait=20 HTTP/1.1\r\nHost: localhost\r\n\r\n",
                 visits[i].id, visits[i].seq);
        client_write_text(waits, line);
        client_expect_silence(waits, 30);
        assert_int_equal(ask(road, "{\"type\":\"ping\"}", "POST /weft?session=%s", visits[i].id), 204);
        assert_int_equal(client_read_answer(waits, NULL), 200);
        assert_non_null(strstr(client_bytes, "\"pong\""));
        close(waits);
    }
    leave_all();
}

/* One chunk of a stream. */
static void read_event(int fd)
{
    char size[32] = "";
    for (size_t n = 0; n < 2 || memcmp(size + n - 2, "\r\n", 2) != 0; n++) {
        assert_true(n < sizeof size - 1);
        assert_int_equal(client_read(fd, size + n, 1), 1);
        if (n == 0)
            continue;
    }
    size_t len = strtoul(size, NULL, 16);
    assert_int_equal(client_read(fd, client_bytes, len + 2), len + 2);
    client_bytes[len] = '\0';
}

static void open_events(visit *v)
{
    if (v->events > 0)
        close(v->events);
    v->events = client_connect(where);
    client_write_text(v->events, "GET /weft HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n");
    assert_int_equal(client_read_head(v->events), 200);
    do
        read_event(v->events);
    while (!strstr(client_bytes, "\"hello\""));
    keep_id(v, "\"session\":\"");
}

static void posts_of_weft_v1__go_to_their_stream_of_events(void **state)
{
    (void)state;
    serve_protocol();
    visit_all(open_events);
    for (int round = 0; round < ROUNDS; round++)
        for (unsigned i = 0; i < n_loops; i++) {
            char ping[64], pong[64];
            snprintf(ping, sizeof ping, "{\"type\":\"ping\",\"id\":\"%d-%u\"}", round, i);
            snprintf(pong, sizeof pong, "{\"type\":\"pong\",\"id\":\"%d-%u\"}", round, i);
            assert_int_equal(ask(road, ping, "POST /weft?session=%s", visits[i].id), 204);
            read_event(visits[i].events);
            assert_non_null(strstr(client_bytes, pong));
        }
    leave_all();
}

/* The loop that is asked next does not know the id, wherever its number points. */
static void ids_with_another_loop__find_nothing(void **state)
{
    (void)state;
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    serve_protocol();
    visit_all(open_polls);
    for (unsigned i = 0; i < n_loops; i++)
        for (unsigned place = 0; place < 4 * 64; place++) {
            char id[ID_CHARS + 1];
            memcpy(id, visits[i].id, sizeof id);
            id[ID_CHARS - 2] = digits[place / 64];
            id[ID_CHARS - 1] = digits[place % 64];
            if (strcmp(id, visits[i].id) == 0)
                continue;
            assert_int_equal(ask(road, "[]", "POST /weft?session=%s", id), 404);
            assert_int_equal(ask(road, NULL, "GET /weft?session=%s&ack=0", id), 404);
        }
    for (unsigned i = 0; i < n_loops; i++)
        assert_int_equal(ask(road, "[]", "POST /weft?session=%s", visits[i].id), 204);
    leave_all();
}

/* ---- Engine.IO ---- */

#define POLLING "/engine.io/?EIO=4&transport=polling"

static void serve_engineio(void)
{
    assert_int_equal(weft_engineio(app, "/engine.io/", &(weft_engineio_options){.message = on_echo}), 0);
    loops_begin();
}

static void open_polling(visit *v, const char *request)
{
    int fd = client_connect(where);
    v->events = -1;
    assert_int_equal(ask(fd, NULL, "%s", request), 200);
    keep_id(v, "\"sid\":\"");
    close(fd);
}

static void open_engineio(visit *v)
{
    open_polling(v, "GET " POLLING);
}

static void engineio__polls_and_posts_go_to_their_session(void **state)
{
    (void)state;
    char packet[64];
    serve_engineio();
    visit_all(open_engineio);
    for (int round = 0; round < ROUNDS; round++) {
        for (unsigned i = 0; i < n_loops; i++) {
            snprintf(packet, sizeof packet, "4%d-%u", round, i);
            assert_int_equal(ask(road, packet, "POST " POLLING "&sid=%s", visits[i].id), 200);
            assert_string_equal(client_bytes, "ok");
        }
        for (unsigned i = 0; i < n_loops; i++) {
            snprintf(packet, sizeof packet, "4%d-%u", round, i);
            assert_int_equal(ask(road, NULL, "GET " POLLING "&sid=%s", visits[i].id), 200);
            assert_string_equal(client_bytes, packet);
        }
    }
    leave_all();
}

/* On a connection that was somewhere else just before. */
static void engineio__upgrades_go_to_their_session(void **state)
{
    (void)state;
    char path[256];
    serve_engineio();
    visit_all(open_engineio);
    for (unsigned i = 0; i < n_loops; i++) {
        int fd = client_connect(where);
        const visit *other = &visits[(i + 1) % n_loops];
        snprintf(path, sizeof path, "/engine.io/?EIO=4&transport=websocket&sid=%s", visits[i].id);
        if (i + 1 < n_loops) /* the first has a WebSocket by then */
            assert_int_equal(ask(fd, "4away", "POST " POLLING "&sid=%s", other->id), 200);
        client_ask(fd, path, "");
        client_send_text(fd, "2probe"); /* behind the head, before it is answered */
        client_expect_accepted(fd);
        client_expect_text(fd, "3probe");
        if (i)
            ask(road, NULL, "GET " POLLING "&sid=%s", visits[i].id);
        client_send_text(fd, "5");
        client_send_text(fd, "4hello");
        client_expect_text(fd, "4hello");
        close(fd);
    }
    leave_all();
}

static void engineio__ids_that_were_made_up_are_refused_as_ever(void **state)
{
    (void)state;
    serve_engineio();
    visit_all(open_engineio);
    for (unsigned place = 0; place < 8; place++) {
        assert_int_equal(ask(road, NULL, "GET " POLLING "&sid=AAAAAAAAAAAAAAAAAAAAA%c", 'A' + place), 400);
        assert_string_equal(client_bytes, "{\"code\":1,\"message\":\"Session ID unknown\"}");
        assert_int_equal(ask(road, "4x", "POST " POLLING "&sid=AAAAAAAAAAAAAAAAAAAAA%c", 'A' + place), 400);
        close(road); /* a refused POST ends its connection */
        road = client_connect(where);
    }
    leave_all();
}

/* ---- Socket.IO ---- */

#define SOCKETIO_POLLING "/socket.io/?EIO=4&transport=polling"

static void answer_event(weft_peer who, const weft_socketio_event *event)
{
    weft_socketio_emit_event(who, event);
    weft_socketio_acknowledge(event->ack, "[\"taken\"]");
}

static void open_socketio(visit *v)
{
    open_polling(v, "GET " SOCKETIO_POLLING);
}

/* Neither the polls nor the posts of a client need come to the loop that its sid names. */
static void socketio__polls_and_posts_go_to_their_session(void **state)
{
    (void)state;
    char packet[64], answer[128];
    assert_int_equal(weft_socketio(app, "/socket.io/", &(weft_socketio_options){.event = answer_event}), 0);
    loops_begin();
    visit_all(open_socketio);
    for (unsigned i = 0; i < n_loops; i++) {
        assert_int_equal(ask(road, "40", "POST " SOCKETIO_POLLING "&sid=%s", visits[i].id), 200);
        assert_int_equal(ask(road, NULL, "GET " SOCKETIO_POLLING "&sid=%s", visits[i].id), 200);
        assert_memory_equal(client_bytes, "40{\"sid\":\"", 10);
    }
    for (int round = 0; round < ROUNDS; round++)
        for (unsigned i = 0; i < n_loops; i++) {
            const visit *v = &visits[(i + (unsigned)round) % n_loops];
            snprintf(packet, sizeof packet, "42%d[\"said\",%u]", round, i);
            snprintf(answer, sizeof answer,
                     "42[\"said\",%u]\x1e"
                     "43%d[\"taken\"]",
                     i, round);
            assert_int_equal(ask(road, packet, "POST " SOCKETIO_POLLING "&sid=%s", v->id), 200);
            assert_string_equal(client_bytes, "ok");
            assert_int_equal(ask(road, NULL, "GET " SOCKETIO_POLLING "&sid=%s", v->id), 200);
            assert_string_equal(client_bytes, answer);
        }
    leave_all();
}

/* A poll waits at its session for what another loop's client says to all. */
static void socketio__polls_wait_where_their_session_is(void **state)
{
    (void)state;
    char line[256];
    assert_int_equal(weft_socketio(app, "/socket.io/", &(weft_socketio_options){.event = answer_event}), 0);
    loops_begin();
    visit_all(open_socketio);
    for (unsigned i = 0; i < n_loops; i++) {
        assert_int_equal(ask(road, "40", "POST " SOCKETIO_POLLING "&sid=%s", visits[i].id), 200);
        assert_int_equal(ask(road, NULL, "GET " SOCKETIO_POLLING "&sid=%s", visits[i].id), 200);
    }
    for (unsigned i = 0; i < n_loops; i++) {
        int waits[MOST_LOOPS];
        for (unsigned k = 0; k < n_loops; k++) { /* each on a connection that comes to any loop */
            waits[k] = client_connect(where);
            snprintf(line, sizeof line, "GET " SOCKETIO_POLLING "&sid=%s HTTP/1.1\r\nHost: localhost\r\n\r\n",
                     visits[(i + k) % n_loops].id);
            client_write_text(waits[k], line);
        }
        client_expect_silence(waits[0], 20);
        const weft_socketio_event event = {.name = weft_str_of("news"), .args = weft_str_of("[1]")};
        assert_int_equal(weft_socketio_broadcast(app, NULL, &event), 0);
        for (unsigned k = 0; k < n_loops; k++) {
            assert_int_equal(client_read_answer(waits[k], NULL), 200);
            assert_string_equal(client_bytes, "42[\"news\",1]");
            close(waits[k]);
        }
    }
    leave_all();
}

/* ---- the end ---- */

/* The status of one answer, whose body is read away; 0 when the connection ends before it is whole. By itself, as these are many threads. */
static int read_status(int fd)
{
    char bytes[2048];
    size_t len = 0, whole = SIZE_MAX;
    while (len < whole) {
        ssize_t n = len < sizeof bytes - 1 ? recv(fd, bytes + len, sizeof bytes - 1 - len, 0) : 0;
        if (n <= 0)
            return 0;
        len += (size_t)n;
        bytes[len] = '\0';
        const char *end = strstr(bytes, "\r\n\r\n"), *length = strstr(bytes, "Content-Length: ");
        if (end)
            whole = (size_t)(end - bytes) + 4 + (length && length < end ? strtoul(length + 16, NULL, 10) : 0);
    }
    return (int)strtol(bytes + strlen("HTTP/1.1 "), NULL, 10);
}

static void *wander(void *user)
{
    const unsigned *seed = user;
    int fd = client_connect(where);
    for (unsigned i = *seed;; i++) {
        char request[256];
        snprintf(request, sizeof request,
                 "POST /weft?session=%s HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n[]",
                 visits[i % n_loops].id);
        if (!client_try_write(fd, request, strlen(request)))
            break;
        int status = read_status(fd);
        if (!status)
            break;
        if (status != 204 && status != 503 && status != 404) /* the sessions end first, perhaps */
            return &road;
    }
    close(fd);
    return NULL;
}

/* Whoever is on the way when the application stops is answered or cut: nobody waits for ever, and nothing is left. */
static void stop__while_connections_wander_leaves_nobody_waiting(void **state)
{
    (void)state;
    pthread_t threads[N_THREADS];
    unsigned seeds[N_THREADS];
    serve_protocol();
    visit_all(open_polls);
    for (unsigned i = 0; i < N_THREADS; i++) {
        seeds[i] = i;
        assert_int_equal(pthread_create(&threads[i], NULL, wander, &seeds[i]), 0);
    }
    for (int i = 0; i < 50 * ROUNDS; i++)
        assert_int_equal(ask(road, "[]", "POST /weft?session=%s", visits[i % (int)n_loops].id), 204);
    weft_stop(app);
    assert_int_equal(loops_join(), 0);
    for (unsigned i = 0; i < N_THREADS; i++) {
        void *wrong;
        pthread_join(threads[i], &wrong);
        assert_null(wrong);
    }
    leave_all();
}

static void tell_loop(weft_exchange which, const weft_request *request, void *user)
{
    char text[16];
    const worker *here = loop_here()->owner;
    (void)request, (void)user;
    snprintf(text, sizeof text, "%u", here->number);
    weft_answer(which, 200, "text/plain", text, strlen(text));
}

static bool is_on_loop(int fd, unsigned number)
{
    assert_int_equal(ask(fd, NULL, "GET /loop"), 200);
    return strtoul(client_bytes, NULL, 10) == number;
}

/* Each goes to whichever has the fewest: those that came to another stay until one has come to this. */
static int connect_to_loop(unsigned number)
{
    int others[MOST_IDS], n = 0, fd;
    while (fd = client_connect(where), !is_on_loop(fd, number)) {
        assert_true(n < MOST_IDS);
        others[n++] = fd;
    }
    while (n)
        close(others[--n]);
    return fd;
}

static int setup_patient(void **state)
{
    loops_options.drain_timeout_ms = 3600000;
    return setup_loops(state);
}

static bool others_have_left(void)
{
    for (unsigned i = 1; i < n_loops; i++)
        if (!atomic_load(&app->workers[i].left))
            return false;
    return true;
}

/* Its request was under way when the application was stopped, and goes to a loop where nobody is any more: that one waits for it. */
static void stop__answers_who_is_on_the_way_and_the_last(void **state)
{
    (void)state;
    char request[256], id[ID_CHARS + 1] = "AAAAAAAAAAAAAAAAAAAA";
    assert_int_equal(weft_get(app, "/loop", tell_loop, NULL), 0);
    serve_protocol();
    int fd = connect_to_loop(0);
    unsigned elsewhere = app->workers[1].loop.index;
    id[ID_CHARS - 2] = (char)('A' + elsewhere / 64);
    id[ID_CHARS - 1] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"[elsewhere % 64];
    snprintf(request, sizeof request,
             "GET /loop HTTP/1.1\r\nHost: localhost\r\n\r\n"
             "POST /weft?session=%s HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n[",
             id);
    client_write_text(fd, request);
    assert_int_equal(client_read_answer(fd, NULL), 200);
    weft_stop(app);
    CLIENT_UNTIL(others_have_left());
    client_write_text(fd, "]");
    assert_int_equal(client_read_answer(fd, NULL), 404);
    client_expect_end(fd);
    assert_int_equal(loops_join(), 0);
}

#define PATIENT_TEST(f)                                                                                                \
    {#f " (two_loops)", f, setup_patient, teardown_loops, (void *)(uintptr_t)&two_loops},                              \
    {                                                                                                                  \
#f " (four_loops)", f, setup_patient, teardown_loops, (void *)(uintptr_t)&four_loops                           \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        LOOPS_TEST(polls_of_weft_v1__go_to_their_session),
        LOOPS_TEST(polls_of_weft_v1__wait_where_their_session_is),
        LOOPS_TEST(posts_of_weft_v1__go_to_their_stream_of_events),
        LOOPS_TEST(ids_with_another_loop__find_nothing),
        LOOPS_TEST(engineio__polls_and_posts_go_to_their_session),
        LOOPS_TEST(engineio__upgrades_go_to_their_session),
        LOOPS_TEST(engineio__ids_that_were_made_up_are_refused_as_ever),
        LOOPS_TEST(socketio__polls_and_posts_go_to_their_session),
        LOOPS_TEST(socketio__polls_wait_where_their_session_is),
        LOOPS_TEST(stop__while_connections_wander_leaves_nobody_waiting),
        PATIENT_TEST(stop__answers_who_is_on_the_way_and_the_last),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
