#include "transport/socketio_fixture.h"

static const weft_socketio_options plain = {TELLS};

enum { CLIENTS = 12, ROOMS = 5, STEPS = 4000 };

static socketio_namespace *main_namespace(void)
{
    return socketio_namespace_find(stage.route, &stage.hub, STR("/"));
}

static socketio_socket *socket_at(line *const *all, uint32_t i)
{
    return socket_in(all[i], "/");
}

static void meet(socketio_socket *s, void *user)
{
    char *seen = user;
    for (uint32_t i = 0; i < stage.n_lines; i++)
        if (socket_in(stage.lines[i], "/") == s)
            seen[i]++;
}

static void room__has_a_name_of_1_to_255_bytes_of_utf8(void **state)
{
    (void)state;
    add_route(&plain);
    socketio_socket *s = socket_in(guest(), "/");
    char name[256];
    memset(name, 'x', sizeof name);
    assert_int_equal(socketio_join(s, (str){name, 255}), 0);
    assert_int_equal(socketio_join(s, (str){name, 256}), WEFT_E_INVALID);
    assert_int_equal(socketio_join(s, (str){NULL, 0}), WEFT_E_INVALID);
    assert_int_equal(socketio_join(s, STR("\xff")), WEFT_E_INVALID);
    assert_int_equal(s->n_rooms, 1);
}

static void room__is_there_while_somebody_is_in_it(void **state)
{
    (void)state;
    add_route(&plain);
    line *a = guest(), *b = guest();
    assert_int_equal(socketio_join(socket_in(a, "/"), STR("r")), 0);
    assert_int_equal(socketio_join(socket_in(a, "/"), STR("r")), 0);
    assert_int_equal(socketio_join(socket_in(b, "/"), STR("r")), 0);
    assert_int_equal(main_namespace()->rooms.n_entries, 1);
    socketio_leave(socket_in(a, "/"), STR("r"));
    socketio_leave(socket_in(a, "/"), STR("r"));
    assert_int_equal(main_namespace()->rooms.n_entries, 1);
    lose(b, ENGINEIO_TRANSPORT_CLOSE);
    assert_int_equal(main_namespace()->rooms.n_entries, 0);
}

static void room__of_its_own_is_by_its_id(void **state)
{
    (void)state;
    add_route(&plain);
    socketio_socket *a = socket_in(guest(), "/"), *b = socket_in(guest(), "/");
    str id = str_from(a->id);
    const socketio_audience to = {.rooms = &id, .n_rooms = 1};
    char seen[64] = {0};
    assert_int_equal(socketio_join(a, id), 0);
    assert_int_equal(main_namespace()->rooms.n_entries, 0);
    socketio_each(main_namespace(), &to, meet, seen);
    assert_memory_equal(seen, "\1\0", 2);
    assert_int_equal(socketio_join(b, id), 0);
    socketio_each(main_namespace(), &to, meet, seen);
    assert_memory_equal(seen, "\2\1", 2);
    assert_true(socketio_meant(&to, a) && socketio_meant(&to, b));
}

static void room__of_one_at_the_gate_does_not_reach_it(void **state)
{
    (void)state;
    static const weft_socketio_options guarded = {TELLS, .gate = on_gate};
    add_route(&guarded);
    line *l = line_new();
    say(l, "0");
    socketio_socket *s = socket_in(l, "/");
    assert_int_equal(socketio_join(s, STR("r")), 0);
    const str room = STR("r");
    char seen[64] = {0};
    socketio_each(main_namespace(), &(socketio_audience){.rooms = &room, .n_rooms = 1}, meet, seen);
    assert_int_equal(seen[0], 0);
    assert_int_equal(socketio_socket_admit(s), 0);
    socketio_each(main_namespace(), &(socketio_audience){.rooms = &room, .n_rooms = 1}, meet, seen);
    assert_int_equal(seen[0], 1);
}

static void leave_now(socketio_socket *s, void *user)
{
    meet(s, user);
    socketio_socket_dismiss(s);
}

static void walk__goes_on_when_who_is_visited_leaves(void **state)
{
    (void)state;
    add_route(&plain);
    const str rooms[] = {STR("a"), STR("b")};
    char seen[64] = {0};
    line *all[CLIENTS];
    for (int i = 0; i < CLIENTS; i++) {
        all[i] = guest();
        assert_int_equal(socketio_join(socket_at(all, i), rooms[i % 2]), 0);
        assert_int_equal(socketio_join(socket_at(all, i), rooms[0]), 0);
    }
    socketio_each(main_namespace(), &(socketio_audience){.rooms = rooms, .n_rooms = 2}, leave_now, seen);
    for (int i = 0; i < CLIENTS; i++)
        assert_int_equal(seen[i], 1);
    assert_int_equal(main_namespace()->n_sockets, 0);
    assert_int_equal(main_namespace()->rooms.n_entries, 0);
}

