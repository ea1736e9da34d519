/**
 * Subscriptions that begin before now: what they get, once and in order, and what they are told is missing.
 */
#include "hub/scripted.h"

enum {
    MANY = 1500,         /* subscribers of a fan-out that takes three slices */
    BURN_NS = 10 * 1000, /* for each delivery */
};

static since start(void)
{
    return (since){.from = SINCE_START};
}

/* After so many messages of the topic. */
static since after(const char *name, uint64_t number)
{
    return (since){SINCE_CURSOR, {topic_named(name)->epoch, number}};
}

static since foreign(void)
{
    return (since){.from = SINCE_CURSOR};
}

/* As weft_subscribe() does. */
static void join(client *c, const char *name, since from)
{
    assert_int_equal(subscribe_since(c, name, from, NULL), 0);
    stage.calls++;
    hub_serve(&stage.hub, &c->line->peer);
    stage.calls--;
}

/* What a client gets that comes now, and leaves. */
static void assert_gets(const char *name, since from, const char *expected)
{
    client *c = guest();
    join(c, name, from);
    assert_log(c->wire, expected);
    turn();
    assert_log(c->wire, "");
    cut(c);
}

/* "m4 m5 … " behind what is there; valid until the next call. */
static const char *numbered(const char *before, int from, int to)
{
    static char text[LOG_BYTES];
    text[0] = '\0';
    put_down(text, "%s", before);
    for (int i = from; i <= to; i++)
        put_down(text, "m%d ", i);
    return text;
}

static void keep_history(weft_slow_policy slow)
{
    configure("t", (weft_topic_options){.history_messages = 100, .slow = slow});
}

/* ---- where it begins ---- */

static void resume__begins_where_it_is_asked_to(void **state)
{
    (void)state;
    keep_history(0);
    publish_numbered("t", 1, 5, 2);
    assert_gets("t", (since){.from = SINCE_NOW}, "");
    assert_gets("t", start(), "m1 m2 m3 m4 m5 ");
    for (int n = 0; n <= 5; n++)
        assert_gets("t", after("t", (uint64_t)n), numbered("", n + 1, 5));
}

static void resume__tells_a_gap_when_messages_are_gone(void **state)
{
    (void)state;
    configure("t", (weft_topic_options){.history_messages = 5});
    publish_numbered("t", 1, 8, 2);
    assert_gets("t", start(), "m4 m5 m6 m7 m8 ");
    for (int n = 0; n < 3; n++)
        assert_gets("t", after("t", (uint64_t)n), "gap:3 m4 m5 m6 m7 m8 ");
    for (int n = 3; n <= 8; n++)
        assert_gets("t", after("t", (uint64_t)n), numbered("", n + 1, 8));
}

static void resume__knows_what_is_foreign(void **state)
{
    (void)state;
    keep_history(0);
    publish_numbered("t", 1, 3, 2);
    publish("u", "not kept");
    static const char all[] = "gap:0 m1 m2 m3 ";
    assert_gets("t", after("t", 4), all);
    assert_gets("t", after("t", UINT64_MAX), all);
    assert_gets("t", foreign(), all);
    assert_gets("t", since_read(STR("yesterday")), all);
    assert_gets("t", (since){SINCE_CURSOR, {topic_named("t")->epoch ^ 1, 2}}, all);
    assert_gets("t", (since){SINCE_CURSOR, {0, 2}}, all);
}

static void resume__of_a_new_topic_gaps_for_cursors_alone(void **state)
{
    (void)state;
    assert_gets("a", start(), "");
    assert_gets("b", (since){.from = SINCE_NOW}, "");
    assert_gets("c", foreign(), "gap:0 ");
    keep_history(0);
    assert_gets("t", foreign(), "gap:0 ");
}

/* Without a message to follow the gap is told all the same. */
static void resume__after_history_expired_is_a_gap_unless_nothing_was_missed(void **state)
{
    (void)state;
    configure("t", (weft_topic_options){.history_messages = 5, .history_age_ms = 1000});
    client *a = guest();
    subscribe(a, "t");
    publish_numbered("t", 1, 3, 2);
    later(1000);
    assert_gets("t", after("t", 3), "");
    assert_gets("t", after("t", 2), "gap:3 ");
    assert_gets("t", start(), "");
}

