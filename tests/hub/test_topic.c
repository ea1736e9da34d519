#include "hub/scripted.h"
#include "hub/topic.h"

enum {
    MANY = 1500,         /* subscribers of a fan-out that takes three slices */
    FIRST_SLICE = 512,   /* that a slice of BURN_NS each ends behind: the clock is looked at after every 256 */
    BURN_NS = 10 * 1000, /* for each delivery */
};

/* ---- subscribe, publish ---- */

static void topic__delivers_to_its_subscribers_in_order(void **state)
{
    (void)state;
    client *a = guest(), *b = guest(), *c = guest();
    assert_int_equal(publish("t", "early"), 0);
    assert_int_equal(subscribe(a, "t"), 0);
    assert_int_equal(subscribe(b, "t"), 0);
    assert_int_equal(publish("t", "m1"), 0);
    assert_int_equal(subscribe(c, "other"), 0);
    assert_int_equal(publish("t", "m2"), 0);
    unsubscribe(a, "t");
    assert_int_equal(publish("t", "m3"), 0);
    assert_int_equal(subscribe(a, "t"), 0);
    assert_int_equal(publish("t", "m4"), 0);
    assert_log(a->wire, "m1 m2 m4 ");
    assert_log(b->wire, "m1 m2 m3 m4 ");
    assert_log(c->wire, "");
    assert_int_equal(b->line->peer.messages_out, 4);
    assert_int_equal(b->line->peer.bytes_out, 8);
}

static void topic__one_subscription_a_peer(void **state)
{
    (void)state;
    client *a = guest();
    assert_int_equal(subscribe(a, "t"), 0);
    assert_int_equal(subscribe(a, "t"), 0);
    assert_int_equal(a->line->peer.n_subscriptions, 1);
    publish("t", "m1");
    unsubscribe(a, "t");
    unsubscribe(a, "t");
    unsubscribe(a, "never");
    publish("t", "m2");
    assert_log(a->wire, "m1 ");
}

static void topic__except_leaves_out_one(void **state)
{
    (void)state;
    client *a = guest(), *b = guest();
    subscribe(a, "t");
    subscribe(b, "t");
    publish_data("t", STR("m1"), a->handle.id);
    publish("t", "m2");
    publish_data("t", STR("m3"), b->handle.id);
    assert_log(a->wire, "m2 m3 ");
    assert_log(b->wire, "m1 m2 ");
    assert_int_equal(a->line->peer.messages_out, 2);
}

/* Its own messages are no load: they neither make it lag nor count as dropped. */
static void topic__except_costs_no_room(void **state)
{
    (void)state;
    client *a = guest();
    configure("new", (weft_topic_options){.slow = WEFT_SLOW_DROP_NEW});
    subscribe(a, "t");
    subscribe(a, "new");
    assert_int_equal(say_long(a, "full", DEFAULT_LIMIT), WEFT_QUEUED);
    publish_data("t", STR("mine"), a->handle.id);
    publish_data("new", STR("mine"), a->handle.id);
    assert_int_equal(a->line->peer.n_lagging, 0);
    assert_int_equal(topic_named("t")->bytes, 0);
    assert_dropped(WEFT_SLOW_DROP_NEW, 0);
}

static void topic__keeps_program_order(void **state)
{
    (void)state;
    client *a = guest();
    subscribe(a, "t");
    subscribe(a, "u");
    publish("t", "m1");
    assert_int_equal(say(a, "m2"), 0);
    publish("u", "m3");
    publish("t", "m4");
    assert_int_equal(say(a, "m5"), 0);
    publish("u", "m6");
    hang_up(a, 1000, "bye");
    assert_log(a->wire, "m1 m2 m3 m4 m5 m6 close:1000:bye ");
}

static void topic__a_peer_that_leaves_gets_no_more(void **state)
{
    (void)state;
    client *a = guest(), *b = guest(), *c = guest();
    client *all[] = {a, b, c};
    for (size_t i = 0; i < N_OF(all); i++) {
        subscribe(all[i], "t");
        subscribe(all[i], "u");
    }
    hang_up(a, 1000, "");
    publish("t", "m1");
    cut(b);
    publish("u", "m2");
    turn();
    publish("t", "m3");
    assert_log(a->wire, "close:1000: ");
    assert_log(b->wire, "m1 abort ");
    assert_log(c->wire, "m1 m2 m3 ");
    assert_null(a->line);
    assert_null(b->line);
}

/* It lingers, so that a cursor holds for as long: more of this in test_history.c. */
static void topic__is_gone_a_minute_after_its_last_subscriber(void **state)
{
    (void)state;
    client *a = guest(), *b = guest();
    subscribe(a, "t");
    subscribe(b, "t");
    subscribe(b, "u");
    publish("t", "m1");
    assert_int_equal(stage.hub.topics.n_entries, 2);
    unsubscribe(a, "t");
    assert_false(topic_named("t")->idling);
    unsubscribe(b, "t");
    assert_true(topic_named("t")->idling);
    cut(b);
    assert_true(topic_named("u")->idling);
    pass_ms(TOPIC_LINGER_MS);
    turn();
    assert_int_equal(stage.hub.topics.n_entries, 0);
}

