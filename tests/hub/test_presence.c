#include "hub/watched.h"

/* ---- names ---- */

static void presence__is_off_unless_asked_for(void **state)
{
    (void)state;
    client *a = named(NULL);
    uint64_t before = mem_count();
    assert_int_equal(subscribe(a, "quiet"), 0);
    uint64_t n = mem_count() - before;
    topic *t = topic_named("quiet");
    assert_null(t->presence);
    assert_null(a->line->peer.extra);
    assert_int_equal(presence_watch(t, &a->line->peer), 0);
    assert_int_equal(presence_list(t, list_name, NULL), 0);
    assert_false(presence_lingers(t));
    unsubscribe(a, "quiet");
    assert_false(presence_lingers(t));
    pass_leaves();
    assert_log(a->wire, "");
    assert_int_equal(mem_count() - before, n);
}

static void presence__lists_each_name_once(void **state)
{
    (void)state;
    joined("bob");
    client *ann = joined("ann");
    joined("ann");
    assert_string_equal(listed(), "ann bob ");
    assert_int_equal(presence_list(topic_named("t"), NULL, NULL), 2);
    unsubscribe(ann, "t");
    pass_leaves();
    assert_string_equal(listed(), "ann bob ");
}

static void presence__names_a_peer_that_has_none(void **state)
{
    (void)state;
    enum { N = 100 }; /* in so many names every character comes up */
    peer *peers[N];
    for (size_t i = 0; i < N; i++) {
        peers[i] = &joined(NULL)->line->peer;
        str name = peer_identity(peers[i]);
        assert_int_equal(name.len, 12);
        for (size_t at = 0; at < name.len; at++)
            assert_true((name.at[at] >= '0' && name.at[at] <= '9') || (name.at[at] >= 'a' && name.at[at] <= 'z') ||
                        (name.at[at] >= 'A' && name.at[at] <= 'Z') || name.at[at] == '-' || name.at[at] == '_');
        assert_true(str_same(peer_identity(peers[i]), name));
    }
    assert_int_equal(presence_list(topic_named("t"), NULL, NULL), N);
}

static void presence__takes_names_of_legal_text(void **state)
{
    (void)state;
    char longest[PRESENCE_NAME_BYTES + 1];
    memset(longest, 'x', sizeof longest);
    client *a = named(NULL);
    peer *p = &a->line->peer;
    const str bad[] = {
        STR(""), STR("a\nb"), STR("\x7f"), STR("\xff"), STR("a\0b"), STR("\xc2\x80"), {longest, sizeof longest}};
    for (size_t i = 0; i < N_OF(bad); i++)
        assert_int_equal(peer_identify(p, bad[i]), WEFT_E_INVALID);
    assert_true(!p->extra || !p->extra->identity);
    assert_int_equal(peer_identify(p, STR("ann")), 0);
    assert_int_equal(peer_identify(p, STR("")), WEFT_E_INVALID);
    assert_string_equal(p->extra->identity, "ann");
    assert_int_equal(peer_identify(p, (str){longest, PRESENCE_NAME_BYTES}), 0);
    assert_int_equal(strlen(p->extra->identity), PRESENCE_NAME_BYTES);
    assert_int_equal(peer_identify(p, STR("\xc3\xa4 nn")), 0);
    assert_int_equal(subscribe(a, "t"), 0);
    assert_string_equal(listed(), "\xc3\xa4 nn ");
}

/* Else one client could leave behind as many names as it likes. */
static void presence__a_listed_peer_keeps_its_name(void **state)
{
    (void)state;
    client *a = named("ann");
    assert_int_equal(subscribe(a, "quiet"), 0);
    assert_int_equal(peer_identify(&a->line->peer, STR("bob")), WEFT_E_INVALID);
    unsubscribe(a, "quiet");
    assert_int_equal(peer_identify(&a->line->peer, STR("bob")), 0);
    assert_int_equal(subscribe(a, "t"), 0);
    unsubscribe(a, "t");
    assert_int_equal(peer_identify(&a->line->peer, STR("cid")), WEFT_E_INVALID);
    assert_string_equal(listed(), "bob ");
}

static void subscribe_more(str name, void *user)
{
    size_t *n = user;
    (void)name;
    if ((*n)++ == 0)
        for (int i = 0; i < 50; i++)
            joined(NULL);
    else if (*n == 2)
        for (client *c = stage.clients; c; c = c->next)
            unsubscribe(c, "t");
}

static void presence__may_change_while_it_is_listed(void **state)
{
    (void)state;
    size_t n = 0;
    joined("ann");
    joined("bob");
    presence_list(topic_named("t"), subscribe_more, &n);
    assert_true(n >= 2);
    assert_int_equal(presence_list(topic_named("t"), NULL, NULL), 52);
}

/* ---- leaving ---- */

static void presence__a_name_stays_for_five_seconds(void **state)
{
    (void)state;
    client *a = joined("ann"), *b = joined("bob");
    joined("cid");
    unsubscribe(a, "t");
    pass(3000);
    hang_up(b, 1000, "");
    pass(PRESENCE_LEAVE_MS - 3000 - 1);
    assert_string_equal(listed(), "ann bob cid ");
    pass(1);
    assert_string_equal(listed(), "bob cid ");
    pass(3000 - 1);
    assert_string_equal(listed(), "bob cid ");
    pass(1);
    assert_string_equal(listed(), "cid ");
}

