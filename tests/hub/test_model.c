/**
 * Random programs of publishers and slow subscribers, held against a simple account of what each peer is owed. Beside the
 * hub's own files since it is about all of them at once.
 */
#include "hub/scripted.h"

enum {
    N_PEERS = 8,
    N_TOPICS = 5,
    N_CROWD = 700, /* other subscribers of each topic, so that a fan-out has slices */
    N_IDS = 1024,  /* messages of a program */
    NOBODY = -1,
    DIRECT = -1,
    RING = 5,
};

/* What one subscription has yet to get. */
typedef struct {
    bool on;
    size_t first, n; /* in ids[] */
    uint32_t ids[N_IDS];
} account;

typedef struct {
    client *client;
    account accounts[N_TOPICS];
    uint32_t last_direct;
} member;

static struct {
    uint64_t seed, random;
    bool running, sliced, excepts, fails;
    member members[N_PEERS];
    uint32_t n_ids, n_direct, n_received;
    int topic_of[N_IDS];
    uint32_t index_of[N_IDS]; /* in its topic */
    uint32_t n_published[N_TOPICS];
    uint64_t least_dropped, most_dropped;
} model;

static const weft_slow_policy policies[N_TOPICS] = {WEFT_SLOW_CLOSE, WEFT_SLOW_CLOSE, WEFT_SLOW_DROP_OLD,
                                                    WEFT_SLOW_DROP_NEW, WEFT_SLOW_LATEST};
static const char *const topics[N_TOPICS] = {"close", "roomy", "old", "new", "latest"};

/* xorshift64*: the same programs every time. */
static uint32_t draw(uint32_t below)
{
    model.random ^= model.random >> 12;
    model.random ^= model.random << 25;
    model.random ^= model.random >> 27;
    return (uint32_t)(model.random * 0x2545F4914F6CDD1D >> 33) % below;
}

static uint32_t ring_of(int t)
{
    return t == 1 ? TOPIC_RING_MESSAGES : RING;
}

static subscriber *subscriber_of(const client *c, int t)
{
    const peer *p = &c->line->peer;
    topic *found = topic_named(topics[t]);
    for (uint32_t i = 0; i < p->n_subscriptions; i++)
        if (p->subscriptions[i].topic == found)
            return &found->subscribers[p->subscriptions[i].place];
    return NULL;
}

static bool is_empty(const account *a)
{
    return a->first == a->n;
}

static bool alive(const member *m)
{
    return m->client->line && !m->client->line->peer.leaving;
}

/* ---- what peers hear ---- */

/* Whoever hears a direct message has all that was published before, where it does not lag. */
static void check_nothing_overtaken(member *m)
{
    for (int t = 0; t < N_TOPICS; t++) {
        account *a = &m->accounts[t];
        if (!a->on || is_empty(a))
            continue;
        const subscriber *s = subscriber_of(m->client, t);
        assert_true(s->lagging || policies[t] == WEFT_SLOW_DROP_NEW);
    }
}

/* `id` was skipped. */
static void check_may_drop(int t, uint32_t id)
{
    assert_int_not_equal(policies[t], WEFT_SLOW_CLOSE);
    if (policies[t] == WEFT_SLOW_DROP_OLD) /* only what has left the ring */
        assert_true(model.index_of[id] + ring_of(t) < model.n_published[t]);
    model.least_dropped++;
    model.most_dropped++;
}

static void hear_topic(member *m, int t, uint32_t id)
{
    account *a = &m->accounts[t];
    size_t before = a->first;
    assert_true(a->on);
    for (; a->first < a->n && a->ids[a->first] != id; a->first++)
        check_may_drop(t, a->ids[a->first]);
    assert_true(a->first < a->n); /* it was owed */
    if (a->first++ > before && policies[t] == WEFT_SLOW_LATEST)
        assert_true(is_empty(a));
}

static void hear(client *c, str data)
{
    uint32_t id;
    member *m = &model.members[c->index];
    memcpy(&id, data.at, sizeof id);
    model.n_received++;
    if (model.topic_of[id] == DIRECT) {
        assert_true(id > m->last_direct);
        m->last_direct = id;
        check_nothing_overtaken(m);
    } else {
        hear_topic(m, model.topic_of[id], id);
    }
}

/* ---- what programs do ---- */

static uint32_t new_id(int t, size_t *ret_len)
{
    uint32_t id = model.n_ids++;
    assert_true(id < N_IDS);
    model.topic_of[id] = t;
    if (t != DIRECT)
        model.index_of[id] = model.n_published[t];
    *ret_len = sizeof id + draw(400);
    return id;
}