static void topic__keeps_nothing_when_nobody_lags(void **state)
{
    (void)state;
    client *a = guest();
    subscribe(a, "t");
    for (int i = 0; i < 20; i++) {
        publish("t", "m");
        assert_int_equal(topic_named("t")->bytes, 0);
        assert_true(topic_named("t")->first == topic_named("t")->head);
    }
}

static void topic__has_one_image_a_message(void **state)
{
    (void)state;
    client *all[100];
    for (size_t i = 0; i < N_OF(all); i++) {
        all[i] = guest();
        subscribe(all[i], "t");
    }
    publish("t", "m1");
    publish("t", "m2");
    assert_int_equal(stage.n_images, 2);
    chunk *image = all[0]->line->pieces[0].image;
    assert_int_equal(image->refs, N_OF(all));
    for (size_t i = 0; i < N_OF(all); i++) {
        assert_ptr_equal(all[i]->line->pieces[0].image, image);
        assert_int_equal(image->refs, N_OF(all) - i);
        drain(all[i], 2);
    }
}

static void topic__takes_a_thousand_subscriptions_a_peer(void **state)
{
    (void)state;
    client *a = guest();
    char name[16];
    for (int i = 0; i < PEER_MAX_SUBSCRIPTIONS; i++) {
        snprintf(name, sizeof name, "t%d", i);
        assert_int_equal(subscribe(a, name), 0);
    }
    assert_int_equal(subscribe(a, "one more"), WEFT_E_TOO_LARGE);
    assert_int_equal(subscribe(a, "t5"), 0);
    assert_null(topic_named("one more"));
    unsubscribe(a, "t7");
    assert_int_equal(subscribe(a, "one more"), 0);
    publish("t999", "m1");
    publish("t7", "m2");
    publish("one more", "m3");
    assert_log(a->wire, "m1 m3 ");
}

/* Subscribes and unsubscribes in all orders, so that each swap in the two arrays is seen. */
static void topic__survives_any_order_of_leaving(void **state)
{
    (void)state;
    static const char *const names[] = {"a", "b", "c", "d", "e"};
    client *all[5];
    for (size_t i = 0; i < N_OF(all); i++)
        all[i] = guest();
    for (size_t step = 1; step < N_OF(all); step++) {
        for (size_t i = 0; i < N_OF(all) * N_OF(names); i++)
            subscribe(all[i % 5], names[i * step % 5 == i % 5 ? i / 5 : (i / 5 + i) % 5]);
        for (size_t i = 0; i < N_OF(all); i++)
            for (size_t j = 0; j < N_OF(names); j++)
                subscribe(all[i], names[j]);
        for (size_t i = 0; i < N_OF(all); i++) {
            unsubscribe(all[i * step % 5], names[(i + step) % 5]);
            publish(names[(i + step) % 5], "m");
            for (size_t j = 0; j < N_OF(all); j++)
                assert_log(all[j]->wire, j == i * step % 5 ? "" : "m ");
            subscribe(all[i * step % 5], names[(i + step) % 5]);
        }
        for (size_t i = 0; i < N_OF(all) * N_OF(names); i++)
            unsubscribe(all[i * step % 5], names[i / 5]);
        for (size_t i = 0; i < N_OF(names); i++)
            assert_int_equal(topic_named(names[i])->n_subscribers, 0);
    }
}

/* ---- names, patterns, options ---- */

static void topic_name__is_utf8_without_control_characters(void **state)
{
    (void)state;
    char name[TOPIC_MAX_NAME_BYTES + 1];
    memset(name, 'x', sizeof name);
    assert_true(topic_name_valid((str){name, TOPIC_MAX_NAME_BYTES}));
    assert_false(topic_name_valid((str){name, TOPIC_MAX_NAME_BYTES + 1}));
    static const str good[] = {STR("a"),      STR("a/b"),    STR(" "),         STR("*"),
                               STR("\u00e9"), STR("\u00a0"), STR("\U0001f600")};
    static const str bad[] = {STR(""),     STR("a\0"),  STR("\n"),       STR("\x1f"),    STR("a\x7f"),
                              STR("\xff"), STR("\xc3"), STR("\xc2\x80"), STR("\xc2\x9f")};
    for (size_t i = 0; i < N_OF(good); i++)
        assert_true(topic_name_valid(good[i]));
    for (size_t i = 0; i < N_OF(bad); i++)
        assert_false(topic_name_valid(bad[i]));
    client *a = guest();
    assert_int_equal(subscribe(a, "a\nb"), WEFT_E_INVALID);
    assert_int_equal(subscribe(a, ""), WEFT_E_INVALID);
    assert_int_equal(stage.hub.topics.n_entries, 0);
}

