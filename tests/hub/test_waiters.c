/**
 * Long polls wait for a topic, and are woken when there is something.
 */
#include "hub/scripted.h"

enum {
    MANY = 10000,
    BURN_NS = 10 * 1000, /* for each wake */
    SLICE = 224,         /* woken in 2 ms: the clock is looked at after every 32 */
    MOST_AT_ONCE = 512,
};

/* One that waits for a topic and notes what it finds. */
typedef struct watcher watcher;
struct watcher {
    waiter waiter;
    topic *topic;
    int n_woken;
    char found[64];          /* the messages from where it waited on */
    void (*act)(watcher *w); /* when woken, afterwards */
    watcher *other;
};

static watcher *watcher_of(waiter *w)
{
    return CONTAINER(w, watcher, waiter);
}

static void read_on(watcher *w)
{
    assert_true(w->waiter.next >= w->topic->first && w->waiter.next < w->topic->head);
    for (; w->waiter.next < w->topic->head; w->waiter.next++) {
        str data = blob_data(topic_message_at(w->topic, w->waiter.next)->body);
        size_t len = strlen(w->found);
        snprintf(w->found + len, sizeof w->found - len, "%.*s ", (int)data.len, data.at);
    }
}

static void woken(waiter *self)
{
    watcher *w = watcher_of(self);
    assert_int_equal(stage.calls, 0);
    assert_null(self->topic);
    clock_ns += stage.burn_ns;
    w->n_woken++;
    read_on(w);
    if (w->act)
        w->act(w);
}

static void watch(watcher *w, const char *name)
{
    assert_int_equal(hub_topic(&stage.hub, str_from(name), &w->topic), 0);
    w->waiter.next = w->topic->head;
    w->waiter.wake = woken;
    topic_wait(w->topic, &w->waiter);
}

/* So often, and with that, since the last look. */
static void assert_woken(watcher *w, int n, const char *found)
{
    assert_int_equal(w->n_woken, n);
    assert_string_equal(w->found, found);
    w->n_woken = 0;
    w->found[0] = '\0';
}

static void watch_again(watcher *w)
{
    watch(w, "t");
}

/* ---- once, later, with everything ---- */

static void waiter__is_woken_once_with_all_of_the_turn(void **state)
{
    (void)state;
    watcher a = {0}, b = {0}, other = {0};
    watch(&a, "t");
    watch(&b, "t");
    watch(&other, "u");
    assert_int_equal(topic_named("t")->n_waiters, 2);
    publish("t", "m1");
    publish("t", "m2");
    assert_int_equal(a.n_woken, 0);
    turn();
    assert_woken(&a, 1, "m1 m2 ");
    assert_woken(&b, 1, "m1 m2 ");
    assert_woken(&other, 0, "");
    assert_int_equal(topic_named("t")->n_waiters, 0);
    publish("t", "m3");
    turn();
    assert_woken(&a, 0, "");
    topic_stop_waiting(&other.waiter);
}

static void waiter__is_not_woken_by_what_it_has(void **state)
{
    (void)state;
    watcher early = {0}, late = {0};
    watch(&early, "t");
    publish("t", "m1");
    watch(&late, "t");
    turn();
    turn();
    assert_woken(&early, 1, "m1 ");
    assert_woken(&late, 0, "");
    publish("t", "m2");
    turn();
    assert_woken(&late, 1, "m2 ");
}

static void waiter__that_waits_again_is_woken_by_the_next(void **state)
{
    (void)state;
    watcher a = {.act = watch_again};
    watch(&a, "t");
    for (int n = 1; n <= 3; n++) {
        char expected[16];
        publish_numbered("t", n, n, 2);
        turn();
        turn();
        snprintf(expected, sizeof expected, "m%d ", n);
        assert_woken(&a, 1, expected);
    }
    topic_stop_waiting(&a.waiter);
}

