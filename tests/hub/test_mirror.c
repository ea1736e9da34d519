#include "hub/several.h"

static since from_start(void)
{
    return (since){.from = SINCE_START};
}

static const since from_now = {.from = SINCE_NOW};

static int start(void **state)
{
    (void)state;
    int error = several_init(3);
    if (error)
        return error;
    configure_all("kept*", (weft_topic_options){.history_messages = 100});
    configure_all("small*", (weft_topic_options){.history_messages = 4, .ring_messages = 4});
    configure_all("close*", (weft_topic_options){.ring_messages = 4});
    configure_all("latest*", (weft_topic_options){.ring_messages = 4, .slow = WEFT_SLOW_LATEST});
    return 0;
}

static int stop(void **state)
{
    (void)state;
    several_done();
    return 0;
}

static void say_numbered(unsigned i, const char *name, int from, int to)
{
    scripted_stage *before = current;
    on(i);
    publish_numbered(name, from, to, 0);
    current = before;
}

/* ---- messages ---- */

static void mirror__gets_what_is_published_on_every_loop(void **state)
{
    (void)state;
    const char *name = named_at(0, "t");
    client *c[3];
    for (unsigned i = 0; i < 3; i++) {
        c[i] = guest_on(i);
        assert_int_equal(subscribe(c[i], name), 0);
    }
    settle();
    assert_int_equal(publish_on(0, name, "m1"), 0);
    assert_log(c[0]->wire, "m1 "); /* at once */
    assert_log(c[1]->wire, "");
    settle();
    assert_int_equal(publish_on(1, name, "m2"), 0);
    assert_log(c[0]->wire, "");
    settle();
    assert_int_equal(publish_on(2, name, "m3"), 0);
    settle();
    assert_log(c[0]->wire, "m2 m3 ");
    assert_log(c[1]->wire, "m1 m2 m3 ");
    assert_log(c[2]->wire, "m1 m2 m3 ");
    assert_true(topic_on(0, name)->epoch == topic_on(1, name)->epoch);
    assert_int_equal(topic_on(2, name)->head, 3);
}

static void mirror__shares_the_bytes_of_a_message(void **state)
{
    (void)state;
    const char *name = named_at(0, "kept");
    assert_int_equal(subscribe(guest_on(1), name), 0);
    settle();
    publish_on(0, name, "m1");
    settle();
    assert_ptr_equal(topic_message_at(topic_on(0, name), 0)->body, topic_message_at(topic_on(1, name), 0)->body);
}

/* The subscription stands behind nothing that this loop publishes after it. */
static void pending__gets_what_this_loop_publishes_after_it(void **state)
{
    (void)state;
    const char *name = named_at(0, "t");
    client *first = guest_on(1), *second = guest_on(1);
    publish_on(1, name, "before");
    assert_int_equal(subscribe(first, name), 0);
    assert_int_equal(publish_on(1, name, "m1"), 0);
    turn_on(0);
    assert_int_equal(subscribe(second, name), 0); /* the answer is on its way */
    assert_int_equal(publish_on(1, name, "m2"), 0);
    settle();
    assert_log(first->wire, "m1 m2 ");
    assert_non_null(strstr(second->wire, "m2 "));
}

/* The home looks at its sockets before its inbox: what came by these may be by somebody who knew of the subscription. */
static void pending__gets_what_its_home_has_published_since(void **state)
{
    (void)state;
    const char *name = named_at(0, "kept");
    client *c = guest_on(1);
    publish_on(0, name, "before");
    publish_on(2, name, "earlier"); /* on its way */
    assert_int_equal(subscribe(c, name), 0);
    publish_on(0, name, "m1");
    publish_on(0, name, "m2");
    settle();
    publish_on(0, name, "m3");
    settle();
    assert_log(c->wire, "m1 m2 earlier m3 ");
    client *late = guest_on(2);
    assert_int_equal(subscribe(late, name), 0);
    settle();
    assert_log(late->wire, "");
}

static void pending__twice_is_once(void **state)
{
    (void)state;
    const char *name = named_at(0, "t");
    client *c = guest_on(1);
    assert_int_equal(subscribe(c, name), 0);
    assert_int_equal(subscribe(c, name), 0);
    settle();
    assert_int_equal(topic_on(1, name)->n_subscribers, 1);
    assert_null(c->line->peer.extra->pending);
}