static void walk__marks_go_round(void **state)
{
    (void)state;
    add_route(&plain);
    guest();
    guest();
    const str room = STR("nobody's");
    char seen[64] = {0};
    socketio_each(main_namespace(), &(socketio_audience){.except = &room, .n_except = 1}, meet, seen);
    assert_int_equal(main_namespace()->round, 1);
    main_namespace()->round = UINT32_MAX;
    socketio_each(main_namespace(), &(socketio_audience){.except = &room, .n_except = 1}, meet, seen);
    assert_int_equal(main_namespace()->round, 1);
    assert_memory_equal(seen, "\2\2", 2);
}

/* Who is moved in the list knows its new place. */
static void namespace__loses_nobody_when_others_leave(void **state)
{
    (void)state;
    add_route(&plain);
    line *all[CLIENTS];
    for (int i = 0; i < CLIENTS; i++)
        all[i] = guest();
    for (int i = 0; i < CLIENTS; i += 3)
        lose(all[i], ENGINEIO_TRANSPORT_CLOSE);
    lose(all[CLIENTS - 1], ENGINEIO_TRANSPORT_CLOSE);
    char seen[64] = {0};
    socketio_each(main_namespace(), &(socketio_audience){0}, meet, seen);
    for (int i = 0; i < CLIENTS; i++) {
        assert_int_equal(seen[i], all[i]->client != NULL);
        if (all[i]->client)
            assert_ptr_equal(socketio_namespace_by_id(main_namespace(), str_from(socket_at(all, i)->id)),
                             socket_at(all, i));
    }
}

/* ---- at random, against the plainest way to tell ---- */

static bool in[CLIENTS][ROOMS]; /* what should be */
static const str names[ROOMS] = {{"a", 1}, {"b", 1}, {"c", 1}, {"d", 1}, {"e", 1}};

static bool in_any(int client, unsigned rooms)
{
    for (int room = 0; room < ROOMS; room++)
        if (rooms & 1u << room && in[client][room])
            return true;
    return false;
}

static uint32_t pick(unsigned rooms, str to[ROOMS])
{
    uint32_t n = 0;
    for (int room = 0; room < ROOMS; room++)
        if (rooms & 1u << room)
            to[n++] = names[room];
    return n;
}

static void check_walk(line *const *all)
{
    unsigned rooms = (unsigned)rand() % 32 & (unsigned)rand(), except = (unsigned)rand() % 32 & (unsigned)rand() & 5;
    int sender = rand() % (2 * CLIENTS);
    str rooms_of[ROOMS], except_of[ROOMS];
    socketio_audience to = {.rooms = rooms_of, .except = except_of};
    to.n_rooms = pick(rooms, rooms_of);
    to.n_except = pick(except, except_of);
    to.sender = sender < CLIENTS ? socket_at(all, (uint32_t)sender) : NULL;
    char seen[64] = {0};
    socketio_each(main_namespace(), &to, meet, seen);
    for (int i = 0; i < CLIENTS; i++) {
        bool meant = (!to.n_rooms || in_any(i, rooms)) && !in_any(i, except) && i != sender;
        assert_int_equal(seen[i], meant);
        assert_int_equal(socketio_meant(&to, socket_at(all, (uint32_t)i)), meant);
    }
}

static void rooms__are_as_a_model_has_them(void **state)
{
    (void)state;
    add_route(&plain);
    line *all[CLIENTS];
    srand(7);
    memset(in, 0, sizeof in);
    for (int i = 0; i < CLIENTS; i++)
        all[i] = guest();
    for (int step = 0; step < STEPS; step++) {
        int client = rand() % CLIENTS, room = rand() % ROOMS;
        in[client][room] = rand() % 2;
        if (in[client][room])
            assert_int_equal(socketio_join(socket_at(all, (uint32_t)client), names[room]), 0);
        else
            socketio_leave(socket_at(all, (uint32_t)client), names[room]);
        check_walk(all);
    }
}

/* ---- broadcasts ---- */

static int broadcast(const socketio_audience *to, const char *name, const char *args)
{
    const socketio_emission what = {.name = str_from(name), .args = str_from(args)};
    return socketio_broadcast(main_namespace(), to, &what);
}

static void broadcast__is_encoded_once(void **state)
{
    (void)state;
    add_route(&plain);
    line *all[CLIENTS];
    for (int i = 0; i < CLIENTS; i++)
        all[i] = guest();
    assert_int_equal(broadcast(&(socketio_audience){.sender = socket_at(all, 0)}, "x", "[1]"), 0);
    assert_int_equal(n_images, 1);
    assert_log(all[0]->wire, "");
    for (int i = 1; i < CLIENTS; i++)
        assert_log(all[i]->wire, "42[\"x\",1] ");
    assert_int_equal(stage.hub.counts.traffic[WEFT_TRANSPORT_SOCKETIO].messages_out, CLIENTS - 1);
}