static void topic_pattern__star_is_any_bytes(void **state)
{
    (void)state;
    static const struct {
        const char *pattern, *name;
        bool matches;
    } cases[] = {
        {"room", "room", true},    {"room", "rooms", false}, {"room", "roo", false},
        {"*", "", true},           {"*", "a/b", true},       {"a*", "a", true},
        {"a*", "ab", true},        {"a*", "ba", false},      {"*a", "ba", true},
        {"*a", "ab", false},       {"a*b*c", "aXbYc", true}, {"a*b*c", "abc", true},
        {"a*b*c", "acb", false},   {"*ab", "aab", true},     {"a**b", "ab", true},
        {"a*b", "abab", true},     {"a*b*", "aXbYb", true},  {"", "", true},
        {"", "a", false},          {"*aab", "aaaab", true},  {"chat/*", "chat/1", true},
        {"chat/*", "chat", false}, {"*/x/*", "a/x/b", true}, {"*/x/*", "a/y/b", false},
    };
    for (size_t i = 0; i < N_OF(cases); i++)
        assert_true(topic_pattern_matches(str_from(cases[i].pattern), str_from(cases[i].name)) == cases[i].matches);
}

static void topic_options__are_those_of_the_first_match(void **state)
{
    (void)state;
    configure("chat/loud", (weft_topic_options){.ring_messages = 7, .slow = WEFT_SLOW_LATEST});
    configure("chat/*", (weft_topic_options){.ring_bytes = 5000, .slow = WEFT_SLOW_DROP_OLD});
    configure("*", (weft_topic_options){.slow = WEFT_SLOW_DROP_NEW});
    configure("chat/*", (weft_topic_options){.slow = WEFT_SLOW_CLOSE});
    client *a = guest();
    subscribe(a, "chat/loud");
    subscribe(a, "chat/x");
    subscribe(a, "x");
    const weft_topic_options *o = &topic_named("chat/loud")->options;
    assert_int_equal(o->ring_messages, 7);
    assert_int_equal(o->ring_bytes, TOPIC_RING_BYTES);
    assert_int_equal(o->slow, WEFT_SLOW_LATEST);
    o = &topic_named("chat/x")->options;
    assert_int_equal(o->ring_messages, TOPIC_RING_MESSAGES);
    assert_int_equal(o->ring_bytes, 5000);
    assert_int_equal(o->slow, WEFT_SLOW_DROP_OLD);
    assert_int_equal(topic_named("x")->options.slow, WEFT_SLOW_DROP_NEW);
}

static void topic_options__close_is_the_default(void **state)
{
    (void)state;
    client *a = guest();
    subscribe(a, "t");
    const weft_topic_options *o = &topic_named("t")->options;
    assert_int_equal(o->slow, WEFT_SLOW_CLOSE);
    assert_int_equal(o->ring_messages, 1024);
    assert_int_equal(o->ring_bytes, 4 << 20);
}

/* ---- slow peers ---- */

/* A subscriber of "t" with a full queue. */
static client *full_guest(void)
{
    client *c = guest();
    subscribe(c, "t");
    assert_int_equal(say_long(c, "full", DEFAULT_LIMIT), WEFT_QUEUED);
    assert_log(c->wire, "full ");
    return c;
}

static void topic__a_full_peer_lags_and_goes_on_as_it_drains(void **state)
{
    (void)state;
    client *a = guest(), *quick = guest();
    subscribe(a, "t");
    subscribe(quick, "t");
    publish_numbered("t", 1, 2, 500);
    assert_int_equal(a->line->peer.n_lagging, 0);
    drain(quick, SIZE_MAX);
    publish_numbered("t", 3, 6, 400);
    assert_log(a->wire, "m1 m2 ");
    assert_log(quick->wire, "m1 m2 m3 m4 m5 ");
    assert_int_equal(a->line->queued, 1000);
    assert_int_equal(a->line->peer.n_lagging, 1);
    assert_true(a->line->notify);
    drain(a, 1);
    assert_log(a->wire, "");
    turn();
    assert_log(a->wire, "m3 ");
    assert_int_equal(a->line->queued, 1399);
    assert_true(a->line->notify);
    drain(a, SIZE_MAX);
    drain(quick, SIZE_MAX);
    turn();
    assert_log(a->wire, "m4 m5 m6 ");
    assert_log(quick->wire, "m6 ");
    drain(a, SIZE_MAX);
    assert_int_equal(a->line->peer.n_lagging, 0);
    assert_int_equal(topic_named("t")->n_lagging, 0);
    assert_int_equal(topic_named("t")->bytes, 0);
    assert_dropped(WEFT_SLOW_CLOSE, 0);
    publish("t", "m7");
    assert_log(a->wire, "m7 ");
}

