/* What watchers of a topic are told: src/hub/presence.c. */
#include "hub/watched.h"

/* ---- watching ---- */

static void presence__a_watcher_is_told_all_names_first(void **state)
{
    (void)state;
    joined("ann");
    client *b = joined("bob");
    pass(PRESENCE_TELL_MS);
    assert_int_equal(watch(b), 0);
    assert_log(b->wire, ""); /* so that the caller's own words come first */
    turn();
    assert_log(b->wire, "2:all[ann bob] ");
    pass_leaves();
    assert_log(b->wire, "");
}

static void presence__changes_are_gathered(void **state)
{
    (void)state;
    client *w = watching("wat");
    pass(0);
    assert_log(w->wire, "1:all[wat] ");
    pass(1000);
    client *a = joined("ann");
    pass(PRESENCE_TELL_MS / 2);
    joined("bob");
    pass(PRESENCE_TELL_MS / 2 - 1);
    assert_log(w->wire, "");
    pass(1);
    assert_log(w->wire, "3:+[ann bob]-[] ");
    unsubscribe(a, "t");
    pass(PRESENCE_LEAVE_MS);
    joined("cid");
    pass(PRESENCE_TELL_MS - 1);
    assert_log(w->wire, "");
    pass(1);
    assert_log(w->wire, "3:+[cid]-[ann] ");
}

/* New watchers are told at once, but nobody more often than every PRESENCE_TELL_MS. */
static void presence__notifications_keep_their_distance(void **state)
{
    (void)state;
    client *w = watching("wat");
    turn();
    assert_log(w->wire, "1:all[wat] ");
    pass(PRESENCE_TELL_MS / 2);
    client *a = watching("ann");
    pass(PRESENCE_TELL_MS / 2 - 1);
    assert_log(a->wire, "");
    assert_log(w->wire, "");
    pass(1);
    assert_log(a->wire, "2:all[ann wat] ");
    assert_log(w->wire, "2:+[ann]-[] ");
    pass(PRESENCE_TELL_MS);
    client *b = watching("bob");
    turn();
    assert_log(b->wire, "3:all[ann bob wat] ");
    assert_log(w->wire, "3:+[bob]-[] ");
    assert_log(a->wire, "3:+[bob]-[] ");
}

static void presence__a_new_watcher_is_no_news_to_the_others(void **state)
{
    (void)state;
    client *w = watching("wat"), *a = joined("ann");
    turn();
    assert_log(w->wire, "2:all[ann wat] ");
    pass(PRESENCE_TELL_MS);
    assert_int_equal(watch(a), 0);
    turn();
    assert_log(a->wire, "2:all[ann wat] ");
    assert_log(w->wire, "");
}

static void presence__watching_once_more_brings_all_again(void **state)
{
    (void)state;
    client *w = watching("wat"), *a = watching("ann");
    turn();
    assert_log(w->wire, "2:all[ann wat] ");
    assert_int_equal(watch(w), 0);
    assert_int_equal(watch(w), 0);
    pass(PRESENCE_TELL_MS);
    assert_log(w->wire, "2:all[ann wat] ");
    assert_log(a->wire, "2:all[ann wat] ");
    pass(PRESENCE_TELL_MS);
    assert_log(w->wire, "");
}

static void presence__watching_ends_with_the_subscription(void **state)
{
    (void)state;
    client *w = watching("wat"), *other = watching("other");
    turn();
    assert_log(w->wire, "2:all[other wat] ");
    joined("ann");
    unsubscribe(w, "t");
    assert_int_equal(subscribe(w, "t"), 0);
    pass_leaves();
    assert_log(w->wire, "");
    assert_log(other->wire, "2:all[other wat] 3:+[ann]-[] ");
}

/* What happened without witnesses is in the next one's list, and is no change. */
static void presence__goes_on_without_watchers(void **state)
{
    (void)state;
    client *w = watching("wat"), *a = joined("ann"), *b = joined("bob");
    turn();
    assert_log(w->wire, "3:all[ann bob wat] ");
    joined("cid");
    unsubscribe(a, "t");
    unsubscribe(b, "t");
    unsubscribe(w, "t"); /* cid is still to be told */
    joined("dan");
    pass(PRESENCE_LEAVE_MS);
    joined("ann");
    client *v = watching("vic");
    pass(PRESENCE_TELL_MS);
    assert_log(v->wire, "4:all[ann cid dan vic] ");
    assert_log(w->wire, "");
    joined("wat");
    pass(PRESENCE_TELL_MS);
    assert_log(v->wire, "5:+[wat]-[] ");
}