static void resume__reads_the_text_of_its_own_cursors(void **state)
{
    (void)state;
    char text[CURSOR_BYTES];
    keep_history(0);
    publish_numbered("t", 1, 12, 2);
    size_t len = cursor_put(topic_cursor_of(topic_named("t"), 9), text);
    assert_gets("t", since_read((str){text, len}), "m11 m12 ");
}

/* ---- what the caller is told ---- */

static void subscribed__tells_where_it_begins(void **state)
{
    (void)state;
    configure("t", (weft_topic_options){.history_messages = 5});
    publish_numbered("t", 1, 8, 2);
    topic *t = topic_named("t");
    static const struct {
        since from;
        bool own;
        uint64_t number, at;
        bool gap;
    } cases[] = {
        {{.from = SINCE_NOW}, .at = 8},
        {{.from = SINCE_START}, .at = 3},
        {{.from = SINCE_CURSOR}, true, 3, 3, false},
        {{.from = SINCE_CURSOR}, true, 7, 7, false},
        {{.from = SINCE_CURSOR}, true, 8, 8, false},
        {{.from = SINCE_CURSOR}, true, 2, 3, true},
        {{.from = SINCE_CURSOR}, true, 9, 3, true},
        {{.from = SINCE_CURSOR}, false, 5, 3, true},
    };
    for (size_t i = 0; i < N_OF(cases); i++) {
        client *c = guest();
        subscribed done = {0};
        since from = cases[i].from;
        from.at = (cursor){cases[i].own ? t->epoch : 0, cases[i].number};
        assert_int_equal(subscribe_since(c, "t", from, &done), 0);
        assert_ptr_equal(done.topic, t);
        assert_true(done.at.epoch == t->epoch && done.at.number == cases[i].at);
        assert_int_equal(done.gap, cases[i].gap);
        assert_log(c->wire, "");
        turn();
        assert_log(c->wire, numbered("", (int)cases[i].at + 1, 8)); /* and no gap told twice */
        cut(c);
    }
}

/* A second time tells the place that the subscription has, and changes nothing. */
static void subscribed__twice_keeps_its_place(void **state)
{
    (void)state;
    keep_history(0);
    publish_numbered("t", 1, 8, 400);
    client *c = guest();
    subscribed done = {.gap = true};
    join(c, "t", after("t", 2));
    assert_log(c->wire, "m3 m4 m5 ");
    assert_int_equal(subscribe_since(c, "t", start(), &done), 0);
    assert_int_equal(done.at.number, 5);
    assert_false(done.gap);
    drain_whole(c);
    assert_log(c->wire, "m6 m7 m8 ");
    assert_int_equal(subscribe_since(c, "t", foreign(), &done), 0);
    assert_int_equal(done.at.number, 8);
    assert_int_equal(subscribe_since(c, "t", foreign(), NULL), 0);
    drain_whole(c);
    turn();
    assert_log(c->wire, "");
}

static void subscribed__is_untouched_on_failure(void **state)
{
    (void)state;
    client *c = guest();
    subscribed done = {.at = {7, 7}};
    assert_int_equal(subscribe_since(c, "a\nb", start(), &done), WEFT_E_INVALID);
    stage.hub.max_subscriptions = 0;
    assert_int_equal(subscribe_since(c, "t", start(), &done), WEFT_E_TOO_LARGE);
    stage.hub.limit = NULL;
    assert_true(!done.topic && done.at.epoch == 7 && done.at.number == 7);
}

/* ---- gaps ---- */

static void gap__is_told_once_and_before_the_next_message(void **state)
{
    (void)state;
    configure("t", (weft_topic_options){.history_messages = 2});
    publish_numbered("t", 1, 5, 2);
    client *c = guest();
    assert_int_equal(say_long(c, "full", DEFAULT_LIMIT), WEFT_QUEUED);
    join(c, "t", after("t", 1));
    turn();
    assert_log(c->wire, "full "); /* no room yet */
    drain(c, SIZE_MAX);
    turn();
    assert_log(c->wire, "gap:3 m4 m5 ");
    publish("t", "m6");
    assert_log(c->wire, "m6 ");
    assert_int_equal(c->n_gaps, 1);
}

