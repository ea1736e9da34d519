#include "hub/scripted.h"
#include "hub/timers.h"

/* What fired, a letter each: the timer's user is its letter. */
static char fired[256];

static void note_fired(const char *letter)
{
    size_t len = strlen(fired);
    assert_true(len + 1 < sizeof fired);
    fired[len] = *letter;
    fired[len + 1] = '\0';
}

static void assert_fired(const char *expected)
{
    assert_string_equal(fired, expected);
    fired[0] = '\0';
}

static int start(void **state)
{
    fired[0] = '\0';
    return stage_start(state);
}

static void fire(weft *app, void *user)
{
    assert_ptr_equal(app, stage.hub.app);
    note_fired(user);
}

static void fire_for_peer(weft_peer handle, void *user)
{
    assert_non_null(client_of(handle));
    note_fired(user);
}

static weft_timer after(uint32_t ms, weft_timer_fn fn, const char *letter)
{
    return hub_timer_start(&stage.hub, NULL, &(timer_spec){.ms = ms, .fn = fn, .user = (void *)(uintptr_t)letter});
}

static weft_timer every(uint32_t ms, weft_timer_fn fn, const char *letter)
{
    timer_spec spec = {.ms = ms, .repeat = true, .fn = fn, .user = (void *)(uintptr_t)letter};
    return hub_timer_start(&stage.hub, NULL, &spec);
}

static weft_timer peer_after(client *c, uint32_t ms, weft_peer_timer_fn fn, const char *letter)
{
    timer_spec spec = {.ms = ms, .peer_fn = fn, .user = (void *)(uintptr_t)letter};
    return hub_timer_start(&stage.hub, &c->line->peer, &spec);
}

static int cancel(weft_timer handle)
{
    return hub_timer_cancel(&stage.hub, handle);
}

static void pass(uint64_t ms)
{
    pass_ms(ms);
    turn();
}

static void timer__fires_once_and_not_early(void **state)
{
    (void)state;
    weft_timer t = after(10 * 1000, fire, "a");
    assert_true(t.id);
    pass(9 * 1000);
    assert_fired("");
    pass(1001);
    assert_fired("a");
    assert_int_equal(cancel(t), WEFT_E_CLOSED);
    pass(60 * 1000);
    assert_fired("");
}

static void timer__of_no_time_fires_in_the_next_turn(void **state)
{
    (void)state;
    after(0, fire, "a");
    assert_fired("");
    turn();
    assert_fired("a");
}

static void timer__repeats(void **state)
{
    (void)state;
    weft_timer t = every(1000, fire, "a");
    for (int i = 0; i < 3; i++) {
        pass(1001);
        assert_fired("a");
        pass(500);
        assert_fired("");
        pass(501);
        assert_fired("a");
    }
    assert_int_equal(cancel(t), 0);
    pass(5000);
    assert_fired("");
    assert_int_equal(cancel(t), WEFT_E_CLOSED);
}

/* It must neither keep a turn from ending nor the loop from sleeping. */
static void timer__of_no_time_repeats_each_millisecond(void **state)
{
    (void)state;
    every(0, fire, "a");
    turn();
    assert_fired("a");
    turn();
    assert_fired("");
    pass(2);
    assert_fired("a");
}

static void timer__fires_in_order_of_time(void **state)
{
    (void)state;
    after(300, fire, "c");
    after(100, fire, "a");
    after(200, fire, "b");
    pass(1000);
    assert_fired("abc");
}

static void timer__cancelled_does_not_fire(void **state)
{
    (void)state;
    weft_timer a = after(100, fire, "a"), b = after(100, fire, "b");
    assert_int_equal(cancel(a), 0);
    assert_int_equal(cancel(a), WEFT_E_CLOSED);
    pass(1000);
    assert_fired("b");
    assert_int_equal(cancel(b), WEFT_E_CLOSED);
    assert_int_equal(cancel((weft_timer){0}), WEFT_E_CLOSED);
}

static void timer__stale_handle_means_no_other(void **state)
{
    (void)state;
    weft_timer old = after(0, fire, "a");
    turn();
    for (int i = 0; i < 100; i++) {
        weft_timer t = after(100, fire, "b");
        assert_true(t.id != old.id);
        assert_int_equal(cancel(old), WEFT_E_CLOSED);
        assert_int_equal(cancel(t), 0);
    }
    client *c = guest();
    assert_int_equal(cancel((weft_timer){c->handle.id}), WEFT_E_CLOSED);
}

static weft_timer chosen;
static int cancelled;

static void cancel_chosen(weft *app, void *user)
{
    fire(app, user);
    cancelled = cancel(chosen);
}