/* Gone for the watchers only when they were told: until then it may come back for nothing. */
static void presence__a_leave_that_is_taken_back_is_not_told(void **state)
{
    (void)state;
    client *w = watching("wat"), *a = joined("ann");
    turn();
    assert_log(w->wire, "2:all[ann wat] ");
    unsubscribe(a, "t");
    pass(PRESENCE_LEAVE_MS);
    assert_string_equal(listed(), "wat ");
    assert_int_equal(subscribe(a, "t"), 0);
    assert_string_equal(listed(), "ann wat ");
    pass(PRESENCE_TELL_MS);
    pass_leaves();
    assert_log(w->wire, "");
}

static void presence__who_cannot_be_told_watches_nothing(void **state)
{
    (void)state;
    static const peer_handler_ops nothing;
    static peer_handler mute = {&nothing};
    client *a = named("ann"), *b = named("bob"), *c = guest();
    b->line->peer.handler = &mute;
    client *all[] = {a, b, c};
    for (size_t i = 0; i < N_OF(all); i++)
        assert_int_equal(subscribe(all[i], "t"), 0);
    assert_int_equal(watch(a), 0);
    uint64_t before = mem_count();
    assert_int_equal(watch(b), 0);
    assert_int_equal(watch(c), 0);
    assert_int_equal(mem_count(), before);
    turn();
    assert_int_equal(a->n_wire, 1);
    assert_log(b->wire, "");
    assert_log(c->wire, "");
}

/* ---- above the limit ---- */

static void presence__large_crowds_are_only_counted(void **state)
{
    (void)state;
    client *w = watching("wat");
    crowd_joins(0, PRESENCE_MAX_LISTED - 1);
    turn();
    assert_log(w->wire, "1000:all[#1000] ");
    pass(PRESENCE_COUNT_MS);
    crowd_joins(PRESENCE_MAX_LISTED - 1, PRESENCE_MAX_LISTED + 1);
    pass(PRESENCE_TELL_MS);
    assert_log(w->wire, "1002: ");
    crowd_leaves(0, 2);
    pass(PRESENCE_LEAVE_MS);
    pass(PRESENCE_TELL_MS);
    assert_log(w->wire, "1000:all[#1000] "); /* it had no list to change */
    crowd_leaves(2, 4);
    pass(PRESENCE_LEAVE_MS);
    pass(PRESENCE_TELL_MS);
    assert_log(w->wire, "998:+[]-[2 3] ");
    listing l = {0};
    crowd_joins(PRESENCE_MAX_LISTED + 1, PRESENCE_MAX_LISTED + 10);
    assert_int_equal(presence_list(topic_named("t"), list_name, &l), 1007);
    assert_int_equal(l.n, PRESENCE_MAX_LISTED);
    crowd_leaves(4, PRESENCE_MAX_LISTED + 10);
    pass_leaves();
}

static void presence__counts_come_once_a_second(void **state)
{
    (void)state;
    client *w = watching("wat");
    crowd_joins(0, PRESENCE_MAX_LISTED);
    turn();
    assert_log(w->wire, "1001: ");
    for (size_t i = 0; i < 9; i++) {
        crowd_joins(PRESENCE_MAX_LISTED + i, PRESENCE_MAX_LISTED + i + 1);
        pass(PRESENCE_TELL_MS);
    }
    client *v = watching("vic");
    pass(PRESENCE_TELL_MS - 1);
    assert_log(w->wire, "");
    assert_log(v->wire, "");
    pass(1);
    assert_log(w->wire, "1011: ");
    assert_log(v->wire, "1011: ");
    assert_int_equal(watch(joined("vic")), 0);
    pass(PRESENCE_COUNT_MS);
    assert_log(v->wire, ""); /* another watcher changes nothing */
    crowd_leaves(0, PRESENCE_MAX_LISTED + 9);
    pass_leaves();
}

/* ---- slow watchers ---- */