/* What was missed before and what is missed while it waits is one gap. */
static void gap__grows_until_it_is_told(void **state)
{
    (void)state;
    configure("t", (weft_topic_options){.history_messages = 2, .ring_messages = 3});
    publish_numbered("t", 1, 5, 2);
    client *c = guest();
    assert_int_equal(say_long(c, "full", DEFAULT_LIMIT), WEFT_QUEUED);
    join(c, "t", after("t", 1));
    publish_numbered("t", 6, 9, 2);
    drain_whole(c);
    assert_log(c->wire, "full gap:6 m7 m8 m9 ");
    assert_dropped(WEFT_SLOW_DROP_OLD, 3);
}

static void gap__each_jump_is_told(void **state)
{
    (void)state;
    configure("t", (weft_topic_options){.slow = WEFT_SLOW_DROP_NEW});
    client *c = guest();
    subscribe(c, "t");
    for (int n = 0; n < 30; n += 3) {
        char expected[64];
        publish_numbered("t", n + 1, n + 1, DEFAULT_LIMIT);
        publish_numbered("t", n + 2, n + 3, 2);
        snprintf(expected, sizeof expected, n ? "gap:%d m%d " : "%.0dm%d ", n, n + 1);
        assert_log(c->wire, expected);
        drain(c, SIZE_MAX);
    }
    assert_dropped(WEFT_SLOW_DROP_NEW, 20);
    assert_int_equal(c->n_gaps, 9);
}

static void gap__without_memory_ends_the_peer(void **state)
{
    (void)state;
    keep_history(0);
    publish_numbered("t", 1, 2, 2);
    client *a = guest(), *b = guest(), *c = guest();
    a->fail_in = b->fail_in = 1;
    join(a, "t", foreign()); /* with messages */
    join(b, "u", foreign()); /* and without */
    join(c, "t", foreign());
    turn();
    assert_log(a->told, "close:1006: ");
    assert_log(b->told, "close:1006: ");
    assert_log(c->wire, "gap:0 m1 m2 ");
}

/* With nothing to come after it, it is told at once, but only when there is room. */
static void gap__waits_for_room(void **state)
{
    (void)state;
    configure("t", (weft_topic_options){.slow = WEFT_SLOW_DROP_NEW});
    client *c = guest();
    subscribe(c, "t");
    assert_int_equal(say_long(c, "full", DEFAULT_LIMIT), WEFT_QUEUED);
    publish("t", "m1");
    publish_data("t", STR("mine"), c->handle.id);
    assert_log(c->wire, "full ");
    drain(c, SIZE_MAX);
    publish_data("t", STR("mine"), c->handle.id);
    assert_log(c->wire, "gap:3 ");
    publish("t", "m4");
    assert_log(c->wire, "m4 ");
}

/* A transport that cannot tell is not asked to. */
static void gap__is_left_out_where_it_cannot_be_told(void **state)
{
    (void)state;
    static peer_ops deaf;
    deaf = scripted_ops;
    deaf.gap = NULL;
    keep_history(0);
    publish_numbered("t", 1, 2, 2);
    client *c = guest();
    c->line->peer.ops = &deaf;
    join(c, "t", foreign());
    assert_log(c->wire, "m1 m2 ");
}

/* ---- no seam ---- */

static void resume__goes_on_with_what_is_published_meanwhile(void **state)
{
    (void)state;
    keep_history(0);
    publish_numbered("t", 1, 6, 300);
    client *c = guest(), *quick = guest();
    quick->swallows = true;
    subscribe(quick, "t");
    join(c, "t", start());
    assert_log(c->wire, "m1 m2 m3 m4 ");
    publish_numbered("t", 7, 8, 300);
    drain(c, 500);
    turn();
    assert_log(c->wire, "m5 ");
    publish_numbered("t", 9, 9, 300);
    drain_whole(c);
    assert_log(c->wire, "m6 m7 m8 m9 ");
    publish_numbered("t", 10, 10, 300);
    assert_log(c->wire, "m10 ");
    assert_log(quick->wire, "m7 m8 m9 m10 ");
}

/* Before the loop has served it, too. */
static void resume__is_in_order_in_the_turn_of_subscribing(void **state)
{
    (void)state;
    keep_history(0);
    publish_numbered("t", 1, 2, 2);
    client *c = guest();
    subscribe_since(c, "t", after("t", 1), NULL);
    publish("t", "m3");
    assert_log(c->wire, "");
    turn();
    assert_log(c->wire, "m2 m3 ");
}