static void pending__ends_with_unsubscribe(void **state)
{
    (void)state;
    const char *name = named_at(0, "t");
    client *c = guest_on(1), *again = guest_on(1);
    subscribe(c, name);
    unsubscribe(c, name);
    subscribe(again, name);
    unsubscribe(again, name);
    subscribe(again, name);
    settle();
    publish_on(0, name, "m1");
    settle();
    assert_log(c->wire, "");
    assert_log(again->wire, "m1 ");
}

static void pending__ends_with_its_peer(void **state)
{
    (void)state;
    client *c = guest_on(1);
    subscribe(c, named_at(0, "t"));
    subscribe(c, named_at(2, "t"));
    cut(c);
    turn();
    assert_null(c->line);
    settle();
}

static void pending__counts_as_a_subscription(void **state)
{
    (void)state;
    client *c = guest_on(1);
    stage.hub.max_subscriptions = 1;
    assert_int_equal(subscribe(c, named_at(0, "t")), 0);
    assert_int_equal(subscribe(c, named_at(0, "u")), WEFT_E_TOO_LARGE);
    stage.hub.limit = NULL;
    settle();
    assert_int_equal(c->line->peer.n_subscriptions, 1);
}

typedef struct {
    subscribing base;
    int calls, error;
    subscribed done;
} asked;

static void asked_done(subscribing *s, int error, const subscribed *done)
{
    asked *a = CONTAINER(s, asked, base);
    a->calls++;
    a->error = error;
    if (done)
        a->done = *done;
}

static void pending__tells_its_transport_where_it_begins(void **state)
{
    (void)state;
    const char *name = named_at(0, "kept");
    client *c = guest_on(1);
    asked a = {.base.done = asked_done};
    subscribed done;
    say_numbered(0, name, 1, 3);
    assert_int_equal(subscribe_since(c, name, from_now, &done), HUB_PENDING);
    assert_int_equal(hub_subscribe_await(&stage.hub, &c->line->peer, str_from(name), from_now, &a.base), 0);
    settle();
    assert_int_equal(a.calls, 1);
    assert_int_equal(a.error, 0);
    assert_int_equal(a.done.at.number, 3);
    assert_true(a.done.at.epoch == topic_on(0, name)->epoch);
    assert_int_equal(subscribe_since(c, name, from_now, &done), 0);
    say_numbered(0, name, 4, 4);
    settle();
    assert_log(c->wire, "m4 ");
}

static void pending__tells_its_transport_that_it_ended(void **state)
{
    (void)state;
    const char *name = named_at(0, "t");
    client *one = guest_on(1), *other = guest_on(1);
    asked a = {.base.done = asked_done}, b = a;
    assert_int_equal(hub_subscribe_await(&stage.hub, &one->line->peer, str_from(name), from_now, &a.base), 0);
    assert_int_equal(hub_subscribe_await(&stage.hub, &other->line->peer, str_from(name), from_now, &b.base), 0);
    unsubscribe(one, name);
    cut(other);
    assert_int_equal(a.error, -ECANCELED);
    assert_int_equal(b.error, -ECANCELED);
    settle();
    assert_int_equal(a.calls + b.calls, 2);
}

static void resume__on_another_loop_has_no_seam(void **state)
{
    (void)state;
    const char *name = named_at(0, "kept");
    say_numbered(2, name, 1, 5);
    settle();
    client *all = guest_on(1), *some = guest_on(2), *foreign = guest_on(2);
    cursor at = {topic_on(0, name)->epoch, 3};
    on(1);
    subscribe_since(all, name, from_start(), NULL);
    on(2);
    subscribe_since(some, name, (since){SINCE_CURSOR, at}, NULL);
    subscribe_since(foreign, name, (since){SINCE_CURSOR, {1, 3}}, NULL);
    say_numbered(0, name, 6, 6);
    settle();
    say_numbered(1, name, 7, 7);
    settle();
    assert_log(all->wire, "m1 m2 m3 m4 m5 m6 m7 ");
    assert_log(some->wire, "m4 m5 m6 m7 ");
    assert_log(foreign->wire, "gap:0 m1 m2 m3 m4 m5 m6 m7 ");
}