static void presence__who_comes_back_in_time_was_never_away(void **state)
{
    (void)state;
    client *w = watching("wat"), *a = joined("ann"), *b = joined("bob");
    turn();
    assert_log(w->wire, "3:all[ann bob wat] ");
    unsubscribe(a, "t");
    unsubscribe(b, "t");
    pass(PRESENCE_LEAVE_MS - 1);
    assert_int_equal(subscribe(a, "t"), 0);
    joined("bob"); /* another peer */
    pass_leaves();
    assert_string_equal(listed(), "ann bob wat ");
    assert_log(w->wire, "");
    unsubscribe(a, "t"); /* and again five seconds */
    pass(PRESENCE_LEAVE_MS - 1);
    assert_string_equal(listed(), "ann bob wat ");
    pass_leaves();
    assert_log(w->wire, "2:+[]-[ann] ");
}

/* The allocations that it took. */
static uint64_t come_and_go(client *c, const char *name)
{
    uint64_t before = mem_count();
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(subscribe(c, name), 0);
        unsubscribe(c, name);
        if (i % 10 == 0)
            pass(1);
    }
    return mem_count() - before;
}

static void presence__a_loop_of_subscribing_costs_nothing(void **state)
{
    (void)state;
    client *w = watching("wat"), *a = joined("ann");
    unsubscribe(a, "t");
    turn();
    assert_log(w->wire, "2:all[ann wat] ");
    assert_int_equal(subscribe(w, "quiet"), 0);
    assert_int_equal(come_and_go(a, "t"), come_and_go(a, "quiet"));
    assert_string_equal(listed(), "ann wat ");
    pass_leaves();
    assert_log(w->wire, "1:+[]-[ann] ");
}

static void presence__keeps_its_topic_until_the_last_leave(void **state)
{
    (void)state;
    client *a = joined("ann"), *b = joined("bob");
    topic *t = topic_named("t");
    unsubscribe(a, "t");
    pass(1000);
    unsubscribe(b, "t");
    assert_true(presence_lingers(t));
    pass(PRESENCE_LEAVE_MS - 1);
    assert_false(t->idling);
    assert_true(presence_lingers(t));
    pass(1);
    assert_false(presence_lingers(t));
    assert_null(t->presence);
    assert_true(t->idling);
    pass(TOPIC_LINGER_MS - 1);
    assert_non_null(topic_named("t"));
    pass(1000); /* the clock of a topic is a coarse one */
    assert_null(topic_named("t"));
}

/* The allocations that a name takes which joins, and leaves for good. */
static uint64_t join_for_a_while(client *c)
{
    uint64_t before = mem_count();
    assert_int_equal(subscribe(c, "t"), 0);
    uint64_t n = mem_count() - before;
    unsubscribe(c, "t");
    pass_leaves();
    return n;
}

static void presence__a_name_that_is_gone_is_forgotten(void **state)
{
    (void)state;
    client *a = named("ann"), *b = joined("bob");
    for (int i = 0; i < 3; i++)
        assert_int_equal(join_for_a_while(a), 2); /* the name and the peer's subscription */
    assert_int_equal(watch(b), 0);
    turn();
    assert_int_equal(join_for_a_while(a), 2);
    assert_int_equal(join_for_a_while(a), 2);
    assert_log(b->wire, "1:all[bob] 2:+[ann]-[] 1:+[]-[ann] 2:+[ann]-[] 1:+[]-[ann] ");
}

/* Its end finds a name that is to be told as gone, and changes that are to be told to nobody: nothing may be left of
 * them. */
static void presence__goes_with_its_hub(void **state)
{
    (void)state;
    client *all[] = {watching("wat"), joined("ann"), NULL};
    turn();
    unsubscribe(all[1], "t");
    pass(PRESENCE_LEAVE_MS);
    all[2] = joined("bob");
    for (size_t i = 0; i < N_OF(all); i++)
        cut(all[i]);
    turn();
    assert_true(presence_lingers(topic_named("t")));
    hub_done(&stage.hub);
    pass_leaves();
    assert_int_equal(hub_init(&stage.hub, &stage.net, &stage.table, NULL, &stage.first_rule), 0);
}

static void presence__a_hundred_thousand_come_and_go(void **state)
{
    (void)state;
    client *w = watching("wat");
    turn();
    assert_log(w->wire, "1:all[wat] ");
    crowd_joins(0, CROWD);
    assert_int_equal(presence_list(topic_named("t"), NULL, NULL), CROWD + 1);
    pass(PRESENCE_COUNT_MS);
    assert_log(w->wire, "100001: ");
    crowd_leaves(CROWD / 2, CROWD);
    crowd_leaves(0, CROWD / 2);
    assert_int_equal(presence_list(topic_named("t"), NULL, NULL), CROWD + 1);
    pass_leaves();
    assert_int_equal(presence_list(topic_named("t"), NULL, NULL), 1);
    assert_log(w->wire, "1:all[wat] ");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PRESENCE_TEST(presence__is_off_unless_asked_for),
        PRESENCE_TEST(presence__lists_each_name_once),
        PRESENCE_TEST(presence__names_a_peer_that_has_none),
        PRESENCE_TEST(presence__takes_names_of_legal_text),
        PRESENCE_TEST(presence__a_listed_peer_keeps_its_name),
        PRESENCE_TEST(presence__may_change_while_it_is_listed),
        PRESENCE_TEST(presence__a_name_stays_for_five_seconds),
        PRESENCE_TEST(presence__who_comes_back_in_time_was_never_away),
        PRESENCE_TEST(presence__a_loop_of_subscribing_costs_nothing),
        PRESENCE_TEST(presence__keeps_its_topic_until_the_last_leave),
        PRESENCE_TEST(presence__a_name_that_is_gone_is_forgotten),
        PRESENCE_TEST(presence__goes_with_its_hub),
        PRESENCE_TEST(presence__a_hundred_thousand_come_and_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
