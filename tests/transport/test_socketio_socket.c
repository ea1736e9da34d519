#include "transport/socketio_fixture.h"

static const weft_socketio_options plain = {TELLS};
static const weft_socketio_options guarded = {TELLS, .gate = on_gate, .peer_bytes = 8};

/* What programs call, from which nothing may be told. */
#define CALL(what)                                                                                                     \
    ({                                                                                                                 \
        stage.calls++;                                                                                                 \
        int result_ = (what);                                                                                          \
        stage.calls--;                                                                                                 \
        result_;                                                                                                       \
    })

static int emit(socketio_socket *s, const char *name, const char *args)
{
    const socketio_emission what = {.name = str_from(name), .args = str_from(args)};
    return CALL(socketio_emit(s, &what, NULL));
}

static int hang_up(socketio_socket *s, int code)
{
    return CALL(peer_close(&s->peer, code, STR("enough")));
}

static int send_kind(socketio_socket *s, weft_kind kind, const char *event, const char *data)
{
    return CALL(peer_send(&s->peer, &(weft_message){.kind = kind, .event = str_from(event), .data = str_from(data)}));
}

/* ---- the gate ---- */

static void gate__decides_later(void **state)
{
    (void)state;
    add_route(&guarded);
    line *l = line_new();
    say(l, "0{\"token\":\"x\"}");
    turn();
    socketio_socket *s = socket_in(l, "/");
    str auth = socketio_socket_auth(s);
    assert_log(stage.told, "gate ");
    assert_log(l->wire, "");
    assert_memory_equal(auth.at, "{\"token\":\"x\"}", auth.len);
    assert_non_null(peer_data(&s->peer));
    assert_int_equal(stage.hub.counts.traffic[WEFT_TRANSPORT_SOCKETIO].n_peers, 0);
    assert_int_equal(emit(s, "early", NULL), WEFT_E_INVALID);
    assert_int_equal(CALL(socketio_socket_admit(s)), 0);
    assert_int_equal(CALL(socketio_socket_admit(s)), WEFT_E_INVALID);
    assert_int_equal(CALL(socketio_socket_refuse(s, STR("no"), (str){NULL, 0})), WEFT_E_INVALID);
    assert_int_equal(emit(s, "hello", NULL), 0);
    assert_welcome(l, "/", "42[\"hello\"] ");
    turn();
    assert_log(stage.told, "open ");
    assert_null(socketio_socket_auth(s).at);
    assert_int_equal(stage.hub.counts.traffic[WEFT_TRANSPORT_SOCKETIO].n_peers, 1);
}

static void admit_there(socketio_socket *s, const char *what)
{
    if (strcmp(what, "gate") == 0)
        assert_int_equal(CALL(socketio_socket_admit(s)), 0);
}

static void gate__decides_at_once(void **state)
{
    (void)state;
    add_route(&guarded);
    stage.act = admit_there;
    line *l = line_new();
    say(l, "0");
    assert_welcome(l, "/", "");
    say(l, "2[\"x\"]");
    assert_log(stage.told, "gate open x[] ");
}

static void gate__refuses(void **state)
{
    (void)state;
    add_route(&guarded);
    line *l = line_new();
    say(l, "0");
    assert_int_equal(CALL(socketio_socket_refuse(socket_in(l, "/"), STR("not \"you\""), STR("{\"code\":1}"))), 0);
    turn();
    assert_log(l->wire, "44{\"message\":\"not \\\"you\\\"\",\"data\":{\"code\":1}} ");
    assert_log(stage.told, "gate ");
    assert_null(socket_in(l, "/"));
    say(l, "0");
    assert_int_equal(CALL(socketio_socket_refuse(socket_in(l, "/"), (str){NULL, 0}, (str){NULL, 0})), 0);
    assert_log(l->wire, "44{\"message\":\"\"} ");
}