static void presence__who_has_no_room_gets_all_names_later(void **state)
{
    (void)state;
    client *w = watching("wat"), *slow = watching("slow");
    turn();
    assert_log(slow->wire, "2:all[slow wat] ");
    assert_int_equal(say_long(slow, "full", DEFAULT_LIMIT), WEFT_QUEUED);
    client *a = joined("ann");
    pass(PRESENCE_TELL_MS);
    assert_log(w->wire, "2:all[slow wat] 3:+[ann]-[] ");
    unsubscribe(a, "t");
    joined("bob");
    pass_leaves();
    assert_log(w->wire, "4:+[bob]-[] 3:+[]-[ann] ");
    assert_log(slow->wire, "full ");
    drain(slow, DEFAULT_LIMIT);
    pass(PRESENCE_TELL_MS); /* though nothing else happens */
    assert_log(slow->wire, "3:all[bob slow wat] ");
    assert_log(w->wire, "");
    joined("cid");
    pass(PRESENCE_TELL_MS);
    assert_log(slow->wire, "4:+[cid]-[] ");
    assert_log(w->wire, "4:+[cid]-[] ");
}

static void presence__who_missed_a_change_cannot_use_the_next(void **state)
{
    (void)state;
    client *w = watching("wat"), *slow = watching("slow");
    turn();
    assert_int_equal(say_long(slow, "full", DEFAULT_LIMIT), WEFT_QUEUED);
    joined("ann");
    pass(PRESENCE_TELL_MS);
    assert_log(slow->wire, "2:all[slow wat] full ");
    drain(slow, DEFAULT_LIMIT);
    joined("bob");
    pass(PRESENCE_TELL_MS);
    assert_log(slow->wire, "4:all[ann bob slow wat] ");
    assert_log(w->wire, "2:all[slow wat] 3:+[ann]-[] 4:+[bob]-[] ");
}

/* Room there is in the queue, but what was published comes first, and more than this is not queued of it. */
static void presence__who_lags_is_passed_over(void **state)
{
    (void)state;
    const peer_rules rules = {.max_queued_bytes = 3 * PEER_LAG_BYTES};
    client *w = client_new(&rules);
    assert_non_null(w);
    w->line->peer.handler = &watching_handler;
    assert_int_equal(peer_identify(&w->line->peer, STR("wat")), 0);
    assert_int_equal(subscribe(w, "t"), 0);
    assert_int_equal(watch(w), 0);
    turn();
    assert_log(w->wire, "1:all[wat] ");
    publish_long("t", "m1", 3 * PEER_LAG_BYTES);
    publish("t", "m2");
    drain(w, PEER_LAG_BYTES);
    assert_int_equal(w->line->peer.n_lagging, 1);
    joined("ann");
    pass(PRESENCE_TELL_MS);
    assert_log(w->wire, "m1 ");
    drain_whole(w);
    pass(PRESENCE_TELL_MS);
    assert_log(w->wire, "m2 2:all[ann wat] ");
    cut(w);
    turn(); /* while its rules are there */
}

/* ---- without memory ---- */

static void presence__a_watcher_without_memory_is_cut_alone(void **state)
{
    (void)state;
    client *all[5];
    char name[2] = "a";
    for (size_t i = 0; i < N_OF(all); i++, name[0]++)
        all[i] = watching(name);
    turn();
    for (size_t i = 0; i < N_OF(all); i++)
        assert_log(all[i]->wire, "5:all[a b c d e] ");
    all[0]->fail_in = all[2]->fail_in = all[4]->fail_in = 1;
    joined("x");
    pass(PRESENCE_TELL_MS);
    for (size_t i = 0; i < N_OF(all); i++)
        assert_log(all[i]->wire, i % 2 ? "6:+[x]-[] " : "abort ");
    pass_leaves();
    assert_log(all[1]->wire, "3:+[]-[a c e] ");
    assert_log(all[3]->wire, "3:+[]-[a c e] ");
}

static void cut_all(client *c, str data)
{
    (void)data;
    for (client *other = stage.clients; other; other = other->next)
        if (other != c && other->line && !other->line->peer.leaving)
            cut(other);
}

static void presence__watchers_may_leave_while_they_are_told(void **state)
{
    (void)state;
    client *all[4];
    char name[2] = "a";
    for (size_t i = 0; i < N_OF(all); i++, name[0]++) {
        all[i] = watching(name);
        all[i]->heard = cut_all;
    }
    turn();
    size_t n = 0;
    for (size_t i = 0; i < N_OF(all); i++)
        n += all[i]->n_wire;
    assert_int_equal(n, 1);
}

