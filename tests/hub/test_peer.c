#include "hub/peer.h"
#include "hub/scripted.h"

static bool is_known(weft_peer handle, slot_kind kind)
{
    return slots_get(&stage.table, handle.id, kind);
}

/* ---- open, message, close ---- */

static void peer__is_open_before_its_first_message(void **state)
{
    (void)state;
    client *c = client_new(&usual_rules);
    assert_log(c->told, "");
    receive(c, "hello");
    receive(c, "again");
    turn();
    assert_log(c->told, "open hello again ");
    assert_int_equal(c->line->peer.messages_in, 2);
    assert_int_equal(c->line->peer.bytes_in, 10);
}

static void peer__is_open_at_the_end_of_the_turn(void **state)
{
    (void)state;
    client *c = client_new(&usual_rules);
    turn();
    assert_log(c->told, "open ");
    turn();
    assert_log(c->told, "");
}

static void look_at_since(client *c, const char *what)
{
    const peer *p = &c->line->peer;
    if (strcmp(what, "open") == 0)
        assert_string_equal(peer_text(p), "5f1d07a3c2be-42");
    else
        assert_null(peer_text(p));
}

/* Kept for `open`, and for no longer; a peer that never gets there lets go of it as well. */
static void peer__has_the_cursor_that_it_came_with_in_open(void **state)
{
    (void)state;
    client *a = client_new(&usual_rules), *b = client_new(&usual_rules);
    a->act = look_at_since;
    assert_int_equal(peer_keep_text(&a->line->peer, STR("5f1d07a3c2be-42")), 0);
    assert_int_equal(peer_keep_text(&b->line->peer, STR("5f1d07a3c2be-42")), 0);
    receive(a, "hello");
    cut(b);
    turn();
    assert_null(b->line);
    assert_log(a->told, "open hello ");
}

static void peer__that_leaves_before_open_is_never_told_of(void **state)
{
    (void)state;
    client *a = client_new(&usual_rules), *b = client_new(&usual_rules), *c = client_new(&usual_rules);
    cut(a);
    assert_int_equal(hang_up(b, 1000, ""), 0);
    peer_leave(&c->line->peer, 1006, (str){NULL, 0});
    peer_open(&c->line->peer);
    turn();
    assert_log(a->told, "");
    assert_log(b->told, "");
    assert_log(c->told, "");
    assert_true(!a->line && !b->line && !c->line);
    assert_int_equal(stage.hub.n_peers, 0);
}

static void peer__close_comes_once_and_later(void **state)
{
    (void)state;
    client *c = guest();
    assert_int_equal(hang_up(c, 4000, "enough"), 0);
    assert_log(c->told, "");
    assert_int_equal(hang_up(c, 4001, ""), WEFT_E_CLOSED);
    assert_int_equal(say(c, "late"), WEFT_E_CLOSED);
    cut(c);
    peer_sent(&c->line->peer);
    receive(c, "late");
    assert_log(c->wire, "close:4000:enough ");
    turn();
    assert_log(c->told, "close:4000:enough ");
    assert_null(c->line);
}

static void peer__abort_is_1006(void **state)
{
    (void)state;
    client *c = guest();
    cut(c);
    turn();
    assert_log(c->wire, "abort ");
    assert_log(c->told, "close:1006: ");
}

static void peer__keeps_a_copy_of_the_reason(void **state)
{
    (void)state;
    client *c = guest();
    char reason[] = "gone for lunch";
    peer_leave(&c->line->peer, 1001, str_from(reason));
    memset(reason, 'x', sizeof reason - 1);
    turn();
    assert_log(c->told, "close:1001:gone for lunch ");
}

static void peer__without_memory_for_the_reason_closes_without_one(void **state)
{
    (void)state;
    client *c = guest();
    mem_fail_from(1);
    peer_leave(&c->line->peer, 1001, STR("gone for lunch"));
    mem_fail_from(0);
    turn();
    assert_log(c->told, "close:1001: ");
}

static void peer__needs_no_callbacks(void **state)
{
    (void)state;
    static const peer_rules none = {.max_queued_bytes = 10};
    client *c = client_new(&none);
    receive(c, "hello");
    assert_int_equal(say_long(c, "m1", 20), WEFT_QUEUED);
    drain_whole(c);
    cut(c);
    turn();
    assert_null(c->line);
}

