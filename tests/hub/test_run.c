/* What is published in a turn reaches a subscriber in one piece, and nothing comes in another order for that. */
#include "hub/scripted.h"
#include "hub/topic.h"

static size_t n_joined, n_pieces;

/* What a message is joined of: its data; nothing for one that begins with a dash. */
static str bytes_of(peer *p, topic *t, uint64_t offset)
{
    str data = blob_data(topic_message_at(t, offset)->body);
    (void)p;
    n_joined++;
    return *data.at == '-' ? STR("") : data;
}

static void bracket(char *joined, size_t len)
{
    joined[-1] = '[';
    joined[len] = ']';
}

static const topic_run *joining_run(peer *p, topic *t, uint64_t first, uint64_t end)
{
    static const topic_joint how = {
        .format = WIRE_LINE, .before = 1, .behind = 1, .bytes = bytes_of, .finish = bracket};
    return topic_join(t, first, end, &how, p);
}

static int joining_deliver_run(peer *p, const topic_run *run)
{
    n_pieces++;
    return take(scripted_of(p), (str){run->image->bytes, run->image->len}, run->image);
}

/* One that takes several messages in one piece: "[m1m2] ". */
static client *joining(void)
{
    static peer_ops ops;
    client *c = guest();
    ops = scripted_ops;
    ops.run = joining_run;
    ops.deliver_run = joining_deliver_run;
    c->line->peer.ops = &ops;
    return c;
}

static int start(void **state)
{
    n_joined = n_pieces = 0;
    int error = stage_start(state);
    stage.defers = true;
    return error;
}

static client *joining_subscriber(const char *name)
{
    client *c = joining();
    assert_int_equal(subscribe(c, name), 0);
    return c;
}

/* ---- the end of the turn ---- */

static void turn__brings_all_messages_of_a_topic_in_one_piece(void **state)
{
    (void)state;
    client *a = joining_subscriber("t"), *b = joining_subscriber("t"), *single = guest();
    subscribe(single, "t");
    publish("t", "m1");
    publish("t", "m2");
    publish("t", "m3");
    assert_log(a->wire, "");
    turn();
    assert_log(a->wire, "[m1m2m3] ");
    assert_log(b->wire, "[m1m2m3] ");
    assert_log(single->wire, "m1 m2 m3 ");
    assert_int_equal(n_joined, 2 * 3); /* once for all: measured and copied */
    assert_int_equal(a->line->peer.messages_out, 3);
    assert_int_equal(a->line->peer.bytes_out, 6);
    assert_int_equal(topic_named("t")->bytes, 0);
    assert_null(stage.hub.joined);
}

static void turn__brings_a_single_message_as_it_is(void **state)
{
    (void)state;
    client *a = joining_subscriber("t");
    publish("t", "m1");
    turn();
    assert_log(a->wire, "m1 ");
    assert_int_equal(n_joined, 0);
}

static void turn__keeps_the_order_of_topics(void **state)
{
    (void)state;
    client *a = joining_subscriber("t");
    subscribe(a, "u");
    publish("t", "m1");
    publish("t", "m2");
    publish("u", "m3");
    assert_log(a->wire, "[m1m2] ");
    publish("t", "m4");
    assert_log(a->wire, "m3 ");
    turn();
    assert_log(a->wire, "m4 ");
}

static void turn__keeps_the_order_of_what_is_sent(void **state)
{
    (void)state;
    client *a = joining_subscriber("t"), *b = joining_subscriber("t");
    publish("t", "m1");
    publish("t", "m2");
    say(a, "s1");
    publish("t", "m3");
    turn();
    assert_log(a->wire, "[m1m2] s1 m3 ");
    assert_log(b->wire, "[m1m2m3] ");
}

static void turn__is_nothing_to_who_comes_behind(void **state)
{
    (void)state;
    client *a = joining_subscriber("t"), *late = joining();
    publish("t", "m1");
    subscribe(late, "t");
    publish("t", "m2");
    publish("t", "m3");
    unsubscribe(a, "t");
    publish("t", "m4");
    turn();
    assert_log(a->wire, "[m1m2m3] ");
    assert_log(late->wire, "[m2m3m4] ");
}

static void turn__goes_on_without_who_left(void **state)
{
    (void)state;
    client *a = joining_subscriber("t"), *b = joining_subscriber("t");
    publish("t", "m1");
    publish("t", "m2");
    hang_up(a, 1000, "");
    cut(b);
    turn();
    assert_log(a->wire, "[m1m2] close:1000: ");
    assert_log(b->wire, "abort ");
    publish("t", "m3");
    turn();
}

static void turn__serves_all_at_once_for_a_peer_of_many_topics(void **state)
{
    (void)state;
    client *a = joining_subscriber("t"), *b = joining_subscriber("t");
    char name[16];
    for (int i = 0; i < 16; i++) {
        snprintf(name, sizeof name, "other %d", i);
        subscribe(a, name);
    }
    publish("t", "m1");
    publish("t", "m2");
    say(a, "s1");
    assert_log(a->wire, "[m1m2] s1 ");
    assert_log(b->wire, "[m1m2] ");
}