static void resume__while_another_lags(void **state)
{
    (void)state;
    configure("t", (weft_topic_options){.history_messages = 2, .ring_messages = 20});
    client *slow = guest();
    subscribe(slow, "t");
    assert_int_equal(say_long(slow, "full", DEFAULT_LIMIT), WEFT_QUEUED);
    publish_numbered("t", 1, 6, 2);
    client *c = guest();
    join(c, "t", after("t", 3));
    publish("t", "m7");
    assert_log(c->wire, "m4 m5 m6 m7 ");
    drain_whole(slow);
    assert_log(slow->wire, "full m1 m2 m3 m4 m5 m6 m7 ");
    assert_gets("t", after("t", 3), "gap:5 m6 m7 ");
}

static client *crowd[MANY];

static void seat_crowd(const char *name)
{
    for (size_t i = 0; i < N_OF(crowd); i++) {
        crowd[i] = guest();
        subscribe(crowd[i], name);
    }
    stage.burn_ns = BURN_NS;
}

static void finish_slices(void)
{
    for (int i = 0; i < 100 && !list_empty(&stage.hub.unfinished); i++)
        turn();
    assert_true(list_empty(&stage.hub.unfinished));
}

static void resume__inside_an_unfinished_fan_out(void **state)
{
    (void)state;
    keep_history(0);
    publish("t", "m1");
    seat_crowd("t");
    publish("t", "m2");
    assert_false(list_empty(&stage.hub.unfinished));
    client *all = guest(), *some = guest(), *now = guest(), *waits = guest();
    join(all, "t", start());
    join(some, "t", after("t", 1));
    join(now, "t", (since){.from = SINCE_NOW});
    subscribe_since(waits, "t", start(), NULL);
    assert_log(all->wire, "m1 m2 ");
    assert_log(some->wire, "m2 ");
    publish("t", "m3");
    turn();
    client *last = guest();
    join(last, "t", after("t", 2));
    publish("t", "m4");
    finish_slices();
    assert_log(all->wire, "m3 m4 ");
    assert_log(some->wire, "m3 m4 ");
    assert_log(now->wire, "m3 m4 ");
    assert_log(waits->wire, "m1 m2 m3 m4 ");
    assert_log(last->wire, "m3 m4 ");
    for (size_t i = 0; i < N_OF(crowd); i++)
        assert_log(crowd[i]->wire, "m2 m3 m4 ");
}

/* Who leaves and comes back inside a fan-out with the cursor of its last message misses none, and gets none twice. */
static void resume__after_leaving_inside_an_unfinished_fan_out(void **state)
{
    (void)state;
    keep_history(0);
    seat_crowd("t");
    publish("t", "m1");
    unsubscribe(crowd[0], "t"); /* the fan-out has reached it, and not the last */
    unsubscribe(crowd[MANY - 1], "t");
    publish("t", "m2");
    join(crowd[0], "t", after("t", 1));
    join(crowd[MANY - 1], "t", after("t", 1));
    for (size_t i = 5; i < N_OF(crowd) - 1; i += 5) {
        unsubscribe(crowd[i], "t");
        join(crowd[i], "t", after("t", 2));
    }
    publish("t", "m3");
    finish_slices();
    for (size_t i = 0; i < N_OF(crowd); i++)
        assert_log(crowd[i]->wire, "m1 m2 m3 ");
}

static void resume__may_be_left_and_begun_again(void **state)
{
    (void)state;
    keep_history(0);
    publish_numbered("t", 1, 8, 400);
    client *c = guest();
    join(c, "t", start());
    assert_log(c->wire, "m1 m2 m3 ");
    unsubscribe(c, "t");
    assert_int_equal(topic_named("t")->n_lagging, 0);
    publish_long("t", "m9", 400);
    join(c, "t", after("t", 3));
    drain_whole(c);
    assert_log(c->wire, "m4 m5 m6 m7 m8 m9 ");
    unsubscribe(c, "t");
    subscribe_since(c, "t", start(), NULL);
    unsubscribe(c, "t");
    subscribe_since(c, "t", after("t", 8), NULL);
    turn();
    assert_log(c->wire, "m9 ");
}

