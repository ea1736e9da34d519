#include "app/app.h"
#include "app/socketio_client.h"

static void echo(weft_peer who, const weft_socketio_event *event)
{
    latest = who;
    weft_socketio_emit_event(who, event);
}

static const weft_socketio_options echoing = {.open = on_open, .event = echo, .close = on_close};
static const weft_socketio_options recorded = {SIO_RECORDED};

/* ------------------------------------------------------------------------------------------------------ configuration */

static void check_error(int result, const char *expected)
{
    assert_int_equal(result, WEFT_E_INVALID);
    assert_non_null(strstr(weft_error(app), expected));
    weft_free(app);
    app = weft_new(NULL);
}

static void routes__errors_are_sentences(void **state)
{
    (void)state;
    check_error(weft_socketio(app, "/socket.io", NULL), "\"/socket.io\" does not end in a slash");
    check_error(weft_socketio(app, "/*/", NULL), "has a * in it");
    check_error(weft_socketio(app, NULL, NULL), "does not end in a slash");
    check_error(weft_socketio_namespace(app, "/socket.io/", "/a", NULL), "has no Socket.IO");
    weft_socketio(app, "/socket.io/", NULL);
    check_error(weft_socketio_namespace(app, "/socket.io/", "a", NULL), "does not begin with a slash");
    weft_socketio(app, "/socket.io/", NULL);
    check_error(weft_socketio_namespace(app, "/socket.io/", "/", NULL), "is that of weft_socketio");
    weft_socketio(app, "/socket.io/", NULL);
    check_error(weft_socketio(app, "/socket.io/", NULL), "has Socket.IO already");
    weft_socketio(app, "/socket.io/", NULL);
    check_error(weft_socketio_bridge(app, NULL, ""), "needs a topic");
    check_error(weft_socketio_bridge(app, NULL, "t"), "names a path that has no Socket.IO");
    assert_int_equal(weft_socketio(NULL, "/socket.io/", NULL), -ENOMEM);
}

static int add_everything(void)
{
    static const char *const room[] = {"r", NULL};
    weft *one = weft_new(NULL);
    int error = !one;
    if (one) {
        weft_socketio(one, "/socket.io/", &recorded);
        weft_socketio_namespace(one, "/socket.io/", "/a-*", &recorded);
        weft_socketio_bridge(one, &(weft_socketio_target){.rooms = room}, "t");
        error = weft_error(one) != NULL;
    }
    weft_free(one);
    return error ? -1 : 0;
}

static void routes__need_memory(void **state)
{
    (void)state;
    check_failing_allocations(add_everything);
}

static void routes__are_several(void **state)
{
    (void)state;
    static const weft_socketio_options other = {.event = echo};
    assert_int_equal(weft_socketio(app, "/socket.io/", &recorded), 0);
    assert_int_equal(weft_socketio(app, "/other/", &other), 0);
    begin();
    int fd = client_open(url, "/other/?EIO=4&transport=websocket");
    client_receive(fd);
    client_send_text(fd, "40");
    sio_expect_welcome(fd, "40{");
    client_send_text(fd, "42[\"hi\",1]");
    client_expect_text(fd, "42[\"hi\",1]");
    assert_int_equal(weft_socketio_sockets(app, NULL, NULL, NULL), 0);
    assert_int_equal(weft_socketio_sockets(app, &(weft_socketio_target){.path = "/other/"}, NULL, NULL), 1);
    assert_int_equal(weft_socketio_broadcast(app, &(weft_socketio_target){.path = "/none/"}, NULL), WEFT_E_INVALID);
    client_leave(fd);
}

/* ------------------------------------------------------------------------------------------------------------- events */

