#include "transport/socketio_fixture.h"

static const weft_socketio_options plain = {TELLS, .connect_timeout_ms = 20};

static void begin(void)
{
    add_route(&plain);
}

/* ---- CONNECT ---- */

static void connect__is_answered_before_open_and_open_comes_before_events(void **state)
{
    (void)state;
    begin();
    line *l = line_new();
    say(l, "0");
    assert_welcome(l, "/", "");
    assert_log(stage.told, "");
    say(l, "2[\"hey\",\"Jude\"]");
    assert_log(stage.told, "open hey[\"Jude\"] ");
    turn();
    assert_log(stage.told, "");
    assert_int_equal(l->n_forgotten, 1);
}

static void connect__opens_at_the_end_of_the_turn(void **state)
{
    (void)state;
    begin();
    line *l = line_new();
    say(l, "0{\"token\":1}");
    turn();
    assert_log(stage.told, "open ");
    assert_int_equal(stage.hub.counts.traffic[WEFT_TRANSPORT_SOCKETIO].n_peers, 1);
}

static void connect__to_an_unknown_namespace_is_refused(void **state)
{
    (void)state;
    begin();
    line *l = line_new();
    say(l, "0/nowhere,");
    assert_log(l->wire, "44/nowhere,{\"message\":\"Invalid namespace\"} ");
    say(l, "0");
    assert_welcome(l, "/", "");
}

static void connect__to_a_name_that_is_too_long_is_refused(void **state)
{
    (void)state;
    begin();
    assert_int_equal(socketio_route_add(stage.route, "/*", &plain), 0);
    char packet[300] = "0/";
    memset(packet + 2, 'x', 254);
    line *l = line_new();
    say(l, packet);
    assert_memory_equal(l->wire, "40/x", 4);
    l->wire[0] = '\0';
    memset(packet + 2, 'x', 255);
    say(l, packet);
    assert_memory_equal(l->wire, "44/x", 4);
}

static void connect__twice_ends_the_connection(void **state)
{
    (void)state;
    begin();
    line *l = guest();
    say(l, "0");
    say(l, "2[\"late\"]");
    turn();
    assert_log(l->wire, "close ");
    assert_log(stage.told, "close:1000:forced close ");
}

static void connect__has_a_deadline(void **state)
{
    (void)state;
    begin();
    line *l = line_new(), *in = guest();
    for (int i = 0; i < 1000 && l->client; i++)
        assert_int_equal(loop_step(&stage.loop, 5), 0);
    assert_log(l->wire, "close ");
    assert_non_null(in->client);
}

static void connect__joins_namespaces_by_pattern_in_the_order_of_their_rules(void **state)
{
    (void)state;
    begin();
    static const weft_socketio_options other = {.message = on_message};
    assert_int_equal(socketio_route_add(stage.route, "/game-*", &plain), 0);
    assert_int_equal(socketio_route_add(stage.route, "/*", &other), 0);
    line *l = line_new();
    say(l, "0/game-1,");
    assert_welcome(l, "/game-1", "");
    say(l, "0/lobby,{}");
    assert_welcome(l, "/lobby", "");
    say(l, "2/lobby,[\"hi\",1]");
    say(l, "2/game-1,[\"hi\",2]");
    assert_log(stage.told, "message:hi:[1] open hi[2] ");
    assert_int_equal(stage.route->locals->namespaces.n_entries, 2);
    lose(l, ENGINEIO_TRANSPORT_CLOSE);
    turn();
    assert_int_equal(stage.route->locals->namespaces.n_entries, 0);
}

/* ---- what is against the rules ---- */

static void assert_ends(const char *packet, const char *reason)
{
    line *l = guest();
    say(l, packet);
    turn();
    assert_log(l->wire, "close ");
    assert_log(stage.told, reason);
    assert_null(l->client);
}