static void topic__a_lagging_peer_is_given_64_kib_at_once(void **state)
{
    (void)state;
    static peer_rules rules;
    rules = usual_rules;
    rules.max_queued_bytes = 200 * 1000;
    client *a = client_new(&rules);
    turn();
    subscribe(a, "t");
    publish_numbered("t", 1, 35, 10 * 1000);
    assert_log(a->wire, "m1 m2 m3 m4 m5 m6 m7 m8 m9 m10 m11 m12 m13 m14 m15 m16 m17 m18 m19 m20 ");
    drain(a, 130 * 1000);
    turn();
    assert_int_equal(a->line->queued, 70 * 1000);
    drain(a, 10 * 1000);
    turn();
    assert_log(a->wire, "m21 ");
    drain(a, SIZE_MAX);
    turn();
    assert_log(a->wire, "m22 m23 m24 m25 m26 m27 m28 ");
    assert_int_equal(a->line->queued, 70 * 1000);
    publish("t", "m36");
    drain_whole(a);
    assert_log(a->wire, "m29 m30 m31 m32 m33 m34 m35 m36 ");
}

static void topic__close_ends_who_falls_out_of_the_ring(void **state)
{
    (void)state;
    configure("t", (weft_topic_options){.ring_messages = 4});
    client *a = full_guest(), *quick = guest(), *b = guest();
    subscribe(b, "t");
    subscribe(quick, "t");
    publish("t", "m1");
    assert_int_equal(say_long(b, "full", DEFAULT_LIMIT), WEFT_QUEUED);
    publish_numbered("t", 2, 4, 2);
    assert_int_equal(topic_named("t")->head - topic_named("t")->first, 4);
    assert_log(a->wire, "");
    publish("t", "m5");
    assert_log(a->wire, "close:1013:too slow for a topic "); /* at once */
    assert_log(a->told, "");
    publish("t", "m6");
    assert_log(b->wire, "m1 full close:1013:too slow for a topic ");
    assert_log(quick->wire, "m1 m2 m3 m4 m5 m6 ");
    turn();
    assert_log(a->told, "close:1013:too slow for a topic ");
    assert_dropped(WEFT_SLOW_CLOSE, 2);
    assert_int_equal(topic_named("t")->bytes, 0);
}

static void topic__close_spares_who_needs_only_what_is_kept(void **state)
{
    (void)state;
    configure("t", (weft_topic_options){.ring_messages = 4});
    client *a = full_guest();
    publish_numbered("t", 1, 4, 500);
    drain(a, 600);
    turn();
    assert_log(a->wire, "m1 m2 ");
    publish_numbered("t", 5, 6, 500); /* m3 to m6 fill the ring */
    drain_whole(a);
    assert_log(a->wire, "m3 m4 m5 m6 ");
}

static void topic__drop_old_goes_on_at_the_oldest_kept(void **state)
{
    (void)state;
    configure("t", (weft_topic_options){.ring_messages = 3, .slow = WEFT_SLOW_DROP_OLD});
    client *a = full_guest(), *quick = guest();
    subscribe(quick, "t");
    publish_numbered("t", 1, 8, 2);
    assert_int_equal(topic_named("t")->head - topic_named("t")->first, 3);
    drain(a, SIZE_MAX);
    turn();
    assert_log(a->wire, "gap:5 m6 m7 m8 ");
    assert_log(quick->wire, "m1 m2 m3 m4 m5 m6 m7 m8 ");
    assert_dropped(WEFT_SLOW_DROP_OLD, 5);
    assert_int_equal(topic_named("t")->bytes, 0);
}

static void topic__drop_new_skips_what_does_not_fit(void **state)
{
    (void)state;
    configure("t", (weft_topic_options){.slow = WEFT_SLOW_DROP_NEW});
    client *a = full_guest(), *quick = guest();
    subscribe(quick, "t");
    publish_numbered("t", 1, 3, 2);
    assert_int_equal(a->line->peer.n_lagging, 0);
    assert_int_equal(topic_named("t")->bytes, 0);
    drain(a, 2);
    publish_numbered("t", 4, 6, 2);
    assert_log(a->wire, "gap:3 m4 ");
    assert_log(quick->wire, "m1 m2 m3 m4 m5 m6 ");
    assert_dropped(WEFT_SLOW_DROP_NEW, 5);
}

static void topic__latest_jumps_to_the_newest(void **state)
{
    (void)state;
    configure("t", (weft_topic_options){.ring_messages = 3, .slow = WEFT_SLOW_LATEST});
    client *a = full_guest();
    publish_numbered("t", 1, 2, 2);
    drain(a, SIZE_MAX);
    turn();
    assert_log(a->wire, "gap:1 m2 ");
    assert_dropped(WEFT_SLOW_LATEST, 1);
    assert_int_equal(say_long(a, "full", DEFAULT_LIMIT), WEFT_QUEUED);
    publish_numbered("t", 3, 12, 3);
    drain(a, SIZE_MAX);
    turn();
    assert_log(a->wire, "full gap:11 m12 ");
    assert_dropped(WEFT_SLOW_LATEST, 10);
    assert_int_equal(topic_named("t")->bytes, 0);
}

