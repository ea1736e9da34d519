/* Sockets, rooms, emits and the log together: what a client gets that was away. */
#include "transport/socketio_fixture.h"

#include <time.h>

enum { RECOVERY_MS = 1000, ROOMS = 4, PEOPLE = 6, STEPS = 8000, MOST_HEARD = 256, MOST_PACKETS = 40 };

static const weft_socketio_options recovering = {TELLS, .recovery_ms = RECOVERY_MS, .recovery_messages = MOST_PACKETS};

/* ---- a clock that stands still until a test puts it forward ---- */

static uint64_t clock_ms = 1000000;

int clock_gettime(clockid_t clock, struct timespec *ret_now)
{
    (void)clock;
    *ret_now = (struct timespec){(time_t)(clock_ms / 1000), (long)(clock_ms % 1000 * 1000000)};
    return 0;
}

static void pass_ms(uint64_t ms)
{
    clock_ms += ms;
    turn();
}

static socketio_namespace *root(void)
{
    return socketio_namespace_find(stage.route, &stage.hub, STR("/"));
}

/** Letters of rooms. */
static uint32_t rooms_of(const char *letters, str rooms[ROOMS])
{
    uint32_t n = 0;
    for (; *letters; letters++)
        rooms[n++] = (str){letters, 1};
    return n;
}

/** 42["n",NUMBER,"offset"] */
static uint64_t emit(const char *to_rooms, const char *except_rooms, const socketio_socket *sender)
{
    char args[32];
    str rooms[ROOMS], except[ROOMS];
    uint64_t number = socketio_log_head(root()->log) + 1;
    const socketio_audience to = {.rooms = rooms,
                                  .n_rooms = rooms_of(to_rooms, rooms),
                                  .except = except,
                                  .n_except = rooms_of(except_rooms, except),
                                  .sender = sender};
    snprintf(args, sizeof args, "[%llu]", (unsigned long long)number);
    const socketio_emission what = {.name = STR("n"), .args = str_from(args)};
    stage.calls++;
    assert_int_equal(socketio_broadcast(root(), &to, &what), 0);
    stage.calls--;
    return number;
}

/** A socket in "/" that is new. */
static line *come(void)
{
    line *l = line_new();
    say(l, "0");
    turn();
    assert_false(socket_in(l, "/")->recovered);
    l->wire[0] = stage.told[0] = '\0';
    return l;
}

typedef struct {
    char id[SOCKETIO_ID_BYTES + 1], pid[SOCKETIO_ID_BYTES + 1];
} names;

static names names_of(const socketio_socket *s)
{
    names n = {0};
    memcpy(n.id, s->id, SOCKETIO_ID_BYTES);
    memcpy(n.pid, s->pid, SOCKETIO_ID_BYTES);
    return n;
}

static line *come_back(const char *nsp, const char *pid, const char *offset)
{
    char packet[256];
    line *l = line_new();
    const char *comma = *nsp ? "," : "";
    if (offset)
        snprintf(packet, sizeof packet, "0%s%s{\"pid\":\"%s\",\"offset\":\"%s\"}", nsp, comma, pid, offset);
    else
        snprintf(packet, sizeof packet, "0%s%s{\"pid\":\"%s\"}", nsp, comma, pid);
    say(l, packet);
    return l;
}

static char offsets[STEPS + 100][SOCKETIO_OFFSET_BYTES + 1]; /* by number */

/** The numbers that it was sent. Forgets them, but for their offsets. */
static size_t read_events(line *l, uint64_t numbers[MOST_HEARD])
{
    size_t n = 0;
    for (const char *at = l->wire; (at = strstr(at, "42[\"n\",")) != NULL; n++) {
        char *end;
        assert_true(n < MOST_HEARD);
        numbers[n] = strtoull(at + 7, &end, 10);
        assert_true(numbers[n] < N_OF(offsets));
        assert_int_equal(sscanf(end, ",\"%40[^\"]\"]", offsets[numbers[n]]), 1);
        at = end;
    }
    l->wire[0] = '\0';
    return n;
}

static void assert_events(line *l, const char *expected)
{
    char text[LOG_BYTES] = "";
    uint64_t numbers[MOST_HEARD];
    size_t n = read_events(l, numbers);
    for (size_t i = 0; i < n; i++)
        sprintf(text + strlen(text), "%llu ", (unsigned long long)numbers[i]);
    assert_string_equal(text, expected);
}