static void event__comes_back(void **state)
{
    (void)state;
    serve_socketio(&echoing);
    int fd = sio_open();
    client_send_text(fd, "42[\"hello\",1,{\"a\": \"x\"}]");
    client_expect_text(fd, "42[\"hello\",1,{\"a\": \"x\"}]");
    client_send_text(fd, "42[\"none\"]");
    client_expect_text(fd, "42[\"none\"]");
    weft_peer_info info;
    assert_int_equal(weft_peer_about(latest, &info), 0);
    assert_int_equal(info.transport, WEFT_TRANSPORT_SOCKETIO);
    assert_int_equal(info.messages_in, 2);
    assert_int_equal(info.messages_out, 2);
    client_send_text(fd, "451-[\"pic\",{\"_placeholder\":true,\"num\":0}]");
    client_send(fd, CLIENT_FIN | CLIENT_BINARY, "bytes", 5);
    client_expect_text(fd, "451-[\"pic\",{\"_placeholder\":true,\"num\":0}]");
    client_expect(fd, CLIENT_BINARY, "bytes");
    client_leave(fd);
    CLIENT_UNTIL(strstr(events, "close:"));
    assert_string_equal(look(), "open close:1006:transport close ");
}

static void event__that_is_wrong_is_not_sent(void **state)
{
    (void)state;
    serve_socketio(&recorded);
    int fd = sio_open();
    char name[257] = {0};
    memset(name, 'x', 256);
    CLIENT_UNTIL(latest.id);
    const weft_str parts[11] = {{"a", 1}};
    const char *one = "[{\"_placeholder\":true,\"num\":0}]";
    weft_socketio_event event = {.name = {"x", 1}, .args = {one, strlen(one)}, .attachments = parts};
    assert_int_equal(weft_socketio_emit(latest, "connect", NULL), WEFT_E_INVALID);
    assert_int_equal(weft_socketio_emit(latest, NULL, NULL), WEFT_E_INVALID);
    assert_int_equal(weft_socketio_emit(latest, name, NULL), WEFT_E_INVALID);
    assert_int_equal(weft_socketio_emit(latest, "\xff", NULL), WEFT_E_UTF8);
    assert_int_equal(weft_socketio_emit(latest, "x", "[1"), WEFT_E_JSON);
    assert_int_equal(weft_socketio_emit(latest, "x", ""), WEFT_E_JSON);
    assert_int_equal(weft_socketio_emit(latest, "x", "{}"), WEFT_E_INVALID);
    assert_int_equal(weft_socketio_emit_event(latest, &event), WEFT_E_INVALID);
    event.n_attachments = 11;
    assert_int_equal(weft_socketio_emit_event(latest, &event), WEFT_E_TOO_LARGE);
    event.n_attachments = 1;
    event.args = (weft_str){NULL, 0};
    assert_int_equal(weft_socketio_emit_event(latest, &event), WEFT_E_INVALID);
    assert_int_equal(weft_socketio_emit_event(latest, NULL), WEFT_E_INVALID);
    assert_int_equal(weft_socketio_emit(latest, "x", " [ 1 , 2 ] "), 0);
    client_expect_text(fd, "42[\"x\",1,2]");
    client_leave(fd);
}

static void on_plain_message(weft_peer who, const weft_message *message)
{
    latest = who;
    happened("%.*s:%.*s ", (int)message->event.len, message->event.at, (int)message->data.len, message->data.at);
}

static void event__is_a_message_where_there_is_no_event_callback(void **state)
{
    (void)state;
    serve_socketio(&(weft_socketio_options){.message = on_plain_message});
    int fd = sio_open();
    client_send_text(fd, "42[\"hello\",1]");
    CLIENT_UNTIL(strstr(events, "hello:[1] "));
    assert_int_equal(weft_send_text(latest, "hi"), 0);
    client_expect_text(fd, "42[\"message\",\"hi\"]");
    client_leave(fd);
}

/* ------------------------------------------------------------------------------------------------------- other threads */

static weft_peer told;
static int results[8];