/* Its own messages are not for it, whether live or later, and cost no room. */
static void resume__leaves_out_what_was_not_for_it(void **state)
{
    (void)state;
    keep_history(0);
    client *c = guest();
    publish("t", "m1");
    publish_data("t", STR("mine"), c->handle.id);
    publish("t", "m3");
    publish_data("t", STR("mine"), c->handle.id);
    join(c, "t", start());
    assert_log(c->wire, "m1 m3 ");
    unsubscribe(c, "t");
    assert_int_equal(say_long(c, "full", DEFAULT_LIMIT), WEFT_QUEUED);
    join(c, "t", after("t", 3));
    turn();
    assert_log(c->wire, "full ");
    drain_whole(c);
    assert_int_equal(c->line->peer.n_lagging, 0);
    assert_log(c->wire, "");
}

static void resume__of_several_topics_takes_turns(void **state)
{
    (void)state;
    configure("*", (weft_topic_options){.history_messages = 10});
    client *c = guest();
    publish_long("a", "a1", 700);
    publish_long("a", "a2", 700);
    publish_long("a", "a3", 700);
    publish_long("b", "b1", 700);
    publish_long("b", "b2", 700);
    subscribe_since(c, "a", start(), NULL);
    subscribe_since(c, "b", start(), NULL);
    hub_serve(&stage.hub, &c->line->peer);
    assert_log(c->wire, "a1 a2 ");
    drain(c, SIZE_MAX);
    turn();
    assert_log(c->wire, "b1 b2 ");
    drain(c, SIZE_MAX);
    turn();
    assert_log(c->wire, "a3 ");
}

/* ---- the policies ---- */

/* A client in the midst of catching up with ten messages of 400 bytes: it has the first three. */
static client *resuming_guest(weft_slow_policy slow)
{
    configure("t", (weft_topic_options){.history_messages = 10, .slow = slow});
    publish_numbered("t", 1, 10, 400);
    client *c = guest();
    join(c, "t", start());
    assert_log(c->wire, "m1 m2 m3 ");
    return c;
}

static void policies__all_go_on_to_the_end(void **state)
{
    (void)state;
    for (int slow = WEFT_SLOW_CLOSE; slow <= WEFT_SLOW_LATEST; slow++) {
        client *c = resuming_guest(slow);
        for (int i = 0; i < 7; i++) {
            drain(c, 400);
            turn();
            assert_int_equal(topic_named("t")->n_lagging, i < 6);
        }
        assert_log(c->wire, "m4 m5 m6 m7 m8 m9 m10 ");
        assert_dropped(slow, 0);
        stage_done();
        assert_int_equal(stage_init(), 0);
    }
}

/* What the ring lets go of before it was served is lost as for any that lags. */
static void policies__close_ends_one_that_falls_out(void **state)
{
    (void)state;
    client *c = resuming_guest(WEFT_SLOW_CLOSE);
    publish_numbered("t", 11, 1024 + 3, 2); /* m4 is the oldest one kept */
    assert_log(c->wire, "");
    publish("t", "m1028");
    assert_log(c->wire, "close:1013:too slow for a topic ");
    assert_dropped(WEFT_SLOW_CLOSE, 1);
}

static void policies__others_go_on_at_the_oldest_kept(void **state)
{
    (void)state;
    for (int slow = WEFT_SLOW_DROP_OLD; slow <= WEFT_SLOW_LATEST; slow++) {
        client *c = resuming_guest(slow);
        publish_numbered("t", 11, 1024 + 5, 2);
        assert_log(c->wire, "");
        drain(c, 400);
        turn();
        assert_log(c->wire, "gap:5 m6 ");
        assert_dropped(slow, 2);
        stage_done();
        assert_int_equal(stage_init(), 0);
    }
}

static void policies__drop_new_keeps_its_place_and_drops_afterwards(void **state)
{
    (void)state;
    client *c = resuming_guest(WEFT_SLOW_DROP_NEW);
    publish_numbered("t", 11, 12, 400);
    drain_whole(c);
    assert_log(c->wire, "m4 m5 m6 m7 m8 m9 m10 m11 m12 ");
    assert_dropped(WEFT_SLOW_DROP_NEW, 0);
    publish_numbered("t", 13, 16, 400);
    assert_dropped(WEFT_SLOW_DROP_NEW, 1);
    drain_whole(c);
    publish_numbered("t", 17, 17, 400);
    assert_log(c->wire, "m13 m14 m15 gap:16 m17 ");
    assert_dropped(WEFT_SLOW_DROP_NEW, 1);
}