static void gate__of_a_client_that_goes_is_told_so(void **state)
{
    (void)state;
    add_route(&guarded);
    line *l = line_new();
    say(l, "0");
    socketio_socket *s = socket_in(l, "/");
    lose(l, ENGINEIO_TRANSPORT_CLOSE);
    assert_int_equal(CALL(socketio_socket_admit(s)), WEFT_E_CLOSED);
    assert_int_equal(CALL(socketio_socket_refuse(s, STR("no"), (str){NULL, 0})), WEFT_E_CLOSED);
    turn();
    assert_log(stage.told, "gate ");
}

static void gate__holds_back_events_as_the_reference_does(void **state)
{
    (void)state;
    add_route(&guarded);
    line *l = line_new();
    say(l, "0");
    say(l, "2[\"x\"]");
    turn();
    assert_log(l->wire, "close ");
    assert_log(stage.told, "gate ");
}

static void gate__holds_back_what_is_published(void **state)
{
    (void)state;
    add_route(&guarded);
    line *l = line_new();
    say(l, "0");
    socketio_socket *s = socket_in(l, "/");
    assert_int_equal(hub_subscribe(&stage.hub, &s->peer, STR("t"), (since){.from = SINCE_NOW}, NULL), 0);
    hub_publish(&stage.hub, STR("t"), blob_new(NULL, WEFT_TEXT, STR(""), STR("hi")), 0, NULL);
    stage.hub.fan_out.run(&stage.hub.fan_out); /* and not at the end of the turn */
    turn();
    assert_log(l->wire, "");
    assert_int_equal(CALL(socketio_socket_admit(s)), 0);
    turn();
    assert_welcome(l, "/", "42[\"message\",\"hi\"] ");
    assert_log(stage.told, "gate open ");
}

static void gate__closed_is_a_refusal(void **state)
{
    (void)state;
    add_route(&guarded);
    line *l = line_new();
    say(l, "0");
    assert_int_equal(hang_up(socket_in(l, "/"), 1000), 0);
    turn();
    assert_log(l->wire, "44{\"message\":\"enough\"} ");
    assert_log(stage.told, "gate ");
}

/* ---- ending ---- */

static void socket__closed_is_disconnected(void **state)
{
    (void)state;
    add_route(&plain);
    line *l = guest();
    assert_int_equal(hang_up(socket_in(l, "/"), 1000), 0);
    assert_log(l->wire, "41 ");
    say(l, "2[\"under way still\"]");
    say(l, "1");
    turn();
    assert_log(stage.told, "close:1000:server namespace disconnect ");
    assert_non_null(l->client);
    say(l, "0");
    turn();
    assert_log(stage.told, "open ");
}

static void socket__closed_with_1001_ends_the_connection_without_a_word(void **state)
{
    (void)state;
    add_route(&plain);
    assert_int_equal(socketio_route_add(stage.route, "/b", &plain), 0);
    line *l = guest();
    say(l, "0/b,");
    turn();
    stage.told[0] = l->wire[0] = '\0';
    assert_int_equal(hang_up(socket_in(l, "/"), 1001), 0);
    turn();
    turn();
    assert_log(l->wire, "close ");
    assert_log(stage.told, "close:1001:server shutting down close:1001:server shutting down ");
}

static void socket__aborted_cuts_the_connection(void **state)
{
    (void)state;
    add_route(&plain);
    line *l = guest();
    stage.calls++;
    peer_abort(&socket_in(l, "/")->peer);
    stage.calls--;
    turn();
    assert_log(l->wire, "abort ");
    assert_log(stage.told, "close:1006:forced close ");
}

static void client__dismissed_leaves_all_namespaces(void **state)
{
    (void)state;
    add_route(&plain);
    assert_int_equal(socketio_route_add(stage.route, "/b", &plain), 0);
    line *l = guest();
    say(l, "0/b,");
    turn();
    stage.told[0] = l->wire[0] = '\0';
    stage.calls++;
    socketio_client_dismiss(l->client);
    stage.calls--;
    turn();
    assert_log(l->wire, "41/b, 41 close ");
    assert_log(stage.told, "close:1000:server namespace disconnect close:1000:server namespace disconnect ");
}