static void broadcast__to_nobody_encodes_nothing(void **state)
{
    (void)state;
    add_route(&plain);
    guest();
    const str room = STR("empty");
    assert_int_equal(broadcast(&(socketio_audience){.rooms = &room, .n_rooms = 1}, "x", "[1]"), 0);
    assert_int_equal(n_images, 0);
}

static void broadcast__carries_attachments(void **state)
{
    (void)state;
    add_route(&plain);
    line *a = guest(), *b = guest();
    const weft_str bytes = STR("bytes");
    const socketio_emission what = {.name = STR("x"),
                                    .args = STR("[{\"_placeholder\":true,\"num\":0}]"),
                                    .attachments = &bytes,
                                    .n_attachments = 1};
    assert_int_equal(socketio_broadcast(main_namespace(), &(socketio_audience){0}, &what), 0);
    assert_log(a->wire, "451-[\"x\",{\"_placeholder\":true,\"num\":0}] <bytes> ");
    assert_log(b->wire, "451-[\"x\",{\"_placeholder\":true,\"num\":0}] <bytes> ");
    assert_int_equal(n_images, 2);
}

static void broadcast__closes_whose_queue_is_full(void **state)
{
    (void)state;
    add_route(&plain);
    line *slow = guest(), *fast = guest();
    slow->queued = LIMIT;
    assert_int_equal(broadcast(&(socketio_audience){0}, "x", NULL), 0);
    assert_int_equal(broadcast(&(socketio_audience){0}, "y", NULL), 0);
    turn();
    assert_log(slow->wire, "abort ");
    assert_log(fast->wire, "42[\"x\"] 42[\"y\"] ");
    assert_log(stage.told, "close:1000:forced close ");
    assert_int_equal(stage.net.limits.n[LIMIT_QUEUED_BYTES], 1);
}

static void broadcast__volatile_passes_by_who_cannot_take_it(void **state)
{
    (void)state;
    add_route(&plain);
    line *slow = guest(), *fast = guest();
    const socketio_emission what = {.name = STR("x"), .is_volatile = true};
    slow->unwritable = true;
    slow->queued = LIMIT;
    assert_int_equal(socketio_broadcast(main_namespace(), &(socketio_audience){0}, &what), 0);
    turn();
    assert_log(slow->wire, "");
    assert_log(fast->wire, "42[\"x\"] ");
}

static void broadcast__without_memory_for_one_cuts_that_one(void **state)
{
    (void)state;
    add_route(&plain);
    line *poor = guest(), *other = guest();
    poor->fail_in = 1;
    assert_int_equal(broadcast(&(socketio_audience){0}, "x", NULL), 0);
    turn();
    assert_log(poor->wire, "abort ");
    assert_log(other->wire, "42[\"x\"] ");
    uint64_t before = stage.hub.counts.traffic[WEFT_TRANSPORT_SOCKETIO].messages_out;
    pool_done(&stage.loop.blocks); /* nothing to use again */
    mem_fail_from(1);
    assert_int_equal(broadcast(&(socketio_audience){0}, "y", NULL), -ENOMEM);
    mem_fail_from(0);
    assert_log(other->wire, "");
    assert_int_equal(stage.hub.counts.traffic[WEFT_TRANSPORT_SOCKETIO].messages_out, before);
}

static int join_and_leave(void)
{
    socketio_socket *a = socket_in(stage.lines[0], "/"), *b = socket_in(stage.lines[1], "/");
    int error = socketio_join(a, STR("one"));
    error |= socketio_join(b, STR("one"));
    error |= socketio_join(a, STR("two"));
    error |= socketio_join(a, STR("three"));
    uint32_t n = a->n_rooms;
    socketio_leave_all(a);
    socketio_leave_all(b);
    assert_int_equal(main_namespace()->rooms.n_entries, 0);
    return error ? -1 : n == 3 ? 0 : -1;
}

static void room__without_memory_is_not_joined(void **state)
{
    (void)state;
    add_route(&plain);
    guest();
    guest();
    check_failing_allocations(join_and_leave);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        STAGE_TEST(room__has_a_name_of_1_to_255_bytes_of_utf8),
        STAGE_TEST(room__is_there_while_somebody_is_in_it),
        STAGE_TEST(room__of_its_own_is_by_its_id),
        STAGE_TEST(room__of_one_at_the_gate_does_not_reach_it),
        STAGE_TEST(walk__goes_on_when_who_is_visited_leaves),
        STAGE_TEST(walk__marks_go_round),
        STAGE_TEST(namespace__loses_nobody_when_others_leave),
        STAGE_TEST(rooms__are_as_a_model_has_them),
        STAGE_TEST(broadcast__is_encoded_once),
        STAGE_TEST(broadcast__to_nobody_encodes_nothing),
        STAGE_TEST(broadcast__carries_attachments),
        STAGE_TEST(broadcast__closes_whose_queue_is_full),
        STAGE_TEST(broadcast__volatile_passes_by_who_cannot_take_it),
        STAGE_TEST(broadcast__without_memory_for_one_cuts_that_one),
        STAGE_TEST(room__without_memory_is_not_joined),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