/* The list of names takes memory that is nobody's in particular. */
static void presence__names_wait_for_memory(void **state)
{
    (void)state;
    client *w = watching("wat"), *a = joined("ann");
    mem_fail_from(1);
    turn();
    mem_fail_from(0);
    assert_log(w->wire, "");
    pass(PRESENCE_TELL_MS);
    assert_log(w->wire, "2:all[ann wat] ");
    unsubscribe(a, "t");
    pass(PRESENCE_LEAVE_MS);
    mem_fail_from(1);
    pass(PRESENCE_TELL_MS);
    mem_fail_from(0);
    assert_log(w->wire, "");
    pass(PRESENCE_TELL_MS);
    assert_log(w->wire, "1:all[wat] ");
    joined("bob");
    mem_fail_from(2); /* the changes find memory; a list that nobody needs would not */
    pass(PRESENCE_TELL_MS);
    mem_fail_from(0);
    assert_log(w->wire, "2:+[bob]-[] ");
}

/* Somebody comes, is told, and goes; 0 when there was memory for all of it. */
static client *visitor;

static int visit(void)
{
    client *c = visitor;
    c->line->peer.listed = false; /* a fresh one each time */
    int error = peer_identify(&c->line->peer, STR("a name that takes memory"));
    if (!error)
        error = subscribe(c, "t");
    if (!error)
        error = watch(c);
    pass(PRESENCE_TELL_MS);
    if (!error && !*c->wire)
        error = -ENOMEM;
    unsubscribe(c, "t");
    mem_fail_from(0);
    pass_leaves();
    assert_true(!topic_named("t") || !topic_named("t")->presence);
    pass(2 * TOPIC_LINGER_MS);
    assert_null(topic_named("t"));
    if (c->line->peer.extra)
        mem_free(c->line->peer.extra->identity);
    mem_free(c->line->peer.extra);
    c->line->peer.extra = NULL;
    c->wire[0] = '\0';
    hub_unsubscribe_all(&stage.hub, &c->line->peer);
    return error;
}

static void presence__failed_allocations_leave_nothing(void **state)
{
    (void)state;
    visitor = named(NULL);
    check_failing_allocations(visit);
    assert_int_equal(visit(), 0);
}

static int join_nameless(void)
{
    int error = subscribe(visitor, "t");
    unsubscribe(visitor, "t");
    return error;
}

static void presence__who_gets_no_name_does_not_subscribe(void **state)
{
    (void)state;
    visitor = named(NULL);
    joined("ann");
    check_failing_allocations(join_nameless);
    assert_non_null(visitor->line->peer.extra->identity);
}

/* ---- slices ---- */

enum { N_WATCHERS = 50, TELL_NS = 100 * 1000, FIRST_SLICE = PRESENCE_SLICE_US * 1000 / TELL_NS };

static client *watchers[N_WATCHERS];

static size_t n_told(void)
{
    size_t n = 0;
    for (size_t i = 0; i < N_WATCHERS; i++)
        n += watchers[i]->n_wire;
    return n;
}

/* All of them watch, and telling "x" has come as far as the first slice. */
static void begin_slices(void)
{
    for (size_t i = 0; i < N_WATCHERS; i++)
        watchers[i] = watching(NULL);
    turn();
    assert_int_equal(n_told(), N_WATCHERS);
    for (size_t i = 0; i < N_WATCHERS; i++) {
        assert_log(watchers[i]->wire, "50:all[#50] ");
        watchers[i]->n_wire = 0;
    }
    joined("x");
    pass(PRESENCE_TELL_MS - 1);
    stage.burn_ns = TELL_NS;
    pass(1);
    assert_int_equal(n_told(), FIRST_SLICE);
}

static void presence__a_large_round_runs_in_slices(void **state)
{
    (void)state;
    begin_slices();
    turn();
    assert_int_equal(n_told(), 2 * FIRST_SLICE);
    turn();
    assert_int_equal(n_told(), N_WATCHERS);
    pass_leaves();
    for (size_t i = 0; i < N_WATCHERS; i++)
        assert_log(watchers[i]->wire, "51:+[x]-[] ");
}

/* Each round tells one state: what happens while it is under way is for the next. */
static void presence__changes_between_slices_are_told_next(void **state)
{
    (void)state;
    begin_slices();
    client *late = watching("y");
    turn();
    stage.burn_ns = 0;
    turn();
    assert_log(late->wire, "");
    for (size_t i = 0; i < N_WATCHERS; i++)
        assert_log(watchers[i]->wire, "51:+[x]-[] ");
    pass(PRESENCE_TELL_MS);
    assert_log(late->wire, "52:all[#52] ");
    for (size_t i = 0; i < N_WATCHERS; i++)
        assert_log(watchers[i]->wire, "52:+[y]-[] ");
}