/* ---- inside callbacks ---- */

static const char *where; /* the callback that does something */
static bool cuts;

static void leave_there(client *c, const char *what)
{
    if (strcmp(what, where) != 0)
        return;
    peer *p = &c->line->peer;
    assert_int_equal(p->leaving, strcmp(what, "close") == 0);
    if (cuts)
        cut(c);
    else
        assert_int_equal(hang_up(c, 4000, "now"), p->close_code == 4001 ? WEFT_E_CLOSED : 0);
    assert_int_equal(say(c, "late"), WEFT_E_CLOSED);
    assert_int_equal(hang_up(c, 1000, ""), WEFT_E_CLOSED);
}

/* All that may happen to a client, in one turn after the other. */
static void lead_a_life(client *c)
{
    receive(c, "a");
    if (c->line->peer.leaving)
        goto out;
    receive(c, "b");
    if (c->line->peer.leaving)
        goto out;
    assert_int_equal(say_long(c, "full", DEFAULT_LIMIT), WEFT_QUEUED);
    drain_whole(c);
    if (c->line)
        hang_up(c, 4001, "");
out:
    if (c->line)
        receive(c, "late");
    turn();
}

static void peer__may_be_ended_in_any_callback(void **state)
{
    (void)state;
    static const struct {
        const char *where, *told;
    } cases[] = {
        {"open", "open "},
        {"message", "open a "},
        {"drain", "open a b drain "},
    };
    for (size_t i = 0; i < 2 * N_OF(cases); i++) {
        char expected[64];
        where = cases[i / 2].where;
        cuts = i % 2;
        client *c = client_new(&usual_rules);
        c->act = leave_there;
        lead_a_life(c);
        snprintf(expected, sizeof expected, "%sclose:%s ", cases[i / 2].told, cuts ? "1006:" : "4000:now");
        assert_log(c->told, expected);
        assert_null(c->line);
        assert_int_equal(stage.hub.n_peers, 0);
    }
}

static void peer__is_gone_already_in_close(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        where = "close";
        cuts = i;
        client *c = client_new(&usual_rules);
        c->act = leave_there;
        lead_a_life(c);
        assert_log(c->told, "open a b drain close:4001: ");
        assert_log(c->wire, "full close:4001: ");
        assert_null(c->line);
    }
}

static void say_goodbye(client *c, const char *what)
{
    (void)c;
    if (strcmp(what, "close") == 0)
        publish("t", "somebody left");
}

static void peer__may_publish_in_close(void **state)
{
    (void)state;
    client *a = guest(), *b = guest();
    subscribe(a, "t");
    subscribe(b, "t");
    a->act = b->act = say_goodbye;
    cut(a);
    turn();
    assert_log(b->wire, "somebody left ");
    cut(b);
    turn();
    assert_log(a->wire, "abort ");
}

/* Others of the same turn whose callbacks end each other. */
static client *victim;

static void cut_victim(client *c, const char *what)
{
    (void)what;
    if (c != victim && victim->line)
        cut(victim);
}

static void peer__may_be_ended_by_another(void **state)
{
    (void)state;
    client *a = client_new(&usual_rules);
    victim = client_new(&usual_rules);
    a->act = cut_victim;
    turn();
    assert_log(a->told, "open ");
    assert_log(victim->told, ""); /* it was not told of yet */
    assert_null(victim->line);
    victim = guest();
    client *b = guest();
    b->act = cut_victim;
    hang_up(victim, 4000, "");
    hang_up(b, 4001, "");
    turn();
    assert_log(victim->told, "close:4000: ");
    assert_log(b->told, "close:4001: ");
}

/* ---- a protocol above ---- */

static int n_left;

static void take_message(peer *p, const weft_message *message)
{
    put_down(scripted_of(p)->client->told, "taken:%.*s ", (int)message->data.len, message->data.at);
}

static void take_and_leave(peer *p, const weft_message *message)
{
    take_message(p, message);
    peer_abort(p);
}

static void note_left(peer *p)
{
    assert_true(p->leaving);
    assert_int_equal(p->n_subscriptions, 0);
    n_left++;
}

static client *guest_with(peer_handler *handler)
{
    client *c = guest();
    n_left = 0;
    c->line->peer.handler = handler;
    return c;
}