static str message_of(uint32_t id, size_t len)
{
    static char bytes[512];
    memcpy(bytes, &id, sizeof id);
    return (str){bytes, len};
}

/* How a subscription ended, and so what is known of messages that it has not got. */
typedef enum {
    LEFT,   /* had no room where it drops, was waiting where it lags */
    CUT,    /* the same, but a fan-out may not have reached it */
    FAILED, /* may have jumped, and then have had no memory */
} ending;

static void settle_account(account *a, int t, ending how)
{
    size_t rest = a->n - a->first;
    bool drops = policies[t] == WEFT_SLOW_DROP_NEW;
    if (drops && how == LEFT)
        model.least_dropped += rest;
    if (drops || how == FAILED)
        model.most_dropped += rest;
    a->on = false;
    a->first = a->n = 0;
}

static void enter_peer(uint32_t i)
{
    member *m = &model.members[i];
    m->client = guest();
    m->client->heard = hear;
    m->client->index = i;
}

/* Whoever has left is replaced. */
static void replace_if_gone(uint32_t i)
{
    member *m = &model.members[i];
    if (alive(m))
        return;
    ending how = m->client->fail_in ? FAILED : strstr(m->client->wire, "abort") ? CUT : LEFT;
    for (int t = 0; t < N_TOPICS; t++)
        settle_account(&m->accounts[t], t, how);
    enter_peer(i);
}

static void step_subscribe(uint32_t i, int t)
{
    member *m = &model.members[i];
    assert_int_equal(subscribe(m->client, topics[t]), 0);
    m->accounts[t].on = true;
}

static void step_unsubscribe(uint32_t i, int t)
{
    member *m = &model.members[i];
    unsubscribe(m->client, topics[t]);
    if (alive(m))
        settle_account(&m->accounts[t], t, LEFT);
}

/* True when the next message pushes what this one needs out of the ring. */
static bool about_to_fall(const account *a, int t)
{
    return a->on && !is_empty(a) && model.n_published[t] - model.index_of[a->ids[a->first]] >= ring_of(t);
}

static void check_after_publish(int t, const bool *falling, const bool *lagging)
{
    for (uint32_t i = 0; i < N_PEERS; i++) {
        member *m = &model.members[i];
        account *a = &m->accounts[t];
        bool closed = policies[t] == WEFT_SLOW_CLOSE && falling[i] && lagging[i];
        if (closed)
            assert_false(alive(m));
        if (!alive(m) && m->client->line->peer.close_code == 1013)
            assert_true(policies[t] == WEFT_SLOW_CLOSE && falling[i]);
        if (alive(m) && a->on && !is_empty(a) && !model.sliced)
            assert_true(policies[t] == WEFT_SLOW_DROP_NEW || subscriber_of(m->client, t)->lagging);
        if (alive(m) && a->on && policies[t] == WEFT_SLOW_DROP_NEW && !model.sliced) {
            settle_account(a, t, LEFT);
            a->on = true;
        }
    }
}

static void step_publish(int t, int except)
{
    bool falling[N_PEERS], lagging[N_PEERS];
    size_t len;
    uint32_t id = new_id(t, &len);
    for (uint32_t i = 0; i < N_PEERS; i++) {
        member *m = &model.members[i];
        account *a = &m->accounts[t];
        falling[i] = about_to_fall(a, t);
        lagging[i] = a->on && subscriber_of(m->client, t)->lagging;
        if (a->on && (int)i != except)
            a->ids[a->n++] = id;
        else if (a->on)
            model.most_dropped++; /* counted when it falls out of the ring before the peer is there */
    }
    model.n_published[t]++;
    uint64_t excepted = except == NOBODY ? 0 : model.members[except].client->handle.id;
    assert_int_equal(publish_data(topics[t], message_of(id, len), excepted), 0);
    check_after_publish(t, falling, lagging);
}

static void step_send(uint32_t i)
{
    member *m = &model.members[i];
    size_t len;
    uint32_t id = new_id(DIRECT, &len);
    int result = send_kind(m->client, WEFT_BINARY, message_of(id, len));
    size_t queued = m->client->line->queued;
    if (result >= 0) {
        assert_int_equal(m->last_direct, id);
        assert_int_equal(result, queued >= DEFAULT_LIMIT ? WEFT_QUEUED : 0);
    } else if (result == WEFT_E_FULL) {
        assert_true(m->last_direct != id && (queued >= DEFAULT_LIMIT || m->client->line->peer.n_lagging));
    } else {
        assert_int_equal(result, -ENOMEM);
        assert_true(m->client->fail_in);
        assert_false(alive(m));
    }
}