static void policies__latest_gets_all_and_jumps_afterwards(void **state)
{
    (void)state;
    client *c = resuming_guest(WEFT_SLOW_LATEST);
    publish_numbered("t", 11, 12, 400);
    drain_whole(c);
    assert_log(c->wire, "m4 m5 m6 m7 m8 m9 m10 m11 m12 ");
    assert_dropped(WEFT_SLOW_LATEST, 0);
    publish_numbered("t", 13, 19, 400);
    drain_whole(c);
    assert_log(c->wire, "m13 m14 m15 gap:18 m19 ");
    assert_dropped(WEFT_SLOW_LATEST, 3);
}

/* One that began at the head has nothing to catch up with: the first time that it is slow is like any. */
static void policies__latest_from_now_on_jumps_at_once(void **state)
{
    (void)state;
    configure("t", (weft_topic_options){.history_messages = 10, .slow = WEFT_SLOW_LATEST});
    publish_numbered("t", 1, 3, 2);
    client *c = guest();
    join(c, "t", after("t", 3));
    assert_int_equal(say_long(c, "full", DEFAULT_LIMIT), WEFT_QUEUED);
    publish_numbered("t", 4, 9, 2);
    drain_whole(c);
    assert_log(c->wire, "full gap:8 m9 ");
    assert_dropped(WEFT_SLOW_LATEST, 5);
}

static void policies__are_counted_each_for_itself(void **state)
{
    (void)state;
    static const char *const names[] = {NULL, "close", "old", "new", "latest"};
    client *c = guest();
    for (int slow = WEFT_SLOW_CLOSE; slow <= WEFT_SLOW_LATEST; slow++) {
        configure(names[slow], (weft_topic_options){.ring_messages = 4, .slow = slow});
        if (slow != WEFT_SLOW_CLOSE)
            subscribe(c, names[slow]);
    }
    assert_int_equal(say_long(c, "full", DEFAULT_LIMIT), WEFT_QUEUED);
    for (int slow = WEFT_SLOW_CLOSE; slow <= WEFT_SLOW_LATEST; slow++)
        publish_numbered(names[slow], 1, 10, 2);
    drain_whole(c);
    publish("new", "end");
    assert_log(c->wire, "full gap:6 m7 m8 m9 m10 gap:9 m10 gap:10 end ");
    assert_int_equal(stage.hub.dropped[WEFT_SLOW_CLOSE], 0);
    assert_int_equal(stage.hub.dropped[WEFT_SLOW_DROP_OLD], 6);
    assert_int_equal(stage.hub.dropped[WEFT_SLOW_DROP_NEW], 10);
    assert_int_equal(stage.hub.dropped[WEFT_SLOW_LATEST], 9);
}

/* ---- the order that a program sees ---- */

static void order__a_send_comes_behind_history_that_fits(void **state)
{
    (void)state;
    keep_history(0);
    publish_numbered("t", 1, 3, 100);
    client *c = guest();
    join(c, "t", start());
    assert_int_equal(say(c, "said"), 0);
    publish("t", "m4");
    assert_log(c->wire, "m1 m2 m3 said m4 ");
    turn();
    assert_log(c->told, "");
}

static void order__a_send_waits_for_history_that_does_not(void **state)
{
    (void)state;
    client *c = resuming_guest(0);
    assert_int_equal(say(c, "said"), WEFT_E_FULL);
    drain(c, 800);
    assert_int_equal(c->line->queued, 400);
    assert_int_equal(say(c, "said"), WEFT_E_FULL); /* there is room, but it is not its turn */
    turn();
    assert_log(c->wire, "m4 m5 ");
    assert_log(c->told, "");
    for (int i = 0; i < 4; i++) {
        drain(c, 400);
        turn();
    }
    assert_log(c->wire, "m6 m7 m8 m9 ");
    drain(c, 400);
    turn();
    assert_log(c->wire, "m10 ");
    assert_log(c->told, ""); /* the queue is not low yet */
    drain(c, 800);
    turn();
    assert_log(c->told, "drain ");
    assert_int_equal(say(c, "said"), 0);
    assert_log(c->wire, "said ");
}