static void topic__drops_count_only_what_was_meant_for_the_peer(void **state)
{
    (void)state;
    configure("t", (weft_topic_options){.slow = WEFT_SLOW_LATEST});
    client *a = full_guest();
    publish("t", "m1");
    publish_data("t", STR("mine"), a->handle.id);
    publish("t", "m3");
    publish_data("t", STR("mine"), a->handle.id);
    drain(a, SIZE_MAX);
    turn();
    assert_log(a->wire, "gap:2 m3 ");
    assert_dropped(WEFT_SLOW_LATEST, 1);
}

static void topic__ring_is_limited_in_bytes(void **state)
{
    (void)state;
    size_t each = sizeof(blob) + 400;
    configure("t", (weft_topic_options){.ring_bytes = 3 * each + 10, .slow = WEFT_SLOW_DROP_OLD});
    client *a = full_guest();
    publish_numbered("t", 1, 5, 400);
    assert_int_equal(topic_named("t")->bytes, 3 * each);
    publish_long("t", "m6", 411); /* two others stay no longer */
    assert_int_equal(topic_named("t")->bytes, 2 * each + 11);
    drain_whole(a);
    assert_log(a->wire, "gap:4 m5 m6 ");
    assert_dropped(WEFT_SLOW_DROP_OLD, 4);
}

static void topic__a_message_larger_than_the_ring_is_delivered(void **state)
{
    (void)state;
    configure("t", (weft_topic_options){.ring_bytes = 100, .slow = WEFT_SLOW_DROP_OLD});
    client *a = full_guest(), *quick = guest();
    subscribe(quick, "t");
    publish_long("t", "m1", 5000);
    drain_whole(quick);
    publish_long("t", "m2", 6000);
    assert_int_equal(topic_named("t")->head - topic_named("t")->first, 1);
    drain_whole(a);
    assert_log(a->wire, "gap:1 m2 ");
    assert_log(quick->wire, "m1 m2 ");
    assert_dropped(WEFT_SLOW_DROP_OLD, 1);
    assert_int_equal(topic_named("t")->bytes, 0);
}

/* However busy one is. */
static void topic__lagging_topics_of_a_peer_take_turns(void **state)
{
    (void)state;
    static const char *const names[] = {"busy", "t", "u"};
    client *a = guest();
    configure("busy", (weft_topic_options){.ring_messages = 2, .slow = WEFT_SLOW_DROP_OLD});
    for (size_t i = 0; i < N_OF(names); i++)
        subscribe(a, names[i]);
    subscribe(a, "quiet");
    say_long(a, "full", DEFAULT_LIMIT);
    publish("t", "t1");
    publish("u", "u1");
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 3; i++)
            publish_long("busy", "b", DEFAULT_LIMIT);
        drain(a, SIZE_MAX);
        turn();
    }
    assert_log(a->wire, "full gap:1 b t1 u1 gap:4 b gap:7 b ");
}

static void topic__lagging_peers_may_leave(void **state)
{
    (void)state;
    client *a = full_guest(), *b = full_guest(), *c = full_guest();
    publish_numbered("t", 1, 3, 2);
    assert_int_equal(topic_named("t")->n_lagging, 3);
    unsubscribe(a, "t");
    cut(b);
    assert_int_equal(topic_named("t")->n_lagging, 1);
    assert_int_equal(a->line->peer.n_lagging, 0);
    assert_true(topic_named("t")->bytes > 0);
    hang_up(c, 1000, "");
    assert_int_equal(topic_named("t")->n_lagging, 0);
    assert_int_equal(topic_named("t")->bytes, 0);
}

/* The ring goes when the last one that lagged unsubscribes, though others stay. */
static void topic__ring_empties_when_the_last_laggard_leaves(void **state)
{
    (void)state;
    client *a = full_guest(), *quick = guest();
    subscribe(quick, "t");
    publish_numbered("t", 1, 3, 2);
    assert_true(topic_named("t")->bytes > 0);
    unsubscribe(a, "t");
    assert_int_equal(topic_named("t")->bytes, 0);
}

/* ---- no memory ---- */

static void topic__who_has_no_memory_is_cut_and_others_get_the_message(void **state)
{
    (void)state;
    client *all[20];
    for (size_t i = 0; i < N_OF(all); i++) {
        all[i] = guest();
        subscribe(all[i], "t");
        subscribe(all[i], "u");
        if (i % 3 == 0 || i > 16)
            all[i]->fail_in = 1;
    }
    assert_int_equal(publish("t", "m1"), 0);
    turn();
    assert_int_equal(publish("u", "m2"), 0);
    for (size_t i = 0; i < N_OF(all); i++) {
        bool failed = i % 3 == 0 || i > 16;
        assert_log(all[i]->wire, failed ? "abort " : "m1 m2 ");
        assert_log(all[i]->told, failed ? "close:1006: " : "");
    }
}

static void topic__a_publish_without_memory_says_so(void **state)
{
    (void)state;
    client *a = guest();
    subscribe(a, "t");
    blob *body = blob_new(NULL, WEFT_TEXT, (str){NULL, 0}, STR("m1"));
    mem_fail_from(1);
    assert_int_equal(hub_publish(&stage.hub, STR("t"), body, 0, NULL), -ENOMEM);
    mem_fail_from(0);
    assert_log(a->wire, "");
    publish("t", "m2");
    assert_log(a->wire, "m2 ");
}