static void step(void)
{
    uint32_t i = draw(N_PEERS), what = draw(100);
    int t = (int)draw(N_TOPICS);
    member *m = &model.members[i];
    if (what < 12)
        step_subscribe(i, t);
    else if (what < 18)
        step_unsubscribe(i, t);
    else if (what < 50)
        step_publish(t, model.excepts && draw(2) ? (int)draw(N_PEERS) : NOBODY);
    else if (what < 60)
        step_send(i);
    else if (what < 85)
        drain(m->client, draw(1500));
    else if (what < 86)
        hang_up(m->client, 1000, "");
    else if (what < 87)
        cut(m->client);
    else if (what < 88 && model.fails)
        m->client->fail_in = 1 + draw(3);
    else if (what < (model.sliced ? 90 : 100))
        turn();
    for (i = 0; i < N_PEERS; i++)
        replace_if_gone(i);
}

/* ---- programs ---- */

static bool owes(void)
{
    for (uint32_t i = 0; i < N_PEERS; i++)
        if (model.members[i].client->line && model.members[i].client->line->queued)
            return true;
    return !list_empty(&stage.hub.unfinished);
}

static void finish(void)
{
    for (int round = 0; round == 0 || owes(); round++) {
        assert_true(round < 10000);
        for (uint32_t i = 0; i < N_PEERS; i++)
            if (model.members[i].client->line)
                drain(model.members[i].client, SIZE_MAX);
        turn();
        for (uint32_t i = 0; i < N_PEERS; i++)
            replace_if_gone(i);
    }
    for (uint32_t i = 0; i < N_PEERS; i++)
        for (int t = 0; t < N_TOPICS; t++) {
            account *a = &model.members[i].accounts[t];
            if (policies[t] != WEFT_SLOW_DROP_NEW)
                assert_true(is_empty(a));
            settle_account(a, t, LEFT);
        }
    for (int t = 0; t < N_TOPICS; t++)
        if (topic_named(topics[t]))
            assert_int_equal(topic_named(topics[t])->bytes, 0);
}

static void hear_nothing(client *c, str data)
{
    (void)c;
    (void)data;
}

static void seat_crowd(void)
{
    for (int i = 0; i < N_CROWD; i++) {
        client *c = guest();
        c->swallows = true;
        c->heard = hear_nothing;
        for (int t = 0; t < N_TOPICS; t++)
            subscribe(c, topics[t]);
    }
}

static void set_up(uint64_t seed, bool sliced)
{
    memset(&model, 0, sizeof model);
    model.running = true;
    model.seed = seed;
    model.random = seed * 0x9E3779B97F4A7C15 + 1;
    model.sliced = sliced;
    model.excepts = seed % 2;
    model.fails = seed % 4 >= 2;
    model.n_ids = 1; /* so that last_direct can be none */
    assert_int_equal(stage_init(), 0);
    for (int t = 0; t < N_TOPICS; t++)
        configure(topics[t], (weft_topic_options){.ring_messages = ring_of(t), .slow = policies[t]});
    if (sliced) {
        seat_crowd();
        stage.burn_ns = 10 * 1000;
    }
    for (uint32_t i = 0; i < N_PEERS; i++)
        enter_peer(i);
}

static void run_program(uint64_t seed, bool sliced, int n_steps)
{
    set_up(seed, sliced);
    for (int i = 0; i < n_steps; i++)
        step();
    finish();
    uint64_t dropped = 0;
    for (int policy = WEFT_SLOW_DROP_OLD; policy <= WEFT_SLOW_LATEST; policy++)
        dropped += stage.hub.dropped[policy];
    assert_true(dropped >= model.least_dropped);
    assert_true(dropped <= model.most_dropped);
    if (!model.excepts && !model.fails && !sliced)
        assert_int_equal(model.least_dropped, model.most_dropped);
    stage_done();
    model.running = false;
}

static void run_programs(uint64_t seed, uint64_t n, bool sliced, int n_steps)
{
    uint64_t received = 0, dropped = 0;
    for (uint64_t end = seed + n; seed < end; seed++) {
        run_program(seed, sliced, n_steps);
        received += model.n_received;
        dropped += model.least_dropped;
    }
    assert_true(received > n * 100 && dropped > n); /* or the programs are about nothing */
}

static void hub__agrees_with_the_model(void **state)
{
    (void)state;
    run_programs(1, 2000, false, 400);
}

static void hub__agrees_with_the_model_in_slices(void **state)
{
    (void)state;
    run_programs(1, 60, true, 400);
}

static int tell_program(void **state)
{
    (void)state;
    if (model.running)
        print_message("# program %u\n", (unsigned)model.seed);
    model.running = false;
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(hub__agrees_with_the_model, tell_program),
        cmocka_unit_test_teardown(hub__agrees_with_the_model_in_slices, tell_program),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