/* Not served yet, it is not sent to either; at the end of the turn it may be. */
static void order__a_send_in_the_turn_of_subscribing_waits_too(void **state)
{
    (void)state;
    keep_history(0);
    publish("t", "m1");
    client *c = guest();
    subscribe_since(c, "t", start(), NULL);
    assert_int_equal(say(c, "said"), WEFT_E_FULL);
    turn();
    assert_log(c->wire, "m1 ");
    assert_log(c->told, "drain ");
    assert_int_equal(say(c, "said"), 0);
}

/* What fits to the last byte has been caught up with, and then the queue is full like any. */
static void order__history_that_fills_the_queue_counts_as_sent(void **state)
{
    (void)state;
    keep_history(0);
    publish_numbered("t", 1, 2, 500);
    client *c = guest();
    join(c, "t", start());
    assert_int_equal(say(c, "said"), WEFT_E_FULL);
    assert_int_equal(c->line->peer.n_lagging, 0);
    drain_whole(c);
    assert_log(c->wire, "m1 m2 ");
    assert_log(c->told, "drain ");
}

/* ---- ends ---- */

/* One whose connection turns out to be over while a message is queued to it goes, and nobody else loses anything. */
static void ends__inside_a_delivery_touch_nobody_else(void **state)
{
    (void)state;
    for (size_t ending = 0; ending < 4; ending++) {
        client *all[4];
        for (size_t i = 0; i < N_OF(all); i++) {
            all[i] = guest();
            subscribe(all[i], "t");
            subscribe(all[i], "u");
        }
        all[ending]->ends = true;
        publish("t", "m1");
        publish("u", "m2");
        publish("t", "m3");
        for (size_t i = 0; i < N_OF(all); i++)
            assert_log(all[i]->wire, i == ending ? "" : "m1 m2 m3 ");
        turn();
        assert_log(all[ending]->told, "close:1006: ");
        for (size_t i = 0; i < N_OF(all); i++)
            if (all[i]->line)
                cut(all[i]);
        turn();
    }
}

static void ends__inside_the_delivery_of_what_was_missed(void **state)
{
    (void)state;
    keep_history(0);
    publish_numbered("t", 1, 5, 2);
    publish_numbered("u", 1, 5, 2);
    client *a = guest(), *b = guest(), *c = guest();
    a->ends = b->ends = true;
    subscribe_since(c, "t", start(), NULL);
    join(a, "t", start());
    subscribe_since(b, "u", start(), NULL);
    subscribe_since(b, "t", foreign(), NULL);
    turn();
    assert_log(a->wire, "");
    assert_log(b->wire, "gap:0 ");
    assert_log(c->wire, "m1 m2 m3 m4 m5 ");
    assert_log(b->told, "close:1006: ");
    assert_int_equal(topic_named("t")->n_subscribers, 1);
}

static void ends__as_a_gap_is_told(void **state)
{
    (void)state;
    keep_history(0);
    publish_numbered("t", 1, 2, 2);
    client *a = guest(), *b = guest(), *c = guest();
    a->ends_at_gap = b->ends_at_gap = true;
    join(a, "t", foreign());
    join(b, "empty", foreign());
    join(c, "t", foreign());
    turn();
    assert_log(a->wire, "");
    assert_log(a->told, "close:1006: ");
    assert_log(b->told, "close:1006: ");
    assert_log(c->wire, "gap:0 m1 m2 ");
}

static void ends__inside_catching_up_with_a_fan_out(void **state)
{
    (void)state;
    seat_crowd("t");
    client *last = crowd[MANY - 1], *before = crowd[MANY - 2];
    last->ends = before->ends = true;
    publish("t", "m1");
    assert_int_equal(say(last, "m2"), -ENOMEM);
    unsubscribe(before, "t");
    finish_slices();
    for (size_t i = 0; i < N_OF(crowd) - 2; i++)
        assert_log(crowd[i]->wire, "m1 ");
    assert_log(last->told, "close:1006: ");
    assert_log(before->told, "close:1006: ");
}

/* ---- no memory ---- */

static uint64_t n_needed;