static void waiter__may_stop_before_it_is_woken(void **state)
{
    (void)state;
    watcher a = {0}, b = {0};
    watch(&a, "t");
    watch(&b, "u");
    publish("t", "m1");
    publish("u", "m1");
    topic_stop_waiting(&a.waiter);
    topic_stop_waiting(&a.waiter);
    turn();
    assert_woken(&a, 0, "");
    assert_woken(&b, 1, "m1 ");
    assert_int_equal(topic_named("t")->bytes, 0);
    assert_true(topic_named("t")->idling);
}

static void waiter__does_not_hear_of_what_could_not_be_published(void **state)
{
    (void)state;
    watcher a = {0};
    watch(&a, "t");
    blob *body = blob_new(NULL, WEFT_TEXT, (str){NULL, 0}, STR("m1"));
    mem_fail_from(1);
    assert_int_equal(hub_publish(&stage.hub, STR("t"), body, 0, NULL), -ENOMEM);
    mem_fail_from(0);
    turn();
    assert_woken(&a, 0, "");
    topic_stop_waiting(&a.waiter);
}

/* ---- inside a wake ---- */

static void stop_other(watcher *w)
{
    topic_stop_waiting(&w->other->waiter);
}

static void wake__may_stop_another(void **state)
{
    (void)state;
    watcher a = {.act = stop_other}, b = {0}, c = {0};
    a.other = &b;
    watch(&a, "t");
    watch(&b, "t");
    watch(&c, "t");
    publish("t", "m1");
    turn();
    assert_woken(&a, 1, "m1 ");
    assert_woken(&b, 0, "");
    assert_woken(&c, 1, "m1 ");
    b.act = stop_other;
    b.other = &c;
    watch(&b, "t");
    watch(&c, "t");
    publish("t", "m2");
    turn();
    assert_woken(&b, 1, "m2 "); /* the last of them */
    assert_woken(&c, 0, "");
    assert_int_equal(topic_named("t")->n_waiters, 0);
    assert_true(topic_named("t")->idling);
}

static int n_freed;

static void free_itself(watcher *w)
{
    n_freed++;
    free(w);
}

static void wake__may_free_its_waiter(void **state)
{
    (void)state;
    n_freed = 0;
    for (int i = 0; i < 100; i++) {
        watcher *w = calloc(1, sizeof *w);
        assert_non_null(w);
        w->act = free_itself;
        watch(w, "t");
    }
    publish("t", "m1");
    turn();
    assert_int_equal(n_freed, 100);
    assert_int_equal(topic_named("t")->n_waiters, 0);
}

static void publish_more(watcher *w)
{
    w->act = NULL;
    publish("t", "m2");
    watch(w, "t");
}

/* Those behind it get both messages at once; it has the second itself, and is not woken by it. */
static void wake__may_publish(void **state)
{
    (void)state;
    watcher a = {0}, b = {.act = publish_more}, c = {0};
    watch(&a, "t");
    watch(&b, "t");
    watch(&c, "t");
    publish("t", "m1");
    turn();
    turn();
    assert_woken(&a, 1, "m1 ");
    assert_woken(&b, 1, "m1 ");
    assert_woken(&c, 1, "m1 m2 ");
    assert_int_equal(topic_named("t")->n_waiters, 1);
    topic_stop_waiting(&b.waiter);
}

static void publish_elsewhere(watcher *w)
{
    (void)w;
    publish("u", "m2");
}

static void wake__may_publish_elsewhere(void **state)
{
    (void)state;
    watcher a = {.act = publish_elsewhere}, b = {.act = publish_elsewhere}, c = {0};
    watch(&a, "t");
    watch(&b, "t");
    watch(&c, "u");
    publish("t", "m1");
    turn();
    assert_woken(&c, 1, "m2 m2 ");
}

/* ---- what is kept for them ---- */

