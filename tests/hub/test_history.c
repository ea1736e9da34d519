/**
 * What topics keep, and for how long topics are kept.
 */
#include "hub/scripted.h"
#include "hub/topic_private.h"

enum { MANY = 100000, MANY_BYTES = 100 };

static uint64_t n_kept(const char *name)
{
    const topic *t = topic_named(name);
    return t ? t->head - t->first : 0;
}

static size_t bytes_of(size_t len)
{
    return sizeof(blob) + len;
}

static since since_place(cursor at)
{
    return (since){SINCE_CURSOR, at};
}

/* A subscriber of "t" with a full queue. */
static client *full_guest(void)
{
    client *c = guest();
    subscribe(c, "t");
    assert_int_equal(say_long(c, "full", DEFAULT_LIMIT), WEFT_QUEUED);
    assert_log(c->wire, "full ");
    return c;
}

/* ---- limits ---- */

static void history__is_none_by_default(void **state)
{
    (void)state;
    publish("t", "m1");
    assert_null(topic_named("t"));
    publication told;
    assert_int_equal(publish_told("t", "m1", &told), 0);
    assert_int_equal(n_kept("t"), 0);
    assert_int_equal(topic_named("t")->bytes, 0);
    assert_int_equal(told.at.number, 1);
}

static void history__keeps_so_many_messages(void **state)
{
    (void)state;
    configure("t", (weft_topic_options){.history_messages = 3});
    for (uint64_t n = 1; n <= 10; n++) {
        publish("t", "m");
        assert_int_equal(n_kept("t"), n < 3 ? n : 3);
        assert_int_equal(topic_named("t")->head, n);
    }
    assert_int_equal(topic_named("t")->bytes, 3 * bytes_of(1));
}

static void history__keeps_so_many_bytes(void **state)
{
    (void)state;
    configure("t", (weft_topic_options){.history_messages = 100, .history_bytes = 3 * bytes_of(50)});
    configure("u", (weft_topic_options){.history_messages = 100, .history_bytes = 3 * bytes_of(50) - 1});
    publish_numbered("t", 1, 3, 50);
    publish_numbered("u", 1, 3, 50);
    assert_int_equal(n_kept("t"), 3);
    assert_int_equal(n_kept("u"), 2);
    publish_long("t", "m4", 50);
    assert_int_equal(n_kept("t"), 3);
    publish_long("t", "m5", 51);
    assert_int_equal(n_kept("t"), 2);
    assert_int_equal(topic_named("t")->bytes, bytes_of(50) + bytes_of(51));
}

/* What is kept has no holes: with the large one all before it goes too, and whoever comes back is told. */
static void history__is_emptied_by_a_message_larger_than_it(void **state)
{
    (void)state;
    configure("t", (weft_topic_options){.history_messages = 100, .history_bytes = 1000});
    client *a = guest();
    bool gap;
    subscribe(a, "t");
    publish_numbered("t", 1, 3, 20);
    cursor before = topic_cursor_before(topic_named("t"), 3);
    publish_long("t", "m4", 1001);
    assert_log(a->wire, "m1 m2 m3 m4 ");
    assert_int_equal(n_kept("t"), 0);
    assert_int_equal(topic_named("t")->bytes, 0);
    assert_int_equal(topic_resume(topic_named("t"), since_place(before), &gap), 4);
    assert_true(gap);
    publish("t", "m5");
    assert_int_equal(n_kept("t"), 1);
}

static void history__keeps_a_message_as_large_as_it(void **state)
{
    (void)state;
    configure("t", (weft_topic_options){.history_messages = 100, .history_bytes = bytes_of(1000)});
    publish_long("t", "m1", 1000);
    assert_int_equal(n_kept("t"), 1);
    publish_long("t", "m2", 1001);
    assert_int_equal(n_kept("t"), 0);
}

static void history__keeps_messages_for_so_long(void **state)
{
    (void)state;
    configure("t", (weft_topic_options){.history_messages = 100, .history_age_ms = 1000});
    publish("t", "m1");
    later(400);
    publish("t", "m2");
    later(599);
    assert_int_equal(n_kept("t"), 2);
    later(1);
    assert_int_equal(n_kept("t"), 1);
    later(399);
    assert_int_equal(n_kept("t"), 1);
    later(1);
    assert_int_equal(n_kept("t"), 0);
}