static void emit_everything(void)
{
    const weft_str part = {"bytes", 5};
    const char *one = "[{\"_placeholder\":true,\"num\":0}, 2]";
    const weft_socketio_event event = {
        .name = {"pic", 3}, .args = {one, strlen(one)}, .attachments = &part, .n_attachments = 1};
    results[0] = weft_socketio_emit(told, "x", "[ 1 ]");
    results[1] = weft_socketio_emit(told, "none", NULL);
    results[2] = weft_socketio_emit_event(told, &event);
    results[3] = weft_socketio_emit(told, "disconnect", NULL);
    static const char *const rooms[] = {"r", NULL};
    results[4] = weft_socketio_broadcast(app, &(weft_socketio_target){.rooms = rooms}, &event);
    results[5] = weft_socketio_broadcast(app, &(weft_socketio_target){.except = rooms}, &event);
    results[6] = weft_socketio_sockets_leave(app, NULL, "r");
    results[7] = weft_socketio_sockets_disconnect(app, &(weft_socketio_target){.nsp = "/"}, 0);
}

static void threads__emit_and_broadcast(void **state)
{
    (void)state;
    serve_socketio(&recorded);
    int fd = sio_open();
    CLIENT_UNTIL(latest.id);
    told = latest;
    assert_int_equal(weft_socketio_join(told, "r"), 0);
    elsewhere(emit_everything);
    client_expect_text(fd, "42[\"x\",1]");
    client_expect_text(fd, "42[\"none\"]");
    for (int i = 0; i < 2; i++) {
        client_expect_text(fd, "451-[\"pic\",{\"_placeholder\":true,\"num\":0},2]");
        client_expect(fd, CLIENT_BINARY, "bytes");
    }
    client_expect_text(fd, "41");
    for (int i = 0; i < 8; i++)
        assert_int_equal(results[i], i == 3 ? WEFT_E_INVALID : 0);
    CLIENT_UNTIL(strstr(events, "close:1000:server namespace disconnect "));
    client_leave(fd);
}

static weft_socketio_ack owed;

static void keep_ack(weft_peer who, const weft_socketio_event *event)
{
    latest = who;
    owed = event->ack;
    happened("event ");
}

static void acknowledge(void)
{
    results[0] = weft_socketio_acknowledge(owed, "[1]");
    results[1] = weft_socketio_admit(told);
    results[2] = weft_socketio_refuse(told, "no", NULL);
    results[3] = weft_socketio_join(told, "r");
}

static void threads__acknowledge(void **state)
{
    (void)state;
    serve_socketio(&(weft_socketio_options){.event = keep_ack});
    int fd = sio_open();
    client_send_text(fd, "427[\"x\"]");
    CLIENT_UNTIL(strstr(events, "event "));
    told = latest;
    elsewhere(acknowledge);
    client_expect_text(fd, "437[1]");
    assert_int_equal(results[0], 0);
    assert_int_equal(results[3], WEFT_E_THREAD);
    on_loop(acknowledge);
    assert_int_equal(results[0], WEFT_E_INVALID);
    assert_int_equal(results[1], WEFT_E_INVALID);
    assert_int_equal(results[2], WEFT_E_INVALID);
    assert_int_equal(results[3], 0);
    assert_int_equal(weft_socketio_acknowledge((weft_socketio_ack){latest, 0}, NULL), WEFT_E_INVALID);
    client_send_text(fd, "42[\"x\"]");
    CLIENT_UNTIL(strstr(events, "event event "));
    assert_int_equal(owed.id, 0);
    client_leave(fd);
}

static void admit(void)
{
    results[0] = weft_socketio_admit(told);
}

static void refuse(void)
{
    results[0] = weft_socketio_refuse(told, "no", "{\"code\": 1}");
    results[1] = weft_socketio_refuse(told, "\xff", NULL);
    results[2] = weft_socketio_refuse(told, "no", "{");
}

