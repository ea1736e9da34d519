#include "hub/several.h"
#include <errno.h>
#include <unistd.h>

static int start(void **state)
{
    (void)state;
    int error = several_init(3);
    if (!error)
        configure_all("kept*", (weft_topic_options){.history_messages = 100});
    return error;
}

static int stop(void **state)
{
    (void)state;
    several_done();
    return 0;
}

/* ---- publications ---- */

static void ask__tells_the_place_and_all_subscribers(void **state)
{
    (void)state;
    const char *name = named_at(0, "t");
    publication done;
    for (unsigned i = 0; i < 3; i++)
        subscribe(guest_on(i), name);
    subscribe(guest_on(2), name);
    settle();
    assert_int_equal(ask_publish(0, name, 0, &done), 0);
    assert_int_equal(done.n_subscribers, 4);
    assert_int_equal(done.at.number, 1);
    assert_int_equal(ask_publish(1, name, 1, &done), HUB_PENDING);
    turn_on(0);
    turn_on(1);
    assert_int_equal(answers[1].calls, 1);
    assert_int_equal(answers[1].error, 0);
    assert_int_equal(answers[1].done.at.number, 2);
    assert_true(answers[1].done.at.epoch == topic_on(0, name)->epoch);
    assert_int_equal(answers[1].done.n_subscribers, 4);
    settle();
    assert_int_equal(answers[1].calls, 1);
}

/* How often the loop was woken since it last looked. It still is. */
static uint64_t n_wakes(unsigned i)
{
    uint64_t count = 0;
    int fd = inbox_fd(links.boxes[i]);
    if (read(fd, &count, sizeof count) < 0)
        assert_int_equal(errno, EAGAIN);
    else
        assert_int_equal(write(fd, &count, sizeof count), sizeof count);
    return count;
}

/* To the topic's home, and from there to a mirror: one write of an eventfd, however much is published before the other loop looks. */
static void publication__wakes_another_loop_only_when_its_inbox_was_empty(void **state)
{
    (void)state;
    const char *name = named_at(0, "t");
    subscribe(guest_on(1), name);
    settle();
    for (int round = 0; round < 3; round++) {
        assert_int_equal(n_wakes(1), 0);
        for (int k = 0; k < 20; k++) {
            publish_on(0, name, "a");
            if (k % 5 == 4)
                turn_on(0);
        }
        assert_int_equal(n_wakes(1), 1);
        settle();
        assert_int_equal(n_wakes(0), 0);
        for (int k = 0; k < 20; k++) {
            publish_on(2, name, "b");
            if (k % 5 == 4)
                turn_on(2);
        }
        assert_int_equal(n_wakes(0), 1);
        settle();
    }
}

static void never(waiter *w)
{
    (void)w;
    fail();
}

static void ask__counts_polls_of_other_loops(void **state)
{
    (void)state;
    const char *name = named_at(0, "t");
    publication done;
    client *c = guest_on(2);
    subscribe(c, name);
    settle();
    waiter w = {.next = topic_on(2, name)->head, .wake = never};
    topic_wait(topic_on(2, name), &w);
    settle();
    assert_int_equal(topic_on(0, name)->links->n_subscribers, 2);
    topic_stop_waiting(&w);
    settle();
    assert_int_equal(ask_publish(0, name, 0, &done), 0);
    assert_int_equal(done.n_subscribers, 1);
    on(2);
    unsubscribe(c, name);
    settle();
    assert_int_equal(ask_publish(0, name, 0, &done), 0);
    assert_int_equal(done.n_subscribers, 0);
}

static void ask__is_told_what_went_wrong(void **state)
{
    (void)state;
    publication done;
    for (unsigned i = 0; i < 3; i++)
        stages[i].hub.max_topics = 0;
    assert_int_equal(ask_publish(1, named_at(0, "t"), 0, &done), HUB_PENDING);
    settle();
    assert_int_equal(answers[0].error, WEFT_E_TOO_LARGE);
    assert_string_equal(answers[0].limit, "max_topics");
    fill_inbox(0);
    assert_int_equal(ask_publish(1, named_at(0, "t"), 0, &done), WEFT_E_FULL);
    assert_int_equal(stages[0].hub.counts.n_refused, 1);
}