static const char *where;
static int how;

static void leave_there(socketio_socket *s, const char *what)
{
    if (strcmp(what, where) != 0 || s->peer.leaving)
        return;
    if (how == 0)
        hang_up(s, 1000);
    else if (how == 1)
        hang_up(s, 1001);
    else if (how == 2)
        peer_abort(&s->peer);
    else
        socketio_client_dismiss(s->client);
}

static void socket__may_be_closed_in_any_callback(void **state)
{
    (void)state;
    static const char *const places[] = {"gate", "open", "event", "drain", "close"};
    add_route(&guarded);
    for (size_t i = 0; i < N_OF(places); i++) {
        for (how = 0; how < 4; how++) {
            where = places[i];
            stage.act = NULL;
            line *l = line_new();
            say(l, "0");
            if (i > 0)
                assert_int_equal(socketio_socket_admit(socket_in(l, "/")), 0);
            stage.act = leave_there;
            if (i == 0) {
                lose(l, ENGINEIO_TRANSPORT_CLOSE);
                l = line_new();
                say(l, "0");
            }
            say(l, "2[\"x\"]");
            say(l, "21[\"y\"]");
            turn();
            if (l->client)
                lose(l, ENGINEIO_TRANSPORT_CLOSE);
            turn();
            turn();
            assert_int_equal(stage.hub.n_peers, 0);
        }
    }
}

/* ---- emitting ---- */

static void emit__writes_packets(void **state)
{
    (void)state;
    add_route(&plain);
    assert_int_equal(socketio_route_add(stage.route, "/b", &plain), 0);
    line *l = guest();
    say(l, "0/b,");
    l->wire[0] = '\0';
    const weft_str parts[] = {STR("one"), STR("two")};
    const socketio_emission binary = {
        .name = STR("pic"),
        .args = STR("[{\"_placeholder\":true,\"num\":0},{\"_placeholder\":true,\"num\":1}]"),
        .attachments = parts,
        .n_attachments = 2,
    };
    assert_int_equal(emit(socket_in(l, "/"), "hey", "[1,\"x\"]"), 0);
    assert_log(l->wire, "42[\"hey\",1,\"x\"] ");
    assert_int_equal(emit(socket_in(l, "/"), "hey", NULL), 0);
    assert_int_equal(emit(socket_in(l, "/b"), "\"hey\"", "[]"), 0);
    assert_log(l->wire, "42[\"hey\"] 42/b,[\"\\\"hey\\\"\"] ");
    assert_int_equal(socketio_emit(socket_in(l, "/b"), &binary, NULL), 0);
    assert_log(l->wire,
               "452-/b,[\"pic\",{\"_placeholder\":true,\"num\":0},{\"_placeholder\":true,\"num\":1}] <one> <two> ");
    assert_int_equal(n_images, 0);
    assert_int_equal(socket_in(l, "/")->peer.messages_out, 2);
}

static void fill(line *l)
{
    l->queued = LIMIT;
}

static void emit__to_a_full_queue_waits_for_drain(void **state)
{
    (void)state;
    add_route(&plain);
    line *l = guest();
    socketio_socket *s = socket_in(l, "/");
    l->queued = LIMIT - 1;
    assert_int_equal(emit(s, "x", NULL), WEFT_QUEUED);
    assert_int_equal(emit(s, "y", NULL), WEFT_E_FULL);
    assert_true(l->paused);
    turn();
    assert_true(l->n_notified > 0);
    drain_line(l);
    turn();
    assert_log(stage.told, "drain ");
    assert_false(l->paused);
    assert_log(l->wire, "42[\"x\"] ");
}