static void peer_handler__takes_what_comes_in_place_of_the_program(void **state)
{
    (void)state;
    peer_handler takes = {&(const peer_handler_ops){.receive = take_message, .left = note_left}};
    client *c = guest_with(&takes);
    subscribe(c, "t");
    receive(c, "a");
    assert_log(c->told, "taken:a ");
    assert_int_equal(c->line->peer.messages_in, 1);
    hang_up(c, 1000, "");
    receive(c, "late");
    turn();
    assert_log(c->told, "close:1000: ");
    assert_int_equal(n_left, 1);
}

static void peer_handler__may_take_nothing(void **state)
{
    (void)state;
    peer_handler deaf = {&(const peer_handler_ops){0}};
    client *c = guest_with(&deaf);
    receive(c, "a");
    cut(c);
    turn();
    assert_log(c->told, "close:1006: ");
}

/* Its handler is gone then, but what it took is not the program's. */
static void peer_handler__may_end_its_peer(void **state)
{
    (void)state;
    peer_handler leaves = {&(const peer_handler_ops){.receive = take_and_leave, .left = note_left}};
    client *c = guest_with(&leaves);
    receive(c, "a");
    assert_int_equal(n_left, 1);
    turn();
    assert_log(c->told, "taken:a close:1006: ");
    assert_int_equal(n_left, 1);
}

/* ---- handles ---- */

static weft_peer seen_in_close;

static void look_at_handle(client *c, const char *what)
{
    if (strcmp(what, "close") == 0 && is_known(c->handle, SLOT_PEER))
        seen_in_close = c->handle;
}

static void peer__handle_is_good_until_close_has_been_called(void **state)
{
    (void)state;
    client *c = guest();
    weft_peer handle = c->handle;
    c->act = look_at_handle;
    cut(c);
    assert_true(is_known(handle, SLOT_PEER));
    turn();
    assert_true(seen_in_close.id == handle.id);
    assert_false(is_known(handle, SLOT_PEER));
    for (int i = 0; i < 100; i++)
        assert_true(guest()->handle.id != handle.id);
    assert_false(is_known(handle, SLOT_PEER));
}

static void count_one(void *value, void *user)
{
    (void)value;
    ++*(int *)user;
}

static void peer__whose_connection_stays_is_known_as_closing(void **state)
{
    (void)state;
    client *c = guest();
    int n = 0;
    c->stays = true;
    hang_up(c, 1000, "");
    turn();
    assert_log(c->told, "close:1000: ");
    assert_non_null(c->line);
    assert_int_equal(stage.hub.n_peers, 0);
    assert_false(is_known(c->handle, SLOT_PEER));
    slots_each(&stage.table, SLOT_CLOSING, count_one, &n);
    assert_int_equal(n, 1);
    end_connection(c);
    slots_each(&stage.table, SLOT_CLOSING, count_one, &n);
    assert_int_equal(n, 1);
}

static void peer__whose_connection_can_have_no_handle_is_cut(void **state)
{
    (void)state;
    stage.table.first_generation = UINT32_MAX; /* each slot is used once */
    client *last = guest();
    while (stage.table.n < stage.table.cap)
        assert_true(slots_put(&stage.table, SLOT_EXCHANGE, last));
    last->stays = true;
    hang_up(last, 1000, "");
    mem_fail_from(1);
    turn();
    mem_fail_from(0);
    assert_log(last->wire, "close:1000: abort ");
    assert_log(last->told, "close:1000: ");
    assert_null(last->line);
}

static void peer__that_cannot_be_had_leaves_nothing(void **state)
{
    (void)state;
    mem_fail_from(1);
    assert_null(client_new(&usual_rules));
    mem_fail_from(0);
    assert_int_equal(stage.hub.n_peers, 0);
    turn();
}

/* ---- sending ---- */

static void peer_send__takes_what_is_valid(void **state)
{
    (void)state;
    client *c = guest();
    assert_int_equal(say(c, "text"), 0);
    assert_int_equal(say(c, ""), 0);
    assert_int_equal(send_kind(c, WEFT_TEXT, (str){NULL, 0}), 0);
    assert_int_equal(send_kind(c, WEFT_TEXT, STR("\xc3\xa9")), 0);
    assert_int_equal(send_kind(c, WEFT_BINARY, STR("\xff")), 0);
    assert_int_equal(send_kind(c, WEFT_TEXT, STR("\xff")), WEFT_E_UTF8);
    assert_int_equal(send_kind(c, WEFT_TEXT, STR("\xc3")), WEFT_E_UTF8);
    assert_int_equal(send_kind(c, WEFT_JSON, STR("{")), WEFT_E_JSON);
    assert_int_equal(send_kind(c, WEFT_JSON, STR("")), WEFT_E_JSON);
    assert_int_equal(send_kind(c, 0, STR("x")), WEFT_E_INVALID);
    assert_log(c->wire, "text   \xc3\xa9 \xff ");
    assert_int_equal(c->line->peer.messages_out, 5);
    assert_int_equal(c->line->peer.bytes_out, 7);
}