static since cursor_of(const char *name, uint64_t number)
{
    return (since){SINCE_CURSOR, {topic_on(0, name)->epoch, number}};
}

/* Its client was quicker than the messages. */
static void resume__ahead_of_a_mirror_waits_for_it(void **state)
{
    (void)state;
    const char *name = named_at(0, "t"); /* keeps nothing */
    client *c = guest_on(1), *late = guest_on(1), *other = guest_on(1);
    subscribe(c, name);
    settle();
    say_numbered(0, name, 1, 5);
    on(1);
    assert_int_equal(subscribe_since(late, name, cursor_of(name, 4), NULL), 0);
    assert_int_equal(subscribe(other, name), 0); /* is not held up */
    assert_int_equal(topic_on(1, name)->n_subscribers, 2);
    turn_on(1);
    assert_int_equal(topic_on(1, name)->n_subscribers, 3); /* as soon as it is there */
    say_numbered(0, name, 6, 6);
    settle();
    assert_int_equal(late->n_gaps, 0);
    assert_non_null(strstr(late->wire, "m6 "));
    assert_log(other->wire, "m1 m2 m3 m4 m5 m6 ");
}

static void resume__ahead_of_the_home_is_a_gap(void **state)
{
    (void)state;
    const char *name = named_at(0, "kept");
    client *c = guest_on(1), *fresh = guest_on(2);
    say_numbered(0, name, 1, 1);
    on(1);
    subscribe(c, name);
    settle();
    on(1);
    client *bogus = guest();
    subscribe_since(bogus, name, cursor_of(name, 99), NULL);
    on(2);
    subscribe_since(fresh, name, cursor_of(name, 99), NULL);
    assert_log(bogus->wire, "");
    settle();
    assert_log(bogus->wire, "gap:0 m1 ");
    assert_log(fresh->wire, "gap:0 m1 ");
}

/* It came while the home was being asked for another. */
static void resume__ahead_is_asked_for_anew(void **state)
{
    (void)state;
    const char *name = named_at(0, "kept");
    client *c = guest_on(1), *one = guest_on(1), *other = guest_on(1);
    subscribe(c, name);
    settle();
    say_numbered(0, name, 1, 1);
    on(1);
    subscribe_since(one, name, cursor_of(name, 9), NULL);
    turn_on(0); /* answers at 1 */
    say_numbered(0, name, 2, 3);
    on(1);
    subscribe_since(other, name, cursor_of(name, 3), NULL);
    settle();
    say_numbered(0, name, 4, 4);
    settle();
    assert_log(other->wire, "m4 ");
    assert_int_equal(one->n_wire, 4);
    assert_int_equal(one->n_gaps, 1);
}

static void pending__keeps_its_first_since(void **state)
{
    (void)state;
    const char *name = named_at(0, "kept");
    client *c = guest_on(1), *d = guest_on(1);
    asked a = {.base.done = asked_done};
    subscribed done;
    subscribe(c, name);
    settle();
    say_numbered(0, name, 1, 3);
    on(1);
    subscribe_since(d, name, cursor_of(name, 2), NULL);
    assert_int_equal(subscribe(d, name), 0);
    assert_int_equal(subscribe_since(d, name, from_now, &done), HUB_PENDING);
    assert_int_equal(hub_subscribe_await(&stage.hub, &d->line->peer, str_from(name), from_now, &a.base), 0);
    settle();
    assert_log(d->wire, "m3 ");
    assert_int_equal(a.calls, 1);
    assert_int_equal(a.error, 0);
}

/* The home's ring went on without it. */
static void pending__is_told_what_it_missed_before_it_began(void **state)
{
    (void)state;
    const char *name = named_at(0, "small");
    client *c = guest_on(1);
    say_numbered(0, name, 1, 1);
    fill_inbox(1);
    on(1);
    subscribe(c, name);
    turn_on(0);
    say_numbered(0, name, 2, 9);
    settle();
    pass_all(REACH_RETRY_MS + 1);
    settle();
    assert_log(c->wire, "gap:5 m6 m7 m8 m9 ");
}