static void threads__decide_at_the_gate(void **state)
{
    (void)state;
    serve_socketio(&(weft_socketio_options){SIO_RECORDED, .gate = sio_gate});
    int fd = sio_connect();
    client_send_text(fd, "40{\"token\":1}");
    CLIENT_UNTIL(strstr(events, "gate "));
    told = latest;
    weft_str auth = weft_socketio_auth(told);
    assert_memory_equal(auth.at, "{\"token\":1}", auth.len);
    assert_non_null(weft_peer_request(told));
    elsewhere(admit);
    sio_expect_welcome(fd, "40{");
    assert_string_equal(weft_socketio_id(told), sio_id);
    assert_string_equal(weft_socketio_namespace_of(told), "/");
    CLIENT_UNTIL(strstr(events, "open "));
    assert_null(weft_socketio_auth(told).at);
    assert_null(weft_peer_request(told));
    client_leave(fd);
    look();
    fd = sio_connect();
    client_send_text(fd, "40");
    CLIENT_UNTIL(strstr(events, "gate "));
    told = latest;
    elsewhere(refuse);
    assert_int_equal(results[1], WEFT_E_UTF8);
    assert_int_equal(results[2], WEFT_E_JSON);
    client_expect_text(fd, "44{\"message\":\"no\",\"data\":{\"code\": 1}}");
    on_loop(admit);
    assert_int_equal(results[0], WEFT_E_CLOSED);
    client_leave(fd);
}

/* ------------------------------------------------------------------------------------------------------- many sockets */

enum { MANY = 6 };
static int fds[MANY];
static weft_peer peers[MANY];

static void open_many(void)
{
    for (int i = 0; i < MANY; i++) {
        latest = (weft_peer){0};
        fds[i] = sio_open();
        CLIENT_UNTIL(latest.id);
        peers[i] = latest;
        if (i % 2)
            assert_int_equal(weft_socketio_join(peers[i], "odd"), 0);
        if (i % 3 == 0)
            assert_int_equal(weft_socketio_join(peers[i], "third"), 0);
    }
}

static void leave_many(void)
{
    for (int i = 0; i < MANY; i++)
        client_leave(fds[i]);
}

static void count_peer(weft_peer who, void *user)
{
    (void)who;
    ++*(int *)user;
}

static void close_neighbour(weft_peer who, void *user)
{
    ++*(int *)user;
    for (int i = 0; i < MANY; i++)
        if (peers[i].id == who.id)
            weft_close(peers[(i + MANY - 1) % MANY], 0, NULL);
}

static void close_neighbours(void)
{
    int n = 0;
    results[0] = (int)weft_socketio_sockets(app, NULL, close_neighbour, &n);
    results[1] = n;
}

static void name_room(const char *room, void *user)
{
    const weft_peer *who = user;
    happened("%s ", strlen(room) == 20 ? "own" : room);
    weft_socketio_leave(*who, room);
}

static void many__are_met_by_room(void **state)
{
    (void)state;
    static const char *const both[] = {"odd", "third", NULL}, *const odd[] = {"odd", NULL};
    serve_socketio(&recorded);
    open_many(); /* odd: 1 3 5; third: 0 3 */
    int n = 0;
    const weft_socketio_target target = {.rooms = both};
    assert_int_equal(weft_socketio_sockets(app, &target, count_peer, &n), 4);
    assert_int_equal(n, 4);
    const weft_socketio_target some = {.rooms = both, .except = odd};
    assert_int_equal(weft_socketio_sockets(app, &some, NULL, NULL), 1);
    const weft_socketio_target others = {.sender = peers[0]};
    assert_int_equal(weft_socketio_broadcast(app, &others, &(weft_socketio_event){.name = {"x", 1}}), 0);
    assert_int_equal(weft_socketio_sockets_join(app, &some, "odd"), 0);
    assert_int_equal(weft_socketio_sockets_join(app, &some, ""), WEFT_E_INVALID);
    const weft_socketio_target all_odd = {.rooms = odd};
    assert_int_equal(weft_socketio_broadcast(app, &all_odd, &(weft_socketio_event){.name = {"y", 1}}), 0);
    for (int i = 0; i < MANY; i++) {
        if (i)
            client_expect_text(fds[i], "42[\"x\"]");
        if (i % 2 || i == 0)
            client_expect_text(fds[i], "42[\"y\"]");
    }
    look();
    assert_int_equal(weft_socketio_rooms(peers[3], NULL, NULL), 3);
    assert_int_equal(weft_socketio_rooms(peers[3], name_room, &peers[3]), 3);
    assert_string_equal(look(), "own third odd ");
    assert_int_equal(weft_socketio_rooms(peers[3], NULL, NULL), 1);
    leave_many();
}