static void topic__keeps_messages_until_its_waiters_were_woken(void **state)
{
    (void)state;
    watcher a = {0};
    client *c = guest();
    subscribe(c, "t");
    watch(&a, "t");
    publish("t", "m1");
    topic *t = topic_named("t");
    assert_int_equal(t->head - t->first, 1);
    assert_log(c->wire, "m1 ");
    turn();
    assert_woken(&a, 1, "m1 ");
    assert_int_equal(t->bytes, 0);
    assert_int_equal(t->n_images, 0);
    publish("t", "m2"); /* nobody waits any more */
    assert_int_equal(t->bytes, 0);
}

static void topic__is_idle_from_when_its_last_waiter_was_woken(void **state)
{
    (void)state;
    watcher a = {0};
    watch(&a, "t");
    later(TOPIC_LINGER_MS);
    publish("t", "m1");
    pass_ms(5);
    turn();
    assert_woken(&a, 1, "m1 ");
    later(TOPIC_LINGER_MS - 1);
    assert_non_null(topic_named("t"));
    later(1);
    assert_null(topic_named("t"));
}

/* The ring has its limits for polls too: they are told of a gap by their place. */
static void topic__ring_may_move_past_who_waits(void **state)
{
    (void)state;
    configure("t", (weft_topic_options){.ring_messages = 3});
    waiter w = {0};
    topic *t;
    assert_int_equal(hub_topic(&stage.hub, STR("t"), &t), 0);
    topic_wait(t, &w);
    publish_numbered("t", 1, 5, 2);
    assert_int_equal(t->first, 2);
    assert_int_equal(t->head, 5);
    bool gap;
    assert_int_equal(topic_resume(t, (since){SINCE_CURSOR, topic_cursor_before(t, w.next)}, &gap), 2);
    assert_true(gap);
    topic_stop_waiting(&w);
}

/* ---- many ---- */

static watcher *crowd;

static int start_crowd(void **state)
{
    crowd = calloc(MANY, sizeof *crowd);
    assert_non_null(crowd);
    return stage_start(state);
}

static int stop_crowd(void **state)
{
    for (size_t i = 0; i < MANY; i++)
        topic_stop_waiting(&crowd[i].waiter);
    stage_stop(state);
    free(crowd);
    return 0;
}

static void seat_crowd(const char *name, size_t from, size_t to)
{
    stage.burn_ns = BURN_NS;
    for (size_t i = from; i < to; i++)
        watch(&crowd[i], name);
}

static size_t n_woken(size_t from, size_t to)
{
    size_t n = 0;
    for (size_t i = from; i < to; i++)
        n += crowd[i].n_woken > 0;
    return n;
}

static void finish_waking(void)
{
    for (int i = 0; i < 1000 && !list_empty(&stage.hub.waking); i++)
        assert_int_equal(loop_step(&stage.loop, 60 * 1000), 0); /* and the loop does not sleep meanwhile */
    assert_true(list_empty(&stage.hub.waking));
}

static size_t woken_at_timer;

static void note_woken(weft *app, void *user)
{
    (void)app;
    (void)user;
    woken_at_timer = n_woken(0, MANY);
}

static void slices__let_timers_run_between(void **state)
{
    (void)state;
    seat_crowd("t", 0, MANY);
    publish("t", "m1");
    woken_at_timer = 0;
    hub_timer_start(&stage.hub, NULL, &(timer_spec){.ms = 5, .fn = note_woken});
    for (size_t slice = 1; slice <= 3; slice++) {
        turn();
        assert_int_equal(n_woken(0, MANY), slice * SLICE);
    }
    finish_waking();
    assert_true(woken_at_timer > SLICE && woken_at_timer <= 5 * SLICE);
    for (size_t i = 0; i < MANY; i++)
        assert_woken(&crowd[i], 1, "m1 ");
    assert_int_equal(topic_named("t")->bytes, 0);
}