/* The clock may be set for something later already: when the topic itself goes, or an age of long ago. */
static void history__is_not_kept_for_longer_because_the_topic_was_idle(void **state)
{
    (void)state;
    configure("t", (weft_topic_options){.history_messages = 100, .history_age_ms = 1000});
    topic *t;
    assert_int_equal(hub_topic(&stage.hub, STR("t"), &t), 0);
    client *a = guest();
    subscribe(a, "t");
    later(10);
    publish("t", "m1");
    later(999);
    assert_int_equal(n_kept("t"), 1);
    later(1);
    assert_int_equal(n_kept("t"), 0);
}

static void history__is_five_minutes_old_at_most_by_default(void **state)
{
    (void)state;
    configure("t", (weft_topic_options){.history_messages = 100});
    publish("t", "m1");
    later(TOPIC_HISTORY_AGE_MS - 1);
    assert_int_equal(n_kept("t"), 1);
    later(1);
    assert_int_equal(n_kept("t"), 0);
}

static void history__may_be_of_any_age(void **state)
{
    (void)state;
    configure("t", (weft_topic_options){.history_messages = 3, .history_age_ms = WEFT_NEVER});
    publish("t", "m1");
    uint64_t epoch = topic_named("t")->epoch;
    for (int day = 0; day < 100; day++)
        later(86400 * 1000);
    assert_int_equal(n_kept("t"), 1);
    assert_true(topic_named("t")->epoch == epoch);
    assert_int_equal(stage.loop.wheel.n_armed, 0);
}

/* 49.7 days of milliseconds are more than 32 bits. */
static void history__counts_ages_beyond_32_bits(void **state)
{
    (void)state;
    configure("old", (weft_topic_options){.history_messages = 3, .history_age_ms = WEFT_NEVER - 1});
    configure("t", (weft_topic_options){.history_messages = 3, .history_age_ms = 1000});
    publish("old", "m1");
    client *a = full_guest();
    publish("t", "m1");
    later(WEFT_NEVER - 2);
    assert_int_equal(n_kept("old"), 1);
    later(1);
    assert_int_equal(n_kept("old"), 0);
    publish("old", "m2");
    later(UINT64_C(1) << 33);
    assert_int_equal(n_kept("old"), 0);
    assert_int_equal(n_kept("t"), 1); /* somebody has yet to get it */
    unsubscribe(a, "t");
    assert_int_equal(n_kept("t"), 0);
}

/* Nor does the clock tick in vain meanwhile. */
static void history__stays_while_somebody_lags_and_goes_with_that(void **state)
{
    (void)state;
    configure("t", (weft_topic_options){.history_messages = 2, .history_age_ms = 1000});
    client *a = full_guest();
    publish_numbered("t", 1, 5, 2);
    later(TOPIC_LINGER_MS);
    later(TOPIC_LINGER_MS);
    assert_int_equal(n_kept("t"), 5);
    assert_int_equal(stage.loop.wheel.n_armed, 0);
    drain_whole(a);
    assert_log(a->wire, "m1 m2 m3 m4 m5 ");
    assert_int_equal(n_kept("t"), 0);
    publish("t", "m6");
    assert_int_equal(n_kept("t"), 1);
    later(1000);
    assert_int_equal(n_kept("t"), 0);
}

static void history__raises_the_limits_of_its_ring(void **state)
{
    (void)state;
    configure("large", (weft_topic_options){.history_messages = 2000, .history_bytes = 8 << 20});
    configure("low", (weft_topic_options){.ring_messages = 2, .ring_bytes = 10, .history_messages = 5});
    configure("high",
              (weft_topic_options){.ring_messages = 50, .ring_bytes = 500, .history_messages = 5, .history_bytes = 10});
    configure("none", (weft_topic_options){.ring_messages = 2, .ring_bytes = 10, .history_bytes = 1000});
    client *a = guest();
    static const char *const names[] = {"large", "low", "high", "none"};
    static const struct {
        size_t messages, bytes;
    } rings[] = {{2000, 8 << 20}, {5, TOPIC_HISTORY_BYTES}, {50, 500}, {2, 10}};
    for (size_t i = 0; i < N_OF(names); i++) {
        subscribe(a, names[i]);
        assert_int_equal(topic_named(names[i])->options.ring_messages, rings[i].messages);
        assert_int_equal(topic_named(names[i])->options.ring_bytes, rings[i].bytes);
    }
    publish_numbered("low", 1, 6, 20);
    assert_int_equal(n_kept("low"), 5);
    assert_int_equal(topic_named("low")->options.slow, WEFT_SLOW_DROP_OLD);
}