static void emit__volatile_is_dropped_where_it_cannot_go_at_once(void **state)
{
    (void)state;
    add_route(&plain);
    line *l = guest();
    const socketio_emission what = {.name = STR("x"), .is_volatile = true};
    l->unwritable = true;
    fill(l);
    assert_int_equal(socketio_emit(socket_in(l, "/"), &what, NULL), 0);
    turn();
    assert_log(l->wire, "");
    l->unwritable = false;
    l->queued = 0;
    assert_int_equal(socketio_emit(socket_in(l, "/"), &what, NULL), 0);
    assert_log(l->wire, "42[\"x\"] ");
    assert_log(stage.told, "");
}

static void emit__without_memory_cuts_the_client(void **state)
{
    (void)state;
    add_route(&plain);
    line *l = guest();
    socketio_socket *s = socket_in(l, "/");
    l->fail_in = 1;
    assert_int_equal(emit(s, "x", NULL), -ENOMEM);
    assert_int_equal(emit(s, "x", NULL), WEFT_E_CLOSED);
    turn();
    assert_log(l->wire, "abort ");
    assert_log(stage.told, "close:1006:forced close ");
}

static void send__is_an_event(void **state)
{
    (void)state;
    add_route(&plain);
    line *l = guest();
    socketio_socket *s = socket_in(l, "/");
    assert_int_equal(send_kind(s, WEFT_TEXT, NULL, "say \"hi\""), 0);
    assert_int_equal(send_kind(s, WEFT_JSON, NULL, "[1, 2]"), 0);
    assert_int_equal(send_kind(s, WEFT_JSON, "pair", "[1,2]"), 0);
    assert_int_equal(send_kind(s, WEFT_JSON, "one", "{\"a\":1}"), 0);
    assert_int_equal(send_kind(s, WEFT_BINARY, "raw", "bytes"), 0);
    assert_log(l->wire,
               "42[\"message\",\"say \\\"hi\\\"\"] 42[\"message\",[1,2]] 42[\"pair\",1,2] 42[\"one\",{\"a\":1}] "
               "451-[\"raw\",{\"_placeholder\":true,\"num\":0}] <bytes> ");
    assert_int_equal(send_kind(s, WEFT_TEXT, "disconnect", "x"), WEFT_E_INVALID);
    assert_log(l->wire, "");
}

/* ---- topics ---- */

static void topic__is_delivered_as_one_image_to_the_sockets_of_the_main_namespace(void **state)
{
    (void)state;
    add_route(&plain);
    assert_int_equal(socketio_route_add(stage.route, "/b", &plain), 0);
    line *a = guest(), *b = guest();
    say(b, "0/b,");
    turn();
    b->wire[0] = '\0';
    peer *all[] = {&socket_in(a, "/")->peer, &socket_in(b, "/")->peer, &socket_in(b, "/b")->peer};
    for (size_t i = 0; i < N_OF(all); i++)
        assert_int_equal(hub_subscribe(&stage.hub, all[i], STR("t"), (since){.from = SINCE_NOW}, NULL), 0);
    hub_publish(&stage.hub, STR("t"), blob_new(NULL, WEFT_JSON, STR("news"), STR("[1,2]")), 0, NULL);
    stage.hub.fan_out.run(&stage.hub.fan_out); /* and not at the end of the turn */
    assert_log(a->wire, "42[\"news\",1,2] ");
    assert_log(b->wire, "42[\"news\",1,2] 42/b,[\"news\",1,2] ");
    assert_int_equal(n_images, 1);
    hub_publish(&stage.hub, STR("t"), blob_new(NULL, WEFT_BINARY, STR("disconnect"), STR("x")), 0, NULL);
    stage.hub.fan_out.run(&stage.hub.fan_out); /* and not at the end of the turn */
    assert_log(a->wire, "451-[\"message\",{\"_placeholder\":true,\"num\":0}] <x> ");
    assert_int_equal(n_images, 1);
}

/* ---- acknowledgements ---- */