static void many__may_close_each_other_while_they_are_met(void **state)
{
    (void)state;
    serve_socketio(&recorded);
    open_many();
    on_loop(close_neighbours);
    assert_int_equal(results[0], MANY);
    assert_int_equal(results[1], MANY / 2);
    for (int i = 0; i < MANY; i += 2)
        client_expect_text(fds[i], "41");
    leave_many();
}

static void disconnect(void)
{
    results[0] = weft_socketio_disconnect(peers[2]);
    results[1] = weft_socketio_disconnect(peers[2]);
}

static void many__are_disconnected(void **state)
{
    (void)state;
    static const char *const odd[] = {"odd", NULL}, *const third[] = {"third", NULL};
    serve_socketio(&recorded);
    open_many();
    assert_int_equal(weft_socketio_sockets_disconnect(app, &(weft_socketio_target){.rooms = odd}, 0), 0);
    assert_int_equal(weft_socketio_sockets_disconnect(app, &(weft_socketio_target){.rooms = third}, 1), 0);
    client_expect_text(fds[1], "41");
    client_expect_text(fds[3], "41");
    client_expect_text(fds[0], "41");
    assert_int_equal(client_receive(fds[0]).opcode, CLIENT_CLOSE);
    client_send_text(fds[1], "40");
    sio_expect_welcome(fds[1], "40{");
    on_loop(disconnect);
    assert_int_equal(results[0], 0);
    assert_int_equal(results[1], WEFT_E_CLOSED);
    client_expect_text(fds[2], "41");
    assert_int_equal(client_receive(fds[2]).opcode, CLIENT_CLOSE);
    client_expect_text(fds[5], "41");
    for (int i = 0; i < MANY; i++)
        client_reset(fds[i]);
}

/* --------------------------------------------------------------------------------------------------------- bridges */

static void bridge__joins_a_room_and_a_topic(void **state)
{
    (void)state;
    static const char *const odd[] = {"odd", NULL};
    const weft_socketio_target room = {.rooms = odd};
    assert_int_equal(weft_socketio(app, "/socket.io/", &recorded), 0);
    assert_int_equal(weft_socketio_bridge(app, &room, "t"), 0);
    assert_int_equal(weft_topics(app, "/topics/:topic", NULL), 0);
    begin();
    open_many();
    int fd = client_open(url, "/topics/t");
    assert_int_equal(
        weft_publish(app, "t", &(weft_message){.kind = WEFT_JSON, .data = {"[1,2]", 5}, .event = {"x", 1}}, NULL), 0);
    client_expect_text(fd, "[1,2]");
    for (int i = 1; i < MANY; i += 2)
        client_expect_text(fds[i], "42[\"x\",1,2]");
    const weft_socketio_event event = {.name = {"y", 1}, .args = {"[ {\"a\" : 1} ]", 13}};
    assert_int_equal(weft_socketio_broadcast(app, &room, &event), 0);
    for (int i = 1; i < MANY; i += 2)
        client_expect_text(fds[i], "42[\"y\",{\"a\":1}]");
    client_expect_text(fd, "[{\"a\":1}]");
    client_leave(fd);
    leave_many();
}