/* Its rooms may be subscribed. */
static void turn__serves_all_at_once_for_a_socket(void **state)
{
    (void)state;
    client *a = joining_subscriber("t"), *socket = guest();
    peer_ops ops = scripted_ops;
    ops.transport = WEFT_TRANSPORT_SOCKETIO;
    socket->line->peer.ops = &ops;
    publish("t", "m1");
    say(socket, "s1");
    assert_log(a->wire, "m1 ");
    socket->line->peer.ops = &scripted_ops;
}

static void turn__forgets_a_topic_without_subscribers(void **state)
{
    (void)state;
    client *a = joining_subscriber("t");
    publish("t", "m1");
    assert_ptr_equal(stage.hub.published, topic_named("t"));
    unsubscribe(a, "t");
    assert_null(stage.hub.published);
    assert_log(a->wire, "m1 ");
}

/* ---- one by one ---- */

static void single__is_who_is_left_out_of_one(void **state)
{
    (void)state;
    client *a = joining_subscriber("t"), *b = joining_subscriber("t");
    publish("t", "m1");
    publish_data("t", STR("m2"), a->handle.id);
    publish("t", "m3");
    turn();
    assert_log(a->wire, "m1 m3 ");
    assert_log(b->wire, "[m1m2m3] ");
    assert_int_equal(a->line->peer.messages_out, 2);
}

static void single__is_who_has_no_room_for_all(void **state)
{
    (void)state;
    client *a = joining_subscriber("t"), *b = joining_subscriber("t");
    say_long(a, "full", DEFAULT_LIMIT - 3);
    publish("t", "m1");
    publish("t", "m2");
    publish("t", "m3");
    turn();
    assert_log(a->wire, "full m1 m2 ");
    assert_log(b->wire, "[m1m2m3] ");
    drain(a, DEFAULT_LIMIT);
    turn();
    assert_log(a->wire, "m3 ");
}

static void single__are_messages_without_shared_bytes(void **state)
{
    (void)state;
    client *a = joining_subscriber("t"), *b = joining_subscriber("t");
    publish("t", "m1");
    publish("t", "-m2");
    turn();
    assert_log(a->wire, "m1 -m2 ");
    assert_log(b->wire, "m1 -m2 ");
    assert_int_equal(n_joined, 2); /* not tried for each */
}

static void single__are_long_messages(void **state)
{
    (void)state;
    static const peer_rules roomy = {.max_queued_bytes = 1 << 20};
    client *a = client_new(&roomy), *b = joining();
    a->line->peer.ops = b->line->peer.ops;
    peer_open(&a->line->peer);
    subscribe(a, "t");
    publish_long("t", "m1", 32 << 10);
    publish_long("t", "m2", (32 << 10) + 1);
    turn();
    assert_log(a->wire, "m1 m2 ");
    assert_int_equal(n_joined, 0);
    publish_long("t", "m3", 32 << 10);
    publish_long("t", "m4", 32 << 10);
    turn();
    assert_int_equal(n_pieces, 1);
}

static void single__is_who_was_told_of_a_gap(void **state)
{
    (void)state;
    configure("t", (weft_topic_options){.slow = WEFT_SLOW_DROP_NEW});
    client *a = joining_subscriber("t");
    say_long(a, "full", DEFAULT_LIMIT);
    publish("t", "m1");
    turn();
    drain(a, DEFAULT_LIMIT);
    publish("t", "m2");
    publish("t", "m3");
    turn();
    assert_log(a->wire, "full gap:1 m2 m3 ");
}

/* ---- without memory ---- */

static void memory__for_the_piece_is_not_needed(void **state)
{
    (void)state;
    client *a = joining_subscriber("t"), *single = guest();
    subscribe(single, "t");
    publish("t", "m1");
    publish("t", "m2");
    say(single, "s1"); /* it has made the images */
    pool_done(&stage.loop.blocks);
    mem_fail_from(1);
    turn();
    mem_fail_from(0);
    assert_log(a->wire, "m1 m2 ");
    assert_log(single->wire, "m1 m2 s1 ");
}

static void memory__for_the_queue_ends_the_peer_alone(void **state)
{
    (void)state;
    client *a = joining_subscriber("t"), *b = joining_subscriber("t"), *c = joining_subscriber("t");
    publish("t", "m1");
    publish("t", "m2");
    b->fail_in = 1;
    turn();
    assert_log(a->wire, "[m1m2] ");
    assert_log(b->wire, "abort ");
    assert_log(c->wire, "[m1m2] ");
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, start, stage_stop)
    const struct CMUnitTest tests[] = {
        CASE(turn__brings_all_messages_of_a_topic_in_one_piece),
        CASE(turn__brings_a_single_message_as_it_is),
        CASE(turn__keeps_the_order_of_topics),
        CASE(turn__keeps_the_order_of_what_is_sent),
        CASE(turn__is_nothing_to_who_comes_behind),
        CASE(turn__goes_on_without_who_left),
        CASE(turn__serves_all_at_once_for_a_peer_of_many_topics),
        CASE(turn__serves_all_at_once_for_a_socket),
        CASE(turn__forgets_a_topic_without_subscribers),
        CASE(single__is_who_is_left_out_of_one),
        CASE(single__is_who_has_no_room_for_all),
        CASE(single__are_messages_without_shared_bytes),
        CASE(single__are_long_messages),
        CASE(single__is_who_was_told_of_a_gap),
        CASE(memory__for_the_piece_is_not_needed),
        CASE(memory__for_the_queue_ends_the_peer_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