static void join(socketio_socket *s, const char *letter)
{
    assert_int_equal(socketio_join(s, str_from(letter)), 0);
}

/* ------------------------------------------------------------------------------------------------------------- by hand */

static void recovery__follows_a_socket_through_its_rooms(void **state)
{
    (void)state;
    add_route(&recovering);
    line *l = come();
    socketio_socket *s = socket_in(l, "/");
    names who = names_of(s);
    emit("a", "", NULL); /* 1: too early */
    join(s, "a");        /* 2 */
    emit("a", "", NULL); /* 3 */
    emit("b", "", NULL); /* 4: too early */
    join(s, "b");        /* 5 */
    socketio_leave(s, STR("a"));
    emit("a", "", NULL); /* 7: too late */
    emit("", "b", NULL); /* 8: not for it */
    emit("", "a", NULL); /* 9 */
    assert_events(l, "3 9 ");
    lose(l, ENGINEIO_PING_TIMEOUT); /* and of all this it has got nothing */
    turn();
    emit("b", "", NULL); /* 10 */
    l = come_back("", who.pid, NULL);
    s = socket_in(l, "/");
    assert_true(s->recovered);
    assert_string_equal(names_of(s).id, who.id);
    assert_events(l, "3 9 10 ");
    assert_int_equal(s->n_rooms, 1);
    emit("b", "", NULL);
    emit("a", "", NULL);
    assert_events(l, "11 ");
}

static void recovery__takes_over_what_seems_to_be_there(void **state)
{
    (void)state;
    add_route(&recovering);
    line *old = come();
    names who = names_of(socket_in(old, "/"));
    join(socket_in(old, "/"), "a");
    emit("a", "", NULL);
    line *l = come_back("", who.pid, NULL);
    emit("a", "", NULL); /* in the same turn */
    turn();
    assert_log(stage.told, "close:1006:transport close open ");
    assert_null(old->client);
    assert_true(socket_in(l, "/")->recovered);
    assert_events(l, "2 3 ");
    assert_events(old, "2 ");
    assert_int_equal(root()->n_sockets, 1);
}

static void recovery__takes_over_in_each_namespace(void **state)
{
    (void)state;
    socketio_route *route = add_route(&recovering);
    assert_int_equal(socketio_route_add(route, "/x", &recovering), 0);
    line *old = come();
    say(old, "0/x,");
    turn();
    names in_root = names_of(socket_in(old, "/")), in_x = names_of(socket_in(old, "/x"));
    line *l = come_back("", in_root.pid, NULL);
    char packet[100];
    snprintf(packet, sizeof packet, "0/x,{\"pid\":\"%s\"}", in_x.pid);
    say(l, packet);
    turn();
    assert_true(socket_in(l, "/")->recovered);
    assert_true(socket_in(l, "/x")->recovered);
    assert_string_equal(names_of(socket_in(l, "/x")).id, in_x.id);
    assert_null(old->client);
}

static void recovery__keeps_no_namespace_that_nobody_comes_back_to(void **state)
{
    (void)state;
    socketio_route *route = add_route(&recovering);
    assert_int_equal(socketio_route_add(route, "/x-*", &recovering), 0);
    line *l = come();
    say(l, "0/x-left,");
    turn();
    say(l, "1/x-left,");
    turn();
    assert_null(socketio_namespace_find(route, &stage.hub, STR("/x-left")));
    say(l, "0/x-lost,");
    turn();
    lose(l, ENGINEIO_TRANSPORT_CLOSE);
    turn();
    assert_non_null(socketio_namespace_find(route, &stage.hub, STR("/x-lost")));
    pass_ms(RECOVERY_MS * 2);
    assert_null(socketio_namespace_find(route, &stage.hub, STR("/x-lost")));
}