static void client__that_sends_no_packet_is_closed(void **state)
{
    (void)state;
    begin();
    assert_ends("9", "close:1002:parse error ");
    assert_ends("", "close:1002:parse error ");
    assert_ends("2[]", "close:1002:parse error ");
    assert_ends("2[\"disconnect\"]", "close:1002:parse error ");
}

static void client__that_sends_an_event_without_anything_is_not_heard(void **state)
{
    (void)state;
    begin();
    line *l = guest();
    say(l, "2");
    say(l, "212");
    say(l, "2[\"\"]");
    assert_log(stage.told, "[] ");
    assert_log(l->wire, "");
}

static void client__that_sends_to_a_namespace_it_has_not_joined_is_closed(void **state)
{
    (void)state;
    begin();
    assert_ends("2/other,[\"x\"]", "close:1000:forced close ");
    assert_ends("1/other,", "close:1000:forced close ");
    assert_ends("4{\"message\":\"x\"}", "close:1000:forced close ");
    line *l = line_new();
    say(l, "2[\"x\"]");
    turn();
    assert_log(l->wire, "close ");
}

static void client__disconnects_from_one_namespace(void **state)
{
    (void)state;
    begin();
    line *l = guest();
    say(l, "1");
    turn();
    assert_log(stage.told, "close:1000:client namespace disconnect ");
    assert_log(l->wire, "");
    assert_non_null(l->client);
    say(l, "0");
    turn();
    assert_welcome(l, "/", "");
    assert_log(stage.told, "open ");
}

static void client__end_is_told_with_its_reason(void **state)
{
    (void)state;
    begin();
    static const struct {
        engineio_end why;
        const char *told;
    } ends[] = {
        {ENGINEIO_TRANSPORT_CLOSE, "close:1006:transport close "},
        {ENGINEIO_PING_TIMEOUT, "close:1006:ping timeout "},
        {ENGINEIO_SHUTTING_DOWN, "close:1001:server shutting down "},
    };
    for (size_t i = 0; i < N_OF(ends); i++) {
        line *l = guest();
        lose(l, ends[i].why);
        assert_log(stage.told, "");
        turn();
        assert_log(stage.told, ends[i].told);
    }
}

/* ---- attachments ---- */

static void attachments__are_gathered(void **state)
{
    (void)state;
    begin();
    line *l = guest();
    say(l, "52-7[\"pic\",{\"_placeholder\":true,\"num\":1},{\"_placeholder\":true,\"num\":0}]");
    say_binary(l, "one");
    assert_log(stage.told, "");
    say_binary(l, "two");
    assert_log(stage.told, "pic[{\"_placeholder\":true,\"num\":1},{\"_placeholder\":true,\"num\":0}]<one><two>+7 ");
    say(l, "2[\"next\"]");
    assert_log(stage.told, "next[] ");
}

static void attachments__text_among_them_ends_the_connection(void **state)
{
    (void)state;
    begin();
    line *l = guest();
    say(l, "52-[\"pic\",{\"_placeholder\":true,\"num\":0}]");
    say_binary(l, "one");
    say(l, "2[\"x\"]");
    turn();
    assert_log(l->wire, "close ");
    assert_log(stage.told, "close:1002:parse error ");
}

static void attachments__without_a_packet_end_the_connection(void **state)
{
    (void)state;
    begin();
    line *l = guest();
    say_binary(l, "one");
    turn();
    assert_log(l->wire, "close ");
    assert_log(stage.told, "close:1002:parse error ");
}

static void attachments__have_a_limit_together(void **state)
{
    (void)state;
    begin();
    char bytes[600] = {0};
    line *l = guest();
    say(l, "52-[\"pic\",{\"_placeholder\":true,\"num\":0}]");
    hear(l, true, bytes, sizeof bytes);
    hear(l, true, bytes, 400);
    turn();
    assert_log(l->wire, "abort ");
    assert_log(stage.told, "close:1002:parse error ");
    assert_int_equal(stage.net.limits.n[LIMIT_MESSAGE_BYTES], 1);
}