static void ask__waits_for_room_for_the_answer(void **state)
{
    (void)state;
    const char *name = named_at(0, "kept");
    publication done;
    for (uint64_t i = 0; i < 3; i++)
        assert_int_equal(ask_publish(1, name, i, &done), HUB_PENDING);
    fill_inbox(1);
    turn_on(0);
    assert_true(hub_owes(&stages[0].hub));
    on(1);
    turn();
    assert_int_equal(answers[0].calls, 0);
    pass_all(REACH_RETRY_MS + 1);
    for (uint64_t i = 0; i < 3; i++)
        assert_int_equal(answers[i].done.at.number, i + 1);
    assert_false(hub_owes(&stages[0].hub));
}

/* ---- lists ---- */

static void list__gathers_from_all_loops(void **state)
{
    (void)state;
    for (int i = 0; i < 3000; i++) {
        char name[32];
        topic *t;
        snprintf(name, sizeof name, "t%d", i);
        on(hub_links_home(&links, str_from(name)));
        assert_int_equal(hub_topic(&stage.hub, str_from(name), &t), 0);
    }
    subscribe(guest_on(1), named_at(0, "kept"));
    subscribe(guest_on(0), named_at(0, "kept"));
    settle();
    publish_on(1, named_at(0, "kept"), "m1");
    settle();
    ask_list(1);
    assert_int_equal(seen.last, 0);
    settle();
    assert_int_equal(seen.last, 1);
    assert_int_equal(seen.n, 3001);
    assert_int_equal(seen.messages, 1);
    assert_int_equal(seen.subscribers, 2);
    assert_int_equal(seen.error, 0);
}

/* The last note of a list is small, and would find room where its other parts find none. */
static void list__stays_in_order_without_room(void **state)
{
    (void)state;
    topic *t;
    on(1);
    for (int i = 0; i < 50; i++) {
        char name[32];
        snprintf(name, sizeof name, "t%d", i);
        if (!hub_is_away(&stage.hub, str_from(name)))
            assert_int_equal(hub_topic(&stage.hub, str_from(name), &t), 0);
    }
    size_t n = stage.hub.topics.n_entries;
    ask_list(0);
    fill_inbox_but(0, 500);
    turn_on(1);
    settle();
    pass_all(REACH_RETRY_MS + 1);
    assert_int_equal(seen.last, 1);
    assert_int_equal(seen.n, n);
}

static void list__says_that_some_are_missing(void **state)
{
    (void)state;
    topic *t;
    on(1);
    hub_topic(&stage.hub, str_from(named_at(1, "t")), &t);
    on(0);
    hub_topic(&stage.hub, str_from(named_at(0, "t")), &t);
    fill_inbox(2);
    ask_list(0);
    settle();
    assert_int_equal(seen.last, 1);
    assert_int_equal(seen.n, 2);
    assert_int_equal(seen.error, WEFT_E_FULL);
    ask_list(0);
    mem_fail_from(1);
    turn_on(1);
    mem_fail_from(0);
    settle();
    assert_int_equal(seen.error, -ENOMEM);
    assert_int_equal(seen.n, 1);
}

/* ---- one loop ---- */

static void alone__takes_what_other_threads_publish(void **state)
{
    (void)state;
    assert_int_equal(several_init(1), 0);
    client *c = guest_on(0);
    assert_null(stage.hub.reach);
    subscribe(c, "t");
    blob *body = blob_new(NULL, WEFT_TEXT, (str){NULL, 0}, STR("m1"));
    assert_int_equal(hub_links_publish(&links, NULL, STR("t"), body, 0), 0);
    assert_log(c->wire, "");
    turn();
    assert_log(c->wire, "m1 ");
    several_done();
}

#define ASK_TEST(f) cmocka_unit_test_setup_teardown(f, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(alone__takes_what_other_threads_publish),
        ASK_TEST(ask__tells_the_place_and_all_subscribers),
        ASK_TEST(publication__wakes_another_loop_only_when_its_inbox_was_empty),
        ASK_TEST(ask__counts_polls_of_other_loops),
        ASK_TEST(ask__is_told_what_went_wrong),
        ASK_TEST(ask__waits_for_room_for_the_answer),
        ASK_TEST(list__gathers_from_all_loops),
        ASK_TEST(list__stays_in_order_without_room),
        ASK_TEST(list__says_that_some_are_missing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