/* ---- images ---- */

static void images__go_when_nobody_lags_and_are_made_again(void **state)
{
    (void)state;
    configure("t", (weft_topic_options){.history_messages = 10});
    client *a = full_guest(), *quick = guest();
    subscribe(quick, "t");
    publish_numbered("t", 1, 5, 20);
    topic *t = topic_named("t");
    assert_int_equal(t->n_images, 5); /* for the one that lags */
    drain(quick, SIZE_MAX);
    drain_whole(a);
    assert_int_equal(stage.n_images, 5);
    assert_int_equal(t->n_images, 0);
    for (uint64_t n = t->first; n < t->head; n++)
        assert_null(topic_image(t, n, WIRE_WEBSOCKET));
    client *late = guest(), *later_still = guest();
    since back = {SINCE_CURSOR, topic_cursor_before(t, 2)};
    subscribe_since(late, "t", back, NULL);
    subscribe_since(later_still, "t", back, NULL);
    turn();
    assert_log(late->wire, "m3 m4 m5 ");
    assert_log(later_still->wire, "m3 m4 m5 ");
    assert_int_equal(stage.n_images, 8); /* the two shared them */
    assert_int_equal(t->n_images, 0);
}

/* While one lags another resumes behind it, and drops leave images in the middle. */
static void images__of_old_messages_go_too(void **state)
{
    (void)state;
    configure("t", (weft_topic_options){.history_messages = 10, .ring_messages = 12});
    publish_numbered("t", 1, 10, 20);
    client *a = full_guest(), *late = guest();
    publish_numbered("t", 11, 12, 20);
    subscribe_since(late, "t", (since){.from = SINCE_START}, NULL);
    turn();
    topic *t = topic_named("t");
    assert_int_equal(t->n_images, 12);
    publish_numbered("t", 13, 20, 20);
    assert_int_equal(t->n_images, 12);
    assert_true(t->images_from <= t->first || !topic_image(t, t->images_from - 1, WIRE_WEBSOCKET));
    unsubscribe(a, "t");
    assert_int_equal(t->n_images, 0);
    assert_int_equal(n_kept("t"), 10);
}

/* ---- costs ---- */

static void ignore(client *c, str data)
{
    (void)c;
    (void)data;
}

static void history__appends_without_allocating(void **state)
{
    (void)state;
    configure("t", (weft_topic_options){.history_messages = 1000});
    client *a = guest();
    a->heard = ignore;
    a->swallows = true;
    subscribe(a, "t");
    uint64_t before = 0;
    for (int n = 0; n < 20000; n++) {
        if (n == 2000)
            before = mem_count();
        publish("t", "some text");
    }
    assert_int_equal(mem_count(), before);
    assert_int_equal(stage.n_deliveries, 20000);
    assert_int_equal(n_kept("t"), 1000);
}

static client *hearing_guest(size_t max_queued_bytes, void (*heard)(client *, str))
{
    static peer_rules rules;
    rules = usual_rules;
    rules.max_queued_bytes = max_queued_bytes;
    client *c = client_new(&rules);
    turn();
    c->heard = heard;
    return c;
}

static void fill_history(int n, size_t len)
{
    configure("t", (weft_topic_options){.history_messages = MANY, .history_bytes = SIZE_MAX / 2});
    publish_numbered("t", 1, n, len);
}

static void resume__costs_what_it_sends(void **state)
{
    (void)state;
    fill_history(MANY, 10);
    client *a = hearing_guest(1 << 20, ignore);
    uint64_t before = mem_count();
    subscribe_since(a, "t", (since){SINCE_CURSOR, topic_cursor_before(topic_named("t"), MANY - 3)}, NULL);
    turn();
    assert_int_equal(stage.n_deliveries, 3);
    assert_int_equal(stage.n_images, 3);
    assert_true(mem_count() - before < 10);
}

static uint32_t heard_in_order[100];

static void hear_next(client *c, str data)
{
    char expected[16];
    int len = snprintf(expected, sizeof expected, "m%u", (unsigned)++heard_in_order[c->index]);
    assert_true(data.len >= (size_t)len && memcmp(data.at, expected, (size_t)len) == 0);
}