static void slices__wake_each_once_whatever_is_published_meanwhile(void **state)
{
    (void)state;
    watcher late = {0};
    seat_crowd("t", 0, 1000);
    publish("t", "m1");
    turn();
    publish("t", "m2");
    watch(&late, "t");
    turn();
    publish("t", "m3");
    finish_waking();
    for (size_t i = 0; i < 1000; i++)
        assert_woken(&crowd[i], 1, i < SLICE ? "m1 " : i < 2 * SLICE ? "m1 m2 " : "m1 m2 m3 ");
    assert_woken(&late, 1, "m3 ");
    assert_int_equal(topic_named("t")->bytes, 0);
}

/* The topic is listed by the publication and by the slice that ends: once. */
static void slices__in_which_a_wake_publishes(void **state)
{
    (void)state;
    seat_crowd("t", 0, 1000);
    crowd[5].act = publish_more;
    publish("t", "m1");
    finish_waking();
    publish("u", "m1");
    for (size_t i = 0; i < 1000; i++)
        assert_woken(&crowd[i], 1, i <= 5 ? "m1 " : "m1 m2 ");
    assert_int_equal(topic_named("t")->n_waiters, 1);
    assert_int_equal(topic_named("t")->bytes, 0);
}

static void slices__topics_take_turns(void **state)
{
    (void)state;
    seat_crowd("t", 0, 1000);
    seat_crowd("u", 1000, 2000);
    publish("t", "m1");
    publish("u", "m1");
    turn();
    turn();
    assert_int_equal(n_woken(0, 1000), SLICE);
    assert_int_equal(n_woken(1000, 2000), SLICE);
    finish_waking();
    assert_int_equal(n_woken(0, 2000), 2000);
}

/* Each answer is a system call at the end of the turn, which the clock does not see. */
static void slices__are_of_so_many_at_most(void **state)
{
    (void)state;
    seat_crowd("t", 0, 600);
    seat_crowd("u", 600, MANY);
    stage.burn_ns = 0;
    publish("t", "m1");
    publish("u", "m1");
    for (size_t n = 1; n <= 3; n++) {
        turn();
        assert_int_equal(n_woken(0, MANY), n * MOST_AT_ONCE);
    }
    assert_int_equal(n_woken(0, 600), 600);
    finish_waking();
    assert_int_equal(n_woken(0, MANY), MANY);
}

static void slices__end_when_all_others_stop_waiting(void **state)
{
    (void)state;
    seat_crowd("t", 0, 1000);
    publish("t", "m1");
    turn();
    for (size_t i = 0; i < 1000; i++)
        topic_stop_waiting(&crowd[i].waiter);
    finish_waking();
    assert_int_equal(n_woken(0, 1000), SLICE);
    assert_int_equal(topic_named("t")->bytes, 0);
    assert_true(topic_named("t")->idling);
}

int main(void)
{
#define CASE(name)    cmocka_unit_test_setup_teardown(name, stage_start, stage_stop)
#define CROWDED(name) cmocka_unit_test_setup_teardown(name, start_crowd, stop_crowd)
    const struct CMUnitTest tests[] = {
        CASE(waiter__is_woken_once_with_all_of_the_turn),
        CASE(waiter__is_not_woken_by_what_it_has),
        CASE(waiter__that_waits_again_is_woken_by_the_next),
        CASE(waiter__may_stop_before_it_is_woken),
        CASE(waiter__does_not_hear_of_what_could_not_be_published),
        CASE(wake__may_stop_another),
        CASE(wake__may_free_its_waiter),
        CASE(wake__may_publish),
        CASE(wake__may_publish_elsewhere),
        CASE(topic__keeps_messages_until_its_waiters_were_woken),
        CASE(topic__is_idle_from_when_its_last_waiter_was_woken),
        CASE(topic__ring_may_move_past_who_waits),
        CROWDED(slices__let_timers_run_between),
        CROWDED(slices__wake_each_once_whatever_is_published_meanwhile),
        CROWDED(slices__in_which_a_wake_publishes),
        CROWDED(slices__topics_take_turns),
        CROWDED(slices__are_of_so_many_at_most),
        CROWDED(slices__end_when_all_others_stop_waiting),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
