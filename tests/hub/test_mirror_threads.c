/**
 * Hubs on threads of their own, with publishers on each of them and on threads that are none of theirs: what everybody
 * has seen is compared at the end. Runs under ThreadSanitizer too.
 */
#include "hub/ask.h"
#include "hub/mirror.h"
#include "hub/presence.h"
#include "support/check.h"
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    MOST_LOOPS = 4,
    N_TOPICS = 3,
    N_FOREIGN = 2,
    N_STEADY = 3,     /* subscribers of each loop, to all topics */
    N_MESSAGES = 400, /* of each publisher to each topic */
    MOST_PUBLISHERS = MOST_LOOPS + N_FOREIGN,
    MOST_NUMBERS = N_MESSAGES * MOST_PUBLISHERS,
    RESTLESS_EVERY = 17,
};

typedef struct world world;

typedef struct {
    peer peer;
    world *world;
    uint64_t next[N_TOPICS];
    cursor at[N_TOPICS];
    bool restless; /* unsubscribes now and then, and comes back */
} listener;

/* One loop, and what runs on it. */
struct world {
    loop loop;
    net net;
    slots table;
    hub hub;
    pthread_t thread;
    unsigned number;
    timer work;
    listener *listeners[N_STEADY + 1];
    uint32_t n_published[N_TOPICS];
    uint32_t n_asked, n_answered, n_lists, n_listed;
    uint64_t last_number[N_TOPICS];        /* that an answer told */
    uint32_t seen[N_TOPICS][MOST_NUMBERS]; /* payloads by number */
    uint32_t n_left;                       /* listeners that have not got all */
    bool leaves;
};

static struct {
    hub_links links;
    world *worlds[MOST_LOOPS];
    unsigned n;
    topic_rule rule;
    const topic_rule *rules;
    atomic_uint n_done;   /* loops whose listeners have all; release, acquire by whoever waits for it */
    atomic_bool stopping; /* likewise */
    atomic_uint n_ended;  /* likewise */
} all;

static const char *const names[N_TOPICS] = {"one", "two", "three"};

static uint32_t n_expected(void)
{
    return N_MESSAGES * (all.n + N_FOREIGN);
}

/* ---- a transport without a network ---- */

static listener *listener_of(const peer *p)
{
    return (listener *)(uintptr_t)p;
}

static int topic_index(const topic *t)
{
    for (int i = 0; i < N_TOPICS; i++)
        if (str_equal(topic_name(t), str_from(names[i])))
            return i;
    return -1;
}

static int deliver(peer *p, topic *t, uint64_t offset)
{
    listener *l = listener_of(p);
    world *w = l->world;
    int i = topic_index(t);
    uint32_t payload;
    memcpy(&payload, blob_data(topic_message_at(t, offset)->body).at, sizeof payload);
    assert_int_equal(offset, l->next[i]); /* nothing is lost, nothing doubled */
    if (w->seen[i][offset])
        assert_int_equal(w->seen[i][offset], payload);
    w->seen[i][offset] = payload;
    l->next[i]++;
    l->at[i] = topic_cursor_of(t, offset);
    if (l->next[i] == n_expected())
        w->n_left--;
    return 0;
}

static int no_gap(peer *p, topic *t, uint64_t next)
{
    (void)p;
    (void)t;
    fail_msg("a gap at %u", (unsigned)next);
    return 0;
}

static size_t nothing_queued(const peer *p)
{
    (void)p;
    return 0;
}

static void ignore(peer *p)
{
    (void)p;
}

static void ignore_close(peer *p, int code, str reason)
{
    (void)p;
    (void)code;
    (void)reason;
}

static void about(const peer *p, weft_peer_info *ret_info)
{
    (void)p;
    (void)ret_info;
}

static bool free_listener(peer *p)
{
    free(listener_of(p));
    return true;
}

static const peer_ops ops = {
    .transport = WEFT_TRANSPORT_WEBSOCKET,
    .deliver = deliver,
    .gap = no_gap,
    .close = ignore_close,
    .abort = ignore,
    .pause = ignore,
    .queued = nothing_queued,
    .notify = ignore,
    .about = about,
    .free = free_listener,
};

static const peer_rules rules = {.max_queued_bytes = 1000};