static void topic__failed_subscriptions_leave_nothing(void **state)
{
    (void)state;
    client *a = guest();
    int result = -1;
    for (uint64_t n = 1; result; n++) {
        mem_fail_from(n);
        result = subscribe(a, "t");
        mem_fail_from(0);
        assert_true(result == 0 || result == -ENOMEM);
        assert_true(!topic_named("t") || topic_named("t")->n_subscribers == (result == 0));
        assert_int_equal(a->line->peer.n_subscriptions, result == 0);
    }
    publish("t", "m1");
    assert_log(a->wire, "m1 ");
}

/* ---- a fan-out in slices ---- */

static client *crowd[MANY];

static void ignore(client *c, str data)
{
    (void)c;
    (void)data;
}

static void fill_crowd(void)
{
    for (size_t i = 0; i < N_OF(crowd); i++) {
        crowd[i] = guest();
        crowd[i]->index = (uint32_t)i;
        subscribe(crowd[i], "t");
    }
    stage.burn_ns = BURN_NS;
}

static size_t n_reached(size_t messages)
{
    size_t n = 0;
    for (size_t i = 0; i < N_OF(crowd); i++)
        n += crowd[i]->n_wire >= messages;
    return n;
}

static bool unfinished(void)
{
    return !list_empty(&stage.hub.unfinished);
}

static void finish(void)
{
    for (int i = 0; i < 100 && unfinished(); i++)
        turn();
    assert_false(unfinished());
}

static void count_call(weft *app, void *user)
{
    (void)app;
    ++*(int *)user;
}

static void slices__end_in_time_and_timers_run_between(void **state)
{
    (void)state;
    static int n_ticks; /* the timer goes on ticking until the stage is taken down */
    hub_timer_start(&stage.hub, NULL, &(timer_spec){.ms = 1, .repeat = true, .fn = count_call, .user = &n_ticks});
    fill_crowd();
    publish("t", "m1");
    for (int slice = 1; slice <= 2; slice++) {
        assert_true(unfinished());
        assert_int_equal(n_reached(1), slice * FIRST_SLICE);
        n_ticks = 0;
        pass_ms(3);
        turn();
        assert_int_equal(n_ticks, 1);
    }
    assert_false(unfinished());
    assert_int_equal(n_reached(1), MANY);
    assert_int_equal(stage.n_images, 1);
    assert_int_equal(topic_named("t")->bytes, 0);
}

static void slices__do_not_divide_a_quick_fan_out(void **state)
{
    (void)state;
    fill_crowd();
    stage.burn_ns = 0;
    publish("t", "m1");
    assert_int_equal(n_reached(1), MANY);
}

/* The loop must not sleep while there is something to reach. */
static void slices__keep_the_loop_awake(void **state)
{
    (void)state;
    fill_crowd();
    publish("t", "m1");
    for (int i = 0; i < 2; i++)
        assert_int_equal(loop_step(&stage.loop, 60 * 1000), 0);
    assert_false(unfinished());
}

static void slices__what_is_sent_comes_behind_what_was_published(void **state)
{
    (void)state;
    fill_crowd();
    client *last = crowd[MANY - 1];
    subscribe(last, "u");
    publish("t", "m1");
    assert_log(last->wire, "");
    assert_int_equal(say(last, "m2"), 0);
    publish("t", "m3");
    assert_int_equal(say(crowd[0], "m4"), 0);
    hang_up(crowd[MANY - 2], 1000, "");
    finish();
    assert_log(last->wire, "m1 m2 m3 ");
    assert_log(crowd[0]->wire, "m1 m3 m4 ");
    assert_log(crowd[1]->wire, "m1 m3 ");
    assert_log(crowd[MANY - 2]->wire, "m1 m3 close:1000: ");
}

static void slices__publishes_meanwhile_reach_everybody_in_order(void **state)
{
    (void)state;
    fill_crowd();
    publish("t", "m1");
    publish("t", "m2");
    turn();
    publish("t", "m3");
    finish();
    for (size_t i = 0; i < N_OF(crowd); i++)
        assert_log(crowd[i]->wire, "m1 m2 m3 ");
    assert_int_equal(topic_named("t")->bytes, 0);
}

static void slices__subscribers_meanwhile_get_what_comes_later(void **state)
{
    (void)state;
    fill_crowd();
    publish("t", "m1");
    client *late = guest();
    subscribe(late, "t");
    publish("t", "m2");
    finish();
    assert_log(late->wire, "m2 ");
}

