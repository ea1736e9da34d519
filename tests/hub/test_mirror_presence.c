/**
 * Who is there, over several loops. Beside the files that it is about: presence.c, presence_watch.c, presence_loops.c.
 */
#include "hub/several.h"

enum { ROUND_MS = 250, MANY = 1500 };

static const char *watched;

/* ---- what watchers are told ---- */

static int by_name(const void *a, const void *b)
{
    const str *one = a, *other = b;
    size_t len = one->len < other->len ? one->len : other->len;
    int order = memcmp(one->at, other->at, len);
    return order ? order : (one->len > other->len) - (one->len < other->len);
}

static void put_names(char *log, const str *names, size_t n)
{
    str sorted[8];
    if (n > 8) {
        put_down(log, "#%zu", n);
        return;
    }
    if (n)
        memcpy(sorted, names, n * sizeof *names);
    qsort(sorted, n, sizeof *sorted, by_name);
    for (size_t i = 0; i < n; i++)
        put_down(log, i ? " %.*s" : "%.*s", (int)sorted[i].len, sorted[i].at);
}

static int heard(peer *p, topic *t, const presence_change *change)
{
    client *c = scripted_of(p)->client;
    (void)t;
    put_down(c->wire, "%zu:", change->count);
    put_down(c->wire, change->whole ? "all[" : "+[");
    put_names(c->wire, change->joined, change->n_joined);
    put_down(c->wire, change->whole ? "] " : "]-[");
    if (change->whole)
        return 0;
    put_names(c->wire, change->left, change->n_left);
    put_down(c->wire, "] ");
    return 0;
}

static const peer_handler_ops watching_ops = {.presence = heard};
static peer_handler watching_handler = {&watching_ops};

/* ---- those who come and go ---- */

static client *joined(unsigned i, const char *name)
{
    client *c = guest_on(i);
    c->line->peer.handler = &watching_handler;
    c->swallows = true;
    assert_int_equal(peer_identify(&c->line->peer, str_from(name)), 0);
    assert_int_equal(subscribe(c, watched), 0);
    settle();
    return c;
}

static client *watching(unsigned i, const char *name)
{
    client *c = joined(i, name);
    assert_int_equal(presence_watch(topic_on(i, watched), &c->line->peer), 0);
    return c;
}

static void leave(unsigned i, client *c)
{
    on(i);
    unsubscribe(c, watched);
    settle();
}

/* A round on the home, and one on its mirrors. */
static void pass_rounds(void)
{
    for (int i = 0; i < 3; i++)
        pass_all(ROUND_MS / 2);
}

typedef struct {
    str names[PRESENCE_MAX_LISTED];
    size_t n;
} listing;

static void list_name(str name, void *user)
{
    listing *l = user;
    l->names[l->n++] = name;
}

static const char *listed(unsigned i)
{
    static char text[LOG_BYTES];
    static listing l;
    l.n = 0;
    text[0] = '\0';
    size_t n = presence_list(topic_on(i, watched), list_name, &l);
    assert_int_equal(n, l.n);
    put_names(text, l.names, l.n);
    return text;
}

static int start(void **state)
{
    (void)state;
    int error = several_init(3);
    if (error)
        return error;
    configure_all("there*", (weft_topic_options){.presence = 1});
    watched = named_at(0, "there");
    return 0;
}

static int stop(void **state)
{
    (void)state;
    several_done();
    return 0;
}

static void presence__is_that_of_all_loops(void **state)
{
    (void)state;
    joined(0, "ann");
    joined(1, "bob");
    joined(2, "cid");
    joined(2, "ann");
    assert_string_equal(listed(0), "ann bob cid");
    pass_rounds();
    for (unsigned i = 0; i < 3; i++)
        assert_string_equal(listed(i), "ann bob cid");
}

static void presence__shows_its_own_at_once(void **state)
{
    (void)state;
    joined(1, "bob");
    assert_string_equal(listed(1), "bob");
}

static void presence__ends_with_the_last_on_any_loop(void **state)
{
    (void)state;
    client *a = joined(1, "ann"), *b = joined(2, "ann");
    joined(0, "bob");
    joined(1, "cid");
    pass_rounds();
    leave(1, a);
    pass_all(PRESENCE_LEAVE_MS);
    pass_rounds();
    assert_string_equal(listed(1), "ann bob cid");
    leave(2, b);
    pass_all(PRESENCE_LEAVE_MS - 1);
    assert_string_equal(listed(0), "ann bob cid");
    pass_rounds();
    assert_string_equal(listed(0), "bob cid");
    assert_string_equal(listed(1), "bob cid");
}

