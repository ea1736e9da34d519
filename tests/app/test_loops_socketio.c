/* Socket.IO with several loops, over real sockets: what clients see of it, wherever each of them lives. */
#include "app/loops.h"

#define SOCKETIO_PATH "/socket.io/?EIO=4&transport=websocket"

enum { N = 8, SAID = 40 };

/** A client in the namespace "/". */
typedef struct {
    int fd;
    weft_peer peer;
    char id[24], pid[24], offset[64];
} member;

static atomic_int n_left;

/* ----------------------------------------------------------------------------------------------------------- the program */

static void tell_who(weft_peer who)
{
    char text[32];
    snprintf(text, sizeof text, "[\"%llx\"]", (unsigned long long)who.id);
    weft_socketio_emit(who, weft_socketio_recovered(who) ? "again" : "you", text);
    atomic_fetch_add(&n_opened, 1);
}

static void count_left(weft_peer who, int code, weft_str reason)
{
    (void)who, (void)code, (void)reason;
    atomic_fetch_add(&n_left, 1);
}

/* A string argument. */
static void text_of(const weft_socketio_event *event, size_t n, char *to, size_t room)
{
    assert_true(weft_json_text(weft_socketio_argument(event, n), to, room) >= 0);
}

static void *acknowledge_late(void *user)
{
    weft_socketio_ack *ack = user;
    assert_int_equal(weft_socketio_acknowledge(*ack, "[\"late\"]"), 0);
    free(ack);
    return NULL;
}

static void on_thread(void *(*fn)(void *), const void *user, size_t bytes)
{
    pthread_t thread;
    void *copy = malloc(bytes);
    assert_non_null(copy);
    memcpy(copy, user, bytes);
    assert_int_equal(pthread_create(&thread, NULL, fn, copy), 0);
    pthread_detach(thread);
}

/* say N: to all. room R N: to a room, but not to the sender. mine R: joins. leave R: leaves. pull R S: those of R join S. whisper HANDLE N: to one.
 * kick HANDLE: its connection ends. late: acknowledged by another thread. */
static void on_event(weft_peer who, const weft_socketio_event *event)
{
    char a[64], b[64];
    const char *rooms[2] = {a, NULL};
    weft_socketio_event out = {.name = weft_str_of("n"), .args = event->args};
    if (weft_socketio_event_is(event, "say")) {
        assert_int_equal(weft_socketio_broadcast(weft_of(who), NULL, &out), 0);
    } else if (weft_socketio_event_is(event, "room")) {
        text_of(event, 0, a, sizeof a);
        assert_int_equal(
            weft_socketio_broadcast(weft_of(who), &(weft_socketio_target){.rooms = rooms, .sender = who}, &out), 0);
    } else if (weft_socketio_event_is(event, "mine")) {
        text_of(event, 0, a, sizeof a);
        assert_int_equal(weft_socketio_join(who, a), 0);
        weft_socketio_emit(who, "in", NULL);
    } else if (weft_socketio_event_is(event, "pull")) {
        text_of(event, 0, a, sizeof a);
        text_of(event, 1, b, sizeof b);
        assert_int_equal(weft_socketio_sockets_join(weft_of(who), &(weft_socketio_target){.rooms = rooms}, b), 0);
    } else if (weft_socketio_event_is(event, "whisper")) {
        text_of(event, 0, a, sizeof a);
        assert_true(weft_socketio_emit_event((weft_peer){strtoull(a, NULL, 16)}, &out) >= 0);
    } else if (weft_socketio_event_is(event, "kick")) {
        text_of(event, 0, a, sizeof a);
        assert_int_equal(weft_socketio_disconnect((weft_peer){strtoull(a, NULL, 16)}), 0);
    } else if (weft_socketio_event_is(event, "late")) {
        on_thread(acknowledge_late, &event->ack, sizeof event->ack);
    }
}

static const weft_socketio_options plain = {.open = tell_who, .event = on_event, .close = count_left};
static const weft_socketio_options recovering = {
    .open = tell_who, .event = on_event, .close = count_left, .recovery_ms = 20000};

static void have_socketio(const weft_socketio_options *options)
{
    n_left = 0;
    assert_int_equal(weft_socketio(app, "/socket.io/", options), 0);
}

/* ----------------------------------------------------------------------------------------------------------- clients */

static const char *next_text(int fd)
{
    client_frame frame;
    do {
        frame = client_receive(fd);
        assert_int_equal(frame.opcode, CLIENT_TEXT);
    } while (strcmp(frame.at, "2") == 0);
    return frame.at;
}