/* From both sides of the point that the fan-out has reached; who leaves gets what was published before. */
static void slices__unsubscribing_meanwhile_loses_nothing(void **state)
{
    (void)state;
    fill_crowd();
    publish("t", "m1");
    for (size_t i = 0; i < N_OF(crowd); i += 7)
        unsubscribe(crowd[i], "t");
    publish("t", "m2");
    turn();
    for (size_t i = 3; i < N_OF(crowd); i += 7)
        unsubscribe(crowd[i], "t");
    publish("t", "m3");
    finish();
    for (size_t i = 0; i < N_OF(crowd); i++)
        assert_log(crowd[i]->wire, i % 7 == 0 ? "m1 " : i % 7 == 3 ? "m1 m2 " : "m1 m2 m3 ");
}

static void slices__a_slice_serves_each_once(void **state)
{
    (void)state;
    fill_crowd();
    publish("t", "m1");
    for (size_t i = 0; i < FIRST_SLICE; i++)
        cut(crowd[i]);
    turn();
    assert_int_equal(n_reached(1), 2 * FIRST_SLICE);
    turn();
    assert_int_equal(n_reached(1), MANY);
    assert_false(unfinished());
}

static void slices__cutting_everybody_meanwhile_ends_it(void **state)
{
    (void)state;
    fill_crowd();
    publish("t", "m1");
    for (size_t i = 0; i < N_OF(crowd); i++)
        cut(crowd[i]);
    assert_int_equal(topic_named("t")->bytes, 0);
    assert_false(unfinished());
    turn();
    assert_int_equal(stage.hub.n_peers, 0);
}

static void slices__a_full_ring_goes_through_at_once(void **state)
{
    (void)state;
    configure("t", (weft_topic_options){.ring_messages = 2});
    fill_crowd();
    client *slow = crowd[700];
    assert_int_equal(say_long(slow, "full", DEFAULT_LIMIT), WEFT_QUEUED);
    publish_numbered("t", 1, 2, 2);
    assert_int_equal(n_reached(1), FIRST_SLICE + 1); /* and the slow one, with what was sent to it */
    publish_numbered("t", 3, 3, 2);
    assert_true(n_reached(2) >= MANY - 1);
    finish();
    for (size_t i = 0; i < N_OF(crowd); i++)
        assert_log(crowd[i]->wire, crowd[i] == slow ? "full close:1013:too slow for a topic " : "m1 m2 m3 ");
    assert_dropped(WEFT_SLOW_CLOSE, 1);
}

/* The first to lag stands behind one that the fan-out reaches later: that one's message is missed too when it goes. */
static void slices__who_lags_later_may_need_an_older_message(void **state)
{
    (void)state;
    configure("t", (weft_topic_options){.ring_messages = 3});
    fill_crowd();
    client *ahead = crowd[0], *behind = crowd[MANY - 1];
    assert_int_equal(say_long(behind, "full", DEFAULT_LIMIT), WEFT_QUEUED);
    publish("t", "m1");
    publish("t", "m2");
    assert_int_equal(say_long(ahead, "full", DEFAULT_LIMIT), WEFT_QUEUED);
    publish("t", "m3");
    assert_int_equal(say(ahead, "no room"), WEFT_E_FULL); /* it lags from here on */
    assert_int_equal(topic_named("t")->n_lagging, 1);
    finish();
    assert_int_equal(topic_named("t")->n_lagging, 2);
    publish("t", "m4");
    assert_log(behind->wire, "full close:1013:too slow for a topic ");
    drain_whole(ahead);
    finish();
    assert_log(ahead->wire, "m1 m2 full m3 m4 ");
}

static void slices__slow_peers_lag_in_it(void **state)
{
    (void)state;
    fill_crowd();
    for (size_t i = 0; i < N_OF(crowd); i += 2)
        assert_int_equal(say_long(crowd[i], "full", DEFAULT_LIMIT), WEFT_QUEUED);
    publish("t", "m1");
    for (size_t i = 0; i < N_OF(crowd); i += 4)
        drain(crowd[i], SIZE_MAX);
    publish("t", "m2");
    finish();
    turn();
    for (size_t i = 0; i < N_OF(crowd); i++) {
        assert_log(crowd[i]->wire, i % 4 == 2 ? "full " : i % 4 ? "m1 m2 " : "full m1 m2 ");
        if (i % 4 == 2)
            drain_whole(crowd[i]);
    }
    for (size_t i = 2; i < N_OF(crowd); i += 4)
        assert_log(crowd[i]->wire, "m1 m2 ");
    assert_int_equal(topic_named("t")->bytes, 0);
}

static void slices__topics_take_turns(void **state)
{
    (void)state;
    fill_crowd();
    for (size_t i = 0; i < N_OF(crowd); i++)
        subscribe(crowd[i], "u");
    publish("t", "m1");
    publish("u", "n1");
    turn();
    turn();
    assert_int_equal(topic_named("t")->reached, 2 * FIRST_SLICE);
    assert_int_equal(topic_named("u")->reached, 2 * FIRST_SLICE);
    finish();
    assert_int_equal(n_reached(2), MANY);
    assert_int_equal(topic_named("t")->bytes + topic_named("u")->bytes, 0);
}