static void check_holds_little(client *const *all, size_t n)
{
    for (size_t i = 0; i < n; i++)
        assert_true(all[i]->line->queued < PEER_LAG_BYTES + MANY_BYTES);
}

/* What each holds of what is to come is its offset; what it has queued are references, of at most 64 KiB and one message. */
static void resume__holds_offsets_and_no_copies(void **state)
{
    (void)state;
    client *all[100];
    memset(heard_in_order, 0, sizeof heard_in_order);
    fill_history(MANY, MANY_BYTES);
    topic *t = topic_named("t");
    for (size_t i = 0; i < N_OF(all); i++) {
        all[i] = hearing_guest(1 << 20, hear_next);
        all[i]->index = (uint32_t)i;
    }
    uint64_t before = mem_count();
    for (size_t i = 0; i < N_OF(all); i++)
        subscribe_since(all[i], "t", (since){.from = SINCE_START}, NULL);
    turn();
    size_t first_lot = (PEER_LAG_BYTES + MANY_BYTES - 1) / MANY_BYTES;
    check_holds_little(all, N_OF(all));
    assert_int_equal(stage.n_images, first_lot);
    assert_true(mem_count() - before <= first_lot + N_OF(all) + 16);
    for (uint64_t n = 0; n < t->head; n++)
        assert_int_equal(topic_message_at(t, n)->body->refs, 1);
    for (int round = 0; round < 1000 && heard_in_order[0] < MANY; round++) {
        for (size_t i = 0; i < N_OF(all) && (i < 3 || round < 5); i++)
            drain(all[i], SIZE_MAX);
        turn();
        check_holds_little(all, N_OF(all));
    }
    for (size_t i = 0; i < N_OF(all); i++)
        assert_int_equal(heard_in_order[i], i < 3 ? MANY : 6 * first_lot);
}

/* ---- topics that nobody wants ---- */

static topic *asked(const char *name)
{
    topic *t;
    assert_int_equal(hub_topic(&stage.hub, str_from(name), &t), 0);
    return t;
}

static bool resumes(const char *name, cursor at)
{
    bool gap;
    topic_resume(topic_named(name), since_place(at), &gap);
    return !gap;
}

static void topic__lingers_for_a_minute_and_cursors_hold(void **state)
{
    (void)state;
    client *a = guest();
    subscribe(a, "t");
    publish("t", "m1");
    cursor at = topic_cursor_of(topic_named("t"), 0);
    later(5 * TOPIC_LINGER_MS);
    unsubscribe(a, "t");
    later(TOPIC_LINGER_MS - 1);
    assert_true(resumes("t", at));
    later(1);
    assert_null(topic_named("t"));
    subscribe(a, "t");
    assert_true(topic_named("t")->epoch != at.epoch);
    assert_false(resumes("t", at));
}

static void topic__stays_when_somebody_comes_back_in_time(void **state)
{
    (void)state;
    client *a = guest();
    subscribe(a, "t");
    uint64_t epoch = topic_named("t")->epoch;
    unsubscribe(a, "t");
    later(TOPIC_LINGER_MS - 1);
    subscribe(a, "t");
    later(10 * TOPIC_LINGER_MS);
    assert_true(topic_named("t")->epoch == epoch);
    cut(a);
    later(TOPIC_LINGER_MS - 1);
    assert_true(topic_named("t")->epoch == epoch);
    later(1);
    assert_null(topic_named("t"));
}

/* By whoever asks, or is told a place in it; what is published to nobody is no reason. */
static void topic__that_is_asked_for_stays_for_as_long_again(void **state)
{
    (void)state;
    publication told;
    asked("t");
    later(TOPIC_LINGER_MS - 1);
    asked("t");
    later(TOPIC_LINGER_MS - 1);
    assert_int_equal(publish_told("t", "m1", &told), 0);
    later(TOPIC_LINGER_MS - 1);
    assert_true(resumes("t", told.at));
    publish("t", "m2");
    later(1);
    assert_null(topic_named("t"));
}