static listener *listener_new(world *w, const char *name)
{
    listener *l = calloc(1, sizeof *l);
    assert_non_null(l);
    l->world = w;
    assert_int_equal(peer_init(&l->peer, &w->hub, &ops, &rules), 0);
    assert_int_equal(peer_identify(&l->peer, str_from(name)), 0);
    for (int i = 0; i < N_TOPICS; i++)
        assert_int_equal(hub_subscribe(&w->hub, &l->peer, str_from(names[i]), (since){.from = SINCE_START}, NULL), 0);
    return l;
}

/* ---- what each loop does in every turn ---- */

static blob *message_of(pool *blocks, unsigned publisher, uint32_t index)
{
    uint32_t payload = publisher << 20 | (index + 1);
    return blob_new(blocks, WEFT_BINARY, (str){NULL, 0}, (str){(char *)&payload, sizeof payload});
}

static void answered(hub *h, uint64_t id, uint64_t number, int error, const publication *done)
{
    world *w = CONTAINER(h, world, hub);
    assert_int_equal(id, 1);
    assert_int_equal(error, 0);
    assert_true(done->at.number > w->last_number[number]); /* as they were asked */
    w->last_number[number] = done->at.number;
    w->n_answered++;
}

static void listed(hub *h, uint64_t id, uint64_t number, const topic_entry *entries, size_t n, bool last, int error)
{
    (void)id;
    (void)number;
    (void)entries;
    (void)n;
    (void)error;
    CONTAINER(h, world, hub)->n_listed += last;
}

static int publish_asking(world *w, int t, blob *body)
{
    publication done;
    publish_asker asker = {.id = 1, .number = (uint64_t)t, .answer = answered};
    int result = hub_publish_ask(&w->hub, str_from(names[t]), body, 0, &asker, &done);
    if (result == 0)
        answered(&w->hub, 1, (uint64_t)t, 0, &done);
    w->n_asked += result >= 0;
    return result;
}

static void publish_some(world *w)
{
    for (int t = 0; t < N_TOPICS; t++) {
        for (int i = 0; i < 3 && w->n_published[t] < N_MESSAGES; i++) {
            blob *body = message_of(&w->loop.blocks, w->number, w->n_published[t]);
            int result = w->n_published[t] % 5 ? hub_publish(&w->hub, str_from(names[t]), body, 0, NULL)
                                               : publish_asking(w, t, body);
            assert_true(result >= 0 || result == WEFT_E_FULL);
            w->n_published[t] += result >= 0;
        }
    }
}

static void stir(world *w)
{
    listener *l = w->listeners[N_STEADY];
    int t = (int)(w->loop.n_wakes / RESTLESS_EVERY % N_TOPICS);
    if (w->loop.n_wakes % RESTLESS_EVERY)
        return;
    hub_unsubscribe(&w->hub, &l->peer, str_from(names[t]));
    since from = {.from = SINCE_START};
    if (l->at[t].epoch)
        from = (since){SINCE_CURSOR, l->at[t]};
    assert_int_equal(hub_subscribe(&w->hub, &l->peer, str_from(names[t]), from, NULL), 0);
    assert_int_equal(hub_list_topics(&w->hub, &(list_asker){.part = listed}), 0);
    w->n_lists++;
}

static void work(timer *clock)
{
    world *w = CONTAINER(clock, world, work);
    publish_some(w);
    stir(w);
    loop_arm(&w->loop, clock, 1, work);
}

/* ---- threads ---- */

static void turn(world *w)
{
    assert_int_equal(loop_step(&w->loop, 1), 0);
}

static void leave(world *w)
{
    loop_cancel(&w->loop, &w->work);
    for (int i = 0; i <= N_STEADY; i++)
        peer_abort(&w->listeners[i]->peer);
    turn(w);
    while (hub_owes(&w->hub))
        turn(w);
}