static void peer_send__compacts_json(void **state)
{
    (void)state;
    client *c = guest();
    assert_int_equal(send_kind(c, WEFT_JSON, STR(" { \"a b\" : [ 1 , 2 ] }\n")), 0);
    assert_int_equal(send_kind(c, WEFT_JSON, STR("{\"a b\":[1,2]}")), 0);
    assert_log(c->wire, "{\"a b\":[1,2]} {\"a b\":[1,2]} ");
}

/* What was just received needs no second look, and nothing else is taken for it. */
static void peer_send__trusts_only_the_text_that_is_being_delivered(void **state)
{
    (void)state;
    client *c = guest();
    static const char wrong[] = "\xff\xff";
    stage.hub.view = (str){wrong, 2};
    assert_int_equal(send_kind(c, WEFT_TEXT, (str){wrong, 2}), WEFT_E_UTF8);
    stage.hub.view_is_text = true;
    assert_int_equal(send_kind(c, WEFT_TEXT, (str){wrong, 2}), 0);
    assert_int_equal(send_kind(c, WEFT_TEXT, (str){wrong, 1}), WEFT_E_UTF8);
    assert_int_equal(send_kind(c, WEFT_TEXT, (str){wrong + 1, 1}), WEFT_E_UTF8);
}

static void peer_send__is_full_at_the_limit_before_the_call(void **state)
{
    (void)state;
    client *c = guest();
    assert_int_equal(say_long(c, "m1", DEFAULT_LIMIT - 1), 0);
    assert_int_equal(say_long(c, "m2", 1 + 5000), WEFT_QUEUED);
    assert_int_equal(say(c, ""), WEFT_E_FULL);
    assert_int_equal(send_kind(c, WEFT_TEXT, STR("\xff")), WEFT_E_FULL);
    drain(c, 4999);
    assert_int_equal(c->line->queued, DEFAULT_LIMIT + 1);
    assert_int_equal(say(c, "m3"), WEFT_E_FULL);
    drain(c, 1);
    assert_int_equal(say(c, "m4"), WEFT_E_FULL);
    drain(c, 1);
    assert_int_equal(say(c, "m5"), WEFT_QUEUED);
    assert_log(c->wire, "m1 m2 m5 ");
}

static void peer_send__takes_any_size_when_empty(void **state)
{
    (void)state;
    client *c = guest();
    assert_int_equal(say_long(c, "m1", 200 * 1000), WEFT_QUEUED);
    assert_int_equal(c->line->queued, 200 * 1000);
}

static void peer_send__without_memory_ends_the_peer(void **state)
{
    (void)state;
    client *a = guest(), *b = guest();
    a->fail_in = 1;
    assert_int_equal(say(a, "m1"), -ENOMEM);
    mem_fail_from(1);
    assert_int_equal(send_kind(b, WEFT_JSON, STR("[ 1 ]")), -ENOMEM); /* nowhere to compact it */
    mem_fail_from(0);
    assert_int_equal(say(a, "m2"), WEFT_E_CLOSED);
    turn();
    assert_log(a->told, "close:1006: ");
    assert_log(b->told, "close:1006: ");
}

/* ---- reading and draining ---- */

static void peer__is_not_read_from_the_limit_down_to_half(void **state)
{
    (void)state;
    client *c = guest();
    assert_int_equal(say_long(c, "m1", DEFAULT_LIMIT), WEFT_QUEUED);
    assert_false(c->reading);
    turn();
    drain(c, DEFAULT_LIMIT / 2 - 1);
    turn();
    assert_false(c->reading);
    assert_log(c->told, "");
    assert_true(c->line->notify); /* or it would never hear of the rest */
    drain(c, 1);
    assert_log(c->told, ""); /* not from within the transport */
    turn();
    assert_true(c->reading);
    assert_log(c->told, "drain ");
    drain(c, SIZE_MAX);
    peer_sent(&c->line->peer);
    turn();
    assert_log(c->told, ""); /* once */
    assert_int_equal(c->n_pauses, 2);
}