static void recovery__without_memory_cuts_or_begins_anew(void **state)
{
    (void)state;
    int n_recovered = 0, n_other = 0;
    add_route(&recovering);
    line *observer = come();
    for (uint64_t n = 1; n < 40; n++) {
        if (stage.n_lines > 50)
            break;
        line *l = come();
        names who = names_of(socket_in(l, "/"));
        join(socket_in(l, "/"), "a");
        uint64_t number = emit("a", "", NULL);
        lose(l, ENGINEIO_TRANSPORT_CLOSE);
        turn();
        pool_done(&stage.loop.blocks);
        l = line_new();
        char packet[100], expected[32];
        snprintf(packet, sizeof packet, "0{\"pid\":\"%s\"}", who.pid);
        mem_fail_from(n);
        say(l, packet);
        mem_fail_from(0);
        socketio_socket *s = socket_in(l, "/");
        if (s && s->recovered && socketio_client_lives(l->client)) {
            snprintf(expected, sizeof expected, "%llu ", (unsigned long long)number);
            assert_events(l, expected);
            assert_int_equal(s->n_rooms, 1);
            n_recovered++;
        } else {
            n_other++;
        }
        turn();
        observer->wire[0] = '\0';
        stage.told[0] = '\0';
    }
    assert_true(n_recovered > 0 && n_other > 0);
}

/* ---------------------------------------------------------------------------------------------------------- the model
 * As in test_socketio_log.c, but with nothing of Socket.IO scripted: everybody gets what was meant for them, in order and once, or knows that they do not. */

typedef struct {
    line *line;
    names who;
    bool in[ROOMS];
    bool away, unnoticed; /* its connection is lost; and the server does not know */
    uint64_t cut_ms;
    uint64_t got[MOST_HEARD], should[MOST_HEARD];
    size_t n_got, n_should, n_sure;
    uint64_t had, had_before, joined_at;
} person;

static person people[PEOPLE];
static uint64_t happened_ms[STEPS + 100], packets[STEPS + 100];
static size_t n_packets;
static void note_step(void)
{
    happened_ms[socketio_log_head(root()->log)] = clock_ms;
}

/** A line that nobody is on any more makes room for another. */
static void forget_lines(void)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < stage.n_lines; i++) {
        if (stage.lines[i]->client)
            stage.lines[kept++] = stage.lines[i];
        else
            free(stage.lines[i]);
    }
    stage.n_lines = kept;
    stage.told[0] = '\0';
}

static void forget_past(person *p)
{
    p->n_got = p->n_should = p->n_sure = 0;
    p->had_before = p->had;
}

static void begin(person *p, line *l)
{
    *p = (person){.line = l, .who = names_of(socket_in(l, "/")), .joined_at = socketio_log_head(root()->log)};
}

/** What has come to it, or would have. */
static void collect(person *p)
{
    uint64_t numbers[MOST_HEARD];
    if (!p->line)
        return;
    size_t n = read_events(p->line, numbers);
    drain_line(p->line);
    if (p->away)
        return;
    for (size_t i = 0; i < n; i++) {
        assert_true(p->n_got < MOST_HEARD);
        p->got[p->n_got++] = p->had = numbers[i];
    }
}

static bool meant(const person *p, const char *rooms, const char *except)
{
    bool is = !*rooms;
    for (; *rooms; rooms++)
        is |= p->in[*rooms - 'a'];
    for (; *except; except++)
        is &= !p->in[*except - 'a'];
    return is;
}

static void pick(unsigned *seed, char rooms[ROOMS + 1])
{
    size_t n = 0;
    for (int i = 0; i < ROOMS; i++)
        if (rand_r(seed) % 3 == 0)
            rooms[n++] = (char)('a' + i);
    rooms[n] = '\0';
}

static void expect(person *p, uint64_t number)
{
    if (p->n_should >= MOST_HEARD / 2 && !p->away) {
        assert_int_equal(p->n_got, p->n_should);
        assert_memory_equal(p->got, p->should, p->n_got * sizeof *p->got);
        forget_past(p);
    }
    if (p->n_should < MOST_HEARD)
        p->should[p->n_should++] = number;
}

static void model_emit(unsigned *seed)
{
    char rooms[ROOMS + 1], except[ROOMS + 1];
    pick(seed, rooms);
    pick(seed, except);
    if (rand_r(seed) % 2)
        except[0] = '\0';
    person *sender = rand_r(seed) % 4 ? NULL : &people[rand_r(seed) % PEOPLE];
    if (sender && sender->away)
        sender = NULL;
    uint64_t number = emit(rooms, except, sender ? socket_in(sender->line, "/") : NULL);
    note_step();
    packets[n_packets++] = number;
    for (person *p = people; p < people + PEOPLE; p++) {
        if (p != sender && meant(p, rooms, except))
            expect(p, number);
        collect(p);
    }
}

