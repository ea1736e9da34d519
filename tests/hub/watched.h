/**
 * A stage with a topic "t" that has presence, and peers whose handler writes down on their wire what they are told:
 * "2:all[ann bob] ", "3:+[cid]-[] ", "1001: ".
 */
#ifndef WEFT_TESTS_HUB_WATCHED_H
#define WEFT_TESTS_HUB_WATCHED_H

#include "hub/scripted.h"

#include "hub/presence.h"

enum { SHOWN_NAMES = 8, CROWD = 100000 };

/* ---- what watchers are told ---- */

static inline int by_name(const void *a, const void *b)
{
    const str *one = a, *other = b;
    size_t len = one->len < other->len ? one->len : other->len;
    int order = memcmp(one->at, other->at, len);
    return order ? order : (one->len > other->len) - (one->len < other->len);
}

static inline void put_names(client *c, const char *what, const str *names, size_t n)
{
    str sorted[SHOWN_NAMES];
    if (n > SHOWN_NAMES) {
        put_down(c->wire, "%s[#%zu]", what, n);
        return;
    }
    memcpy(sorted, names, n * sizeof *names);
    qsort(sorted, n, sizeof *sorted, by_name);
    put_down(c->wire, "%s[", what);
    for (size_t i = 0; i < n; i++)
        put_down(c->wire, i ? " %.*s" : "%.*s", (int)sorted[i].len, sorted[i].at);
    put_down(c->wire, "]");
}

static inline int heard(peer *p, topic *t, const presence_change *change)
{
    client *c = scripted_of(p)->client;
    assert_true(str_equal(topic_name(t), STR("t")));
    assert_false(p->leaving);
    clock_ns += stage.burn_ns;
    if (runs_out(c) || no_memory_now())
        return -ENOMEM;
    c->n_wire++;
    put_down(c->wire, "%zu:", change->count);
    if (change->whole) {
        assert_int_equal(change->n_joined, change->count);
        assert_int_equal(change->n_left, 0);
        put_names(c, "all", change->joined, change->n_joined);
    } else if (change->count <= PRESENCE_MAX_LISTED) {
        put_names(c, "+", change->joined, change->n_joined);
        put_names(c, "-", change->left, change->n_left);
    } else {
        assert_int_equal(change->n_joined + change->n_left, 0);
    }
    put_down(c->wire, " ");
    if (c->heard)
        c->heard(c, topic_name(t));
    return 0;
}

static const peer_handler_ops watching_ops = {.presence = heard};
static peer_handler watching_handler = {&watching_ops};

/* ---- those who come and go ---- */

static inline client *named(const char *name)
{
    client *c = guest();
    c->line->peer.handler = &watching_handler;
    if (name)
        assert_int_equal(peer_identify(&c->line->peer, str_from(name)), 0);
    return c;
}

static inline client *joined(const char *name)
{
    client *c = named(name);
    assert_int_equal(subscribe(c, "t"), 0);
    return c;
}

static inline int watch(client *c)
{
    return presence_watch(topic_named("t"), &c->line->peer);
}

static inline client *watching(const char *name)
{
    client *c = joined(name);
    assert_int_equal(watch(c), 0);
    return c;
}

static inline void pass(uint64_t ms)
{
    pass_ms(ms);
    turn();
}

/* Every leave that was to be told has been, and what it changed too. */
static inline void pass_leaves(void)
{
    pass(PRESENCE_LEAVE_MS);
    pass(PRESENCE_COUNT_MS);
}

/* Peers of which presence sees no more than the name. */
static peer crowd[CROWD];
static peer_extra crowd_extras[CROWD];
static char crowd_names[CROWD][12];

static inline void crowd_joins(size_t from, size_t to)
{
    for (size_t i = from; i < to; i++) {
        snprintf(crowd_names[i], sizeof crowd_names[i], "%u", (unsigned)i);
        crowd_extras[i] = (peer_extra){.identity = crowd_names[i]};
        crowd[i] = (peer){.id = i + 1, .rules = &usual_rules, .extra = &crowd_extras[i]};
        assert_int_equal(presence_join(topic_named("t"), &crowd[i]), 0);
    }
}

static inline void crowd_leaves(size_t from, size_t to)
{
    for (size_t i = from; i < to; i++)
        presence_leave(topic_named("t"), &crowd[i]);
}

typedef struct {
    str names[PRESENCE_MAX_LISTED];
    size_t n;
} listing;

static inline void list_name(str name, void *user)
{
    listing *l = user;
    assert_true(l->n < PRESENCE_MAX_LISTED);
    l->names[l->n++] = name;
}

/* "ann bob " */
static inline const char *listed(void)
{
    static char text[LOG_BYTES];
    static listing l;
    l.n = 0;
    text[0] = '\0';
    size_t n = presence_list(topic_named("t"), list_name, &l);
    assert_int_equal(n, l.n);
    qsort(l.names, l.n, sizeof *l.names, by_name);
    for (size_t i = 0; i < l.n; i++)
        put_down(text, "%.*s ", (int)l.names[i].len, l.names[i].at);
    return text;
}

static inline int start_watched(void **state)
{
    int error = stage_start(state);
    configure("t", (weft_topic_options){.presence = 1});
    return error;
}

/* Topics linger from the last leave on, so that comes first. */
static inline int stop_watched(void **state)
{
    for (client *c = stage.clients; c; c = c->next)
        if (c->line)
            cut(c);
    turn();
    pass_leaves();
    return stage_stop(state);
}

#define PRESENCE_TEST(f) cmocka_unit_test_setup_teardown(f, start_watched, stop_watched)

#endif