static void peer__is_told_drain_after_a_refusal(void **state)
{
    (void)state;
    client *c = guest();
    subscribe(c, "t");
    publish_long("t", "m1", DEFAULT_LIMIT); /* fills the queue without a word to the program */
    assert_true(c->reading);
    assert_int_equal(say(c, "m2"), WEFT_E_FULL);
    assert_false(c->reading);
    drain_whole(c);
    assert_log(c->told, "drain ");
    assert_true(c->reading);
}

static void peer__is_told_no_drain_that_it_did_not_wait_for(void **state)
{
    (void)state;
    client *c = guest();
    subscribe(c, "t");
    publish_long("t", "m1", 2 * DEFAULT_LIMIT);
    publish_long("t", "m2", DEFAULT_LIMIT);
    drain_whole(c);
    assert_log(c->wire, "m1 m2 ");
    assert_log(c->told, "");
    assert_int_equal(c->n_pauses, 0);
}

static void fill_again(client *c, const char *what)
{
    if (strcmp(what, "drain") == 0 && c->n_wire < 3)
        assert_int_equal(say_long(c, "more", DEFAULT_LIMIT), WEFT_QUEUED);
}

static void peer__is_told_drain_each_time(void **state)
{
    (void)state;
    client *c = guest();
    c->act = fill_again;
    assert_int_equal(say_long(c, "m1", DEFAULT_LIMIT), WEFT_QUEUED);
    drain_whole(c);
    assert_log(c->told, "drain drain drain ");
    assert_log(c->wire, "m1 more more ");
}

static void peer__is_read_when_no_reason_against_it_is_left(void **state)
{
    (void)state;
    client *c = guest();
    peer *p = &c->line->peer;
    peer_stop_reading(p, PAUSED_BY_PROGRAM, true);
    assert_false(c->reading);
    peer_stop_reading(p, PAUSED_BY_REPLIES, true);
    assert_int_equal(say_long(c, "m1", DEFAULT_LIMIT), WEFT_QUEUED);
    peer_stop_reading(p, PAUSED_BY_PROGRAM, false);
    peer_stop_reading(p, PAUSED_BY_PROGRAM, false);
    assert_false(c->reading);
    drain_whole(c);
    assert_log(c->told, "drain ");
    assert_false(c->reading);
    peer_stop_reading(p, PAUSED_BY_REPLIES, false);
    assert_true(c->reading);
    assert_int_equal(c->n_pauses, 2);
    cut(c);
    peer_stop_reading(p, PAUSED_BY_PROGRAM, true); /* the transport is told no more */
    assert_int_equal(c->n_pauses, 2);
}

/* ---- memory ---- */

/* ------------------------------------------------------------------------------------------------------------ counting */

static void assert_counted(const client *c, uint64_t messages_in, uint64_t messages_out, uint64_t bytes_in,
                           uint64_t bytes_out)
{
    peer_counts n = peer_counted(&c->line->peer);
    assert_int_equal(n.messages_in, messages_in);
    assert_int_equal(n.messages_out, messages_out);
    assert_int_equal(n.bytes_in, bytes_in);
    assert_int_equal(n.bytes_out, bytes_out);
}

static void peer__counts_beyond_what_it_has_room_for(void **state)
{
    (void)state;
    const uint64_t most = UINT32_MAX;
    client *c = guest();
    peer *p = &c->line->peer;
    peer_count_in(p, UINT32_MAX);
    peer_count_out(p, 1, 7);
    assert_null(p->extra);
    assert_counted(c, 1, 1, most, 7);
    peer_count_in(p, 0);
    assert_counted(c, 2, 1, most, 7);
    peer_count_in(p, 1);
    assert_counted(c, 3, 1, most + 1, 7);
    peer_count_in(p, 5 * most);
    peer_count_out(p, 1, 5 * most);
    assert_counted(c, 4, 2, 6 * most + 1, 7 + 5 * most);
    p->messages_in = p->messages_out = UINT32_MAX;
    peer_count_in(p, 1);
    peer_count_out(p, 1, 1);
    peer_count_out(p, 1, 1);
    assert_counted(c, 5 + most, 4 + most, 6 * most + 2, 9 + 5 * most);
}