static void topic__goes_with_its_history_but_not_before_it_has_lingered(void **state)
{
    (void)state;
    configure("short", (weft_topic_options){.history_messages = 10, .history_age_ms = 10 * 1000});
    configure("long", (weft_topic_options){.history_messages = 10, .history_age_ms = 3 * TOPIC_LINGER_MS});
    publish("short", "m1");
    publish("long", "m1");
    later(10 * 1000);
    assert_int_equal(n_kept("short"), 0);
    later(TOPIC_LINGER_MS - 10 * 1000 - 1);
    assert_non_null(topic_named("short"));
    later(1);
    assert_null(topic_named("short"));
    later(2 * TOPIC_LINGER_MS - 1);
    assert_int_equal(n_kept("long"), 1);
    later(1);
    assert_null(topic_named("long"));
}

static void topic__stays_while_somebody_waits(void **state)
{
    (void)state;
    waiter w = {0};
    topic_wait(asked("t"), &w);
    later(10 * TOPIC_LINGER_MS);
    assert_non_null(topic_named("t"));
    topic_stop_waiting(&w);
    topic_stop_waiting(&w);
    later(TOPIC_LINGER_MS - 1);
    assert_non_null(topic_named("t"));
    later(1);
    assert_null(topic_named("t"));
}

/* ---- the limit of topics ---- */

static bool is_there(const char *name)
{
    return topic_named(name) != NULL;
}

static void max_topics__who_was_unwanted_longest_makes_room(void **state)
{
    (void)state;
    static const char *const names[] = {"a", "b", "c", "d"};
    client *p = guest();
    for (size_t i = 0; i < N_OF(names); i++)
        subscribe(p, names[i]);
    stage.hub.max_topics = 4;
    static const char *const leaving[] = {"c", "a", "d"};
    for (size_t i = 0; i < N_OF(leaving); i++) {
        later(10);
        unsubscribe(p, leaving[i]);
    }
    later(10);
    asked("e");
    assert_true(is_there("a") && is_there("b") && !is_there("c") && is_there("d"));
    later(10);
    asked("a"); /* and so the last in the row */
    later(10);
    asked("f");
    assert_true(is_there("a") && is_there("b") && !is_there("d"));
    assert_null(stage.hub.limit);
}

static void max_topics__one_that_somebody_wants_or_with_history_never_goes(void **state)
{
    (void)state;
    topic *t = NULL;
    waiter w = {0};
    configure("old", (weft_topic_options){.history_messages = 1, .history_age_ms = WEFT_NEVER});
    configure("new", (weft_topic_options){.history_messages = 1, .history_age_ms = 1000});
    client *p = guest();
    publish("old", "m1");
    publish("new", "m1");
    subscribe(p, "t");
    topic_wait(asked("polled"), &w);
    stage.hub.max_topics = 4;
    later(999);
    assert_int_equal(hub_topic(&stage.hub, STR("x"), &t), WEFT_E_TOO_LARGE);
    assert_null(t);
    assert_string_equal(stage.hub.limit, "max_topics");
    stage.hub.limit = NULL;
    assert_int_equal(subscribe(p, "x"), WEFT_E_TOO_LARGE);
    assert_string_equal(stage.hub.limit, "max_topics");
    stage.hub.limit = NULL;
    publication told;
    assert_int_equal(publish_told("x", "m", &told), WEFT_E_TOO_LARGE);
    assert_string_equal(stage.hub.limit, "max_topics");
    stage.hub.limit = NULL;
    assert_int_equal(publish("x", "m"), 0); /* nobody is there to miss it */
    later(1);
    assert_int_equal(subscribe(p, "x"), 0);
    assert_true(is_there("old") && !is_there("new"));
    topic_stop_waiting(&w);
}

/* Its history has gone only now, but nobody has wanted it for long. */
static void max_topics__counts_from_when_it_was_wanted(void **state)
{
    (void)state;
    configure("a", (weft_topic_options){.history_messages = 1, .history_age_ms = 3000});
    publish("a", "m1");
    later(1000);
    asked("b");
    later(2000);
    assert_int_equal(n_kept("a"), 0);
    stage.hub.max_topics = 2;
    asked("c");
    assert_true(!is_there("a") && is_there("b"));
    later(1);
    publish_told("b", "m", &(publication){0});
    later(1);
    asked("d");
    assert_true(is_there("b") && !is_there("c"));
}