static void kept__of_many_messages_comes_in_parts(void **state)
{
    (void)state;
    const char *name = named_at(0, "many");
    configure_all("many*", (weft_topic_options){.history_messages = 1000});
    say_numbered(0, name, 1, 700);
    subscribe(guest_on(1), name);
    turn_on(0);
    assert_int_equal(topic_on(1, name)->head, 0);
    turn_on(1);
    assert_true(topic_is_ready(topic_on(1, name), from_now));
    assert_int_equal(topic_on(1, name)->head, 700);
}

static void except__is_left_out_on_its_loop(void **state)
{
    (void)state;
    const char *name = named_at(0, "t");
    client *c = guest_on(1), *d = guest_on(1);
    subscribe(c, name);
    subscribe(d, name);
    settle();
    on(2);
    assert_int_equal(publish_data(name, STR("m1"), c->handle.id), 0);
    settle();
    assert_log(c->wire, "");
    assert_log(d->wire, "m1 ");
}

/* ---- awaiting ---- */

typedef struct {
    awaiter base;
    int calls, error;
    const char *limit;
    topic *topic;
} waiting;

static void waiting_ready(awaiter *a, topic *t, int error)
{
    waiting *w = CONTAINER(a, waiting, base);
    w->calls++;
    w->error = error;
    w->topic = t;
    w->limit = stage.hub.limit;
}

static topic *await(waiting *w, const char *name)
{
    topic *t;
    assert_int_equal(hub_topic(&stage.hub, str_from(name), &t), 0);
    assert_false(topic_is_ready(t, from_now));
    w->base.ready = waiting_ready;
    topic_await(t, from_now, &w->base);
    return t;
}

static void await__ends_when_the_mirror_is_ready(void **state)
{
    (void)state;
    waiting w = {0}, gone = {0};
    const char *name = named_at(0, "kept");
    say_numbered(0, name, 1, 2);
    on(1);
    topic *t = await(&w, name);
    await(&gone, name);
    topic_stop_awaiting(&gone.base);
    topic_stop_awaiting(&gone.base);
    turn_on(0);
    assert_int_equal(w.calls, 0);
    turn_on(1);
    assert_int_equal(w.calls, 1);
    assert_int_equal(w.error, 0);
    assert_ptr_equal(w.topic, t);
    assert_int_equal(t->head, 2);
    assert_int_equal(gone.calls, 0);
}

static void mirror__goes_when_nobody_has_wanted_it_for_a_while(void **state)
{
    (void)state;
    const char *name = named_at(0, "kept");
    client *c = guest_on(1);
    subscribe(c, name);
    settle();
    pass_all(10 * MIRROR_LINGER_MS);
    assert_non_null(topic_on(1, name));
    assert_non_null(topic_on(0, name)->links);
    unsubscribe(c, name);
    pass_all(MIRROR_LINGER_MS - 1);
    assert_non_null(topic_on(1, name));
    pass_all(2);
    assert_null(topic_on(1, name));
    assert_null(topic_on(0, name)->links);
}

static void home__stays_as_long_as_its_mirrors(void **state)
{
    (void)state;
    const char *name = named_at(0, "t");
    subscribe(guest_on(1), name);
    settle();
    uint64_t epoch = topic_on(0, name)->epoch;
    for (int i = 0; i < 3; i++)
        pass_all(TOPIC_LINGER_MS);
    assert_non_null(topic_on(0, name));
    assert_true(topic_on(0, name)->epoch == epoch);
}

static void mirror__of_before_is_not_taken_for_one_of_now(void **state)
{
    (void)state;
    const char *name = named_at(0, "t");
    client *c = guest_on(1);
    subscribe(c, name);
    settle();
    unsubscribe(c, name);
    turn_on(1);
    pass_ms(MIRROR_LINGER_MS + 1);
    publish_on(0, name, "m1"); /* to the old one */
    on(1);
    turn(); /* which goes */
    assert_null(topic_on(1, name));
    subscribe(c, name);
    publish_on(0, name, "m2"); /* its detach is not there yet */
    settle();
    publish_on(0, name, "m3");
    settle();
    assert_log(c->wire, "m3 ");
}