static void presence__of_one_that_moves_is_not_interrupted(void **state)
{
    (void)state;
    client *w = watching(1, "wil"), *a = joined(1, "ann");
    pass_rounds();
    w->wire[0] = '\0';
    leave(1, a);
    pass_all(PRESENCE_LEAVE_MS - 1000);
    joined(2, "ann");
    pass_all(PRESENCE_LEAVE_MS * 2);
    pass_rounds();
    assert_log(w->wire, "");
    assert_string_equal(listed(1), "ann wil");
}

static void presence__is_told_on_every_loop(void **state)
{
    (void)state;
    client *w0 = watching(0, "w0"), *w1 = watching(1, "w1");
    pass_rounds();
    pass_rounds();
    w0->wire[0] = w1->wire[0] = '\0';
    client *a = joined(2, "ann");
    pass_rounds();
    pass_rounds();
    assert_log(w0->wire, "3:+[ann]-[] ");
    assert_log(w1->wire, "3:+[ann]-[] ");
    leave(2, a);
    pass_all(PRESENCE_LEAVE_MS);
    pass_rounds();
    pass_rounds();
    assert_log(w0->wire, "2:+[]-[ann] ");
    assert_log(w1->wire, "2:+[]-[ann] ");
}

static void presence__of_an_ended_loop_leaves(void **state)
{
    (void)state;
    joined(0, "ann");
    joined(1, "bob");
    joined(2, "cid");
    joined(2, "bob");
    pass_rounds();
    end_stage(2);
    settle();
    pass_all(PRESENCE_LEAVE_MS);
    pass_rounds();
    assert_string_equal(listed(0), "ann bob");
    assert_string_equal(listed(1), "ann bob");
}

/* Its names could not be told as the home had no room for the note. */
static void presence__waits_for_room(void **state)
{
    (void)state;
    joined(0, "ann");
    client *b = joined(1, "bob");
    pass_rounds();
    fill_inbox(0);
    on(1);
    client *c = guest();
    assert_int_equal(peer_identify(&c->line->peer, STR("cid")), 0);
    subscribe(c, watched);
    unsubscribe(b, watched);
    turn_on(1);
    assert_true(hub_owes(&stages[1].hub));
    turn_on(0);
    assert_string_equal(listed(0), "ann bob");
    pass_all(REACH_RETRY_MS + 1);
    assert_false(hub_owes(&stages[1].hub));
    pass_all(PRESENCE_LEAVE_MS);
    assert_string_equal(listed(0), "ann cid");
    fill_inbox(1);
    joined(2, "dan");
    pass_rounds();
    pass_rounds();
    assert_string_equal(listed(1), "ann cid dan");
}

static void presence__that_found_no_memory_is_told_again(void **state)
{
    (void)state;
    joined(0, "ann");
    joined(1, "bob");
    pass_rounds();
    on(2);
    client *c = guest();
    assert_int_equal(peer_identify(&c->line->peer, STR("cid")), 0);
    subscribe(c, watched);
    settle(); /* its home has heard of it */
    assert_string_equal(listed(0), "ann bob cid");
    pass_ms(ROUND_MS);
    turn_on(0); /* which tells the mirrors */
    mem_fail_from(1);
    turn_on(1);
    mem_fail_from(0);
    assert_string_equal(listed(1), "ann bob");
    pass_all(MIRROR_ASK_MS);
    pass_rounds();
    assert_string_equal(listed(1), "ann bob cid");
}

/* The home cannot take a name: its whole list tells the mirror so. */
static void presence__that_the_home_has_no_memory_for_is_told_again(void **state)
{
    (void)state;
    joined(0, "ann");
    joined(1, "bob");
    pass_rounds();
    on(1);
    client *c = guest();
    assert_int_equal(peer_identify(&c->line->peer, STR("cid")), 0);
    subscribe(c, watched);
    turn_on(1);
    mem_fail_from(1);
    turn_on(0);
    mem_fail_from(0);
    assert_string_equal(listed(0), "ann bob");
    assert_string_equal(listed(1), "ann bob cid");
    pass_rounds();
    pass_rounds();
    assert_string_equal(listed(0), "ann bob cid");
    assert_string_equal(listed(1), "ann bob cid");
}

static void presence__of_too_many_is_a_number(void **state)
{
    (void)state;
    static client *many[MANY];
    client *w = watching(1, "wil");
    pass_rounds();
    w->wire[0] = '\0';
    for (int i = 0; i < MANY; i++) {
        char name[16];
        snprintf(name, sizeof name, "n%d", i);
        many[i] = guest_on(2);
        assert_int_equal(peer_identify(&many[i]->line->peer, str_from(name)), 0);
        subscribe(many[i], watched);
    }
    settle();
    for (int i = 0; i < 6; i++)
        pass_all(PRESENCE_COUNT_MS / 2);
    assert_int_equal(presence_list(topic_on(1, watched), NULL, NULL), MANY + 1);
    assert_non_null(strstr(w->wire, "1501:+[]-[] "));
    for (int i = 2; i < MANY; i++) {
        on(2);
        unsubscribe(many[i], watched);
    }
    settle();
    w->wire[0] = '\0';
    pass_all(PRESENCE_LEAVE_MS);
    for (int i = 0; i < 6; i++)
        pass_all(PRESENCE_COUNT_MS / 2);
    assert_log(w->wire, "3:all[n0 n1 wil] ");
    assert_string_equal(listed(1), "n0 n1 wil");
}