static void take_quoted(const char *text, const char *before, char *to, size_t room)
{
    const char *at = strstr(text, before);
    *to = '\0';
    if (at)
        snprintf(to, room, "%.*s", (int)strcspn(at + strlen(before), "\""), at + strlen(before));
}

/* `packet` is its CONNECT. */
static member comes_with(const char *packet)
{
    member m = {.fd = client_open(where, SOCKETIO_PATH)};
    assert_memory_equal(next_text(m.fd), "0{\"sid\":\"", 9);
    client_send_text(m.fd, packet);
    const char *text = next_text(m.fd);
    assert_memory_equal(text, "40", 2);
    take_quoted(text, "\"sid\":\"", m.id, sizeof m.id);
    take_quoted(text, "\"pid\":\"", m.pid, sizeof m.pid);
    return m;
}

static void read_handle(member *m, const char *text)
{
    char hex[32];
    take_quoted(text, ",\"", hex, sizeof hex);
    m->peer.id = strtoull(hex, NULL, 16);
    assert_true(m->peer.id != 0);
    take_quoted(strstr(text, ",\"") + 2, ",\"", m->offset, sizeof m->offset);
}

static member comes(void)
{
    member m = comes_with("40");
    read_handle(&m, next_text(m.fd));
    return m;
}

static void all_come(member *all, int n)
{
    for (int i = 0; i < n; i++)
        all[i] = comes();
}

static void all_leave(const member *all, int n)
{
    for (int i = 0; i < n; i++)
        client_leave(all[i].fd);
}