static void model_whisper(person *p)
{
    char args[32];
    uint64_t number = socketio_log_head(root()->log) + 1;
    if (p->away && !p->unnoticed)
        return;
    snprintf(args, sizeof args, "[%llu]", (unsigned long long)number);
    const socketio_emission what = {.name = STR("n"), .args = str_from(args)};
    assert_int_equal(socketio_emit(socket_in(p->line, "/"), &what, NULL), 0);
    note_step();
    packets[n_packets++] = number;
    expect(p, number);
    collect(p);
}

static void model_move(person *p, unsigned *seed)
{
    int i = rand_r(seed) % ROOMS;
    const char room = (char)('a' + i);
    if (p->away && !p->unnoticed)
        return;
    socketio_socket *s = socket_in(p->line, "/");
    if (p->in[i])
        socketio_leave(s, (str){&room, 1});
    else
        assert_int_equal(socketio_join(s, (str){&room, 1}), 0);
    p->in[i] = !p->in[i];
    note_step();
}

static void model_cut(person *p, unsigned *seed)
{
    if (p->away)
        return;
    size_t most = p->n_got - p->n_sure, lost = most ? (size_t)rand_r(seed) % (most < 5 ? most + 1 : 5) : 0;
    p->n_got -= lost;
    if (lost)
        p->had = p->n_got ? p->got[p->n_got - 1] : p->had_before;
    p->away = true;
    p->cut_ms = clock_ms;
    p->unnoticed = rand_r(seed) % 4 == 0;
    if (p->unnoticed)
        return;
    lose(p->line, ENGINEIO_TRANSPORT_CLOSE);
    p->line = NULL;
    turn();
}

static bool is_covered(const person *p)
{
    uint64_t has = p->had > p->joined_at ? p->had : p->joined_at, head = socketio_log_head(root()->log);
    if (n_packets > MOST_PACKETS && has < packets[n_packets - MOST_PACKETS - 1])
        return false;
    return has == head || happened_ms[has + 1] + RECOVERY_MS > clock_ms;
}

static bool model_back(person *p)
{
    if (!p->away)
        return false;
    bool expected = is_covered(p) && (p->unnoticed || p->cut_ms + RECOVERY_MS > clock_ms);
    p->line = come_back("", p->who.pid, p->had ? offsets[p->had] : NULL);
    turn();
    socketio_socket *s = socket_in(p->line, "/");
    assert_int_equal(s->recovered, expected);
    if (!expected) {
        begin(p, p->line);
        forget_lines();
        return false;
    }
    assert_string_equal(names_of(s).id, p->who.id);
    p->away = p->unnoticed = false;
    p->n_sure = p->n_got;
    collect(p);
    assert_int_equal(p->n_got, p->n_should);
    assert_memory_equal(p->got, p->should, p->n_got * sizeof *p->got);
    forget_lines();
    return true;
}

static void model__everybody_gets_what_was_meant_for_them(void **state)
{
    (void)state;
    unsigned seed = 4711;
    size_t n_recovered = 0;
    add_route(&recovering);
    line *observer = come(); /* so that the namespace stays */
    n_packets = 0;
    for (person *p = people; p < people + PEOPLE; p++)
        begin(p, come());
    for (int step = 0; step < STEPS; step++) {
        person *p = &people[rand_r(&seed) % PEOPLE];
        unsigned what = (unsigned)rand_r(&seed) % 100;
        if (what < 40)
            model_emit(&seed);
        else if (what < 50)
            model_whisper(p);
        else if (what < 60)
            model_move(p, &seed);
        else if (what < 70)
            model_cut(p, &seed);
        else if (what < 90)
            n_recovered += model_back(p);
        else
            pass_ms((uint64_t)rand_r(&seed) % 60);
        observer->wire[0] = '\0';
        drain_line(observer);
    }
    assert_true(n_recovered > 200);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        STAGE_TEST(recovery__follows_a_socket_through_its_rooms),
        STAGE_TEST(recovery__takes_over_what_seems_to_be_there),
        STAGE_TEST(recovery__takes_over_in_each_namespace),
        STAGE_TEST(recovery__keeps_no_namespace_that_nobody_comes_back_to),
        STAGE_TEST(recovery__without_memory_cuts_or_begins_anew),
        STAGE_TEST(model__everybody_gets_what_was_meant_for_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