static weft_socketio_ack asked;

static void keep_ack(const weft_socketio_event *event)
{
    asked = event->ack;
}

static int acknowledge(uint64_t id, const char *args)
{
    const socketio_emission what = {.args = str_from(args)};
    return CALL(socketio_acknowledge(socket_of(asked.peer), id - 1, &what));
}

static void ack__is_given_once(void **state)
{
    (void)state;
    add_route(&plain);
    stage.raw = keep_ack;
    line *l = guest();
    say(l, "20[\"a\"]");
    assert_int_equal(asked.id, 1);
    assert_int_equal(acknowledge(1, "[\"x\"]"), 0);
    assert_int_equal(acknowledge(1, "[\"x\"]"), WEFT_E_INVALID);
    assert_int_equal(acknowledge(2, NULL), WEFT_E_INVALID);
    assert_log(l->wire, "430[\"x\"] ");
    assert_null(socket_in(l, "/")->owed);
}

static void ack_now(const weft_socketio_event *event)
{
    asked = event->ack;
    if (!event->ack.id)
        return;
    assert_int_equal(acknowledge(event->ack.id, NULL), 0);
    assert_int_equal(acknowledge(event->ack.id, NULL), WEFT_E_INVALID);
}

static void ack__within_the_event_needs_no_memory(void **state)
{
    (void)state;
    add_route(&plain);
    stage.raw = ack_now;
    line *l = guest();
    uint64_t before = mem_count();
    say(l, "20[\"a\"]");
    say(l, "2[\"b\"]");
    say(l, "27[\"c\"]");
    assert_int_equal(mem_count(), before);
    assert_log(l->wire, "430[] 437[] ");
}

static void ack__that_nobody_gives_is_forgotten_behind_many_others(void **state)
{
    (void)state;
    add_route(&plain);
    stage.raw = keep_ack;
    line *l = guest();
    for (int i = 0; i <= SOCKETIO_MAX_OWED; i++) {
        char packet[40];
        snprintf(packet, sizeof packet, "2%d[\"a\"]", i);
        say(l, packet);
        stage.told[0] = '\0';
    }
    assert_int_equal(acknowledge(1, NULL), WEFT_E_INVALID);
    assert_int_equal(acknowledge(2, NULL), 0);
    assert_int_equal(acknowledge(SOCKETIO_MAX_OWED + 1, NULL), 0);
}

static void on_ack(weft_peer who, int result, const weft_socketio_event *answer, void *user)
{
    (void)who;
    (void)user;
    TOLD("ack:%d:%.*s ", result, answer ? (int)answer->args.len : 0, answer ? answer->args.at : "");
}

static int call(socketio_socket *s, const char *name)
{
    const socketio_emission what = {.name = str_from(name)};
    return CALL(socketio_call(s, &what, 0, on_ack, NULL));
}

static void call__is_told_the_answer(void **state)
{
    (void)state;
    add_route(&plain);
    line *l = guest();
    socketio_socket *s = socket_in(l, "/");
    assert_int_equal(call(s, "a"), 0);
    assert_int_equal(call(s, "b"), 0);
    assert_log(l->wire, "420[\"a\"] 421[\"b\"] ");
    say(l, "31[\"x\"]");
    say(l, "31[\"again\"]");
    say(l, "3[\"for nobody\"]");
    say(l, "30[]");
    assert_log(stage.told, "ack:0:[\"x\"] ack:0:[] ");
}

static void call__of_a_socket_that_leaves_is_told_before_close(void **state)
{
    (void)state;
    add_route(&plain);
    line *l = guest();
    assert_int_equal(call(socket_in(l, "/"), "a"), 0);
    lose(l, ENGINEIO_TRANSPORT_CLOSE);
    turn();
    char expected[100];
    snprintf(expected, sizeof expected, "ack:%d: close:1006:transport close ", WEFT_E_CLOSED);
    assert_log(stage.told, expected);
}