/* ---- random programs ---- */

enum { N_NAMES = 6, N_PEERS = 12 };

static uint64_t random_state;

static uint32_t draw(uint32_t below)
{
    random_state ^= random_state >> 12;
    random_state ^= random_state << 25;
    random_state ^= random_state >> 27;
    return (uint32_t)(random_state * 0x2545F4914F6CDD1D >> 33) % below;
}

typedef struct {
    client *client;
    unsigned loop, name;
    bool on;
} visitor;

static visitor visitors[N_PEERS];

static void visit(visitor *v)
{
    char name[8];
    v->loop = draw(3);
    v->name = draw(N_NAMES);
    snprintf(name, sizeof name, "n%u", v->name);
    v->client = guest_on(v->loop);
    v->client->swallows = true;
    assert_int_equal(peer_identify(&v->client->line->peer, str_from(name)), 0);
    v->on = true;
    subscribe(v->client, watched);
}

static void step(void)
{
    visitor *v = &visitors[draw(N_PEERS)];
    uint32_t what = draw(20);
    if (what < 8 && !v->on) {
        visit(v);
    } else if (what < 8) {
        on(v->loop);
        if (draw(2))
            cut(v->client);
        else
            unsubscribe(v->client, watched);
        v->on = false;
    } else if (what < 16) {
        turn_on(draw(3));
    } else if (what == 16) {
        fill_inbox(draw(3));
    } else if (what == 17) {
        mem_fail_from(1 + draw(3));
        turn_on(draw(3));
        mem_fail_from(0);
        for (int i = 0; i < N_PEERS; i++) /* who had no memory is gone */
            if (visitors[i].on && (!visitors[i].client->line || visitors[i].client->line->peer.leaving))
                visitors[i].on = false;
    } else {
        pass_ms(draw(4) ? draw(50) : draw(3000));
    }
}

static void check(void)
{
    char expected[LOG_BYTES] = "", name[16];
    for (unsigned n = 0; n < N_NAMES; n++) {
        bool there = false;
        for (int i = 0; i < N_PEERS; i++)
            there |= visitors[i].on && visitors[i].name == n;
        snprintf(name, sizeof name, "%sn%u", expected[0] ? " " : "", n);
        if (there)
            strcat(expected, name);
    }
    for (unsigned i = 0; i < 3; i++)
        if (topic_on(i, watched) && topic_is_ready(topic_on(i, watched), (since){.from = SINCE_NOW}))
            assert_string_equal(listed(i), expected);
}

static void presence__is_the_same_everywhere_in_the_end(void **state)
{
    for (uint64_t seed = 1; seed <= 300; seed++) {
        random_state = seed * 0x9E3779B97F4A7C15 + 1;
        memset(visitors, 0, sizeof visitors);
        assert_int_equal(start(state), 0);
        for (int i = 0; i < 200; i++)
            step();
        settle();
        for (int i = 0; i < 40; i++)
            pass_all(PRESENCE_TELL_MS * 3);
        for (int i = 0; i < N_PEERS; i++)
            if (visitors[i].on && (!visitors[i].client->line || visitors[i].client->line->peer.leaving))
                visitors[i].on = false;
        check();
        stop(state);
    }
}

#define PRESENCE_TEST(f) cmocka_unit_test_setup_teardown(f, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        PRESENCE_TEST(presence__is_that_of_all_loops),
        PRESENCE_TEST(presence__shows_its_own_at_once),
        PRESENCE_TEST(presence__ends_with_the_last_on_any_loop),
        PRESENCE_TEST(presence__of_one_that_moves_is_not_interrupted),
        PRESENCE_TEST(presence__is_told_on_every_loop),
        PRESENCE_TEST(presence__of_an_ended_loop_leaves),
        PRESENCE_TEST(presence__waits_for_room),
        PRESENCE_TEST(presence__that_found_no_memory_is_told_again),
        PRESENCE_TEST(presence__that_the_home_has_no_memory_for_is_told_again),
        PRESENCE_TEST(presence__of_too_many_is_a_number),
        cmocka_unit_test(presence__is_the_same_everywhere_in_the_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