/* A subscription from the start, publications and their delivery, of which any may find no memory. */
static int resume_without_memory(void)
{
    uint64_t before = mem_count();
    assert_int_equal(stage_init(), 0);
    configure("*", (weft_topic_options){.history_messages = 10});
    stage.allocates = true;
    client *a = client_new(&usual_rules), *b = client_new(&usual_rules);
    turn();
    if (a && b) {
        subscribed done = {0};
        publication told = {0};
        int results[] = {publish("t", "m1"),
                         publish_told("u", "m1", &told),
                         a->line ? subscribe_since(a, "t", start(), NULL) : 0,
                         b->line ? subscribe_since(b, "t", foreign(), NULL) : 0,
                         b->line ? subscribe_since(b, "u", start(), &done) : 0,
                         publish("t", "m2")};
        for (size_t i = 0; i < N_OF(results); i++)
            assert_true(results[i] == 0 || results[i] == -ENOMEM);
        if (a->line)
            hub_serve(&stage.hub, &a->line->peer);
        turn();
        int result = publish_long("t", "m3", 1200);
        assert_true(result == 0 || result == -ENOMEM);
        turn();
    }
    stage_done();
    n_needed = mem_count() - before;
    static uint64_t n_runs;
    return n_needed >= ++n_runs ? -1 : 0;
}

static void resume__survives_any_failed_allocation(void **state)
{
    (void)state;
    check_failing_allocations(resume_without_memory);
    assert_true(n_needed > 20);
}

/* Whoever could not subscribe is where it was, and can the next time. */
static void resume__without_memory_is_not_begun(void **state)
{
    (void)state;
    keep_history(0);
    publish_numbered("t", 1, 2, 2);
    client *c = guest();
    int result = -1;
    for (uint64_t n = 1; result; n++) {
        subscribed done = {.at = {7, 7}};
        mem_fail_from(n);
        result = subscribe_since(c, "t", start(), &done);
        mem_fail_from(0);
        assert_true(result == 0 || result == -ENOMEM);
        assert_int_equal(c->line->peer.n_subscriptions, result == 0);
        assert_int_equal(topic_named("t")->n_subscribers, result == 0);
        assert_int_equal(done.at.number, result ? 7 : 0);
    }
    turn();
    assert_log(c->wire, "m1 m2 ");
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, stage_start, stage_stop)
    const struct CMUnitTest tests[] = {
        CASE(resume__begins_where_it_is_asked_to),
        CASE(resume__tells_a_gap_when_messages_are_gone),
        CASE(resume__knows_what_is_foreign),
        CASE(resume__of_a_new_topic_gaps_for_cursors_alone),
        CASE(resume__after_history_expired_is_a_gap_unless_nothing_was_missed),
        CASE(resume__reads_the_text_of_its_own_cursors),
        CASE(subscribed__tells_where_it_begins),
        CASE(subscribed__twice_keeps_its_place),
        CASE(subscribed__is_untouched_on_failure),
        CASE(gap__is_told_once_and_before_the_next_message),
        CASE(gap__grows_until_it_is_told),
        CASE(gap__each_jump_is_told),
        CASE(gap__without_memory_ends_the_peer),
        CASE(gap__waits_for_room),
        CASE(gap__is_left_out_where_it_cannot_be_told),
        CASE(resume__goes_on_with_what_is_published_meanwhile),
        CASE(resume__is_in_order_in_the_turn_of_subscribing),
        CASE(resume__while_another_lags),
        CASE(resume__inside_an_unfinished_fan_out),
        CASE(resume__after_leaving_inside_an_unfinished_fan_out),
        CASE(resume__may_be_left_and_begun_again),
        CASE(resume__leaves_out_what_was_not_for_it),
        CASE(resume__of_several_topics_takes_turns),
        CASE(policies__all_go_on_to_the_end),
        CASE(policies__close_ends_one_that_falls_out),
        CASE(policies__others_go_on_at_the_oldest_kept),
        CASE(policies__drop_new_keeps_its_place_and_drops_afterwards),
        CASE(policies__latest_gets_all_and_jumps_afterwards),
        CASE(policies__latest_from_now_on_jumps_at_once),
        CASE(policies__are_counted_each_for_itself),
        CASE(order__a_send_comes_behind_history_that_fits),
        CASE(order__a_send_waits_for_history_that_does_not),
        CASE(order__a_send_in_the_turn_of_subscribing_waits_too),
        CASE(order__history_that_fills_the_queue_counts_as_sent),
        CASE(ends__inside_a_delivery_touch_nobody_else),
        CASE(ends__inside_the_delivery_of_what_was_missed),
        CASE(ends__as_a_gap_is_told),
        CASE(ends__inside_catching_up_with_a_fan_out),
        cmocka_unit_test(resume__survives_any_failed_allocation),
        CASE(resume__without_memory_is_not_begun),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