/* A send finds what was published not delivered yet, and no memory to deliver it: the peer is gone before its turn. */
static void slices__no_memory_to_catch_up_ends_the_peer(void **state)
{
    (void)state;
    fill_crowd();
    publish("t", "m1");
    client *a = crowd[MANY - 1], *b = crowd[MANY - 2], *c = crowd[MANY - 3];
    a->fail_in = b->fail_in = c->fail_in = 1;
    assert_int_equal(say(a, "m2"), -ENOMEM);
    assert_int_equal(hang_up(b, 1000, ""), 0);
    unsubscribe(c, "t");
    finish();
    assert_log(a->wire, "abort ");
    assert_log(b->wire, "abort ");
    assert_log(c->wire, "abort ");
    assert_log(a->told, "close:1006: ");
    assert_log(b->told, "close:1006: ");
    assert_log(c->told, "close:1006: ");
}

/* However many there are: no peer's end may wait on the stack for that of the next. */
static void slices__nobody_having_memory_is_no_deep_matter(void **state)
{
    (void)state;
    fill_crowd();
    for (size_t i = 0; i < 40 * 1000; i++)
        subscribe(guest(), "t");
    publish("t", "m1");
    for (client *c = stage.clients; c; c = c->next)
        c->fail_in = 1;
    cut(crowd[0]);
    publish("t", "m2");
    finish();
    assert_int_equal(topic_named("t")->n_subscribers, 0);
}

/* ---- steady traffic ---- */

static void topic__steady_traffic_allocates_nothing(void **state)
{
    (void)state;
    client *all[100];
    for (size_t i = 0; i < N_OF(all); i++) {
        all[i] = guest();
        all[i]->heard = ignore;
        subscribe(all[i], "t");
    }
    uint64_t before = 0;
    for (int n = 0; n < 10100; n++) {
        if (n == 100)
            before = mem_count();
        publish("t", "some text");
        for (size_t i = 0; i < N_OF(all); i++)
            drain(all[i], SIZE_MAX);
        turn();
    }
    assert_int_equal(mem_count(), before);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, stage_start, stage_stop)
    const struct CMUnitTest tests[] = {
        CASE(topic__delivers_to_its_subscribers_in_order),
        CASE(topic__one_subscription_a_peer),
        CASE(topic__except_leaves_out_one),
        CASE(topic__except_costs_no_room),
        CASE(topic__keeps_program_order),
        CASE(topic__a_peer_that_leaves_gets_no_more),
        CASE(topic__is_gone_a_minute_after_its_last_subscriber),
        CASE(topic__keeps_nothing_when_nobody_lags),
        CASE(topic__has_one_image_a_message),
        CASE(topic__takes_a_thousand_subscriptions_a_peer),
        CASE(topic__survives_any_order_of_leaving),
        CASE(topic_name__is_utf8_without_control_characters),
        CASE(topic_pattern__star_is_any_bytes),
        CASE(topic_options__are_those_of_the_first_match),
        CASE(topic_options__close_is_the_default),
        CASE(topic__a_full_peer_lags_and_goes_on_as_it_drains),
        CASE(topic__a_lagging_peer_is_given_64_kib_at_once),
        CASE(topic__close_ends_who_falls_out_of_the_ring),
        CASE(topic__close_spares_who_needs_only_what_is_kept),
        CASE(topic__drop_old_goes_on_at_the_oldest_kept),
        CASE(topic__drop_new_skips_what_does_not_fit),
        CASE(topic__latest_jumps_to_the_newest),
        CASE(topic__drops_count_only_what_was_meant_for_the_peer),
        CASE(topic__ring_is_limited_in_bytes),
        CASE(topic__a_message_larger_than_the_ring_is_delivered),
        CASE(topic__lagging_topics_of_a_peer_take_turns),
        CASE(topic__lagging_peers_may_leave),
        CASE(topic__ring_empties_when_the_last_laggard_leaves),
        CASE(topic__who_has_no_memory_is_cut_and_others_get_the_message),
        CASE(topic__a_publish_without_memory_says_so),
        CASE(topic__failed_subscriptions_leave_nothing),
        CASE(slices__end_in_time_and_timers_run_between),
        CASE(slices__do_not_divide_a_quick_fan_out),
        CASE(slices__keep_the_loop_awake),
        CASE(slices__what_is_sent_comes_behind_what_was_published),
        CASE(slices__publishes_meanwhile_reach_everybody_in_order),
        CASE(slices__subscribers_meanwhile_get_what_comes_later),
        CASE(slices__unsubscribing_meanwhile_loses_nothing),
        CASE(slices__a_slice_serves_each_once),
        CASE(slices__cutting_everybody_meanwhile_ends_it),
        CASE(slices__a_full_ring_goes_through_at_once),
        CASE(slices__who_lags_later_may_need_an_older_message),
        CASE(slices__slow_peers_lag_in_it),
        CASE(slices__topics_take_turns),
        CASE(slices__no_memory_to_catch_up_ends_the_peer),
        CASE(slices__nobody_having_memory_is_no_deep_matter),
        CASE(topic__steady_traffic_allocates_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