static void mirror__that_was_not_heard_asks_again(void **state)
{
    (void)state;
    const char *name = named_at(0, "kept");
    waiting w = {0};
    say_numbered(0, name, 1, 1);
    on(1);
    await(&w, name);
    mem_fail_from(1); /* neither a link nor a refusal */
    turn_on(0);
    mem_fail_from(0);
    settle();
    assert_int_equal(w.calls, 0);
    pass_all(MIRROR_ASK_MS);
    assert_int_equal(w.calls, 1);
    assert_int_equal(w.error, 0);
}

/* ---- limits ---- */

static void limit__of_topics_is_that_of_all_loops(void **state)
{
    (void)state;
    waiting w = {0};
    topic *t;
    for (unsigned i = 0; i < 3; i++)
        stages[i].hub.max_topics = 2;
    for (unsigned i = 0; i < 2; i++) {
        on(i);
        subscribe(guest(), named_at(i, "t"));
    }
    client *c = guest_on(1);
    await(&w, named_at(2, "u"));
    subscribe(c, named_at(2, "u"));
    on(2);
    assert_int_equal(hub_topic(&stage.hub, str_from(named_at(2, "u")), &t), WEFT_E_TOO_LARGE);
    stage.hub.limit = NULL;
    turn_on(2);
    on(1);
    turn();
    assert_int_equal(w.error, WEFT_E_TOO_LARGE);
    assert_string_equal(w.limit, "max_topics");
    assert_null(w.topic);
    assert_null(stage.hub.limit);
    assert_log(c->wire, "close:1013:the server has no room for the topic ");
    assert_null(topic_on(1, named_at(2, "u")));
    assert_int_equal(atomic_load(&links.n_topics), 2);
}

static void full__home_takes_no_publication_and_no_attach(void **state)
{
    (void)state;
    const char *name = named_at(0, "t");
    topic *t;
    client *c = guest_on(1);
    subscribe(c, name);
    settle();
    fill_inbox(0);
    on(1);
    assert_int_equal(publish(name, "m1"), WEFT_E_FULL);
    assert_int_equal(hub_topic(&stage.hub, str_from(named_at(0, "u")), &t), WEFT_E_FULL);
    name = named_at(0, "t");
    settle();
    assert_int_equal(publish(name, "m2"), 0);
    settle();
    assert_log(c->wire, "m2 ");
}

static size_t n_heard;

static void count(client *c, str data)
{
    (void)c;
    (void)data;
    n_heard++;
}

static void full__counts_what_messages_hold(void **state)
{
    (void)state;
    const char *name = named_at(0, "t");
    int n = 0, error;
    on(1);
    while ((error = publish_long(name, "m", 200 * 1024)) == 0)
        n++;
    assert_int_equal(error, WEFT_E_FULL);
    assert_int_equal(n, INBOX_MAX_BYTES / (200 * 1024));
}

static void behind__loses_nothing_that_the_ring_has(void **state)
{
    (void)state;
    const char *name = named_at(0, "t");
    client *c = guest_on(1);
    c->heard = count;
    c->swallows = true;
    n_heard = 0;
    subscribe(c, name);
    settle();
    fill_inbox(1);
    say_numbered(0, name, 1, 300);
    turn_on(0);
    assert_true(hub_owes(&stages[0].hub));
    assert_int_equal(topic_on(0, name)->head - topic_on(0, name)->first, 300); /* kept for it */
    settle();
    pass_all(REACH_RETRY_MS + 1);
    assert_false(hub_owes(&stages[0].hub));
    assert_true(topic_on(0, name)->first == topic_on(0, name)->head);
    assert_int_equal(n_heard, 300);
    assert_int_equal(c->n_gaps, 0);
}

static void lose_some(const char *name)
{
    settle();
    fill_inbox(1);
    say_numbered(0, name, 1, 9);
    settle();
    pass_all(REACH_RETRY_MS + 1);
    settle();
}

static void lost__is_told_as_a_gap(void **state)
{
    (void)state;
    const char *name = named_at(0, "small");
    client *c = guest_on(1);
    subscribe(c, name);
    lose_some(name);
    assert_log(c->wire, "gap:5 m6 m7 m8 m9 ");
    on(1);
    assert_dropped(WEFT_SLOW_DROP_OLD, 5);
    assert_int_equal(stage.hub.counts.n_mirror_gaps, 5);
}