/* What is then not counted is what did not fit. */
static void peer__counts_what_it_can_without_memory(void **state)
{
    (void)state;
    client *c = guest();
    peer *p = &c->line->peer;
    peer_count_in(p, UINT32_MAX);
    for (uint64_t n = 1; n <= 2; n++) {
        mem_fail_from(n);
        peer_count_in(p, 1);
        mem_fail_from(0);
        assert_counted(c, 1, 0, UINT32_MAX, 0);
    }
    peer_count_in(p, 1);
    assert_counted(c, 2, 0, 1ull << 32, 0);
}

/* Two clients, topics, full queues, timers and ends, of which any may find no memory. */
static void visit(client *a, client *b)
{
    receive(a, "hello");
    if (!b->line->peer.leaving)
        send_kind(b, WEFT_JSON, STR("[ 1, 2 ]"));
    for (int i = 0; i < 3; i++) {
        if (!a->line->peer.leaving)
            subscribe(a, i ? "t" : "u");
        if (!b->line->peer.leaving)
            subscribe(b, i ? "u" : "v");
        publish_long("t", "m1", 600);
        publish("u", "m2");
        publish("v", "m3");
    }
    if (!a->line->peer.leaving)
        hub_timer_start(&stage.hub, &a->line->peer, &(timer_spec){.ms = 1000});
    say(b, "bye");
    hang_up(b, 1000, "because");
}

static uint64_t n_visits;

static int visit_without_memory(void)
{
    uint64_t before = mem_count();
    assert_int_equal(stage_init(), 0);
    stage.allocates = true;
    client *a = client_new(&usual_rules), *b = client_new(&usual_rules);
    turn();
    if (a && b)
        visit(a, b);
    turn();
    if (a && a->line)
        drain_whole(a);
    if (a && a->line)
        hang_up(a, 1000, "because");
    turn();
    stage_done();
    return mem_count() - before >= ++n_visits ? -1 : 0;
}

static void peer__survives_any_failed_allocation(void **state)
{
    (void)state;
    check_failing_allocations(visit_without_memory);
    assert_true(n_visits > 20);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, stage_start, stage_stop)
    const struct CMUnitTest tests[] = {
        CASE(peer__is_open_before_its_first_message),
        CASE(peer__is_open_at_the_end_of_the_turn),
        CASE(peer__has_the_cursor_that_it_came_with_in_open),
        CASE(peer__that_leaves_before_open_is_never_told_of),
        CASE(peer__close_comes_once_and_later),
        CASE(peer__abort_is_1006),
        CASE(peer__keeps_a_copy_of_the_reason),
        CASE(peer__without_memory_for_the_reason_closes_without_one),
        CASE(peer__needs_no_callbacks),
        CASE(peer__may_be_ended_in_any_callback),
        CASE(peer__is_gone_already_in_close),
        CASE(peer__may_publish_in_close),
        CASE(peer__may_be_ended_by_another),
        CASE(peer_handler__takes_what_comes_in_place_of_the_program),
        CASE(peer_handler__may_take_nothing),
        CASE(peer_handler__may_end_its_peer),
        CASE(peer__handle_is_good_until_close_has_been_called),
        CASE(peer__whose_connection_stays_is_known_as_closing),
        CASE(peer__whose_connection_can_have_no_handle_is_cut),
        CASE(peer__that_cannot_be_had_leaves_nothing),
        CASE(peer_send__takes_what_is_valid),
        CASE(peer_send__compacts_json),
        CASE(peer_send__trusts_only_the_text_that_is_being_delivered),
        CASE(peer_send__is_full_at_the_limit_before_the_call),
        CASE(peer_send__takes_any_size_when_empty),
        CASE(peer_send__without_memory_ends_the_peer),
        CASE(peer__is_not_read_from_the_limit_down_to_half),
        CASE(peer__is_told_drain_after_a_refusal),
        CASE(peer__is_told_no_drain_that_it_did_not_wait_for),
        CASE(peer__is_told_drain_each_time),
        CASE(peer__is_read_when_no_reason_against_it_is_left),
        CASE(peer__counts_beyond_what_it_has_room_for),
        CASE(peer__counts_what_it_can_without_memory),
        cmocka_unit_test(peer__survives_any_failed_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