static void topic__is_delivered(void **state)
{
    (void)state;
    serve_socketio(&recorded);
    int fd = sio_open();
    CLIENT_UNTIL(latest.id);
    assert_int_equal(weft_subscribe(latest, "t", NULL), 0);
    assert_int_equal(weft_publish_text(app, "t", "hi"), 0);
    client_expect_text(fd, "42[\"message\",\"hi\"]");
    client_leave(fd);
}

/* ------------------------------------------------------------------------------------------------------------ the end */

static void drain__ends_sessions_and_not_sockets(void **state)
{
    (void)state;
    assert_int_equal(weft_socketio(app, "/socket.io/", &recorded), 0);
    assert_int_equal(weft_socketio_namespace(app, "/socket.io/", "/b", &recorded), 0);
    begin();
    int in = sio_open(), out = sio_connect();
    client_send_text(in, "40/b,");
    sio_expect_welcome(in, "40/b,{");
    CLIENT_UNTIL(strstr(events, "open open "));
    weft_stop(app);
    assert_int_equal(client_receive(in).opcode, CLIENT_CLOSE);
    assert_int_equal(client_receive(out).opcode, CLIENT_CLOSE);
    client_send_close(in, 1000, "");
    client_send_close(out, 1000, "");
    uint64_t began_ms = client_now_ms();
    while (weft_step(app, 10) > 0)
        assert_true(client_now_ms() - began_ms < 4000);
    assert_string_equal(look(), "open open close:1001:server shutting down close:1001:server shutting down ");
    close(in);
    close(out);
}

static void drain__ends_polls_that_are_in_no_namespace(void **state)
{
    (void)state;
    serve_socketio(&recorded);
    int fd = client_connect(url);
    client_get(fd, "/socket.io/?EIO=4&transport=polling");
    assert_int_equal(client_read_answer(fd, NULL), 200);
    close(fd);
    let_arrive();
    assert_int_equal(app->workers->hub.sessions.n_entries, 1);
    assert_int_equal(app->workers->hub.n_peers, 0);
    weft_stop(app);
    while (weft_step(app, 10) > 0)
        continue;
    assert_int_equal(app->workers->hub.sessions.n_entries, 0);
}

static void free__with_everybody_there(void **state)
{
    (void)state;
    static const char *const room[] = {"odd", NULL};
    assert_int_equal(weft_socketio(app, "/socket.io/", &(weft_socketio_options){SIO_RECORDED, .recovery_ms = 60000}),
                     0);
    assert_int_equal(weft_socketio_bridge(app, &(weft_socketio_target){.rooms = room}, "t"), 0);
    begin();
    int out = sio_connect();
    open_many();
    client_reset(fds[0]);
    let_arrive();
    assert_int_equal(weft_socketio_broadcast(app, NULL, &(weft_socketio_event){.name = {"x", 1}}), 0);
    client_steps = NULL;
    assert_int_equal(weft_free(app), 0);
    app = NULL;
    for (int i = 1; i < MANY; i++)
        close(fds[i]);
    close(out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        APP_TEST(routes__errors_are_sentences),
        APP_TEST(routes__need_memory),
        APP_TEST(routes__are_several),
        APP_TEST(event__comes_back),
        APP_TEST(event__that_is_wrong_is_not_sent),
        APP_TEST(event__is_a_message_where_there_is_no_event_callback),
        APP_TEST(threads__emit_and_broadcast),
        APP_TEST(threads__acknowledge),
        APP_TEST(threads__decide_at_the_gate),
        APP_TEST(many__are_met_by_room),
        APP_TEST(many__may_close_each_other_while_they_are_met),
        APP_TEST(many__are_disconnected),
        APP_TEST(bridge__joins_a_room_and_a_topic),
        APP_TEST(topic__is_delivered),
        APP_TEST(drain__ends_sessions_and_not_sockets),
        APP_TEST(drain__ends_polls_that_are_in_no_namespace),
        APP_TEST(free__with_everybody_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