static void call__that_fails_is_not_told(void **state)
{
    (void)state;
    add_route(&plain);
    line *l = guest();
    l->fail_in = 1;
    assert_int_equal(call(socket_in(l, "/"), "a"), -ENOMEM);
    turn();
    assert_log(stage.told, "close:1006:forced close ");
    l = guest();
    fill(l);
    assert_int_equal(call(socket_in(l, "/"), "a"), WEFT_E_FULL);
    lose(l, ENGINEIO_TRANSPORT_CLOSE);
    turn();
    assert_log(stage.told, "close:1006:transport close ");
}

/* ---- recovery ---- */

static const weft_socketio_options recovering = {TELLS, .gate = on_gate, .recovery_ms = 60000};

static char pid[SOCKETIO_ID_BYTES + 1], id[SOCKETIO_ID_BYTES + 1], offset[100];

static line *recovering_guest(void)
{
    line *l = line_new();
    say(l, "0");
    socketio_socket *s = socket_in(l, "/");
    assert_int_equal(socketio_socket_admit(s), 0);
    turn();
    snprintf(pid, sizeof pid, "%.*s", SOCKETIO_ID_BYTES, s->pid);
    snprintf(id, sizeof id, "%s", s->id);
    assert_non_null(strstr(l->wire, pid));
    assert_non_null(strstr(l->wire, id));
    l->wire[0] = stage.told[0] = '\0';
    return l;
}

/* The last argument of the last event on the wire: 42["x","offset"] . */
static void read_offset(const line *l)
{
    const char *end = strrchr(l->wire, '"'), *start = end - 1;
    while (*start != '"')
        start--;
    snprintf(offset, sizeof offset, "%.*s", (int)(end - start - 1), start + 1);
}

static void come_back(line *l, const char *with)
{
    char packet[200];
    snprintf(packet, sizeof packet, with ? "0{\"pid\":\"%s\",\"offset\":\"%s\"}" : "0{\"pid\":\"%s\"}", pid, with);
    say(l, packet);
}

static void recovery__gives_back_id_rooms_and_what_was_missed(void **state)
{
    (void)state;
    add_route(&recovering);
    line *l = recovering_guest(), *other = recovering_guest();
    (void)other;
    socketio_socket *s = socket_in(l, "/");
    snprintf(pid, sizeof pid, "%.*s", SOCKETIO_ID_BYTES, s->pid);
    snprintf(id, sizeof id, "%s", s->id);
    assert_int_equal(socketio_join(s, STR("room")), 0);
    assert_int_equal(emit(s, "one", "[1]"), 0);
    assert_memory_equal(l->wire, "42[\"one\",1,\"", 12);
    read_offset(l);
    lose(l, ENGINEIO_PING_TIMEOUT);
    turn();
    assert_log(stage.told, "close:1006:ping timeout ");
    const str room = STR("room");
    const socketio_emission what = {.name = STR("two")};
    socketio_namespace *n = socketio_namespace_find(stage.route, &stage.hub, STR("/"));
    assert_int_equal(socketio_broadcast(n, &(socketio_audience){.rooms = &room, .n_rooms = 1}, &what), 0);
    l = line_new();
    come_back(l, offset);
    s = socket_in(l, "/");
    assert_true(s->recovered);
    assert_string_equal(s->id, id);
    assert_non_null(strstr(l->wire, "} 42[\"two\",\""));
    assert_null(strstr(l->wire, "\"one\""));
    turn();
    assert_log(stage.told, "open "); /* and no gate */
    assert_int_equal(s->n_rooms, 1);
}

static void recovery__works_before_the_first_event(void **state)
{
    (void)state;
    add_route(&recovering);
    line *l = recovering_guest();
    lose(l, ENGINEIO_TRANSPORT_CLOSE);
    turn();
    assert_int_equal(stage.route->locals->namespaces.n_entries, 1);
    l = line_new();
    come_back(l, NULL);
    assert_true(socket_in(l, "/")->recovered);
}