static void attachments__of_a_client_that_goes_meanwhile_are_freed(void **state)
{
    (void)state;
    begin();
    line *l = guest();
    say(l, "53-[\"pic\",{\"_placeholder\":true,\"num\":0}]");
    say_binary(l, "one");
    say_binary(l, "two");
    lose(l, ENGINEIO_TRANSPORT_CLOSE);
    turn();
    assert_log(stage.told, "close:1006:transport close ");
}

/* ---- reading ---- */

static void client__is_read_only_while_all_its_sockets_want_to(void **state)
{
    (void)state;
    begin();
    assert_int_equal(socketio_route_add(stage.route, "/b", &plain), 0);
    line *l = guest();
    say(l, "0/b,");
    turn();
    peer *a = &socket_in(l, "/")->peer, *b = &socket_in(l, "/b")->peer;
    peer_stop_reading(a, PAUSED_BY_PROGRAM, true);
    assert_true(l->paused);
    peer_stop_reading(b, PAUSED_BY_PROGRAM, true);
    peer_stop_reading(a, PAUSED_BY_PROGRAM, false);
    assert_true(l->paused);
    peer_close(b, 1000, (str){NULL, 0});
    assert_false(l->paused);
}

/* ---- memory ---- */

static int connect_and_talk(void)
{
    line *l = line_try();
    if (!l)
        return -ENOMEM;
    say(l, "0{\"token\":\"x\"}");
    say(l, "2[\"a\",1]");
    say(l, "25[\"b\",1]");
    say(l, "52-[\"pic\",{\"_placeholder\":true,\"num\":0}]");
    say_binary(l, "one");
    say_binary(l, "two");
    say(l, "0/b,");
    turn();
    bool lives = l->client && socket_in(l, "/b") && !strstr(l->wire, "abort");
    if (l->client)
        lose(l, ENGINEIO_TRANSPORT_CLOSE);
    turn();
    turn();
    return lives ? 0 : -ENOMEM;
}

static void client__without_memory_is_cut(void **state)
{
    (void)state;
    begin();
    assert_int_equal(socketio_route_add(stage.route, "/b", &plain), 0);
    check_failing_allocations(connect_and_talk);
}

/* ---- the server stops ---- */

static void route__drains_clients_that_are_in_no_namespace(void **state)
{
    (void)state;
    begin();
    line *in = guest(), *out = line_new();
    socketio_route_drain(stage.route, &stage.hub);
    turn();
    assert_log(out->wire, "close ");
    assert_log(in->wire, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        STAGE_TEST(connect__is_answered_before_open_and_open_comes_before_events),
        STAGE_TEST(connect__opens_at_the_end_of_the_turn),
        STAGE_TEST(connect__to_an_unknown_namespace_is_refused),
        STAGE_TEST(connect__to_a_name_that_is_too_long_is_refused),
        STAGE_TEST(connect__twice_ends_the_connection),
        STAGE_TEST(connect__has_a_deadline),
        STAGE_TEST(connect__joins_namespaces_by_pattern_in_the_order_of_their_rules),
        STAGE_TEST(client__that_sends_no_packet_is_closed),
        STAGE_TEST(client__that_sends_an_event_without_anything_is_not_heard),
        STAGE_TEST(client__that_sends_to_a_namespace_it_has_not_joined_is_closed),
        STAGE_TEST(client__disconnects_from_one_namespace),
        STAGE_TEST(client__end_is_told_with_its_reason),
        STAGE_TEST(attachments__are_gathered),
        STAGE_TEST(attachments__text_among_them_ends_the_connection),
        STAGE_TEST(attachments__without_a_packet_end_the_connection),
        STAGE_TEST(attachments__have_a_limit_together),
        STAGE_TEST(attachments__of_a_client_that_goes_meanwhile_are_freed),
        STAGE_TEST(client__is_read_only_while_all_its_sockets_want_to),
        STAGE_TEST(client__without_memory_is_cut),
        STAGE_TEST(route__drains_clients_that_are_in_no_namespace),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