/* Whoever was given a topic may use it until the turn ends. */
static void max_topics__no_topic_of_this_turn_makes_room(void **state)
{
    (void)state;
    topic *t;
    stage.hub.max_topics = 2;
    turn();
    asked("a");
    client *p = guest();
    subscribe(p, "b");
    unsubscribe(p, "b");
    assert_int_equal(hub_topic(&stage.hub, STR("c"), &t), WEFT_E_TOO_LARGE);
    stage.hub.limit = NULL;
    turn();
    asked("b");
    asked("c");
    assert_true(!is_there("a") && is_there("b"));
}

static void max_topics__no_topic_in_use_makes_room(void **state)
{
    (void)state;
    stage.hub.max_topics = 2;
    asked("b");
    topic *held = topic_hold(asked("a"));
    later(1);
    asked("b");
    later(1);
    asked("c");
    assert_true(is_there("a") && !is_there("b"));
    later(2 * TOPIC_LINGER_MS);
    assert_true(is_there("a") && !is_there("c"));
    topic_release(held);
    later(1);
    assert_false(is_there("a"));
}

static void max_topics__a_publication_that_history_is_kept_of_fails_without_a_word_for_others(void **state)
{
    (void)state;
    configure("*", (weft_topic_options){.history_messages = 1});
    stage.hub.max_topics = 1;
    publish("a", "m1");
    assert_int_equal(publish("b", "m1"), WEFT_E_TOO_LARGE);
    assert_null(stage.hub.limit); /* or the next peer that leaves would be said to go for it */
}

static void max_subscriptions__is_what_one_peer_may_have(void **state)
{
    (void)state;
    client *a = guest(), *b = guest();
    stage.hub.max_subscriptions = 2;
    assert_int_equal(subscribe(a, "t"), 0);
    assert_int_equal(subscribe(a, "u"), 0);
    assert_int_equal(subscribe(a, "v"), WEFT_E_TOO_LARGE);
    assert_string_equal(stage.hub.limit, "max_subscriptions");
    stage.hub.limit = NULL;
    assert_int_equal(subscribe(a, "u"), 0);
    assert_int_equal(subscribe(b, "v"), 0);
    unsubscribe(a, "t");
    assert_int_equal(subscribe(a, "v"), 0);
    assert_null(stage.hub.limit);
}

static void max_subscriptions__may_be_all_that_16_bits_hold(void **state)
{
    (void)state;
    client *a = guest();
    char name[16];
    stage.hub.max_subscriptions = UINT16_MAX;
    for (int i = 0; i < UINT16_MAX; i++) {
        snprintf(name, sizeof name, "t%d", i);
        assert_int_equal(subscribe(a, name), 0);
    }
    assert_int_equal(subscribe(a, "one more"), WEFT_E_TOO_LARGE);
    stage.hub.limit = NULL;
    a->heard = ignore;
    assert_int_equal(say_long(a, "full", DEFAULT_LIMIT), WEFT_QUEUED);
    for (int i = 0; i < UINT16_MAX; i++) {
        snprintf(name, sizeof name, "t%d", i);
        publish(name, "to be had soon");
    }
    assert_int_equal(a->line->peer.n_lagging, UINT16_MAX);
    a->swallows = true;
    drain_whole(a);
    assert_int_equal(a->n_wire, 1 + UINT16_MAX);
    assert_int_equal(a->line->peer.n_lagging, 0);
}

/* ---- the end ---- */

static void never_woken(waiter *w)
{
    (void)w;
    fail();
}

/* Clocks, and what was deferred, find nothing afterwards. */
static void hub__ends_with_whatever_is_due(void **state)
{
    (void)state;
    configure("kept", (weft_topic_options){.history_messages = 10, .history_age_ms = 1000});
    waiter w = {.wake = never_woken};
    publish("kept", "m1");
    topic_wait(asked("t"), &w);
    publish("t", "m1");
    topic_stop_waiting(&w);
    client *a = full_guest();
    publish("t", "m2");
    cut(a);
    hub_done(&stage.hub);
    assert_int_equal(stage.loop.wheel.n_armed, 0);
    assert_true(list_empty(&stage.hub.waking) && list_empty(&stage.hub.unfinished) && list_empty(&stage.hub.idle));
    assert_int_equal(hub_init(&stage.hub, &stage.net, &stage.table, NULL, &stage.first_rule), 0);
    stage.hub.n_peers = 1;
    a->line->peer.marked = false; /* which the hub before would have seen to */
    peer_mark(&a->line->peer);
    later(10 * TOPIC_LINGER_MS);
    assert_log(a->told, "close:1006: ");
}