static void recovery__is_not_for_those_who_left_by_intent(void **state)
{
    (void)state;
    add_route(&recovering);
    line *l = recovering_guest();
    say(l, "1");
    turn();
    come_back(l, NULL);
    assert_false(socket_in(l, "/")->recovered);
    l = recovering_guest();
    hang_up(socket_in(l, "/"), 1000);
    turn();
    come_back(l, NULL);
    assert_false(socket_in(l, "/")->recovered);
}

static void recovery__asks_the_gate_of_strangers(void **state)
{
    (void)state;
    add_route(&recovering);
    line *l = line_new();
    say(l, "0{\"pid\":\"AAAAAAAAAAAAAAAAAAAA\",\"offset\":\"x\"}");
    say(line_new(), "0{\"pid\":1}");
    say(line_new(), "0{\"pid\":\"AAAAAAAAAAAAAAAAAAAA\",\"offset\":2}");
    assert_log(stage.told, "gate gate gate ");
}

static void recovery__leaves_out_volatile_ones_and_those_with_an_ack(void **state)
{
    (void)state;
    add_route(&recovering);
    line *l = recovering_guest();
    socketio_socket *s = socket_in(l, "/");
    const socketio_emission what = {.name = STR("x"), .is_volatile = true};
    assert_int_equal(socketio_emit(s, &what, NULL), 0);
    assert_int_equal(call(s, "y"), 0);
    assert_log(l->wire, "42[\"x\"] 420[\"y\"] ");
}

/* ---- sizes ---- */

static void socket__is_small(void **state)
{
    (void)state;
    assert_true(sizeof(socketio_client) - sizeof(engineio_session) <= 56);
    assert_true(offsetof(socketio_socket, logged) - sizeof(peer) <= 88);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        STAGE_TEST(gate__decides_later),
        STAGE_TEST(gate__decides_at_once),
        STAGE_TEST(gate__refuses),
        STAGE_TEST(gate__of_a_client_that_goes_is_told_so),
        STAGE_TEST(gate__holds_back_events_as_the_reference_does),
        STAGE_TEST(gate__holds_back_what_is_published),
        STAGE_TEST(gate__closed_is_a_refusal),
        STAGE_TEST(socket__closed_is_disconnected),
        STAGE_TEST(socket__closed_with_1001_ends_the_connection_without_a_word),
        STAGE_TEST(socket__aborted_cuts_the_connection),
        STAGE_TEST(client__dismissed_leaves_all_namespaces),
        STAGE_TEST(socket__may_be_closed_in_any_callback),
        STAGE_TEST(emit__writes_packets),
        STAGE_TEST(emit__to_a_full_queue_waits_for_drain),
        STAGE_TEST(emit__volatile_is_dropped_where_it_cannot_go_at_once),
        STAGE_TEST(emit__without_memory_cuts_the_client),
        STAGE_TEST(send__is_an_event),
        STAGE_TEST(topic__is_delivered_as_one_image_to_the_sockets_of_the_main_namespace),
        STAGE_TEST(ack__is_given_once),
        STAGE_TEST(ack__within_the_event_needs_no_memory),
        STAGE_TEST(ack__that_nobody_gives_is_forgotten_behind_many_others),
        STAGE_TEST(call__is_told_the_answer),
        STAGE_TEST(call__of_a_socket_that_leaves_is_told_before_close),
        STAGE_TEST(call__that_fails_is_not_told),
        STAGE_TEST(recovery__gives_back_id_rooms_and_what_was_missed),
        STAGE_TEST(recovery__works_before_the_first_event),
        STAGE_TEST(recovery__is_not_for_those_who_left_by_intent),
        STAGE_TEST(recovery__asks_the_gate_of_strangers),
        STAGE_TEST(recovery__leaves_out_volatile_ones_and_those_with_an_ack),
        STAGE_TEST(socket__is_small),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