/* A new watcher that the round reaches last is told the state that the others are changed to. */
static void presence__whole_lists_are_of_the_same_state(void **state)
{
    (void)state;
    begin_slices();
    turn();
    turn();
    pass(PRESENCE_TELL_MS);
    client *late = watching("y");
    turn(); /* the first slice of "y has come" */
    joined("z");
    turn();
    stage.burn_ns = 0;
    turn();
    assert_log(late->wire, "52:all[#52] ");
    pass(PRESENCE_TELL_MS);
    assert_log(late->wire, "53:+[z]-[] ");
    for (size_t i = 0; i < N_WATCHERS; i++)
        assert_log(watchers[i]->wire, "51:+[x]-[] 52:+[y]-[] 53:+[z]-[] ");
}

/* A name that this round calls gone comes back, and goes again, while the round is under way. */
static void presence__a_name_lives_as_long_as_its_round(void **state)
{
    (void)state;
    begin_slices();
    stage.burn_ns = 0;
    turn();
    client *a = joined("ann");
    pass(PRESENCE_TELL_MS);
    unsubscribe(a, "t");
    pass(PRESENCE_LEAVE_MS);
    pass(PRESENCE_TELL_MS - 1);
    for (size_t i = 0; i < N_WATCHERS; i++)
        assert_log(watchers[i]->wire, "51:+[x]-[] 52:+[ann]-[] ");
    stage.burn_ns = TELL_NS;
    pass(1); /* the first slice of "ann has left" */
    assert_int_equal(subscribe(a, "t"), 0);
    unsubscribe(a, "t");
    stage.burn_ns = PRESENCE_LEAVE_MS * UINT64_C(1000000); /* the next watcher takes for ever, and ann is gone */
    turn();
    stage.burn_ns = 0;
    turn();
    pass_leaves();
    for (size_t i = 0; i < N_WATCHERS; i++) {
        const char *log = watchers[i]->wire;
        assert_true(strncmp(log, "51:+[]-[ann] ", 13) == 0);
        watchers[i]->wire[0] = '\0';
    }
    assert_int_equal(presence_list(topic_named("t"), NULL, NULL), N_WATCHERS + 1);
}

static void presence__everybody_may_leave_between_slices(void **state)
{
    (void)state;
    begin_slices();
    for (size_t i = 0; i < N_WATCHERS; i++)
        cut(watchers[i]);
    client *late = watching("late");
    stage.burn_ns = 0;
    turn();
    pass(PRESENCE_TELL_MS);
    assert_log(late->wire, "52:all[#52] ");
    pass_leaves();
    assert_log(late->wire, "2:+[]-[#50] ");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PRESENCE_TEST(presence__a_watcher_is_told_all_names_first),
        PRESENCE_TEST(presence__changes_are_gathered),
        PRESENCE_TEST(presence__notifications_keep_their_distance),
        PRESENCE_TEST(presence__a_new_watcher_is_no_news_to_the_others),
        PRESENCE_TEST(presence__watching_once_more_brings_all_again),
        PRESENCE_TEST(presence__watching_ends_with_the_subscription),
        PRESENCE_TEST(presence__goes_on_without_watchers),
        PRESENCE_TEST(presence__a_leave_that_is_taken_back_is_not_told),
        PRESENCE_TEST(presence__who_cannot_be_told_watches_nothing),
        PRESENCE_TEST(presence__large_crowds_are_only_counted),
        PRESENCE_TEST(presence__counts_come_once_a_second),
        PRESENCE_TEST(presence__who_has_no_room_gets_all_names_later),
        PRESENCE_TEST(presence__who_missed_a_change_cannot_use_the_next),
        PRESENCE_TEST(presence__who_lags_is_passed_over),
        PRESENCE_TEST(presence__a_watcher_without_memory_is_cut_alone),
        PRESENCE_TEST(presence__watchers_may_leave_while_they_are_told),
        PRESENCE_TEST(presence__names_wait_for_memory),
        PRESENCE_TEST(presence__failed_allocations_leave_nothing),
        PRESENCE_TEST(presence__who_gets_no_name_does_not_subscribe),
        PRESENCE_TEST(presence__a_large_round_runs_in_slices),
        PRESENCE_TEST(presence__changes_between_slices_are_told_next),
        PRESENCE_TEST(presence__whole_lists_are_of_the_same_state),
        PRESENCE_TEST(presence__a_name_lives_as_long_as_its_round),
        PRESENCE_TEST(presence__everybody_may_leave_between_slices),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