static void say(const member *m, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void say(const member *m, const char *format, ...)
{
    char text[256];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    client_send_text(m->fd, text);
}

static void expect(const member *m, const char *text)
{
    assert_string_equal(next_text(m->fd), text);
}

static void joins(const member *m, const char *room)
{
    say(m, "42[\"mine\",\"%s\"]", room);
    assert_memory_equal(next_text(m->fd), "42[\"in\"", 7);
}

static bool is_elsewhere(const member *a, const member *b)
{
    return loop_of(a->peer) != loop_of(b->peer);
}

/* ------------------------------------------------------------------------------------------------------------- many */

/* All say something at the same time: everybody hears the same, and everyone's own in its order. */
static void broadcast__comes_in_one_order(void **state)
{
    static char heard[N][N * SAID][32];
    int next[N] = {0};
    member all[N];
    (void)state;
    have_socketio(&plain);
    loops_begin();
    all_come(all, N);
    for (int k = 0; k < SAID; k++)
        for (int i = 0; i < N; i++)
            say(&all[i], "42[\"say\",%d,%d]", i, k);
    for (int i = 0; i < N; i++)
        for (int k = 0; k < N * SAID; k++)
            snprintf(heard[i][k], sizeof heard[i][k], "%s", next_text(all[i].fd));
    for (int i = 1; i < N; i++)
        assert_memory_equal(heard[i], heard[0], sizeof heard[0]);
    for (int k = 0; k < N * SAID; k++) {
        int who, what;
        assert_int_equal(sscanf(heard[0][k], "42[\"n\",%d,%d]", &who, &what), 2);
        assert_int_equal(what, next[who]++);
    }
    all_leave(all, N);
}

static void room__has_members_on_all_loops(void **state)
{
    member all[N];
    (void)state;
    have_socketio(&plain);
    loops_begin();
    all_come(all, N);
    for (int i = 0; i < N; i++)
        joins(&all[i], i < N / 2 ? "low" : "high");
    joins(&all[0], "both");
    joins(&all[N - 1], "both");
    say(&all[0], "42[\"room\",\"low\",1]");
    for (int i = 1; i < N / 2; i++)
        expect(&all[i], "42[\"n\",\"low\",1]");
    say(&all[0], "42[\"pull\",\"both\",\"high\"]");
    say(&all[1], "42[\"say\",2]"); /* another loop's order may come first: wait for it */
    for (int i = 0; i < N; i++)
        expect(&all[i], "42[\"n\",2]");
    const char *rooms[] = {"low", "high", NULL}, *except[] = {"both", NULL};
    const weft_socketio_event event = {.name = weft_str_of("u"), .args = weft_str_of("[ 3 ]")};
    assert_int_equal(weft_socketio_broadcast(app, &(weft_socketio_target){.rooms = rooms, .except = except}, &event),
                     0);
    assert_int_equal(weft_socketio_broadcast(app, NULL, &event), 0);
    for (int i = 0; i < N; i++) {
        expect(&all[i], "42[\"u\",3]");
        if (i != 0 && i != N - 1)
            expect(&all[i], "42[\"u\",3]");
    }
    all_leave(all, N);
}

static void sockets__are_disconnected_wherever_they_are(void **state)
{
    member all[N];
    const char *rooms[] = {"out", NULL};
    (void)state;
    have_socketio(&plain);
    loops_begin();
    all_come(all, N);
    for (int i = 0; i < N - 1; i++)
        joins(&all[i], "out");
    assert_int_equal(weft_socketio_sockets_disconnect(app, &(weft_socketio_target){.rooms = rooms}, 1), 0);
    for (int i = 0; i < N - 1; i++) {
        expect(&all[i], "41");
        client_expect_close(all[i].fd, 0);
        close(all[i].fd);
    }
    say(&all[N - 1], "42[\"say\",1]");
    expect(&all[N - 1], "42[\"n\",1]");
    client_leave(all[N - 1].fd);
}

/* ---------------------------------------------------------------------------------------------------------------- one */

static void emit__reaches_a_socket_of_another_loop(void **state)
{
    member all[N];
    char text[64];
    (void)state;
    have_socketio(&plain);
    loops_begin();
    all_come(all, N);
    for (int i = 0; i < N; i++) {
        const member *to = &all[(i + 1) % N];
        say(&all[i], "42[\"whisper\",\"%llx\",7]", (unsigned long long)to->peer.id);
        snprintf(text, sizeof text, "42[\"n\",\"%llx\",7]", (unsigned long long)to->peer.id);
        expect(to, text);
        assert_true(weft_socketio_emit(to->peer, "outside", "[1]") >= 0);
        expect(to, "42[\"outside\",1]");
    }
    say(&all[0], "42[\"kick\",\"%llx\"]", (unsigned long long)all[1].peer.id);
    expect(&all[1], "41");
    all_leave(all, 1);
}

static void acknowledgement__comes_from_another_thread(void **state)
{
    member all[N];
    (void)state;
    have_socketio(&plain);
    loops_begin();
    all_come(all, N);
    for (int i = 0; i < N; i++)
        say(&all[i], "42%d[\"late\"]", i);
    for (int i = 0; i < N; i++) {
        char text[32];
        snprintf(text, sizeof text, "43%d[\"late\"]", i);
        expect(&all[i], text);
    }
    all_leave(all, N);
}

static void *admit(void *user)
{
    const weft_peer *who = user;
    assert_int_equal(weft_socketio_admit(*who), 0);
    free(user);
    return NULL;
}

static void ask_a_thread(weft_peer who)
{
    on_thread(admit, &who, sizeof who);
}

static void gate__is_answered_by_another_thread(void **state)
{
    member all[N];
    weft_socketio_options gated = plain;
    (void)state;
    gated.gate = ask_a_thread;
    have_socketio(&gated);
    loops_begin();
    all_come(all, N);
    say(&all[3], "42[\"say\",1]");
    for (int i = 0; i < N; i++)
        expect(&all[i], "42[\"n\",1]");
    all_leave(all, N);
}

/* A client that was let in hears what is said from then on, as the others know of it: here all that another says, who was told so. */
static void namespace__that_is_new_on_a_loop_misses_nothing(void **state)
{
    (void)state;
    have_socketio(&plain);
    assert_int_equal(weft_socketio_namespace(app, "/socket.io/", "/game-*", &plain), 0);
    loops_begin();
    for (int k = 0; k < 30; k++) {
        char packet[32], text[64];
        member first, second;
        snprintf(packet, sizeof packet, "40/game-%d,", k);
        first = comes_with(packet);
        next_text(first.fd);
        second = comes_with(packet);
        next_text(second.fd);
        packet[strlen(packet) - 1] = '\0';
        const weft_socketio_event event = {.name = weft_str_of("n"), .args = weft_str_of("[0]")};
        assert_int_equal(weft_socketio_broadcast(app, &(weft_socketio_target){.nsp = packet + 2}, &event), 0);
        snprintf(text, sizeof text, "42/game-%d,[\"n\",0]", k);
        expect(&first, text);
        expect(&second, text);
        client_leave(first.fd);
        client_leave(second.fd);
    }
}

/* ---------------------------------------------------------------------------------------------------------- recovery */

static int number_of(const char *text, char *offset, size_t room)
{
    int number;
    if (sscanf(text, "42[\"n\",%d,", &number) != 1)
        return -1;
    take_quoted(text + 6, ",\"", offset, room);
    return number;
}

/* Lost while others talk, and back wherever it is put: each number once, in order. */
static void recovery__has_no_hole_on_any_loop(void **state)
{
    member others[N - 1], m;
    int next = 0, elsewhere = 0;
    (void)state;
    have_socketio(&recovering);
    loops_begin();
    m = comes();
    all_come(others, N - 1);
    for (int round = 0, said = 0; round < 24; round++) {
        char packet[256], id[24], offset[64];
        unsigned before = loop_of(m.peer);
        bool known = false;
        for (int k = 0; k < 5; k++)
            say(&others[round % (N - 1)], "42[\"say\",%d]", said++);
        for (int k = 0; k < 3; k++)
            assert_int_equal(number_of(next_text(m.fd), m.offset, sizeof m.offset), next++);
        if (round % 3)
            client_reset(m.fd);
        int old = round % 3 ? -1 : m.fd;
        snprintf(packet, sizeof packet, "40{\"pid\":\"%s\",\"offset\":\"%s\"}", m.pid, m.offset);
        snprintf(id, sizeof id, "%s", m.id);
        snprintf(offset, sizeof offset, "%s", m.offset);
        m = comes_with(packet);
        assert_string_equal(m.id, id);
        snprintf(m.offset, sizeof m.offset, "%s", offset);
        while (next < said || !known) {
            const char *text = next_text(m.fd);
            if (strncmp(text, "42[\"again\",", 11) == 0) {
                char hex[32];
                take_quoted(text, ",\"", hex, sizeof hex);
                m.peer.id = strtoull(hex, NULL, 16);
                take_quoted(strstr(text, ",\"") + 2, ",\"", m.offset, sizeof m.offset);
                known = true;
            } else if (strncmp(text, "42[\"you\",",
                               9)) { /* what `open` said to it when it was new may be among what it missed */
                assert_int_equal(number_of(text, m.offset, sizeof m.offset), next++);
            }
        }
        elsewhere += loop_of(m.peer) != before;
        if (old >= 0)
            close(old);
    }
    assert_true(elsewhere > 0);
    client_leave(m.fd);
    for (int i = 0; i < N - 1; i++)
        close(others[i].fd); /* they have read nothing of it */
}

/* ----------------------------------------------------------------------------------------------------------- bridges */

static void bridge__joins_rooms_and_topics_of_any_home(void **state)
{
    enum { BRIDGES = 6 };
    member all[N];
    char room[16], name[16], text[64];
    const char *rooms[] = {room, NULL};
    (void)state;
    have_socketio(&plain);
    for (int k = 0; k < BRIDGES; k++) {
        snprintf(room, sizeof room, "r%d", k);
        snprintf(name, sizeof name, "t%d", k);
        assert_int_equal(weft_socketio_bridge(app, &(weft_socketio_target){.rooms = rooms}, name), 0);
    }
    loops_begin();
    all_come(all, N);
    for (int i = 0; i < N; i++)
        for (int k = 0; k < BRIDGES; k++) {
            snprintf(room, sizeof room, "r%d", k);
            joins(&all[i], room);
        }
    for (int k = 0; k < BRIDGES; k++) {
        snprintf(name, sizeof name, "t%d", k);
        snprintf(room, sizeof room, "r%d", k);
        snprintf(text, sizeof text, "42[\"message\",\"%s\"]", name);
        assert_int_equal(weft_publish_text(app, name, name), 0);
        for (int i = 0; i < N; i++)
            expect(&all[i], text);
        say(&all[k], "42[\"room\",\"%s\",%d]", room, k);
        snprintf(text, sizeof text, "42[\"n\",\"%s\",%d]", room, k);
        for (int i = 0; i < N; i++)
            if (i != k)
                expect(&all[i], text);
    }
    all_leave(all, N);
}

/* --------------------------------------------------------------------------------------------------------------- end */

static void stop__tells_the_clients_of_all_loops(void **state)
{
    member all[N];
    (void)state;
    have_socketio(&recovering);
    loops_begin();
    all_come(all, N);
    assert_true(is_elsewhere(&all[0], &all[1]) || is_elsewhere(&all[0], &all[2]));
    weft_stop(app);
    for (int i = 0; i < N; i++) {
        client_expect_close(all[i].fd, 1001);
        close(all[i].fd);
    }
    assert_int_equal(loops_join(), 0);
    assert_int_equal(n_left, N);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LOOPS_TEST(broadcast__comes_in_one_order),
        LOOPS_TEST(room__has_members_on_all_loops),
        LOOPS_TEST(sockets__are_disconnected_wherever_they_are),
        LOOPS_TEST(emit__reaches_a_socket_of_another_loop),
        LOOPS_TEST(acknowledgement__comes_from_another_thread),
        LOOPS_TEST(gate__is_answered_by_another_thread),
        LOOPS_TEST(namespace__that_is_new_on_a_loop_misses_nothing),
        LOOPS_TEST(recovery__has_no_hole_on_any_loop),
        LOOPS_TEST(bridge__joins_rooms_and_topics_of_any_home),
        LOOPS_TEST(stop__tells_the_clients_of_all_loops),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