static void lost__closes_whoever_must_miss_nothing(void **state)
{
    (void)state;
    const char *name = named_at(0, "close");
    client *c = guest_on(1), *d = guest_on(1), *home = guest_on(0);
    on(1);
    subscribe(c, name);
    subscribe(d, name);
    on(0);
    subscribe(home, name);
    lose_some(name);
    assert_log(c->wire, "close:1013:too slow for a topic ");
    assert_log(d->wire, "close:1013:too slow for a topic ");
    assert_log(home->wire, "m1 m2 m3 m4 m5 m6 m7 m8 m9 ");
}

static void lost__is_a_gap_for_polls(void **state)
{
    (void)state;
    const char *name = named_at(0, "small");
    client *c = guest_on(1);
    bool gap;
    subscribe(c, name);
    settle();
    cursor at = topic_cursor_before(topic_on(1, name), 0);
    lose_some(name);
    assert_int_equal(topic_resume(topic_on(1, name), (since){SINCE_CURSOR, at}, &gap), 5);
    assert_true(gap);
    assert_string_equal(c->wire, "gap:5 m6 m7 m8 m9 ");
}

static int n_woken;

static void woken(waiter *w)
{
    (void)w;
    n_woken++;
}

/* Nobody has to wait for the next message to hear of it. */
static void lost__for_want_of_memory_on_the_mirror_is_a_gap(void **state)
{
    (void)state;
    const char *name = named_at(0, "kept");
    client *c = guest_on(1);
    subscribe(c, name);
    settle();
    n_woken = 0;
    waiter w = {.next = topic_on(1, name)->head, .wake = woken};
    topic_wait(topic_on(1, name), &w);
    settle();
    say_numbered(0, name, 1, 1);
    on(1);
    mem_fail_from(1); /* its ring has no room yet */
    turn();
    mem_fail_from(0);
    assert_log(c->wire, "gap:1 ");
    assert_int_equal(n_woken, 1);
    settle();
    say_numbered(0, name, 2, 2);
    settle();
    assert_log(c->wire, "m2 ");
    assert_int_equal(topic_on(1, name)->head, 2);
}

static void lost__tells_nobody_who_has_no_room(void **state)
{
    (void)state;
    const char *name = named_at(0, "kept");
    client *c = guest_on(1), *d = guest_on(1);
    subscribe(c, name);
    subscribe(d, name);
    settle();
    on(0);
    publish_long(name, "m1", 1500);
    settle();
    on(1);
    drain(d, SIZE_MAX);
    d->ends_at_gap = true;
    publish_on(0, name, "m2");
    publish_on(0, name, "m3");
    publish_on(0, name, "m4");
    publish_on(0, name, "m5"); /* for which the ring has to grow */
    mem_fail_from(1);
    turn();
    mem_fail_from(0);
    turn();
    assert_null(d->line);
    assert_log(c->wire, "m1 ");
    on(1);
    drain_whole(c);
    settle();
    publish_on(0, name, "m6");
    settle();
    assert_log(c->wire, "gap:5 m6 ");
}

static void lagging__on_a_mirror_reads_on_from_its_ring(void **state)
{
    (void)state;
    const char *name = named_at(0, "t");
    client *c = guest_on(1);
    subscribe(c, name);
    settle();
    for (int i = 1; i <= 5; i++) {
        on(0);
        char text[8];
        snprintf(text, sizeof text, "m%d", i);
        publish_long(name, text, 600);
    }
    settle();
    assert_log(c->wire, "m1 m2 ");
    on(1);
    drain_whole(c);
    assert_log(c->wire, "m3 m4 m5 ");
}

/* ---- ends ---- */