/* The higher its number, the earlier a loop ends; the others go on meanwhile. */
static void *run_world(void *user)
{
    world *w = user;
    for (int i = 0; i <= N_STEADY; i++) {
        char name[16];
        snprintf(name, sizeof name, "%u-%d", w->number, i);
        w->listeners[i] = listener_new(w, i == 0 ? "everywhere" : name);
    }
    w->n_left = (N_STEADY + 1) * N_TOPICS;
    loop_arm(&w->loop, &w->work, 1, work);
    while (w->n_left || w->n_answered < w->n_asked)
        turn(w);
    atomic_fetch_add_explicit(&all.n_done, 1, memory_order_release);
    while (!atomic_load_explicit(&all.stopping, memory_order_acquire) ||
           atomic_load_explicit(&all.n_ended, memory_order_acquire) < all.n - 1 - w->number)
        turn(w);
    leave(w);
    loop_refuse_notes(&w->loop);
    hub_done(&w->hub);
    atomic_fetch_add_explicit(&all.n_ended, 1, memory_order_release);
    slots_done(&w->table);
    loop_done(&w->loop);
    return NULL;
}

static void *run_foreign(void *user)
{
    unsigned publisher = *(unsigned *)user;
    for (uint32_t i = 0; i < N_MESSAGES; i++) {
        for (int t = 0; t < N_TOPICS; t++) {
            int result;
            while ((result = hub_links_publish(&all.links, NULL, str_from(names[t]), message_of(NULL, publisher, i),
                                               0)) == WEFT_E_FULL)
                sched_yield();
            assert_int_equal(result, 0);
        }
        if (i % 8 == 0)
            sched_yield();
    }
    return NULL;
}

static hub *hub_of(void *owner)
{
    return owner ? &((world *)owner)->hub : NULL;
}

static world *world_new(unsigned number)
{
    world *w = calloc(1, sizeof *w);
    assert_non_null(w);
    w->number = number;
    assert_int_equal(loop_init(&w->loop, w), 0);
    w->net.loop = &w->loop;
    assert_int_equal(slots_init(&w->table, w->loop.index), 0);
    assert_int_equal(hub_init(&w->hub, &w->net, &w->table, NULL, &all.rules), 0);
    assert_int_equal(hub_link(&w->hub, &all.links, number), 0);
    return w;
}

/* Every loop has seen the same under the same number, and each publisher's messages in its order. */
static void compare(void)
{
    for (int t = 0; t < N_TOPICS; t++) {
        uint32_t last[MOST_PUBLISHERS] = {0};
        for (uint32_t n = 0; n < n_expected(); n++) {
            uint32_t payload = all.worlds[0]->seen[t][n];
            for (unsigned i = 1; i < all.n; i++)
                assert_int_equal(all.worlds[i]->seen[t][n], payload);
            assert_int_equal(payload & 0xFFFFF, ++last[payload >> 20]);
        }
    }
}

static void run(unsigned n)
{
    pthread_t foreign[N_FOREIGN];
    unsigned publishers[N_FOREIGN];
    memset(&all, 0, sizeof all);
    all.n = n;
    all.rule = (topic_rule){.pattern = (char *)(uintptr_t) "*",
                            .options = {.history_messages = 2 * MOST_NUMBERS, .presence = 1}};
    all.rules = &all.rule;
    assert_int_equal(hub_links_init(&all.links, n, hub_of), 0);
    for (unsigned i = 0; i < n; i++)
        all.worlds[i] = world_new(i);
    for (unsigned i = 0; i < n; i++)
        assert_int_equal(pthread_create(&all.worlds[i]->thread, NULL, run_world, all.worlds[i]), 0);
    for (unsigned i = 0; i < N_FOREIGN; i++) {
        publishers[i] = n + i;
        assert_int_equal(pthread_create(&foreign[i], NULL, run_foreign, &publishers[i]), 0);
    }
    for (unsigned i = 0; i < N_FOREIGN; i++)
        pthread_join(foreign[i], NULL);
    while (atomic_load_explicit(&all.n_done, memory_order_acquire) < n)
        sched_yield();
    atomic_store_explicit(&all.stopping, true, memory_order_release);
    for (unsigned i = 0; i < n; i++)
        pthread_join(all.worlds[i]->thread, NULL);
    compare();
    assert_int_equal(atomic_load(&all.links.n_topics), 0);
    for (unsigned i = 0; i < n; i++)
        free(all.worlds[i]);
}

static void loops__two_agree(void **state)
{
    (void)state;
    run(2);
}

static void loops__four_agree(void **state)
{
    (void)state;
    run(4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(loops__two_agree),
        cmocka_unit_test(loops__four_agree),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