static void timer__may_be_cancelled_in_its_own_callback(void **state)
{
    (void)state;
    chosen = every(10, cancel_chosen, "a");
    pass(100);
    assert_int_equal(cancelled, 0);
    pass(100);
    assert_fired("a");
    chosen = after(10, cancel_chosen, "b"); /* is spent already */
    pass(100);
    assert_int_equal(cancelled, WEFT_E_CLOSED);
    assert_fired("b");
}

static void timer__may_cancel_one_that_is_due(void **state)
{
    (void)state;
    after(10, cancel_chosen, "a");
    chosen = after(20, fire, "b");
    pass(100);
    assert_fired("a");
    assert_int_equal(cancelled, 0);
}

static void start_another(weft *app, void *user)
{
    fire(app, user);
    after(0, fire, "b");
}

static void timer__may_start_another(void **state)
{
    (void)state;
    after(10, start_another, "a");
    pass(100);
    assert_fired("a");
    turn();
    assert_fired("b");
}

static void peer_timer__knows_its_peer(void **state)
{
    (void)state;
    client *c = guest();
    weft_timer t = peer_after(c, 10, fire_for_peer, "a");
    pass(100);
    assert_fired("a");
    assert_int_equal(cancel(t), WEFT_E_CLOSED);
    assert_null(c->line->peer.extra->timers);
}

static void peer_timer__goes_with_its_peer(void **state)
{
    (void)state;
    client *a = guest(), *b = guest();
    weft_timer first = peer_after(a, 100, fire_for_peer, "a"), second = peer_after(a, 0, fire_for_peer, "b");
    peer_after(b, 100, fire_for_peer, "c");
    after(100, fire, "d");
    hang_up(a, 1000, "");
    turn(); /* the second is due, but the peer is leaving */
    assert_null(a->line);
    assert_int_equal(cancel(first), WEFT_E_CLOSED);
    assert_int_equal(cancel(second), WEFT_E_CLOSED);
    pass(1000);
    assert_fired(strcmp(fired, "cd") == 0 ? "cd" : "dc");
}

static void close_peer(weft_peer handle, void *user)
{
    client *c = client_of(handle);
    fire_for_peer(handle, user);
    hang_up(c, 1000, "");
}

static void peer_timer__may_close_its_peer(void **state)
{
    (void)state;
    client *c = guest();
    peer_after(c, 10, close_peer, "a");
    peer_after(c, 20, fire_for_peer, "b");
    pass(100);
    assert_fired("a");
    assert_log(c->told, "close:1000: ");
}

static void peer_timer__can_be_cancelled_alone(void **state)
{
    (void)state;
    client *c = guest();
    weft_timer a = peer_after(c, 10, fire_for_peer, "a");
    peer_after(c, 10, fire_for_peer, "b");
    assert_int_equal(cancel(a), 0);
    pass(100);
    assert_fired("b");
}

static void timers__are_dropped_together(void **state)
{
    (void)state;
    client *c = guest();
    for (int i = 0; i < 1000; i++) {
        after(10, fire, "a");
        every(10, fire, "b");
        peer_after(c, 10, fire_for_peer, "c");
    }
    hub_timers_drop(&stage.hub);
    pass(100);
    assert_fired("");
    assert_int_equal(stage.loop.wheel.n_armed, 0);
}

static void timer__without_memory_is_none(void **state)
{
    (void)state;
    client *c = guest();
    stage.table.first_free = stage.table.last_free = SLOTS_MAX;
    while (stage.table.n < stage.table.cap) /* so that its handle needs memory, too */
        guest();
    static const uint64_t failing[] = {1, 2, 2}; /* what few peers have; the timer; its handle */
    for (size_t i = 0; i < N_OF(failing); i++) {
        mem_fail_from(failing[i]);
        assert_int_equal(peer_after(c, 10, fire_for_peer, "a").id, 0);
        mem_fail_from(0);
    }
    assert_null(c->line->peer.extra->timers);
    pass(100);
    assert_fired("");
    assert_true(peer_after(c, 10, fire_for_peer, "a").id);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, start, stage_stop)
    const struct CMUnitTest tests[] = {
        CASE(timer__fires_once_and_not_early),
        CASE(timer__of_no_time_fires_in_the_next_turn),
        CASE(timer__repeats),
        CASE(timer__of_no_time_repeats_each_millisecond),
        CASE(timer__fires_in_order_of_time),
        CASE(timer__cancelled_does_not_fire),
        CASE(timer__stale_handle_means_no_other),
        CASE(timer__may_be_cancelled_in_its_own_callback),
        CASE(timer__may_cancel_one_that_is_due),
        CASE(timer__may_start_another),
        CASE(peer_timer__knows_its_peer),
        CASE(peer_timer__goes_with_its_peer),
        CASE(peer_timer__may_close_its_peer),
        CASE(peer_timer__can_be_cancelled_alone),
        CASE(timers__are_dropped_together),
        CASE(timer__without_memory_is_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