static void end__of_a_home_is_told_to_its_mirrors(void **state)
{
    (void)state;
    const char *name = named_at(0, "kept");
    publication done;
    topic *t;
    waiting w = {0};
    client *c = guest_on(1);
    subscribe(c, name);
    settle();
    assert_int_equal(ask_publish(1, name, 0, &done), HUB_PENDING);
    on(1);
    await(&w, named_at(0, "u"));
    end_stage(0);
    on(1);
    turn();
    assert_int_equal(answers[0].error, WEFT_E_CLOSED);
    assert_int_equal(publish(name, "m1"), WEFT_E_CLOSED);
    assert_int_equal(hub_topic(&stage.hub, str_from(named_at(0, "v")), &t), WEFT_E_CLOSED);
    assert_non_null(c->line);
    pass_ms(MIRROR_ASK_MS + 1);
    turn();
    assert_int_equal(w.error, WEFT_E_CLOSED);
    unsubscribe(c, name);
    later(MIRROR_LINGER_MS);
    later(1);
    assert_null(topic_on(1, name));
}

static void end__of_a_mirror_s_loop_is_found_out(void **state)
{
    (void)state;
    const char *name = named_at(0, "t"), *silent = named_at(0, "silent");
    char silent_name[64];
    strcpy(silent_name, silent);
    name = named_at(0, "t");
    subscribe(guest_on(2), name);
    subscribe(guest_on(2), silent_name);
    settle();
    assert_int_equal(topic_on(0, name)->links->number, 2);
    fill_inbox(0);
    publish_on(0, name, "m1");
    end_stage(2); /* cannot tell the home */
    on(0);
    turn();
    assert_non_null(topic_on(0, name)->links);
    publish_on(0, name, "m2");
    assert_null(topic_on(0, name)->links);
    assert_non_null(topic_on(0, silent_name)->links);
    publish_on(0, silent_name, "m");
}

static void end__with_messages_under_way_loses_no_memory(void **state)
{
    (void)state;
    const char *name = named_at(0, "t");
    subscribe(guest_on(2), name);
    settle();
    lose_clients();
    publish_on(0, name, "m1");
    publish_on(1, named_at(2, "t"), "m2");
    ask_list(1);
    end_stage(2);
    settle();
    assert_int_equal(seen.error, WEFT_E_CLOSED);
}

static void end__that_owes_a_mirror_is_a_gap_on_it(void **state)
{
    (void)state;
    const char *name = named_at(0, "kept");
    client *c = guest_on(1);
    subscribe(c, name);
    settle();
    on(0);
    blob *body = blob_new(&stage.loop.blocks, WEFT_TEXT, (str){NULL, 0}, STR("m1"));
    mem_fail_from(2); /* the ring grows, and a note is not made */
    assert_int_equal(hub_publish(&stage.hub, str_from(name), body, 0, NULL), 0);
    mem_fail_from(0);
    assert_true(hub_owes(&stage.hub));
    mem_fail_from(0);
    end_stage(0); /* there is memory now */
    on(1);
    turn();
    assert_log(c->wire, "m1 ");
    assert_true(topic_on(1, name)->mirror->orphan);
}

static void end__without_room_is_a_gap(void **state)
{
    (void)state;
    const char *name = named_at(0, "kept");
    client *c = guest_on(1);
    subscribe(c, name);
    settle();
    fill_inbox_but(1, sizeof(refused_note));
    publish_on(0, name, "m1");
    end_stage(0);
    on(1);
    turn();
    assert_log(c->wire, "gap:1 ");
    assert_true(topic_on(1, name)->mirror->orphan);
}

/* Another application has taken the place. */
static void note__for_another_application_is_dropped(void **state)
{
    (void)state;
    const char *name = named_at(0, "t");
    subscribe(guest_on(2), name);
    settle();
    hub_links others = links;
    links.id++;
    publish_on(2, name, "m1"); /* named as the others' */
    links.id = others.id;
    settle();
    assert_int_equal(topic_on(0, name)->head, 0);
}

/* ---- memory ---- */

static void program(const char *name, const char *other)
{
    on(1);
    client *c = client_new(&usual_rules);
    if (c) {
        peer_open(&c->line->peer);
        subscribe(c, name);
        subscribe(c, other);
    }
    publish_on(2, name, "m1");
    publish_on(0, name, "m2");
    blob *body = blob_new(NULL, WEFT_TEXT, (str){NULL, 0}, STR("m3"));
    publication done;
    on(2);
    if (body)
        hub_publish_ask(&stage.hub, str_from(name), body, 0, &(publish_asker){.id = 77, .answer = take_answer}, &done);
    memset(&seen, 0, sizeof seen);
    hub_list_topics(&stage.hub, &(list_asker){.id = 5, .number = 6, .part = take_part});
    settle();
    publish_on(1, name, "m4");
    settle();
    if (c && c->line && !c->line->peer.leaving) {
        on(1);
        unsubscribe(c, name);
    }
    pass_all(MIRROR_LINGER_MS + 1);
}