/* ---- publishing ---- */

static void publish__tells_the_place_and_who_gets_it(void **state)
{
    (void)state;
    client *a = guest(), *b = guest();
    waiter w = {0};
    publication told = {0};
    subscribe(a, "t");
    subscribe(b, "t");
    assert_int_equal(publish_told("t", "m1", &told), 0);
    assert_true(told.at.epoch == topic_named("t")->epoch);
    assert_int_equal(told.at.number, 1);
    assert_int_equal(told.n_subscribers, 2);
    w.next = 1;
    topic_wait(topic_named("t"), &w);
    assert_int_equal(publish_told("t", "m2", &told), 0);
    assert_int_equal(told.at.number, 2);
    assert_int_equal(told.n_subscribers, 3);
    topic_stop_waiting(&w);
}

static void publish__to_a_name_that_cannot_be_leaves_nothing(void **state)
{
    (void)state;
    publication told = {.n_subscribers = 77};
    configure("*", (weft_topic_options){.history_messages = 1});
    assert_int_equal(publish_told("a\nb", "m1", &told), WEFT_E_INVALID);
    assert_int_equal(publish_told("", "m1", &told), WEFT_E_INVALID);
    assert_int_equal(publish("a\nb", "m1"), WEFT_E_INVALID);
    assert_int_equal(told.n_subscribers, 77);
    assert_int_equal(stage.hub.topics.n_entries, 0);
}

static int publish_first(void)
{
    publication told = {.n_subscribers = 77};
    int result = publish_told("first", "m1", &told);
    assert_true(result == 0 || result == -ENOMEM);
    assert_int_equal(told.n_subscribers, result ? 77 : 0);
    return result;
}

static void publish__without_memory_says_so_and_leaves_no_message(void **state)
{
    (void)state;
    configure("*", (weft_topic_options){.history_messages = 10});
    check_failing_allocations(publish_first);
    assert_int_equal(n_kept("first"), 1);
    assert_int_equal(topic_named("first")->head, 1);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, stage_start, stage_stop)
    const struct CMUnitTest tests[] = {
        CASE(history__is_none_by_default),
        CASE(history__keeps_so_many_messages),
        CASE(history__keeps_so_many_bytes),
        CASE(history__is_emptied_by_a_message_larger_than_it),
        CASE(history__keeps_a_message_as_large_as_it),
        CASE(history__keeps_messages_for_so_long),
        CASE(history__is_not_kept_for_longer_because_the_topic_was_idle),
        CASE(history__is_five_minutes_old_at_most_by_default),
        CASE(history__may_be_of_any_age),
        CASE(history__counts_ages_beyond_32_bits),
        CASE(history__stays_while_somebody_lags_and_goes_with_that),
        CASE(history__raises_the_limits_of_its_ring),
        CASE(images__go_when_nobody_lags_and_are_made_again),
        CASE(images__of_old_messages_go_too),
        CASE(history__appends_without_allocating),
        CASE(resume__costs_what_it_sends),
        CASE(resume__holds_offsets_and_no_copies),
        CASE(topic__lingers_for_a_minute_and_cursors_hold),
        CASE(topic__stays_when_somebody_comes_back_in_time),
        CASE(topic__that_is_asked_for_stays_for_as_long_again),
        CASE(topic__goes_with_its_history_but_not_before_it_has_lingered),
        CASE(topic__stays_while_somebody_waits),
        CASE(max_topics__who_was_unwanted_longest_makes_room),
        CASE(max_topics__one_that_somebody_wants_or_with_history_never_goes),
        CASE(max_topics__counts_from_when_it_was_wanted),
        CASE(max_topics__no_topic_of_this_turn_makes_room),
        CASE(max_topics__no_topic_in_use_makes_room),
        CASE(max_topics__a_publication_that_history_is_kept_of_fails_without_a_word_for_others),
        CASE(max_subscriptions__is_what_one_peer_may_have),
        CASE(max_subscriptions__may_be_all_that_16_bits_hold),
        CASE(hub__ends_with_whatever_is_due),
        CASE(publish__tells_the_place_and_who_gets_it),
        CASE(publish__to_a_name_that_cannot_be_leaves_nothing),
        CASE(publish__without_memory_says_so_and_leaves_no_message),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