static void mirror__survives_any_failed_allocation(void **state)
{
    (void)state;
    uint64_t n = 0, before;
    do {
        assert_int_equal(several_init(3), 0);
        configure_all("kept*", (weft_topic_options){.history_messages = 100});
        configure_all("there*", (weft_topic_options){.presence = 1});
        const char *name = named_at(0, "kept");
        char other[64];
        strcpy(other, named_at(0, "there"));
        name = named_at(0, "kept");
        before = mem_count();
        mem_fail_from(++n);
        program(name, other);
        mem_fail_from(0);
        before = mem_count() - before;
        settle();
        pass_all(MIRROR_ASK_MS);
        several_done();
    } while (n <= before);
    assert_true(n > 30);
}

#define MIRROR_TEST(f) cmocka_unit_test_setup_teardown(f, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        MIRROR_TEST(mirror__gets_what_is_published_on_every_loop),
        MIRROR_TEST(mirror__shares_the_bytes_of_a_message),
        MIRROR_TEST(pending__gets_what_this_loop_publishes_after_it),
        MIRROR_TEST(pending__gets_what_its_home_has_published_since),
        MIRROR_TEST(pending__twice_is_once),
        MIRROR_TEST(pending__ends_with_unsubscribe),
        MIRROR_TEST(pending__ends_with_its_peer),
        MIRROR_TEST(pending__counts_as_a_subscription),
        MIRROR_TEST(pending__tells_its_transport_where_it_begins),
        MIRROR_TEST(pending__tells_its_transport_that_it_ended),
        MIRROR_TEST(resume__on_another_loop_has_no_seam),
        MIRROR_TEST(resume__ahead_of_a_mirror_waits_for_it),
        MIRROR_TEST(resume__ahead_of_the_home_is_a_gap),
        MIRROR_TEST(resume__ahead_is_asked_for_anew),
        MIRROR_TEST(pending__keeps_its_first_since),
        MIRROR_TEST(pending__is_told_what_it_missed_before_it_began),
        MIRROR_TEST(kept__of_many_messages_comes_in_parts),
        MIRROR_TEST(except__is_left_out_on_its_loop),
        MIRROR_TEST(await__ends_when_the_mirror_is_ready),
        MIRROR_TEST(mirror__goes_when_nobody_has_wanted_it_for_a_while),
        MIRROR_TEST(home__stays_as_long_as_its_mirrors),
        MIRROR_TEST(mirror__of_before_is_not_taken_for_one_of_now),
        MIRROR_TEST(mirror__that_was_not_heard_asks_again),
        MIRROR_TEST(limit__of_topics_is_that_of_all_loops),
        MIRROR_TEST(full__home_takes_no_publication_and_no_attach),
        MIRROR_TEST(full__counts_what_messages_hold),
        MIRROR_TEST(behind__loses_nothing_that_the_ring_has),
        MIRROR_TEST(lost__is_told_as_a_gap),
        MIRROR_TEST(lost__closes_whoever_must_miss_nothing),
        MIRROR_TEST(lost__is_a_gap_for_polls),
        MIRROR_TEST(lost__for_want_of_memory_on_the_mirror_is_a_gap),
        MIRROR_TEST(lost__tells_nobody_who_has_no_room),
        MIRROR_TEST(lagging__on_a_mirror_reads_on_from_its_ring),
        MIRROR_TEST(end__of_a_home_is_told_to_its_mirrors),
        MIRROR_TEST(end__of_a_mirror_s_loop_is_found_out),
        MIRROR_TEST(end__with_messages_under_way_loses_no_memory),
        MIRROR_TEST(end__that_owes_a_mirror_is_a_gap_on_it),
        MIRROR_TEST(end__without_room_is_a_gap),
        MIRROR_TEST(note__for_another_application_is_dropped),
        cmocka_unit_test(mirror__survives_any_failed_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
